"""Conventions of scikit-learn: meta-estimators, parameters, metadata, feature names, documentation.

`USES` is the table: each of its functions uses the estimator with one tool and checks the result. One test
runs all of them over several estimators and data sets.
"""

import ast
import inspect
import io
import pickle
import re
from urllib.parse import unquote

import joblib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import loguniform
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.externals._numpydoc.docscrape import NumpyDocString
from sklearn.feature_selection import RFE, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, log_loss
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    LearningCurveDisplay,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    ValidationCurveDisplay,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from tests.support.parts import LayerNorm, Swish
from tinyclf import SGD, Adam, Dropout, SigmoidCrossEntropy, SoftmaxCrossEntropy, Tanh, TinyClassifier
from tinyclf.estimator.classifier import DOCUMENTATION

# Fits that stop early are tested separately.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def quick(**parameters):
    settings = {"hidden_layer_sizes": 8, "max_iter": 50, "learning_rate_init": 0.05, "random_state": 0}
    return TinyClassifier(**{**settings, **parameters})


def shuffled(bunch, n_columns, n_rows):
    """Rows in random order, scaled, with the names of their classes."""
    rows = np.random.default_rng(0).permutation(len(bunch.data))[:n_rows]
    X = StandardScaler().fit_transform(bunch.data[rows, :n_columns])
    return X, bunch.target_names[bunch.target[rows]]


IRIS, SPECIES = shuffled(load_iris(), 4, 150)
TUMOURS, KINDS = shuffled(load_breast_cancer(), 6, 200)

CASES = {
    "two classes": (quick(), TUMOURS, KINDS),
    "three classes": (quick(), IRIS, SPECIES),
    "a pipeline": (make_pipeline(StandardScaler(), quick(dtype="float64")), IRIS, SPECIES),
    "two logits in a pipeline": (
        make_pipeline(StandardScaler(), quick(loss="softmax_cross_entropy")),
        TUMOURS,
        KINDS,
    ),
}

# No class has as many as two thirds of the rows, so a score above this is not chance.
GOOD = 0.8


def named(model, **values):
    """The parameters with the names that they have in the model, which may be a pipeline."""
    prefix = "tinyclassifier__" if isinstance(model, Pipeline) else ""
    return {prefix + name: value for name, value in values.items()}


# --- the table -------------------------------------------------------------------------------------------

USES = {}
FOR_TWO_CLASSES = set()


def use(function):
    USES[function.__name__] = function
    return function


def use_for_two_classes(function):
    FOR_TWO_CLASSES.add(function.__name__)
    return use(function)


def log_loss_of(fitted, X, y):
    """The log-loss of float32 probabilities, normalized in float64 because log_loss requires it."""
    p = fitted.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    return log_loss(y, p / p.sum(axis=1, keepdims=True))


def axes():
    return Figure().subplots()


@use
def decision_boundary_display(model, X, y):
    model.fit(X[:, :2], y)
    shown = DecisionBoundaryDisplay.from_estimator(
        model, X[:, :2], response_method="predict", grid_resolution=7, ax=axes()
    )
    grid = np.stack([shown.xx0.ravel(), shown.xx1.ravel()], axis=1)
    expected = np.searchsorted(model.classes_, model.predict(grid))
    np.testing.assert_array_equal(shown.response.ravel(), expected)
    assert len(np.unique(expected)) == len(model.classes_)


@use
def decision_boundary_display_of_probabilities(model, X, y):
    model.fit(X[:, :2], y)
    for method, expected in [
        ("predict_proba", model.predict_proba),
        ("decision_function", model.decision_function),
    ]:
        shown = DecisionBoundaryDisplay.from_estimator(
            model, X[:, :2], response_method=method, grid_resolution=7, ax=axes()
        )
        grid = np.stack([shown.xx0.ravel(), shown.xx1.ravel()], axis=1)
        outputs = expected(grid)
        if len(model.classes_) == 2:
            outputs = outputs.reshape(49, -1)[:, -1]
        np.testing.assert_array_equal(shown.response.reshape(outputs.shape), outputs)


@use
def learning_curve_display(model, X, y):
    shown = LearningCurveDisplay.from_estimator(model, X, y, train_sizes=[0.1, 1.0], cv=3, ax=axes())
    few, all_rows = shown.test_scores.mean(axis=1)
    assert all_rows > GOOD
    assert all_rows >= few


@use
def learning_curve_by_partial_fit(model, X, y):
    if isinstance(model, Pipeline):
        model = model[-1]  # a pipeline has no partial_fit
    folds = list(StratifiedKFold(3).split(X, y))
    sizes, _, scores = learning_curve(
        model, X, y, train_sizes=[0.2, 0.5, 1.0], cv=folds, exploit_incremental_learning=True
    )
    for fold, (train, test) in enumerate(folds):
        for size, rows in enumerate(np.split(train, sizes)[:-1]):
            model.partial_fit(X[rows], y[rows], classes=np.unique(y) if size == 0 else None)
            assert scores[size, fold] == model.score(X[test], y[test])
        model = clone(model)


@use
def validation_curve_display(model, X, y):
    ((name, values),) = named(model, max_iter=[1, 50]).items()
    shown = ValidationCurveDisplay.from_estimator(
        model, X, y, param_name=name, param_range=values, cv=3, scoring="neg_log_loss", ax=axes()
    )
    short, enough = shown.test_scores.mean(axis=1)
    assert enough > short
    assert enough > -0.5


