"""Patience counts epochs as scikit-learn does, and BestWeights keeps the best weights."""

import warnings

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from tinyclf.estimator.early_stopping import BestWeights, Patience


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("tol", [0.0, 1e-4, 1e-2])
def test_patience_stops_where_scikit_learn_stops(patience, tol):
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int)
    theirs = MLPClassifier((5,), max_iter=400, tol=tol, n_iter_no_change=patience, random_state=0)
    theirs.set_params(learning_rate_init=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y)
    counter = Patience(tol, patience)
    stops = [counter.exceeded(loss) for loss in theirs.loss_curve_]
    assert theirs.n_iter_ == 400 or (stops.index(True) == len(stops) - 1)
    assert counter.best_loss == theirs.best_loss_


def test_an_improvement_on_the_lowest_loss_resets_the_count():
    counter = Patience(tol=0.5, n_iter_no_change=2)
    #         first  worse  no gain  gain   tie at tol  worse  worse
    losses = [10.0, 12.0, 9.8, 9.0, 8.5, 11.0, 8.6]
    assert [counter.exceeded(loss) for loss in losses] == [False] * 7
    assert counter.best_loss == 8.5
    assert counter.epochs_without_improvement == 2
    assert counter.exceeded(8.1)


def test_infinite_patience_never_stops():
    counter = Patience(1.0, np.inf)
    assert not any(counter.exceeded(1.0) for _ in range(1000))


@pytest.mark.parametrize(
    ("tol", "patience", "match"),
    [
        (-1e-9, 1, r"tol must be in \[0, inf\], got -1e-09"),
        (np.nan, 1, "tol must be in .*got nan"),
        ("small", 1, "tol must be a number, got 'small'"),
        (0.0, 0.5, r"n_iter_no_change must be in \[1, inf\], got 0.5"),
        (0.0, None, "n_iter_no_change must be a number, got None"),
    ],
)
def test_invalid_parameters_of_patience_are_refused(tol, patience, match):
    with pytest.raises((ValueError, TypeError), match=match):
        Patience(tol, patience)
    Patience(0.0, 1)
    Patience(np.inf, np.inf)


def test_the_best_weights_are_a_copy_of_the_first_with_the_highest_score():
    best, theta = BestWeights(), np.zeros(2)
    assert (best.score, best.epoch, best.theta) == (-np.inf, None, None)
    for epoch, score in enumerate([np.nan, -3.0, 0.5, np.nan, 0.5, 0.4], 1):
        theta[...] = epoch
        best.record(score, theta, epoch)
    assert (best.score, best.epoch, best.theta.tolist()) == (0.5, 3, [3.0, 3.0])


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"best_loss": 1}, "best_loss must be a float, got 1$"),
        ({"epochs_without_improvement": -1}, "epochs_without_improvement must be .*got -1$"),
        ({"epochs_without_improvement": 1.0}, r"epochs_without_improvement must be .*got 1\.0$"),
    ],
)
def test_an_impossible_count_of_patience_is_refused(parts, match):
    with pytest.raises(ValueError, match=match):
        Patience(0.0, 1, **parts)
    assert Patience(0.0, 1, 0.5, 0).exceeded(0.5) is False


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ((1, None, None), "score must be a float, got 1$"),
        ((0.5, 1, None), "epoch is 1, .*None"),
        ((0.5, None, np.zeros(2)), r"epoch is None, .*array\(\[0\., 0\.\]\)"),
        ((0.5, 0, np.zeros(2)), "epoch must be .* >= 1, got 0$"),
        ((0.5, 1.0, np.zeros(2)), r"epoch must be .* >= 1, got 1\.0$"),
    ],
)
def test_impossible_best_weights_are_refused(parts, match):
    with pytest.raises(ValueError, match=match):
        BestWeights(*parts)
    assert BestWeights(0.5, 1, np.zeros(2)).epoch == 1
