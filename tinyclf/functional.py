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
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]

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


def _probabilities(x: Exponentials) -> Array:
    """Turn E into softmax, in place."""
    x.E.ravel()[x.top] = 1.0
    # A quotient: multiplying by 1 / T or taking exp(d - L) would round once more.
    return np.divide(x.E, (1.0 + x.S)[:, None], out=x.E)


def logsumexp(x: ArrayLike, axis: int = -1, keepdims: bool = False) -> Any:
    """Logarithm of the sum of exponentials, m + log1p(S).

    Parameters
    ----------
    x : array_like of real numbers
    axis : int, default=-1
    keepdims : bool, default=False
        Keep the reduced axis with length 1.

    Returns
    -------
    ndarray or scalar
        -inf for the sum over nothing or over nothing but -inf; inf where x holds +inf.

    Examples
    --------
    >>> print(logsumexp([1000.0, 1000.0]))
    1000.6931471805599
    """
    x = _as_real(x)
    rows, shape = _rows(x, axis)
    if rows.shape[1] == 0:
        result = np.full(len(rows), -np.inf)
    else:
        with np.errstate(all="ignore"):
            parts = exponentials(rows)
            result = np.where(np.isinf(parts.m), parts.m, parts.m + np.log1p(parts.S))
    result = _rounded(result, x.dtype).reshape(shape[:-1])
    return np.expand_dims(result, axis) if keepdims else result[()]


def log_softmax(x: ArrayLike, axis: int = -1) -> Array:
    """Logarithm of softmax, d - log1p(S): finite for all finite logits.

    Parameters
    ----------
    x : array_like of real numbers
    axis : int, default=-1
        The axis of the classes.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    ValueError
        If there is no class along the axis.

    Examples
    --------
    >>> print(log_softmax([0.0, 1000.0]))
    [-1000.     0.]
    """
    x = _as_real(x)
    rows, shape = _rows(x, axis, at_least=1)
    with np.errstate(all="ignore"):
        parts = exponentials(rows)
        result = np.subtract(parts.d, np.log1p(parts.S)[:, None], out=parts.d)
        return np.moveaxis(_rounded(result, x.dtype).reshape(shape), -1, axis)


def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """Probabilities exp(x_i) / sum_j exp(x_j), computed as E / T.

    Parameters
    ----------
    x : array_like of real numbers
    axis : int, default=-1
        The axis of the classes.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    ValueError
        If there is no class along the axis.

    Examples
    --------
    >>> print(softmax([1000.0, 1000.0, -1000.0]))
    [0.5 0.5 0. ]
    """
    x = _as_real(x)
    rows, shape = _rows(x, axis, at_least=1)
    with np.errstate(all="ignore"):
        result = _probabilities(exponentials(rows))
        return np.moveaxis(_rounded(result, x.dtype).reshape(shape), -1, axis)


