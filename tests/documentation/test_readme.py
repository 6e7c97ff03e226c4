"""The code, the links and the commands of the README work."""

import re

import pytest


@pytest.fixture(scope="module")
def text(root):
    return (root / "README.md").read_text()


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_python_blocks_run_and_print_what_their_comments_say(text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checked = 0
    for block in blocks(text, "python"):
        exec(compile(block, "README.md", "exec"), {})
        printed = capsys.readouterr().out.splitlines()
        claims = re.findall(r"^print\(.*\) +# (\[.*\])", block, re.MULTILINE)
        assert printed
        for claim, line in zip(claims, printed if claims else [], strict=True):
            assert line == claim
            checked += 1
    assert checked == 1


def test_the_estimator_and_the_core_take_about_ten_lines(text):
    estimator, pipeline, core = blocks(text, "python")
    for block in (estimator, pipeline, core):
        assert len([line for line in block.splitlines() if line]) <= 10


def test_it_is_read_in_five_minutes(text):
    assert len(text.splitlines()) <= 120


def test_both_commands_are_single_lines(text):
    demo, tests = blocks(text, "bash")
    assert demo.count("\n") == tests.count("\n") == 1
    assert demo.endswith("-m tinyclf demo\n")
    assert tests.endswith("-m pytest -n auto\n")


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/how_to/migrating.md",
        "CONTRIBUTING.md",
        "examples/README.md",
        "docs/how_to/teaching.md",
        "data/README.md",
        "benchmarks/README.md",
    ],
)
def test_links_lead_to_files(root, name):
    page = root / name
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
