"""Rows of the input, checked, and read batch by batch in the type that the network computes in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .arrays import PARAMETER_BLOCK, Array, all_finite, as_array

# Entries per block of a conversion: 128 KB of float64, which fit into the cache.
ENTRY_BLOCK = 16384

SPARSE_PAYS = 0.05
"""The largest fraction of nonzero entries at which sparse products are faster than dense ones, measured
with 1,000 to 20,000 columns and 10 to 512 units."""


class Rows:
    """Base class of the rows (n, n_in) that a network reads.

    Training reads batches of any rows by `gather`; prediction reads consecutive rows by `block`.
    """

    def __len__(self) -> int:
        """Return the number of rows."""
        raise NotImplementedError

    def gather(self, rows: Array, out: Array) -> Any:
        """Return the rows with these valid indices, written into ``out`` (len(rows), n_in), or as CSR."""
        raise NotImplementedError

    def block(self, start: int, stop: int) -> Any:
        """Return the rows from start to stop, as an array or as CSR."""
        raise NotImplementedError

    def permuted(self, rows: Array, rng: np.random.Generator) -> Array:
        """Return these row numbers, which are ascending, in the random order of an epoch."""
        order = rows.astype(np.intp)  # numbers of 8 bytes are shuffled in half the time of those of 4
        rng.shuffle(order)
        return order


class DenseRows(Rows):
    """Rows of a C-ordered array (n, n_in) in the type that the network computes in, all entries finite."""

    def __init__(self, X: Array) -> None:
        self.X = X.view()
        self.X.flags.writeable = False  # a user-defined layer must not overwrite the caller's rows

    def __len__(self) -> int:
        return len(self.X)

    def gather(self, rows: Array, out: Array) -> Array:
        # Without mode="clip", take writes to an intermediate buffer and takes more than twice as long.
        return self.X.take(rows, 0, out, "clip")

    def block(self, start: int, stop: int) -> Array:
        return self.X[start:stop]


class CsrRows(Rows):
    """Rows of a SciPy CSR matrix or array (n, n_in) in the network's type, all entries finite.

    With ``stays_sparse``, batches are CSR, too, if at most 5 % of the entries are nonzero, because
    sparse products are then faster. Otherwise batches are dense.
    """

    def __init__(self, X: Any, stays_sparse: bool) -> None:
        self.X = X
        self.stays_sparse = stays_sparse and X.nnz <= SPARSE_PAYS * X.shape[0] * X.shape[1]

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def gather(self, rows: Array, out: Array) -> Any:
        return self.X[rows] if self.stays_sparse else self.X[rows].toarray(out=out)

    def block(self, start: int, stop: int) -> Any:
        part = self.X[start:stop]
        return part if self.stays_sparse else part.toarray()


class UncheckedRows(Rows):
    """Rows that `block` checks and converts, so memory does not grow with the number of rows.

    These rows are for prediction; `gather` is not implemented.

    Parameters
    ----------
    X : array_like or SciPy sparse matrix of shape (n, n_in)
    dtype, n_in, stays_sparse
        See `as_rows`.
    """

    def __init__(self, X: Any, dtype: DTypeLike, n_in: int, stays_sparse: bool) -> None:
        self.X = canonical(X)
        if self.X.ndim != 2:
            raise ValueError(f"the input must have shape (n, {n_in}), got {self.X.shape}")
        self.dtype, self.n_in, self.stays_sparse = dtype, n_in, stays_sparse

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def block(self, start: int, stop: int) -> Any:
        rows = _finite_rows(self.X[start:stop], self.dtype, self.n_in, start, self.stays_sparse)
        return rows.block(0, len(rows))


def as_rows(X: Any, dtype: DTypeLike, n_in: int, first_row: int = 0, stays_sparse: bool = False) -> Rows:
    """Check the input and return it as Rows; it is copied only if its type or memory order differs.

    Parameters
    ----------
    X : array_like or SciPy sparse matrix of shape (n, n_in), or Rows
        `Rows` are returned as they are.
    dtype : the type that the network computes in
    n_in : int
    first_row : int, default=0
        Number of the first row of X in error messages, if X is a part of a larger input.
    stays_sparse : bool, default=False
        See `CsrRows`.

    Raises
    ------
    ValueError
        If the shape does not fit, a sparse matrix is malformed, or an entry is not a finite number of
        that type. The message names its row and column.
    TypeError
        If the entries are not real numbers.
    """
    return X if isinstance(X, Rows) else _finite_rows(canonical(X), dtype, n_in, first_row, stays_sparse)


def _finite_rows(X: Any, dtype: DTypeLike, n_in: int, first_row: int, stays_sparse: bool) -> Rows:
    """Return an array, or canonical CSR, as Rows; ``first_row`` is the number of its first row in errors."""
    if X.ndim != 2 or X.shape[1] != n_in:
        raise ValueError(f"the input must have shape (n, {n_in}), got {X.shape}")
    kind = np.dtype(dtype)
    if hasattr(X, "tocsr"):
        values = converted(X.data, kind)
        if values is None:
            raise not_finite(X, kind, first_row)
        same = X if values is X.data else type(X)((values, X.indices, X.indptr), shape=X.shape)
        return CsrRows(same, stays_sparse)
    values = converted(X, kind)
    if values is None:
        raise not_finite(X, kind, first_row)
    return DenseRows(values)


def canonical(X: Any) -> Any:
    """Return X as an array, or as CSR without duplicate entries; its entries must be real numbers."""
    if hasattr(X, "tocsr"):
        X = as_csr("the input", X)
        if not X.has_canonical_format:  # the sum of duplicate entries may overflow
            X = X.copy()
            X.sum_duplicates()
    else:
        X = as_array("the input", X)
    if X.dtype.kind not in "biuf":
        raise TypeError(f"the input must hold real numbers, got dtype {X.dtype}")
    return X


def as_csr(name: str, X: Any) -> Any:
    """Return a SciPy sparse matrix as CSR, which shares its memory if possible; errors call it ``name``.

    Raises
    ------
    ValueError
        If an array of X does not fit the shape or another array. SciPy's compiled code does not check
        them, and would read or write beyond their end.
    """
    given = type(X).__name__
    try:
        if X.format == "lil" and [*map(len, X.rows)] != [*map(len, X.data)]:
            raise ValueError("rows and data differ in length")
        if X.format == "coo":
            return type(X)((X.data, X.coords), shape=X.shape).tocsr()  # checks the indices
        if X.format not in ("csr", "csc", "bsr"):
            X = X.tocsr()
        if X.indices.dtype.kind not in "iu" or X.indptr.dtype.kind not in "iu":
            raise ValueError(f"indices must be integers, got {X.indices.dtype} and {X.indptr.dtype}")
        X = type(X)((X.data, X.indices, X.indptr), shape=X.shape)  # check_format may replace arrays
        X.check_format(full_check=True)
        if (np.diff(X.indptr) < 0).any():  # check_format overlooks it if the last pointer is 0
            raise ValueError("indptr must not decrease")
        return X.tocsr()
    except Exception as error:  # SciPy raises many types for arrays that do not fit
        raise ValueError(
            f"{name} is a malformed {given}: {error}; create it again, for example from a coo_array"
        ) from None


def as_weights(sample_weight: ArrayLike | None, n: int) -> Array | None:
    """Check the weights of n rows and return them as float64 (n,); a single number is used for all rows."""
    if sample_weight is None:
        return None
    w = as_array("sample_weight", sample_weight)
    if w.dtype.kind not in "biufO":
        raise TypeError(f"sample_weight must hold real numbers, got dtype {w.dtype}")
    if w.shape not in ((), (n,)):
        raise ValueError(f"sample_weight must have shape ({n},), one weight per row, got {w.shape}")
    if w.dtype == object:  # astype would convert dates in it to numbers
        dates = [t for t in {*map(type, w.flat)} if issubclass(t, (np.datetime64, np.timedelta64))]
        if dates:
            date = next(entry for entry in w.flat if type(entry) in dates)
            raise TypeError(f"sample_weight must hold real numbers, got {date!r}")
    try:
        w = w.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"sample_weight must hold real numbers, got {w.ravel()[:5].tolist()}") from None
    except OverflowError as error:  # a Python int
        raise ValueError(f"sample_weight is beyond the range of float64: {error}") from None
    if w.ndim == 0:
        w = np.full(n, w)
    wrong = np.flatnonzero(~((w >= 0) & (w < np.inf)))
    if wrong.size:
        raise ValueError(f"sample_weight must be finite and >= 0, got {w[wrong[0]]} at row {wrong[0]}")
    if n and not w.any():
        raise ValueError(f"all {n} entries of sample_weight are zero; at least one row must count")
    with np.errstate(over="ignore"):
        total = w.sum()
    if not total < np.inf:
        raise ValueError("the sum of sample_weight is beyond the range of float64; divide it by its largest")
    return w


def entry_blocks(X: Array, *more: Array) -> Any:
    """Iterate over blocks of rows that fit into the cache: of X, or of X and arrays with as many rows."""
    step = max(1, ENTRY_BLOCK // max(1, X[:1].size))
    with np.errstate(all="ignore"):
        for start in range(0, len(X), step):
            blocks = [a[start : start + step] for a in (X, *more)]
            yield blocks if more else blocks[0]


def converted(X: Array, dtype: np.dtype[Any]) -> Array | None:
    """Return X in C order and this type, or None if an entry is not finite in it.

    X itself is returned if no conversion is needed. Conversion and check make one pass over memory, in
    blocks that fit into the cache: for 12,000 x 784 float64 entries this takes 8 milliseconds
    instead of 12.
    """
    if X.size <= ENTRY_BLOCK:
        with np.errstate(all="ignore"):
            out = X.astype(dtype, "C", copy=False)
            return out if all_finite(out) else None
    if X.dtype == dtype and X.flags.c_contiguous:
        flat = X.reshape(-1)
        blocks = (flat[start : start + PARAMETER_BLOCK] for start in range(0, flat.size, PARAMETER_BLOCK))
        with np.errstate(all="ignore"):
            return X if all(map(all_finite, blocks)) else None
    out = np.empty(X.shape, dtype)
    for given, block in entry_blocks(X, out):
        block[...] = given
        if not all_finite(block):
            return None
    return out


def not_finite(X: Any, dtype: DTypeLike, first_row: int = 0, values: Any = None) -> ValueError:
    """Return an error that names the first entry that is not finite in a type.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, n_in)
        The input; the message shows its entry.
    dtype : float32 or float64
    first_row : int, default=0
        Number of the first row of X in the message.
    values : ndarray, optional
        The numbers of which one was found not finite, such as scaled entries: one for each entry of
        X, or of ``X.tocoo().data``. Default: these entries.
    """
    kind = np.dtype(dtype)
    with np.errstate(all="ignore"):
        entries = X.tocoo() if hasattr(X, "tocoo") else None
        given = X if entries is None else entries.data
        numbers = (given if values is None else values).astype(kind)
        wrong = np.flatnonzero(~(np.isfinite(given) & np.isfinite(numbers)))
        # If these values are finite, since they were computed in another way, the largest entry is the cause.
        first = wrong[0] if wrong.size else np.abs(given).argmax()
    at = np.unravel_index(first, given.shape)
    value = given[at]
    row, column = at if entries is None else (entries.row[at], entries.col[at])
    fix = "scale the column" if kind == np.float64 else 'scale the column, or train in dtype="float64"'
    if not np.isfinite(value):
        fix = "remove or impute it"
    shown = "NaN" if np.isnan(value) else value
    return ValueError(
        f"the input is {shown} at row {first_row + row}, column {column}, which is not a finite {kind} "
        f"number; {fix}"
    )
