"""Calibration of the logits: it makes predictions less confident where they are overconfident.

Let z be the logits of the network, and c the logits of the class frequencies (the prior). The
calibrated logits are

    z <- c + a (z - c),    0 <= a <= 1.

The shrinkage a, from 0.01 to 1, minimizes the loss of rows that were not trained on. With a = 1 the
logits do not change; with a near 0 the model predicts the class frequencies. Both cross-entropies
are convex in a, so there is one minimum. Then a is lowered, down to 0, if this decreases the loss
of the training rows: on them, the model is never worse than the class frequencies.

One number needs few rows: of many logits, a sample of the rows determines a. With thousands of classes,
calibration would otherwise take longer than the training.

A fit that continues an earlier one may have few rows, unlike the earlier ones. There, c is 0 and a is at
least 0.01, so that calibration does not change the predicted labels.

Calibration does not change the weights, so later training continues from the trained weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import DTypeLike
from scipy.optimize import brentq

from ..nn.arrays import PARAMETER_BLOCK, ROW_BLOCK, Array, Views
from ..nn.losses import Loss

# The smallest shrinkage chosen on a validation set: greater than 0, so that predictions keep their order.
LEAST = 0.01

# The penalty on a shrinkage of 1, in units of the summed loss of the rows. It applies if the best shrinkage
# decreases the summed loss of the prior by less than this number: on few rows, a network that has learned
# nothing often has a lower loss than the prior by chance. With 4, the noise of ten rows or more increases
# the loss by less than 5 % of the prior's; without a penalty, by up to 26 %.
COST = 4.0

# The largest number of logits, rows times classes, that determine a shrinkage; of more, a sample of the rows.
MAX_LOGITS = 4_000_000

# The tolerance of the shrinkage, relative to its upper limit.
_TOLERANCE = 0.01

# The smallest class frequency: a class whose rows all have weight 0 keeps a positive probability.
_SMALLEST_FREQUENCY = 1e-7


@dataclass(frozen=True)
class Calibration:
    """Calibration of the logits of a network: z <- prior + shrinkage (z - prior).

    Parameters
    ----------
    shrinkage : float
        From 0 to 1.
    prior : ndarray of shape (n_outputs,)
        Logits of the class frequencies, or 0 if the fit continued an earlier one.
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
        """Return factor, (), and offset, (n_outputs,), of the calibrated logits factor z + offset."""
        return np.asarray(self.shrinkage, dtype), ((1.0 - self.shrinkage) * self.prior).astype(dtype)


def total_of_targets(y: Array, w: Array | None, n_outputs: int) -> tuple[Array, float]:
    """Return the total weight of each class, (n_outputs,), and that of all rows.

    Parameters
    ----------
    y : ndarray
        Targets of all rows that are trained on, as ``loss.targets`` returns them.
    w : ndarray of shape (n,) or None
    n_outputs : int
    """
    if y.ndim == 1:
        return np.bincount(y, w, n_outputs), float(len(y) if w is None else w.sum())
    w = np.ones(len(y)) if w is None else w
    return w @ y, float(w.sum())


def prior_logits(loss: Loss, of_class: Array, total: float) -> Array:
    """Return the logits (n_outputs,) of the weighted class frequencies; see `total_of_targets`."""
    p = np.clip(of_class / total, _SMALLEST_FREQUENCY, 1.0 - _SMALLEST_FREQUENCY)
    log_p: Array = np.log(p)
    c: Array = log_p - (np.log1p(-p) if loss.inverse_link == "logistic" else log_p.mean())
    return c


def calibration_rows(n: int, n_outputs: int, w: Array | None) -> Array:
    """Return the numbers of the rows that determine a shrinkage.

    These are the rows of positive weight; if they have more than MAX_LOGITS logits, a random sample of
    them, always the same.
    """
    rows = None if w is None else np.flatnonzero(w > 0.0)
    n = n if rows is None else len(rows)
    most = max(1, MAX_LOGITS // n_outputs)
    chosen = np.arange(n) if n <= most else np.random.default_rng(0).choice(n, most, replace=False)
    return chosen if rows is None else rows[chosen]


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
    """Return the shrinkage from ``least`` to ``most`` that minimizes the mean loss, and that loss.

    If logits or the slope of the loss are not finite, the shrinkage is ``most``. With more than
    MAX_LOGITS logits, a random sample of the rows, always the same, determines both numbers.

    Parameters
    ----------
    z : ndarray of shape (n, n_outputs)
        Logits of the network.
    y, w : ndarray
        Targets, as ``loss.targets`` returns them, and weights, or None. Rows of weight 0 are left
        out.
    loss : Loss
    prior : ndarray of shape (n_outputs,)
        See `prior_logits`; 0 if the fit continues an earlier one.
    least, most : float
    cost : float, default=0.0
        Penalty on a shrinkage of 1, in units of the summed loss of the rows. It applies if the best
        shrinkage decreases the summed loss of the prior by less than ``cost``. The returned loss
        does not include it.

    Returns
    -------
    shrinkage, loss : float
    """
    rows, block = calibration_rows(len(z), z.shape[1], w), ROW_BLOCK
    if len(rows) < len(z):
        z, y, w = z[rows], y[rows], None if w is None else w[rows]
    if z.size > MAX_LOGITS - z.shape[1]:  # as many as are used
        block = max(1, PARAMETER_BLOCK // z.shape[1])  # with many classes, ROW_BLOCK rows exceed the cache
    total_weight, squares = (len(z), len(z)) if w is None else (float(w.sum()), float(w @ w))
    n_effective = total_weight**2 / squares  # rows of equal weight with the same information

    size, k = min(len(z), block), z.shape[1]
    d, calibrated, dz = np.empty((3, size, k))  # in float64, as the prior is
    buffers = {name: b.array(size, d.dtype) for name, b in loss.buffers(k, d.dtype).items()}

    @cache
    def at(a: float) -> tuple[float, float]:
        """Return the mean loss and its slope."""
        total, slope = 0.0, 0.0
        for start in range(0, len(z), block):
            rows, n = slice(start, start + block), min(block, len(z) - start)
            np.subtract(z[rows], prior, out=d[:n])
            np.multiply(d[:n], a, out=calibrated[:n])
            calibrated[:n] += prior
            t = Views(**{name: b[:n] for name, b in buffers.items()})
            weight = None if w is None else w[rows]
            value = loss.value_and_grad(calibrated[:n], y[rows], weight, dz[:n], t)
            m = n if weight is None else float(weight.sum())
            total, slope = total + m * value, slope + m * float(np.vdot(dz[:n], d[:n]))
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
