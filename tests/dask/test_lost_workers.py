"""Fits on workers that are processes: one that dies in the middle, and what comes back from them."""

import os
import signal
from contextlib import contextmanager

import numpy as np
import pytest

from tests.support.collections import array_of, chunked
from tests.support.data import DIGITS, NUMBERS
from tinyclf import DivergenceError, TinyClassifier
from tinyclf.dask import DaskTinyClassifier, cluster

pytestmark = pytest.mark.processes
PARTS = [slice(start, start + 100) for start in range(0, 600, 100)]
SETTINGS = {"max_iter": 5, "hidden_layer_sizes": 20, "random_state": 0}


@contextmanager
def processes():
    """Give the client of three workers in processes, which a nanny restarts."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0") as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def client():
    """The client of a cluster for one test, since a worker that was killed may or may not come back."""
    with processes() as client:
        yield client


@pytest.fixture(scope="module")
def expected():
    """The model of a fit that loses no worker."""
    with processes() as client:
        return quick(client).fit(chunked(DIGITS), chunked(NUMBERS))


@pytest.fixture
def killing(client, monkeypatch):
    """Return a function; after it is called, a worker is killed before the client gets the result of tasks.

    Its arguments are the function of these tasks, which of their calls it is, and the function of a task
    whose result the killed worker has.
    """
    results = cluster.Tasks.results

    def prepare(function, number, owned):
        calls = []

        def killed(self, futures):
            if futures[0].key.startswith(function):
                calls.append(futures)
                if len(calls) == number:
                    keys = {str(key): workers for key, workers in client.who_has().items()}
                    owner = next(workers[0] for key, workers in keys.items() if key.startswith(owned))
                    os.kill(client.run(os.getpid)[owner], signal.SIGKILL)
            return results(self, futures)

        monkeypatch.setattr(cluster.Tasks, "results", killed)
        return calls

    return prepare


def quick(client, **parameters):
    return DaskTinyClassifier(client=client, **{**SETTINGS, **parameters})


def scattered(client):
    """Rows that were sent to the workers, to each those that it reads."""
    workers = sorted(client.nthreads())
    rows = [client.scatter(DIGITS[part], workers=[workers[i % 3]]) for i, part in enumerate(PARTS)]
    return array_of(rows, meta=DIGITS[:0])


@pytest.mark.parametrize(
    ("function", "number", "owned"),
    [("facts", 1, "read-"), ("averaged", 3, "prepare-"), ("averaged", 8, "prepare-")],
    ids=["facts", "search", "refit"],
)
def test_a_fit_that_loses_a_worker_gives_the_same_bits(client, expected, killing, function, number, owned):
    calls = killing(function, number, owned)
    model = quick(client).fit(chunked(DIGITS), chunked(NUMBERS))
    assert len(calls) >= number
    np.testing.assert_array_equal(model.network_.theta, expected.network_.theta)
    assert model.loss_curve_ == expected.loss_curve_


def test_rows_that_were_persisted_are_computed_again(client, expected, killing):
    X, y = client.persist([chunked(DIGITS), chunked(NUMBERS)])
    killing("averaged", 3, "prepare-")
    model = quick(client).fit(X, y)
    np.testing.assert_array_equal(model.network_.theta, expected.network_.theta)


def test_rows_that_were_scattered_and_lost_are_left_out_with_a_warning(client, killing):
    X = scattered(client)
    killing("averaged", 3, "prepare-")
    with pytest.warns(RuntimeWarning, match=r"a worker was lost in epoch 3, .* rows of 2 of 3 workers"):
        model = quick(client).fit(X, chunked(NUMBERS))
    assert len(model.loss_curve_) == 5
    assert model.to_local().score(DIGITS, NUMBERS) > 0.8


def test_rows_that_were_scattered_and_lost_before_the_training_are_an_error(client, killing):
    X = scattered(client)
    killing("facts", 1, "read-")
    with pytest.raises(RuntimeError, match=r"rows were lost with a worker, .* instead of rows .* by scatter"):
        quick(client).fit(X, chunked(NUMBERS))


def test_errors_and_predictions_of_processes_are_those_in_memory(client, expected):
    X, y = chunked(DIGITS), chunked(NUMBERS)
    rates = {"solver": "sgd", "learning_rate_init": 1e6, "scale_inputs": False}
    found = []
    for model, rows, labels in (
        (TinyClassifier(**SETTINGS, **rates), DIGITS, NUMBERS),
        (quick(client, **rates), X, y),
    ):
        with pytest.raises(
            DivergenceError, match=r"training diverged in epoch 1, .* Scale the inputs"
        ) as error:
            model.fit(1e5 * rows, labels)
        found.append(vars(error.value).keys())
    assert found[0] == found[1]
    weights = np.where(np.arange(600) == 220, -1.0, 1.0)
    with pytest.raises(ValueError, match=r"in partition 2: sample_weight must be .*, got -1.0 at row 20"):
        quick(client).fit(X, y, chunked(weights))
    for method in ("predict", "predict_proba"):
        found = client.compute(getattr(expected, method)(X)).result()
        np.testing.assert_allclose(found, getattr(expected.to_local(), method)(DIGITS), atol=1e-6)
