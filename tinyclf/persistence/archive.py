"""Archives: one file of JSON and arrays, which is read without running any code from it.

An archive is a NumPy ``.npz``: an uncompressed zip file of ``.npy`` members, so that other programs
can read its arrays. ``plain.npy`` holds UTF-8 JSON as bytes, the members ``0.npy``, ``1.npy``, ...
are the arrays to which the JSON refers, and ``digest.npy`` is the SHA-256 digest of all these
members, one after the other.

Only files in the form that `write_archive` writes are read: when the content of a member is written
again, the bytes must be the same. Every invalid file raises an `ArchiveError`. The sizes of members
are checked against the size of the file before memory is allocated for them.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..nn.errors import ArchiveError
from .files import write_atomically

Array = NDArray[Any]

KINDS = "biufmMU"
"""Kinds of dtypes that an archive can hold: booleans, real numbers, dates and strings. Objects would need
pickle."""


def write_archive(path: str | Path, plain: Any, arrays: list[Array]) -> None:
    """Write an archive atomically: if writing fails, an existing file is not changed.

    Parameters
    ----------
    path : str or Path
    plain : None, bool, int, float, str, list or dict
        A JSON value.
    arrays : list of ndarray
        Their dtypes must be of the `KINDS`.
    """
    members = [_packed_json(plain), *map(_packed, arrays)]
    members.append(_digest(members))

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, member in zip(_names(len(arrays)), members, strict=True):
                archive.writestr(zipfile.ZipInfo(name), member)  # ZipInfo has a constant date

    write_atomically(path, write)


def read_archive(path: str | Path) -> tuple[Any, list[Array]]:
    """Read an archive.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    plain : None, bool, int, float, str, list or dict
    arrays : list of ndarray

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ArchiveError
        If it is not an archive, or differs from what was written.
    """
    mode = Path(path).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # reading might never end
        raise ArchiveError(f"{str(path)!r} is a pipe or a device, not a file saved by tinyclf")
    with Path(path).open("rb") as file:
        try:
            return _read(file)
        except Exception as error:  # zipfile and npy raise errors of many types
            raise ArchiveError(
                f"{str(path)!r} was not saved by tinyclf, or is damaged: {reason(error)}"
            ) from None


def reason(error: Exception) -> str:
    """Return the message of an error, shortened, with its type unless it is a ValueError."""
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return f"{kind}{str(error)[:500]}"


def _read(file: BinaryIO) -> tuple[Any, list[Array]]:
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        names, found = _names(len(infos) - 2), [info.filename for info in infos]
        if sorted(found) != sorted(names):
            raise ArchiveError(f"it contains unexpected members: {found[:5]}")
        if sum(info.file_size for info in infos) > size:
            raise ArchiveError(f"its contents claim to be larger than the file, which has {size} bytes")
        if any(info.compress_size != info.file_size for info in infos):
            raise ArchiveError("its contents are compressed")
        *members, digest = map(archive.read, names)
    if digest != _digest(members):
        raise ArchiveError("its checksum does not match its contents")
    plain = json.loads(_unpacked(members[0]).tobytes())
    if _packed_json(plain) != members[0]:
        raise ArchiveError("its JSON is not in the form in which tinyclf writes it")
    return plain, list(map(_unpacked, members[1:]))


def _names(n: int) -> list[str]:
    """Return the names of the members of an archive with n arrays."""
    return [f"{name}.npy" for name in ("plain", *range(n), "digest")]


def _packed(array: Array) -> bytes:
    """Return an array as the bytes of a file in NumPy's format."""
    file = io.BytesIO()
    npy.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _packed_json(plain: Any) -> bytes:
    return _packed(np.frombuffer(json.dumps(plain, allow_nan=False).encode(), np.uint8))


def _unpacked(member: bytes) -> Array:
    """Return the array in the bytes of a file in NumPy's format."""
    file = io.BytesIO(member)
    major, minor = npy.read_magic(file)
    if (major, minor) != (1, 0):
        raise ArchiveError(f"an array is in version {major}.{minor} of NumPy's format, not in 1.0")
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    if dtype.kind not in KINDS:
        raise ArchiveError(f"an array has dtype {dtype}, which an archive cannot hold")
    flat = np.frombuffer(member, dtype, offset=file.tell())
    array = flat.reshape(shape, order="F" if fortran else "C").copy("K")
    if _packed(array) != member:
        raise ArchiveError(f"an array of shape {shape} is not in the form in which tinyclf writes it")
    return array


def _digest(members: Iterable[bytes]) -> bytes:
    """Return the checksum of the members, as the bytes of a member."""
    found = hashlib.sha256()
    for member in members:
        found.update(member)
    return _packed(np.frombuffer(found.digest(), np.uint8))
