"""Saved models: a loaded model equals the saved one bit for bit, and trains to the same bits."""

import copy
import hashlib
import itertools
import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.archives import replaced
from tests.support.bits import shown
from tests.support.data import DATA, IRIS, LABELS, SPECIES, data_of, names_of
from tests.support.doubles import Crash, Ends
from tests.support.estimators import CUSTOM, PARAMETERS, named, quick
from tests.support.parts import Brier, RMSprop, Swish
from tinyclf import (
    Adam,
    ArchiveError,
    Checkpoint,
    Dense,
    Layer,
    ReLU,
    Tanh,
    TinyClassifier,
    __version__,
    load,
)
from tinyclf.estimator import model_file
from tinyclf.estimator.state import FitState
from tinyclf.persistence import Registry, encode, write_file
from tinyclf.persistence.archive import read_archive, write_archive

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.nn.errors.TrainingWarning"),
    pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50%"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


def reloaded(model, path, custom=CUSTOM):
    model.save(path, custom)
    return load(path, custom)


def outputs(model, X):
    found = [model.predict(X), model.predict_proba(X), model.predict_log_proba(X), model.decision_function(X)]
    if model.n_layers_ > 2:
        found.append(model.activations(X))
    return [output.toarray() if scipy.sparse.issparse(output) else output for output in found]


def assert_same(restored, model, X):
    assert shown(restored) == shown(model)
    assert shown(outputs(restored, X)) == shown(outputs(model, X))
    assert scipy.sparse.issparse(restored.predict(X)) == scipy.sparse.issparse(model.predict(X))


def assert_trains_the_same(restored, model, X, y):
    for call in ("partial_fit", "fit"):
        if call == "partial_fit" and model.solver == "lbfgs":
            continue
        for one in (model, restored):
            np.random.seed(7)  # noqa: NPY002  (for random_state=None)
            if call == "partial_fit" and isinstance(one.class_weight, str):
                one.set_params(class_weight=None)
            if call == "partial_fit" and one.early_stopping != "auto":
                one.set_params(early_stopping=False)
            if call == "fit":
                one.set_params(warm_start=True)
            getattr(one, call)(X, y)
        assert_same(restored, model, X)


# --- round trips -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", PARAMETERS, ids=named)
def test_a_loaded_model_equals_the_saved_one_and_trains_to_the_same_bits(parameters, path):
    model = quick(**parameters).fit(IRIS, SPECIES)
    restored = reloaded(model, path)
    assert_same(restored, model, IRIS)
    assert_trains_the_same(restored, model, IRIS, SPECIES)


@pytest.mark.parametrize("name", DATA)
def test_a_model_of_any_kind_of_data_can_be_saved_and_loaded(name, path):
    X, y, parameters = data_of(name)
    model = quick(**parameters).fit(X, y)
    restored = reloaded(model, path)
    assert_same(restored, model, X)
    assert_trains_the_same(restored, model, X, y)


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_loaded_with_their_dtype(kind, path):
    names = names_of(kind)
    y = names[SPECIES]
    model = quick(class_weight=dict.fromkeys(np.unique(names), 2.0)).fit(IRIS, y)
    restored = reloaded(model, path)
    assert restored.classes_.dtype == model.classes_.dtype
    assert_same(restored, model, IRIS)
    assert_trains_the_same(restored, model, IRIS, y)


@pytest.mark.parametrize("kind", ["str", "int", "day"])
def test_class_weight_with_labels_as_keys_can_be_saved(kind, path):
    names = names_of(kind)
    model = quick(class_weight=dict(zip(names, (1.0, 2.0, 0.5), strict=True))).fit(IRIS, names[SPECIES])
    assert_same(reloaded(model, path), model, IRIS)


def test_a_random_state_is_loaded_with_its_position(path):
    state = np.random.RandomState(3)
    state.standard_normal(7)  # an odd number, so that the state has a cached value
    model = quick(random_state=state).fit(IRIS, SPECIES)
    restored = reloaded(model, path)
    assert restored.random_state is not state
    assert restored.random_state.standard_normal(700).tolist() == state.standard_normal(700).tolist()
    assert_trains_the_same(restored, model, IRIS, SPECIES)


def warm(model):
    return model.fit(IRIS, SPECIES).set_params(warm_start=True, max_iter=2).fit(IRIS, SPECIES)


def in_parts(model):
    model.partial_fit(IRIS[:60], SPECIES[:60], classes=[0, 1, 2])
    return model.partial_fit(IRIS[60:], SPECIES[60:], X_val=IRIS, y_val=SPECIES)


def after_a_fit(model):
    return model.fit(IRIS, SPECIES, X_val=IRIS, y_val=SPECIES).partial_fit(IRIS[:60], SPECIES[:60])


def by_hand(model):
    model.fit(IRIS, SPECIES)
    model.coefs_ = [W * 0.5 for W in model.coefs_]
    model.intercepts_[0][:] = np.nextafter(0, 1, dtype=model.network_.dtype)
    return model


def changed(model):
    return model.fit(IRIS, SPECIES).set_params(
        hidden_layer_sizes=(9, 9), activation=Swish(), loss=Brier(), solver="sgd", dtype="float64"
    )


def not_a_number(model):
    model.fit(IRIS, SPECIES)
    model.coefs_[0][0, 0] = -np.nan
    return model


@pytest.mark.parametrize("history", [warm, in_parts, after_a_fit, by_hand])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_model_with_any_history_can_be_saved_and_loaded(history, solver, path):
    model = history(quick(solver=solver))
    restored = reloaded(model, path)
    assert_same(restored, model, IRIS)
    assert_trains_the_same(restored, model, IRIS, SPECIES)


def test_parameters_set_after_the_fit_are_saved_and_do_not_change_the_fit(path):
    model = changed(quick())
    restored = reloaded(model, path)
    assert shown(restored.get_params()) == shown(model.get_params())
    assert shown(outputs(restored, IRIS)) == shown(outputs(model, IRIS))
    assert restored.network_.dtype == np.float32
    for one in (model, restored):
        one.fit(IRIS, SPECIES)
    assert_same(restored, model, IRIS)


