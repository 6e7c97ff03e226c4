"""Targets: labels of any kind are encoded, and logits are decoded to labels."""

import datetime
import functools
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import scipy.special
from matplotlib.figure import Figure
from sklearn.datasets import make_multilabel_classification
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from tests.support.data import NAMES, SCALED, SPECIES
from tests.support.doubles import ArrayOnly
from tests.support.estimators import learned, plain, quick
from tinyclf import ConfidenceDisplay, SigmoidCrossEntropy, SoftmaxCrossEntropy, load
from tinyclf.estimator.targets import (
    Labels,
    LabelSets,
    Probabilities,
    as_labels,
    check_sums,
    encode_known,
    kind_of_targets,
    labels_in_part,
    merged_labels,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def decoded(labels, z):
    return labels.named(labels.codes(z))


def encode(y):
    labels = Labels.of(y)
    return labels.classes, labels.encode(y)


KINDS = [
    np.array(["b", "a", "b"]),
    np.array(["b", "a", "b"], dtype=object),
    np.array([7, -1, 7]),
    np.array([True, False, True]),
    np.array([2.0, 1.0, 2.0]),
]

LETTERS = np.array(["b", "a", "a", "b"])
COLUMNS = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]])
P = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
WEIGHT = np.array([1.0, 2.0, 0.0, 5.0])
Z = np.array([[0.5, -0.5, 0.0], [0.0, 9.0, -9.0], [-1.0, -1.0, -2.0], [-3.0, 0.5, 0.5]])


@pytest.mark.parametrize("y", KINDS, ids=lambda y: y.dtype.name)
def test_labels_are_encoded_as_indices_of_sorted_classes(y):
    classes, codes = encode(y)
    assert codes.tolist() == [1, 0, 1]
    assert classes.tolist() == sorted(set(y.tolist()))
    assert encode_known(y[:1], classes).tolist() == [1]


@pytest.mark.parametrize("y", KINDS, ids=lambda y: y.dtype.name)
def test_the_error_names_unknown_labels(y):
    classes, _ = encode(y[:1])
    with pytest.raises(ValueError, match="not among the classes") as error:
        encode_known(y, classes)
    assert repr(y.tolist()[1]) in str(error.value)


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "uint64"])
@pytest.mark.parametrize("classes", [[0, 3, 9], [3, 9, 90], [0, 127], [5]], ids=str)
def test_an_unknown_integer_is_found_wherever_it_would_be_sorted(classes, dtype):
    classes = np.array(classes, dtype)
    y = classes[[-1, 0, -1, 0, 0]]
    assert classes[encode_known(y, classes)].tolist() == y.tolist()
    for unknown in {0, 1, 4, 10, 89, 91, 126} - {*classes.tolist()}:
        with pytest.raises(ValueError, match=rf"not among the classes: \[{unknown}\]"):
            encode_known(np.array([classes[0], unknown, classes[-1]], dtype), classes)


@pytest.mark.parametrize("classes", [[-(2**63), 2**63 - 1], [-1, 2**16], [-5, 2**16 - 6]], ids=str)
def test_integers_that_are_far_apart_are_encoded(classes):
    classes = np.array(classes)
    assert encode_known(classes[[1, 0, 1]], classes).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"not among the classes: \[7\]"):
        encode_known(np.array([classes[0], 7]), classes)


def test_classes_of_numbers_in_an_object_array_have_a_numeric_dtype():
    for y in (np.array([7, -1, 7], object), np.array([True, False, True], object)):
        classes, codes = encode(y)
        assert classes.dtype != object
        assert codes.tolist() == [1, 0, 1]


WORDS, ONES = ["a", "b", "a", "b", "a", "b", "a", "b"], [0, 1, 0, 1, 0, 1, 0, 1]
DAYS = np.array(["2020-01-01", "2021-01-01"], "M8[D]")[ONES]
FLAGS = [one == 1 for one in ONES]


def with_label(labels, label):
    """A list of these labels, in which row 3 has another one."""
    return [*labels[:3], label, *labels[4:]]


def in_objects(labels):
    """An array of objects; `np.array` would convert a masked label."""
    array = np.empty(len(labels), object)
    for i, label in enumerate(labels):
        array[i] = label
    return array


