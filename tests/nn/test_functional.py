"""The public functions against mpmath, SciPy and a table of edge cases."""

import json
import warnings
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.special

from tests.support.ulps import check, ulp_error
from tinyclf import Dense, Network, train
from tinyclf.nn import functional as F

HARD = json.loads((Path(__file__).parents[2] / "data" / "hard_logits.json").read_text())
NAN, INF = np.nan, np.inf


def all_functions(x, label):
    batch = x[None, :]
    return {
        "softmax": F.softmax(x),
        "log_softmax": F.log_softmax(x),
        "logsumexp": np.atleast_1d(F.logsumexp(x)),
        "loss": F.cross_entropy(batch, [label]),
        "gradient": F.cross_entropy_grad(batch, [label])[0],
    }


@pytest.mark.parametrize("case", HARD, ids=lambda c: f"{c['name']}-{c['dtype']}")
def test_hard_logits_agree_with_mpmath(case):
    x = np.array(case["logits"], case["dtype"])
    for name, got in all_functions(x, case["label"]).items():
        truth = case[name] if isinstance(case[name], list) else [case[name]]
        scale = None
        if name == "logsumexp":  # ill-conditioned if the largest logit m is about -log(1 + S)
            m, lse = mpmath.mpf(max(case["logits"])), mpmath.mpf(case[name])
            scale = [max(abs(m), abs(lse - m))]
        assert got.dtype == x.dtype
        check(name, x, got, truth, scale)


def test_codes_and_one_hot_targets_agree():
    x = np.random.default_rng(1).normal(scale=10, size=(50, 4))
    codes = np.arange(50) % 4
    np.testing.assert_allclose(F.cross_entropy(x, codes), F.cross_entropy(x, np.eye(4)[codes]), rtol=1e-14)
    np.testing.assert_allclose(
        F.cross_entropy_grad(x, codes), F.cross_entropy_grad(x, np.eye(4, dtype=int)[codes]), atol=1e-15
    )


