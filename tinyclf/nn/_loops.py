"""Loops that numba compiles, for the optional extra ``[fast]``; `kernels` and `fused` call them.

Each loop computes the same formula as a function of `kernels`, in which NumPy computes it; `fused` explains
`mlp_forward`, `mlp_backward`, `batch_logits` and `batch_gradient`. The results differ by rounding only. A
loop is faster, as it makes fewer calls and fewer passes over memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array

# Rows per partial sum of a loss: one long sum would have a larger rounding error.
_ROWS = 256

# Entries per partial sum of the squares of weights, for the same reason.
_ENTRIES = 512

# A loss adds log(1 + S) for many S >= 0. One logarithm of a product takes less time: P + 1 is the product of
# all 1 + S. The loops add log1p(P) at the end of a block of rows, and earlier if P exceeds this number, so
# that it does not overflow. All terms of P are positive or 0: nothing cancels, and tiny S keep their digits.
_LIMIT = 1e200


def add_bias(y: Array, b: Array) -> None:
    """Add b (k,) to each row of y (n, k)."""
    n, k = y.shape
    for i in range(n):
        for j in range(k):
            y[i, j] += b[j]


def add_bias_relu(y: Array, b: Array) -> None:
    """Add b (k,) to each row of y (n, k), and replace negative numbers by 0; nan stays."""
    zero = y.dtype.type(0)
    n, k = y.shape
    for i in range(n):
        for j in range(k):
            v = y[i, j] + b[j]
            y[i, j] = zero if v <= zero else v


def relu_backward(dy: Array, y: Array) -> None:
    """Multiply dy by y > 0, in place: LLVM would not vectorize a loop over two arrays that may overlap."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    n, k = y.shape
    for i in range(n):
        for j in range(k):
            dy[i, j] *= one if y[i, j] > zero else zero


