"""Export to ONNX: a graph that computes the predictions of a fitted model in other runtimes.

The graph computes codes of categories as in `table.read`, scaling and indicators as in `Encoding.rows`,
the network, calibration of the logits, and probabilities. The types are those of the estimator, except
that the graph computes probabilities in the type of the network, and `predict_proba` in float64. Labels
are computed from the logits, which still differ if probabilities round to the same value.

A graph is checked before it is returned: it is loaded by a runtime, and its predictions are
compared with those of the model.

Export needs onnx, and skl2onnx for pipelines (``pip install onnx skl2onnx``); both are imported on
first use. Graphs are checked by onnxruntime if it is installed, and by the reference evaluator of
onnx otherwise.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, PolynomialFeatures
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from ._version import __version__
from .estimator.classifier import TinyClassifier
from .estimator.dataset import read_features
from .estimator.model_file import additions
from .estimator.scaling import LINEAR
from .estimator.state import FitState
from .estimator.table import _columns, _entries, _is_missing, as_table, is_frame
from .estimator.targets import LabelSets
from .nn.arrays import Array
from .nn.layers import GELU, Dense, Dropout, Identity, Layer, Logistic, ReLU, SiLU, Tanh
from .nn.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy

if TYPE_CHECKING:
    from onnx import ModelProto

# Versions of the operators and of the machine-learning operators. The first are from 2020, and all later
# runtimes support them. The second are tried if a step of a pipeline needs newer operators.
ML = "ai.onnx.ml"
OPSETS: tuple[dict[str, int], ...] = ({"": 13, ML: 2}, {"": 18, ML: 3})

# A graph is compared with the model on at most this number of rows.
ROWS = 1000

# Probabilities may differ by this number of units of rounding, times 1 + the largest logit. In 144 setups
# (data sets, types, networks with and without scaling, pipelines), the largest difference is 1.3 units.
ROUNDING = 16.0

# Each adds the operators of an activation on a value of a type, and returns the name of the output.
ACTIVATIONS: dict[type[Layer], Callable[[_Graph, str, DTypeLike], str]] = {
    ReLU: lambda graph, x, dtype: graph.add("Relu", x),
    Tanh: lambda graph, x, dtype: graph.add("Tanh", x),
    Logistic: lambda graph, x, dtype: graph.add("Sigmoid", x),
    SiLU: lambda graph, x, dtype: graph.add("Mul", x, graph.add("Sigmoid", x)),
    GELU: lambda graph, x, dtype: _add_gelu(graph, x, np.dtype(dtype)),
}
NO_OPERATION: tuple[type[Layer], ...] = (Identity, Dropout)  # in prediction
LOSSES: tuple[type[Loss], ...] = (SoftmaxCrossEntropy, SigmoidCrossEntropy)

# A subclass that overrides one of these can predict otherwise than the graph.
PREDICTION = {
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "_outputs"),
    *("_fitted", "plan_", "classes_", "network_"),
}


def to_onnx(
    model: TinyClassifier | Pipeline, X: Any = None, *, target_opset: int | Mapping[str, int] | None = None
) -> ModelProto:
    """Return a fitted classifier, or a pipeline that ends in one, as an ONNX model.

    The input of the graph is ``X``, with any number of rows; NaN is a missing number. If some columns
    are categories, or X is a data frame and the model a pipeline, each column is an input of shape
    (rows, 1) with its name (``x0``, ``x1``, ... without names): numbers, booleans or strings. A missing
    string is ``""``, unless ``""`` is a category; a missing boolean or integer is NaN in a float column.

    The outputs are ``label`` and ``probabilities``: the results of `predict` and `predict_proba`, with
    labels as int64 or strings, and probabilities in the type of the network. Boolean labels are 0 and 1;
    several labels per row are a matrix of 0 and 1. The metadata contain the classes as JSON, under the
    key ``classes``.

    The graph is checked before it is returned: by ``onnx.checker``, and by loading it in onnxruntime, or
    in the reference evaluator of onnx if onnxruntime is not installed. Its predictions are compared with
    those of the model on up to 1000 rows of X. Without X, a classifier is compared on random rows with
    all its categories, unknown ones and missing entries, and a pipeline is not compared. The
    probabilities may differ by 16 eps (1 + the largest logit), where eps is the rounding unit of the
    network's type, and in a pipeline that of float32. A graph cannot raise errors: for rows that
    `predict` rejects, such as infinite numbers, or missing ones without ``scale_inputs``, its output is
    undefined.

    Parameters
    ----------
    model : TinyClassifier or Pipeline
        The other steps of a pipeline are exported by skl2onnx. They compute in the type of the
        input if possible, and otherwise in float64 or float32. A subclass of TinyClassifier must
        not override the methods that predict.
    X : array_like or data frame of shape (n_samples, n_features), optional
        Rows to compare the predictions on. Their types are those of the graph's inputs: with float64
        rows the input is float64, which keeps small differences between large numbers. By default it
        is the type of the network, usually float32; columns of a table are float64, or the types of
        their categories. A pipeline with a data frame has one input per column; a pipeline whose
        classifier has categories needs X.
    target_opset : int or dict of str to int, optional
        The version of the ONNX operators, at least 13 and at most the newest version of the
        installed onnx, and for a pipeline of the installed skl2onnx. A dict also sets the version
        of the machine-learning operators, 2 or 3, for example ``{"": 18, "ai.onnx.ml": 3}``. The
        default is 13, and 18 if a step of a pipeline needs it.

    Returns
    -------
    onnx.ModelProto
        Save it by ``onnx.save``, or by ``SerializeToString``, which returns the same bytes for the
        same model.

    Raises
    ------
    TypeError
        If the model has another type, or has a user-defined layer or loss; if a column of X is of
        another kind than in fit.
    ValueError
        If a label is not a string, a boolean or a whole number; if ONNX cannot distinguish two
        entries of a category column; if a pipeline needs X to determine its input; or if the graph
        does not load or predicts otherwise than the model. The message names the column, or the step
        of a pipeline, and the fix.
    NotFittedError
        If the model is not fitted.
    ImportError
        If onnx, or skl2onnx for a pipeline, is not installed.

    Warns
    -----
    UserWarning
        If onnxruntime is not installed, and the reference evaluator of onnx does not implement an
        operator of the graph, which is then not compared with the model.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from tinyclf import TinyClassifier, to_onnx
    >>> graph = to_onnx(TinyClassifier(random_state=0).fit(*load_iris(return_X_y=True))).graph
    >>> [node.op_type for node in graph.node][-6:]
    ['Gemm', 'Relu', 'Gemm', 'Softmax', 'ArgMax', 'Gather']
    >>> [value.name for value in (*graph.input, *graph.output)]
    ['X', 'label', 'probabilities']
    """
    classifier: Any = model
    while isinstance(classifier, Pipeline):
        classifier = classifier.steps[-1][1]
    if not isinstance(classifier, TinyClassifier):
        raise TypeError(
            "to_onnx exports a TinyClassifier, or a Pipeline that ends in one, but not "
            f"{type(classifier).__name__}; for a search, pass best_estimator_"
        )
    if overridden := sorted(PREDICTION & additions(type(classifier))):
        raise TypeError(
            f"to_onnx cannot export {type(classifier).__name__}, which overrides {', '.join(overridden)}; "
            "export a TinyClassifier, and apply the change to its results"
        )
    check_is_fitted(model)
    onnx = _required("onnx")
    opsets = _opsets(target_opset, pipeline=model is not classifier)
    _add_classifier(_Graph(), classifier, "X", np.float32, "label", "probabilities")  # or raise an error
    classes = _as_held(classifier.classes_).tolist()
    categories = [values.tolist() for values in classifier._fitted.encoding.categories]
    try:
        json.dumps([classes, categories], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"ONNX holds strings as UTF-8, which has no {error.object[error.start]!r}; replace it in labels "
            "and categories, and fit again"
        ) from None
    export = _alone if model is classifier else _in_pipeline
    with warnings.catch_warnings():  # the rows to compare on may be arrays
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        exported, warning = export(model, classifier, X, opsets)
    if warning:
        warnings.warn(warning, stacklevel=2)
    onnx.helper.set_model_props(exported, {"classes": json.dumps(classes)})
    return exported


def _opsets(target: Any, pipeline: bool) -> tuple[dict[str, int], ...]:
    """Return the versions of the operators to try, in this order."""
    if target is None:
        return OPSETS if pipeline else OPSETS[:1]
    newest = int(_required("onnx").defs.onnx_opset_version())
    if pipeline:
        newest = min(newest, int(_required("skl2onnx").get_latest_tested_opset_version()))
    given = {"": target} if not isinstance(target, Mapping) else target
    main = given.get("", 13 if given.get(ML) == 2 else 18)
    opset = {"": main, ML: 2 if main in range(13, 16) else 3, **given}
    allowed = {"": range(13, newest + 1), ML: (2, 3)}
    if opset.keys() != allowed.keys() or any(
        type(v) is bool or v not in allowed[k] for k, v in opset.items()
    ):
        raise ValueError(
            f"target_opset must be a whole number from 13 to {newest}, or a dict of such a number for '' and "
            f"2 or 3 for '{ML}', got {target!r}"
        )
    return ({key: int(version) for key, version in opset.items()},)


class _Graph:
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
        return x if given == dtype else self.add("Cast", x, to=_onnx_type(dtype))

    def _constant(self, name: str, array: Array) -> str:
        name = self.unique(name)
        self.constants[name] = array
        return name


class _Column(NamedTuple):
    """A value of a graph: one or several columns of X."""

    name: str
    dtype: np.dtype[Any]
    """float32, float64, int32, int64, bool, or object for strings."""


def _add_classifier(
    graph: _Graph, model: TinyClassifier, x: str, given: DTypeLike, label: str, probabilities: str
) -> None:
    """Add operations that compute label and probabilities, under these names, from rows x."""
    state = model._fitted
    loss, classes = state.plan.loss, _as_held(model.classes_)
    if type(loss) not in LOSSES:
        raise _unknown("losses", LOSSES, loss)
    z = _add_network(graph, state, _add_inputs(graph, state, x, given))
    if isinstance(model._fitted.labels, LabelSets):
        one, zero = np.ones((), model.network_.dtype), np.zeros((), model.network_.dtype)
        e = graph.add("Exp", graph.add("Neg", z))  # onnxruntime's Sigmoid is never below about 1e-8
        graph.add("Reciprocal", graph.add("Add", e, one), output=probabilities)
        graph.add("Cast", graph.add("Greater", z, zero), to=_onnx_type(np.int64), output=label)
        return
    if model.n_outputs_ < len(classes):
        z = graph.add("Pad", z, np.array([0, 1, 0, 0]))  # softmax([0, z]) = [sigmoid(-z), sigmoid(z)]
    graph.add("Softmax", z, axis=1, output=probabilities)
    graph.add("Gather", classes, graph.add("ArgMax", z, axis=1, keepdims=0), axis=0, output=label)


def _add_table(graph: _Graph, model: TinyClassifier, columns: list[_Column]) -> _Column:
    """Join columns of X to the table that `table.read` returns: codes for categories, NaN if missing.

    An array of all columns is split first, if some of them are categories.
    """
    encoding = model._fitted.encoding
    if not encoding.categorical.size:
        return _joined(graph, columns)
    if len(columns) < encoding.n_features:
        x, given = _joined(graph, columns)
        parts = (graph.add("Gather", x, np.array([j]), axis=1) for j in range(encoding.n_features))
        columns = [_Column(part, given) for part in parts]
    categories = dict(zip(encoding.categorical.tolist(), encoding.categories, strict=True))
    for j, column in enumerate(columns):
        values = categories.get(j, np.zeros(1))
        if len(values) and (values.dtype.kind == "O") != (column.dtype.kind == "O"):
            name, text = _column_names(model)[j], values.dtype.kind == "O"
            before, now = ("strings", column.dtype) if text else ("numbers", "strings")
            raise TypeError(f"the column {name!r} held {before} in fit, but now has {now}; convert it")
        if j in categories:
            columns[j] = _Column(_add_codes(graph, values, *column), np.dtype(np.float32))
    return _joined(graph, columns, _joined_type(columns[j].dtype for j in encoding.numbers))


def _joined(graph: _Graph, columns: list[_Column], dtype: np.dtype[Any] | None = None) -> _Column:
    """Convert columns to one type, by default the one that holds all of them, and join them to an array."""
    types = {column.dtype for column in columns}
    if len(types) > 1 and np.dtype(object) in types:
        raise TypeError("strings and numbers cannot be columns of one array")
    dtype = _joined_type(types) if dtype is None else dtype
    values = [graph.cast(*column, dtype) for column in columns]
    return _Column(values[0] if len(values) == 1 else graph.add("Concat", *values, axis=1), dtype)


def _add_codes(graph: _Graph, categories: Array, x: str, given: np.dtype[Any]) -> str:
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


def _add_inputs(graph: _Graph, state: FitState, x: str, given: DTypeLike) -> str:
    """Add operations that compute the inputs of the network from a table, as `Encoding.rows` does."""
    encoding, dtype = state.encoding, state.network.dtype
    parts = []
    if encoding.n_numbers:
        z = graph.add("Gather", x, encoding.numbers, axis=1) if encoding.categorical.size else x
        parts.append(_add_scaling(graph, state, z, given))
    if encoding.missing.size:
        missing = graph.add("IsNaN", graph.add("Gather", x, encoding.missing, axis=1))
        parts.append(graph.cast(missing, bool, dtype))
    widths = np.array([*map(len, encoding.categories)], int) + encoding.rare
    columns, codes = np.repeat(encoding.categorical, widths), np.array([c for w in widths for c in range(w)])
    if not parts and not columns.size:
        columns, codes = np.array([0]), np.array([-1])  # no entry has this code: the only input is 0
    if columns.size:
        found = graph.add("Equal", graph.add("Gather", x, columns, axis=1), codes.astype(given))
        parts.append(graph.cast(found, bool, dtype))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _add_scaling(graph: _Graph, state: FitState, x: str, given: DTypeLike) -> str:
    """Add operations that scale numbers, as `Scaling.transform`, and make missing ones 0."""
    dtype = state.network.dtype
    if state.scaling is None:
        return graph.cast(x, given, dtype)
    center, factor = state.scaling.terms(given, dtype)
    held = center.dtype
    x = graph.cast(x, given, held)
    linear, one, zero = (np.asarray(value, held) for value in (LINEAR, 1.0, 0.0))
    z = graph.add("Mul", graph.add("Sub", x, center), factor / linear)
    tail = graph.add("Log", graph.add("Clip", graph.add("Abs", z), one, np.finfo(held).max))
    z = graph.add("Add", graph.add("Clip", z, -one, one), graph.add("Mul", graph.add("Sign", z), tail))
    z = graph.add("Mul", z, linear)
    return graph.cast(graph.add("Where", graph.add("IsNaN", x), zero, z), held, dtype)


def _add_network(graph: _Graph, state: FitState, x: str) -> str:
    """Add operations that compute the calibrated logits from the inputs of the network."""
    network = state.network
    for layer, p in zip(network.layers, network.parameters, strict=True):
        if type(layer) is Dense:
            x = graph.add("Gemm", x, p.W, p.b)
        elif type(layer) in ACTIVATIONS:
            x = ACTIVATIONS[type(layer)](graph, x, network.dtype)
        elif type(layer) not in NO_OPERATION:
            raise _unknown("layers", (Dense, *ACTIVATIONS, *NO_OPERATION), layer)
    if state.calibration is not None:
        factor, offset = state.calibration.terms(network.dtype)
        x = graph.add("Add", graph.add("Mul", x, factor), offset)
    return x


def _add_gelu(graph: _Graph, x: str, dtype: np.dtype[Any]) -> str:
    """Add x (1 + erf(x / sqrt(2))) / 2; the operator Gelu is newer than most runtimes."""
    erf = graph.add("Erf", graph.add("Mul", x, np.asarray(np.sqrt(0.5), dtype)))
    half = graph.add("Mul", x, np.asarray(0.5, dtype))
    return graph.add("Mul", half, graph.add("Add", erf, np.ones((), dtype)))


def _alone(
    model: TinyClassifier, _: TinyClassifier, X: Any, opsets: tuple[dict[str, int], ...]
) -> tuple[Any, str]:
    """Return the ONNX model of a classifier that is not in a pipeline, and a warning or ""."""
    onnx, encoding = _required("onnx"), model._fitted.encoding
    helper, dtype = onnx.helper, model.network_.dtype
    rows = _typical_rows(model) if X is None else _some(as_table(model, X, reset=False))
    table = read_features(model, rows)  # raises an error for rows that the model rejects
    if encoding.categorical.size:
        inputs = _inputs(rows, names := _column_names(model), texts_may_be_missing=True)
        for j, categories in zip(encoding.categorical, encoding.categories, strict=True):
            name, missing = names[j], np.isnan(table[:, [j]])
            if missing.all() and len(categories) and categories.dtype == object:
                inputs[name] = np.full(missing.shape, "", object)
            empty = (inputs[name] == "") & ("" not in categories.tolist())
            if inputs[name].dtype == object and (empty != missing).any():
                raise ValueError(
                    f"in ONNX, '' is a missing string, but the column {name!r} has both, or has '' only; "
                    "replace one of them by another string, in fit as well"
                )
    else:
        rows = table.toarray() if issparse(table) else table
        inputs = {"X": rows}
    graph = _Graph(lambda name: name.ljust(1 + max(map(len, inputs)), "_"))  # no name of an input
    columns = [_Column(name, array.dtype) for name, array in inputs.items()]
    _add_classifier(graph, model, *_add_table(graph, model, columns), "label", "probabilities")
    domains = {"", *(attributes.get("domain", "") for *_, attributes in graph.operations)}
    versions = [helper.make_opsetid(domain, opsets[0][domain]) for domain in sorted(domains)]
    arrays = [(name, array.dtype, ["rows", array.shape[1]]) for name, array in inputs.items()]
    exported = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(operator, read, [output], output, **attributes)
                for operator, read, output, attributes in graph.operations
            ],
            "TinyClassifier",
            *(
                [helper.make_tensor_value_info(name, _onnx_type(kind), shape) for name, kind, shape in values]
                for values in (arrays, _outputs(model, "rows"))
            ),
            [onnx.numpy_helper.from_array(a, name) for name, a in graph.constants.items()],
        ),
        opset_imports=versions,
        ir_version=helper.find_min_ir_version_for(versions),
        producer_name="tinyclf",
        producer_version=__version__,
    )
    try:
        warning = _check(exported, inputs, lambda found: _difference(found, model, rows, dtype))
    except _Failure as failure:
        narrow = ', or fit with dtype="float32"' if dtype == np.float64 else ""
        raise ValueError(
            f"to_onnx cannot export this {type(model).__name__}: {failure.reason}; set another target_opset, "
            f"now {opsets[0]['']}{narrow}, or install another version of onnxruntime"
        ) from None
    return exported, warning


def _typical_rows(model: TinyClassifier) -> Array:
    """Return random rows: numbers of the network's type, three times as wide as those of the fit, with NaN.

    If some columns are categories, the rows are an array of objects with all categories, unknown ones,
    and missing entries, if an input of the graph can hold them.
    """
    state, rng, dtype = model._fitted, np.random.default_rng(0), model.network_.dtype
    encoding = state.encoding
    n = min(max(50, 2 + max(map(len, encoding.categories), default=0)), ROWS)
    numbers = rng.standard_normal((n, encoding.n_numbers))
    if (scaling := state.scaling) is not None:
        with np.errstate(over="ignore"):
            numbers = scaling.center + 3.0 * scaling.scale * numbers
        numbers[rng.random(numbers.shape) < 0.1] = np.nan
    largest = np.finfo(dtype).max
    numbers = np.clip(numbers, -largest, largest).astype(dtype)
    if not encoding.categorical.size:
        return numbers
    rows = np.empty((n, encoding.n_features), object)
    rows[:, encoding.numbers] = numbers
    for j, categories in zip(encoding.categorical, encoding.categories, strict=True):
        kind = {"O": str, "b": bool, "f": float}.get(categories.dtype.kind, int)
        known = categories.tolist()
        entries = known + [value for value in map(kind, range(len(known) + 1)) if value not in {*known}][:1]
        if "" not in known if kind is str else kind is float or j in encoding.missing:
            entries.append(None)
        rows[:, j] = [entries[i % len(entries)] for i in rng.permutation(n)]
    return rows


def _in_pipeline(
    model: Pipeline, classifier: TinyClassifier, X: Any, opsets: tuple[dict[str, int], ...]
) -> tuple[Any, str]:
    """Return the ONNX model of a pipeline, made by skl2onnx and `STEPS`, and a warning or ""."""
    _required("skl2onnx")
    model, compared = _without_gaps(model), X is not None
    texts = [values for values in classifier._fitted.encoding.categories if values.dtype == object]
    inputs_of = partial(_inputs, texts_may_be_missing=any("" not in values for values in texts))
    if compared:
        if not (issparse(X) or is_frame(X) or isinstance(X, (list, tuple))):
            rows = np.asarray(X)
            if rows.ndim == 0:
                raise TypeError(f"X must be rows as in fit, an array, a list or a data frame, got {X!r}")
            X = rows
        X = _some(X)
        inputs_of(X)  # raises an error for rows that ONNX cannot hold
        model.predict_proba(X)  # raises an error for rows that the model rejects
    elif classifier._fitted.encoding.categorical.size:
        raise ValueError("to_onnx needs some rows, X, since the classifier has categories; pass X")
    elif hasattr(model, "n_features_in_"):
        X = np.zeros((1, model.n_features_in_), classifier.network_.dtype)
    else:
        first = type(model.steps[0][1]).__name__
        raise ValueError(f"to_onnx needs some rows, X, since {first} has no n_features_in_; pass X")

    def exported(part: Any, rows: Any, settings: _Settings) -> tuple[Any, str]:
        """Return a pipeline or a transformer as a checked ONNX model, and a warning; or raise a _Failure."""
        inputs = inputs_of(rows)
        if part is not model and rows is not X and all(a.dtype != object for a in inputs.values()):
            inputs = {"X": np.concatenate(list(inputs.values()), axis=1)}  # one array, as inside of a graph
            settings = settings._replace(joined=False)
        graph = _converted(part, inputs, settings)
        differ = _difference if part is model else _deviation
        compare = (lambda found: differ(found, part, rows, np.float32)) if compared else None
        return graph, _check(graph, inputs, compare)

    def attempts(rows: Any, opsets: tuple[dict[str, int], ...]) -> tuple[Any, str]:
        """Return the first graph that is correct, or raise the _Failure of the one that came furthest."""
        failures = []
        for settings in _settings(inputs_of(rows), opsets):
            try:
                return exported(model, rows, settings)
            except _Failure as failure:
                failure.settings = settings
                failures.append(failure)
        raise max(reversed(failures), key=lambda failure: failure.stage)

    try:
        return attempts(X, opsets)
    except _Failure as failure:
        whole = failure

    def failure_of(part: Any, rows: Any) -> str | None:
        """Return why a part cannot be exported on its own, if it fails as early as the pipeline."""
        try:
            exported(part, rows, whole.settings)
        except _Failure as failure:
            return failure.reason if failure.stage <= whole.stage else None
        except (TypeError, ValueError):  # these rows cannot be the input of a graph
            return None
        return None

    found = _failing_step(model, X, failure_of)
    name, reason = found or (f"the {type(classifier).__name__}", whole.reason)
    advice = "use another step that skl2onnx supports, or apply the step before the pipeline"
    if found is None:
        advice = "set another target_opset, or install another version of onnxruntime"
        if whole.stage == 0:
            advice = "fit the classifier on the table itself, or let OrdinalEncoder make numbers of strings"
        elif classifier.network_.dtype == np.float64:
            advice = f'fit with dtype="float32", {advice}'
    for fix, rows, versions in _fixes(X, opsets):
        try:
            attempts(rows, versions)
        except (_Failure, ValueError):
            continue
        advice = fix
        break
    raise ValueError(f"to_onnx cannot export {name} of the pipeline: {reason}. To fix it, {advice}")


def _fixes(
    X: Any, opsets: tuple[dict[str, int], ...]
) -> Iterator[tuple[str, Any, tuple[dict[str, int], ...]]]:
    """Yield changes to try after a failure: their description, rows, and versions of the operators."""
    if opsets != OPSETS:
        yield "leave target_opset unset", X, OPSETS
    for dtype in ("float64", "float32"):
        changed = X
        if hasattr(X, "select_dtypes"):
            changed = X.astype(dict.fromkeys(X.select_dtypes("floating").columns, dtype))
        elif getattr(getattr(X, "dtype", dtype), "kind", "") == "f" and X.dtype != dtype:
            changed = X.astype(dtype)
        if changed is not X:
            yield f"pass {dtype} rows, here and to the graph", changed, opsets


class _Failure(Exception):
    """A graph could not be made (stage 0), does not load (1), or predicts otherwise (2)."""

    settings: _Settings

    def __init__(self, stage: int, reason: str) -> None:
        super().__init__(reason)
        self.stage, self.reason = stage, reason


def _check(exported: Any, inputs: dict[str, Array], compare: Callable[[Any], str] | None) -> str:
    """Load a graph, and compare its outputs by ``compare``, which returns "" if they agree; or raise.

    Return a warning if the graph could not be compared, otherwise "".
    """
    try:
        onnxruntime, hint = import_module("onnxruntime"), ""
    except ImportError:
        onnxruntime, hint = None, "; install onnxruntime to check it there"
    try:
        _required("onnx").checker.check_model(exported, full_check=True)
        run = _loaded(exported, onnxruntime)
        found = run(None, inputs) if compare else None
    except Exception as error:
        if onnxruntime is None and isinstance(error, NotImplementedError):
            return (
                "the ONNX graph was not compared with the model, since the reference evaluator of onnx does "
                f"not implement an operator: {_first_line(error)}{hint}"
            )
        raise _Failure(1, f"the graph does not load: {_first_line(error)}{hint}") from None
    if compare and (difference := compare(found)):
        raise _Failure(2, difference)
    return ""


def _loaded(exported: Any, onnxruntime: Any) -> Callable[..., Any]:
    """Return the function that runs a graph in onnxruntime, or in the reference evaluator if that is None."""
    if onnxruntime is None:
        run = import_module("onnx.reference").ReferenceEvaluator(exported).run
        return np.errstate(all="ignore")(run)  # type: ignore[no-any-return]
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    data, providers = exported.SerializeToString(), ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(data, options, providers=providers).run  # type: ignore[no-any-return]


def _difference(found: Any, model: Any, rows: Any, dtype: DTypeLike) -> str:
    """Return how the label and probabilities of a graph differ from the model's by more than rounding."""
    (label, p), expected, named = found, model.predict_proba(rows), model.predict(rows)
    named = named.toarray() if issparse(named) else named
    allowed = ROUNDING * float(np.finfo(dtype).eps) * (1.0 + np.abs(model.decision_function(rows)).max())
    difference = np.abs(p - expected)
    if not (difference <= allowed).all():
        row = int(np.argmax(~(difference <= allowed).all(axis=1)))
        return (
            f"the probabilities of the graph differ by {np.max(difference):.2g}, for example in row {row}, "
            f"where rounding explains {allowed:.1g}"
        )
    # The labels may differ where two of them are equally probable up to rounding.
    top = np.sort(np.c_[np.zeros(len(expected)), expected], axis=1)
    clear = (np.abs(2.0 * expected - 1.0) if named.ndim == 2 else top[:, -1] - top[:, -2]) > 2.0 * allowed
    wrong = clear & (label != named)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        labels = [np.asarray(one).tolist()[row] for one in (label, named)]
        return f"the label of the graph in row {row} is {labels[0]!r} instead of {labels[1]!r}"
    return ""


