"""Exactness: the functions against mpmath on generated logits of any type, shape, magnitude and order."""

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.ulps import SHAPES_OF_LOGITS, check, logits_of, softmax_truth, ulp_error
from tinyclf.nn import functional as F
from tinyclf.nn.layers import Dense
from tinyclf.nn.logsumexp import row_sums
from tinyclf.nn.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from tinyclf.nn.network import Network

DTYPES = ["float16", "float32", "float64"]


def reordered(x, order):
    """The same numbers in another memory order, without write access."""
    if order == "F":
        x = np.asfortranarray(x)
    elif order == "strided":
        larger = np.full((2 * x.shape[0], 3 * x.shape[1]), 77, x.dtype)
        larger[::-2, ::3] = x
        x = larger[::-2, ::3]
    x = x.view()
    x.flags.writeable = False
    return x


cases = st.tuples(
    st.sampled_from(SHAPES_OF_LOGITS),
    st.integers(1, 3),
    st.one_of(st.integers(1, 12), st.sampled_from([40, 130])),
    st.sampled_from(DTYPES),
    st.sampled_from(["C", "F", "strided"]),
    st.integers(0, 2**32 - 1),
)


def built(case):
    kind, n, k, dtype, order, seed = case
    rng = np.random.default_rng(seed)
    return reordered(logits_of(kind, n, k, dtype, rng), order), rng


@given(cases)
def test_softmax_log_softmax_and_logsumexp_are_exact(case):
    x, _ = built(case)
    p, log_p, lse = F.softmax(x), F.log_softmax(x), F.logsumexp(x)
    np.testing.assert_array_equal(F.softmax(x.T, axis=0), p.T)
    np.testing.assert_array_equal(F.log_softmax(x[None], axis=2)[0], log_p)
    for i, row in enumerate(x):
        truth = softmax_truth(row)
        check("softmax", row, p[i], truth.p)
        check("log_softmax", row, log_p[i], truth.log_p)
        check("logsumexp", row, lse[i : i + 1], [truth.lse], [max(abs(truth.m), truth.L)])


@given(cases)
def test_cross_entropy_and_its_gradient_are_exact(case):
    x, rng = built(case)
    n, k = x.shape
    y = rng.integers(k, size=n)
    losses, gradient = F.cross_entropy(x, y), F.cross_entropy_grad(x, y)
    for i, row in enumerate(x):
        truth = softmax_truth(row)
        check("loss", row, losses[i : i + 1], [-truth.log_p[y[i]]])
        check("gradient", row, gradient[i], truth.gradient(y[i]))


@given(cases, st.sampled_from([0.0, 1e-9, 0.1, 1.0]))
def test_cross_entropy_with_soft_targets_is_exact(case, smoothing):
    x, rng = built(case)
    n, k = x.shape
    # Rows with any sum and with zeros. A masked class has the target 0; otherwise its loss would be inf.
    y = rng.uniform(size=(n, k)) * 10.0 ** rng.uniform(-3, 3) * (rng.uniform(size=(n, k)) < 0.7)
    if smoothing and np.isneginf(x).any():
        smoothing = 0.0
    y[np.isneginf(x)] = 0.0
    losses = F.cross_entropy(x, y, label_smoothing=smoothing)
    gradient = F.cross_entropy_grad(x, y, label_smoothing=smoothing)
    a = mpmath.mpf(smoothing)
    for i, row in enumerate(x):
        truth = softmax_truth(row)
        exact = [mpmath.mpf(v) for v in y[i].tolist()]
        Y = mpmath.fsum(exact)
        target = [(1 - a) * v + a * Y / k for v in exact]
        loss = mpmath.fsum(-t * lp for t, lp in zip(target, truth.log_p, strict=True) if t)
        check("loss", row, losses[i : i + 1], [loss])
        slope = [Y * p - t for p, t in zip(truth.p, target, strict=True)]
        check("gradient", row, gradient[i], slope, [Y * p + t for p, t in zip(truth.p, target, strict=True)])


def rows_of_floats(dtype):
    """A strategy for a type and a list of its finite floats, many of them in the range where exp is not 0."""
    width = int(dtype[5:])
    numbers = st.floats(width=width, allow_nan=False, allow_infinity=False) | st.floats(
        -800, 800, width=width
    )
    return st.tuples(st.just(dtype), st.lists(numbers, min_size=1, max_size=8))


any_floats = st.sampled_from(["float32", "float64"]).flatmap(rows_of_floats)


