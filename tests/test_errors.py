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
        "scaled": True,
    }
    error = DivergenceError(**numbers)
    copy = pickle.loads(pickle.dumps(error))
    assert vars(copy) == numbers
    assert str(copy) == str(error)
    assert "Lower the learning rate (now 0.5)." in str(error)
    assert "Scale the inputs (StandardScaler) or lower" in str(
        DivergenceError(**{**numbers, "scaled": False})
    )
