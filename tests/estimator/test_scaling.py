"""Scaling of the input: robust statistics of columns, the transform, and a first layer adjusted to them."""

import dataclasses
import pickle
import re
import threading
import tracemalloc
from itertools import product

import numpy as np
import pytest
import scipy.sparse
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler

from tests.support.estimators import learned, number_columns, quick
from tests.support.parts import PLAIN
from tinyclf import Dense, DivergenceError, Network, ReLU, TinyClassifier
from tinyclf.estimator.encoding import EncodedRows
from tinyclf.estimator.scaling import Scaling, cached_property

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 6)) * [1.0, 1e3, 1e-3, 1.0, 0.0, 1.0] + [0.0, 1e6, 0.0, -7.0, 0.1, 1e8]
NEAR = X[:, :5] / [1.0, 100.0, 1.0, 1.0, 1.0]  # where 1e-16 of the offset is below 1e-12 of the scale
W = RNG.uniform(0.0, 2.0, 3000) * (RNG.random(3000) > 0.2)
IRIS, SPECIES = load_iris(return_X_y=True)
DENSE = np.where(RNG.random((2000, 9)) < 0.1, RNG.normal(size=(2000, 9)), 0.0)
DENSE[:, 3] = 2.5  # a constant that is not 0
SPARSE = scipy.sparse.csr_array(DENSE)
KINDS = pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])


def scaled(scaling, x, dtype="float64"):
    """Scaled rows in the dtype of a network."""
    x = np.asarray(x)
    return scaling.transform(x, np.empty(x.shape, dtype))


def scaled_entries(scaling, values, columns):
    """The scaled values of sparse entries in these columns, one entry per row."""
    rows = scipy.sparse.csr_array(
        (values, columns, np.arange(len(values) + 1)), shape=(len(values), len(scaling.base))
    )
    return scaling.transform_entries(rows, "float64")


def sgd(**parameters):
    """An estimator in float64 whose steps are negligible."""
    settings = {**PLAIN, "solver": "sgd", "dtype": "float64", "random_state": 0, "scale_inputs": True}
    return TinyClassifier(
        **{**settings, "learning_rate_init": 1e-300, "learning_rate": "cosine", **parameters}
    )


def in_parts(rows, sizes, weight=None):
    """The scaling of rows that are added in parts of these sizes."""
    weight = np.ones(rows.shape[0]) if weight is None else weight
    scaling, start = Scaling.of(rows[: sizes[0]], weight[: sizes[0]]), sizes[0]
    for size in sizes[1:]:
        scaling = scaling.with_rows(rows[start : start + size], weight[start : start + size])
        start += size
    return scaling


def clipped_mean_and_deviation(x, weight):
    """Mean and deviation of a column, clipped to three robust scales from its median, from all entries."""
    x = np.repeat(x, weight)
    low, median, high = np.quantile(x, [0.25, 0.5, 0.75])
    reach = 3.0 * (high - low) / 1.349 or 3.0 * np.quantile(np.abs(x - median)[x != median], 0.75)
    x = np.clip(x, median - reach, median + reach)
    return x.mean(), x.std()


def near(scaling, x):
    """Which rows of x are less than three scales from the center in all columns that vary."""
    varies = scaling.scale > 0.0
    z = (x - scaling.center)[:, varies] / scaling.scale[varies]
    return (np.abs(z) < 3.0).all(axis=1)


# --- the statistics ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [None, W], ids=["equal", "weighted"])
def test_columns_without_outliers_are_standardized(weight):
    x = np.delete(X, 4, axis=1)  # without the constant
    ours, theirs = Scaling.of(x, weight), StandardScaler().fit(x, sample_weight=weight)
    assert_allclose(ours.scale, theirs.scale_, rtol=0.05)
    assert (np.abs(ours.center - theirs.mean_) < 0.05 * theirs.scale_).all()
    inside = np.abs(theirs.transform(x)) < 2.5
    assert_allclose(scaled(ours, x)[inside], theirs.transform(x)[inside], atol=0.15)


@pytest.mark.parametrize(
    "draw",
    [
        lambda n: RNG.normal(size=n),
        lambda n: RNG.exponential(size=n) - 3.0,
        lambda n: RNG.integers(0, 5, n).astype(float),
        lambda n: np.where(RNG.random(n) < 0.6, 0.0, RNG.random(n)),
        lambda n: np.where(RNG.random(n) < 0.95, 7.0, RNG.normal(size=n)),
        lambda n: np.where(RNG.random(n) < 0.1, -999.0, RNG.normal(size=n)),
        lambda n: RNG.standard_cauchy(n),
    ],
    ids=["normal", "exponential", "counts", "half zero", "rare", "sentinel", "cauchy"],
)
def test_center_and_scale_are_mean_and_deviation_of_clipped_entries(draw):
    for n, weight in ((4000, np.ones(4000, int)), (3000, RNG.integers(0, 4, 3000))):
        x = draw(n)
        mean, deviation = clipped_mean_and_deviation(x, weight)
        scaling = Scaling.of(x[:, None], weight.astype(float))
        assert scaling.scale[0] == pytest.approx(deviation, rel=0.12)
        assert scaling.center[0] == pytest.approx(mean, abs=0.08 * deviation)


@pytest.mark.parametrize("weight", [None, W[:501] + 0.1], ids=["equal", "weighted"])
def test_a_reflected_column_has_the_reflected_center_and_the_same_scale(weight):
    x = np.random.default_rng(0).standard_cauchy((501, 3)) + 0.2 * np.arange(3)
    x[:250, 2] = 0.0
    one, other = Scaling.of(x, weight), Scaling.of(-x, weight)
    assert_allclose(other.center, -one.center, rtol=1e-9, atol=1e-9)
    assert_allclose(other.scale, one.scale, rtol=1e-9)


@pytest.mark.parametrize("size", [1e4, 1e8, 1e30, 1e300, -1e300])
@pytest.mark.parametrize("fraction", [0.0005, 0.05, 0.15])
@KINDS
def test_outliers_of_any_size_hardly_change_center_and_scale(kind, fraction, size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3)) * [1.0, 1e-3, 1e3] + [0.0, 5.0, 0.0]
    clean, x = Scaling.of(kind(x)), x.copy()
    x[rng.random(x.shape) < fraction] = size
    x[0] = size
    found = Scaling.of(kind(x))
    assert (found.scale < (1.5 if fraction < 0.1 else 2.5) * clean.scale).all()
    assert (found.scale > 0.9 * clean.scale).all()
    assert (np.abs(found.center - clean.center) < (0.3 if fraction < 0.1 else 1.0) * clean.scale).all()


