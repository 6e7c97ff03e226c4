"""Layers: forward against NumPy and SciPy, backward against finite differences."""

import pickle

import mpmath
import numpy as np
import pytest
import scipy.special

from tests.support.parts import LAYERS, Swish
from tests.support.rounding import assert_same_outputs
from tinyclf import GELU, Dense, Dropout, Identity, Layer, Logistic, Network, ReLU, SiLU, Tanh
from tinyclf.gradcheck import check_layer
from tinyclf.nn.layers import ACTIVATIONS, _fill_with_random_bits

parametrized = pytest.mark.parametrize("layer", LAYERS, ids=repr)


@parametrized
def test_backward_is_the_gradient_of_forward(layer):
    assert check_layer(layer, n_in=5) < 1e-8
    assert check_layer(layer, n_in=1, batch_size=1, seed=1) < 1e-8


@parametrized
def test_layers_can_be_combined_in_any_order(layer):
    # An output must not overwrite an array that a backward pass still reads.
    for other in LAYERS:
        network = Network([Dense(5), layer, other, Dense(2)], n_in=5, dtype="float64", seed=0)
        gradient = analytic_gradient(network)
        in_place = [type(one).in_place for one in network.layers]
        try:
            for one in network.layers:
                type(one).in_place = False
            expected = analytic_gradient(network)
        finally:
            for one, value in zip(network.layers, in_place, strict=True):
                type(one).in_place = value
        np.testing.assert_array_equal(gradient, expected)


def analytic_gradient(network):
    rng = np.random.default_rng(0)
    workspace = network.workspace(7, rng=np.random.default_rng(1))
    tapes = workspace.tapes(7).layers
    network.forward(tapes, rng.normal(size=(7, network.widths[0])))
    tapes[-1].dy = rng.normal(size=(7, network.widths[-1]))
    gradient = np.full_like(network.theta, np.nan)
    network.backward(tapes, network.split(gradient))
    return gradient


@parametrized
def test_a_pickled_layer_keeps_its_repr(layer):
    assert repr(pickle.loads(pickle.dumps(layer))) == repr(layer)
    assert repr(layer).startswith(type(layer).__name__)


def output(layer, x, *, training=False, rng=None):
    network = Network([layer], n_in=x.shape[1], dtype=x.dtype, seed=0)
    rng = rng or np.random.default_rng(0)
    tapes = network.workspace(len(x), training=training, rng=rng).tapes(len(x)).layers
    return network.forward(tapes, x)


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (Identity(), lambda x: x),
        (ReLU(), lambda x: np.where(x > 0, x, 0)),
        (Tanh(), np.tanh),
        (Logistic(), scipy.special.expit),
        (GELU(), lambda x: x * scipy.special.ndtr(x)),
        (SiLU(), lambda x: x * scipy.special.expit(x)),
        (Swish(), lambda x: x * scipy.special.expit(x)),
        (Dropout(0.5), lambda x: x),
    ],
    ids=lambda v: None if callable(v) else repr(v),
)
def test_activations_equal_the_functions_of_their_names(layer, function):
    x = np.linspace(-30, 30, 121).reshape(11, 11)
    before = x.copy()
    np.testing.assert_allclose(output(layer, x), function(x), rtol=1e-14, atol=1e-300)
    np.testing.assert_array_equal(x, before)


def values_and_slopes(layer, x):
    """y and dy/dx of an activation, for a vector x."""
    network = Network(
        [Dense(1), layer], n_in=1, dtype=x.dtype
    )  # dx is computed above a layer with parameters
    tapes = network.workspace(len(x)).tapes(len(x)).layers
    network.parameters[0].W, network.parameters[0].b = [[1.0]], [0.0]
    with np.errstate(all="ignore"):
        y = network.forward(tapes, x[:, None]).copy()
        tapes[-1].dy = np.ones_like(y)
        network.backward(tapes, network.split(np.empty_like(network.theta)))
    return y[:, 0], tapes[-1].dx[:, 0]


def exact_gelu(x):
    if abs(x) > 1000:
        return (x, 1) if x > 0 else (0, 0)
    P = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
    return x * P, P + x * mpmath.npdf(x)


