"""The demo prints its tables, draws its picture, and does without matplotlib."""

import importlib.util

import pytest

import tinyclf.__main__ as command
from tinyclf.teaching.experiments import Experiment


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
    monkeypatch.setattr(Experiment, "outcomes", lambda *args: [])
    command.main(["demo", "--picture", str(tmp_path / "curves.png")])
    assert "pip install matplotlib" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--picture", "no/such/folder/curves.png"], "must be a file in a folder that exists"),
        (["--picture", "folder.png"], "must be a file in a folder that exists"),
        (["--picture", "curves"], "must end in one of .png"),
        (["--picture", ""], "must end in one of .png"),
        (["--picture", "curves.xyz"], "must end in one of .png"),
        (["--seed", "-1"], "whole number from 0 to 4294967295"),
        (["--seed", "4294967296"], "whole number from 0"),
        (["--dtype", "float16"], "invalid choice: 'float16'"),
    ],
)
def test_bad_arguments_are_refused_before_the_work(arguments, match, capsys, tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        command.main(["demo", *(f"{arguments[0]}={arguments[1]}",)])
    assert match in capsys.readouterr().err


def test_seed_and_dtype_reach_both_parts(monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(command, "_pipeline", lambda seed: asked.append(seed))
    monkeypatch.setattr(Experiment, "outcomes", lambda self, names, *rest: asked.append(rest) or [])
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    command.main(["demo", "--seed", "3", "--dtype", "float64"])
    assert asked == [3, ([3], "float64")]
    assert "(float64, seed 3)" in capsys.readouterr().out


def test_progress_bars_are_for_terminals_only(monkeypatch):
    items = [1, 2, 3]
    assert command._tracked(items, 3, "work") is items
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert list(command._tracked(items, 3, "work")) == items