@given(any_floats)
@example(("float32", [20.0, 0.0]))
@example(("float64", [0.0, -744.9]))
def test_all_functions_are_exact_for_any_finite_floats(drawn):
    dtype, values = drawn
    x = np.array(values, dtype)
    truth = softmax_truth(x)
    check("softmax", x, F.softmax(x), truth.p)
    check("log_softmax", x, F.log_softmax(x), truth.log_p)
    check("logsumexp", x, np.atleast_1d(F.logsumexp(x)), [truth.lse], [max(abs(truth.m), truth.L)])
    check("loss", x, F.cross_entropy(x[None], [0]), [-truth.log_p[0]])
    check("gradient", x, F.cross_entropy_grad(x[None], [0])[0], truth.gradient(0))


@given(cases)
def test_training_and_evaluation_compute_the_same_losses_and_gradients(case):
    x, rng = built(case)
    x = np.ascontiguousarray(x if x.dtype != np.float16 else x.astype("float32"))
    n, k = x.shape
    loss = SoftmaxCrossEntropy()
    workspace = Network([Dense(k)], 1, dtype=x.dtype).workspace(n, loss=loss)
    for y in (rng.integers(k, size=n), np.eye(k)[rng.integers(k, size=n)]):
        dz = np.full_like(x, np.nan)
        with np.errstate(all="ignore"):
            losses = loss.rows(x, y, dz, workspace.tapes(n).loss)
        assert losses.dtype == np.float64  # a batch is summed before it is rounded
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(losses.astype(x.dtype), F.cross_entropy(x, y))
        np.testing.assert_array_equal(dz, F.cross_entropy_grad(x, y))


