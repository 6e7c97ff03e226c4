"""The network: a sequence of layers, with their parameters in one flat vector."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .arrays import PARAMETER_BLOCK, ROW_BLOCK, Array, Views
from .batches import Rows, UncheckedRows
from .errors import whole_number
from .layers import Layer
from .passes import run_backward, run_forward
from .workspace import Workspace

# If a block has fewer rows, and they are narrow, its last row is repeated: BLAS computes products of fewer
# rows in another way, which rounds differently, so the prediction for a row would change more if it were
# predicted alone. Products of wider rows round differently for each number of rows anyway.
_FEWEST_ROWS, _NARROW = 4, 32

# With wider layers, ROW_BLOCK rows are beyond the cache: 1797 rows of eight members with 100 units take two
# to three times as long as in blocks of half as many rows.
_WIDE = 512


class Network:
    """A sequence of layers, with all their parameters in one flat vector.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the logits.
    n_in : int
        Number of features.
    dtype : {"float32", "float64"}, default="float32"
        Type of the parameters and of all computations.
    seed : int, numpy.random.Generator or None, default=None
        Seed of the initial parameters.

    Attributes
    ----------
    theta : ndarray of shape (n_parameters,)
        All parameters: first those with an L2 penalty (weights), then the others (biases).
    regularized : ndarray
        View of the first part of theta: the parameters with an L2 penalty.
    parameters : tuple of Views, one per layer
        The parameters of each layer by name, as views of theta. Assignment writes into theta:
        ``network.parameters[0].W = W0``.
    widths : list of int
        Width of the input and of each layer's output.
    largest_product : int
        Multiplications per row in the largest matrix product of a layer: the size of the largest
        parameter array, or buffer with ``per_row=False``, such as the weights of all members.

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
            initial.append(_parameters(layer, self.widths[-1], rng))
            if not isinstance(layer.regularized, tuple) or not set(layer.regularized) <= set(initial[-1]):
                raise ValueError(
                    f"regularized must be a tuple of names of parameters, got {layer.regularized!r} in "
                    f"{type(layer).__name__}, whose parameters are {list(initial[-1])}"
                )
            n_out = layer.n_out(self.widths[-1])
            self.widths.append(whole_number(f"n_out of {type(layer).__name__}", n_out, 1))
        self._shapes = [{name: np.shape(a) for name, a in arrays.items()} for arrays in initial]
        sizes = [int(np.size(a)) for arrays in initial for a in arrays.values()]
        n_parameters = sum(sizes)
        for layer, n in zip(self.layers, self.widths, strict=False):
            sizes += [int(np.prod(b.shape)) for b in layer.buffers(n).values() if not b.per_row]
        self.largest_product = max(sizes, default=0)
        self._bind(np.empty(n_parameters, self.dtype))
        for views, arrays in zip(self.parameters, initial, strict=True):
            for name, array in arrays.items():
                setattr(views, name, array)

    def _bind(self, theta: Array) -> None:
        self._theta = theta
        self.parameters = tuple(self.split(theta))
        n = sum(
            views.__dict__[name].size
            for layer, views in zip(self.layers, self.parameters, strict=True)
            for name in layer.regularized
        )
        self.regularized = theta[:n]
        # Workspaces for predictions of few rows: making one takes twice as long as the rest of a prediction.
        # A thread takes one off the list, and puts it back.
        self._spare: list[Workspace] = []

    @property
    def theta(self) -> Array:
        """All parameters; assigning writes into the vector."""
        return self._theta

    @theta.setter
    def theta(self, values: Array) -> None:
        if values is not self._theta:
            Views(theta=self._theta).theta = values

    def split(self, vector: Array) -> list[Views]:
        """Return views of a vector with the layout of theta: the arrays of each layer by name."""
        parts: list[dict[str, Array]] = [{} for _ in self.layers]
        start = 0
        for regularized in (True, False):
            for layer, shapes, arrays in zip(self.layers, self._shapes, parts, strict=True):
                for name, shape in shapes.items():
                    if (name in layer.regularized) == regularized:
                        size = int(np.prod(shape))
                        arrays[name] = vector[start : start + size].reshape(shape)
                        start += size
        return [Views(**arrays) for arrays in parts]

    def workspace(self, batch_size: int, **options: Any) -> Workspace:
        """Return new buffers for this network; options are those of `Workspace`."""
        lowest = next((i for i, p in enumerate(self.parameters) if vars(p)), len(self.layers))
        try:
            return Workspace(self.layers, self.widths, self.dtype, batch_size, lowest=lowest, **options)
        except MemoryError as error:
            raise ValueError(
                f"there is not enough memory for {batch_size} rows of a network with the widths "
                f"{self.widths} ({error}); use fewer units or members, or smaller batches"
            ) from None

    def forward(self, tapes: list[Views], x: Array, n_layers: int | None = None) -> Array:
        """Run the rows x (B, n_in) through the first ``n_layers`` layers and return the last output.

        By default all layers are run, and the output is the logits. It is a buffer of the tapes.
        """
        if tapes[0].x is not x:
            tapes[0].bind(x=x)
        n_layers = n_layers or len(tapes)
        for i in range(n_layers):
            run_forward(self.layers[i], self.parameters[i], tapes[i])
        y: Array = tapes[n_layers - 1].y
        return y

    def backward(self, tapes: list[Views], gradient: list[Views]) -> None:
        """Write the gradient of all parameters, given that of the logits in ``tapes[-1].dy``."""
        for i in range(len(tapes) - 1, -1, -1):
            if tapes[i].dy is None:  # neither this layer nor an earlier one has parameters
                break
            run_backward(self.layers[i], self.parameters[i], gradient[i], tapes[i])

    def logits(self, X: Any) -> Array:
        """Return the output of the last layer, shape (n, n_out); see `outputs` for X and the errors."""
        return self.outputs(X)

    def outputs(
        self, X: Any, n_layers: int | None = None, function: Callable[[Array], Array] = np.asarray
    ) -> Array:
        """Return the output of the first layers, or a function of it, computed block by block.

        Parameters
        ----------
        X : array_like or SciPy sparse matrix of shape (n, n_in), or Rows
        n_layers : int, optional
            Number of layers to run, at least 1; all by default.
        function : callable, optional
            Maps the output of a block of rows to an array with as many rows.

        Returns
        -------
        ndarray of shape (n, width of the last of these layers), or (n, ...) as ``function`` returns

        Raises
        ------
        ValueError
            If X has another width, or an entry that is not a finite number of the network's type,
            or ``function`` returns another number of rows.
        TypeError
            If the entries of X are not real numbers.
        """
        sparse = self.layers[0].reads_sparse
        rows = X if isinstance(X, Rows) else UncheckedRows(X, self.dtype, self.widths[0], sparse)
        n = len(rows)
        result: Array | None = None
        size = ROW_BLOCK if max(self.widths[1:]) <= _WIDE else ROW_BLOCK // 2
        few = n <= _FEWEST_ROWS and self.largest_product <= PARAMETER_BLOCK
        try:
            workspace = self._spare.pop() if few else None
        except IndexError:  # there is none, or other threads use them all
            workspace = None
        workspace = workspace or self.workspace(min(max(n, _FEWEST_ROWS), size), training=False)
        with np.errstate(all="ignore"):
            for start in range(0, max(n, 1), size):
                x = rows.block(start, start + size)
                m = x.shape[0]
                if 0 < m < _FEWEST_ROWS and self.widths[0] <= _NARROW and isinstance(x, np.ndarray):
                    x = x[np.minimum(np.arange(_FEWEST_ROWS), m - 1)]
                    x.flags.writeable = False  # like blocks that are not copied
                tapes = workspace.tapes(x.shape[0]).layers
                y = np.asarray(function(self.forward(tapes, x, n_layers)[:m]))
                if y.shape[:1] != (m,):
                    raise ValueError(
                        f"function must return an array with one entry per row, {m}, got shape {y.shape}"
                    )
                if result is None:
                    result = np.empty((n, *y.shape[1:]), y.dtype)
                result[start : start + size] = y
                tapes[0].bind(x=None)
                del x  # frees the block before the next one is read
        if few:
            self._spare.append(workspace)
        assert result is not None  # there is at least one block
        return result

    def copy(self, dtype: DTypeLike | None = None) -> Network:
        """Return an independent copy; with ``dtype``, its parameters are converted to this type."""
        made = copy.deepcopy(self)
        if dtype is not None:
            made.dtype = np.dtype(dtype)
            made._bind(made.theta.astype(dtype))
        return made

    def __getstate__(self) -> dict[str, Any]:
        # These are views of theta, which would be independent arrays in a copy or a pickle.
        return {k: v for k, v in vars(self).items() if k not in ("parameters", "regularized", "_spare")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._bind(np.array(state["_theta"]))  # a copy: memory-mapped arrays are read-only

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Network([{layers}], n_in={self.widths[0]}, dtype={self.dtype.name!r})"


def _parameters(layer: Layer, n_in: int, rng: np.random.Generator) -> dict[str, Array]:
    """Return the initial parameters of a layer, or raise a ValueError if they do not fit into memory."""
    try:
        return layer.parameters(n_in, rng)
    except (MemoryError, OverflowError) as error:
        reason = str(error)
    except ValueError as error:  # NumPy's error for a shape beyond the range of its indices
        reason = str(error)
        if not ("too big" in reason or "Maximum allowed" in reason):
            raise
    raise ValueError(
        f"there is not enough memory for the parameters of {layer!r} with {n_in} inputs ({reason}); use "
        "fewer units or members"
    )
