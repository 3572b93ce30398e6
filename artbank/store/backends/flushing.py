"""Flush files and folders to the disk, so that what was written first survives a power cut if later writes do.

A file is on the disk once its content and the names of all folders that lead to it are.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

# Some file systems cannot flush a folder, some folders above a store may not be opened, and others may be gone again.
_CANNOT_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF, errno.ENOENT)
_led_to: set[Path] = set()  # folders whose way from the root this process has flushed


def write_file(path: Path, data: bytes, *, is_durable: bool) -> None:
    """Write a file; with `is_durable` its content is on the disk afterwards, but not its name.

    Raises:
        OSError: The disk is full or fails, or the folder does not exist.
    """
    with path.open("wb") as file:
        file.write(data)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder, and on the first call for this folder the names that lead to it.

    Does nothing where the system cannot flush folders.

    Raises:
        OSError: The disk fails.
    """
    _flush(folder)
    if folder not in _led_to:
        for above in folder.parents:
            _flush(above)
        _led_to.add(folder)


def _flush(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError as error:
        _raise_unless_impossible(error)
        return
    try:
        os.fsync(opened)
    except OSError as error:
        _raise_unless_impossible(error)
    finally:
        os.close(opened)


def _raise_unless_impossible(error: OSError) -> None:
    if error.errno not in _CANNOT_FLUSH:
        raise error
