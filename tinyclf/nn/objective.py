"""The objective that training minimizes: its value and its gradient for any rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import kernels
from .arrays import PARAMETER_BLOCK, Array, as_array
from .batches import Rows, as_rows, as_weights
from .errors import check_interval
from .fused import Step, fused_step
from .losses import Loss
from .network import Network
from .passes import Passes, bound
from .workspace import Tapes


class Objective:
    """The weighted mean loss over a batch of rows plus an L2 penalty.

    loss + alpha / 2 |W|^2 / (sum of the weights of the batch's rows, by default their number), with
    |W|^2 the sum of squares of the regularized parameters. This is scikit-learn's penalty: it is
    weaker for larger batches.

    An objective owns the buffers of a training, so each training needs its own objective.

    Parameters
    ----------
    network : Network
    X : array_like or SciPy sparse matrix of shape (n, n_in)
    y : array_like
        Targets, as `Loss.targets` takes them.
    loss : Loss
    batch_size : int
        The largest number of rows of a batch; a value above the number of rows means all.
    rows : array_like of int, optional
        Indices of the rows to train on, all by default.
    sample_weight : array_like of shape (n,), optional
        Rows of weight 0 are left out.
    alpha : float, default=0.0
        Strength of the penalty.
    rng : numpy.random.Generator, optional
        For layers that draw random numbers.

    Attributes
    ----------
    order : ndarray of int
        Indices of the rows to train on.
    gradient : ndarray like theta
        Gradient for the last batch.

    Raises
    ------
    ValueError, TypeError
        If an argument or the data are invalid.
    """

    def __init__(
        self,
        network: Network,
        X: Any,
        y: ArrayLike,
        *,
        loss: Loss,
        batch_size: int,
        rows: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        alpha: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be an instance of Loss, got {loss!r}")
        if network.theta.size == 0:
            raise ValueError(f"there is nothing to train: no layer of {network} has parameters")
        check_interval("alpha", alpha, 0.0, math.inf, open_high=True)
        self.network, self.loss, self.alpha = network, loss, float(alpha)
        self.rows = as_rows(X, network.dtype, network.widths[0], stays_sparse=network.layers[0].reads_sparse)
        n = len(self.rows)
        self.targets = loss.targets(y, n, network.widths[-1])
        self.weight = as_weights(sample_weight, n)
        self.order = _as_indices(rows, n)
        if self.weight is not None:
            self.order = self.order[self.weight[self.order] > 0]
        if len(self.order) == 0:
            raise ValueError(
                f"there must be at least one row to train on, got an input of {n} rows"
                + ("" if rows is None else f", {np.size(rows)} of them chosen, none with a weight above 0")
            )
        # After all checks: the checks import modules that numba imports, too, and a child that is
        # forked while another thread imports numba could not import these modules.
        kernels.load(network.dtype)
        self._workspace = network.workspace(min(batch_size, len(self.order)), loss=loss, rng=rng)
        self.gradient = np.empty_like(network.theta)
        self._gradients = network.split(self.gradient)
        self._steps: dict[int, Step] = {}
        size = max(1, min(network.regularized.size, PARAMETER_BLOCK))
        self._scratch = np.empty(size, network.dtype)

    def total_weight(self, batch: Array) -> float:
        """Return the sum of the weights of these rows, or their number if they have no weights."""
        return len(batch) if self.weight is None else float(self.weight[batch].sum())

    def value_and_grad(self, batch: Array) -> tuple[float, float]:
        """Compute ``gradient`` for these rows; return the value and the largest |logit|."""
        value, largest_logit = self.loss_and_grad(batch)
        if self.alpha:
            value += self.add_penalty(self.alpha / self.total_weight(batch))
        return value, largest_logit

    def loss_and_grad(self, batch: Array) -> tuple[float, float]:
        """As `value_and_grad`, without the penalty."""
        step = self._steps.get(len(batch)) or self._bind(len(batch))
        return step(batch)

    def _bind(self, n: int) -> Step:
        """Return the step for batches of n rows, and keep it."""
        network, tapes = self.network, self._workspace.tapes(n)
        arguments = self.loss, self.rows, self.targets, self.weight
        step = fused_step(network, self.gradient, tapes, *arguments)
        if step is None:
            passes = bound(network.layers, network.parameters, self._gradients, tapes.layers)
            step = _step_by_layers(passes, tapes, *arguments)
        self._steps[n] = step
        return step

    def add_penalty(self, strength: float) -> float:
        """Return strength / 2 |W|^2, and add its gradient, strength W, to ``gradient``."""
        W = self.network.regularized
        squares = kernels.add_penalty(W, self.gradient[: W.size], strength, self._scratch)
        return 0.5 * strength * squares

    def largest_input(self, batch: Array) -> float:
        """Return the largest magnitude of the inputs of these rows."""
        return float(abs(self.rows.gather(batch, self._workspace.tapes(len(batch)).x)).max())


def _step_by_layers(
    passes: Passes, tapes: Tapes, loss: Loss, rows: Rows, targets: Array, weight: Array | None
) -> Step:
    """Return a step that calls the layers and the loss.

    This is no method: an objective and a step that refer to each other would keep their memory until the
    garbage collector runs.
    """
    first, last = tapes.layers[0], tapes.layers[-1]

    def step(batch: Array) -> tuple[float, float]:
        x = rows.gather(batch, tapes.x)
        if first.x is not x:
            first.bind(x=x)
        for call in passes.forward:
            call()
        z, dz = last.y, last.dy
        largest_logit = kernels.largest_magnitude(z, dz)
        w = None if weight is None else weight[batch]
        value = loss.value_and_grad(z, targets[batch], w, dz, tapes.loss)
        for call in passes.backward:
            call()
        return value, largest_logit

    return step


def _as_indices(rows: ArrayLike | None, n: int) -> Array:
    if rows is None:
        return np.arange(n)
    indices = as_array("rows", rows)
    if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
        raise TypeError(f"rows must be a list of indices, got an array {indices.dtype}{indices.shape}")
    if indices.size and not 0 <= indices.min() <= indices.max() < n:
        raise ValueError(f"rows must be indices from 0 to {n - 1}, got {indices.min()} to {indices.max()}")
    return indices if indices.size else indices.astype(np.intp)
