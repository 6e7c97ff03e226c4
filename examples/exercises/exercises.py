"""Exercises of the lesson: complete the functions, then run ``python examples/exercises/check.py``."""

import numpy as np


def threshold(dtype):
    """Exercise 1: compute the logit above which the naive loss overflows.

    Return the largest x for which exp(x) is finite in ``dtype``, which is np.float16, np.float32 or
    np.float64. Compute it from ``np.finfo(dtype)``, without a search. An error of a few units in the last
    place is accepted.
    """
    raise NotImplementedError


def naive_loss(z, t):
    """Compute the loss and the gradient of each row as the formula is written.

    z are the logits (n, k), t the true classes (n,). The gradient is computed by the chain rule. Do not
    change this function: write the repaired one below.
    """
    rows = np.arange(len(t))
    E = np.exp(z)
    p = E / E.sum(axis=1, keepdims=True)
    dp = np.zeros_like(p)
    dp[rows, t] = -1 / p[rows, t]
    return -np.log(p[rows, t]), p * (dp - np.sum(p * dp, axis=1, keepdims=True))


def repaired_loss(z, t):
    """Exercise 2: write a repaired version of ``naive_loss``, with an accurate loss and gradient.

    Return the losses (n,) and the gradients (n, k). ``naive_loss`` takes the logarithm of a softmax; your
    function must not. Clipping is not accepted. For float32 logits, the verdict of the audit must be "exact":
    all errors are at most one unit in the last place, also for large logits, and for confident correct rows
    with a tiny loss, such as 2.06e-09 for the logits [20, 0] of class 0. This command shows all faults:

        python -m tinyclf audit examples/exercises/exercises.py:repaired_loss --dtype float32
    """
    raise NotImplementedError


def no_gradient_fractions(network, X, y):
    """Exercise 3, part 1: for which fraction of each digit's rows is the gradient of the clipped loss 0?

    ``network`` was trained with the clipped loss; ``network.logits(X)`` are the logits (n, 10), y the digits
    (n,).
    Return ten numbers: for each digit, the fraction of its rows whose gradient is 0 in all ten logits.
    Compute the gradient with ``tinyclf.teaching.clipped_cross_entropy_grad(logits, y)``.
    """
    raise NotImplementedError


def forgotten(network, X, y):
    """Exercise 3, part 2: which digits has the network forgotten?

    A digit is forgotten if more than half of its rows are misclassified and have a gradient of 0, so that
    the network learns nothing from them. Return a list of these digits. The fractions of part 1 are not
    sufficient: compare them with those of digits that the network classifies correctly, and explain the
    difference.
    """
    raise NotImplementedError


def my_log_softmax(x):
    """Exercise 4: write log-softmax along the last axis of x (n, k), float32 or float64.

    A logit of -inf masks a class: its log-softmax is -inf. No other result may be inf or nan, unless it is
    too large for the dtype. Results near 0 must be accurate, too: minus such a result is the loss of a row
    that is classified correctly.
    """
    raise NotImplementedError
