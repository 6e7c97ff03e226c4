"""Saved models: what comes out of a file is what went in, bit for bit, and goes on as it would have."""

import copy
import hashlib
import itertools
import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from persisted import (
    CUSTOM,
    DATA,
    IRIS,
    LABELS,
    PARAMETERS,
    SPECIES,
    Crash,
    Ends,
    data_of,
    names_of,
    quick,
    shown,
)
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from table import Brier, RMSprop, Swish

from tinyclf import (
    Adam,
    ArchiveError,
    Checkpoint,
    Dense,
    EarlyStopping,
    Layer,
    ReLU,
    Tanh,
    TinyClassifier,
    load,
)
from tinyclf.archive import read_archive, write_archive

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::tinyclf.errors.TrainingWarning"),
    pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50%"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


def reloaded(model, path, custom=CUSTOM):
    model.save(path, custom)
    return load(path, custom)


def answers(model, X):
    found = [model.predict(X), model.predict_proba(X), model.predict_log_proba(X), model.decision_function(X)]
    if model.n_layers_ > 2:
        found.append(model.activations(X))
    return [answer.toarray() if scipy.sparse.issparse(answer) else answer for answer in found]


def assert_same(twin, model, X):
    assert shown(twin) == shown(model)
    assert shown(answers(twin, X)) == shown(answers(model, X))
    assert scipy.sparse.issparse(twin.predict(X)) == scipy.sparse.issparse(model.predict(X))


def assert_goes_on_the_same(twin, model, X, y):
    for call in ("partial_fit", "fit"):
        if call == "partial_fit" and model.solver == "lbfgs":
            continue
        for one in (model, twin):
            np.random.seed(7)  # noqa: NPY002  (of random_state=None)
            if call == "partial_fit" and isinstance(one.class_weight, str):
                one.set_params(class_weight=None)
            if call == "partial_fit" and one.early_stopping != "auto":
                one.set_params(early_stopping=False)
            if call == "fit":
                one.set_params(warm_start=True)
            getattr(one, call)(X, y)
        assert_same(twin, model, X)


# --- round trips -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_a_model_comes_back_as_it_was_and_goes_on_as_it_would_have(parameters, path):
    model = quick(**parameters).fit(IRIS, SPECIES)
    twin = reloaded(model, path)
    assert_same(twin, model, IRIS)
    assert_goes_on_the_same(twin, model, IRIS, SPECIES)


@pytest.mark.parametrize("name", DATA)
def test_data_of_any_kind_leave_a_model_that_comes_back(name, path):
    X, y, parameters = data_of(name)
    model = quick(**parameters).fit(X, y)
    twin = reloaded(model, path)
    assert_same(twin, model, X)
    assert_goes_on_the_same(twin, model, X, y)


@pytest.mark.parametrize("kind", LABELS)
def test_labels_come_back_with_their_type(kind, path):
    names = names_of(kind)
    y = names[SPECIES]
    model = quick(class_weight=dict.fromkeys(np.unique(names), 2.0)).fit(IRIS, y)
    twin = reloaded(model, path)
    assert twin.classes_.dtype == model.classes_.dtype
    assert_same(twin, model, IRIS)
    assert_goes_on_the_same(twin, model, IRIS, y)


@pytest.mark.parametrize("kind", ["str", "int", "day"])
def test_labels_may_be_the_keys_of_class_weight(kind, path):
    names = names_of(kind)
    model = quick(class_weight=dict(zip(names, (1.0, 2.0, 0.5), strict=True))).fit(IRIS, names[SPECIES])
    assert_same(reloaded(model, path), model, IRIS)


def test_a_random_state_comes_back_in_its_place(path):
    state = np.random.RandomState(3)
    state.standard_normal(7)  # an odd number, so that one is left over
    model = quick(random_state=state).fit(IRIS, SPECIES)
    twin = reloaded(model, path)
    assert twin.random_state is not state
    assert twin.random_state.standard_normal(700).tolist() == state.standard_normal(700).tolist()
    assert_goes_on_the_same(twin, model, IRIS, SPECIES)


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
def test_whatever_became_of_a_model_is_saved(history, solver, path):
    model = history(quick(solver=solver))
    twin = reloaded(model, path)
    assert_same(twin, model, IRIS)
    assert_goes_on_the_same(twin, model, IRIS, SPECIES)


