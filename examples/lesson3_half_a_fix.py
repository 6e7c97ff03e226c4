"""
Step 3: half of the fix
=======================

Subtracting the maximum is half of the fix; the other half is to avoid log(softmax(z)).
"""

import numpy as np

LABEL, EPS = np.array([False, True]), np.float32(1e-7)  # the true class is the second


def chain_rule(p, q, passes):
    """Loss -log q[label] and its gradient, for q computed from p; no gradient passes where p was clipped."""
    dp = np.where(LABEL & passes, -1 / q, 0)
    return -np.log(q[1]), p * (dp - np.sum(p * dp))


def ways(z):
    E = np.exp(z)
    p = E / E.sum()
    yield "naive", chain_rule(p, p, True)
    d = z - z.max()
    E = np.exp(d)
    p = E / E.sum()
    yield "shifted", chain_rule(p, p, True)
    q = np.clip(p, EPS, 1 - EPS)
    yield "clipped", chain_rule(p, q, q == p)
    yield "padded", chain_rule(p, p + EPS, True)
    S = np.delete(E, z.argmax()).sum()
    yield "stable", (np.log1p(S) - d[1], p - LABEL)  # without the logarithm of p


SCALES = (20, 50, 100, 1000)
print("Loss and gradient of float32 logits; the true class is the second:")
print(f"{'':9}" + "".join(f"{f'[{x}, 0]':>24}" for x in SCALES))
with np.errstate(all="ignore"):
    results = [dict(ways(np.float32([x, 0]))) for x in SCALES]
    p = np.exp(np.float32([0, -1000]))
    soft = -np.sum(np.float32([1, 0]) * np.log(p))
for name in results[0]:
    cells = [f"{loss:.6g} [{dz[0] + 0:.1g} {dz[1] + 0:.1g}]" for loss, dz in (row[name] for row in results)]
    print(f"{name:9}" + "".join(f"{cell:>24}" for cell in cells))
print(f"\nSoft target [1, 0], probabilities {p}: -sum(y log p) is {soft}, because 0 times inf is nan.")
