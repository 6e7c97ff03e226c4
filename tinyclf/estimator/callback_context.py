"""Calls of scikit-learn's callbacks in a fit. Their protocol is new; only this module uses its contexts."""

from __future__ import annotations

from typing import Any

_EPOCH = "epoch"

TEARDOWN_ATTRIBUTES = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
"""Attributes that scikit-learn needs to call the callbacks' teardown after a fit."""


class CallbackContext:
    """The tasks of one fit for scikit-learn's callbacks: the fit, and one subtask for each epoch.

    Without callbacks, its methods do nothing. The fit must be decorated by scikit-learn's
    ``_fit_context``, which calls the callbacks' teardown even if the fit fails.

    Parameters
    ----------
    estimator : estimator with scikit-learn's CallbackSupportMixin
    max_epochs : int
    X, y : as they were passed to fit
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

    def saved_state(self, data: Any) -> Any:
        """Return the state that a callback has saved for the same fit on the same data, or None."""
        found = (
            callback.saved_state(self.estimator, self._fit, data) for callback in self._ours("saved_state")
        )
        return next((state for state in found if state is not None), None)

    def training_begins(self, done: int) -> None:
        """Set the number of epochs that were done before."""
        self._epochs = done

    def epoch_begins(self) -> None:
        """Begin the task of an epoch, unless ``max_epochs`` have begun."""
        if self.listening and self._epochs < self.max_epochs:
            self._epochs += 1
            self._epoch = self._fit.subcontext(task_name=_EPOCH)
            self._epoch.call_on_fit_task_begin(**self._task, reconstruction_attributes=self._fitted)

    def epoch_ends(self) -> bool:
        """End the task of an epoch, and return whether a callback stops the training."""
        if not self.listening:
            return False
        epoch, self._epoch = self._epoch, None
        return bool(epoch.call_on_fit_task_end(**self._task, reconstruction_attributes=self._fitted))

    def training_is_stopped(self) -> None:
        """Notify all callbacks that one has stopped the training; some were called before that one."""
        for callback in self._ours("training_is_stopped"):
            callback.training_is_stopped(self.estimator, self._fit)

    def training_ends(self) -> None:
        """End, without data, the task of an epoch that began but was not finished."""
        if self.listening and self._epoch is not None:
            self._epoch.call_on_fit_task_end(estimator=self.estimator)

    def fit_ends(self) -> None:
        """End the task of the fit."""
        if self.listening:
            self._fit.call_on_fit_task_end(**self._task, reconstruction_attributes=self._fitted)

    def _ours(self, name: str) -> list[Any]:
        """Return the callbacks with a method that is not part of scikit-learn's protocol."""
        callbacks = self.estimator._skl_callbacks if self.listening else ()
        return [callback for callback in callbacks if hasattr(callback, name)]

    def _fitted(self) -> dict[str, Any]:
        """Return a copy of the state, from which scikit-learn builds a fitted estimator."""
        return {"_state": self.estimator._state.copy()}


def is_epoch(context: Any) -> bool:
    """Return whether a context belongs to an epoch, not to the whole fit."""
    return bool(context.task_name == _EPOCH)


def fit_of(context: Any) -> tuple[Any, ...]:
    """Return a key of the fit that a context belongs to, unique even among the clones in a search."""
    path = []
    if is_epoch(context):
        context = context.parent
    root = context.root_uuid
    while context is not None:
        path.append(context.task_id)
        context = context.parent
    return (root, *reversed(path))
