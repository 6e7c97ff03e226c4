"""A cluster in this process, for the tests of a file: its threads must not disturb other tests."""

import pytest


@pytest.fixture(scope="module")
def client():
    """The client of two workers, each with one thread."""
    distributed = pytest.importorskip("distributed")
    with distributed.Client(
        processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as client:
        yield client
