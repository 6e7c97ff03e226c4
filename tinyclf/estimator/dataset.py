"""A data set as a fit reads it: X, y and weights, checked and encoded once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_array, column_or_1d

from ..nn.arrays import ROW_BLOCK, Array, check_not_masked
from ..nn.batches import Rows, as_csr, as_weights
from ..nn.losses import Loss
from .calibration import prior_logits, total_of_targets
from .encoding import EncodedRows, Encoding
from .scaling import Scaling, check_not_infinite
from .sources import is_frame
from .streaming import StreamedMatrix, StreamedRows, read
from .table import CHECKS, as_table, naming
from .targets import ClassWeight, Labels, as_labels, kind_of_targets, label_array, labels_in_part

ENOUGH_ROWS = 500
"""With fewer rows, early_stopping="auto" does not choose the best epoch: the validation set is too small."""

# With fewer distinct rows, early_stopping="auto" holds none out: a toy data set should be fitted exactly.
_TOY = 10


@dataclass(frozen=True)
class Dataset:
    """Rows with their targets and weights, checked and encoded.

    Attributes
    ----------
    X : ndarray, CSR or StreamedMatrix of shape (n, n_features), float32 or float64
        The features as numbers, see `table`; they share the caller's memory if possible.
    encoding : Encoding
        Which columns are categories, and which inputs of the network the columns have.
    labels : Labels
        The classes, and how targets are encoded.
    targets : ndarray of n rows
        The encoded targets.
    sample_weight : ndarray of shape (n,) or None
    class_factor : ndarray of shape (n,) or None
        The factor by which ``class_weight`` multiplies the weight of each row.
    table : ndarray, CSR, data frame or RowSource
        The features as `as_table` returns them.
    validation : Dataset or None
        The validation set that the user passed.
    taken : ndarray or None
        The rows of ``table`` that are rows of this data set; all by default.
    """

    X: Any
    encoding: Encoding
    labels: Labels
    targets: Array
    sample_weight: Array | None
    class_factor: Array | None
    table: Any
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
        table, features, checked_y, weight = _read(estimator, X, y, sample_weight, continued)
        found = kind_of_targets(checked_y, soft=estimator.soft_targets, given=y)
        if continued is not None:
            continued.labels.check_equal(found)
        data = cls._encoded(found, features, checked_y, weight, table)
        factors = data.class_factors(estimator.class_weight)
        return data.weighted(factors).with_validation(estimator, factors, X_val, y_val, sample_weight_val)

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
        table, features, checked_y, weight = _read(estimator, X, y, sample_weight, earlier)
        known, soft = None if earlier is None else earlier.labels, estimator.soft_targets
        labels = labels_in_part(checked_y, classes, known, soft=soft, given=y)
        labels.check_names(y)
        data = cls._encoded(labels, features, checked_y, weight, table)
        factors = data.class_factors(estimator.class_weight)
        return data.weighted(factors).with_validation(estimator, factors, X_val, y_val, sample_weight_val)

    @classmethod
    def _encoded(
        cls, labels: Labels, features: tuple[Any, Encoding], y: Any, weight: Array | None, table: Any
    ) -> Self:
        return cls(*features, labels, labels.encode(y), weight, None, table)

    def with_validation(
        self, estimator: Any, factors: Array | None, X_val: Any, y_val: Any, sample_weight_val: Any
    ) -> Self:
        """Return these rows with a validation set, given the factors of the classes."""
        if X_val is None and y_val is None and sample_weight_val is None:
            return self
        if X_val is None or y_val is None:
            missing = "X_val" if X_val is None else "y_val"
            raise ValueError(f"X_val and y_val must be passed together, got no {missing}")
        with in_validation_set():
            table, features, checked_y, weight = _read(estimator, X_val, y_val, sample_weight_val, self)
            for first_row, X in _blocks(features[0]):
                check_not_infinite(X, first_row)
            self.labels.check_names(y_val)
            validation = Dataset._encoded(self.labels, features, checked_y, weight, table)
            validation = validation.weighted(factors)
            if len(validation.rows) == 0:
                raise ValueError(
                    f"at least one row must have a positive weight, got {len(checked_y)} rows of weight 0; "
                    "change the weights, or pass other rows"
                )
        return replace(self, validation=validation)

    def class_factors(self, class_weight: ClassWeight) -> Array | None:
        """Return the factors of the weights of the classes, or None without class weights."""
        return None if class_weight is None else self.labels.factors(class_weight, self.total_weight())

    def total_weight(self) -> Array:
        """Return the total sample weight of each class, see `Labels.total_weight`."""
        return self.labels.total_weight(self.targets, self.sample_weight)

    def weighted(self, factors: Array | None) -> Self:
        """Return these rows with class weights, given the factors of the classes; their sum is checked."""
        if factors is None:
            return self
        data = self.with_class_weights(factors)
        with np.errstate(over="ignore", invalid="ignore"):
            check_total_weight(data.loss_weight.sum(), len(self.targets))  # type: ignore[union-attr]
        return data

    def with_class_weights(self, factors: Array) -> Self:
        """Return these rows with class weights, given the factors of the classes; all may be 0."""
        return replace(self, class_factor=self.labels.spread(factors, self.targets))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        dtype: np.dtype[Any] = self.X.dtype
        return dtype

    @property
    def n_given(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def n_rows(self) -> int:
        """Number of rows with a positive weight."""
        return len(self.rows)

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
        weight, n = self.loss_weight, len(self.targets)
        kind = np.int32 if n < 2**31 else np.int64  # half of the memory
        return np.arange(n, dtype=kind) if weight is None else np.flatnonzero(weight).astype(kind)

    def loss_targets(self, loss: Loss, n_outputs: int) -> Array:
        """Return the targets in the form that a loss with ``n_outputs`` logits reads."""
        return loss.targets(self.labels.for_loss(self.targets, n_outputs), len(self.targets), n_outputs)

    def inputs(self, scaling: Scaling | None, dtype: DTypeLike, stays_sparse: bool) -> Rows:
        """Return all rows for the network, scaled and converted: in one copy, or block by block."""
        if not isinstance(self.X, StreamedMatrix):
            return self.encoding.rows(self.X, scaling, dtype, stays_sparse=stays_sparse)
        if scaling is None:
            self.check_range(None, dtype)
        return StreamedRows(self.X, self.encoding, scaling, dtype, stays_sparse)

    def scaling(self, earlier: Scaling | None, remembered: float) -> Scaling:
        """Return the scaling of the number columns over these rows, and earlier ones.

        Parameters
        ----------
        earlier : Scaling or None
            The scaling of earlier rows.
        remembered : float
            The earlier rows count as at most this number of these rows.
        """
        X, weight = self.X, self.loss_weight
        with self.encoding.naming_columns():
            if isinstance(X, StreamedMatrix):
                new = X.scaling(weight, earlier is None or earlier.centered)
                return new if earlier is None else earlier.with_scaling(new, weight, remembered)
            X = self.encoding.select_numbers(X)
            return Scaling.of(X, weight) if earlier is None else earlier.with_rows(X, weight, remembered)

    def check_range(self, scaling: Scaling | None, dtype: DTypeLike) -> None:
        """Raise an error that names the first entry that is not finite in this type, scaled."""
        rows = EncodedRows(self.X, self.encoding, scaling, dtype, True)
        for start in range(0, len(rows), ROW_BLOCK):
            rows.block(start, start + ROW_BLOCK)

    def take(self, rows: Array) -> Dataset:
        """Return copies of these rows, without the validation set."""
        return replace(
            self,
            X=self.X.take(rows) if isinstance(self.X, StreamedMatrix) else self.X[rows],
            targets=self.targets[rows],
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            class_factor=None if self.class_factor is None else self.class_factor[rows],
            validation=None,
            taken=rows if self.taken is None else self.taken[rows],
        )

    def prior_logits(self, loss: Loss, n_outputs: int) -> Array:
        """Return the logits (n_outputs,) of the weighted class frequencies, see `calibration`."""
        return prior_logits(loss, *self.total_of_targets(loss, n_outputs))

    def total_of_targets(self, loss: Loss, n_outputs: int) -> tuple[Array, float]:
        """Return the total weight of each class and of all rows, see `calibration.total_of_targets`."""
        return total_of_targets(self.loss_targets(loss, n_outputs), self.loss_weight, n_outputs)

    def is_toy(self) -> bool:
        """Return whether no rows should be held out: one class, or fewer than ten distinct rows.

        With weights w, the rows are also too few if their effective number, (sum w)^2 / sum w^2, is
        less than ten.
        """
        rows, weight = self.rows, self.relative_weight
        if (self.targets[rows] == self.targets[rows[0]]).all():
            return True
        if weight is not None and weight.sum() ** 2 < _TOY * (weight @ weight):
            return True
        seen = set()
        for row in rows[:ENOUGH_ROWS]:  # ends at the tenth distinct row
            x = self.X[row : row + 1]
            seen.add((x.indices.tobytes(), x.data.tobytes()) if hasattr(x, "tocsr") else x.tobytes())
            if len(seen) >= _TOY:
                return False
        return len(rows) < ENOUGH_ROWS

    def held_per_class(self, fraction: float) -> Array:
        """Return the fraction of the rows of each class, (k,); 0 for a class with one row.

        If rows do not have one label each, all rows count as one class.
        """
        if self.labels.stratified:
            codes = self.targets[self.rows]
            blocks = (
                codes[start : start + 2**20] for start in range(0, len(codes), 2**20)
            )  # bincount copies
            counts = np.sum([np.bincount(block, minlength=codes.max() + 1) for block in blocks], axis=0)
        else:
            counts = np.array([self.n_rows])
        return np.round(fraction * np.where(counts > 1, counts, 0), 6)  # 0.14 * 550 is 77.00000000000001

    def n_held_evenly(self, fraction: float) -> int:
        """Return how many rows `validation.hold_out` holds out: none, or at least two."""
        held = min(math.ceil(round(self.held_per_class(fraction).sum(), 6)), self.n_rows - 1)
        return held if held >= 2 else 0

    def in_reading_order(self, rows: Array) -> Array:
        """Return row numbers in the order in which these rows can be read."""
        return np.sort(rows) if isinstance(self.X, StreamedMatrix) else rows

    def for_scorer(self) -> Any:
        """Return X as scorers get it.

        It is a RowSource if rows are streamed, X as passed if that is a data frame or has categories, and
        otherwise `X`.
        """
        if isinstance(self.X, StreamedMatrix):
            return self.X.source
        if not (is_frame(self.table) or self.encoding.categorical.size):
            return self.X
        with naming("X"):
            return self.table if self.taken is None else _safe_indexing(self.table, self.taken)


def prediction_inputs(estimator: Any, X: Any) -> tuple[Any, Rows]:
    """Return X as a matrix of numbers, and the inputs of a fitted network, which are made block by block."""
    state = estimator._fitted
    network, encoding = state.network, state.encoding
    plain = type(X) is np.ndarray and X.dtype in (np.float32, np.float64) and X.ndim == 2
    plain = plain and not (encoding.categorical.size or "feature_names_in_" in vars(estimator))
    if not (plain and X.shape[1] == encoding.n_features and len(X)):
        X = read_features(estimator, X)  # skipped if possible: it doubles the time for one row
    return X, EncodedRows(X, encoding, state.scaling, network.dtype, network.layers[0].reads_sparse)


def read_features(estimator: Any, X: Any) -> Any:
    """Return X as a matrix of numbers, see `table`, checked against the fit of the estimator."""
    return read(estimator, as_table(estimator, X, reset=False), estimator._fitted.encoding)[0]


def read_targets(estimator: Any, y: Any, n: int) -> Any:
    """Return y as an array or as CSR rows, with n rows; `as_targets` then checks the labels."""
    check_not_masked("y", y)
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    with naming("y"):
        given, y = y, as_csr("y", y) if issparse(y) else label_array("y", y)
        y = y.toarray() if issparse(y) and y.ndim == 1 else y
        if y.dtype == object and y.ndim == 0:
            raise TypeError(f"y must be an array of shape (n_samples,), got {given!r}")
        y = check_array(y, dtype=None, ensure_2d=False, input_name="y", **CHECKS)
    if y.shape[0] != n:
        numbers = [n, y.shape[0]]
        raise ValueError(f"X and y: Found input variables with inconsistent numbers of samples: {numbers}")
    return y


def check_total_weight(total: float, n: int) -> None:
    """Raise an error unless the total weight of n rows is positive and finite."""
    if not 0.0 < total < np.inf:
        raise ValueError(
            f"the weights of the rows, class_weight times sample_weight, sum to {total}; at least one of "
            f"the {n} rows must have a positive weight, and the sum must be finite"
        )


def as_targets(estimator: Any, y: Any) -> Any:
    """Return y, as `read_targets` returns it, with checked labels; a single column becomes a vector."""
    if y.dtype == object or not estimator.soft_targets:
        y = as_labels(y)
    if y.ndim == 2 and y.shape[1] == 1 and not estimator.soft_targets:
        y = column_or_1d(y.toarray() if hasattr(y, "toarray") else y, warn=True)
    return y


def _read(
    estimator: Any, X: Any, y: Any, sample_weight: Any, earlier: Any
) -> tuple[Any, tuple[Any, Encoding], Any, Array | None]:
    """Return X as a table and as a matrix with its encoding, y and weights, checked; y is not encoded yet.

    All shapes are checked before entries. ``earlier`` has the encoding of earlier rows, or is None.
    """
    table = as_table(estimator, X, reset=earlier is None)
    n = table.shape[0]
    y = read_targets(estimator, y, n)
    weight = as_weights(sample_weight, n)
    features = read(estimator, table, None if earlier is None else earlier.encoding, weight)
    return table, features, as_targets(estimator, y), weight


def _blocks(X: Any) -> Iterator[tuple[int, Any]]:
    """Yield blocks of rows that are in memory, with the number of the first row: X itself if it is."""
    if isinstance(X, StreamedMatrix):
        yield from ((X.bounds(number)[0], X.block(number)) for number in range(X.n_blocks))
    else:
        yield 0, X


@contextmanager
def in_validation_set() -> Iterator[None]:
    """Add to the message of an error in the block that it is about the validation set."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = f"in the validation set (X_val, y_val and sample_weight_val, or held-out rows): {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None
