"""Measure the time of each part of a training step: ``python benchmarks/step_profile.py [--repeats N]``.

The script prints microseconds per step of the parts of a fit, on one pinned core. The functions in `GROUPS`
are timed one group after the other, so that timed functions do not call each other; each time is the minimum
of several fits. The last two lines are differences: the training loop without its parts, and the fit without
its epochs.
"""

import argparse
import time
from importlib.util import find_spec

from timing import pin_to_one_core

pin_to_one_core()

import peers  # noqa: E402

from tinyclf import use_fast  # noqa: E402
from tinyclf.nn import batches, layers, losses, network, objective, optimizers, training  # noqa: E402

GROUPS = [
    {
        "gather the batch": [(batches.DenseRows, "gather")],
        "forward": [(network.Network, "forward")],
        "loss and its gradient": [(losses.SoftmaxCrossEntropy, "value_and_grad")],
        "backward": [(network.Network, "backward")],
        "optimizer": [(optimizers.Adam, "step")],
    },
    {
        "  Dense forward": [(layers.Dense, "forward")],
        "  ReLU forward": [(layers.ReLU, "forward")],
        "  Dense backward": [(layers.Dense, "backward")],
        "  ReLU backward": [(layers.ReLU, "backward")],
    },
    {"value and gradient of a batch": [(objective.Objective, "value_and_grad")]},
    {"epoch": [(training, "run_epoch")]},
]


def profile(task, fast: bool, repeats: int) -> dict[str, float]:
    """Return microseconds per step of each part, and of the matrix products alone."""
    steps = task.epochs * len(task.batches(0))
    run, products = peers.tinyclf(task, fast=fast), peers.products(task)
    run()
    best: dict[str, float] = {}
    for group in GROUPS:
        originals = []
        spent = dict.fromkeys(group, 0.0)
        for part, places in group.items():
            for holder, name in places:
                original = getattr(holder, name)
                originals.append((holder, name, original))
                setattr(holder, name, timed(original, part, spent))
        try:
            for _ in range(repeats):
                spent.update(dict.fromkeys(group, 0.0))
                started = time.perf_counter()
                run()
                spent["fit"] = time.perf_counter() - started
                for part, value in spent.items():
                    best[part] = min(best.get(part, float("inf")), value)
        finally:
            for holder, name, original in originals:
                setattr(holder, name, original)
    for _ in range(repeats):
        started = time.perf_counter()
        products()
        value = time.perf_counter() - started
        best["matrix products alone"] = min(best.get("matrix products alone", float("inf")), value)
    best["loop: order, schedule, checks"] = (
        best["epoch"] - best["value and gradient of a batch"] - best["optimizer"]
    )
    best["rest: data, history, diagnostics"] = best["fit"] - best["epoch"]
    return {part: 1e6 * value / steps for part, value in best.items()}


def timed(function, part: str, spent: dict[str, float]):
    def wrapper(*args, **kwargs):
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[part] += time.perf_counter() - started

    return wrapper


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9, help="number of fits")
    repeats = parser.parse_args().repeats
    tasks = [peers.equalized(task) for task in peers.tasks(alpha=0.0)[:4]]
    for fast in (False, True) if find_spec("numba") else (False,):
        use_fast(fast)
        print(f"\n{'[fast]' if fast else 'NumPy alone':32}", *(f"{task.name:>18}" for task in tasks))
        columns = [profile(task, fast, repeats) for task in tasks]
        for part in columns[0]:
            print(f"{part:32}", *(f"{column[part]:18.1f}" for column in columns))


if __name__ == "__main__":
    main()
