"""Every example runs without a warning, prints the expected results, and is in the gallery."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "lab")  # lab.py is a notebook
LESSON = [path for path in SCRIPTS if path.stem.startswith("lesson")]

# Patterns that the output must match; each group is a number, with its bounds.
EXPECTED = {
    "lesson1_vectors": [
        (r"moderate: .*\n +log-sum-exp as written 12\.40821649073671\d*, shifted 12\.40821649073671\d*", []),
        (r"overflow: .*\n +log-sum-exp as written inf, shifted 1000\n", []),
        (
            r"\[ 0\. nan +0\. +0\. +0\. +0\.\]\n.*\n +\[0\. 1\. 0\. 0\. 0\. 0\.\]\n +exp is inf at entry 2,",
            [],
        ),
        (r"log of the shifted softmax \[-inf +0\. -inf", []),
        (r"log-softmax from x +\[-2000\. +0\. +-2000\. +-995\.", []),
        (r"10000 +lse - z\[0\] is 0\.048828, maximum subtracted first 0\.048587\n", []),
    ],
    "lesson2_thresholds": [
        (r"float16 +([\d.]+) +([\d.]+)", [(11.05, 11.1), (8.77, 8.79)]),
        (r"float32 +([\d.]+) +([\d.]+) +([\d.]+)", [(88.722, 88.723), (86.41, 86.43), (103.97, 103.98)]),
        (r"float64 +([\d.]+).* ([\d.]+)\n", [(709.78, 709.79), (36.73, 36.75)]),
        (r"z = \[88, 0\]: .* loss 88\n.*z = \[89, 0\]: exp \[inf +1\.\], .*nan", []),
    ],
    "lesson3_half_a_fix": [
        (r"naive +20 \[1 -1\] +50 \[1 -1\] +inf \[nan nan\] +inf \[nan nan\]\n", []),
        (r"shifted +20 \[1 -1\] +50 \[1 -1\] +99\.98\d+ \[inf nan\] +inf \[nan nan\]\n", []),
        (r"clipped(?: +16\.1181 \[0 0\]){4}\n", []),
        (r"padded +16\.0977 \[0\.02 -0\.02\] +16\.1181 \[2e-15 -2e-15\] ", []),
        (r"stable +20 \[1 -1\] +50 \[1 -1\] +100 \[1 -1\] +1000 \[1 -1\]\n", []),
        (r"Soft target .* is nan", []),
    ],
    "lesson4_gradient": [
        (r"\n +16 +16\.000 ##########  +16\.000 ##########  +16\.000 ##########\n", []),
        (r"\n +17 +17\.000 ##########  +16\.118 0  +17\.000 ##########\n", []),
        (r"\n +89 +inf x nan  +16\.118 0  +89\.000 ##########\n", []),
        (r"naive +float32 +([\d.]+) +float64 +([\d.]+)", [(88.7, 88.73), (709.7, 709.8)]),
        (r"clipped +float32 +([\d.]+) +float64 +([\d.]+)", [(16.11, 16.12), (16.11, 16.12)]),
        (r"stable +float32 +4096\.00 +float64 +4096\.00", []),
    ],
    "lesson5_training": [
        (
            rf"{dtype}, .*\n +naive +not finite from step \[(\d+), (\d+), (\d+)\].*"
            r"\n +clipped .* true loss ([\d.e+]+); test accuracy ([\d.]+)"
            r".*\n +stable .* of the last ([\d.e-]+); .*test accuracy ([\d.]+)"
            r".*\n +clipped, epoch 1: (\d+)%",
            [*3 * [(1, 22)], (100, 1e5), (0.05, 0.6), (0, 0.1), (0.95, 1), (50, 100)],
        )
        for dtype in ("float32", "float64")
    ],
    "lesson6_quiet": [
        (r"mean +([\d.]+) +([\d.]+) +([\d.]+)", [(0.96, 1), (0.3, 0.95), (0.96, 1)]),
        (r"naive +runs with inf or nan: 0, runs that forgot a digit \(--\): 0", []),
        (r"clipped +runs with inf or nan: 0, runs that forgot a digit \(--\): (\d+)", [(5, 10)]),
        (r"stable +runs with inf or nan: 0, runs that forgot a digit \(--\): 0", []),
    ],
    "lesson7_tiny_losses": [
        (r"\n +16 +1\.19\d+e-07 +1\.125\d+e-07 +1\.125\d+e-07 ", []),
        (r"\n +20 +0 +2\.061153\d+e-09 +2\.061153\d+e-09 +0 +-2\.061153\d+e-09\n", []),
        *(
            (rf"{name} .* ([\d.]+), .* ([\d.]+), difference (\S+),", [(0.95, 1), (0.95, 1), (-0.02, 0.02)])
            for name in ("unscaled", "quiet", "scaled")
        ),
    ],
    "lesson8_learning_rate": [
        (r"naive(?: +nan){11}\n", []),
        (r"clipped .* ([\d.]+)\n +stable .* ([\d.]+)\n", [(0.2, 0.9), (0.1, 0.7)]),
        (r"better than stable in (\d+) of 10", [(1, 9)]),
        (r"learning rate 0\.1 .*mean ([\d.]+)\n", [(0.1, 0.7)]),
        (r"learning rate 0\.01 +worst ([\d.]+), ", [(0.93, 1)]),
    ],
    "lesson9_scaling": [
        (rf"{name} +test accuracy ([\d.]+), .*logit\| ([\d.]+)\n", [(0.96, 1), (5, 60)])
        for name in ("naive", "shifted", "clipped", "padded", "textbook", "stable")
    ],
    "audit_wall": [
        (r"\n\| exact value .* \| 1000 \| 0 \| 0\.6931 \| 2\.061e-9 \| -5\.551e-17 \|\n", []),
        (r"\n\| scikit-learn .*, MLPClassifier \| clipped \| clipped \| \*\*15\.94\*\* ", []),
        (r"\n\| SciPy .*, log_softmax \| stable \| stable \| 1000 \| 0 \| 0\.6931 \| \*\*0\*\* ", []),
        (r"\n\| tinyclf .*, cross_entropy \| exact \| exact \| 1000 \| 0 \| 0\.6931 \| 2\.061e-9 ", []),
    ],
    "digits_pipeline": [(r"test accuracy ([\d.]+)", [(0.95, 1)])],
    "dask_search": [
        (r"the same parameters: True\nthe same scores: True\nlog-loss ([\d.]+) with ", [(0.15, 0.3)])
    ],
    "mixed_table": [
        (r"\n2 .* NaN .*(?:\n.*){2}\n\naccuracy ([\d.]+) ", [(0.77, 0.87)]),
        (r": age income missingindicator_income missingindicator_city city_Lima city_Oslo city_Pune ", []),
        (r"the bare table +log-loss ([\d.]+), 1.000 times", [(0.38, 0.46)]),
        (r"ColumnTransformer .*, ([\d.]+) times", [(0.95, 1.05)]),
        (r"TableVectorizer .*, ([\d.]+) times", [(0.95, 1.05)]),
    ],
    "grid_search": [(r"log-loss ([\d.]+)", [(0, 0.1)])],
    "monitor_training": [
        (r"stopped after (\d+) epochs, kept the weights of epoch (\d+)", [(12, 299), (4, 299)]),
        (r"the loaded model predicts the same: True", []),
        (r"test accuracy ([\d.]+), mean confidence ([\d.]+)", [(0.94, 1), (0.9, 1)]),
    ],
    "export_onnx": [
        (
            rf"{name} +{dtype}: same labels: True, probabilities differ by (\S+)\n",
            [(0, 1e-6)],
        )
        for name in ("network", "pipeline")
        for dtype in ("float64", "float32")
    ]
    + [
        (r" has (\d+) bytes; the network alone", [(15000, 30000)]),
        (r"\nSub, Mul, Abs, Clip, Log, Clip, Sign, Mul, Add, Mul, IsNaN, Where, Mul, .*Relu, .*MatMul, ", []),
    ],
    "train_by_hand": [(r"epoch 200: loss ([\d.]+)", [(0, 0.3)]), (r"epoch 20: loss ([\d.]+)", [(0, 0.2)])],
    "ensemble": [
        (r"one network +log-loss ([\d.]+), accuracy ([\d.]+)\n", [(0.08, 0.14), (0.95, 1)]),
        (r"a member +log-loss ([\d.]+), accuracy ([\d.]+)\n", [(0.11, 0.19), (0.93, 0.98)]),
        (r"mean of members +log-loss ([\d.]+), accuracy ([\d.]+)\n", [(0.06, 0.11), (0.96, 1)]),
        (r"the mean has the lower log-loss: (\d) of 5\n", [(3, 5)]),
    ],
    "own_activation": [(r"\(right\)", []), (r"accuracy on digits: ([\d.]+)", [(0.95, 1)])],
    "own_layer": [(r"\(right\)", []), (r"([\d.]+)  Network\(.*LayerNorm\(\)", [(0, 0.1)])],
    "own_loss": [
        (r"\(right\)", []),
        (r"log_loss: ([\d.]+)\n.*Brier\(\): ([\d.]+)", [(0.6, 0.87), (0.87, 1)]),
    ],
    "own_optimizer": [(r"([\d.]+)  RMSprop\(learning_rate=0.002, rho=0.9\)", [(0, 0.2)])],
}

# Packages that a script requires in addition to those of the tests.
REQUIRED = {
    "export_onnx": ("onnx", "onnxruntime", "skl2onnx"),
    "dask_search": ("dask", "distributed"),
    "mixed_table": ("skrub",),
}


def mark(script):
    """The mark of an example: some train or audit for seconds, and searches start processes."""
    if script.stem in ("dask_search", "grid_search"):
        return [pytest.mark.processes]
    return [pytest.mark.slow] if script in LESSON[4:] or script.stem == "audit_wall" else []


@pytest.mark.parametrize("script", [pytest.param(path, marks=mark(path), id=path.stem) for path in SCRIPTS])
def test_an_example_prints_the_expected_results_and_leaves_no_files(script, tmp_path, monkeypatch, capsys):
    for package in REQUIRED.get(script.stem, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.setattr("sys.argv", [str(script)])
    with np.errstate(), np.printoptions():
        runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    for pattern, bounds in EXPECTED[script.stem]:
        match = re.search(pattern, printed)
        assert match, f"{pattern!r} is not in:\n{printed}"
        for number, (low, high) in zip(match.groups(), bounds, strict=True):
            assert low <= float(number) <= high, printed
    if script in LESSON:
        assert max(map(len, printed.splitlines())) <= 110


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_is_short_and_in_the_gallery(script):
    assert f"[{script.name}]({script.name})" in (FOLDER / "README.md").read_text()
    _, header, code = script.read_text().split('"""\n', 2)
    title, line = header.splitlines()[:2]
    assert set(line) == {"="}
    assert len(title) == len(line)
    limit = 40 if script in LESSON else 200 if script.stem == "audit_wall" else 45  # it calls 14 libraries
    assert len(code.splitlines()) < limit


