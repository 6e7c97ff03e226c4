"""Features that users requested for MLPClassifier: parameters and methods that it does not have."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.special
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.multioutput import ClassifierChain
from sklearn.preprocessing import StandardScaler

from tests.support.parts import PLAIN, LayerNorm, PReLU, Swish
from tinyclf import (
    SGD,
    Adam,
    AdamW,
    Dense,
    Dropout,
    Identity,
    Layer,
    Logistic,
    ReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = load_iris(return_X_y=True)
IRIS = StandardScaler().fit_transform(IRIS)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
TWO = SPECIES == 1
DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16
X_SETS, SETS = make_multilabel_classification(n_samples=200, random_state=0)
X_SETS = StandardScaler().fit_transform(X_SETS)
SOFT = np.eye(3)[SPECIES] * 0.625 + 0.125


class Slope(Layer):
    """A layer whose repr does not show its slope."""

    def __init__(self, slope):
        self.slope = slope

    def forward(self, p, t):
        t.y = self.slope * t.x

    def backward(self, p, g, t):
        t.dx = self.slope * t.dy


def quick(**parameters):
    settings = {"hidden_layer_sizes": 8, "max_iter": 30, "learning_rate_init": 0.02, "random_state": 0}
    return TinyClassifier(**{**settings, **parameters})


def plainly(**parameters):
    """The same with plain training on all rows."""
    return quick(**{**PLAIN, "max_iter": 30, "learning_rate_init": 0.02, **parameters})


# --- layers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "kinds"),
    [
        ({"hidden_layer_sizes": 5}, [Dense, ReLU, Dense]),
        ({"hidden_layer_sizes": ()}, [Dense]),
        ({"hidden_layer_sizes": (), "activation": []}, [Dense]),
        (
            {"hidden_layer_sizes": (5, 4), "activation": ["tanh", "logistic"]},
            [Dense, Tanh, Dense, Logistic, Dense],
        ),
        ({"hidden_layer_sizes": (5, 4), "activation": (PReLU, Swish())}, [Dense, PReLU, Dense, Swish, Dense]),
        ({"hidden_layer_sizes": 5, "activation": [[LayerNorm, "relu"]]}, [Dense, LayerNorm, ReLU, Dense]),
        ({"hidden_layer_sizes": (5, 4), "dropout": 0.1}, [Dense, ReLU, Dropout, Dense, ReLU, Dropout, Dense]),
        ({"hidden_layer_sizes": (5, 4), "dropout": (0, 0.3)}, [Dense, ReLU, Dense, ReLU, Dropout, Dense]),
        ({"hidden_layer_sizes": 5, "activation": ["identity"]}, [Dense, Identity, Dense]),
    ],
    ids=repr,
)
def test_the_network_has_the_requested_layers(parameters, kinds):
    model = clone(quick(**parameters)).fit(IRIS, NAMES)
    assert list(map(type, model.network_.layers)) == kinds
    assert model.score(IRIS, NAMES) > 0.7
    rates = [layer.rate for layer in model.network_.layers if isinstance(layer, Dropout)]
    assert rates == [rate for rate in np.atleast_1d(parameters.get("dropout", 0)) if rate] * (
        2 if parameters.get("dropout") == 0.1 else 1
    )


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"dropout": 1.0}, "'dropout'.*Got 1.0"),
        ({"dropout": [0.1, 0.2]}, r"one per hidden layer, here 1, got \[0.1, 0.2\]"),
        ({"dropout": [1.5]}, r">= 0 and < 1.*got \[1.5\]"),
        ({"dropout": ["much"]}, r"got \['much'\]"),
        ({"dropout": np.nan}, "'dropout'.*Got nan"),
        ({"activation": ["relu"] * 2}, "a list with one per hidden layer, here 1, got 2"),
        ({"activation": ["softplus"]}, "Got 'softplus'"),
        ({"activation": [["relu", 3]]}, "Got 3"),
        ({"label_smoothing": 1.5}, "'label_smoothing'.*Got 1.5"),
        (
            {"label_smoothing": 0.1, "loss": SoftmaxCrossEntropy()},
            "label_smoothing=0.1 is only for a loss given by name",
        ),
        ({"weight_decay": -1.0}, "'weight_decay'.*Got -1.0"),
        (
            {"weight_decay": 1e4},
            r"the learning rate times weight_decay must be at most 1, got 0.02 \* 10000.0",
        ),
        ({"weight_decay": 0.1, "solver": SGD(0.1)}, "weight_decay=0.1 is only for a solver given by name"),
        ({"max_grad_norm": 0.0}, "'max_grad_norm'.*Got 0.0"),
        ({"learning_rate": "warm"}, "'learning_rate'.*Got 'warm'"),
        ({"learning_rate": lambda progress: -1.0}, "factor that schedule returns.*-1.0"),
        ({"early_stopping": "always"}, "'early_stopping'.*Got 'always'"),
        ({"validation_fraction": 1.0}, "'validation_fraction'.*Got 1.0"),
        ({"soft_targets": "yes"}, "'soft_targets'.*Got 'yes'"),
    ],
)
def test_invalid_parameters_are_refused(parameters, match):
    with pytest.raises(ValueError, match=match):
        quick(**parameters).fit(IRIS, NAMES)


def test_dropout_is_for_training_only_and_changes_neither_shuffle_nor_initial_weights():
    plain, dropped = plainly(), plainly(dropout=0.5)
    models = [model.set_params(max_iter=1, solver=SGD(1e-30)).fit(IRIS, NAMES) for model in (plain, dropped)]
    np.testing.assert_array_equal(models[0].network_.theta, models[1].network_.theta)
    np.testing.assert_array_equal(models[0].predict_proba(IRIS), models[1].predict_proba(IRIS))
    assert models[0].loss_ != models[1].loss_
    twice = [plainly(dropout=0.5).fit(IRIS, NAMES).network_.theta for _ in range(2)]
    np.testing.assert_array_equal(*twice)


# --- loss and steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "y"), [(IRIS, NAMES), (IRIS, TWO), (X_SETS, SETS)], ids=["many", "two", "sets"]
)
def test_label_smoothing_equals_training_on_smoothed_targets(X, y):
    smoothed = plainly(label_smoothing=0.2, dtype="float64").fit(X, y)
    if y.ndim == 1:
        k = len(np.unique(y))
        P = 0.8 * np.eye(k)[np.unique(y, return_inverse=True)[1]] + 0.2 / k
        by_hand = plainly(soft_targets=True, dtype="float64").fit(X, P)
        np.testing.assert_allclose(smoothed.loss_curve_, by_hand.loss_curve_, rtol=1e-9)
        np.testing.assert_allclose(smoothed.predict_proba(X), by_hand.predict_proba(X), rtol=1e-7)
    plain = plainly(dtype="float64").fit(X, y)
    assert np.abs(smoothed.decision_function(X)).mean() < np.abs(plain.decision_function(X)).mean()


def test_label_smoothing_works_with_any_loss_given_by_name():
    for y in (NAMES, TWO):
        by_name = quick(loss="softmax_cross_entropy", label_smoothing=0.3).fit(IRIS, y)
        by_hand = quick(loss=SoftmaxCrossEntropy(0.3)).fit(IRIS, y)
        np.testing.assert_array_equal(by_name.network_.theta, by_hand.network_.theta)


def test_the_last_layer_is_initialized_like_the_one_below_it():
    # Glorot's bound, which scikit-learn makes smaller for the logistic function.
    still = {"solver": SGD(1e-30), "max_iter": 1, "dtype": "float64"}
    for hidden, activation, factor in [
        ((300, 200), ["logistic", "tanh"], 6.0),
        ((300, 200), ["tanh", "logistic"], 2.0),
        ((), "logistic", 2.0),
        ((), "relu", 6.0),
    ]:
        W = (
            plainly(hidden_layer_sizes=hidden, activation=activation, **still)
            .fit(DIGITS[:400], LABELS[:400])
            .coefs_[-1]
        )
        bound = np.sqrt(factor / sum(W.shape))
        assert 0.95 * bound < np.abs(W).max() <= bound


@pytest.mark.parametrize("make", [Slope, lambda slope: [Slope(slope), "relu"]])
def test_a_warm_start_detects_layers_that_differ_but_have_the_same_repr(make):
    model = quick(activation=[make(0.1)], warm_start=True).fit(IRIS, NAMES)
    model.set_params(activation=[make(0.1)]).fit(IRIS, NAMES)
    with pytest.raises(ValueError, match="layers cannot change"):
        model.set_params(activation=[make(0.9)]).fit(IRIS, NAMES)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weight_decay_is_independent_of_the_batch_size_and_of_alpha(solver):
    # With a negligible learning rate, a step multiplies weights by 1 - rate * decay and leaves biases.
    model = plainly(
        solver=solver, learning_rate_init=1e-9, weight_decay=1e8, alpha=0.0, max_iter=1, dtype="float64"
    )
    start = clone(model).set_params(weight_decay=0.0).fit(IRIS, NAMES)
    for batch_size, steps in [(150, 1), (50, 3)]:
        with_decay = clone(model).set_params(batch_size=batch_size).fit(IRIS, NAMES)
        for W, W0, b, b0 in zip(
            with_decay.coefs_, start.coefs_, with_decay.intercepts_, start.intercepts_, strict=True
        ):
            np.testing.assert_allclose(W, 0.9**steps * W0, atol=1e-7)
            np.testing.assert_allclose(b, b0, atol=1e-7)
    assert isinstance(plainly(solver=AdamW(0.02)).fit(IRIS, NAMES)._state.training.optimizer, AdamW)


def test_a_gradient_above_max_grad_norm_is_clipped():
    model = plainly(
        solver="sgd", learning_rate_init=1.0, momentum=0.0, batch_size=150, max_iter=1, dtype="float64"
    )
    start = clone(model).set_params(learning_rate_init=1e-300).fit(IRIS, NAMES).network_.theta
    step = clone(model).set_params(max_grad_norm=0.01).fit(IRIS, NAMES).network_.theta - start
    assert np.linalg.norm(step) == pytest.approx(0.01, rel=1e-12)
    long = clone(model).set_params(max_grad_norm=100.0).fit(IRIS, NAMES)
    np.testing.assert_array_equal(long.network_.theta, clone(model).fit(IRIS, NAMES).network_.theta)


@pytest.mark.parametrize("solver", ["adam", "sgd", Adam(0.02), SGD(0.3)], ids=repr)
@pytest.mark.parametrize("rule", ["linear", "cosine"])
def test_schedules_decrease_over_the_budget_and_end_without_a_warning(rule, solver):
    asked = []
    formula = {"linear": lambda s: 1.0 - s, "cosine": lambda s: np.cos(np.pi * s / 2) ** 2}[rule]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = plainly(solver=solver, learning_rate=rule, max_iter=7, batch_size=60).fit(IRIS, NAMES)
        own = plainly(
            solver=solver, learning_rate=lambda s: asked.append(s) or formula(s), max_iter=7, batch_size=60
        )
        own.fit(IRIS, NAMES)
    np.testing.assert_allclose(named.network_.theta, own.network_.theta, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(asked, np.arange(21) / 21)


def test_partial_fit_ignores_schedules():
    one, other = plainly(learning_rate="cosine"), plainly()
    for _ in range(3):
        for model in (one, other):
            model.partial_fit(IRIS, NAMES, classes=np.unique(NAMES))
    np.testing.assert_array_equal(one.network_.theta, other.network_.theta)


def test_adaptive_rates_persist_over_calls_of_partial_fit():
    model = plainly(solver="sgd", learning_rate="adaptive", tol=10.0, n_iter_no_change=2)
    scales = []
    for call in range(10):
        if call == 8:
            model.set_params(tol=0.0, learning_rate_init=0.5)  # from now on the loss improves
        model.partial_fit(IRIS, NAMES, classes=np.unique(NAMES))
        scales.append(model._state.training.scale)
    np.testing.assert_allclose(scales, [1, 1, 1, 0.2, 0.2, 0.2, 0.04, 0.04, 0.04, 0.04])


# --- hidden activations ------------------------------------------------------------------------------------


def test_partial_fit_adapts_the_learning_rate_by_the_training_loss_alone():
    settings = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.01, "batch_size": 50}
    X, y = np.tile(IRIS, (4, 1)), np.tile(NAMES, 4)
    measured = plainly(scoring="accuracy", max_iter=3, **settings).fit(X, y)
    assert measured.validation_scores_ is not None
    sometimes = plainly(scoring="accuracy", **settings)
    never = plainly(**settings)
    for call in range(30):
        measured.partial_fit(X, y)
        validation = {"X_val": X[:50], "y_val": y[:50]} if call % 10 == 0 else {}
        sometimes.partial_fit(X, y, classes=np.unique(y), **validation)
        never.partial_fit(X, y, classes=np.unique(y))
        assert len(sometimes.validation_scores_) == 1 + call // 10
    assert (
        measured._state.training.scale
        == never._state.training.scale
        == sometimes._state.training.scale
        == 1.0
    )
    np.testing.assert_array_equal(sometimes.network_.theta, never.network_.theta)


def test_another_solver_starts_with_its_own_learning_rate():
    model = plainly(solver="sgd", learning_rate="invscaling", max_iter=5, momentum=0.0).fit(IRIS, NAMES)
    assert model._state.training.scale < 0.1
    before = model.network_.theta.copy()
    model.set_params(solver="adam", learning_rate_init=1e-4, batch_size=150, alpha=0.0).partial_fit(
        IRIS, NAMES
    )
    # Adam's first step has the size of its learning rate: scale and step number are reset.
    assert np.median(np.abs(model.network_.theta - before)) == pytest.approx(1e-4, rel=0.02)


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_activations_are_the_outputs_of_the_hidden_layers(make):
    model = plainly(hidden_layer_sizes=(7, 5), activation=["tanh", "relu"], dropout=0.3, dtype="float64")
    model.fit(IRIS, NAMES)
    (W1, W2, _), (b1, b2, _) = model.coefs_, model.intercepts_
    first = np.tanh(IRIS @ W1 + b1)
    second = np.maximum(first @ W2 + b2, 0)
    for layer, expected in [(0, first), (-2, first), (1, second), (-1, second)]:
        np.testing.assert_allclose(model.activations(make(IRIS), layer), expected, rtol=1e-12)
    np.testing.assert_allclose(model.activations(IRIS), second, rtol=1e-12)
    z = model.activations(IRIS) @ model.coefs_[-1] + model.intercepts_[-1]
    np.testing.assert_allclose(model.decision_function(IRIS), z, rtol=1e-12)
    with pytest.raises(ValueError, match="with 2 hidden layers, layer must be from -2 to 1, got 2"):
        model.activations(IRIS, 2)
    with pytest.raises(TypeError, match="layer must be a whole number, got 'last'"):
        model.activations(IRIS, "last")
    with pytest.raises(ValueError, match="there are no hidden layers, since hidden_layer_sizes=\\(\\)"):
        plainly(hidden_layer_sizes=()).fit(IRIS, NAMES).activations(IRIS)
    with pytest.raises(NotFittedError):
        plainly().activations(IRIS)


# --- several labels per row --------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_several_labels_per_row_are_learned(solver):
    rate = 0.5 if solver == "sgd" else 0.05
    model = plainly(solver=solver, max_iter=300, learning_rate_init=rate, hidden_layer_sizes=30).fit(
        X_SETS, SETS
    )
    p, z = model.predict_proba(X_SETS), model.decision_function(X_SETS)
    assert p.shape == z.shape == SETS.shape
    np.testing.assert_allclose(p, scipy.special.expit(z.astype("float64")), rtol=1e-6, atol=1e-44)
    np.testing.assert_allclose(
        model.predict_log_proba(X_SETS), scipy.special.log_expit(z.astype("float64")), rtol=1e-6, atol=1e-44
    )
    predicted = model.predict(X_SETS)
    np.testing.assert_array_equal(predicted, p > 0.5)
    assert predicted.dtype.kind == "i"
    assert model.score(X_SETS, SETS) > 0.9
    assert model.classes_.tolist() == [0, 1, 2, 3, 4]
    assert (model.n_outputs_, model.out_activation_) == (5, "logistic")


def test_sparse_labels_give_sparse_predictions():
    dense = quick().fit(X_SETS, SETS)
    for make in (scipy.sparse.csr_array, scipy.sparse.csc_matrix):
        sparse = quick().fit(X_SETS, make(SETS))
        predicted = sparse.predict(X_SETS)
        assert scipy.sparse.issparse(predicted)
        np.testing.assert_array_equal(predicted.toarray(), dense.predict(X_SETS))
        assert sparse.score(X_SETS, make(SETS)) == dense.score(X_SETS, SETS)


def test_partial_fit_learns_several_labels_and_refuses_other_columns():
    model = quick(learning_rate_init=0.05)
    for _ in range(40):
        model.partial_fit(X_SETS, SETS, classes=np.arange(5))
    assert model.score(X_SETS, SETS) > 0.4
    with pytest.raises(ValueError, match="is not the same as on last call"):
        model.partial_fit(X_SETS, SETS, classes=[0, 1])
    with pytest.raises(
        ValueError, match=r"a column of 0 and 1 for each of the 5 labels, got .* shape \(200, 4\)"
    ):
        model.partial_fit(X_SETS, SETS[:, :4])
    with pytest.raises(ValueError, match="does not match the columns"):
        quick().partial_fit(X_SETS, SETS, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(X_SETS, SETS)


@pytest.mark.parametrize(
    ("fitted", "soft", "y", "match"),
    [
        (
            SPECIES,
            False,
            SETS[:150],
            r"must hold one label per row, as before, shape \(n_samples,\), got shape \(150, 5\)",
        ),
        (SPECIES, False, SOFT, r"must hold one label per row, as before"),
        (
            SPECIES,
            True,
            SOFT,
            "soft_targets=True, but the model was trained on one label per row; set soft_targets back",
        ),
        (SOFT, False, SPECIES, "soft_targets=False, but the model was trained on probabilities"),
        (SETS[:150], False, SPECIES, "a column of 0 and 1 for each of the 5 labels"),
    ],
)
def test_another_kind_of_targets_is_refused_and_changes_nothing(fitted, soft, y, match):
    model = quick(soft_targets=fitted is SOFT, loss="log_loss").fit(IRIS, fitted)
    before = model.network_.theta.copy()
    model.set_params(soft_targets=soft)
    with pytest.raises(ValueError, match=match):
        model.partial_fit(IRIS, y)
    with pytest.raises(ValueError, match="Previously got|Unknown label type"):
        model.set_params(warm_start=True).fit(IRIS, y)
    np.testing.assert_array_equal(model.network_.theta, before)


def test_a_validation_set_with_another_kind_of_targets_is_refused():
    for early_stopping in (True, "auto", False):
        with pytest.raises(ValueError, match="must hold one label per row"):
            quick(early_stopping=early_stopping).fit(IRIS, SPECIES, X_val=IRIS, y_val=SETS[:150])


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", SoftmaxCrossEntropy()], ids=str)
def test_several_labels_need_a_logistic_loss(loss):
    with pytest.raises(ValueError, match='several labels per row need a logistic loss.*loss="log_loss"'):
        quick(loss=loss).fit(X_SETS, SETS)
    assert quick(loss=SigmoidCrossEntropy()).fit(X_SETS, SETS).n_outputs_ == 5


def test_a_column_of_labels_is_one_label_per_row():
    with pytest.warns(DataConversionWarning):
        model = quick().fit(IRIS, NAMES[:, None])
    np.testing.assert_array_equal(model.predict(IRIS), quick().fit(IRIS, NAMES).predict(IRIS))


def test_a_classifier_chain_learns_several_labels():
    assert ClassifierChain(quick(max_iter=100)).fit(X_SETS, SETS).score(X_SETS, SETS) > 0.6


# --- soft targets ------------------------------------------------------------------------------------------


def test_one_hot_soft_targets_equal_labels():
    for y, k in [(SPECIES, 3), (TWO.astype(int), 2)]:
        soft = quick(soft_targets=True, dtype="float64").fit(IRIS, np.eye(k)[y])
        hard = quick(dtype="float64").fit(IRIS, y)
        assert soft.coefs_[-1].shape == hard.coefs_[-1].shape
        np.testing.assert_allclose(soft.predict_proba(IRIS), hard.predict_proba(IRIS), rtol=1e-9)
        np.testing.assert_array_equal(soft.predict(IRIS), hard.predict(IRIS))
        assert soft.score(IRIS, y) == hard.score(IRIS, y)


def test_probabilities_learn_the_soft_targets():
    model = plainly(soft_targets=True, max_iter=2000, hidden_layer_sizes=30, alpha=0.0, tol=1e-6).fit(
        IRIS, SOFT
    )
    assert np.abs(model.predict_proba(IRIS) - SOFT).mean() < 0.02


def test_a_student_learns_from_a_teacher():
    teacher = quick(hidden_layer_sizes=60, max_iter=60).fit(DIGITS[:1200], LABELS[:1200])
    student = quick(hidden_layer_sizes=10, soft_targets=True, max_iter=60)
    student.fit(DIGITS[:1200], teacher.predict_proba(DIGITS[:1200]))
    assert student.validation_scores_ is not None  # held out, not stratified
    assert student.score(DIGITS[1200:], LABELS[1200:]) > 0.8


def test_classes_of_a_data_frame_are_its_columns():
    frame = pd.DataFrame(SOFT, columns=["setosa", "versicolor", "virginica"])
    model = quick(soft_targets=True).fit(IRIS, frame)
    assert model.classes_.tolist() == frame.columns.tolist()
    assert model.score(IRIS, NAMES) > 0.8
    model.partial_fit(IRIS, frame, X_val=IRIS, y_val=frame)
    first = quick(soft_targets=True).partial_fit(IRIS, frame)
    assert first.classes_.tolist() == frame.columns.tolist()


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (SPECIES, r"with soft_targets=True, y must hold a probability per class.*got shape \(150,\)"),
        (SOFT * 2, "from 0 to 1, got 1.5"),
        (-SOFT, "from 0 to 1, got -0.75"),
        (SOFT * 1.004 * (SOFT < 0.5) + SOFT * (SOFT > 0.5) * 1.004, "must sum to 1, got 1.004 in row 0"),
        (SOFT * 0.9, "must sum to 1, got 0.9 in row 0; divide"),
        (np.where(SOFT > 0.5, np.nan, SOFT), "NaN|nan"),
        (np.full((150, 3), "x"), "must be numbers, got dtype <U1"),
    ],
)
def test_invalid_soft_targets_are_refused(y, match):
    with pytest.raises(ValueError, match=match):
        quick(soft_targets=True).fit(IRIS, y)


def test_soft_targets_of_one_column_give_probability_one():
    model = quick(soft_targets=True).fit(IRIS, np.ones((150, 1)))
    assert model.predict_proba(IRIS[:2]).tolist() == [[1.0], [1.0]]


def test_soft_targets_with_another_number_of_columns_are_refused():
    model = quick(soft_targets=True).fit(IRIS, SOFT)
    with pytest.raises(ValueError, match=r"a column for each of the 3 classes, got shape \(150, 2\)"):
        model.partial_fit(IRIS, SOFT[:, :2] / SOFT[:, :2].sum(axis=1, keepdims=True))


# --- logits ------------------------------------------------------------------------------------------------


def test_temperature_is_found_on_the_logits():
    X, y = DIGITS[:1000], LABELS[:1000]
    sure = plainly(hidden_layer_sizes=100, dtype="float64", max_iter=300, tol=1e-7, early_stopping=False)
    calibrated = CalibratedClassifierCV(sure, method="temperature", cv=3, ensemble=False).fit(X, y)
    alone = sure.fit(X, y)
    X_test, y_test = DIGITS[1000:], LABELS[1000:]
    assert log_loss(y_test, calibrated.predict_proba(X_test)) < log_loss(y_test, alone.predict_proba(X_test))
