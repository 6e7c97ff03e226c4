"""What callbacks and diagnosis cost a fit: ``python benchmarks/callback_cost.py``.

A fit of digits with scikit-learn's callback hooks in place but no callback set, and with callbacks, beside
the same fit from which the hooks are taken out; and a fit without the look that diagnosis takes at its end.
The output is the ratio of the times to the fit without hooks. All take the same steps from the same weights.
"""

from timing import pin_to_one_core, side_by_side

pin_to_one_core()

import warnings  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.callback import ScoringMonitor  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from tinyclf import SKLEARN_DEFAULTS, EarlyStopping, TinyClassifier, classifier, use_fast  # noqa: E402


class NoHooks:
    """Stands in for the hooks, to see what these cost."""

    def __init__(self, *arguments):
        pass

    def nothing(self):
        return False

    epoch_begins = epoch_ends = fit_ends = nothing


def fit(X, y, batch_size, epochs, callbacks=(), hooks=classifier.Hooks, look=classifier.look):
    """Something to call that fits, with these hooks and this diagnosis."""
    model = TinyClassifier(**{**SKLEARN_DEFAULTS, "dtype": "float32"})
    model.set_params(batch_size=batch_size, max_iter=epochs, tol=0.0, random_state=0)
    model.set_callbacks(*callbacks)

    def run():
        classifier.Hooks, classifier.look = hooks, look
        return model.fit(X, y)

    return run


def main(repeats: int = 30) -> None:
    use_fast(False)
    warnings.simplefilter("ignore")  # 20 epochs are not enough, and are not meant to be
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    X_val, y_val = X[:100], y[:100]
    columns = ("no callback", "EarlyStopping", "ScoringMonitor", "no diagnosis")
    print(f"{'digits, 64-100-10':22}", *(f"{name:>15}" for name in columns))
    for batch_size, epochs in ((200, 20), (32, 10)):
        monitor = ScoringMonitor(scoring="accuracy")
        stopping = EarlyStopping(X_val, y_val, n_iter_no_change=1000)
        runs = {
            "without": fit(X, y, batch_size, epochs, hooks=NoHooks),
            "no callback": fit(X, y, batch_size, epochs),
            "EarlyStopping": fit(X, y, batch_size, epochs, [stopping]),
            "ScoringMonitor": fit(X, y, batch_size, epochs, [monitor]),
            "no diagnosis": fit(X, y, batch_size, epochs, hooks=NoHooks, look=lambda *_, **__: []),
        }
        curves = {name: run().loss_curve_ for name, run in runs.items()}
        assert all(curve == curves["without"] for curve in curves.values())
        best = side_by_side(runs, repeats)
        ratios = [f"{best[name] / best['without']:15.3f}" for name in columns]
        print(f"batch {batch_size}, {epochs} epochs".ljust(22), *ratios)


if __name__ == "__main__":
    main()
