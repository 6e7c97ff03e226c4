"""Early stopping: when training has stopped improving, and which weights were best."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..nn.arrays import Array
from ..nn.errors import check_interval


@dataclass
class Patience:
    """Decides when to stop: after more than ``n_iter_no_change`` consecutive epochs without improvement.

    The loss improves if it is at least ``tol`` less than the lowest loss so far, as in
    scikit-learn. A score is passed as a loss with the opposite sign.

    Parameters
    ----------
    tol : float
        The smallest decrease of the loss that counts as an improvement, at least 0.
    n_iter_no_change : float
        Number of consecutive epochs without an improvement that are allowed, at least 1.
    best_loss : float, default=inf
        The lowest loss so far.
    epochs_without_improvement : int, default=0

    Examples
    --------
    >>> patience = Patience(tol=0.1, n_iter_no_change=1)
    >>> [patience.exceeded(loss) for loss in (1.0, 0.5, 0.45, 0.44)]
    [False, False, False, True]
    """

    tol: float
    n_iter_no_change: float
    best_loss: float = math.inf
    epochs_without_improvement: int = 0

    def __post_init__(self) -> None:
        check_interval("tol", self.tol, 0.0, math.inf)
        check_interval("n_iter_no_change", self.n_iter_no_change, 1, math.inf)
        if type(self.best_loss) is not float or math.isnan(self.best_loss):
            raise ValueError(f"best_loss must be a float, got {self.best_loss!r}")
        n = self.epochs_without_improvement
        if type(n) is not int or n < 0:
            raise ValueError(f"epochs_without_improvement must be a whole number >= 0, got {n!r}")

    def exceeded(self, loss: float) -> bool:
        """Record the loss of an epoch and return whether to stop."""
        if loss <= self.best_loss - self.tol:
            self.epochs_without_improvement = 0
        else:  # also if the loss is nan
            self.epochs_without_improvement += 1
        self.best_loss = min(self.best_loss, loss)
        return self.epochs_without_improvement > self.n_iter_no_change


@dataclass
class BestWeights:
    """Keeps a copy of the parameters with the highest score; in a tie, those of the first epoch.

    Parameters
    ----------
    score : float, default=-inf
        The highest score so far.
    epoch : int or None, default=None
        The epoch with that score; None before the first score that is a number.
    theta : ndarray or None, default=None
        The parameters after that epoch.

    Examples
    --------
    >>> import numpy as np
    >>> best, theta = BestWeights(), np.array([1.0, 2.0])
    >>> best.record(0.5, theta, epoch=1)
    >>> theta += 1.0
    >>> best.record(0.4, theta, epoch=2)
    >>> best.epoch, best.theta
    (1, array([1., 2.]))
    """

    score: float = -math.inf
    epoch: int | None = None
    theta: Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if type(self.score) is not float or math.isnan(self.score):
            raise ValueError(f"the best score must be a float, got {self.score!r}")
        if (self.epoch is None) != (self.theta is None):
            raise ValueError(f"the best epoch is {self.epoch!r}, but its weights are {self.theta!r}")
        if (self.epoch is None) != (self.score == -math.inf):
            raise ValueError(f"the best epoch is {self.epoch!r}, but its score is {self.score}")
        if self.epoch is not None and (type(self.epoch) is not int or self.epoch < 1):
            raise ValueError(f"the best epoch must be a whole number >= 1, got {self.epoch!r}")

    def record(self, score: float, theta: Array, epoch: int) -> None:
        """Record the score of an epoch, and keep the parameters if it is the highest; nan is ignored."""
        if score > self.score:
            self.score, self.epoch, self.theta = score, epoch, theta.copy()
