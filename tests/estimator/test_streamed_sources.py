"""Fits on sources of every kind: the same rows give the same bits, read wholly and streamed."""

import contextlib
import gc
import multiprocessing
import pickle
import signal
import time
import weakref
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from tests.support.bits import shown
from tests.support.doubles import Crash, Ends
from tests.support.estimators import quick
from tests.support.interrupts import moments, traced
from tests.support.resuming import Counts
from tests.support.threads import at_once
from tinyclf import ArrowRows, Checkpoint, RowSource, load
from tinyclf.estimator import sources, streaming
from tinyclf.nn import kernels

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
    pytest.mark.promise("the same seed gives the same bits"),
]

N = 900
RNG = np.random.default_rng(0)
X = RNG.normal([0, 1, 100, 0, 0], [1, 2, 30, 1, 1], (N, 5)).astype(np.float32)
X_VAL = RNG.normal(size=(600, 5)).astype(np.float32)
Y = np.array(["no", "perhaps", "yes"])[np.digitize(X[:, 0] + RNG.normal(size=N), [-1, 1])]
Y_VAL = np.array(["no", "perhaps", "yes"])[np.digitize(X_VAL[:, 0], [-1, 1])]
WEIGHT = np.where(np.arange(N) % 7, RNG.uniform(0.5, 2.0, N), 0.0)
SEVERAL = np.column_stack([Y == "no", Y == "yes"]).astype(int)
SOFT = RNG.dirichlet([1.0, 2.0, 3.0], N)
GAPS = np.where(RNG.uniform(size=(N, 5)) < 0.05, np.nan, X).astype(np.float32)

CITIES = np.array(["Lima", "La Paz", "Quito", "Oruro", "Ica"], object)[
    np.clip(RNG.geometric(0.4, N), 1, 5) - 1
]
TABLE = pd.DataFrame(
    {
        "age": np.where(X[:, 1] > 3.0, np.nan, X[:, 1]),
        "city": CITIES,
        "plan": pd.Categorical(np.array(["basic", "plus", "team"])[np.arange(N) * 3 // N]),
        "member": X[:, 0] > 0,
        "visits": np.arange(N) % 13,
    }
)
TABLE.loc[5:400:9, "city"] = None  # missing entries in some blocks only
TABLE.loc[700:800:5, "plan"] = None


class Blocks(RowSource):
    """Rows of an array or of a data frame, as a user may write it; each read returns a copy."""

    def __init__(self, rows):
        self.rows, self.shape = rows, rows.shape

    def read(self, start, stop):
        rows = self.rows.iloc if isinstance(self.rows, pd.DataFrame) else self.rows
        return rows[start:stop].copy()


@pytest.fixture
def streamed(monkeypatch):
    """A window of 2000 entries, which the rows of this file exceed."""
    monkeypatch.setattr(sources, "WINDOW", 2000)
    monkeypatch.setattr(streaming, "BLOCKS", 8)


@pytest.fixture(params=["whole", "streamed"])
def window(request):
    """Sources that are read wholly, and that are streamed."""
    if request.param == "streamed":
        request.getfixturevalue("streamed")
    return request.param


def bits(model):
    """The fitted state, without the names of the columns."""
    return shown(model._state)


# --- kinds of sources --------------------------------------------------------------------------------------


def memmap(rows, folder):
    np.save(folder / "rows.npy", rows)
    return np.load(folder / "rows.npy", mmap_mode="r")


def h5py_array(rows, folder):
    return pytest.importorskip("h5py").File(folder / "rows.h5", "w").create_dataset("rows", data=rows)


def frame(rows):
    return rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=list("abcde"))


def polars_frame(rows, folder):
    if rows is TABLE:
        pytest.importorskip("pyarrow")  # polars converts strings with it
    return pl.from_pandas(frame(rows))


def arrow_table(rows):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame(rows), preserve_index=False)


def dask_array(rows, folder):
    return pytest.importorskip("dask.array").from_array(rows, chunks=(130, 2))


def dask_array_of_unknown_length(rows, folder):
    array = dask_array(rows, folder)
    return array[~(array[:, 0] < -1e30)]


def dask_frame(rows, folder):
    """A Dask frame with an empty partition, and whose partitions have other categories."""
    starts = [0, 0, 250, 500, N]
    parts = [frame(rows)[start:stop] for start, stop in pairwise(starts)]
    for part in parts:
        for name in part.columns[part.dtypes == "category"]:
            part.isetitem(part.columns.get_loc(name), part[name].cat.remove_unused_categories())
    return dask_frame_of(*parts)


