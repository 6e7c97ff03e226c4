"""Measure the time of an epoch by the size of the data: ``python benchmarks/scaling.py [--quick]``.

The script prints the time of an epoch on one pinned core, in batches of 200 unless stated otherwise:

- by the number of rows, and by the number of classes; a fit has as many epochs as add up to 20,000 rows, at
  least one;
- by the fraction of nonzero entries of sparse rows, compared with MLPClassifier; a fit has three epochs;
- by the number of members on digits, in batches of 64 and of 200; a fit has ten epochs;
- in early and late epochs of a fit in which units die.
"""

import argparse
import warnings

from timing import pin_to_one_core, side_by_side

pin_to_one_core()

import numpy as np  # noqa: E402
import scipy.sparse  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402

from tinyclf import SKLEARN_DEFAULTS, Adam, Dense, Network, ReLU, TinyClassifier, train, use_fast  # noqa: E402
from tinyclf.nn import optimizers  # noqa: E402

PARAMETERS = {"batch_size": 200, "tol": 0.0, "early_stopping": False, "random_state": 0}


def ours(**parameters) -> TinyClassifier:
    return TinyClassifier(**{**SKLEARN_DEFAULTS, "dtype": "float32", **PARAMETERS, **parameters})


def seconds(X, y, epochs: int, repeats: int, *models) -> list[float]:
    """Return the seconds of an epoch for each classifier, by default ours."""
    models = models or (ours(),)
    for model in models:
        model.set_params(max_iter=epochs)
    best = side_by_side({model: (lambda model=model: model.fit(X, y)) for model in models}, repeats)
    return [best[model] / epochs for model in models]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore", ConvergenceWarning)  # too few epochs to converge, on purpose
    warnings.simplefilter("ignore", UserWarning)
    rng = np.random.default_rng(0)
    for fast in (False, True):
        try:
            use_fast(fast)
        except ImportError as error:
            print(f"skipped: {error}")
            break
        print(f"\n{'with [fast]' if fast else 'NumPy alone'}")
        print(f"{'rows x 30, 5 classes':32}{'microseconds per row':>24}")
        for n in (1_000, 10_000, 100_000, 1_000_000)[: 2 if quick else None]:
            X = rng.normal(size=(n, 30)).astype("float32")
            epochs = max(1, 20_000 // n)
            (time,) = seconds(X, X[:, :5].argmax(axis=1), epochs, 9 if n < 100_000 else 3)
            print(f"{n:<32,}{1e6 * time / n:24.3f}", flush=True)
        print(f"{'classes, 20,000 rows x 30':32}{'milliseconds':>24}{'per 1,000 classes':>20}")
        for k in (10, 100, 1_000, 10_000)[: 2 if quick else None]:
            X = rng.normal(size=(20_000, 30)).astype("float32")
            (time,) = seconds(X, rng.permutation(20_000) % k, 1, 3)
            print(f"{k:<32,}{1e3 * time:24.1f}{1e6 * time / k:20.1f}", flush=True)
        print(f"{'2,000 sparse rows x 20,000':32}{'milliseconds':>24}{'MLPClassifier':>20}{'ratio':>10}")
        for fraction in (0.0005, 0.005, 0.02, 0.05, 0.2)[: 2 if quick else None]:
            X = scipy.sparse.random(2_000, 20_000, fraction, format="csr", random_state=0)
            both = (ours(), MLPClassifier(**PARAMETERS))
            tiny, theirs = seconds(X, rng.permutation(2_000) % 20, 3, 3, *both)
            title = f"{100 * fraction:g} % nonzero"
            print(f"{title:32}{1e3 * tiny:24.1f}{1e3 * theirs:20.1f}{theirs / tiny:10.2f}", flush=True)
        X, y = load_digits(return_X_y=True)
        print(
            f"{'members, on digits':32}{'batches of 64: ms':>24}{'ratio':>10}{'of 200: ms':>20}{'ratio':>10}"
        )
        numbers = (1, 2, 4, 8, 16)[: 2 if quick else None]
        sizes = [
            seconds(X, y, 10, 9, *(ours(n_members=k, batch_size=size) for k in numbers)) for size in (64, 200)
        ]
        for k, small, large in zip(numbers, *sizes, strict=True):
            ratios = small / sizes[0][0], large / sizes[1][0]
            print(
                f"{k:<32}{1e3 * small:24.2f}{ratios[0]:10.2f}{1e3 * large:20.2f}{ratios[1]:10.2f}", flush=True
            )
        dead_units(40 if quick else 400)


def dead_units(epochs: int) -> None:
    """Print the time of early and late epochs where units die, with and without `flush_subnormals`."""
    X, y = load_digits(return_X_y=True)
    print(f"{'digits, unscaled, half dead':32}{'epochs 3 to 12: ms':>24}{f'last 10 of {epochs}':>20}")
    original = optimizers.flush_subnormals
    for name, flush in (("flushed", original), ("not flushed", lambda vector: None)):
        optimizers.flush_subnormals = flush
        network = Network([Dense(100), ReLU(), Dense(10)], 64, seed=0)
        run = train(network, X, y, optimizer=Adam(1e-2), epochs=epochs, alpha=1e-4, seed=0)
        times = [1e3 * epoch.seconds for epoch in run]
        print(f"{name:32}{min(times[2:12]):24.2f}{min(times[-10:]):20.2f}", flush=True)
    optimizers.flush_subnormals = original


if __name__ == "__main__":
    main()
