"""Layers: forward and backward side by side.

A layer maps the rows x (B, n_in) of a batch to y (B, n_out). It holds hyperparameters only. Its
arrays are arguments, so that one layer object can serve many networks and threads at once:

- ``p``: its parameters, views of the network's flat vector;
- ``g``: its part of the gradient, laid out like p, overwritten in each step;
- ``t``: the tape of this batch. ``t.x`` and ``t.y`` are input and output, ``t.dy`` and ``t.dx`` the gradients
  of the loss with respect to them. ``t.dx`` is None where no layer below needs it. ``t.training``
  is False in predictions, ``t.rng`` is a random generator, ``t.ones`` holds a 1 for each row. The
  layer's own buffers have the names that `Layer.buffers` gave them. All arrays hold B rows.
  Assigning to one, ``t.y = ...``, writes into the buffer. A layer must not change t.x.

Backward applies the chain rule: given dy = dL/dy, compute dx = dL/dx and, for each parameter,
dL/dp.

A user-defined layer overrides what differs from `Layer`:

>>> class Swish(Layer):  # y = x s(x) with the logistic s;  dy/dx = s (1 + x (1 - s))
...     def forward(self, p, t):
...         t.y = t.x / (1 + np.exp(-t.x))
...     def backward(self, p, g, t):
...         s = 1 / (1 + np.exp(-t.x))
...         t.dx = t.dy * s * (1 + t.x * (1 - s))

>>> class PReLU(Layer):  # y = x where x > 0, else a x, with one learned a per unit
...     def parameters(self, n_in, rng):
...         return {"a": np.full(n_in, 0.25)}
...     def forward(self, p, t):
...         t.y = np.where(t.x > 0, t.x, p.a * t.x)
...     def backward(self, p, g, t):
...         g.a = np.sum(np.where(t.x > 0, 0, t.dy * t.x), axis=0)
...         t.dx = np.where(t.x > 0, t.dy, p.a * t.dy)

>>> from tinyclf.gradcheck import check_layer
>>> bool(check_layer(Swish(), n_in=5) < 1e-7 and check_layer(PReLU(), n_in=5) < 1e-7)
True
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from . import kernels
from .arrays import Array, Buffer
from .errors import check_interval, whole_number
from .initializers import Initializer, glorot_uniform

# Random words that dropout draws at a time, so that its memory does not grow with the batch.
_WORDS = 8192


class Layer:
    """Base of all layers: by default a layer keeps the width and has no parameters."""

    regularized: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters with an L2 penalty."""

    in_place: ClassVar[bool] = False
    """Whether y may be stored over x, and dx over dy. If so, backward must not read t.x."""

    reads_y: ClassVar[bool] = True
    """Whether backward reads t.y; if so, the layer above must not overwrite it. A subclass with another
    backward must set this again."""

    reads_sparse: ClassVar[bool] = False
    """Whether t.x may be a SciPy CSR matrix if the layer is the first and most of the input is 0."""

    def n_out(self, n_in: int) -> int:
        """Width of the output."""
        return n_in

    def parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, Array]:
        """Return the initial values of the parameters by name; they also define the shapes."""
        return {}

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        """Return the buffers that this layer needs on its tape, each with one row per row of the batch."""
        return {}

    def forward(self, p: Any, t: Any) -> None:
        """Write t.y from t.x."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, p: Any, g: Any, t: Any) -> None:
        """Write t.dx and the gradients g from t.dy."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@dataclass(frozen=True)
class Dense(Layer):
    """Affine map y = x W + b, with W (n_in, units) and b (units,).

    For scalars, y = w x + b has dy/dw = x, dy/db = 1 and dy/dx = w. For a batch, the sums over rows
    and units become matrix products: dL/dW = x' dy, dL/db = the sum of dy over the rows, dL/dx = dy
    W'.

    Parameters
    ----------
    units : int
        Width of the output, at least 1.
    init : callable, default=glorot_uniform
        ``init(rng, n_in, n_out)`` returns the initial W and b.
    """

    units: int
    init: Initializer = field(default=glorot_uniform, repr=False)

    regularized: ClassVar[tuple[str, ...]] = ("W",)
    reads_y: ClassVar[bool] = False

    def __post_init__(self) -> None:
        whole_number("the units of Dense", self.units, 1)
        if not callable(self.init):
            raise TypeError(f"init must be a function like glorot_uniform or he_normal, got {self.init!r}")

    def n_out(self, n_in: int) -> int:
        return int(self.units)

    def parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, Array]:
        W, b = self.init(rng, n_in, self.units)
        return {"W": W, "b": b}

    @property
    def reads_sparse(self) -> bool:  # type: ignore[override]
        """Subclasses with their own forward or backward get dense rows, unless they set this."""
        return type(self).forward is Dense.forward and type(self).backward is Dense.backward

    def forward(self, p: Any, t: Any) -> None:
        _product(t.x, p.W, out=t.y)  # (B, n_out) = (B, n_in) @ (n_in, n_out)
        kernels.add_bias(t.y, p.b)

    def backward(self, p: Any, g: Any, t: Any) -> None:
        _product(t.x.T, t.dy, out=g.W)  # (n_in, n_out) = (n_in, B) @ (B, n_out)
        np.dot(t.ones, t.dy, out=g.b)  # (n_out,) = (B,) @ (B, n_out): a quarter of the time of a sum
        if t.dx is not None:
            np.dot(t.dy, p.W.T, out=t.dx)  # (B, n_in) = (B, n_out) @ (n_out, n_in)


