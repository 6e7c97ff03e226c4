"""Foils of the stable loss: the same mathematics, computed in the ways that fail.

They compute probabilities first and take their logarithm afterwards, in the type of the logits, and have
the gradient that the chain rule gives for their own formula, as automatic differentiation would:

    p = softmax(z),  q = p, clip(p) or p + eps,  loss = -sum_i y_i log q_i,
    dq_i = -y_i / q_i,  dp_i = dq_i, but 0 where p_i was clipped,  dz = p (dp - sum_i p_i dp_i).

Pairing them with the gradient p - y of the stable loss would hide what they do to training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..errors import check_interval
from ..functional import as_logits, as_targets, cross_entropy, cross_entropy_grad, smoothed
from ..losses import Loss, SoftmaxCrossEntropy
from ..views import Array


class _LogOfProbabilities(Loss):
    """What the foils share: p first, then perhaps a guard q, then the logarithm of that."""

    shifted: ClassVar[bool] = True

    def guard(self, p: Array) -> tuple[Array, Any]:
        """Return q, and where a gradient passes from q to p: an array of bool, or True for everywhere."""
        return p, True

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        E = np.exp(z - z.max(axis=1, keepdims=True) if self.shifted else z)
        p = E / E.sum(axis=1, keepdims=True)
        q, passes = self.guard(p)
        losses, dq = _minus_log(q, y)
        dz[...] = _softmax_backward(p, np.where(passes, dq, 0.0))
        return losses


class NaiveSoftmaxCrossEntropy(_LogOfProbabilities):
    """-log(exp(z_t) / sum_j exp(z_j)), as written: inf or nan for large logits."""

    shifted = False


class ShiftedSoftmaxCrossEntropy(_LogOfProbabilities):
    """-log(p_t) of a softmax that cannot overflow, since max z is subtracted: inf where p_t underflows."""


@dataclass(frozen=True)
class ClippedSoftmaxCrossEntropy(_LogOfProbabilities):
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

    def guard(self, p: Array) -> tuple[Array, Any]:
        q = np.clip(p, self.eps, 1.0 - self.eps)
        return q, q == p


@dataclass(frozen=True)
class PaddedSoftmaxCrossEntropy(_LogOfProbabilities):
    """-log(p_t + eps) on a softmax that cannot overflow: finite, with a gradient that fades.

    Parameters
    ----------
    eps : float, default=1e-7
        More than 0, at most 0.5.
    """

    eps: float = 1e-7

    def __post_init__(self) -> None:
        check_interval("eps", self.eps, 0.0, 0.5, open_low=True)

    def guard(self, p: Array) -> tuple[Array, Any]:
        return p + p.dtype.type(self.eps), True


class TextbookSoftmaxCrossEntropy(Loss):
    """Log-softmax as it is usually written, log(sum_j exp(d_j)) - d_t with d = z - max z; gradient p - y.

    No foil: it trains as well as the exact loss. It is 0 where the loss is too small to be seen beside 1.
    """

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        d = z - z.max(axis=1, keepdims=True)
        E = np.exp(d)
        T = E.sum(axis=1, keepdims=True)
        one_hot = y.astype(z.dtype) if y.ndim == 2 else np.eye(z.shape[1], dtype=z.dtype)[y]
        dz[...] = E / T * one_hot.sum(axis=1, keepdims=True) - one_hot
        losses: Array = -np.sum(np.where(one_hot > 0, one_hot * (d - np.log(T)), 0.0), axis=1)
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
    return evaluate(NaiveSoftmaxCrossEntropy(), logits, targets, label_smoothing)[0]


def naive_cross_entropy_grad(logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Gradient of each row as `NaiveSoftmaxCrossEntropy` computes it.

    Examples
    --------
    >>> print(naive_cross_entropy_grad(np.float32([[20, 0], [1000, 0]]), [1, 1]).round(4))
    [[ 1. -1.]
     [nan nan]]
    """
    return evaluate(NaiveSoftmaxCrossEntropy(), logits, targets, label_smoothing)[1]