@pytest.mark.parametrize("value", [-99.0, -999.0, 1e8, 1e30])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.45])
def test_a_value_that_stands_for_missing_entries_hardly_changes_center_and_scale(fraction, value):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3)) * [1.0, 1e-3, 0.1] + [0.0, 5.0, 0.0]
    clean, missing = Scaling.of(x), rng.random(x.shape) < fraction
    found = Scaling.of(np.where(missing, value, x))
    assert (found.scale < 3.0 * clean.scale).all()
    assert (found.scale > 0.9 * clean.scale).all()
    z = scaled(found, x)
    assert (z.std(axis=0) > 0.3).all()
    if fraction < 0.4:
        parts = in_parts(np.where(missing, value, x), [100] * 20)
        assert (parts.scale < 4.0 * clean.scale).all()


@pytest.mark.parametrize(
    ("fraction", "value", "least"), [(0.05, -999.0, 0.84), (0.3, -99.0, 0.74), (0.3, -1e8, 0.7)]
)
def test_rows_with_a_value_for_missing_entries_are_learned(fraction, value, least):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 8))
    y = x @ rng.normal(size=8) + 0.5 * rng.normal(size=4000) > 0
    x[rng.random(x.shape) < fraction] = value
    model = TinyClassifier(random_state=0).fit(x[:2500], y[:2500])
    assert model.score(x[2500:], y[2500:]) > least


@pytest.mark.parametrize("n_ones", [1, 3, 500, 900])
@pytest.mark.parametrize("weight", [None, W[:1000]], ids=["equal", "weighted"])
def test_columns_with_two_values_are_standardized_however_rare_one_is(n_ones, weight):
    w = np.ones(1000) if weight is None else np.where(weight > 0.0, weight, 0.1)
    x = np.where(np.arange(1000) < n_ones, 5.0, 2.0)[:, None]
    scaling = Scaling.of(x, None if weight is None else w)
    mean = np.average(x[:, 0], weights=w)
    assert_allclose(scaling.center, mean, rtol=1e-12)
    assert_allclose(scaling.scale, np.sqrt(np.average((x[:, 0] - mean) ** 2, weights=w)), rtol=1e-12)


def test_one_entry_that_differs_among_many_is_seen():
    x = np.zeros((100_000, 1))
    x[77_777] = 1.0
    assert Scaling.of(x).scale[0] == pytest.approx(np.sqrt(1e-5), rel=1e-3)
    assert Scaling.of(scipy.sparse.csr_array(x)).scale[0] == 1.0


def test_the_statistics_are_exact_for_a_large_offset():
    base = np.linspace(-1.0, 1.0, 501)
    x = 1e8 + RNG.permutation(base)[:, None]
    with mp.workdps(60):
        exact = sorted(mp.mpf(float(v)) for v in x[:, 0])
        # The quantiles at (j + 1/2) / 32; no entry is clipped.
        points = [exact[int(mp.ceil((j + mp.mpf("0.5")) / 32 * 500)) + (j >= 16) - 1] for j in range(32)]
        mean = (mp.fsum(points) / 32 * 500 + exact[250]) / 501
        about = mp.fsum((v - mean) ** 2 for v in points) / 32 * 500 + (exact[250] - mean) ** 2
        scaling = Scaling.of(x)
        assert abs(scaling.scale[0] / mp.sqrt(about / 501) - 1) < 1e-13
        assert abs(scaling.center[0] - mean) < 2e-8


def test_an_integer_weight_equals_a_repeated_row():
    weight = RNG.integers(0, 4, 200)
    for rows in (X[:200], SPARSE[:200]):
        repeated = Scaling.of(rows[np.repeat(np.arange(200), weight)])
        weighted = Scaling.of(rows, weight.astype(float))
        assert_array_equal(weighted.points, repeated.points)
        assert_allclose(weighted.center, repeated.center, rtol=1e-13)
        assert_allclose(weighted.scale, repeated.scale, rtol=1e-12)


@pytest.mark.parametrize("unit", [1e-300, 1e160, 1e300])
def test_the_unit_of_the_weights_does_not_matter(unit):
    for rows in (X, SPARSE):
        weight = W[: rows.shape[0]]
        one, other = Scaling.of(rows, weight), Scaling.of(rows, unit * weight)
        assert_allclose(other.center, one.center, rtol=1e-9, atol=1e-12)
        assert_allclose(other.scale, one.scale, rtol=1e-9)


def test_repeating_all_rows_hardly_changes_the_statistics():
    for rows in (X, np.asfortranarray(X[:, :3])):
        once, often = Scaling.of(rows), Scaling.of(np.repeat(rows, 4, axis=0))
        assert_allclose(often.scale, once.scale, rtol=0.05)
        assert (np.abs(often.center - once.center) <= 0.05 * once.scale + 1e-12).all()


@pytest.mark.parametrize("n", [1, 2, 511, 512, 513, 1025])
@pytest.mark.parametrize("n_in", [1, 2047, 2048, 2049])
def test_any_number_of_rows_and_columns_is_read_completely(n, n_in):
    x = np.zeros((n, n_in))
    x[-1, ::2] = 1.0
    scaling = Scaling.of(x)
    assert_array_equal(scaling.scale > 0.0, (np.arange(n_in) % 2 == 0) & (n > 1))
    assert_allclose(scaling.center[::2], 1.0 / n, rtol=1e-12)


