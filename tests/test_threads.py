"""Threads: BLAS has one, and afterwards what it had; large products are shared, and their bits are not."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tinyclf import Dense, Identity, Network, SoftmaxCrossEntropy, TinyClassifier, _threads, train
from tinyclf._threads import _LARGE, _PART, _TINY, one_thread, product
from tinyclf.lbfgs import minimise


class Library:
    """A BLAS library that notes what it is told."""

    user_api = "blas"

    def __init__(self, n):
        self.num_threads = n
        self.told = []

    def set_num_threads(self, n):
        self.num_threads = n
        self.told.append(n)


@pytest.fixture
def libraries(monkeypatch):
    found = [Library(8), Library(1), Library(3)]
    monkeypatch.setattr(_threads, "_libraries", lambda scipy: (found, []))
    return found


def numbers(libraries):
    return [library.num_threads for library in libraries]


def blas():
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


class Notes(Identity):
    """A layer that notes how many threads BLAS has while it works, and may fail."""

    def __init__(self, fails=False):
        self.seen = []
        self.fails = fails

    def __deepcopy__(self, memo):
        return self  # what a copy sees is noted, too

    def forward(self, p, t):
        self.seen.append(blas())
        if self.fails:
            raise ZeroDivisionError
        super().forward(p, t)


def test_blas_has_one_thread_unless_it_takes_no_more_by_itself(libraries):
    for size, expected in ((np.inf, [1, 1, 1]), (_TINY + 1, [1, 1, 1]), (_TINY, [8, 1, 3])):
        with one_thread(size):
            assert numbers(libraries) == expected
        assert numbers(libraries) == [8, 1, 3]
    assert libraries[1].told == []  # it has no threads to lose


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 30])
def test_what_blas_does_by_itself_with_few_multiplications_has_the_same_bits(two_threads, n, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(n, _TINY // n)).astype(dtype), rng.normal(size=(_TINY // n, 1)).astype(dtype)
    alone = a @ b
    with one_thread():
        np.testing.assert_array_equal(a @ b, alone)


def test_the_numbers_are_back_after_an_exception(libraries):
    with pytest.raises(KeyboardInterrupt), one_thread():
        raise KeyboardInterrupt
    assert numbers(libraries) == [8, 1, 3]


def test_the_last_one_out_restores(libraries):
    # The first to come leaves first: limits that each restore what they found would end at one thread.
    first, second = one_thread(), one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert numbers(libraries) == [1, 1, 1]
    second.__exit__(None, None, None)
    assert numbers(libraries) == [8, 1, 3]


@pytest.mark.parametrize("where", ["_enter", "_leave"])
def test_an_interrupt_on_the_way_in_or_out_is_made_up_for_by_the_next(libraries, where, monkeypatch):
    original = getattr(_threads, where)

    def interrupted(guest):
        monkeypatch.setattr(_threads, where, original)
        if where == "_enter":
            original(guest)
        raise KeyboardInterrupt

    monkeypatch.setattr(_threads, where, interrupted)
    with pytest.raises(KeyboardInterrupt), one_thread():
        pass
    with one_thread():
        assert numbers(libraries) == [1, 1, 1]
    assert numbers(libraries) == [8, 1, 3]


def test_a_child_process_starts_outside(libraries):
    with one_thread():
        _threads._after_fork()  # what a fork would do in the child
        with one_thread():
            assert numbers(libraries) == [1, 1, 1]
        assert numbers(libraries) == [8, 1, 3]


def test_what_others_set_meanwhile_stays(libraries):
    with one_thread():
        libraries[0].set_num_threads(4)
    assert numbers(libraries) == [4, 1, 3]


def test_many_threads_leave_nothing_behind(libraries):
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        for _ in range(200):
            with one_thread():
                assert numbers(libraries) == [1, 1, 1]

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(libraries) == [8, 1, 3]


class LibraryOfThreads(Library):
    """One with a number for each thread."""

    def __init__(self, n):
        self.local, self.n = threading.local(), n

    num_threads = property(lambda self: getattr(self.local, "n", self.n))

    def set_num_threads(self, n):
        self.local.n = n


def test_a_library_with_a_number_per_thread_is_limited_in_each(monkeypatch):
    library, inside = LibraryOfThreads(4), []
    monkeypatch.setattr(_threads, "_libraries", lambda scipy: ([], [library]))
    barrier, outside = threading.Barrier(3), []

    def work():
        with one_thread():
            with one_thread():
                inside.append(library.num_threads)
            inside.append(library.num_threads)
            barrier.wait()
        outside.append(library.num_threads)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert library.num_threads == 4  # here nobody has asked for one
    barrier.wait()
    for thread in threads:
        thread.join()
    assert (inside, outside) == ([1] * 4, [4] * 2)


@pytest.fixture
def two_threads():
    """BLAS with two threads, on a machine of one core, too."""
    with threadpool_limits(2, user_api="blas"):
        if 2 not in blas():
            pytest.skip("this BLAS library has no threads")
        yield


def test_every_thread_can_limit_blas_and_the_last_one_out_restores(two_threads):
    # threadpoolctl 3.8 ignores all threads but the first that has set a number, for as long as it lives.
    before, seen, outside, inside = blas(), [], threading.Event(), threading.Event()

    def work():
        with one_thread():
            inside.set()
            outside.wait()
            seen.append(blas())

    with one_thread():
        assert blas() == [1] * len(before)
    for alone in (True, False):
        thread = threading.Thread(target=work)
        inside.clear()
        outside.clear()
        if alone:
            thread.start()
            inside.wait()
        else:
            with one_thread():
                thread.start()
                inside.wait()
        assert blas() == [1] * len(before)
        outside.set()
        thread.join()
        assert blas() == before
    assert seen == [[1] * len(before)] * 2
    with threadpool_limits(1, user_api="blas"):  # nor do others lose their say
        assert blas() == [1] * len(before)
    assert blas() == before


@pytest.mark.parametrize("units", [3, _LARGE // 40_000 + 1])
def test_training_has_one_thread_and_what_is_between_epochs_all(two_threads, units):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 200)), rng.integers(2, size=200)
    notes = Notes()
    before = blas()
    for _ in train(Network([Dense(units), notes], 200, seed=0), X, y, epochs=2, batch_size=200):
        assert blas() == before
    assert notes.seen == [[1] * len(before)] * 2


def test_lbfgs_has_one_thread_too_where_no_estimator_calls_it(two_threads):
    notes, before = Notes(), blas()
    network = Network([Dense(2), notes], 1, seed=0)
    minimise(network, [[0.0], [1.0]], [0, 1], loss=SoftmaxCrossEntropy(), after=lambda epoch: False)
    assert notes.seen[0] == [1] * len(before)
    assert blas() == before


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_estimator_leaks_no_limit(two_threads, solver):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 40)), rng.integers(2, size=300)
    notes, before = Notes(), blas()
    model = TinyClassifier(60, activation=[[notes]], solver=solver, max_iter=2, random_state=0)
    model.set_params(learning_rate="linear", early_stopping=False, max_fun=3)
    if solver == "lbfgs":
        with pytest.warns(match="lbfgs stopped"):
            model.fit(X, y)
    else:
        model.fit(X, y)
    assert blas() == before
    model.predict_proba(X)
    assert blas() == before
    assert notes.seen[-1] == [1] * len(before)
    notes.fails = True
    for call in (lambda: model.predict(X), lambda: model.fit(X, y)):
        with pytest.raises(ZeroDivisionError):
            call()
        assert blas() == before


# --- large products ---------------------------------------------------------------------------------------

LARGE = [(700, 300, 200), (200, 300, 700), (2 * _PART, 600, 2 * _PART), (6000, 600, 10)]


def factors(shape, dtype="float32", seed=0):
    n, k, m = shape
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [*LARGE, (2, 3, 4), (2 * _PART - 1, 300, 300)])
def test_a_product_is_the_product(two_threads, shape, dtype):
    a, b = factors(shape, dtype)
    out = np.full((len(a), b.shape[1]), np.nan, dtype)
    wide_a, wide_b = a.astype(float), b.astype(float)
    bound = 2 * shape[1] * np.finfo(dtype).eps * (abs(wide_a) @ abs(wide_b))
    for x, y in ((a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b))):
        with one_thread():
            product(x, y, out)
        assert (abs(out - wide_a @ wide_b) <= bound).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", LARGE)
def test_the_bits_of_a_product_do_not_depend_on_the_number_of_threads(shape, dtype):
    a, b = factors(shape, dtype)
    outs = []
    for n in (1, 2, 3, 7):
        with threadpool_limits(n, user_api="blas"), one_thread():
            outs.append(np.empty((len(a), b.shape[1]), dtype))
            product(a, b, outs[-1])
    for out in outs[1:]:
        np.testing.assert_array_equal(out, outs[0])


@pytest.fixture
def workers(monkeypatch):
    """The threads that compute parts, each of which takes so long that all come to one."""
    seen = []

    def matmul(a, b, out):
        seen.append(threading.current_thread().name)
        threading.Event().wait(0.02)
        return original(a, b, out=out)

    original = np.matmul
    monkeypatch.setattr(np, "matmul", matmul)
    return seen


def test_a_large_product_is_shared_among_as_many_threads_as_blas_had(libraries, workers):
    a, b = factors((9 * _PART, 20, 1000))
    out = np.empty((len(a), b.shape[1]), "f4")
    libraries[:] = [Library(1), Library(3)]
    with one_thread():
        product(a, b, out)
    assert len(workers) == 9
    assert len(set(workers)) == min(3, _threads._pool()._max_workers + 1)
    libraries[:] = [Library(1)]
    workers.clear()
    with one_thread():
        product(a, b, out)
    assert set(workers) == {threading.current_thread().name}


def test_who_shares_a_product_ignores_what_the_caller_ignores_and_fails_as_the_caller(libraries, monkeypatch):
    a, b = factors((3 * _PART, 100, 500))
    out, states = np.empty((len(a), b.shape[1]), "f4"), []
    main = threading.current_thread()

    def matmul(a, b, out):
        states.append(np.geterr()["over"])
        if threading.current_thread() is not main:
            raise MemoryError
        threading.Event().wait(0.05)

    monkeypatch.setattr(np, "matmul", matmul)
    with np.errstate(over="ignore"), one_thread(), pytest.raises(MemoryError):
        product(a, b, out)
    assert len(states) >= 2
    assert set(states) == {"ignore"}


def test_a_helper_that_starts_although_no_thread_could_be_made_is_waited_for(libraries, monkeypatch):
    # A pool that cannot make a thread raises an error, and leaves the work to the threads that it has.
    a, b = factors((3 * _PART, 100, 500))
    out, started, original = np.full((len(a), b.shape[1]), np.nan, "f4"), threading.Event(), np.matmul
    main = threading.current_thread()

    class Full:
        def submit(self, *call):
            threading.Thread(target=call[0], args=call[1:]).start()
            assert started.wait(10)
            raise RuntimeError("can't start new thread")

    def matmul(a, b, out):
        if threading.current_thread() is not main:
            started.set()
            threading.Event().wait(0.1)
        original(a, b, out=out)

    monkeypatch.setattr(_threads, "_pool", Full)
    monkeypatch.setattr(np, "matmul", matmul)
    with one_thread():
        product(a, b, out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-3, atol=1e-3)


def test_a_thread_that_outlives_the_main_one_and_a_fork_compute_large_products():
    code = """
import os, sys, threading, time
import numpy as np
from threadpoolctl import threadpool_limits
from tinyclf._threads import one_thread, product
a, b = np.ones((700, 300), "f4"), np.ones((300, 200), "f4")
def work():
    out = np.zeros((700, 200), "f4")
    with one_thread():
        product(a, b, out)
    return (out == 300).all()
threadpool_limits(2, user_api="blas")
assert work()
if hasattr(os, "fork"):
    import warnings; warnings.simplefilter("ignore")  # of a fork beside threads
    if (child := os.fork()) == 0:
        os._exit(0 if work() else 1)
    assert os.waitpid(child, 0)[1] == 0
def later():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    print(work())
threading.Thread(target=later).start()
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout, run.stderr, run.returncode) == ("True\n", "", 0)
