"""Losses: values, gradients, weights, probabilities."""

import numpy as np
import pytest

from tests.support.parts import LOSSES, n_classes
from tests.support.ulps import ulp_error
from tinyclf import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, cross_entropy, cross_entropy_grad
from tinyclf.gradcheck import check_loss
from tinyclf.nn.arrays import Buffer, Views
from tinyclf.nn.layers import Dense
from tinyclf.nn.network import Network

parametrized = pytest.mark.parametrize("loss", LOSSES, ids=repr)
EPS = float(np.finfo("float64").eps)


def buffers(loss, z):
    workspace = Network([Dense(z.shape[1])], 1, dtype=z.dtype).workspace(len(z), loss=loss)
    return workspace.tapes(len(z)).loss


def evaluate(loss, z, y, w=None):
    dz = np.full_like(z, np.nan)
    y = loss.targets(y, *z.shape)
    return loss.value_and_grad(z, y, w, dz, buffers(loss, z)), dz


@parametrized
def test_the_gradient_is_that_of_the_value(loss):
    assert check_loss(loss, n_classes(loss)) < 1e-8
    assert check_loss(loss, n_classes(loss), batch_size=1, seed=3) < 1e-8


@parametrized
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weight_of_two_equals_the_row_twice_and_a_weight_of_zero_no_row(loss, dtype):
    rng = np.random.default_rng(0)
    k = n_classes(loss)
    z = rng.normal(size=(6, loss.n_outputs(k))).astype(dtype)
    y = rng.integers(k, size=6)
    times = np.array([2, 1, 0, 3, 1, 1])
    value, dz = evaluate(loss, z, y, times.astype(float))
    repeated, dz_repeated = evaluate(loss, z.repeat(times, axis=0), y.repeat(times))
    rtol = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(value, repeated, rtol=rtol)
    first = np.cumsum(times)[times > 0] - 1
    np.testing.assert_allclose(
        dz[times > 0], dz_repeated[first] * times[times > 0, None], rtol=10 * rtol, atol=rtol / 10
    )
    assert not dz[times == 0].any()


@parametrized
def test_the_repr_of_a_loss_has_its_name(loss):
    assert repr(loss).startswith(f"{type(loss).__name__}(")


@parametrized
def test_value_is_a_float_and_probabilities_sum_to_one(loss):
    k = n_classes(loss)
    z = np.random.default_rng(0).normal(scale=50, size=(9, loss.n_outputs(k))).astype("float32")
    with np.errstate(all="ignore"):  # as in training: a naive loss may be inf here
        value, _ = evaluate(loss, z, np.zeros(9, int))
    assert type(value) is float
    p = loss.probabilities(z)
    assert p.shape == (9, k)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=4 * EPS)
    with np.errstate(divide="ignore"):
        log_p = np.log(p.astype(float))
    likely = p > 1e-30
    np.testing.assert_allclose(loss.log_probabilities(z)[likely], log_p[likely], rtol=1e-5, atol=1e-6)
    assert np.isfinite(loss.log_probabilities(z)).all()


@parametrized
@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_equals_that_of_the_rows_for_many_rows(loss, weighted):
    rng = np.random.default_rng(0)
    k = n_classes(loss)
    z, y = rng.normal(size=(2500, loss.n_outputs(k))), rng.integers(k, size=2500)
    w = rng.integers(0, 3, 2500).astype(float) if weighted else None
    targets = loss.targets(y, *z.shape)
    rows = loss.rows(z, targets, np.empty_like(z), buffers(loss, z))
    assert loss.mean(z, targets, w) == pytest.approx(np.average(rows, weights=w), rel=1e-12)
    if weighted:  # a row of weight 0 is ignored, whatever its logits
        z[w == 0.0] = np.nan
        assert loss.mean(z, targets, w) == pytest.approx(np.average(rows, weights=w), rel=1e-12)


def test_the_mean_with_a_masked_class_raises_no_warning():
    z = np.array([[0.0, -np.inf, 1.0]])
    assert SoftmaxCrossEntropy().mean(z, np.array([2])) == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_uses_the_exact_loss_and_gradient(dtype):
    z = np.array([[20, 0, -5], [200, 0, 3], [-1000, 1000, 0], [1, 1, 1]], dtype)
    y = np.array([0, 1, 1, 2])
    value, dz = evaluate(SoftmaxCrossEntropy(), z, y)
    losses = cross_entropy(z.astype(float), y)
    np.testing.assert_allclose(value, losses.mean(), rtol=1e-15)
    np.testing.assert_array_equal(dz, cross_entropy_grad(z, y) / np.array(4, dtype))
    assert dz[0, 0] < 0  # p - 1 would be 0 in float32


