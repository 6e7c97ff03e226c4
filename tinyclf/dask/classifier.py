"""DaskTinyClassifier: TinyClassifier for Dask collections, trained on the cluster that holds them."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils.metaestimators import available_if

from ..estimator.classifier import TinyClassifier, warn_caller
from ..estimator.plan import FitPlan
from ..nn.arrays import Array
from . import worker
from .cluster import ClusterDataset, ClusterTrainer, Parts, Tasks, delayed_partitions, is_dask, partitions_of

# With max_iter="auto": fewer steps per worker need more epochs, see `DaskTinyClassifier`.
_STEPS = 5000


def _can_train_in_parts(estimator: Any) -> bool:
    raise AttributeError(
        "partial_fit is not available on a cluster; call fit, or partial_fit of the result of to_local"
    )


class DaskTinyClassifier(TinyClassifier):
    """TinyClassifier for Dask arrays and data frames, trained on the workers of a cluster.

    In each epoch, each worker trains a copy of the network on its own rows, and then the copies are
    averaged (local SGD). Rows stay on the workers: the client has only the rows that are held out, and a
    sample of the others, at most 100,000 of each. The result is the same kind of model as that of
    `TinyClassifier`, see `to_local`.

    Parameters
    ----------
    hidden_layer_sizes, activation, **params
        The parameters of `TinyClassifier`, with the same defaults. What differs on a cluster:

        - ``max_iter="auto"`` is 40 epochs, and up to 40 times the number of workers if a worker has fewer
          than 5,000 steps in these: the average of copies that are trained on few rows needs more epochs.
          ``n_iter_no_change`` is multiplied by the same factor.
        - ``validation_fraction`` is lowered so that at most 100,000 rows are held out, on each worker the
          same fraction of each class. With fewer than 500 rows none are held out.
        - ``batch_size`` is the number of rows per step of one worker.
        - The quantiles for ``scale_inputs`` are merged from those of the workers.
        - ``solver="lbfgs"`` is not available.
    client : distributed.Client, optional
        The client of the cluster; by default the current one. It is not part of a pickle.

    Notes
    -----
    The partitions are distributed over the workers in turn, one group of partitions per worker, whatever the
    number of its threads. With an int as ``random_state``, a fit gives the same bits for the same partitions
    and the same number of workers, also if a worker is lost: Dask then computes its part of the epoch again
    on another worker.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from sklearn.datasets import load_digits
    >>> from tinyclf.dask import DaskTinyClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = da.from_array(X, chunks=(450, 64)), da.from_array(y, chunks=450)
    >>> with Client(processes=False, n_workers=2, dashboard_address=":0") as client:
    ...     model = DaskTinyClassifier(max_iter=20, random_state=0, client=client).fit(X, y)
    ...     accuracy = model.score(X, y)
    >>> accuracy > 0.95
    True
    >>> model.to_local()
    TinyClassifier(max_iter=20, random_state=0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TinyClassifier._parameter_constraints,
        "client": "no_validation",  # type: ignore[dict-item]  # `_client` checks it
    }

    _doc_link_template = TinyClassifier._doc_link_template.replace(
        "generated/tinyclf.", "generated/tinyclf.dask."
    )

    def __init__(
        self, hidden_layer_sizes: Any = (100,), activation: Any = "relu", *, client: Any = None, **params: Any
    ) -> None:
        super().__init__(hidden_layer_sizes, activation, **params)
        self.client = client

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on the cluster.

        Ctrl-C stops the training as in `TinyClassifier.fit`. After the fit, nothing is left on the cluster.

        Parameters
        ----------
        X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
            The lengths of the partitions need not be known, and partitions may be empty. The rows of the
            partitions of a worker must fit into its memory.
        y : dask.array.Array, or dask.dataframe.Series or DataFrame
            As in `TinyClassifier.fit`, with the partitions of X.
        sample_weight : dask.array.Array or dask.dataframe.Series of shape (n_samples,), optional
            As in `TinyClassifier.fit`, with the partitions of X.
        X_val, y_val, sample_weight_val : optional
            A validation set as in `TinyClassifier.fit`, which is read on the client.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As in `TinyClassifier.fit`; the message names the partition, from 0, and the row in it. Also if
            there is no client, or it is closed.
        """
        with Tasks(self._client()) as tasks:

            def read() -> ClusterDataset:
                parts = Parts.read(self, tasks, X, y, sample_weight)
                return ClusterDataset.of(parts, self, X_val, y_val, sample_weight_val)

            found = self._fit(read, ClusterTrainer, X, y, sample_weight)
        warn_caller(found)
        return self

    def _plan(self, data: Any) -> FitPlan:
        if self.solver == "lbfgs":
            raise ValueError(
                'solver="lbfgs" is not available on a cluster, where the copies of the network that are '
                'trained by mini-batches are averaged; use "adam" or "sgd"'
            )
        plan = FitPlan.resolve(self, data)
        if plan.validation == "stratified":  # on each worker the same fraction of each class
            n_held = data.n_held_evenly(plan.validation_fraction)
            if n_held == 0:
                raise ValueError(
                    f"validation_fraction={self.validation_fraction} of {data.n_rows} rows on "
                    f"{len(data.parts.facts)} workers holds no rows out for early_stopping=True; increase "
                    "it, pass X_val and y_val, or set early_stopping=False"
                )
            plan = replace(plan, validation="even", n_validation=n_held)
        if plan.validation == "even":
            fraction, n_train = data.held_fraction(plan.validation_fraction), data.n_rows - plan.n_validation
            plan = replace(plan, validation_fraction=fraction, n_train=n_train)
        if self.max_iter == "auto":
            n_workers = len(data.parts.facts)
            steps = plan.max_iter * plan.n_train / (n_workers * plan.batch_size)
            longer = min(float(n_workers), max(1.0, _STEPS / steps))
            plan = replace(
                plan,
                max_iter=math.ceil(longer * plan.max_iter),
                n_iter_no_change=longer * plan.n_iter_no_change,
            )
        return plan

    @available_if(_can_train_in_parts)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any) -> Self:
        """Not available on a cluster."""
        raise NotImplementedError

    # --- the cluster --------------------------------------------------------------------------------

    @property
    def client_(self) -> Any:
        """The client of the cluster: the parameter ``client``, or the current client."""
        _ = self._fitted
        try:
            return self._client()
        except ValueError as error:  # scikit-learn's HTML repr reads all attributes
            raise AttributeError(error) from None

    def _client(self) -> Any:
        """Return the client, or raise an error if it cannot be used."""
        try:
            from distributed import Client, default_client
        except ImportError:
            raise ImportError(
                'DaskTinyClassifier needs Dask, which is not installed: pip install "dask[distributed]"'
            ) from None
        client = self.client
        if client is None:
            try:
                client = default_client()  # type: ignore[no-untyped-call]
            except ValueError:
                raise ValueError(
                    "there is no Dask client; create one, such as dask.distributed.Client(), or pass one as "
                    "client"
                ) from None
        if not isinstance(client, Client) or client.asynchronous:
            raise TypeError(f"client must be a synchronous dask.distributed.Client, got {client!r}")
        if client.status != "running":
            raise ValueError(f"the client is {client.status}, got {client!r}; create a new one, and pass it")
        return client

    def to_local(self) -> TinyClassifier:
        """Return the model as a TinyClassifier, which is independent of the cluster.

        Returns
        -------
        TinyClassifier
            Fitted if this model is.
        """
        return self._local(self.__dict__)

    def save(self, path: str | Path, custom: Mapping[str, Any] | None = None) -> None:
        """Save the model as a TinyClassifier, see `to_local` and `TinyClassifier.save`."""
        self.to_local().save(path, custom)

    def _unfitted(self) -> TinyClassifier:
        """Return a TinyClassifier that reads rows like this one; if it continues a fit, with its features."""
        names = {"n_features_in_", "feature_names_in_"} if self._continued else set()
        local = self._local({name: value for name, value in vars(self).items() if name in names})
        return local.set_params(scoring=None)  # only the client scores, and it may have no pickle

    def _local(self, attributes: dict[str, Any]) -> TinyClassifier:
        parameters = self.get_params(deep=False)
        del parameters["client"]
        local = TinyClassifier(**parameters)
        fitted = {
            name: value for name, value in attributes.items() if name not in self.get_params(deep=False)
        }
        local.__dict__.update(fitted)
        return local

    # --- predictions --------------------------------------------------------------------------------

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each row; see `TinyClassifier.predict`.

        Parameters
        ----------
        X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
            Or rows in memory.

        Returns
        -------
        dask.array.Array of shape (n_samples,), or (n_samples, n_labels)
            It is computed when it is needed. For rows in memory, the result of a TinyClassifier.
        """
        return self._lazily("predict", X)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class; see `predict` and `TinyClassifier.predict_proba`."""
        return self._lazily("predict_proba", X)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the log-probabilities; see `predict` and `TinyClassifier.predict_log_proba`."""
        return self._lazily("predict_log_proba", X)

    def decision_function(self, X: Any) -> Any:
        """Return the calibrated logits; see `predict` and `TinyClassifier.decision_function`."""
        return self._lazily("decision_function", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy, which is computed at once; see `TinyClassifier.score`.

        Parameters
        ----------
        X, y, sample_weight
            Collections with the same partitions, as in `fit`, or rows in memory.

        Returns
        -------
        float
        """
        _, local = self._fitted, self.to_local()
        if not is_dask(X):
            return local.score(X, y, sample_weight)
        from dask import delayed

        model = delayed(local)
        parts = enumerate(partitions_of(X, y, sample_weight))
        with Tasks(self._client()) as tasks:
            found = tasks.results(tasks.compute([delayed(worker.hits)(model, i, part) for i, part in parts]))
        right, total = np.sum(found, axis=0)
        if not total > 0.0:
            raise ValueError(f"the weights of the rows sum to {total}; pass rows of positive weight")
        return float(right / total)

    def _lazily(self, method: str, X: Any) -> Any:
        """Return what a method of the local model returns for X, for Dask collections as a Dask array."""
        expected, local = self._fitted.encoding.n_features, self.to_local()
        if not is_dask(X):
            return getattr(local, method)(X)
        if X.ndim != 2 or X.shape[1] != expected:
            got = f"{X.shape[1]} columns" if X.ndim == 2 else f"{X.ndim} dimensions"
            raise ValueError(
                f"X must have shape (n_samples, {expected}), with the features of fit, got {got}; select the "
                "same columns"
            )
        from dask import delayed
        from dask.array import concatenate, from_delayed

        empty = _empty(local, method)
        model, parts = delayed(local), delayed_partitions(X, optimized=False)
        lengths = X.chunks[0] if hasattr(X, "chunks") else [np.nan] * len(parts)
        blocks = [
            from_delayed(
                delayed(worker.answers)(model, method, empty, part), (n, *empty.shape[1:]), meta=empty
            )
            for n, part in zip(lengths, parts, strict=True)
        ]
        return concatenate(blocks, allow_unknown_chunksizes=True)

    # --- copies -------------------------------------------------------------------------------------

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy with the same client, which cannot be copied itself."""
        made = copy.copy(self)
        made.client = None
        made = super(DaskTinyClassifier, made).__sklearn_clone__()
        made.client = self.client
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a pickle, without the client."""
        made = copy.copy(self)
        made.client = None
        return super(DaskTinyClassifier, made).__getstate__()


def _signature(function: Any) -> inspect.Signature:
    """Return the signature of a function or class with the parameter ``client``."""
    own = inspect.signature(function)
    client = inspect.Parameter("client", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any)
    return own.replace(parameters=[*own.parameters.values(), client])


# scikit-learn and Sphinx read the names and defaults of all parameters from these.
DaskTinyClassifier.__init__.__signature__ = _signature(TinyClassifier.__init__)  # type: ignore[attr-defined]
DaskTinyClassifier.__signature__ = _signature(TinyClassifier)


class _OneRow(TinyClassifier):
    """A fitted model whose network has outputs of 0 for one row, whatever X is."""

    def _outputs(self, X: Any, function: Callable[[Array], Array], n_layers: int | None = None) -> Array:
        return function(np.zeros((1, self.network_.widths[-1]), self.network_.dtype))


def _empty(local: TinyClassifier, method: str) -> Array:
    """Return what a method of a fitted model would return for X without rows."""
    model = _OneRow()
    model.__dict__.update(local.__dict__)
    found = getattr(model, method)(None)
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)[:0]
