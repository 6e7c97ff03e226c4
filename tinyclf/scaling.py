"""Scaling of the input: each column is brought to mean 0 and standard deviation 1.

The scale is kept beside the weights, not folded into them: at a column offset of 1e6 that would cost float32
weights five of their seven digits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .rows import ENTRIES, check_rows
from .views import Array, all_finite

# Rows whose statistics are taken at a time.
_BLOCK = 1024

# A smaller deviation, beside the mean, is that of rounding errors.
_NOISE = 4.0 * np.finfo(np.float64).eps

# How many standard deviations from the mean an entry may be; see `Scaling.limited`.
_LIMIT = 5.0


@dataclass(frozen=True)
class Scaling:
    """What is known of the columns from all rows that were read so far, and how entries are read by it.

    An entry x of a column is read as (min(max(x, low), high) - centre) / scale, and as 0 if its column has
    been constant. Dense rows are centred on the mean, and the scale is the standard deviation. Of sparse rows
    zeros must stay zeros, so that their centre is 0; and the scale is the root mean square of the entries
    that are not 0. (By their standard deviation, a word that one text in a hundred has would be read as 10.)

    Attributes
    ----------
    total : float
        Sum of the weights of the rows.
    mean, deviation : ndarray of shape (n_in,)
        Weighted mean and standard deviation of each column, which is exactly 0 for a constant.
    mass, size : ndarray of shape (n_in,)
        Of sparse rows: sum of the weights of the entries that are not 0, and their root mean square.
    low, high : ndarray of shape (n_in,)
        Between what an entry is read as it is; see `limited`.
    centred : bool
        Whether the rows are dense.
    """

    total: float
    mean: Array
    deviation: Array
    mass: Array
    size: Array
    low: Array
    high: Array
    centred: bool

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), np.ndarray):
                value.flags.writeable = False  # what is cached depends on them

    @classmethod
    def of(cls, X: Any, weight: Array | None = None) -> Scaling:
        """Take the statistics of rows (n, n_in), dense or CSR, with weights (n,) if given, not all 0."""
        n_in = X.shape[1]
        zero, limit = np.zeros(n_in), np.full(n_in, np.inf)
        nothing = cls(0.0, zero, zero, zero, zero, -limit, limit, centred=not hasattr(X, "tocsr"))
        return nothing.with_rows(X, weight)

    @classmethod
    def none(cls, n_in: int) -> Scaling:
        """Return the one that reads entries as they are."""
        zero, one, limit = np.zeros(n_in), np.ones(n_in), np.full(n_in, np.inf)
        return cls(0.0, zero, one, one, one, -limit, limit, centred=True)

    def with_rows(self, X: Any, weight: Array | None = None) -> Scaling:
        """Return the statistics of all rows so far and these; the limits stay.

        Raises
        ------
        ValueError
            If an entry is not finite, or the differences in a column are not.
        """
        check_rows(X)
        grown = self
        with np.errstate(all="ignore"):
            for start in range(0, X.shape[0], _BLOCK):
                part = X[start : start + _BLOCK]
                w = np.ones(part.shape[0]) if weight is None else weight[start : start + _BLOCK]
                if weight is not None:
                    part, w = part[w > 0.0], w[w > 0.0]
                if len(w):
                    grown = grown._merged(*_statistics(part, w, self.centred))
        wide = np.flatnonzero(~(np.isfinite(grown.mean) & np.isfinite(grown.deviation)))
        if wide.size:
            column = X[:, [wide[0]]]
            column = np.ravel(column.toarray() if hasattr(column, "toarray") else column)
            row = int(np.abs(column).argmax())
            raise ValueError(
                f"the input is {column[row]} at row {row}, column {wide[0]}, whose differences to others are "
                "beyond the range of float64; divide the column by a large number"
            )
        return grown

    def _merged(self, v: float, mean: Array, deviation: Array, mass: Array, size: Array) -> Scaling:
        """Return these statistics and those of more rows as one.

        Two parts with weights w and v, means m and m + d, and standard deviations s and r are as a whole

            m + d v / (w + v),    sqrt((w s^2 + v r^2) / (w + v) + w v d^2 / (w + v)^2)

        Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances" (1979).
        """
        total, d = self.total + v, mean - self.mean
        if not self.total:
            return replace(self, total=v, mean=mean, deviation=deviation, mass=mass, size=size)
        share, entries = v / total, self.mass + mass
        return replace(
            self,
            total=total,
            mean=self.mean + share * d,
            deviation=np.hypot(
                _norm(1.0 - share, self.deviation, share, deviation), np.sqrt(share * (1.0 - share)) * d
            ),
            mass=entries,
            size=_norm(self.mass / _or_one(entries), self.size, mass / _or_one(entries), size),
        )

    @cached_property
    def scale(self) -> Array:
        """By what is divided, (n_in,); 0 for a column that is constant, but for rounding errors."""
        varies = self.deviation > _NOISE * np.abs(self.mean)
        scale = np.where(varies, self.deviation if self.centred else self.size, 0.0)
        scale.flags.writeable = False
        return scale

    def limited(self) -> Scaling:
        """Return it with limits that are 5 scales from the centre; a constant column has none.

        Beyond them an entry is read as the limit. It is for the heavy tails of real data, and for categories
        that are rare, whose few ones would be read as large numbers.
        """
        with np.errstate(over="ignore"):
            reach = np.where(self.scale > 0.0, _LIMIT * self.scale, np.inf)
            return replace(self, low=self.centre - reach, high=self.centre + reach)

    def widened(self) -> Scaling:
        """Return it with limits that are as far as those of `limited` at least, for columns that drift."""
        new = self.limited()
        return replace(self, low=np.minimum(self.low, new.low), high=np.maximum(self.high, new.high))

    @property
    def centre(self) -> Array:
        """What is subtracted, (n_in,)."""
        return self.mean if self.centred else np.zeros_like(self.mean)

    @cached_property
    def divisor(self) -> Array:
        """By what a column is divided, (n_in,): a constant one is 0 then."""
        return np.where(self.scale > 0.0, self.scale, np.inf)

    def read(self, X: Array, dtype: DTypeLike = np.float64) -> Array:
        """Return whole rows as a network of this type is to read them.

        They come in float64, but in float32 if they and the network are, and nothing is lost by it.
        """
        low, high, centre, factor = self._terms(X.dtype, dtype)
        n = len(X) if len(X) <= len(low) else 1
        x: Array = np.maximum(X, low[:n])
        np.minimum(x, high[:n], out=x)
        if self.centred:
            x -= centre[:n]
        x *= factor[:n]
        return x

    def terms(self, given: DTypeLike, dtype: DTypeLike) -> tuple[Array, Array, Array, Array]:
        """Return low, high, centre and factor, (n_in,), with which `read` reads rows of the type given.

        That is (min(max(X, low), high) - centre) * factor in the type that these four have.
        """
        low, high, centre, factor = (rows[0] for rows in self._terms(given, dtype))
        return low, high, centre, factor

    def _terms(self, given: DTypeLike, dtype: DTypeLike) -> tuple[Array, Array, Array, Array]:
        """Return them repeated for each row of a block."""
        return (given == dtype == np.float32 and self._narrow) or self._wide

    def read_entries(self, values: Array, columns: Array) -> Array:
        """Return entries of these columns likewise, in float64."""
        x: Array = np.clip(values, self.low[columns], self.high[columns], dtype=np.float64)
        x -= self.centre[columns]
        x /= self.divisor[columns]
        return x

    @cached_property
    def _wide(self) -> tuple[Array, Array, Array, Array]:
        """What `read` computes with, repeated for each row of a block: 9 instead of 18 us for 256 x 64."""
        factor = np.minimum(1.0 / self.divisor, np.finfo(np.float64).max)
        rows = (max(1, ENTRIES // max(1, len(factor))), 1)
        low, high, centre, factor = (np.tile(a, rows) for a in (self.low, self.high, self.centre, factor))
        return low, high, centre, factor

    @cached_property
    def _narrow(self) -> tuple[Array, Array, Array, Array] | None:
        known = self.scale[self.scale > 0.0]
        near = (np.abs(self.centre) <= 1e3 * self.scale) | (self.scale == 0.0)
        if not near.all() or (known.size and not 1e-30 < known.min() <= known.max() < 1e30):
            return None
        with np.errstate(over="ignore"):
            low, high, centre, factor = (a.astype(np.float32) for a in self._wide)
        return low, high, centre, factor

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # not what is cached

    def carry_over(self, W: Array, b: Array, new: Scaling) -> None:
        """Rewrite the first layer x W + b, so that under a new scaling it computes what it did under this.

        From (x - m) / s to (x - n) / r, row by row of W: W r / s, and b + sum (n - m) / s W. A column that
        was constant until now has had no say; its row becomes 0, and learns from there. Where all of them
        were, as after a single row, the first weights stay, so that the units still differ; what the rows so
        far lead to stays as well.
        """
        with np.errstate(all="ignore"):
            if self.scale.any():
                move, growth = (new.centre - self.centre) / self.divisor, new.scale / self.divisor
            else:
                move, growth = (new.centre - self.mean) / new.divisor, np.ones(len(W))  # rows are the mean
            b += move @ W
            W *= growth[:, None]
            if not (all_finite(b) and all_finite(W)):
                worst = int(np.maximum(np.abs(move), growth).argmax())
                means = f"from a mean of {self.mean[worst]:.4g} to {new.mean[worst]:.4g}"
                raise ValueError(f"column {worst} of X has moved too far, {means}; scale it, or fit anew")


def _statistics(X: Any, w: Array, centred: bool) -> tuple[float, Array, Array, Array, Array]:
    """Return what `Scaling` keeps of some rows with weights above 0."""
    total = float(w.sum())
    share = w / total
    if hasattr(X, "tocsr"):
        mean, deviation, mass, size = _of_sparse(X, share)
        return total, mean, deviation, total * mass, size
    mass = size = np.zeros(X.shape[1])
    if not centred:  # dense rows for a model of sparse ones
        unit = _or_one(np.abs(X).max(axis=0))
        mass = share @ (X != 0.0)
        size = unit * np.sqrt(share @ (X / unit) ** 2 / _or_one(mass))
    return total, *_of_dense(X, share), total * mass, size


def _of_dense(X: Array, share: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of rows with shares of their weight.

    The first row is subtracted, which leaves only zeros of a constant; and what is left is divided by its
    largest magnitude, since squares of 1e300 overflow.
    """
    first = X[0].astype(np.float64)
    d = np.subtract(X, first, order="C")  # whatever the order of X, so that sums round alike
    unit = _or_one(np.abs(d).max(axis=0))
    d /= unit
    mean = share @ d
    d -= mean
    deviation = unit * np.sqrt(share @ np.square(d, out=d))
    return first + unit * mean, deviation


