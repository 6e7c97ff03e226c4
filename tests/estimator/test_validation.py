"""Validation sets: given or held out, evaluated after each epoch, and used for stopping and best weights."""

import copy
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import accuracy_score, get_scorer, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from tests.support.doubles import Interrupts
from tests.support.parts import PLAIN
from tinyclf import SGD, TinyClassifier
from tinyclf.estimator import validation
from tinyclf.estimator.dataset import Dataset
from tinyclf.estimator.early_stopping import BestWeights
from tinyclf.estimator.plan import ENOUGH_ROWS, FitPlan, is_a_toy, n_held_evenly
from tinyclf.estimator.targets import Labels

# These tests train for a few epochs only.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = load_iris(return_X_y=True)
IRIS = StandardScaler().fit_transform(IRIS)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16
X, X_VAL, Y, Y_VAL = train_test_split(IRIS, NAMES, test_size=0.3, random_state=0, stratify=NAMES)
VALIDATION = {"X_val": X_VAL, "y_val": Y_VAL}


def quick(**parameters):
    settings = {"hidden_layer_sizes": 8, "max_iter": 20, "learning_rate_init": 0.02, "random_state": 0}
    return TinyClassifier(**{**PLAIN, **settings, **parameters})


def dataset_of(X, y):
    labels = Labels.of(y)
    return Dataset(X, labels, labels.encode(y), None, None, X)


def hold_out(data, fraction, rng):
    """The rows to train on and those held out, as with early_stopping=True."""
    plan = FitPlan.resolve(TinyClassifier(early_stopping=True, validation_fraction=fraction), data)
    train, held = validation.hold_out(data, plan, rng)
    assert (len(train), len(held)) == (plan.n_train, plan.n_validation)
    return train, data.take(held)


def hold_out_evenly(data, fraction, rng):
    """The same as with early_stopping="auto"."""
    plan = SimpleNamespace(
        validation="even", validation_fraction=fraction, n_validation=n_held_evenly(data, fraction)
    )
    if plan.n_validation == 0:
        plan.validation = "none"
    train, held = validation.hold_out(data, plan, rng)
    assert len(held) == plan.n_validation
    return train, data.take(held)


def fraction_held_out(fraction, n):
    data = Dataset(np.arange(float(n))[:, None], Labels(np.array([0, 1])), np.arange(n) % 2, None, None, None)
    return FitPlan.resolve(TinyClassifier(validation_fraction=fraction), data).validation_fraction


def epoch_by_epoch(epochs, **parameters):
    """The models of one training stopped after 1, 2, ... epochs."""
    return [
        quick(**{**parameters, "max_iter": n, "early_stopping": False}).fit(X, Y)
        for n in range(1, epochs + 1)
    ]


# --- a given validation set --------------------------------------------------------------------------------


def test_loss_and_score_are_those_of_the_model_after_each_epoch():
    models = epoch_by_epoch(6, dtype="float64")
    model = quick(max_iter=6, early_stopping=False, dtype="float64").fit(X, Y, **VALIDATION)
    losses = [log_loss(Y_VAL, m.predict_proba(X_VAL), labels=m.classes_) for m in models]
    np.testing.assert_allclose(model.validation_loss_curve_, losses, rtol=1e-12)
    assert model.validation_scores_ == [-loss for loss in model.validation_loss_curve_]
    assert model.best_validation_score_ == max(model.validation_scores_)
    accuracies = [accuracy_score(Y_VAL, m.predict(X_VAL)) for m in models]
    for scoring in ("accuracy", get_scorer("accuracy"), lambda m, X, y: np.mean(m.predict(X) == y)):
        model = quick(max_iter=6, early_stopping=False, scoring=scoring).fit(X, Y, **VALIDATION)
        np.testing.assert_allclose(model.validation_scores_, accuracies, rtol=1e-15)
        np.testing.assert_allclose(model.validation_loss_curve_, losses, rtol=1e-6)
    by_default = quick(max_iter=6, early_stopping=True).fit(X, Y, **VALIDATION)
    np.testing.assert_allclose(by_default.validation_scores_, accuracies, rtol=1e-15)


def test_a_validation_set_does_not_change_the_training():
    evaluated = quick(early_stopping=False).fit(X, Y, **VALIDATION)
    assert evaluated.loss_curve_ == quick(early_stopping=False).fit(X, Y).loss_curve_


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_the_best_weights_are_kept(solver):
    target = iter([0.1, 0.3, np.nan, 0.9, 0.9, 0.2, 0.4])
    parameters = {"solver": solver, "max_iter": 7, "early_stopping": False}
    model = quick(**parameters, scoring=lambda *_: next(target)).fit(X, Y, **VALIDATION)
    fourth = quick(**{**parameters, "max_iter": 4}).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, fourth.network_.theta)
    assert model.best_validation_score_ == 0.9
    assert len(model.validation_scores_) == model.n_iter_ == 7


