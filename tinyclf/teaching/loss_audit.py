"""An audit of any cross-entropy: whether it is stable, where it begins to fail, and how to repair it.

The function is called with one row of logits at a time, along ramps such as [x, 0] with growing x. Each
result is compared with the exact one. The results decide the verdict, the first of these that applies:

- wrong: it differs from the cross-entropy at moderate logits by more than rounding;
- naive: inf or nan because exp of the logits themselves overflows or underflows;
- half-fixed: inf or nan where a probability underflows;
- clipped: finite, but the loss has an upper limit, or the gradient is 0 or far too small where the
  exact one is not;
- exact: errors of at most 1 unit in the last place in float32 and 8 in float64, in every result;
- stable: none of these. Tiny losses may be 0, and an offset of all logits may cost digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from ..nn.arrays import Array
from .exact import exact_loss
from .frameworks import Subject, framework_named

VERDICTS = ("wrong", "naive", "half-fixed", "clipped", "stable", "exact")
"""The verdicts, from the worst to the best."""

LIMITS = {"float32": 1.0, "float64": 8.0}
"""The dtypes of an audit, with the largest error of an exact loss, in units in the last place."""

STEPS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 25, 30, 35, 40, 50, 60, 70, 80, 87, 90, 100, 104, 120, 200)
STEPS += (400, 700, 709, 720, 750, 1000, 1e4, 1e5, 1e6, 1e8, 1e12, 1e16, 1e30)


@dataclass(frozen=True)
class Ramp:
    """Rows of logits that become harder as x grows.

    In the rows of an offset, all logits are large, but their differences are small.
    """

    text: str
    labels: tuple[int, ...]
    rows: Callable[[float], list[list[float]]]
    offset: bool = False


RAMPS = (
    Ramp("[x, 0], label 1", (1,), lambda x: [[x, 0]]),
    Ramp("[0, -x], label 1", (1,), lambda x: [[0, -x]]),
    Ramp("[x, 0], label 0", (0,), lambda x: [[x, 0]]),
    Ramp("[0, -x], label 0", (0,), lambda x: [[0, -x]]),
    Ramp("[x, 0, 0], label 0", (0,), lambda x: [[x, 0, 0]]),
    Ramp("[1.1x, -0.1x], label 0", (0,), lambda x: [[1.1 * x, -0.1 * x]]),
    Ramp("[1.1x, -0.1x], label 1", (1,), lambda x: [[1.1 * x, -0.1 * x]]),
    Ramp("ten logits x, label 3", (3,), lambda x: [10 * [x]], offset=True),
    Ramp("[x + 3, x], label 0", (0,), lambda x: [[x + 3, x]], offset=True),
    Ramp("[x + 1, x], label 1", (1,), lambda x: [[x + 1, x]], offset=True),
    Ramp("[-x, 3 - x], label 1", (1,), lambda x: [[-x, 3 - x]], offset=True),
    Ramp("[-x, 1 - x], label 0", (0,), lambda x: [[-x, 1 - x]], offset=True),
    Ramp("rows [1, 0] and [x, x], labels 0", (0, 0), lambda x: [[1, 0], [x, x]], offset=True),
    Ramp("rows [1, 0] and [-x, -x], labels 0", (0, 0), lambda x: [[1, 0], [-x, -x]], offset=True),
)

SMALLEST_CAP = 4.0  # a loss that never exceeds a lower limit differs from cross-entropy at moderate logits

NO_LOG = "With d = z - max(z): loss = log(sum(exp(d))) - d[t] and gradient = p - y, without log(p) and 1/p."
SMALL = "With S the sum of exp(d) over all classes but the largest, d = z - max(z): loss = log1p(S) - d[t]."
SMALL_GRADIENT = "At the largest logit: gradient[t] = -S / (1 + S), minus the sum of the others, not p - 1."


@dataclass(frozen=True)
class Fault:
    """One kind of error of a loss or its gradient, at the first row where it was found.

    Attributes
    ----------
    kind : str
        "wrong", "nan", "inf", "capped", "dead gradient", "false zero", "small values", "offset
        error", "rounding" or "precision".
    of : str
        "loss" or "gradient".
    dtype : str
    ramp : str
        The rows, such as "[x, 0], label 1", or "" for a single row.
    beyond : float or None
        The last x of the ramp without the fault, or None.
    logits : tuple of tuple of float
        The row with the fault at the next larger x.
    labels : tuple of int
    got, right : float
    sentence, repair : str
        What happens, and the line of mathematics that repairs it.
    """

    kind: str
    of: str
    dtype: str
    ramp: str
    beyond: float | None
    logits: tuple[tuple[float, ...], ...]
    labels: tuple[int, ...]
    got: float
    right: float
    sentence: str
    repair: str


@dataclass(frozen=True)
class Audit:
    """What `audit` found.

    Attributes
    ----------
    name : str
        Name of the function.
    called_with : str
        The arguments with which the function was called.
    verdicts : dict
        The verdict of each dtype.
    faults : tuple of Fault
    errors : dict
        For each dtype, the largest errors of "loss" and "gradient" in units in the last place.
    verdict : str
        The worst of the verdicts.
    passed : bool
        Whether the verdict is "stable" or "exact".
    """

    name: str
    called_with: str
    verdicts: Mapping[str, str]
    faults: tuple[Fault, ...]
    errors: Mapping[str, Mapping[str, float]]

    @property
    def verdict(self) -> str:
        return min(self.verdicts.values(), key=VERDICTS.index)

    @property
    def passed(self) -> bool:
        return self.verdict in ("stable", "exact")

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}"

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as a dictionary for JSON; inf and nan are strings."""
        return {"verdict": self.verdict, "name": self.name, "verdicts": dict(self.verdicts)}


