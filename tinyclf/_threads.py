"""BLAS threads: one for small matrix products, all of them for large ones.

Threads of a small product wait for each other longer than they compute, and if another process keeps one of
the cores busy, all of them wait for that: on two cores, one of them busy, a digits fit (64-100-10, batches of
200) took 39 ms with two threads and 20 ms with one. So small products are limited to one.

The number of threads belongs to the whole process. It is changed for the length of an epoch or a prediction,
counted over all Python threads that are in one, and is what it was when the last of them has left, also by an
exception.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Multiplications of a product from which two threads on two idle cores gain a fifth or more of a fit (784 x
# 256 in batches of 200: 23 %; 784 x 100: 12 %), and up to which BLAS takes one thread by itself.
_LARGE, _TINY = 2**25, 2**15

_lock = threading.Lock()
_inside = 0
_before: list[tuple[Any, int]] = []


@cache
def _libraries() -> list[Any]:
    """Return the BLAS libraries of this process; looking for them takes a millisecond."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:  # NumPy alone is enough for the core
        return []
    return [found for found in ThreadpoolController().lib_controllers if found.user_api == "blas"]


@contextmanager
def suited(multiplications: int) -> Iterator[None]:
    """Hold the number of BLAS threads that suits matrix products of this size."""
    if not _TINY < multiplications < _LARGE:
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside
    libraries = _libraries()
    with _lock:
        _inside += 1
        if _inside == 1:
            _before[:] = [(found, n) for found in libraries if (n := found.num_threads) > 1]
            for library, _ in _before:
                library.set_num_threads(1)


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            for library, n in _before:
                if library.num_threads == 1:  # else somebody has changed it meanwhile
                    library.set_num_threads(n)
            _before.clear()
