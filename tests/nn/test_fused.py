"""Fused step: it computes what the layers and the loss compute, and only where they compute the same."""

import numpy as np
import pytest
import scipy.sparse

import tinyclf
from tests.support.loops import computing_with, switched_off
from tinyclf import (
    Dense,
    Dropout,
    Network,
    ReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    train,
)
from tinyclf.nn import fused
from tinyclf.nn.arrays import ROW_BLOCK
from tinyclf.nn.objective import Objective

NETWORKS = {
    "two hidden layers": [Dense(6), ReLU(), Dense(5), ReLU(), Dense(3)],
    "one hidden layer": [Dense(40), ReLU(), Dense(3)],
    "no hidden layer": [Dense(3)],
}


@pytest.fixture(params=["as Python", "compiled"], autouse=True)
def loops(request):
    """Use the loops, as Python or compiled."""
    with computing_with(request.param) as used:
        yield used


class DoubledDense(Dense):
    """A student's layer: Dense, times two."""

    def forward(self, p, t):
        super().forward(p, t)
        t.y *= 2.0


class Subclass(SoftmaxCrossEntropy):
    """A student's loss: it may override anything, so it is not fused."""


def problem(layers=NETWORKS["two hidden layers"], n=20, **options):
    """An objective for n rows of 7 features and 3 classes, with the given options."""
    rng = np.random.default_rng(1)
    network = Network(layers, 7, dtype=options.pop("dtype", "float32"), seed=0)
    X = options.pop("X", rng.normal(size=(n, 7)))
    y = options.pop("y", rng.integers(3, size=n))
    return Objective(network, X, y, **{"loss": SoftmaxCrossEntropy(), "batch_size": 9, **options})


def is_fused(objective, n=9):
    """Whether the step for n rows is fused."""
    return objective._bind(n).__module__ == fused.__name__


def evaluated(objective, batch):
    """Loss, largest logit and gradient of the rows of a batch."""
    objective.gradient.fill(np.nan)
    with np.errstate(all="ignore"):
        value, largest_logit = objective.loss_and_grad(batch)
    return value, largest_logit, objective.gradient.copy()


