"""Scaling of the features, before the network: robust mean and standard deviation, logarithmic tails.

An entry x of a column becomes f(z) with z = (x - center) / scale. Center and scale are about the mean and
the standard deviation of the column, computed from quantiles, after its entries were clipped to the
median plus or minus 3 s, where s is the interquartile range in units in which it is 1 for a standard
normal distribution. Values that are repeated often, such as -999 for missing entries, are left out of
median and range. So a few entries of any size hardly change center and scale, and columns without
outliers are standardized. Large |z| are compressed, so that outliers neither dominate the network nor
become equal:

    f(z) = z                                for |z| <= 3
    f(z) = sign(z) 3 (1 + log(|z| / 3))     otherwise

f and its first derivative are continuous. Missing entries (NaN) are not part of the statistics. They are
read as the center of the first rows, even after later rows have moved the center. The scaling is not part
of the network's weights: with a column offset of 1e6, float32 weights would lose five of their seven digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from ..nn.arrays import Array, all_finite
from ..nn.batches import ENTRY_BLOCK, entry_blocks, not_finite

# A smaller scale, relative to the entries, is a rounding error.
_NOISE = 4.0 * np.finfo(np.float64).eps

LINEAR = 3.0
"""Entries within this number of scales from the center are scaled linearly."""

# The interquartile range of a standard normal distribution.
_IQR = 1.3489795003921634

# Number of quantiles that are kept of each column: of dense rows, and of sparse rows, which may have
# a million columns.
_POINTS, _SPARSE_POINTS = 32, 8

_MEDIAN = np.array([0.5])

# If at least this fraction of the entries of a column are not repeated, only these define its quartiles.
_SINGLE = 3 / 8

# Dense rows and columns that are sorted at once.
_ROWS, _COLUMNS = 512, 2048

# The largest number of points that are merged at once: 8 MB.
_MERGED = 2**20

# The fractional parts of its multiples are spread evenly: the golden ratio minus 1.
_GOLDEN = 0.6180339887498949


T = TypeVar("T")


class cached_property(Generic[T]):
    """A property that is computed once, as ``functools.cached_property``, but without a lock.

    That of Python 3.11 has a lock for all instances. A child that is forked while another thread
    holds it would wait forever. Without it, two threads may both compute the same value.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        if instance is None:
            return self  # type: ignore[return-value]
        value = vars(instance)[self.name] = self.function(instance)
        return value


