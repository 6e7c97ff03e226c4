"""Files that are whole at any moment: a save that fails leaves the old one."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def place_for(path: str | Path) -> Path:
    """Return where a file of this path is, links followed; an error names what stands in its way."""
    path = Path(path).resolve()
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to save {path.name!r} in")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{str(path)!r} is no file that could be replaced")
    return path


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a new file beside the path, which takes the path's place once it is complete.

    If this fails, the new file is removed. Only a process that is killed leaves it, under the path's name (or
    how that begins) with a random number and ``.tmp``. Who may read the old file may read the new one.

    Parameters
    ----------
    path : str or Path
    write : callable
        Is given the new file, open for bytes.
    """
    path = place_for(path)
    unfinished = path.with_name(f"{path.name[:50]}.{uuid.uuid4().hex}.tmp")  # names end after 255 bytes
    try:
        with unfinished.open("xb") as file:
            with suppress(OSError):  # there is no old file, or file systems that know no modes
                shutil.copymode(path, unfinished)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
