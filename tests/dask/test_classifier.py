"""DaskTinyClassifier: fits on a cluster in this process, what they refuse, and predictions."""

import gc
import inspect
import pickle
import re
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

from tests.support.collections import array_of, chunked, frame_of, task_keys
from tests.support.data import DIGITS, NUMBERS
from tinyclf import SKLEARN_DEFAULTS, Checkpoint, DivergenceError, TinyClassifier, TrainingWarning, load
from tinyclf.dask import DaskTinyClassifier, cluster

pytest.importorskip("distributed")

X, Y, W = chunked(DIGITS), chunked(NUMBERS), np.random.default_rng(0).uniform(0.5, 2.0, 600)
TABLE = pd.DataFrame(DIGITS[:, 18:24]).add_prefix("pixel")
TABLE["size"] = np.where(NUMBERS > 4, "large", "small")
TABLE.loc[::7, "pixel0"] = np.nan
PARTS = [slice(start, start + 100) for start in range(0, 600, 100)]
SETS = np.stack([NUMBERS % 2, NUMBERS > 4, NUMBERS == 3], axis=1).astype(int)
SOFT = 0.9 * np.eye(10)[NUMBERS] + 0.01


def quick(**parameters):
    return DaskTinyClassifier(**{"max_iter": 3, "hidden_layer_sizes": 20, "random_state": 0, **parameters})


def frames(table=TABLE):
    """A table and its labels as Dask collections."""
    return frame_of([table[part] for part in PARTS]), frame_of([pd.Series(NUMBERS[part]) for part in PARTS])


@pytest.fixture(scope="module")
def fitted(client):
    return quick().fit(X, Y)


def check_nothing_is_left(client):
    """Fail unless the scheduler soon has no tasks; results are released asynchronously."""
    for _ in range(400):
        gc.collect()  # an error that a test has caught may hold futures
        if not task_keys(client):
            return
        time.sleep(0.05)
    raise AssertionError(task_keys(client))


# --- fits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("y", [NUMBERS, NUMBERS.astype(str), SETS], ids=["numbers", "strings", "sets"])
def test_rows_sorted_by_class_with_a_partition_per_worker_give_a_warning(client, y):
    order = np.argsort(y if y.ndim == 1 else y[:, 0])
    rows = array_of([DIGITS[order[:300]], DIGITS[order[300:]]])
    labels = array_of([y[order[:300]], y[order[300:]]])
    with pytest.warns(TrainingWarning, match=r"no rows of classes that have 5\d % of all rows"):
        quick().fit(rows, labels)


def test_the_log_loss_is_close_to_that_of_rows_in_memory(client):
    rows, test = np.arange(600) % 3 > 0, np.arange(600) % 3 == 0
    model = DaskTinyClassifier(random_state=0).fit(chunked(DIGITS[rows], 70), chunked(NUMBERS[rows], 70))
    local = TinyClassifier(random_state=0).fit(DIGITS[rows], NUMBERS[rows])
    loss, expected = (
        log_loss(NUMBERS[test], m.to_local().predict_proba(DIGITS[test]) if m is model else p)
        for m, p in ((model, None), (local, local.predict_proba(DIGITS[test])))
    )
    assert loss < 1.2 * expected


def test_one_worker_with_all_rows_trains_as_in_memory(client):
    settings = {"early_stopping": False, "calibrate": False, "max_iter": 5, "random_state": 0}
    model = DaskTinyClassifier(**settings).fit(chunked(DIGITS, 600), chunked(NUMBERS, 600))
    local = TinyClassifier(**settings).fit(DIGITS, NUMBERS)
    np.testing.assert_array_equal(model.input_center_, local.input_center_)
    np.testing.assert_allclose(model.loss_curve_, local.loss_curve_, rtol=0.2)  # other orders of the rows
    assert abs(model.score(X, Y) - local.score(DIGITS, NUMBERS)) < 0.02


