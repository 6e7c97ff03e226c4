"""Scikit-learn's tests of MLPClassifier, run with TinyClassifier in its place and with its defaults."""

import inspect
import math
import types
from pathlib import Path

import numpy as np
import pytest
import sklearn
import sklearn.neural_network
from sklearn.datasets import make_multilabel_classification

from tinyclf import SGD, SKLEARN_DEFAULTS, TinyClassifier

# The tests use fits that stop early and data that are not scaled.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.TrainingWarning"),
]

SOURCE = Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py"
REGRESSOR = sklearn.neural_network.MLPRegressor

# Left out, each with its reason.
LEFT_OUT = {
    "test_fit": "sets private attributes of a model that was never fitted",
    "test_gradient": "calls the private _loss_grad_lbfgs; tests/nn/test_training.py has the gradient",
    "test_learning_rate_warmstart": "reads the private _optimizer; tested below with public names",
    "test_adaptive_learning_rate": "reads the private _optimizer; tested below with public names",
    "test_n_iter_no_change": "reads the private _no_improvement_count; tested below with public names",
    "test_n_iter_no_change_inf": "reads the private _no_improvement_count; tested below with public names",
    "test_predict_proba_multilabel": "requires log-probabilities that equal log(probabilities) within 1e-7; "
    "exact ones do not where a probability rounds to 1; tested below without that line",
}

# The tests of scikit-learn 1.9 that are run, counted with their parameters, and those of the regressor.
N_RUN, N_REGRESSOR = 30, 12


class MLPClassifier(TinyClassifier):
    """TinyClassifier with scikit-learn's defaults."""

    def __init__(self, hidden_layer_sizes=(100,), activation="relu", **parameters):
        super().__init__(hidden_layer_sizes, activation, **{**SKLEARN_DEFAULTS, **parameters})

    __init__.__signature__ = inspect.signature(TinyClassifier.__init__)


def with_our_class():
    """Run the source of scikit-learn's tests in a new module in which MLPClassifier is ours."""
    module = types.ModuleType("scikit_learns_test_mlp")
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(sklearn.neural_network, "MLPClassifier", MLPClassifier)
        exec(compile(SOURCE.read_text(), str(SOURCE), "exec"), module.__dict__)
    return module


def without_the_regressor(function):
    """Remove the regressor from the classes that a test runs with."""
    kept = []
    for mark in getattr(function, "pytestmark", []):
        names, values = mark.args
        classes = [value for value in values if value is not REGRESSOR]
        kept.append(getattr(pytest.mark, mark.name)(names, classes).mark)
    function.pytestmark = kept
    return function


MODULE = with_our_class()
TESTS = {name: value for name, value in vars(MODULE).items() if name.startswith("test_")}


def is_about_the_classifier(function):
    names = {*inspect.getclosurevars(function).globals, *inspect.signature(function).parameters}
    return bool({"MLPClassifier", "MLPEstimator", "Estimator"} & names)


CLASSIFIERS = {name for name, function in TESTS.items() if is_about_the_classifier(function)}
OURS = {name: without_the_regressor(TESTS[name]) for name in sorted(CLASSIFIERS - LEFT_OUT.keys())}
globals().update(OURS)


def times(function):
    """The number of parameter sets with which pytest runs a function."""
    return math.prod(len(mark.args[1]) for mark in getattr(function, "pytestmark", []) if len(mark.args) == 2)


@pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="the numbers are those of 1.9")
def test_the_numbers_of_run_and_left_out_tests_are_as_stated():
    assert LEFT_OUT.keys() < CLASSIFIERS
    assert len(LEFT_OUT) == 7
    assert len(TESTS) - len(CLASSIFIERS) == N_REGRESSOR
    assert sum(map(times, OURS.values())) == N_RUN


# --- what the left-out tests check, by public names -----------------------------------------------------


X, Y = MODULE.X_digits_binary[:100], MODULE.y_digits_binary[:100]


@pytest.mark.parametrize("rule", ["invscaling", "constant", "adaptive"])
def test_learning_rates_change_as_scikit_learns(rule):
    # The initial weights and the batches are the same: equal loss curves imply equal learning rates.
    settings = {
        "solver": "sgd",
        "learning_rate": rule,
        "learning_rate_init": 0.3,
        "power_t": 0.4,
        "tol": 0.02,
        "n_iter_no_change": 2,
        "batch_size": 30,
        "max_iter": 60,
        "shuffle": False,
        "hidden_layer_sizes": 5,
        "activation": "tanh",
    }
    ours = MLPClassifier(**settings, random_state=0).fit(X, Y)
    theirs = sklearn.neural_network.MLPClassifier(**settings)
    start = MLPClassifier(**{**settings, "solver": SGD(1e-300), "max_iter": 1}, random_state=0).fit(X, Y)
    initial = iter([(W.copy(), b.copy()) for W, b in zip(start.coefs_, start.intercepts_, strict=True)])
    theirs._init_coef = lambda *_: next(initial)
    theirs.fit(X, Y)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)


def test_warm_starts_begin_with_the_first_learning_rate():
    model = MLPClassifier(solver="sgd", learning_rate="invscaling", max_iter=3, warm_start=True, power_t=0.25)
    model.fit(X, Y)
    assert model._state.training.scale == (3 * len(X) + 1) ** -0.25
    scales = []
    model.set_params(scoring=lambda model, X, y: scales.append(model._state.training.scale) or 0.0)
    model.fit(X, Y, X_val=X, y_val=Y)
    assert scales == [1.0, *((n * len(X) + 1) ** -0.25 for n in (4, 5))]


@pytest.mark.parametrize("patience", [2, 5, 10, np.inf])
def test_training_stops_after_more_than_n_iter_no_change_epochs_without_improvement(patience):
    model = MLPClassifier(tol=1e9, max_iter=50, solver="sgd", n_iter_no_change=patience).fit(X, Y)
    assert model.n_iter_ == min(patience + 2, 50)  # the first epoch counts as an improvement


def test_probabilities_of_several_labels_agree_with_the_logits():
    X, Y = make_multilabel_classification(n_samples=50, random_state=0, return_indicator=True)
    model = MLPClassifier(solver="lbfgs", hidden_layer_sizes=30, random_state=0).fit(X, Y)
    p = model.predict_proba(X)
    assert p.shape == Y.shape
    np.testing.assert_array_equal(p > 0.5, Y)
    log_p = model.predict_log_proba(X)
    likeliest = log_p.argmax(axis=1)  # also where several probabilities round to 1
    np.testing.assert_array_equal(p[np.arange(50), likeliest], p.max(axis=1))
    np.testing.assert_allclose(log_p, -np.log1p(np.exp(-model.decision_function(X))), rtol=1e-12)
