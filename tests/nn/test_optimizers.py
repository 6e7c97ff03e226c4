"""Optimizers against scikit-learn's, on random gradients."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from tests.support.parts import OPTIMIZERS
from tinyclf import SGD, Adam, AdamW, Dense, DivergenceError, Network, Optimizer, train
from tinyclf.nn.optimizers import OptimizerState
from tinyclf.nn.state import TrainState


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(0.1), lambda p: SGDOptimizer(p, 0.1, momentum=0.0, nesterov=False)),
        (SGD(0.1, 0.9), lambda p: SGDOptimizer(p, 0.1, momentum=0.9, nesterov=False)),
        (SGD(0.1, 0.9, True), lambda p: SGDOptimizer(p, 0.1, momentum=0.9, nesterov=True)),
        (Adam(0.01), lambda p: AdamOptimizer(p, 0.01)),
        (Adam(0.01, 0.5, 0.9, 1e-3), lambda p: AdamOptimizer(p, 0.01, 0.5, 0.9, 1e-3)),
    ],
    ids=lambda v: None if callable(v) else repr(v),
)
def test_a_hundred_steps_equal_those_of_scikit_learn(ours, theirs):
    rng = np.random.default_rng(0)
    theta, expected = np.zeros(50), np.zeros(50)
    other = theirs([expected])
    s = ours.init(theta)
    for t in range(1, 101):
        g = rng.normal(size=50) * 10.0 ** rng.integers(-6, 6, size=50)
        other.update_params([expected], [g.copy()])
        s.t = t
        ours.update(g, s, ours.learning_rate)
        theta -= g
    np.testing.assert_allclose(theta, expected, rtol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_optimizer_learns_and_resumes_from_its_state(optimizer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = (X @ [1.0, -2.0, 0.5] > 0).astype(int)
    kinds = {"epochs": 15, "batch_size": 16}

    def fresh():
        return TrainState(Network([Dense(2)], 3, dtype="float64", seed=0), optimizer, seed=0)

    whole = fresh()
    losses = [epoch.loss for epoch in train(whole.network, X, y, state=whole, **kinds)]
    assert losses[-1] < 0.5 * losses[0]
    halves = fresh()
    for epochs in (7, 8):
        list(train(halves.network, X, y, state=halves, **{**kinds, "epochs": epochs}))
    np.testing.assert_array_equal(halves.network.theta, whole.network.theta)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SGD(0.0), r"learning_rate must be in \(0, inf\), got 0"),
        (lambda: SGD(-1), "got -1"),
        (lambda: Adam(float("nan")), "got nan"),
        (lambda: SGD(0.1, momentum=1.5), r"momentum must be in \[0, 1\], got 1.5"),
        (lambda: SGD(np.inf), "got inf"),
        (lambda: SGD("fast"), "learning_rate must be a number, got 'fast'"),
        (lambda: Adam(beta_2=1.0), r"beta_2 must be in \[0, 1\), got 1.0"),
        (lambda: Adam(beta_1=1.0), r"beta_1 must be in \[0, 1\), got 1.0"),
        (lambda: Adam(beta_2=-0.1), r"^beta_2 must be in \[0, 1\), got -0.1$"),
        (lambda: Adam(beta_1=-0.1), r"^beta_1 must be in \[0, 1\), got -0.1$"),
        (lambda: Adam(epsilon=0.0), r"^epsilon must be in \(0, inf\), got 0.0$"),
        (lambda: Adam(epsilon=np.inf), r"^epsilon must be in \(0, inf\), got inf$"),
        (lambda: AdamW(weight_decay=-0.1), r"weight_decay must be in \[0, inf\), got -0.1"),
        (lambda: SGD(weight_decay=np.nan), "weight_decay.*got nan"),
        (lambda: SGD(weight_decay=np.inf), r"^weight_decay must be in \[0, inf\), got inf$"),
        (lambda: SGD(0.1, momentum=-0.1), r"^momentum must be in \[0, 1\], got -0.1$"),
        (
            lambda: SGD(0.5, weight_decay=2.5),
            r"times weight_decay must be at most 1, got 0.5 \* 2.5; lower one of them$",
        ),
    ],
)
def test_hyperparameters_out_of_range_are_refused(make, match):
    with pytest.raises((ValueError, TypeError), match=match):
        make()
    assert (
        SGD(0.5, weight_decay=2.0).weight_decay == 2.0
    )  # the largest decay: a step sets the weights to zero


@pytest.mark.parametrize(
    ("plain", "with_decay"),
    [
        (SGD(0.1, 0.9), SGD(0.1, 0.9, weight_decay=0.3)),
        (Adam(0.02), AdamW(0.02, weight_decay=0.3)),
        (Adam(0.02), Adam(0.02, weight_decay=0.3)),
    ],
    ids=repr,
)
def test_weight_decay_scales_only_the_regularized_weights_before_each_step(plain, with_decay):
    # AdamW's algorithm 2 by hand: W <- (1 - eta decay) W, then the step that the plain rule takes.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), np.arange(30) % 2
    kinds = {"batch_size": 30, "shuffle": False, "epochs": 1, "schedule": lambda progress: 0.5}
    one, other = (TrainState(Network([Dense(2)], 3, dtype="float64", seed=0), o) for o in (with_decay, plain))
    for _ in range(5):
        before = other.network.regularized.copy()
        list(train(one.network, X, y, state=one, **kinds))
        list(train(other.network, X, y, state=other, **kinds))
        other.network.regularized -= 0.5 * plain.learning_rate * 0.3 * before
        np.testing.assert_allclose(one.network.theta, other.network.theta, rtol=1e-12)
    assert (AdamW().weight_decay, Adam().weight_decay, SGD().weight_decay) == (0.01, 0.0, 0.0)


def test_a_step_in_blocks_equals_a_step_of_the_whole_vector():
    n, rng = 2**19 + 7, np.random.default_rng(0)
    theta, s, r = np.zeros(n), *(Adam().init(np.zeros(n)) for _ in range(2))
    expected = theta.copy()
    for t in (1, 2):
        g = rng.normal(size=n)
        Adam().step(theta, g.copy(), s, 0.01)
        r.t = t
        Adam().update(g, r, 0.01)
        expected -= g
    np.testing.assert_allclose(theta, expected, rtol=1e-14)  # a compiled step rounds differently
    sizes = []

    class Custom(Adam):
        def update(self, g, s, rate):
            sizes.append((g.size, s.t))

    Custom().step(theta, g, s, 0.01)
    assert sizes == [(n, 3)]  # a user-defined update may need the whole vector


def test_the_state_has_only_the_arrays_that_an_optimizer_needs():
    rules = [SGD(0.1), SGD(0.1, nesterov=True), SGD(0.1, 0.9), SGD(0.1, 1.0), SGD(0.1, 0.9, True), Adam()]
    states = [rule.init(np.ones(3, "float32")) for rule in rules]
    assert [tuple(s.arrays) for s in states] == [(), (), ("u",), ("u",), ("u", "w"), ("M", "V")]
    for s in states:
        assert s.t == 0
        assert all(a.dtype == "float32" and a.tolist() == [0.0] * 3 for a in s.arrays.values())


def test_numbers_in_a_state_become_arrays_that_can_be_copied():
    s = OptimizerState(k=0)
    s.k = s.k + 0.5
    assert (s.k.shape, float(s.k), float(copy.deepcopy(s).k)) == ((), 0.5, 0.5)
    assert repr(Adam().init(np.zeros(2))) == "OptimizerState(t=0, M: float64(2,), V: float64(2,))"


def test_pickling_and_copying_keep_a_state():
    s = SGD(0.1, 0.9).init(np.zeros(2))
    s.t, s.u = 7, [1.0, 2.0]
    for other in (pickle.loads(pickle.dumps(s)), copy.deepcopy(s)):
        assert repr(other) == "OptimizerState(t=7, u: float64(2,))"
        other.u += 1.0
        assert s.u.tolist() == [1.0, 2.0]
        assert other.u.tolist() == [2.0, 3.0]
    with pytest.raises(AttributeError, match="no array 'v'"):
        s.v = 1.0


def test_an_overflow_in_adams_state_is_detected():
    # In float32 a gradient of 1e20 makes V inf: every later step would be 0, and the loss constant.
    network = Network([Dense(2)], 1, seed=0)
    with pytest.raises(DivergenceError, match="after the step, the parameters"):
        list(train(network, [[1e22], [1e22]], [0, 1], optimizer=Adam(), epochs=3))


def test_a_change_of_optimizer_restarts_the_bias_correction():
    # Adam's first step is the learning rate in each coordinate, however many steps were taken before.
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    state = TrainState(Network([Dense(2)], 3, dtype="float64", seed=0), SGD(0.1, 0.9))
    list(train(state.network, X, y, state=state, epochs=5, batch_size=20))
    state.use(Adam(0.01, epsilon=1e-12))
    before = state.network.theta.copy()
    list(train(state.network, X, y, state=state, epochs=1, batch_size=20))
    np.testing.assert_allclose(np.abs(state.network.theta - before), 0.01, rtol=1e-6)


def test_an_optimizer_without_update_raises_not_implemented_error():
    with pytest.raises(NotImplementedError, match="Optimizer must define update"):
        Optimizer(0.1).update(np.zeros(1), OptimizerState(), 0.1)


def test_an_epsilon_that_float32_cannot_hold_does_not_become_zero():
    optimizer = Adam(0.1, epsilon=1e-300)
    theta = np.ones(2, np.float32)
    optimizer.step(theta, np.zeros(2, np.float32), optimizer.init(theta), 0.1)
    assert theta.tolist() == [1.0, 1.0]


def test_a_subclass_of_adam_with_its_own_update_gets_the_rate_of_the_step():
    class Sign(Adam):
        def update(self, g, s, rate):
            np.sign(g, out=g)
            g *= rate

    theta = np.zeros(3)
    Sign(0.1).step(theta, np.array([2.0, -3.0, 0.0]), Sign(0.1).init(theta), 0.25)
    assert theta.tolist() == [-0.25, 0.25, 0.0]
