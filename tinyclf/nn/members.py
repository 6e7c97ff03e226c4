"""Members: an ensemble of k networks, computed as one network.

All members read the same rows. In the first layer they share the weights W, and each member multiplies the
inputs by its own factors r, which start as random signs plus noise. In later layers, each member has its own
weights. The outputs of the members are concatenated: a layer of k members with h units each has the output
(B, k h), and the first h columns belong to the first member. Layers without parameters, such as ReLU, need
no changes.

Training minimizes the mean of the members' losses, not the loss of the mean prediction, so each member
learns to be right by itself. The prediction is the mean of the members' probabilities. Its log-loss is at
most the mean of the members' log-losses, since -log is convex.

>>> from tinyclf import Network, ReLU, train, Adam, SoftmaxCrossEntropy
>>> X, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])
>>> layers = [SharedDense(8, n_members=4), ReLU(), MemberDense(2, n_members=4)]
>>> network, loss = Network(layers, n_in=2, seed=0), MemberLoss(SoftmaxCrossEntropy(), n_members=4)
>>> for epoch in train(network, X, y, loss=loss, optimizer=Adam(0.05), epochs=100, batch_size=4, seed=0):
...     pass
>>> loss.probabilities(network.logits(X)).round(1)
array([[1., 0.],
       [0., 1.],
       [0., 1.],
       [1., 0.]])

Source: Gorishniy, Kotelnikov and Babenko, "TabM: advancing tabular deep learning with parameter-efficient
ensembling" (2024); the layers are those of its variant TabM-mini.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import kernels
from .arrays import Array, Buffer, Views
from .errors import whole_number
from .functional import as_logits, log_sigmoid, sigmoid
from .layers import Dense, matrix_product, overrides
from .logsumexp import log_softmax_rows, softmax_rows
from .losses import Loss

_LARGEST = float(np.finfo(np.float64).max)

# If a mean of probabilities is larger than this, terms that underflow do not change it.
_TINY = 1e-290


@dataclass(frozen=True)
class _MemberLayer(Dense):
    """Base class of dense layers with k members, each with ``units`` outputs."""

    n_members: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("n_members", self.n_members, 1)

    def n_out(self, n_in: int) -> int:
        return int(self.n_members * self.units)


@dataclass(frozen=True)
class SharedDense(_MemberLayer):
    """First layer of k members, which share its weights: y_m = (x * r_m) W + b_m for each member m.

    W (n_in, units) is shared. The factors r (k, n_in) and the biases b (k, units) have one row for each
    member. r starts as random signs plus normal noise with a standard deviation of 0.5.

    All members are computed in one matrix product. Let W_m be the matrix with the rows r_mi W_i, so that
    x W_m = (x * r_m) W. The concatenated W_m are one matrix (n_in, k units). If G_m = x' dy_m is the
    gradient with respect to W_m, then dL/dW_ij = sum_m r_mi G_mij and dL/dr_mi = sum_j G_mij W_ij.

    Parameters
    ----------
    units : int
        Width of the output of each member, at least 1.
    init : callable, default=glorot_uniform
        ``init(rng, n_in, n_out)`` returns the initial W and b_m of a member; W is that of the last one.
    n_members : int
        k, at least 1.
    """

    # Without a penalty on r, the penalty on W would have little effect: W could shrink while r grows.
    regularized: ClassVar[tuple[str, ...]] = ("W", "r")

    def parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, Array]:
        k = self.n_members
        # With noise, members differ more than with signs alone, and their mean predicts better.
        r = rng.choice([-1.0, 1.0], (k, n_in)) + rng.normal(0.0, 0.5, (k, n_in))
        b = np.empty((k, self.units))
        for m in range(k):
            W, b[m] = self.init(rng, n_in, self.units)  # keeps the W of the last member
        return {"W": W, "r": r, "b": b}

    def n_parameters(self, n_in: int) -> int:
        return super().n_parameters(n_in) + int(self.n_members) * n_in

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        return {"W": Buffer((n_in, self.n_members, self.units), per_row=False)}

    @property
    def reads_sparse(self) -> bool:  # type: ignore[override]
        return not overrides(self, SharedDense, "forward", "backward", "product", "product_backward")

    def product(self, p: Any, t: Any) -> None:
        kernels.scaled_rows(p.r, p.W, t.W)
        matrix_product(t.x, _flat(t.W), t.y)

    def product_backward(self, p: Any, g: Any, t: Any) -> None:
        if t.dx is not None:
            t.dy.dot(_flat(t.W).T, t.dx)
        G = t.W  # overwrites the weights, which are no longer needed
        matrix_product(t.x.T, t.dy, _flat(G))
        kernels.scaled_rows_backward(G, p.r, p.W, g.W, g.r)

    def rescale_input(self, p: Any, growth: Array, shift: Array) -> None:
        p.b += (shift * p.r) @ p.W
        p.W *= growth[:, None]


@dataclass(frozen=True)
class MemberDense(_MemberLayer):
    """Later layer of k members, each with its own weights: y_m = x_m W_m + b_m for each member m.

    x_m (B, n_in / k) are the columns of the input that belong to member m. W (k, n_in / k, units) and
    b (k, units) contain the parameters of all members.

    Parameters
    ----------
    units : int
        Width of the output of each member, at least 1.
    init : callable, default=glorot_uniform
        ``init(rng, n_in / k, n_out)`` returns the initial W_m and b_m of a member.
    n_members : int
        k, at least 1; a divisor of ``n_in``.
    """

    def parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, Array]:
        k = self.n_members
        if n_in % k:
            raise ValueError(
                f"the input of {self} must have a multiple of {k} columns, got {n_in}; begin with "
                "SharedDense, and use the same n_members in all layers"
            )
        W, b = zip(*(self.init(rng, n_in // k, self.units) for _ in range(k)), strict=True)
        return {"W": np.array(W), "b": np.array(b)}

    def buffers(self, n_in: int) -> dict[str, Buffer]:
        k = self.n_members
        shape = (k, n_in) if self.units == 1 else (k, self.units, n_in // k)
        return {"W": Buffer(shape, per_row=False)}

    def product(self, p: Any, t: Any) -> None:
        k = self.n_members
        if self.units == 1:
            kernels.unit_products(t.x.reshape(len(t.x), k, -1), p.W.reshape(k, -1), t.y)
        else:
            np.matmul(by_member(t.x, k), p.W, out=by_member(t.y, k))

    def product_backward(self, p: Any, g: Any, t: Any) -> None:
        k = self.n_members
        if self.units == 1 and t.dx is not None:
            x, dx = (values.reshape(len(values), k, -1) for values in (t.x, t.dx))
            W, dW = p.W.reshape(k, -1), g.W.reshape(k, -1)
            kernels.unit_products_backward(x, W, t.dy, dW, dx, t.W)
            return
        x, dy = by_member(t.x, k), by_member(t.dy, k)
        np.matmul(x.transpose(0, 2, 1), dy, out=g.W)
        if t.dx is not None:
            t.W[...] = p.W.transpose(0, 2, 1)  # BLAS is faster if the rows are contiguous
            np.matmul(dy, t.W, out=by_member(t.dx, k))


def by_member(values: Array, n_members: int) -> Array:
    """Return the concatenated outputs (B, n) of k members as a view (k, B, n / k)."""
    return values.reshape(len(values), n_members, -1).transpose(1, 0, 2)


def _flat(W: Array) -> Array:
    return W.reshape(len(W), -1)


@dataclass(frozen=True)
class MemberLoss(Loss):
    """Mean of the losses of k members; the probabilities are the mean of the members' probabilities.

    Parameters
    ----------
    loss : Loss
        The loss of a member.
    n_members : int
        k, at least 1.
    """

    loss: Loss
    n_members: int

    def __post_init__(self) -> None:
        if not isinstance(self.loss, Loss):
            raise TypeError(f"loss must be an instance of Loss, got {self.loss!r}")
        whole_number("n_members", self.n_members, 1)

    @property
    def inverse_link(self) -> str:  # type: ignore[override]
        return self.loss.inverse_link

    def n_outputs(self, n_classes: int) -> int:
        return self.n_members * self.loss.n_outputs(n_classes)

    def targets(self, y: ArrayLike, n: int, n_outputs: int) -> Array:
        return self.loss.targets(y, n, self._per_member(n_outputs))

    def buffers(self, n_outputs: int, dtype: DTypeLike) -> dict[str, Buffer]:
        held = self.loss.buffers(self._per_member(n_outputs), dtype)
        shapes = {name: (b.shape,) if isinstance(b.shape, int) else b.shape for name, b in held.items()}
        return {name: b._replace(shape=(self.n_members, *shapes[name])) for name, b in held.items()}

    def _per_member(self, n_outputs: int) -> int:
        if n_outputs % self.n_members:
            raise ValueError(
                f"the number of outputs must be a multiple of n_members={self.n_members}, got {n_outputs}"
            )
        return n_outputs // self.n_members

    def rows(self, z: Array, y: Array, dz: Array, t: Any) -> Array:
        z, y, dz, t = self._members(z, y, dz, t)
        losses = self.loss.rows(z, y, dz, t)
        dz /= self.n_members
        mean: Array = losses.reshape(-1, self.n_members).mean(axis=1)
        return mean

    def value_and_grad(self, z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
        w = None if w is None else np.repeat(w, self.n_members)
        z, y, dz, t = self._members(z, y, dz, t)
        return self.loss.value_and_grad(z, y, w, dz, t)

    def _members(self, z: Array, y: Array, dz: Array, t: Any) -> tuple[Array, Array, Array, Views]:
        """Return arguments for the loss of a member: for each row of z, k rows, one for each member."""
        n = len(z) * self.n_members
        if "of_members" not in vars(t):  # made once for each number of rows
            t.bind(of_members=Views(**{name: b.reshape(n, *b.shape[2:]) for name, b in vars(t).items()}))
        return z.reshape(n, -1), y.repeat(self.n_members, 0), dz.reshape(n, -1), t.of_members

    def probabilities(self, z: Array) -> Array:
        return self.loss.probabilities(self.ensemble_logits(z))

    def log_probabilities(self, z: Array) -> Array:
        return self.loss.log_probabilities(self.ensemble_logits(z))

    def ensemble_logits(self, z: Array) -> Array:
        """Return the logits of the mean of the members' probabilities, (n, n_outputs / n_members).

        They are finite and float64. With one member, z is returned unchanged. If a user-defined loss
        overrides ``probabilities``, the members' logits are averaged instead, since there may be no
        formula for the logits of the mean probabilities.
        """
        z = as_logits(z)
        if self.n_members == 1:
            return z
        z = z.reshape(-1, self._per_member(z.shape[1]))
        with np.errstate(all="ignore"):
            if self.inverse_link == "logistic":
                z = z.astype(np.float64)
                return self._log_mean(z, sigmoid, log_sigmoid) - self._log_mean(-z, sigmoid, log_sigmoid)
            if type(self.loss).probabilities is Loss.probabilities:
                return self._log_mean(z, softmax_rows, log_softmax_rows)
            parts = z.reshape(-1, self.n_members, z.shape[1]).astype(np.float64) / self.n_members
            mean: Array = np.clip(parts.sum(axis=1), -_LARGEST, _LARGEST)
            return mean

    def _log_mean(
        self, z: Array, probabilities: Callable[[Array], Array], logarithms: Callable[[Array], Array]
    ) -> Array:
        """Return the logarithm of the members' mean probabilities, given z with one row for each member.

        If a mean might underflow, the result is computed from the logarithms of the probabilities: if m is
        the largest of them, it is m + log(mean(exp(logarithms - m))). No exp overflows, and one of them is 1.
        """
        shape = (-1, self.n_members, z.shape[1])
        mean: Array = np.add.reduce(probabilities(z).reshape(shape), axis=1) / self.n_members
        if mean.min(initial=1.0) > _TINY:
            return np.log(mean, out=mean)
        logs = np.maximum(logarithms(z).reshape(shape), -_LARGEST)  # the difference of two -inf is nan
        m: Array = logs.max(axis=1)
        m += np.log(np.exp(logs - m[:, None]).mean(axis=1))
        return m
