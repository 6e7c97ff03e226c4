"""Errors say what happened, and survive the way between processes."""

import pickle

import pytest

from tinyclf import DivergenceError

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
    copy = pickle.loads(pickle.dumps(error))
    assert vars(copy) == numbers
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("changed", "ending"),
    [
        ({}, ". Scale the inputs (StandardScaler) or lower the learning rate (now 0.5)."),
        ({"scaled": True}, ". Lower the learning rate (now 0.5)."),
        ({"learning_rate": NAN}, ". Scale the inputs (StandardScaler)."),
        (
            {"learning_rate": NAN, "scaled": True},
            ". Lower the penalty, or the largest weights of rows.",
        ),
        (
            {"loss": 0.1, "learning_rate": NAN},
            "; the step after it is not. Scale the inputs (StandardScaler).",
        ),
        ({"loss": 0.1, "largest_logit": NAN, "learning_rate": NAN}, ". Scale the inputs (StandardScaler)."),
    ],
)
def test_a_divergence_error_tells_what_broke_and_what_can_be_done(changed, ending):
    assert str(DivergenceError(**{**NUMBERS, **changed})).partition("in magnitude")[2] == ending
