"""Figures of the lesson. They require matplotlib (``pip install matplotlib``), imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .arithmetic import gradient_limit, wrong_row
from .lesson import FORGOTTEN, RUNS, THREE
from .libraries import FAULTS, Entry, overview

if TYPE_CHECKING:
    from .lesson import Lesson, Summary

COLORS = {"naive": "#9d1a12", "clipped": "#b86e00", "stable": "#00705a"}
DASHES = {"naive": "-", "clipped": (0, (6, 1.5, 1, 1.5)), "stable": "-"}
MARKS = {"naive": "x", "clipped": "s", "stable": "o"}


def draw_curves(summaries: Mapping[str, Summary], ax: Any) -> None:
    """Draw the reported loss of each epoch: thin lines for the seeds, a thick labeled line for the mean.

    Parameters
    ----------
    summaries : mapping of str to Summary
        Keys are any of "naive", "clipped" and "stable".
    ax : matplotlib Axes
    """
    curves = {name: summary.curve for name, summary in summaries.items()}
    finite = [loss for curve in curves.values() for loss in curve if np.isfinite(loss)]
    above = 1.12 * max(finite, default=1.0)  # height of the cross of a curve that is never finite
    for name, curve in curves.items():
        epochs = np.arange(1, len(curve) + 1)
        if np.isfinite(curve).any():
            for outcome in summaries[name].outcomes if len(summaries[name].outcomes) > 1 else []:
                ax.plot(epochs, outcome.curve, color=COLORS[name], linewidth=0.8, alpha=0.25)
            _line(ax, name, epochs, curve)
            last = np.flatnonzero(np.isfinite(curve))[-1]
            spot, offset, side = (epochs[last], curve[last]), (0, 12), "right"
        else:
            ax.plot([1], [above], "x", clip_on=False, color=COLORS[name], markersize=14, markeredgewidth=4)
            spot, offset, side = (1, above), (16, -5), "left"
        _label(ax, name, _outcome(name, summaries[name]), spot, offset, side)
    ax.set_ylim(bottom=0, top=1.2 * above)
    ax.set_xlabel("epoch")
    ax.set_ylabel("reported training loss")
    ax.spines[["top", "right"]].set_visible(False)


def draw_gradient(loss_ax: Any, gradient_ax: Any) -> None:
    """Draw the loss, and minus its gradient at the true logit, against the scale of float32 logits.

    The logits are [scale, 0]; the true class is the second.

    Parameters
    ----------
    loss_ax, gradient_ax : matplotlib Axes
        Axes for the loss and for the gradient.
    """
    top = 120.0
    scales = np.linspace(0.0, top, 961)
    for name in THREE:
        rows = [wrong_row(scale, name) for scale in scales]
        for ax, values in (
            (loss_ax, [loss for loss, _ in rows]),
            (gradient_ax, [-gradient[1] for _, gradient in rows]),
        ):
            finite = np.isfinite(values) & np.isfinite([gradient[1] for _, gradient in rows])
            x, y = scales[finite], np.array(values)[finite]
            if name == "naive":  # wide and pale, to be visible behind the stable line
                ax.plot(x, y, color=COLORS[name], linewidth=11, alpha=0.3, solid_capstyle="round")
                ax.plot(x[-1:], y[-1:], "x", color=COLORS[name], markersize=13, markeredgewidth=3.5)
            else:
                _line(ax, name, x, y)
    heights = {
        "naive": wrong_row(80.0, "naive")[0],
        "stable": top,
        "clipped": wrong_row(top, "clipped")[0],
    }
    _label(
        loss_ax,
        "naive",
        f"naive: finite up to {gradient_limit('naive'):.1f}",
        (80.0, heights["naive"]),
        (-14, 8),
        "right",
    )
    _label(loss_ax, "stable", "stable", (top, heights["stable"]), (-14, 0), "right")
    _label(loss_ax, "clipped", "clipped: constant", (top, heights["clipped"]), (0, 10), "right")
    _label(
        gradient_ax,
        "clipped",
        f"clipped: 0 above {gradient_limit('clipped'):.1f}",
        (top, 0.0),
        (0, 10),
        "right",
    )
    _label(gradient_ax, "stable", "stable", (top, 1.0), (0, -20), "right")
    for ax, title in ((loss_ax, "loss"), (gradient_ax, "minus the gradient at the true logit")):
        ax.set_xlabel("scale of the float32 logits [scale, 0]; the true class is the second")
        ax.set_ylabel(title)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_ylim(bottom=-0.02 * ax.get_ylim()[1])


def draw_recall(summaries: Mapping[str, Summary], axes: Any) -> None:
    """Draw the recall of each digit and seed as a heat map, with a cross on each forgotten digit.

    Parameters
    ----------
    summaries : mapping of str to Summary
        One per axes.
    axes : sequence of matplotlib Axes
    """
    for ax, (name, summary) in zip(axes, summaries.items(), strict=True):
        recall = np.array([outcome.recall for outcome in summary.outcomes])
        shown = ax.imshow(recall, cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
        for seed, digit in zip(*np.nonzero(recall < FORGOTTEN), strict=True):
            ax.plot(digit, seed, "x", color="white", markersize=11, markeredgewidth=2.5)
        title = f"{name}: {summary.accuracy:.0%} accuracy, {summary.forgotten} digits forgotten"
        ax.set_title(title, color=COLORS[name], fontsize=11, fontweight="bold")
        ax.set_xticks(range(10))
        ax.set_yticks(range(len(recall)), [str(outcome.seed) for outcome in summary.outcomes])
        ax.set_xlabel("digit")
        ax.set_ylabel("seed")
    axes[-1].figure.colorbar(shown, ax=axes[-1], label="recall on the test digits")


def draw_libraries(entries: Sequence[Entry], ax: Any) -> None:
    """Draw the logit beyond which faults of each audited loss begin, and the verdicts.

    Parameters
    ----------
    entries : sequence of dict
        Entries of `tinyclf.teaching.libraries`.
    ax : matplotlib Axes
    """
    looks = {
        "naive": ("#9d1a12", "x", 0.15),
        "clipped": ("#b86e00", "s", 0.15),
        "padded": ("#56606b", "D", 0.0),
        "textbook": ("#2f5fa8", "v", -0.15),
    }
    shown = [overview(entry) for entry in entries]
    heights = range(len(shown), 0, -1)
    low, high = 10.0, 2000.0
    for name, (color, mark, lift) in looks.items():
        points = [(one["starts"].get(name, np.nan), y + lift) for y, one in zip(heights, shown, strict=True)]
        ax.plot(*zip(*points, strict=True), mark, color=color, mew=2.5, ms=8, label=FAULTS[name][0])
    for y, one in zip(heights, shown, strict=True):
        ax.plot((low, high), (y, y), color="#cccccc", linewidth=0.8, zorder=0)
        ax.annotate(one["verdict"], (high, y), xytext=(6, -4), textcoords="offset points")
    ax.set_yticks(heights, [one["title"] for one in shown])
    ax.set_xscale("log")
    ax.set_xticks(ticks := [10, 20, 50, 100, 200, 500, 1000, 2000], ticks)
    ax.minorticks_off()
    ax.set_xlim(low, high)
    ax.set_ylim(0.4, len(shown) + 0.6)
    ax.set_xlabel("logit beyond which the fault begins, in float32 unless stated otherwise")
    ax.legend(loc="lower center", bbox_to_anchor=(0.3, 1.0), ncols=2, frameon=False)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _line(ax: Any, name: str, x: Any, y: Any) -> None:
    every = max(1, len(x) // 6)
    style = {"color": COLORS[name], "linestyle": DASHES[name], "marker": MARKS[name]}
    ax.plot(x, y, linewidth=2.5, markersize=6, markevery=(every // 2, every), **style)


def _label(
    ax: Any, name: str, words: str, spot: tuple[float, float], offset: tuple[int, int], side: str
) -> None:
    how = {"color": COLORS[name], "fontsize": 12, "fontweight": "bold", "ha": side}
    ax.annotate(words, spot, xytext=offset, textcoords="offset points", **how)


def _outcome(name: str, summary: Summary) -> str:
    if summary.broken:
        n = len(summary.outcomes)
        where = "" if summary.broken == n else f", {summary.broken} of {n} seeds"
        return f"{name}: not finite from {summary.first} on{where}"
    low, high = f"{summary.lowest:.0%}", f"{summary.highest:.0%}"
    return f"{name}: {low if low == high else f'{low} to {high}'} test accuracy"


def save_curves(summaries: Mapping[str, Summary], setup: str, path: str | Path) -> Path:
    """Save the figure of `draw_curves`; the suffix of the path determines the format.

    Parameters
    ----------
    summaries : mapping of str to Summary
    setup : str
        Description of the training, printed below the figure.
    path : str or Path

    Returns
    -------
    Path
        The absolute path of the figure.

    Raises
    ------
    ValueError
        If matplotlib does not support the format.
    """
    return _save(path, setup, (9, 5), (1, 1), lambda axes: draw_curves(summaries, axes[0]))


def save_pictures(lesson: Lesson, folder: str | Path) -> list[Path]:
    """Save three figures of the lesson: loss curves, loss and gradient, recall.

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
        run: f"{experiment}; {dtype}, seeds {lesson.seeds[0]} to {lesson.seeds[-1]}"
        for run, (experiment, dtype, _) in RUNS.items()
    }
    return [
        save_curves(unscaled, f"{setup['unscaled']}, thick: mean", folder / "lesson-curves.png"),
        _save(folder / "lesson-push.png", "", (11, 4.2), (1, 2), lambda axes: draw_gradient(*axes)),
        _save(
            folder / "lesson-recall.png",
            setup["quiet"],
            (11, 4.4),
            (1, 2),
            lambda axes: draw_recall(quiet, axes),
        ),
    ]


def save_libraries(entries: Sequence[Entry], path: str | Path) -> Path:
    """Save the figure of `draw_libraries`; the suffix of the path determines the format."""
    height = 1.6 + 0.32 * len(entries)
    return _save(path, "", (10, height), (1, 1), lambda axes: draw_libraries(entries, axes[0]))


def _save(
    path: str | Path,
    setup: str,
    size: tuple[float, float],
    shape: tuple[int, int],
    draw: Callable[[Any], None],
) -> Path:
    from matplotlib.figure import Figure  # pyplot would need a window system and keep global state

    figure = Figure(figsize=size, layout="constrained")
    draw(figure.subplots(*shape, squeeze=False).ravel())
    if setup:
        figure.supxlabel(setup, fontsize=8, color="#555555")
    path = Path(path).resolve()
    figure.savefig(path, dpi=110)
    return path
