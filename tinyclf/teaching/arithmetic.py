"""Computations on single rows of logits, without training: steps 1 to 4 and 7 of the lesson."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..nn.arrays import Array
from ..nn.functional import cross_entropy, log_softmax, logsumexp, softmax
from .bfloat16 import of_type
from .naive_losses import LOSSES, evaluate

VECTORS: dict[str, list[float]] = {
    "moderate": [11, 12, -1000, 5, 10, 0.001],
    "overflow": [-100, 1000, -100, 5, 10, 0.001],
    "extreme": [-1000, 1000, -1000, 5, 10, 0.001],
}
"""Logits used in introductions to log-sum-exp; the naive formula overflows on all but the first."""

DTYPES = ("float16", "bfloat16", "float32", "float64")
"""The floating-point types of the lesson; NumPy has no bfloat16, see `Bfloat16`."""

OFFSET = 1e4
"""The constant that `offset_losses` adds to both logits."""


def vector(x: Iterable[float]) -> dict[str, Any]:
    """Compute log-sum-exp, softmax and log-softmax of one float64 row, naively and with max x subtracted.

    Parameters
    ----------
    x : iterable of float
        The logits.

    Returns
    -------
    dict
        Arrays "x", "exp", "naive_softmax", "softmax", "log_of_softmax" (the logarithm of "softmax")
        and "log_softmax" (computed from the logits); numbers "naive_lse" and "lse".

    Examples
    --------
    >>> row = vector(VECTORS["extreme"])
    >>> print(row["naive_lse"], row["lse"], row["naive_softmax"][1], row["softmax"][1])
    inf 1000.0 nan 1.0
    """
    z = np.array(list(x), np.float64)
    with np.errstate(all="ignore"):
        E = np.exp(z)
        return {
            "x": z,
            "exp": E,
            "naive_lse": np.log(E.sum()),
            "lse": logsumexp(z),
            "naive_softmax": E / E.sum(),
            "softmax": softmax(z),
            "log_of_softmax": np.log(softmax(z)),
            "log_softmax": log_softmax(z),
        }


def last_float(holds: Callable[[Any], bool], dtype: DTypeLike, top: float = 1024.0) -> float:
    """Find the largest floating-point number below ``top`` for which a condition holds, by bisection.

    Parameters
    ----------
    holds : callable
        The condition. It must hold at 0 and fail at ``top``, and change only once between them.
    dtype : dtype or "bfloat16"
        Type of the numbers.
    top : float, default=1024.0

    Returns
    -------
    float

    Examples
    --------
    >>> last_float(lambda x: x * x <= 2, "float64")
    1.414213562373095
    """
    low: Any = of_type(0, dtype)
    high: Any = of_type(top, dtype)
    with np.errstate(all="ignore"):
        while True:
            middle = of_type(low + (high - low) / 2, dtype)
            if middle in (low, high):
                return float(low)
            low, high = (middle, high) if holds(middle) else (low, middle)


def thresholds(dtype: DTypeLike) -> dict[str, float]:
    """Find where exponentials overflow or underflow in a dtype, by bisection.

    Returns
    -------
    dict
        For each condition, the largest x for which it holds. "exp": exp(x) is finite. "sum": the
        sum of ten exp(x) is finite. "vanish": exp(-x) is greater than 0. "beside_one":
        log(1 + exp(-x)) is greater than 0.

    Examples
    --------
    >>> print({name: round(x, 3) for name, x in thresholds("float32").items()})
    {'exp': 88.723, 'sum': 86.42, 'vanish': 103.972, 'beside_one': 16.636}
    """
    return {
        "exp": last_float(lambda x: np.isfinite(np.exp(x)), dtype),
        "sum": last_float(lambda x: np.isfinite(np.exp(np.repeat(x, 10)).sum()), dtype),
        "vanish": last_float(lambda x: np.exp(-x) > 0, dtype),
        "beside_one": last_float(lambda x: np.log(1 + np.exp(-x)) > 0, dtype),
    }


def wrong_row(scale: float, name: str, dtype: DTypeLike = "float32") -> tuple[float, Array]:
    """Compute the loss ``LOSSES[name]`` and its gradient for logits [scale, 0]; the true class is the second.

    Examples
    --------
    >>> loss, gradient = wrong_row(20, "clipped")
    >>> print(round(loss, 3), gradient)
    16.118 [0. 0.]
    """
    losses, gradients = evaluate(LOSSES[name], of_type([[scale, 0.0]], dtype), [1])
    return float(losses[0]), gradients[0] + 0  # adding 0 turns -0.0 into 0.0


def gradient_limit(name: str, dtype: DTypeLike = "float32") -> float:
    """Find the largest scale at which the gradient of `wrong_row` is finite and not 0.

    The search ends at 4096, or at 512 in float16. That value is returned if the gradient is still
    finite and not 0 there.

    Examples
    --------
    >>> round(gradient_limit("clipped"), 2), round(gradient_limit("naive"), 2)
    (16.12, 88.72)
    """
    top = 2.0**9 if dtype == "float16" else 2.0**12

    def has_gradient(x: Any) -> bool:
        gradient = wrong_row(x, name, dtype)[1]
        return bool(np.isfinite(gradient).all() and gradient.any())

    if has_gradient(top):
        return top
    return last_float(lambda x: x == 0 or has_gradient(x), dtype, top)


def offset_losses(offset: float = OFFSET) -> tuple[float, float, float]:
    """Compute the loss of the float32 logits [2, -1] with label 0 in three ways.

    Returns
    -------
    tuple of float
        With ``offset`` added to both logits: log-sum-exp minus the logit of the label, and the result
        of `tinyclf.cross_entropy`. Without the offset: the result of `tinyclf.cross_entropy`.

    Examples
    --------
    >>> print([round(loss, 6) for loss in offset_losses()])
    [0.048828, 0.048587, 0.048587]
    """
    z = np.array([[2, -1]], np.float32)
    far = z + np.float32(offset)
    top = far.max()
    lse = top + np.log(np.sum(np.exp(far - top)))
    return float(lse - far[0, 0]), float(cross_entropy(far, [0])[0]), float(cross_entropy(z, [0])[0])


def soft_target_losses() -> dict[str, float]:
    """Compute each loss for logits [0, -1000] and the soft target [1, 0]; nan if it computes 0 * log(0)."""
    z = np.array([[0.0, -1000.0]], np.float32)
    return {name: float(evaluate(loss, z, [[1.0, 0.0]])[0][0]) for name, loss in LOSSES.items()}


def right_row(gap: float, name: str, dtype: DTypeLike = "float32") -> tuple[float, Array]:
    """Compute the loss ``LOSSES[name]`` and its gradient for logits [gap, 0]; the true class is the first.

    Examples
    --------
    >>> print([f"{right_row(20, name)[0]:.4g}" for name in ("textbook", "stable")])
    ['0', '2.061e-09']
    """
    losses, gradients = evaluate(LOSSES[name], of_type([[gap, 0.0]], dtype), [0])
    return float(losses[0]) + 0.0, gradients[0] + 0