MISSING = {
    "words, nan": with_label(WORDS, np.nan),
    "words, None": with_label(WORDS, None),
    "words, NA": with_label(WORDS, pd.NA),
    "words, NaT": with_label(WORDS, np.datetime64("NaT", "ns")),
    "tuple of words": tuple(with_label(WORDS, np.nan)),
    "column of words": [[label] for label in with_label(WORDS, np.nan)],
    "words in objects": np.array(with_label(WORDS, np.nan), object),
    "masked in objects": in_objects(with_label(ONES, np.ma.masked)),
    "NA in objects": np.array(with_label(WORDS, pd.NA), object),
    "variable-width words": np.array(with_label(WORDS, np.nan), np.dtypes.StringDType(na_object=np.nan)),
    "numbers": with_label(ONES, np.nan),
    "numbers, NA": with_label(ONES, pd.NA),
    "numbers in objects": np.array(with_label(ONES, None), object),
    "float32": np.array(with_label(ONES, np.nan), np.float32),
    "dates": np.array(with_label(list(DAYS), "NaT"), "M8[D]"),
    "durations": np.array(with_label(ONES, "NaT"), "m8[s]"),
    "times in objects": np.array(with_label([pd.Timestamp(day) for day in DAYS], pd.NaT), object),
    "pandas str": pd.Series(with_label(WORDS, None)),
    "pandas string": pd.Series(with_label(WORDS, None), dtype="string"),
    "pandas category": pd.Series(with_label(WORDS, None)).astype("category"),
    "pandas category of numbers": pd.Series(with_label(ONES, None)).astype("category"),
    "pandas Int64": pd.Series(with_label(ONES, None), dtype="Int64"),
    "pandas boolean": pd.Series(with_label(FLAGS, None), dtype="boolean"),
    "pandas times": pd.Series(with_label([pd.Timestamp(day) for day in DAYS], None)),
    "pandas zones": pd.Series(with_label([pd.Timestamp(day, tz="UTC") for day in DAYS], None)),
    "pandas frame": pd.DataFrame({"y": with_label(WORDS, None)}),
    "polars words": pl.Series(with_label(WORDS, None)),
    "polars category": pl.Series(with_label(WORDS, None), dtype=pl.Categorical),
    "polars numbers": pl.Series(with_label(ONES, None)),
    "polars booleans": pl.Series(with_label(FLAGS, None)),
    "polars dates": pl.Series(with_label([day.item() for day in DAYS], None)),
    "another container": ArrayOnly(np.array(with_label(ONES, np.nan))),
}


@pytest.mark.promise("each call works or raises an error that names the cause")
@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_label_is_never_a_class_and_its_row_is_named(kind):
    y, X = MISSING[kind], SCALED[:8]
    usual = [label for i, label in enumerate(np.ravel(np.asarray(y)).tolist()) if i != 3][:2] * 4
    usual = np.array(usual) if kind not in ("dates", "durations") else np.delete(y, 3)[ONES]
    model = quick()
    refused = pytest.raises(
        ValueError, match=r"y has a missing label, (nan|None|<NA>|NaT|masked), at row 3; label it"
    )
    with refused:
        model.fit(X, y)
    with refused:
        model.partial_fit(X, y, classes=np.unique(usual))
    assert not hasattr(model, "classes_")
    if usual.dtype != object:  # objects that are no strings are no labels of scikit-learn's
        model.fit(X, usual)
        with refused:
            model.fit(X, usual, X_val=X, y_val=y)
        with refused:
            model.score(X, y)
    with pytest.raises(
        ValueError, match="classes (has a missing label, .* at row 3|must be .* none of them NaN)"
    ):
        model.partial_fit(X, usual, classes=y)


def test_missing_entries_of_columns_are_named():
    X, y = SCALED[:8], np.eye(2)[ONES]
    y[3, 1] = np.nan
    for sets in (y, y.tolist(), pd.DataFrame(y), scipy.sparse.csr_array(y), scipy.sparse.coo_array(y)):
        with pytest.raises(ValueError, match="^y has a missing label, nan, at row 3"):
            quick().fit(X, sets)
        with pytest.raises(ValueError, match="^y has a missing label, nan, at row 3"):
            quick().fit(X, np.eye(2)[ONES]).score(X, sets)
    with pytest.raises(ValueError, match="probabilities must be from 0 to 1, got nan at row 3, column 1"):
        quick(soft_targets=True).fit(X, y)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_infinite_labels_are_refused(infinite):
    for y in (with_label(ONES, infinite), np.array(with_label(ONES, infinite), object)):
        with pytest.raises(ValueError, match=f"^y must hold finite labels, got {infinite} at row 3$"):
            quick().fit(SCALED[:8], y)


@pytest.mark.parametrize(
    "make", [list, tuple, lambda y: np.array(y, object), lambda y: pd.Series(y, dtype=object)]
)
def test_integers_that_no_type_holds_together_never_become_one_class(make):
    X = SCALED[:8]
    for pair in ([2**63 + 1, -1], [2**64, 0], [2**70, 1], [-(2**63) - 1, 0], [2**53 + 1, 0.5]):
        y = make([pair[one] for one in ONES])
        for call in (quick().fit, lambda X, y: quick().partial_fit(X, y, classes=[0, 1])):
            with pytest.raises(
                ValueError, match=f"^y has labels from .*{pair[0]}.*no numeric type .*strings"
            ):
                call(X, y)
        with pytest.raises(ValueError, match="^classes has labels from"):
            quick().partial_fit(X, ONES, classes=make(pair))
    near = [2**63, 2**63 + 1]
    classes = quick().fit(X, make([near[one] for one in ONES])).classes_
    assert classes.tolist() == near
    assert classes.dtype == np.uint64
    model = quick().partial_fit(X, make([near[one] for one in ONES]), classes=[*near, 1])
    assert model.classes_.tolist() == [1, *near]


def test_a_list_of_words_and_numbers_is_mixed():
    for y, kinds in (
        (with_label(WORDS, 1), "'int', 'str'"),
        (with_label([b"a", b"b"] * 4, "c"), "'bytes', 'str'"),
    ):
        with pytest.raises(
            ValueError, match=rf"^y has labels of types that do not sort together, \[{kinds}\]"
        ):
            quick().fit(SCALED[:8], y)
    assert as_labels([1, 2.5]).tolist() == [1.0, 2.5]
    assert as_labels(["a", np.str_("b")]).tolist() == ["a", "b"]


