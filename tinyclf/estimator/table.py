"""X of any kind as a matrix of numbers: arrays, sparse matrices and data frames.

Each column of X is a column of the matrix. Entries of category columns are codes: indices into the sorted
categories, see `Encoding`. Missing entries are NaN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ..nn.arrays import Array, all_finite, as_array, check_not_masked
from ..nn.batches import as_csr, entry_blocks
from .encoding import ColumnSummary, Encoding, kind_of, ordinal_encoder
from .sources import ArrayRows, as_source, is_frame, is_streamed, loaded, read_rows
from .targets import some_of

# Non-finite numbers are found later, by `Encoding.rows` and `Scaling.of`, whose errors name the row.
CHECKS: dict[str, Any] = {"accept_sparse": "csr", "ensure_all_finite": False}

# What a column holds, by the name of its dtype in NumPy, pandas, polars or pyarrow; other names: numbers.
_CONTENTS = re.compile(
    r"""(?P<dates>      date | time | duration | period | month_day | >m8 )
    |   (?P<parts>      array | (?:large_|fixed_size_)?list | map | struct | interval )
    |   (?P<others>     complex | (?:large_|fixed_size_)?binary )
    |   (?P<strings>    str | large_string | categor | dictionary | enum | (?-i:[<>]U) )
    |   (?P<booleans>   (?:Sparse\[)?bool )
    |   (?P<objects>    object | null | decimal )""",
    re.IGNORECASE | re.VERBOSE,
)

# NumPy would convert dates to numbers without a warning, and a missing date to -9.2e18.
_REFUSED = {
    "dates": ("numbers and categories, got dates", "convert them to days"),
    "parts": ("one number or category per entry, got several", "make each of its parts a column"),
    "others": ("numbers and categories, got complex numbers or bytes", "convert them to numbers or strings"),
}


def as_table(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Return X as a table whose shape and names are checked, but whose entries may be of any type.

    Parameters
    ----------
    estimator : estimator
        With ``reset``, the number of features and their names are set as its attributes; otherwise
        X is checked against them.
    X : array_like, data frame or sparse matrix of shape (n_samples, n_features)
    reset : bool

    Returns
    -------
    ndarray, CSR or data frame; or a RowSource, if X is too large to be kept in memory
    """
    check_not_masked("X", X)
    source = as_source(X)
    if source is not None:
        if is_streamed(source):
            checked_rows(estimator, read_rows(source, 0, 1), reset=reset)
            return source
        if not isinstance(source, ArrayRows):
            X = read_rows(source, 0, source.shape[0])
    return checked_rows(estimator, X, reset=reset)


def checked_rows(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Return rows that are in memory as a table, see `as_table`."""
    if is_frame(X):
        for name, dtype in frame_columns(X):
            _check_dtype(dtype, f" in the column {name!r}")
    with naming("X"):
        # Sets or checks the names of the columns.
        validate_data(estimator, X, reset=reset, skip_check_array=True, ensure_2d=False)
        width = None if reset else _width(X)
        if width in (None, getattr(estimator, "n_features_in_", None)):
            X = _as_matrix(estimator, X)
            width = X.shape[1]
        if reset:
            estimator.n_features_in_ = width
        if width != estimator.n_features_in_:
            raise ValueError(
                f"X has {width} features, but {type(estimator).__name__} is expecting "
                f"{estimator.n_features_in_} features as input."
            )
    return X


def _width(X: Any) -> int | None:
    """Return the number of columns, or None if it is not known before the entries are read."""
    if isinstance(X, (list, tuple)):
        shape = as_array("X", X[:1]).shape
        same = len(shape) == 2 and all(hasattr(row, "__len__") and len(row) == shape[1] for row in X)
        return shape[1] if same else None
    match getattr(X, "shape", None):
        case (_, Integral() as width):
            return int(width)
    return None


def _as_matrix(estimator: Any, X: Any) -> Any:
    """Return X as an array, CSR or a data frame, with two dimensions, neither of which is 0."""
    given = X
    if issparse(X):
        X = as_csr("X", X)
    elif not (is_frame(X) or isinstance(X, (np.ndarray, *loaded("pandas.Series")))):
        X = as_array("X", X) if isinstance(X, (list, tuple)) else np.asarray(X)
        if X.dtype.kind in "US" and isinstance(given, (list, tuple)):
            X = np.array(given, dtype=object)  # NumPy has turned numbers and missing entries into strings
        if X.ndim == 0:
            raise TypeError(f"X must be an array of shape (n_samples, n_features), got {given!r}")
    if not is_frame(X):
        _check_dtype(X.dtype)
    if len(X.shape) != 2 or 0 in X.shape:
        shape = np.empty(X.shape) if is_frame(X) else X
        check_array(shape, dtype=None, estimator=estimator, **CHECKS)  # raises an error
    return X


def read(
    estimator: Any, table: Any, encoding: Encoding | None = None, weight: Array | None = None
) -> tuple[Any, Encoding]:
    """Return a table as a matrix of numbers, and its encoding.

    Parameters
    ----------
    estimator : estimator
        Its parameters ``categorical_features`` and ``max_categories`` are used.
    table : as `as_table` returns it, of shape (n, n_features)
    encoding : Encoding, optional
        The encoding of an earlier table. Other categories are coded as rare ones.
    weight : ndarray of shape (n,), optional
        The weights of the rows, by which a new encoding counts categories and missing entries.

    Returns
    -------
    X : ndarray or CSR of shape (n, n_features)
        float32 if all number columns are, otherwise float64. It may share memory with the table.
    encoding : Encoding

    Raises
    ------
    ValueError, TypeError
        If an entry is neither a number nor a category, or a column is of another kind than in the
        earlier table; the message names the column.
    """
    if encoding is not None:
        return numbers_and_codes(estimator, table, encoding), encoding
    with naming("X"):
        summary, numbers = _summary_and_numbers(estimator, table, weight)
        encoding = summary.encoding(estimator.max_categories)
        return _with_codes(table, encoding, numbers), encoding


def summarize(estimator: Any, table: Any, weight: Array | None = None) -> ColumnSummary:
    """Return the summary of the columns of a table, whose rows have weights (n,), or 1; see `read`."""
    with naming("X"):
        return _summary_and_numbers(estimator, table, weight)[0]


def numbers_and_codes(estimator: Any, table: Any, encoding: Encoding) -> Any:
    """Return a table as a matrix of numbers, with the codes of an encoding; see `read`."""
    with naming("X"):
        if is_frame(table) and isinstance(estimator.categorical_features, str):  # "from_dtype"
            dtypes = _dtypes(table)
            for j in encoding.numbers:
                if _may_be_category(dtypes[j]):
                    _known_entries(table, j, "numbers")
        if issparse(table) and encoding.categorical.size:
            raise TypeError(
                "X is sparse, but has columns that were categories in fit; pass an array or a data frame"
            )
        numbers = _numbers(estimator, table, encoding.categorical, "held numbers in fit")
        return _with_codes(table, encoding, numbers)


def _numbers(estimator: Any, table: Any, categorical: Array, reason: str) -> Any:
    """Return the number columns of a table as an array or CSR of floats.

    ``reason`` says in an error why a column that has strings must hold numbers.
    """
    columns = np.delete(np.arange(table.shape[1]), categorical)
    return _as_floats(estimator, table, columns, reason) if columns.size else np.empty((table.shape[0], 0))


def _with_codes(table: Any, encoding: Encoding, numbers: Any) -> Any:
    """Return the matrix of the numbers of a table, and of the codes of its categories."""
    if not encoding.categorical.size:
        return numbers
    X = np.full(table.shape, np.nan, numbers.dtype)
    X[:, encoding.numbers] = numbers.toarray() if issparse(numbers) else numbers
    for i, (j, categories) in enumerate(zip(encoding.categorical, encoding.categories, strict=True)):
        entries, known = _known_entries(table, j, kind_of(categories) if len(categories) else None)
        X[known, j] = encoding.codes(i, entries)
    return X


# --- categories -------------------------------------------------------------------------------------


def _summary_and_numbers(estimator: Any, table: Any, weight: Array | None) -> tuple[ColumnSummary, Any]:
    """Return the summary of the columns of a new table, and its number columns."""
    n, width = table.shape
    categorical = _categorical_columns(estimator, table)
    weight = np.ones(n) if weight is None else weight
    counted, n_missing = weight > 0.0, np.zeros(width, np.intp)
    categories, weights = [], []
    for j in categorical:
        entries, known = _known_entries(table, j)
        w = weight[known]
        values, total = _weighed(entries[w > 0.0], w[w > 0.0])
        categories.append(values)
        weights.append(total)
        n_missing[j] = np.count_nonzero(counted & ~known)
    reason = "is not among categorical_features; add it, or convert it to numbers"
    numbers = _numbers(estimator, table, categorical, reason)
    if estimator.scale_inputs:  # otherwise a missing number is an error, which is raised later
        n_missing[np.delete(np.arange(width), categorical)] = _n_missing(numbers, counted)
    n_rows = int(np.count_nonzero(counted))
    found = ColumnSummary(int(width), n_rows, n_missing, categorical, categories, weights, numbers.dtype)
    return found, numbers


def _weighed(entries: Array, weight: Array) -> tuple[Array, Array]:
    """Return the categories among entries that are not missing, sorted, and the total weight of each."""
    if not len(entries):
        return np.array([], object), np.array([])
    encoder = ordinal_encoder("auto", -1, entries)
    codes = encoder.transform(entries[:, None])[:, 0].astype(np.intp)
    return encoder.categories_[0], np.bincount(codes, weight)


def _categorical_columns(estimator: Any, table: Any) -> Array:
    """Return the indices of the category columns of a new table, ascending."""
    setting, width = estimator.categorical_features, int(table.shape[1])
    if isinstance(setting, str):  # "from_dtype"
        dtypes = _dtypes(table) if is_frame(table) else []
        found = [j for j, dtype in enumerate(dtypes) if _is_category(table, j, dtype)]
        return np.array(found, np.int64)
    given = np.asarray([] if setting is None else setting)
    if given.size and issparse(table):
        raise TypeError("a sparse X cannot have categorical_features; pass an array or a data frame")
    fix = f"pass a mask of {width} booleans, column numbers from 0 to {width - 1}, or names of columns"
    if given.ndim != 1 or (given.size and given.dtype.kind not in "biuUO"):
        raise ValueError(f"categorical_features must select columns of X, got {setting!r}; {fix}")
    if given.dtype.kind == "b":
        if len(given) != width:
            raise ValueError(
                f"categorical_features is a mask of length {len(given)}, but X has {width} features; {fix}"
            )
        return np.flatnonzero(given).astype(np.int64)
    if given.dtype.kind in "UO":
        names = getattr(estimator, "feature_names_in_", np.array([])).tolist()
        unknown = [name for name in given.tolist() if name not in names]
        if unknown:
            has = f"the columns {some_of(names)}" if names else "columns without names"
            raise ValueError(f"categorical_features has {unknown[0]!r}, but X has {has}; {fix}")
        given = np.array([names.index(name) for name in given.tolist()])
    outside = given[(given < 0) | (given >= width)]
    if outside.size:
        raise ValueError(f"categorical_features has {outside[0]}, but X has {width} features; {fix}")
    return np.unique(given).astype(np.int64)


def _is_category(table: Any, j: int, dtype: Any) -> bool:
    """Return whether a column of a data frame is read as categories, given its dtype."""
    if _contents(dtype) == "objects":
        entries, _ = _known_entries(table, j)
        return not len(entries) or kind_of(entries) != "numbers"
    return _may_be_category(dtype)


def _known_entries(table: Any, j: int, expected: str | None = None) -> tuple[Array, Array]:
    """Return the entries of a column that are not missing, in one type, and where they are, (n,).

    Strings are in an array of objects. ``expected`` is the kind of the entries in fit, see `kind_of`.
    """
    values = column_entries(table, j)
    types = _entry_types(values, table, j)
    if types - {str, type(None)}:
        known = np.array([not is_missing(value) for value in values.tolist()], bool)
    else:
        known = values != None if types else values == values  # noqa: E711
    values = values[known]
    kind = kind_of(values)
    if kind == "strings":
        values = values.astype(object, copy=False)
        if types - {str, type(None)}:  # of a member of an enum, the value
            values = np.array([str.__str__(value) for value in values], object)
    elif kind is not None and values.dtype == object:
        values = np.array(values.tolist())
        values = _as_float64(values, table, j) if values.dtype == object else values
    if kind is None:
        names = " and ".join(sorted({type(value).__name__ for value in values.tolist()}))
        raise TypeError(
            f"X must hold numbers and categories, but {_place(table, j)} has entries of type {names}, "
            f"such as {values.tolist()[0]!r}; convert them all to numbers, or all to strings"
        )
    if len(values) and kind != (expected or kind):
        raise TypeError(
            f"{_place(table, j)} held {expected} in fit, but now has {kind}, such as {values.tolist()[0]!r}; "
            "convert it to the type that it had in fit"
        )
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise ValueError(f"X is inf in {_place(table, j)}, which holds categories; replace it")
    return values, known


def _as_float64(values: Array, table: Any, j: int, reason: str = "") -> Array:
    """Return the entries of a column as float64; an error names the column, and the reason."""
    try:
        return values.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{error} in {_place(table, j)}{reason}") from None


def column_entries(table: Any, j: int) -> Array:
    """Return a column as an array; in an array of objects, None, NaN and pandas.NA are missing entries."""
    if hasattr(table, "iloc"):
        column = table.iloc[:, j]
        if hasattr(column, "cat"):  # its own conversion makes integers floats if entries are missing
            values = np.append(column.cat.categories.to_numpy(dtype=object), [None])[column.cat.codes]
        elif isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
            values = column.to_numpy()
        else:
            values = column.to_numpy(dtype=object, na_value=None)
    elif hasattr(table, "to_series"):
        column = table.to_series(int(j))
        integers = column.dtype.is_integer() and column.null_count() > 0  # as an array, these are floats
        values = np.array(column.to_list(), object) if integers else column.to_numpy()
    elif is_frame(table):
        column = table.column(int(j))
        # As an array, a dictionary column would have other entries instead of null, and integers are floats.
        listed = hasattr(column.type, "value_type") or ("int" in str(column.type) and column.null_count > 0)
        values = np.array(column.to_pylist(), object) if listed else column
    else:
        values = table[:, j]
    values = np.asarray(values)
    return values.astype(object) if values.dtype.kind == "T" else values  # these may be missing


def _entry_types(values: Array, table: Any, j: int) -> set[type]:
    """Return the types of the entries of a column, if it is an array of objects; dates are an error."""
    types = {*map(type, values.tolist())} if values.dtype == object else set()
    for kind in types:
        if issubclass(kind, np.generic):
            _check_dtype(kind.__name__, f" in {_place(table, j)}")
    return types


def is_missing(value: Any) -> bool:
    """Return whether an object is a missing entry: None, NaN or pandas.NA."""
    if isinstance(value, (float, np.floating, Decimal)):
        return bool(value != value)
    return value is None or type(value).__name__ == "NAType"


def _n_missing(X: Any, counted: Array) -> Array:
    """Return the number of missing entries (NaN) of each column, among the counted rows."""
    X = X if counted.all() else X[counted]
    n_missing = np.zeros(X.shape[1], np.intp)
    if issparse(X):
        n_missing += np.bincount(X.indices[np.isnan(X.data)], minlength=X.shape[1])
    else:
        for block in entry_blocks(X):
            if not all_finite(block):
                n_missing += np.isnan(block).sum(axis=0)
    return n_missing


# --- numbers ----------------------------------------------------------------------------------------


def _selected(table: Any, columns: Array) -> Any:
    """Return these columns of a table."""
    if hasattr(table, "iloc"):
        return table.iloc[:, columns]
    return table.select(columns.tolist()) if hasattr(table, "to_pylist") else table[:, columns.tolist()]


def _as_floats(estimator: Any, table: Any, columns: Array, reason: str) -> Any:
    """Return columns of a table as an array, or as CSR without duplicates: float32 if all are, else float64.

    ``reason`` says why a column that has strings must hold numbers.
    """
    if is_frame(table):
        given = _dtypes(table)
        dtypes = {given[j] for j in columns}
    else:
        dtypes = {table.dtype}
    if not all(map(_is_numeric, dtypes)):
        return np.stack([_as_numbers(table, j, reason) for j in columns], axis=1)
    if len(columns) < table.shape[1]:
        table = _selected(table, columns)
    if is_frame(table) and not hasattr(table, "iloc"):
        table = np.asarray(table)
        dtypes = {table.dtype}
    # The types of pandas' nullable, pyarrow and sparse columns.
    dtypes = {getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)) for dtype in dtypes}
    plain = all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in dtypes)
    single = plain and np.result_type(*dtypes) == np.float32
    with np.errstate(over="ignore"):  # a long double may be beyond float64
        X = check_array(table, dtype=np.float32 if single else np.float64, estimator=estimator, **CHECKS)
    if issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _is_numeric(dtype: Any) -> bool:
    """Return whether scikit-learn reads columns with a dtype as numbers; sparse ones must be 0 elsewhere."""
    return _contents(dtype) not in ("strings", "objects") and getattr(dtype, "fill_value", 0) == 0


def _as_numbers(table: Any, j: int, reason: str) -> Array:
    """Return a column as float64."""
    values = column_entries(table, j)
    if "NAType" in {kind.__name__ for kind in _entry_types(values, table, j)}:
        values = np.array([None if is_missing(value) else value for value in values], object)
    return _as_float64(values, table, j, f", which {reason}")


def frame_columns(frame: Any) -> Iterator[tuple[Any, Any]]:
    """Yield name and dtype of each column of a data frame."""
    pyarrow = not hasattr(frame, "dtypes")
    names = frame.column_names if pyarrow else frame.columns
    return zip(names, frame.schema.types if pyarrow else frame.dtypes, strict=True)


def _dtypes(frame: Any) -> list[Any]:
    return [dtype for _, dtype in frame_columns(frame)]


def _place(table: Any, j: int) -> str:
    """Return the text by which errors name a column."""
    return f"the column {[*frame_columns(table)][j][0]!r}" if is_frame(table) else f"column {j}"


def _contents(dtype: Any) -> str:
    """Return what a column with a dtype of any library holds: a group of _CONTENTS, or "numbers"."""
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        return "numbers"  # quickly: a data frame may have many columns, and many blocks of few rows
    found = _CONTENTS.match(str(dtype))
    return "numbers" if found is None else str(found.lastgroup)


def _may_be_category(dtype: Any) -> bool:
    return _contents(dtype) in ("strings", "booleans", "objects")


def _check_dtype(dtype: Any, where: str = "") -> None:
    """Raise an error if a dtype of any library is that of dates, of records or of several numbers."""
    contents = _contents(dtype)
    if contents in _REFUSED and (where or contents != "others"):  # scikit-learn refuses complex arrays
        found, fix = _REFUSED[contents]
        raise TypeError(f"X must hold {found}, dtype {dtype}{where}; {fix}")
    if getattr(dtype, "names", None):
        raise TypeError(f"X must hold real numbers, got records of dtype {dtype}; select columns")


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Add the name of the argument to an error in the block, whichever library raises it."""
    try:
        yield
    except Warning:
        raise
    except Exception as error:
        if isinstance(error, (TypeError, ValueError)) and re.search(rf"\b{name}\b", str(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        nested = "array element with a sequence" in str(error)
        raise kind(f"{name}: {'an entry is a sequence, not a number' if nested else error}") from None
