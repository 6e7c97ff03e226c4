"""Kernels: the formulas of layers, losses, optimizers and the penalty that take most of the time.

Each kernel is one function, which computes in NumPy. If numba (the optional extra ``[fast]``) is
installed and not switched off, and a compiled loop from `_loops` supports the arrays, the kernel
runs that loop instead. The results differ by rounding only. A loop makes fewer calls and fewer passes
over memory, but does not check shapes. A user's ``init`` may return weights of unusual shapes; then the
kernel computes in NumPy, which broadcasts or refuses them.

Microseconds per step of the network 784-100-10 in batches of 200 rows, measured by
`python benchmarks/step_profile.py --repeats 15`. For smaller networks, see also `fused`:

    part of a step                    NumPy   compiled
    Adam                              143       50
    softmax cross-entropy              64       18
    bias and ReLU                      21        9
    mask of ReLU, bias gradient        13        4

`load` is called before a fit: it imports numba and compiles the loops for the type that the network
computes in. Compiling takes a few seconds, but happens only once: the machine code is kept on
disk.

No lock is held during compilation, since a process may be forked at any time. A child that is
forked while another thread compiles uses NumPy: that thread does not exist in the child and would
never finish there.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any, Self

import numpy as np

from . import _loops
from .arrays import PARAMETER_BLOCK, Array
from .logsumexp import cross_entropy_rows

# Vectors longer than this do not fit into the cache, so Adam makes its ten passes over blocks that
# do: for 2 million parameters this takes 2.5 instead of 4.2 milliseconds. For shorter vectors,
# blocks cost more than they save.
_LARGE = 2**19

# LLVM's fast-math flags for _loops.APPROXIMATE, without nnan and ninf, which assume that there is no
# nan and no inf.
_FREEDOM = {"contract", "reassoc", "arcp", "nsz"}

_SETTINGS: dict[str, bool | None] = {"": None, "0": False, "1": True}
_wanted: bool | None = _SETTINGS.get(os.environ.get("TINYCLF_FAST", ""))

# The compiled loops by the type that they compute in; NumPy computes in types that are not here.
_compiled: dict[np.dtype[Any], SimpleNamespace] = {}

# The same, also while the loops are switched off: numba takes a millisecond to find that they are compiled.
_ready: dict[np.dtype[Any], SimpleNamespace] = {}

# The id of the thread that compiles now, under the key "thread": dict.setdefault is atomic and needs
# no lock.
_compiler: dict[str, int] = {}
_forked_while_compiling = False


def use_fast(on: bool | None = True) -> None:
    """Switch the compiled loops on or off, in this process.

    By default they are used if numba is installed. The environment variable ``TINYCLF_FAST``, set
    to 1 or 0 before tinyclf is imported, has the same effect, also in child processes. A training that has
    begun may go on with the loops, or without them.

    Parameters
    ----------
    on : bool or None, default=True
        None is the default: the loops are used if numba can be imported.

    Raises
    ------
    ImportError
        If ``on`` is True and numba cannot be imported.
    TypeError
        If ``on`` is not True, False or None.

    Examples
    --------
    >>> import tinyclf
    >>> tinyclf.use_fast(False)  # the same bits as without numba
    >>> tinyclf.use_fast(None)
    """
    global _compiled, _wanted
    if on is not None and not isinstance(on, bool):
        raise TypeError(f"on must be True, False or None, got {on!r}")
    before = _wanted
    _wanted = on
    if on is False:
        _compiled = {}
        return
    try:
        load()
    except ImportError:
        _wanted = before
        raise


def load(dtype: np.dtype[Any] | None = None) -> None:
    """Compile the loops for this type, unless they are compiled, switched off, or cannot be compiled.

    If another thread is compiling, wait until it has finished. With None, only import numba.

    Raises
    ------
    ImportError
        If the loops were switched on explicitly, and numba cannot be imported.
    ValueError
        If the environment variable ``TINYCLF_FAST`` has an invalid value.
    """
    global _compiled, _wanted
    if (setting := os.environ.get("TINYCLF_FAST", "")) not in _SETTINGS:
        raise ValueError(
            f"the environment variable TINYCLF_FAST must be 0 or 1, or not be set, got {setting!r}"
        )
    me = threading.get_ident()
    if _compiler.get("thread") == me:  # in a signal handler that interrupts the compilation: use NumPy
        return
    while _wanted in (True, None) and dtype not in _compiled:
        try:
            with _Turn(me) as turn, turn:  # twice, since Ctrl-C may interrupt the first end
                if _compiler.setdefault("thread", me) != me:
                    time.sleep(0.005)
                    continue
                loops = _dispatchers()
                if dtype is None:
                    return
                if _ready.get(dtype) is not loops:
                    for name, types in _loops.signatures(dtype.name).items():
                        vars(loops)[name].compile(types)
                    _ready[dtype] = loops
                if _wanted in (True, None):  # use_fast(False) may have been called meanwhile
                    _compiled = {**_compiled, dtype: loops}
        except Exception as error:  # numba may refuse to be imported with a newer NumPy
            if _wanted:
                raise ImportError(
                    f"the compiled loops need numba, which cannot be imported: {error}. Install it by "
                    "pip install numba, or unset TINYCLF_FAST and do not call use_fast(True)"
                ) from error
            _wanted = False


class _Turn:
    """A context at whose end a thread no longer compiles; the end can be repeated."""

    def __init__(self, thread: int) -> None:
        self.thread = thread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if _compiler.get("thread") == self.thread:
            del _compiler["thread"]


@cache
def _dispatchers() -> SimpleNamespace:
    """Return numba's dispatchers of the loops, which compile a loop for given types of arguments."""
    if _forked_while_compiling:
        raise ImportError("this process was forked while another thread compiled the loops")
    import numba

    if numba.config.DISABLE_JIT:
        raise ImportError("NUMBA_DISABLE_JIT switches its compiler off")
    made: dict[str, Any] = {}
    for loops, fastmath in ((_loops.EXACT, False), (_loops.APPROXIMATE, _FREEDOM)):
        for loop in loops:
            # Compiled code cannot call Python functions: a copy of the loop calls the dispatchers of others.
            copy = FunctionType(loop.__code__, {**loop.__globals__, **made}, loop.__name__)
            made[loop.__name__] = _dispatcher(numba, copy, fastmath)
    return SimpleNamespace(**made)