@use
def calibration_by_temperature_keeps_the_predictions(model, X, y):
    model.fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(X, y)
    np.testing.assert_array_equal(calibrated.predict(X), model.predict(X))
    assert log_loss_of(calibrated, X, y) <= log_loss_of(model, X, y) + 1e-6


@use
def calibration_in_folds(model, X, y):
    for method, ensemble in [
        ("temperature", True),
        ("sigmoid", True),
        ("sigmoid", False),
        ("isotonic", True),
    ]:
        calibrated = CalibratedClassifierCV(model, method=method, cv=3, ensemble=ensemble).fit(X, y)
        assert log_loss_of(calibrated, X, y) < 0.4
        assert calibrated.score(X, y) > GOOD


@use_for_two_classes
def calibration_display(model, X, y):
    shown = CalibrationDisplay.from_estimator(model.fit(X, y), X, y, n_bins=4, ax=axes())
    np.testing.assert_array_equal(shown.y_prob, model.predict_proba(X)[:, 1])
    assert shown.prob_true[0] < 0.2 < 0.8 < shown.prob_true[-1]


@use_for_two_classes
def roc_curve_display(model, X, y):
    shown = RocCurveDisplay.from_estimator(model.fit(X, y), X, y, ax=axes())
    assert shown.roc_auc > 0.95


@use
def confusion_matrix_display(model, X, y):
    shown = ConfusionMatrixDisplay.from_estimator(model.fit(X, y), X, y, ax=axes())
    assert shown.display_labels.tolist() == sorted(set(y))
    assert np.trace(shown.confusion_matrix) > GOOD * len(y)


@use
def permutation_importances(model, X, y):
    X = np.column_stack([X, np.zeros(len(X))])
    found = permutation_importance(model.fit(X, y), X, y, n_repeats=3, random_state=0)
    assert found.importances_mean[-1] == 0
    assert found.importances_mean.max() > 0.02


@use
def partial_dependences(model, X, y):
    found = partial_dependence(model.fit(X, y), X, [2], grid_resolution=4)
    for column, value in enumerate(found["grid_values"][0]):
        fixed = X.copy()
        fixed[:, 2] = value
        p = model.predict_proba(fixed).mean(axis=0)
        if len(p) == 2:
            p = p[1:]
        np.testing.assert_allclose(found["average"][:, column], p, rtol=1e-5)


@use
def partial_dependence_display(model, X, y):
    k = len(np.unique(y))
    shown = PartialDependenceDisplay.from_estimator(
        model.fit(X, y), X, [0, (1, 2)], target=y[0] if k > 2 else None, grid_resolution=3, ax=axes()
    )
    one, two = shown.pd_results
    assert one["average"].shape[1:] == (3,)
    assert two["average"].shape[1:] == (3, 3)


@use
def sequential_feature_selection(model, X, y):
    alone = [cross_val_score(model, column[:, None], y, cv=2).mean() for column in X.T]
    chooser = SequentialFeatureSelector(model, n_features_to_select=1, cv=2).fit(X, y)
    assert np.flatnonzero(chooser.get_support()) == np.argmax(alone)
    chooser.set_params(n_features_to_select=2).fit(X, y)
    assert chooser.get_support()[np.argmax(alone)]
    chosen = chooser.transform(X)
    assert clone(model).fit(chosen, y).score(chosen, y) > GOOD


@use
def feature_elimination_by_weights(model, X, y):
    def weights(fitted):
        network = fitted[-1] if isinstance(fitted, Pipeline) else fitted
        return np.abs(network.coefs_[0]).sum(axis=1)

    kept = RFE(model, n_features_to_select=3, importance_getter=weights).fit(X, y)
    assert kept.score(X, y) > GOOD
    chosen = SelectFromModel(model, importance_getter=weights, max_features=1, threshold=-np.inf).fit(X, y)
    assert np.flatnonzero(chosen.get_support()) == weights(chosen.estimator_).argmax()


@use
def stacking(model, X, y):
    stacked = StackingClassifier(
        [("net", model), ("linear", LogisticRegression())], cv=3, passthrough=True
    ).fit(X, y)
    assert stacked.score(X, y) > GOOD
    k = len(stacked.classes_)
    assert stacked.transform(X).shape == (len(X), 2 * (k if k > 2 else 1) + X.shape[1])


@use
def voting(model, X, y):
    members = [("net", model), ("linear", LogisticRegression())]
    together = VotingClassifier(members, voting="soft", weights=[2, 1]).fit(X, y)
    parts = [member.fit(X, y).predict_proba(X) for _, member in members]
    np.testing.assert_allclose(together.predict_proba(X), (2 * parts[0] + parts[1]) / 3, rtol=1e-12)


@use
def bagging(model, X, y):
    for settings in ({"max_samples": 0.8}, {"max_samples": 0.5, "max_features": 0.7}):
        bag = BaggingClassifier(model, n_estimators=20, oob_score=True, random_state=0, **settings)
        assert bag.fit(X, y).oob_score_ > GOOD


