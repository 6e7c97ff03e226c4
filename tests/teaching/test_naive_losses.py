"""The unstable losses fail as described, and the main experiment shows it."""

import dataclasses

import numpy as np
import pytest

from tests.support.ulps import ulp_error
from tinyclf import Loss, cross_entropy, cross_entropy_grad, log_softmax, logsumexp, softmax, teaching, train
from tinyclf.gradcheck import gradient_error
from tinyclf.teaching import experiments
from tinyclf.teaching.experiments import QUIET, SCALED, STEEP, UNSCALED
from tinyclf.teaching.naive_losses import LOSSES, evaluate

INF, NAN = np.inf, np.nan
NAIVE = (teaching.naive_cross_entropy, teaching.naive_cross_entropy_grad)
CLIPPED = (teaching.clipped_cross_entropy, teaching.clipped_cross_entropy_grad)


def functions_of(name):
    """Loss and gradient as two functions, computed by `evaluate`."""
    return tuple(lambda z, y, i=i, **kinds: evaluate(LOSSES[name], z, y, **kinds)[i] for i in range(2))


SHIFTED, PADDED, TEXTBOOK = map(functions_of, ("shifted", "padded", "textbook"))
UNSTABLE = {"naive": NAIVE, "shifted": SHIFTED, "clipped": CLIPPED, "padded": PADDED, "textbook": TEXTBOOK}
STABLE = (cross_entropy, cross_entropy_grad)


@pytest.mark.parametrize(
    ("functions", "top", "loss", "gradient"),
    [
        (NAIVE, 20, 20.0, [1.0, -1.0]),
        (NAIVE, 100, INF, [NAN, NAN]),
        (NAIVE, 1000, INF, [NAN, NAN]),
        (SHIFTED, 20, 20.0, [1.0, -1.0]),
        (SHIFTED, 100, 99.98309, [INF, NAN]),
        (SHIFTED, 1000, INF, [NAN, NAN]),
        (PADDED, 20, 16.097694, [0.0201953, -0.0201953]),
        (PADDED, 100, 16.118095, [0.0, 0.0]),
        (PADDED, 1000, 16.118095, [0.0, 0.0]),
        (TEXTBOOK, 20, 20.0, [1.0, -1.0]),
        (TEXTBOOK, 1000, 1000.0, [1.0, -1.0]),
        (CLIPPED, 20, 16.118095, [0.0, 0.0]),
        (CLIPPED, 100, 16.118095, [0.0, 0.0]),
        (CLIPPED, 1000, 16.118095, [0.0, 0.0]),
        (STABLE, 20, 20.0, [1.0, -1.0]),
        (STABLE, 100, 100.0, [1.0, -1.0]),
        (STABLE, 1000, 1000.0, [1.0, -1.0]),
    ],
)
def test_losses_and_gradients_of_a_confidently_misclassified_row(functions, top, loss, gradient):
    z = np.array([[top, 0]], "float32")
    np.testing.assert_allclose(functions[0](z, [1]), [loss], rtol=1e-6)
    np.testing.assert_allclose(functions[1](z, [1]), [gradient], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("dtype", "last"), [("float16", 11.0), ("float32", 88.5), ("float64", 709.5)])
def test_the_naive_loss_is_not_finite_where_exp_overflows(dtype, last):
    value, _ = NAIVE
    below, above = np.array([[last, 0]], dtype), np.array([[last * 1.02, 0]], dtype)
    assert np.isfinite(value(below, [0])).all()
    assert not np.isfinite(value(above, [0])).all()
    assert value(below, [0]).dtype == dtype


@pytest.mark.parametrize("functions", UNSTABLE.values(), ids=UNSTABLE)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_unstable_losses_equal_the_stable_loss_where_nothing_overflows_or_clips(functions, smoothing):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(30, 5))
    for y in (rng.integers(5, size=30), rng.uniform(size=(30, 5))):
        for unstable, stable in zip(functions, STABLE, strict=True):
            np.testing.assert_allclose(
                unstable(z, y, label_smoothing=smoothing),
                stable(z, y, label_smoothing=smoothing),
                rtol=1e-4 if functions is PADDED else 1e-9,
                atol=1e-5 if functions is PADDED else 1e-12,
            )