def test_labels_of_variable_width_are_words():
    y = np.array(WORDS, np.dtypes.StringDType())
    assert quick().fit(SCALED[:8], y).classes_.tolist() == ["a", "b"]


def test_huge_labels_give_no_warning_of_numpy():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        quick().fit(SCALED[:8], np.array(with_label(ONES, 1e300)))


def test_sparse_columns_of_other_numbers_than_0_and_1_are_refused_as_such():
    for y, found in ((2 * COLUMNS, "0 2"), (COLUMNS * [1, 2, 1], "0 1 2"), (COLUMNS * 0.5, r"0\.  0\.5")):
        for make in (scipy.sparse.csr_array, scipy.sparse.coo_matrix):
            with pytest.raises(
                ValueError, match=rf"^y must have a column of 0 and 1 .*3 labels, got \[{found}\]"
            ):
                quick().fit(SCALED[:4], make(y))


def test_a_sparse_vector_holds_one_label_per_row():
    model = quick().fit(SCALED[:8], scipy.sparse.coo_array(np.array(ONES)))
    assert model.classes_.tolist() == [0, 1]


def test_nullable_integers_are_integer_classes():
    for y in (
        pd.Series(ONES, dtype="Int64"),
        pd.Series(ONES, dtype=object),
        pd.Series(ONES).astype("category"),
    ):
        assert quick().fit(SCALED[:8], y).classes_.dtype.kind == "i"


def test_missing_and_mixed_labels_are_refused():
    with pytest.raises(ValueError, match="missing label, None, at row 1"):
        encode(np.array(["x", None, "y"], object))
    with pytest.raises(ValueError, match=r"do not sort together, \['int', 'str'\]"):
        encode(np.array(["x", 3], object))


def test_the_error_lists_only_some_of_many_labels():
    with pytest.raises(ValueError, match="among the classes: .*, 9.5. and 20 more; .* 990 more") as error:
        encode_known(np.arange(30) + 0.5, np.arange(1000))
    assert len(str(error.value)) < 400


def test_continuous_targets_are_refused():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        encode(np.array([0.1, 0.7, 1.3]))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        encode(np.array([0.5, 1.0] * 10))


def test_almost_as_many_classes_as_rows_are_warned_of():
    with pytest.warns(UserWarning, match="unique classes is greater than 50%"):
        Labels.of(np.arange(30))
    assert len(Labels.of(np.arange(30) // 2).classes) == 15


def test_the_error_lists_at_most_ten_labels():
    for n, ending in [(10, "9]; the classes"), (11, "9] and 1 more; the classes")]:
        with pytest.raises(ValueError, match="among the classes") as error:
            encode_known(np.arange(n), np.array([-1]))
        assert ending in str(error.value)


def test_a_warm_start_with_other_classes_or_targets_is_refused():
    labels = Labels.of(LETTERS)
    with pytest.raises(ValueError, match=r"^warm_start .* \['a' 'b'\], `y` has \['a' 'c'\]$"):
        labels.check_equal(Labels.of(np.array(["c", "a", "c", "a"])))
    with pytest.raises(ValueError, match="^warm_start .* one label per row, `y` has columns of 0 and 1$"):
        labels.check_equal(LabelSets(labels.classes))
    assert labels.check_equal(Labels.of(LETTERS[::-1])) is None


# --- the three kinds of targets ----------------------------------------------------------------------------


def test_one_label_per_row_is_encoded_and_decoded():
    labels = Labels.of(LETTERS)
    targets = labels.encode(LETTERS)
    assert targets.tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(labels.restore(targets), LETTERS)
    assert labels.codes_per_label(targets)[0] is targets
    # In a tie the first class is predicted, also if a single logit is the log-odds.
    assert labels.codes(np.array([[0.0], [-1.0], [1e-9]])).tolist() == [0, 0, 1]
    assert labels.codes(np.array([[1.0, 1.0], [0.0, 0.1]])).tolist() == [0, 1]
    assert decoded(labels, np.array([[0.0], [1.0]])).tolist() == ["a", "b"]
    assert labels.hits(np.array([[1.0], [1.0], [-1.0], [-1.0]]), targets).tolist() == [
        True,
        False,
        True,
        False,
    ]
    assert labels.total_weight(targets, WEIGHT).tolist() == [2.0, 6.0]
    assert labels.total_weight(targets[1:3], WEIGHT[1:3]).tolist() == [2.0, 0.0]
    assert labels.frequencies(targets, WEIGHT).tolist() == [0.25, 0.75]
    np.testing.assert_allclose(
        labels.factors("balanced", labels.total_weight(targets, WEIGHT / 100)), [8 / 2 / 2, 8 / 2 / 6]
    )
    assert labels.scores(np.array([[1.0, 3.0]])).tolist() == [2.0]
    assert labels.scores(np.float32([[3e38, -3e38]])).tolist() == [-np.inf]
    assert (labels.n_outputs(SoftmaxCrossEntropy()), labels.n_outputs(SigmoidCrossEntropy())) == (2, 1)
    with pytest.raises(ValueError, match=r"must hold one label per row, as before.*got shape \(4, 3\)"):
        labels.encode(COLUMNS)
    with pytest.raises(ValueError, match=r"must hold one label per row, as before.*got shape \(2,\)"):
        labels.encode(scipy.sparse.coo_array(np.array([0, 1])))
    assert labels.encode(LETTERS[:0]).dtype.kind == "i"


def test_unsupported_targets_of_several_columns_are_refused():
    with pytest.raises(
        ValueError, match=r"y of shape \(2, 2\) holds multiclass-multioutput .*soft_targets=True"
    ):
        kind_of_targets(np.array([[1, 2], [3, 4]]), soft=False)
    with pytest.raises(ValueError, match="Unknown label type: continuous-multioutput"):
        kind_of_targets(np.array([[0.5, 1.5], [0.0, 1.0]]), soft=False)
    # scikit-learn casts before it checks for nan.
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="Input y contains NaN"):
        kind_of_targets(np.array([[np.nan, 1.5], [0.0, 1.0]]), soft=False)


def test_several_labels_per_row_are_encoded_and_decoded():
    for y in (COLUMNS, scipy.sparse.csr_array(COLUMNS), COLUMNS.astype(bool)):
        labels = LabelSets.of(y)
        targets = labels.encode(y)
        assert labels.classes.tolist() == [0, 1, 2]
        assert targets.dtype == np.float64
        np.testing.assert_array_equal(targets, COLUMNS)
        assert labels.restore(targets).dtype == np.intp
        np.testing.assert_array_equal(labels.restore(targets), COLUMNS)
        np.testing.assert_array_equal(np.column_stack(labels.codes_per_label(targets)), COLUMNS)
        found = decoded(labels, Z)
        assert scipy.sparse.issparse(found) == scipy.sparse.issparse(y)
        found = found.toarray() if scipy.sparse.issparse(y) else found
        assert found.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]]
        assert found.dtype == np.intp
        # A row is correct if all its labels are.
        assert labels.hits(Z, targets).tolist() == [False, False, True, True]
        yes = np.average(COLUMNS, axis=0, weights=WEIGHT)
        np.testing.assert_allclose(labels.frequencies(targets, WEIGHT), [*(1 - yes), *yes], rtol=1e-15)
        assert labels.scores(Z) is Z
    assert not LabelSets(np.arange(3)).sparse


