"""Targets: y is encoded for the loss, and logits are decoded to labels.

There are three kinds. `Labels`: one label per row, encoded as codes (n,). `LabelSets`: several
labels per row, as columns of 0 and 1, (n, k). `Probabilities`: a probability of each class, (n, k).
"""

from __future__ import annotations

from collections.abc import Hashable
from numbers import Real
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ..nn.arrays import Array, as_array
from ..nn.losses import Loss

_INTEGERS = (int, np.integer, np.bool_)
_NUMBERS = (*_INTEGERS, float, np.floating)

# Number of labels that are sorted at once, which takes ten times their memory.
_LABELS = 2**20

# Integer labels from a range of at most this length are looked up in a table.
_TABLE = 2**16

ClassWeight = dict[Any, float] | list[dict[int, float]] | str | None


class Labels:
    """One label per row; the classes are sorted.

    Parameters
    ----------
    classes : ndarray of shape (k,)
    """

    kind = "one label per row"

    stratified = True
    """Whether rows can be held out with the same fraction of each class."""

    def __init__(self, classes: Array) -> None:
        self.classes = classes

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes, to be saved."""
        return {"classes": self.classes}

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> Self:
        """Return the labels that `to_dict` described, or raise a ValueError if they are invalid."""
        made = cls(**held)
        classes = made.classes
        if not isinstance(classes, np.ndarray) or classes.ndim != 1 or classes.size == 0:
            raise ValueError(f"classes must be a vector with at least one class, got {classes!r}")
        made._check()
        return made

    def _check(self) -> None:
        """Raise an error unless the classes are sorted labels."""
        classes = self.classes
        strings = classes.dtype != object or all(isinstance(label, str) for label in classes)
        # NaN and NaT do not equal themselves.
        if not strings or not ((classes[1:] > classes[:-1]).all() and (classes == classes).all()):
            raise ValueError(f"classes must be sorted and distinct, got {classes!r}")

    @classmethod
    def of(cls, y: ArrayLike) -> Labels:
        """Return the labels that occur in y."""
        labels = as_labels(y)
        if labels.dtype.kind not in "biuU" or labels.ndim != 1:
            with np.errstate(invalid="ignore"):  # it casts floats to integers
                check_classification_targets(labels)
        classes = np.unique(labels)
        if len(classes) > len(labels) / 2:
            check_classification_targets(labels)  # warns that there are too many classes
        return cls(classes)

    def check_equal(self, others: Labels) -> None:
        """Raise an error unless others are the same kind of labels with the same classes."""
        same = "warm_start can only be used where `y` has the same classes as in the previous call to fit."
        if others.kind != self.kind:
            raise ValueError(f"{same} Previously got {self.kind}, `y` has {others.kind}")
        if not np.array_equal(others.classes, self.classes):
            raise ValueError(f"{same} Previously got {self.classes}, `y` has {others.classes}")

    def are(self, classes: Array) -> bool:
        """Return whether these sorted labels, as passed to partial_fit, are the classes."""
        return np.array_equal(classes, self.classes)

    def check_names(self, y: Any) -> None:
        """Raise an error if y is a data frame whose columns have other names than the classes."""

    def n_outputs(self, loss: Loss) -> int:
        """Return the number of logits with this loss."""
        return loss.n_outputs(len(self.classes))

    def encode(self, y: ArrayLike) -> Array:
        """Return the targets; a label that is not among the classes is an error."""
        if scipy.sparse.issparse(y) or np.ndim(y) != 1:
            raise ValueError(
                f"y must hold {self.kind}, as before, shape (n_samples,), got shape {np.shape(y)}"
            )
        return encode_known(y, self.classes)

    def restore(self, targets: Array) -> Array:
        """Return y in the form that scorers read, given encoded targets."""
        labels: Array = self.classes[targets]
        return labels

    def for_loss(self, targets: Array, n_outputs: int) -> Array:
        """Return encoded targets in the form that a loss with ``n_outputs`` logits reads."""
        return targets

    def codes(self, z: Array) -> Array:
        """Return the most probable encoded targets, given the logits z (n, n_outputs)."""
        one_logit = z.shape[1] == 1 and len(self.classes) == 2
        codes: Array = (z[:, 0] > 0).astype(np.intp) if one_logit else z.argmax(axis=1)
        return codes

    def named(self, codes: Array) -> Any:
        """Return the labels of the codes that `codes` returns, in the form of y."""
        return self.classes[codes]

    def scores(self, z: Array) -> Array:
        """Return the logits in the form of ``decision_function``: for two classes, one log-odds per row."""
        if len(self.classes) != 2:
            return z
        with np.errstate(over="ignore"):
            log_odds: Array = z[:, 0] if z.shape[1] == 1 else z[:, 1] - z[:, 0]
        return log_odds

    def hits(self, z: Array, targets: Array) -> Array:
        """Return for each row whether the most probable targets are correct, shape (n,)."""
        right: Array = self.codes(z) == targets
        return right

    def codes_per_label(self, targets: Array) -> list[Array]:
        """Return one array of codes (n,) for each label that a row has."""
        return [targets]

    def frequencies(self, targets: Array, weight: Array) -> Array:
        """Return the weighted frequency of each class; for several labels, of 0 and of 1 in each column."""
        fractions: Array = self.total_weight(targets, weight) / weight.sum()
        return fractions

    def total_weight(self, targets: Array, weight: Array | None) -> Array:
        """Return the sum of the weights of each class, (k,); rows have weight 1 by default."""
        return np.bincount(targets, weight, minlength=len(self.classes)).astype(np.float64)

    def factors(self, class_weight: ClassWeight, total: Array) -> Array:
        """Return the factor of the weights of each class, (k,), given their total weight, see `total_weight`.

        "balanced" gives all classes that occur the same total weight: the factors are n / (k
        n_class) if all rows have weight 1. A weight of 2 has the same effect as repeating the row.
        """
        if isinstance(class_weight, str):
            factors = np.zeros(len(total))
            with np.errstate(over="ignore"):  # a sum that is not finite raises an error later
                np.divide(total.sum() / np.count_nonzero(total), total, out=factors, where=total > 0)
            return factors
        return _named(class_weight, self.classes)

    def spread(self, factors: Array, targets: Array) -> Array:
        """Return the factor of each row, given the factors of the classes."""
        return factors[targets]


class Columns(Labels):
    """Targets with a column for each class: the classes are its names, or 0 to k - 1 if y is an array."""

    stratified = False

    @property
    def are_numbered(self) -> bool:
        """Whether the classes are 0 to k - 1."""
        return np.array_equal(self.classes, np.arange(len(self.classes)))

    def are(self, classes: Array) -> bool:
        numbers = np.arange(len(self.classes))  # also accepted instead of names
        return any(set(map(str, classes)) == set(map(str, own)) for own in (self.classes, numbers))

    def check_names(self, y: Any) -> None:
        names = column_names(y)
        if names is None or len(names) != len(self.classes):
            return  # `encode` checks the number of columns
        given, own = [str(name) for name in names], [str(label) for label in self.classes.tolist()]
        if given != own and not (self.are_numbered and set(given) != set(own)):
            raise ValueError(
                f"the columns of y must have the names and the order of classes_, {some_of(own)}, got "
                f"{some_of(given)}; select them by y[list(model.classes_)], or pass an array"
            )

    def check_equal(self, others: Labels) -> None:
        if isinstance(others, Columns) and others.are_numbered and len(others.classes) == len(self.classes):
            others.classes = self.classes  # an array has no names
        super().check_equal(others)

    def _check(self) -> None:
        """Raise an error unless the classes are distinct names in any order, or 0 to k - 1."""
        classes = self.classes
        names = classes.dtype.kind in "OU" or isinstance(self, Probabilities) or self.are_numbered
        if not names or len(set(map(str, classes.tolist()))) < len(classes):
            raise ValueError(f"classes must be distinct names, or 0, 1, ..., got {classes!r}")


class Probabilities(Columns):
    """Soft targets: a probability of each class; the rows sum to 1."""

    kind = "probabilities, as with soft_targets=True"

    @classmethod
    def of(cls, y: Any) -> Probabilities:
        """Return the classes of the columns of y."""
        if np.ndim(y) != 2:
            raise ValueError(
                "with soft_targets=True, y must hold a probability per class, shape (n_samples, n_classes); "
                f"got shape {np.shape(y)}"
            )
        return cls(classes_of_columns(y))

    def encode(self, y: Any) -> Array:
        targets = y.toarray() if scipy.sparse.issparse(y) else np.asarray(y)
        if targets.dtype.kind not in "biuf":
            raise ValueError(f"probabilities must be numbers, got dtype {targets.dtype}")
        if targets.ndim != 2 or targets.shape[1] != len(self.classes):
            raise ValueError(
                f"y must have a column for each of the {len(self.classes)} classes, got shape {targets.shape}"
            )
        targets = targets.astype(np.float64)
        wrong = np.argwhere(~((targets >= 0) & (targets <= 1)))
        if len(wrong):
            i, j = wrong[0]
            raise ValueError(f"probabilities must be from 0 to 1, got {targets[i, j]} at row {i}, column {j}")
        check_sums(targets)
        return targets

    def restore(self, targets: Array) -> Array:
        return targets

    def for_loss(self, targets: Array, n_outputs: int) -> Array:
        return targets[:, 1:] if n_outputs == 1 and targets.shape[1] == 2 else targets

    def hits(self, z: Array, targets: Array) -> Array:
        return super().hits(z, targets.argmax(axis=1))

    def codes_per_label(self, targets: Array) -> list[Array]:
        return [targets.argmax(axis=1)]

    def total_weight(self, targets: Array, weight: Array | None) -> Array:
        total: Array = targets.sum(axis=0) if weight is None else weight @ targets
        return total

    def spread(self, factors: Array, targets: Array) -> Array:
        spread: Array = targets @ factors
        return spread


class LabelSets(Columns):
    """Several labels per row: y has a column of 0 and 1 for each label, (n, k).

    Predictions are sparse if y was.
    """

    kind = "columns of 0 and 1"

    def __init__(self, classes: Array, sparse: bool = False) -> None:
        super().__init__(classes)
        self.sparse = sparse

    @classmethod
    def of(cls, y: Any) -> LabelSets:
        classes = classes_of_columns(y)
        named = cls(classes, scipy.sparse.issparse(y))
        return named if named.are_numbered else cls(classes.astype(object), named.sparse)

    def n_outputs(self, loss: Loss) -> int:
        if loss.inverse_link != "logistic":
            raise ValueError(
                f"several labels per row need a logistic loss, with one logit per label, got {loss}; use "
                'loss="log_loss"'
            )
        return len(self.classes)

    def encode(self, y: Any) -> Array:
        y = y.toarray() if scipy.sparse.issparse(y) else np.asarray(y)
        if y.ndim != 2 or y.shape[1] != len(self.classes) or not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"y must have a column of 0 and 1 for each of the {len(self.classes)} labels, got "
                f"{np.unique(y)[:5]} in an array of shape {y.shape}"
            )
        targets: Array = y.astype(np.float64)
        return targets

    def restore(self, targets: Array) -> Array:
        return targets.astype(np.intp)

    def scores(self, z: Array) -> Array:
        return z

    def codes(self, z: Array) -> Array:
        codes: Array = (z > 0).astype(np.intp)
        return codes

    def named(self, codes: Array) -> Any:
        return scipy.sparse.csr_array(codes) if self.sparse else codes

    def hits(self, z: Array, targets: Array) -> Array:
        right: Array = np.all(super().hits(z, targets), axis=1)
        return right

    def codes_per_label(self, targets: Array) -> list[Array]:
        return list(targets.T)

    def to_dict(self) -> dict[str, Any]:
        return {"classes": self.classes, "sparse": self.sparse}

    def _check(self) -> None:
        super()._check()
        if type(self.sparse) is not bool:
            raise ValueError(
                f"sparse must be True or False, got {self.sparse!r}, for {self.classes!r} as classes"
            )

    def frequencies(self, targets: Array, weight: Array) -> Array:
        yes = weight @ targets / weight.sum()
        return np.concatenate([1.0 - yes, yes])

    def total_weight(self, targets: Array, weight: Array | None) -> Array:
        """Return the sum of the weights of 0 and of 1 for each label, (k, 2)."""
        weight = np.ones(len(targets)) if weight is None else weight
        return np.stack([weight @ (1.0 - targets), weight @ targets], axis=1)

    def factors(self, class_weight: ClassWeight, total: Array) -> Array:
        """Return the factors of 0 and of 1 for each label, (k, 2); `spread` multiplies them over labels."""
        k = len(self.classes)
        each: Any = [class_weight] * k if isinstance(class_weight, str) else class_weight
        if not isinstance(each, list) or len(each) != k:
            raise ValueError(
                f'for {k} labels per row, class_weight must be "balanced" or a list of {k} dicts like '
                f"{{0: 1.0, 1: 2.0}}, got {class_weight!r}"
            )
        one_label = Labels(np.array([0, 1]))
        return np.array([one_label.factors(one, of_label) for one, of_label in zip(each, total, strict=True)])

    def spread(self, factors: Array, targets: Array) -> Array:
        product: Array = np.where(targets == 1, factors[:, 1], factors[:, 0]).prod(axis=1)
        return product


def column_names(y: Any) -> list[Any] | None:
    """Return the names of the columns of a data frame, or None for an array."""
    names = getattr(y, "column_names", getattr(y, "columns", None))  # `columns` of pyarrow holds the data
    return None if names is None or np.ndim(y) != 2 else list(names)


def classes_of_columns(y: Any) -> Array:
    """Return the names of the columns of y, if it is a data frame, or 0 to k - 1."""
    names = column_names(y)
    if names is None:
        return np.arange(np.shape(y)[1])
    if len({*names}) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"y: the columns must have unique column names, got {twice!r} twice; rename one")
    if len(set(map(type, names))) == 1 and isinstance(names[0], (str, Real)):
        return np.asarray(names)
    classes = np.empty(len(names), object)
    classes[:] = names  # np.asarray would convert numbers beside strings, and tuples
    return classes


def check_sums(probabilities: Array) -> None:
    """Raise an error unless the rows of an array (n, k) sum to 1, within 1e-3."""
    sums = probabilities.sum(axis=1)
    rows = np.flatnonzero(~(np.abs(sums - 1.0) <= 1e-3))
    if rows.size:
        raise ValueError(
            f"the probabilities of a row must sum to 1, got {sums[rows[0]]:.6g} in row {rows[0]}; divide "
            "them by their sum, or pass columns of 0 and 1 if a row may have several labels"
        )


def kind_of_targets(y: Any, *, soft: bool, given: Any = None) -> Labels:
    """Return the kind of targets that y holds, with its classes; ``given`` is y before it was converted."""
    given = y if given is None else given
    if soft:
        return Probabilities.of(given)
    if scipy.sparse.issparse(y):
        return LabelSets.of(given)
    if np.ndim(y) == 2:
        with np.errstate(invalid="ignore"):  # it casts floats to integers
            kind = type_of_target(y, input_name="y")
        if kind == "multilabel-indicator":
            return LabelSets.of(given)
        check_classification_targets(y)
        raise ValueError(
            f"y of shape {np.shape(y)} holds {kind} targets, which are not supported; pass one label per "
            "row, (n_samples,), or columns of 0 and 1, or probabilities with soft_targets=True"
        )
    return Labels.of(y)


def merged_labels(first: Labels, second: Labels) -> Labels:
    """Return the labels of the rows of two parts.

    Raises
    ------
    ValueError
        If one part has another kind of targets, or other columns, than the other.
    TypeError
        If the labels of one part are strings, and those of the other are not.
    """
    if first.kind != second.kind:
        raise ValueError(f"y holds {second.kind}, but before {first.kind}; encode all rows in the same way")
    if isinstance(first, Columns):
        if not np.array_equal(first.classes, second.classes):
            raise ValueError(
                f"the columns of y are {some_of(second.classes.tolist())}, but before "
                f"{some_of(first.classes.tolist())}; select the same columns in the same order"
            )
        return first
    types = {type(label) for labels in (first, second) for label in labels.classes.tolist()}
    if str in types and types != {str}:
        raise TypeError(
            f"y has labels such as {second.classes.tolist()[0]!r}, but before such as "
            f"{first.classes.tolist()[0]!r}; convert all labels to one type"
        )
    return Labels(np.unique(as_labels(np.concatenate([first.classes, second.classes]))))


def labels_in_part(
    y: Any, classes: ArrayLike | None, known: Labels | None, *, soft: bool, given: Any = None
) -> Labels:
    """Return the labels of all classes: known ones, those in classes, or those of the columns of y.

    y itself may contain only some of the classes; ``given`` is y before it was converted.
    """
    named = None if classes is None else _named_classes(classes)
    if known is not None:
        labels = known
        if soft != isinstance(known, Probabilities):
            raise ValueError(
                f"soft_targets={soft}, but the model was trained on {known.kind}; set soft_targets back"
            )
    elif named is None and not soft:
        raise ValueError("classes must be passed on the first call to partial_fit.")
    elif named is None or np.ndim(y) == 2 or scipy.sparse.issparse(y):
        labels = kind_of_targets(y, soft=soft, given=given)
    else:
        labels = Labels(named)
    if named is not None and not labels.are(named):
        raise ValueError(
            f"`classes={classes!r}` is not the same as on last call to partial_fit, or does not match the "
            f"columns of y; pass {labels.classes!r}"
        )
    return labels


def label_array(name: str, y: Any) -> Array:
    """Return labels as an array; errors call them ``name``.

    NumPy converts a list of different types to one type: a missing label beside strings to the
    string "nan", and integers of which only some exceed 2^63 to rounded floats. Such a list becomes
    an array of objects instead.
    """
    array = as_array(name, y)
    kind = array.dtype.kind
    if not isinstance(y, (list, tuple)) or kind not in "fUS":
        return array
    types = {*map(type, y if array.ndim == 1 else np.array(y, dtype=object).flat)}
    rounded = kind == "f" and any(issubclass(t, _INTEGERS) for t in types)
    quoted = kind != "f" and not all(issubclass(t, str if kind == "U" else bytes) for t in types)
    return np.array(y, dtype=object) if rounded or quoted else array


def as_labels(y: Any, name: str = "y") -> Any:
    """Return labels as an array, or CSR, that can be sorted and has no missing entry.

    Integers in an array of objects become an array of integers. All passes are made by NumPy, since
    there may be many labels.

    Raises
    ------
    ValueError
        If a label is missing, or the labels have types that cannot be sorted together.
    """
    labels: Any = y if scipy.sparse.issparse(y) else label_array(name, y)
    if labels.dtype.kind == "T":
        labels = labels.astype(object)
    if labels.dtype == object:
        labels = _of_one_type(labels, name)
    if labels.dtype.kind in "fcmM":
        values = labels.data if scipy.sparse.issparse(labels) else labels
        wrong = np.argwhere(~np.isfinite(values))  # NaN, NaT and inf
        if len(wrong):
            label, row = values[tuple(wrong[0])], wrong[0][0]
            row = labels.tocoo().row[row] if scipy.sparse.issparse(labels) else row
            if label != label:
                raise _missing_label(name, label, row)
            raise ValueError(f"{name} must hold finite labels, got {label} at row {row}")
    return labels


def _of_one_type(labels: Array, name: str) -> Array:
    """Return an array of objects that can be sorted, as an array of numbers if all of them are numbers."""
    kinds = {*map(type, labels.flat)}
    nested = [kind for kind in kinds if not issubclass(kind, Hashable)]
    if nested:
        at, label = next((i, label) for i, label in enumerate(labels.flat) if type(label) in nested)
        if label is np.ma.masked:
            raise _missing_label(name, "masked", np.unravel_index(at, labels.shape)[0])
        raise ValueError(
            f"{name} has {label!r} as a label; if a row may have several labels, pass columns of 0 and 1"
        )
    # NaN and NaT differ from themselves. For pandas.NA, the comparison returns pandas.NA.
    differs = np.not_equal(labels, labels, dtype=object)
    if type(None) in kinds or {*differs.flat} - {False}:
        pairs = enumerate(zip(labels.flat, differs.flat, strict=True))
        at, label = next((i, label) for i, (label, d) in pairs if label is None or {d} - {False})
        raise _missing_label(name, label, np.unravel_index(at, labels.shape)[0])
    if all(issubclass(kind, str) for kind in kinds):
        return labels
    flags = [issubclass(kind, (bool, np.bool_)) for kind in kinds]
    if all(flags) or (not any(flags) and all(issubclass(kind, _NUMBERS) for kind in kinds)):
        numbers = np.array(labels.tolist())
        if all(issubclass(kind, _INTEGERS) for kind in kinds):
            if numbers.dtype.kind == "f" and labels.size and labels.min() >= 0:
                numbers = labels.astype(np.uint64)  # NumPy chooses float64 for [1, 2**63]
            exact = numbers.dtype.kind in "biu"
        else:
            exact = not (numbers != labels).any()
        if not exact:
            raise ValueError(
                f"{name} has labels from {labels.min()} to {labels.max()}, which no numeric type represents "
                "exactly; pass strings"
            )
        return numbers
    try:
        sorted({*labels.flat})
    except TypeError:
        names = sorted(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{name} has labels of types that do not sort together, {names}; use one type"
        ) from None
    return labels


def _missing_label(name: str, label: Any, row: Any) -> ValueError:
    return ValueError(f"{name} has a missing label, {label}, at row {row}; label it or remove the row")


def encode_known(y: ArrayLike, classes: Array) -> Array:
    """Return the labels y as indices into the sorted classes, or raise an error for an unknown label."""
    labels = as_labels(y)
    position: dict[Any, int] = {label: i for i, label in enumerate(classes.tolist())}
    encoded: Array = np.empty(len(labels), np.min_scalar_type(-len(classes)))
    unknown, table = set(), None
    if labels.dtype == classes.dtype and labels.dtype.kind in "iu":
        low, high = int(classes[0]), int(classes[-1])
        if high - low < _TABLE:  # a look-up takes a quarter of the time of np.unique
            table = np.full(high - low + 1, -1)
            table[classes - low] = np.arange(len(classes))
    for start in range(0, len(labels), _LABELS):
        block = labels[start : start + _LABELS]
        if table is not None and low <= block.min() and block.max() < low + len(table):
            codes = table[block - low]
            if codes.min() >= 0:
                encoded[start : start + _LABELS] = codes
                continue
        found, codes = np.unique(block, return_inverse=True)
        unknown |= {label for label in found.tolist() if label not in position}
        known = [position.get(label, -1) for label in found.tolist()]
        encoded[start : start + _LABELS] = np.array(known)[codes]
    if unknown:
        raise ValueError(
            f"y has labels that are not among the classes: {some_of(sorted(unknown))}; the classes are "
            f"{some_of(classes.tolist())}. Remove these rows, or train with all classes (for partial_fit, "
            "pass them in the first call)"
        )
    return encoded


def _named_classes(classes: ArrayLike) -> Array:
    """Return the classes that were passed to partial_fit, sorted."""
    labels = as_array("classes", classes)
    if labels.ndim != 1 or labels.size == 0 or (labels.dtype != object and (labels != labels).any()):
        raise ValueError(
            f"classes must be a list of labels, at least one and none of them NaN, got {classes!r}"
        )
    return np.unique(as_labels(classes, "classes"))


def _named(class_weight: Any, classes: Array) -> Array:
    """Return the weights of the classes; a class that is not in the dict has weight 1."""
    if not isinstance(class_weight, dict):
        raise ValueError(
            f'class_weight must be a dict from class to weight, "balanced" or None, got {class_weight!r}'
        )
    known = set(classes)  # NumPy scalars, which equal Python scalars
    unknown = [label for label in class_weight if label not in known]
    if unknown:
        raise ValueError(
            f"class_weight has the keys {some_of(unknown)}, but the classes are {some_of(classes.tolist())}"
        )
    factors = np.ones(len(classes))
    for i, label in enumerate(classes):
        factor: Any = class_weight.get(label, 1.0)
        if not isinstance(factor, Real) or not 0.0 <= float(factor) < np.inf:
            raise ValueError(
                f"class_weight must be finite and >= 0, got {factor!r} for class {_shown(label)}"
            )
        factors[i] = factor
    return factors


def _shown(label: Any) -> str:
    return repr(label.item() if isinstance(label, np.generic) else label)


def some_of(labels: list[Any]) -> str:
    """Return the text of a list in errors, of its first ten items."""
    return repr(labels) if len(labels) <= 10 else f"{labels[:10]!r} and {len(labels) - 10} more"
