"""Streaming: rows that do not fit into memory are read in blocks, and shuffled within windows of blocks.

A block has consecutive rows, and a window as many blocks as a fit keeps in memory. Each epoch distributes
the blocks over windows at random, reads the blocks of one window after the other, and shuffles the rows
within the window.

Whether rows are streamed, the blocks and their order depend on the shape of X and on the seed only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import vstack

from ..nn.arrays import Array
from ..nn.batches import CsrRows, DenseRows, Rows
from . import sources, table
from .encoding import ColumnSummary, EncodedRows, Encoding
from .scaling import Scaling
from .sources import FrameRows, RowsOf, RowSource, read_rows

BLOCKS = 256
"""Number of blocks of a window. With more blocks, rows that are sorted by class are mixed better."""


class StreamedMatrix:
    """X of a source as a matrix of numbers, see `table`, of which slices of rows are read and converted.

    Parameters
    ----------
    source : RowSource
    estimator : estimator
        Its parameters ``categorical_features`` and ``max_categories`` are used.
    encoding : Encoding, optional
        The encoding of earlier rows.
    weight : ndarray of shape (n,), optional
        The weights of the rows, by which a new encoding counts categories and missing entries.
    matrix : ndarray of shape (n, n_features), optional
        The whole matrix, if it is in memory. That of a data frame in memory always is: to read the
        frame in blocks would take long if it has many columns.

    Attributes
    ----------
    shape : tuple of (n, n_features)
    encoding : Encoding
    dtype : dtype
        float32 if all number columns are, otherwise float64.
    """

    def __init__(
        self,
        source: RowSource,
        estimator: Any,
        encoding: Encoding | None = None,
        weight: Array | None = None,
        matrix: Array | None = None,
    ) -> None:
        if matrix is None and isinstance(source, FrameRows):
            matrix, encoding = table.read(estimator, source.frame, encoding, weight)
        self.source, self.estimator, self.shape, self.matrix = source, estimator, source.shape, matrix
        self.block_rows = max(1, sources.WINDOW // (BLOCKS * self.shape[1]))
        self._held: tuple[int, Array] = (-1, np.empty((0, 0)))  # the last block, as most readers go in order
        self.dtype = np.dtype(np.float64) if matrix is None else matrix.dtype
        if encoding is None:
            names = getattr(estimator, "feature_names_in_", None)
            summary = ColumnSummary.merged(self._summaries(weight), names)
            self.dtype, encoding = summary.dtype, summary.encoding(estimator.max_categories)
        self.encoding = encoding

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return -(-len(self) // self.block_rows)

    def bounds(self, block: int) -> tuple[int, int]:
        """Return the number of the first row of a block, and that of the first row after it."""
        start = int(block) * self.block_rows
        return start, min(start + self.block_rows, len(self))

    def _summaries(self, weight: Array | None) -> Iterator[ColumnSummary]:
        for block in range(self.n_blocks):
            start, stop = self.bounds(block)
            with _in_rows(start, stop):
                rows = self._rows(start, stop)
                yield table.summarize(self.estimator, rows, None if weight is None else weight[start:stop])

    def _rows(self, start: int, stop: int) -> Any:
        """Return rows as a table, with the columns of the first rows."""
        return table.checked_rows(self.estimator, read_rows(self.source, start, stop), reset=False)

    def block(self, number: int) -> Array:
        """Return the rows of a block."""
        start, stop = self.bounds(number)
        if self.matrix is not None:
            return self.matrix[start:stop]
        held, X = self._held
        if held != number:
            with _in_rows(start, stop):
                rows = self._rows(start, stop)
                X = table.numbers_and_codes(self.estimator, rows, self.encoding)
            self._held = number, X
        return X

    def __getitem__(self, rows: slice) -> Array:
        """Return rows from start to stop."""
        start, stop, _ = rows.indices(len(self))
        parts = [
            self.block(block)[max(0, start - block * self.block_rows) : stop - block * self.block_rows]
            for block in range(start // self.block_rows, -(-stop // self.block_rows))
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def take(self, rows: Array) -> Self:
        """Return some rows, given their numbers, ascending."""
        matrix = None if self.matrix is None else self.matrix[rows]
        return type(self)(RowsOf(self.source, rows), self.estimator, self.encoding, matrix=matrix)

    def scaling(self, weight: Array | None, centered: bool) -> Scaling:
        """Return the scaling of the number columns, given the weights of the rows; see `Scaling.of`."""

        def parts() -> Iterator[Scaling]:
            step = self.block_rows * BLOCKS
            for start in range(0, len(self), step):
                w = None if weight is None else weight[start : start + step]
                if w is None or w.any():
                    X = self.encoding.select_numbers(self[start : start + step])
                    yield Scaling.of(X, w, centered=centered, first_row=start)

        return Scaling.merged(parts())


class StreamedRows(EncodedRows):
    """Inputs of the network for training, of which one window is in memory.

    The parameters are those of `Encoding.rows`.
    """

    def __init__(
        self,
        X: StreamedMatrix,
        encoding: Encoding,
        scaling: Scaling | None,
        dtype: DTypeLike,
        stays_sparse: bool,
    ) -> None:
        super().__init__(X, encoding, scaling, dtype, stays_sparse)
        width = max(X.shape[1], encoding.n_inputs)
        per_window = max(1, sources.WINDOW // (X.block_rows * width))
        self._n_windows = -(-X.n_blocks // per_window)
        self._group(np.arange(X.n_blocks) // per_window)

    def _group(self, window_of: Array) -> None:
        """Set the windows, given the number of the window of each block."""
        self._window_of = window_of
        ends = np.bincount(window_of).cumsum()
        self._windows = np.split(np.argsort(window_of, kind="stable"), ends[:-1])
        self._offset = np.empty(len(window_of), np.intp)  # of the blocks of the window that is in memory
        self._window: Rows = DenseRows(np.empty((0, 0)))
        self._loaded = -1  # its number

    def permuted(self, rows: Array, rng: np.random.Generator) -> Array:
        """Return ascending row numbers in the order of an epoch.

        Of as many consecutive blocks as there are windows, each window gets one, so that a window has
        rows of all parts of X, even if X is sorted by class.
        """
        n = -(-self.X.n_blocks // self._n_windows)
        numbers = rng.permuted(np.tile(np.arange(self._n_windows), (n, 1)), axis=1)
        self._group(numbers.ravel()[: self.X.n_blocks])
        starts = np.arange(self.X.n_blocks + 1) * self.X.block_rows
        edges = np.searchsorted(rows, starts.clip(max=len(self.X)).astype(rows.dtype))  # of one type: no copy
        order, at = np.empty_like(rows), 0
        for window in self._windows:
            part = np.concatenate([rows[edges[block] : edges[block + 1]] for block in window])
            order[at : at + len(part)] = rng.permutation(part)
            at += len(part)
        return order

    def gather(self, rows: Array, out: Array) -> Any:
        blocks = rows // self.X.block_rows
        windows = self._window_of[blocks]
        edges = [0, *(np.flatnonzero(np.diff(windows)) + 1), len(rows)]
        parts = []
        for start, stop in pairwise(edges):
            part, number = slice(start, stop), int(windows[start])
            if number != self._loaded:
                self._load(number)
            positions = rows[part] + self._offset[blocks[part]]
            parts.append(self._window.gather(positions, out[part]))
        if len(parts) == 1:
            return parts[0]
        return vstack(parts, "csr") if hasattr(parts[0], "tocsr") else out

    def _load(self, number: int) -> None:
        """Read the blocks of a window."""
        self._loaded, self._window = -1, DenseRows(np.empty((0, 0)))  # frees the last window first
        blocks = self._windows[number]
        ranges = [self.X.bounds(block) for block in blocks]
        n, at = sum(stop - start for start, stop in ranges), 0
        out, parts = np.empty((0, 0), self.dtype), []
        for block, (start, stop) in zip(blocks, ranges, strict=True):
            rows = self.encoding.rows(self.X.block(block), self.scaling, self.dtype, start, self.stays_sparse)
            if isinstance(rows, CsrRows):
                parts.append(rows.X)
            else:
                out = out if len(out) else np.empty((n, self.encoding.n_inputs), self.dtype)
                out[at : at + len(rows)] = rows.block(0, len(rows))
            self._offset[block] = at - start
            at += stop - start
        self._window = CsrRows(vstack(parts, "csr"), self.stays_sparse) if parts else DenseRows(out)
        self._loaded = number


def read(
    estimator: Any, X: Any, encoding: Encoding | None = None, weight: Array | None = None
) -> tuple[Any, Encoding]:
    """Return X as a matrix of numbers, and its encoding; a source becomes a `StreamedMatrix`.

    The parameters are those of `table.read`.
    """
    if not isinstance(X, RowSource):
        return table.read(estimator, X, encoding, weight)
    matrix = StreamedMatrix(X, estimator, encoding, weight)
    return matrix, matrix.encoding


@contextmanager
def _in_rows(start: int, stop: int) -> Iterator[None]:
    """Add to an error in the block in which rows it was found."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"in the rows {start} to {stop - 1}: {error}") from None
