"""Errors in units of the last place, against truth of many digits."""

import mpmath
import numpy as np

mpmath.mp.dps = 60


def ulp_error(got, truth, scale=None):
    """Largest error of an array, in ulps of the truth (or of the given scale) in the array's type.

    Truth is a sequence of mpmath numbers or of their strings; inf and nan must be met exactly.
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