@pytest.mark.parametrize("n", [40, 1500])
def test_equal_weights_of_any_size_give_the_same_statistics_with_missing_entries(n):
    x = RNG.normal(size=(n, 3))
    x[RNG.random(x.shape) < 0.3] = np.nan
    x[:20, 2] = np.nan
    one, other = Scaling.of(x), Scaling.of(x, np.full(n, 0.1))
    assert_array_equal(other.base, one.base)
    assert_array_equal(other.points, one.points)
    assert_allclose(other.total_weight, 0.1 * np.isfinite(x).sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("small", 10.0 ** -np.arange(8, 20, 1))
def test_a_column_that_only_rows_of_negligible_weight_have_is_accepted(small):
    x = RNG.normal(size=(200, 20))
    x[:100, 10:] = np.nan
    scaling = Scaling.of(x, np.repeat([1.0, small], 100))
    assert_allclose(scaling.total_weight, np.repeat([100.0 + 100.0 * small, 100.0 * small], 10), rtol=1e-9)
    more = scaling.with_rows(x[100:, ::-1], np.full(100, small))
    assert np.isfinite(more.center).all()


@pytest.mark.parametrize("weight", [None, W], ids=["equal", "weighted"])
def test_type_and_order_in_memory_do_not_matter(weight):
    x = X.astype("float32")
    expected = Scaling.of(x.astype("float64"), weight)
    for rows in (x, np.asfortranarray(x), np.asfortranarray(x.astype("float64")), np.repeat(x, 2, 0)[::2]):
        assert_array_equal(Scaling.of(rows, weight).points, expected.points)
        assert_array_equal(Scaling.of(rows, weight).scale, expected.scale)


@pytest.mark.parametrize("weight", [None, W[:2000]], ids=["equal", "weighted"])
def test_sparse_rows_are_not_centered_and_are_scaled_by_their_nonzero_entries(weight):
    sparse, w = Scaling.of(SPARSE, weight), np.ones(2000) if weight is None else weight
    assert_array_equal(sparse.center, np.zeros(9))
    assert_allclose(sparse.weight, w @ (DENSE != 0.0), rtol=1e-12)
    size = np.sqrt(w @ DENSE**2 / (w @ (DENSE != 0.0)))
    assert_allclose(sparse.scale, np.where(np.arange(9) == 3, 0.0, size), rtol=0.25)  # of eight quantiles
    assert_array_equal(scaled(sparse, DENSE)[DENSE == 0.0], 0.0)
    entries = SPARSE.tocoo()
    read = scaled_entries(sparse, entries.data, entries.col)
    assert_allclose(scaled(sparse, DENSE)[entries.row, entries.col], read, rtol=1e-12)
    stored = SPARSE.copy()
    stored.data[::2] = 0.0  # stored zeros count as zeros
    without = stored.copy()
    without.eliminate_zeros()
    assert_array_equal(Scaling.of(stored, weight).scale, Scaling.of(without, weight).scale)


def test_counts_in_sparse_rows_are_divided_by_the_usual_count():
    counts = scipy.sparse.csr_array(np.where(RNG.random((1000, 2)) < [0.01, 0.5], [1.0, 3.0], 0.0))
    assert_allclose(Scaling.of(counts).scale, [1.0, 3.0], rtol=1e-12)


def test_dense_and_sparse_rows_can_be_added_to_each_other():
    for one, other in ((SPARSE, DENSE), (DENSE, SPARSE)):
        same, mixed = (Scaling.of(one[:400]).with_rows(rows[400:800]) for rows in (one, other))
        assert_array_equal(mixed.points, same.points)
        assert_array_equal(mixed.scale, same.scale)


@pytest.mark.parametrize(
    ("constant", "dtype"),
    [
        *((c, "float64") for c in (0.0, 0.1, -1e300, 1e-310, 7)),
        *((c, "float32") for c in (0.0, 0.1, 1e30, 2e38, 7)),
    ],
)
@pytest.mark.parametrize("weight", [None, W[:2500]], ids=["equal", "weighted"])
def test_a_constant_column_is_scaled_to_zero(constant, dtype, weight):
    column = np.full((2500, 1), constant).astype(dtype)
    scaling = Scaling.of(column, weight)
    assert scaling.scale == 0.0
    assert scaling.center == column[0]
    limit = np.finfo(dtype).max
    others = np.array([[constant], [5.0], [-1e30], [-2e38], [limit], [-limit]], dtype)
    assert_array_equal(scaled(scaling, others, dtype), np.zeros((6, 1)))


def test_a_column_that_differs_by_rounding_errors_is_constant():
    column = 0.1 + np.where(RNG.random((100, 1)) < 0.5, 0.0, 1e-17 + np.spacing(0.1))
    assert len(np.unique(column)) == 2
    assert Scaling.of(column).scale == 0.0
    column[::20] += 1.0  # other entries count
    assert 0.1 < Scaling.of(column).scale < 1.0


def test_columns_of_any_magnitude_are_scaled_to_one():
    x = RNG.normal(size=(400, 5)) * [1e300, 1e-300, 1e150, 1e-160, 1.0]
    assert_allclose(scaled(Scaling.of(x), x).std(axis=0), np.ones(5), rtol=0.05)
    for kind in (np.asarray, scipy.sparse.csr_array):  # here, unlike above, all entries are negative
        one, other = Scaling.of(kind(-np.abs(x))), Scaling.of(kind(-np.abs(x) / 2.0**10))
        assert_allclose(one.scale, 2.0**10 * other.scale, rtol=1e-12)


def test_a_column_with_a_range_beyond_the_dtype_is_refused():
    x = np.ones((10, 3))
    x[:, 2] = 1.7e308 * (-1.0) ** np.arange(10)
    with pytest.raises(ValueError, match=r"1\.7e\+308 at row 0, column 2.*divide"):
        TinyClassifier().fit(x, np.arange(10) % 2)
    with pytest.raises(ValueError, match=r"1\.7e\+308 at row 0, column 2.*divide"):
        Scaling.of(np.abs(x)).with_rows(-x)


def test_a_column_near_the_limit_of_the_dtype_is_accepted():
    # Mean and deviation are in the range, their sum is not.
    x = np.where(np.arange(20) % 10 == 0, 0.5, 1.75)[:, None]
    assert_allclose(scaled(Scaling.of(1e308 * x), 1e308 * x), scaled(Scaling.of(x), x), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@KINDS
def test_compression_does_not_hide_infinite_values(kind, bad):
    model = quick().fit(kind(IRIS), SPECIES)
    x = IRIS.copy()
    x[7, 2] = bad
    for call in (model.predict_proba, model.scaled_inputs, lambda x: clone(model).fit(x, SPECIES)):
        with pytest.raises(ValueError, match="row 7, column 2"):
            call(kind(x))
    with pytest.raises(ValueError, match="row 7, column 2"):
        model.partial_fit(kind(x), SPECIES)


# --- statistics of rows that are added in parts ------------------------------------------------------------


@pytest.mark.parametrize(("size", "off"), [(1, 0.45), (7, 0.35), (100, 0.15), (1500, 0.1)])
@pytest.mark.parametrize("rows", [X, DENSE, SPARSE], ids=["dense", "rare", "sparse"])
def test_statistics_updated_in_parts_are_near_those_of_all_rows(rows, size, off):
    n = rows.shape[0] // size * size
    weight = W[:n]
    whole, parts = Scaling.of(rows[:n], weight), in_parts(rows, [size] * (n // size), weight + 1e-9)
    assert parts.total_weight == pytest.approx(whole.total_weight, rel=1e-6)
    off *= 1.0 if whole.centered else 1.5  # there are fewer quantiles
    assert_allclose(parts.scale, whole.scale, rtol=off)
    assert (np.abs(parts.center - whole.center) <= off * whole.scale + 1e-12 * np.abs(whole.center)).all()


def test_the_last_rows_count_as_much_as_the_first():
    x = np.concatenate([np.zeros(1000), np.ones(1000)])[:, None] + 1e-3 * RNG.normal(size=(2000, 1))
    for size in (1, 10, 500):
        for rows in (x, x[::-1]):
            scaling = in_parts(rows, [size] * (2000 // size))
            assert scaling.center[0] == pytest.approx(0.5, abs=0.13)


@pytest.mark.parametrize("first", [-999.0, 1e8, 1e30])
@pytest.mark.parametrize("size", [1, 10])
@KINDS
def test_an_outlier_in_the_first_row_does_not_decide(kind, size, first):
    x = np.random.default_rng(0).normal(size=(500, 3))
    x[0] = first
    scaling = in_parts(kind(x), [size] * (500 // size))
    assert_allclose(scaling.scale, np.ones(3), rtol=0.4 if scaling.centered else 0.6)
    assert_allclose(scaling.center, np.zeros(3), atol=0.3)


def test_a_frequent_value_that_comes_late_is_found():
    x = np.where(np.random.default_rng(0).random((2000, 1)) < 0.02, 1.0, 0.0)
    x[0] = 1e8
    scaling = in_parts(x, [1] * 2000)
    assert 0.02 < scaling.scale[0] < 1.0


@KINDS
def test_the_size_of_the_statistics_does_not_grow_with_the_rows(kind):
    x = kind(RNG.normal(size=(5000, 3)))
    one, many = Scaling.of(x[:10]), in_parts(x, [10] * 500)
    assert one.points.nbytes == many.points.nbytes <= 32 * 3 * 8


def test_statistics_of_sparse_rows_need_little_memory_per_column():
    columns = np.random.default_rng(0).integers(0, 200_000, size=(400, 40))
    x = scipy.sparse.csr_array((np.ones(16_000), columns.ravel(), np.arange(401) * 40), shape=(400, 200_000))
    x.sum_duplicates()
    tracemalloc.start()
    scaling = Scaling.of(x)
    assert (scaling.scale[x.indices] >= 1.0).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6
    assert scaling.points.nbytes < 13e6


# --- the transform -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_entries_are_linear_within_three_scales_and_logarithmic_beyond(dtype):
    x = np.sort(np.concatenate([RNG.normal(size=2001), *np.geomspace([-5.0, 5.0], [-1e37, 1e37], 300).T]))
    x = x.astype(dtype)[:, None]
    scaling = Scaling.of(RNG.normal(size=(999, 1)) + 0.3)
    found = scaled(scaling, x, dtype)
    with mp.workdps(40):
        z = [(mp.mpf(float(v)) - mp.mpf(scaling.center[0])) / mp.mpf(scaling.scale[0]) for v in x[:, 0]]
        exact = [float(v if abs(v) <= 3 else mp.sign(v) * 3 * (1 + mp.log(abs(v) / 3))) for v in z]
    assert found.dtype == dtype
    eps = np.finfo(dtype).eps
    assert_allclose(found[:, 0], exact, rtol=8 * eps, atol=8 * eps)
    assert (np.diff(found[:, 0]) >= 0.0).all()


def test_the_largest_numbers_stay_finite_and_keep_their_order():
    scaling = Scaling.of(RNG.normal(size=(999, 1)) * 1e-10)
    for dtype, limit in (("float32", 3.4e38), ("float64", 1.7e308)):
        x = np.array([[-limit], [-1e20], [0.0], [1e20], [limit]], dtype)
        z = scaled(scaling, x, dtype)
        assert np.isfinite(z).all()
        assert (np.diff(z[:, 0]) > 0.0).all()


@KINDS
def test_amounts_far_beyond_the_usual_keep_different_probabilities(kind):
    rng = np.random.default_rng(0)
    amount = rng.uniform(1, 100, 20_000)
    large = rng.random(20_000) < 0.01
    amount[large] = rng.uniform(1000, 20_000, large.sum())
    model = quick(max_iter=40).fit(kind(np.c_[amount, rng.normal(size=20_000)]), amount > 10_000)
    low, high = model.predict_proba(kind(np.array([[6000.0, 0.0], [19_000.0, 0.0]])))[:, 1]
    assert low < 0.5 < high


@pytest.mark.parametrize("value", [1e4, 1e8, 1e30, -999.0])
@pytest.mark.parametrize("fraction", [0.0003, 0.05])
@pytest.mark.parametrize("n_members", [1, 8])
@KINDS
def test_outliers_do_not_prevent_learning(kind, n_members, fraction, value):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 4))
    y = x @ [1.0, -1.0, 2.0, 0.5] > 0
    x[rng.random(x.shape) < fraction] = value
    x[0] = value
    model = TinyClassifier(n_members=n_members, max_iter=20, random_state=0).fit(kind(x[:1000]), y[:1000])
    # Members, which share the first layer, learn more slowly where a fifth of the rows has an outlier.
    often = 0.85 if n_members == 1 else 0.8
    assert model.score(kind(x[1000:]), y[1000:]) > (0.95 if fraction < 0.01 else often)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [DENSE, SPARSE], ids=["dense", "sparse"])
def test_scaled_entries_equal_those_of_dense_rows(rows, dtype):
    scaling = Scaling.of(rows / 3)
    x = np.asarray(10 * DENSE[:300], dtype)
    row, column = np.nonzero(x)
    read = scaled_entries(scaling, x[row, column], column)
    assert read.dtype == np.float64
    assert read.min() < -4.9  # some of them are beyond three scales
    assert read.max() > 4.9
    assert_allclose(read, scaled(scaling, x.astype("float64"))[row, column], rtol=1e-12)


def test_zeros_of_sparse_rows_stay_zeros():
    x = scipy.sparse.csr_array(np.where(RNG.random((300, 3)) < 0.9, 100.0 + RNG.normal(size=(300, 3)), 0.0))
    assert_array_equal(scaled(Scaling.of(x), np.zeros((1, 3))), np.zeros((1, 3)))


# --- scaled rows in training -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_scaled_at_once_equal_rows_scaled_block_by_block(kind, dtype):
    scaling, rows = Scaling.of(kind(DENSE), W[:2000]), kind(DENSE)
    network = Network([Dense(5), ReLU(), Dense(2)], n_in=9, dtype=dtype, seed=0)
    encoding = number_columns(rows)
    at_once = encoding.rows(rows, scaling, dtype)
    lazily = EncodedRows(rows, encoding, scaling, dtype, stays_sparse=False)
    assert len(at_once) == len(lazily) == 2000
    assert_array_equal(lazily.block(3, 1500), at_once.block(3, 1500))
    assert_array_equal(network.logits(lazily), network.logits(at_once))
    if kind is np.asarray:
        assert_array_equal(network.logits(at_once), network.logits(scaled(scaling, DENSE, dtype)))


@KINDS
def test_a_value_that_is_not_finite_is_named_by_its_row_among_all_rows(kind):
    x = DENSE.copy()
    x[700, 2] = np.inf
    scaling = Scaling.of(kind(DENSE))
    lazily = EncodedRows(kind(x), number_columns(x), scaling, "float32", stays_sparse=False)
    with pytest.raises(ValueError, match="row 700, column 2"):
        lazily.block(512, 1024)


def test_an_estimator_trains_on_the_scaled_rows():
    parameters = {"dtype": "float64", "early_stopping": False, "calibrate": False}
    y = np.arange(3000) % 2
    model = quick(**parameters).fit(X, y, W)
    by_hand = quick(**parameters, scale_inputs=False)
    by_hand.fit(scaled(Scaling.of(X, W), X), y, W)
    assert_array_equal(model.network_.theta, by_hand.network_.theta)


def test_an_offset_does_not_reduce_the_precision_in_float32():
    x = np.random.default_rng(1).normal(size=(200, 4))
    network = Network([Dense(20), ReLU(), Dense(3)], n_in=4, seed=0)
    near, far = (network.logits(scaled(Scaling.of(x), x, "float32")) for x in (x, x + 1e8))
    assert abs(far - near).max() < 1e-5


@pytest.mark.promise("calibration never changes the weights")
@KINDS
def test_the_network_reads_the_scaled_inputs(kind):
    rows = np.concatenate([X, 10 * X])  # some entries are beyond three scales
    model = quick().fit(kind(X), X[:, 0] > 0)
    z = model.scaled_inputs(kind(rows))
    assert scipy.sparse.issparse(z) == (kind is not np.asarray)
    z = z if kind is np.asarray else z.toarray()
    assert z.dtype == np.float32
    by_hand = model.network_.copy()
    assert_allclose(by_hand.logits(z)[:, 0], model.decision_function(kind(rows)), rtol=1e-4, atol=1e-4)
    linear = (rows - model.input_center_) / np.where(model.input_scale_ > 0, model.input_scale_, np.inf)
    inside = np.abs(linear) < 3.0
    assert_allclose(z[inside], linear[inside], rtol=1e-5, atol=1e-6)
    beyond = 3.0 * (1.0 + np.log(np.abs(linear[~inside]) / 3.0))
    assert_allclose(np.abs(z[~inside]), beyond, rtol=1e-5)


def test_without_scaling_the_inputs_are_only_converted():
    off = quick(scale_inputs=False).fit(IRIS, SPECIES)
    assert off.input_center_ is None
    assert off.input_scale_ is None
    assert_array_equal(off.scaled_inputs(IRIS), IRIS.astype("float32"))
    z = off.scaled_inputs(IRIS.astype("float32"))
    z[:] = 0.0  # the caller's rows do not change
    assert IRIS.all()


def test_fits_on_shifted_and_stretched_columns_are_the_same():
    x, y = (a[:600] for a in load_digits(return_X_y=True))
    models = [learned(dtype="float64").fit(z, y) for z in (x, 1e-4 * x - 3e3)]
    p, q = models[0].predict_proba(x), models[1].predict_proba(1e-4 * x - 3e3)
    assert models[0].n_iter_ == models[1].n_iter_
    assert_allclose(p, q, rtol=1e-3, atol=1e-4)  # rounding errors grow over hundreds of steps


def test_a_model_fitted_to_sparse_rows_accepts_dense_rows_and_vice_versa():
    for kind, other in [(scipy.sparse.csr_matrix, np.asarray), (np.asarray, scipy.sparse.csr_matrix)]:
        model = quick().fit(kind(IRIS), SPECIES)
        assert_allclose(model.predict_proba(other(IRIS)), model.predict_proba(kind(IRIS)), rtol=1e-5)
        model.partial_fit(other(IRIS), SPECIES)


# --- partial_fit -------------------------------------------------------------------------------------------


@KINDS
def test_partial_fit_updates_the_statistics_without_changing_predictions_near_the_center(kind):
    y = np.arange(3000) % 3
    model = sgd().partial_fit(kind(NEAR[:100]), y[:100], classes=[0, 1, 2])
    first = model.input_scale_.copy()
    for start in range(100, 3000, 580):
        rows = slice(start, start + 580)
        before, old = model.decision_function(kind(NEAR)), model._state.scaling
        wider = NEAR.mean(axis=0) + 1.5 * (NEAR[rows] - NEAR.mean(axis=0))
        model.partial_fit(kind(wider), y[rows], sample_weight=0.1 + W[rows])
        new = model._state.scaling
        # The first layer follows the line through the points at one scale, which are within three old scales.
        assert near(old, np.stack([new.center - new.scale, new.center + new.scale])).all()
        same = near(old, NEAR) & near(new, NEAR)
        assert same.sum() > 1000
        assert_allclose(model.decision_function(kind(NEAR))[same], before[same], rtol=1e-11, atol=1e-11)
    assert model.input_scale_[0] > 1.2 * first[0]


def test_statistics_of_several_partial_fits_are_near_those_of_one_fit():
    y = np.arange(3000) % 3
    whole = sgd(max_iter=1).fit(NEAR, y, W)
    parts = sgd().partial_fit(NEAR[:7], y[:7], W[:7], classes=[0, 1, 2])
    for start in range(7, 3000, 400):
        parts.partial_fit(*(a[start : start + 400] for a in (NEAR, y, W)))
    assert (np.abs(parts.input_center_ - whole.input_center_) <= 0.15 * whole.input_scale_ + 1e-12).all()
    assert_allclose(parts.input_scale_, whole.input_scale_, rtol=0.15)


def test_partial_fit_continues_the_statistics_of_fit():
    y = np.arange(3000) % 3
    model = sgd().fit(NEAR[:2000], y[:2000])
    before, old = model.decision_function(NEAR), model._state.scaling
    model.partial_fit(NEAR[2000:], y[2000:])
    same = near(old, NEAR) & near(model._state.scaling, NEAR)
    assert_allclose(model.decision_function(NEAR)[same], before[same], rtol=1e-11, atol=1e-11)
    assert (model._state.scaling.total_weight == 3000.0).all()


@pytest.mark.parametrize("size", [1, 10, 500])
@pytest.mark.parametrize("first", [1.0, 1e8, 1e30])
@KINDS
def test_an_outlier_in_the_first_row_does_not_prevent_learning(kind, first, size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 4))
    y = (x @ [1.0, -1.0, 2.0, 0.5] > 0).astype(int)
    x[0] *= first
    model = quick(hidden_layer_sizes=20)
    for start in range(0, 500, size):
        model.partial_fit(kind(x[start : start + size]), y[start : start + size], classes=[0, 1])
    for _ in range(15 if size == 500 else 1):
        model.partial_fit(kind(x[:500]), y[:500])
    assert model.score(kind(x[500:]), y[500:]) > 0.85


def test_a_constant_column_is_used_once_it_varies():
    x, y = np.zeros((200, 3)), np.arange(200) % 2
    x[:, 0] = RNG.normal(size=200)
    x[:, 1] = 5.0
    model = TinyClassifier(dtype="float64", random_state=0).partial_fit(x, y, classes=[0, 1])
    assert model.input_scale_[1] == 0.0
    later = x.copy()
    later[:, 1] = np.where(y == 1, 6.0, 4.0)  # now it determines the class
    quiet = sgd().partial_fit(x, y, classes=[0, 1])
    before = quiet.decision_function(later)
    quiet.partial_fit(later, y)
    assert_allclose(quiet.decision_function(later), before, rtol=1e-12, atol=1e-12)
    assert quiet.input_scale_[1] > 0.0
    for _ in range(30):
        model.partial_fit(later, y)
    assert model.score(later, y) == 1.0


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_after_a_single_row_the_units_still_differ_and_its_prediction_does_not_change(kind):
    model = sgd().partial_fit(kind(NEAR[:1]), [0], classes=[0, 1])
    before = model.decision_function(kind(NEAR[:1]))
    model.partial_fit(kind(NEAR[1:100]), np.arange(99) % 2)
    assert_allclose(model.decision_function(kind(NEAR[:1])), before, rtol=1e-12, atol=1e-12)
    weights = abs(model.coefs_[0][model.input_scale_ > 0])
    assert weights.max(axis=0).min() > 1e-3


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize(
    ("kind", "first"),
    [
        *((np.asarray, first) for first in ([[0]], [[0, 1]], [[0, 1], [2, 3]], [[0], [1], []])),
        # Missing entries of sparse rows are 0, also if other rows know the column.
        *((scipy.sparse.csr_array, first) for first in ([[0]], [[0, 1], [0, 1]])),
    ],
)
def test_after_equal_rows_with_missing_entries_their_prediction_does_not_change(first, kind, n_members):
    """Row i of the first part misses the columns first[i]."""
    rows = np.repeat(NEAR[:1], len(first), axis=0)
    for i, columns in enumerate(first):
        rows[i, columns] = np.nan
    model = sgd(n_members=n_members).partial_fit(kind(rows), np.arange(len(rows)) % 2, classes=[0, 1])
    before = model.decision_function(kind(rows))
    for start in (1, 100):
        model.partial_fit(kind(NEAR[start : start + 99]), np.arange(99) % 2)
        assert_allclose(model.decision_function(kind(rows)), before, rtol=1e-12, atol=1e-12)


def test_missing_entries_are_the_later_center_if_the_column_had_no_effect_before():
    x = NEAR[:50].copy()
    x[:, 1] = 0.0
    scaling = Scaling.of(x).with_rows(NEAR[:100] + 1e3 * (np.arange(NEAR.shape[1]) == 1))
    assert scaling.missing[1] == 0.0
    assert scaling.scale[1] > 0.0
    for moved in (0.0, 1.0):
        later = scaling.with_rows(NEAR[:100] + moved)
        expected = np.where(Scaling.of(x).scale > 0.0, Scaling.of(x).center, scaling.center)
        assert_allclose(later.fill, np.where(scaling.scale > 0.0, expected, np.nan))


def test_partial_fit_learns_from_rows_one_by_one():
    model = quick(hidden_layer_sizes=8, learning_rate_init=0.02)
    for _ in range(2):
        for i in np.random.default_rng(0).permutation(150):
            model.partial_fit(IRIS[i : i + 1], SPECIES[i : i + 1], classes=[0, 1, 2])
    assert model.score(IRIS, SPECIES) > 0.9


def test_a_partial_fit_or_warm_start_that_diverges_does_not_change_the_scaling():
    model = sgd(solver="adam", dtype="float32", warm_start=True, max_iter=2).fit(IRIS, SPECIES)
    scaling, before = model._state.scaling, model.predict_proba(IRIS)
    model.set_params(learning_rate_init=1e300)
    for call in (model.partial_fit, model.fit):
        with pytest.raises(DivergenceError, match=r"Lower the learning rate"):
            call(3 * IRIS, SPECIES)
        assert model._state.scaling is scaling
        assert_array_equal(model.predict_proba(IRIS), before)


def test_a_warm_start_updates_the_statistics_without_changing_predictions_near_the_center():
    model = sgd(warm_start=True, max_iter=1).fit(IRIS, SPECIES)
    x = 0.1 + 1.1 * IRIS
    before, old = model.decision_function(IRIS), model._state.scaling
    model.fit(x, SPECIES)
    new = model._state.scaling
    assert (new.total_weight == 160.0).all()
    assert_array_equal(new.points, old.with_rows(x, remembered=10.0).points)
    same = near(old, IRIS) & near(new, IRIS)
    assert same.sum() > 100
    assert_allclose(model.decision_function(IRIS)[same], before[same], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 50])
@KINDS
def test_a_warm_start_on_a_few_rows_keeps_what_was_learned(kind, n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 4))
    y = (x @ rng.normal(size=(4, 3)) > 0).astype(int)  # several labels, so that one row is enough
    model = TinyClassifier(warm_start=True, dtype="float64", max_iter=20, random_state=0).fit(kind(x), y)
    before, theta = model.predict(kind(x)), model.network_.theta.copy()
    model.set_params(solver="sgd", learning_rate_init=1e-300, max_iter=1, tol=0.0)
    for start in range(0, 4 * n, n):
        model.fit(kind(x[start : start + n]), y[start : start + n])
    assert (model.network_.theta != theta).any()  # the first layer was adjusted
    assert (model.predict(kind(x)) == before).mean() > 0.97


def test_a_warm_start_on_rows_in_which_a_column_is_constant_keeps_its_weights():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 2, 1000), rng.normal(size=1000)])
    y = (3 * x[:, 0] + x[:, 1] > 1.5).astype(int)
    model = learned(warm_start=True).fit(x, y)
    zero = x[:, 0] == 0.0
    model.set_params(solver="sgd", learning_rate_init=1e-300, max_iter=1).fit(x[zero], y[zero])
    assert model.score(x, y) > 0.85  # 0.52 without these weights


