"""Training against scikit-learn and against gradient descent by hand."""

import copy
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from tests.support.parts import LayerNorm, PReLU
from tinyclf import (
    SGD,
    Adam,
    Buffer,
    Dense,
    DivergenceError,
    Dropout,
    Epoch,
    Logistic,
    Network,
    ReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
    softmax,
    train,
)
from tinyclf.nn import optimizers
from tinyclf.nn.objective import Objective
from tinyclf.nn.schedules import linear
from tinyclf.nn.state import TrainState
from tinyclf.nn.training import euclidean_norm
from tinyclf.teaching import NaiveSoftmaxCrossEntropy

DIGITS, LABELS = load_digits(return_X_y=True)
ACTIVATIONS = {"relu": ReLU(), "tanh": Tanh(), "logistic": Logistic()}


@pytest.mark.parametrize("classes", [10, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "solver"),
    [
        (Adam(0.002), {"solver": "adam", "learning_rate_init": 0.002}),
        (
            SGD(0.01, momentum=0.9, nesterov=True),
            {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.9, "nesterovs_momentum": True},
        ),
    ],
    ids=["adam", "nesterov"],
)
@pytest.mark.parametrize(("hidden", "activation"), [((30,), "relu"), ((20, 15), "tanh"), ((25,), "logistic")])
def test_a_hundred_steps_equal_those_of_scikit_learn(
    classes, weighted, optimizer, solver, hidden, activation
):
    # 250 rows in batches of 50, the last ones short: 5 steps in each of 20 epochs.
    chosen = np.flatnonzero(classes > LABELS)[:230]
    X, y = DIGITS[chosen] / 16.0, LABELS[chosen]
    w = np.random.default_rng(1).uniform(0.1, 3.0, len(y)) if weighted else None
    theirs = MLPClassifier(
        hidden, activation, alpha=0.5, batch_size=50, max_iter=1, shuffle=False, tol=0.0, **solver
    )
    layers = [layer for n in hidden for layer in (Dense(n), ACTIVATIONS[activation])]
    loss = SoftmaxCrossEntropy() if classes > 2 else SigmoidCrossEntropy()
    network = Network([*layers, Dense(loss.n_outputs(classes))], 64, dtype="float64", seed=0)

    # Our initial weights go into MLPClassifier where it makes its own.
    parameters = [p for p in network.parameters if "W" in vars(p)]
    initial = iter([(p.W.copy(), p.b.copy()) for p in parameters])
    theirs._init_coef = lambda *_: next(initial)
    theirs.set_params(max_iter=20, n_iter_no_change=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y, sample_weight=w)

    reports = list(
        train(
            network,
            X,
            y,
            loss=loss,
            optimizer=optimizer,
            epochs=20,
            batch_size=50,
            sample_weight=w,
            alpha=0.5,
            shuffle=False,
        )
    )
    assert theirs.t_ == 20 * 230
    for p, W, b in zip(parameters, theirs.coefs_, theirs.intercepts_, strict=True):
        np.testing.assert_allclose(p.W, W, rtol=1e-12, atol=1e-12 * np.abs(W).max())
        np.testing.assert_allclose(p.b, b, rtol=1e-12, atol=1e-12 * np.abs(b).max())
    np.testing.assert_allclose([r.loss for r in reports], theirs.loss_curve_, rtol=1e-12)


def test_full_batch_gradient_descent_equals_the_formula():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(3, size=40)
    network = Network([Dense(3)], 3, dtype="float64", seed=0)
    W, b = network.parameters[0].W.copy(), network.parameters[0].b.copy()
    list(train(network, X, y, optimizer=SGD(0.5), epochs=10, batch_size=len(X), seed=0))
    for _ in range(10):
        d = (softmax(X @ W + b) - np.eye(3)[y]) / len(X)
        W, b = W - 0.5 * X.T @ d, b - 0.5 * d.sum(axis=0)
    np.testing.assert_allclose(network.parameters[0].W, W, rtol=1e-13)
    np.testing.assert_allclose(network.parameters[0].b, b, rtol=1e-12)


def test_a_report_has_the_numbers_of_its_epoch():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(3, size=40)
    network = Network([Dense(3)], 3, dtype="float64", seed=0)
    z = network.logits(X)
    p = softmax(z)
    d = (p - np.eye(3)[y]) / len(X)
    W = network.parameters[0].W.copy()
    norm = np.sqrt(np.sum((X.T @ d + 0.8 / 40 * W) ** 2) + np.sum(d.sum(axis=0) ** 2))
    (report,) = train(network, X, y, epochs=1, batch_size=40, alpha=0.8)
    assert report.index == 1
    assert report.first_nonfinite is None
    assert 0.0 < report.seconds < 100.0
    np.testing.assert_allclose(
        report.loss, -np.log(p[range(40), y]).mean() + 0.4 / 40 * np.sum(W**2), rtol=1e-12
    )
    np.testing.assert_allclose(report.largest_logit, np.abs(z).max(), rtol=1e-12)
    np.testing.assert_allclose(report.gradient_norm, norm, rtol=1e-12)
    assert report.rows == 40