def _product(a: Any, b: Array, out: Array) -> None:
    """Write a @ b into out, where a may be a SciPy matrix."""
    if isinstance(a, np.ndarray):
        np.dot(a, b, out=out)  # 0.3 microseconds less than matmul
    else:
        out[...] = a @ b


class Identity(Layer):
    """y = x; dy/dx = 1."""

    in_place = True
    reads_y = False

    def forward(self, p: Any, t: Any) -> None:
        t.y = t.x

    def backward(self, p: Any, g: Any, t: Any) -> None:
        t.dx = t.dy


class ReLU(Layer):
    """y = max(x, 0); dy/dx = 1 where y > 0, else 0."""

    in_place = True

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        return {"zeros": Buffer((n_in,), fill=0.0), "active": Buffer((n_in,), bool)}

    def forward(self, p: Any, t: Any) -> None:
        np.maximum(t.x, t.zeros, out=t.y)  # half the time that it takes with the number 0

    def backward(self, p: Any, g: Any, t: Any) -> None:
        kernels.relu_backward(t.dy, t.y, t.dx, t.zeros, t.active)


class Tanh(Layer):
    """y = tanh(x); dy/dx = 1 - y^2."""

    in_place = True

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        return {"slope": Buffer((n_in,))}

    def forward(self, p: Any, t: Any) -> None:
        np.tanh(t.x, out=t.y)

    def backward(self, p: Any, g: Any, t: Any) -> None:
        np.square(t.y, out=t.slope)
        np.subtract(1.0, t.slope, out=t.slope)
        np.multiply(t.dy, t.slope, out=t.dx)


class Logistic(Layer):
    """y = 1 / (1 + exp(-x)); dy/dx = y (1 - y)."""

    in_place = True

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        return {"slope": Buffer((n_in,))}

    def forward(self, p: Any, t: Any) -> None:
        np.negative(t.x, out=t.y)
        np.exp(t.y, out=t.y)  # inf for very negative x, and 1 / (1 + inf) = 0 is the limit
        t.y += 1.0
        np.reciprocal(t.y, out=t.y)

    def backward(self, p: Any, g: Any, t: Any) -> None:
        np.subtract(1.0, t.y, out=t.slope)
        t.slope *= t.y
        np.multiply(t.dy, t.slope, out=t.dx)


@dataclass(frozen=True)
class Dropout(Layer):
    """In training y = x m / (1 - rate), where m is 0 with probability ``rate``, else 1; y = x in prediction.

    Dividing by 1 - rate keeps the expectation of y, so that prediction needs no correction. Each
    batch draws a new m; dy/dx = m / (1 - rate). One random word of 64 bits serves four units, with
    16 bits each, to which the rate is rounded: this takes a third of the time of four random
    floats.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting"
    (2014).

    Parameters
    ----------
    rate : float
        Probability with which a unit is dropped, at least 0 and less than 1.
    """

    rate: float

    in_place: ClassVar[bool] = True
    reads_y: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_interval("the dropout rate", self.rate, 0.0, 1.0, open_high=True)

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        return {"m": Buffer((n_in,)), "kept": Buffer((n_in,), bool), "bits": Buffer((n_in,), np.uint16)}

    def forward(self, p: Any, t: Any) -> None:
        if not t.training:
            t.y = t.x
            return
        _fill_with_random_bits(t.bits.reshape(-1), t.rng)
        dropped = min(round(self.rate * 2**16), 2**16 - 1)  # of 65,536
        scale = t.m.dtype.type(2**16 / (2**16 - dropped))
        kernels.dropout(t.x, t.bits, dropped, scale, t.m, t.kept, t.y)

    def backward(self, p: Any, g: Any, t: Any) -> None:
        np.multiply(t.dy, t.m, out=t.dx)


def _fill_with_random_bits(bits: Array, rng: np.random.Generator) -> None:
    for start in range(0, bits.size, 4 * _WORDS):
        part = bits[start : start + 4 * _WORDS]
        words = rng.integers(0, 2**64 - 1, -(-part.size // 4), np.uint64, endpoint=True)
        part[...] = words.view(np.uint16)[: part.size]


ACTIVATIONS: dict[str, Layer] = {
    "identity": Identity(),
    "logistic": Logistic(),
    "relu": ReLU(),
    "tanh": Tanh(),
}
