"""Softmax cross-entropy computed in ways that lose accuracy or fail on large logits.

All but the textbook loss compute probabilities first and then take their logarithm, in the dtype of
the logits. Each returns the gradient of its own formula by the chain rule, as automatic
differentiation would:

    p = softmax(z),  q = p, clip(p) or p + eps,  loss = -sum_i y_i log q_i,
    dq_i = -y_i / q_i,  dp_i = dq_i, but 0 where p_i was clipped,  dz = p (dp - sum_i p_i dp_i).

With the gradient p - y of the stable loss instead, training would not show the effect of these losses.

Shapes: logits z (n, k); targets y (n,) as labels or (n, k) as distributions; losses (n,); gradients
(n, k).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..nn.arrays import Array
from ..nn.errors import check_interval
from ..nn.functional import as_logits, as_targets, cross_entropy, cross_entropy_grad, smoothed
from ..nn.losses import Loss, SoftmaxCrossEntropy
from .bfloat16 import Bfloat16


class _LogOfProbabilities(Loss):
    """Base class: compute probabilities p, map them to q, and take the logarithm of q."""

    shifted: ClassVar[bool] = True

    def guard(self, p: Array) -> tuple[Array, Any]:
        """Return q and a boolean mask of the entries whose gradient passes from q to p; True means all."""
        return p, True

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        E = np.exp(z - z.max(axis=1, keepdims=True) if self.shifted else z)
        p = E / E.sum(axis=1, keepdims=True)
        q, passes = self.guard(p)
        losses, dq = _minus_log(q, y)
        dz[...] = _softmax_backward(p, np.where(passes, dq, 0.0))
        return losses


class NaiveSoftmaxCrossEntropy(_LogOfProbabilities):
    """Cross-entropy computed as written, -log(exp(z_t) / sum_j exp(z_j)); inf or nan for large logits."""

    shifted = False


class ShiftedSoftmaxCrossEntropy(_LogOfProbabilities):
    """-log(p_t), with max z subtracted in the softmax, so exp cannot overflow; inf if p_t underflows."""


@dataclass(frozen=True)
class ClippedSoftmaxCrossEntropy(_LogOfProbabilities):
    """-log(clip(p_t, eps, 1 - eps)), with max z subtracted in the softmax.

    The loss is finite. The gradient is 0 wherever p_t is clipped.

    Parameters
    ----------
    eps : float, default=1e-7
        Probabilities are clipped to [eps, 1 - eps]; must be in (0, 0.5].
    """

    eps: float = 1e-7

    def __post_init__(self) -> None:
        check_interval("eps", self.eps, 0.0, 0.5, open_low=True)

    def guard(self, p: Array) -> tuple[Array, Any]:
        q = np.clip(p, self.eps, 1.0 - self.eps)
        return q, q == p


@dataclass(frozen=True)
class PaddedSoftmaxCrossEntropy(_LogOfProbabilities):
    """-log(p_t + eps), with max z subtracted in the softmax.

    The loss is finite. The gradient approaches 0 as p_t falls below eps.

    Parameters
    ----------
    eps : float, default=1e-7
        Added to each probability; must be in (0, 0.5].
    """

    eps: float = 1e-7

    def __post_init__(self) -> None:
        check_interval("eps", self.eps, 0.0, 0.5, open_low=True)

    def guard(self, p: Array) -> tuple[Array, Any]:
        return p + p.dtype.type(self.eps), True


class TextbookSoftmaxCrossEntropy(Loss):
    """Log-softmax in its usual form: log(sum_j exp(d_j)) - d_t with d = z - max z; the gradient is p - y.

    Networks trained with it are as accurate as with the stable loss. The loss of a correctly
    classified row is 0 where the sum rounds to 1.
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
    """Return the losses -sum_i y_i log q_i and their gradient with respect to q."""
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
    """Compute the loss of each row with `NaiveSoftmaxCrossEntropy`.

    The parameters are those of `tinyclf.cross_entropy`.

    Examples
    --------
    >>> print(naive_cross_entropy(np.float32([[20, 0], [1000, 0]]), [1, 1]))
    [20. inf]
    """
    return evaluate(NaiveSoftmaxCrossEntropy(), logits, targets, label_smoothing)[0]


def naive_cross_entropy_grad(logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Compute the gradient of each row with `NaiveSoftmaxCrossEntropy`.

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
    """Compute the loss of each row with `ClippedSoftmaxCrossEntropy`.

    The parameters are those of `tinyclf.cross_entropy`, and ``eps``.

    Examples
    --------
    >>> print(clipped_cross_entropy(np.float32([[20, 0], [1000, 0]]), [1, 1]))
    [16.118095 16.118095]
    """
    return evaluate(ClippedSoftmaxCrossEntropy(eps), logits, targets, label_smoothing)[0]


def clipped_cross_entropy_grad(
    logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0, eps: float = 1e-7
) -> Array:
    """Compute the gradient of each row with `ClippedSoftmaxCrossEntropy`.

    Examples
    --------
    >>> print(clipped_cross_entropy_grad(np.float32([[10, 0], [20, 0]]), [1, 1]).round(4))
    [[ 1. -1.]
     [ 0.  0.]]
    """
    return evaluate(ClippedSoftmaxCrossEntropy(eps), logits, targets, label_smoothing)[1]


def evaluate(
    loss: Loss, logits: ArrayLike, targets: ArrayLike, label_smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Compute the loss and the gradient of each row with one of the `LOSSES`.

    Parameters
    ----------
    loss : Loss
        `SoftmaxCrossEntropy` is computed by `tinyclf.cross_entropy` and its gradient, which return
        float32 for float16 logits, and also for `Bfloat16` logits. All other losses are computed in
        the type of the logits.
    logits : array-like of shape (n, k)
        Integers are converted to float64. `Bfloat16` arrays are bfloat16 logits.
    targets : array-like of shape (n,) or (n, k)
    label_smoothing : float, default=0.0

    Returns
    -------
    losses : ndarray of shape (n,)
    gradients : ndarray of shape (n, k)

    Raises
    ------
    ValueError
        If shapes do not match, or a label or target is out of range.
    TypeError
        If logits or targets have an unsupported dtype.

    Examples
    --------
    >>> losses, gradients = evaluate(LOSSES["padded"], np.float32([[10, 0], [20, 0]]), [1, 1])
    >>> print(losses, gradients[:, 1].round(3))
    [ 9.997846 16.097694] [-0.998 -0.02 ]
    """
    if isinstance(loss, SoftmaxCrossEntropy):
        return (
            cross_entropy(logits, targets, label_smoothing=label_smoothing),
            cross_entropy_grad(logits, targets, label_smoothing=label_smoothing),
        )
    z = as_logits(logits)
    if isinstance(logits, Bfloat16):
        z = z.view(Bfloat16)
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
"""The losses of the lesson by name, from the least to the most stable."""
