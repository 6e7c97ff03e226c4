"""
Step 7: tiny losses
===================

The textbook formula rounds a tiny loss to 0, log1p does not; the accuracy is the same.
"""

import numpy as np

from tinyclf.teaching.arithmetic import right_row
from tinyclf.teaching.experiments import QUIET, SCALED, UNSCALED

print("float32 logits [x, 0]; the true class is the first. S = exp(-x) is the sum over the other classes.")
print("The textbook loss is log(1 + S); the stable one is log1p(S), computed in float64:")
print("     x   textbook        log1p(S)        stable          gradient p - 1   -S / (1 + S)")
for x in (2, 10, 15, 16, 17, 20, 40, 80):
    d = np.float32([x, 0]) - np.float32(x)
    S = np.exp(d)[1]
    textbook, exact = np.log(1 + S), np.log1p(S)
    rounded, gradient = 1 / (1 + S) - 1, -S / (1 + S)
    loss, _ = right_row(x, "stable")
    print(f"{x:6}   {textbook:<15.8g} {exact:<15.8g} {loss:<15.8g} {rounded:<16.8g} {gradient:.8g}")

print("\nTest accuracy of networks trained with both losses, mean over 10 seeds:")
for name, experiment in (("unscaled", UNSCALED), ("quiet", QUIET), ("scaled", SCALED)):
    textbook, stable = (
        np.array([o.accuracy for o in experiment.outcomes([loss], range(10))])
        for loss in ("textbook", "stable")
    )
    difference = stable - textbook
    print(f"  {name:9} textbook {textbook.mean():.4f}, stable {stable.mean():.4f}, ", end="")
    print(
        f"difference {difference.mean():+.4f}, its standard deviation over seeds {difference.std(ddof=1):.4f}"
    )
