"""
Step 1: vectors
===============

Softmax computed as written overflows; subtracting the maximum leaves two pitfalls.
"""

import numpy as np

from tinyclf import cross_entropy, log_softmax
from tinyclf.teaching.arithmetic import VECTORS

np.set_printoptions(precision=8, linewidth=110)

for name, entries in VECTORS.items():
    x = np.array(entries)
    m = x.max()
    with np.errstate(over="ignore", invalid="ignore"):  # otherwise NumPy warns here
        E = np.exp(x)
        lse, p = np.log(E.sum()), E / E.sum()
    shifted_lse = m + np.log(np.exp(x - m).sum())
    shifted_p = np.exp(x - shifted_lse)
    print(f"{name}: x = {x}")
    print(f"  log-sum-exp as written {lse:.17g}, shifted {shifted_lse:.17g}")
    print(f"  softmax as written, sum {p.sum():.17g}\n    {p}")
    print(f"  softmax shifted, sum {shifted_p.sum():.17g}\n    {shifted_p}")
    for i in np.flatnonzero(np.isinf(E)):
        print(f"  exp is inf at entry {i + 1}, and inf / inf is nan; the zeros are correct by coincidence")

print("\nPitfall 1: the logarithm of a probability that underflows. For the last vector:")
with np.errstate(divide="ignore"):
    print("  log of the shifted softmax", np.log(shifted_p))
print("  log-softmax from x        ", log_softmax(x))

print("\nPitfall 2: a large offset common to all logits. Loss of float32 logits, label 0:")
for offset in (0, 1e4, 1e6):
    z = np.float32([2, -1]) + np.float32(offset)
    lse = z.max() + np.log(np.exp(z - z.max()).sum())
    loss = cross_entropy([z], [0])[0]
    print(f"  [2, -1] + {offset:<9g} lse - z[0] is {lse - z[0]:.6f}, maximum subtracted first {loss:.6f}")
