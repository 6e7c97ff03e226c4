"""Scaling of the input: running statistics, and a first layer adjusted so that predictions do not change."""

import dataclasses
import pickle
import re
from itertools import product

import numpy as np
import pytest
import scipy.sparse
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler

from tests.support.estimators import learned, quick
from tests.support.parts import PLAIN
from tinyclf import Dense, DivergenceError, Network, ReLU, TinyClassifier
from tinyclf.estimator.scaling import ScaledRows, Scaling

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 6)) * [1.0, 1e3, 1e-3, 1.0, 0.0, 1.0] + [0.0, 1e6, 0.0, -7.0, 0.1, 1e8]
NEAR = X[:, :5] / [1.0, 100.0, 1.0, 1.0, 1.0]  # where 1e-16 of the offset is below 1e-12 of the scale
W = RNG.uniform(0.0, 2.0, 3000) * (RNG.random(3000) > 0.2)
IRIS, SPECIES = load_iris(return_X_y=True)
DENSE = np.where(RNG.random((2000, 9)) < 0.1, RNG.normal(size=(2000, 9)), 0.0)
DENSE[:, 3] = 2.5  # a constant that is not 0
SPARSE = scipy.sparse.csr_array(DENSE)


def scaled(scaling, x, dtype="float64"):
    """Scaled rows in the dtype of a network."""
    x = np.asarray(x)
    return scaling.transform(x, np.empty(x.shape, dtype))


def scaled_entries(scaling, values, columns):
    """The scaled values of sparse entries in these columns, one entry per row."""
    rows = scipy.sparse.csr_array(
        (values, columns, np.arange(len(values) + 1)), shape=(len(values), len(scaling.mean))
    )
    return scaling.transform_entries(rows, "float64")


def sgd(**parameters):
    """An estimator in float64 whose steps are negligible."""
    settings = {**PLAIN, "solver": "sgd", "dtype": "float64", "random_state": 0, "scale_inputs": True}
    return TinyClassifier(
        **{**settings, "learning_rate_init": 1e-300, "learning_rate": "cosine", **parameters}
    )


# --- the statistics ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [None, W], ids=["equal", "weighted"])
def test_mean_and_scale_are_those_of_scikit_learns_scaler(weight):
    x = np.delete(X, 4, axis=1)  # without the constant
    ours, theirs = Scaling.of(x, weight), StandardScaler().fit(x, sample_weight=weight)
    assert_allclose(ours.mean, theirs.mean_, rtol=1e-12)
    assert_allclose(ours.scale, np.sqrt(theirs.var_), rtol=1e-7)
    assert_allclose(scaled(ours, x), theirs.transform(x), rtol=1e-6, atol=1e-6)


def test_the_statistics_are_exact_for_a_large_offset():
    x = 1e8 + RNG.normal(size=(500, 1))
    with mp.workdps(60):
        exact = [mp.mpf(float(v)) for v in x[:, 0]]
        mean = mp.fsum(exact) / 500
        scale = mp.sqrt(mp.fsum((v - mean) ** 2 for v in exact) / 500)
        assert abs(Scaling.of(x).scale[0] / scale - 1) < 1e-13
        assert abs(Scaling.of(x).mean[0] - mean) < 2e-8


@pytest.mark.parametrize("size", [1, 7, 1024, 1025, 2999])
@pytest.mark.parametrize("rows", [X, SPARSE, X.astype("float32")], ids=["dense", "sparse", "float32"])
def test_statistics_updated_in_parts_equal_those_of_all_rows(rows, size):
    n = rows.shape[0]
    weight = W[:n]
    whole = Scaling.of(rows, weight)
    parts = Scaling.of(rows[:1], weight[:1])
    for start in range(1, n if size > 1 else 100, size):
        parts = parts.with_rows(rows[start : start + size], weight[start : start + size])
    if size == 1:
        whole = Scaling.of(rows[:100], weight[:100])
    assert parts.total_weight == pytest.approx(whole.total_weight, rel=1e-12)
    assert_allclose(parts.mean, whole.mean, rtol=1e-12, atol=1e-15)
    assert_allclose(parts.deviation, whole.deviation, rtol=1e-8, atol=1e-15)  # 1e-16 of an offset of 1e8
    assert_allclose(parts.nonzero_rms, whole.nonzero_rms, rtol=1e-12)
    assert_allclose(parts.nonzero_weight, whole.nonzero_weight, rtol=1e-12)


