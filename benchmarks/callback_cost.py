"""What callbacks and diagnosis cost a fit: ``python benchmarks/callback_cost.py``.

A fit of digits without a callback set and with callbacks is compared with the same fit without any call of
the callback context, and with a fit without the diagnostics at its end. The output is the ratio of the times
to the fit without callback context. All take the same steps from the same weights.
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
    """Replaces the callback context, to measure its cost."""

    def __init__(self, *arguments):
        pass

    def nothing(self, *arguments):
        return None

    saved_state = training_begins = epoch_begins = epoch_ends = training_ends = fit_ends = nothing


class Nothing:
    """A callback that does nothing after an epoch."""

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
    """Return a function that fits, with this callback context and these diagnostics."""
    model = TinyClassifier(**{**SKLEARN_DEFAULTS, "dtype": "float32"})
    model.set_params(batch_size=batch_size, max_iter=epochs, tol=0.0, random_state=0)
    model.set_callbacks(*callbacks)

    def run():
        classifier.CallbackContext, classifier.diagnose = context, diagnose
        return model.fit(X, y)

    return run


def main(repeats: int = 30) -> None:
    use_fast(False)
    warnings.simplefilter("ignore")  # 20 epochs are not enough, and are not meant to be
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    columns = ("no callback", "a callback", "ScoringMonitor", "no diagnosis")
    print(f"{'digits, 64-100-10':22}", *(f"{name:>15}" for name in columns))
    for batch_size, epochs in ((200, 20), (32, 10)):
        monitor = ScoringMonitor(scoring="accuracy")
        runs = {
            "without": fit(X, y, batch_size, epochs, context=NoContext),
            "no callback": fit(X, y, batch_size, epochs),
            "a callback": fit(X, y, batch_size, epochs, [Nothing()]),
            "ScoringMonitor": fit(X, y, batch_size, epochs, [monitor]),
            "no diagnosis": fit(X, y, batch_size, epochs, context=NoContext, diagnose=lambda *_, **__: []),
        }
        curves = {name: run().loss_curve_ for name, run in runs.items()}
        assert all(curve == curves["without"] for curve in curves.values())
        best = side_by_side(runs, repeats)
        ratios = [f"{best[name] / best['without']:15.3f}" for name in columns]
        print(f"batch {batch_size}, {epochs} epochs".ljust(22), *ratios)


if __name__ == "__main__":
    main()
