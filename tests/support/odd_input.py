"""Unusual inputs for an estimator, and checks of every possible outcome.

Each strategy draws a usual input and then, in most cases, adds one or two oddities. About half of the
examples should be accepted: if all were refused, nothing else would be tested.
"""

import math
import re
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError

from tests.support.doubles import ArrayOnly, StaticFrame, WithLength
from tinyclf import TinyClassifier, TrainingWarning
from tinyclf.estimator.targets import LabelSets

MORE = settings(max_examples=max(200, settings().max_examples))  # for tests that are quick

COLUMNS = 3
REFUSALS = (ValueError, TypeError)  # NotFittedError and DivergenceError are ValueErrors

# Boundary values: the smallest, subnormal and largest numbers of float32 and float64, and larger ones.
EDGES = [0.0, -0.0, 5e-324, -1e-310, 2.3e-308, 1e-300, 1e-45, 1e-40, 1.2e-38, 1e-8, 1e8, 65520.0, 2.0**53]
EDGES += [3e19, -1e38, 3.4028234e38, -3.5e38, 1e154, 1e200, 1e300, -1e300, 1e308, -1.7976931348623157e308]
NON_FINITE = [np.nan, np.inf, -np.inf]

# Warnings that accepted input may cause. NumPy's RuntimeWarnings are not among them.
DECLARED = [
    ("", ConvergenceWarning),
    ("", DataConversionWarning),
    ("", TrainingWarning),
    ("batch_size=", UserWarning),
    ("The number of unique classes is greater than 50%", UserWarning),
    ("X (does not have|has) valid feature names|X has feature names", UserWarning),
]

# Parts of messages that NumPy, pandas and others raise without naming the argument.
INTERNAL = re.compile(
    "setting an array element|could not broadcast|operands could not be|too small depth|ufunc '|cannot "
    "reshape|only length-1|only 0-dimensional|inhomogeneous|out of bounds|object is not|has no attribute|"
    "unsupported operand|unexpected keyword|not iterable|not subscriptable|truth value|invalid literal|"
    "unhashable|NoneType object|not supported between|cannot convert float|must be real number, not|Cannot "
    "cast|same_kind|has no len|takes .* positional|list index|assert|matmul|zero-size array"
)
CAUSES = "X y X_val y_val sample_weight sample_weight_val class classes label labels target targets layer row"
CAUSES += " rows column columns feature features training callbacks coefs_ intercepts_ y_true "
CAUSES += " ".join(TinyClassifier().get_params())
CAUSES = re.compile(rf"\b({'|'.join(CAUSES.split())})\b|\barrays?\b|not fitted yet")


class Unchanged:
    """Keeps the arguments of a call, and checks that the call has not changed a byte of them."""

    def __init__(self, *given):
        self.given = given
        self.before = [frozen(one) for one in given]

    def check(self):
        for one, before in zip(self.given, self.before, strict=True):
            assert frozen(one) == before, f"changed: {one!r}"


def frozen(value):
    """Return the contents of a value, its memory included, in a form that can be compared."""
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        owner = value.base if isinstance(value.base, np.ndarray) else None
        held = [repr(one) for one in value.ravel()] if value.dtype.hasobject else value.tobytes()
        return value.dtype.str, value.shape, value.strides, value.flags.writeable, held, frozen(owner)
    if isinstance(value, np.ma.MaskedArray):
        return "masked", frozen(value.data), frozen(np.ma.getmaskarray(value))
    if scipy.sparse.issparse(value):
        parts = ("data", "indices", "indptr", "row", "col", "offsets", "rows")
        stored = [
            frozen(getattr(value, name)) for name in parts if isinstance(getattr(value, name, 0), np.ndarray)
        ]
        return type(value), value.format, value.shape, stored
    if isinstance(value, (pd.DataFrame, pd.Series)):
        inside = pd.DataFrame(value)
        held = [(str(kind), repr(inside.iloc[:, i].tolist())) for i, kind in enumerate(inside.dtypes)]
        return type(value), held, repr(inside.index), repr(inside.columns)
    if isinstance(value, (pl.DataFrame, pl.Series)):
        return type(value), str(value.rows() if isinstance(value, pl.DataFrame) else value.to_list())
    if isinstance(value, (list, tuple)):
        return type(value), [frozen(one) for one in value]
    if isinstance(value, dict):
        return [(key, frozen(one)) for key, one in value.items()]
    if isinstance(value, (ArrayLike, ArrayOnly)):
        return frozen(value.held)
    return type(value), repr(value)


