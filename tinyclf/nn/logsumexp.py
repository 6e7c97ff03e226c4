r"""Softmax, log-softmax, log-sum-exp and cross-entropy, accurate for any logits.

A row x of logits holds one real number for each of k classes. Every function below computes a form
of

    p_i = exp(x_i) / sum_j exp(x_j).

Computed as written, exp overflows at 88.7 in float32 and at 709.8 in float64, and the quotient is
nan. If the largest entry of the row is subtracted first, exp does not overflow. With a = argmax x,
m = x_a and d_i = x_i - m <= 0,

    E_i = exp(d_i),    S = sum of E_i over i != a,    T = 1 + S,    L = log1p(S),

    softmax_i = E_i / T,    log_softmax_i = d_i - L,    logsumexp = m + L,
    cross-entropy of label t = (m - x_t) + L.

Why each step is there, with an input on which the simpler form fails:

>>> from tinyclf.functional import cross_entropy, cross_entropy_grad, softmax
>>> errors = np.seterr(all="ignore")

1. The shift by m. float32 exp(89) is inf, and inf / inf is nan.

>>> x = np.float32([89, 0])
>>> (np.exp(x) / np.exp(x).sum()).tolist(), softmax(x).round(3).tolist()
([nan, 0.0], [1.0, 0.0])

2. The logarithm from d, not from p. A shifted softmax is 0 where exp(d) underflows, and log(0) is -inf.

>>> p = softmax(np.float32([104, 0]))
>>> print(-np.log(p[1]), cross_entropy(np.float32([[104, 0]]), [1]))
inf [104.]

3. log1p of the sum without its largest term, which is exactly 1. The sum 1 + S rounds off a small S.

>>> print(np.log(1 + np.exp(np.float32(-20))), cross_entropy(np.float32([[20, 0]]), [0]))
0.0 [2.0611537e-09]

4. (m - x_t) + L, not (m + L) - x_t. If m is 10,000, the sum m + L has only three decimals in float32.

>>> x = np.float32([10002, 9999])
>>> lse = x[0] + np.log(1 + np.exp(x[1] - x[0]))
>>> print(lse - x[0], cross_entropy([x], [0]))
0.048828125 [0.04858735]

5. -S / T for the gradient p_t - 1 at the label, if t = a. If p_t rounds to 1, the difference p_t - 1 is 0.

>>> x = np.float64([[40, 0]])
>>> print(softmax(x)[0, 0] - 1, cross_entropy_grad(x, [0]))
0.0 [[-4.24835426e-18  4.24835426e-18]]

6. A correction of d for float64 logits. d is rounded, with an error of up to 2^-44 near d = -745, which
   changes exp(d) by up to 512 units in the last place. Knuth's TwoSum computes this error e, and
   exp(d + e) = exp(d) (1 + e) corrects it. Without it, the error below is 363 such units.
   (float16 and float32 logits are computed in float64 and rounded once; they need no correction.)

>>> x = np.float64([0.3, -699.9])
>>> truth = 8.0724204017779341826e-305
>>> [bool(abs(p / truth - 1) < 1e-15) for p in (np.exp(x[1] - x[0]), softmax(x)[1])]
[False, True]

7. A factor of 2^64 where S is below 1e-300. The terms of S are then near the subnormal numbers and lose
   digits; multiplied by 2^64, they do not. Here each computed exp is 5e-324, the smallest float64
   number, instead of 3.4e-324.

>>> x = np.array([[0.0] + 1000 * [-744.8]])
>>> print(np.exp(x[0, 1:]).sum(), cross_entropy(x, [0]))
4.94e-321 [3.45e-321]

8. A sum over classes that are contiguous in memory, since NumPy sums pairwise only then. Even then, it adds
   up to 16 terms one after the other. If these terms are equal, all rounding errors may have the
   same sign. More than 128 float64 classes are therefore summed by halves.

>>> x = np.full((2, 1_000_000), 0.1)
>>> sums = [np.exp(x).sum(axis=1)[0], np.exp(np.asfortranarray(x)).sum(axis=1)[0]]
>>> [bool(abs(s / (1e6 * np.exp(0.1)) - 1) < 1e-14) for s in sums]
[True, False]
>>> np.seterr(**errors)["over"]
'ignore'

Rows that define no distribution give nan: rows with nan or +inf, and rows of -inf only. (Their
`logsumexp` is nan, +inf and -inf, respectively.) In a row with a finite logit, a logit of -inf is a
class of probability 0.

Shapes: x is (..., k), or has its classes along another axis; with targets, it is (n, k). float64
and integer logits give float64, float32 and float16 give float32. Inputs are never changed; no
warning is emitted.

References
----------
Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions",
IMA Journal of Numerical Analysis 41 (2021).
Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B (TwoSum).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .arrays import Array

# Exponentials below _TINY come near the subnormal numbers, which have fewer digits. Multiplied by _LIFT,
# they keep all digits.
_TINY = 1e-300
_LIFT = 2.0**64

# Up to this number of terms, NumPy's sum of a row is accurate enough; above, its error depends on the
# version of NumPy.
_MANY = 128


class Scratch(NamedTuple):
    """Buffers of one computation on (n, k) logits, all float64: d and E as in the module's formulas.

    b and e are the buffers of TwoSum, for float64 logits only. Any object with these attributes can
    take its place.
    """

    d: Array
    E: Array
    b: Any = None
    e: Any = None


class Exponentials(NamedTuple):
    """Logits relative to the largest entry of each row, in float64."""

    starts: Array  # (n,) flat position of each row in an (n, k) array
    top: Array  # (n,) flat position of its largest logit
    m: Array  # (n,) the largest logits
    d: Array  # (n, k) x - m, rounded
    e: Array | None  # (n, k) x - m - d, the rounding error of d, for float64 logits only
    E: Array  # (n, k) exp(d + e), but 0 at the largest logit, or nan if that logit is not finite
    S: Array  # (n,) sum of E


def exponentials(x: Array, scratch: Any = None) -> Exponentials:
    """Compute the parts that all functions of this module use; x is (n, k), k > 0."""
    n, k = x.shape
    s = scratch or _new_scratch((n, k), x.dtype)
    d, E = s.d, s.E
    b, e = (s.b, s.e) if x.dtype == np.float64 else (None, None)
    starts = np.arange(0, n * k, k)
    top = x.argmax(axis=1)
    top += starts
    m = x.ravel()[top].astype(np.float64)
    column = m[:, None]
    np.subtract(x, column, out=d)
    np.exp(d, out=E)
    if b is not None and e is not None:
        _add_rounding_of_difference(x, column, d, E, b, e)
    E.ravel()[top] = d.ravel()[top]  # nan where the largest logit is not finite: no distribution exists
    S = row_sums(E, x.dtype, b)
    if e is not None and k > 1 and (S < _TINY).any():
        rows = np.flatnonzero(S < _TINY)
        S[rows] = _sum_of_lifted(1.0, d[rows], e[rows], top[rows] % k) / _LIFT
    return Exponentials(starts, top, m, d, e, E, S)


def row_sums(terms: Array, dtype: DTypeLike, scratch: Array | None = None) -> Array:
    """Sum float64 terms (n, k) over the classes; ``dtype`` is the type of the logits.

    For float64 logits, more than 128 terms are summed by halves. For narrower logits any order is
    accurate enough, so BLAS computes the sum: in 0.6 instead of 3.7 microseconds at (200, 10).
    """
    k = terms.shape[1]
    if dtype != np.float64 or k <= _MANY:
        total: Array = terms.sum(axis=1) if dtype == np.float64 else terms.dot(_ones(k))
        return total
    s = np.empty_like(terms) if scratch is None else scratch
    s[...] = terms
    return _sum_by_halves(s.T).copy()


@lru_cache(maxsize=8)
def _ones(k: int) -> Array:
    return np.ones(k)


def _add_rounding_of_difference(x: Array, m: Array, d: Array, E: Array, b: Array, e: Array) -> None:
    """Write e, with d + e = x - m exactly (TwoSum), and multiply E by 1 + e."""
    np.subtract(d, x, out=b)  # b = d - x
    np.subtract(d, b, out=e)
    np.subtract(x, e, out=e)  # e = (x - (d - b)) ...
    b += m
    e -= b  # ... - (b + m)
    np.fmax(e, -1.0, out=e)  # e is nan where d is -inf; there E is 0
    np.multiply(e, E, out=b)
    E += b


def _lifted(c: Any, d: Array, e: Array | None) -> Array:
    """Compute 2^64 c exp(d + e) from exp(d / 2): d / 2 is exact, and its exp is far from subnormal."""
    h = np.exp(0.5 * d)
    E: Array = c * h * _LIFT * h
    return E if e is None else E + E * e


def _sum_of_lifted(c: Any, d: Array, e: Array | None, a: Array) -> Array:
    """Sum 2^64 c exp(d + e) over all classes but a."""
    terms = _lifted(c, d, e)
    terms[np.arange(len(a)), a] = 0.0
    return row_sums(terms, np.float64)


def probabilities(x: Exponentials) -> Array:
    """Overwrite E with the softmax and return it."""
    x.E.ravel()[x.top] = 1.0
    # Multiplying by 1 / T, or exp(d - L), would round once more than a division.
    return np.divide(x.E, (1.0 + x.S)[:, None], out=x.E)


def softmax_rows(x: Array) -> Array:
    """Softmax of the rows of x (n, k), k > 0, in float64.

    For narrower types, T is enough, and d has no rounding error to correct (but for logits that differ
    by a factor of 2^29 or more). With the classes along the first axis, (k, n), this takes less than half
    the time.
    """
    with np.errstate(all="ignore"):
        if x.dtype == np.float64:
            return probabilities(exponentials(x))
        E = _differences(x)
        np.exp(E, out=E)
        E /= _sum_by_halves(E.copy())
        return np.ascontiguousarray(E.T)


def log_softmax_rows(x: Array) -> Array:
    """Logarithm of the softmax of the rows of x (n, k), k > 0, in float64: d - log1p(S)."""
    with np.errstate(all="ignore"):
        if x.dtype == np.float64:
            parts = exponentials(x)
            return np.subtract(parts.d, np.log1p(parts.S)[:, None], out=parts.d)
        d = _differences(x)
        E = np.exp(d)
        is_top = d == 0.0
        E[is_top] = 0.0
        S = _sum_by_halves(E)
        S += np.add.reduce(is_top, axis=0, dtype=np.intp) - 1  # classes that are equal to the top one
        tiny = np.flatnonzero(S < _TINY) if len(d) > 1 else ()
        d -= np.log1p(S, out=S)
        result = np.ascontiguousarray(d.T)
        if len(tiny):
            result[tiny] = log_softmax_rows(x[tiny].astype(np.float64))
        return result


def _differences(x: Array) -> Array:
    """Return d (k, n), given x (n, k)."""
    d = np.array(x.T, np.float64, order="C")
    d -= np.maximum.reduce(d, axis=0)
    return d


def _sum_by_halves(terms: Array) -> Array:
    """Sum terms (k, n) over k; they are overwritten."""
    k = len(terms)
    while k > 1:
        half = (k + 1) // 2
        first = terms[: k - half]
        first += terms[half:k]  # terms[: k - half] += ... would copy the sum onto itself
        k = half
    total: Array = terms[0]
    return total


def cross_entropy_rows(x: Array, y: Array, gradient: Array | None = None, scratch: Any = None) -> Array:
    """Return the losses of the rows in float64; if ``gradient`` is given, write their gradient into it.

    `cross_entropy`, `cross_entropy_grad` and the training loss all use this function. Arguments are
    not checked; y are codes or probabilities as `as_targets` returns them, in C order.
    """
    parts = exponentials(x, scratch)
    if y.ndim == 1:
        return _hard_rows(parts, y, gradient)
    return _soft_rows(parts, x, y, gradient)


def _hard_rows(parts: Exponentials, t: Array, gradient: Array | None) -> Array:
    """Loss -d_t + L; gradient E / T, but (E_t - S - 1) / T at t, or -S / T if t is the largest logit."""
    starts, top, _, d, _, E, S = parts
    label = starts + t
    losses: Array = np.log1p(S)
    losses -= d.ravel()[label]
    if gradient is not None:
        flat = E.ravel()
        r = flat[label]
        r -= S
        r -= label != top  # at the largest logit, E is still 0 instead of 1
        flat[top] = 1.0
        flat[label] = r
        S += 1.0
        np.divide(E, S[:, None], out=gradient, casting="same_kind")
    return losses


def _soft_rows(parts: Exponentials, x: Array, y: Array, gradient: Array | None) -> Array:
    """Loss sum of -y_i d_i over y_i > 0, plus Y L; gradient Y p_i - y_i.

    Y is the sum of y. At the largest logit, the gradient Y p_a - y_a equals (Y - y_a) - Y S / T,
    with Y - y_a as the sum of the other targets. This form is more accurate where p_a is near 1 and
    S is small, and is used for S < 1; the first form is more accurate where p_a is small.
    """
    _, top, m, d, e, E, S = parts
    others = y.copy()
    others.ravel()[top] = 0.0
    rest = row_sums(others, x.dtype)
    Y = rest + y.ravel()[top]
    # 0 * inf is nan, but a class with target 0 contributes nothing, also if its logit is -inf.
    terms = np.where(y > 0, -d * y, 0.0)
    if np.isinf(terms).any():  # m - x may overflow where y (m - x) does not
        half = 0.5 * m[:, None] - 0.5 * x
        terms = np.where(np.isinf(terms) & np.isfinite(half), 2.0 * (half * y), terms)
    Y_L = Y * np.log1p(S)
    rows = np.flatnonzero((S < _TINY) & (Y > 1.0))
    if rows.size:  # S has lost digits, which count if Y is large; log1p(S) is S here
        Y_L[rows] = _sum_of_lifted(
            Y[rows, None], d[rows], None if e is None else e[rows], top[rows] % d.shape[1]
        )
        Y_L[rows] /= _LIFT
    losses: Array = row_sums(terms, x.dtype) + Y_L
    if gradient is not None:
        tiny = np.flatnonzero(E < _TINY)
        p = probabilities(parts)
        p *= Y[:, None]
        if tiny.size:
            c = (Y / (1.0 + S))[tiny // d.shape[1]]
            p.ravel()[tiny] = _lifted(c, d.ravel()[tiny], None if e is None else e.ravel()[tiny]) / _LIFT
        p -= y
        p.ravel()[top] = np.where(S < 1.0, rest - Y * (S / (1.0 + S)), p.ravel()[top])
        gradient[...] = E
    return losses


def scratch_names(dtype: DTypeLike) -> tuple[str, ...]:
    """Return the names of the buffers that logits of this dtype need: b and e for float64 only."""
    return Scratch._fields if np.dtype(dtype) == np.float64 else Scratch._fields[:2]


def _new_scratch(shape: tuple[int, ...], dtype: DTypeLike) -> Scratch:
    return Scratch(*(np.empty(shape) for _ in scratch_names(dtype)))
