"""The estimator: scikit-learn's checks, predictions, fitted attributes, and what the defaults learn."""

import pickle
import re
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import scipy.special
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.support.data import DIGITS, IRIS, NAMES, NUMBERS, SCALED, SPECIES
from tests.support.estimators import learned, plain, quick
from tests.support.parts import PLAIN, Brier, PReLU, RMSprop, Swish
from tests.support.rounding import assert_same_outputs
from tinyclf import (
    SGD,
    SKLEARN_DEFAULTS,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    TinyClassifier,
    cross_entropy,
)
from tinyclf.teaching import ClippedSoftmaxCrossEntropy, NaiveSoftmaxCrossEntropy

# Fits that stop early are tested separately.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TUMOURS, BENIGN = load_breast_cancer(return_X_y=True)
METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]

FLOAT32_WEIGHTS = dict.fromkeys(
    ["check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"],
    "in float32 the sums of weighted and of repeated rows round differently, and the check requires 1e-7",
)


@parametrize_with_checks([TinyClassifier()], expected_failed_checks=lambda _: FLOAT32_WEIGHTS)
@pytest.mark.filterwarnings("ignore::tinyclf.TrainingWarning")  # the data of the checks are not scaled
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        TinyClassifier(dtype="float64"),
        TinyClassifier(dtype=None),
        TinyClassifier(loss="sigmoid_cross_entropy", dtype="float64"),
        TinyClassifier(**PLAIN, dtype="float64"),
        TinyClassifier(n_members=3, dtype="float64"),
    ]
)
@pytest.mark.filterwarnings("ignore::tinyclf.TrainingWarning")
def test_scikit_learns_checks_with_other_parameters(estimator, check):
    check(estimator)


# --- it learns, with every choice of parts -----------------------------------------------------------------


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
        {"dropout": 0.2},
        {"shuffle": False},
    ],
    ids=repr,
)
def test_every_part_can_be_chosen_and_learns(parameters):
    settings = {"batch_size": 25, **parameters}
    for X, y in [(IRIS, NAMES), (TUMOURS[:100], BENIGN[:100].astype(bool))]:
        model = clone(learned(**settings)).fit(X, y)
        assert model.score(X, y) > 0.9
        p = model.predict_proba(X)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14 if p.dtype == np.float64 else 1e-6)
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
        assert type(eval_repr(model)) is TinyClassifier


def eval_repr(model):
    """Build the estimator from its repr."""
    names = {**globals(), "array": np.array, "float32": np.float32, "numpy": np}
    return eval(re.sub(r"<class '(.*?)'>", r"\1", repr(model)), names)


def test_other_seeds_and_no_seed_give_other_weights():
    def theta(seed):
        return quick(random_state=seed).fit(IRIS, NAMES).network_.theta

    np.testing.assert_array_equal(theta(np.random.RandomState(3)), theta(3))
    assert (theta(3) != theta(4)).all()
    assert (theta(None) != theta(None)).all()


def test_softmax_regression_agrees_with_logistic_regression():
    descent = {"solver": "sgd", "learning_rate_init": 0.5, "batch_size": 150, "max_iter": 500, "tol": 0}
    ours = plain(hidden_layer_sizes=(), dtype="float64", alpha=1.0, **descent).fit(SCALED, NAMES)
    theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(SCALED, NAMES)
    np.testing.assert_allclose(ours.predict_proba(SCALED), theirs.predict_proba(SCALED), atol=1e-4)


def test_every_parameter_of_mlp_classifier_exists_and_sklearn_defaults_has_the_defaults_that_differ():
    theirs, ours = MLPClassifier().get_params(), TinyClassifier().get_params()
    assert theirs.items() <= TinyClassifier(**SKLEARN_DEFAULTS).get_params().items()
    assert all(ours[name] != value for name, value in SKLEARN_DEFAULTS.items())
    new = {
        "dtype",
        "scale_inputs",
        "calibrate",
        "refit",
        "categorical_features",
        "max_categories",
        "n_members",
    }
    assert set(SKLEARN_DEFAULTS) - new == {name for name, value in theirs.items() if ours[name] != value}
    for name in theirs.keys() - SKLEARN_DEFAULTS:
        TinyClassifier(**SKLEARN_DEFAULTS, **{name: theirs[name]})


