"""Unusual input: each call works or raises an error that names the cause; no NaN, and no changed input.

`--hypothesis-profile=thorough` tries thousands of new examples of each property.
"""

import copy
import pickle
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from tests.support.doubles import Ends
from tests.support.estimators import quick
from tests.support.odd_input import (
    COLUMNS,
    KINDS,
    MORE,
    NON_FINITE,
    Outcomes,
    check_predictions,
    checked_call,
    features,
    frozen,
    labels,
    weights,
)
from tinyclf import SGD, Adam, Dropout, SoftmaxCrossEntropy, Tanh, TinyClassifier, load
from tinyclf.estimator.targets import Labels

pytestmark = pytest.mark.promise("each call works or raises an error that names the cause")

N = 12
X0 = np.random.default_rng(0).normal(size=(5, COLUMNS))


CHANGES = {
    "dtype": ["float64", None],
    "solver": ["sgd", "lbfgs", SGD(0.1), Adam(0.1)],
    "activation": ["tanh", "logistic", "identity", Tanh()],
    "hidden_layer_sizes": [(), (2, 2)],
    "scale_inputs": [False],
    "early_stopping": [True, False],
    "class_weight": ["balanced"],
    "loss": ["softmax_cross_entropy", SoftmaxCrossEntropy()],
    "calibrate": [False],
    "refit": [False],
    "dropout": [0.5],
    "label_smoothing": [0.1],
    "learning_rate": ["constant", "cosine", "invscaling", "adaptive"],
    "learning_rate_init": [1e-6, 10.0],
    "batch_size": [1, 5],
    "weight_decay": [0.1],
    "max_grad_norm": [1.0],
    "warm_start": [True],
    "shuffle": [False],
    "scoring": ["accuracy", "neg_log_loss"],
    "soft_targets": [True],
    "categorical_features": [None, [0], ["c0"], [True, False, False]],
    "max_categories": [2, None],
    "n_members": [1, np.int8(3)],
}
parameters = st.lists(
    st.sampled_from([(name, value) for name, values in CHANGES.items() for value in values]), max_size=3
).map(dict)


def test_a_fit_works_or_names_the_cause():
    outcomes = Outcomes()

    @MORE
    @given(st.data(), parameters, st.integers(1, N))
    def fits(data, changes, n):
        X, y, w = data.draw(features(n)), data.draw(labels(n)), data.draw(weights(n))
        model, error = checked_call(quick(**changes).fit, X, y, w)
        outcomes["refused" if error else "fitted"] += 1
        if model is not None:
            assert not any(map(np.ma.is_masked, (X, y, w)))
            assert isinstance(check_predictions(model, X), np.ndarray)

    fits()
    print(outcomes)
    assert outcomes.fraction("fitted") > 0.3
    assert outcomes.fraction("refused") > 0.3


X_IRIS, IRIS = load_iris(return_X_y=True)
X_IRIS = X_IRIS[::5, :COLUMNS]


def table(X):
    """The rows as a frame with a column of texts and one with missing numbers."""
    frame = pd.DataFrame(X, columns=["c0", "c1", "c2"])
    texts = frame["c0"].map("{:.0f} km".format).astype(object).where(frame["c1"] > 2.5, None)
    return frame.assign(c0=texts, c1=frame["c1"].where(frame["c2"] < 4.5))


FITS = {
    "plain": lambda: quick().fit(X_IRIS, IRIS[::5]),
    "two classes": lambda: quick().fit(X_IRIS, IRIS[::5] == 1),
    "float64": lambda: quick(dtype="float64").fit(X_IRIS, IRIS[::5]),
    "raw": lambda: quick(scale_inputs=False, refit=False).fit(X_IRIS, IRIS[::5]),
    "raw, float64": lambda: quick(scale_inputs=False, dtype="float64").fit(X_IRIS, IRIS[::5]),
    "softmax regression": lambda: quick(hidden_layer_sizes=(), scale_inputs=False).fit(X_IRIS, IRIS[::5]),
    "words": lambda: quick().fit(X_IRIS, np.array(["b", "a", "c"])[IRIS[::5]]),
    "names": lambda: quick().fit(pd.DataFrame(X_IRIS, columns=["c0", "c1", "c2"]), IRIS[::5]),
    "sparse": lambda: quick().fit(scipy.sparse.csr_array(X_IRIS), IRIS[::5]),
    "columns of 0 and 1": lambda: quick().fit(X_IRIS, np.eye(3, dtype=int)[IRIS[::5]]),
    "columns, sparse": lambda: quick().fit(X_IRIS, scipy.sparse.csr_array(np.eye(3, dtype=int)[IRIS[::5]])),
    "one class": lambda: quick().fit(X_IRIS, 0 * IRIS[::5]),
    "probabilities": lambda: quick(soft_targets=True).fit(X_IRIS, np.eye(3)[IRIS[::5]]),
    "table": lambda: quick().fit(table(X_IRIS), IRIS[::5]),
    "table, in polars": lambda: quick(max_categories=2).fit(
        pl.DataFrame(table(X_IRIS).to_dict("list")), IRIS[::5]
    ),
    "missing numbers": lambda: quick().fit(np.where(X_IRIS > 4.9, np.nan, X_IRIS), IRIS[::5]),
    "categories of numbers": lambda: quick(categorical_features=[0]).fit(X_IRIS.round(), IRIS[::5]),
    "in parts": lambda: quick().partial_fit(X_IRIS, IRIS[::5], classes=[2, 0, 1]),
    "one row": lambda: quick().fit(X_IRIS[:1], [3]),
    "members": lambda: quick(n_members=3).fit(np.where(X_IRIS > 4.9, np.nan, X_IRIS), IRIS[::5]),
    "members, two classes": lambda: quick(n_members=2, dtype="float64").fit(X_IRIS, IRIS[::5] == 1),
    "members, columns, sparse": lambda: quick(n_members=2, scale_inputs=False).fit(
        scipy.sparse.csr_array(X_IRIS), np.eye(3, dtype=int)[IRIS[::5]]
    ),
    "members, in parts": lambda: quick(n_members=2).partial_fit(X_IRIS, IRIS[::5], classes=[2, 0, 1]),
}