def test_the_text_of_a_report_has_its_numbers():
    shown = "epoch 3: loss 0.123457, largest |logit| 12.35, gradient norm 0.00123"
    for first, ending in [(None, ""), (7, ", not finite from batch 7 on")]:
        assert str(Epoch(3, 0.123456789, 12.3456, 0.00123456, first, 0.1)) == shown + ending
    assert Epoch(1, 0.0, 0.0, 0.0, None, 0.0).rows == 0


@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_the_largest_logit_is_that_of_all_batches(size):
    X = size * np.ones((30, 1))
    X[3] = -50.0 * size
    network = Network([Dense(2)], 1, dtype="float64", seed=0)
    network.parameters[0].b = [0.0, 0.0]
    expected = np.abs(network.logits(X)).max()
    assert (expected < 1.0) == (size < 1.0)
    (report,) = train(network, X, np.zeros(30, int), optimizer=SGD(1e-12), epochs=1, batch_size=5)
    np.testing.assert_allclose(report.largest_logit, expected, rtol=1e-6)


def test_rows_of_weight_zero_are_left_out():
    w = np.random.default_rng(0).integers(0, 3, 200).astype(float)
    w[60:130] = 0.0  # more than a whole batch
    kept = w > 0
    thetas = []
    for X, y, weight in [(DIGITS[:200], LABELS[:200], w), (DIGITS[:200][kept], LABELS[:200][kept], w[kept])]:
        network = Network([Dense(8), Tanh(), Dense(10)], 64, seed=0)
        list(train(network, X, y, optimizer=Adam(), epochs=3, sample_weight=weight, seed=0))
        thetas.append(network.theta)
    np.testing.assert_array_equal(*thetas)


def test_a_weight_of_two_equals_the_row_twice():
    X, y = DIGITS[:60] / 16, LABELS[:60]
    times = np.random.default_rng(0).integers(1, 4, 60)
    thetas = []
    for rows, labels, w in [(X, y, times.astype(float)), (X.repeat(times, 0), y.repeat(times), None)]:
        network = Network([Dense(8), Tanh(), Dense(10)], 64, dtype="float64", seed=0)
        kinds = {"optimizer": SGD(0.2), "epochs": 20, "batch_size": len(rows), "alpha": 0.1}
        list(train(network, rows, labels, sample_weight=w, **kinds))
        thetas.append(network.theta)
    np.testing.assert_allclose(*thetas, rtol=1e-9, atol=1e-12)


def test_one_hot_targets_train_like_class_codes():
    thetas = []
    for y in (LABELS[:100], np.eye(10)[LABELS[:100]]):
        network = Network([Dense(10)], 64, dtype="float64", seed=0)
        list(train(network, DIGITS[:100] / 16, y, epochs=5, seed=0))
        thetas.append(network.theta)
    np.testing.assert_allclose(*thetas, rtol=1e-12)


def test_sparse_rows_train_like_dense_ones():
    thetas = []
    for X in (DIGITS[:100], scipy.sparse.csr_array(DIGITS[:100])):
        network = Network([Dense(10)], 64, seed=0)
        list(train(network, X, LABELS[:100], optimizer=Adam(), epochs=2, seed=0))
        thetas.append(network.theta)
    np.testing.assert_array_equal(*thetas)


class Reads(Dense):
    """A dense layer that records the type of its input rows."""

    reads_sparse = True

    def forward(self, p, t):
        kinds.append(type(t.x))
        super().forward(p, t)


class CustomForward(Dense):
    """A user-defined dense layer that does not support sparse rows."""

    def forward(self, p, t):
        kinds.append(type(t.x))
        t.y = np.einsum("ij,jk->ik", t.x, p.W) + p.b


kinds = []