@dataclass(frozen=True)
class Scaling:
    """Quantiles of the columns over all rows so far, and the transform that they define.

    An entry x becomes f((x - center) / scale), with f as above, or 0 if its column is constant so far.
    If the quartiles of a column are equal, s is the third quartile of the distances of the entries that
    differ from the median. For sparse rows the center is 0, so that zeros stay zeros, and the scale is
    the root mean square of the nonzero entries, which are clipped in this way. (With the standard
    deviation as the scale, the count 1 of a word that occurs in one of a hundred texts would become 10.)

    Each column is described by its median and by 32 quantiles of the entries that differ from it; for
    sparse rows, by 8 quantiles of the nonzero entries. With more rows, quantiles of the old quantiles
    and those of the new rows together replace the old ones, so memory does not grow with the number of
    rows.

    Attributes
    ----------
    total_weight : ndarray of shape (n_in,)
        Sum of the weights of the rows in which the column is not missing.
    base : ndarray of shape (n_in,)
        For dense rows the median, for sparse rows 0.
    weight : ndarray of shape (n_in,)
        Sum of the weights of the entries that differ from the base.
    points : ndarray of shape (32, n_in) or (8, n_in)
        Quantiles of these entries, ascending; each represents an equal part of their weight. They are
        equal to the base if there are no such entries.
    n_updates : int
        How often rows were added.
    centered : bool
        Whether the rows are dense.
    fill : ndarray of shape (n_in,)
        The value that missing entries are read as; NaN stands for the present center. If later rows move
        the center, it is the center of the first rows.
    """

    total_weight: Array
    base: Array
    weight: Array
    points: Array
    n_updates: int
    centered: bool
    fill: Array

    def __post_init__(self) -> None:
        if type(self.centered) is not bool:
            raise ValueError(f"centered must be a bool, got {self.centered!r}")
        if type(self.n_updates) is not int or self.n_updates < 0:
            raise ValueError(f"the number of updates must be an integer >= 0, got {self.n_updates!r}")
        n_in, n_points = np.shape(self.base)[:1], _POINTS if self.centered else _SPARSE_POINTS
        vectors = [(values, n_in) for values in (self.base, self.weight, self.total_weight, self.fill)]
        for values, shape in (*vectors, (self.points, (n_points, *n_in))):
            if not isinstance(values, np.ndarray) or values.dtype != np.float64 or values.shape != shape:
                raise ValueError(
                    f"the statistics of the columns must be arrays of float64 of shape {shape}, got "
                    f"{type(values).__name__} of shape {np.shape(values)}"
                )
            center = np.isnan(values) if values is self.fill else False
            if not (np.isfinite(values) | center).all():
                raise ValueError("the statistics of the columns must be finite")
            values.flags.writeable = False  # cached properties depend on them
        if not ((self.weight >= 0.0) & (self.weight <= 1.000001 * self.total_weight)).all():
            raise ValueError("the weights of the columns must be from 0 to their total weights")
        if not (self.points[:-1] <= self.points[1:]).all():
            raise ValueError("the quantiles of the columns must be ascending")

    @classmethod
    def of(
        cls, X: Any, weight: Array | None = None, *, centered: bool | None = None, first_row: int = 0
    ) -> Scaling:
        """Return the scaling of rows (n, n_in), dense or CSR, with weights (n,) if given, not all 0.

        ``centered`` is True for dense rows by default, see `Scaling`. ``first_row`` is the number of
        the first row in errors.

        Raises
        ------
        ValueError
            If an entry is infinite, or a difference within a column is not finite.
        """
        centered = not hasattr(X, "tocsr") if centered is None else centered
        return cls._of(X, weight, centered, first_row)._checked(X, first_row)

    @classmethod
    def merged(cls, parts: Iterable[Scaling]) -> Scaling:
        """Return the scaling of the rows of all parts, which are all dense or all sparse.

        Raises
        ------
        ValueError
            If a difference within a column is not finite.
        """
        held, parts = [], iter(parts)
        for first in parts:
            # Many parts are merged in groups, so that memory does not grow with their number.
            n = max(2, _MERGED // max(1, first.points.size))
            held.append(cls._merged([first, *islice(parts, n - 1)]))
        return held[0] if len(held) == 1 else cls.merged(held)

    @classmethod
    def _merged(cls, parts: list[Scaling]) -> Scaling:
        if len(parts) == 1:
            return parts[0]
        centered, levels = parts[0].centered, _levels(len(parts[0].points))
        found = _combined([part._parts for part in parts], levels, centered)
        return cls(*found, 1, centered, np.full(len(found[0]), np.nan))._checked()

    @property
    def _parts(self) -> tuple[Array, Array, Array, Array]:
        return self.total_weight, self.base, self.weight, self.points

    @classmethod
    def _of(cls, X: Any, weight: Array | None, centered: bool, first_row: int = 0) -> Scaling:
        check_not_infinite(X, first_row)
        w = np.ones(X.shape[0]) if weight is None else weight
        X, w = (X, w) if w.all() else (X[w > 0.0], w[w > 0.0])
        if hasattr(X, "tocsr") and not centered:
            return cls(*_quantiles_of_sparse(X, w), 1, centered, np.full(X.shape[1], np.nan))
        X = X.toarray() if hasattr(X, "tocsr") else X
        total, base, weight, points = _quantiles_of_dense(X, w, centered)
        total = np.where(total < 0.999999999 * w.sum(), total, w.sum())  # not the rounded sum of blocks
        return cls(total, base, weight, points, 1, centered, np.full(X.shape[1], np.nan))

    def with_rows(self, X: Any, weight: Array | None = None, remembered: float = np.inf) -> Scaling:
        """Return the scaling of all earlier rows and these rows together; for errors, see `of`.

        The earlier rows count as at most ``remembered`` of these rows.
        """
        return self._with(Scaling._of(X, weight, self.centered), weight, remembered)._checked(X)

    def with_scaling(self, new: Scaling, weight: Array | None = None, remembered: float = np.inf) -> Scaling:
        """Return the scaling of all earlier rows and new rows together, given the scaling of the new rows.

        See `with_rows` for the other parameters.
        """
        return self._with(new, weight, remembered)._checked()

    def _with(self, new: Scaling, weight: Array | None, remembered: float) -> Scaling:
        unit = 1.0 if weight is None else float(weight.sum()) / int(np.count_nonzero(weight))
        old = np.minimum(self.total_weight, remembered * unit)
        parts = [
            (old, self.base, self.weight * (old / _or_one(self.total_weight)), self.points),
            new._parts,
        ]
        # The levels vary, as in systematic sampling: otherwise a few rows would never change the
        # quantiles of many.
        levels = _levels(len(self.points), self.n_updates * _GOLDEN % 1.0)
        found = _combined(parts, levels, self.centered)
        # A constant column had no effect, whatever missing entries were; but if all are, their row has one.
        fixed = self.scale > 0.0 if self.scale.any() else self.total_weight > 0.0
        fill = np.where(fixed, np.where(np.isnan(self.fill), self.center, self.fill), np.nan)
        return Scaling(*found, self.n_updates + 1, self.centered, fill)

    def _checked(self, X: Any = None, first_row: int = 0) -> Scaling:
        """Return the scaling, or raise an error if a difference within a column is not finite.

        With the rows X, the error names the row of the largest entry.
        """
        wide = np.flatnonzero(~(np.isfinite(self.center) & np.isfinite(self.scale)))
        if wide.size:
            column = self.points[:, wide[0]] if X is None else X[:, [wide[0]]]
            column = np.ravel(column.toarray() if hasattr(column, "toarray") else column)
            row = int(np.nanargmax(np.abs(column)))
            where = f"column {wide[0]}" if X is None else f"row {first_row + row}, column {wide[0]}"
            raise ValueError(
                f"the input is {column[row]} at {where}, whose difference from the others is beyond the "
                "range of float64; divide the column by a large number"
            )
        return self

    # --- center and scale -------------------------------------------------------------------------

    @property
    def _fraction(self) -> Array:
        """The weighted fraction of the entries of each column that differ from the base, (n_in,)."""
        return self.weight / _or_one(self.total_weight)

    @cached_property
    def _center_and_scale(self) -> tuple[Array, Array]:
        fraction = self._fraction
        with np.errstate(all="ignore"):
            distance = np.sort(np.abs(self.points - self.base), axis=0)
            middle, reach = self.base, LINEAR * distance[3 * len(distance) // 4 - 1]
            if self.centered:
                low, middle, high = self._quartiles()
                spread = high / _IQR - low / _IQR
                differ = spread > _NOISE * np.maximum(np.abs(low), np.abs(high))
                middle, reach = np.where(differ, middle, self.base), np.where(differ, LINEAR * spread, reach)
            d = np.clip(self.points, middle - reach, middle + reach) - self.base
            unit = _or_one(np.abs(d).max(axis=0))  # squares overflow
            d /= unit
            if not self.centered:
                constant = (fraction > 1.0 - 1e-9) & (self.points[0] == self.points[-1])
                return self.base, np.where(constant | (fraction == 0.0), 0.0, unit * _rms(d))
            mean = fraction * d.mean(axis=0)
            deviation = np.hypot(np.sqrt(fraction) * _rms(d - mean), np.sqrt(1.0 - fraction) * mean)
            return self.base + unit * mean, unit * deviation

    def _quartiles(self) -> tuple[Array, Array, Array]:
        """Return three quartiles of each column, (n_in,), without repeated values if there are enough others.

        A repeated value, such as -999 for missing entries, says nothing about the scale of the others.
        """
        equal = np.zeros((len(self.points) + 1, len(self.base)), bool)
        np.equal(self.points[1:], self.points[:-1], out=equal[1:-1])
        repeated = equal[1:] | equal[:-1]
        count = len(self.points) - repeated.sum(axis=0)
        single = np.sort(np.where(repeated, np.inf, self.points), axis=0)
        some = count * self._fraction > _SINGLE * _POINTS
        at = np.maximum(count - 1, 0) * np.array([[0.25], [0.5], [0.75]])
        below, above = (
            np.take_along_axis(single, rounded(at).astype(np.intp), axis=0) for rounded in (np.floor, np.ceil)
        )
        quartiles = below / 2.0 + above / 2.0
        rest = (self._quantile(0.25), self.base, self._quantile(0.75))
        low, middle, high = (np.where(some, q, r) for q, r in zip(quartiles, rest, strict=True))
        return low, middle, high

    def _quantile(self, p: float) -> Array:
        """Return the quantile of level p of each column, (n_in,), the entries at the base included."""
        fraction = self._fraction
        below = fraction * (self.points < self.base).mean(axis=0)
        after = below + (1.0 - fraction)
        level = np.where(p < below, p, p - (1.0 - fraction)) / _or_one(fraction)
        position = np.clip(level * _POINTS - 0.5, 0.0, _POINTS - 1.0)
        lower, column = position.astype(np.intp), np.arange(len(self.base))
        upper, part = np.minimum(lower + 1, _POINTS - 1), position - lower
        between = (1.0 - part) * self.points[lower, column] + part * self.points[upper, column]
        quantile: Array = np.where((p < below) | (p > after), between, self.base)
        return quantile

    @cached_property
    def center(self) -> Array:
        """The value that is subtracted from each column, (n_in,)."""
        return _read_only(self._center_and_scale[0])

    @cached_property
    def scale(self) -> Array:
        """The value that each column is divided by, (n_in,); 0 for a column that is constant so far."""
        return _read_only(self._center_and_scale[1])

    # --- the transform ----------------------------------------------------------------------------

    def transform(self, X: Array, out: Array) -> Array:
        """Write scaled dense rows into ``out``, which has the type of the computation, and return it.

        Parameters
        ----------
        X : ndarray of shape (n, n_in), float32 or float64
        out : ndarray of shape (n, n_in), float32 or float64
            The arithmetic is float32 if both arrays are float32 and no precision is lost, and
            float64 otherwise.
        """
        with np.errstate(over="ignore"):
            return self._transform(self._terms(X.dtype, out.dtype), X, out)

    def _transform(self, terms: tuple[Array, Array], X: Array, out: Array) -> Array:
        center, factor = terms
        n = len(X) if len(X) <= len(center) else 1
        in_place = center.dtype == out.dtype and out.flags.c_contiguous
        x = out if in_place else np.empty(X.shape, center.dtype)
        if self.centered:
            np.subtract(X, center[:n], out=x)
            x *= factor[:n]
        else:
            np.multiply(X, factor[:n], out=x)
        _compress(x.reshape(-1))
        if x is not out:
            out[...] = x
        return out

    @cached_property
    def missing(self) -> Array:
        """The scaled value of missing entries, (n_in,)."""
        return np.where(np.isnan(self.fill), 0.0, _scaled_row(self, self.fill))

    def terms(self, given: DTypeLike, dtype: DTypeLike) -> tuple[Array, Array]:
        """Return center and factor, (n_in,), for rows of the type ``given`` in `transform`.

        The result is f((X - center) * factor), computed in the type of these arrays.
        """
        center, factor = (rows[0] for rows in self._terms(given, dtype))
        return center, factor

    def _terms(self, given: DTypeLike, dtype: DTypeLike) -> tuple[Array, Array]:
        """Return the terms, repeated for each row of a block."""
        return (given == dtype == np.float32 and self._narrow) or self._wide

    def transform_entries(self, X: Any, dtype: DTypeLike) -> Array:
        """Return the stored entries of CSR rows, scaled in float64 and rounded to ``dtype``."""
        center, factor = self.terms(np.float64, np.float64)
        x: Array = X.data.astype(np.float64)
        x -= center[X.indices]
        x *= factor[X.indices]
        _compress(x)
        return x.astype(dtype)

    @cached_property
    def _wide(self) -> tuple[Array, Array]:
        """The terms, repeated for each row of a block: 256 x 64 entries take 21 microseconds, not 26."""
        varies = self.scale > 0.0
        factor = np.zeros_like(self.scale)
        with np.errstate(over="ignore"):
            np.divide(1.0, self.scale, out=factor, where=varies)
        factor = np.minimum(factor, np.finfo(np.float64).max)
        center = np.where(varies, self.center, 0.0)  # finite entries times 0 are 0
        rows = (max(1, ENTRY_BLOCK // max(1, len(factor))), 1)
        return np.tile(center, rows), np.tile(factor, rows)

    @cached_property
    def _narrow(self) -> tuple[Array, Array] | None:
        """The terms in float32, or None if precision would be lost."""
        known = self.scale[self.scale > 0.0]
        near = (np.abs(self.center) <= 1e3 * self.scale) | (self.scale == 0.0)
        if not near.all() or (known.size and not 1e-30 < known.min() <= known.max() < 1e30):
            return None
        center, factor = self._wide
        return center.astype(np.float32), factor.astype(np.float32)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # without the cache


def change_of_scaling(old: Scaling | None, new: Scaling | None, n_in: int) -> tuple[Array, Array]:
    """Return growth g and shift m, such that z = g y + m for the old scaled entry z and the new one, y.

    This line goes through the values of z at y = -1 and y = 1. It is exact for entries within three
    scales of the center, before and after. A column that was constant had no effect; its growth is 0.
    If all columns were constant, for example after a single row, the growth is 1, so that the weights
    of the units still differ, and the line is exact for that row; a column of which no entry was known
    has a shift of 0.

    Parameters
    ----------
    old, new : Scaling or None
        None is the identity.
    n_in : int
        Number of columns.

    Returns
    -------
    growth, shift : ndarray of shape (n_in,)
    """
    with np.errstate(all="ignore"):
        if new is None:
            if old is None:
                return np.ones(n_in), np.zeros(n_in)
            growth = np.where(old.scale > 0.0, 1.0 / old.scale, 0.0)
            return growth, -old.center * growth
        if old is not None and not old.scale.any():  # all earlier rows were equal
            row = np.where(old.weight > 0.0, old.points[0], old.base)
            return np.ones(n_in), -_scaled_row(new, np.where(old.total_weight > 0.0, row, new.center))
        low, high = (_scaled_row(old, new.center + side * new.scale) for side in (-1.0, 1.0))
        return high / 2.0 - low / 2.0, high / 2.0 + low / 2.0


def _scaled_row(scaling: Scaling | None, x: Array) -> Array:
    return x if scaling is None else scaling.transform(x[None], np.empty((1, len(x))))[0]


def _compress(z: Array) -> None:
    """Apply f to a vector of scaled entries, in place; f is defined at the top of this module."""
    far = np.flatnonzero(np.abs(z) > LINEAR)
    if far.size:
        beyond = z[far]
        size = np.minimum(np.abs(beyond), np.finfo(z.dtype).max)  # a quotient may overflow
        z[far] = np.copysign(LINEAR * (1.0 + np.log(size / LINEAR)), beyond)


def check_not_infinite(X: Any, first_row: int = 0) -> None:
    """Raise an error that names row and column if an entry of a float array or CSR is infinite.

    ``first_row`` is the number of the first row in the error.
    """
    values = X.data if hasattr(X, "tocsr") else X
    if any(not all_finite(part) and np.isinf(part).any() for part in entry_blocks(values)):
        raise not_finite(without_missing(X), X.dtype, first_row)


def without_missing(X: Any) -> Any:
    """Return a copy of a float array or CSR with 0 in place of NaN."""
    X = X.copy()
    values = X.data if hasattr(X, "tocsr") else X
    values[np.isnan(values)] = 0.0
    return X


def _differ(x: Array, base: Array) -> Array:
    """Return whether entries differ from the base by more than rounding errors."""
    with np.errstate(over="ignore"):
        different: Array = np.abs(x - base) > _NOISE * np.abs(base)
    return different


def _levels(n: int, offset: float = 0.5) -> Array:
    """Return the levels of n quantiles that represent an equal part of the weight each."""
    return (np.arange(n) + offset) / n


def _quantiles_of_dense(X: Array, w: Array, centered: bool) -> tuple[Array, Array, Array, Array]:
    """Return total weight, base, weight and points of dense rows with positive weights w.

    Blocks of rows are sorted, and their quantiles combined: to sort all rows takes more than twice as long.
    """
    levels, found = _levels(_POINTS if centered else _SPARSE_POINTS), []
    for columns in range(0, max(1, X.shape[1]), _COLUMNS):
        part = X[:, columns : columns + _COLUMNS]
        blocks = [
            _quantiles_of_block(part[start : start + _ROWS], w[start : start + _ROWS], levels, centered)
            for start in range(0, len(X), _ROWS)
        ]
        found.append(blocks[0] if len(blocks) == 1 else _combined(blocks, levels, centered))
    total, base, weight, points = zip(*found, strict=True)
    return (*map(np.concatenate, (total, base, weight)), np.concatenate(points, axis=1))  # type: ignore[return-value]


def _quantiles_of_block(
    X: Array, w: Array, levels: Array, centered: bool
) -> tuple[Array, Array, Array, Array]:
    """Return total weight, base, weight and points of dense rows."""
    n, x = len(X), np.array(X.T, order="C")
    missing = np.isnan(x)
    known, base = n - missing.sum(axis=1), np.zeros(len(x))
    if (w == w[0]).all():
        x.sort(axis=1)  # missing entries are last
        column, total = np.arange(len(x)), np.where(known < n, w[0] * known, w.sum())
        if centered:
            base = x[column, (known - 1) // 2].astype(np.float64)
        noise = _NOISE * np.abs(base)
        with np.errstate(over="ignore"):
            low, high = (base - noise)[:, None], (base + noise)[:, None]
        before, after = (x < low).sum(axis=1), (x <= high).sum(axis=1)
        count = known - (after - before)
        at = np.maximum(np.ceil(levels[:, None] * count).astype(np.intp) - 1, 0)
        at = np.minimum(at + np.where(at >= before, after - before, 0), known - 1)
        weight, points = w[0] * count, x[column, at].astype(np.float64)
        base = np.where(known > 0, base, 0.0)
    else:
        order = np.argsort(x, axis=1)
        x, v = np.take_along_axis(x, order, 1), w[order]
        missing.sort(axis=1)
        x[missing] = v[missing] = 0.0
        total = np.where(known < n, v.sum(axis=1), w.sum())
        if centered:
            base = _weighted_quantiles(x, v, _MEDIAN)[1][0]
        weight, points = _weighted_quantiles(x, v * _differ(x, base[:, None]), levels)
        weight = np.minimum(weight, total)
    return total, base, weight, np.where(weight > 0.0, points, base)


def _combined(
    parts: list[tuple[Array, Array, Array, Array]], levels: Array, centered: bool
) -> tuple[Array, Array, Array, Array]:
    """Return total weight, base, weight and points of parts, given those of each part."""
    values, weights = [], []
    for total, base, weight, points in parts:
        values += [points, base[None]]
        weights += [np.tile(weight / len(points), (len(points), 1)), (total - weight)[None]]
    x, v = np.concatenate(values).T, np.concatenate(weights).T
    order = np.argsort(x, axis=1)
    x, v = np.take_along_axis(x, order, 1), np.take_along_axis(v, order, 1)
    base = _weighted_quantiles(x, v, _MEDIAN)[1][0] if centered else np.zeros(len(x))
    weight, points = _weighted_quantiles(x, v * _differ(x, base[:, None]), levels)
    total = np.sum([part[0] for part in parts], axis=0)
    weight = np.minimum(weight, total)  # sums over all columns round those of small weight
    return total, base, weight, np.where(weight > 0.0, points, base)


def _quantiles_of_sparse(X: Any, w: Array) -> tuple[Array, Array, Array, Array]:
    """Return total weight, base, weight and points of CSR rows with positive weights w."""
    n_in = X.shape[1]
    entry_weight, missing = np.repeat(w, np.diff(X.indptr)), np.isnan(X.data)
    total = w.sum() - np.bincount(X.indices[missing], entry_weight[missing], n_in)
    used = (X.data != 0.0) & ~missing
    x, v, column = X.data[used], entry_weight[used], X.indices[used]
    order = np.lexsort((x, column))
    stops = np.bincount(column, minlength=n_in).cumsum()
    weight, points = _quantiles_of_parts(x[order], v[order], stops, _levels(_SPARSE_POINTS))
    total = np.where(total < w.sum(), np.maximum(total, weight), total)  # the difference is rounded
    return total, np.zeros(n_in), weight, np.where(weight > 0.0, points, 0.0)


def _weighted_quantiles(x: Array, v: Array, levels: Array) -> tuple[Array, Array]:
    """Return the same as `_quantiles_of_parts` for the rows of a matrix."""
    return _quantiles_of_parts(x.ravel(), v.ravel(), x.shape[1] * np.arange(1, len(x) + 1), levels)


def _quantiles_of_parts(x: Array, v: Array, stops: Array, levels: Array) -> tuple[Array, Array]:
    """Return total weights (n,), and quantiles (n_levels, n) of n consecutive parts of x.

    Parameters
    ----------
    x : ndarray of shape (m,)
        Ascending within each part.
    v : ndarray of shape (m,)
        The weights.
    stops : ndarray of shape (n,)
        The end of each part.
    levels : ndarray of shape (n_levels,)
        Between 0 and 1. The quantile of level p is the smallest entry such that the weight of all
        entries up to it is at least p times the total weight of its part.
    """
    if len(x) == 0:
        return np.zeros(len(stops)), np.zeros((len(levels), len(stops)))
    unit = np.frexp(v.max())[1]  # sums of large weights do not overflow; a power of two rounds nothing
    sums = np.concatenate([[0.0], np.ldexp(v, -unit).cumsum()])
    starts = np.concatenate([[0], stops[:-1]])
    total = sums[stops] - sums[starts]
    wanted = sums[starts] + levels[:, None] * total
    at = np.searchsorted(sums[1:], wanted.ravel()).reshape(wanted.shape)
    at = np.clip(at, starts, np.maximum(stops - 1, starts))
    return np.ldexp(total, unit), x[np.minimum(at, len(x) - 1)].astype(np.float64)


def _read_only(values: Array) -> Array:
    values.flags.writeable = False
    return values


def _rms(values: Array) -> Array:
    """Return the root mean square of each column."""
    rms: Array = np.sqrt((values**2).mean(axis=0))
    return rms


def _or_one(values: Array) -> Array:
    return np.where(values > 0.0, values, 1.0)
