"""Training by mini-batches: `train` is what one calls, `run_epoch` is the only loop over batches."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ._threads import one_thread
from .errors import DivergenceError, check_interval, whole_number
from .losses import Loss, SoftmaxCrossEntropy
from .network import Network
from .objective import Objective, as_objective
from .optimizers import SGD, Optimizer
from .schedules import Schedule, constant
from .state import TrainState
from .views import Array, all_finite
from .workspace import Workspace

# Steps from one `TrainState.sweep` to the next.
_SWEEP = 100

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
        Euclidean norm of the last mini-batch's gradient, with the L2 penalty and before it is clipped; nan if
        it was not reached.
    first_nonfinite : int or None
        The first mini-batch, from 1, with a loss or logit that is not finite; or the last one, if the
        parameters or the optimizer's vectors are not finite after its step.
    seconds : float
        Wall-clock time.
    rows : int
        Number of rows that were trained on; 0 for L-BFGS, which does not train row by row.
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


@dataclass
class Run:
    """One call of `train`: what it was asked for, and how far it has come."""

    objective: Objective
    workspace: Workspace
    batch_size: int
    shuffle: bool
    schedule: Schedule
    n_steps: int
    max_grad_norm: float
    on_nonfinite: OnNonfinite
    steps_done: int = 0


def run_epoch(state: TrainState, run: Run) -> Epoch:
    """Take one step for each mini-batch of one pass over the rows."""
    started = time.perf_counter()
    network, optimizer, gradient = state.network, state.optimizer, run.workspace.gradient
    theta = network.theta
    order = run.objective.order
    if run.shuffle:
        order = state.shuffle_rng.permutation(order)
    total, done, largest_logit, norm = 0.0, 0, 0.0, math.nan
    first_nonfinite = None
    # A generator that held these contexts around its yield would leak them into the caller.
    with one_thread(), np.errstate(all="ignore"):
        for number, start in enumerate(range(0, len(order), run.batch_size), 1):
            batch = order[start : start + run.batch_size]
            value, peak = run.objective.value_and_grad(batch, network, run.workspace)
            total += value * len(batch)
            done += len(batch)
            if peak > largest_logit or peak != peak:  # nan stays
                largest_logit = peak
            if done == len(order) or run.max_grad_norm < math.inf:
                norm = euclidean_norm(gradient)
                if norm > run.max_grad_norm:
                    gradient *= run.max_grad_norm / norm
            factor = run.schedule(run.steps_done / run.n_steps)
            if not (isinstance(factor, float) and 0.0 <= factor < math.inf):
                check_interval(
                    "the learning rate's factor that schedule returns", factor, 0.0, math.inf, open_high=True
                )
            rate = optimizer.learning_rate * state.scale * factor
            run.steps_done += 1
            finite = math.isfinite(value) and math.isfinite(peak)
            if finite or run.on_nonfinite == "continue":
                state.t += 1
                if optimizer.weight_decay:
                    network.penalised *= 1.0 - rate * optimizer.weight_decay
                optimizer.step(theta, gradient, state.vectors, state.t, rate)
                if state.t % _SWEEP == 0:
                    state.sweep(decayed=run.objective.alpha > 0.0 or optimizer.weight_decay > 0.0)
                # Broken parameters show in the next loss, unless an activation hides them; broken vectors
                # need not show at all: an overflow in Adam's V leaves steps of 0. Hence a look each epoch.
                if finite and done == len(order):
                    finite = all(map(all_finite, (theta, *vars(state.vectors).values())))
            if not finite:
                first_nonfinite = first_nonfinite or number
                if run.on_nonfinite == "stop":
                    break
                if run.on_nonfinite == "raise":
                    raise DivergenceError(
                        epoch=state.epoch + 1,
                        batch=number,
                        loss=value,
                        largest_input=float(abs(run.workspace.tapes(len(batch)).layers[0].x).max()),
                        largest_logit=peak,
                        learning_rate=rate,
                        scaled=network.scaling is not None,
                    )
    state.epoch += 1
    return Epoch(
        index=state.epoch,
        loss=total / done,
        largest_logit=largest_logit,
        gradient_norm=norm,
        first_nonfinite=first_nonfinite,
        seconds=time.perf_counter() - started,
        rows=done,
    )


def euclidean_norm(vector: Array) -> float:
    """Return the length of a vector, in float64 and also where squares of its entries overflow or vanish."""
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
    rows : array_like of int, optional
        Indices of the rows to train on, without a copy of X; all by default.
    sample_weight : array_like of shape (n,), optional
        Non-negative; rows of weight 0 are left out.
    alpha : float, default=0.0
        Strength of the L2 penalty, see `Objective`.
    schedule : callable, default=constant
        From the share of the steps done, in [0, 1), to the factor of the learning rate.
    max_grad_norm : float or None, default=None
        A longer gradient, penalty included, is shortened to this Euclidean length before the optimizer sees
        it; None leaves all as they are. Source: Pascanu et al., "On the difficulty of training recurrent
        neural networks" (2013), algorithm 1.
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
    done : int, default=0
        How many of the ``epochs`` `state` has behind it already: only the others are trained, and the
        schedule goes on from there.

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
    if state is None:
        state = TrainState(network, SGD() if optimizer is None else optimizer, seed)
    elif optimizer is not None or seed is not None:
        raise ValueError("state brings its own optimizer and seed; change the optimizer by state.use(...)")
    if state.network is not network:
        raise ValueError("state belongs to another network; train state.network, or make a new TrainState")
    epochs, done = whole_number("epochs", epochs, 0), whole_number("done", done, 0)
    if done > epochs:
        raise ValueError(f"done must be at most epochs, {epochs}, which counts all of them, got {done}")
    batch_size = whole_number("batch_size", batch_size, 1)
    if max_grad_norm is not None:
        check_interval("max_grad_norm", max_grad_norm, 0.0, math.inf, open_low=True)
    if on_nonfinite not in ("raise", "stop", "continue"):
        raise ValueError(f'on_nonfinite must be "raise", "stop" or "continue", got {on_nonfinite!r}')
    objective = as_objective(network, X, y, loss=loss, rows=rows, sample_weight=sample_weight, alpha=alpha)
    n = len(objective.order)
    batch_size = min(batch_size, n)
    run = Run(
        objective=objective,
        workspace=Workspace(network, batch_size, loss=loss, rng=state.dropout_rng),
        batch_size=batch_size,
        shuffle=shuffle,
        schedule=schedule,
        n_steps=epochs * math.ceil(n / batch_size),
        max_grad_norm=math.inf if max_grad_norm is None else max_grad_norm,
        on_nonfinite=on_nonfinite,
        steps_done=done * math.ceil(n / batch_size),
    )
    return _epochs(state, run, epochs - done)


def _epochs(state: TrainState, run: Run, epochs: int) -> Iterator[Epoch]:
    for _ in range(epochs):
        epoch = run_epoch(state, run)
        yield epoch
        if run.on_nonfinite == "stop" and epoch.first_nonfinite is not None:
            return
