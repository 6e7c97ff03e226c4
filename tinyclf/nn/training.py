"""Training by mini-batches: `train` is the function to call, `run_epoch` the only loop over batches."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, all_finite
from .errors import DivergenceError, check_interval, whole_number
from .losses import Loss, SoftmaxCrossEntropy
from .network import Network
from .objective import Objective
from .optimizers import SGD, Optimizer
from .schedules import Schedule, constant
from .state import TrainState
from .threads import limit_blas

OnNonfinite = Literal["raise", "stop", "continue"]


@dataclass(frozen=True)
class Epoch:
    """Report of one pass over the rows.

    Attributes
    ----------
    index : int
        Number of the epoch, from 1.
    loss : float
        Mean of the losses of the mini-batches, weighted by their numbers of rows, as in
        scikit-learn. The loss of a mini-batch is a weighted mean plus the L2 penalty.
    largest_logit : float
        The largest magnitude of a logit in any of its mini-batches; nan if one was nan.
    gradient_norm : float
        Euclidean norm of the last mini-batch's gradient, with the L2 penalty and before clipping.
        If the epoch was stopped early, it is nan; with clipping, the norm of its last mini-batch.
    first_nonfinite : int or None
        Number of the first mini-batch, from 1, with a loss or logit that is not finite; or of the
        last one, if only the parameters or the optimizer's state are not finite after its step.
    seconds : float
        Wall-clock time; for L-BFGS, since the start of the training.
    rows : int
        Number of rows trained on; 0 for L-BFGS.
    """

    index: int
    loss: float
    largest_logit: float
    gradient_norm: float
    first_nonfinite: int | None
    seconds: float
    rows: int = 0

    def __str__(self) -> str:
        broken = "" if self.first_nonfinite is None else f", not finite from batch {self.first_nonfinite} on"
        return (
            f"epoch {self.index}: loss {self.loss:.6g}, largest |logit| {self.largest_logit:.4g}, "
            f"gradient norm {self.gradient_norm:.3g}{broken}"
        )


class _EpochReport:
    """Collects the values of an `Epoch`, and checks that they are finite."""

    def __init__(self, state: TrainState, objective: Objective, on_nonfinite: OnNonfinite) -> None:
        self.state, self.objective, self.on_nonfinite = state, objective, on_nonfinite
        self.total, self.rows, self.batches = 0.0, 0, 0
        self.largest_logit, self.gradient_norm = 0.0, math.nan
        self.first_nonfinite: int | None = None
        self.started = time.perf_counter()

    def add(self, batch: Array, value: float, largest_logit: float, rate: float) -> bool:
        """Add a mini-batch; return whether to take its step."""
        n = len(batch)
        self.last = batch, value, largest_logit, rate
        self.batches += 1
        self.rows += n
        self.total += value * n
        if largest_logit > self.largest_logit or largest_logit != largest_logit:  # nan stays
            self.largest_logit = largest_logit
        self.finite = math.isfinite(value) and math.isfinite(largest_logit)
        return self.finite or self._continues()

    def check_parameters(self) -> None:
        """Check that parameters and optimizer state are finite, once per epoch, after the last step.

        A parameter that is not finite usually makes the next loss not finite, but an activation can
        hide it. An entry of the optimizer's state that is not finite may have no visible effect: an
        overflow in Adam's V makes all later steps 0.
        """
        arrays = (self.state.network.theta, *self.state.optimizer_state.arrays.values())
        if self.finite and not all(map(all_finite, arrays)):
            self._continues()

    def _continues(self) -> bool:
        self.first_nonfinite = self.first_nonfinite or self.batches
        if self.on_nonfinite == "raise":
            batch, value, largest_logit, rate = self.last
            raise DivergenceError(
                epoch=self.state.epoch + 1,
                batch=self.batches,
                loss=value,
                largest_input=self.objective.largest_input(batch),
                largest_logit=largest_logit,
                learning_rate=rate,
            )
        return self.on_nonfinite == "continue"

    def epoch(self) -> Epoch:
        """Return the report."""
        return Epoch(
            index=self.state.epoch,
            loss=self.total / self.rows,
            largest_logit=self.largest_logit,
            gradient_norm=self.gradient_norm,
            first_nonfinite=self.first_nonfinite,
            seconds=time.perf_counter() - self.started,
            rows=self.rows,
        )


def run_epoch(
    state: TrainState,
    objective: Objective,
    *,
    batch_size: int,
    shuffle: bool,
    schedule: Schedule,
    first_step: int,
    n_steps: int,
    max_grad_norm: float,
    on_nonfinite: OnNonfinite,
) -> Epoch:
    """Take one step for each mini-batch of one pass over the rows.

    ``first_step`` is the number of the first step, from 0, among the ``n_steps`` of the training. The
    other arguments are those of `train`.
    """
    theta, gradient = state.network.theta, objective.gradient
    optimizer, s = state.optimizer, state.optimizer_state
    weights = state.network.regularized if objective.alpha or optimizer.weight_decay else None
    order = objective.rows.permuted(objective.order, state.shuffle_rng) if shuffle else objective.order
    report = _EpochReport(state, objective, on_nonfinite)
    limit = limit_blas(batch_size * state.network.largest_product)
    # These contexts are not in the generator of `train`: around a yield, they are active in the caller, too.
    with limit, limit, np.errstate(all="ignore"):
        for step, start in enumerate(range(0, len(order), batch_size), first_step):
            batch = order[start : start + batch_size]
            value, largest_logit = objective.value_and_grad(batch)
            if max_grad_norm < math.inf or start + batch_size >= len(order):
                report.gradient_norm = clip_norm(gradient, max_grad_norm)
            rate = optimizer.learning_rate * state.scale * _factor(schedule, step / n_steps)
            if not report.add(batch, value, largest_logit, rate):
                break
            optimizer.step(theta, gradient, s, rate, weights)
        else:
            report.check_parameters()
    state.epoch += 1
    return report.epoch()


def _factor(schedule: Schedule, progress: float) -> float:
    factor = schedule(progress)
    if not (isinstance(factor, float) and 0.0 <= factor < math.inf):
        check_interval(
            "the learning rate's factor that schedule returns", factor, 0.0, math.inf, open_high=True
        )
    return factor


def clip_norm(gradient: Array, max_norm: float) -> float:
    """Scale the gradient down to this Euclidean norm if it is larger; return the norm before."""
    norm = euclidean_norm(gradient)
    if norm > max_norm:
        gradient *= max_norm / norm
    return norm


def euclidean_norm(vector: Array) -> float:
    """Return the Euclidean norm in float64, without overflow or underflow of the squares."""
    norm = math.sqrt(np.einsum("i,i->", vector, vector, dtype=np.float64))
    if 1e-140 < norm < math.inf:  # the squares are normal numbers
        return norm
    largest = float(np.abs(vector).max(initial=0.0))
    if 0.0 < largest < math.inf:
        scaled = vector / largest
        norm = largest * math.sqrt(np.einsum("i,i->", scaled, scaled, dtype=np.float64))
    return norm


def train(
    network: Network,
    X: Any,
    y: ArrayLike,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 20,
    batch_size: int = 32,
    rows: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.0,
    schedule: Schedule = constant,
    max_grad_norm: float | None = None,
    shuffle: bool = True,
    seed: Any = None,
    on_nonfinite: OnNonfinite = "raise",
    state: TrainState | None = None,
    done: int = 0,
) -> Iterator[Epoch]:
    """Train a network in place; return a generator that yields one report per epoch.

    Arguments are checked when `train` is called. Each ``next`` of the generator trains for one
    epoch. A loop over it can be left at any time, and the network keeps its parameters. With
    ``batch_size=len(X)`` and ``SGD`` this is plain gradient descent. X, y and rows must not be changed
    during training, since they may not be copied: X is copied only if it is not C-ordered or has
    another type than the network.

    Parameters
    ----------
    network : Network
    X : array_like or SciPy sparse matrix of shape (n, n_in)
    y : array_like
        Integer codes (n,), or probabilities (n, n_outputs).
    loss : Loss, default=SoftmaxCrossEntropy()
    optimizer : Optimizer, default=SGD()
    epochs : int, default=20
    batch_size : int, default=32
        Rows per mini-batch; a value above the number of rows means all rows. The last mini-batch of
        an epoch is smaller if the number of rows is not a multiple of this.
    rows : array_like of int, optional
        Indices of the rows to train on, all by default. X is not copied.
    sample_weight : array_like of shape (n,), optional
        Non-negative; rows of weight 0 are left out.
    alpha : float, default=0.0
        Strength of the L2 penalty, ``alpha / 2 * sum(W**2) / n`` for a batch of n rows; with weights,
        n is their sum. W are the parameters that the layers name as ``regularized``: the weights of
        Dense.
    schedule : callable, default=constant
        Maps progress, the fraction of the steps done, in [0, 1), to a factor of the learning rate.
    max_grad_norm : float or None, default=None
        Largest Euclidean norm of the gradient, penalty included; a gradient with a larger norm is
        scaled down to it before the optimizer's step. None disables clipping. Source: Pascanu et
        al., "On the difficulty of training recurrent neural networks" (2013), algorithm 1.
    shuffle : bool, default=True
        Whether to draw a new order of the rows in each epoch.
    seed : int, numpy.random.Generator or None, default=None
        Seed of the order of the rows and of dropout.
    on_nonfinite : {"raise", "stop", "continue"}, default="raise"
        What to do if a loss or logit is not finite, or if a parameter or the optimizer's state is
        not finite after an epoch: raise a DivergenceError, stop the epoch and the training, or
        continue. The first two skip the step of a batch with such a loss or logit.
    state : tinyclf.nn.state.TrainState, optional
        State of an earlier training of this network, to continue it. It contains an optimizer and
        random generators, so ``optimizer`` and ``seed`` must be None.
    done : int, default=0
        Number of the ``epochs`` that are already done. Only the others are trained, and the
        schedule continues from there.

    Yields
    ------
    Epoch

    Raises
    ------
    DivergenceError
        If ``on_nonfinite="raise"`` and a number is not finite.
    ValueError, TypeError
        If an argument or the data are invalid; raised before the first epoch.

    Examples
    --------
    >>> from tinyclf import Dense, Network
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> network = Network([Dense(2)], n_in=1, seed=0)
    >>> for epoch in train(network, X, y, optimizer=SGD(0.5), epochs=300, batch_size=len(X)):
    ...     pass
    >>> bool(epoch.loss < 0.1)
    True
    >>> network.logits(X).argmax(axis=1)
    array([0, 0, 1, 1])
    """
    loss = SoftmaxCrossEntropy() if loss is None else loss
    if state is None:
        state = TrainState(network, SGD() if optimizer is None else optimizer, seed)
    elif optimizer is not None or seed is not None:
        raise ValueError("optimizer and seed must be None with a state; set the optimizer by state.use")
    if state.network is not network:
        raise ValueError("state belongs to another network; train state.network, or create a new TrainState")
    epochs, done = whole_number("epochs", epochs, 0), whole_number("done", done, 0)
    if done > epochs:
        raise ValueError(f"done must be at most epochs, {epochs}, which includes those done, got {done}")
    batch_size = whole_number("batch_size", batch_size, 1)
    if max_grad_norm is not None:
        check_interval("max_grad_norm", max_grad_norm, 0.0, math.inf, open_low=True)
    if on_nonfinite not in ("raise", "stop", "continue"):
        raise ValueError(f'on_nonfinite must be "raise", "stop" or "continue", got {on_nonfinite!r}')
    objective = Objective(
        network,
        X,
        y,
        loss=loss,
        rows=rows,
        sample_weight=sample_weight,
        alpha=alpha,
        batch_size=batch_size,
        rng=state.dropout_rng,
    )
    batch_size = min(batch_size, len(objective.order))
    steps_per_epoch = math.ceil(len(objective.order) / batch_size)

    def trained() -> Iterator[Epoch]:  # separate, so that `train` checks its arguments when it is called
        for number in range(done, epochs):
            epoch = run_epoch(
                state,
                objective,
                batch_size=batch_size,
                shuffle=shuffle,
                schedule=schedule,
                first_step=number * steps_per_epoch,
                n_steps=epochs * steps_per_epoch,
                max_grad_norm=math.inf if max_grad_norm is None else max_grad_norm,
                on_nonfinite=on_nonfinite,
            )
            yield epoch
            if on_nonfinite == "stop" and epoch.first_nonfinite is not None:
                return

    return trained()
