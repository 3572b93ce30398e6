"""What a `Store` stands on: local files, S3, or any other file system of fsspec.

All take keys that `Store` has checked, move whole objects, and never expand a pattern: a key may hold `*`, `?` or
brackets. They differ in what makes a write whole and a creation exclusive: a rename and a hard link here, a single PUT
and its `If-None-Match` there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

_Outcome = TypeVar("_Outcome")
_KINDS = {
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
}  # not those that a machine's own list has: what is written is the same everywhere


@dataclass(frozen=True)
class Found:
    """One object as a listing shows it.

    Attributes:
        key: Below the store.
        size: Bytes.
        etag: None where the backend has none.
        changed_ns: Nanoseconds since 1970; None where the backend does not say.
    """

    key: str
    size: int
    etag: str | None
    changed_ns: int | None


class Backend(Protocol):
    """One folder of objects; a prefix is a folder below it, empty for all of it."""

    def below(self, folder: str) -> Backend:
        """Return the same of a folder below this one."""
        ...

    def walk(self, prefix: str) -> Iterable[Found]:
        """List everything below `prefix`, in any order; nothing where there is no such folder."""
        ...

    def list_leftovers(self, folders: Iterable[str] | None = None) -> Iterable[Found]:
        """List the hidden files of writes that were cut off or are under way, in any order.

        Args:
            folders: Those to look into, and not below them; None for all there are.

        Returns:
            Nothing where a write leaves none. `changed_ns` is 0 where the process that wrote is known to be gone.
        """
        ...

    def list_folders(self, prefix: str) -> Iterable[str]:
        """List the names of the folders one level below `prefix`, in any order."""
        ...

    def exists(self, key: str) -> bool:
        """Say whether there is an object of that name; a folder is none."""
        ...

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """Read several objects at once; an error takes the place of the bytes."""
        ...

    def hash_many(self, keys: Sequence[str]) -> dict[str, str | Exception]:
        """Return the SHA-256, hex, of several objects; an error takes the place of one.

        However large they are, little of them is in memory.
        """
        ...

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """Write several objects at once, each whole or not at all."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write an object where there is none; False, and nothing changed, where there is one."""
        ...

    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete several objects at once; absent ones are fine."""
        ...

    def delete_versions(self, key: str) -> bool | None:
        """Delete an object with all that a store keeps of older writes to it.

        Returns:
            Whether the store keeps older versions; None where it does not let itself be asked.
        """
        ...


def attempt(read: Callable[[str], _Outcome], key: str) -> _Outcome | Exception:
    """Return what one object gives, or the error that came instead."""
    try:
        return read(key)
    except Exception as error:
        return error


def find_kind(key: str) -> str | None:
    """Return the media type that a browser needs to be told to show an object; None where it shows none such."""
    return _KINDS.get(PurePosixPath(key).suffix.lower())


def nanoseconds(moment: datetime) -> int:
    """Return a time as nanoseconds since 1970."""
    return int(moment.timestamp() * 1e9)
