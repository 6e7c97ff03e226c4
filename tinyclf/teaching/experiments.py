"""Trainings on digits in which only the loss differs, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from ..functional import cross_entropy
from ..initialisers import he_normal
from ..layers import Dense, ReLU
from ..losses import Loss
from ..network import Network
from ..optimizers import SGD, Adam, Optimizer
from ..schedules import Schedule, constant, linear
from ..training import train
from ..views import Array, Buffer
from .foils import LOSSES, evaluate

WHITE = 16.0
"""The brightest pixel of scikit-learn's digits; black is 0."""


@dataclass(frozen=True)
class Outcome:
    """What became of one training.

    Attributes
    ----------
    name : str
        Of the loss.
    seed : int
    curve : list of float
        The loss that training reported for each epoch.
    silent : list of float
        The share of each epoch's rows that the network got wrong and whose gradient was 0 all the same.
    first_nonfinite_step : int or None
        The first step, from 1, whose loss or logits were not finite, or after which, at the end of an epoch,
        the parameters were not.
    true_loss : float
        The exact mean loss of the trained network on its training rows; nan if the weights are.
    accuracy : float
        On the test rows; nan if the logits are, since the network then has no opinion.
    recall : ndarray of shape (10,)
        Share of each digit's test rows that were recognised.
    stuck : ndarray of shape (10,)
        Share of each digit's training rows that the trained network gets wrong without a gradient.
    dead : float
        Share of the hidden units that are 0 for all training rows in the end.
    """

    name: str
    seed: int
    curve: list[float]
    silent: list[float]
    first_nonfinite_step: int | None
    true_loss: float
    accuracy: float
    recall: Array
    stuck: Array
    dead: float


@dataclass
class _Watched(Loss):
    """Another loss, and how many rows of each batch were wrong and got no gradient from it."""

    loss: Loss
    silent: list[int] = field(default_factory=list)

    def targets(self, y: ArrayLike, n: int, n_outputs: int) -> Array:
        return self.loss.targets(y, n, n_outputs)

    def buffers(self, n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
        return self.loss.buffers(n_outputs, dtype)

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        value = self.loss.value_and_grad(z, y, w, dz, t)
        self.silent.append(int(np.count_nonzero(_silent(z, y, dz))))
        return value


def _silent(z: Array, y: Array, dz: Array) -> Array:
    """Tell which rows are wrong and have no gradient."""
    silent: Array = (z.argmax(axis=1) != y) & ~dz.any(axis=1)
    return silent


@dataclass(frozen=True)
class Experiment:
    """A network for digits and how it is trained: all but the loss, the seed and the type.

    Three quarters of the images are trained on, the rest tests. One hidden layer of ReLU, He-normal weights.

    Parameters
    ----------
    white : float
        What the brightest pixel is; black is 0.
    centred : bool
        Whether the mean image of the training rows is subtracted.
    hidden : int
        Units of the hidden layer.
    optimizer : Optimizer
    batch_size : int
    schedule : callable
    epochs : int
    """

    white: float
    centred: bool
    hidden: int
    optimizer: Optimizer
    batch_size: int
    schedule: Schedule = constant
    epochs: int = 30

    def __str__(self) -> str:
        return (
            f"digits, pixels 0 to {self.white:g}{', mean-centred' * self.centred}; "
            f"64-{self.hidden}-10, ReLU, He-normal; "
            f"{type(self.optimizer).__name__} {self.optimizer.learning_rate:g}"
            f"{' falling to 0' * (self.schedule is linear)}, batch {self.batch_size}, {self.epochs} epochs"
        )

    def data(self, seed: int) -> tuple[Array, Array, Array, Array]:
        """Return X_train, X_test, y_train, y_test; the seed splits."""
        X, y = load_digits(return_X_y=True)
        X_train, X_test, y_train, y_test = train_test_split(
            X * (self.white / WHITE), y, test_size=0.25, stratify=y, random_state=seed
        )
        mean = X_train.mean(axis=0) if self.centred else 0.0
        return X_train - mean, X_test - mean, y_train, y_test

    def network(self, seed: int, dtype: DTypeLike = "float32") -> Network:
        """Return the untrained network."""
        layers = [Dense(self.hidden, he_normal), ReLU(), Dense(10, he_normal)]
        return Network(layers, n_in=64, dtype=dtype, seed=seed)

    def train(
        self, name: str, seed: int, dtype: DTypeLike = "float32", loss: Loss | None = None
    ) -> tuple[Network, Outcome]:
        """Train with one loss; the seed also splits, so that all losses see the same rows.

        Parameters
        ----------
        name : str
            Of the loss.
        seed : int
            Of split, weights and order.
        dtype : "float32" or "float64"
        loss : Loss, optional
            By default that of the `LOSSES` with this name.

        Returns
        -------
        Network
            The trained one.
        Outcome
        """
        X_train, X_test, y_train, y_test = self.data(seed)
        network, watched = self.network(seed, dtype), _Watched(loss or LOSSES[name])
        curve, first = [], None
        steps = -(-len(y_train) // self.batch_size)
        for epoch in train(
            network,
            X_train,
            y_train,
            loss=watched,
            optimizer=self.optimizer,
            epochs=self.epochs,
            batch_size=self.batch_size,
            schedule=self.schedule,
            seed=seed,
            on_nonfinite="continue",
        ):
            if first is None and epoch.first_nonfinite is not None:
                first = (epoch.index - 1) * steps + epoch.first_nonfinite
            curve.append(epoch.loss)
        logits = network.logits(X_test)
        broken = not np.isfinite(logits).all()
        hit = logits.argmax(axis=1) == y_test
        z = network.logits(X_train)
        stuck = _silent(z, y_train, evaluate(watched.loss, z, y_train)[1])
        hidden = network.outputs(X_train, 2)
        silent = np.reshape(watched.silent, (self.epochs, steps)).sum(axis=1) / len(y_train)
        return network, Outcome(
            name=name,
            seed=seed,
            curve=curve,
            silent=silent.tolist(),
            first_nonfinite_step=first,
            true_loss=float(np.mean(cross_entropy(z, y_train), dtype=np.float64)),
            accuracy=np.nan if broken else float(hit.mean()),
            recall=np.array([np.nan if broken else hit[y_test == digit].mean() for digit in range(10)]),
            stuck=np.array([stuck[y_train == digit].mean() for digit in range(10)]),
            dead=np.nan if broken else float(np.mean(~hidden.any(axis=0))),
        )

    def outcomes(
        self, names: Iterable[str], seeds: Iterable[int], dtype: DTypeLike = "float32"
    ) -> Iterator[Outcome]:
        """Train with each loss and each seed."""
        for seed in seeds:
            for name in names:
                yield self.train(name, seed, dtype)[1]


UNSCALED = Experiment(255.0, True, 256, Adam(0.02), 64, linear)
"""The headline: 8-bit images as they are loaded. Logits of hundreds; all that can go wrong does."""

QUIET = Experiment(16.0, False, 128, Adam(0.01), 32)
"""Nothing overflows, nothing warns: what clipping costs where nobody looks."""

STEEP = Experiment(16.0, False, 64, SGD(0.1), 32)
"""What a stable loss does not cure: steps that are too long for features of this size."""

SCALED = Experiment(1.0, False, 64, SGD(0.3), 32)
"""The cure: features between 0 and 1. Every loss learns."""
