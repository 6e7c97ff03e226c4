"""The table of where weights go, on the page on migrating, is true."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from tests.support.estimators import number_columns, quick
from tests.support.pages import table
from tinyclf import SKLEARN_DEFAULTS, FeatureScaleWarning
from tinyclf.estimator.dataset import Dataset
from tinyclf.estimator.diagnostics import TrainingRows
from tinyclf.estimator.scaling import Scaling
from tinyclf.estimator.targets import Labels

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "migrating.md"
X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
W = np.random.default_rng(0).uniform(0.5, 2.0, len(X))


def ours(**parameters):
    return quick(
        **{**SKLEARN_DEFAULTS, "hidden_layer_sizes": 5, "max_iter": 3, "random_state": 0, **parameters}
    )


def test_every_place_has_a_test():
    assert sorted(PLACES) == sorted(place for place, _, _ in table(PAGE.read_text(), "Where weights go"))


PLACES = {}
FACTORS = {0: 3.0, 1: 0.5, 2: 1.0}
BY_CLASS = np.array([3.0, 0.5, 1.0])[Y]
WEIGHTS = [
    (None, None, np.ones(150)),
    (W, None, W),
    (None, FACTORS, BY_CLASS),
    (W, FACTORS, W * BY_CLASS),
]


def place(*heads):
    """Mark a test as that of rows of the table of weights."""

    def note(test):
        PLACES.update(dict.fromkeys(heads, test))
        return test

    return note


def weighed(**parameters):
    """Return a model whose weights hardly change in its one epoch: loss_ is the loss of the last weights."""
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "momentum": 0.0, "max_iter": 1, "shuffle": False}
    return ours(**{**still, "alpha": 5.0, **parameters})


def objective(model, w, batches):
    """Return the training loss as the page defines it: the mean over the batches of loss plus penalty."""
    losses = -model.predict_log_proba(X)[np.arange(150), Y]
    squares = sum(np.sum(coefs**2) for coefs in model.coefs_)
    total = 0.0
    for b in batches:
        total += len(w[b]) * (np.average(losses[b], weights=w[b]) + model.alpha / 2 * squares / w[b].sum())
    return total / 150


@place("loss and gradient of a batch")
@pytest.mark.parametrize(("w", "factors", "weight"), WEIGHTS)
def test_loss_and_gradient_are_weighted_means(w, factors, weight):
    settings = {"hidden_layer_sizes": (), "class_weight": factors}
    start, model = (weighed(learning_rate_init=r, **settings).fit(X, Y, w) for r in (1e-300, 0.1))
    share = weight / weight.sum()
    gradient = X.T @ (share[:, None] * (start.predict_proba(X) - np.eye(3)[Y]))
    gradient += 5.0 / weight.sum() * start.coefs_[0]
    np.testing.assert_allclose(model.coefs_[0], start.coefs_[0] - 0.1 * gradient, rtol=1e-10, atol=1e-14)
    assert model.loss_ == pytest.approx(objective(start, weight, [slice(None)]), rel=1e-12)


BATCHES = [slice(0, 40), slice(40, 80), slice(80, 120), slice(120, 150)]


@place("L2 penalty of a batch", "`loss_`, `loss_curve_`", "the last, short batch", "`partial_fit`", '"lbfgs"')
@pytest.mark.parametrize(("w", "factors", "weight"), WEIGHTS)
def test_the_loss_is_the_mean_of_the_batches_by_rows_and_each_has_its_penalty(w, factors, weight):
    model = weighed(batch_size=40, class_weight=factors).fit(X, Y, w)
    part = weighed(batch_size=40, class_weight=factors).partial_fit(X, Y, w, classes=[0, 1, 2])
    whole = ours(solver="lbfgs", alpha=5.0, class_weight=factors, max_iter=3).fit(X, Y, w)
    assert model.loss_ == model.loss_curve_[0] == pytest.approx(objective(model, weight, BATCHES), rel=1e-12)
    assert part.loss_ == pytest.approx(objective(part, weight, BATCHES), rel=1e-12)
    assert whole.loss_ == pytest.approx(objective(whole, weight, [slice(None)]), rel=1e-10)


@place('`"balanced"`')
def test_balanced_counts_the_weights_of_all_rows_and_needs_them():
    y = np.minimum(Y, 1)
    settings = {"early_stopping": True, "max_iter": 3}
    factors = compute_class_weight("balanced", classes=np.array([0, 1]), y=y, sample_weight=W)
    balanced = ours(class_weight="balanced", **settings).fit(X, y, W)
    given = ours(class_weight=dict(enumerate(factors)), **settings).fit(X, y, W)
    np.testing.assert_allclose(balanced.loss_curve_, given.loss_curve_, rtol=1e-12)
    assert np.sum(W * factors[y]) == pytest.approx(W.sum())
    with pytest.raises(ValueError, match="partial_fit.*'balanced'"):
        ours(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


@place("`batch_size`, `t_`, `validation_fraction`", "which rows are held out", "rows of weight 0")
def test_rows_are_counted_and_those_of_weight_zero_are_not_there():
    w, seen = np.where(np.arange(150) % 5 == 0, 0.0, W), []

    def scorer(model, X, y, sample_weight):
        seen.append((y, sample_weight))
        return 0.0

    settings = {"early_stopping": True, "scoring": scorer, "max_iter": 1, "validation_fraction": 0.25}
    for weight, factors in [(w, None), (w, {0: 9.0})]:
        model = ours(class_weight=factors, **settings).fit(X, Y, weight)
        y, held = seen[-1]
        assert np.bincount(y).tolist() == [10, 10, 10]  # a quarter of 40 rows each, whatever they weigh
        assert (held > 0).all()
        assert model.t_ == 90
    model = ours(class_weight={0: 0.0}, **settings).fit(X, Y, w)
    assert np.bincount(seen[-1][0]).tolist() == [0, 10, 10]
    assert model.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="NaN"):
        ours().fit(np.where((w == 0)[:, None], np.nan, X), Y, w)


@place(
    'loss of the held-out rows, `scoring="loss"`, and calibration',
    "accuracy of the held-out rows, or a scorer",
    "`X_val`, `y_val`",
)
def test_validation_loss_is_weighted_by_both_and_scores_by_sample_weights():
    x, y, v = X[1::2], Y[1::2], W[1::2]
    weight = v * compute_sample_weight(FACTORS, y)
    for scoring in ("loss", "accuracy", "neg_log_loss"):
        model = weighed(class_weight=FACTORS, scoring=scoring)
        model.fit(X[::2], Y[::2], X_val=x, y_val=y, sample_weight_val=v)
        p = model.predict_proba(x)
        loss = log_loss(y, p, sample_weight=weight)
        assert model.validation_loss_curve_ == [pytest.approx(loss, rel=1e-12)]
        score = {
            "loss": -loss,
            "accuracy": accuracy_score(y, p.argmax(axis=1), sample_weight=v),
            "neg_log_loss": -log_loss(y, p, sample_weight=v),
        }[scoring]
        assert model.validation_scores_ == [pytest.approx(score, rel=1e-12)]


@place("scaling of the inputs")
def test_inputs_are_scaled_by_weights_inside_and_in_the_pipeline():
    weight = W * np.where(Y == 1, 3.0, 1.0)
    inside = ours(scale_inputs=True, class_weight={1: 3.0}).fit(X, Y, W)
    np.testing.assert_array_equal(inside.input_center_, Scaling.of(X, weight).center)
    assert abs(inside.input_center_ - Scaling.of(X).center).max() > 0.01
    pipeline = make_pipeline(StandardScaler(), ours())
    pipeline.fit(X, Y, standardscaler__sample_weight=W, tinyclassifier__sample_weight=W)
    np.testing.assert_allclose(pipeline[0].mean_, np.average(X, axis=0, weights=W))
    by_hand = ours().fit(pipeline[0].transform(X), Y, W)
    np.testing.assert_array_equal(by_hand.coefs_[0], pipeline[1].coefs_[0])


@place("categories and missing entries")
def test_categories_count_by_sample_weights_and_rows_of_weight_zero_have_none():
    names = np.array(["a", "b", "c", "d"])[np.arange(150) % 4]
    w = np.array([1.0, 2.0, 4.0, 0.0])[np.arange(150) % 4]
    table = pd.DataFrame({"s": names, "x": np.where(names == "d", np.nan, X[:, 0])})
    model = ours(categorical_features="from_dtype", scale_inputs=True, class_weight={0: 100.0, 1: 0.0})
    assert model.fit(table, Y, w).input_names_.tolist() == ["x", "s_a", "s_b", "s_c"]
    rare = model.set_params(max_categories=2).fit(table, Y, w)
    assert rare.input_names_.tolist() == ["x", "s_c", "s_infrequent_sklearn"]
    unweighted = model.set_params(max_categories=None).fit(table, Y)
    assert unweighted.input_names_.tolist() == ["x", "missingindicator_x", "s_a", "s_b", "s_c", "s_d"]


@place("diagnostics")
def test_the_diagnosis_weighs_classes_but_not_magnitudes():
    sample = Dataset(X, number_columns(X), Labels.of(Y), Y, W, BY_CLASS, (X, Y))
    p = np.bincount(Y, W * BY_CLASS) / np.sum(W * BY_CLASS)
    state = ours().fit(X, Y)._state
    assert TrainingRows(state.plan, sample, state).prior == pytest.approx(-np.sum(p * np.log(p)))
    outlier = np.where(np.arange(150)[:, None] == 0, [1e4, 1, 1, 1], X)
    with pytest.warns(FeatureScaleWarning):
        ours().fit(outlier, Y, np.where(np.arange(150) == 0, 1e-9, 1.0))


@place("`score`")
def test_score_has_weights_of_its_own():
    model = ours(class_weight=FACTORS).fit(X, Y, W)
    predicted = model.predict(X)
    assert model.score(X, Y) == accuracy_score(Y, predicted)
    assert model.score(X, Y, W) == pytest.approx(accuracy_score(Y, predicted, sample_weight=W))