@use
def boosting(model, X, y):
    if isinstance(model, Pipeline):
        model = model[-1]  # a pipeline does not pass weights to its steps
    boosted = AdaBoostClassifier(model, n_estimators=4, random_state=0).fit(X, y)
    assert boosted.score(X, y) > GOOD
    assert (boosted.estimator_errors_ < 0.5).all()


@use
def one_versus_rest(model, X, y):
    split = OneVsRestClassifier(model).fit(X, y)
    assert split.score(X, y) > GOOD
    k = len(split.classes_)
    assert len(split.estimators_) == (k if k > 2 else 1)


@use
def one_versus_one(model, X, y):
    k = len(np.unique(y))
    split = OneVsOneClassifier(model).fit(X, y)
    assert split.score(X, y) > GOOD
    assert len(split.estimators_) == k * (k - 1) // 2


@use
def output_codes(model, X, y):
    assert OutputCodeClassifier(model, code_size=3, random_state=0).fit(X, y).score(X, y) > GOOD


@use
def meta_estimators_that_learn_in_parts(model, X, y):
    if isinstance(model, Pipeline):
        model = model[-1]  # a pipeline has no partial_fit
    codes = np.unique(y, return_inverse=True)[1]  # OneVsOneClassifier.partial_fit does not accept strings
    for meta in (OneVsRestClassifier(model), OneVsOneClassifier(model)):
        for _ in range(30):
            meta.partial_fit(X, codes, classes=np.unique(codes))
        assert meta.score(X, codes) > GOOD
    both = MultiOutputClassifier(model)
    for _ in range(30):
        both.partial_fit(X, np.stack([y, y], axis=1), classes=[np.unique(y)] * 2)
    assert both.score(X, np.stack([y, y], axis=1)) > GOOD


@use
def multi_output(model, X, y):
    Y = np.stack([y, np.where(X[:, 0] > 0, "large", "small")], axis=1)
    both = MultiOutputClassifier(model).fit(X, Y)
    assert (both.predict(X) == Y).mean() > GOOD
    first = clone(model).fit(X, y)
    np.testing.assert_array_equal(both.predict_proba(X)[0], first.predict_proba(X))


@use
def classifier_chain(model, X, y):
    Y = np.stack([y == np.unique(y)[0], X[:, 0] > 0], axis=1).astype(int)
    for method in ("predict_proba", "decision_function", "predict_log_proba", "predict"):
        chain = ClassifierChain(model, cv=2, chain_method=method).fit(X, Y)
        assert (chain.predict(X) == Y).mean() > GOOD
        assert chain.predict_proba(X).shape == Y.shape


@use_for_two_classes
def fixed_threshold(model, X, y):
    p = model.fit(X, y).predict_proba(X)[:, 1]
    z = model.decision_function(X)
    for method, outputs, threshold in [("predict_proba", p, 0.8), ("decision_function", z, -2.0)]:
        moved = FixedThresholdClassifier(
            model, threshold=threshold, response_method=method, pos_label=model.classes_[1]
        ).fit(X, y)
        expected = model.classes_[(outputs >= threshold).astype(int)]
        np.testing.assert_array_equal(moved.predict(X), expected)
        assert (expected != model.predict(X)).any()


@use_for_two_classes
def tuned_threshold(model, X, y):
    tuned = TunedThresholdClassifierCV(model, scoring="balanced_accuracy", cv=3, random_state=0).fit(X, y)
    assert 0 < tuned.best_threshold_ < 1
    assert tuned.best_score_ > GOOD
    assert tuned.score(X, y) > GOOD


@use
def cross_val_predictions(model, X, y):
    p, log_p, z, labels = (
        cross_val_predict(model, X, y, cv=3, method=method)
        for method in ("predict_proba", "predict_log_proba", "decision_function", "predict")
    )
    classes = np.unique(y)
    assert p.shape == log_p.shape == (len(y), len(classes))
    assert z.shape == ((len(y),) if len(classes) == 2 else p.shape)
    np.testing.assert_allclose(np.exp(log_p), p, rtol=1e-5)
    np.testing.assert_array_equal(classes[p.argmax(axis=1)], labels)
    assert (labels == y).mean() > GOOD


@use
def cross_validation_by_several_scorers(model, X, y):
    scorers = ["accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr", "d2_log_loss_score"]
    losses = ["neg_log_loss", "neg_brier_score"]
    codes = np.unique(y, return_inverse=True)[1]  # for strings the Brier score needs pos_label
    found = cross_validate(model, X, codes, cv=3, scoring=scorers + losses, return_train_score=True)
    for part in ("test", "train"):
        for name in scorers:
            assert found[f"{part}_{name}"].mean() > (0.5 if name.startswith("d2") else GOOD), name
        for name in losses:
            assert -0.4 < found[f"{part}_{name}"].mean() < 0, name


@use
def permutation_test(model, X, y):
    score, others, p_value = permutation_test_score(model, X, y, cv=2, n_permutations=9, random_state=0)
    assert score > GOOD > others.max()
    assert p_value == 0.1


