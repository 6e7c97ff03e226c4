"""A data set on a cluster, and its training, as the client sees them."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import attrgetter
from typing import Any, Self

import numpy as np

from ..estimator.callback_context import CallbackContext
from ..estimator.dataset import ENOUGH_ROWS, Dataset, check_total_weight
from ..estimator.encoding import Encoding
from ..estimator.scaling import Scaling
from ..estimator.sources import loaded
from ..estimator.targets import Labels
from ..estimator.trainer import Trainer
from ..nn.arrays import Array
from ..nn.errors import TrainingWarning
from ..nn.losses import Loss
from ..nn.state import TrainState
from ..nn.training import Epoch
from . import worker
from .worker import Facts, Partition, Summary

_ROWS, _ENTRIES = 100_000, 2**24
"""The largest numbers of rows, and of their entries, that are held out, and that are sampled."""

# If a worker lacks classes with at least this fraction of the rows, its copy of the network forgets them in
# each epoch: with half of the rows, the log-loss was up to 1.7 times that of rows in memory.
_MISSING = 0.4

# A worker lacks a class if it has no rows of it, and would have at least this number if rows were shuffled.
_EXPECTED = 5

# The client has a sample of this fraction of the rows, but at most `_ROWS`.
_SAMPLED = 0.1


class Tasks:
    """The tasks of a fit on a cluster; at the end of the context, their results are released.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._futures: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release([*self._futures.values()])

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any], **common: Any) -> list[Any]:
        """Submit a task for each item of ``arguments``, and return the futures."""
        from dask import config

        # Parameters are sent with a task, not by `scatter`, whose data cannot be computed again if the worker
        # that has them is lost.
        with config.set({"distributed.admin.large-graph-warning-threshold": "10 GB"}):
            return self._kept(self.client.map(function, *arguments, pure=False, **common))

    def compute(self, tasks: Sequence[Any], **where: Any) -> list[Any]:
        """Submit tasks that are Delayed, and return the futures; for ``where``, see `Client.compute`."""
        return self._kept(self.client.compute([*tasks], **where))

    def _kept(self, futures: list[Any]) -> list[Any]:
        self._futures.update({future.key: future for future in futures})
        return futures

    def run(self, function: Callable[..., Any], *arguments: Sequence[Any], **common: Any) -> list[Any]:
        """Run a task for each item of ``arguments``, and return the results.

        Raises
        ------
        RuntimeError
            If rows were lost with a worker.
        """
        from distributed.client import FutureCancelledError

        try:
            return self.results(self.map(function, *arguments, **common))
        except FutureCancelledError as error:
            raise RuntimeError(
                f"rows were lost with a worker, or are on another cluster ({error}); pass collections that "
                "Dask can compute again, such as files, instead of rows that were sent by scatter"
            ) from None

    def results(self, futures: Sequence[Any]) -> list[Any]:
        """Return the results of futures, which are then released."""
        found: list[Any] = self.client.gather(futures)
        self.release(futures)
        return found

    def release(self, futures: Sequence[Any]) -> None:
        """Release the results of futures; tasks that have not begun are cancelled."""
        for future in futures:
            self._futures.pop(future.key, None)
            future.release()


def partitions_of(X: Any, y: Any, sample_weight: Any = None) -> list[tuple[Any, Any, Any]]:
    """Return the partitions of Dask collections as tuples of X, y and weights, each a Delayed, or None.

    Raises
    ------
    TypeError
        If X, y or sample_weight is not a Dask array or data frame.
    ValueError
        If they have different numbers of partitions, or X has not two dimensions.
    """
    if not is_dask(X):
        raise TypeError(
            f"X must be a Dask array or data frame, got {type(X).__name__}; pass rows that are in memory to "
            "TinyClassifier, or convert them, for example by dask.array.from_array"
        )
    if X.ndim != 2:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.ndim} dimensions; reshape it")
    rows = X.chunks[0] if hasattr(X, "chunks") else None
    parts = []
    for name, values in (("X", X), ("y", y), ("sample_weight", sample_weight)):
        if values is None and name != "y":
            continue
        if not is_dask(values):
            raise TypeError(
                f"{name} must be a Dask array, data frame or series, as X is, got {type(values).__name__}; "
                "create it with the partitions of X"
            )
        parts.append(delayed_partitions(values, rows))
        if len(parts[-1]) != len(parts[0]):
            raise ValueError(
                f"X has {len(parts[0])} partitions, but {name} has {len(parts[-1])}; repartition one of "
                "them, so that each partition has the same rows"
            )
    nothing = [None] * len(parts[0])
    return [*zip(*parts, *[nothing] * (3 - len(parts)), strict=True)]