def test_many_rows_of_a_warm_start_replace_the_statistics():
    x = RNG.normal(size=(5000, 3))
    old, far = Scaling.of(x), 1e3 * x[:500] + 1e5
    found, alone = old.with_rows(far, remembered=10.0), Scaling.of(far)
    assert_allclose(found.scale, alone.scale, rtol=0.2)
    assert (np.abs(found.center - alone.center) < 0.2 * alone.scale).all()


@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e300])
def test_remembered_rows_count_in_the_unit_of_the_new_weights(unit):
    old, w = Scaling.of(X, W), np.where(np.arange(100) < 40, 0.0, unit)
    found = old.with_rows(X[:100], w, remembered=10.0)
    known = min(W.sum(), 10.0 * unit)
    assert found.total_weight == pytest.approx(known + 60.0 * unit, rel=1e-12)
    assert_array_equal(
        old.with_rows(X[:100], W[:100] + 1.0, remembered=1e9).points,
        old.with_rows(X[:100], W[:100] + 1.0).points,
    )


@pytest.mark.parametrize("first", [True, False])
def test_switching_scale_inputs_between_calls_does_not_change_predictions_near_the_center(first):
    y = np.arange(3000) % 3
    model = sgd(scale_inputs=first).partial_fit(NEAR[:500, :4], y[:500], classes=[0, 1, 2])
    before, same = model.decision_function(NEAR[:, :4]), near(Scaling.of(NEAR[:500, :4]), NEAR[:, :4])
    for on in (not first, first):
        model.set_params(scale_inputs=on).partial_fit(NEAR[500:, :4], y[500:])
        assert (model.input_center_ is not None) == on
        if on:
            same &= near(model._state.scaling, NEAR[:, :4])
        assert_allclose(model.decision_function(NEAR[:, :4])[same], before[same], rtol=1e-8, atol=1e-8)
    assert same.sum() > 2000


