"""
Step 6: a failure without a warning
===================================

Nothing overflows, but networks trained with the clipped loss forget whole digits.
"""

import numpy as np

from tinyclf.teaching.experiments import QUIET

SEEDS = range(10)
NAMES = ("naive", "clipped", "stable")
runs = {name: list(QUIET.outcomes([name], SEEDS)) for name in NAMES}

print(QUIET)
print("\nTest accuracy:" + "".join(f"{name:>9}" for name in runs) + "   recall of digits 0 to 9, clipped")
for seed in SEEDS:
    accuracy = "".join(f"{outcomes[seed].accuracy:9.3f}" for outcomes in runs.values())
    recall = " ".join(f"{r:4.2f}" if r >= 0.1 else "  --" for r in runs["clipped"][seed].recall)
    print(f"  seed {seed:<7}{accuracy}   {recall}")
means = [np.mean([o.accuracy for o in outcomes]) for outcomes in runs.values()]
print("  mean        " + "".join(f"{mean:9.3f}" for mean in means))

print("\nWhat shows the failure?")
for name, outcomes in runs.items():
    broken = sum(o.first_nonfinite_step is not None for o in outcomes)
    forgot = sum((o.recall < 0.1).any() for o in outcomes)
    print(f"  {name:8} runs with inf or nan: {broken}, runs that forgot a digit (--): {forgot}", end="; ")
    reported, true = np.mean([(o.curve[-1], o.true_loss) for o in outcomes], axis=0)
    print(f"reported loss {reported:.2g}, true loss {true:.2g}")
