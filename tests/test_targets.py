"""Labels of any kind become codes."""

import numpy as np
import pytest

from tinyclf.targets import Labels, encode_known


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


@pytest.mark.parametrize("y", KINDS, ids=lambda y: y.dtype.name)
def test_labels_are_codes_of_sorted_classes(y):
    classes, codes = encode(y)
    assert codes.tolist() == [1, 0, 1]
    assert classes.tolist() == sorted(set(y.tolist()))
    assert encode_known(y[:1], classes).tolist() == [1]


@pytest.mark.parametrize("y", KINDS, ids=lambda y: y.dtype.name)
def test_unknown_labels_are_named(y):
    classes, _ = encode(y[:1])
    with pytest.raises(ValueError, match="not among the classes") as error:
        encode_known(y, classes)
    assert repr(y.tolist()[1]) in str(error.value)


def test_whole_numbers_in_an_object_array_are_whole_numbers():
    for y in (np.array([7, -1, 7], object), np.array([True, False, True], object)):
        classes, codes = encode(y)
        assert classes.dtype != object
        assert codes.tolist() == [1, 0, 1]


def test_missing_and_mixed_labels_are_named():
    with pytest.raises(ValueError, match="missing label, None, at row 1"):
        encode(np.array(["x", None, "y"], object))
    with pytest.raises(ValueError, match=r"do not sort together, \['int', 'str'\]"):
        encode(np.array(["x", 3], object))


def test_many_labels_are_not_all_printed():
    with pytest.raises(ValueError, match="among the classes: .*, 9.5. and 20 more; .* 990 more") as error:
        encode_known(np.arange(30) + 0.5, np.arange(1000))
    assert len(str(error.value)) < 400


def test_measurements_are_no_labels():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        encode(np.array([0.1, 0.7, 1.3]))
