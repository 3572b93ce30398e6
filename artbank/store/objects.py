"""The store: folders of objects, on a disk, in memory or in a bucket, behind one interface.

A key is the name of an object below its store: parts joined by `/`. Listings leave out keys with a part that starts
with a dot. Objects are read and written whole: a reader sees an object as it was before or after a write, never a mix.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from more_itertools import chunked

from artbank.runtime.telemetry import count_objects, counting_objects
from artbank.store.backends.backend import Backend, ContentHash, ListedObject
from artbank.store.backends.by_uri import open_backend
from artbank.store.bounded_file import MOST_BYTES, BoundedFile
from artbank.store.delivered import require
from artbank.store.etags import StoredObject, list_unhashed, with_etags
from artbank.store.keys import check_key, find_fault, is_hidden, key_error
from artbank.store.skipped import SkippedFiles
from artbank.store.transient_errors import WrongSizeError, concerns_one_object

logger = logging.getLogger(__name__)

_SCAN_CHUNK = 10_000
_CREATE_ATTEMPTS = 3


class Store:
    """A folder of objects.

    Safe for use by several threads. A pickled store opens the same URI with the environment of the process that
    unpickles it. Each method counts the objects that it asks the backend for; see `runtime.telemetry`.
    """

    def __init__(self, uri: str, backend: Backend, *, is_durable: bool = True):
        """Use `Store.open` instead, which picks the backend."""
        self.uri = uri
        self._backend = backend
        self._is_durable = is_durable

    @classmethod
    def open(cls, uri: str, *, is_durable: bool = True) -> Store:
        """Open a folder; reads nothing, so the folder need not exist.

        Args:
            uri: A local path, `s3://bucket/folder`, `memory://folder`, or any other URI that fsspec knows. Endpoint
                and credentials of S3 come from the environment (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on).
            is_durable: On a local file system, flush each object to the disk before a write returns, so that objects
                survive a power cut in the order in which they were written. Other stores decide that themselves.

        Raises:
            ConfigError: The URI names no folder, holds credentials, or has an unknown protocol.
        """
        return cls(*open_backend(uri, is_durable=is_durable), is_durable=is_durable)

    def child(self, *parts: str) -> Store:
        """Open a folder below this one.

        Raises:
            ConfigError: A part would leave this folder.
        """
        if not parts:
            return self
        folder = "/".join(parts)
        return Store(self.uri_of(folder), self._backend.child(folder), is_durable=self._is_durable)

    def uri_of(self, key: str) -> str:
        """Return the URI of an object, or of a folder, below this one.

        Raises:
            ConfigError: The key is not valid; see `check_key`.
        """
        separator = "" if self.uri.endswith("/") else "/"
        return f"{self.uri}{separator}{check_key(key)}"

    def list(
        self, prefix: str = "", *, hash_content: bool = False, skipped: SkippedFiles | None = None
    ) -> list[StoredObject]:
        """List all objects below a folder, at any depth, sorted by key; see `scan`."""
        return sorted(self.scan(prefix, hash_content=hash_content, skipped=skipped), key=lambda stored: stored.key)

    def scan(
        self,
        prefix: str = "",
        *,
        hash_content: bool = False,
        with_status_time: bool = False,
        skipped: SkippedFiles | None = None,
    ) -> Iterator[StoredObject]:
        """Yield all objects below a folder, at any depth and in any order; nothing if the folder does not exist.

        Leaves out hidden objects, links in a local folder, and names that are no valid keys. At most 10,000 objects
        are in memory at a time.

        Args:
            prefix: The folder below this store, all of the store by default. The keys start with it.
            hash_content: Where the backend has no ETag, use the SHA-256 of the content as the etag, which reads all of
                it. By default such an etag is made of size and modification time, or of the content where the backend
                has no time.
            with_status_time: Add to a time that any program can set the one that the file system keeps itself.
            skipped: Collects what is left out, and folders and files that may not be read do not end the listing: the
                way to list what others wrote. When None, those are errors, and names and links are warned about.

        Raises:
            ConfigError: The prefix would leave this store.
            FileNotFoundError: The bucket does not exist.
            OSError: The store failed.
        """
        left_out = SkippedFiles() if skipped is None else skipped
        for chunk in chunked(self._walk(_check_prefix(prefix), skipped), _SCAN_CHUNK):
            valid: list[ListedObject] = []
            for item in chunk:
                if find_fault(item.key) is not None:
                    left_out.add("name", item.key or "/")
                elif is_hidden(item.key):
                    left_out.add("hidden", item.key)
                else:
                    valid.append(item)
            hashes = self._hash_many(list_unhashed(valid, hash_content=hash_content), may_fail=skipped is not None)
            yield from with_etags(valid, hashes, with_status_time=with_status_time)
        if skipped is None:
            for kind in left_out.kinds():
                if kind.kind == "name":
                    logger.warning(
                        "%s: left out %s, such as %s; give it another name", self.uri, kind.count_text, kind.names[0]
                    )

    def has_objects(self) -> bool:
        """Return whether anything but hidden objects is here, also if it may not be read; False if there is no bucket.

        Raises:
            NotADirectoryError: A file has the name of this folder.
            OSError: The store failed.
        """
        left_out = SkippedFiles()
        try:
            is_there = any(not is_hidden(item.key) for item in self._walk("", left_out))
        except FileNotFoundError:
            return False
        return is_there or any(kind.kind != "hidden" for kind in left_out.kinds())

    def contains(self, other: Store) -> bool:
        """Return whether another folder is this one or lies in it, however the two are spelled; links are followed."""
        return self._backend.contains(other._backend)

    def list_leftovers(self, *, older_than_seconds: float) -> list[str]:
        """List the hidden files that interrupted writes have left behind, for `delete_many`.

        Args:
            older_than_seconds: Leave out younger files, which may belong to a write in progress, unless their process
                is known to be dead.
        """
        newest_ns = (time.time() - older_than_seconds) * 1e9
        leftovers = [(item.key, item.changed_ns) for item in self._backend.list_leftovers()]
        return sorted(key for key, changed_ns in leftovers if changed_ns is not None and changed_ns < newest_ns)

    def delete_leftovers(self, folders: Iterable[str]) -> None:
        """Delete the hidden files that writes of dead processes have left directly in some folders."""
        self.delete_many([item.key for item in self._backend.list_leftovers(folders) if item.changed_ns == 0])

    def list_folders(self, prefix: str = "", *, skipped: SkippedFiles | None = None) -> list[str]:
        """List the names of the folders one level below a folder, sorted, without hidden ones.

        Args:
            prefix: The folder below this store, all of the store by default.
            skipped: Collects the folders that are left out, each as one.

        Raises:
            ConfigError: The prefix would leave this store.
            FileNotFoundError: The bucket does not exist.
        """
        folder = _check_prefix(prefix)
        with counting_objects("list"):
            names = list(self._backend.list_folders(folder))
        valid = [name for name in names if find_fault(name) is None and not is_hidden(name)]
        for name in set(names).difference(valid) if skipped is not None else ():
            skipped.add("hidden" if find_fault(name) is None else "name", f"{folder}/{name}".removeprefix("/"))
        return sorted(valid)

    def list_files(self, prefix: str = "") -> list[StoredObject]:
        """List the objects directly in a folder, sorted by key, without those below its folders; see `scan`."""
        folder = _check_prefix(prefix)
        with counting_objects("list"):
            listed = list(self._backend.list_files(folder))
        valid = [item for item in listed if find_fault(item.key) is None and not is_hidden(item.key)]
        hashes = self._hash_many(list_unhashed(valid, hash_content=False), may_fail=False)
        return sorted(with_etags(valid, hashes, with_status_time=False), key=lambda stored: stored.key)

    def exists(self, key: str) -> bool:
        """Return whether there is an object under `key`; False for a folder.

        Raises:
            ConfigError: The key is not valid; see `check_key`.
        """
        check_key(key)
        with counting_objects("exists"):
            return self._backend.exists(key)

    def read(self, key: str) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: There is no such object.
            ConfigError: The key is not valid; see `check_key`.
        """
        return require(self._read_many([check_key(key)])[key])

    def read_small(self, key: str, most_bytes: int = MOST_BYTES) -> bytes:
        """Read an object that others may have written and that should be small; no more of it comes into memory.

        Args:
            key: The object.
            most_bytes: The most bytes that it may have.

        Raises:
            OversizeError: It has more; a ValueError.
            FileNotFoundError: There is no such object.
            ConfigError: The key is not valid; see `check_key`.
            OSError: The store failed.
        """
        file = BoundedFile(self.uri_of(key), most_bytes)
        try:
            self._backend.copy(key, file)
        except Exception as error:
            count_objects("read", 1, num_errors=int(not isinstance(error, FileNotFoundError)))
            raise
        count_objects("read", 1, num_errors=0)
        return file.getvalue()

    def download(self, stored: StoredObject, path: Path) -> None:
        """Copy a listed object to a file on this machine, in pieces: it never lies in memory as a whole.

        Args:
            stored: The object as it was listed.
            path: The file, which is replaced if it exists; its folder must exist.

        Raises:
            FileNotFoundError: There is no such object.
            WrongSizeError: It has another size than was listed.
            OSError: The store or the disk failed.
        """
        key = check_key(stored.key)
        with counting_objects("read"), path.open("wb") as file:
            size = self._backend.copy(key, file)
        if size != stored.size:
            raise _wrong_size(self.uri_of(key), stored.size, size)

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """Read several objects at once; where `read` would raise an error, the error takes the place of the bytes."""
        valid = [key for key in dict.fromkeys(keys) if find_fault(key) is None]
        results = self._read_many(valid) if valid else {}
        return {key: results[key] if key in results else key_error(key) for key in keys}

    def read_listed(self, sizes: Mapping[str, int]) -> dict[str, bytes | Exception]:
        """Read several objects as `read_many` does, and check that each has the size that a listing told, in bytes.

        Objects that are absent or have another size are read a second time. If one still has another size, a
        `WrongSizeError` takes the place of its bytes.
        """
        contents = self.read_many(list(sizes))
        doubtful = [key for key, data in contents.items() if _contradicts(data, sizes[key])]
        if doubtful:
            contents |= self.read_many(doubtful)
        for key in doubtful:
            data = contents[key]
            if isinstance(data, bytes) and len(data) != sizes[key]:
                contents[key] = _wrong_size(self.uri_of(key), sizes[key], len(data))
        return contents

    def hash_many(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Return the SHA-256, hex, of several objects; None for those that do not exist.

        Raises:
            ConfigError: A key is not valid; see `check_key`.
            OSError: The store failed.
        """
        results = self._hash_many([check_key(key) for key in dict.fromkeys(keys)], may_fail=False)
        return {key: result.sha256 if isinstance(result, ContentHash) else None for key, result in results.items()}

    def write(self, key: str, data: bytes) -> None:
        """Write an object; replaces an existing one.

        Raises:
            ConfigError: The key is not valid; see `check_key`.
        """
        self.write_many({key: data})

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """Write several objects at once; after an error some of them may be written.

        Raises:
            ConfigError: A key is not valid; see `check_key`. Nothing is written.
        """
        for key in objects:
            check_key(key)
        if objects:
            with counting_objects("write", len(objects)):
                self._backend.write_many(objects)

    def abandon_reads(self) -> None:
        """End the reads that other threads have begun, for a process that is asked to stop while a store is slow.

        Each raises an `OSError`. Reads of folders on this machine go on, and reads that begin later are not affected.
        """
        self._backend.abandon_reads()

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one with other bytes; of several concurrent calls exactly one writes.

        Returns:
            True if the object now has these bytes, whoever wrote it; False if it has others.

        Raises:
            ConfigError: The key is not valid; see `check_key`.
            FileExistsError: Something has this name that can be neither replaced nor read.
        """
        check_key(key)
        for _ in range(_CREATE_ATTEMPTS):
            with counting_objects("create"):
                is_created = self._backend.create(key, data)
            if is_created:
                return True
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile: try again
                return self.read(key) == data
        message = "expected an object or none, found something that cannot be read"
        raise FileExistsError(errno.EEXIST, message, self.uri_of(key))

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete several objects at once; objects that do not exist are ignored.

        Raises:
            ConfigError: A key is not valid; see `check_key`. Nothing is deleted.
        """
        unique = [check_key(key) for key in dict.fromkeys(keys)]
        with counting_objects("delete", len(unique)):
            self._backend.delete_many(unique)

    def delete_versions(self, key: str) -> bool | None:
        """Delete an object and all its older versions.

        Returns:
            Whether the store keeps older versions; None if it does not say.
        """
        check_key(key)
        with counting_objects("delete"):
            return self._backend.delete_versions(key)

    def _walk(self, prefix: str, skipped: SkippedFiles | None) -> Iterator[ListedObject]:
        with counting_objects("list"):
            yield from self._backend.walk(prefix, skipped)

    def _hash_many(self, keys: Sequence[str], *, may_fail: bool) -> dict[str, ContentHash | Exception]:
        """Hash objects; where it `may_fail`, an object that may not be read yields its error."""
        with counting_objects("read", len(keys)):
            results = self._backend.hash_many(keys)
        for result in results.values():
            is_passed_on = isinstance(result, FileNotFoundError) or (may_fail and concerns_one_object(result))
            if isinstance(result, Exception) and not is_passed_on:
                raise result
        return results

    def _read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        results = self._backend.read_many(keys)
        errors = [result for result in results.values() if isinstance(result, Exception)]
        num_errors = sum(not isinstance(error, FileNotFoundError) for error in errors)
        count_objects("read", len(keys), num_errors=num_errors)
        return results

    def __reduce__(self) -> tuple[object, ...]:
        return partial(Store.open, is_durable=self._is_durable), (self.uri,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and other.uri == self.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"


def _contradicts(data: bytes | Exception, size: int) -> bool:
    """Return whether the answer to a read contradicts a listing that has the object with this size."""
    return isinstance(data, FileNotFoundError) or (isinstance(data, bytes) and len(data) != size)


def _wrong_size(uri: str, listed: int, delivered: int) -> WrongSizeError:
    return WrongSizeError(errno.EIO, f"{listed:,} bytes are listed, {delivered:,} were delivered", uri)


def _check_prefix(prefix: str) -> str:
    return check_key(prefix.removesuffix("/")) if prefix else ""