def test_parameters_that_were_set_since_the_fit_are_kept_beside_what_was_fitted(path):
    model = changed(quick())
    twin = reloaded(model, path)
    assert shown(twin.get_params()) == shown(model.get_params())
    assert shown(answers(twin, IRIS)) == shown(answers(model, IRIS))
    assert twin.network_.dtype == np.float32
    for one in (model, twin):
        one.fit(IRIS, SPECIES)
    assert_same(twin, model, IRIS)


def test_another_optimizer_takes_over_what_the_first_has_left(path):
    model = quick().partial_fit(IRIS, SPECIES, classes=[0, 1, 2]).set_params(solver=RMSprop())
    twin = reloaded(model, path)
    assert_goes_on_the_same(twin, model, IRIS, SPECIES)


def test_weights_that_are_no_numbers_are_saved_too(path):
    model = not_a_number(quick())
    twin = reloaded(model, path)
    assert shown(twin) == shown(model)
    with pytest.raises(ValueError, match="hold numbers that are not finite"):
        twin.predict(IRIS)


def test_a_name_can_stand_for_an_object_that_only_code_can_make(path):
    scorer = make_scorer(f1_score, average="macro")
    model = quick(scoring=scorer, learning_rate=lambda progress: 1.0 - progress, early_stopping=True)
    model.fit(IRIS, SPECIES)
    custom = {"macro f1": scorer, "falling": model.learning_rate}
    twin = reloaded(model, path, custom)
    assert twin.scoring is scorer
    assert_same(twin, model, IRIS)


def test_a_loaded_model_shares_nothing_and_can_be_written_to(path):
    model = quick().fit(IRIS, SPECIES)
    model.save(path)
    one, other = load(path), load(path)
    one.coefs_[0][:] = 0.0
    one.partial_fit(IRIS, SPECIES)
    assert_same(other, model, IRIS)


def test_the_same_model_is_the_same_file_and_files_are_no_larger_than_what_they_hold(path, tmp_path):
    model = quick(hidden_layer_sizes=(300, 200)).fit(IRIS, SPECIES)
    model.save(path)
    load(path).save(tmp_path / "again.npz")
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()
    arrays = 3 * model.network_.theta.nbytes  # weights and the two moments of Adam
    assert arrays < path.stat().st_size < arrays + 20_000


def test_callbacks_and_metadata_requests_are_not_in_a_file(path):
    with config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True).fit(IRIS, SPECIES)
    assert "_metadata_request" in vars(model)
    assert "_metadata_request" not in vars(reloaded(model, path))


def test_a_clone_of_a_loaded_model_is_not_fitted(path):
    twin = reloaded(quick().fit(IRIS, SPECIES), path)
    with pytest.raises(NotFittedError):
        clone(twin).predict(IRIS)
    assert clone(twin).fit(IRIS, SPECIES).predict_proba(IRIS).tolist() == twin.predict_proba(IRIS).tolist()


# --- what a file cannot hold -------------------------------------------------------------------------------


class Mine(Layer):
    """A layer that only its author knows."""

    def forward(self, p, t):
        t.y = t.x

    def backward(self, p, g, t):
        t.dx = t.dy


class Mapped(dict, Mine):
    """Its items are no attributes."""


class Slotted(Mine):
    """Neither are its slots."""

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
    "activation.init": [{"activation": Dense(5, lambda rng, n_in, n_out: (np.ones((n_in, n_out)), 0.0))}],
}


@pytest.mark.parametrize(("what", "parameters"), [(k, v) for k, all_ in REFUSED.items() for v in all_])
def test_what_a_file_cannot_hold_is_named_with_the_way_out(what, parameters, path):
    if what == "activation.init":
        model = quick().fit(IRIS, SPECIES).set_params(**parameters)
    else:
        model = quick(**parameters).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match=rf"^{what} is .* is not tinyclf's own. Give it a name, custom=\{{'"):
        model.save(path)
    assert not path.exists()


@pytest.mark.parametrize("cls", [Mapped, Slotted])
def test_objects_that_are_more_than_their_attributes_are_refused(cls, path):
    model = quick(activation=cls()).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match=f"but not what a {cls.__name__} has beside them; give the object"):
        model.save(path, {cls.__name__: cls})
    custom = {"it": model.activation}
    model.save(path, custom)
    assert load(path, custom).activation is model.activation


