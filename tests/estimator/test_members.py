"""Members of the estimator: each step of a fit and each answer is that of an ensemble of networks."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score

from tests.support import tables
from tests.support.bits import shown
from tests.support.data import DIGITS, IRIS, NUMBERS, SCALED, SPECIES, TWO
from tests.support.estimators import learned, quick
from tests.support.parts import PLAIN, Brier, Hinge, LayerNorm, PReLU
from tinyclf import (
    SGD,
    Dense,
    MemberDense,
    MemberLoss,
    SharedDense,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
    softmax,
)
from tinyclf.nn.members import by_member

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
]

K = 3
SETS = np.stack([SPECIES > 0, SCALED[:, 0] > 0, SPECIES == 1], axis=1).astype(int)
SOFT = np.eye(3)[SPECIES] * 0.8 + 0.2 / 3
GAPS = np.where(np.arange(600).reshape(150, 4) % 7 == 3, np.nan, IRIS)
STEADY = {**PLAIN, "solver": "sgd", "dtype": "float64", "n_members": K, "scale_inputs": True}
"""Plain training in float64, to which the steps of a test are compared."""


def sgd(**parameters):
    """An estimator in float64 whose steps are negligible."""
    return quick(**{**STEADY, "learning_rate_init": 1e-300, "learning_rate": "cosine", **parameters})


def outputs_of_members(model, X):
    """The logits of the members, (k, n, c), in float64, without calibration."""
    return by_member(model.network_.logits(model.scaled_inputs(X)).astype(float), model.plan_.n_members)


# --- the plan and the network ------------------------------------------------------------------------------


def test_the_network_has_the_layers_of_the_parameters_with_members():
    model = quick(hidden_layer_sizes=(6, 5), n_members=np.int8(4), activation="tanh").fit(IRIS, SPECIES)
    assert list(map(repr, model.network_.layers)) == [
        "SharedDense(units=6, n_members=4)",
        "Tanh()",
        "MemberDense(units=5, n_members=4)",
        "Tanh()",
        "MemberDense(units=3, n_members=4)",
    ]
    plan = model.plan_
    assert (plan.n_members, plan.n_outputs, plan.hidden_ends) == (4, 3, [2, 4])
    assert type(plan.n_members) is int
    assert type(plan.loss) is SoftmaxCrossEntropy
    assert plan.training_loss == MemberLoss(SoftmaxCrossEntropy(), 4)
    assert model.network_.widths == [4, 24, 24, 20, 20, 12]
    assert (model.n_layers_, model.n_outputs_, model.out_activation_) == (4, 3, "softmax")


def test_without_hidden_layers_there_is_one_member():
    parameters = {"hidden_layer_sizes": (), "solver": "lbfgs"}
    one, several = (quick(**parameters, n_members=n).fit(IRIS, SPECIES) for n in (1, 4))
    assert several.plan_.n_members == 1
    assert shown(several.network_.theta) == shown(one.network_.theta)
    assert several.member_probabilities(IRIS).shape == (150, 1, 3)


def test_one_member_is_the_network_of_dense_layers():
    model = quick(n_members=1).fit(IRIS, SPECIES)
    assert {type(layer) for layer in model.network_.layers if isinstance(layer, Dense)} == {Dense}
    assert model.plan_.training_loss is model.plan_.loss
    np.testing.assert_array_equal(model.member_probabilities(IRIS)[:, 0], model.predict_proba(IRIS))


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        *(
            (value, ValueError, "'n_members' parameter .* must be a str among {'auto'} or an int")
            for value in (0, -1, 2.5, "some", None)
        ),
        (True, TypeError, "n_members must be a whole number, got True"),
    ],
)
def test_an_invalid_number_of_members_is_refused(value, error, match):
    for parameters in ({}, {"hidden_layer_sizes": ()}):
        model = quick(n_members=value, **parameters)
        with pytest.raises(error, match=match):
            model.fit(IRIS, SPECIES)
        with pytest.raises(error, match=match):
            model.partial_fit(IRIS, SPECIES, classes=[0, 1, 2])
        assert not hasattr(model, "network_")


@pytest.mark.parametrize("value", [10**9, 10**18, 10**30])
def test_more_members_than_memory_holds_are_refused_at_once(value):
    match = (
        rf"not enough memory for the parameters of SharedDense\(units=5, n_members={value}\) with 4 inputs"
        ".* use fewer units or members"
    )
    with pytest.raises(ValueError, match=match):
        quick(n_members=value).fit(IRIS, SPECIES)


def test_dense_layers_of_an_activation_have_members_too():
    activation = [[Tanh(), Dense(4), PReLU(), MemberDense(6, n_members=2)], "relu"]
    model = learned(hidden_layer_sizes=(8, 5), activation=activation, n_members=2).fit(IRIS, SPECIES)
    kinds = [layer for layer in model.network_.layers if isinstance(layer, Dense)]
    assert [type(layer) for layer in kinds] == [SharedDense] + [MemberDense] * 4
    assert [layer.units for layer in kinds] == [8, 4, 6, 5, 3]
    assert model.score(IRIS, SPECIES) > 0.9


class Doubled(Dense):
    """A user-defined dense layer."""


@pytest.mark.parametrize(
    "layer",
    [Doubled(4), SharedDense(4, n_members=2), MemberDense(4, n_members=3), SharedDense(4, n_members=1)],
    ids=repr,
)
def test_dense_layers_that_would_mix_the_members_are_refused(layer):
    model = quick(activation=[["relu", layer]], n_members=2)
    match = rf"with n_members=2, {re.escape(repr(layer))} in activation would mix .* or set n_members=1"
    with pytest.raises(ValueError, match=match):
        model.fit(IRIS, SPECIES)
    if not isinstance(layer, MemberDense):
        model.set_params(n_members=1).fit(IRIS, SPECIES)


def test_the_loss_of_members_is_not_a_loss_of_the_classifier():
    with pytest.raises(
        ValueError,
        match=r"loss must be the loss of one member, got MemberLoss.*; use its loss, and set n_members=4",
    ):
        quick(loss=MemberLoss(SoftmaxCrossEntropy(), 4)).fit(IRIS, SPECIES)


def test_a_custom_layer_reads_the_units_of_all_members():
    model = learned(activation=LayerNorm(), hidden_layer_sizes=(6,), n_members=2).fit(IRIS, SPECIES)
    assert model.network_.widths == [4, 12, 12, 6]
    assert model.score(IRIS, SPECIES) > 0.9


# --- training ----------------------------------------------------------------------------------------------


def test_the_training_loss_is_the_mean_of_the_members_and_the_validation_loss_that_of_their_mean():
    model = quick(**{**STEADY, "alpha": 0.0, "batch_size": 150, "max_iter": 1, "learning_rate_init": 1e-300})
    model.fit(IRIS, SPECIES, X_val=IRIS[::2], y_val=SPECIES[::2])
    of_members = [log_loss(SPECIES, softmax(z)) for z in outputs_of_members(model, IRIS)]
    assert len(np.unique(of_members)) == K
    assert model.loss_curve_ == [pytest.approx(np.mean(of_members), rel=1e-12)]
    pooled = log_loss(SPECIES[::2], model.predict_proba(IRIS[::2]))
    assert model.validation_loss_curve_ == [pytest.approx(pooled, rel=1e-12)]
    assert pooled < np.mean(
        [log_loss(SPECIES[::2], softmax(z)) for z in outputs_of_members(model, IRIS[::2])]
    )


def test_each_member_is_trained_as_a_network_alone():
    """With fixed input factors of 1, a step changes the weights of a member's own layers as a step alone."""
    rate, settings = 0.3, {"batch_size": 150, "momentum": 0.0, "max_iter": 1, "shuffle": False}
    start = quick(**{**STEADY, **settings, "learning_rate_init": 1e-300, "alpha": 0.0}).fit(IRIS, SPECIES)
    model = quick(**{**STEADY, **settings, "learning_rate_init": rate, "alpha": 0.0}).fit(IRIS, SPECIES)
    X, (first, _, last) = start.scaled_inputs(IRIS), start.network_.parameters
    for m in range(K):
        hidden = np.maximum((X * first.r[m]) @ first.W + first.b[m], 0.0)
        dz = (softmax(hidden @ last.W[m] + last.b[m]) - np.eye(3)[SPECIES]) / 150 / K
        found = model.network_.parameters[2]
        np.testing.assert_allclose(found.W[m], last.W[m] - rate * hidden.T @ dz, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(found.b[m], last.b[m] - rate * dz.sum(axis=0), rtol=1e-10, atol=1e-13)


WEIGHTS = np.random.default_rng(0).integers(0, 3, 150)
KINDS = {
    "three classes": (SPECIES, {}),
    "two classes": (SPECIES == 1, {}),
    "two classes, softmax": (SPECIES == 1, {"loss": "softmax_cross_entropy"}),
    "several labels": (SETS, {}),
    "soft targets": (SOFT, {"soft_targets": True}),
    "smoothed": (SPECIES, {"label_smoothing": 0.2}),
    "user-defined": (SPECIES, {"loss": Brier()}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_of_two_equals_the_row_twice_and_a_weight_of_zero_no_row(kind):
    y, parameters = KINDS[kind]
    model = quick(n_members=K, solver="lbfgs", dtype="float64", max_iter=5, alpha=0.1, **parameters)
    weighted = clone(model).fit(GAPS, y, WEIGHTS)
    repeated = clone(model).fit(GAPS.repeat(WEIGHTS, axis=0), y.repeat(WEIGHTS, axis=0))
    np.testing.assert_allclose(weighted.predict_proba(GAPS), repeated.predict_proba(GAPS), atol=1e-6)
    some = WEIGHTS > 0
    removed = clone(model).fit(GAPS[some], y[some], WEIGHTS[some])
    np.testing.assert_allclose(weighted.network_.theta, removed.network_.theta, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("early_stopping", [True, False, "auto"])
def test_members_learn_every_kind_of_targets(kind, early_stopping):
    y, parameters = KINDS[kind]
    model = learned(n_members=K, early_stopping=early_stopping, **parameters).fit(IRIS, y)
    p, members = model.predict_proba(IRIS), model.member_probabilities(IRIS)
    truth = (
        SETS if kind == "several labels" else np.eye(p.shape[1])[y.astype(int) if y.ndim == 1 else SPECIES]
    )
    assert members.shape == (150, K, p.shape[1])
    worst = np.abs(truth - 0.4).mean()  # that of a constant
    assert np.abs(p - truth).mean() < 0.7 * worst
    assert members.std(axis=1).max() > 1e-3


def test_class_weights_multiply_sample_weights():
    weight = {0: 3.0, 1: 0.5}
    model = quick(n_members=K, dtype="float64")
    by_class = clone(model).set_params(class_weight=weight).fit(IRIS, SPECIES)
    by_row = clone(model).fit(IRIS, SPECIES, np.array([3.0, 0.5, 1.0])[SPECIES])
    np.testing.assert_allclose(by_class.network_.theta, by_row.network_.theta, rtol=1e-9, atol=1e-12)


def test_lbfgs_converges_in_float64():
    model = TinyClassifier(8, solver="lbfgs", n_members=4, alpha=1.0, max_iter=1000, random_state=0)
    model.fit(IRIS, SPECIES)
    assert model.n_iter_ < 1000  # without a penalty on r, there is no minimum: W decreases, and r grows
    assert model.loss_ < 0.3
    assert np.abs(model.network_.parameters[0].r).max() < 5
    assert (np.diff(model.loss_curve_) <= 0).all()
    assert model.predict_proba(IRIS).dtype == np.float64
    assert model.score(IRIS, SPECIES) > 0.95


def test_a_single_class_and_a_single_row_can_be_fitted():
    for X, y in ((IRIS, np.zeros(150)), (IRIS[:1], [7])):
        model = quick(n_members=K).fit(X, y)
        assert (model.predict_proba(X) == 1.0).all()
        assert (model.member_probabilities(X) == 1.0).all()


def test_the_shrinkage_is_that_of_the_pooled_logits():
    y = np.where(np.random.default_rng(0).uniform(size=600) < 0.5, NUMBERS[::-1], NUMBERS)
    model = quick(n_members=K, hidden_layer_sizes=30, max_iter=40, early_stopping=False).fit(
        DIGITS[:300], y[:300], X_val=DIGITS[300:], y_val=y[300:]
    )
    assert 0.0 < model.calibration_ < 1.0
    pooled = np.log(np.mean(softmax(outputs_of_members(model, DIGITS)), axis=0))
    state = model._fitted
    expected = softmax(state.calibration.apply(pooled))
    np.testing.assert_allclose(model.predict_proba(DIGITS), expected, rtol=1e-5, atol=1e-9)
    of_members = softmax(state.calibration.apply(outputs_of_members(model, DIGITS)))
    np.testing.assert_allclose(
        model.member_probabilities(DIGITS), of_members.transpose(1, 0, 2), rtol=1e-5, atol=1e-9
    )


def test_a_search_over_the_number_of_members_improves_the_loss():
    scores = [
        cross_val_score(learned(n_members=n), DIGITS, NUMBERS, cv=2, scoring="neg_log_loss").mean()
        for n in (1, 8)
    ]
    assert scores[1] > scores[0] + 0.02


@pytest.mark.parametrize("n_members", [2, 1])
def test_the_number_of_members_cannot_change_in_a_warm_start(n_members):
    model = quick(n_members=4, warm_start=True).fit(IRIS, SPECIES)
    before = shown(model.predict_proba(IRIS))
    model.set_params(n_members=n_members)
    for call in (model.fit, model.partial_fit):
        with pytest.raises(
            ValueError, match=r"the fitted network has the layers .*n_members=4.*set the param"
        ):
            call(IRIS, SPECIES)
        assert shown(model.predict_proba(IRIS)) == before
    model.set_params(warm_start=False).fit(IRIS, SPECIES)
    assert model.plan_.n_members == n_members


def test_a_warm_start_continues_the_training_of_all_members():
    model = learned(n_members=K, warm_start=True, max_iter=5).fit(IRIS, SPECIES)
    losses = [model.loss_]
    for _ in range(3):
        model.fit(IRIS, SPECIES)
        losses += [model.loss_]
    assert (np.diff(losses) < 0).all()
    assert len(model.loss_curve_) == 20


# --- later statistics of the features ----------------------------------------------------------------------

LATER = {
    "dense": lambda X: X,
    "sparse": lambda X: scipy.sparse.csr_array(np.where(X > 0.5, X, 0.0)),
    "missing": lambda X: np.where(np.arange(X.size).reshape(X.shape) % 5 == 0, np.nan, X),
    "table": lambda X: pd.DataFrame(X, columns=list("abc")).assign(
        d=np.where(X[:, 0] > 0, "yes", "no"), b=np.where(X[:, 2] > 0.3, np.nan, X[:, 1])
    ),
}


@pytest.mark.parametrize("warm", [False, True], ids=["partial_fit", "warm_start"])
@pytest.mark.parametrize("kind", LATER)
@pytest.mark.parametrize("hidden", [5, (4, 3)])
def test_new_statistics_do_not_change_the_predictions(kind, hidden, warm):
    """Entries within three scales of the old and the new center; missing entries, too."""
    rng = np.random.default_rng(0)
    x = np.clip(rng.normal(size=(400, 3)), -1.5, 1.5)
    y = np.arange(400) % 3
    rows, later = LATER[kind](x), LATER[kind](1.2 * x + (0.0 if kind == "sparse" else 0.3))
    model = sgd(hidden_layer_sizes=hidden, warm_start=warm)
    model.partial_fit(rows, y, classes=[0, 1, 2])
    before, members = model.decision_function(rows), model.member_probabilities(rows)
    W = model.coefs_[0].copy()
    for _ in range(3):
        (model.fit if warm else model.partial_fit)(later, y)
    assert np.abs(model.coefs_[0] - W).max() > 0.01
    np.testing.assert_allclose(model.decision_function(rows), before, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.member_probabilities(rows), members, rtol=1e-9, atol=1e-9)


def test_members_learn_from_parts():
    model = quick(hidden_layer_sizes=8, learning_rate_init=0.02, n_members=4)
    order = np.random.default_rng(0).permutation(150)
    for part in np.tile(order.reshape(15, 10), (4, 1)):
        model.partial_fit(GAPS[part], SPECIES[part], classes=[0, 1, 2])
    assert model.score(GAPS, SPECIES) > 0.9


# --- fitted attributes and answers -------------------------------------------------------------------------


def test_coefs_and_intercepts_have_the_documented_shapes_and_can_be_assigned():
    model = quick(hidden_layer_sizes=(6, 5), n_members=K, dtype="float64").fit(IRIS, SPECIES)
    assert [W.shape for W in model.coefs_] == [(4, 6), (K, 6, 5), (K, 5, 3)]
    assert [b.shape for b in model.intercepts_] == [(K, 6), (K, 5), (K, 3)]
    before = model.decision_function(IRIS)
    other = copy.deepcopy(model)
    other.coefs_[-1][...] = 0.0
    other.intercepts_ = [np.zeros((K, 6)), np.zeros((K, 5)), np.tile([1.0, 0.0, 0.0], (K, 1))]
    np.testing.assert_allclose(other.member_probabilities(IRIS).std(axis=1), 0.0, atol=1e-15)
    assert (other.predict(IRIS) == 0).all()
    other.coefs_, other.intercepts_ = model.coefs_, model.intercepts_
    np.testing.assert_array_equal(other.decision_function(IRIS), before)
    with pytest.raises(ValueError, match=r"array 1 has shape \(3, 6, 5\), got an array of shape \(6, 5\)"):
        other.coefs_[1] = np.ones((6, 5))


def test_the_hidden_units_of_all_members_stand_beside_each_other():
    model = quick(hidden_layer_sizes=(6, 5), n_members=K, dtype="float64").fit(IRIS, SPECIES)
    X, (first, _, second, *_) = model.scaled_inputs(IRIS), model.network_.parameters
    found = by_member(model.activations(IRIS, 0), K), by_member(model.activations(IRIS), K)
    for m in range(K):
        hidden = np.maximum((X * first.r[m]) @ first.W + first.b[m], 0.0)
        np.testing.assert_allclose(found[0][m], hidden, rtol=1e-10, atol=1e-12)
        hidden = np.maximum(hidden @ second.W[m] + second.b[m], 0.0)
        np.testing.assert_allclose(found[1][m], hidden, rtol=1e-10, atol=1e-12)
    assert model.activations(IRIS).shape == (150, 5 * K)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", None])
def test_the_mean_of_the_members_is_the_probability(kind, dtype):
    y, parameters = KINDS[kind]
    X = IRIS.astype(np.float32)
    model = learned(n_members=K, dtype=dtype, calibrate=False, **parameters).fit(X, y)
    p, members = model.predict_proba(X), model.member_probabilities(X)
    assert p.dtype == members.dtype == (np.float32 if dtype is None else np.float64)
    assert members.shape == (150, K, p.shape[1])
    np.testing.assert_allclose(members.mean(axis=1), p, rtol=1e-5 if dtype is None else 1e-12, atol=1e-12)
    if kind != "several labels":
        np.testing.assert_allclose(members.sum(axis=2), 1.0, atol=1e-6 if dtype is None else 1e-15)
    logistic = model.out_activation_ == "logistic"
    z = outputs_of_members(model, X).transpose(1, 0, 2)
    expected = 1.0 / (1.0 + np.exp(-z)) if logistic else softmax(z)
    np.testing.assert_allclose(members[..., -expected.shape[-1] :], expected, rtol=1e-4, atol=1e-7)


def test_the_logits_of_a_loss_with_its_own_probabilities_are_averaged():
    model = learned(n_members=K, loss=Hinge(), dtype="float64").fit(IRIS[:100], TWO)
    z = outputs_of_members(model, IRIS)
    np.testing.assert_allclose(model.decision_function(IRIS), z.mean(axis=0)[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        model.member_probabilities(IRIS)[..., 1], 1.0 / (1.0 + np.exp(-z[..., 0].T)), rtol=1e-9
    )
    assert model.score(IRIS[:100], TWO) > 0.95


def test_members_disagree_more_on_rows_unlike_those_of_fit():
    model = TinyClassifier(n_members=8, random_state=0).fit(IRIS, SPECIES)
    far = IRIS + 10 * np.random.default_rng(0).normal(size=IRIS.shape)
    near, unlike = (model.member_probabilities(X).std(axis=1).mean() for X in (IRIS, far))
    assert unlike > 2 * near


@pytest.mark.parametrize("rows", [IRIS[:1], scipy.sparse.csr_array(IRIS), IRIS.tolist(), pd.DataFrame(IRIS)])
def test_rows_of_any_kind_have_the_probabilities_of_the_members(rows):
    model = quick(n_members=2).fit(IRIS, SPECIES)
    expected = model.member_probabilities(IRIS)
    found = model.member_probabilities(rows)
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-5)


def test_member_probabilities_check_the_model_and_the_rows():
    with pytest.raises(ValueError, match="not fitted yet"):
        quick(n_members=2).member_probabilities(IRIS)
    model = quick(n_members=2).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="X has 3 features, but TinyClassifier is expecting 4"):
        model.member_probabilities(IRIS[:, :3])
    model.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must be finite"):
        model.member_probabilities(IRIS)


def test_a_table_with_categories_and_missing_entries_has_members():
    model = learned(n_members=K).fit(tables.objects(), tables.LABELS)
    assert model.coefs_[0].shape[0] == len(model.input_names_)
    p = model.predict_proba(tables.objects())
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-15)


@pytest.mark.parametrize("solver", [SGD(0.1, 0.9), "adam", "lbfgs"], ids=repr)
def test_verbose_output_and_callbacks_know_nothing_of_members(solver, capsys):
    model = quick(n_members=2, solver=solver, verbose=True, max_iter=3).fit(DIGITS, NUMBERS)
    assert "loss" in capsys.readouterr().out.lower()
    assert model.n_iter_ == 3


def test_label_smoothing_and_sigmoid_losses_belong_to_each_member():
    for loss in ("sigmoid_cross_entropy", SigmoidCrossEntropy(0.1)):
        model = learned(n_members=K, loss=loss).fit(IRIS[:100], TWO)
        assert model.score(IRIS[:100], TWO) == 1.0
        assert model.decision_function(IRIS).shape == (150,)
