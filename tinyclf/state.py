"""The state of training: what one must keep to go on later."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .network import Network
from .optimizers import Optimizer
from .stopping import Plateau
from .views import Views

# Entries that are looked at at a time.
_BLOCK = 2**14


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
    t : int
        Number of steps since the last of them was zero.
    scale : float
        Factor of the learning rate, beside the schedule's, that lasts until it is changed.
    epoch : int
        Number of finished epochs.
    plateau : Plateau or None
        What decides when to stop, for those who train by it; `train` does not.
    """

    network: Network
    optimizer: Optimizer
    seed: Any = None
    vectors: Views = field(init=False)
    t: int = field(default=0, init=False)
    scale: float = field(default=1.0, init=False)
    epoch: int = field(default=0, init=False)
    plateau: Plateau | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, Optimizer):
            raise TypeError(f"optimizer must be an instance of Optimizer, got {self.optimizer!r}")
        if isinstance(self.seed, np.random.RandomState):
            raise TypeError("seed must be an int, a numpy.random.Generator or None, got a RandomState")
        self.vectors = Views()
        self.use(self.optimizer)
        self.shuffle_rng, self.dropout_rng = np.random.default_rng(self.seed).spawn(2)
        self.seed = None  # it is in the streams now

    def use(self, optimizer: Optimizer, *, afresh: bool = False) -> None:
        """Go on with another optimizer: vectors of the same name are kept, new ones start at zero.

        With ``afresh`` all of them do, and the learning rate's scale is 1 again.
        """
        if afresh:
            self.vectors, self.t, self.scale = Views(), 0, 1.0
        old, theta = vars(self.vectors), self.network.theta
        if not set(optimizer.vectors()) <= set(old):
            self.t = 0  # what corrects for a start at zero must know of it
        self.vectors = Views(
            **{name: old[name] if name in old else np.zeros_like(theta) for name in optimizer.vectors()}
        )
        self.optimizer = optimizer

    def sweep(self, decayed: bool) -> None:
        """Set to 0 what fades away in the optimizer's vectors, and in the weights if they are decayed.

        A dead unit has no gradient, and its moments fade until they are subnormal, where they stay; with a
        penalty its weights follow. Arithmetic on subnormal numbers takes ten times as long and more: half
        the units of a digits network died, and an epoch took 27 milliseconds instead of 3. What is swept is
        below 8e-31 in float32 and 1.5e-300 in float64, and so far above the subnormal numbers that 0.9^100
        of it is not one yet: training calls this every 100 steps.
        """
        faded = [vars(self.vectors)[name] for name in self.optimizer.fading if name in vars(self.vectors)]
        for vector in [*faded, *([self.network.penalised] if decayed else [])]:
            small = np.finfo(vector.dtype).tiny * 2.0**26
            for start in range(0, vector.size, _BLOCK):
                part = vector[start : start + _BLOCK]
                part[np.abs(part) < small] = 0.0

    def snapshot(self) -> dict[str, Any]:
        """Copies of everything that training changes, for `restore`."""
        return {
            "theta": self.network.theta.copy(),
            "scaling": self.network.scaling,
            "optimizer": self.optimizer,
            "vectors": {name: vector.copy() for name, vector in vars(self.vectors).items()},
            "streams": [rng.bit_generator.state for rng in (self.shuffle_rng, self.dropout_rng)],
            "counts": (self.t, self.scale, self.epoch),
            "plateau": copy.copy(self.plateau),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a snapshot; views of the parameters stay views."""
        self.network.theta = snapshot["theta"]
        self.network.scaling = snapshot["scaling"]
        self.optimizer = snapshot["optimizer"]
        self.vectors = Views(**{name: vector.copy() for name, vector in snapshot["vectors"].items()})
        for rng, stream in zip((self.shuffle_rng, self.dropout_rng), snapshot["streams"], strict=True):
            rng.bit_generator.state = stream
        self.t, self.scale, self.epoch = snapshot["counts"]
        self.plateau = copy.copy(snapshot["plateau"])


@contextmanager
def unchanged_on_error(holder: Any, state: TrainState | None) -> Iterator[None]:
    """Nothing is lost: if the block fails, the holder's attributes are as before, and the state, if given.

    Lists among the attributes may grow in the block; they are cut back.
    """
    before = vars(holder).copy()
    lengths = {name: len(value) for name, value in before.items() if type(value) is list}
    snapshot = None if state is None else state.snapshot()
    try:
        yield
    except BaseException:
        for name, length in lengths.items():
            del before[name][length:]
        if state is not None and snapshot is not None:
            state.restore(snapshot)
        vars(holder).clear()
        vars(holder).update(before)
        raise