def test_the_bits_depend_on_partitions_only_not_on_the_kind_of_collection(client, fitted):
    frame = frame_of([pd.DataFrame(DIGITS[part]) for part in PARTS])
    series = frame_of([pd.Series(NUMBERS[part]) for part in PARTS])
    columns = X.rechunk((100, 10))
    kept = client.persist(X)
    for rows, y in ((X, Y), (kept, Y), (columns, Y), (frame, series), (frame, Y), (X, series)):
        model = quick().fit(rows, y)
        np.testing.assert_array_equal(model.network_.theta, fitted.network_.theta)
        assert model.calibration_ == fitted.calibration_
    other = quick().fit(X.rechunk((150, 64)), Y)
    assert (other.network_.theta != fitted.network_.theta).any()
    assert len(task_keys(client)) >= 6  # those of `kept`
    del kept


def test_unknown_lengths_empty_partitions_and_other_chunks_of_y_are_accepted(client, fitted):
    known = X[:, 0] >= 0.0  # all rows, but Dask does not know it
    model = quick().fit(X[known], Y[known])
    np.testing.assert_array_equal(model.network_.theta, fitted.network_.theta)
    model = quick().fit(X, Y.rechunk(70))
    np.testing.assert_array_equal(model.network_.theta, fitted.network_.theta)
    bounds = [(0, 0), (0, 300), (300, 300), (300, 600)]
    empty = [array_of([values[a:b] for a, b in bounds]) for values in (DIGITS, NUMBERS)]
    assert quick().fit(*empty).plan_.n_train + quick().fit(*empty).plan_.n_validation == 600


def test_a_class_that_only_one_partition_has_is_learned(client):
    first = np.arange(600) < 100
    y = np.where(first, "new", np.where(NUMBERS > 4, "large", "small"))
    rows = chunked(np.where(first[:, None], 1.0 - DIGITS, DIGITS))
    model = quick(max_iter=10).fit(rows, chunked(y))
    assert model.classes_.tolist() == ["large", "new", "small"]
    assert (model.predict(rows).compute()[first] == "new").mean() > 0.9


def test_the_plan_says_what_differs_on_a_cluster(client, fitted, monkeypatch):
    plan = fitted.plan_
    assert (plan.validation, plan.n_train + plan.n_validation) == ("even", 600)
    assert plan.n_validation == pytest.approx(120, abs=2)
    assert quick(early_stopping=True).fit(X, Y).plan_.validation == "even"
    assert quick(early_stopping=False).fit(X, Y).plan_.n_train == 600
    assert quick().fit(X[:400], Y[:400]).plan_.validation == "none"
    assert quick().fit(X, 0 * Y).plan_.validation == "none"
    monkeypatch.setattr(cluster, "_ROWS", 60)
    plan = quick().fit(X, Y).plan_
    assert plan.n_validation == pytest.approx(60, abs=10)
    assert plan.validation_fraction == 0.1


def test_few_steps_per_worker_need_more_epochs(client, monkeypatch):
    from tinyclf.dask import classifier

    settings = {"early_stopping": False, "n_iter_no_change": 3, "hidden_layer_sizes": 2, "max_iter": "auto"}
    steps = 40 * 600 / (2 * 64)
    for wanted, factor in ((steps / 2, 1.0), (1.5 * steps, 1.5), (100 * steps, 2.0)):
        monkeypatch.setattr(classifier, "_STEPS", wanted)
        plan = quick(**settings).fit(X, Y).plan_
        assert (plan.max_iter, plan.n_iter_no_change) == (40 * factor, 3 * factor)


def test_held_out_rows_are_measured_as_in_memory(client):
    model = quick(refit=False, calibrate=False).fit(X, Y)
    assert len(model.validation_loss_curve_) == 3
    again = quick().fit(X, Y, X_val=DIGITS[:100], y_val=NUMBERS[:100])
    assert again.plan_.validation == "given"
    loss = log_loss(NUMBERS[:100], again.to_local().predict_proba(DIGITS[:100]), labels=range(10))
    np.testing.assert_allclose(again.validation_loss_curve_[again.best_epoch_ - 1], loss, rtol=0.5)
    seen = []

    def scorer(estimator, rows, y):
        seen.append(type(rows))
        return float((estimator.predict(rows) == y).mean())

    x, y = frames()
    model = quick(scoring=scorer).fit(x, y)
    assert set(seen) == {pd.DataFrame}
    assert len(model.validation_scores_) == 3
    lock = threading.Lock()  # it has no pickle, but scorers stay on the client

    def with_lock(estimator, rows, y):
        with lock:
            return scorer(estimator, rows, y)

    assert quick(scoring=with_lock).fit(x, y).validation_scores_ == model.validation_scores_
    assert quick(scoring="f1_macro").fit(X, Y).best_validation_score_ > 0.3


