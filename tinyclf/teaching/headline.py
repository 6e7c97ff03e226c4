"""The headline experiment: one network, trained on unscaled digits with three losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from ..functional import cross_entropy
from ..initialisers import he_normal
from ..layers import Dense, ReLU
from ..losses import Loss
from ..network import Network
from ..optimizers import Adam
from ..schedules import linear
from ..training import train
from ..views import Array
from .foils import FOILS

SETUP = (
    "digits, pixels 0 to 255, mean-centred, not scaled; 64-256-10, ReLU, He-normal; "
    "Adam 0.02 falling to 0, batch 64, 30 epochs"
)


@dataclass(frozen=True)
class Outcome:
    """What became of one training.

    Attributes
    ----------
    name : str
        Of the loss.
    curve : list of float
        The loss that training reported for each epoch.
    first_nonfinite_step : int or None
        The first step, from 1, whose loss or logits were not finite, or after which, at the end of an epoch,
        the parameters were not.
    true_loss : float
        The exact mean loss of the trained network on its training rows; nan if the weights are.
    accuracy : float
        On the test rows; nan if the logits are, since the network then has no opinion.
    recall : ndarray of shape (10,)
        Share of each digit's test rows that were recognised.
    """

    name: str
    curve: list[float]
    first_nonfinite_step: int | None
    true_loss: float
    accuracy: float
    recall: Array


def outcomes(
    seed: int = 0, dtype: DTypeLike = "float32", epochs: int = 30, losses: dict[str, Loss] = FOILS
) -> Iterator[Outcome]:
    """Train once with each loss, from the same weights and in the same order; the seed also splits."""
    X_train, X_test, y_train, y_test = _unscaled_digits(seed)
    for name, loss in losses.items():
        network = Network(
            [Dense(256, he_normal), ReLU(), Dense(10, he_normal)], n_in=64, dtype=dtype, seed=seed
        )
        curve, first = [], None
        for epoch in train(
            network,
            X_train,
            y_train,
            loss=loss,
            optimizer=Adam(0.02),
            epochs=epochs,
            batch_size=64,
            schedule=linear,
            seed=seed,
            on_nonfinite="continue",
        ):
            if first is None and epoch.first_nonfinite is not None:
                first = (epoch.index - 1) * -(-len(y_train) // 64) + epoch.first_nonfinite
            curve.append(epoch.loss)
        logits = network.logits(X_test)
        broken = not np.isfinite(logits).all()
        hit = logits.argmax(axis=1) == y_test
        yield Outcome(
            name=name,
            curve=curve,
            first_nonfinite_step=first,
            true_loss=float(np.mean(cross_entropy(network.logits(X_train), y_train), dtype=np.float64)),
            accuracy=np.nan if broken else float(hit.mean()),
            recall=np.array([np.nan if broken else hit[y_test == digit].mean() for digit in range(10)]),
        )


def _unscaled_digits(seed: int) -> list[Any]:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X * (255.0 / 16.0), y, test_size=0.25, stratify=y, random_state=seed
    )
    mean = X_train.mean(axis=0)
    return [X_train - mean, X_test - mean, y_train, y_test]