def test_the_last_weights_are_kept_if_every_score_is_nan():
    model = quick(max_iter=3, scoring=lambda *_: np.nan).fit(X, Y, **VALIDATION)
    np.testing.assert_array_equal(
        model.network_.theta, quick(max_iter=3, early_stopping=False).fit(X, Y).network_.theta
    )
    assert model.best_validation_score_ == -np.inf


@pytest.mark.parametrize(("early_stopping", "epochs"), [(True, 5), ("auto", 5), (False, 20)])
def test_training_stops_by_the_validation_set_unless_early_stopping_is_false(early_stopping, epochs):
    scores = iter([0.1, 0.5] + [0.5] * 20)
    model = quick(
        early_stopping=early_stopping, n_iter_no_change=2, tol=0.01, scoring=lambda *_: next(scores)
    ).fit(X, Y, **VALIDATION)
    assert model.n_iter_ == epochs


def test_an_interrupted_fit_keeps_the_best_weights():
    scores = iter([0.9, 0.1, 0.2])
    model = quick(batch_size=35, loss=Interrupts(at=10), scoring=lambda *_: next(scores))
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.fit(X, Y, **VALIDATION)
    first = quick(batch_size=35, max_iter=1, loss=Interrupts(at=1000)).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, first.network_.theta)


def test_an_interrupted_evaluation_leaves_curves_of_equal_length():
    def interrupts(*_):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return 0.5

    calls = iter(range(1, 100))
    model = quick(scoring=interrupts, early_stopping=True)
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.fit(X, Y, **VALIDATION)
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_scores_) == 2
    assert len(model.validation_loss_curve_) == 2


@pytest.mark.parametrize("kind", ["coo_array", "bsr_array", "coo_matrix", "csc_array", "lil_matrix"])
@pytest.mark.parametrize("scoring", [None, "f1_macro"])
def test_rows_of_any_sparse_format_can_be_held_out(kind, scoring):
    made = getattr(scipy.sparse, kind)(DIGITS[:600])
    labels = LABELS[:600].astype(object)
    model = quick(early_stopping=True, scoring=scoring, max_iter=3).fit(made, labels)
    dense = quick(early_stopping=True, scoring=scoring, max_iter=3).fit(DIGITS[:600], LABELS[:600])
    assert model.validation_scores_ == pytest.approx(dense.validation_scores_, abs=1e-6)
    assert model.score(made, labels) == dense.score(DIGITS[:600], LABELS[:600])


@pytest.mark.parametrize("scoring", ["f1_macro", "roc_auc_ovr", "neg_log_loss", "top_k_accuracy"])
def test_scores_do_not_depend_on_the_container_of_the_labels(scoring):
    odd = [memoryview(LABELS.copy()), LABELS.astype(object), pd.Series(LABELS), LABELS.tolist()]
    plain = quick(scoring=scoring, max_iter=2, dtype="float64").fit(DIGITS, LABELS)
    for y in odd:
        model = quick(scoring=scoring, max_iter=2, dtype="float64").fit(DIGITS, y)
        assert model.validation_scores_ == plain.validation_scores_


def test_a_scorer_without_sample_weight_is_refused_before_training_if_validation_rows_have_weights():
    w = np.ones(len(Y_VAL))
    for scoring in ("normalized_mutual_info_score", lambda model, X, y: 0.0):
        with pytest.raises(
            ValueError, match="does not accept sample_weight, but the validation rows have weights"
        ):
            quick(scoring=scoring).fit(X, Y, **VALIDATION, sample_weight_val=w)
        quick(scoring=scoring, max_iter=1).fit(X, Y, **VALIDATION)


def test_lbfgs_that_converges_before_its_first_iteration_is_evaluated():
    model = quick(solver="lbfgs", tol=10.0).fit(X, Y, **VALIDATION)
    assert (model.n_iter_, model.loss_curve_, model.validation_scores_) == (0, [], [])
    assert model.best_loss_ == model.loss_ > 0
    p = model.predict_proba(X_VAL)[np.arange(45), np.searchsorted(model.classes_, Y_VAL)]
    assert model.best_validation_score_ == pytest.approx(np.log(p.astype("float64")).mean(), rel=1e-6)


