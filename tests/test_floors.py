"""The house: who imports whom, how long a room may be, and what an import costs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinyclf

PACKAGE = Path(tinyclf.__file__).parent

# A module imports from lower floors only; those up to GROUND import nothing but NumPy.
FLOORS = {
    "views": 0,
    "errors": 0,
    "files": 0,
    "archive": 1,
    "_threads": 0,
    "_fast": 1,
    "exponentials": 1,
    "initialisers": 1,
    "layers": 2,
    "optimizers": 2,
    "rows": 1,
    "scaling": 2,
    "schedules": 1,
    "stopping": 1,
    "functional": 2,
    "losses": 3,
    "workspace": 4,
    "network": 5,
    "state": 6,
    "gradcheck": 6,
    "objective": 6,
    "training": 7,
    "lbfgs": 8,
    "targets": 8,
    "hooks": 8,
    "blueprint": 9,
    "calibration": 9,
    "inputs": 9,
    "validation": 10,
    "diagnosis": 11,
    "watch": 11,
    "books": 12,
    "supervisor": 13,
    "persistence": 13,
    "classifier": 14,
    "callbacks": 15,
    "displays": 15,
    "onnx": 15,
    "teaching.foils": 15,
    "teaching.arithmetic": 16,
    "teaching.experiments": 16,
    "teaching": 16,
    "teaching.lesson": 17,
    "teaching.page": 18,
    "plotting": 18,
    "__main__": 19,
}
GROUND = 7
EXTRAS = {
    "_fast": {"numba"},
    "_threads": {"threadpoolctl"},
}  # imported in its functions, where it is installed
STANDARD = sys.stdlib_module_names


def imports(path, package):
    """Names of the modules that a file imports outside of TYPE_CHECKING, its own package's without prefix."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            if node.module:
                yield ".".join(["tinyclf", *base, node.module])
            else:
                yield from (".".join(["tinyclf", *base, alias.name]) for alias in node.names)


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        package = parts[:-1]
        if parts[-1] == "__init__":
            parts = parts[:-1]
        yield ".".join(parts), path, package


@pytest.mark.parametrize(("name", "path", "package"), [m for m in modules() if m[0]], ids=lambda v: str(v))
def test_a_module_imports_from_lower_floors_only(name, path, package):
    floor = FLOORS[name]
    for other in imports(path, package):
        if other == "tinyclf.__version__":
            continue
        if other.startswith("tinyclf."):
            assert FLOORS[other.removeprefix("tinyclf.")] < floor, f"{name} imports {other}"
        elif floor <= GROUND:
            top = other.split(".")[0]
            allowed = {"numpy"} | EXTRAS.get(name, set())
            assert top in allowed or top in STANDARD, f"{name} imports {other}"


def test_every_module_has_a_floor():
    assert {name for name, *_ in modules() if name} == set(FLOORS)


@pytest.mark.parametrize("name", [name for name, floor in FLOORS.items() if floor <= GROUND])
def test_a_room_of_the_reading_course_has_at_most_300_lines(name):
    assert len((PACKAGE / f"{name}.py").read_text().splitlines()) <= 300


def loaded_after(code):
    names = ("numpy", "scipy", "sklearn", "numba")
    script = f"import sys\n{code}\nprint(*(m for m in {names} if m in sys.modules))"
    alone = {**os.environ, "TINYCLF_FAST": "0"}  # numba would load SciPy
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=alone
    ).stdout.split()


def test_the_core_loads_numpy_only():
    code = "import tinyclf, tinyclf.gradcheck, tinyclf.teaching.foils\n"
    code += "network = tinyclf.Network([tinyclf.Dense(2)], 1)\n"
    code += "list(tinyclf.train(network, [[1.0], [2.0]], [0, 1], epochs=1))"
    assert loaded_after(code) == ["numpy"]
    assert loaded_after("import tinyclf; tinyclf.TinyClassifier") == ["numpy", "scipy", "sklearn"]


def test_an_import_loads_nothing_and_the_core_not_what_may_be_installed():
    assert loaded_after("import tinyclf") == []
    core = "from tinyclf import Adam, Dense, Network, ReLU, SoftmaxCrossEntropy, train"
    assert loaded_after(f"import os; del os.environ['TINYCLF_FAST']; {core}") == ["numpy"]


def test_all_names_exist():
    assert set(tinyclf.__all__) == set(tinyclf._HOME)
    assert set(tinyclf.__all__) | {"functional", "training"} <= set(dir(tinyclf))
    assert tinyclf.teaching.foils is not None
    for name in tinyclf.__all__:
        assert getattr(tinyclf, name) is not None
    assert tinyclf.functional.softmax is tinyclf.softmax
    with pytest.raises(AttributeError, match="no attribute 'Tiny'"):
        _ = tinyclf.Tiny
