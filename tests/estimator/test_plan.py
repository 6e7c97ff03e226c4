"""The plan of a fit: layers, loss, optimizer, and the values of all "auto" parameters for given data."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone

from tests.support.data import DIGITS, IRIS, NAMES, NUMBERS, SCALED, SPECIES, VALIDATION, X, Y
from tests.support.estimators import learned, number_columns, plain, quick
from tests.support.parts import PLAIN, Hinge, LayerNorm, PReLU, Swish
from tinyclf import (
    SGD,
    Adam,
    AdamW,
    Dense,
    Dropout,
    Identity,
    Layer,
    Logistic,
    Network,
    ReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
)
from tinyclf.estimator.dataset import ENOUGH_ROWS, Dataset
from tinyclf.estimator.plan import FitPlan
from tinyclf.estimator.targets import Labels

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETS = np.stack([SPECIES > 0, SCALED[:, 0] > 0], axis=1).astype(int)
MANY = np.resize(np.random.default_rng(0).normal(size=(997, 3)), (1797, 3))
LABELS = np.arange(1797) % 3


def plan_of(X, y, weight=None, **parameters):
    model = TinyClassifier(**parameters)
    return FitPlan.resolve(model, Dataset.read(model, X, y, weight, None, None, None))


# --- values of "auto" --------------------------------------------------------------------------------------


def test_the_plan_of_the_defaults_for_many_rows():
    plan = plan_of(MANY, LABELS)
    assert (plan.max_iter, plan.validation, plan.monitor, plan.early_stopping) == (40, "even", True, True)
    assert (plan.scoring, plan.calibrate, plan.refit, plan.ends_by_schedule) == ("loss", True, True, True)
    assert plan.n_train + plan.n_validation == 1797
    assert plan.n_validation == np.ceil(0.2 * 1797)
    assert (plan.batch_size, plan.refit_batch_size) == (plan.n_train // 16, 1797 // 16)


def test_the_plan_of_the_defaults_for_few_rows():
    plan = plan_of(IRIS, SPECIES)
    assert (plan.validation, plan.n_validation, plan.monitor) == ("even", 75, False)
    assert plan.early_stopping is False
    assert (plan.batch_size, plan.refit_batch_size) == (64, 64)
    assert plan_of(IRIS[:9], SPECIES[:9] % 2 + np.arange(9) % 2).validation == "none"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"solver": "lbfgs"}, {"max_iter": 200, "validation": "none", "n_iter_no_change": np.inf}),
        ({"solver": "lbfgs", "early_stopping": True}, {"validation": "none", "refit": False}),
        ({"solver": "lbfgs", "calibrate": True}, {"calibrate": False}),
        ({"max_iter": 7}, {"max_iter": 7}),
        ({"early_stopping": True}, {"validation": "stratified", "validation_fraction": 0.2}),
        ({"early_stopping": True}, {"scoring": "accuracy", "track_best_loss": False}),
        ({"early_stopping": "auto"}, {"scoring": "loss", "track_best_loss": True}),
        ({"early_stopping": True, "scoring": "f1_macro"}, {"scoring": "f1_macro"}),
        ({"early_stopping": False}, {"validation": "none", "refit": False, "calibrate": True}),
        ({"batch_size": "auto"}, {"batch_size": 200}),
        ({"batch_size": 7}, {"batch_size": 7, "refit_batch_size": 7, "batch_size_warning": None}),
        ({"dtype": None}, {"dtype": np.dtype("float64")}),
        ({"learning_rate": "invscaling"}, {"learning_rate_rule": "constant"}),
        ({"learning_rate": "adaptive", "solver": "lbfgs"}, {"learning_rate_rule": "constant"}),
        ({"learning_rate": "invscaling", "solver": "sgd"}, {"learning_rate_rule": "invscaling"}),
        ({"calibrate": False}, {"calibrate": False}),
    ],
)
def test_the_plan_has_the_resolved_parameters(parameters, expected):
    plan = plan_of(DIGITS, NUMBERS, **parameters)
    assert {name: getattr(plan, name) for name in expected} == expected


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("early_stopping", [True, "auto", False])
@pytest.mark.parametrize("n", [40, 499, 501, 997])
def test_the_numbers_of_rows_are_those_of_the_fit(n, early_stopping, make):
    model = quick(max_iter=1, early_stopping=early_stopping, validation_fraction=0.3)
    model.fit(make(MANY[:n]), LABELS[:n])
    assert model.t_ == model.plan_.n_train
    assert model.plan_.n_train + model.plan_.n_validation == n


def n_held_out(X, y, weight=None, **parameters):
    plan = plan_of(X, y, weight, **parameters)
    return plan.n_validation


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
            with pytest.raises(ValueError, match="validation_fraction=0.1"):
                quick(early_stopping=True, **parts).fit(X, y, weight)
        else:
            assert n_held_out(X, y, weight, early_stopping=True, **parts) > 0


def test_auto_holds_out_a_larger_fraction_of_few_rows():
    def fraction(n, **parameters):
        return plan_of(np.arange(float(n))[:, None], np.arange(n) % 2, **parameters).validation_fraction

    assert list(map(fraction, (10, 100, 200, 400, 500, 10**5))) == [0.5, 0.5, 0.5, 0.25, 0.2, 0.2]
    assert [fraction(n, validation_fraction=0.3) for n in (10, 1000)] == [0.3, 0.3]


def test_auto_always_leaves_rows_to_train_on():
    many, sets = np.tile(IRIS, (4, 1)), np.tile(SETS, (4, 1))
    for fraction, left in [(0.9999, 1), (0.5, 300), (0.001, 600)]:
        plan = plan_of(many, sets, validation_fraction=fraction)
        assert plan.n_train == left
        assert plan.monitor is (left < 600)


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array])
def test_a_toy_has_one_class_or_fewer_than_ten_distinct_rows(make):
    rows = np.tile(np.arange(10.0), 5)[:, None]
    two, one = np.arange(50) % 2, np.zeros(50, dtype=int)

    def of(X, y, weight=None):
        return Dataset(make(X), number_columns(X), Labels.of(y), Labels.of(y).encode(y), weight, None, None)

    assert not of(rows, two).is_toy()
    assert of(rows % 9, two).is_toy()
    assert of(rows, one).is_toy()
    assert of(rows, two, (np.arange(50) < 9).astype(float)).is_toy()
    assert of(rows, two, (two == 1).astype(float)).is_toy()


def test_a_given_set_is_the_validation_set():
    model = quick().fit(IRIS, SPECIES, X_val=IRIS[::5], y_val=SPECIES[::5])
    plan = model.plan_
    assert (plan.validation, plan.n_train, plan.n_validation, plan.refit) == ("given", 150, 30, False)
    plan = model.partial_fit(IRIS[:20], SPECIES[:20]).plan_
    assert (plan.validation, plan.n_train, plan.max_iter, plan.calibrate) == ("none", 20, 1, False)
    assert plan.n_iter_no_change == np.inf


def test_partial_fit_with_early_stopping_needs_a_given_set():
    model = plain(early_stopping=True, max_iter=2).fit(X, Y)
    n = len(model.validation_scores_)
    with pytest.raises(ValueError, match="early_stopping=True.*X_val and y_val"):
        model.partial_fit(X, Y)
    assert len(model.partial_fit(X, Y, **VALIDATION).validation_scores_) == n + 1
    assert model.best_loss_ is None


def test_a_batch_larger_than_the_rows_to_train_on_is_clipped_with_a_warning():
    with pytest.warns(UserWarning, match="batch_size=1000 .* 150 training rows"):
        clipped = plain(batch_size=1000, max_iter=2).fit(SCALED, NAMES)
    with pytest.warns(UserWarning, match="batch_size=1000 .* 100 training rows"):
        clone(clipped).partial_fit(SCALED[:100], NAMES[:100], classes=np.unique(NAMES))
    whole = plain(batch_size=150, max_iter=2).fit(SCALED, NAMES)
    np.testing.assert_array_equal(clipped.network_.theta, whole.network_.theta)
    assert "batch_size=140 is larger than the 135 training rows" in (
        plan_of(IRIS, NAMES, early_stopping=True, validation_fraction=0.1, batch_size=140).batch_size_warning
    )


def test_a_plan_is_frozen_and_readable():
    plan = plan_of(IRIS, SPECIES, max_iter=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.max_iter = 3
    lines = repr(plan).splitlines()
    assert len(lines) == len(dataclasses.fields(plan)) + 2
    assert any(line.split() == ["max_iter", "=", "1,"] for line in lines)
    assert any(line.split() == ["schedule", "=", "flat_cosine,"] for line in lines)
    assert any(line.split() == ["dtype", "=", "float32,"] for line in lines)


# --- layers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "kinds", "rates"),
    [
        ({"hidden_layer_sizes": 5}, [Dense, ReLU, Dense], []),
        ({"hidden_layer_sizes": ()}, [Dense], []),
        ({"hidden_layer_sizes": (), "activation": []}, [Dense], []),
        (
            {"hidden_layer_sizes": (5, 4), "activation": ["tanh", "logistic"]},
            [Dense, Tanh, Dense, Logistic, Dense],
            [],
        ),
        (
            {"hidden_layer_sizes": (5, 4), "activation": (PReLU, Swish())},
            [Dense, PReLU, Dense, Swish, Dense],
            [],
        ),
        ({"hidden_layer_sizes": 5, "activation": [[LayerNorm, "relu"]]}, [Dense, LayerNorm, ReLU, Dense], []),
        (
            {"hidden_layer_sizes": (5, 4), "dropout": 0.1},
            [Dense, ReLU, Dropout, Dense, ReLU, Dropout, Dense],
            [0.1, 0.1],
        ),
        (
            {"hidden_layer_sizes": (5, 4), "dropout": (0, 0.3)},
            [Dense, ReLU, Dense, ReLU, Dropout, Dense],
            [0.3],
        ),
        ({"hidden_layer_sizes": 5, "activation": ["identity"]}, [Dense, Identity, Dense], []),
    ],
    ids=str,
)
def test_the_network_has_the_requested_layers(parameters, kinds, rates):
    layers = clone(quick(**parameters)).fit(SCALED, NAMES).network_.layers
    assert list(map(type, layers)) == kinds
    assert [layer.rate for layer in layers if isinstance(layer, Dropout)] == rates
    widths = [layer.units for layer in layers if isinstance(layer, Dense)]
    assert widths == [*np.atleast_1d(parameters["hidden_layer_sizes"]), 3]


@pytest.mark.parametrize(
    ("hidden", "activation", "factors"),
    [
        ((200, 150), "relu", (6.0, 6.0, 6.0)),
        ((200, 150), "tanh", (6.0, 6.0, 6.0)),
        ((200, 150), "logistic", (2.0, 2.0, 2.0)),
        ((300, 200), ["logistic", "tanh"], (2.0, 6.0, 6.0)),  # the last layer is like the one below it
        ((300, 200), ["tanh", "logistic"], (6.0, 2.0, 2.0)),
        ((), "logistic", (2.0,)),
        ((), "relu", (6.0,)),
    ],
)
def test_initial_weights_are_within_scikit_learns_bounds(hidden, activation, factors):
    plan = plan_of(DIGITS, NUMBERS, hidden_layer_sizes=hidden, activation=activation, n_members=1)
    network = Network(plan.layers, DIGITS.shape[1], seed=0)
    dense = [p for p in network.parameters if "W" in vars(p)]
    for p, factor in zip(dense, factors, strict=True):
        bound = np.sqrt(factor / sum(p.W.shape))
        assert 0.95 * bound < np.abs(p.W).max() <= bound
        assert 0.5 * bound < np.abs(p.b).max() <= bound


class Slope(Layer):
    """A layer whose repr does not show its slope."""

    def __init__(self, slope):
        self.slope = slope

    def forward(self, p, t):
        t.y = self.slope * t.x

    def backward(self, p, g, t):
        t.dx = self.slope * t.dy


@pytest.mark.parametrize("make", [Slope, lambda slope: [Slope(slope), "relu"]])
def test_a_warm_start_detects_layers_that_differ_but_have_the_same_repr(make):
    model = quick(activation=[make(0.1)], warm_start=True).fit(IRIS, NAMES)
    model.set_params(activation=[make(0.1)]).fit(IRIS, NAMES)
    with pytest.raises(ValueError, match="layers cannot change"):
        model.set_params(activation=[make(0.9)]).fit(IRIS, NAMES)


# --- loss and optimizer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "parameters", "loss"),
    [
        (NAMES, {}, SoftmaxCrossEntropy()),
        (SPECIES == 1, {}, SigmoidCrossEntropy()),
        (SETS, {}, SigmoidCrossEntropy()),
        (0 * SPECIES, {}, SoftmaxCrossEntropy()),
        (NAMES, {"label_smoothing": 0.2}, SoftmaxCrossEntropy(0.2)),
        (SPECIES == 1, {"label_smoothing": 0.2}, SigmoidCrossEntropy(0.2)),
        (SETS, {"label_smoothing": 0.2}, SigmoidCrossEntropy(0.2)),
        (SPECIES == 1, {"loss": "softmax_cross_entropy", "label_smoothing": 0.3}, SoftmaxCrossEntropy(0.3)),
        (SPECIES == 1, {"loss": "sigmoid_cross_entropy", "label_smoothing": 0.3}, SigmoidCrossEntropy(0.3)),
        (SPECIES == 1, {"loss": SoftmaxCrossEntropy(0.1)}, SoftmaxCrossEntropy(0.1)),
        (0 * SPECIES, {"loss": SigmoidCrossEntropy()}, SoftmaxCrossEntropy()),
    ],
)
def test_the_loss_depends_on_its_name_the_labels_and_label_smoothing(y, parameters, loss):
    assert plan_of(SCALED, y, **parameters).loss == loss


@pytest.mark.parametrize(
    ("parameters", "optimizer"),
    [
        ({}, Adam(0.02, beta_2=0.95)),
        ({"learning_rate_init": 0.1, "beta_1": 0.5, "beta_2": 0.6, "epsilon": 0.3}, Adam(0.1, 0.5, 0.6, 0.3)),
        ({"weight_decay": 0.2}, Adam(0.02, beta_2=0.95, weight_decay=0.2)),
        ({"solver": "sgd"}, SGD(0.02, 0.9, nesterov=True)),
        ({"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False}, SGD(0.02, 0.5)),
        ({"solver": "sgd", "weight_decay": 0.2}, SGD(0.02, 0.9, True, 0.2)),
        ({"solver": AdamW(0.02), "learning_rate_init": 0.5, "momentum": 0.1}, AdamW(0.02)),
    ],
)
def test_the_optimizer_has_the_parameters_of_the_solver(parameters, optimizer):
    assert plan_of(SCALED, NAMES, **parameters).optimizer == optimizer


def test_losses_other_than_cross_entropy_are_not_calibrated():
    model = learned(loss=Hinge()).fit(DIGITS, NUMBERS > 4)
    assert model.calibration_ == 1.0
    assert model.score(DIGITS, NUMBERS > 4) > 0.9


@pytest.mark.promise("each call works or raises an error that names the cause")
@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"activation": "mish"}, r"'activation'.*'logistic'.*Got 'mish'"),
        ({"activation": Dense}, "activation=Dense.*'units'"),
        ({"activation": int}, "'activation'.*Got <class 'int'>"),
        ({"activation": ["relu", "tanh"]}, r"activation .* here 1, got 2: \['relu', 'tanh'\]"),
        ({"activation": ["softplus"]}, "'activation'.*Got 'softplus'"),
        ({"activation": [["relu", 3]]}, "'activation'.*Got 3"),
        ({"solver": "lion"}, r"'solver'.*'adam'.*Got 'lion'"),
        ({"loss": "hinge"}, r"'loss'.*'log_loss'.*Got 'hinge'"),
        ({"loss": "sigmoid_cross_entropy"}, "got 3 classes.*SoftmaxCrossEntropy"),
        ({"batch_size": 0}, "'batch_size'.*Got 0"),
        ({"alpha": -1.0}, "'alpha'.*Got -1.0"),
        ({"max_iter": 0}, "'max_iter'.*Got 0"),
        ({"learning_rate_init": 0.0}, "'learning_rate_init'.*Got 0.0"),
        ({"learning_rate": "warm"}, "'learning_rate'.*Got 'warm'"),
        ({"learning_rate": lambda progress: -1.0}, "schedule.*-1.0"),
        ({"beta_1": 1.0}, "'beta_1'.*Got 1.0"),
        ({"epsilon": 0.0}, "'epsilon'.*Got 0.0"),
        ({"momentum": 1.1}, "'momentum'.*Got 1.1"),
        ({"n_iter_no_change": 0}, "'n_iter_no_change'.*Got 0"),
        ({"tol": -1e-4}, "'tol'.*Got -0.0001"),
        ({"max_grad_norm": 0.0}, "'max_grad_norm'.*Got 0.0"),
        ({"early_stopping": "always"}, "'early_stopping'.*Got 'always'"),
        ({"validation_fraction": 1.0}, "'validation_fraction'.*Got 1.0"),
        ({"soft_targets": "yes"}, "'soft_targets'.*Got 'yes'"),
        ({"class_weight": "heavy"}, "'class_weight'.*Got 'heavy'"),
        ({"hidden_layer_sizes": 0}, "'hidden_layer_sizes'.*Got 0"),
        ({"hidden_layer_sizes": (10, 0)}, r"hidden_layer_sizes .* got \(10, 0\)"),
        ({"hidden_layer_sizes": (1.5,)}, r"hidden_layer_sizes .* got \(1.5,\)"),
        ({"hidden_layer_sizes": ((1, 2), (3, 4))}, r"hidden_layer_sizes .* got \(\(1, 2\), \(3, 4\)\)"),
        ({"hidden_layer_sizes": (True,)}, r"hidden_layer_sizes .* got \(True,\)"),
        ({"hidden_layer_sizes": ((1, 2), 3)}, r"hidden_layer_sizes .* got \(\(1, 2\), 3\)"),
        ({"dtype": "float16"}, "float16.*65504.*float32"),
        ({"dtype": "int32"}, "dtype .* got 'int32'"),
        ({"dtype": "double precision"}, "dtype .* got 'double precision'"),
        ({"dropout": 1.0}, "'dropout'.*Got 1.0"),
        ({"dropout": np.nan}, "'dropout'.*Got nan"),
        ({"dropout": [0.1, 0.2]}, r"dropout .* here 1, got \[0.1, 0.2\]"),
        ({"dropout": [1.5]}, r"dropout .* got \[1.5\]"),
        ({"dropout": ["much"]}, r"dropout .* got \['much'\]"),
        ({"label_smoothing": 1.5}, "'label_smoothing'.*Got 1.5"),
        ({"label_smoothing": 0.1, "loss": SoftmaxCrossEntropy()}, "label_smoothing=0.1 .* loss=Softmax"),
        ({"weight_decay": -1.0}, "'weight_decay'.*Got -1.0"),
        ({"weight_decay": 1e4}, r"weight_decay .* 0.02 \* 10000.0"),
        ({"weight_decay": 0.1, "solver": SGD(0.1)}, "weight_decay=0.1 .* solver=SGD"),
    ],
)
def test_the_error_names_an_invalid_parameter_and_its_value(parameters, match):
    with pytest.raises(ValueError, match=match):
        learned(**parameters).fit(SCALED, NAMES)
