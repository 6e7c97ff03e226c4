"""Passes: their calls compute what the layers compute one by one."""

import numpy as np
import pytest
import scipy.sparse

from tests.support.loops import computing_with
from tests.support.rounding import assert_same_sum
from tinyclf import Dense, Identity, Layer, MemberDense, Network, ReLU, SharedDense, Tanh
from tinyclf.nn.passes import bound


@pytest.fixture(params=["NumPy", "compiled"])
def compiled(request):
    """Whether the compiled loops are used."""
    with computing_with(request.param) as loops:
        yield loops is not None


class Doubled(Dense):
    """A student's layer: Dense, times two."""

    def forward(self, p, t):
        super().forward(p, t)
        t.y *= 2.0

    def backward(self, p, g, t):
        t.dy *= 2.0
        super().backward(p, g, t)


class Scaled(Dense):
    """A student's layer that overrides the product only."""

    def product(self, p, t):
        super().product(p, t)
        t.y *= 2.0

    def product_backward(self, p, g, t):
        super().product_backward(p, g, t)
        g.W *= 2.0
        if t.dx is not None:
            t.dx *= 2.0


class Leaky(ReLU):
    """A student's activation."""

    def forward(self, p, t):
        t.y = np.where(t.x > 0, t.x, 0.1 * t.x)

    def backward(self, p, g, t):
        t.dx = t.dy * np.where(t.y > 0, 1.0, 0.1)


class Kept(Dense):
    """A student's layer whose output must not be overwritten by the next layer."""

    reads_y = True


class NotInPlace(ReLU):
    in_place = False


FIRST = SharedDense(5, n_members=2)
NETWORKS = {
    "dense": [Dense(6), ReLU(), Dense(5), ReLU(), Dense(3)],
    "no activation": [Dense(6), Dense(3)],
    "activation first": [ReLU(), Identity(), Dense(4), Tanh(), Dense(3)],
    "activation last": [Dense(3), ReLU()],
    "two activations": [Dense(6), ReLU(), ReLU(), Tanh(), Dense(3)],
    "members": [FIRST, ReLU(), MemberDense(4, n_members=2), ReLU(), MemberDense(3, n_members=2)],
    "one unit per member": [SharedDense(5, n_members=3), ReLU(), MemberDense(1, n_members=3)],
    "user-defined": [Doubled(6), ReLU(), Scaled(5), ReLU(), Dense(4), Leaky(), Dense(3)],
    "output kept": [Kept(6), ReLU(), Dense(3)],
    "not in place": [Dense(6), NotInPlace(), Dense(3)],
}


def one_by_one(network, tapes, gradient, x):
    network.forward(tapes, x)
    return lambda: network.backward(tapes, network.split(gradient))


def by_calls(network, tapes, gradient, x):
    forward, backward = bound(network.layers, network.parameters, network.split(gradient), tapes)
    tapes[0].bind(x=x)
    for call in forward:
        call()

    def run_backward():
        for call in backward:
            call()

    return run_backward


def computed(layers, dtype, run, n, x=None):
    """Logits and gradient for n rows."""
    network = Network(layers, 7, dtype=dtype, seed=0)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 7)).astype(dtype) if x is None else x
    tapes = network.workspace(9).tapes(n).layers
    gradient = np.full_like(network.theta, np.nan)
    # As in training: BLAS may set the flag of an invalid operation for numbers that it does not use.
    with np.errstate(all="ignore"):
        backward = run(network, tapes, gradient, x)
        z = tapes[-1].y.copy()
        tapes[-1].dy[...] = rng.normal(size=z.shape)
        backward()
    return z, gradient


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 4, 9])
@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_the_calls_compute_what_the_layers_compute_one_by_one(layers, n, dtype, compiled):
    z, gradient = computed(layers, dtype, by_calls, n)
    expected_z, expected = computed(layers, dtype, one_by_one, n)
    assert np.isfinite(z).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(z, expected_z)
    if compiled:  # the sum over the rows, of at most 9 numbers below 50, is computed in another order
        assert_same_sum(gradient, expected, magnitude=50.0, terms=9)
    else:
        np.testing.assert_array_equal(gradient, expected)


def test_a_dense_layer_and_relu_take_two_calls_in_each_pass():
    network = Network(NETWORKS["dense"], 7, seed=0)
    gradient = network.split(np.empty_like(network.theta))
    calls = bound(network.layers, network.parameters, gradient, network.workspace(4).tapes(4).layers)
    assert [len(passes) for passes in calls] == [6, 6]


def test_the_first_layer_reads_sparse_rows(compiled):
    x = scipy.sparse.random_array(
        (5, 7), density=0.3, format="csr", dtype="float32", rng=np.random.default_rng(0)
    )
    layers = NETWORKS["dense"]
    z, gradient = computed(layers, "float32", by_calls, 5, x)
    expected_z, expected = computed(layers, "float32", by_calls, 5, x.toarray())
    np.testing.assert_allclose(z, expected_z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)


def test_nan_and_infinite_outputs_stay_so(compiled):
    x = np.ones((3, 7), "float32")
    x[0], x[1] = np.nan, np.inf
    z, gradient = computed(NETWORKS["dense"], "float32", by_calls, 3, x)
    expected_z, expected = computed(NETWORKS["dense"], "float32", one_by_one, 3, x)
    np.testing.assert_array_equal(z, expected_z)
    assert np.isnan(z[0]).all()
    np.testing.assert_array_equal(np.isnan(gradient), np.isnan(expected))


def test_a_layer_of_a_user_that_returns_its_output_is_refused():
    class Returning(Layer):
        def forward(self, p, t):
            return t.x * 2.0

        def backward(self, p, g, t):
            t.dx = t.dy

    class ReturningBackward(Layer):
        def forward(self, p, t):
            t.y = t.x

        def backward(self, p, g, t):
            return t.dy

    for layer, method in ((Returning(), "forward"), (ReturningBackward(), "backward")):
        with pytest.raises(TypeError, match=rf"{type(layer).__name__}.{method} must write its result"):
            computed([Dense(3), layer, Dense(3)], "float32", by_calls, 4)
