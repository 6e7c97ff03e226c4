"""Gradient checks: compare a gradient with finite differences along random directions.

For a scalar function f with gradient g and any direction v, the derivative of f along v is g . v.
It is approximated by values of f: with a small h,

    f'(x; v) = (8 (f(x + h v) - f(x - h v)) - (f(x + 2 h v) - f(x - 2 h v))) / (12 h) + O(h^4).

A layer has many outputs y; with random numbers c, called a cotangent, f is the scalar sum c y. (A
cotangent of ones is a bad choice: the sum of a softmax is constant, so a backward that returns
zeros would pass.) All checks run in float64; relative errors below 1e-7 are rounding errors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array, Views
from .errors import whole_number
from .layers import Dense, Layer, Tanh
from .losses import Loss
from .network import Network


def gradient_error(
    f: Callable[[Array], float], g: Array, x: Array, *, seed: int = 0, h: float = 1e-4, directions: int = 8
) -> float:
    """Return the largest relative error of the gradient g of f at x over random directions.

    Parameters
    ----------
    f : callable
        Maps an array like x to a number.
    g : ndarray of the shape of x
        The gradient to check.
    x : ndarray of float64
    seed : int, default=0
        Seed of the directions.
    h : float, default=1e-4
        Step of the finite difference.
    directions : int, default=8

    Returns
    -------
    float
        NaN if g or f is not finite.

    Raises
    ------
    ValueError
        If g has another shape than x, or ``directions`` is less than 1.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> bool(gradient_error(lambda x: np.sum(x**2), 2 * x, x) < 1e-9)
    True
    >>> bool(gradient_error(lambda x: np.sum(x**2), x, x) > 0.4)
    True
    """
    whole_number("directions", directions, 1)
    if np.shape(g) != x.shape:
        raise ValueError(f"the gradient must have the shape of x, {x.shape}, got {np.shape(g)}")
    rng = np.random.default_rng(seed)
    noise = 1e8 * np.finfo(float).eps * abs(f(x)) / h  # rounding errors are about 1e-8 of this
    worst = 0.0
    for _ in range(directions):
        v = rng.normal(size=x.shape)
        near = f(x + h * v) - f(x - h * v)
        far = f(x + 2 * h * v) - f(x - 2 * h * v)
        measured = (8.0 * near - far) / (12.0 * h)
        claimed = float(np.sum(g * v))
        scale = np.max([abs(measured), abs(claimed), np.linalg.norm(g), noise])  # nan if one of them is
        if scale != 0:
            worst = float(np.maximum(worst, abs(measured - claimed) / scale))
    return worst


def check_layer(layer: Layer, n_in: int, *, batch_size: int = 7, seed: int = 0) -> float:
    """Return the largest relative error of a layer's backward, for its parameters and for its input.

    The layer is checked after a Dense layer, whose gradient is correct only if dx is. It is also
    checked between two Tanh layers, which read their outputs in backward, to find a layer that
    overwrites them. Buffers are filled with NaN before each run, to find entries that forward or
    backward do not write.

    The output of a row must not depend on the other rows of its batch: predictions would depend on
    which rows are predicted together. So forward also runs with other rows in one half of the batch,
    in training and in prediction, and if the outputs of the other half change, the error is at least
    their relative change. If forward is right in this respect, a backward that mixes rows has a wrong
    gradient.

    Rarely, a kink of an activation, such as that of ReLU at 0, lies between the points of a finite
    difference. If a check fails, try another seed first.

    Examples
    --------
    >>> from tinyclf import ReLU
    >>> bool(check_layer(ReLU(), n_in=5) < 1e-7)
    True
    """
    alone, between = [Dense(n_in), layer], [Dense(n_in), Tanh(), layer, Tanh(), Dense(3)]
    errors = [_network_error(layers, n_in, batch_size, seed) for layers in (alone, between)]
    return float(np.max([*errors, *_mixing_errors(layer, n_in, batch_size, seed)]))


def _mixing_errors(layer: Layer, n_in: int, batch_size: int, seed: int) -> list[float]:
    """Return the relative changes of the outputs of rows if other rows of the batch change."""
    rng = np.random.default_rng(seed)
    network = Network([layer], n_in, dtype="float64", seed=rng)
    X, other = rng.normal(size=(2, batch_size, n_in))
    changed = np.arange(batch_size) < batch_size // 2

    def outputs(x: Array, training: bool) -> Array:
        # Every run draws the same random numbers, as in dropout.
        workspace = network.workspace(batch_size, training=training, rng=np.random.default_rng(seed))
        return network.forward(workspace.tapes(batch_size).layers, x)

    errors = []
    for training in (True, False):
        y = outputs(X, training)
        for half in (changed, ~changed):
            mixed = outputs(np.where(half[:, None], other, X), training)
            change = np.abs(mixed - y)[~half].max(initial=0.0)
            errors.append(float(change / max(np.abs(y).max(), np.finfo(float).tiny)))
    return errors


def _network_error(layers: list[Layer], n_in: int, batch_size: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    network = Network(layers, n_in, dtype="float64", seed=rng)
    X = rng.normal(size=(batch_size, n_in))
    cotangent = rng.normal(size=(batch_size, network.widths[-1]))

    def run(theta: Array, backward: bool = False) -> tuple[float, Array]:
        network.theta = theta
        # Every run draws the same random numbers, since f must be deterministic.
        workspace = network.workspace(batch_size, rng=np.random.default_rng(seed))
        tapes = workspace.tapes(batch_size).layers
        gradient = np.full_like(network.theta, np.nan)
        for tape in tapes:
            _fill_with_nan(tape)
        y = network.forward(tapes, X)
        value = float(np.sum(cotangent * y))
        if backward:
            tapes[-1].dy = cotangent
            network.backward(tapes, network.split(gradient))
        return value, gradient

    # Move away from special points, such as biases that start at 0.
    theta = network.theta + rng.normal(scale=0.1, size=network.theta.size)
    gradient = run(theta, backward=True)[1]
    return gradient_error(lambda theta: run(theta)[0], gradient, theta, seed=seed)


def check_loss(loss: Loss, n_classes: int, *, batch_size: int = 7, seed: int = 0) -> float:
    """Return the largest relative error of a loss's gradient, with random weights of the rows.

    It is NaN if the loss changes its logits.

    Examples
    --------
    >>> from tinyclf import SoftmaxCrossEntropy
    >>> bool(check_loss(SoftmaxCrossEntropy(), n_classes=4) < 1e-7)
    True
    """
    rng = np.random.default_rng(seed)
    k = loss.n_outputs(n_classes)
    y = loss.targets(rng.integers(n_classes, size=batch_size), batch_size, k)
    w = rng.uniform(0.5, 2.0, batch_size)
    buffers = Views(
        **{name: buffer.array(batch_size, np.float64) for name, buffer in loss.buffers(k, np.float64).items()}
    )
    dz = np.full((batch_size, k), np.nan)

    def value(z: Array) -> float:
        return loss.value_and_grad(z, y, w, dz, buffers)

    z = rng.normal(scale=2.0, size=(batch_size, k))
    before = z.copy()
    value(z)
    if not np.array_equal(z, before):  # the last layer may read it in backward
        return np.nan
    return gradient_error(value, dz.copy(), z, seed=seed)


def _fill_with_nan(tape: Views) -> None:
    for array in vars(tape).values():
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.flags.writeable:
            array.fill(np.nan)
