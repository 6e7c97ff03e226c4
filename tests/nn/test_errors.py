"""Errors state the cause, and can be pickled."""

import pickle

import numpy as np
import pytest

from tinyclf import DivergenceError
from tinyclf.nn.errors import check_interval, whole_number

NAN = float("nan")
NUMBERS = {
    "epoch": 3,
    "batch": 7,
    "loss": float("inf"),
    "largest_input": 255.0,
    "largest_logit": 1e30,
    "learning_rate": 0.5,
}


def test_a_divergence_error_pickles_with_its_numbers():
    numbers = {**NUMBERS, "scaled": True}
    error = DivergenceError(**numbers)
    error.add_note("of fold 3")
    copy = pickle.loads(pickle.dumps(error))
    assert {name: getattr(copy, name) for name in numbers} == numbers
    assert copy.__notes__ == ["of fold 3"]
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("changed", "ending"),
    [
        ({}, ". Scale the inputs (StandardScaler) or lower the learning rate (now 0.5)."),
        ({"scaled": True}, ". Lower the learning rate (now 0.5)."),
        ({"learning_rate": NAN}, ". Scale the inputs (StandardScaler)."),
        (
            {"learning_rate": NAN, "scaled": True},
            ". Lower alpha or the largest sample weights.",
        ),
        (
            {"loss": 0.1, "learning_rate": NAN},
            "; after the step, the parameters or the optimizer's state are not finite. "
            "Scale the inputs (StandardScaler).",
        ),
        ({"loss": 0.1, "largest_logit": NAN, "learning_rate": NAN}, ". Scale the inputs (StandardScaler)."),
    ],
)
def test_a_divergence_error_states_the_cause_and_the_fix(changed, ending):
    assert str(DivergenceError(**{**NUMBERS, **changed})).partition("in magnitude")[2] == ending


@pytest.mark.parametrize(
    ("ends", "inside", "outside", "shown"),
    [
        ({}, [0, 0.5, 1], [-1e-9, 1.1, NAN], "[0, 1]"),
        ({"open_low": True}, [1e-9, 1], [0, -1], "(0, 1]"),
        ({"open_high": True}, [0, 0.999], [1, 2], "[0, 1)"),
        ({"open_low": True, "open_high": True}, [0.5], [0, 1], "(0, 1)"),
    ],
)
def test_the_ends_of_an_interval_are_open_or_closed(ends, inside, outside, shown):
    for value in inside:
        check_interval("fraction", value, 0, 1, **ends)
    for value in outside:
        with pytest.raises(ValueError) as error:
            check_interval("fraction", value, 0, 1, **ends)
        assert str(error.value) == f"fraction must be in {shown}, got {value}"
    with pytest.raises(TypeError, match="^fraction must be a number, got '1'$"):
        check_interval("fraction", "1", 0, 1, **ends)


def test_whole_numbers_become_ints():
    for value in (2, np.int64(2), np.uint8(2)):
        assert type(whole_number("size", value, 2)) is int
    for value in (True, 2.0, "2", None):
        with pytest.raises(TypeError) as error:
            whole_number("size", value, 0)
        assert str(error.value) == f"size must be a whole number, got {value!r}"
    with pytest.raises(ValueError, match="^size must be at least 2, got 1$"):
        whole_number("size", 1, 2)
