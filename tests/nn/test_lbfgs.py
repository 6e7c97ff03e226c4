"""L-BFGS: minimization of the training objective."""

import inspect
import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from tests.support.parts import PLAIN
from tinyclf import (
    Dense,
    DivergenceError,
    Dropout,
    Network,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
    softmax,
)
from tinyclf.nn import lbfgs as module
from tinyclf.nn.lbfgs import minimize

X, SPECIES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
W = np.random.default_rng(0).uniform(0.1, 3.0, len(X))


def run(network, after=lambda epoch: False, **kinds):
    return minimize(network, X, SPECIES, loss=SoftmaxCrossEntropy(), after=after, **kinds)


@pytest.mark.parametrize("w", [None, W], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("block", [7, 64, 1024])
def test_value_and_gradient_do_not_depend_on_the_blocks(monkeypatch, block, w):
    # Against scikit-learn's objective, whose private function takes the same packed parameters.
    network = Network([Dense(5), Tanh(), Dense(3)], 4, dtype="float64", seed=0)
    monkeypatch.setattr(module, "ROW_BLOCK", block)
    objective = module.Objective(
        network, X, SPECIES, loss=SoftmaxCrossEntropy(), sample_weight=w, alpha=0.7, batch_size=block
    )
    value, gradient = module._Sum(network, objective)(network.theta.copy())
    theirs = MLPClassifier(5, "tanh", solver="lbfgs", alpha=0.7, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, SPECIES)
    shapes = [np.empty((4, 5)), np.empty((5, 3))], [np.empty(5), np.empty(3)]
    onehot = np.eye(3, dtype=bool)[SPECIES]
    expected, slope = theirs._loss_grad_lbfgs(
        network.theta.copy(), X, onehot, w, [X, None, None], [None, None], *shapes
    )
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_regression_equals_logistic_regression(dtype):
    ours = TinyClassifier(
        (),
        solver="lbfgs",
        alpha=1.0,
        tol=1e-8,
        dtype=dtype,
        max_iter=1000,
        scale_inputs=False,
        random_state=0,
    ).fit(X, SPECIES)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(X, SPECIES)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=2e-4)
    assert ours.coefs_[0].dtype == dtype


def test_float32_is_the_rounded_result_of_float64():
    start = Network([Dense(3)], 4, seed=0)
    ends = []
    for network in (start.copy(), start.copy("float64")):
        minimize(network, X, SPECIES, loss=SoftmaxCrossEntropy(), after=lambda _: False, alpha=1.0, tol=1e-8)
        ends.append(network.theta)
    np.testing.assert_array_equal(ends[0], ends[1].astype("float32"))


def test_a_smaller_tol_takes_more_iterations_whatever_n_iter_no_change_is():
    iterations = [
        TinyClassifier((), solver="lbfgs", tol=tol, n_iter_no_change=1, random_state=0)
        .fit(X, SPECIES)
        .n_iter_
        for tol in (1e-1, 1e-2, 1e-4)
    ]
    assert iterations[0] < iterations[1] < iterations[2]


@pytest.mark.parametrize("alpha", [0.1, 1000.0])  # the logits of the second are small
def test_each_iteration_is_reported_with_its_network(alpha):
    network, seen = Network([Dense(3)], 4, seed=0), []

    def after(epoch):
        W, z = network.parameters[0].W.astype(float), network.copy("float64").logits(X)
        loss = SoftmaxCrossEntropy().mean(z, SPECIES) + alpha / 2 / len(X) * np.sum(W**2)
        r = softmax(z) - np.eye(3)[SPECIES]
        gradient = np.vstack([X.T @ r + alpha * W, r.sum(axis=0)]) / len(X)
        assert epoch.loss == pytest.approx(loss, rel=1e-5)
        assert epoch.largest_logit == pytest.approx(np.abs(z).max(), rel=1e-5)
        assert epoch.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-3, abs=1e-5)
        assert 0.0 < epoch.seconds < 100.0
        seen.append(epoch.loss)
        return False

    ending = run(network, after, alpha=alpha)
    assert ending.converged
    assert ending.loss == seen[-1] == min(seen)
    assert len(seen) > 2


