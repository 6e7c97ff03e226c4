"""Export to ONNX: a graph that computes the predictions of a fitted model in other runtimes.

`graph` has the operations of a classifier, `rows` the inputs, and `checks` compares a graph with the
model before it is returned. Export needs onnx, and skl2onnx for pipelines (``pip install onnx
skl2onnx``); both are imported on first use.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..estimator.classifier import TinyClassifier
from ..estimator.model_file import additions
from .classifiers import export_classifier
from .graph import ML, OPSETS, Graph, add_classifier, as_held, required
from .pipelines import export_pipeline

if TYPE_CHECKING:
    from onnx import ModelProto

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
    probabilities may differ by 16 eps (1 + the largest logit of a member), where eps is the rounding unit
    of the network's type, and in a pipeline that of float32. A graph cannot raise errors: for rows that
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
    >>> X, y = load_iris(return_X_y=True)
    >>> model = TinyClassifier(n_members=1, calibrate=False, random_state=0).fit(X, y)
    >>> graph = to_onnx(model).graph
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
    onnx = required("onnx")
    opsets = _opsets(target_opset, pipeline=model is not classifier)
    add_classifier(Graph(), classifier, "X", np.float32, "label", "probabilities")  # or raise an error
    classes = as_held(classifier.classes_).tolist()
    categories = [values.tolist() for values in classifier._fitted.encoding.categories]
    try:
        json.dumps([classes, categories], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"ONNX holds strings as UTF-8, which has no {error.object[error.start]!r}; replace it in labels "
            "and categories, and fit again"
        ) from None
    if model is classifier:
        exported, warning = export_classifier(model, X, opsets[0])
    else:
        exported, warning = export_pipeline(model, classifier, X, opsets)
    if warning:
        warnings.warn(warning, stacklevel=2)
    onnx.helper.set_model_props(exported, {"classes": json.dumps(classes)})
    return exported


def _opsets(target: Any, pipeline: bool) -> tuple[dict[str, int], ...]:
    """Return the versions of the operators to try, in this order."""
    if target is None:
        return OPSETS if pipeline else OPSETS[:1]
    newest = int(required("onnx").defs.onnx_opset_version())
    if pipeline:
        newest = min(newest, int(required("skl2onnx").get_latest_tested_opset_version()))
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
