"""Row sources: rows of any kind, in blocks of any size."""

import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from tinyclf import ArrowRows, RowSource
from tinyclf.estimator import sources
from tinyclf.estimator.sources import RowsOf, as_source, read_rows
from tinyclf.estimator.table import column_entries

X = np.random.default_rng(0).normal(size=(57, 3)).astype(np.float32)
N = len(X)
COLOR = np.array(["red", "green", "blue"], object)[np.arange(N) * 3 // N]
BLOCKS = [(0, N), (0, 0), (N, N), (10, 10), (3, 4), (5, 31), (10, 20), (50, N)]


class Rows(RowSource):
    """Rows of an array that keep a record of what is read."""

    def __init__(self, rows):
        self.rows, self.shape, self.ranges = rows, rows.shape, []

    def read(self, start, stop):
        self.ranges.append((start, stop))
        return self.rows[start:stop]


def frame(rows=X):
    return pd.DataFrame(rows, columns=list("abc"))


def memmap(tmp_path):
    np.save(tmp_path / "rows.npy", X)
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


def zarr_array(tmp_path):
    return pytest.importorskip("zarr").array(X, chunks=(7, 2))


def h5py_array(tmp_path, chunks=(8, 3)):
    file = pytest.importorskip("h5py").File(tmp_path / "rows.h5", "w")
    return file.create_dataset("rows", data=X, chunks=chunks)


def dask_array(tmp_path=None):
    return pytest.importorskip("dask.array").from_array(X, chunks=(10, 1))


def dask_array_of_unknown_length(tmp_path):
    return dask_array()[dask_array()[:, 0] > -np.inf]


def dask_frame(tmp_path=None):
    return pytest.importorskip("dask.dataframe").from_pandas(frame(), npartitions=4)


def dask_frame_with_empty_partitions(tmp_path):
    parts = [frame()[start:stop] for start, stop in ((0, 0), (0, 20), (20, 20), (20, N), (N, N))]
    return dask_frame_of(parts)


def dask_frame_of(parts, **kwargs):
    delayed = pytest.importorskip("dask").delayed
    return pytest.importorskip("dask.dataframe").from_delayed([*map(delayed, parts)], **kwargs)


def arrow_table(tmp_path=None):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame())


def parquet(tmp_path, table=None, name="rows.parquet", row_group_size=9):
    pytest.importorskip("pyarrow.parquet").write_table(
        arrow_table() if table is None else table, tmp_path / name, row_group_size=row_group_size
    )
    return tmp_path / name