def test_verbose_output_has_the_scores(capsys):
    quick(verbose=True, max_iter=2, early_stopping=True, n_iter_no_change=1, tol=9.0).fit(X, Y, **VALIDATION)
    output = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in output[1::2]] == ["Validation score"] * 2
    quick(verbose=True, early_stopping=True, n_iter_no_change=1, tol=9.0).fit(X, Y, **VALIDATION)
    assert (
        "Validation score did not improve more than tol=9.000000 for 1 consecutive" in capsys.readouterr().out
    )


def test_scorers_get_the_data_as_passed():
    seen = []

    def scorer(model, X, y):
        seen.append((X, y))
        model.predict(X)
        return 1.0

    frame = pd.DataFrame(IRIS, columns=list("abcd"))
    quick(max_iter=1, scoring=scorer).fit(frame, NAMES, X_val=frame[:9], y_val=NAMES[:9])
    assert seen[0][0].equals(frame[:9])
    assert seen[0][1].tolist() == NAMES[:9].tolist()
    quick(max_iter=1, scoring=scorer, early_stopping=True).fit(frame, pd.Series(NAMES))
    assert list(seen[1][0].columns) == list("abcd")
    np.testing.assert_array_equal(NAMES[seen[1][0].index], seen[1][1])


@pytest.mark.parametrize(
    ("validation", "match"),
    [
        ({"X_val": X_VAL}, "must be passed together, got no y_val"),
        ({"y_val": Y_VAL}, "must be passed together, got no X_val"),
        ({"sample_weight_val": [1.0]}, "must be passed together, got no X_val"),
        ({"X_val": X_VAL[:, :3], "y_val": Y_VAL}, "3 features, but TinyClassifier is expecting 4"),
        ({"X_val": X_VAL, "y_val": Y_VAL[1:]}, "inconsistent numbers of samples"),
        ({"X_val": X_VAL, "y_val": ["rose"] * 45}, r"not among the classes: \['rose'\]"),
        ({"X_val": X_VAL[:0], "y_val": Y_VAL[:0]}, "0 sample"),
        ({"X_val": np.where(X_VAL > 1, np.nan, X_VAL), "y_val": Y_VAL}, "NaN at row"),
        ({"X_val": np.where(X_VAL > 1, 1e39, X_VAL), "y_val": Y_VAL}, r"1e\+39 at row .*dtype=\"float64\""),
        ({**VALIDATION, "sample_weight_val": -np.ones(45)}, "got -1.0 at row 0"),
        ({**VALIDATION, "sample_weight_val": np.zeros(45)}, "all 45 entries of sample_weight are zero"),
    ],
)
def test_an_invalid_validation_set_is_refused_before_training_and_keeps_the_model(validation, match):
    trained = []
    model = quick().fit(X, Y)
    model.set_params(learning_rate=lambda progress: trained.append(progress) or 1.0)
    before = vars(model).copy()
    with pytest.raises(ValueError, match=match) as error:
        model.fit(X, Y, **validation)
    assert vars(model) == before
    assert trained == []  # the error is raised before training
    assert "X_val" in str(error.value)


def test_an_invalid_scorer_is_refused():
    with pytest.raises(ValueError, match="'precise' is not a valid scoring value"):
        quick(scoring="precise").fit(X, Y, **VALIDATION)
    with pytest.raises(TypeError, match="scoring must return a number, got 'good'"):
        quick(scoring=lambda *_: "good").fit(X, Y, **VALIDATION)
    classes = {"setosa": 0.0, "versicolor": 1.0, "virginica": 1.0}
    with pytest.raises(ValueError, match=r"X_val.*sum to 0\.0; at least one of the 20 rows must have"):
        quick(class_weight=classes).fit(X, Y, X_val=X_VAL[:20], y_val=["setosa"] * 20)


# --- rows held out -----------------------------------------------------------------------------------------


def test_a_stratified_hold_out_has_the_class_frequencies():
    y = np.repeat(["a", "b", "c"], [300, 150, 50])
    train, held = hold_out(dataset_of(np.arange(500.0)[:, None], y), 0.1, np.random.default_rng(0))
    held = held.X[:, 0].astype(int)
    assert sorted([*train, *held]) == list(range(500))
    assert [np.sum(y[held] == c) for c in "abc"] == [30, 15, 5]


