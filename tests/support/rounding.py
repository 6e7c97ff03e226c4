"""Tolerances that follow from the magnitudes that were added, and not from the result.

A sum of n terms that is computed in another order, as by another matrix product, differs by at most
n eps times the sum of the absolute terms. Beside a result that cancels, this is more than any relative
tolerance allows.
"""

import numpy as np

from tinyclf import Dense


def assert_same_sum(found, expected, magnitude, terms):
    """Compare sums of so many terms; magnitude is the sum of their absolute values."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    bound = terms * np.finfo(found.dtype).eps * np.asarray(magnitude)
    difference = np.abs(found - expected)
    worst = np.argmax(difference - bound)
    message = f"{found.flat[worst]!r} and {expected.flat[worst]!r} differ by more than rounding"
    assert (difference <= bound).all(), message


def assert_same_logits(found, expected, network, X):
    """Compare logits of a network whose layers neither stretch their input nor, but for Dense, mix it.

    The absolute values of rows, weights and biases, multiplied and added like themselves, are an
    upper bound of all terms that enter a logit.
    """
    magnitude, terms = np.abs(X), 0
    for layer, p in zip(network.layers, network.parameters, strict=True):
        terms += 2  # a rounding of the bias, one of the activation
        if isinstance(layer, Dense):
            magnitude = magnitude @ np.abs(p.W) + np.abs(p.b)
            terms += len(p.W)
    assert_same_sum(found, expected, magnitude, terms)
