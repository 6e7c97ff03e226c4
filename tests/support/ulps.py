"""Errors in units in the last place (ulp), measured against values with many digits."""

from dataclasses import dataclass

import mpmath
import numpy as np

mpmath.mp.dps = 60

# The largest errors allowed: correctly rounded in float32, a few units in float64.
LIMITS = {
    "float32": {"softmax": 0.51, "log_softmax": 0.51, "loss": 0.51, "gradient": 0.51, "logsumexp": 1.01},
    "float64": {"softmax": 8, "log_softmax": 6, "loss": 6, "gradient": 8, "logsumexp": 6},
}


@dataclass(frozen=True)
class Truth:
    """Exact results for a row of logits: the largest m, the sum S of the other exp(x - m), L = log(1 + S)."""

    m: object
    S: object
    L: object
    p: list
    log_p: list

    @property
    def lse(self):
        return self.m + self.L

    def gradient(self, t):
        """p - onehot(t), with -S / (1 + S) where p - 1 would cancel."""
        rest = mpmath.fsum(self.p[:t] + self.p[t + 1 :])
        return [*self.p[:t], -rest, *self.p[t + 1 :]]


def softmax_truth(x):
    """Exact results for a row of logits that has a finite entry and neither nan nor +inf."""
    x = [mpmath.mpf(v) for v in x.tolist()]
    top = x.index(max(x))
    e = [mpmath.exp(v - x[top]) for v in x]  # mpmath's exp(-inf) is 0
    S = mpmath.fsum(e[:top] + e[top + 1 :])
    L = mpmath.log1p(S)
    return Truth(x[top], S, L, [v / (1 + S) for v in e], [v - x[top] - L for v in x])


def ulp_error(got, truth, scale=None):
    """Largest error of an array, in ulps of the truth (or of the given scale) in the array's type.

    The truth is a sequence of mpmath numbers or of their strings; inf and nan must match exactly.
    """
    got = np.asarray(got)
    limit = np.finfo(got.dtype)
    largest = mpmath.mpf(float(np.nextafter(limit.max, 0)))  # the spacing above it overflows
    worst = 0.0
    truth = [mpmath.mpf(t) for t in truth]
    scale = truth if scale is None else [mpmath.mpf(s) for s in scale]
    assert got.size == len(truth)
    for g, t, s in zip(got.ravel().tolist(), truth, scale, strict=True):
        if mpmath.isnan(t) or mpmath.isinf(t) or not np.isfinite(g):
            beyond = mpmath.isinf(t) or abs(t) > mpmath.mpf(float(limit.max))
            right = (mpmath.isnan(t) and np.isnan(g)) or (np.isinf(g) and beyond and (g > 0) == (t > 0))
            worst = max(worst, 0.0 if right else np.inf)
            continue
        unit = np.spacing(got.dtype.type(min(abs(s), largest)))
        worst = max(worst, float(abs(mpmath.mpf(g) - t) / mpmath.mpf(float(unit))))
    return worst


def check(name, x, got, truth, scale=None):
    error = ulp_error(got, truth, scale)
    limit = LIMITS["float64" if x.dtype == np.float64 else "float32"][name]
    where = f"{x.dtype} logits {x.tolist()}: {got.tolist()}"
    assert error <= limit, f"{name} is off by {error:.3g} ulp for {where}"


SHAPES_OF_LOGITS = [
    "around zero",
    "any magnitude",
    "near ties",
    "one dominates",
    "common offset",
    "masked",
    "subnormal",
    "edge of exp",
]


def logits_of(kind, n, k, dtype, rng):
    """Rows of logits of one difficult kind."""
    big = float(np.log10(np.finfo(dtype).max)) - 1
    x = rng.normal(size=(n, k))
    with np.errstate(over="ignore", under="ignore"):
        if kind == "any magnitude":
            x = x * 10.0 ** rng.uniform(-big, big, size=(n, k))
        elif kind == "near ties":
            x = rng.normal(scale=100, size=(n, 1)).astype(dtype)
            for _ in range(3):
                x = np.where(rng.uniform(size=(n, k)) < 0.5, x, np.nextafter(x, np.array(9, dtype)))
        elif kind == "one dominates":
            x[:, rng.integers(k)] += rng.uniform(5, 60)
        elif kind == "common offset":
            x += 10.0 ** rng.uniform(1, min(big, 15))
        elif kind == "masked":
            x = np.where(rng.uniform(size=(n, k)) < 0.4, -np.inf, x)
            x[:, rng.integers(k)] = rng.normal()
        elif kind == "subnormal":
            x = x * float(np.finfo(dtype).tiny)
        elif kind == "edge of exp":
            x = -rng.uniform(*((680, 760) if dtype == "float64" else (80, 110)), size=(n, k))
            x[:, rng.integers(k)] = 0.3
        return x.astype(dtype)