def test_a_model_is_not_trained_on_the_rows_that_it_holds_out():
    seen = []
    model = quick(early_stopping=True, scoring=lambda m, X, y: seen.append(X) or 0.0, max_iter=1)
    model.fit(DIGITS, LABELS)
    held = {row.tobytes() for row in seen[0].astype("float32")}
    assert len(seen[0]) == 180
    rest = np.array([row.tobytes() not in held for row in DIGITS.astype("float32")])
    assert model.t_ == rest.sum() == 1797 - 180
    # The same training by hand, with those rows given as the validation set.
    by_hand = quick(early_stopping=False, max_iter=1, shuffle=False, batch_size=5000)
    one = copy.deepcopy(by_hand).set_params(early_stopping=True)
    with pytest.warns(UserWarning, match="clipped"):
        one.fit(DIGITS, LABELS)
    with pytest.warns(UserWarning, match="clipped"):
        by_hand.fit(DIGITS[rest], LABELS[rest])
    np.testing.assert_allclose(one.coefs_[0], by_hand.coefs_[0], rtol=1e-3, atol=1e-6)


def n_held_out(X, y, weight=None, **parameters):
    """The number of rows with a weight that the first epoch does not train on."""
    counting = len(X) if weight is None else np.count_nonzero(weight)
    return (
        counting
        - TinyClassifier(**{**parameters, "hidden_layer_sizes": 2, "max_iter": 1, "random_state": 0})
        .fit(X, y, weight)
        .t_
    )


@pytest.mark.parametrize(
    ("n", "case", "by_default", "otherwise"),
    [
        (9, None, 0, 0),
        (10, None, 5, 0),
        (100, None, 50, 0),
        (ENOUGH_ROWS - 1, None, 100, 0),
        (ENOUGH_ROWS, None, 100, 100),
        (ENOUGH_ROWS + 1, "a class with one row", 100, 100),
        (ENOUGH_ROWS, "one class", 0, 0),
        (600, "weights of zero", 100, 0),
        (2 * ENOUGH_ROWS, "weights of zero", 100, 100),
        (600, "more classes than rows to hold out", 120, 120),
        (ENOUGH_ROWS - 1, "copies of nine rows", 0, 0),
        (ENOUGH_ROWS, "copies of nine rows", 100, 100),
    ],
)
def test_auto_holds_rows_out_if_there_are_enough(n, case, by_default, otherwise):
    X, y, weight = np.arange(float(n))[:, None], np.arange(n) % 3, None
    if case == "a class with one row":
        y[0] = 7
    if case == "one class":
        y[:] = 1
    if case == "weights of zero":
        weight = (np.arange(n) % 2).astype(float)
    if case == "more classes than rows to hold out":
        y = np.arange(n) % 150
    if case == "copies of nine rows":
        X %= 9
    assert n_held_out(X, y, weight) == by_default
    for parts in ({"calibrate": False}, {"refit": False}, {"calibrate": False, "refit": False}):
        assert n_held_out(X, y, weight, **parts) == otherwise
    assert n_held_out(X, y, weight, **PLAIN) == otherwise // 2  # a tenth, not a fifth
    assert n_held_out(X, y, weight, validation_fraction=0.0) == 0
    for parts in ({}, PLAIN):
        assert n_held_out(X, y, weight, early_stopping=False, **parts) == 0
        if parts and n <= 10:
            with pytest.raises(ValueError, match="validation set is too small"):
                n_held_out(X, y, weight, early_stopping=True, **parts)
        else:
            assert n_held_out(X, y, weight, early_stopping=True, **parts) > 0


def test_auto_holds_out_a_larger_fraction_of_few_rows():
    assert [fraction_held_out("auto", n) for n in (10, 100, 200, 400, 500, 10**6)] == [
        0.5,
        0.5,
        0.5,
        0.25,
        0.2,
        0.2,
    ]
    assert [fraction_held_out(0.3, n) for n in (10, 1000)] == [0.3, 0.3]


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array])
def test_a_toy_has_one_class_or_fewer_than_ten_distinct_rows(make):
    rows = np.tile(np.arange(10.0), 5)[:, None]
    two, one = np.arange(50) % 2, np.zeros(50, dtype=int)
    assert not is_a_toy(dataset_of(make(rows), two))
    assert is_a_toy(dataset_of(make(rows % 9), two))
    assert is_a_toy(dataset_of(make(rows), one))
    labels, weight = Labels.of(two), (np.arange(50) < 9).astype(float)
    assert is_a_toy(Dataset(make(rows), labels, labels.encode(two), weight, None, None))
    assert is_a_toy(Dataset(make(rows), labels, labels.encode(two), (two == 1).astype(float), None, None))


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.2, 1 / 3, 0.5])
def test_an_even_hold_out_has_the_fraction_of_each_class_and_leaves_rows_of_each_to_train_on(fraction):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        counts = rng.integers(1, 30, size=rng.integers(2, 6))
        y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        train, held = hold_out_evenly(dataset_of(np.arange(float(len(y)))[:, None], y), fraction, rng)
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
    data, n = dataset_of(np.arange(12.0)[:, None], np.repeat([0, 1, 2], 4)), 3000
    held = [hold_out_evenly(data, 0.3, np.random.default_rng(seed))[1].X[:, 0] for seed in range(n)]
    counts = np.bincount(np.concatenate(held).astype(int), minlength=12)
    assert counts.sum() == 4 * n
    assert np.abs(counts - n / 3).max() < 4.5 * np.sqrt(n * 2 / 9)
    assert np.abs(counts.reshape(3, 4).sum(axis=1) - 4 * n / 3).max() < 4.5 * np.sqrt(n * 2 / 9)


