"""X, y and weights of any kind: how they are read, what a weight means, and errors that name the argument."""

import itertools
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn.exceptions import DataConversionWarning

from tests.support.data import IRIS, NAMES, SCALED, SPECIES
from tests.support.doubles import ArrayOnly, Counted, StaticFrame, Tensor, WithLength
from tests.support.estimators import learned, plain, quick
from tests.support.odd_input import MALFORMED, frozen, malformed
from tinyclf import Network
from tinyclf.nn.layers import Dense

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

names_the_cause = pytest.mark.promise("each call works or raises an error that names the cause")

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.arange(12) % 3
MASK = np.arange(36).reshape(12, 3) == 7


def with_entry(entry):
    entries = X.astype(object)
    entries[2, 1] = entry
    return entries


# --- features and targets of any kind ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale_inputs", [True, False])
def test_kinds_of_input_do_not_matter(scale_inputs, dtype):
    X = SCALED.round(2)
    dense = [X, X.tolist(), pd.DataFrame(X), pl.DataFrame(X)]
    sparse = [
        getattr(scipy.sparse, kind)(X) for kind in ("csr_array", "csr_matrix", "csc_array", "coo_array")
    ]
    # Sparse columns are scaled but not centered, so the model differs.
    for kinds in [dense, sparse] if scale_inputs else [dense + sparse]:
        expected = quick(dtype=dtype, scale_inputs=scale_inputs).fit(kinds[0], NAMES).predict_proba(kinds[0])
        for kind in kinds[1:]:
            model = quick(dtype=dtype, scale_inputs=scale_inputs).fit(kind, NAMES)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # polars names the columns
                np.testing.assert_array_equal(model.predict_proba(kind), expected)


def dask_frame(X):
    return pytest.importorskip("dask.dataframe").from_pandas(
        pd.DataFrame(X, columns=list("abc")), npartitions=2
    )


def dask_array(X):
    return pytest.importorskip("dask.array").from_array(X, chunks=(5, 1))


CONTAINERS = {
    **{kind.__name__: kind for kind in (ArrayOnly, WithLength, StaticFrame, Tensor)},
    **{kind.__name__: kind for kind in (dask_frame, dask_array)},
    "array interface": lambda X: type(
        "Interface", (), {"__array_interface__": X.__array_interface__, "X": X}
    )(),
    "memoryview": memoryview,
    "list of containers": lambda X: [ArrayOnly(row) for row in X],
    "pandas": lambda X: pd.DataFrame(X, columns=list("abc"), index=range(5, 5 + len(X))),
    "pandas, nullable": lambda X: pd.DataFrame(X, columns=list("abc")).convert_dtypes(),
    "polars": lambda X: pl.DataFrame(X, schema=list("abc")),
    "polars, one column of arrays": lambda X: pl.Series(X.tolist(), dtype=pl.Array(pl.Float32, 3)),
}


@names_the_cause
@pytest.mark.parametrize("kind", CONTAINERS)
def test_rows_are_taken_from_the_checked_array_whatever_the_container(kind):
    make, seen = CONTAINERS[kind], []

    def scorer(model, X, y):
        seen.append(np.asarray(X))
        return model.score(X, y)  # a warning about missing names would be an error

    rows, labels = IRIS[::3, :3].astype(np.float32), SPECIES[::3]
    X = make(rows)
    settings = {"early_stopping": True, "scoring": scorer, "dtype": None}
    model, expected = quick(**settings).fit(X, labels), quick(**settings).fit(rows, labels)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(rows))
    np.testing.assert_array_equal(seen[0], seen[-1])
    assert model.n_features_in_ == 3
    assert model.score(X, labels) == expected.score(rows, labels)
    assert model.activations(X).tobytes() == expected.activations(rows).tobytes()
    for one, x in ((model, X), (expected, rows)):
        one.fit(x, labels, X_val=x, y_val=labels).partial_fit(x, labels, X_val=x, y_val=labels)
        np.testing.assert_array_equal(seen[-1], rows)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(rows))
    assert quick().partial_fit(X, labels, classes=[0, 1, 2]).n_features_in_ == 3


