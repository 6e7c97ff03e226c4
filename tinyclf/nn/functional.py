"""Softmax, log-softmax, log-sum-exp and cross-entropy, accurate for any logits.

These are the public functions, which check their arguments. The module `nn.logsumexp` has the
computation and its mathematics, with the letters m, d, E, S and T that are used here. With targets,
logits have shape (n, k), one row per sample; otherwise they have one or more axes. float64 and
integer logits give float64, float32 and float16 give float32. Inputs are never changed; no warning
is emitted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .arrays import Array, as_array
from .errors import check_interval
from .logsumexp import cross_entropy_rows, exponentials, log_softmax_rows, row_sums, softmax_rows


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
        -inf where all entries are -inf or there are none; inf where an entry is +inf.

    Raises
    ------
    ValueError, TypeError
        If x is a single number, has no such axis, or does not hold real numbers.

    Examples
    --------
    >>> print(logsumexp([1000.0, 1000.0]))
    1000.6931471805599
    """
    x = as_logits(x)
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
    """Logarithm of softmax, d - log1p(S): finite for finite logits if their differences are finite.

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
    ValueError, TypeError
        If there is no class along the axis, no such axis, or x does not hold real numbers.

    Examples
    --------
    >>> print(log_softmax([0.0, 1000.0]))
    [-1000.     0.]
    """
    x = as_logits(x)
    rows, shape = _rows(x, axis, at_least=1)
    return np.moveaxis(_rounded(log_softmax_rows(rows), x.dtype).reshape(shape), -1, axis)


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
    ValueError, TypeError
        If there is no class along the axis, no such axis, or x does not hold real numbers.

    Examples
    --------
    >>> print(softmax([1000.0, 1000.0, -1000.0]))
    [0.5 0.5 0. ]
    """
    x = as_logits(x)
    rows, shape = _rows(x, axis, at_least=1)
    return np.moveaxis(_rounded(softmax_rows(rows), x.dtype).reshape(shape), -1, axis)


def cross_entropy(logits: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Softmax cross-entropy of each row, -sum_i y_i log_softmax_i.

    Parameters
    ----------
    logits : array_like of shape (n, k)
    targets : array_like
        Integer codes from 0 to k - 1, shape (n,), or non-negative numbers y, shape (n, k), usually
        probabilities. The sum of a row of y need not be 1.
    label_smoothing : float, default=0.0
        Fraction of each target that is spread evenly over all classes, from 0 to 1. This includes
        classes with a logit of -inf, which make the loss inf. Source: Szegedy et al., "Rethinking
        the Inception architecture for computer vision" (2016), section 7.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, a code is out of range, the targets are neither integer codes nor
        finite numbers >= 0, or ``label_smoothing`` is not a number from 0 to 1.

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

    Parameters and errors are those of `cross_entropy`.

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


def sigmoid(x: ArrayLike) -> Array:
    """Logistic function 1 / (1 + exp(-x)) of each entry, computed as exp(x) / (1 + exp(x)) for x < 0.

    Examples
    --------
    >>> print(sigmoid([-1000.0, -40.0, 0.0]))
    [0.00000000e+00 4.24835426e-18 5.00000000e-01]
    """
    x = as_logits(x)
    with np.errstate(all="ignore"):
        x64 = x.astype(np.float64)
        e = np.exp(-np.abs(x64))
        return _rounded(np.where(x64 < 0, e, 1.0) / (1.0 + e), x.dtype)


def log_sigmoid(x: ArrayLike) -> Array:
    """Logarithm of `sigmoid` of each entry, computed as ``min(x, 0) - log1p(exp(-|x|))``.

    Examples
    --------
    >>> print(log_sigmoid([-1000.0, 40.0]))
    [-1.00000000e+03 -4.24835426e-18]
    """
    x = as_logits(x)
    with np.errstate(all="ignore"):
        x64 = x.astype(np.float64)
        return _rounded(np.minimum(x64, 0.0) - np.log1p(np.exp(-np.abs(x64))), x.dtype)


def as_targets(targets: ArrayLike, n: int, k: int) -> Array:
    """Return targets as codes (n,) or as float64 probabilities (n, k), or raise an error."""
    y = as_array("targets", targets)
    if y.ndim == 1:
        if y.shape[0] != n:
            raise ValueError(f"targets must hold one code per row of logits, {n}, got {y.shape[0]}")
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
    with np.errstate(all="ignore"):
        y = np.array(y, np.float64, order="C")
    wrong = np.argwhere(~((y >= 0) & (y < np.inf)))
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(f"target probabilities must be finite and >= 0, got {y[i, j]} at row {i}, class {j}")
    with np.errstate(over="ignore"):
        endless = np.flatnonzero(np.isinf(y.sum(axis=1)))
    if endless.size:
        raise ValueError(f"the sum of the targets of row {endless[0]} is beyond the range of float64")
    return y


def smoothed(y: Array, k: int, label_smoothing: float) -> Array:
    """Return (1 - s) y + s Y / k: the fraction s = ``label_smoothing`` is spread over the k classes."""
    check_interval("label_smoothing", label_smoothing, 0.0, 1.0)
    if label_smoothing == 0.0:
        return y
    if y.ndim == 1:
        y = np.equal.outer(y, np.arange(k)).astype(np.float64)
    even: Array = label_smoothing * row_sums(y, np.float64)[:, None] / k
    even = even + (1.0 - label_smoothing) * y
    return even


def _as_pair(logits: ArrayLike, targets: ArrayLike, label_smoothing: float) -> tuple[Array, Array]:
    x = as_logits(logits)
    if x.ndim != 2:
        raise ValueError(f"logits must have shape (n, k), one row per sample, got {x.shape}")
    if x.shape[1] == 0:
        raise ValueError(f"there must be at least one class, got logits of shape {x.shape}")
    y = as_targets(targets, *x.shape)
    with np.errstate(all="ignore"):
        return x, smoothed(y, x.shape[1], label_smoothing)


def as_logits(x: ArrayLike) -> Array:
    """Return an array of floats of at most 64 bits; integers, whose differences may overflow, as float64."""
    x = as_array("logits", x)
    if x.dtype.kind in "iu" or (x.dtype.kind == "f" and x.dtype.itemsize > 8):
        with np.errstate(all="ignore"):
            return x.astype(np.float64)
    if x.dtype.kind != "f":
        raise TypeError(f"logits must be real numbers, got dtype {x.dtype}")
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def _rows(x: Array, axis: int, at_least: int = 0) -> tuple[Array, tuple[int, ...]]:
    """Move the class axis to the end; return the rows (n, k), and their shape before reshaping."""
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"axis must be one whole number, got {axis!r}")
    if x.ndim == 0:
        raise ValueError("a single number has no axis of classes; pass an array of at least one axis")
    moved = np.moveaxis(x, axis, -1)
    k = moved.shape[-1]
    if k < at_least:
        raise ValueError(f"there must be at least one class along axis {axis}, got shape {x.shape}")
    return moved.reshape(math.prod(moved.shape[:-1]), k), moved.shape


def _result_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def _rounded(result: Array, dtype: DTypeLike) -> Array:
    with np.errstate(all="ignore"):
        return result.astype(_result_dtype(dtype), copy=False)
