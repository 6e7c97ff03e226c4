"""Loss and gradient of a small batch in two compiled calls, for a multilayer perceptron.

For a small batch, the calls of the layers and of the loss take as long as their computation. With compiled
kernels, the loss and gradient are therefore computed by two calls if

- the network consists of `Dense` layers with `ReLU` between them, and computes in float32;
- the loss is `SoftmaxCrossEntropy`, and the targets are codes;
- the rows are dense and have no weights;
- the batch has at most 1024 rows, and its matrix products are small.

So ensembles, one logit for two classes, dropout, and user-defined layers and losses are not fused. NumPy
computes the exponentials between the two calls, several at a time. The results are those of the layers and of
the loss, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from . import kernels
from .arrays import ROW_BLOCK, Array, as_array
from .batches import DenseRows, Rows
from .layers import Dense, ReLU
from .losses import Loss, SoftmaxCrossEntropy
from .network import Network
from .workspace import Tapes

Step = Callable[[Array], tuple[float, float]]
"""Computes the gradient for the rows with these indices; returns the loss and the largest |logit|."""

# A step is fused only if each matrix product of the batch has fewer multiplications than this. Larger
# products take much longer than the calls, and some of them are slower in SciPy's BLAS, which numba uses,
# than in NumPy's.
_SMALL = 2**21


def fused_step(
    network: Network,
    gradient: Array,
    tapes: Tapes,
    loss: Loss,
    rows: Rows,
    targets: Array,
    weight: Array | None,
) -> Step | None:
    """Return the fused step for batches of as many rows as the tapes have, or None if it is not supported.

    The other arguments are the attributes of `objective.Objective`; the step writes into ``gradient``.
    """
    loops, x = kernels.compiled(network.dtype), tapes.x
    if (
        loops is None
        or network.dtype != np.float32
        or len(x) > ROW_BLOCK  # one long sum of a bias gradient would have a larger rounding error
        or len(x) * network.largest_product >= _SMALL
        or not _is_mlp(network)
        or type(loss) is not SoftmaxCrossEntropy
        or targets.ndim != 1
        or weight is not None
        or not isinstance(rows, DenseRows)
    ):
        return None
    X, theta, z, dz = rows.X, network.theta, tapes.layers[-1].y, tapes.layers[-1].dy
    E, d, top = tapes.loss.E, tapes.loss.d, tapes.loss.top
    widths = np.array([network.widths[0], *network.widths[1::2]], np.intp)
    hidden, dhidden = np.empty((2, len(x) * int(widths[1:-1].sum())), network.dtype)
    y = np.empty(len(x), np.intp)

    def step(batch: Array) -> tuple[float, float]:
        usual = isinstance(batch, np.ndarray) and batch.dtype == np.intp and batch.ndim == 1
        if not (usual and batch.flags.carray):
            given = as_array("batch", batch)
            if given.dtype.kind not in "iu" or given.ndim != 1:
                raise TypeError(f"batch must be a list of indices, got an array {given.dtype}{given.shape}")
            batch = np.array(given, np.intp)  # numba would compile another loop for other arrays
        largest_logit = loops.batch_logits(X, targets, batch, theta, widths, x, y, hidden, z, d, top)
        np.exp(d, out=E)
        value = loops.batch_gradient(theta, gradient, widths, x, y, hidden, dhidden, dz, E, d, top)
        return value, largest_logit

    return step


def _is_mlp(network: Network) -> bool:
    """Return whether the layers are Dense with ReLU between them, no subclasses.

    The shapes of the weights are compared, too, since a user's ``init`` may return others.
    """
    layers, parameters = network.layers, network.parameters[::2]
    if len(layers) % 2 == 0 or {*map(type, layers[::2])} != {Dense} or {*map(type, layers[1::2])} - {ReLU}:
        return False
    shapes = pairwise([network.widths[0], *network.widths[1::2]])
    return all((p.W.shape, p.b.shape) == (s, s[1:]) for p, s in zip(parameters, shapes, strict=True))
