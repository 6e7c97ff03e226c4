"""Callbacks on scikit-learn's protocol, to be set by ``model.set_callbacks(...)``.

Scikit-learn's own ``ProgressBar`` and ``ScoringMonitor`` work as well. These are for `TinyClassifier`; what
they decide by is what its parameters decide by: `stopping` and `validation`.

>>> from sklearn.datasets import load_iris
>>> from sklearn.preprocessing import scale
>>> from tinyclf import TinyClassifier
>>> X, y = load_iris(return_X_y=True)
>>> monitor = ValidationMonitor(scale(X)[::3], y[::3])
>>> model = TinyClassifier(max_iter=300, learning_rate_init=0.01, random_state=0)
>>> model = model.set_callbacks(monitor, EarlyStopping(tol=0.01)).fit(scale(X), y)
>>> model.n_iter_ < 300, len(monitor.get_logs().data) == model.n_iter_ + 1  # each epoch, and the end
(True, True)
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from sklearn.callback import ScoringMonitor

from .classifier import TinyClassifier
from .errors import whole_number
from .files import write_atomically
from .hooks import fit_of, is_epoch, without_callbacks
from .stopping import Best, Plateau
from .validation import Scorer, as_scorer
from .watch import Watch


class _Callback:
    """What scikit-learn's protocol asks for; state is kept per fit, as clones share their callbacks."""

    def __init__(self) -> None:
        self._fits: dict[tuple[Any, ...], Any] = {}

    def setup(self, estimator: Any, context: Any) -> None:
        """Begin a fit."""
        if not isinstance(estimator, TinyClassifier):
            raise TypeError(
                f"{type(self).__name__} is for a TinyClassifier, got a {type(estimator).__name__}; set it on "
                "that step, as in pipeline[-1].set_callbacks(...)"
            )
        self._fits[fit_of(context)] = self._new()

    def teardown(self, estimator: Any, context: Any) -> None:
        """Forget a fit."""
        self._fits.pop(fit_of(context), None)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing: all is done at the end of a task."""

    def _new(self) -> Any:
        """Return the state of a new fit."""
        raise NotImplementedError


class EarlyStopping(_Callback):
    """Stop when the training loss, or the score of a validation set, has not improved for some epochs.

    The same policy as ``early_stopping`` and ``tol`` of `TinyClassifier`, beside them. Whichever
    is reached first ends the training.

    Parameters
    ----------
    X_val, y_val : like X and y of fit, optional
        A validation set, as the classifier is to see it: in a pipeline, transformed. With it the best weights
        are restored at the end.
    sample_weight_val : array_like of shape (n_val,), optional
    scoring : "loss", name of a scorer, or callable, default="loss"
        How the validation set is scored; higher is better, "loss" is minus the loss.
    tol : float, default=1e-4
        What counts as an improvement, at least 0.
    n_iter_no_change : int, default=10
        Number of epochs without one after which the next ends the training.
    """

    def __init__(
        self,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
        *,
        scoring: str | Scorer = "loss",
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
    ) -> None:
        super().__init__()
        if (X_val is None) != (y_val is None):
            raise ValueError(
                f"X_val and y_val belong together, got no {'X_val' if X_val is None else 'y_val'}"
            )
        Plateau(tol, n_iter_no_change)  # names what is wrong with them
        as_scorer(scoring)
        self.X_val, self.y_val, self.sample_weight_val = X_val, y_val, sample_weight_val
        self.scoring = scoring
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change

    def _new(self) -> Watch:
        return Watch(Plateau(self.tol, self.n_iter_no_change))

    def on_fit_task_end(self, estimator: Any, context: Any, *, X: Any = None) -> bool:
        """After an epoch, tell whether to stop."""
        if X is None or not is_epoch(context):  # without X it was not finished
            return False
        watch: Watch = self._fits[fit_of(context)]
        if self.X_val is not None and watch.validation is None:
            watch.validation = estimator._validation(
                self.X_val, self.y_val, self.sample_weight_val, self.scoring
            )
        return watch.reached(estimator, watch.measure(estimator))

    def training_ends(self, estimator: Any, context: Any) -> None:
        """Restore the best weights; with ``refit`` their epoch counts."""
        self._fits[fit_of(context)].restore(estimator)


class ValidationMonitor(ScoringMonitor):  # type: ignore[misc]
    """Log the loss and the score of a validation set after each epoch.

    Scikit-learn's ``ScoringMonitor`` sees the training data only; this one carries a validation set. The log
    is the same, also from searches in several processes: ``monitor.get_logs().data_as_pandas``.

    Parameters
    ----------
    X_val, y_val : like X and y of fit
        As the classifier is to see them: in a pipeline, transformed.
    sample_weight_val : array_like of shape (n_val,), optional
    scoring : "loss", name of a scorer, or callable, default="loss"
        Higher is better; "loss" is minus the loss.
    """

    def __init__(
        self,
        X_val: Any,
        y_val: Any,
        sample_weight_val: ArrayLike | None = None,
        *,
        scoring: str | Scorer = "loss",
    ) -> None:
        if X_val is None or y_val is None:
            raise ValueError("ValidationMonitor needs X_val and y_val, got None")
        as_scorer(scoring)
        self.X_val, self.y_val, self.sample_weight_val = X_val, y_val, sample_weight_val
        self.scoring = scoring
        super().__init__(scoring=self._measure)

    def _measure(self, estimator: Any, X: Any, y: Any) -> dict[str, float]:
        validation = estimator._validation(X, y, self.sample_weight_val, self.scoring)
        loss, score = validation.measure(estimator)
        return {"loss": loss, "score": score}

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> None:
        """Measure the estimator as it would be if the fit had stopped here."""
        super().on_fit_task_end(
            estimator, context, X=self.X_val, y=self.y_val, fitted_estimator=fitted_estimator
        )


class Checkpoint(_Callback):
    """Save the model after each epoch, or every few, so that a crash costs no more than these.

    The file is a pickle of the estimator as it is then, without its callbacks: it predicts, and goes on by
    ``partial_fit``. It is complete at any moment: a new one replaces the old one in one step, and a
    save that fails leaves the old one. In a search, whose fits run at the same time, each needs a path of its
    own.

    Parameters
    ----------
    path : str or Path
    every : int, default=1
        Number of epochs from one file to the next; the model at the end of the fit is saved in any case.
    best_only : bool, default=False
        Whether to save only when the validation score, or without a validation set the training loss, is the
        best so far.
    """

    def __init__(self, path: str | Path, *, every: int = 1, best_only: bool = False) -> None:
        super().__init__()
        self.path = Path(path)
        self.every = whole_number("every", every, 1)
        self.best_only = best_only

    def setup(self, estimator: Any, context: Any) -> None:
        path = self.path.resolve()
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to save {path.name!r} in")
        if path.exists() and not path.is_file():
            raise FileExistsError(f"{str(path)!r} is no file that a checkpoint could replace")
        super().setup(estimator, context)

    def _new(self) -> Best:
        return Best()

    def on_fit_task_end(self, estimator: Any, context: Any, *, X: Any = None) -> None:
        """Save, if it is time to."""
        if X is None:  # an epoch that was not finished
            return
        at_the_end = not is_epoch(context)
        if self.best_only:
            scores, epoch = estimator.validation_scores_, len(estimator.loss_curve_)
            best: Best = self._fits[fit_of(context)]
            if not at_the_end:
                score = -estimator.loss_ if scores is None else scores[-1]
                best.offer(score, estimator.network_.theta, epoch)
            due = best.epoch is None if at_the_end else best.epoch == epoch
        else:
            due = at_the_end or estimator.n_iter_ % self.every == 0
        if due:
            model = without_callbacks(estimator)
            write_atomically(self.path.resolve(), lambda file: pickle.dump(model, file))