def test_statistics_follow_columns_that_drift():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    model = quick(learning_rate_init=0.05).fit(x, x[:, 0] > 0)
    for _ in range(40):
        far = rng.normal(size=(200, 3)) + 20
        model.partial_fit(far, far[:, 0] > 20)
    assert model.score(far, far[:, 0] > 20) > 0.8
    assert (model.input_center_ > 15.0).all()


@pytest.mark.parametrize("growth", [1e-6, 1e3, 1e9])
def test_partial_fit_learns_from_a_column_whose_unit_changes(growth):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 3))
    y = (x @ [1.0, 2.0, -1.0] > 0).astype(int)
    model = quick(hidden_layer_sizes=20).partial_fit(x[:100], y[:100], classes=[0, 1])
    later = x * [1.0, growth, 1.0]
    for _ in range(5):
        for start in range(100, 2000, 100):
            model.partial_fit(later[start : start + 100], y[start : start + 100])
    assert model.score(later[2000:], y[2000:]) > 0.85


def test_input_center_and_input_scale_are_read_only():
    model = quick().fit(IRIS, SPECIES)
    for one in (model, pickle.loads(pickle.dumps(model))):
        with pytest.raises(ValueError, match="read-only"):
            one.input_center_ += 1.0
        with pytest.raises(ValueError, match="read-only"):
            one.input_scale_[0] = 1.0