@pytest.mark.parametrize(
    ("y", "values"),
    [
        (COLUMNS[0], "0 1"),
        (COLUMNS[:, :2], "0 1"),
        (COLUMNS + 1, "1 2"),
        (COLUMNS - 0.5, "-0.5  0.5"),
        (COLUMNS[:, :, None], "0 1"),
        (np.arange(12).reshape(4, 3), "0 1 2 3 4"),
    ],
)
def test_columns_that_do_not_fit_the_labels_are_refused(y, values):
    with pytest.raises(ValueError, match="3 labels, got") as error:
        LabelSets.of(COLUMNS).encode(y)
    assert str(error.value).endswith(f"got [{values}] in an array of shape {y.shape}")


def test_probabilities_of_the_classes_are_encoded_and_decoded():
    labels = Probabilities.of(P)
    targets = labels.encode(P)
    assert labels.classes.tolist() == [0, 1]
    assert labels.restore(targets) is targets
    # The most probable class; in a tie the first.
    assert labels.codes_per_label(targets)[0].tolist() == [1, 0, 0, 1]
    z = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    assert labels.hits(z, targets).tolist() == [True, False, True, False]
    np.testing.assert_allclose(labels.total_weight(targets, WEIGHT), [2.25, 5.75], rtol=1e-15)
    np.testing.assert_allclose(labels.frequencies(targets, WEIGHT), [2.25 / 8, 5.75 / 8], rtol=1e-15)
    np.testing.assert_array_equal(labels.for_loss(targets, 1), P[:, 1:])
    assert labels.for_loss(targets, 2) is targets
    assert (
        Probabilities.of(scipy.sparse.csr_array(P)).encode(scipy.sparse.csr_array(P)).tolist() == P.tolist()
    )
    assert Probabilities.of(P.tolist()).encode(P.astype("float32")).dtype == np.float64
    assert Probabilities.of(np.eye(2, dtype=bool)).encode(np.eye(2, dtype=bool)).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (P[:, 0], r"a column for each of the 2 classes, got shape \(4,\)"),
        (P[:, :1], r"a column for each of the 2 classes, got shape \(4, 1\)"),
        (P[:, :, None], r"got shape \(4, 2, 1\)"),
        (P.astype(str), "probabilities must be numbers, got dtype <U"),
        (P.astype(object), "probabilities must be numbers, got dtype object"),
        (P.astype(complex), "probabilities must be numbers, got dtype complex"),
        (P * [1.0, 1.25], "from 0 to 1, got 1.25 at row 3, column 1$"),
        (P - [[0.0, 0.0], [0.0, 0.25]] * 2, "from 0 to 1, got -0.25 at row 1, column 1$"),
    ],
)
def test_invalid_probabilities_are_refused(y, match):
    with pytest.raises(ValueError, match=match):
        Probabilities.of(P).encode(y)


def test_probabilities_sum_to_one_within_a_thousandth():
    check_sums(np.array([[0.5, 0.5009], [0.5, 0.4991]]))
    for last in (0.5011, 0.4989, np.nan):
        with pytest.raises(ValueError, match=rf"sum to 1, got {0.5 + last:.6g} in row 1"):
            check_sums(np.array([[0.5, 0.5], [0.5, last], [0.0, 0.0]]))