@pytest.mark.parametrize("functions", UNSTABLE.values(), ids=UNSTABLE)
def test_the_gradient_of_an_unstable_loss_is_that_of_its_formula(functions):
    value, grad = functions
    rng = np.random.default_rng(0)
    z = rng.normal(scale=3, size=(1, 4))
    for y in ([2], rng.uniform(size=(1, 4))):
        assert gradient_error(lambda z, y=y: value(z, y)[0], grad(z, y), z) < 1e-8


def test_the_clipped_loss_has_no_gradient_below_eps_or_above_one_minus_eps():
    value, grad = CLIPPED
    z = np.array([[5.0, 0.0], [0.0, 5.0], [0.0, 1.0]])
    assert grad(z, [1, 1, 1], eps=0.01)[:2].any() == np.False_
    assert grad(z, [1, 1, 1], eps=0.01)[2].all()
    np.testing.assert_allclose(value(z, [1, 1, 1], eps=0.01)[:2], [-np.log(0.01), -np.log(0.99)])


def test_the_naive_loss_is_nan_if_a_target_and_its_probability_are_0():
    z, y = [[0.0, -1000.0]], [[1.0, 0.0]]
    assert np.isnan(teaching.naive_cross_entropy(z, y)).all()
    assert cross_entropy(z, y).tolist() == [0.0]


def test_eps_and_shapes_are_checked():
    with pytest.raises(ValueError, match=r"eps must be in \(0, 0.5\], got 0"):
        teaching.clipped_cross_entropy([[0.0, 1.0]], [0], eps=0)
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        teaching.naive_cross_entropy([[0.0, 1.0]], [2])
    with pytest.raises(ValueError, match=r"shape \(n, k\) with k > 0, got \(2,\)"):
        teaching.naive_cross_entropy([0.0, 1.0], [0])


def test_the_vectors_of_introductions_to_log_sum_exp(article):
    for case in article.values():
        x = np.array(case["x"])
        assert ulp_error(np.atleast_1d(logsumexp(x)), [case["logsumexp"]]) <= 1
        assert ulp_error(softmax(x), case["softmax"]) <= 8
        assert ulp_error(log_softmax(x), case["log_softmax"]) <= 6
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(np.array(article["overflow"]["x"]))
        naive = e / e.sum()
    assert np.flatnonzero(np.isinf(e)).tolist() == [1]
    assert np.flatnonzero(np.isnan(naive)).tolist() == [1]
    assert naive[3] == 0.0  # correct by coincidence


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_unscaled_digits_naive_is_not_finite_clipped_hardly_learns_and_stable_learns(dtype):
    accuracy = {name: [] for name in ("naive", "clipped", "stable")}
    for outcome in UNSCALED.outcomes(accuracy, range(3), dtype):
        accuracy[outcome.name].append(outcome.accuracy)
        assert len(outcome.curve) == len(outcome.no_gradient) == 30
        if outcome.name == "naive":
            assert outcome.first_nonfinite_step <= 22  # within the first epoch
            assert np.isnan(outcome.accuracy)
            assert np.isnan(outcome.curve[-1])
            assert np.isnan(outcome.true_loss)
        else:
            assert outcome.first_nonfinite_step is None
        if outcome.name == "clipped":
            assert outcome.curve[-1] < 16.2
            assert outcome.true_loss > 10 * outcome.curve[-1]
            assert min(outcome.no_gradient) > 0.3
            np.testing.assert_allclose(outcome.recall.mean(), outcome.accuracy, atol=0.05)
        if outcome.name == "stable":
            assert not any(outcome.no_gradient)
    assert np.mean(accuracy["stable"]) > 0.95
    assert np.mean(accuracy["clipped"]) < 0.5