def test_an_integer_weight_equals_a_repeated_row():
    weight = RNG.integers(0, 4, 200)
    repeated, weighted = Scaling.of(X[:200].repeat(weight, axis=0)), Scaling.of(X[:200], weight.astype(float))
    assert_allclose(weighted.mean, repeated.mean, rtol=1e-13)
    assert_allclose(weighted.scale, repeated.scale, rtol=1e-8)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_in_memory_does_not_matter(order):
    scaling = Scaling.of(np.asarray(X, order=order), W)
    assert_array_equal(scaling.scale, Scaling.of(X, W).scale)


@pytest.mark.parametrize("weight", [None, W[:2000]], ids=["equal", "weighted"])
def test_sparse_rows_are_not_centered_and_are_scaled_by_their_nonzero_entries(weight):
    sparse, dense = Scaling.of(SPARSE, weight), Scaling.of(DENSE, weight)
    assert_allclose(sparse.mean, dense.mean, rtol=1e-12)
    assert_allclose(sparse.deviation, dense.deviation, rtol=1e-9, atol=1e-15)
    assert_array_equal(sparse.center, np.zeros(9))
    assert_array_equal(dense.center, dense.mean)
    w = np.ones(2000) if weight is None else weight
    size = np.sqrt(w @ DENSE**2 / (w @ (DENSE != 0.0)))
    assert_allclose(sparse.scale, np.where(np.arange(9) == 3, 0.0, size), rtol=1e-12)
    assert_array_equal(scaled(sparse, DENSE)[DENSE == 0.0], 0.0)
    entries = SPARSE.tocoo()
    read = scaled_entries(sparse, entries.data, entries.col)
    assert_allclose(scaled(sparse, DENSE)[entries.row, entries.col], read, rtol=1e-12)
    mixed = Scaling.of(SPARSE[:900], w[:900]).with_rows(DENSE[900:], w[900:])
    assert_allclose(mixed.scale, sparse.scale, rtol=1e-12)
    stored = SPARSE.copy()
    stored.data[::2] = 0.0  # stored zeros count as zeros
    without = stored.copy()
    without.eliminate_zeros()
    assert_allclose(Scaling.of(stored, weight).scale, Scaling.of(without, weight).scale, rtol=1e-12)


@pytest.mark.parametrize(
    ("constant", "dtype"),
    [
        *((c, "float64") for c in (0.0, 0.1, -1e300, 1e-310, 7)),
        *((c, "float32") for c in (0.0, 0.1, 1e30, 7)),
    ],
)
def test_a_constant_column_is_scaled_to_zero(constant, dtype):
    column = np.full((2500, 1), constant).astype(dtype)
    scaling = Scaling.of(column, W[:2500]).limited()
    assert scaling.scale == 0.0
    assert scaling.mean == column[0]
    assert_array_equal(scaled(scaling, np.array([[constant], [5.0], [-1e30]])), np.zeros((3, 1)))


def test_a_column_that_differs_by_rounding_errors_is_constant():
    column = 0.1 + np.where(RNG.random((100, 1)) < 0.5, 0.0, 1e-17 + np.spacing(0.1))
    assert len(np.unique(column)) == 2
    assert Scaling.of(column).scale == 0.0


