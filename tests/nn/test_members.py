"""Members: the layers against separate networks, the loss against the losses of the members and mpmath."""

import pickle
import re
import tracemalloc

import mpmath
import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits, load_iris

from tests.support.parts import Brier, Hinge
from tests.support.rounding import assert_same_outputs
from tests.support.ulps import SHAPES_OF_LOGITS, logits_of, softmax_truth
from tinyclf import (
    GELU,
    Adam,
    Buffer,
    Dense,
    Dropout,
    Layer,
    Loss,
    MemberDense,
    MemberLoss,
    Network,
    ReLU,
    SharedDense,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    he_normal,
    train,
)
from tinyclf.gradcheck import check_layer
from tinyclf.nn.arrays import Views
from tinyclf.nn.members import by_member
from tinyclf.nn.objective import Objective
from tinyclf.nn.state import TrainState

IRIS, SPECIES = load_iris(return_X_y=True)
IRIS = IRIS - IRIS.mean(axis=0)
EPS, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).smallest_subnormal)


def ensemble(k, n_in, widths, activation, dtype="float64"):
    """A network of k members with random numbers, and k networks of Dense layers with the same numbers."""
    *hidden, n_out = widths
    layers = [SharedDense(hidden[0], n_members=k), activation]
    for width in hidden[1:]:
        layers += [MemberDense(width, n_members=k), activation]
    members = Network([*layers, MemberDense(n_out, n_members=k)], n_in, dtype=dtype, seed=0)
    members.theta += np.random.default_rng(1).normal(scale=0.3, size=members.theta.size).astype(dtype)
    plain = [layer for width in hidden for layer in (Dense(width), activation)]
    separate = []
    for m in range(k):
        network = Network([*plain, Dense(n_out)], n_in, dtype=dtype)
        for p, q in zip(members.parameters, network.parameters, strict=True):
            if "r" in vars(p):
                q.W, q.b = p.r[m][:, None] * p.W, p.b[m]
            elif "W" in vars(p):
                q.W, q.b = p.W[m], p.b[m]
        separate.append(network)
    return members, separate


def gradient_of(network, X, y, loss, weight=None):
    objective = Objective(network, X, y, loss=loss, batch_size=len(y), sample_weight=weight)
    value, _ = objective.value_and_grad(objective.order)
    return value, objective.gradient


def losses_and_gradient(loss, z, y, w=None):
    """The loss of each row, the loss of the batch, and its gradient."""
    y, dz = loss.targets(y, *z.shape), np.full_like(z, np.nan)
    t = Views(**{name: b.array(len(z), z.dtype) for name, b in loss.buffers(z.shape[1], z.dtype).items()})
    rows = loss.rows(z, y, dz, t).copy()
    return rows, loss.value_and_grad(z, y, w, dz, t), dz


# --- the layers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_backward_is_the_gradient_of_forward(k, units):
    for n_in in (1, 4):
        assert check_layer(SharedDense(units, n_members=k), n_in) < 1e-8
    for width in (1, 3):
        assert check_layer(MemberDense(units, n_members=k), k * width) < 1e-8
    assert check_layer(MemberDense(units, he_normal, n_members=k), k, batch_size=1) < 1e-8


SHAPES = [
    (1, 1, [1, 1]),
    (1, 4, [3, 2]),
    (3, 1, [1, 4]),
    (2, 5, [4, 3, 1]),
    (4, 3, [1, 1, 3]),
    (8, 6, [7, 5, 3]),
]


