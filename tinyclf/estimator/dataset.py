"""A data set as a fit reads it: X, y and weights, checked and encoded once."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_array, column_or_1d
from sklearn.utils.validation import validate_data

from ..nn.arrays import ROW_BLOCK, Array, as_array, check_not_masked
from ..nn.batches import Rows, UncheckedRows, as_csr, as_rows, as_weights, check_rows
from ..nn.losses import Loss
from .scaling import ScaledRows, Scaling
from .targets import Labels, as_labels, kind_of_targets, label_array, labels_in_part

# Non-finite numbers are found later, by `as_rows`, `Scaling.rows` and `as_labels`, whose errors name the row.
_CHECKS: dict[str, Any] = {"accept_sparse": "csr", "ensure_all_finite": False}

# NumPy converts dates to numbers without a warning, and a missing date to -9.2e18.
_DATES = re.compile("date|time|duration", re.IGNORECASE)

_NESTED = re.compile("array|(large_|fixed_size_)?list|map|struct", re.IGNORECASE)
_TEXTS = re.compile("object|Object|str|String|large_string|category|Categorical|Enum|dictionary")


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
        X as it was passed.
    validation : Dataset or None
        The validation set that the user passed.
    taken : ndarray or None
        The rows of ``given`` that are rows of this data set; all by default.
    """

    X: Any
    labels: Labels
    targets: Array
    sample_weight: Array | None
    class_factor: Array | None
    given: Any
    validation: Dataset | None = None
    taken: Array | None = None

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
        checked, checked_y, weight = _read(estimator, X, y, sample_weight, reset=continued is None)
        found = kind_of_targets(checked_y, soft=estimator.soft_targets, given=y)
        if continued is not None:
            continued.labels.check_equal(found)
        data = cls._encoded(found, checked, checked_y, weight, X)
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
        checked, checked_y, weight = _read(estimator, X, y, sample_weight, reset=earlier is None)
        known, soft = None if earlier is None else earlier.labels, estimator.soft_targets
        labels = labels_in_part(checked_y, classes, known, soft=soft, given=y)
        labels.check_names(y)
        data = cls._encoded(labels, checked, checked_y, weight, X)
        return data._with_weights_and_validation(estimator, X_val, y_val, sample_weight_val)

    @classmethod
    def _encoded(cls, labels: Labels, X: Any, y: Any, weight: Array | None, given: Any) -> Self:
        return cls(X, labels, labels.encode(y), weight, None, given)

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
            checked, checked_y, weight = _read(estimator, X_val, y_val, sample_weight_val, reset=False)
            check_rows(checked)
            self.labels.check_names(y_val)
            validation = self._encoded(self.labels, checked, checked_y, weight, X_val)
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
        return replace(
            self,
            X=self.X[rows],
            targets=self.targets[rows],
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            class_factor=None if self.class_factor is None else self.class_factor[rows],
            validation=None,
            taken=rows if self.taken is None else self.taken[rows],
        )

    def for_scorer(self) -> Any:
        """Return X as scorers get it: a data frame if one was passed, whose names they may need, or `X`."""
        if not _is_frame(self.given):
            return self.X
        with _naming("X"):
            return self.given if self.taken is None else _safe_indexing(self.given, self.taken)


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
    return _as_floats(estimator, _as_table(estimator, X, reset))


def _as_table(estimator: Any, X: Any, reset: bool) -> Any:
    """Return X as a matrix whose shape and names are checked, but whose entries may be of any type.

    It is an array, CSR or a pandas data frame. The first parameters are those of `read_features`.
    """
    check_not_masked("X", X)
    if _is_frame(X):
        for name, kind in _columns(X):
            _check_kind(kind, f" in the column {name!r}")
    with _naming("X"):
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
    """Return X as an array, CSR or a pandas data frame, with two dimensions, neither of which is 0."""
    given = X
    if issparse(X):
        X = as_csr("X", X)
    elif not isinstance(X, (np.ndarray, *loaded("pandas.DataFrame", "pandas.Series"))):
        if _is_frame(X):
            _check_texts(X)
        X = as_array("X", X) if isinstance(X, (list, tuple)) else np.asarray(X)
        if X.ndim == 0:
            raise TypeError(f"X must be an array of shape (n_samples, n_features), got {given!r}")
    if not _is_frame(X):
        _check_kind(X.dtype)
    if X.ndim != 2 or 0 in X.shape:
        check_array(X, dtype=None, estimator=estimator, **_CHECKS)  # raises an error
    return X


