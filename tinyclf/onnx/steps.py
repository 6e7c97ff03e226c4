"""Steps of pipelines that skl2onnx does not export correctly for all types and settings."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, PolynomialFeatures

from .graph import Graph


def _impute(graph: Graph, step: SimpleImputer, x: str, dtype: DTypeLike) -> str:
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


def _discretize(graph: Graph, step: KBinsDiscretizer, x: str, dtype: DTypeLike) -> str:
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


def _binarize(graph: Graph, step: Binarizer, x: str, dtype: DTypeLike) -> str:
    """Add a Binarizer; that of skl2onnx returns 1 for an entry that equals the threshold, in float64."""
    wide = np.result_type(dtype, step.threshold)
    above = graph.add("Greater", graph.cast(x, dtype, wide), np.asarray(step.threshold, wide))
    return graph.cast(above, bool, dtype)


def _expand(graph: Graph, step: PolynomialFeatures, x: str, dtype: DTypeLike) -> str:
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
STEPS: dict[type[Any], Callable[[Graph, Any, str, DTypeLike], str]] = {
    SimpleImputer: _impute,
    KBinsDiscretizer: _discretize,
    Binarizer: _binarize,
    PolynomialFeatures: _expand,
}
