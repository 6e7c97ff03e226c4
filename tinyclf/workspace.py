"""A workspace owns the buffers of one run of a network over batches of rows."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .layers import Layer
from .losses import Loss
from .views import Array, Buffer, Views

if TYPE_CHECKING:
    from .network import Network

# Parameters per block of what is done to them one by one.
_PARAMETERS = 2**16


class Tapes(NamedTuple):
    """The arrays of one batch, by name: see `layers` and `Loss.rows`."""

    layers: list[Views]
    loss: Views
    x: Any  # room for the rows that the first layer reads; in training only


class Workspace:
    """The buffers of one run of a network over batches; never shared between runs, threads or pickles.

    Parameters
    ----------
    network : Network
    batch_size : int
        The largest number of rows of a batch.
    training : bool, default=True
        Whether backward will run; if not, there are no gradients, and outputs are stored over inputs
        wherever a layer allows it.
    loss : Loss, optional
        The loss to keep buffers for, in training.
    rng : numpy.random.Generator, optional
        For layers that draw random numbers in training.

    Attributes
    ----------
    gradient : ndarray like theta
        And ``gradients``, its views per layer; in training only.
    scratch : ndarray
        Room for a block of parameters; in training only.
    """

    def __init__(
        self,
        network: Network,
        batch_size: int,
        *,
        training: bool = True,
        loss: Loss | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._arrays: list[dict[str, Array | None]] = []
        self._flags = {"training": training, "rng": rng}
        self._sliced: dict[int, Tapes] = {}
        dtype, layers = network.dtype, network.layers

        def new(width: int) -> Array:
            return np.empty((batch_size, width), dtype)

        ones = Buffer((), fill=1.0).array(batch_size, dtype)
        y = new(network.widths[0]) if training else None
        below: Layer | None = None
        for layer, (n_in, n_out) in zip(layers, pairwise(network.widths), strict=True):
            x = y
            # The first layer must not write over the caller's rows.
            keep = below is None or (training and below.reads_y)
            y = x if layer.in_place and not keep else new(n_out)
            self._arrays.append({"x": x, "y": y, "dy": None, "dx": None, "ones": ones})
            buffers = layer.buffers(n_in)
            if taken := {"x", "y", "dy", "dx", "ones", "training", "rng"} & set(buffers):
                raise ValueError(f"the tape of {type(layer).__name__} has a {taken.pop()!r} of its own")
            self._arrays[-1].update({k: b.array(batch_size, dtype) for k, b in buffers.items()})
            below = layer
        buffers = {} if loss is None else loss.buffers(network.widths[-1], dtype)
        self._loss_arrays = {k: b.array(batch_size, dtype) for k, b in buffers.items()}
        if training:
            self.gradient = np.empty_like(network.theta)
            self.gradients = network.split(self.gradient)
            self.scratch = np.empty(max(1, min(network.penalised.size, _PARAMETERS)), dtype)
            dy = new(network.widths[-1])
            lowest = next((i for i, p in enumerate(network.parameters) if vars(p)), len(layers))
            for i in range(len(layers) - 1, lowest - 1, -1):
                dx = None if i == lowest else dy if layers[i].in_place else new(network.widths[i])
                self._arrays[i].update(dy=dy, dx=dx)
                if dx is not None:
                    dy = dx

    def tapes(self, n: int) -> Tapes:
        """Tapes for a batch of n rows: leading slices of the buffers, made once per n."""
        if n not in self._sliced:
            self._sliced[n] = self._slice(n)
        return self._sliced[n]

    def _slice(self, n: int) -> Tapes:
        arrays = [a for named in self._arrays for a in named.values() if a is not None]
        first = {id(a): a[:n] for a in arrays}  # one slice per array, so that y stored over x stays x
        layers = [
            Views(**{name: None if a is None else first[id(a)] for name, a in named.items()}, **self._flags)
            for named in self._arrays
        ]
        loss = Views(**{name: a[:n] for name, a in self._loss_arrays.items()})
        return Tapes(layers, loss, layers[0].x)
