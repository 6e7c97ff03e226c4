"""Errors and warnings, and checks of numeric parameters."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any


@dataclass(kw_only=True, eq=False)
class DivergenceError(ValueError):
    """The loss, a logit, a parameter or the optimizer's state is not finite in training.

    Attributes
    ----------
    epoch, batch : int
        The epoch and the mini-batch in which it happened, counted from 1. An iteration of L-BFGS
        counts as an epoch of one batch.
    loss : float
        Loss of that batch. It is finite if only the parameters or the optimizer's state are not
        finite, after the step.
    largest_input, largest_logit : float
        Largest magnitudes of the inputs and of the logits of that batch; nan if a value is nan.
    learning_rate : float
        Learning rate of that step; nan for L-BFGS, which has none.
    scaled : bool, default=False
        Whether the inputs are already scaled; if so, the message does not suggest scaling.
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
        step = ""
        if math.isfinite(loss) and math.isfinite(logit):
            step = "; after the step, the parameters or the optimizer's state are not finite"
        remedies = [] if self.scaled else ["scale the inputs (StandardScaler)"]
        if not math.isnan(rate):
            remedies.append(f"lower the learning rate (now {rate:.3g})")
        remedy = " or ".join(remedies or ["lower alpha or the largest sample weights"])
        return (
            f"training diverged in epoch {self.epoch}, batch {self.batch}: the loss is "
            f"{loss:.4g}, the largest input {self.largest_input:.4g}, the largest logit {logit:.4g} in "
            f"magnitude{step}. {remedy[0].upper()}{remedy[1:]}."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # By default only positional arguments are pickled, and there are none; a parallel search sends
        # this error between processes. The last item restores notes.
        return partial(type(self), **asdict(self)), (), vars(self)


class ArchiveError(ValueError):
    """A file is not a saved model, is of another version, is damaged, or has invalid content."""


class TrainingWarning(UserWarning):
    """Base class of the warnings about a fit that finished with a bad result."""


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
    """Raise an error unless value is a number in the interval; the error calls it ``name``."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if low <= value <= high and not (open_low and value == low) and not (open_high and value == high):
        return
    interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    raise ValueError(f"{name} must be in {interval}, got {value}")


def whole_number(name: str, value: object, low: int) -> int:
    """Return value as an int, or raise an error unless it is a whole number of at least low."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
    return int(value)


def returns_instead_of_writing(part: object, method: str, array: str) -> TypeError:
    """Return the error for a user-defined method that returns what it must write into an array."""
    name = type(part).__name__
    return TypeError(
        f"{name}.{method} must write its result into {array}, but it returns another value; "
        f"replace `return ...` by `{array} = ...`"
    )