def _dispatcher(numba: Any, loop: Callable[..., Any], fastmath: bool | set[str]) -> Callable[..., Any]:
    # In Python's error model, a division can raise, and LLVM would not vectorize the loop.
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": fastmath}
    try:
        dispatcher: Callable[..., Any] = numba.njit(cache=True, **options)(loop)
    except RuntimeError:  # there is no folder in which to keep the machine code
        dispatcher = numba.njit(**options)(loop)
    return dispatcher


def _after_fork() -> None:
    """Switch to NumPy in a child if another thread of the parent was importing numba or compiling."""
    global _compiled, _forked_while_compiling, _wanted
    if _compiler.pop("thread", threading.get_ident()) != threading.get_ident():
        _compiled, _wanted, _forked_while_compiling = {}, False, True
        _dispatchers.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def compiled(dtype: np.dtype[Any]) -> SimpleNamespace | None:
    """Return the compiled loops for this type, as attributes, or None if NumPy computes."""
    return _compiled.get(dtype)


def add_bias(y: Array, b: Array) -> None:
    """Add b (n_out,) to each row of y (B, n_out), in place."""
    if (loops := _compiled.get(y.dtype)) and b.shape == y.shape[1:]:
        loops.add_bias(y, b)
    else:
        np.add(y, b, out=y)


def add_bias_relu(y: Array, b: Array, zeros: Array) -> None:
    """Add b (n_out,) to each row of y (B, n_out), and replace negative numbers by 0, in place."""
    if (loops := _compiled.get(y.dtype)) and b.shape == y.shape[1:]:
        loops.add_bias_relu(y, b)
    else:
        np.add(y, b, out=y)
        np.maximum(y, zeros, out=y)  # takes half the time of np.maximum(y, 0)


def relu_backward_bias(dy: Array, y: Array, db: Array, ones: Array, zeros: Array, active: Array) -> None:
    """Write dy = 0 where y <= 0, in place, and the sum of its rows into db; buffers as in `relu_backward`."""
    if (loops := _compiled.get(y.dtype)) and db.shape == y.shape[1:]:
        loops.relu_backward_bias(dy, y, db)
    else:
        relu_backward(dy, y, dy, zeros, active)
        ones.dot(dy, db)  # takes a quarter of the time of a sum


def largest_magnitude(z: Array, scratch: Array) -> float:
    """Return the largest |z|, or nan if an entry is nan; ``scratch`` is overwritten."""
    if z.dtype == np.float32 and (loops := _compiled.get(z.dtype)):
        return float(loops.largest_magnitude(z))
    return float(np.abs(z, out=scratch).max())


def scaled_rows(r: Array, W: Array, out: Array) -> None:
    """Write out[i, m, j] = r[m, i] W[i, j], with r (k, n_in), W (n_in, units) and out (n_in, k, units)."""
    if (loops := _compiled.get(W.dtype)) and _shapes_fit(r, W, out):
        loops.scaled_rows(r, W, out)
    else:
        np.einsum("mi,ij->imj", r, W, out=out)


