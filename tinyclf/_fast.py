"""Compiled twins of a few formulas, for those who install the extra ``[fast]``, which is numba.

Each function here is a loop that numba turns into machine code, and the same formula as the NumPy code that
calls it where there is no numba, or where it is switched off: read that. A twin gives the same result but for
rounding. What it saves is passes over memory and calls: in microseconds, in a fit of digits by the network
64-100-10 in batches of 32 and 200 rows (`python benchmarks/step_profile.py`),

    part of a step              NumPy         compiled
    Adam                        11.9, 12.8    2.7, 3.0
    softmax cross-entropy       14.4, 28.1    3.0, 9.2
    dense layers forward         8.2, 33.2    6.5, 28.7
    ReLU backward                2.6,  7.2    0.9, 2.3

numba is imported when the first training begins, not before. Its machine code is kept on disk, so that
compiling, a second or two, happens once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from .views import Array

kernels: SimpleNamespace | None = None
"""The compiled functions by name, or None: then NumPy does it."""

_SETTINGS = {"": None, "0": False, "1": True}
_wanted: bool | None = _SETTINGS.get(os.environ.get("TINYCLF_FAST", ""))
_lock = threading.Lock()

# What LLVM may do with the arithmetic of APPROXIMATE: not assume that inf and nan do not exist.
_FREEDOM = {"contract", "reassoc", "arcp", "nsz"}

# Rows per partial sum of a loss: one long sum would round more.
_BLOCK = 256

# The same for the squares of weights.
_ENTRIES = 512


def use_fast(on: bool | None = True) -> None:
    """Switch the compiled twins on or off, in this process.

    Without a call they are used where numba is installed. The environment variable ``TINYCLF_FAST`` does the
    same as this function, with 1 and 0, also for processes that are started later.

    Parameters
    ----------
    on : bool or None, default=True
        None is the state before any call: used if they can be had.

    Raises
    ------
    ImportError
        If they are asked for and numba cannot be imported.
    TypeError
        If ``on`` is something else.

    Examples
    --------
    >>> import tinyclf
    >>> tinyclf.use_fast(False)  # NumPy alone, bit for bit what it is without numba
    >>> tinyclf.use_fast(None)
    """
    global kernels, _wanted
    if on not in (True, False, None):
        raise TypeError(f"on must be True, False or None, got {on!r}")
    before = _wanted
    _wanted = on
    if on is False:
        kernels = None
        return
    try:
        load()
    except ImportError:
        _wanted = before
        raise


def load() -> None:
    """Make the compiled twins available, unless they are there already, are not wanted or cannot be had."""
    global kernels, _wanted
    if (setting := os.environ.get("TINYCLF_FAST", "")) not in _SETTINGS:
        raise ValueError(
            f"the environment variable TINYCLF_FAST must be 0 or 1, or not be set, got {setting!r}"
        )
    if kernels is not None or _wanted is False:
        return
    with _lock:
        try:
            kernels = _compiled_twins()
        except Exception as error:  # numba refuses versions of NumPy that it does not know
            if _wanted:
                raise ImportError(
                    f"the compiled functions need numba, which cannot be had: {error}. Install it by "
                    "pip install 'tinyclf[fast]', or leave TINYCLF_FAST and use_fast alone"
                ) from error
            _wanted = False


@cache
def _compiled_twins() -> SimpleNamespace:
    import numba

    if numba.config.DISABLE_JIT:
        raise ImportError("NUMBA_DISABLE_JIT switches its compiler off")
    return SimpleNamespace(
        **{twin.__name__: _compiled(numba, twin, fastmath=False) for twin in EXACT},
        **{twin.__name__: _compiled(numba, twin, fastmath=_FREEDOM) for twin in APPROXIMATE},
    )


def _compiled(numba: Any, function: Callable[..., Any], fastmath: bool | set[str]) -> Callable[..., Any]:
    # With Python's error model, a division asks whether to raise, which keeps loops from being vectorised.
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": fastmath}
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep it in
        compiled = numba.njit(**options)(function)
    return compiled


def add_bias(y: Array, b: Array) -> None:
    """Twin of ``np.add(y, b, out=y)`` in `layers.Dense`."""
    n, k = y.shape
    for i in range(n):
        for j in range(k):
            y[i, j] += b[j]


def relu_backward(dy: Array, y: Array) -> None:
    """Twin of `layers.ReLU.backward` in place: two arrays that may overlap would not be vectorised."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    n, k = y.shape
    for i in range(n):
        for j in range(k):
            dy[i, j] *= one if y[i, j] > zero else zero


