"""The state of a fit: warm starts and partial_fit continue it, and training does not change a copy."""

import copy
import pickle

import numpy as np
import pytest

from tests.support.data import DIGITS, NAMES, NUMBERS, SCALED, VALIDATION, X, Y
from tests.support.doubles import Crash, Ends
from tests.support.estimators import plain, quick
from tinyclf import SGD

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CLASSES = np.unique(NAMES)


def test_dropout_changes_neither_initial_weights_nor_the_order_of_the_rows():
    still = {"max_iter": 1, "solver": SGD(1e-30)}
    whole, dropped = (plain(dropout=dropout, **still).fit(SCALED, NAMES) for dropout in (0.0, 0.5))
    np.testing.assert_array_equal(whole.network_.theta, dropped.network_.theta)
    np.testing.assert_array_equal(whole.predict_proba(SCALED), dropped.predict_proba(SCALED))
    assert whole.loss_ != dropped.loss_  # dropout is for training only


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping": True, "dropout": 0.3},
        {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": False, "tol": 0.5},
    ],
    ids=["Adam", "SGD"],
)
def test_a_copy_does_not_change_while_training_continues(parameters):
    copies = []

    class Copies(Ends):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch":
                copies.append((estimator._state.copy(), pickle.dumps(estimator._state.copy())))

    quick(max_iter=8, **parameters).set_callbacks(Copies(0, Crash)).fit(DIGITS, NUMBERS)
    assert len({held for _, held in copies}) == len(copies) >= 8
    for made, held in copies:
        assert pickle.dumps(made) == held


# --- warm starts -------------------------------------------------------------------------------------------


def test_a_warm_start_continues_network_and_curves_with_a_new_optimizer():
    model = plain(warm_start=True, max_iter=3, early_stopping=False).fit(X, Y)
    before, curve = model.network_, list(model.loss_curve_)
    theta = before.theta.copy()
    model.set_params(max_iter=2).fit(X, Y)
    assert np.abs(model.network_.theta - theta).max() < 0.5  # not initialized again
    np.testing.assert_array_equal(before.theta, theta)  # a fit trains a copy of the network
    assert model.loss_curve_[:3] == curve
    assert (len(model.loss_curve_), model.n_iter_, model.t_) == (5, 2, 5 * len(X))
    # Adam without its moments: its first step has the size of the learning rate in each parameter.
    model.set_params(max_iter=1, batch_size=len(X), learning_rate_init=1e-4, alpha=0.0)
    theta = model.network_.theta.copy()
    steps = np.abs(model.fit(X, Y).network_.theta - theta)
    assert np.median(steps) == pytest.approx(1e-4, rel=1e-2)


def test_a_fit_without_warm_start_begins_a_new_history():
    model = plain(max_iter=3).fit(X, Y).fit(X, Y)
    assert (model.t_, len(model.loss_curve_)) == (3 * len(X), 3)


def test_a_warm_start_without_a_fitted_model_equals_a_cold_start():
    cold, warm = (plain(warm_start=w, solver=SGD(0.1), max_iter=3).fit(X, Y) for w in (False, True))
    np.testing.assert_array_equal(cold.network_.theta, warm.network_.theta)


def test_a_warm_start_keeps_the_dtype_of_the_network():
    model = quick(warm_start=True, dtype=None).fit(X.astype("float32"), Y)
    assert model.fit(X, Y).predict_proba(X).dtype == "float32"


def test_a_warm_start_keeps_the_best_weights_of_its_own_fit():
    scores = iter([0.9, 0.8, 0.1, 0.5, 0.3])
    model = plain(warm_start=True, max_iter=2, scoring=lambda *_: next(scores))
    model.fit(X, Y, **VALIDATION)
    assert model.best_epoch_ == 1
    first = copy.deepcopy(model)
    model.set_params(max_iter=3).fit(X, Y, **VALIDATION)
    assert (model.best_epoch_, model.best_validation_score_) == (4, 0.5)
    first.set_params(max_iter=2, early_stopping=False).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, first.network_.theta)
    assert first.validation_scores_ is first.validation_loss_curve_ is first.best_validation_score_ is None
    assert first.best_epoch_ is None


def test_the_held_out_rows_are_the_same_for_the_same_random_state_also_in_a_warm_start():
    seen = []
    model = quick(early_stopping=True, warm_start=True, max_iter=1)
    model.set_params(scoring=lambda m, X, y: seen.append(X.tobytes()) or 0.0)
    model.fit(DIGITS, NUMBERS).fit(DIGITS, NUMBERS)
    assert seen[0] == seen[1]
    model.set_params(random_state=1).fit(DIGITS, NUMBERS)
    assert seen[1] != seen[2]
    assert len(model.validation_scores_) == 3


# --- partial_fit -------------------------------------------------------------------------------------------


