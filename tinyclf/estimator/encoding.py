"""Encoding of the columns of X: the inputs of the network are numbers and indicators.

The inputs are, in this order,

- the number columns, scaled; a missing number (NaN) is read as the center of its column, see `scaling`;
- for each column in which the fit saw missing entries, an indicator of these: 1 if the entry is
  missing, otherwise 0;
- for each category column, an indicator of each category; rare categories share one.

`table` reads X as a matrix of numbers (n, n_features), in which the entries of category columns are codes,
and missing entries are NaN. This module makes the inputs of the network from it, scaled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array
from sklearn.preprocessing import OrdinalEncoder

from ..nn.arrays import Array, all_finite
from ..nn.batches import SPARSE_PAYS, CsrRows, DenseRows, Rows, as_rows, entry_blocks, not_finite
from ..nn.layers import Dense
from ..nn.network import Network
from .scaling import Scaling, cached_property, change_of_scaling, without_missing

# The types of entries of each kind; booleans are not numbers.
_KINDS: dict[str, Any] = {"strings": str, "booleans": (bool, np.bool_), "numbers": (Real, Decimal)}


# Number of summaries that are merged at once.
_MERGED = 64


@dataclass(frozen=True, eq=False)
class ColumnSummary:
    """What some rows of X say about its columns: the categories, and how many entries are missing.

    The summaries of blocks of rows can be merged, and an `Encoding` is made from that of all rows. Only
    rows of positive weight are counted.

    Attributes
    ----------
    n_features : int
        Number of columns of X.
    n_rows : int
    n_missing : ndarray of int, shape (n_features,)
        Number of missing entries of each column.
    categorical : ndarray of int64, shape (c,)
        Indices of the category columns, ascending. A column of objects without entries is one of them.
    categories : list of c ndarrays
        All categories of each of them, sorted.
    weights : list of c ndarrays
        The total weight of each category.
    dtype : dtype
        float32 if all number columns are, otherwise float64.
    """

    n_features: int
    n_rows: int
    n_missing: Array
    categorical: Array
    categories: list[Array]
    weights: list[Array]
    dtype: np.dtype[Any]

    @classmethod
    def merged(cls, parts: Iterable[ColumnSummary], names: Array | None = None) -> ColumnSummary:
        """Return the summary of the rows of all parts; ``names`` of the columns are for errors.

        Raises
        ------
        TypeError
            If a column holds numbers in one part, and strings or booleans in another.
        """
        parts = iter(parts)
        merged = next(parts)
        while group := [*islice(parts, _MERGED)]:  # not all at once: they may have many categories
            merged = cls._merged([merged, *group], names)
        return merged

    @classmethod
    def _merged(cls, parts: list[ColumnSummary], names: Array | None) -> ColumnSummary:
        categories, weights = {}, {}
        for j in sorted({int(j) for part in parts for j in part.categorical}):
            found = [part._column(j) for part in parts if len(part._column(j)[0])]
            are_numbers = any(j not in p.categorical and p.n_missing[j] < p.n_rows for p in parts)
            kinds = {str(kind_of(values)) for values, _ in found} | ({"numbers"} if are_numbers else set())
            if len(kinds) > 1:
                where = f"column {j}" if names is None else f"the column {str(names[j])!r}"
                raise TypeError(
                    f"X has {' and '.join(sorted(kinds))} in {where}, in different blocks of rows; convert "
                    "them to one type"
                )
            if found or not are_numbers:
                categories[j], weights[j] = _total_weights(found)
        return cls(
            parts[0].n_features,
            sum(part.n_rows for part in parts),
            np.sum([part.n_missing for part in parts], axis=0),
            np.array([*categories], np.int64),
            [*categories.values()],
            [*weights.values()],
            np.result_type(*(part.dtype for part in parts)),
        )

    def _column(self, j: int) -> tuple[Array, Array]:
        """Return the categories of a column and their weights; none if it is a number column."""
        at = np.flatnonzero(self.categorical == j)
        return (self.categories[at[0]], self.weights[at[0]]) if at.size else (np.array([]), np.array([]))

    def encoding(self, max_categories: int | None) -> Encoding:
        """Return the encoding of the columns.

        If there are more than ``max_categories`` categories in a column, those with the largest total
        weight are kept, as in scikit-learn's OneHotEncoder. A column in which all rows are equal gets
        no indicator, since it says nothing about y.
        """
        categories, rare = [], []
        for j, values, weight in zip(self.categorical, self.categories, self.weights, strict=True):
            others = max_categories is not None and len(values) > max_categories
            if others:
                values = values[np.sort(np.argsort(weight, kind="stable")[1 - max_categories :])]  # type: ignore[operator]
            varies = len(values) > 1 or others or self.n_missing[j] > 0
            categories.append(values if varies else values[:0])
            rare.append(others)
        missing = np.flatnonzero((self.n_missing > 0) & (self.n_missing < self.n_rows)).astype(np.int64)
        return Encoding(self.n_features, self.categorical, categories, np.array(rare, bool), missing)


@dataclass(frozen=True, eq=False)
class Encoding:
    """Which columns of X are categories, and which inputs of the network the columns have.

    Attributes
    ----------
    n_features : int
        Number of columns of X.
    categorical : ndarray of int64, shape (c,)
        Indices of the category columns, ascending.
    categories : list of c ndarrays
        The categories of each of them that have an indicator, sorted: strings in an array of objects,
        booleans or numbers. The code of a category is its index; all others have the next code.
    rare : ndarray of bool, shape (c,)
        Whether these other categories of the column share an indicator.
    missing : ndarray of int64, shape (m,)
        Indices of the columns with an indicator of missing entries, ascending.
    """

    n_features: int
    categorical: Array
    categories: list[Array]
    rare: Array
    missing: Array

    def __post_init__(self) -> None:
        if type(self.n_features) is not int or self.n_features < 1:
            raise ValueError(f"the number of features must be an integer >= 1, got {self.n_features!r}")
        for name, columns in (("categorical", self.categorical), ("missing", self.missing)):
            if not isinstance(columns, np.ndarray) or columns.dtype != np.int64 or columns.ndim != 1:
                raise ValueError(f"{name} must be a vector of int64, got {columns!r}")
            inside = columns.size == 0 or 0 <= columns[0] <= columns[-1] < self.n_features
            if not inside or not (columns[1:] > columns[:-1]).all():
                raise ValueError(
                    f"{name} must be ascending column numbers below {self.n_features}, got {columns}"
                )
        shape, rare = self.categorical.shape, self.rare
        if not isinstance(rare, np.ndarray) or rare.dtype != np.bool_ or rare.shape != shape:
            raise ValueError(f"rare must have one boolean for each of {shape[0]} columns, got {rare!r}")
        if not isinstance(self.categories, list) or len(self.categories) != len(self.categorical):
            raise ValueError(f"categories must be a list of {len(self.categorical)} arrays")
        for values in self.categories:
            kind = kind_of(values) if isinstance(values, np.ndarray) and values.ndim == 1 else None
            if kind is None or (kind == "strings") != (values.dtype == object):
                raise ValueError(f"categories must be strings, booleans or numbers, got {values!r}")
            if not (values[1:] > values[:-1]).all():
                raise ValueError(f"categories must be sorted and distinct, got {values!r}")

    # --- the inputs of the network ----------------------------------------------------------------

    @cached_property
    def numbers(self) -> Array:
        """Indices of the number columns, ascending."""
        return np.delete(np.arange(self.n_features), self.categorical)

    @property
    def n_numbers(self) -> int:
        """Number of number columns."""
        return self.n_features - len(self.categorical)

    @cached_property
    def n_inputs(self) -> int:
        """Number of inputs of the network; if there is no other, one input is always 0."""
        return max(1, self.n_numbers + len(self.missing) + int(self.widths.sum()))

    @cached_property
    def widths(self) -> Array:
        """Number of indicators of each category column, (c,)."""
        return np.array([*map(len, self.categories)], np.intp) + self.rare

    @cached_property
    def _starts(self) -> Array:
        """The input of the first indicator of each category column, (c,)."""
        return self.n_numbers + len(self.missing) + self.widths.cumsum() - self.widths

    def select_numbers(self, X: Any) -> Any:
        """Return the number columns of X (n, n_features)."""
        return X[:, self.numbers] if self.categorical.size else X

    @contextmanager
    def naming_columns(self) -> Iterator[None]:
        """Replace the number of a number column in an error in the block by that of the column of X."""
        try:
            yield
        except ValueError as error:
            message = re.sub(r"\bcolumn (\d+)", lambda m: f"column {self.numbers[int(m[1])]}", str(error))
            raise ValueError(message) from None

    def carry_over(self, network: Network, old: Scaling | None, new: Scaling | None) -> None:
        """Rewrite the first layer for a new scaling, so that its output changes as little as possible.

        Raises
        ------
        ValueError
            If the new parameters are not finite.
        """
        growth, shift = change_of_scaling(old, new, self.n_numbers)
        first, p = network.layers[0], network.parameters[0]
        assert isinstance(first, Dense)
        with np.errstate(all="ignore"):
            first.rescale_input(p, self.with_indicators(growth, 1.0), self.with_indicators(shift, 0.0))
            if not all(map(all_finite, vars(p).values())):
                worst = int(np.maximum(np.abs(shift), growth).argmax())
                centers = ("0" if s is None else f"{s.center[worst]:.4g}" for s in (old, new))
                raise ValueError(
                    f"column {self.numbers[worst]} of X has changed too much, from a center of "
                    f"{' to '.join(centers)}; scale it, or call fit again"
                )

    def with_indicators(self, values: Array, value: float) -> Array:
        """Return values of the number columns, and this value for each indicator, (n_inputs,)."""
        more = np.full(self.n_inputs - len(values), value)
        return np.concatenate([values, more]) if more.size else values

    def names(self, features: Array | None) -> Array:
        """Return the names of the inputs, given those of the columns; by default x0, x1, ...

        The names of indicators are those of scikit-learn's ``SimpleImputer`` and ``OneHotEncoder``.
        """
        columns = [f"x{i}" for i in range(self.n_features)] if features is None else features.tolist()
        found = [columns[i] for i in self.numbers]
        found += [f"missingindicator_{columns[i]}" for i in self.missing]
        for i, values, rare in zip(self.categorical, self.categories, self.rare, strict=True):
            found += [f"{columns[i]}_{value}" for value in values]
            found += [f"{columns[i]}_infrequent_sklearn"] if rare else []
        return np.array(found or ["constant"], object)

    def rows(
        self,
        X: Any,
        scaling: Scaling | None,
        dtype: DTypeLike,
        first_row: int = 0,
        stays_sparse: bool = False,
    ) -> Rows:
        """Return the inputs of the network for rows X, in the form that the first layer reads.

        Parameters
        ----------
        X : ndarray or CSR of shape (n, n_features), float32 or float64
            With codes in the category columns, and NaN for missing entries.
        scaling : Scaling or None
            Scaling of the number columns.
        dtype : float32 or float64
            The type of the inputs.
        first_row : int, default=0
            Number of the first row of X in error messages.
        stays_sparse : bool, default=False
            Whether the first layer reads CSR, see `CsrRows`.

        Raises
        ------
        ValueError
            If a number, or its scaled value, is infinite in this type, or a number is missing and not
            scaled; the message names row and column.
        """
        kind = np.dtype(dtype)
        if scaling is None and not (self.categorical.size or self.missing.size):
            return as_rows(X, kind, self.n_features, first_row, stays_sparse)
        with np.errstate(all="ignore"):
            if hasattr(X, "tocsr") and scaling is not None and scaling.centered:
                X = X.toarray()  # zeros do not stay zeros
            if hasattr(X, "tocsr"):
                return CsrRows(self._sparse_rows(X, scaling, kind, first_row), stays_sparse)
            n_entries = self.n_features + len(self.missing)
            if stays_sparse and self.categorical.size and n_entries <= SPARSE_PAYS * self.n_inputs:
                return CsrRows(self._with_sparse_indicators(X, scaling, kind, first_row), True)
            out = np.empty((len(X), self.n_inputs), kind)
            for given, block in entry_blocks(X, out):
                if not self._write_numbers(given, scaling, block):
                    raise self._not_finite(X, scaling, kind, first_row)
                if self.categorical.size:
                    block[:, self._starts[0] :] = 0.0
                    at, known = self._positions(given)
                    block[np.nonzero(known)[0], at[known]] = 1.0
            return DenseRows(out)

    def _write_numbers(self, X: Array, scaling: Scaling | None, out: Array) -> bool:
        """Write scaled numbers and indicators of missing entries; return False if a number is not finite."""
        numbers = self.select_numbers(X)
        n = numbers.shape[1]
        z = out if out.shape[1] == n else out[:, :n]
        if scaling is None:
            z[...] = numbers
        else:
            scaling.transform(numbers, z)
        if not (all_finite(z) and all_finite(numbers)):  # compression hides infinite entries
            if scaling is None or np.isinf(numbers).any():
                return False
            np.copyto(z, scaling.missing, casting="same_kind", where=np.isnan(numbers))
            if not all_finite(z):
                return False
        if self.missing.size:
            out[:, n : n + len(self.missing)] = np.isnan(X[:, self.missing])
        return True

    def _positions(self, X: Array) -> tuple[Array, Array]:
        """Return which input is 1 for each entry of the category columns, (n, c), and whether one is."""
        codes = X[:, self.categorical]
        known = codes < self.widths  # False for NaN
        starts = np.minimum(self._starts, self.n_inputs - 1)  # the last columns may have no inputs
        return starts + np.where(known, codes, 0.0).astype(np.intp), known

    def _with_sparse_indicators(
        self, X: Array, scaling: Scaling | None, dtype: np.dtype[Any], first_row: int
    ) -> Any:
        """Return the inputs for dense rows as CSR, with one stored entry for each category column."""
        n, dense = len(X), self.n_numbers + len(self.missing)
        n_entries = dense + len(self.categorical)
        values, indices = np.empty((n, n_entries), dtype), np.empty((n, n_entries), np.int32)
        indices[:, :dense] = np.arange(dense)
        for given, block, at in entry_blocks(X, values, indices):
            if not self._write_numbers(given, scaling, block):
                raise self._not_finite(X, scaling, dtype, first_row)
            at[:, dense:], block[:, dense:] = self._positions(given)
        starts = np.arange(0, n * n_entries + 1, n_entries)
        return csr_array((values.ravel(), indices.ravel(), starts), shape=(n, self.n_inputs))

    def _sparse_rows(self, X: Any, scaling: Scaling | None, dtype: np.dtype[Any], first_row: int) -> Any:
        """Return the inputs for CSR rows, which have no category columns, as CSR."""
        values = X.data.astype(dtype) if scaling is None else scaling.transform_entries(X, dtype)
        missing = np.isnan(X.data)
        values[missing] = 0.0
        if not all_finite(values) or np.isinf(X.data).any() or (scaling is None and missing.any()):
            raise not_finite(X if scaling is None else without_missing(X), dtype, first_row, values)
        if not self.missing.size:
            return type(X)((values, X.indices, X.indptr), shape=X.shape)
        indicator = np.full(self.n_features, -1)
        indicator[self.missing] = self.n_features + np.arange(len(self.missing))
        indices = X.indices.copy()
        at = np.flatnonzero(missing & (indicator[X.indices] >= 0))
        indices[at], values[at] = indicator[X.indices[at]], 1.0
        made = type(X)((values, indices, X.indptr.copy()), shape=(X.shape[0], self.n_inputs))
        made.sort_indices()
        return made

    def _not_finite(self, X: Array, scaling: Scaling | None, dtype: np.dtype[Any], first_row: int) -> Any:
        """Return the error that names the first number that is not finite, for dense rows."""
        given = X.copy() if scaling is None else without_missing(X)
        given[:, self.categorical] = 0.0
        values = given.astype(dtype)
        if scaling is not None:
            numbers = given[:, self.numbers]
            values[:, self.numbers] = scaling.transform(numbers, np.empty(numbers.shape, dtype))
        return not_finite(given, dtype, first_row, values)

    # --- the codes of categories ------------------------------------------------------------------

    def codes(self, index: int, entries: Array) -> Array:
        """Return the codes of entries that are not missing, of the category column with this index.

        Parameters
        ----------
        index : int
            Index of an item of ``categorical``.
        entries : ndarray of shape (n,)
            Of the same kind as the categories, see `kind_of`.
        """
        categories = self.categories[index]
        if not len(entries) or not len(categories):
            return np.full(len(entries), float(len(categories)))
        codes: Array = self._encoders[index].transform(entries[:, None])[:, 0]
        return codes

    @cached_property
    def _encoders(self) -> list[Any]:
        """An encoder for each category column that has categories."""
        return [ordinal_encoder([c], len(c), c) if len(c) else None for c in self.categories]

    def __reduce__(self) -> tuple[Any, ...]:
        held = (self.n_features, self.categorical, self.categories, self.rare, self.missing)
        return type(self), held  # without the cache


def _total_weights(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return the categories of all parts, sorted, and their total weights, given those of each part."""
    if not parts:
        return np.array([], object), np.array([])
    values, weights = zip(*parts, strict=True)
    categories, at = np.unique(np.concatenate(values), return_inverse=True)
    return categories, np.bincount(at, np.concatenate(weights))


