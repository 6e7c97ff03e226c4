"""Training on a cluster: `DaskTinyClassifier` fits a Dask array or data frame that is spread over workers.

`worker` has the functions that run on the workers, `cluster` the data set and the training as the client sees
them. Dask is imported on first use (``pip install "dask[distributed]"``).
"""

from .classifier import DaskTinyClassifier as DaskTinyClassifier

__all__ = ["DaskTinyClassifier"]
