"""The books of training: the attributes of an estimator that tell how it went."""

from __future__ import annotations

import math
from typing import Any

from .training import Epoch
from .watch import Measured

NAMES = (
    *("t_", "n_iter_", "best_epoch_", "loss_", "best_loss_", "loss_curve_", "validation_scores_"),
    *("validation_loss_curve_", "best_validation_score_", "calibration_"),
)
"""The attributes that are the books."""


class Books:
    """Keeps ``n_iter_``, ``t_``, the losses, the curves and the best values of an estimator.

    Parameters
    ----------
    model : estimator
        Where they are kept.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def open(self) -> None:
        """Begin with empty curves, for a new network."""
        model = self.model
        model.t_ = 0
        model.loss_ = math.nan
        model.loss_curve_ = []
        model.best_loss_ = math.inf
        model.validation_scores_ = model.validation_loss_curve_ = model.best_validation_score_ = None

    def take(self, other: Any) -> None:
        """Take over the books of another model, which does not keep them."""
        for name in NAMES:
            setattr(self.model, name, getattr(other, name))

    def begin(self, *, validates: bool, anew: bool, by_score_alone: bool) -> None:
        """Begin a fit, or one call of partial_fit.

        Parameters
        ----------
        validates : bool
            Whether a validation set will be measured.
        anew : bool
            Whether this is a fit, which is told apart from earlier ones.
        by_score_alone : bool
            Whether there is no best training loss, as in scikit-learn with ``early_stopping=True``.
        """
        model = self.model
        model.n_iter_ = 0
        model.best_epoch_ = None
        model.calibration_ = 1.0
        if by_score_alone:
            model.best_loss_ = None
        elif model.best_loss_ is None:
            model.best_loss_ = min(model.loss_curve_, default=math.inf)
        if validates and model.validation_scores_ is None:
            model.validation_scores_, model.validation_loss_curve_ = [], []
        if anew and not validates:
            model.validation_scores_ = model.validation_loss_curve_ = None
        if anew or model.best_validation_score_ is None:
            model.best_validation_score_ = -math.inf if validates else None

    def enter(self, epoch: Epoch, measured: Measured) -> None:
        """Enter an epoch, or an iteration."""
        model = self.model
        model.n_iter_ += 1
        model.t_ += epoch.rows
        model.loss_curve_.append(epoch.loss)
        self.enter_loss(epoch.loss)
        if measured is not None:
            loss, score = measured
            model.validation_loss_curve_.append(loss)
            model.validation_scores_.append(score)
            self.enter_score(score)

    def enter_loss(self, loss: float) -> None:
        """Enter a loss that is in no curve: that of a solver which begins at its end."""
        self.model.loss_ = loss
        if self.model.best_loss_ is not None:
            self.model.best_loss_ = min(self.model.best_loss_, loss)

    def enter_score(self, score: float) -> None:
        """Enter a score, likewise; nan is never the best."""
        self.model.best_validation_score_ = max(self.model.best_validation_score_, score)