def test_a_loaded_model_can_continue_with_another_optimizer(path):
    model = quick().partial_fit(IRIS, SPECIES, classes=[0, 1, 2]).set_params(solver=RMSprop())
    restored = reloaded(model, path)
    assert_trains_the_same(restored, model, IRIS, SPECIES)


def test_weights_that_are_nan_can_be_saved(path):
    model = not_a_number(quick())
    restored = reloaded(model, path)
    assert shown(restored) == shown(model)
    with pytest.raises(ValueError, match="must be finite, but contain NaN or inf"):
        restored.predict(IRIS)


def test_custom_can_name_an_object_that_only_code_can_create(path):
    scorer = make_scorer(f1_score, average="macro")
    model = quick(scoring=scorer, learning_rate=lambda progress: 1.0 - progress, early_stopping=True)
    model.fit(IRIS, SPECIES)
    custom = {"macro f1": scorer, "falling": model.learning_rate}
    restored = reloaded(model, path, custom)
    assert restored.scoring is scorer
    assert_same(restored, model, IRIS)


def test_functions_that_only_the_fit_needed_are_saved_by_name(path):
    def halved(progress):
        return 0.5

    model = quick(scoring=lambda m, X, y: m.score(X, y), learning_rate=halved, early_stopping=True)
    model.fit(IRIS, SPECIES).set_params(scoring=None, learning_rate="constant")
    restored = reloaded(model, path)
    assert (restored.plan_.scoring, restored.plan_.schedule) == ("<lambda>", "halved")
    assert repr(restored.plan_).replace("'halved'", "halved").replace("'<lambda>'", "<lambda>") == repr(
        model.plan_
    )
    for copied in (restored, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(copied.predict_proba(IRIS), model.predict_proba(IRIS))
        copied.set_params(warm_start=True).fit(IRIS, SPECIES)
        assert copied.plan_.scoring == "accuracy"


def test_the_scorer_of_an_interrupted_fit_is_saved_by_name(path):
    model = quick(scoring=lambda m, X, y: m.score(X, y), early_stopping=True)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.set_callbacks(Ends(2, KeyboardInterrupt)).fit(IRIS, SPECIES)
    restored = reloaded(model.set_params(scoring=None), path)
    np.testing.assert_array_equal(restored.predict_proba(IRIS), model.predict_proba(IRIS))


def test_loaded_models_are_independent_and_writable(path):
    model = quick().fit(IRIS, SPECIES)
    model.save(path)
    one, other = load(path), load(path)
    one.coefs_[0][:] = 0.0
    one.partial_fit(IRIS, SPECIES)
    assert_same(other, model, IRIS)


def test_the_same_model_makes_the_same_file_of_about_the_size_of_its_arrays(path, tmp_path):
    model = quick(hidden_layer_sizes=(300, 200)).fit(IRIS, SPECIES)
    model.save(path)
    load(path).save(tmp_path / "again.npz")
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()
    arrays = 3 * model.network_.theta.nbytes  # weights and the two moments of Adam
    assert arrays < path.stat().st_size < arrays + 20_000


def test_callbacks_and_metadata_requests_are_not_saved(path):
    with config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True).fit(IRIS, SPECIES)
    assert "_metadata_request" in vars(model)
    assert "_metadata_request" not in vars(reloaded(model, path))


def test_a_clone_of_a_loaded_model_is_not_fitted(path):
    restored = reloaded(quick().fit(IRIS, SPECIES), path)
    with pytest.raises(NotFittedError):
        clone(restored).predict(IRIS)
    assert (
        clone(restored).fit(IRIS, SPECIES).predict_proba(IRIS).tolist()
        == restored.predict_proba(IRIS).tolist()
    )


# --- what a file cannot hold -------------------------------------------------------------------------------


class Mine(Layer):
    """A user-defined layer."""

    def forward(self, p, t):
        t.y = t.x

    def backward(self, p, g, t):
        t.dx = t.dy


class Mapped(dict, Mine):
    """A layer whose items are not attributes."""


class Slotted(Mine):
    """A layer whose slots are not attributes."""

    __slots__ = ("rate",)


REFUSED = {
    "activation": [{"activation": Mine()}, {"activation": Mine}, {"activation": [Mine()]}],
    "loss": [{"loss": Brier()}],
    "solver": [{"solver": RMSprop()}],
    "scoring": [
        {"scoring": lambda model, X, y: 0.0, "early_stopping": True},
        {"scoring": make_scorer(f1_score, average="macro"), "early_stopping": True},
    ],
    "learning_rate": [{"learning_rate": lambda progress: 1.0}],
    "solver.learning_rate": [{"solver": Adam(Fraction(1, 1000))}],
    "activation.init": [{"activation": Dense(5, lambda rng, n_in, n_out: (np.ones((n_in, n_out)), 0.0))}],
}


@pytest.mark.parametrize(("what", "parameters"), [(k, v) for k, all_ in REFUSED.items() for v in all_])
def test_the_error_names_a_parameter_that_cannot_be_saved_and_the_fix(what, parameters, path):
    if "." in what:
        model = quick().fit(IRIS, SPECIES).set_params(**parameters)
    else:
        model = quick(**parameters).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match=rf"^{what} is .* is not part of tinyclf. Pass custom=\{{'"):
        model.save(path)
    assert not path.exists()


def test_the_error_names_a_part_of_the_fit_that_cannot_be_saved_if_the_parameters_have_changed(path):
    model = quick(activation=Mine()).fit(IRIS, SPECIES).set_params(activation="relu")
    with pytest.raises(
        ValueError,
        match=r"^plan.layers is Mine\(\), which cannot be saved, since .* Mine is not",
    ):
        model.save(path)
    assert not path.exists()