@cache
def fitted(kind):
    return checked_call(FITS[kind])[0]


def test_a_prediction_works_or_names_the_cause():
    outcomes = Outcomes()

    @MORE
    @given(st.data(), st.sampled_from(list(FITS)), st.integers(1, N))
    def predicts(data, kind, n):
        X, model = data.draw(features(n)), fitted(kind)
        before = frozen(model.network_.theta)
        found = check_predictions(model, X)
        assert frozen(model.network_.theta) == before
        outcomes["predicted" if isinstance(found, np.ndarray) else "refused"] += 1
        if isinstance(found, np.ndarray):
            assert not np.ma.is_masked(X)

    predicts()
    print(outcomes)
    assert outcomes.fraction("predicted") > 0.3
    assert outcomes.fraction("refused") > 0.2


ANYTHING = [
    None,
    True,
    False,
    np.True_,
    -1,
    0,
    1,
    2,
    -0.5,
    0.0,
    0.5,
    1.0,
    1.5,
    np.float32(0.5),
    np.int8(1),
    1j,
]
ANYTHING += [
    1e-300,
    1e300,
    5e-324,
    *NON_FINITE,
    "",
    "x",
    "auto",
    "loss",
    "balanced",
    "constant",
    b"adam",
    (),
    [],
    {},
]
ANYTHING += [
    [1],
    [[1]],
    [0.5],
    ["relu"],
    [["tanh", "relu"]],
    [None],
    [[1, 2], 3],
    {0: 1.0},
    {"a": None},
    {1: -1},
]
ANYTHING += [
    np.array([2]),
    np.array(2),
    np.array([0.5]),
    np.array("adam"),
    range(1, 2),
    {1},
    object(),
    object,
]
ANYTHING += [np.float32, "float16", ">f8", "int", SGD, SGD(0.1), Dropout(0.5), Tanh, Tanh(), 2**70]
ANYTHING += [
    [np.nan],
    (1e300,),
    [-1],
    [True],
    ["x"],
    pd.Series([2]),
    SoftmaxCrossEntropy,
    SoftmaxCrossEntropy(),
]

# Valid values that would take too long in a test.
TOO_MUCH = {("max_iter", 2**70), ("n_iter_no_change", 2**70), ("max_fun", 2**70)}


@st.composite
def settings_of_one(draw):
    """Return the name of a parameter and a value, most often an invalid one."""
    name = draw(st.sampled_from(sorted(TinyClassifier().get_params())))
    value = draw(st.sampled_from(ANYTHING))
    if name in CHANGES and draw(st.booleans()):
        value = draw(st.sampled_from(CHANGES[name]))
    too_much = isinstance(value, int) and (name, value) in TOO_MUCH
    foreign = callable(value) and name in ("learning_rate", "scoring")  # a function may raise any error
    return name, 3 if too_much or foreign else value


def test_a_parameter_works_or_the_error_names_it():
    outcomes = Outcomes()

    @MORE
    @given(settings_of_one(), st.sampled_from(["adam", "sgd", "lbfgs"]), st.booleans())
    def fits(setting, solver, partly):
        name, value = setting
        model = quick(**{"solver": solver, name: value})
        if partly and hasattr(model, "partial_fit"):
            model, error = checked_call(model.partial_fit, X_IRIS, IRIS[::5], classes=[0, 1, 2])
        else:
            model, error = checked_call(model.fit, X_IRIS, IRIS[::5])
        outcomes["refused" if error else "works"] += 1
        if error is None:
            check_predictions(model, X_IRIS)
        else:
            is_named = name in str(error) or name.replace("_", " ") in str(error)
            assert is_named or "training diverged" in str(error), (setting, error)

    fits()
    print(outcomes)
    assert outcomes.fraction("works") > 0.2
    assert outcomes.fraction("refused") > 0.3


