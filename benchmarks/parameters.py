"""Measure what each parameter changes: ``python benchmarks/parameters.py [FOLDER] [--picture FILE]``.

TinyClassifier() is compared with copies that have one parameter at another value, with the same seeds and
on the same splits. The data sets are those of ``defaults.py``; each is split three times, stratified, with a
quarter of the rows as test set. At most 3,000 rows are used for training. Times are not measured.

The log-losses of a data set are means over its splits. 0.01 is added to each log-loss, so that data sets on
which nearly every row is certain do not dominate. The columns of the table are

- effect: of a parameter, the largest mean change among its values. The mean change of a value is the
  geometric mean over the data sets of max(r, 1 / r), with r the log-loss divided by that of the default.
  A change for the better on one data set and for the worse on another do not cancel;
- log-loss: the geometric mean of r, with a 95 % interval over the data sets; below 1 is better than the
  default;
- lower, higher: the numbers of data sets with a log-loss that is more than 2 % lower, or higher;
- accuracy: the mean difference in percentage points.

The parameters are sorted by effect. The last row changes only the seed: it is the noise. A second table shows
pairs of values: some values need another value of a second parameter.
"""

import argparse
import json
from pathlib import Path

from defaults import OURS, TIE, Contender, data_sets, interval, means, measure
from timing import pin_to_one_core

pin_to_one_core()

import numpy as np  # noqa: E402
from sklearn.model_selection import StratifiedShuffleSplit  # noqa: E402

from tinyclf import TinyClassifier, use_fast  # noqa: E402

VALUES: dict[str, list] = {
    "hidden_layer_sizes": [(), (20,), (256,), (100, 100)],
    "activation": ["tanh", "logistic"],
    "solver": ["sgd", "lbfgs"],
    "alpha": [0.0, 1e-4, 0.1, 1.0],
    "batch_size": [16, 32, "auto"],
    "learning_rate": ["constant", "cosine"],
    "learning_rate_init": [0.001, 0.005, 0.05],
    "max_iter": [20, 100, 200],
    "early_stopping": [False, True],
    "validation_fraction": [0.1, 0.4],
    "n_iter_no_change": [3, 40],
    "beta_1": [0.8, 0.95],
    "beta_2": [0.9, 0.999],
    "class_weight": ["balanced"],
    "dropout": [0.1, 0.3, 0.5],
    "label_smoothing": [0.05, 0.2],
    "weight_decay": [0.01, 0.1],
    "max_grad_norm": [0.1, 1.0],
    "scoring": ["accuracy"],
    "scale_inputs": [False],
    "calibrate": [False],
    "refit": [False],
    "dtype": ["float64"],
    "shuffle": [False],
    "n_members": [1, 4, 16],
}

PAIRS: list[dict[str, object]] = [
    {"solver": "sgd", "learning_rate_init": 0.1},
    {"solver": "lbfgs", "alpha": 1.0},
    {"learning_rate_init": 0.001, "max_iter": 200},
    {"activation": "logistic", "max_iter": 200},
    {"hidden_layer_sizes": (256,), "dropout": 0.2},
]

SEED = "random_state"
SHOWN = 12


