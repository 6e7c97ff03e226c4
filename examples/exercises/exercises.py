"""Exercises of the lesson: fill in the functions, then run ``python examples/exercises/check.py``."""

import numpy as np


def threshold(dtype):
    """Exercise 1: predict the logit at which the naive loss dies.

    Return the largest x for which exp(x) is finite in ``dtype``, which is np.float16, np.float32 or
    np.float64. Take it from ``np.finfo(dtype)``, without trying values. A few units in the last place do not
    matter.
    """
    raise NotImplementedError


def naive_loss(z, t):
    """Compute loss and gradient of each row as written. Nothing to fill in: this is what is broken.

    z are logits (n, k), t the true classes (n,). The gradient is that of the chain rule.
    """
    rows = np.arange(len(t))
    E = np.exp(z)
    p = E / E.sum(axis=1, keepdims=True)
    dp = np.zeros_like(p)
    dp[rows, t] = -1 / p[rows, t]
    return -np.log(p[rows, t]), p * (dp - np.sum(p * dp, axis=1, keepdims=True))


def repaired_loss(z, t):
    """Exercise 2: repair ``naive_loss``, the loss and the gradient.

    Return both, (n,) and (n, k), right for any finite logits: ordinary ones, large ones, and rows that are
    so right that their loss is tiny, as 2.06e-09 for float32 logits [20, 0] of class 0. Clipping is not a
    repair. ``naive_loss`` takes a logarithm of a softmax; the repaired function takes none.
    """
    raise NotImplementedError


def silent_shares(network, X, y):
    """Exercise 3, first part: to how much of each digit does the clipped loss give no gradient?

    ``network`` was trained with the clipped loss; ``network.logits(X)`` is (n, 10), y are the digits (n,).
    Return ten numbers: of the rows of each digit, the share whose gradient is all zeros. Take the gradient
    from ``tinyclf.teaching.clipped_cross_entropy_grad(logits, y)``.
    """
    raise NotImplementedError


def forgotten(network, X, y):
    """Exercise 3, second part: which digits has the network forgotten, and cannot learn again?

    Return a list of the digits of whose rows more than half get no gradient although the network gets them
    wrong. The shares of the first part do not tell: look at what they are for digits that it knows, and why.
    """
    raise NotImplementedError


def my_log_softmax(x):
    """Exercise 4: write log-softmax along the last axis of x (n, k), float32 or float64.

    A logit may be -inf, which masks a class: its log-softmax is -inf. No other result may be inf or nan
    unless it is too large for the type, and small results must be right, too: the one nearest to 0 in a
    row is the loss of a row that is right.
    """
    raise NotImplementedError
