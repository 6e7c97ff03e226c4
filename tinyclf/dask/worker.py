"""What a worker computes: its rows as a data set, and an epoch of training on them.

All functions return the same result for the same arguments. If a worker is lost, Dask can therefore compute
its results again on another one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.utils import _safe_indexing

from ..estimator import table
from ..estimator.dataset import Dataset, as_targets, read_targets
from ..estimator.encoding import ColumnSummary, Encoding
from ..estimator.plan import FitPlan, computation_dtype
from ..estimator.scaling import Scaling, check_not_infinite
from ..estimator.sources import concatenated
from ..estimator.targets import Labels, kind_of_targets, merged_labels
from ..estimator.trainer import planned_epochs
from ..estimator.validation import hold_out
from ..nn.arrays import Array, check_not_masked
from ..nn.batches import Rows, as_weights
from ..nn.state import TrainState
from ..nn.training import Epoch

# --- partitions of the collections ------------------------------------------------------------------


class Partition(NamedTuple):
    """Rows of one partition, checked.

    Attributes
    ----------
    number : int
        Number of the partition in the collections, from 0.
    X : ndarray, CSR or data frame of shape (n, n_features)
    y : ndarray or CSR of n rows
    weight : ndarray of shape (n,) or None
    labels : Labels
        The classes that occur in y.
    names : ndarray of str, or None
        Names of the columns of X.
    """

    number: int
    X: Any
    y: Any
    weight: Array | None
    labels: Labels
    names: Array | None


@dataclass(frozen=True)
class Summary:
    """What some partitions say about columns and classes.

    Attributes
    ----------
    columns : ColumnSummary
    labels : Labels
    names : ndarray of str, or None
        Names of the columns of X.
    sparse : bool
        Whether X is sparse.
    partition : int
        Number of the first of the partitions.
    """

    columns: ColumnSummary
    labels: Labels
    names: Array | None
    sparse: bool
    partition: int

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Return the summary of the rows of all parts.

        Raises
        ------
        ValueError, TypeError
            If columns or labels of the parts differ in number, names or type.
        """
        first = parts[0]
        for part in parts[1:]:
            if _columns_of(first) != _columns_of(part):
                here, there = (f"partition {one.partition} has {_columns_of(one)}" for one in (first, part))
                raise ValueError(
                    f"all partitions of X must have the same columns, but {here}, and {there}; select the "
                    "same columns in each"
                )
            if first.sparse != part.sparse:
                sparse, dense = (first, part) if first.sparse else (part, first)
                raise TypeError(
                    f"all partitions of X must be sparse, or all dense, but partition {sparse.partition} is "
                    f"sparse, and partition {dense.partition} is dense; convert them to one kind"
                )
        labels = first.labels
        for part in parts[1:]:
            with in_partition(part.partition):
                labels = merged_labels(labels, part.labels)
        columns = ColumnSummary.merged([part.columns for part in parts], first.names)
        return cls(columns, labels, first.names, first.sparse, first.partition)

    def name_columns(self, estimator: Any) -> None:
        """Set the number and the names of the features of an estimator."""
        estimator.n_features_in_ = self.columns.n_features
        vars(estimator).pop("feature_names_in_", None)
        if self.names is not None:
            estimator.feature_names_in_ = self.names


def _columns_of(summary: Summary) -> Any:
    """Return the names of the columns, or a text with their number."""
    names = summary.names
    return f"{summary.columns.n_features} columns" if names is None else names.tolist()


def read(estimator: Any, numbers: Sequence[int], parts: Sequence[tuple[Any, Any, Any]]) -> list[Partition]:
    """Return the partitions that have rows, checked.

    Parameters
    ----------
    estimator : TinyClassifier
        X must have its attributes ``n_features_in_`` and ``feature_names_in_``, if it has these.
    numbers : sequence of int
        The numbers of the partitions.
    parts : sequence of tuples of X, y and weights
    """
    return [_read(estimator, i, *part) for i, part in zip(numbers, parts, strict=True) if _has_rows(part)]


def _has_rows(part: tuple[Any, Any, Any]) -> bool:
    return any(value is not None and np.shape(value)[0] for value in part)


