"""The estimator: choices of parts, scikit-learn's tools, copies, partial_fit, errors for invalid input."""

import copy
import pickle
import re
import tracemalloc
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import scipy.special
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.support.doubles import Interrupts
from tests.support.parts import PLAIN, Brier, PReLU, RMSprop, Swish
from tinyclf import (
    SGD,
    SKLEARN_DEFAULTS,
    Adam,
    Dense,
    DivergenceError,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
    cross_entropy,
    train,
)
from tinyclf.teaching import ClippedSoftmaxCrossEntropy, NaiveSoftmaxCrossEntropy

# Fits that stop early are tested separately.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, LABELS = load_digits(return_X_y=True)
IRIS, SPECIES = load_iris(return_X_y=True)
IRIS = StandardScaler().fit_transform(IRIS)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
TUMOURS, BENIGN = load_breast_cancer(return_X_y=True)
TUMOURS = StandardScaler().fit_transform(TUMOURS)

FLOAT32_WEIGHTS = (
    "in float32 the sums of weighted and of repeated rows round differently, and the check requires 1e-7"
)


@parametrize_with_checks(
    [
        TinyClassifier(dtype="float64"),
        TinyClassifier(**PLAIN, dtype="float64"),
        TinyClassifier(),
        TinyClassifier(dtype=None),
        TinyClassifier(loss="sigmoid_cross_entropy", dtype="float64"),
    ],
    expected_failed_checks=lambda estimator: (
        {
            "check_sample_weight_equivalence_on_dense_data": FLOAT32_WEIGHTS,
            "check_sample_weight_equivalence_on_sparse_data": FLOAT32_WEIGHTS,
        }
        if estimator.dtype == "float32"
        else {}
    ),
)
@pytest.mark.filterwarnings("ignore::tinyclf.TrainingWarning")  # the data of the checks are not scaled
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def quick(**parameters):
    return TinyClassifier(**{"hidden_layer_sizes": 8, "max_iter": 30, "random_state": 0, **parameters})


def plainly(**parameters):
    """The same with plain training on all rows."""
    return quick(**{**PLAIN, "max_iter": 30, **parameters})


# --- it learns, with every choice of parts ---------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": (20, 10)},
        {"hidden_layer_sizes": np.array([12])},
        {"activation": "tanh"},
        {"activation": "logistic"},
        {"activation": "identity"},
        {"activation": Swish()},
        {"activation": PReLU()},
        {"solver": "sgd", "learning_rate_init": 0.1},
        {"solver": SGD(0.3)},
        {"solver": RMSprop()},
        {"loss": "softmax_cross_entropy"},
        {"loss": SoftmaxCrossEntropy(label_smoothing=0.1)},
        {"loss": Brier()},
        {"loss": NaiveSoftmaxCrossEntropy()},
        {"loss": ClippedSoftmaxCrossEntropy()},
        {"dtype": "float64"},
        {"dtype": np.float32},
        {"dtype": None},
        {"batch_size": 16},
        {"shuffle": False},
    ],
    ids=repr,
)
def test_every_part_can_be_chosen_and_learns(parameters):
    settings = {"max_iter": 150, "learning_rate_init": 0.02, **parameters}
    for X, y in [(IRIS, NAMES), (TUMOURS, BENIGN.astype(bool))]:
        model = clone(quick(**settings)).fit(X, y)
        assert model.score(X, y) > 0.9
        p = model.predict_proba(X)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
        assert type(eval_repr(model)) is TinyClassifier


def eval_repr(model):
    """Build the estimator from its repr."""
    names = {**globals(), "array": np.array, "float32": np.float32, "numpy": np}
    return eval(re.sub(r"<class '(.*?)'>", r"\1", repr(model)), names)


def test_log_probabilities_come_from_the_logits():
    X = DIGITS * 50  # far from the training rows: logits in the thousands
    model = plainly(max_iter=5).fit(DIGITS, LABELS)
    log_p = model.predict_log_proba(X)
    assert np.isfinite(log_p).all()
    with np.errstate(divide="ignore"):
        assert not np.isfinite(np.log(model.predict_proba(X))).all()
    losses = cross_entropy(model.decision_function(X), LABELS)
    np.testing.assert_array_equal(-log_p[np.arange(len(X)), LABELS], losses)


