"""Kernels: compiled loops equal NumPy up to rounding, are as exact in the loss, and can be switched off.

The loops run as plain Python, and also compiled if numba is installed.
"""

import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinyclf
from tests.support.interrupts import traced
from tests.support.loops import TYPES, computing_with, switched_off
from tests.support.rounding import assert_same_sum
from tests.support.ulps import SHAPES_OF_LOGITS, check, logits_of, softmax_truth
from tinyclf import (
    SGD,
    Adam,
    AdamW,
    Dense,
    Dropout,
    MemberDense,
    MemberLoss,
    Network,
    ReLU,
    SharedDense,
    SigmoidCrossEntropy,
    SiLU,
    SoftmaxCrossEntropy,
    TinyClassifier,
    train,
)
from tinyclf.nn import _loops, kernels
from tinyclf.nn.objective import Objective

LOSSES = [SoftmaxCrossEntropy(), SigmoidCrossEntropy()]


@pytest.fixture(params=["as Python", "compiled"], autouse=True)
def loops(request):
    """Use the loops, as Python or compiled."""
    with computing_with(request.param) as used:
        yield used


def run_layers(activation):
    """Logits and gradient of a batch with nan and inf."""
    rng = np.random.default_rng(0)
    network = Network([Dense(5), activation, Dense(3)], 4, seed=0)
    workspace = network.workspace(7, rng=np.random.default_rng(0))
    tapes = workspace.tapes(6).layers
    X = rng.normal(size=(6, 4)).astype("float32")
    X[0], X[1] = np.nan, np.inf
    with np.errstate(all="ignore"):
        z = network.forward(tapes, X).copy()
        tapes[-1].dy = rng.normal(size=z.shape)
        tapes[-1].dy[2] = np.inf
        gradient = np.full_like(network.theta, np.nan)
        network.backward(tapes, network.split(gradient))
    return z, tapes[0].y.copy(), tapes[0].dy.copy(), gradient


class NotInPlace(ReLU):
    in_place = False


@pytest.mark.parametrize("activation", [ReLU(), NotInPlace(), Dropout(0.3)], ids=repr)
def test_layers_give_the_same_bits_as_numpy(activation):
    for ours, numpys in zip(run_layers(activation), switched_off(run_layers, activation), strict=True):
        np.testing.assert_array_equal(ours, numpys)


class SiLUNotInPlace(SiLU):
    in_place = False


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("layer", [SiLU(), SiLUNotInPlace()], ids=repr)
def test_silu_equals_that_of_numpy(layer, dtype):
    x = np.concatenate([np.linspace(-120, 120, 400), 10.0 ** np.arange(-40, 38), [np.inf, -np.inf, np.nan]])
    x = x.reshape(-1, 13).astype(dtype)

    def evaluated():
        network = Network([Dense(13), layer], 13, dtype=dtype, seed=0)
        tapes = network.workspace(len(x)).tapes(len(x)).layers
        tapes[1].x[...] = x
        with np.errstate(all="ignore"):
            layer.forward(network.parameters[1], tapes[1])
        return np.stack([tapes[1].y, tapes[1].slope])

    rtol, atol = 4 * float(np.finfo(dtype).eps), 2 * float(np.finfo(dtype).smallest_subnormal)
    np.testing.assert_allclose(evaluated(), switched_off(evaluated), rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [Adam(0.01), Adam(0.5, 0.5, 0.9, 1e-3), AdamW(0.1)], ids=repr)