def test_fitted_attributes_are_those_of_mlp_classifier():
    parameters = {"hidden_layer_sizes": (7, 5), "batch_size": 32, "max_iter": 4, "random_state": 0}
    for X, y in [(SCALED, NAMES), (SCALED, SPECIES == 1)]:
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
        # What the defaults add to scikit-learn's is off.
        assert ours.input_center_ is ours.input_scale_ is ours.validation_scores_ is None
        assert ours.calibration_ == 1.0
        assert ours.network_.dtype == np.float64


FITTED = [name for name in dir(TinyClassifier) if name.endswith("_") and not name.startswith("_")]


@pytest.mark.parametrize("name", FITTED)
def test_fitted_attributes_raise_not_fitted_error_before_a_fit(name):
    with pytest.raises(NotFittedError, match="TinyClassifier .* not fitted"):
        getattr(TinyClassifier(), name)
    assert not hasattr(TinyClassifier(), name)


def test_attributes_of_the_features_are_those_of_the_last_fit():
    assert {"n_features_in_", "feature_names_in_"} <= set(FITTED)
    model = quick().fit(pd.DataFrame(SCALED, columns=list("abcd")), NAMES)
    assert (model.n_features_in_, model.feature_names_in_.tolist()) == (4, list("abcd"))
    assert not hasattr(model.fit(SCALED[:, :3], NAMES), "feature_names_in_")
    assert model.n_features_in_ == 3
    with pytest.raises(
        AttributeError, match="no feature_names_in_, since not all columns of X had string names"
    ):
        _ = model.feature_names_in_


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


def test_warnings_point_to_the_line_that_called_fit():
    with pytest.warns(ConvergenceWarning) as caught:
        plain(max_iter=1).fit(SCALED, NAMES)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="clipped") as caught:
        plain(batch_size=1000, tol=1e9, n_iter_no_change=1).fit(SCALED, NAMES)
    assert caught[0].filename == __file__


