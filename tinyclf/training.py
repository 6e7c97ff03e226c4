"""Training by mini-batches: `train` is what one calls, `run_epoch` is the only loop over batches."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .errors import DivergenceError, check_interval, whole_number
from .losses import Loss, SoftmaxCrossEntropy
from .network import Network, Workspace
from .optimizers import SGD, Optimizer, Schedule, constant
from .rows import CsrRows, DenseRows, as_rows, as_weights
from .state import TrainState
from .views import Array

OnNonfinite = Literal["raise", "stop", "continue"]


@dataclass(frozen=True)
class Epoch:
    """Report of one pass over the rows.

    Attributes
    ----------
    index : int
        Number of the epoch, from 1.
    loss : float
        Mean over the mini-batches of their losses, which are weighted means with the L2 penalty; each counts
        by its number of rows, as in scikit-learn.
    largest_logit : float
        The largest magnitude of a logit in any of its mini-batches; nan if one was nan.
    gradient_norm : float
        Euclidean norm of the last mini-batch's gradient, with the L2 penalty; nan if it was not reached.
    first_nonfinite : int or None
        The first mini-batch, from 1, with a loss or logit that is not finite; or the last one, if the
        parameters or the optimizer's vectors are not finite after its step.
    seconds : float
        Wall-clock time.
    """

    index: int
    loss: float
    largest_logit: float
    gradient_norm: float
    first_nonfinite: int | None
    seconds: float

    def __str__(self) -> str:
        broken = "" if self.first_nonfinite is None else f", not finite from batch {self.first_nonfinite} on"
        return (
            f"epoch {self.index}: loss {self.loss:.6g}, largest |logit| {self.largest_logit:.4g}, "
            f"gradient norm {self.gradient_norm:.3g}{broken}"
        )


@dataclass(frozen=True)
class Objective:
    """What is minimised: the weighted mean loss over a batch of rows plus an L2 penalty.

    loss + alpha / 2 |W|^2 / (the sum of the batch's weights, which is its size without weights), with |W|^2
    over the penalised parameters: scikit-learn's penalty. It gets weaker as batches get larger.
    """

    rows: DenseRows | CsrRows
    targets: Array
    weight: Array | None
    loss: Loss
    alpha: float

    @property
    def order(self) -> Array:
        """Indices of the rows that take part: a row of weight 0 is as if it were not there."""
        if self.weight is None:
            return np.arange(len(self.rows))
        return np.flatnonzero(self.weight)

    def value_and_grad(self, batch: Array, network: Network, workspace: Workspace) -> tuple[float, float]:
        """Overwrite the workspace's gradient for these rows; return the value and the largest |logit|."""
        tapes = workspace.tapes(len(batch))
        x = workspace.x[: len(batch)]
        self.rows.gather(batch, x)
        z, dz = network.forward(tapes.layers, x), tapes.layers[-1].dy
        largest_logit = float(np.abs(z, out=dz).max())
        w = None if self.weight is None else self.weight[batch]
        value = self.loss.value_and_grad(z, self.targets[batch], w, dz, tapes.loss)
        network.backward(tapes.layers, workspace.gradients)
        if self.alpha:
            W = network.penalised
            strength = self.alpha / (len(batch) if w is None else float(w.sum()))
            value += 0.5 * strength * float(np.dot(W, W))
            np.multiply(W, strength, out=workspace.scratch)
            workspace.gradient[: W.size] += workspace.scratch
        return value, largest_logit


@dataclass
class Run:
    """One call of `train`: what it was asked for, and how far it has come."""

    objective: Objective
    workspace: Workspace
    batch_size: int
    shuffle: bool
    schedule: Schedule
    n_steps: int
    on_nonfinite: OnNonfinite
    steps_done: int = 0


def run_epoch(state: TrainState, run: Run) -> Epoch:
    """Take one step for each mini-batch of one pass over the rows."""
    started = time.perf_counter()
    network, optimizer, gradient = state.network, state.optimizer, run.workspace.gradient
    order = run.objective.order
    if run.shuffle:
        order = state.shuffle_rng.permutation(order)
    total, done, largest_logit, norm = 0.0, 0, 0.0, math.nan
    first_nonfinite = None
    # A generator that held this context around its yield would leak it into the caller.
    with np.errstate(all="ignore"):
        for number, start in enumerate(range(0, len(order), run.batch_size), 1):
            batch = order[start : start + run.batch_size]
            value, peak = run.objective.value_and_grad(batch, network, run.workspace)
            total += value * len(batch)
            done += len(batch)
            largest_logit = float(np.maximum(largest_logit, peak))
            if done == len(order):
                norm = math.sqrt(np.einsum("i,i->", gradient, gradient, dtype=np.float64))
            factor = run.schedule(run.steps_done / run.n_steps)
            check_interval("the factor that schedule returns", factor, 0.0, math.inf, open_high=True)
            rate = optimizer.learning_rate * factor
            run.steps_done += 1
            finite = math.isfinite(value) and math.isfinite(peak)
            if finite or run.on_nonfinite == "continue":
                state.t += 1
                optimizer.update(gradient, state.vectors, state.t, rate)
                network.theta -= gradient
                # Broken parameters show in the next loss, unless an activation hides them; broken vectors
                # need not show at all: an overflow in Adam's V leaves steps of 0. Hence a look each epoch.
                if finite and done == len(order):
                    finite = all(map(_all_finite, (network.theta, *vars(state.vectors).values())))
            if not finite:
                first_nonfinite = first_nonfinite or number
                if run.on_nonfinite == "stop":
                    break
                if run.on_nonfinite == "raise":
                    raise DivergenceError(
                        epoch=state.epoch + 1,
                        batch=number,
                        loss=value,
                        largest_input=float(np.abs(run.workspace.x[: len(batch)]).max()),
                        largest_logit=peak,
                        learning_rate=rate,
                    )
    state.epoch += 1
    return Epoch(
        index=state.epoch,
        loss=total / done,
        largest_logit=largest_logit,
        gradient_norm=norm,
        first_nonfinite=first_nonfinite,
        seconds=time.perf_counter() - started,
    )


def _all_finite(values: Array) -> bool:
    return math.isfinite(values.max(initial=0.0)) and math.isfinite(values.min(initial=0.0))


def train(
    network: Network,
    X: Any,
    y: ArrayLike,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 20,
    batch_size: int = 32,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.0,
    schedule: Schedule = constant,
    shuffle: bool = True,
    seed: Any = None,
    on_nonfinite: OnNonfinite = "raise",
    state: TrainState | None = None,
) -> Iterator[Epoch]:
    """Train a network in place; a generator with one report per epoch.

    Arguments are checked at once; training goes on whenever the generator is asked for an epoch, and may be
    left at any time: the network keeps what it has learnt. With ``batch_size=len(X)`` and ``SGD`` this is
    plain gradient descent. X must not change meanwhile: it is copied only if it is not C-ordered and of the
    network's type.

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
        The last batch of an epoch is shorter where n is no multiple; more than n is n.
    sample_weight : array_like of shape (n,), optional
        Non-negative; rows of weight 0 are left out.
    alpha : float, default=0.0
        Strength of the L2 penalty, see `Objective`.
    schedule : callable, default=constant
        From the share of the steps done, in [0, 1), to the factor of the learning rate.
    shuffle : bool, default=True
        Whether to draw a new order of the rows in each epoch.
    seed : int, numpy.random.Generator or None, default=None
        Of the order of the rows and of dropout.
    on_nonfinite : {"raise", "stop", "continue"}, default="raise"
        What to do about a loss or logit that is not finite: raise a DivergenceError, end the epoch and the
        training, or go on. The first two leave out the step that would follow.
    state : TrainState, optional
        Of this network: goes on where an earlier training stopped, with its optimizer and random streams
        instead of ``optimizer`` and ``seed``.

    Yields
    ------
    Epoch

    Raises
    ------
    DivergenceError
        With ``on_nonfinite="raise"``.
    ValueError, TypeError
        If an argument or the data do not fit; before the first epoch.

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
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be an instance of Loss, got {loss!r}")
    if state is None:
        state = TrainState(network, SGD() if optimizer is None else optimizer, seed)
    elif optimizer is not None or seed is not None:
        raise ValueError("state brings its own optimizer and seed; change the optimizer by state.use(...)")
    if state.network is not network:
        raise ValueError("state belongs to another network; train state.network, or make a new TrainState")
    if network.theta.size == 0:
        raise ValueError(f"there is nothing to train: no layer of {network} has parameters")
    epochs = whole_number("epochs", epochs, 0)
    batch_size = whole_number("batch_size", batch_size, 1)
    check_interval("alpha", alpha, 0.0, math.inf, open_high=True)
    if on_nonfinite not in ("raise", "stop", "continue"):
        raise ValueError(f'on_nonfinite must be "raise", "stop" or "continue", got {on_nonfinite!r}')
    rows = as_rows(X, network.dtype, network.widths[0])
    targets = loss.targets(y, len(rows), network.widths[-1])
    weight = as_weights(sample_weight, len(rows))
    objective = Objective(rows, targets, weight, loss, alpha)
    n = len(objective.order)
    if n == 0:
        raise ValueError(f"there must be at least one row to train on, got an input of {len(rows)} rows")
    batch_size = min(batch_size, n)
    run = Run(
        objective=objective,
        workspace=Workspace(network, batch_size, loss=loss, rng=state.dropout_rng),
        batch_size=batch_size,
        shuffle=shuffle,
        schedule=schedule,
        n_steps=epochs * math.ceil(n / batch_size),
        on_nonfinite=on_nonfinite,
    )
    return _epochs(state, run, epochs)


def _epochs(state: TrainState, run: Run, epochs: int) -> Iterator[Epoch]:
    for _ in range(epochs):
        epoch = run_epoch(state, run)
        yield epoch
        if run.on_nonfinite == "stop" and epoch.first_nonfinite is not None:
            return
