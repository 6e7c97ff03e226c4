"""Classifiers that are fitted in milliseconds, and parameters of every accepted kind."""

import re

import numpy as np

from tests.support.doubles import Warmup, half, negative_entropy
from tests.support.parts import (
    LAYERS,
    LOSSES,
    OPTIMIZERS,
    PLAIN,
    Brier,
    LayerNorm,
    PReLU,
    RMSprop,
    Swish,
    n_classes,
)
from tinyclf import SGD, Adam, AdamW, Dense, Identity, MemberLoss, ReLU, Tanh, TinyClassifier, cosine
from tinyclf.estimator.encoding import Encoding
from tinyclf.nn.layers import ACTIVATIONS

CUSTOM = {cls.__name__: cls for cls in (Swish, PReLU, LayerNorm, Brier, RMSprop)}
CUSTOM |= {type(loss).__name__: type(loss) for loss in LOSSES if "tinyclf.teaching" in type(loss).__module__}
CUSTOM |= {"half": half, "Warmup": Warmup, "negative_entropy": negative_entropy}


def quick(**parameters):
    """A classifier that is fitted in milliseconds; by default it has one member."""
    settings = {"hidden_layer_sizes": 5, "max_iter": 3, "n_members": 1, "random_state": 0}
    return TinyClassifier(**{**settings, **parameters})


def number_columns(X):
    """The encoding of rows without categories and missing entries."""
    none = np.array([], np.int64)
    return Encoding(X.shape[1], none, [], none.astype(bool), none)


def learned(**parameters):
    """A classifier that learns small data in 30 epochs."""
    return quick(**{"hidden_layer_sizes": 8, "max_iter": 30, "learning_rate_init": 0.02, **parameters})


def plain(**parameters):
    """The same with plain training: no scaling, schedule, calibration or refit."""
    return learned(**{**PLAIN, "max_iter": 30, "learning_rate_init": 0.02, **parameters})


PARAMETERS = [
    {},
    {"hidden_layer_sizes": (4, 3)},
    {"hidden_layer_sizes": [4, 3]},
    {"hidden_layer_sizes": np.array([4, 3])},
    {"hidden_layer_sizes": np.array([4, 3], ">i2")},
    {"hidden_layer_sizes": np.int32(4)},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": np.array([], int), "activation": []},
    *({"activation": name} for name in ACTIVATIONS),
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
    *({"loss": loss} for loss in LOSSES if n_classes(loss) > 2 and not isinstance(loss, MemberLoss)),
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
    *({"categorical_features": chosen} for chosen in (None, [], [1], (np.int8(3), 0), np.array([2], ">i2"))),
    {"categorical_features": np.array([True, False, False, True]), "max_categories": np.int16(4)},
    {"categorical_features": [False, True, False, False], "max_categories": None},
    {"calibrate": np.False_, "refit": np.True_, "scale_inputs": np.True_, "max_grad_norm": np.float32(1.0)},
    {
        "calibrate": np.True_,
        "refit": np.False_,
        "n_iter_no_change": np.int8(2),
        "validation_fraction": np.float32(0.25),
    },
    {"n_members": 3},
    {"hidden_layer_sizes": (), "n_members": np.int8(2)},
    *({"n_members": 2, "solver": solver} for solver in ("sgd", "lbfgs")),
    {"n_members": 4, "hidden_layer_sizes": (4, 3), "activation": ["tanh", [ReLU(), Dense(5), PReLU()]]},
    {"n_members": np.int16(2), "dtype": "float64", "dropout": 0.2, "loss": Brier()},
    {"batch_size": 7, "validation_fraction": 0.3, "scale_inputs": False, "calibrate": False, "refit": False},
    PLAIN,
]
"""Parameters of every accepted kind."""


def named(value):
    """A name for a test that is the same in each process."""
    return re.sub(" at 0x[0-9a-f]+", "", str(value))