@dataclass
class Counting:
    """A schedule that knows more than its fields."""

    rate: float

    def __post_init__(self):
        self.calls = 0

    def __call__(self, progress):
        self.calls += 1
        return self.rate / self.calls


def test_an_object_of_ones_own_is_all_of_its_attributes(path):
    model = quick(learning_rate=Counting(0.5)).fit(IRIS, SPECIES)
    twin = reloaded(model, path, {"Counting": Counting})
    assert twin.learning_rate.calls == model.learning_rate.calls > 3
    assert_same(twin, model, IRIS)


def test_a_model_that_is_not_fitted_is_refused(path):
    with pytest.raises(NotFittedError):
        quick().save(path)
    assert not path.exists()


def test_a_subclass_is_refused_since_a_file_holds_no_methods(path):
    class MyClassifier(TinyClassifier):
        pass

    with pytest.raises(ValueError, match="not what MyClassifier, a class of its own, is beside that"):
        MyClassifier(max_iter=1).fit(IRIS, SPECIES).save(path)


def test_a_subclass_that_has_a_save_of_its_own_is_refused_too(path):
    class MyClassifier(TinyClassifier):
        def save(self, path):
            super().save(path)

        def predict(self, X):
            return super().predict(X)[::-1]

    with pytest.raises(ValueError, match="not what MyClassifier, a class of its own, is beside that"):
        MyClassifier(max_iter=1).fit(IRIS, SPECIES).save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"alpha": -1.0}, "The 'alpha' parameter"),
        ({"hidden_layer_sizes": (3, -1)}, "hidden_layer_sizes must be whole numbers > 0"),
        ({"dropout": [0.1, 0.2]}, "dropout must be a rate"),
        ({"dtype": "float16"}, "is no type to compute in"),
        ({"loss": "sigmoid_cross_entropy"}, "Only binary classification"),
        ({"random_state": np.random.RandomState(np.random.PCG64(0))}, "MT19937"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(parameters, reason, path):
    model = quick().fit(IRIS, SPECIES).set_params(**parameters)
    with pytest.raises(ValueError, match=f"cannot be saved, since it could not be loaded again: .*{reason}"):
        model.save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("custom", "error", "match"),
    [
        ({"ReLU": Mine}, ValueError, r"names of tinyclf's own, \['ReLU'\]; choose other names"),
        ({3: Mine}, TypeError, "custom must be a dict from names to classes and functions, got {3: "),
        ([Mine], TypeError, "custom must be a dict from names"),
    ],
)
def test_custom_that_is_none_is_named_in_saving_and_loading(custom, error, match, path):
    model = quick().fit(IRIS, SPECIES)
    with pytest.raises(error, match=match):
        model.save(path, custom)
    model.save(path)
    with pytest.raises(error, match=match) as caught:
        load(path, custom)
    assert not isinstance(caught.value, ArchiveError)


def test_custom_may_have_what_is_known_anyway(path):
    assert_same(reloaded(model := quick().fit(IRIS, SPECIES), path, {"ReLU": ReLU}), model, IRIS)


def test_what_is_missing_in_custom_is_named_when_a_file_is_loaded(path):
    quick(activation=Swish(), loss=Brier()).fit(IRIS, SPECIES).save(path, CUSTOM)
    for custom in (None, {"Brier": Brier}):
        with pytest.raises(ArchiveError, match=r"needs 'Swish', .* own; load it with custom=\{'Swish': "):
            load(path, custom)


# --- contents that no model has ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The JSON and the arrays of a checkpoint, which has all that a file can have."""
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    X, y = pd.DataFrame(IRIS, columns=list("pqrs")), np.array(["a", "b", "c"])[SPECIES]
    model = quick(hidden_layer_sizes=(4, 3), random_state=np.random.RandomState(0), class_weight={"a": 2.0})
    with pytest.raises(Crash):
        model.set_callbacks(Checkpoint(path, resume=True), Ends(2, Crash)).fit(X, y, X_val=X, y_val=y)
    return read_archive(path)


def replaced(node, place, value):
    """JSON with another value in a place, or without one if the value is ``...``."""
    node, (key, *rest) = copy.copy(node), place
    if value is ... and not rest:
        del node[key]
    else:
        node[key] = replaced(node[key], rest, value) if rest else value
    return node


