"""What goes wrong, with its numbers and the fix."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any


@dataclass(kw_only=True, eq=False)
class DivergenceError(ValueError):
    """Training met a number that is not finite.

    Attributes
    ----------
    epoch, batch : int
        Where it happened, counted from 1.
    loss : float
        The loss of that batch; finite if it was the step after it that broke the parameters.
    largest_input, largest_logit : float
        The largest magnitudes in that batch (nan if one of them is nan).
    learning_rate : float
        The learning rate of that step; nan for L-BFGS, which has none, and whose iterations count
        as epochs of one batch.
    scaled : bool, default=False
        Whether the network scales its inputs, so that this is no remedy.
    """

    epoch: int
    batch: int
    loss: float
    largest_input: float
    largest_logit: float
    learning_rate: float
    scaled: bool = False

    def __str__(self) -> str:
        loss, logit, rate = self.loss, self.largest_logit, self.learning_rate
        step = "; the step after it is not" if math.isfinite(loss) and math.isfinite(logit) else ""
        remedies = [] if self.scaled else ["scale the inputs (StandardScaler)"]
        if not math.isnan(rate):
            remedies.append(f"lower the learning rate (now {rate:.3g})")
        remedy = " or ".join(remedies or ["lower the penalty, or the largest weights of rows"])
        return (
            f"training stopped being finite in epoch {self.epoch}, batch {self.batch}: the loss is "
            f"{loss:.4g}, the largest input {self.largest_input:.4g}, the largest logit {logit:.4g} in "
            f"magnitude{step}. {remedy[0].upper()}{remedy[1:]}."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle positional arguments only; a parallel search sends this one between processes.
        return partial(type(self), **asdict(self)), ()


class ArchiveError(ValueError):
    """A file is not a saved model, is damaged, or holds something that it must not hold."""


class TrainingWarning(UserWarning):
    """Base of the warnings about a fit that ended, but not well."""


class DivergenceWarning(TrainingWarning):
    """The trained network is worse on its training rows than the class frequencies alone."""


class CollapseWarning(TrainingWarning):
    """The trained network gives the same answer for all rows."""


class FeatureScaleWarning(TrainingWarning):
    """The features differ in scale by orders of magnitude."""


def check_interval(
    name: str,
    value: float,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Raise an error that names the value unless it is a number in the interval."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if low <= value <= high and not (open_low and value == low) and not (open_high and value == high):
        return
    interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    raise ValueError(f"{name} must be in {interval}, got {value}")


def whole_number(name: str, value: object, low: int) -> int:
    """Return value as an int, or raise an error that names it unless it is a whole number from low on."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
    return int(value)
