"""Optimizers: steps against scikit-learn's, the state, weight decay, and the flush of subnormal numbers."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from tests.support.parts import OPTIMIZERS
from tests.support.rounding import assert_same_sum
from tinyclf import SGD, Adam, AdamW, Dense, DivergenceError, Network, Optimizer, ReLU, train
from tinyclf.nn import optimizers
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
    theta, expected, added = np.zeros(50), np.zeros(50), np.zeros(50)
    other = theirs([expected])
    s = ours.init(theta)
    for t in range(1, 101):
        g = rng.normal(size=50) * 10.0 ** rng.integers(-6, 6, size=50)
        other.update_params([expected], [g.copy()])
        s.t = t
        ours.update(g, s, ours.learning_rate)
        theta -= g
        added += np.abs(g)
    assert_same_sum(theta, expected, added, terms=200)  # steps, and their momentum or second moment


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
    ("kind", "name", "value"),
    [
        *((SGD, "learning_rate", value) for value in (0.0, -1, np.inf, np.nan, "fast")),
        *((SGD, "momentum", value) for value in (-0.1, 1.5)),
        *((SGD, "weight_decay", value) for value in (np.inf, np.nan)),
        *((Adam, name, value) for name in ("beta_1", "beta_2") for value in (-0.1, 1.0)),
        *((Adam, "epsilon", value) for value in (0.0, np.inf)),
        (AdamW, "weight_decay", -0.1),
    ],
)
def test_hyperparameters_out_of_range_are_refused(kind, name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be .*, got {value!r}$"):
        kind(**{name: value})


def test_the_largest_weight_decay_sets_the_weights_to_zero_in_a_step():
    assert SGD(0.5, weight_decay=2.0).weight_decay == 2.0
    with pytest.raises(ValueError, match=r"learning rate times weight_decay .* got 0.5 \* 2.5"):
        SGD(0.5, weight_decay=2.5)


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
        largest = np.abs(other.network.theta).max()
        np.testing.assert_allclose(one.network.theta, other.network.theta, rtol=1e-12, atol=1e-12 * largest)
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.1, 0.9), SGD(0.1, 0.9, True)], ids=repr)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_moments_and_weights_of_dead_units_do_not_become_subnormal(optimizer, dtype, alpha, monkeypatch):
    # Subnormal numbers made an epoch of digits take up to nine times as long.
    name = optimizer.flushed[0]

    def trained():
        network = Network([Dense(8), ReLU(), Dense(3)], 4, dtype=dtype, seed=0)
        state = TrainState(network, optimizer, seed=0)
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(20, 4)), rng.integers(3, size=20)
        options = {"state": state, "batch_size": 2, "alpha": alpha}
        list(train(network, X, y, epochs=2, **options))
        network.parameters[0].b[:4] = -1e3  # these units die, and their moments decay
        s = network.split(getattr(state.optimizer_state, name))[0]
        for array in (network.parameters[0].W, s.W, s.b[None, :]):  # as after many steps
            array[:, :4] *= 2.0**40 * np.finfo(dtype).tiny
        list(train(network, X, y, epochs=57, **options))  # the last step before the next flush is 590
        return state

    def subnormal(vector):
        return int(((vector != 0) & (np.abs(vector) < np.finfo(dtype).tiny)).sum())

    state = trained()
    moments = getattr(state.optimizer_state, name)
    assert subnormal(moments) == subnormal(state.network.theta) == 0
    assert (moments == 0).any()
    monkeypatch.setattr(optimizers, "flush_subnormals", lambda vector: None)
    unflushed = trained()
    assert subnormal(getattr(unflushed.optimizer_state, name)) > 0
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


@pytest.mark.parametrize("kind", [np.float64, np.longdouble])
@pytest.mark.parametrize(
    ("solver", "parameters"),
    [
        (SGD, {"learning_rate": 0.013, "momentum": 0.83, "weight_decay": 0.013}),
        (Adam, {"learning_rate": 0.013, "beta_1": 0.83, "beta_2": 0.93, "weight_decay": 0.013}),
    ],
)
def test_scalars_of_numpy_give_the_same_bits_as_floats(solver, parameters, kind):
    rng = np.random.default_rng(0)
    theta, g = rng.normal(size=(2, 50)).astype(np.float32)
    results = []
    for convert in (float, kind):
        optimizer = solver(**{name: convert(value) for name, value in parameters.items()})
        moved, state = theta.copy(), optimizer.init(theta)
        for _ in range(3):
            optimizer.step(moved, g.copy(), state, optimizer.learning_rate)
        results.append(moved)
    np.testing.assert_array_equal(*results, strict=True)