def test_a_warning_turned_into_an_error_keeps_the_fitted_model():
    model = plain(max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            model.fit(SCALED, NAMES)
    assert model.n_iter_ == 3
    assert model.predict(SCALED).shape == (150,)


# --- predictions -------------------------------------------------------------------------------------------


def test_log_probabilities_come_from_the_logits():
    X = DIGITS * 1000  # far from the training rows: logits in the thousands
    model = plain(max_iter=5).fit(DIGITS, NUMBERS)
    log_p = model.predict_log_proba(X)
    assert np.isfinite(log_p).all()
    with np.errstate(divide="ignore"):
        assert not np.isfinite(np.log(model.predict_proba(X))).all()
    losses = cross_entropy(model.decision_function(X), NUMBERS)
    np.testing.assert_array_equal(-log_p[np.arange(len(X)), NUMBERS], losses)


@pytest.mark.parametrize(
    ("loss", "n_outputs", "link"), [("log_loss", 1, "logistic"), ("softmax_cross_entropy", 2, "softmax")]
)
def test_two_classes_have_one_log_odds_per_row(loss, n_outputs, link):
    model = quick(loss=loss).fit(TUMOURS, BENIGN)
    z = model.decision_function(TUMOURS)
    assert z.shape == (len(TUMOURS),)
    assert (model.n_outputs_, model.out_activation_) == (n_outputs, link)
    assert model.coefs_[-1].shape == (5, n_outputs)
    np.testing.assert_array_equal(model.predict(TUMOURS), (z > 0).astype(int))
    np.testing.assert_allclose(model.predict_proba(TUMOURS)[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-5)
    log_p = model.predict_log_proba(TUMOURS)
    np.testing.assert_allclose(np.diff(log_p, axis=1)[:, 0], z, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_are_scipys_softmax_of_the_logits(dtype):
    model = quick(dtype=dtype).fit(DIGITS, NUMBERS)
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
    model = quick(loss=loss, soft_targets=True).fit(IRIS, np.ones((150, 1)))
    assert model.predict_proba(IRIS[:2]).tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64", None])
def test_answers_are_float64_and_with_dtype_none_of_the_type_of_the_rows(dtype):
    for X in (IRIS, IRIS.astype("float32"), (IRIS * 10).astype("int8")):
        model = quick(dtype=dtype).fit(X, NAMES)
        of_rows = np.dtype("float32" if X.dtype == "float32" else "float64")
        for answer in (model.predict_proba, model.predict_log_proba, model.decision_function):
            assert answer(X).dtype == (of_rows if dtype is None else np.float64)
        assert model.coefs_[0].dtype == model.activations(X).dtype == (dtype or of_rows)


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_activations_are_the_outputs_of_the_hidden_layers(make):
    settings = {"hidden_layer_sizes": (7, 5), "activation": ["tanh", "relu"], "dropout": 0.3}
    model = plain(**settings, dtype="float64", max_iter=3).fit(SCALED, NAMES)
    (W1, W2, _), (b1, b2, _) = model.coefs_, model.intercepts_
    first = np.tanh(SCALED @ W1 + b1)
    second = np.maximum(first @ W2 + b2, 0)
    for layer, expected, end in [(0, first, 2), (-2, first, 2), (1, second, 5), (-1, second, 5)]:
        found = model.activations(make(SCALED), layer)
        assert_same_outputs(found, expected, model.network_, SCALED, layers=end)
    assert_same_outputs(model.activations(SCALED), second, model.network_, SCALED, layers=5)
    z = model.activations(SCALED) @ model.coefs_[-1] + model.intercepts_[-1]
    assert_same_outputs(model.decision_function(SCALED), z, model.network_, SCALED)
    with pytest.raises(ValueError, match="layer must be from -2 to 1, got 2"):
        model.activations(SCALED, 2)
    with pytest.raises(TypeError, match="layer must be .* got 'last'"):
        model.activations(SCALED, "last")
    with pytest.raises(ValueError, match=r"no hidden layers.*hidden_layer_sizes=\(\)"):
        quick(hidden_layer_sizes=()).fit(SCALED, NAMES).activations(SCALED)
    with pytest.raises(NotFittedError):
        quick().activations(SCALED)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [2, 3])
def test_predictions_for_plain_arrays_equal_those_for_inputs_that_scikit_learn_checks(method, classes):
    X = np.random.default_rng(0).normal(size=(1200, 4))  # more than a block
    model = quick(max_iter=1, early_stopping=False).fit(X, X[:, :classes].argmax(axis=1))
    predict = getattr(model, method)
    expected = predict(X.tolist())
    for kind in (X, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], pd.DataFrame(X)):
        np.testing.assert_array_equal(predict(kind), expected)
    with pytest.raises(ValueError, match="3 features, .* expecting 4"):
        predict(X[:, :3])
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        predict(X[:0])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
        predict(X[0])
    with pytest.raises(ValueError, match="inf at row 1100, column 1"):
        predict(np.where((np.arange(1200) == 1100)[:, None] & (np.arange(4) == 1), np.inf, X))


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
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_a_wrong_number_of_columns_is_refused_without_a_copy(n_columns, make):
    model = quick(max_iter=1).fit(np.random.default_rng(0).normal(size=(60, 10)), np.arange(60) % 7)
    X, size = make(np.ones((20_000, n_columns))), 8 * 20_000 * n_columns
    wrong = pytest.raises(ValueError, match=f"{n_columns} features, .* expecting 10")
    with wrong:
        model.predict(make(np.ones((1, n_columns))))  # libraries import parts on first use
    tracemalloc.start()
    try:
        with wrong:
            model.predict(X)
        assert tracemalloc.get_traced_memory()[1] < size / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", METHODS)
def test_memory_of_predictions_does_not_grow_with_the_rows(method):
    rng = np.random.default_rng(0)
    model = quick(hidden_layer_sizes=50, max_iter=1).fit(rng.normal(size=(60, 10)), np.arange(60) % 7)

    def beyond_the_result(n):
        X = np.zeros((n, 10))
        tracemalloc.start()
        result = getattr(model, method)(X)
        peak = tracemalloc.get_traced_memory()[1] - result.nbytes
        tracemalloc.stop()
        return peak

    # predict allocates the indices of the classes besides the labels.
    allowed = 8 * 50_000 if method == "predict" else 50_000
    assert beyond_the_result(50_000) < beyond_the_result(2_000) + 1.1 * allowed


# --- weights set by hand, and outputs beyond the range -----------------------------------------------------


def test_assignment_to_coefs_and_intercepts_changes_the_network():
    model = plain(hidden_layer_sizes=(), dtype="float64", max_iter=1).fit(SCALED, NAMES)
    W, b = np.arange(12.0).reshape(4, 3), np.array([1.0, 2.0, 3.0])
    for one in (model, pickle.loads(pickle.dumps(model))):
        one.coefs_[0] = W
        one.intercepts_ = [b]
        np.testing.assert_allclose(one.decision_function(SCALED), SCALED @ W + b)
        one.coefs_ = [2 * W]
        one.intercepts_[0] += 1.0
        np.testing.assert_allclose(one.decision_function(SCALED), 2 * SCALED @ W + b + 1)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.full((4, 5), "x"), "array 0 .* real numbers, got dtype <U1"),
        (np.full((4, 5), 1j), "array 0 .* real numbers, got dtype complex128"),
        ([[1.0], [1.0, 2.0]], "array 0 cannot be converted"),
        (np.ones((5, 4)), r"array 0 has shape \(4, 5\), got .* \(5, 4\)"),
    ],
)
def test_invalid_values_for_coefs_are_refused(value, match):
    model = quick().fit(IRIS, NAMES)
    before = model.network_.theta.copy()
    with pytest.raises((TypeError, ValueError), match=match):
        model.coefs_[0] = value
    with pytest.raises((TypeError, ValueError), match=match):
        model.coefs_ = [value, model.coefs_[1]]
    with pytest.raises(TypeError, match="list of 2 arrays, got None"):
        model.coefs_ = None
    np.testing.assert_array_equal(model.network_.theta, before)


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_the_error_names_weights_that_are_not_finite(value):
    model = quick().fit(IRIS, NAMES)
    model.coefs_[0] = np.full((4, 5), value)
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must be finite"):
        model.predict(IRIS)


