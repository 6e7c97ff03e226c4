"""Row sources: X of any kind as rows that are read in blocks.

A source hides how rows are stored: as an array in memory, as an array or a data frame in files, or as the
result of a Dask computation. Its reader asks for ranges of consecutive rows, whatever the chunks of the
storage are.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from ..nn.arrays import Array, check_not_masked

WINDOW = 2**25
"""Entries of X that are in memory at once: a source with at most as many is read wholly."""

_SPAN = 2**17  # entries of the ranges from which `RowsOf` takes single rows


class RowSource(ABC):
    """Rows of X that are read in blocks, so that they need not fit into memory.

    Pass a subclass as X if the rows are neither in an array nor in a data frame. NumPy arrays and memory
    maps, Zarr and h5py arrays, Dask arrays and data frames, and PyArrow data sets need no subclass.

    Attributes
    ----------
    shape : (int, int)
        Number of rows, and number of features.

    See Also
    --------
    ArrowRows : Rows of Parquet files.

    Notes
    -----
    The rows must not change during a fit, which reads each of them several times. Blocks are read in a
    random order in each epoch, so ``read`` should not read all rows that come before.

    Examples
    --------
    The rows of a table of a database:

    >>> import sqlite3
    >>> import numpy as np
    >>> from tinyclf import RowSource
    >>> class SQLRows(RowSource):
    ...     def __init__(self, connection):
    ...         self.connection = connection
    ...         self.shape = (connection.execute("SELECT count(*) FROM sizes").fetchone()[0], 2)
    ...
    ...     def read(self, start, stop):
    ...         query = "SELECT length, width FROM sizes WHERE rowid > ? AND rowid <= ? ORDER BY rowid"
    ...         return np.array(self.connection.execute(query, (start, stop)).fetchall())
    >>> connection = sqlite3.connect(":memory:")
    >>> _ = connection.execute("CREATE TABLE sizes (length REAL, width REAL)")
    >>> _ = connection.executemany("INSERT INTO sizes VALUES (?, ?)", [(5.1, 3.5), (4.9, 3.0), (4.7, 3.2)])
    >>> rows = SQLRows(connection)
    >>> rows.shape
    (3, 2)
    >>> rows.read(1, 3)
    array([[4.9, 3. ],
           [4.7, 3.2]])
    >>> connection.close()
    """

    shape: tuple[int, int]

    @abstractmethod
    def read(self, start: int, stop: int) -> Any:
        """Return rows start, ..., stop - 1.

        Parameters
        ----------
        start, stop : int
            0 <= start <= stop <= shape[0].

        Returns
        -------
        ndarray or data frame of shape (stop - start, n_features)
            A data frame of pandas or polars, or a pyarrow.Table. All blocks must be of the same kind, and
            have the same columns. Later calls must not change it: do not return a buffer that is used again.
        """


def as_source(X: Any) -> RowSource | None:
    """Return X as a source of rows, or None if its rows cannot be read in blocks.

    Parameters
    ----------
    X : object
        A source is a `RowSource`; an array, or anything else with a two-dimensional shape, a dtype and
        slices; a data frame of pandas, polars or pyarrow; a pyarrow.dataset.Dataset; or a Dask array or
        data frame.

    Raises
    ------
    TypeError
        If the shape of a user's source is not a pair of integers.
    """
    if isinstance(X, RowSource):
        match getattr(X, "shape", None):
            case (Integral(), Integral()):
                return X
            case shape:
                raise TypeError(
                    f"the shape of a source X must be (n_rows, n_features), got {shape!r} from "
                    f"{type(X).__name__}; set self.shape to two integers"
                )
    if _is_sparse(X):
        return None
    if is_frame(X):
        return FrameRows(X)
    if isinstance(X, loaded("pyarrow.dataset.Dataset")):
        return ArrowRows(X)
    if isinstance(X, loaded("dask.dataframe.DataFrame", "dask.array.Array")):
        return DaskRows(X) if X.ndim == 2 else None
    match getattr(X, "shape", None):
        case (Integral(), Integral()) if hasattr(X, "dtype") and hasattr(X, "__getitem__"):
            pass
        case _:
            return None
    match getattr(X, "chunks", None):
        case (Integral() as length, _) if 0 < length * X.shape[1] <= WINDOW:
            return ChunkRows(X, int(length))
    return ArrayRows(X)


def is_streamed(source: RowSource) -> bool:
    """Return whether a source has more entries than a fit keeps in memory."""
    n, width = source.shape
    return n * width > WINDOW


def read_rows(source: RowSource, start: int, stop: int) -> Any:
    """Return rows start, ..., stop - 1 of a source, as an array or a data frame.

    Raises
    ------
    TypeError, ValueError
        If the source returns something else, or another number of rows or columns.
    """
    rows, expected = source.read(start, stop), (stop - start, source.shape[1])
    call = f"X must be read in blocks, but {type(source).__name__}.read({start}, {stop})"
    if not (is_frame(rows) or hasattr(rows, "__array__")):
        raise TypeError(
            f"{call} returned an object of type {type(rows).__name__}; return an array or a data frame"
        )
    rows = _in_memory(rows, start)
    if rows.shape != expected:
        raise ValueError(f"{call} returned rows of shape {rows.shape}; return rows of shape {expected}")
    return rows


def is_frame(X: Any) -> bool:
    """Return whether X is a data frame from which scikit-learn reads names of columns, and takes rows."""
    return isinstance(X, loaded("pandas.DataFrame", "polars.DataFrame", "pyarrow.Table"))


def _is_sparse(X: Any) -> bool:
    """Return whether X is a sparse matrix, or a data frame that scikit-learn converts to one."""
    if isinstance(X, loaded("pandas.DataFrame")):
        return all(isinstance(dtype, loaded("pandas.SparseDtype")) for dtype in X.dtypes)
    return bool(issparse(X))


def loaded(*names: str) -> tuple[type[Any], ...]:
    """Return the classes with these names whose modules are loaded; otherwise no object has the class."""
    parts = (name.rpartition(".") for name in names)
    classes = (getattr(sys.modules.get(library), name, None) for library, _, name in parts)
    return tuple(kind for kind in classes if kind is not None)


def _in_memory(rows: Any, first_row: int) -> Any:
    """Return a block of rows as it is if it is a data frame, otherwise as an array."""
    if is_frame(rows):
        return rows
    check_not_masked("X", rows, first_row)
    return np.asarray(rows)


# --- rows that can be read from anywhere ------------------------------------------------------------


class ArrayRows(RowSource):
    """The rows of an array in memory or in a file."""

    def __init__(self, X: Any) -> None:
        self._X = X
        self.shape = (int(X.shape[0]), int(X.shape[1]))

    def read(self, start: int, stop: int) -> Any:
        return self._X[start:stop]


class FrameRows(ArrayRows):
    """The rows of a data frame of pandas, polars or pyarrow in memory, ``frame``."""

    def __init__(self, X: Any) -> None:
        super().__init__(X)
        self.frame = X

    def read(self, start: int, stop: int) -> Any:
        return _safe_indexing(self.frame, slice(start, stop))


class RowsOf(RowSource):
    """Some rows of a source.

    Parameters
    ----------
    source : RowSource
    rows : ndarray of int, shape (n,)
        The numbers of the rows, ascending.
    """

    def __init__(self, source: RowSource, rows: Array) -> None:
        self._source, self._rows = source, rows
        self.shape = (len(rows), source.shape[1])

    def read(self, start: int, stop: int) -> Any:
        """Return rows start, ..., stop - 1 of these rows, which are taken from short ranges of the source."""
        wanted, span = self._rows[start:stop], max(1, _SPAN // max(1, self.shape[1]))
        parts: list[Any] = []
        while len(wanted):
            group = wanted[: np.searchsorted(wanted, int(wanted[0]) + span)]
            wanted = wanted[len(group) :]
            rows = read_rows(self._source, int(group[0]), int(group[-1]) + 1)
            parts.append(_safe_indexing(rows, group - group[0]))
        return concatenated(parts or [read_rows(self._source, 0, 0)])


# --- rows that are decoded in pieces ----------------------------------------------------------------


class _PieceRows(RowSource):
    """Rows that can be decoded only in whole pieces, such as row groups or partitions.

    The last piece is kept, so that reading in order decodes each piece once.

    Parameters
    ----------
    lengths : sequence of int
        Number of rows of each piece.
    n_features : int
    """

    def __init__(self, lengths: Sequence[int], n_features: int) -> None:
        self._starts = [*accumulate(lengths or [0], initial=0)]
        self._last: tuple[int, Any] = (-1, None)  # replaced as a whole: other threads may read, too
        self.shape = (self._starts[-1], n_features)

    @abstractmethod
    def _decode(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Return the pieces with these numbers, as arrays or data frames."""

    def read(self, start: int, stop: int) -> Any:
        first = min(bisect_right(self._starts, start) - 1, len(self._starts) - 2)
        numbers = range(first, max(bisect_left(self._starts, stop), first + 1))
        pieces = dict([self._last])
        missing = [i for i in numbers if i not in pieces]
        pieces.update(zip(missing, self._decode(missing), strict=True))
        self._last = (numbers[-1], pieces[numbers[-1]])
        slices = {i: slice(max(start - self._starts[i], 0), stop - self._starts[i]) for i in numbers}
        return concatenated([_safe_indexing(pieces[i], part) for i, part in slices.items()])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": (-1, None)}


