"""The inputs of the network: scaled numbers, indicators of missing entries, and one input per category.

scikit-learn's OneHotEncoder and MissingIndicator are the oracle. What is trained follows from the inputs:
a model of a table is, bit for bit, the model of its `scaled_inputs` without scaling.
"""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.impute import SimpleImputer

from tests.support.estimators import learned, quick
from tests.support.odd_input import REFUSALS
from tests.support.parts import PLAIN
from tests.support.tables import CATEGORIES, COLUMNS, LABELS, N, objects, of_scikit_learn
from tinyclf import TinyClassifier
from tinyclf.estimator.dataset import read_features

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
    pytest.mark.filterwarnings("ignore:Found unknown categories"),
    pytest.mark.filterwarnings("ignore:batch_size=500 is larger"),
]

names_the_cause = pytest.mark.promise("each call works or raises an error that names the cause")

TABLE = objects()
NUMBERS = [name for name in COLUMNS if name not in CATEGORIES]
UNKNOWN = TABLE.iloc[:8].copy()  # categories that fit has not seen, and columns that had no missing entries
UNKNOWN["city"] = ["Lima", "Lyon", None, "Oruro", "", "Quito", "lima", "La Paz"]
UNKNOWN["plan"] = ["basic", None, "extra", "plus", "plus ", None, "basic", "infrequent_sklearn"]
UNKNOWN["owner"] = [True, False, None, True, False, None, None, True]
UNKNOWN["rooms"] = [1, None, 3, None, 5, 6, 7, 8]
UNKNOWN["age"] = [None, 30.0, None, 50.0, 60.0, 70.0, None, 10.0]


def dense(rows):
    return rows.toarray() if scipy.sparse.issparse(rows) else rows


def still(**parameters):
    """An estimator in float64 whose steps are negligible, so that only the inputs change."""
    settings = {**PLAIN, "solver": "sgd", "dtype": "float64", "random_state": 0, "scale_inputs": True}
    settings |= {"learning_rate_init": 1e-300, "hidden_layer_sizes": 5, "max_iter": 1, "max_categories": None}
    return TinyClassifier(**{**settings, **parameters})


# --- names and values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_categories", [None, 2, 3, 4, 5])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 2), slice(7, 8), slice(20, 50)], ids=str)
def test_indicators_and_categories_are_those_of_scikit_learn(rows, max_categories):
    fitted, labels = TABLE[rows], LABELS[rows]
    model = quick(max_categories=max_categories).fit(fitted, labels)
    for new in (TABLE, UNKNOWN):
        names, values = of_scikit_learn(fitted, new, CATEGORIES, max_categories)
        assert model.input_names_.tolist() == [*NUMBERS, *names]
        found = dense(model.scaled_inputs(new))
        assert found.dtype == np.float32
        assert_array_equal(found[:, len(NUMBERS) :], values)
    n_inputs = len(model.input_names_)
    assert model.coefs_[0].shape == (n_inputs, 5)
    assert_array_equal(model.input_center_[len(NUMBERS) :], 0.0)
    assert_array_equal(model.input_scale_[len(NUMBERS) :], 1.0)
    assert len(model.input_center_) == len(model.input_scale_) == n_inputs


@pytest.mark.parametrize("kind", ["text", "number", "boolean"])
def test_of_equally_frequent_categories_the_same_are_kept_as_by_scikit_learn(kind):
    values = {"text": [*"dbaccbad"], "number": [4, 2, 1, 3, 3, 2, 1, 4], "boolean": [True, False] * 4}[kind]
    frame = pd.DataFrame({"kind": pd.Series(values, dtype=object), "size": np.arange(8.0)})
    for max_categories in (2, 3, 4, 5):
        model = quick(max_categories=max_categories, categorical_features=["kind"])
        model.fit(frame, np.arange(8) % 2)
        names, expected = of_scikit_learn(frame, frame, ["kind"], max_categories)
        assert model.input_names_.tolist() == ["size", *names]
        assert_array_equal(model.scaled_inputs(frame)[:, 1:], expected)


