"""The lesson as one self-contained HTML page, which needs no server, no network and no other files."""

from __future__ import annotations

import html
import json
import math
import re
import string
from collections.abc import Iterable
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from ..estimator.classifier import DOCUMENTATION
from ..nn.schedules import linear
from .arithmetic import OFFSET, wrong_row
from .experiments import QUIET, Experiment, Outcome
from .lesson import EPS, FORGOTTEN, GAP, RUNS, SCALES, SHOWN, Lesson, Summary
from .libraries import (
    CASES,
    FAULTS,
    VERDICTS_OF_LOSSES,
    Entry,
    heading,
    is_right,
    overview,
    read,
    row,
    truths,
)

SCRIPTS = (
    "numerics.js",
    "trainer.js",
    "charts.js",
    "state.js",
    "controls.js",
    "predict.js",
    "opening.js",
    "lesson.js",
    "training.js",
    "audit.js",
    "code.js",
    "address.js",
    "navigation.js",
)
"""The scripts of the page, in the order in which they run; they share their top-level names."""

_REPOSITORY = "https://github.com/tinyclf/tinyclf"

_SECTIONS = {"training": "unscaled", "quiet": "quiet", "not-cured": "steep", "cure": "scaled"}
"""The steps whose runs the reader can repeat in the page."""

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
    opening = _opening(lesson)
    scaled = [summary.accuracy for summary in runs["scaled"].values()]
    return _Typesetter().format(
        template,
        style=part("lesson.css"),
        scripts="\n".join(f'<script id="{name}">\n{part(name)}</script>' for name in SCRIPTS),
        data=_json(_data(lesson) | {"opening": opening}),
        opening=opening,
        docs=DOCUMENTATION,
        repository=_REPOSITORY,
        a=a,
        r=runs,
        n=len(lesson.seeds),
        n_digits=10 * len(lesson.seeds),
        made_with=html.escape(lesson.made_with()),
        command=html.escape(command),
        seed_words=html.escape(_seeds(lesson.seeds)),
        eps=EPS,
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
        extreme=_typeset(", ".join(f"{v:g}" for v in a["vectors"]["extreme"]["x"])),
        clipped_gradient=_points((x, -wrong_row(x, "clipped")[1][1]) for x in np.linspace(0, 40, 161)),
        clipped_curve=_points(enumerate(runs["unscaled"]["clipped"].curve, 1)),
        half_way=-wrong_row(0, "stable")[1][1],
        epochs=RUNS["unscaled"][0].epochs,
        guess=math.log(10),
        float32_eps=float(np.finfo("float32").eps),
        half=_HALF,
        right_at_half=" ".join(_right_in_half_precision()),
        white={run: experiment.white for run, (experiment, *_) in RUNS.items()},
        factor=a["thresholds"]["float64"]["exp"] / a["thresholds"]["float32"]["exp"],
        largest={dtype: float(np.finfo(dtype).max) for dtype in ("float16", "float32")},
        steep_rate=RUNS["steep"][0].optimizer.learning_rate,
        cured=_range(min(scaled), max(scaled)),
        n_weights=RUNS["unscaled"][0].network(0).theta.size,
        quiet_story=_quiet_story(runs["quiet"]["clipped"], opening["seed"]),
        steep_story=_steep_story(runs["steep"]),
        libraries=_libraries(),
        truth=truths(),
        row={case: _typeset(row(case)).replace(", ", ",&nbsp;") for case in CASES},
        lost={
            verdict: ", ".join(loss for loss, its in VERDICTS_OF_LOSSES.items() if its == verdict)
            for verdict in VERDICTS_OF_LOSSES.values()
        },
        steps={
            name: str(i)
            for i, name in enumerate(re.findall(r'<section class="step" id="([\w-]+)"', template), 1)
        },
    )


class _Typesetter(string.Formatter):
    """Format as `str.format` does, but write numbers as in print, with `_typeset`."""

    def format_field(self, value: Any, spec: str) -> str:
        text = str(super().format_field(value, spec))
        return text if isinstance(value, str) else _typeset(text)


