"""Learning-rate schedules: factors of the learning rate.

A schedule is a function of progress, the fraction of the training that is done, in [0, 1). It is
called once per step:

>>> def triangle(progress):
...     return 1 - abs(2 * progress - 1)
>>> [triangle(p) for p in (0.0, 0.25, 0.5, 0.75)]
[0.0, 0.5, 1.0, 0.5]

A `TrainState` has a second factor, ``scale``, for rules that depend on the loss or on other results
of the training. ``scale`` keeps its value until it is set. `inverse_scaling` and `lowered` compute the
scales for scikit-learn's rules "invscaling" and "adaptive".
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]
"""Maps progress, the fraction of the training that is done, in [0, 1), to a factor of the learning rate."""


def constant(progress: float) -> float:
    """Keep the learning rate."""
    return 1.0


def linear(progress: float) -> float:
    """Lower the learning rate linearly to 0."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """Lower the learning rate to 0 along half a cosine: (1 + cos(pi progress)) / 2.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
    equation 5 without restarts.
    """
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def flat_cosine(progress: float) -> float:
    """Keep the learning rate for half of the training, then lower it to 0 along half a cosine."""
    return cosine(max(0.0, 2.0 * progress - 1.0))


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "flat_cosine": flat_cosine,
}


def inverse_scaling(rows_seen: int, power: float) -> float:
    """Return the scale after this number of rows, (rows_seen + 1) ** -power, for "invscaling"."""
    return float((rows_seen + 1) ** -power)


def lowered(scale: float, learning_rate: float) -> float | None:
    """Return a fifth of the scale, for "adaptive", or None if the rate is at most 1e-6 already."""
    return None if learning_rate * scale <= 1e-6 else scale / 5.0
