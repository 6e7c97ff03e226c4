"""Scaling of the features, before the network: each column gets mean 0 and standard deviation 1.

The scaling is not part of the network's weights: with a column offset of 1e6, float32 weights would
lose five of their seven digits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..nn.arrays import ROW_BLOCK, Array, all_finite
from ..nn.batches import (
    ENTRY_BLOCK,
    CsrRows,
    DenseRows,
    Rows,
    check_rows,
    entry_blocks,
    not_finite,
)

# A smaller deviation, relative to the mean, is a rounding error.
_NOISE = 4.0 * np.finfo(np.float64).eps

# Entries are clipped to this number of standard deviations from the mean; see `Scaling.limited`.
_LIMIT = 5.0


@dataclass(frozen=True)
class Scaling:
    """Statistics of the columns over all rows so far, and the transform that they define.

    An entry x becomes (min(max(x, low), high) - center) / scale, or 0 if its column is constant so
    far. For dense rows the center is the mean, and the scale is the standard deviation. For sparse
    rows the center is 0, so that zeros stay zeros, and the scale is the root mean square of the
    nonzero entries. (With the standard deviation as the scale, the count 1 of a word that occurs in
    one of a hundred texts would become 10.)

    Attributes
    ----------
    total_weight : float
        Sum of the weights of the rows.
    mean, deviation : ndarray of shape (n_in,)
        Weighted mean and standard deviation of each column; the deviation of a constant column is
        exactly 0.
    nonzero_weight, nonzero_rms : ndarray of shape (n_in,)
        For sparse rows: sum of the weights of the nonzero entries, and their root mean square.
    low, high : ndarray of shape (n_in,)
        Entries are clipped to this interval, see `limited`.
    centered : bool
        Whether the rows are dense.
    """

    total_weight: float
    mean: Array
    deviation: Array
    nonzero_weight: Array
    nonzero_rms: Array
    low: Array
    high: Array
    centered: bool

    def __post_init__(self) -> None:
        if type(self.centered) is not bool:
            raise ValueError(f"centered must be a bool, got {self.centered!r}")
        if type(self.total_weight) is not float or not 0.0 <= self.total_weight < np.inf:
            raise ValueError(f"the total weight of the rows must be finite, got {self.total_weight!r}")
        columns = [getattr(self, field.name) for field in fields(self) if field.type == "Array"]
        for values in columns:
            if (
                not isinstance(values, np.ndarray)
                or values.dtype != np.float64
                or values.ndim != 1
                or values.shape != self.mean.shape
            ):
                raise ValueError(
                    "the statistics of the columns must be vectors of float64 of the same length"
                )
            values.flags.writeable = False  # cached properties depend on them

    @classmethod
    def of(cls, X: Any, weight: Array | None = None) -> Scaling:
        """Return the statistics of rows (n, n_in), dense or CSR, with weights (n,) if given, not all 0."""
        n_in = X.shape[1]
        zero, limit = np.zeros(n_in), np.full(n_in, np.inf)
        nothing = cls(0.0, zero, zero, zero, zero, -limit, limit, centered=not hasattr(X, "tocsr"))
        return nothing.with_rows(X, weight)

    @classmethod
    def none(cls, n_in: int) -> Scaling:
        """Return the identity."""
        zero, one, limit = np.zeros(n_in), np.ones(n_in), np.full(n_in, np.inf)
        return cls(0.0, zero, one, one, one, -limit, limit, centered=True)

    def with_rows(self, X: Any, weight: Array | None = None) -> Scaling:
        """Return the statistics of all earlier rows and these rows together; the limits do not change.

        Raises
        ------
        ValueError
            If an entry, or a difference within a column, is not finite.
        """
        check_rows(X)
        grown = self
        with np.errstate(all="ignore"):
            for start in range(0, X.shape[0], ROW_BLOCK):
                part = X[start : start + ROW_BLOCK]
                w = np.ones(part.shape[0]) if weight is None else weight[start : start + ROW_BLOCK]
                if weight is not None:
                    part, w = part[w > 0.0], w[w > 0.0]
                if len(w):
                    grown = grown._merged(*_statistics(part, w, self.centered))
        wide = np.flatnonzero(~(np.isfinite(grown.mean) & np.isfinite(grown.deviation)))
        if wide.size:
            column = X[:, [wide[0]]]
            column = np.ravel(column.toarray() if hasattr(column, "toarray") else column)
            row = int(np.abs(column).argmax())
            raise ValueError(
                f"the input is {column[row]} at row {row}, column {wide[0]}, whose difference from the "
                "others is beyond the range of float64; divide the column by a large number"
            )
        return grown

    def _merged(self, v: float, mean: Array, deviation: Array, weight: Array, rms: Array) -> Scaling:
        """Return the statistics of these rows and more rows together.

        Two parts with weights w and v, means m and m + d, and standard deviations s and r have
        together the mean and standard deviation

            m + d v / (w + v),    sqrt((w s^2 + v r^2) / (w + v) + w v d^2 / (w + v)^2)

        Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
        sample variances" (1979).
        """
        total, d = self.total_weight + v, mean - self.mean
        if not self.total_weight:
            return replace(
                self, total_weight=v, mean=mean, deviation=deviation, nonzero_weight=weight, nonzero_rms=rms
            )
        fraction, entries = v / total, self.nonzero_weight + weight
        return replace(
            self,
            total_weight=total,
            mean=self.mean + fraction * d,
            deviation=np.hypot(
                _norm(1.0 - fraction, self.deviation, fraction, deviation),
                np.sqrt(fraction * (1.0 - fraction)) * d,
            ),
            nonzero_weight=entries,
            nonzero_rms=_norm(
                self.nonzero_weight / _or_one(entries), self.nonzero_rms, weight / _or_one(entries), rms
            ),
        )

    @cached_property
    def scale(self) -> Array:
        """The scale of each column, (n_in,); 0 for a column that is constant up to rounding errors."""
        varies = self.deviation > _NOISE * np.abs(self.mean)
        scale = np.where(varies, self.deviation if self.centered else self.nonzero_rms, 0.0)
        scale.flags.writeable = False
        return scale

    def limited(self) -> Scaling:
        """Return the scaling with limits at 5 scales from the center; constant columns have no limits.

        Entries are clipped to the limits: real data have heavy tails, and in the 0/1 column of a
        rare category, 1 would become a large number.
        """
        with np.errstate(over="ignore"):
            reach = np.where(self.scale > 0.0, _LIMIT * self.scale, np.inf)
            return replace(self, low=self.center - reach, high=self.center + reach)

    def widened(self) -> Scaling:
        """Return the scaling with its limits widened to those of `limited`, for columns that drift."""
        new = self.limited()
        return replace(self, low=np.minimum(self.low, new.low), high=np.maximum(self.high, new.high))

    @property
    def center(self) -> Array:
        """The value that is subtracted from each column, (n_in,)."""
        return self.mean if self.centered else np.zeros_like(self.mean)

    @cached_property
    def divisor(self) -> Array:
        """The scale, (n_in,), but inf for a constant column, so that its entries become 0."""
        return np.where(self.scale > 0.0, self.scale, np.inf)

    def transform(self, X: Array, out: Array) -> Array:
        """Write scaled dense rows into ``out``, which has the type of the computation, and return it.

        Parameters
        ----------
        X : ndarray of shape (n, n_in), float32 or float64
        out : ndarray of shape (n, n_in), float32 or float64
            The arithmetic is float32 if both arrays are float32 and no precision is lost, and
            float64 otherwise.
        """
        return self._transform(self._terms(X.dtype, out.dtype), X, out)

    def _transform(self, terms: tuple[Array, Array, Array, Array], X: Array, out: Array) -> Array:
        low, high, center, factor = terms
        n = len(X) if len(X) <= len(low) else 1
        x = out if low.dtype == out.dtype else np.empty(X.shape, low.dtype)
        np.maximum(X, low[:n], out=x)
        np.minimum(x, high[:n], out=x)
        if self.centered:
            x -= center[:n]
        x *= factor[:n]
        if x is not out:
            out[...] = x
        return out

    def terms(self, given: DTypeLike, dtype: DTypeLike) -> tuple[Array, Array, Array, Array]:
        """Return low, high, center and factor, (n_in,), for rows of the type ``given`` in `transform`.

        The result is (min(max(X, low), high) - center) * factor, computed in the type of these
        arrays.
        """
        low, high, center, factor = (rows[0] for rows in self._terms(given, dtype))
        return low, high, center, factor

    def _terms(self, given: DTypeLike, dtype: DTypeLike) -> tuple[Array, Array, Array, Array]:
        """Return the terms, repeated for each row of a block."""
        return (given == dtype == np.float32 and self._narrow) or self._wide

    def transform_entries(self, X: Any, dtype: DTypeLike) -> Array:
        """Return the stored entries of CSR rows, scaled in float64 and rounded to ``dtype``."""
        columns = X.indices
        x: Array = np.clip(X.data, self.low[columns], self.high[columns], dtype=np.float64)
        x -= self.center[columns]
        x /= self.divisor[columns]
        return x.astype(dtype)

    @cached_property
    def _wide(self) -> tuple[Array, Array, Array, Array]:
        """The terms, repeated for each row of a block: 256 x 64 entries take 9 instead of 18 microseconds."""
        factor = np.minimum(1.0 / self.divisor, np.finfo(np.float64).max)
        rows = (max(1, ENTRY_BLOCK // max(1, len(factor))), 1)
        low, high, center, factor = (np.tile(a, rows) for a in (self.low, self.high, self.center, factor))
        return low, high, center, factor

    @cached_property
    def _narrow(self) -> tuple[Array, Array, Array, Array] | None:
        known = self.scale[self.scale > 0.0]
        near = (np.abs(self.center) <= 1e3 * self.scale) | (self.scale == 0.0)
        if not near.all() or (known.size and not 1e-30 < known.min() <= known.max() < 1e30):
            return None
        with np.errstate(over="ignore"):
            low, high, center, factor = (a.astype(np.float32) for a in self._wide)
        return low, high, center, factor

    def rows(self, X: Any, dtype: DTypeLike, first_row: int = 0, stays_sparse: bool = False) -> Rows:
        """Return the rows X, scaled in one pass, in the form that the first layer reads.

        Raises
        ------
        ValueError
            If an entry of X, or its scaled value, is not a finite number of the type ``dtype``; the
            message names row and column.
        """
        kind = np.dtype(dtype)
        if hasattr(X, "tocsr") and self.centered:
            X = X.toarray()  # zeros do not stay zeros
        with np.errstate(all="ignore"):
            if hasattr(X, "tocsr"):
                values = self.transform_entries(X, kind)
                if not (all_finite(values) and all_finite(X.data)):
                    raise not_finite(X, kind, first_row, values)
                return CsrRows(type(X)((values, X.indices, X.indptr), shape=X.shape), stays_sparse)
            out, terms = np.empty(X.shape, kind), self._terms(X.dtype, kind)
            for given, block in entry_blocks(X, out):
                self._transform(terms, given, block)
                if not (all_finite(block) and all_finite(given)):  # clipping hides infinite entries
                    raise not_finite(X, kind, first_row, self.transform(X, np.empty(X.shape, kind)))
            return DenseRows(out)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # without the cache

    def carry_over(self, W: Array, b: Array, new: Scaling) -> None:
        """Rewrite the first layer x W + b for a new scaling, so that its output does not change.

        If (x - m) / s becomes (x - n) / r, each row of W becomes W r / s, and b becomes b + sum (n -
        m) / s W. A column that was constant had no effect; its row of W becomes 0, and is trained
        from there. If all columns were constant, for example after a single row, W does not change,
        so that the units still differ; the output for that row does not change either.
        """
        with np.errstate(all="ignore"):
            if self.scale.any():
                move, growth = (new.center - self.center) / self.divisor, new.scale / self.divisor
            else:
                move, growth = (
                    (new.center - self.mean) / new.divisor,
                    np.ones(len(W)),
                )  # all rows equal the mean
            b += move @ W
            W *= growth[:, None]
            if not (all_finite(b) and all_finite(W)):
                worst = int(np.maximum(np.abs(move), growth).argmax())
                means = f"from a mean of {self.mean[worst]:.4g} to {new.mean[worst]:.4g}"
                raise ValueError(
                    f"column {worst} of X has changed too much, {means}; scale it, or call fit again"
                )


class ScaledRows(Rows):
    """Rows that are scaled block by block, so that memory does not grow with their number.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, n_in), float32 or float64
    scaling : Scaling
    dtype : float32 or float64
        The type that the network computes in.
    stays_sparse : bool
        See `CsrRows`.
    """

    def __init__(self, X: Any, scaling: Scaling, dtype: DTypeLike, stays_sparse: bool) -> None:
        self.X, self.scaling, self.dtype, self.stays_sparse = X, scaling, dtype, stays_sparse

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def block(self, start: int, stop: int) -> Any:
        rows = self.scaling.rows(self.X[start:stop], self.dtype, start, self.stays_sparse)
        return rows.block(0, len(rows))


def _statistics(X: Any, w: Array, centered: bool) -> tuple[float, Array, Array, Array, Array]:
    """Return the statistics of rows with positive weights w, in the form of `Scaling._merged`."""
    total = float(w.sum())
    fraction = w / total
    if hasattr(X, "tocsr"):
        mean, deviation, weight, rms = _of_sparse(X, fraction)
        return total, mean, deviation, total * weight, rms
    weight = rms = np.zeros(X.shape[1])
    if not centered:  # dense rows after sparse rows
        unit = _or_one(np.abs(X).max(axis=0))
        weight = fraction @ (X != 0.0)
        rms = unit * np.sqrt(fraction @ (X / unit) ** 2 / _or_one(weight))
    return total, *_of_dense(X, fraction), total * weight, rms


def _of_dense(X: Array, fraction: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of rows; their weights, ``fraction``, sum to 1.

    The first row is subtracted, so that a constant column becomes exactly 0. The differences are
    divided by their largest magnitude, since squares of 1e300 overflow.
    """
    first = X[0].astype(np.float64)
    d = np.subtract(X, first, order="C")  # for any order of X, so that sums round in the same way
    unit = _or_one(np.abs(d).max(axis=0))
    d /= unit
    mean = fraction @ d
    d -= mean
    deviation = unit * np.sqrt(fraction @ np.square(d, out=d))
    return first + unit * mean, deviation


