"""Threads: BLAS has one, and large matrix products are shared among threads of our own.

Two reasons. Threads of a small product wait for each other longer than they compute, and if another process
keeps one of the cores busy, all of them wait for that: on two cores, one of them busy, a digits fit
(64-100-10, batches of 200) took 39 ms with two threads and 20 ms with one. And the last bits of a product
depend on the number of BLAS threads, which belongs to the whole process (with NumPy's own OpenBLAS; with MKL
to each thread): a fit would change with what is fitted beside it.

So whoever computes holds that number at one, by `one_thread`: for the length of a fit, an epoch or a
prediction. It is what it was when the last of them has left, also by an exception. (An interrupt in the very
lines that give it back delays that until the next one has ended.) A large `product` is computed in parts, by
as many threads as BLAS had: who is free takes the next part, so that nobody waits for a core that is busy.
The parts depend on the shapes alone, and so do the bits of the product. (Other software that sets the number
meanwhile has the last word, and then bits may differ.)
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


class _Limit:
    """Libraries held at one thread, for as long as there are guests."""

    def __init__(self) -> None:
        # Who is interrupted on his way out is forgotten.
        self.guests: weakref.WeakSet[_Guest] = weakref.WeakSet()
        self.before: list[tuple[Any, int]] = []

    def enter(self, guest: _Guest, libraries: list[Any]) -> None:
        if not self.guests and not self.before:  # what is left in it was not given back, by an interrupt
            self.before[:] = [(found, n) for found in libraries if (n := found.num_threads) > 1]
        self.guests.add(guest)
        if len(self.guests) == 1:
            for library, _ in self.before:
                _set(library, 1)

    def leave(self, guest: _Guest) -> None:
        self.guests.discard(guest)
        while self.before and not self.guests:
            library, n = self.before[-1]
            if library.num_threads == 1:  # else somebody has changed it meanwhile
                _set(library, n)
            self.before.pop()


class _OfThread(threading.local):
    """The limit of a thread, for libraries that have a number per thread."""

    def __init__(self) -> None:
        self.limit = _Limit()


_lock = threading.Lock()
_of_process = _Limit()
_of_thread = _OfThread()


@cache
def _libraries(scipy: bool) -> tuple[list[Any], list[Any]]:
    """Return the BLAS libraries whose number of threads is that of the process, and of each thread.

    SciPy has one of its own, once it is loaded. Looking for them takes a millisecond.
    """
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:  # NumPy alone is enough for the core
        return [], []
    found = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
    own = [x for x in found if x.internal_api == "mkl" or getattr(x, "threading_layer", "") == "openmp"]
    return [library for library in found if library not in own], own


def _set(library: Any, n: int) -> None:
    """Set the number of threads, whichever thread was the last to do so.

    threadpoolctl 3.8 heeds only the first thread that has set it for as long as that lives, silently: fits in
    other threads would not be limited, and what the last of them gives back would stay lost.
    """
    free = getattr(library, "clear_controlling_thread", lambda force: None)
    free(force=True)
    library.set_num_threads(n)
    free(force=True)


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
    from concurrent.futures import Future

    starts = range(0, len(out), _PART)
    todo = iter(starts)

    def work() -> None:
        for start in todo:  # who is free takes the next part
            part = slice(start, start + _PART)
            np.matmul(a[part], b, out=out[part])

    def help_out(helper: Any) -> None:
        if helper.set_running_or_notify_cancel():
            try:
                with one_thread():
                    work()
            except BaseException as error:
                helper.set_exception(error)
            else:
                helper.set_result(None)

    limits = [*_of_process.before, *_of_thread.limit.before]
    helpers: list[Any] = []
    try:
        for _ in range(min(max((n for _, n in limits), default=1), len(starts)) - 1):
            helpers.append(Future())  # first: an error does not say that nobody will ever start
            _pool().submit(copy_context().run, help_out, helpers[-1])  # with the caller's errstate
    except RuntimeError:  # no new threads: there are too many, or the interpreter is about to end
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
    shared, own = _libraries("scipy.linalg" in sys.modules)
    with _lock:
        _of_process.enter(guest, shared)
    _of_thread.limit.enter(guest, own)


def _leave(guest: _Guest) -> None:
    with _lock:
        _of_process.leave(guest)
    _of_thread.limit.leave(guest)


def _after_fork() -> None:
    """In a child process nobody else is inside, there are no helpers, and the lock may have been held."""
    global _lock
    _lock = threading.Lock()
    _of_process.guests.clear()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
