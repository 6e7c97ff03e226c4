"""The measurements of the lesson, and the tables that show them on the command line."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from sklearn.metrics import log_loss

from .._version import __version__
from ..nn.arrays import Array
from ..nn.functional import cross_entropy, softmax
from .arithmetic import (
    DTYPES,
    VECTORS,
    gradient_limit,
    offset_losses,
    right_row,
    soft_target_losses,
    thresholds,
    vector,
    wrong_row,
)
from .experiments import QUIET, SCALED, STEEP, UNSCALED, Experiment, Outcome
from .naive_losses import LOSSES, ClippedSoftmaxCrossEntropy

EPS = ClippedSoftmaxCrossEntropy().eps


SHOWN = tuple(name for name in LOSSES if name != "textbook")
THREE = ("naive", "clipped", "stable")

RUNS: dict[str, tuple[Experiment, str, Sequence[str]]] = {
    "unscaled": (UNSCALED, "float32", tuple(LOSSES)),
    "unscaled64": (UNSCALED, "float64", SHOWN),
    "quiet": (QUIET, "float32", THREE),
    "steep": (STEEP, "float32", SHOWN),
    "scaled": (SCALED, "float32", SHOWN),
}
"""The training runs of the lesson: experiment, dtype and names of the losses."""

SEEDS, QUICK_SEEDS = 10, 2

SCALES = (20, 100, 1000)
"""Scales of the logits [scale, 0] in step 3."""

GAP = 20
"""Gap of the logits [gap, 0] in step 7."""

FORGOTTEN = 0.1
"""A digit is called forgotten if its recall is below this value."""


@dataclass(frozen=True)
class Summary:
    """Statistics of one loss in one experiment, over all seeds."""

    outcomes: list[Outcome]

    @property
    def accuracies(self) -> list[float]:
        """Test accuracies of the seeds in ascending order, nan last."""
        return sorted((o.accuracy for o in self.outcomes), key=lambda a: (a != a, a))

    @property
    def accuracy(self) -> float:
        """Mean of the test accuracies that are not nan; nan if all are."""
        finite = [a for a in self.accuracies if np.isfinite(a)]
        return float(np.mean(finite)) if finite else np.nan

    @property
    def lowest(self) -> float:
        """Lowest accuracy."""
        return self.accuracies[0]

    @property
    def highest(self) -> float:
        """Highest accuracy; nan if any is nan."""
        return self.accuracies[-1]

    @property
    def curve(self) -> Array:
        """Mean reported loss of each epoch."""
        mean: Array = np.mean([o.curve for o in self.outcomes], axis=0)
        return mean

    @property
    def reported(self) -> float:
        """Mean reported loss of the last epoch."""
        return float(self.curve[-1])

    @property
    def true(self) -> float:
        """Mean true loss of the trained networks."""
        return float(np.mean([o.true_loss for o in self.outcomes]))

    @property
    def no_gradient(self) -> float:
        """Fraction of the first epoch's rows that are misclassified and have a gradient of 0."""
        return float(np.mean([o.no_gradient[0] for o in self.outcomes]))

    @property
    def broken(self) -> int:
        """Number of seeds with a loss, logit or parameter that is not finite."""
        return sum(o.first_nonfinite_step is not None for o in self.outcomes)

    @property
    def first(self) -> str:
        """The first steps with a value that is not finite, as text: "step 3 to 7", or "never"."""
        steps = sorted(o.first_nonfinite_step for o in self.outcomes if o.first_nonfinite_step is not None)
        if not steps:
            return "never"
        return f"step {steps[0]}" if steps[0] == steps[-1] else f"step {steps[0]} to {steps[-1]}"

    @property
    def stuck(self) -> float:
        """Mean of `Outcome.stuck` over the forgotten digits; nan if no digit is forgotten."""
        found = np.concatenate([o.stuck[o.recall < FORGOTTEN] for o in self.outcomes])
        return float(found.mean()) if len(found) else np.nan

    @property
    def dead(self) -> float:
        """Mean fraction of dead hidden units."""
        return float(np.mean([o.dead for o in self.outcomes]))

    @property
    def ruined(self) -> int:
        """Number of seeds whose test accuracy is below 50% or nan."""
        return sum(not o.accuracy >= 0.5 for o in self.outcomes)

    @property
    def forgotten(self) -> int:
        """Number of forgotten digits, summed over the seeds."""
        return sum(int(np.sum(o.recall < FORGOTTEN)) for o in self.outcomes)


@dataclass(frozen=True)
class Lesson:
    """All measurements of the lesson.

    Attributes
    ----------
    seeds : list of int
    arithmetic : dict
        Measurements on single rows: "vectors", "offset", "thresholds", "cases", "soft",
        "gradient_limit" and "tiny". Measurements on untrained networks: "report".
    runs : dict
        A `Summary` for each run and loss: ``runs[run][loss]``, with the names in `RUNS`.
    """

    seeds: list[int]
    arithmetic: dict[str, Any]
    runs: dict[str, dict[str, Summary]]

    def made_with(self) -> str:
        """Return the versions of tinyclf, its dependencies and Python, as text."""
        return (
            f"tinyclf {__version__}, NumPy {np.__version__}, scikit-learn {sklearn.__version__}, "
            f"Python {platform.python_version()}"
        )


Track = Callable[[Iterable[Outcome], int, str], Iterable[Outcome]]


