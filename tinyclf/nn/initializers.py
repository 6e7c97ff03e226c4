"""Initializers: functions that draw the initial weights and biases of a dense layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array

# In quotes, so that numpy.random is not imported here: it takes a tenth of tinyclf's import time.
Initializer = Callable[["np.random.Generator", int, int], tuple[Array, Array]]
"""``init(rng, n_in, n_out)`` returns W (n_in, n_out) and b (n_out,)."""


def glorot_uniform(rng: np.random.Generator, n_in: int, n_out: int, gain: float = 1.0) -> tuple[Array, Array]:
    """Weights and biases uniform in [-r, r] with r = gain sqrt(6 / (n_in + n_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010), equation 16.
    """
    r = gain * np.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-r, r, (n_in, n_out)), rng.uniform(-r, r, n_out)


def glorot_uniform_logistic(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """`glorot_uniform` with r = sqrt(2 / (n_in + n_out)), scikit-learn's bound for the logistic function."""
    return glorot_uniform(rng, n_in, n_out, gain=3.0**-0.5)


def he_normal(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """Weights normal with variance 2 / n_in, biases 0.

    Source: He et al., "Delving deep into rectifiers" (2015), equation 10.
    """
    return rng.normal(0.0, np.sqrt(2.0 / n_in), (n_in, n_out)), np.zeros(n_out)
