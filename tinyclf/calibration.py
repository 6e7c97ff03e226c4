"""Calibration: how far logits are drawn back to what the class frequencies alone say.

Rows that were not trained on tell how sure a network may be. With its logits z, and c those of the prior,
that is of the class frequencies, the logits of the model are

    z' = c + a (z - c),    0.01 <= a <= 1,

where a is best for the loss of these rows. a = 1 is the network as it is; near 0 is a model that has learnt
nothing, which so remains a candidate. The cross-entropies are convex in a: there is one best. Then a is
lowered, down to 0, should the training rows want that: no model is worse on them than the prior.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
from scipy.optimize import brentq

from .losses import Loss
from .network import Network
from .views import Array, Views

Block = tuple[Array, Array, Array | None]
"""Logits (B, n_outputs), targets and weights of some rows."""

# Rows per block.
_BLOCK = 1024

# The least share that rows which were not trained on can lead to: it leaves the order of the answers.
LEAST = 0.01

# What a whole share costs them, as the loss of so many rows, where they gain less than that by the best one:
# few rows are often kind to a network that has learnt nothing. With 4, noise of ten rows and more costs less
# than 5 % of the prior's loss, without it up to 26 %.
COST = 4.0

# How near to the best share is near enough.
_NEAR = 0.01

# The smallest frequency: a class that all weights leave out is not impossible.
_FREQUENCY = 1e-7


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
    mass = np.bincount(y, w, n_outputs) if y.ndim == 1 else w @ y
    p = np.clip(mass / w.sum(), _FREQUENCY, 1.0 - _FREQUENCY)
    log_p: Array = np.log(p)
    c: Array = log_p - (np.log1p(-p) if loss.link == "logistic" else log_p.mean())
    return c


def in_blocks(z: Array, y: Array, w: Array | None) -> list[Block]:
    """Return the logits, targets and weights of many rows in blocks, without rows that have no weight."""
    if w is not None:
        z, y, w = z[w > 0.0], y[w > 0.0], w[w > 0.0]
    slices = (slice(start, start + _BLOCK) for start in range(0, len(z), _BLOCK))
    return [(z[s], y[s], None if w is None else w[s]) for s in slices]


class Answers:
    """What a network answers to rows whose targets are known, in blocks; asked anew in each pass over them.

    Parameters
    ----------
    network : Network
    X : ndarray or CSR of shape (n, n_in)
    y, w : ndarray
        Targets, as ``loss.targets`` returns them, and weights, or None.
    rows : ndarray of int
        Those that count.
    """

    def __init__(self, network: Network, X: Any, y: Array, w: Array | None, rows: Array) -> None:
        self.network, self.X, self.y, self.w, self.rows = network, X, y, w, rows

    def __iter__(self) -> Iterator[Block]:
        for start in range(0, len(self.rows), _BLOCK):
            rows = self.rows[start : start + _BLOCK]
            w = None if self.w is None else self.w[rows]
            yield self.network.logits(self.X[rows]), self.y[rows], w


def best_share(
    blocks: Iterable[Block], loss: Loss, prior: Array, *, least: float, most: float, cost: float = 0.0
) -> tuple[float, float]:
    """Return the share from least to most that is best for the loss, and the mean loss with it.

    Where logits or slope are not finite, it is the most.

    Parameters
    ----------
    blocks : iterable of Block
        It is passed over once for each share that is tried: once, where the most is best.
    loss : Loss
    prior : ndarray of shape (n_outputs,)
        See `prior_logits`.
    least, most : float
    cost : float, default=0.0
        What a whole share costs, as the loss of so many rows, where all of them gain less by the best share,
        beside the prior.
    """

    @cache
    def at(share: float) -> tuple[float, float, float]:
        total, slope, mass, squares = 0.0, 0.0, 0.0, 0.0
        for z, y, w in blocks:
            d = z - prior  # in float64, as the prior is
            dz, (n, k) = np.empty_like(d), d.shape
            t = Views(**{name: b.array(n, d.dtype) for name, b in loss.buffers(k, d.dtype).items()})
            value = loss.value_and_grad(prior + share * d, y, w, dz, t)
            m, q = (n, n) if w is None else (float(w.sum()), float(w @ w))
            total, slope = total + m * value, slope + m * float(np.vdot(dz, d))
            mass, squares = mass + m, squares + q
        return total / mass, slope / mass, mass**2 / squares  # so many rows of equal weight tell as much

    def best(cost: float) -> float:
        def slope(share: float) -> float:
            _, slope, rows = at(share)
            return slope + cost / rows

        if not 0.0 < slope(most) < np.inf or np.isnan(slope(least)):
            return most
        return least if slope(least) >= 0.0 else float(brentq(slope, least, most, xtol=_NEAR * most))

    with np.errstate(all="ignore"):
        share = best(0.0)
        if cost and (at(0.0)[0] - at(share)[0]) * at(share)[2] < cost:
            share = best(cost)
        return share, at(share)[0]


def draw_to_prior(network: Network, share: float, prior: Array) -> None:
    """Rewrite the last layer, which is Dense, so that its logits z become prior + share (z - prior)."""
    last = network.parameters[-1]
    last.W = share * last.W
    last.b = share * last.b + (1.0 - share) * prior