@use
def randomized_search(model, X, y):
    choices = named(
        model,
        learning_rate_init=loguniform(1e-3, 1e-1),
        hidden_layer_sizes=[(), 8, (8, 8)],
        alpha=loguniform(1e-6, 1e-2),
    )
    search = RandomizedSearchCV(model, choices, n_iter=6, cv=2, random_state=0, error_score="raise").fit(X, y)
    assert search.best_score_ > GOOD
    assert search.score(X, y) > GOOD
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@use
def halving_search_over_epochs(model, X, y):
    ((resource, _),) = named(model, max_iter=None).items()
    search = HalvingGridSearchCV(
        model,
        named(model, learning_rate_init=[1e-6, 1e-4, 1e-3, 0.05]),
        resource=resource,
        min_resources=10,
        max_resources=40,
        factor=2,
        cv=2,
        error_score="raise",
        random_state=0,
    ).fit(X, y)
    assert search.n_resources_ == [10, 20, 40]
    assert search.best_params_ == {**named(model, learning_rate_init=0.05), resource: 40}
    assert search.best_score_ > GOOD


@use
def self_training(model, X, y):
    partly = y.astype(object)
    partly[np.arange(len(y)) % 5 > 0] = -1
    learner = SelfTrainingClassifier(model, threshold=0.8).fit(X, partly)
    assert learner.score(X, y) > GOOD
    assert (learner.labeled_iter_ > 0).any()


@use
def frozen(model, X, y):
    model.fit(X, y)
    kept = clone(FrozenEstimator(model)).fit(X[:10], y[:10])
    np.testing.assert_array_equal(kept.predict_proba(X), model.predict_proba(X))