def _read(estimator: Any, number: int, X: Any, y: Any, weight: Any) -> Partition:
    with in_partition(number):
        model = copy.copy(estimator)
        check_not_masked("X", X)
        X = table.checked_rows(model, X, reset=not hasattr(estimator, "n_features_in_"))
        n = X.shape[0]
        if np.ndim(y) == 2 and y.shape[1] == 1 and not (model.soft_targets or issparse(y)):
            y = np.asarray(y)[:, 0]  # a data frame with one column
        targets = as_targets(model, read_targets(model, y, n))
        if targets.ndim == 1:
            # Not all of them: scikit-learn warns if most labels differ, as those of a short partition may.
            labels = kind_of_targets(np.tile(np.unique(targets), 3), soft=model.soft_targets)
        else:
            labels = kind_of_targets(targets, soft=model.soft_targets, given=y)
        names = getattr(model, "feature_names_in_", None)
        if weight is not None:
            none = np.shape(weight) == (n,) and not np.any(weight)  # other partitions may have some
            weight = np.zeros(n) if none else as_weights(weight, n)
        return Partition(number, X, targets, weight, labels, names)


def summarize(partitions: Sequence[Partition], estimator: Any) -> Summary | None:
    """Return the summary of partitions, or None without rows."""
    parts = []
    for part in partitions:
        model = copy.copy(estimator)
        if part.names is not None:
            model.feature_names_in_ = part.names
        with in_partition(part.number):
            columns = table.summarize(model, part.X, part.weight)
        parts.append(Summary(columns, part.labels, part.names, issparse(part.X), part.number))
    return Summary.merged(parts) if parts else None


# --- data sets --------------------------------------------------------------------------------------


