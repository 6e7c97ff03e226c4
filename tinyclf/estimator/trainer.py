"""The fit loop: search for the best epoch, keep its weights, refit on all rows, calibrate."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..nn.arrays import ROW_BLOCK, Array
from ..nn.errors import DivergenceError
from ..nn.lbfgs import minimize
from ..nn.schedules import inverse_scaling, lowered
from ..nn.state import TrainState
from ..nn.threads import limit_blas
from ..nn.training import Epoch, train
from .calibration import LEAST, MAX_LOGITS, Calibration, best_shrinkage, calibration_rows
from .callback_context import CallbackContext
from .dataset import Dataset
from .early_stopping import BestWeights
from .history import Measured
from .plan import FitPlan
from .state import FitState, random_streams
from .validation import Validation, hold_out


class Outcome(NamedTuple):
    """How a fit ended.

    Attributes
    ----------
    rows : ndarray of int
        Indices of the rows that the final weights were trained on; empty if the fit was already
        finished in a checkpoint.
    converged : bool
        Whether training converged or was stopped before its maximum number of epochs.
    warnings : list of Warning
        Warnings for the user.
    """

    rows: Array
    converged: bool
    warnings: list[Warning]


class Trainer:
    """Trains the network of a state on data, as a plan defines.

    Parameters
    ----------
    plan : FitPlan
    data : Dataset
    state : FitState
        Changed by the training.
    estimator : TinyClassifier
        Passed to scorers; it predicts with the same state.

    Attributes
    ----------
    inputs : Rows
        All rows of the data, scaled and converted for the network.
    search_rows, rows : ndarray of int
        Indices of the rows that are not held out, and of those that the weights were trained on.
    limit : limit_blas
        Limits BLAS to one thread if all matrix products of the fit are small. Validation, scorers and
        callbacks run in this context, too.
    epochs_needed : float
        Number of epochs after which an interrupted training is kept; inf in ``partial_fit``, which is
        kept only when it is finished.
    """

    def __init__(self, plan: FitPlan, data: Dataset, state: FitState, estimator: Any) -> None:
        self.plan, self.data, self.state, self.estimator = plan, data, state, estimator
        products = min(ROW_BLOCK, plan.n_train) if plan.solver == "lbfgs" else plan.refit_batch_size
        self.limit = limit_blas(products * state.network.largest_product)
        self.epochs_needed = math.inf
        self.prior: Array | None = None
        if plan.calibrate and plan.continues:
            self.prior = np.zeros(plan.n_outputs)
        elif plan.calibrate:
            self.prior = data.prior_logits(plan.loss, plan.n_outputs)
        self.search_rows, validation = self._hold_out()
        self.rows = self.search_rows
        self.validation = (
            None if validation is None else Validation(validation, plan, state.scaling, self.prior)
        )
        sparse = plan.layers[0].reads_sparse
        self.inputs = data.inputs(state.scaling, plan.rows_dtype, sparse)
        if plan.rows_dtype != plan.dtype:
            data.check_range(state.scaling, plan.dtype)

    def _hold_out(self) -> tuple[Array, Dataset | None]:
        """Return the indices of the rows that are not held out, and the validation set."""
        data, rng = self.data, random_streams(self.state.seed)["hold_out"]
        rows, held = map(data.in_reading_order, hold_out(data, self.plan, rng))
        return rows, data.take(held) if len(held) else data.validation

    # --- the phases of a fit ----------------------------------------------------------------------

    def run(self, callbacks: CallbackContext, *, first_fit: bool) -> Outcome:
        """Run all phases of a fit: search for the best epoch, refit and calibration.

        Parameters
        ----------
        callbacks : CallbackContext
        first_fit : bool
            If True, Ctrl-C before the end of the first epoch stops the training. If False,
            KeyboardInterrupt is raised in this case, so that the earlier fit can be kept.
        """
        self.epochs_needed = 0 if first_fit else 1
        try:
            with self.limit, self.limit:
                return self._run(callbacks)
        except KeyboardInterrupt:
            if not self.end_interrupted():
                raise
            self.state.finished = False
            return Outcome(self.rows, False, [self._interrupted()])

    def _run(self, callbacks: CallbackContext) -> Outcome:
        state, plan, complete = self.state, self.plan, True
        if state.finished:
            self._print("This fit was finished before; the saved model is used.")
            callbacks.fit_ends()
            return Outcome(self.data.rows[:0], True, [])
        if state.history.n_iter:
            self._print(f"Continuing after {state.history.n_iter} epochs.")
        callbacks.training_begins(state.history.n_iter)
        if not state.stopped:
            callbacks.epoch_begins()
        try:
            converged, found = self._search(callbacks)
        except KeyboardInterrupt:
            if state.history.n_iter < self.epochs_needed:
                raise
            complete, converged, found = False, False, [self._interrupted()]
        self._keep_best_weights()
        callbacks.training_ends()
        shrinkage = 1.0 if self.validation is None else self.validation.shrinkage(state)
        if plan.refit and complete:
            try:
                self._refit()
            except KeyboardInterrupt:
                complete, converged, found = False, False, [self._interrupted()]
        self._calibrate(shrinkage)
        state.finish(complete=complete)
        callbacks.fit_ends()
        return Outcome(self.rows, converged, found)

    def end_interrupted(self) -> bool:
        """After Ctrl-C, return whether to keep the state; if so, it gets the best weights so far.

        This can be repeated, since Ctrl-C may interrupt it, too.
        """
        state = self.state
        if state.finished or state.history.n_iter < self.epochs_needed:
            return state.finished
        self._keep_best_weights()
        state.finish(complete=False)
        return True

    def run_partial(self) -> Outcome:
        """Train for one epoch."""
        with self.limit, self.limit:
            for epoch in self._epochs(self.state.training):
                self._after_epoch(epoch, records_best=False)
        self.state.finished = True
        return Outcome(self.search_rows, False, self._clipped())

    def _search(self, callbacks: CallbackContext) -> tuple[bool, list[Warning]]:
        """Train on the rows that are not held out; return whether it converged, and warnings."""
        plan, state = self.plan, self.state

        def after(epoch: Epoch) -> bool:
            self._after_epoch(epoch)
            if callbacks.epoch_ends():
                state.stopped = True
                callbacks.training_is_stopped()
            if not state.stopped:
                callbacks.epoch_begins()
            return state.stopped

        if plan.solver == "lbfgs":
            return self._minimize(after)
        if not state.stopped:
            done = state.history.n_iter
            for epoch in self._epochs(state.training, done=done):
                if after(epoch):
                    break
        if state.stopped or plan.ends_by_schedule:
            return state.stopped, self._clipped()
        reached = f"Stochastic Optimizer: Maximum iterations ({plan.max_iter}) reached"
        return False, [self._not_converged(reached, "max_iter or learning_rate_init"), *self._clipped()]

    def _minimize(self, after: Callable[[Epoch], bool]) -> tuple[bool, list[Warning]]:
        """Train by L-BFGS; return whether it converged, and warnings."""
        plan, state = self.plan, self.state
        with self._remedies():
            ending = minimize(
                state.network,
                after=after,
                max_iter=plan.max_iter,
                max_fun=plan.max_fun,
                tol=plan.tol,
                **self._problem(self.search_rows),
            )
        if state.history.n_iter == 0:  # it started at a minimum
            state.history.record_last(ending.loss, self._measure())
        if ending.converged or state.stopped:
            return True, []
        reason = f"lbfgs stopped with {ending.reason!r}"
        return False, [self._not_converged(reason, "max_iter or max_fun")]

    def _keep_best_weights(self) -> None:
        """Restore the weights of the best epoch, if a validation set was scored."""
        state = self.state
        if state.best.theta is not None:
            state.network.theta = state.best.theta
            state.history.best_epoch = state.best.epoch

    def _refit(self) -> None:
        """Train from the start on all rows, for the best number of epochs."""
        state, history = self.state, self.state.history
        assert state.initial is not None
        earlier = len(history.loss_curve) - history.n_iter
        best = history.n_iter if history.best_epoch is None else history.best_epoch - earlier
        self._print(f"Training from the start on all {self.data.n_rows} rows, for {best} epochs.")
        training = state.training.copy()
        training.restore(state.initial)
        epochs = self._epochs(training, refit=True)
        for scale in history.learning_rate_scales[:best]:
            training.scale = scale
            next(epochs)
        # At once, so that Ctrl-C leaves either the best weights of the search or those of the refit.
        vars(state).update(training=training, best=BestWeights())
        self.rows = self.data.rows

    def _calibrate(self, shrinkage: float) -> None:
        """Calibrate the logits.

        On the training rows the model is then never worse than the class frequencies. If the fit
        continues an earlier one, its rows may be few and unlike the earlier rows. Then the logits are
        shrunk toward 0, and never to 0, so that the predicted labels do not change.
        """
        state, plan = self.state, self.plan
        if self.prior is None:
            return
        data, inputs = self.data, self.inputs
        if len(inputs) * plan.n_outputs > MAX_LOGITS:  # the others are not needed
            rows = calibration_rows(len(inputs), plan.n_outputs, data.loss_weight)
            data = data.take(np.sort(rows))
            inputs = data.inputs(state.scaling, plan.dtype, plan.layers[0].reads_sparse)
        shrinkage, _ = best_shrinkage(
            state.logits(inputs),
            data.loss_targets(plan.loss, plan.n_outputs),
            data.relative_weight,
            plan.loss,
            self.prior,
            least=LEAST if plan.continues else 0.0,
            most=shrinkage,
        )
        if shrinkage < 1.0:
            state.calibration = Calibration(float(shrinkage), self.prior)
            self._print(
                f"Calibrated: the logits are multiplied by {shrinkage:.3g}."
                if plan.continues
                else f"Calibrated: logits are shrunk by {shrinkage:.3g} toward the class frequencies."
            )

    # --- the parts of a phase ---------------------------------------------------------------------

    def _epochs(self, training: TrainState, *, refit: bool = False, done: int = 0) -> Iterator[Epoch]:
        """Train and yield the report of each epoch, after the ``done`` epochs before.

        With ``refit``, all rows are trained on, otherwise those that are not held out.
        """
        problem = self._problem(self.data.rows if refit else self.search_rows)
        with self._remedies():
            yield from planned_epochs(self.plan, training, problem, refit=refit, done=done)

    @contextmanager
    def _remedies(self) -> Iterator[None]:
        """Make a DivergenceError not recommend scaling if the features are already scaled."""
        try:
            yield
        except DivergenceError as error:
            error.scaled = self.state.scaling is not None
            raise

    def _problem(self, rows: Array) -> dict[str, Any]:
        return {
            "X": self.inputs,
            "y": self.data.labels.for_loss(self.data.targets, self.plan.n_outputs),
            "rows": rows,
            "sample_weight": self.data.loss_weight,
            "loss": self.plan.training_loss,
            "alpha": self.plan.alpha,
        }

    def _measure(self) -> Measured:
        """Return loss and score of the validation set, or None if it is not scored after each epoch."""
        if self.validation is None or not self.plan.monitor:
            return None
        return self.validation.measure(self.estimator, self.state)

    def _after_epoch(self, epoch: Epoch, *, records_best: bool = True) -> None:
        """Record an epoch or iteration, and stop or lower the learning rate if training does not improve."""
        state, plan, measured = self.state, self.plan, self._measure()
        history, best = state.history.copy(), state.best
        history.record(epoch, measured, state.training.scale)
        if measured is not None and records_best:
            best = copy.copy(best)
            best.record(measured[1], state.network.theta, len(history.loss_curve))
        vars(state).update(history=history, best=best)  # at once, so that Ctrl-C leaves both or none
        self._print(f"Iteration {history.n_iter}, loss = {epoch.loss:.8f}")
        if measured is not None:
            self._print(f"Validation score: {measured[1]:f}")
        if plan.learning_rate_rule == "invscaling":
            state.training.scale = inverse_scaling(history.n_samples_seen, plan.power_t)
        assert state.patience is not None
        by_score = measured is not None and plan.early_stopping
        if state.patience.exceeded(-measured[1] if by_score else epoch.loss):  # type: ignore[index]
            self._stop_or_slow_down("Validation score" if by_score else "Training loss")

    def _stop_or_slow_down(self, what: str) -> None:
        """Stop, or lower an adaptive learning rate."""
        state, plan = self.state, self.plan
        reason = (
            f"{what} did not improve more than tol={plan.tol:f} for {plan.n_iter_no_change} "
            "consecutive epochs."
        )
        adaptive, rate = plan.learning_rate_rule == "adaptive", plan.optimizer.learning_rate
        scale = lowered(state.training.scale, rate) if adaptive else None
        if scale is None:
            state.stopped = True
            self._print(f"{reason} Learning rate too small. Stopping." if adaptive else f"{reason} Stopping.")
            return
        state.training.scale = scale
        state.patience.epochs_without_improvement = 0  # type: ignore[union-attr]
        self._print(f"{reason} Setting learning rate to {rate * scale:f}")

    def _not_converged(self, what: str, remedy: str) -> Warning:
        scale = "" if self.state.scaling else ", or scale the features"
        text = f"{what} and the optimization hasn't converged yet. Increase {remedy}{scale}."
        warning: Warning = ConvergenceWarning(text)
        return warning

    def _interrupted(self) -> Warning:
        n = self.state.history.n_iter
        return UserWarning(
            f"Training interrupted by user after {n} epochs; the model keeps what it has learned."
        )

    def _clipped(self) -> list[Warning]:
        text = self.plan.batch_size_warning
        return [] if text is None else [UserWarning(text)]

    def _print(self, text: str) -> None:
        if self.plan.verbose:
            print(text)


def planned_epochs(
    plan: FitPlan, training: TrainState, problem: dict[str, Any], *, refit: bool, done: int
) -> Iterator[Epoch]:
    """Train as a plan defines, and yield the report of each epoch, after the ``done`` epochs before.

    Parameters
    ----------
    plan : FitPlan
    training : TrainState
    problem : dict
        The rows, their targets and weights, the loss and the penalty, as arguments of `train`.
    refit : bool
        Whether all rows are trained on, in batches of their own size.
    done : int
    """
    assert callable(plan.schedule)  # it is a name only in a loaded model
    return train(
        training.network,
        epochs=plan.max_iter,
        batch_size=plan.refit_batch_size if refit else plan.batch_size,
        done=done,
        schedule=plan.schedule,
        max_grad_norm=plan.max_grad_norm,
        shuffle=plan.shuffle,
        state=training,
        **problem,
    )