def _typeset(text: str) -> str:
    """Write numbers with minus signs and powers of ten; ``typeset`` in charts.js does the same."""

    def power(match: re.Match[str]) -> str:
        mantissa = "" if match[1] == "1" else f"{match[1]}\N{MULTIPLICATION SIGN}"
        return f"{mantissa}10{str(int(match[2])).translate(_SUPERSCRIPTS)}"

    text = re.sub(r"(?<![\d.])(\d+(?:\.\d+)?)e([+-]?\d+)", power, text)
    return text.replace("-", "\N{MINUS SIGN}")


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _opening(lesson: Lesson) -> dict[str, Any]:
    """Describe the digit that a network with the clipped loss recognizes worst.

    Of the networks that forgot a digit, it is the most accurate one: its failure is easy to overlook.
    """
    run = "quiet" if lesson.runs["quiet"]["clipped"].forgotten else "unscaled"
    outcomes = lesson.runs[run]["clipped"].outcomes
    o = max(outcomes, key=lambda o: (o.recall.min() < FORGOTTEN, o.accuracy))
    digit = int(o.recall.argmin())
    digits = load_digits().data
    _, images, _, y = QUIET.data(o.seed)  # pixels from 0 to 16, with the split of every run with this seed
    stable = next(other for other in lesson.runs[run]["stable"].outcomes if other.seed == o.seed)
    return {
        "digit": digit,
        "seed": o.seed,
        "accuracy": o.accuracy,
        "n": int(np.sum(y == digit)),
        "right": int(np.sum(o.predicted[y == digit] == digit)),
        "right_stable": int(np.sum(stable.predicted[y == digit] == digit)),
        "question": (
            "Why is it worse at this digit than at the others?"
            if digit in o.predicted
            else f"It never answers {digit}. Why?"
        ),
        "images": [int(np.flatnonzero((digits == image).all(axis=1))[0]) for image in images[y == digit]],
        "answers": o.predicted[y == digit],
    }


def _right_in_half_precision() -> list[str]:
    """Name the losses that are accurate to 1 % for float16 logits [_HALF, 0] with label 1."""
    results = {name: wrong_row(_HALF, name, "float16") for name in SHOWN}
    return [
        name
        for name, (loss, gradient) in results.items()
        if np.allclose([loss, *gradient], [_HALF, 1, -1], rtol=0.01)
    ]


def _points(points: Iterable[tuple[float, float]]) -> str:
    """Encode the points of a curve as an attribute of an HTML element."""
    return html.escape(_json([[_short(x), _short(y)] for x, y in points]))


def _range(low: float, high: float) -> str:
    """Format two fractions as percentages, or as one if they are equal after rounding."""
    words = [f"{low:.1%}", f"{high:.1%}"]
    return words[0] if words[0] == words[1] else f"{words[0]} <small>to</small> {words[1]}"


def _quiet_story(clipped: Summary, seed: int) -> str:
    """Describe the forgotten digits, or state that there are none."""
    recall = "The recall of a digit is the fraction of its test images that are classified correctly."
    if not clipped.forgotten:
        return (
            f"{recall} None of these networks forgot a digit. Other seeds do. Use more seeds and look at the "
            "recall of each digit: the mean accuracy does not show a forgotten digit."
        )
    return (
        f"{recall} The chart shows it for seed {seed}, the network at the start of this page. "
        f"After training, {clipped.stuck:.0%} of the training rows of a forgotten digit are misclassified "
        "and have a gradient of 0, so they would not contribute to further training. The mean accuracy hides "
        "a forgotten digit; the recall of each digit shows it."
    )


