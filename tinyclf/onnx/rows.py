"""Rows of X as the inputs of a graph, and typical rows of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from ..estimator.classifier import TinyClassifier
from ..estimator.sources import RowsOf, RowSource, is_frame, read_rows
from ..estimator.table import column_entries, frame_columns, is_missing
from ..nn.arrays import Array

# A graph is compared with the model on at most this number of rows.
ROWS = 1000


def typical_rows(model: TinyClassifier) -> Array:
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
        entries = [*known, *sorted({*map(kind, range(len(known) + 1))} - {*known})[:1]]
        if "" not in known if kind is str else kind is float or j in encoding.missing:
            entries.append(None)
        rows[:, j] = [entries[i % len(entries)] for i in rng.permutation(n)]
    return rows


def some_rows(X: Any) -> Any:
    """Return at most `ROWS` rows of an array, a list, a data frame or a source."""
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    rows = np.linspace(0, n - 1, min(n, ROWS)).astype(int)
    if isinstance(X, RowSource):
        return read_rows(RowsOf(X, rows), 0, len(rows))
    return X if n <= ROWS else _safe_indexing(X, rows)


def graph_inputs(
    X: Any, names: list[str] | None = None, texts_may_be_missing: bool = False
) -> dict[str, Array]:
    """Return rows as the inputs of a graph: ``X``, or one per column if X is a data frame or has names."""
    if names is None and not is_frame(X):
        return {"X": _as_input("X", X.toarray() if issparse(X) else X, texts_may_be_missing)}
    names = [str(name) for name, _ in frame_columns(X)] if names is None else names
    inputs = {
        name: _as_input(f"column {name!r}", column_entries(X, j), texts_may_be_missing)[:, None]
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
        missing = np.frompyfunc(is_missing, 1, 1)(array).astype(bool)
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