def _some(X: Any) -> Any:
    """Return at most `ROWS` rows of an array, a list or a data frame."""
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    return X if n <= ROWS else _safe_indexing(X, np.linspace(0, n - 1, ROWS).astype(int))


def _inputs(X: Any, names: list[str] | None = None, texts_may_be_missing: bool = False) -> dict[str, Array]:
    """Return rows as the inputs of a graph: ``X``, or one per column if X is a data frame or has names."""
    if names is None and not is_frame(X):
        return {"X": _as_input("X", X.toarray() if issparse(X) else X, texts_may_be_missing)}
    names = [str(name) for name, _ in _columns(X)] if names is None else names
    inputs = {
        name: _as_input(f"column {name!r}", _entries(X, j), texts_may_be_missing)[:, None]
        for j, name in enumerate(names)
    }
    if len(inputs) < len(names) or inputs.keys() & {"", "label", "probabilities"}:
        raise ValueError(
            "the columns of X must have different names, and not '' or those of the outputs, label and "
            f"probabilities, got {names}; rename them"
        )
    return inputs


def _as_input(what: str, values: Any, texts_may_be_missing: bool) -> Array:
    """Return values in a type that skl2onnx supports: float32, float64, int32, int64, bool or strings."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        array = array.astype(object)
        missing = np.frompyfunc(_is_missing, 1, 1)(array).astype(bool)
        texts = np.frompyfunc(lambda value: isinstance(value, str), 1, 1)(array).astype(bool)
        if texts.any() and texts_may_be_missing:
            array[missing], texts = "", texts | missing
        if texts.all():
            return array
        first = np.unravel_index(np.argmin(texts if texts.any() else missing), array.shape)
        value, array[missing] = array[first], np.nan
        try:
            if texts.any():
                raise ValueError
            found = np.array(array.tolist())
            array = found if found.dtype.kind in "fiub" else array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise (TypeError if isinstance(error, TypeError) else ValueError)(
                f"to_onnx needs {what} as numbers, booleans, or strings without missing values, got "
                f"{value!r} in row {first[0]}; replace missing values by a string before the pipeline, in "
                "fit as well, convert or drop columns of other types, and pass a table as a data frame"
            ) from None
    if array.dtype in (np.float32, np.float64, np.int32, np.int64, bool):
        return array
    return array.astype(
        {"f": np.float32 if array.itemsize < 4 else np.float64}.get(array.dtype.kind, np.int64)
    )


class _Settings(NamedTuple):
    """How to export a pipeline."""

    opset: dict[str, int]
    """Versions of the operators."""
    dtype: DTypeLike | None = None
    """The type that the graph converts numbers to first; None keeps the type of each input."""
    joined: bool = False
    """Whether the graph joins the columns of a data frame to one array first; many steps need this."""


def _settings(inputs: dict[str, Array], opsets: tuple[dict[str, int], ...]) -> Iterator[_Settings]:
    """Yield settings in the order to try them."""
    given = {array.dtype for array in inputs.values()}
    numbers, both = given - {np.dtype(object)}, (np.float64, np.float32)
    for opset in opsets:
        yield _Settings(opset)
        yield from (_Settings(opset, dtype) for dtype in both if numbers - {np.dtype(dtype)})
        if len(inputs) > 1 and given == numbers:
            yield from (_Settings(opset, dtype, joined=True) for dtype in both)


def _converted(part: Any, inputs: dict[str, Array], settings: _Settings) -> Any:
    """Return the ONNX model of a step or a pipeline."""
    skl2onnx, helper = _required("skl2onnx"), _required("onnx").helper
    opset, dtype, joined = settings
    read = {
        name: array.dtype if dtype is None or array.dtype == object else np.dtype(dtype)
        for name, array in inputs.items()
    }
    shapes = {name: [None, *array.shape[1:]] for name, array in inputs.items()}
    declared = [(name, _tensor_type(read[name], shape)) for name, shape in shapes.items()]
    if joined:
        declared = [("tinyclf_columns", _tensor_type(np.dtype(dtype), [None, len(inputs)]))]
    last = part
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    own = [*STEPS, *([type(last)] if isinstance(last, TinyClassifier) else [])]
    try:
        exported = skl2onnx.convert_sklearn(
            part,
            "Pipeline",
            declared,
            target_opset=opset,
            custom_shape_calculators=dict.fromkeys(own, _declare),
            custom_conversion_functions=dict.fromkeys(own, _convert),
            naming="tinyclf_",  # for values inside of the graph, so that they differ from columns
        )
    except Exception as error:
        raise _Failure(0, f"skl2onnx cannot convert it: {_first_line(error)}") from None
    exported.opset_import.sort(key=lambda entry: entry.domain)  # skl2onnx's order depends on string hashes
    graph = exported.graph
    casts = {name: f"tinyclf_{t}/{name}" for name, t in read.items() if joined or t != inputs[name].dtype}
    nodes = [helper.make_node("Cast", [n], [cast], cast, to=_onnx_type(read[n])) for n, cast in casts.items()]
    found = [value.name for value in graph.input]  # skl2onnx replaces characters in names
    if joined:
        nodes.append(helper.make_node("Concat", list(casts.values()), found, found[0], axis=1))
    else:
        _rename(graph.node, {old: casts.get(name, name) for old, name in zip(found, inputs, strict=True)})
    for node in reversed(nodes):
        graph.node.insert(0, node)
    del graph.input[:]
    for name, shape in shapes.items():
        graph.input.append(helper.make_tensor_value_info(name, _onnx_type(inputs[name].dtype), shape))
    return exported


def _rename(nodes: Any, names: dict[str, str]) -> None:
    """Rename values that nodes, and the nodes of their subgraphs, read."""
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        for attribute in node.attribute:
            _rename(attribute.g.node, names)


def _failing_step(step: Any, X: Any, failure_of: Callable[[Any, Any], str | None]) -> tuple[str, str] | None:
    """Return the first part of a pipeline, union or table that fails on rows X, and the reason; or None.

    Of a pipeline, the steps up to a part are tested together, except for the part that predicts.
    """
    steps = step.steps if isinstance(step, Pipeline) else []
    parts = [(name, part, step[: n + 1], X) for n, (name, part) in enumerate(steps)]
    if isinstance(step, FeatureUnion):
        parts = [(name, part, part, X) for name, part in step.transformer_list]
    elif isinstance(step, ColumnTransformer):
        parts = [(name, part, part, columns) for name, part, columns in step.transformers_]
    for n, (name, part, tested, rows) in enumerate(parts):
        if isinstance(part, str):
            continue
        if isinstance(step, ColumnTransformer):
            rows = _safe_indexing(X, rows, axis=1)
        reason = failure_of(tested, rows) if hasattr(part, "transform") else None
        if reason or not hasattr(part, "transform"):
            try:
                inner = _failing_step(part, step[:n].transform(X) if steps and n else rows, failure_of)
            except ValueError:  # X was not passed, and the steps do not accept zeros
                inner = None
            if inner is not None:
                return f"{inner[0]} in {name!r}", inner[1]
            if reason:
                return f"the step {name!r} ({type(part).__name__})", reason
    return None


def _deviation(found: Any, part: Any, rows: Any, dtype: DTypeLike) -> str:
    """Return how the output of a graph differs from that of a transformer by more than rounding."""
    expected = part.transform(rows)
    values, expected = found[0], np.asarray(expected.toarray() if issparse(expected) else expected)
    if values.shape != expected.shape:
        return f"the graph returns the shape {values.shape} instead of {expected.shape}"
    wrong = values != expected
    if expected.dtype.kind in "fiub":
        allowed = ROUNDING * np.finfo(dtype).eps * (1.0 + np.abs(expected).max(axis=0))
        wrong = ~np.isclose(values, expected, 0.0, allowed, equal_nan=True)
    if not wrong.any():
        return ""
    at = tuple(np.argwhere(wrong)[0].tolist())
    return f"the graph returns {values[at]} instead of {expected[at]} in row {at[0]}, column {at[1]}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


def _without_gaps(model: Pipeline) -> Pipeline:
    """Return a pipeline without its "passthrough" steps, which skl2onnx does not support."""
    steps = [(name, step) for name, step in model.steps if step is not None and not isinstance(step, str)]
    return Pipeline([(n, _without_gaps(step) if isinstance(step, Pipeline) else step) for n, step in steps])


def _impute(graph: _Graph, step: SimpleImputer, x: str, dtype: DTypeLike) -> str:
    """Add a SimpleImputer; that of skl2onnx has no float64 and no indicator."""
    if np.dtype(dtype).kind == "O":
        return x  # strings in ONNX cannot be missing
    value, statistics = step.missing_values, np.asarray(step.statistics_, np.float64)
    if isinstance(value, Real) and not np.isnan(float(value)):
        missing = graph.add("Equal", x, np.asarray(value, dtype))
    else:
        missing = graph.add("IsNaN", x)
    filled = graph.add("Where", missing, statistics.astype(dtype), x)
    if np.isnan(statistics).any() and not step.keep_empty_features:
        filled = graph.add("Gather", filled, np.flatnonzero(~np.isnan(statistics)), axis=1)
    if step.indicator_ is None:
        return filled
    flags = graph.add("Gather", missing, step.indicator_.features_, axis=1)
    return graph.add("Concat", filled, graph.cast(flags, bool, dtype), axis=1)


def _discretize(graph: _Graph, step: KBinsDiscretizer, x: str, dtype: DTypeLike) -> str:
    """Add a KBinsDiscretizer; that of skl2onnx has no sparse encoding, and rounds the edges to float32."""
    inner = [np.asarray(edges[1:-1], np.float64) for edges in step.bin_edges_]
    edges = np.full((len(inner), 1 + max(map(len, inner))), np.inf)
    for row, values in zip(edges, inner, strict=True):
        row[: len(values)] = values
    x = graph.cast(graph.cast(x, dtype, step.dtype or dtype), step.dtype or dtype, np.float64)
    above = graph.add("GreaterOrEqual", graph.add("Unsqueeze", x, np.array([2])), edges)
    bins = graph.add("ReduceSum", graph.cast(above, bool, dtype), np.array([2]), keepdims=0)
    if step.encode == "ordinal":
        return bins
    codes = np.arange(edges.shape[1])
    hot = graph.add("Equal", graph.add("Unsqueeze", bins, np.array([2])), codes.astype(dtype))
    hot = graph.add("Reshape", graph.cast(hot, bool, dtype), np.array([-1, edges.size]))
    return graph.add("Gather", hot, np.flatnonzero(codes < step.n_bins_[:, None]), axis=1)


def _binarize(graph: _Graph, step: Binarizer, x: str, dtype: DTypeLike) -> str:
    """Add a Binarizer; that of skl2onnx returns 1 for an entry that equals the threshold, in float64."""
    wide = np.result_type(dtype, step.threshold)
    above = graph.add("Greater", graph.cast(x, dtype, wide), np.asarray(step.threshold, wide))
    return graph.cast(above, bool, dtype)


def _expand(graph: _Graph, step: PolynomialFeatures, x: str, dtype: DTypeLike) -> str:
    """Add PolynomialFeatures, as products of columns; that of skl2onnx has a bias in float32 only."""
    n_in, degree = step.n_features_in_, max(1, int(step.powers_.sum(axis=1).max()))
    factors = np.full((len(step.powers_), degree), n_in)  # the column of ones
    for row, powers in zip(factors, step.powers_, strict=True):
        row[: powers.sum()] = np.repeat(np.arange(n_in), powers)
    x = graph.add("Pad", x, np.array([0, 0, 0, 1]), np.ones((), dtype))
    product, *more = (graph.add("Gather", x, column, axis=1) for column in factors.T)
    for factor in more:
        product = graph.add("Mul", product, factor)
    return product


# Steps of pipelines that skl2onnx does not export correctly for all types and settings. Each function adds
# the operators on rows of a type, and returns the name of the output, which has the same type.
STEPS: dict[type[Any], Callable[[_Graph, Any, str, DTypeLike], str]] = {
    SimpleImputer: _impute,
    KBinsDiscretizer: _discretize,
    Binarizer: _binarize,
    PolynomialFeatures: _expand,
}


def _declare(operator: Any) -> None:
    """Set the types and shapes of the outputs for skl2onnx."""
    model, rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    if isinstance(model, TinyClassifier):
        outputs = _outputs(model, rows)
    else:
        outputs = [("", _joined_type(_types(operator)), [rows, len(model.get_feature_names_out())])]
    for output, (_, dtype, shape) in zip(operator.outputs, outputs, strict=True):
        output.set_type(_tensor_type(dtype, shape))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add a classifier, or one of `STEPS`, to a graph of skl2onnx."""
    model, types = operator.raw_operator, _types(operator)
    dtype = _joined_type(types)
    if dtype.kind == "O" and isinstance(model, SimpleImputer) and isinstance(model.missing_values, str):
        import_module("skl2onnx.operator_converters.imputer_op").convert_sklearn_imputer(
            scope, operator, container
        )
        return
    if dtype.kind == "O" and not isinstance(model, (SimpleImputer, TinyClassifier)):
        raise TypeError(f"{type(model).__name__} needs numbers, but gets strings")
    graph = _Graph(scope.get_unique_variable_name)
    # Some steps of skl2onnx return another type than they declare, so values are always converted.
    columns = [
        _Column(value.full_name if t.kind == "O" else graph.add("Cast", value.full_name, to=_onnx_type(t)), t)
        for value, t in zip(operator.inputs, types, strict=True)
    ]
    outputs = [value.full_name for value in operator.outputs]
    if isinstance(model, TinyClassifier):
        _add_classifier(graph, model, *_add_table(graph, model, columns), *outputs)
    else:
        x, dtype = _joined(graph, columns)
        graph.add("Identity", STEPS[type(model)](graph, model, x, dtype), output=outputs[0])
    for name, array in graph.constants.items():
        values = [label.encode() for label in array] if array.dtype == object else array.ravel()
        container.add_initializer(name, _onnx_type(array.dtype), array.shape, values)
    for kind, inputs, output, attributes in graph.operations:
        name, domain = scope.get_unique_operator_name(kind), attributes.pop("domain", "")
        container.add_node(kind, inputs, output, name=name, op_domain=domain, **attributes)


