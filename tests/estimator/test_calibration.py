"""Calibration: logits are shrunk toward the class-frequency logits so as to minimize the validation loss."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.metrics import log_loss

from tests.support.parts import PLAIN, Brier
from tinyclf import CollapseWarning, SigmoidCrossEntropy, SoftmaxCrossEntropy, TinyClassifier
from tinyclf.estimator import calibration, validation
from tinyclf.estimator.calibration import Calibration, best_shrinkage, prior_logits, total_of_targets

RNG = np.random.default_rng(0)
IRIS, SPECIES = load_iris(return_X_y=True)
N = 3000

# Name -> loss, number of logits, targets as the loss reads them.
CASES = {
    "softmax": (SoftmaxCrossEntropy(), 4, RNG.integers(0, 4, N)),
    "one logit": (SigmoidCrossEntropy(), 1, RNG.integers(0, 2, N)),
    "several labels": (SigmoidCrossEntropy(), 3, RNG.integers(0, 2, (N, 3)).astype(float)),
    "smoothed": (SoftmaxCrossEntropy(0.2), 4, RNG.integers(0, 4, N)),
    "soft": (SoftmaxCrossEntropy(), 3, RNG.dirichlet(np.ones(3), N)),
    "custom": (Brier(), 3, RNG.integers(0, 3, N)),
}


def case(name):
    """Overconfident logits of low accuracy, their targets, and weights."""
    rng = np.random.default_rng(1)  # not RNG: the same data in any order of the tests
    loss, k, y = CASES[name]
    y = loss.targets(y, N, k)
    hint = np.eye(k)[y] if y.ndim == 1 else y
    return loss, (2.0 * hint + 3.0 * rng.normal(size=(N, k))).astype(np.float32), y, rng.uniform(0, 2, N)


def mean_loss(loss, z, y, w):
    return loss.mean(z.astype(np.float64), y, w)


def prior_of(loss, y, w, n_outputs):
    return prior_logits(loss, *total_of_targets(y, w, n_outputs))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "name", [name for name in CASES if name != "custom"]
)  # Brier's loss is not a cross-entropy
def test_no_constant_logits_are_better_than_the_priors(name, weighted):
    loss, z, y, w = case(name)
    w = w if weighted else None
    c = prior_of(loss, y, w, z.shape[1])
    best = mean_loss(loss, np.tile(c, (N, 1)), y, w)
    for direction in RNG.normal(size=(20, z.shape[1])):
        for step in (1e-2, 0.5):
            assert mean_loss(loss, np.tile(c + step * direction, (N, 1)), y, w) >= best - 1e-12


def test_a_class_without_weight_has_a_finite_logit():
    c = prior_of(SoftmaxCrossEntropy(), np.array([0, 1, 1, 2]), np.array([1.0, 1.0, 1.0, 0.0]), 4)
    assert np.isfinite(c).all()
    c = prior_of(SigmoidCrossEntropy(), np.array([[0.0, 1.0], [0.0, 1.0]]), None, 2)
    assert np.isfinite(c).all()
    assert c[0] < -10 < 10 < c[1]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_shrinkage_minimizes_the_loss(name, weighted):
    loss, z, y, w = case(name)
    w = w if weighted else None
    prior = prior_of(loss, y, w, z.shape[1])
    found, value = best_shrinkage(z, y, w, loss, prior, least=0.0, most=1.0)

    def at(shrinkage):
        return mean_loss(loss, prior + shrinkage * (z - prior), y, w)

    truth = minimize_scalar(at, bounds=(0, 1), method="bounded", options={"xatol": 1e-6})
    assert found == pytest.approx(truth.x, abs=0.011)
    assert value == pytest.approx(at(found), rel=1e-9)
    assert value <= truth.fun + 1e-3


@pytest.fixture
def evaluated(monkeypatch):
    """A list of (entries, their dtype) that softmax cross-entropy evaluates with its gradient, by call."""
    calls, original = [], SoftmaxCrossEntropy.value_and_grad

    def counts(self, z, y, w, dz, t):
        calls.append((z.size, z.dtype))
        return original(self, z, y, w, dz, t)

    monkeypatch.setattr(SoftmaxCrossEntropy, "value_and_grad", counts)
    return calls


def test_correct_logits_are_not_shrunk_and_are_evaluated_once(evaluated):
    y, loss = RNG.integers(0, 3, 500), SoftmaxCrossEntropy()
    shrinkage, _ = best_shrinkage(
        (4.0 * np.eye(3))[y], y, None, loss, prior_of(loss, y, None, 3), least=0.01, most=1.0
    )
    assert shrinkage == 1.0
    assert evaluated == [(3 * 500, np.float64)]


def test_an_evaluation_examines_at_most_four_million_logits(evaluated):
    n, k = 1640, 5000  # twice this number; before, calibration took more time than the training
    y, loss = np.arange(n), SoftmaxCrossEntropy()
    z = np.zeros((n, k), np.float32)
    z[np.arange(n), y] = 1.0
    assert best_shrinkage(z, y, None, loss, np.zeros(k), least=0.01, most=1.0)[0] == 1.0  # in one evaluation
    assert sum(size for size, _ in evaluated) == 4_000_000


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [name for name in CASES if name != "custom"])
def test_a_sample_of_the_rows_gives_about_the_same_shrinkage(name, weighted, monkeypatch):
    loss, z, y, w = case(name)
    w[5::2] = 0.0  # is not drawn
    z[5::2] = np.inf if weighted else z[5::2]
    w = w if weighted else None
    prior = prior_of(loss, y, w, z.shape[1])
    whole, _ = best_shrinkage(z, y, w, loss, prior, least=0.0, most=1.0)
    monkeypatch.setattr(calibration, "MAX_LOGITS", 1000 * z.shape[1])
    few, value = best_shrinkage(z, y, w, loss, prior, least=0.0, most=1.0)
    assert few == pytest.approx(whole, abs=0.05)
    assert few != whole
    assert best_shrinkage(z, y, w, loss, prior, least=0.0, most=1.0) == (few, value)


@pytest.mark.parametrize("least", [1, 2])
def test_rows_with_more_logits_than_a_sample_are_examined_one_at_a_time(least, monkeypatch):
    loss, z, y, _ = case("softmax")
    monkeypatch.setattr(calibration, "MAX_LOGITS", least)
    monkeypatch.setattr(calibration, "PARAMETER_BLOCK", least)
    _, value = best_shrinkage(z, y, None, loss, np.zeros(4), least=1.0, most=1.0)
    assert np.isclose(value, [mean_loss(loss, z[i : i + 1], y[i : i + 1], None) for i in range(N)]).any()


def test_wrong_logits_and_few_rows_with_a_cost_get_the_smallest_shrinkage_factor():
    y = RNG.integers(0, 2, 400)
    loss, z = SigmoidCrossEntropy(), 5.0 * RNG.normal(size=(400, 1))
    targets = loss.targets(y, 400, 1)
    prior = prior_of(loss, targets, None, 1)
    z = np.where(targets > 0.5, -np.abs(z), np.abs(z))  # wrong wherever it can be
    assert best_shrinkage(z, targets, None, loss, prior, least=0.01, most=1.0)[0] == 0.01
    few = 0.3 * np.where(targets > 0.5, 1.0, -1.0)[:3], targets[:3], None
    without_cost, _ = best_shrinkage(*few, loss, prior, least=0.01, most=1.0)
    with_cost, _ = best_shrinkage(*few, loss, prior, least=0.01, most=1.0, cost=2.0)
    assert without_cost == 1.0
    assert with_cost == 0.01


@pytest.mark.parametrize("name", ["softmax", "one logit", "several labels"])
def test_a_cost_changes_nothing_where_the_gain_is_large(name):
    loss, z, y, w = case(name)
    prior = prior_of(loss, y, w, z.shape[1])
    without_cost, with_cost = (
        best_shrinkage(z, y, w, loss, prior, least=0.01, most=1.0, cost=cost) for cost in (0.0, 4.0)
    )
    assert without_cost == with_cost


def test_rows_of_zero_weight_are_ignored():
    loss, z, y, w = case("softmax")
    w[::2] = 0.0
    z[::2] = np.inf
    prior = prior_of(loss, y, w, 4)
    some = best_shrinkage(z[1::2], y[1::2], w[1::2], loss, prior, least=0.01, most=1.0)
    assert best_shrinkage(z, y, w, loss, prior, least=0.01, most=1.0) == some


def test_logits_with_nan_are_not_shrunk():
    loss, z, y, _ = case("softmax")
    z[5, 1] = np.nan
    prior = prior_of(loss, y, None, 4)
    assert best_shrinkage(z, y, None, loss, prior, least=0.01, most=1.0)[0] == 1.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_calibrated_logits_are_shrunk_to_the_prior(shrinkage, dtype):
    z, prior = RNG.normal(size=(20, 3)).astype(dtype), RNG.normal(size=3)
    expected = prior + shrinkage * (z.astype("float64") - prior)
    calibration = Calibration(shrinkage, prior)
    factor, offset = calibration.terms(dtype)
    assert factor.dtype == offset.dtype == dtype
    assert_allclose(factor * z + offset, expected, rtol=1e-6, atol=1e-6 if dtype == "float32" else 1e-12)
    found = calibration.apply(z)
    assert found is z
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=1e-6, atol=1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(
    ("shrinkage", "prior"),
    [
        (1.1, np.zeros(2)),
        (-0.1, np.zeros(2)),
        (np.nan, np.zeros(2)),
        (0.5, np.full(2, np.inf)),
        (0.5, np.zeros((1, 2))),
    ],
)
def test_an_invalid_calibration_is_refused(shrinkage, prior):
    with pytest.raises(ValueError, match="shrinkage|class frequencies"):
        Calibration(shrinkage, prior)


# --- in the estimator --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_model_shrinks_the_logits_of_its_network_toward_the_prior():
    x, y = load_breast_cancer(return_X_y=True)
    y_noisy = np.where(np.random.default_rng(0).random(569) < 0.3, 1 - y, y)
    x, x_val, y, y_val = x[:300], x[300:], y_noisy[:300], y_noisy[300:]
    plain = {**PLAIN, "scale_inputs": True, "max_iter": 60, "learning_rate_init": 0.01}
    raw, calibrated, by_loss = (
        TinyClassifier(
            **{**plain, "early_stopping": False, "calibrate": calibrate, "scoring": scoring},
            dtype="float64",
            random_state=0,
        ).fit(x, y, X_val=x_val, y_val=y_val)
        for calibrate, scoring in ((False, "accuracy"), (True, "accuracy"), (True, "loss"))
    )
    assert raw.best_epoch_ == calibrated.best_epoch_  # accuracy is measured before calibration
    a, prior, z = calibrated.calibration_, np.log(y.mean() / (1 - y.mean())), raw.decision_function(x_val)
    assert raw.calibration_ == 1.0
    assert 0.01 <= a < 0.9
    assert_allclose(calibrated.decision_function(x_val), prior + a * (z - prior), rtol=1e-9)
    losses = [log_loss(y_val, model.predict_proba(x_val)) for model in (raw, calibrated, by_loss)]
    assert losses[1] < losses[0]
    assert by_loss.best_validation_score_ == pytest.approx(-losses[2], rel=1e-6)


def test_the_score_of_an_epoch_is_the_loss_of_all_rows_though_a_sample_is_calibrated(evaluated, monkeypatch):
    most = 150
    monkeypatch.setattr(calibration, "MAX_LOGITS", most)
    monkeypatch.setattr(validation, "MAX_LOGITS", most)
    noisy = IRIS + 3 * RNG.normal(size=IRIS.shape)
    model = TinyClassifier(random_state=0, max_iter=20, refit=False)
    model.fit(noisy[::2], SPECIES[::2], X_val=noisy[1::2], y_val=SPECIES[1::2])
    assert model.calibration_ < 1.0
    loss = log_loss(SPECIES[1::2], model.predict_proba(noisy[1::2]))
    assert model.best_validation_score_ == pytest.approx(-loss, rel=1e-6)
    calibrated = [size for size, dtype in evaluated if dtype == np.float64]
    assert set(calibrated) == {most}  # of the training rows, too


def test_for_noise_hardly_more_than_the_order_of_predictions_is_kept():
    # The cost of a shrinkage makes it 0.01 instead of 0.14; it is never 0, which would make ties.
    X, y = np.random.default_rng(1).normal(size=(20, 3)), np.arange(20) % 2
    assert TinyClassifier(n_members=1, random_state=0).fit(X, y).calibration_ == 0.01
    assert 0.01 <= TinyClassifier(random_state=0).fit(X, y).calibration_ < 0.03


@pytest.mark.promise("calibration never changes the weights")
def test_calibration_does_not_change_the_weights():
    noisy = IRIS + 3 * RNG.normal(size=IRIS.shape)
    plain, calibrated = (
        TinyClassifier(random_state=0, calibrate=calibrate, dtype="float64", warm_start=True).fit(
            noisy, SPECIES
        )
        for calibrate in (False, True)
    )
    assert plain.calibration_ == 1.0 > calibrated.calibration_
    assert_array_equal(calibrated.network_.theta, plain.network_.theta)
    prior = np.log(np.full(3, 1 / 3)) - np.log(1 / 3)
    expected = prior + calibrated.calibration_ * (plain.decision_function(IRIS) - prior)
    assert_allclose(calibrated.decision_function(IRIS), expected, rtol=1e-12, atol=1e-12)
    for model in (plain, calibrated):  # training continues from the uncalibrated weights
        model.set_params(calibrate=False, max_iter=2).fit(noisy, SPECIES)
    assert_array_equal(calibrated.network_.theta, plain.network_.theta)
    assert calibrated.calibration_ == 1.0


def test_partial_fit_removes_the_calibration():
    model = TinyClassifier(random_state=0).fit(IRIS + 3 * RNG.normal(size=IRIS.shape), SPECIES)
    assert model.calibration_ < 1.0
    assert model.partial_fit(IRIS, SPECIES).calibration_ == 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("parameters", [{"calibrate": False}, {"solver": "lbfgs"}])
def test_fits_with_calibrate_false_and_with_lbfgs_are_not_calibrated(parameters):
    noise = RNG.normal(size=(60, 3))
    model = TinyClassifier(random_state=0, **parameters).fit(noise, RNG.integers(0, 2, 60))
    assert model.calibration_ == 1.0


def test_logits_that_are_not_finite_get_the_largest_shrinkage_factor():
    y, prior = np.array([0, 1]), np.zeros(2)
    for z in ([[np.inf, 0.0], [0.0, 1.0]], [[np.nan, 0.0], [0.0, 1.0]], [[-3e38, 3e38], [np.inf, 0.0]]):
        z = np.array(z, np.float32)
        assert best_shrinkage(z, y, None, SoftmaxCrossEntropy(), prior, least=0.0, most=0.5)[0] == 0.5


def test_a_network_whose_logits_overflow_after_the_last_step_can_be_calibrated():
    X, y = [[0.12573022], [-0.13210486], [0.64042265], [0.10490012]], [0, 0, 1, 1]
    model = TinyClassifier(
        activation=["tanh", "identity", "relu"],
        batch_size="auto",
        hidden_layer_sizes=(2, 2, 2),
        label_smoothing=0.3,
        learning_rate_init=100.0,
        max_iter=4,
        momentum=0.0,
        random_state=0,
        scale_inputs=False,
        solver="sgd",
    )
    with pytest.warns(CollapseWarning, match="dead"):
        model.fit(X, y)
    assert np.isfinite(model.network_.theta).all()
    with pytest.raises(ValueError, match="row . .*beyond the range"):
        model.predict_proba(X)


# --- a fit that continues an earlier one -------------------------------------------------------------------


def concept(seed, n_classes=2):
    """A function that draws rows and their noise-free classes."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(6, n_classes))

    def draw(n):
        X = rng.normal(size=(n, 6))
        return X, (X @ W).argmax(axis=1)

    return draw, rng


