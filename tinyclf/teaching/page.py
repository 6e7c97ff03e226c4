"""The lesson as one self-contained HTML page, which needs no server, no network and no other files."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from .arithmetic import OFFSET, wrong_row
from .experiments import Outcome
from .lesson import EPS, EPS_IN_WORDS, FORGOTTEN, GAP, LABELS, RUNS, SCALES, SHOWN, Lesson, Summary

SCRIPTS = (
    "numerics.js",
    "charts.js",
    "state.js",
    "controls.js",
    "predict.js",
    "lesson.js",
    "code.js",
    "address.js",
    "navigation.js",
)
"""The scripts of the page, in the order in which they run; they share their top-level names."""

_FADED = 50
"""The second scale at which the text states the gradient of log(p + eps)."""

_HALF = 12
"""The scale of the question about float16."""


def render(lesson: Lesson, command: str = "python -m tinyclf lesson") -> str:
    """Fill the template ``page/lesson.html`` with the measurements, the style sheet and the scripts.

    Parameters
    ----------
    lesson : Lesson
        The measurements.
    command : str, default="python -m tinyclf lesson"
        The command that made the page, shown at the top.

    Returns
    -------
    str
        The page.
    """
    folder = files(__package__) / "page"

    def part(name: str) -> str:
        return (folder / name).read_text("utf-8")

    a, runs, template = lesson.arithmetic, lesson.runs, part("lesson.html")
    scaled = [summary.accuracy for summary in runs["scaled"].values()]
    return template.format(
        style=part("lesson.css"),
        scripts="\n".join(f"<script>\n{part(name)}</script>" for name in SCRIPTS),
        data=_json(_data(lesson)),
        a=a,
        r=runs,
        n=len(lesson.seeds),
        n_digits=10 * len(lesson.seeds),
        made_with=html.escape(lesson.made_with()),
        command=html.escape(command),
        seed_words=html.escape(_seeds(lesson.seeds)),
        eps=EPS_IN_WORDS,
        cap=-math.log(EPS),
        forgotten=FORGOTTEN,
        scale=SCALES[0],
        scale_50=_FADED,
        wrong=a["cases"][SCALES[0]],
        padded_20=a["cases"][SCALES[0]]["padded"][1][0],
        padded_50=wrong_row(_FADED, "padded")[1][0],
        offset=OFFSET,
        gap=GAP,
        tiny=a["tiny"],
        extreme=", ".join(f"{v:g}".replace("-", "&minus;") for v in a["vectors"]["extreme"]["x"]),
        clipped_gradient=_points((x, -wrong_row(x, "clipped")[1][1]) for x in np.linspace(0, 40, 161)),
        clipped_curve=_points(enumerate(runs["unscaled"]["clipped"].curve, 1)),
        half_way=-wrong_row(0, "stable")[1][1],
        epochs=RUNS["unscaled"][0].epochs,
        guess=math.log(10),
        float32_eps=float(np.finfo("float32").eps),
        half=_HALF,
        right_at_half=_right_in_half_precision(),
        white={run: experiment.white for run, (experiment, *_) in RUNS.items()},
        factor=a["thresholds"]["float64"]["exp"] / a["thresholds"]["float32"]["exp"],
        largest={dtype: float(np.finfo(dtype).max) for dtype in ("float16", "float32")},
        log_largest={"float16": math.log(np.finfo("float16").max)},
        steep_rate=RUNS["steep"][0].optimizer.learning_rate,
        cured=_range(min(scaled), max(scaled)),
        quiet_story=_quiet_story(runs["quiet"]["clipped"]),
        steep_story=_steep_story(runs["steep"]),
        steps={
            name: str(i)
            for i, name in enumerate(re.findall(r'<section class="step" id="([\w-]+)"', template), 1)
        },
    )


def _right_in_half_precision() -> str:
    """Name the losses that are accurate to 1 % for float16 logits [_HALF, 0] with label 1."""
    right = []
    for name in SHOWN:
        loss, gradient = wrong_row(_HALF, name, "float16")
        if np.allclose([loss, *gradient], [_HALF, 1, -1], rtol=0.01):
            right.append(f"&ldquo;{LABELS[name]}&rdquo;")
    return "Only " + " and ".join(right) if right else "None"


def _points(points: Iterable[tuple[float, float]]) -> str:
    """Encode the points of a curve as an attribute of an HTML element."""
    return html.escape(_json([[_short(x), _short(y)] for x, y in points]))


def _range(low: float, high: float) -> str:
    """Format two fractions as percentages, or as one if they are equal after rounding."""
    words = [f"{low:.1%}", f"{high:.1%}"]
    return words[0] if words[0] == words[1] else f"{words[0]} <small>to</small> {words[1]}"


def _quiet_story(clipped: Summary) -> str:
    """Describe the forgotten digits, or state that there are none."""
    if not clipped.forgotten:
        return (
            "None of these networks forgot a digit. Other seeds do. Use more seeds and look at the recall of "
            "each digit: the mean accuracy does not show a forgotten digit."
        )
    return (
        f"Look at the recall of each digit. After training, {clipped.stuck:.0%} of the training rows of a "
        "forgotten digit are misclassified and have a gradient of 0, so they would not contribute to "
        "further training. The mean accuracy hides a forgotten digit; the recall of each class shows it."
    )


def _steep_story(steep: dict[str, Summary]) -> str:
    """Compare the stable loss with those that lose gradients, and interpret the result."""
    scores = (
        f"The clipped loss reaches {steep['clipped'].accuracy:.0%} here, and "
        f"log(p&nbsp;+&nbsp;{EPS_IN_WORDS}) {steep['padded'].accuracy:.0%}."
    )
    if max(steep["clipped"].accuracy, steep["padded"].accuracy) <= steep["stable"].accuracy:
        return (
            f"{scores} With other seeds they may be better than the stable loss, but only by accident: rows "
            "without a gradient do not contribute to the step, so the steps are shorter."
        )
    return (
        f"{scores} Rows without a gradient do not contribute to the step, so the steps are shorter. This is "
        "accidental gradient clipping. It is not a reason to use these losses. Clip the gradient on "
        "purpose instead, or scale the inputs as in the next step."
    )


def _seeds(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"one seed, {seeds[0]}"
    return f"means of {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"


def _data(lesson: Lesson) -> dict[str, Any]:
    """Return the data that the scripts of the page draw."""
    a = lesson.arithmetic
    digits = load_digits()
    return {
        "eps": EPS,
        "gap": GAP,
        "forgotten": FORGOTTEN,
        "labels": LABELS,
        "seeds": lesson.seeds,
        "vectors": a["vectors"],
        "thresholds": a["thresholds"],
        "scales": SCALES,
        "cases": a["cases"],
        "runs": {
            run: {
                "setup": str(experiment),
                "dtype": dtype,
                "losses": {
                    name: [_outcome(o) for o in summary.outcomes]
                    for name, summary in lesson.runs[run].items()
                },
            }
            for run, (experiment, dtype, _) in RUNS.items()
        },
        "images": [digits.data[(digits.target == digit).argmax()] for digit in range(10)],
    }


def _outcome(o: Outcome) -> dict[str, Any]:
    return {
        "curve": [_short(v) for v in o.curve],
        "no_gradient": [_short(v) for v in o.no_gradient],
        "first": o.first_nonfinite_step,
        "true": o.true_loss,
        "accuracy": o.accuracy,
        "recall": [_short(float(v)) for v in o.recall],
    }


def _short(x: float) -> float:
    """Round to four digits, enough for a chart."""
    return float(f"{x:.4g}")


def _json(data: Any) -> str:
    """Encode as JSON: numbers that are not finite as strings, and "<" escaped, as it could end the script."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float | np.floating):
            x = float(value)
            return (int(x) if x.is_integer() and abs(x) < 1e15 else x) if math.isfinite(x) else str(x)
        return value

    text = json.dumps(plain(data), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")
