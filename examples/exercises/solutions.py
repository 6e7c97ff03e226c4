"""Solutions of the exercises: ``python examples/exercises/check.py solutions``."""

import numpy as np

from tinyclf.teaching import clipped_cross_entropy_grad


def threshold(dtype):
    # exp(x) is finite if it is at most the largest number of the dtype, so x is at most its logarithm.
    return np.log(np.finfo(dtype).max)


def repaired_loss(z, t):
    # -log p_t = log(sum_j exp(d_j)) - d_t with d = z - max z. No exp overflows, no logarithm of 0 occurs, and
    # subtracting the maximum first removes an offset, with which the loss would have fewer correct digits.
    # The largest d is 0 and its exp is 1. A small sum of the others would be lost when added to 1, so apply
    # log1p to the sum of the others. The gradient of this formula is p - y, without a division by p. Where
    # p_t is nearly 1, p_t - 1 has few correct digits; minus the sum of the other p is the same number without
    # a subtraction. In float64, the rounding errors of all steps are too small for the digits of a float32.
    rows = np.arange(len(t))
    d = z - z.max(axis=1, keepdims=True).astype(np.float64)
    losses = log1p_of_the_others(d)[:, 0] - d[rows, t]
    E = np.exp(d)
    gradients = E / E.sum(axis=1, keepdims=True)
    gradients[rows, t] = 0
    gradients[rows, t] = -gradients.sum(axis=1)
    return losses, gradients


def no_gradient_fractions(network, X, y):
    # The gradient through the clip is 0 below eps and above 1 - eps.
    no_gradient = ~clipped_cross_entropy_grad(network.logits(X), y).any(axis=1)
    return [no_gradient[y == digit].mean() for digit in range(10)]


def forgotten(network, X, y):
    # A correctly classified row with p above 1 - eps has a gradient of 0, too, which does no harm. A
    # misclassified row with a gradient of 0 has p below eps, and the network learns nothing from it. If this
    # holds for all rows of a digit, nothing makes the network learn the digit again.
    z = network.logits(X)
    stuck = ~clipped_cross_entropy_grad(z, y).any(axis=1) & (z.argmax(axis=1) != y)
    return [digit for digit in range(10) if stuck[y == digit].mean() > 0.5]


def my_log_softmax(x):
    # d - log(sum_j exp(d_j)) with d = x - max x, and log1p as in repaired_loss. A masked class has d = -inf
    # and exp(d) = 0, so it needs no special case.
    d = x - x.max(axis=-1, keepdims=True)
    return d - log1p_of_the_others(d)


def log1p_of_the_others(d):
    # log(sum_j exp(d_j)) where the largest d_j is 0. Its exp is the 1 in log1p. In a tie, omit only one d_j.
    others = np.exp(d)
    np.put_along_axis(others, d.argmax(axis=-1, keepdims=True), 0, axis=-1)
    return np.log1p(others.sum(axis=-1, keepdims=True))
