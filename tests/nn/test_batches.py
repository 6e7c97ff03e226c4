"""Rows: dense and sparse input, its checks, and weights."""

import numpy as np
import pytest
import scipy.sparse

from tests.support.doubles import Counted
from tests.support.estimators import number_columns
from tests.support.odd_input import MALFORMED, frozen, malformed
from tinyclf import Dense, Network, train
from tinyclf.estimator.scaling import Scaling
from tinyclf.nn.batches import as_csr, as_rows, as_weights, not_finite

X = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [4.0, 5.0, 0.0]])
KINDS = {
    "C": X,
    "F": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=1)[:, ::2],
    "float32": X.astype("float32"),
    "int": X.astype(int),
    "bool": X > 0,
    "list": X.tolist(),
    "csr_matrix": scipy.sparse.csr_matrix(X),
    "csr_array": scipy.sparse.csr_array(X),
    "csc_array": scipy.sparse.csc_array(X),
    "coo_matrix": scipy.sparse.coo_matrix(X),
}


def whole(rows):
    return rows.block(0, len(rows))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_gathered_in_the_dtype_of_the_computation(kind, dtype):
    rows = as_rows(KINDS[kind], dtype, n_in=3)
    expected = (X > 0 if kind == "bool" else X).astype(dtype)
    out = np.full((4, 3), np.nan, dtype)
    rows.gather(np.array([2, 0, 2, 1]), out)
    np.testing.assert_array_equal(out, expected[[2, 0, 2, 1]])
    np.testing.assert_array_equal(whole(rows), expected)
    assert whole(rows).dtype == dtype
    assert len(rows) == 3


@pytest.mark.parametrize("dtype", ["int32", "int64", ">i4"])
def test_the_order_of_an_epoch_is_the_permutation_of_the_generator(dtype):
    given = np.arange(3, 60, 2, dtype=dtype)
    order = as_rows(np.zeros((60, 2)), "float32", 2).permuted(given, np.random.default_rng(0))
    np.testing.assert_array_equal(order, np.random.default_rng(0).permutation(given))
    assert order.dtype == np.intp
    np.testing.assert_array_equal(given, np.arange(3, 60, 2))


def test_empty_rows_and_columns_are_kept():
    empty = np.pad(X, ((0, 2), (0, 2)))
    np.testing.assert_array_equal(whole(as_rows(scipy.sparse.csr_array(empty), "float32", 5)), empty)


def test_rows_of_the_right_dtype_are_not_copied():
    data = X.astype("float32")
    assert np.shares_memory(whole(as_rows(data, "float32", 3)), data)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("value", "dtype", "match"),
    [
        (np.nan, "float64", "NaN at row 12, column 2.*; remove or impute it$"),
        (-np.inf, "float32", "-inf at row 12, column 2.*; remove or impute it$"),
        (
            1e39,
            "float32",
            r"1e\+39 at row 12, column 2, which is not a finite float32 number; scale the column",
        ),
        (
            -1e300,
            "float32",
            '-1e[+]300 at row 12, column 2.*; scale the column, or train in dtype="float64"$',
        ),
    ],
)
def test_the_error_names_a_value_that_the_dtype_cannot_hold(value, dtype, match, sparse):
    bad = X.copy()
    bad[2, 2] = value
    with pytest.raises(ValueError, match=match):
        as_rows(scipy.sparse.csr_array(bad) if sparse else bad, dtype, 3, first_row=10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_number_of_the_type_is_accepted(dtype):
    limit = float(np.finfo(dtype).max)
    for kind in (np.asarray, scipy.sparse.csr_array):
        with pytest.raises(ValueError, match="NaN at row 0, column 1"):
            as_rows(kind(np.array([[limit, np.nan]])), dtype, 2)


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1e-30), ("float64", 1e-300)])
def test_scaled_values_never_exceed_the_type(kind, dtype, scale):
    scaling = Scaling.of(kind(scale * X))
    x = kind(np.array([[scale, 1.0, scale], [scale, 0.0, 1e10]]))
    rows = whole(number_columns(x).rows(x, scaling, dtype))
    assert np.isfinite(rows).all()


def test_many_rows_with_few_nonzero_entries_stay_sparse():
    X = scipy.sparse.csr_array(np.eye(10)[np.arange(1000) % 20 % 10] * (np.arange(1000) % 20 < 10)[:, None])
    assert X.nnz == 0.05 * 1000 * 10
    assert scipy.sparse.issparse(whole(as_rows(X, "float32", 10, stays_sparse=True)))
    assert isinstance(whole(as_rows(X, "float32", 10)), np.ndarray)
    assert isinstance(whole(as_rows(X[:11], "float32", 10, stays_sparse=True)), np.ndarray)


def test_duplicate_sparse_entries_are_summed_before_the_check():
    twice = scipy.sparse.csr_array(([3e38, 3e38, 1.0], [0, 0, 1], [0, 3]), shape=(1, 2))
    with pytest.raises(ValueError, match=r"6e\+38 at row 0, column 0"):
        as_rows(twice, "float32", 2)
    assert twice.nnz == 3  # not changed
    assert whole(as_rows(twice, "float64", 2)).tolist() == [[6e38, 1.0]]


