"""Measure the time that callbacks and diagnostics add to a fit: ``python benchmarks/callback_cost.py``.

The script fits digits without callbacks, with a callback that does nothing, with a ``ScoringMonitor``, and
without the callback context and the diagnostics. It prints the times divided by that of a fit without the
callback context. All fits take the same steps from the same weights.
"""

from timing import pin_to_one_core, side_by_side

pin_to_one_core()

import warnings  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.callback import ScoringMonitor  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from tinyclf import SKLEARN_DEFAULTS, TinyClassifier, use_fast  # noqa: E402
from tinyclf.estimator import classifier  # noqa: E402


class NoContext:
    """Replace the callback context by methods that do nothing."""

    def __init__(self, *arguments):
        pass

    def nothing(self, *arguments):
        return None

    saved_state = training_begins = epoch_begins = epoch_ends = training_ends = fit_ends = nothing


class Nothing:
    """A callback that does nothing."""

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = on_fit_task_end = setup


def fit(
    X,
    y,
    batch_size,
    epochs,
    callbacks=(),
    context=classifier.CallbackContext,
    diagnose=classifier.diagnose,
):
    """Return a function that fits a model with this callback context and these diagnostics."""
    model = TinyClassifier(**{**SKLEARN_DEFAULTS, "dtype": "float32"})
    model.set_params(batch_size=batch_size, max_iter=epochs, tol=0.0, random_state=0)
    model.set_callbacks(*callbacks)

    def run():
        classifier.CallbackContext, classifier.diagnose = context, diagnose
        return model.fit(X, y)

    return run


def main(repeats: int = 30) -> None:
    use_fast(False)
    warnings.simplefilter("ignore")  # too few epochs to converge, on purpose
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    columns = ("no callback", "a callback", "ScoringMonitor", "no diagnostics")
    print(f"{'digits, 64-100-10':22}", *(f"{name:>15}" for name in columns))
    for batch_size, epochs in ((200, 20), (32, 10)):
        monitor = ScoringMonitor(scoring="accuracy")
        runs = {
            "without": fit(X, y, batch_size, epochs, context=NoContext),
            "no callback": fit(X, y, batch_size, epochs),
            "a callback": fit(X, y, batch_size, epochs, [Nothing()]),
            "ScoringMonitor": fit(X, y, batch_size, epochs, [monitor]),
            "no diagnostics": fit(X, y, batch_size, epochs, context=NoContext, diagnose=lambda *_, **__: []),
        }
        curves = {name: run().loss_curve_ for name, run in runs.items()}
        assert all(curve == curves["without"] for curve in curves.values())
        best = side_by_side(runs, repeats)
        ratios = [f"{best[name] / best['without']:15.3f}" for name in columns]
        print(f"batch {batch_size}, {epochs} epochs".ljust(22), *ratios)


if __name__ == "__main__":
    main()
