"""Saved models: a loaded model equals the saved one bit for bit, and trains to the same bits."""

import copy
import hashlib
import itertools
import pickle
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.archives import replaced
from tests.support.bits import shown
from tests.support.data import DATA, IRIS, LABELS, SPECIES, data_of, names_of
from tests.support.doubles import Ends
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
        found += [model.activations(X), model.member_probabilities(X)]
    return [output.toarray() if scipy.sparse.issparse(output) else output for output in found]


def assert_same(restored, model, X):
    assert shown(restored) == shown(model)
    assert shown(outputs(restored, X)) == shown(outputs(model, X))
    assert scipy.sparse.issparse(restored.predict(X)) == scipy.sparse.issparse(model.predict(X))


def assert_trains_the_same(restored, model, X, y):
    """Both continue their training to the same bits."""
    for one in (model, restored):
        np.random.seed(7)  # noqa: NPY002  (for random_state=None)
        if one.solver == "lbfgs":
            one.set_params(warm_start=True).fit(X, y)
            continue
        if isinstance(one.class_weight, str):
            one.set_params(class_weight=None)
        if one.early_stopping != "auto":
            one.set_params(early_stopping=False)
        one.partial_fit(X, y)
    assert_same(restored, model, X)


# --- round trips -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", PARAMETERS, ids=named)
def test_a_loaded_model_a_pickle_and_a_copy_equal_the_model_and_train_to_the_same_bits(parameters, path):
    model = quick(**parameters).fit(IRIS, SPECIES)
    loaded, pickled = reloaded(model, path), pickle.loads(pickle.dumps(model, 5))
    shallow, deep = copy.copy(model), copy.deepcopy(model)
    assert shallow.network_ is model.network_ is not deep.network_
    assert shown(loaded) == shown(pickled) == shown(shallow) == shown(deep) == shown(model)
    assert_trains_the_same(loaded, pickled, IRIS, SPECIES)


@pytest.mark.parametrize("name", DATA)
def test_a_model_of_any_kind_of_data_can_be_saved_and_loaded(name, path):
    X, y, parameters = data_of(name)
    model = quick(**parameters).fit(X, y)
    restored = reloaded(model, path)
    assert_same(restored, model, X)
    assert_trains_the_same(restored, model, X, y)


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_loaded_with_their_dtype_also_as_keys_of_class_weight(kind, path):
    names = names_of(kind)
    y = names[SPECIES]
    model = quick(class_weight=dict(zip(np.unique(names), (1.0, 2.0, 0.5), strict=False))).fit(IRIS, y)
    restored = reloaded(model, path)
    assert restored.classes_.dtype == model.classes_.dtype
    assert_same(restored, model, IRIS)
    assert_trains_the_same(restored, model, IRIS, y)


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
    for one in (model, restored):
        one.set_params(warm_start=True).fit(IRIS, SPECIES)
    assert_same(restored, model, IRIS)


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


@pytest.mark.parametrize("chosen", ["an index", "a mask", "a column of polars"])
def test_columns_chosen_by_a_data_frame_are_saved_as_an_array(chosen, path):
    frame = pd.DataFrame({"size": np.linspace(-1, 1, 30), "kind": ["a", "b", "c"] * 10})
    columns = {
        "an index": frame.select_dtypes(exclude="number").columns,
        "a mask": frame.isin(["a"]).any(),
        "a column of polars": pl.Series(["kind"]),
    }[chosen]
    model = quick(categorical_features=columns).set_callbacks(Checkpoint(path, resume=True))
    model.fit(frame, np.arange(30) % 3).save(path)
    loaded = load(path)
    assert loaded.categorical_features.tolist() == list(columns)
    assert_array_equal(clone(loaded).fit(frame, np.arange(30) % 3).input_names_, model.input_names_)
    assert_array_equal(loaded.predict_proba(frame), model.predict_proba(frame))


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


def test_an_empty_subclass_is_saved_and_loaded_as_tinyclassifier(path):
    model = Subclass(max_iter=2, random_state=0).fit(IRIS, SPECIES)
    restored = reloaded(model, path)
    assert type(restored) is TinyClassifier
    assert_same(restored, TinyClassifier(max_iter=2, random_state=0).fit(IRIS, SPECIES), IRIS)
    np.testing.assert_array_equal(restored.predict_proba(IRIS), model.predict_proba(IRIS))


def test_an_empty_subclass_can_be_resumed(path):
    def fitted(max_iter):
        model = Subclass(max_iter=max_iter, random_state=0, hidden_layer_sizes=4)
        return model.set_callbacks(Checkpoint(path, resume=True)).fit(IRIS, SPECIES)

    first = fitted(3)
    np.testing.assert_array_equal(fitted(3).network_.theta, first.network_.theta)