def test_batch_is_summed_in_float64():
    z = np.zeros((100_001, 2), "float32")
    z[1:, 0] = 18.0  # each loss is 1.5e-8 and would vanish beside log 2 in a float32 sum
    value, _ = evaluate(SoftmaxCrossEntropy(), z, np.zeros(len(z), int))
    np.testing.assert_allclose(value * len(z), np.log(2) + 1e5 * np.log1p(np.exp(-18.0)), rtol=1e-12)


def test_losses_of_another_type_are_summed_in_float64():
    class Narrow(Loss):
        def rows(self, z, y, dz, t):
            return z[:, 0]

    z = np.random.default_rng(0).uniform(size=(10_000, 1)).astype("float32")
    for w in (None, np.ones(10_000)):
        value = Narrow().value_and_grad(z, np.zeros(10_000, int), w, np.zeros_like(z), Views())
        assert value == pytest.approx(z.astype("float64").mean(), rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_sigmoid_logit_equals_the_softmax_of_zero_and_itself(dtype):
    z = np.array([-800, -50, -1, -1e-9, 0, 0.3, 20, 90, 700], dtype)[:, None]
    both = np.concatenate([np.zeros_like(z), z], axis=1)
    loss, softmax_loss = SigmoidCrossEntropy(), SoftmaxCrossEntropy()
    for y in (np.zeros(9, int), np.ones(9, int), np.arange(9) % 2):
        one, dz = evaluate(loss, z, y)
        two, dz_two = evaluate(softmax_loss, both, y)
        np.testing.assert_allclose(one, two, rtol=1e-14)
        np.testing.assert_allclose(dz[:, 0], dz_two[:, 1], rtol=1e-6 if dtype == "float32" else 1e-14)
    np.testing.assert_allclose(loss.probabilities(z), softmax_loss.probabilities(both), rtol=1e-14)
    np.testing.assert_allclose(loss.log_probabilities(z), softmax_loss.log_probabilities(both), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_gradient_does_not_cancel(dtype):
    import mpmath

    z = np.array([[17.0], [40.0], [88.0]], dtype)
    dz = np.empty_like(z)
    loss = SigmoidCrossEntropy()
    losses = loss.rows(z, np.ones_like(z), dz, buffers(loss, z)).astype(dtype)
    truth = [mpmath.exp(-v) / (1 + mpmath.exp(-v)) for v in map(mpmath.mpf, z.ravel().tolist())]
    assert ulp_error(-dz, truth) <= 4
    assert ulp_error(losses, [mpmath.log1p(mpmath.exp(-v)) for v in z.ravel().tolist()]) <= 4


def test_sigmoid_of_many_outputs_sums_over_them():
    rng = np.random.default_rng(0)
    z, y = rng.normal(scale=5, size=(7, 3)), rng.uniform(size=(7, 3))
    loss = SigmoidCrossEntropy()
    value, dz = evaluate(loss, z, y)
    p = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(value, -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=1).mean())
    np.testing.assert_allclose(dz, (p - y) / 7, atol=1e-15)


def test_sigmoid_of_infinite_logits_is_its_limit():
    loss = SigmoidCrossEntropy()
    z, y = np.array([[np.inf], [-np.inf], [np.inf]]), np.array([[1.0], [0.0], [0.0]])
    dz = np.empty_like(z)
    with np.errstate(all="ignore"):
        assert loss.rows(z, y, dz, buffers(loss, z)).tolist() == [0.0, 0.0, np.inf]
    assert dz.ravel().tolist() == [0.0, 0.0, 1.0]


def test_invalid_targets_and_numbers_of_classes_of_sigmoid_are_refused():
    loss = SigmoidCrossEntropy()
    with pytest.raises(ValueError, match="got 3 classes; use SoftmaxCrossEntropy"):
        loss.n_outputs(3)
    with pytest.raises(
        ValueError, match="^Only binary classification is supported by"
    ):  # scikit-learn's words
        loss.n_outputs(3)
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        loss.targets([0, 2], 2, 1)
    with pytest.raises(ValueError, match="at most 1, got 1.5"):
        loss.targets([[0.5], [1.5]], 2, 1)
    with pytest.raises(ValueError, match=r"shape \(2, 3\), got \(2,\)"):
        loss.targets([0, 1], 2, 3)


def test_label_smoothing_must_be_from_zero_to_one():
    with pytest.raises(ValueError, match=r"^label_smoothing must be in \[0, 1\], got 1.5$"):
        SoftmaxCrossEntropy(label_smoothing=1.5)


@pytest.mark.parametrize("shape", [(), (3, 1), (2,)])
def test_a_loss_of_another_shape_than_one_per_row_is_refused(shape):
    class Wrong(Loss):
        def rows(self, z, y, dz, t):
            return np.zeros(shape)

    with pytest.raises(
        ValueError, match=r"Wrong.rows must return one loss per row, shape \(3,\), got"
    ) as error:
        Wrong().value_and_grad(np.zeros((3, 2)), np.zeros(3, int), None, np.zeros((3, 2)), Views())
    assert str(error.value).endswith(f"got {shape}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_outputs", [2, 3])
def test_sigmoid_probabilities_of_many_outputs_are_independent(n_outputs, dtype):
    z = np.array([[0.0, -40.0, 800.0]], dtype)[:, -n_outputs:]
    loss = SigmoidCrossEntropy()
    p, log_p = np.array([0.5, np.exp(-40.0), 1.0]), np.array([np.log(0.5), -40.0, 0.0])
    np.testing.assert_allclose(loss.probabilities(z), [p[-n_outputs:]], rtol=1e-14)
    np.testing.assert_allclose(loss.log_probabilities(z), [log_p[-n_outputs:]], rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
def test_smoothed_targets_of_sigmoid_equal_the_formula(smoothing):
    y, loss = np.array([[0.0, 1.0], [0.25, 0.5]]), SigmoidCrossEntropy(label_smoothing=smoothing)
    np.testing.assert_allclose(loss.targets(y, 2, 2), (1 - smoothing) * y + smoothing / 2, rtol=1e-15)
    codes = loss.targets([0, 1], 2, 1)
    np.testing.assert_allclose(codes, [[smoothing / 2], [1 - smoothing / 2]], rtol=1e-15)
    assert codes.dtype == np.float64


def test_a_loss_without_rows_raises_not_implemented_error():
    with pytest.raises(NotImplementedError, match="Loss must define rows"):
        Loss().value_and_grad(np.zeros((1, 2)), np.zeros(1, int), None, np.zeros((1, 2)), Views())


@pytest.mark.parametrize("kind", [list, np.int64, np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy()], ids=repr)
def test_probabilities_accept_logits_of_any_kind(loss, kind):
    z = np.array([[1.0, 3.0], [-2.0, 0.0]])[:, : 2 if loss.inverse_link == "softmax" else 1]
    expected = np.exp(loss.log_probabilities(z))
    given = z.tolist() if kind is list else z.astype(kind)
    if kind is not list or loss.inverse_link == "softmax":
        found = loss.probabilities(given)
        np.testing.assert_allclose(found, expected, rtol=1e-14)
        assert found.dtype == expected.dtype == np.float64


@pytest.mark.parametrize("kind", [SoftmaxCrossEntropy, SigmoidCrossEntropy])
def test_a_subclass_with_its_own_rows_is_weighted_and_gets_its_buffers(kind):
    class Subclass(kind):
        def buffers(self, n_outputs, dtype):
            return {**super().buffers(n_outputs, dtype), "mine": Buffer(())}

        def rows(self, z, y, dz, t):
            t.mine[...] = 1.0
            return super().rows(z, y, dz, t)

    rng = np.random.default_rng(0)
    z, y, w = rng.normal(size=(6, kind().n_outputs(2))), rng.integers(2, size=6), rng.uniform(0.1, 3.0, 6)
    values = []
    for loss in (kind(), Subclass()):
        workspace = Network([Dense(z.shape[1])], 1, dtype=z.dtype).workspace(len(z), loss=loss)
        dz = np.full_like(z, np.nan)
        value = loss.value_and_grad(z, loss.targets(y, *z.shape), w, dz, workspace.tapes(len(z)).loss)
        values.append(np.append(dz, value))
    np.testing.assert_array_equal(*values)
