"""Layers, each with its forward and backward pass.

A layer maps the rows x (B, n_in) of a batch to y (B, n_out). It holds hyperparameters only. Its
arrays are arguments, so that one layer object can be used in many networks and threads at once:

- ``p``: its parameters by name, views of the network's flat vector;
- ``g``: the gradient of the loss with respect to them, by the same names; backward overwrites it;
- ``t``: the tape, the arrays of this batch. ``t.x`` is the input, ``t.y`` the output, and ``t.dx`` and
  ``t.dy`` are the gradients of the loss with respect to them. ``t.dx`` is None if it is not needed.
  ``t.training`` is False in predictions, ``t.rng`` is a random generator in training, and
  ``t.ones`` holds a 1 for each row. The layer's own buffers have the names that `Layer.buffers`
  gives them. All arrays have B rows. Assigning to one, ``t.y = ...``, writes into the buffer. A
  layer must not change t.x.

Backward applies the chain rule: given dy = dL/dy, compute dx = dL/dx and, for each parameter,
dL/dp.

A user-defined layer is a subclass of `Layer` that overrides what differs:

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
from functools import cache
from typing import Any, ClassVar

import numpy as np

from . import kernels
from .arrays import Array, Buffer
from .errors import check_interval, whole_number
from .initializers import Initializer, glorot_uniform

# Number of random words that dropout draws at a time, so that its memory does not grow with the batch.
_WORDS = 8192


class Layer:
    """Base class of all layers; by default, y is as wide as x, and there are no parameters."""

    regularized: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters with an L2 penalty."""

    in_place: ClassVar[bool] = False
    """Whether y may be stored in the memory of x, and dx in that of dy. If so, backward must not read t.x."""

    reads_y: ClassVar[bool] = True
    """Whether backward reads t.y; if so, the next layer may not overwrite it. A subclass that overrides
    backward must also set this."""

    reads_sparse: ClassVar[bool] = False
    """Whether t.x may be a SciPy CSR matrix if the layer is the first and most of the input is 0."""

    def n_out(self, n_in: int) -> int:
        """Return the width of the output."""
        return n_in

    def parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, Array]:
        """Return the initial values of the parameters by name; they also define the shapes."""
        return {}

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        """Return the buffers that this layer needs on its tape, by name."""
        return {}

    def forward(self, p: Any, t: Any) -> None:
        """Compute t.y from t.x."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(p, t)")

    def backward(self, p: Any, g: Any, t: Any) -> None:
        """Compute t.dx, unless it is None, and g from t.dy."""
        raise NotImplementedError(f"{type(self).__name__} must define backward(p, g, t)")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@dataclass(frozen=True)
class Dense(Layer):
    """Affine map y = x W + b, with W (n_in, units) and b (units,).

    For scalars, y = w x + b has dy/dw = x, dy/db = 1 and dy/dx = w. For a batch, the sums over rows
    and units are matrix products: dL/dW = x' dy and dL/dx = dy W', where ' is the transpose; dL/db
    is the sum of dy over the rows.

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
        whole_number(f"the units of {type(self).__name__}", self.units, 1)
        if not callable(self.init):
            raise TypeError(f"init must be a function like glorot_uniform or he_normal, got {self.init!r}")

    def n_out(self, n_in: int) -> int:
        return int(self.units)

    def parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, Array]:
        W, b = self.init(rng, n_in, self.units)
        return {"W": W, "b": b}

    def n_parameters(self, n_in: int) -> int:
        """Return the number of parameters, without drawing them."""
        return n_in * int(self.units) + self.n_out(n_in)

    @property
    def reads_sparse(self) -> bool:  # type: ignore[override]
        """True, but False by default in a subclass that overrides a method of the computation."""
        return not overrides(self, Dense, "forward", "backward", "product", "product_backward")

    def forward(self, p: Any, t: Any) -> None:
        self.product(p, t)
        kernels.add_bias(t.y, p.b.reshape(-1))

    def backward(self, p: Any, g: Any, t: Any) -> None:
        t.ones.dot(t.dy, g.b.reshape(-1))  # (n_out,) = (B,) @ (B, n_out)
        self.product_backward(p, g, t)

    def product(self, p: Any, t: Any) -> None:
        """Compute t.y = x W, without b."""
        matrix_product(t.x, p.W, t.y)  # (B, n_out) = (B, n_in) @ (n_in, n_out)

    def product_backward(self, p: Any, g: Any, t: Any) -> None:
        """Compute t.dx, unless it is None, and g without g.b."""
        matrix_product(t.x.T, t.dy, g.W)  # (n_in, n_out) = (n_in, B) @ (B, n_out)
        if t.dx is not None:
            t.dy.dot(p.W.T, t.dx)  # (B, n_in) = (B, n_out) @ (n_out, n_in)

    def rescale_input(self, p: Any, growth: Array, shift: Array) -> None:
        """Rewrite the parameters for a change of the input scaling, x = growth x' + shift.

        With the new parameters, the layer returns for x' what it returned for x before. ``growth`` and
        ``shift`` have one entry for each column of x.
        """
        p.b += shift @ p.W
        p.W *= growth[:, None]


