"""Times of several functions side by side: one pinned core, taken in turns, the minimum of many."""

import os
import time
from collections.abc import Callable, Mapping

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def pin_to_one_core() -> None:
    """Keep this process to one core and BLAS to one thread; call it before NumPy is imported."""
    for name in THREADS:
        os.environ[name] = "1"
    if hasattr(os, "sched_setaffinity"):  # not everywhere
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def side_by_side(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of each function: the minimum over the repeats, which go around all of them in turns."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best