@pytest.mark.parametrize("cls", [Mapped, Slotted])
def test_objects_with_contents_beside_their_attributes_are_refused(cls, path):
    model = quick(activation=cls()).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match=f"but a {cls.__name__} contains other data, too; pass the object"):
        model.save(path, {cls.__name__: cls})
    custom = {"it": model.activation}
    model.save(path, custom)
    assert load(path, custom).activation is model.activation


@dataclass
class Counting:
    """A schedule with an attribute that is not a field."""

    rate: float

    def __post_init__(self):
        self.calls = 0

    def __call__(self, progress):
        self.calls += 1
        return self.rate / self.calls


def test_all_attributes_of_a_user_defined_object_are_saved(path):
    model = quick(learning_rate=Counting(0.5)).fit(IRIS, SPECIES)
    restored = reloaded(model, path, {"Counting": Counting})
    assert restored.learning_rate.calls == model.learning_rate.calls > 3
    assert_same(restored, model, IRIS)


def test_a_model_that_is_not_fitted_is_refused(path):
    with pytest.raises(NotFittedError):
        quick().save(path)
    assert not path.exists()


def test_a_subclass_is_refused_since_a_file_holds_no_methods(path):
    class MyClassifier(TinyClassifier):
        pass

    with pytest.raises(ValueError, match="but not the subclass MyClassifier, .* pickle the model"):
        MyClassifier(max_iter=1).fit(IRIS, SPECIES).save(path)


def test_a_subclass_that_overrides_save_is_refused_too(path):
    class MyClassifier(TinyClassifier):
        def save(self, path):
            super().save(path)

        def predict(self, X):
            return super().predict(X)[::-1]

    with pytest.raises(ValueError, match="but not the subclass MyClassifier, .* pickle the model"):
        MyClassifier(max_iter=1).fit(IRIS, SPECIES).save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"alpha": -1.0}, "The 'alpha' parameter"),
        ({"hidden_layer_sizes": (3, -1)}, "hidden_layer_sizes must be whole numbers > 0"),
        ({"dropout": [0.1, 0.2]}, "dropout must be >= 0 and < 1"),
        ({"dtype": "float16"}, "is too narrow to compute in"),
        ({"loss": "sigmoid_cross_entropy"}, "Only binary classification"),
        ({"random_state": np.random.RandomState(np.random.PCG64(0))}, "MT19937"),
    ],
)
def test_a_model_that_could_not_be_loaded_is_not_saved(parameters, reason, path):
    model = quick().fit(IRIS, SPECIES).set_params(**parameters)
    with pytest.raises(ValueError, match=f"cannot be saved, since it could not be loaded again: .*{reason}"):
        model.save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("custom", "error", "match"),
    [
        ({"ReLU": Mine}, ValueError, r"names of tinyclf's own classes, \['ReLU'\]; choose other names"),
        ({3: Mine}, TypeError, "custom must be a dict from names to classes and functions, got {3: "),
        ([Mine], TypeError, "custom must be a dict from names"),
    ],
)
def test_an_invalid_custom_is_refused_in_saving_and_loading(custom, error, match, path):
    model = quick().fit(IRIS, SPECIES)
    with pytest.raises(error, match=match):
        model.save(path, custom)
    model.save(path)
    with pytest.raises(error, match=match) as caught:
        load(path, custom)
    assert not isinstance(caught.value, ArchiveError)


def test_custom_may_contain_a_class_of_tinyclf(path):
    assert_same(reloaded(model := quick().fit(IRIS, SPECIES), path, {"ReLU": ReLU}), model, IRIS)


def test_the_error_names_a_class_that_is_missing_in_custom(path):
    quick(activation=Swish(), loss=Brier()).fit(IRIS, SPECIES).save(path, CUSTOM)
    for custom in (None, {"Brier": Brier}):
        with pytest.raises(
            ArchiveError, match=r"needs 'Swish', .* part of tinyclf; load it with custom=\{'Swish': "
        ):
            load(path, custom)


# --- invalid contents --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The JSON and the arrays of a checkpoint, a file with all optional parts."""
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    X, y = pd.DataFrame(IRIS, columns=list("pqrs")), np.array(["a", "b", "c"])[SPECIES]
    model = quick(hidden_layer_sizes=(4, 3), random_state=np.random.RandomState(0), class_weight={"a": 2.0})
    with pytest.raises(Crash):
        model.set_callbacks(Checkpoint(path, resume=True), Ends(2, Crash)).fit(X, y, X_val=X, y_val=y)
    return read_archive(path)


