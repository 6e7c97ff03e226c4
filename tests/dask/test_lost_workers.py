"""Workers that die in the middle of a fit, in processes of their own."""

import os
import signal

import numpy as np
import pytest

from tests.support.collections import array_of, chunked
from tests.support.data import DIGITS, NUMBERS
from tinyclf.dask import DaskTinyClassifier, cluster

pytestmark = pytest.mark.processes
PARTS = [slice(start, start + 100) for start in range(0, 600, 100)]


@pytest.fixture(scope="module")
def client():
    """The client of three workers in processes, which a nanny restarts."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0") as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def killing(client, monkeypatch):
    """Return a function; after it is called, the owner of a part is killed in the third average of a fit."""

    def prepare():
        results, calls = cluster.Tasks.results, []

        def killed(self, futures):
            if futures[0].key.startswith("averaged"):
                calls.append(futures)
                if len(calls) == 3:
                    keys = {str(key): workers for key, workers in client.who_has().items()}
                    owner = next(workers[0] for key, workers in keys.items() if key.startswith("prepare-"))
                    os.kill(client.run(os.getpid)[owner], signal.SIGKILL)
            return results(self, futures)

        monkeypatch.setattr(cluster.Tasks, "results", killed)

    yield prepare
    client.wait_for_workers(3)


def quick(client):
    return DaskTinyClassifier(client=client, max_iter=5, hidden_layer_sizes=20, random_state=0)


def test_a_fit_that_loses_a_worker_gives_the_same_bits(client, killing):
    X, y = chunked(DIGITS), chunked(NUMBERS)
    expected = quick(client).fit(X, y)
    killing()
    model = quick(client).fit(X, y)
    np.testing.assert_array_equal(model.network_.theta, expected.network_.theta)
    assert model.loss_curve_ == expected.loss_curve_


def test_rows_that_were_persisted_are_computed_again(client, killing):
    X, y = chunked(DIGITS), chunked(NUMBERS)
    expected = quick(client).fit(X, y)
    X, y = client.persist([X, y])
    killing()
    model = quick(client).fit(X, y)
    np.testing.assert_array_equal(model.network_.theta, expected.network_.theta)


def test_rows_that_were_scattered_and_lost_are_left_out_with_a_warning(client, killing):
    rows = client.scatter([DIGITS[part] for part in PARTS])
    X = array_of(rows, meta=DIGITS[:0])
    killing()
    with pytest.warns(RuntimeWarning, match=r"a worker was lost in epoch 3, .* rows of 2 of 3 workers"):
        model = quick(client).fit(X, chunked(NUMBERS))
    assert len(model.loss_curve_) == 5
    assert model.to_local().score(DIGITS, NUMBERS) > 0.8
