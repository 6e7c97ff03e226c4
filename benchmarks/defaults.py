"""Compare default parameters: ``python benchmarks/defaults.py [FOLDER] [--ablation] [--pytabkit]``.

The classifiers have their default parameters unless stated otherwise:

- TinyClassifier on raw features, by default and with ``n_members=1``;
- MLPClassifier on raw and on scaled features, and logistic regression on scaled features;
- HistGradientBoostingClassifier, LightGBM and CatBoost on raw features;
- with ``--pytabkit``, RealMLP-TD-S and TabM of the package pytabkit on raw features, with the parameters that
  its documentation recommends for a low log-loss: the epoch with the lowest log-loss on held-out rows, no
  label smoothing. They take long.

Classifiers whose package is not installed are left out. The data sets are scikit-learn's digits, wine, iris
and breast_cancer, and those in a folder: files ``NAME.npz`` with arrays X (n, n_features) and y (n,). Each
data set is split several times, stratified, with a quarter of the rows as test set. The process uses one
pinned core, and each classifier one thread.

The first table compares with MLPClassifier on scaled features, the second one with
HistGradientBoostingClassifier, the third one with CatBoost. Their columns are

- log-loss ratio, Brier, time: geometric means over the data sets of the ratios of log-losses, Brier scores
  and fit times, which are means over the splits; the log-loss ratio has a 95 % interval over the data sets;
- accuracy: the mean difference in percentage points, with a 95 % interval;
- win, tie, loss: the numbers of data sets with a lower log-loss, the same within 2 %, and a higher one;
- rank: the mean rank by log-loss;
- warned: the fraction of fits with a warning.

The last table has wins, ties and losses of each pair of classifiers. Log-losses are computed in float64;
probabilities are clipped at 2e-16.

``--picture FILE`` draws the log-loss ratios to MLPClassifier on scaled features. ``--ranks FILE`` draws the
mean ranks, each in the middle of a bar as long as the critical difference of the Nemenyi test at 5 %
(Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006). Two classifiers
differ significantly if their bars do not overlap; the gray band has the width of the best classifier's bar.
This test has the same critical difference for all pairs, so one picture shows its result. It is corrected
for the number of pairs, so it misses some differences that a test of a single pair finds.

``--ablation`` compares TinyClassifier() with copies that have one parameter at a time at scikit-learn's
default.
"""

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from timing import pin_to_one_core

pin_to_one_core()

import numpy as np  # noqa: E402
import scipy.stats  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import StratifiedShuffleSplit  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from tinyclf import SKLEARN_DEFAULTS, TinyClassifier, use_fast  # noqa: E402

Contender = Callable[[int], object]

BASE, OURS, BOOSTING = "MLPClassifier, scaled", "TinyClassifier", "HistGradientBoosting"
CATBOOST, LIGHTGBM, REALMLP, TABM = "CatBoost", "LightGBM", "RealMLP-TD-S", "TabM"
PACKAGES = {CATBOOST: "catboost", LIGHTGBM: "lightgbm", REALMLP: "pytabkit", TABM: "pytabkit"}

ONE_MEMBER = f"{OURS}, n_members=1"


def ours(seed: int) -> TinyClassifier:
    return TinyClassifier(random_state=seed)


def one_member(seed: int) -> TinyClassifier:
    return TinyClassifier(random_state=seed, n_members=1)


def catboost(seed: int) -> Any:
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        random_seed=seed, thread_count=1, logging_level="Silent", allow_writing_files=False
    )