def test_columns_of_any_magnitude_are_scaled_to_one():
    x = RNG.normal(size=(400, 5)) * [1e300, 1e-300, 1e150, 1e-160, 1.0]
    assert_allclose(scaled(Scaling.of(x), x).std(axis=0), np.ones(5), rtol=1e-12)
    assert_allclose(Scaling.of(x[:100]).with_rows(x[100:]).scale, Scaling.of(x).scale, rtol=1e-12)
    sparse = scipy.sparse.csr_array(x)
    assert_allclose(Scaling.of(sparse[:100]).with_rows(x[100:]).scale, Scaling.of(sparse).scale, rtol=1e-12)
    for kind in (np.asarray, scipy.sparse.csr_array):  # here, unlike above, all entries are negative
        one, other = Scaling.of(kind(-np.abs(x))), Scaling.of(kind(-np.abs(x) / 2.0**10))
        assert_allclose(one.scale, 2.0**10 * other.scale, rtol=1e-12)


def test_a_column_with_a_range_beyond_the_dtype_is_refused():
    x = np.ones((10, 3))
    x[:, 2] = 1.7e308 * (-1.0) ** np.arange(10)
    with pytest.raises(ValueError, match=r"1\.7e\+308 at row 0, column 2.*divide"):
        TinyClassifier().fit(x, np.arange(10) % 2)
    far = np.repeat(
        [[1.0, 1.7e308], [0.0, -1.7e308]], 1100, axis=0
    )  # each block of rows alone would be accepted
    for kind in (np.asarray, scipy.sparse.csr_array):
        with pytest.raises(ValueError, match=r"1\.7e\+308 at row 0, column 1.*divide"):
            Scaling.of(kind(far))


