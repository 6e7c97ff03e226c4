"""Arithmetic in bfloat16, which NumPy does not have: float32 arrays whose results are rounded."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..nn.arrays import Array


class Bfloat16(np.ndarray):
    """A float32 array in which the result of every operation is rounded to bfloat16.

    A bfloat16 number has the exponent of a float32 number and 8 significant bits. Each operation is
    computed in float32, and its result is rounded; ties go to the number whose last bit is 0. Sums
    are computed in float32 and rounded once, as NumPy does for float16, and JAX and PyTorch for
    bfloat16.

    Parameters
    ----------
    x : array-like of real numbers

    Examples
    --------
    >>> x = Bfloat16([1.0, 88.72, 0.1])
    >>> print(x)
    [ 1.         88.5         0.10009766]
    >>> print(x + 1)
    [ 2.        89.5        1.1015625]
    """

    def __new__(cls, x: ArrayLike) -> Self:
        """Round float32 numbers to bfloat16."""
        with np.errstate(over="ignore"):
            return _rounded(np.array(x, np.float32)).view(cls)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Compute in float32, and round results that are float32."""
        plain = (x.view(np.ndarray) if isinstance(x, Bfloat16) else x for x in inputs)
        result = getattr(ufunc, method)(*plain, **options)
        if out is not None:
            out[0][...] = Bfloat16(result)
            return out[0]
        return tuple(map(_result, result)) if isinstance(result, tuple) else _result(result)


def _result(x: Any) -> Any:
    return Bfloat16(x) if getattr(x, "dtype", None) == np.float32 else x


def _rounded(x: Array) -> Array:
    """Round float32 numbers to the nearest that has 8 significant bits; ties to even."""
    bits = x.view(np.uint32)
    up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    nearest = (bits + up) & np.uint32(0xFFFF0000)
    rounded: Array = np.where(np.isnan(x), x, nearest.view(np.float32))
    return rounded


def of_type(x: ArrayLike, dtype: DTypeLike) -> Array:
    """Convert to an array of a NumPy dtype, or to `Bfloat16` for "bfloat16"."""
    return Bfloat16(x) if isinstance(dtype, str) and dtype == "bfloat16" else np.asarray(x, dtype)