@pytest.mark.parametrize(("k", "n_in", "widths"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_members_equal_separate_networks_with_the_same_numbers(k, n_in, widths, dtype):
    members, separate = ensemble(k, n_in, widths, Tanh(), dtype)
    X = np.random.default_rng(2).normal(size=(40, n_in)).astype(dtype)
    z = members.logits(X)
    assert z.shape == (40, k * widths[-1])
    for m, network in enumerate(separate):
        assert_same_outputs(by_member(z, k)[m], network.logits(X), network, X)
        for n_layers in range(1, len(network.layers)):
            of_member = by_member(members.outputs(X, n_layers), k)[m]
            assert_same_outputs(of_member, network.outputs(X, n_layers), network, X, n_layers)


@pytest.mark.parametrize(("k", "n_in", "widths"), SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_separate_networks(k, n_in, widths, weighted):
    """It is 1 / k of theirs; those of W and r follow from those of the products r W, by the chain rule."""
    members, separate = ensemble(k, n_in, widths, GELU())
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(30, n_in)), rng.integers(widths[-1], size=30)
    w = rng.integers(0, 3, 30).astype(float) if weighted else None
    loss = SoftmaxCrossEntropy(label_smoothing=0.1)
    value, gradient = gradient_of(members, X, y, MemberLoss(loss, k), w)
    found = members.split(gradient)
    values, gradients = zip(*(gradient_of(network, X, y, loss, w) for network in separate), strict=True)
    assert value == pytest.approx(np.mean(values), rel=1e-13)
    theirs = [network.split(g / k) for network, g in zip(separate, gradients, strict=True)]
    for i, g in enumerate(found):
        if "W" not in vars(g):
            continue
        W, b = (np.array([their[i].__dict__[name] for their in theirs]) for name in ("W", "b"))
        np.testing.assert_allclose(g.b, b, rtol=1e-11, atol=1e-15)
        if i == 0:
            p = members.parameters[0]
            np.testing.assert_allclose(g.W, np.einsum("mi,mij->ij", p.r, W), rtol=1e-11, atol=1e-15)
            np.testing.assert_allclose(g.r, np.einsum("ij,mij->mi", p.W, W), rtol=1e-11, atol=1e-15)
        else:
            np.testing.assert_allclose(g.W, W, rtol=1e-11, atol=1e-15)


def test_the_gradient_in_float32_is_that_in_float64_rounded():
    X = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    members, _ = ensemble(4, 6, [5, 3], Tanh(), "float32")
    loss, y = MemberLoss(SoftmaxCrossEntropy(), 4), np.arange(50) % 3
    value, gradient = gradient_of(members, X, y, loss)
    expected, exact = gradient_of(members.copy("float64"), X.astype("float64"), y, loss)
    assert gradient.dtype == np.float32
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, exact, rtol=1e-4, atol=1e-6 * np.abs(exact).max())


def test_the_probabilities_are_the_mean_of_those_of_separate_networks():
    members, separate = ensemble(3, 4, [6, 3], ReLU())
    loss = SoftmaxCrossEntropy()
    expected = np.mean([loss.probabilities(network.logits(IRIS)) for network in separate], axis=0)
    found = MemberLoss(loss, 3).probabilities(members.logits(IRIS))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_rows_equal_dense_rows(dtype):
    X = np.where(np.random.default_rng(0).uniform(size=(60, 30)) < 0.03, 1.5, 0.0).astype(dtype)
    members, _ = ensemble(3, 30, [4, 2], ReLU(), dtype)
    assert members.layers[0].reads_sparse
    assert not members.layers[2].reads_sparse
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(members.logits(scipy.sparse.csr_array(X)), members.logits(X), rtol, rtol)
    y, loss = np.arange(60) % 2, MemberLoss(SoftmaxCrossEntropy(), 3)
    sparse, dense = (gradient_of(members, rows, y, loss) for rows in (scipy.sparse.csr_array(X), X))
    assert sparse[0] == pytest.approx(dense[0], rel=rtol)
    np.testing.assert_allclose(sparse[1], dense[1], rtol=10 * rtol, atol=rtol / 10)
    only = Network([MemberDense(2, n_members=3)], 30, dtype=dtype, seed=0)  # converts them to dense ones
    np.testing.assert_allclose(only.logits(scipy.sparse.csr_array(X)), only.logits(X), rtol, rtol)


def test_a_subclass_that_overrides_forward_does_not_read_sparse_rows_by_default():
    class Doubled(SharedDense):
        def forward(self, p, t):
            super().forward(p, t)
            t.y *= 2.0

    assert not Doubled(3, n_members=2).reads_sparse
    assert SharedDense(3, n_members=1).reads_sparse


def test_the_output_of_a_member_depends_on_its_own_numbers_only():
    members, _ = ensemble(3, 4, [5, 4, 2], Tanh())
    before = by_member(members.logits(IRIS), 3)
    for p in members.parameters:
        for name in {"r", "b"} & set(vars(p)):
            vars(p)[name][1] += 1.0
        if "W" in vars(p) and "r" not in vars(p):
            p.W[1] *= 2.0
    after = by_member(members.logits(IRIS), 3)
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert (after[1] != before[1]).all()


@pytest.mark.parametrize(
    "layer", [Dense(5), SharedDense(5, n_members=3), MemberDense(5, n_members=3)], ids=repr
)
def test_the_number_of_parameters_is_known_before_they_are_drawn(layer):
    assert layer.n_parameters(12) == Network([layer], n_in=12).theta.size


def test_members_start_with_factors_and_weights_of_their_own():
    network = Network([SharedDense(6, n_members=4), ReLU(), MemberDense(3, n_members=4)], 20, seed=0)
    first, _, last = network.parameters
    assert 0.2 < (first.r > 0).mean() < 0.8
    assert np.abs(np.abs(first.r) - 1.0).mean() == pytest.approx(0.5 * np.sqrt(2 / np.pi), rel=0.3)
    for values in (first.r, first.b, last.W.reshape(4, -1), last.b):
        assert len(np.unique(values, axis=0)) == 4
    # Each sees n_in or n_in / k inputs, and its weights are as large as those of a network alone.
    assert np.abs(first.W).max() == pytest.approx(np.sqrt(6 / (20 + 6)), rel=0.1)
    assert np.abs(last.W).max() == pytest.approx(np.sqrt(6 / (6 + 3)), rel=0.1)


def test_weights_and_factors_are_regularized_but_not_biases():
    network = Network([SharedDense(5, n_members=3), MemberDense(2, n_members=3)], 4, seed=0)
    assert network.regularized.size == 4 * 5 + 3 * 4 + 3 * 5 * 2
    assert network.theta.size == network.regularized.size + 3 * 5 + 3 * 2


def test_the_largest_product_is_that_of_all_members():
    assert Network([SharedDense(5, n_members=3)], 4).largest_product == 4 * 3 * 5
    assert Network([Dense(5)], 4).largest_product == 4 * 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_can_be_rescaled_without_changing_the_outputs(dtype):
    rng = np.random.default_rng(0)
    growth, shift = rng.uniform(0.5, 2.0, 4), rng.normal(size=4)
    for layer in (Dense(5), SharedDense(5, n_members=3)):
        network = Network([layer], 4, dtype=dtype, seed=0)
        before = network.logits(growth * IRIS + shift)
        layer.rescale_input(network.parameters[0], growth, shift)
        np.testing.assert_allclose(network.logits(IRIS), before, atol=20 * np.finfo(dtype).eps * 10)


def test_a_copy_and_a_pickle_are_independent_and_give_the_same_bits():
    network, _ = ensemble(4, 4, [5, 3], Tanh(), "float32")
    before = network.logits(IRIS)
    for other in (network.copy(), pickle.loads(pickle.dumps(network))):
        assert repr(other) == repr(network)
        np.testing.assert_array_equal(other.logits(IRIS), before)
        other.parameters[0].r = np.zeros((4, 4))
        other.parameters[0].b = np.zeros((4, 5))
        assert np.ptp(other.logits(IRIS), axis=0).max() == 0.0
    np.testing.assert_array_equal(network.logits(IRIS), before)
    np.testing.assert_allclose(network.copy("float64").logits(IRIS), before, atol=1e-5)


def test_assigning_numbers_of_another_shape_is_an_error():
    p = Network([SharedDense(5, n_members=3)], 4).parameters[0]
    for name, shape in (("W", (4, 5)), ("r", (3, 4)), ("b", (3, 5))):
        with pytest.raises(
            ValueError, match=re.escape(f"{name} has shape {shape}, got an array of shape (4,)")
        ):
            setattr(p, name, np.ones(4))


def test_the_repr_names_the_members():
    assert repr(SharedDense(5, n_members=3)) == "SharedDense(units=5, n_members=3)"
    assert repr(MemberDense(5, n_members=3)) == "MemberDense(units=5, n_members=3)"
    shown = "MemberLoss(loss=SoftmaxCrossEntropy(label_smoothing=0.0), n_members=3)"
    assert repr(MemberLoss(SoftmaxCrossEntropy(), 3)) == shown


# --- training ----------------------------------------------------------------------------------------------


def member_network(k, n_in, n_out, **options):
    layers = [SharedDense(12, n_members=k), ReLU(), Dropout(0.1), MemberDense(n_out, n_members=k)]
    return Network(layers, n_in, seed=0, **options)


def test_an_ensemble_is_trained_by_train_and_resumed_to_the_same_bits():
    loss, settings = MemberLoss(SoftmaxCrossEntropy(), 4), {"batch_size": 30}
    network = member_network(4, 4, 3)
    state = TrainState(network, Adam(0.02), seed=0)
    list(train(network, IRIS, SPECIES, loss=loss, state=state, epochs=20, **settings))
    saved, theta = state.to_dict(), network.theta.copy()
    list(train(network, IRIS, SPECIES, loss=loss, state=state, epochs=20, **settings))
    assert (loss.probabilities(network.logits(IRIS)).argmax(axis=1) == SPECIES).mean() > 0.95
    resumed = network.copy()
    resumed.theta = theta
    state = TrainState.from_dict(resumed, saved)
    list(train(resumed, IRIS, SPECIES, loss=loss, state=state, epochs=20, **settings))
    np.testing.assert_array_equal(resumed.theta, network.theta)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_does_not_grow_after_the_first_epoch(dtype):
    # As in tests/nn/test_training.py; the members of the targets have a number for each row and member.
    B, width, k = 640, 100, 4
    layers = [SharedDense(width, n_members=k), ReLU(), MemberDense(width, n_members=k), Tanh()]
    network = Network([*layers, MemberDense(200, n_members=k)], 20, dtype=dtype, seed=0)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2 * B + 7, 20)), rng.integers(200, size=2 * B + 7)
    peaks = []

    def measured(progress):
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
        return 1.0

    loss = MemberLoss(SoftmaxCrossEntropy(), k)
    runs = train(
        network, X, y, loss=loss, optimizer=Adam(), epochs=2, batch_size=B, alpha=0.1, schedule=measured
    )
    next(runs)
    tracemalloc.start()
    base = tracemalloc.get_traced_memory()[0]
    next(runs)
    tracemalloc.stop()
    assert max(peaks[4:]) - base < B * 200 * k  # less than a byte for each logit


