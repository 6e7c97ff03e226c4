"""BLAS threads: a fit whose matrix products are small uses one.

In a small product the threads of BLAS wait for each other longer than they compute. If another
process keeps one of the cores busy, each product also waits for that core: on two cores, one of
them busy, a fit of scikit-learn's digits (network 64-100-10, batches of 200 rows) took 39 ms with
two BLAS threads and 20 ms with one. Hence `limit_blas` sets the number of threads to one, through
threadpoolctl, for a fit with small products. A fit with a large product and every prediction do not
change the number.

The last bits of a product can depend on the number of BLAS threads. The same seed on the same
machine gives the same bits if that number is the same.

Limitations:

- With most BLAS libraries, NumPy's OpenBLAS included, the number of threads is one setting of the
  whole process. If two fits run at the same time in threads of one process, the one that ends first
  restores the number for both. With threadpoolctl 3.8, moreover, only the first thread that sets
  the number has an effect, until that thread restores it. The other fit may then continue with all
  threads. Its result is correct, but its last bits can differ. To get equal bits, fix the number
  for the whole process: set ``OPENBLAS_NUM_THREADS`` (or the variable of your BLAS) before Python
  starts, or put ``with threadpool_limits(n, user_api="blas"):`` around all fits. The number that is
  restored is never one, so overlapping fits do not leave BLAS limited. Other code can: a
  ``threadpool_limits`` that starts during a fit and ends after it restores the number that it
  found, which is one.
- Ctrl-C may interrupt the end of a limit, before the number is restored. The end can be repeated, so
  a limit is entered twice, ``with limit, limit:``: the outer end does what the inner one has left.
- OpenBLAS does not support a fork while another thread computes: some of the child processes hang
  in their first product, even in a program that uses NumPy alone. A child that is forked while
  another thread runs a fit also stays limited to one BLAS thread. Start processes with ``spawn`` or
  ``forkserver`` (`multiprocessing.set_start_method`), or fork before other threads compute.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Self

# A product with at least this many multiplications is large: it takes half a millisecond on one core.
LARGE = 2**25


class limit_blas(AbstractContextManager["limit_blas"]):
    """Limit BLAS to one thread within the context if all matrix products in it are small.

    The numbers of threads are restored at the end, also after an exception. Nothing is done if BLAS
    has one thread already, as in a nested context, or if threadpoolctl is not installed.

    Parameters
    ----------
    multiplications : float
        Number of multiplications of the largest product, n k m for shapes (n, k) and (k, m).
    """

    def __init__(self, multiplications: float) -> None:
        self.small = multiplications < LARGE
        self._limits: list[Any] = []  # those that are not restored yet

    def __enter__(self) -> Self:
        try:
            for library in _libraries("scipy.linalg" in sys.modules) if self.small else ():
                if library.lib_controllers[0].num_threads == 1:
                    continue
                # Another thread may set the number between any two of these lines. The number found
                # here is restored, unless it is one.
                found = library.limit()  # sets nothing
                if found.get_original_num_threads()["blas"] > 1:
                    self._limits.append(found)
                    found.__enter__()
                    library.limit(limits=1, user_api="blas")
            return self
        except BaseException:
            try:
                self.__exit__()
            finally:
                self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        while self._limits:
            self._limits[-1].__exit__(None, None, None)
            self._limits.pop()


@cache
def _libraries(scipy: bool) -> Sequence[Any]:
    """Return a threadpoolctl controller for each BLAS library in the process.

    The search takes 3 ms, so it is done once per process, and a second time only if SciPy, which
    has its own BLAS library, is loaded after the first.
    """
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:  # scikit-learn requires it, the core does not
        return []
    blas = ThreadpoolController().select(user_api="blas")
    return [blas.select(filepath=library.filepath) for library in blas.lib_controllers]
