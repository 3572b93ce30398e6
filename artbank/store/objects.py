"""The store: folders of objects, the same whether on a disk, in memory or behind s3://.

A key is the name of an object below its store, parts joined by `/`; no listing shows those with a part that begins with
a dot. Objects are read and written whole: a reader sees one as it was before or after a write, never between.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from artbank.credentials import has_credentials, redact
from artbank.errors import ConfigError
from artbank.store.backends.backend import Backend, Found
from artbank.store.backends.fsspec import FsspecBackend
from artbank.store.backends.local import LocalBackend
from artbank.store.backends.metered import MeteredBackend
from artbank.store.backends.s3 import S3Backend
from artbank.store.keys import check_key, find_fault, is_hidden, key_error

logger = logging.getLogger(__name__)

_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_SCANNED_AT_ONCE = 10_000
_CREATE_ATTEMPTS = 3


@dataclass(frozen=True)
class StoredObject:
    """One object in a listing of a store.

    Attributes:
        key: Below the store.
        size: Bytes.
        etag: Changes when the content does.
    """

    key: str
    size: int
    etag: str


class Store:
    """A folder of objects.

    May be used by several threads, and be pickled: the copy opens the same URI under its own environment.
    """

    def __init__(self, uri: str, backend: Backend):
        """Use `Store.open` instead, which finds the backend."""
        self.uri = uri
        self._backend: Backend = MeteredBackend(backend)

    @classmethod
    def open(cls, uri: str) -> Store:
        """Open a folder; nothing is read, so it need not be there.

        Args:
            uri: A local path, `s3://bucket/folder`, `memory://folder`, or what else fsspec knows. Endpoint and
                credentials of S3 come from the environment (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on).

        Raises:
            ConfigError: The URI names no folder or holds credentials, or its kind is not known here.
        """
        if has_credentials(uri):
            raise ConfigError(
                f"{redact(uri)} holds credentials; leave them to the environment, such as AWS_ACCESS_KEY_ID"
            )
        protocol, rest = uri.split("://", 1) if _PROTOCOL.match(uri) else ("file", uri)
        if protocol in ("file", "local"):
            return cls._open_local(rest)
        if protocol in ("s3", "s3a"):
            return cls._open_s3(rest)
        return cls._open_other(uri)

    @classmethod
    def _open_local(cls, path: str) -> Store:
        if not path or "\0" in path:
            raise ConfigError(f"expected the path of a folder, found {path!r}; name one, `.` for the current one")
        root = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would replace links
        return cls(str(root), LocalBackend(root))

    @classmethod
    def _open_s3(cls, path: str) -> Store:
        bucket, _, prefix = path.strip("/").partition("/")
        if not bucket:
            raise ConfigError("expected s3://bucket/folder, found no bucket; name one")
        if prefix:
            check_key(prefix)
        endpoint_url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return cls(f"s3://{bucket}/{prefix}".rstrip("/"), S3Backend(bucket, prefix, endpoint_url))

    @classmethod
    def _open_other(cls, uri: str) -> Store:
        import fsspec

        if "::" in uri:
            raise ConfigError(f"expected a single location, found the chain {uri}; unpack it first")
        try:
            fs, path = fsspec.url_to_fs(uri, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"expected a path, s3:// or what fsspec knows, found {uri}: {error}") from error
        protocol, _, rest = uri.partition("://")
        return cls(f"{protocol}://{rest.rstrip('/')}", FsspecBackend(fs, path))

    def child(self, *parts: str) -> Store:
        """Open a folder below this one.

        Raises:
            ConfigError: A part would lead elsewhere.
        """
        folder = "/".join(parts)
        return Store(self.uri_of(folder), self._backend.below(folder)) if parts else self

    def uri_of(self, key: str) -> str:
        """Return the URI of an object, or of a folder, below this one.

        Raises:
            ConfigError: The key is none; see `check_key`.
        """
        separator = "" if self.uri.endswith("/") else "/"
        return f"{self.uri}{separator}{check_key(key)}"

    def list(self, prefix: str = "", *, hash_content: bool = False) -> list[StoredObject]:
        """List all objects below a folder, at any depth, by key; see `scan`."""
        return sorted(self.scan(prefix, hash_content=hash_content), key=lambda stored: stored.key)

    def scan(self, prefix: str = "", *, hash_content: bool = False) -> Iterator[StoredObject]:
        """Go through all objects below a folder, at any depth, in any order; through nothing where there is no folder.

        Hidden ones, links of a local folder, and names that are no keys are left out; the latter two with a warning.
        However many there are, a few thousand are in memory.

        Args:
            prefix: The folder, below this store; all of it by default. The keys start with it.
            hash_content: Where the backend has no ETag, take the SHA-256 of the content, which means to read all of
                it. Otherwise such an object's etag is its size and the time of its last change.

        Raises:
            ConfigError: The prefix would lead elsewhere.
            FileNotFoundError: There is not even the bucket.
        """
        odd: list[str] = []
        found = iter(self._backend.walk(_folder(prefix)))
        while batch := list(islice(found, _SCANNED_AT_ONCE)):
            shown = [item for item in batch if not is_hidden(item.key)]
            fit = [item for item in shown if find_fault(item.key) is None]
            odd += [item.key for item in shown if find_fault(item.key) is not None]
            hashed = self._hashes(i for i in fit if i.etag is None and (hash_content or i.changed_ns is None))
            known = {item.key: item.etag or f"{item.size}-{item.changed_ns}" for item in fit} | hashed
            for item in fit:
                if (etag := known[item.key]) is not None:
                    yield StoredObject(item.key, item.size, etag)
        if odd:
            logger.warning("%s: left out %d names such as %r; rename them", self.uri, len(odd), odd[0])

    def list_leftovers(self, *, older_than_seconds: float) -> list[str]:
        """List the hidden files that writes which were cut off have left behind, as `delete_many` takes them.

        Args:
            older_than_seconds: Younger ones are left out, as they may belong to a write that is under way, unless
                their process is known to be gone.
        """
        newest = (time.time() - older_than_seconds) * 1e9
        found = ((item.key, item.changed_ns) for item in self._backend.list_leftovers())
        return sorted(key for key, changed_ns in found if changed_ns is not None and changed_ns < newest)

    def delete_leftovers(self, folders: Iterable[str]) -> None:
        """Delete the hidden files that writes of processes which are gone have left in some folders, not below them."""
        self.delete_many([item.key for item in self._backend.list_leftovers(folders) if item.changed_ns == 0])

    def list_folders(self, prefix: str = "") -> list[str]:
        """List the names of the folders one level below a folder, sorted, hidden ones left out.

        Raises:
            ConfigError: The prefix would lead elsewhere.
            FileNotFoundError: There is not even the bucket.
        """
        names = self._backend.list_folders(_folder(prefix))
        return sorted(name for name in names if not is_hidden(name) and find_fault(name) is None)

    def exists(self, key: str) -> bool:
        """Say whether there is an object under `key`; a folder is none.

        Raises:
            ConfigError: The key is none; see `check_key`.
        """
        return self._backend.exists(check_key(key))

    def read(self, key: str) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: There is none.
            ConfigError: The key is none; see `check_key`.
        """
        [outcome] = self._backend.read_many([check_key(key)]).values()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """Read several objects at once; an error, as `read` has it, takes the place of the bytes."""
        fit = [key for key in dict.fromkeys(keys) if find_fault(key) is None]
        outcomes = self._backend.read_many(fit) if fit else {}
        return {key: outcomes[key] if key in outcomes else key_error(key) for key in keys}

    def write(self, key: str, data: bytes) -> None:
        """Write an object, over one that may be there.

        Raises:
            ConfigError: The key is none; see `check_key`.
        """
        self._backend.write_many({check_key(key): data})

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """Write several objects at once; after an error some of them may be written.

        Raises:
            ConfigError: A key is none; see `check_key`. Nothing is written.
        """
        if objects:
            self._backend.write_many({check_key(key): data for key, data in objects.items()})

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one with other bytes; of several who try at once, exactly one has its way.

        Returns:
            True if the object is there with these bytes, whoever wrote it; False if it has others.

        Raises:
            ConfigError: The key is none; see `check_key`.
            FileExistsError: Something has the name that can be neither replaced nor read.
        """
        for _ in range(_CREATE_ATTEMPTS):
            if self._backend.create(check_key(key), data):
                return True
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                return self.read(key) == data
        raise FileExistsError(errno.EEXIST, "expected an object or none, found what cannot be read", self.uri_of(key))

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete several objects at once; absent ones are fine.

        Raises:
            ConfigError: A key is none; see `check_key`. Nothing is deleted.
        """
        self._backend.delete_many([check_key(key) for key in dict.fromkeys(keys)])

    def delete_versions(self, key: str) -> bool | None:
        """Delete an object with its older versions; tells whether the store keeps such, None if it does not say."""
        return self._backend.delete_versions(check_key(key))

    def _hashes(self, found: Iterable[Found]) -> dict[str, str | None]:
        hashes: dict[str, str | None] = {}
        for key, outcome in self._backend.hash_many([item.key for item in found]).items():
            if isinstance(outcome, Exception) and not isinstance(outcome, FileNotFoundError):
                raise outcome
            hashes[key] = outcome if isinstance(outcome, str) else None
        return hashes

    def __reduce__(self) -> tuple[object, ...]:
        return Store.open, (self.uri,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and other.uri == self.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"


def _folder(prefix: str) -> str:
    return check_key(prefix.removesuffix("/")) if prefix else ""