def encoded(partitions: Sequence[Partition], estimator: Any, encoding: Encoding, labels: Labels) -> Dataset:
    """Return the rows of partitions, of which there is at least one, as a data set."""
    parts = []
    for part in partitions:
        with in_partition(part.number):
            X = table.numbers_and_codes(estimator, part.X, encoding)
            parts.append(Dataset(X, encoding, labels, labels.encode(part.y), part.weight, None, None))
            if estimator.scale_inputs:
                with encoding.naming_columns():
                    check_not_infinite(encoding.select_numbers(X))
            else:
                parts[-1].check_range(None, computation_dtype(estimator.dtype, X.dtype))
    weights = [part.sample_weight for part in parts if part.sample_weight is not None]
    return replace(
        parts[0],
        X=joined([part.X for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        sample_weight=np.concatenate(weights) if weights else None,
    )


def joined(parts: Sequence[Any]) -> Any:
    """Return blocks of rows of one kind, dense, sparse or data frames, as a single block."""
    return vstack(parts, "csr") if issparse(parts[0]) else concatenated(parts)


class Facts(NamedTuple):
    """What a data set says about its rows.

    Attributes
    ----------
    n_given, n_rows : int
        Number of rows, and of those with a positive weight.
    total_weight : float
    of_class : ndarray
        The total sample weight of each class, see `Dataset.total_weight`.
    dtype : dtype
    scaling : Scaling or None
        The scaling of its number columns; None without scaling or rows of positive weight.
    """

    n_given: int
    n_rows: int
    total_weight: float
    of_class: Array
    dtype: np.dtype[Any]
    scaling: Scaling | None


def facts(data: Dataset, scales: bool, centered: bool | None) -> Facts:
    """Return the facts about a data set; its columns are scaled if ``scales``; see `Scaling.of`."""
    n, weight, scaling = data.n_rows, data.loss_weight, None
    with np.errstate(over="ignore"):
        total = float(data.n_given if weight is None else weight.sum())
    if scales and n and total < np.inf:
        with data.encoding.naming_columns():
            scaling = Scaling.of(data.encoding.select_numbers(data.X), weight, centered=centered)
    return Facts(data.n_given, n, total, data.total_weight(), data.dtype, scaling)


# --- training ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """The rows of a data set as training reads them.

    Attributes
    ----------
    plan : FitPlan
    inputs : Rows
        Scaled and converted for the network.
    targets : ndarray of n rows
        As a loss with ``plan.n_outputs`` logits reads them.
    weight : ndarray of shape (n,) or None
    rows, search_rows, held : ndarray of int
        Ascending indices of all rows, of those that are not held out, and of those that are.
    seed : list of int
        Entropy of the order of the rows and of dropout.
    """

    plan: FitPlan
    inputs: Rows
    targets: Array
    weight: Array | None
    rows: Array
    search_rows: Array
    held: Array
    seed: list[int]


def prepare(data: Dataset, number: int, plan: FitPlan, scaling: Scaling | None, seed: Array) -> Part:
    """Return the rows of a data set, which is part ``number`` of all data; some are held out."""
    entropy = [*seed.tolist(), number]
    own = plan
    if plan.validation == "even":
        own = replace(plan, n_validation=data.n_held_evenly(plan.validation_fraction))
    rows, held = hold_out(data, own, np.random.default_rng(entropy))
    inputs = data.inputs(scaling, plan.dtype, plan.layers[0].reads_sparse)
    targets = data.labels.for_loss(data.targets, plan.n_outputs)
    return Part(plan, inputs, targets, data.loss_weight, data.rows, rows, np.sort(held), entropy)


def some_rows(data: Dataset, n: int) -> Array:
    """Return the indices of n rows of positive weight, ascending: a random sample, always the same."""
    return np.sort(np.random.default_rng(0).choice(data.rows, n, replace=False))


def taken(partitions: Sequence[Partition], rows: Array) -> list[Partition]:
    """Return some of the rows of partitions, given their ascending indices in all of them together."""
    stops = np.cumsum([part.X.shape[0] for part in partitions])
    found = []
    for part, stop in zip(partitions, stops, strict=True):
        start = stop - part.X.shape[0]
        own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
        if len(own):
            weight = None if part.weight is None else part.weight[own]
            X, y = (_safe_indexing(values, own) for values in (part.X, part.y))
            found.append(part._replace(X=X, y=y, weight=weight))
    return found


def unchanged(training: TrainState) -> TrainState:
    """Return the argument. As the result of a task, it is sent to the cluster once, for all parts."""
    return training


def trained(part: Part, training: TrainState, done: int, refit: bool) -> tuple[TrainState, Epoch, float]:
    """Train for an epoch.

    Parameters
    ----------
    part : Part
    training : TrainState
        It is not changed.
    done : int
        Number of epochs before this one.
    refit : bool
        Whether to train on the rows that are held out, too.

    Returns
    -------
    training : TrainState
    epoch : Epoch
    weight : float
        Total weight of the rows.
    """
    plan, training = part.plan, training.copy()
    rng = np.random.default_rng([*part.seed, int(refit), done])
    training.shuffle_rng, training.dropout_rng = rng.spawn(2)
    rows = part.rows if refit else part.search_rows
    problem = {"X": part.inputs, "y": part.targets, "rows": rows, "sample_weight": part.weight}
    problem |= {"loss": plan.training_loss, "alpha": plan.alpha}
    epoch = next(planned_epochs(plan, training, problem, refit=refit, done=done))
    return training, epoch, float(len(rows) if part.weight is None else part.weight[rows].sum())


def averaged(results: Sequence[tuple[TrainState, Epoch, float]]) -> tuple[TrainState, Epoch]:
    """Return the mean of the parameters and of the optimizer's arrays, weighted by the rows, and a report.

    The report has the mean loss, and the largest logit and gradient norm of all copies.

    This is local SGD, with one epoch between two averages. Source: Stich, "Local SGD converges fast and
    communicates little" (2019), algorithm 1; the moments of Adam are averaged like the parameters.
    """
    weights = np.array([weight for _, _, weight in results])
    weights /= weights.sum()
    made = results[0][0].copy()

    def mean(arrays: Sequence[Array]) -> Array:
        total = np.zeros(arrays[0].shape)
        for weight, array in zip(weights, arrays, strict=True):
            total += weight * array
        return total

    made.network.theta = mean([training.network.theta for training, _, _ in results])
    for name, array in made.optimizer_state.arrays.items():
        array[...] = mean([training.optimizer_state.arrays[name] for training, _, _ in results])
    made.optimizer_state.t = max(training.optimizer_state.t for training, _, _ in results)
    epochs = [epoch for _, epoch, _ in results]
    rows = sum(epoch.rows for epoch in epochs)
    return made, replace(
        epochs[0],
        loss=sum(epoch.loss * epoch.rows for epoch in epochs) / rows,
        largest_logit=max(epoch.largest_logit for epoch in epochs),
        gradient_norm=max(epoch.gradient_norm for epoch in epochs),
        seconds=max(epoch.seconds for epoch in epochs),
        rows=rows,
    )


# --- predictions ------------------------------------------------------------------------------------


def answers(model: Any, method: str, empty: Array, X: Any) -> Array:
    """Return what a method of a fitted model returns for rows X, or ``empty`` without rows."""
    found: Any = getattr(model, method)(X) if X.shape[0] else empty
    dense: Array = found.toarray() if issparse(found) else found
    return dense


def hits(model: Any, number: int, part: tuple[Any, Any, Any]) -> tuple[float, float]:
    """Return the total weight of the rows that are predicted correctly, and that of all rows."""
    if not _has_rows(part):
        return 0.0, 0.0
    X, y, weight = part
    with in_partition(number):
        n = X.shape[0]
        total = float(n if weight is None else np.sum(weight))
        return (float(model.score(X, y, weight)) * total if total else 0.0), total


@contextmanager
def in_partition(number: int) -> Iterator[None]:
    """Add the number of the partition to an error in the block."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"in partition {number}: {error}") from None