def exact_silu(x):
    s = 1 / (1 + mpmath.exp(-x))
    return x * s, s * (1 + x * (1 - s))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("layer", "exact"), [(GELU(), exact_gelu), (SiLU(), exact_silu)], ids=["GELU", "SiLU"]
)
@mpmath.workdps(50)
def test_smooth_activations_are_accurate_for_numbers_of_any_magnitude(layer, exact, dtype):
    limits = np.finfo(dtype)
    powers = np.arange(np.log10(limits.smallest_subnormal), np.log10(limits.max))
    steps = np.linspace(0, 110 if dtype == "float32" else 750, 150)
    edges = [limits.smallest_subnormal, limits.tiny, limits.max, 37.4, 88.8, 103.9, 709.8, 745.0]
    size = np.concatenate([10.0**powers, steps, steps / 20, edges]).astype(dtype)
    x = np.concatenate([size, -size])
    truth = [exact(mpmath.mpf(float(one))) for one in x]
    eps, tiny = float(limits.eps), float(limits.smallest_subnormal)
    for found, expected in zip(values_and_slopes(layer, x), zip(*truth, strict=True), strict=True):
        assert np.isfinite(found).all()
        for one, number, t in zip(x, found.tolist(), expected, strict=True):
            unit = eps * abs(float(t)) + tiny
            if layer.__class__ is GELU and dtype == "float64":  # as documented
                unit = 3e-13 / 4 * abs(float(t)) + 1e-305
            # Near its zero, the slope is a difference of numbers below 0.3.
            assert abs(mpmath.mpf(number) - t) <= 4 * unit + eps / 4 * (abs(one) < 2), one


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [GELU(), SiLU()], ids=repr)
def test_smooth_activations_of_infinite_numbers_are_the_limits(layer, dtype):
    y, slope = values_and_slopes(layer, np.array([np.inf, -np.inf, np.nan, 0.0], dtype))
    np.testing.assert_array_equal(y, [np.inf, 0.0, np.nan, 0.0])
    np.testing.assert_allclose(slope, [1.0, 0.0, np.nan, 0.5], rtol=1e-6 if dtype == "float32" else 1e-15)


def test_logistic_saturates_without_a_warning():
    assert output(Logistic(), np.array([[-700.0, 700.0]])).tolist() == [[pytest.approx(0, abs=1e-300), 1.0]]
    network = Network([Logistic()], n_in=2)
    assert network.logits(np.array([[-1e6, 1e6]])).tolist() == [[0.0, 1.0]]


def test_dense_is_an_affine_map():
    rng = np.random.default_rng(0)
    network = Network([Dense(3)], n_in=4, dtype="float64")
    W, b, X = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(6, 4))
    network.parameters[0].W = W
    network.parameters[0].b = b
    assert_same_outputs(network.logits(X), X @ W + b, network, X)


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox])
@pytest.mark.parametrize("rate", [0.3, 0.5, 0.9])
def test_dropout_keeps_the_expectation_and_drops_units_at_the_rate(rate, bits):
    x = np.ones((1000, 100))
    y = output(Dropout(rate), x, training=True, rng=np.random.Generator(bits(0)))
    assert np.unique(y) == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-4)
    dropped = y == 0
    assert abs(dropped.mean() - rate) < 0.005
    assert abs(y.mean() - 1) < 0.03
    # Units whose bits come from one random word, and neighboring units, are independent.
    for one, other in ((dropped[:, ::4], dropped[:, 1::4]), (dropped[:, 3:-1:4], dropped[:, 4::4])):
        assert abs((one & other).mean() - rate**2) < 0.01


@pytest.mark.parametrize(("rate", "rounded"), [(0.0, 0.0), (1e-9, 0.0), (1 - 1e-9, 1 - 2**-16)])
def test_dropout_rounds_its_rate_to_16_bits_and_stays_finite(rate, rounded):
    y = output(Dropout(rate), np.ones((1000, 100), "float32"), training=True)
    assert set(np.unique(y)) <= {0.0, 1 / (1 - rounded)}
    assert abs((y == 0).mean() - rounded) < 1e-4


@pytest.mark.parametrize("size", [1, 7, 100_001])
def test_dropout_uses_the_raw_words_of_the_random_generator(size):
    bits = np.zeros(size, np.uint16)
    _fill_with_random_bits(bits, np.random.Generator(np.random.PCG64(3)))
    # Each block begins with a new word; the length of a block, 32,768, is a multiple of four.
    words = np.random.PCG64(3).random_raw(-(-size // 4))
    np.testing.assert_array_equal(bits, words.view(np.uint16)[:size])


@pytest.mark.parametrize("rate", [-0.1, 1.0, np.nan])
def test_the_dropout_rate_must_be_at_least_zero_and_below_one(rate):
    with pytest.raises(ValueError, match="dropout rate"):
        Dropout(rate)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Dense(0), ValueError, "units of Dense must be at least 1, got 0"),
        (lambda: Dense(-1), ValueError, "got -1"),
        (lambda: Dense(2.0), TypeError, "whole number, got 2.0"),
        (lambda: Dense(True), TypeError, "got True"),
        (lambda: Dense("3"), TypeError, "got '3'"),
        (lambda: Dense(3, "he_normal"), TypeError, "init must be a function.*got 'he_normal'"),
        (lambda: Dropout("0.5"), TypeError, "dropout rate must be a number, got '0.5'"),
    ],
)
def test_invalid_hyperparameters_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_activations_have_the_names_of_scikit_learn_and_pytorch():
    assert set(ACTIVATIONS) == {"identity", "logistic", "relu", "tanh", "gelu", "silu", "swish"}
    assert type(ACTIVATIONS["swish"]) is type(ACTIVATIONS["silu"]) is SiLU


def test_a_layer_without_its_methods_raises_not_implemented_error():
    with pytest.raises(NotImplementedError, match="Layer must define forward"):
        output(Layer(), np.ones((1, 1)))
    with pytest.raises(NotImplementedError, match="Layer must define backward"):
        Layer().backward(None, None, None)
