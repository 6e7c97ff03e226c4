"""The commands demo, lesson and audit: their tables, their files, and the arguments that they reject."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

import pytest

import tinyclf
from tinyclf.teaching import cli as command
from tinyclf.teaching.experiments import Experiment
from tinyclf.teaching.lesson import tables
from tinyclf.teaching.page import render


def rows_of(text):
    """The table of the three losses: name -> cells."""
    rows = [line.split() for line in text.splitlines()]
    return {cells[0]: cells[1:] for cells in rows if cells and cells[0] in {"naive", "clipped", "stable"}}


def test_the_demo_prints_a_table_of_three_losses_and_saves_the_figure(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "_pipeline", lambda seed: None)
    monkeypatch.setattr(command, "UNSCALED", dataclasses.replace(command.UNSCALED, epochs=1))
    picture = tmp_path / "curves.png"
    command.main(["demo", "--picture", str(picture)])
    text = capsys.readouterr().out
    assert list(rows_of(text)) == ["naive", "clipped", "stable"]
    assert str(picture) in text
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_demo_shows_that_only_the_stable_loss_learns(tmp_path, capsys):
    command.main(["demo", "--picture", str(tmp_path / "curves.png")])
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


def test_the_demo_without_matplotlib_explains_how_to_get_the_figure(tmp_path, capsys, monkeypatch):
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
        (["--picture", "no/such/folder/curves.png"], "must be a file in an existing folder"),
        (["--picture", "folder.png"], "must be a file in an existing folder"),
        (["--picture", "curves"], "must end in one of .png"),
        (["--picture", ""], "must end in one of .png"),
        (["--picture", "curves.xyz"], "must end in one of .png"),
        (["--seed", "-1"], "integer from 0 to 4294967286"),
        (["--seed", "4294967296"], "integer from 0"),
        (["--dtype", "float16"], "invalid choice: 'float16'"),
    ],
)
def test_invalid_arguments_of_the_demo_are_rejected(arguments, match, capsys, tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        command.main(["demo", *(f"{arguments[0]}={arguments[1]}",)])
    assert match in capsys.readouterr().err


def test_the_demo_uses_seed_and_dtype(monkeypatch, capsys, tmp_path):
    calls = []
    monkeypatch.setattr(command, "_pipeline", lambda seed: calls.append(seed))
    monkeypatch.setattr(Experiment, "outcomes", lambda self, names, *rest: calls.append(rest) or [])
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    command.main(["demo", "--seed", "3", "--dtype", "float64"])
    assert calls == [3, ([3], "float64")]
    assert "(float64, seed 3)" in capsys.readouterr().out


def test_progress_is_shown_only_on_a_terminal(monkeypatch, capsys):
    items = [1, 2, 3]
    assert command._tracked(items, 3, "work") is items
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert list(command._tracked(items, 3, "work")) == items
    assert "work 2 of 3" in capsys.readouterr().out


def test_progress_is_a_bar_if_rich_is_installed(monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert list(command._tracked([1, 2, 3], 3, "work")) == [1, 2, 3]
    assert "work" in capsys.readouterr().out


@pytest.fixture
def measured(lesson, monkeypatch):
    """Replace `measure` by the measurements of the fixture `lesson`; return the list of its calls."""
    calls = []
    monkeypatch.setattr(command, "measure", lambda seed, seeds, track: calls.append((seed, seeds)) or lesson)
    return calls


def test_the_lesson_prints_its_tables_and_writes_the_page(measured, lesson, tmp_path, capsys):
    out = tmp_path / "page.html"
    out.write_text("old")
    command.main(["lesson", "--out", str(out)])
    text = capsys.readouterr().out
    assert measured == [(0, 10)]
    assert "\n".join(tables(lesson)) in text
    assert str(out) in text
    assert out.read_text("utf-8") == render(lesson, "python -m tinyclf lesson")
    assert list(tmp_path.iterdir()) == [out]


def test_the_lesson_uses_quick_and_seed_and_names_them_on_the_page(measured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command.main(["lesson", "--quick", "--seed", "7"])
    assert measured == [(7, 2)]
    assert "python -m tinyclf lesson --seed 7 --quick" in (tmp_path / "lesson.html").read_text("utf-8")


def test_the_lesson_saves_three_figures_if_a_folder_is_given(measured, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    command.main(["lesson", "--out", str(tmp_path / "page.html"), "--pictures", str(tmp_path)])
    text = capsys.readouterr().out
    for name in ("lesson-curves.png", "lesson-push.png", "lesson-recall.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert str(tmp_path / name) in text


def test_an_interrupted_lesson_does_not_change_the_old_page(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", interrupt)
    out = tmp_path / "page.html"
    out.write_text("old")
    with pytest.raises(SystemExit, match="are unchanged"):
        command.main(["lesson", "--out", str(out)])
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--out", "no/such/folder/page.html"], "must be a file in an existing folder"),
        (["--out", "page"], "must end in one of .html, .htm, got 'page'"),
        (["--out", "folder.html"], "must be a file in an existing folder"),
        (["--pictures", "nowhere"], "must be an existing, writable folder"),
        (["--seed", "4294967287"], "integer from 0 to 4294967286"),
        (["--seed", "1.5"], "integer from 0"),
    ],
)
def test_invalid_arguments_of_the_lesson_are_rejected_before_the_measurements(
    arguments, match, capsys, tmp_path, monkeypatch
):
    (tmp_path / "folder.html").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "measure", lambda *args: pytest.fail("the measurements started"))
    with pytest.raises(SystemExit):
        command.main(["lesson", *arguments])
    assert match in capsys.readouterr().err


def test_pictures_without_matplotlib_are_rejected_with_a_hint(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        command.main(["lesson", "--pictures", str(tmp_path)])
    assert "pip install matplotlib" in capsys.readouterr().err


MODULE = """
import warnings

