"""The state of training: what one must keep to go on later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .network import Network
from .optimizers import Optimizer
from .views import Views


@dataclass
class TrainState:
    """All that training carries from step to step: what one must keep to go on later.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
    seed : int, numpy.random.Generator or None
        Of the order of the rows and of dropout, each from a stream of its own.

    Attributes
    ----------
    vectors : Views
        The optimizer's vectors.
    epoch, step : int
        Number of finished epochs and steps.
    """

    network: Network
    optimizer: Optimizer
    seed: Any = None
    vectors: Views = field(init=False)
    epoch: int = field(default=0, init=False)
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.vectors = Views()
        self.use(self.optimizer)
        self.shuffle_rng, self.dropout_rng = np.random.default_rng(self.seed).spawn(2)
        self.seed = None  # it is in the streams now

    def use(self, optimizer: Optimizer) -> None:
        """Go on with another optimizer; vectors of the same name are kept, new ones start at zero."""
        old, theta = vars(self.vectors), self.network.theta
        self.optimizer = optimizer
        self.vectors = Views(**{name: old.get(name, np.zeros_like(theta)) for name in optimizer.vectors()})

    def snapshot(self) -> tuple[Any, ...]:
        """Copies of everything that training changes, for `restore`."""
        return (
            self.network.theta.copy(),
            {name: vector.copy() for name, vector in vars(self.vectors).items()},
            (self.shuffle_rng.bit_generator.state, self.dropout_rng.bit_generator.state),
            (self.epoch, self.step),
        )

    def restore(self, snapshot: tuple[Any, ...]) -> None:
        """Go back to a snapshot, in place: views of the parameters stay views."""
        theta, vectors, streams, (self.epoch, self.step) = snapshot
        self.network.theta[...] = theta
        for name, vector in vectors.items():
            setattr(self.vectors, name, vector)
        self.shuffle_rng.bit_generator.state, self.dropout_rng.bit_generator.state = streams