def _steep_story(steep: dict[str, Summary]) -> str:
    """Compare the stable loss with those that lose gradients, and interpret the result."""
    scores = (
        f"The clipped loss reaches {steep['clipped'].accuracy:.0%} here, and "
        f"the padded loss {steep['padded'].accuracy:.0%}."
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


def _libraries() -> dict[str, Any]:
    """Return what the text says about the losses of libraries."""
    entries = read()
    told = {
        "onnx": ("ONNX reference", "LogSoftmax"),
        "runtime": ("ONNX Runtime", "LogSoftmax"),
        "spark": ("Spark", "multilayer perceptron"),
        "jax": ("JAX", "log_softmax"),
        "mlx": ("MLX", "cross_entropy"),
        "optax": ("Optax", "loss with integer labels"),
        "keras": ("Keras", "softmax, on JAX"),
        "keras_logits": ("Keras", "from_logits=True"),
        "keras_tf": ("Keras", "softmax, on TensorFlow"),
    }
    found: dict[str, Any] = {}
    for name, which in told.items():
        versions = [entry for entry in entries if (entry["library"], entry["call"]) == which]
        versions.sort(key=lambda entry: [int(number) for number in re.findall(r"\d+", entry["version"])])
        for key, entry in ((f"{name}_before", versions[0]), (name, versions[-1])):
            values = {case: math.nan if v is None else float(v) for case, v in entry["returns"].items()}
            found[key] = {**overview(entry), "version": entry["version"], **values}
    zeros = {entry["library"] for entry in entries if entry["returns"]["component"] == 0} - {"JAX"}
    *others, last = sorted(zeros, key=str.lower)
    return found | {
        "n_losses": len(entries),
        "n": len({entry["library"] for entry in entries}),
        "exact": sum(
            all(v is not None and is_right(case, float(v)) for case, v in entry["returns"].items())
            for entry in entries
        ),
        "like_jax": f"{', '.join(others)} and {last}",
    }


def _seeds(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"one seed, {seeds[0]}"
    return f"means of {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"


def _data(lesson: Lesson) -> dict[str, Any]:
    """Return the data that the scripts of the page draw."""
    a = lesson.arithmetic
    return {
        "eps": EPS,
        "gap": GAP,
        "forgotten": FORGOTTEN,
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
        "settings": {run: _settings(section, RUNS[run][0]) for section, run in _SECTIONS.items()},
        "digits": _digits(),
        "libraries": [_shown(entry) for entry in read()],
        "faults": [{"name": name, "words": words} for name, (words, _) in FAULTS.items()],
        "rows": [
            {"name": name, "words": _typeset(heading(name)), "truth": truth}
            for name, truth in truths().items()
        ],
    }


def _shown(entry: Entry) -> dict[str, Any]:
    """Return what step 11 shows of the audit of a library."""
    returns = entry["returns"]
    wrong = [
        case for case, value in returns.items() if value is not None and not is_right(case, float(value))
    ]
    return {**overview(entry), "returns": returns, "wrong": wrong}


def _settings(section: str, experiment: Experiment) -> dict[str, Any]:
    """Return the settings of an experiment for the training in the page."""
    optimizer = experiment.optimizer
    return {
        "section": section,
        "white": experiment.white,
        "centered": experiment.centered,
        "hidden": experiment.hidden,
        "rate": optimizer.learning_rate,
        "optimizer": {"name": type(optimizer).__name__, **asdict(optimizer)},
        "falls": experiment.schedule is linear,
        "batch": experiment.batch_size,
        "epochs": experiment.epochs,
    }


def _digits() -> dict[str, str]:
    """Pack the images and labels of the digits, in about a character per pixel that is not 0.

    A letter from "b" to "q" is a pixel from 1 to 16, and one from "A" to "Z" is 1 to 26 pixels of 0.
    """
    digits = load_digits()
    letters = "".join(chr(ord("a") + int(pixel)) for pixel in digits.data.flat)
    return {
        "pixels": re.sub("a{1,26}", lambda zeros: chr(ord("A") - 1 + len(zeros[0])), letters),
        "labels": "".join(map(str, digits.target)),
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
