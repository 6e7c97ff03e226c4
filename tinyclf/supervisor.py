"""The supervisor of a fit: keeps the books, measures, decides when to stop and which weights to keep."""

from __future__ import annotations

import math
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from .blueprint import Blueprint
from .hooks import Hooks
from .lbfgs import minimise
from .optimizers import SGD
from .schedules import constant, inverse_scaling, lowered
from .state import TrainState
from .stopping import Best, Plateau
from .training import Epoch, train
from .validation import Sample, Validation
from .views import Array


class Supervisor:
    """Trains by the parameters of an estimator, and sees to all that happens after each epoch.

    Parameters
    ----------
    model : estimator
        Its parameters tell how to train, its public attributes are the books: ``loss_curve_`` and so on.
    blueprint : Blueprint
    state : TrainState
    validation : Validation or None
        What is measured after each epoch. Training stops by it unless ``early_stopping`` is False.
    """

    def __init__(
        self, model: Any, blueprint: Blueprint, state: TrainState, validation: Validation | None
    ) -> None:
        self.model = model
        self.blueprint = blueprint
        self.state = state
        self.validation = validation
        self.by_score = validation is not None and blueprint.early_stopping is not False
        self.rate_rule = model.learning_rate if isinstance(state.optimizer, SGD) else "constant"
        self.hooks: Hooks | None = None
        self.stopped = False
        model.n_iter_ = 0
        if blueprint.early_stopping is True:
            model.best_loss_ = None
        elif model.best_loss_ is None:
            model.best_loss_ = min(model.loss_curve_, default=math.inf)
        if validation is not None and model.validation_scores_ is None:
            model.validation_scores_, model.validation_loss_curve_ = [], []
            model.best_validation_score_ = -math.inf

    def fit(self, sample: Sample, rows: Array, hooks: Hooks, *, interruptible: bool) -> list[Warning]:
        """Train until it has stopped to pay or the budget is used up, and keep the best weights.

        Parameters
        ----------
        sample, rows : Sample, ndarray of int
            What to train on: these rows of the sample.
        hooks : Hooks
        interruptible : bool
            Whether Ctrl-C in the first epoch ends the training; if not, it is passed on.

        Returns
        -------
        list of Warning
            What is to be said about how it ended.
        """
        model, state = self.model, self.state
        unwatched = self.blueprint.lbfgs and not self.by_score  # it has a test of its own
        state.plateau = Plateau(model.tol, math.inf if unwatched else model.n_iter_no_change)
        state.best = Best()
        if self.validation is not None:
            model.best_validation_score_ = -math.inf
        self.hooks = hooks
        hooks.epoch_begins()
        try:
            notes = (self._minimise if self.blueprint.lbfgs else self._descend)(sample, rows)
        except KeyboardInterrupt:
            if model.n_iter_ == 0 and not interruptible:
                raise
            notes = [
                UserWarning(
                    f"Training interrupted by user after {model.n_iter_} epochs; the model is what it has "
                    "learnt so far."
                )
            ]
        if state.best.theta is not None:
            state.network.theta = state.best.theta
        hooks.fit_ends()
        return notes

    def partial_fit(self, sample: Sample) -> list[Warning]:
        """Train for one epoch. The plateau that an adaptive learning rate needs lasts from call to call."""
        patience = self.model.n_iter_no_change if self.rate_rule == "adaptive" else math.inf
        if self.state.plateau is None or self.state.plateau.n_iter_no_change != patience:
            self.state.plateau = Plateau(self.model.tol, patience)
        self.state.best = None
        for epoch in self._epochs(sample, sample.rows, 1, constant):
            self.after(epoch)
        return self._clipped(sample)

    def _descend(self, sample: Sample, rows: Array) -> list[Warning]:
        """Train in steps; a schedule that has fallen over the budget ends silently."""
        budget, schedule = self.model.max_iter, self.blueprint.schedule
        for epoch in self._epochs(sample, rows, budget, schedule or constant):
            if self.after(epoch):
                break
        if self.stopped or schedule is not None:
            return self._clipped(sample)
        reached = f"Stochastic Optimizer: Maximum iterations ({budget}) reached"
        return [_unconverged(reached, "max_iter or learning_rate_init"), *self._clipped(sample)]

    def _clipped(self, sample: Sample) -> list[Warning]:
        size, n = self.model.batch_size, sample.X.shape[0]
        if isinstance(size, str) or size <= n:
            return []
        return [UserWarning(f"batch_size={size} is larger than the {n} rows; it is clipped to them.")]

    def _epochs(self, sample: Sample, rows: Array, budget: int, schedule: Any) -> Any:
        model = self.model
        return train(
            self.state.network,
            epochs=budget,
            batch_size=min(200, len(rows)) if isinstance(model.batch_size, str) else model.batch_size,
            schedule=schedule,
            max_grad_norm=model.max_grad_norm,
            shuffle=model.shuffle,
            state=self.state,
            **self._problem(sample, rows),
        )

    def _minimise(self, sample: Sample, rows: Array) -> list[Warning]:
        """Train by L-BFGS."""
        model = self.model
        ending = minimise(
            self.state.network,
            after=self.after,
            max_iter=model.max_iter,
            max_fun=model.max_fun,
            tol=model.tol,
            **self._problem(sample, rows),
        )
        if model.n_iter_ == 0:  # it began at its end
            model.loss_ = ending.loss
            if model.best_loss_ is not None:
                model.best_loss_ = min(model.best_loss_, ending.loss)
            if self.validation is not None:
                _, model.best_validation_score_ = self.validation.measure(model)
        if ending.converged or self.stopped:
            return []
        return [_unconverged(f"lbfgs stopped with {ending.reason.strip()!r}", "max_iter or max_fun")]

    def _problem(self, sample: Sample, rows: Array) -> dict[str, Any]:
        return {
            "X": sample.X,
            "y": sample.labels.for_loss(sample.targets, self.blueprint.n_outputs),
            "rows": rows,
            "sample_weight": sample.loss_weight,
            "loss": self.blueprint.loss,
            "alpha": self.model.alpha,
        }

    def after(self, epoch: Epoch) -> bool:
        """Take note of an epoch or iteration and return whether to stop."""
        model = self.model
        # Before the books: a measure that is interrupted leaves them as they are.
        measured = None if self.validation is None else self.validation.measure(model)
        model.n_iter_ += 1
        model.t_ += epoch.rows
        model.loss_ = epoch.loss
        model.loss_curve_.append(epoch.loss)
        if model.best_loss_ is not None:
            model.best_loss_ = min(model.best_loss_, epoch.loss)
        self._say(f"Iteration {model.n_iter_}, loss = {epoch.loss:.8f}")
        if measured is not None:
            self._enter(*measured)
        if self.rate_rule == "invscaling":
            self.state.scale = inverse_scaling(model.t_, model.power_t)
        if self._plateau().reached(-model.validation_scores_[-1] if self.by_score else epoch.loss):
            self._on_plateau(self._plateau())
        if self.hooks is not None:
            self.stopped |= self.hooks.epoch_ends()
            if not self.stopped:
                self.hooks.epoch_begins()
        return self.stopped

    def _plateau(self) -> Plateau:
        assert self.state.plateau is not None
        return self.state.plateau

    def _enter(self, loss: float, score: float) -> None:
        """Enter what was measured on the validation set."""
        model = self.model
        model.validation_loss_curve_.append(loss)
        model.validation_scores_.append(score)
        model.best_validation_score_ = max(model.best_validation_score_, score)
        self._say(f"Validation score: {score:f}")
        if self.state.best is not None:
            self.state.best.offer(score, self.state.network.theta)

    def _on_plateau(self, plateau: Plateau) -> None:
        """Stop, or lower an adaptive learning rate."""
        what = "Validation score" if self.by_score else "Training loss"
        said = (
            f"{what} did not improve more than tol={plateau.tol:f} for {plateau.n_iter_no_change} "
            "consecutive epochs."
        )
        rate = self.state.optimizer.learning_rate
        scale = lowered(self.state.scale, rate) if self.rate_rule == "adaptive" else None
        if scale is None:
            self.stopped = True
            small = " Learning rate too small." if self.rate_rule == "adaptive" else ""
            self._say(f"{said}{small} Stopping.")
            return
        self.state.scale = scale
        plateau.without_gain = 0
        self._say(f"{said} Setting learning rate to {rate * scale:f}")

    def _say(self, text: str) -> None:
        if self.model.verbose:
            print(text)


def _unconverged(what: str, remedy: str) -> Warning:
    note: Warning = ConvergenceWarning(
        f"{what} and the optimization hasn't converged yet. Increase {remedy}, or scale the features."
    )
    return note
