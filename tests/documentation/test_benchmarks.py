"""The benchmarks run; the tests do not check the times that they measure."""

import inspect
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def imported(monkeypatch):
    """Return a function that imports a benchmark and returns its names."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # a benchmark sets the number of threads
    if hasattr(os, "sched_setaffinity"):
        monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    return lambda script: runpy.run_path(str(FOLDER / script), run_name="imported")


def skip_without_packages(script):
    """Skip a test of a benchmark that needs a package, which is not installed."""
    if script.startswith("cluster"):
        pytest.importorskip("distributed")


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_can_be_imported_and_is_described(script, imported):
    skip_without_packages(script.stem)
    found = imported(script)
    assert found["__doc__"]
    assert ("main" in found) == (script.stem not in ("peers", "timing"))


def test_the_critical_difference_has_the_published_values(imported):
    # Demsar, JMLR 7 (2006): table 5 (a), and the example with 4 classifiers and 14 data sets. scipy's values
    # differ from the table by one in the last digit for 3 and 7 classifiers.
    critical_difference = imported("defaults.py")["critical_difference"]
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for k, q in enumerate(published, 2):
        assert critical_difference(k, 1) / np.sqrt(k * (k + 1) / 6) == pytest.approx(q, abs=1.3e-3)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_data_sets_with_equal_losses_share_the_mean_of_their_ranks(imported):
    losses = np.array([[0.1, 0.2, 3.0], [0.1, 0.3, 2.0], [0.5, 0.1, 2.0]])
    assert imported("defaults.py")["mean_ranks"](losses) == pytest.approx([6.5 / 3, 6 / 3, 5.5 / 3])


def test_log_losses_within_two_percent_are_ties(imported):
    ratios = np.array([0.5, 0.97, 0.99, 1.0, 1.015, 1.03])
    win_tie_loss = imported("defaults.py")["win_tie_loss"]
    assert win_tie_loss(ratios) == (2, 3, 1)
    assert win_tie_loss(1 / ratios) == (1, 3, 2)


def test_the_table_of_pairs_counts_the_data_sets_by_their_mean_log_loss(imported, capsys):
    losses = {"one": ([0.1, 0.3], [0.5]), "two": ([0.3, 0.3], [0.4]), "three": ([0.1, 0.302], [2.0])}
    results = {
        data: {name: {"log_loss": row[at]} for name, row in losses.items()} for at, data in enumerate("ab")
    }
    imported("defaults.py")["pairwise_table"](results, list(losses))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    assert rows == [
        ["(1)", "one", "-", "1/0/1", "1/1/0"],
        ["(2)", "two", "1/0/1", "-", "1/0/1"],
        ["(3)", "three", "0/1/1", "1/0/1", "-"],
    ]


def test_contenders_without_their_package_are_left_out_and_named(imported, capsys, monkeypatch):
    found = imported("defaults.py")
    for name, package in (("here", "numpy"), ("missing", "no_such_package")):
        monkeypatch.setitem(found["PACKAGES"], name, package)
    assert list(found["installed"](dict.fromkeys(("here", "missing", "needs none")))) == [
        "here",
        "needs none",
    ]
    assert capsys.readouterr().out == "left out, since their packages are not installed: missing\n"


def test_the_contenders_of_pytabkit_take_part_only_if_asked_for(imported, capsys):
    contenders = imported("defaults.py")["contenders"]
    without = set(contenders(False)) | left_out(capsys.readouterr().out)
    with_them = set(contenders(True)) | left_out(capsys.readouterr().out)
    assert with_them - without == {"RealMLP-TD-S", "TabM"}


def test_the_number_of_members_of_the_other_contender_is_not_the_default(imported):
    found = imported("defaults.py")
    default = inspect.signature(found["TinyClassifier"]).parameters["n_members"].default
    assert found["ours"](0).n_members == default
    assert found["one_member"](0).n_members == 1 != default


def left_out(text):
    """Return the contenders that a benchmark says to be left out."""
    said = re.search("^left out, since their packages are not installed: (.*)$", text, re.MULTILINE)
    return set(said[1].split(", ")) if said else set()


def run(root, script, *arguments):
    command = [sys.executable, root / "benchmarks" / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_accuracy_benchmark_finds_every_promise_kept(root, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "accuracy.png"
    text = run(root, "accuracy.py", "--rows", "18", "--widths", "2", "10", "--picture", picture)
    assert text.count("within the promised") == 14
    assert picture.read_bytes().startswith(b"\x89PNG")
    losses = [line.split() for line in text.splitlines() if line.startswith("cross_entropy")]
    zeros = {library: int(n_zeros) for _, library, _, _, n_zeros, *_ in losses}
    assert zeros["tinyclf"] == 0
    assert zeros["scipy.special"] > 0


@pytest.mark.slow
def test_the_fit_benchmark_sets_equal_work_side_by_side(root, tmp_path):
    results, picture = tmp_path / "fit.json", tmp_path / "fit.png"
    pytest.importorskip("matplotlib")
    only = ["--repeats", "1", "--only", "digits", "tinyclf", "MLP"]
    text = run(root, "fit.py", *only, "--json", results, "--picture", picture)
    found = json.loads(results.read_text())
    assert found["cpu"]
    assert "kernels" in found["blas"]
    assert set(found["results"]) == {"digits, batch 200", "digits, batch 32"}
    for row in found["results"].values():
        losses = {name: cell["loss"] for name, cell in row.items() if name != "matrix products"}
        assert losses == pytest.approx(dict.fromkeys(losses, losses["tinyclf"]), rel=1e-4)
        assert all(cell["seconds"] > 0 for cell in row.values())
    assert "times the matrix products" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("memory.py", ["--quick"], "10,000 x 30"),
        ("scaling.py", ["--quick"], "0.5 % nonzero"),
        ("predict.py", ["--quick"], "64-100-10, float32"),
        ("step_profile.py", ["--repeats", "1"], "loop: order, schedule, checks"),
        ("loss_cost.py", ["--repeats", "1"], "784-100-10"),
        ("streaming.py", ["--quick"], "sorted by class"),
        ("cluster.py", ["--quick"], "with refit"),
    ],
)
def test_the_other_benchmarks_run(root, script, arguments, said):
    skip_without_packages(script)
    assert said in run(root, script, *arguments)


@pytest.mark.slow
def test_the_benchmark_of_defaults_reads_a_folder_and_prints_a_summary(root, tmp_path):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    np.savez(tmp_path / "own.npz", X=X, y=np.where(X[:, 0] > 0, "yes", "no"))
    results, picture, ranks = (tmp_path / name for name in ("results.json", "picture.png", "ranks.png"))
    arguments = ["--splits", "2", "--only", "own", "iris", "--json", results]
    text = run(root, "defaults.py", tmp_path, *arguments, "--picture", picture, "--ranks", ranks)
    found = json.loads(results.read_text())
    assert set(found) == {"own", "iris"}
    for row in found.values():
        assert len(row) == 8 - len(left_out(text))
        for values in row.values():
            assert all(len(column) == 2 for column in values.values())
            assert all(0.0 <= share <= 1.0 for share in values["accuracy"])
    lines = [line for line in text.splitlines() if re.match("TinyClassifier {3}", line)]
    bases = ["MLPClassifier, scaled", "HistGradientBoosting", "CatBoost"][
        : 3 - ("CatBoost" in left_out(text))
    ]
    for line, base in zip(lines, bases, strict=True):
        ratios = [
            np.mean(row["TinyClassifier"]["log_loss"]) / np.mean(row[base]["log_loss"])
            for row in found.values()
        ]
        assert float(line.split()[1]) == pytest.approx(np.exp(np.mean(np.log(ratios))), abs=6e-4)
    for file in (picture, ranks):
        assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_benchmark_of_tables_reads_strings_and_missing_values_from_a_folder(root, tmp_path):
    rng = np.random.default_rng(0)
    city = rng.choice(["Lima", "Oslo", "Rome"], 80)
    age = np.where(rng.random(80) < 0.2, np.nan, rng.normal(40, 10, 80))
    target = np.where(city == "Lima", "yes", "no").astype(object)
    target[:3] = "unsure", np.nan, np.nan  # a class with one row, and two rows without a class
    frame = pd.DataFrame({"city": city, "age": age, "target": target})
    frame.loc[5:9, "city"] = None
    frame.to_csv(tmp_path / "own.csv", index=False)
    frame.to_csv(tmp_path / "packed.csv.gz", index=False)
    results = tmp_path / "results.json"
    text = run(root, "tables.py", tmp_path, "--splits", "2", "--json", results)
    found = json.loads(results.read_text())
    assert set(found) == {"own", "packed"}
    assert "own (77 x 2, 2 classes)" in text
    for row in found.values():
        assert len(row) == 6 - len(left_out(text))
        assert all(len(column) == 2 for values in row.values() for column in values.values())
        assert all(np.mean(values["accuracy"]) > 0.7 for values in row.values())
    lines = [line for line in text.splitlines() if re.match("TinyClassifier {3}", line)]
    for line, base in zip(lines, ("TinyClassifier, ColumnTransformer", "HistGradientBoosting"), strict=True):
        ratios = [
            (np.mean(row["TinyClassifier"]["log_loss"]) + 0.01) / (np.mean(row[base]["log_loss"]) + 0.01)
            for row in found.values()
        ]
        assert float(line.split()[1]) == pytest.approx(np.exp(np.mean(np.log(ratios))), abs=6e-4)


@pytest.mark.slow
def test_the_benchmark_of_tables_brings_tables_along(root):
    text = run(root, "tables.py", "--splits", "1", "--only", "diabetes", "modechoice")
    assert "diabetes (442 x 10, 2 classes)" in text
    assert ("modechoice (840 x 7, 2 classes)" in text) != ("statsmodels is not installed" in text)
    text = run(root, "tables.py", "--splits", "1", "--only", "diabetes", "--ablation")
    for name in ("max_categories=20", "max_categories=None", "standardized indicators"):
        assert f"\n{name}  " in text


@pytest.mark.slow
def test_the_ablation_turns_off_one_default_after_the_other(root):
    text = run(root, "defaults.py", "--splits", "1", "--only", "iris", "--ablation")
    for name in ("scale_inputs", "batch_size", "learning_rate", "max_iter", "calibrate", "refit"):
        assert f"\n{name}=" in text


@pytest.mark.slow
def test_the_benchmark_of_parameters_ranks_them_by_their_effect(root, tmp_path):
    pytest.importorskip("matplotlib")
    results, picture = tmp_path / "results.json", tmp_path / "picture.png"
    arguments = ["--splits", "1", "--only", "iris", "--json", results, "--picture", picture]
    text = run(root, "parameters.py", *arguments)
    losses = {name: row["log_loss"][0] for name, row in json.loads(results.read_text())["iris"].items()}
    lines = [line.split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    ranked = [cells for cells in lines if cells[1].strip().isdigit()]
    effects = [float(cells[3]) for cells in ranked]
    assert len(effects) >= 20
    assert effects == sorted(effects, reverse=True)
    for cells, effect in zip(ranked, effects, strict=True):
        name = cells[2].split("`")[1].partition("=")[0]
        ratios = [
            (losses[one] + 0.01) / (losses["TinyClassifier"] + 0.01)
            for one in losses
            if one.startswith(f"{name}=") and not re.search(r", \w+=", one)  # no pair of values
        ]
        assert effect == pytest.approx(max(max(ratio, 1 / ratio) for ratio in ratios), abs=0.006)
    assert "\n| `solver='sgd', learning_rate_init=0.1` |" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
