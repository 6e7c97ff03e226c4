"""Each promise of CONTRIBUTING.md has tests that are marked with it, in the files that the table names."""

import ast
import re

import pytest


def named_in(table):
    """The key of each promise, and the files of tests that its row names."""
    rows = re.findall(r"^\| \*\*(.+?)\*\*.*\| (.*) \|$", table, re.MULTILINE)
    return {text.removesuffix(".").lower(): re.findall(r"`(tests/\S+\.py)`", files) for text, files in rows}


def marks_in(source):
    """The texts of the calls ``pytest.mark.promise(text)`` in a module."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        ast.literal_eval(call.args[0]) for call in calls if ast.unparse(call.func) == "pytest.mark.promise"
    ]


@pytest.fixture(scope="module")
def promised(root):
    return named_in((root / "CONTRIBUTING.md").read_text("utf-8"))


@pytest.fixture(scope="module")
def marked(root):
    """The promises that each file of tests has marks of."""
    files = (root / "tests").rglob("test_*.py")
    return {file.relative_to(root).as_posix(): set(marks_in(file.read_text("utf-8"))) for file in files}


def test_each_promise_names_a_file_of_tests(promised):
    # What holds this promise is the mutation run.
    assert len(promised) > 1
    assert [promise for promise, files in promised.items() if not files] == ["the tests notice changes"]


def test_each_file_in_the_table_has_a_test_with_the_mark_of_the_promise(promised, marked):
    missing = {
        promise: [file for file in files if promise not in marked.get(file, ())]
        for promise, files in promised.items()
    }
    assert not any(missing.values()), missing


def test_each_mark_names_a_promise(promised, marked):
    unknown = {file: marks - promised.keys() for file, marks in marked.items()}
    assert not any(unknown.values()), {file: marks for file, marks in unknown.items() if marks}