@use
def parallel_jobs(model, X, y):
    one, two = (cross_val_score(model, X, y, cv=4, scoring="neg_log_loss", n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one, two)
    with joblib.parallel_config("threading"):
        np.testing.assert_array_equal(
            cross_val_score(model, X, y, cv=4, scoring="neg_log_loss", n_jobs=2), one
        )


@use
def copies(model, X, y):
    model.fit(X, y)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for loaded in (pickle.loads(pickle.dumps(model)), joblib.load(file), clone(model).fit(X, y)):
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@use
def pandas_output_of_a_scaler(model, X, y):
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    chain = make_pipeline(StandardScaler(), model).set_output(transform="pandas").fit(frame, y)
    assert chain[-1].feature_names_in_.tolist() == frame.columns.tolist()
    plain = make_pipeline(StandardScaler(), clone(model)).fit(np.asfortranarray(X), y)
    np.testing.assert_allclose(chain.predict_proba(frame), plain.predict_proba(X), rtol=1e-4)


@use
def sparse_rows(model, X, y):
    if isinstance(model, Pipeline):
        model = model[-1]  # StandardScaler cannot center sparse data
    coder = OneHotEncoder(handle_unknown="ignore")
    chain = make_pipeline(coder, model).fit(X.round(0), y)
    assert chain.score(X.round(0), y) > 0.8


@pytest.mark.parametrize(
    ("name", "case"),
    [
        (name, case)
        for name in USES
        for case, (_, _, y) in CASES.items()
        if len(np.unique(y)) == 2 or name not in FOR_TWO_CLASSES
    ],
)
def test_the_estimator_works_with(name, case):
    model, X, y = CASES[case]
    USES[name](clone(model), X, y)


# --- search over every parameter -------------------------------------------------------------------------


def least_trained(model, X, y):
    return -float(model.n_iter_)


def falling(done):
    return 1 - done**2


# Values that lead to different networks, and the other parameters that this requires.
SEARCHED = {
    "hidden_layer_sizes": ([8, (6, 5), np.array([7]), ()], {}),
    "activation": (["tanh", Swish, LayerNorm(), ["relu"], [["logistic", Dropout(0.2)]]], {}),
    "solver": (["sgd", "lbfgs", Adam(0.05), SGD(0.1, momentum=0.9)], {}),
    "alpha": (np.array([1e-4, 1.0]), {}),
    "batch_size": (["auto", 16], {}),
    "learning_rate": (["constant", "cosine", "invscaling", falling], {"solver": "sgd"}),
    "learning_rate_init": (np.logspace(-2, -1, 2), {}),
    "power_t": ([0.1, 0.5], {"solver": "sgd", "learning_rate": "invscaling"}),
    "max_iter": (np.array([10, 20]), {}),
    "shuffle": ([True, False], {"batch_size": 16}),
    "random_state": ([0, np.random.RandomState(1)], {}),
    "tol": ([0.0, 1.0], {"n_iter_no_change": 5}),
    "verbose": ([False, 1], {}),
    "warm_start": ([False, True], {}),
    "momentum": ([0.0, 0.9], {"solver": "sgd"}),
    "nesterovs_momentum": ([True, False], {"solver": "sgd"}),
    "early_stopping": ([False, True], {"n_iter_no_change": 5}),
    "validation_fraction": ([0.1, 0.4], {"early_stopping": True}),
    "beta_1": ([0.5, 0.9], {}),
    "beta_2": ([0.9, 0.999], {}),
    "epsilon": ([1e-8, 1e-2], {}),
    "n_iter_no_change": ([5, np.inf], {"tol": 1.0}),
    "max_fun": ([10, 100], {"solver": "lbfgs"}),
    "loss": (["log_loss", SoftmaxCrossEntropy(label_smoothing=0.3)], {}),
    "dtype": (["float32", np.float64], {}),
    "class_weight": (["balanced", {"setosa": 5.0}], {}),
    "dropout": ([0.0, [0.2]], {}),
    "label_smoothing": ([0.0, 0.2], {}),
    "weight_decay": ([0.0, 1.0], {}),
    "max_grad_norm": ([None, 0.1], {}),
    "scoring": (["loss", least_trained], {"early_stopping": True}),
    "soft_targets": ([False, True], {}),
    "scale_inputs": ([False, True], {}),
    "calibrate": ([False, True], {"early_stopping": True}),
    "refit": ([False, True], {"early_stopping": True}),
}

# These must not change the network.
WITHOUT_EFFECT = {"verbose", "warm_start"}


def soft_labels(smoothing):
    """Smoothed probabilities of the species."""
    return (1 - smoothing) * (np.unique(SPECIES) == SPECIES[:, None]) + smoothing / 3


def mean_log_probability(model, X, y):
    """A scorer for targets that are probabilities, (n, k)."""
    return np.mean(np.sum(y * model.predict_log_proba(X), axis=1))


def test_the_table_of_searches_has_every_parameter():
    assert list(SEARCHED) == list(inspect.signature(TinyClassifier).parameters)
    assert SEARCHED.keys() == TinyClassifier().get_params().keys()
    assert SEARCHED.keys() == TinyClassifier._parameter_constraints.keys()


@pytest.mark.parametrize("name", SEARCHED)
def test_every_parameter_can_be_searched_and_has_an_effect(name):
    values, others = SEARCHED[name]
    y, scoring = SPECIES, "neg_log_loss"
    if name == "soft_targets":  # one-hot rows, which are valid labels and valid probabilities
        y, scoring = soft_labels(0.0), mean_log_probability
    model = quick(max_iter=20, learning_rate_init=0.1, **others)
    search = GridSearchCV(model, {name: values}, cv=2, scoring=scoring, error_score="raise").fit(IRIS, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert search.best_score_ > -0.7  # chance is -log(3)
    assert len(set(scores)) == (1 if name in WITHOUT_EFFECT else len(values))
    assert text(search.best_estimator_.get_params()[name]) == text(values[search.best_index_])


def text(value):
    """The repr without the addresses of objects."""
    return re.sub(r" at 0x\w+", "", repr(value))


def test_a_search_accepts_soft_targets():
    model = quick(soft_targets=True, max_iter=20)
    grid = {"learning_rate_init": [1e-4, 0.05]}
    search = GridSearchCV(model, grid, cv=2, scoring=mean_log_probability, error_score="raise")
    search.fit(IRIS, soft_labels(0.1))
    assert search.best_params_ == {"learning_rate_init": 0.05}
    assert search.best_score_ > -0.8  # chance is -log(3)
    assert search.best_estimator_.score(IRIS, np.unique(SPECIES, return_inverse=True)[1]) > GOOD


@pytest.mark.parametrize("name", SEARCHED)
def test_parameters_are_kept_unchanged(name):
    default = TinyClassifier()
    for value in SEARCHED[name][0]:
        model = TinyClassifier(**{name: value})
        assert model.get_params()[name] is value
        assert TinyClassifier().set_params(**{name: value}).get_params()[name] is value
        assert text(clone(model).get_params()) == text(model.get_params())
        others = {k: v for k, v in model.get_params().items() if k != name}
        assert others == {k: v for k, v in default.get_params().items() if k != name}
        changed = repr(value) != repr(default.get_params()[name])
        assert (f"{name}=" in repr(model)) == changed
    assert repr(default) == "TinyClassifier()"


def test_an_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match=r"Invalid parameter 'layers' .*'hidden_layer_sizes'"):
        TinyClassifier().set_params(layers=3)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    "name",
    [name for name, kinds in TinyClassifier._parameter_constraints.items() if "boolean" in kinds],
)
def test_numpy_booleans_have_the_effect_of_booleans(name, value):
    # A grid such as {"early_stopping": np.array([True, False])} passes NumPy booleans.
    y = soft_labels(0.0) if name == "soft_targets" else SPECIES
    X_val, y_val = IRIS[20:60] + 0.5, y[20:60]
    ours, numpys = (
        quick(solver="sgd", n_iter_no_change=3, batch_size=16, **{name: kind(value)}).fit(
            IRIS, y, X_val=X_val, y_val=y_val
        )
        for kind in (bool, np.bool_)
    )
    np.testing.assert_array_equal(ours.network_.theta, numpys.network_.theta)
    for attribute in ("n_iter_", "best_loss_", "best_validation_score_"):
        assert getattr(ours, attribute) == getattr(numpys, attribute)


# --- mixtures of probabilities --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "meta",
    [
        BaggingClassifier(quick(dtype=None), n_estimators=3, random_state=0),
        VotingClassifier(
            [("one", quick(dtype=None)), ("two", quick(dtype=None))], voting="soft", weights=[3, 7]
        ),
        CalibratedClassifierCV(quick(dtype=None), method="temperature"),
    ],
    ids=lambda meta: type(meta).__name__,
)
def test_mixtures_of_probabilities_can_be_scored_without_a_warning(meta):
    # With dtype=None the type is that of X, as in MLPClassifier. The sums of float32 probabilities are 1
    # within float32 rounding only; log_loss warns of them once a mixture has converted them to float64.
    meta = clone(meta).fit(IRIS, SPECIES)
    X = np.random.default_rng(0).normal(size=(5000, 4))
    assert log_loss(meta.predict(X), meta.predict_proba(X)) < 0.6


