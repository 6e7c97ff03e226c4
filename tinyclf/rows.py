"""Rows of the input: hand a batch to the first layer, in the type that the network computes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .views import Array, all_finite, as_array

if TYPE_CHECKING:
    from .scaling import Scaling

# Entries per block of a conversion.
ENTRIES = 16384

# The largest share of entries that are not zero at which sparse products beat dense ones: measured with 1,000
# to 20,000 columns and 10 to 512 units.
_PAYS = 0.05


class DenseRows:
    """Rows of a C-ordered array (n, n_in) in the computation's type."""

    def __init__(self, X: Array) -> None:
        self.X = X

    def __len__(self) -> int:
        return len(self.X)

    def gather(self, rows: Array, room: Array) -> Array:
        """Return the rows with these indices, which must exist, in room (len(rows), n_in)."""
        # Without mode="clip", take writes through a buffer and costs more than twice as much.
        return self.X.take(rows, 0, room, "clip")

    def all(self) -> Array:
        """All rows as one array."""
        return self.X


class CsrRows:
    """Rows of a SciPy CSR matrix or array (n, n_in) in the computation's type.

    With ``stays_sparse`` batches are CSR, too, if that pays for a dense layer above.
    """

    def __init__(self, X: Any, stays_sparse: bool) -> None:
        self.X = X
        self.stays_sparse = stays_sparse and X.nnz <= _PAYS * X.shape[0] * X.shape[1]

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def gather(self, rows: Array, room: Array) -> Any:
        """Return the rows with these indices, which must exist, as CSR or in room (len(rows), n_in)."""
        return self.X[rows] if self.stays_sparse else self.X[rows].toarray(out=room)

    def all(self) -> Any:
        """All rows."""
        return self.X if self.stays_sparse else self.X.toarray()


def as_rows(
    X: Any,
    dtype: DTypeLike,
    n_in: int,
    first_row: int = 0,
    stays_sparse: bool = False,
    scaling: Scaling | None = None,
) -> DenseRows | CsrRows:
    """Check the input and convert it, copying only where type or memory order differ.

    Parameters
    ----------
    X : array_like or SciPy sparse matrix of shape (n, n_in)
    dtype : the type that the network computes in
    n_in : int
    first_row : int, default=0
        Number of the first row in error messages, where X is a part of something larger.
    stays_sparse : bool, default=False
        See `CsrRows`.
    scaling : Scaling, optional
        How to scale the columns.

    Raises
    ------
    ValueError
        If the shape does not fit, or an entry is not a finite number of that type; row and column are named.
    TypeError
        If the entries are not real numbers.
    """
    sparse = hasattr(X, "tocsr")
    X = X.tocsr() if sparse else as_array("the input", X)
    if sparse and not X.has_canonical_format:  # entries of the same place add up, maybe beyond the range
        X = X.copy()
        X.sum_duplicates()
    if X.dtype.kind not in "biuf":
        raise TypeError(f"the input must hold real numbers, got dtype {X.dtype}")
    if X.ndim != 2 or X.shape[1] != n_in:
        raise ValueError(f"the input must have shape (n, {n_in}), got {X.shape}")
    if sparse and scaling is not None and scaling.centred:
        X, sparse = X.toarray(), False  # zeros are zeros no more
    kind = np.dtype(dtype)
    values = _converted_entries(X, kind, scaling) if sparse else _converted(X, kind, scaling)
    if values is None:
        raise _beyond(X, kind, first_row, scaling)
    if sparse:
        same = X if values is X.data else type(X)((values, X.indices, X.indptr), shape=X.shape)
        return CsrRows(same, stays_sparse)
    values = values.view()
    values.flags.writeable = False  # a layer of one's own must not write over the caller's rows
    return DenseRows(values)


def as_weights(sample_weight: ArrayLike | None, n: int) -> Array | None:
    """Check the weights of n rows and return them as float64 (n,); a single number serves all rows."""
    if sample_weight is None:
        return None
    w = as_array("sample_weight", sample_weight)
    if w.dtype.kind not in "biufO":
        raise TypeError(f"sample_weight must hold real numbers, got dtype {w.dtype}")
    if w.dtype == object:  # whose dates NumPy takes for numbers
        for entry in w.flat:
            if isinstance(entry, (np.datetime64, np.timedelta64)):
                raise TypeError(f"sample_weight must hold real numbers, got {entry!r}")
    try:
        w = w.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"sample_weight must hold real numbers, got {w.ravel().tolist()[:5]}") from None
    except OverflowError as error:  # a whole number of Python
        raise ValueError(f"sample_weight is beyond the range of float64: {error}") from None
    if w.ndim == 0:
        w = np.full(n, w)
    if w.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), one weight per row, got {w.shape}")
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


def check_rows(X: Any) -> None:
    """Check that all entries of rows, a float array or CSR, are finite; row and column are named if not."""
    if _converted(X.data if hasattr(X, "tocsr") else X, X.dtype, None, keep=False) is None:
        raise _beyond(X, X.dtype, 0)


def _converted(X: Array, dtype: np.dtype[Any], scaling: Scaling | None, keep: bool = True) -> Array | None:
    """Return X in C order and this type, itself if it is, or None if an entry is not finite in it.

    One pass over memory for all, in blocks that stay in the cache: for 12,000 x 784 float64 entries 8
    milliseconds instead of 12.
    """
    done = not keep or (scaling is None and X.dtype == dtype and X.flags.c_contiguous)
    out = X if done else np.empty(X.shape, dtype)
    step = max(1, ENTRIES // max(1, X[:1].size))
    with np.errstate(all="ignore"):
        for start in range(0, len(X), step):
            given, block = X[start : start + step], out[start : start + step]
            if not done:
                block[...] = given if scaling is None else scaling.read(given, dtype)
            if not all_finite(block) or (scaling is not None and not all_finite(given)):  # it may hide that
                return None
    return out


def _converted_entries(X: Any, dtype: np.dtype[Any], scaling: Scaling | None) -> Array | None:
    """Return the stored entries of CSR rows likewise."""
    if scaling is None:
        return _converted(X.data, dtype, None)
    with np.errstate(all="ignore"):
        out = scaling.read_entries(X.data, X.indices).astype(dtype)
        return out if all_finite(out) and all_finite(X.data) else None


def _beyond(X: Any, dtype: np.dtype[Any], first_row: int, scaling: Scaling | None = None) -> ValueError:
    """Return the error that names the first entry that is not finite in dtype; nan fails each comparison."""
    limit = np.finfo(dtype).max
    with np.errstate(all="ignore"):
        if hasattr(X, "tocoo"):
            entries = X.tocoo()
            values = entries.data if scaling is None else scaling.read_entries(entries.data, entries.col)
            at = np.flatnonzero(~(np.isfinite(entries.data) & (np.abs(values) <= limit)))[0]
            row, column, value = entries.row[at], entries.col[at], entries.data[at]
        else:
            values = X if scaling is None else scaling.read(X)
            row, column = np.argwhere(~(np.isfinite(X) & (np.abs(values) <= limit)))[0]
            value = X[row, column]
    fix = "scale the column" if dtype == np.float64 else 'scale the column, or train in dtype="float64"'
    if not np.isfinite(value):
        fix = "remove or impute it"
    shown = "NaN" if np.isnan(value) else value
    return ValueError(
        f"the input is {shown} at row {first_row + row}, column {column}, which is not a finite {dtype} "
        f"number; {fix}"
    )
