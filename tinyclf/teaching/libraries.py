"""Audits of the losses of other libraries, measured by ``examples/audit_wall.py`` and shown by the lesson."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ..nn.arrays import Array
from .loss_audit import VERDICTS, audit
from .loss_audit.exact import exact_loss
from .loss_audit.faults import json_number
from .loss_audit.frameworks import framework_named, quiet
from .loss_audit.search import LIMITS

Entry = dict[str, Any]
"""What was measured of one loss, as in JSON: numbers that are not finite are strings."""

CASES: dict[str, tuple[list[float], int, str, str]] = {
    "wrong": ([1000.0, 0.0], 1, "float32", "loss"),
    "right": ([1000.0, 0.0], 0, "float32", "loss"),
    "equal": ([1e8, 1e8], 0, "float32", "loss"),
    "tiny": ([20.0, 0.0], 0, "float32", "loss"),
    "component": ([37.42994775023705, 0.0], 0, "float64", "gradient"),
}
"""Rows that many losses get wrong: logits, label, dtype, and which value is compared.

The value is the loss, or the component of the gradient at the label.
"""


FAULTS = {
    "naive": ("inf or nan", ("nan", "inf")),
    "clipped": ("an upper limit, or a gradient of 0", ("capped", "dead gradient", "too large")),
    "padded": ("wrong if a number is added to all logits", ("offset error",)),
    "textbook": ("0 instead of a tiny value", ("false zero",)),
}
"""Groups of faults that the figures show, each with the mark of a loss, words, and the audit's kinds."""

VERDICTS_OF_LOSSES = {
    "naive": "naive",
    "shifted": "half-fixed",
    "clipped": "clipped",
    "padded": "clipped",
    "textbook": "stable",
    "stable": "exact",
}
"""The audit's verdict on each loss of the lesson."""


def truths() -> dict[str, float]:
    """Return the exact value of each of the `CASES`, rounded to its dtype.

    Examples
    --------
    >>> print({case: f"{value:.5g}" for case, value in truths().items()})
    {'wrong': '1000', 'right': '0', 'equal': '0.69315', 'tiny': '2.0612e-09', 'component': '-5.5511e-17'}
    """
    values = {}
    for name, (logits, label, dtype, of) in CASES.items():
        loss, gradient = exact_loss(logits, label)
        values[name] = float(np.dtype(dtype).type(float(loss if of == "loss" else gradient[label])))
    return values


def is_right(case: str, value: float) -> bool:
    """Whether a value differs from the truth of a case by at most 1 %.

    Examples
    --------
    >>> is_right("tiny", 2.06e-9), is_right("tiny", 0.0), is_right("tiny", float("nan"))
    (True, False, False)
    """
    return abs(value - truths()[case]) <= abs(0.01 * truths()[case])


def measure(
    loss: Callable[..., Any],
    library: str,
    call: str,
    version: str,
    *,
    framework: str = "numpy",
    dtypes: Sequence[str] = tuple(LIMITS),
) -> Entry:
    """Audit the loss of a library, and evaluate it for the `CASES`.

    Parameters
    ----------
    loss : callable
        Takes logits (n, k) and labels (n,), and returns losses (n,), or a pair of losses and gradients.
    library, call, version : str
        The library, its function or class, and the version.
    framework : str, default="numpy"
    dtypes : sequence of str
        The dtypes of the audit. The cases are evaluated in their own dtype.

    Returns
    -------
    dict
        "library", "call", "version", "returns" (a number for each case, or None for an unknown gradient), and
        "audits" (for each dtype "verdict", "errors" and "faults").
    """
    found = audit(loss, dtypes=dtypes, framework=framework, name=f"{library}, {call}")
    arrays = framework_named(framework)
    returns: dict[str, float | str | None] = {}
    for case, (logits, label, dtype, of) in CASES.items():
        z, t = np.array([logits], dtype), np.array([label])
        with quiet(), arrays.precision(z.dtype):
            result, gradient = arrays.differentiate(partial(_with_labels, loss, arrays.array, t), z)
            if isinstance(result, tuple):
                result, gradient = result
            losses, gradients = arrays.numpy(result), arrays.numpy(gradient)
        value = losses[0] if of == "loss" else None if gradients is None else gradients[0, label]
        returns[case] = None if value is None else json_number(float(value) + 0)  # not -0.0
    return {
        "library": library,
        "call": call,
        "version": version.split("+")[0],
        "returns": returns,
        "audits": {
            dtype: {
                "verdict": found.verdicts[dtype],
                "errors": {
                    of: json_number(float(f"{error:.3g}")) for of, error in found.errors[dtype].items()
                },
                "faults": [
                    {"kind": f.kind, "of": f.of, "rows": f.ramp, "beyond": f.beyond}
                    for f in found.faults
                    if f.dtype == dtype
                ],
            }
            for dtype in dtypes
        },
    }


