"""Metadata routing: pipelines and searches pass on weights and a validation set."""

import inspect

import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.data import shuffled
from tests.support.estimators import learned
from tinyclf import TinyClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = shuffled(load_iris(), 4, 150)
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
    return learned().set_fit_request(sample_weight=True, X_val=True, y_val=True, sample_weight_val=True)


def scaling(network):
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    return Pipeline([("scale", scaler), ("net", network)], transform_input=["X_val"])


def fitted_by_hand(**metadata):
    scaler = StandardScaler().fit(X_FIT)
    return learned().fit(
        scaler.transform(X_FIT), Y_FIT, X_val=scaler.transform(X_VAL), y_val=Y_VAL, **metadata
    )


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
    chain = make_pipeline(StandardScaler(), learned()).fit(
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
    best = learned(**{name.removeprefix("net__"): value for name, value in search.best_params_.items()})
    scaler = StandardScaler().fit(X_FIT)
    best.fit(scaler.transform(X_FIT), Y_FIT, X_val=scaler.transform(X_VAL), y_val=Y_VAL)
    assert_same_training(search.best_estimator_[-1], best)


def test_searches_and_cross_validation_pass_on_weights(routing):
    model = learned().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    folds = list(KFold(3).split(IRIS))
    expected = [
        learned().fit(IRIS[a], WRONG[a], RELIABLE[a]).score(IRIS[b], WRONG[b], RELIABLE[b]) for a, b in folds
    ]
    assert np.mean(expected) > 0.8
    search = GridSearchCV(model, {"max_iter": [1, 30]}, cv=folds, error_score="raise")
    search.fit(IRIS, WRONG, sample_weight=RELIABLE)
    assert search.best_params_ == {"max_iter": 30}
    assert [search.cv_results_[f"split{i}_test_score"][1] for i in range(3)] == expected
    found = cross_validate(model, IRIS, WRONG, cv=folds, params={"sample_weight": RELIABLE})
    assert found["test_score"].tolist() == expected
    unweighted = cross_validate(learned(), IRIS, WRONG, cv=folds)["test_score"]
    assert unweighted.mean() < 0.8


def test_metadata_that_was_not_requested_is_an_error(routing):
    with pytest.raises(UnsetMetadataPassedError, match=r"\[X_val\] are passed but are not explicitly set"):
        scaling(learned()).fit(X_FIT, Y_FIT, X_val=X_VAL)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_every_argument_other_than_x_and_y_can_be_routed(method):
    arguments = inspect.signature(getattr(TinyClassifier, method)).parameters.keys() - {"self", "X", "y"}
    assert getattr(TinyClassifier().get_metadata_routing(), method).requests.keys() == arguments