def test_agrees_with_scipy_where_scipy_is_accurate():
    x = np.random.default_rng(2).normal(scale=3, size=(4, 5, 6))
    for axis in range(-3, 3):
        np.testing.assert_allclose(F.softmax(x, axis), scipy.special.softmax(x, axis), rtol=1e-13)
        np.testing.assert_allclose(F.log_softmax(x, axis), scipy.special.log_softmax(x, axis), rtol=1e-12)
        np.testing.assert_allclose(F.logsumexp(x, axis), scipy.special.logsumexp(x, axis), rtol=1e-13)
        kept = F.logsumexp(x, axis, keepdims=True)
        assert kept.shape == scipy.special.logsumexp(x, axis, keepdims=True).shape
        np.testing.assert_array_equal(np.squeeze(kept, axis), F.logsumexp(x, axis))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_memory_order_strides_and_axis_do_not_matter(dtype):
    rng = np.random.default_rng(3)
    x = np.ascontiguousarray(rng.normal(scale=20, size=(6, 9)).astype(dtype))
    y = rng.integers(9, size=6)
    big = np.full((12, 18), 7, dtype)
    big[::2, ::-2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for other in (np.asfortranarray(x), big[::2, ::-2], read_only):
        for f in (F.softmax, F.log_softmax, F.logsumexp):
            np.testing.assert_array_equal(f(other), f(x))
            np.testing.assert_array_equal(f(other.T, 0), f(x).T)
        for f in (F.cross_entropy, F.cross_entropy_grad):
            np.testing.assert_array_equal(f(other, y), f(x, y))
            np.testing.assert_array_equal(f(other, np.eye(9)[y]), f(x, np.eye(9)[y]))


@pytest.mark.promise("each call works or raises an error that names the cause")
def test_inputs_are_not_changed():
    x = np.array([[1.0, -INF, 3.0], [NAN, 2.0, 1.0]])
    y = np.array([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    for f in (F.softmax, F.log_softmax, F.logsumexp, F.sigmoid, F.log_sigmoid):
        before = x.copy()
        f(x)
        np.testing.assert_array_equal(x, before)
    for f in (F.cross_entropy, F.cross_entropy_grad):
        before, y_before = x.copy(), y.copy()
        f(x, y, label_smoothing=0.1)
        f(x, [0, 1])
        np.testing.assert_array_equal(x, before)
        np.testing.assert_array_equal(y, y_before)


@pytest.mark.parametrize(
    ("x", "logsumexp", "softmax"),
    [
        ([-INF, -INF], -INF, [NAN, NAN]),  # nothing is possible: no distribution exists
        ([INF, 0.0], INF, [NAN, NAN]),  # a one-hot result would hide a divergence
        ([INF, INF], INF, [NAN, NAN]),
        ([NAN, 0.0], NAN, [NAN, NAN]),
        ([0.0, NAN], NAN, [NAN, NAN]),
        ([INF, NAN], NAN, [NAN, NAN]),
        ([-INF], -INF, [NAN]),  # also with a single class
        ([NAN], NAN, [NAN]),
        ([3.0], 3.0, [1.0]),
        ([0.0, -INF], 0.0, [1.0, 0.0]),
    ],
)
@pytest.mark.promise("never nan")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_without_a_distribution_give_nan(x, logsumexp, softmax, dtype):
    batch = np.array([x, np.zeros_like(x)], dtype)  # the other row must not be affected
    np.testing.assert_array_equal(F.logsumexp(batch)[0], np.array(logsumexp, dtype))
    np.testing.assert_array_equal(F.softmax(batch)[0], softmax)
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(F.log_softmax(batch)[0], np.log(softmax))
    assert np.isnan(F.cross_entropy(batch, [0, 0])[0]) == np.isnan(softmax[0])
    assert np.isfinite(F.softmax(batch)[1]).all()
    assert np.isfinite(F.cross_entropy(batch, [0, 0])[1])


def test_a_masked_label_has_an_infinite_loss_and_the_gradient_minus_one():
    # -log 0 is inf, but the gradient p - 1 is finite.
    x = np.array([[0.0, -INF, 0.0]])
    assert F.cross_entropy(x, [1]) == INF
    np.testing.assert_allclose(F.cross_entropy_grad(x, [1]), [[0.5, -1.0, 0.5]])


def test_a_masked_class_with_target_zero_does_not_change_the_loss():
    x = np.array([[0.0, -INF, 0.0]])
    np.testing.assert_allclose(F.cross_entropy(x, [[0.5, 0.0, 0.5]]), [np.log(2)])


def test_zero_classes_are_an_error_except_in_logsumexp():
    # An empty sum is 0, and log 0 is -inf; a distribution over zero classes does not exist.
    assert F.logsumexp(np.empty((2, 0))).tolist() == [-INF, -INF]
    assert F.logsumexp([]) == -INF
    for f in (F.softmax, F.log_softmax):
        with pytest.raises(ValueError, match="at least one class"):
            f(np.empty((2, 0)))
    with pytest.raises(ValueError, match="at least one class"):
        F.cross_entropy(np.empty((2, 0)), [0, 0])


def test_zero_rows_give_an_empty_result():
    x = np.empty((0, 3), "float32")
    assert F.softmax(x).shape == (0, 3)
    assert F.log_softmax(x.T, axis=0).shape == (3, 0)
    assert F.logsumexp(x).shape == (0,)
    assert F.cross_entropy(x, []).shape == (0,)
    assert F.cross_entropy_grad(x, np.empty(0, int)).shape == (0, 3)


@pytest.mark.parametrize(
    ("targets", "error", "match"),
    [
        ([0, -1], ValueError, "from 0 to 2, got -1"),
        ([0, 3], ValueError, "from 0 to 2, got 3"),
        ([0.0, 1.0], TypeError, "integer codes from 0 to 2, got dtype float64; encode labels with np.unique"),
        ([True, False], TypeError, "integer codes"),
        ([0], ValueError, "one code per row of logits, 2, got 1"),
        ([[0.5, 0.5], [0.5, 0.5]], ValueError, r"\(2, 3\) for probabilities, got \(2, 2\)"),
        ([[0.5, -0.5, 1], [0, 0, 1]], ValueError, "got -0.5 at row 0, class 1"),
        ([[0, 0, 1], [0, NAN, 1]], ValueError, "got nan at row 1, class 1"),
        ([[0, 0, 1], [0, INF, 1]], ValueError, "got inf at row 1, class 1"),
        ([[0, 0, 1], [1e308, 1e308, 0]], ValueError, "sum of the targets of row 1 is beyond"),
        ([["a", "b", "c"]] * 2, TypeError, "real numbers"),
    ],
)
def test_invalid_targets_of_cross_entropy_are_refused(targets, error, match):
    # NumPy would take a code of -1 as the last class.
    for f in (F.cross_entropy, F.cross_entropy_grad):
        with pytest.raises(error, match=match):
            f(np.zeros((2, 3)), targets)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, NAN])
def test_label_smoothing_must_be_from_zero_to_one(smoothing):
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\]"):
        F.cross_entropy(np.zeros((1, 2)), [0], label_smoothing=smoothing)