def _with_labels(loss: Callable[..., Any], array: Callable[[Any], Any], labels: Array, logits: Any) -> Any:
    return loss(logits, array(labels))


def overview(entry: Entry) -> dict[str, Any]:
    """Return what the figures show of an entry: its first dtype.

    Returns
    -------
    dict
        "title", "verdict", and "starts": the logit beyond which each of the `FAULTS` begins.

    Examples
    --------
    >>> entry = next(entry for entry in read() if entry["library"] == "ONNX reference")
    >>> print({name: round(x, 1) for name, x in overview(entry)["starts"].items()})
    {'naive': 104.0, 'textbook': 16.6}
    """
    dtype, found = next(iter(entry["audits"].items()))
    starts = {
        name: min((f["beyond"] for f in found["faults"] if f["kind"] in kinds and f["beyond"]), default=None)
        for name, (_, kinds) in FAULTS.items()
    }
    return {
        "title": f"{entry['library']} {entry['version']}, {entry['call']}",
        "verdict": found["verdict"] + f", {dtype}" * (dtype != "float32"),
        "starts": {name: x for name, x in starts.items() if x is not None},
    }


def read(path: Path | None = None) -> list[Entry]:
    """Read the entries of a file, by default those of the lesson.

    Examples
    --------
    >>> [entry["library"] for entry in read()][-1]
    'tinyclf'
    """
    file = path or files(__package__) / "page" / "libraries.json"
    entries: list[Entry] = json.loads(file.read_text("utf-8"))
    return entries


def write(path: Path, entries: Sequence[Entry]) -> list[Entry]:
    """Write entries to a file, with those that the file has of other libraries and versions.

    Returns
    -------
    list of dict
        All entries, from the worst to the best verdict.
    """

    def key(entry: Entry) -> tuple[str, ...]:
        return entry["library"], entry["call"], entry["version"]

    merged = {key(entry): entry for entry in [*(read(path) if path.exists() else []), *entries]}
    rank = {
        entry: min(VERDICTS.index(a["verdict"]) for a in merged[entry]["audits"].values()) for entry in merged
    }
    result = [merged[entry] for entry in sorted(merged, key=lambda entry: (rank[entry], entry))]
    path.write_text(
        "[\n" + ",\n".join(json.dumps(entry, allow_nan=False) for entry in result) + "\n]\n", "utf-8"
    )
    return result


def markdown(entries: Sequence[Entry]) -> str:
    """Format entries as a Markdown table; wrong values are bold."""
    rows = [["loss", *LIMITS, *map(heading, CASES)]]
    rows += [["---"] * len(rows[0]), ["exact value", "", "", *map(_short, truths().values())]]
    for entry in entries:
        verdicts = [entry["audits"].get(dtype, {"verdict": ""})["verdict"] for dtype in LIMITS]
        values = [_text(case, value) for case, value in entry["returns"].items()]
        rows.append([overview(entry)["title"], *verdicts, *values])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def row(case: str) -> str:
    """Format the logits of a case.

    Examples
    --------
    >>> row("equal"), row("component")
    ('[1e8, 1e8]', '[37.43, 0]')
    """
    return f"[{', '.join(f'{v:.4g}'.replace('e+0', 'e') for v in CASES[case][0])}]"


def heading(case: str) -> str:
    """Describe a case.

    Examples
    --------
    >>> heading("equal"), heading("component")
    ('[1e8, 1e8], class 0', 'gradient of [37.43, 0], class 0, float64')
    """
    _, label, dtype, of = CASES[case]
    return (
        f"{'gradient of ' * (of == 'gradient')}{row(case)}, class {label}{', float64' * (dtype == 'float64')}"
    )


def _text(case: str, value: float | str | None) -> str:
    if value is None:
        return ""
    number = _short(float(value))
    return number if is_right(case, float(value)) else f"**{number}**"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-")
