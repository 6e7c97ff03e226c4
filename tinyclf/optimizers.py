"""Optimizers: rules that turn a gradient into a step, on one flat vector.

The letters are those of the papers: g is the gradient, eta (`rate`) the learning rate of this step, t its
number counted from 1, theta the parameters. `update` overwrites g with the step, and training then
subtracts it: theta <- theta - g. Vectors that live from step to step are in ``s``; they start at zero.

A rule of one's own names its vectors and writes its update:

>>> @dataclass(frozen=True)
... class RMSprop(Optimizer):  # v <- rho v + (1 - rho) g^2;  step = eta g / (sqrt(v) + eps)
...     learning_rate: float = 1e-3
...     rho: float = 0.9
...     def vectors(self):
...         return ("v",)
...     def update(self, g, s, t, rate):
...         s.v = self.rho * s.v + (1 - self.rho) * g**2
...         g *= rate / (np.sqrt(s.v) + 1e-8)

>>> g, s = np.array([0.5, -2.0]), Views(v=np.zeros(2))
>>> RMSprop().update(g, s, t=1, rate=0.1)
>>> g.round(4)
array([ 0.3162, -0.3162])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from . import _fast
from .errors import check_interval
from .views import Array, Views

# Vectors above this length are beyond the cache, and Adam's ten passes over them go by blocks that are not:
# for 2 million parameters 2.5 instead of 4.2 milliseconds. Below, blocks cost more than they save.
_LARGE, _BLOCK = 2**19, 2**16

# The smallest normal number of float32. A smaller epsilon would be 0 there, and a gradient of 0 over it nan.
_TINY = 2.0**-126


@dataclass(frozen=True)
class Optimizer:
    """Base of all optimizers; holds hyperparameters only.

    Before the step, training multiplies the weights by 1 - eta ``weight_decay``: the decay is decoupled, that
    is, the gradient and the rule do not see it, and it depends neither on alpha nor on the batch size.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.
    """

    learning_rate: float

    weight_decay = 0.0  # not annotated: no field yet
    """Strength of the decoupled decay; a rule that offers it has it as a field."""

    def __post_init__(self) -> None:
        check_interval("learning_rate", self.learning_rate, 0.0, np.inf, open_low=True, open_high=True)
        check_interval("weight_decay", self.weight_decay, 0.0, np.inf, open_high=True)
        if self.learning_rate * self.weight_decay > 1.0:
            raise ValueError(
                f"each step multiplies the weights by 1 - {self.learning_rate} * {self.weight_decay}, "
                "learning rate times weight_decay, which must not be negative; lower one of them"
            )

    fading: ClassVar[tuple[str, ...]] = ()
    """Those of its vectors that may be 0 where they are next to nothing: see `state.TrainState.sweep`."""

    def vectors(self) -> tuple[str, ...]:
        """Names of the vectors that live from step to step."""
        return ()

    def update(self, g: Array, s: Views, t: int, rate: float) -> None:
        """Overwrite the gradient g with the step, in place: ``g *= rate`` or ``g[...] = ...``."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def step(self, theta: Array, g: Array, s: Views, t: int, rate: float) -> None:
        """Move the parameters: `update`, then theta <- theta - g. Afterwards g holds anything."""
        self.update(g, s, t, rate)
        np.subtract(theta, g, out=theta)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with classical or Nesterov momentum mu.

    u <- mu u + eta g;  step = u, or mu u + eta g in Nesterov's form. With mu = 0 the step is eta g.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).

    Parameters
    ----------
    learning_rate : float, default=0.1
        eta, more than 0.
    momentum : float, default=0.0
        mu, from 0 to 1.
    nesterov : bool, default=False
        Whether to use Nesterov's form; makes no difference without momentum.
    weight_decay : float, default=0.0
        See `Optimizer`; at least 0.
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    fading: ClassVar[tuple[str, ...]] = ("u",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval("momentum", self.momentum, 0.0, 1.0)

    def vectors(self) -> tuple[str, ...]:
        if self.momentum == 0.0:
            return ()
        return ("u", "w") if self.nesterov else ("u",)

    def update(self, g: Array, s: Views, t: int, rate: float) -> None:
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
    """Adaptive moments.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
    step = eta sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).

    The vectors kept are M = m / (1 - b1) and V = v / (1 - b2), which obey M <- b1 M + g and
    V <- b2 V + g^2; the constants left out are in the rate and in eps. That saves two passes in each step.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1 in the form at
    the end of section 2, which is scikit-learn's (its eps is added before the bias correction of v).

    Parameters
    ----------
    learning_rate : float, default=0.001
        eta, more than 0.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the moments, at least 0 and less than 1.
    epsilon : float, default=1e-8
        eps, more than 0.
    weight_decay : float, default=0.0
        See `Optimizer`; at least 0. With it this is AdamW.
    """

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    fading: ClassVar[tuple[str, ...]] = ("M",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval("beta_1", self.beta_1, 0.0, 1.0, open_high=True)
        check_interval("beta_2", self.beta_2, 0.0, 1.0, open_high=True)
        check_interval("epsilon", self.epsilon, 0.0, np.inf, open_low=True, open_high=True)

    def vectors(self) -> tuple[str, ...]:
        return ("M", "V")

    def _folded(self, t: int, rate: float) -> tuple[float, float]:
        """Return eps and the rate with the constants that M and V leave out."""
        b1, b2 = self.beta_1, self.beta_2
        root = (1.0 - b2) ** 0.5
        eps = max(self.epsilon, _TINY) / root
        return eps, rate * (1.0 - b2**t) ** 0.5 / (1.0 - b1**t) * (1.0 - b1) / root

    def update(self, g: Array, s: Views, t: int, rate: float) -> None:
        M, V = s.M, s.V
        eps, eta = self._folded(t, rate)
        M *= self.beta_1
        M += g
        np.square(g, out=g)
        V *= self.beta_2
        V += g
        np.sqrt(V, out=g)
        g += eps
        np.divide(M, g, out=g)
        g *= eta

    def step(self, theta: Array, g: Array, s: Views, t: int, rate: float) -> None:
        if (twin := _fast.kernels) and type(self).update is Adam.update:
            eps, eta = self._folded(t, rate)
            twin.adam(theta, g, s.M, s.V, self.beta_1, self.beta_2, eps, eta)
        elif theta.size > _LARGE and type(self).update is Adam.update:
            for start in range(0, theta.size, _BLOCK):
                part = slice(start, start + _BLOCK)
                super().step(theta[part], g[part], Views(M=s.M[part], V=s.V[part]), t, rate)
        else:
            super().step(theta, g, s, t, rate)


@dataclass(frozen=True)
class AdamW(Adam):
    """`Adam` with decoupled weight decay, 0.01 unless said otherwise.

    W <- (1 - eta weight_decay) W, then Adam's step. With a learning rate that follows a schedule, eta is the
    rate of the step.
    """

    weight_decay: float = 0.01


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "sgd": SGD}