def test_the_default_keeps_the_most_frequent_of_very_many_categories():
    ids = [f"id {i}" for i in range(3000)] * 2 + ["often"] * 50
    frame = pd.DataFrame({"id": ids, "size": np.arange(6050) % 7})
    model = quick(max_iter=1).fit(frame, np.arange(6050) % 2)
    assert isinstance(model.max_categories, int)
    assert 2 <= model.max_categories < 3000
    names, _ = of_scikit_learn(frame, frame[:1], ["id"], model.max_categories)
    assert model.input_names_.tolist() == ["size", *names]
    assert "id_often" in names


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_of_a_table_is_the_model_of_its_inputs_bit_for_bit(dtype, missing):
    rng = np.random.default_rng(0)
    frame = TABLE.mask(rng.random(TABLE.shape) < missing, None)
    others = [{"solver": "lbfgs"}] if dtype == "float64" else []  # lbfgs does not round the inputs to float32
    for parameters in ({}, {"early_stopping": True}, {"class_weight": "balanced"}, *others):
        model = quick(dtype=dtype, **parameters).fit(frame, LABELS)
        inputs = model.scaled_inputs(frame)
        expected = quick(dtype=dtype, scale_inputs=False, **parameters).fit(inputs, LABELS)
        assert model.network_.theta.tobytes() == expected.network_.theta.tobytes()
        for new in (frame, UNKNOWN):
            found = model.predict_log_proba(new)
            assert_array_equal(found, expected.predict_log_proba(model.scaled_inputs(new)))


def test_a_frame_of_categories_alone_can_be_fitted():
    frame, pattern = TABLE[CATEGORIES], pd.DataFrame({"bit": ["0", "1"] * 15, "one": ["same"] * 30})
    names, values = of_scikit_learn(frame, frame, CATEGORIES, 3)
    model = quick(max_categories=3).fit(frame, LABELS)
    assert model.input_names_.tolist() == names
    assert_array_equal(model.scaled_inputs(frame), values)
    model = learned(max_iter=60).fit(pattern, np.arange(30) % 2)
    assert model.input_names_.tolist() == ["bit_0", "bit_1"]
    assert model.score(pattern, np.arange(30) % 2) == 1.0


def test_a_category_that_all_rows_share_has_no_input():
    frame = pd.DataFrame({"one": ["same"] * 30, "gone": pd.Series([None] * 30, dtype="str")})
    other = frame.assign(one="other", gone="known")
    model = quick().fit(frame.assign(size=np.linspace(-1, 1, 30)), np.arange(30) % 3)
    assert model.input_names_.tolist() == ["size"]
    expected = quick().fit(np.linspace(-1, 1, 30)[:, None], np.arange(30) % 3)
    assert model.network_.theta.tobytes() == expected.network_.theta.tobytes()
    alone = quick().fit(frame, np.arange(30) % 3)  # a network needs an input
    assert (alone.scaled_inputs(frame) == 0.0).all()
    assert_array_equal(alone.predict_proba(frame), alone.predict_proba(other))
    assert_allclose(alone.predict_proba(frame), 1 / 3, atol=0.1)


def test_what_depends_on_a_category_or_on_a_missing_entry_is_learned():
    rng = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame({"size": rng.normal(size=n), "city": rng.choice([*"abcd"], n)})
    frame.loc[rng.random(n) < 0.4, "size"] = np.nan
    y = frame["size"].isna() ^ frame["city"].isin(["a", "c"])  # the center alone says nothing
    model = TinyClassifier(20, random_state=0).fit(frame[:400], y[:400])
    assert model.score(frame[400:], y[400:]) > 0.95


# --- missing numbers ---------------------------------------------------------------------------------------