# --- features ----------------------------------------------------------------------------------------------


class ArrayLike:
    """An object with ``__array__``, which raises an error if ``willing`` is False."""

    def __init__(self, held, willing=True):
        self.held = held
        self.willing = willing

    def __array__(self, dtype=None, copy=None):
        if not self.willing:
            raise ValueError("there is no array here")
        return np.asarray(self.held, dtype)

    def __len__(self):
        return len(self.held)

    @property
    def shape(self):
        return self.held.shape


def _silently(function, *arguments, **named):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **named)


@st.composite
def tables(draw, n, k=COLUMNS, non_finite=True):
    """Return float64 numbers (n, k), plain or with unusual rows, columns or entries."""
    X = np.random.default_rng(draw(st.integers(0, 9))).normal(size=(n, k)).round(3)
    kinds = ["plain", "plain", "constant", "twice", "same rows", "scales", "far", "edges", "all edges"]
    kind = draw(st.sampled_from(kinds + ["non-finite"] * non_finite))
    if n and k:
        i, j = draw(st.integers(0, n - 1)), draw(st.integers(0, k - 1))
        if kind == "constant":
            X[:, j] = draw(st.sampled_from(EDGES))
        elif kind == "twice":
            X[:, j] = X[:, 0]
        elif kind == "same rows":
            X[:] = X[0]
        elif kind == "scales":
            X *= 10.0 ** np.array(draw(st.lists(st.integers(-300, 300), min_size=k, max_size=k)))
        elif kind == "far":
            X[:, j] += draw(st.sampled_from([1e6, -1e10, 1e16, 1e38, 1e300]))
        elif kind == "edges":
            X[i, j] = draw(st.sampled_from(EDGES))
        elif kind == "all edges":
            X[:] = np.array(draw(st.lists(st.sampled_from(EDGES), min_size=n * k, max_size=n * k))).reshape(
                n, k
            )
        elif kind == "non-finite":
            X[i, j] = draw(st.sampled_from(NON_FINITE))
    return X


NUMBERS = ["<f8", "<f8", "<f4", "<f4", "<f2", np.longdouble, ">f8", ">f4", "?", "i1", "i2", "i4", "i8", ">i4"]
NUMBERS += ["u1", "u2", "u4", "u8", "O"]
OTHERS = [
    "c16",
    "U9",
    "S9",
    "M8[D]",
    "m8[s]",
    "V4",
    [("a", "f8"), ("b", "f8")],
    "O of strings",
    "O of anything",
]


def in_type(X, dtype):
    """Return numbers converted to another type, as closely as it can hold them."""
    if isinstance(dtype, str) and dtype.startswith("O of"):
        words = np.vectorize(str, otypes=[object])(X) if X.size else X.astype(object)
        if X.size and dtype == "O of anything":
            words.flat[0], words.flat[-1] = [1, 2], {"a": 1}
        return words
    if isinstance(dtype, list) or dtype == "V4":
        return np.zeros(X.shape, dtype)
    if np.dtype(dtype).kind in "iuMm":
        X = _silently(np.nan_to_num, X.clip(-100, 100))
        X = abs(X) if np.dtype(dtype).kind == "u" else X
        return X.astype("i8").astype(dtype)
    return _silently(X.astype, dtype)


def _spread(X):
    larger = np.zeros((2 * X.shape[0], *X.shape[1:]), X.dtype)
    larger[::2] = X
    return larger[::2]


def _misaligned(X):
    held = np.zeros(X.nbytes + 1, "u1")
    view = held[1:].view(X.dtype).reshape(X.shape) if X.size and not X.dtype.hasobject else X
    view[...] = X
    return view


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "C": lambda X: X,
    "Fortran": np.asfortranarray,
    "every second row": _spread,
    "upside down": lambda X: X[::-1].copy()[::-1],
    "backwards": lambda X: X[..., ::-1].copy()[..., ::-1],
    "one row": lambda X: np.broadcast_to(X[:1], X.shape) if X.ndim and len(X) else X,
    "one column": lambda X: np.broadcast_to(X[..., :1], X.shape) if X.ndim > 1 and X.shape[-1] else X,
    "read-only": _read_only,
    "misaligned": _misaligned,
}


