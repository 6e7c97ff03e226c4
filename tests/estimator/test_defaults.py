"""The defaults: TinyClassifier() on small, imbalanced, wide, noisy and degenerate data."""

import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.doubles import Ends, Interrupts
from tinyclf import SKLEARN_DEFAULTS, Loss, SigmoidCrossEntropy, TinyClassifier
from tinyclf.estimator import classifier
from tinyclf.estimator.callback_context import CallbackContext
from tinyclf.estimator.trainer import Trainer
from tinyclf.estimator.validation import Validation
from tinyclf.nn.state import TrainState

TOYS = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}


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


# --- well-behaved data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOYS)
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


@pytest.mark.parametrize("name", TOYS)
def test_a_fit_with_a_random_state_is_reproducible_bit_for_bit(name):
    X, y = TOYS[name](return_X_y=True)
    a, b = (TinyClassifier(random_state=5).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(a.network_.theta, b.network_.theta)
    assert (a.calibration_, a.best_epoch_, a.loss_curve_) == (b.calibration_, b.best_epoch_, b.loss_curve_)
    assert not np.array_equal(TinyClassifier(random_state=6).fit(X, y).network_.theta, a.network_.theta)


def test_sklearn_defaults_train_as_scikit_learn_does():
    theirs = MLPClassifier().get_params()
    assert theirs.items() <= TinyClassifier(**SKLEARN_DEFAULTS).get_params().items()
    X, y = load_iris(return_X_y=True)
    model = TinyClassifier(**{**SKLEARN_DEFAULTS, "random_state": 0, "max_iter": 3})
    with pytest.warns(Warning, match="Maximum iterations"):
        model.fit(X, y)
    assert model.t_ == 3 * len(X)
    assert model.input_mean_ is None
    assert model.calibration_ == 1.0
    assert model.network_.dtype == np.float64


def test_refit_trains_on_all_rows_up_to_the_best_epoch():
    X, y = load_digits(return_X_y=True)
    model = TinyClassifier(random_state=0, calibrate=False).fit(X, y)
    assert model.best_epoch_ == 1 + int(np.argmax(model.validation_scores_))
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_
    by_hand = TinyClassifier(random_state=0, early_stopping=False, calibrate=False, n_iter_no_change=np.inf)
    epochs = iter(range(1, 100))

    class Stops:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context, *, X=None):
            return next(epochs) == model.best_epoch_

    by_hand.set_callbacks(Stops()).fit(X, y)
    np.testing.assert_array_equal(by_hand.network_.theta, model.network_.theta)


def test_an_interrupted_refit_keeps_the_best_weights_of_the_search():
    X, y = load_digits(return_X_y=True)
    # 1,437 rows in batches of 89: 17 steps an epoch. The interrupt comes after three epochs of the search and
    # one of the refit.
    settings = {"max_iter": 3, "random_state": 0, "calibrate": False}
    model = TinyClassifier(loss=Interrupts(at=3 * 17 + 25), **settings)
    with pytest.warns(UserWarning, match="interrupted by user after 3 epochs"):
        model.fit(X, y)
    search = TinyClassifier(loss=Interrupts(at=10**6), refit=False, **settings).fit(X, y)
    np.testing.assert_array_equal(model.network_.theta, search.network_.theta)


def test_an_interrupt_before_the_first_step_of_the_refit_keeps_the_best_weights_of_the_search(monkeypatch):
    X, y = load_digits(return_X_y=True)
    settings = {"max_iter": 3, "random_state": 0, "calibrate": False}
    search = TinyClassifier(refit=False, **settings).fit(X, y)
    restore, calls = TrainState.restore, []

    def interrupted(state, snapshot):
        restore(state, snapshot)
        calls.append(state)
        if len(calls) == 1:  # the weights are now those before the first epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainState, "restore", interrupted)
    with pytest.warns(UserWarning, match="interrupted by user after 3 epochs"):
        model = TinyClassifier(**settings).fit(X, y)
    np.testing.assert_array_equal(model.network_.theta, search.network_.theta)


