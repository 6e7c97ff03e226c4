"""Targets: labels of any kind are encoded, and logits are decoded to labels."""

import datetime

import numpy as np
import pytest
import scipy.sparse

from tinyclf import SigmoidCrossEntropy, SoftmaxCrossEntropy
from tinyclf.estimator.targets import (
    Labels,
    LabelSets,
    Probabilities,
    as_labels,
    check_sums,
    encode_known,
    kind_of_targets,
    labels_in_part,
)


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

SPECIES = np.array(["b", "a", "a", "b"])
SETS = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]])
SOFT = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
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


def test_classes_of_numbers_in_an_object_array_have_a_numeric_dtype():
    for y in (np.array([7, -1, 7], object), np.array([True, False, True], object)):
        classes, codes = encode(y)
        assert classes.dtype != object
        assert codes.tolist() == [1, 0, 1]


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
    labels = Labels.of(SPECIES)
    start = "^warm_start can only be used where `y` has the same classes as in the previous call to fit. "
    with pytest.raises(ValueError, match=start + r"Previously got \['a' 'b'\], `y` has \['a' 'c'\]$"):
        labels.check_equal(Labels.of(np.array(["c", "a", "c", "a"])))
    with pytest.raises(
        ValueError, match=start + "Previously got one label per row, `y` has columns of 0 and 1$"
    ):
        labels.check_equal(LabelSets(labels.classes))
    assert labels.check_equal(Labels.of(SPECIES[::-1])) is None


# --- the three kinds of targets ----------------------------------------------------------------------------


def test_one_label_per_row_is_encoded_and_decoded():
    labels = Labels.of(SPECIES)
    targets = labels.encode(SPECIES)
    assert targets.tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(labels.restore(targets), SPECIES)
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
    np.testing.assert_allclose(labels.factors("balanced", targets, WEIGHT / 100), [8 / 2 / 2, 8 / 2 / 6])
    assert labels.scores(np.array([[1.0, 3.0]])).tolist() == [2.0]
    assert labels.scores(np.float32([[3e38, -3e38]])).tolist() == [-np.inf]
    assert (labels.n_outputs(SoftmaxCrossEntropy()), labels.n_outputs(SigmoidCrossEntropy())) == (2, 1)
    with pytest.raises(ValueError, match=r"must hold one label per row, as before.*got shape \(4, 3\)"):
        labels.encode(SETS)
    with pytest.raises(ValueError, match=r"must hold one label per row, as before.*got shape \(2,\)"):
        labels.encode(scipy.sparse.coo_array(np.array([0, 1])))
    assert labels.encode(SPECIES[:0]).dtype == np.intp


def test_unsupported_targets_of_several_columns_are_refused():
    with pytest.raises(ValueError) as error:
        kind_of_targets(np.array([[1, 2], [3, 4]]), soft=False)
    assert str(error.value) == (
        "y of shape (2, 2) holds multiclass-multioutput targets, which are not supported; pass one label per "
        "row, (n_samples,), or columns of 0 and 1, or probabilities with soft_targets=True"
    )
    with pytest.raises(ValueError, match="Unknown label type: continuous-multioutput"):
        kind_of_targets(np.array([[0.5, 1.5], [0.0, 1.0]]), soft=False)
    # scikit-learn casts before it checks for nan.
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="Input y contains NaN"):
        kind_of_targets(np.array([[np.nan, 1.5], [0.0, 1.0]]), soft=False)


def test_several_labels_per_row_are_encoded_and_decoded():
    for y in (SETS, scipy.sparse.csr_array(SETS), SETS.astype(bool)):
        labels = LabelSets.of(y)
        targets = labels.encode(y)
        assert labels.classes.tolist() == [0, 1, 2]
        assert targets.dtype == np.float64
        np.testing.assert_array_equal(targets, SETS)
        assert labels.restore(targets).dtype == np.intp
        np.testing.assert_array_equal(labels.restore(targets), SETS)
        np.testing.assert_array_equal(np.column_stack(labels.codes_per_label(targets)), SETS)
        found = decoded(labels, Z)
        assert scipy.sparse.issparse(found) == scipy.sparse.issparse(y)
        found = found.toarray() if scipy.sparse.issparse(y) else found
        assert found.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]]
        assert found.dtype == np.intp
        # A row is correct if all its labels are.
        assert labels.hits(Z, targets).tolist() == [False, False, True, True]
        yes = np.average(SETS, axis=0, weights=WEIGHT)
        np.testing.assert_allclose(labels.frequencies(targets, WEIGHT), [*(1 - yes), *yes], rtol=1e-15)
        assert labels.scores(Z) is Z
    assert not LabelSets(np.arange(3)).sparse


@pytest.mark.parametrize(
    ("y", "values"),
    [
        (SETS[0], "0 1"),
        (SETS[:, :2], "0 1"),
        (SETS + 1, "1 2"),
        (SETS - 0.5, "-0.5  0.5"),
        (SETS[:, :, None], "0 1"),
        (np.arange(12).reshape(4, 3), "0 1 2 3 4"),
    ],
)
def test_columns_that_do_not_fit_the_labels_are_refused(y, values):
    with pytest.raises(ValueError, match="a column of 0 and 1 for each of the 3 labels, got") as error:
        LabelSets.of(SETS).encode(y)
    assert str(error.value).endswith(f"got [{values}] in an array of shape {y.shape}")