def test_partial_fit_trains_for_one_epoch_and_continues_a_fit():
    model = plain()
    for _ in range(5):
        model.partial_fit(SCALED, NAMES, classes=CLASSES)
    assert (len(model.loss_curve_), model.n_iter_, model.t_) == (5, 1, 5 * 150)
    assert model.loss_curve_ == sorted(model.loss_curve_, reverse=True)
    fitted = plain(max_iter=4).fit(SCALED, NAMES)
    continued = plain(max_iter=3).fit(SCALED, NAMES).partial_fit(SCALED, NAMES)
    np.testing.assert_array_equal(fitted.network_.theta, continued.network_.theta)


def test_partial_fit_accepts_rows_of_some_classes_and_changed_learning_rates():
    model = plain(solver="sgd").partial_fit(SCALED[:50], NAMES[:50], classes=CLASSES)
    before = model.network_.theta.copy()
    model.set_params(learning_rate_init=1e-30, momentum=0.0).partial_fit(SCALED[50:], NAMES[50:])
    np.testing.assert_array_equal(model.network_.theta, before)
    model.set_params(solver="adam", learning_rate_init=0.01).partial_fit(SCALED, NAMES)
    assert (model.network_.theta != before).any()


def test_another_solver_starts_with_its_own_learning_rate():
    model = plain(solver="sgd", learning_rate="invscaling", max_iter=5, momentum=0.0).fit(SCALED, NAMES)
    assert model._state.training.scale < 0.1
    before = model.network_.theta.copy()
    model.set_params(solver="adam", learning_rate_init=1e-4, batch_size=150, alpha=0.0)
    # Adam's first step has the size of its learning rate: scale and step number are reset.
    steps = np.abs(model.partial_fit(SCALED, NAMES).network_.theta - before)
    assert np.median(steps) == pytest.approx(1e-4, rel=0.02)


def test_partial_fit_ignores_schedules():
    one, other = plain(learning_rate="cosine"), plain()
    for _ in range(3):
        for model in (one, other):
            model.partial_fit(SCALED, NAMES, classes=CLASSES)
    np.testing.assert_array_equal(one.network_.theta, other.network_.theta)


def test_adaptive_rates_persist_over_calls_of_partial_fit():
    model = plain(solver="sgd", learning_rate="adaptive", tol=10.0, n_iter_no_change=2)
    scales = []
    for call in range(10):
        if call == 8:
            model.set_params(tol=0.0, learning_rate_init=0.5)  # from now on the loss improves
        model.partial_fit(SCALED, NAMES, classes=CLASSES)
        scales.append(model._state.training.scale)
    np.testing.assert_allclose(scales, [1, 1, 1, 0.2, 0.2, 0.2, 0.04, 0.04, 0.04, 0.04])


def test_partial_fit_adapts_the_learning_rate_by_the_training_loss_alone():
    settings = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.01, "batch_size": 50}
    settings |= {"scoring": "accuracy", "n_iter_no_change": 5}
    measured = plain(max_iter=3, **settings).fit(SCALED, NAMES, X_val=SCALED[:50], y_val=NAMES[:50])
    sometimes, never = plain(**settings), plain(**settings)
    for call in range(15):
        measured.partial_fit(SCALED, NAMES)
        validation = {"X_val": SCALED[:50], "y_val": NAMES[:50]} if call % 5 == 0 else {}
        sometimes.partial_fit(SCALED, NAMES, classes=CLASSES, **validation)
        never.partial_fit(SCALED, NAMES, classes=CLASSES)
        assert len(sometimes.validation_scores_) == 1 + call // 5
    assert [model._state.training.scale for model in (measured, sometimes, never)] == [1.0] * 3
    np.testing.assert_array_equal(sometimes.network_.theta, never.network_.theta)


def test_partial_fit_does_not_compare_the_training_loss_with_the_score_of_an_earlier_fit():
    """The negative of an accuracy of 1 is -1; the training loss never falls below it."""
    model = plain(solver="sgd", learning_rate="adaptive", learning_rate_init=0.1, max_iter=20, tol=0.0)
    model.set_params(early_stopping=True, n_iter_no_change=25).fit(SCALED, NAMES)
    model.set_params(early_stopping=False, n_iter_no_change=2, shuffle=False, batch_size=150)
    for _ in range(6):
        model.partial_fit(SCALED, NAMES)
    assert (np.diff(model.loss_curve_[-6:]) < 0).all()
    assert model._state.training.scale == 1.0


def test_partial_fit_evaluates_a_given_set_and_keeps_the_last_weights():
    scores = iter([0.9, 0.1, 0.2])
    model, other = plain(scoring=lambda *_: next(scores)), plain()
    for _ in range(3):
        model.partial_fit(X, Y, classes=CLASSES, **VALIDATION)
        other.partial_fit(X, Y, classes=CLASSES)
    assert model.validation_scores_ == [0.9, 0.1, 0.2]
    assert len(model.validation_loss_curve_) == len(model.loss_curve_) == 3
    np.testing.assert_array_equal(model.network_.theta, other.network_.theta)
    assert model._state.best.theta is None  # no second copy of the weights is kept