@pytest.mark.parametrize(
    "place",
    [
        (CallbackContext, "training_ends"),
        (Validation, "shrinkage"),
        (Trainer, "_calibrate"),
        (CallbackContext, "fit_ends"),
    ],
    ids=lambda place: place[1],
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_interrupt_after_the_last_epoch_keeps_the_model(monkeypatch, place, after):
    X, y = load_digits(return_X_y=True)
    original = getattr(*place)

    def interrupted(*arguments):
        if after:
            original(*arguments)
        raise KeyboardInterrupt

    outcomes = []
    monkeypatch.setattr(*place, interrupted)
    monkeypatch.setattr(classifier, "diagnose", lambda *arguments: outcomes.append(arguments[-1]) or [])
    with pytest.warns(UserWarning, match="interrupted by user after 3 epochs"):
        model = TinyClassifier(max_iter=3, random_state=0).fit(X, y)
    monkeypatch.undo()
    refitted = place[1] in ("_calibrate", "fit_ends")
    assert len(outcomes[0].rows) == (len(X) if refitted else model.plan_.n_train)
    assert model.score(X, y) > 0.9
    assert model.partial_fit(X, y).score(X, y) > 0.9


# --- small data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 10, 11, 19, 20, 33, 64, 100])
@pytest.mark.parametrize("k", [2, 3, 12])
@pytest.mark.filterwarnings("ignore::tinyclf.TrainingWarning")
def test_few_rows_can_be_fitted_and_are_not_worse_than_the_prior(n, k):
    rng = np.random.default_rng(n)
    X, y = rng.normal(size=(n, 4)), rng.integers(0, k, n)
    model = TinyClassifier(random_state=0).fit(X, y)
    p = model.predict_proba(X)
    assert np.isfinite(p).all()
    if len(model.classes_) > 1:
        assert loss_of(model, X, y) <= prior_loss(y) * (1 + 1e-5)


@pytest.mark.parametrize(
    ("n", "p", "k"), [(10, 3, 2), (20, 5, 2), (30, 10, 3), (60, 5, 2), (100, 10, 5), (600, 10, 2)]
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


# --- unusual data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rare", [1, 2, 3])
@pytest.mark.parametrize("n", [40, 700])
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
    model = TinyClassifier(random_state=0).fit(kind(X[:150]), y[:150])
    assert model.score(kind(X[150:]), y[150:]) > 0.9


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


def test_heavily_imbalanced_noise_is_not_worse_than_the_prior():
    y = (np.arange(4000) % 1000 == 0).astype(int)
    losses = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        model = TinyClassifier(random_state=seed).fit(rng.normal(size=(4000, 4)), y)
        losses.append(loss_of(model, rng.normal(size=(4000, 4)), y))
    assert np.mean(losses) <= 1.05 * prior_loss(y)


def test_duplicated_rows_can_be_fitted():
    X, y = load_iris(return_X_y=True)
    model = TinyClassifier(random_state=0).fit(np.tile(X, (5, 1)), np.tile(y, 5))
    assert model.score(X, y) > 0.95
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
    X, y = load_breast_cancer(return_X_y=True)
    X = X * np.geomspace(1e-300, 1e300, 30)
    X[::50, 3] *= 1e6
    assert TinyClassifier(random_state=0).fit(X, y).score(X, y) > 0.95


def test_an_additional_scaler_in_a_pipeline_hardly_changes_predictions():
    X, y = load_wine(return_X_y=True)
    alone = TinyClassifier(random_state=0, dtype="float64").fit(X, y).predict_proba(X)
    twice = make_pipeline(StandardScaler(), TinyClassifier(random_state=0, dtype="float64")).fit(X, y)
    np.testing.assert_allclose(twice.predict_proba(X), alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n", [30, 700])
@pytest.mark.parametrize("kind", ["several labels", "soft"])
def test_several_labels_and_soft_targets_are_learned(n, kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    hot = (X[:, :3] > 0).astype(float)
    if kind == "soft":
        hot = (hot + 0.1) / (hot + 0.1).sum(axis=1, keepdims=True)
    model = TinyClassifier(random_state=0, soft_targets=kind == "soft").fit(
        X, hot if kind == "soft" else hot.astype(int)
    )
    p = model.predict_proba(X)
    prior = np.tile(hot.mean(axis=0), (n, 1))
    assert np.square(p - hot).mean() < np.square(prior - hot).mean()


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("labels", [list("abcdefghij"), [*"aa", *map(str, range(598))]], ids=["10", "600"])
def test_classes_of_one_row_each_are_learned(labels):
    X = np.random.default_rng(0).normal(size=(len(labels), 12))
    for seed in range(5):
        model = TinyClassifier(random_state=seed).fit(X, labels)
        assert len(model.classes_) == len(set(labels))
        assert loss_of(model, X, np.array(labels)) < prior_loss(np.array(labels))


@pytest.mark.parametrize("weight", [1e-160, 1e160])
@pytest.mark.filterwarnings("ignore::tinyclf.TrainingWarning")
def test_the_scale_of_the_weights_does_not_matter(weight):
    X, y = load_iris(return_X_y=True)
    settings = {
        "random_state": 0,
        "alpha": 0.0,
        "dtype": "float64",
    }  # the penalty is divided by the sum of the weights
    model, other = (TinyClassifier(**settings).fit(X, y, np.full(150, w)) for w in (weight, 1.0))
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), rtol=1e-6, atol=1e-9)


def test_a_few_rows_with_nearly_all_the_weight_are_memorized():
    rng = np.random.default_rng(0)
    X, y = (
        rng.normal(size=(150, 4)),
        rng.integers(0, 2, 150),
    )  # the labels of six rows cannot be predicted from the others
    weight = np.full(150, 1e-9)
    weight[:6] = 1.0
    for seed in range(5):
        model = TinyClassifier(alpha=0.0, random_state=seed).fit(X, y, weight)
        assert model.t_ == 150 * model.n_iter_
        assert model.predict_proba(X[:6])[np.arange(6), y[:6]].min() > 0.7


def test_losses_other_than_cross_entropy_are_not_calibrated():
    class Hinge(Loss):
        """Its targets are -1 and 1, not class codes."""

        def n_outputs(self, n_classes):
            return 1

        def targets(self, y, n, n_outputs):
            return 2.0 * np.asarray(y) - 1.0

        def rows(self, z, y, dz, t):
            margin = 1.0 - y * z[:, 0]
            dz[:, 0] = np.where(margin > 0, -y, 0.0)
            return np.maximum(margin, 0.0)

        def probabilities(self, z):
            p = 1.0 / (1.0 + np.exp(-z[:, 0]))
            return np.stack([1.0 - p, p], axis=1)

    X, y = load_breast_cancer(return_X_y=True)
    model = TinyClassifier(loss=Hinge(), random_state=0).fit(X, y)
    assert model.calibration_ == 1.0
    assert model.score(X, y) > 0.95


def test_an_interrupted_refit_is_calibrated_on_the_held_out_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 20)), rng.integers(0, 2, 200)

    class Stops(SigmoidCrossEntropy):
        steps = 0

        def value_and_grad(self, z, y, w, dz, t):
            Stops.steps += len(z) in (64, 36)
            if Stops.steps == 2 * 40 + 30:  # 100 rows are two batches; then four of 64, 64, 64 and 8
                Stops.steps += 10**6
                raise KeyboardInterrupt
            return super().value_and_grad(z, y, w, dz, t)

    with pytest.warns(UserWarning, match="interrupted by user after 40 epochs"):
        model = TinyClassifier(loss=Stops(), random_state=0).fit(X, y)
    assert model.calibration_ < 0.1


def test_wide_sparse_rows_are_not_made_dense():
    X = scipy.sparse.random(400, 200_000, 2e-4, format="csr", random_state=0)
    y = np.arange(400) % 2
    tracemalloc.start()
    TinyClassifier((4,), max_iter=1, random_state=0).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # dense rows would need 640 MB


def test_a_refit_after_a_callback_stopped_the_search_ends_at_the_best_epoch():
    X, y = load_digits(return_X_y=True)
    model = TinyClassifier(random_state=0, calibrate=False)
    model.set_callbacks(Ends(9, True)).fit(X, y)  # stops the search after nine epochs
    alone = TinyClassifier(random_state=0, early_stopping=False, n_iter_no_change=np.inf, calibrate=False)
    alone.set_callbacks(Ends(model.best_epoch_, True)).fit(X, y)
    assert model.n_iter_ == 9 >= model.best_epoch_
    np.testing.assert_array_equal(alone.network_.theta, model.network_.theta)
