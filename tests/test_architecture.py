"""The structure of the package: which modules import which, the reading order, and what an import loads."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import tinyclf

PACKAGE = Path(tinyclf.__file__).parent

# A folder, or a module of the top folder, imports from earlier entries only.
ORDER = [
    {"_version"},
    {"nn"},
    {"persistence"},
    {"estimator"},
    {"callbacks", "dask", "displays", "functional", "gradcheck", "onnx", "teaching"},
    {"__init__"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}

# Optional packages, imported inside of functions if they are installed.
OPTIONAL = {
    "nn.kernels": {"numba", "scipy"},  # scipy has the special function of GELU, imported on first use
    "nn.threads": {"threadpoolctl"},
    "nn.lbfgs": {"scipy"},
}


def module_names():
    """Yield the modules of the package, such as "nn.layers", and their files; a folder has its own name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), path


MODULES = dict(module_names())


def imported(name, path):
    """Yield the modules that a module imports, also in functions and under TYPE_CHECKING.

    An imported name that is not a module counts as the package that exports it.
    """
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module
                continue
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            base = ".".join(part for part in base if part)
            for alias in node.names:
                inner = f"{base}.{alias.name}".strip(".")
                yield f"tinyclf.{inner if inner in MODULES else base or '__init__'}"


@cache
def within(name):
    """The other modules of the package that a module imports."""
    found = {
        other.removeprefix("tinyclf.")
        for other in imported(name, MODULES[name])
        if other.startswith("tinyclf")
    }
    return {"__init__" if other == "tinyclf" else other for other in found} - {name}


def top(name):
    return name.split(".")[0]


def test_the_order_names_every_folder_and_module():
    assert {top(name) for name in MODULES} == set(LEVEL)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_its_own_folder_and_from_lower_ones_only(name):
    for other in within(name):
        assert top(other) == top(name) or LEVEL[top(other)] < LEVEL[top(name)], f"{name} imports {other}"


def test_imports_are_not_circular():
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for other in within(name):
            visit(other)
        path.pop()
        done.add(name)

    for name in MODULES:
        if name != "__init__":  # which imports each name on first use
            visit(name)


@pytest.mark.parametrize("name", [name for name in MODULES if top(name) == "nn"])
def test_the_core_needs_numpy_only(name):
    allowed = {"numpy", "tinyclf", *OPTIONAL.get(name, ()), *sys.stdlib_module_names}
    assert {top(other) for other in imported(name, MODULES[name])} <= allowed


def test_the_page_on_the_code_names_the_modules_of_the_core_in_an_order_in_which_they_can_be_read(root):
    text = (root / "docs" / "explanation" / "code.md").read_text(encoding="utf-8")
    text = text.partition("\n## Reading order\n")[2]
    order = list(dict.fromkeys(re.findall(r"\(\.\./\.\./tinyclf/(nn/\w+)\.py\)", text)))
    names = [name.replace("/", ".") for name in order]
    assert sorted(names) == sorted(name for name in MODULES if name.startswith("nn."))
    for i, name in enumerate(names):
        assert within(name) - {"nn"} <= {*names[:i], "_version"}, name


@pytest.mark.parametrize("page", ["README.md", "docs/explanation/code.md"])
def test_the_pages_on_the_code_name_only_files_that_exist(root, page):
    file = root / page
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), target


LOADS = """
import sys
def show():
    print(*(name for name in ("numpy", "scipy", "sklearn", "numba") if name in sys.modules))
import tinyclf; show()
from tinyclf import Adam, Dense, Network, ReLU, SoftmaxCrossEntropy, gradcheck, train; show()
tinyclf.use_fast(False)  # numba would load SciPy
list(train(Network([Dense(2)], 1), [[1.0], [2.0]], [0, 1], epochs=1)); show()
tinyclf.TinyClassifier; show()
"""


def test_importing_tinyclf_loads_nothing_and_its_core_loads_numpy_only():
    environment = {name: value for name, value in os.environ.items() if name != "TINYCLF_FAST"}
    done = subprocess.run(
        [sys.executable, "-c", LOADS], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines() == ["", "numpy", "numpy", "numpy scipy sklearn"]


def test_all_names_exist_and_no_others_are_listed():
    modules = {"callbacks", "dask", "displays", "estimator", "functional", "gradcheck", "nn", "onnx"}
    assert set(dir(tinyclf)) == {*tinyclf.__all__, *modules, "persistence", "teaching", "__version__"}
    assert all(getattr(tinyclf, name) is not None for name in dir(tinyclf) if name != "onnx")
    for name in tinyclf.__all__:
        assert getattr(tinyclf, name) is not None
    for name in ("functional", "gradcheck", "callbacks", "displays", "teaching"):
        assert getattr(tinyclf, name).__name__ == f"tinyclf.{name}"
    assert tinyclf.functional.softmax is tinyclf.softmax
    with pytest.raises(AttributeError, match="no attribute 'Tiny'"):
        _ = tinyclf.Tiny
