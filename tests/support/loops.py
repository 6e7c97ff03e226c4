"""The loops that numba compiles, switched on or off for a test."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

import tinyclf
from tinyclf.nn import _loops, kernels

TYPES = [np.dtype("float32"), np.dtype("float64")]


@contextmanager
def computing_with(how):
    """Compute with "NumPy", or the loops "as Python" or "compiled"; give those for float32, or None."""
    assert how in ("NumPy", "as Python", "compiled")
    wanted = kernels._wanted
    try:
        if how == "compiled":
            pytest.importorskip("numba")
            tinyclf.use_fast(True)
            for dtype in TYPES:
                kernels.load(dtype)
        else:
            tinyclf.use_fast(False)
        if how == "as Python":
            loops = {loop.__name__: loop for loop in _loops.EXACT + _loops.APPROXIMATE}
            kernels._compiled = dict.fromkeys(TYPES, SimpleNamespace(**loops))
        yield kernels.compiled(TYPES[0])
    finally:
        kernels._compiled = {}
        tinyclf.use_fast(wanted)


def switched_off(function, *arguments):
    """The result of a function that computes with NumPy."""
    before, wanted = kernels._compiled, kernels._wanted
    kernels._compiled, kernels._wanted = {}, False
    try:
        return function(*arguments)
    finally:
        kernels._compiled, kernels._wanted = before, wanted
