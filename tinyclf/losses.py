"""Losses: from logits and targets to one number and its gradient, and from logits to probabilities.

Letters: z (B, n_outputs) are the logits of a batch, y its targets (codes (B,) or probabilities (B, k)),
w (B,) the weights of its rows, dz the gradient of the loss with respect to z. The loss of a batch is the
mean sum_i w_i loss_i / sum_i w_i.

A loss of one's own gives the loss of each row and writes its gradient; weights and mean are added here:

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

from . import _fast, functional
from .errors import check_interval
from .exponentials import cross_entropy_rows, scratch_names
from .views import Array, Buffer, Views

# Rows per block of `Loss.mean`.
_BLOCK = 1024


class Loss:
    """Base of all losses; probabilities are the softmax of the logits unless a loss says otherwise."""

    link: ClassVar[str] = "softmax"
    """Name of the function from logits to probabilities."""

    def n_outputs(self, n_classes: int) -> int:
        """Return the number of logits for so many classes."""
        return n_classes

    def targets(self, y: ArrayLike, n: int, n_outputs: int) -> Array:
        """Check the targets of n rows and bring them into the form that `rows` expects."""
        return functional.as_targets(y, n, n_outputs)

    def buffers(self, n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
        """Arrays that `rows` wants to find in t, one row per row of the batch."""
        return {}

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        """Return the loss of each row, shape (B,), and write its gradient into dz; z must stay as it is."""
        raise NotImplementedError(f"{type(self).__name__} has no rows")

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        """Return the weighted mean loss, summed in float64, and write its gradient into dz."""
        losses = self.rows(z, y, dz, t)
        if np.shape(losses) != z.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}.rows must return one loss per row, shape ({len(z)},), "
                f"got {np.shape(losses)}"
            )
        if w is None:
            dz *= 1.0 / len(losses)
            return float(np.add.reduce(losses, dtype=np.float64)) / len(losses)
        share = w / w.sum()
        dz *= share[:, None]
        return float(np.add.reduce(losses * share, dtype=np.float64))

    def mean(self, z: Array, y: Array, w: Array | None = None) -> float:
        """Return the weighted mean loss of the logits z (n, n_outputs) of any number of rows.

        y are targets as `targets` returns them. Extra memory does not grow with n.
        """
        n, k = z.shape
        block = min(n, _BLOCK)
        dz = np.empty((block, k), z.dtype)
        buffers = {name: b.array(block, z.dtype) for name, b in self.buffers(k, z.dtype).items()}
        total, mass = 0.0, 0.0
        with np.errstate(all="ignore"):
            for start in range(0, n, block):
                rows = slice(start, start + block)
                m = len(z[rows])
                t = Views(**{name: b[:m] for name, b in buffers.items()})
                weight = np.ones(m) if w is None else w[rows]
                losses = self.rows(z[rows], y[rows], dz[:m], t)
                counts = weight > 0  # 0 * inf is no loss
                total += float(np.sum(losses[counts] * weight[counts], dtype=np.float64))
                mass += float(weight.sum())
        return total / mass

    def probabilities(self, z: Array) -> Array:
        """Probabilities (n, n_classes) of the classes."""
        return functional.softmax(z)

    def log_probabilities(self, z: Array) -> Array:
        """Logarithms of the probabilities, from the logits: finite where a probability is 0."""
        return functional.log_softmax(z)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@dataclass(frozen=True)
class _CrossEntropy(Loss):
    """What the two cross-entropies share: label smoothing.

    Source: Szegedy et al., "Rethinking the inception architecture for computer vision" (2016), section 7.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_interval("label_smoothing", self.label_smoothing, 0.0, 1.0)


