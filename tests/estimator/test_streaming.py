"""Streaming: the order of an epoch, the inputs that are read, and what a streamed fit keeps in memory."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from tests.support.bits import shown
from tests.support.tables import CATEGORIES, objects
from tinyclf import RowSource, TinyClassifier
from tinyclf.estimator import calibration, scaling, sources, streaming
from tinyclf.estimator.encoding import ColumnSummary
from tinyclf.estimator.scaling import Scaling
from tinyclf.estimator.sources import ArrayRows, FrameRows
from tinyclf.estimator.streaming import StreamedMatrix, StreamedRows
from tinyclf.estimator.table import as_table, summarize

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1003, 5)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int) + (X[:, 3] > 1.0)
TABLE = objects()


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Windows of 160 rows of X, in blocks of 20 rows."""
    monkeypatch.setattr(sources, "WINDOW", 800)
    monkeypatch.setattr(streaming, "BLOCKS", 8)


class Counted(RowSource):
    """The rows of an array; ``reads`` has the ranges that were read."""

    def __init__(self, array):
        self.array, self.shape, self.reads = array, array.shape, []

    def read(self, start, stop):
        self.reads.append((start, stop))
        return self.array[start:stop]


def quick(**parameters):
    return TinyClassifier(**{"max_iter": 3, "n_members": 1, "random_state": 0, **parameters})


def matrix_of(source, **parameters):
    """The matrix of a source, whose columns become those of a new model."""
    model = TinyClassifier(**parameters)
    return StreamedMatrix(as_table(model, source, reset=True), model)


def streamed(array, scaling=None, stays_sparse=False):
    """The inputs of an array or data frame."""
    source = FrameRows(array) if hasattr(array, "columns") else ArrayRows(array)
    matrix = matrix_of(source, max_categories=None)
    return StreamedRows(matrix, matrix.encoding, scaling, np.float32, stays_sparse)