def found(node, test):
    """The places in JSON whose value passes a test."""
    if test(node):
        yield ()
    for key, item in (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        yield from ((key, *place) for place in found(item, test))


LAYERS_AT, TREE = ("fitted", "layers"), ("fitted", "labels", "fields", "classes")
STREAM = ("fitted", "streams", 0, "state")
NUMBER, SOME = {"$": "scalar", "at": 13}, {"$": "array", "at": 13}
ENDLESS = np.empty((10**9, 0))  # of no bytes, but whoever goes through it makes an array of each row
WRONG = [
    # (place, value, array 13, words of the error)
    *(
        (("parameters", "class_weight"), {"$": kind, "items": SOME}, ENDLESS, "its items are no list")
        for kind in ("tuple", "dict")
    ),
    (("parameters", "class_weight"), {"$": "objects", "shape": [2], "items": "ab"}, None, "are no list"),
    (("parameters", "hidden_layer_sizes"), SOME, ENDLESS, "must be whole numbers"),
    (("parameters", "dropout"), SOME, ENDLESS, "dropout must be a rate"),
    (TREE, SOME, ENDLESS, "it has no classes"),
    (("format",), "tinyclf.Network", None, "of another format"),
    (("format",), ..., None, "of another format"),
    *((("version",), version, None, "its version is") for version in (0, -1, "x", True, 1.0, None, [1])),
    (("version",), 2, None, "saved by a newer tinyclf, .* in version 2 of the format; this one, .*, reads 1"),
    (("version",), 10**400, None, "saved by a newer tinyclf"),
    (("progress",), ..., None, "its parts are"),
    (("made_by",), "0.1", np.zeros(3), r"no value is in its arrays \[13\]"),
    (("more",), 1, None, "its parts are"),
    (("parameters",), [], None, "AttributeError"),
    (("parameters", "alpha"), ..., None, r"its parameters differ by \['alpha'\]"),
    (("parameters", "beta"), 1, None, r"its parameters differ by \['beta'\]"),
    (("parameters", "alpha"), -1.0, None, "The 'alpha' parameter"),
    (("parameters", "alpha"), {"$": "named", "name": "ReLU"}, None, "The 'alpha' parameter"),
    (("parameters", "alpha"), 2**128, None, "a whole number of too many digits"),
    (("parameters", "dtype"), "float16", None, "no type to compute in"),
    (("parameters", "dtype"), {"$": "dict", "items": []}, None, "dtype"),
    (("parameters", "hidden_layer_sizes"), [0], None, "must be whole numbers > 0"),
    (("parameters", "activation"), {"$": "named", "name": "system"}, None, "needs 'system', which is not"),
    (
        ("parameters", "activation"),
        {"$": "object", "class": "os.system", "fields": {}},
        None,
        "needs 'os.syst",
    ),
    (
        ("parameters", "activation"),
        {"$": "object", "class": "linear", "fields": {"progress": 1}},
        None,
        "class",
    ),
    (("parameters", "activation"), {"$": "object", "class": "Dense", "fields": {}}, None, "TypeError"),
    (("parameters", "activation"), {"$": "object", "class": ["Dense"], "fields": {}}, None, "unhashable"),
    (("parameters", "activation"), {"$": "class", "name": "ReLU"}, None, "unknown kind 'class'"),
    (("parameters", "activation"), {"$": ["named"], "name": "ReLU"}, None, "unhashable"),
    (("parameters", "activation"), {"$": "named", "name": "ReLU", "more": 1}, None, "unknown kind"),
    (("parameters", "activation"), {"name": "ReLU"}, None, "unknown kind"),
    (("fitted", "theta"), ..., None, "its fitted parts are"),
    (("fitted", "more"), 1, None, "its fitted parts are"),
    *((("fitted", "n_features_in"), n, None, "n_features_in_ is") for n in (0, -1, True, 4.0, "4", None)),
    (("fitted", "n_features_in"), 5, None, "feature_names_in_ is|its layers need"),
    (("fitted", "n_features_in"), 10**9, None, "feature_names_in_ is|its layers need"),
    (
        ("fitted", "feature_names_in"),
        {"$": "objects", "shape": [4], "items": [1, 2, 3, 4]},
        None,
        "feature_names",
    ),
    (("fitted", "feature_names_in"), {"$": "objects", "shape": [10**12], "items": []}, None, "reshape"),
    (("fitted", "feature_names_in"), list("pqrs"), None, "feature_names_in_ is"),
    (("fitted", "labels"), {"$": "named", "name": "Labels"}, None, "its labels are"),
    (TREE, SOME, np.array(["b", "a", "c"]), "its classes are"),
    (TREE, SOME, np.array(["a", "a", "c"]), "its classes are"),
    (TREE, SOME, np.array([np.nan, 1.0, 2.0]), "its classes are"),
    (TREE, SOME, np.array([["a", "b", "c"]]), "it has no classes"),
    (TREE, SOME, np.array([], str), "it has no classes"),
    (TREE, SOME, np.array("a"), "it has no classes"),
    (TREE, SOME, np.array(["a", "b"]), "its layers do not fit its classes"),
    (TREE, ["a", "b", "c"], None, "it has no classes"),
    (TREE, {"$": "objects", "shape": [3], "items": [1, 2, 3]}, None, "its classes are"),
    (TREE, {"$": "objects", "shape": [3], "items": ["a", 2, None]}, None, "TypeError"),
    ((*LAYERS_AT, 0, "fields", "units"), 10**9, None, "its layers need at least 5000000000 weights, it has"),
    ((*LAYERS_AT, 0, "fields", "units"), 10**30, None, "its layers need at least"),
    ((*LAYERS_AT, 0, "fields", "units"), NUMBER, np.int32(2**30), "its layers need at least"),
    ((*LAYERS_AT, 0, "fields", "units"), NUMBER, np.int64(2**62), "its layers need at least"),
    ((*LAYERS_AT, 0, "fields", "units"), 3, None, "it has .* weights|shape"),
    ((*LAYERS_AT, 0, "fields", "units"), 0, None, "the units of Dense"),
    ((*LAYERS_AT, 0, "fields", "units"), 2.5, None, "the units of Dense"),
    ((*LAYERS_AT, 0, "fields", "init"), {"$": "named", "name": "Dense"}, None, "weights|Error"),
    ((*LAYERS_AT, 0, "fields", "init"), None, None, "init must be a function"),
    ((*LAYERS_AT, 0), {"$": "object", "class": "ReLU", "fields": {}}, None, "no dense layers at"),
    ((*LAYERS_AT, 0), {"$": "named", "name": "Dense"}, None, "it has no layers"),
    ((*LAYERS_AT, 1, "fields"), {"rate": 1.0}, None, "TypeError"),
    (("fitted", "labels", "fields", "named"), 1, None, "TypeError"),
    (LAYERS_AT, [], None, "no dense layers at"),
    *(
        (("fitted", "ends"), ends, None, "no dense layers at")
        for ends in ([], [2], [4, 2], [2, 2, 4], [2, 9])
    ),
    *((("fitted", "ends"), ends, None, "hidden layers end at") for ends in (None, [-2, 4], [True, 4], ["2"])),
    (("fitted", "loss"), "log_loss", None, "its loss is 'log_loss'"),
    (("fitted", "loss"), {"$": "object", "class": "SigmoidCrossEntropy", "fields": {}}, None, "binary"),
    (("fitted", "theta"), SOME, np.zeros(46, np.float32), "its layers need at least 47 weights, it has 46"),
    (("fitted", "theta"), SOME, np.zeros(48, np.float32), "shape"),
    (("fitted", "theta"), SOME, np.zeros(47, np.float16), "dtype must be float32 or float64"),
    (("fitted", "theta"), SOME, np.zeros(47, np.int32), "dtype must be float32 or float64"),
    (("fitted", "theta"), SOME, np.zeros((47, 1), np.float32), "its weights are no vector"),
    (("fitted", "theta"), NUMBER, np.float32(1), "its weights are no vector"),
    (("fitted", "theta"), [0.0] * 47, None, "its weights are no vector"),
    *(
        (("fitted", "theta", "at"), at, None, "KeyError|unhashable")
        for at in (-1, 10**9, "2", 1.5, None, [2], 0)
    ),
    *(
        (("fitted", "scaling", "fields", column), SOME, np.zeros(3), "scaling is of other columns")
        for column in ("mean", "deviation", "mass", "size", "low", "high")
    ),
    (("fitted", "scaling", "fields", "mean"), SOME, np.zeros(4, np.float32), "scaling is of other columns"),
    (("fitted", "scaling", "fields", "total"), -1.0, None, "its scaling is of no rows"),
    (
        ("fitted", "scaling", "fields", "total"),
        {"$": "float", "value": "nan"},
        None,
        "its scaling is of no rows",
    ),
    (("fitted", "scaling", "fields", "total"), {"$": "float", "value": "one"}, None, "could not convert"),
    (("fitted", "scaling", "fields", "centred"), 1, None, "its scaling is"),
    (("fitted", "scaling"), {"$": "named", "name": "Scaling"}, None, "its scaling is"),
    (("fitted", "optimizer"), "adam", None, "optimizer must be an instance of Optimizer"),
    (("fitted", "optimizer", "fields", "beta_1"), 2.0, None, "beta_1 must be in"),
    (("fitted", "optimizer", "fields", "learning_rate"), "x", None, "learning_rate must be a number"),
    (("fitted", "optimizer"), {"$": "object", "class": "SGD", "fields": {}}, None, "its vectors are"),
    (("fitted", "vectors", "items", 0, 0), "W", None, "its vectors are"),
    (("fitted", "vectors", "items", 0, 1), SOME, np.zeros(46, np.float32), "its vector M is no such"),
    (("fitted", "vectors", "items", 0, 1), SOME, np.zeros(47), "its vector M is no such"),
    (("fitted", "vectors", "items", 0, 0), [], None, "unhashable"),
    *((("fitted", "counts"), c, None, "its counts are") for c in ([-1, 1.0, 2], [1, 1.0, 2.0])),
    *((("fitted", "counts"), counts, None, "Error") for counts in ([], [1], [1, 1.0, 2, 3], 5, None)),
    *((("fitted", "counts", 1), scale, None, "the scale of its") for scale in (-1.0, 1, "1", None)),
    (("fitted", "streams"), [], None, "it has no two streams"),
    (("fitted", "streams", 0), 5, None, "its streams are none"),
    ((*STREAM, "items", 0, 1), "MT19937", None, "PCG64"),
    ((*STREAM, "items", 1, 1, "items", 0, 1), -1, None, "OverflowError"),
    ((*STREAM, "items", 1, 1, "items", 0, 1), 2**128, None, "too many digits"),
    ((*STREAM, "items", 1, 1, "items", 0, 1), "1", None, "Error"),
    ((*STREAM, "items", 1, 1, "items", 0), [1], None, "Error"),
    ((*STREAM, "items", 3, 1), 2**64, None, "OverflowError"),
    (STREAM, [], None, "Error"),
    (("parameters", "random_state", "state", "items", 1, 1, "items", 1, 1), 625, None, "beyond its end"),
    (
        ("parameters", "random_state", "state", "items", 1, 1, "items", 1, 1),
        2**31 - 1,
        None,
        "beyond its end",
    ),
    (("parameters", "random_state", "state", "items", 1, 1, "items", 1, 1), -1, None, "beyond its end"),
    (("parameters", "random_state", "state", "items", 1, 1, "items", 1, 1), 2**40, None, "OverflowError"),
    (("parameters", "random_state", "state", "items", 1, 1, "items", 0, 1), SOME, np.zeros(3, int), "Error"),
    (("parameters", "random_state", "state", "items", 1, 1, "items", 0, 1), SOME, np.array("x"), "Error"),
    (("parameters", "random_state", "state"), None, None, "Error"),
    (("fitted", "plateau"), {"$": "named", "name": "Plateau"}, None, "it waits by"),
    (("fitted", "plateau", "fields", "tol"), -1.0, None, "tol must be in"),
    (("fitted", "plateau", "fields", "best_loss"), None, None, "its plateau is"),
    (("fitted", "plateau", "fields", "without_gain"), 0.5, None, "it waits by"),
    (("fitted", "books", "t_"), ..., None, "its books are"),
    *((("fitted", "books", "t_"), t, None, "t_ is") for t in (-1, 1.0, None, "1", [1])),
    (("fitted", "books", "t_"), 10**400, None, "too many digits"),
    *((("fitted", "books", "n_iter_"), n, None, "n_iter_ is") for n in (3, -1, True, None)),
    *((("fitted", "books", "best_epoch_"), n, None, "best_epoch_ is") for n in (0, 3, 10**9, 1.0)),
    *(
        (("fitted", "books", "loss_curve_"), c, None, "a curve has no numbers")
        for c in (None, [1, 2], [[1.0]], 1.0)
    ),
    (("fitted", "books", "loss_curve_"), [1.0], None, "n_iter_ is"),
    (("fitted", "books", "validation_scores_"), None, None, "one curve of the validation set"),
    (("fitted", "books", "validation_scores_"), [1.0], None, "differ in length"),
    (("fitted", "books", "loss_"), None, None, "loss_ is"),
    (("fitted", "books", "calibration_"), "1", None, "calibration_ is"),
    (("fitted", "books", "best_loss_"), 1, None, "best_loss_ is"),
    (("fitted", "books"), [], None, "AttributeError"),
    (("progress",), [], None, "AttributeError"),
    (("progress",), {"$": "dict", "items": []}, None, "its progress is none"),
    (("progress",), {"$": "dict", "items": 5}, None, "its items are no list"),
    (("progress", "items", 0, 1), 5, None, "AttributeError"),
    (("progress", "items", 0, 1, "items", 0, 0), 5, None, "its progress is that of no fit"),
    (("progress", "items", 0, 1, "items", 0, 1), SOME, np.zeros(2), "its progress is that of no fit"),
    (("progress", "items", 1, 1), 5, None, "AttributeError"),
    (("progress", "items", 1, 1, "items", 0, 1), SOME, np.zeros(4), "its seed is none"),
    (("progress", "items", 1, 1, "items", 1, 1, "items", 0), None, None, "its best epoch is none"),
    (("progress", "items", 1, 1, "items", 1, 1, "items", 1), None, None, "its best epoch is none"),
    (("progress", "items", 1, 1, "items", 1, 1, "items", 1), 3, None, "its best epoch is 3"),
    (("progress", "items", 1, 1, "items", 1, 1, "items", 2), SOME, np.zeros(47), "its best weights are none"),
    (("progress", "items", 1, 1, "items", 2, 1), [1.0], None, "it has 1 rates for 2 epochs"),
    (("progress", "items", 1, 1, "items", 2, 1), 5, None, "its rates are none"),
    (("progress", "items", 1, 1, "items", 3, 1), 1, None, "whether it has stopped"),
]


@pytest.mark.parametrize(("place", "value", "array", "match"), WRONG)
def test_contents_that_no_model_has_are_refused_with_a_reason(place, value, array, match, saved, path):
    plain, arrays = saved
    write_archive(path, replaced(plain, place, value), arrays if array is None else [*arrays, array])
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match=rf"^'.*model.npz' cannot be loaded: (?s:.*)({match})"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("made_by", ["0.0.1", "99.0", None])
def test_what_was_not_changed_is_loaded_whichever_release_has_made_it(made_by, saved, path):
    plain, arrays = saved
    write_archive(path, replaced(plain, ("made_by",), made_by), arrays)
    assert load(path).predict(pd.DataFrame(IRIS, columns=list("pqrs"))).shape == (150,)


@pytest.mark.parametrize("plain", [None, 1, "model", [], {}, {"format": "tinyclf.TinyClassifier"}, {"a": 1}])
def test_an_archive_of_something_else_is_refused(plain, path):
    write_archive(path, plain, [])
    with pytest.raises(ArchiveError, match="cannot be loaded"):
        load(path)


def test_an_array_belongs_to_one_value(saved, path):
    plain, arrays = saved
    at = list(found(plain, lambda node: isinstance(node, dict) and node.get("$") == "array"))
    assert len(at) == len(arrays) == 13
    write_archive(path, replaced(plain, (*at[2], "at"), 3), arrays)
    with pytest.raises(ArchiveError, match="KeyError: 3"):
        load(path)


# --- other ways to keep a model ----------------------------------------------------------------------------


WAYS = {"tinyclf": load, "joblib": joblib.load, "pickle": lambda path: pickle.loads(path.read_bytes())}


def digests(folder):
    """What the models of a folder predict, and what becomes of their weights in an epoch more."""
    told = []
    for name, way in itertools.product(DATA, WAYS):
        X, y = joblib.load(folder / name)
        model = WAYS[way](folder / f"{name}.{way}")
        told.append(hashlib.sha256(model.predict_proba(X).tobytes()).hexdigest())
        told.append(hashlib.sha256(model.partial_fit(X, y).network_.theta.tobytes()).hexdigest())
    return told


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
    code = (
        f"import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_persistence\n"
    )
    code += f"print(*test_persistence.digests(pathlib.Path({str(tmp_path)!r})), sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == expected


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_a_pickle_and_a_copy_are_the_model(parameters):
    model = quick(**parameters).fit(IRIS, SPECIES)
    for twin in (pickle.loads(pickle.dumps(model, 5)), copy.deepcopy(model), copy.copy(model)):
        assert_same(twin, model, IRIS)
    assert copy.copy(model).network_ is model.network_
    assert copy.deepcopy(model).network_ is not model.network_
    assert_goes_on_the_same(pickle.loads(pickle.dumps(model, 5)), model, IRIS, SPECIES)


@pytest.mark.parametrize(
    "make", [changed, not_a_number, lambda model: model.fit(IRIS, SPECIES).set_params(alpha=-1)]
)
def test_what_no_file_can_hold_can_be_pickled(make):
    model = make(quick())
    assert shown(pickle.loads(pickle.dumps(model))) == shown(model)


def test_a_pickle_of_a_subclass_is_one_of_it():
    class_of_its_own = pickle.loads(pickle.dumps(Subclass(max_iter=1).fit(IRIS, SPECIES)))
    assert type(class_of_its_own) is Subclass


class Subclass(TinyClassifier):
    """It can be pickled, as it is found by its name."""


def test_a_pickle_keeps_callbacks_and_metadata_requests():
    with config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True).set_callbacks(EarlyStopping()).fit(IRIS, SPECIES)
        twin = pickle.loads(pickle.dumps(model))
        assert vars(twin).keys() == vars(model).keys()
        assert type(twin._skl_callbacks[0]) is EarlyStopping
        assert twin.get_metadata_routing().fit.requests["sample_weight"] is True