def lightgbm(seed: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(random_state=seed, n_jobs=1, verbosity=-1)


def realmlp(seed: int) -> Any:
    from pytabkit import RealMLP_TD_S_Classifier

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # it describes the machine at each fit
    return RealMLP_TD_S_Classifier(
        random_state=seed, n_threads=1, device="cpu", val_metric_name="cross_entropy", use_ls=False
    )


def tabm(seed: int) -> Any:
    from pytabkit import TabM_D_Classifier

    return TabM_D_Classifier(random_state=seed, n_threads=1, device="cpu", val_metric_name="cross_entropy")


def contenders(pytabkit: bool) -> dict[str, Contender]:
    made: dict[str, Contender] = {
        BASE: lambda seed: make_pipeline(StandardScaler(), MLPClassifier(random_state=seed)),
        OURS: ours,
        ONE_MEMBER: one_member,
        "MLPClassifier, raw": lambda seed: MLPClassifier(random_state=seed),
        "LogisticRegression, scaled": lambda seed: make_pipeline(StandardScaler(), LogisticRegression()),
        BOOSTING: lambda seed: HistGradientBoostingClassifier(random_state=seed),
        LIGHTGBM: lightgbm,
        CATBOOST: catboost,
    }
    return installed(made | ({REALMLP: realmlp, TABM: tabm} if pytabkit else {}))


def installed(made: dict[str, Contender]) -> dict[str, Contender]:
    """Leave out the contenders whose package is not installed, and print their names."""
    missing = [name for name in made if name in PACKAGES and not find_spec(PACKAGES[name])]
    if missing:
        print(f"left out, since their packages are not installed: {', '.join(missing)}")
    return {name: make for name, make in made.items() if name not in missing}


# Log-losses within this factor count as equal: another split changes them by more.
TIE = 1.02


def ablations() -> dict[str, Contender]:
    """Return TinyClassifier(), and copies with one parameter at a time at scikit-learn's default."""
    made: dict[str, Contender] = {OURS: ours}
    for name, value in SKLEARN_DEFAULTS.items():
        if name != "dtype":
            made[f"{name}={value!r}"] = lambda seed, p=(name, value): TinyClassifier(
                random_state=seed, **dict([p])
            )
    made["all of them"] = lambda seed: TinyClassifier(**SKLEARN_DEFAULTS, random_state=seed)
    return made


def data_sets(folder: Path | None, only: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    toys = {"digits": load_digits, "wine": load_wine, "iris": load_iris, "breast_cancer": load_breast_cancer}
    found = {name: load(return_X_y=True) for name, load in toys.items()}
    if folder is not None and not (files := sorted(folder.glob("*.npz"))):
        raise SystemExit(f"FOLDER must contain .npz files with arrays X and y, got {folder}, which has none")
    for file in files if folder is not None else []:
        with np.load(file) as arrays:
            found[file.stem] = arrays["X"], arrays["y"]
    return {name: found[name] for name in found if not only or any(part in name for part in only)}


def measure(make: Contender, X: Any, y: np.ndarray, splits: list, first: int) -> dict[str, list]:
    """Return log-loss, accuracy, Brier score, fit time and warnings of a classifier on each split.

    X is an array or a data frame of pandas.
    """
    rows = getattr(X, "iloc", X)
    values: dict[str, list] = {"log_loss": [], "accuracy": [], "brier": [], "seconds": [], "warned": []}
    for seed, (train, test) in enumerate(splits, first):
        model = make(seed)  # not timed, since it imports the package
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            start = time.perf_counter()
            model.fit(rows[train], y[train])
            seconds = time.perf_counter() - start
        p = model.predict_proba(rows[test]).astype(np.float64)
        p /= p.sum(axis=1, keepdims=True)
        right = model.classes_ == y[test][:, None]
        values["log_loss"].append(float(-np.log(np.maximum(p[right], np.finfo(float).eps)).mean()))
        values["accuracy"].append(float(right[np.arange(len(p)), p.argmax(axis=1)].mean()))
        values["brier"].append(float(np.square(p - right).sum(axis=1).mean()))
        values["seconds"].append(seconds)
        values["warned"].append(bool(caught))
    return values


def compare(contenders: dict[str, Contender], data: dict[str, tuple[Any, np.ndarray]], n_splits: int) -> dict:
    """Return what `measure` finds for each data set and contender; print the mean log-losses."""
    if not data:
        raise SystemExit("--only must be part of the name of a data set, got no such name")
    results: dict = {}
    for name, (X, y) in data.items():
        splits = list(StratifiedShuffleSplit(n_splits, test_size=0.25, random_state=0).split(X, y))
        rows: dict = {contender: {} for contender in contenders}
        for seed, split in enumerate(splits):  # in turn, so that noise affects all
            for contender, make in contenders.items():
                for what, value in measure(make, X, y, [split], seed).items():
                    rows[contender].setdefault(what, []).extend(value)
        results[name] = rows
        losses = ", ".join(f"{key} {np.mean(row['log_loss']):.4f}" for key, row in rows.items())
        print(f"{name} ({len(X)} x {X.shape[1]}, {len(np.unique(y))} classes): {losses}", flush=True)
    return results


def means(results: dict, name: str, what: str) -> np.ndarray:
    """Return the mean over the splits of each data set."""
    return np.array([np.mean(row[name][what]) for row in results.values()])


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over the data sets and the ends of its 95 % interval."""
    half = scipy.stats.sem(values) * scipy.stats.t.ppf(0.975, len(values) - 1) if len(values) > 1 else np.nan
    return values.mean(), values.mean() - half, values.mean() + half


def win_tie_loss(ratios: np.ndarray) -> tuple[int, int, int]:
    """Return how many of these ratios of log-losses are below 1, close to 1, and above 1."""
    win, loss = int((ratios < 1 / TIE).sum()), int((ratios > TIE).sum())
    return win, len(ratios) - win - loss, loss


def mean_ranks(losses: np.ndarray) -> np.ndarray:
    """Return the mean rank of each row over the columns; the lowest loss of a column has rank 1."""
    return scipy.stats.rankdata(losses, axis=0).mean(axis=1)


def critical_difference(n_contenders: int, n_sets: int) -> float:
    """Return the critical difference of the Nemenyi test at 5 %: q sqrt(k (k + 1) / (6 N))."""
    q = scipy.stats.studentized_range.ppf(0.95, n_contenders, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_contenders * (n_contenders + 1) / (6 * n_sets)))


def table(results: dict, names: list[str], base: str, added: float = 0.0) -> None:
    """Print a row for each name; ``added`` is added to log-losses and Brier scores before two are divided."""
    ranks = mean_ranks(np.array([means(results, name, "log_loss") for name in names]))
    reference = {what: means(results, base, what) for what in ("log_loss", "accuracy", "brier", "seconds")}
    print(f"\ncompared with {base}, over {len(results)} data sets:")
    print(f"{'':34}{'log-loss ratio':>24}{'accuracy':>20}{'Brier':>7}{'time':>9}", end="")
    print(f"{'win tie loss':>14}{'rank':>6}{'warned':>8}")
    for name, rank in zip(names, ranks, strict=True):
        logs = np.log((means(results, name, "log_loss") + added) / (reference["log_loss"] + added))
        ratio = "{:.3f} ({:.3f} to {:.3f})".format(*np.exp(interval(logs)))
        points = 100 * (means(results, name, "accuracy") - reference["accuracy"])
        accuracy = "{:+.2f} ({:+.2f}, {:+.2f})".format(*interval(points))
        briers = (means(results, name, "brier") + added) / (reference["brier"] + added)
        seconds = np.exp(np.log(means(results, name, "seconds") / reference["seconds"]).mean())
        win, tie, loss = win_tie_loss(np.exp(logs))
        warned = means(results, name, "warned").mean()
        brier = np.exp(np.log(briers).mean())
        print(f"{name:34}{ratio:>24} {accuracy:>19} {brier:6.3f}{seconds:9.3f}", end="")
        print(f"{win:6}{tie:4}{loss:4}{rank:6.2f}{warned:8.0%}")


def pairwise_table(results: dict, names: list[str], added: float = 0.0) -> None:
    """Print win, tie, loss of each row against each column; ``added`` is added to log-losses."""
    losses = [means(results, name, "log_loss") + added for name in names]
    print(f"\nwin/tie/loss of the row against the column, over {len(results)} data sets:")
    print(" " * 34 + "".join(f"{f'({at})':>10}" for at in range(1, len(names) + 1)))
    for at, (name, row) in enumerate(zip(names, losses, strict=True), 1):
        cells = [f"{'{}/{}/{}'.format(*win_tie_loss(row / column)):>10}" for column in losses]
        cells[at - 1] = f"{'-':>10}"
        print(f"{f'({at}) {name}':34}{''.join(cells)}")


def spread(results: dict, name: str) -> float:
    """Return the relative standard deviation of the log-loss over the splits: the median of the data sets."""
    losses = [row[name]["log_loss"] for row in results.values()]
    return float(np.median([np.std(loss, ddof=1) / np.mean(loss) for loss in losses]))


def subplots(height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(8, height), layout="constrained")


def picture(results: dict, names: list[str], base: str, file: Path) -> None:
    """Draw the log-loss ratio of each data set as a dot, and the geometric mean with its interval."""
    figure, axes = subplots(0.7 * len(names) + 1.2)
    rng = np.random.default_rng(0)
    others = [name for name in names if name != base]
    for at, name in enumerate(reversed(others)):
        logs = np.log(means(results, name, "log_loss") / means(results, base, "log_loss"))
        color = "#0072B2" if name.startswith(OURS) and at == len(others) - 1 else "#767676"
        below = at - 0.28 + rng.uniform(-0.1, 0.1, len(logs))
        axes.plot(np.exp(logs), below, "o", ms=4, alpha=0.5, color=color)
        middle, low, high = np.exp(interval(logs))
        axes.plot([low, high], [at, at], "-", lw=3, color=color)
        axes.plot(middle, at, "D", ms=8, color=color)
        axes.annotate(f"{middle:.2f}", (middle, at), (0, 8), textcoords="offset points", ha="center")
    axes.axvline(1.0, color="black", lw=1)
    axes.set_yticks(range(len(others)), reversed(others))
    axes.set_ylim(-0.6, len(others) - 0.5)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    axes.minorticks_off()
    axes.set_xlabel(f"log-loss, as a multiple of that of {base}\n(dots: data sets; left is better)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)


def rank_picture(results: dict, names: list[str], file: Path) -> None:
    """Draw the mean ranks as dots, each in the middle of a bar as long as the critical difference."""
    ranks = mean_ranks(np.array([means(results, name, "log_loss") for name in names]))
    half = critical_difference(len(names), len(results)) / 2
    figure, axes = subplots(0.45 * len(names) + 1.2)
    for at, index in enumerate(np.argsort(-ranks, kind="stable")):
        color = "#0072B2" if names[index] == OURS else "#767676"
        axes.errorbar(ranks[index], at, xerr=half, fmt="D", ms=8, lw=3, color=color, label=names[index])
        axes.annotate(
            f"{ranks[index]:.2f}", (ranks[index], at), (0, 8), textcoords="offset points", ha="center"
        )
    best = ranks.min()
    axes.axvspan(best - half, best + half, color="black", alpha=0.08, lw=0)
    axes.set_yticks(range(len(names)), axes.get_legend_handles_labels()[1])
    axes.set_ylim(-0.6, len(names) - 0.2)
    axes.set_xticks(range(1, len(names) + 1))
    axes.set_xlabel(
        f"mean rank by log-loss over {len(results)} data sets; left is better\n"
        f"(bars overlap unless ranks differ by the critical difference, {2 * half:.2f})"
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare default parameters.")
    parser.add_argument("folder", type=Path, nargs="?", help="folder of .npz files with arrays X and y")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], help="parts of names of data sets")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--picture", type=Path, help="file for a picture of the log-loss ratios")
    parser.add_argument("--ranks", type=Path, help="file for a picture of the mean ranks")
    parser.add_argument("--pytabkit", action="store_true", help="also RealMLP-TD-S and TabM, which take long")
    options = parser.parse_args()
    use_fast(False)
    compared = ablations() if options.ablation else contenders(options.pytabkit)
    names = list(compared)
    bases = [OURS] if options.ablation else [name for name in (BASE, BOOSTING, CATBOOST) if name in compared]
    results = compare(compared, data_sets(options.folder, options.only), options.splits)
    for base in bases:
        table(results, names, base)
    if not options.ablation:
        pairwise_table(results, names)
    if options.splits > 1:
        print(
            f"\nstandard deviation of {OURS}'s log-loss over the splits: {spread(results, OURS):.0%} (median)"
        )
    if options.json:
        options.json.write_text(json.dumps(results))
    if options.picture:
        picture(results, names, bases[0], options.picture)
    if options.ranks:
        rank_picture(results, names, options.ranks)


if __name__ == "__main__":
    main()