def test_invalid_logits_are_refused():
    with pytest.raises(ValueError, match=r"shape \(n, k\)"):
        F.cross_entropy([1.0, 2.0], [0])
    with pytest.raises(ValueError, match="at least one axis"):
        F.softmax(1.0)
    for bad in ([True, False], ["a"], [1j], [None]):
        with pytest.raises(TypeError, match="real numbers"):
            F.softmax(bad)


def test_other_byte_orders_and_long_doubles_are_accepted():
    x = np.array([[0.0, -200.0]])
    for kind in (">f8", np.longdouble):
        np.testing.assert_array_equal(F.cross_entropy(x.astype(kind), [0]), F.cross_entropy(x, [0]))
        assert F.cross_entropy(x.astype(kind), [0]).dtype == np.float64
    np.testing.assert_array_equal(F.softmax(x.astype(">f4")), F.softmax(x.astype("f4")))
    assert np.isnan(
        F.softmax(np.array([np.longdouble("1e4000"), 0]))
    ).all()  # inf in float64, without a warning


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_a_supported_type_are_not_copied(dtype):
    x = np.ones((2, 3), dtype)
    assert np.shares_memory(F.as_logits(x), x)


def test_targets_of_another_dtype_give_the_same_loss():
    x, y = np.array([[30.0, 0.0]]), np.array([[0.25, 0.75]], "float32")
    np.testing.assert_array_equal(F.cross_entropy(x, y), F.cross_entropy(x, y.astype(float)))


def test_a_loss_within_the_range_is_finite_although_the_difference_of_logits_overflows():
    x = np.array([[1.7e308, -1.7e308]])
    np.testing.assert_allclose(F.cross_entropy(x, [[1.0, 1e-10]]), [3.4e298], rtol=1e-15)
    assert F.cross_entropy(x, [[1.0, 1.0]]) == INF


def test_logsumexp_at_the_end_of_the_range_is_right_without_a_warning():
    assert F.logsumexp(np.float32([3.4028235e38, 3.4028235e38])) == np.float32(3.4028235e38)


@pytest.mark.parametrize("axis", [None, 0.5, (0, 1), True])
def test_axis_must_be_one_whole_number(axis):
    for f in (F.softmax, F.log_softmax, F.logsumexp):
        with pytest.raises(TypeError, match="axis must be one whole number, got"):
            f(np.zeros((2, 3)), axis)
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        F.softmax(np.zeros((2, 3)), 2)


def test_integers_do_not_wrap_around():
    # In uint8, 0 - 255 is 1.
    x = np.array([[0, 255]], np.uint8)
    np.testing.assert_array_equal(F.log_softmax(x), F.log_softmax(x.astype(float)))
    assert F.softmax(x).dtype == np.float64