def test_duplicate_sparse_entries_are_summed_before_scaling():
    twice = scipy.sparse.csr_matrix(
        (np.repeat(SPARSE.data / 2, 2), np.repeat(SPARSE.indices, 2), 2 * SPARSE.indptr), shape=SPARSE.shape
    )
    y = np.arange(2000) % 2
    model, other = (quick().fit(x, y) for x in (SPARSE, twice))
    assert_array_equal(model.input_scale_, other.input_scale_)
    assert_array_equal(model.predict_proba(SPARSE), other.predict_proba(twice))
    assert not twice.has_canonical_format  # the caller's matrix is not changed


@pytest.mark.parametrize("n", [100, 3000])
def test_a_column_that_differs_in_the_last_bit_is_constant_for_any_number_of_rows(n):
    y = np.arange(n) % 2
    x = np.column_stack([RNG.normal(size=n), np.where(y == 1, 0.1 + 0.2, 0.3)])
    model = TinyClassifier(random_state=0).fit(x, y)
    assert model.input_scale_[1] == 0.0
    assert abs(model.predict_proba(x)[:, 1] - 0.5).max() < 0.3


def test_float32_rows_with_a_large_offset_keep_their_precision():
    x = (RNG.normal(size=(500, 3)) * 1e4 + 1.6e9).astype("float32")  # times in seconds
    model = quick().fit(x, np.arange(500) % 2)
    assert_array_equal(model.predict_proba(x), model.predict_proba(x.astype("float64")))
    y = np.arange(500) % 3
    wide = sgd().partial_fit(x[:250], y[:250], classes=[0, 1, 2])
    before, old = wide.decision_function(x), wide._state.scaling
    wide.partial_fit(x[250:], y[250:])
    same = near(old, x) & near(wide._state.scaling, x)
    assert_allclose(wide.decision_function(x)[same], before[same], rtol=1e-9, atol=1e-9)