def _csr(X, kind=scipy.sparse.csr_array, wide=False, noncanonical=False):
    """Return CSR rows; noncanonical ones have explicit zeros, duplicate entries and unsorted columns."""
    S = kind(X)
    if noncanonical and S.nnz:
        coo = S.tocoo()
        row, col = np.r_[coo.row, coo.row, 0][::-1], np.r_[coo.col, coo.col, 0][::-1]
        data = np.r_[coo.data / 2, coo.data / 2, 0.0][::-1].astype(coo.data.dtype)
        order = np.argsort(row, kind="stable")
        indptr = np.searchsorted(row[order], np.arange(X.shape[0] + 1))
        S = kind((data[order], col[order], indptr), shape=X.shape)
    if wide:
        S.indices, S.indptr = S.indices.astype(np.int64), S.indptr.astype(np.int64)
    return S


# Faults of compressed rows, columns or blocks: the array, and the function that spoils it.
_FAULTS = {
    "a column too large": ("indices", lambda a: np.r_[10**8, a[1:]]),
    "a negative column": ("indices", lambda a: np.r_[-(10**8), a[1:]]),
    "a column of 64 bits": ("indices", lambda a: np.r_[np.int64(2**40), a[1:]]),
    "columns that are fractions": ("indices", lambda a: a + 0.5),
    "too few columns": ("indices", lambda a: a[:1]),
    "too few entries": ("data", lambda a: a[:1]),
    "no start at 0": ("indptr", lambda a: np.r_[1, a[1:]]),
    "a negative start": ("indptr", lambda a: np.r_[-(10**8), a[1:]]),
    "an end beyond the entries": ("indptr", lambda a: np.r_[a[:-1], 10**8]),
    "a pointer that decreases": ("indptr", lambda a: np.r_[0, 10**8, a[2:]]),
    "a pointer that decreases to 0": ("indptr", lambda a: np.r_[0, 10**8, a[2:-1], 0]),
    "a pointer that decreases, unsigned": ("indptr", lambda a: np.r_[0, 10**8, a[2:-1], 0].astype("u4")),
    "too few pointers": ("indptr", lambda a: a[:2]),
    "too many pointers": ("indptr", lambda a: np.r_[a, 10**8]),
}
_OTHER_FAULTS = {
    "COO: a row too large": lambda S: S.coords[0].__setitem__(0, 10**8),
    "COO: a negative column": lambda S: S.coords[1].__setitem__(0, -(10**8)),
    "LIL: more entries than columns": lambda S: S.data[1].extend([1.0] * 10**6),
    "LIL: a column too large": lambda S: S.rows[1].__setitem__(0, 10**8),
}
MALFORMED = [f"{kind}: {fault}" for kind in ("CSR", "CSC", "BSR") for fault in _FAULTS] + [*_OTHER_FAULTS]


def malformed(fault, X):
    """Return X as a sparse matrix with one of the faults: SciPy would use addresses outside of its arrays."""
    kind, _, name = fault.partition(": ")
    S = getattr(scipy.sparse, f"{kind.lower()}_array")(X)
    if fault in _OTHER_FAULTS:
        _OTHER_FAULTS[fault](S)
    else:
        array, spoil = _FAULTS[name]
        setattr(S, array, spoil(getattr(S, array)))
    return S


def _frame(X, **changes):
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    for name, change in changes.items():
        frame[name] = change(frame[name])
    return frame


def _some(column, others):
    """The column, with others in place of some entries."""
    return column.astype(object).where(np.arange(len(column)) % 5 != 1, others)