def test_each_step_of_the_lesson_has_a_script():
    assert [script.name[:7] for script in LESSON] == [f"lesson{step}" for step in range(1, 10)]


def test_the_teachers_guide_is_one_page_with_a_plan_for_45_minutes():
    page = (FOLDER.parent / "docs" / "how_to" / "teaching.md").read_text()
    parts = re.findall(r"^- \*\*(.*), (\d+) min\.\*\*", page, re.MULTILINE)
    assert len(page.splitlines()) <= 75
    assert max(map(len, page.splitlines())) <= 110
    steps = [int(step) for name, _ in parts for step in re.findall(r"\d+", name)]
    assert steps == list(range(1, 12))
    assert sum(int(minutes) for _, minutes in parts) == 45
    for path in re.findall(r"`(?:python examples/)?([\w/]+\.py)`", page):
        assert (FOLDER / path).exists(), path


def test_the_laboratory_sheet_fills_90_minutes_and_its_commands_audit_the_exercises(monkeypatch, capsys):
    page = (FOLDER.parent / "docs" / "how_to" / "laboratory.md").read_text()
    parts = re.findall(r"^\| (\d) \| (\d+) \|", page, re.MULTILINE)
    assert [part for part, _ in parts] == re.findall(r"^## (\d)\.", page, re.MULTILINE)
    assert sum(int(minutes) for _, minutes in parts) == 90
    monkeypatch.chdir(FOLDER / "exercises")
    monkeypatch.syspath_prepend(FOLDER / "exercises")
    codes = []
    for command in re.findall(r"^python -m tinyclf (.*)$", page, re.MULTILINE):
        monkeypatch.setattr("sys.argv", ["tinyclf", *command.split()])
        with pytest.raises(SystemExit) as stop:
            runpy.run_module("tinyclf", run_name="__main__")
        codes.append(stop.value.code)
    printed = capsys.readouterr()
    assert codes == [1, 2]
    assert "exercises:naive_loss: naive\n" in printed.out
    assert "exercises:repaired_loss cannot be audited: the loss raises NotImplementedError" in printed.err


@pytest.mark.parametrize("name", ["own_activation", "own_layer", "own_loss", "own_optimizer"])
def test_a_user_defined_part_has_fewer_than_15_lines_of_code(name):
    source = (FOLDER / f"{name}.py").read_text()
    body = re.search(r"^(@dataclass.*\n)?class .*\n((    .*)?\n)+", source, re.MULTILINE).group()
    docstring = re.compile(r'    """.*?"""\n', re.DOTALL)
    lines = [line for line in docstring.sub("", body).splitlines() if line.strip()]
    assert len(lines) < 15