def test_a_model_that_was_pickled_from_a_memory_map_is_saved(path, tmp_path):
    model = quick().fit(IRIS, np.array([1.5, 2.5, 3.5]).astype(int)[SPECIES])
    joblib.dump(model, tmp_path / "model")
    twin = joblib.load(tmp_path / "model", mmap_mode="r")
    assert_same(reloaded(twin, path), model, IRIS)


@pytest.mark.parametrize("name", DATA)
def test_skops_needs_to_trust_one_type_only(name):
    skops = pytest.importorskip("skops.io")
    X, y, parameters = data_of(name)
    model = quick(**parameters).fit(X, y)
    data = skops.dumps(model)
    assert skops.get_untrusted_types(data=data) == ["tinyclf.classifier.TinyClassifier"]
    assert_same(skops.loads(data, trusted=["tinyclf.classifier.TinyClassifier"]), model, X)


def test_skops_needs_to_trust_no_parameters_either():
    skops = pytest.importorskip("skops.io")
    model = quick(solver=Adam(1e-3), activation=[Tanh()]).partial_fit(IRIS, SPECIES, classes=[0, 1, 2])
    data = skops.dumps(model)
    assert skops.get_untrusted_types(data=data) == ["tinyclf.classifier.TinyClassifier"]


def test_skops_takes_a_pipeline():
    skops = pytest.importorskip("skops.io")
    pipeline = make_pipeline(StandardScaler(), quick()).fit(IRIS, SPECIES)
    pipeline[-1].partial_fit(IRIS, SPECIES)
    twin = skops.loads(skops.dumps(pipeline), trusted=["tinyclf.classifier.TinyClassifier"])
    assert twin.predict_proba(IRIS).tobytes() == pipeline.predict_proba(IRIS).tobytes()


def test_contents_that_no_model_has_are_refused_from_pickles_too():
    state = quick().fit(IRIS, SPECIES).__getstate__()
    plain, arrays = state["_packed"]
    with pytest.raises(ArchiveError, match="its version is 0"):
        TinyClassifier().__setstate__({"_packed": (plain.replace('"version": 1', '"version": 0'), arrays)})