def test_a_hundred_steps_of_adam_equal_those_of_numpy(optimizer, dtype):
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=33) * 10.0 ** rng.integers(-6, 6, size=33) for _ in range(100)]

    def stepped():
        theta = np.zeros(33, dtype)
        s = optimizer.init(theta)
        for g in gradients:
            optimizer.step(theta, g.astype(dtype), s, optimizer.learning_rate)
        return np.concatenate([theta, s.M, s.V])

    largest = np.max(np.abs(gradients), axis=0)
    magnitude = np.concatenate([np.full(33, 100 * optimizer.learning_rate), largest, largest**2])
    assert_same_sum(stepped(), switched_off(stepped), magnitude, terms=100)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_penalty_equals_that_of_numpy(dtype):
    rng = np.random.default_rng(0)
    network = Network([Dense(50)], 30, dtype=dtype, seed=0)
    objective = Objective(network, np.ones((2, 30)), [0, 1], loss=SoftmaxCrossEntropy(), batch_size=2)
    results = []
    for evaluate in (objective.add_penalty, lambda strength: switched_off(objective.add_penalty, strength)):
        objective.gradient[...] = np.random.default_rng(0).normal(size=network.theta.size)
        results.append(np.append(objective.gradient, evaluate(0.3)))
    W = network.regularized.astype("float64")
    added = np.abs(np.random.default_rng(0).normal(size=network.theta.size))
    added[: W.size] += 0.3 * np.abs(W)
    assert_same_sum(results[0][:-1].astype(dtype), results[1][:-1].astype(dtype), added, terms=2)
    assert results[0][-1] == pytest.approx(results[1][-1], rel=100 * float(np.finfo(dtype).eps))
    assert results[0][-1] == pytest.approx(0.15 * np.sum(W * W), rel=100 * float(np.finfo(dtype).eps))
    untouched = rng.normal(size=network.theta.size)[W.size :]
    np.testing.assert_allclose(results[0][W.size : -1], untouched, rtol=1e-6)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (200, 10), (7, 33)])
def test_bias_and_relu_in_one_pass_give_the_same_bits_as_in_two(shape, dtype):
    rng = np.random.default_rng(0)
    given, b = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1]).astype(dtype)
    given.flat[0] = np.nan
    y, dy = given.copy(), rng.normal(size=shape).astype(dtype)
    zeros, active = np.zeros_like(y), np.empty(shape, bool)
    kernels.add_bias_relu(y, b, zeros)
    np.testing.assert_array_equal(y, np.where(given + b > 0, given + b, np.where(np.isnan(given), np.nan, 0)))
    masked, db = dy.copy(), np.full_like(b, np.nan)
    kernels.relu_backward_bias(masked, y, db, np.ones(len(y), dtype), zeros, active)
    np.testing.assert_array_equal(masked, np.where(y > 0, dy, 0))
    magnitude = np.abs(masked).sum(axis=0, dtype=np.float64)
    assert_same_sum(db, masked.sum(axis=0, dtype=np.float64).astype(dtype), magnitude, terms=len(y) + 1)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize(
    "special", [[], [-300.0], [np.inf], [-np.inf], [np.nan], [np.inf, np.nan], [-np.nan]]
)
def test_the_largest_magnitude_is_that_of_numpy_and_nan_if_an_entry_is(special, dtype):
    rng = np.random.default_rng(0)
    for n, k in ((1, 1), (32, 10), (7, 33)):
        z = rng.normal(size=(n, k)).astype(dtype)
        z.ravel()[: len(special)] = special[: n * k]
        found = kernels.largest_magnitude(z, np.empty_like(z))
        np.testing.assert_array_equal(found, float(np.abs(z).max()))
    assert kernels.largest_magnitude(np.zeros((2, 3), dtype), np.empty((2, 3), dtype)) == 0.0


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("units", [1, 4, 33])
def test_scaled_rows_are_products_of_factors_and_weights_and_their_gradients_are_sums_of_products(
    units, dtype
):
    rng = np.random.default_rng(0)
    r, W, G = (rng.normal(size=shape).astype(dtype) for shape in ((3, 5), (5, units), (5, 3, units)))
    out, dW, dr = (np.full(shape, np.nan, dtype) for shape in (G.shape, W.shape, r.shape))

    def check_gradients(dW, dr):
        for i in range(5):
            terms = r[:, i, None].astype(np.float64) * G[i]
            assert_same_sum(dW[i], terms.sum(axis=0).astype(dtype), np.abs(terms).sum(axis=0), terms=3)
            terms = G[i].astype(np.float64) * W[i]
            assert_same_sum(dr[:, i], terms.sum(axis=1).astype(dtype), np.abs(terms).sum(axis=1), terms=units)

    kernels.scaled_rows(r, W, out)
    np.testing.assert_array_equal(out, r.T[:, :, None] * W[:, None, :])
    kernels.scaled_rows_backward(G, r, W, dW, dr)
    check_gradients(dW, dr)
    dW[...], dr[...] = np.nan, np.nan
    switched_off(kernels.scaled_rows_backward, G, r, W, dW, dr)
    check_gradients(dW, dr)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 6])