@pytest.mark.parametrize(
    "make", [ArrayOnly, WithLength, Tensor, pd.Series, pl.Series, memoryview, scipy.sparse.coo_array]
)
def test_labels_and_weights_may_be_in_any_container(make):
    labels, weights = np.arange(12) % 3, np.arange(12) + 1.0
    expected = quick().fit(X, labels, weights)
    model = quick().fit(X, make(labels), weights if make is scipy.sparse.coo_array else make(weights))
    assert model.classes_.dtype == labels.dtype
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    assert model.score(X, make(labels)) == expected.score(X, labels)


@names_the_cause
def test_rows_of_a_data_frame_are_taken_for_scorers_only():
    class Frame(pd.DataFrame):
        def take(self, *given, **named):
            raise RuntimeError("rows cannot be taken")

    names = {"columns": list("abcd")}
    expected = quick(early_stopping=True).fit(IRIS, SPECIES).predict_proba(IRIS)
    for frame in (
        Frame(IRIS, **names),
        pd.DataFrame(IRIS.astype(">f8"), **names),
    ):  # pandas takes no such rows
        model = quick(early_stopping=True).fit(frame, SPECIES)
        np.testing.assert_array_equal(model.predict_proba(frame), expected)
    with pytest.raises(ValueError, match="^X: rows cannot be taken"):
        quick(early_stopping=True, scoring="f1_macro").fit(Frame(IRIS, **names), SPECIES)


FLOAT32 = {
    "big-endian": lambda X: X.astype(">f4"),
    "polars": lambda X: pl.DataFrame(X, schema=list("abcd")),
    "pandas": lambda X: pd.DataFrame(X, columns=list("abcd")),
    "pandas, nullable": lambda X: pd.DataFrame(X, columns=list("abcd"), dtype="Float32"),
    "pandas, nullable and bytes": lambda X: pd.DataFrame(X, columns=list("abcd"), dtype="Float32").astype(
        {"d": "Int8"}
    ),
    "Fortran": np.asfortranarray,
    "rows": list,
    **{kind.__name__: kind for kind in (ArrayOnly, Tensor, StaticFrame)},
}


@pytest.mark.parametrize("dtype", ["float32", None])
@pytest.mark.parametrize("kind", FLOAT32)
def test_float32_gives_the_same_bits_in_every_container(kind, dtype):
    rows = np.column_stack([IRIS[:, :3] + 0.01, SPECIES - 1]).astype(np.float32)
    expected = quick(dtype=dtype).fit(rows, SPECIES)
    model = quick(dtype=dtype).fit(FLOAT32[kind](rows), SPECIES)
    assert model.network_.theta.tobytes() == expected.network_.theta.tobytes()
    assert model.network_.dtype == np.float32
    found = model.predict_proba(FLOAT32[kind](rows))
    assert found.tobytes() == expected.predict_proba(rows).tobytes()
    # In float64, the scaled entries are rounded in another way.
    assert found.tobytes() != expected.predict_proba(rows.astype(np.float64)).tobytes()


def test_float16_is_read_as_float64_in_every_container():
    rows = IRIS.astype(np.float16)
    expected = quick(dtype=None).fit(rows.astype(np.float64), SPECIES)
    assert expected.network_.dtype == np.float64
    for make in (np.asarray, Tensor, pd.DataFrame, lambda X: X.astype(">f2")):
        model = quick(dtype=None).fit(make(rows), SPECIES)
        assert model.network_.theta.tobytes() == expected.network_.theta.tobytes()


def test_a_column_of_labels_is_one_label_per_row():
    with pytest.warns(DataConversionWarning):
        model = quick().fit(SCALED, NAMES[:, None])
    np.testing.assert_array_equal(model.predict(SCALED), quick().fit(SCALED, NAMES).predict(SCALED))