def audit(
    loss: Any,
    gradient: Any = None,
    *,
    dtypes: str | Sequence[str] = tuple(LIMITS),
    framework: str = "numpy",
    name: str | None = None,
) -> Audit:
    """Audit a cross-entropy that is computed from logits."""
    if not callable(loss):
        raise TypeError(f"loss must be a function of logits and targets, got {loss!r}")
    subject = Subject(loss, gradient, framework_named(framework))
    searches = [_Search(subject, dtype) for dtype in ([dtypes] if isinstance(dtypes, str) else dtypes)]
    return Audit(
        name or getattr(loss, "__name__", type(loss).__name__),
        str(subject.convention),
        {search.dtype: search.verdict() for search in searches},
        tuple(fault for search in searches for fault in search.faults.values()),
        {search.dtype: search.errors for search in searches},
    )


def assert_stable(loss: Any, gradient: Any = None, *, at_least: str = "stable", **options: Any) -> None:
    """Raise an AssertionError with the table of the audit unless a loss is stable, for tests."""
    __tracebackhide__ = True
    found = audit(loss, gradient, **options)
    if VERDICTS.index(found.verdict) < VERDICTS.index(at_least):
        raise AssertionError(f"{found.name} must be at least {at_least}:\n{found}")


class _Search:
    """The search for faults in one dtype."""

    def __init__(self, subject: Subject, dtype: str) -> None:
        self.subject, self.dtype = subject, dtype
        self.numbers: Any = np.dtype(dtype).type
        self.tiny = Decimal(float(np.finfo(dtype).tiny))
        self.faults: dict[tuple[str, str], Fault] = {}
        self.errors: dict[str, float] = {}
        self.worst: dict[str, Fault] = {}
        self.raw = False
        subject.find_convention(dtype)
        if subject.invalid is not None or not self.moderate():
            return
        for ramp in RAMPS:
            if len(ramp.labels) == 1 or subject.batches:
                self.climb(ramp)
        for z, label in _ordinary(dtype, 20):
            self.judge(z, [label], None, None)

    def verdict(self) -> str:
        kinds = {kind for kind, _ in self.faults}
        if self.subject.invalid is not None or "wrong" in kinds:
            return "wrong"
        if kinds & {"nan", "inf"}:
            return "naive" if self.raw else "half-fixed"
        if kinds & {"capped", "dead gradient"}:
            return "clipped"
        return "stable" if kinds else "exact"

    def row(self, ramp: Ramp, x: float) -> Array:
        with np.errstate(all="ignore"):
            return np.array(ramp.rows(float(self.numbers(x))), self.dtype)

    def results(self, z: Array, labels: Sequence[int]) -> Iterator[tuple[str, float, Decimal]]:
        """Yield each loss and each component of the gradient with the exact value."""
        losses, gradients = self.subject(z, labels)
        exact = [exact_loss(row, label) for row, label in zip(z, labels, strict=True)]
        right = [loss for loss, _ in exact]
        if len(losses) < len(z):
            right = [sum(right, Decimal(0)) / (len(z) if self.subject.reduction == "mean" else 1)]
        yield from (("loss", float(got), loss) for got, loss in zip(losses, right, strict=True))
        if gradients is not None:
            scale = len(z) if self.subject.mean_gradient else 1
            for row, (_, truth) in zip(gradients, exact, strict=True):
                yield from (("gradient", float(g), t / scale) for g, t in zip(row, truth, strict=True))

    def moderate(self) -> bool:
        """Compare the results at moderate logits."""
        for z, label in _ordinary(self.dtype, 1.5):
            for of, got, right in self.results(z, [label]):
                if not abs(Decimal(got) - right) < Decimal(0.01):
                    self.faults["wrong", of] = self.fault("wrong", of, None, None, z, [label], got, right)
                    return False
        return True

    def climb(self, ramp: Ramp) -> None:
        """Judge the rows of a ramp, and search for the last x without each fault."""
        below = 0.0
        known = set(self.faults)
        for x in STEPS:
            if ramp.offset and x > (1e8 if self.dtype == "float32" else 1e16):
                break
            for kind, of in self.judge(self.row(ramp, x), ramp.labels, ramp, x) - known:
                known.add((kind, of))
                self.bisect(kind, of, ramp, below, x)
            below = x

    def bisect(self, kind: str, of: str, ramp: Ramp, low: float, high: float) -> None:
        low, high = self.numbers(low), self.numbers(high)
        while True:
            middle = self.numbers(low + (high - low) / 2)
            if middle in (low, high):
                break
            row = self.row(ramp, middle)
            found = any(
                (self.kind(o, g, r, row, ramp), o) == (kind, of) for o, g, r in self.results(row, ramp.labels)
            )
            low, high = (low, middle) if found else (middle, high)
        row = self.row(ramp, high)
        for o, got, right in self.results(row, ramp.labels):
            if (self.kind(o, got, right, row, ramp), o) == (kind, of):
                fault = self.fault(kind, of, ramp, float(low), row, ramp.labels, got, right)
                self.faults[kind, of] = fault
                return

    def judge(
        self, z: Array, labels: Sequence[int], ramp: Ramp | None, x: float | None
    ) -> set[tuple[str, str]]:
        found = set()
        for of, got, right in self.results(z, labels):
            kind = self.kind(of, got, right, z, ramp)
            if kind in ("nan", "inf"):
                self.raw |= bool(z.max() - z.min() < 20)
            error = self.ulps(got, right)
            self.errors[of] = max(self.errors.get(of, 0.0), error)
            if kind is not None:
                found.add((kind, of))
        return found

    def ulps(self, got: float, right: Decimal) -> float:
        if not np.isfinite(got):
            return np.inf
        if abs(right) < self.tiny and abs(got) < 2 * self.tiny:
            return 0.0
        return float(abs(Decimal(got) - right) / Decimal(float(np.spacing(self.numbers(abs(float(right)))))))

    def kind(self, of: str, got: float, right: Decimal, z: Array, ramp: Ramp | None) -> str | None:
        """Name the fault of one number, or None."""
        if not np.isfinite(got):
            return "nan" if np.isnan(got) else "inf"
        error, size = abs(Decimal(got) - right), abs(right)
        if size < self.tiny:
            return "small values" if abs(got) >= 2 * self.tiny else None
        if ramp is not None and ramp.offset:
            return "offset error" if self.ulps(got, right) > 32 else None
        if of == "loss" and size > Decimal("0.1"):
            slack = Decimal(float(max(1, np.abs(z).max())))
            if right - Decimal(got) > slack * Decimal("1e-5"):
                return "capped"
            return "wrong" if Decimal(got) - right > slack / 1000 else None
        if of == "gradient" and size > Decimal("1e-3"):
            if abs(got) < size / 2:
                return "dead gradient"
            return "wrong" if abs(got) > size * Decimal("1.001") or got * float(right) < 0 else None
        if got == 0:
            return "false zero"
        return "small values" if error > size / 1000 else None

    def fault(
        self,
        kind: str,
        of: str,
        ramp: Ramp | None,
        beyond: float | None,
        z: Array,
        labels: Sequence[int],
        got: float,
        right: Decimal,
    ) -> Fault:
        rows = tuple(tuple(float(v) for v in row) for row in z)
        text = ramp.text if ramp else ""
        return Fault(kind, of, self.dtype, text, beyond, rows, tuple(labels), got, float(right), kind, NO_LOG)


def _ordinary(dtype: str, scale: float) -> Iterator[tuple[Array, int]]:
    """Yield rows of normal random logits with a label."""
    rng = np.random.default_rng(0)
    for k in 3 * (2, 3, 10):
        yield rng.normal(scale=scale, size=(1, k)).astype(dtype), int(rng.integers(k))