def test_unit_products_and_their_gradients_are_those_of_the_members_one_by_one(n, dtype):
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(n, 3, 20)).astype(dtype), rng.normal(size=(3, 20)).astype(dtype)
    dy = rng.normal(size=(n, 3)).astype(dtype)
    y, dW, dx, scratch = (np.full(shape, np.nan, dtype) for shape in ((n, 3), (3, 20), x.shape, (3, 60)))
    kernels.unit_products(x, W, y)
    kernels.unit_products_backward(x, W, dy, dW, dx, scratch)
    for m in range(3):
        assert_same_sum(y[:, m], x[:, m] @ W[m], np.abs(x[:, m]) @ np.abs(W[m]), terms=20)
        assert_same_sum(dW[m], dy[:, m] @ x[:, m], np.abs(dy[:, m]) @ np.abs(x[:, m]), terms=n)
        np.testing.assert_array_equal(dx[:, m], np.outer(dy[:, m], W[m]))


def test_no_loop_is_compiled_again_for_the_read_only_rows_of_a_prediction(loops):
    if loops.unit_products is _loops.unit_products:
        pytest.skip("nothing is compiled")
    network = Network([MemberDense(1, n_members=2)], 6, seed=0)
    X = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    X.flags.writeable = False
    np.testing.assert_allclose(network.logits(X), switched_off(network.logits, X), rtol=1e-5, atol=1e-6)
    for name in vars(loops):
        assert len(vars(loops)[name].signatures) <= len(TYPES)


def value_and_grad(loss, z, y):
    n, k = z.shape
    workspace = Network([Dense(k)], 1, dtype=z.dtype).workspace(n, loss=loss)
    dz = np.full_like(z, np.nan)
    with np.errstate(all="ignore"):
        value = loss.value_and_grad(z, loss.targets(y, n, k), None, dz, workspace.tapes(n).loss)
    return value, dz