def test_an_even_hold_out_of_half_has_rows_of_each_class_on_both_sides():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        counts = rng.integers(2, 12, size=rng.integers(2, 6))
        y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        train, held = hold_out_evenly(dataset_of(np.arange(float(len(y)))[:, None], y), 0.5, rng)
        assert set(y[train]) == set(held.targets) == set(y), (seed, counts)


@pytest.mark.parametrize("n", [10, 300, 550, 600, 1100, 1797, 5000])
def test_an_even_hold_out_has_the_planned_number_of_rows_for_any_fraction(n):
    data = dataset_of(np.arange(float(n))[:, None], np.arange(n) % 2)
    for percent in range(1, 100):
        train, held = hold_out_evenly(data, percent / 100, np.random.default_rng(percent))
        expected = min(-(-percent * n // 100), n - 1)
        assert len(np.unique(held.X)) == len(held.targets) == (expected if expected > 1 else 0)
        assert len(train) == n - len(held.targets)


@pytest.mark.parametrize("n", [100, 1797])
def test_lbfgs_never_holds_rows_out(n):
    none = quick(solver="lbfgs", max_iter=3, early_stopping=False).fit(DIGITS[:n], LABELS[:n])
    for early_stopping in (True, "auto"):
        model = TinyClassifier(**none.set_params(early_stopping=early_stopping).get_params())
        model.set_params(calibrate=True, refit=True).fit(DIGITS[:n], LABELS[:n])
        np.testing.assert_array_equal(model.network_.theta, none.network_.theta)
        assert model.validation_scores_ is None


def test_the_loss_of_held_out_rows_uses_the_class_weights():
    seen = []

    def scorer(model, X, y):
        seen.append((X, y, model.predict_log_proba(X)))
        return 0.0

    class_weight = {digit: 1.0 + digit for digit in range(10)}
    model = quick(early_stopping=True, class_weight=class_weight, scoring=scorer, max_iter=2, dtype="float64")
    model.fit(DIGITS, LABELS)
    for (_, y, log_p), loss in zip(seen, model.validation_loss_curve_, strict=True):
        expected = np.average(-log_p[np.arange(len(y)), y], weights=1.0 + y)
        assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["several labels", "soft"])
def test_the_accuracy_of_several_labels_and_soft_targets_equals_that_of_scikit_learn(kind):
    rng = np.random.default_rng(0)
    if kind == "soft":
        y, soft = rng.dirichlet(np.ones(3), len(IRIS)), True
        truth = y.argmax(axis=1)
    else:
        y, soft = (IRIS + rng.normal(size=IRIS.shape) > 0).astype(int), False
        truth = y
    w = rng.uniform(0.5, 2.0, 50)
    model = quick(early_stopping=True, soft_targets=soft, n_iter_no_change=100, max_iter=8)
    model.fit(IRIS, y, X_val=IRIS[:50], y_val=y[:50], sample_weight_val=w)
    expected = accuracy_score(truth[:50], model.predict(IRIS[:50]), sample_weight=w)
    assert model.best_validation_score_ == pytest.approx(expected, rel=1e-12)
    assert 0.0 < expected < 1.0


def test_a_warm_start_keeps_the_best_weights_of_its_own_fit():
    scores = iter([0.9, 0.8, 0.1, 0.5, 0.3])
    model = quick(warm_start=True, max_iter=2, scoring=lambda *_: next(scores))
    model.fit(X, Y, **VALIDATION)
    assert model.best_epoch_ == 1
    first = copy.deepcopy(model)
    model.set_params(max_iter=3).fit(X, Y, **VALIDATION)
    assert (model.best_epoch_, model.best_validation_score_) == (4, 0.5)
    first.set_params(max_iter=2, early_stopping=False).fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, first.network_.theta)
    assert first.validation_scores_ is first.validation_loss_curve_ is first.best_validation_score_ is None
    assert first.best_epoch_ is None


