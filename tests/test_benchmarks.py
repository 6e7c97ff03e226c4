"""The benchmarks run; what they measure is not judged here."""

import json
import subprocess
import sys

import pytest


def run(root, script, *arguments):
    command = [sys.executable, root / "benchmarks" / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def test_the_fit_benchmark_sets_equal_work_side_by_side(root, tmp_path):
    results, picture = tmp_path / "fit.json", tmp_path / "fit.png"
    pytest.importorskip("matplotlib")
    arguments = [
        "--repeats",
        "1",
        "--only",
        "digits",
        "tinyclf",
        "MLP",
        "--json",
        results,
        "--picture",
        picture,
    ]
    text = run(root, "fit.py", *arguments)
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


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("memory.py", ["--quick"], "10,000 x 30"),
        ("scaling.py", ["--quick"], "0.5 % not zero"),
        ("predict.py", ["--quick"], "64-100-10, float32"),
        ("step_profile.py", ["--repeats", "1"], "loop: order, schedule, checks"),
        ("loss_cost.py", ["--repeats", "1"], "784-100-10"),
    ],
)
def test_the_other_benchmarks_run(root, script, arguments, said):
    assert said in run(root, script, *arguments)