def found(node, test):
    """Yield the paths in JSON whose values pass a test."""
    if test(node):
        yield ()
    for key, item in (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        yield from ((key, *place) for place in found(item, test))


P, S = ("content", "parameters"), ("content", "state")
LAYERS_AT, TREE, TRAINING, SCALING = (
    (*S, "plan", "layers"),
    (*S, "labels", "classes"),
    (*S, "training"),
    (*S, "scaling"),
)
PLAN, HISTORY, BEST, PATIENCE = ((*S, part) for part in ("plan", "history", "best", "patience"))
STREAM, RANDOM = (*TRAINING, "generators", 0, "state"), (*P, "random_state", "state")
NUMBER, SOME = {"$": "scalar", "at": 14}, {"$": "array", "at": 14}
PLAIN_SGD = {
    "$": "object",
    "class": "SGD",
    "fields": {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
}
NAN, TWICE = {"$": "float", "value": "nan"}, [["a", 1.0], ["a", 2.0]]
ENDLESS = np.empty((10**9, 0))  # it holds no bytes, but iterating over it creates an array for each row
WRONG = [
    # (path in the JSON, value, array 14, words of the error)
    ((*P, "class_weight"), {"$": "tuple", "items": SOME}, ENDLESS, "items are not a list"),
    ((*P, "class_weight"), {"$": "dict", "items": SOME}, ENDLESS, "items of a dict are not pairs"),
    ((*P, "class_weight"), {"$": "dict", "items": [SOME]}, ENDLESS, "items of a dict are not pairs"),
    ((*P, "class_weight"), {"$": "dict", "items": ["ab"]}, None, "items of a dict are not pairs"),
    ((*P, "class_weight"), {"$": "dict", "items": TWICE}, None, "a dict has the same key twice"),
    ((*P, "class_weight"), {"$": "objects", "shape": [2], "items": "ab"}, None, "items are not a list"),
    (
        (*P, "class_weight"),
        {"$": "objects", "shape": [1], "items": [SOME]},
        ENDLESS,
        "The 'class_weight' param",
    ),
    ((*P, "hidden_layer_sizes"), SOME, ENDLESS, "must be whole numbers"),
    ((*P, "dropout"), SOME, ENDLESS, "dropout must be >= 0 and < 1"),
    (TREE, SOME, ENDLESS, "classes must be a vector with at least one class"),
    (("format",), "tinyclf.Network", None, "not a saved model, but has another format"),
    (("format",), ..., None, "not a saved model, but has another format"),
    *(
        (("version",), v, None, "its version must be a whole number >= 1")
        for v in (0, -1, "x", True, 1.0, None, [1])
    ),
    (("version",), 10**400, None, "by a newer tinyclf"),
    (("version",), ..., None, "its version must be a whole number >= 1, got None"),
    (("content",), ..., None, "it contains .* instead of"),
    (("made_by",), ..., None, "it contains .* instead of"),
    (("more",), 1, None, "it contains .* instead of"),
    (("content",), [], None, "are not used by any value"),
    (("content", "fit"), ..., None, "its content must have the parts"),
    (("content", "more"), 1, None, "its content must have the parts"),
    (("made_by",), "0.1", np.zeros(3), r"the arrays \[14\] are not used by any value"),
    (P, [], None, "are not used by any value"),
    ((*P, "alpha"), ..., None, r"missing or unknown parameters of TinyClassifier: \['alpha'\]"),
    ((*P, "beta"), 1, None, r"missing or unknown parameters of TinyClassifier: \['beta'\]"),
    ((*P, "alpha"), -1.0, None, "The 'alpha' parameter"),
    ((*P, "alpha"), {"$": "name", "name": "ReLU"}, None, "The 'alpha' parameter"),
    ((*P, "alpha"), 2**128, None, "a whole number has too many digits"),
    ((*P, "alpha"), {"$": "scalar", "at": 14}, np.zeros(1), r"a single number has shape \(1,\)"),
    ((*P, "dtype"), {"$": "dtype", "at": 14}, np.zeros(1), r"a dtype has shape \(1,\)"),
    ((*P, "dtype"), "float16", None, "too narrow to compute in"),
    ((*P, "dtype"), {"$": "dict", "items": []}, None, "dtype"),
    ((*P, "hidden_layer_sizes"), [0], None, "must be whole numbers > 0"),
    ((*P, "activation"), {"$": "name", "name": "system"}, None, "needs 'system', which is not"),
    ((*P, "activation"), {"$": "object", "class": "os.system", "fields": {}}, None, "needs 'os.syst"),
    (
        (*P, "activation"),
        {"$": "object", "class": "linear", "fields": {"progress": 1}},
        None,
        "is not a class",
    ),
    (
        (*P, "activation"),
        {"$": "object", "class": "Dense", "fields": {}},
        None,
        r"Dense must have the fields \['init', 'units'\], got \[\]",
    ),
    ((*P, "activation"), {"$": "object", "class": "Dense", "fields": []}, None, "AttributeError"),
    ((*P, "activation"), {"$": "object", "class": ["Dense"], "fields": {}}, None, "unhashable"),
    ((*P, "activation"), {"$": "class", "name": "ReLU"}, None, "unknown kind 'class'"),
    ((*P, "activation"), {"$": ["name"], "name": "ReLU"}, None, "unhashable"),
    ((*P, "activation"), {"$": "name", "name": "ReLU", "more": 1}, None, "unknown kind"),
    ((*P, "activation"), {"name": "ReLU"}, None, "unknown kind"),
    ((*S, "theta"), ..., None, "the state of the fit has the parts"),
    ((*S, "more"), 1, None, "the state of the fit has the parts"),
    (S, None, None, "are not used by any value"),
    *(
        ((*S, "n_features"), n, None, "the number of features must be a whole number >= 1")
        for n in (0, -1, True, 4.0, "4", None)
    ),
    ((*S, "n_features"), 5, None, "the layers need at least"),
    ((*S, "n_features"), 3, None, "weights|shape"),
    ((*S, "n_features"), 10**9, None, "the layers need at least"),
    (
        ("content", "feature_names"),
        {"$": "objects", "shape": [4], "items": [1, 2, 3, 4]},
        None,
        "feature_names_in_ must be 4 strings",
    ),
    (("content", "feature_names"), {"$": "objects", "shape": [10**12], "items": []}, None, "reshape"),
    (
        ("content", "feature_names"),
        {"$": "objects", "shape": [1], "items": ["p"]},
        None,
        "feature_names_in_ must",
    ),
    (("content", "feature_names"), list("pqrs"), None, "feature_names_in_ must be 4 strings"),
    ((*S, "labels"), {"$": "name", "name": "Labels"}, None, "labels has the wrong type"),
    (TREE, SOME, np.array(["b", "a", "c"]), "classes must be sorted and distinct"),
    (TREE, SOME, np.array(["a", "a", "c"]), "classes must be sorted and distinct"),
    (TREE, SOME, np.array([np.nan, 1.0, 2.0]), "classes must be sorted and distinct"),
    (TREE, SOME, np.array([["a", "b", "c"]]), "classes must be a vector with at least one class"),
    (TREE, SOME, np.array([], str), "classes must be a vector with at least one class"),
    (TREE, SOME, np.array("a"), "classes must be a vector with at least one class"),
    (TREE, SOME, np.array(["a", "b"]), "the network has 3 outputs, but 2 classes need 2"),
    (TREE, ["a", "b", "c"], None, "classes must be a vector with at least one class"),
    (TREE, {"$": "objects", "shape": [3], "items": [1, 2, 3]}, None, "classes must be sorted and distinct"),
    (
        TREE,
        {"$": "objects", "shape": [3], "items": ["a", 2, None]},
        None,
        "classes must be sorted and distinct",
    ),
    ((*LAYERS_AT, 0, "units"), 10**9, None, "the layers need at least 5000000000 weights, but there are"),
    ((*LAYERS_AT, 0, "units"), 10**30, None, "the layers need at least"),
    ((*LAYERS_AT, 0, "units"), NUMBER, np.int32(2**30), "the layers need at least"),
    ((*LAYERS_AT, 0, "units"), NUMBER, np.int64(2**62), "the layers need at least"),
    ((*LAYERS_AT, 0, "units"), 3, None, "weights|shape"),
    ((*LAYERS_AT, 0, "units"), 0, None, "the units of Dense"),
    ((*LAYERS_AT, 0, "units"), 2.5, None, "the units of Dense"),
    ((*LAYERS_AT, 0, "init"), {"$": "name", "name": "Dense"}, None, "weights|Error|whole number"),
    ((*LAYERS_AT, 0, "init"), None, None, "init must be a function"),
    ((*LAYERS_AT, 0), {"$": "object", "class": "ReLU", "fields": {}}, None, "must begin with Dense layers"),
    ((*LAYERS_AT, 0), {"$": "name", "name": "Dense"}, None, "layers must be a list of layers"),
    ((*LAYERS_AT, 1, "fields"), {"rate": 1.0}, None, "TypeError"),
    ((*S, "labels", "named"), 1, None, "TypeError"),
    (LAYERS_AT, [], None, "must begin with Dense layers"),
    *(
        ((*PLAN, "hidden_ends"), ends, None, "must begin with Dense layers")
        for ends in ([], [2], [4, 2], [2, 2, 4], [2, 9], [-2, 4])
    ),
    *(
        ((*PLAN, "hidden_ends"), ends, None, "hidden_ends must be a list of whole numbers")
        for ends in (None, [True, 4], ["2"])
    ),
    ((*PLAN, "loss"), "log_loss", None, "loss must be a Loss, got 'log_loss'"),
    (
        (*PLAN, "loss"),
        {"$": "object", "class": "SigmoidCrossEntropy", "fields": {"label_smoothing": 0.0}},
        None,
        "binary",
    ),
    ((*PLAN, "solver"), "adam", None, "solver must be one of"),
    ((*PLAN, "learning_rate_rule"), None, None, "learning_rate_rule must be one of"),
    ((*PLAN, "validation"), [], None, "validation must be one of"),
    *(
        ((*PLAN, name), n, None, rf"{name} must be a whole number >= [01]")
        for name in (
            "n_outputs",
            "max_iter",
            "max_fun",
            "batch_size",
            "refit_batch_size",
            "n_train",
            "n_validation",
        )
        for n in (-1, True, 2.0, "2", None)
    ),
    *(
        ((*PLAN, name), value, None, rf"{name} must be (in|a number)")
        for name in ("alpha", "power_t", "tol", "n_iter_no_change", "validation_fraction", "max_grad_norm")
        for value in ("1", NAN)
    ),
    ((*PLAN, "alpha"), -1.0, None, "alpha must be in"),
    ((*PLAN, "validation_fraction"), 2.0, None, "validation_fraction must be in"),
    *(
        ((*PLAN, name), value, None, f"{name} must be True or False")
        for name in (
            "ends_by_schedule",
            "shuffle",
            "early_stopping",
            "monitor",
            "scale_inputs",
            "refit",
            "verbose",
        )
        for value in (1, None)
    ),
    ((*PLAN, "schedule"), 3, None, "schedule must be a function or a name, got 3"),
    ((*PLAN, "scoring"), 1, None, "scoring must be a function"),
    ((*PLAN, "batch_size_warning"), 1, None, "batch_size_warning must be a string or None"),
    ((*PLAN, "dtype"), "float32", None, "dtype must be float32 or float64"),
    ((*PLAN, "dtype"), {"$": "name", "name": "float32"}, None, "dtype must be float32 or float64"),
    ((*PLAN, "dtype"), {"$": "dtype", "at": 14}, np.zeros(0, np.float16), "dtype must be float32 or float64"),
    ((*PLAN, "dtype"), {"$": "dtype", "at": 14}, np.zeros(0, ">f4"), "dtype must be float32 or float64"),
    ((*PLAN, "more"), 1, None, "FitPlan must have the fields"),
    ((*PLAN, "alpha"), ..., None, "FitPlan must have the fields"),
    (PLAN, None, None, "plan has the wrong type"),
    ((*S, "theta"), SOME, np.zeros(46, np.float32), "the layers need at least 47 weights, but there are 46"),
    ((*S, "theta"), SOME, np.zeros(48, np.float32), "shape"),
    *(
        ((*S, "theta"), SOME, theta, "the vector of weights must be a vector of float32")
        for theta in (
            np.zeros(47, np.float16),
            np.zeros(47),
            np.zeros(47, np.int32),
            np.zeros((47, 1), np.float32),
        )
    ),
    ((*S, "theta"), NUMBER, np.float32(1), "the vector of weights must be a vector of float32"),
    ((*S, "theta"), [0.0] * 47, None, "the vector of weights must be a vector of float32"),
    *(
        ((*S, "theta", "at"), at, None, "is missing, or belongs to two values|unhashable")
        for at in (-1, 10**9, "2", 1.5, None, [2], 0)
    ),
    *(
        (
            (*SCALING, column),
            SOME,
            values,
            "statistics of the columns must be vectors of float64 of the same length",
        )
        for column in ("mean", "deviation", "nonzero_weight", "nonzero_rms", "low", "high")
        for values in (np.zeros(3), np.zeros(4, np.float32), np.zeros((4, 1)), np.zeros(()))
    ),
    *(
        ((*SCALING, column), value, None, "statistics of the columns must be vectors of float64")
        for column in ("mean", "low")
        for value in ([0.0] * 4, None)
    ),
    *(
        ((*SCALING, "total_weight"), total, None, "the total weight of the rows must be finite")
        for total in (-1.0, NAN, {"$": "float", "value": "inf"}, 1, None)
    ),
    ((*SCALING, "total_weight"), {"$": "float", "value": "one"}, None, "a number is written as 'one'"),
    ((*SCALING, "total_weight"), {"$": "float", "value": 1}, None, "a number is written as '1'"),
    ((*SCALING, "centered"), 1, None, "centered must be a bool"),
    ((*SCALING, "total_weight"), ..., None, "Scaling must have the fields"),
    (SCALING, {"$": "name", "name": "Scaling"}, None, "scaling has the wrong type"),
    ((*TRAINING, "optimizer"), "adam", None, "optimizer must be an instance of Optimizer"),
    ((*TRAINING, "optimizer", "beta_1"), 2.0, None, "beta_1 must be in"),
    ((*TRAINING, "optimizer", "learning_rate"), "x", None, "learning_rate must be a number"),
    ((*TRAINING, "optimizer"), PLAIN_SGD, None, "optimizer state"),
    ((*TRAINING, "arrays", "items", 0, 0), "W", None, "optimizer state"),
    ((*TRAINING, "arrays", "items", 0, 0), [], None, "unhashable"),
    ((*TRAINING, "arrays", "M"), ..., None, "optimizer state"),
    ((*TRAINING, "arrays"), [], None, "optimizer state"),
    ((*TRAINING, "arrays", "M"), SOME, np.zeros(46, np.float32), "optimizer state"),
    ((*TRAINING, "arrays", "V"), SOME, np.zeros((47, 1), np.float32), "optimizer state"),
    ((*TRAINING, "arrays", "V"), [0.0] * 47, None, "optimizer state"),
    ((*TRAINING, "arrays", "M"), SOME, np.zeros(47), "optimizer state"),
    *(
        ((*TRAINING, name), n, None, "must be a whole number >= 0")
        for name in ("t", "epoch")
        for n in (-1, 2.0, True, None, "2")
    ),
    *(
        ((*TRAINING, "scale"), scale, None, "scale must be a finite")
        for scale in (-1.0, 1, "1", None, NAN, {"$": "float", "value": "inf"})
    ),
    *(
        ((*TRAINING, name), ..., None, "must have the parts")
        for name in ("t", "scale", "generators", "arrays")
    ),
    (TRAINING, [], None, "must have the parts"),
    ((*TRAINING, "more"), 1, None, "must have the parts"),
    *(((*TRAINING, "generators"), g, None, "must have two random generators") for g in ([], None, [5, 6])),
    ((*TRAINING, "generators", 0), 5, None, "must have two random generators"),
    ((*STREAM, "bit_generator"), "MT19937", None, "PCG64"),
    ((*STREAM, "state", "state"), -1, None, "OverflowError"),
    ((*STREAM, "state", "state"), 2**128, None, "too many digits"),
    ((*STREAM, "state", "state"), "1", None, "Error"),
    ((*STREAM, "state", "items", 0), [1], None, "not pairs"),
    ((*STREAM, "uinteger"), 2**64, None, "OverflowError"),
    (STREAM, [], None, "Error|state"),
    *(
        ((*RANDOM, "state", "pos"), pos, None, "the state of a RandomState is invalid")
        for pos in (625, 2**31 - 1, -1)
    ),
    ((*RANDOM, "state", "pos"), 2**40, None, "OverflowError"),
    ((*RANDOM, "state", "key"), SOME, np.zeros(3, int), "Error"),
    ((*RANDOM, "state", "key"), SOME, np.array("x"), "Error"),
    (RANDOM, None, None, "Error|dict"),
    (PATIENCE, {"$": "name", "name": "Patience"}, None, "patience has the wrong type"),
    (PATIENCE, None, None, "an unfinished fit must have patience"),
    ((*PATIENCE, "tol"), -1.0, None, "tol must be in"),
    ((*PATIENCE, "best_loss"), None, None, "best_loss must be a float"),
    *(
        (
            (*PATIENCE, "epochs_without_improvement"),
            n,
            None,
            "epochs_without_improvement must be a whole number",
        )
        for n in (0.5, -1, True, None)
    ),
    ((*HISTORY, "n_samples_seen"), ..., None, "History must have the fields"),
    *(
        ((*HISTORY, "n_samples_seen"), t, None, "n_samples_seen must be a whole number")
        for t in (-1, 1.0, None, "1", [1])
    ),
    ((*HISTORY, "n_samples_seen"), 10**400, None, "too many digits"),
    ((*HISTORY, "learning_rate_scales"), [1.0] * 3, None, "n_iter must be a whole number from 0 to 2, got 3"),
    ((*HISTORY, "learning_rate_scales"), [1.0], None, "a fit of 1 epochs"),
    ((*HISTORY, "learning_rate_scales"), 5, None, "learning_rate_scales must be a list of floats"),
    ((*HISTORY, "learning_rate_scales"), None, None, "learning_rate_scales must be a list of floats"),
    *(
        ((*HISTORY, "best_epoch"), n, None, "best_epoch must be a whole number")
        for n in (0, 3, 10**9, 1.0, True)
    ),
    *(
        ((*HISTORY, "loss_curve"), c, None, "loss_curve must be a list of floats")
        for c in (None, [1, 2], [[1.0]], 1.0)
    ),
    ((*HISTORY, "loss_curve"), [1.0], None, "n_iter must be a whole number from 0 to 1, got 2"),
    ((*HISTORY, "loss_curve"), [1.0] * 3, None, "a fit of 2 epochs, of at most 3, has 3 losses"),
    ((*HISTORY, "validation_scores"), None, None, "must have the same length"),
    ((*HISTORY, "validation_scores"), [1.0], None, "must have the same length"),
    ((*HISTORY, "loss"), None, None, "loss must be a float"),
    ((*HISTORY, "best_validation_score"), 1, None, "best_validation_score must be a float"),
    ((*HISTORY, "best_validation_score"), None, None, "the best score is None"),
    ((*HISTORY, "more"), 1, None, "History must have the fields"),
    (HISTORY, [], None, "history has the wrong type"),
    ((*PLAN, "monitor"), False, None, "monitor=False has 2 scores"),
    ((*PLAN, "max_iter"), 1, None, "a fit of 2 epochs, of at most 1"),
    *(((*S, "calibration"), c, None, "calibration has the wrong type") for c in (1.0, "1", [])),
    *(
        (
            (*S, "calibration"),
            {"$": "object", "class": "Calibration", "fields": {"shrinkage": shrinkage, "prior": SOME}},
            prior,
            match,
        )
        for shrinkage, prior, match in (
            (2.0, np.zeros(3), "shrinkage of the logits must be from 0 to 1"),
            (NAN, np.zeros(3), "shrinkage of the logits must be from 0 to 1"),
            (1, np.zeros(3), "shrinkage of the logits must be from 0 to 1"),
            (0.5, np.zeros(3, np.float32), "must be a vector of float64"),
            (0.5, np.full(3, np.nan), "must be finite"),
            (0.5, np.zeros(2), "must have 3 entries, got 2"),
            (0.5, np.zeros(3), "no calibration yet"),
        )
    ),
    ((*S, "seed"), SOME, np.zeros(4), "the seed must be a vector of uint32"),
    ((*S, "seed"), SOME, np.zeros(3, np.uint32), "the seed must have 4 entries"),
    (BEST, None, None, "best has the wrong type"),
    ((*BEST, "score"), None, None, "the best score must be a float"),
    ((*BEST, "epoch"), None, None, "the best epoch is None, but its weights are"),
    *(((*BEST, "epoch"), n, None, "the best epoch must be a whole number >= 1") for n in (0, -1, 1.0, True)),
    ((*BEST, "epoch"), 3, None, "the best epoch, 3, is after the last, 2"),
    ((*BEST, "theta"), SOME, np.zeros(46, np.float32), "the best weights must have 47 entries"),
    ((*BEST, "theta"), SOME, np.zeros(47), "the best weights must be a vector of float32"),
    *(
        ((*S, name), value, None, f"{name} has the wrong type")
        for name in ("stopped", "finished")
        for value in (1, None)
    ),
    *((("content", "fit"), fit, None, "must be a dict of strings") for fit in ([], 5, "all")),
    (("content", "fit"), {"$": "dict", "items": 5}, None, "not pairs"),
    (("content", "fit", "items", 0, 0), 5, None, "must be a dict of strings"),
    (("content", "fit", "X"), SOME, np.zeros(2), "must be a dict of strings"),
]


@pytest.mark.parametrize(("place", "value", "array", "match"), WRONG)
def test_invalid_contents_are_refused_with_a_reason(place, value, array, match, saved, path):
    plain, arrays = saved
    write_archive(path, replaced(plain, place, value), arrays if array is None else [*arrays, array])
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match=rf"^'.*model.npz' cannot be loaded: (?s:.*)({match})"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


PARTS = {"parameters": quick().get_params(deep=False), "feature_names": None, "state": None, "fit": None}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([], "its content must have the parts"),
        ({}, "its content must have the parts"),
        ({**PARTS, "parameters": []}, r"its parameters must be a dict, got \[\]"),
        ({**PARTS, "parameters": None}, "its parameters must be a dict, got None"),
        (PARTS, "its state has the wrong type, NoneType"),
        ({**PARTS, "state": FitState}, "its state has the wrong type, type"),
        ({**PARTS, "state": ReLU()}, "its state has the wrong type, ReLU"),
    ],
)
def test_contents_of_other_types_are_refused_with_a_reason(content, match, path):
    plain, arrays = encode(content, Registry(model_file.OWN))
    write_file(path, plain, arrays, format=model_file.FORMAT, version=model_file.VERSION)
    with pytest.raises(ArchiveError, match=f"^'.*model.npz' cannot be loaded: {match}"):
        load(path)