def test_soft_targets_need_two_dimensions():
    with pytest.raises(ValueError, match=r"soft_targets=True.*got shape \(4,\)"):
        kind_of_targets(LETTERS, soft=True)


def test_labels_in_part_returns_the_known_labels_or_those_of_classes():
    first = labels_in_part(LETTERS[:1], ["b", "a", "c"], None, soft=False)
    assert first.classes.tolist() == ["a", "b", "c"]
    assert labels_in_part(LETTERS, None, first, soft=False) is first
    assert labels_in_part(LETTERS, ["c", "a", "b"], first, soft=False) is first
    for y in (COLUMNS, scipy.sparse.csr_array(COLUMNS)):
        assert isinstance(labels_in_part(y, [0, 1, 2], None, soft=False), LabelSets)
    assert isinstance(labels_in_part(P, None, None, soft=True), Probabilities)
    for classes, known, soft, match in [
        (None, None, False, "^classes must be passed on the first call"),
        (
            None,
            first,
            True,
            "^soft_targets=True, .* one label per row",
        ),
        (
            ["a", "b"],
            first,
            False,
            r"^`classes=\['a', 'b'\]` is not the same as .*; pass array\(\['a', 'b', 'c'\]",
        ),
        ([], None, False, r"at least one and none of them NaN, got \[\]"),
        ([0.0, np.nan], None, False, r"at least one and none of them NaN, got \[0.0, nan\]"),
        ([["a"]], None, False, r"got \[\['a'\]\]"),
        ({"a"}, None, False, r"classes .* got \{'a'\}"),
    ]:
        with pytest.raises(ValueError, match=match):
            labels_in_part(LETTERS, classes, known, soft=soft)


@pytest.mark.parametrize("weight", [np.inf, np.nan, -1.0, "much"])
def test_the_error_for_an_invalid_class_weight_names_the_class(weight):
    days = [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)]
    for classes, shown in [(np.array(days), "datetime.date(2021, 1, 1)"), (np.array(["a", "b"]), "'b'")]:
        with pytest.raises(ValueError, match="must be finite and >= 0") as error:
            Labels(classes).factors({classes[1]: weight}, np.ones(2))
        assert str(error.value).endswith(f"got {weight!r} for class {shown}")


def test_invalid_labels_are_refused():
    nested = np.empty(2, object)
    nested[:] = [[1], [2, 3]]
    for y, match in [
        (nested, r"^y has \[1\] as a label"),
        ([[1], [2, 3]], "^y cannot be converted to an array"),
        (np.array(["a", None]), "^y has a missing label, None, at row 1"),
    ]:
        with pytest.raises(ValueError, match=match):
            as_labels(y)


@pytest.mark.parametrize(
    "labels",
    [
        Labels(np.array(["a", "b"])),
        Labels(np.array(["a", "b"], object)),
        Labels(np.array([3])),
        Probabilities(np.array(["b", "a"])),
        LabelSets(np.arange(3)),
        LabelSets(np.arange(2), sparse=True),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_labels_are_restored_from_their_dict(labels):
    restored = type(labels).from_dict(labels.to_dict())
    assert vars(restored).keys() == vars(labels).keys()
    np.testing.assert_array_equal(restored.classes, labels.classes)
    assert getattr(restored, "sparse", None) == getattr(labels, "sparse", None)


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        (Labels, {"classes": ["a", "b"]}),
        (Labels, {"classes": np.array([["a", "b"]])}),
        (Labels, {"classes": np.array([])}),
        (Labels, {"classes": np.array(["b", "a"])}),
        (Labels, {"classes": np.array(["a", "a"])}),
        (Labels, {"classes": np.array(["a", "c", "b"])}),
        (Labels, {"classes": np.array(["a", 1], object)}),
        (Labels, {"classes": np.array([np.nan])}),
        (Labels, {"classes": np.array([0.0, np.nan])}),
        (Labels, {"classes": np.array(["NaT"], "M8[D]")}),
        (Labels, {"classes": np.array(["2020-01-01", "NaT"], "M8[D]")}),
        (Labels, {"classes": np.array(["b", "a"], object)}),
        (Probabilities, {"classes": np.array([])}),
        (Probabilities, {"classes": np.array(["a", "b", "a"])}),
        (LabelSets, {"classes": np.array(["a", 1, 1], object), "sparse": False}),
        (LabelSets, {"classes": np.arange(1, 3), "sparse": False}),
        (LabelSets, {"classes": np.arange(2), "sparse": 1}),
    ],
)
def test_impossible_labels_are_refused_with_the_classes(kind, held):
    with pytest.raises(ValueError, match="classes") as error:
        kind.from_dict(held)
    assert repr(held["classes"]) in str(error.value)


# --- class weights -----------------------------------------------------------------------------------------

SETS = np.stack([SPECIES > 0, SCALED[:, 0] > 0], axis=1).astype(int)
SOFT = np.eye(3)[SPECIES] * 0.625 + 0.125


@pytest.mark.parametrize("y", [NAMES, SPECIES == 1, SETS], ids=["many", "two", "sets"])
def test_balanced_weights_equal_those_of_scikit_learn(y):
    y = y[:120]
    labels = LabelSets.of(y) if y.ndim == 2 else Labels.of(y)
    targets = labels.encode(y)
    factors = labels.factors("balanced", labels.total_weight(targets, None))
    np.testing.assert_allclose(labels.spread(factors, targets), compute_sample_weight("balanced", y))
    if y.ndim == 1:
        w = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
        expected = compute_class_weight("balanced", classes=labels.classes, y=y, sample_weight=w)
        np.testing.assert_allclose(labels.factors("balanced", labels.total_weight(targets, w)), expected)