def cross_entropy(logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Softmax cross-entropy of each row, -sum_i y_i log_softmax_i.

    Parameters
    ----------
    logits : array_like of shape (n, k)
    targets : array_like
        Integer codes from 0 to k - 1, shape (n,), or a row of non-negative numbers y per row of logits,
        shape (n, k), usually probabilities; their sum need not be 1.
    label_smoothing : float, default=0.0
        Between 0 and 1: the share of each target that is spread evenly over all classes
        (Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016).

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a code is out of range, or the targets are neither codes nor probabilities.

    Examples
    --------
    >>> print(cross_entropy(np.float32([[20, 0], [1000, 0]]), [0, 1]))
    [2.0611537e-09 1.0000000e+03]
    """
    x, y = _as_pair(logits, targets, label_smoothing)
    with np.errstate(all="ignore"):
        return _rounded(cross_entropy_rows(x, y), x.dtype)


def cross_entropy_grad(logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Gradient of each row's softmax cross-entropy with respect to its logits, Y p - y with Y = sum y.

    Parameters, errors and accepted targets are those of `cross_entropy`.

    Returns
    -------
    ndarray of shape (n, k)

    Examples
    --------
    >>> print(cross_entropy_grad([[40.0, 0.0]], [0]))
    [[-4.24835426e-18  4.24835426e-18]]
    """
    x, y = _as_pair(logits, targets, label_smoothing)
    gradient = np.empty(x.shape, _result_dtype(x.dtype))
    with np.errstate(all="ignore"):
        cross_entropy_rows(x, y, gradient)
    return gradient


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
        p = _probabilities(parts).ravel()
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
        p = _probabilities(parts)
        p *= Y[:, None]
        p -= y
        p.ravel()[top] = rest - Y * (S / (1.0 + S))
        gradient[...] = E
    return losses


def sigmoid(x: ArrayLike) -> Array:
    """Logistic function 1 / (1 + exp(-x)) of each entry, as exp(-|x|) / (1 + exp(-|x|)) for x < 0.

    Examples
    --------
    >>> print(sigmoid([-1000.0, -40.0, 0.0]))
    [0.00000000e+00 4.24835426e-18 5.00000000e-01]
    """
    x = _as_real(x)
    with np.errstate(all="ignore"):
        x64 = x.astype(np.float64)
        e = np.exp(-np.abs(x64))
        return _rounded(np.where(x64 < 0, e, 1.0) / (1.0 + e), x.dtype)


def log_sigmoid(x: ArrayLike) -> Array:
    """Logarithm of `sigmoid`, min(x, 0) - log1p(exp(-|x|)).

    Examples
    --------
    >>> print(log_sigmoid([-1000.0, 40.0]))
    [-1.00000000e+03 -4.24835426e-18]
    """
    x = _as_real(x)
    with np.errstate(all="ignore"):
        x64 = x.astype(np.float64)
        return _rounded(np.minimum(x64, 0.0) - np.log1p(np.exp(-np.abs(x64))), x.dtype)


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


def as_targets(targets: ArrayLike, n: int, k: int) -> Array:
    """Return targets as codes (n,) or as float64 probabilities (n, k), or raise a clear error."""
    y = np.asarray(targets)
    if y.ndim == 1:
        if y.shape[0] != n:
            raise ValueError(f"targets hold {y.shape[0]} codes for {n} rows of logits")
        if y.size == 0:
            return y.astype(np.intp)
        if y.dtype.kind not in "iu":
            raise TypeError(
                f"targets of shape (n,) must be integer codes from 0 to {k - 1}, got dtype {y.dtype}; "
                "encode labels with np.unique(labels, return_inverse=True)"
            )
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= k:
            raise ValueError(f"targets must be codes from 0 to {k - 1}, got {low if low < 0 else high}")
        return y.astype(np.intp)
    if y.shape != (n, k):
        raise ValueError(
            f"targets must have shape ({n},) for codes or ({n}, {k}) for probabilities, got {y.shape}"
        )
    if y.dtype.kind not in "iuf":
        raise TypeError(f"targets of shape (n, k) must be real numbers, got dtype {y.dtype}")
    y = y.astype(np.float64)
    wrong = np.argwhere(~((y >= 0) & (y < np.inf)))
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(f"target probabilities must be finite and >= 0, got {y[i, j]} at row {i}, class {j}")
    return y


def smoothed(y: Array, k: int, label_smoothing: float) -> Array:
    """Targets with the share ``label_smoothing`` spread over the k classes: (1 - s) y + s Y / k."""
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be between 0 and 1, got {label_smoothing}")
    if label_smoothing == 0.0:
        return y
    if y.ndim == 1:
        y = np.equal.outer(y, np.arange(k)).astype(np.float64)
    even: Array = label_smoothing * y.sum(axis=1, keepdims=True) / k
    even = even + (1.0 - label_smoothing) * y
    return even


def _as_pair(logits: ArrayLike, targets: ArrayLike, label_smoothing: float) -> tuple[Array, Array]:
    x = _as_real(logits)
    if x.ndim != 2:
        raise ValueError(f"logits must have shape (n, k), one row per sample, got {x.shape}")
    if x.shape[1] == 0:
        raise ValueError(f"there must be at least one class, got logits of shape {x.shape}")
    return x, smoothed(as_targets(targets, *x.shape), x.shape[1], label_smoothing)


def _as_real(x: ArrayLike) -> Array:
    """Float input as it is; integers as float64, before any subtraction could wrap around."""
    x = np.asarray(x)
    if x.dtype.kind in "iu" or (x.dtype.kind == "f" and x.dtype.itemsize > 8):
        return x.astype(np.float64)
    if x.dtype.kind != "f":
        raise TypeError(f"logits must be real numbers, got dtype {x.dtype}")
    return x


def _rows(x: Array, axis: int, at_least: int = 0) -> tuple[Array, tuple[int, ...]]:
    """Move the class axis to the end: the (n, k) rows, and the shape that they unfold to."""
    if x.ndim == 0:
        raise ValueError("a single number has no axis of classes; pass an array of at least one axis")
    moved = np.moveaxis(x, axis, -1)
    k = moved.shape[-1]
    if k < at_least:
        raise ValueError(f"there must be at least one class along axis {axis}, got shape {x.shape}")
    return moved.reshape(moved.size // k if k else int(np.prod(moved.shape[:-1])), k), moved.shape


def scratch_names(dtype: DTypeLike) -> tuple[str, ...]:
    """Names of the buffers that logits of this dtype need: TwoSum's two for float64 only."""
    return Scratch._fields if np.dtype(dtype) == np.float64 else Scratch._fields[:2]


def _new_scratch(shape: tuple[int, ...], dtype: DTypeLike) -> Scratch:
    return Scratch(*(np.empty(shape) for _ in scratch_names(dtype)))


def _result_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def _rounded(result: Array, dtype: DTypeLike) -> Array:
    with np.errstate(all="ignore"):
        return result.astype(_result_dtype(dtype), copy=False)
