"""Learning-rate schedules."""

import numpy as np
import pytest
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from tinyclf import SGD, Dense, Network, train
from tinyclf.nn.schedules import constant, cosine, flat_cosine, inverse_scaling, linear, lowered
from tinyclf.nn.state import TrainState


def test_schedules_equal_their_formulas():
    assert [constant(x) for x in (0.0, 0.5)] == [1.0, 1.0]
    assert [linear(x) for x in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]
    progress = np.linspace(0, 1, 7)
    np.testing.assert_allclose([cosine(x) for x in progress], np.cos(np.pi * progress / 2) ** 2, atol=1e-15)
    assert [flat_cosine(x) for x in (0.0, 0.3, 0.5)] == [1.0] * 3
    np.testing.assert_allclose(
        [flat_cosine(0.5 + x / 2) for x in progress], np.cos(np.pi * progress / 2) ** 2, atol=1e-15
    )


def test_changes_of_the_scale_equal_those_of_scikit_learn():
    theirs = SGDOptimizer([], 0.3, lr_schedule="invscaling", power_t=0.7)
    for rows in (1, 100, 12345):
        theirs.iteration_ends(rows)
        assert 0.3 * inverse_scaling(rows, 0.7) == pytest.approx(theirs.learning_rate, rel=1e-14)
    theirs, scale = SGDOptimizer([], 0.3, lr_schedule="adaptive"), 1.0
    while not theirs.trigger_stopping("", verbose=False):
        scale = lowered(scale, 0.3)
        assert 0.3 * scale == pytest.approx(theirs.learning_rate, rel=1e-14)
    assert lowered(scale, 0.3) is None
    theirs = SGDOptimizer([], 1e-6, lr_schedule="adaptive")  # already at its lowest rate
    assert theirs.trigger_stopping("", verbose=False)
    assert lowered(1.0, 1e-6) is None


def test_training_calls_the_schedule_once_a_step_with_its_progress():
    seen = []

    def schedule(progress):
        seen.append(progress)
        return 0.0

    network = Network([Dense(2)], 1, seed=0)
    before = network.theta.copy()
    list(train(network, np.ones((5, 1)), [0, 1, 0, 1, 0], epochs=2, batch_size=2, schedule=schedule))
    np.testing.assert_allclose(seen, np.arange(6) / 6)
    np.testing.assert_array_equal(network.theta, before)  # a factor of 0 takes no step


@pytest.mark.parametrize("factor", [0, 1, np.float32(0.5), np.float64(2.0)])
def test_a_factor_may_be_any_number_of_at_least_zero(factor):
    thetas = []
    for kinds in ({"schedule": lambda progress: factor}, {"optimizer": SGD(0.1 * factor or 1e-300)}):
        network = Network([Dense(2)], 1, dtype="float64", seed=0)
        list(train(network, np.ones((2, 1)), [0, 1], epochs=2, **{"optimizer": SGD(0.1), **kinds}))
        thetas.append(network.theta)
    np.testing.assert_array_equal(*thetas)


def test_every_call_of_train_has_its_own_schedule():
    X, y = np.ones((5, 1)), [0, 1, 0, 1, 0]
    seen = {0: [], 1: []}

    def schedule(run):
        return lambda progress: seen[run].append(progress) or 0.5

    state = TrainState(Network([Dense(2)], 1, seed=0), SGD(0.1))
    kinds = {"state": state, "batch_size": 2}
    runs = [train(state.network, X, y, epochs=e, schedule=schedule(i), **kinds) for i, e in enumerate([2, 1])]
    next(runs[0])
    next(runs[1])
    next(runs[0])
    np.testing.assert_allclose(seen[0], np.arange(6) / 6)
    np.testing.assert_allclose(seen[1], np.arange(3) / 3)


def test_resumed_training_continues_its_schedule():
    seen = []
    network = Network([Dense(2)], 1, seed=0)
    schedule = lambda progress: seen.append(progress) or 1.0  # noqa: E731
    kinds = {"epochs": 4, "batch_size": 2, "schedule": schedule, "done": 3}
    assert len(list(train(network, np.ones((5, 1)), [0] * 5, **kinds))) == 1
    np.testing.assert_allclose(seen, np.arange(9, 12) / 12)
    with pytest.raises(ValueError, match="done must be at least 0, got -1"):
        train(network, np.ones((5, 1)), [0] * 5, done=-1)


def test_the_progress_counts_the_steps_of_rows_with_weight_only():
    seen = []
    w = np.array([1.0, 0.0, 1.0, 0.0, 0.0])
    network = Network([Dense(2)], 1, seed=0)
    schedule = lambda progress: seen.append(progress) or 1.0  # noqa: E731
    list(train(network, np.ones((5, 1)), [0] * 5, epochs=2, batch_size=1, sample_weight=w, schedule=schedule))
    assert seen == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("factor", [np.nan, -0.1, np.inf, None])
def test_a_schedule_that_returns_an_invalid_factor_is_refused(factor):
    network = Network([Dense(2)], 1, seed=0)
    with pytest.raises((ValueError, TypeError), match=f"factor that schedule returns.*{factor}"):
        list(train(network, np.ones((2, 1)), [0, 1], schedule=lambda progress: factor))


def test_the_scale_of_the_state_multiplies_the_learning_rate_until_it_is_reset():
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    scaled = TrainState(Network([Dense(2)], 3, dtype="float64", seed=0), SGD(0.4))
    scaled.scale = 0.25
    plain = TrainState(Network([Dense(2)], 3, dtype="float64", seed=0), SGD(0.1))
    for state in (scaled, plain):
        list(train(state.network, X, y, state=state, epochs=3, shuffle=False))
    np.testing.assert_array_equal(scaled.network.theta, plain.network.theta)
    scaled.use(SGD(0.1))
    assert scaled.scale == 0.25
    scaled.use(SGD(0.1), reset=True)
    assert (scaled.scale, scaled.optimizer_state.t) == (1.0, 0)