@given(st.sampled_from(SHAPES_OF_LOGITS), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_loss_and_gradient_of_a_row_are_correctly_rounded(kind, k, seed):
    rng = np.random.default_rng(seed)
    x = logits_of(kind, 1, k, "float32", rng)
    assume(np.isfinite(x).any() and not (np.isnan(x) | (x == np.inf)).any())
    t = int(rng.integers(k))
    with np.errstate(over="ignore"):
        value, dz = value_and_grad(SoftmaxCrossEntropy(), x, [t])
        value = np.float32([value])
    truth = softmax_truth(x[0])
    check("loss", x, value, [-truth.log_p[t]])
    check("gradient", x, dz[0], truth.gradient(t))


@given(st.floats(width=32, allow_nan=False), st.integers(0, 1))
def test_loss_and_gradient_of_one_logit_are_correctly_rounded(z, t):
    x = np.float32([[z]])
    with np.errstate(over="ignore"):
        value, dz = value_and_grad(SigmoidCrossEntropy(), x, [t])
        value = np.float32([value])
    u = mpmath.mpf(z) * (1 - 2 * t)
    check("loss", x, value, [max(u, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(u)))])
    check("gradient", x, dz[0], [(1 - 2 * t) / (1 + mpmath.exp(-u))])


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy()], ids=repr)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_losses_with_weights_and_probabilities_equal_those_of_numpy(loss, weighted, soft):
    rng = np.random.default_rng(0)
    k = 4 if isinstance(loss, SoftmaxCrossEntropy) or soft else 1
    z = rng.normal(size=(5, k)).astype("float32")
    y = loss.targets(rng.dirichlet(np.ones(k), 5) if soft else rng.integers(2, size=5), 5, k)
    w = rng.uniform(0.1, 3.0, 5) if weighted else None
    workspace = Network([Dense(k)], 1).workspace(5, loss=loss)

    def evaluated():
        dz = np.full_like(z, np.nan)
        return np.append(dz, loss.value_and_grad(z, y, w, dz, workspace.tapes(5).loss))

    np.testing.assert_allclose(evaluated(), switched_off(evaluated), rtol=1e-5, atol=1e-7)
    mean = loss.mean(z, y, w)
    assert evaluated()[-1] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_of_a_batch_equal_those_of_numpy(loss, dtype):
    rng = np.random.default_rng(0)
    k = 5 if isinstance(loss, SoftmaxCrossEntropy) else 1
    z = (30.0 * rng.normal(size=(200, k))).astype(dtype)
    z[::2] /= 100
    y = rng.integers(max(k, 2), size=200)
    value, dz = value_and_grad(loss, z, y)
    expected, dz_expected = switched_off(value_and_grad, loss, z, y)
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(dz, dz_expected, rtol=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_loss_of_equal_logits_is_a_logarithm_with_any_number_of_rows_and_classes(loss):
    for n, k in ((1, 2), (300, 2), (256, 20), (3, 3000)):
        if isinstance(loss, SoftmaxCrossEntropy):
            y, expected = np.zeros(n, int), np.log(k)
        else:
            y, expected = np.zeros((n, k)), k * np.log(2.0)
        assert value_and_grad(loss, np.zeros((n, k), "float32"), y)[0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("broken", [[np.nan, 0.0, 0.0], [0.0, 0.0, np.nan], [np.inf, 0, 0], [-np.inf] * 3])
def test_logits_without_a_distribution_have_the_loss_nan(broken):
    value, dz = value_and_grad(SoftmaxCrossEntropy(), np.float32([broken, [0, 0, 0]]), [0, 0])
    assert np.isnan(value)
    assert np.isnan(dz[0]).all()
    assert np.isfinite(dz[1]).all()


def test_a_masked_class_has_the_gradient_zero_and_a_masked_label_an_infinite_loss():
    value, dz = value_and_grad(SoftmaxCrossEntropy(), np.float32([[0.0, -np.inf]]), [0])
    assert value == 0.0
    assert (dz == 0.0).all()
    assert value_and_grad(SoftmaxCrossEntropy(), np.float32([[0.0, -np.inf]]), [1])[0] == np.inf
    assert value_and_grad(SigmoidCrossEntropy(), np.float32([[np.inf]]), [1])[0] == 0.0
    assert np.isnan(value_and_grad(SigmoidCrossEntropy(), np.float32([[np.nan]]), [1])[0])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_fit_differs_by_rounding_only_and_is_reproducible_bit_for_bit(n_classes, solver):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(70, 4))
    y = X[:, :n_classes].argmax(axis=1)

    def fitted():
        model = TinyClassifier((6, 5), batch_size=16, max_iter=12, solver=solver, random_state=0, tol=0)
        model.set_params(learning_rate="linear", early_stopping=False)  # no convergence warning
        return model.fit(X, y)

    first, second, numpys = fitted(), fitted(), switched_off(fitted)
    np.testing.assert_array_equal(first.network_.theta, second.network_.theta)
    np.testing.assert_allclose(first.network_.theta, numpys.network_.theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(first.loss_curve_, numpys.loss_curve_, rtol=1e-5)


class Doubled(SoftmaxCrossEntropy):
    def rows(self, z, y, dz, t):
        losses = super().rows(z, y, dz, t)
        dz *= 2
        return 2 * losses


class DoubledLogistic(SigmoidCrossEntropy):
    def rows(self, z, y, dz, t):
        losses = super().rows(z, y, dz, t)
        dz *= 2
        return 2 * losses


class NoSteps(Adam):
    def update(self, g, s, rate):
        g[...] = 0.0


@pytest.mark.parametrize(("custom", "loss"), [(Doubled(), LOSSES[0]), (DoubledLogistic(), LOSSES[1])])
def test_a_user_defined_loss_is_not_ignored(custom, loss):
    z = np.float32([[1.0, 2.0], [0.5, -3.0]])[:, : 2 if custom.inverse_link == "softmax" else 1]
    value, dz = value_and_grad(custom, z, [0, 1])
    expected, dz_expected = value_and_grad(loss, z, [0, 1])
    assert value == pytest.approx(2 * expected)
    np.testing.assert_allclose(dz, 2 * dz_expected)


def test_the_loops_compute_the_common_case_only(monkeypatch):
    used = SimpleNamespace(shift=lambda *_: None, softmax_loss=lambda *_: 77.0, sigmoid_loss=lambda *_: 77.0)
    monkeypatch.setattr(kernels, "_compiled", dict.fromkeys(TYPES, used))

    def is_used(loss, z, y, w=None):
        y, dz = loss.targets(y, *z.shape), np.empty_like(z)
        tapes = Network([Dense(z.shape[1])], 1, dtype=z.dtype).workspace(len(z), loss=loss).tapes(len(z))
        with np.errstate(all="ignore"):
            return loss.value_and_grad(z, y, w, dz, tapes.loss) == 77.0

    softmax, sigmoid = LOSSES
    z, codes, w = np.zeros((2, 2), "float32"), [0, 1], np.ones(2)
    assert is_used(softmax, z, codes)
    assert not is_used(softmax, z.astype("float64"), codes)
    assert not is_used(softmax, z, np.eye(2))
    assert not is_used(softmax, z, codes, w)
    assert not is_used(Doubled(), z, codes)
    assert not is_used(CustomTargets(), z, codes)
    for dtype in TYPES:
        assert is_used(sigmoid, z[:, :1].astype(dtype), codes)
        assert not is_used(sigmoid, z[:, :1].astype(dtype), codes, w)
    assert is_used(sigmoid, z, np.eye(2))
    assert not is_used(DoubledLogistic(), z[:, :1], codes)


def test_a_user_defined_optimizer_is_not_ignored():
    network = Network([Dense(2)], 1, seed=0)
    before = network.theta.copy()
    list(train(network, [[1.0], [2.0]], [0, 1], optimizer=NoSteps(0.1), epochs=3))
    np.testing.assert_array_equal(network.theta, before)


def test_training_works_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    kernels._dispatchers.cache_clear()
    monkeypatch.setattr(kernels, "_compiled", {})
    for before in (False, None):  # a failed call does not change the setting
        kernels._wanted = before
        with pytest.raises(ImportError, match="by pip install numba, or"):
            tinyclf.use_fast()
        assert kernels._wanted is before
    network = Network([Dense(2)], 1, seed=0)
    assert len(list(train(network, [[1.0], [2.0]], [0, 1], optimizer=SGD(), epochs=2))) == 2
    assert kernels._compiled == {}


SCRIPT = """
import sys, tinyclf
list(tinyclf.train(tinyclf.Network([tinyclf.Dense(2)], 1), [[1.0], [2.0]], [0, 1], epochs=1))
print("numba" in sys.modules, bool(tinyclf.nn.kernels._compiled))
"""


@pytest.mark.processes
@pytest.mark.parametrize("loops", ["as Python"], indirect=True)
@pytest.mark.parametrize(("value", "used"), [("0", False), ("1", True), ("", True)])
def test_the_environment_variable_switches_the_loops_on_and_off(value, used, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("TINYCLF_FAST", value)
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(used)] * 2


def test_use_fast_switches_the_loops_on_and_off():
    pytest.importorskip("numba")
    network = Network([Dense(2)], 1, seed=0)
    for wanted, used in ((False, False), (True, True), (None, True)):
        tinyclf.use_fast(wanted)
        list(train(network, [[1.0], [2.0]], [0, 1], epochs=1))
        assert bool(kernels._compiled) == used


class SharedBias(Dense):
    def parameters(self, n_in, rng):
        return {"W": super().parameters(n_in, rng)["W"], "b": np.full(1, 5.0)}


class CustomTargets(SoftmaxCrossEntropy):
    def targets(self, y, n, n_outputs):
        return np.asarray(y)


def test_loops_do_not_read_beyond_the_end_of_arrays_that_numpy_broadcasts_or_refuses():
    network = Network([SharedBias(6)], 3, seed=0)
    np.testing.assert_array_equal(network.logits(np.zeros((2, 3))), np.full((2, 6), 5.0))
    with pytest.raises(IndexError):
        value_and_grad(CustomTargets(), np.zeros((2, 2), "float32"), [0, 7])


def weights(*shape, bias=5):
    """An ``init`` that returns weights of this shape."""
    return lambda rng, n_in, n_out: (rng.normal(size=shape), np.zeros(bias))


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(5, init=weights(4, 5, bias=1)), ReLU(), Dense(2)],
        [SharedDense(5, init=weights(4, 1), n_members=2), ReLU(), MemberDense(2, n_members=2)],
        [SharedDense(5, init=weights(5, 4), n_members=2), ReLU(), MemberDense(2, n_members=2)],
        [SharedDense(5, init=weights(9, 5), n_members=2), ReLU(), MemberDense(2, n_members=2)],
        [SharedDense(5, n_members=2), ReLU(), MemberDense(1, init=weights(9, 1, bias=1), n_members=2)],
        [SharedDense(5, n_members=2), ReLU(), MemberDense(1, init=weights(3, 1, bias=1), n_members=2)],
        [SharedDense(5, n_members=2), ReLU(), MemberDense(1, init=weights(5, 2, bias=1), n_members=2)],
    ],
    ids=["one bias", "one column", "transposed", "more rows", "more inputs", "fewer inputs", "two units"],
)
def test_weights_of_other_shapes_are_refused_as_by_numpy(layers):
    def trained():
        network = Network(layers, 4, seed=0)
        return [*train(network, np.ones((6, 4)), [0, 1, 1, 0, 1, 0], loss=loss, epochs=1)]

    shared = isinstance(layers[0], SharedDense)
    one = SigmoidCrossEntropy() if layers[-1].units == 1 else SoftmaxCrossEntropy()
    loss = MemberLoss(one, n_members=2) if shared else one
    with pytest.raises(ValueError, match="shape|dimension|operand|broadcast|align|size"):
        switched_off(trained)
    with pytest.raises(ValueError, match="shape|dimension|operand|broadcast|align|size"):
        trained()


