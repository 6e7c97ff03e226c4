"""Validation sets: rows that are held out or given, and their loss and score after each epoch."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.metrics import accuracy_score, get_scorer, log_loss
from sklearn.utils.class_weight import compute_sample_weight

from tests.support.data import DIGITS, IRIS, NAMES, NUMBERS, SCALED, VALIDATION, X_VAL, Y_VAL, X, Y
from tests.support.estimators import number_columns, plain, quick
from tinyclf import TinyClassifier
from tinyclf.estimator import validation
from tinyclf.estimator.dataset import Dataset
from tinyclf.estimator.plan import FitPlan
from tinyclf.estimator.targets import Labels

# These tests train for a few epochs only.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

W_VAL = np.random.default_rng(0).uniform(0.1, 3.0, len(Y_VAL))
SETS = (SCALED[:, :3] > 0).astype(int)


# --- loss and score ----------------------------------------------------------------------------------------


def test_loss_and_score_are_those_of_the_model_after_each_epoch():
    settings = {"early_stopping": False, "dtype": "float64"}
    models = [plain(**settings, max_iter=n).fit(X, Y) for n in range(1, 5)]
    losses = [log_loss(Y_VAL, m.predict_proba(X_VAL), labels=m.classes_) for m in models]
    accuracies = [accuracy_score(Y_VAL, m.predict(X_VAL)) for m in models]
    model = plain(**settings, max_iter=4).fit(X, Y, **VALIDATION)
    np.testing.assert_allclose(model.validation_loss_curve_, losses, rtol=1e-12)
    assert model.validation_scores_ == [-loss for loss in model.validation_loss_curve_]
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.loss_curve_ == models[-1].loss_curve_  # the training does not change
    for scoring in ("accuracy", get_scorer("accuracy"), lambda m, X, y: np.mean(m.predict(X) == y)):
        model = plain(**settings, max_iter=4, scoring=scoring).fit(X, Y, **VALIDATION)
        np.testing.assert_allclose(model.validation_scores_, accuracies, rtol=1e-15)
        np.testing.assert_allclose(model.validation_loss_curve_, losses, rtol=1e-12)
    by_default = plain(**{**settings, "early_stopping": True}, max_iter=4).fit(X, Y, **VALIDATION)
    np.testing.assert_allclose(by_default.validation_scores_, accuracies, rtol=1e-15)
    assert by_default.best_loss_ is None


def test_the_loss_uses_both_weights_and_the_accuracy_sample_weights_only():
    class_weight = {"setosa": 5.0, "versicolor": 0.5, "virginica": 1.0}
    model = plain(
        class_weight=class_weight, scoring="accuracy", early_stopping=True, max_iter=1, dtype="float64"
    )
    model.fit(X, Y, **VALIDATION, sample_weight_val=W_VAL)
    weights = W_VAL * compute_sample_weight(class_weight, Y_VAL)
    expected = log_loss(Y_VAL, model.predict_proba(X_VAL), sample_weight=weights)
    assert model.validation_loss_curve_ == [pytest.approx(expected, rel=1e-12)]
    accuracy = accuracy_score(Y_VAL, model.predict(X_VAL), sample_weight=W_VAL)
    assert model.validation_scores_ == [pytest.approx(accuracy, rel=1e-12)]


def test_the_loss_of_held_out_rows_uses_the_class_weights():
    seen = []

    def scorer(model, X, y):
        seen.append((X, y, model.predict_log_proba(X)))
        return 0.0

    class_weight = {digit: 1.0 + digit for digit in range(10)}
    model = plain(early_stopping=True, class_weight=class_weight, scoring=scorer, max_iter=2, dtype="float64")
    model.fit(DIGITS, NUMBERS)
    for (_, y, log_p), loss in zip(seen, model.validation_loss_curve_, strict=True):
        expected = np.average(-log_p[np.arange(len(y)), y], weights=1.0 + y)
        assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("soft", [False, True])
def test_the_accuracy_of_several_labels_and_soft_targets_equals_that_of_scikit_learn(soft):
    rng = np.random.default_rng(0)
    y = rng.dirichlet(np.ones(3), 150) if soft else (SCALED + rng.normal(size=SCALED.shape) > 0).astype(int)
    truth = y.argmax(axis=1) if soft else y
    model = plain(early_stopping=True, soft_targets=soft, max_iter=8)
    model.fit(SCALED, y, X_val=SCALED[:45], y_val=y[:45], sample_weight_val=W_VAL)
    expected = accuracy_score(truth[:45], model.predict(SCALED[:45]), sample_weight=W_VAL)
    assert model.best_validation_score_ == pytest.approx(expected, rel=1e-12)
    assert 0.0 < expected < 1.0


def test_a_scorer_gets_the_data_as_passed_and_the_network_of_its_epoch():
    seen, thetas = [], []

    def scorer(model, X, y):
        seen.append((X, y))
        thetas.append(model.network_.theta.copy())
        return -len(seen)

    frame = pd.DataFrame(SCALED, columns=list("abcd"))
    model = plain(max_iter=3, scoring=scorer).fit(frame, NAMES, X_val=frame[:9], y_val=NAMES[:9])
    assert seen[0][0].equals(frame[:9])
    assert seen[0][1].tolist() == NAMES[:9].tolist()
    assert len({theta.tobytes() for theta in thetas}) == 3
    np.testing.assert_array_equal(model.network_.theta, thetas[0])  # whose score was the best
    plain(max_iter=1, scoring=scorer, early_stopping=True).fit(frame, pd.Series(NAMES))
    assert list(seen[-1][0].columns) == list("abcd")
    np.testing.assert_array_equal(NAMES[seen[-1][0].index], seen[-1][1])


def test_a_scorer_gets_the_sample_weights_of_the_validation_set():
    seen = []

    def scorer(model, X, y, sample_weight=None):
        seen.append(sample_weight)
        return -len(seen)

    model = plain(scoring=scorer, max_iter=2).fit(X, Y, **VALIDATION, sample_weight_val=W_VAL)
    assert [s.tolist() for s in seen] == [W_VAL.tolist()] * 2
    model.fit(X, Y, **VALIDATION)
    assert seen[-1] is None
    model.set_params(scoring=lambda model, X, y, **given: scorer(model, X, y, **given))
    model.fit(X, Y, **VALIDATION, sample_weight_val=W_VAL)
    assert seen[-1].tolist() == W_VAL.tolist()


def test_a_scorer_without_sample_weight_is_refused_before_training_if_validation_rows_have_weights():
    for scoring in ("normalized_mutual_info_score", lambda model, X, y: 0.0):
        with pytest.raises(ValueError, match=r"scoring=.* does not accept sample_weight"):
            plain(scoring=scoring).fit(X, Y, **VALIDATION, sample_weight_val=W_VAL)
        plain(scoring=scoring, max_iter=1).fit(X, Y, **VALIDATION)


def test_the_accuracy_of_logits_that_are_not_finite_is_nan():
    model = plain(hidden_layer_sizes=(), scoring="accuracy", max_iter=2)
    model.fit(X, Y, X_val=3e38 * np.sign(X_VAL), y_val=Y_VAL)
    assert np.isnan(model.validation_scores_).all()


@pytest.mark.parametrize("scoring", ["roc_auc_ovr", "top_k_accuracy"])
def test_scores_do_not_depend_on_the_container_of_the_labels(scoring):
    odd = [memoryview(NUMBERS.copy()), NUMBERS.astype(object), pd.Series(NUMBERS), NUMBERS.tolist()]
    expected = plain(scoring=scoring, max_iter=2).fit(DIGITS, NUMBERS)
    for y in odd:
        model = plain(scoring=scoring, max_iter=2).fit(DIGITS, y)
        assert model.validation_scores_ == expected.validation_scores_


def test_an_invalid_scorer_is_refused():
    with pytest.raises(ValueError, match="'precise' is not a valid scoring value"):
        plain(scoring="precise").fit(X, Y, **VALIDATION)
    with pytest.raises(TypeError, match="scoring must return a number, got 'good'"):
        plain(scoring=lambda *_: "good").fit(X, Y, **VALIDATION)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"X_val": X_VAL}, "got no y_val"),
        ({"y_val": Y_VAL}, "got no X_val"),
        ({"sample_weight_val": [1.0]}, "got no X_val"),
        ({"X_val": X_VAL[:, :3], "y_val": Y_VAL}, "3 features, .* expecting 4"),
        ({"X_val": X_VAL, "y_val": Y_VAL[1:]}, "inconsistent numbers of samples"),
        ({"X_val": X_VAL, "y_val": ["rose"] * 45}, r"not among the classes: \['rose'\]"),
        ({"X_val": X_VAL, "y_val": SETS[:45]}, "must hold one label per row"),
        ({"X_val": X_VAL[:0], "y_val": Y_VAL[:0]}, "0 sample"),
        ({"X_val": np.where(X_VAL > 1, np.nan, X_VAL), "y_val": Y_VAL}, "NaN at row"),
        ({"X_val": np.where(X_VAL > 1, 1e39, X_VAL), "y_val": Y_VAL}, r"1e\+39 at row .*dtype=\"float64\""),
        ({**VALIDATION, "sample_weight_val": -np.ones(45)}, "got -1.0 at row 0"),
        ({**VALIDATION, "sample_weight_val": np.zeros(45)}, "all 45 entries of sample_weight are zero"),
    ],
)
def test_an_invalid_validation_set_is_refused_before_training_and_keeps_the_model(given, match):
    trained = []
    model = quick(scale_inputs=False).fit(X, Y)
    model.set_params(learning_rate=lambda progress: trained.append(progress) or 1.0)
    before = vars(model).copy()
    with pytest.raises(ValueError, match=match) as error:
        model.fit(X, Y, **given)
    assert vars(model) == before
    assert trained == []  # the error is raised before training
    assert "X_val" in str(error.value)


def test_a_validation_set_of_total_weight_zero_is_refused():
    classes = {"setosa": 0.0, "versicolor": 1.0, "virginica": 1.0}
    with pytest.raises(ValueError, match=r"X_val.*sum to 0\.0; .* 20 rows"):
        quick(class_weight=classes).fit(X, Y, X_val=X_VAL[:20], y_val=["setosa"] * 20)


# --- rows held out -----------------------------------------------------------------------------------------


def dataset_of(y, X=None):
    X = np.arange(float(len(y)))[:, None] if X is None else X
    return Dataset(X, number_columns(X), Labels.of(y), Labels.of(y).encode(y), None, None, X)


def hold_out(data, fraction, rng, early_stopping=True):
    """The rows to train on, and those held out."""
    model = TinyClassifier(early_stopping=early_stopping, validation_fraction=fraction)
    plan = FitPlan.resolve(model, data)
    train, held = validation.hold_out(data, plan, rng)
    assert (len(train), len(held)) == (plan.n_train, plan.n_validation)
    return train, data.take(held)


def random_labels(rng, smallest, largest):
    """Labels of two to five classes of random sizes, and the sizes."""
    counts = rng.integers(smallest, largest, size=rng.integers(2, 6))
    return rng.permutation(np.repeat(np.arange(len(counts)), counts)), counts


def test_a_stratified_hold_out_has_the_class_frequencies():
    y = np.repeat(["a", "b", "c"], [300, 150, 50])
    train, held = hold_out(dataset_of(y), 0.1, np.random.default_rng(0))
    held = held.X[:, 0].astype(int)
    assert sorted([*train, *held]) == list(range(500))
    assert [np.sum(y[held] == c) for c in "abc"] == [30, 15, 5]


@pytest.mark.parametrize(
    "y", [np.where(np.arange(150) == 3, 7, np.arange(150) % 3), np.arange(150) % 50], ids=["rare", "many"]
)
def test_classes_too_rare_for_stratification_are_held_out_at_random(y):
    train, held = hold_out(dataset_of(y), 0.1, np.random.default_rng(0))
    assert (len(train), len(held.targets)) == (135, 15)


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.2, 1 / 3, 0.5])
def test_an_even_hold_out_has_the_fraction_of_each_class_and_leaves_rows_of_each_to_train_on(fraction):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y, counts = random_labels(rng, 1, 30)
        if len(y) < 10:
            continue  # a toy
        train, held = hold_out(dataset_of(y), fraction, rng, "auto")
        assert sorted([*train, *held.X[:, 0].astype(int)]) == list(range(len(y)))
        assert (np.bincount(y[train], minlength=len(counts)) > 0).all()
        of_each = np.bincount(held.targets, minlength=len(counts))
        assert (of_each[counts == 1] == 0).all()
        expected, splittable = fraction * counts, counts > 1
        if not len(held.targets):
            assert expected[splittable].sum() < 3  # fewer than two rows are not held out
            continue
        assert (of_each <= np.ceil(expected))[splittable].all()
        assert (of_each >= np.floor(expected))[splittable].all(), (seed, counts, of_each)


def test_an_even_hold_out_holds_out_each_row_equally_often():
    # Three classes of four rows: four of twelve rows, so that one class, at random, has two.
    data, n = dataset_of(np.repeat([0, 1, 2], 4)), 1000
    plan = FitPlan.resolve(TinyClassifier(validation_fraction=0.3), data)
    held = [validation.hold_out(data, plan, np.random.default_rng(seed))[1] for seed in range(n)]
    counts = np.bincount(np.concatenate(held), minlength=12)
    assert counts.sum() == 4 * n
    assert np.abs(counts - n / 3).max() < 4.5 * np.sqrt(n * 2 / 9)
    assert np.abs(counts.reshape(3, 4).sum(axis=1) - 4 * n / 3).max() < 4.5 * np.sqrt(n * 2 / 9)


def test_an_even_hold_out_of_half_has_rows_of_each_class_on_both_sides():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y, counts = random_labels(rng, 2, 12)
        if len(y) < 10:
            continue  # a toy
        train, held = hold_out(dataset_of(y), 0.5, rng, "auto")
        assert set(y[train]) == set(held.targets) == set(y), (seed, counts)


@pytest.mark.parametrize("n", [10, 300, 550, 600, 1100, 1797])
def test_an_even_hold_out_has_the_planned_number_of_rows_for_any_fraction(n):
    data = dataset_of(np.arange(n) % 2)
    for percent in range(1, 100):
        train, held = hold_out(data, percent / 100, np.random.default_rng(percent), "auto")
        expected = min(-(-percent * n // 100), n - 1)
        assert len(np.unique(held.X)) == len(held.targets) == (expected if expected > 1 else 0)
        assert len(train) == n - len(held.targets)


@pytest.mark.parametrize("early_stopping", [True, "auto"])
def test_rows_of_weight_zero_are_not_held_out(early_stopping):
    w = np.where(np.arange(150) % 3 == 0, 0.0, 2.0)
    model = TinyClassifier(early_stopping=early_stopping, validation_fraction=0.2)
    data = Dataset.read(model, SCALED, NAMES, w, None, None, None)
    plan = FitPlan.resolve(model, data)
    train, rows = validation.hold_out(data, plan, np.random.default_rng(0))
    held = data.take(rows)
    assert held.X.shape[0] == plan.n_validation == 20
    assert len(train) == plan.n_train == 80
    assert sorted([*train, *rows]) == np.flatnonzero(w).tolist()  # each of them once
    np.testing.assert_array_equal(held.X, SCALED[rows])
    assert (held.sample_weight > 0).all()
    counts = np.bincount(data.targets[train])
    assert (np.abs(counts - 0.8 * np.array([33, 33, 34])) < 1).all()
    if early_stopping is True:
        assert counts.tolist() == [26, 27, 27]


def test_a_model_is_not_trained_on_the_rows_that_it_holds_out():
    seen = []
    model = plain(early_stopping=True, scoring=lambda m, X, y: seen.append(X) or 0.0, max_iter=1)
    model.set_params(shuffle=False, batch_size=540).fit(DIGITS, NUMBERS)
    held = {row.tobytes() for row in seen[0]}
    rest = np.array([row.tobytes() not in held for row in DIGITS])
    assert len(seen[0]) == 60
    assert model.t_ == rest.sum() == 540
    # The same training by hand, with those rows given as the validation set.
    by_hand = plain(early_stopping=False, max_iter=1, shuffle=False, batch_size=540)
    by_hand.fit(DIGITS[rest], NUMBERS[rest])
    np.testing.assert_allclose(model.coefs_[0], by_hand.coefs_[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["coo_array", "bsr_array", "csc_matrix", "lil_matrix"])
@pytest.mark.parametrize("scoring", [None, "f1_macro"])
def test_rows_of_any_sparse_format_can_be_held_out(kind, scoring):
    made, labels = getattr(scipy.sparse, kind)(DIGITS), NUMBERS.astype(object)
    model = plain(early_stopping=True, scoring=scoring, max_iter=2).fit(made, labels)
    dense = plain(early_stopping=True, scoring=scoring, max_iter=2).fit(DIGITS, NUMBERS)
    assert model.validation_scores_ == pytest.approx(dense.validation_scores_, abs=1e-6)
    assert model.score(made, labels) == dense.score(DIGITS, NUMBERS)


@pytest.mark.parametrize(
    ("X", "y", "fraction", "match"),
    [
        (IRIS, NAMES, 0.0, "too small.*validation_fraction=0.0 of 150 rows is 0"),
        (IRIS[:12], ["a", "b"] * 6, 0.001, "early_stopping, validation_fraction=0.001 of 12"),
        (IRIS[:9], ["a"] * 9, 0.05, "too small.*validation_fraction=0.05 of 9 rows is 1"),
        (
            IRIS[:99],
            np.where(np.arange(99) == 3, "rare", "often"),
            0.1,
            "only 1 member.*early_stopping, validation_fraction=0.1 of 99",
        ),
    ],
)
def test_an_impossible_hold_out_is_refused(X, y, fraction, match):
    with pytest.raises(ValueError, match=match):
        plain(early_stopping=True, validation_fraction=fraction).fit(X, y)


def test_a_fraction_of_zero_holds_nothing_out_with_auto_and_is_an_error_with_true():
    plan = quick(validation_fraction=0.0).fit(DIGITS, NUMBERS).plan_
    assert (plan.validation, plan.n_validation, plan.monitor, plan.refit) == ("none", 0, False, False)
    with pytest.raises(ValueError, match=r"validation_fraction=0.0 of 600 rows is 0, and must be at least 2"):
        quick(validation_fraction=0.0, early_stopping=True).fit(DIGITS, NUMBERS)
