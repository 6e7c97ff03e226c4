"""Helpers for tests of saved files: all accepted parameters and data, and an exact comparison of values."""

import copy
import hashlib
import inspect
import io
import struct
import warnings
import zipfile
from dataclasses import fields, is_dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.datasets import load_iris, make_multilabel_classification
from table import LAYERS, LOSSES, OPTIMIZERS, PLAIN, Brier, LayerNorm, PReLU, RMSprop, Swish, n_classes

from tinyclf import (
    SGD,
    Adam,
    AdamW,
    Dense,
    Identity,
    ReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Tanh,
    TinyClassifier,
)
from tinyclf.nn.schedules import cosine

IRIS, SPECIES = load_iris(return_X_y=True)
TWO = SPECIES[:100]
CUSTOM = {cls.__name__: cls for cls in (Swish, PReLU, LayerNorm, Brier, RMSprop)}
CUSTOM |= {type(loss).__name__: type(loss) for loss in LOSSES if "tinyclf.teaching" in type(loss).__module__}


def quick(**parameters):
    """A classifier that is fitted in milliseconds."""
    settings = {"hidden_layer_sizes": 5, "max_iter": 3, "random_state": 0}
    return TinyClassifier(**{**settings, **parameters})


class Crash(Exception):
    """An error that no code catches."""


class Ends:
    """A callback that ends the fit after an epoch: by an error, by Ctrl-C, or by returning True."""

    def __init__(self, after, how):
        self.after = after
        self.how = how

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and estimator.n_iter_ == self.after:
            if self.how is True:
                return True
            raise self.how("the end")


def half(progress):
    """A custom schedule."""
    return 0.5


class Warmup:
    """A custom schedule with a parameter."""

    def __init__(self, fraction):
        self.fraction = fraction

    def __call__(self, progress):
        return min(1.0, progress / self.fraction)


def negative_entropy(model, X, y):
    """A custom scorer."""
    p = model.predict_proba(X)
    return np.sum(p * np.log(p + 1e-9))


CUSTOM |= {"half": half, "Warmup": Warmup, "negative_entropy": negative_entropy}

PARAMETERS = [
    {},
    {"hidden_layer_sizes": (4, 3)},
    {"hidden_layer_sizes": [4, 3]},
    {"hidden_layer_sizes": np.array([4, 3])},
    {"hidden_layer_sizes": np.array([4, 3], ">i2")},
    {"hidden_layer_sizes": np.int32(4)},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": np.array([], int), "activation": []},
    *({"activation": name} for name in ("identity", "logistic", "tanh", "relu")),
    {"activation": Tanh},
    {"activation": Tanh()},
    {"activation": PReLU},
    *({"activation": layer} for layer in LAYERS),
    {"hidden_layer_sizes": (4, 3), "activation": ["relu", [LayerNorm(), Swish]]},
    {"hidden_layer_sizes": (4, 3), "activation": (Identity(), (ReLU, Dense(3), Tanh()))},
    *({"solver": solver} for solver in ("adam", "sgd", "lbfgs")),
    *({"solver": optimizer} for optimizer in OPTIMIZERS),
    {"solver": SGD(np.float32(0.25), momentum=np.float64(0.5))},
    {"solver": Adam(1e-3, epsilon=1e-7)},
    {"solver": AdamW()},
    {"solver": "adam", "weight_decay": 0.1},
    *({"learning_rate": name} for name in ("constant", "linear", "cosine", "flat_cosine")),
    *({"solver": "sgd", "learning_rate": name} for name in ("invscaling", "adaptive")),
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1, "max_iter": 9},
    *({"learning_rate": schedule} for schedule in (cosine, half, Warmup(0.25))),
    *({"loss": name} for name in ("log_loss", "softmax_cross_entropy")),
    *({"loss": loss} for loss in LOSSES if n_classes(loss) > 2),
    {"label_smoothing": 0.1},
    *({"scoring": scoring, "early_stopping": True} for scoring in ("loss", "f1_macro", negative_entropy)),
    *({"early_stopping": early} for early in (True, False, "auto", np.True_)),
    {"class_weight": "balanced"},
    {"class_weight": {0: 2.0, np.int64(1): np.float32(0.5), np.uint8(2): 3}},
    *({"dtype": dtype} for dtype in ("float32", "f8", None, np.float32, np.float64, float)),
    *({"dtype": np.dtype(name)} for name in ("f4", "f8")),
    *({"random_state": state} for state in (None, np.int64(7), 2**32 - 1)),
    {"alpha": np.float64(1e-3), "max_iter": np.int16(2), "shuffle": np.False_, "tol": 0},
    {"n_iter_no_change": np.inf, "max_grad_norm": 0.5, "verbose": 0},
    {"hidden_layer_sizes": (4, 3), "dropout": [0.5, 0.25]},
    {"dropout": np.float32(0.5)},
    {"calibrate": np.False_, "refit": np.True_, "scale_inputs": np.True_, "max_grad_norm": np.float32(1.0)},
    {
        "calibrate": np.True_,
        "refit": np.False_,
        "n_iter_no_change": np.int8(2),
        "validation_fraction": np.float32(0.25),
    },
    {"batch_size": 7, "validation_fraction": 0.3, "scale_inputs": False, "calibrate": False, "refit": False},
    PLAIN,
]
"""Parameters of every accepted kind."""


