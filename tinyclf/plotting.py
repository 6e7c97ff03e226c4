"""Pictures, with matplotlib (``pip install tinyclf[plot]``), which is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .teaching.arithmetic import last_push, wrong_row
from .teaching.lesson import FORGOTTEN, LABELS, RUNS, THREE

if TYPE_CHECKING:
    from .teaching.lesson import Lesson, Summary

COLOURS = {"naive": "#9d1a12", "clipped": "#b86e00", "stable": "#00705a"}
DASHES = {"naive": "-", "clipped": (0, (6, 1.5, 1, 1.5)), "stable": "-"}
MARKS = {"naive": "x", "clipped": "s", "stable": "o"}


def draw_curves(summaries: Mapping[str, Summary], ax: Any) -> None:
    """Draw the loss that training reported, epoch by epoch and as a mean of the seeds, labelled on the line.

    Parameters
    ----------
    summaries : mapping of str to Summary
        For the names "naive", "clipped" and "stable".
    ax : matplotlib Axes
    """
    curves = {name: summary.curve for name, summary in summaries.items()}
    finite = [loss for curve in curves.values() for loss in curve if np.isfinite(loss)]
    above = 1.12 * max(finite, default=1.0)  # where a curve that was never finite leaves its cross
    for name, curve in curves.items():
        epochs = np.arange(1, len(curve) + 1)
        if np.isfinite(curve).any():
            for outcome in summaries[name].outcomes if len(summaries[name].outcomes) > 1 else []:
                ax.plot(epochs, outcome.curve, color=COLOURS[name], linewidth=0.8, alpha=0.25)
            _line(ax, name, epochs, curve)
            last = np.flatnonzero(np.isfinite(curve))[-1]
            spot, offset, side = (epochs[last], curve[last]), (0, 12), "right"
        else:
            ax.plot([1], [above], "x", clip_on=False, color=COLOURS[name], markersize=14, markeredgewidth=4)
            spot, offset, side = (1, above), (16, -5), "left"
        _label(ax, name, _outcome(name, summaries[name]), spot, offset, side)
    ax.set_ylim(bottom=0, top=1.2 * above)
    ax.set_xlabel("epoch")
    ax.set_ylabel("reported training loss")
    ax.spines[["top", "right"]].set_visible(False)


def draw_push(value: Any, push: Any) -> None:
    """Draw loss and push, minus the gradient at the true logit, against the scale of float32 logits.

    Parameters
    ----------
    value, push : matplotlib Axes
        For the loss and for the push of logits [scale, 0].
    """
    top = 120.0
    scales = np.linspace(0.0, top, 961)
    for name in THREE:
        rows = [wrong_row(scale, name) for scale in scales]
        for ax, values in (
            (value, [loss for loss, _ in rows]),
            (push, [-gradient[1] for _, gradient in rows]),
        ):
            alive = np.isfinite(values) & np.isfinite([gradient[1] for _, gradient in rows])
            x, y = scales[alive], np.array(values)[alive]
            if name == "naive":  # beneath the stable one, which hides it otherwise
                ax.plot(x, y, color=COLOURS[name], linewidth=11, alpha=0.3, solid_capstyle="round")
                ax.plot(x[-1:], y[-1:], "x", color=COLOURS[name], markersize=13, markeredgewidth=3.5)
            else:
                _line(ax, name, x, y)
    heights = {
        "naive": wrong_row(80.0, "naive")[0],
        "stable": top,
        "clipped": wrong_row(top, "clipped")[0],
    }
    _label(
        value,
        "naive",
        f"naive: ends at {last_push('naive'):.1f}",
        (80.0, heights["naive"]),
        (-14, 8),
        "right",
    )
    _label(value, "stable", LABELS["stable"], (top, heights["stable"]), (-14, 0), "right")
    _label(value, "clipped", f"{LABELS['clipped']}: flat", (top, heights["clipped"]), (0, 10), "right")
    _label(
        push,
        "clipped",
        f"{LABELS['clipped']}: no push above {last_push('clipped'):.1f}",
        (top, 0.0),
        (0, 10),
        "right",
    )
    _label(push, "stable", LABELS["stable"], (top, 1.0), (0, -20), "right")
    for ax, title in ((value, "loss"), (push, "push on the true logit")):
        ax.set_xlabel("scale of the float32 logits [scale, 0]; the second class is the true one")
        ax.set_ylabel(title)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_ylim(bottom=-0.02 * ax.get_ylim()[1])


def draw_recall(summaries: Mapping[str, Summary], axes: Any) -> None:
    """Draw the recall of each digit and seed as a field of squares, with a cross where a digit is forgotten.

    Parameters
    ----------
    summaries : mapping of str to Summary
        One for each of the axes.
    axes : sequence of matplotlib Axes
    """
    for ax, (name, summary) in zip(axes, summaries.items(), strict=True):
        recall = np.array([outcome.recall for outcome in summary.outcomes])
        shown = ax.imshow(recall, cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
        for seed, digit in zip(*np.nonzero(recall < FORGOTTEN), strict=True):
            ax.plot(digit, seed, "x", color="white", markersize=11, markeredgewidth=2.5)
        title = f"{LABELS[name]}: {100 * summary.accuracy:.0f} % right, {summary.forgotten} digits forgotten"
        ax.set_title(title, color=COLOURS[name], fontsize=11, fontweight="bold")
        ax.set_xticks(range(10))
        ax.set_yticks(range(len(recall)), [str(outcome.seed) for outcome in summary.outcomes])
        ax.set_xlabel("digit")
        ax.set_ylabel("seed")
    axes[-1].figure.colorbar(shown, ax=axes[-1], label="recall on the test digits")


def _line(ax: Any, name: str, x: Any, y: Any) -> None:
    every = max(1, len(x) // 6)
    style = {"color": COLOURS[name], "linestyle": DASHES[name], "marker": MARKS[name]}
    ax.plot(x, y, linewidth=2.5, markersize=6, markevery=(every // 2, every), **style)


def _label(
    ax: Any, name: str, words: str, spot: tuple[float, float], offset: tuple[int, int], side: str
) -> None:
    how = {"color": COLOURS[name], "fontsize": 12, "fontweight": "bold", "ha": side}
    ax.annotate(words, spot, xytext=offset, textcoords="offset points", **how)


def _outcome(name: str, summary: Summary) -> str:
    if summary.broken:
        n = len(summary.outcomes)
        where = "" if summary.broken == n else f", {summary.broken} of {n} seeds"
        return f"{name}: not finite from {summary.first} on{where}"
    return f"{name}: {100 * summary.accuracy:.0f} % of the test digits right"


def save_curves(summaries: Mapping[str, Summary], setup: str, path: str | Path) -> Path:
    """Save the picture of `draw_curves`; the path's ending tells the format.

    Parameters
    ----------
    summaries : mapping of str to Summary
    setup : str
        What was trained, for the line below the picture.
    path : str or Path

    Returns
    -------
    Path
        Where the picture is, absolute.

    Raises
    ------
    ValueError
        If the path's ending is no format that matplotlib knows.
    """
    return _save(path, setup, (9, 5), (1, 1), lambda axes: draw_curves(summaries, axes[0]))


def save_pictures(lesson: Lesson, folder: str | Path) -> list[Path]:
    """Save three pictures of the lesson: curves, loss and push, recall.

    Parameters
    ----------
    lesson : Lesson
    folder : str or Path

    Returns
    -------
    list of Path
        ``lesson-curves.png``, ``lesson-push.png`` and ``lesson-recall.png``.
    """
    folder = Path(folder)
    unscaled, quiet = ({name: lesson.runs[run][name] for name in THREE} for run in ("unscaled", "quiet"))
    del quiet["naive"]
    setup = {
        run: f"{experiment}; {dtype}, means of seeds {lesson.seeds[0]} to {lesson.seeds[-1]}"
        for run, (experiment, dtype, _) in RUNS.items()
    }
    return [
        save_curves(unscaled, setup["unscaled"], folder / "lesson-curves.png"),
        _save(folder / "lesson-push.png", "", (11, 4.2), (1, 2), lambda axes: draw_push(*axes)),
        _save(
            folder / "lesson-recall.png",
            setup["quiet"].replace("means of ", ""),
            (11, 4.4),
            (1, 2),
            lambda axes: draw_recall(quiet, axes),
        ),
    ]


def _save(
    path: str | Path,
    setup: str,
    size: tuple[float, float],
    shape: tuple[int, int],
    draw: Callable[[Any], None],
) -> Path:
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    figure = Figure(figsize=size, layout="constrained")
    draw(figure.subplots(*shape, squeeze=False).ravel())
    if setup:
        figure.supxlabel(setup, fontsize=8, color="#555555")
    path = Path(path).resolve()
    figure.savefig(path, dpi=110)
    return path
