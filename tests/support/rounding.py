"""Tolerances that follow from the magnitudes that were added, and not from the result.

A sum of n terms that is computed in another order, as by another matrix product, differs by at most
n eps times the sum of the absolute terms. Beside a result that cancels, this is more than a relative
tolerance allows.
"""

import numpy as np

from tinyclf import Dense


def assert_same_sum(found, expected, magnitude, terms):
    """Compare sums of so many terms; magnitude is the sum of their absolute values."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    bound = terms * np.finfo(found.dtype).eps * np.broadcast_to(magnitude, found.shape)
    excess = np.abs(found - expected) - bound
    worst = np.unravel_index(np.argmax(excess), found.shape)
    assert (excess <= 0).all(), (
        f"entry {worst} is {found[worst]!r} instead of {expected[worst]!r}; rounding explains a difference "
        f"of {bound[worst]:.2g}"
    )


def assert_same_outputs(found, expected, network, X, layers=None):
    """Compare logits, or the outputs of the first layers, if all activations have a slope of at most 1.

    The absolute values of rows, weights and biases, multiplied and added like themselves, bound all
    terms that enter an output.
    """
    magnitude, terms = np.abs(X), 0
    for layer, p in list(zip(network.layers, network.parameters, strict=True))[:layers]:
        terms += 2  # the roundings of the bias and of the activation
        if isinstance(layer, Dense):
            magnitude = magnitude @ np.abs(p.W) + np.abs(p.b)
            terms += len(p.W)
    assert_same_sum(found, expected, magnitude, terms)