def named(values: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def contenders() -> dict[str, Contender]:
    """Return TinyClassifier(), copies with one or two other parameter values, and one with other seeds."""
    changes = [{name: value} for name, values in VALUES.items() for value in values] + PAIRS
    made: dict[str, Contender] = {OURS: lambda seed: TinyClassifier(random_state=seed)}
    for change in changes:
        made[named(change)] = lambda seed, change=change: TinyClassifier(random_state=seed, **change)
    made[SEED] = lambda seed: TinyClassifier(random_state=1000 + seed)
    return made


def log_ratios(results: dict, name: str) -> np.ndarray:
    """Return the logarithms of the log-losses divided by the default's, one per data set."""
    return np.log((means(results, name, "log_loss") + 0.01) / (means(results, OURS, "log_loss") + 0.01))


def mean_change(results: dict, name: str) -> float:
    return float(np.exp(np.abs(log_ratios(results, name)).mean()))


def ranking(results: dict) -> dict[str, list[str]]:
    """Return the contenders of each parameter, the parameter with the largest effect first."""
    groups = {name: [f"{name}={value!r}" for value in values] for name, values in VALUES.items()}
    effect = {name: max(mean_change(results, one) for one in group) for name, group in groups.items()}
    return {name: groups[name] for name in sorted(groups, key=effect.get, reverse=True)}


def cells(results: dict, name: str) -> list[str]:
    """Return the last four cells of a row of a table."""
    logs = log_ratios(results, name)
    ratio, low, high = np.exp(interval(logs))
    lower, higher = (logs < -np.log(TIE)).sum(), (logs > np.log(TIE)).sum()
    points = 100 * (means(results, name, "accuracy") - means(results, OURS, "accuracy")).mean()
    return [
        f"{ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{lower}, {higher}",
        f"{round(points, 1) + 0.0:+.1f}",
    ]  # not -0.0


def tables(results: dict) -> None:
    print(f"\ncompared with {OURS}() over {len(results)} data sets:\n")
    print("| | value | effect | log-loss | 95 % interval | lower, higher | accuracy, points |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for rank, group in enumerate(ranking(results).values(), 1):
        effect = max(mean_change(results, one) for one in group)
        first = [str(rank), f"{effect:.2f}"]
        for one in group:
            print(" | ".join(["", first[0], f"`{one}`", first[1], *cells(results, one), ""]).strip())
            first = ["", ""]
    effect = mean_change(results, SEED)
    print(" | ".join(["", "", "another seed", f"{effect:.2f}", *cells(results, SEED), ""]).strip())
    print("\n| pair of values | log-loss | 95 % interval | lower, higher | accuracy, points |")
    print("| --- | --- | --- | --- | --- |")
    for pair in map(named, PAIRS):
        print(" | ".join(["", f"`{pair}`", *cells(results, pair), ""]).strip())


def picture(results: dict, file: Path) -> None:
    """Draw the log-loss ratios of the parameters with the largest effects, a dot for each data set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = list(ranking(results).items())[:SHOWN]
    n_rows = sum(len(group) for _, group in shown)
    figure, axes = plt.subplots(figsize=(7, 0.29 * n_rows + 1), layout="constrained")
    at, rows = 0.0, []
    for i, (_, group) in enumerate(shown):
        if i % 2 == 0:
            axes.axhspan(at - 0.5, at + len(group) - 0.5, color="#F0F0F0", lw=0)
        for one in group:
            logs = log_ratios(results, one)
            axes.plot(np.exp(logs), np.full(len(logs), at), "o", ms=4, alpha=0.4, mew=0, color="#767676")
            axes.plot(np.exp(logs.mean()), at, "D", ms=7, color="#0072B2")
            rows.append((at, one.replace("'", '"')))
            at += 1
    axes.axvline(1.0, color="black", lw=1)
    axes.set_yticks(*zip(*rows, strict=True), fontsize=10)
    axes.set_ylim(at - 0.4, -0.6)
    axes.set_xscale("log")
    ticks = [0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    every = np.concatenate([log_ratios(results, one) for _, group in shown for one in group])
    axes.set_xlim(0.9 * np.exp(every.min()), 1.1 * np.exp(every.max()))
    axes.minorticks_off()
    axes.set_xlabel(
        "log-loss, as a multiple of that of the default (left is better)\n"
        "dots: data sets, diamond: geometric mean"
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=200, facecolor="white")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each parameter changes.")
    parser.add_argument("folder", type=Path, nargs="?", help="folder of .npz files with arrays X and y")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--rows", type=int, default=3000, help="largest number of training rows")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names of data sets")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--picture", type=Path, help="file for a picture of the results")
    options = parser.parse_args()
    use_fast(False)
    results: dict = {}
    for name, (X, y) in data_sets(options.folder, options.only).items():
        splitter = StratifiedShuffleSplit(options.splits, test_size=0.25, random_state=0)
        splits = [(train[: options.rows], test) for train, test in splitter.split(X, y)]
        results[name] = {one: measure(make, X, y, splits, 0) for one, make in contenders().items()}
        loss = np.mean(results[name][OURS]["log_loss"])
        print(f"{name} ({len(splits[0][0])} training rows): log-loss of {OURS}() {loss:.4f}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(results))
    tables(results)
    if options.picture:
        picture(results, options.picture)


if __name__ == "__main__":
    main()