# --- the loss ----------------------------------------------------------------------------------------------

LOSSES = [
    SoftmaxCrossEntropy(),
    SoftmaxCrossEntropy(label_smoothing=0.3),
    SigmoidCrossEntropy(),
    SigmoidCrossEntropy(label_smoothing=0.3),
    Brier(),
    Hinge(),
]


def example(loss, k, dtype="float64", n=9, scale=3.0):
    """Logits of k members, and targets of every kind that the loss takes."""
    rng = np.random.default_rng(k)
    c = 1 if isinstance(loss, (SigmoidCrossEntropy, Hinge)) else 4
    z = rng.normal(scale=scale, size=(n, k * c)).astype(dtype)
    yield z, rng.integers(max(c, 2), size=n)
    if isinstance(loss, SoftmaxCrossEntropy):
        yield z, rng.dirichlet(np.ones(c), size=n)
    if isinstance(loss, SigmoidCrossEntropy):
        yield z, rng.uniform(size=(n, 1))
        yield rng.normal(scale=scale, size=(n, k * 3)).astype(dtype), rng.integers(0, 2, (n, 3)).astype(float)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_loss_is_the_mean_of_the_losses_of_the_members(loss, dtype, k):
    rtol = 1e-6 if dtype == "float32" else 1e-13
    for z, y in example(loss, k, dtype):
        w = np.random.default_rng(0).integers(0, 3, len(z)).astype(float)
        for weight in (None, w):
            rows, value, dz = losses_and_gradient(MemberLoss(loss, k), z, y, weight)
            parts = [
                losses_and_gradient(loss, np.ascontiguousarray(one), y, weight) for one in by_member(z, k)
            ]
            np.testing.assert_allclose(rows, np.mean([part[0] for part in parts], axis=0), rtol=rtol)
            assert value == pytest.approx(np.mean([part[1] for part in parts]), rel=rtol)
            for found, part in zip(by_member(dz, k), parts, strict=True):
                np.testing.assert_allclose(found, part[2] / k, rtol=rtol, atol=1e-30)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_of_one_member_has_the_bits_of_the_plain_loss(loss, dtype):
    for z, y in example(loss, 1, dtype):
        for w in (None, np.linspace(0.0, 2.0, len(z))):
            found, plain = (losses_and_gradient(one, z, y, w) for one in (MemberLoss(loss, 1), loss))
            for one, other in zip(found, plain, strict=True):
                np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(MemberLoss(loss, 1).probabilities(z), loss.probabilities(z))
        np.testing.assert_array_equal(MemberLoss(loss, 1).log_probabilities(z), loss.log_probabilities(z))


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy()], ids=repr)
def test_the_mean_of_the_losses_is_at_least_the_loss_of_the_mean(loss):
    for k in (2, 5):
        for z, y in example(loss, k, n=500):
            rows, _, _ = losses_and_gradient(MemberLoss(loss, k), z, y)
            pooled, _, _ = losses_and_gradient(loss, MemberLoss(loss, k).ensemble_logits(z), y)
            assert (pooled <= rows * (1 + 1e-12)).all()
            assert pooled.mean() < rows.mean() - 0.1


