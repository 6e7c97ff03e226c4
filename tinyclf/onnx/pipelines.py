"""Export of a pipeline by skl2onnx, with the classifier and `STEPS`; an error names the step that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import _safe_indexing

from ..estimator.classifier import TinyClassifier
from ..estimator.sources import is_frame
from ..nn.arrays import Array
from .checks import Failure, check, deviation, difference, first_line
from .graph import (
    OPSETS,
    Column,
    Graph,
    add_classifier,
    add_table,
    joined_columns,
    joined_type,
    onnx_type,
    outputs_of,
    required,
)
from .rows import graph_inputs, some_rows
from .steps import STEPS


def export_pipeline(
    model: Pipeline, classifier: TinyClassifier, X: Any, opsets: tuple[dict[str, int], ...]
) -> tuple[Any, str]:
    """Return the ONNX model of a pipeline, made by skl2onnx and `STEPS`, and a warning or ""."""
    required("skl2onnx")
    model, compared = _without_gaps(model), X is not None
    texts = [values for values in classifier._fitted.encoding.categories if values.dtype == object]
    inputs_of = partial(graph_inputs, texts_may_be_missing=any("" not in values for values in texts))
    if compared:
        if not (issparse(X) or is_frame(X) or isinstance(X, (list, tuple))):
            rows = np.asarray(X)
            if rows.ndim == 0:
                raise TypeError(f"X must be rows as in fit, an array, a list or a data frame, got {X!r}")
            X = rows
        X = some_rows(X)
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
        """Return a pipeline or a transformer as a checked ONNX model, and a warning; or raise a Failure."""
        inputs = inputs_of(rows)
        if part is not model and rows is not X and all(a.dtype != object for a in inputs.values()):
            inputs = {"X": np.concatenate(list(inputs.values()), axis=1)}  # one array, as inside of a graph
            settings = settings._replace(joined=False)
        graph = _converted(part, inputs, settings)
        differ = difference if part is model else deviation
        compare = (lambda found: differ(found, part, rows, np.float32)) if compared else None
        return graph, check(graph, inputs, compare)

    def attempts(rows: Any, opsets: tuple[dict[str, int], ...]) -> tuple[Any, str]:
        """Return the first graph that is correct, or raise the Failure of the one that came furthest."""
        failures = []
        for settings in _settings(inputs_of(rows), opsets):
            try:
                return exported(model, rows, settings)
            except Failure as failure:
                failure.settings = settings
                failures.append(failure)
        raise max(reversed(failures), key=lambda failure: failure.stage)

    try:
        return attempts(X, opsets)
    except Failure as failure:
        whole = failure

    def failure_of(part: Any, rows: Any) -> str | None:
        """Return why a part cannot be exported on its own, if it fails as early as the pipeline."""
        try:
            exported(part, rows, whole.settings)
        except Failure as failure:
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
        except (Failure, ValueError):
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
    skl2onnx, helper = required("skl2onnx"), required("onnx").helper
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
        raise Failure(0, f"skl2onnx cannot convert it: {first_line(error)}") from None
    exported.opset_import.sort(key=lambda entry: entry.domain)  # skl2onnx's order depends on string hashes
    graph = exported.graph
    casts = {name: f"tinyclf_{t}/{name}" for name, t in read.items() if joined or t != inputs[name].dtype}
    nodes = [helper.make_node("Cast", [n], [cast], cast, to=onnx_type(read[n])) for n, cast in casts.items()]
    found = [value.name for value in graph.input]  # skl2onnx replaces characters in names
    if joined:
        nodes.append(helper.make_node("Concat", list(casts.values()), found, found[0], axis=1))
    else:
        _rename(graph.node, {old: casts.get(name, name) for old, name in zip(found, inputs, strict=True)})
    for node in reversed(nodes):
        graph.node.insert(0, node)
    del graph.input[:]
    for name, shape in shapes.items():
        graph.input.append(helper.make_tensor_value_info(name, onnx_type(inputs[name].dtype), shape))
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


def _without_gaps(model: Pipeline) -> Pipeline:
    """Return a pipeline without its "passthrough" steps, which skl2onnx does not support."""
    steps = [(name, step) for name, step in model.steps if step is not None and not isinstance(step, str)]
    return Pipeline([(n, _without_gaps(step) if isinstance(step, Pipeline) else step) for n, step in steps])


def _declare(operator: Any) -> None:
    """Set the types and shapes of the outputs for skl2onnx."""
    model, rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    if isinstance(model, TinyClassifier):
        outputs = outputs_of(model, rows)
    else:
        outputs = [("", joined_type(_types(operator)), [rows, len(model.get_feature_names_out())])]
    for output, (_, dtype, shape) in zip(operator.outputs, outputs, strict=True):
        output.set_type(_tensor_type(dtype, shape))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add a classifier, or one of `STEPS`, to a graph of skl2onnx."""
    model, types = operator.raw_operator, _types(operator)
    dtype = joined_type(types)
    if dtype.kind == "O" and isinstance(model, SimpleImputer) and isinstance(model.missing_values, str):
        import_module("skl2onnx.operator_converters.imputer_op").convert_sklearn_imputer(
            scope, operator, container
        )
        return
    if dtype.kind == "O" and not isinstance(model, (SimpleImputer, TinyClassifier)):
        raise TypeError(f"{type(model).__name__} needs numbers, but gets strings")
    graph = Graph(scope.get_unique_variable_name)
    # Some steps of skl2onnx return another type than they declare, so values are always converted.
    columns = [
        Column(value.full_name if t.kind == "O" else graph.add("Cast", value.full_name, to=onnx_type(t)), t)
        for value, t in zip(operator.inputs, types, strict=True)
    ]
    outputs = [value.full_name for value in operator.outputs]
    if isinstance(model, TinyClassifier):
        add_classifier(graph, model, *add_table(graph, model, columns), *outputs)
    else:
        x, dtype = joined_columns(graph, columns)
        graph.add("Identity", STEPS[type(model)](graph, model, x, dtype), output=outputs[0])
    for name, array in graph.constants.items():
        values = [label.encode() for label in array] if array.dtype == object else array.ravel()
        container.add_initializer(name, onnx_type(array.dtype), array.shape, values)
    for kind, inputs, output, attributes in graph.operations:
        name, domain = scope.get_unique_operator_name(kind), attributes.pop("domain", "")
        container.add_node(kind, inputs, output, name=name, op_domain=domain, **attributes)


def _tensor_type(dtype: DTypeLike, shape: list[Any]) -> Any:
    """Return skl2onnx's description of arrays of this type and shape."""
    ((_, kind),) = required("skl2onnx").common.data_types.guess_data_type(np.empty(0, dtype))
    return type(kind)(shape)


def _types(operator: Any) -> list[np.dtype[Any]]:
    """Return the types of the inputs of an operator of skl2onnx; object for strings."""
    guess = required("skl2onnx").common.data_types.guess_numpy_type
    types = [np.dtype(guess(value.type)) for value in operator.inputs]
    return [np.dtype(object) if t.kind in "OU" else t for t in types]