@pytest.mark.parametrize(("version", "age"), [(1, "an older"), (3, "a newer"), (2**127, "a newer")])
def test_another_version_of_the_format_is_refused_with_both_versions_and_the_fix(version, age, saved, path):
    plain, arrays = saved
    write_archive(path, {**plain, "version": version, "made_by": "0.9"}, arrays)
    message = (
        rf"^'.*model.npz' cannot be loaded: it was saved in version {version} of the format, by {age} "
        rf"tinyclf, 0.9; this one, {__version__}, reads version 2. Load it with the tinyclf that saved it, "
        "or fit the model again$"
    )
    with pytest.raises(ArchiveError, match=message):
        load(path)
    with pytest.raises(ArchiveError, match=message):
        quick().set_callbacks(Checkpoint(path, resume=True)).fit(IRIS, SPECIES)


@pytest.mark.parametrize("made_by", ["0.0.1", "99.0", None])
def test_a_file_is_loaded_whichever_release_has_saved_it(made_by, saved, path):
    plain, arrays = saved
    write_archive(path, replaced(plain, ("made_by",), made_by), arrays)
    assert load(path).predict(pd.DataFrame(IRIS, columns=list("pqrs"))).shape == (150,)


@pytest.mark.parametrize("plain", [None, 1, "model", [], {}, {"format": "tinyclf.TinyClassifier"}, {"a": 1}])
def test_an_archive_of_something_else_is_refused(plain, path):
    write_archive(path, plain, [])
    with pytest.raises(ArchiveError, match="cannot be loaded"):
        load(path)