# --- weights -----------------------------------------------------------------------------------------------

SETS = np.stack([SPECIES > 0, SCALED[:, 0] > 0], axis=1).astype(int)
SOFT = np.eye(3)[SPECIES] * 0.7 + 0.1
TARGETS = {
    "many classes": (NAMES, {}, {"setosa": 0.3, "virginica": 4.0}),
    "two classes": (SPECIES == 1, {}, {True: 3.0}),
    "several labels": (SETS, {}, [{0: 2.0}, {0: 1.0, 1: 0.25}]),
    "soft": (SOFT, {"soft_targets": True}, {0: 0.2, 2: 3.0}),
    "soft, two classes": (
        SOFT[:, :2] / SOFT[:, :2].sum(axis=1, keepdims=True),
        {"soft_targets": True},
        {1: 5.0},
    ),
}
SOLVERS = {
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.3, "max_grad_norm": 0.1},
    "lbfgs": {"solver": "lbfgs"},
    "scaled": {"scale_inputs": True},
    # Steps so long that calibration shrinks the logits.
    "calibrated": {"calibrate": True, "solver": "sgd", "learning_rate_init": 10.0},
}


def fitted(X, y, w=None, validation=(), **parameters):
    """A fit to one batch of all rows, with a strong penalty."""
    settings = {"activation": "tanh", "alpha": 0.3, "batch_size": X.shape[0], "max_iter": 8}
    settings |= {"dtype": "float64", "early_stopping": False}
    names = ("X_val", "y_val", "sample_weight_val")
    model = plain(**{**settings, **parameters})
    return model.fit(X, y, w, **dict(zip(names, validation, strict=False)))


def assert_same(one, other, rtol=1e-6):
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=rtol)
    z = one.decision_function(SCALED)
    np.testing.assert_allclose(z, other.decision_function(SCALED), rtol=rtol, atol=1e-6)


@pytest.mark.parametrize(
    ("solver", "class_weight"),
    [
        *itertools.product(("adam", "sgd", "lbfgs", "scaled"), (None, "balanced", "given")),
        ("calibrated", None),  # class weights change the effective number of rows, and so the calibration
    ],
)
@pytest.mark.parametrize("kind", TARGETS)
def test_a_weight_of_two_equals_the_row_twice(kind, solver, class_weight):
    y, parameters, given = TARGETS[kind]
    class_weight = given if class_weight == "given" else class_weight
    parameters = {**parameters, **SOLVERS[solver], "class_weight": class_weight}
    counts = np.random.default_rng(1).integers(0, 4, 150)
    twice = np.repeat(np.arange(150), counts)
    weighted = fitted(SCALED, y, counts, (SCALED[::2], y[::2], counts[::2]), **parameters)
    held = np.repeat(np.arange(0, 150, 2), counts[::2])
    repeated = fitted(SCALED[twice], y[twice], None, (SCALED[held], y[held]), **parameters)
    assert_same(weighted, repeated)
    np.testing.assert_allclose(
        weighted.validation_loss_curve_,
        repeated.validation_loss_curve_,
        rtol=1e-6 if solver != "lbfgs" else 1e-4,
    )
    if class_weight is None:
        unweighted = fitted(SCALED, y, None, **parameters)
        assert np.abs(unweighted.decision_function(SCALED) - weighted.decision_function(SCALED)).max() > 1e-3


@pytest.mark.parametrize("make", [learned, plain])
def test_a_row_of_weight_zero_is_left_out_whatever_its_label(make):
    w = np.ones(150)
    w[::3] = 0.0
    weighted = make().fit(SCALED, NAMES, w)
    without = make().fit(SCALED[w > 0], NAMES[w > 0])
    np.testing.assert_allclose(weighted.predict_proba(SCALED), without.predict_proba(SCALED), rtol=1e-4)