def parquet_files(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    for i, start in enumerate(range(0, N, 20)):
        parquet(folder, arrow_table().slice(start, 20), f"{i}.parquet")
    return folder


def arrow_dataset(path, **kwargs):
    return pytest.importorskip("pyarrow.dataset").dataset(path, **kwargs)


KINDS = {
    "array": lambda tmp_path: X,
    "Fortran order": lambda tmp_path: np.asfortranarray(X),
    "memmap": memmap,
    "zarr": zarr_array,
    "h5py": h5py_array,
    "h5py, not chunked": lambda tmp_path: h5py_array(tmp_path, None),
    "pandas": lambda tmp_path: frame(),
    "polars": lambda tmp_path: pl.DataFrame(X, schema=list("abc")),
    "pyarrow": arrow_table,
    "Parquet": lambda tmp_path: arrow_dataset(parquet(tmp_path)),
    "Parquet, several files": lambda tmp_path: arrow_dataset(parquet_files(tmp_path)),
    "path of a file": lambda tmp_path: ArrowRows(str(parquet(tmp_path))),
    "path of a folder": lambda tmp_path: ArrowRows(parquet_files(tmp_path)),
    "Arrow in memory": lambda tmp_path: arrow_dataset(arrow_table()),
    "Dask array": dask_array,
    "Dask array of unknown length": dask_array_of_unknown_length,
    "Dask frame": dask_frame,
    "Dask frame with empty partitions": dask_frame_with_empty_partitions,
    "user's": lambda tmp_path: Rows(X),
}
PIECES = [
    "zarr",
    "h5py",
    "Parquet",
    "path of a folder",
    "Dask array",
    "Dask frame",
    "Dask frame with empty partitions",
]


@pytest.fixture(params=KINDS)
def source(request, tmp_path):
    return as_source(KINDS[request.param](tmp_path))


def dtypes(rows):
    return {*map(str, getattr(rows, "dtypes", [getattr(rows, "dtype", "float32")]))}


# --- every kind -------------------------------------------------------------------------------------------


def test_any_range_of_rows_can_be_read_in_any_order(source):
    assert source.shape == X.shape
    assert all(type(length) is int for length in source.shape)
    for start, stop in [*BLOCKS, *reversed(BLOCKS)]:
        rows = read_rows(source, start, stop)
        np.testing.assert_array_equal(np.asarray(rows), X[start:stop])
        assert {dtype.lower() for dtype in dtypes(rows)} == {"float32"}


@pytest.mark.parametrize("span", [1, 6, 2**17])
def test_any_rows_can_be_taken_from_a_source(source, span, monkeypatch):
    monkeypatch.setattr(sources, "_SPAN", span * 3)
    for taken in (np.arange(0, N, 4), np.array([0, 1, 2, 40, 41, 56]), np.array([30]), np.array([], int)):
        some = RowsOf(source, taken)
        assert some.shape == (len(taken), 3)
        for start, stop in [(0, len(taken)), (0, 0), (len(taken) // 2, len(taken))]:
            np.testing.assert_array_equal(np.asarray(read_rows(some, start, stop)), X[taken[start:stop]])
        assert type(some.read(0, 0)) is type(read_rows(source, 0, 0))
        again = RowsOf(some, np.arange(len(taken)))
        np.testing.assert_array_equal(np.asarray(read_rows(again, 0, len(taken))), X[taken])


def test_taken_rows_are_read_from_short_ranges(monkeypatch):
    monkeypatch.setattr(sources, "_SPAN", 10 * 3)
    rows = Rows(X)
    read_rows(RowsOf(rows, np.array([2, 3, 11, 12, 13, 40, 56])), 1, 7)
    assert rows.ranges == [(3, 13), (13, 14), (40, 41), (56, 57)]


@pytest.mark.parametrize("kind", ["zarr", "Parquet", "path of a folder", "Dask array", "Dask frame"])
def test_a_source_can_be_pickled(kind, tmp_path):
    source = as_source(KINDS[kind](tmp_path))
    np.testing.assert_array_equal(np.asarray(read_rows(pickle.loads(pickle.dumps(source)), 5, 31)), X[5:31])


def test_a_pickle_has_no_rows_of_files(tmp_path):
    source = ArrowRows(parquet(tmp_path))
    size = len(pickle.dumps(source))
    read_rows(source, 0, N)
    assert len(pickle.dumps(source)) == size


@pytest.mark.parametrize("kind", PIECES)
def test_reading_in_order_decodes_each_piece_once(kind, tmp_path, monkeypatch):
    source, decoded = as_source(KINDS[kind](tmp_path)), []
    decode = source._decode
    monkeypatch.setattr(source, "_decode", lambda numbers: decoded.extend(numbers) or decode(numbers))
    for start in range(0, N, 4):
        read_rows(source, start, min(start + 4, N))
    assert len(decoded) > 1
    assert len(decoded) == len({*decoded})


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: 3.0,
        lambda: "rows.parquet",
        lambda: X.tolist(),
        lambda: X[:, 0],
        lambda: X[None],
        lambda: scipy.sparse.csr_array(X),
        lambda: scipy.sparse.csr_matrix(X),
        lambda: pd.Series(X[:, 0]),
        lambda: pl.Series(X[:, 0]),
        lambda: dask_array()[:, 0],
        lambda: dask_array()[None],
        lambda: dask_frame()["a"],
    ],
)
def test_what_has_no_rows_that_can_be_read_in_blocks_is_no_source(make):
    assert as_source(make()) is None


def test_a_source_is_its_own_source():
    rows = Rows(X)
    assert as_source(rows) is rows


# --- arrays -----------------------------------------------------------------------------------------------


def test_the_rows_of_an_array_are_not_copied(tmp_path):
    for kind in ("array", "memmap"):
        rows = KINDS[kind](tmp_path)
        block = read_rows(as_source(rows), 3, 9)
        assert type(block) is np.ndarray
        assert np.shares_memory(block, rows)


@pytest.mark.parametrize("make", [zarr_array, h5py_array])
def test_chunks_that_are_larger_than_the_window_are_not_kept(make, tmp_path, monkeypatch):
    rows = make(tmp_path)
    entries = rows.chunks[0] * 3
    monkeypatch.setattr(sources, "WINDOW", entries)
    assert hasattr(as_source(rows), "_decode")
    monkeypatch.setattr(sources, "WINDOW", entries - 1)
    source = as_source(rows)
    assert not hasattr(source, "_decode")
    np.testing.assert_array_equal(read_rows(source, 5, 31), X[5:31])


def test_an_array_without_rows_is_a_source(tmp_path):
    for make in (
        lambda: X[:0],
        lambda: pytest.importorskip("zarr").zeros((0, 3), chunks=(7, 2)),
        lambda: pytest.importorskip("dask.array").zeros((0, 3)),
    ):
        assert read_rows(as_source(make()), 0, 0).shape == (0, 3)


# --- Dask -------------------------------------------------------------------------------------------------


def test_lengths_of_chunks_are_computed_without_changing_the_array():
    rows = dask_array_of_unknown_length(None)
    assert as_source(rows).shape == X.shape
    assert np.isnan(rows.shape[0])


@pytest.mark.parametrize("make", [dask_array, dask_frame])
def test_partitions_are_computed_by_the_scheduler_of_the_user(make):
    dask, calls = pytest.importorskip("dask"), []
    rows = make()

    def scheduler(graph, keys, **kwargs):
        calls.append(keys)
        return dask.get(graph, keys, **kwargs)

    with dask.config.set(scheduler=scheduler):
        source = as_source(rows)
        calls.clear()
        np.testing.assert_array_equal(np.asarray(read_rows(source, 5, 31)), X[5:31])
        assert len(calls) == 1  # all partitions of a block at once
        read_rows(source, 30, 31)
        assert len(calls) == 1


def dask_categories(parts):
    made = [pd.DataFrame({"a": range(len(part)), "c": pd.Categorical(part)}) for part in parts]
    return dask_frame_of(made, meta=made[0], verify_meta=False)


@pytest.mark.parametrize(
    "parts",
    [
        [["x", "y"], ["z", None, "y"], ["x"]],
        [[1, 2], [3, 2], [None, 7]],
        [[None, None], [3, 2]],
        [["x"], [None]],
    ],
)
def test_categories_of_partitions_may_differ(parts):
    source = as_source(dask_categories(parts))
    rows = read_rows(source, 0, sum(map(len, parts)))
    assert isinstance(rows.dtypes["c"], pd.CategoricalDtype)
    assert [*column_entries(rows, 1)] == [entry for part in parts for entry in part]


def test_a_partition_with_columns_in_another_order_is_named():
    rows = dask_frame_of([frame(), frame()[["b", "a", "c"]]], meta=frame()[:0], verify_meta=False)
    with pytest.raises(
        ValueError, match=r"the columns \['a', 'b', 'c'\], got \['b', 'a', 'c'\] in partition 1"
    ):
        read_rows(as_source(rows), N, N + 2)


def test_masked_chunks_are_refused():
    da, rows = pytest.importorskip("dask.array"), np.ma.array(X)
    rows[43, 2] = np.ma.masked
    with pytest.raises(ValueError, match="X is masked at row 43, column 2"):
        read_rows(as_source(da.from_array(rows, chunks=(10, 3))), 0, N)


# --- Arrow ------------------------------------------------------------------------------------------------


def colors(**kwargs):
    pa = pytest.importorskip("pyarrow")
    return pa.table({"size": X[:, 0], "color": pa.array(COLOR).dictionary_encode(), "name": COLOR}, **kwargs)


def test_dictionaries_of_row_groups_may_differ(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    groups = [["x", "y"], ["z", None, "y"], ["x"]]
    tables = [pa.table({"c": pa.array(group).dictionary_encode()}) for group in groups]
    with pq.ParquetWriter(tmp_path / "rows.parquet", tables[0].schema) as file:
        for table in tables:
            file.write_table(table)
    source = ArrowRows(tmp_path / "rows.parquet")
    assert [read_rows(source, i, i + 1)["c"].chunk(0).dictionary.to_pylist() for i in (0, 2)] == [
        ["x", "y"],
        ["z", "y"],
    ]
    rows = read_rows(source, 0, 6)
    assert [*column_entries(rows, 0)] == rows["c"].to_pylist() == ["x", "y", "z", None, "y", "x"]


def test_columns_are_read_in_the_order_in_which_they_are_named(tmp_path):
    path = parquet(tmp_path, colors())
    for dataset in (path, arrow_dataset(path)):
        source = ArrowRows(dataset, ["color", "size"])
        assert source.shape == (N, 2)
        rows = read_rows(source, 5, 31)
        assert rows.column_names == ["color", "size"]
        assert rows["color"].to_pylist() == COLOR[5:31].tolist()


@pytest.mark.parametrize("columns", ["a", "abc", ["a", "weight"], [3], [], ["a", "a"]])
def test_columns_that_do_not_exist_or_are_not_different_are_refused(columns, tmp_path):
    names = re.escape(f"['a', 'b', 'c'], got {columns!r}")
    with pytest.raises(ValueError, match=f"columns must be a list of different names of columns, {names}"):
        ArrowRows(parquet(tmp_path), columns)


@pytest.mark.parametrize("dataset", [X, frame(), None])
def test_what_is_neither_a_path_nor_a_data_set_is_refused(dataset):
    pytest.importorskip("pyarrow")
    with pytest.raises(TypeError, match=f"a path or a pyarrow.dataset.Dataset, got {type(dataset).__name__}"):
        ArrowRows(dataset)


def files_of(folder, *columns):
    """Write a Parquet file with one column for each list or array."""
    pa = pytest.importorskip("pyarrow")
    for i, column in enumerate(columns):
        parquet(folder, pa.table({"a": column}), f"{i}.parquet")
    return folder


@pytest.mark.parametrize(
    "columns", [([1, 2], [1.5, None]), ([1.5, 2.0], [3, None]), ([None, None], ["x", "y"])]
)
def test_files_at_a_path_may_have_different_types(columns, tmp_path):
    source = ArrowRows(files_of(tmp_path, *columns))
    assert read_rows(source, 0, 4)["a"].to_pylist() == [*columns[0], *columns[1]]
    assert {str(read_rows(source, i, i + 1)["a"].type) for i in range(4)} == {str(source._schema.types[0])}


def test_files_without_a_common_type_are_refused(tmp_path):
    with pytest.raises(TypeError, match="Field a has incompatible types: int64 vs string"):
        ArrowRows(files_of(tmp_path, [1, 2], ["x", "y"]))


@pytest.mark.parametrize("columns", [([1, 2], [1.5, None]), ([None, None], ["x", "y"]), ([1], ["x"])])
def test_a_file_that_does_not_have_the_schema_of_its_data_set_is_named(columns, tmp_path):
    source = as_source(arrow_dataset(files_of(tmp_path, *columns)))
    with pytest.raises(ValueError, match=r"schema of its data set, got other types in .*1\.parquet"):
        read_rows(source, 0, source.shape[0])


def test_a_data_set_with_a_filter_is_refused(tmp_path):
    field = pytest.importorskip("pyarrow.dataset").field
    with pytest.raises(ValueError, match=r"filtered"):
        as_source(arrow_dataset(parquet(tmp_path)).filter(field("a") > 0))


@pytest.mark.parametrize("format", ["csv", "ipc"])
def test_other_formats_are_read(format, tmp_path):
    ds = pytest.importorskip("pyarrow.dataset")
    ds.write_dataset(
        arrow_table(), tmp_path / "rows", format=format, max_rows_per_file=20, max_rows_per_group=20
    )
    source = as_source(arrow_dataset(tmp_path / "rows", format=format))
    for start, stop in BLOCKS:
        np.testing.assert_allclose(np.asarray(read_rows(source, start, stop)), X[start:stop], rtol=1e-6)


def test_folders_that_are_values_of_a_column_are_read(tmp_path):
    ds = pytest.importorskip("pyarrow.dataset")
    ds.write_dataset(
        colors(), tmp_path / "rows", format="parquet", partitioning=["name"], partitioning_flavor="hive"
    )
    source = as_source(arrow_dataset(tmp_path / "rows", partitioning="hive"))
    rows = read_rows(source, 0, N)
    assert rows.column_names == ["size", "color", "name"]
    assert rows["name"].to_pylist() == rows["color"].to_pylist()
    assert sorted(rows["size"].to_pylist()) == sorted(X[:, 0].tolist())


def test_files_without_rows_are_read(tmp_path):
    for rows in (0, N):
        source = ArrowRows(parquet(tmp_path, colors().slice(0, rows)))
        assert source.shape == (rows, 3)
        assert read_rows(source, rows, rows).column_names == ["size", "color", "name"]
    (tmp_path / "none").mkdir()
    assert read_rows(as_source(arrow_dataset(tmp_path / "none")), 0, 0).shape == (0, 0)


def test_at_most_some_row_groups_are_in_memory(tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": np.random.default_rng(0).normal(size=200_000)})
    path, size = parquet(tmp_path, table, row_group_size=10_000), table.nbytes
    del table
    source, before, most = ArrowRows(path), pa.total_allocated_bytes(), 0
    for start in range(0, 200_000, 3_000):
        rows = read_rows(source, start, min(start + 3_000, 200_000))
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows.num_rows == 2_000
    assert size / 20 <= most < size / 4


# --- sources of users -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [None, 57, (57,), (57, None), (57, 3, 1), (57.0, 3)])
def test_a_source_without_a_shape_is_refused(shape):
    rows = Rows(X)
    rows.shape = shape
    with pytest.raises(TypeError, match=re.escape(f"must be (n_rows, n_features), got {shape!r} from Rows")):
        as_source(rows)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda rows: rows[:-1], ValueError, "returned rows of shape (4, 3); return rows of shape (5, 3)"),
        (lambda rows: rows[:, :2], ValueError, "returned rows of shape (5, 2); return rows of shape (5, 3)"),
        (lambda rows: frame(rows)[:-1], ValueError, "returned rows of shape (4, 3)"),
        (lambda rows: rows.ravel(), ValueError, "returned rows of shape (15,)"),
        (lambda rows: rows.tolist(), TypeError, "returned an object of type list; return an array or a data"),
        (lambda rows: scipy.sparse.csr_array(rows), TypeError, "returned an object of type csr_array"),
        (lambda rows: None, TypeError, "returned an object of type NoneType"),
        (lambda rows: np.ma.masked_less(rows, 9.0), ValueError, "X is masked at row 10, column 0"),
    ],
)
def test_a_source_that_returns_something_else_is_named(wrong, error, message):
    class Wrong(Rows):
        def read(self, start, stop):
            return wrong(super().read(start, stop))

    with pytest.raises(error, match=re.escape(message)) as caught:
        read_rows(Wrong(X), 10, 15)
    assert "masked" in message or "Wrong.read(10, 15)" in str(caught.value)


FRAMES = {
    "pandas": lambda column: pd.DataFrame({"a": column}),
    "polars": lambda column: pl.DataFrame({"a": column}),
    "pyarrow": lambda column: pytest.importorskip("pyarrow").table({"a": column}),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_types_may_differ_between_blocks(kind, monkeypatch):
    """As those of integers do, if an entry is missing in some blocks."""

    class Frames(Rows):
        def read(self, start, stop):
            rows = super().read(start, stop)
            return FRAMES[kind](rows[:, 0].astype(float if start else int))

    monkeypatch.setattr(sources, "_SPAN", 1)
    some = RowsOf(Frames(np.arange(9)[:, None]), np.array([0, 3, 8]))
    np.testing.assert_array_equal(np.asarray(read_rows(some, 0, 3)), [[0], [3], [8]])


def test_a_source_must_read():
    with pytest.raises(TypeError, match="abstract"):
        type("Nothing", (RowSource,), {})()
