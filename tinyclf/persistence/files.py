"""Atomic writing of files: a save that fails does not change an existing file."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def check_target(path: str | Path) -> Path:
    """Return the absolute path of a file to be written; raise an error if it cannot be written there."""
    given, path = path, Path(os.path.realpath(path))
    if path.is_symlink():  # `realpath` follows all links but those of a loop
        raise OSError(errno.ELOOP, "it is a symbolic link that leads back to itself", str(given))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to save {path.name!r} in")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{str(path)!r} exists and is not a regular file, so it cannot be replaced")
    return path


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file in the same folder, and rename it to the path when it is complete.

    If writing fails, the temporary file is removed. It remains only if the process is killed. Its
    name has the first 50 characters of the file's name, a random number and ``.tmp``. The new file
    has the permissions of the file that it replaces.

    Parameters
    ----------
    path : str or Path
    write : callable
        Called with the temporary file, open in binary mode.
    """
    path = check_target(path)
    unfinished = path.with_name(f"{path.name[:50]}.{uuid.uuid4().hex}.tmp")  # names have at most 255 bytes
    try:
        with unfinished.open("xb") as file:
            with suppress(OSError):  # no old file, or a file system without permissions
                shutil.copymode(path, unfinished)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
