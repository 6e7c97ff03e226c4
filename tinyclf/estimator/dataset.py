"""A data set as a fit reads it: X, y and weights, checked and encoded once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import validate_data

from ..nn.arrays import ROW_BLOCK, Array, as_array, check_not_masked
from ..nn.batches import Rows, UncheckedRows, as_rows, as_weights, check_rows
from ..nn.losses import Loss
from .scaling import ScaledRows, Scaling
from .targets import Labels, as_labels, kind_of_targets, labels_in_part

# Non-finite numbers are found later, by `as_rows` and `Scaling.rows`, whose errors name row and column.
_CHECKS: dict[str, Any] = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": False,
}

# NumPy converts dates to numbers without a warning, and a missing date to -9.2e18.
_DATES = re.compile("date|time|duration", re.IGNORECASE)


@dataclass(frozen=True)
class Dataset:
    """Rows with their targets and weights, checked and encoded.

    Attributes
    ----------
    X : ndarray or CSR of shape (n, n_features), float32 or float64
        The features, not scaled; they share the caller's memory if possible.
    labels : Labels
        The classes, and how targets are encoded.
    targets : ndarray of n rows
        The encoded targets.
    sample_weight : ndarray of shape (n,) or None
    class_factor : ndarray of shape (n,) or None
        The factor by which ``class_weight`` multiplies the weight of each row.
    given : array_like
        X as it was passed, for scorers.
    validation : Dataset or None
        The validation set that the user passed.
    """

    X: Any
    labels: Labels
    targets: Array
    sample_weight: Array | None
    class_factor: Array | None
    given: Any
    validation: Dataset | None = None

    @classmethod
    def read(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        y_val: Any,
        sample_weight_val: Any,
    ) -> Self:
        """Read the arguments of ``fit``.

        Parameters
        ----------
        estimator : TinyClassifier
            Its attributes ``n_features_in_`` and ``feature_names_in_`` are set. If the fit continues
            an earlier one, X and y must have the same features and classes instead.
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As in ``fit``.
        """
        continued = estimator._continued
        checked, checked_y = _read_pair(estimator, X, y, reset=continued is None)
        found = kind_of_targets(checked_y, soft=estimator.soft_targets, given=y)
        if continued is not None:
            continued.labels.check_equal(found)
        data = cls._encoded(found, checked, checked_y, sample_weight, X)
        return data._with_weights_and_validation(estimator, X_val, y_val, sample_weight_val)

    @classmethod
    def read_partial(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        classes: Any,
        X_val: Any,
        y_val: Any,
        sample_weight_val: Any,
    ) -> Self:
        """Read the arguments of ``partial_fit``: y may contain only some of the classes."""
        if isinstance(estimator.class_weight, str):
            raise ValueError(
                f"partial_fit does not support class_weight={estimator.class_weight!r}, since each call has "
                "only some of the rows; pass a dict, see sklearn.utils.class_weight.compute_class_weight"
            )
        earlier = estimator._earlier
        checked, checked_y = _read_pair(estimator, X, y, reset=earlier is None)
        known, soft = None if earlier is None else earlier.labels, estimator.soft_targets
        labels = labels_in_part(checked_y, classes, known, soft=soft, given=y)
        labels.check_names(y)
        data = cls._encoded(labels, checked, checked_y, sample_weight, X)
        return data._with_weights_and_validation(estimator, X_val, y_val, sample_weight_val)

    @classmethod
    def _encoded(cls, labels: Labels, X: Any, y: Any, sample_weight: Any, given: Any) -> Self:
        return cls(X, labels, labels.encode(y), as_weights(sample_weight, X.shape[0]), None, given)

    def _with_weights_and_validation(
        self, estimator: Any, X_val: Any, y_val: Any, sample_weight_val: Any
    ) -> Self:
        """Return these rows with class weights, and with a validation set with the same class weights."""
        factors = self.labels.factors(estimator.class_weight, self.targets, self.sample_weight)
        data = self._weighted(factors)
        if X_val is None and y_val is None and sample_weight_val is None:
            return data
        if X_val is None or y_val is None:
            missing = "X_val" if X_val is None else "y_val"
            raise ValueError(f"X_val and y_val must be passed together, got no {missing}")
        with in_validation_set():
            checked, checked_y = _read_pair(estimator, X_val, y_val, reset=False)
            check_rows(checked)
            self.labels.check_names(y_val)
            validation = self._encoded(self.labels, checked, checked_y, sample_weight_val, X_val)
            validation = validation._weighted(factors)
            if len(validation.rows) == 0:
                raise ValueError(
                    f"at least one row must have a positive weight, got {checked.shape[0]} rows of weight 0; "
                    "change the weights, or pass other rows"
                )
        return replace(data, validation=validation)

    def _weighted(self, factors: Array | None) -> Self:
        """Return these rows with class weights, given the factors of the classes."""
        if factors is None:
            return self
        data = replace(self, class_factor=self.labels.spread(factors, self.targets))
        with np.errstate(over="ignore", invalid="ignore"):
            total = data.loss_weight.sum()  # type: ignore[union-attr]
        if not 0.0 < total < np.inf:
            raise ValueError(
                f"the weights of the rows, class_weight times sample_weight, sum to {total}; at least one of "
                f"the {len(self.targets)} rows must have a positive weight, and the sum must be finite"
            )
        return data

    @property
    def loss_weight(self) -> Array | None:
        """The weights of the rows in the loss, (n,) or None."""
        if self.class_factor is None or self.sample_weight is None:
            return self.sample_weight if self.class_factor is None else self.class_factor
        with np.errstate(over="ignore", invalid="ignore"):
            return self.sample_weight * self.class_factor

    @property
    def relative_weight(self) -> Array | None:
        """The weights divided by the largest one, so that squares do not overflow or underflow."""
        weight = self.loss_weight
        return None if weight is None else weight / weight.max()

    @property
    def rows(self) -> Array:
        """Indices of the rows with a positive weight; rows of weight 0 are left out."""
        weight = self.loss_weight
        return np.arange(self.X.shape[0]) if weight is None else np.flatnonzero(weight)

    def loss_targets(self, loss: Loss, n_outputs: int) -> Array:
        """Return the targets in the form that a loss with ``n_outputs`` logits reads."""
        return loss.targets(self.labels.for_loss(self.targets, n_outputs), len(self.targets), n_outputs)

    def inputs(self, scaling: Scaling | None, dtype: DTypeLike, stays_sparse: bool) -> Rows:
        """Return all rows for the network, scaled and converted in one pass with one copy."""
        if scaling is None:
            return as_rows(self.X, dtype, self.X.shape[1], stays_sparse=stays_sparse)
        return scaling.rows(self.X, dtype, stays_sparse=stays_sparse)

    def check_range(self, scaling: Scaling | None, dtype: DTypeLike) -> None:
        """Raise an error that names the first entry that is not finite in this type, scaled."""
        rows = _rows_by_block(self.X, scaling, dtype, True)
        for start in range(0, len(rows), ROW_BLOCK):
            rows.block(start, start + ROW_BLOCK)

    def take(self, rows: Array) -> Dataset:
        """Return copies of these rows, without the validation set."""
        X = self.X[rows]
        return replace(
            self,
            X=X,
            targets=self.targets[rows],
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            class_factor=None if self.class_factor is None else self.class_factor[rows],
            # A scorer may need the column names of a data frame. Other types of X may not be indexable.
            given=_safe_indexing(self.given, rows) if hasattr(self.given, "columns") else X,
            validation=None,
        )


def prediction_inputs(
    estimator: Any, X: Any, scaling: Scaling | None, dtype: DTypeLike, stays_sparse: bool
) -> tuple[Any, Any]:
    """Return the checked X, and the rows for the network, which are scaled block by block."""
    plain = type(X) is np.ndarray and X.dtype in (np.float32, np.float64) and X.ndim == 2
    named = hasattr(estimator, "feature_names_in_")
    if not (plain and X.shape[1] == estimator.n_features_in_ and len(X) and not named):
        X = read_features(estimator, X, reset=False)  # skipped if possible: it doubles the time for one row
    return X, _rows_by_block(X, scaling, dtype, stays_sparse)


def _rows_by_block(X: Any, scaling: Scaling | None, dtype: DTypeLike, stays_sparse: bool) -> Rows:
    if scaling is None:
        return UncheckedRows(X, dtype, X.shape[1], stays_sparse)
    return ScaledRows(X, scaling, dtype, stays_sparse)


def read_features(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Return X as an array of float64 or float32, or as CSR rows without duplicates; X is not changed.

    Parameters
    ----------
    estimator : estimator
        With ``reset``, the number of features and their names are set as its attributes; otherwise
        X is checked against them.
    X : array_like or sparse matrix of shape (n_samples, n_features)
    reset : bool
    """
    check_not_masked("X", X)
    if isinstance(X, (list, tuple)):
        X = as_array("X", X)
    elif X is None or not (hasattr(X, "shape") or hasattr(X, "__array__") or hasattr(X, "__dataframe__")):
        raise TypeError(f"X must be an array of shape (n_samples, n_features), got {X!r}")
    shape = getattr(X, "shape", None)
    if not reset and isinstance(shape, tuple) and shape[1:] not in ((), (estimator.n_features_in_,)):
        # Raises an error before an entry is read or converted.
        validate_data(estimator, X, reset=False, skip_check_array=True)
    with _naming("X"), np.errstate(over="ignore"):  # a long double may be beyond float64
        _check_kinds(X)
        X = validate_data(estimator, X, reset=reset, **_CHECKS)
    if issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def read_targets(estimator: Any, y: Any, X: Any) -> Any:
    """Return y as an array or as CSR rows, with as many rows as X, which must be an array or CSR."""
    check_not_masked("y", y)
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    if isinstance(y, (list, tuple)):
        y = as_array("y", y)
    elif not (issparse(y) or hasattr(y, "__array__") or np.isscalar(y)):
        raise TypeError(f"y must be an array of shape (n_samples,), got {y!r}")
    if getattr(y, "dtype", None) == np.dtype(object):
        as_labels(as_array("y", y))  # raises an error for a missing label or mixed types
    with _naming("y"):
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
    with _naming("X and y"):
        check_consistent_length(X, y)
    return y