@pytest.mark.parametrize("solver", ["adam", "calibrated"])
@pytest.mark.parametrize("kind", TARGETS)
def test_a_class_weight_equals_a_sample_weight(kind, solver):
    y, parameters, class_weight = TARGETS[kind]
    parameters = {**parameters, **SOLVERS[solver]}
    if kind == "several labels":
        factors = [[weights.get(0, 1.0), weights.get(1, 1.0)] for weights in class_weight]
        w = np.prod([np.array(f)[column] for f, column in zip(factors, y.T, strict=True)], axis=0)
    elif kind.startswith("soft"):
        w = y @ [class_weight.get(i, 1.0) for i in range(y.shape[1])]
    else:
        w = [class_weight.get(label, 1.0) for label in y.tolist()]
    other = np.random.default_rng(0).uniform(0.5, 2.0, 150)
    alone = fitted(SCALED, y, None, class_weight=class_weight, **parameters)
    assert_same(alone, fitted(SCALED, y, w, **parameters))
    both = fitted(SCALED, y, other, class_weight=class_weight, **parameters)
    assert_same(both, fitted(SCALED, y, other * w, **parameters))


def test_a_class_of_zero_weight_is_ignored_in_balancing():
    w = (SPECIES > 0).astype(float)
    model = fitted(SCALED, NAMES, w, class_weight="balanced")
    assert_same(model, fitted(SCALED, NAMES, w))  # the other two classes are balanced already


def test_weights_of_sparse_rows_and_labels_equal_those_of_dense_ones():
    w = np.random.default_rng(0).integers(0, 3, 150)
    sparse = fitted(scipy.sparse.csr_array(SCALED), scipy.sparse.csr_array(SETS), w)
    assert_same(fitted(SCALED, SETS, w), sparse)


def test_partial_fit_accepts_a_dict_and_refuses_balanced_class_weights():
    classes = np.unique(NAMES)
    with pytest.raises(ValueError, match="class_weight='balanced'.*pass a dict"):
        quick(class_weight="balanced").partial_fit(SCALED, NAMES, classes=classes)
    one = quick(class_weight={"setosa": 5.0}, dtype="float64").partial_fit(SCALED, NAMES, classes=classes)
    w = np.where(SPECIES == 0, 5.0, 1.0)
    other = quick(dtype="float64").partial_fit(SCALED, NAMES, w, classes=classes)
    assert_same(one, other, rtol=1e-12)
    assert_same(one.partial_fit(3 * SCALED, NAMES), other.partial_fit(3 * SCALED, NAMES, w), rtol=1e-12)


def test_a_partial_fit_of_total_weight_zero_is_refused():
    with pytest.raises(ValueError, match=r"sum to 0\.0; .* 50 rows"):
        quick(class_weight={"setosa": 0.0}).partial_fit(SCALED[:50], NAMES[:50], classes=np.unique(NAMES))


# --- input that cannot be read -----------------------------------------------------------------------------


def with_value(value):
    """The rows, in which one has another value."""
    X = SCALED.copy()
    X[7, 2] = value
    return X