def test_two_classes_have_one_logit():
    model = quick().fit(TUMOURS, BENIGN)
    z = model.decision_function(TUMOURS)
    assert z.shape == (len(TUMOURS),)
    assert (model.n_outputs_, model.out_activation_, model.coefs_[-1].shape) == (1, "logistic", (8, 1))
    np.testing.assert_array_equal(model.predict(TUMOURS), (z > 0).astype(int))
    np.testing.assert_allclose(model.predict_proba(TUMOURS)[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-5)
    np.testing.assert_allclose(
        np.diff(model.predict_log_proba(TUMOURS), axis=1)[:, 0], z, rtol=1e-5, atol=1e-5
    )
    both = quick(loss="softmax_cross_entropy").fit(TUMOURS, BENIGN)
    assert (both.n_outputs_, both.out_activation_) == (2, "softmax")
    z = both.decision_function(TUMOURS)
    assert z.shape == (len(TUMOURS),)
    np.testing.assert_array_equal(both.predict(TUMOURS), (z > 0).astype(int))
    np.testing.assert_allclose(both.predict_proba(TUMOURS)[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_are_scipys_softmax_of_the_logits(dtype):
    model = quick(dtype=dtype).fit(DIGITS, LABELS)
    expected = scipy.special.softmax(model.decision_function(DIGITS).astype("float64"), axis=1)
    rtol = 1e-7 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(model.predict_proba(DIGITS), expected, rtol=rtol)


@pytest.mark.parametrize(
    "loss", ["log_loss", "softmax_cross_entropy", "sigmoid_cross_entropy", SigmoidCrossEntropy()], ids=str
)
def test_a_single_class_has_probability_one(loss):
    model = quick(loss=loss).fit(IRIS, ["only"] * len(IRIS))
    assert model.predict_proba(IRIS[:3]).tolist() == [[1.0]] * 3
    assert model.predict_log_proba(IRIS[:3]).tolist() == [[0.0]] * 3
    assert model.predict(IRIS[:2]).tolist() == ["only", "only"]


def test_softmax_regression_agrees_with_logistic_regression():
    descent = {"solver": "sgd", "learning_rate_init": 0.5, "batch_size": 150, "max_iter": 3000, "tol": 0}
    ours = TinyClassifier((), dtype="float64", random_state=0, **{**PLAIN, "alpha": 1.0, **descent}).fit(
        IRIS, NAMES
    )
    theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(IRIS, NAMES)
    np.testing.assert_allclose(ours.predict_proba(IRIS), theirs.predict_proba(IRIS), atol=1e-4)


def test_fitted_attributes_are_those_of_mlp_classifier():
    parameters = {"hidden_layer_sizes": (7, 5), "batch_size": 32, "max_iter": 4, "random_state": 0}
    for X, y in [(IRIS, NAMES), (TUMOURS, BENIGN)]:
        ours = TinyClassifier(**{**SKLEARN_DEFAULTS, **parameters}).fit(X, y)
        theirs = MLPClassifier(**parameters).fit(X, y)
        for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert ours.classes_.tolist() == theirs.classes_.tolist()
        for name in ("coefs_", "intercepts_"):
            assert [a.shape for a in getattr(ours, name)] == [a.shape for a in getattr(theirs, name)]
        assert len(ours.loss_curve_) == 4
        assert ours.loss_ == ours.loss_curve_[-1]
        assert ours.best_loss_ == min(ours.loss_curve_)


@pytest.mark.parametrize(
    ("solver", "name", "value"),
    [
        ("adam", "beta_1", 0.5),
        ("adam", "beta_2", 0.5),
        ("adam", "epsilon", 0.1),
        ("adam", "alpha", 1.0),
        ("adam", "learning_rate_init", 0.01),
        ("adam", "batch_size", 30),
        ("adam", "shuffle", False),
        ("sgd", "momentum", 0.5),
        ("sgd", "nesterovs_momentum", False),
    ],
)
def test_every_parameter_of_training_changes_the_weights(solver, name, value):
    plain, changed = (
        plainly(solver=solver, batch_size=40, **{}).set_params(**parameters).fit(IRIS, NAMES)
        for parameters in ({}, {name: value})
    )
    assert (plain.network_.theta != changed.network_.theta).any()


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
def test_initial_weights_are_within_scikit_learns_bounds(activation):
    model = plainly(hidden_layer_sizes=(200, 150), activation=activation, max_iter=1, solver=SGD(1e-30))
    model.fit(IRIS, NAMES)
    factor = 2.0 if activation == "logistic" else 6.0
    for W, b in zip(model.coefs_, model.intercepts_, strict=True):
        bound = np.sqrt(factor / sum(W.shape))
        assert 0.95 * bound < np.abs(W).max() <= bound
        assert np.abs(b).max() <= bound
        assert np.abs(b).max() > 0.5 * bound


def test_the_best_loss_is_the_lowest():
    model = plainly(learning_rate_init=0.1, activation="tanh", batch_size=10, max_iter=20)
    model.fit(DIGITS[:100], LABELS[:100])
    assert np.argmin(model.loss_curve_) < 19  # it goes up and down
    assert model.best_loss_ == min(model.loss_curve_) < model.loss_


def test_infinite_patience_trains_for_the_whole_budget():
    model = quick(n_iter_no_change=np.inf, tol=1e9, max_iter=40).fit(IRIS, NAMES)
    assert model.n_iter_ == 40


def test_every_parameter_of_mlp_classifier_exists_and_sklearn_defaults_has_its_default():
    theirs = MLPClassifier().get_params()
    assert theirs.items() <= TinyClassifier(**SKLEARN_DEFAULTS).get_params().items()
    assert set(SKLEARN_DEFAULTS) == {*theirs, "dtype", "scale_inputs", "calibrate", "refit"}
    changed = {name for name, value in theirs.items() if TinyClassifier().get_params()[name] != value}
    assert changed == {
        "batch_size",
        "early_stopping",
        "learning_rate",
        "learning_rate_init",
        "max_iter",
        "validation_fraction",
    }


# --- scikit-learn's tools --------------------------------------------------------------------------------


def test_the_estimator_works_in_pipelines_searches_and_ensembles():
    pipeline = make_pipeline(StandardScaler(), quick(max_iter=100, learning_rate_init=0.02))
    assert cross_val_score(pipeline, IRIS, NAMES).mean() > 0.9
    search = GridSearchCV(
        pipeline,
        {
            "tinyclassifier__hidden_layer_sizes": [(), 8],
            "tinyclassifier__activation": ["tanh", Swish()],
            "tinyclassifier__solver": [Adam(0.02), SGD(0.2, 0.9)],
        },
        n_jobs=2,
        cv=2,
        error_score="raise",
    ).fit(IRIS, NAMES)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.predict(IRIS[:1]).tolist() == ["setosa"]
    calibrated = CalibratedClassifierCV(pipeline, cv=2).fit(IRIS, NAMES)
    assert log_loss(NAMES, calibrated.predict_proba(IRIS)) < 0.5
    temperature = CalibratedClassifierCV(pipeline, cv=2, method="temperature").fit(IRIS, NAMES)
    assert temperature.score(IRIS, NAMES) > 0.9
    voting = VotingClassifier([("a", pipeline), ("b", LogisticRegression())], voting="soft")
    assert voting.fit(IRIS, NAMES).score(IRIS, NAMES) > 0.9


@pytest.mark.parametrize(
    "y",
    [
        NAMES,
        NAMES.astype(object),
        SPECIES.astype(object),
        SPECIES,
        SPECIES - 5,
        SPECIES * 1.0,
        pd.Series(NAMES),
        NAMES.tolist(),
    ],
    ids=["str", "object", "int in object", "int", "negative", "float", "series", "list"],
)
def test_labels_of_any_kind_are_predicted_as_given(y):
    model = quick(max_iter=60, learning_rate_init=0.02).fit(IRIS, y)
    predicted = model.predict(IRIS)
    assert set(predicted.tolist()) <= set(np.asarray(y).tolist())
    assert (predicted == np.asarray(y)).mean() > 0.9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [quick, plainly])
def test_kinds_of_input_do_not_matter(make, dtype):
    X = IRIS.round(2)
    frame = pd.DataFrame(X, columns=list("abcd"))
    dense = [X, np.asfortranarray(X), X.tolist(), frame, np.repeat(X, 2, axis=0)[::2]]
    sparse = [scipy.sparse.csr_array(X), scipy.sparse.csr_matrix(X), scipy.sparse.csc_array(X)]
    # Sparse columns are scaled but not centered, so the model differs.
    for kinds in [dense, sparse] if make().scale_inputs else [dense + sparse]:
        expected = make(dtype=dtype).fit(kinds[0], NAMES).predict_proba(kinds[0])
        for kind in kinds[1:]:
            model = make(dtype=dtype).fit(kind, NAMES)
            np.testing.assert_array_equal(model.predict_proba(kind), expected)
    model = make(dtype=dtype).fit(frame, NAMES)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("bacd")])