@pytest.mark.promise("calibration never changes the weights")
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("n_rows", [20, 200, 600])
@pytest.mark.parametrize("seed", range(3))
def test_a_warm_start_on_a_few_wrong_labels_keeps_a_good_model(seed, n_rows, n_classes):
    draw, rng = concept(seed, n_classes)
    X, y = draw(1500)
    X_test, y_test = draw(2000)
    model = TinyClassifier(20, warm_start=True, random_state=seed).fit(X, y)
    before = model.score(X_test, y_test)
    noise = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    model.set_params(max_iter=1).fit(draw(n_rows)[0], noise)
    assert model.score(X_test, y_test) > before - 0.1
    assert model.calibration_ < 1.0  # it is less confident


@pytest.mark.parametrize("seed", range(3))
def test_many_warm_starts_on_noisy_labels_learn(seed):
    draw, rng = concept(seed)
    X_test, y_test = draw(2000)
    model = TinyClassifier(20, warm_start=True, max_iter=1, random_state=seed)
    scores = []
    for _ in range(30):
        X, y = draw(300)
        model.fit(X, np.where(rng.random(300) < 0.65, y, 1 - y))
        scores.append(model.score(X_test, y_test))
    assert np.mean(scores[-5:]) > 0.65


@pytest.mark.parametrize("several_labels", [False, True])
@pytest.mark.parametrize("n_rows", [60, 700])
def test_calibration_after_a_warm_start_does_not_change_the_predicted_labels(n_rows, several_labels):
    draw, rng = concept(0, 3)
    X, y = draw(n_rows)
    noisy = rng.permutation(y)
    if several_labels:
        y, noisy = np.eye(3, dtype=int)[y], np.eye(3, dtype=int)[noisy]
    models = []
    for calibrate in (True, False):
        model = TinyClassifier(10, warm_start=True, calibrate=calibrate, random_state=0).fit(X, y)
        model.set_params(max_iter=3, early_stopping=False).fit(X, noisy)
        models.append(model)
    calibrated, plain = models
    assert_array_equal(calibrated.network_.theta, plain.network_.theta)
    assert 0.01 <= calibrated.calibration_ < 1.0
    assert_array_equal(calibrated.predict(X), plain.predict(X))
    z = plain.decision_function(X)
    assert_allclose(calibrated.decision_function(X), calibrated.calibration_ * z, rtol=1e-5)


def test_the_next_fit_replaces_the_calibration():
    draw, rng = concept(1)
    X, y = draw(400)
    model = TinyClassifier(10, warm_start=True, random_state=0).fit(X, rng.permutation(y))
    assert model.calibration_ < 0.5
    for _ in range(3):
        model.fit(X, y)
    assert model.calibration_ > 0.5
    assert model.plan_.continues
    again = model.set_params(warm_start=False).fit(X, y)
    assert not again.plan_.continues
