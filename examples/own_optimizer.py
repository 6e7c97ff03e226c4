"""
User-defined optimizer
======================

RMSprop, which updates all parameters as one flat vector.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from tinyclf import SGD, Dense, Network, Optimizer, OptimizerState, ReLU, train


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v <- rho v + (1 - rho) g^2;  step = eta g / (sqrt(v) + eps) (Hinton's lecture 6e, 2012)."""

    learning_rate: float = 1e-3
    rho: float = 0.9

    def init(self, theta):
        return OptimizerState(v=np.zeros_like(theta))

    def update(self, g, s, rate):
        s.v = self.rho * s.v + (1 - self.rho) * g**2
        g *= rate / (np.sqrt(s.v) + 1e-8)


X, y = load_digits(return_X_y=True)
for optimizer in (SGD(0.1), RMSprop(0.002)):
    network = Network([Dense(32), ReLU(), Dense(10)], n_in=64, seed=0)
    *_, last = train(network, X / 16, y, optimizer=optimizer, epochs=20, seed=0)
    print(f"loss after {last.index} epochs {last.loss:.4f}  {optimizer}")
