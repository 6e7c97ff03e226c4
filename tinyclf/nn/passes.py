"""Passes: the forward and backward pass of a batch, as calls that are bound to their arrays.

The calls are made once for each number of rows of a batch, and save the time in which a step would look up its
arrays. A dense layer with ReLU behind it is computed together: bias and ReLU in one pass over the outputs, and
ReLU's mask and the gradient of the bias in another. The results are those of `Network.forward` and
`Network.backward`; with compiled kernels, the gradient of such a bias differs by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from . import kernels
from .arrays import Views
from .errors import returns_instead_of_writing
from .layers import Dense, Layer, ReLU

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
        above = arrays[i + 1] if i + 1 < len(arrays) else None
        if above is not None and _are_fused(layer, t, above[0], above[3]):
            relu = above[3]
            b, db = p.b.reshape(-1), g.b.reshape(-1)
            forward += [partial(layer.product, p, t), partial(kernels.add_bias_relu, relu.y, b, relu.zeros)]
            backward += [
                partial(layer.product_backward, p, g, t),
                partial(kernels.relu_backward_bias, t.dy, relu.y, db, t.ones, relu.zeros, relu.active),
            ]
            i += 2
            continue
        forward.append(partial(run_forward, layer, p, t))
        if t.dy is not None:  # this layer or an earlier one has parameters
            backward.append(partial(run_backward, layer, p, g, t))
        i += 1
    return Passes(forward, backward[::-1])


def _are_fused(layer: Layer, t: Views, above: Layer, relu: Views) -> bool:
    """Return whether a layer and the one above it are a dense layer and ReLU that share their arrays."""
    if type(above) is not ReLU or not isinstance(layer, Dense):
        return False
    return layer.has_methods_of(Dense, "forward", "backward") and relu.y is t.y and relu.dx is relu.dy


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
