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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import joblib
from numpy.typing import ArrayLike
from sklearn.callback import ScoringMonitor

from . import persistence
from .classifier import TinyClassifier
from .errors import whole_number
from .files import place_for
from .hooks import fit_of, is_epoch
from .stopping import Best, Plateau
from .validation import Sample, Scorer, as_scorer
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


@dataclass
class _Saving:
    """What a checkpoint knows of one fit.

    Attributes
    ----------
    path : Path
    best : Best
    fit : dict of str or None
        What tells the fit from others, by name, if it can be resumed.
    progress : callable or None
        Returns what `Supervisor.progress` returns, once the training has begun.
    """

    path: Path
    best: Best = field(default_factory=Best)
    fit: dict[str, str] | None = None
    progress: Callable[[], dict[str, Any] | None] | None = None


class Checkpoint(_Callback):
    """Save the model after each epoch, or every few, so that a crash costs no more than these.

    The file is one that `tinyclf.load` reads: the model as it is then, without its callbacks. It is complete
    at any moment: a new one replaces the old one in one step, and a save that fails leaves the old one. (A
    kill during a save can leave a second file beside it, that ends in ``.tmp`` and can be removed.)

    With ``resume=True`` a fit that was killed is gone on with: run the same program again, and `fit` begins
    where the file stops, and ends with the same weights, bit for bit on the same machine, as if it had never
    been killed. Nothing is left to do for a fit that was finished. What follows the last epoch, ``refit`` and
    ``calibrate``, leaves no files of its own: if it is killed, it is done again. A fit that Ctrl-C has ended
    leaves the file of its last epoch, and is gone on with, too. To begin anew, remove the file.

    Each fit needs a path of its own, also in a search: fits that share one, at the same time or one after the
    other, replace each other's file, or with ``resume=True`` are refused.

    Parameters
    ----------
    path : str or Path
    every : int, default=1
        Number of epochs from one file to the next; the model at the end of the fit is saved in any case.
    best_only : bool, default=False
        Whether to save only when the validation score, or without a validation set the training loss, is the
        best so far.
    resume : bool, default=False
        Whether `fit` goes on from the file, if there is one. The parameters and the data must be those of the
        fit that left it, also ``max_iter``, over which learning rates may fall: to train a finished model for
        longer, load it and fit it with ``warm_start``. Not with "lbfgs", whose solver cannot be stopped and
        started, and not for a fit that itself goes on from an earlier one (``warm_start``). Other callbacks
        begin anew.
    custom : mapping of str to class or function, optional
        What is not tinyclf's own in the model, as for `TinyClassifier.save`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        every: int = 1,
        best_only: bool = False,
        resume: bool = False,
        custom: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.every = whole_number("every", every, 1)
        self.best_only = best_only
        self.resume = resume
        self.custom = custom
        if resume and best_only:
            raise ValueError("resume=True needs every epoch, and best_only=True leaves some out; choose one")

    def setup(self, estimator: Any, context: Any) -> None:
        super().setup(estimator, context)
        persistence.described(estimator, persistence.Writer(self.custom))  # names what a file cannot hold

    def _new(self) -> _Saving:
        path = place_for(self.path)
        with TemporaryFile(dir=path.parent):  # an error before the training if the folder takes no files
            return _Saving(path)

    def resumed(self, estimator: Any, context: Any, data: tuple[Sample | None, ...]) -> Any:
        """Return the model and the progress of the fit that is about to begin, if the file has them."""
        if not self.resume:
            return None
        if estimator.solver == "lbfgs":
            raise ValueError('Checkpoint(resume=True) cannot go on with solver="lbfgs"; fit without resume')
        if any(isinstance(callback, EarlyStopping) for callback in estimator._skl_callbacks):
            raise ValueError(
                "Checkpoint(resume=True) does not keep the state of EarlyStopping; hand its validation set "
                "to fit, as X_val and y_val"
            )
        if estimator.warm_start and hasattr(estimator, "network_"):
            raise ValueError(
                "Checkpoint(resume=True) cannot go on with a fit that goes on by warm_start=True"
            )
        saving: _Saving = self._fits[fit_of(context)]
        saving.fit = self._made_by(estimator, data)
        if not saving.path.exists():
            return None
        model, progress = persistence.load(TinyClassifier, saving.path, self.custom)
        if progress is None:
            raise ValueError(
                f"{str(saving.path)!r} was not made with resume=True, and no fit can go on from it. Remove "
                "the file to begin anew"
            )
        found = progress["fit"]
        others = [name for name in {**saving.fit, **found} if saving.fit.get(name) != found.get(name)]
        if others:
            raise ValueError(
                f"{str(saving.path)!r} was left by another fit, with other {', '.join(others)}. Fit as it "
                "did, or remove the file to begin anew"
            )
        return model, progress["training"]

    def _made_by(self, estimator: Any, data: tuple[Sample | None, ...]) -> dict[str, str]:
        """Return a hash of each parameter, and of all data: what tells this fit from others."""
        made_by: dict[str, Any] = {}
        for name, value in estimator.get_params(deep=False).items():
            write = persistence.Writer(self.custom)
            made_by[name] = write(value, name), write.arrays
        del made_by["verbose"]
        columns = getattr(estimator, "feature_names_in_", None)
        for suffix, sample in zip(("", "_val"), data, strict=True):
            if sample is not None:
                made_by[f"X{suffix}"] = sample.X, columns
                made_by[f"y{suffix}"] = sample.targets, sample.labels
                made_by[f"sample_weight{suffix}"] = sample.weight
        return {name: str(joblib.hash(value)) for name, value in made_by.items()}

    def training_begins(self, context: Any, progress: Callable[[], dict[str, Any] | None]) -> None:
        """Note how to ask for the progress of the training."""
        self._fits[fit_of(context)].progress = progress

    def training_is_stopped(self, estimator: Any, context: Any) -> None:
        """Save that another callback has stopped the training, so that who goes on with it knows."""
        if self.resume:
            self._save(estimator, self._fits[fit_of(context)])

    def on_fit_task_end(self, estimator: Any, context: Any, *, X: Any = None) -> None:
        """Save, if it is time to."""
        if X is None:  # an epoch that was not finished
            return
        saving: _Saving = self._fits[fit_of(context)]
        at_the_end = not is_epoch(context)
        if self.best_only:
            scores, epoch = estimator.validation_scores_, len(estimator.loss_curve_)
            if not at_the_end:
                score = -estimator.loss_ if scores is None else scores[-1]
                saving.best.offer(score, estimator.network_.theta, epoch)
            due = saving.best.epoch is None if at_the_end else saving.best.epoch == epoch
        elif at_the_end and self.resume:  # the last epoch's file stays if it is to be gone on with
            due = saving.progress is not None and saving.progress() is None
        else:
            due = at_the_end or estimator.n_iter_ % self.every == 0
        if due:
            self._save(estimator, saving)

    def _save(self, estimator: Any, saving: _Saving) -> None:
        progress = None
        if self.resume and saving.progress is not None:
            progress = {"fit": saving.fit, "training": saving.progress()}
        persistence.save(estimator, saving.path, self.custom, progress)