def test_the_default_budget_is_that_of_scikit_learn():
    defaults = {name: p.default for name, p in inspect.signature(minimize).parameters.items()}
    for name in ("max_iter", "max_fun"):
        assert defaults[name] == MLPClassifier().get_params()[name]


def test_there_is_no_penalty_by_default():
    kinds = [{}, {"alpha": 0.0}, {"alpha": 1.0}]
    losses = [run(Network([Dense(3)], 4, seed=0), max_iter=5, **k).loss for k in kinds]
    assert losses[0] == losses[1] < losses[2]


def test_the_callback_can_end_the_minimization():
    network = Network([Dense(3)], 4, seed=0)
    seen = []
    ending = run(network, lambda epoch: seen.append(epoch.index) or epoch.index == 3)
    assert seen == [1, 2, 3]
    assert not ending.converged


@pytest.mark.parametrize(
    ("budget", "reason"), [({"max_iter": 4}, "ITERATIONS"), ({"max_fun": 4}, "EVALUATIONS")]
)
def test_an_exhausted_budget_is_not_convergence(budget, reason):
    ending = run(Network([Dense(3)], 4, seed=0), **budget)
    assert not ending.converged
    assert reason in ending.reason.upper()
    with pytest.warns(ConvergenceWarning, match="lbfgs stopped with .*Increase max_iter or max_fun"):
        TinyClassifier(solver="lbfgs", **budget).fit(X, SPECIES)


