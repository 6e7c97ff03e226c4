"""Columns of every kind and library: the same table gives the same model, and an error names its column."""

from decimal import Decimal
from enum import StrEnum
from importlib.util import find_spec

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn.base import clone

from tests.support.estimators import quick
from tests.support.odd_input import REFUSALS, frozen
from tests.support.tables import CATEGORIES, COLUMNS, LABELS, LIBRARIES, N, objects, take
from tinyclf import load

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:pandas.DataFrame with sparse columns"),  # scikit-learn's
]

names_the_cause = pytest.mark.promise("each call works or raises an error that names the cause")

TABLE = objects()
pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")


def same_bits(model, other, X, other_X):
    assert model.input_names_.tolist() == other.input_names_.tolist()
    assert model.network_.theta.tobytes() == other.network_.theta.tobytes()
    assert model.predict_proba(X).tobytes() == other.predict_proba(other_X).tobytes()


# --- the same table in every library -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    return quick().fit(TABLE, LABELS)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_table_gives_the_same_model_and_predictions_in_every_library(library, reference):
    table = LIBRARIES[library](COLUMNS)
    before = frozen(table)
    model = quick().fit(table, LABELS)
    assert frozen(table) == before
    assert model.feature_names_in_.tolist() == list(COLUMNS)
    assert model.n_features_in_ == len(COLUMNS)
    assert len(np.unique(model.predict_proba(table), axis=0)) > 50
    same_bits(model, reference, table, TABLE)
    for other in LIBRARIES.values():  # also a library that fit has not seen
        assert model.predict_proba(other(COLUMNS)).tobytes() == model.predict_proba(table).tobytes()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_row_is_predicted_alone_as_among_others(library, reference):
    """A column of a single row has a type of its own if its entry is missing."""
    expected = reference.decision_function(TABLE)
    table = LIBRARIES[library](COLUMNS)
    for i in range(14):  # in the first 14 rows, each kind of column is missing once
        made = LIBRARIES[library]({name: [values[i]] for name, values in COLUMNS.items()})
        for row in (take(table, [i]), made):
            np.testing.assert_allclose(reference.decision_function(row), expected[i : i + 1], rtol=1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_later_parts_and_validation_sets_may_come_from_any_library(library, reference):
    table = LIBRARIES[library](COLUMNS)
    parts = [quick().partial_fit(TABLE[:40], LABELS[:40], classes=[0, 1, 2]) for _ in range(2)]
    for model, rest in zip(parts, (TABLE[40:], take(table, list(range(40, N)))), strict=True):
        model.partial_fit(rest, LABELS[40:], X_val=rest, y_val=LABELS[40:])
    assert parts[0].validation_scores_ == parts[1].validation_scores_
    same_bits(*parts, table, TABLE)


def test_rows_of_a_list_or_an_array_of_objects_are_read_like_columns(reference):
    values = TABLE.to_numpy()
    chosen = [list(COLUMNS).index(name) for name in CATEGORIES]
    nan = TABLE.where(TABLE.notna(), np.nan).to_numpy().tolist()  # an array of these would be of strings
    for rows in (values, values.tolist(), list(map(tuple, values)), nan, pd.DataFrame(values)):
        model = quick(categorical_features=chosen).fit(rows, LABELS)
        assert model.network_.theta.tobytes() == reference.network_.theta.tobytes()
        assert model.predict_proba(rows).tobytes() == reference.predict_proba(TABLE).tobytes()
        assert model.input_names_[:3].tolist() == ["x0", "x2", "missingindicator_x0"]
        assert model.input_names_[-1] == "x5_True"
        assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize(
    "missing", [np.float32("nan"), np.float64("nan"), Decimal("nan"), pd.NA, float("nan")]
)
def test_nan_of_any_type_is_missing_in_an_array_of_objects(missing):
    rows = np.array([[1.5, "a", 7], [2.5, None, None], [None, "b", 9], [4.0, "a", 8]] * 6, dtype=object)
    other = np.where(rows == None, missing, rows)  # noqa: E711
    labels = np.arange(24) % 3
    models = [quick(categorical_features=[1, 2]).fit(X, labels) for X in (rows, other)]
    assert models[0].input_names_.tolist()[:4] == ["x0", *(f"missingindicator_x{j}" for j in range(3))]
    same_bits(*models, rows, other)


@pytest.mark.parametrize(
    "kind",
    [
        lambda rows: rows.astype(str),
        lambda rows: rows.astype(np.dtypes.StringDType()),
        lambda rows: rows.astype(np.dtypes.StringDType(na_object=np.nan)),
        lambda rows: list(rows.astype(str)),
    ],
    ids=["str", "StringDType", "StringDType with nan", "list"],
)
def test_arrays_of_texts_are_categories_where_they_are_chosen(kind):
    rows = np.array([["a", "1.5"], ["b", "2"], ["c", "-3e1"], ["a", "2"]] * 6, dtype=object)
    labels = np.arange(24) % 3
    numbers = rows.copy()
    numbers[:, 1] = rows[:, 1].astype(float)
    expected = quick(categorical_features=[0]).fit(numbers, labels)
    model = quick(categorical_features=[0]).fit(kind(rows), labels)
    same_bits(model, expected, kind(rows), numbers)
    both = quick(categorical_features=[0, 1]).fit(kind(rows), labels)
    names = ["x0_a", "x0_b", "x0_c", "x1_-3e1", "x1_1.5", "x1_2"]
    assert both.input_names_.tolist() == names
    assert both.predict_proba(kind(rows)).tobytes() == both.predict_proba(rows).tobytes()


# --- the same column in every type -------------------------------------------------------------------------

TEXTS = {
    "object": lambda c: pd.Series(c, dtype=object),
    "object, nan": lambda c: pd.Series([np.nan if x is None else x for x in c], dtype=object),
    "object, NA": lambda c: pd.Series([pd.NA if x is None else x for x in c], dtype=object),
    "NumPy's strings": lambda c: pd.Series([x if x is None else np.str_(x) for x in c], dtype=object),
    "str": lambda c: pd.Series(c, dtype="str"),
    "string[python]": lambda c: pd.Series(c, dtype="string[python]"),
    "category": lambda c: pd.Series(c, dtype="category"),
    "category, unused and ordered": lambda c: pd.Series(
        c, dtype=pd.CategoricalDtype(["unused", *sorted({*c} - {None})[::-1]], ordered=True)
    ),
    "category of string": lambda c: pd.Series(c, dtype="string[python]").astype("category"),
    "polars": pl.Series,
    "polars, categories": lambda c: pl.Series(c, dtype=pl.Categorical),
    "polars, enum": lambda c: pl.Series(c, dtype=pl.Enum(["unused", *sorted({*c} - {None})[::-1]])),
    "polars, objects": lambda c: pl.Series(c, dtype=pl.Object),
    "string[pyarrow]": lambda c: pd.Series(c, dtype="string[pyarrow]"),
    "pyarrow's string": lambda c: pd.Series(c, dtype="string[pyarrow]").convert_dtypes(
        dtype_backend="pyarrow"
    ),
}
NUMBERS = {
    "object": lambda c: pd.Series(c, dtype=object),
    "object, NA": lambda c: pd.Series([pd.NA if x is None else x for x in c], dtype=object),
    "object, nan": lambda c: pd.Series([np.nan if x is None else x for x in c], dtype=object),
    "decimals": lambda c: pd.Series([x if x is None else Decimal(x) for x in c], dtype=object),
    "float64": lambda c: pd.Series(c, dtype="float64"),
    "big-endian": lambda c: pd.Series(np.array(c, ">f8")),
    "Float64": lambda c: pd.Series(c, dtype="Float64"),
    "Int64": lambda c: pd.Series(c, dtype="Int64"),
    "Int8": lambda c: pd.Series(c, dtype="Int8"),
    "sparse": lambda c: pd.Series(pd.arrays.SparseArray(np.array(c, float))),
    "polars": pl.Series,
    "polars, nan": lambda c: pl.Series([np.nan if x is None else float(x) for x in c]),
    "polars, float": lambda c: pl.Series(c, dtype=pl.Float64),
    "polars, unsigned": lambda c: pl.Series(c, dtype=pl.UInt16),
    "polars, decimal": lambda c: pl.Series(c, dtype=pl.Float64).cast(pl.Decimal(10, 2)),
    "int64[pyarrow]": lambda c: pd.Series(c, dtype="int64[pyarrow]"),
    "double[pyarrow]": lambda c: pd.Series(c, dtype="double[pyarrow]"),
    "pyarrow's decimal": lambda c: pd.Series([x if x is None else Decimal(x) for x in c]).convert_dtypes(
        dtype_backend="pyarrow"
    ),
}
BOOLEANS = {
    "object": lambda c: pd.Series(c, dtype=object),
    "object, NA": lambda c: pd.Series([pd.NA if x is None else x for x in c], dtype=object),
    "NumPy's booleans": lambda c: pd.Series([x if x is None else np.bool_(x) for x in c], dtype=object),
    "boolean": lambda c: pd.Series(c, dtype="boolean"),
    "category": lambda c: pd.Series(c, dtype=object).astype("category"),
    "polars": pl.Series,
    "bool[pyarrow]": lambda c: pd.Series(c, dtype="bool[pyarrow]"),
}
ENTRIES = {
    "texts": (["b", None, "a", "b", "", "nan", None, "Ünï", "a", "b"] * 3, TEXTS),
    "numbers": ([4, None, 2, 3, 3, None, 7, 1, 4, 100] * 3, NUMBERS),
    "booleans": ([True, None, False, True, True, None, True, False, False, True] * 3, BOOLEANS),
    "booleans, none missing": ([True, False, False, True, True] * 6, {**BOOLEANS, "bool": pd.Series}),
}


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        pytest.param(entries, kind, marks=pyarrow if "pyarrow" in kind else [])
        for entries, (_, kinds) in ENTRIES.items()
        for kind in kinds
        if kind != "object"
    ],
)
def test_a_column_gives_the_same_model_in_every_type(entries, kind):
    values, kinds = ENTRIES[entries]
    size, labels = np.linspace(-1, 1, 30), np.arange(30) % 3
    known = [i for i, value in enumerate(values) if value is not None]

    def table_of(kind, rows=range(30)):
        column = kinds[kind]([values[i] for i in rows])
        library = pl if isinstance(column, pl.Series) else pd
        return library.DataFrame({"size": size[[*rows]], "kind": column})

    tables = {name: table_of(name) for name in ("object", kind)}
    models = {name: quick().fit(table, labels) for name, table in tables.items()}
    same_bits(models["object"], models[kind], tables["object"], tables[kind])
    for model in models.values():  # the type may change between fit and predict
        for name, table in tables.items():
            expected = model.predict_proba(table)
            np.testing.assert_array_equal(expected, models["object"].predict_proba(tables["object"]))
            # A column without missing entries may have another type.
            found = model.predict_proba(table_of(name, known))
            np.testing.assert_allclose(found, expected[known], rtol=1e-5)


