"""
Step 8: learning rate
=====================

A stable loss does not fix a learning rate that is too large.
"""

from dataclasses import replace

import numpy as np

from tinyclf import SGD
from tinyclf.teaching.experiments import STEEP

SEEDS = range(10)

print(STEEP)
print(f"Test accuracy of seeds 0 to {SEEDS[-1]}, and the mean:")
accuracy = {}
for name in ("naive", "clipped", "stable"):
    outcomes = list(STEEP.outcomes([name], SEEDS))
    accuracy[name] = np.array([outcome.accuracy for outcome in outcomes])
    print(f"  {name:8}" + "".join(f"{a:7.3f}" for a in accuracy[name]) + f"  {accuracy[name].mean():7.3f}")
    if name == "clipped":
        no_gradient = np.mean([outcome.no_gradient[0] for outcome in outcomes])

better = np.sum(accuracy["clipped"] > accuracy["stable"])
print(f"\nWith the clipped loss, {no_gradient:.0%} of the rows in epoch 1 are misclassified with a")
print("gradient of 0. This shortens the steps by accident, as gradient clipping does on purpose: the")
print(f"clipped loss is better than stable in {better} of {len(SEEDS)} runs.")

print("\nA smaller learning rate fixes the problem, with the stable loss:")
for rate in (0.1, 0.03, 0.01):
    values = [o.accuracy for o in replace(STEEP, optimizer=SGD(rate)).outcomes(["stable"], SEEDS)]
    print(f"  learning rate {rate:<5} worst {min(values):.3f}, mean {np.mean(values):.3f}")
