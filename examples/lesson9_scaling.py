"""
Step 9: scaled inputs
=====================

With scaled inputs, training succeeds with every loss; use the stable loss as well.
"""

import numpy as np

from tinyclf.teaching.arithmetic import thresholds
from tinyclf.teaching.experiments import SCALED
from tinyclf.teaching.naive_losses import LOSSES

SEEDS = range(5)

print(SCALED)
print(f"\nMeans over seeds 0 to {SEEDS[-1]}:")
for name in LOSSES:
    accuracy, loss, largest = [], [], []
    for seed in SEEDS:
        network, outcome = SCALED.train(name, seed)
        accuracy.append(outcome.accuracy)
        loss.append(outcome.curve[-1])
        largest.append(np.abs(network.logits(SCALED.data(seed)[0])).max())
    print(f"  {name:9} test accuracy {np.mean(accuracy):.3f}, loss {np.mean(loss):.4f}", end="")
    print(f", largest |logit| {np.mean(largest):.1f}")

limit = thresholds("float32")["exp"]
print(f"\nIn float32, exp overflows above {limit:.1f}. With scaled inputs the logits stay below this limit,")
print("and all losses reach about the same accuracy. The stable loss is also correct above the limit.")
