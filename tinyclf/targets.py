"""Targets: from labels of any kind to integer codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from .views import Array


def encode(y: Array) -> tuple[Array, Array]:
    """Return the sorted classes of the labels y, and the labels as indices into them."""
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    return classes, codes


def encode_known(y: Array, classes: Array) -> Array:
    """Return the labels y as indices into the sorted classes; a label that is not there is an error."""
    check_classification_targets(y)
    found, codes = np.unique(y, return_inverse=True)
    position: dict[Any, int] = {label: i for i, label in enumerate(classes.tolist())}
    unknown = [label for label in found.tolist() if label not in position]
    if unknown:
        raise ValueError(
            f"y has labels that are not among the classes: {unknown[:5]}; the classes are "
            f"{classes.tolist()}. Name all of them in the first call of partial_fit"
        )
    return np.array([position[label] for label in found.tolist()], dtype=np.intp)[codes]
