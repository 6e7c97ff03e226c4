"""Compare the time of predictions: ``python benchmarks/predict.py [--quick] [--scaled] [--members K]``.

The script compares ``predict_proba`` of TinyClassifier and MLPClassifier on one pinned core, for 100,000 rows
and for one row, as when a model is served. TinyClassifier has one member, or K with ``--members K``. With
``--scaled``, it scales its input, as by default; MLPClassifier does not.
"""

import argparse
import warnings

from timing import pin_to_one_core, side_by_side

pin_to_one_core()

import numpy as np  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402

from tinyclf import TinyClassifier, use_fast  # noqa: E402

MANY, CALLS = 100_000, 300


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few rows")
    parser.add_argument("--scaled", action="store_true", help="let TinyClassifier scale its input")
    parser.add_argument("--members", type=int, default=1, help="number of members of TinyClassifier")
    options = parser.parse_args()
    n, scaled = 2_000 if options.quick else MANY, options.scaled
    warnings.simplefilter("ignore", ConvergenceWarning)
    use_fast(False)
    rng = np.random.default_rng(0)
    print(f"{'network, input':32}{f'{n:,} rows: ms':>20}{'MLP':>8}{'ratio':>8}", end="")
    print(f"{'1 row: us':>14}{'MLP':>8}{'ratio':>8}")
    for widths in ((64, 100, 10), (30, 100, 2), (200, 200, 200, 10)):
        wide = rng.normal(size=(n, widths[0]))
        y = rng.permutation(n) % widths[-1]
        for dtype in ("float64", "float32"):
            X = wide.astype(dtype)
            theirs = MLPClassifier(widths[1:-1], max_iter=1, random_state=0).fit(X[:1000], y[:1000])
            ours = TinyClassifier(widths[1:-1], n_members=options.members, max_iter=1, random_state=0)
            ours.set_params(scale_inputs=scaled).fit(X[:1000], y[:1000])
            many = side_by_side({m: (lambda m=m, X=X: m.predict_proba(X)) for m in (ours, theirs)}, 9)
            one = side_by_side(
                {
                    m: (lambda m=m, x=X[:1]: [m.predict_proba(x) for _ in range(CALLS)])
                    for m in (ours, theirs)
                },
                9,
            )
            name = f"{'-'.join(map(str, widths))}, {dtype}"
            row = [1e3 * many[ours], 1e3 * many[theirs], many[theirs] / many[ours]]
            row += [1e6 * one[ours] / CALLS, 1e6 * one[theirs] / CALLS, one[theirs] / one[ours]]
            print("{:32}{:20.1f}{:8.1f}{:8.2f}{:14.0f}{:8.0f}{:8.2f}".format(name, *row), flush=True)


if __name__ == "__main__":
    main()