_WORDS = {"c0": lambda f: np.where(f["c0"] > 0, "yes", "no")}
_TABLES = {
    "frame with words": lambda f: f.assign(c0=f["c0"].astype(str) + " km"),
    "frame with few words": lambda f: f.assign(**_WORDS),
    "frame with categories": lambda f: f.assign(**_WORDS).astype({"c0": "category"}),
    "frame with missing words": lambda f: f.assign(c0=_some(f.assign(**_WORDS)["c0"], None)),
    "frame with missing numbers": lambda f: f.assign(c0=_some(f["c0"], np.nan).astype("float64")),
    "frame with NA": lambda f: f.assign(c0=f["c0"].astype("Float64").where(f.index > 0, pd.NA)),
    "frame with NA among objects": lambda f: f.assign(c0=_some(f["c0"], pd.NA)),
    "frame with booleans": lambda f: f.assign(c0=f["c0"] > 0),
    "frame with missing booleans": lambda f: f.assign(c0=_some(f["c0"] > 0, pd.NA).astype("boolean")),
    "frame with an empty column": lambda f: f.assign(c0=None),
    "polars with words": lambda f: pl.DataFrame(f.assign(**_WORDS).to_dict("list")),
    "polars with categories": lambda f: pl.DataFrame(
        f.assign(**_WORDS).to_dict("list"), schema_overrides={"c0": pl.Categorical}
    ),
    "polars with nulls": lambda f: pl.DataFrame(f.assign(c0=_some(f["c0"], None)).to_dict("list")),
    "polars with an empty column": lambda f: pl.DataFrame(f.assign(c0=None).to_dict("list")),
    "objects with None": lambda f: f.assign(c0=_some(f["c0"], None)).to_numpy(dtype=object),
    "objects with words": lambda f: f.assign(**_WORDS).to_numpy(dtype=object),
    "lists with words": lambda f: f.assign(**_WORDS).to_numpy(dtype=object).tolist(),
}
CONTAINERS = {
    "list": lambda X: X.tolist(),
    "tuple": lambda X: tuple(map(tuple, X.tolist())),
    "rows": list,
    "array-like": ArrayLike,
    "array only": ArrayOnly,
    "array-like with a length": WithLength,
    "static frame": StaticFrame,
    "masked array, nothing masked": np.ma.masked_array,
    "frame": _frame,
    "frame without names": pd.DataFrame,
    "frame with mixed names": lambda X: pd.DataFrame(X, columns=["a", 1, "b"][: X.shape[1]]),
    "frame with a name twice": lambda X: pd.DataFrame(X, columns=["a"] * X.shape[1]),
    "frame of Float64": lambda X: _frame(X).convert_dtypes(),
    "frame with a category": lambda X: _frame(X, c0=lambda c: c.astype("category")),
    "polars": lambda X: pl.DataFrame(X, schema=[f"c{i}" for i in range(X.shape[1])]),
    **{name: lambda X, change=change: change(_frame(X)) for name, change in _TABLES.items()},
    "csr_array": _csr,
    "csr_matrix": lambda X: _csr(X, scipy.sparse.csr_matrix),
    "csr, 64 bits": lambda X: _csr(X, wide=True),
    "csr, noncanonical": lambda X: _csr(X, noncanonical=True),
    "csr matrix, noncanonical": lambda X: _csr(X, scipy.sparse.csr_matrix, noncanonical=True),
    **{
        name: getattr(scipy.sparse, name)
        for name in (
            "csc_array",
            "csc_matrix",
            "coo_array",
            "coo_matrix",
            "bsr_array",
            "dok_array",
            "lil_array",
        )
    },
    "dia_array": scipy.sparse.dia_array,
}
NOT_ARRAYS = {
    "matrix": lambda X: _silently(np.matrix, X),
    "masked": lambda X: np.ma.masked_array(X, np.arange(X.size).reshape(X.shape) == X.size - 1),
    "frame with words and numbers": lambda X: _frame(X, c0=lambda c: _some(c, "many")),
    "frame with words and booleans": lambda X: _frame(X, c0=lambda c: _some(c.astype(str), True)),
    "frame with lists": lambda X: _frame(X, c0=lambda c: [[x] for x in c]),
    "frame with bytes": lambda X: _frame(X, c0=lambda c: [b"a"] * len(c)),
    "frame with a category of dates": lambda X: _frame(
        X, c0=lambda c: pd.Categorical([pd.Timestamp("2020-01-01")] * len(c))
    ),
    "frame with dates": lambda X: _frame(X, c0=lambda c: pd.Timestamp("2020-01-01")),
    "ragged": lambda X: [*X.tolist(), [1.0]],
    "array-like that fails": lambda X: ArrayLike(X, willing=False),
    "malformed": lambda X: malformed("CSR: a pointer that decreases to 0", np.ones(X.shape)),
    "generator": lambda X: (row for row in X),
    "dict": lambda X: {"a": X},
    "set": lambda X: set(X.ravel().tolist()),
    "None": lambda X: None,
    "string": lambda X: "X",
    "number": lambda X: 5,
}
SHAPES = {
    "0-d": lambda X: X.reshape(-1)[:1].reshape(()) if X.size else np.zeros((), X.dtype),
    "1-d": lambda X: X.reshape(-1),
    "3-d": lambda X: X[..., None],
    "no columns": lambda X: X[:, :0],
    "no rows": lambda X: X[:0],
    "a column more": lambda X: np.concatenate([X, X[:, :1]], axis=1),
    "a column less": lambda X: X[:, 1:],
}