def test_balanced_weights_of_soft_targets_give_all_classes_the_same_total_weight():
    labels = Probabilities.of(SOFT)
    factors = labels.factors("balanced", labels.total_weight(SOFT[:80], None))
    np.testing.assert_allclose((SOFT[:80] * factors).sum(axis=0), 80 / 3)


def test_class_weight_can_have_dates_as_keys():
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="datetime64[ns]")
    assert Labels(days).factors({days[1]: 3.0}, np.ones(3)).tolist() == [1.0, 3.0, 1.0]


@pytest.mark.parametrize(
    ("y", "class_weight", "match"),
    [
        (NAMES, {"rose": 1.0}, r"class_weight has the keys \['rose'\], .* \['setosa'"),
        (NAMES, {"setosa": -1.0}, "class_weight .* got -1.0 for class 'setosa'"),
        (NAMES, {"setosa": np.nan}, "class_weight .* got nan for class 'setosa'"),
        (NAMES, [{0: 1.0}], r"class_weight .* got \[\{0: 1.0\}\]"),
        (NAMES, {"setosa": "x"}, "class_weight .* got 'x' for class 'setosa'"),
        (NAMES, {"setosa": [1]}, r"class_weight .* got \[1\] for class 'setosa'"),
        (NAMES, {"setosa": 1e308, "virginica": 1e308}, "class_weight .* sum to inf"),
        (NAMES, dict.fromkeys(np.unique(NAMES), 0), "class_weight .* sum to 0.0"),
        (SETS, {0: 1.0}, r"class_weight .* list of 2 dicts .* got \{0: 1.0\}"),
        (SETS, [{0: 1.0}], r"class_weight .* list of 2 dicts .* got \[\{0: 1.0\}\]"),
    ],
)
def test_an_invalid_class_weight_is_refused(y, class_weight, match):
    with pytest.raises(ValueError, match=match):
        quick(class_weight=class_weight).fit(SCALED, y)


# --- classifiers -------------------------------------------------------------------------------------------

X_SETS, FIVE = make_multilabel_classification(n_samples=200, random_state=0)


@pytest.mark.parametrize(
    "y",
    [
        NAMES,
        NAMES.astype(object),
        SPECIES.astype(object),
        SPECIES - 5,
        SPECIES * 1.0,
        pd.Series(NAMES),
        list(NAMES),
    ],
    ids=["str", "object", "int in object", "negative", "float", "series", "list"],
)
def test_labels_of_any_kind_are_predicted_as_given(y):
    predicted = learned().fit(SCALED, y).predict(SCALED)
    assert set(predicted.tolist()) <= set(np.asarray(y).tolist())
    assert (predicted == np.asarray(y)).mean() > 0.9


def test_partial_fit_does_not_warn_of_many_classes():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().partial_fit(X, y, classes=y).partial_fit(X, y)


def test_several_labels_per_row_are_learned():
    model = learned(solver="lbfgs", hidden_layer_sizes=30, max_iter=60).fit(X_SETS, FIVE)
    p, z = model.predict_proba(X_SETS), model.decision_function(X_SETS)
    assert p.shape == z.shape == FIVE.shape
    np.testing.assert_allclose(p, scipy.special.expit(z.astype("float64")), rtol=1e-6, atol=1e-44)
    np.testing.assert_allclose(
        model.predict_log_proba(X_SETS), scipy.special.log_expit(z.astype("float64")), rtol=1e-6, atol=1e-44
    )
    predicted = model.predict(X_SETS)
    np.testing.assert_array_equal(predicted, p > 0.5)
    assert predicted.dtype.kind == "i"
    assert model.score(X_SETS, FIVE) == (predicted == FIVE).all(axis=1).mean() > 0.9
    assert model.classes_.tolist() == [0, 1, 2, 3, 4]
    assert (model.n_outputs_, model.out_activation_) == (5, "logistic")


def test_sparse_labels_give_sparse_predictions():
    dense = quick().fit(X_SETS, FIVE)
    for make in (scipy.sparse.csr_array, scipy.sparse.csc_matrix):
        sparse = quick().fit(X_SETS, make(FIVE))
        predicted = sparse.predict(X_SETS)
        assert scipy.sparse.issparse(predicted)
        np.testing.assert_array_equal(predicted.toarray(), dense.predict(X_SETS))
        assert sparse.score(X_SETS, make(FIVE)) == dense.score(X_SETS, FIVE)


