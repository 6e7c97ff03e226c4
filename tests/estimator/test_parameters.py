"""Parameters by scikit-learn's conventions: kept unchanged, searched, and each has an effect."""

import dataclasses
import inspect
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.data import shuffled
from tests.support.estimators import learned, quick
from tests.support.parts import OPTIMIZERS, LayerNorm, Swish
from tinyclf import SGD, Adam, Dropout, SoftmaxCrossEntropy, TinyClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = shuffled(load_iris(), 4, 150)
HALVES = [(np.arange(75), np.arange(75, 150))]


def least_trained(model, X, y):
    return -float(model.n_iter_)


def falling(done):
    return 1 - done**2


# Values that lead to different networks, and the other parameters that this requires.
SEARCHED = {
    "hidden_layer_sizes": ([8, (6, 5), np.array([7]), ()], {}),
    "activation": (["tanh", Swish, LayerNorm(), ["relu"], [["logistic", Dropout(0.2)]]], {}),
    "solver": (["sgd", "lbfgs", Adam(0.05), SGD(0.1, momentum=0.9)], {}),
    "alpha": (np.array([1e-4, 1.0]), {}),
    "batch_size": (["auto", 16], {}),
    "learning_rate": (["constant", "cosine", "invscaling", falling], {"solver": "sgd"}),
    "learning_rate_init": (np.logspace(-2, -1, 2), {}),
    "power_t": ([0.1, 0.5], {"solver": "sgd", "learning_rate": "invscaling"}),
    "max_iter": (np.array([10, 20]), {}),
    "shuffle": ([True, False], {"batch_size": 16}),
    "random_state": ([0, np.random.RandomState(1)], {}),
    "tol": ([0.0, 1.0], {"n_iter_no_change": 5}),
    "verbose": ([False, 1], {}),
    "warm_start": ([False, True], {}),
    "momentum": ([0.0, 0.9], {"solver": "sgd"}),
    "nesterovs_momentum": ([True, False], {"solver": "sgd"}),
    "early_stopping": ([False, True], {"n_iter_no_change": 5}),
    "validation_fraction": ([0.1, 0.4], {"early_stopping": True}),
    "beta_1": ([0.5, 0.9], {}),
    "beta_2": ([0.9, 0.999], {}),
    "epsilon": ([1e-8, 1e-2], {}),
    "n_iter_no_change": ([5, np.inf], {"tol": 1.0}),
    "max_fun": ([5, 100], {"solver": "lbfgs"}),
    "loss": (["log_loss", SoftmaxCrossEntropy(label_smoothing=0.3)], {}),
    "dtype": (["float32", np.float64], {}),
    "class_weight": (["balanced", {"setosa": 5.0}], {}),
    "dropout": ([0.0, [0.2]], {}),
    "label_smoothing": ([0.0, 0.2], {}),
    "weight_decay": ([0.0, 1.0], {}),
    "max_grad_norm": ([None, 0.1], {}),
    "scoring": (["loss", least_trained], {"early_stopping": True}),
    "soft_targets": ([False, True], {}),
    "scale_inputs": ([False, True], {}),
    "calibrate": ([False, True], {"early_stopping": True}),
    "refit": ([False, True], {"early_stopping": True}),
    "categorical_features": (["from_dtype", [0], [True, False, False, True]], {}),
    "max_categories": ([3, 8, None], {"categorical_features": [0]}),
    "n_members": ([1, 3, np.int8(4)], {}),
}

# These must not change the network.
WITHOUT_EFFECT = {"verbose", "warm_start"}


def soft_labels(smoothing):
    """Smoothed probabilities of the species."""
    return (1 - smoothing) * (np.unique(SPECIES) == SPECIES[:, None]) + smoothing / 3


def mean_log_probability(model, X, y):
    """A scorer for targets that are probabilities, (n, k)."""
    return np.mean(np.sum(y * model.predict_log_proba(X), axis=1))


def test_the_table_of_searches_has_every_parameter():
    assert list(SEARCHED) == list(inspect.signature(TinyClassifier).parameters)
    assert SEARCHED.keys() == TinyClassifier().get_params().keys()
    assert SEARCHED.keys() == TinyClassifier._parameter_constraints.keys()


