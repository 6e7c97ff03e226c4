"""Threads: a fit with small products has one BLAS thread, and nothing else changes their number."""

import ast
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from sklearn.datasets import load_iris
from threadpoolctl import ThreadpoolController, threadpool_limits

from tests.support.interrupts import moments, traced
from tests.support.threads import blas
from tinyclf import Dense, Identity, Network, SoftmaxCrossEntropy, TinyClassifier, train
from tinyclf.nn import threads
from tinyclf.nn.lbfgs import minimize
from tinyclf.nn.threads import LARGE, limit_blas

pytestmark = [
    pytest.mark.promise("the same seed gives the same bits"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
]


@pytest.fixture
def requested(monkeypatch):
    """The numbers of threads that any code sets."""
    requested = []

    def recording(original):
        def set_num_threads(self, n):
            requested.append(n)
            original(self, n)

        return set_num_threads

    for kind in {type(library) for library in ThreadpoolController().lib_controllers}:
        monkeypatch.setattr(kind, "set_num_threads", recording(kind.set_num_threads))
    return requested


class Recorder(Identity):
    """A layer that records the number of BLAS threads in its forward pass, and may fail."""

    def __init__(self):
        self.seen = []
        self.error = None

    def __deepcopy__(self, memo):
        return self  # copies record into the same list

    def forward(self, p, t):
        self.seen.append(blas())
        if self.error is not None:
            raise self.error
        super().forward(p, t)


def run(code, *arguments, timeout=60, **environment):
    """Run a script in a new process and return what it prints."""
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        env={**os.environ, **environment},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


# --- limit_blas --------------------------------------------------------------------------------------------


def test_small_products_have_one_thread_and_large_ones_all(two_threads):
    before = blas()
    with limit_blas(LARGE - 1):
        assert blas() == [1] * len(before)
    assert blas() == before
    with limit_blas(LARGE):
        assert blas() == before
    assert blas() == before


def test_a_limit_within_another_sets_nothing(two_threads, requested):
    with limit_blas(0):
        assert requested
        requested.clear()
        with limit_blas(0):
            pass
        assert requested == []
    assert set(requested) == {2}


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_numbers_are_restored_after_an_exception(two_threads, error):
    before = blas()
    with pytest.raises(error), limit_blas(0):
        raise error
    assert blas() == before


@pytest.mark.parametrize("method", ["limit", "_set_threadpool_limits", "restore_original_limits", "__exit__"])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("after", [False, True])
def test_ctrl_c_while_a_fit_limits_or_restores_the_numbers_leaves_them_as_they_were(
    method, times, after, two_threads, monkeypatch
):
    # The traceback is kept, so no context is ended because its frame is freed.
    before, left = blas(), [times]
    place = ThreadpoolController if method == "limit" else type(ThreadpoolController().limit())
    original = getattr(place, method)

    def interrupted(*arguments, **options):
        if after or left[0] == 0:
            original(*arguments, **options)
        if left[0]:
            left[0] -= 1
            raise KeyboardInterrupt
        return original(*arguments, **options)

    model = TinyClassifier(3, max_iter=2, random_state=0)
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(place, method, interrupted)
        kept = None
        try:
            model.fit(X, Y)
        except KeyboardInterrupt as error:
            kept = error
    assert left[0] < times
    assert blas() == before
    assert kept is None or kept.__traceback__ is not None
    assert hasattr(model, "_state") or method in ("limit", "_set_threadpool_limits")


@pytest.mark.parametrize("way", ["by_train", "by_lbfgs"])
def test_ctrl_c_at_any_line_of_a_training_restores_the_numbers(way, two_threads):
    before, train = blas(), {"by_train": by_train, "by_lbfgs": by_lbfgs}[way]
    lines, _ = traced(lambda: train(3, Identity()))
    for number in moments(lines, 5, "threads training lbfgs"):
        with np.errstate():  # Ctrl-C may interrupt the end of an np.errstate, too
            traced(lambda: train(3, Identity()), (number,))
        assert blas() == before


def test_overlapping_limits_are_removed(two_threads):
    # The first to start ends first. If each restored what it found, the second would restore one thread.
    before = blas()
    first, second = limit_blas(0), limit_blas(0)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert blas() == before


def test_a_limit_that_starts_during_the_start_of_another_is_removed(two_threads, monkeypatch):
    before, limit, other = blas(), ThreadpoolController.limit, limit_blas(0)
    calls = []

    def interrupted(self, **options):  # another thread starts its limit at the same time
        calls.append(options)
        if len(calls) == 1:
            other.__enter__()
        return limit(self, **options)

    monkeypatch.setattr(ThreadpoolController, "limit", interrupted)
    with limit_blas(0):
        other.__exit__(None, None, None)
    assert len(calls) > 2
    assert blas() == before


def test_limits_of_many_threads_are_removed(two_threads):
    before, interval = blas(), sys.getswitchinterval()
    barrier = threading.Barrier(8)

    def work():
        for _ in range(100):
            barrier.wait()
            with limit_blas(0):
                pass

    workers = [threading.Thread(target=work) for _ in range(8)]
    sys.setswitchinterval(1e-5)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert blas() == before
    with threadpool_limits(1, user_api="blas"):  # others can still set the number
        assert blas() == [1] * len(before)


def test_another_thread_can_set_the_number_after_a_limit_has_ended(two_threads):
    # threadpoolctl 3.8 ignores all threads but the first that has set a number, until it has restored it.
    before, seen, done = blas(), [], threading.Event()

    def fit_and_stay():
        with limit_blas(0):
            seen.append(blas())
        seen.append(blas())
        ready.set()
        done.wait()

    threadpoolctl_forgets()
    ready, worker = threading.Event(), threading.Thread(target=fit_and_stay)
    worker.start()
    ready.wait()
    try:
        assert seen == [[1] * len(before), before]
        with limit_blas(0):
            assert blas() == [1] * len(before)
    finally:
        done.set()
        worker.join()


def threadpoolctl_forgets():
    """Let another thread set the numbers; a fixture has made this thread the one that may."""
    for library in ThreadpoolController().lib_controllers:
        getattr(library, "clear_controlling_thread", lambda force: None)(force=True)


def test_the_libraries_are_looked_up_once(looked_up, monkeypatch):
    made = []

    class Counted(ThreadpoolController):
        def __init__(self):
            made.append(self)
            super().__init__()

    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", Counted)
    X, y = load_iris(return_X_y=True)
    for solver in ("adam", "lbfgs"):
        model = TinyClassifier(5, solver=solver, max_iter=3, random_state=0).fit(X, y)
        model.predict(X)
    TinyClassifier(5).partial_fit(X, y, classes=range(3))
    assert len(made) == 1


@pytest.fixture
def looked_up():
    """Forget the libraries that were found, before and after the test."""
    threads._libraries.cache_clear()
    yield threads._libraries.cache_info
    threads._libraries.cache_clear()


def test_the_libraries_are_looked_up_again_after_scipy_is_loaded(looked_up, monkeypatch):
    # The core does not import SciPy, which has its own BLAS library.
    with monkeypatch.context() as before:
        before.delitem(sys.modules, "scipy.linalg")
        for _ in range(2):
            with limit_blas(0):
                pass
    assert looked_up().misses == 1
    for _ in range(2):
        with limit_blas(0):
            pass
    assert looked_up().misses == 2


@pytest.mark.processes
def test_a_library_that_is_loaded_later_is_found():
    code = """
import sys, numpy as np
import tinyclf, tinyclf.nn.threads
from threadpoolctl import ThreadpoolController, threadpool_info
with tinyclf.nn.threads.limit_blas(0): pass
assert "scipy" not in sys.modules
import scipy.linalg
ThreadpoolController().limit(limits=2, user_api="blas")
with tinyclf.nn.threads.limit_blas(0):
    print({x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"})
print(tinyclf.nn.threads._libraries.cache_info().misses)
"""
    assert run(code, TINYCLF_FAST="0") == "{1}\n2\n"


def test_the_core_trains_without_threadpoolctl(looked_up, monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    epochs = train(Network([Dense(2)], 1, seed=0), [[0.0], [1.0]], [0, 1], epochs=2)
    assert next(epochs).loss > next(epochs).loss
    assert looked_up().misses == 1


# --- fits --------------------------------------------------------------------------------------------------

# Products of batches of 256 rows with 128 columns: the second network's has as many multiplications as the
# limit, which is lowered to save time.
SMALL, WIDE = 7, 8
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(400, 128)).astype("f4"), rng.integers(2, size=400)


@pytest.fixture
def lowered(monkeypatch):
    monkeypatch.setattr(threads, "LARGE", 256 * 128 * WIDE)


def by_train(units, recorder):
    for _ in train(Network([Dense(units), recorder], 128, seed=0), X, Y, epochs=2, batch_size=256):
        assert 2 in blas()  # between the epochs the number is the caller's


def by_lbfgs(units, recorder):
    network = Network([Dense(units), recorder, Dense(2)], 128, seed=0)
    rows = np.arange(256)
    loss = SoftmaxCrossEntropy()
    minimize(network, X, Y, rows=rows, loss=loss, after=lambda epoch: False, max_iter=2)


def estimator(units, recorder, **parameters):
    def scorer(model, X, y):
        recorder.seen.append(blas())
        return 0.5

    return TinyClassifier(
        units,
        activation=[[recorder]],
        batch_size=256,
        max_iter=2,
        scoring=scorer,
        random_state=0,
        **parameters,
    )


def by_fit(units, recorder):
    estimator(units, recorder).fit(X, Y, X_val=X, y_val=Y)


def by_fit_lbfgs(units, recorder):
    estimator(units, recorder, solver="lbfgs", max_fun=4).fit(X[:256], Y[:256])


def by_partial_fit(units, recorder):
    estimator(units, recorder).partial_fit(X, Y, classes=[0, 1], X_val=X, y_val=Y)


WAYS = [by_train, by_lbfgs, by_fit, by_fit_lbfgs, by_partial_fit]


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_with_small_products_has_one_thread(two_threads, lowered, way):
    recorder, before = Recorder(), blas()
    way(SMALL, recorder)
    assert len(recorder.seen) >= 2
    assert recorder.seen == [[1] * len(before)] * len(recorder.seen)
    assert blas() == before


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_with_large_products_does_not_set_the_number(two_threads, lowered, requested, way):
    recorder, before = Recorder(), blas()
    way(WIDE, recorder)
    assert len(recorder.seen) >= 2
    assert recorder.seen == [before] * len(recorder.seen)
    assert requested == []


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("way", WAYS)
def test_a_fit_that_fails_restores_the_number(two_threads, requested, way, error):
    recorder, before = Recorder(), blas()
    recorder.error = error
    with pytest.raises(error):
        way(3, recorder)
    assert set(requested) == {1, 2}
    assert blas() == before


# --- predictions -------------------------------------------------------------------------------------------


def test_a_prediction_never_sets_the_number(two_threads, lowered, requested):
    for units in (3, WIDE):
        model = TinyClassifier(units, max_iter=1, random_state=0).fit(X, Y)
        requested.clear()
        for predict in (model.predict, model.predict_proba, model.decision_function, model.activations):
            predict(X)
            predict(X[:1])
        model.score(X, Y)
        model.network_.logits(X)
        assert requested == []
    TinyClassifier(3, max_iter=1).fit(X, Y)
    assert requested  # a fit does, so the check above can fail


def test_the_module_imports_nothing_for_locks_pools_or_fork_handlers():
    tree = ast.parse(Path(threads.__file__).read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {
        "__future__",
        "collections",
        "contextlib",
        "functools",
        "sys",
        "threadpoolctl",
        "typing",
    }


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_during_predictions_hangs_no_more_often_than_one_during_products():
    # OpenBLAS itself hangs some children if it has several threads. Three standard deviations of the
    # difference between two such numbers are 10.
    script = (Path(__file__).parents[1] / "support" / "forks.py").read_text()
    products, predictions, _ = map(int, run(script, "2").split())
    assert predictions <= products + 10
    assert run(script, "1").split()[:2] == ["0", "0"]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there are no such signals")
def test_a_signal_handler_may_predict_and_fit_in_the_middle_of_a_fit(two_threads):
    # A lock that the interrupted fit holds would block the handler forever.
    before, seen = blas(), []
    expected = estimator(3, Recorder()).fit(X, Y)

    class Signals(Recorder):
        def forward(self, p, t):
            super().forward(p, t)
            if len(self.seen) == 2:
                signal.raise_signal(signal.SIGUSR1)

    def handler(*_):
        seen.append(expected.predict_proba(X))
        seen.append(estimator(3, Recorder()).fit(X, Y).predict_proba(X))

    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        interrupted = estimator(3, Signals()).fit(X, Y)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert len(seen) == 2
    for p in (*seen, interrupted.predict_proba(X)):
        np.testing.assert_allclose(p, expected.predict_proba(X), rtol=1e-5)
    assert blas() == before


SIGNALS = """
import faulthandler, random, signal, sys, time
import numpy as np
from sklearn.datasets import load_iris
from tinyclf import TinyClassifier
faulthandler.dump_traceback_later(40, exit=True)  # shows where it hangs
X, y = load_iris(return_X_y=True)
model = TinyClassifier(20, max_iter=20, random_state=0).fit(X, y)
labels, probabilities, handled = model.predict(X), model.predict_proba(X), 0
def handler(*_):
    global handled
    handled += 1
    if sys.argv[2] == "fit":
        fit()
    assert (model.predict(X) == labels).all()
    np.testing.assert_allclose(model.predict_proba(X), probabilities, rtol=1e-5, atol=1e-7)
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 3e-3))
def fit():
    other = TinyClassifier(20, max_iter=20, random_state=0).fit(X, y)
    np.testing.assert_allclose(other.predict_proba(X), probabilities, rtol=1e-3, atol=1e-4)
def predict():
    np.testing.assert_allclose(model.predict_proba(X), probabilities, rtol=1e-5, atol=1e-7)
work = {"fit": fit, "predict": predict}[sys.argv[1]]
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 1e-3)
until = time.monotonic() + 3
while time.monotonic() < until:
    work()
signal.setitimer(signal.ITIMER_REAL, 0)
assert handled > (100 if sys.argv[2] == 'predict' else 5), handled
"""


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no timers that send signals")
@pytest.mark.parametrize("during", ["fit", "predict"])
@pytest.mark.parametrize("handler", ["predict", "fit"])
def test_a_signal_handler_may_predict_or_fit_at_any_moment(handler, during):
    # With several BLAS threads, a handler that fits may wait for a lock of threadpoolctl.
    run(SIGNALS, during, handler, **({"OPENBLAS_NUM_THREADS": "1"} if handler == "fit" else {}))