def test_partial_fit_learns_several_labels_and_refuses_other_columns():
    model = learned(learning_rate_init=0.05)
    for _ in range(20):
        model.partial_fit(X_SETS, FIVE, classes=np.arange(5))
    assert model.score(X_SETS, FIVE) > 0.4
    with pytest.raises(ValueError, match="is not the same as on last call"):
        model.partial_fit(X_SETS, FIVE, classes=[0, 1])
    with pytest.raises(ValueError, match=r"5 labels, got .* shape \(200, 4\)"):
        model.partial_fit(X_SETS, FIVE[:, :4])
    with pytest.raises(ValueError, match="does not match the columns"):
        quick().partial_fit(X_SETS, FIVE, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(X_SETS, FIVE)


@pytest.mark.parametrize(
    ("fitted", "soft", "y", "match"),
    [
        (SPECIES, False, SETS, r"one label per row, as before, .* got shape \(150, 2\)"),
        (SPECIES, False, SOFT, r"one label per row, as before"),
        (SPECIES, True, SOFT, "soft_targets=True, .* trained on one label per row"),
        (SOFT, False, SPECIES, "soft_targets=False, .* trained on probabilities"),
        (SETS, False, SPECIES, "0 and 1 for each of the 2 labels"),
    ],
)
def test_another_kind_of_targets_is_refused_and_changes_nothing(fitted, soft, y, match):
    model = quick(soft_targets=fitted is SOFT).fit(SCALED, fitted)
    before = model.network_.theta.copy()
    model.set_params(soft_targets=soft)
    with pytest.raises(ValueError, match=match):
        model.partial_fit(SCALED, y)
    with pytest.raises(ValueError, match="Previously got|Unknown label type"):
        model.set_params(warm_start=True).fit(SCALED, y)
    np.testing.assert_array_equal(model.network_.theta, before)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", SoftmaxCrossEntropy()], ids=str)
def test_several_labels_need_a_logistic_loss(loss):
    with pytest.raises(ValueError, match='several labels .* logistic loss.*loss="log_loss"'):
        quick(loss=loss).fit(X_SETS, FIVE)
    assert quick(loss=SigmoidCrossEntropy()).fit(X_SETS, FIVE).n_outputs_ == 5


def test_one_hot_soft_targets_equal_labels():
    for y, k in [(SPECIES, 3), ((SPECIES == 1).astype(int), 2)]:
        soft = plain(soft_targets=True, dtype="float64").fit(SCALED, np.eye(k)[y])
        hard = plain(dtype="float64").fit(SCALED, y)
        assert soft.coefs_[-1].shape == hard.coefs_[-1].shape
        np.testing.assert_allclose(soft.predict_proba(SCALED), hard.predict_proba(SCALED), rtol=1e-9)
        np.testing.assert_array_equal(soft.predict(SCALED), hard.predict(SCALED))
        assert soft.score(SCALED, y) == hard.score(SCALED, y)


@pytest.mark.parametrize("y", [NAMES, SPECIES == 1], ids=["many", "two"])
def test_label_smoothing_equals_training_on_smoothed_targets(y):
    smoothed = plain(label_smoothing=0.2, dtype="float64", max_iter=10).fit(SCALED, y)
    k = len(smoothed.classes_)
    P = 0.8 * np.eye(k)[np.unique(y, return_inverse=True)[1]] + 0.2 / k
    by_hand = plain(soft_targets=True, dtype="float64", max_iter=10).fit(SCALED, P)
    np.testing.assert_allclose(smoothed.loss_curve_, by_hand.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(smoothed.predict_proba(SCALED), by_hand.predict_proba(SCALED), rtol=1e-7)


def test_the_model_learns_the_probabilities_of_soft_targets():
    model = plain(soft_targets=True, solver="lbfgs", hidden_layer_sizes=30, max_iter=200, alpha=0.0, tol=1e-6)
    assert np.abs(model.fit(SCALED, SOFT).predict_proba(SCALED) - SOFT).mean() < 0.02


def test_the_classes_of_soft_targets_in_a_data_frame_are_its_columns():
    frame = pd.DataFrame(SOFT, columns=["setosa", "versicolor", "virginica"])
    first = learned(soft_targets=True).partial_fit(SCALED, frame)
    assert first.classes_.tolist() == frame.columns.tolist()
    first.partial_fit(SCALED, frame, X_val=SCALED, y_val=frame)


# --- names of columns --------------------------------------------------------------------------------------

FRAMES = {
    "strings": ["sport", "news", "music", "art", "food"],
    "numbers": [7, 3, 0, 12, 1],
    "mixed": ["sport", 1, None, 2.5, ("a", "b")],
    "default": None,
}


def set_frame(names, make=pd.DataFrame):
    return make(FIVE.astype(int), columns=None if names is None else pd.Index(names, tupleize_cols=False))


@pytest.mark.parametrize("names", FRAMES)
def test_several_labels_are_named_after_the_columns_of_a_data_frame(names, tmp_path):
    frame = set_frame(FRAMES[names])
    expected = list(frame.columns)
    model, plain_array = quick().fit(X_SETS, frame), quick().fit(X_SETS, FIVE)
    assert list(model.classes_) == expected
    assert model.classes_.shape == (5,)
    np.testing.assert_array_equal(model.predict_proba(X_SETS), plain_array.predict_proba(X_SETS))
    np.testing.assert_array_equal(model.predict(X_SETS), plain_array.predict(X_SETS))
    assert model.score(X_SETS, frame) == model.score(X_SETS, FIVE) == plain_array.score(X_SETS, frame)
    ConfidenceDisplay.from_estimator(model, X_SETS, frame, ax=Figure().subplots())
    pickled = pickle.loads(pickle.dumps(model))
    assert list(map(str, pickled.classes_)) == list(map(str, expected))
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert list(map(str, loaded.classes_)) == list(map(str, expected))
    assert loaded.score(X_SETS, frame) == model.score(X_SETS, frame)


def test_the_names_of_several_labels_are_read_from_frames_of_any_library():
    frame = pl.DataFrame(FIVE.astype(int), schema=FRAMES["strings"])
    assert quick().fit(X_SETS, frame).classes_.tolist() == FRAMES["strings"]
    balanced = quick(class_weight=[{0: 1.0, 1: 2.0}] * 5).fit(X_SETS, set_frame(FRAMES["strings"]))
    assert balanced.classes_.tolist() == FRAMES["strings"]


@pytest.mark.parametrize("parameters", [{}, {"soft_targets": True}], ids=str)
def test_a_later_data_frame_must_have_the_same_columns_in_the_same_order(parameters):
    names = FRAMES["strings"]
    y = FIVE if not parameters else (FIVE + 1) / (FIVE + 1).sum(axis=1, keepdims=True)
    frame, array = pd.DataFrame(y, columns=names), np.asarray(y)
    swapped, others = frame[names[::-1]], frame.rename(columns={"art": "arts"})
    settings = {**parameters, "warm_start": True}
    for wrong in (swapped, others):
        model = quick(**settings).fit(X_SETS, frame)
        calls = [
            lambda m=model, w=wrong: m.partial_fit(X_SETS, w),
            lambda m=model, w=wrong: m.fit(X_SETS, frame, X_val=X_SETS, y_val=w),
            lambda m=model, w=wrong: m.fit(X_SETS, w),
        ]
        if not parameters:
            calls.append(lambda m=model, w=wrong: m.score(X_SETS, w))
        for call in calls:
            with pytest.raises(ValueError, match="columns of y .*'sport'|warm_start .*'sport'"):
                call()
        assert model.classes_.tolist() == names
    for given in (frame, array):  # an array has no names
        model = quick(**settings).fit(X_SETS, frame)
        model.partial_fit(X_SETS, given).fit(X_SETS, given, X_val=X_SETS, y_val=given)
        assert model.classes_.tolist() == names
    numbered = quick(**settings).fit(X_SETS, array)
    numbered.partial_fit(X_SETS, frame)
    assert numbered.classes_.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"columns of y .*got \['4', '3'"):
        numbered.partial_fit(X_SETS, pd.DataFrame(array, columns=[4, 3, 2, 1, 0]))


@pytest.mark.parametrize("classes", [range(5), FRAMES["strings"], sorted(FRAMES["strings"])], ids=str)
def test_partial_fit_accepts_the_names_or_the_numbers_of_columns_as_classes(classes):
    model = quick().partial_fit(X_SETS, set_frame(FRAMES["strings"]), classes=list(classes))
    assert model.classes_.tolist() == FRAMES["strings"]
    with pytest.raises(ValueError, match="does not match the columns"):
        quick().partial_fit(X_SETS, set_frame(FRAMES["strings"]), classes=["a", "b", "c", "d", "e"])


@pytest.mark.parametrize("soft", [False, True])
def test_two_columns_of_the_same_name_are_refused(soft):
    y = SOFT if soft else (SOFT > 0.5).astype(int)
    with pytest.raises(ValueError, match="(?s)y: .*unique column names.*'b'"):
        quick(soft_targets=soft).fit(SCALED, pd.DataFrame(y, columns=["b", "a", "b"]))


@pytest.mark.parametrize(
    ("y", "soft"),
    [
        (NAMES, False),
        (SPECIES, False),
        (SPECIES == 1, False),
        (SPECIES.astype(float), False),
        (NAMES.astype(object), False),
        (SETS, False),
        (SOFT, True),
    ],
    ids=["strings", "integers", "booleans", "floats", "objects", "sets", "soft"],
)
def test_merged_labels_are_those_of_all_rows(y, soft):
    y = y[np.argsort(np.arange(len(y)) % 3, kind="stable")]
    parts = [kind_of_targets(part, soft=soft) for part in np.array_split(y, 4)]
    merged = functools.reduce(merged_labels, parts)
    expected = kind_of_targets(y, soft=soft)
    assert type(merged) is type(expected)
    assert merged.classes.tolist() == expected.classes.tolist()
    assert merged.classes.dtype.kind == expected.classes.dtype.kind


def test_integers_and_floats_are_merged_like_concatenated_labels():
    merged = merged_labels(Labels.of([0, 1]), Labels.of([1.0, 2.0]))
    assert merged.classes.tolist() == np.unique(np.concatenate([[0, 1], [1.0, 2.0]])).tolist()


def test_labels_of_other_kinds_types_or_columns_are_not_merged():
    days = Labels.of(np.array(["2020-01-01", "2020-01-02"], "M8[D]"))
    for first, second in [(Labels.of([0, 1]), Labels.of(["a", "b"])), (Labels.of(["a", "b"]), days)]:
        with pytest.raises(TypeError, match="y has labels such as .*, but before such as .*; convert"):
            merged_labels(first, second)
    with pytest.raises(ValueError, match="y holds columns of 0 and 1, but before one label per row; encode"):
        merged_labels(Labels.of([0, 1]), LabelSets.of(SETS))
    with pytest.raises(ValueError, match="the columns of y are .*, but before .*; select the same columns"):
        merged_labels(LabelSets.of(SETS), LabelSets.of(SETS[:, [0, 1, 0]]))