@pytest.mark.parametrize("dtype", ["float32", "float64", None])
def test_outputs_have_the_dtype_of_the_computation(dtype):
    for X in (IRIS, IRIS.astype("float32"), (IRIS * 10).astype("int8")):
        model = quick(dtype=dtype).fit(X, NAMES)
        expected = np.dtype(dtype or ("float32" if X.dtype == "float32" else "float64"))
        for output in (model.predict_proba, model.predict_log_proba, model.decision_function):
            assert output(X).dtype == expected
        assert model.coefs_[0].dtype == expected


def test_input_is_not_changed():
    X, y, w = DIGITS[:200].copy(), LABELS[:200].copy(), np.arange(200.0)
    for array in (X, y, w):
        array.flags.writeable = False
    model = quick(max_iter=2).fit(X, y, w).partial_fit(X, y, w)
    model.predict_proba(X)


# --- randomness, copies, weights -------------------------------------------------------------------------


def test_fits_repeat_bit_for_bit_with_a_seed_and_differ_without():
    def theta(seed):
        return quick(random_state=seed).fit(IRIS, NAMES).network_.theta

    np.testing.assert_array_equal(theta(3), theta(3))
    np.testing.assert_array_equal(theta(np.random.RandomState(3)), theta(np.random.RandomState(3)))
    assert (theta(3) != theta(4)).all()
    assert (theta(None) != theta(None)).all()