def exact_log_mean(parts):
    return mpmath.log(mpmath.fsum(parts) / len(parts))


def assert_exact(found, truth, what):
    """A logarithm of probability: its exp has the rounding error of the logarithm."""
    largest = mpmath.mpf(np.finfo(np.float64).max)
    for one, t in zip(np.ravel(found).tolist(), truth, strict=True):
        t = max(t, -largest)
        assert np.isfinite(one), what
        assert abs(one - t) <= 8 * EPS * max(1, abs(t)), f"{what}: {one} instead of {t}"


@pytest.mark.promise("never nan")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [kind for kind in SHAPES_OF_LOGITS if kind != "masked"])
@mpmath.workdps(60)
def test_pooled_logits_are_exact_for_any_logits(kind, dtype):
    rng = np.random.default_rng(0)
    k, c, n = 3, 4, 25
    z = np.concatenate([logits_of(kind, n, c, dtype, rng) for _ in range(k)], axis=1)
    softmax = MemberLoss(SoftmaxCrossEntropy(), k)
    q, p, log_p = softmax.ensemble_logits(z), softmax.probabilities(z), softmax.log_probabilities(z)
    assert np.abs(p.sum(axis=1) - 1.0).max() <= 4 * EPS
    for i in range(n):
        members = [softmax_truth(row) for row in z[i].reshape(k, c)]
        truth = [exact_log_mean([member.p[j] for member in members]) for j in range(c)]
        assert_exact(q[i], truth, z[i].tolist())
        for j in range(c):
            rest = mpmath.fsum(member.p[other] for member in members for other in range(c) if other != j) / k
            exact = mpmath.log1p(-rest) if rest < 0.5 else truth[j]
            # Where the probability is near 1, its logarithm is the sum of the others, of log rest each.
            bound = 20 * EPS * max(abs(exact), min(1, rest * (1 + abs(mpmath.log(rest))))) + TINY
            assert abs(log_p[i, j] - max(exact, -mpmath.mpf(np.finfo(float).max))) <= bound, z[i].tolist()
    one = MemberLoss(SigmoidCrossEntropy(), k)
    columns = z[:, :k]
    q = one.ensemble_logits(columns)
    assert np.isfinite(one.log_probabilities(columns)).all()
    for i in range(n):
        values = [mpmath.mpf(float(v)) for v in columns[i]]
        yes, no = (exact_log_mean([1 / (1 + mpmath.exp(s * v)) for v in values]) for s in (-1, 1))
        assert_exact(q[i], [yes - no], columns[i].tolist())