X = np.random.default_rng(0).normal(size=(80, 4)).round(3) * [1.0, 1e3, 1e-3, 1.0] + [0.0, 5e3, 0.0, 9.0]
Y = (X[:, 0] > 0) * 1 + (X[:, 1] > 5e3)
HOLES = np.random.default_rng(1).random(X.shape) < [0.0, 0.3, 0.6, 0.0]
GAPS = np.where(HOLES, np.nan, X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_missing_numbers_are_centers_with_indicators_and_known_ones_are_scaled_without_them(dtype):
    model = quick(dtype=dtype).fit(GAPS, Y)
    assert model.input_names_.tolist() == [
        "x0",
        "x1",
        "x2",
        "x3",
        "missingindicator_x1",
        "missingindicator_x2",
    ]
    inputs = model.scaled_inputs(GAPS)
    for j in range(4):
        known = ~HOLES[:, j]
        alone = quick(dtype=dtype).fit(X[known, j : j + 1], Y[known])
        assert_allclose(model.input_center_[j], alone.input_center_[0], rtol=1e-14)
        assert_allclose(model.input_scale_[j], alone.input_scale_[0], rtol=1e-14)
        assert_allclose(
            inputs[known, j], alone.scaled_inputs(X[known, j : j + 1])[:, 0], rtol=1e-5, atol=1e-6
        )
    assert (inputs[:, :4][HOLES] == 0.0).all()
    assert_array_equal(inputs[:, 4:], HOLES[:, 1:3])


def test_missing_numbers_equal_an_imputer_that_knows_the_centers():
    """A pipeline of SimpleImputer with indicators gives the same rows, and so nearly the same predictions."""
    model = quick(dtype="float64").fit(GAPS, Y)
    filled = GAPS.copy()
    for j in range(4):
        filled[HOLES[:, j], j] = model.input_center_[j]
    indicators = SimpleImputer(add_indicator=True).fit_transform(GAPS)[:, 4:]
    assert_allclose(
        model.scaled_inputs(GAPS), np.c_[model.scaled_inputs(filled)[:, :4], indicators], atol=1e-12
    )


def test_a_number_that_is_missing_only_in_prediction_is_the_center():
    model = quick(dtype="float64").fit(X, Y)
    assert model.input_names_.tolist() == ["x0", "x1", "x2", "x3"]
    filled = np.where(HOLES, model.input_center_, X)
    assert_allclose(model.predict_proba(GAPS), model.predict_proba(filled), rtol=1e-9)
    all_missing = model.predict_proba(np.full((1, 4), np.nan))
    assert_allclose(all_missing, model.predict_proba(model.input_center_[None]), rtol=1e-9)


def test_plain_arrays_without_missing_numbers_have_no_further_inputs():
    model = quick().fit(X, Y)
    assert model.coefs_[0].shape == (4, 5)
    assert model.input_names_.tolist() == ["x0", "x1", "x2", "x3"]
    framed = quick().fit(pd.DataFrame(X, columns=list("abcd")), Y)
    assert framed.input_names_.tolist() == [*"abcd"]
    assert framed.network_.theta.tobytes() == model.network_.theta.tobytes()


@pytest.mark.parametrize("scale", [True, False])
def test_a_column_without_known_numbers_has_no_effect(scale):
    holes = np.column_stack([GAPS[:, 1], np.full(80, np.nan), GAPS[:, 0]])
    if not scale:  # then missing numbers are refused
        for call in (lambda: quick(scale_inputs=False).fit(holes, Y),):
            with pytest.raises(
                ValueError, match=r"(?s)(?=.*NaN at row 0, column 1|.*NaN at row \d+, column 0)"
            ):
                call()
        return
    model = quick().fit(holes, Y)
    assert model.input_names_.tolist() == ["x0", "x1", "x2", "missingindicator_x0"]
    assert model.input_scale_[1] == 0.0
    changed = holes.copy()
    changed[:, 1] = np.linspace(-1e6, 1e6, 80)
    assert_array_equal(model.predict_proba(changed), model.predict_proba(holes))
    assert quick().fit(np.full((12, 2), np.nan), np.arange(12) % 2).score(np.ones((2, 2)), [0, 1]) == 0.5


@names_the_cause
def test_without_scaling_a_missing_number_is_refused_with_the_fix_and_a_missing_category_is_not():
    fitted = quick(scale_inputs=False).fit(X, Y)
    message = r"(?s)(?=.*NaN at row \d+, column [12])(?=.*impute)"
    for rows in (GAPS, GAPS.astype(np.float32), scipy.sparse.csr_array(GAPS), pd.DataFrame(GAPS)):
        for call in (
            lambda rows: quick(scale_inputs=False).fit(rows, Y),
            lambda rows: quick(scale_inputs=False).partial_fit(rows, Y, classes=[0, 1, 2]),
            lambda rows: quick(scale_inputs=False).fit(X, Y, X_val=rows, y_val=Y),
            fitted.predict,
        ):
            with pytest.raises(ValueError, match=message):
                call(rows)
    frame = TABLE.drop(columns="age")
    model = quick(scale_inputs=False).fit(frame, LABELS)
    names, values = of_scikit_learn(frame, frame, CATEGORIES)
    assert model.input_names_.tolist() == ["rooms", *names]
    assert_array_equal(model.scaled_inputs(frame), np.c_[frame["rooms"].to_numpy(float), values])
    assert model.input_center_ is None
    with pytest.raises(ValueError, match=r"(?s)(?=.*NaN at row \d+, column 0)"):
        quick(scale_inputs=False).fit(TABLE, LABELS)


def test_the_tag_allow_nan_follows_scale_inputs():
    assert TinyClassifier().__sklearn_tags__().input_tags.allow_nan is True
    assert TinyClassifier(scale_inputs=False).__sklearn_tags__().input_tags.allow_nan is False
    assert not TinyClassifier().__sklearn_tags__().input_tags.string


FLOAT32 = {
    "Fortran": np.asfortranarray,
    "rows": list,
    "pandas": lambda rows: pd.DataFrame(rows),
    "pandas, nullable": lambda rows: pd.DataFrame(rows).convert_dtypes().astype("Float32"),
    "big-endian": lambda rows: rows.astype(">f4"),
}


@pytest.mark.parametrize("kind", FLOAT32)
def test_float32_rows_with_missing_numbers_give_the_same_bits_in_every_container(kind):
    rows = GAPS.astype(np.float32)
    model, expected = quick(dtype=None).fit(FLOAT32[kind](rows), Y), quick(dtype=None).fit(rows, Y)
    assert model.network_.theta.tobytes() == expected.network_.theta.tobytes()
    assert model.network_.dtype == np.float32
    assert model.predict_proba(FLOAT32[kind](rows)).tobytes() == expected.predict_proba(rows).tobytes()


def test_missing_entries_of_sparse_rows_are_zeros_with_an_indicator():
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((80, 30)) < 0.1, rng.normal(size=(80, 30)), 0.0)
    holes = rng.random(rows.shape) < 0.02
    holes[:, 7:] = False
    holes[0, :7] = True
    filled, gaps = np.where(holes, 0.0, rows), np.where(holes, np.nan, rows)
    for kind in (scipy.sparse.csr_array, scipy.sparse.csc_array, scipy.sparse.csr_matrix):
        given, labels = kind(gaps), np.arange(80) % 2
        model = quick().fit(given, labels)
        names = [*(f"x{j}" for j in range(30)), *(f"missingindicator_x{j}" for j in range(7))]
        assert model.input_names_.tolist() == names
        # Zeros count among the rows of a sparse column, missing entries do not.
        expected = quick().fit(kind(filled), labels)
        inputs = dense(model.scaled_inputs(given))
        assert_allclose(inputs[:, :30], dense(expected.scaled_inputs(kind(filled))), rtol=1e-6)
        assert_array_equal(inputs[:, 30:], holes[:, :7])
        assert (given != kind(gaps)).nnz == np.isnan(gaps).sum()  # the caller's matrix is not changed
        assert np.isfinite(model.predict_proba(given)).all()
        later = expected.predict_proba(given)  # missing only in prediction
        assert_allclose(later, expected.predict_proba(kind(filled)), rtol=1e-6)
    with pytest.raises(REFUSALS, match=r"(?s)(?=.*sparse)(?=.*categorical_features)"):
        quick(categorical_features=[0]).fit(scipy.sparse.csr_array(rows), np.arange(80) % 2)