@pytest.mark.parametrize("layer", [Reads(5), CustomForward(5)], ids=repr)
@pytest.mark.parametrize("density", [0.02, 0.5])
@pytest.mark.parametrize("kind", [scipy.sparse.csr_array, scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_mostly_empty_rows_stay_sparse_up_to_the_first_dense_layer(kind, density, layer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(70, 200)) * (rng.uniform(size=(70, 200)) < density)
    X[3] = 0.0
    y = rng.integers(3, size=70)
    results = []
    for rows in (X, kind(X)):
        network = Network([layer, Tanh(), Dense(3)], 200, dtype="float64", seed=0)
        kinds.clear()
        losses = [e.loss for e in train(network, rows, y, optimizer=Adam(0.01), epochs=3, seed=0, alpha=0.1)]
        results.append([*losses, *network.theta, *network.logits(rows).ravel()])
    sparse = density < 0.05 and type(layer) is Reads
    assert all((found is not np.ndarray) == sparse for found in kinds)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-12)


class Free(Dense):
    regularized = ()


def test_alpha_has_no_effect_without_regularized_parameters():
    results = []
    for alpha in (0.0, 0.1):
        network = Network([Free(2)], 3, seed=0)
        results.append(
            [epoch.loss for epoch in train(network, np.eye(3), [0, 1, 0], epochs=2, alpha=alpha, seed=0)]
        )
    assert results[0] == results[1]


class Mixin:
    def forward(self, p, t):
        t.y = np.einsum("ij,jk->ik", t.x, p.W) + p.b


class Mixed(Mixin, Dense):
    def buffers(self, n_in):
        return {"mine": Buffer(n_in)}


def test_the_penalty_on_many_weights_equals_the_formula():
    network = Network([Dense(300)], 300, dtype="float64", seed=0)
    W = network.regularized
    objective = Objective(network, np.ones((1, 300)), [0], loss=SoftmaxCrossEntropy(), batch_size=1)
    objective.gradient[...] = 1.0
    assert objective.add_penalty(0.5) == pytest.approx(0.25 * np.sum(W**2), rel=1e-12)
    np.testing.assert_allclose(objective.gradient[: W.size], 1.0 + 0.5 * W, rtol=1e-15)
    assert (objective.gradient[W.size :] == 1.0).all()


def test_a_dense_layer_with_custom_forward_or_buffers_gets_dense_rows():
    X = scipy.sparse.csr_array(np.eye(100))
    list(train(Network([Mixed(2)], 100, seed=0), X, np.arange(100) % 2, epochs=1))


def test_a_divergence_error_has_the_largest_input_of_sparse_rows():
    X = scipy.sparse.csr_array(np.where(np.eye(60) > 0, 1e30, 0.0))
    with pytest.raises(DivergenceError) as caught:
        list(
            train(
                Network([Dense(8), Dense(2)], 60, seed=0), X, np.arange(60) % 2, optimizer=SGD(1e8), epochs=9
            )
        )
    assert caught.value.largest_input == np.float32(1e30)


def test_training_is_reproducible_bit_for_bit_and_dropout_does_not_change_the_shuffle():
    def run(layers, seed):
        network = Network(layers, 64, seed=0)
        list(train(network, DIGITS[:300], LABELS[:300], optimizer=Adam(), epochs=2, seed=seed))
        return network.theta

    plain = [Dense(16), ReLU(), Dense(10)]
    dropped = [Dense(16), ReLU(), Dropout(0.5), Dense(10)]
    nothing_dropped = [Dense(16), ReLU(), Dropout(0.0), Dense(10)]
    np.testing.assert_array_equal(run(dropped, 1), run(dropped, 1))
    assert (run(dropped, 1) != run(dropped, 2)).any()
    assert (run(dropped, 1) != run(plain, 1)).any()
    np.testing.assert_array_equal(run(nothing_dropped, 1), run(plain, 1))


def test_the_default_is_20_epochs_of_batches_of_32():
    sizes = []

    class Spy(SoftmaxCrossEntropy):
        def rows(self, z, y, dz, t):
            sizes.append(len(z))
            return super().rows(z, y, dz, t)

    assert len(list(train(Network([Dense(2)], 1), np.ones((40, 1)), [0] * 40, loss=Spy()))) == 20
    assert sizes == 20 * [32, 8]


def test_without_shuffling_rows_come_in_their_order():
    seen = []

    class Spy(SoftmaxCrossEntropy):
        def rows(self, z, y, dz, t):
            seen.append(y.tolist())
            return super().rows(z, y, dz, t)

    y = np.arange(5)
    network = Network([Dense(5)], 2, seed=0)
    list(train(network, np.zeros((5, 2)), y, loss=Spy(), epochs=1, batch_size=2, shuffle=False))
    assert seen == [[0, 1], [2, 3], [4]]
    seen.clear()
    list(train(network, np.zeros((5, 2)), y, loss=Spy(), epochs=3, batch_size=5, seed=0))
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in seen)
    assert len({tuple(order) for order in seen}) == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_does_not_grow_after_the_first_epoch(dtype):
    # There are batch times width entries per layer, and far more parameters: not even one byte for
    # each entry is allocated. (NumPy converts between types through buffers of a fixed size.)
    B, width = 256, 1000
    layers = [Dense(width), ReLU(), Dense(width), Tanh(), Dropout(0.1), Dense(width), Logistic(), Dense(300)]
    network = Network(layers, 20, dtype=dtype, seed=0)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4 * B + 7, 20)), rng.integers(300, size=4 * B + 7)
    peaks = []

    def measured(progress):  # called between the gradient and the step
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
        return 1.0

    runs = train(network, X, y, optimizer=Adam(), epochs=2, batch_size=B, alpha=0.1, schedule=measured)
    next(runs)
    tracemalloc.start()
    base = tracemalloc.get_traced_memory()[0]
    next(runs)
    tracemalloc.stop()
    assert max(peaks[6:]) - base < B * width


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.1, 0.9), SGD(0.1, 0.9, True)], ids=repr)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_moments_and_weights_of_dead_units_do_not_become_subnormal(optimizer, dtype, alpha, monkeypatch):
    # Subnormal numbers made an epoch of digits take up to nine times as long.
    def trained():
        network = Network([Dense(8), ReLU(), Dense(3)], 4, dtype=dtype, seed=0)
        state = TrainState(network, optimizer, seed=0)
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(20, 4)), rng.integers(3, size=20)
        options = {"state": state, "batch_size": 2, "alpha": alpha}
        list(train(network, X, y, epochs=20, **options))
        network.parameters[0].b[:4] = -1e3  # these units die, and their moments decay
        list(train(network, X, y, epochs=1000 if dtype == "float32" else 800, **options))
        return state

    def subnormal(vector):
        return int(((vector != 0) & (np.abs(vector) < np.finfo(dtype).tiny)).sum())

    state = trained()
    moments = vars(state.optimizer_state)["M" if isinstance(optimizer, Adam) else "u"]
    assert subnormal(moments) == subnormal(state.network.theta) == 0
    assert (moments == 0).any()
    monkeypatch.setattr(optimizers, "flush_subnormals", lambda vector: None)
    unflushed = trained()
    assert subnormal(vars(unflushed.optimizer_state)["M" if isinstance(optimizer, Adam) else "u"]) > 0
    np.testing.assert_allclose(state.network.theta, unflushed.network.theta, rtol=1e-5, atol=1e-28)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("optimizer", "flushed"), [(Adam(), "M"), (SGD(0.1, 0.9, True), "u"), (SGD(0.1), "")]
)
def test_a_flush_sets_only_numbers_near_the_subnormal_range_to_zero(optimizer, flushed, dtype):
    small = 2.0**26 * np.finfo(dtype).tiny
    theta = np.empty(80_400, dtype)  # more than one block
    values = np.resize(np.array([small / 2, -small / 2, small, -small, 1.0, -1.0, 0.0], dtype), theta.size)
    zeroed = np.where(np.abs(values) < small, 0, values)

    class Stays(type(optimizer)):
        def update(self, g, s, rate):
            g[...] = 0.0

    kept = Stays(**vars(optimizer))
    for t in (98, 99):
        for regularized in (True, False):
            theta[...], s = values, kept.init(theta)
            s.t = t
            for name in s.arrays:
                setattr(s, name, values)
            kept.step(theta, np.zeros_like(theta), s, 0.1, theta[:80_000] if regularized else None)
            now = t == 99  # that was step 100
            np.testing.assert_array_equal(
                theta[:80_000], (zeroed if now and regularized else values)[:80_000]
            )
            np.testing.assert_array_equal(theta[80_000:], values[80_000:])
            for name, array in s.arrays.items():
                np.testing.assert_array_equal(array, zeroed if now and name == flushed else values)