def drop(x: Array, bits: Array, dropped: int, scale: Any, m: Array, y: Array) -> None:
    """Twin of the end of `layers.Dropout.forward`."""
    zero, limit = m.dtype.type(0), bits.dtype.type(dropped)
    n, k = y.shape
    for i in range(n):
        for j in range(k):
            m[i, j] = scale if bits[i, j] >= limit else zero
        for j in range(k):
            y[i, j] = x[i, j] * m[i, j]


def adam(
    theta: Array, g: Array, M: Array, V: Array, b1: float, b2: float, epsilon: float, rate: float
) -> None:
    """Twin of `optimizers.Adam.update` and the subtraction that follows it."""
    number = theta.dtype.type
    beta_1, beta_2, eps, eta = number(b1), number(b2), number(epsilon), number(rate)
    for i in range(theta.size):
        M[i] = beta_1 * M[i] + g[i]
        V[i] = beta_2 * V[i] + g[i] * g[i]
        theta[i] -= eta * M[i] / (np.sqrt(V[i]) + eps)


def penalise(W: Array, dW: Array, strength: float) -> float:
    """Twin of `objective.Objective.add_penalty`: adds strength W to dW and returns |W|^2."""
    c = W.dtype.type(strength)
    squares = 0.0
    for start in range(0, W.size, _ENTRIES):
        part = W.dtype.type(0)
        for i in range(start, min(start + _ENTRIES, W.size)):
            dW[i] += c * W[i]
            part += W[i] * W[i]
        squares += part
    return float(squares)


def shift(z: Array, d: Array, top: Array) -> None:
    """Twin of the first lines of `exponentials.exponentials`: the largest logit and d, for float32 logits."""
    n, k = z.shape
    for i in range(n):
        a, m = 0, z[i, 0]
        for j in range(1, k):
            larger = z[i, j] > m  # chosen without a branch, which would be mispredicted: a third of the time
            a = j if larger else a
            m = z[i, j] if larger else m
        top[i] = a
        for j in range(k):
            d[i, j] = np.float64(z[i, j]) - np.float64(m)


def softmax_loss(E: Array, d: Array, top: Array, y: Array, dz: Array) -> float:
    """Twin of the rest of it, of `exponentials._hard_rows` and of `Loss.value_and_grad`: E holds exp(d)."""
    n, k = E.shape
    total = 0.0
    for start in range(0, n, _BLOCK):
        part = 0.0
        for i in range(start, min(start + _BLOCK, n)):
            a, t = top[i], y[i]
            E[i, a] = d[i, a]
            S = 0.0
            for j in range(k):
                S += E[i, j]
            part += np.log1p(S) - d[i, t]
            r = E[i, t] - S
            if t != a:
                r -= 1.0
            E[i, a] = 1.0
            E[i, t] = r
            c = 1.0 / ((1.0 + S) * n)
            for j in range(k):
                dz[i, j] = E[i, j] * c
        total += part
    return float(total / n)


def sigmoid_loss(z: Array, E: Array, y: Array, dz: Array) -> float:
    """Twin of `losses.SigmoidCrossEntropy.rows` and of `Loss.value_and_grad`: E holds exp(-|z|)."""
    n, k = z.shape
    total = 0.0
    for start in range(0, n, _BLOCK):
        part = 0.0
        for i in range(start, min(start + _BLOCK, n)):
            for j in range(k):
                e, q = E[i, j], y[i, j]
                if z[i, j] > 0.0:
                    gradient, wrong = (1.0 - q) - q * e, 1.0 - q
                else:
                    gradient, wrong = (1.0 - q) * e - q, q
                dz[i, j] = gradient / ((1.0 + e) * n)
                part += np.log1p(e)
                if wrong > 0.0:  # 0 * inf is no loss
                    part += wrong * np.abs(np.float64(z[i, j]))
        total += part
    return float(total / n)


EXACT = (add_bias, relu_backward, drop, shift, softmax_loss, sigmoid_loss)
"""Twins whose arithmetic is carried out as written."""

APPROXIMATE = (adam, penalise)
"""Twins with approximate quotients and sums in any order, which is faster: Adam takes 1.8 instead of 2.8
microseconds. Never the losses."""
