"""The graph of a fitted classifier: the operations that compute its predictions from the columns of X.

The graph computes codes of categories as in `table.read`, scaling and indicators as in `Encoding.rows`,
the network, the mean of its members, calibration of the logits, and probabilities. The types are those of
the estimator, except that the graph computes probabilities in the type of the network, and `predict_proba`
in float64. Labels are computed from the logits, which still differ if probabilities round to the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..estimator.classifier import TinyClassifier
from ..estimator.plan import FitPlan
from ..estimator.scaling import LINEAR
from ..estimator.state import FitState
from ..estimator.targets import LabelSets
from ..nn.arrays import Array
from ..nn.layers import GELU, Dense, Dropout, Identity, Layer, Logistic, ReLU, SiLU, Tanh
from ..nn.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from ..nn.members import MemberDense, SharedDense

# Versions of the operators and of the machine-learning operators. The first are from 2020, and all later
# runtimes support them. The second are tried if a step of a pipeline needs newer operators.
ML = "ai.onnx.ml"
OPSETS: tuple[dict[str, int], ...] = ({"": 13, ML: 2}, {"": 18, ML: 3})


class Graph:
    """Operations in the order in which they are computed, and the constants that they read.

    Parameters
    ----------
    unique : callable, optional
        Maps a name to a name that is unique in a larger graph.

    Attributes
    ----------
    operations : list of (operator, names of the inputs, name of the output, attributes)
    constants : dict from name to array
    """

    def __init__(self, unique: Callable[[str], str] = str) -> None:
        self.unique = unique
        self.operations: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, Array] = {}

    def add(self, operator: str, *inputs: str | Array, output: str | None = None, **attributes: Any) -> str:
        """Add an operator on values, given by name, and constants, and return the name of its output."""
        name = f"{operator}{len(self.operations)}"
        names = [x if isinstance(x, str) else self._constant(f"{name}_{i}", x) for i, x in enumerate(inputs)]
        output = output or self.unique(name)
        self.operations.append((operator, names, output, attributes))
        return output

    def cast(self, x: str, given: DTypeLike, dtype: DTypeLike) -> str:
        """Convert a value from the type ``given`` to ``dtype``, if they differ; return its name."""
        return x if given == dtype else self.add("Cast", x, to=onnx_type(dtype))

    def _constant(self, name: str, array: Array) -> str:
        name = self.unique(name)
        self.constants[name] = array
        return name


class Column(NamedTuple):
    """A value of a graph: one or several columns of X."""

    name: str
    dtype: np.dtype[Any]
    """float32, float64, int32, int64, bool, or object for strings."""


LOSSES: tuple[type[Loss], ...] = (SoftmaxCrossEntropy, SigmoidCrossEntropy)


def add_classifier(
    graph: Graph, model: TinyClassifier, x: str, given: DTypeLike, label: str, probabilities: str
) -> None:
    """Add operations that compute label and probabilities, under these names, from rows x."""
    state = model._fitted
    loss, classes = state.plan.loss, as_held(model.classes_)
    if type(loss) not in LOSSES:
        raise _unknown("losses", LOSSES, loss)
    z, held = _add_network(graph, state, _add_inputs(graph, state, x, given))
    dtype = model.network_.dtype
    if isinstance(state.labels, LabelSets):
        e = graph.cast(z, held, dtype)
        e = graph.add("Exp", graph.add("Neg", e))  # onnxruntime's Sigmoid is never below about 1e-8
        graph.add("Reciprocal", graph.add("Add", e, np.ones((), dtype)), output=probabilities)
        positive = graph.add("Greater", z, np.zeros((), held))
        graph.add("Cast", positive, to=onnx_type(np.int64), output=label)
        return
    if model.n_outputs_ < len(classes):
        z = graph.add("Pad", z, np.array([0, 1, 0, 0]))  # softmax([0, z]) = [sigmoid(-z), sigmoid(z)]
    graph.add("Softmax", graph.cast(z, held, dtype), axis=1, output=probabilities)
    graph.add("Gather", classes, graph.add("ArgMax", z, axis=1, keepdims=0), axis=0, output=label)


def add_table(graph: Graph, model: TinyClassifier, columns: list[Column]) -> Column:
    """Join columns of X to the table that `table.read` returns: codes for categories, NaN if missing.

    An array of all columns is split first, if some of them are categories.
    """
    encoding = model._fitted.encoding
    if not encoding.categorical.size:
        return joined_columns(graph, columns)
    if len(columns) < encoding.n_features:
        x, given = joined_columns(graph, columns)
        parts = (graph.add("Gather", x, np.array([j]), axis=1) for j in range(encoding.n_features))
        columns = [Column(part, given) for part in parts]
    categories = dict(zip(encoding.categorical.tolist(), encoding.categories, strict=True))
    for j, column in enumerate(columns):
        values = categories.get(j, np.zeros(1))
        if len(values) and (values.dtype.kind == "O") != (column.dtype.kind == "O"):
            name, text = column_names(model)[j], values.dtype.kind == "O"
            before, now = ("strings", column.dtype) if text else ("numbers", "strings")
            raise TypeError(f"the column {name!r} held {before} in fit, but now has {now}; convert it")
        if j in categories:
            columns[j] = Column(_add_codes(graph, values, *column), np.dtype(np.float32))
    return joined_columns(graph, columns, joined_type(columns[j].dtype for j in encoding.numbers))


def joined_columns(graph: Graph, columns: list[Column], dtype: np.dtype[Any] | None = None) -> Column:
    """Convert columns to one type, by default the one that holds all of them, and join them to an array."""
    types = {column.dtype for column in columns}
    if len(types) > 1 and np.dtype(object) in types:
        raise TypeError("strings and numbers cannot be columns of one array")
    dtype = joined_type(types) if dtype is None else dtype
    values = [graph.cast(*column, dtype) for column in columns]
    return Column(values[0] if len(values) == 1 else graph.add("Concat", *values, axis=1), dtype)


def joined_type(types: Iterable[np.dtype[Any]]) -> np.dtype[Any]:
    """Return the type that holds all of these: float32, float64, or object for strings."""
    types = [*types]
    return np.dtype(object) if object in types else np.result_type(np.float32, *types)


def column_names(model: TinyClassifier) -> list[str]:
    """Return the names of the columns of X, by default x0, x1, ..."""
    if hasattr(model, "feature_names_in_"):
        return [*model.feature_names_in_]
    return [f"x{j}" for j in range(model.n_features_in_)]


def _add_codes(graph: Graph, categories: Array, x: str, given: np.dtype[Any]) -> str:
    """Add the codes of a category column (n, 1), as in `Encoding`, in float32; NaN for missing entries."""
    k = len(categories)
    if given.kind == "O":
        code_of = {"": np.nan, **{value: float(code) for code, value in enumerate(categories.tolist())}}
        table: dict[str, Any] = {"keys_strings": [*code_of], "values_floats": [*code_of.values()]}
        return graph.add("LabelEncoder", x, domain=ML, default_float=float(k), **table)
    values = categories if k else np.array([np.nan])
    whole = given.kind != "f" and np.can_cast(values.dtype, np.int64)
    keys = values.astype(np.int64 if whole else np.float64)
    if k and (keys.astype(values.dtype) != values).any():
        raise ValueError(
            f"to_onnx cannot compare {given} exactly with the category {values[-1]}; fit with strings, such "
            "as the column's astype(str)"
        )
    equal = graph.cast(graph.add("Equal", graph.cast(x, given, keys.dtype), keys), bool, np.float32)
    difference = np.arange(len(keys), dtype=np.float32)[:, None] - np.float32(k)  # from the code of others
    codes = graph.add("Add", graph.add("MatMul", equal, difference), np.asarray(k, np.float32))
    missing = np.asarray(np.nan, np.float32)
    return graph.add("Where", graph.add("IsNaN", x), missing, codes) if given.kind == "f" else codes


def _add_inputs(graph: Graph, state: FitState, x: str, given: DTypeLike) -> str:
    """Add operations that compute the inputs of the network from a table, as `Encoding.rows` does."""
    encoding, dtype = state.encoding, state.network.dtype
    parts = []
    if encoding.n_numbers:
        z = graph.add("Gather", x, encoding.numbers, axis=1) if encoding.categorical.size else x
        parts.append(_add_scaling(graph, state, z, given))
    if encoding.missing.size:
        missing = graph.add("IsNaN", graph.add("Gather", x, encoding.missing, axis=1))
        parts.append(graph.cast(missing, bool, dtype))
    columns = np.repeat(encoding.categorical, encoding.widths)
    codes = np.array([code for width in encoding.widths for code in range(width)])
    if not parts and not columns.size:
        columns, codes = np.array([0]), np.array([-1])  # no entry has this code: the only input is 0
    if columns.size:
        found = graph.add("Equal", graph.add("Gather", x, columns, axis=1), codes.astype(given))
        parts.append(graph.cast(found, bool, dtype))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _add_scaling(graph: Graph, state: FitState, x: str, given: DTypeLike) -> str:
    """Add operations that scale numbers, as `Encoding.rows` does."""
    dtype = state.network.dtype
    if state.scaling is None:
        return graph.cast(x, given, dtype)
    center, factor = state.scaling.terms(given, dtype)
    held = center.dtype
    x = graph.cast(x, given, held)
    linear, one = (np.asarray(value, held) for value in (LINEAR, 1.0))
    missing = state.scaling.missing.astype(held)
    z = graph.add("Mul", graph.add("Sub", x, center), factor / linear)
    tail = graph.add("Log", graph.add("Clip", graph.add("Abs", z), one, np.finfo(held).max))
    z = graph.add("Add", graph.add("Clip", z, -one, one), graph.add("Mul", graph.add("Sign", z), tail))
    z = graph.add("Mul", z, linear)
    return graph.cast(graph.add("Where", graph.add("IsNaN", x), missing, z), held, dtype)


def _add_network(graph: Graph, state: FitState, x: str) -> tuple[str, DTypeLike]:
    """Add operations that compute the calibrated logits from the inputs of the network; return their type."""
    network, plan = state.network, state.plan
    held = network.dtype
    for layer, p in zip(network.layers, network.parameters, strict=True):
        if type(layer) not in LAYERS:
            raise _unknown("layers", LAYERS, layer)
        x = LAYERS[type(layer)](graph, x, p, held)
    if plan.n_members > 1:
        x, held = _add_ensemble_logits(graph, plan, graph.cast(x, held, np.float64)), np.dtype(np.float64)
    if state.calibration is not None:
        factor, offset = state.calibration.terms(held)
        x = graph.add("Add", graph.add("Mul", x, factor), offset)
    return x, held


def _add_ensemble_logits(graph: Graph, plan: FitPlan, x: str) -> str:
    """Add operations that compute the logits of the mean probabilities, in float64, see `MemberLoss`."""
    logistic = plan.loss.inverse_link == "logistic"
    z = graph.add("Reshape", x, np.array([-1, plan.n_members, plan.n_outputs, *[1] * logistic]))
    if logistic:  # log_softmax([0, z]) = [log_sigmoid(-z), log_sigmoid(z)]
        z = graph.add("Pad", z, np.array([0, 0, 0, 1, 0, 0, 0, 0]))
    logs = graph.add("LogSoftmax", z, axis=-1)
    # Subtract the largest entry, so that exp does not overflow. GatherElements finds it, since the
    # arguments of ReduceMax depend on the version.
    top = graph.add("GatherElements", logs, graph.add("ArgMax", logs, axis=1), axis=1)
    total = graph.add("ReduceSum", graph.add("Exp", graph.add("Sub", logs, top)), np.array([1]))
    # Divide before the logarithm: if all members are equal, the mean is exactly 1, and its logarithm 0.
    # onnxruntime may round log(total) and log(n_members) differently.
    mean = graph.add("Div", total, np.asarray(plan.n_members, np.float64))
    z = graph.add("Add", top, graph.add("Log", mean))
    if logistic:
        z = graph.add("MatMul", z, np.array([[-1.0], [1.0]]))
    return graph.add("Reshape", z, np.array([-1, plan.n_outputs]))


def _shared_dense(graph: Graph, x: str, p: Any, dtype: np.dtype[Any]) -> str:
    """Add a `SharedDense`; the graph computes the weights of all members, which are k times as large as W."""
    W = graph.add("Mul", p.r.T[:, :, None], p.W[:, None, :])
    return graph.add("Gemm", x, graph.add("Reshape", W, np.array([-1, p.b.size])), p.b.reshape(-1))


def _member_dense(graph: Graph, x: str, p: Any, dtype: np.dtype[Any]) -> str:
    """Add a `MemberDense`, as products of the matrices (k, rows, n_in / k) and (k, n_in / k, units)."""
    x = graph.add("Reshape", x, np.array([-1, *p.W.shape[:2]]))
    y = graph.add("MatMul", graph.add("Transpose", x, perm=[1, 0, 2]), p.W)
    y = graph.add("Transpose", graph.add("Add", y, p.b[:, None]), perm=[1, 0, 2])
    return graph.add("Reshape", y, np.array([-1, p.b.size]))


def _gelu(graph: Graph, x: str, p: Any, dtype: np.dtype[Any]) -> str:
    """Add x (1 + erf(x / sqrt(2))) / 2; the operator Gelu is newer than most runtimes."""
    erf = graph.add("Erf", graph.add("Mul", x, np.asarray(np.sqrt(0.5), dtype)))
    half = graph.add("Mul", x, np.asarray(0.5, dtype))
    return graph.add("Mul", half, graph.add("Add", erf, np.ones((), dtype)))


# Each function adds the operators of a layer with the parameters p, in the type of the network, and returns
# the name of the output.
LAYERS: dict[type[Layer], Callable[[Graph, str, Any, np.dtype[Any]], str]] = {
    Dense: lambda graph, x, p, dtype: graph.add("Gemm", x, p.W, p.b),
    SharedDense: _shared_dense,
    MemberDense: _member_dense,
    ReLU: lambda graph, x, p, dtype: graph.add("Relu", x),
    Tanh: lambda graph, x, p, dtype: graph.add("Tanh", x),
    Logistic: lambda graph, x, p, dtype: graph.add("Sigmoid", x),
    SiLU: lambda graph, x, p, dtype: graph.add("Mul", x, graph.add("Sigmoid", x)),
    GELU: _gelu,
    Identity: lambda graph, x, p, dtype: x,
    Dropout: lambda graph, x, p, dtype: x,  # in prediction
}


def outputs_of(model: TinyClassifier, rows: Any) -> list[tuple[str, DTypeLike, list[Any]]]:
    """Return name, type and shape of the outputs; several labels per row are a matrix of numbers."""
    several, table = isinstance(model._fitted.labels, LabelSets), [rows, len(model.classes_)]
    label = np.int64 if several else as_held(model.classes_).dtype
    return [
        ("label", label, table if several else [rows]),
        ("probabilities", model.network_.dtype, table),
    ]


def as_held(classes: Array) -> Array:
    """Return labels in a type of ONNX: int64, or strings in an array of objects."""
    plain = np.array(classes.tolist())  # an array of objects becomes one of numbers or strings
    if plain.dtype.kind == "U":
        return plain.astype(object)
    held = np.zeros(len(plain), bool)
    if plain.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):
            whole = plain.astype(np.int64)
        held = whole == plain
        if held.all():
            return whole
    raise ValueError(
        "labels for ONNX must be strings, booleans or whole numbers of 64 bits, got "
        f"{classes[~held][0]!r}; fit with strings, such as y.astype(str)"
    )


def _unknown(what: str, known: Iterable[type], part: Any) -> TypeError:
    names = ", ".join(one.__name__ for one in known)
    return TypeError(f"to_onnx supports the {what} {names}, got {type(part).__name__}; fit with one of them")


def onnx_type(dtype: DTypeLike) -> int:
    """Return the number by which ONNX names a type."""
    return int(required("onnx").helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def required(package: str) -> Any:
    """Return an optional package, or raise an error that says how to install it."""
    try:
        return import_module(package)
    except ImportError:
        raise ImportError(
            f"to_onnx needs {package}, which is not installed: pip install onnx skl2onnx"
        ) from None
