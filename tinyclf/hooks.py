"""Hooks: where a fit calls scikit-learn's callbacks. That API is young; only this file knows its contexts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

_EPOCH = "epoch"


class Hooks:
    """The tasks of one fit, as scikit-learn's callbacks see them: the fit, and in it one for each epoch.

    Without callbacks this does nothing but note that there are none. The fit must be decorated by
    scikit-learn's ``_fit_context``, which calls the callbacks' teardown whatever happens.

    Parameters
    ----------
    estimator : estimator with scikit-learn's CallbackSupportMixin
    max_epochs : int
    X, y : as they were given to fit
    sample_weight : array_like or None
    """

    def __init__(self, estimator: Any, max_epochs: int, X: Any, y: Any, sample_weight: Any) -> None:
        self.estimator = estimator
        self.max_epochs = max_epochs
        self.listening = bool(getattr(estimator, "_skl_callbacks", ()))
        self._epochs = 0
        if not self.listening:
            return
        self._task = {
            "estimator": estimator,
            "X": X,
            "y": y,
            "metadata": {} if sample_weight is None else {"sample_weight": sample_weight},
        }
        self._epoch: Any = None
        self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
        self._fit.call_on_fit_task_begin(**self._task)

    def resumed(self, *data: Any) -> Any:
        """Return the checkpoint of this very fit, by these data, that a callback has, or None."""
        found = (callback.resumed(self.estimator, self._fit, data) for callback in self._ours("resumed"))
        return next((checkpoint for checkpoint in found if checkpoint is not None), None)

    def training_begins(self, progress: Callable[[], Any], done: int) -> None:
        """Tell how the progress of the training is asked for; so many of its epochs are done already."""
        self._epochs = done
        for callback in self._ours("training_begins"):
            callback.training_begins(self._fit, progress)

    def epoch_begins(self) -> None:
        """Tell that an epoch is about to begin, unless the budget is used up."""
        if self.listening and self._epochs < self.max_epochs:
            self._epochs += 1
            self._epoch = self._fit.subcontext(task_name=_EPOCH)
            self._epoch.call_on_fit_task_begin(**self._task, reconstruction_attributes=self._fitted)

    def epoch_ends(self) -> bool:
        """Tell that the epoch is over, and return whether a callback wants the training to stop."""
        if not self.listening:
            return False
        epoch, self._epoch = self._epoch, None
        return bool(epoch.call_on_fit_task_end(**self._task, reconstruction_attributes=self._fitted))

    def training_is_stopped(self) -> None:
        """Tell that a callback has stopped it, which others may have been told of too late."""
        for callback in self._ours("training_is_stopped"):
            callback.training_is_stopped(self.estimator, self._fit)

    def training_ends(self) -> None:
        """Tell that there are no more epochs; one that had begun but was not finished ends as an empty task.

        A callback that restores weights does so in ``training_ends``, so that what follows, and all other
        callbacks, see what it leaves, in whichever order they were set.
        """
        if not self.listening:
            return
        if self._epoch is not None:
            self._epoch.call_on_fit_task_end(estimator=self.estimator)
        for callback in self._ours("training_ends"):
            callback.training_ends(self.estimator, self._fit)

    def fit_ends(self) -> None:
        """Tell that the fit is over."""
        if self.listening:
            self._fit.call_on_fit_task_end(**self._task, reconstruction_attributes=self._fitted)

    def _ours(self, name: str) -> list[Any]:
        """Return the callbacks that have a method of this name, which is none of scikit-learn's."""
        callbacks = self.estimator._skl_callbacks if self.listening else ()
        return [callback for callback in callbacks if hasattr(callback, name)]

    def _fitted(self) -> dict[str, Any]:
        """Attributes of the estimator that goes to callbacks: copies, as training goes on in place."""
        state = copy.deepcopy(self.estimator._state)
        lists = {k: list(v) for k, v in vars(self.estimator).items() if type(v) is list and k.endswith("_")}
        return {**lists, "_state": state, "network_": state.network}


def is_epoch(context: Any) -> bool:
    """Tell whether a context is that of an epoch, not of the whole fit."""
    return bool(context.task_name == _EPOCH)


def fit_of(context: Any) -> tuple[Any, ...]:
    """Return what tells a fit from all others, clones in a search included, by any context in it."""
    path = []
    if is_epoch(context):
        context = context.parent
    root = context.root_uuid
    while context is not None:
        path.append(context.task_id)
        context = context.parent
    return (root, *reversed(path))
