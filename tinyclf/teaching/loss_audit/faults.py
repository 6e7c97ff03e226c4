"""The faults that the audit of a loss finds, each with a sentence and the formula that repairs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LOSS = "with d = z - max(z), loss = log(sum(exp(d))) - d[t]"
BOTH = f"{LOSS} and gradient = p - y; neither log(p) nor 1/p occurs"
LOG1P = "with d = z - max(z) and S the sum of exp(d) over all classes but the largest, loss = log1p(S) - d[t]"
OTHERS = "gradient = p, and at the label minus the sum of the other entries, not p - 1, which cancels"
ROWS = "d = z - z.max(axis=1, keepdims=True): subtract the largest logit of each row, not of the batch"

KINDS = (
    "wrong",
    "nan",
    "inf",
    "capped",
    "dead gradient",
    "too large",
    "false zero",
    "small values",
    "offset error",
    "rounding",
    "precision",
)
"""The kinds of faults, from the worst to the least."""

# The sentence and the repair of a kind, of a kind with "loss" or "gradient", or of a cause of nan and inf.
TEXTS = {
    "raw": ("exp of a logit is inf, or all exp are 0.", LOSS),
    "log": ("exp of a difference of logits is 0 or inf, and a logarithm of the result is not finite.", BOTH),
    "divide": ("exp of a difference of logits is inf or nearly 0, and the gradient divides by it.", BOTH),
    "rows": ("Rows of a batch change the results of other rows.", ROWS),
    "capped": ("The loss never exceeds {cap}, however wrong the row is.", f"{LOSS}, without clip and eps"),
    "too small": ("The loss is far too small.", LOSS),
    "dead gradient": (
        "The gradient is 0 or far too small where the row is misclassified: it learns nothing.",
        f"gradient = p - y; for automatic differentiation, {LOSS}",
    ),
    "too large": (
        "It is too large: computed with a probability of nearly 0, or instead of inf or nan.",
        BOTH,
    ),
    "false zero loss": ("The loss is 0, but the exact loss is not: 1 + S is rounded to 1.", LOG1P),
    "false zero gradient": ("A component of the gradient is 0, but the exact one is not.", OTHERS),
    "small values loss": ("Small losses have fewer than three correct digits.", LOG1P),
    "small values gradient": ("Small components have fewer than three correct digits.", OTHERS),
    "offset error loss": (
        "A number that is added to all logits changes the loss.",
        f"{LOSS}: subtract first; not max(z) + log(...) - z[t], whose sums are rounded",
    ),
    "offset error gradient": (
        "A number that is added to all logits changes the gradient.",
        "p = exp(d) / sum(exp(d)) with d = z - max(z), not exp(z - logsumexp(z))",
    ),
    "rounding": (
        "Rounding errors add up to {ulps} units in the last place.",
        "float32: convert z to float64 first and round the result; float64: add the rounding error of d to d",
    ),
    "precision": (
        "It computes in float32: float64 logits lose half of their digits.",
        "keep the dtype of the logits, without a conversion to float32",
    ),
    "ties": (
        "The {of} is wrong where two of the largest logits are equal.",
        "S leaves out one of the largest logits, z.argmax(), not all that are equal to it; gradient = p - y",
    ),
    "wrong": ("{reason}", "loss = log(sum(exp(z))) - z[t], the natural logarithm, and gradient = p - y"),
}


@dataclass(frozen=True)
class Sample:
    """Results of an audited function for logits, beside the exact ones.

    Parameters
    ----------
    of : {"loss", "gradient"}
    logits : tuple of tuple of float
        One row, or several that were passed together.
    labels : tuple of int
    got, right : float
        The number that the function returned, and the exact number.
    ulps : float
        The error in units in the last place of the exact number.
    """

    of: str
    logits: tuple[tuple[float, ...], ...]
    labels: tuple[int, ...]
    got: float
    right: float
    ulps: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON; inf and nan are strings."""
        numbers = {name: json_number(getattr(self, name)) for name in ("got", "right", "ulps")}
        return {"of": self.of, "logits": self.logits, "labels": self.labels, **numbers}


@dataclass(frozen=True)
class Fault:
    """One kind of error of a loss or its gradient, where it begins.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    dtype : str
    ramp : str
        The rows as a formula, such as "[x, 0], label 1", or "" for a row without x.
    beyond : float or None
        The last x without the fault, found by bisection; None if there is no x, or no such x.
    sample : Sample
        A result with the fault: on a ramp, that for the next floating-point number after ``beyond``.
    sentence, repair : str
        What happens, and the line of mathematics that repairs it.
    """

    kind: str
    dtype: str
    ramp: str
    beyond: float | None
    sample: Sample
    sentence: str
    repair: str

    @property
    def of(self) -> str:
        """Whether the fault is in the "loss" or in the "gradient"."""
        return self.sample.of

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON; inf and nan are strings."""
        return {**vars(self), "sample": self.sample.to_dict()}


def json_number(x: float) -> float | str:
    """Return a finite number unchanged, and "inf", "-inf" or "nan" for others, which JSON does not have."""
    return x if abs(x) < float("inf") else str(x)
