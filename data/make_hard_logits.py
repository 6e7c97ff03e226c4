"""Write hard_logits.json: softmax and cross-entropy for logits on which simpler formulas fail.

Run it as ``python data/make_hard_logits.py``. It requires mpmath and NumPy.
"""

import json
from pathlib import Path

import mpmath
import numpy as np

mpmath.mp.dps = 60
DIGITS = 25

# name: (dtypes of the logits, logits, label, what it tests)
SINGLE, DOUBLE, BOTH = ("float32",), ("float64",), ("float32", "float64")
MAX32, MAX64 = 3.4028234663852886e38, 1.7976931348623157e308
TEN = [30.0, 1.5, -2.25, 0.5, 3.0, -7.0, 2.0, 1.0, 0.0, -1.0]
ROUNDED = [0.1, -744.3, -300.7, -36.9, -0.3, -1e-17, 0.09999999999999999]
CASES = {
    "confident": (BOTH, [20.0, 0.0], 0, "log(1 + S) is 0, log1p(S) is not"),
    "confident, three classes": (BOTH, [12.0, 0.0, 0.0], 0, "log(1 + S) keeps two digits in float32"),
    "very confident": (BOTH, [40.0, 0.0], 0, "log(1 + S) is 0 in float64, too"),
    "confidently wrong": (BOTH, [100.0, 0.0], 1, "exp overflows in float32"),
    "hopelessly wrong": (BOTH, [1000.0, 0.0], 1, "the probability of the label underflows to 0"),
    "common offset": (BOTH, [10002.0, 9999.0], 0, "logsumexp(x) - x[t] has few correct digits"),
    "huge common offset": (BOTH, [1e8, 1e8], 0, "the loss is log 2"),
    "near tie": (BOTH, [1.0, 1.0000001192092896], 0, "adjacent numbers in float32"),
    "three way tie": (BOTH, [-7.0, -7.0, -7.0], 2, "the loss is log 3"),
    "masked class": (BOTH, [1.0, float("-inf"), 2.0], 0, "a class of probability 0"),
    "label masked": (BOTH, [1.0, float("-inf"), 2.0], 1, "the loss is inf"),
    "one class left": (BOTH, [float("-inf"), -3.0], 1, "the loss is 0 exactly"),
    "one class": (BOTH, [5.0], 0, "the loss is 0 exactly"),
    "subnormal logits": (BOTH, [1e-40, -1e-40, 0.0], 1, "nearly a tie"),
    "largest floats": (SINGLE, [MAX32, -MAX32], 0, "S is 0; no result is nan"),
    "loss beyond float32": (SINGLE, [MAX32, -MAX32], 1, "the loss is inf"),
    "just below overflow": (SINGLE, [88.5, 88.0, 3.0, -88.0], 1, "each exp is finite, but their sum is not"),
    "probability of the label 1e-45": (SINGLE, [103.0, 0.0], 1, "subnormal in float32"),
    "ten, one far ahead": (BOTH, TEN, 0, "S is about 1e-12"),
    "differences that round": (DOUBLE, ROUNDED, 3, "x - m is rounded by up to 512 units of exp(x - m)"),
    "sum below 1e-300": (DOUBLE, [0.0, -700.3, -705.1, -710.9], 0, "terms near the subnormal range"),
    "subnormal sum": (DOUBLE, [0.3, -740.1, -739.9, -743.7], 0, "each term has few digits left"),
    "subnormal sum at an offset": (DOUBLE, [1e5, 1e5 - 741.5, 1e5 - 742.25], 1, "the same with an offset"),
    "largest doubles": (DOUBLE, [MAX64, -MAX64], 0, "the difference overflows to -inf, which is correct"),
}


def truth(x, label):
    """Compute softmax, log-softmax, loss and gradient with 60 digits; exp(-inf) is 0."""
    finite = [mpmath.mpf(v) for v in x if v != float("-inf")]
    top = max(finite)
    total = mpmath.fsum(mpmath.exp(v - top) for v in finite)
    others = [mpmath.exp(v - top) for v in finite]
    others.remove(1)
    S = mpmath.fsum(others)
    L = mpmath.log1p(S)

    def log_p(v):
        return mpmath.mpf("-inf") if v == float("-inf") else mpmath.mpf(v) - top - L

    def gradient(i):
        p = mpmath.exp(log_p(x[i]))
        if i != label:
            return p
        return -S / total if x[i] == top else p - 1

    return {
        "logsumexp": text(top + L),
        "softmax": [text(mpmath.exp(log_p(v))) for v in x],
        "log_softmax": [text(log_p(v)) for v in x],
        "loss": text(-log_p(x[label])),
        "gradient": [text(gradient(i)) for i in range(len(x))],
    }


def text(v):
    return mpmath.nstr(v, DIGITS).removeprefix("+")  # older versions write "+inf"


def table():
    rows = []
    for name, (dtypes, logits, label, why) in CASES.items():
        for dtype in dtypes:
            x = [float(v) for v in np.array(logits, dtype)]
            case = {"name": name, "dtype": dtype, "why": why, "logits": x, "label": label}
            rows.append({**case, **truth(x, label)})
    return rows


if __name__ == "__main__":
    path = Path(__file__).with_name("hard_logits.json")
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in table()) + "\n]\n")
    print(f"wrote {path}")
