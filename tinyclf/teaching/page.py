"""The lesson as one page of HTML that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import html
import json
import math
import re
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from .arithmetic import DTYPES, OFFSET, wrong_row
from .experiments import Outcome
from .lesson import EPS, EPS_IN_WORDS, FORGOTTEN, GAP, LABELS, RUNS, SCALES, SHOWN, Lesson, Summary

_FADED = 50
"""The second scale at which the text tells the gradient of log(p + eps)."""

_HALF = 12
"""The scale at which the text asks about float16."""


def render(lesson: Lesson, command: str = "python -m tinyclf lesson") -> str:
    """Fill the template ``page/lesson.html`` with what was measured, its style sheet and its scripts.

    Parameters
    ----------
    lesson : Lesson
    command : str
        What made it, for the cover.

    Returns
    -------
    str
        The page.
    """
    folder = files(__package__) / "page"

    def part(name: str) -> str:
        return (folder / name).read_text("utf-8")

    a, runs, template = lesson.arithmetic, lesson.runs, part("lesson.html")
    cured = [summary.accuracy for summary in runs["scaled"].values()]
    return template.format(
        style=part("lesson.css"),
        numerics=part("numerics.js"),
        charts=part("charts.js"),
        script=part("lesson.js"),
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
        half=_HALF,
        right_at_half=_right_in_half_precision(),
        white={run: experiment.white for run, (experiment, *_) in RUNS.items()},
        factor=a["thresholds"]["float64"]["exp"] / a["thresholds"]["float32"]["exp"],
        largest={dtype: float(np.finfo(dtype).max) for dtype in DTYPES},
        log_largest={dtype: math.log(np.finfo(dtype).max) for dtype in DTYPES},
        steep_rate=RUNS["steep"][0].optimizer.learning_rate,
        cured=_range(min(cured), max(cured)),
        quiet_story=_quiet_story(runs["quiet"]["clipped"]),
        steep_story=_steep_story(runs["steep"]),
        steps={
            name: str(i)
            for i, name in enumerate(re.findall(r'<section class="step" id="([\w-]+)"', template), 1)
        },
    )


def _right_in_half_precision() -> str:
    """Name the losses that float16 logits [_HALF, 0], true class the second, leave right to 1 %."""
    right = []
    for name in SHOWN:
        loss, gradient = wrong_row(_HALF, name, "float16")
        if np.allclose([loss, *gradient], [_HALF, 1, -1], rtol=0.01):
            right.append(LABELS[name])
    return "Only " + " and ".join(right) if right else "None"


def _range(low: float, high: float) -> str:
    """Tell two shares, or one if they look the same."""
    words = [f"{low:.1%}", f"{high:.1%}"]
    return words[0] if words[0] == words[1] else f"{words[0]} <small>to</small> {words[1]}"


def _quiet_story(clipped: Summary) -> str:
    """Tell what became of the digits that were forgotten, if any were."""
    if not clipped.forgotten:
        return (
            "None of these networks forgot a digit. Others do: look with more seeds, and digit by digit, "
            "since an average hides it."
        )
    return (
        f"Look at the digits one by one. In the end {clipped.stuck:.0%} of a forgotten digit&rsquo;s "
        "training rows are wrong and give no gradient: they do not push, and so it does not come back. The "
        "average hides that; recall per class does not."
    )


def _steep_story(steep: dict[str, Summary]) -> str:
    """Tell whether the losses that lose gradients did better, and what to think of it."""
    scores = (
        f"The clipped loss has {steep['clipped'].accuracy:.0%} here, log(p&nbsp;+&nbsp;{EPS_IN_WORDS}) "
        f"{steep['padded'].accuracy:.0%}."
    )
    if max(steep["clipped"].accuracy, steep["padded"].accuracy) <= steep["stable"].accuracy:
        return (
            f"{scores} With other seeds they may be better, by accident: where there is no gradient, there "
            "is no step."
        )
    return (
        f"{scores} Where they give no gradient they take no step, which is gradient clipping by accident. "
        "That is no reason to use them; it is one to clip gradients on purpose, or to do what comes next."
    )


def _seeds(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"one seed, {seeds[0]}"
    return f"means of {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"


def _data(lesson: Lesson) -> dict[str, Any]:
    """What the scripts of the page draw."""
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
        "silent": [_short(v) for v in o.silent],
        "first": o.first_nonfinite_step,
        "true": o.true_loss,
        "accuracy": o.accuracy,
        "recall": [_short(float(v)) for v in o.recall],
    }


def _short(x: float) -> float:
    """Round to what a picture can show."""
    return float(f"{x:.4g}")


def _json(data: Any) -> str:
    """Write JSON with strings for numbers that are not finite, and without "<", which could end it."""

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