def test_the_terms_compute_the_scaled_rows_in_every_dtype():
    x = (RNG.normal(size=(50, 3)) + 300).astype("float32")
    scaling = Scaling.of(x)
    for given, dtype in product(["float32", "float64"], repeat=2):
        center, factor = scaling.terms(np.dtype(given), np.dtype(dtype))
        assert center.dtype == factor.dtype == ("float32" if given == dtype == "float32" else "float64")
        z = (x.astype(given) - center) * factor
        inside = np.abs(z) <= 3.0
        found = scaled(scaling, x.astype(given), dtype)
        assert_array_equal(found[inside], z.astype(dtype)[inside])


@pytest.mark.parametrize("growth", [1e-300, 1e6, 1e300])
def test_a_column_in_another_unit_gives_finite_predictions(growth):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), np.arange(30) % 3
    model = quick().fit(X, y)
    model.partial_fit(X * [1.0, growth, 1.0], y)
    assert np.isfinite(model.decision_function(X)).all()
    assert np.isfinite(model.decision_function(X * [1.0, growth, 1.0])).all()


def test_a_column_that_moves_too_far_for_the_biases_is_refused():
    x = np.random.default_rng(0).normal(size=(50, 2))
    far = x.copy()
    far[:, 1] = 1e39 * (1.0 + 1e-3 * x[:, 1])
    network = Network([Dense(3)], n_in=2, seed=0)
    center = re.escape(f"{Scaling.of(far).center[1]:.4g}")
    with pytest.raises(ValueError, match=rf"^column 1 .*from a center of 0 to {center}; scale"):
        number_columns(far).carry_over(network, None, Scaling.of(far))


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"centered": 1}, "centered must be .*got 1$"),
        ({"n_updates": 1.0}, r"number of updates .*got 1\.0$"),
        ({"n_updates": -1}, "number of updates .*got -1$"),
        ({"total_weight": np.full(2, -1.0)}, "from 0 to their total weights"),
        *(
            ({name: values}, "columns must be arrays of float64 of shape .*got")
            for name in ("total_weight", "base", "weight", "points")
            for values in (
                3.0,
                [1.0, 2.0],
                np.ones(2, np.float32),
                np.ones(3),
                np.ones((2, 1)),
                np.ones((8, 2)),
            )
        ),
        *(
            ({name: np.full(shape, bad)}, "columns must be finite")
            for name, shape in (("total_weight", 2), ("base", 2), ("weight", 2), ("points", (32, 2)))
            for bad in (np.nan, np.inf)
        ),
        ({"weight": np.array([1.0, -1.0])}, "weights of the columns must be from 0 to their total weights"),
        ({"weight": np.array([1.0, 3.5])}, "weights of the columns must be from 0 to their total weights"),
        ({"points": np.arange(64.0)[::-1].reshape(32, 2)}, "quantiles of the columns must be ascending"),
    ],
)
def test_an_impossible_scaling_is_refused(parts, match):
    scaling = Scaling.of(np.arange(6.0).reshape(3, 2))
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(scaling, **parts)