class ChunkRows(_PieceRows):
    """The rows of an array in chunks of a given length, such as those of Zarr and h5py."""

    def __init__(self, X: Any, length: int) -> None:
        self._X = X
        n, width = map(int, X.shape)
        super().__init__([min(length, n - start) for start in range(0, n, length)], width)

    def _decode(self, numbers: Sequence[int]) -> Sequence[Any]:
        return [_in_memory(self._X[self._starts[i] : self._starts[i + 1]], self._starts[i]) for i in numbers]


class DaskRows(_PieceRows):
    """The rows of a Dask array or data frame; partitions are computed by the scheduler that is in use.

    The lengths of the partitions are computed first if they are not known.
    """

    def __init__(self, X: Any) -> None:
        if hasattr(X, "map_partitions"):
            lengths = [int(length) for length in X.map_partitions(len).compute()]
        else:
            if np.isnan(X.shape).any():
                X = X.copy()  # computing the sizes changes an array
                X.compute_chunk_sizes()
            lengths = [int(length) for length in X.chunks[0]]
        self._X = X
        super().__init__(lengths, int(X.shape[1]))

    def _decode(self, numbers: Sequence[int]) -> Sequence[Any]:
        from dask import compute

        computed = compute(*(self._X.partitions[i] for i in numbers))
        pieces = [_in_memory(piece, self._starts[i]) for i, piece in zip(numbers, computed, strict=True)]
        for i, piece in zip(numbers, pieces, strict=True):
            if is_frame(piece) and (found := [*piece.columns]) != (names := [*self._X.columns]):
                raise ValueError(
                    f"each partition of X must have the columns {names}, got {found} in partition {i}; "
                    "select them by name in each partition"
                )
        return pieces


