"""The figures of the lesson show the outcomes of its trainings."""

import numpy as np
import pytest

from tinyclf.teaching.experiments import Outcome
from tinyclf.teaching.lesson import RUNS, Summary
from tinyclf.teaching.libraries import FAULTS, overview, read
from tinyclf.teaching.plots import (
    draw_curves,
    draw_gradient,
    draw_libraries,
    draw_recall,
    save_curves,
    save_libraries,
    save_pictures,
)

figure = pytest.importorskip("matplotlib.figure")


def outcome(name, curve, first=None, accuracy=np.nan, recall=1.0, seed=0):
    return Outcome(
        name,
        seed,
        curve,
        [0.0] * len(curve),
        first,
        1.0,
        accuracy,
        recall=np.full(10, recall),
        predicted=np.zeros(450, int),
        stuck=np.zeros(10),
        dead=0.0,
    )


NAIVE = outcome("naive", [np.nan] * 4, first=1)
CLIPPED = outcome("clipped", [13.0, 12.5, 12.2, 12.0], accuracy=0.23)
STABLE = outcome("stable", [20.0, 5.0, 1.0, 0.1], accuracy=0.97)
SUMMARIES = {o.name: Summary([o]) for o in (NAIVE, CLIPPED, STABLE)}


def test_lines_are_the_curves_and_labels_show_the_outcome():
    ax = figure.Figure().subplots()
    draw_curves(SUMMARIES, ax)
    cross, clipped, stable = ax.lines
    assert cross.get_marker() == "x"
    assert cross.get_ydata()[0] > 20.0  # above all curves
    assert clipped.get_xdata().tolist() == [1, 2, 3, 4]
    assert ax.get_ylim()[0] == 0
    assert clipped.get_ydata().tolist() == CLIPPED.curve
    assert stable.get_ydata().tolist() == STABLE.curve
    assert [text.get_text() for text in ax.texts] == [
        "naive: not finite from step 1 on",
        "clipped: 23% test accuracy",
        "stable: 97% test accuracy",
    ]


def test_for_several_seeds_each_curve_and_their_mean_are_drawn():
    other = outcome("stable", [10.0, 3.0, 1.0, 0.3], accuracy=0.95, seed=1)
    ax = figure.Figure().subplots()
    draw_curves({"stable": Summary([STABLE, other])}, ax)
    first, second, mean = (line.get_ydata().tolist() for line in ax.lines)
    assert (first, second) == (STABLE.curve, other.curve)
    assert mean == [15.0, 4.0, 1.0, 0.2]
    assert ax.texts[0].get_text() == "stable: 95% to 97% test accuracy"


def test_losses_differ_in_marker_or_line_style():
    ax = figure.Figure().subplots()
    draw_curves(SUMMARIES, ax)
    assert len({(line.get_marker(), line.get_linestyle()) for line in ax.lines}) == 3


def test_a_curve_that_stops_being_finite_is_labeled_at_its_last_finite_value():
    ax = figure.Figure().subplots()
    broken = [outcome("naive", [3.0, 2.0, np.nan], first=30), outcome("naive", [3.0, 2.0, 1.0], accuracy=0.9)]
    draw_curves({"naive": Summary(broken)}, ax)
    assert ax.texts[0].xy == (2, 2.0)
    assert ax.texts[0].get_text() == "naive: not finite from step 30 on, 1 of 2 seeds"


def test_curves_are_drawn_also_if_all_trainings_fail():
    draw_curves({"naive": SUMMARIES["naive"]}, figure.Figure().subplots())


def test_the_gradient_ends_where_the_loss_does():
    loss, gradient = figure.Figure().subplots(1, 2)
    draw_gradient(loss, gradient)
    naive, cross, clipped, stable = loss.lines
    assert 88 < naive.get_xdata()[-1] < 88.73
    assert cross.get_xdata().tolist() == naive.get_xdata()[-1:].tolist()
    assert clipped.get_ydata().max() < 16.2
    np.testing.assert_allclose(stable.get_ydata()[-1], 120)
    *_, clipped, stable = gradient.lines
    x, y = clipped.get_data()
    assert (y[x > 16.2] == 0).all()
    assert (y[(x > 1) & (x < 16)] > 0.7).all()
    np.testing.assert_allclose(stable.get_ydata()[-1], 1)
    assert "16.1" in " ".join(text.get_text() for text in gradient.texts)


def test_forgotten_digits_are_crossed_out():
    clipped = Summary(
        [outcome("clipped", [1.0], accuracy=0.8), outcome("clipped", [1.0], accuracy=0.7, seed=1)]
    )
    clipped.outcomes[1].recall[[3, 8]] = 0.05, 0.0
    axes = figure.Figure().subplots(1, 2)
    draw_recall({"clipped": clipped, "stable": SUMMARIES["stable"]}, axes)
    assert [line.get_xydata().tolist() for line in axes[0].lines] == [[[3.0, 1.0]], [[8.0, 1.0]]]
    assert len(axes[1].lines) == 0
    np.testing.assert_array_equal(axes[0].images[0].get_array(), [o.recall for o in clipped.outcomes])
    assert "2 digits forgotten" in axes[0].get_title()


def test_the_picture_is_saved_at_the_given_path(tmp_path):
    path = save_curves(SUMMARIES, "a set-up", tmp_path / "curves.svg")
    assert path == tmp_path / "curves.svg"
    assert "<svg" in path.read_text()


def test_the_picture_shows_the_set_up(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, dpi: saved.append(self))
    save_curves(SUMMARIES, "a set-up", tmp_path / "curves.png")
    assert saved[0].get_supxlabel() == "a set-up"


def test_the_pictures_of_the_lesson_show_their_set_up(lesson, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, dpi: saved.append(self))
    paths = save_pictures(lesson, tmp_path)
    assert [path.name for path in paths] == ["lesson-curves.png", "lesson-push.png", "lesson-recall.png"]
    assert all(path.parent == tmp_path for path in paths)
    for drawn, run in ((saved[0], "unscaled"), (saved[2], "quiet")):
        assert str(RUNS[run][0]) in drawn.get_supxlabel()
        assert "seeds 0 to 1" in drawn.get_supxlabel()


def test_marks_of_the_audits_are_where_faults_begin(tmp_path):
    entries = read()
    ax = figure.Figure().subplots()
    draw_libraries(entries, ax)
    groups = dict(zip(FAULTS, ax.lines, strict=False))  # the other lines are those of the grid
    for name, line in groups.items():
        assert line.get_label() == FAULTS[name][0]
        starts = [overview(entry)["starts"].get(name, np.nan) for entry in entries]
        np.testing.assert_array_equal(line.get_xdata(), starts)
        np.testing.assert_array_equal(np.round(line.get_ydata()), ax.get_yticks())
    assert [text.get_text() for text in ax.texts] == [overview(entry)["verdict"] for entry in entries]
    titles = [label.get_text() for label in ax.get_yticklabels()]
    assert titles == [overview(entry)["title"] for entry in entries]
    assert save_libraries(entries, tmp_path / "libraries.png").stat().st_size > 10_000
