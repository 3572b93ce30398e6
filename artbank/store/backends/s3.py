"""Objects of an S3 bucket, through s3fs."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from more_itertools import sliced

from artbank.store.backends.backend import (
    Backend,
    ContentHash,
    ListedObject,
    copy_file,
    hash_file,
    media_type,
    to_nanoseconds,
    try_read,
)
from artbank.store.backends.s3_listing import no_listing_error, parse_contents
from artbank.store.skipped import SkippedFiles
from artbank.store.transient_errors import error_code

_NUM_REQUESTS = 32  # in flight; more gain nothing, because the client's own CPU time is the limit
_MAX_PUT = 5 * 2**30  # bytes; the largest object of one PUT
_WRITTEN_WHOLE = 2 * 2**30  # bytes; s3fs writes an object of twice its `chunksize` or more in several requests
_COPIED_AT_ONCE = 8 * 2**20  # bytes of a request; s3fs holds up to three times as much
_MAX_DELETE = 1000  # keys in one delete request
_CONFLICT_CODES = ("ConditionalRequestConflict", "OperationAborted")
_CONFLICT_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6)
_CLIENT_CONFIG = {
    "connect_timeout": 10,
    "read_timeout": 30,  # seconds without a byte; s3fs retries five times on top
    "retries": {"mode": "standard", "total_max_attempts": 3},
    "max_pool_connections": _NUM_REQUESTS,
}


@dataclass(frozen=True)
class S3Backend:
    """The latest versions of the objects below one prefix of a bucket.

    Listings are not cached, so writes of other processes are visible at once. Credentials, region and other settings
    come from the environment at the first call.

    Attributes:
        bucket: Name of the bucket.
        prefix: Without leading and trailing slashes; empty for the whole bucket.
        endpoint_url: None for the endpoint of the client's own settings.
    """

    bucket: str
    prefix: str
    endpoint_url: str | None

    def child(self, folder: str) -> S3Backend:
        """See `Backend.child`."""
        return replace(self, prefix=self._object_key(folder))

    def contains(self, other: Backend) -> bool:
        """See `Backend.contains`."""
        if not isinstance(other, S3Backend) or (self.bucket, self.endpoint_url) != (other.bucket, other.endpoint_url):
            return False
        return not self.prefix or f"{other.prefix}/".startswith(f"{self.prefix}/")

    def walk(self, prefix: str, skipped: SkippedFiles | None = None) -> Iterator[ListedObject]:
        """See `Backend.walk`; a bucket lists all its keys or none.

        Raises:
            FileNotFoundError: The bucket does not exist.
        """
        yield from self._objects(prefix)

    def list_leftovers(self, folders: Iterable[str] | None = None) -> tuple[ListedObject, ...]:
        """See `Backend.list_leftovers`; an interrupted PUT leaves nothing.

        Objects of `_WRITTEN_WHOLE` bytes and more are written in several requests. An interruption of these leaves an
        unfinished multipart upload, which a lifecycle rule of the bucket deletes.
        """
        return ()

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See `Backend.list_folders`.

        Raises:
            FileNotFoundError: The bucket does not exist.
        """
        for page in self._pages(prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"].removesuffix("/").rpartition("/")[2]

    def list_files(self, prefix: str) -> Iterator[ListedObject]:
        """See `Backend.list_files`.

        Raises:
            FileNotFoundError: The bucket does not exist.
        """
        yield from self._objects(prefix, Delimiter="/")

    def exists(self, key: str) -> bool:
        """See `Backend.exists`."""
        try:
            self._fs.call_s3("head_object", Bucket=self.bucket, Key=self._object_key(key))
        except FileNotFoundError:
            return False
        return True

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """See `Backend.read_many`."""
        # `cat` would expand patterns. With one connection per object, s3fs does not request its size first.
        paths = [self._path(key) for key in keys]
        results = self._fs.cat_ranges(paths, None, None, batch_size=_NUM_REQUESTS, max_concurrency=1)
        return {key: self._add_path(result, key) for key, result in zip(keys, results, strict=True)}

    def copy(self, key: str, target: BinaryIO) -> int:
        """See `Backend.copy`."""
        options = {"block_size": _COPIED_AT_ONCE}
        with self._paths_in_errors(key), self._fs.open(self._path(key), "rb", **options) as file:
            return copy_file(file, target)

    def abandon_reads(self) -> None:
        """See `Backend.abandon_reads`."""
        from artbank.store.backends.s3_session import abandon_reads

        abandon_reads(self.prefix)

    def hash_many(self, keys: Sequence[str]) -> dict[str, ContentHash | Exception]:
        """See `Backend.hash_many`; one at a time, because objects without an ETag are rare."""
        return {key: try_read(self._hash, key) for key in keys}

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """See `Backend.write_many`; one PUT for an object, so that a killed process leaves no unfinished upload."""
        paths_by_type: dict[str | None, dict[str, bytes]] = defaultdict(dict)
        for key, data in objects.items():
            paths_by_type[media_type(key)][self._path(key)] = data
        for content_type, paths in paths_by_type.items():
            options = {"batch_size": _NUM_REQUESTS, "chunksize": _WRITTEN_WHOLE // 2, **_content_type(content_type)}
            with self._paths_in_errors():
                self._fs.pipe(paths, **options)

    def create(self, key: str, data: bytes) -> bool:
        """See `Backend.create`; retries for about 3 s while the server reports a concurrent write to the same key.

        May return False although this call wrote the object: if the client retries a PUT that had succeeded. Read the
        object to know.
        """
        for seconds in (*_CONFLICT_SECONDS, None):
            try:
                # A single PUT of any size: some servers ignore the condition of a multipart upload.
                options = {"mode": "create", "chunksize": _MAX_PUT, **_content_type(media_type(key))}
                with self._paths_in_errors(key):
                    self._fs.pipe_file(self._path(key), data, **options)
                return True
            except OSError as error:
                code = error_code(error)
                if code == "PreconditionFailed":  # s3fs raises it as one of two classes, depending on the server
                    return False
                if code not in _CONFLICT_CODES or seconds is None:
                    raise
                time.sleep(seconds * random.uniform(0.5, 1.5))
        return False

    def delete_many(self, keys: Sequence[str]) -> None:
        """See `Backend.delete_many`.

        Raises:
            PermissionError: No permission to delete one of them.
            OSError: The server refused one for another reason.
        """
        for batch in sliced(keys, _MAX_DELETE):
            delete = {"Objects": [{"Key": self._object_key(key)} for key in batch], "Quiet": True}
            with self._paths_in_errors():
                response = self._fs.call_s3("delete_objects", Bucket=self.bucket, Delete=delete)
            for refusal in response.get("Errors", ()):
                code = refusal.get("Code")
                object_key = refusal.get("Key")
                number = errno.EACCES if code == "AccessDenied" else errno.EIO
                raise OSError(number, f"not deleted: {code}", f"s3://{self.bucket}/{object_key}")

    def delete_versions(self, key: str) -> bool | None:
        """See `Backend.delete_versions`."""
        self.delete_many([key])
        object_key = self._object_key(key)
        try:
            response = self._fs.call_s3("list_object_versions", Bucket=self.bucket, Prefix=object_key)
        except OSError:  # needs a permission of its own, and not every server has versions
            return None
        listed = (*response.get("Versions", ()), *response.get("DeleteMarkers", ()))
        versions = [entry["VersionId"] for entry in listed if entry["Key"] == object_key]
        for version in versions:
            self._fs.call_s3("delete_object", Bucket=self.bucket, Key=object_key, VersionId=version)
        return bool(versions)

    def _objects(self, prefix: str, **options: str) -> Iterator[ListedObject]:
        skip = len(self.prefix) + 1 if self.prefix else 0
        for page in self._pages(prefix, **options):
            for entry in page.get("Contents", ()):
                size = entry.get("Size")
                if entry["Key"].endswith("/") and not size:  # the mark of an empty folder that some consoles write
                    continue
                etag = (entry.get("ETag") or "").strip('"') or None
                # A time of whole seconds cannot replace an ETag; without a time the content is hashed.
                changed_ns = to_nanoseconds(entry["LastModified"]) if etag else None
                yield ListedObject(entry["Key"][skip:], size, etag, changed_ns)

    @property
    def _fs(self) -> Any:
        from s3fs import S3FileSystem

        from artbank.store.backends.s3_session import SteadySession

        # s3fs keeps one instance per set of arguments and process, so this is cheap, and a fork gets its own.
        config = {**_CLIENT_CONFIG, "http_session_cls": SteadySession}
        return S3FileSystem(endpoint_url=self.endpoint_url, use_listings_cache=False, config_kwargs=config)

    def _hash(self, key: str) -> ContentHash:
        with self._paths_in_errors(key), self._fs.open(self._path(key), "rb") as file:
            return hash_file(file)

    def _object_key(self, key: str) -> str:
        return "/".join(part for part in (self.prefix, key) if part)

    def _path(self, key: str) -> str:
        return f"{self.bucket}/{self._object_key(key)}"

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        folder = self._object_key(prefix)
        if folder:
            options["Prefix"] = f"{folder}/"
        self._fs.connect().meta.events.register("before-parse.s3.ListObjectsV2", parse_contents, "artbank")
        while True:
            with self._paths_in_errors():
                page = self._fs.call_s3("list_objects_v2", Bucket=self.bucket, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            if not page.get("NextContinuationToken"):
                raise no_listing_error("one that breaks off without a token for its next page")
            options["ContinuationToken"] = page["NextContinuationToken"]

    @contextlib.contextmanager
    def _paths_in_errors(self, key: str = "") -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, PermissionError) as error:
            raise self._add_path(error, key) from error

    def _add_path(self, result: Any, key: str) -> Any:
        """Return a result; a missing object or permission as an error that names the object, as few servers do."""
        if not isinstance(result, FileNotFoundError | PermissionError):
            return result
        number = errno.ENOENT if isinstance(result, FileNotFoundError) else errno.EACCES
        error = OSError(number, error_code(result) or os.strerror(number), f"s3://{self._path(key)}")
        error.__cause__ = result.__cause__
        return error


def _content_type(value: str | None) -> dict[str, str]:
    return {} if value is None else {"ContentType": value}
