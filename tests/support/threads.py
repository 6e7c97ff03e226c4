"""Threads that start at the same time, and the number of BLAS threads."""

import threading

from threadpoolctl import threadpool_info


def at_once(calls):
    """Run the calls in threads that start at the same time; return their results or exceptions."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(i):
        barrier.wait()
        try:
            results[i] = calls[i]()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def blas():
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]