@pytest.mark.parametrize("name", SEARCHED)
def test_every_parameter_can_be_searched_and_has_an_effect(name):
    values, others = SEARCHED[name]
    y, scoring = SPECIES, "neg_log_loss"
    if name == "soft_targets":  # one-hot rows, which are valid labels and valid probabilities
        y, scoring = soft_labels(0.0), mean_log_probability
    model = learned(**{"max_iter": 10, "learning_rate_init": 0.1, **others})
    search = GridSearchCV(model, {name: values}, cv=HALVES, scoring=scoring, error_score="raise").fit(IRIS, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert search.best_score_ > -0.7  # chance is -log(3)
    assert len(set(scores)) == (1 if name in WITHOUT_EFFECT else len(values))
    assert text(search.best_estimator_.get_params()[name]) == text(values[search.best_index_])


def text(value):
    """The repr without the addresses of objects."""
    return re.sub(r" at 0x\w+", "", repr(value))


def test_a_search_accepts_soft_targets():
    model = learned(soft_targets=True, max_iter=20)
    grid = {"learning_rate_init": [1e-4, 0.05]}
    search = GridSearchCV(model, grid, cv=HALVES, scoring=mean_log_probability, error_score="raise")
    search.fit(IRIS, soft_labels(0.1))
    assert search.best_params_ == {"learning_rate_init": 0.05}
    assert search.best_score_ > -0.8  # chance is -log(3)
    assert search.best_estimator_.score(IRIS, np.unique(SPECIES, return_inverse=True)[1]) > 0.8


@pytest.mark.parametrize("name", SEARCHED)
def test_parameters_are_kept_unchanged(name):
    default = TinyClassifier()
    for value in SEARCHED[name][0]:
        model = TinyClassifier(**{name: value})
        assert model.get_params()[name] is value
        assert TinyClassifier().set_params(**{name: value}).get_params()[name] is value
        assert text(clone(model).get_params()) == text(model.get_params())
        others = {k: v for k, v in model.get_params(deep=False).items() if k != name}
        assert others == {k: v for k, v in default.get_params().items() if k != name}
        changed = repr(value) != repr(default.get_params()[name])
        assert (f"{name}=" in repr(model)) == changed
    assert repr(default) == "TinyClassifier()"


def test_an_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match=r"Invalid parameter 'layers' .*'hidden_layer_sizes'"):
        TinyClassifier().set_params(layers=3)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    "name",
    [name for name, kinds in TinyClassifier._parameter_constraints.items() if "boolean" in kinds],
)
def test_numpy_booleans_have_the_effect_of_booleans(name, value):
    # A grid such as {"early_stopping": np.array([True, False])} passes NumPy booleans.
    y = soft_labels(0.0) if name == "soft_targets" else SPECIES
    X_val, y_val = IRIS[20:60] + 0.5, y[20:60]
    ours, numpys = (
        learned(solver="sgd", max_iter=8, n_iter_no_change=3, batch_size=16, **{name: kind(value)}).fit(
            IRIS, y, X_val=X_val, y_val=y_val
        )
        for kind in (bool, np.bool_)
    )
    np.testing.assert_array_equal(ours.network_.theta, numpys.network_.theta)
    for attribute in ("n_iter_", "best_loss_", "best_validation_score_"):
        assert getattr(ours, attribute) == getattr(numpys, attribute)


@pytest.mark.parametrize("rate", [0.01, 1, np.float32(0.1)])
def test_a_number_as_learning_rate_is_refused_with_the_parameter_that_takes_it(rate):
    message = re.escape(f"Got {rate!r} instead. For a number, set learning_rate_init={rate!r}.")
    with pytest.raises(ValueError, match=f"'learning_rate' parameter .*{message}"):
        quick(learning_rate=rate).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match=message):
        quick(learning_rate=rate).partial_fit(IRIS, SPECIES, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="'learning_rate' parameter (?!.*learning_rate_init)"):
        quick(learning_rate="fast").fit(IRIS, SPECIES)