def test_chosen_and_sparse_rows_give_the_result_of_a_dense_copy():
    rows = np.arange(0, 150, 3)
    thetas = []
    for data, chosen in [
        ((X, SPECIES), rows),
        ((scipy.sparse.csr_array(X), SPECIES), rows),
        ((X[rows], SPECIES[rows]), None),
    ]:
        network = Network([Dense(3)], 4, dtype="float64", seed=0)
        minimize(network, *data, loss=SoftmaxCrossEntropy(), after=lambda _: False, rows=chosen, alpha=1.0)
        thetas.append(network.theta)
    np.testing.assert_allclose(thetas[0], thetas[2], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(thetas[0], thetas[1])


@pytest.mark.parametrize("layers", [[Dense(30), Dense(3)], [Dense(3)]], ids=["at the start", "in the search"])
def test_divergence_raises_an_error_with_the_numbers(layers):
    network = Network(layers, 30, dtype="float64", seed=0)
    match = r"epoch 1, .*loss is nan.*largest input 1e\+308.*Scale the inputs \(StandardScaler\)\.$"
    with pytest.raises(DivergenceError, match=match) as error:
        minimize(network, np.full((2, 30), 1e308), [0, 1], loss=SoftmaxCrossEntropy(), after=lambda _: False)
    assert (error.value.batch, error.value.scaled) == (1, False)


def test_the_error_names_numbers_beyond_the_dtype_of_the_network():
    match = r"1e\+39 at row 1, column 0, which is not a finite float32"
    with pytest.raises(ValueError, match=match):
        TinyClassifier(**PLAIN, solver="lbfgs").fit([[1.0], [1e39]], [0, 1])
    kinds = {"loss": SoftmaxCrossEntropy(), "after": lambda _: False}
    with pytest.raises(ValueError, match=match):
        minimize(Network([Dense(2)], 1), [[1.0], [1e39]], [0, 1], **kinds)
    # Numbers that the network's type can hold after scaling are accepted.
    scaled = {**PLAIN, "scale_inputs": True, "solver": "lbfgs", "max_iter": 5, "random_state": 0}
    with pytest.warns(ConvergenceWarning):
        wide, plain = (TinyClassifier(**scaled).fit(x, SPECIES) for x in (1e39 * X, X))
    assert wide.loss_ == pytest.approx(plain.loss_, rel=1e-6)


@pytest.mark.parametrize("row", [0, 1, 2999])  # the diagnostics examine every third of 3,000 rows
def test_a_number_beyond_the_dtype_of_the_network_is_refused_before_training(row):
    rows, species = np.tile(X, (20, 1)), np.tile(SPECIES, 20)
    rows[row, 2] = 1e39
    model = TinyClassifier((), solver="lbfgs", scale_inputs=False, random_state=0).fit(X, SPECIES)
    before = model._state
    with pytest.raises(ValueError, match=rf"1e\+39 at row {row}, column 2, which is not a finite float32"):
        model.fit(rows, species)
    assert model._state is before


def test_a_nonfinite_gradient_is_divergence_also_with_a_finite_loss():
    class Breaks(SoftmaxCrossEntropy):
        def rows(self, z, y, dz, t):
            losses = super().rows(z, y, dz, t)
            dz[0] = np.inf
            return losses

    with pytest.raises(DivergenceError, match="epoch 1, batch 1: the loss is 3.*; after the step, "):
        minimize(Network([Dense(3)], 4, seed=0), X, SPECIES, loss=Breaks(), after=lambda _: False)


def test_a_solution_beyond_the_dtype_of_the_network_is_divergence(monkeypatch):
    network = Network([Dense(3)], 4, seed=0)
    result = scipy.optimize.OptimizeResult(x=np.full(15, 1e39), fun=1.0, status=0, message="")
    monkeypatch.setattr(scipy.optimize, "minimize", lambda *_, **__: result)
    with pytest.raises(DivergenceError) as error:
        minimize(network, 0.1 * X, SPECIES, loss=SoftmaxCrossEntropy(), after=lambda _: False)
    assert error.value.largest_input == pytest.approx(0.1 * np.abs(X).max())
    scaled = {**PLAIN, "scale_inputs": True, "solver": "lbfgs", "random_state": 0}
    result.x = np.full(15, 1e39)
    with pytest.raises(DivergenceError, match="Lower alpha") as error:
        TinyClassifier((), **scaled).fit(0.1 * X, SPECIES)
    assert 1.0 < error.value.largest_input < 5.0  # in standard deviations


def test_fitting_is_deterministic_and_another_solver_can_continue():
    parameters = {**PLAIN, "alpha": 1e-4, "max_iter": 500, "solver": "lbfgs", "random_state": 0}
    one, other = (TinyClassifier(**parameters).fit(X, SPECIES) for _ in range(2))
    np.testing.assert_array_equal(one.network_.theta, other.network_.theta)
    assert one.t_ == 0
    assert len(one.loss_curve_) == one.n_iter_
    assert one.loss_ == one.best_loss_ == one.loss_curve_[-1]
    assert not hasattr(one, "partial_fit")
    before = one.score(X, SPECIES)
    one.set_params(solver="adam").partial_fit(X, SPECIES)
    assert one.score(X, SPECIES) >= before - 0.05


def test_a_start_at_the_minimum_takes_no_iteration():
    model = TinyClassifier((), solver="lbfgs", alpha=1.0, warm_start=True, tol=1e-3, dtype="float64").fit(
        X, SPECIES
    )
    loss = model.loss_
    model.set_params(tol=0.1).fit(X, SPECIES)
    assert model.n_iter_ == 0
    assert model.loss_ == pytest.approx(loss)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize(
    "parameters", [{"dropout": 0.2}, {"dropout": [0.2]}, {"weight_decay": 0.1}, {"activation": Dropout(0.5)}]
)
def test_weight_decay_and_dropout_are_refused(parameters):
    with pytest.raises(ValueError, match="solver='lbfgs' supports neither weight_decay nor dropout"):
        TinyClassifier(solver="lbfgs", **parameters).fit(X, SPECIES)
