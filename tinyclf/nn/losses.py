"""Losses: the loss of a batch with its gradient, and the probabilities that logits stand for.

Letters: z (B, n_outputs) are the logits of a batch, y its targets (codes (B,) or probabilities (B,
n_outputs)), w (B,) the weights of its rows, dz the gradient of the loss with respect to z. The loss
of a batch is the weighted mean sum_i w_i loss_i / sum_i w_i.

Cross-entropy as in a textbook: subtract the largest logit, so that exp does not overflow; the loss
is -log p_y, and its gradient is p, minus 1 at the label y.

>>> def cross_entropy(z, y):
...     rows = np.arange(len(z))
...     d = z - z.max(axis=1, keepdims=True)
...     E = np.exp(d)
...     S = E.sum(axis=1, keepdims=True)
...     losses = np.log(S[:, 0]) - d[rows, y]
...     p = E / S
...     p[rows, y] -= 1.0
...     return losses, p

>>> z, y = np.array([[2.0, 1.0, -1.0], [40.0, 0.0, 0.0]]), np.array([0, 0])
>>> losses, gradient = cross_entropy(z, y)
>>> losses.round(4), gradient[0].round(4)
(array([0.349, 0.   ]), array([-0.2946,  0.2595,  0.0351]))

`SoftmaxCrossEntropy` computes the same, and is also accurate where the textbook form rounds to 0 or
loses digits: for losses below the rounding unit of 1, as in the second row, and for logits with a
large offset. The module `logsumexp` has the mathematics.

>>> print(functional.cross_entropy(z, y)[1], functional.cross_entropy_grad(z, y)[1, 0])
8.496708510583178e-18 -8.496708510583178e-18

A user-defined loss returns the loss of each row and writes its gradient; the base class computes
the weighted mean:

>>> from tinyclf.functional import softmax
>>> class Brier(Loss):  # |p - y|^2; with r = p - y, dL/dz = 2 p (r - sum(p r))
...     def rows(self, z, y, dz, t):
...         p = softmax(z)
...         r = p - np.eye(z.shape[1])[y]
...         dz[...] = 2 * p * (r - np.sum(p * r, axis=1, keepdims=True))
...         return np.sum(r * r, axis=1)

>>> from tinyclf.gradcheck import check_loss
>>> bool(check_loss(Brier(), n_classes=3) < 1e-7)
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import functional, kernels
from .arrays import ROW_BLOCK, Array, Buffer, Views
from .errors import check_interval
from .logsumexp import cross_entropy_rows, log_softmax_rows, scratch_names, softmax_rows


class Loss:
    """Base class of all losses; by default, probabilities are the softmax of the logits."""

    inverse_link: ClassVar[str] = "softmax"
    """Name of the function from logits to probabilities: the inverse of a link function."""

    def n_outputs(self, n_classes: int) -> int:
        """Return the number of logits for this number of classes."""
        return n_classes

    def targets(self, y: ArrayLike, n: int, n_outputs: int) -> Array:
        """Check the targets of n rows and return them in the form that `rows` expects."""
        return functional.as_targets(y, n, n_outputs)

    def buffers(self, n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
        """Return the buffers that `rows` needs in t, by name."""
        return {}

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        """Return the loss of each row, shape (B,), and write its gradient into dz. Must not change z."""
        raise NotImplementedError(f"{type(self).__name__} must define rows(z, y, dz, t)")

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        """Return the weighted mean loss, summed in float64, and write its gradient into dz."""
        losses: Any = self.rows(z, y, dz, t)
        if isinstance(losses, tuple) or np.shape(losses) != z.shape[:1]:
            pair = (
                f"a tuple of {len(losses)}; write the gradient into dz" if isinstance(losses, tuple) else ""
            )
            raise ValueError(
                f"{type(self).__name__}.rows must return one loss per row, shape ({len(z)},), "
                f"got {pair or np.shape(losses)}"
            )
        return kernels.weighted_mean(losses, w, dz)

    def mean(self, z: Array, y: Array, w: Array | None = None) -> float:
        """Return the weighted mean loss of n rows with the logits z (n, n_outputs).

        y are targets as `targets` returns them. The additional memory does not grow with n.
        """
        n, k = z.shape
        block = min(n, ROW_BLOCK)
        dz = np.empty((block, k), z.dtype)
        buffers = {name: b.array(block, z.dtype) for name, b in self.buffers(k, z.dtype).items()}
        total, total_weight = 0.0, 0.0
        with np.errstate(all="ignore"):
            for start in range(0, n, block):
                rows = slice(start, start + block)
                m = len(z[rows])
                t = Views(**{name: b[:m] for name, b in buffers.items()})
                weight = np.ones(m) if w is None else w[rows]
                losses = self.rows(z[rows], y[rows], dz[:m], t)
                counts = weight > 0  # a loss of inf with weight 0 must not give nan
                total += float(np.sum(losses[counts] * weight[counts], dtype=np.float64))
                total_weight += float(weight.sum())
        return total / total_weight

    def probabilities(self, z: Array) -> Array:
        """Return the probabilities of the classes, shape (n, n_classes), in float64."""
        return softmax_rows(functional.as_logits(z))

    def log_probabilities(self, z: Array) -> Array:
        """Return the logarithms of the probabilities, which are finite even where a probability is 0."""
        return log_softmax_rows(functional.as_logits(z))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@dataclass(frozen=True)
class _CrossEntropy(Loss):
    """Base class of both cross-entropies, with label smoothing.

    Source: Szegedy et al., "Rethinking the inception architecture for computer vision" (2016),
    section 7.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_interval("label_smoothing", self.label_smoothing, 0.0, 1.0)


