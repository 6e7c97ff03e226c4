"""Fits that are killed and resumed, in separate processes."""

import pickle

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.datasets import make_classification, make_multilabel_classification

from tests.support.bits import shown
from tests.support.doubles import Ends, Warmup
from tests.support.parts import Brier, LayerNorm, RMSprop
from tinyclf import Checkpoint, TinyClassifier

X, Y = make_classification(600, 12, n_informative=6, n_classes=3, flip_y=0.2, random_state=0)
X = X.astype(np.float32)
ROWS, COLUMNS = make_multilabel_classification(150, 12, n_classes=3, random_state=0)
SPARSE = scipy.sparse.csr_array(np.where(X > 1.0, X, 0.0))
NAMES = np.array(["no", "perhaps", "yes"])[Y]
GAPS = np.where(X > 1.5, np.nan, X)
TABLE = pd.DataFrame({f"number {i}": GAPS[:, i] for i in range(8)}).assign(
    city=np.array(["La Paz", "Lima", "Oruro", "Quito"])[np.digitize(X[:, 8], [-1.5, 0.0, 1.0])],
    member=pd.Series(X[:, 9] > 0, dtype=object).mask(X[:, 10] > 1.0, None),
)

CUSTOM = {cls.__name__: cls for cls in (Brier, LayerNorm, RMSprop, Warmup)}
VALIDATION = {"X_val": X[:100], "y_val": NAMES[:100]}

FITS = {
    "defaults": ({}, (X, NAMES), {}),
    "dropout": ({"dropout": 0.3, "hidden_layer_sizes": (10, 8)}, (X, NAMES), {}),
    "invscaling": ({"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.1}, (X, NAMES), {}),
    "adaptive": (
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 1, "max_iter": 40},
        (X, NAMES),
        {},
    ),
    "adaptive, by the training loss": (
        {
            "solver": "sgd",
            "learning_rate": "adaptive",
            "tol": 0.05,
            "n_iter_no_change": 1,
            "early_stopping": False,
        },
        (X, NAMES),
        {},
    ),
    "X_val": ({"n_iter_no_change": 3, "learning_rate_init": 0.1}, (X[100:], NAMES[100:]), VALIDATION),
    "X_val, weighted": (
        {"early_stopping": False, "scoring": "f1_macro"},
        (X[100:], NAMES[100:], np.linspace(0.0, 2.0, 500)),
        {**VALIDATION, "sample_weight_val": np.linspace(1.0, 2.0, 100)},
    ),
    "early_stopping": (
        {"early_stopping": True, "n_iter_no_change": 2, "learning_rate_init": 0.1},
        (X, NAMES),
        {},
    ),
    "without refit": ({"refit": False}, (X, NAMES), {}),
    "few rows": ({}, (X[:90], NAMES[:90]), {}),
    "class weights": (
        {"class_weight": "balanced", "weight_decay": 0.1, "max_grad_norm": 1.0},
        (X, NAMES),
        {},
    ),
    "without scaling": ({"scale_inputs": False, "dtype": "float64", "calibrate": False}, (X, NAMES), {}),
    "several labels": ({"alpha": 0.01}, (ROWS, COLUMNS), {}),
    "soft targets": ({"soft_targets": True}, (X, np.eye(3)[Y] * 0.8 + 0.2 / 3), {}),
    "CSR": ({"learning_rate": "linear"}, (SPARSE, NAMES), {}),
    "missing": ({}, (GAPS, NAMES), {}),
    "table": ({"max_categories": 3}, (TABLE, NAMES), {}),
    "members": ({"n_members": 3, "dropout": 0.2}, (GAPS, NAMES), {}),
    "table, X_val": ({}, (TABLE[100:], NAMES[100:]), {"X_val": TABLE[:100], "y_val": NAMES[:100]}),
    "no seed": ({"random_state": None, "dropout": 0.2}, (X, NAMES), {}),
    "without shuffling": ({"shuffle": False, "batch_size": 50, "learning_rate": "constant"}, (X, NAMES), {}),
    "custom parts": (
        {"activation": LayerNorm(), "loss": Brier(), "solver": RMSprop(), "learning_rate": Warmup(0.3)},
        (X, NAMES),
        {},
    ),
}
"""For each name: parameters, training data, and the validation set."""

LONG = {"max_iter": 200, "n_iter_no_change": np.inf}
LONG_FITS = {
    "long": ({**LONG, "dropout": 0.3, "hidden_layer_sizes": (10, 8)}, (X, NAMES), {}),
    "long, several labels": ({**LONG, "alpha": 0.01}, (ROWS, COLUMNS), {}),
}


def fit_of(name, *callbacks, **parameters):
    """Fit one of FITS or LONG_FITS."""
    chosen, data, validation = {**FITS, **LONG_FITS}[name]
    settings = {"hidden_layer_sizes": 10, "max_iter": 12, "random_state": 7}
    model = TinyClassifier(**{**settings, **chosen, **parameters})
    return model.set_callbacks(*callbacks).fit(*data, **validation)


def checkpoint(path, **settings):
    return Checkpoint(path, resume=True, custom=CUSTOM, **settings)


class Counts(Ends):
    """A callback that counts epochs where another process can see it."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.epochs.value += 1


def fit_and_report(name, path, outcome, begun, epochs, settings):
    """Run or resume a fit in a process that may be killed, and write the fitted model to a file."""
    fit_of("few rows", max_iter=1)  # loads everything that is imported on first use
    begun.set()
    model = fit_of(name, checkpoint(path, **settings), Counts(epochs))
    outcome.write_bytes(pickle.dumps(shown(model.set_callbacks())))