def accuracy(y_true, y_pred, sample_weight=None):
    return np.average(y_true == y_pred, weights=sample_weight)


@pytest.mark.parametrize("metric", [f1_score, roc_auc_score, log_loss, cohen_kappa_score, accuracy])
@pytest.mark.parametrize("early", ["auto", True, False])
def test_a_metric_as_scoring_is_refused_with_the_function_that_makes_a_scorer(metric, early):
    model = quick(scoring=metric, early_stopping=early)
    with pytest.raises(
        ValueError, match=rf"scoring\(estimator.*got {metric.__name__}.*make_scorer\({metric.__name__}\)"
    ):
        model.fit(IRIS, SPECIES)
    scorers = {f1_score: make_scorer(f1_score, average="macro"), accuracy: make_scorer(accuracy)}
    if metric in scorers:
        quick(scoring=scorers[metric], early_stopping=early).fit(IRIS, SPECIES)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, SGD(0.3, weight_decay=0.01)], ids=repr)
def test_parameters_of_an_optimizer_can_be_read_set_and_cloned(optimizer):
    before = repr(optimizer)
    model = quick(solver=optimizer)
    nested = {name: value for name, value in model.get_params().items() if name.startswith("solver__")}
    assert nested == {f"solver__{name}": value for name, value in vars(optimizer).items()}
    assert not any("__" in name for name in model.get_params(deep=False))
    copied = clone(model)
    for one in (model, copied):
        one.set_params(solver__learning_rate=0.25, alpha=0.5)
        assert one.solver == dataclasses.replace(optimizer, learning_rate=0.25)
        assert (one.alpha, one.get_params()["solver__learning_rate"]) == (0.5, 0.25)
    assert repr(optimizer) == before  # optimizers are immutable, and may be shared by models
    assert clone(model).get_params().keys() == model.get_params().keys()
    assert model.set_params(**model.get_params()).solver == copied.solver


def test_parameters_of_an_optimizer_can_be_searched_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), quick(solver=SGD(0.1), max_iter=20))
    rates = [1e-6, 0.5]
    grid = {
        "tinyclassifier__solver": [SGD(momentum=0.5), Adam()],
        "tinyclassifier__solver__learning_rate": rates,
    }
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(IRIS, SPECIES)
    used = [
        parameters["tinyclassifier__solver__learning_rate"] for parameters in search.cv_results_["params"]
    ]
    scores = dict(zip(used, search.cv_results_["mean_test_score"], strict=False))
    assert scores[0.5] > scores[1e-6] + 0.2
    best = search.best_estimator_[-1]
    assert best.plan_.optimizer.learning_rate == best.solver.learning_rate == 0.5
    assert pipeline[-1].solver == SGD(0.1)


def test_a_fitted_model_keeps_the_optimizer_of_its_fit():
    model = quick(solver=Adam(0.01)).fit(IRIS, SPECIES)
    model.set_params(solver__learning_rate=0.5)
    assert model.plan_.optimizer == Adam(0.01)
    assert model.partial_fit(IRIS, SPECIES).plan_.optimizer == Adam(0.5)


@pytest.mark.parametrize(
    ("solver", "parameters", "match"),
    [
        ("adam", {"solver__learning_rate": 0.1}, "solver__learning_rate .*Optimizer.*got solver='adam'"),
        (SGD(), {"solver__beta_1": 0.1}, r"SGD has the parameters .*'momentum'.*got \['beta_1'\]"),
        (SGD(), {"solver__learning_rate": -1.0}, r"learning_rate must be in \(0, inf\), got -1.0"),
        (SGD(), {"solver__": 1}, r"got \[''\]"),
        (SGD(), {"solvers__learning_rate": 1}, "Invalid parameter 'solvers'"),
    ],
    ids=repr,
)
def test_an_invalid_parameter_of_an_optimizer_is_refused_and_changes_nothing(solver, parameters, match):
    model = quick(solver=solver, alpha=0.1)
    with pytest.raises(ValueError, match=match):
        model.set_params(alpha=0.2, **parameters)
    assert (model.solver, model.alpha) == (solver, 0.1 if "solvers__learning_rate" not in parameters else 0.2)
