"""Training runs on digits that differ only in the loss, and their outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from ..nn.arrays import Array, Buffer
from ..nn.functional import cross_entropy
from ..nn.initializers import he_normal
from ..nn.layers import Dense, ReLU
from ..nn.losses import Loss
from ..nn.network import Network
from ..nn.optimizers import SGD, Adam, Optimizer
from ..nn.schedules import Schedule, constant, linear
from ..nn.training import train
from .naive_losses import LOSSES, evaluate

WHITE = 16.0
"""The largest pixel value of scikit-learn's digits; the smallest is 0."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one training run.

    Attributes
    ----------
    name : str
        Name of the loss.
    seed : int
        Seed of the split, the initial weights and the order of the rows.
    curve : list of float
        Mean training loss of each epoch, as computed by the loss that is used in training.
    no_gradient : list of float
        For each epoch, the fraction of training rows that are misclassified but have a gradient of
        0.
    first_nonfinite_step : int or None
        Number, from 1, of the first step whose loss or logits are not finite. If only the parameters
        at the end of an epoch are not finite, the number of its last step. None if all are finite.
    true_loss : float
        Exact mean cross-entropy of the trained network on the training rows; nan if its weights are
        nan.
    accuracy : float
        Test accuracy; nan if any logit is not finite.
    recall : ndarray of shape (10,)
        Fraction of each digit's test rows that are classified correctly; nan if any logit is not
        finite.
    predicted : ndarray of int
        The digit that the network predicts for each test image; -1 if any logit is not finite.
    stuck : ndarray of shape (10,)
        Fraction of each digit's training rows that the trained network misclassifies and whose
        gradient is 0. Such rows would not contribute to further training.
    dead : float
        Fraction of dead hidden units: those that are 0 for every training row after training.
    """

    name: str
    seed: int
    curve: list[float]
    no_gradient: list[float]
    first_nonfinite_step: int | None
    true_loss: float
    accuracy: float
    recall: Array
    predicted: Array
    stuck: Array
    dead: float


@dataclass
class _Recording(Loss):
    """Wrap a loss and count, for each batch, the misclassified rows with a gradient of 0."""

    loss: Loss
    no_gradient: list[int] = field(default_factory=list)

    def targets(self, y: ArrayLike, n: int, n_outputs: int) -> Array:
        return self.loss.targets(y, n, n_outputs)

    def buffers(self, n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
        return self.loss.buffers(n_outputs, dtype)

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        value = self.loss.value_and_grad(z, y, w, dz, t)
        self.no_gradient.append(int(np.count_nonzero(_wrong_without_gradient(z, y, dz))))
        return value


def _wrong_without_gradient(z: Array, y: Array, dz: Array) -> Array:
    """Return a mask of the rows that are misclassified and have a gradient of 0."""
    mask: Array = (z.argmax(axis=1) != y) & ~dz.any(axis=1)
    return mask


@dataclass(frozen=True)
class Experiment:
    """A network for digits and its training settings: everything but the loss, the seed and the dtype.

    The network has one hidden layer with ReLU and He-normal weights. Three quarters of the images
    are used for training and one quarter for testing.

    Parameters
    ----------
    white : float
        The largest pixel value; pixels are scaled to the interval from 0 to ``white``.
    centered : bool
        Whether to subtract the mean image of the training rows.
    hidden : int
        Number of hidden units.
    optimizer : Optimizer
    batch_size : int
    schedule : callable, default=constant
        The learning-rate schedule.
    epochs : int, default=30
    """

    white: float
    centered: bool
    hidden: int
    optimizer: Optimizer
    batch_size: int
    schedule: Schedule = constant
    epochs: int = 30

    def __str__(self) -> str:
        return (
            f"digits, pixels 0 to {self.white:g}{', centered' * self.centered}; "
            f"64-{self.hidden}-10, ReLU, He-normal; "
            f"{type(self.optimizer).__name__} {self.optimizer.learning_rate:g}"
            f"{' falling to 0' * (self.schedule is linear)}, batch {self.batch_size}, {self.epochs} epochs"
        )

    def data(self, seed: int) -> tuple[Array, Array, Array, Array]:
        """Return X_train, X_test, y_train, y_test, split with the seed."""
        X, y = load_digits(return_X_y=True)
        X_train, X_test, y_train, y_test = train_test_split(
            X * (self.white / WHITE), y, test_size=0.25, stratify=y, random_state=seed
        )
        mean = X_train.mean(axis=0) if self.centered else 0.0
        return X_train - mean, X_test - mean, y_train, y_test

    def network(self, seed: int, dtype: DTypeLike = "float32") -> Network:
        """Return the untrained network."""
        layers = [Dense(self.hidden, he_normal), ReLU(), Dense(10, he_normal)]
        return Network(layers, n_in=64, dtype=dtype, seed=seed)

    def train(
        self, name: str, seed: int, dtype: DTypeLike = "float32", loss: Loss | None = None
    ) -> tuple[Network, Outcome]:
        """Train the network with one loss.

        Parameters
        ----------
        name : str
            Name of the loss: a key of `LOSSES`, or any name if ``loss`` is given.
        seed : int
            Seed of the split, the initial weights and the order of the rows. All losses with the
            same seed are trained on the same batches from the same weights.
        dtype : {"float32", "float64"}, default="float32"
        loss : Loss, optional
            The loss to train with; by default ``LOSSES[name]``.

        Returns
        -------
        network : Network
            The trained network.
        outcome : Outcome
        """
        X_train, X_test, y_train, y_test = self.data(seed)
        network, recording = self.network(seed, dtype), _Recording(loss or LOSSES[name])
        curve, first = [], None
        steps = -(-len(y_train) // self.batch_size)
        for epoch in train(
            network,
            X_train,
            y_train,
            loss=recording,
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
        predicted = np.full(len(y_test), -1) if broken else logits.argmax(axis=1)
        correct = predicted == y_test
        z = network.logits(X_train)
        stuck = _wrong_without_gradient(z, y_train, evaluate(recording.loss, z, y_train)[1])
        hidden = network.outputs(X_train, 2)
        no_gradient = np.reshape(recording.no_gradient, (self.epochs, steps)).sum(axis=1) / len(y_train)
        return network, Outcome(
            name=name,
            seed=seed,
            curve=curve,
            no_gradient=no_gradient.tolist(),
            first_nonfinite_step=first,
            true_loss=float(np.mean(cross_entropy(z, y_train), dtype=np.float64)),
            accuracy=np.nan if broken else float(correct.mean()),
            recall=np.array([np.nan if broken else correct[y_test == digit].mean() for digit in range(10)]),
            predicted=predicted,
            stuck=np.array([stuck[y_train == digit].mean() for digit in range(10)]),
            dead=np.nan if broken else float(np.mean(~hidden.any(axis=0))),
        )

    def outcomes(
        self, names: Iterable[str], seeds: Iterable[int], dtype: DTypeLike = "float32"
    ) -> Iterator[Outcome]:
        """Train with each seed and each loss; yield the outcomes, seed by seed."""
        for seed in seeds:
            for name in names:
                yield self.train(name, seed, dtype)[1]


UNSCALED = Experiment(255.0, True, 256, Adam(0.02), 64, linear)
"""The main experiment: pixels from 0 to 255 make the logits reach hundreds, and exp overflows."""

QUIET = Experiment(16.0, False, 128, Adam(0.003), 32)
"""Nothing overflows and no warning is raised, but networks trained with the clipped loss forget digits.

With this learning rate, the logits stay far below 88, where exp overflows in float32."""

STEEP = Experiment(16.0, False, 64, SGD(0.1), 32)
"""The learning rate is too large for features of this scale; a stable loss does not help."""

SCALED = Experiment(1.0, False, 64, SGD(0.3), 32)
"""Features scaled to the interval from 0 to 1: training succeeds with every loss."""
