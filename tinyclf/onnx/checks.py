"""Checks of a graph: it is loaded by a runtime, and its predictions are compared with those of the model.

Graphs are checked by onnxruntime if it is installed, and by the reference evaluator of onnx otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import issparse
from sklearn.pipeline import Pipeline

from ..nn.arrays import Array
from .graph import required

# Probabilities may differ by this number of units of rounding, times 1 + the largest logit. In 144 setups
# (data sets, types, networks with and without scaling, pipelines), the largest difference is 1.3 units; in
# 432 networks of 2 to 16 members, with 1 to 30 classes and logits of up to 1e30, it is 0.5 units.
ROUNDING = 16.0


class Failure(Exception):
    """A graph could not be made (stage 0), does not load (1), or predicts otherwise (2)."""

    settings: Any
    """How a pipeline was exported."""

    def __init__(self, stage: int, reason: str) -> None:
        super().__init__(reason)
        self.stage, self.reason = stage, reason


def check(exported: Any, inputs: dict[str, Array], compare: Callable[[Any], str] | None) -> str:
    """Load a graph, and compare its outputs by ``compare``, which returns "" if they agree; or raise.

    Return a warning if the graph could not be compared, otherwise "".
    """
    try:
        onnxruntime, hint = import_module("onnxruntime"), ""
    except ImportError:
        onnxruntime, hint = None, "; install onnxruntime to check it there"
    try:
        required("onnx").checker.check_model(exported, full_check=True)
        run = _loaded(exported, onnxruntime)
        found = run(None, inputs) if compare else None
    except Exception as error:
        if onnxruntime is None and isinstance(error, NotImplementedError):
            return (
                "the ONNX graph was not compared with the model, since the reference evaluator of onnx does "
                f"not implement an operator: {first_line(error)}{hint}"
            )
        raise Failure(1, f"the graph does not load: {first_line(error)}{hint}") from None
    if compare and (difference := compare(found)):
        raise Failure(2, difference)
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


def difference(found: Any, model: Any, rows: Any, dtype: DTypeLike) -> str:
    """Return how the label and probabilities of a graph differ from the model's by more than rounding."""
    (label, p), expected, named = found, model.predict_proba(rows), model.predict(rows)
    named = named.toarray() if issparse(named) else named
    allowed = ROUNDING * float(np.finfo(dtype).eps) * (1.0 + _largest_logit(model, rows))
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


def _largest_logit(model: Any, rows: Any) -> float:
    """Return the largest calibrated logit of a member.

    Where members disagree, the logits of their mean are smaller, and would allow too little rounding.
    """
    while isinstance(model, Pipeline):
        model, rows = model[-1], model[:-1].transform(rows) if len(model) > 1 else rows
    state = model._fitted
    logits = model._outputs(rows, lambda z: state.member_logits(z).reshape(z.shape))
    return float(np.abs(logits).max(initial=0.0))


def deviation(found: Any, part: Any, rows: Any, dtype: DTypeLike) -> str:
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


def first_line(error: BaseException) -> str:
    """Return the first line of a message, or the name of the error."""
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