def _read_pair(estimator: Any, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
    X = read_features(estimator, X, reset=reset)
    y = read_targets(estimator, y, X)
    if y.ndim == 2 and y.shape[1] == 1 and not estimator.soft_targets:
        y = column_or_1d(y.toarray() if hasattr(y, "toarray") else y, warn=True)
    return X, y


def _check_kinds(X: Any) -> None:
    """Raise an error if X holds dates, which NumPy would convert to numbers, or records."""
    dtypes = getattr(X, "dtypes", None) if hasattr(X, "__len__") else None  # lazy data frames warn
    dtypes = getattr(X, "dtype", None) if dtypes is None else dtypes
    kinds = list(dtypes) if isinstance(dtypes, Iterable) else [dtypes]
    if any(str(kind) in ("None", "object") for kind in kinds):  # check the entries
        entries = np.asarray(X)
        kinds += [entries.dtype]
        if entries.dtype == object:
            kinds += [t.__name__ for t in set(map(type, entries.ravel())) if issubclass(t, np.generic)]
    for kind in kinds:
        if getattr(kind, "names", None):
            raise TypeError(f"X must hold real numbers, got records of dtype {kind}; select columns")
        if _DATES.match(str(kind)):
            raise TypeError(f"X must hold real numbers, got dates, dtype {kind}; convert them to days")


@contextmanager
def in_validation_set() -> Iterator[None]:
    """Add to the message of an error in the block that it is about the validation set."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = f"in the validation set (X_val, y_val and sample_weight_val, or held-out rows): {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None


@contextmanager
def _naming(name: str) -> Iterator[None]:
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