@names_the_cause
@pytest.mark.parametrize(
    ("X", "y", "w", "match"),
    [
        (with_value(np.nan), NAMES, None, "NaN at row 7, column 2.*impute"),
        (with_value(np.inf), NAMES, None, "inf at row 7, column 2.*impute"),
        (with_value(1e39).tolist(), NAMES, None, "row 7, column 2"),
        (pd.DataFrame(with_value(1e39)).astype("Float64"), NAMES, None, "row 7, column 2"),
        (with_value(1e39), NAMES, None, r'1e\+39 at row 7, column 2.*dtype="float64"'),
        (scipy.sparse.csr_array(with_value(-1e300)), NAMES, None, r"-1e\+300 at row 7, column 2"),
        (SCALED[0], NAMES, None, "Expected 2D array"),
        (SCALED, NAMES[:-1], None, "inconsistent numbers of samples"),
        (SCALED[:0], NAMES[:0], None, "0 sample"),
        (SCALED[:, :0], NAMES, None, "0 feature"),
        (SCALED, np.linspace(0, 1, 150), None, "Unknown label type: continuous"),
        (SCALED, np.eye(3)[SPECIES] + 0.5, None, "continuous-multioutput"),
        (SCALED, np.stack([SPECIES, SPECIES], axis=1), None, "multiclass-multioutput targets"),
        (SCALED, np.where(SPECIES == 1, None, NAMES), None, "missing label, None, at row 50"),
        (SCALED, NAMES, -np.ones(150), "sample_weight.* got -1.0 at row 0"),
        (SCALED, NAMES, np.zeros(150), "all 150 entries of sample_weight are zero"),
        (SCALED, NAMES, np.ones(3), r"sample_weight .* \(150,\).* got \(3,\)"),
    ],
)
def test_the_error_names_invalid_data(X, y, w, match):
    for solver in ("adam", "lbfgs"):  # "lbfgs" computes in float64, and predicts in float32
        with pytest.raises(ValueError, match=match):
            plain(solver=solver).fit(X, y, w)


@names_the_cause
def test_masked_entries_are_refused_as_missing():
    model = quick().fit(np.ma.masked_array(X), np.ma.masked_array(Y), np.ma.masked_array(Y + 1.0))
    with pytest.raises(ValueError, match="X is masked at row 2, column 1"):
        model.fit(np.ma.masked_array(X, MASK), Y)
    masked = np.ma.masked_array(X, MASK)
    for rows in (list(masked), [*X[:2], *masked[2:]], (*X[:2].tolist(), *masked[2:])):
        with pytest.raises(ValueError, match="X is masked at row 2, column 1"):
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