def dask_frame_of(*parts):
    delayed, dask = pytest.importorskip("dask").delayed, pytest.importorskip("dask.dataframe")
    return dask.from_delayed([*map(delayed, parts)], meta=parts[0][:0], verify_meta=False)


def parquet(rows, folder):
    """A folder of files with several row groups, and with another dictionary in each file."""
    pq, folder = pytest.importorskip("pyarrow.parquet"), folder / "rows"
    folder.mkdir()
    for number, start in enumerate(range(0, N, 400)):
        table = arrow_table(frame(rows)[start : start + 400])
        for i, field in enumerate(table.schema):
            if "string" in str(field.type):
                table = table.set_column(i, field.name, table.column(i).dictionary_encode())
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=70)
    return folder


def arrow_dataset(rows, folder):
    return pytest.importorskip("pyarrow.dataset").dataset(parquet(rows, folder))


FRAMES = {
    "pandas": lambda rows, folder: frame(rows),
    "polars": polars_frame,
    "pyarrow": lambda rows, folder: arrow_table(rows),
    "Parquet": arrow_dataset,
    "path": lambda rows, folder: ArrowRows(parquet(rows, folder)),
    "Dask frame": dask_frame,
    "user's, of data frames": lambda rows, folder: Blocks(frame(rows)),
}
ARRAYS = {
    "array": lambda rows, folder: rows,
    "Fortran order": lambda rows, folder: np.asfortranarray(rows),
    "negative strides": lambda rows, folder: rows[::-1].copy()[::-1],
    "memory map": memmap,
    "Zarr": lambda rows, folder: pytest.importorskip("zarr").array(rows, chunks=(70, 2)),
    "h5py": h5py_array,
    "Dask array": dask_array,
    "Dask array of unknown length": dask_array_of_unknown_length,
    "user's": lambda rows, folder: Blocks(rows),
}


@pytest.mark.parametrize("kind", [*ARRAYS, *FRAMES])
def test_numbers_of_every_kind_give_the_bits_of_the_array(kind, window, tmp_path):
    source = {**ARRAYS, **FRAMES}[kind](GAPS, tmp_path)
    model, expected = quick().fit(source, Y), quick().fit(GAPS, Y)
    assert bits(model) == bits(expected)
    assert model.predict_proba(source).tobytes() == expected.predict_proba(GAPS).tobytes()


@pytest.mark.parametrize("kind", FRAMES)
def test_tables_of_every_kind_give_the_bits_of_the_data_frame(kind, window, tmp_path):
    source = FRAMES[kind](TABLE, tmp_path)
    few = {"max_categories": 4, "max_iter": 2}
    model, expected = quick(**few).fit(source, Y), quick(**few).fit(TABLE, Y)
    assert bits(model) == bits(expected)
    assert model.predict_proba(source).tobytes() == expected.predict_proba(TABLE).tobytes()
    assert model.predict(source).tolist() == expected.predict(TABLE).tolist()


# --- parameters --------------------------------------------------------------------------------------------

VALIDATION = {"X_val": X_VAL, "y_val": Y_VAL}
FITS = {
    "X_val": ({}, Y, VALIDATION),
    "X_val, weighted": ({"early_stopping": False}, Y, {**VALIDATION, "sample_weight_val": np.arange(600)}),
    "small X_val": ({}, Y, {"X_val": X_VAL[:50], "y_val": Y_VAL[:50]}),
    "sample_weight": ({}, Y, {"sample_weight": WEIGHT}),
    "class_weight": ({"class_weight": "balanced"}, Y, {"sample_weight": WEIGHT}),
    "early_stopping": ({"early_stopping": True, "n_iter_no_change": 1, "max_iter": 9}, Y, {}),
    "scorer": ({"early_stopping": True, "scoring": "roc_auc_ovr"}, Y, {}),
    "accuracy": ({"early_stopping": True, "scoring": "accuracy"}, Y, {}),
    "lbfgs": ({"solver": "lbfgs"}, Y, {}),
    "sgd": ({"solver": "sgd", "learning_rate": "adaptive"}, Y, {}),
    "unscaled": ({"scale_inputs": False}, Y, {}),
    "float64": ({"dtype": "float64", "batch_size": 77}, Y, {}),
    "without shuffling": ({"shuffle": False}, Y, {}),
    "without refit": ({"refit": False, "early_stopping": True}, Y, {}),
    "several labels": ({}, SEVERAL, {"sample_weight": WEIGHT}),
    "soft targets": ({"soft_targets": True}, SOFT, {}),
    "members": ({"n_members": 3, "dropout": 0.2}, Y, {}),
    "categories": ({"categorical_features": [3]}, Y, {}),
}
SOME = ["memory map", "Dask array", "user's"]