def read(tasks: Tasks, estimator: Any, partitions: Sequence[tuple[Any, Any, Any]]) -> list[Any]:
    """Return futures of lists of `Partition`: the partitions of each worker.

    Partitions are distributed over the workers in turn, so that each worker has rows of all parts of X,
    even if X is sorted. If a worker is lost, another one may read its partitions.
    """
    from dask import delayed

    workers, futures = sorted(tasks.client.nthreads()), []
    if not workers:
        raise ValueError(
            "the cluster of the client has no workers; start some, and wait for them by "
            "client.wait_for_workers(n)"
        )
    n = min(len(workers), len(partitions))
    for number, address in enumerate(workers[:n]):
        own = range(number, len(partitions), n)
        task = delayed(worker.read, pure=False)(estimator, [*own], [partitions[i] for i in own])
        futures += tasks.compute([task], workers=[address], allow_other_workers=True)
    return futures


def is_dask(values: Any) -> bool:
    """Return whether values are a Dask array, data frame or series."""
    kinds = ("dask.array.Array", "dask.dataframe.DataFrame", "dask.dataframe.Series")
    return isinstance(values, loaded(*kinds))


def delayed_partitions(
    values: Any, rows: Sequence[int] | None = None, *, optimized: bool = True
) -> list[Any]:
    """Return the partitions of a collection as Delayed; an array has one chunk of columns.

    If it is an array and all lengths are known, it gets chunks of ``rows`` rows. Its graph must be
    ``optimized`` if the partitions are computed as they are, and must not be if they become a collection
    again: optimized twice, a task would be another one with the same key. A data frame is optimized, too,
    unless Dask would join partitions of Parquet files, depending on the number of their columns.
    """
    if hasattr(values, "chunks"):
        known = rows is not None and not np.isnan([*rows, *values.chunks[0]]).any()
        same = known and sum(rows) == values.shape[0]  # type: ignore[arg-type]
        columns = dict.fromkeys(range(1, values.ndim), -1)
        values = values.rechunk({0: rows, **columns} if same else columns)
        return [*np.ravel(values.to_delayed(optimize_graph=optimized))]
    found = values.to_delayed()
    return [*(found if len(found) == values.npartitions else values.to_delayed(optimize_graph=False))]


