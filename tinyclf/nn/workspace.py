"""The workspace: the buffers that layers and the loss need for batches of rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .arrays import Array, Buffer, Views
from .layers import Layer
from .losses import Loss


class Tapes(NamedTuple):
    """The arrays of one batch, by name: a tape for each layer (see `layers`), and t of `Loss.rows`."""

    layers: list[Views]
    loss: Views
    x: Any  # a buffer for the rows that the first layer reads; in training only


class Workspace:
    """Buffers of layers and a loss for batches of rows; two threads must not share a workspace.

    Parameters
    ----------
    layers : sequence of Layer
    widths : sequence of int
        Width of the input and of each layer's output.
    dtype : {"float32", "float64"}
        The type that the layers compute in.
    batch_size : int
        The largest number of rows of a batch.
    lowest : int, default=0
        Index of the first layer with parameters: backward ends there, and does not compute its dx.
    training : bool, default=True
        Whether backward will run. If not, there are no buffers for gradients, and outputs overwrite
        inputs if a layer allows it.
    loss : Loss, optional
        Loss whose buffers are added.
    rng : numpy.random.Generator, optional
        For layers that draw random numbers in training.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        widths: Sequence[int],
        dtype: DTypeLike,
        batch_size: int,
        *,
        lowest: int = 0,
        training: bool = True,
        loss: Loss | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._arrays: list[dict[str, Array | None]] = []
        self._whole: list[dict[str, Any]] = []  # for each layer, what does not depend on the number of rows
        self._batch_size = batch_size
        self._sliced: dict[int, Tapes] = {}

        def new(width: int) -> Array:
            return np.empty((batch_size, width), dtype)

        ones = Buffer((), fill=1.0).array(batch_size, dtype)
        y = new(widths[0]) if training else None
        below: Layer | None = None
        for layer, (n_in, n_out) in zip(layers, pairwise(widths), strict=True):
            x = y
            # The first layer must not overwrite the caller's rows.
            keep = below is None or (training and below.reads_y)
            y = x if layer.in_place and not keep else new(n_out)
            self._arrays.append({"x": x, "y": y, "dy": None, "dx": None, "ones": ones})
            buffers = layer.buffers(n_in)
            if taken := {"x", "y", "dy", "dx", "ones", "training", "rng"} & set(buffers):
                raise ValueError(
                    f"{taken.pop()!r} is reserved on the tape; rename that buffer of {type(layer).__name__}"
                )
            self._whole.append({"training": training, "rng": rng})
            for name, buffer in buffers.items():
                held = self._arrays[-1] if buffer.per_row else self._whole[-1]
                held[name] = buffer.array(batch_size, dtype)
            below = layer
        buffers = {} if loss is None else loss.buffers(widths[-1], dtype)
        if not all(buffer.per_row for buffer in buffers.values()):
            raise ValueError(f"only buffers of layers may have per_row=False, got {loss} with {buffers}")
        self._loss_arrays = {k: b.array(batch_size, dtype) for k, b in buffers.items()}
        if training:
            dy = new(widths[-1])
            for i in range(len(layers) - 1, lowest - 1, -1):
                dx = None if i == lowest else dy if layers[i].in_place else new(widths[i])
                self._arrays[i].update(dy=dy, dx=dx)
                if dx is not None:
                    dy = dx

    def tapes(self, n: int) -> Tapes:
        """Return the tapes for a batch of n rows: slices of the buffers, created once for each n."""
        if n not in self._sliced:
            self._sliced[n] = self._slice(n)
        return self._sliced[n]

    def _slice(self, n: int) -> Tapes:
        if n > self._batch_size:
            raise ValueError(f"a batch must have at most batch_size={self._batch_size} rows, got {n}")
        arrays = [a for named in self._arrays for a in named.values() if a is not None]
        first = {id(a): a[:n] for a in arrays}  # one slice per array: if y is x, its slice is that of x
        layers = [
            Views(**{name: None if a is None else first[id(a)] for name, a in named.items()}, **whole)
            for named, whole in zip(self._arrays, self._whole, strict=True)
        ]
        loss = Views(**{name: a[:n] for name, a in self._loss_arrays.items()})
        return Tapes(layers, loss, layers[0].x)