class ArrowRows(_PieceRows):
    """Rows of Parquet files, which are read one row group at a time.

    Parameters
    ----------
    dataset : str, path or pyarrow.dataset.Dataset
        A Parquet file, a folder of Parquet files, or any data set without a filter. Columns of files at a
        path get a common type, such as float64 for int64 and float64. A data set keeps the types of its
        schema. Files of other formats, such as CSV and Arrow IPC, are decoded one file at a time.
    columns : list of str, optional
        The names of the features, in this order; all columns by default.

    Attributes
    ----------
    shape : (int, int)
        Number of rows, and number of features.

    Raises
    ------
    ValueError
        If a column does not exist or is chosen twice, or, while rows are read, if entries of a file
        cannot be converted to the type of the column.
    TypeError
        If columns of several files have no common type.

    See Also
    --------
    RowSource : Rows of any other kind.

    Notes
    -----
    If rows are streamed, each epoch decodes a row group once for each window of rows that has some of its
    rows. Small row groups make this fast: pass for example ``row_group_size=10_000`` to
    pyarrow.parquet.write_table.

    Examples
    --------
    The labels are a column of the same file, and are read into memory:

    >>> import os, tempfile
    >>> import pyarrow as pa
    >>> import pyarrow.parquet as pq
    >>> from tinyclf import ArrowRows
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "flowers.parquet")
    >>> table = {"length": [5.1, 4.9, 4.7], "color": ["blue", "red", None], "name": ["a", "b", "a"]}
    >>> pq.write_table(pa.table(table), path)
    >>> X = ArrowRows(path, columns=["length", "color"])
    >>> y = pq.read_table(path, columns=["name"])["name"].to_numpy()
    >>> X.shape, y.shape
    ((3, 2), (3,))
    >>> X.read(1, 3).to_pylist()
    [{'length': 4.9, 'color': 'red'}, {'length': 4.7, 'color': None}]
    >>> folder.cleanup()
    """

    def __init__(self, dataset: Any, columns: Sequence[str] | None = None) -> None:
        if isinstance(dataset, (str, Path)):
            dataset = _parquet(dataset)
        if not isinstance(dataset, loaded("pyarrow.dataset.Dataset")):
            raise TypeError(
                f"dataset must be a path or a pyarrow.dataset.Dataset, got {type(dataset).__name__}; "
                "pass a data frame in memory to fit as it is"
            )
        names = dataset.schema.names
        self._columns = [*(names if columns is None else columns)]
        known = {*self._columns} <= {*names} and len({*self._columns}) == len(self._columns)
        if columns is not None and (isinstance(columns, str) or not self._columns or not known):
            raise ValueError(
                f"columns must be a list of different names of columns, {names}, got {columns!r}"
            )
        self._schema = dataset.schema
        pieces = [piece for fragment in dataset.get_fragments() for piece in _row_groups(fragment)]
        self._pieces = [fragment for fragment, _ in pieces]
        super().__init__([length for _, length in pieces], len(self._columns))

    def _decode(self, numbers: Sequence[int]) -> Sequence[Any]:
        if not self._pieces:
            return [self._schema.empty_table().select(self._columns) for _ in numbers]
        return [self._decode_piece(self._pieces[i]) for i in numbers]

    def _decode_piece(self, piece: Any) -> Any:
        try:
            return piece.to_table(schema=self._schema, columns=self._columns)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ValueError(
                f"X must be convertible to the schema of its data set, got other types in "
                f"{getattr(piece, 'path', piece)}: {error}; pass the path to ArrowRows, or set the schema"
            ) from None