@pytest.mark.parametrize("name", FITS)
def test_the_bits_are_those_of_the_array_with_all_parameters(name, window, tmp_path):
    parameters, y, data = FITS[name]
    rows = np.round(X) if name == "categories" else X
    kind = SOME[[*FITS].index(name) % len(SOME)]
    source = ARRAYS[kind](rows, tmp_path)
    given = {name: Blocks(item) if name == "X_val" else item for name, item in data.items()}
    model, expected = quick(**parameters).fit(source, y, **given), quick(**parameters).fit(rows, y, **data)
    assert bits(model) == bits(expected)
    assert model.predict_proba(source).tobytes() == expected.predict_proba(rows).tobytes()


def test_a_fit_continues_on_another_source_of_the_same_rows(window, tmp_path):
    def continued(first, second):
        model = quick(warm_start=True).fit(first, Y)
        return model.fit(second, Y).partial_fit(first, Y)

    assert bits(continued(X, X)) == bits(continued(memmap(X, tmp_path), Blocks(X)))


def test_partial_fit_reads_sources(window, tmp_path):
    def fitted(source):
        model = quick().partial_fit(source, Y, classes=np.unique(Y), sample_weight=WEIGHT)
        return model.partial_fit(source, Y, X_val=source, y_val=Y)

    assert bits(fitted(dask_frame(X, tmp_path))) == bits(fitted(frame(X)))


@pytest.mark.parametrize(
    "method", ["predict", "predict_log_proba", "decision_function", "activations", "scaled_inputs"]
)
def test_all_methods_read_sources(method, window):
    model = quick().fit(GAPS, Y)
    np.testing.assert_array_equal(getattr(model, method)(Blocks(GAPS)), getattr(model, method)(GAPS))
    assert model.score(Blocks(GAPS), Y) == model.score(GAPS, Y)


# --- bad input ---------------------------------------------------------------------------------------------


class Changing(Blocks):
    """Rows whose later blocks are changed by a function."""

    def __init__(self, rows, change):
        super().__init__(rows)
        self.change = change

    def read(self, start, stop):
        rows = super().read(start, stop)
        return self.change(rows) if start > 300 else rows


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda rows: rows[:-1], ValueError, r"read\(350, 400\) returned rows of shape \(49, 5\)"),
        (lambda rows: rows.to_numpy(object).tolist(), TypeError, "object of type list; return an array"),
        (lambda rows: rows[rows.columns[::-1]], ValueError, "Feature names must be in the same order"),
        (lambda rows: rows.rename(columns={"age": "years"}), ValueError, "unseen at fit time:\n- years"),
        (lambda rows: rows.assign(age=pd.Timestamp("2020-01-01")), TypeError, "got dates, .* column 'age'"),
        (lambda rows: rows.assign(city=1.5), TypeError, "numbers and strings in the column 'city'"),
        (lambda rows: rows.assign(age="old"), TypeError, "numbers and strings in the column 'age'"),
        (lambda rows: 1 / 0, ZeroDivisionError, "division by zero"),
    ],
)
def test_a_block_that_does_not_fit_the_first_one_is_an_error(change, error, message, streamed):
    model = quick().fit(TABLE, Y)
    before = shown(model)
    with pytest.raises(error, match=message):
        model.fit(Changing(TABLE, change), Y)
    assert shown(model) == before


@pytest.mark.parametrize("column", [np.arange(300), np.full(300, None), np.full(300, np.nan)])
def test_types_of_partitions_may_differ(column, window):
    rows = frame(X.astype(np.float64))
    rows.loc[300:599, "a"] = column.astype(np.float64)
    parts = [rows[:300], rows[300:600].assign(a=column).convert_dtypes(), rows[600:]]
    assert bits(quick().fit(dask_frame_of(*parts), Y)) == bits(quick().fit(rows, Y))


@pytest.mark.parametrize(
    "change",
    [
        lambda part: part.assign(a="x"),
        lambda part: part.assign(a=pd.Categorical(["x", "y"] * 300)),
    ],
)
def test_numbers_in_one_partition_and_strings_in_another_are_refused(change, window):
    rows = dask_frame_of(frame(X)[:300], change(frame(X)[300:]))
    with pytest.raises(TypeError, match=r"the column 'a'.*; convert them"):
        quick().fit(rows, Y)