def with_value(value):
    """The rows, in which one has another value."""
    X = SCALED.copy()
    X[7, 2] = value
    return X


@pytest.mark.parametrize("method", METHODS)
def test_a_prediction_beyond_the_dtype_is_an_error_not_nan(method):
    model = plain(hidden_layer_sizes=(), max_iter=3).fit(SCALED, NAMES)
    predict = getattr(model, method)
    with pytest.raises(ValueError, match="row 7, column 2"):
        predict(with_value(1e39))
    with pytest.raises(ValueError, match=r"logits of row 7 .*3e\+38"):
        predict(np.where(np.isin(np.arange(150), [7, 9])[:, None], 3e38, SCALED))
    with pytest.raises(NotFittedError):
        getattr(plain(), method)(SCALED)


def test_the_error_for_logits_beyond_the_range_names_row_column_weights_and_the_fix():
    model = plain(hidden_layer_sizes=(), max_iter=3).fit(SCALED, NAMES)
    model.coefs_[0] = np.full((4, 3), 1e37)
    X = np.where((np.arange(150) == 7)[:, None] & (np.arange(4) == 1), -99.0, SCALED)
    message = r"logits of row 7 .* float32: X reaches 99 .* column 1, .* weights 1e\+37"
    for given in (X, scipy.sparse.csr_matrix(X)):
        with pytest.raises(ValueError, match=rf"{message}.*scale_inputs=True.*float64.*smaller"):
            model.predict(given)
    scaled = quick(hidden_layer_sizes=(), dtype="float64").fit(SCALED, NAMES)
    scaled.coefs_[0] = np.full((4, 3), 1e308)
    with pytest.raises(ValueError, match="float64: X reaches ") as error:
        scaled.predict(X)
    assert "scale_inputs" not in str(error.value)