def test_a_second_fit_interrupted_after_an_epoch_keeps_its_epochs():
    model = quick(batch_size=35).fit(X, Y)
    model.set_params(loss=Interrupts(at=8), batch_size=35)
    with pytest.warns(UserWarning, match="interrupted by user after 2 epochs"):
        model.fit(X, Y)
    assert len(model.loss_curve_) == model.n_iter_ == 2


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_fit_stopped_by_its_validation_set_raises_no_warning(solver):
    scores = iter([0.5] * 100)
    model = quick(solver=solver, scoring=lambda *_: next(scores), n_iter_no_change=2, max_iter=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, Y, **VALIDATION)
    assert model.n_iter_ == 4


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_learning_rate_rules_of_sgd_do_not_change_adam_and_lbfgs(learning_rate):
    for solver in ("adam", "lbfgs"):
        plain = quick(solver=solver, n_iter_no_change=2).fit(X, Y, **VALIDATION)
        ruled = quick(solver=solver, n_iter_no_change=2, learning_rate=learning_rate).fit(X, Y, **VALIDATION)
        assert ruled.n_iter_ == plain.n_iter_
        np.testing.assert_array_equal(ruled.network_.theta, plain.network_.theta)
        assert ruled._state.training.scale == 1.0


def test_a_batch_larger_than_the_rows_to_train_on_is_warned_of():
    with pytest.warns(UserWarning, match="batch_size=140 is larger than the 135 training rows"):
        quick(early_stopping=True, batch_size=140, max_iter=20, tol=1.0, n_iter_no_change=1).fit(IRIS, NAMES)


@pytest.mark.filterwarnings(
    "ignore::tinyclf.TrainingWarning"
)  # the learning rate of the second fit is too large
def test_best_attributes_after_a_warm_start_are_those_of_the_kept_weights():
    model = quick(warm_start=True, early_stopping=True, max_iter=20).fit(DIGITS, LABELS)
    assert model.best_loss_ is None
    model.set_params(solver="sgd", learning_rate_init=5.0, max_iter=3, max_grad_norm=1.0).fit(DIGITS, LABELS)
    assert model.best_validation_score_ == max(model.validation_scores_[-3:]) < max(model.validation_scores_)
    model.set_params(early_stopping=False).fit(DIGITS, LABELS)
    assert model.best_loss_ == min(model.loss_curve_)
    model.set_params(early_stopping=True).fit(DIGITS, LABELS)
    assert model.best_loss_ is None


@pytest.mark.parametrize(
    "y", [np.where(np.arange(150) == 3, 3, SPECIES), np.arange(150) % 50], ids=["rare", "many"]
)
def test_classes_too_rare_for_stratification_are_held_out_at_random(y):
    train, held = hold_out(dataset_of(IRIS, y), 0.1, np.random.default_rng(0))
    assert (len(train), len(held.targets)) == (135, 15)
    quick(early_stopping=True, max_iter=2).fit(IRIS, y)


def test_auto_scores_by_loss_and_true_by_accuracy_as_in_scikit_learn():
    auto = quick(max_iter=3).fit(DIGITS, LABELS)
    assert auto.validation_scores_ == [-loss for loss in auto.validation_loss_curve_]
    assert auto.best_loss_ == min(auto.loss_curve_)
    true = quick(max_iter=3, early_stopping=True).fit(DIGITS, LABELS)
    assert all(0.0 <= score <= 1.0 for score in true.validation_scores_)
    assert true.best_loss_ is None
    false = quick(max_iter=3, early_stopping=False).fit(DIGITS, LABELS)
    assert false.validation_scores_ is false.validation_loss_curve_ is false.best_validation_score_ is None


def test_auto_holds_no_rows_out_for_lbfgs_or_with_a_given_validation_set():
    lbfgs = quick(solver="lbfgs", max_iter=3).fit(DIGITS, LABELS)
    assert lbfgs.validation_scores_ is None
    given = quick(max_iter=2).fit(DIGITS, LABELS, X_val=DIGITS[:50], y_val=LABELS[:50])
    assert given.t_ == 2 * len(DIGITS)


def test_the_hold_out_is_the_same_for_the_same_random_state_also_in_a_warm_start():
    seen = []
    model = quick(early_stopping=True, warm_start=True, max_iter=1)
    model.set_params(scoring=lambda m, X, y: seen.append(X.tobytes()) or 0.0)
    model.fit(DIGITS, LABELS).fit(DIGITS, LABELS)
    assert seen[0] == seen[1]
    model.set_params(random_state=1).fit(DIGITS, LABELS)
    assert seen[1] != seen[2]
    assert len(model.validation_scores_) == 3


