"""Conventions of scikit-learn: its tools work with the estimator, its tags are those of MLPClassifier.

`USES` is the table: each of its functions uses the estimator with one tool and checks the result. One test
runs all of them over several estimators and data sets.
"""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import loguniform
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
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
    HalvingGridSearchCV,
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

from tests.support.data import shuffled
from tests.support.estimators import learned
from tinyclf import SigmoidCrossEntropy, TinyClassifier

# Fits that stop early are tested separately.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


brief = partial(learned, max_iter=15, learning_rate_init=0.08)
IRIS, SPECIES = shuffled(load_iris(), 4, 120)
TUMORS, KINDS = shuffled(load_breast_cancer(), 6, 150)

CASES = {
    "two classes": (brief(), TUMORS, KINDS),
    "two logits": (brief(loss="softmax_cross_entropy"), TUMORS, KINDS),
    "three classes in a pipeline": (make_pipeline(StandardScaler(), brief(dtype="float64")), IRIS, SPECIES),
    "members": (brief(n_members=2), TUMORS, KINDS),
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
    return log_loss(y, fitted.predict_proba(X))


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
    ((name, values),) = named(model, max_iter=[1, 20]).items()
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
    for max_features in (1.0, 0.7):
        bag = BaggingClassifier(
            model, 10, max_samples=0.5, max_features=max_features, oob_score=True, random_state=0
        )
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
        for _ in range(20):
            meta.partial_fit(X, codes, classes=np.unique(codes))
        assert meta.score(X, codes) > GOOD
    both = MultiOutputClassifier(model)
    for _ in range(20):
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
        pytest.param(name, case, marks=[pytest.mark.slow] if case == "two logits" else [])
        for name in USES
        for case, (_, _, y) in CASES.items()
        if len(np.unique(y)) == 2 or name not in FOR_TWO_CLASSES
    ],
)
def test_the_estimator_works_with(name, case):
    model, X, y = CASES[case]
    USES[name](clone(model), X, y)


# --- mixtures of probabilities --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "meta",
    [
        BaggingClassifier(brief(), n_estimators=3, random_state=0),
        VotingClassifier([("one", brief()), ("two", brief())], voting="soft", weights=[3, 7]),
        CalibratedClassifierCV(brief(), method="temperature"),
    ],
    ids=lambda meta: type(meta).__name__,
)
def test_mixtures_of_probabilities_can_be_scored_without_a_warning(meta):
    meta = clone(meta).fit(IRIS, SPECIES)
    X = np.random.default_rng(0).normal(size=(5000, 4))
    assert log_loss(meta.predict(X), meta.predict_proba(X)) < 0.6


# --- tags and state --------------------------------------------------------------------------------------


def test_tags_are_those_of_mlp_classifier_but_for_missing_entries():
    assert get_tags(TinyClassifier(scale_inputs=False)) == get_tags(MLPClassifier())
    assert get_tags(TinyClassifier()).input_tags.allow_nan
    assert is_classifier(TinyClassifier())
    tags = get_tags(TinyClassifier())
    assert tags.input_tags.sparse
    assert tags.classifier_tags.multi_class
    assert tags.classifier_tags.multi_label
    for loss in ("sigmoid_cross_entropy", SigmoidCrossEntropy()):
        assert not get_tags(TinyClassifier(loss=loss)).classifier_tags.multi_class


def test_an_estimator_is_fitted_after_fit_or_partial_fit():
    with pytest.raises(NotFittedError):
        check_is_fitted(brief())
    for model in (
        brief().fit(IRIS, SPECIES),
        brief().partial_fit(IRIS, SPECIES, classes=np.unique(SPECIES)),
    ):
        check_is_fitted(model)
        with pytest.raises(NotFittedError):
            check_is_fitted(clone(model))