def _of_sparse(X: Any, share: Array) -> tuple[Array, Array, Array, Array]:
    """Return mean and standard deviation of CSR rows, and mass and size of their entries."""
    n_in = X.shape[1]
    share, column = np.repeat(share, np.diff(X.indptr)), X.indices
    top, bottom = (np.ravel(X.max(axis=0).toarray()), np.ravel(X.min(axis=0).toarray()))
    unit = _or_one(np.maximum(top, -bottom).astype(np.float64))
    x = X.data / unit[column]
    mean, squares, mass = (np.bincount(column, share * v, n_in) for v in (x, x * x, (x != 0.0).astype(float)))
    about = np.bincount(column, share * (x - mean[column]) ** 2, n_in)
    stored = np.bincount(column, share, n_in)
    deviation = unit * np.sqrt(about + np.maximum(1.0 - stored, 0.0) * mean**2)
    constant = top == bottom
    return (
        np.where(constant, top, unit * mean),
        np.where(constant, 0.0, deviation),
        mass,
        unit * np.sqrt(squares / _or_one(mass)),
    )


def _norm(p: Any, s: Array, q: Any, r: Array) -> Array:
    """Return sqrt(p s^2 + q r^2) without squares that overflow or vanish."""
    norm: Array = np.hypot(np.sqrt(p) * s, np.sqrt(q) * r)
    return norm


def _or_one(values: Array) -> Array:
    return np.where(values > 0.0, values, 1.0)