# --- metadata --------------------------------------------------------------------------------------------

RAW = IRIS * [1.0, 10.0, 0.1, 5.0] + 3.0
X_VAL, Y_VAL = RAW[100:], SPECIES[100:]
X_FIT, Y_FIT = RAW[:100], SPECIES[:100]
WEIGHTS = np.random.default_rng(0).integers(0, 4, 150) / 2.0

# Every second row has the label of the next row, and no weight.
WRONG = np.where(np.arange(150) % 2, SPECIES, np.roll(SPECIES, -1))
RELIABLE = np.arange(150) % 2


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


def routed():
    return quick().set_fit_request(sample_weight=True, X_val=True, y_val=True, sample_weight_val=True)


def scaling(network):
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    return Pipeline([("scale", scaler), ("net", network)], transform_input=["X_val"])


def fitted_by_hand(**metadata):
    scaler = StandardScaler().fit(X_FIT)
    return quick().fit(scaler.transform(X_FIT), Y_FIT, X_val=scaler.transform(X_VAL), y_val=Y_VAL, **metadata)


def assert_same_training(one, other):
    assert one.validation_loss_curve_ == other.validation_loss_curve_
    assert one.validation_scores_ == other.validation_scores_
    np.testing.assert_array_equal(one.network_.theta, other.network_.theta)


def test_a_pipeline_transforms_and_passes_on_the_validation_set(routing):
    metadata = {"sample_weight": WEIGHTS[:100], "sample_weight_val": WEIGHTS[100:]}
    chain = scaling(routed()).fit(X_FIT, Y_FIT, X_val=X_VAL, y_val=Y_VAL, **metadata)
    assert_same_training(chain[-1], fitted_by_hand(**metadata))
    assert chain.score(X_VAL, Y_VAL) > 0.75
    without = scaling(routed()).fit(X_FIT, Y_FIT, X_val=X_VAL, y_val=Y_VAL)
    assert_same_training(without[-1], fitted_by_hand())
    assert without[-1].validation_loss_curve_ != chain[-1].validation_loss_curve_


def test_a_pipeline_without_routing_passes_on_arguments_with_a_step_prefix():
    scaled = StandardScaler().fit(X_FIT).transform(X_VAL)
    chain = make_pipeline(StandardScaler(), quick()).fit(
        X_FIT,
        Y_FIT,
        tinyclassifier__sample_weight=WEIGHTS[:100],
        tinyclassifier__X_val=scaled,
        tinyclassifier__y_val=Y_VAL,
        tinyclassifier__sample_weight_val=WEIGHTS[100:],
    )
    expected = fitted_by_hand(sample_weight=WEIGHTS[:100], sample_weight_val=WEIGHTS[100:])
    assert_same_training(chain[-1], expected)


def test_a_search_passes_on_the_validation_set(routing):
    search = GridSearchCV(scaling(routed()), {"net__alpha": [1e-4, 0.1]}, cv=3, error_score="raise")
    search.fit(X_FIT, Y_FIT, X_val=X_VAL, y_val=Y_VAL)
    best = quick(**{name.removeprefix("net__"): value for name, value in search.best_params_.items()})
    scaler = StandardScaler().fit(X_FIT)
    best.fit(scaler.transform(X_FIT), Y_FIT, X_val=scaler.transform(X_VAL), y_val=Y_VAL)
    assert_same_training(search.best_estimator_[-1], best)


def test_searches_and_cross_validation_pass_on_weights(routing):
    model = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    folds = list(KFold(3).split(IRIS))
    expected = [
        quick().fit(IRIS[a], WRONG[a], RELIABLE[a]).score(IRIS[b], WRONG[b], RELIABLE[b]) for a, b in folds
    ]
    assert np.mean(expected) > GOOD
    search = GridSearchCV(model, {"max_iter": [1, 50]}, cv=folds, error_score="raise")
    search.fit(IRIS, WRONG, sample_weight=RELIABLE)
    assert search.best_params_ == {"max_iter": 50}
    assert [search.cv_results_[f"split{i}_test_score"][1] for i in range(3)] == expected
    found = cross_validate(model, IRIS, WRONG, cv=folds, params={"sample_weight": RELIABLE})
    assert found["test_score"].tolist() == expected
    unweighted = cross_validate(quick(), IRIS, WRONG, cv=folds)["test_score"]
    assert unweighted.mean() < 0.8


def test_metadata_that_was_not_requested_is_an_error(routing):
    with pytest.raises(UnsetMetadataPassedError, match=r"\[X_val\] are passed but are not explicitly set"):
        scaling(quick()).fit(X_FIT, Y_FIT, X_val=X_VAL)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_every_argument_other_than_x_and_y_can_be_routed(method):
    arguments = inspect.signature(getattr(TinyClassifier, method)).parameters.keys() - {"self", "X", "y"}
    assert getattr(TinyClassifier().get_metadata_routing(), method).requests.keys() == arguments


# --- names and kinds of data -----------------------------------------------------------------------------


@pytest.fixture(params=["pandas", "polars"])
def frames(request):
    """A library of data frames."""
    return pytest.importorskip(request.param)