# --- weights -----------------------------------------------------------------------------------------------

COUNTS = np.random.default_rng(3).integers(0, 4, N)
COUNTS[np.array(COLUMNS["city"]) == "Oruro"] *= 9  # now it is frequent


@pytest.mark.parametrize("partly", [False, True])
@pytest.mark.parametrize("max_categories", [None, 2, 3])
def test_a_weight_of_two_equals_the_row_twice_also_for_categories(max_categories, partly):
    settings = {"dtype": "float64", "max_categories": max_categories, "batch_size": 500, "shuffle": False}
    settings |= {"early_stopping": False, "alpha": 0.3}
    twice = np.repeat(np.arange(N), COUNTS)
    models = []
    for rows, labels, weight in ((TABLE, LABELS, COUNTS), (TABLE.iloc[twice], LABELS[twice], None)):
        model = quick(**settings)
        if partly:
            model.partial_fit(rows, labels, weight, classes=[0, 1, 2])
        else:
            model.fit(rows, labels, weight)
        models.append(model)
    weighted, repeated = models
    assert weighted.input_names_.tolist() == repeated.input_names_.tolist()
    assert_allclose(
        dense(weighted.scaled_inputs(TABLE)), dense(repeated.scaled_inputs(TABLE)), rtol=1e-9, atol=1e-12
    )
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-6)
    if max_categories == 2:
        names, _ = of_scikit_learn(TABLE.iloc[twice], TABLE, CATEGORIES, 2)
        assert weighted.input_names_.tolist() == [*NUMBERS, *names]
        assert (
            weighted.input_names_.tolist() != quick(max_categories=2).fit(TABLE, LABELS).input_names_.tolist()
        )


