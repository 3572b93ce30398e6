"""Objects of any other file system of fsspec, such as `memory://`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, TypeVar

from artbank.store.backends.backend import (
    Backend,
    ContentHash,
    ListedObject,
    copy_file,
    hash_file,
    to_nanoseconds,
    try_read,
)
from artbank.store.backends.web_addresses import find_failure
from artbank.store.skipped import SkippedFiles
from artbank.store.transient_errors import concerns_one_object

_CREATE_LOCK = threading.Lock()
_T = TypeVar("_T")
_TIME_FIELDS = ("mtime", "LastModified", "last_modified", "updated", "created")


class FsspecBackend:
    """Objects below one path of a file system, one after the other.

    The file system decides whether a write is atomic, and whether a creation is exclusive between processes.
    """

    def __init__(self, fs: Any, root: str):
        """Take a file system, and the path of the folder in its own notation."""
        self._fs = fs
        self._root = root.rstrip("/")

    def child(self, folder: str) -> FsspecBackend:
        """See `Backend.child`."""
        return FsspecBackend(self._fs, self._path(folder))

    def contains(self, other: Backend) -> bool:
        """See `Backend.contains`."""
        is_same_system = isinstance(other, FsspecBackend) and self._fs == other._fs
        return is_same_system and f"{other._root}/".startswith(f"{self._root}/")

    def walk(self, prefix: str, skipped: SkippedFiles | None = None) -> Iterator[ListedObject]:
        """See `Backend.walk`."""
        folder = self._path(prefix)
        for path, info in self._find(folder, skipped):
            if path.startswith(f"{folder}/"):
                yield self._to_listed(path, info)

    def list_leftovers(self, folders: Iterable[str] | None = None) -> tuple[ListedObject, ...]:
        """See `Backend.list_leftovers`."""
        return ()

    def list_folders(self, prefix: str) -> list[str]:
        """See `Backend.list_folders`."""
        entries = self._list(prefix)
        return [entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory"]

    def list_files(self, prefix: str) -> list[ListedObject]:
        """See `Backend.list_files`."""
        entries = self._list(prefix)
        return [self._to_listed(entry["name"], entry) for entry in entries if entry["type"] == "file"]

    def exists(self, key: str) -> bool:
        """See `Backend.exists`."""
        try:  # not `isfile`, which takes every error for an answer
            return self._fs.info(self._path(key))["type"] == "file"
        except FileNotFoundError as error:
            if failure := find_failure(self._fs, error):
                raise failure from error
            return False

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """See `Backend.read_many`."""
        return {key: try_read(self._read, key) for key in keys}

    def copy(self, key: str, target: BinaryIO) -> int:
        """See `Backend.copy`."""
        with self._fs.open(self._path(key), "rb") as file:
            return copy_file(file, target)

    def abandon_reads(self) -> None:
        """See `Backend.abandon_reads`; does nothing."""

    def hash_many(self, keys: Sequence[str]) -> dict[str, ContentHash | Exception]:
        """See `Backend.hash_many`."""
        return {key: try_read(self._hash, key) for key in keys}

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """See `Backend.write_many`."""
        for key, data in objects.items():
            self._fs.pipe_file(self._path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """See `Backend.create`."""
        with _CREATE_LOCK:  # memory:// checks and writes in two steps
            try:
                self._fs.pipe_file(self._path(key), data, mode="create")
            except FileExistsError:
                return False
        return True

    def delete_many(self, keys: Sequence[str]) -> None:
        """See `Backend.delete_many`."""
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path(key))

    def delete_versions(self, key: str) -> bool:
        """See `Backend.delete_versions`; no older versions are kept."""
        self.delete_many([key])
        return False

    def _read(self, key: str) -> bytes:
        return self._fs.cat_file(self._path(key))

    def _list(self, prefix: str) -> list[dict[str, Any]]:
        try:
            return _while_others_write(lambda: self._fs.ls(self._path(prefix), detail=True))
        except FileNotFoundError:
            return []

    def _find(self, folder: str, skipped: SkippedFiles | None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the path of each file below a folder, and what the file system lists of it.

        The `find` that most file systems inherit leaves out folders that it cannot list, without a word; those that
        have one of their own list all keys at once.
        """
        from fsspec import AbstractFileSystem

        if type(self._fs).find is not AbstractFileSystem.find:
            yield from _while_others_write(lambda: self._fs.find(folder, detail=True)).items()
            return
        pending = [folder]
        while pending:
            current = pending.pop()
            try:
                entries = self._fs.ls(current, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                if skipped is None or current == self._root or not concerns_one_object(error):
                    raise
                skipped.add("unreadable", current[len(self._root) + 1 :])
                continue
            for entry in entries:
                path = entry["name"].rstrip("/")
                if entry["type"] != "directory":
                    yield path, entry
                elif path != current:
                    pending.append(path)

    def _hash(self, key: str) -> ContentHash:
        with self._fs.open(self._path(key), "rb") as file:
            return hash_file(file)

    def _to_listed(self, path: str, info: Mapping[str, Any]) -> ListedObject:
        etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
        return ListedObject(path[len(self._root) + 1 :], info.get("size"), etag or None, _changed_ns(info))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root


def _while_others_write(list_files: Callable[[], _T]) -> _T:
    """Call a function that lists files, again if another thread wrote a file meanwhile.

    Only `memory://` needs this: it keeps its files in a dictionary, which must not change while it is listed.
    """
    while True:
        try:
            return list_files()
        except RuntimeError as error:
            if "changed size during iteration" not in str(error):
                raise


def _changed_ns(info: Mapping[str, Any]) -> int | None:
    for name in _TIME_FIELDS:
        value = info.get(name)
        if isinstance(value, datetime):
            return to_nanoseconds(value)
        if isinstance(value, int | float):
            return int(value * 1e9)
    return None
