"""Rows and targets of every kind."""

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from tests.support import tables
from tinyclf import SigmoidCrossEntropy, SoftmaxCrossEntropy

IRIS, SPECIES = load_iris(return_X_y=True)
TWO = SPECIES[:100]

# Standardized, with names as labels; and split, with the arguments of fit for a validation set.
SCALED = StandardScaler().fit_transform(IRIS)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
X, X_VAL, Y, Y_VAL = train_test_split(SCALED, NAMES, test_size=0.3, random_state=0, stratify=NAMES)
VALIDATION = {"X_val": X_VAL, "y_val": Y_VAL}

# 600 images, enough for rows to be held out and scored after each epoch.
DIGITS, NUMBERS = (part[:600] for part in load_digits(return_X_y=True))
DIGITS = DIGITS / 16


def shuffled(bunch, n_columns, n_rows):
    """Rows of a data set of scikit-learn in random order, scaled, with the names of their classes."""
    rows = np.random.default_rng(0).permutation(len(bunch.data))[:n_rows]
    X = StandardScaler().fit_transform(bunch.data[rows, :n_columns])
    return X, bunch.target_names[bunch.target[rows]]


def names_of(kind):
    """Three labels of a kind, for SPECIES."""
    days = np.array(["2024-02-29", "2024-03-01", "2023-01-25"], "M8[D]")
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
        "day": days,
        "second, big-endian": days.astype(">M8[s]"),
    }[kind]


LABELS = (
    *("int", "int8", "uint64", "negative", "big-endian", "str", "object", "objects that are numbers"),
    *("float", "float32", "bool", "bool objects", "one", "one str", "day", "second, big-endian"),
)


def data_of(name):
    """Rows and targets, and the parameters that they need."""
    soft = np.eye(3)[SPECIES] * 0.8 + 0.2 / 3
    rows, several = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
    gaps = np.where(np.arange(600).reshape(150, 4) % 7 == 3, np.nan, IRIS)
    # PyArrow, which holds strings in pandas if it is installed, refuses half of a surrogate pair.
    odd = {
        "\ud800": pd.Series(["\udfff", "", "é\x00", None] * 15, dtype=object),
        "": pd.Series([None] * 60, dtype=object),
    }
    table = tables.objects().set_axis(pd.Index([*tables.objects()], dtype=object), axis=1)
    large = np.array([2**62, -(2**62), 2**62 + 1] * 20)
    return {
        "dense": (IRIS, SPECIES, {}),
        "float32, Fortran": (np.asfortranarray(IRIS, np.float32), SPECIES, {"dtype": None}),
        "two classes": (IRIS[:100], TWO, {"loss": SigmoidCrossEntropy()}),
        "two classes, softmax": (IRIS[:100], TWO, {"loss": SoftmaxCrossEntropy(0.1)}),
        "CSR": (scipy.sparse.csr_array(np.round(IRIS) % 3), SPECIES, {}),
        "CSR, unscaled": (scipy.sparse.csr_matrix(IRIS % 3), SPECIES, {"scale_inputs": False}),
        "constant column": (np.column_stack([IRIS, np.full(150, 1e9)]), SPECIES, {}),
        "frame": (pd.DataFrame(IRIS, columns=pd.Index(["a", "é", "\ud800", ""], dtype=object)), SPECIES, {}),
        "missing": (gaps, SPECIES, {}),
        "missing, float32": (gaps.astype(np.float32), SPECIES, {"dtype": None}),
        "missing, CSR": (scipy.sparse.csr_array(np.round(gaps) % 3), SPECIES, {}),
        "table": (tables.objects(), tables.LABELS, {}),
        "table, rare categories": (tables.objects(), tables.LABELS, {"max_categories": 2}),
        "table, unscaled": (tables.objects().drop(columns="age"), tables.LABELS, {"scale_inputs": False}),
        "table, odd names": (table.assign(**odd), tables.LABELS, {"max_categories": None}),
        "categories by name": (
            tables.objects().assign(zone=large),
            tables.LABELS,
            {"categorical_features": ["zone", "city", "member", "plan", "owner"]},
        ),
        "categories by index": (np.round(gaps), SPECIES, {"categorical_features": [1, np.int8(3)]}),
        "categories by mask": (np.round(IRIS), SPECIES, {"categorical_features": np.arange(4) > 1}),
        "members": (gaps, SPECIES, {"n_members": 3}),
        "members, table": (tables.objects(), tables.LABELS, {"n_members": 2, "hidden_layer_sizes": (3, 4)}),
        "members, columns": (rows, several, {"n_members": 2}),
        "members, CSR": (scipy.sparse.csr_array(np.round(IRIS) % 3), SPECIES == 0, {"n_members": 2}),
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
    *("missing", "missing, float32", "missing, CSR", "table", "table, rare categories", "table, unscaled"),
    *("table, odd names", "categories by name", "categories by index", "categories by mask"),
    *("soft", "soft, named", "soft, numbered", "soft, None"),
    *("members", "members, table", "members, columns", "members, CSR"),
)
