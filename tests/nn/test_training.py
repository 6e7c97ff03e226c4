"""Training against scikit-learn and against gradient descent by hand."""

import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from tests.support.rounding import assert_same_sum
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
    added_W, added_b = np.abs(W), np.abs(b)
    for _ in range(10):
        d = (softmax(X @ W + b) - np.eye(3)[y]) / len(X)
        W, b = W - 0.5 * X.T @ d, b - 0.5 * d.sum(axis=0)
        added_W, added_b = added_W + 0.5 * np.abs(X.T) @ np.abs(d), added_b + 0.5 * np.abs(d).sum(axis=0)
    terms = 10 * (len(X) + 3)
    assert_same_sum(network.parameters[0].W, W, added_W, terms)
    assert_same_sum(network.parameters[0].b, b, added_b, terms)


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
    np.testing.assert_allclose(*thetas, rtol=1e-12, atol=1e-12 * np.abs(thetas[0]).max())


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
    if sparse:
        np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-12)
    else:
        np.testing.assert_array_equal(results[0], results[1])


def test_a_dense_layer_with_custom_forward_or_buffers_gets_dense_rows():
    class Mixin:
        def forward(self, p, t):
            t.y = np.einsum("ij,jk->ik", t.x, p.W) + p.b

    class Mixed(Mixin, Dense):
        def buffers(self, n_in):
            return {"mine": Buffer(n_in)}

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


@pytest.mark.promise("the same seed gives the same bits")
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


def batches(n, **options):
    """Train on n rows with the targets 0 to n - 1; return the targets of each batch."""
    seen = []

    class Spy(SoftmaxCrossEntropy):
        def rows(self, z, y, dz, t):
            seen.append(y.tolist())
            return super().rows(z, y, dz, t)

    list(train(Network([Dense(n)], 2, seed=0), np.zeros((n, 2)), np.arange(n), loss=Spy(), **options))
    return seen


def test_the_default_is_20_epochs_of_batches_of_32():
    assert [len(batch) for batch in batches(40)] == 20 * [32, 8]


def test_rows_come_in_a_new_order_in_each_epoch_or_without_shuffling_in_theirs():
    assert batches(5, epochs=1, batch_size=2, shuffle=False) == [[0, 1], [2, 3], [4]]
    orders = batches(5, epochs=3, batch_size=5, seed=0)
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_does_not_grow_after_the_first_epoch(dtype):
    # There are batch times width entries per layer, and far more parameters: not even one byte for
    # each entry is allocated. (NumPy converts between types through buffers of a fixed size.)
    B, width = 640, 400
    layers = [Dense(width), ReLU(), Dense(width), Tanh(), Dropout(0.1), Dense(width), Logistic(), Dense(300)]
    network = Network(layers, 20, dtype=dtype, seed=0)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2 * B + 7, 20)), rng.integers(300, size=2 * B + 7)
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
    assert max(peaks[4:]) - base < B * width


def exploding(**options):
    network = Network([Dense(16), Dense(16), Dense(10)], 64, seed=0)
    return train(network, DIGITS[:200] * 1e4, LABELS[:200], optimizer=SGD(1e8), batch_size=50, **options)


@pytest.mark.promise("never nan")
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


def test_a_divergence_error_has_the_loss_and_the_largest_logit_of_its_batch():
    network, X, y = Network([Dense(10)], 64, seed=0), DIGITS[:200] * 1e4, LABELS[:200]
    network.parameters[0].W[:, 0] = np.inf
    with pytest.raises(DivergenceError) as caught:
        list(train(network, X, y, batch_size=200))
    z = network.logits(X)  # there was no step
    np.testing.assert_array_equal(caught.value.largest_logit, np.abs(z).max())
    np.testing.assert_array_equal(caught.value.loss, SoftmaxCrossEntropy().mean(z, y))


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


def test_large_logits_do_not_affect_the_stable_loss():
    # The logits of this network are large: the naive loss is not finite, the stable loss is.
    X, y = DIGITS[:500] * 255 / 16, LABELS[:500]
    reports = {}
    for loss in (NaiveSoftmaxCrossEntropy(), SoftmaxCrossEntropy()):
        network = Network([Dense(64), ReLU(), Dense(10)], 64, seed=0)
        run = train(network, X, y, loss=loss, optimizer=Adam(0.02), epochs=3, seed=0, on_nonfinite="continue")
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


@pytest.mark.promise("each call works or raises an error that names the cause")
@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"epochs": -1}, ValueError, "epochs must be at least 0, got -1"),
        ({"epochs": 2.5}, TypeError, "epochs .*2.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": True}, TypeError, "batch_size .*True"),
        ({"alpha": -0.1}, ValueError, r"alpha must be in \[0, inf\), got -0.1"),
        ({"alpha": np.nan}, ValueError, "alpha .*nan"),
        ({"max_grad_norm": 0.0}, ValueError, r"max_grad_norm must be in \(0, inf\], got 0.0"),
        ({"max_grad_norm": -1.0}, ValueError, "max_grad_norm .*-1.0"),
        ({"max_grad_norm": np.nan}, ValueError, "max_grad_norm .*nan"),
        ({"done": 21}, ValueError, "done .*20, .*21"),
        ({"done": -1}, ValueError, "done must be at least 0, got -1"),
        ({"done": 0.5}, TypeError, "done .*0.5"),
        ({"optimizer": "adam"}, TypeError, "^optimizer .*'adam'"),
        ({"optimizer": Adam}, TypeError, "^optimizer .*<class"),
        ({"loss": "softmax"}, TypeError, "^loss .*'softmax'"),
        ({"loss": SoftmaxCrossEntropy}, TypeError, "^loss .*<class"),
        ({"seed": np.random.RandomState(0)}, TypeError, "seed .*RandomState"),
        ({"state": TrainState(Network([Dense(2)], 3), Adam())}, ValueError, "state .*another network"),
        ({"on_nonfinite": "ignore"}, ValueError, "on_nonfinite .*'ignore'"),
        ({"sample_weight": [1.0, -1.0]}, ValueError, "sample_weight .*-1.0 at row 1"),
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


@pytest.mark.promise("never nan")
@pytest.mark.parametrize("on_nonfinite", ["raise", "stop"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_any_nonfinite_parameter_after_the_last_step_is_detected(value, on_nonfinite):
    class Breaks(SGD):
        def update(self, g, s, rate):
            g[...] = 0.0
            g[-1] = value

    network = Network([Dense(2)], 1, seed=0)
    run = train(network, [[1.0]], [0], optimizer=Breaks(0.1), epochs=2, on_nonfinite=on_nonfinite)
    if on_nonfinite == "raise":
        with pytest.raises(DivergenceError, match="epoch 1, batch 1: .*; after the step, the parameters"):
            list(run)
    else:
        assert [report.first_nonfinite for report in run] == [1]


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
    np.testing.assert_allclose(clipped, plain / 3, rtol=1e-9, atol=1e-15 * np.abs(start.theta).max())
    assert reported == norm  # before clipping
    np.testing.assert_array_equal(step(norm * 1.01)[0], plain)


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


@pytest.mark.promise("a fit that was killed")
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
