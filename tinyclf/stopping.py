"""Stopping: when training has stopped to pay."""

from __future__ import annotations

import math


class Plateau:
    """Stop once the loss has not fallen by more than ``tol`` for more than ``n_iter_no_change`` epochs.

    Each loss is compared with the lowest one so far, as scikit-learn does.

    Examples
    --------
    >>> plateau = Plateau(tol=0.1, n_iter_no_change=1)
    >>> [plateau.reached(loss) for loss in (1.0, 0.5, 0.45, 0.44)]
    [False, False, False, True]
    """

    def __init__(self, tol: float, n_iter_no_change: float) -> None:
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.best_loss = math.inf
        self.without_gain = 0

    def reached(self, loss: float) -> bool:
        """Take note of an epoch's loss and tell whether to stop."""
        if loss > self.best_loss - self.tol:
            self.without_gain += 1
        else:
            self.without_gain = 0
        self.best_loss = min(self.best_loss, loss)
        return self.without_gain > self.n_iter_no_change
