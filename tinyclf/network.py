"""A network owns its parameters, in one flat vector."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ._threads import one_thread
from .errors import whole_number
from .layers import Layer
from .rows import as_rows
from .scaling import Scaling
from .views import Array, Views, as_array
from .workspace import Workspace

# Rows per block of a prediction: enough for fast matrix products, few enough to stay in the cache.
_BLOCK = 1024


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
    scaling : Scaling or None
        How the columns of the input are scaled before the first layer reads them; None, as at the start, is
        not at all. To be assigned before training; later `rescale` changes it.

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
        self.scaling: Scaling | None = None
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
        sizes = [np.size(a) for arrays in initial for a in arrays.values()]
        self._largest = max(sizes, default=0)
        self._bind(np.empty(sum(sizes), self.dtype))
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

    def rescale(self, scaling: Scaling | None) -> None:
        """Scale the input otherwise from now on; the first layer, which must be Dense, is rewritten for it.

        The network computes what it did, see `Scaling.carry_over`. (Before training, assign to ``scaling``.)
        """
        p, n_in = self.parameters[0], self.widths[0]
        old, new = self.scaling or Scaling.none(n_in), scaling or Scaling.none(n_in)
        old.carry_over(p.W, p.b, new)
        self.scaling = scaling

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
        return self.outputs(X)

    def outputs(
        self, X: Any, n_layers: int | None = None, link: Callable[[Array], Array] = np.asarray
    ) -> Array:
        """Output of the first layers, or what ``link`` makes of it; extra memory does not grow with the rows.

        Parameters
        ----------
        X : array_like or SciPy sparse matrix of shape (n, n_in)
        n_layers : int, optional
            How many layers, at least 1; all by default.
        link : callable, optional
            From the outputs of a block of rows to an array with as many rows; it is called block by block.

        Returns
        -------
        ndarray of shape (n, width of the last of these layers), or (n, ...) as link has it

        Raises
        ------
        ValueError
            If X has another width, or an entry that is not a finite number of the computation's type, or
            link returns another number of rows.
        """
        X = X.tocsr() if hasattr(X, "tocsr") else as_array("the input", X)
        if X.ndim != 2:
            raise ValueError(f"the input must have shape (n, {self.widths[0]}), got {X.shape}")
        n = X.shape[0]
        result: Array | None = None
        workspace = Workspace(self, min(n, _BLOCK), training=False)
        with one_thread(min(n, _BLOCK) * self._largest), np.errstate(all="ignore"):
            for start in range(0, max(n, 1), _BLOCK):
                block, sparse = X[start : start + _BLOCK], self.layers[0].reads_sparse
                rows = as_rows(block, self.dtype, self.widths[0], start, sparse, self.scaling)
                y = np.asarray(link(self.forward(workspace.tapes(len(rows)).layers, rows.all(), n_layers)))
                if y.shape[:1] != (len(rows),):
                    raise ValueError(
                        f"link must return an array with one entry per row, {len(rows)}, got shape {y.shape}"
                    )
                if result is None:
                    result = np.empty((n, *y.shape[1:]), y.dtype)
                result[start : start + _BLOCK] = y
        assert result is not None  # there is one block at least
        return result

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
