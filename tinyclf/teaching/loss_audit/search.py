"""The search for the faults of a loss in one dtype.

The loss is called along ramps of logits, such as [x, 0] with growing x, and with ordinary rows. Each
result is compared with the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from ...nn.arrays import Array
from ...nn.functional import softmax
from .exact import exact_loss
from .faults import KINDS, TEXTS, Fault, Sample
from .function import PROBES, AuditedFunction, NotALossError

LIMITS = {"float32": 1.0, "float64": 8.0}
"""The dtypes, with the largest error of an exact loss in units in the last place."""

ROUNDING = {"float32": 1e-5, "float64": 1e-11}
"""The error that rounding can cause at moderate logits, relative to 1 plus the loss."""

LARGEST_OFFSET = {"float32": 1e8, "float64": 1e16}

STEPS = (0, 1, 3, 6, 10, 13, 17, 20, 28, 37, 50, 70, 88, 90, 104, 120, 400, 710, 746, 1000)
LARGE_STEPS = (1e4, 1e5, 1e8, 1e16, 1e30)

TIES = ([0, 0], [1, 1, -1], [0.5, 0.5, 0.5])
"""Moderate logits of which several are the largest."""

SMALLEST_CAP = 4.0
"""The smallest upper limit of a clipped loss; one with a lower limit is wrong at moderate logits."""


@dataclass(frozen=True)
class Ramp:
    """Rows of logits that become harder as x grows; with an offset, only their common part grows."""

    text: str
    labels: tuple[int, ...]
    rows: Callable[[float], list[list[float]]]
    offset: bool = False


RAMPS = (
    Ramp("[x, 0], label 1", (1,), lambda x: [[x, 0]]),
    Ramp("[x, 0], label 0", (0,), lambda x: [[x, 0]]),
    Ramp("[0, -x], label 1", (1,), lambda x: [[0, -x]]),
    Ramp("[0, -x], label 0", (0,), lambda x: [[0, -x]]),
    Ramp("[0, x], label 0", (0,), lambda x: [[0, x]]),
    Ramp("[0, x], label 1", (1,), lambda x: [[0, x]]),
    Ramp("[x, 0, 0], label 0", (0,), lambda x: [[x, 0, 0]]),
    Ramp("[1.1x, -0.1x], label 0", (0,), lambda x: [[1.1 * x, -0.1 * x]]),
    Ramp("[1.1x, -0.1x], label 1", (1,), lambda x: [[1.1 * x, -0.1 * x]]),
    Ramp("ten logits x, label 3", (3,), lambda x: [10 * [x]], offset=True),
    Ramp("[x + 3, x], label 0", (0,), lambda x: [[x + 3, x]], offset=True),
    Ramp("[x + 1, x], label 1", (1,), lambda x: [[x + 1, x]], offset=True),
    Ramp("[-x, 3 - x], label 1", (1,), lambda x: [[-x, 3 - x]], offset=True),
    Ramp("[-x, 1 - x], label 0", (0,), lambda x: [[-x, 1 - x]], offset=True),
    Ramp("[1, 0] and [x, x], labels 0", (0, 0), lambda x: [[1, 0], [x, x]], offset=True),
    Ramp("[1, 0] and [-x, -x], labels 0", (0, 0), lambda x: [[1, 0], [-x, -x]], offset=True),
)


class Search:
    """The faults of a loss in one dtype.

    Parameters
    ----------
    function : AuditedFunction
    dtype : str

    Raises
    ------
    CallError
        If the function raises an exception.
    """

    def __init__(self, function: AuditedFunction, dtype: str) -> None:
        self.function, self.dtype = function, dtype
        self.working = dtype  # the dtype in which the function computes
        self.worst: dict[str, Sample] = {}
        self.unexplained: dict[str, Sample] = {}  # the largest errors of results without another fault
        self.found: dict[tuple[str, str], tuple[Ramp | None, float | None, Sample]] = {}
        self.called: dict[Any, list[Sample]] = {}
        self.raw = False  # whether exp of the logits themselves causes inf or nan
        self.reason = ""  # why it is wrong
        try:
            self._run()
        except NotALossError as problem:
            self.reason = f"Results are no losses and gradients: {problem}."
            row, label = PROBES[0][0], PROBES[1][0]
            sample = self._sample("loss", np.nan, exact_loss(row, label)[0], np.array([row]), [label])
            self.found = {("wrong", "loss"): (None, None, sample)}

    @property
    def numbers(self) -> Any:
        """The type of the numbers with which the function computes."""
        return np.dtype(self.working).type

    @property
    def tiny(self) -> float:
        """The smallest normal number of this type."""
        return float(np.finfo(self.working).tiny)

    def _run(self) -> None:
        self.function.find_convention(self.dtype)
        if self.function.convention.problem is not None:
            raise NotALossError(self.function.convention.problem)
        if self.dtype == "float64" and self.function.is_as_coarse_as(24, self.dtype):
            self.working = "float32"
        if not self._is_cross_entropy():
            return
        for ramp in RAMPS:
            if len(ramp.labels) == 1 or self.function.convention.batched:
                self._climb(ramp)
        for z, labels in self._ordinary(scale=20, groups=12):
            for fault, sample in self._judge(self._samples(z, labels), None).items():
                self.found.setdefault(fault, (None, None, sample))
        for of, sample in self.unexplained.items():
            if sample.ulps > LIMITS[self.working] and all(of != other for _, other in self.found):
                self.found["rounding", of] = (None, None, sample)
        if self.working != self.dtype:
            self.found["precision", "loss"] = (None, None, self.worst["loss"])

    @property
    def verdict(self) -> str:
        """The verdict on the dtype."""
        kinds = {kind for kind, _ in self.found}
        if "wrong" in kinds:
            return "wrong"
        if kinds & {"nan", "inf"}:
            return "naive" if self.raw else "half-fixed"
        if kinds & {"capped", "dead gradient", "too large"}:
            return "clipped"
        return "stable" if kinds else "exact"

    def faults(self) -> Iterator[Fault]:
        """Yield each fault with its sentence."""
        for (kind, of), (ramp, beyond, sample) in sorted(self.found.items(), key=_severity):
            if kind == "offset error" and self.raw:
                continue  # another effect of exp of the logits themselves
            key = kind if kind in TEXTS else f"{kind} {of}"
            if kind in ("nan", "inf"):
                key = "raw" if self.raw else "log" if of == "loss" else "divide"
            elif kind == "capped" and self._cap is None:
                key = "too small"
            elif kind == "wrong" and sample.logits[0].count(max(sample.logits[0])) > 1:
                key = "ties"
            if len(sample.labels) > 1 and not self.raw and kind != "wrong":
                key = "rows"
            sentence, repair = TEXTS[key]
            cap = f"{self._cap:.6g}" if key == "capped" else ""
            sentence = sentence.format(cap=cap, ulps=f"{sample.ulps:.3g}", of=of, reason=self.reason)
            yield Fault(kind, self.dtype, ramp.text if ramp else "", beyond, sample, sentence, repair)

    # Moderate logits

    def _is_cross_entropy(self) -> bool:
        """Compare the results at moderate logits with the exact ones; add a fault if they differ."""
        rows = [*self._ordinary(scale=1.3, groups=6)]
        rows += [(np.array([row], self.dtype), [0]) for row in TIES]
        if self.function.convention.batched:
            rows.append((np.array(PROBES[0], self.dtype), PROBES[1]))
        samples = [sample for z, labels in rows for sample in self._samples(z, labels)]
        for sample in samples:
            _keep_larger(self.worst, sample)
            _keep_larger(self.unexplained, sample)
        bad = [s for s in samples if not self._agrees(s, 0.0)]
        if bad and self._cap is not None:
            bad = [s for s in bad if not self._agrees(s, float(np.exp(-self._cap)))]
        if not bad:
            return True
        self.found["wrong", bad[0].of] = (None, None, bad[0])
        self.reason = self._reason(samples, bad)
        return False

    def _agrees(self, s: Sample, eps: float) -> bool:
        """Whether an error is at most rounding, or the effect of clipping p to eps or of log(p + eps)."""
        loss = max(float(exact_loss(row, t)[0]) for row, t in zip(s.logits, s.labels, strict=True))
        return bool(abs(s.got - s.right) <= ROUNDING[self.working] * (1 + loss) + 2 * eps * np.exp(loss))

    @cached_property
    def _cap(self) -> float | None:
        """The upper limit of a loss that stops growing with x in [x, 0], label 1, or None."""
        for x in (1e4, 1e3, 120, 87, 60, 40, 20):
            _, got, right = next(self.function.compare(np.array([[x, 0]], self.dtype), [1]))
            if np.isfinite(got):
                return got if SMALLEST_CAP <= got < 0.9 * float(right) else None
        return None

    def _reason(self, samples: list[Sample], bad: list[Sample]) -> str:
        """Compare with common other functions."""
        of = bad[0].of
        if all(len(s.labels) > 1 for s in bad):
            return f"The {of} of each row alone is right, but not that of three rows together."
        samples = [s for s in samples if s.of == of and len(s.labels) == 1]
        got, right = (np.array([getattr(s, name) for s in samples]) for name in ("got", "right"))
        if of == "loss" and np.allclose(self._losses_of_probabilities(samples), right, 1e-3):
            return "The function takes probabilities; it must take logits."
        if not np.isfinite(got).all():
            return f"The {of} is not finite at moderate logits."
        if np.ptp(got) < 1e-6:
            return f"The {of} is {got[0] + 0:.6g} for all logits."
        ratio = got / right
        if np.ptp(ratio) < 1e-3 * abs(ratio[0]) and abs(ratio[0] - 1) > 0.01:
            base = next((b for b in (2, 10) if abs(ratio[0] * np.log(b) - 1) < 1e-3), None)
            of_base = "" if base is None else f", that of a logarithm to base {base}"
            return f"The {of} is {ratio[0]:.6g} times the exact one{of_base}."
        if of == "loss":
            excess = np.array([s.logits[0][s.labels[0]] - np.mean(s.logits[0]) for s in samples])
            smoothing = (got - right)[0] / excess[0]
            if 0 < smoothing < 1 and np.allclose(got - right, smoothing * excess, 1e-2, 1e-6):
                return f"It is the cross-entropy with a label smoothing of {smoothing:.3g}."
            for name, bits in (("float16", 11), ("bfloat16", 8)):
                if np.allclose(got, right, 0.05, 0.05) and self.function.is_as_coarse_as(bits, self.dtype):
                    return f"It computes in {name}."
        return f"The {of} differs from the exact one at moderate logits."

    def _losses_of_probabilities(self, samples: list[Sample]) -> list[float]:
        """Call the function with softmax(z) instead of z."""
        rows = [(np.array(softmax(s.logits), self.dtype), s.labels) for s in samples]
        return [next(self.function.compare(p, labels))[1] for p, labels in rows]

    # Hard logits

    def _climb(self, ramp: Ramp) -> None:
        """Judge the rows of a ramp, and search for the last x without each fault that is new."""
        below, allowed = 0.0, None
        for x in (*STEPS, *LARGE_STEPS):
            if ramp.offset and x > LARGEST_OFFSET[self.working]:
                break
            samples = self._samples(self._row(ramp, x), ramp.labels)
            if ramp.offset and x == 0:  # an offset error is one that grows with the offset
                allowed = max(32.0, *(4 * sample.ulps for sample in samples))
            for kind, of in self._judge(samples, allowed):
                if (kind, of) not in self.found:
                    self._bisect(kind, of, ramp, 0.0 if kind == "capped" else below, float(x), allowed)
            below = float(x)

    def _bisect(self, kind: str, of: str, ramp: Ramp, low: float, high: float, allowed: float | None) -> None:
        """Add a fault that occurs at x = high, with the last float without it."""

        def sample_at(x: float) -> Sample | None:
            samples = self._samples(self._row(ramp, x), ramp.labels)
            return next((s for s in samples if s.of == of and self._kind(s, allowed, 1e-5) == kind), None)

        sample = sample_at(high)
        assert sample is not None
        if sample_at(low) is not None:
            self.found[kind, of] = (ramp, None, sample)
            return
        below, above = self.numbers(low), self.numbers(high)
        while (middle := below + (above - below) / 2) not in (below, above):
            if (found := sample_at(middle)) is None:
                below = middle
            else:
                above, sample = middle, found
        self.found[kind, of] = (ramp, float(below), sample)

    def _judge(self, samples: list[Sample], allowed: float | None) -> dict[tuple[str, str], Sample]:
        """Return the first sample of each fault; record the largest errors."""
        faults: dict[tuple[str, str], Sample] = {}
        for sample in samples:
            kind = self._kind(sample, allowed)
            _keep_larger(self.worst, sample)
            if kind is None:
                _keep_larger(self.unexplained, sample)
            else:
                faults.setdefault((kind, sample.of), sample)
            if kind in ("nan", "inf"):
                self.raw |= bool(np.ptp(sample.logits) < 20)
        return faults

    def _kind(self, sample: Sample, allowed: float | None, shortfall: float = 0.01) -> str | None:
        """Name the fault of a result, or None; ``allowed`` is the largest error in the rows of an offset."""
        got, right, size = sample.got, sample.right, abs(sample.right)
        if not np.isfinite(got):
            return "nan" if np.isnan(got) else "inf"
        if size < self.tiny:  # subnormal numbers have fewer digits
            return "small values" if abs(got) > 2 * self.tiny else None
        if allowed is not None:
            return "offset error" if sample.ulps > allowed else None
        if sample.of == "loss" and size > 0.1:
            scale = max(1.0, float(np.abs(sample.logits).max()))
            if right - got > shortfall * scale:
                return "capped"
            return "too large" if got - right > 1e-2 * scale else None
        if sample.of == "gradient" and size > 1e-3:
            if abs(got) < size / 2:
                return "dead gradient"
            return "too large" if abs(got) > 1.01 * size or got * right < 0 else None
        if got == 0:
            return "false zero"
        return "small values" if abs(got - right) > 1e-3 * size else None

    # Rows

    def _row(self, ramp: Ramp, x: float) -> Array:
        return np.array(ramp.rows(float(x)), self.working).astype(self.dtype)

    def _ordinary(self, scale: float, groups: int) -> Iterator[tuple[Array, list[int]]]:
        """Yield rows of normal random logits with 2, 3 and 10 classes, each with a label."""
        rng = np.random.default_rng(0)
        for k in groups * (2, 3, 10):
            z = rng.normal(scale=scale, size=(1, k)).astype(self.working)
            yield z.astype(self.dtype), [int(rng.integers(k))]

    def _samples(self, z: Array, labels: Sequence[int]) -> list[Sample]:
        """Call the function, once for each row."""
        key = z.tobytes(), z.shape, tuple(labels)
        if key not in self.called:
            compared = self.function.compare(z, labels)
            self.called[key] = [self._sample(of, got, right, z, labels) for of, got, right in compared]
        return self.called[key]

    def _sample(self, of: str, got: float, right: Decimal, z: Array, labels: Sequence[int]) -> Sample:
        ulps = np.inf
        if abs(right) < self.tiny and abs(got) <= 2 * self.tiny:
            ulps = 0.0
        elif np.isfinite(got):
            unit = np.spacing(self.numbers(max(abs(float(right)), self.tiny)))
            ulps = min(float(abs(Decimal(got) - right) / Decimal(float(unit))), 1e300)
        return Sample(of, tuple(map(tuple, z.tolist())), tuple(labels), got, float(right), ulps)


def _severity(entry: tuple[tuple[str, str], Any]) -> tuple[int, bool]:
    (kind, of), _ = entry
    return KINDS.index(kind), of == "gradient"


def _keep_larger(worst: dict[str, Sample], sample: Sample) -> None:
    if sample.of not in worst or sample.ulps > worst[sample.of].ulps:
        worst[sample.of] = sample