def test_an_error_while_a_partition_is_computed_leaves_the_model_as_it_was(window):
    rows = dask_frame(X, None)
    model = quick().fit(rows, Y)
    before = shown(model)
    with pytest.raises(ZeroDivisionError):
        model.fit(rows.map_partitions(lambda part: 1 / 0 if 899 in part.index else part, meta=rows), Y)
    assert shown(model) == before


def test_a_prediction_checks_the_columns_of_each_block(streamed):
    model = quick().fit(TABLE, Y)
    with pytest.raises(ValueError, match=r"in the rows 350 to 399: .*\n.* same order"):
        model.predict(Changing(TABLE, lambda rows: rows[rows.columns[::-1]]))
    with pytest.raises(ValueError, match="X has 4 features, but TinyClassifier is expecting 5"):
        quick().fit(X, Y).predict(Blocks(X[:, :4]))


@pytest.mark.parametrize("parameters", [{}, {"scale_inputs": False}])
def test_an_infinite_entry_of_a_validation_set_is_an_error_before_the_training(parameters, window):
    rows = X_VAL.copy()
    rows[437, 2] = np.inf
    epochs = []
    model = quick(**parameters, learning_rate=lambda progress: epochs.append(progress) or 1.0)
    with pytest.raises(ValueError, match="in the validation set .* inf at row 437, column 2"):
        model.fit(X, Y, X_val=Blocks(rows), y_val=Y_VAL)
    assert epochs == []


@pytest.mark.parametrize("shape", [(3, 3000), (30, 2001)])
def test_rows_that_are_larger_than_a_window_are_read_one_by_one(shape, streamed):
    rows, y = np.random.default_rng(0).normal(size=shape), np.arange(shape[0]) % 2
    model = quick().fit(rows, y)
    assert bits(model) == bits(quick().fit(Blocks(rows), y))
    assert model.predict(rows).shape == y.shape


def test_a_fitted_model_does_not_hold_its_source(streamed):
    source = Blocks(X)
    model, released = quick(early_stopping=True, scoring="roc_auc_ovr").fit(source, Y), weakref.ref(source)
    model.predict(source)
    del source
    gc.collect()
    assert released() is None
    assert bits(pickle.loads(pickle.dumps(model))) == bits(model)


@pytest.mark.parametrize(
    "rows",
    [
        *(X.astype(dtype) for dtype in ("f2", "f8", "g", "i4", "?", "O", "U9", ">f4")),
        *(X[:, ::-1], np.repeat(X, 2, axis=1)[:, ::2]),
    ],
    ids=lambda rows: str(rows.dtype),
)
def test_arrays_of_every_type_are_streamed_as_their_float_arrays(rows, streamed):
    expected = rows.astype("f4" if rows.dtype.kind == "f" and rows.itemsize == 4 else "f8")
    assert bits(quick().fit(rows, Y)) == bits(quick().fit(expected, Y))


def test_sparse_rows_are_not_streamed(streamed):
    sparse = scipy.sparse.csr_array(np.where(X > 1.0, X, 0.0))
    table = pd.DataFrame.sparse.from_spmatrix(sparse)
    expected = bits(quick().fit(sparse, Y))
    assert bits(quick().fit(table, Y)) == expected
    assert bits(quick().fit(Blocks(sparse.toarray()), Y)) != expected


@pytest.mark.parametrize("kind", ["path", "Dask frame"])
def test_fits_in_threads_share_a_source(kind, streamed, tmp_path):
    source = FRAMES[kind](X, tmp_path)
    with threadpool_limits(1, user_api="blas"):
        alone = bits(quick(max_iter=1).fit(source, Y))
        assert at_once([lambda: bits(quick(max_iter=1).fit(source, Y))] * 3) == [alone] * 3


# --- callbacks and interrupts ------------------------------------------------------------------------------


class Predicts(Ends):
    """A callback that predicts after each epoch."""

    def __init__(self, rows):
        super().__init__(-1, None)
        self.rows = rows

    def on_fit_task_end(self, estimator, context):
        estimator.predict(self.rows)


def test_predictions_between_epochs_do_not_change_a_fit(window, tmp_path):
    source = ArrowRows(parquet(TABLE, tmp_path))
    model = quick(early_stopping=True).set_callbacks(Predicts(source)).fit(source, Y).set_callbacks()
    assert bits(model) == bits(quick(early_stopping=True).fit(source, Y))


def test_a_progress_bar_shows_the_epochs_of_a_streamed_fit(streamed, capsys):
    pytest.importorskip("rich")
    model = quick().set_callbacks(ProgressBar()).fit(Blocks(X), Y).set_callbacks()
    assert "100%" in capsys.readouterr().out
    assert bits(model) == bits(quick().fit(Blocks(X), Y))