def overrides(layer: Layer, kind: type[Layer], *names: str) -> bool:
    """Return whether the class of a layer overrides one of these methods of a class."""
    own: Any = type(layer)
    base: Any = kind
    return _overrides(own, base, names)


@cache
def _overrides(own: Any, base: Any, names: tuple[str, ...]) -> bool:
    return any(getattr(own, name) is not getattr(base, name) for name in names)


def matrix_product(a: Any, b: Array, out: Array) -> None:
    """Write a @ b into out, where a may be a SciPy matrix."""
    if isinstance(a, np.ndarray):
        a.dot(b, out)  # takes 0.6 microseconds less than matmul, and 0.3 less than np.dot
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
        np.maximum(t.x, t.zeros, out=t.y)  # takes half the time of np.maximum(t.x, 0)

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
        np.exp(t.y, out=t.y)  # inf for very negative x, for which 1 / (1 + inf) = 0 is correct
        t.y += 1.0
        np.reciprocal(t.y, out=t.y)

    def backward(self, p: Any, g: Any, t: Any) -> None:
        np.subtract(1.0, t.y, out=t.slope)
        t.slope *= t.y
        np.multiply(t.dy, t.slope, out=t.dx)


class _Smooth(Layer):
    """Base class of activations whose forward computes the slope dy/dx, too: y may overwrite x."""

    in_place = True
    reads_y = False

    def backward(self, p: Any, g: Any, t: Any) -> None:
        np.multiply(t.dy, t.slope, out=t.dx)


class GELU(_Smooth):
    """y = x P(x), with the distribution function P of a standard normal distribution; dy/dx = P(x) + x P'(x).

    P'(x) = exp(-x^2 / 2) / sqrt(2 pi). P and y are computed in float64; a float32 network rounds y. In
    float64, the relative error of y is less than 3e-13, but numbers below 1e-305 in magnitude may
    become 0.

    Source: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)" (2016).
    """

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        return {"slope": Buffer((n_in,)), **{name: Buffer((n_in,), np.float64) for name in ("b", "c", "r")}}

    def forward(self, p: Any, t: Any) -> None:
        kernels.gelu(t)


class SiLU(_Smooth):
    """y = x s(x) with s(x) = 1 / (1 + exp(-x)), also called swish; dy/dx = s(x) (1 + x s(-x)).

    Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning" (2018).
    """

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        return {name: Buffer((n_in,)) for name in ("slope", "b", "c", "r", "u", "w")}

    def forward(self, p: Any, t: Any) -> None:
        kernels.silu(t)


@dataclass(frozen=True)
class Dropout(Layer):
    """In training y = x m, where m is 0 with probability ``rate``, else 1 / (1 - rate); in prediction y = x.

    The factor 1 / (1 - rate) keeps the expectation of y, so that prediction needs no correction. A
    new m is drawn for each batch; dy/dx = m. Each unit uses 16 random bits, and the rate is rounded
    to a multiple of 2^-16. Drawing 64 bits for four units takes a third of the time of drawing four
    random floats.

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
    "gelu": GELU(),
    "identity": Identity(),
    "logistic": Logistic(),
    "relu": ReLU(),
    "silu": SiLU(),
    "swish": SiLU(),
    "tanh": Tanh(),
}
