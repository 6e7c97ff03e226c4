"""Export of a classifier that is not in a pipeline; this needs onnx only."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from scipy.sparse import issparse

from .._version import __version__
from ..estimator.classifier import TinyClassifier
from ..estimator.dataset import read_features
from ..estimator.sources import is_frame
from ..estimator.table import as_table
from .checks import Failure, check, difference
from .graph import Column, Graph, add_classifier, add_table, column_names, onnx_type, outputs_of, required
from .rows import graph_inputs, some_rows, typical_rows


def export_classifier(model: TinyClassifier, X: Any, opset: dict[str, int]) -> tuple[Any, str]:
    """Return the ONNX model of a classifier that is not in a pipeline, and a warning or ""."""
    onnx, encoding = required("onnx"), model._fitted.encoding
    helper, dtype = onnx.helper, model.network_.dtype
    rows = typical_rows(model) if X is None else some_rows(as_table(model, X, reset=False))
    without_names = copy(model)  # reads arrays without a warning
    without_names.__dict__.pop("feature_names_in_", None)
    compared = model if is_frame(rows) else without_names
    table = read_features(compared, rows)  # raises an error for rows that the model rejects
    if encoding.categorical.size:
        inputs = graph_inputs(rows, names := column_names(model), texts_may_be_missing=True)
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
        rows, compared = table.toarray() if issparse(table) else table, without_names
        inputs = {"X": rows}
    graph = Graph(lambda name: name.ljust(1 + max(map(len, inputs)), "_"))  # no name of an input
    columns = [Column(name, array.dtype) for name, array in inputs.items()]
    add_classifier(graph, model, *add_table(graph, model, columns), "label", "probabilities")
    domains = {"", *(attributes.get("domain", "") for *_, attributes in graph.operations)}
    versions = [helper.make_opsetid(domain, opset[domain]) for domain in sorted(domains)]
    arrays = [(name, array.dtype, ["rows", array.shape[1]]) for name, array in inputs.items()]
    exported = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(operator, read, [output], output, **attributes)
                for operator, read, output, attributes in graph.operations
            ],
            "TinyClassifier",
            *(
                [helper.make_tensor_value_info(name, onnx_type(kind), shape) for name, kind, shape in values]
                for values in (arrays, outputs_of(model, "rows"))
            ),
            [onnx.numpy_helper.from_array(a, name) for name, a in graph.constants.items()],
        ),
        opset_imports=versions,
        ir_version=helper.find_min_ir_version_for(versions),
        producer_name="tinyclf",
        producer_version=__version__,
    )
    try:
        warning = check(exported, inputs, lambda found: difference(found, compared, rows, dtype))
    except Failure as failure:
        narrow = ', or fit with dtype="float32"' if dtype == np.float64 else ""
        raise ValueError(
            f"to_onnx cannot export this {type(model).__name__}: {failure.reason}; set another target_opset, "
            f"now {opset['']}{narrow}, or install another version of onnxruntime"
        ) from None
    return exported, warning
