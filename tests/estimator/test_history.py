"""The history of a model: curves that continue, counts of the last fit, and invalid histories."""

import math

import numpy as np
import pytest

from tinyclf import Epoch
from tinyclf.estimator.history import History


def epoch(loss, rows=10):
    return Epoch(1, loss, 0.0, 0.0, None, 0.0, rows)


def test_curves_continue_and_counts_are_those_of_the_last_fit():
    history = History()
    history.begin(validates=True, continues=False)
    for loss, measured in ((3.0, (2.0, -2.0)), (2.0, (1.0, np.nan)), (2.5, (4.0, -4.0))):
        history.record(epoch(loss), measured, 1.0)
    assert (history.n_iter, history.n_samples_seen, history.loss, history.lowest_loss) == (3, 30, 2.5, 2.0)
    assert history.best_validation_score == -2.0  # NaN is never the best
    history.begin(validates=False, continues=True)
    history.record(epoch(1.0), None, 0.5)
    assert (history.n_iter, history.best_validation_score) == (1, -2.0)
    assert len(history.loss_curve) == 4
    assert len(history.validation_scores) == 3
    history.begin(validates=False, continues=False)
    assert history.validation_scores is history.validation_loss_curve is history.best_validation_score is None
    assert (history.n_iter, len(history.loss_curve)) == (0, 4)


def test_a_solver_that_converges_before_its_first_iteration_has_a_loss_but_no_curve():
    history = History()
    assert history.lowest_loss == math.inf
    history.begin(validates=True, continues=False)
    history.record_last(0.5, (0.25, -0.25))
    assert (history.loss, history.lowest_loss, history.best_validation_score) == (0.5, 0.5, -0.25)
    assert history.loss_curve == history.validation_scores == []


def test_a_copy_is_independent():
    history = History([1.0], [2.0], [3.0], [1.0], 1.0, 3.0, 1, 7)
    copy = history.copy()
    assert copy == history
    copy.begin(validates=True, continues=True)
    copy.record(epoch(0.5), (1.0, 1.0), 1.0)
    assert history == History([1.0], [2.0], [3.0], [1.0], 1.0, 3.0, 1, 7)


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"loss_curve": [1]}, "loss_curve must be a list of floats"),
        ({"loss_curve": None}, "loss_curve must be a list of floats"),
        ({"validation_scores": [1.0]}, "must have the same length"),
        ({"validation_scores": [1.0], "validation_loss_curve": []}, "must have the same length"),
        (
            {"validation_scores": [1.0], "validation_loss_curve": [1.0]},
            "0 epochs cannot have 1 scores",
        ),
        ({"loss_curve": [math.nan]}, "loss_curve must be finite"),
        ({"learning_rate_scales": [1.0]}, "n_iter must be a whole number from 0 to 0, got 1"),
        ({"best_epoch": 1}, "best_epoch must be a whole number from 1 to 0, got 1"),
        ({"loss": None}, "loss must be a float, got None"),
        ({"best_validation_score": 1}, "best_validation_score must be a float, got 1"),
        ({"n_samples_seen": -1}, "n_samples_seen must be a whole number"),
        ({"n_samples_seen": True}, "n_samples_seen must be a whole number"),
    ],
)
def test_an_invalid_history_is_refused(parts, match):
    with pytest.raises(ValueError, match=match):
        History(**parts)
