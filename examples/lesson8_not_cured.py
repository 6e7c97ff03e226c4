"""Lesson, step 8: a stable loss is no cure for steps that are too long; and clipping can be lucky."""

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
        silent = np.mean([outcome.silent[0] for outcome in outcomes])

lucky = np.sum(accuracy["clipped"] > accuracy["stable"])
print(f"\nClipping silences {silent:.0%} of the rows in epoch 1, all of them wrong. That shortens the steps,")
print(f"as gradient clipping would, but by accident: better than stable in {lucky} of {len(SEEDS)} runs.")

print("\nWhat helps is a shorter step, with the stable loss:")
for rate in (0.1, 0.03, 0.01):
    values = [o.accuracy for o in replace(STEEP, optimizer=SGD(rate)).outcomes(["stable"], SEEDS)]
    print(f"  learning rate {rate:<5} worst {min(values):.3f}, mean {np.mean(values):.3f}")
