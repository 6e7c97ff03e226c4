"""What is handed over as X and y: scikit-learn's checks of it, with errors that say what is wrong where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Number
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from .targets import as_labels
from .views import Array, as_array, check_not_masked

# Non-finite numbers are left to `rows`, which names their row and column.
_FEATURES: dict[str, Any] = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": False,
}

# What becomes numbers without a complaint, and a missing one becomes -9.2e18.
_DATES = re.compile("date|time|duration", re.IGNORECASE)


def read_features(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Return X as an array of float64 or float32, or as CSR rows without duplicates; it is not changed.

    Parameters
    ----------
    estimator : estimator
        It is told the number of features and their names, or asked for them.
    X : array_like or sparse matrix of shape (n_samples, n_features)
    reset : bool
        Whether it is told.
    """
    check_not_masked("X", X)
    _check_no_dates(X)
    with _about("X", X), np.errstate(over="ignore"):  # a long double may be beyond float64
        X = validate_data(estimator, X, reset=reset, **_FEATURES)
    if hasattr(X, "tocsr") and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def read_targets(estimator: Any, y: Any, X: Any) -> Any:
    """Return y, which belongs to X that has been read, as an array or as CSR rows."""
    check_not_masked("y", y)
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    with _about("y", y):
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
    with _about("X and y", None):
        check_consistent_length(X, y)
    return y


def _check_no_dates(X: Any) -> None:
    dtypes = getattr(X, "dtypes", None) if hasattr(X, "__len__") else None  # lazy frames warn
    dtypes = getattr(X, "dtype", None) if dtypes is None else dtypes
    kinds = list(dtypes) if isinstance(dtypes, Iterable) else [dtypes]
    if any(str(kind) in ("None", "object") for kind in kinds):  # as in lists, where entries tell
        entries: Array = as_array("X", X)
        kinds += [entries.dtype]
        if entries.dtype == object:
            kinds += [t.__name__ for t in set(map(type, entries.ravel())) if issubclass(t, np.generic)]
    for kind in kinds:
        if _DATES.match(str(kind)):
            raise TypeError(f"X must hold real numbers, got dates, dtype {kind}; give days or years, say")


@contextmanager
def _about(name: str, given: Any) -> Iterator[None]:
    """Errors in the block name the argument, and what in it is wrong, whichever library has raised them."""
    try:
        yield
    except Warning:
        raise
    except Exception as error:
        raise _clearer(error, name, given) from None


def _clearer(error: Exception, name: str, given: Any) -> Exception:
    try:
        entries: Array = as_array(name, given).astype(object)
        shape = {"X": "(n_samples, n_features)", "y": "(n_samples,)"}.get(name)
        if shape and entries.ndim == 0 and not isinstance(entries[()], Number) and not issparse(given):
            return TypeError(f"{name} must be an array of shape {shape}, got {given!r}")
        if name == "y":
            as_labels(entries)
    except ValueError as better:
        return better
    if name == "X" and entries.ndim == 2:
        for (row, column), entry in np.ndenumerate(entries):
            try:
                entry if isinstance(entry, complex) else float(entry)
            except (TypeError, ValueError, OverflowError) as reason:
                kind = TypeError if isinstance(reason, TypeError) else ValueError
                return kind(f"X is {entry!r} at row {row}, column {column}: {reason}")
    if isinstance(error, (TypeError, ValueError)) and re.search(rf"\b{name}\b", str(error)):
        return error
    return (TypeError if isinstance(error, TypeError) else ValueError)(f"{name}: {error}")
