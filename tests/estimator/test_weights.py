"""Weights: everywhere a weight of 2 equals the row twice, and a weight of 0 leaves the row out."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from tests.support.parts import PLAIN
from tinyclf import DivergenceWarning, SoftmaxCrossEntropy, TinyClassifier
from tinyclf.estimator.dataset import Dataset
from tinyclf.estimator.plan import FitPlan
from tinyclf.estimator.targets import Labels, LabelSets, Probabilities
from tinyclf.estimator.validation import hold_out

# These tests train for a few epochs only.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, SPECIES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
SETS = np.stack([SPECIES > 0, X[:, 0] > 0], axis=1).astype(int)
SOFT = np.eye(3)[SPECIES] * 0.7 + 0.1

TARGETS = {
    "many classes": (NAMES, {}),
    "two classes": (SPECIES == 1, {}),
    "several labels": (SETS, {}),
    "soft": (SOFT, {"soft_targets": True}),
    "soft, two classes": (SOFT[:, :2] / SOFT[:, :2].sum(axis=1, keepdims=True), {"soft_targets": True}),
}
SOLVERS = {
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.3, "max_grad_norm": 0.1},
    "lbfgs": {"solver": "lbfgs"},
}
CLASS_WEIGHTS = {
    "many classes": {"setosa": 0.3, "virginica": 4.0},
    "two classes": {True: 3.0},
    "several labels": [{0: 2.0}, {0: 1.0, 1: 0.25}],
    "soft": {0: 0.2, 2: 3.0},
    "soft, two classes": {1: 5.0},
}


def fitted(X, y, w=None, validation=(), **parameters):
    settings = {
        **PLAIN,
        "hidden_layer_sizes": 6,
        "activation": "tanh",
        "alpha": 0.3,
        "batch_size": X.shape[0],
        "max_iter": 15,
        "dtype": "float64",
        "early_stopping": False,
        "random_state": 0,
    }
    names = ("X_val", "y_val", "sample_weight_val")
    model = TinyClassifier(**{**settings, **parameters})
    return model.fit(X, y, w, **dict(zip(names, validation, strict=False)))


def assert_same(one, other, rtol=1e-6):
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=rtol)
    np.testing.assert_allclose(one.decision_function(X), other.decision_function(X), rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("class_weight", [None, "balanced", "given"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", TARGETS)
def test_a_weight_of_two_equals_the_row_twice(kind, solver, class_weight):
    y, parameters = TARGETS[kind]
    class_weight = CLASS_WEIGHTS[kind] if class_weight == "given" else class_weight
    parameters = {**parameters, **SOLVERS[solver], "class_weight": class_weight}
    counts = np.random.default_rng(1).integers(0, 4, len(X))
    twice = np.repeat(np.arange(len(X)), counts)
    weighted = fitted(X, y, counts, (X[::2], y[::2], counts[::2]), **parameters)
    held = np.repeat(np.arange(0, len(X), 2), counts[::2])
    repeated = fitted(X[twice], y[twice], None, (X[held], y[held]), **parameters)
    assert_same(weighted, repeated)
    np.testing.assert_allclose(
        weighted.validation_loss_curve_,
        repeated.validation_loss_curve_,
        rtol=1e-6 if solver != "lbfgs" else 1e-4,
    )
    unweighted = fitted(X, y, None, **{**parameters, "class_weight": None})
    assert np.abs(unweighted.decision_function(X) - weighted.decision_function(X)).max() > 1e-3


@pytest.mark.parametrize("kind", TARGETS)
def test_a_class_weight_equals_a_sample_weight(kind):
    y, parameters = TARGETS[kind]
    class_weight = CLASS_WEIGHTS[kind]
    if kind == "several labels":
        factors = [[weights.get(0, 1.0), weights.get(1, 1.0)] for weights in class_weight]
        w = np.prod([np.array(f)[column] for f, column in zip(factors, y.T, strict=True)], axis=0)
    elif kind.startswith("soft"):
        w = y @ [class_weight.get(i, 1.0) for i in range(y.shape[1])]
    else:
        w = [class_weight.get(label, 1.0) for label in y.tolist()]
    other = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    assert_same(fitted(X, y, None, class_weight=class_weight, **parameters), fitted(X, y, w, **parameters))
    both = fitted(X, y, other, class_weight=class_weight, **parameters)
    assert_same(both, fitted(X, y, other * w, **parameters))


@pytest.mark.parametrize("kind", ["many classes", "two classes", "several labels"])
def test_balanced_weights_equal_those_of_scikit_learn(kind):
    y, _ = TARGETS[kind]
    y = y[:120]
    labels = LabelSets.of(y) if y.ndim == 2 else Labels.of(y)
    targets = labels.encode(y)
    factors = labels.factors("balanced", targets, None)
    np.testing.assert_allclose(labels.spread(factors, targets), compute_sample_weight("balanced", y))
    if y.ndim == 1:
        w = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
        expected = compute_class_weight("balanced", classes=labels.classes, y=y, sample_weight=w)
        np.testing.assert_allclose(labels.factors("balanced", targets, w), expected)


def test_balanced_weights_of_soft_targets_give_all_classes_the_same_total_weight():
    labels = Probabilities.of(SOFT)
    factors = labels.factors("balanced", SOFT[:80], None)
    total_weight = (SOFT[:80] * factors).sum(axis=0)
    np.testing.assert_allclose(total_weight, 80 / 3)


def test_a_class_of_zero_weight_is_ignored_in_balancing():
    w = (SPECIES > 0).astype(float)
    model = fitted(X, NAMES, w, class_weight="balanced")
    assert np.isfinite(model.decision_function(X)).all()
    assert_same(model, fitted(X, NAMES, w))  # the other two classes are balanced already


@pytest.mark.parametrize("early_stopping", [True, "auto"])
def test_rows_of_weight_zero_are_not_held_out(early_stopping):
    w = np.where(np.arange(150) % 3 == 0, 0.0, 2.0)
    model = TinyClassifier(early_stopping=early_stopping, validation_fraction=0.2)
    data = Dataset.read(model, X, NAMES, w, None, None, None)
    plan = FitPlan.resolve(model, data)
    train, rows = hold_out(data, plan, np.random.default_rng(0))
    held = data.take(rows)
    assert held.X.shape[0] == plan.n_validation == 20
    assert len(train) == plan.n_train == 80
    assert sorted([*train, *rows]) == np.flatnonzero(w).tolist()  # each of them once
    np.testing.assert_array_equal(held.X, X[rows])
    assert (held.sample_weight > 0).all()
    counts = np.bincount(data.targets[train])
    assert (np.abs(counts - 0.8 * np.array([33, 33, 34])) < 1).all()
    if early_stopping is True:
        assert counts.tolist() == [26, 27, 27]


def test_the_validation_loss_uses_both_weights_and_the_accuracy_sample_weights_only():
    w = np.random.default_rng(0).uniform(0.1, 3.0, len(X))
    class_weight = {"setosa": 5.0, "versicolor": 0.5}
    model = fitted(
        X, NAMES, w, (X[::2], NAMES[::2], w[::2]), class_weight=class_weight, early_stopping=True, max_iter=4
    )
    model_weights = w * compute_sample_weight({**class_weight, "virginica": 1.0}, NAMES)
    best = int(np.argmax(model.validation_scores_))
    p = model.predict_proba(X[::2])
    expected = log_loss(NAMES[::2], p, sample_weight=model_weights[::2])
    assert model.validation_loss_curve_[best] == pytest.approx(expected, rel=1e-12)
    accuracy = accuracy_score(NAMES[::2], model.predict(X[::2]), sample_weight=w[::2])
    assert model.best_validation_score_ == pytest.approx(accuracy, rel=1e-12)


def test_scorers_get_the_sample_weights_of_the_validation_set():
    seen = []

    def scorer(model, X, y, sample_weight=None):
        seen.append(sample_weight)
        return -len(seen)

    w = np.arange(1.0, 51.0)
    fitted(X, NAMES, None, (X[::3], NAMES[::3], w), scoring=scorer, max_iter=2)
    assert [s.tolist() for s in seen] == [w.tolist()] * 2
    fitted(X, NAMES, None, (X[::3], NAMES[::3]), scoring=scorer, max_iter=1)
    assert seen[-1] is None


def test_the_last_short_batch_counts_in_proportion_to_its_rows():
    # 150 rows in batches of 100: the reported loss is the mean over rows, as in scikit-learn.
    model = fitted(
        X, NAMES, batch_size=100, shuffle=False, solver="sgd", learning_rate_init=1e-300, max_iter=1
    )
    losses = -model.predict_log_proba(X)[np.arange(150), SPECIES]
    W2 = sum(np.sum(W**2) for W in model.coefs_)
    batches = [losses[:100].mean() + 0.15 * W2 / 100, losses[100:].mean() + 0.15 * W2 / 50]
    assert model.loss_ == pytest.approx((100 * batches[0] + 50 * batches[1]) / 150, rel=1e-12)


def test_weights_of_sparse_rows_and_labels_work_like_those_of_dense_ones():
    w = np.random.default_rng(0).integers(0, 3, len(X))
    dense = fitted(X, SETS, w)
    sparse = fitted(scipy.sparse.csr_array(X), scipy.sparse.csr_array(SETS), w)
    assert_same(dense, sparse)


@pytest.mark.parametrize(
    ("class_weight", "match"),
    [
        ({"rose": 1.0}, r"class_weight has the keys \['rose'\], but the classes are \['setosa'"),
        ({"setosa": -1.0}, "finite and >= 0, got -1.0 for class 'setosa'"),
        ({"setosa": np.nan}, "finite and >= 0, got nan for class 'setosa'"),
        ([{0: 1.0}], r'a dict from class to weight, "balanced" or None, got \[\{0: 1.0\}\]'),
        ({"setosa": "x"}, "finite and >= 0, got 'x' for class 'setosa'"),
        ({"setosa": [1]}, r"finite and >= 0, got \[1\] for class 'setosa'"),
        ({"setosa": 1e308, "virginica": 1e308}, "sum to inf"),
        (
            {"setosa": 0, "versicolor": 0, "virginica": 0},
            "class_weight times sample_weight, sum to 0.0; at least one",
        ),
        ("heavy", "'class_weight'.*Got 'heavy'"),
    ],
)
def test_invalid_class_weights_are_refused(class_weight, match):
    with pytest.raises(ValueError, match=match):
        fitted(X, NAMES, class_weight=class_weight)


def test_invalid_class_weights_of_several_labels_are_refused():
    for class_weight in ({0: 1.0}, [{0: 1.0}]):
        with pytest.raises(ValueError, match=r'"balanced" or a list of 2 dicts'):
            fitted(X, SETS, class_weight=class_weight)


def test_partial_fit_accepts_a_dict_and_refuses_balanced_class_weights():
    model = TinyClassifier(class_weight="balanced")
    with pytest.raises(ValueError, match="partial_fit does not support class_weight='balanced'.*pass a dict"):
        model.partial_fit(X, NAMES, classes=np.unique(NAMES))
    one = TinyClassifier(class_weight={"setosa": 5.0}, random_state=0, dtype="float64")
    other = TinyClassifier(random_state=0, dtype="float64")
    one.partial_fit(X, NAMES, classes=np.unique(NAMES))
    other.partial_fit(X, NAMES, np.where(SPECIES == 0, 5.0, 1.0), classes=np.unique(NAMES))
    assert_same(one, other, rtol=1e-12)


def test_class_weight_can_have_dates_as_keys():
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="datetime64[ns]")
    labels = Labels(days)
    factors = labels.factors({days[1]: 3.0}, SPECIES, None)
    assert factors.tolist() == [1.0, 3.0, 1.0]


def test_a_partial_fit_of_total_weight_zero_is_refused():
    model = TinyClassifier(class_weight={"setosa": 0.0}, random_state=0)
    setosa = NAMES == "setosa"
    with pytest.raises(ValueError, match="sum to 0.0; at least one of the 50 rows must have"):
        model.partial_fit(X[setosa], NAMES[setosa], classes=np.unique(NAMES))


def test_loss_weights_do_not_hide_divergence():
    with pytest.warns(DivergenceWarning):
        TinyClassifier(
            **{**PLAIN, "learning_rate_init": 1.0, "max_iter": 30},
            solver="sgd",
            momentum=0.99,
            random_state=0,
            n_iter_no_change=3,
        ).fit(10 * X, NAMES)
    assert SoftmaxCrossEntropy().mean(
        np.zeros((2, 2)), np.array([0, 1]), np.array([1.0, 0.0])
    ) == pytest.approx(np.log(2))