def test_activations_beyond_the_range_are_an_error_like_logits():
    model = plain(hidden_layer_sizes=(3, 2), activation="identity").fit(SCALED, NAMES)
    model.coefs_[0] = np.where(np.arange(3) % 2, 2.0, -2.0) * np.ones((4, 1))
    for layer in (0, 1):
        with pytest.raises(ValueError, match=r"activations of row 1 .* X reaches 3e\+38 .* column 0"):
            model.activations([[1.0] * 4, [3e38] * 4], layer)


@pytest.mark.parametrize(
    ("dtype", "largest", "log_odds"), [("float32", 3e38, 6e38), ("float64", 1.5e308, np.inf)]
)
def test_log_odds_are_infinite_beyond_the_range_of_float64_without_a_warning(dtype, largest, log_odds):
    model = quick(hidden_layer_sizes=(), loss="softmax_cross_entropy", calibrate=False, dtype=dtype)
    model.fit([[-1.0], [1.0]], [False, True])
    model.coefs_[0], model.intercepts_[0] = [[-largest, largest]], [0.0, 0.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.decision_function([[1.0], [-1.0]])
    np.testing.assert_allclose(found, [log_odds, -log_odds], rtol=1e-6)
    assert model.predict([[1.0], [-1.0]]).tolist() == [True, False]


# --- the defaults ------------------------------------------------------------------------------------------

TOYS = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}
DAILY = ("wine", "breast_cancer")


def prior_loss(y, y_new=None):
    """The log-loss of the class frequencies."""
    classes, codes = np.unique(y, return_inverse=True)
    p = np.bincount(codes) / len(y)
    y_new = y if y_new is None else y_new
    return -np.log(p)[np.searchsorted(classes, y_new)].mean()


def loss_of(model, X, y):
    log_p = model.predict_log_proba(X).astype(np.float64)
    if not isinstance(model, TinyClassifier):
        log_p = np.maximum(log_p, np.log(np.finfo(float).eps))
    return -log_p[np.arange(len(y)), np.searchsorted(model.classes_, y)].mean()


def slow_unless(daily, *case):
    """A case of a test, marked as slow unless it runs daily."""
    return pytest.param(*case, marks=[] if daily else pytest.mark.slow)


@pytest.mark.parametrize("name", [slow_unless(name in DAILY, name) for name in TOYS])
def test_raw_features_need_no_warning_and_give_a_lower_loss_than_mlp_classifier(name):
    X, y = TOYS[name](return_X_y=True)
    ours, theirs = [], []
    for seed in range(3):
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed, stratify=y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ours.append(loss_of(TinyClassifier(random_state=seed).fit(X_train, y_train), X_test, y_test))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.append(loss_of(MLPClassifier(random_state=seed).fit(X_train, y_train), X_test, y_test))
    assert np.mean(ours) < np.mean(theirs)
    assert np.mean(ours) < 0.2


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 10, 11, 33, 100])
@pytest.mark.parametrize("k", [2, 3, 12])
@pytest.mark.filterwarnings("ignore::tinyclf.TrainingWarning")
def test_few_rows_can_be_fitted_and_are_not_worse_than_the_prior(n, k):
    rng = np.random.default_rng(n)
    X, y = rng.normal(size=(n, 4)), rng.integers(0, k, n)
    model = TinyClassifier(random_state=0).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    if len(model.classes_) > 1:
        assert loss_of(model, X, y) <= prior_loss(y) * (1 + 1e-5)


@pytest.mark.parametrize(
    ("n", "p", "k"),
    [
        slow_unless(case == (20, 5, 2), *case)
        for case in [(10, 3, 2), (20, 5, 2), (30, 10, 3), (60, 5, 2), (100, 10, 5), (600, 10, 2)]
    ],
)
def test_noise_costs_hardly_more_than_the_prior(n, p, k):
    ours, prior = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y, X_new, y_new = rng.normal(size=(n, p)), rng.integers(0, k, n), rng.normal(size=(500, p)), None
        y[:k] = np.arange(k)
        y_new = rng.integers(0, k, 500)
        model = TinyClassifier(random_state=seed).fit(X, y)
        ours.append(loss_of(model, X_new, y_new))
        prior.append(prior_loss(y, y_new))
        assert loss_of(model, X, y) <= prior_loss(y) * (1 + 1e-5)
    assert np.mean(ours) <= 1.05 * np.mean(prior)