def test_copies_predict_and_learn_like_the_original(tmp_path):
    model = quick(max_iter=5).fit(IRIS, NAMES)
    expected = model.predict_proba(IRIS)
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    copies = [
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        joblib.load(path),
        joblib.load(path, mmap_mode="r"),
    ]
    later = model.partial_fit(IRIS, NAMES).predict_proba(IRIS)
    for loaded in copies:
        np.testing.assert_array_equal(loaded.predict_proba(IRIS), expected)
        np.testing.assert_array_equal(loaded.partial_fit(IRIS, NAMES).predict_proba(IRIS), later)


def test_assignment_to_coefs_and_intercepts_changes_the_network(tmp_path):
    model = plainly(hidden_layer_sizes=(), dtype="float64").fit(IRIS, NAMES)
    W, b = np.arange(12.0).reshape(4, 3), np.array([1.0, 2.0, 3.0])
    for one in (model, pickle.loads(pickle.dumps(model))):
        one.coefs_[0] = W
        one.intercepts_ = [b]
        np.testing.assert_allclose(one.decision_function(IRIS), IRIS @ W + b)
        one.coefs_ = [2 * W]
        one.intercepts_[0] += 1.0
        np.testing.assert_allclose(one.decision_function(IRIS), 2 * IRIS @ W + b + 1)
    with pytest.raises(ValueError, match=r"array 0 has shape \(4, 3\), got an array of shape \(3, 4\)"):
        model.coefs_[0] = W.T
    assert not hasattr(TinyClassifier(), "coefs_")


def test_a_row_of_weight_zero_is_left_out_whatever_its_label():
    w = np.ones(len(IRIS))
    w[::3] = 0.0
    weighted = quick().fit(IRIS, NAMES, w)
    without = quick().fit(IRIS[w > 0], NAMES[w > 0])
    np.testing.assert_allclose(weighted.predict_proba(IRIS), without.predict_proba(IRIS), rtol=1e-4)


def test_fit_equals_train_with_the_same_parts():
    # fit and train run the same code.
    model = plainly(hidden_layer_sizes=(9,), activation="tanh", max_iter=6).fit(IRIS, NAMES)
    start = plainly(hidden_layer_sizes=(9,), activation="tanh", max_iter=1)
    start.set_params(solver=SGD(1e-30)).fit(
        IRIS, NAMES
    )  # a learning rate of about 0 keeps the initial weights
    network = start.network_
    assert list(map(type, network.layers)) == [Dense, Tanh, Dense]
    seed = np.random.RandomState(0).randint(2**32, size=4, dtype=np.uint32)
    rng = np.random.default_rng(seed).spawn(2)[1]
    reports = train(
        network, IRIS, SPECIES, optimizer=Adam(1e-3), epochs=6, batch_size=150, alpha=1e-4, seed=rng
    )
    np.testing.assert_array_equal([r.loss for r in reports], model.loss_curve_)
    np.testing.assert_array_equal(network.theta, model.network_.theta)


# --- stopping, verbose output, partial_fit -----------------------------------------------------------------


def test_fit_stops_on_a_plateau_and_warns_at_the_budget(capsys):
    model = plainly(max_iter=500, learning_rate_init=0.05, tol=1e-2, n_iter_no_change=2, verbose=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(IRIS, NAMES)
    assert model.n_iter_ < 500
    output = capsys.readouterr().out
    assert output.startswith(f"Iteration 1, loss = {model.loss_curve_[0]:.8f}\n")
    assert "did not improve more than tol=0.010000 for 2 consecutive epochs" in output
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\).*Increase max_iter"):
        plainly(max_iter=3).fit(IRIS, NAMES)
    assert capsys.readouterr().out == ""


