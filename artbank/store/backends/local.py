"""Objects as files of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

from artbank.runtime.processes import THIS_HOST, is_dead
from artbank.store.backends.backend import Found, attempt

logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")
_NUM_THREADS = 16
_PARTIAL = re.compile(
    r"\.[0-9a-f]{16}([0-9a-f]{8})([0-9a-f]{8})\.tmp"
)  # what `_beside` writes to: by chance, host, process


@dataclass(frozen=True)
class LocalBackend:
    """Files below one folder.

    Links are listed neither as objects nor as folders: they may lead out of the folder, or in circles. A write goes to
    a hidden file beside its place first; that one stays behind, unlisted, if the process is killed meanwhile. Creation
    needs a file system with hard links.
    """

    root: Path

    def below(self, folder: str) -> LocalBackend:
        """See `Backend.below`."""
        return LocalBackend(self.root / folder)

    def walk(self, prefix: str) -> Iterator[Found]:
        """See `Backend.walk`."""
        for key, entry in self._entries(prefix):
            if (found := _found(key, entry)) is not None:
                yield found

    def list_leftovers(self, folders: Iterable[str] | None = None) -> Iterator[Found]:
        """See `Backend.list_leftovers`."""
        if folders is None:
            entries = self._entries("", partial=True)
        else:
            entries = ((f"{f}/{e.name}".lstrip("/"), e) for f in folders for e in self._scan(f, partial=True))
        for key, entry in entries:
            if (named := _PARTIAL.fullmatch(entry.name)) and (found := _found(key, entry)) is not None:
                yield replace(found, changed_ns=0) if is_dead(named[1], int(named[2], 16)) else found

    def list_folders(self, prefix: str) -> list[str]:
        """See `Backend.list_folders`; a folder counts although nothing is in it."""
        return [entry.name for entry in self._scan(prefix) if entry.is_dir(follow_symlinks=False)]

    def exists(self, key: str) -> bool:
        """See `Backend.exists`."""
        return (self.root / key).is_file()

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """See `Backend.read_many`."""
        return dict(zip(keys, _in_threads(lambda key: attempt(self._read, key), keys), strict=True))

    def hash_many(self, keys: Sequence[str]) -> dict[str, str | Exception]:
        """See `Backend.hash_many`."""
        return dict(zip(keys, _in_threads(lambda key: attempt(self._hash, key), keys), strict=True))

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """See `Backend.write_many`."""
        list(_in_threads(lambda item: self._write(*item), objects.items()))

    def create(self, key: str, data: bytes) -> bool:
        """See `Backend.create`."""
        with self._beside(key, data) as partial:
            try:
                (self.root / key).hardlink_to(partial)
            except FileExistsError:
                return False
        return True

    def delete_many(self, keys: Sequence[str]) -> None:
        """See `Backend.delete_many`; folders that are empty then stay."""
        list(_in_threads(self._delete, keys))

    def delete_versions(self, key: str) -> bool:
        """See `Backend.delete_versions`: nothing older is kept."""
        self.delete_many([key])
        return False

    def _entries(self, prefix: str, *, partial: bool = False) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Go through all files below a folder, with their keys."""
        waiting = [prefix]
        while waiting:
            folder = waiting.pop()
            for entry in self._scan(folder, partial=partial):
                key = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(key)
                else:
                    yield key, entry

    def _scan(self, folder: str, *, partial: bool = False) -> list[os.DirEntry[str]]:
        """List a folder without what is hidden, but for the files of writes under way if these are asked for."""
        try:
            with os.scandir(self.root / folder) as entries:
                seen = [e for e in entries if not e.name.startswith(".") or (partial and _PARTIAL.fullmatch(e.name))]
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            if not folder:
                raise  # the store itself is a file, which somebody should hear of
            return []
        links = [entry.path for entry in seen if entry.is_symlink()]
        if links:
            logger.warning("left out %d links such as %s; put what they lead to in their place", len(links), links[0])
        return seen

    def _hash(self, key: str) -> str:
        with self._opened(key) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _read(self, key: str) -> bytes:
        with self._opened(key) as file:
            return file.read()

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[BufferedReader]:
        try:
            with (self.root / key).open("rb") as file:
                yield file
        except NotADirectoryError as error:
            raise FileNotFoundError(error.errno, "a folder of its name is a file", str(self.root / key)) from error

    def _write(self, key: str, data: bytes) -> None:
        with self._beside(key, data) as partial:
            partial.replace(self.root / key)

    def _delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            (self.root / key).unlink()

    @contextlib.contextmanager
    def _beside(self, key: str, data: bytes) -> Iterator[Path]:
        # Not the object's name with an ending: that one may be as long as names get already.
        partial = (self.root / key).with_name(f".{uuid.uuid4().hex[:16]}{THIS_HOST}{os.getpid():08x}.tmp")
        try:
            try:
                partial.write_bytes(data)
            except FileNotFoundError:
                partial.parent.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(data)
            yield partial
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()


def _found(key: str, entry: os.DirEntry[str]) -> Found | None:
    try:
        if not entry.is_file(follow_symlinks=False):
            return None  # a socket, a pipe, a device
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # deleted since its folder was read
        return None
    return Found(key, status.st_size, None, status.st_mtime_ns)


def _in_threads(work: Callable[[_Item], _Outcome], items: Iterable[_Item]) -> Iterator[_Outcome]:
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        yield from pool.map(work, items)