@pytest.mark.parametrize(
    ("kinds", "regularized"),
    [({}, False), ({"alpha": 1e-9}, True), ({"optimizer": SGD(0.1, weight_decay=1e-9)}, True)],
)
def test_training_flushes_regularized_weights_every_hundred_steps(kinds, regularized, monkeypatch):
    calls = []
    network = Network([Dense(2)], 1, seed=0)
    flushes = lambda vector: calls.append(np.shares_memory(vector, network.regularized))  # noqa: E731
    monkeypatch.setattr(optimizers, "flush_subnormals", flushes)
    list(train(network, [[1.0]], [0], epochs=250, **kinds))
    assert calls == ([True, True] if regularized else [])


def exploding(**options):
    network = Network([Dense(16), Dense(16), Dense(10)], 64, seed=0)
    return train(network, DIGITS[:200] * 1e4, LABELS[:200], optimizer=SGD(1e8), batch_size=50, **options)


def test_a_divergence_error_names_epoch_batch_and_fix():
    run = exploding(seed=0)
    with pytest.raises(DivergenceError) as caught:
        list(run)
    error = caught.value
    assert error.epoch >= 1
    assert 1 <= error.batch <= 4
    assert error.largest_input == 16e4
    assert error.learning_rate == 1e8
    for part in (f"epoch {error.epoch}, batch {error.batch}", "1.6e+05", "Scale the inputs", "now 1e+08"):
        assert part in str(error)
    assert isinstance(error, ValueError)


def test_on_nonfinite_stop_ends_the_training_and_continue_does_not():
    run = exploding(seed=0, on_nonfinite="stop", epochs=30)
    stopped = list(run)
    assert stopped[-1].first_nonfinite is not None
    assert all(report.first_nonfinite is None for report in stopped[:-1])
    assert "not finite from batch" in str(stopped[-1])
    run = exploding(seed=0, on_nonfinite="continue", epochs=30)
    continued = list(run)
    assert len(continued) == 30
    first = next(report for report in continued if report.first_nonfinite is not None)
    assert (first.index, first.first_nonfinite) == (stopped[-1].index, stopped[-1].first_nonfinite)
    assert not np.isfinite(continued[-1].loss)