def names_of(kind):
    """Three labels of a kind, for SPECIES."""
    day = np.datetime64("2024-02-29")
    return {
        "int": np.array([0, 1, 2]),
        "int8": np.array([0, 1, 2], np.int8),
        "uint64": np.array([0, 1, 2**64 - 1], np.uint64),
        "negative": np.array([-5, 0, 7]),
        "big-endian": np.array([-5, 0, 7], ">i4"),
        "str": np.array(["setosa", "", "vérité \N{SNOWMAN} \x00x"]),
        "object": np.array(["b", "a", "\ud800"], object),
        "objects that are numbers": np.array([3, -1, 2**40], object),
        "float": np.array([-1.0, 0.0, 2.0]),
        "float32": np.array([-1.0, 0.0, 2.0], np.float32),
        "bool": np.array([True, False, True]),
        "bool objects": np.array([True, False, True], object),
        "one": np.array([3, 3, 3]),
        "one str": np.array(["only", "only", "only"]),
        "day": np.array([day, day + 1, day - 400]),
        "second, big-endian": np.array([day, day + 1, day - 400]).astype(">M8[s]"),
    }[kind]


LABELS = (
    *("int", "int8", "uint64", "negative", "big-endian", "str", "object", "objects that are numbers"),
    *("float", "float32", "bool", "bool objects", "one", "one str", "day", "second, big-endian"),
)


def data_of(name):
    """Rows and targets, and the parameters that they need."""
    soft = np.eye(3)[SPECIES] * 0.8 + 0.2 / 3
    rows, several = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
    return {
        "dense": (IRIS, SPECIES, {}),
        "float32, Fortran": (np.asfortranarray(IRIS, np.float32), SPECIES, {"dtype": None}),
        "two classes": (IRIS[:100], TWO, {"loss": SigmoidCrossEntropy()}),
        "two classes, softmax": (IRIS[:100], TWO, {"loss": SoftmaxCrossEntropy(0.1)}),
        "CSR": (scipy.sparse.csr_array(np.round(IRIS) % 3), SPECIES, {}),
        "CSR, unscaled": (scipy.sparse.csr_matrix(IRIS % 3), SPECIES, {"scale_inputs": False}),
        "constant column": (np.column_stack([IRIS, np.full(150, 1e9)]), SPECIES, {}),
        "frame": (pd.DataFrame(IRIS, columns=["a", "é", "\ud800", ""]), SPECIES, {}),
        "columns": (rows, several, {}),
        "columns, weighted": (rows, several, {"class_weight": [{0: 1.0, 1: 2.0}] * 3}),
        "columns, sparse": (rows, scipy.sparse.csr_array(several), {}),
        "soft": (IRIS, soft, {"soft_targets": True}),
        "soft, named": (IRIS, pd.DataFrame(soft, columns=["z", "a", "b"]), {"soft_targets": True}),
        "soft, numbered": (IRIS, pd.DataFrame(soft, columns=[2, 0, 1]), {"soft_targets": True}),
        "soft, None": (IRIS, pd.DataFrame(soft, columns=[None, "a", "b"]), {"soft_targets": True}),
    }[name]