def test_an_array_that_two_values_use_is_refused(saved, path):
    plain, arrays = saved
    at = list(found(plain, lambda node: isinstance(node, dict) and node.get("$") == "array"))
    assert len(at) == len(arrays) - 1 == 13  # the last array holds a dtype
    write_archive(path, replaced(plain, (*at[2], "at"), 4), arrays)
    with pytest.raises(ArchiveError, match="array 4 is missing, or belongs to two values"):
        load(path)


# --- joblib, pickle and skops ------------------------------------------------------------------------------


WAYS = {"tinyclf": load, "joblib": joblib.load, "pickle": lambda path: pickle.loads(path.read_bytes())}


def digests(folder):
    """Hashes of the predictions of the models in a folder, and of their weights after another epoch."""
    hashes = []
    for name, way in itertools.product(DATA, WAYS):
        X, y = joblib.load(folder / name)
        model = WAYS[way](folder / f"{name}.{way}")
        hashes.append(hashlib.sha256(model.predict_proba(X).tobytes()).hexdigest())
        hashes.append(hashlib.sha256(model.partial_fit(X, y).network_.theta.tobytes()).hexdigest())
    return hashes


def test_a_model_predicts_and_trains_the_same_in_another_process(tmp_path):
    expected = []
    for name in DATA:
        X, y, parameters = data_of(name)
        model = quick(**parameters).fit(X, y)
        joblib.dump((X, y), tmp_path / name)
        joblib.dump(model, tmp_path / f"{name}.joblib")
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(model))
        model.save(tmp_path / f"{name}.tinyclf")
        predicted = hashlib.sha256(model.predict_proba(X).tobytes()).hexdigest()
        trained = hashlib.sha256(model.partial_fit(X, y).network_.theta.tobytes()).hexdigest()
        expected += 3 * [predicted, trained]
    root = str(Path(__file__).parents[2])
    code = f"import sys, pathlib; sys.path.insert(0, {root!r}); from tests.estimator import test_model_file\n"
    code += f"print(*test_model_file.digests(pathlib.Path({str(tmp_path)!r})), sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == expected