def by_layers(batch, **options):
    """The same, computed by the layers and the loss."""
    return switched_off(lambda: evaluated(problem(**options), batch))


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("n", [1, 4, 9])
def test_a_fused_step_computes_what_the_layers_and_the_loss_compute(layers, n):
    objective, batch = problem(layers), np.random.default_rng(2).permutation(20)[:n]
    assert is_fused(objective, n)
    for _ in range(2):  # the buffers keep nothing of an earlier step
        value, largest_logit, gradient = evaluated(objective, batch)
        expected = by_layers(batch, layers=layers)
        assert value == pytest.approx(expected[0], rel=1e-6)
        assert largest_logit == pytest.approx(expected[1], rel=1e-6)
        np.testing.assert_allclose(gradient, expected[2], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_weights_that_are_not_finite_give_a_loss_and_gradient_that_are_not_finite(broken):
    objective, batch = problem(), np.arange(9)
    objective.network.parameters[0].W[0, 0] = broken
    value, largest_logit, gradient = evaluated(objective, batch)
    assert np.isnan(value)
    assert not np.isfinite(largest_logit)
    assert np.isnan(gradient).any()


@pytest.mark.parametrize(
    "batch",
    [np.arange(9, dtype=np.int32), np.arange(18)[::2], np.arange(9)[::-1], np.array([19, 0, 10**9, -5])],
    ids=["int32", "every second row", "backward", "wrong indices"],
)
def test_any_array_of_indices_is_read_as_without_fusion(batch, loops):
    for writeable in (True, False):
        batch.flags.writeable = writeable
        objective = problem()
        assert is_fused(objective, len(batch))
        clipped = np.clip(batch, 0, 19)
        for found, expected in zip(evaluated(objective, batch), by_layers(clipped), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    if hasattr(loops.batch_logits, "signatures"):
        assert len(loops.batch_logits.signatures) == 1


def test_other_networks_losses_and_rows_are_not_fused():
    rng, mlp = np.random.default_rng(0), NETWORKS["one hidden layer"]
    assert is_fused(problem(mlp))
    assert not is_fused(problem(mlp, dtype="float64"))
    for layers in (
        [Dense(6), Tanh(), Dense(3)],
        [Dense(6), ReLU(), Dropout(0.1), Dense(3)],
        [Dense(3), ReLU()],
        [Dense(6), Dense(3)],
        [ReLU(), Dense(3)],
        [DoubledDense(6), ReLU(), Dense(3)],
    ):
        assert not is_fused(problem(layers))
    assert not is_fused(problem([Dense(3)], loss=SigmoidCrossEntropy(), y=rng.integers(2, size=(20, 3))))
    for loss in (Subclass(), SoftmaxCrossEntropy(label_smoothing=0.1)):
        assert not is_fused(problem(mlp, loss=loss))
    assert not is_fused(problem(mlp, y=rng.dirichlet(np.ones(3), 20)))
    assert not is_fused(problem(mlp, sample_weight=rng.uniform(size=20)))
    assert not is_fused(problem(mlp, X=scipy.sparse.eye_array(20, 7, format="csr")))
    tinyclf.use_fast(False)
    assert not is_fused(problem(mlp))


@pytest.mark.parametrize(
    "init",
    [
        lambda rng, n_in, n_out: (np.ones((n_out, n_in)), np.zeros(n_out)),
        lambda rng, n_in, n_out: (np.ones((n_in, 1)), np.zeros(n_out)),
        lambda rng, n_in, n_out: (np.ones((n_in, n_out)), np.zeros(1)),
        lambda rng, n_in, n_out: (np.ones((n_in, n_out)), np.float64(0.0)),
    ],
    ids=["transposed", "one column", "one bias", "a number as bias"],
)
def test_weights_of_other_shapes_are_not_fused(init):
    assert not is_fused(problem([Dense(6, init=init), ReLU(), Dense(3)]))
    assert not is_fused(problem([Dense(6), ReLU(), Dense(3, init=init)]))


def test_a_batch_must_fit_into_the_buffers_and_hold_indices():
    objective = problem(NETWORKS["one hidden layer"], batch_size=9)
    with pytest.raises(ValueError, match="at most batch_size=9 rows, got 10"):
        objective.loss_and_grad(np.arange(10))
    for wrong in (np.arange(9) / 2, np.ones(9, bool), np.zeros((9, 1), np.int32), np.zeros((9, 1), np.intp)):
        with pytest.raises(TypeError, match=f"list of indices, got an array {wrong.dtype}"):
            objective.loss_and_grad(wrong)
    assert objective.loss_and_grad([3, 0, 3]) == objective.loss_and_grad(np.array([3, 0, 3]))


def test_only_small_batches_with_small_products_are_fused():
    most = (fused._SMALL - 1) // (7 * 400)
    for layers, n in (([Dense(400), ReLU(), Dense(3)], most), ([Dense(3)], ROW_BLOCK)):
        objective = problem(layers, n=n + 1, batch_size=n + 1)
        assert is_fused(objective, n)
        assert not is_fused(objective, n + 1)


def test_training_with_fused_steps_learns_what_it_learns_without_them():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 7))
    y = X[:, :3].argmax(axis=1)

    def losses():
        network = Network(NETWORKS["two hidden layers"], 7, seed=0)
        epochs = train(network, X, y, epochs=10, batch_size=30, alpha=0.01, seed=0)
        return [epoch.loss for epoch in epochs]

    fused_losses = losses()
    np.testing.assert_allclose(fused_losses, switched_off(losses), rtol=1e-5)
    assert fused_losses[-1] < fused_losses[0]