def test_a_warning_turned_into_an_error_keeps_the_fitted_model():
    model = plainly(max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            model.fit(IRIS, NAMES)
    assert model.n_iter_ == 3
    assert model.predict(IRIS).shape == (150,)


def test_an_interrupted_fit_keeps_the_last_finished_epoch():
    model = plainly(loss=Interrupts(at=8), batch_size=50)
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.fit(IRIS, NAMES)
    assert len(model.loss_curve_) == 2
    assert np.isfinite(model.predict_proba(IRIS)).all()


def test_a_second_fit_interrupted_in_its_first_epoch_keeps_the_earlier_model():
    model = plainly(batch_size=50).fit(IRIS, NAMES)
    before = model.predict_proba(IRIS)

    model.set_params(loss=Interrupts(at=2))
    with pytest.raises(KeyboardInterrupt):
        model.fit(IRIS, NAMES)
    np.testing.assert_array_equal(model.predict_proba(IRIS), before)


def test_partial_fit_does_not_compare_the_training_loss_with_the_score_of_an_earlier_fit():
    """The negative of an accuracy of 1 is -1; the training loss never falls below it."""
    model = plainly(solver="sgd", learning_rate="adaptive", learning_rate_init=0.1, max_iter=20, tol=0.0)
    model.set_params(early_stopping=True, n_iter_no_change=25).fit(IRIS, NAMES)
    model.set_params(early_stopping=False, n_iter_no_change=2, shuffle=False, batch_size=150)
    for _ in range(6):
        model.partial_fit(IRIS, NAMES)
    assert (np.diff(model.loss_curve_[-6:]) < 0).all()
    assert model._state.training.scale == 1.0


def test_an_interrupted_partial_fit_changes_nothing():
    model = plainly(batch_size=50, loss=Interrupts(at=5)).partial_fit(IRIS, NAMES, classes=np.unique(NAMES))
    before = model.network_.theta.copy()
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(IRIS, NAMES)
    np.testing.assert_array_equal(model.network_.theta, before)
    assert len(model.loss_curve_) == 1


def test_a_partial_fit_that_fails_after_a_change_of_solver_changes_nothing():
    for first, second in [("adam", "sgd"), ("sgd", "adam")]:
        model = plainly(learning_rate_init=0.05, solver=first).fit(IRIS, NAMES)
        unchanged = copy.deepcopy(model)
        model.set_params(solver=second)
        with pytest.raises(DivergenceError):
            model.partial_fit(np.where(IRIS > 0, 3e38, -3e38), NAMES)
        with pytest.raises(ValueError, match="sample_weight"):
            model.partial_fit(IRIS, NAMES, -np.ones(150))
        model.set_params(solver=first)
        for one in (model, unchanged):
            one.partial_fit(IRIS, NAMES)
        np.testing.assert_array_equal(model.network_.theta, unchanged.network_.theta)


def test_partial_fit_does_not_warn_of_many_classes():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().partial_fit(X, y, classes=y).partial_fit(X, y)


def test_partial_fit_trains_for_one_epoch_and_continues_a_fit():
    model = plainly(learning_rate_init=0.05)
    for call in range(40):
        model.partial_fit(IRIS, NAMES, classes=np.unique(NAMES) if call == 0 else None)
    assert model.score(IRIS, NAMES) > 0.9
    assert len(model.loss_curve_) == 40
    assert (model.n_iter_, model.t_) == (1, 40 * 150)
    fitted = plainly(max_iter=4).fit(IRIS, NAMES)
    resumed = plainly(max_iter=3).fit(IRIS, NAMES).partial_fit(IRIS, NAMES)
    np.testing.assert_array_equal(fitted.network_.theta, resumed.network_.theta)


def test_partial_fit_accepts_rows_of_some_classes_and_changed_learning_rates():
    model = plainly(solver="sgd").partial_fit(IRIS[:50], NAMES[:50], classes=np.unique(NAMES))
    before = model.network_.theta.copy()
    model.set_params(learning_rate_init=1e-30, momentum=0.0).partial_fit(IRIS[50:], NAMES[50:])
    np.testing.assert_array_equal(model.network_.theta, before)
    model.set_params(solver="adam", learning_rate_init=0.01).partial_fit(IRIS, NAMES)
    assert (model.network_.theta != before).any()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((IRIS, np.array(["rose"] * 150)), r"not among the classes: \['rose'\]"),
        ((IRIS[:, :3], NAMES), "3 features, but TinyClassifier is expecting 4"),
        ((IRIS, NAMES, -np.ones(150)), "got -1.0 at row 0"),
        ((IRIS, NAMES, None, ["setosa", "tulip"]), "is not the same as on last call"),
        ((np.where(IRIS > 0, 3e38, -3e38), NAMES), "training diverged"),
    ],
)
def test_a_failed_partial_fit_changes_nothing(arguments, match):
    model = quick(batch_size=40).fit(IRIS, NAMES)
    unchanged = copy.deepcopy(model)
    with pytest.raises(ValueError, match=match):
        model.partial_fit(*arguments)
    assert model.loss_curve_ == unchanged.loss_curve_
    for one in (model, unchanged):
        one.partial_fit(IRIS, NAMES)
    np.testing.assert_array_equal(model.network_.theta, unchanged.network_.theta)


def test_partial_fit_needs_classes_in_its_first_call():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(IRIS, NAMES)
    for classes in ([], {"setosa"}, [[0, 1]], [0.0, 1.0, np.nan]):
        with pytest.raises(
            ValueError, match="classes must be a list of labels, at least one and none of them NaN, got"
        ):
            quick().partial_fit(IRIS, SPECIES, classes=classes)


