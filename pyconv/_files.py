"""Files that are either whole or not there: written beside their place, synced to disk, then renamed over it."""

from __future__ import annotations

import os
import secrets
from os import PathLike
from pathlib import Path


def write_atomically(path: str | PathLike[str], content: bytes) -> None:
    """Replace the file at `path` by `content`.

    Whenever the process or the machine stops, the old file or the new one is there, never a part of one.

    Raises
    ------
    OSError
        If it cannot be written (no space, no permission); the old file is still there then.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            raise OSError(error.errno, error.strerror, str(path)) from error  # a failed write names no file
        raise
    _sync_folder(path.parent)


def remove_leftovers(path: str | PathLike[str]) -> None:
    """Delete the partial files that killed processes left of the file at `path`."""
    path = Path(path)
    for partial in path.parent.glob(f".{path.name}.*.part"):
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last through a power cut, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
