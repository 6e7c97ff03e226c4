"""The state of training: everything that changes from step to step."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .network import Network
from .optimizers import Optimizer, OptimizerState


@dataclass
class TrainState:
    """Everything that training changes from step to step, and that is needed to continue it later.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
    seed : int, numpy.random.Generator or None
        Seed of two random generators, one for the order of the rows, one for dropout.

    Attributes
    ----------
    optimizer_state : OptimizerState
    shuffle_rng, dropout_rng : numpy.random.Generator
    scale : float
        Factor of the learning rate, in addition to that of the schedule. It keeps its value until
        it is set.
    epoch : int
        Number of finished epochs.
    """

    network: Network
    optimizer: Optimizer
    seed: Any = None
    optimizer_state: OptimizerState = field(init=False)
    scale: float = field(default=1.0, init=False)
    epoch: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, Optimizer):
            raise TypeError(f"optimizer must be an instance of Optimizer, got {self.optimizer!r}")
        if isinstance(self.seed, np.random.RandomState):
            raise TypeError("seed must be an int, a numpy.random.Generator or None, got a RandomState")
        self.optimizer_state = self.optimizer.init(self.network.theta)
        self.shuffle_rng, self.dropout_rng = np.random.default_rng(self.seed).spawn(2)
        self.seed = None  # the generators are created; the seed is no longer needed

    def use(self, optimizer: Optimizer, *, reset: bool = False) -> None:
        """Continue with another optimizer; arrays of the same name are kept, new ones start at zero.

        If there are new arrays, t restarts at 0, since bias corrections depend on it. With
        ``reset``, all arrays and t restart at 0, and ``scale`` at 1.
        """
        old, new = self.optimizer_state, optimizer.init(self.network.theta)
        if reset:
            self.scale = 1.0
        else:
            new.bind(**{name: array for name, array in old.arrays.items() if name in new.arrays})
            if set(new.arrays) <= set(old.arrays):
                new.t = old.t
        self.optimizer, self.optimizer_state = optimizer, new

    def copy(self) -> TrainState:
        """Return an independent copy, including the network, the arrays and the random generators."""
        return copy.deepcopy(self)

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of the state without the network, for `from_dict`.

        Returns
        -------
        dict
            ``optimizer``, its ``t`` and ``arrays`` by name, the two ``generators``, ``scale`` and
            ``epoch``.
        """
        s = self.optimizer_state
        return {
            "optimizer": self.optimizer,
            "t": s.t,
            "arrays": {name: array.copy() for name, array in s.arrays.items()},
            "generators": [copy.deepcopy(rng) for rng in (self.shuffle_rng, self.dropout_rng)],
            "scale": self.scale,
            "epoch": self.epoch,
        }

    @classmethod
    def from_dict(cls, network: Network, d: dict[str, Any]) -> TrainState:
        """Return the state of ``network`` from the dict that `to_dict` returned.

        Raises
        ------
        ValueError, TypeError
            If the dict does not fit the network, or holds an invalid value.
        """
        expected = {"optimizer", "t", "arrays", "generators", "scale", "epoch"}
        if not isinstance(d, dict) or d.keys() != expected:
            raise ValueError(f"the training state must have the parts {sorted(expected)}, got {d!r}")
        state = cls(network, d["optimizer"], seed=0)
        arrays, own, generators = d["arrays"], state.optimizer_state.arrays, d["generators"]
        if not isinstance(arrays, dict) or arrays.keys() != own.keys():
            raise ValueError(f"optimizer state must have the arrays {list(own)}, got {arrays!r}")
        for name, array in own.items():
            given = arrays[name]
            if not isinstance(given, np.ndarray) or (given.shape, given.dtype) != (array.shape, array.dtype):
                got = f"{given.dtype}{given.shape}" if isinstance(given, np.ndarray) else repr(given)
                raise ValueError(
                    f"optimizer state {name!r} must be an array {array.dtype}{array.shape}, got {got}"
                )
            if name in state.optimizer.nonnegative and (given < 0.0).any():
                raise ValueError(f"optimizer state {name!r} must not be negative, got {given.min()}")
            array[...] = given
        for name in ("t", "epoch"):
            if type(d[name]) is not int or d[name] < 0:
                raise ValueError(f"{name} must be a whole number >= 0, got {d[name]!r}")
        if type(d["scale"]) is not float or not 0.0 <= d["scale"] < math.inf:
            raise ValueError(f"scale must be a finite number >= 0, got {d['scale']!r}")
        is_pair = isinstance(generators, list) and len(generators) == 2
        if not is_pair or not all(isinstance(rng, np.random.Generator) for rng in generators):
            raise ValueError(f"the training state must have two random generators, got {generators!r}")
        state.optimizer_state.t, state.epoch, state.scale = d["t"], d["epoch"], d["scale"]
        state.shuffle_rng, state.dropout_rng = copy.deepcopy(generators)
        return state

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of everything that training changes, for `restore`."""
        return {
            "theta": self.network.theta.copy(),
            "optimizer": self.optimizer,
            "optimizer_state": copy.deepcopy(self.optimizer_state),
            "generators": [rng.bit_generator.state for rng in (self.shuffle_rng, self.dropout_rng)],
            "scale": self.scale,
            "epoch": self.epoch,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Return to a snapshot; the network, the views of theta and the generators stay the same objects."""
        self.network.theta = snapshot["theta"]
        self.optimizer = snapshot["optimizer"]
        self.optimizer_state = copy.deepcopy(snapshot["optimizer_state"])
        self.shuffle_rng.bit_generator.state, self.dropout_rng.bit_generator.state = snapshot["generators"]
        self.scale, self.epoch = snapshot["scale"], snapshot["epoch"]
