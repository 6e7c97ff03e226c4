r"""Softmax, log-softmax, log-sum-exp and cross-entropy, right for any logits.

Logits are rows of real numbers x of k classes; every function below computes a form of

    p_i = exp(x_i) / sum_j exp(x_j).

Computed literally, exp overflows at 88.7 in float32 and at 709.8 in float64, and the quotient is
nan. Relative to its largest entry, a row has no such limit. With a = argmax x, m = x_a and d_i =
x_i - m <= 0,

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

2. Logarithms from d, not from p. A shifted softmax is finite, and 0 where exp(d) underflows: log is -inf.

>>> p = softmax(np.float32([104, 0]))
>>> print(-np.log(p[1]), cross_entropy(np.float32([[104, 0]]), [1]))
inf [104.]

3. log1p of a sum without its largest term, which is exactly 1. log(1 + S) keeps of S what fits beside 1.

>>> print(np.log(1 + np.exp(np.float32(-20))), cross_entropy(np.float32([[20, 0]]), [0]))
0.0 [2.0611537e-09]

4. (m - x_t) + L, not (m + L) - x_t. Beside an offset of 10,000, float32 has three decimals left for L.

>>> x = np.float32([10002, 9999])
>>> lse = x[0] + np.log(1 + np.exp(x[1] - x[0]))
>>> print(lse - x[0], cross_entropy([x], [0]))
0.048828125 [0.04858735]

5. -S / T for the gradient p_t - 1 at the label, where t = a. A probability that rounds to 1 leaves nothing.

>>> x = np.float64([[40, 0]])
>>> print(softmax(x)[0, 0] - 1, cross_entropy_grad(x, [0]))
0.0 [[-4.24835426e-18  4.24835426e-18]]

6. float64 in, float64 out: d itself is rounded, by half a unit of a number as large as 745, which is up to
   512 units of exp(d). Knuth's TwoSum finds what the rounding took, e, and exp(d + e) = exp(d) (1 +
   e) puts it back; without it the second probability is 363 units off. (float16 and float32 logits
   are computed in float64 and rounded once, which is right without it.)

>>> x = np.float64([0.3, -699.9])
>>> truth = 8.0724204017779341826e-305
>>> [bool(abs(p / truth - 1) < 1e-15) for p in (np.exp(x[1] - x[0]), softmax(x)[1])]
[False, True]

7. Where S is below 1e-300, its terms are near the subnormal numbers and lose digits. Times 2^64 they do
   not. Here each exp comes out as 5e-324, the smallest float, and should be 3.4e-324.

>>> x = np.array([[0.0] + 1000 * [-744.8]])
>>> print(np.exp(x[0, 1:]).sum(), cross_entropy(x, [0]))
4.94e-321 [3.45e-321]

8. The classes lie next to each other in memory when they are summed; only then does NumPy sum pairwise, and
   even then equal terms may round the same way 16 times. Many float64 classes are therefore summed
   by halves.

>>> x = np.full((2, 1_000_000), 0.1)
>>> sums = [np.exp(x).sum(axis=1)[0], np.exp(np.asfortranarray(x)).sum(axis=1)[0]]
>>> [bool(abs(s / (1e6 * np.exp(0.1)) - 1) < 1e-14) for s in sums]
[True, False]
>>> np.seterr(**errors)["over"]
'ignore'

Rows that are not a distribution give nan: rows with nan or +inf, and rows of -inf only. A -inf
logit among finite ones is a class of probability 0.

Shapes: x is (..., k) with any axis for the classes, or (n, k) where targets take part. float64 and
integer logits give float64, float32 and float16 give float32. Inputs are never changed; no warning
is emitted.

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

# Safely above the subnormal range, where float64 loses digits; times 2^64, exponentials keep them.
_TINY = 1e-300
_LIFT = 2.0**64

# Up to so many terms NumPy's sum of a row is good enough; beyond, its error depends on the version.
_MANY = 128


class Scratch(NamedTuple):
    """Buffers of one computation on (n, k) logits, all float64: d and E as in the module's formulas.

    b and e serve TwoSum, for float64 logits only. Any object with these names will do.
    """

    d: Array
    E: Array
    b: Any = None
    e: Any = None


class Exponentials(NamedTuple):
    """Logits relative to the largest entry of each row, in float64."""

    starts: Array  # (n,) flat position of each row in an (n, k) array
    top: Array  # (n,) that of its largest logit
    m: Array  # (n,) the largest logits
    d: Array  # (n, k) x - m, rounded
    e: Array | None  # (n, k) what the rounding took from d, for float64 logits only
    E: Array  # (n, k) exp(d), but 0 instead of 1 at the largest, or nan if that is not finite
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
    """Sum float64 terms over the classes, for logits of this type: many float64 ones by halves.

    For narrower logits any order is accurate, so BLAS may choose: 0.6 instead of 3.7 microseconds
    at (200, 10).
    """
    k = terms.shape[1]
    if dtype != np.float64 or k <= _MANY:
        total: Array = terms.sum(axis=1) if dtype == np.float64 else terms.dot(_ones(k))
        return total
    s = np.empty_like(terms) if scratch is None else scratch
    s[...] = terms
    while k > 1:
        half = (k + 1) // 2
        s[:, : k - half] += s[:, half:k]
        k = half
    return s[:, 0].copy()


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
    np.fmax(e, -1.0, out=e)  # nan where d = -inf, and E = 0 there
    np.multiply(e, E, out=b)
    E += b


def _lifted(c: Any, d: Array, e: Array | None) -> Array:
    """Compute c exp(d + e), times 2^64: d / 2 is exact, and exp of it far from subnormal."""
    h = np.exp(0.5 * d)
    E: Array = c * h * _LIFT * h
    return E if e is None else E + E * e


def _sum_of_lifted(c: Any, d: Array, e: Array | None, a: Array) -> Array:
    """Sum c exp(d + e) over the classes but a, times 2^64."""
    terms = _lifted(c, d, e)
    terms[np.arange(len(a)), a] = 0.0
    return row_sums(terms, np.float64)


def probabilities(x: Exponentials) -> Array:
    """Turn E into softmax, in place."""
    x.E.ravel()[x.top] = 1.0
    # A quotient: multiplying by 1 / T or taking exp(d - L) would round once more.
    return np.divide(x.E, (1.0 + x.S)[:, None], out=x.E)


def softmax_rows(x: Array) -> Array:
    """Softmax of the rows of x (n, k), k > 0: float64 for float64, float32 for narrower types.

    A float32 result needs T only, not S, and class by class, (k, n), that takes half the time.
    """
    with np.errstate(all="ignore"):
        if x.dtype == np.float64:
            return probabilities(exponentials(x))
        E = np.array(x.T, np.float64, order="C")
        E -= E.max(axis=0)
        np.exp(E, out=E)
        E /= E.sum(axis=0)
        return np.ascontiguousarray(E.T, np.float32)


def cross_entropy_rows(x: Array, y: Array, gradient: Array | None = None, scratch: Any = None) -> Array:
    """Losses of the rows in float64 and, where ``gradient`` is given, their gradient written into it.

    This is the one computation behind `cross_entropy`, `cross_entropy_grad` and the training loss.
    It checks nothing; y are codes or probabilities as `as_targets` returns them, in C order.
    """
    parts = exponentials(x, scratch)
    if y.ndim == 1:
        return _hard_rows(parts, y, gradient)
    return _soft_rows(parts, x, y, gradient)


def _hard_rows(parts: Exponentials, t: Array, gradient: Array | None) -> Array:
    """Loss -d_t + L; gradient E / T, but (E_t - S - 1) / T at t, and -S / T if that is the largest logit."""
    starts, top, _, d, _, E, S = parts
    label = starts + t
    losses: Array = np.log1p(S)
    losses -= d.ravel()[label]
    if gradient is not None:
        flat = E.ravel()
        r = flat[label]
        r -= S
        r -= label != top  # where they are equal, E is still 0
        flat[top] = 1.0
        flat[label] = r
        S += 1.0
        np.divide(E, S[:, None], out=gradient, casting="same_kind")
    return losses


def _soft_rows(parts: Exponentials, x: Array, y: Array, gradient: Array | None) -> Array:
    """Loss sum of -y_i d_i over y_i > 0, plus Y L; gradient Y p_i - y_i.

    At the largest logit that is (Y - y_a) - Y S / T, with Y - y_a as the sum of the others: the
    better form where p_a is near 1 and S small. Where p_a is small it is the other way round.
    """
    _, top, m, d, e, E, S = parts
    others = y.copy()
    others.ravel()[top] = 0.0
    rest = row_sums(others, x.dtype)
    Y = rest + y.ravel()[top]
    # 0 * inf is nan, but a class without any weight contributes nothing, whatever its logit.
    terms = np.where(y > 0, -d * y, 0.0)
    if np.isinf(terms).any():  # m - x may be beyond the range where y (m - x) is not
        half = 0.5 * m[:, None] - 0.5 * x
        terms = np.where(np.isinf(terms) & np.isfinite(half), 2.0 * (half * y), terms)
    Y_L = Y * np.log1p(S)
    rows = np.flatnonzero((S < _TINY) & (Y > 1.0))
    if rows.size:  # Y may lift an S without digits to where they count; log1p(S) is S here
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
    """Names of the buffers that logits of this dtype need: TwoSum's two for float64 only."""
    return Scratch._fields if np.dtype(dtype) == np.float64 else Scratch._fields[:2]


def _new_scratch(shape: tuple[int, ...], dtype: DTypeLike) -> Scratch:
    return Scratch(*(np.empty(shape) for _ in scratch_names(dtype)))
