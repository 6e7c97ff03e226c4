"""Run the code of the pages: `python -m pytest --doctest-glob='*.md' docs`."""

import doctest
import re
from importlib.util import find_spec

import pytest

collect_ignore_glob = ["*.py"]  # the configuration of the site, and the copies of the examples that it makes

# In an expected output, ... matches anything, and 0.98 matches numbers from 0.97 to 0.99 (pytest's NUMBER).
OPTIONS = {doctest.ELLIPSIS: True, doctest.register_optionflag("NUMBER"): True}


def pytest_collection_modifyitems(items):
    """Compare outputs with these options; skip what follows the import of a package that is not installed."""
    for item in items:
        if item.path.suffix == ".md":
            skip = False
            for example in item.dtest.examples:
                names = re.findall(r"^(?:from|import) (\w+)", example.source, re.MULTILINE)
                skip = skip or any(find_spec(name) is None for name in names)
                example.options = {**OPTIONS, doctest.SKIP: skip, **example.options}


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path, monkeypatch):
    """Run each page in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
