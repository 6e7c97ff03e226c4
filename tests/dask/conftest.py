"""A cluster in this process, for all tests of the folder."""

import pytest


@pytest.fixture(scope="session")
def client():
    """The client of two workers, each with one thread."""
    distributed = pytest.importorskip("distributed")
    with distributed.Client(
        processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as client:
        yield client