def test_weights_and_class_weights_are_used_as_in_memory(client):
    weight = np.where(NUMBERS == 3, 0.0, W)
    model = quick(class_weight={5: 0.0}).fit(X, Y, chunked(weight))
    left_out = np.isin(NUMBERS, (3, 5))
    assert model.plan_.n_train + model.plan_.n_validation == (~left_out).sum()
    assert not np.isin(model.predict(X).compute(), (3, 5)).any()
    balanced = quick(class_weight="balanced", early_stopping=False).fit(X, Y, chunked(W))
    prior = balanced._state.calibration
    if prior is not None:
        np.testing.assert_allclose(prior.prior, 0.0, atol=1e-6)
    some = np.where(np.arange(600) // 100 % 2, 0.0, 1.0)  # those of the second worker
    assert quick().fit(X, Y, chunked(some)).plan_.n_train == 300


@pytest.mark.parametrize(
    ("y", "parameters"),
    [(SETS, {}), (SETS, {"class_weight": "balanced"}), (SOFT, {"soft_targets": True}), (NUMBERS > 4, {})],
    ids=["sets", "balanced sets", "soft", "two"],
)
def test_all_kinds_of_targets_are_learned(client, y, parameters):
    model = quick(max_iter=10, **parameters).fit(X, chunked(y))
    local = TinyClassifier(**model.to_local().get_params()).fit(DIGITS, y)
    assert model.classes_.tolist() == local.classes_.tolist()
    p, expected = model.predict_proba(X).compute(), local.predict_proba(DIGITS)
    assert abs(p - expected).mean() < 0.1
    answers = y if y.ndim == 1 or parameters.get("soft_targets") is None else NUMBERS
    assert model.score(X, chunked(answers)) > 0.5


def test_labels_of_a_data_frame_with_one_column_are_read_without_a_warning(client, fitted):
    y = frame_of([pd.DataFrame({"label": NUMBERS[part]}) for part in PARTS])
    np.testing.assert_array_equal(quick().fit(X, y).network_.theta, fitted.network_.theta)


def test_short_partitions_may_have_as_many_classes_as_rows(client):
    y = chunked(np.arange(100).repeat(6), 20)
    rows = chunked(DIGITS, 20)
    assert len(quick().fit(rows, y).classes_) == 100


def test_tables_are_encoded_as_in_memory(client):
    x, y = frames()
    model = quick().fit(x, y)
    local = TinyClassifier(**model.to_local().get_params()).fit(TABLE, NUMBERS)
    assert model.input_names_.tolist() == local.input_names_.tolist()
    assert model.feature_names_in_.tolist() == TABLE.columns.tolist()
    chosen = quick(categorical_features=["pixel1", "size"]).fit(x, y)
    local = TinyClassifier(**chosen.to_local().get_params()).fit(TABLE, NUMBERS)
    assert chosen.input_names_.tolist() == local.input_names_.tolist()
    only = TABLE[["size"]]
    assert quick().fit(*frames(only)).input_names_.tolist() == ["size_large", "size_small"]
    categories = TABLE.assign(size=TABLE["size"].astype("category"))
    np.testing.assert_array_equal(quick().fit(*frames(categories)).network_.theta, model.network_.theta)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask uses it
def test_parquet_files_keep_their_partitions(client, tmp_path):
    pytest.importorskip("pyarrow")
    dataframe = pytest.importorskip("dask.dataframe")
    dataframe.from_pandas(TABLE.assign(label=NUMBERS), npartitions=6).to_parquet(tmp_path)
    found = dataframe.read_parquet(tmp_path)
    rows = found.drop(columns="label")
    model = quick().fit(rows, found["label"])
    np.testing.assert_array_equal(model.network_.theta, quick().fit(*frames()).network_.theta)
    assert model.predict(rows).npartitions == rows.npartitions
    np.testing.assert_array_equal(model.predict(rows).compute(), model.to_local().predict(TABLE))
    assert model.score(rows, found["label"]) == pytest.approx(model.to_local().score(TABLE, NUMBERS))


def test_sparse_chunks_are_trained_on(client):
    rows = array_of([scipy.sparse.csr_array(DIGITS[part]) for part in PARTS], scipy.sparse.csr_array((0, 64)))
    model = quick(max_iter=10).fit(rows, Y)
    assert not model._state.scaling.centered
    assert model.score(rows, Y) > 0.9


def test_the_defaults_of_scikit_learn_are_accepted(client):
    settings = {**SKLEARN_DEFAULTS, "max_iter": 20, "early_stopping": True, "learning_rate_init": 0.02}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        assert DaskTinyClassifier(**settings, random_state=0).fit(X, Y).score(X, Y) > 0.9


def test_a_warm_start_continues_the_network(client):
    model = quick(warm_start=True).fit(X, Y)
    first = model.network_.theta.copy()
    curve = [*model.loss_curve_]
    model.fit(X, Y)
    assert model.loss_curve_[:3] == curve
    assert len(model.loss_curve_) == 6
    assert model.loss_curve_[3] < curve[0]
    assert (model.network_.theta != first).any()
    with pytest.raises(ValueError, match="same classes"):
        model.fit(X, Y % 5)
    with pytest.raises(ValueError, match=r"in partition \d: X has 5 features, but .* expecting 64"):
        model.fit(X[:, :5], Y)
    assert len(model.loss_curve_) == 6


def test_a_fit_can_be_resumed_with_the_same_bits(client, fitted, tmp_path, monkeypatch):
    epoch = cluster.ClusterTrainer._epoch

    def killed(self, training, done, refit):
        if done == 2:
            raise RuntimeError("killed")
        return epoch(self, training, done, refit)

    path = tmp_path / "model.npz"
    model = quick().set_callbacks(Checkpoint(path, resume=True))
    monkeypatch.setattr(cluster.ClusterTrainer, "_epoch", killed)
    with pytest.raises(RuntimeError, match="killed"):
        model.fit(X, Y)
    assert load(path).n_iter_ == 2
    monkeypatch.setattr(cluster.ClusterTrainer, "_epoch", epoch)
    model = quick().set_callbacks(Checkpoint(path, resume=True)).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, fitted.network_.theta)
    assert model.loss_curve_ == fitted.loss_curve_
    np.testing.assert_array_equal(load(path).network_.theta, fitted.network_.theta)