def relu_backward_bias(dy: Array, y: Array, db: Array) -> None:
    """Multiply dy by y > 0, in place, and write the sum of its rows into db."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    n, k = y.shape
    db[:] = zero
    for i in range(n):
        for j in range(k):
            v = dy[i, j] * (one if y[i, j] > zero else zero)
            dy[i, j] = v
            db[j] += v


def largest_magnitude(z: Array) -> float:
    """Return the largest |z| of float32 numbers, or nan if one of them is nan.

    Without the sign, the bits of floats are integers in the same order, and those of nan are the largest.
    LLVM vectorizes the maximum of integers, but not that of floats, among which nan has no order.
    """
    bits, largest = z.view(np.int32), np.zeros(1, np.int32)
    n, k = z.shape
    m = largest[0]
    for i in range(n):
        for j in range(k):
            m = max(m, bits[i, j] & np.int32(0x7FFFFFFF))
    largest[0] = m
    return float(largest.view(np.float32)[0])


def scaled_rows(r: Array, W: Array, out: Array) -> None:
    """Write out[i, m, j] = r[m, i] W[i, j], the weights of all members m."""
    k, n = r.shape
    for i in range(n):
        for m in range(k):
            c = r[m, i]
            for j in range(W.shape[1]):
                out[i, m, j] = c * W[i, j]


def scaled_rows_backward(G: Array, r: Array, W: Array, dW: Array, dr: Array) -> None:
    """Write the gradients dW and dr of `scaled_rows`, given that of its result, G (n_in, k, units)."""
    k, n = r.shape
    for i in range(n):
        for j in range(W.shape[1]):
            dW[i, j] = W.dtype.type(0)
        for m in range(k):
            c, total = r[m, i], W.dtype.type(0)
            for j in range(W.shape[1]):
                dW[i, j] += c * G[i, m, j]
            for j in range(W.shape[1]):
                total += W[i, j] * G[i, m, j]
            dr[m, i] = total


def unit_products(x: Array, W: Array, y: Array) -> None:
    """Write y[i, m], the dot product of x[i, m] and W[m], for each row i and member m with one unit."""
    n, k = y.shape
    for i in range(n):
        for m in range(k):
            total = W.dtype.type(0)
            for j in range(W.shape[1]):
                total += x[i, m, j] * W[m, j]
            y[i, m] = total


def unit_products_backward(x: Array, W: Array, dy: Array, dW: Array, dx: Array) -> None:
    """Write dW[m], the sum of dy[i, m] x[i, m] over the rows i, and dx[i, m] = dy[i, m] W[m]."""
    n, k = dy.shape
    dW[:] = dW.dtype.type(0)
    for i in range(n):
        for m in range(k):
            c = dy[i, m]
            for j in range(W.shape[1]):
                dW[m, j] += c * x[i, m, j]
            for j in range(W.shape[1]):
                dx[i, m, j] = c * W[m, j]


def silu(b: Array, c: Array, u: Array, slope: Array, y: Array) -> None:
    """Write y = x s(x) and its slope; the letters are those of `kernels.silu`."""
    one = y.dtype.type(1)
    n, k = y.shape
    for i in range(n):
        for j in range(k):
            v = u[i, j]
            w = one / v
            r = v + w
            y[i, j] = c[i, j] / r * w
            slope[i, j] = (b[i, j] * (v / r) + one) / r * w


def dropout(x: Array, bits: Array, dropped: int, scale: Any, m: Array, y: Array) -> None:
    """Write m = scale where bits >= dropped, else 0, and y = x m."""
    zero, limit = m.dtype.type(0), bits.dtype.type(dropped)
    n, k = y.shape
    for i in range(n):
        for j in range(k):
            m[i, j] = scale if bits[i, j] >= limit else zero
        for j in range(k):
            y[i, j] = x[i, j] * m[i, j]


def adam(
    theta: Array, g: Array, M: Array, V: Array, b1: float, b2: float, epsilon: float, rate: float
) -> None:
    """Take one step of Adam in a single pass over the four vectors."""
    number = theta.dtype.type
    beta_1, beta_2, eps, eta = number(b1), number(b2), number(epsilon), number(rate)
    for i in range(theta.size):
        M[i] = beta_1 * M[i] + g[i]
        V[i] = beta_2 * V[i] + g[i] * g[i]
        theta[i] -= eta * M[i] / (np.sqrt(V[i]) + eps)


def add_penalty(W: Array, dW: Array, strength: float) -> float:
    """Add strength W to dW and return |W|^2."""
    c = W.dtype.type(strength)
    squares = 0.0
    for start in range(0, W.size, _ENTRIES):
        part = W.dtype.type(0)
        w, dw = W[start : start + _ENTRIES], dW[start : start + _ENTRIES]
        for i in range(w.size):  # two loops over two slices: LLVM does not vectorize the sum otherwise
            dw[i] += c * w[i]
        for i in range(w.size):
            part += w[i] * w[i]
        squares += part
    return float(squares)


def shift(z: Array, d: Array, top: Array) -> None:
    """Write the index of the largest logit of each row into top, and z - max z, in float64, into d."""
    n, k = z.shape
    for i in range(n):
        a, m = 0, z[i, 0]
        for j in range(1, k):
            larger = z[i, j] > m  # takes a third of the time of a branch, which is often mispredicted
            a = j if larger else a
            m = z[i, j] if larger else m
        top[i] = a
        for j in range(k):
            d[i, j] = np.float64(z[i, j]) - np.float64(m)


def softmax_loss(E: Array, d: Array, top: Array, y: Array, dz: Array) -> float:
    """Return the mean cross-entropy and write its gradient; E holds exp(d), see `logsumexp`."""
    n, k = E.shape
    total = 0.0
    for start in range(0, n, _ROWS):
        part, P = 0.0, 0.0
        for i in range(start, min(start + _ROWS, n)):
            a, t = top[i], y[i]
            E[i, a] = d[i, a]
            S = 0.0
            for j in range(k):
                S += E[i, j]
            P += S + P * S
            if P > _LIMIT:
                part += np.log1p(P)
                P = 0.0
            part -= d[i, t]
            r = E[i, t] - S
            if t != a:
                r -= 1.0
            E[i, a] = 1.0
            E[i, t] = r
            c = 1.0 / ((1.0 + S) * n)
            for j in range(k):
                dz[i, j] = E[i, j] * c
        total += part + np.log1p(P)
    return float(total / n)


def sigmoid_loss(z: Array, E: Array, y: Array, dz: Array) -> float:
    """Return the mean cross-entropy of logistic outputs and write its gradient; E holds exp(-|z|)."""
    n, k = z.shape
    total = 0.0
    for start in range(0, n, _ROWS):
        part, P = 0.0, 0.0
        for i in range(start, min(start + _ROWS, n)):
            for j in range(k):
                e, q = E[i, j], y[i, j]
                if z[i, j] > 0.0:
                    gradient, wrong = (1.0 - q) - q * e, 1.0 - q
                else:
                    gradient, wrong = (1.0 - q) * e - q, q
                dz[i, j] = gradient / ((1.0 + e) * n)
                P += e + P * e
                if P > _LIMIT:
                    part += np.log1p(P)
                    P = 0.0
                if wrong > 0.0:  # 0 * inf counts as 0
                    part += wrong * np.abs(np.float64(z[i, j]))
        total += part + np.log1p(P)
    return float(total / n)


def mlp_forward(theta: Array, widths: Array, x: Array, hidden: Array, z: Array) -> None:
    """Compute the logits z (B, n_out) of dense layers with ReLU between them, for the rows x (B, n_in).

    theta has the weights of all layers, then their biases. ``widths`` (n_layers + 1,) begins with n_in. The
    outputs of the hidden layers are written into ``hidden``, one after the other.
    """
    n, last = x.shape[0], widths.size - 2
    at, unit, bias = 0, 0, 0  # positions in the weights, in hidden, and in the biases
    for i in range(last + 1):
        bias += widths[i] * widths[i + 1]
    h = x
    for i in range(last + 1):
        n_in, n_out = widths[i], widths[i + 1]
        W, b = theta[at : at + n_in * n_out].reshape(n_in, n_out), theta[bias : bias + n_out]
        y = z if i == last else hidden[unit : unit + n * n_out].reshape(n, n_out)
        np.dot(h, W, y)
        if i < last:
            add_bias_relu(y, b)
        else:
            add_bias(y, b)
        at, unit, bias, h = at + n_in * n_out, unit + n * n_out, bias + n_out, y


def mlp_backward(
    theta: Array, gradient: Array, widths: Array, x: Array, hidden: Array, dhidden: Array, dz: Array
) -> None:
    """Write the gradient of all parameters, given that of the logits, and ``hidden`` of `mlp_forward`.

    ``dhidden`` is a buffer like ``hidden``.
    """
    n, last = x.shape[0], widths.size - 2
    at, unit, bias = 0, hidden.size, gradient.size
    for i in range(last + 1):
        at += widths[i] * widths[i + 1]
    dy = dz
    for i in range(last, -1, -1):
        n_in, n_out = widths[i], widths[i + 1]
        at, bias = at - n_in * n_out, bias - n_out
        db = gradient[bias : bias + n_out]
        if i < last:
            relu_backward_bias(dy, hidden[unit : unit + n * n_out].reshape(n, n_out), db)
        else:
            db[:] = dz.dtype.type(0)
            for r in range(n):
                for j in range(n_out):
                    db[j] += dz[r, j]
        h = x if i == 0 else hidden[unit - n * n_in : unit].reshape(n, n_in)
        np.dot(h.T, dy, gradient[at : at + n_in * n_out].reshape(n_in, n_out))
        if i > 0:
            unit -= n * n_in
            dx = dhidden[unit : unit + n * n_in].reshape(n, n_in)
            np.dot(dy, theta[at : at + n_in * n_out].reshape(n_in, n_out).T, dx)
            dy = dx


def batch_logits(
    X: Array,
    targets: Array,
    batch: Array,
    theta: Array,
    widths: Array,
    x: Array,
    y: Array,
    hidden: Array,
    z: Array,
    d: Array,
    top: Array,
) -> float:
    """Copy the rows and targets of a batch into x and y, and compute `mlp_forward` and `shift`.

    Return the largest |z|. X (n, n_in) and targets (n,) have all rows, ``batch`` (B,) the indices of some.
    The buffers are x (B, n_in), y (B,), z and d (B, n_out) and top (B,), and those of `mlp_forward`.
    """
    last = X.shape[0] - 1
    for i in range(batch.size):
        row = min(max(batch[i], 0), last)  # as in `DenseRows.gather`: compiled code does not check bounds
        y[i] = targets[row]
        for j in range(X.shape[1]):
            x[i, j] = X[row, j]
    mlp_forward(theta, widths, x, hidden, z)
    shift(z, d, top)
    return largest_magnitude(z)


def batch_gradient(
    theta: Array,
    gradient: Array,
    widths: Array,
    x: Array,
    y: Array,
    hidden: Array,
    dhidden: Array,
    dz: Array,
    E: Array,
    d: Array,
    top: Array,
) -> float:
    """Compute `softmax_loss` and `mlp_backward`, and return the loss."""
    value = softmax_loss(E, d, top, y, dz)
    mlp_backward(theta, gradient, widths, x, hidden, dhidden, dz)
    return value


EXACT = (
    add_bias,
    add_bias_relu,
    relu_backward,
    relu_backward_bias,
    largest_magnitude,
    scaled_rows,
    unit_products_backward,
    silu,
    dropout,
    shift,
    softmax_loss,
    sigmoid_loss,
    mlp_forward,
    mlp_backward,
    batch_logits,
    batch_gradient,
)
"""Loops that are compiled without approximations. A loop may call those before it."""

APPROXIMATE = (adam, add_penalty, scaled_rows_backward, unit_products)
"""Loops that may use approximate quotients and sum in any order, which is faster: LLVM vectorizes a sum only
if the order is free. Losses must not be among them."""


def signatures(number: str) -> dict[str, str]:
    """Return numba's signature of each loop, for a network that computes in the type named ``number``.

    `mlp_forward` and `mlp_backward` need none: they are compiled with the loops that call them.
    """
    rows, vector, wide = f"{number}[:,::1]", f"{number}[::1]", "float64[:,::1]"
    members, indices = f"{number}[:,:,::1]", "intp[::1]"
    softmax = {
        "largest_magnitude": f"({rows},)",
        "shift": f"({rows}, {wide}, {indices})",
        "softmax_loss": f"({wide}, {wide}, {indices}, {indices}, {rows})",
        "batch_logits": (
            f"(Array({number}, 2, 'C', readonly=True), {indices}, {indices}, {vector}, {indices}, "
            f"{rows}, {indices}, {vector}, {rows}, {wide}, {indices})"
        ),
        "batch_gradient": (
            f"({vector}, {vector}, {indices}, {rows}, {indices}, {vector}, {vector}, {rows}, "
            f"{wide}, {wide}, {indices})"
        ),
    }
    return {
        **(softmax if number == "float32" else {}),
        "add_bias": f"({rows}, {vector})",
        "add_bias_relu": f"({rows}, {vector})",
        "relu_backward": f"({rows}, {rows})",
        "relu_backward_bias": f"({rows}, {rows}, {vector})",
        "scaled_rows": f"({rows}, {rows}, {members})",
        "scaled_rows_backward": f"({members}, {rows}, {rows}, {rows}, {rows})",
        "unit_products": f"({members}, {rows}, {rows})",
        "unit_products_backward": f"({members}, {rows}, {rows}, {rows}, {members})",
        "silu": f"({rows}, {rows}, {rows}, {rows}, {rows})",
        "dropout": f"({rows}, uint16[:,::1], int64, {number}, {rows}, {rows})",
        "adam": f"({vector}, {vector}, {vector}, {vector}, float64, float64, float64, float64)",
        "add_penalty": f"({vector}, {vector}, float64)",
        "sigmoid_loss": f"({rows}, {wide}, {wide}, {rows})",
    }