class SoftmaxCrossEntropy(_CrossEntropy):
    """Cross-entropy of softmax, -sum_i y_i log p_i with gradient p - y: accurate for any finite logits.

    `logsumexp.cross_entropy_rows` computes it. The docstring of this module shows the textbook form.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Fraction of each target that is spread evenly over all classes, between 0 and 1.
    """

    def targets(self, y: ArrayLike, n: int, n_outputs: int) -> Array:
        return functional.smoothed(functional.as_targets(y, n, n_outputs), n_outputs, self.label_smoothing)

    def buffers(self, n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
        return {**_float64_buffers(n_outputs, dtype), "top": Buffer((), np.intp)}

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        return cross_entropy_rows(z, y, dz, t)

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        if _is_overridden(self, SoftmaxCrossEntropy):
            return super().value_and_grad(z, y, w, dz, t)
        return kernels.softmax_cross_entropy(z, y, w, dz, t)


class SigmoidCrossEntropy(_CrossEntropy):
    """Cross-entropy of independent logistic outputs, summed over the outputs.

    For two classes one logit z is enough: softmax of [0, z] is [s(-z), s(z)] with the logistic
    function s. Targets are then codes 0 and 1, shape (n,), or probabilities of class 1, shape (n,
    1). In general they are probabilities of shape (n, n_outputs).

    With ``e = exp(-|z|)``, {s(z), s(-z)} = {1, e} / (1 + e), the loss and gradient of one output are

        -y log s(z) - (1 - y) log s(-z) = y max(-z, 0) + (1 - y) max(z, 0) + log1p(e),

        s(z) - y = (1 - y) s(z) - y s(-z).

    For y = 0 and y = 1 these forms do not subtract numbers of similar size, so small losses and
    gradients keep all their digits.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Fraction of each target that is spread evenly over 0 and 1, between 0 and 1: y becomes (1 -
        label_smoothing) y + label_smoothing / 2.
    """

    inverse_link = "logistic"

    def n_outputs(self, n_classes: int) -> int:
        if n_classes != 2:
            raise ValueError(
                "Only binary classification is supported by SigmoidCrossEntropy, which has one logit for two "
                f"classes, got {n_classes} classes; use SoftmaxCrossEntropy"
            )
        return 1

    def targets(self, y: ArrayLike, n: int, n_outputs: int) -> Array:
        if np.ndim(y) == 1 and n_outputs == 1:
            return self._smoothed(functional.as_targets(y, n, 2)[:, None].astype(np.float64))
        y = functional.as_targets(y, n, n_outputs)
        if y.shape != (n, n_outputs):
            raise ValueError(
                f"targets of SigmoidCrossEntropy with {n_outputs} outputs must have shape "
                f"({n}, {n_outputs}), got {y.shape}"
            )
        if (y > 1).any():
            raise ValueError(f"targets of SigmoidCrossEntropy must be at most 1, got {y.max()}")
        return self._smoothed(y)

    def _smoothed(self, y: Array) -> Array:
        smoothed: Array = (1.0 - self.label_smoothing) * y + self.label_smoothing / 2
        return smoothed

    def buffers(self, n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
        return _float64_buffers(n_outputs, np.float32)

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        return kernels.sigmoid_cross_entropy_rows(z, y, dz, t)

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        if _is_overridden(self, SigmoidCrossEntropy):
            return super().value_and_grad(z, y, w, dz, t)
        return kernels.sigmoid_cross_entropy(z, y, w, dz, t)

    def probabilities(self, z: Array) -> Array:
        """Return the probabilities (n, 2) of both classes for one logit, or (n, c) of y = 1 for c logits."""
        z = np.asarray(z, np.float64)
        if z.shape[1] != 1:
            return functional.sigmoid(z)
        p, z = np.empty((len(z), 2)), z[:, 0]
        with np.errstate(under="ignore"):
            e, positive = np.exp(-np.abs(z)), z > 0.0
            likely = 1.0 / (1.0 + e)
            e *= likely  # the probability of the other class
        p[:, 0] = np.where(positive, e, likely)
        p[:, 1] = np.where(positive, likely, e)
        return p

    def log_probabilities(self, z: Array) -> Array:
        z = np.asarray(z, np.float64)
        return functional.log_sigmoid(np.concatenate([-z, z], axis=1) if z.shape[1] == 1 else z)


def _is_overridden(loss: Loss, kind: type[Loss]) -> bool:
    """Return whether a subclass overrides rows or targets, which a kernel would ignore."""
    return type(loss).rows is not kind.rows or type(loss).targets is not kind.targets


def _float64_buffers(n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
    """Return the buffers of a `logsumexp.Scratch`."""
    names = scratch_names(dtype)
    return {name: Buffer((n_outputs,), np.float64) for name in names}


LOSSES: dict[str, type[Loss]] = {
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "sigmoid_cross_entropy": SigmoidCrossEntropy,
}
