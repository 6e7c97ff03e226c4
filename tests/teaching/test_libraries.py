"""Audits of the losses of libraries: the stored file agrees with new audits and with the documentation."""

import json
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest

from tinyclf.teaching.libraries import CASES, markdown, measure, read, truths, write
from tinyclf.teaching.loss_audit import VERDICTS

ROOT = Path(__file__).parents[2]
INSTALLED = {"tinyclf": None, "SciPy": "scipy", "scikit-learn": "sklearn", "ONNX reference": "onnx"}


@pytest.fixture(scope="module")
def example():
    """The example, whose functions call the libraries."""
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import audit_wall
    finally:
        sys.path.remove(str(ROOT / "examples"))
    return audit_wall


@pytest.mark.slow
@pytest.mark.parametrize("library", INSTALLED)
def test_the_stored_verdicts_are_those_of_the_installed_libraries(example, library):
    if INSTALLED[library]:
        pytest.importorskip(INSTALLED[library])
    checked = 0
    for function, (its, call, _, options) in example.LOSSES.items():
        if its != library:
            continue
        stored = next(entry for entry in reversed(read()) if (entry["library"], entry["call"]) == (its, call))
        found = measure(function, its, call, stored["version"], **options)
        for dtype, entry in found["audits"].items():
            assert entry["verdict"] == stored["audits"][dtype]["verdict"]
        for case, value in found["returns"].items():
            expected = stored["returns"][case]
            if value is None:
                assert expected is None
            else:
                np.testing.assert_allclose(float(value), float(expected), rtol=1e-5)
        checked += 1
    assert checked


def test_the_exact_values_are_those_of_mpmath():
    mpmath.mp.dps = 60
    for case, (logits, label, dtype, of) in CASES.items():
        E = [mpmath.exp(z) for z in logits]
        p = E[label] / sum(E)
        exact = -mpmath.log(p) if of == "loss" else p - 1
        assert truths()[case] == np.dtype(dtype).type(float(exact))


def test_the_file_is_sorted_and_has_each_library():
    text = (ROOT / "tinyclf" / "teaching" / "page" / "libraries.json").read_text()
    entries = json.loads(text, parse_constant=pytest.fail)  # no NaN and no Infinity
    rank = [min(VERDICTS.index(a["verdict"]) for a in entry["audits"].values()) for entry in entries]
    assert rank == sorted(rank)
    assert {entry["library"] for entry in entries} == {
        *("tinyclf", "SciPy", "scikit-learn", "PyTorch", "JAX", "Optax", "TensorFlow", "Keras", "MLX"),
        *("ONNX reference", "ONNX Runtime", "Spark"),
    }


def test_a_file_keeps_other_versions_and_replaces_the_same_one(tmp_path):
    def entry(version, verdict):
        audits = {"float32": {"verdict": verdict}}
        return {"library": "a", "call": "b", "version": version, "returns": {}, "audits": audits}

    path = tmp_path / "libraries.json"
    assert write(path, [entry("1", "exact")]) == [entry("1", "exact")]
    both = write(path, [entry("2", "naive")])
    assert both == [entry("2", "naive"), entry("1", "exact")] == read(path)
    assert write(path, [entry("1", "stable")]) == [entry("2", "naive"), entry("1", "stable")]


def test_readme_counts_the_losses_of_the_file():
    assert f"The verdicts on {len(read())} losses" in (ROOT / "README.md").read_text()


def test_the_documentation_shows_the_table_of_the_file():
    page = (ROOT / "docs" / "explanation" / "libraries.md").read_text()
    assert markdown(read()) in page
