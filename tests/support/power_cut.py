"""A local disk after a power cut: the files and names that were flushed before it, and perhaps others."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest


class Disk:
    """Follows the flushes below a folder. What was never flushed may be gone, or torn, after a power cut.

    Attributes:
        num_flushes: Flushes of files and folders so far.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch):
        """Follow the flushes until `patch` is undone."""
        self.num_flushes = 0
        self._root = root
        self._contents: set[int] = set()  # inodes
        self._names: dict[Path, int] = {}
        self._fsync = os.fsync
        patch.setattr(os, "fsync", self._flush)

    def survives(self, path: Path) -> bool:
        """Return whether a file, with its content of now, is there after a power cut."""
        inode = path.stat().st_ino
        ways = [one for one in path.parents if self._root in one.parents]
        return inode in self._contents and all(self._names.get(one) == one.stat().st_ino for one in (path, *ways))

    def watch(self, patch: pytest.MonkeyPatch, check: Callable[[Path, bytes], None]) -> None:
        """Call `check` with path and content of each file right before the file gets its name."""
        replace, link = Path.replace, Path.hardlink_to

        def check_and_replace(self: Path, target: Path) -> Path:
            check(Path(target), self.read_bytes())
            return replace(self, target)

        def check_and_link(self: Path, target: Path) -> None:
            check(self, Path(target).read_bytes())
            link(self, target)

        patch.setattr(Path, "replace", check_and_replace)
        patch.setattr(Path, "hardlink_to", check_and_link)

    def _flush(self, opened: int) -> None:
        self._fsync(opened)
        self.num_flushes += 1
        status = os.fstat(opened)
        if not stat.S_ISDIR(status.st_mode):
            self._contents.add(status.st_ino)
            return
        folder = Path(f"/proc/self/fd/{opened}").readlink()
        if folder == self._root or self._root in folder.parents:
            self._names |= {Path(entry.path): entry.inode() for entry in os.scandir(folder)}
