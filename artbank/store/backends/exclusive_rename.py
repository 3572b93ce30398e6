"""Give a file its final name only if nothing has that name yet, on every file system.

A hard link does this where there are links. exFAT, FAT, most SMB shares and many FUSE file systems have none; Linux and
macOS can rename without replacing on some of these. Where neither is supported, an empty file is created exclusively
and then replaced: still only one of several writers succeeds, but a reader may see the empty file for a moment, and a
process that is killed at that moment leaves it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

_CURRENT_FOLDER = -100  # AT_FDCWD of Linux
_NO_REPLACE = 1  # RENAME_NOREPLACE of Linux
_EXCLUSIVE = 4  # RENAME_EXCL of macOS


def publish(partial: Path, target: Path) -> None:
    """Give a complete file its name; the old name may be left.

    Raises:
        FileExistsError: Something has this name.
        FileNotFoundError: The complete file is gone.
        OSError: The file system failed in every way.
    """
    for attempt in (_link, _rename_exclusively):
        try:
            return attempt(partial, target)
        except (FileExistsError, FileNotFoundError):
            raise
        except (OSError, AttributeError):  # not supported; the numbers of this error differ between file systems
            continue
    return _claim_and_replace(partial, target)


def _link(partial: Path, target: Path) -> None:
    target.hardlink_to(partial)


def _rename_exclusively(partial: Path, target: Path) -> None:
    """Rename a file; raises AttributeError if the system has no such call."""
    if sys.platform == "win32":
        partial.rename(target)  # fails by itself if the target exists
        return
    library = ctypes.CDLL(None, use_errno=True)
    old = os.fsencode(partial)
    new = os.fsencode(target)
    if sys.platform == "darwin":
        result = library.renamex_np(old, new, _EXCLUSIVE)
    else:
        result = library.renameat2(_CURRENT_FOLDER, old, _CURRENT_FOLDER, new, _NO_REPLACE)
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(partial), None, str(target))


def _claim_and_replace(partial: Path, target: Path) -> None:
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink()
        raise
