"""The state of training: copies, snapshots, changes of the optimizer, and invalid states."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.support.parts import LayerNorm, PReLU
from tinyclf import SGD, Adam, Dense, Dropout, Network, ReLU, train
from tinyclf.nn.state import TrainState

DIGITS, LABELS = load_digits(return_X_y=True)
X, y = DIGITS[:60] / 16, LABELS[:60]


def test_a_state_does_not_store_its_seed():
    seed = np.random.default_rng(0)
    assert TrainState(Network([Dense(2)], 1), SGD(), seed).seed is None


def trained_state(optimizer):
    network = Network([Dense(6), ReLU(), Dropout(0.2), Dense(10)], 64, seed=0)
    state = TrainState(network, optimizer, seed=0)
    state.scale = 0.5
    list(train(network, X, y, state=state, epochs=2))
    return state


def trained_further(state):
    list(train(state.network, X, y, state=state, epochs=2))
    return state.network.theta


@pytest.mark.promise("a fit that was killed")
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


def test_a_snapshot_restores_the_whole_state():
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


def test_a_snapshot_can_be_restored_after_a_change_of_optimizer():
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


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"optimizer": "adam"}, "optimizer .*'adam'"),
        ({"arrays": {"M": np.zeros(3, "float32")}}, r"arrays \['M', 'V'\], got"),
        ({"M": np.zeros(3, "float32")}, r"'M' .*float32\(8,\), got float32\(3,\)"),
        ({"V": np.zeros(8)}, r"'V' .*float32\(8,\), got float64\(8,\)"),
        ({"V": None}, "'V' .*None"),
        ({"M": "x"}, "'M' .*'x'"),
        ({"t": -1}, "^t .*-1"),
        ({"t": 1.0}, "^t .*1.0"),
        ({"epoch": True}, "epoch .*True"),
        ({"epoch": -1}, "epoch .*-1"),
        ({"scale": np.nan}, "scale .*nan"),
        ({"scale": np.inf}, "scale .*inf"),
        ({"scale": -0.5}, "scale .*-0.5"),
        ({"scale": "1"}, "scale .*'1'"),
        ({"generators": [np.random.default_rng(0)]}, "two random generators"),
        ({"generators": [0, 1]}, "two random generators"),
        ({"momentum": 0}, r"parts \['arrays', 'epoch', .*, got .*'momentum': 0"),
    ],
)
def test_an_invalid_state_is_refused(changes, match):
    network = Network([Dense(2)], 3, seed=0)
    d = TrainState(network, Adam()).to_dict()
    for name, value in changes.items():
        (d["arrays"] if name in "MV" else d)[name] = value
    with pytest.raises((TypeError, ValueError), match=match):
        TrainState.from_dict(network, d)
    with pytest.raises(ValueError, match="parts .*, got 3"):
        TrainState.from_dict(network, 3)


def test_a_change_of_optimizer_restarts_the_bias_correction():
    # Adam's first step is the learning rate in each coordinate, however many steps were taken before.
    rows, labels = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    state = TrainState(Network([Dense(2)], 3, dtype="float64", seed=0), SGD(0.1, 0.9))
    list(train(state.network, rows, labels, state=state, epochs=5, batch_size=20))
    state.use(Adam(0.01, epsilon=1e-12))
    before = state.network.theta.copy()
    list(train(state.network, rows, labels, state=state, epochs=1, batch_size=20))
    np.testing.assert_allclose(np.abs(state.network.theta - before), 0.01, rtol=1e-6)


def test_the_scale_of_the_state_multiplies_the_learning_rate_until_it_is_reset():
    scaled, plain = (
        TrainState(Network([Dense(10)], 64, dtype="float64", seed=0), SGD(rate)) for rate in (0.4, 0.1)
    )
    scaled.scale = 0.25
    for state in (scaled, plain):
        list(train(state.network, X, y, state=state, epochs=3, shuffle=False))
    np.testing.assert_array_equal(scaled.network.theta, plain.network.theta)
    scaled.use(SGD(0.1))
    assert scaled.scale == 0.25
    scaled.use(SGD(0.1), reset=True)
    assert (scaled.scale, scaled.optimizer_state.t) == (1.0, 0)