def test_no_step_is_taken_after_a_nonfinite_loss():
    network = Network([Dense(3)], 2, seed=0)
    before = network.theta.copy()
    X = np.full((4, 2), 1e30)
    with pytest.raises(DivergenceError):
        list(train(network, X, [0, 1, 2, 0], loss=NaiveSoftmaxCrossEntropy(), batch_size=4))
    np.testing.assert_array_equal(network.theta, before)


@pytest.mark.parametrize("on_nonfinite", ["raise", "stop"])
def test_nonfinite_parameters_after_the_last_step_are_detected(on_nonfinite):
    network = Network([Dense(2)], 1, seed=0)
    run = train(
        network,
        np.full((2, 1), 1e30),
        [0, 1],
        optimizer=SGD(1e30),
        epochs=1,
        batch_size=2,
        on_nonfinite=on_nonfinite,
    )
    if on_nonfinite == "raise":
        with pytest.raises(DivergenceError, match="epoch 1, batch 1: the loss is"):
            list(run)
    else:
        assert [report.first_nonfinite for report in run] == [1]


def test_large_logits_do_not_affect_the_stable_loss():
    # The logits of this network are large: the naive loss is not finite, the stable loss is.
    X = DIGITS * 255 / 16
    reports = {}
    for loss in (NaiveSoftmaxCrossEntropy(), SoftmaxCrossEntropy()):
        network = Network([Dense(64), ReLU(), Dense(10)], 64, seed=0)
        run = train(
            network, X, LABELS, loss=loss, optimizer=Adam(0.02), epochs=3, seed=0, on_nonfinite="continue"
        )
        reports[loss] = list(run)
    naive, stable = reports.values()
    assert not np.isfinite(naive[0].loss)
    assert stable[0].largest_logit > 100  # exp overflows at 88.7
    assert np.isfinite([report.loss for report in stable]).all()


def test_the_error_state_of_numpy_is_restored_between_epochs():
    before = np.geterr()
    network = Network([Dense(2)], 1, seed=0)
    for _ in train(network, np.ones((4, 1)), [0, 1, 0, 1], epochs=2):
        assert np.geterr() == before
    with pytest.raises(DivergenceError):
        list(exploding())
    assert np.geterr() == before


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"epochs": -1}, ValueError, "epochs must be at least 0, got -1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"alpha": -0.1}, ValueError, r"alpha must be in \[0, inf\), got -0.1"),
        ({"alpha": np.nan}, ValueError, "got nan"),
        ({"epochs": 2.5}, TypeError, "epochs must be a whole number, got 2.5"),
        ({"batch_size": True}, TypeError, "batch_size must be a whole number, got True"),
        ({"optimizer": "adam"}, TypeError, "instance of Optimizer, got 'adam'"),
        ({"optimizer": Adam}, TypeError, "instance of Optimizer, got <class"),
        ({"loss": "softmax"}, TypeError, "instance of Loss, got 'softmax'"),
        ({"loss": SoftmaxCrossEntropy}, TypeError, "instance of Loss, got <class"),
        ({"seed": np.random.RandomState(0)}, TypeError, "got a RandomState"),
        ({"state": TrainState(Network([Dense(2)], 3), Adam())}, ValueError, "another network"),
        ({"on_nonfinite": "ignore"}, ValueError, "got 'ignore'"),
        ({"sample_weight": [1.0, -1.0]}, ValueError, "got -1.0 at row 1"),
        ({"y": [0, 2]}, ValueError, "from 0 to 1, got 2"),
        ({"y": [0.0, 1.0]}, TypeError, "integer codes"),
        ({"X": np.ones((2, 4))}, ValueError, r"shape \(n, 3\), got \(2, 4\)"),
        ({"X": [[1, 2, np.nan], [1, 2, 3]]}, ValueError, "NaN at row 0, column 2"),
        ({"X": np.empty((0, 3)), "y": []}, ValueError, "at least one row .* an input of 0 rows$"),
    ],
)
def test_invalid_arguments_are_refused_before_training(options, error, match):
    options = {"X": np.ones((2, 3)), "y": [0, 1], **options}
    with pytest.raises(error, match=match):
        train(Network([Dense(2)], 3), **options)


def test_a_state_cannot_be_combined_with_an_optimizer_or_a_seed():
    state = TrainState(Network([Dense(2)], 3), Adam())
    for options in ({"optimizer": Adam()}, {"seed": 0}):
        with pytest.raises(ValueError, match="optimizer and seed must be None with a state"):
            train(state.network, np.ones((2, 3)), [0, 1], state=state, **options)


def test_a_network_without_parameters_is_refused():
    with pytest.raises(ValueError, match="nothing to train: no layer of"):
        train(Network([Tanh()], 3), np.ones((2, 3)), [0, 1])


