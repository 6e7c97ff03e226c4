"""BLAS threads: one for small matrix products, all of them for large ones.

Threads of a small product wait for each other longer than they compute, and if another process keeps one of
the cores busy, all of them wait for that: on two cores, one of them busy, a digits fit (64-100-10, batches of
200) took 39 ms with two threads and 20 ms with one. So small products are limited to one.

The number of threads belongs to the whole process. It is changed for the length of an epoch or a
prediction, for all Python threads that are in one, and is what it was when the last of them has left, also
by an exception. (An interrupt in the very lines that give it back delays that until the next one has ended.)
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Multiplications of a product from which two threads on two idle cores gain a fifth or more of a fit (784 x
# 256 in batches of 200: 23 %; 784 x 100: 12 %), and up to which BLAS takes one thread by itself.
_LARGE, _TINY = 2**25, 2**15


class _Guest:
    """One who wants small products to have one thread."""


_lock = threading.Lock()
_guests: weakref.WeakSet[_Guest] = (
    weakref.WeakSet()
)  # one who was interrupted on his way out is forgotten, too
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
    guest = _Guest()
    try:
        _enter(guest)
        yield
    finally:
        _leave(guest)


def _enter(guest: _Guest) -> None:
    libraries = _libraries()
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
    """In a child process nobody else is inside, and the lock may have been held."""
    global _lock
    _lock = threading.Lock()
    _guests.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
