"""Fixtures that several test files use."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from tests.support.threads import blas

# The same examples in every run; `pytest --hypothesis-profile=thorough` searches for new ones, and longer.
settings.register_profile("default", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=5000, deadline=None)
settings.load_profile("default")


def pytest_collection_modifyitems(items):
    """Skip doctests that need a package that is not installed."""
    for item in items:
        if item.name.startswith("tinyclf.onnx.") and find_spec("onnx") is None:
            item.add_marker(pytest.mark.skip(reason="onnx is not installed"))


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def article(root):
    """The article's vectors with their exact results."""
    return json.loads((root / "data" / "article_vectors.json").read_text())


@pytest.fixture(scope="session")
def lesson():
    """The measurements of the lesson with two seeds; takes some seconds."""
    from tinyclf.teaching.lesson import measure

    return measure(0, 2)


@pytest.fixture
def two_threads():
    """BLAS with two threads, on a machine of one core, too."""
    with threadpool_limits(2, user_api="blas"):
        if 2 not in blas():
            pytest.skip("this BLAS library has no threads")
        yield
