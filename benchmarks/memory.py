"""Measure the peak memory of ``fit`` and ``predict_proba``: ``python benchmarks/memory.py [--quick]``.

The script prints the peak of what Python and NumPy allocate (by tracemalloc) during the call, without the
data and the result, for TinyClassifier, with eight members, and MLPClassifier. Like MLPClassifier,
TinyClassifier does not scale, hold rows out or calibrate here.
"""

import argparse
import tracemalloc
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from tinyclf import TinyClassifier, use_fast

FEATURES = 30


def peak(call) -> int:
    """Return the largest number of bytes allocated during a call, without the array that it returns."""
    tracemalloc.start()
    result = call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most - getattr(result, "nbytes", 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few rows")
    sizes = (10_000, 100_000, 1_000_000)[: 1 if parser.parse_args().quick else None]
    warnings.simplefilter("ignore", ConvergenceWarning)  # too few epochs to converge, on purpose
    use_fast(False)
    rng = np.random.default_rng(0)
    digits, digit = load_digits(return_X_y=True)
    cases = {"digits, float64": (digits, digit), "digits, float32": (digits.astype("float32"), digit)}
    for n in sizes:
        X = rng.normal(size=(n, FEATURES)).astype("float32")
        cases[f"{n:,} x {FEATURES}, float32"] = (X, X[:, :5].argmax(axis=1))
    print(f"{'MB beyond the data':28}{'X':>8}{'fit':>10}{'MLP':>10}{'predict_proba':>16}{'MLP':>10}")
    for name, (X, y) in cases.items():
        row = [X.nbytes]
        models = []
        for kind in (TinyClassifier, MLPClassifier):
            ours = {"scale_inputs": False, "calibrate": False} if kind is TinyClassifier else {}
            model = kind(max_iter=2, early_stopping=False, random_state=0, batch_size=200, **ours)
            model.fit(X[:500], y[:500])  # do not count imports and caches of the first use
            row.append(peak(lambda model=model, X=X, y=y: model.fit(X, y) and None))
            models.append(model)
        row += [peak(lambda model=model, X=X: model.predict_proba(X)) for model in models]
        widths = "{:28}{:8.2f}{:10.3f}{:10.3f}{:16.3f}{:10.3f}"
        print(widths.format(name, *(bytes_ / 1e6 for bytes_ in row)), flush=True)


if __name__ == "__main__":
    main()
