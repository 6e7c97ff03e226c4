r"""Softmax, log-softmax, log-sum-exp and cross-entropy, right for any logits.

Logits are rows of real numbers x of k classes; every function below is a way to look at

    p_i = exp(x_i) / sum_j exp(x_j).

Taken literally, exp overflows at 88.7 in float32 and at 709.8 in float64, and the quotient is nan.
Seen from its largest entry, a row has no such limit. With a = argmax x, m = x_a and d_i = x_i - m <= 0,

    E_i = exp(d_i),    S = sum of E_i over i != a,    T = 1 + S,    L = log1p(S),

    softmax_i = E_i / T,    log_softmax_i = d_i - L,    logsumexp = m + L,
    cross-entropy of label t = (m - x_t) + L.

Why S leaves out its largest term, which is exactly 1: in ``log(1 + S)`` an S below 1e-16 is lost, while
``log1p(S)`` keeps it. The loss of float32 logits [20, 0] with label 0 is 2.0611537e-9, not 0.

The gradient of the cross-entropy is p - onehot(t). At the label itself p_t - 1 cancels when p_t is near
1, and there t = a, so that p_a - 1 = -S / T says the same without a difference.

Two more steps keep the last digits. float16 and float32 logits are computed in float64 and rounded once.
In float64, d itself is rounded, by up to half a unit in the last place of a number as large as 745, which
is 512 units of E = exp(d); the rounding error e of the difference is recovered exactly by Knuth's TwoSum
and put back as exp(d + e) = exp(d) (1 + e).

What cannot be a distribution is nan: rows that hold nan or +inf, and rows of nothing but -inf. A -inf
logit among finite ones is a class of probability 0.

Shapes: x is (..., k) with any axis for the classes, or (n, k) where targets take part. float64 and integer
logits give float64, float32 and float16 give float32. Inputs are never changed; no warning is emitted.

References
----------
Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions",
IMA Journal of Numerical Analysis 41 (2021).
Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B (TwoSum).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .views import Array

# Below this sum, float64 exponentials are subnormal and have lost digits.
_TINY = 1e-300


class Scratch(NamedTuple):
    """Buffers of one computation on (n, k) logits, all float64: d and E as in the module's formulas.

    b and e serve TwoSum, for float64 logits only. Any object with these names will do.
    """

    d: Array
    E: Array
    b: Any = None
    e: Any = None


class Exponentials(NamedTuple):
    """Logits seen from the largest entry of each row, in float64."""

    top: Array  # (n,) flat position of the largest logit of each row in an (n, k) array
    m: Array  # (n,) the largest logits
    d: Array  # (n, k) x - m
    E: Array  # (n, k) exp(d), but 0 instead of 1 at the largest
    S: Array  # (n,) sum of E


def exponentials(x: Array, scratch: Any = None) -> Exponentials:
    """Compute the parts that all functions of this module are made of; x is (n, k), k > 0."""
    n, k = x.shape
    s = scratch or _new_scratch((n, k), x.dtype)
    x = np.ascontiguousarray(x)  # C order also makes the sum over classes pairwise
    d, E = s.d, s.E
    top = x.argmax(axis=1)
    top += np.arange(0, n * k, k)
    m = x.ravel()[top].astype(np.float64)
    column = m[:, None]
    np.subtract(x, column, out=d)
    np.exp(d, out=E)
    if x.dtype == np.float64:
        _add_rounding_of_difference(x, column, d, E, s.b, s.e)
    E.ravel()[top] = 0.0
    S = E.sum(axis=1)
    if x.dtype == np.float64 and k > 1 and (S < _TINY).any():
        _rescue_tiny_sums(S, d, top)
    S += m - m  # nan where the largest logit is not finite: no distribution exists
    return Exponentials(top, m, d, E, S)


def _add_rounding_of_difference(x: Array, m: Array, d: Array, E: Array, b: Array, e: Array) -> None:
    """Multiply E by 1 + e, where d + e = x - m exactly (TwoSum, in place)."""
    np.subtract(d, x, out=b)  # b = d - x
    np.subtract(d, b, out=e)
    np.subtract(x, e, out=e)  # e = (x - (d - b)) ...
    b += m
    e -= b  # ... - (b + m)
    np.fmax(e, -1.0, out=e)  # nan where d = -inf, and E = 0 there
    e *= E
    E += e


def _rescue_tiny_sums(S: Array, d: Array, top: Array) -> None:
    """Sum exp(d + 32) instead, where the terms of S are too small to carry all their digits."""
    rows = np.flatnonzero(S < _TINY)
    E = np.exp(d[rows] + 32.0)
    E.ravel()[top[rows] % d.shape[1] + np.arange(0, E.size, d.shape[1])] = 0.0
    S[rows] = E.sum(axis=1) * np.exp(-32.0)


def probabilities(x: Exponentials) -> Array:
    """Turn E into softmax, in place."""
    x.E.ravel()[x.top] = 1.0
    # A quotient: multiplying by 1 / T or taking exp(d - L) would round once more.
    return np.divide(x.E, (1.0 + x.S)[:, None], out=x.E)


def cross_entropy_rows(x: Array, y: Array, gradient: Array | None = None, scratch: Any = None) -> Array:
    """Losses of the rows in float64 and, where ``gradient`` is given, their gradient written into it.

    This is the one computation behind `cross_entropy`, `cross_entropy_grad` and the training loss. It
    checks nothing; y are codes or probabilities as `as_targets` returns them.
    """
    parts = exponentials(x, scratch)
    if y.ndim == 1:
        return _hard_rows(parts, y, gradient)
    return _soft_rows(parts, y, gradient)


def _hard_rows(parts: Exponentials, t: Array, gradient: Array | None) -> Array:
    """Loss -d_t + L; gradient p, less 1 at t, which at the largest logit is -S / T."""
    top, _, d, E, S = parts
    label = t + np.arange(0, d.size, d.shape[1])
    losses: Array = np.log1p(S)
    losses -= d.ravel()[label]
    if gradient is not None:
        p = probabilities(parts).ravel()
        p[label] = np.where(label == top, 0.0 - S / (1.0 + S), p[label] - 1.0)
        gradient[...] = E
    return losses


def _soft_rows(parts: Exponentials, y: Array, gradient: Array | None) -> Array:
    """Loss sum of -y_i d_i over y_i > 0, plus Y L; gradient Y p_i - y_i without cancelling at the top."""
    top, _, d, E, S = parts
    y = np.ascontiguousarray(y)
    others = y.copy()
    others.ravel()[top] = 0.0
    rest = others.sum(axis=1)
    Y = rest + y.ravel()[top]
    # 0 * inf is nan, but a class without any weight contributes nothing, whatever its logit.
    losses: Array = np.where(y > 0, -d * y, 0.0).sum(axis=1) + Y * np.log1p(S)
    if gradient is not None:
        p = probabilities(parts)
        p *= Y[:, None]
        p -= y
        p.ravel()[top] = rest - Y * (S / (1.0 + S))
        gradient[...] = E
    return losses


def sigmoid_cross_entropy_entries(
    z: Array, y: Array, gradient: Array | None = None, scratch: Any = None
) -> Array:
    """Cross-entropy of independent yes-or-no questions, one per logit, in float64.

    With s(z) the logistic function, h = |z| and e = exp(-h),

        loss = -y log s(z) - (1 - y) log s(-z) = y max(-z, 0) + (1 - y) max(z, 0) + log1p(e),

        gradient = s(z) - y = (1 - y) s(z) - y s(-z),

    where {s(z), s(-z)} = {1, e} / (1 + e): for y = 0 and y = 1 only one term is left, and nothing cancels.

    Parameters
    ----------
    z : ndarray of shape (n, c), logits
    y : ndarray of shape (n, c), between 0 and 1
    gradient : ndarray of shape (n, c), optional
        Written if given.
    scratch : Scratch, optional

    Returns
    -------
    ndarray of shape (n, c)
        One of the scratch arrays.
    """
    s = scratch or _new_scratch(z.shape, z.dtype)
    d, E = s.d, s.E
    np.copyto(d, z)
    np.exp(-np.abs(d), out=E)
    positive = d > 0
    if gradient is not None:
        side = np.where(positive, 1.0, E) / (1.0 + E)  # s(z)
        other = np.where(positive, E, 1.0) / (1.0 + E)  # s(-z)
        gradient[...] = (1.0 - y) * side - y * other
    weight = np.where(positive, 1.0 - y, y)
    # Where the weight is 0 the term is 0, also for an infinite logit.
    np.log1p(E, out=E)
    E += np.where(weight > 0, np.abs(d) * weight, 0.0)
    return E


def scratch_names(dtype: DTypeLike) -> tuple[str, ...]:
    """Names of the buffers that logits of this dtype need: TwoSum's two for float64 only."""
    return Scratch._fields if np.dtype(dtype) == np.float64 else Scratch._fields[:2]


def _new_scratch(shape: tuple[int, ...], dtype: DTypeLike) -> Scratch:
    return Scratch(*(np.empty(shape) for _ in scratch_names(dtype)))
