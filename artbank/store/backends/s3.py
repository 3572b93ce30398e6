"""Objects of an S3 bucket, through s3fs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from artbank.store.backends.backend import Found, attempt, find_kind, nanoseconds

_NUM_REQUESTS = 32  # in flight: more gain nothing, for the client's own work on each is the limit
_MAX_PUT = 5 * 2**30  # bytes; the largest object of one PUT
_NUM_KEYS = 1000  # of one request that deletes
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted")
_CONFLICT_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6)
_CLIENT = {
    "connect_timeout": 10,
    "read_timeout": 30,  # seconds without a byte; s3fs tries five times over
    "retries": {"mode": "standard", "total_max_attempts": 3},
    "max_pool_connections": _NUM_REQUESTS,
}


@dataclass(frozen=True)
class S3Backend:
    """Objects below one prefix of a bucket, in their latest version.

    No listing is cached, so what others write is seen at once. Credentials, region and all else come from the
    environment when the first call is made.

    Attributes:
        bucket: Its name.
        prefix: Without slashes at its ends; empty for the whole bucket.
        endpoint_url: None for what the client's own settings name.
    """

    bucket: str
    prefix: str
    endpoint_url: str | None

    def below(self, folder: str) -> S3Backend:
        """See `Backend.below`."""
        return replace(self, prefix=self._name(folder))

    def walk(self, prefix: str) -> Iterator[Found]:
        """See `Backend.walk`.

        Raises:
            FileNotFoundError: There is no such bucket.
        """
        skip = len(self.prefix) + 1 if self.prefix else 0
        for page in self._pages(prefix):
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):  # what a console leaves behind for an empty folder
                    etag = entry["ETag"].strip('"')
                    yield Found(entry["Key"][skip:], entry["Size"], etag, nanoseconds(entry["LastModified"]))

    def list_leftovers(self, folders: Iterable[str] | None = None) -> tuple[Found, ...]:
        """See `Backend.list_leftovers`: an object is there once its PUT is done."""
        return ()

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See `Backend.list_folders`.

        Raises:
            FileNotFoundError: There is no such bucket.
        """
        for page in self._pages(prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"].removesuffix("/").rpartition("/")[2]

    def exists(self, key: str) -> bool:
        """See `Backend.exists`."""
        try:
            self._fs.call_s3("head_object", Bucket=self.bucket, Key=self._name(key))
        except FileNotFoundError:
            return False
        return True

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """See `Backend.read_many`."""
        # `cat` would expand patterns; one connection for each object spares asking for its size first.
        paths = [self._path(key) for key in keys]
        outcomes = self._fs.cat_ranges(paths, None, None, batch_size=_NUM_REQUESTS, max_concurrency=1)
        return {key: self._named(outcome, key) for key, outcome in zip(keys, outcomes, strict=True)}

    def hash_many(self, keys: Sequence[str]) -> dict[str, str | Exception]:
        """See `Backend.hash_many`; one at a time, for there is hardly a server whose objects have no ETag."""
        return {key: attempt(self._hash, key) for key in keys}

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """See `Backend.write_many`."""
        kinds = {key: find_kind(key) for key in objects}
        for kind in dict.fromkeys(kinds.values()):
            paths = {self._path(key): data for key, data in objects.items() if kinds[key] == kind}
            with self._naming():
                self._fs.pipe(paths, batch_size=_NUM_REQUESTS, **_told(kind))

    def create(self, key: str, data: bytes) -> bool:
        """See `Backend.create`; tries again for about 3 s while another attempt at the same key is under way.

        A refusal may also follow the client's own retry of a PUT that had come through: read the object to know.
        """
        for seconds in (*_CONFLICT_SECONDS, None):
            try:
                # One PUT however large: some servers ignore the condition of a multipart upload.
                with self._naming(key):
                    self._fs.pipe_file(
                        self._path(key), data, mode="create", chunksize=_MAX_PUT, **_told(find_kind(key))
                    )
                return True
            except OSError as error:
                code = _error_code(error)
                if code == "PreconditionFailed":  # two classes of error, for not every server names the condition
                    return False
                if code not in _CONFLICTS or seconds is None:
                    raise
                time.sleep(seconds * random.uniform(0.5, 1.5))
        return False

    def delete_many(self, keys: Sequence[str]) -> None:
        """See `Backend.delete_many`.

        Raises:
            PermissionError: The server refused one for lack of rights.
            OSError: It refused one for another reason.
        """
        for start in range(0, len(keys), _NUM_KEYS):
            names = [{"Key": self._name(key)} for key in keys[start : start + _NUM_KEYS]]
            with self._naming():
                answer = self._fs.call_s3(
                    "delete_objects", Bucket=self.bucket, Delete={"Objects": names, "Quiet": True}
                )
            for refusal in answer.get("Errors", ()):
                number = errno.EACCES if refusal.get("Code") == "AccessDenied" else errno.EIO
                raise OSError(number, f"not deleted: {refusal.get('Code')}", f"s3://{self.bucket}/{refusal.get('Key')}")

    def delete_versions(self, key: str) -> bool | None:
        """See `Backend.delete_versions`."""
        self.delete_many([key])
        name = self._name(key)
        try:
            found = self._fs.call_s3("list_object_versions", Bucket=self.bucket, Prefix=name)
        except OSError:  # a right of its own, or a server that has no versions
            return None
        kept = [
            entry for kind in ("Versions", "DeleteMarkers") for entry in found.get(kind, ()) if entry["Key"] == name
        ]
        for entry in kept:
            self._fs.call_s3("delete_object", Bucket=self.bucket, Key=name, VersionId=entry["VersionId"])
        return bool(kept)

    @property
    def _fs(self) -> Any:
        from s3fs import S3FileSystem

        # One instance for each set of arguments and process: asking again is cheap, and a fork gets its own.
        return S3FileSystem(endpoint_url=self.endpoint_url, use_listings_cache=False, config_kwargs=_CLIENT)

    def _hash(self, key: str) -> str:
        with self._naming(key), self._fs.open(self._path(key), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _name(self, key: str) -> str:
        return "/".join(part for part in (self.prefix, key) if part)

    def _path(self, key: str) -> str:
        return f"{self.bucket}/{self._name(key)}"

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        folder = self._name(prefix)
        if folder:
            options["Prefix"] = f"{folder}/"
        # Of a million keys the client itself spends a minute and a half on reading what the server sends.
        self._fs.connect().meta.events.register("before-parse.s3.ListObjectsV2", _read_contents, "artbank")
        while True:
            with self._naming():
                page = self._fs.call_s3("list_objects_v2", Bucket=self.bucket, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    @contextlib.contextmanager
    def _naming(self, key: str = "") -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, PermissionError) as error:
            raise self._named(error, key) from error

    def _named(self, outcome: Any, key: str) -> Any:
        # Some servers say no more than that there is nothing, or no right to it: add what it was.
        if not isinstance(outcome, FileNotFoundError | PermissionError):
            return outcome
        number = errno.ENOENT if isinstance(outcome, FileNotFoundError) else errno.EACCES
        error = OSError(number, _error_code(outcome) or os.strerror(number), f"s3://{self._path(key)}")
        error.__cause__ = outcome.__cause__
        return error


def _read_contents(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Read the objects of a listing's page in the client's stead, as it would; leave to it what looks odd."""
    try:
        page = ElementTree.fromstring(response_dict["body"])
        namespace = page.tag.removesuffix("ListBucketResult")
        contents = [
            {
                "Key": entry.findtext(f"{namespace}Key"),
                "Size": int(entry.findtext(f"{namespace}Size", "")),
                "ETag": entry.findtext(f"{namespace}ETag"),
                "LastModified": datetime.fromisoformat(entry.findtext(f"{namespace}LastModified", "")),
            }
            for entry in page.findall(f"{namespace}Contents")
        ]
    except (ElementTree.ParseError, ValueError):
        return
    if contents:
        page[:] = [child for child in page if child.tag != f"{namespace}Contents"]
        response_dict["body"] = ElementTree.tostring(page)
        customized_response_dict["Contents"] = contents


def _told(kind: str | None) -> dict[str, str]:
    return {} if kind is None else {"ContentType": kind}


def _error_code(error: OSError) -> str | None:
    return getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