def _of_sparse(X: Any, fraction: Array) -> tuple[Array, Array, Array, Array]:
    """Return mean and deviation of CSR rows, and weight and root mean square of their nonzero entries."""
    n_in = X.shape[1]
    fraction, column = np.repeat(fraction, np.diff(X.indptr)), X.indices
    top, bottom = (np.ravel(X.max(axis=0).toarray()), np.ravel(X.min(axis=0).toarray()))
    unit = _or_one(np.maximum(top, -bottom).astype(np.float64))
    x = X.data / unit[column]
    mean, squares, weight = (
        np.bincount(column, fraction * v, n_in) for v in (x, x * x, (x != 0.0).astype(float))
    )
    about = np.bincount(column, fraction * (x - mean[column]) ** 2, n_in)
    stored = np.bincount(column, fraction, n_in)
    deviation = unit * np.sqrt(about + np.maximum(1.0 - stored, 0.0) * mean**2)
    constant = top == bottom
    return (
        np.where(constant, top, unit * mean),
        np.where(constant, 0.0, deviation),
        weight,
        unit * np.sqrt(squares / _or_one(weight)),
    )


def _norm(p: Any, s: Array, q: Any, r: Array) -> Array:
    """Return sqrt(p s^2 + q r^2) without squares that overflow or underflow."""
    norm: Array = np.hypot(np.sqrt(p) * s, np.sqrt(q) * r)
    return norm


def _or_one(values: Array) -> Array:
    return np.where(values > 0.0, values, 1.0)