def test_a_toy_of_fewer_than_ten_rows_is_memorized():
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    for seed in range(5):
        model = TinyClassifier(random_state=seed).fit(X, y)
        assert model.predict_proba(X)[np.arange(4), y].min() > 0.8
    again = TinyClassifier(random_state=0).fit(
        np.tile(X, (50, 1)), np.tile(y, 50)
    )  # still four distinct rows
    assert again.predict_proba(X)[np.arange(4), y].min() > 0.8


@pytest.mark.parametrize("rare", [1, 2, 3])
@pytest.mark.parametrize("n", [slow_unless(n == 40, n) for n in (40, 700)])
def test_rare_classes_are_learned(rare, n):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, 3)), (np.arange(n) % 2).astype(str)
    y[:rare] = "rare"
    X[:, 0] += 4.0 * (y == "1")
    X[:rare] = [0.0, 12.0, 0.0]
    where = []
    for seed in range(6):  # a single row may have little weight in one fit
        model = TinyClassifier(random_state=seed).fit(X, y)
        assert loss_of(model, X, y) < prior_loss(y)
        assert model.score(X[rare:], y[rare:]) > 0.9
        where.append(model.predict_proba([[0.0, 12.0, 0.0], [0.0, 0.0, 0.0]])[:, 2])
    far, near = np.mean(where, axis=0)
    assert far > 2 * near


def test_a_hundred_classes_are_learned():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 8)).repeat(8, axis=0) + 0.2 * rng.normal(size=(800, 8))
    y = np.arange(100).repeat(8)
    model = TinyClassifier(random_state=0).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) > 0.7


@pytest.mark.parametrize("n", [30, 1000])
def test_one_feature_is_enough(n):
    X = np.random.default_rng(0).normal(size=(n, 1))
    y = (np.abs(X[:, 0]) > 0.7).astype(int)
    assert TinyClassifier(random_state=0).fit(X, y).score(X, y) > (0.9 if n == 1000 else 0.75)


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_five_thousand_features_can_be_fitted(kind):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((200, 5000)) < 0.02, 1.0, 0.0)
    y = rng.integers(0, 2, 200)
    X[:, :100] += y[:, None]
    model = TinyClassifier(20, random_state=0).fit(kind(X[:150]), y[:150])
    assert model.score(kind(X[150:]), y[150:]) > 0.9


