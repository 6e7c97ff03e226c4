"""Labels of any kind become codes."""

import numpy as np
import pytest

from tinyclf.targets import encode, encode_known

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


def test_measurements_are_no_labels():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        encode(np.array([0.1, 0.7, 1.3]))