RESUMED = {"max_iter": 6, "early_stopping": True, "dropout": 0.2}


@pytest.mark.parametrize("how", [Crash, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["Parquet", "Dask frame"])
@pytest.mark.filterwarnings("ignore:Training interrupted by user")
def test_a_fit_that_ended_early_continues_from_its_checkpoint_on_another_kind_of_source(
    kind, how, streamed, tmp_path
):
    source, checkpoint = FRAMES[kind](X, tmp_path), Checkpoint(tmp_path / "model.npz", resume=True)
    with contextlib.suppress(Crash):
        quick(**RESUMED).set_callbacks(checkpoint, Ends(3, how)).fit(source, Y)
    assert load(checkpoint.path).n_iter_ == 3
    model = quick(**RESUMED).set_callbacks(checkpoint).fit(frame(X), Y).set_callbacks()
    assert bits(model) == bits(quick(**RESUMED).fit(source, Y))


def test_a_checkpoint_of_other_streamed_rows_is_refused(streamed, tmp_path):
    checkpoint = Checkpoint(tmp_path / "model.npz", resume=True)
    with pytest.raises(Crash):
        quick().set_callbacks(checkpoint, Ends(1, Crash)).fit(Blocks(X), Y)
    other = X.copy()
    other[700, 3] = np.nextafter(other[700, 3], np.float32(9))
    with pytest.raises(ValueError, match="another fit, which differs in X"):
        quick().set_callbacks(checkpoint).fit(Blocks(other), Y)


def fit_until_killed(path, folder, epochs):
    """Fit streamed rows in a process that is killed."""
    sources.WINDOW, streaming.BLOCKS = 2000, 8
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    model = quick(**RESUMED | {"max_iter": 200, "n_iter_no_change": np.inf})
    model.set_callbacks(Checkpoint(path, resume=True), Counts(epochs)).fit(rows, Y)


@pytest.mark.processes
def test_a_streamed_fit_that_was_killed_continues_with_the_same_bits(streamed, tmp_path):
    context, path = multiprocessing.get_context("spawn"), tmp_path / "model.npz"
    rows, long = memmap(X, tmp_path), RESUMED | {"max_iter": 200, "n_iter_no_change": np.inf}
    for n_epochs in (7, 40):
        epochs = context.Value("i", 0)
        process = context.Process(target=fit_until_killed, args=(path, tmp_path, epochs))
        process.start()
        while epochs.value < n_epochs and process.is_alive():
            time.sleep(1e-3)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert 40 <= load(path).n_iter_ < 200
    model = quick(**long).set_callbacks(Checkpoint(path, resume=True)).fit(Blocks(X), Y).set_callbacks()
    assert bits(model) == bits(quick(**long).fit(rows, Y))


@pytest.mark.filterwarnings("ignore:Training interrupted by user")
@pytest.mark.parametrize("kind", ["Parquet", "user's, of data frames"])
def test_ctrl_c_while_rows_are_read_leaves_a_model_that_can_be_used(kind, streamed, tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "_wanted", False)  # the same lines in each fit
    monkeypatch.setattr(kernels, "_compiled", {})
    source = sources.as_source(FRAMES[kind](GAPS, tmp_path))
    expected = bits(quick(max_iter=2).fit(source, Y))
    lines, _ = traced(lambda: quick(max_iter=2).fit(source, Y))
    for moment in moments(lines, 29, "streaming sources"):
        model = quick(max_iter=1).fit(frame(GAPS)[:200], Y[:200])
        traced(lambda model=model: model.set_params(max_iter=2).fit(source, Y), [moment])
        assert np.isfinite(model.predict_proba(source)).all()
    assert bits(quick(max_iter=2).fit(source, Y)) == expected


# --- processes ---------------------------------------------------------------------------------------------


@pytest.mark.processes
def test_an_array_and_memory_maps_of_it_give_the_same_bits_in_a_search_with_several_processes(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.integers(-2, 3, (3400, 20_000), dtype=np.int8)
    y = (rows[:, :50].sum(axis=1) > 0).astype(int)
    assert rows.size // 2 > sources.WINDOW  # the two halves are streamed, too

    def found(rows, n_jobs):
        model = quick(hidden_layer_sizes=2, max_iter=1)
        search = GridSearchCV(model, {"alpha": [1.0]}, cv=2, n_jobs=n_jobs).fit(rows, y)
        return search.cv_results_["mean_test_score"].tolist(), bits(search.best_estimator_)

    alone = found(rows, 1)
    assert found(rows, 2) == alone  # joblib makes a memory map
    assert found(memmap(rows, tmp_path), 2) == alone
