"""The benchmarks run; what they measure is not judged here."""

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