class SoftmaxCrossEntropy(_CrossEntropy):
    """Cross-entropy of softmax, by `exponentials.cross_entropy_rows`: exact for any finite logits.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of each target that is spread evenly over all classes, between 0 and 1.
    """

    def targets(self, y: ArrayLike, n: int, n_outputs: int) -> Array:
        return functional.smoothed(functional.as_targets(y, n, n_outputs), n_outputs, self.label_smoothing)

    def buffers(self, n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
        return {**_float64_buffers(n_outputs, dtype), "top": Buffer((), np.intp)}

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        return cross_entropy_rows(z, y, dz, t)

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        twin = _fast.kernels if w is None and _is_built_in(self, SoftmaxCrossEntropy) else None
        if not twin or y.dtype != np.intp or y.ndim != 1 or z.dtype != np.float32:
            return super().value_and_grad(z, y, w, dz, t)
        twin.shift(z, t.d, t.top)
        np.exp(t.d, out=t.E)  # NumPy's is vectorised
        value: float = twin.softmax_loss(t.E, t.d, t.top, y, dz)
        return value


class SigmoidCrossEntropy(_CrossEntropy):
    """Cross-entropy of independent logistic outputs, summed over them.

    For two classes one logit z is enough: softmax of [0, z] is [s(-z), s(z)] with the logistic s. Targets
    are then codes 0 and 1, shape (n,); in general they are probabilities of shape (n, n_outputs).

    With e = exp(-|z|), {s(z), s(-z)} = {1, e} / (1 + e), the loss and gradient of one output are

        -y log s(z) - (1 - y) log s(-z) = y max(-z, 0) + (1 - y) max(z, 0) + log1p(e),

        s(z) - y = (1 - y) s(z) - y s(-z),

    where for y = 0 and y = 1 only one term is left: no small loss is lost beside 1, and nothing cancels.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of each target that is spread evenly over yes and no, between 0 and 1: y becomes
        (1 - label_smoothing) y + label_smoothing / 2.
    """

    link = "logistic"

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
        np.abs(z, out=t.d)
        np.exp(-t.d, out=t.E)
        positive = z > 0
        s = np.where(positive, 1.0, t.E) / (1.0 + t.E)  # s(z)
        other = np.where(positive, t.E, 1.0) / (1.0 + t.E)  # s(-z)
        dz[...] = (1.0 - y) * s - y * other
        np.log1p(t.E, out=t.E)
        t.d *= np.where(positive, 1.0 - y, y)
        t.d[np.isnan(t.d)] = 0.0  # an infinite logit on the right side: 0 * inf
        losses: Array = (t.E + t.d).sum(axis=1)
        return losses

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        twin = _fast.kernels if w is None and _is_built_in(self, SigmoidCrossEntropy) else None
        if not twin or y.dtype != np.float64 or y.shape != z.shape:
            return super().value_and_grad(z, y, w, dz, t)
        np.abs(z, out=t.d)
        np.negative(t.d, out=t.d)
        np.exp(t.d, out=t.E)
        value: float = twin.sigmoid_loss(z, t.E, y, dz)
        return value

    def probabilities(self, z: Array) -> Array:
        """Probabilities (n, 2) of the two classes of one logit, or (n, c) of yes for each of c questions."""
        z = functional.as_logits(z)
        if z.shape[1] != 1 or z.dtype != np.float32:
            return functional.sigmoid(_both_sides(z))
        p = np.empty((len(z), 2), z.dtype)
        wide = z[:, 0].astype(np.float64)  # in which exp overflows only where p, rounded to float32, is 0
        with np.errstate(all="ignore"):
            p[:, 0] = 1.0 / (1.0 + np.exp(wide))
            p[:, 1] = 1.0 / (1.0 + np.exp(-wide))
        return p

    def log_probabilities(self, z: Array) -> Array:
        return functional.log_sigmoid(_both_sides(z))


def _both_sides(z: Array) -> Array:
    """For one logit, [-z, z]: the logistic function of these is the probability of no and of yes."""
    return np.concatenate([-z, z], axis=1) if z.shape[1] == 1 else z


def _is_built_in(loss: Loss, kind: type[Loss]) -> bool:
    """Tell whether a compiled twin computes what this loss does: rows and targets are not of one's own."""
    return type(loss).rows is kind.rows and type(loss).targets is kind.targets


def _float64_buffers(n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
    """The arrays of an `exponentials.Scratch`."""
    names = scratch_names(dtype)
    return {name: Buffer((n_outputs,), np.float64) for name in names}


LOSSES: dict[str, type[Loss]] = {
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "sigmoid_cross_entropy": SigmoidCrossEntropy,
}
