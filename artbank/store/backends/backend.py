"""The interface of a backend, on which a `Store` is built: local files, S3, or any other file system of fsspec.

Backends take keys that `Store` has checked, move whole objects, and never expand a pattern: a key may contain `*`, `?`
or brackets. They differ in how a write is atomic and a creation exclusive: local files use a rename and a hard link
(or a rename that replaces nothing), S3 a single PUT and `If-None-Match`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol, TypeVar

from artbank.store.skipped import SkippedFiles

_T = TypeVar("_T")

# Not the machine's own list of media types, so that all machines write the same.
_MEDIA_TYPES = {
    ".avif": "image/avif",
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
_READ_AT_ONCE = 2**20  # bytes


@dataclass(frozen=True)
class ListedObject:
    """One object in a listing.

    Attributes:
        key: Below the store.
        size: Bytes; None if the backend does not list it.
        etag: None if the backend has none.
        changed_ns: Time of the last change, nanoseconds since 1970; None if the backend does not report it.
        status_ns: Time of the last change of content, name, owner or mode, which no program can set; None if there is
            no such time.
    """

    key: str
    size: int | None
    etag: str | None
    changed_ns: int | None
    status_ns: int | None = None


@dataclass(frozen=True)
class ContentHash:
    """The SHA-256, hex, and the size in bytes of an object that was read."""

    sha256: str
    size: int


class Backend(Protocol):
    """One folder of objects. A prefix is a folder below it; an empty prefix is all of it."""

    def child(self, folder: str) -> Backend:
        """Return the backend of a folder below this one."""
        ...

    def contains(self, other: Backend) -> bool:
        """Return whether another folder is this one or lies in it, however the two are spelled."""
        ...

    def walk(self, prefix: str, skipped: SkippedFiles | None = None) -> Iterable[ListedObject]:
        """List all objects below `prefix`, in any order; nothing if there is no such folder.

        Args:
            prefix: A folder.
            skipped: Collects what cannot be listed, and the listing goes on; an error is raised when None. If the
                store itself may not be listed, that is an error in any case.
        """
        ...

    def list_leftovers(self, folders: Iterable[str] | None = None) -> Iterable[ListedObject]:
        """List the hidden files of interrupted or running writes, in any order.

        Args:
            folders: Look only directly in these; None for all folders.

        Returns:
            Nothing if the backend's writes leave no such files. `changed_ns` is 0 if the process that wrote the file is
            known to be dead.
        """
        ...

    def list_folders(self, prefix: str) -> Iterable[str]:
        """List the names of the folders one level below `prefix`, in any order."""
        ...

    def list_files(self, prefix: str) -> Iterable[ListedObject]:
        """List the objects directly in `prefix`, without those in its folders, in any order."""
        ...

    def exists(self, key: str) -> bool:
        """Return whether there is an object of that name; False for a folder."""
        ...

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """Read several objects at once; an object that cannot be read yields its error."""
        ...

    def copy(self, key: str, target: BinaryIO) -> int:
        """Copy an object to an open file in pieces; returns its size in bytes.

        Raises:
            FileNotFoundError: There is no such object.
        """
        ...

    def abandon_reads(self) -> None:
        """End the reads of other threads in this folder with errors, where a read may last long."""
        ...

    def hash_many(self, keys: Sequence[str]) -> dict[str, ContentHash | Exception]:
        """Hash several objects, large ones in pieces; an object that cannot be read yields its error."""
        ...

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """Write several objects at once, each completely or not at all."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none; returns False, and changes nothing, if there is one."""
        ...

    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete several objects at once; objects that do not exist are ignored."""
        ...

    def delete_versions(self, key: str) -> bool | None:
        """Delete an object and all its older versions.

        Returns:
            Whether the store keeps older versions; None if it does not say.
        """
        ...


def try_read(read: Callable[[str], _T], key: str) -> _T | Exception:
    """Return what `read` returns for a key, or the error that it raises."""
    try:
        return read(key)
    except Exception as error:
        return error


def hash_file(file: Any) -> ContentHash:
    """Read a file to its end and hash it; counts the bytes, since not every file knows its size or its position."""
    digest = hashlib.sha256()
    size = 0
    while piece := file.read(_READ_AT_ONCE):
        digest.update(piece)
        size += len(piece)
    return ContentHash(digest.hexdigest(), size)


def copy_file(file: Any, target: BinaryIO) -> int:
    """Read a file to its end and write it to another in pieces; returns the number of bytes."""
    size = 0
    while piece := file.read(_READ_AT_ONCE):
        target.write(piece)
        size += len(piece)
    return size


def media_type(key: str) -> str | None:
    """Return the media type that a browser needs in order to display an object; None for all other kinds."""
    return _MEDIA_TYPES.get(PurePosixPath(key).suffix.lower())


def to_nanoseconds(moment: datetime) -> int:
    """Return a time as nanoseconds since 1970; one without a zone is in UTC, on machines of every zone."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(known.timestamp() * 1e9)
