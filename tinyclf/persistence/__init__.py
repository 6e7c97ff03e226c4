"""Saved files, without pickle: no code from a file is run.

A file is an archive (`archive`), a NumPy ``.npz`` with JSON and arrays, written atomically
(`files`). Its JSON is

    {"format": "tinyclf.TinyClassifier", "version": 2, "made_by": "0.2.0", "content": ...}

where the content is a value that `codec` encodes. This package does not import the estimator: the
caller passes a `Registry` of the classes that a file may name. Each class of tinyclf checks the
data from which its instances are rebuilt.

Why npz: it is maintained by NumPy, which is required anyway; it keeps types, byte order and memory
order; and other programs can read its arrays. safetensors, which is as safe, cannot store strings,
and labels may be strings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .._version import __version__
from ..nn.errors import ArchiveError
from .archive import Array, read_archive, reason, write_archive
from .codec import Registry, decode, encode
from .files import check_target, write_atomically

__all__ = [
    "Registry",
    "check_target",
    "decode",
    "encode",
    "read_file",
    "with_head",
    "without_head",
    "write_atomically",
    "write_file",
]

T = TypeVar("T")


def write_file(path: str | Path, plain: Any, arrays: list[Array], *, format: str, version: int) -> None:
    """Write what `encode` returned to a file, atomically.

    Parameters
    ----------
    path : str or Path
    plain, arrays
        What `encode` returned.
    format : str
        Name of the format.
    version : int
        Version of the format, at least 1.
    """
    write_archive(path, with_head(plain, format, version), arrays)


def read_file(
    path: str | Path, registry: Registry, build: Callable[[Any], T], *, format: str, version: int
) -> T:
    """Read a file, decode its content, and return the result of ``build``.

    Parameters
    ----------
    path : str or Path
    registry : Registry
    build : callable
        Maps the decoded content to the result; raises an error if the content is invalid.
    format, version
        See `write_file`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ArchiveError
        If it was not written by `write_file`, is of another version of the format, is damaged, or
        has invalid content.
    """
    plain, arrays = read_archive(path)
    try:
        return build(decode(without_head(plain, format, version), arrays, registry))
    except Exception as error:  # invalid content can cause any error
        raise ArchiveError(f"{str(path)!r} cannot be loaded: {reason(error)}") from None


def with_head(plain: Any, format: str, version: int) -> dict[str, Any]:
    """Return a JSON object with the format, its version, the version of tinyclf, and the content."""
    return {"format": format, "version": version, "made_by": __version__, "content": plain}


def without_head(plain: Any, format: str, version: int) -> Any:
    """Return the content of what `with_head` returned; raise an error unless format and version match."""
    keys = {"format", "version", "made_by", "content"}
    if not isinstance(plain, dict) or plain.get("format") != format:
        raise ArchiveError("it is not a saved model, but has another format")
    found, made_by = plain.get("version"), plain.get("made_by")
    if type(found) is not int or found < 1:
        raise ArchiveError(f"its version must be a whole number >= 1, got {found!r}")
    if found != version:
        newer = "a newer" if found > version else "an older"
        raise ArchiveError(
            f"it was saved in version {found} of the format, by {newer} tinyclf, {made_by}; this one, "
            f"{__version__}, reads version {version}. Load it with the tinyclf that saved it, or fit the "
            "model again"
        )
    if plain.keys() != keys:
        raise ArchiveError(f"it contains {sorted(plain)} instead of {sorted(keys)}")
    return plain["content"]
