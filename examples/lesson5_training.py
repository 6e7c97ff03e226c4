"""
Step 5: training
================

A network for pixels from 0 to 255 learns with the stable loss only.
"""

import numpy as np

from tinyclf.teaching.experiments import UNSCALED

NAMES, SEEDS = ("naive", "clipped", "stable"), range(3)

print(UNSCALED)
for dtype in ("float32", "float64"):
    results = {name: [] for name in NAMES}
    for outcome in UNSCALED.outcomes(NAMES, SEEDS, dtype):
        results[outcome.name].append(outcome)

    print(
        f"\n{dtype}, means over seeds 0 to {SEEDS[-1]}; a seed determines split, weights and order of rows:"
    )
    for name, outcomes in results.items():
        steps = [outcome.first_nonfinite_step for outcome in outcomes]
        if any(steps):
            print(f"  {name:7} not finite from step {steps} on; the weights are nan, so there is no accuracy")
            continue
        first, last = (np.mean([outcome.curve[i] for outcome in outcomes]) for i in (0, -1))
        true = np.mean([outcome.true_loss for outcome in outcomes])
        accuracy = [outcome.accuracy for outcome in outcomes]
        print(
            f"  {name:7} loss of epoch 1 {first:.3g}, of the last {last:.3g}; true loss {true:.3g}", end="; "
        )
        print(f"test accuracy {np.mean(accuracy):.3f} ({min(accuracy):.3f} to {max(accuracy):.3f})")
    fraction = np.mean([outcome.no_gradient[0] for outcome in results["clipped"]])
    print(f"  clipped, epoch 1: {fraction:.0%} of the rows are misclassified and have a gradient of 0")