def test_ctrl_c_keeps_what_was_learned(client, monkeypatch):
    epoch = cluster.ClusterTrainer._epoch

    def interrupted(self, training, done, refit):
        if done == 2:
            raise KeyboardInterrupt
        return epoch(self, training, done, refit)

    monkeypatch.setattr(cluster.ClusterTrainer, "_epoch", interrupted)
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model = quick().fit(X, Y)
    assert model.n_iter_ == 2
    assert model.score(X, Y) > 0.5
    check_nothing_is_left(client)


def test_callbacks_of_scikit_learn_follow_the_epochs(client, capsys):
    quick(verbose=True).set_callbacks(ProgressBar()).fit(X, Y)
    assert "Iteration 3, loss = " in capsys.readouterr().out


# --- where the rows are ------------------------------------------------------------------------------


def test_no_worker_and_not_the_client_has_all_rows(client, monkeypatch):
    fetched, held = [], []
    results, epoch = cluster.Tasks.results, cluster.ClusterTrainer._epoch

    def watched(self, futures):
        found = results(self, futures)
        fetched.append(len(pickle.dumps(found)))
        return found

    def looked_at(self, training, done, refit):
        for address in client.nthreads():
            keys = [key for key, owners in client.who_has().items() if address in owners]
            held.append((address, [key for key in keys if str(key).startswith("prepare-")]))
        return epoch(self, training, done, refit)

    monkeypatch.setattr(cluster.Tasks, "results", watched)
    monkeypatch.setattr(cluster.ClusterTrainer, "_epoch", looked_at)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 20))
    monkeypatch.setattr(cluster, "_ROWS", 1000)
    model = quick().fit(chunked(rows, 1000), chunked((rows[:, 0] > 0).astype(int), 1000))
    assert model.plan_.n_train + model.plan_.n_validation == 20_000
    assert sum(fetched) < rows.nbytes / 4
    assert {len(keys) for _, keys in held} == {1}  # each worker has one part
    assert {address for address, _ in held} == {*client.nthreads()}


