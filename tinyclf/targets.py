"""Targets: from labels of any kind to integer codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import check_classification_targets

from .views import Array


def as_labels(y: ArrayLike) -> Array:
    """Return labels as an array that can be sorted; a missing label or a mixture of kinds is an error."""
    labels = np.asarray(y)
    if labels.dtype != object:
        return labels
    missing = [row for row, label in enumerate(labels.ravel()) if label is None]
    if missing:
        raise ValueError(f"y has a missing label, None, at row {missing[0]}; name it or remove the row")
    kinds = {type(label) for label in labels.ravel()}
    if len(kinds) == 1 and issubclass(next(iter(kinds)), (int, np.integer, np.bool_)):
        return np.array(labels.tolist())  # whole numbers in disguise
    try:
        np.unique(labels)
    except TypeError:
        names = sorted(kind.__name__ for kind in kinds)
        raise ValueError(f"y has labels of kinds that do not sort together, {names}; use one kind") from None
    return labels


def encode(y: ArrayLike) -> tuple[Array, Array]:
    """Return the sorted classes of the labels y, and the labels as indices into them."""
    labels = as_labels(y)
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    return classes, codes


def encode_known(y: ArrayLike, classes: Array) -> Array:
    """Return the labels y as indices into the sorted classes; a label that is not there is an error."""
    found, codes = np.unique(as_labels(y), return_inverse=True)
    position: dict[Any, int] = {label: i for i, label in enumerate(classes.tolist())}
    unknown = [label for label in found.tolist() if label not in position]
    if unknown:
        raise ValueError(
            f"y has labels that are not among the classes: {_some(unknown)}; the classes are "
            f"{_some(classes.tolist())}. Name all of them in the first call of partial_fit"
        )
    return np.array([position[label] for label in found.tolist()], dtype=np.intp)[codes]


def _some(labels: list[Any]) -> str:
    return repr(labels) if len(labels) <= 10 else f"{labels[:10]!r} and {len(labels) - 10} more"
