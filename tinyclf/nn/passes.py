"""Passes: the forward and backward pass of a batch, as calls that are bound to their arrays.

The calls are made once for each number of rows of a batch, and save the time in which a step would look up
its arrays. A dense layer with ReLU behind it is computed together: bias and ReLU in one pass over the
outputs, and ReLU's mask and the gradient of the bias in another. The results are those of `Network.forward`
and `Network.backward`; with compiled kernels, the gradient of such a bias differs by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from . import kernels
from .arrays import Views
from .errors import returns_instead_of_writing
from .layers import Dense, Layer, ReLU, overrides

Calls = list[Callable[[], Any]]


class Passes(NamedTuple):
    """The calls of both passes, each in the order in which they are made."""

    forward: Calls
    backward: Calls


def bound(
    layers: Sequence[Layer],
    parameters: Sequence[Views],
    gradient: Sequence[Views],
    tapes: Sequence[Views],
) -> Passes:
    """Return the passes of layers for a batch; the other arguments have one item for each layer."""
    forward: Calls = []
    backward: Calls = []  # the last call first
    arrays = [*zip(layers, parameters, gradient, tapes, strict=True)]
    i = 0
    while i < len(arrays):
        layer, p, g, t = arrays[i]
        above, _, _, relu = arrays[min(i + 1, len(arrays) - 1)]
        i += 1
        if not isinstance(layer, Dense) or overrides(layer, Dense, "forward", "backward"):
            forward.append(partial(run_forward, layer, p, t))
            if t.dy is not None:  # this layer or an earlier one has parameters
                backward.append(partial(run_backward, layer, p, g, t))
            continue
        forward.append(partial(layer.product, p, t))
        backward.append(partial(layer.product_backward, p, g, t))
        b, db = p.b.reshape(-1), g.b.reshape(-1)
        if type(above) is ReLU and relu.y is t.y and relu.dx is relu.dy:
            forward.append(partial(kernels.add_bias_relu, relu.y, b, relu.zeros))
            buffers = t.ones, relu.zeros, relu.active
            backward.append(partial(kernels.relu_backward_bias, t.dy, relu.y, db, *buffers))
            i += 1
        else:
            forward.append(partial(kernels.add_bias, t.y, b))
            backward.append(partial(t.ones.dot, t.dy, db))
    return Passes(forward, backward[::-1])


def run_forward(layer: Layer, p: Views, t: Views) -> None:
    """Run the forward pass of a layer; raise a TypeError if it returns its output instead of writing it."""
    found: Any = layer.forward(p, t)  # type: ignore[func-returns-value]
    if not (found is None or found is t.y):
        raise returns_instead_of_writing(layer, "forward", "t.y")


def run_backward(layer: Layer, p: Views, g: Views, t: Views) -> None:
    """Run the backward pass of a layer; raise a TypeError if it returns dx instead of writing it."""
    found: Any = layer.backward(p, g, t)  # type: ignore[func-returns-value]
    if not (found is None or found is t.dx):
        raise returns_instead_of_writing(layer, "backward", "t.dx")
