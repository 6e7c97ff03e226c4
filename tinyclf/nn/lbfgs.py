"""L-BFGS: SciPy's minimizer, applied to the `Objective` of all rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import ROW_BLOCK, Array
from .batches import as_rows
from .errors import DivergenceError
from .losses import Loss
from .network import Network
from .objective import Objective
from .threads import limit_blas
from .training import Epoch, euclidean_norm


class Ending(NamedTuple):
    """Whether the minimizer converged, why it stopped (SciPy's message), and the final objective."""

    converged: bool
    reason: str
    loss: float


class _Sum:
    """Value and gradient of the objective over all rows: sums over blocks of rows, in float64."""

    def __init__(self, network: Network, objective: Objective) -> None:
        self.network = network
        self.objective = objective
        order = objective.order
        self.blocks = [order[start : start + ROW_BLOCK] for start in range(0, len(order), ROW_BLOCK)]
        self.total_weight = objective.total_weight(order)
        self.gradient = np.empty_like(network.theta)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return value and gradient for these parameters; the next call overwrites the gradient."""
        self.network.theta = theta
        self.gradient[...] = 0.0
        self.largest_logit, total = 0.0, 0.0
        for block in self.blocks:
            value, peak = self.objective.loss_and_grad(block)
            fraction = self.objective.total_weight(block) / self.total_weight
            total += fraction * value
            self.objective.gradient *= fraction
            self.gradient += self.objective.gradient
            self.largest_logit = float(np.maximum(self.largest_logit, peak))
        self.objective.gradient[...] = self.gradient
        total += self.objective.add_penalty(self.objective.alpha / self.total_weight)
        return total, self.objective.gradient


def minimize(
    network: Network,
    X: Any,
    y: ArrayLike,
    *,
    loss: Loss,
    after: Callable[[Epoch], bool],
    rows: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.0,
    max_iter: int = 200,
    max_fun: int = 15000,
    tol: float = 1e-4,
) -> Ending:
    """Train a network in place by L-BFGS, for small data sets.

    The computation is in float64, since rounding errors would soon stop a line search in float32.
    When ``after`` is called, the network has the parameters of that iteration, rounded to its type.

    Source: Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained
    optimization" (1995).

    Parameters
    ----------
    network, X, y, loss, rows, sample_weight, alpha
        See `train`.
    after : callable
        Called with the report of each iteration; returns whether to stop.
    max_iter, max_fun : int, default=200 and 15000
        Largest numbers of iterations and of evaluations of the objective.
    tol : float, default=1e-4
        The minimizer has converged if no entry of the gradient is larger than ``tol`` in magnitude,
        or if the objective hardly decreases (SciPy's default of ``ftol``).

    Returns
    -------
    Ending

    Raises
    ------
    DivergenceError
        If the objective or its gradient is not finite at the start, or the objective or a
        parameter, rounded to the network's type, is not finite at the end.
    ValueError, TypeError
        If an argument or the data are invalid.

    Examples
    --------
    >>> from tinyclf import Dense, Network, SoftmaxCrossEntropy
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> network = Network([Dense(2)], n_in=1, seed=0)
    >>> minimize(network, X, y, loss=SoftmaxCrossEntropy(), after=lambda epoch: False).converged
    True
    >>> network.logits(X).argmax(axis=1)
    array([0, 0, 1, 1])
    """
    from scipy import optimize

    # Raises an error for entries that are not finite in the network's type.
    as_rows(X, network.dtype, network.widths[0])
    wide = network.copy("float64")
    objective = Objective(
        wide, X, y, loss=loss, rows=rows, sample_weight=sample_weight, alpha=alpha, batch_size=ROW_BLOCK
    )
    evaluate = _Sum(wide, objective)
    iterations, started = 0, time.perf_counter()

    def report(intermediate_result: optimize.OptimizeResult) -> None:
        nonlocal iterations
        iterations += 1
        network.theta = intermediate_result.x
        epoch = Epoch(
            index=iterations,
            loss=float(intermediate_result.fun),
            largest_logit=evaluate.largest_logit,
            gradient_norm=euclidean_norm(objective.gradient),
            first_nonfinite=None,
            seconds=time.perf_counter() - started,
        )
        if after(epoch):
            raise StopIteration

    limit = limit_blas(min(ROW_BLOCK, len(objective.order)) * network.largest_product)
    with limit, limit, np.errstate(all="ignore"):
        value, gradient = evaluate(wide.theta.copy())
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            raise _divergence(1, value, evaluate)
        result = optimize.minimize(
            evaluate,
            wide.theta.copy(),
            jac=True,
            method="L-BFGS-B",
            callback=report,
            options={"maxiter": max_iter, "maxfun": max_fun, "gtol": tol},
        )
        network.theta = result.x
    if not (math.isfinite(result.fun) and np.isfinite(network.theta).all()):
        raise _divergence(iterations + 1, float(result.fun), evaluate)
    return Ending(bool(result.status == 0), str(result.message), float(result.fun))


def _divergence(iteration: int, value: float, evaluate: _Sum) -> DivergenceError:
    largest = max(map(evaluate.objective.largest_input, evaluate.blocks))
    return DivergenceError(
        epoch=iteration,
        batch=1,
        loss=value,
        largest_input=largest,
        largest_logit=evaluate.largest_logit,
        learning_rate=math.nan,
    )