@names_the_cause
@pytest.mark.parametrize(
    ("given", "match"),
    [
        (with_entry("a"), "X: could not convert string to float: 'a'"),
        (with_entry([1, 2]), "X: an entry is a sequence, not a number"),
        (with_entry({}), r"X: float.. argument must be .* not 'dict'"),
        (pd.DataFrame(with_entry("a")), "^X.* the column 1"),
        (X + 1j, "X: Complex data not supported"),
        (np.zeros((12, 3), [("a", "f4"), ("b", "f4")]), "X .* got records of dtype .*select columns"),
        (np.zeros(12, [("a", "f4"), ("b", "f4")]), "X .* got records of dtype .*select columns"),
        ([[1.0, 2.0], [3.0]], "X cannot be converted"),
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


@names_the_cause
@pytest.mark.parametrize("unit", ["datetime64[D]", "timedelta64[s]"])
def test_dates_are_refused_as_features(unit):
    dates = np.zeros((12, 3), unit)
    dates[0, 0] = "NaT"  # as a number it is -9.2e18
    for given in (dates, pd.DataFrame(dates), pl.DataFrame(dates.astype(f"{unit[:-3]}[ms]"))):
        with pytest.raises(TypeError, match="X must hold numbers and categories, got dates"):
            quick().fit(given, Y)
    for given in (list(dates), list(map(list, dates)), np.array(list(map(list, dates)), dtype=object)):
        with pytest.raises(TypeError, match="X must hold numbers and categories, got dates"):
            quick().fit(given, Y)
    with pytest.raises(TypeError, match="got dates"):
        quick().fit(pd.DataFrame(X).assign(day=pd.Timestamp("2020-01-01")), Y)


@names_the_cause
def test_columns_of_several_numbers_or_of_dates_are_named():
    pairs = pl.Series("v", X[:, :2].tolist(), dtype=pl.Array(pl.Float64, 2))
    frames = [
        pl.DataFrame({"a": X[:, 0], "v": pairs}),
        pl.DataFrame({"a": X[:, 0], "v": X[:, :2].tolist()}),
        pl.DataFrame({"a": X[:, 0], "v": pl.DataFrame(X).to_struct()}),
    ]
    model = quick().fit(X[:, :2], Y)
    for frame in frames:
        for call in (
            lambda X: quick().fit(X, Y),
            lambda X: quick().partial_fit(X, Y, classes=[0, 1, 2]),
            lambda X: model.fit(X_IRIS[:12], Y, X_val=X, y_val=Y),
            model.predict,
        ):
            with pytest.raises(
                TypeError, match="X must hold one number or category per entry, .* in the column 'v'"
            ):
                call(frame)
    days = pd.DataFrame({"a": X[:, 0], "day": pd.Timestamp("2020-01-01")})
    for frame in (days, pl.DataFrame(days.to_dict("series"))):
        with pytest.raises(TypeError, match="got dates, dtype .* in the column 'day'"):
            quick().fit(frame, Y)


X_IRIS = IRIS[:, :2]


@names_the_cause
@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_sparse_matrix_is_refused_before_it_is_read(fault):
    rows = np.eye(6, 4)
    given, y = malformed(fault, rows), np.arange(6) % 2
    several = np.eye(6, 4, dtype=int)
    before = frozen(given)
    model, sets = quick().fit(rows, y), quick().fit(rows, several)
    for name, call in (
        ("X", lambda: quick().fit(given, y)),
        ("X", lambda: quick().partial_fit(given, y, classes=[0, 1])),
        ("X", lambda: quick().fit(rows, y, X_val=given, y_val=y)),
        ("X", lambda: model.predict(given)),
        ("X", lambda: quick(scale_inputs=False).fit(rows, y).predict_proba(given)),
        ("X", lambda: model.score(given, y)),
        ("y", lambda: quick().fit(rows, given)),
        ("y", lambda: sets.score(rows, given)),
    ):
        with pytest.raises(ValueError, match=rf"\b{name} is a malformed {type(given).__name__}"):
            call()
    assert frozen(given) == before


def test_errors_about_shapes_and_types_use_no_entry():
    rows, labels = np.array([[Counted(v) for v in row] for row in X], object), np.arange(12) % 2
    names = pd.DataFrame(rows, columns=list("abc"))
    counted = np.array([Counted(v) for v in labels], object)
    model, named = quick().fit(X, labels), quick().fit(names.astype(float), labels)
    columns = "X has 2 features, but TinyClassifier is expecting 3"
    samples = r"inconsistent numbers of samples: \[12, 11\]"
    Counted.uses = 0
    for match, call in (
        (columns, lambda: model.predict(rows[:, 1:])),
        (columns, lambda: model.predict([list(row[1:]) for row in rows])),
        (columns, lambda: model.predict([tuple(row[1:]) for row in rows])),
        (columns, lambda: model.predict(pd.DataFrame(rows[:, 1:]))),
        (columns, lambda: model.partial_fit(rows[:, 1:], labels)),
        (columns, lambda: model.score(rows[:, 1:], labels)),
        (columns, lambda: quick().fit(X, labels, X_val=rows[:, 1:], y_val=labels)),
        ("feature names should match", lambda: named.predict(names[["a", "b"]])),
        ("dim 3", lambda: quick().fit(rows[:, :, None], labels)),
        ("0 feature", lambda: quick().fit(rows[:, :0], labels)),
        (samples, lambda: quick().fit(rows, counted[1:])),
        (samples, lambda: quick().partial_fit(rows, counted[1:], classes=[0, 1])),
        (samples, lambda: model.score(X, counted[1:])),
        (samples, lambda: quick().fit(X, labels, X_val=rows, y_val=counted[1:])),
        ("dim 3", lambda: quick().fit(rows, counted[:, None, None])),
        ("sample_weight must have shape", lambda: quick().fit(rows, counted, counted[1:])),
        ("sample_weight must have shape", lambda: model.score(X, counted, counted[1:])),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    assert Counted.uses == 0
    rows[-1, -1] = "a"
    with pytest.raises(ValueError, match="X: could not convert string to float: 'a'"):
        quick().fit(rows, labels)
    assert Counted.uses == rows.size - 1  # each once
    rows[-1, -1] = Counted(0.0)
    quick().fit(rows, labels)
    assert Counted.uses == 2 * rows.size - 1


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("text", [["b"], ["1", "b"], ["1", "1", "1", "b"]])
def test_a_text_in_a_column_is_named_before_all_columns_become_objects(kind, text):
    n = 5000
    table = kind({**{str(i): np.zeros(n) for i in range(40)}, "city": text * (n // len(text))})
    labels = np.arange(n) % 2
    quick().fit(table[:20], labels[:20])  # the first use of a kind of frame imports modules
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match="X: could not convert string to float: 'b' in the column 'city'"
        ):
            quick(categorical_features=None).fit(table, labels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * n * 40  # the pointers of objects


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
def test_a_constant_column_that_becomes_another_number_is_ignored_or_named(kind):
    rows = IRIS.astype(np.float32)
    rows[:, 0] = 2e38
    changed = rows.copy()
    changed[7:, 0] = -2e38
    X, new = kind(rows), kind(changed)
    model = quick().fit(X, SPECIES)
    for call in (
        model.predict_proba,
        lambda new: quick().fit(X, SPECIES, X_val=new, y_val=SPECIES).predict_proba(X),
        lambda new: quick().fit(X, SPECIES).partial_fit(new, SPECIES).predict_proba(new),
        lambda new: quick().fit(new, SPECIES).predict_proba(X),
    ):
        try:
            found = call(new)
        except ValueError as error:
            assert "row 7, column 0" in str(error)  # noqa: PT017
        else:
            assert np.isfinite(found).all()
            if call == model.predict_proba:
                np.testing.assert_array_equal(found, call(X))


def test_long_doubles_beyond_float64_are_refused_without_a_warning():
    wide = X.astype(np.longdouble)
    wide[2, 1] = np.finfo(np.longdouble).max
    with pytest.raises(ValueError, match="inf at row 2, column 1"):
        quick().fit(wide, Y)


@names_the_cause
def test_invalid_targets_are_refused():
    nested = np.array([None] * 12)
    nested[:] = [[1], [2, 3], []] * 4
    for y, match in (
        ([[1, 2], [1]] * 6, "y cannot be converted"),
        (nested, "y has .* as a label"),
        (Y[1:], r"X and y: .*\[12, 11\]"),
        (5, "y: Input should have at least 1 dimension"),
        (set(range(12)), r"y must be an array of shape \(n_samples,\), got \{0, 1"),
        (iter(Y.tolist()), "y must be an array of shape .*, got <list_iterator"),
    ):
        for call in (quick().fit, lambda X, y: quick().partial_fit(X, y, classes=[0, 1, 2])):
            with pytest.raises((TypeError, ValueError), match=match):
                call(X, y)


@names_the_cause
def test_invalid_classes_are_refused():
    for classes, match in (
        ([[1], [2, 3]], "classes cannot be converted"),
        ([None, 1], "classes has a missing label, None, at row 0"),
        (
            np.array([1, "a"], object),
            r"classes has labels .*\['int', 'str'\]",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            quick().partial_fit(X, Y, classes=classes)


def test_a_balanced_class_weight_beyond_the_range_is_refused():
    weight = np.where(Y == 0, 1e-310, 1.0)
    with pytest.raises(ValueError, match="class_weight times sample_weight, sum to"):
        quick(class_weight="balanced", early_stopping=False).fit(X, Y, weight)


@names_the_cause
def test_invalid_weights_are_refused():
    for weight, match in (
        ([[1, 2], *[1] * 11], "sample_weight cannot be converted"),
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


@names_the_cause
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
    with pytest.raises(ValueError, match=r"^y must hold labels as in classes_, \[0 1 2\]: "):
        quick().fit(X, Y).score(X, Y.astype("M8[D]"))
    with pytest.raises(ValueError, match=r"^y must hold labels as in classes_, \[0 1 2\]: Mix of label"):
        quick().fit(X, Y).score(X, Y.astype(str))