def test_a_row_of_weight_zero_is_left_out_of_categories_and_indicators():
    frame, w = TABLE.copy(), np.ones(N)
    frame.loc[3, "plan"], frame.loc[4, "plan"], frame.loc[5, "rooms"] = "secret", None, None
    w[3:6] = 0.0
    kept = frame.drop(index=[3, 4, 5])
    for fit in (
        lambda X, y, w: quick(dtype="float64").fit(X, y, w),
        lambda X, y, w: quick(dtype="float64").partial_fit(X, y, w, classes=[0, 1, 2]),
    ):
        weighted, without = fit(frame, LABELS, w), fit(kept, LABELS[w > 0], None)
        assert weighted.input_names_.tolist() == without.input_names_.tolist()
        assert not any("secret" in name for name in weighted.input_names_)
        assert_allclose(weighted.predict_proba(frame), without.predict_proba(frame), rtol=1e-6)


# --- training in parts -------------------------------------------------------------------------------------


def test_a_partial_fit_keeps_the_categories_of_the_first():
    first, later = TABLE[:20], pd.concat([UNKNOWN] * 3, ignore_index=True)
    for max_categories in (None, 3):
        names, values = of_scikit_learn(first, later, CATEGORIES, max_categories)
        for continued in ("partial_fit", "fit"):
            model = quick(max_categories=max_categories, warm_start=True)
            if continued == "fit":
                model.fit(first, LABELS[:20])
                assert set(LABELS[:20]) == {0, 1, 2}
                model.fit(later, np.arange(24) % 3)
            else:
                model.partial_fit(first, LABELS[:20], classes=[0, 1, 2]).partial_fit(later, np.arange(24) % 3)
            assert model.input_names_.tolist() == [*NUMBERS, *names]
            assert_array_equal(dense(model.scaled_inputs(later))[:, 2:], values)
            model.set_params(warm_start=False).fit(later, np.arange(24) % 3)
            assert model.input_names_.tolist() != [*NUMBERS, *names]  # a new fit learns new ones