def test_a_text_that_reads_like_a_missing_entry_or_a_number_is_a_category():
    values = ["nan", "None", "", "NA", "1", "1.0", None] * 3
    model = quick().fit(pd.DataFrame({"kind": values}), np.arange(21) % 3)
    assert model.input_names_.tolist() == [
        "missingindicator_kind",
        *(f"kind_{text}" for text in ("", "1", "1.0", "NA", "None", "nan")),
    ]
    rows = model.scaled_inputs(pd.DataFrame({"kind": values[:7]}))
    assert np.linalg.matrix_rank(rows) >= 6
    assert len(np.unique(rows, axis=0)) == 7


def test_members_of_an_enum_of_strings_are_the_categories_of_their_values(tmp_path):
    class Color(StrEnum):
        RED = "red"
        BLUE = "blue"

    texts = ["red", "green", None, "blue"] * 6
    members = [Color(text) if text in {"red", "blue"} else text for text in texts]
    frames = [pd.DataFrame({"color": pd.Series(column, dtype=object)}) for column in (texts, members)]
    models = [quick().fit(frame, np.arange(24) % 3) for frame in frames]
    same_bits(*models, *frames)
    same_bits(*models, *frames[::-1])
    models[1].save(tmp_path / "model")
    same_bits(models[0], load(tmp_path / "model"), *frames)


