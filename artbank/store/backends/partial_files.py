"""The hidden files through which files are written, so that a reader never sees half of one.

Errors name the file that was to be written, or the folder that refuses it: the name of a hidden file says nothing to
people, and the system names no file at all where a disk is full.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from artbank.runtime.processes import PID_SPACE
from artbank.store.backends.flushing import write_file

# 16 random digits, then pid space and process of the writer. Older versions wrote 8 digits of the host in place of the
# pid space.
PARTIAL_NAME = re.compile(r"\.[0-9a-f]{16}([0-9a-f]{16}|[0-9a-f]{8})([0-9a-f]{8})\.tmp")
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def partial_file(target: Path, data: bytes, *, is_durable: bool) -> Iterator[Path]:
    """Write data to a hidden file beside its target; deletes the file if it is still there at the end.

    Args:
        target: The file that the block makes of the hidden one. Missing folders above it are made.
        data: The content.
        is_durable: See `write_file`.

    Raises:
        OSError: It cannot be written, or the block failed; the error names the target, or a folder above it.
    """
    # Not the target's name with an extension: the name may already have the greatest possible length.
    partial = target.with_name(f".{uuid.uuid4().hex[:16]}{PID_SPACE}{os.getpid():08x}.tmp")
    try:
        try:
            write_file(partial, data, is_durable=is_durable)
        except FileNotFoundError:
            partial.parent.mkdir(parents=True, exist_ok=True)
            write_file(partial, data, is_durable=is_durable)
        yield partial
    except OSError as error:
        if named := _name_target(error, partial, target):
            raise named from error
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _name_target(error: OSError, partial: Path, target: Path) -> OSError | None:
    """Return an error of the same class that names what people know; None if it does already."""
    if error.errno in _REFUSED:
        return OSError(error.errno, error.strerror, str(_find_folder(target)))
    if error.errno is not None and error.filename in (None, str(partial)):
        return OSError(error.errno, error.strerror, str(target))
    return None


def _find_folder(path: Path) -> Path:
    """Return the folder of a file, or the nearest one above it that is there."""
    return next((folder for folder in path.parents if os.path.isdir(folder)), path.parent)  # noqa: PTH112 - never raises
