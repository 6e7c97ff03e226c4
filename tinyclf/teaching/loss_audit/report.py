"""The audit of a loss: its verdict, and the table of its faults.

The verdict of each dtype is the first of these that applies:

- wrong: at moderate logits, the results differ from the cross-entropy by more than rounding;
- naive: inf or nan because exp of the logits themselves overflows or underflows;
- half-fixed: inf or nan only where a probability underflows;
- clipped: finite, but the loss has an upper limit, or the gradient is 0 or far too small where the
  exact one is not;
- exact: every loss, and every component of the gradient if it is known, has an error of at most 1 unit in
  the last place in float32 and 8 in float64;
- stable: none of these. Tiny losses may be 0, and a number added to all logits may cost digits.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from .faults import Fault, Sample
from .frameworks import framework_named
from .function import AuditedFunction
from .search import LIMITS, Search

VERDICTS = ("wrong", "naive", "half-fixed", "clipped", "stable", "exact")
"""The verdicts, from the worst to the best."""


@dataclass(frozen=True)
class Audit:
    """What `audit` found; printed, it is a table.

    Parameters
    ----------
    name : str
        Name of the function.
    called_with : str
        The arguments that it takes.
    verdicts : dict
        The verdict of each dtype.
    faults : tuple of Fault
        For each dtype, the first fault of each kind.
    worst : dict
        For each dtype, the results for "loss" and "gradient" with the largest error.
    """

    name: str
    called_with: str
    verdicts: Mapping[str, str]
    faults: tuple[Fault, ...]
    worst: Mapping[str, Mapping[str, Sample]]

    @property
    def verdict(self) -> str:
        """The worst verdict of all dtypes."""
        return min(self.verdicts.values(), key=VERDICTS.index)

    @property
    def passed(self) -> bool:
        """Whether the verdict is "stable" or "exact"."""
        return self.verdict in ("stable", "exact")

    @property
    def errors(self) -> dict[str, dict[str, float]]:
        """For each dtype, the largest errors of "loss" and "gradient" in units in the last place."""
        return {dtype: {of: s.ulps for of, s in worst.items()} for dtype, worst in self.worst.items()}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.name}: {self.verdict}"
        yield f"It takes {self.called_with}."
        for dtype, verdict in self.verdicts.items():
            yield f"\n{dtype}: {verdict}"
            for of, worst in self.worst[dtype].items():
                size = f"{worst.ulps:.3g} units in the last place" if worst.ulps < inf else "not finite"
                yield f"  largest error of the {of}: {size}, for {_rows(worst)}"
            if self.worst[dtype].keys() == {"loss"}:
                yield "  The gradient is not known, and was not checked."
            faults = [fault for fault in self.faults if fault.dtype == dtype]
            if faults:
                yield f"  {'fault':24}{'rows':34}{'right up to x =':>16}{'then':>14}{'exact':>14}"
            for f in faults:
                beyond = "" if f.beyond is None else f"{f.beyond:.9g}"
                numbers = f"{beyond:>16}{f.sample.got + 0:14.6g}{f.sample.right:14.6g}"
                yield f"  {f'{f.kind}, {f.of}':24}{f.ramp or _rows(f.sample):34}{numbers}"
        repairs: dict[tuple[str, str], dict[str, None]] = {}
        for f in self.faults:
            repairs.setdefault((f.sentence, f.repair), {})[f"{f.kind} ({f.of})"] = None
        yield from [""] * bool(repairs)
        for (sentence, repair), kinds in repairs.items():
            for text in (f"- {', '.join(kinds)}: {sentence}", f"  Repair: {repair}."):
                yield from textwrap.wrap(text, 110, subsequent_indent="  ", break_on_hyphens=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as a dictionary for JSON; inf and nan are strings."""
        dtypes = {
            dtype: {
                "verdict": verdict,
                "worst": {of: sample.to_dict() for of, sample in self.worst[dtype].items()},
                "faults": [fault.to_dict() for fault in self.faults if fault.dtype == dtype],
            }
            for dtype, verdict in self.verdicts.items()
        }
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "name": self.name,
            "called_with": self.called_with,
            "dtypes": dtypes,
        }


