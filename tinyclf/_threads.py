"""Threads: BLAS has one, and large matrix products are shared among threads of our own.

Two reasons. Threads of a small product wait for each other longer than they compute, and if another process
keeps one of the cores busy, all of them wait for that: on two cores, one of them busy, a digits fit
(64-100-10, batches of 200) took 39 ms with two threads and 20 ms with one. And the last bits of a product
depend on the number of BLAS threads, which belongs to the whole process: a fit would change with what is
fitted beside it.

So whoever computes holds that number at one, by `one_thread`: for the length of a fit, an epoch or a
prediction. It is what it was when the last of them has left, also by an exception. (An interrupt in the very
lines that give it back delays that until the next one has ended.) A large `product` is computed in parts, by
as many threads as BLAS had: who is free takes the next part, so that nobody waits for a core that is busy.
The parts depend on the shapes alone, and so do the bits of the product.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Multiplications of a product up to which BLAS takes one thread by itself, of those with a vector, too.
_TINY = 2**13

# From how many a product is shared: half a millisecond, ten times what it takes to wake a thread.
_LARGE = 2**25

# Rows of a part. Each part reads all of the other factor, which costs time where there is one thread only: up
# to a sixth with 256 rows, and two fifths with 128.
_PART = 256


class _Guest:
    """One who wants BLAS to have one thread."""


_lock = threading.Lock()
_guests: weakref.WeakSet[_Guest] = (
    weakref.WeakSet()
)  # one who was interrupted on his way out is forgotten, too
_before: list[tuple[Any, int]] = []


@cache
def _libraries(scipy: bool) -> list[Any]:
    """Return the BLAS libraries of this process, SciPy's too if it is loaded; it takes a millisecond."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:  # NumPy alone is enough for the core
        return []
    return [found for found in ThreadpoolController().lib_controllers if found.user_api == "blas"]


@contextmanager
def one_thread(multiplications: float = math.inf) -> Iterator[None]:
    """Hold BLAS at one thread; for products of a few multiplications at most it takes no more by itself."""
    if multiplications <= _TINY:
        yield
        return
    guest = _Guest()
    try:
        _enter(guest)
        yield
    finally:
        _leave(guest)


def product(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the matrix product a @ b into out, with the same bits whatever the number of threads."""
    if len(a) * b.size < _LARGE or max(out.shape) < 2 * _PART:
        np.dot(a, b, out=out)  # 0.3 microseconds less than matmul
        return
    if len(out) < len(out.T):  # the longer side is divided
        a, b, out = b.T, a.T, out.T
    starts = range(0, len(out), _PART)
    todo = iter(starts)

    def work() -> None:
        for start in todo:  # who is free takes the next part
            part = slice(start, start + _PART)
            np.matmul(a[part], b, out=out[part])

    helpers = []
    try:
        for _ in range(min(max((n for _, n in _before), default=1), len(starts)) - 1):
            helpers.append(_pool().submit(copy_context().run, work))  # with the caller's errstate
    except RuntimeError:  # no new threads: the interpreter is about to end
        pass
    try:
        work()
    finally:
        for helper in helpers:
            if not helper.cancel():
                helper.result()


@cache
def _pool() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="tinyclf")


def _enter(guest: _Guest) -> None:
    libraries = _libraries("scipy.linalg" in sys.modules)
    with _lock:
        if not _guests and not _before:  # what is left in it was not given back, by an interrupt
            _before[:] = [(found, n) for found in libraries if (n := found.num_threads) > 1]
        _guests.add(guest)
        for library, _ in _before:
            if len(_guests) == 1:
                library.set_num_threads(1)


def _leave(guest: _Guest) -> None:
    with _lock:
        _guests.discard(guest)
        while _before and not _guests:
            library, n = _before[-1]
            if library.num_threads == 1:  # else somebody has changed it meanwhile
                library.set_num_threads(n)
            _before.pop()


def _after_fork() -> None:
    """In a child process nobody else is inside, there are no helpers, and the lock may have been held."""
    global _lock
    _lock = threading.Lock()
    _guests.clear()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
