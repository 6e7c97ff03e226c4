"""Lesson, step 4: a row that is wrong must push; clipped, it stops pushing just when it is most wrong."""

import numpy as np

from tinyclf.teaching.arithmetic import last_push

EPS = np.float32(1e-7)
x = np.float32([1, 2, 5, 10, 15, 16, 17, 30, 60, 88, 89, 200, 1000])
z = np.stack([x, 0 * x], axis=1)  # logits [x, 0], and the true class is the second

with np.errstate(all="ignore"):
    E = np.exp(z)
    p = E[:, 1] / E.sum(axis=1)
    dp = 1 / p  # the chain rule: this through the log, and p (dp - p dp) through the softmax
    naive = -np.log(p), p * (dp - p * dp)

d = z - z.max(axis=1, keepdims=True)
E = np.exp(d)
p = E[:, 1] / E.sum(axis=1)
clipped = -np.log(np.maximum(p, EPS)), np.where(p >= EPS, 1 - p, 0)
stable = np.log(E.sum(axis=1)) - d[:, 1], 1 - p


def cell(loss, push):
    bar = "x nan" if np.isnan(push) else "#" * round(10 * float(push)) or "no push"
    return f"{loss:9.3f} {bar:14}"


print("Push: minus the gradient at the true class, ########## is 1. float32 logits [x, 0], label second.\n")
print("     x      naive: loss and push      clipped: loss and push    stable: loss and push")
for i in range(len(x)):
    row = "  ".join(cell(loss[i], push[i]) for loss, push in (naive, clipped, stable))
    print(f"{x[i]:6.0f}  {row.rstrip()}")

print("\nThe largest x, of those up to 4096, at which there still is a push:")
for name in ("naive", "clipped", "stable"):
    print(f"  {name:8} float32 {last_push(name):8.2f}   float64 {last_push(name, 'float64'):8.2f}")
