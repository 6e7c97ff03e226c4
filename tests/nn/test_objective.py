"""The objective: the penalty and the chosen rows."""

import gc
import weakref

import numpy as np
import pytest

from tinyclf import Dense, Network, ReLU, SoftmaxCrossEntropy, Tanh, cross_entropy, train
from tinyclf.nn.objective import Objective


def test_the_penalty_on_many_weights_equals_the_formula():
    network = Network([Dense(300)], 300, dtype="float64", seed=0)
    W = network.regularized
    objective = Objective(network, np.ones((1, 300)), [0], loss=SoftmaxCrossEntropy(), batch_size=1)
    objective.gradient[...] = 1.0
    assert objective.add_penalty(0.5) == pytest.approx(0.25 * np.sum(W**2), rel=1e-12)
    np.testing.assert_allclose(objective.gradient[: W.size], 1.0 + 0.5 * W, rtol=1e-15)
    assert (objective.gradient[W.size :] == 1.0).all()


def test_there_is_no_penalty_by_default():
    network = Network([Dense(2)], 3, dtype="float64", seed=0)
    X, y = np.eye(3), np.array([0, 1, 0])
    objective = Objective(network, X, y, loss=SoftmaxCrossEntropy(), batch_size=3)
    value, largest_logit = objective.value_and_grad(objective.order)
    assert value == pytest.approx(cross_entropy(network.logits(X), y).mean(), rel=1e-14)
    assert largest_logit == pytest.approx(np.abs(network.logits(X)).max(), rel=1e-14)


def test_alpha_has_no_effect_without_regularized_parameters():
    class Free(Dense):
        regularized = ()

    losses = []
    for alpha in (0.0, 0.1):
        network = Network([Free(2)], 3, seed=0)
        losses.append([e.loss for e in train(network, np.eye(3), [0, 1, 0], epochs=2, alpha=alpha, seed=0)])
    assert losses[0] == losses[1]


def test_rows_and_their_indices_are_not_copied_if_they_have_the_right_type():
    X, rows = np.eye(3), np.array([2, 0])
    network = Network([Dense(2)], 3, dtype="float64", seed=0)
    objective = Objective(network, X, [0, 1, 0], loss=SoftmaxCrossEntropy(), batch_size=2, rows=rows)
    assert np.shares_memory(X, objective.rows.X)
    assert np.shares_memory(rows, objective.order)


@pytest.mark.parametrize("activation", [ReLU(), Tanh()], ids=repr)
def test_an_objective_is_freed_as_soon_as_it_is_not_used(activation):
    network = Network([Dense(4), activation, Dense(2)], 3, seed=0)
    gc.disable()
    try:
        objective = Objective(network, np.eye(3), [0, 1, 0], loss=SoftmaxCrossEntropy(), batch_size=2)
        objective.value_and_grad(objective.order[:2])
        freed = weakref.ref(objective)
        del objective
        assert freed() is None
    finally:
        gc.enable()


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


@pytest.mark.parametrize(
    ("rows", "error", "match"),
    [
        ([0, 5], ValueError, "rows .*from 0 to 4, got 0 to 5"),
        ([-1], ValueError, "rows .*got -1 to -1"),
        ([0.5], TypeError, "rows .*float64"),
        ([[1]], TypeError, r"rows .*int64\(1, 1\)"),
        ([], ValueError, "at least one row .*5 rows, 0 of them chosen, none"),
    ],
)
def test_invalid_choices_of_rows_are_refused(rows, error, match):
    with pytest.raises(error, match=match):
        train(Network([Dense(3)], 3), np.ones((5, 3)), [0] * 5, rows=rows)