@pytest.mark.parametrize("parameters", PARAMETERS, ids=named)
def test_a_pickle_and_a_copy_equal_the_model(parameters):
    model = quick(**parameters).fit(IRIS, SPECIES)
    for restored in (pickle.loads(pickle.dumps(model, 5)), copy.deepcopy(model), copy.copy(model)):
        assert_same(restored, model, IRIS)
    assert copy.copy(model).network_ is model.network_
    assert copy.deepcopy(model).network_ is not model.network_
    assert_trains_the_same(pickle.loads(pickle.dumps(model, 5)), model, IRIS, SPECIES)


@pytest.mark.parametrize(
    "make", [changed, not_a_number, lambda model: model.fit(IRIS, SPECIES).set_params(alpha=-1)]
)
def test_a_model_with_changed_or_invalid_parameters_or_nan_can_be_pickled(make):
    model = make(quick())
    assert shown(pickle.loads(pickle.dumps(model))) == shown(model)


def test_a_pickled_subclass_keeps_its_class():
    unpickled = pickle.loads(pickle.dumps(Subclass(max_iter=1).fit(IRIS, SPECIES)))
    assert type(unpickled) is Subclass


class Subclass(TinyClassifier):
    """A subclass at module level, which pickle finds by its name."""


def test_a_pickle_keeps_callbacks_and_metadata_requests(path):
    with config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True).set_callbacks(Checkpoint(path)).fit(IRIS, SPECIES)
        restored = pickle.loads(pickle.dumps(model))
        assert vars(restored).keys() == vars(model).keys()
        assert type(restored._skl_callbacks[0]) is Checkpoint
        assert restored.get_metadata_routing().fit.requests["sample_weight"] is True