@pytest.mark.promise("never nan")
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy(), Brier(), Hinge()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pooled_logits_are_finite_at_the_ends_of_the_range(loss, dtype):
    limit = np.finfo(dtype).max
    values = np.array([limit, -limit, 0.0, limit / 2, np.finfo(dtype).smallest_subnormal], dtype)
    z = np.random.default_rng(0).choice(values, size=(200, 12))
    found = MemberLoss(loss, 3)
    assert np.isfinite(found.ensemble_logits(z)).all()
    if not isinstance(loss, Hinge):
        p = found.probabilities(z)
        assert np.isfinite(p).all()
    assert found.ensemble_logits(z).dtype == np.float64
    np.testing.assert_array_equal(found.ensemble_logits(z.tolist()), found.ensemble_logits(z.astype(float)))
    assert found.ensemble_logits(z[:0]).shape == (0, 4)


@pytest.mark.promise("never nan")
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy(), Brier()], ids=repr)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_predictions_raise_no_floating_point_errors(loss, n_outputs):
    rng = np.random.default_rng(0)
    for n_members in (1, 3):
        for z in (rng.uniform(-760.0, 760.0, (200, 3 * n_outputs)), np.full((1, 3 * n_outputs), -1e300)):
            member = MemberLoss(loss, n_members)
            z = z[:, : n_members * n_outputs]
            with np.errstate(all="raise"):
                found = member.ensemble_logits(z), member.probabilities(z), member.log_probabilities(z)
            assert all(np.isfinite(values).all() for values in found)


