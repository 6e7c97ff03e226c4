"""Pictures, with matplotlib (``pip install tinyclf[plot]``), which is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .teaching.experiments import Outcome

COLOURS = {"naive": "#c1272d", "clipped": "#d9822b", "stable": "#1a7f5a"}


def draw_outcomes(outcomes: Sequence[Outcome], ax: Any) -> None:
    """Draw the loss that each training reported, epoch by epoch, labelled on the line.

    Parameters
    ----------
    outcomes : sequence of Outcome
        With the names "naive", "clipped" and "stable".
    ax : matplotlib Axes
    """
    finite = [loss for outcome in outcomes for loss in outcome.curve if np.isfinite(loss)]
    above = 1.12 * max(finite, default=1.0)  # where a curve that was never finite leaves its cross
    for outcome in outcomes:
        colour = COLOURS[outcome.name]
        curve = np.asarray(outcome.curve)
        epochs = np.arange(1, len(curve) + 1)
        if np.isfinite(curve).any():
            ax.plot(epochs, curve, color=colour, linewidth=2.5)
            last = np.flatnonzero(np.isfinite(curve))[-1]
            spot, anchor = (epochs[last], curve[last]), "right"
        else:
            ax.plot([1], [above], "x", clip_on=False, color=colour, markersize=14, markeredgewidth=4)
            spot, anchor = (1, above), "left"
        ax.annotate(
            _label(outcome),
            spot,
            xytext=(16, -5) if anchor == "left" else (0, 12),
            textcoords="offset points",
            color=colour,
            fontsize=12,
            fontweight="bold",
            ha=anchor,
        )
    ax.set_ylim(bottom=0)
    ax.set_xlabel("epoch")
    ax.set_ylabel("reported training loss")
    ax.spines[["top", "right"]].set_visible(False)


def _label(outcome: Outcome) -> str:
    if outcome.first_nonfinite_step is not None:
        return f"{outcome.name}: not finite from step {outcome.first_nonfinite_step}"
    return f"{outcome.name}: {100 * outcome.accuracy:.0f} % of the test digits right"


def save_outcomes(outcomes: Sequence[Outcome], setup: str, path: str | Path) -> Path:
    """Save the picture of `draw_outcomes`; the path's ending tells the format.

    Parameters
    ----------
    outcomes : sequence of Outcome
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
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    figure = Figure(figsize=(9, 5), layout="constrained")
    draw_outcomes(outcomes, figure.subplots())
    figure.supxlabel(setup, fontsize=8, color="#555555")
    path = Path(path).resolve()
    figure.savefig(path, dpi=120)
    return path