def test_a_memory_mapped_model_can_be_saved(path, tmp_path):
    model = quick().fit(IRIS, np.array([1.5, 2.5, 3.5]).astype(int)[SPECIES])
    joblib.dump(model, tmp_path / "model")
    restored = joblib.load(tmp_path / "model", mmap_mode="r")
    assert_same(reloaded(restored, path), model, IRIS)


@pytest.mark.parametrize("name", DATA)
def test_skops_needs_to_trust_one_type_only(name):
    skops = pytest.importorskip("skops.io")
    X, y, parameters = data_of(name)
    model = quick(**parameters).fit(X, y)
    data = skops.dumps(model)
    assert skops.get_untrusted_types(data=data) == ["tinyclf.estimator.classifier.TinyClassifier"]
    assert_same(skops.loads(data, trusted=["tinyclf.estimator.classifier.TinyClassifier"]), model, X)


def test_skops_needs_to_trust_no_types_of_parameters():
    skops = pytest.importorskip("skops.io")
    model = quick(solver=Adam(1e-3), activation=[Tanh()]).partial_fit(IRIS, SPECIES, classes=[0, 1, 2])
    data = skops.dumps(model)
    assert skops.get_untrusted_types(data=data) == ["tinyclf.estimator.classifier.TinyClassifier"]


def test_skops_can_save_a_pipeline():
    skops = pytest.importorskip("skops.io")
    pipeline = make_pipeline(StandardScaler(), quick()).fit(IRIS, SPECIES)
    pipeline[-1].partial_fit(IRIS, SPECIES)
    restored = skops.loads(skops.dumps(pipeline), trusted=["tinyclf.estimator.classifier.TinyClassifier"])
    assert restored.predict_proba(IRIS).tobytes() == pipeline.predict_proba(IRIS).tobytes()


def test_invalid_contents_of_pickles_are_refused():
    plain, arrays = quick().fit(IRIS, SPECIES).__getstate__()["_packed"]
    for before, after, match in (
        ('"version": 2', '"version": 0', "its version must be a whole number >= 1, got 0"),
        ('"version": 2', '"version": 1', "it was saved in version 1 of the format, by an older tinyclf"),
        ('"version": 2', '"version": 3', "it was saved in version 3 of the format, by a newer tinyclf"),
        ('"epoch": null', '"epoch": 0', "the best epoch"),
        ('"n_outputs": 3', '"n_outputs": 4', "the network has 3 outputs"),
    ):
        assert plain.count(before) == 1
        with pytest.raises(ArchiveError, match=f"^the pickled model cannot be loaded: {match}"):
            TinyClassifier().__setstate__({"_packed": (plain.replace(before, after), arrays)})
    with pytest.raises(ArchiveError, match="array 0 is missing"):
        TinyClassifier().__setstate__({"_packed": (plain, [])})
