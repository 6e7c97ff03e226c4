"""The supervisor of a fit: it trains by the parameters of an estimator, and ends when it is told to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from sklearn.exceptions import ConvergenceWarning

from .blueprint import Blueprint
from .books import Books
from .hooks import Hooks
from .lbfgs import minimise
from .schedules import Schedule, constant, inverse_scaling, lowered
from .state import TrainState
from .stopping import Plateau
from .training import Epoch, train
from .validation import Sample, Validation
from .views import Array
from .watch import Watch


class Outcome(NamedTuple):
    """How a fit ended: whether by itself, and what is to be said about it."""

    converged: bool
    notes: list[Warning]


class Supervisor:
    """Trains, and sees to all that happens after each epoch, whatever the solver.

    Parameters
    ----------
    model : estimator
        Its parameters tell how to train, its public attributes are the books.
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
        self.books = Books(model)
        self.hooks: Hooks | None = None
        self.stopped = False

    def fit(self, sample: Sample, rows: Array, hooks: Hooks, *, interruptible: bool) -> Outcome:
        """Train until it has stopped to pay or the budget is used up, and keep the best weights.

        Parameters
        ----------
        sample, rows : Sample, ndarray of int
            What to train on: these rows of the sample.
        hooks : Hooks
        interruptible : bool
            Whether Ctrl-C in the first epoch ends the training; if not, it is passed on.
        """
        model = self.model
        watched = self.by_score or not self.blueprint.lbfgs  # which has a test of its own
        plateau = Plateau(model.tol, model.n_iter_no_change if watched else math.inf)
        self._begin(plateau, by_score=self.by_score, anew=True)
        self.hooks = hooks
        hooks.epoch_begins()
        try:
            outcome = (self._minimise if self.blueprint.lbfgs else self._descend)(sample, rows)
        except KeyboardInterrupt:
            if model.n_iter_ == 0 and not interruptible:
                raise
            said = (
                f"Training interrupted by user after {model.n_iter_} epochs; the model is what it has learnt."
            )
            outcome = Outcome(False, [UserWarning(said)])
        self.watch.restore(model)
        self.state.plateau = None
        hooks.fit_ends()
        return outcome

    def partial_fit(self, sample: Sample) -> list[Warning]:
        """Train for one epoch.

        An adaptive learning rate watches the training loss, as there may be a validation set in some calls
        only; its plateau lasts from call to call.
        """
        plateau = self.state.plateau or Plateau(self.model.tol, math.inf)
        plateau.tol = self.model.tol
        adaptive = self.blueprint.rate_rule == "adaptive"
        plateau.n_iter_no_change = self.model.n_iter_no_change if adaptive else math.inf
        self._begin(plateau, by_score=False, anew=False)
        for epoch in self._epochs(sample, sample.rows, 1, constant):
            self.after(epoch)
        return self._clipped(sample, sample.rows)

    def _begin(self, plateau: Plateau, by_score: bool, anew: bool) -> None:
        self.state.plateau = plateau
        if self.blueprint.rate_rule == "constant":
            self.state.scale = 1.0  # another rule may have left its own
        self.watch = Watch(plateau, self.validation, by_score)
        self.books.begin(
            validates=self.validation is not None,
            anew=anew,
            by_score_alone=self.blueprint.early_stopping is True,
        )

    def _descend(self, sample: Sample, rows: Array) -> Outcome:
        """Train in steps; a schedule that has fallen over the budget ends silently."""
        budget, schedule = self.model.max_iter, self.blueprint.schedule
        for epoch in self._epochs(sample, rows, budget, schedule or constant):
            if self.after(epoch):
                break
        clipped = self._clipped(sample, rows)
        if self.stopped or schedule is not None:
            return Outcome(True, clipped)
        reached = f"Stochastic Optimizer: Maximum iterations ({budget}) reached"
        return Outcome(False, [_unconverged(reached, "max_iter or learning_rate_init"), *clipped])

    def _epochs(self, sample: Sample, rows: Array, budget: int, schedule: Schedule) -> Iterator[Epoch]:
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

    def _minimise(self, sample: Sample, rows: Array) -> Outcome:
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
            self.books.enter_loss(ending.loss)
            if (measured := self.watch.measure(model)) is not None:
                self.books.enter_score(measured[1])
        if ending.converged or self.stopped:
            return Outcome(True, [])
        return Outcome(False, [_unconverged(f"lbfgs stopped with {ending.reason!r}", "max_iter or max_fun")])

    def _problem(self, sample: Sample, rows: Array) -> dict[str, Any]:
        return {
            "X": sample.X,
            "y": sample.labels.for_loss(sample.targets, self.blueprint.n_outputs),
            "rows": rows,
            "sample_weight": sample.loss_weight,
            "loss": self.blueprint.loss,
            "alpha": self.model.alpha,
        }

    def _clipped(self, sample: Sample, rows: Array) -> list[Warning]:
        """Warn of a batch size above the number of rows to train on, those of weight 0 included."""
        size, n = self.model.batch_size, sample.X.shape[0] - (len(sample.rows) - len(rows))
        if isinstance(size, str) or size <= n:
            return []
        return [UserWarning(f"batch_size={size} is larger than the {n} rows; it is clipped to them.")]

    def after(self, epoch: Epoch) -> bool:
        """Take note of an epoch or iteration and return whether to stop."""
        model = self.model
        measured = self.watch.measure(model)  # if this is interrupted, the books are as before
        self.books.enter(epoch, measured)
        self._say(f"Iteration {model.n_iter_}, loss = {epoch.loss:.8f}")
        if measured is not None:
            self._say(f"Validation score: {measured[1]:f}")
        if self.blueprint.rate_rule == "invscaling":
            self.state.scale = inverse_scaling(model.t_, model.power_t)
        if self.watch.reached(model, measured):
            self._on_plateau(self.watch.plateau)
        if self.hooks is not None:
            self.stopped |= self.hooks.epoch_ends()
            if not self.stopped:
                self.hooks.epoch_begins()
        return self.stopped

    def _on_plateau(self, plateau: Plateau) -> None:
        """Stop, or lower an adaptive learning rate."""
        what = "Validation score" if self.watch.by_score else "Training loss"
        said = (
            f"{what} did not improve more than tol={plateau.tol:f} for {plateau.n_iter_no_change} "
            "consecutive epochs."
        )
        adaptive, rate = self.blueprint.rate_rule == "adaptive", self.blueprint.optimizer.learning_rate
        scale = lowered(self.state.scale, rate) if adaptive else None
        if scale is None:
            self.stopped = True
            self._say(f"{said} Learning rate too small. Stopping." if adaptive else f"{said} Stopping.")
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