DATA = (
    *("dense", "float32, Fortran", "two classes", "two classes, softmax", "CSR", "CSR, unscaled"),
    *("constant column", "frame", "columns", "columns, weighted", "columns, sparse"),
    *("soft", "soft, named", "soft, numbered", "soft, None"),
)


def npy(array):
    """An array as a member of an archive."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def members_of(path):
    """The members of an archive except the digest: JSON and arrays."""
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name != "digest.npy"]
        return {name: file.read(name) for name in names}


def sealed(members):
    """Members with their digest, which anyone who knows the format can compute."""
    digest = hashlib.sha256(b"".join(members.values())).digest()
    return {**members, "digest.npy": npy(np.frombuffer(digest, np.uint8))}


def zipped(members, compression=zipfile.ZIP_STORED):
    """A zip file of these members with correct checksums; given as pairs, they may repeat a name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about repeated names
        for name, member in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), member, compression)
    return file.getvalue()


def json_member(text):
    """JSON text, valid or not, as a member."""
    return npy(np.frombuffer(text if isinstance(text, bytes) else text.encode(), np.uint8))


def replaced(node, place, value):
    """JSON with another value at a path, or without that entry if the value is ``...``.

    The path holds keys and indices of the JSON, keys of an encoded dict, and fields of an encoded object.
    """
    node, (key, *rest) = copy.copy(node), place
    kind = node.get("$") if isinstance(node, dict) and key not in node else None
    if kind == "object":
        return {**node, "fields": replaced(node["fields"], place, value)}
    if kind == "dict":
        return {**node, "items": list(map(list, replaced(dict(node["items"]), place, value).items()))}
    if value is ... and not rest:
        del node[key]
    else:
        node[key] = replaced(node[key], rest, value) if rest else value
    return node


def shown(value):
    """A value as plain data. Two results are equal only if the values have the same types and bits."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, np.ndarray) and value.dtype != object:
        return kind, value.dtype.str, value.shape, value.flags.c_contiguous, value.tobytes()
    if isinstance(value, np.ndarray):
        return kind, value.shape, [shown(item) for item in value.flat]
    if isinstance(value, np.generic):
        return kind, value.dtype.str, value.tobytes()
    if isinstance(value, float):
        return kind, struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return kind, [shown(item) for item in value]
    if isinstance(value, dict):
        return kind, [(shown(name), shown(item)) for name, item in value.items()]
    if isinstance(value, np.random.RandomState):
        return kind, shown(value.get_state(legacy=False))
    if isinstance(value, np.random.Generator):
        return kind, shown(value.bit_generator.state)
    if isinstance(value, np.dtype):
        return kind, value.str
    if isinstance(value, type) or inspect.isroutine(value):
        return kind, value.__module__, value.__qualname__
    if hasattr(value, "__dict__"):
        held = (
            {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else {}
        )
        state = {
            name: item for name, item in {**held, **vars(value)}.items() if not is_transient(value, name)
        }
        return kind, [(name, shown(item)) for name, item in sorted(state.items())]
    return kind, value


def is_transient(value, name):
    """Whether an attribute is a cache, or belongs to the last call only."""
    of_the_last_call = ("_checked", "_skl_callbacks", "_callback_fit_ctx")
    return name in of_the_last_call or isinstance(getattr(type(value), name, None), cached_property)
