"""Large logits in numbers: where exp gives up, clipping goes silent, and log-softmax does not care."""

import json
from pathlib import Path

import numpy as np

from tinyclf import cross_entropy, cross_entropy_grad, logsumexp, softmax
from tinyclf.teaching import (
    clipped_cross_entropy,
    clipped_cross_entropy_grad,
    naive_cross_entropy,
    naive_cross_entropy_grad,
)

vectors = json.loads((Path(__file__).parents[1] / "data" / "article_vectors.json").read_text())

print("Log-sum-exp of the article's vectors, naive and shifted by the largest entry:")
for name, vector in vectors.items():
    x = np.array(vector["x"])
    with np.errstate(over="ignore"):
        naive = np.log(np.sum(np.exp(x)))
    print(f"  {name:9} naive {naive:<20.17g} shifted {logsumexp(x):.17g}")
print("Softmax of the last one:", softmax(vectors["extreme"]["x"]))

print("\nLoss and gradient of float32 logits [x, 0] whose true class is the second:")
print(f"  {'x':>5}  {'naive':>24}  {'clipped at 1e-7':>24}  {'from logits':>24}")
for x in (2, 10, 20, 88, 100, 1000):
    z, t = np.float32([[x, 0]]), [1]
    cells = [
        f"{value(z, t)[0]:.6g} {np.array2string(gradient(z, t)[0] + 0, precision=3)}"
        for value, gradient in (
            (naive_cross_entropy, naive_cross_entropy_grad),
            (clipped_cross_entropy, clipped_cross_entropy_grad),
            (cross_entropy, cross_entropy_grad),
        )
    ]
    print(f"  {x:5}  " + "  ".join(f"{cell:>24}" for cell in cells))

print("\nA small loss is not 0: float32 logits [20, 0], true class the first:")
naive, exact = (f(np.float32([[20, 0]]), [0])[0] for f in (naive_cross_entropy, cross_entropy))
print(f"  naive {abs(naive):.8g}, from logits {exact:.8g}")