@given(any_floats, st.integers(0, 2**32 - 1), st.booleans())
def test_sigmoid_cross_entropy_is_exact(drawn, seed, hard):
    dtype, values = drawn
    z = np.array([values], dtype)
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=z.shape).astype(float) if hard else rng.uniform(size=z.shape)
    loss = SigmoidCrossEntropy()
    workspace = Network([Dense(z.shape[1])], 1, dtype=dtype).workspace(1, loss=loss)
    dz = np.empty_like(z)
    with np.errstate(all="ignore"):
        losses = loss.rows(z, y, dz, workspace.tapes(1).loss).astype(dtype)
    expected = mpmath.mpf(0)
    slope, scale = [], []
    for v, t in zip(map(mpmath.mpf, z[0].tolist()), map(mpmath.mpf, y[0].tolist()), strict=True):
        e = mpmath.exp(-abs(v))
        s, other = (1 / (1 + e), e / (1 + e)) if v >= 0 else (e / (1 + e), 1 / (1 + e))
        small = mpmath.log1p(e)
        expected += t * (max(-v, 0) + small) + (1 - t) * (max(v, 0) + small)
        slope.append((1 - t) * s - t * other)
        scale.append((1 - t) * s + t * other)
    check("loss", z, losses, [expected])
    check("gradient", z, dz[0], slope, scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("k", [1, 2, 10, 1_000, 1_000_000])
def test_the_loss_of_a_dominating_logit_is_exact_for_many_classes(k, order, dtype):
    # S = (k - 1) exp(-30.5): the loss is the sum over the tail alone.
    x = np.full((2, k), 0.25, dtype)
    x[0, k // 2] = 30.75
    x = reordered(x, order)
    S = (k - 1) * mpmath.exp(mpmath.mpf("-30.5"))
    t = [k // 2, 0]
    check("loss", x[:, :3], F.cross_entropy(x, t), [mpmath.log1p(S), mpmath.log(k)])
    gradient = F.cross_entropy_grad(x, t)
    check("gradient", x[:, :3], gradient[0, k // 2 : k // 2 + 1], [-S / (1 + S)])
    check("gradient", x[:, :3], gradient[1, :1], [mpmath.mpf(1) / k - 1])
    check("softmax", x[:, :3], F.softmax(x)[1, :1], [mpmath.mpf(1) / k])
    check("logsumexp", x[:, :3], F.logsumexp(x)[1:], [mpmath.mpf("0.25") + mpmath.log(k)])


@pytest.mark.parametrize("order", ["C", "F"])
def test_many_different_classes_are_summed_pairwise(order):
    # Without pairwise summation, float64 loses five digits over a million classes.
    k = 1_000_000
    x = reordered(np.log(np.arange(1, k + 1.0))[None, :].repeat(2, axis=0), order)
    # exp(log i) is i up to the rounding of the logarithm, which averages out; the sum is k (k + 1) / 2.
    truth = mpmath.log(mpmath.mpf(k) * (k + 1) / 2)
    check("logsumexp", x[:, :3], F.logsumexp(x), [truth, truth])


@pytest.mark.parametrize("k", [3, 1001])
@pytest.mark.parametrize("depth", [-690.3, -701.2, -735.6, -744.8])
def test_a_long_tail_below_1e_300_is_exact_in_float64(k, depth):
    x = np.array([0.1] + [depth + 0.001 * (i % 7) for i in range(k - 1)])
    truth = softmax_truth(x)
    check("loss", x[:3], F.cross_entropy(x[None], [0]), [-truth.log_p[0]])
    check("gradient", x[:3], F.cross_entropy_grad(x[None], [0])[0, :1], truth.gradient(0)[:1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("Y", [0.5, 10.0, 400.0, 1e6, 1e16, 1e50, 1e300])
@pytest.mark.parametrize(
    "others", [[-744.4, -743.8, -700.7], [-730.0], [-800.0, -1200.5], [-1450.0], [-400.0]]
)
def test_large_targets_of_tiny_probabilities_are_exact(others, Y, dtype):
    x, y = np.array([0.3, *others], dtype), np.zeros(1 + len(others))
    y[0] = Y
    truth = softmax_truth(x)
    check("loss", x, F.cross_entropy(x[None], y[None]), [Y * truth.L])
    slope = [-Y * mpmath.fsum(truth.p[1:]), *(Y * p for p in truth.p[1:])]
    scale = [Y * p + t for p, t in zip(truth.p, y.tolist(), strict=True)]
    check("gradient", x, F.cross_entropy_grad(x[None], y[None])[0], slope, scale)


@pytest.mark.parametrize("term", [0.1, np.exp(-0.1), np.exp(-3.3)])
def test_rounding_errors_of_a_million_equal_terms_do_not_add_up(term):
    terms = np.full((1, 1_000_000), term)
    truth = [1_000_000 * mpmath.mpf(float(term))]
    assert ulp_error(row_sums(terms, np.float64), truth) <= 1
    assert ulp_error(row_sums(terms, np.float64, np.empty_like(terms)), truth) <= 1
    smoothed = F.smoothed(terms, terms.shape[1], 1.0)
    assert ulp_error(smoothed[0, :1], [mpmath.mpf(float(term))]) <= 1


@pytest.mark.parametrize("k", [2, 3, 128, 129, 200, 257, 1000])
def test_row_sums_are_the_sums_of_the_rows(k):
    terms = np.random.default_rng(k).uniform(size=(3, k))
    before = terms.copy()
    np.testing.assert_allclose(row_sums(terms, np.float64), before.sum(axis=1), rtol=1e-14)
    np.testing.assert_array_equal(terms, before)


@pytest.mark.parametrize("k", [100, 300, 10_000])
@pytest.mark.parametrize("smoothing", [0.0, 0.5, 1.0])
def test_soft_targets_of_many_classes_do_not_depend_on_the_memory_order(k, smoothing):
    x = np.random.default_rng(0).normal(size=(2, k))
    y = np.full((2, k), 0.1)
    expected = F.cross_entropy(x, y, label_smoothing=smoothing)
    slope = F.cross_entropy_grad(x, y, label_smoothing=smoothing)
    for order in ("F", "strided"):
        z = reordered(y, order)
        np.testing.assert_array_equal(F.cross_entropy(x, z, label_smoothing=smoothing), expected)
        np.testing.assert_array_equal(F.cross_entropy_grad(x, z, label_smoothing=smoothing), slope)
    truth = softmax_truth(x[0])  # equal targets stay equal when they are smoothed
    check("loss", x[:, :3], expected[:1], [-mpmath.mpf(0.1) * mpmath.fsum(truth.log_p)])


def test_a_tail_below_1e_300_is_exact_in_float64():
    x = np.array([[0.0, -700.25, -705.5], [0.0, -744.0, -744.5], [5.0, -735.0, -np.inf], [0.0, -1.0, -745.0]])
    for row in x:
        truth = softmax_truth(row)
        check("loss", row, F.cross_entropy(row[None], [0]), [-truth.log_p[0]])
        check("gradient", row, F.cross_entropy_grad(row[None], [0])[0], truth.gradient(0))
    np.testing.assert_array_equal(F.cross_entropy(x, [0] * 4), [F.cross_entropy(r[None], [0])[0] for r in x])
