"""
Step 2: thresholds
==================

The logit at which the naive loss overflows depends only on the floating-point type.
"""

import numpy as np


def last(holds, dtype):
    """Find the largest x for which a condition holds, by bisection. It must hold at 0 and fail at 1024."""
    low, high = dtype(0), dtype(1024)
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


print("type      exp(x) is finite   ten exp(x) have a    exp(-x) is not 0   log(1 + exp(-x)) is")
print("          up to x =          finite sum up to     up to x =          not 0 up to")
with np.errstate(over="ignore"):
    for dtype in (np.float16, np.float32, np.float64):
        print(
            f"{dtype.__name__:8}"
            f"{last(lambda x: np.exp(x) < np.inf, dtype):18.7g}"
            f"{last(lambda x: np.exp(np.repeat(x, 10)).sum() < np.inf, dtype):20.7g}"
            f"{last(lambda x: np.exp(-x) > 0, dtype):20.7g}"
            f"{last(lambda x: np.log(1 + np.exp(-x)) > 0, dtype):21.7g}"
        )

print("\nProperties of the types from np.finfo. Which of them determines which column above?")
for dtype in (np.float16, np.float32, np.float64):
    info = np.finfo(dtype)
    print(f"{dtype.__name__:8}  largest number {info.max:.4g}", end="   ")
    print(f"smallest above 0 {info.smallest_subnormal:.4g}   distance from 1 to the next {info.eps:.4g}")

print("\nThe naive loss -log(exp(z1) / sum(exp(z))) of float32 logits; the true class is the second:")
for x in (88, 89):
    with np.errstate(all="ignore"):
        E = np.exp(np.float32([x, 0]))
        print(f"  z = [{x}, 0]: exp {E}, probabilities {E / E.sum()}, loss {-np.log(E / E.sum())[1]:.6g}")
