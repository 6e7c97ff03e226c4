"""Calibration of the logits, the door on the way out: how sure the model may be.

With the network's logits z, and c those of the class frequencies (the prior), the logits of the
model are

    z <- c + a (z - c),    0 <= a <= 1.

The shrinkage a is at least 0.01 where it minimizes the loss of rows that were not trained on. a = 1
is the network as it is; a near 0 is a model that has learned nothing, which remains a candidate in
this way. Both cross-entropies are convex in a, so there is one minimum. Then a is lowered, down to
0, if the training rows ask for it: no model is worse on them than the class frequencies.

Calibration is never written into the weights: training that continues starts from what was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import DTypeLike
from scipy.optimize import brentq

from ..nn.arrays import ROW_BLOCK, Array, Views
from ..nn.losses import Loss

# The lowest shrinkage that a validation set leads to: the order of the predictions stays visible.
LEAST = 0.01

# The price of a shrinkage of 1, as the loss of so many rows, where the best one gains less than
# that: a few rows are often kind to a network that has learned nothing. With 4, noise of ten rows
# and more costs less than 5 % of the prior's loss, without it up to 26 %.
COST = 4.0

# The tolerance of the shrinkage, relative to its upper limit.
_TOLERANCE = 0.01

# The smallest class frequency: a class whose rows all have weight 0 is not impossible.
_SMALLEST_FREQUENCY = 1e-7


@dataclass(frozen=True)
class Calibration:
    """What the model does to the logits of its network: z <- prior + shrinkage (z - prior).

    Parameters
    ----------
    shrinkage : float
        From 0 to 1.
    prior : ndarray of shape (n_outputs,)
        Logits of the class frequencies.
    """

    shrinkage: float
    prior: Array

    def __post_init__(self) -> None:
        if type(self.shrinkage) is not float or not 0.0 <= self.shrinkage <= 1.0:
            raise ValueError(f"the shrinkage of the logits must be from 0 to 1, got {self.shrinkage!r}")
        prior = self.prior
        if not isinstance(prior, np.ndarray) or prior.ndim != 1 or prior.dtype != np.float64:
            raise ValueError("the logits of the class frequencies must be a vector of float64")
        if not np.isfinite(prior).all():
            raise ValueError(f"the logits of the class frequencies must be finite, got {prior}")

    def apply(self, z: Array) -> Array:
        """Calibrate logits (n, n_outputs) in place, in their type, and return them."""
        factor, offset = self.terms(z.dtype)
        z *= factor
        z += offset
        return z

    def terms(self, dtype: DTypeLike) -> tuple[Array, Array]:
        """Return factor () and offset (n_outputs,) of the calibrated logits, factor z + offset, in a type."""
        return np.asarray(self.shrinkage, dtype), ((1.0 - self.shrinkage) * self.prior).astype(dtype)


def prior_logits(loss: Loss, y: Array, w: Array | None, n_outputs: int) -> Array:
    """Return the logits (n_outputs,) of the weighted class frequencies.

    Parameters
    ----------
    loss : Loss
    y : ndarray
        Targets of all rows that are trained on, as ``loss.targets`` returns them.
    w : ndarray of shape (n,) or None
    n_outputs : int
    """
    w = np.ones(len(y)) if w is None else w
    weight = np.bincount(y, w, n_outputs) if y.ndim == 1 else w @ y
    p = np.clip(weight / w.sum(), _SMALLEST_FREQUENCY, 1.0 - _SMALLEST_FREQUENCY)
    log_p: Array = np.log(p)
    c: Array = log_p - (np.log1p(-p) if loss.inverse_link == "logistic" else log_p.mean())
    return c


def best_shrinkage(
    z: Array,
    y: Array,
    w: Array | None,
    loss: Loss,
    prior: Array,
    *,
    least: float,
    most: float,
    cost: float = 0.0,
) -> tuple[float, float]:
    """Return the shrinkage from least to most that minimizes the mean loss, and that loss.

    Where logits or slope are not finite, it is the most.

    Parameters
    ----------
    z : ndarray of shape (n, n_outputs)
        Logits of the network.
    y, w : ndarray
        Targets, as ``loss.targets`` returns them, and weights, or None. Rows of weight 0 are left
        out.
    loss : Loss
    prior : ndarray of shape (n_outputs,)
        See `prior_logits`.
    least, most : float
    cost : float, default=0.0
        The price of a shrinkage of 1, as the loss of so many rows, where all rows gain less than
        that by the best shrinkage, compared with the prior.

    Returns
    -------
    shrinkage, loss : float
    """
    if w is not None:
        z, y, w = z[w > 0.0], y[w > 0.0], w[w > 0.0]
    total_weight, squares = (len(z), len(z)) if w is None else (float(w.sum()), float(w @ w))
    n_effective = total_weight**2 / squares  # so many rows of equal weight tell as much

    @cache
    def at(a: float) -> tuple[float, float]:
        """Return the mean loss and its slope."""
        total, slope = 0.0, 0.0
        for start in range(0, len(z), ROW_BLOCK):
            rows = slice(start, start + ROW_BLOCK)
            d = z[rows] - prior  # in float64, as the prior is
            dz, (n, k) = np.empty_like(d), d.shape
            t = Views(**{name: b.array(n, d.dtype) for name, b in loss.buffers(k, d.dtype).items()})
            weight = None if w is None else w[rows]
            value = loss.value_and_grad(prior + a * d, y[rows], weight, dz, t)
            m = n if weight is None else float(weight.sum())
            total, slope = total + m * value, slope + m * float(np.vdot(dz, d))
        return total / total_weight, slope / total_weight

    def best(cost: float) -> float:
        def slope(a: float) -> float:
            return at(a)[1] + cost / n_effective

        if not 0.0 < slope(most) < np.inf or np.isnan(slope(least)):
            return most
        return least if slope(least) >= 0.0 else float(brentq(slope, least, most, xtol=_TOLERANCE * most))

    with np.errstate(all="ignore"):
        a = best(0.0)
        if cost and (at(0.0)[0] - at(a)[0]) * n_effective < cost:
            a = best(cost)
        return a, at(a)[0]
