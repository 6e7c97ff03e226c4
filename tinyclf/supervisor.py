"""The supervisor of a fit: it trains by the parameters of an estimator, and ends when it is told to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from sklearn.exceptions import ConvergenceWarning

from .blueprint import Blueprint, batch_size
from .books import Books
from .calibration import Answers, best_share, draw_to_prior
from .hooks import Hooks
from .lbfgs import minimise
from .schedules import constant, inverse_scaling, lowered
from .state import TrainState
from .stopping import Plateau
from .training import Epoch, train
from .validation import Sample, Validation
from .views import Array
from .watch import Watch


class Outcome(NamedTuple):
    """How a fit ended: whether it has stopped to pay, what is to be said about it, and whether by Ctrl-C."""

    converged: bool
    notes: list[Warning]
    interrupted: bool = False


class Supervisor:
    """Trains, and sees to all that happens after each epoch, whatever the solver.

    Parameters
    ----------
    model : estimator
        Its parameters tell how to train, its public attributes are the books.
    blueprint : Blueprint
    state : TrainState
    validation : Validation or None
        Rows that are not trained on; in the end they tell how far to draw the logits to the prior.
    watched : bool, default=True
        Whether they are measured after each epoch, and the best weights kept. Training stops by them then
        unless ``early_stopping`` is False.
    prior : ndarray of shape (n_outputs,), optional
        Logits of the class frequencies, if they are to be drawn to them.
    seed : ndarray, optional
        What all randomness of the fit comes from, for who goes on with it later.
    """

    def __init__(
        self,
        model: Any,
        blueprint: Blueprint,
        state: TrainState,
        validation: Validation | None,
        *,
        watched: bool = True,
        prior: Array | None = None,
        seed: Array | None = None,
    ) -> None:
        self.model = model
        self.blueprint = blueprint
        self.state = state
        self.validation = validation
        self.watched = validation if watched else None
        self.prior = prior
        self.seed = seed
        self.by_score = self.watched is not None and blueprint.early_stopping is not False
        self.books = Books(model)
        self.hooks: Hooks | None = None
        self.scales: list[float] = []  # of the learning rate, in each epoch
        self.stopped = False
        self.finished = False

    def progress(self) -> dict[str, Any] | None:
        """Return what it takes to go on later, beside state and books; None once nothing is left to do."""
        if self.finished:
            return None
        best = self.watch.best
        return {
            "seed": self.seed,
            "best": (best.score, best.epoch, best.theta),
            "scales": self.scales,
            "stopped": self.stopped,
        }

    def _go_on(self, model: Any, progress: dict[str, Any]) -> None:
        """Go on where this fit was interrupted, with the model as it was then."""
        self.state.restore(model._state.snapshot())
        self.books.take(model)
        self.watch.plateau = self.state.plateau or self.watch.plateau
        best = self.watch.best
        best.score, best.epoch, best.theta = progress["best"]
        self.scales, self.stopped = progress["scales"], progress["stopped"]
        self._say(f"Going on after {model.n_iter_} epochs.")

    def fit(
        self, sample: Sample, rows: Array, hooks: Hooks, *, interruptible: bool, resumed: Any = None
    ) -> Outcome:
        """Train until it has stopped to pay or the budget is used up, and keep the best weights.

        Parameters
        ----------
        sample, rows : Sample, ndarray of int
            What to train on: these rows of the sample.
        hooks : Hooks
        interruptible : bool
            Whether Ctrl-C in the first epoch ends the training; if not, it is passed on.
        resumed : pair of model and progress, or None
            How far this fit had come when it was interrupted: the model then, and what `progress` was.
        """
        model = self.model
        watched = self.by_score or not self.blueprint.lbfgs  # which has a test of its own
        plateau = Plateau(model.tol, model.n_iter_no_change if watched else math.inf)
        start = self.state.snapshot() if model.refit and len(rows) < len(sample.rows) else None
        self._begin(plateau, by_score=self.by_score, anew=True)
        if resumed is not None:
            self._go_on(*resumed)
        self.hooks = hooks
        hooks.training_begins(self.progress, model.n_iter_)
        if not self.stopped:
            hooks.epoch_begins()
        try:
            outcome = (self._minimise if self.blueprint.lbfgs else self._descend)(sample, rows)
        except KeyboardInterrupt:
            if model.n_iter_ == 0 and not interruptible:
                raise
            outcome, start = self._interrupted(), None
        self.watch.restore(model)
        hooks.training_ends()
        share = 1.0 if self.validation is None else self.validation.share(model)
        if start is not None:
            try:
                self._refit(sample, start)
            except KeyboardInterrupt:
                outcome = self._interrupted()
        self._calibrate(sample, share)
        self.state.plateau = None
        self.finished = not outcome.interrupted
        hooks.fit_ends()
        return outcome

    def _interrupted(self) -> Outcome:
        n = self.model.n_iter_
        said = f"Training interrupted by user after {n} epochs; the model is what it has learnt."
        return Outcome(False, [UserWarning(said)], interrupted=True)

    def _refit(self, sample: Sample, start: dict[str, Any]) -> None:
        """Train anew from the start on all rows, held-out ones included, for as many epochs as were best."""
        model, searched = self.model, self.state.snapshot()
        earlier = len(model.loss_curve_) - model.n_iter_
        best = model.n_iter_ if model.best_epoch_ is None else model.best_epoch_ - earlier
        self._say(f"Training anew on all {len(sample.rows)} rows, for {best} epochs.")
        self.state.restore(start)
        try:
            epochs = self._epochs(sample, sample.rows)
            for scale in self.scales[:best]:
                self.state.scale = scale
                next(epochs)
        except KeyboardInterrupt:
            self.state.restore(searched)
            raise

    def _calibrate(self, sample: Sample, share: float) -> None:
        """Draw the logits to the prior; never is the model worse than it on the rows trained on."""
        network, loss, prior = self.state.network, self.blueprint.loss, self.prior
        if prior is None:
            return
        y = sample.loss_targets(loss, self.blueprint.n_outputs)
        trained = Answers(network, sample.X, y, sample.relative_weight, sample.rows)
        share, _ = best_share(trained, loss, prior, least=0.0, most=share)
        if share < 1.0:
            draw_to_prior(network, share, prior)
            self._say(f"Drawn to the class frequencies: {share:.3g} of the logits' distance to theirs stays.")
        self.model.calibration_ = share

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
        for epoch in self._epochs(sample, sample.rows, once=True):
            self.after(epoch)
        return self._clipped(sample, sample.rows)

    def _begin(self, plateau: Plateau, by_score: bool, anew: bool) -> None:
        self.state.plateau = plateau
        if self.blueprint.rate_rule == "constant":
            self.state.scale = 1.0  # another rule may have left its own
        self.watch = Watch(plateau, self.watched, by_score)
        self.books.begin(
            validates=self.watched is not None,
            anew=anew,
            by_score_alone=self.blueprint.early_stopping is True,
        )

    def _descend(self, sample: Sample, rows: Array) -> Outcome:
        """Train in steps; a schedule that has fallen over the budget ends silently."""
        for epoch in () if self.stopped else self._epochs(sample, rows, done=self.model.n_iter_):
            if self.after(epoch):
                break
        clipped = self._clipped(sample, rows)
        if self.stopped or self.blueprint.schedule is not None:
            return Outcome(self.stopped, clipped)
        reached = f"Stochastic Optimizer: Maximum iterations ({self.blueprint.max_iter}) reached"
        return Outcome(False, [_unconverged(reached, "max_iter or learning_rate_init"), *clipped])

    def _epochs(self, sample: Sample, rows: Array, once: bool = False, done: int = 0) -> Iterator[Epoch]:
        """Train on these rows, an epoch at a time; once means that no budget is known, done how many were."""
        model = self.model
        return train(
            self.state.network,
            epochs=1 if once else self.blueprint.max_iter,
            batch_size=batch_size(model.batch_size, len(rows)),
            done=done,
            schedule=constant if once else self.blueprint.schedule or constant,
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
            max_iter=self.blueprint.max_iter,
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
        self.scales.append(self.state.scale)
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
            if self.hooks.epoch_ends():
                self.stopped = True
                self.hooks.training_is_stopped()
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
