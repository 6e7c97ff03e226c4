"""Files that are whole at any moment: a save that fails leaves the old one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a new file beside the path, which takes the path's place once it is complete.

    Parameters
    ----------
    path : Path
        Absolute, so that a change of the working directory does not matter.
    write : callable
        Is given the new file, open for bytes.
    """
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with unfinished.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