NAMES = ["petal width", "petal length", "sepal width", "sepal length"]


def as_frame(frames, X, names=NAMES):
    return frames.DataFrame(dict(zip(names, X.T, strict=True)))


def test_a_frame_gives_its_numbers_and_its_feature_names(frames):
    frame, labels = as_frame(frames, IRIS), frames.Series(SPECIES)
    plain = quick().fit(IRIS, SPECIES)
    model = quick().fit(frame, labels)
    assert model.feature_names_in_.tolist() == NAMES
    assert model.feature_names_in_.dtype == object
    assert model.n_features_in_ == 4
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    np.testing.assert_array_equal(model.predict_proba(frame), plain.predict_proba(IRIS))
    assert model.score(frame, labels) > GOOD
    parts = quick().partial_fit(frame, labels, classes=frames.Series(sorted(set(SPECIES))))
    assert parts.feature_names_in_.tolist() == NAMES
    model.fit(IRIS, SPECIES)
    assert not hasattr(model, "feature_names_in_")


def test_wrong_and_missing_names_are_errors(frames):
    frame = as_frame(frames, IRIS)
    model = quick(warm_start=True).fit(frame, SPECIES)
    before = model.network_.theta.copy()
    turned, short, renamed = frame[NAMES[::-1]], frame[NAMES[:3]], as_frame(frames, IRIS, list("abcd"))
    for wrong, message in [
        (turned, "same order"),
        (short, "now missing:\n- sepal length"),
        (renamed, "unseen"),
    ]:
        for call in (
            model.predict,
            model.predict_proba,
            model.predict_log_proba,
            model.decision_function,
            model.activations,
            lambda X: model.score(X, SPECIES),
            lambda X: model.fit(X, SPECIES),
            lambda X: model.partial_fit(X, SPECIES),
            lambda X: quick().fit(frame, SPECIES, X_val=X, y_val=SPECIES),
        ):
            with pytest.raises(ValueError, match=message):
                call(wrong)
    np.testing.assert_array_equal(model.network_.theta, before)
    with pytest.warns(UserWarning, match="does not have valid feature names, but TinyClassifier was fitted"):
        model.predict(IRIS)
    with pytest.warns(UserWarning, match="TinyClassifier was fitted without feature names"):
        quick().fit(IRIS, SPECIES).predict(frame)
    with pytest.raises(ValueError, match="X has 3 features, but TinyClassifier is expecting 4 features"):
        quick().fit(IRIS, SPECIES).predict(IRIS[:, :3])


def test_columns_numbered_by_integers_give_no_feature_names():
    assert not hasattr(quick().fit(pd.DataFrame(IRIS), SPECIES), "feature_names_in_")
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        quick().fit(pd.DataFrame(IRIS, columns=["a", 1, "b", 2]), SPECIES)


def test_scorers_get_the_frames_that_were_passed(frames):
    seen = []

    def scorer(model, X, y):
        seen.append((type(X), type(y), list(X.columns)))
        return model.score(X, y)

    frame, labels = as_frame(frames, IRIS), frames.Series(SPECIES)
    expected = (frames.DataFrame, np.ndarray, NAMES)
    model = quick(early_stopping=True, scoring=scorer, max_iter=3).fit(frame, labels)
    quick(scoring=scorer, max_iter=3).fit(frame, labels, X_val=frame[:30], y_val=labels[:30])
    assert seen == [expected] * 6
    assert model.feature_names_in_.tolist() == NAMES


def test_mixed_columns_work_with_a_column_transformer(frames):
    rng = np.random.default_rng(0)
    size = np.where(rng.random(150) < 0.1, np.nan, IRIS[:, 2])
    color = np.where(rng.random(150) < 0.1, "grey", np.where(SPECIES == "setosa", "white", "blue"))
    frame = frames.DataFrame({"size": size, "color": color, "width": IRIS[:, 3]})
    labels = frames.Series(SPECIES)

    def chain(output):
        numbers = make_pipeline(SimpleImputer(), StandardScaler())
        kinds = OneHotEncoder(sparse_output=False)
        columns = ColumnTransformer([("numbers", numbers, ["size", "width"]), ("kinds", kinds, ["color"])])
        return make_pipeline(columns, quick()).set_output(transform=output)

    assert cross_val_score(chain(frames.__name__), frame, labels, cv=3).min() > GOOD
    framed, plain = (chain(output).fit(frame, labels) for output in (frames.__name__, "default"))
    kinds = [f"kinds__color_{name}" for name in ("blue", "grey", "white")]
    assert framed[-1].feature_names_in_.tolist() == ["numbers__size", "numbers__width", *kinds]
    assert not hasattr(plain[-1], "feature_names_in_")
    np.testing.assert_allclose(framed.predict_proba(frame), plain.predict_proba(frame), rtol=1e-4)


def test_columns_of_a_frame_of_soft_targets_name_the_classes(frames):
    names = ["setosa", "versicolor", "virginica"]
    y = as_frame(frames, soft_labels(0.1), names)
    model = quick(soft_targets=True).fit(as_frame(frames, IRIS), y)
    assert model.classes_.tolist() == names
    assert model.score(as_frame(frames, IRIS), SPECIES) > GOOD


# --- tags and state --------------------------------------------------------------------------------------