ARRAYS = [
    np.ones,
    np.zeros,
    lambda s: np.full(s, 1e300),
    lambda s: np.full(s, -3e38),
    lambda s: np.full(s, 1e-310),
]
ARRAYS += [
    lambda s: np.where(np.arange(np.prod(s)).reshape(s) % 2, 3e38, -3e38),
    lambda s: np.ones(s).tolist(),
]
ARRAYS += [
    lambda s: np.full(s, np.nan),
    lambda s: np.ones((*s, 1)),
    lambda s: np.full(s, "x"),
    lambda s: None,
]
ARRAYS += [lambda s: np.ones(s) + 1j, lambda s: np.ones(s, bool), lambda s: 1.0, lambda s: [[1], [1, 2]]]
ARRAYS += [lambda s: np.asfortranarray(np.ones(s, ">f4")), lambda s: np.full(s, None)]


ODD_CLASSES = [[], [1, "a"], [None], 3, {1, 2}, "abc", [[0, 1]], [0.0, np.nan], [[1], [2, 3]], [()], 1j]


class Life(RuleBasedStateMachine):
    """An estimator whose methods are called in any order.

    Calls that fail and calls that do not train leave it unchanged.
    """

    outcomes = Outcomes()

    def __init__(self):
        super().__init__()
        self.model = quick()
        self.expected = None

    def call(self, name, *given, changes=False, **named):
        """Call a method; the predictions may change only if ``changes`` is True and the call works."""
        result, error = checked_call(getattr(self.model, name), *given, **named)
        self.outcomes[f"{name} {'refused' if error else 'works'}"] += 1
        if changes and error is None:
            self.expected = self.predictions()
        else:
            assert self.predictions() == self.expected, (name, error)
        return result, error

    def usual(self):
        """Targets for the usual rows, of the kind that the model was fitted to."""
        classes = KINDS[self.kind] if self.expected is None else self.model.classes_
        codes = np.arange(len(X_IRIS)) % len(classes)
        if self.expected is not None and type(self.model._state.labels) is not Labels:
            return np.eye(len(classes), dtype=int)[codes]
        return np.asarray(classes)[codes]

    def data(self, data, n):
        """Unusual data, whose labels are mostly of the usual kind."""
        kind = data.draw(st.sampled_from([self.kind] * 4 + ["numbers", "words", None]))
        X, y, w = data.draw(features(n, odd=1)), data.draw(labels(n, odd=1, kind=kind)), data.draw(weights(n))
        return (X, y, w) if data.draw(st.booleans()) else (X_IRIS, self.usual(), None)

    def predictions(self):
        """The probabilities of some rows or the error that they cause; None if the model is not fitted."""
        if not hasattr(self.model, "network_"):
            p, error = checked_call(self.model.predict_proba, X0)
            assert isinstance(error, NotFittedError)
            return None
        width = self.model.n_features_in_
        p = check_predictions(self.model, X0[:, :1].repeat(width, axis=1) if width != COLUMNS else X0)
        return p.tobytes() if isinstance(p, np.ndarray) else str(p)

    @initialize(
        changes=parameters,
        kind=st.sampled_from(["numbers", "words", "two", "booleans", "large"]),
        fitted=st.sampled_from([True, True, False]),
    )
    def begin(self, changes, kind, fitted):
        self.model, self.kind = quick(**changes), kind
        if fitted:
            self.call("fit", X_IRIS, self.usual(), changes=True)

    @rule(data=st.data(), n=st.integers(1, N), validates=st.sampled_from([False, False, False, True]))
    def fit(self, data, n, validates):
        more = {}
        if validates:
            more = dict(zip(("X_val", "y_val", "sample_weight_val"), self.data(data, n), strict=True))
        self.call("fit", *self.data(data, n), changes=True, **more)

    @rule(
        data=st.data(),
        n=st.integers(1, N),
        named=st.sampled_from(["known", "known", "known", "all", "backwards", "none", "others", "odd"]),
    )
    def partial_fit(self, data, n, named):
        if not hasattr(self.model, "partial_fit"):
            assert self.model.solver == "lbfgs"
            return
        known = self.model.classes_ if self.expected is not None else None
        classes = {
            "known": KINDS[self.kind] if known is None else known,
            "all": KINDS[self.kind],
            "backwards": list(KINDS[self.kind])[::-1],
            "none": None,
            "others": [5, 6],
            "odd": data.draw(st.sampled_from(ODD_CLASSES)),
        }[named]
        _, error = self.call("partial_fit", *self.data(data, n), classes, changes=True)
        if error is None and known is not None:
            assert np.array_equal(self.model.classes_, known)

    @rule(n=st.integers(1, N), data=st.data())
    def name_the_classes_again(self, n, data):
        """Once the classes are known, naming them again makes no difference."""
        if self.expected is None or not hasattr(self.model, "partial_fit"):
            return
        part = X_IRIS[: 1 + n % 2], self.usual()[: 1 + n % 2], None
        given = data.draw(st.sampled_from([part, self.data(data, n)]))
        outcomes = set()
        for classes in (None, self.model.classes_, self.model.classes_[::-1].tolist()):
            other = copy.deepcopy(self.model)
            _, error = checked_call(other.partial_fit, *given, classes)
            outcomes.add(str(error) if error else other.network_.theta.tobytes())
        assert len(outcomes) == 1

    @rule(setting=settings_of_one(), partly=st.booleans())
    def set_one(self, setting, partly):
        """Train with another value of a parameter; if that is refused, set it back."""
        name, value = setting
        before = self.model.get_params(deep=False)[name]
        self.call("set_params", **{name: value})
        if partly and hasattr(self.model, "partial_fit"):
            _, error = self.call("partial_fit", X_IRIS, self.usual(), changes=True)
        else:
            _, error = self.call("fit", X_IRIS, self.usual(), changes=True)
        if error is not None:
            self.call("set_params", **{name: before})

    @rule(changes=parameters)
    def set_params(self, changes):
        self.call("set_params", **{**quick().get_params(), **changes})

    @rule()
    def set_one_that_does_not_exist(self):
        _, error = self.call("set_params", hidden_layers=3)
        assert "hidden_layers" in str(error)

    @rule(data=st.data(), n=st.integers(1, N))
    def ask(self, data, n):
        X = data.draw(features(n))
        if self.expected is not None:
            found = check_predictions(self.model, X)
            self.outcomes[f"ask {'works' if isinstance(found, np.ndarray) else 'refused'}"] += 1
        for name in ("predict", "predict_proba", "predict_log_proba", "decision_function", "activations"):
            _, error = self.call(name, X)
            assert isinstance(error, NotFittedError) == (self.expected is None)

    @rule(data=st.data(), n=st.integers(1, N))
    def score(self, data, n):
        score, error = self.call("score", *self.data(data, n))
        assert error or 0.0 <= score <= 1.0

    @rule(layer=st.sampled_from([0, -1, 1, -2, 5, None, 0.5, "0", True, np.int8(0), np.nan]))
    def activations(self, layer):
        self.call("activations", X0, layer)

    @rule(
        name=st.sampled_from(["coefs_", "intercepts_"]),
        make=st.sampled_from(ARRAYS),
        index=st.sampled_from([None, 0, -1, slice(0, 1)]),
    )
    def assign(self, name, make, index):
        """Set weights: all of them, or some."""
        if self.expected is None:
            return
        arrays = getattr(self.model, name)
        if index is None:
            values = [make(a.shape) for a in arrays]
            _, error = checked_call(setattr, self.model, name, None if values[0] is None else values)
        elif isinstance(index, slice):
            _, error = checked_call(arrays.__setitem__, index, [make(a.shape) for a in arrays[index]])
        else:
            _, error = checked_call(arrays.__setitem__, index, make(arrays[index].shape))
        self.outcomes[f"assign {'refused' if error else 'works'}"] += 1
        if error is None:
            self.expected = self.predictions()
        assert self.predictions() == self.expected

    @rule(how=st.sampled_from([copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]))
    def copy(self, how):
        self.model = how(self.model)
        assert self.predictions() == self.expected

    @rule()
    def clone(self):
        self.model, self.expected = clone(self.model), None
        assert self.predictions() is None

    @rule()
    def save_and_load(self):
        path = self.folder / "model.npz"
        _, error = self.call("save", path)
        if error is None:
            self.model, error = checked_call(load, path)
            assert error is None
            assert self.predictions() == self.expected

    @rule(callbacks=st.sampled_from([[], [Ends(2, True)], [None], [3], [Ends]]))
    def set_callbacks(self, callbacks):
        self.call("set_callbacks", *callbacks)

    @rule()
    def look(self):
        self.call("__repr__")
        self.call("_repr_html_")
        self.call("__sklearn_tags__")
        assert self.model.get_params(deep=False).keys() == TinyClassifier().get_params(deep=False).keys()


def test_calls_in_any_order_work_or_name_the_cause_and_failed_calls_change_nothing(tmp_path):
    Life.folder = tmp_path
    Life.outcomes.clear()
    run_state_machine_as_test(
        Life,
        settings=settings(stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow]),
    )
    print(Life.outcomes)
