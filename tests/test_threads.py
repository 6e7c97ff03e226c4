"""BLAS threads: one for small products, all for large ones, and afterwards what they were."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tinyclf import Dense, Identity, Network, TinyClassifier, _threads, train
from tinyclf._threads import _LARGE, _TINY, suited

SMALL = (_LARGE + _TINY) // 2


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
    monkeypatch.setattr(_threads, "_libraries", lambda: found)
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

    def forward(self, p, t):
        self.seen.append(blas())
        if self.fails:
            raise ZeroDivisionError
        super().forward(p, t)


def test_small_products_have_one_thread_and_others_what_there_is(libraries):
    for size, expected in ((SMALL, [1, 1, 1]), (_LARGE, [8, 1, 3]), (_TINY, [8, 1, 3])):
        with suited(size):
            assert numbers(libraries) == expected
        assert numbers(libraries) == [8, 1, 3]
    assert libraries[1].told == []  # it has no threads to lose


def test_the_numbers_are_back_after_an_exception(libraries):
    with pytest.raises(KeyboardInterrupt), suited(SMALL):
        raise KeyboardInterrupt
    assert numbers(libraries) == [8, 1, 3]


def test_the_last_one_out_restores(libraries):
    # The first to come leaves first: limits that each restore what they found would end at one thread.
    first, second = suited(SMALL), suited(SMALL)
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
    with pytest.raises(KeyboardInterrupt), suited(SMALL):
        pass
    with suited(SMALL):
        assert numbers(libraries) == [1, 1, 1]
    assert numbers(libraries) == [8, 1, 3]


def test_a_child_process_starts_outside(libraries):
    with suited(SMALL):
        _threads._after_fork()  # what a fork would do in the child
        with suited(SMALL):
            assert numbers(libraries) == [1, 1, 1]
        assert numbers(libraries) == [8, 1, 3]


def test_what_others_set_meanwhile_stays(libraries):
    with suited(SMALL):
        libraries[0].set_num_threads(4)
    assert numbers(libraries) == [4, 1, 3]


def test_many_threads_leave_nothing_behind(libraries):
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        for _ in range(200):
            with suited(SMALL):
                assert numbers(libraries) == [1, 1, 1]

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(libraries) == [8, 1, 3]


@pytest.fixture
def two_threads():
    """BLAS with two threads, on a machine of one core, too."""
    with threadpool_limits(2, user_api="blas"):
        if 2 not in blas():
            pytest.skip("this BLAS library has no threads")
        yield


@pytest.mark.parametrize(("width", "one"), [(100, True), (_LARGE // 400 + 1, False)])
def test_training_has_one_thread_where_its_products_are_small(two_threads, width, one):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, width)), rng.integers(2, size=200)
    notes = Notes()
    before = blas()
    for _ in train(Network([Dense(2), notes], width, seed=0), X, y, epochs=2, batch_size=200):
        assert blas() == before  # between epochs, too: a caller's own work has all threads
    assert (notes.seen == [[1] * len(before)] * 2) == one


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
