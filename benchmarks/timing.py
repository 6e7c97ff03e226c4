"""Compare the times of functions: on one pinned core, called in turn, the minimum of several calls."""

import os
import time
from collections.abc import Callable, Mapping

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def limit_threads() -> None:
    """Limit BLAS to one thread; call it before NumPy is imported."""
    for name in THREADS:
        os.environ[name] = "1"


def pin_to_one_core() -> None:
    """Pin this process to one core and limit BLAS to one thread; call it before NumPy is imported."""
    limit_threads()
    if hasattr(os, "sched_setaffinity"):  # not on every system
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def side_by_side(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the seconds of each function: the minimum over the repeats, each of which calls all in turn."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best