@pytest.mark.parametrize(
    ("X", "y", "fraction", "match"),
    [
        (IRIS, NAMES, 0.0, "too small.*validation_fraction=0.0 of 150 rows is 0"),
        (
            IRIS[:12],
            ["a", "b"] * 6,
            0.001,
            "rows held out for early_stopping, validation_fraction=0.001 of 12",
        ),
        (IRIS[:9], ["a"] * 9, 0.05, "validation set is too small.*validation_fraction=0.05 of 9 rows is 1"),
        (
            IRIS[:99],
            np.where(np.arange(99) == 3, "rare", "often"),
            0.1,
            "only 1 member.*rows held out for early_stopping, validation_fraction=0.1 of 99",
        ),
    ],
)
def test_an_impossible_hold_out_is_refused(X, y, fraction, match):
    with pytest.raises(ValueError, match=match):
        quick(early_stopping=True, validation_fraction=fraction).fit(X, y)


# --- partial_fit -------------------------------------------------------------------------------------------


def test_partial_fit_evaluates_a_given_set_and_keeps_the_last_weights():
    model = quick()
    scores = iter([0.9, 0.1, 0.2])
    model.set_params(scoring=lambda *_: next(scores))
    for _ in range(3):
        model.partial_fit(X, Y, classes=np.unique(Y), **VALIDATION)
    assert model.validation_scores_ == [0.9, 0.1, 0.2]
    assert len(model.validation_loss_curve_) == len(model.loss_curve_) == 3
    plain = quick()
    for _ in range(3):
        plain.partial_fit(X, Y, classes=np.unique(Y))
    np.testing.assert_array_equal(model.network_.theta, plain.network_.theta)
    assert model._state.best.theta is None  # no second copy of the weights is kept


def test_partial_fit_with_early_stopping_needs_a_given_set():
    model = quick(early_stopping=True).fit(X, Y)
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match="does not support early_stopping=True.*X_val and y_val"):
        model.partial_fit(X, Y)
    model.partial_fit(X, Y, **VALIDATION)
    assert len(model.validation_scores_) == len(before.validation_scores_) + 1


def test_a_partial_fit_whose_scorer_fails_changes_nothing():
    def fails(*_):
        raise RuntimeError("no score today")

    model = quick(learning_rate="adaptive", solver="sgd").fit(X, Y, **VALIDATION)
    unchanged = copy.deepcopy(model)
    model.set_params(scoring=fails)
    before = model._state
    with pytest.raises(RuntimeError, match="no score today"):
        model.partial_fit(X, Y, **VALIDATION)
    model.set_params(scoring=None)
    assert model._state is before
    assert before.history == unchanged._state.history
    for one in (model, unchanged):
        one.partial_fit(X, Y, **VALIDATION)
    np.testing.assert_array_equal(model.network_.theta, unchanged.network_.theta)
    assert model.validation_scores_ == unchanged.validation_scores_


def test_the_first_of_equal_scores_is_the_best():
    best = BestWeights()
    for epoch, score in enumerate([0.5, 1.0, 1.0, np.nan], 1):
        best.record(score, np.array([float(epoch)]), epoch)
    assert (best.epoch, best.theta.tolist(), best.score) == (2, [2.0], 1.0)


# --- warm starts -------------------------------------------------------------------------------------------


def test_a_warm_start_continues_network_and_curves_with_a_new_optimizer():
    model = quick(warm_start=True, max_iter=3, early_stopping=False).fit(X, Y)
    before, curve = model.network_, list(model.loss_curve_)
    theta = before.theta.copy()
    model.set_params(max_iter=2).fit(X, Y)
    assert np.abs(model.network_.theta - theta).max() < 0.5  # not initialized again
    np.testing.assert_array_equal(before.theta, theta)  # a fit trains a copy of the network
    assert model.loss_curve_[:3] == curve
    assert (len(model.loss_curve_), model.n_iter_, model.t_) == (5, 2, 5 * len(X))
    # Adam without its moments: its first step has the size of the learning rate in each parameter.
    model.set_params(max_iter=1, batch_size=len(X), learning_rate_init=1e-4, alpha=0.0)
    theta = model.network_.theta.copy()
    model.fit(X, Y)
    steps = np.abs(model.network_.theta - theta)
    assert np.median(steps) == pytest.approx(1e-4, rel=1e-2)