def test_a_column_near_the_limit_of_the_dtype_is_accepted():
    # Mean and deviation are in the range, their sum is not.
    x = np.where(np.arange(20) % 10 == 0, 0.5, 1.75)[:, None]
    assert_allclose(scaled(Scaling.of(1e308 * x), 1e308 * x), scaled(Scaling.of(x), x), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_clipping_does_not_hide_values_that_are_not_finite(kind, bad):
    model = quick().fit(kind(IRIS), SPECIES)
    x = IRIS.copy()
    x[7, 2] = bad
    for call in (model.predict_proba, lambda x: clone(model).fit(x, SPECIES)):
        with pytest.raises(ValueError, match="row 7, column 2"):
            call(kind(x))
    with pytest.raises(ValueError, match="row 7, column 2"):
        model.partial_fit(kind(x), SPECIES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_scaling_entries_do_not_change(dtype):
    x = (np.array([[1.0, -1e30], [-1e-30, 0.1]]) * [[1.0, 1.0], [1.0, 3.0]]).astype(dtype)
    none = Scaling.none(2)
    assert_array_equal(scaled(none, x), x)
    assert_array_equal(scaled_entries(none, x.ravel(), np.array([0, 1, 0, 1])), x.ravel())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [DENSE, SPARSE], ids=["dense", "sparse"])
def test_scaled_entries_equal_those_of_dense_rows(rows, dtype):
    scaling = Scaling.of(rows / 3).limited()  # most of the entries are beyond the limits of some column
    x = np.asarray(10 * DENSE[:300], dtype)
    row, column = np.nonzero(x)
    read = scaled_entries(scaling, x[row, column], column)
    assert read.dtype == np.float64
    assert read.min() < -4.9
    assert read.max() > 4.9
    assert_allclose(read, scaled(scaling, x.astype("float64"))[row, column], rtol=1e-12)


# --- the limits --------------------------------------------------------------------------------------------


def test_entries_beyond_five_standard_deviations_are_clipped():
    x = np.vstack([RNG.normal(size=(1000, 2)), [[100.0, 0.0]]])
    scaling = Scaling.of(x).limited()
    z = scaled(scaling, x)
    assert z.max() == pytest.approx(5.0, rel=1e-12)
    inside = (x > scaling.low) & (x < scaling.high)
    assert inside.sum() == x.size - 1
    assert_allclose(z[inside], scaled(Scaling.of(x), x)[inside], rtol=1e-12)


def test_limits_are_five_scales_from_the_center_and_a_constant_has_none():
    for rows in (DENSE, SPARSE):
        plain, limited = Scaling.of(rows), Scaling.of(rows).limited()
        reach = np.where(np.arange(9) == 3, np.inf, 5.0 * plain.scale)
        assert_allclose(limited.low, plain.center - reach, rtol=1e-12)
        assert_allclose(limited.high, plain.center + reach, rtol=1e-12)
        assert np.isinf([plain.low, plain.high]).all()
    huge = Scaling.of(4e307 * np.array([[1.0], [-1.0]])).limited()  # five scales overflow
    assert (huge.low, huge.high) == (-np.inf, np.inf)


@pytest.mark.parametrize("way", [-1.0, 1.0])
def test_widened_limits_are_never_narrower(way):
    x = RNG.normal(size=(1000, 2))
    old = Scaling.of(x).limited()
    far = old.with_rows(x + way * np.array([20.0, 0.1]))
    new = far.widened()
    assert_array_equal(new.low, np.minimum(old.low, far.limited().low))
    assert_array_equal(new.high, np.maximum(old.high, far.limited().high))
    assert (new.low <= old.low).all()
    assert (new.high >= old.high).all()


def test_zeros_of_sparse_rows_stay_zeros():
    x = scipy.sparse.csr_array(np.where(RNG.random((300, 3)) < 0.9, 100.0 + RNG.normal(size=(300, 3)), 0.0))
    scaling = Scaling.of(x).limited()
    assert (scaling.low <= 0.0).all()
    assert (scaling.high >= 0.0).all()
    assert_array_equal(scaled(scaling, np.zeros((1, 3))), np.zeros((1, 3)))


# --- scaled rows in training -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_scaled_at_once_equal_rows_scaled_block_by_block(kind, dtype):
    scaling, rows = Scaling.of(kind(DENSE), W[:2000]).limited(), kind(DENSE)
    network = Network([Dense(5), ReLU(), Dense(2)], n_in=9, dtype=dtype, seed=0)
    at_once, lazily = scaling.rows(rows, dtype), ScaledRows(rows, scaling, dtype, stays_sparse=False)
    assert len(at_once) == len(lazily) == 2000
    assert_array_equal(lazily.block(3, 1500), at_once.block(3, 1500))
    assert_array_equal(network.logits(lazily), network.logits(at_once))
    if kind is np.asarray:
        assert_array_equal(network.logits(at_once), network.logits(scaled(scaling, DENSE, dtype)))


def test_an_estimator_trains_on_the_scaled_rows():
    parameters = {"dtype": "float64", "early_stopping": False, "calibrate": False}
    y = np.arange(3000) % 2
    model = quick(**parameters).fit(X, y, W)
    by_hand = quick(**parameters, scale_inputs=False)
    by_hand.fit(scaled(Scaling.of(X, W).limited(), X), y, W)
    assert_array_equal(model.network_.theta, by_hand.network_.theta)


def test_an_offset_does_not_reduce_the_precision_in_float32():
    x = np.random.default_rng(1).normal(size=(200, 4))
    network = Network([Dense(20), ReLU(), Dense(3)], n_in=4, seed=0)
    near = network.logits(Scaling.of(x).rows(x, "float32"))
    far = network.logits(Scaling.of(x + 1e8).rows(x + 1e8, "float32"))
    assert abs(far - near).max() < 1e-5


@pytest.mark.promise("calibration never changes the weights")
def test_input_mean_and_input_scale_describe_the_applied_scaling():
    model = quick().fit(X, X[:, 0] > 0)
    rows = np.concatenate([X, 10 * X])  # some entries are beyond five scales
    bounded = np.clip(
        rows, model.input_mean_ - 5 * model.input_scale_, model.input_mean_ + 5 * model.input_scale_
    )
    read = np.zeros_like(rows)
    np.divide(bounded - model.input_mean_, model.input_scale_, out=read, where=model.input_scale_ > 0)
    by_hand = model.network_.copy()
    assert_allclose(by_hand.logits(read)[:, 0], model.decision_function(rows), rtol=1e-4, atol=1e-4)
    off = quick(scale_inputs=False).fit(IRIS, SPECIES)
    assert off.input_mean_ is None
    assert off.input_scale_ is None


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


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_partial_fit_updates_the_statistics_without_changing_predictions(kind):
    y = np.arange(3000) % 3
    model = sgd().partial_fit(kind(NEAR[:100]), y[:100], classes=[0, 1, 2])
    for start in range(100, 3000, 580):
        rows = slice(start, start + 580)
        before = model.decision_function(NEAR)
        model.partial_fit(kind(NEAR[rows] * 1.5), y[rows], sample_weight=0.1 + W[rows])
        assert_allclose(model.decision_function(NEAR), before, rtol=1e-12, atol=1e-12)
    assert model.input_scale_[0] > 1.1


def test_statistics_of_several_partial_fits_equal_those_of_one_fit():
    y = np.arange(3000) % 3
    whole, parts = (sgd(max_iter=1).fit(NEAR, y, W) for _ in range(2))
    parts = sgd().partial_fit(NEAR[:7], y[:7], W[:7], classes=[0, 1, 2])
    for start in range(7, 3000, 400):
        parts.partial_fit(*(a[start : start + 400] for a in (NEAR, y, W)))
    assert_allclose(parts.input_mean_, whole.input_mean_, rtol=1e-12)
    assert_allclose(parts.input_scale_, whole.input_scale_, rtol=1e-9, atol=1e-15)


def test_partial_fit_continues_the_statistics_of_fit():
    y = np.arange(3000) % 3
    model = sgd().fit(NEAR[:2000], y[:2000])
    before = model.decision_function(NEAR)
    model.partial_fit(NEAR[2000:], y[2000:])
    assert_allclose(model.decision_function(NEAR), before, rtol=1e-12, atol=1e-12)
    assert_allclose(model.input_mean_, NEAR.mean(axis=0), rtol=1e-12)


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


def test_a_warm_start_updates_the_statistics_without_changing_predictions():
    model = sgd(warm_start=True, max_iter=1).fit(IRIS, SPECIES)
    x = 0.5 + 1.2 * IRIS
    inside = np.abs(IRIS - IRIS.mean(axis=0)) < 2 * IRIS.std(axis=0)
    before = model.decision_function(IRIS[inside.all(axis=1)])
    model.fit(x, SPECIES)
    assert_allclose(model.input_mean_, x.mean(axis=0), rtol=1e-12)
    assert_allclose(model.decision_function(IRIS[inside.all(axis=1)]), before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("first", [True, False])
def test_switching_scale_inputs_between_calls_does_not_change_predictions(first):
    y = np.arange(3000) % 3
    model = sgd(scale_inputs=first).partial_fit(NEAR[:500, :4], y[:500], classes=[0, 1, 2])
    before = model.decision_function(NEAR[:, :4])
    for on in (not first, first):
        model.set_params(scale_inputs=on).partial_fit(NEAR[500:, :4], y[500:])
        assert (model.input_mean_ is not None) == on
        assert_allclose(model.decision_function(NEAR[:, :4]), before, rtol=1e-8, atol=1e-8)


def test_limits_follow_columns_that_drift():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    model = quick(learning_rate_init=0.05).fit(x, x[:, 0] > 0)
    for _ in range(40):
        far = rng.normal(size=(200, 3)) + 20
        model.partial_fit(far, far[:, 0] > 20)
    assert model.score(far, far[:, 0] > 20) > 0.8
    assert_array_less(far.max(axis=0), model._state.scaling.high)


def test_input_mean_and_input_scale_are_read_only():
    model = quick().fit(IRIS, SPECIES)
    for one in (model, pickle.loads(pickle.dumps(model))):
        with pytest.raises(ValueError, match="read-only"):
            one.input_mean_ += 1.0
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
    before = wide.decision_function(x)
    wide.partial_fit(x[250:], y[250:])
    assert_allclose(wide.decision_function(x), before, rtol=1e-9, atol=1e-9)


def test_the_terms_compute_the_scaled_rows_in_every_dtype():
    x = (RNG.normal(size=(50, 3)) + 300).astype("float32")
    scaling = Scaling.of(x).limited()
    for given, dtype in product(["float32", "float64"], repeat=2):
        low, high, center, factor = scaling.terms(np.dtype(given), np.dtype(dtype))
        rows = x.astype(given)
        assert low.dtype == ("float32" if given == dtype == "float32" else "float64")
        by_terms = (np.minimum(np.maximum(rows, low), high) - center) * factor
        assert_array_equal(scaled(scaling, rows, dtype), by_terms.astype(dtype))


def test_a_column_that_moves_too_far_for_the_weights_is_refused_and_nothing_changes():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), np.arange(30) % 3
    model = quick().fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"X has changed.*e\+298"):
        model.partial_fit(X * [1.0, 1e300, 1.0], y)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    model.partial_fit(X * [1.0, 1e6, 1.0], y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_column_that_moves_too_far_for_the_biases_is_refused():
    x = np.random.default_rng(0).normal(size=(50, 2))
    far = x.copy()
    far[:, 1] = 1e39 * (1.0 + 1e-3 * x[:, 1])
    W, b = np.ones((2, 3), np.float32), np.zeros(3, np.float32)
    mean = re.escape(f"{far[:, 1].mean():.4g}")
    with pytest.raises(ValueError, match=rf"^column 1 .*{mean}; scale"):
        Scaling.of(x).carry_over(W, b, Scaling.of(far))
    assert np.isfinite(W).all()


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"centered": 1}, "centered must be .*got 1$"),
        ({"total_weight": 3}, "total weight .*got 3$"),
        ({"total_weight": -1.0}, r"total weight .*got -1\.0$"),
        ({"total_weight": np.inf}, "total weight .*got inf$"),
        ({"total_weight": np.nan}, "total weight .*got nan$"),
        *(
            ({name: values}, "columns must be vectors of float64")
            for name in ("deviation", "nonzero_weight", "nonzero_rms", "low", "high")
            for values in ([1.0, 2.0], np.ones(2, np.float32), np.ones(3), np.ones((2, 1)))
        ),
        ({"mean": [1.0, 2.0]}, "columns must be vectors of float64"),
        (
            dict.fromkeys(
                ("mean", "deviation", "nonzero_weight", "nonzero_rms", "low", "high"), np.ones((2, 1))
            ),
            "columns must be vectors of float64",
        ),
    ],
)
def test_an_impossible_scaling_is_refused(parts, match):
    scaling = Scaling.of(np.arange(6.0).reshape(3, 2))
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(scaling, **parts)
    assert dataclasses.replace(scaling, total_weight=0.0).total_weight == 0.0


def test_no_scaling_is_the_identity_without_rows():
    none = Scaling.none(6)
    assert (none.total_weight, none.centered) == (0.0, True)
    assert_array_equal(none.transform(X, np.empty_like(X)), X)


def test_scaled_sparse_rows_keep_their_shape_and_are_dense_by_default():
    sparse = scipy.sparse.csr_array(np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    rows = Scaling.of(sparse).rows(sparse, np.float64)
    assert_array_equal(rows.block(0, 2), [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_a_pickled_scaling_has_its_statistics_but_not_what_is_cached():
    scaling = Scaling.of(np.arange(6.0).reshape(3, 2)).limited()
    expected = scaling.transform(X[:5, :2], np.empty((5, 2)))  # fills the cache
    copied = pickle.loads(pickle.dumps(scaling))
    assert set(vars(copied)) == {field.name for field in dataclasses.fields(Scaling)} < set(vars(scaling))
    assert_array_equal(copied.transform(X[:5, :2], np.empty((5, 2))), expected)
