"""The data set on a cluster as the client sees it: how partitions are distributed, merged and released."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from tests.support.collections import array_of, chunked, frame_of, task_keys
from tests.support.data import DATA, DIGITS, NUMBERS, data_of
from tinyclf import TinyClassifier
from tinyclf.dask import DaskTinyClassifier, cluster
from tinyclf.dask.cluster import ClusterDataset, Parts, Tasks
from tinyclf.estimator.dataset import Dataset
from tinyclf.estimator.plan import loss_for

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")

X, Y = chunked(DIGITS), chunked(NUMBERS)
PARTS = [slice(start, start + 100) for start in range(0, 600, 100)]


def quick(**parameters):
    return DaskTinyClassifier(**{"max_iter": 3, "hidden_layer_sizes": 20, "random_state": 0, **parameters})


def collection(values, cuts):
    """Rows as a Dask array or data frame with partitions between these row numbers."""
    parts = [values[slice(*cut)] for cut in pairwise(cuts)]
    return frame_of(parts) if hasattr(values, "iloc") else array_of(parts)


def soon(condition):
    """Whether a condition becomes true within 20 seconds; results are released asynchronously."""
    for _ in range(400):
        gc.collect()  # an error that a test has caught may hold futures
        if condition():
            return True
        time.sleep(0.05)
    return False


def read(client, tasks, X, y, weight=None, **parameters):
    return ClusterDataset.of(Parts.read(quick(**parameters), tasks, X, y, weight), quick(), None, None, None)


# --- reading -----------------------------------------------------------------------------------------


def test_partitions_are_distributed_over_the_workers_in_turn(client):
    workers = sorted(client.nthreads())
    with Tasks(client) as tasks:
        parts = cluster.partitions_of(X, Y)
        groups = cluster.read(tasks, TinyClassifier(), parts)
        distributed.wait(groups)
        owners = [owner for group in groups for owner in client.who_has([group])[group.key]]
        assert [[part.number for part in group] for group in client.gather(groups)] == [[0, 2, 4], [1, 3, 5]]
        assert owners == workers
        assert len(cluster.read(tasks, TinyClassifier(), parts[:1])) == 1
    assert soon(lambda: not task_keys(client))


# The scheduler of Dask cannot send a name with half of a surrogate pair.
KINDS = [name for name in DATA if name not in ("frame", "table, odd names", "soft, None")]


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_data_is_read_as_in_memory(client, name):
    rows, y, parameters = data_of(name)
    y = y if hasattr(y, "iloc") or scipy.sparse.issparse(y) else np.asarray(y)
    n = rows.shape[0]
    weight = np.random.default_rng(0).integers(0, 3, n).astype(float)
    model = TinyClassifier(**parameters)
    expected = Dataset.read(model, rows, y, weight, None, None, None)
    loss = loss_for(expected.labels, "log_loss", 0.0)
    n_outputs = expected.labels.n_outputs(loss)
    with dask.config.set({"dataframe.convert-string": False}), Tasks(client) as tasks:
        cuts = [0, n // 5, n // 5, n // 2, n]
        collections = [collection(values, cuts) for values in (rows, y, weight)]
        data = read(client, tasks, *collections, **parameters)
        assert (data.n_given, data.n_rows, data.dtype) == (n, np.count_nonzero(weight), expected.dtype)
        np.testing.assert_array_equal(data.labels.classes, expected.labels.classes)
        assert data.encoding.names(None).tolist() == expected.encoding.names(None).tolist()
        assert (data.parts.factors is None) == (expected.class_factor is None)
        if data.parts.factors is not None:
            np.testing.assert_allclose(data.parts.factors, expected.class_factors(model.class_weight))
        prior = data.prior_logits(loss, n_outputs)
        np.testing.assert_allclose(prior, expected.prior_logits(loss, n_outputs), rtol=1e-12)
        if parameters.get("scale_inputs", True):
            found, wanted = data.scaling(None, np.inf), expected.scaling(None, np.inf)
            assert found.centered == wanted.centered
            np.testing.assert_allclose(found.total_weight, wanted.total_weight, rtol=1e-12)
            low, high = wanted.points[0], wanted.points[-1]
            assert ((found.center >= low) & (found.center <= high) | (found.center == wanted.center)).all()


def test_the_client_has_a_sample_of_rows_of_positive_weight(client):
    numbered = np.arange(600.0)[:, None]
    weight = (np.arange(600) % 3 > 0).astype(float)
    with Tasks(client) as tasks:
        data = read(client, tasks, chunked(numbered), Y, chunked(weight), scale_inputs=False)
        rows = data.X[:, 0].astype(int)
        assert len(rows) == len({*rows.tolist()}) == 40  # a tenth of those of positive weight
        assert weight[rows].all()
        np.testing.assert_array_equal(data.labels.classes[data.targets], NUMBERS[rows])
        assert {row // 100 for row in rows} == {*range(6)}


def test_a_validation_set_can_be_a_dask_collection(client):
    rows, y = DIGITS[:150], NUMBERS[:150]
    expected = quick(scoring="accuracy").fit(X, Y, X_val=rows, y_val=y)
    model = quick(scoring="accuracy").fit(X, Y, X_val=chunked(rows), y_val=chunked(y))
    assert model.validation_scores_ == expected.validation_scores_
    assert model.plan_.n_validation == 150
    best = model.to_local().score(rows, y)
    assert model.best_validation_score_ == pytest.approx(best, abs=1e-12)


# --- other clusters ----------------------------------------------------------------------------------


@pytest.fixture
def changing():
    """The client of a cluster whose workers a test may change."""
    workers = distributed.LocalCluster(
        processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0"
    )
    with workers, distributed.Client(workers, set_as_default=False) as client:
        yield client


def before_epoch(monkeypatch, number, action):
    """Call a function before an epoch of each fit."""
    epoch = cluster.ClusterTrainer._epoch

    def changed(self, training, done, refit):
        if done == number and not refit:
            action()
        return epoch(self, training, done, refit)

    monkeypatch.setattr(cluster.ClusterTrainer, "_epoch", changed)


@pytest.mark.parametrize("change", ["one leaves", "two join"])
def test_workers_that_leave_or_join_do_not_change_the_bits(changing, monkeypatch, change):
    expected = quick(client=changing).fit(X, Y)

    def leave():
        changing.retire_workers([sorted(changing.nthreads())[0]])

    def join():
        changing.cluster.scale(4)
        changing.wait_for_workers(4, timeout=30)

    before_epoch(monkeypatch, 1, leave if change == "one leaves" else join)
    model = quick(client=changing).fit(X, Y)
    assert len(changing.nthreads()) == (1 if change == "one leaves" else 4)
    np.testing.assert_array_equal(model.network_.theta, expected.network_.theta)
    assert model.loss_curve_ == expected.loss_curve_
    assert soon(lambda: not task_keys(changing))


def test_a_client_that_is_closed_during_a_fit_leaves_the_earlier_model(changing, monkeypatch):
    model = quick(client=changing).fit(X, Y)
    theta = model.network_.theta.copy()
    before_epoch(monkeypatch, 1, changing.close)
    with pytest.raises(Exception, match=r"Client is closed|the client is closed"):
        model.fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, theta)
    np.testing.assert_array_equal(model.predict(X).compute(scheduler="threads"), model.predict(DIGITS))


def test_more_workers_than_partitions_or_rows_are_accepted(changing):
    changing.cluster.scale(4)
    changing.wait_for_workers(4, timeout=30)
    assert quick(client=changing).fit(X[:3].rechunk(1), Y[:3].rechunk(1)).plan_.n_train == 3
    two = quick(client=changing).fit(X.rechunk((300, 64)), Y.rechunk(300))
    assert two.plan_.n_train + two.plan_.n_validation == 600
    assert two.score(X, Y) > 0.7


# --- what a fit leaves -------------------------------------------------------------------------------


def test_simultaneous_fits_on_one_client_do_not_change_each_other(client):
    expected = [quick(random_state=seed).fit(X, Y).network_.theta for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda seed: quick(random_state=seed).fit(X, Y).network_.theta, range(3))
        for theta, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(theta, wanted)


def test_collections_of_the_user_stay_on_the_cluster_unchanged(client):
    rows, y = client.persist([chunked(DIGITS.copy()), Y])
    distributed.wait([rows, y])
    mine = {*task_keys(client)}
    quick().fit(rows, y).score(rows, y)
    with pytest.raises(ValueError, match="continuous"):
        quick().fit(rows, y + 0.5)
    assert soon(lambda: {*task_keys(client)} == mine)
    np.testing.assert_array_equal(rows.compute(), DIGITS)
    np.testing.assert_array_equal(y.compute(), NUMBERS)


def test_an_error_of_a_partition_of_the_user_is_passed_on(client):
    @dask.delayed
    def broken():
        raise OSError("the disk is gone")

    parts = [*map(dask.delayed, (DIGITS[part] for part in PARTS[1:])), broken()]
    rows = pytest.importorskip("dask.array").concatenate(
        [pytest.importorskip("dask.array").from_delayed(part, (100, 64), float) for part in parts]
    )
    model = quick()
    with pytest.raises(OSError, match="the disk is gone"):
        model.fit(rows, Y)
    assert not hasattr(model, "n_features_in_")
    del rows, parts
    assert soon(lambda: not task_keys(client))


def test_ctrl_c_before_the_first_epoch_ends_keeps_an_earlier_model(client, monkeypatch):
    model = quick().fit(X, Y)
    theta = model.network_.theta.copy()

    def interrupt():
        raise KeyboardInterrupt

    before_epoch(monkeypatch, 0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, theta)
    assert soon(lambda: not task_keys(client))


def test_a_partition_of_data_frames_is_not_changed(client):
    frame = pd.DataFrame({"a": DIGITS[:, 20], "b": np.where(NUMBERS > 4, "x", None)})
    before = frame.copy()
    quick().fit(frame_of([frame[part] for part in PARTS]), Y)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("kind", ["files", "shuffled", "filtered"])
def test_a_prediction_right_after_a_fit_leaves_no_tasks(client, tmp_path, kind):
    dd = pytest.importorskip("dask.dataframe")
    table = pd.DataFrame(DIGITS).add_prefix("pixel").assign(y=NUMBERS)
    frame = dd.from_pandas(table, npartitions=6)
    if kind == "files":
        frame.to_csv(tmp_path / "*.csv", index=False)
        frame = dd.read_csv(tmp_path / "*.csv")
    frame = (
        frame.shuffle("pixel20")
        if kind == "shuffled"
        else frame[frame["pixel20"] > 0.1]
        if kind == "filtered"
        else frame
    )
    rows = frame.drop(columns="y")
    for _ in range(2):
        model = quick().fit(rows, frame["y"])
        model.score(rows, frame["y"])
        assert model.predict(rows).compute().shape == (430 if kind == "filtered" else 600,)
    assert soon(lambda: not task_keys(client))
