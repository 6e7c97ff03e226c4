"""The scripts in data/ reproduce its files."""

import runpy

import pytest


@pytest.mark.parametrize("name", ["article_vectors", "hard_logits"])
def test_scripts_reproduce_the_files(root, name, tmp_path, monkeypatch):
    script = tmp_path / f"make_{name}.py"  # a script writes into its own folder
    script.write_text((root / "data" / f"make_{name}.py").read_text())
    runpy.run_path(str(script), run_name="__main__")
    assert (tmp_path / f"{name}.json").read_text() == (root / "data" / f"{name}.json").read_text()


def test_every_file_is_described(root):
    text = (root / "data" / "README.md").read_text()
    for path in (root / "data").iterdir():
        assert path.name == "README.md" or path.is_dir() or path.name in text