def test_the_seed_determines_split_weights_and_order():
    short = dataclasses.replace(UNSCALED, epochs=1)
    first, again, second = short.outcomes(["stable"], [0, 0, 1])
    assert first.curve == again.curve
    assert first.curve != second.curve
    assert first.recall.tolist() != second.recall.tolist()
    assert (UNSCALED.data(0)[2] != UNSCALED.data(1)[2]).any()
    assert (UNSCALED.network(0).theta != UNSCALED.network(1).theta).any()


def test_the_seed_is_passed_to_the_training_where_it_determines_the_order_of_the_rows(monkeypatch):
    seeds = []
    monkeypatch.setattr(experiments, "train", lambda *args, seed, **kinds: seeds.append(seed) or [])
    list(dataclasses.replace(UNSCALED, epochs=0).outcomes(["naive", "stable"], [7]))
    assert seeds == [7, 7]


def test_the_first_nonfinite_step_counts_the_epochs_before_it():
    class BreaksAtThirty(type(LOSSES["stable"])):
        calls = 0

        def rows(self, z, y, dz, t):
            BreaksAtThirty.calls += 1
            return super().rows(z, y, dz, t) * (np.nan if BreaksAtThirty.calls == 30 else 1.0)

        value_and_grad = Loss.value_and_grad

    _, outcome = dataclasses.replace(UNSCALED, epochs=2).train("breaks", 0, loss=BreaksAtThirty())
    assert outcome.first_nonfinite_step == 30  # each epoch has 22 steps
    assert outcome.name == "breaks"


def test_no_gradient_is_the_fraction_of_misclassified_rows_without_a_gradient():
    class NoGradient(type(LOSSES["stable"])):
        def rows(self, z, y, dz, t):
            losses = super().rows(z, y, dz, t)
            dz[...] = 0.0
            return losses

        value_and_grad = Loss.value_and_grad

    network, outcome = dataclasses.replace(UNSCALED, epochs=3).train("none", 0, loss=NoGradient())
    X, _, y, _ = UNSCALED.data(0)
    assert outcome.no_gradient == 3 * [np.mean(network.logits(X).argmax(axis=1) != y)]


def test_recording_a_loss_does_not_change_the_training():
    X, _, y, _ = SCALED.data(0)
    network = SCALED.network(0)
    *_, last = train(network, X, y, optimizer=SCALED.optimizer, epochs=3, batch_size=32, seed=0)
    recorded, outcome = dataclasses.replace(SCALED, epochs=3).train("stable", 0)
    assert outcome.curve[-1] == last.loss
    assert (recorded.theta == network.theta).all()


@pytest.mark.parametrize("experiment", [UNSCALED, QUIET, STEEP, SCALED], ids=str)
def test_the_description_of_an_experiment_states_its_settings(experiment):
    words = str(experiment)
    assert f"pixels 0 to {experiment.white:.0f}" in words
    assert (f"-{experiment.hidden}-") in words
    assert f"{experiment.optimizer.learning_rate:g}" in words
    assert f"batch {experiment.batch_size}, {experiment.epochs} epochs" in words
    assert ("centered" in words) is experiment.centered
    assert ("falling to 0" in words) is (experiment.schedule(0.5) < 1)
    assert experiment.data(0)[0].max() - experiment.data(0)[0].min() >= experiment.white


def test_centering_uses_only_the_training_rows():
    X_train, X_test, *_ = UNSCALED.data(0)
    np.testing.assert_allclose(X_train.mean(axis=0), 0.0, atol=1e-10)
    assert np.abs(X_test.mean(axis=0)).max() > 0.1
    assert QUIET.data(0)[0].min() == 0.0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_unstable_losses_with_soft_targets_have_the_dtype_of_the_logits(dtype):
    for value, grad in UNSTABLE.values():
        z, y = np.zeros((2, 3), dtype), np.full((2, 3), 1 / 3)
        assert value(z, y).dtype == grad(z, y).dtype == dtype


def test_unstable_losses_reject_logits_that_are_not_real_numbers():
    for bad in ([["1", "2"]], [[True, False]]):
        with pytest.raises(TypeError, match="real numbers"):
            teaching.naive_cross_entropy(bad, [0])
