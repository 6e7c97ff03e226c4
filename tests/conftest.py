"""Fixtures of more than one test file."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def article(root):
    """The article's vectors with their truth."""
    return json.loads((root / "data" / "article_vectors.json").read_text())