def _parquet(path: str | Path) -> Any:
    """Return the Parquet files at a path as a data set, whose columns have a type that all files allow."""
    try:
        import pyarrow
        from pyarrow.dataset import dataset
    except ImportError:
        raise ImportError("ArrowRows needs pyarrow, which is not installed: pip install pyarrow") from None
    found = dataset(path, format="parquet")
    schemas = [fragment.physical_schema for fragment in found.get_fragments()]
    schema = pyarrow.unify_schemas([found.schema, *schemas], promote_options="permissive")
    return dataset(path, format="parquet", schema=schema)


def _row_groups(fragment: Any) -> list[tuple[Any, int]]:
    """Return the parts of a file of a data set that are decoded as a whole, with their numbers of rows."""
    if not hasattr(fragment, "split_by_row_group"):
        return [(fragment, fragment.count_rows())]
    # count_rows() of a row group counts the rows of its file.
    return [(group, group.row_groups[0].num_rows) for group in fragment.split_by_row_group()]


def concatenated(parts: Sequence[Any]) -> Any:
    """Return blocks of rows of one kind as a single block."""
    if len(parts) == 1:
        return parts[0]
    if hasattr(parts[0], "iloc"):
        return _concatenated_pandas(parts)
    if hasattr(parts[0], "to_series"):
        import polars

        return polars.concat(parts, how="vertical_relaxed")
    if is_frame(parts[0]):
        import pyarrow

        return pyarrow.concat_tables(parts, promote_options="permissive")
    return np.concatenate(parts)


def _concatenated_pandas(parts: Sequence[Any]) -> Any:
    """Return data frames of pandas as one, in which category columns have the categories of all parts.

    pandas.concat would turn a column whose categories differ into numbers or objects.
    """
    import pandas

    dtypes: dict[int, Any] = {}
    for j in range(parts[0].shape[1]):
        found = [part.dtypes.iloc[j] for part in parts]
        if all(isinstance(dtype, pandas.CategoricalDtype) for dtype in found) and len({*found}) > 1:
            categories = found[0].categories.append([dtype.categories for dtype in found[1:]])
            dtypes[j] = pandas.CategoricalDtype(categories.unique())
    parts = [part.copy(deep=False) for part in parts] if dtypes else parts
    for j, dtype in dtypes.items():
        for part in parts:
            part.isetitem(j, part.iloc[:, j].astype(dtype))
    return pandas.concat(parts)