# --- the order of an epoch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [np.arange(1003), np.flatnonzero(X[:, 0] > 0.5)], ids=["all", "some"])
def test_an_epoch_has_each_row_once_in_a_random_order_within_windows(rows):
    inputs = streamed(X)
    order = inputs.permuted(rows, np.random.default_rng(0))
    assert_array_equal(np.sort(order), rows)
    last = {block: at for at, block in enumerate(order // 20)}
    ends = [at + 1 for at in range(len(order)) if max(last[block] for block in order[: at + 1] // 20) == at]
    windows = np.split(order, ends[:-1])  # no block is in two of them
    assert len(windows) == 7
    for window in windows:
        blocks = np.unique(window // 20)
        assert len(blocks) <= 8
        assert (np.diff(blocks) <= 13).all()  # one of each seven blocks: from all parts of the rows
        assert (np.diff(window) < 0).mean() > 0.4  # rows of different blocks are mixed
    again = inputs.permuted(rows, np.random.default_rng(0))
    other = inputs.permuted(rows, np.random.default_rng(1))
    assert_array_equal(order, again)
    assert (order != other).mean() > 0.9


def test_an_epoch_reads_each_block_once():
    source = Counted(X)
    matrix = matrix_of(source)
    inputs = StreamedRows(matrix, matrix.encoding, None, np.float32, False)
    for _ in range(2):
        source.reads.clear()
        order = inputs.permuted(np.arange(1003), RNG)
        for start in range(0, 1003, 37):
            batch = order[start : start + 37]
            found = inputs.gather(batch, np.empty((len(batch), 5), np.float32))
            assert_array_equal(found, X[batch])
        assert sorted(source.reads) == [(start, min(start + 20, 1003)) for start in range(0, 1003, 20)]


@pytest.mark.parametrize("stays_sparse", [False, True])
def test_streamed_inputs_of_a_table_are_those_in_memory(stays_sparse):
    table = pd.concat([TABLE] * 8, ignore_index=True)
    table["id"] = [f"customer {i // 2}" for i in range(len(table))]  # enough for sparse batches
    inputs = streamed(table, stays_sparse=stays_sparse, scaling=None)
    scaling = inputs.X.scaling(None, True)
    inputs = StreamedRows(inputs.X, inputs.encoding, scaling, np.float32, stays_sparse)
    model = TinyClassifier(max_categories=None)
    sources.WINDOW = 2**25  # restored by the fixture
    whole, encoding = streaming.read(model, table)
    assert shown(encoding.categories) == shown(inputs.encoding.categories)
    assert_array_equal(encoding.missing, inputs.encoding.missing)
    expected = encoding.rows(whole, scaling, np.float32, stays_sparse=stays_sparse)
    order = inputs.permuted(np.arange(len(table)), RNG)
    for start in range(0, len(table), 50):
        batch = order[start : start + 50]
        out = np.empty((len(batch), encoding.n_inputs), np.float32)
        found, wanted = inputs.gather(batch, out), expected.gather(batch, out.copy())
        assert hasattr(found, "tocsr") == hasattr(wanted, "tocsr") == stays_sparse
        dense = [x.toarray() if stays_sparse else x for x in (found, wanted)]
        assert_array_equal(*dense)


# --- statistics of blocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 20, 30])
def test_the_merged_summary_of_blocks_is_that_of_all_rows(size):
    weight = np.where(np.arange(len(TABLE)) % 3 == 0, 0.0, RNG.integers(1, 9, len(TABLE)))
    model = TinyClassifier()
    whole = summarize(model, TABLE, weight)
    parts = (summarize(model, TABLE[i : i + size], weight[i : i + size]) for i in range(0, len(TABLE), size))
    merged = ColumnSummary.merged(parts)
    for name in ("n_features", "n_rows", "dtype"):
        assert getattr(merged, name) == getattr(whole, name)
    assert_array_equal(merged.n_missing, whole.n_missing)
    assert_array_equal(merged.categorical, whole.categorical)
    assert len(merged.categories) == len(CATEGORIES)
    for found, wanted in zip(merged.categories, whole.categories, strict=True):
        assert found.tolist() == wanted.tolist()
    for found, wanted in zip(merged.weights, whole.weights, strict=True):
        assert_array_equal(found, wanted)


def test_a_column_of_numbers_in_one_block_and_of_strings_in_another_is_refused_by_name():
    first = pd.DataFrame({"a": [1, 2], "b": [None, None]}, dtype=object)
    second = pd.DataFrame({"a": [3, 4], "b": ["x", "y"]}, dtype=object)
    later = pd.DataFrame({"a": ["1", "2"], "b": ["x", "y"]}, dtype=object)
    model = TinyClassifier()
    merged = ColumnSummary.merged([summarize(model, block) for block in (first, second)])
    assert merged.categorical.tolist() == [1]  # a block without entries does not matter
    parts = [summarize(model, block) for block in (first, second, later)]
    with pytest.raises(TypeError, match=r"numbers and strings in the column 'a'.*convert"):
        ColumnSummary.merged(parts, np.array(["a", "b"]))


@pytest.mark.parametrize("order", ["random", "sorted"])
def test_quantiles_of_merged_windows_have_the_documented_error_of_rank(order):
    columns = [RNG.normal(size=50_000), RNG.standard_cauchy(size=50_000), RNG.lognormal(size=50_000)]
    rows = np.stack([np.sort(c) if order == "sorted" else c for c in columns], axis=1)
    merged = Scaling.merged(Scaling.of(rows[i : i + 3000]) for i in range(0, len(rows), 3000))
    assert (merged.total_weight == 50_000).all()
    levels = (np.arange(32) + 0.5) / 32
    for points, column in zip(merged.points.T, rows.T, strict=True):
        rank = np.searchsorted(np.sort(column), points, side="right") / len(column)
        assert np.abs(rank - levels).max() < 1 / 64


def test_windows_without_weight_are_left_out():
    weight = np.ones(1003)
    weight[:400] = 0.0
    model = quick().fit(X, Y, sample_weight=weight)
    moved = X.copy()
    moved[:400] = 1e6
    other = quick().fit(moved, Y, sample_weight=weight)
    assert_array_equal(model.input_center_, other.input_center_)
    assert_array_equal(model.predict_proba(X), other.predict_proba(X))


# --- fits ---------------------------------------------------------------------------------------------------


def test_a_streamed_fit_predicts_as_well_as_one_in_memory(monkeypatch):
    digits, digit = load_digits(return_X_y=True)
    train, test = np.arange(1797) % 4 > 0, np.arange(1797) % 4 == 0
    by_class = np.argsort(digit[train], kind="stable")
    losses = []
    for window, rows in ((2**25, by_class), (digits[train].size // 6, by_class)):
        monkeypatch.setattr(sources, "WINDOW", window)
        monkeypatch.setattr(streaming, "BLOCKS", 32)
        model = TinyClassifier(random_state=0, n_members=1).fit(digits[train][rows], digit[train][rows])
        losses.append(log_loss(digit[test], model.predict_proba(digits[test])))
    assert losses[1] < 1.15 * losses[0] + 0.01


def test_predictions_are_those_in_memory(monkeypatch):
    model = quick().fit(X, Y)
    streamed_answer = model.predict_proba(X)
    monkeypatch.setattr(sources, "WINDOW", 2**25)
    assert_array_equal(streamed_answer, model.predict_proba(X))


def test_a_streamed_fit_keeps_one_window_in_memory(monkeypatch):
    rows = RNG.normal(size=(25_000, 200)).astype(np.float32)  # 20 MB
    labels = (rows[:, 0] > 0).astype(np.int8)
    monkeypatch.setattr(sources, "WINDOW", 50_000)
    monkeypatch.setattr(scaling, "_MERGED", 50_000)
    monkeypatch.setattr(streaming, "BLOCKS", 2)
    model = quick(max_iter=1, hidden_layer_sizes=(4,))
    model.fit(rows[:3000], labels[:3000])  # imports
    tracemalloc.start()
    model.fit(rows, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes / 3


def test_calibration_reads_a_sample_of_many_rows(monkeypatch):
    monkeypatch.setattr(calibration, "MAX_LOGITS", 300)
    monkeypatch.setattr("tinyclf.estimator.trainer.MAX_LOGITS", 300)
    model = quick(max_iter=20, alpha=0.0, refit=False).fit(X, RNG.integers(0, 3, len(X)))
    assert 0.0 <= model.calibration_ < 0.9  # the labels are noise


def test_diagnostics_examine_streamed_rows():
    far = X * np.array([1.0, 1.0, 1e6, 1.0, 1.0], np.float32)
    with pytest.warns(UserWarning, match="column 2 reaches"):
        quick(scale_inputs=False, solver="sgd", learning_rate_init=1e-12).fit(far, Y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_error_names_row_and_column_of_a_number_that_is_not_finite(bad):
    broken = X.copy()
    broken[777, 3] = bad
    with pytest.raises(ValueError, match=r"row 777, column 3"):
        quick(scale_inputs=False).fit(broken, Y)
    if bad == np.inf:
        with pytest.raises(ValueError, match=r"row 777, column 3"):
            quick().fit(broken, Y)
        with pytest.raises(ValueError, match=r"in the validation set.*row 777, column 3"):
            quick().fit(X, Y, X_val=broken, y_val=Y)


@pytest.mark.parametrize(
    "parameters", [{"solver": "lbfgs"}, {"shuffle": False}, {"early_stopping": True}], ids=str
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_other_orders_of_rows_can_be_streamed(parameters):
    model = quick(**parameters, tol=0.0).fit(X, Y)
    assert np.isfinite(model.predict_proba(X)).all()
    again = quick(**parameters, tol=0.0).fit(Counted(X), Y)
    assert shown(again.coefs_) == shown(model.coefs_)
