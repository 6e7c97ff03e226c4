"""
User-defined layer
==================

Layer normalization, with parameters and a buffer, between Dense and ReLU.
"""

import numpy as np
from sklearn.datasets import load_digits

from tinyclf import Adam, Buffer, Dense, Layer, Network, ReLU, train
from tinyclf.gradcheck import check_layer


class LayerNorm(Layer):
    """z = (x - mean) / std over each row, y = a z + c."""

    def parameters(self, n_in, rng):
        return {"a": np.ones(n_in), "c": np.zeros(n_in)}

    def buffers(self, n_in):
        return {"z": Buffer((n_in,)), "std": Buffer((1,))}

    def forward(self, p, t):
        t.std = np.sqrt(t.x.var(axis=1, keepdims=True) + 1e-5)
        t.z = (t.x - t.x.mean(axis=1, keepdims=True)) / t.std
        t.y = p.a * t.z + p.c

    def backward(self, p, g, t):
        g.a, g.c, dz = np.sum(t.dy * t.z, axis=0), np.sum(t.dy, axis=0), t.dy * p.a
        t.dx = (dz - dz.mean(1, keepdims=True) - t.z * np.mean(dz * t.z, 1, keepdims=True)) / t.std


error = check_layer(LayerNorm(), n_in=5)
print(f"relative error of the gradient: {error:.0e} ({'right' if error < 1e-7 else 'WRONG'})")

X, y = load_digits(return_X_y=True)  # pixels 0 to 16, not scaled
for layers in ([Dense(32), ReLU(), Dense(10)], [Dense(32), LayerNorm(), ReLU(), Dense(10)]):
    network = Network(layers, n_in=64, seed=0)
    *_, last = train(network, X, y, optimizer=Adam(0.01), epochs=10, seed=0)
    print(f"loss after 10 epochs {last.loss:.4f}  {network}")
