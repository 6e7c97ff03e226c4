"""Dask collections of arrays and data frames in memory."""

import numpy as np
import pytest


def chunked(values, length=100):
    """A Dask array with chunks of this number of rows."""
    return pytest.importorskip("dask.array").from_array(values, chunks=(length, *values.shape[1:]))


def array_of(parts, meta=None):
    """A Dask array of unknown length with these chunks; they may be futures."""
    da, delayed = pytest.importorskip("dask.array"), pytest.importorskip("dask").delayed
    meta = parts[0][:0] if meta is None else meta
    chunks = [da.from_delayed(delayed(part), (np.nan, *meta.shape[1:]), meta=meta) for part in parts]
    return da.concatenate(chunks, allow_unknown_chunksizes=True)


def frame_of(parts):
    """A Dask data frame or series with these partitions."""
    delayed = pytest.importorskip("dask").delayed
    from_delayed = pytest.importorskip("dask.dataframe").from_delayed
    return from_delayed([*map(delayed, parts)], verify_meta=False)


def task_keys(client):
    """The keys of all tasks that the scheduler knows."""
    return client.run_on_scheduler(lambda dask_scheduler: [*map(str, dask_scheduler.tasks)])