def test_tags_are_those_of_mlp_classifier():
    assert get_tags(TinyClassifier()) == get_tags(MLPClassifier())
    assert is_classifier(TinyClassifier())
    tags = get_tags(TinyClassifier())
    assert tags.input_tags.sparse
    assert tags.classifier_tags.multi_class
    assert tags.classifier_tags.multi_label
    for loss in ("sigmoid_cross_entropy", SigmoidCrossEntropy()):
        assert not get_tags(TinyClassifier(loss=loss)).classifier_tags.multi_class


def test_an_estimator_is_fitted_after_fit_or_partial_fit():
    with pytest.raises(NotFittedError):
        check_is_fitted(quick())
    for model in (
        quick().fit(IRIS, SPECIES),
        quick().partial_fit(IRIS, SPECIES, classes=np.unique(SPECIES)),
    ):
        check_is_fitted(model)
        with pytest.raises(NotFittedError):
            check_is_fitted(clone(model))


# --- documentation ---------------------------------------------------------------------------------------

DOCUMENTED = NumpyDocString(inspect.getdoc(TinyClassifier))
PARAMETERS = inspect.signature(TinyClassifier).parameters
MODEL = quick(learning_rate="cosine").fit(pd.DataFrame(IRIS, columns=NAMES), SPECIES)


def fitted_attributes(model):
    return [name for name in dir(model) if name.endswith("_") and not name.startswith("_")]


FITTED = fitted_attributes(MODEL)


def names_in(section):
    return [name.lstrip("*") for entry in section for name in entry.name.split(", ")]


def test_parameters_are_documented_in_the_order_of_the_signature():
    assert names_in(DOCUMENTED["Parameters"]) == list(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_documented_with_their_defaults(name):
    (entry,) = (entry for entry in DOCUMENTED["Parameters"] if entry.name == name)
    kind, default = re.fullmatch(r"(\S.*), default=(.+)", entry.type).groups()
    value = ast.literal_eval(default)
    assert value == PARAMETERS[name].default
    assert type(value) is type(PARAMETERS[name].default)
    assert kind
    assert "".join(entry.desc).strip()


def test_attributes_are_documented():
    assert sorted(names_in(DOCUMENTED["Attributes"])) == FITTED
    assert all("".join(entry.desc).strip() for entry in DOCUMENTED["Attributes"])


@pytest.mark.parametrize(
    ("parameters", "y"),
    [
        ({"early_stopping": True}, SPECIES),
        ({"solver": "lbfgs"}, SPECIES),
        ({"soft_targets": True}, soft_labels(0.1)),
        ({}, soft_labels(0.0)),
        ({}, SPECIES == "setosa"),
    ],
)
def test_every_kind_of_fit_sets_the_same_attributes(parameters, y):
    frame = pd.DataFrame(IRIS, columns=NAMES)
    assert fitted_attributes(quick(**parameters).fit(frame, y)) == FITTED


def test_partial_fit_sets_the_same_attributes():
    model = quick().partial_fit(pd.DataFrame(IRIS, columns=NAMES), SPECIES, classes=np.unique(SPECIES))
    assert fitted_attributes(model) == FITTED


METHODS = [name for name in dir(TinyClassifier) if not name.startswith("_") and not name.endswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_methods_document_every_argument_in_order(name):
    method = getattr(TinyClassifier, name)
    documented = NumpyDocString(inspect.getdoc(method))
    arguments = [argument for argument in inspect.signature(method).parameters if argument != "self"]
    assert sorted(names_in(documented["Parameters"])) == sorted(arguments)
    if name in vars(TinyClassifier):
        assert names_in(documented["Parameters"]) == arguments
    assert documented["Returns"] or name == "save"


def test_the_documentation_link_leads_to_the_page_of_the_class():
    page = "reference/generated/tinyclf.TinyClassifier.html"  # tests/documentation/test_site.py checks it
    assert TinyClassifier()._get_doc_link() == f"{DOCUMENTATION}/{page}"


def links(page):
    """The links to entries of a docstring in a page, by name."""
    found = re.findall(r'class="param-doc-link"[^>]*href="([^"]*)#:~:text=([^",]*),-([^"]*)"', page)
    return {name: (base, unquote(kind)) for base, name, kind in found}


@pytest.mark.parametrize("name", [*PARAMETERS, *FITTED])
def test_the_html_has_a_link_for_every_parameter_and_attribute(name):
    kinds = {entry.name: entry.type for part in ("Parameters", "Attributes") for entry in DOCUMENTED[part]}
    assert links(MODEL._repr_html_())[name] == (MODEL._get_doc_link(), kinds[name])


def test_the_html_shows_the_changed_parameters():
    model = quick(activation=[Tanh()], solver=SGD(0.1))
    page = model._repr_html_()
    changed = re.findall(r'<tr class="user-set">.*?<td class="value">(.*?)</td>', page, re.DOTALL)
    assert "Not fitted" in page
    assert len(changed) == 6
    assert "[Tanh()]" in changed
    assert any(value.startswith("SGD(learning_") for value in changed)
    assert "<span>Fitted</span>" in model.fit(IRIS, SPECIES)._repr_html_()
    assert model._get_doc_link() in make_pipeline(StandardScaler(), model)._repr_html_()
    with config_context(display="text"):
        assert not hasattr(model, "_repr_html_")
