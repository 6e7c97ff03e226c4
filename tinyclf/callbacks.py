"""Callbacks that follow scikit-learn's callback protocol; set them by ``model.set_callbacks(...)``.

Scikit-learn's own ``ProgressBar`` and ``ScoringMonitor`` work as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import joblib
import numpy as np

from .estimator import model_file
from .estimator.callback_context import fit_of, is_epoch
from .estimator.classifier import TinyClassifier
from .estimator.dataset import Dataset
from .estimator.early_stopping import BestWeights
from .estimator.state import FitState
from .estimator.streaming import StreamedMatrix
from .nn.errors import whole_number
from .persistence import Registry, check_target, encode


@dataclass
class _Saving:
    """The data of a checkpoint about one fit.

    Attributes
    ----------
    path : Path
    best : BestWeights
        The best epoch so far.
    fit : dict of str to str, or None
        Hashes of the parameters and the data, by name; None without ``resume``.
    complete : bool
        Whether the file already holds the finished fit.
    """

    path: Path
    best: BestWeights = field(default_factory=BestWeights)
    fit: dict[str, str] | None = None
    complete: bool = False


class Checkpoint:
    """Save the model after every epoch, or every few epochs, so that a crash loses only a few epochs.

    `tinyclf.load` reads the file: it contains the model after an epoch, without its callbacks. The
    file is always complete: a new file replaces the old one in one step, and a save that fails does
    not change the old one. (If the process is killed during a save, a second file that ends in
    ``.tmp`` can remain in the folder; it can be deleted.)

    With ``resume=True``, running the same program again continues a fit that was killed: `fit`
    starts from the file. On the same machine, the weights are bitwise identical to those of a fit
    that was not killed. A finished fit is not repeated. The phases after the last epoch, refit and
    calibration, do not save files: if they are killed, they are repeated. A fit that was stopped by
    Ctrl-C can be continued, too. Delete the file to start over.

    Each fit needs a different path, also in a search. Fits that share a path overwrite each other's
    file, or raise an error with ``resume=True``.

    Parameters
    ----------
    path : str or Path
    every : int, default=1
        Number of epochs between two saves. The model at the end of the fit is always saved, except
        if Ctrl-C stops a fit with ``resume=True``. Not used with ``best_only=True``.
    best_only : bool, default=False
        Whether to save only after an epoch with the best validation score so far (without a
        validation set, the lowest training loss). The file then keeps the best epoch of the search,
        without the refit and the calibration at the end of the fit.
    resume : bool, default=False
        Whether `fit` continues from the file, if there is one. The data and the parameters, except
        ``verbose``, must be the same as in the fit that saved it. This includes ``max_iter``, since
        schedules depend on it: to train a finished model for longer, load it and fit it with
        ``warm_start=True``. Not possible with ``best_only=True``, with "lbfgs", or for a fit that
        continues an earlier one by ``warm_start``. The state of other callbacks is not saved.
    custom : mapping of str to class or function, optional
        User-defined parts of the model, as in `TinyClassifier.save`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from tempfile import TemporaryDirectory
    >>> from tinyclf import TinyClassifier, load
    >>> X, y = load_iris(return_X_y=True)
    >>> with TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(f"{folder}/iris.npz", resume=True)
    ...     model = TinyClassifier(random_state=0).set_callbacks(checkpoint).fit(X, y)
    ...     loaded = load(f"{folder}/iris.npz")
    >>> bool((loaded.predict_proba(X) == model.predict_proba(X)).all())
    True
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
        self.path = Path(path)
        self.every = whole_number("every", every, 1)
        self.best_only = best_only
        self.resume = resume
        self.custom = custom
        self._fits: dict[tuple[Any, ...], _Saving] = {}  # per fit, as clones share their callbacks
        if resume and best_only:
            raise ValueError("resume=True and best_only=True cannot be combined; set one of them to False")

    def setup(self, estimator: Any, context: Any) -> None:
        """Begin a fit: check that its model can be saved, and that the folder is writable."""
        if not isinstance(estimator, TinyClassifier):
            raise TypeError(
                f"Checkpoint is for a TinyClassifier, got a {type(estimator).__name__}; set it on the "
                "classifier, as in pipeline[-1].set_callbacks(...)"
            )
        model_file.check_parameters(_local(estimator), Registry(model_file.OWN, self.custom))
        path = check_target(self.path)
        with TemporaryFile(dir=path.parent):
            self._fits[fit_of(context)] = _Saving(path)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Remove the data about a fit."""
        self._fits.pop(fit_of(context), None)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing: files are saved at the end of a task."""

    def saved_state(self, estimator: Any, context: Any, data: Dataset) -> FitState | None:
        """Return the state from which the fit continues, or None without a file to resume from."""
        if not self.resume:
            return None
        if estimator.solver == "lbfgs":
            raise ValueError('Checkpoint(resume=True) cannot continue solver="lbfgs"; fit with resume=False')
        if estimator.warm_start and hasattr(estimator, "network_"):
            raise ValueError(
                "Checkpoint(resume=True) cannot continue a fit that itself continues an earlier one by "
                "warm_start=True; set one of them to False"
            )
        saving = self._fits[fit_of(context)]
        saving.fit = self._identity(estimator, data)
        if not saving.path.exists():
            return None
        model, found = model_file.load_checkpoint(TinyClassifier, saving.path, self.custom)
        if found is None:
            raise ValueError(
                f"{str(saving.path)!r} was not saved with resume=True, so a fit cannot continue from it; "
                "use another path, or delete it to start over"
            )
        others = [name for name in {**saving.fit, **found} if saving.fit.get(name) != found.get(name)]
        if others:
            raise ValueError(
                f"{str(saving.path)!r} was saved by another fit, which differs in {', '.join(others)}. Use "
                "the same parameters and data, or delete the file to start over"
            )
        state: FitState = model._state
        saving.complete = state.finished
        return state

    def _identity(self, estimator: Any, data: Dataset) -> dict[str, str]:
        """Return a hash of each parameter and of all data."""
        parts: dict[str, Any] = {}
        registry = Registry(model_file.OWN, self.custom)
        for name, value in model_file.parameters_of(_local(estimator)).items():
            parts[name] = encode({name: _plain(value)}, registry)
        del parts["verbose"]
        columns = getattr(estimator, "feature_names_in_", None)
        for suffix, part in (("", data), ("_val", data.validation)):
            if part is not None:
                parts[f"X{suffix}"] = _values(part.X), part.encoding, columns
                parts[f"y{suffix}"] = _values(part.targets), part.labels
                parts[f"sample_weight{suffix}"] = _values(part.sample_weight)
        return {name: str(joblib.hash(value)) for name, value in parts.items()}

    def training_is_stopped(self, estimator: Any, context: Any) -> None:
        """Save the model again after a callback has stopped the training, so that resuming stops, too."""
        if self.resume:
            self._save(estimator, self._fits[fit_of(context)])

    def on_fit_task_end(self, estimator: Any, context: Any, *, X: Any = None) -> None:
        """Save the model if ``every`` or ``best_only`` requires it."""
        if X is None:  # an epoch that was not finished
            return
        saving = self._fits[fit_of(context)]
        at_the_end = not is_epoch(context)
        if self.best_only:
            scores, epoch = estimator.validation_scores_, len(estimator.loss_curve_)
            if not at_the_end:
                score = -estimator.loss_ if scores is None else scores[-1]
                saving.best.record(score, estimator.network_.theta, epoch)
            due = saving.best.epoch is None if at_the_end else saving.best.epoch == epoch
        elif at_the_end and self.resume:  # an interrupted fit continues from the file of its last epoch
            due = estimator._state.finished and not saving.complete
        else:
            due = at_the_end or estimator.n_iter_ % self.every == 0
        if due:
            self._save(estimator, saving)

    def _save(self, estimator: Any, saving: _Saving) -> None:
        model_file.save(_local(estimator), saving.path, self.custom, saving.fit)


def _local(estimator: Any) -> Any:
    """Return an estimator, or if it is trained on a cluster, the same model without the cluster."""
    return estimator.to_local() if hasattr(estimator, "to_local") else estimator


def _plain(value: Any) -> Any:
    """Return a parameter in one form: NumPy's scalars as numbers, arrays and tuples as lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _values(data: Any) -> Any:
    """Return arrays that depend on the values of the data only, not on the order in memory."""
    if isinstance(data, StreamedMatrix):
        return data.shape, [joblib.hash(_values(data.block(number))) for number in range(data.n_blocks)]
    if hasattr(data, "tocsr"):
        return data.shape, data.data, *(part.astype(np.int64) for part in (data.indices, data.indptr))
    return data if data is None else np.ascontiguousarray(data)
