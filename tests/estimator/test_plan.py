"""The plan of a fit: the values of all "auto" parameters for given data; and the state of a fit."""

import dataclasses
import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError

from tests.support.doubles import Crash, Ends
from tests.support.parts import PLAIN
from tinyclf import TinyClassifier

IRIS, SPECIES = load_iris(return_X_y=True)
DIGITS, LABELS = load_digits(return_X_y=True)
FITTED = [name for name in dir(TinyClassifier) if name.endswith("_") and not name.startswith("_")]


def plan_of(X, y, **parameters):
    return TinyClassifier(**{"max_iter": 1, "random_state": 0, **parameters}).fit(X, y).plan_


def test_the_plan_of_the_defaults_for_many_rows():
    plan = TinyClassifier(random_state=0).fit(DIGITS, LABELS).plan_
    assert (plan.max_iter, plan.validation, plan.monitor, plan.early_stopping) == (40, "even", True, True)
    assert (plan.scoring, plan.calibrate, plan.refit, plan.ends_by_schedule) == ("loss", True, True, True)
    assert plan.n_train + plan.n_validation == 1797
    assert plan.n_validation == np.ceil(0.2 * 1797)
    assert (plan.batch_size, plan.refit_batch_size) == (plan.n_train // 16, 1797 // 16)


def test_the_plan_of_the_defaults_for_few_rows():
    plan = plan_of(IRIS, SPECIES)
    assert (plan.validation, plan.n_validation, plan.monitor, plan.early_stopping) == (
        "even",
        75,
        False,
        False,
    )
    assert (plan.batch_size, plan.refit_batch_size) == (64, 64)
    assert plan_of(IRIS[:9], SPECIES[:9] % 2 + np.arange(9) % 2).validation == "none"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            {"solver": "lbfgs", "max_iter": "auto"},
            {"max_iter": 200, "validation": "none", "n_iter_no_change": np.inf},
        ),
        ({"max_iter": "auto"}, {"max_iter": 40}),
        (
            {"early_stopping": True},
            {"validation": "stratified", "scoring": "accuracy", "track_best_loss": False},
        ),
        ({"early_stopping": True, "scoring": "f1_macro"}, {"scoring": "f1_macro"}),
        ({"early_stopping": False}, {"validation": "none", "refit": False, "calibrate": True}),
        ({"batch_size": "auto"}, {"batch_size": 200}),
        ({"batch_size": 7}, {"batch_size": 7, "refit_batch_size": 7, "batch_size_warning": None}),
        ({"dtype": None}, {"dtype": np.dtype("float64")}),
        ({"learning_rate": "invscaling"}, {"learning_rate_rule": "constant"}),
        ({"learning_rate": "invscaling", "solver": "sgd"}, {"learning_rate_rule": "invscaling"}),
        ({"calibrate": False}, {"calibrate": False}),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_plan_has_the_resolved_parameters(parameters, expected):
    plan = plan_of(DIGITS[:600], LABELS[:600], **parameters)
    assert {name: getattr(plan, name) for name in expected} == expected


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("early_stopping", [True, "auto", False])
@pytest.mark.parametrize("n", [40, 499, 501, 997])
def test_the_numbers_of_rows_are_those_of_the_fit(n, early_stopping, make):
    model = TinyClassifier(
        4, max_iter=1, early_stopping=early_stopping, validation_fraction=0.3, random_state=0
    )
    model.fit(make(DIGITS[:n]), LABELS[:n] % 3)
    assert model.t_ == model.plan_.n_train
    assert model.plan_.n_train + model.plan_.n_validation == n


def test_a_given_set_is_the_validation_set():
    model = TinyClassifier(4, max_iter=2, random_state=0).fit(
        IRIS, SPECIES, X_val=IRIS[::5], y_val=SPECIES[::5]
    )
    plan = model.plan_
    assert (plan.validation, plan.n_train, plan.n_validation, plan.refit) == ("given", 150, 30, False)
    plan = model.partial_fit(IRIS[:20], SPECIES[:20]).plan_
    assert (plan.validation, plan.n_train, plan.max_iter, plan.calibrate) == ("none", 20, 1, False)


def test_a_plan_is_frozen_and_readable():
    plan = plan_of(IRIS, SPECIES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.max_iter = 3
    lines = repr(plan).splitlines()
    assert len(lines) == len(dataclasses.fields(plan)) + 2
    assert any(line.split() == ["max_iter", "=", "1,"] for line in lines)
    assert any(line.split() == ["schedule", "=", "flat_cosine,"] for line in lines)
    assert any(line.split() == ["dtype", "=", "float32,"] for line in lines)


@pytest.mark.parametrize("name", FITTED)
def test_fitted_attributes_raise_not_fitted_error_before_a_fit(name):
    with pytest.raises(NotFittedError, match="TinyClassifier instance is not fitted yet"):
        getattr(TinyClassifier(), name)
    assert not hasattr(TinyClassifier(), name)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_that_fails_restores_the_old_state_and_an_interrupted_one_keeps_the_new_state():
    model = TinyClassifier(**{**PLAIN, "max_iter": 3, "random_state": 0, "warm_start": True}).fit(
        IRIS, SPECIES
    )
    before, theta = model._state, model.network_.theta.copy()
    with pytest.raises(Crash):
        model.set_callbacks(Ends(2, Crash)).fit(IRIS, SPECIES)
    assert model._state is before
    np.testing.assert_array_equal(model.network_.theta, theta)
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.set_callbacks(Ends(2, KeyboardInterrupt)).fit(IRIS, SPECIES)
    assert model._state is not before
    assert len(model.loss_curve_) == 5
    np.testing.assert_array_equal(before.network.theta, theta)  # the fit trained a copy of the network


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping": True, "dropout": 0.3},
        {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": False, "tol": 0.5},
    ],
    ids=["Adam", "SGD"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_copy_of_a_state_does_not_change_while_training_continues(parameters):
    copies = []

    class Copies(Ends):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch":
                copies.append((estimator._state.copy(), pickle.dumps(estimator._state.copy())))

    model = TinyClassifier(5, max_iter=8, random_state=0, **parameters)
    model.set_callbacks(Copies(0, Crash)).fit(DIGITS[:300], LABELS[:300])
    assert len({held for _, held in copies}) == len(copies) >= 8
    for copy, held in copies:
        assert pickle.dumps(copy) == held


def test_a_scorer_gets_the_network_of_its_epoch():
    thetas = []
    model = TinyClassifier(4, max_iter=3, early_stopping=True, random_state=0, refit=False, calibrate=False)
    model.set_params(scoring=lambda m, X, y: thetas.append(m.network_.theta.copy()) or -len(thetas))
    model.fit(DIGITS, LABELS)
    assert len({theta.tobytes() for theta in thetas}) == 3
    np.testing.assert_array_equal(model.network_.theta, thetas[0])  # whose score was the best
