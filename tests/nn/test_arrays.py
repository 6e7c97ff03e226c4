"""Views: assignment writes into the array."""

import pickle

import numpy as np
import pytest

from tinyclf.nn.arrays import Buffer, ViewList, Views, all_finite, as_array


def test_assignment_writes_into_the_array():
    theta = np.zeros(4)
    p = Views(W=theta[:2], b=theta[2:])
    p.W = [1.0, 2.0]
    p.b += 5.0
    assert theta.tolist() == [1.0, 2.0, 5.0, 5.0]


def test_assignment_to_an_array_that_is_none_does_nothing():
    t = Views(dx=None)
    t.dx = np.ones(3)
    assert t.dx is None


def test_errors_name_unknown_arrays_and_wrong_shapes():
    p = Views(W=np.zeros((2, 3)), b=np.zeros(3))
    with pytest.raises(AttributeError, match="no array 'w'; available: W, b"):
        p.w = 1.0
    with pytest.raises(AttributeError, match="no array 'bias'"):
        _ = p.bias
    with pytest.raises(AttributeError, match="no array 'W'; available: none$"):
        _ = Views().W
    with pytest.raises(ValueError, match=r"W has shape \(2, 3\), got an array of shape \(3, 2\)"):
        p.W = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"got an array of shape \(\)"):
        p.b = 0.0


def test_unpickled_views_can_be_written_to():
    array = np.zeros(3)
    array.flags.writeable = False
    p = Views(a=array, flag=True)
    p.__setstate__(vars(p).copy())
    p.a = [1.0, 2.0, 3.0]
    q = pickle.loads(pickle.dumps(p))
    q.a += 1.0
    assert q.a.tolist() == [2.0, 3.0, 4.0]
    assert p.a.tolist() == [1.0, 2.0, 3.0]
    assert repr(q) == "Views(a: float64(3,), flag)"


def test_assignment_to_an_item_of_a_list_of_views_writes_into_the_array():
    theta = np.zeros(3)
    views = ViewList([theta[:2], theta[2:]])
    views[0] = [1.0, 2.0]
    views[-1] = [3.0]
    assert theta.tolist() == [1.0, 2.0, 3.0]
    views[:] = [[4.0, 5.0], [6.0]]
    assert theta.tolist() == [4.0, 5.0, 6.0]
    with pytest.raises(ValueError, match="the slice must be set to a list of 2 arrays, got 1"):
        views[:] = [[1.0, 2.0]]
    for key, value in [(1, [1.0, 2.0]), (slice(None), [[1.0, 2.0], [3.0, 4.0]])]:
        with pytest.raises(ValueError, match=r"^array 1 has shape \(1,\), got an array of shape \(2,\)"):
            views[key] = value
    assert theta.tolist() == [4.0, 5.0, 6.0]


def test_a_buffer_with_a_fill_value_is_read_only():
    plain, filled = Buffer(2, "int8").array(3, "float32"), Buffer((), fill=1.0).array(3, "float32")
    assert (plain.shape, plain.dtype, plain.flags.writeable) == ((3, 2), "int8", True)
    assert (filled.tolist(), filled.dtype) == ([1.0, 1.0, 1.0], "float32")
    with pytest.raises(ValueError, match="read-only"):
        filled += 1.0
    assert Buffer((2,), fill=0.0).array(1, "float64").tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_whose_squares_overflow_count_as_finite(dtype):
    values = np.full((2, 3), np.finfo(dtype).max, dtype)
    with np.errstate(over="ignore"):
        assert all_finite(values)
        assert all_finite(np.zeros((0, 3), dtype))
        for bad in (np.nan, np.inf, -np.inf):
            values[1, 2] = bad
            assert not all_finite(values)
            assert not all_finite(np.array([0.0, bad], dtype))


def test_errors_name_the_array_that_is_set_to_invalid_values_and_too_large_numbers_become_inf():
    theta = np.zeros(3, np.float32)
    views = ViewList([theta[:2], theta[2:]])
    for key, value, error, match in [
        (slice(None), 5, TypeError, "^the slice must be set to a list of 2 arrays, got 5$"),
        (0, ["a", "b"], TypeError, "^array 0 must hold real numbers, got dtype <U1$"),
        (
            1,
            [[1.0], [1.0, 2.0]],
            ValueError,
            "^array 1 cannot be converted to an array: its parts differ in length$",
        ),
    ]:
        with pytest.raises(error, match=match):
            views[key] = value
    assert not theta.any()
    views[0] = [1e300, 1.0]  # without a warning
    assert theta.tolist() == [np.inf, 1.0, 0.0]


MASKED = np.ma.masked_array([5.0, 6.0], [False, True])


@pytest.mark.parametrize(
    ("values", "where"),
    [
        (MASKED, "row 1"),
        ([MASKED, MASKED.data], "row 0, column 1"),
        ([MASKED.data, MASKED], "row 1, column 1"),
        (([1.0, 2.0], MASKED), "row 1, column 1"),
        ([*[[1.0, 2.0]] * 9, MASKED], "row 9, column 1"),
        ([0, 1, np.ma.masked], "row 2"),
        (["a", "b", np.ma.masked], "row 2"),
    ],
)
def test_a_masked_entry_is_found_wherever_it_is_in_a_list(values, where):
    with pytest.raises(ValueError, match=f"^x is masked at {where}; remove or impute it$"):
        as_array("x", values)
    unmasked = [np.ma.masked_array([1.0]), np.array([2.0])]
    assert as_array("x", unmasked).tolist() == [[1.0], [2.0]]