def test_a_snapshot_can_be_restored_after_a_change_of_optimizer():
    X, y = DIGITS[:100] / 16, LABELS[:100]
    for first, second in [(Adam(), SGD(0.1)), (SGD(0.1), SGD(0.1, 0.9)), (SGD(0.1, 0.9), Adam())]:
        states = [TrainState(Network([Dense(10)], 64, seed=0), first, seed=0) for _ in range(2)]
        for state in states:
            list(train(state.network, X, y, state=state, epochs=1))
        snapshot = states[0].snapshot()
        states[0].use(second)
        list(train(states[0].network, X, y, state=states[0], epochs=1))
        states[0].restore(snapshot)
        for state in states:
            list(train(state.network, X, y, state=state, epochs=2))
        np.testing.assert_array_equal(states[0].network.theta, states[1].network.theta)


@pytest.mark.parametrize("bad", [3, 5])
def test_the_report_of_an_epoch_that_stopped_has_the_numbers_so_far(bad):
    class Breaks(SoftmaxCrossEntropy):
        def rows(self, z, y, dz, t):
            losses = super().rows(z, y, dz, t)
            seen.append(losses.mean())
            return losses * (np.nan if len(seen) == bad else 1.0)

    for mode, n_seen in [("stop", bad), ("continue", 5)]:
        seen = []
        state = TrainState(Network([Dense(10)], 64, dtype="float64", seed=0), SGD())
        kinds = {"loss": Breaks(), "batch_size": 10, "epochs": 2, "on_nonfinite": mode, "state": state}
        reports = list(train(state.network, DIGITS[:50] / 16, LABELS[:50], **kinds))
        assert reports[0].first_nonfinite == bad
        assert len(seen) == n_seen * len(reports)
        assert len(reports) == (1 if mode == "stop" else 2)
        assert state.optimizer_state.t == (bad - 1 if mode == "stop" else 10)
        assert np.isnan(reports[0].loss)
        # The norm is that of the last batch, which may not have been reached.
        assert np.isnan(reports[0].gradient_norm) == (mode == "stop" and bad < 5)


class Indifferent(SoftmaxCrossEntropy):
    """A loss that is 0 for any logits."""

    def rows(self, z, y, dz, t):
        dz[...] = 0.0
        return np.zeros(len(z))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_nonfinite_logit_is_reported_even_if_the_loss_is_finite(value):
    class Breaks(Tanh):
        def forward(self, p, t):
            super().forward(p, t)
            if t.y[0, 0] > 0.5:
                t.y[0, 1] = value

    network = Network([Dense(2), Breaks()], 1, seed=0)
    network.parameters[0].W = [[1.0, 1.0]]
    network.parameters[0].b = [0.0, 0.0]
    X = np.array([[0.1], [0.1], [2.0], [0.1]])
    kinds = {"loss": Indifferent(), "batch_size": 1, "shuffle": False, "epochs": 1}
    (report,) = train(network, X, [0] * 4, on_nonfinite="continue", **kinds)
    assert report.first_nonfinite == 3
    assert not np.isfinite(report.largest_logit)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_any_nonfinite_parameter_after_the_last_step_is_detected(value):
    class Breaks(SGD):
        def update(self, g, s, rate):
            g[...] = 0.0
            g[-1] = value

    network = Network([Dense(2)], 1, seed=0)
    with pytest.raises(DivergenceError, match="batch 1: .*; after the step, the parameters"):
        list(train(network, [[1.0]], [0], optimizer=Breaks(0.1), epochs=1))


def test_the_gradient_norm_does_not_overflow_before_the_gradient_does():
    network = Network([Dense(2)], 1, seed=0)
    run = train(network, [[1e25]], [1], epochs=1, optimizer=SGD(1e-30), on_nonfinite="continue")
    assert 1e24 < next(run).gradient_norm < 1e26


def test_a_divergence_error_has_the_numbers_of_the_failing_batch():
    X = np.array([[1.0], [1.0], [1.0], [50.0], [2.0]])  # batches of 2: the last is short
    network = Network([Dense(2)], 1, seed=0)

    class BreaksAtThree(SoftmaxCrossEntropy):
        calls = 0

        def rows(self, z, y, dz, t):
            BreaksAtThree.calls += 1
            return super().rows(z, y, dz, t) * (np.nan if BreaksAtThree.calls == 3 else 1.0)

    state = TrainState(network, SGD(0.1))
    state.epoch, state.scale = 6, 0.5
    schedule = lambda progress: 1.0 - progress  # noqa: E731
    kinds = {"state": state, "schedule": schedule, "batch_size": 2, "shuffle": False, "epochs": 1}
    with pytest.raises(DivergenceError) as caught:
        list(train(network, X, [0] * 5, loss=BreaksAtThree(), **kinds))
    error = caught.value
    assert (error.epoch, error.batch, error.largest_input, error.scaled) == (7, 3, 2.0, False)
    assert error.learning_rate == pytest.approx(0.1 * 0.5 / 3)
    assert (state.epoch, state.optimizer_state.t) == (6, 2)
    BreaksAtThree.calls = 2
    model = TinyClassifier((), loss=BreaksAtThree(), random_state=0, early_stopping=False)
    with pytest.raises(DivergenceError, match="batch 1: .*Lower the learning rate") as caught:
        model.fit(X, [0, 1, 0, 1, 0])
    assert caught.value.scaled is True