def test_an_overflow_in_the_moments_gives_steps_of_zero_as_in_numpy():
    theta = np.ones(40, "float32")
    s = Adam().init(theta)
    with np.errstate(all="ignore"):
        Adam(1e-3).step(theta, np.full(40, 1e20, "float32"), s, 1e-3)
    assert np.isinf(s.V).all()
    np.testing.assert_array_equal(theta, np.ones(40))


def test_the_penalty_of_many_weights_does_not_add_up_rounding_errors(loops):
    n = 20_000 if loops.add_penalty is _loops.add_penalty else 2_000_000
    W = np.full(n, 0.1, "float32")
    squares = loops.add_penalty(W, np.zeros_like(W), 0.5)
    assert squares == pytest.approx(n * float(W[0]) ** 2, rel=1e-5)


def test_lbfgs_does_not_depend_on_earlier_trainings():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    parameters = {
        "hidden_layer_sizes": 6,
        "solver": "lbfgs",
        "max_iter": 500,
        "dtype": "float64",
        "random_state": 0,
    }
    tinyclf.use_fast(None)
    kernels._compiled = {}
    fits = []
    for _ in range(2):
        fits.append(TinyClassifier(**parameters, alpha=0.1).fit(X, X[:, 0] > 0).network_.theta)
        list(train(Network([Dense(2)], 1, seed=0), [[1.0], [2.0]], [0, 1], epochs=1))
    np.testing.assert_array_equal(*fits)


