"""A network owns its parameters, one flat vector; a workspace owns the buffers of one run over data."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ._threads import suited
from .errors import whole_number
from .layers import Layer
from .losses import Loss
from .rows import as_rows
from .views import Array, Views

# Rows per block of a prediction: enough for fast matrix products, few enough to stay in the cache.
_BLOCK = 512


class Network:
    """Layers in a row, with all their parameters in one flat vector.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the logits.
    n_in : int
        Number of features.
    dtype : {"float32", "float64"}, default="float32"
        The type that parameters are kept and everything is computed in.
    seed : int, numpy.random.Generator or None, default=None
        Of the initial parameters.

    Attributes
    ----------
    theta : ndarray of shape (n_parameters,)
        All parameters: first those with an L2 penalty (weights), then the others (biases).
    penalised : ndarray
        The first part of theta.
    parameters : tuple of Views, one per layer
        Its parameters by name, as views of theta. Assignment sets them:
        ``network.parameters[0].W = W0``.
    widths : list of int
        Width of the input and of each layer's output.

    Examples
    --------
    >>> from tinyclf import Dense, ReLU
    >>> network = Network([Dense(3), ReLU(), Dense(2)], n_in=4, seed=0)
    >>> network.parameters[0].W = np.ones((4, 3))
    >>> network.theta[:12].sum()
    np.float32(12.0)
    >>> network.logits(np.ones((5, 4))).shape
    (5, 2)
    """

    def __init__(
        self, layers: Sequence[Layer], n_in: int, *, dtype: DTypeLike = "float32", seed: Any = None
    ) -> None:
        if isinstance(layers, Layer):
            raise TypeError(f"layers must be a list of layers, got {layers!r}")
        self.layers = tuple(layers)
        self.dtype = np.dtype(dtype).newbyteorder("=")
        if not self.layers:
            raise ValueError("a network needs at least one layer")
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(
                f"dtype must be float32 or float64, got {self.dtype}; narrower types overflow in training"
            )
        rng = np.random.default_rng(seed)
        self.widths = [whole_number("n_in", n_in, 1)]
        initial = []
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers must be instances of Layer, got {layer!r}")
            initial.append(layer.parameters(self.widths[-1], rng))
            if not isinstance(layer.decayed, tuple) or not set(layer.decayed) <= set(initial[-1]):
                raise ValueError(
                    f"decayed must be a tuple of names of parameters, got {layer.decayed!r} in "
                    f"{type(layer).__name__}, whose parameters are {list(initial[-1])}"
                )
            n_out = layer.n_out(self.widths[-1])
            self.widths.append(whole_number(f"n_out of {type(layer).__name__}", n_out, 1))
        self._shapes = [{name: np.shape(a) for name, a in arrays.items()} for arrays in initial]
        self._bind(np.empty(sum(np.size(a) for arrays in initial for a in arrays.values()), self.dtype))
        for views, arrays in zip(self.parameters, initial, strict=True):
            for name, array in arrays.items():
                setattr(views, name, array)

    def _bind(self, theta: Array) -> None:
        self._theta = theta
        self.parameters = tuple(self.split(theta))
        n = sum(
            views.__dict__[name].size
            for layer, views in zip(self.layers, self.parameters, strict=True)
            for name in layer.decayed
        )
        self.penalised = theta[:n]

    @property
    def theta(self) -> Array:
        """All parameters; assigning writes into the vector."""
        return self._theta

    @theta.setter
    def theta(self, values: Array) -> None:
        if values is not self._theta:
            Views(theta=self._theta).theta = values

    def split(self, vector: Array) -> list[Views]:
        """Views of a vector laid out like theta, per layer and by name."""
        parts: list[dict[str, Array]] = [{} for _ in self.layers]
        start = 0
        for decayed in (True, False):
            for layer, shapes, arrays in zip(self.layers, self._shapes, parts, strict=True):
                for name, shape in shapes.items():
                    if (name in layer.decayed) == decayed:
                        size = int(np.prod(shape))
                        arrays[name] = vector[start : start + size].reshape(shape)
                        start += size
        return [Views(**arrays) for arrays in parts]

    def forward(self, tapes: list[Views], x: Array, n_layers: int | None = None) -> Array:
        """Run the rows x (B, n_in) through the first layers, or all, and return the last output.

        For all layers these are the logits. What is returned is a buffer of the tapes.
        """
        if tapes[0].x is not x:
            tapes[0].bind(x=x)
        n_layers = n_layers or len(tapes)
        for i in range(n_layers):
            self.layers[i].forward(self.parameters[i], tapes[i])
        y: Array = tapes[n_layers - 1].y
        return y

    def backward(self, tapes: list[Views], gradient: list[Views]) -> None:
        """Overwrite the gradient of all parameters, given the gradient dy of the logits in the last tape."""
        for i in range(len(tapes) - 1, -1, -1):
            if tapes[i].dy is None:  # nothing from here down has parameters
                break
            self.layers[i].backward(self.parameters[i], gradient[i], tapes[i])

    def logits(self, X: Any) -> Array:
        """Return the output of the last layer, shape (n, n_out); see `outputs` for X and the errors."""
        return self.outputs(X, len(self.layers))

    def outputs(self, X: Any, n_layers: int) -> Array:
        """Output of the first ``n_layers`` layers, in blocks: extra memory does not grow with the rows.

        Parameters
        ----------
        X : array_like or SciPy sparse matrix of shape (n, n_in)
        n_layers : int
            From 1 to the number of layers.

        Returns
        -------
        ndarray of shape (n, width of the last of these layers)

        Raises
        ------
        ValueError
            If X has another width, or an entry that is not a finite number of the computation's type.
        """
        X = X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)
        if X.ndim != 2:
            raise ValueError(f"the input must have shape (n, {self.widths[0]}), got {X.shape}")
        n = X.shape[0]
        y = np.empty((n, self.widths[n_layers]), self.dtype)
        workspace = Workspace(self, min(n, _BLOCK), training=False)
        with suited(self.multiplications(min(n, _BLOCK))), np.errstate(all="ignore"):
            for start in range(0, max(n, 1), _BLOCK):
                rows = as_rows(X[start : start + _BLOCK], self.dtype, self.widths[0], first_row=start)
                tapes = workspace.tapes(len(rows)).layers
                y[start : start + _BLOCK] = self.forward(tapes, rows.all(), n_layers)
        return y

    def multiplications(self, n: int) -> int:
        """Return how many the largest matrix product of n rows takes."""
        return n * max((int(np.prod(s)) for shapes in self._shapes for s in shapes.values()), default=0)

    def copy(self, dtype: DTypeLike | None = None) -> Network:
        """Return an independent network with the same layers and parameters, of another type if asked."""
        twin = copy.deepcopy(self)
        if dtype is not None:
            twin.dtype = np.dtype(dtype)
            twin._bind(twin.theta.astype(dtype))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        # The parameters are views of theta, which copies and pickles would tear apart.
        return {k: v for k, v in vars(self).items() if k not in ("parameters", "penalised")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._bind(np.array(state["_theta"]))  # a copy: memory-mapped arrays are read-only

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Network([{layers}], n_in={self.widths[0]}, dtype={self.dtype.name!r})"


class Tapes(NamedTuple):
    """The arrays of one batch, by name: see `layers` and `Loss.rows`."""

    layers: list[Views]
    loss: Views
    x: Any  # room for the rows that the first layer reads; in training only


class Workspace:
    """The buffers of one run of a network over batches; never shared between runs, threads or pickles.

    Parameters
    ----------
    network : Network
    batch_size : int
        The largest number of rows of a batch.
    training : bool, default=True
        Whether backward will run; if not, there are no gradients, and outputs are stored over inputs
        wherever a layer allows it.
    loss : Loss, optional
        The loss to keep buffers for, in training.
    rng : numpy.random.Generator, optional
        For layers that draw random numbers in training.

    Attributes
    ----------
    gradient : ndarray like theta
        And ``gradients``, its views per layer; in training only.
    scratch : ndarray like the penalised parameters
        In training only.
    """

    def __init__(
        self,
        network: Network,
        batch_size: int,
        *,
        training: bool = True,
        loss: Loss | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._arrays: list[dict[str, Array | None]] = []
        self._flags = {"training": training, "rng": rng}
        self._sliced: dict[int, Tapes] = {}
        dtype, layers = network.dtype, network.layers

        def new(width: int) -> Array:
            return np.empty((batch_size, width), dtype)

        y = new(network.widths[0]) if training else None
        below: Layer | None = None
        for layer, (n_in, n_out) in zip(layers, pairwise(network.widths), strict=True):
            x = y
            # The first layer must not write over the caller's rows.
            keep = below is None or (training and below.reads_y)
            y = x if layer.in_place and not keep else new(n_out)
            self._arrays.append({"x": x, "y": y, "dy": None, "dx": None})
            buffers = layer.buffers(n_in)
            if taken := {"x", "y", "dy", "dx", "training", "rng"} & set(buffers):
                raise ValueError(f"the tape of {type(layer).__name__} has a {taken.pop()!r} of its own")
            self._arrays[-1].update({k: b.array(batch_size, dtype) for k, b in buffers.items()})
            below = layer
        buffers = {} if loss is None else loss.buffers(network.widths[-1], dtype)
        self._loss_arrays = {k: b.array(batch_size, dtype) for k, b in buffers.items()}
        if training:
            self.gradient = np.empty_like(network.theta)
            self.gradients = network.split(self.gradient)
            self.scratch = np.empty_like(network.penalised)
            dy = new(network.widths[-1])
            lowest = next((i for i, p in enumerate(network.parameters) if vars(p)), len(layers))
            for i in range(len(layers) - 1, lowest - 1, -1):
                dx = None if i == lowest else dy if layers[i].in_place else new(network.widths[i])
                self._arrays[i].update(dy=dy, dx=dx)
                if dx is not None:
                    dy = dx

    def tapes(self, n: int) -> Tapes:
        """Tapes for a batch of n rows: leading slices of the buffers, made once per n."""
        if n not in self._sliced:
            self._sliced[n] = self._slice(n)
        return self._sliced[n]

    def _slice(self, n: int) -> Tapes:
        arrays = [a for named in self._arrays for a in named.values() if a is not None]
        first = {id(a): a[:n] for a in arrays}  # one slice per array, so that y stored over x stays x
        layers = [
            Views(**{name: None if a is None else first[id(a)] for name, a in named.items()}, **self._flags)
            for named in self._arrays
        ]
        loss = Views(**{name: a[:n] for name, a in self._loss_arrays.items()})
        return Tapes(layers, loss, layers[0].x)
