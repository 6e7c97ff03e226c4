"""Write article_vectors.json: vectors used in introductions to log-sum-exp, with exact results.

Run it as ``python data/make_article_vectors.py``. It requires mpmath.
"""

import json
from pathlib import Path

import mpmath

mpmath.mp.dps = 60

VECTORS = {
    "overflow": {
        "x": [-100.0, 1000.0, -100.0, 5.0, 10.0, 0.001],
        "what": "exp overflows to inf at the second entry only",
    },
    "moderate": {
        "x": [11.0, 12.0, -1000.0, 5.0, 10.0, 0.001],
        "what": "the naive and the shifted formula agree",
    },
    "extreme": {
        "x": [-1000.0, 1000.0, -1000.0, 5.0, 10.0, 0.001],
        "what": "log-sum-exp is 1000, naively inf; softmax is one-hot, naively nan at the second entry",
    },
}


def truth(x):
    """Compute log-sum-exp, softmax and log-softmax of x with 60 digits; return strings of 25 digits."""
    x = [mpmath.mpf(v) for v in x]
    total = mpmath.fsum(mpmath.exp(v) for v in x)
    lse = mpmath.log(total)
    return {
        "logsumexp": mpmath.nstr(lse, 25),
        "softmax": [mpmath.nstr(mpmath.exp(v) / total, 25) for v in x],
        "log_softmax": [mpmath.nstr(v - lse, 25) for v in x],
    }


def table():
    return {name: {**vector, **truth(vector["x"])} for name, vector in VECTORS.items()}


if __name__ == "__main__":
    path = Path(__file__).with_name("article_vectors.json")
    path.write_text(json.dumps(table(), indent=1) + "\n")
    print(f"wrote {path}")