def test_probabilities_of_the_classes_are_encoded_and_decoded():
    labels = Probabilities.of(SOFT)
    targets = labels.encode(SOFT)
    assert labels.classes.tolist() == [0, 1]
    assert labels.restore(targets) is targets
    # The most probable class; in a tie the first.
    assert labels.codes_per_label(targets)[0].tolist() == [1, 0, 0, 1]
    z = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    assert labels.hits(z, targets).tolist() == [True, False, True, False]
    np.testing.assert_allclose(labels.total_weight(targets, WEIGHT), [2.25, 5.75], rtol=1e-15)
    np.testing.assert_allclose(labels.frequencies(targets, WEIGHT), [2.25 / 8, 5.75 / 8], rtol=1e-15)
    np.testing.assert_array_equal(labels.for_loss(targets, 1), SOFT[:, 1:])
    assert labels.for_loss(targets, 2) is targets
    assert Probabilities.of(SOFT.tolist()).encode(SOFT.astype("float32")).dtype == np.float64
    assert Probabilities.of(np.eye(2, dtype=bool)).encode(np.eye(2, dtype=bool)).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (SOFT[:, 0], r"a column for each of the 2 classes, got shape \(4,\)"),
        (SOFT[:, :1], r"a column for each of the 2 classes, got shape \(4, 1\)"),
        (SOFT[:, :, None], r"got shape \(4, 2, 1\)"),
        (SOFT.astype(str), "probabilities must be numbers, got dtype <U"),
        (SOFT.astype(object), "probabilities must be numbers, got dtype object"),
        (SOFT.astype(complex), "probabilities must be numbers, got dtype complex"),
        (SOFT * [1.0, 1.25], "from 0 to 1, got 1.25 at row 3, column 1$"),
        (SOFT - [[0.0, 0.0], [0.0, 0.25]] * 2, "from 0 to 1, got -0.25 at row 1, column 1$"),
    ],
)
def test_invalid_probabilities_are_refused(y, match):
    with pytest.raises(ValueError, match=match):
        Probabilities.of(SOFT).encode(y)


def test_probabilities_sum_to_one_within_a_thousandth():
    check_sums(np.array([[0.5, 0.5009], [0.5, 0.4991]]))
    for last in (0.5011, 0.4989, np.nan):
        with pytest.raises(
            ValueError, match=rf"must sum to 1, got {0.5 + last:.6g} in row 1; divide them by"
        ):
            check_sums(np.array([[0.5, 0.5], [0.5, last], [0.0, 0.0]]))


def test_labels_in_part_returns_the_known_labels_or_those_of_classes():
    first = labels_in_part(SPECIES[:1], ["b", "a", "c"], None, soft=False)
    assert first.classes.tolist() == ["a", "b", "c"]
    assert labels_in_part(SPECIES, None, first, soft=False) is first
    assert labels_in_part(SPECIES, ["c", "a", "b"], first, soft=False) is first
    for y in (SETS, scipy.sparse.csr_array(SETS)):
        assert isinstance(labels_in_part(y, [0, 1, 2], None, soft=False), LabelSets)
    assert isinstance(labels_in_part(SOFT, None, None, soft=True), Probabilities)
    for classes, known, soft, match in [
        (None, None, False, r"^classes must be passed on the first call to partial_fit\.$"),
        (
            None,
            first,
            True,
            "^soft_targets=True, but the model was trained on one label per row; set soft_targets back$",
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
    ]:
        with pytest.raises(ValueError, match=match):
            labels_in_part(SPECIES, classes, known, soft=soft)


@pytest.mark.parametrize("weight", [np.inf, np.nan, -1.0, "much"])
def test_the_error_for_an_invalid_class_weight_names_the_class(weight):
    days = [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)]
    for classes, shown in [(np.array(days), "datetime.date(2021, 1, 1)"), (np.array(["a", "b"]), "'b'")]:
        with pytest.raises(ValueError, match="must be finite and >= 0") as error:
            Labels(classes).factors({classes[1]: weight}, np.array([0, 1]), None)
        assert str(error.value).endswith(f"got {weight!r} for class {shown}")


def test_invalid_labels_are_refused():
    nested = np.empty(2, object)
    nested[:] = [[1], [2, 3]]
    for y, match in [
        (nested, r"^y has \[1\] as a label; if a row may have several labels, pass columns of 0 and 1$"),
        ([[1], [2, 3]], "^y cannot be converted to an array: its parts differ in length$"),
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
        (Labels, {"classes": np.array(["b", "a"], object)}),
        (Probabilities, {"classes": np.array([])}),
        (LabelSets, {"classes": np.arange(1, 3), "sparse": False}),
        (LabelSets, {"classes": np.arange(2), "sparse": 1}),
    ],
)
def test_impossible_labels_are_refused_with_the_classes(kind, held):
    with pytest.raises(ValueError, match="classes") as error:
        kind.from_dict(held)
    assert repr(held["classes"]) in str(error.value)
