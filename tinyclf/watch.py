"""The watch over a training: when to stop it, and which weights to keep.

`TinyClassifier` has one by its parameters, and the callback `EarlyStopping` has one of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .stopping import Best, Plateau
from .validation import Validation

Measured = tuple[float, float] | None
"""Loss and score of a validation set; None without one."""


@dataclass
class Watch:
    """Measures after each epoch, and decides by what it has seen.

    Parameters
    ----------
    plateau : Plateau
        Of the validation score, or of the training loss.
    validation : Validation or None
        What is measured. The weights with the best score are kept.
    by_score : bool
        Whether the plateau is that of the score, if there is one.
    """

    plateau: Plateau
    validation: Validation | None = None
    by_score: bool = True
    best: Best = field(default_factory=Best)

    def measure(self, model: Any) -> Measured:
        """Return the loss and the score of the model as it is now."""
        return None if self.validation is None else self.validation.measure(model)

    def reached(self, model: Any, measured: Measured) -> bool:
        """Take note of the last epoch in the model's books, and tell whether training has stopped to pay."""
        if measured is None:
            return self.plateau.reached(model.loss_)
        _, score = measured
        self.best.offer(score, model.network_.theta, len(model.loss_curve_))
        return self.plateau.reached(-score if self.by_score else model.loss_)

    def restore(self, model: Any) -> None:
        """Give the model its best weights back, if a validation set has told which they are."""
        if self.best.theta is not None:
            model.network_.theta = self.best.theta
            model.best_epoch_ = self.best.epoch