def audit(
    loss: Any,
    gradient: Any = None,
    *,
    dtypes: str | Sequence[str] = tuple(LIMITS),
    framework: str = "numpy",
    name: str | None = None,
) -> Audit:
    """Find out whether a cross-entropy is stable, and at which logits it begins to fail.

    The function takes logits and targets, in this order or the other. Logits of one row (k,) or several
    (n, k), targets as integer labels or as probabilities, and a loss for each row, their mean or their sum
    are tried; those that give the cross-entropy at moderate logits are used. Then the function is called
    with one row at a time.

    Parameters
    ----------
    loss : callable
        A function of logits and targets. With NumPy, it may return a pair of losses and gradients. A class
        without parameters, such as torch.nn.CrossEntropyLoss, stands for its instance.
    gradient : callable, optional
        A function of the same arguments: the gradient with respect to the logits. Functions of the other
        frameworks are differentiated automatically if it is not given.
    dtypes : str or sequence of str, default=("float32", "float64")
        The dtypes of the logits.
    framework : {"numpy", "torch", "jax", "tensorflow"}, default="numpy"
        The framework whose arrays the function takes.
    name : str, optional
        The name in the table; by default that of the function.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        If the function raises an exception, or an argument is invalid.
    TypeError
        If ``loss`` or ``gradient`` cannot be called.
    ImportError
        If the framework is not installed.

    Examples
    --------
    >>> from tinyclf import cross_entropy, cross_entropy_grad
    >>> from tinyclf.teaching import audit, naive_cross_entropy
    >>> audit(cross_entropy, cross_entropy_grad).verdict
    'exact'
    >>> found = audit(naive_cross_entropy, dtypes="float32")
    >>> found.verdict, found.passed
    ('naive', False)
    >>> first = found.faults[0]
    >>> print(first.kind, first.ramp, round(first.beyond, 3), first.sample.got)
    nan [x, 0], label 0 88.723 nan
    """
    dtypes = [dtypes] if isinstance(dtypes, str) else list(dtypes)
    if not dtypes or not set(dtypes) <= set(LIMITS):
        raise ValueError(f"dtypes must be some of {', '.join(LIMITS)}, got {dtypes}")
    label = name or str(getattr(loss, "__name__", type(loss).__name__))
    function = AuditedFunction(
        _function(loss, "loss"),
        None if gradient is None else _function(gradient, "gradient"),
        framework_named(framework),
    )
    searches = [Search(function, dtype) for dtype in dtypes]
    return Audit(
        label,
        str(function.convention),
        {search.dtype: search.verdict for search in searches},
        tuple(fault for search in searches for fault in search.faults()),
        {search.dtype: search.worst for search in searches},
    )


def _function(given: Any, what: str) -> Any:
    """Return a function, or an instance of a class; raise if it cannot be called."""
    if isinstance(given, type):
        try:
            given = given()
        except Exception as error:
            raise TypeError(
                f"{what} is the class {given.__name__}, which cannot be created without arguments; pass an "
                f"instance or a function: {error}"
            ) from error
    if not callable(given):
        raise TypeError(f"{what} must be a function of logits and targets, got {given!r:.80}")
    return given


def assert_stable(loss: Any, gradient: Any = None, *, at_least: str = "stable", **options: Any) -> None:
    """Raise an AssertionError that shows the table of the audit unless a loss is stable; for tests.

    Parameters
    ----------
    loss, gradient : callable
        As for `audit`.
    at_least : str, default="stable"
        The worst verdict that is accepted; one of "naive", "half-fixed", "clipped", "stable", "exact".
    **options
        The other parameters of `audit`.

    Raises
    ------
    AssertionError
        If the verdict is worse.

    Examples
    --------
    >>> from tinyclf import cross_entropy, cross_entropy_grad
    >>> from tinyclf.teaching import assert_stable
    >>> assert_stable(cross_entropy, cross_entropy_grad, at_least="exact")
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    if at_least not in VERDICTS[1:]:
        raise ValueError(f"at_least must be one of {', '.join(VERDICTS[1:])}, got {at_least!r}")
    found = audit(loss, gradient, **options)
    if VERDICTS.index(found.verdict) < VERDICTS.index(at_least):
        raise AssertionError(f"the verdict must be {at_least} or better\n{found}")


def _rows(sample: Sample) -> str:
    row = sample.logits[0]
    text = f"[{', '.join(f'{z:.4g}' for z in row[:3])}{', ...' * (len(row) > 3)}], label {sample.labels[0]}"
    return text if len(sample.labels) == 1 else f"{text}, and {len(sample.labels) - 1} more"
