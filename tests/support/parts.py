"""The table of all layers, losses and optimizers; every generic test runs over it."""

from dataclasses import dataclass

import numpy as np

from tinyclf import (
    GELU,
    SGD,
    SKLEARN_DEFAULTS,
    Adam,
    AdamW,
    Buffer,
    Dense,
    Dropout,
    Identity,
    Layer,
    Logistic,
    Loss,
    MemberDense,
    MemberLoss,
    Optimizer,
    OptimizerState,
    ReLU,
    SharedDense,
    SigmoidCrossEntropy,
    SiLU,
    SoftmaxCrossEntropy,
    Tanh,
    softmax,
)
from tinyclf.nn.initializers import he_normal
from tinyclf.teaching.naive_losses import LOSSES as LESSON_LOSSES

PLAIN = {
    name: SKLEARN_DEFAULTS[name]
    for name in (
        "batch_size",
        "learning_rate",
        "learning_rate_init",
        "max_iter",
        "validation_fraction",
        "scale_inputs",
        "calibrate",
        "refit",
        "n_members",
    )
}
"""Plain training: what the defaults add (scaling, schedule, calibration, refit, members) is switched off."""


class Swish(Layer):
    """A student's activation: no buffers, reads x."""

    def forward(self, p, t):
        t.y = t.x / (1 + np.exp(-t.x))

    def backward(self, p, g, t):
        s = 1 / (1 + np.exp(-t.x))
        t.dx = t.dy * s * (1 + t.x * (1 - s))


class PReLU(Layer):
    """A student's layer: a parameter that is not regularized."""

    def parameters(self, n_in, rng):
        return {"a": np.full(n_in, 0.25)}

    def forward(self, p, t):
        t.y = np.where(t.x > 0, t.x, p.a * t.x)

    def backward(self, p, g, t):
        g.a = np.sum(np.where(t.x > 0, 0, t.dy * t.x), axis=0)
        t.dx = np.where(t.x > 0, t.dy, p.a * t.dy)


class LayerNorm(Layer):
    """A student's layer with parameters and a buffer: z = (x - mean) / std of each row, y = a z + c."""

    def parameters(self, n_in, rng):
        return {"a": np.ones(n_in), "c": np.zeros(n_in)}

    def buffers(self, n_in):
        return {"z": Buffer((n_in,)), "std": Buffer((1,))}

    def forward(self, p, t):
        t.std = np.sqrt(t.x.var(axis=1, keepdims=True) + 1e-5)
        t.z = (t.x - t.x.mean(axis=1, keepdims=True)) / t.std
        t.y = p.a * t.z + p.c

    def backward(self, p, g, t):
        g.a = np.sum(t.dy * t.z, axis=0)
        g.c = np.sum(t.dy, axis=0)
        dz = t.dy * p.a
        t.dx = (dz - dz.mean(axis=1, keepdims=True) - t.z * np.mean(dz * t.z, axis=1, keepdims=True)) / t.std


class Brier(Loss):
    """A student's loss."""

    def rows(self, z, y, dz, t):
        p = softmax(z)
        r = p - np.eye(z.shape[1])[y]
        dz[...] = 2 * p * (r - np.sum(p * r, axis=1, keepdims=True))
        return np.sum(r * r, axis=1)


class Hinge(Loss):
    """A student's loss with one logit, whose targets are -1 and 1 instead of class codes."""

    def n_outputs(self, n_classes):
        return 1

    def targets(self, y, n, n_outputs):
        return 2.0 * np.asarray(y) - 1.0

    def rows(self, z, y, dz, t):
        margin = 1.0 - y * z[:, 0]
        dz[:, 0] = np.where(margin > 0, -y, 0.0)
        return np.maximum(margin, 0.0)

    def probabilities(self, z):
        p = 1.0 / (1.0 + np.exp(-z))
        return np.concatenate([1.0 - p, p], axis=1)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """A student's optimizer."""

    learning_rate: float = 1e-2
    rho: float = 0.9

    def init(self, theta):
        return OptimizerState(v=np.zeros_like(theta))

    def update(self, g, s, rate):
        s.v = self.rho * s.v + (1 - self.rho) * g**2
        g *= rate / (np.sqrt(s.v) + 1e-8)


LAYERS = [
    Dense(3),
    Dense(4, he_normal),
    Identity(),
    ReLU(),
    Tanh(),
    Logistic(),
    GELU(),
    SiLU(),
    Dropout(0.0),
    Dropout(0.4),
    Swish(),
    PReLU(),
    LayerNorm(),
    SharedDense(3, n_members=2),
    SharedDense(1, he_normal, n_members=3),
    MemberDense(4, n_members=1),
]

LOSSES = [
    SoftmaxCrossEntropy(),
    SoftmaxCrossEntropy(label_smoothing=0.2),
    SigmoidCrossEntropy(),
    SigmoidCrossEntropy(label_smoothing=0.2),
    *(loss for name, loss in LESSON_LOSSES.items() if name != "stable"),
    Brier(),
    MemberLoss(SoftmaxCrossEntropy(), 3),
    MemberLoss(SigmoidCrossEntropy(label_smoothing=0.2), 2),
    MemberLoss(Brier(), 2),
]

OPTIMIZERS = [
    SGD(0.3),
    SGD(0.05, momentum=0.9),
    SGD(0.05, momentum=0.9, nesterov=True),
    Adam(0.02),
    AdamW(0.02, weight_decay=0.1),
    RMSprop(),
]


def n_classes(loss):
    """A number of classes that the loss accepts."""
    if isinstance(loss, MemberLoss):
        return n_classes(loss.loss)
    return 2 if isinstance(loss, SigmoidCrossEntropy) else 4