def test_a_warm_start_that_fails_changes_nothing():
    model = quick(warm_start=True, max_iter=3, solver="sgd", batch_size=40).fit(X, Y)
    unchanged = copy.deepcopy(model)
    for change, data, match in [
        ({}, (np.where(X > 0, 3e38, -3e38), Y), "training diverged"),
        ({}, (X, np.where(Y == "setosa", "rose", Y)), "same classes as in the previous call"),
        ({}, (X[:, :3], Y), "3 features"),
        (
            {"hidden_layer_sizes": (9,)},
            (X, Y),
            r"has the layers .*units=8.*parameters define .*units=9.*warm_start=False",
        ),
        ({"activation": "tanh"}, (X, Y), "layers cannot change"),
        ({"dropout": 0.5}, (X, Y), "layers cannot change"),
        ({"dtype": "float64"}, (X, Y), "computes in float32, but the parameters have dtype='float64'"),
    ]:
        model.set_params(**change)
        with pytest.raises(ValueError, match=match):
            model.fit(*data)
        model.set_params(hidden_layer_sizes=8, activation="relu", dropout=0.0, dtype="float32")
    assert model.loss_curve_ == unchanged.loss_curve_
    for one in (model, unchanged):
        one.fit(X, Y)
    np.testing.assert_array_equal(model.network_.theta, unchanged.network_.theta)
    assert model.loss_curve_ == unchanged.loss_curve_


def test_a_fit_without_warm_start_begins_a_new_history():
    model = quick(max_iter=3).fit(X, Y).fit(X, Y)
    assert (model.t_, len(model.loss_curve_)) == (3 * len(X), 3)


def test_a_warm_start_that_fails_in_a_later_epoch_keeps_the_old_curves(monkeypatch):
    model = quick(warm_start=True, max_iter=5).fit(X, Y)
    curve = list(model.loss_curve_)
    calls = iter(range(100))

    def fails_in_the_third(*_):
        if next(calls) == 2:
            raise RuntimeError("no score today")
        return 0.5

    model.set_params(scoring=fails_in_the_third)
    with pytest.raises(RuntimeError, match="no score today"):
        model.fit(X, Y, **VALIDATION)
    assert model.loss_curve_ == curve
    assert model.validation_scores_ is None


def test_a_warm_start_keeps_the_dtype_of_the_network():
    model = quick(warm_start=True, dtype=None).fit(X.astype("float32"), Y)
    assert model.fit(X, Y).predict_proba(X).dtype == "float32"


def test_n_iter_no_change_does_not_stop_lbfgs():
    model = quick(solver="lbfgs", tol=1e-5, n_iter_no_change=1, max_iter=60, alpha=1e-6).fit(X, Y)
    gains = -np.diff(model.loss_curve_)
    assert (gains[:-1] < 1e-5).any() or model.n_iter_ == 60
    patient = quick(solver="lbfgs", tol=1e-5, n_iter_no_change=100, max_iter=60, alpha=1e-6).fit(X, Y)
    assert model.n_iter_ == patient.n_iter_ > 10


def test_a_first_fit_interrupted_in_its_first_epoch_leaves_a_model_that_predicts():
    model = quick(loss=Interrupts(at=1), batch_size=35)
    with pytest.warns(UserWarning, match="interrupted by user after 0 epochs"):
        model.fit(X, Y)
    assert model.predict_proba(X).shape == (len(X), 3)


def test_a_fluctuating_loss_stops_the_training_also_with_a_tol_of_zero():
    # No step is taken, but dropout changes the loss of each epoch: improvements become rare.
    model = quick(solver=SGD(1e-30), dropout=0.5, tol=0.0, n_iter_no_change=5, max_iter=500).fit(X, Y)
    assert model.n_iter_ < 500
    lowest = np.minimum.accumulate(model.loss_curve_)
    assert (np.array(model.loss_curve_[-6:]) > lowest[-7]).all()


def test_auto_always_leaves_rows_to_train_on():
    many = np.tile(IRIS, (4, 1))
    sets = np.stack([many[:, 0] > 0, many[:, 1] > 0], axis=1).astype(int)
    for fraction, left in [(0.9999, 1), (0.5, 300), (0.001, 600)]:
        model = quick(validation_fraction=fraction, max_iter=1).fit(many, sets)
        assert model.t_ == left
        assert (model.validation_scores_ is None) is (left == 600)


def test_a_warm_start_without_a_fitted_model_equals_a_cold_start():
    cold, warm = (quick(warm_start=w, solver=SGD(0.1)).fit(X, Y) for w in (False, True))
    np.testing.assert_array_equal(cold.network_.theta, warm.network_.theta)
