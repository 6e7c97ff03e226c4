"""Run the code of the pages: `python -m pytest --doctest-glob='*.md' docs`."""

import doctest
import re
from importlib.util import find_spec

import pytest

collect_ignore_glob = ["*.py"]  # the configuration of the site, and the copies of the examples that it makes

# In an expected output, ... matches anything, and 0.98 matches numbers from 0.97 to 0.99 (pytest's NUMBER).
OPTIONS = {doctest.ELLIPSIS: True, doctest.register_optionflag("NUMBER"): True}


def pytest_collection_modifyitems(items):
    """Compare outputs with these options, without directives in the pages."""
    for item in items:
        if item.path.suffix == ".md":
            for example in item.dtest.examples:
                example.options = {**OPTIONS, **example.options}


@pytest.fixture(autouse=True)
def an_empty_folder(request, tmp_path, monkeypatch):
    """Run each page in an empty folder; skip it if a package that it imports is not installed."""
    names = set(re.findall(r"^>>> (?:from|import) (\w+)", request.path.read_text(), re.MULTILINE))
    if missing := sorted(name for name in names if find_spec(name) is None):
        pytest.skip(f"{', '.join(missing)} not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
