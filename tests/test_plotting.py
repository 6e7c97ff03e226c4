"""The picture says what the outcomes say."""

import numpy as np
import pytest

from tinyclf.plotting import draw_outcomes, save_outcomes
from tinyclf.teaching.experiments import Outcome

figure = pytest.importorskip("matplotlib.figure")

OUTCOMES = [
    Outcome("naive", 0, [np.nan] * 4, [0.0] * 4, 1, np.nan, np.nan, np.full(10, np.nan)),
    Outcome("clipped", 0, [13.0, 12.5, 12.2, 12.0], [0.9] * 4, None, 1500.0, 0.23, np.zeros(10)),
    Outcome("stable", 0, [20.0, 5.0, 1.0, 0.1], [0.0] * 4, None, 0.1, 0.97, np.ones(10)),
]


def test_lines_are_the_curves_and_labels_tell_the_outcome():
    ax = figure.Figure().subplots()
    draw_outcomes(OUTCOMES, ax)
    cross, clipped, stable = ax.lines
    assert cross.get_marker() == "x"
    assert cross.get_ydata()[0] > 20.0  # above all curves
    assert clipped.get_xdata().tolist() == [1, 2, 3, 4]
    assert ax.get_ylim()[0] == 0
    assert clipped.get_ydata().tolist() == OUTCOMES[1].curve
    assert stable.get_ydata().tolist() == OUTCOMES[2].curve
    assert [text.get_text() for text in ax.texts] == [
        "naive: not finite from step 1",
        "clipped: 23 % of the test digits right",
        "stable: 97 % of the test digits right",
    ]


def test_a_curve_that_breaks_off_is_labelled_where_it_ends():
    ax = figure.Figure().subplots()
    draw_outcomes([Outcome("naive", 0, [3.0, 2.0, np.nan], [0.0] * 3, 30, np.nan, np.nan, np.zeros(10))], ax)
    assert ax.texts[0].xy == (2, 2.0)


def test_all_trainings_may_fail_and_still_be_drawn():
    draw_outcomes(OUTCOMES[:1], figure.Figure().subplots())


def test_the_picture_is_saved_where_it_says(tmp_path):
    path = save_outcomes(OUTCOMES, "a set-up", tmp_path / "curves.svg")
    assert path == tmp_path / "curves.svg"
    assert "<svg" in path.read_text()


def test_the_picture_says_what_was_trained(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, dpi: saved.append(self))
    save_outcomes(OUTCOMES, "a set-up", tmp_path / "curves.png")
    assert saved[0].get_supxlabel() == "a set-up"
