"""Count child processes that hang after a fork. tests/nn/test_threads.py runs this script.

Each trial is a process in which one thread computes repeatedly while the main thread forks once; the child
computes, too. Prints the number of trials that did not end in time, with bare matrix products and with
predictions, and the number of all trials of each kind.
"""

import os
import signal
import sys
import threading
import time

import numpy as np
from threadpoolctl import threadpool_limits

from tinyclf import Dense, Network

TRIALS, AT_ONCE, SECONDS = 24, 6, 2.0

network = Network([Dense(100)], 64, seed=0)
A = np.random.default_rng(0).normal(size=(200, 64)).astype("f4")
W = network.parameters[0].W


def trial(work):
    """Fork while another thread computes half of the time."""

    def compute():
        while True:
            start = time.perf_counter()
            work()
            time.sleep(time.perf_counter() - start)

    threadpool_limits(int(sys.argv[1]), user_api="blas")
    work()
    threading.Thread(target=compute, daemon=True).start()
    time.sleep(0.02)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    else:
        work()


def hung(work):
    """Return how many trials do not end in time."""
    n = 0
    for _ in range(TRIALS // AT_ONCE):
        trials = []
        for _ in range(AT_ONCE):
            if (pid := os.fork()) == 0:
                os.setpgid(0, 0)  # to be killed with its child
                trial(work)
                os._exit(0)
            trials.append(pid)
        end = time.monotonic() + SECONDS
        ended = set()
        while len(ended) < AT_ONCE and time.monotonic() < end:
            for pid in set(trials) - ended:
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    ended.add(pid)
            time.sleep(0.01)
        n += AT_ONCE - len(ended)
        for pid in trials:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return n


if __name__ == "__main__":
    print(hung(lambda: A @ W), hung(lambda: network.logits(A)), TRIALS)
