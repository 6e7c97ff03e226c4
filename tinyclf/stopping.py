"""Stopping: when training has stopped to pay, and which weights were best."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import check_interval
from .views import Array


@dataclass
class Plateau:
    """Stop once the loss has not fallen by more than ``tol`` for more than ``n_iter_no_change`` epochs.

    Each loss is compared with the lowest one so far, as scikit-learn does. A score is handed over as a loss
    with the opposite sign.

    Examples
    --------
    >>> plateau = Plateau(tol=0.1, n_iter_no_change=1)
    >>> [plateau.reached(loss) for loss in (1.0, 0.5, 0.45, 0.44)]
    [False, False, False, True]
    """

    tol: float
    n_iter_no_change: float
    best_loss: float = math.inf
    without_gain: int = 0

    def __post_init__(self) -> None:
        check_interval("tol", self.tol, 0.0, math.inf)
        check_interval("n_iter_no_change", self.n_iter_no_change, 1, math.inf)

    def reached(self, loss: float) -> bool:
        """Take note of an epoch's loss and tell whether to stop."""
        if loss <= self.best_loss - self.tol:
            self.without_gain = 0
        else:  # also where the loss is nan
            self.without_gain += 1
        self.best_loss = min(self.best_loss, loss)
        return self.without_gain > self.n_iter_no_change


class Best:
    """Keep a copy of the parameters that had the highest score, the first of them in a tie.

    Examples
    --------
    >>> import numpy as np
    >>> best, theta = Best(), np.array([1.0, 2.0])
    >>> best.offer(0.5, theta, epoch=1)
    >>> theta += 1.0
    >>> best.offer(0.4, theta, epoch=2)
    >>> best.epoch, best.theta
    (1, array([1., 2.]))
    """

    def __init__(self) -> None:
        self.score = -math.inf
        self.epoch: int | None = None
        self.theta: Array | None = None

    def offer(self, score: float, theta: Array, epoch: int) -> None:
        """Take note of the score after an epoch; nan is never the best."""
        if score > self.score:
            self.score, self.epoch, self.theta = score, epoch, theta.copy()