def test_small_losses_are_not_lost():
    z = np.array([[60.0, 0.0, 50.0, 0.0, 80.0, 0.0]])
    loss = MemberLoss(SoftmaxCrossEntropy(), 3)
    expected = np.exp([-60.0, -50.0, -80.0]).mean()
    assert -loss.log_probabilities(z)[0, 0] == pytest.approx(expected, rel=1e-13)
    rows, _, dz = losses_and_gradient(loss, z, np.array([0]))
    assert rows[0] == pytest.approx(expected, rel=1e-15)
    np.testing.assert_allclose(dz[0, ::2], -np.exp([-60.0, -50.0, -80.0]) / 3, rtol=1e-15)
    one = MemberLoss(SigmoidCrossEntropy(), 2)
    assert -one.log_probabilities(np.array([[45.0, 50.0]]))[0, 1] == pytest.approx(
        np.exp([-45.0, -50.0]).mean(), rel=1e-13
    )


def test_the_logits_of_a_loss_with_probabilities_of_its_own_are_averaged():
    z = np.array([[2.0, -1.0, 5.0], [0.5, 0.5, -4.0]])
    np.testing.assert_allclose(MemberLoss(Hinge(), 3).ensemble_logits(z), [[2.0], [-1.0]], rtol=1e-15)
    assert MemberLoss(Hinge(), 3).probabilities(z).shape == (2, 2)


def test_a_loss_reads_its_own_buffers_for_each_member():
    class Buffered(Brier):
        def buffers(self, n_outputs, dtype):
            return {"one": Buffer(()), "some": Buffer(n_outputs), "more": Buffer((n_outputs, 2), np.int8)}

        def rows(self, z, y, dz, t):
            n, c = z.shape
            assert [a.shape for a in (t.one, t.some, t.more)] == [(n,), (n, c), (n, c, 2)]
            assert (t.some.dtype, t.more.dtype) == (z.dtype, np.int8)
            t.one, t.some, t.more = np.arange(n), np.ones((n, c)), np.ones((n, c, 2))
            return super().rows(z, y, dz, t)

    network = member_network(3, 4, 3)
    for batch_size in (150, 40):  # the last batch is shorter
        epochs = train(
            network, IRIS, SPECIES, loss=MemberLoss(Buffered(), 3), epochs=1, batch_size=batch_size
        )
        assert len(list(epochs)) == 1


# --- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (0, ValueError, "n_members must be at least 1, got 0"),
        (-3, ValueError, "n_members must be at least 1, got -3"),
        (2.0, TypeError, "n_members must be a whole number, got 2.0"),
        (True, TypeError, "n_members must be a whole number, got True"),
        ("4", TypeError, "n_members must be a whole number, got '4'"),
        (None, TypeError, "n_members must be a whole number, got None"),
    ],
)
def test_an_invalid_number_of_members_is_refused(value, error, match):
    for make in (
        lambda: SharedDense(3, n_members=value),
        lambda: MemberDense(3, n_members=value),
        lambda: MemberLoss(SoftmaxCrossEntropy(), value),
    ):
        with pytest.raises(error, match=match):
            make()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: SharedDense(0, n_members=2), ValueError, "units of SharedDense must be at least 1, got 0"),
        (lambda: MemberDense(1.5, n_members=2), TypeError, "units of MemberDense must be a whole number"),
        (lambda: MemberDense(3, 4, n_members=2), TypeError, "init must be a function.* got 4"),
        (
            lambda: MemberLoss(SoftmaxCrossEntropy, 4),
            TypeError,
            "loss must be an instance of Loss, got <class",
        ),
        (lambda: MemberLoss("log_loss", 4), TypeError, "loss must be an instance of Loss, got 'log_loss'"),
    ],
)
def test_invalid_arguments_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_an_input_that_cannot_be_divided_among_the_members_is_refused():
    match = (
        r"input of MemberDense\(units=2, n_members=4\) must have a multiple of 4 columns, got 5; begin with"
    )
    for layers, n_in in (([MemberDense(2, n_members=4)], 5), ([Dense(5), MemberDense(2, n_members=4)], 8)):
        with pytest.raises(ValueError, match=match):
            Network(layers, n_in)


