"""Objects as local files."""

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
from artbank.store.backends.backend import ListedObject, try_read

logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_T = TypeVar("_T")
_NUM_THREADS = 16
# The hidden file of a write: 16 random digits, then host and process of the writer.
_PARTIAL = re.compile(r"\.[0-9a-f]{16}([0-9a-f]{8})([0-9a-f]{8})\.tmp")


@dataclass(frozen=True)
class LocalBackend:
    """Files below one folder.

    Listings leave out links, which may lead out of the folder or in circles. A write first goes to a hidden file beside
    its target; if the process is killed meanwhile, that file stays behind, unlisted. Creation needs a file system with
    hard links.
    """

    root: Path

    def child(self, folder: str) -> LocalBackend:
        """See `Backend.child`."""
        return LocalBackend(self.root / folder)

    def walk(self, prefix: str) -> Iterator[ListedObject]:
        """See `Backend.walk`."""
        for key, entry in self._entries(prefix):
            if (found := _to_listed(key, entry)) is not None:
                yield found

    def list_leftovers(self, folders: Iterable[str] | None = None) -> Iterator[ListedObject]:
        """See `Backend.list_leftovers`."""
        entries = self._entries("", with_partial=True) if folders is None else self._entries_directly_in(folders)
        for key, entry in entries:
            match = _PARTIAL.fullmatch(entry.name)
            if match is None or (found := _to_listed(key, entry)) is None:
                continue
            host = match[1]
            process = int(match[2], 16)
            yield replace(found, changed_ns=0) if is_dead(host, process) else found

    def list_folders(self, prefix: str) -> list[str]:
        """See `Backend.list_folders`; includes empty folders."""
        return [entry.name for entry in self._scan(prefix) if entry.is_dir(follow_symlinks=False)]

    def list_files(self, prefix: str) -> Iterator[ListedObject]:
        """See `Backend.list_files`."""
        for entry in self._scan(prefix):
            if (found := _to_listed(f"{prefix}/{entry.name}".lstrip("/"), entry)) is not None:
                yield found

    def exists(self, key: str) -> bool:
        """See `Backend.exists`."""
        return (self.root / key).is_file()

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """See `Backend.read_many`."""
        return dict(zip(keys, _in_threads(lambda key: try_read(self._read, key), keys), strict=True))

    def hash_many(self, keys: Sequence[str]) -> dict[str, str | Exception]:
        """See `Backend.hash_many`."""
        return dict(zip(keys, _in_threads(lambda key: try_read(self._hash, key), keys), strict=True))

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """See `Backend.write_many`."""
        list(_in_threads(lambda item: self._write(*item), objects.items()))

    def create(self, key: str, data: bytes) -> bool:
        """See `Backend.create`."""
        with self._partial_file(key, data) as partial:
            try:
                (self.root / key).hardlink_to(partial)
            except FileExistsError:
                return False
        return True

    def delete_many(self, keys: Sequence[str]) -> None:
        """See `Backend.delete_many`; leaves empty folders behind."""
        list(_in_threads(self._delete, keys))

    def delete_versions(self, key: str) -> bool:
        """See `Backend.delete_versions`; no older versions are kept."""
        self.delete_many([key])
        return False

    def _entries(self, prefix: str, *, with_partial: bool = False) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield all files below a folder with their keys."""
        pending = [prefix]
        while pending:
            folder = pending.pop()
            for entry in self._scan(folder, with_partial=with_partial):
                key = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(key)
                else:
                    yield key, entry

    def _entries_directly_in(self, folders: Iterable[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
        for folder in folders:
            for entry in self._scan(folder, with_partial=True):
                yield f"{folder}/{entry.name}".lstrip("/"), entry

    def _scan(self, folder: str, *, with_partial: bool = False) -> list[os.DirEntry[str]]:
        """List a folder without hidden entries; on request with the partial files of writes."""

        def is_wanted(entry: os.DirEntry[str]) -> bool:
            if not entry.name.startswith("."):
                return True
            return with_partial and _PARTIAL.fullmatch(entry.name) is not None

        try:
            with os.scandir(self.root / folder) as entries:
                wanted = [entry for entry in entries if is_wanted(entry)]
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            if not folder:
                raise  # the store itself is a file: an error that the user must see
            return []
        links = [entry.path for entry in wanted if entry.is_symlink()]
        if links:
            logger.warning("left out %d links such as %s; replace them by their targets", len(links), links[0])
        return wanted

    def _hash(self, key: str) -> str:
        with self._open(key) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _read(self, key: str) -> bytes:
        with self._open(key) as file:
            return file.read()

    @contextlib.contextmanager
    def _open(self, key: str) -> Iterator[BufferedReader]:
        try:
            with (self.root / key).open("rb") as file:
                yield file
        except NotADirectoryError as error:
            message = "a file has the name of one of its folders"
            raise FileNotFoundError(error.errno, message, str(self.root / key)) from error

    def _write(self, key: str, data: bytes) -> None:
        with self._partial_file(key, data) as partial:
            partial.replace(self.root / key)

    def _delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            (self.root / key).unlink()

    @contextlib.contextmanager
    def _partial_file(self, key: str, data: bytes) -> Iterator[Path]:
        """Write data to a hidden file beside its target; deletes the file if it is still there at the end."""
        # Not the target's name with an extension: the name may already have the greatest possible length.
        name = f".{uuid.uuid4().hex[:16]}{THIS_HOST}{os.getpid():08x}.tmp"
        partial = (self.root / key).with_name(name)
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


def _to_listed(key: str, entry: os.DirEntry[str]) -> ListedObject | None:
    """Return a directory entry as an object; None for sockets, pipes, devices, and for files deleted meanwhile."""
    try:
        if not entry.is_file(follow_symlinks=False):
            return None
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return ListedObject(key, status.st_size, None, status.st_mtime_ns)


def _in_threads(work: Callable[[_Item], _T], items: Iterable[_Item]) -> Iterator[_T]:
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        yield from pool.map(work, items)
