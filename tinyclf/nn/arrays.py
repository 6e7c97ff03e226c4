"""Named arrays: the views and buffers that layers, losses and optimizers work on."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

ROW_BLOCK = 1024
"""Rows per block of a computation over all rows: products are fast, and a block fits into the cache."""

PARAMETER_BLOCK = 2**16
"""Entries per block of a computation over all parameters: a block fits into the cache."""


class Views:
    """Named arrays; assigning to a name writes into its array instead of replacing it.

    ``p.W = W0`` copies W0 into the memory that the network uses, as ``p.W[...] = W0`` does. An
    array that is not needed is None; assigning to it does nothing.

    Examples
    --------
    >>> theta = np.zeros(4)
    >>> p = Views(W=theta[:3], b=theta[3:])
    >>> p.W = [1.0, 2.0, 3.0]
    >>> theta
    array([1., 2., 3., 0.])
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def bind(self, **values: Any) -> None:
        """Replace the arrays with these names."""
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:  # only called for names that do not exist
        raise AttributeError(f"there is no array {name!r}; available: {', '.join(vars(self)) or 'none'}")

    def __setattr__(self, name: str, value: Any) -> None:
        array = getattr(self, name)
        if array is None or value is array:
            return
        _write(name, array, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Unpickled arrays may be memory-mapped and read-only, but these must be writable.
        self.__dict__.update({k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in state.items()})

    def __repr__(self) -> str:
        arrays = (
            f"{k}: {v.dtype}{v.shape}" if isinstance(v, np.ndarray) else k for k, v in vars(self).items()
        )
        return f"Views({', '.join(arrays)})"


class ViewList(list[Array]):
    """A list of arrays; ``views[0] = W`` writes into the array instead of replacing it.

    Examples
    --------
    >>> theta = np.zeros(3)
    >>> views = ViewList([theta[:2], theta[2:]])
    >>> views[0] = [1.0, 2.0]
    >>> theta
    array([1., 2., 0.])
    """

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            index = range(len(self))[index]
            if not hasattr(value, "__len__"):
                raise TypeError(f"the slice must be set to a list of {len(index)} arrays, got {value!r}")
            if len(index) != len(value):
                raise ValueError(f"the slice must be set to a list of {len(index)} arrays, got {len(value)}")
            # All values are checked before the first array is written.
            arrays = [_as_numbers(f"array {i}", self[i], v) for i, v in zip(index, value, strict=True)]
            for i, numbers in zip(index, arrays, strict=True):
                self[i][...] = numbers
        else:
            self[index][...] = _as_numbers(f"array {index}", self[index], value)


def _as_numbers(name: str, array: Array, value: Any) -> Array:
    """Return the value in the type of the array; numbers beyond the range of that type are inf."""
    given = as_array(name, value)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}")
    _check_shape(name, array, given)
    with np.errstate(over="ignore"):
        return given.astype(array.dtype)


def check_not_masked(name: str, values: Any, first_row: int = 0) -> None:
    """Raise an error if an entry is masked, which means that its value is missing.

    ``first_row`` is added to the row in the error.
    """
    if type(values) is np.ndarray:
        return
    kinds = {*map(type, values)} if isinstance(values, (list, tuple)) else ()
    masked = any(issubclass(kind, np.ma.MaskedArray) for kind in kinds)
    rows = list(values) if masked else [values]  # np.asarray of a list of masked arrays drops the masks
    for row, part in enumerate(rows):
        if not (isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part)):
            continue
        at = np.argwhere(np.ma.getmaskarray(part))[0].tolist()
        at = [first_row + at[0], *at[1:]] if part is values else [row, *at]
        where = ", ".join(f"{axis} {i}" for axis, i in zip(("row", "column"), at, strict=False))
        raise ValueError(f"{name} is masked at {where}; remove or impute it")


def as_array(name: str, values: Any) -> Array:
    """Return the values as an array; errors call them ``name``."""
    check_not_masked(name, values)
    try:
        return np.asarray(values)
    except Exception as error:  # containers of other libraries may raise any type
        ragged = "inhomogeneous" in str(error)
        reason = "its parts differ in length" if ragged else error
        raise ValueError(f"{name} cannot be converted to an array: {reason}") from None


def _write(name: str, array: Array, value: Any) -> None:
    _check_shape(name, array, value)
    array[...] = value


def _check_shape(name: str, array: Array, value: Any) -> None:
    if np.shape(value) != array.shape:
        raise ValueError(
            f"{name} has shape {array.shape}, got an array of shape {np.shape(value)}; "
            "to set all entries to one number, assign to [...]"
        )


class Buffer(NamedTuple):
    """Description of a buffer that a layer or loss needs.

    ``shape`` is the shape for one row of the batch: () for one number per row, 5 or (5,) for a
    vector of 5. A dtype of None stands for the type that the network computes in. With ``fill``,
    all entries have this value, and the array is read-only. If ``per_row`` is False, ``shape`` is the
    shape of the whole buffer, whatever the number of rows; only layers support this, losses do not.
    """

    shape: int | tuple[int, ...]
    dtype: DTypeLike | None = None
    fill: float | None = None
    per_row: bool = True

    def array(self, n: int, dtype: DTypeLike) -> Array:
        """Return a new array for n rows; ``dtype`` is the type that the network computes in."""
        shape = (self.shape,) if isinstance(self.shape, int) else self.shape
        made = np.empty((n, *shape) if self.per_row else shape, dtype if self.dtype is None else self.dtype)
        if self.fill is not None:
            made.fill(self.fill)
            made.flags.writeable = False
        return made


def all_finite(values: Array) -> bool:
    """Return whether all numbers are finite.

    They are if the sum of their squares is finite, which is a fast test. If the sum overflows, each
    entry is tested. The caller must silence overflow warnings.
    """
    flat = values.ravel()
    return math.isfinite(flat.dot(flat)) or bool(np.isfinite(flat).all())