def test_nothing_is_left_on_the_cluster(client):
    model = quick().fit(X, Y)
    model.score(X, Y)
    check_nothing_is_left(client)
    for kind in range(3):  # the keys of a fit may not be released before those of a prediction are known
        rows = array_of([DIGITS[part] + kind for part in PARTS])
        model = quick().fit(rows, Y)
        model.score(rows, Y)
        model.predict(rows).compute()
    check_nothing_is_left(client)
    for y, parameters in ((chunked(NUMBERS + 0.5), {}), (Y, {"loss": "sigmoid_cross_entropy"})):
        with pytest.raises(ValueError, match=r"continuous|Only binary"):
            quick(**parameters).fit(X, y)
        check_nothing_is_left(client)


# --- bad input ---------------------------------------------------------------------------------------


def changed(value, row=220, column=5):
    rows = DIGITS.astype(object if isinstance(value, str) else float)
    rows[row, column] = value
    return chunked(rows)


def with_label(value, row=220):
    y = NUMBERS.astype(float)
    y[row] = value
    return chunked(y)


BAD_ROWS = {
    "NaN without scaling": (
        lambda: (changed(np.nan), Y),
        {"scale_inputs": False},
        "in partition 2: the input is NaN at row 20, column 5",
    ),
    "inf": (lambda: (changed(np.inf), Y), {}, "in partition 2: the input is inf at row 20, column 5"),
    "masked": (
        lambda: (pytest.importorskip("dask.array").ma.masked_greater(X, 0.9), Y),
        {},
        r"in partition \d: X is masked at row \d",
    ),
    "string": (lambda: (changed("a"), Y), {}, "in partition 2: .*could not convert string .*'a' in column 5"),
    "missing label": (lambda: (X, with_label(np.nan)), {}, "in partition 2: .*missing label, nan, at row 20"),
    "continuous": (lambda: (X, with_label(0.5)), {}, "in partition 2: Unknown label type: continuous"),
    "lengths": (lambda: (X, chunked(NUMBERS[:594], 99)), {}, r"in partition \d: .*samples: \[100, 99\]"),
    "one length": (lambda: (X, Y[:595]), {}, r"in partition 5: .*samples: \[100, 95\]"),
    "partitions": (lambda: (X, chunked(NUMBERS[:300])), {}, "X has 6 partitions, but y has 3; repartition"),
    "weights": (
        lambda: (X, Y, chunked(np.where(np.arange(600) == 220, -1.0, W))),
        {},
        "in partition 2: sample_weight must be finite and >= 0, got -1.0 at row 20",
    ),
    "no weight": (lambda: (X, Y, chunked(np.zeros(600))), {}, "weights of the rows, .*, sum to 0.0"),
    "class weights": (lambda: (X, Y), {"class_weight": dict.fromkeys(range(10), 0.0)}, "sum to 0.0"),
    "no rows": (lambda: (X[:0], Y[:0]), {}, "X has 0 samples in all of its partitions"),
    "one dimension": (lambda: (Y, Y), {}, "X must have shape .*, got 1 dimensions"),
    "three dimensions": (lambda: (X[:, None], Y), {}, "X must have shape .*, got 3 dimensions"),
    "too few rows": (
        lambda: (X[:4].rechunk(2), Y[:4].rechunk(2)),
        {"early_stopping": True},
        "validation_fraction=auto of 4 rows on 2 workers holds no rows out",
    ),
    "lbfgs": (lambda: (X, Y), {"solver": "lbfgs"}, 'solver="lbfgs" is not available on a cluster'),
    "columns": (
        lambda: (frame_of([TABLE[:300], TABLE[300:].rename(columns={"size": "s"})]), Y.rechunk(300)),
        {},
        "same columns, but partition 0 has .*'size'], and partition 1 has .*'s'",
    ),
    "number of columns": (
        lambda: (array_of([DIGITS[:300], DIGITS[300:, 1:]]), Y.rechunk(300)),
        {},
        "partition 0 has 64 columns, and partition 1 has 63 columns; select",
    ),
    "huge weights": (lambda: (X, Y, chunked(np.full(600, 1e306))), {}, "weights of the rows, .*, sum to inf"),
    "order of columns": (
        lambda: (frame_of([TABLE[:300], TABLE.iloc[300:, ::-1]]), Y.rechunk(300)),
        {},
        "same columns, but partition 0",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_the_error_names_the_partition_and_the_row(client, name):
    make, parameters, message = BAD_ROWS[name]
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(*make())
    check_nothing_is_left(client)


BAD_TYPES = {
    "array": (lambda: (DIGITS, Y), "X must be a Dask array or data frame, got ndarray"),
    "labels": (lambda: (X, NUMBERS), "y must be a Dask array, data frame or series, .* got ndarray"),
    "no labels": (lambda: (X, None), "y must be a Dask array, .* got NoneType"),
    "weights": (lambda: (X, Y, W), "sample_weight must be a Dask array, .* got ndarray"),
    "types of labels": (
        lambda: (X.rechunk(300), array_of([NUMBERS[:300], NUMBERS[300:].astype(str).astype(object)])),
        "in partition 1: y has labels such as '0', but before such as 0",
    ),
    "types of columns": (
        lambda: (frame_of([TABLE[:300], TABLE[300:].assign(pixel1="a")]), Y.rechunk(300)),
        "X has numbers and strings in the column 'pixel1', in different blocks",
    ),
    "sparse and dense": (
        lambda: (array_of([DIGITS[:300], scipy.sparse.csr_array(DIGITS[300:])]), Y.rechunk(300)),
        "partition 1 is sparse, and partition 0 is dense; convert",
    ),
    "dates": (
        lambda: (frames(TABLE.assign(day=pd.Timestamp("2020-01-01")))[0], Y),
        r"in partition \d: .*dates, .* in the column 'day'",
    ),
}


@pytest.mark.parametrize("name", BAD_TYPES)
def test_the_error_names_the_type(client, name):
    make, message = BAD_TYPES[name]
    with pytest.raises(TypeError, match=message):
        quick().fit(*make())


def test_a_failed_fit_keeps_the_earlier_model(client):
    model = quick().fit(X, Y)
    theta = model.network_.theta.copy()
    with pytest.raises(DivergenceError, match="training diverged in epoch 1"):
        model.set_params(solver="sgd", learning_rate_init=1e6, scale_inputs=False).fit(1e5 * X, Y)
    np.testing.assert_array_equal(model.network_.theta, theta)
    check_nothing_is_left(client)


def test_partial_fit_is_not_available():
    assert not hasattr(DaskTinyClassifier(), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        DaskTinyClassifier().partial_fit(X, Y)


# --- the client --------------------------------------------------------------------------------------


def test_a_client_that_cannot_be_used_is_refused(client):
    from distributed import Client

    other = Client(client.scheduler.address, set_as_default=False)
    assert quick(client=other).fit(X, Y).client_ is other
    other.close()
    with pytest.raises(ValueError, match="the client is closed"):
        quick(client=other).fit(X, Y)
    with pytest.raises(TypeError, match="client must be a synchronous .*, got 'address'"):
        quick(client="address").fit(X, Y)
    assert quick().fit(X, Y).client_ is client
    with pytest.raises(NotFittedError):
        _ = quick().client_
    model = quick().fit(X, Y).set_params(client=other)
    assert not hasattr(model, "client_")
    assert "DaskTinyClassifier" in model._repr_html_()


def test_without_a_client_the_error_names_the_fix(client, monkeypatch):
    def none():
        raise ValueError("No clients found")

    monkeypatch.setattr("distributed.default_client", none)
    with pytest.raises(ValueError, match=re.escape("create one, such as dask.distributed.Client()")):
        quick().fit(X, Y)


def test_a_cluster_without_workers_is_refused(client, monkeypatch):
    monkeypatch.setattr(type(client), "nthreads", lambda self: {})
    with pytest.raises(ValueError, match="has no workers; start some"):
        quick().fit(X, Y)


def test_clones_keep_the_client_and_pickles_do_not(client):
    model = quick(client=client).fit(X, Y)
    assert clone(model).client is client
    assert not hasattr(clone(model), "_state")
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.client is None
    np.testing.assert_array_equal(loaded.predict(DIGITS), model.predict(DIGITS))
    assert model.client is client


def test_the_parameters_are_those_of_the_local_estimator_and_client():
    own, local = DaskTinyClassifier().get_params(), TinyClassifier().get_params()
    assert own == {**local, "client": None}
    assert [*inspect.signature(DaskTinyClassifier).parameters] == [
        *inspect.signature(TinyClassifier).parameters,
        "client",
    ]
    assert repr(DaskTinyClassifier(alpha=0.1)) == "DaskTinyClassifier(alpha=0.1)"
    assert DaskTinyClassifier((5,), "tanh").get_params()["activation"] == "tanh"
    with pytest.raises(TypeError, match="wrong"):
        DaskTinyClassifier(wrong=1)


# --- the local model, and predictions ----------------------------------------------------------------


def test_the_local_model_is_a_tiny_classifier_that_can_be_saved(fitted, tmp_path):
    local = fitted.to_local()
    assert type(local) is TinyClassifier
    assert local.get_params() == {k: v for k, v in fitted.get_params().items() if k != "client"}
    fitted.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert type(loaded) is TinyClassifier
    np.testing.assert_array_equal(loaded.predict_proba(DIGITS), local.predict_proba(DIGITS))
    assert type(DaskTinyClassifier(alpha=0.3).to_local()) is TinyClassifier
    with pytest.raises(NotFittedError):
        DaskTinyClassifier().to_local().predict(DIGITS)


METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler:UserWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "y", [NUMBERS, NUMBERS.astype(str), NUMBERS > 4, SETS], ids=["many", "str", "two", "sets"]
)
def test_predictions_are_lazy_and_those_of_the_local_model(client, y, method):
    model = quick().fit(X, chunked(y))
    expected = getattr(model.to_local(), method)(DIGITS)
    found = getattr(model, method)(X)
    assert (found.shape, found.dtype, found.chunks[0]) == (expected.shape, expected.dtype, X.chunks[0])
    some = X[X[:, 20] > 0.5]
    for got, wanted in (
        (found.compute(), expected),
        (found.compute(scheduler="threads"), expected),
        (getattr(model, method)(DIGITS), expected),
        (getattr(model, method)(some).compute(), expected[DIGITS[:, 20] > 0.5]),
    ):
        if got.dtype.kind == "f":  # sums in blocks of other lengths are rounded differently
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(got, wanted)
    none = getattr(model, method)(X[X[:, 20] > 2.0]).compute()
    assert (none.shape, none.dtype) == ((0, *expected.shape[1:]), expected.dtype)


def test_predictions_of_data_frames_have_unknown_lengths(client):
    x = pytest.importorskip("dask.dataframe").from_pandas(TABLE, npartitions=4)
    model = quick().fit(*frames())
    found = model.predict_proba(x)
    assert np.isnan(found.shape[0])
    np.testing.assert_allclose(found.compute(), model.to_local().predict_proba(TABLE), atol=1e-6)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(x[x.columns[::-1]]).compute()


def test_nothing_is_computed_before_the_predictions_are_needed(fitted):
    dask = pytest.importorskip("dask")

    @dask.delayed
    def never():
        raise AssertionError

    rows = pytest.importorskip("dask.array").from_delayed(never(), (10, 64), float)
    assert fitted.predict(rows).shape == (10,)


def test_predictions_for_other_columns_are_refused_at_once(fitted):
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, 64\), .* got 5 columns"):
        fitted.predict(X[:, :5])
    with pytest.raises(ValueError, match="got 6 columns"):
        fitted.predict(pytest.importorskip("dask.dataframe").from_pandas(TABLE.iloc[:, :6], 2))
    with pytest.raises(ValueError, match="got 1 dimensions"):
        fitted.predict(Y)
    with pytest.raises(NotFittedError, match="This DaskTinyClassifier instance is not fitted"):
        DaskTinyClassifier().predict(X)


def test_the_score_is_the_weighted_accuracy(fitted):
    expected = fitted.to_local().score(DIGITS, NUMBERS, W)
    assert fitted.score(X, Y, chunked(W)) == pytest.approx(expected, rel=1e-12)
    assert fitted.score(DIGITS, NUMBERS, W) == expected
    assert fitted.score(X[X[:, 0] >= 0.0], Y[X[:, 0] >= 0.0]) == fitted.score(DIGITS, NUMBERS)
    with pytest.raises(ValueError, match=r"in partition \d: .*samples: \[100, 99\]"):
        fitted.score(X, chunked(NUMBERS[:594], 99))
    with pytest.raises(ValueError, match="sum to 0.0"):
        fitted.score(X, Y, chunked(0.0 * W))