def scaled_rows_backward(G: Array, r: Array, W: Array, dW: Array, dr: Array) -> None:
    """Write the gradients dW and dr of `scaled_rows`, given that of its result, G (n_in, k, units)."""
    if (loops := _compiled.get(W.dtype)) and _shapes_fit(r, W, G):
        loops.scaled_rows_backward(G, r, W, dW, dr)
    else:
        np.matmul(r.T[:, None, :], G, out=dW[:, None, :])
        np.matmul(G, W[:, :, None], out=dr.T[:, :, None])


def _shapes_fit(r: Array, W: Array, scaled: Array) -> bool:
    """Return whether the shapes are those of `scaled_rows`."""
    n_in, k, units = scaled.shape
    return r.shape == (k, n_in) and W.shape == (n_in, units)


def unit_products(x: Array, W: Array, y: Array) -> None:
    """Write y[i, m], the dot product of x[i, m] and W[m], for members with one unit.

    The shapes are those of x (B, k, n_in), W (k, n_in) and y (B, k).
    """
    # For a read-only array, such as the rows of a prediction, numba would compile the loop once more.
    if (loops := _compiled.get(y.dtype)) and x.flags.writeable and x.shape[1:] == W.shape:
        loops.unit_products(x, W, y)
    else:
        np.matmul(x.transpose(1, 0, 2), W[:, :, None], out=y.T[:, :, None])


def unit_products_backward(x: Array, W: Array, dy: Array, dW: Array, dx: Array, scratch: Array) -> None:
    """Write the gradients dW and dx of `unit_products`; ``scratch`` (k, k n_in) is overwritten."""
    if (loops := _compiled.get(dy.dtype)) and x.shape[1:] == W.shape:
        loops.unit_products_backward(x, W, dy, dW, dx)
    else:
        np.matmul(x.transpose(1, 2, 0), dy.T[:, :, None], out=dW[:, :, None])
        k = len(W)
        scratch.fill(0.0)  # a block-diagonal matrix takes half the time of k products with one column
        np.einsum("mmi->mi", scratch.reshape(k, k, -1))[...] = W
        dy.dot(scratch, dx.reshape(len(dx), -1))


def relu_backward(dy: Array, y: Array, dx: Array, zeros: Array, active: Array) -> None:
    """Write dx = dy where y > 0, else 0; ``zeros`` (all 0) and ``active`` (bool) have the shape of y."""
    if (loops := _compiled.get(y.dtype)) and dx is dy:
        loops.relu_backward(dy, y)
    else:
        np.greater(y, zeros, out=active)  # takes half the time of a comparison with the number 0
        np.multiply(dy, active, out=dx)


def silu(t: Any) -> None:
    """Write t.y = x s(x), with the logistic function s, and t.slope = s(x) (1 + x s(-x)); t.x may be t.y.

    s(x) = w / r and s(-x) = u / r with u = exp(-x / 2), w = exp(x / 2) and r = u + w. A product with s(x)
    is divided by r, then multiplied by w, so that it keeps its digits where s(x) is subnormal. Below
    -170 in float32 and -1400 in float64, s(x) is 0, and above 40 it is 1: there, x is replaced by the
    limit, since 0 * inf is nan. t.b, t.c, t.r, t.u and t.w are buffers like x.
    """
    b, c, r, u, w = t.b, t.c, t.r, t.u, t.w
    c[...] = t.x
    np.maximum(c, -170.0 if c.dtype == np.float32 else -1400.0, out=c)
    np.minimum(c, 40.0, out=b)
    np.exp(np.multiply(b, -0.5, out=u), out=u)
    if loops := _compiled.get(t.y.dtype):
        loops.silu(b, c, u, t.slope, t.y)
        return
    np.reciprocal(u, out=w)
    np.add(u, w, out=r)
    c /= r
    c *= w
    t.y = c
    u /= r
    b *= u
    b += 1.0
    b /= r
    b *= w
    t.slope = b


def gelu(t: Any) -> None:
    """Write t.y = x P(x), with P as in `layers.GELU`, and t.slope = P(x) + x P'(x); t.x may be t.y.

    Beyond -64 and 64, P(x) is 0 and 1, and P'(x) is 0 in float64: there, x is replaced by the limit,
    since 0 * inf is nan. t.b, t.c and t.r are buffers in float64.
    """
    from scipy.special import ndtr

    b, c, P = t.b, t.c, t.r
    c[...] = t.x
    np.maximum(c, -64.0, out=c)
    ndtr(c, out=P)
    np.minimum(c, 64.0, out=b)
    c *= P
    t.y = c
    np.square(b, out=c)
    c *= -0.5
    np.exp(c, out=c)
    c *= math.sqrt(0.5 / math.pi)
    b *= c
    b += P
    t.slope = b