@pytest.mark.parametrize("library", [pd, pl])
def test_all_columns_of_an_empty_type_work(library):
    """Columns without any known entry are allowed in fit and in prediction."""
    size, labels = np.linspace(-1, 1, 30), np.arange(30) % 3
    empty = {
        "numbers": library.Series([np.nan] * 30)
        if library is pd
        else pl.Series([None] * 30, dtype=pl.Float64),
        "texts": pd.Series([None] * 30, dtype="str")
        if library is pd
        else pl.Series([None] * 30, dtype=pl.String),
        "objects": pd.Series([None] * 30, dtype=object) if library is pd else pl.Series([None] * 30),
    }
    alone = quick().fit(library.DataFrame({"size": size}), labels)
    for name, column in empty.items():
        table = library.DataFrame({"size": size, name: column})
        model = quick().fit(table, labels)
        assert np.isfinite(model.predict_proba(table)).all()
        scaled = model.scaled_inputs(table)
        np.testing.assert_array_equal(
            scaled[:, 0], alone.scaled_inputs(library.DataFrame({"size": size}))[:, 0]
        )
        assert (scaled[:, 1:] == scaled[:1, 1:]).all()  # nothing is known about this column
        later = library.DataFrame({"size": size, name: [1.5] * 30 if name == "numbers" else ["a"] * 30})
        assert np.isfinite(model.predict_proba(later)).all()


