"""Archives: one file of JSON and arrays, which is read without running any code from it.

An archive is a NumPy ``.npz``: an uncompressed zip file of ``.npy`` members, so that other programs
can read its arrays. ``plain.npy`` holds UTF-8 JSON as bytes, the members ``0.npy``, ``1.npy``, ...
are the arrays to which the JSON refers, and ``digest.npy`` is the SHA-256 digest of all these
members, one after the other.

Only files in the form that `write_archive` writes are read: the members fill the file without gaps,
each begins with the header that is written for its name, size and CRC, and when its content is
written again, the bytes must be the same. Every invalid file raises an `ArchiveError`. Headers and
sizes are checked before a member is read, so memory is allocated only for bytes that the file
holds.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
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

# If a smaller fraction of a file is on disk, it is refused: the rest is holes of a sparse file, which are
# read as zeros. Saving makes no holes, but a file system, or a program that copies files, may turn zeros
# into holes.
_ON_DISK = 0.01


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
    with open(path, "rb", opener=_opened) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # reading might never end
            raise ArchiveError(f"{str(path)!r} is a pipe or a device, not a file saved by tinyclf")
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


def _opened(path: str, flags: int) -> int:
    """Open a file without waiting for a process that writes to it, if it is a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(file: BinaryIO) -> tuple[Any, list[Array]]:
    size = os.fstat(file.fileno()).st_size
    if (held := _size_on_disk(file.fileno(), size)) < _ON_DISK * size:
        raise ArchiveError(f"it is a sparse file: it has {size} bytes, but only {held} of them are on disk")
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        names, found = _names(len(infos) - 2), [info.filename for info in infos]
        if sorted(found) != sorted(names):
            raise ArchiveError(f"it contains unexpected members: {found[:5]}")
        if sum(info.file_size for info in infos) > size:
            raise ArchiveError(f"its contents claim to be larger than the file, which has {size} bytes")
        if any(info.compress_type or info.compress_size != info.file_size for info in infos):
            raise ArchiveError("its contents are compressed")
        _check_layout(file, archive)
        *members, digest = map(archive.read, names)
    if digest != _digest(members):
        raise ArchiveError("its checksum does not match its contents")
    plain = json.loads(_unpacked(members[0]).tobytes())
    if _packed_json(plain) != members[0]:
        raise ArchiveError("its JSON is not in the form in which tinyclf writes it")
    return plain, list(map(_unpacked, members[1:]))


def _size_on_disk(descriptor: int, size: int) -> int:
    """Return the number of bytes of an open file that are not in holes, as far as the system can tell."""
    if not hasattr(os, "SEEK_HOLE"):
        return size
    held, at = 0, 0
    try:
        while at < size:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
            held += at - start
    except OSError as error:
        if error.errno != errno.ENXIO:  # there are no data after ``at``
            return size
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return held


def _check_layout(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Raise an error unless the members fill the file up to its directory, each after its usual header."""
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        usual = zipfile.ZipInfo(info.filename)
        usual.file_size = usual.compress_size = info.file_size
        usual.CRC = info.CRC
        header = usual.FileHeader(zip64=info.file_size * 1.05 > zipfile.ZIP64_LIMIT)  # as zipfile does
        file.seek(end)
        if info.header_offset != end or info.flag_bits or info.comment or file.read(len(header)) != header:
            raise ArchiveError(f"its member {info.filename} is not in the form in which tinyclf writes it")
        end += len(header) + info.file_size
    if end != archive.start_dir or archive.comment:
        raise ArchiveError("it contains bytes that belong to none of its members")


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
