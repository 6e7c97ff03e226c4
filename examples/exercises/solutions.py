"""Solutions of the exercises: ``python examples/exercises/check.py solutions``."""

import numpy as np

from tinyclf.teaching import clipped_cross_entropy_grad


def threshold(dtype):
    # exp(x) is finite as long as it is at most the largest float, so x is at most its logarithm.
    return np.log(np.finfo(dtype).max)


def repaired_loss(z, t):
    # -log p_t = log(sum_j exp(d_j)) - d_t with d = z - max z: no exp overflows, no logarithm sees a 0, and no
    # offset is left that could swallow the digits of the loss. The largest d is 0 and its exp is 1, which
    # would swallow a small sum of the others: so log1p of the others alone. The derivative of this formula
    # is p - y, without a division by a p that may be 0, and without a place where it ends.
    rows = np.arange(len(t))
    d = z - z.max(axis=1, keepdims=True)
    losses = log1p_of_the_others(d)[:, 0] - d[rows, t]
    E = np.exp(d)
    gradients = E / E.sum(axis=1, keepdims=True)
    gradients[rows, t] -= 1
    return losses, gradients


def silent_shares(network, X, y):
    # A clip passes no gradient below eps, nor above 1 - eps.
    silent = ~clipped_cross_entropy_grad(network.logits(X), y).any(axis=1)
    return [silent[y == digit].mean() for digit in range(10)]


def forgotten(network, X, y):
    # Rows that are right are silent, too, once p is above 1 - eps: that is no harm. A row that is wrong and
    # silent has p below eps; nothing pushes it back, and if all rows of a digit are so, it is gone for good.
    z = network.logits(X)
    lost = ~clipped_cross_entropy_grad(z, y).any(axis=1) & (z.argmax(axis=1) != y)
    return [digit for digit in range(10) if lost[y == digit].mean() > 0.5]


def my_log_softmax(x):
    # d - log(sum_j exp(d_j)) with d = x - max x; log1p for the reason that repaired_loss gives. A masked
    # class has d = -inf and exp(d) = 0, which needs no care.
    d = x - x.max(axis=-1, keepdims=True)
    return d - log1p_of_the_others(d)


def log1p_of_the_others(d):
    # log(sum_j exp(d_j)), where one d_j is 0: that one, and only one in a tie, is the 1 of log1p.
    others = np.exp(d)
    np.put_along_axis(others, d.argmax(axis=-1, keepdims=True), 0, axis=-1)
    return np.log1p(others.sum(axis=-1, keepdims=True))
