"""Initializers: the distributions of the initial weights."""

import numpy as np

from tinyclf.nn.initializers import glorot_uniform, glorot_uniform_logistic, he_normal


def test_initial_weights_have_the_published_distributions():
    n_in, n_out = 400, 600
    for init, r in [(glorot_uniform, np.sqrt(6 / 1000)), (glorot_uniform_logistic, np.sqrt(2 / 1000))]:
        W, b = init(np.random.default_rng(0), n_in, n_out)
        assert W.shape == (n_in, n_out)
        assert b.shape == (n_out,)
        assert 0.99 * r < np.abs(W).max() <= r
        assert 0.9 * r < np.abs(b).max() <= r
        np.testing.assert_allclose(W.std(), r / np.sqrt(3), rtol=0.01)
    W, b = he_normal(np.random.default_rng(0), n_in, n_out)
    assert abs(W.mean()) < 1e-3
    np.testing.assert_allclose(W.std(), np.sqrt(2 / n_in), rtol=0.01)
    assert not b.any()