@pytest.mark.parametrize(
    "parameter",
    [
        {"solver": "bogus"},
        {"batch_size": "bogus"},
        {"learning_rate": "bogus"},
        {"loss": "bogus"},
        {"tol": "a"},
    ],
    ids=repr,
)
def test_later_calls_of_partial_fit_check_the_parameters_too(parameter):
    model = quick().partial_fit(IRIS, NAMES, classes=np.unique(NAMES)).set_params(**parameter)
    with pytest.raises(ValueError, match=f"The '{next(iter(parameter))}' parameter"):
        model.partial_fit(IRIS, NAMES)


# --- bad input ---------------------------------------------------------------------------------------------


def test_a_second_fit_that_fails_for_its_dtype_leaves_a_model_that_predicts():
    model = quick().fit(IRIS, NAMES)
    expected = model.predict_proba(IRIS)
    model.set_params(dtype="float16")
    with pytest.raises(ValueError, match="float16"):
        model.fit(IRIS, NAMES)
    np.testing.assert_array_equal(model.predict_proba(IRIS), expected)


def test_a_first_fit_that_fails_leaves_no_attributes():
    model = quick()
    with pytest.raises(ValueError, match="NaN at row 7"):
        model.fit(with_value(np.nan), NAMES)
    assert vars(model) == vars(quick())


def test_a_divergence_error_states_the_numbers_and_the_fix_and_keeps_the_earlier_fit():
    model = plainly().fit(IRIS, NAMES)
    before = vars(model).copy()
    model.set_params(solver=SGD(1e20), activation="identity")
    with pytest.raises(DivergenceError, match=r"epoch \d+, batch 1: .*largest input.*logit.*Scale") as error:
        model.fit(IRIS[:, :3], NAMES)
    assert error.value.largest_input == np.abs(IRIS[:, :3].astype("float32")).max()
    assert model.n_features_in_ == 4
    assert model.network_ is before["_state"].network
    assert np.isfinite(model.predict_proba(IRIS)).all()


def with_value(value):
    X = IRIS.copy()
    X[7, 2] = value
    return X


@pytest.mark.parametrize(
    ("X", "y", "w", "match"),
    [
        (with_value(np.nan), NAMES, None, "NaN at row 7, column 2.*remove or impute"),
        (with_value(np.inf), NAMES, None, "inf at row 7, column 2.*remove or impute"),
        (with_value(1e39).tolist(), NAMES, None, "row 7, column 2"),
        (pd.DataFrame(with_value(1e39)).astype("Float64"), NAMES, None, "row 7, column 2"),
        (with_value(1e39), NAMES, None, r'1e\+39 at row 7, column 2.*dtype="float64"'),
        (scipy.sparse.csr_array(with_value(-1e300)), NAMES, None, r"-1e\+300 at row 7, column 2"),
        (IRIS[0], NAMES, None, "Expected 2D array"),
        (IRIS, NAMES[:-1], None, "inconsistent numbers of samples"),
        (IRIS[:0], NAMES[:0], None, "0 sample"),
        (IRIS[:, :0], NAMES, None, "0 feature"),
        (IRIS, np.linspace(0, 1, 150), None, "Unknown label type: continuous"),
        (IRIS, np.eye(3)[SPECIES] + 0.5, None, "continuous-multioutput"),
        (IRIS, np.stack([SPECIES, SPECIES], axis=1), None, "multiclass-multioutput targets"),
        (IRIS, np.where(SPECIES == 1, None, NAMES), None, "missing label, None, at row 50"),
        (IRIS, NAMES, -np.ones(150), "got -1.0 at row 0"),
        (IRIS, NAMES, np.zeros(150), "all 150 entries of sample_weight are zero"),
        (IRIS, NAMES, np.ones(3), r"shape \(150,\), one weight per row, got \(3,\)"),
    ],
)
def test_errors_name_invalid_data(X, y, w, match):
    with pytest.raises(ValueError, match=match):
        plainly().fit(X, y, w)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"activation": "swish"}, r"'activation'.*'logistic'.*Got 'swish'"),
        ({"activation": Dense}, "activation=Dense cannot be created.*'units'.*pass an instance"),
        ({"activation": int}, "'activation'.*Got <class 'int'>"),
        ({"activation": ["relu", "tanh"]}, r"one per hidden layer, here 1, got 2: \['relu', 'tanh'\]"),
        ({"solver": "lion"}, r"'solver'.*'adam'.*Got 'lion'"),
        ({"loss": "hinge"}, r"'loss'.*'log_loss'.*Got 'hinge'"),
        ({"batch_size": 0}, "'batch_size'.*Got 0"),
        ({"alpha": -1.0}, "'alpha'.*Got -1.0"),
        ({"max_iter": 0}, "'max_iter'.*Got 0"),
        ({"learning_rate_init": 0.0}, "'learning_rate_init'.*Got 0.0"),
        ({"beta_1": 1.0}, "'beta_1'.*Got 1.0"),
        ({"hidden_layer_sizes": (10, 0)}, r"whole numbers > 0, got \(10, 0\)"),
        ({"hidden_layer_sizes": 0}, "'hidden_layer_sizes'.*Got 0"),
        ({"hidden_layer_sizes": (1.5,)}, r"whole numbers > 0, got \(1.5,\)"),
        ({"hidden_layer_sizes": ((1, 2), (3, 4))}, "whole numbers > 0"),
        ({"hidden_layer_sizes": (True,)}, "whole numbers > 0"),
        ({"hidden_layer_sizes": ((1, 2), 3)}, r"whole numbers > 0, got \(\(1, 2\), 3\)"),
        ({"n_iter_no_change": 0}, "'n_iter_no_change'.*Got 0"),
        ({"epsilon": 0.0}, "'epsilon'.*Got 0.0"),
        ({"momentum": 1.1}, "'momentum'.*Got 1.1"),
        ({"tol": -1e-4}, "'tol'.*Got -0.0001"),
        ({"dtype": "float16"}, "float16.*65504.*float32"),
        ({"dtype": "int32"}, 'must be "float32", "float64" or None, got \'int32\''),
        ({"dtype": "double precision"}, "got 'double precision'"),
        ({"loss": "sigmoid_cross_entropy"}, "got 3 classes; use SoftmaxCrossEntropy"),
    ],
)
def test_errors_name_invalid_parameters_and_the_possible_values(parameters, match):
    with pytest.raises(ValueError, match=match):
        quick(**parameters).fit(IRIS, NAMES)