@st.composite
def features(draw, n, k=COLUMNS, odd=None):
    """Return X of n rows, in any form that a caller may pass.

    Of ten inputs, ``odd`` are invalid: arrays of a wrong shape, or objects that hold no numbers.
    """
    odd = 2 if odd is None else odd
    X = draw(tables(n, k, non_finite=odd > 0))
    wrong = draw(st.integers(0, 9)) < odd
    what = draw(st.sampled_from(["type", "shape", "container"])) if wrong else ""
    X = in_type(X, draw(st.sampled_from(OTHERS if what == "type" else NUMBERS)))
    if what == "shape":
        X = draw(st.sampled_from(list(SHAPES.values())))(X)
    X = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](X) if X.ndim else X
    if what == "container":
        return NOT_ARRAYS[draw(st.sampled_from(list(NOT_ARRAYS)))](X)
    if what == "" and draw(st.booleans()):
        try:
            return _silently(CONTAINERS[draw(st.sampled_from(list(CONTAINERS)))], X)
        except (TypeError, ValueError, NotImplementedError):  # sparse arrays have no float16, for example
            return X
    return X


# --- labels and weights ------------------------------------------------------------------------------------


KINDS = {
    "numbers": [0, 1, 2],
    "unsorted": [7, -3, 100],
    "unsigned": np.array([250, 3, 0], "u1"),
    "big-endian": np.array([5, 3, 4], ">i4"),
    "floats": [1.0, 0.0, -2.0],
    "words": ["b", "ab", ""],
    "words as objects": np.array(["b", "a", "c"], object),
    "NumPy's words": np.array([np.str_("b"), np.str_("a"), np.str_("c")], object),
    "NumPy's numbers": np.array([np.int8(1), np.int64(0), np.uint8(2)], object),
    "booleans": [True, False, True],
    "booleans as objects": np.array([True, np.False_, True], object),
    "large": [2**62, -(2**62), 2**62 + 1],
    "one": [4, 4, 4],
    "two": ["no", "yes", "no"],
}
INVALID_KINDS = {
    "fractions": [0.5, 1.25, 3.75],
    "larger": [2**70, 1, 2],
    "mixed": np.array([1, "a", 2.5], object),
    "missing": np.array(["a", None, "b"], object),
    "nan": [0.0, np.nan, 1.0],
    "nan among words": np.array(["a", np.nan, "b"], object),
    "nan among words in a list": ["a", np.nan, "b"],
    "NA": [pd.NA, "b", "c"],
    "NaT": np.array(["2020-01-01", "NaT", "2020-01-02"], "M8[D]"),
    "beyond 64 bits together": [2**63, -1, 0],
    "inf": [0.0, np.inf, 1.0],
    "complex": [1j, 2.0, 3.0],
    "dates": np.array(["2020-01-01", "2021-01-01", "2020-01-02"], "M8[D]"),
    "bytes": [b"b", b"a", b"c"],
    "lists": np.array([None, None, None], object),
    "tuples": [(1,), (2, 3), ()],
}
INVALID_KINDS["lists"][:] = [[1], [2, 3], []]