def test_a_state_does_not_store_its_seed():
    seed = np.random.default_rng(0)
    assert TrainState(Network([Dense(2)], 1), SGD(), seed).seed is None


def test_a_snapshot_restores_the_whole_state():
    X, y = DIGITS[:100] / 16, LABELS[:100]
    state = TrainState(
        Network([Dense(8), PReLU(), LayerNorm(), Dropout(0.2), Dense(10)], 64, seed=0), Adam(), seed=0
    )
    list(train(state.network, X, y, state=state, epochs=2))
    snapshot = state.snapshot()
    weights = state.network.parameters[0].W
    first = [report.loss for report in train(state.network, X, y, state=state, epochs=2)]
    theta = state.network.theta.copy()
    state.restore(snapshot)
    assert state.epoch == 2
    assert [report.loss for report in train(state.network, X, y, state=state, epochs=2)] == first
    np.testing.assert_array_equal(state.network.theta, theta)
    assert np.shares_memory(weights, state.network.theta)


def test_a_copied_state_trains_like_the_original():
    X, y = DIGITS[:100] / 16, LABELS[:100]
    state = TrainState(Network([Dense(8), Dropout(0.2), Dense(10)], 64, seed=0), Adam(), seed=0)
    list(train(state.network, X, y, state=state, epochs=1))
    copied = copy.deepcopy(state)
    for one in (state, copied):
        list(train(one.network, X, y, state=one, epochs=2))
    np.testing.assert_array_equal(state.network.theta, copied.network.theta)


def test_another_optimizer_keeps_the_arrays_of_the_same_name():
    state = TrainState(Network([Dense(2)], 3, seed=0), SGD(0.1, 0.9))
    state.optimizer_state.u += 1.0
    state.optimizer_state.t = 7
    state.use(SGD(0.2, 0.5))
    assert state.optimizer_state.t == 7
    state.use(SGD(0.2, 0.5, nesterov=True))
    assert state.optimizer_state.t == 0
    assert state.optimizer_state.u.all()
    assert not state.optimizer_state.w.any()
    state.use(Adam())
    assert set(state.optimizer_state.arrays) == {"M", "V"}


def test_only_a_gradient_above_max_grad_norm_is_clipped():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(3, size=40)
    start = Network([Dense(3)], 3, dtype="float64", seed=0)
    kinds = {"optimizer": SGD(1.0), "epochs": 1, "batch_size": 40, "alpha": 0.5, "shuffle": False}

    def step(max_grad_norm):
        network = start.copy()
        (report,) = train(network, X, y, max_grad_norm=max_grad_norm, **kinds)
        return start.theta - network.theta, report.gradient_norm

    plain, norm = step(None)
    assert np.linalg.norm(plain) == pytest.approx(norm, rel=1e-12)
    clipped, reported = step(norm / 3)
    np.testing.assert_allclose(clipped, plain / 3, rtol=1e-9)
    assert reported == norm  # before clipping
    np.testing.assert_array_equal(step(norm * 1.01)[0], plain)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"max_grad_norm must be in \(0, inf\]"):
            train(start, X, y, max_grad_norm=wrong)


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1.0, 1e160, 1e300])
def test_the_norm_of_a_vector_neither_overflows_nor_underflows(size):
    vector = np.array([3.0, 0.0, -4.0]) * size
    assert euclidean_norm(vector) == pytest.approx(5.0 * size, rel=1e-14, abs=0)
    assert euclidean_norm(np.zeros(3)) == euclidean_norm(np.zeros(0)) == 0.0
    assert np.isnan(euclidean_norm(np.array([np.nan, 1.0])))
    assert euclidean_norm(np.array([np.inf, 1.0])) == np.inf


def test_the_norm_of_a_vector_is_summed_in_float64():
    vector = np.random.default_rng(0).normal(size=10_000).astype("float32")
    assert euclidean_norm(vector) == pytest.approx(np.linalg.norm(vector.astype("float64")), rel=1e-14)


def trained_state(optimizer=None):
    X, y = DIGITS[:60] / 16, LABELS[:60]
    network = Network([Dense(6), ReLU(), Dropout(0.2), Dense(10)], 64, seed=0)
    state = TrainState(network, optimizer or Adam(), seed=0)
    state.scale = 0.5
    list(train(network, X, y, state=state, epochs=2))
    return state


def trained_further(state):
    list(train(state.network, DIGITS[:60] / 16, LABELS[:60], state=state, epochs=2))
    return state.network.theta