def _tensor_type(dtype: DTypeLike, shape: list[Any]) -> Any:
    """Return skl2onnx's description of arrays of this type and shape."""
    ((_, kind),) = _required("skl2onnx").common.data_types.guess_data_type(np.empty(0, dtype))
    return type(kind)(shape)


def _types(operator: Any) -> list[np.dtype[Any]]:
    """Return the types of the inputs of an operator of skl2onnx; object for strings."""
    guess = _required("skl2onnx").common.data_types.guess_numpy_type
    types = [np.dtype(guess(value.type)) for value in operator.inputs]
    return [np.dtype(object) if t.kind in "OU" else t for t in types]


def _joined_type(types: Iterable[np.dtype[Any]]) -> np.dtype[Any]:
    """Return the type that holds all of these: float32, float64, or object for strings."""
    types = [*types]
    return np.dtype(object) if object in types else np.result_type(np.float32, *types)


def _column_names(model: TinyClassifier) -> list[str]:
    """Return the names of the columns of X, by default x0, x1, ..."""
    if hasattr(model, "feature_names_in_"):
        return [*model.feature_names_in_]
    return [f"x{j}" for j in range(model.n_features_in_)]


def _onnx_type(dtype: DTypeLike) -> int:
    return int(_required("onnx").helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _outputs(model: TinyClassifier, rows: Any) -> list[tuple[str, DTypeLike, list[Any]]]:
    """Return name, type and shape of the outputs; several labels per row are a matrix of numbers."""
    several, table = isinstance(model._fitted.labels, LabelSets), [rows, len(model.classes_)]
    label = np.int64 if several else _as_held(model.classes_).dtype
    return [
        ("label", label, table if several else [rows]),
        ("probabilities", model.network_.dtype, table),
    ]


def _as_held(classes: Array) -> Array:
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


def _unknown(what: str, known: tuple[type, ...], part: Any) -> TypeError:
    names = ", ".join(one.__name__ for one in known)
    return TypeError(f"to_onnx supports the {what} {names}, got {type(part).__name__}; fit with one of them")


def _required(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise ImportError(
            f"to_onnx needs {package}, which is not installed: pip install onnx skl2onnx"
        ) from None
