"""Invalid states: a file whose parts do not fit each other is refused with a reason, and in little memory.

The files are in the right form and have a correct digest. What no file has in the right form is tested in
tests/persistence.
"""

import numpy as np
import pandas as pd
import pytest

from tests.support.archives import limited, replaced
from tests.support.data import IRIS, SPECIES
from tests.support.doubles import Crash, Ends
from tests.support.estimators import quick
from tinyclf import ArchiveError, Checkpoint, load
from tinyclf.persistence.archive import read_archive, write_archive

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.promise("a file is loaded only as it was saved"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The JSON and the arrays of a checkpoint, a file with all optional parts."""
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    X, y = pd.DataFrame(IRIS, columns=list("pqrs")), np.array(["a", "b", "c"])[SPECIES]
    model = quick(hidden_layer_sizes=(4, 3), random_state=np.random.RandomState(0), class_weight={"a": 2.0})
    with pytest.raises(Crash):
        model.set_callbacks(Checkpoint(path, resume=True), Ends(2, Crash)).fit(X, y, X_val=X, y_val=y)
    return read_archive(path)


P, S = ("content", "parameters"), ("content", "state")
PLAN, HISTORY, BEST, PATIENCE, TRAINING, ENCODING, SCALING = (
    (*S, part) for part in ("plan", "history", "best", "patience", "training", "encoding", "scaling")
)
LAYERS, CLASSES = (*PLAN, "layers"), (*S, "labels", "classes")
NUMBER, SOME = {"$": "scalar", "at": 17}, {"$": "array", "at": 17}
PLAIN_SGD = {
    "$": "object",
    "class": "SGD",
    "fields": {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
}
NAN, INFINITE = ({"$": "float", "value": text} for text in ("nan", "inf"))
ENDLESS = np.empty((10**9, 0))  # it holds no bytes, but iterating over it creates an array for each row
WRONG = [
    # (path in the JSON, value, the array that SOME and NUMBER refer to, words of the error)
    (
        (*P, "class_weight"),
        {"$": "objects", "shape": [1], "items": [SOME]},
        ENDLESS,
        "The 'class_weight' param",
    ),
    ((*P, "hidden_layer_sizes"), SOME, ENDLESS, "must be whole numbers"),
    ((*P, "dropout"), SOME, ENDLESS, "dropout must be >= 0 and < 1"),
    (CLASSES, SOME, ENDLESS, "classes must be a vector with at least one class"),
    (("content", "fit"), ..., None, "its content must have the parts"),
    (("content", "more"), 1, None, "its content must have the parts"),
    ((*P, "alpha"), ..., None, r"missing or unknown parameters of TinyClassifier: \['alpha'\]"),
    ((*P, "beta"), 1, None, r"missing or unknown parameters of TinyClassifier: \['beta'\]"),
    ((*P, "alpha"), -1.0, None, "The 'alpha' parameter"),
    ((*P, "alpha"), {"$": "name", "name": "ReLU"}, None, "The 'alpha' parameter"),
    ((*P, "dtype"), "float16", None, "too narrow to compute in"),
    ((*P, "dtype"), {"$": "dict", "items": []}, None, "dtype"),
    ((*P, "hidden_layer_sizes"), [0], None, "must be whole numbers > 0"),
    ((*S, "theta"), ..., None, "the state of the fit has the parts"),
    ((*S, "more"), 1, None, "the state of the fit has the parts"),
    *(
        ((*ENCODING, "n_features"), n, None, "the number of features must be an integer >= 1")
        for n in (0, -1, True, 4.0, "4", None)
    ),
    ((*ENCODING, "n_features"), 5, None, "the layers need at least"),
    ((*ENCODING, "n_features"), 3, None, "weights|shape"),
    ((*ENCODING, "n_features"), 10**9, None, "the layers need at least"),
    (
        ("content", "feature_names"),
        {"$": "objects", "shape": [4], "items": [1, 2, 3, 4]},
        None,
        "feature_names_in_ must be 4 strings",
    ),
    (
        ("content", "feature_names"),
        {"$": "objects", "shape": [1], "items": ["p"]},
        None,
        "feature_names_in_ must",
    ),
    (("content", "feature_names"), list("pqrs"), None, "feature_names_in_ must be 4 strings"),
    ((*S, "labels"), {"$": "name", "name": "Labels"}, None, "labels has the wrong type"),
    (CLASSES, SOME, np.array(["b", "a", "c"]), "classes must be sorted and distinct"),
    (CLASSES, SOME, np.array(["a", "a", "c"]), "classes must be sorted and distinct"),
    (CLASSES, SOME, np.array([np.nan, 1.0, 2.0]), "classes must be sorted and distinct"),
    (CLASSES, SOME, np.array([["a", "b", "c"]]), "classes must be a vector with at least one class"),
    (CLASSES, SOME, np.array([], str), "classes must be a vector with at least one class"),
    (CLASSES, SOME, np.array("a"), "classes must be a vector with at least one class"),
    (CLASSES, SOME, np.array(["a", "b"]), "the network has 3 outputs, but 2 classes need 2"),
    (CLASSES, ["a", "b", "c"], None, "classes must be a vector with at least one class"),
    (
        CLASSES,
        {"$": "objects", "shape": [3], "items": [1, 2, 3]},
        None,
        "classes must be sorted and distinct",
    ),
    (
        CLASSES,
        {"$": "objects", "shape": [3], "items": ["a", 2, None]},
        None,
        "classes must be sorted and distinct",
    ),
    ((*LAYERS, 0, "units"), 10**9, None, "the layers need at least 5000000000 weights, but there are"),
    ((*LAYERS, 0, "units"), 10**30, None, "the layers need at least"),
    ((*LAYERS, 0, "units"), NUMBER, np.int32(2**30), "the layers need at least"),
    ((*LAYERS, 0, "units"), NUMBER, np.int64(2**62), "the layers need at least"),
    ((*LAYERS, 0, "units"), 3, None, "weights|shape"),
    ((*LAYERS, 0, "units"), 0, None, "the units of Dense"),
    ((*LAYERS, 0, "units"), 2.5, None, "the units of Dense"),
    ((*LAYERS, 0, "init"), {"$": "name", "name": "Dense"}, None, "weights|Error|whole number"),
    ((*LAYERS, 0, "init"), None, None, "init must be a function"),
    ((*LAYERS, 0), {"$": "object", "class": "ReLU", "fields": {}}, None, "must begin with Dense layers"),
    ((*LAYERS, 0), {"$": "name", "name": "Dense"}, None, "layers must be a list of layers"),
    ((*LAYERS, 1, "fields"), {"rate": 1.0}, None, "TypeError"),
    ((*S, "labels", "named"), 1, None, "TypeError"),
    (LAYERS, [], None, "must begin with Dense layers"),
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
    ((*PLAN, "dtype"), {"$": "dtype", "at": 17}, np.zeros(0, np.float16), "dtype must be float32 or float64"),
    ((*PLAN, "dtype"), {"$": "dtype", "at": 17}, np.zeros(0, ">f4"), "dtype must be float32 or float64"),
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
        ((*SCALING, name), SOME, values, "statistics of the columns must be arrays of float64 of shape")
        for name in ("total_weight", "base", "weight", "points")
        for values in (np.zeros(3), np.zeros(4, np.float32), np.zeros((4, 1)), np.zeros(()))
    ),
    *(
        ((*SCALING, name), value, None, "statistics of the columns must be arrays of float64 of shape")
        for name in ("total_weight", "base", "points")
        for value in ([0.0] * 4, None, 1.0)
    ),
    ((*SCALING, "weight"), SOME, np.full(4, -1.0), "the weights of the columns must be from 0 to"),
    ((*SCALING, "points"), SOME, -np.arange(128.0).reshape(32, 4), "quantiles .* must be ascending"),
    ((*SCALING, "n_updates"), 1.5, None, "the number of updates must be an integer"),
    *(
        ((*SCALING, "total_weight"), SOME, np.array([150.0, total, 150.0, 150.0]), reason)
        for total, reason in ((np.inf, "must be finite"), (np.nan, "must be finite"), (-1.0, "from 0 to"))
    ),
    *(
        ((*ENCODING, name), value, array, f"{name} must be")
        for name in ("categorical", "missing")
        for value, array in (
            *((SOME, np.array(columns)) for columns in ([4], [-1], [1, 0], [1, 1], [1.0], [[1]])),
            ([1], None),
            (None, None),
        )
    ),
    ((*ENCODING, "categorical"), SOME, np.array([2]), "rare must have one boolean for each of 1 columns"),
    ((*ENCODING, "rare"), SOME, np.array([True]), "rare must have one boolean for each of 0 columns"),
    ((*ENCODING, "categories"), [SOME], np.array([1.0]), "categories must be a list of 0 arrays"),
    ((*ENCODING, "categories"), SOME, np.array([]), "categories must be a list of 0 arrays"),
    ((*ENCODING, "missing"), SOME, np.array([2]), "weights|shape"),
    (ENCODING, {"$": "name", "name": "Encoding"}, None, "encoding has the wrong type"),
    ((*SCALING, "centered"), 1, None, "centered must be a bool"),
    (SCALING, {"$": "name", "name": "Scaling"}, None, "scaling has the wrong type"),
    ((*TRAINING, "optimizer"), "adam", None, "optimizer must be an instance of Optimizer"),
    ((*TRAINING, "optimizer", "beta_1"), 2.0, None, "beta_1 must be in"),
    ((*TRAINING, "optimizer", "learning_rate"), "x", None, "learning_rate must be a number"),
    ((*TRAINING, "optimizer"), PLAIN_SGD, None, "optimizer state"),
    ((*TRAINING, "arrays", "items", 0, 0), "W", None, "optimizer state"),
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
    *(
        ((*HISTORY, "n_samples_seen"), t, None, "n_samples_seen must be a whole number")
        for t in (-1, 1.0, None, "1", [1])
    ),
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
    *(
        ((*HISTORY, "loss_curve"), [1.0, wrong], None, "loss_curve must be finite")
        for wrong in (NAN, INFINITE)
    ),
    *(
        (
            (*HISTORY, "learning_rate_scales"),
            [1.0, wrong],
            None,
            "learning_rate_scales must be finite and >= 0",
        )
        for wrong in (NAN, INFINITE, -0.5)
    ),
    ((*HISTORY, "loss"), INFINITE, None, "loss must not be infinite"),
    ((*HISTORY, "best_validation_score"), NAN, None, "the best score must not be nan"),
    ((*PATIENCE, "best_loss"), NAN, None, "best_loss must be a float"),
    ((*BEST, "score"), NAN, None, "the best score must be a float"),
    ((*BEST, "score"), {"$": "float", "value": "-inf"}, None, "the best epoch is 2, but its score is -inf"),
    ((*BEST, "theta"), SOME, np.full(47, np.nan, np.float32), "best weights must be finite"),
    ((*TRAINING, "arrays", "M"), SOME, np.full(47, np.inf, np.float32), "M must be finite"),
    ((*TRAINING, "arrays", "V"), SOME, np.full(47, np.nan, np.float32), "V must be finite"),
    ((*TRAINING, "arrays", "V"), SOME, np.full(47, -1e-9, np.float32), "'V' must not be negative, got -9.99"),
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
    (("content", "fit", "items", 0, 0), 5, None, "must be a dict of strings"),
    (("content", "fit", "X"), SOME, np.zeros(2), "must be a dict of strings"),
]


@pytest.mark.parametrize(("place", "value", "array", "match"), WRONG)
def test_invalid_contents_are_refused_with_a_reason(place, value, array, match, saved, path):
    plain, arrays = saved
    write_archive(path, replaced(plain, place, value), arrays if array is None else [*arrays, array])
    message = rf"^'.*model.npz' cannot be loaded: (?s:.*)({match})"
    with limited(seconds=5, megabytes=8), pytest.raises(ArchiveError, match=message):
        load(path)


# --- members, and what missing entries are read as ---------------------------------------------------------


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The JSON and the arrays of a model with four members, for which a second call moved the centers."""
    path = tmp_path_factory.mktemp("saved") / "members.npz"
    model = quick(hidden_layer_sizes=(4, 3), n_members=4).fit(IRIS, SPECIES)
    model.partial_fit(IRIS + 0.1, SPECIES).save(path)
    return read_archive(path)


MEMBERS = (*PLAN, "n_members")
FIRST, LATER = (*LAYERS, 0), (*LAYERS, 2)  # SharedDense(4) and MemberDense(3), of 4 members
DENSE = {
    "$": "object",
    "class": "Dense",
    "fields": {"units": 4, "init": {"$": "name", "name": "glorot_uniform"}},
}
N_WEIGHTS = 4 * 4 + 4 * 4 + 4 * 4 + (4 * 4 * 3 + 4 * 3) + (4 * 3 * 3 + 4 * 3)
WRONG_MEMBERS = [
    *((MEMBERS, n, None, "n_members must be a whole number >= 1") for n in (0, -1, True, 4.0, "4", None)),
    *((MEMBERS, n, None, f"layers do not match n_members={n}|mix the members") for n in (1, 2, 3, 10**18)),
    *(((*FIRST, "n_members"), n, None, "n_members must be") for n in (0, -1, 4.0, True, None)),
    ((*LATER, "n_members"), 2, None, "with n_members=4, MemberDense.* mix the members"),
    ((*FIRST, "n_members"), 3, None, "with n_members=4, SharedDense.* mix the members"),
    (FIRST, DENSE, None, "layers do not match n_members=4"),
    (LATER, DENSE, None, "layers do not match n_members=4"),
    ((*FIRST, "units"), 10**9, None, "the layers need at least 8000000016 weights"),
    ((*LATER, "units"), 10**9, None, f"the layers need at least .* but there are {N_WEIGHTS}"),
    ((*FIRST, "units"), 5, None, "the layers need at least|shape"),
    ((*FIRST, "units"), 3, None, "weights|shape"),
    ((*S, "theta"), SOME, np.zeros(N_WEIGHTS - 1, np.float32), f"need at least {N_WEIGHTS} weights"),
    ((*S, "theta"), SOME, np.zeros(N_WEIGHTS + 1, np.float32), "shape"),
    ((*PLAN, "n_outputs"), 12, None, "the network has 12 outputs"),
    ((*PLAN, "loss"), {"$": "object", "class": "MemberLoss", "fields": {}}, None, "MemberLoss"),
    *(
        ((*SCALING, "fill"), SOME, fill, "statistics of the columns must be arrays of float64 of shape")
        for fill in (np.zeros(3), np.zeros(4, np.float32), np.zeros((4, 1)), np.zeros(()))
    ),
    *(
        ((*SCALING, "fill"), value, None, "must be arrays of float64 of shape")
        for value in (0.0, [0.0] * 4, "a")
    ),
    *(
        ((*SCALING, "fill"), SOME, np.array([0.0, 0.0, wrong, 0.0]), "must be finite")
        for wrong in (np.inf, -np.inf)
    ),
    ((*SCALING, "fill"), ..., None, "fill"),
]


@pytest.mark.parametrize(("place", "value", "array", "match"), WRONG_MEMBERS)
def test_invalid_members_and_fills_are_refused_with_a_reason(place, value, array, match, members, path):
    plain, arrays = members
    at = {"$": "array", "at": len(arrays)}
    write_archive(
        path,
        replaced(plain, place, at if value is SOME else value),
        arrays if array is None else [*arrays, array],
    )
    message = rf"^'.*model.npz' cannot be loaded: (?s:.*)({match})"
    with limited(seconds=5, megabytes=8), pytest.raises(ArchiveError, match=message):
        load(path)


@pytest.mark.parametrize("n", [10**6, 10**9, 10**30])
def test_more_members_than_the_weights_can_belong_to_are_refused_in_little_memory(n, members, path):
    plain, arrays = members
    places = [MEMBERS, *((*LAYERS, i, "n_members") for i in (0, 2, 4)), (*P, "n_members")]
    for place in places:
        plain = replaced(plain, place, n)
    write_archive(path, plain, arrays)
    message = f"the layers need at least {4 * 4 + 4 * n + 4 * n} weights, but there are {N_WEIGHTS}"
    with limited(seconds=5, megabytes=8), pytest.raises(ArchiveError, match=message):
        load(path)
