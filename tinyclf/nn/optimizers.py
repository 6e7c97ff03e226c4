"""Optimizers: rules that compute a step from a gradient, for one flat vector of parameters.

Letters as in the papers: theta are the parameters, g is the gradient, eta (``rate``) the learning
rate of this step and t its number, counted from 1. The state ``s`` of an optimizer holds t and the
arrays that it keeps between steps. `update` overwrites g with the step, and `step` subtracts it:
theta <- theta - g.

A user-defined optimizer creates its state in ``init`` and computes the step in ``update``:

>>> @dataclass(frozen=True)
... class RMSprop(Optimizer):  # v <- rho v + (1 - rho) g^2;  step = eta g / (sqrt(v) + eps)
...     learning_rate: float = 1e-3
...     rho: float = 0.9
...     def init(self, theta):
...         return OptimizerState(v=np.zeros_like(theta))
...     def update(self, g, s, rate):
...         s.v = self.rho * s.v + (1 - self.rho) * g**2
...         g *= rate / (np.sqrt(s.v) + 1e-8)

>>> theta, optimizer = np.zeros(2), RMSprop()
>>> s = optimizer.init(theta)
>>> optimizer.step(theta, np.array([0.5, -2.0]), s, rate=0.1)
>>> theta.round(4), s.t
(array([-0.3162,  0.3162]), 1)
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from . import kernels
from .arrays import PARAMETER_BLOCK, Array, Views
from .errors import check_interval, returns_instead_of_writing

# The smallest normal number of float32. A smaller epsilon could round to 0 in float32, and a gradient
# of 0 would then give 0 / 0.
_TINY = 2.0**-126

# Steps between two calls of `flush_subnormals`.
_FLUSH = 100


class OptimizerState(Views):
    """State of an optimizer: the number of steps t, and arrays by name.

    Assigning to an array, ``s.v = ...``, writes into it.

    Parameters
    ----------
    t : int, default=0
        Number of steps taken since the arrays were zero.
    **arrays : ndarray
        Usually of the shape of theta, zero at the start.

    Examples
    --------
    >>> s = OptimizerState(v=np.zeros(2))
    >>> s.v = [1.0, 2.0]
    >>> s
    OptimizerState(t=0, v: float64(2,))
    """

    def __init__(self, t: int = 0, **arrays: Any) -> None:
        numbers = {k: a if isinstance(a, np.ndarray) else np.array(a, np.float64) for k, a in arrays.items()}
        super().__init__(t=t, **numbers)

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays by name."""
        return {name: value for name, value in vars(self).items() if name != "t"}

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "t":
            vars(self)["t"] = value
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        arrays = [f", {name}: {array.dtype}{array.shape}" for name, array in self.arrays.items()]
        return f"OptimizerState(t={self.t}{''.join(arrays)})"