def _as_floats(estimator: Any, table: Any) -> Any:
    """Return a table as an array, or as CSR without duplicates: float32 if all columns are, else float64."""
    kinds = {*table.dtypes} if _is_frame(table) else {table.dtype}
    # The types of pandas' nullable, pyarrow and sparse columns.
    kinds = {getattr(kind, "numpy_dtype", getattr(kind, "subtype", kind)) for kind in kinds}
    numbers = all(isinstance(kind, np.dtype) and kind.kind in "biuf" for kind in kinds)
    single = numbers and np.result_type(*kinds) == np.float32
    with _naming("X"), np.errstate(over="ignore"):  # a long double may be beyond float64
        if _is_frame(table):
            _check_texts(table)
        X = check_array(table, dtype=np.float32 if single else np.float64, estimator=estimator, **_CHECKS)
        if np.dtype(object) in kinds:
            if _is_frame(table):
                table = table.loc[:, [kind == np.dtype(object) for kind in table.dtypes]]
            for kind in {*map(type, np.asarray(table).flat)}:  # after the conversion, which fails early
                if issubclass(kind, np.generic):
                    _check_kind(kind.__name__)
    if issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _columns(X: Any) -> Iterator[tuple[Any, Any]]:
    """Yield name and type of each column of a data frame."""
    names, kinds = (X.columns, X.dtypes) if hasattr(X, "dtypes") else (X.column_names, X.schema.types)
    return zip(names, kinds, strict=True)


def _check_texts(X: Any) -> None:
    """Raise an error if a column of texts or objects holds other than numbers.

    Each column is converted on its own, since together all of them would become objects first.
    """
    for i, (name, kind) in enumerate(_columns(X)):
        if _TEXTS.match(str(kind)):
            column = X.iloc[:, i] if hasattr(X, "iloc") else X[name]
            try:
                np.asarray(column, np.float64)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{error} in the column {name!r}") from None


def _check_kind(kind: Any, where: str = "") -> None:
    """Raise an error if a type, of any library, is that of dates, of records or of several numbers."""
    if _DATES.match(str(kind)):
        raise TypeError(f"X must hold real numbers, got dates, dtype {kind}{where}; convert them to days")
    if _NESTED.match(str(kind)):
        raise TypeError(
            f"X must hold one number per entry, got dtype {kind}{where}; make each of its parts a column"
        )
    if getattr(kind, "names", None):
        raise TypeError(f"X must hold real numbers, got records of dtype {kind}; select columns")


def _is_frame(X: Any) -> bool:
    """Return whether X is a data frame from which scikit-learn reads names of columns, and takes rows."""
    return isinstance(X, loaded("pandas.DataFrame", "polars.DataFrame", "pyarrow.Table"))


def loaded(*names: str) -> tuple[type, ...]:
    """Return the classes with these names whose libraries are loaded; otherwise no object has the class."""
    parts = (name.split(".") for name in names)
    classes = (getattr(sys.modules.get(library), name, None) for library, name in parts)
    return tuple(kind for kind in classes if kind is not None)


def read_targets(estimator: Any, y: Any, n: int) -> Any:
    """Return y as an array or as CSR rows, with n rows; `as_labels` then checks the labels."""
    check_not_masked("y", y)
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    with _naming("y"):
        given, y = y, as_csr("y", y) if issparse(y) else label_array("y", y)
        y = y.toarray() if issparse(y) and y.ndim == 1 else y
        if y.dtype == object and y.ndim == 0:
            raise TypeError(f"y must be an array of shape (n_samples,), got {given!r}")
        y = check_array(y, dtype=None, ensure_2d=False, input_name="y", **_CHECKS)
    if y.shape[0] != n:
        numbers = [n, y.shape[0]]
        raise ValueError(f"X and y: Found input variables with inconsistent numbers of samples: {numbers}")
    return y


def _read(estimator: Any, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Any, Any, Array | None]:
    """Return X, y and the weights, checked; y is not encoded yet. All shapes are checked before entries."""
    table = _as_table(estimator, X, reset)
    n = table.shape[0]
    y = read_targets(estimator, y, n)
    weight = as_weights(sample_weight, n)
    X = _as_floats(estimator, table)
    if y.dtype == object or not estimator.soft_targets:
        y = as_labels(y)
    if y.ndim == 2 and y.shape[1] == 1 and not estimator.soft_targets:
        y = column_or_1d(y.toarray() if hasattr(y, "toarray") else y, warn=True)
    return X, y, weight


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