def test_outputs_and_targets_that_do_not_fit_the_members_are_refused():
    network = member_network(4, 4, 3)
    with pytest.raises(ValueError, match="outputs must be a multiple of n_members=5, got 12"):
        list(train(network, IRIS, SPECIES, loss=MemberLoss(SoftmaxCrossEntropy(), 5)))
    with pytest.raises(ValueError, match=r"targets must be codes from 0 to 1, got 2"):
        list(train(network, IRIS, SPECIES, loss=MemberLoss(SoftmaxCrossEntropy(), 6)))
    loss = MemberLoss(SoftmaxCrossEntropy(), 4)
    with pytest.raises(
        ValueError, match=r"\(150,\) for codes or \(150, 3\) for probabilities, got \(150, 12\)"
    ):
        list(train(network, IRIS, np.ones((150, 12)), loss=loss))
    with pytest.raises(ValueError, match="outputs must be a multiple of n_members=4, got 3"):
        loss.probabilities(np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"SigmoidCrossEntropy with 3 outputs must have shape \(150, 3\)"):
        list(train(network, IRIS, SPECIES, loss=MemberLoss(SigmoidCrossEntropy(), 4)))


def test_the_error_of_a_loss_that_returns_something_else_counts_rows_of_all_members():
    class Wrong(Loss):
        def rows(self, z, y, dz, t):
            return z

    network = member_network(2, 4, 3)
    with pytest.raises(ValueError, match=r"Wrong.rows must return one loss per row, shape \(300,\)"):
        list(train(network, IRIS, SPECIES, loss=MemberLoss(Wrong(), 2), batch_size=150))


# --- buffers with one shape for any number of rows ---------------------------------------------------------


class Centered(Layer):
    """A student's layer with a matrix that it computes from its parameters: y = x (W - mean of W)."""

    def parameters(self, n_in, rng):
        return {"W": rng.normal(size=(n_in, n_in))}

    def buffers(self, n_in):
        return {"M": Buffer((n_in, n_in), per_row=False), "c": Buffer(n_in, fill=2.0, per_row=False)}

    def forward(self, p, t):
        t.M = p.W - p.W.mean()
        t.y = t.x @ t.M * t.c

    def backward(self, p, g, t):
        dM = t.x.T @ (t.dy * t.c)
        g.W = dM - dM.mean()
        t.dx = (t.dy * t.c) @ t.M.T


def test_a_buffer_that_is_not_per_row_keeps_its_shape_for_any_number_of_rows():
    assert check_layer(Centered(), n_in=5) < 1e-8
    network = Network([Centered(), Dense(2)], 5, seed=0)
    workspace = network.workspace(8)
    for n in (8, 3, 1):
        t = workspace.tapes(n).layers[0]
        assert (t.M.shape, t.c.shape, t.y.shape) == ((5, 5), (5,), (n, 5))
        assert t.M.dtype == np.float32
        assert not t.c.flags.writeable
    assert np.shares_memory(workspace.tapes(8).layers[0].M, workspace.tapes(3).layers[0].M)
    X, y = load_digits(return_X_y=True)
    network = Network([Centered(), Dense(10)], 64, seed=0)
    reports = list(train(network, X / 16, y, optimizer=Adam(0.01), epochs=3, batch_size=100, seed=0))
    assert reports[-1].loss < reports[0].loss


@pytest.mark.parametrize("name", ["x", "y", "dy", "dx", "ones", "training", "rng"])
def test_a_buffer_that_is_not_per_row_must_not_have_a_name_of_the_tape(name):
    class Strange(Centered):
        def buffers(self, n_in):
            return {name: Buffer(n_in, per_row=False)}

    with pytest.raises(
        ValueError, match=f"^'{name}' is reserved on the tape; rename that buffer of Strange$"
    ):
        Network([Strange()], 3).workspace(2)


def test_only_buffers_of_layers_can_have_one_shape_for_any_number_of_rows():
    class Strange(Brier):
        def buffers(self, n_outputs, dtype):
            return {"a": Buffer(n_outputs, per_row=False)}

    for loss in (Strange(), MemberLoss(Strange(), 1)):
        with pytest.raises(ValueError, match=r"only buffers of layers may have per_row=False, got .*Strange"):
            list(train(Network([Dense(3)], 4), IRIS, SPECIES, loss=loss))


def test_the_repr_of_a_buffer_names_its_fields():
    assert repr(Buffer((2, 3), per_row=False)) == "Buffer(shape=(2, 3), dtype=None, fill=None, per_row=False)"
