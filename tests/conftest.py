"""Fixtures that several test files use."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import sklearn
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
        for name, library in (
            ("tinyclf.dask.", "distributed"),
            ("tinyclf.estimator.sources.ArrowRows", "pyarrow"),
            ("tinyclf.onnx.", "onnx"),
        ):
            if item.name.startswith(name) and find_spec(library) is None:
                item.add_marker(pytest.mark.skip(reason=f"{library} is not installed"))


@pytest.fixture(autouse=True)
def the_settings_of_libraries_are_restored():
    """Undo changes of NumPy's and scikit-learn's settings: Ctrl-C inside these libraries can leave some."""
    with np.errstate(), sklearn.config_context():
        yield


@pytest.fixture(autouse=True)
def the_same_random_numbers_in_any_order(request):
    """Reset the generator of a test file, so that no test depends on those that ran before it."""
    if hasattr(request.module, "RNG"):
        request.module.RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


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
    """The measurements of the lesson with two seeds, and two epochs instead of 30."""
    from tinyclf.teaching import lesson

    short = {run: (replace(experiment, epochs=2), *rest) for run, (experiment, *rest) in lesson.RUNS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson, "RUNS", short)
        return lesson.measure(0, 2)


@pytest.fixture
def two_threads():
    """BLAS with two threads, on a machine of one core, too."""
    with threadpool_limits(2, user_api="blas"):
        if 2 not in blas():
            pytest.skip("this BLAS library has no threads")
        yield
