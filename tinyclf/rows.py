"""Rows of the input: hand a batch to the first layer, in the type that the network computes in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .views import Array


class DenseRows:
    """Rows of a C-ordered array (n, n_in) in the computation's type."""

    def __init__(self, X: Array) -> None:
        self.X = X

    def __len__(self) -> int:
        return len(self.X)

    def gather(self, rows: Array, out: Array) -> None:
        """Copy the rows with these indices, which must exist, into out (len(rows), n_in)."""
        # Without mode="clip", take writes through a buffer and costs more than twice as much.
        np.take(self.X, rows, axis=0, out=out, mode="clip")

    def all(self) -> Array:
        """All rows as one array."""
        return self.X


class CsrRows:
    """Rows of a SciPy CSR matrix or array (n, n_in) in the computation's type."""

    def __init__(self, X: Any) -> None:
        self.X = X

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def gather(self, rows: Array, out: Array) -> None:
        """Write the rows with these indices, which must exist, into out (len(rows), n_in)."""
        self.X[rows].toarray(out=out)

    def all(self) -> Array:
        """All rows as one array."""
        dense: Array = self.X.toarray()
        return dense


def as_rows(X: Any, dtype: DTypeLike, n_in: int, first_row: int = 0) -> DenseRows | CsrRows:
    """Check the input and convert it, copying only where type or memory order differ.

    Parameters
    ----------
    X : array_like or SciPy sparse matrix of shape (n, n_in)
    dtype : the type that the network computes in
    n_in : int
    first_row : int, default=0
        Number of the first row in error messages, where X is a part of something larger.

    Raises
    ------
    ValueError
        If the shape does not fit, or an entry is not a finite number of that type; row and column are named.
    TypeError
        If the entries are not real numbers.
    """
    sparse = hasattr(X, "tocsr")
    X = X.tocsr() if sparse else np.asarray(X)
    if sparse and not X.has_canonical_format:  # entries of the same place add up, maybe beyond the range
        X = X.copy()
        X.sum_duplicates()
    if X.dtype.kind not in "biuf":
        raise TypeError(f"the input must hold real numbers, got dtype {X.dtype}")
    if X.ndim != 2 or X.shape[1] != n_in:
        raise ValueError(f"the input must have shape (n, {n_in}), got {X.shape}")
    _check_range(X.data if sparse else X, X, sparse, np.dtype(dtype), first_row)
    if sparse:
        return CsrRows(X.astype(dtype, copy=False))
    X = np.ascontiguousarray(X, dtype).view()
    X.flags.writeable = False  # a layer of one's own must not write over the caller's rows
    return DenseRows(X)


def as_weights(sample_weight: ArrayLike | None, n: int) -> Array | None:
    """Check the weights of n rows and return them as float64 (n,); a single number serves all rows."""
    if sample_weight is None:
        return None
    w = np.asarray(sample_weight)
    if w.dtype.kind not in "biufO":
        raise TypeError(f"sample_weight must hold real numbers, got dtype {w.dtype}")
    try:
        w = w.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"sample_weight must hold real numbers, got {w.tolist()[:5]}") from None
    if w.ndim == 0:
        w = np.full(n, w)
    if w.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), one weight per row, got {w.shape}")
    wrong = np.flatnonzero(~((w >= 0) & (w < np.inf)))
    if wrong.size:
        raise ValueError(f"sample_weight must be finite and >= 0, got {w[wrong[0]]} at row {wrong[0]}")
    if n and not w.any():
        raise ValueError(f"all {n} entries of sample_weight are zero; at least one row must count")
    if not w.sum() < np.inf:
        raise ValueError("the sum of sample_weight is beyond the range of float64; divide it by its largest")
    return w


def _check_range(values: Any, X: Any, sparse: bool, dtype: np.dtype[Any], first_row: int) -> None:
    """Raise unless all values are finite in dtype; nan fails each comparison."""
    limit = np.finfo(dtype).max
    if values.size == 0 or (values.max() <= limit and values.min() >= -limit):
        return
    if sparse:
        entries = X.tocoo()
        at = np.flatnonzero(~(np.abs(entries.data) <= limit))[0]
        row, column, value = entries.row[at], entries.col[at], entries.data[at]
    else:
        row, column = np.argwhere(~(np.abs(X) <= limit))[0]
        value = X[row, column]
    fix = "scale the column" if dtype == np.float64 else 'scale the column, or train in dtype="float64"'
    if not np.isfinite(value):
        fix = "remove or impute it"
    shown = "NaN" if np.isnan(value) else value
    raise ValueError(
        f"the input is {shown} at row {first_row + row}, column {column}, which is not a finite {dtype} "
        f"number; {fix}"
    )