def test_wide_sparse_rows_are_not_made_dense():
    columns = np.random.default_rng(0).integers(0, 200_000, size=(400, 40))
    X = scipy.sparse.csr_array((np.ones(16_000), columns.ravel(), np.arange(401) * 40), shape=(400, 200_000))
    X.sum_duplicates()
    tracemalloc.start()
    TinyClassifier((4,), max_iter=1, random_state=0).fit(X, np.arange(400) % 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # dense rows would need 640 MB


def test_a_heavily_imbalanced_class_is_learned():
    rng = np.random.default_rng(0)
    y = (np.arange(5000) % 1000 == 0).astype(int)
    X = rng.normal(size=(5000, 4)) + 5.0 * y[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = TinyClassifier(random_state=0).fit(X, y)
    p = model.predict_proba(X)[:, 1]
    assert loss_of(model, X, y) < prior_loss(y)
    assert p[y == 1].min() > 10 * p[y == 0].mean()


@pytest.mark.slow
def test_heavily_imbalanced_noise_is_not_worse_than_the_prior():
    y = (np.arange(4000) % 1000 == 0).astype(int)
    losses = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        model = TinyClassifier(random_state=seed).fit(rng.normal(size=(4000, 4)), y)
        losses.append(loss_of(model, rng.normal(size=(4000, 4)), y))
    assert np.mean(losses) <= 1.05 * prior_loss(y)


def test_duplicated_rows_can_be_fitted():
    model = TinyClassifier(random_state=0).fit(np.tile(IRIS, (5, 1)), np.tile(SPECIES, 5))
    assert model.score(IRIS, SPECIES) > 0.95
    one = TinyClassifier(random_state=0).fit(np.ones((600, 2)), np.arange(600) % 3)
    np.testing.assert_allclose(one.predict_proba(np.ones((1, 2))), np.full((1, 3), 1 / 3), atol=0.01)


@pytest.mark.parametrize("n", [4, 40, 600])
@pytest.mark.parametrize("value", [0.0, 3.7, 1e300])
def test_constant_features_give_the_prior(n, value):
    X, y = np.full((n, 3), value), np.arange(n) % 4 == 0
    model = TinyClassifier(random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], np.full(n, 0.25), atol=0.03)
    assert model.predict_proba(np.zeros((1, 3)))[0, 1] == model.predict_proba(X[:1])[0, 1]


def test_outliers_and_columns_of_extreme_scales_do_not_matter():
    X = TUMOURS * np.geomspace(1e-300, 1e300, 30)
    X[::50, 3] *= 1e6
    assert TinyClassifier(random_state=0).fit(X, BENIGN).score(X, BENIGN) > 0.95


def test_an_additional_scaler_hardly_changes_predictions():
    settings = {"random_state": 0, "dtype": "float64"}
    alone = TinyClassifier(**settings).fit(IRIS, NAMES).predict_proba(IRIS)
    twice = TinyClassifier(**settings).fit(SCALED, NAMES)
    np.testing.assert_allclose(twice.predict_proba(SCALED), alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n", [30, 700])
@pytest.mark.parametrize("kind", ["several labels", "soft"])
def test_several_labels_and_soft_targets_are_learned(n, kind):
    X = np.random.default_rng(0).normal(size=(n, 4))
    hot = (X[:, :3] > 0).astype(float)
    if kind == "soft":
        hot = (hot + 0.1) / (hot + 0.1).sum(axis=1, keepdims=True)
    model = TinyClassifier(random_state=0, soft_targets=kind == "soft")
    p = model.fit(X, hot if kind == "soft" else hot.astype(int)).predict_proba(X)
    assert (model.validation_scores_ is None) is (n < 500)
    prior = np.tile(hot.mean(axis=0), (n, 1))
    assert np.square(p - hot).mean() < np.square(prior - hot).mean()


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize(
    ("labels", "seeds"), [(list("abcdefghij"), 5), ([*"aa", *map(str, range(598))], 1)], ids=["10", "600"]
)
def test_classes_of_one_row_each_are_learned(labels, seeds):
    X = np.random.default_rng(0).normal(size=(len(labels), 12))
    for seed in range(seeds):
        model = TinyClassifier(random_state=seed).fit(X, labels)
        assert len(model.classes_) == len(set(labels))
        assert loss_of(model, X, np.array(labels)) < prior_loss(np.array(labels))


@pytest.mark.parametrize("weight", [1e-160, 1e160])
@pytest.mark.filterwarnings("ignore::tinyclf.TrainingWarning")
def test_the_scale_of_the_weights_does_not_matter(weight):
    # The penalty is divided by the sum of the weights.
    settings = {"random_state": 0, "alpha": 0.0, "dtype": "float64"}
    model, other = (TinyClassifier(**settings).fit(IRIS, NAMES, np.full(150, w)) for w in (weight, 1.0))
    np.testing.assert_allclose(model.predict_proba(IRIS), other.predict_proba(IRIS), rtol=1e-6, atol=1e-9)


def test_a_few_rows_with_nearly_all_the_weight_are_memorized():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 4)), rng.integers(0, 2, 150)
    weight = np.full(150, 1e-9)
    weight[:6] = 1.0  # the labels of six rows cannot be predicted from the others
    for seed in range(5):
        model = TinyClassifier(alpha=0.0, random_state=seed).fit(X, y, weight)
        assert model.t_ == 150 * model.n_iter_
        assert model.predict_proba(X[:6])[np.arange(6), y[:6]].min() > 0.7