@dataclass(frozen=True)
class Optimizer:
    """Base class of all optimizers; they hold hyperparameters only.

    Before the update, `step` multiplies the weights by 1 - eta ``weight_decay``. This decay is
    decoupled: it is not part of the gradient or of the update, and does not depend on the L2
    penalty or the batch size.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.
    """

    learning_rate: float

    weight_decay = 0.0  # not annotated, so not a field: subclasses that support it declare the field
    """Strength of the decoupled decay."""

    flushed: ClassVar[tuple[str, ...]] = ()
    """Names of the state's arrays in which `step` may set tiny entries to 0, see `flush_subnormals`."""

    nonnegative: ClassVar[tuple[str, ...]] = ()
    """Names of the state's arrays whose entries are never negative; checked when a state is restored."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), np.floating):
                # A product of an array of float32 and a scalar of float64 would be in float64.
                object.__setattr__(self, field.name, float(value))
        check_interval("learning_rate", self.learning_rate, 0.0, np.inf, open_low=True, open_high=True)
        check_interval("weight_decay", self.weight_decay, 0.0, np.inf, open_high=True)
        if self.learning_rate * self.weight_decay > 1.0:
            raise ValueError(
                "the learning rate times weight_decay must be at most 1, got "
                f"{self.learning_rate} * {self.weight_decay}; lower one of them"
            )

    def replace(self, **parameters: Any) -> Self:
        """Return a copy with other hyperparameters.

        Raises
        ------
        ValueError
            If there is no such hyperparameter, or its value is invalid.
        """
        names = [field.name for field in fields(self)]
        if unknown := parameters.keys() - names:
            raise ValueError(f"{type(self).__name__} has the parameters {names}, got {sorted(unknown)}")
        made = copy.copy(self)
        for name, value in parameters.items():
            object.__setattr__(made, name, value)  # the class is frozen
        made.__post_init__()
        return made

    def init(self, theta: Array) -> OptimizerState:
        """Return the state before the first step."""
        return OptimizerState()

    def update(self, g: Array, s: OptimizerState, rate: float) -> None:
        """Overwrite the gradient g with the step, in place: ``g *= rate`` or ``g[...] = ...``."""
        raise NotImplementedError(f"{type(self).__name__} must define update(g, s, rate)")

    def step(
        self, theta: Array, g: Array, s: OptimizerState, rate: float, weights: Array | None = None
    ) -> None:
        """Take one step in place: s.t <- s.t + 1, weight decay, `update`, theta <- theta - g.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        g : ndarray like theta
            The gradient; overwritten.
        s : OptimizerState
        rate : float
            Learning rate of this step.
        weights : ndarray, optional
            The part of theta that ``weight_decay`` or an L2 penalty in the gradient makes smaller.
            `flush_subnormals` is applied to it, as to the arrays named in ``flushed``.
        """
        s.t += 1
        if weights is not None and self.weight_decay:
            weights *= 1.0 - rate * self.weight_decay
        self._apply(theta, g, s, rate)
        if s.t % _FLUSH == 0:
            for name in self.flushed:
                if name in s.arrays:
                    flush_subnormals(s.arrays[name])
            if weights is not None:
                flush_subnormals(weights)

    def _apply(self, theta: Array, g: Array, s: OptimizerState, rate: float) -> None:
        found: Any = self.update(g, s, rate)  # type: ignore[func-returns-value]
        if not (found is None or found is g):
            raise returns_instead_of_writing(self, "update", "g[...]")
        np.subtract(theta, g, out=theta)


def flush_subnormals(vector: Array) -> None:
    """Set entries near the subnormal numbers to 0, in place.

    If the gradient of a unit stays 0, as for a dead ReLU unit, its moments decay to subnormal
    numbers and remain there. With a penalty, its weights do the same. Arithmetic on subnormal
    numbers takes ten times as long or longer: with half the units of a digits network dead, an
    epoch took 27 milliseconds instead of 3. The limit is 8e-31 in float32 and 1.5e-300 in float64.
    Even 0.9^100 times the limit is not subnormal, so a call every 100 steps is enough.
    """
    small = np.finfo(vector.dtype).tiny * 2.0**26
    for start in range(0, vector.size, PARAMETER_BLOCK):
        part = vector[start : start + PARAMETER_BLOCK]
        part[np.abs(part) < small] = 0.0


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with classical or Nesterov momentum mu.

    u <- mu u + eta g;  step = u, or mu u + eta g in Nesterov's form. With mu = 0 the step is eta g.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning"
    (2013).

    Parameters
    ----------
    learning_rate : float, default=0.1
        eta, more than 0.
    momentum : float, default=0.0
        mu, from 0 to 1.
    nesterov : bool, default=False
        Whether to use Nesterov's form; without momentum, this has no effect.
    weight_decay : float, default=0.0
        See `Optimizer`; at least 0.
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    flushed: ClassVar[tuple[str, ...]] = ("u",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval("momentum", self.momentum, 0.0, 1.0)

    def init(self, theta: Array) -> OptimizerState:
        names = () if self.momentum == 0.0 else ("u", "w") if self.nesterov else ("u",)
        return OptimizerState(0, **{name: np.zeros_like(theta) for name in names})

    def update(self, g: Array, s: OptimizerState, rate: float) -> None:
        g *= rate
        if self.momentum == 0.0:
            return
        s.u *= self.momentum
        s.u += g
        if self.nesterov:
            np.multiply(s.u, self.momentum, out=s.w)
            g += s.w
        else:
            g[...] = s.u


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moment estimation.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
    step = eta sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).

    The state holds M = m / (1 - b1) and V = v / (1 - b2), with M <- b1 M + g and V <- b2 V + g^2,
    and the factors 1 - b1 and 1 - b2 are moved to the rate and to eps. This saves two passes over
    the vectors in each step.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1 in the
    form at the end of section 2, as in scikit-learn (eps is added before the bias correction of v).

    Parameters
    ----------
    learning_rate : float, default=0.001
        eta, more than 0.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the moments, at least 0 and less than 1.
    epsilon : float, default=1e-8
        eps, more than 0.
    weight_decay : float, default=0.0
        See `Optimizer`; at least 0. If it is not 0, this is AdamW.
    """

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    flushed: ClassVar[tuple[str, ...]] = ("M",)
    nonnegative: ClassVar[tuple[str, ...]] = ("V",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval("beta_1", self.beta_1, 0.0, 1.0, open_high=True)
        check_interval("beta_2", self.beta_2, 0.0, 1.0, open_high=True)
        check_interval("epsilon", self.epsilon, 0.0, np.inf, open_low=True, open_high=True)

    def init(self, theta: Array) -> OptimizerState:
        return OptimizerState(M=np.zeros_like(theta), V=np.zeros_like(theta))

    def _constants(self, t: int, rate: float) -> tuple[float, float, float, float]:
        """Return b1, b2, eps and the rate, the last two with the factors that M and V do not contain."""
        b1, b2 = self.beta_1, self.beta_2
        root = (1.0 - b2) ** 0.5
        eps = max(self.epsilon, _TINY) / root
        return b1, b2, eps, rate * (1.0 - b2**t) ** 0.5 / (1.0 - b1**t) * (1.0 - b1) / root

    def update(self, g: Array, s: OptimizerState, rate: float) -> None:
        kernels.adam_update(g, s.M, s.V, *self._constants(s.t, rate))

    def _apply(self, theta: Array, g: Array, s: OptimizerState, rate: float) -> None:
        if type(self).update is Adam.update:  # else a subclass overrides it
            kernels.adam(theta, g, s.M, s.V, *self._constants(s.t, rate))
        else:
            super()._apply(theta, g, s, rate)


@dataclass(frozen=True)
class AdamW(Adam):
    """`Adam` with decoupled weight decay, 0.01 by default.

    W <- (1 - eta weight_decay) W, then Adam's step. eta is the learning rate of the step, with the
    factor of the learning-rate schedule.
    """

    weight_decay: float = 0.01


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "sgd": SGD}
