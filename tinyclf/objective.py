"""The objective: what training minimises, as value and gradient over any rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _fast
from .errors import check_interval
from .losses import Loss
from .network import Network
from .rows import CsrRows, DenseRows, as_rows, as_weights
from .views import Array
from .workspace import Workspace


@dataclass(frozen=True)
class Objective:
    """What is minimised: the weighted mean loss over a batch of rows plus an L2 penalty.

    loss + alpha / 2 |W|^2 / (the sum of the batch's weights, which is its size without weights), with |W|^2
    over the penalised parameters: scikit-learn's penalty. It gets weaker as batches get larger.
    """

    rows: DenseRows | CsrRows
    targets: Array
    weight: Array | None
    order: Array
    """Indices of the rows that take part: a row of weight 0 is as if it were not there."""
    loss: Loss
    alpha: float

    def mass(self, batch: Array) -> float:
        """Sum of the weights of these rows: their number without weights."""
        return len(batch) if self.weight is None else float(self.weight[batch].sum())

    def value_and_grad(self, batch: Array, network: Network, workspace: Workspace) -> tuple[float, float]:
        """Overwrite the workspace's gradient for these rows; return the value and the largest |logit|."""
        value, largest_logit = self.loss_and_grad(batch, network, workspace)
        if self.alpha:
            value += self.add_penalty(self.alpha / self.mass(batch), network, workspace)
        return value, largest_logit

    def loss_and_grad(self, batch: Array, network: Network, workspace: Workspace) -> tuple[float, float]:
        """As `value_and_grad`, without the penalty."""
        tapes = workspace.tapes(len(batch))
        x = self.rows.gather(batch, tapes.x)
        z, dz = network.forward(tapes.layers, x), tapes.layers[-1].dy
        largest_logit = float(np.abs(z, out=dz).max())
        w = None if self.weight is None else self.weight[batch]
        value = self.loss.value_and_grad(z, self.targets[batch], w, dz, tapes.loss)
        network.backward(tapes.layers, workspace.gradients)
        return value, largest_logit

    def add_penalty(self, strength: float, network: Network, workspace: Workspace) -> float:
        """Return strength / 2 |W|^2 and add its gradient, strength W, to the workspace's."""
        W, room, squares = network.penalised, workspace.scratch, 0.0
        dW = workspace.gradient[: W.size]
        if twin := _fast.kernels:
            return 0.5 * strength * float(twin.penalise(W, dW, strength))
        for start in range(0, W.size, room.size):  # blocks that stay in the cache
            w, dw = W[start : start + room.size], dW[start : start + room.size]
            dw += np.multiply(w, strength, out=room[: w.size])
            squares += float(np.dot(w, w))
        return 0.5 * strength * squares


def as_objective(
    network: Network,
    X: Any,
    y: ArrayLike,
    *,
    loss: Loss,
    rows: ArrayLike | None,
    sample_weight: ArrayLike | None,
    alpha: float,
) -> Objective:
    """Check the data and bring it into the form that training reads; arguments as those of `train`."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be an instance of Loss, got {loss!r}")
    if network.theta.size == 0:
        raise ValueError(f"there is nothing to train: no layer of {network} has parameters")
    _fast.load()
    check_interval("alpha", alpha, 0.0, math.inf, open_high=True)
    sparse = network.layers[0].reads_sparse
    inputs = as_rows(X, network.dtype, network.widths[0], stays_sparse=sparse, scaling=network.scaling)
    targets = loss.targets(y, len(inputs), network.widths[-1])
    weight = as_weights(sample_weight, len(inputs))
    order = _as_indices(rows, len(inputs))
    if weight is not None:
        order = order[weight[order] > 0]
    if len(order) == 0:
        raise ValueError(
            f"there must be at least one row to train on, got an input of {len(inputs)} rows"
            + ("" if rows is None else f", {np.size(rows)} of them chosen, with a weight of 0 or none")
        )
    return Objective(inputs, targets, weight, order, loss, float(alpha))


def _as_indices(rows: ArrayLike | None, n: int) -> Array:
    if rows is None:
        return np.arange(n)
    indices = np.asarray(rows)
    if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
        raise TypeError(f"rows must be a list of indices, got an array {indices.dtype}{indices.shape}")
    if indices.size and not 0 <= indices.min() <= indices.max() < n:
        raise ValueError(f"rows must be indices from 0 to {n - 1}, got {indices.min()} to {indices.max()}")
    return indices.astype(np.intp)