def test_a_prediction_beyond_the_dtype_is_an_error_not_nan():
    model = plainly(hidden_layer_sizes=(), max_iter=3).fit(IRIS, NAMES)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        predict = getattr(model, name)
        with pytest.raises(ValueError, match="row 7, column 2"):
            predict(with_value(1e39))
        with pytest.raises(ValueError, match=r"logits of row 7 .*3e\+38"):
            predict(np.where(np.isin(np.arange(150), [7, 9])[:, None], 3e38, IRIS))
        with pytest.raises(NotFittedError):
            getattr(plainly(), name)(IRIS)


def test_the_error_for_logits_beyond_the_range_names_row_column_weights_and_the_fix():
    model = plainly(hidden_layer_sizes=(), max_iter=3).fit(IRIS, NAMES)
    model.coefs_[0] = np.full((4, 3), 1e37)
    X = np.where((np.arange(150) == 7)[:, None] & (np.arange(4) == 1), -99.0, IRIS)
    message = r"logits of row 7 .* float32: X reaches 99 in that row, at column 1, and the weights 1e\+37"
    for given in (X, scipy.sparse.csr_matrix(X)):
        with pytest.raises(
            ValueError, match=rf"{message}.*scale_inputs=True.*float64.*make the weights smaller"
        ):
            model.predict(given)
    scaled = quick(hidden_layer_sizes=(), dtype="float64").fit(IRIS, NAMES)
    scaled.coefs_[0] = np.full((4, 3), 1e308)
    with pytest.raises(ValueError, match=r"float64: X reaches .* To avoid it, make the weights smaller$"):
        scaled.predict(X)


def test_activations_beyond_the_range_are_an_error_like_logits():
    model = plainly(hidden_layer_sizes=(3, 2), activation="identity").fit(IRIS, NAMES)
    model.coefs_[0] = np.where(np.arange(3) % 2, 2.0, -2.0) * np.ones((4, 1))
    for layer in (0, 1):
        with pytest.raises(ValueError, match=r"activations of row 1 .* X reaches 3e\+38 .* column 0"):
            model.activations([[1.0] * 4, [3e38] * 4], layer)


def test_log_odds_beyond_the_range_are_infinite_without_a_warning():
    model = quick(hidden_layer_sizes=(), loss="softmax_cross_entropy").fit(TUMOURS[:, :1], BENIGN)
    model.coefs_[0] = [[-3e38, 3e38]]
    assert np.isinf(model.decision_function([[1.0], [-1.0]])).all()
    assert model.predict([[1.0], [-1.0]]).tolist() == [1, 0]


