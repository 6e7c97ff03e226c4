"""The history of a model's training: loss curves, scores and counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

from ..nn.training import Epoch

Measured = tuple[float, float] | None
"""Loss and score of a validation set; None without one."""


@dataclass
class History:
    """Curves over all epochs of a model, and the counts of its last fit.

    For L-BFGS, an epoch is an iteration. Each ``fit`` or ``partial_fit`` calls `begin` once and
    `record` after each epoch. A warm start and ``partial_fit`` continue the curves.

    Attributes
    ----------
    loss_curve : list of float
        Training loss of each epoch.
    validation_loss_curve, validation_scores : list of float, or None
        Loss and score of the validation set after each epoch; None without a validation set.
    learning_rate_scales : list of float
        The learning rate's scale in each epoch of the last fit; a refit uses the same scales.
    loss : float
        The last training loss; nan before the first epoch.
    best_validation_score : float or None
        The highest score of the last ``fit`` and the calls of ``partial_fit`` after it.
    best_epoch : int or None
        The epoch whose weights ``fit`` kept, counted in ``loss_curve`` from 1.
    n_samples_seen : int
        Number of rows seen in training, repetitions included.
    """

    loss_curve: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] | None = None
    validation_scores: list[float] | None = None
    learning_rate_scales: list[float] = field(default_factory=list)
    loss: float = math.nan
    best_validation_score: float | None = None
    best_epoch: int | None = None
    n_samples_seen: int = 0

    def __post_init__(self) -> None:
        for name in ("loss_curve", "validation_loss_curve", "validation_scores", "learning_rate_scales"):
            curve = getattr(self, name)
            if curve is None and name.startswith("validation"):
                continue
            if not isinstance(curve, list) or not all(type(number) is float for number in curve):
                raise ValueError(f"{name} must be a list of floats, got {curve!r}")
        losses, scores = self.validation_loss_curve, self.validation_scores
        if (losses is None) != (scores is None) or len(losses or []) != len(scores or []):
            raise ValueError("validation_loss_curve and validation_scores must have the same length")
        if not all(map(math.isfinite, self.loss_curve)):
            raise ValueError(f"loss_curve must be finite, got {self.loss_curve}")
        if not all(0.0 <= scale < math.inf for scale in self.learning_rate_scales):
            raise ValueError(f"learning_rate_scales must be finite and >= 0, got {self.learning_rate_scales}")
        for name in ("loss", "best_validation_score"):
            number = getattr(self, name)
            if type(number) is not float and not (number is None and name != "loss"):
                raise ValueError(f"{name} must be a float, got {number!r}")
        if math.isinf(self.loss) or self.best_validation_score != self.best_validation_score:
            raise ValueError(
                f"loss must not be infinite, got {self.loss}; the best score must not be nan, got "
                f"{self.best_validation_score}"
            )
        for name, low, high in (
            ("n_samples_seen", 0, math.inf),
            ("n_iter", 0, len(self.loss_curve)),
            ("best_epoch", 1, len(self.loss_curve)),
        ):
            count = getattr(self, name)
            if count is None and name == "best_epoch":
                continue
            if type(count) is not int or not low <= count <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}, got {count!r}")
        if len(scores or []) > len(self.loss_curve):
            raise ValueError(f"{len(self.loss_curve)} epochs cannot have {len(scores or [])} scores")

    @property
    def n_iter(self) -> int:
        """Number of epochs of the last fit."""
        return len(self.learning_rate_scales)

    @property
    def lowest_loss(self) -> float:
        """The lowest training loss; inf before the first epoch."""
        return min([*self.loss_curve, self.loss], default=math.inf) if self.loss == self.loss else math.inf

    def begin(self, *, validates: bool, continues: bool) -> None:
        """Begin a fit or a call of partial_fit.

        Parameters
        ----------
        validates : bool
            Whether a validation set is measured after each epoch.
        continues : bool
            Whether scores continue those of earlier calls, as in ``partial_fit``.
        """
        self.learning_rate_scales = []
        self.best_epoch = None
        if validates and self.validation_scores is None:
            self.validation_loss_curve, self.validation_scores = [], []
        if not validates and not continues:
            self.validation_loss_curve = self.validation_scores = None
        if not continues or self.best_validation_score is None:
            self.best_validation_score = -math.inf if validates else None

    def record(self, epoch: Epoch, measured: Measured, scale: float) -> None:
        """Record an epoch: its training loss, validation loss and score, and the learning rate's scale."""
        self.loss_curve.append(epoch.loss)
        self.learning_rate_scales.append(scale)
        self.n_samples_seen += epoch.rows
        if measured is not None:
            assert self.validation_loss_curve is not None
            assert self.validation_scores is not None
            self.validation_loss_curve.append(measured[0])
            self.validation_scores.append(measured[1])
        self.record_last(epoch.loss, measured)

    def record_last(self, loss: float, measured: Measured) -> None:
        """Set the last loss and the best score; alone, if a solver converged before its first iteration."""
        self.loss = loss
        if measured is not None:
            assert self.best_validation_score is not None
            self.best_validation_score = max(self.best_validation_score, measured[1])  # ignores nan

    def copy(self) -> Self:
        """Return an independent history."""
        made = object.__new__(type(self))  # less than half the time of copy.copy
        vars(made).update({k: [*v] if isinstance(v, list) else v for k, v in vars(self).items()})
        return made
