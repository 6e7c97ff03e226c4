"""Errors survive the way between processes."""

import pickle

from tinyclf import DivergenceError


def test_a_divergence_error_pickles_with_its_numbers():
    numbers = {
        "epoch": 3,
        "batch": 7,
        "loss": float("inf"),
        "largest_input": 255.0,
        "largest_logit": 1e30,
        "learning_rate": 0.5,
    }
    error = DivergenceError(**numbers)
    copy = pickle.loads(pickle.dumps(error))
    assert vars(copy) == numbers
    assert str(copy) == str(error)
