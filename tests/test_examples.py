"""Every example runs without a warning, prints what it claims, and is in the gallery."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))

# What must be in the output; the groups are numbers within bounds.
CLAIMS = {
    "large_logits": [
        (r"overflow +naive inf +shifted 1000\b", []),
        (r"moderate +naive 12\.40821649073671\d* +shifted 12\.40821649073671", []),
        (r"  100 +inf \[nan nan\] +16\.1181 \[0\. 0\.\] +100 \[ 1\. -1\.\]", []),
        (r"naive 0, from logits 2\.0611537e-09", []),
    ],
    "digits_pipeline": [(r"test accuracy ([\d.]+)", [(0.95, 1)])],
    "grid_search": [(r"log-loss ([\d.]+)", [(0, 0.1)])],
    "watch_training": [
        (r"stopped after (\d+) epochs, kept the weights of epoch (\d+)", [(20, 299), (10, 299)]),
        (r"the file predicts the same: True", []),
        (r"test accuracy ([\d.]+), mean confidence ([\d.]+)", [(0.94, 1), (0.9, 1)]),
    ],
    "train_by_hand": [(r"epoch 200: loss ([\d.]+)", [(0, 0.3)]), (r"epoch 20: loss ([\d.]+)", [(0, 0.2)])],
    "own_activation": [(r"\(right\)", []), (r"accuracy on digits: ([\d.]+)", [(0.95, 1)])],
    "own_layer": [(r"\(right\)", []), (r"([\d.]+)  Network\(.*LayerNorm\(\)", [(0, 0.1)])],
    "own_loss": [
        (r"\(right\)", []),
        (r"log_loss: ([\d.]+)\n.*Brier\(\): ([\d.]+)", [(0.6, 0.87), (0.87, 1)]),
    ],
    "own_optimizer": [(r"([\d.]+)  RMSprop\(learning_rate=0.002, rho=0.9\)", [(0, 0.2)])],
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_prints_what_it_claims(script):
    run = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for pattern, bounds in CLAIMS[script.stem]:
        match = re.search(pattern, run.stdout)
        assert match, f"{pattern!r} is not in:\n{run.stdout}"
        for number, (low, high) in zip(match.groups(), bounds, strict=True):
            assert low <= float(number) <= high, run.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_is_short_and_in_the_gallery(script):
    assert f"[{script.name}]({script.name})" in (FOLDER / "README.md").read_text()
    assert len(script.read_text().splitlines()) < 45


@pytest.mark.parametrize("name", ["own_activation", "own_layer", "own_loss", "own_optimizer"])
def test_parts_of_ones_own_take_fewer_than_15_lines_of_code(name):
    source = (FOLDER / f"{name}.py").read_text()
    body = re.search(r"^(@dataclass.*\n)?class .*\n((    .*)?\n)+", source, re.MULTILINE).group()
    docstring = re.compile(r'    """.*?"""\n', re.DOTALL)
    lines = [line for line in docstring.sub("", body).splitlines() if line.strip()]
    assert len(lines) < 15
