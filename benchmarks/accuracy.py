"""Measure errors of the softmax cross-entropy: ``python benchmarks/accuracy.py [--rows N] [--picture FILE]``.

The script compares tinyclf with scipy, torch, jax and scikit-learn, if they are installed, on the same hard
logits: those of data/hard_logits.json, and others generated from a fixed seed. The exact values are computed
by mpmath with 60 digits. The columns of the table are

- max, p99: the largest error and its 99th percentile, in units in the last place (ulps) of the result's type;
- zeros: the number of results that are 0 where the exact value does not round to 0;
- nan: the number of results that are nan or inf where the exact value is finite, or finite where it rounds to
  inf.

An error is relative to the exact value, with two exceptions: for logsumexp = m + L, whose terms may cancel,
it is relative to the larger of m and L; for the gradient with soft targets y, with Y = sum y, to Y p + y.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import mpmath
import numpy as np

from tinyclf import cross_entropy, cross_entropy_grad, log_softmax, logsumexp, softmax

mpmath.mp.dps = 60
HARD = ["softmax", "log_softmax", "logsumexp", "cross_entropy", "gradient"]
SOFT = ["soft cross_entropy", "soft gradient"]
FUNCTIONS = HARD + SOFT
WIDTHS = [2, 3, 10, 100, 10_000]
DATA = Path(__file__).parents[1] / "data" / "hard_logits.json"
# The largest errors that tinyclf promises, in ulps, in the order of FUNCTIONS.
PROMISED = {
    "float32": dict(zip(FUNCTIONS, [0.51, 0.51, 1.01, 0.51, 0.51, 0.51, 0.51], strict=True)),
    "float64": dict(zip(FUNCTIONS, [8, 6, 6, 6, 8, 6, 8], strict=True)),
}
END = {"float32": 1e14, "float64": 1e26}  # upper limit of the axes of the picture

Pairs = list[tuple[mpmath.mpf, mpmath.mpf]]
Function = Callable[[np.ndarray, np.ndarray], np.ndarray | None]


def hard_logits(rng: np.random.Generator, n: int, k: int, dtype: str) -> np.ndarray:
    """Return logits (n, k) on which simpler formulas fail; the rows alternate between nine kinds."""
    deep = 104.0 if dtype == "float32" else 745.0  # exp(-deep) is the smallest float
    x = rng.normal(size=(n, k))
    kinds = np.arange(n) % 9
    first = np.arange(k) == rng.integers(k, size=n)[:, None]
    ahead = rng.uniform(3, 45, size=(n, 1)) * first
    x = np.where(kinds[:, None] == 1, x + ahead, x)  # confident
    x = np.where(kinds[:, None] == 2, x + deep * rng.uniform(0.8, 1, (n, 1)) * first, x)  # at the edge
    x = np.where(kinds[:, None] == 3, 10.0 ** rng.uniform(-3, 4, (n, 1)) * x, x)  # any magnitude
    x = np.where(kinds[:, None] == 4, x + 10.0 ** rng.uniform(1, 7, (n, 1)), x)  # common offset
    x = np.where(kinds[:, None] == 5, x[:, :1] * (1 + 2e-7 * rng.integers(-3, 4, (n, k))), x)  # near ties
    x = np.where((kinds[:, None] == 6) & ~first & (rng.uniform(size=(n, k)) < 0.5), -np.inf, x)  # masked
    x = np.where(kinds[:, None] == 7, x - deep * rng.uniform(0, 0.9, (n, k)) * ~first, x)  # spread out
    x = np.where(kinds[:, None] == 8, x + ahead + 10.0 ** rng.uniform(1, 5, (n, 1)), x)  # confident, offset
    return x.astype(dtype)


@dataclass
class Case:
    """Logits x (n, k), labels t (n,) and soft targets y (n, k), with the exact results of each function.

    Each exact result is paired with the number that an error is relative to.
    """

    x: np.ndarray
    t: np.ndarray
    y: np.ndarray
    truth: dict[str, list[Pairs]]


def cases(n: int, dtype: str, widths: list[int]) -> list[Case]:
    """Return the hard logits of data/, and generated ones for each number of classes.

    Up to 10 classes there are n rows, and fewer with more classes. With 100 classes or more, the logits are
    in Fortran order.
    """
    rng = np.random.default_rng(0)
    named = [case for case in json.loads(DATA.read_text()) if case["dtype"] == dtype]
    batches = [(np.array([case["logits"]], dtype), np.array([case["label"]])) for case in named]
    for k in widths:
        x = hard_logits(rng, max(9, n // (k if k > 10 else 1)), k, dtype)
        t = np.where(rng.uniform(size=len(x)) < 0.6, x.argmax(axis=1), rng.integers(k, size=len(x)))
        batches.append((x if k < 100 else np.asfortranarray(x), t))
    made = []
    for x, t in batches:
        y = rng.uniform(size=x.shape).astype(dtype) * (rng.uniform(size=x.shape) < 0.7) * (x > -np.inf)
        truth = {name: [] for name in FUNCTIONS}
        for row, label, target in zip(x.tolist(), t.tolist(), y.tolist(), strict=True):
            for name, results in exact(row, label, target).items():
                truth[name].append(results)
        made.append(Case(x, t, y, truth))
    return made


def exact(row: list[float], label: int, target: list[float]) -> dict[str, Pairs]:
    """Return the exact results of one row, each paired with the number that an error is relative to."""
    x = [mpmath.mpf(v) for v in row]
    y = [mpmath.mpf(v) for v in target]
    top = x.index(max(x))
    e = [mpmath.exp(v - x[top]) for v in x]
    S = mpmath.fsum(e[:top] + e[top + 1 :])
    L = mpmath.log1p(S)
    p, log_p = [v / (1 + S) for v in e], [v - x[top] - L for v in x]
    gradient = [*p[:label], -mpmath.fsum(p[:label] + p[label + 1 :]), *p[label + 1 :]]  # p - 1 would cancel
    Y = mpmath.fsum(y)
    soft_loss = mpmath.fsum(-v * q for v, q in zip(y, log_p, strict=True) if v)
    return {
        "softmax": [(v, v) for v in p],
        "log_softmax": [(v, v) for v in log_p],
        "logsumexp": [(x[top] + L, max(abs(x[top]), L))],
        "cross_entropy": [(-log_p[label], -log_p[label])],
        "gradient": [(v, v) for v in gradient],
        "soft cross_entropy": [(soft_loss, soft_loss)],
        "soft gradient": [(Y * q - v, Y * q + v) for q, v in zip(p, y, strict=True)],
    }


def libraries() -> dict[str, dict[str, Function]]:
    """Return the functions of each installed library; a library may lack some of them."""
    found: dict[str, dict[str, Function]] = {
        "tinyclf": {
            "softmax": lambda x, t: softmax(x),
            "log_softmax": lambda x, t: log_softmax(x),
            "logsumexp": lambda x, t: logsumexp(x),
            "cross_entropy": lambda x, t: cross_entropy(x, t),
            "gradient": lambda x, t: cross_entropy_grad(x, t),
            "soft cross_entropy": lambda x, y: cross_entropy(x, y),
            "soft gradient": lambda x, y: cross_entropy_grad(x, y),
        }
    }
    for name, make in [("scipy", _scipy), ("torch", _torch), ("jax", _jax), ("sklearn", _sklearn)]:
        if find_spec(name) is None:
            print(f"skipped, not installed: {name}")
        else:
            found |= make()
    return found


def _scipy() -> dict[str, dict[str, Function]]:
    from scipy import special

    def loss(x, t):
        return -special.log_softmax(x, axis=1)[np.arange(len(x)), t]

    return {
        "scipy.special": {
            "softmax": lambda x, t: special.softmax(x, axis=1),
            "log_softmax": lambda x, t: special.log_softmax(x, axis=1),
            "logsumexp": lambda x, t: special.logsumexp(x, axis=1),
            "cross_entropy": loss,
        }
    }


def _torch() -> dict[str, dict[str, Function]]:
    import torch

    def gradient(x, t):
        z = torch.tensor(x, requires_grad=True)
        torch.nn.functional.cross_entropy(z, torch.tensor(t), reduction="sum").backward()
        return z.grad.numpy()

    def loss(x, t):
        return torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(t), reduction="none").numpy()

    return {
        "torch": {
            "softmax": lambda x, t: torch.softmax(torch.tensor(x), dim=1).numpy(),
            "log_softmax": lambda x, t: torch.log_softmax(torch.tensor(x), dim=1).numpy(),
            "logsumexp": lambda x, t: torch.logsumexp(torch.tensor(x), dim=1).numpy(),
            "cross_entropy": loss,
            "gradient": gradient,
            "soft cross_entropy": loss,
            "soft gradient": gradient,
        }
    }


def _jax() -> dict[str, dict[str, Function]]:
    import jax

    jax.config.update("jax_enable_x64", True)

    def losses(z, t):
        return -jax.numpy.take_along_axis(jax.nn.log_softmax(z, axis=1), t[:, None], axis=1)[:, 0]

    def soft_losses(z, y):
        return -jax.numpy.sum(jax.numpy.where(y > 0, y * jax.nn.log_softmax(z, axis=1), 0.0), axis=1)

    return {
        "jax.nn": {
            "softmax": lambda x, t: np.asarray(jax.nn.softmax(x, axis=1)),
            "log_softmax": lambda x, t: np.asarray(jax.nn.log_softmax(x, axis=1)),
            "logsumexp": lambda x, t: np.asarray(jax.nn.logsumexp(x, axis=1)),
            "cross_entropy": lambda x, t: np.asarray(losses(x, t)),
            "gradient": lambda x, t: np.asarray(jax.grad(lambda z: losses(z, t).sum())(x)),
            "soft cross_entropy": lambda x, y: np.asarray(soft_losses(x, y)),
            "soft gradient": lambda x, y: np.asarray(jax.grad(lambda z: soft_losses(z, y).sum())(x)),
        }
    }


def _sklearn() -> dict[str, dict[str, Function]]:
    from sklearn._loss import HalfMultinomialLoss
    from sklearn.neural_network._base import inplace_softmax, log_loss

    def half(method):
        def compute(x, t):
            if x.shape[1] == 1:
                return None  # not supported
            loss = HalfMultinomialLoss(n_classes=x.shape[1])
            return getattr(loss, method)(
                y_true=t.astype(x.dtype), raw_prediction=np.ascontiguousarray(x), n_threads=1
            )

        return compute

    def mlp_softmax(x, t):
        p = x.copy()
        inplace_softmax(p)
        return p

    def mlp_loss(x, t):
        y = np.eye(x.shape[1], dtype=x.dtype)[t]
        return np.array([log_loss(y[i : i + 1], p[None]) for i, p in enumerate(mlp_softmax(x, t))], x.dtype)

    return {
        "MLPClassifier": {
            "softmax": mlp_softmax,
            "cross_entropy": mlp_loss,
            "gradient": lambda x, t: mlp_softmax(x, t) - np.eye(x.shape[1], dtype=x.dtype)[t],
        },
        "HalfMultinomialLoss": {"cross_entropy": half("loss"), "gradient": half("gradient")},
    }


@dataclass
class Errors:
    """Errors in ulps of the finite results of a function, and the numbers of wrong zeros, nan and inf."""

    ulps: np.ndarray
    zeros: int
    broken: int

    def __str__(self) -> str:
        worst, p99 = (self.ulps.max(), np.quantile(self.ulps, 0.99)) if self.ulps.size else (np.nan, np.nan)
        return f"{worst:12.3g} {p99:12.3g} {self.zeros:7} {self.broken:6}"


def errors(function: Function, name: str, made: list[Case]) -> Errors:
    ulps, zeros, broken = [], 0, 0
    for case in made:
        with np.errstate(all="ignore"):
            result = function(case.x, case.y if name in SOFT else case.t)
        if result is None:
            continue
        got = np.asarray(result).reshape(len(case.x), -1)
        limit = np.finfo(got.dtype)
        smallest, largest = mpmath.mpf(float(limit.smallest_subnormal)), mpmath.mpf(float(limit.max))
        below = mpmath.mpf(float(np.nextafter(limit.max, 0)))  # np.spacing of the largest float overflows
        for row, exact_row in zip(got.tolist(), case.truth[name], strict=True):
            for g, (truth, scale) in zip(row, exact_row, strict=True):
                if abs(truth) > largest:  # rounds to inf
                    broken += g != np.copysign(np.inf, float(truth))
                elif not np.isfinite(g):
                    broken += 1
                else:
                    zeros += g == 0 and abs(truth) > smallest / 2
                    unit = float(np.spacing(got.dtype.type(min(abs(scale), below))))
                    ulps.append(float(abs(mpmath.mpf(g) - truth) / mpmath.mpf(unit)))
    return Errors(np.array(ulps), int(zeros), int(broken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows",
        type=int,
        default=900,
        help="rows of logits for each number of classes up to 10, fewer for more",
    )
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="numbers of classes")
    parser.add_argument("--picture", type=Path, help="file for the picture")
    options = parser.parse_args()
    found = libraries()
    table: dict[tuple[str, str], dict[str, Errors]] = {}
    met = True
    for dtype, promised in PROMISED.items():
        made = cases(options.rows, dtype, options.widths)
        rows = sum(len(case.x) for case in made)
        print(f"\n{dtype}: {rows} rows of 1 to {max(options.widths):,} classes; errors in ulps of {dtype}")
        print(f"{'':18} {'':20} {'max':>12} {'p99':>12} {'zeros':>7} {'nan':>6}")
        for name in FUNCTIONS:
            for library, functions in found.items():
                if name not in functions:
                    continue
                table.setdefault((dtype, name), {})[library] = result = errors(functions[name], name, made)
                promise = ""
                if library == "tinyclf":
                    kept = result.ulps.max() <= promised[name] and not result.zeros and not result.broken
                    promise = f"   {'within' if kept else 'NOT WITHIN'} the promised {promised[name]}"
                    met = met and kept
                print(f"{name:18} {library:20} {result}{promise}")
    if options.picture:
        save_picture(table, options.picture)
        print(f"\nSaved the picture {options.picture.resolve()}")
    if not met:
        raise SystemExit(
            "an error of tinyclf exceeds the promised bound, or a result is a wrong 0, nan or inf"
        )


def save_picture(table: dict[tuple[str, str], dict[str, Errors]], path: Path) -> None:
    """Draw the largest error of each library as a bar on a logarithmic axis, with its number of zeros."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(library for results in table.values() for library in results))
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    axes = figure.subplots(2, len(HARD), sharey=True, sharex="row")
    for row, dtype in zip(axes, PROMISED, strict=True):
        for ax, name in zip(row, HARD, strict=True):
            results = table[dtype, name]
            for y, library in enumerate(names):
                color = "#1a7f5a" if library == "tinyclf" else "#8a8f98"
                if library not in results:
                    ax.text(0.12, y, "not offered", va="center", fontsize=7, color="#8a8f98")
                    continue
                result = results[library]
                end = min(result.ulps.max(), END[dtype] / 1e4)
                ax.barh(y, end - 0.1, left=0.1, color=color, height=0.6)
                label = f"{result.ulps.max():.3g}"
                label += f", {result.zeros} zeros" if result.zeros else ""
                label += f", {result.broken} wrong nan or inf" if result.broken else ""
                ax.text(end * 1.5, y, label, va="center", fontsize=7)
            ax.set_xscale("log")
            ax.set_xlim(0.1, END[dtype])
            ax.set_yticks(range(len(names)), names, fontsize=8)
            ax.tick_params(axis="x", labelsize=7)
            ax.set_title(f"{name}, {dtype}", fontsize=9)
            ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].invert_yaxis()
    figure.supxlabel("largest error in units in the last place (correct rounding: 0.5)", fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
