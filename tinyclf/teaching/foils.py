"""Foils of the stable loss: the same mathematics, computed in the ways that fail.

Both compute probabilities first and take their logarithm afterwards, in the type of the logits, and both
have the gradient that the chain rule gives for their own formula, as automatic differentiation would:

    p = softmax(z),  q = p or clip(p),  loss = -sum_i y_i log q_i,
    dq_i = -y_i / q_i,  dp_i = dq_i where q_i = p_i, else 0,  dz = p (dp - sum_i p_i dp_i).

Pairing them with the gradient p - y of the stable loss would hide what they do to training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import check_interval
from ..functional import as_logits, as_targets, smoothed
from ..losses import Loss, SoftmaxCrossEntropy
from ..views import Array


class NaiveSoftmaxCrossEntropy(Loss):
    """-log(exp(z_t) / sum_j exp(z_j)), as written: inf or nan for large logits."""

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        E = np.exp(z)
        p = E / E.sum(axis=1, keepdims=True)
        losses, dp = _minus_log(p, y)
        dz[...] = _softmax_backward(p, dp)
        return losses


@dataclass(frozen=True)
class ClippedSoftmaxCrossEntropy(Loss):
    """-log(clip(p_t, eps, 1 - eps)) on a softmax that cannot overflow: finite, but without a gradient
    where it clips.

    Parameters
    ----------
    eps : float, default=1e-7
        More than 0, at most 0.5.
    """  # noqa: D205

    eps: float = 1e-7

    def __post_init__(self) -> None:
        check_interval("eps", self.eps, 0.0, 0.5, open_low=True)

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        E = np.exp(z - z.max(axis=1, keepdims=True))
        p = E / E.sum(axis=1, keepdims=True)
        q = np.clip(p, self.eps, 1.0 - self.eps)
        losses, dq = _minus_log(q, y)
        dz[...] = _softmax_backward(p, np.where(q == p, dq, 0.0))
        return losses


def _minus_log(q: Array, y: Array) -> tuple[Array, Array]:
    """Losses -sum_i y_i log q_i of the rows, and their gradient with respect to q."""
    if y.ndim == 2:
        y = y.astype(q.dtype)
        return -np.sum(y * np.log(q), axis=1), -y / q
    label = np.arange(len(q)), y
    dq = np.zeros_like(q)
    dq[label] = -1.0 / q[label]
    return -np.log(q[label]), dq


def _softmax_backward(p: Array, dp: Array) -> Array:
    dz: Array = p * (dp - np.sum(p * dp, axis=1, keepdims=True))
    return dz


def naive_cross_entropy(logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Loss of each row as `NaiveSoftmaxCrossEntropy` computes it; arguments as `tinyclf.cross_entropy`.

    Examples
    --------
    >>> print(naive_cross_entropy(np.float32([[20, 0], [1000, 0]]), [1, 1]))
    [20. inf]
    """
    return _evaluate(NaiveSoftmaxCrossEntropy(), logits, targets, label_smoothing)[0]


def naive_cross_entropy_grad(logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Gradient of each row as `NaiveSoftmaxCrossEntropy` computes it.

    Examples
    --------
    >>> print(naive_cross_entropy_grad(np.float32([[20, 0], [1000, 0]]), [1, 1]).round(4))
    [[ 1. -1.]
     [nan nan]]
    """
    return _evaluate(NaiveSoftmaxCrossEntropy(), logits, targets, label_smoothing)[1]


def clipped_cross_entropy(
    logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0, eps: float = 1e-7
) -> Array:
    """Loss of each row as `ClippedSoftmaxCrossEntropy` computes it; arguments as `tinyclf.cross_entropy`.

    Examples
    --------
    >>> print(clipped_cross_entropy(np.float32([[20, 0], [1000, 0]]), [1, 1]))
    [16.118095 16.118095]
    """
    return _evaluate(ClippedSoftmaxCrossEntropy(eps), logits, targets, label_smoothing)[0]


def clipped_cross_entropy_grad(
    logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0, eps: float = 1e-7
) -> Array:
    """Gradient of each row as `ClippedSoftmaxCrossEntropy` computes it.

    Examples
    --------
    >>> print(clipped_cross_entropy_grad(np.float32([[10, 0], [20, 0]]), [1, 1]).round(4))
    [[ 1. -1.]
     [ 0.  0.]]
    """
    return _evaluate(ClippedSoftmaxCrossEntropy(eps), logits, targets, label_smoothing)[1]


def _evaluate(
    loss: Loss, logits: ArrayLike, targets: ArrayLike, label_smoothing: float
) -> tuple[Array, Array]:
    """Losses and gradients of the rows, in the type of the logits; integers count as float64."""
    z = as_logits(logits)
    if z.ndim != 2 or z.shape[1] == 0:
        raise ValueError(f"logits must have shape (n, k) with k > 0, got {z.shape}")
    y = smoothed(as_targets(targets, *z.shape), z.shape[1], label_smoothing)
    gradient = np.empty_like(z)
    with np.errstate(all="ignore"):
        return loss.rows(z, y, gradient, None), gradient


FOILS: dict[str, Loss] = {
    "naive": NaiveSoftmaxCrossEntropy(),
    "clipped": ClippedSoftmaxCrossEntropy(),
    "stable": SoftmaxCrossEntropy(),
}
"""The three losses of the lesson, in the order in which it tells of them."""