def test_two_scalings_that_are_none_leave_the_layer_unchanged():
    network = Network([Dense(3)], n_in=2, seed=0)
    theta = network.theta.copy()
    number_columns(np.ones((1, 2))).carry_over(network, None, None)
    assert_array_equal(network.theta, theta)


def test_scaled_sparse_rows_keep_their_shape_and_are_dense_by_default():
    sparse = scipy.sparse.csr_array(np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    rows = number_columns(sparse).rows(sparse, Scaling.of(sparse), np.float64)
    assert_array_equal(rows.block(0, 2), [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_a_pickled_scaling_has_its_statistics_but_not_what_is_cached():
    scaling = Scaling.of(np.arange(6.0).reshape(3, 2))
    expected = scaling.transform(X[:5, :2], np.empty((5, 2)))  # fills the cache
    copied = pickle.loads(pickle.dumps(scaling))
    assert set(vars(copied)) == {field.name for field in dataclasses.fields(Scaling)} < set(vars(scaling))
    assert_array_equal(copied.transform(X[:5, :2], np.empty((5, 2))), expected)


def test_a_cached_property_is_computed_once_for_each_object_and_no_object_waits_for_another():
    started, end = threading.Event(), threading.Event()

    class Slow:
        @cached_property
        def value(self):
            started.set()
            end.wait(60)
            return object()

    first, second = Slow(), Slow()
    thread = threading.Thread(target=lambda: first.value)
    thread.start()
    started.wait(60)
    vars(Slow)["value"].function = lambda self: object()
    assert second.value is second.value
    assert thread.is_alive()
    end.set()
    thread.join(60)
    assert first.value is first.value is not second.value


def test_scalings_without_columns_can_be_merged():
    none = Scaling.of(np.empty((5, 0)))
    assert Scaling.merged([none, none]).center.shape == (0,)