SERIES = {
    "array": np.asarray,
    "list": list,
    "tuple": tuple,
    "read-only": lambda y: _read_only(np.asarray(y)),
    "backwards": lambda y: np.asarray(y)[::-1].copy()[::-1],
    "column": lambda y: np.asarray(y)[:, None],
    "series": pd.Series,
    "category": lambda y: pd.Series(y).astype("category"),
    "frame": pd.DataFrame,
    "polars": pl.Series,
    "masked array, nothing masked": np.ma.masked_array,
    "array-like": lambda y: ArrayLike(np.asarray(y)),
}
INVALID_SERIES = {
    "short": lambda y: np.asarray(y)[1:],
    "long": lambda y: [*list(y), *list(y)],
    "nothing": lambda y: None,
    "a word": lambda y: "y",
    "a number": lambda y: 1,
    "a set": lambda y: set(map(str, y)),
    "masked": lambda y: np.ma.masked_array(y, np.arange(len(y)) == len(y) - 1),
    "two columns": lambda y: np.stack([np.asarray(y)] * 2, axis=1),
    "three axes": lambda y: np.asarray(y)[:, None, None],
    "ragged": lambda y: [*list(y)[1:], [1, 2]],
    "sparse": lambda y: scipy.sparse.csr_array(np.arange(len(y))[:, None] % 2),
    "Int64 with NA": lambda y: pd.Series([pd.NA, *range(len(y) - 1)], dtype="Int64"),
    "array-like that fails": lambda y: ArrayLike(np.asarray(y), willing=False),
}
SETS = {
    "columns": np.asarray,
    "columns as lists": lambda Y: Y.tolist(),
    "columns, sparse": scipy.sparse.csr_array,
    "columns, csc": scipy.sparse.csc_matrix,
    "columns, frame": pd.DataFrame,
    "columns of bool": lambda Y: Y.astype(bool),
    "columns of floats": lambda Y: Y.astype(np.float32, order="F"),
}