@dataclass(frozen=True)
class Parts:
    """The rows of a data set on a cluster: a part for each worker that has rows of positive weight.

    Attributes
    ----------
    tasks : Tasks
    estimator : TinyClassifier
        A model in memory with the same parameters, with which rows are read.
    encoding : Encoding
    labels : Labels
    factors : ndarray or None
        The factors of the weights of the classes.
    partitions, datasets : list of futures
        The partitions of each part, as a list of `Partition`, and its `Dataset`.
    facts : list of Facts
        The facts about each part.
    """

    tasks: Tasks
    estimator: Any
    encoding: Encoding
    labels: Labels
    factors: Array | None
    partitions: list[Any]
    datasets: list[Any]
    facts: list[Facts]

    @classmethod
    def read(cls, estimator: Any, tasks: Tasks, X: Any, y: Any, sample_weight: Any) -> Self:
        """Read the arguments of ``fit`` on the workers."""
        continued, local = estimator._continued, estimator._unfitted()
        partitions = read(tasks, local, partitions_of(X, y, sample_weight))
        found = tasks.run(worker.summarize, partitions, estimator=local)
        partitions = [future for future, part in zip(partitions, found, strict=True) if part is not None]
        if not partitions:
            raise ValueError("X has 0 samples in all of its partitions; at least one row is required")
        summary = Summary.merged([part for part in found if part is not None])
        labels, encoding = summary.labels, summary.columns.encoding(estimator.max_categories)
        centered = None
        if continued is None:
            summary.name_columns(estimator)
        else:
            continued.labels.check_equal(labels)
            labels, encoding = continued.labels, continued.encoding
            centered = None if continued.scaling is None else continued.scaling.centered
        datasets = tasks.map(worker.encoded, partitions, estimator=local, encoding=encoding, labels=labels)
        factors = None
        if estimator.class_weight is not None:
            total = np.sum(tasks.run(Dataset.total_weight, datasets), axis=0)
            factors = labels.factors(estimator.class_weight, total)
            datasets = tasks.map(Dataset.with_class_weights, datasets, factors=factors)
        facts = tasks.run(worker.facts, datasets, scales=estimator.scale_inputs, centered=centered)
        check_total_weight(sum(fact.total_weight for fact in facts), sum(fact.n_given for fact in facts))
        used = [i for i, fact in enumerate(facts) if fact.n_rows]
        chosen = ([values[i] for i in used] for values in (partitions, datasets, facts))
        return cls(tasks, local, encoding, labels, factors, *chosen)

    @property
    def n_rows(self) -> int:
        """Number of rows with a positive weight."""
        return sum(fact.n_rows for fact in self.facts)

    @property
    def most_fetched(self) -> float:
        """The largest fraction of the rows that is sent to the client at once."""
        return min(_ROWS, max(1, _ENTRIES // self.encoding.n_features)) / self.n_rows

    def missing_classes(self) -> list[Warning]:
        """Return a warning if a worker lacks classes with many rows, as if they were sorted."""
        of_class = np.array([fact.of_class for fact in self.facts])  # (parts, classes) or (parts, labels, 2)
        n_rows = np.array([fact.n_rows for fact in self.facts]).reshape(-1, *[1] * (of_class.ndim - 1))
        share = of_class.sum(axis=0) / of_class.sum(axis=(0, -1), keepdims=True)[0]
        missing = (of_class == 0.0) & (share * n_rows >= _EXPECTED)
        most = float((missing * share).sum(axis=-1).max())
        if not most >= _MISSING:
            return []
        return [
            TrainingWarning(
                f"a worker has no rows of classes that have {100 * most:.0f} % of all rows, so the model may "
                "be much worse than with shuffled rows; shuffle them, for example by dask.array.shuffle, or "
                "make many partitions per worker"
            )
        ]

    def run(self, function: Callable[..., Any], **common: Any) -> list[Any]:
        """Return the results of a function of the data set of each part."""
        return self.tasks.run(function, self.datasets, **common)

    def fetch(self, rows: Sequence[Any]) -> Dataset:
        """Return rows of each part as a data set on the client, given futures of their indices."""
        found: list[Partition] = [*chain(*self.tasks.run(worker.taken, self.partitions, rows))]
        self.tasks.release(rows)
        data = worker.encoded(found, self.estimator, self.encoding, self.labels)
        return replace(data, table=worker.joined([part.X for part in found])).weighted(self.factors)

    def sample(self) -> Dataset:
        """Return a random sample of the rows."""
        fraction = min(_SAMPLED, self.most_fetched)
        sizes = [math.ceil(fraction * fact.n_rows) for fact in self.facts]
        return self.fetch(self.tasks.map(worker.some_rows, self.datasets, sizes))


@dataclass(frozen=True)
class ClusterDataset(Dataset):
    """A data set on a cluster. As a `Dataset`, it is a sample of the rows, which is on the client.

    Attributes
    ----------
    parts : Parts
        All rows.
    """

    parts: Parts = field(kw_only=True, repr=False)

    @classmethod
    def of(cls, parts: Parts, estimator: Any, X_val: Any, y_val: Any, sample_weight_val: Any) -> Self:
        """Return the data set of these rows, with a validation set, see `Dataset.read`."""
        data = cls(**vars(parts.sample()), parts=parts)
        return data.with_validation(estimator, parts.factors, X_val, y_val, sample_weight_val)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.result_type(*(fact.dtype for fact in self.parts.facts))

    @property
    def n_given(self) -> int:
        return sum(fact.n_given for fact in self.parts.facts)

    @property
    def n_rows(self) -> int:
        return self.parts.n_rows

    def scaling(self, earlier: Scaling | None, remembered: float) -> Scaling:
        facts = self.parts.facts
        merged = Scaling.merged(fact.scaling for fact in facts if fact.scaling is not None)
        if earlier is None:
            return merged
        mean_weight = sum(fact.total_weight for fact in facts) / self.n_rows
        return earlier.with_scaling(merged, np.array([mean_weight]), remembered)

    def total_of_targets(self, loss: Loss, n_outputs: int) -> tuple[Array, float]:
        found = self.parts.run(Dataset.total_of_targets, loss=loss, n_outputs=n_outputs)
        of_class, total = zip(*found, strict=True)
        return np.sum(of_class, axis=0), sum(total)

    def is_toy(self) -> bool:
        """Return whether no rows should be held out: one class, or fewer than 500 rows."""
        return self.n_rows < ENOUGH_ROWS or len(self.labels.classes) == 1

    def held_fraction(self, fraction: float) -> float:
        """Return the fraction of the rows to hold out, given the wanted one."""
        return min(fraction, self.parts.most_fetched)

    def n_held_evenly(self, fraction: float) -> int:
        held: list[int] = self.parts.run(Dataset.n_held_evenly, fraction=self.held_fraction(fraction))
        return sum(held)


class ClusterTrainer(Trainer):
    """Trains on a cluster by local SGD: in each epoch, each worker trains a copy of the network on its rows.

    The parameters after an epoch are the mean of those of the workers, and so is the state of the optimizer,
    see `worker.averaged`. Validation and calibration are computed on the client. The parameters are those of
    `Trainer`; the data are a `ClusterDataset`.
    """

    data: ClusterDataset

    def _hold_out(self) -> tuple[Array, Dataset | None]:
        """Hold rows out on each worker, and fetch them."""
        parts, plan, state = self.data.parts, self.plan, self.state
        # Only the client scores; a scorer may have no pickle.
        shared = {"plan": replace(plan, scoring="loss"), "scaling": state.scaling, "seed": state.seed}
        self._parts = parts.tasks.map(worker.prepare, parts.datasets, range(len(parts.facts)), **shared)
        validation = self.data.validation
        if plan.validation == "even":
            validation = parts.fetch(parts.tasks.map(attrgetter("held"), self._parts))
        parts.tasks.release([*parts.datasets, *parts.partitions])
        return self.data.rows, validation

    def _search(self, callbacks: CallbackContext) -> tuple[bool, list[Warning]]:
        converged, found = super()._search(callbacks)
        return converged, [*found, *self.data.parts.missing_classes()]

    def _epochs(self, training: TrainState, *, refit: bool = False, done: int = 0) -> Iterator[Epoch]:
        with self._remedies():
            for number in range(done, self.plan.max_iter):
                started = time.perf_counter()
                mean, epoch = self._epoch(training, number, refit)
                training.network.theta = mean.network.theta
                training.optimizer_state, training.epoch = mean.optimizer_state, mean.epoch
                yield replace(epoch, seconds=time.perf_counter() - started)

    def _epoch(self, training: TrainState, done: int, refit: bool) -> tuple[TrainState, Epoch]:
        """Return the mean of the copies after an epoch, and its report; see `worker.trained`.

        If a worker is lost, Dask computes its part of the epoch again on another worker. If this is not
        possible, since its rows were sent to the cluster by `scatter`, the others go on without these rows.
        """
        from distributed.client import FutureCancelledError

        tasks = self.data.parts.tasks
        before = tasks.map(worker.unchanged, [training])
        results = tasks.map(worker.trained, self._parts, training=before[0], done=done, refit=refit)
        average = tasks.map(worker.averaged, [results])
        try:
            mean: tuple[TrainState, Epoch] = tasks.results(average)[0]
            return mean
        except FutureCancelledError:
            left = [part for part in self._parts if not part.cancelled()]
            if not left or len(left) == len(self._parts):
                raise
            warnings.warn(
                f"a worker was lost in epoch {done + 1}, and its rows cannot be read again; training goes "
                f"on with the rows of {len(left)} of {len(self._parts)} workers. Pass collections that Dask "
                "can compute again, such as files, instead of rows that were sent by scatter.",
                RuntimeWarning,
                stacklevel=2,
            )
            self._parts = left
        finally:
            tasks.release([*before, *results, *average])
        return self._epoch(training, done, refit)