def test_statistics_of_later_parts_change_no_earlier_prediction_and_ignore_missing_numbers():
    rng = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame(
        {"a": rng.normal(size=n), "city": rng.choice(["x", "y", "z"], n), "b": rng.normal(size=n)}
    )
    frame = frame.mask(rng.random(frame.shape) < 0.2)
    y = np.arange(n) % 3
    model = still().partial_fit(frame[:200], y[:200], classes=[0, 1, 2])
    for start in (200, 400):
        part = frame[start : start + 200].assign(a=lambda f: f["a"] * 1.5 + 2.0)
        near = ((frame[["a", "b"]].abs() < 1.5) | frame[["a", "b"]].isna()).all(axis=1)
        before, center = model.decision_function(frame[near]), model.input_center_.copy()
        model.partial_fit(part, y[start : start + 200])
        assert abs(model.input_center_[0] - center[0]) > 0.05
        assert_allclose(model.decision_function(frame[near]), before, rtol=1e-9, atol=1e-9)
    # The statistics are those of the known numbers alone.
    for j, name in enumerate("ab"):
        parts = [
            frame[name][:200],
            *(frame[name][s : s + 200] * [1.5, 1.0][j] + [2.0, 0.0][j] for s in (200, 400)),
        ]
        alone = still()
        for start, part in zip((0, 200, 400), parts, strict=True):
            kept = part.notna().to_numpy()
            alone.partial_fit(part[kept].to_frame(), y[start : start + 200][kept], classes=[0, 1, 2])
        assert_allclose(model.input_center_[j], alone.input_center_[0], rtol=0.02, atol=0.02)
        assert_allclose(model.input_scale_[j], alone.input_scale_[0], rtol=0.03)


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, scipy.sparse.csr_array])
def test_a_number_that_is_known_only_in_later_parts_is_used_from_then_on(kind):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3))
    y = (rows[:, 1] > 0).astype(int)
    unknown = rows[:100].copy()
    unknown[:, 1] = np.nan
    model = learned().partial_fit(kind(unknown), y[:100], classes=[0, 1])
    assert model.input_scale_[1] == 0.0
    assert "missingindicator_x1" not in model.input_names_
    for _ in range(10):
        model.partial_fit(kind(rows), y)
    assert model.input_scale_[1] > 0.0
    assert model.score(kind(rows), y) > 0.9


def test_a_later_part_may_have_missing_entries_where_the_first_had_none():
    model = still().partial_fit(X[:40], Y[:40], classes=[0, 1, 2])
    other = still().partial_fit(X[:40], Y[:40], classes=[0, 1, 2])
    model.partial_fit(np.full((40, 4), np.nan), Y[:40])  # nothing is learned about the columns
    assert_allclose(model.input_center_, other.input_center_, rtol=1e-12)
    assert_allclose(model.input_scale_, other.input_scale_, rtol=1e-12)
    assert_allclose(model.decision_function(X), other.decision_function(X), rtol=1e-9, atol=1e-12)
    assert model.input_names_.tolist() == ["x0", "x1", "x2", "x3"]


def test_rows_of_missing_numbers_one_by_one_can_be_learned():
    model = quick(hidden_layer_sizes=8, learning_rate_init=0.02)
    for _ in range(3):
        for i in np.random.default_rng(0).permutation(80):
            model.partial_fit(GAPS[i : i + 1], Y[i : i + 1], classes=[0, 1, 2])
    assert np.isfinite(model.network_.theta).all()
    assert model.score(GAPS, Y) > 0.6


def test_a_validation_set_may_have_unknown_categories_and_missing_entries():
    kept = {"early_stopping": False, "max_categories": 3, "scoring": "loss", "calibrate": False}
    model = quick(**kept).fit(TABLE, LABELS, X_val=UNKNOWN, y_val=np.arange(8) % 3)
    assert model.input_names_.tolist() == quick(max_categories=3).fit(TABLE, LABELS).input_names_.tolist()
    z = model.predict_log_proba(UNKNOWN)
    best = -z[np.arange(8), np.arange(8) % 3].mean()
    assert min(model.validation_loss_curve_) == pytest.approx(best, rel=1e-5)


