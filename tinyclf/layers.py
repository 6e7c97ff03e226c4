"""Layers: forward and backward side by side.

A layer maps the rows x (B, n_in) of a batch to y (B, n_out). It holds hyperparameters only; its arrays are
handed to it, so that one layer object can serve many networks and threads at once:

- ``p``: its parameters, views of the network's one flat vector;
- ``g``: its part of the gradient, laid out like p, overwritten in each step;
- ``t``: the tape of this batch. ``t.x`` and ``t.y`` are input and output, ``t.dy`` and ``t.dx`` the gradients
  of the loss with respect to them (dx is None where nothing below needs it), ``t.training`` tells
  training from prediction, ``t.rng`` is a random generator, ``t.ones`` holds a 1 for each row, and the
  layer's own buffers have the names it gave them. All hold B rows; assigning to them, ``t.y = ...``, writes
  into the buffer. t.x is not a layer's to change.

Backward applies the chain rule: given dy = dL/dy, find dx = dL/dx and, for every parameter, dL/dp.

A layer of one's own overrides what differs from `Layer`:

>>> class Swish(Layer):  # y = x s(x) with the logistic s;  dy/dx = s (1 + x (1 - s))
...     def forward(self, p, t):
...         t.y = t.x / (1 + np.exp(-t.x))
...     def backward(self, p, g, t):
...         s = 1 / (1 + np.exp(-t.x))
...         t.dx = t.dy * s * (1 + t.x * (1 - s))

>>> class PReLU(Layer):  # y = x where x > 0, else a x, with one learnt a per unit
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
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _fast
from ._threads import product
from .errors import check_interval, whole_number
from .initialisers import glorot_uniform
from .views import Array, Buffer

if TYPE_CHECKING:
    from .initialisers import Initialiser

# Random words that dropout draws at a time: what it allocates does not grow with the batch.
_WORDS = 8192


class Layer:
    """Base of all layers: one that keeps the width and has no parameters unless it says otherwise."""

    decayed: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters on which the L2 penalty acts."""

    in_place: ClassVar[bool] = False
    """Whether y may be stored over x, and dx over dy. If so, backward must not read t.x."""

    reads_y: ClassVar[bool] = True
    """Whether backward reads t.y, so that the layer above must not store its output over it. A layer that
    inherits this and has another backward sets it anew."""

    reads_sparse: ClassVar[bool] = False
    """Whether t.x may be a SciPy CSR matrix, where the layer is the first and most of the input is 0."""

    def n_out(self, n_in: int) -> int:
        """Width of the output."""
        return n_in

    def parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, Array]:
        """Return the initial values of the parameters by name; they also tell the shapes."""
        return {}

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        """Arrays that this layer wants to find on its tape, one row per row of the batch."""
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

    For one number, y = w x + b has dy/dw = x, dy/db = 1 and dy/dx = w. For a batch, the sums over rows
    and units become matrix products: dL/dW = x' dy, dL/db = the sum of dy over the rows, dL/dx = dy W'.

    Parameters
    ----------
    units : int
        Width of the output, at least 1.
    init : callable, default=glorot_uniform
        ``init(rng, n_in, n_out)`` returns the initial W and b.
    """

    units: int
    init: Initialiser = field(default=glorot_uniform, repr=False)

    decayed: ClassVar[tuple[str, ...]] = ("W",)
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
        """A forward or backward of one's own reads dense rows, unless its class says otherwise."""
        return type(self).forward is Dense.forward and type(self).backward is Dense.backward

    def forward(self, p: Any, t: Any) -> None:
        _product(t.x, p.W, out=t.y)  # (B, n_out) = (B, n_in) @ (n_in, n_out)
        if (twin := _fast.kernels) and p.b.shape == t.y.shape[1:]:
            twin.add_bias(t.y, p.b)
        else:
            np.add(t.y, p.b, out=t.y)

    def backward(self, p: Any, g: Any, t: Any) -> None:
        _product(t.x.T, t.dy, out=g.W)  # (n_in, n_out) = (n_in, B) @ (B, n_out)
        np.dot(t.ones, t.dy, out=g.b)  # (n_out,) = (B,) @ (B, n_out): a quarter of the time of a sum
        if t.dx is not None:
            product(t.dy, p.W.T, t.dx)  # (B, n_in) = (B, n_out) @ (n_out, n_in)


def _product(a: Any, b: Array, out: Array) -> None:
    """Write a @ b into out, where a may be a SciPy matrix."""
    if isinstance(a, np.ndarray):
        product(a, b, out)
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
        if (twin := _fast.kernels) and t.dx is t.dy:
            twin.relu_backward(t.dy, t.y)
        else:
            np.greater(t.y, t.zeros, out=t.active)
            np.multiply(t.dy, t.active, out=t.dx)


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

    Dividing by 1 - rate keeps the expectation of y, so that prediction needs no correction. m is drawn
    anew for each batch; dy/dx = m / (1 - rate). A random word of 64 bits decides for four units, by 16 bits
    each, to which the rate is rounded: that takes a third of the time of four random floats.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014).

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
        if twin := _fast.kernels:
            twin.drop(t.x, t.bits, dropped, scale, t.m, t.y)
        else:
            np.greater_equal(t.bits, dropped, out=t.kept)
            np.multiply(t.kept, scale, out=t.m)
            np.multiply(t.x, t.m, out=t.y)

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
