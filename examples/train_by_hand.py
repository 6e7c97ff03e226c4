"""
Training without the estimator
==============================

Train a network by gradient descent on all rows, then on mini-batches with Adam.
"""

import numpy as np
from sklearn.datasets import load_digits

from tinyclf import SGD, Adam, Dense, Network, ReLU, train

X, y = load_digits(return_X_y=True)
X /= 16.0
order = np.random.default_rng(0).permutation(len(X))
training, test = order[:1400], order[1400:]


def accuracy(network):
    return (network.logits(X[test]).argmax(axis=1) == y[test]).mean()


print("Full-batch gradient descent: one step per epoch.")
network = Network([Dense(32), ReLU(), Dense(10)], n_in=64, seed=0)
for epoch in train(network, X[training], y[training], optimizer=SGD(0.5), epochs=200, batch_size=1400):
    if epoch.index % 50 == 0:
        print(f"  {epoch}, test accuracy {accuracy(network):.3f}")

print("Mini-batches of 32 with Adam: 44 steps per epoch.")
network = Network([Dense(32), ReLU(), Dense(10)], n_in=64, seed=0)
for epoch in train(network, X[training], y[training], optimizer=Adam(0.005), epochs=20, seed=0):
    if epoch.index % 5 == 0:
        print(f"  {epoch}, test accuracy {accuracy(network):.3f}")