class Note:
    note = "an attribute"


@pytest.mark.parametrize(
    ("bases", "body", "named"),
    [
        ((TinyClassifier,), {"fit": TinyClassifier.fit}, "fit"),
        ((TinyClassifier,), {"threshold": 0.5}, "threshold"),
        ((TinyClassifier,), {"b": 0, "__init__": TinyClassifier.__init__}, "__init__, b"),
        ((Note, TinyClassifier), {}, "note"),
    ],
)
def test_a_subclass_that_adds_something_is_refused_since_a_file_would_lose_it(bases, body, named, path):
    cls = type("Other", bases, body)
    with pytest.raises(ValueError, match=f"but Other adds {named}, which .* pickle the model"):
        cls(max_iter=1).fit(IRIS, SPECIES).save(path)
    with pytest.raises(ValueError, match=f"but Other adds {named}, "):
        cls(max_iter=1).set_callbacks(Checkpoint(path)).fit(IRIS, SPECIES)
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
        ({"ReLU": Mine}, ValueError, r"custom .*\['ReLU'\]"),
        ([Mine], TypeError, "custom must be a dict"),
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


def test_the_error_names_a_class_that_is_missing_in_custom(path):
    quick(activation=Swish(), loss=Brier()).fit(IRIS, SPECIES).save(path, CUSTOM)
    for custom in (None, {"Brier": Brier}):
        with pytest.raises(
            ArchiveError, match=r"needs 'Swish', .* part of tinyclf; load it with custom=\{'Swish': "
        ):
            load(path, custom)


# --- invalid contents --------------------------------------------------------------------------------------


PARTS = {"parameters": quick().get_params(deep=False), "feature_names": None, "state": None, "fit": None}


@pytest.mark.promise("a file is loaded only as it was saved")
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


@pytest.mark.promise("a file is loaded only as it was saved")
@pytest.mark.parametrize(
    ("version", "age"), [(model_file.VERSION - 1, "an older"), (model_file.VERSION + 1, "a newer")]
)
def test_another_version_of_the_format_is_refused_by_load_and_by_resume(version, age, path):
    quick().fit(IRIS, SPECIES).save(path)
    plain, arrays = read_archive(path)
    write_archive(path, {**plain, "version": version, "made_by": "0.9"}, arrays)
    message = rf"model.npz.* version {version} .* {age} tinyclf, 0.9; this one, {__version__}, reads"
    with pytest.raises(ArchiveError, match=message):
        load(path)
    with pytest.raises(ArchiveError, match=message):
        quick().set_callbacks(Checkpoint(path, resume=True)).fit(IRIS, SPECIES)


@pytest.mark.parametrize("made_by", ["0.0.1", "99.0", None])
def test_a_file_is_loaded_whichever_release_has_saved_it(made_by, path):
    quick().fit(IRIS, SPECIES).save(path)
    plain, arrays = read_archive(path)
    write_archive(path, replaced(plain, ("made_by",), made_by), arrays)
    assert load(path).predict(IRIS).shape == (150,)


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


@pytest.mark.processes
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


def test_a_memory_mapped_model_can_be_saved_and_trained(path, tmp_path):
    model = quick().fit(IRIS, np.array([1.5, 2.5, 3.5]).astype(int)[SPECIES])
    joblib.dump(model, tmp_path / "model")
    restored = joblib.load(tmp_path / "model", mmap_mode="r")
    assert_same(reloaded(restored, path), model, IRIS)
    for one in (restored, model):
        one.partial_fit(IRIS, model.classes_[SPECIES])
    np.testing.assert_array_equal(restored.network_.theta, model.network_.theta)


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


@pytest.mark.promise("a file is loaded only as it was saved")
def test_invalid_contents_of_pickles_are_refused():
    plain, arrays = quick().fit(IRIS, SPECIES).__getstate__()["_packed"]
    version, newer = f'"version": {model_file.VERSION}', model_file.VERSION + 1
    for before, after, match in (
        (version, '"version": 0', "its version must be a whole number >= 1, got 0"),
        (version, '"version": 4', "it was saved in version 4 of the format, by an older tinyclf"),
        (
            version,
            f'"version": {newer}',
            f"it was saved in version {newer} of the format, by a newer tinyclf",
        ),
        ('"epoch": null', '"epoch": 0', "the best epoch"),
        ('"n_outputs": 3', '"n_outputs": 4', "the network has 3 outputs"),
    ):
        assert plain.count(before) == 1
        with pytest.raises(ArchiveError, match=f"^the pickled model cannot be loaded: {match}"):
            TinyClassifier().__setstate__({"_packed": (plain.replace(before, after), arrays)})
    with pytest.raises(ArchiveError, match="array 0 is missing"):
        TinyClassifier().__setstate__({"_packed": (plain, [])})
