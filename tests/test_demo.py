"""The demo prints its tables, draws its picture, and does without matplotlib."""

import importlib.util

import pytest

import tinyclf.__main__ as command


def rows_of(text):
    """The table of the three losses: name -> cells."""
    rows = [line.split() for line in text.splitlines()]
    return {cells[0]: cells[1:] for cells in rows if cells and cells[0] in {"naive", "clipped", "stable"}}


def test_the_demo_shows_all_three_losses_and_saves_the_picture(tmp_path, capsys):
    picture = tmp_path / "curves.png"
    command.main(["demo", "--picture", str(picture)])
    text = capsys.readouterr().out
    assert float(text.split("mean test accuracy ")[1].split()[0]) > 0.95
    table = rows_of(text)
    assert list(table) == ["naive", "clipped", "stable"]
    assert table["naive"][:2] == ["step", "1"]
    assert table["naive"][2:] == ["nan", "nan", "none"]
    reported, true, accuracy = map(float, table["clipped"][1:])
    assert reported < 16.2
    assert true > 100
    assert accuracy < 0.5
    reported, true, accuracy = map(float, table["stable"][1:])
    assert max(reported, true) < 0.1
    assert accuracy > 0.94
    assert str(picture) in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_demo_says_how_to_get_a_picture_without_matplotlib(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    monkeypatch.setattr(command, "_pipeline", lambda seed: None)
    monkeypatch.setattr(command, "outcomes", lambda seed, dtype: [])
    command.main(["demo", "--picture", str(tmp_path / "curves.png")])
    assert "pip install 'tinyclf[plot]'" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_picture_in_a_missing_folder_is_refused_before_the_work(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["demo", "--picture", str(tmp_path / "no" / "curves.png")])
    assert "there is no folder" in capsys.readouterr().err


def test_progress_bars_are_for_terminals_only(monkeypatch):
    items = [1, 2, 3]
    assert command._tracked(items, 3, "work") is items
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert list(command._tracked(items, 3, "work")) == items