@st.composite
def labels(draw, n, odd=2, sets=1, kind=None):
    """Return y of n rows. Of ten, ``odd`` are invalid and ``sets`` are matrices of 0 and 1."""
    if draw(st.integers(0, 9)) < sets and kind is None:
        Y = (np.arange(3 * n).reshape(n, 3) * draw(st.integers(1, 7)) // 2) % 2
        return SETS[draw(st.sampled_from(list(SETS)))](Y)
    wrong = draw(st.integers(0, 9)) < odd
    what = draw(st.sampled_from(["kind", "series"])) if wrong else ""
    kinds = INVALID_KINDS if what == "kind" else KINDS
    three = kinds[draw(st.sampled_from(list(kinds))) if kind is None or wrong else kind]
    order = np.arange(n) % 3 if draw(st.booleans()) else np.arange(n) // 2 % 3
    y = three[order] if isinstance(three, np.ndarray) else [three[i] for i in order]
    series = INVALID_SERIES if what == "series" else SERIES
    try:
        return _silently(series[draw(st.sampled_from(list(series)))], y)
    except (TypeError, ValueError, OverflowError):  # some labels fit in a list only
        return y


WEIGHTS = {
    "none": lambda w: None,
    "ones": np.ones_like,
    "some": lambda w: w,
    "float32": lambda w: w.astype(np.float32),
    "whole numbers": lambda w: np.arange(len(w)) % 3,
    "booleans": lambda w: np.arange(len(w)) % 2 == 0,
    "zeros": lambda w: w * (np.arange(len(w)) % 2),
    "one row": lambda w: w * (np.arange(len(w)) == 1),
    "large": lambda w: w * 1e300,
    "small": lambda w: w * 1e-300,
    "subnormal": lambda w: np.full_like(w, 5e-324),
    "far apart": lambda w: 10.0 ** np.linspace(-300, 300, len(w)),
    "a number": lambda w: 2.0,
    "list": lambda w: w.tolist(),
    "series": pd.Series,
    "objects": lambda w: w.astype(object),
    "read-only": _read_only,
    "backwards": lambda w: w[::-1],
    "masked array, nothing masked": np.ma.masked_array,
}
INVALID_WEIGHTS = {
    "negative": lambda w: -w,
    "all zero": np.zeros_like,
    "nan": lambda w: w * np.nan,
    "inf": lambda w: w * np.inf,
    "sum overflows": lambda w: np.full_like(w, 1e308),
    "short": lambda w: w[1:],
    "column": lambda w: w[:, None],
    "square": lambda w: np.ones((len(w), len(w))),
    "words": lambda w: list(map(str, w)),
    "word": lambda w: "balanced",
    "complex": lambda w: w + 1j,
    "objects": lambda w: [None, *w[1:]],
    "ragged": lambda w: [[1, 2], *w[1:]],
    "masked": lambda w: np.ma.masked_array(w, w == w[-1]),
    "dict": lambda w: {0: 1.0},
}


@st.composite
def weights(draw, n, odd=1):
    """Return sample_weight for n rows. Of ten, ``odd`` are invalid."""
    kinds = INVALID_WEIGHTS if draw(st.integers(0, 9)) < odd else WEIGHTS
    kind = draw(st.sampled_from(["none"] * len(kinds) * (kinds is WEIGHTS) + list(kinds)))
    return kinds[kind](np.random.default_rng(0).uniform(0.5, 2.0, n))


# --- what must be true -------------------------------------------------------------------------------------


def checked_call(call, *given, **named):
    """Return the result of a call and None, or None and its error, which must name the cause.

    The call must not change its arguments, and may raise the declared warnings only.
    """
    unchanged = Unchanged(*given, *named.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for message, category in DECLARED:
            warnings.filterwarnings("ignore", message, category)
        try:
            return call(*given, **named), None
        except REFUSALS as error:
            check_message(error)
            return None, error
        finally:
            unchanged.check()


def check_message(error):
    """Check that an error names its cause."""
    message = str(error)
    assert message, repr(error)
    assert not isinstance(error, UnicodeError), repr(error)
    assert not INTERNAL.search(message), repr(error)
    assert isinstance(error, NotFittedError) or CAUSES.search(message), repr(error)


def check_probabilities(model, p, z):
    """Check the type, shape, range and row sums of the probabilities of the logits z."""
    assert p.dtype == z.dtype == model.plan_.output_dtype
    assert np.isfinite(p).all()
    assert ((p >= 0.0) & (p <= 1.0)).all()
    if isinstance(model._state.labels, LabelSets):
        assert p.shape == z.shape
        return
    assert p.shape == (len(z), len(model.classes_))
    for row in p.tolist():
        assert abs(math.fsum(row) - 1.0) <= 4 * float(np.finfo(p.dtype).eps), row


def check_predictions(model, X):
    """Call each prediction method of a fitted model: all raise the same error, or their results agree.

    Returns the probabilities, or the error.
    """
    p, error = checked_call(model.predict_proba, X)
    log_p, of_log = checked_call(model.predict_log_proba, X)
    codes, of_codes = checked_call(model.predict, X)
    z, of_z = checked_call(model.decision_function, X)
    assert (error is None) == (of_log is None) == (of_codes is None) == (of_z is None)
    if error is not None:
        assert str(error) == str(of_log) == str(of_codes) == str(of_z)
        return error
    check_probabilities(model, p, z)
    assert not np.isnan(log_p).any()
    assert (log_p <= 0.0).all()
    with np.errstate(over="ignore"):
        near = np.isfinite(np.ptp(z, axis=-1) if z.ndim > 1 else z)  # documented: -inf beyond the range
    assert np.isfinite(log_p[near]).all()
    if isinstance(model._state.labels, LabelSets):
        yes = codes.toarray() if scipy.sparse.issparse(codes) else codes
        assert (np.where(yes == 1, p, 1.0 - p) >= 0.5).all()
    else:
        assert codes.dtype == model.classes_.dtype
        chosen = p[np.arange(len(p)), np.searchsorted(model.classes_, codes)]
        assert (chosen == p.max(axis=1)).all()
    members, error = checked_call(model.member_probabilities, X)
    assert error is None
    assert members.shape == (len(p), model.plan_.n_members, p.shape[1])
    assert members.dtype == p.dtype
    assert ((members >= 0.0) & (members <= 1.0)).all()
    if model.calibration_ == 1.0:
        np.testing.assert_allclose(members.mean(axis=1), p, atol=1e-12 if p.dtype == np.float64 else 1e-6)
    if model.plan_.hidden_ends:
        hidden, error = checked_call(model.activations, X)
        assert error is None
        assert hidden.dtype == model.network_.dtype
        assert np.isfinite(hidden).all()
    return p


class Outcomes(Counter):
    """Counts outcomes, so that a test can check that each kind occurs often enough."""

    def fraction(self, outcome):
        return self[outcome] / self.total()