def test_the_loops_can_be_switched_while_another_thread_trains():
    def work():
        network = Network([Dense(4), ReLU(), Dense(2)], 3, seed=0)
        list(train(network, np.eye(3), [0, 1, 0], optimizer=Adam(), epochs=150, batch_size=1, alpha=0.1))

    compiled = kernels._compiled
    thread = threading.Thread(target=work)  # an error in the thread fails the test
    thread.start()
    while thread.is_alive():
        for now in ({}, compiled):
            kernels._compiled = now
            time.sleep(1e-4)
    thread.join()


@pytest.mark.parametrize("on", ["yes", 0, 1, 2, 0.5])
def test_use_fast_refuses_other_values_than_true_false_and_none(on):
    with pytest.raises(TypeError, match=f"^on .*{on!r}"):
        tinyclf.use_fast(on)


def test_an_invalid_value_of_the_environment_variable_is_refused(monkeypatch):
    monkeypatch.setenv("TINYCLF_FAST", "off")
    with pytest.raises(ValueError, match="TINYCLF_FAST .*'off'"):
        train(Network([Dense(2)], 1, seed=0), [[1.0], [2.0]], [0, 1])


def fit_once():
    network = Network([Dense(2)], 1, seed=0)
    list(train(network, [[1.0], [2.0]], [0, 1], epochs=2, optimizer=Adam(), seed=0))
    return network.theta.tolist()


