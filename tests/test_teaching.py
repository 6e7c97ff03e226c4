"""The foils fail as they should, and the headline experiment shows it."""

import numpy as np
import pytest
from ulps import ulp_error

from tinyclf import cross_entropy, cross_entropy_grad, log_softmax, logsumexp, softmax, teaching
from tinyclf.gradcheck import gradient_error
from tinyclf.teaching import headline
from tinyclf.teaching.foils import FOILS
from tinyclf.teaching.headline import _unscaled_digits, outcomes

INF, NAN = np.inf, np.nan
NAIVE = (teaching.naive_cross_entropy, teaching.naive_cross_entropy_grad)
CLIPPED = (teaching.clipped_cross_entropy, teaching.clipped_cross_entropy_grad)
STABLE = (cross_entropy, cross_entropy_grad)


@pytest.mark.parametrize(
    ("functions", "top", "loss", "gradient"),
    [
        (NAIVE, 20, 20.0, [1.0, -1.0]),
        (NAIVE, 100, INF, [NAN, NAN]),
        (NAIVE, 1000, INF, [NAN, NAN]),
        (CLIPPED, 20, 16.118095, [0.0, 0.0]),
        (CLIPPED, 100, 16.118095, [0.0, 0.0]),
        (CLIPPED, 1000, 16.118095, [0.0, 0.0]),
        (STABLE, 20, 20.0, [1.0, -1.0]),
        (STABLE, 100, 100.0, [1.0, -1.0]),
        (STABLE, 1000, 1000.0, [1.0, -1.0]),
    ],
)
def test_the_three_losses_of_a_confidently_wrong_row(functions, top, loss, gradient):
    z = np.array([[top, 0]], "float32")
    np.testing.assert_allclose(functions[0](z, [1]), [loss], rtol=1e-6)
    np.testing.assert_allclose(functions[1](z, [1]), [gradient], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("dtype", "last"), [("float16", 11.0), ("float32", 88.5), ("float64", 709.5)])
def test_naive_dies_where_exp_overflows(dtype, last):
    value, _ = NAIVE
    alive, dead = np.array([[last, 0]], dtype), np.array([[last * 1.02, 0]], dtype)
    assert np.isfinite(value(alive, [0])).all()
    assert not np.isfinite(value(dead, [0])).all()
    assert value(alive, [0]).dtype == dtype


@pytest.mark.parametrize("functions", [NAIVE, CLIPPED], ids=["naive", "clipped"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_foils_equal_the_stable_loss_where_nothing_overflows_or_clips(functions, smoothing):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(30, 5))
    for y in (rng.integers(5, size=30), rng.uniform(size=(30, 5))):
        for foil, stable in zip(functions, STABLE, strict=True):
            np.testing.assert_allclose(
                foil(z, y, label_smoothing=smoothing),
                stable(z, y, label_smoothing=smoothing),
                rtol=1e-9,
                atol=1e-12,
            )


@pytest.mark.parametrize("functions", [NAIVE, CLIPPED], ids=["naive", "clipped"])
def test_gradients_of_the_foils_are_those_of_their_own_formula(functions):
    value, grad = functions
    rng = np.random.default_rng(0)
    z = rng.normal(scale=3, size=(1, 4))
    for y in ([2], rng.uniform(size=(1, 4))):
        assert gradient_error(lambda z, y=y: value(z, y)[0], grad(z, y), z) < 1e-8


def test_clipping_has_no_gradient_below_eps_nor_above_one_minus_eps():
    value, grad = CLIPPED
    z = np.array([[5.0, 0.0], [0.0, 5.0], [0.0, 1.0]])
    assert grad(z, [1, 1, 1], eps=0.01)[:2].any() == np.False_
    assert grad(z, [1, 1, 1], eps=0.01)[2].all()
    np.testing.assert_allclose(value(z, [1, 1, 1], eps=0.01)[:2], [-np.log(0.01), -np.log(0.99)])


def test_soft_target_against_a_zero_probability_is_nan_in_the_naive_loss():
    z = np.array([[800.0, 0.0]]) - 400.0
    assert np.isnan(teaching.naive_cross_entropy([[0.0, -1000.0]], [[1.0, 0.0]])).all()
    assert np.isfinite(cross_entropy(z, [[1.0, 0.0]])).all()


def test_eps_and_shapes_are_checked():
    with pytest.raises(ValueError, match=r"eps must be in \(0, 0.5\], got 0"):
        teaching.clipped_cross_entropy([[0.0, 1.0]], [0], eps=0)
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        teaching.naive_cross_entropy([[0.0, 1.0]], [2])
    with pytest.raises(ValueError, match=r"shape \(n, k\) with k > 0, got \(2,\)"):
        teaching.naive_cross_entropy([0.0, 1.0], [0])


def test_the_articles_vectors(article):
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
    assert naive[3] == 0.0  # right by luck


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_unscaled_digits_naive_dies_clipped_stalls_and_stable_learns(dtype):
    accuracy = {name: [] for name in FOILS}
    for seed in range(3):
        for outcome in outcomes(seed, dtype):
            accuracy[outcome.name].append(outcome.accuracy)
            assert len(outcome.curve) == 30
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
                np.testing.assert_allclose(outcome.recall.mean(), outcome.accuracy, atol=0.05)
    assert np.mean(accuracy["stable"]) > 0.95
    assert np.mean(accuracy["clipped"]) < 0.5


def test_the_seed_decides_split_weights_and_order():
    def run(seed):
        (outcome,) = outcomes(seed, epochs=1, losses={"stable": FOILS["stable"]})
        return outcome

    first, second = run(0), run(1)
    assert first.curve == run(0).curve
    assert first.curve != second.curve
    assert first.recall.tolist() != second.recall.tolist()
    assert (_unscaled_digits(0)[2] != _unscaled_digits(1)[2]).any()


def test_the_seed_decides_the_order_in_which_rows_are_seen(monkeypatch):
    asked = []
    monkeypatch.setattr(headline, "train", lambda *args, seed, **kinds: asked.append(seed) or [])
    list(outcomes(7))
    assert asked == [7, 7, 7]


def test_the_first_nonfinite_step_counts_the_epochs_before_it():
    class BreaksAtThirty(type(FOILS["stable"])):
        calls = 0

        def rows(self, z, y, dz, t):
            BreaksAtThirty.calls += 1
            return super().rows(z, y, dz, t) * (np.nan if BreaksAtThirty.calls == 30 else 1.0)

    (outcome,) = outcomes(0, epochs=2, losses={"stable": BreaksAtThirty()})
    assert outcome.first_nonfinite_step == 30  # of 22 in each epoch


def test_centring_uses_the_training_rows_only():
    X_train, X_test, *_ = _unscaled_digits(0)
    np.testing.assert_allclose(X_train.mean(axis=0), 0.0, atol=1e-10)
    assert np.abs(X_test.mean(axis=0)).max() > 0.1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_foils_compute_soft_targets_in_the_type_of_the_logits_too(dtype):
    for value, grad in (NAIVE, CLIPPED):
        z, y = np.zeros((2, 3), dtype), np.full((2, 3), 1 / 3)
        assert value(z, y).dtype == grad(z, y).dtype == dtype


def test_foils_refuse_what_the_stable_loss_refuses():
    for bad in ([["1", "2"]], [[True, False]]):
        with pytest.raises(TypeError, match="real numbers"):
            teaching.naive_cross_entropy(bad, [0])
