"""Measure the time of each part of a training step and of a fit: ``python benchmarks/step_profile.py``.

The tables have microseconds per step of the fits of ``fit.py``, and milliseconds of the fits of
``TinyClassifier()`` on the small data sets of scikit-learn, all on one pinned core, with NumPy alone and
with the extra [fast], if it is installed. Each time is the minimum of several fits, which take turns; the
functions of a group are timed in the same fits. "Loop" and "rest" are differences: the training loop without
its parts, and the fit without its epochs or parts.
"""

import argparse
import inspect
import time
from functools import partial
from importlib.util import find_spec

from timing import pin_to_one_core

pin_to_one_core()

import numpy as np  # noqa: E402
import peers  # noqa: E402
from sklearn import datasets  # noqa: E402

from tinyclf import TinyClassifier, use_fast  # noqa: E402
from tinyclf.estimator import classifier, dataset, plan, state, trainer, validation  # noqa: E402
from tinyclf.nn import batches, kernels, layers, losses, objective, optimizers, training  # noqa: E402

# The compiled loops, if numba is installed: two of them compute the fused loss and gradient.
if find_spec("numba"):
    use_fast(True)
    kernels.load(np.dtype(np.float32))
LOOPS = kernels.compiled(np.dtype(np.float32))
MODES = {"NumPy alone": False, **({"[fast]": True} if LOOPS else {})}

STEP = [
    {
        "fused: batch, forward pass": [(LOOPS, "batch_logits")] if LOOPS else [],
        "fused: loss, backward pass": [(LOOPS, "batch_gradient")] if LOOPS else [],
        "gather the batch": [(batches.DenseRows, "gather")],
        "products, forward": [(layers.Dense, "product")],
        "bias and ReLU": [(kernels, "add_bias"), (kernels, "add_bias_relu")],
        "loss and its gradient": [(losses.SoftmaxCrossEntropy, "value_and_grad")],
        "products, backward": [(layers.Dense, "product_backward")],
        "mask of ReLU, bias gradient": [(kernels, "relu_backward_bias")],
        "optimizer": [(optimizers.Adam, "step")],
    },
    {"value and gradient of a batch": [(objective.Objective, "value_and_grad")]},
    {"epoch": [(training, "run_epoch")]},
]

FIT = [
    {
        "check parameters": [(classifier.TinyClassifier, "_validate_params")],
        "read X and y": [(dataset.Dataset, "read")],
        "plan, scaling, initial weights": [(plan.FitPlan, "resolve"), (state.FitState, "start")],
        "held-out rows, inputs": [(trainer.Trainer, "__init__")],
        "epochs": [(training, "run_epoch")],
        "validation": [(trainer.Trainer, "_measure")],
        "calibration": [(validation.Validation, "shrinkage"), (trainer.Trainer, "_calibrate")],
        "diagnosis": [(classifier, "diagnose")],
    },
]


def measured(runs: dict[str, peers.Run], groups: list[dict], repeats: int) -> dict[str, dict[str, float]]:
    """Return the seconds of each run ("fit"), by its name, and of the parts of fits; the runs take turns."""
    best: dict[str, dict[str, float]] = {name: {} for name in runs}

    def time_once(name: str, group: dict) -> None:
        originals = []
        seconds = dict.fromkeys(group, 0.0)
        for part, places in group.items():
            for holder, attribute in places:
                original = inspect.getattr_static(holder, attribute)
                originals.append((holder, attribute, original))
                setattr(holder, attribute, timed(original, part, seconds))
        try:
            started = time.perf_counter()
            runs[name]()
            if not group:
                seconds["fit"] = time.perf_counter() - started
        finally:
            for holder, attribute, original in originals:
                setattr(holder, attribute, original)
        for part, value in seconds.items():
            best[name][part] = min(best[name].get(part, float("inf")), value)

    for run in runs.values():
        run()
    for _ in range(repeats):
        for group in groups:
            for name in MODES:
                time_once(name, group)
        for name in runs:
            time_once(name, {})
    return best


def timed(function, part: str, spent: dict[str, float]):
    """Return the function, or class method, with its time added to a part."""
    called = function.__func__ if isinstance(function, classmethod) else function

    def wrapper(*args, **kwargs):
        started = time.perf_counter()
        try:
            return called(*args, **kwargs)
        finally:
            spent[part] += time.perf_counter() - started

    return classmethod(wrapper) if isinstance(function, classmethod) else wrapper


def step_profile(task, repeats: int) -> dict[str, dict[str, float]]:
    """Return microseconds per step of each part, with NumPy alone and with compiled loops."""
    steps = task.epochs * len(task.batches(0))
    runs = {name: peers.tinyclf(task, fast=fast) for name, fast in MODES.items()}
    found = measured({**runs, "products": peers.products(task)}, STEP, repeats)
    products = found.pop("products")["fit"]
    for best in found.values():
        best["loop: order, schedule, checks"] = (
            best["epoch"] - best["value and gradient of a batch"] - best["optimizer"]
        )
        best["rest: data, history, diagnostics"] = best["fit"] - best["epoch"]
        best["matrix products alone"] = products
    return {name: {part: 1e6 * v / steps for part, v in best.items()} for name, best in found.items()}


def fit_profile(name: str, repeats: int) -> dict[str, dict[str, float]]:
    """Return milliseconds of each part of a fit with default parameters."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)

    def fit(fast: bool) -> None:
        use_fast(fast)
        TinyClassifier(random_state=0).fit(X, y)

    found = measured({mode: partial(fit, fast) for mode, fast in MODES.items()}, FIT, repeats)
    for best in found.values():
        whole = best.pop("fit")
        best["rest: history, loop, callbacks"] = whole - sum(best.values())
        best["fit"] = whole
    return {mode: {part: 1e3 * value for part, value in best.items()} for mode, best in found.items()}


def show(title: str, profiles: dict[str, dict[str, dict[str, float]]], digits: int) -> None:
    """Print a table with a column for each name and mode."""
    print(f"\n{title:34}", *(f"{name:>18}{'':{12 * (len(MODES) - 1)}}" for name in profiles))
    columns = [column for modes in profiles.values() for column in modes.values()]
    print(f"{'':34}", *(f"{mode:>{18 if i == 0 else 11}}" for _ in profiles for i, mode in enumerate(MODES)))
    for part in columns[0]:
        cells = (f"{c[part]:{11 if i % len(MODES) else 18}.{digits}f}" for i, c in enumerate(columns))
        print(f"{part:34}", *cells, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9, help="number of fits")
    repeats = parser.parse_args().repeats
    tasks = [peers.equalized(task) for task in peers.tasks(alpha=0.0)[:4]]
    show("microseconds per step", {task.name: step_profile(task, repeats) for task in tasks}, 1)
    names = ("iris", "wine", "breast_cancer", "digits")
    show("milliseconds per fit", {name: fit_profile(name, repeats) for name in names}, 2)


if __name__ == "__main__":
    main()
