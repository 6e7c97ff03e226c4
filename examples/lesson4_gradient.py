"""
Step 4: gradient
================

A misclassified row needs a gradient; clipping removes it where the error is largest.
"""

import numpy as np

from tinyclf.teaching.arithmetic import gradient_limit

EPS = np.float32(1e-7)
x = np.float32([1, 2, 5, 10, 15, 16, 17, 30, 60, 88, 89, 200, 1000])
z = np.stack([x, 0 * x], axis=1)  # logits [x, 0], and the true class is the second

with np.errstate(all="ignore"):
    E = np.exp(z)
    p = E[:, 1] / E.sum(axis=1)
    dp = 1 / p  # the chain rule: 1 / p through the log, then p (dp - p dp) through the softmax
    naive = -np.log(p), p * (dp - p * dp)

d = z - z.max(axis=1, keepdims=True)
E = np.exp(d)
p = E[:, 1] / E.sum(axis=1)
clipped = -np.log(np.maximum(p, EPS)), np.where(p >= EPS, 1 - p, 0)
stable = np.log(E.sum(axis=1)) - d[:, 1], 1 - p


def cell(loss, minus_gradient):
    bar = "x nan" if np.isnan(minus_gradient) else "#" * round(10 * float(minus_gradient)) or "0"
    return f"{loss:9.3f} {bar:14}"


print("float32 logits [x, 0]; the true class is the second. Bars: minus the gradient at the true logit;")
print("########## is 1.\n")
print("     x      naive: loss, gradient     clipped: loss, gradient   stable: loss, gradient")
for i in range(len(x)):
    row = "  ".join(cell(loss[i], minus[i]) for loss, minus in (naive, clipped, stable))
    print(f"{x[i]:6.0f}  {row.rstrip()}")

print("\nThe largest x, up to 4096, at which the gradient is finite and not 0:")
for name in ("naive", "clipped", "stable"):
    print(f"  {name:8} float32 {gradient_limit(name):8.2f}   float64 {gradient_limit(name, 'float64'):8.2f}")
