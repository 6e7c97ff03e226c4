"""Diagnostics: a bad fit raises one warning with the numbers and the fix; a good fit raises none."""

import re
import warnings
from functools import partial

import numpy as np
import pytest
import scipy.sparse
import scipy.special
import scipy.stats
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_circles,
    make_classification,
    make_moons,
)
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from tests.support.doubles import Interrupts
from tests.support.estimators import number_columns
from tests.support.loops import computing_with
from tests.support.parts import PLAIN
from tinyclf import (
    SGD,
    CollapseWarning,
    Dense,
    DivergenceWarning,
    FeatureScaleWarning,
    Network,
    TinyClassifier,
    TrainingWarning,
    cross_entropy,
)
from tinyclf.estimator.calibration import Calibration
from tinyclf.estimator.dataset import Dataset
from tinyclf.estimator.diagnostics import TrainingRows, has_settled, nothing_learned
from tinyclf.estimator.plan import FitPlan
from tinyclf.estimator.state import FitState
from tinyclf.estimator.targets import Labels, LabelSets, Probabilities

DIGITS, LABELS = load_digits(return_X_y=True)
IRIS, SPECIES = load_iris(return_X_y=True)
WINE, CULTIVAR = load_wine(return_X_y=True)
plain = partial(TinyClassifier, **PLAIN)
ignores_convergence = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def warned(model, X, y, *arguments):
    """The training warnings of a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, *arguments)
    assert all(one.filename == __file__ for one in caught)
    return [one.message for one in caught if isinstance(one.message, TrainingWarning)]


def examined(data, n, network=None):
    """The first n rows of a data set, prepared for the diagnostics of a linear model."""
    kind = {"soft_targets": True} if type(data.labels) is Probabilities else {}
    plan = FitPlan.resolve(TinyClassifier((), scale_inputs=False, dtype="float64", **kind), data)
    state = FitState.start(plan, data, np.zeros(4, np.uint32))
    if network is not None:
        state.network.theta = network.theta
    state.history.loss = np.inf
    return TrainingRows(plan, data.take(np.arange(n)), state)


def only(found, kind):
    assert [type(one) for one in found] == [kind], found
    return str(found[0])


# --- warnings ----------------------------------------------------------------------------------------------


def test_sgd_with_a_learning_rate_of_one_is_warned_of():
    model = plain(solver="sgd", learning_rate_init=1.0, random_state=0)
    found = warned(model, DIGITS, LABELS)
    assert model.score(DIGITS, LABELS) < 0.2
    assert isinstance(found[0], (DivergenceWarning, CollapseWarning))
    assert "lower learning_rate_init" in str(found[0])
    assert len(found) == 1


def test_a_loss_above_that_of_the_prior_raises_a_divergence_warning_with_numbers():
    X, y = DIGITS[:900] / 16, LABELS[:900]
    # Stopped for lack of improvement; and at the end of the budget, where only a loss that grows until then
    # is judged the same with other rounding.
    for patience, rate in ((10, "constant"), (np.inf, lambda progress: 0.1 + 10 * progress)):
        model = plain(activation="tanh", solver="sgd", learning_rate_init=10.0, early_stopping=False)
        model.set_params(random_state=0, max_iter=30, n_iter_no_change=patience, learning_rate=rate)
        message = only(warned(model, X, y), DivergenceWarning)
    prior = scipy.stats.entropy(np.bincount(y))
    loss = -model.predict_log_proba(X)[np.arange(900), y].mean(dtype="float64")
    assert loss > 10 * prior
    assert re.search(rf"900 .* {re.escape(f'{loss:.4g}')},.*class frequencies.* {prior:.4g}\b", message)


@pytest.mark.parametrize("seed", range(3))
def test_members_that_have_diverged_raise_a_divergence_warning_with_the_mean_of_their_losses(seed):
    """The loss of the mean of their probabilities may be below that of the prior."""
    X, y = DIGITS[:900] / 16, LABELS[:900]
    model = plain(n_members=8, learning_rate_init=100.0, max_iter=30, n_iter_no_change=5, random_state=seed)
    model.set_params(early_stopping=False)
    message = only(warned(model, X, y), DivergenceWarning)
    z = model.network_.logits(X).reshape(-1, 10)
    loss = cross_entropy(z.astype(float), np.repeat(y, 8)).mean()
    assert loss > 10 * scipy.stats.entropy(np.bincount(y))
    number = float(re.search(r"the mean log-loss of the members is ([\d.e+]+), where", message)[1])
    assert number == pytest.approx(loss, rel=1e-3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(6))
def test_a_loss_above_that_of_the_prior_is_warned_of_even_if_it_still_decreases(seed):
    X, y = DIGITS[:900] / 16, LABELS[:900]
    model = plain(activation="tanh", solver="sgd", learning_rate_init=10.0, early_stopping=False, max_iter=30)
    model.set_params(random_state=seed, n_iter_no_change=np.inf)
    only(warned(model, X, y), DivergenceWarning)
    assert model.score(X, y) < 0.5


def test_one_prediction_for_all_rows_is_no_collapse_before_training_has_settled():
    few = examined(Dataset(IRIS, number_columns(IRIS), Labels.of(SPECIES), SPECIES, None, None, IRIS), 120)
    few.state.network.theta[:] = 0.0
    assert list(map(type, nothing_learned(few, settled=True))) == [CollapseWarning]
    assert nothing_learned(few, settled=False) == []


def test_the_warning_names_a_layer_of_dead_relus():
    X = np.abs(np.random.default_rng(0).normal(size=(200, 3))) + 1.0
    y = (X[:, 0] > 1.7).astype(int)
    model = plain((6, 4), solver="sgd", learning_rate_init=1e-12, max_iter=1, warm_start=True)
    with pytest.warns(ConvergenceWarning, match=r"\(1\) reached"):
        model.fit(X, y)
    model.intercepts_[1] = np.full(4, -1e6)
    message = only(warned(model, X, y), CollapseWarning)
    assert re.search(r"hidden layer 2 is dead.* 4 units .*200 rows.* 0 \(dead ReLUs\)", message)
    model.intercepts_[0] = np.full(6, -1e6)
    assert "hidden layer 1 is dead" in only(warned(model, X, y), CollapseWarning)


def test_the_warning_names_a_saturated_layer():
    model = plain(5, "tanh", solver="sgd", learning_rate_init=1e-12, max_iter=1, warm_start=True)
    with pytest.warns(ConvergenceWarning, match=r"\(1\) reached"):
        model.fit(IRIS, SPECIES)
    model.intercepts_[0] = np.full(5, 1e6)
    assert "saturated" in only(warned(model, IRIS, SPECIES), CollapseWarning)


def test_one_prediction_for_all_rows_is_warned_of():
    # The penalty is too large for the network to learn anything but the majority class.
    X = np.random.default_rng(0).normal(size=(300, 2))
    y = np.where(X[:, 1] > 0.2, "yes", "no")
    model = plain(5, "tanh", alpha=1e4, learning_rate_init=0.05, tol=1e-3, random_state=0)
    message = only(warned(model, X, y), CollapseWarning)
    assert set(model.predict(X)) == {"no"}
    assert re.search("300 .* 'no'.*Scale the features", message)


@pytest.mark.parametrize("make", [make_circles, make_moons])
def test_a_collapse_is_warned_of_if_the_classes_differ_only_nonlinearly(make):
    X, y = make(400, noise=0.05, random_state=0)
    model = plain(5, "tanh", alpha=1e5, learning_rate_init=0.05, tol=1e-3, random_state=0)
    assert "nothing was learned from X" in only(warned(model, X, y), CollapseWarning)


def test_a_collapse_is_warned_of_with_alternating_labels():
    y = np.arange(300) % 2
    X = np.random.default_rng(0).normal(size=(300, 2)) + y[:, None]
    model = plain(5, "tanh", alpha=3e3, learning_rate_init=0.01, random_state=0)
    assert "nothing was learned from X" in only(warned(model, X, y), CollapseWarning)


def test_a_warning_about_the_batch_size_does_not_suppress_the_diagnostics():
    settings = {"activation": "tanh", "solver": "sgd", "learning_rate_init": 10.0, "n_iter_no_change": 3}
    X, y = DIGITS[:400] / 16, LABELS[:400]
    model = plain(**settings, batch_size=1000, random_state=0)
    only(warned(model, X, y), DivergenceWarning)


def test_the_diagnostics_examine_all_classes_of_sorted_rows():
    X, y = np.random.default_rng(0).normal(size=(4000, 2)), np.arange(4000) // 1000
    model = plain(5, "tanh", alpha=3e4, learning_rate_init=0.01, early_stopping=False, random_state=0)
    X[:, 0] += 2 * y
    message = only(warned(model, X, y), CollapseWarning)
    assert f"class frequencies alone give {np.log(4):.4g}" in message


def test_interrupted_diagnostics_keep_the_fitted_model(monkeypatch):
    def interrupts(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinyclf.estimator.classifier.diagnose", interrupts)
    model = TinyClassifier(5, max_iter=40, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(IRIS, SPECIES)
    assert model.score(IRIS, SPECIES) > 0.6


def seeds(n):
    """Parametrize a test with n seeds, of which all but the first are left to the marked tests."""
    return pytest.mark.parametrize(
        "seed", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, n))]
    )


@seeds(20)
def test_one_prediction_for_all_rows_of_pure_noise_is_not_warned_of(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(200, 1)), rng.uniform(size=200) < 0.64
    assert warned(TinyClassifier(random_state=seed), X, y) == []


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_matrix])
@ignores_convergence
def test_the_warning_names_features_of_very_different_scales(make):
    model = plain(8, max_iter=3, random_state=0)
    message = only(warned(model, make(WINE), CULTIVAR), FeatureScaleWarning)
    assert re.search(r"column 12 .*1680.*column 7 .*0\.66.*scale_inputs=True", message)


@ignores_convergence
def test_the_scale_of_a_feature_is_its_largest_value_in_all_rows():
    X = np.random.default_rng(0).normal(size=(5000, 2))
    X[:, 1] *= 1e-5
    model = plain(4, max_iter=2, early_stopping=False, random_state=0)
    assert only(warned(model, X, X[:, 0] > 0), FeatureScaleWarning)
    X[4321, 1] = -1.0
    assert warned(model, X, X[:, 0] > 0) == []


@pytest.mark.parametrize("constant", [0.1, 1 / 3, 123.456, 100000.1])
def test_rounding_errors_of_a_scaled_constant_column_are_not_warned_of(constant):
    X = np.random.default_rng(0).normal(size=(500, 4))
    y = X[:, 0] > 0
    X[:, 3] = constant
    scaled = StandardScaler().fit_transform(X)
    assert 0 < np.abs(scaled[:, 3]).max() < 1e-6
    assert warned(plain(8, max_iter=20, random_state=0), scaled, y) == []
    flat = PCA().fit_transform(scaled @ np.diag([1, 1, 0, 0]) @ np.ones((4, 6)) + X[:, :1])
    assert warned(plain(8, max_iter=20, random_state=0), flat, y) == []


@ignores_convergence
def test_a_large_constant_column_is_warned_of():
    X = np.random.default_rng(0).normal(size=(200, 2))
    X[:, 1] = 1e5
    model = plain(4, max_iter=2, random_state=0)
    assert "column 1 reaches 1e+05" in only(warned(model, X, X[:, 0] > 0), FeatureScaleWarning)
    X[:, 1] = 1e-5  # a small constant does not matter
    assert warned(model, X, X[:, 0] > 0) == []


def test_the_warning_proposes_only_parameters_that_the_solver_has():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    message = only(
        warned(TinyClassifier(4, "tanh", solver="lbfgs", alpha=1e4, random_state=0), X, X[:, 0] > 0.3),
        CollapseWarning,
    )
    assert "learning_rate" not in message
    assert "lower alpha" in message


@ignores_convergence
def test_rows_of_weight_zero_do_not_count_for_the_scale_of_a_feature():
    X = np.random.default_rng(0).normal(size=(200, 2)) * [1e5, 1.0]
    y, w = X[:, 1] > 0, np.ones(200)
    X[0, 1], w[0] = 1e5, 0.0
    assert warned(plain(4, max_iter=2, random_state=0), X, y) == []
    assert only(warned(plain(4, max_iter=2, random_state=0), X, y, w), FeatureScaleWarning)


def test_warnings_turned_into_errors_keep_the_fitted_model():
    model = plain(8, max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", FeatureScaleWarning)
        with pytest.raises(FeatureScaleWarning):
            model.fit(WINE, CULTIVAR)
    assert model.predict(WINE).shape == (178,)


# --- no warnings -------------------------------------------------------------------------------------------

both = pytest.mark.parametrize("make", [TinyClassifier, plain], ids=["default", "plain"])


@pytest.mark.parametrize("load", [load_digits, load_iris, load_wine, load_breast_cancer, make_moons])
@pytest.mark.parametrize(
    "parameters", [{}, {"max_iter": 1}, {"solver": "lbfgs"}, {"activation": "tanh"}], ids=repr
)
@both
def test_good_fits_raise_no_warning(make, load, parameters):
    X, y = make_moons(random_state=0) if load is make_moons else load(return_X_y=True)
    if load is load_digits and make is plain:
        X, y = X[:600], y[:600]  # 200 epochs of all rows take a second
    X = StandardScaler().fit_transform(X)
    assert warned(make(random_state=0, **parameters), X, y) == []


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (IRIS, np.zeros(150)),  # one class
        (np.ones((60, 2)), np.arange(60) % 2),  # rows that do not differ
        (
            np.random.default_rng(0).normal(size=(400, 2)),
            (np.arange(400) == 7).astype(int),
        ),  # a single row of a class
        (np.zeros((60, 2)), np.arange(60) % 2),
        (IRIS[:1], [1]),
    ],
    ids=["one class", "equal rows", "imbalanced", "zeros", "one row"],
)
@both
def test_data_from_which_nothing_can_be_learned_raise_no_warning(make, X, y):
    assert warned(make(random_state=0), X, y) == []


@both
def test_equal_soft_targets_raise_no_warning(make):
    soft = np.tile([0.2, 0.3, 0.5], (150, 1))
    assert warned(make(random_state=0, soft_targets=True), IRIS, soft) == []


@seeds(6)
@both
def test_weights_selected_by_another_score_than_the_loss_raise_no_warning(make, seed):
    X, y = make_classification(1000, 10, weights=[0.95], class_sep=0.5, flip_y=0.02, random_state=seed)
    X = StandardScaler().fit_transform(X)
    assert warned(make(early_stopping=True, random_state=0), X, y) == []
    assert warned(make(scoring="roc_auc", random_state=0), X, y) == []


@both
def test_the_loss_due_to_label_smoothing_raises_no_warning(make):
    X, y = make_classification(600, 5, weights=[0.98], flip_y=0, random_state=0)
    X = StandardScaler().fit_transform(X)
    assert warned(make(label_smoothing=0.4, random_state=0, early_stopping=False), X, y) == []


def test_a_collapse_is_warned_of_if_all_features_are_tiny():
    X = np.random.default_rng(0).normal(size=(300, 2)).astype("float32") * np.float32(1e-30)
    model = plain((), learning_rate_init=0.1, random_state=0)
    assert "nothing was learned from X" in only(warned(model, X, X[:, 0] > 0), CollapseWarning)


def test_training_counts_as_settled_by_its_own_epochs_and_from_the_tenth_on():
    falling, flat = list(np.linspace(9, 1, 40)), [1.0] * 40
    assert not has_settled(falling, 40, converged=False)
    assert has_settled(falling, 40, converged=True)
    assert has_settled(flat, 40, converged=False)
    assert has_settled([*falling, *flat[:10]], 10, converged=False)
    assert not has_settled([*flat, *falling[:10]], 10, converged=False)
    assert not has_settled(flat[:9], 9, converged=False)


def test_the_diagnostics_use_the_sample_weights():
    # Predictions are wrong on rows of little weight, and right on the others.
    X = np.concatenate([np.full((50, 1), -2.0), np.full((50, 1), 2.0)]) + np.linspace(-1, 1, 100)[:, None]
    y = (X[:, 0] > 0).astype(int)
    X, y = np.tile(X, (2, 1)), np.concatenate([y, 1 - y])
    w = np.repeat([1.0, 1e-6], 100)
    model = TinyClassifier(10, learning_rate_init=0.05, alpha=0.0, random_state=0, early_stopping=False)
    assert warned(model, X, y, w) == []
    assert model.score(X[:100], y[:100]) == 1.0


@pytest.mark.parametrize(
    ("frequency", "low", "high", "expected"),
    [
        (0.2, 0.2, 0.2, [CollapseWarning]),  # the network predicts the prior for all rows
        (0.2, 0.19, 0.21, []),  # one class for all rows, but a loss of 0.96 times the prior's
        (0.2, 0.9, 0.9, [DivergenceWarning]),
        (0.005, 0.005, 0.005, []),  # predicting class 0 is right 199 times of 200
        (0.0115, 0.05, 0.05, []),  # 1.36 times the prior's loss, but only 0.02 above it
        (0.2, 0.5001, 0.5001, [DivergenceWarning]),  # 1.39 times, and 0.19 above
    ],
)
def test_the_warning_depends_on_the_loss_and_the_predictions(frequency, low, high, expected):
    # One feature that equals the class; low and high are the predicted probabilities for its two values.
    y = (np.arange(2000) < 2000 * frequency).astype(int)
    X = y[:, None].astype(float)
    labels = Labels.of(y)
    network = Network([Dense(1)], 1, dtype="float64")
    logit = scipy.special.logit
    network.parameters[0].W, network.parameters[0].b = [[logit(high) - logit(low)]], [logit(low)]
    few = examined(Dataset(X, number_columns(X), labels, y, None, None, X), 2000, network)
    assert list(map(type, nothing_learned(few, settled=True))) == expected
    few.state.calibration = Calibration(0.0, np.array([logit(frequency)]))  # predicts the frequencies
    assert list(map(type, nothing_learned(few, settled=True))) == [CollapseWarning] * (frequency == 0.2)


def test_the_loss_in_the_warning_is_weighted():
    rng = np.random.default_rng(0)
    y, w = np.arange(400) % 2, rng.uniform(0, 3, 400)
    X = rng.normal(size=(400, 1)) + y[:, None]
    labels = Labels.of(y)
    network = Network([Dense(1)], 1, dtype="float64")
    network.parameters[0].W, network.parameters[0].b = [[-9.0]], [2.0]
    (found,) = nothing_learned(
        examined(Dataset(X, number_columns(X), labels, y, w, None, X), 400, network), settled=True
    )
    loss = np.average(np.logaddexp(0, np.where(y, -1, 1) * network.logits(X)[:, 0]), weights=w)
    assert f"log-loss is {loss:.4g}," in str(found)


def test_an_interrupted_fit_is_not_diagnosed():
    model = plain(8, solver=SGD(1e-12), loss=Interrupts(at=20), batch_size=100, random_state=0)
    with pytest.warns(UserWarning, match="interrupted by user") as caught:
        model.fit(DIGITS[:500], LABELS[:500])
    assert len(caught) == 1


@ignores_convergence
def test_a_fit_that_has_not_settled_is_not_diagnosed():
    X = StandardScaler().fit_transform(DIGITS)
    model = plain(solver="sgd", learning_rate_init=1e-12, max_iter=2, random_state=0)
    assert warned(model, X, LABELS) == []
    assert warned(model.set_params(learning_rate_init=3.0, max_iter=1), X, LABELS) == []


@pytest.mark.parametrize("n", [150, 5, 1])
@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_a_few_rows_are_spread_over_sorted_rows(kind, n):
    X = kind(IRIS)
    few = examined(Dataset(X, number_columns(IRIS), Labels.of(SPECIES), SPECIES, None, None, X), n)
    chosen = few.spread_rows()
    chosen = chosen.toarray() if hasattr(chosen, "toarray") else chosen
    numbers = [int(np.flatnonzero((IRIS[:n] == row).all(axis=1))[0]) for row in chosen]
    assert numbers == sorted(numbers)
    assert set(SPECIES[numbers]) == set(SPECIES[:n])
    np.testing.assert_array_equal(chosen[[0, -1]], IRIS[[0, n - 1]])


def test_a_few_rows_of_sparse_data_stay_sparse():
    rng = np.random.default_rng(0)
    X = scipy.sparse.csr_array(np.where(rng.random((150, 60)) < 0.02, 1.0, 0.0))
    few = examined(Dataset(X, number_columns(X), Labels.of(SPECIES), SPECIES, None, None, X), 150)
    chosen, rows = few.spread_rows(), np.linspace(0, 149, 16).astype(int)
    assert scipy.sparse.issparse(chosen)
    np.testing.assert_array_equal(chosen.toarray(), X[rows].toarray())


# --- the prior ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weight", [None, np.random.default_rng(0).uniform(0, 2, 150)], ids=["none", "weighted"]
)
def test_the_prior_is_the_log_loss_of_the_frequencies(weight):
    few = examined(
        Dataset(IRIS, number_columns(IRIS), Labels.of(SPECIES), SPECIES, weight, None, (IRIS, SPECIES)), 120
    )
    w = np.ones(120) if weight is None else weight[:120]
    frequencies = np.bincount(SPECIES[:120], w) / w.sum()
    expected = log_loss(SPECIES[:120], np.tile(frequencies, (120, 1)), sample_weight=w)
    assert few.prior == pytest.approx(expected, rel=1e-12)
    sets = np.stack([SPECIES > 0, IRIS[:, 0] > 6], axis=1).astype(float)
    few = examined(
        Dataset(IRIS, number_columns(IRIS), LabelSets.of(sets), sets, weight, None, (IRIS, sets)), 120
    )
    expected = 0.0
    for column in sets[:120].T:
        p = np.average(column, weights=w)
        expected += log_loss(column, np.full(120, p), sample_weight=w)
    assert few.prior == pytest.approx(expected, rel=1e-12)
    soft = np.eye(3)[SPECIES] * 0.7 + 0.1
    few = examined(
        Dataset(IRIS, number_columns(IRIS), Probabilities.of(soft), soft, weight, None, (IRIS, soft)), 120
    )
    mean = np.average(soft[:120], axis=0, weights=w)
    assert few.prior == pytest.approx(scipy.stats.entropy(mean), rel=1e-12)


# --- columns that outliers make indistinct -----------------------------------------------------------------


@pytest.mark.parametrize("value", [1e5, 1e6, 1e8, -1e30])
@pytest.mark.parametrize("fraction", [0.0003, 0.05, 0.15])
def test_outliers_that_the_scaling_tolerates_raise_no_warning(fraction, value):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 4))
    y = X @ [1.0, -1.0, 2.0, 0.5] > 0
    X[rng.random(X.shape) < fraction] = value
    X[0] = value
    models = [TinyClassifier(random_state=seed) for seed in range(3)]
    assert [warned(model, X, y) for model in models] == [[], [], []]
    # The score of a model varies by several points if only rounding differs, so the mean is judged.
    scores = [model.score(X, y) for model in models]
    assert np.mean(scores) > 0.8
    assert min(scores) > 0.75
    with computing_with("NumPy"):
        assert models[0].fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize("value", [1e6, -1e8, 1e30])
def test_the_warning_names_the_column_whose_values_become_indistinct(value):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 4))
    X[:, 2] = np.where(rng.random(2000) < 0.35, value * rng.uniform(1.0, 2.0, 2000), X[:, 2])
    model = TinyClassifier(max_iter=2, random_state=0)
    (warning,) = warned(model, X, X[:, 0] > 0)
    assert isinstance(warning, FeatureScaleWarning)
    found = re.fullmatch(
        r"column 2 has values from (\S+) to (\S+) that the network cannot distinguish, since the scale of "
        r"the column is (\S+)\. If it has outliers, .* replace them by NaN; otherwise .* logarithm of the "
        r"column\.",
        str(warning),
    )
    low, high, scale = map(float, found.groups())
    assert -3.0 < low < high < 3.0
    assert scale == pytest.approx(model.input_scale_[2], rel=1e-3)
    z = model.scaled_inputs(X)[:, 2]
    inside = (X[:, 2] >= low) & (X[:, 2] <= high)
    assert inside.sum() > 200
    assert np.ptp(z[inside]) < 1e-4


@pytest.mark.parametrize(("fraction", "warns"), [(0.45, False), (0.7, True)])
def test_one_value_for_missing_entries_is_warned_of_if_it_is_more_than_half_of_a_column(fraction, warns):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 4))
    X[rng.random(2000) < fraction, 2] = -1e9
    found = warned(TinyClassifier(max_iter=2, random_state=0), X, X[:, 0] > 0)
    assert [str(one).startswith("column 2 has values from") for one in found] == [True] * warns


def test_few_distinct_values_and_sparse_rows_are_not_indistinct():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 3, 900), np.where(rng.random(900) < 0.4, 1e9, 0.0)])
    for kind in (np.asarray, scipy.sparse.csr_array):
        assert warned(TinyClassifier(max_iter=2, random_state=0), kind(X), X[:, 0] > 0) == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale_inputs", [True, False])
def test_only_unscaled_features_are_advised_to_be_scaled(scale_inputs):
    model = plain(max_iter=1, scale_inputs=scale_inputs, random_state=0)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(IRIS, SPECIES)
    assert ("scale the features" in str(caught[0].message)) == (not scale_inputs)


@pytest.mark.parametrize(
    "y", [SPECIES, SPECIES > 0, np.eye(3, dtype=int)[SPECIES]], ids=["3", "2", "columns"]
)
@pytest.mark.parametrize("calibrate", [True, False])
def test_targets_that_smoothing_makes_equal_are_not_reported_as_a_collapse(y, calibrate):
    model = TinyClassifier(label_smoothing=1.0, calibrate=calibrate, random_state=0)
    assert warned(model, IRIS, y) == []
    np.testing.assert_allclose(model.predict_proba(IRIS), 1 / (2 if y.ndim == 2 else y.max() + 1), atol=0.05)