import numpy as np

def stable(z, t):
    print("printed by the loss")
    warnings.warn("a warning of the loss")
    d = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(d).sum(axis=1)) - d[np.arange(len(t)), t]

def gradient(z, t):
    return 0 * z

def raises(z, t):
    raise RuntimeError("two\\nlines")

class Losses:
    inner = stable

class Failed(BaseException):
    pass

def fails(z, t):
    raise Failed("as by pytest.fail")

class Leaves:
    def __init__(self):
        raise SystemExit(0)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of losses, which can be imported, and return the path of its file."""
    path = tmp_path / "audited_losses.py"
    path.write_text(MODULE)
    path.with_name("json.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return path


def run_audit(*arguments):
    """Run the command, and return its exit code."""
    with pytest.raises(SystemExit) as end:
        command.main(["audit", "--dtype", "float32", *arguments])
    return end.value.code


@pytest.mark.parametrize(
    ("arguments", "verdict", "code"),
    [
        (["audited_losses:stable"], "stable", 0),
        (["audited_losses.py:stable"], "stable", 0),
        (["json.py:stable"], "stable", 0),
        (["audited_losses:Losses.inner"], "stable", 0),
        (["tinyclf:cross_entropy", "--gradient", "tinyclf:cross_entropy_grad"], "exact", 0),
        (["audited_losses:stable", "--gradient", "audited_losses:gradient"], "wrong", 1),
        (["tinyclf.teaching:naive_cross_entropy"], "naive", 1),
    ],
)
def test_the_audit_prints_the_verdict_and_exits_with_a_code(arguments, verdict, code, module, capsys):
    assert run_audit(*arguments) == code
    assert capsys.readouterr().out.startswith(f"{arguments[0]}: {verdict}\n")
    assert run_audit(*arguments, "--json") == code
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["name"], list(found["dtypes"])) == (verdict, arguments[0], ["float32"])


def test_what_the_audited_function_prints_goes_to_standard_error(module, capsys):
    run_audit("audited_losses:stable", "--json")
    printed = capsys.readouterr()
    assert "printed by the loss" in printed.err
    assert "printed by the loss" not in printed.out
    assert "a warning of the loss" not in printed.err


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("audited_losses.stable", "must be given as module:function or file.py:function, got"),
        (":stable", "must be given as module:function"),
        ("nowhere_at_all:loss", "importing nowhere_at_all raises ModuleNotFoundError"),
        ("nowhere.py:loss", "there is no file nowhere.py"),
        ("audited_losses:missing", "the module audited_losses has no 'missing'"),
        ("audited_losses:np", "loss must be a function of logits and targets"),
        ("audited_losses:raises", "the loss raises RuntimeError: two lines for the float32 logits"),
        ("audited_losses:fails", "as by pytest.fail"),
        ("audited_losses:Leaves", "cannot be audited: 0"),
        ("damaged.py:loss", "importing damaged.py raises SyntaxError"),
        ("leaving.py:loss", "importing leaving.py raises SystemExit: 3"),
    ],
)
def test_a_function_that_cannot_be_audited_is_explained_in_one_line(function, message, module, capsys):
    module.with_name("damaged.py").write_text("def loss(:")
    module.with_name("leaving.py").write_text("raise SystemExit(3)")
    assert run_audit(function, "--json") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    [line] = printed.err.splitlines()
    assert line.startswith(f"{function} cannot be audited: ")
    assert message in line


@pytest.mark.processes
def test_a_closed_pipe_does_not_change_the_exit_code():
    arguments = ["audit", "--dtype", "float32", "tinyclf.teaching:naive_cross_entropy"]
    program = [sys.executable, "-m", "tinyclf", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.processes
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_a_result_that_cannot_be_written_gives_no_verdict():
    arguments = ["audit", "--dtype", "float32", "tinyclf:cross_entropy"]
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "tinyclf", *arguments], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert run.returncode == 2
    [line] = run.stderr.decode().splitlines()
    assert line.startswith("the audit of tinyclf:cross_entropy cannot be written: ")


def test_ctrl_c_ends_the_audit_without_a_verdict(monkeypatch, capsys):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "audit", interrupt)
    assert run_audit("tinyclf:cross_entropy") == 130
    assert capsys.readouterr() == ("", "Interrupted.\n")


def test_without_a_command_the_help_lists_the_commands(capsys):
    command.main([])
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m tinyclf")
    assert all(line in text for line in ("classify digits", "write the lesson", "--version"))


def test_the_version_can_be_asked_for(capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"tinyclf {tinyclf.__version__}\n"


def test_an_unknown_command_is_rejected(capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["train"])
    assert end.value.code == 2
    assert "invalid choice: 'train'" in capsys.readouterr().err
