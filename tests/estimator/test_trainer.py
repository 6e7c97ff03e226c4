"""The fit loop: best weights, early stopping and refit; Ctrl-C; and calls that fail."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from tests.support.bits import shown
from tests.support.data import DIGITS, NAMES, NUMBERS, SCALED, SPECIES, VALIDATION, X, Y
from tests.support.doubles import Ends, Interrupts
from tests.support.estimators import plain, quick
from tinyclf import SGD, DivergenceError, SigmoidCrossEntropy, TinyClassifier
from tinyclf.estimator import classifier
from tinyclf.estimator.callback_context import CallbackContext
from tinyclf.estimator.trainer import Trainer
from tinyclf.estimator.validation import Validation
from tinyclf.nn.state import TrainState

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

keeps = pytest.mark.promise("nothing is lost")

HUGE = np.where(SCALED > 0, 3e38, -3e38)
INFINITE = np.where(np.arange(150)[:, None] == 7, np.inf, SCALED)


def scorer(*scores):
    """A scorer that returns these scores, one for each epoch."""
    found = iter(scores)
    return lambda *_: next(found)


# --- the search for the best epoch, and the refit ----------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_the_first_of_the_best_weights_are_kept(solver):
    parameters = {"solver": solver, "max_iter": 7, "early_stopping": False}
    scores = scorer(0.1, 0.3, np.nan, 0.9, 0.9, 0.2, 0.4)
    model = plain(**parameters, scoring=scores).fit(X, Y, **VALIDATION)
    fourth = plain(**{**parameters, "max_iter": 4}).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, fourth.network_.theta)
    assert (model.best_validation_score_, model.best_epoch_) == (0.9, 4)
    assert len(model.validation_scores_) == model.n_iter_ == 7


def test_the_last_weights_are_kept_if_every_score_is_nan():
    model = plain(max_iter=3, scoring=lambda *_: np.nan).fit(X, Y, **VALIDATION)
    last = plain(max_iter=3, early_stopping=False).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, last.network_.theta)
    assert model.best_validation_score_ == -np.inf


@pytest.mark.parametrize(("early_stopping", "epochs"), [(True, 5), ("auto", 5), (False, 9)])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_training_stops_without_a_warning_by_the_validation_set_unless_early_stopping_is_false(
    solver, early_stopping, epochs
):
    scores = scorer(0.1, *[0.5] * 9)
    model = plain(solver=solver, early_stopping=early_stopping, scoring=scores, max_iter=9)
    model.set_params(n_iter_no_change=2, tol=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if epochs == 5 else "ignore")
        model.fit(X, Y, **VALIDATION)
    assert model.n_iter_ == epochs


def test_training_stops_on_a_plateau_and_warns_at_its_budget():
    model = plain(max_iter=100, learning_rate_init=0.05, tol=1e-2, n_iter_no_change=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(SCALED, NAMES)
    assert model.n_iter_ < 100
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\).*Increase max_iter"):
        plain(max_iter=3).fit(SCALED, NAMES)


@pytest.mark.parametrize("solver", ["adam", "sgd", SGD(0.3)], ids=repr)
@pytest.mark.parametrize("rule", ["linear", "cosine"])
def test_schedules_decrease_over_the_budget_and_end_without_a_warning(rule, solver):
    asked = []
    formula = {"linear": lambda s: 1.0 - s, "cosine": lambda s: np.cos(np.pi * s / 2) ** 2}[rule]
    model = plain(solver=solver, max_iter=7, batch_size=60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theta = model.set_params(learning_rate=rule).fit(SCALED, NAMES).network_.theta
        model.set_params(learning_rate=lambda s: asked.append(s) or formula(s)).fit(SCALED, NAMES)
    np.testing.assert_allclose(model.network_.theta, theta, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(asked, np.arange(21) / 21)


def test_the_last_short_batch_counts_in_proportion_to_its_rows():
    # 150 rows in batches of 100: the reported loss is the mean over rows, as in scikit-learn.
    model = plain(dtype="float64", alpha=0.3, batch_size=100, shuffle=False, max_iter=1, solver=SGD(1e-300))
    model.fit(SCALED, NAMES)
    losses = -model.predict_log_proba(SCALED)[np.arange(150), SPECIES]
    W2 = sum(np.sum(W**2) for W in model.coefs_)
    batches = [losses[:100].mean() + 0.15 * W2 / 100, losses[100:].mean() + 0.15 * W2 / 50]
    assert model.loss_ == pytest.approx((100 * batches[0] + 50 * batches[1]) / 150, rel=1e-12)


def test_lbfgs_that_converges_before_its_first_iteration_is_evaluated():
    model = plain(solver="lbfgs", tol=10.0).fit(X, Y, **VALIDATION)
    assert (model.n_iter_, model.loss_curve_, model.validation_scores_) == (0, [], [])
    assert model.best_loss_ == model.loss_ > 0
    log_p = model.predict_log_proba(VALIDATION["X_val"]).astype("float64")
    of_truth = log_p[np.arange(45), np.searchsorted(model.classes_, VALIDATION["y_val"])]
    assert model.best_validation_score_ == pytest.approx(of_truth.mean(), rel=1e-6)


def test_a_refit_after_a_callback_stopped_the_search_ends_at_the_best_epoch():
    model = quick(max_iter=40, calibrate=False).set_callbacks(Ends(9, True)).fit(DIGITS, NUMBERS)
    alone = quick(max_iter=40, calibrate=False, early_stopping=False, n_iter_no_change=np.inf)
    alone.set_callbacks(Ends(model.best_epoch_, True)).fit(DIGITS, NUMBERS)
    assert model.n_iter_ == 9 >= model.best_epoch_ == 1 + np.argmax(model.validation_scores_)
    np.testing.assert_array_equal(alone.network_.theta, model.network_.theta)
    state = model._state
    assert state.best.theta is state.initial is state.patience is None  # no further copies of the weights
    assert state.stopped is False


@pytest.mark.parametrize("earlier", [0, 2])
@pytest.mark.filterwarnings("ignore:batch_size=550")
def test_a_refit_repeats_the_search_on_all_rows_up_to_its_best_epoch(earlier):
    # The scores lower the learning rate after the third epoch, and the fourth is the best.
    search = {"early_stopping": True, "learning_rate": "adaptive", "n_iter_no_change": 1, "max_iter": 5}
    by_hand = {**search, "early_stopping": False, "learning_rate": lambda s: 0.2 if s > 0.59 else 1.0}
    thetas = []
    for more, callback in [
        ({**search, "scoring": scorer(0.5, 0.5, 0.5, 0.9, 0.1)}, Ends(9, None)),
        ({**by_hand, "n_iter_no_change": np.inf}, Ends(4, True)),
    ]:
        # Batches of 550 rows, or of the 480 that are not held out.
        model = quick(solver="sgd", batch_size=550, dtype="float64", calibrate=False, warm_start=True)
        if earlier:
            model.set_params(early_stopping=False, max_iter=earlier).fit(DIGITS, NUMBERS)
        thetas.append(model.set_params(**more).set_callbacks(callback).fit(DIGITS, NUMBERS).network_.theta)
    np.testing.assert_allclose(*thetas, rtol=1e-9, atol=1e-12)


def test_verbose_output_has_losses_scores_and_the_phases_of_the_fit(capsys):
    def output(model, *data, **validation):
        model.set_params(verbose=True).fit(*data, **validation)
        return capsys.readouterr().out.splitlines()

    model = plain(max_iter=2, early_stopping=True, n_iter_no_change=1, tol=9.0)
    lines = output(model, X, Y, **VALIDATION)
    assert lines[::2] == [f"Iteration {i}, loss = {loss:.8f}" for i, loss in enumerate(model.loss_curve_, 1)]
    assert lines[1::2] == [f"Validation score: {score:f}" for score in model.validation_scores_]
    reason = "did not improve more than tol=9.000000 for 1 consecutive epochs."
    assert (
        output(model.set_params(max_iter=9), X, Y, **VALIDATION)[-1] == f"Validation score {reason} Stopping."
    )
    assert output(model.set_params(early_stopping=False), X, Y)[-1] == f"Training loss {reason} Stopping."
    adaptive = plain(solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=9.0, max_iter=20)
    lines = output(adaptive.set_params(learning_rate_init=1e-4), X, Y)
    assert f"Training loss {reason} Setting learning rate to 0.000020" in lines
    assert lines[-1] == f"Training loss {reason} Learning rate too small. Stopping."
    lines = output(quick(), DIGITS, np.random.default_rng(0).permutation(NUMBERS))
    assert any(line.startswith("Training from the start on all 600 rows, for ") for line in lines)
    assert lines[-1].startswith("Calibrated: logits are shrunk by 0")
    quick(verbose=False).fit(DIGITS, NUMBERS)
    assert capsys.readouterr().out == ""


# --- Ctrl-C ------------------------------------------------------------------------------------------------


@keeps
@pytest.mark.parametrize("validation", [{}, VALIDATION])
def test_an_interrupted_fit_keeps_its_best_weights_or_the_last(validation):
    # 105 rows in batches of 35, and the validation set in one: the interrupt comes in the third epoch.
    model = plain(batch_size=35, loss=Interrupts(at=10 if validation else 8), scoring=scorer(0.9, 0.1, 0.2))
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.fit(X, Y, **validation)
    assert len(model.loss_curve_) == model.n_iter_ == 2
    last = 1 if validation else 2
    expected = plain(batch_size=35, max_iter=last, loss=Interrupts(at=1000)).fit(X, Y)
    if validation:
        np.testing.assert_array_equal(model.network_.theta, expected.network_.theta)
    else:  # the steps of the third epoch remain
        assert model.loss_curve_ == expected.loss_curve_
        assert np.isfinite(model.predict_proba(X)).all()


@keeps
def test_an_interrupted_fit_by_lbfgs_keeps_its_last_iteration():
    model = plain(solver="lbfgs", loss=Interrupts(at=8))
    with pytest.warns(UserWarning, match="interrupted by user after 5 epochs"):
        model.fit(X, Y)
    expected = plain(solver="lbfgs", max_iter=5).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, expected.network_.theta)


@keeps
def test_an_interrupted_evaluation_leaves_curves_of_equal_length():
    def interrupts(*_):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return 0.5

    calls = iter(range(1, 100))
    model = plain(scoring=interrupts, early_stopping=True)
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.fit(X, Y, **VALIDATION)
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_scores_) == 2
    assert len(model.validation_loss_curve_) == 2


@keeps
def test_a_first_fit_interrupted_in_its_first_epoch_leaves_a_model_that_predicts():
    model = plain(loss=Interrupts(at=1))
    with pytest.warns(UserWarning, match="interrupted by user after 0 epochs"):
        model.fit(X, Y)
    assert model.predict_proba(X).shape == (len(X), 3)


@keeps
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_second_fit_interrupted_in_its_first_epoch_keeps_the_earlier_model_and_later_its_own(warm_start):
    model = plain(batch_size=35, max_iter=3, warm_start=warm_start).fit(X, Y)
    before = shown(model._state)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(loss=Interrupts(at=2)).fit(X, Y)
    assert shown(model._state) == before
    earlier = model._state
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.set_params(loss=Interrupts(at=8)).fit(X, Y)
    assert model.n_iter_ == 2
    assert len(model.loss_curve_) == (5 if warm_start else 2)
    assert shown(earlier) == before  # the fit trained a copy


@keeps
def test_an_interrupted_partial_fit_changes_nothing():
    model = plain(batch_size=50, loss=Interrupts(at=5)).partial_fit(SCALED, NAMES, classes=np.unique(NAMES))
    before = shown(model._state)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(SCALED, NAMES)
    assert shown(model._state) == before


@keeps
@pytest.mark.parametrize(("at", "epochs"), [(2 * 9 + 4, 2), (3 * 9 + 15, 3)], ids=["search", "refit"])
def test_an_interrupted_search_or_refit_keeps_the_best_weights_of_the_search(at, epochs):
    # 480 of 600 rows in batches of 64 are 8 batches, and the 120 rows to validate are one more.
    model = quick(loss=Interrupts(at), calibrate=False)
    with pytest.warns(UserWarning, match=f"interrupted by user after {epochs} epochs"):
        model.fit(DIGITS, NUMBERS)
    search = quick(loss=Interrupts(at=10**6), calibrate=False, refit=False)
    search.set_callbacks(Ends(epochs, True)).fit(DIGITS, NUMBERS)
    np.testing.assert_array_equal(model.network_.theta, search.network_.theta)


def test_an_interrupted_refit_is_calibrated_on_the_held_out_rows():
    rng = np.random.default_rng(0)
    noise, y = rng.normal(size=(200, 20)), rng.integers(0, 2, 200)

    class Stops(SigmoidCrossEntropy):
        steps = 0

        def value_and_grad(self, z, y, w, dz, t):
            Stops.steps += len(z) in (64, 36)
            if Stops.steps == 2 * 40 + 30:  # 100 rows are two batches; then four of 64, 64, 64 and 8
                Stops.steps += 10**6
                raise KeyboardInterrupt
            return super().value_and_grad(z, y, w, dz, t)

    with pytest.warns(UserWarning, match="interrupted by user after 40 epochs"):
        model = TinyClassifier(loss=Stops(), random_state=0).fit(noise, y)
    assert model.calibration_ < 0.1


@keeps
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("place", "refitted"),
    [
        ((CallbackContext, "training_ends"), False),
        ((Validation, "shrinkage"), False),
        ((TrainState, "restore"), False),  # afterwards, the weights are those before the first epoch
        ((Trainer, "_calibrate"), True),
        ((CallbackContext, "fit_ends"), True),
    ],
    ids=lambda case: case[1] if isinstance(case, tuple) else "",
)
def test_an_interrupt_after_the_last_epoch_keeps_the_model(monkeypatch, place, refitted, after):
    expected = quick(refit=refitted).fit(DIGITS, NUMBERS).network_.theta
    original, calls, outcomes = getattr(*place), [], []

    def interrupted(*arguments):
        calls.append(arguments)
        if after or len(calls) > 1:
            original(*arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(*place, interrupted)
    monkeypatch.setattr(classifier, "diagnose", lambda *arguments: outcomes.append(arguments[3]) or [])
    with pytest.warns(UserWarning, match="interrupted by user after 3 epochs"):
        model = quick().fit(DIGITS, NUMBERS)
    monkeypatch.undo()
    np.testing.assert_array_equal(model.network_.theta, expected)
    assert len(outcomes[0].rows) == (600 if refitted else model.plan_.n_train)
    assert model._state.finished is False
    assert np.isfinite(model.partial_fit(DIGITS, NUMBERS).predict_proba(DIGITS)).all()


# --- calls that fail ---------------------------------------------------------------------------------------


def fails(*_):
    raise RuntimeError("no score today")


def fails_in_the_third_epoch(model, X, y):
    return 0.5 if model.n_iter_ < 2 else fails()


ROSES = np.where(NAMES == "setosa", "rose", NAMES)
ADAPTIVE = {"solver": "sgd", "learning_rate": "adaptive"}
WARM = {"warm_start": True}


@keeps
@pytest.mark.parametrize(
    ("call", "changes", "given", "match"),
    [
        ("fit", {"dtype": "float16"}, {}, "float16"),
        ("fit", {}, {"X": INFINITE}, "inf at row 7"),
        ("fit", {"solver": SGD(1e20), "activation": "identity"}, {"X": SCALED[:, :3]}, r"diverged.*epoch \d"),
        ("fit", {"scoring": fails_in_the_third_epoch}, VALIDATION, "no score today"),
        ("fit", {**WARM, "scoring": fails_in_the_third_epoch}, VALIDATION, "no score today"),
        ("fit", WARM, {"X": HUGE}, "training diverged"),
        ("fit", WARM, {"y": ROSES}, "same classes as in the previous call"),
        ("fit", WARM, {"X": SCALED[:, :3]}, "3 features"),
        (
            "fit",
            {**WARM, "hidden_layer_sizes": 9},
            {},
            "layers .*units=8.* define .*units=9.*warm_start=False",
        ),
        ("fit", {**WARM, "activation": "tanh"}, {}, "layers cannot change"),
        ("fit", {**WARM, "dropout": 0.5}, {}, "layers cannot change"),
        ("fit", {**WARM, "dtype": "float64"}, {}, "computes in float32, .* dtype='float64'"),
        ("partial_fit", {}, {"y": ROSES}, r"not among the classes: \['rose'\]"),
        ("partial_fit", {}, {"X": SCALED[:, :3]}, "3 features, .* expecting 4"),
        ("partial_fit", {}, {"sample_weight": -np.ones(150)}, "got -1.0 at row 0"),
        ("partial_fit", {}, {"classes": ["setosa", "tulip"]}, "not the same as on last call"),
        ("partial_fit", {}, {"X": HUGE}, "training diverged"),
        ("partial_fit", {"solver": "sgd"}, {"X": HUGE}, "training diverged"),
        ("partial_fit", {"solver": "sgd"}, {"sample_weight": -np.ones(150)}, "got -1.0 at row 0"),
        ("partial_fit", {"dtype": "float64"}, {}, "computes in float32"),
        ("partial_fit", {**ADAPTIVE, "scoring": fails}, VALIDATION, "no score today"),
    ],
)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_failed_call_changes_nothing(solver, call, changes, given, match):
    model = plain(solver=solver, batch_size=40, max_iter=5).fit(SCALED, NAMES)
    before, state, parameters = shown(model), model._state, model.get_params(deep=False)
    with pytest.raises((ValueError, RuntimeError), match=match):
        getattr(model.set_params(**changes), call)(**{"X": SCALED, "y": NAMES, **given})
    assert model._state is state
    assert shown(model.set_params(**parameters)) == before


def test_a_first_fit_that_fails_leaves_no_attributes():
    model = quick()
    with pytest.raises(ValueError, match="inf at row 7"):
        model.fit(INFINITE, NAMES)
    assert vars(model) == vars(quick())


def test_a_divergence_error_states_the_numbers_and_the_fix():
    model = plain(solver=SGD(1e20), activation="identity")
    with pytest.raises(DivergenceError, match=r"epoch \d+, batch 1: .*largest input.*logit.*Scale") as error:
        model.fit(SCALED, NAMES)
    assert error.value.largest_input == np.abs(SCALED.astype("float32")).max()
    with pytest.raises(DivergenceError) as error:
        model.set_params(scale_inputs=True).fit(SCALED, NAMES)
    assert "Scale" not in str(error.value)  # the features are scaled already