def clipped_cross_entropy(
    logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0, eps: float = 1e-7
) -> Array:
    """Loss of each row as `ClippedSoftmaxCrossEntropy` computes it; arguments as `tinyclf.cross_entropy`.

    Examples
    --------
    >>> print(clipped_cross_entropy(np.float32([[20, 0], [1000, 0]]), [1, 1]))
    [16.118095 16.118095]
    """
    return evaluate(ClippedSoftmaxCrossEntropy(eps), logits, targets, label_smoothing)[0]


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
    return evaluate(ClippedSoftmaxCrossEntropy(eps), logits, targets, label_smoothing)[1]


def shifted_cross_entropy(logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Loss of each row as `ShiftedSoftmaxCrossEntropy` computes it; arguments as `tinyclf.cross_entropy`.

    Examples
    --------
    >>> print(shifted_cross_entropy(np.float32([[20, 0], [1000, 0]]), [1, 1]))
    [20. inf]
    """
    return evaluate(ShiftedSoftmaxCrossEntropy(), logits, targets, label_smoothing)[0]


def shifted_cross_entropy_grad(
    logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of each row as `ShiftedSoftmaxCrossEntropy` computes it.

    Examples
    --------
    >>> print(shifted_cross_entropy_grad(np.float32([[20, 0], [1000, 0]]), [1, 1]).round(4))
    [[ 1. -1.]
     [nan nan]]
    """
    return evaluate(ShiftedSoftmaxCrossEntropy(), logits, targets, label_smoothing)[1]


def padded_cross_entropy(
    logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0, eps: float = 1e-7
) -> Array:
    """Loss of each row as `PaddedSoftmaxCrossEntropy` computes it; arguments as `tinyclf.cross_entropy`.

    Examples
    --------
    >>> print(padded_cross_entropy(np.float32([[10, 0], [1000, 0]]), [1, 1]))
    [ 9.997846 16.118095]
    """
    return evaluate(PaddedSoftmaxCrossEntropy(eps), logits, targets, label_smoothing)[0]


def padded_cross_entropy_grad(
    logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0, eps: float = 1e-7
) -> Array:
    """Gradient of each row as `PaddedSoftmaxCrossEntropy` computes it.

    Examples
    --------
    >>> print(padded_cross_entropy_grad(np.float32([[20, 0], [1000, 0]]), [1, 1]).round(3) + 0)
    [[ 0.02 -0.02]
     [ 0.    0.  ]]
    """
    return evaluate(PaddedSoftmaxCrossEntropy(eps), logits, targets, label_smoothing)[1]


def evaluate(
    loss: Loss, logits: ArrayLike, targets: ArrayLike, label_smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Losses and gradients of the rows by one of the `LOSSES`.

    Parameters
    ----------
    loss : Loss
        The stable one is `tinyclf.cross_entropy` with its gradient, float32 for float16 logits; all others
        are computed in the type of the logits.
    logits : array-like of shape (n, k)
        Integers count as float64.
    targets : array-like of shape (n,) or (n, k)
    label_smoothing : float, default=0.0

    Returns
    -------
    losses : ndarray of shape (n,)
    gradients : ndarray of shape (n, k)

    Raises
    ------
    ValueError, TypeError
        If shapes, labels or types do not fit.
    """
    if isinstance(loss, SoftmaxCrossEntropy):
        return (
            cross_entropy(logits, targets, label_smoothing=label_smoothing),
            cross_entropy_grad(logits, targets, label_smoothing=label_smoothing),
        )
    z = as_logits(logits)
    if z.ndim != 2 or z.shape[1] == 0:
        raise ValueError(f"logits must have shape (n, k) with k > 0, got {z.shape}")
    y = smoothed(as_targets(targets, *z.shape), z.shape[1], label_smoothing)
    gradient = np.empty_like(z)
    with np.errstate(all="ignore"):
        return loss.rows(z, y, gradient, None), gradient


LOSSES: dict[str, Loss] = {
    "naive": NaiveSoftmaxCrossEntropy(),
    "shifted": ShiftedSoftmaxCrossEntropy(),
    "clipped": ClippedSoftmaxCrossEntropy(),
    "padded": PaddedSoftmaxCrossEntropy(),
    "textbook": TextbookSoftmaxCrossEntropy(),
    "stable": SoftmaxCrossEntropy(),
}
"""The losses of the lesson, from the one that fails at once to the one that does not."""