# --- wide encodings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_encodings_equal_the_dense_result_up_to_rounding(dtype):
    rng = np.random.default_rng(0)
    n = 1500
    ids = rng.integers(0, 500, n)
    frame = pd.DataFrame({"size": rng.normal(size=n), "id": [f"id {i}" for i in ids]})
    frame.loc[rng.random(n) < 0.1, "size"] = np.nan
    frame.loc[rng.random(n) < 0.1, "id"] = None
    y = np.where(rng.random(n) < 0.1, 0, ids % 3)
    settings = {"dtype": dtype, "early_stopping": False, "max_iter": 4}
    model = quick(max_categories=None, **settings).fit(frame, y)
    assert model.coefs_[0].shape[0] == len(model.input_names_) > 450
    names, values = of_scikit_learn(frame, frame, ["id"])
    inputs = dense(model.scaled_inputs(frame))
    assert model.input_names_.tolist() == ["size", *names]
    assert_array_equal(inputs[:, 1:], values)
    expected = quick(scale_inputs=False, **settings).fit(inputs, y)
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    assert_allclose(
        model.decision_function(frame), expected.decision_function(inputs), rtol=tolerance, atol=tolerance
    )
    for rows in (frame[:1], frame[:30], frame[::-1]):
        at = rows.index
        assert_allclose(model.predict_proba(rows), model.predict_proba(frame)[at], rtol=1e-5)


@pytest.mark.parametrize("last", ["constant", "missing"])
def test_a_last_column_without_inputs_stays_inside_wide_encodings(last):
    """An index beyond the columns of a CSR would read and write memory outside the weights."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 90, 400)
    frame = pd.DataFrame({"id": [f"id {i}" for i in ids], "other": [f"{i}" for i in rng.permutation(ids)]})
    y = ids % 2
    alone = quick().fit(frame, y)
    frame["last"] = "same" if last == "constant" else pd.Series([None] * 400, dtype=object)
    model = quick().fit(frame, y)
    assert model.input_names_.tolist() == alone.input_names_.tolist()
    encoding, X = model._fitted.encoding, read_features(model, frame)
    rows = encoding.rows(X, None, np.float32, stays_sparse=True)
    rows.X.check_format(full_check=True)
    assert_array_equal(dense(rows.X), encoding.rows(X, None, np.float32).X)
    assert_allclose(model.predict_proba(frame), alone.predict_proba(frame[["id", "other"]]), rtol=1e-5)


def peak_of(call):
    call()  # libraries import parts on first use
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("n_categories", "n_columns"), [(12, 8), (400, 2)], ids=["dense", "sparse"])
def test_a_fit_needs_no_more_than_one_encoded_float32_copy(n_categories, n_columns):
    rng = np.random.default_rng(0)
    n = 20_000
    frame = pd.DataFrame({f"number {i}": rng.normal(size=n) for i in range(4)})
    for j in range(n_columns):
        codes = rng.integers(0, n_categories, n)
        frame[f"text {j}"] = pd.Categorical.from_codes(codes, [f"c{i}" for i in range(n_categories)])
    y = np.arange(n) % 2
    model = quick(max_categories=None, max_iter=1, early_stopping=False, hidden_layer_sizes=4)
    peak = peak_of(lambda: model.fit(frame, y))
    width = len(model.input_names_)
    assert width == 4 + n_categories * n_columns
    # Dense rows, or the entries of CSR with their columns; beside them, one matrix of the table in float64.
    encoded = 4 * n * width if n_categories < 100 else 8 * n * (4 + n_columns) + 4 * n
    table = 8 * n * (4 + n_columns)
    assert peak < 1.25 * encoded + 2 * table + 2e6
    assert 1.25 * encoded + 2 * table + 2e6 < (2 * encoded + table if n_categories < 100 else 4 * n * width)


def test_predictions_need_memory_for_a_block_of_rows_only():
    rng = np.random.default_rng(0)
    kinds = [f"c{i}" for i in range(200)]

    def table(n):
        return pd.DataFrame(
            {"size": rng.normal(size=n), "kind": pd.Categorical.from_codes(rng.integers(0, 200, n), kinds)}
        )

    model = quick(max_categories=None, max_iter=1).fit(table(2000), np.arange(2000) % 2)
    rows = table(40_000)
    assert peak_of(lambda: model.predict_proba(rows)) < 40_000 * (8 * 2 * 4 + 8 * 2) + 2e6  # encoded: 32 MB