# --- which columns are categories --------------------------------------------------------------------------


def test_columns_of_texts_categories_and_booleans_are_categories_in_frames_only():
    frame = pd.DataFrame(
        {
            "text": ["a", "b", "a"] * 10,
            "category of numbers": pd.Series([3, 1, 2] * 10, dtype="category"),
            "truth": [True, False, False] * 10,
            "whole": [1, 2, 3] * 10,
            "numbers as objects": pd.Series([1, 2.5, 3] * 10, dtype=object),
        }
    )
    labels = np.arange(30) % 3
    model = quick().fit(frame, labels)
    assert model.input_names_.dtype == object
    assert model.input_names_.tolist() == [
        *("whole", "numbers as objects", "text_a", "text_b"),
        *(f"category of numbers_{i}" for i in (1, 2, 3)),
        *("truth_False", "truth_True"),
    ]
    numbers = frame[["category of numbers", "truth", "whole"]]
    for rows in (numbers.to_numpy(), numbers.to_numpy().tolist(), numbers.to_numpy(float)):
        assert quick().fit(rows, labels).input_names_.tolist() == ["x0", "x1", "x2"]
    none = quick(categorical_features=None).fit(numbers, labels)
    assert none.input_names_.tolist() == list(numbers)


CHOICES = {
    "names": ["zone", "city"],
    "a tuple of names": ("city", "zone"),
    "an array of names": np.array(["zone", "city"], object),
    "NumPy's names": np.array(["zone", "city"]),
    "indices": [2, 0],
    "an array of indices": np.array([0, 2], np.uint8),
    "a mask": [True, False, True],
    "an array of bool": np.array([True, False, True]),
    "a series": pd.Series([True, False, True]),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_chosen_columns_are_categories_whatever_their_type(choice):
    labels = np.arange(30) % 3
    frame = pd.DataFrame(
        {"city": ["a", "b", "c"] * 10, "size": np.linspace(0, 1, 30), "zone": [30, 7, 7, 100, 12] * 6}
    )
    given = CHOICES[choice]
    before = frozen(given)
    model = quick(categorical_features=given).fit(frame, labels)
    assert frozen(given) == before
    zones = [f"zone_{i}" for i in (7, 12, 30, 100)]
    assert model.input_names_.tolist() == ["size", "city_a", "city_b", "city_c", *zones]
    expected = quick().fit(frame.astype({"zone": "category"}), labels)
    same_bits(model, expected, frame, frame)
    again = clone(model).fit(pl.DataFrame(frame.to_dict("list")), labels)
    same_bits(again, model, frame, frame)


def test_numbers_are_the_same_category_in_any_type_of_array():
    rng = np.random.default_rng(0)
    rows, labels = np.column_stack([rng.integers(-2, 3, 60), rng.integers(0, 99, 60)]), np.arange(60) % 3
    models = [
        quick(categorical_features=[0]).fit(kind(rows), labels)
        for kind in (np.asarray, np.float64, np.int8, list, np.asfortranarray, lambda X: X.astype(object))
    ]
    for model in models:
        assert model.network_.theta.tobytes() == models[0].network_.theta.tobytes()
        assert len(model.input_names_) == 6
        for kind in (np.asarray, np.float64, list):
            np.testing.assert_array_equal(model.predict_proba(kind(rows)), models[0].predict_proba(rows))


def test_large_numbers_that_differ_are_different_categories():
    ids = [2**53, 2**53 + 1, 2**62, 2**62 + 1] * 5
    gaps = [2**53, 2**53 + 1, 2**62, None] * 5
    columns = [ids, gaps, pd.Series(gaps, dtype="Int64"), pd.Categorical(pd.Series(gaps, dtype=object))]
    for column in (*columns, pl.Series(ids), pl.Series(ids).cast(pl.UInt64), pl.Series(gaps)):
        library = pl if isinstance(column, pl.Series) else pd
        frame = library.DataFrame({"id": column, "size": np.linspace(0, 1, 20)})
        if column is gaps:
            frame["id"] = pd.Series(gaps, dtype=object)
        model = quick(categorical_features=["id"]).fit(frame, np.arange(20) % 4)
        assert {f"id_{2**53}", f"id_{2**53 + 1}", f"id_{2**62}"} < {*model.input_names_}
        assert len(np.unique(model.scaled_inputs(frame)[:4, 1:], axis=0)) == 4


@names_the_cause
@pytest.mark.parametrize(
    ("choice", "match"),
    [
        ("all", "'all'"),
        ("city", "'city'"),
        (["city", "town"], "town"),
        ([0, 3], "3"),
        ([-4], "-4"),
        ([True, False], r"categorical_features.*\b2\b|categorical_features.*\b3\b"),
        ([True, False, True, False], r"\b4\b|\b3\b"),
        ([0, "city"], "categorical_features"),
        ([0.5], "0.5"),
        ([[0, 1]], "categorical_features"),
        ([None], "None"),
        (3.0, "3.0"),
        ({"city": 1}, "city"),
    ],
    ids=str,
)
def test_an_invalid_choice_of_categories_is_refused(choice, match):
    frame = pd.DataFrame({"city": ["a", "b"] * 5, "size": range(10), "zone": range(10)})
    with pytest.raises(REFUSALS, match=rf"(?s)(?=.*categorical_features)(?=.*({match}))"):
        quick(categorical_features=choice).fit(frame, np.arange(10) % 2)


@names_the_cause
def test_sparse_rows_have_no_categories():
    rows, labels = np.arange(20.0).reshape(10, 2) % 4, np.arange(10) % 2
    model = quick(categorical_features=[0])
    with pytest.raises(TypeError, match="sparse X cannot have categorical_features; pass an array"):
        model.fit(scipy.sparse.csr_array(rows), labels)
    with pytest.raises(TypeError, match="X is sparse, but .* categories in fit; pass an array"):
        model.fit(rows, labels).predict(scipy.sparse.csr_array(rows))


@names_the_cause
def test_names_of_categories_need_a_frame_with_names():
    rows = np.arange(20).reshape(10, 2) % 4
    for given in (rows, pd.DataFrame(rows), rows.tolist()):
        with pytest.raises(ValueError, match=r"(?s)(?=.*categorical_features)(?=.*name)"):
            quick(categorical_features=["a"]).fit(given, np.arange(10) % 2)


@names_the_cause
@pytest.mark.parametrize("value", [0, 1, -3, True, 2.0, "auto", [3]])
def test_an_invalid_number_of_categories_is_refused(value):
    with pytest.raises(ValueError, match=r"'max_categories' parameter .*Got "):
        quick(max_categories=value).fit(TABLE, LABELS)


# --- what is refused, by the name of the column ------------------------------------------------------------


def other(entry, dtype=object):
    """A column of texts in which one entry is of another kind."""
    column = ["a", "b", "a"] * 10
    column[7] = entry
    return pd.Series(column, dtype=dtype)


DAYS = pd.date_range("2024-02-27", periods=30)
UNREADABLE = {
    "days": (pd.Series(DAYS), "date"),
    "days with a zone": (pd.Series(DAYS.tz_localize("UTC")), "date"),
    "missing days": (pd.Series([pd.NaT] * 30), "date"),
    "durations": (pd.Series(DAYS - DAYS[0]), "timedelta|duration|date"),
    "periods": (pd.Series(DAYS.to_period("M")), "period"),
    "intervals": (pd.Series(pd.interval_range(0, 30)), "interval"),
    "days as objects": (pd.Series([day.date() for day in DAYS], dtype=object), "date"),
    "Timestamps as objects": (pd.Series(list(DAYS), dtype=object), "Timestamp|date"),
    "NumPy's days as objects": (pd.Series(list(DAYS.to_numpy()), dtype=object), "date"),
    "NumPy's durations as objects": (
        pd.Series([np.timedelta64(i, "D") for i in range(30)], dtype=object),
        "delta",
    ),
    "category of days": (pd.Series(DAYS).astype("category"), "date|Timestamp"),
    "category of intervals": (pd.cut(pd.Series(range(30)), 3), "interval|Interval"),
    "complex": (pd.Series([1j] * 30), "complex"),
    "bytes": (other(b"a"), "bytes|b'a'"),
    "only bytes": (pd.Series([b"a", b"b"] * 15, dtype=object), "bytes|b'a'"),
    "lists": (other([1, 2]), "list"),
    "tuples": (other((1, 2)), "tuple"),
    "dicts": (other({"a": 1}), "dict"),
    "objects": (other(object()), "object"),
    "texts and a number": (other(3), "int|float|3"),
    "texts and a boolean": (other(True), "bool"),
    "booleans and a number": (pd.Series([True, False, 2] * 10, dtype=object), "int|bool|2"),
    "numbers and a text": (pd.Series([1, 2.5, "many"] * 10, dtype=object), "many|str"),
    "polars: days": (pl.Series(list(DAYS)).cast(pl.Date), "[Dd]ate"),
    "polars: moments": (pl.Series(list(DAYS)), "[Dd]ate"),
    "polars: durations": (pl.Series(list(DAYS)) - DAYS[0], "[Dd]uration|date"),
    "polars: times": (pl.Series(list(DAYS)).cast(pl.Time), "[Tt]ime|date"),
    "polars: lists": (pl.Series([[1, 2]] * 30), "List"),
    "polars: structs": (pl.Series([{"a": 1}] * 30), "Struct"),
    "polars: bytes": (pl.Series([b"a"] * 30), "[Bb]inary|b'a'|bytes"),
}
BUILT = {"size": np.linspace(-1, 1, 30), "kind": ["a", "b", "a"] * 10}


def with_column(column, name):
    library = pl if isinstance(column, pl.Series) else pd
    return library.DataFrame({"size": BUILT["size"], name: column})


@names_the_cause
@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_column_is_refused_by_its_name_and_kind(kind):
    column, match = UNREADABLE[kind]
    table, labels = with_column(column, "when"), np.arange(30) % 3
    message = rf"(?s)(?=.*\bX\b)(?=.*'when')(?=.*({match}))"
    for model in (quick(), quick(categorical_features=["when"])):
        with pytest.raises(REFUSALS, match=message):
            model.fit(table, labels)
        assert not hasattr(model, "network_")
    if kind != "booleans and a number":  # these are numbers, too
        with pytest.raises(REFUSALS, match=r"(?s)(?=.*\bX\b)(?=.*'when')"):
            quick(categorical_features=None).fit(table, labels)
    fitted = quick().fit(with_column(pd.Series(BUILT["kind"]), "when"), labels)
    for call in (
        fitted.predict_proba,
        lambda X: fitted.partial_fit(X, labels),
        lambda X: quick().fit(with_column(pd.Series(BUILT["kind"]), "when"), labels, X_val=X, y_val=labels),
    ):
        with pytest.raises(REFUSALS, match=r"(?s)(?=.*\bX)(?=.*'when')"):
            call(table)


@names_the_cause
@pytest.mark.parametrize("library", [pd, pl])
def test_a_column_of_another_kind_than_in_fit_is_refused_by_name(library):
    labels = np.arange(30) % 3
    known = library.DataFrame({**BUILT, "truth": [True, False, True] * 10})
    model = quick().fit(known, labels)
    before = model.predict_proba(known)
    changes = {
        "size": [["a"] * 30, [None, "1", "a"] * 10],
        "kind": [list(range(30)), [0.5] * 30, [True] * 30],
        "truth": [["True"] * 30, ["a", "b", "c"] * 10, [0.5] * 30],
    }
    for name, values in changes.items():
        for value in values:
            changed = library.DataFrame({**BUILT, "truth": [True, False, True] * 10, name: value})
            for call in (
                model.predict,
                lambda X: model.partial_fit(X, labels),
                lambda X: quick().fit(known, labels, X_val=X, y_val=labels),
                lambda X: clone(model).set_params(warm_start=True).fit(known, labels).fit(X, labels),
            ):
                with pytest.raises(REFUSALS, match=rf"(?s)(?=.*\bX)(?=.*'{name}')(?=.*\bfit)"):
                    call(changed)
    assert model.predict_proba(known).tobytes() == before.tobytes()


@names_the_cause
def test_a_column_without_a_name_is_named_by_its_number():
    rows = np.array([["a", 1.0], ["b", 2.0], ["c", 3.0]] * 10, dtype=object)
    rows[3, 1] = "many"
    for given in (rows, rows.tolist(), pd.DataFrame(rows.tolist())):
        with pytest.raises(REFUSALS, match=r"(?s)(?=.*\bX\b)(?=.*column 1)(?=.*many)"):
            quick(categorical_features=[0]).fit(given, np.arange(30) % 3)


@names_the_cause
def test_texts_in_a_column_that_is_no_category_are_refused_with_the_fix():
    rows = np.array([["a", 1.0], ["b", 2.0], ["c", 3.0]] * 10, dtype=object)
    for given in (rows, rows.tolist(), rows.astype(str)):
        with pytest.raises(ValueError, match=r"(?s)(?=.*\bX\b)(?=.*'a')(?=.*categorical_features)"):
            quick().fit(given, np.arange(30) % 3)
    with pytest.raises(ValueError, match=r"(?s)(?=.*'city')(?=.*categorical_features)"):
        quick(categorical_features=None).fit(TABLE, LABELS)


@names_the_cause
def test_a_number_without_bounds_is_refused_by_the_name_of_its_column():
    for entries in ([1.0, np.inf] * 15, [10**400, 1] * 15):
        table = pd.DataFrame({"size": BUILT["size"], "kind": pd.Series(entries, dtype=object)})
        for chosen in (["kind"], *(["from_dtype"] if entries[0] == 10**400 else [])):
            with pytest.raises(ValueError, match=r"(?s)(?=.*\bX\b)(?=.*'kind')"):
                quick(categorical_features=chosen).fit(table, np.arange(30) % 3)


@names_the_cause
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_numbers_stay_an_error_among_missing_ones(value):
    table = TABLE.astype({"age": float})
    table.loc[5, "age"] = value
    for call in (
        lambda X: quick().fit(X, LABELS),
        lambda X: quick().fit(TABLE, LABELS).predict(X),
        lambda X: quick().fit(TABLE, LABELS, X_val=X, y_val=LABELS),
    ):
        with pytest.raises(ValueError, match=r"inf at row 5, column 0"):
            call(table)


@names_the_cause
def test_an_error_about_a_number_names_its_column_beside_categories():
    frame = pd.DataFrame({"kind": ["a", "b"] * 20, "other": ["c", "d"] * 20, "size": np.arange(40.0)})
    labels, alternating = np.arange(40) % 2, np.where(np.arange(40) % 2, 1e308, -1e308)
    for size in (np.where(np.arange(40) == 5, np.inf, frame["size"]), alternating):
        for call in (quick().fit, lambda X, y: quick().partial_fit(X, y, classes=[0, 1])):
            with pytest.raises(ValueError, match="column 2,"):
                call(frame.assign(size=size), labels)
    plain = {"scale_inputs": False, "calibrate": False, "refit": False, "early_stopping": False}
    model = quick(**plain).partial_fit(frame, labels, classes=[0, 1])
    with pytest.raises(ValueError, match="column 2 of X has changed too much"):
        model.set_params(scale_inputs=True).partial_fit(frame.assign(size=frame["size"] * 1e300), labels)


@names_the_cause
@pytest.mark.parametrize("kind", [">M8[ns]", "<M8[D]", ">m8[s]", "<m8[us]"])
def test_dates_in_an_array_are_refused_in_each_byte_order(kind):
    with pytest.raises(TypeError, match="X must hold numbers and categories, got dates"):
        quick().fit(np.arange(60).reshape(30, 2).astype(kind), np.arange(30) % 3)