@pytest.mark.parametrize(
    ("dtype", "result"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_results_have_the_dtype_of_the_logits_but_float32_for_float16(dtype, result):
    x = np.array([[4.0, 1.0]], dtype)
    for f in (F.softmax, F.log_softmax, F.logsumexp, F.sigmoid, F.log_sigmoid):
        assert f(x).dtype == result
    for f in (F.cross_entropy, F.cross_entropy_grad):
        assert f(x, [0]).dtype == result


def test_one_class_has_zero_loss_and_zero_gradient():
    # p = 1 for any logit.
    assert F.cross_entropy([[3.0]], [0]).tolist() == [0.0]
    assert F.cross_entropy_grad([[3.0]], [0]).tolist() == [[0.0]]


def test_no_function_warns_even_if_the_caller_turns_warnings_into_errors():
    x = np.array([[1e308, -1e308], [0.0, -INF], [NAN, 1.0]])
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        for f in (F.softmax, F.log_softmax, F.logsumexp, F.sigmoid, F.log_sigmoid):
            f(x)
            f(np.float32([[3e38, -3e38], [NAN, 0]]))
        F.logsumexp(np.float32([0, -100]))
        F.softmax(np.array([np.longdouble("1e-4000"), 0]))
        F.cross_entropy([[0.0, 1.0]], [[1e-310, 0]], label_smoothing=0.1)
        with pytest.raises(ValueError, match="got inf at row 0, class 0"):
            F.cross_entropy([[0.0, 1.0]], np.array([[np.longdouble("1e4000"), 0]]))
        for f in (F.cross_entropy, F.cross_entropy_grad):
            f(x, [1, 1, 0], label_smoothing=0.5)
            f(np.float32([[3e38, -3e38]]), [1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_agrees_with_mpmath(dtype):
    x = np.array([-800, -710, -104, -88, -40, -17, -1, -1e-20, 0, 1e-20, 1, 17, 40, 88, 104, 710, 800], dtype)
    exact = [mpmath.mpf(v) for v in x.tolist()]
    limit = 0.51 if dtype == "float32" else 4
    assert ulp_error(F.sigmoid(x), [1 / (1 + mpmath.exp(-v)) for v in exact]) <= limit
    assert ulp_error(F.log_sigmoid(x), [-mpmath.log1p(mpmath.exp(-v)) for v in exact]) <= limit
    assert F.sigmoid([-INF, INF]).tolist() == [0.0, 1.0]
    assert F.log_sigmoid([-INF, INF]).tolist() == [-INF, 0.0]


# The cases of SciPy's tests of these functions, along one axis, with their tolerance.
SCIPY_SOFTMAX = [
    ([1000.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]),
    ([1000, 0, 0, 0], [1.0, 0.0, 0.0, 0.0]),
    ([1.0, 1.0], [0.5, 0.5]),
    ([0.0, 1.0], [1 / (1 + np.e), np.e / (1 + np.e)]),
    (
        [0.0, 1.0, 2.0, 3.0],
        [0.03205860328008499, 0.08714431874203256, 0.23688281808991013, 0.6439142598879722],
    ),
    (
        [100.0, 101.0, 102.0, 103.0],
        [0.03205860328008499, 0.08714431874203256, 0.23688281808991013, 0.6439142598879722],
    ),
    (
        [-25.0, 0.0, 25.0, 50.0],
        [2.678636961770877e-33, 1.9287498479371314e-22, 1.3887943864771144e-11, 0.999999999986112],
    ),
    ([1.0, 325.0, 749.0, 750.0], [0.0, 1.9444526359919372e-185, 0.2689414213699951, 0.7310585786300048]),
]
SCIPY_LOG_SOFTMAX = [
    ([1000.0, 1.0], [0.0, -999.0]),
    ([1000, 1], [0.0, -999.0]),
    (
        [0.0, 1.0, 2.0, 3.0],
        [-3.4401896985611953, -2.4401896985611953, -1.4401896985611953, -0.44018969856119533],
    ),
    (
        [100.0, 101.0, 102.0, 103.0],
        [-3.4401896985611953, -2.4401896985611953, -1.4401896985611953, -0.44018969856119533],
    ),
]
SCIPY_LOGSUMEXP = [
    ([], -INF),
    (np.arange(200.0), np.log(np.sum(np.exp(np.arange(200.0))))),
    ([1000.0, 1000.0], 1000.0 + np.log(2.0)),
    ([1000, 1000], 1000.0 + np.log(2.0)),
    (np.full(1000, 10000), 10000.0 + np.log(1000.0)),
    (np.full(1_000_000, np.log(1e-40)), np.log(1e-40) + np.log(1e6)),
    ([1e10, 1e-10], 1e10),
    ([-1e10, -INF], -1e10),
    ([-INF, -INF], -INF),
    ([INF], INF),
    ([NAN], NAN),
    ([0.0, -40.0], np.logaddexp(0.0, -40.0)),
]


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [(F.softmax, *case) for case in SCIPY_SOFTMAX]
    + [(F.log_softmax, *case) for case in SCIPY_LOG_SOFTMAX]
    + [(F.logsumexp, *case) for case in SCIPY_LOGSUMEXP],
)
def test_results_agree_with_the_cases_of_scipys_tests(function, x, expected):
    np.testing.assert_allclose(function(x), expected, rtol=1e-13)
    both = np.stack([x, x])
    np.testing.assert_allclose(function(both), np.stack([expected, expected]), rtol=1e-13)
    swapped = function(both.T, axis=0)
    np.testing.assert_allclose(swapped.T, np.stack([expected, expected]), rtol=1e-13)


def test_masked_logits_and_targets_are_refused():
    z, mask = np.zeros((2, 2)), [[False, False], [False, True]]
    with pytest.raises(ValueError, match="^logits is masked at row 1, column 1"):
        F.softmax(np.ma.masked_array(z, mask))
    for targets in (np.ma.masked_array([0, 1], [False, True]), [0, np.ma.masked]):
        for function in (F.cross_entropy, F.cross_entropy_grad):
            with pytest.raises(ValueError, match="^targets is masked at row 1"):
                function(z, targets)
        with pytest.raises(ValueError, match="^targets is masked at row 1"):
            train(Network([Dense(2)], 2), z, targets)
    with pytest.raises(ValueError, match="^targets is masked at row 1, column 1"):
        F.cross_entropy(z, np.ma.masked_array(np.eye(2), mask))
    assert F.cross_entropy(z, np.ma.masked_array([0, 1])).tolist() == F.cross_entropy(z, [0, 1]).tolist()
    with pytest.raises(ValueError, match="^rows is masked at row 1"):
        train(Network([Dense(2)], 2), z, [0, 1], rows=np.ma.masked_array([0, 1], [False, True]))
