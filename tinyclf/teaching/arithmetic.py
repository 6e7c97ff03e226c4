"""What single rows of logits show, before anything is trained: steps 1 to 4 and 7 of the lesson."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..functional import cross_entropy, log_softmax, logsumexp, softmax
from ..views import Array
from .foils import LOSSES, evaluate

VECTORS: dict[str, list[float]] = {
    "moderate": [11, 12, -1000, 5, 10, 0.001],
    "overflow": [-100, 1000, -100, 5, 10, 0.001],
    "extreme": [-1000, 1000, -1000, 5, 10, 0.001],
}
"""Logits with which introductions to log-sum-exp show that the naive formula overflows."""

DTYPES = ("float16", "float32", "float64")

OFFSET = 1e4
"""What `offset_losses` adds to both logits."""


def vector(x: Iterable[float]) -> dict[str, Any]:
    """Compute log-sum-exp, softmax and its logarithm of one float64 row, naively and from the largest entry.

    Parameters
    ----------
    x : iterable of float
        The logits.

    Returns
    -------
    dict
        Arrays "x", "exp", "naive_softmax", "softmax", "log_of_softmax" (the logarithm of the one before) and
        "log_softmax" (from the logits); numbers "naive_lse" and "lse".

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
    """Find the largest x of a type for which something holds that holds at 0 and, at last, not at ``top``.

    Examples
    --------
    >>> last_float(lambda x: x * x <= 2, "float64")
    1.414213562373095
    """
    kind: Any = np.dtype(dtype).type
    low, high = kind(0), kind(top)
    with np.errstate(all="ignore"):
        while True:
            middle = kind(low + (high - low) / kind(2))
            if middle in (low, high):
                return float(low)
            low, high = (middle, high) if holds(middle) else (low, middle)


def thresholds(dtype: DTypeLike) -> dict[str, float]:
    """Find where the pieces of the naive loss give up in a type, by bisection.

    Returns
    -------
    dict
        The largest x, "exp" with exp(x) finite, "sum" with the sum of ten exp(x) finite, "vanish" with
        exp(-x) more than 0, "beside_one" with log(1 + exp(-x)) more than 0.

    Examples
    --------
    >>> print({name: round(x, 3) for name, x in thresholds("float32").items()})
    {'exp': 88.723, 'sum': 86.42, 'vanish': 103.972, 'beside_one': 16.636}
    """
    one = np.dtype(dtype).type(1)
    return {
        "exp": last_float(lambda x: np.isfinite(np.exp(x)), dtype),
        "sum": last_float(lambda x: np.isfinite(np.exp(np.repeat(x, 10)).sum()), dtype),
        "vanish": last_float(lambda x: np.exp(-x) > 0, dtype),
        "beside_one": last_float(lambda x: np.log(one + np.exp(-x)) > 0, dtype),
    }


def wrong_row(scale: float, name: str, dtype: DTypeLike = "float32") -> tuple[float, Array]:
    """Return loss and gradient of the logits [scale, 0] whose true class is the second.

    Examples
    --------
    >>> loss, gradient = wrong_row(20, "clipped")
    >>> print(round(loss, 3), gradient)
    16.118 [0. 0.]
    """
    losses, gradients = evaluate(LOSSES[name], np.array([[scale, 0.0]], dtype), [1])
    return float(losses[0]), gradients[0] + 0  # -0 is 0


def last_push(name: str, dtype: DTypeLike = "float32") -> float:
    """Find the largest scale at which a loss still gives `wrong_row` a finite gradient that is not 0.

    Examples
    --------
    >>> round(last_push("clipped"), 2), round(last_push("naive"), 2)
    (16.12, 88.72)
    """
    top = 2.0**12 if np.dtype(dtype).itemsize > 2 else 2.0**9

    def pushes(x: Any) -> bool:
        gradient = wrong_row(x, name, dtype)[1]
        return bool(np.isfinite(gradient).all() and gradient.any())

    return top if pushes(top) else last_float(lambda x: x == 0 or pushes(x), dtype, top)


def offset_losses(offset: float = OFFSET) -> tuple[float, float, float]:
    """Loss of float32 [2, -1], label 0, under an offset: as lse - z, as tinyclf does; and without offset.

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
    """Loss of logits [0, -1000] with the soft target [1, 0], by each loss: 0 times infinity is nan."""
    z = np.array([[0.0, -1000.0]], np.float32)
    return {name: float(evaluate(loss, z, [[1.0, 0.0]])[0][0]) for name, loss in LOSSES.items()}


def right_row(gap: float, name: str, dtype: DTypeLike = "float32") -> tuple[float, Array]:
    """Return loss and gradient of the logits [gap, 0] whose true class is the first.

    Examples
    --------
    >>> print([f"{right_row(20, name)[0]:.4g}" for name in ("textbook", "stable")])
    ['0', '2.061e-09']
    """
    losses, gradients = evaluate(LOSSES[name], np.array([[gap, 0.0]], dtype), [0])
    return float(losses[0]) + 0.0, gradients[0] + 0