def test_the_error_names_weights_that_are_not_finite():
    model = quick().fit(IRIS, NAMES)
    model.coefs_[0] = np.full((4, 8), np.nan)
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must be finite, but contain NaN or inf"):
        model.predict(IRIS)
    with pytest.raises(ValueError, match="array 1 has shape"):
        model.coefs_ = [np.ones((4, 8)), np.ones((2, 2))]
    assert np.isnan(model.coefs_[0]).all()  # nothing is written if one of the shapes is wrong


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.full((4, 8), "x"), "array 0 must hold real numbers, got dtype <U1"),
        (np.full((4, 8), 1j), "array 0 must hold real numbers, got dtype complex128"),
        ([[1.0], [1.0, 2.0]], "array 0 cannot be converted to an array: its parts differ in length"),
        (np.ones((8, 4)), r"array 0 has shape \(4, 8\), got an array of shape \(8, 4\)"),
    ],
)
def test_invalid_values_for_coefs_are_refused(value, match):
    model = quick().fit(IRIS, NAMES)
    before = model.network_.theta.copy()
    with pytest.raises((TypeError, ValueError), match=match):
        model.coefs_[0] = value
    with pytest.raises((TypeError, ValueError), match=match):
        model.coefs_ = [value, model.coefs_[1]]
    with pytest.raises(TypeError, match="the slice must be set to a list of 2 arrays, got None"):
        model.coefs_ = None
    np.testing.assert_array_equal(model.network_.theta, before)


def test_the_error_names_weights_beyond_the_dtype_at_prediction():
    model = quick().fit(IRIS, NAMES)
    model.coefs_[0] = np.full((4, 8), 1e300)
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must be finite, but contain NaN or inf"):
        model.predict(IRIS)


def test_warnings_point_to_the_line_that_called_fit():
    with pytest.warns(ConvergenceWarning) as caught:
        plainly(max_iter=1).fit(IRIS, NAMES)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="clipped") as caught:
        plainly(batch_size=1000, tol=1e9, n_iter_no_change=1).fit(IRIS, NAMES)
    assert caught[0].filename == __file__


def test_a_batch_larger_than_the_data_is_clipped_with_a_warning():
    with pytest.warns(UserWarning, match="batch_size=1000 is larger than the 150 training rows"):
        clipped = plainly(batch_size=1000).fit(IRIS, NAMES)
    whole = plainly(batch_size=150).fit(IRIS, NAMES)
    np.testing.assert_array_equal(clipped.network_.theta, whole.network_.theta)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
@pytest.mark.parametrize("classes", [2, 3])
def test_predictions_for_plain_arrays_equal_those_for_inputs_that_scikit_learn_checks(method, classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 4))
    model = quick(early_stopping=False).fit(X, X[:, :classes].argmax(axis=1))
    predict = getattr(model, method)
    expected = predict(X.tolist())
    for kind in (X, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], pd.DataFrame(X)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about feature names that fit did not see
            np.testing.assert_array_equal(predict(kind), expected)
    with pytest.raises(ValueError, match="X has 3 features, but TinyClassifier is expecting 4"):
        predict(X[:, :3])
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        predict(X[:0])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
        predict(X[0])
    with pytest.raises(ValueError, match="NaN at row 700, column 1"):
        predict(np.where((np.arange(1200) == 700)[:, None] & (np.arange(4) == 1), np.nan, X))


def test_missing_feature_names_are_warned_of():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    model = quick().fit(frame, frame["a"] > 0)
    with pytest.warns(UserWarning, match="X does not have valid feature names") as found:
        model.predict_proba(frame.to_numpy())
    assert len(found) == 1


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        np.asfortranarray,
        np.float32,
        np.int64,
        lambda X: X.astype(object),
        scipy.sparse.csr_array,
        scipy.sparse.coo_array,
        pd.DataFrame,
        pl.DataFrame,
    ],
    ids=["array", "Fortran", "float32", "int", "object", "CSR", "COO", "pandas", "polars"],
)
@pytest.mark.parametrize("n_columns", [9, 11])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_a_wrong_number_of_columns_is_refused_without_a_copy(method, n_columns, make):
    model = quick(hidden_layer_sizes=5).fit(np.random.default_rng(0).normal(size=(60, 10)), np.arange(60) % 7)
    X, size = make(np.ones((50_000, n_columns))), 8 * 50_000 * n_columns
    wrong = pytest.raises(ValueError, match=f"X has {n_columns} features, but TinyClassifier is expecting 10")
    with wrong:
        getattr(model, method)(make(np.ones((1, n_columns))))  # libraries import parts on first use
    tracemalloc.start()
    try:
        with wrong:
            getattr(model, method)(X)
        assert tracemalloc.get_traced_memory()[1] < size / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_memory_of_predictions_does_not_grow_with_the_rows(method):
    rng = np.random.default_rng(0)
    model = quick(hidden_layer_sizes=50).fit(rng.normal(size=(60, 10)), np.arange(60) % 7)

    def beyond_the_result(n):
        X = np.zeros((n, 10))
        tracemalloc.start()
        result = getattr(model, method)(X)
        peak = tracemalloc.get_traced_memory()[1] - result.nbytes
        tracemalloc.stop()
        return peak

    # predict allocates the indices of the classes besides the labels.
    allowed = 8 * 100_000 if method == "predict" else 100_000
    assert beyond_the_result(100_000) < beyond_the_result(2_000) + 1.1 * allowed