def test_the_largest_float_is_allowed():
    limit = float(np.finfo("float32").max)
    assert whole(as_rows(np.array([[limit, -limit]]), "float32", 2)).tolist() == [[limit, -limit]]


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (X[:, :2], ValueError, r"shape \(n, 3\), got \(3, 2\)"),
        (X[0], ValueError, r"shape \(n, 3\), got \(3,\)"),
        (X.astype(str), TypeError, "real numbers"),
        (X.astype(complex), TypeError, "real numbers"),
        (X.astype(object), TypeError, "real numbers"),
    ],
)
def test_input_of_another_shape_or_kind_is_refused(bad, error, match):
    with pytest.raises(error, match=match):
        as_rows(bad, "float32", 3)


def test_zero_rows_are_accepted():
    assert len(as_rows(np.empty((0, 3)), "float32", 3)) == 0


def test_weights_become_one_float64_number_per_row():
    assert as_weights(None, 3) is None
    assert as_weights([1, 0, 2], 3).dtype == np.float64
    assert as_weights(2.0, 3).tolist() == [2.0, 2.0, 2.0]
    assert as_weights([True, False], 2).tolist() == [1.0, 0.0]
    assert as_weights(np.array([1, 2.5], object), 2).tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("weights", "error", "match"),
    [
        ([1.0, -1.0, 1.0], ValueError, "got -1.0 at row 1"),
        ([1.0, 1.0, np.nan], ValueError, "got nan at row 2"),
        ([np.inf, 1.0, 1.0], ValueError, "got inf at row 0"),
        ([0.0, 0.0, 0.0], ValueError, "all 3 entries of sample_weight are zero"),
        ([1e308, 1e308, 1e308], ValueError, "sum of sample_weight"),
        ([1.0], ValueError, r"shape \(3,\), one weight per row, got \(1,\)"),
        ([[1.0]] * 3, ValueError, r"got \(3, 1\)"),
        (["a", "b", "c"], TypeError, "real numbers"),
        (np.array([1, None, "x"], object), TypeError, "real numbers, got"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in reduce")
def test_invalid_weights_are_refused(weights, error, match):
    with pytest.raises(error, match=match):
        as_weights(weights, 3)


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(
        ValueError, match="^the input cannot be converted to an array: its parts differ in length$"
    ):
        as_rows([[1.0], [1.0, 2.0]], np.dtype(np.float64), 2)


def test_dates_in_an_object_array_are_refused_as_weights():
    for date in (np.datetime64("2020-01-01"), np.timedelta64(3, "D")):
        with pytest.raises(TypeError, match=r"^sample_weight must hold real numbers, got np\.\w+64\("):
            as_weights(np.array([1.0, date], object), 2)


@pytest.mark.promise("each call works or raises an error that names the cause")
@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_sparse_matrix_is_refused_before_it_is_read(fault):
    given = malformed(fault, np.eye(6, 4))
    before = frozen(given)
    for call in (
        lambda: as_rows(given, "float32", 4),
        lambda: Network([Dense(2)], 4).logits(given),
        lambda: train(Network([Dense(2)], 4), given, np.arange(6) % 2),
    ):
        with pytest.raises(ValueError, match=rf"^the input is a malformed {type(given).__name__}: .*again"):
            call()
    assert frozen(given) == before


@pytest.mark.parametrize(
    "kind", ["csr_array", "csr_matrix", "csc_array", "bsr_array", "coo_matrix", "lil_array"]
)
def test_the_check_of_a_sparse_matrix_changes_neither_it_nor_its_numbers(kind):
    given = getattr(scipy.sparse, kind)(X)
    if hasattr(given, "indptr"):
        given.indices, given.indptr = given.indices.astype(np.int64), given.indptr.astype(np.int64)
    before = frozen(given)
    found = as_csr("X", given)
    assert found.toarray().tolist() == X.tolist()
    assert frozen(given) == before
    if found.format == given.format:
        assert np.shares_memory(found.data, given.data)


def test_duplicates_are_summed_in_a_matrix_whose_indices_were_changed():
    given = scipy.sparse.csr_array(np.array([[3e38, 3e38], [0.0, 1.0]]))
    assert given.has_canonical_format  # SciPy remembers it
    given.indices[0] = 1
    with pytest.raises(ValueError, match=r"6e\+38 at row 0, column 1"):
        as_rows(given, "float32", 2)


def test_the_entry_that_is_not_finite_is_found_by_the_values_that_were_computed():
    given = np.array([[2e38, 1.0], [-2e38, 1.0]], np.float32)
    values = np.array([[0.0, 1.0], [np.nan, 1.0]], np.float32)
    assert "is -1.99" in str(not_finite(given, "float32", values=values))
    assert "row 1, column 0" in str(not_finite(given, "float32", values=values))
    # 3.4028235e38 is above the largest float32, but is rounded to it.
    assert "row 0, column 1" in str(not_finite(np.array([[3.4028235e38, 1e39]]), "float32"))
    # Other values than those that were not finite: the largest entry is named.
    assert "row 0, column 0" in str(not_finite(given, "float32", values=np.zeros((2, 2))))
    sparse = scipy.sparse.csr_array(given)
    assert "row 1, column 0" in str(not_finite(sparse, "float32", values=values.ravel()))


def test_weights_of_a_wrong_shape_are_refused_without_a_look_at_the_entries():
    weights = np.array([Counted(1.0) for _ in range(3)], object)
    Counted.uses = 0
    for wrong in (weights[1:], weights[:, None]):
        with pytest.raises(ValueError, match=r"sample_weight must have shape \(3,\)"):
            as_weights(wrong, 3)
    assert Counted.uses == 0
    assert as_weights(weights, 3).tolist() == [1.0] * 3
    assert Counted.uses == 3
