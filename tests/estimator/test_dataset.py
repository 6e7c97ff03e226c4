"""X, y and weights that cannot be read: errors name the argument and the position."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from tinyclf import Network, TinyClassifier
from tinyclf.nn.layers import Dense

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.arange(12) % 3
MASK = np.arange(36).reshape(12, 3) == 7


def quick(**parameters):
    return TinyClassifier(**{"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0, **parameters})


def with_entry(entry):
    entries = X.astype(object)
    entries[2, 1] = entry
    return entries


def test_masked_entries_are_refused_as_missing():
    model = quick().fit(np.ma.masked_array(X), np.ma.masked_array(Y), np.ma.masked_array(Y + 1.0))
    with pytest.raises(ValueError, match="X is masked at row 2, column 1; remove or impute it"):
        model.fit(np.ma.masked_array(X, MASK), Y)
    for rows in (list(np.ma.masked_array(X, MASK)), [*X[:2], *np.ma.masked_array(X, MASK)[2:]]):
        with pytest.raises(ValueError, match="X is masked at row 2, column 1; remove or impute it"):
            model.fit(rows, Y)
    with pytest.raises(ValueError, match="y is masked at row 2"):
        model.fit(X, np.ma.masked_array(Y, Y == 2))
    with pytest.raises(ValueError, match="sample_weight is masked at row 2"):
        model.fit(X, Y, np.ma.masked_array(Y + 1.0, Y == 2))
    with pytest.raises(ValueError, match=r"validation set.*X is masked at row 2"):
        model.fit(X, Y, X_val=np.ma.masked_array(X, MASK), y_val=Y)
    for predict in (model.predict, model.predict_proba, model.activations):
        with pytest.raises(ValueError, match="X is masked at row 2, column 1"):
            predict(np.ma.masked_array(X, MASK))
    with pytest.raises(ValueError, match="the input is masked at row 2, column 1"):
        Network([Dense(2)], 3).logits(np.ma.masked_array(X, MASK))


def test_a_column_with_the_name_of_a_mask_is_not_a_mask():
    quick().fit(pd.DataFrame(X, columns=["_mask", "dtype", "tocsr"]), Y)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (with_entry("a"), "X: could not convert string to float: 'a'"),
        (with_entry([1, 2]), "X: an entry is a sequence, not a number"),
        (with_entry({}), r"X: float.. argument must be .* not 'dict'"),
        (pd.DataFrame(with_entry("a")), "X: could not convert string to float: 'a'"),
        (X + 1j, "X: Complex data not supported"),
        ([[1.0, 2.0], [3.0]], "X cannot be converted to an array: its parts differ in length"),
        (None, r"X must be an array of shape \(n_samples, n_features\), got None"),
        ({"a": X}, r"X must be an array of shape .*, got \{'a'"),
        (iter(X.tolist()), "X must be an array of shape .*, got <list_iterator"),
        (with_entry(10**400), "X: int too large to convert to float"),
        (X[0], "X: Expected 2D array, got 1D array"),
        (pd.Series(X[0]), "X: Expected a 2-dimensional container but got <class 'pandas"),
        (X[:0], r"X: Found array with 0 sample"),
    ],
)
def test_features_that_are_not_numbers_are_refused(given, match):
    model = quick().fit(X, Y)
    with pytest.raises((TypeError, ValueError), match=match):
        quick().fit(given, Y)
    with pytest.raises((TypeError, ValueError), match=match):
        model.predict_proba(given)


@pytest.mark.parametrize("unit", ["datetime64[D]", "timedelta64[s]"])
def test_dates_are_refused_as_features(unit):
    dates = np.zeros((12, 3), unit)
    dates[0, 0] = "NaT"  # as a number it is -9.2e18
    for given in (dates, pd.DataFrame(dates), pl.DataFrame(dates.astype(f"{unit[:-3]}[ms]"))):
        with pytest.raises(TypeError, match="X must hold real numbers, got dates"):
            quick().fit(given, Y)
    for given in (list(dates), list(map(list, dates)), np.array(list(map(list, dates)), dtype=object)):
        with pytest.raises(TypeError, match="X must hold real numbers, got dates"):
            quick().fit(given, Y)
    with pytest.raises(TypeError, match="got dates"):
        quick().fit(pd.DataFrame(X).assign(day=pd.Timestamp("2020-01-01")), Y)


def test_long_doubles_beyond_float64_are_refused_without_a_warning():
    wide = X.astype(np.longdouble)
    wide[2, 1] = np.finfo(np.longdouble).max
    with pytest.raises(ValueError, match="inf at row 2, column 1"):
        quick().fit(wide, Y)


def test_invalid_targets_are_refused():
    nested = np.array([None] * 12)
    nested[:] = [[1], [2, 3], []] * 4
    for y, match in (
        ([[1, 2], [1]] * 6, "y cannot be converted to an array: its parts differ in length"),
        (nested, "y has .* as a label; if a row may have several labels, pass columns"),
        (Y[1:], r"X and y: Found input variables with inconsistent numbers of samples: \[12, 11\]"),
        (5, "y: Input should have at least 1 dimension"),
        (set(range(12)), r"y must be an array of shape \(n_samples,\), got \{0, 1"),
        (iter(Y.tolist()), "y must be an array of shape .*, got <list_iterator"),
    ):
        for call in (quick().fit, lambda X, y: quick().partial_fit(X, y, classes=[0, 1, 2])):
            with pytest.raises((TypeError, ValueError), match=match):
                call(X, y)


def test_invalid_classes_are_refused():
    for classes, match in (
        ([[1], [2, 3]], "classes cannot be converted to an array: its parts differ in length"),
        ([None, 1], "classes has a missing label, None, at row 0"),
        (
            np.array([1, "a"], object),
            r"classes has labels of types that do not sort together, \['int', 'str'\]",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            quick().partial_fit(X, Y, classes=classes)


def test_a_balanced_class_weight_beyond_the_range_is_refused():
    weight = np.where(Y == 0, 1e-310, 1.0)
    with pytest.raises(ValueError, match="class_weight times sample_weight, sum to"):
        quick(class_weight="balanced", early_stopping=False).fit(X, Y, weight)


def test_invalid_weights_are_refused():
    for weight, match in (
        ([[1, 2], *[1] * 11], "sample_weight cannot be converted to an array: its parts differ in length"),
        ([10**400] * 12, "sample_weight is beyond the range of float64"),
        ({0: 1.0}, r"sample_weight must hold real numbers, got \[\{0: 1.0\}\]"),
        (np.full(12, 1e308), "the sum of sample_weight is beyond the range of float64"),
    ):
        for call in (quick().fit, quick().fit(X, Y).score):
            with pytest.raises((TypeError, ValueError), match=match):
                call(X, Y, weight)


@pytest.mark.parametrize(
    "weight", [np.zeros(12), -np.ones(12), np.full(12, np.nan), np.full(12, 1e308), [1, 2]]
)
def test_score_refuses_the_weights_that_fit_refuses(weight):
    with pytest.raises(ValueError, match="sample_weight") as of_fit:
        quick().fit(X, Y, weight)
    with pytest.raises(ValueError, match="sample_weight") as of_score:
        quick().fit(X, Y).score(X, Y, weight)
    assert str(of_fit.value) == str(of_score.value)


def test_errors_of_containers_of_other_libraries_name_the_argument():
    class Broken:
        shape = (12, 3)

        def __len__(self):
            return 12

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("the file is closed")

    with pytest.raises(ValueError, match="X: the file is closed"):
        quick().fit(Broken(), Y)
    with pytest.raises(ValueError, match="y: the file is closed"):
        quick().fit(X, Broken())
    with pytest.raises(ValueError, match="y: .*cannot convert i128"):
        quick().fit(X[:2], pl.Series([2**70, 1]))


def test_a_warning_turned_into_an_error_keeps_its_type():
    model = quick().fit(pd.DataFrame(X, columns=["a", "b", "c"]), Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="feature names"):
            model.predict(X)


@pytest.mark.parametrize("kind", [scipy.sparse.csr_array, scipy.sparse.csr_matrix])
def test_duplicate_sparse_entries_are_summed_in_a_copy(kind):
    data, columns, starts = np.array([1.0, 2.0, 4.0, 1.0]), np.array([2, 2, 0, 1]), np.array([0, 2, 4])
    given = kind((data.copy(), columns.copy(), starts.copy()), shape=(2, 3))
    model = quick().fit(X, Y)
    found = model.predict_proba(given)
    np.testing.assert_array_equal(found, model.predict_proba([[0.0, 0.0, 3.0], [4.0, 1.0, 0.0]]))
    quick().fit(given, [0, 1])
    for part, before in ((given.data, data), (given.indices, columns), (given.indptr, starts)):
        np.testing.assert_array_equal(part, before)


def test_score_refuses_labels_of_another_kind():
    with pytest.raises(ValueError, match=r"^y must hold labels as in classes_, \[0 1 2\]: Mix of label"):
        quick().fit(X, Y).score(X, Y.astype(str))