def measure(
    seed: int = 0, seeds: int = SEEDS, track: Track = lambda outcomes, total, what: outcomes
) -> Lesson:
    """Run all measurements of the lesson.

    Parameters
    ----------
    seed : int, default=0
        The first seed. A seed determines the split, the initial weights and the order of the rows.
    seeds : int, default=10
        Number of consecutive seeds.
    track : callable, optional
        Called as ``track(outcomes, total, "training")``; returns the outcomes, and may show
        progress.

    Returns
    -------
    Lesson
    """
    chosen = list(range(seed, seed + seeds))
    total = seeds * sum(len(names) for *_, names in RUNS.values())
    found = iter(track(_all_outcomes(chosen), total, "training"))
    runs: dict[str, dict[str, Summary]] = {}
    for run, (*_, names) in RUNS.items():
        outcomes = [next(found) for _ in range(len(names) * seeds)]
        runs[run] = {name: Summary([o for o in outcomes if o.name == name]) for name in names}
    for _ in found:  # exhaust the iterator, so that a progress bar closes
        pass
    return Lesson(chosen, _arithmetic(chosen), runs)


def _all_outcomes(seeds: list[int]) -> Iterator[Outcome]:
    for experiment, dtype, names in RUNS.values():
        yield from experiment.outcomes(names, seeds, dtype)


def _arithmetic(seeds: list[int]) -> dict[str, Any]:
    return {
        "vectors": {name: vector(x) for name, x in VECTORS.items()},
        "offset": offset_losses(),
        "thresholds": {dtype: thresholds(dtype) for dtype in DTYPES},
        "cases": {scale: {name: wrong_row(scale, name) for name in SHOWN} for scale in SCALES},
        "soft": soft_target_losses(),
        "gradient_limit": {dtype: {name: gradient_limit(name, dtype) for name in SHOWN} for dtype in DTYPES},
        "tiny": {name: right_row(GAP, name) for name in ("textbook", "stable")},
        "report": _clipped_report(seeds),
    }


def _clipped_report(seeds: list[int]) -> dict[str, float]:
    """Compare scikit-learn's ``log_loss``, which clips, with the true loss of untrained networks."""
    largest, reported, true = [], [], []
    for seed in seeds:
        X, _, y, _ = UNSCALED.data(seed)
        logits = UNSCALED.network(seed).logits(X)
        largest.append(np.abs(logits).max())
        reported.append(log_loss(y, softmax(logits), labels=range(10)))
        true.append(np.mean(cross_entropy(logits, y), dtype=np.float64))
    return {
        "largest_logit": float(np.max(largest)),
        "reported": float(np.mean(reported)),
        "true": float(np.mean(true)),
        "cap32": float(-np.log(np.finfo("float32").eps)),
        "cap64": float(-np.log(np.finfo("float64").eps)),
    }


def tables(lesson: Lesson) -> Iterator[str]:
    """Yield the measurements of each step as lines of text."""
    a, n = lesson.arithmetic, len(lesson.seeds)
    yield "1. Log-sum-exp of three vectors, float64"
    for name, v in a["vectors"].items():
        yield f"   {name:9} naive {v['naive_lse']:<20.17g} maximum subtracted {v['lse']:.17g}"
    yield "\n2. The largest x for which a condition holds"
    heads = ("exp(x) finite", "sum of 10 finite", "exp(-x) > 0", "log(1+exp(-x)) > 0")
    yield f"   {'':8} {heads[0]:>18} {heads[1]:>18} {heads[2]:>14} {heads[3]:>20}"
    for dtype, t in a["thresholds"].items():
        yield f"   {dtype:8} {t['exp']:18.6f} {t['sum']:18.6f} {t['vanish']:14.6f} {t['beside_one']:20.6f}"
    yield "\n3. Loss and gradient of float32 logits [scale, 0]; the true class is the second"
    for name in SHOWN:
        cells = (
            f"{loss:9.6g} [{gradient[0]:8.2g} {gradient[1]:8.2g}]"
            for loss, gradient in (a["cases"][scale][name] for scale in SCALES)
        )
        yield f"   {name:8} " + " ".join(cells)
    yield "\n4. The largest scale at which the gradient is finite and not 0"
    yield f"   {'':8}" + "".join(f"{name:>12}" for name in SHOWN[:-1])
    for dtype in DTYPES:
        yield f"   {dtype:8}" + "".join(f"{a['gradient_limit'][dtype][name]:12.4g}" for name in SHOWN[:-1])
    for number, run, title in (
        (5, "unscaled", "Training on pixels 0 to 255, float32"),
        (5, "unscaled64", "The same in float64"),
        (6, "quiet", "A failure without overflow or warning"),
        (8, "steep", "What a stable loss does not fix"),
        (9, "scaled", "The fix: pixels scaled to 0 to 1"),
    ):
        if run == "steep":
            yield f"\n7. Loss and gradient of float32 logits [{GAP}, 0] at the true class, which is the first"
            for name, (loss, gradient) in a["tiny"].items():
                yield f"   {name:8} {loss:.8g}, {gradient[0]:.8g}"
        yield f"\n{number}. {title}: mean of {n} seeds"
        yield f"   {RUNS[run][0]}"
        yield f"   {'loss':8} {'not finite from':>16} {'reported':>10} {'true loss':>10} {'accuracy':>9}"
        for name, s in lesson.runs[run].items():
            accuracy = (
                "none" if np.isnan(s.accuracy) else f"{s.accuracy:.3f} ({s.lowest:.3f} to {s.highest:.3f})"
            )
            yield f"   {name:8} {s.first:>16} {s.reported:10.4g} {s.true:10.4g} {accuracy:>9}"