@pytest.mark.parametrize("optimizer", [Adam(), SGD(0.1), SGD(0.1, 0.9, True)], ids=repr)
def test_a_copy_and_the_dict_of_a_state_are_independent_and_train_to_the_same_bits(optimizer):
    state = trained_state(optimizer)
    theta, d, copied = state.network.theta.copy(), state.to_dict(), state.copy()
    assert set(d) == {"optimizer", "t", "arrays", "generators", "scale", "epoch"}
    assert (d["t"], d["scale"], d["epoch"], d["optimizer"]) == (4, 0.5, 2, optimizer)
    expected = trained_further(state).copy()
    np.testing.assert_array_equal(copied.network.theta, theta)
    np.testing.assert_array_equal(trained_further(copied), expected)
    for _ in range(2):  # training a state made from d does not change d
        network = state.network.copy()
        network.theta = theta
        np.testing.assert_array_equal(trained_further(TrainState.from_dict(network, d)), expected)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"optimizer": "adam"}, "optimizer must be an instance of Optimizer, got 'adam'"),
        ({"arrays": {"M": np.zeros(3, "float32")}}, r"must have the arrays \['M', 'V'\], got"),
        ({"M": np.zeros(3, "float32")}, r"state 'M' must be an array float32\(8,\), got float32\(3,\)"),
        ({"V": np.zeros(8)}, r"state 'V' must be an array float32\(8,\), got float64\(8,\)"),
        ({"V": None}, "got None"),
        ({"t": -1}, "t must be a whole number >= 0, got -1"),
        ({"t": 1.0}, "t must be a whole number >= 0, got 1.0"),
        ({"epoch": True}, "epoch must be a whole number >= 0, got True"),
        ({"epoch": -1}, "epoch must be a whole number"),
        ({"scale": np.nan}, "scale must be a finite number >= 0, got nan"),
        ({"scale": np.inf}, "got inf"),
        ({"scale": -0.5}, "got -0.5"),
        ({"scale": "1"}, "got '1'"),
        ({"generators": [np.random.default_rng(0)]}, "must have two random generators"),
        ({"generators": [0, 1]}, "must have two random generators"),
        ({"M": "x"}, "'M' must be an array .*, got 'x'"),
        ({"momentum": 0}, r"must have the parts \['arrays', 'epoch', .*, got .*'momentum': 0"),
    ],
)
def test_an_invalid_state_is_refused(changes, match):
    network = Network([Dense(2)], 3, seed=0)
    d = TrainState(network, Adam()).to_dict()
    for name, value in changes.items():
        (d["arrays"] if name in "MV" else d)[name] = value
    with pytest.raises((TypeError, ValueError), match=match):
        TrainState.from_dict(network, d)
    with pytest.raises(ValueError, match="must have the parts .*, got 3"):
        TrainState.from_dict(network, 3)


def test_training_on_chosen_rows_equals_training_on_a_copy_of_them():
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(50, 3)), rng.integers(3, size=50), rng.integers(0, 3, 50)
    rows = rng.permutation(50)[:30]
    thetas = []
    for data, kinds in [
        ((X, y), {"rows": rows, "sample_weight": w}),
        ((X[rows], y[rows]), {"sample_weight": w[rows]}),
    ]:
        network = Network([Dense(3)], 3, dtype="float64", seed=0)
        reports = list(train(network, *data, epochs=4, batch_size=8, seed=0, **kinds))
        assert reports[0].rows == np.count_nonzero(w[rows])
        thetas.append(network.theta)
    np.testing.assert_array_equal(*thetas)
    network = Network([Dense(3)], 3)
    for wrong, error, match in [
        ([0, 50], ValueError, "rows must be indices from 0 to 49, got 0 to 50"),
        ([-1], ValueError, "got -1 to -1"),
        ([0.5], TypeError, "rows must be a list of indices, got an array float64"),
        ([[1]], TypeError, r"array int64\(1, 1\)"),
        ([], ValueError, "at least one row to train on, got an input of 50 rows, 0 of them chosen, none"),
    ]:
        with pytest.raises(error, match=match):
            train(network, X, y, rows=wrong)


def test_training_in_two_parts_equals_training_in_one():
    X, y = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 3

    def fresh():
        return TrainState(Network([Dense(4), Dropout(0.3), Dense(3)], 3, seed=0), Adam(0.01), seed=1)

    settings = {"epochs": 6, "batch_size": 8, "schedule": linear}
    whole, parts = fresh(), fresh()
    reports = list(train(whole.network, X, y, state=whole, **settings))
    first = train(parts.network, X, y, state=parts, **settings)
    again = [next(first) for _ in range(4)] + list(
        train(parts.network, X, y, state=parts, done=4, **settings)
    )
    assert [(epoch.index, epoch.loss) for epoch in again] == [(epoch.index, epoch.loss) for epoch in reports]
    np.testing.assert_array_equal(parts.network.theta, whole.network.theta)
    assert list(train(parts.network, X, y, state=parts, done=6, **settings)) == []
    for done in (7, -1, 0.5):
        with pytest.raises((ValueError, TypeError), match=f"done .*{done}"):
            train(parts.network, X, y, state=parts, done=done, **settings)