FORK = """
import os, sys, threading, time
import tinyclf
from tinyclf import Adam, Dense, Network, train
from tinyclf.nn import kernels

def fit():
    network = Network([Dense(2)], 1, seed=0)
    list(train(network, [[1.0], [2.0]], [0, 1], epochs=2, optimizer=Adam(), seed=0))

{prepare}
thread = threading.Thread(target=fit)
thread.start()
forks = 0
while "thread" not in kernels._compiler and thread.is_alive():
    pass
while "thread" in kernels._compiler and forks < {forks}:
    forks += 1
    child = os.fork()
    if child == 0:
        fit()
        try:
            tinyclf.use_fast(True)
        except ImportError as error:
            os._exit("forked while another thread compiled" not in str(error))
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    time.sleep(0.05)
{release}
thread.join()
fit()
print(forks > 0)
"""


def run_script(script, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_forked_while_another_thread_compiles_fits_with_numpy(loops, tmp_path):
    if loops.adam is _loops.adam:  # simulates a compilation that waits, with or without numba
        prepare = "done = threading.Event()\nkernels._dispatchers = lambda: done.wait() and 1 / 0\n"
        prepare += "kernels._dispatchers.cache_clear = lambda: setattr(kernels, '_dispatchers', refuse)\n"
        prepare += "def refuse(): raise ImportError('forked while another thread compiled')"
        run_script(FORK.format(prepare=prepare, release="done.set()", forks=3), TINYCLF_FAST="")
    else:
        empty = {"NUMBA_CACHE_DIR": str(tmp_path), "TINYCLF_FAST": "1"}
        run_script(FORK.format(prepare="", release="", forks=1000), **empty)


def test_a_process_forked_while_another_thread_compiles_uses_numpy(monkeypatch):
    # As above, without a fork: the handler of a fork runs here.
    expected = switched_off(fit_once)
    monkeypatch.setattr(kernels, "_compiler", {"thread": -1})
    monkeypatch.setattr(kernels, "_forked_while_compiling", False)
    monkeypatch.setattr(kernels, "_wanted", None)
    kernels._after_fork()
    try:
        assert (kernels._compiled, kernels._wanted, kernels._compiler) == ({}, False, {})
        assert fit_once() == expected
        with pytest.raises(ImportError, match="forked while another thread compiled"):
            tinyclf.use_fast(True)
    finally:
        kernels._dispatchers.cache_clear()


@pytest.mark.parametrize("compiles", [False, True])
def test_a_child_forked_while_no_other_thread_compiles_continues(compiles, monkeypatch):
    # A signal handler may fork while its thread compiles, which is then also the thread of the child.
    wanted = kernels._wanted
    monkeypatch.setattr(kernels, "_compiler", {"thread": threading.get_ident()} if compiles else {})
    kernels._after_fork()
    assert kernels._compiled
    assert kernels._wanted is wanted
    assert not kernels._forked_while_compiling


def test_a_fit_in_a_handler_that_interrupts_the_compilation_uses_numpy(monkeypatch):
    fits = []

    def interrupted():
        fits.append(fit_once())
        raise ImportError("no more than that")

    monkeypatch.setattr(kernels, "_dispatchers", interrupted)
    monkeypatch.setattr(kernels, "_compiled", {})
    monkeypatch.setattr(kernels, "_wanted", None)
    assert fit_once() == fits[0] == switched_off(fit_once)
    assert kernels._compiler == {}


def test_ctrl_c_at_any_line_of_the_compilation_leaves_no_thread_that_seems_to_compile(monkeypatch):
    # Fits in other threads would wait for it forever.
    loops = SimpleNamespace(**{name: Compilable(None) for name in _loops.signatures(TYPES[0].name)})
    monkeypatch.setattr(kernels, "_dispatchers", lambda: loops)
    monkeypatch.setattr(kernels, "_wanted", None)
    complete, interrupts, number = False, 0, 0
    while not complete:
        monkeypatch.setattr(kernels, "_compiled", {})
        number += 1
        lines, interrupt = traced(lambda: kernels.load(TYPES[0]), (number,))
        complete, interrupts = number > len(lines), interrupts + (interrupt is not None)
        assert kernels._compiler == {}
    assert interrupts > 10
    assert list(kernels._compiled) == TYPES[:1]


def test_a_fit_waits_for_another_thread_that_compiles(monkeypatch):
    # Otherwise the bits of the fit would depend on when the compilation ends.
    begun, done = threading.Event(), threading.Event()
    compiled = kernels._compiled

    def slow():
        begun.set()
        done.wait()
        return SimpleNamespace(**{name: Compilable(loop) for name, loop in vars(compiled[TYPES[0]]).items()})

    monkeypatch.setattr(kernels, "_dispatchers", slow)
    monkeypatch.setattr(kernels, "_compiled", {})
    monkeypatch.setattr(kernels, "_wanted", None)
    results = []
    threads = [threading.Thread(target=lambda: results.append(fit_once())) for _ in range(2)]
    threads[0].start()
    begun.wait()
    threads[1].start()
    time.sleep(0.05)
    assert results == []
    done.set()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert list(kernels._compiled) == TYPES[:1]


class Compilable:
    """A loop with a ``compile`` method, as numba's dispatchers have."""

    def __init__(self, loop):
        self.loop = loop

    def __call__(self, *arguments):
        return self.loop(*arguments)

    def compile(self, types):
        pass


@pytest.mark.parametrize("cached", [True, False])
def test_loops_are_compiled_without_exceptions_and_without_the_lock_of_python(cached):
    # Also where no folder can keep the machine code.
    calls = []

    def njit(**options):
        calls.append(options)
        if not cached and options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda loop: (loop, options)

    fastmath = {"contract"}
    options = {"error_model": "numpy", "nogil": True, "fastmath": fastmath}
    kept = {"cache": True, **options}
    compiled = kernels._dispatcher(SimpleNamespace(njit=njit), _loops.adam, fastmath)
    assert compiled == (_loops.adam, kept if cached else options)
    assert calls == ([kept] if cached else [kept, options])


def test_every_loop_is_compiled_for_the_types_that_training_uses(loops):
    if loops.adam is _loops.adam:
        pytest.skip("without numba nothing is compiled")
    before = {name: len(loop.signatures) for name, loop in vars(loops).items()}
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        for loss, k in ((SoftmaxCrossEntropy(), 2), (SigmoidCrossEntropy(), 1)):
            X, y = rng.normal(size=(5, 3)), [0, 1, 0, 1, 1]
            for layers in ([Dense(4), ReLU(), SiLU(), Dropout(0.5), Dense(k)], [Dense(4), ReLU(), Dense(k)]):
                network = Network(layers, 3, dtype=dtype, seed=0)
                list(train(network, X, y, loss=loss, optimizer=Adam(), alpha=0.1, epochs=2, batch_size=2))
                network.logits(X)
        members = [SharedDense(4, n_members=2), ReLU(), MemberDense(2, n_members=2)]
        network, loss = Network(members, 3, dtype=dtype, seed=0), MemberLoss(SoftmaxCrossEntropy(), 2)
        list(train(network, X, y, loss=loss, epochs=1))
    assert {name: len(loop.signatures) for name, loop in vars(loops).items()} == before
    assert all(before[name] for name in _loops.signatures("float32"))
