"""Optimizers against scikit-learn's, on random gradients."""

import numpy as np
import pytest
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from table import OPTIMIZERS

from tinyclf import SGD, Adam, Dense, Network, Optimizer, TrainState, Views, train
from tinyclf.optimizers import constant, linear


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(0.1), lambda p: SGDOptimizer(p, 0.1, momentum=0.0, nesterov=False)),
        (SGD(0.1, 0.9), lambda p: SGDOptimizer(p, 0.1, momentum=0.9, nesterov=False)),
        (SGD(0.1, 0.9, True), lambda p: SGDOptimizer(p, 0.1, momentum=0.9, nesterov=True)),
        (Adam(0.01), lambda p: AdamOptimizer(p, 0.01)),
        (Adam(0.01, 0.5, 0.9, 1e-3), lambda p: AdamOptimizer(p, 0.01, 0.5, 0.9, 1e-3)),
    ],
    ids=repr,
)
def test_hundred_steps_are_those_of_scikit_learn(ours, theirs):
    rng = np.random.default_rng(0)
    theta, expected = np.zeros(50), np.zeros(50)
    other = theirs([expected])
    s = Views(**{name: np.zeros(50) for name in ours.vectors()})
    for t in range(1, 101):
        g = rng.normal(size=50) * 10.0 ** rng.integers(-6, 6, size=50)
        other.update_params([expected], [g.copy()])
        ours.update(g, s, t, ours.learning_rate)
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
        (lambda: SGD(0.0), r"learning_rate must be in \(0, inf\], got 0"),
        (lambda: SGD(-1), "got -1"),
        (lambda: Adam(float("nan")), "got nan"),
        (lambda: SGD(0.1, momentum=1.5), r"momentum must be in \[0, 1\], got 1.5"),
        (lambda: Adam(beta_1=1.0), r"beta_1 must be in \[0, 1\), got 1.0"),
        (lambda: Adam(beta_2=-0.1), "beta_2"),
        (lambda: Adam(epsilon=0.0), "epsilon"),
    ],
)
def test_hyperparameters_out_of_range_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_schedules():
    assert [constant(x) for x in (0.0, 0.5)] == [1.0, 1.0]
    assert [linear(x) for x in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]


def test_training_asks_the_schedule_once_a_step_for_the_share_that_is_done():
    asked = []

    def schedule(progress):
        asked.append(progress)
        return 0.0

    network = Network([Dense(2)], 1, seed=0)
    before = network.theta.copy()
    list(train(network, np.ones((5, 1)), [0, 1, 0, 1, 0], epochs=2, batch_size=2, schedule=schedule))
    np.testing.assert_allclose(asked, np.arange(6) / 6)
    np.testing.assert_array_equal(network.theta, before)  # a factor of 0 takes no step


def test_an_optimizer_without_update_says_so():
    with pytest.raises(NotImplementedError, match="Optimizer has no update"):
        Optimizer(0.1).update(np.zeros(1), Views(), 1, 0.1)