def dropout(x: Array, bits: Array, dropped: int, scale: Any, m: Array, kept: Array, y: Array) -> None:
    """Write m = scale where bits >= dropped, else 0, and y = x m; ``kept`` is a bool buffer like x."""
    if loops := _compiled.get(y.dtype):
        loops.dropout(x, bits, dropped, scale, m, y)
    else:
        np.greater_equal(bits, dropped, out=kept)
        np.multiply(kept, scale, out=m)
        np.multiply(x, m, out=y)


def adam(
    theta: Array, g: Array, M: Array, V: Array, beta_1: float, beta_2: float, eps: float, eta: float
) -> None:
    """Subtract `adam_update` from theta, and update M and V; g may be overwritten."""
    if loops := _compiled.get(theta.dtype):
        loops.adam(theta, g, M, V, beta_1, beta_2, eps, eta)
        return
    if theta.size <= _LARGE:
        adam_update(g, M, V, beta_1, beta_2, eps, eta)
        np.subtract(theta, g, out=theta)
        return
    for start in range(0, theta.size, PARAMETER_BLOCK):
        part = slice(start, start + PARAMETER_BLOCK)
        adam_update(g[part], M[part], V[part], beta_1, beta_2, eps, eta)
        np.subtract(theta[part], g[part], out=theta[part])


def adam_update(g: Array, M: Array, V: Array, beta_1: float, beta_2: float, eps: float, eta: float) -> None:
    """M <- beta_1 M + g, V <- beta_2 V + g^2; overwrite g with eta M / (sqrt(V) + eps)."""
    M *= beta_1
    M += g
    np.square(g, out=g)
    V *= beta_2
    V += g
    np.sqrt(V, out=g)
    g += eps
    np.divide(M, g, out=g)
    g *= eta


def add_penalty(W: Array, dW: Array, strength: float, scratch: Array) -> float:
    """Add strength W to dW and return |W|^2; NumPy works in blocks of the length of ``scratch``."""
    if loops := _compiled.get(W.dtype):
        return float(loops.add_penalty(W, dW, strength))
    squares = 0.0
    for start in range(0, W.size, scratch.size):
        w, dw = W[start : start + scratch.size], dW[start : start + scratch.size]
        dw += np.multiply(w, strength, out=scratch[: w.size])
        squares += float(np.dot(w, w))
    return squares


def softmax_cross_entropy(z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
    """Return the weighted mean of `cross_entropy_rows`; write its gradient into dz."""
    # Only the common case is compiled: codes, float32 logits and no weights.
    common = w is None and z.dtype == np.float32 and y.dtype == np.intp and y.ndim == 1
    if common and (loops := _compiled.get(z.dtype)):
        loops.shift(z, t.d, t.top)
        np.exp(t.d, out=t.E)  # NumPy's exp is vectorized
        return float(loops.softmax_loss(t.E, t.d, t.top, y, dz))
    return weighted_mean(cross_entropy_rows(z, y, dz, t), w, dz)


def sigmoid_cross_entropy(z: Array, y: Array, w: Array | None, dz: Array, t: Any) -> float:
    """Return the weighted mean of `sigmoid_cross_entropy_rows`; write its gradient into dz."""
    common = w is None and y.dtype == np.float64 and y.shape == z.shape
    if common and (loops := _compiled.get(z.dtype)):
        np.abs(z, out=t.d)
        np.negative(t.d, out=t.d)
        np.exp(t.d, out=t.E)
        return float(loops.sigmoid_loss(z, t.E, y, dz))
    return weighted_mean(sigmoid_cross_entropy_rows(z, y, dz, t), w, dz)


def sigmoid_cross_entropy_rows(z: Array, y: Array, dz: Array, t: Any) -> Array:
    """Return the loss of each row, see `losses.SigmoidCrossEntropy`; write its gradient into dz."""
    np.abs(z, out=t.d)
    np.exp(-t.d, out=t.E)
    positive = z > 0
    s = np.where(positive, 1.0, t.E) / (1.0 + t.E)  # s(z)
    other = np.where(positive, t.E, 1.0) / (1.0 + t.E)  # s(-z)
    dz[...] = (1.0 - y) * s - y * other
    np.log1p(t.E, out=t.E)
    t.d *= np.where(positive, 1.0 - y, y)
    t.d[np.isnan(t.d)] = 0.0  # 0 * inf: a logit that is infinite with the correct sign
    losses: Array = (t.E + t.d).sum(axis=1)
    return losses


def weighted_mean(losses: Array, w: Array | None, dz: Array) -> float:
    """Return the mean of the losses, weighted by w, summed in float64; scale the rows of dz to match."""
    if w is None:
        dz *= 1.0 / len(losses)
        return float(np.add.reduce(losses, dtype=np.float64)) / len(losses)
    fraction = w / w.sum()
    dz *= fraction[:, None]
    return float(np.add.reduce(losses * fraction, dtype=np.float64))
