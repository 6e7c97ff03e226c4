"""Export to ONNX: a graph that computes the predictions of a fitted model in other runtimes.

The graph computes the same as `TinyClassifier.predict_proba`, in the same types: scaling as in
`Scaling.transform`, the network in its own type, and calibration of the logits. Labels are computed
from the logits, which still differ if probabilities round to the same value.

Export needs onnx, and skl2onnx for pipelines (``pip install tinyclf[onnx]``); both are imported on
first use.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._version import __version__
from .estimator.classifier import TinyClassifier
from .estimator.dataset import read_features
from .estimator.state import FitState
from .estimator.targets import LabelSets
from .nn.arrays import Array
from .nn.layers import Dense, Dropout, Identity, Layer, Logistic, ReLU, SiLU, Tanh
from .nn.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy

if TYPE_CHECKING:
    from onnx import ModelProto

# Versions of the operators, of the machine-learning operators, and of the file format. They are from 2020,
# and all later runtimes support them.
OPSET, OPSET_ML, IR = 13, 2, 7

ACTIVATIONS: dict[type[Layer], str] = {ReLU: "Relu", Tanh: "Tanh", Logistic: "Sigmoid"}
NO_OPERATION: tuple[type[Layer], ...] = (Identity, Dropout)  # in prediction
LOSSES: tuple[type[Loss], ...] = (SoftmaxCrossEntropy, SigmoidCrossEntropy)


def to_onnx(model: TinyClassifier | Pipeline, X: Any = None) -> ModelProto:
    """Return a fitted classifier, or a pipeline that ends in one, as an ONNX model.

    The input of the graph is ``X``, with any number of rows. The outputs are ``label`` and
    ``probabilities``: the results of `predict` and `predict_proba`, with labels as int64 or
    strings. Boolean labels are 0 and 1; several labels per row are a matrix of 0 and 1. The
    metadata contain the classes as JSON, under the key ``classes``.

    The probabilities differ from those of `predict_proba` by rounding: less than 1e-12 in float64,
    and less than 1e-6 in float32. They differ more if the network reads large unscaled numbers,
    since its logits then have fewer correct digits. A graph cannot raise errors: for rows that
    `predict` rejects, such as rows with NaN, its output is undefined.

    Parameters
    ----------
    model : TinyClassifier or Pipeline
        The other steps of a pipeline are exported by skl2onnx.
    X : array_like or data frame of shape (n_samples, n_features), optional
        Example rows. The first row determines the type of the graph's input: with float64 rows it
        is float64, which keeps small differences between large numbers. By default it is the type
        of the network, usually float32. For a pipeline, a data frame gives one input per column,
        with its name and type, as in skl2onnx.

    Returns
    -------
    onnx.ModelProto
        Save it by ``onnx.save``, or by ``SerializeToString``, which returns the same bytes for the
        same model.

    Raises
    ------
    TypeError
        If the model has another type, or has a user-defined layer or loss.
    ValueError
        If a label is not a string, a boolean or a whole number, or if a pipeline needs X to
        determine its input.
    NotFittedError
        If the model is not fitted.
    ImportError
        If onnx, or skl2onnx for a pipeline, is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from tinyclf import TinyClassifier, to_onnx
    >>> graph = to_onnx(TinyClassifier(random_state=0).fit(*load_iris(return_X_y=True))).graph
    >>> [node.op_type for node in graph.node]
    ['Max', 'Min', 'Sub', 'Mul', 'Gemm', 'Relu', 'Gemm', 'Softmax', 'ArgMax', 'Gather']
    >>> [value.name for value in (*graph.input, *graph.output)]
    ['X', 'label', 'probabilities']
    """
    classifier: Any = model
    while isinstance(classifier, Pipeline):
        classifier = classifier.steps[-1][1]
    if type(classifier) is not TinyClassifier:
        raise TypeError(
            "to_onnx exports a TinyClassifier, or a Pipeline that ends in one, but not "
            f"{type(classifier).__name__}; for a search, pass best_estimator_"
        )
    check_is_fitted(model)
    onnx = _required("onnx")
    exported = _alone(model, X) if model is classifier else _in_pipeline(model, classifier, X)
    classes = _as_held(classifier.classes_).tolist()
    onnx.helper.set_model_props(exported, {"classes": json.dumps(classes)})
    onnx.checker.check_model(exported)
    return exported


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
        self.operations: list[tuple[str, list[str], str, dict[str, int]]] = []
        self.constants: dict[str, Array] = {}

    def add(self, operator: str, *inputs: str | Array, output: str | None = None, **attributes: int) -> str:
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


def _add_classifier(
    graph: _Graph, model: TinyClassifier, x: str, given: DTypeLike, label: str, probabilities: str
) -> None:
    """Add operations that compute label and probabilities, under these names, from rows x."""
    state = model._fitted
    loss, classes = state.plan.loss, _as_held(model.classes_)
    if type(loss) not in LOSSES:
        raise _unknown("losses", LOSSES, loss)
    z = _add_network(graph, state, x, given)
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


def _add_network(graph: _Graph, state: FitState, x: str, given: DTypeLike) -> str:
    """Add operations that compute the calibrated logits: scaling, the network, calibration."""
    network = state.network
    if state.scaling is not None:
        low, high, center, factor = state.scaling.terms(given, network.dtype)
        x = graph.add("Max", graph.cast(x, given, low.dtype), low)
        x = graph.add("Sub", graph.add("Min", x, high), center)
        x = graph.add("Mul", x, factor)
        given = low.dtype
    x = graph.cast(x, given, network.dtype)
    for layer, p in zip(network.layers, network.parameters, strict=True):
        if type(layer) is Dense:
            x = graph.add("Gemm", x, p.W, p.b)
        elif type(layer) in ACTIVATIONS:
            x = graph.add(ACTIVATIONS[type(layer)], x)
        elif type(layer) is SiLU:
            x = graph.add("Mul", x, graph.add("Sigmoid", x))
        elif type(layer) not in NO_OPERATION:
            raise _unknown("layers", (Dense, *ACTIVATIONS, SiLU, *NO_OPERATION), layer)
    if state.calibration is not None:
        factor, offset = state.calibration.terms(network.dtype)
        x = graph.add("Add", graph.add("Mul", x, factor), offset)
    return x


def _alone(model: TinyClassifier, X: Any) -> Any:
    """Return the ONNX model of a classifier that is not in a pipeline."""
    helper, graph = _required("onnx").helper, _Graph()
    dtype = model.network_.dtype
    given = dtype if X is None else read_features(model, X[:1], reset=False).dtype
    _add_classifier(graph, model, "X", given, "label", "probabilities")
    value, (label, probabilities) = helper.make_tensor_value_info, _shapes(model, "rows")
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node(operator, inputs, [output], output, **attributes)
                for operator, inputs, output, attributes in graph.operations
            ],
            "TinyClassifier",
            [value("X", _onnx_type(given), ["rows", model.n_features_in_])],
            [
                value("label", _onnx_type(_label_dtype(model)), label),
                value("probabilities", _onnx_type(dtype), probabilities),
            ],
            [_required("onnx").numpy_helper.from_array(a, name) for name, a in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="tinyclf",
        producer_version=__version__,
    )


def _in_pipeline(model: Pipeline, classifier: TinyClassifier, X: Any) -> Any:
    """Return the ONNX model of a pipeline, made by skl2onnx with a converter for TinyClassifier."""
    skl2onnx = _required("skl2onnx")
    from skl2onnx.algebra.type_helper import guess_initial_types

    model = _without_gaps(model)
    if X is None:
        if not hasattr(model, "n_features_in_"):
            first = type(model.steps[0][1]).__name__
            raise ValueError(f"to_onnx needs some rows, X, since {first} has no n_features_in_; pass X")
        X = np.zeros((1, model.n_features_in_), classifier.network_.dtype)
    exported = skl2onnx.convert_sklearn(
        model,
        "Pipeline",
        guess_initial_types(X[:1] if hasattr(X, "columns") else np.asarray(X[:1])),
        target_opset={"": OPSET, "ai.onnx.ml": OPSET_ML},
        custom_shape_calculators={TinyClassifier: _declare},
        custom_conversion_functions={TinyClassifier: _convert},
    )
    exported.opset_import.sort(key=lambda entry: entry.domain)  # skl2onnx's order depends on string hashes
    return exported


def _without_gaps(model: Pipeline) -> Pipeline:
    """Return a pipeline without its "passthrough" steps, which skl2onnx does not support."""
    steps = [(name, step) for name, step in model.steps if step is not None and not isinstance(step, str)]
    return Pipeline([(n, _without_gaps(step) if isinstance(step, Pipeline) else step) for n, step in steps])


def _declare(operator: Any) -> None:
    """Set the types and shapes of the outputs for skl2onnx."""
    model, types = operator.raw_operator, _required("skl2onnx").common.data_types
    whole, double = _label_dtype(model) == np.int64, model.network_.dtype == np.float64
    label, probabilities = _shapes(model, operator.inputs[0].get_first_dimension())
    operator.outputs[0].set_type((types.Int64TensorType if whole else types.StringTensorType)(label))
    operator.outputs[1].set_type((types.DoubleTensorType if double else types.FloatTensorType)(probabilities))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add a classifier to a graph of skl2onnx."""
    model, graph = operator.raw_operator, _Graph(scope.get_unique_variable_name)
    guess = _required("skl2onnx").common.data_types.guess_numpy_type
    types = [np.dtype(guess(value.type)) for value in operator.inputs]
    given = np.result_type(*types)
    x, *more = (graph.cast(v.full_name, t, given) for v, t in zip(operator.inputs, types, strict=True))
    if more:  # the columns of a data frame
        x = graph.add("Concat", x, *more, axis=1)
    _add_classifier(graph, model, x, given, *(value.full_name for value in operator.outputs))
    for name, array in graph.constants.items():
        values = [label.encode() for label in array] if array.dtype == object else array.ravel()
        container.add_initializer(name, _onnx_type(array.dtype), array.shape, values)
    for kind, inputs, output, attributes in graph.operations:
        container.add_node(kind, inputs, output, name=scope.get_unique_operator_name(kind), **attributes)


def _onnx_type(dtype: DTypeLike) -> int:
    return int(_required("onnx").helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _shapes(model: TinyClassifier, rows: Any) -> tuple[list[Any], list[Any]]:
    """Return the shapes of labels and probabilities."""
    table = [rows, len(model.classes_)]
    return table if isinstance(model._fitted.labels, LabelSets) else [rows], table


def _label_dtype(model: TinyClassifier) -> DTypeLike:
    """Return the type of the output ``label``; several labels per row are numbers, whatever their names."""
    return np.int64 if isinstance(model._fitted.labels, LabelSets) else _as_held(model.classes_).dtype


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
            f"to_onnx needs {package}, which is not installed: pip install 'tinyclf[onnx]'"
        ) from None