def kind_of(values: Array) -> str | None:
    """Return the kind of entries that are not missing: "strings", "booleans", "numbers", or None if mixed."""
    types = {*map(type, values.tolist())} if values.dtype == object else {values.dtype.type}
    kinds = {
        next((kind for kind, base in _KINDS.items() if issubclass(t, base)), None) for t in types or {str}
    }
    return kinds.pop() if len(kinds) == 1 else None


def ordinal_encoder(categories: Any, unknown: int, entries: Array) -> OrdinalEncoder:
    """Return an encoder that is fitted on entries (n,), with this code for unknown ones."""
    encoder = OrdinalEncoder(categories=categories, handle_unknown="use_encoded_value", unknown_value=unknown)
    encoder.set_output(transform="default")  # whatever scikit-learn's configuration says
    return encoder.fit(entries[:, None])


class EncodedRows(Rows):
    """Inputs of the network that are made block by block, so memory does not grow with their number.

    These rows are for prediction; `gather` is not implemented. The parameters are those of
    `Encoding.rows`.
    """

    def __init__(
        self, X: Any, encoding: Encoding, scaling: Scaling | None, dtype: DTypeLike, stays_sparse: bool
    ) -> None:
        self.X, self.encoding, self.scaling = X, encoding, scaling
        self.dtype, self.stays_sparse = dtype, stays_sparse

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def block(self, start: int, stop: int) -> Any:
        rows = self.encoding.rows(self.X[start:stop], self.scaling, self.dtype, start, self.stays_sparse)
        return rows.block(0, len(rows))
