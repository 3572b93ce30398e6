"""Whether a store can be read and, where it must, written, as runs do it; nothing is left behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from artbank.doctor.checks import CheckResult, size_text
from artbank.errors import ConfigError
from artbank.store.objects import Store, StoredObject
from artbank.store.transient_errors import is_transient

_LOOKED_AT = 1000  # objects of a listing: one page
_RIGHTS = {"list": "s3:ListBucket", "read": "s3:GetObject", "write": "s3:PutObject", "delete": "s3:DeleteObject"}
_NOT_REACHED = ("EndpointConnectionError", "ConnectTimeoutError")  # of S3's client: no request was sent
_FIRST, _SECOND = b"artbank doctor wrote this and deletes it at once\n", b"another text\n"


class _Refused(Exception):
    """What stands in the way of one step; carries what there is to say.

    `is_certain` tells that nothing was done, as it is not where an answer was lost.
    """

    def __init__(self, verdict: CheckResult, *, is_certain: bool):
        super().__init__(verdict.text)
        self.verdict, self.is_certain = verdict, is_certain


def check_input(uri: str) -> Iterator[CheckResult]:
    """Look whether a gallery or an archive can be listed and read; nothing is written."""
    try:
        with _step("open", uri):
            store = Store.open(uri)
        with _step("list", uri):
            found = list(islice(store.scan(), _LOOKED_AT))
        if not found:
            yield CheckResult("problem", f"{uri}: nothing is there", "see whether the name is right, and the endpoint")
            return
        smallest = min(found, key=lambda stored: stored.size)
        with _step("read", uri):
            store.read(smallest.key)
    except _Refused as refused:
        yield refused.verdict
        return
    yield CheckResult("OK", f"{uri} can be listed and read: {_count(found)}")


def check_output(uri: str) -> Iterator[CheckResult]:
    """Look whether a store of banks or an output can be written, created in, read, listed and deleted from."""
    try:
        with _step("open", uri):
            store = _find_place(Store.open(uri))
    except _Refused as refused:
        yield refused.verdict
        return
    key = _name_trial(store)
    try:
        with _step("write", uri):
            store.create(key, _FIRST)
    except _Refused as refused:
        yield refused.verdict
        if refused.is_certain:
            return
    else:
        yield _try_the_rest(store, uri, key)
    try:
        with _step("delete", uri):
            keeps_versions, is_left = store.delete_versions(key), store.exists(key)
    except _Refused as refused:
        yield refused.verdict
        return
    if is_left:
        yield CheckResult("problem", f"{uri}: what was deleted is still there", "see the store's rules for deletion")
    if keeps_versions:
        yield CheckResult(
            "warning",
            f"{uri} keeps older versions of what is replaced or deleted",
            "give the bucket a lifecycle rule that deletes them, or take one without versioning",
        )


def _try_the_rest(store: Store, uri: str, key: str) -> CheckResult:
    """Do to an object that was just created what runs do."""
    try:
        with _step("read", uri):
            found = store.read(key)
        with _step("list", uri):
            is_listed = _is_listed(store, key)
        with _step("write", uri):
            is_replaced = store.create(key, _SECOND)
    except _Refused as refused:
        return refused.verdict
    if found != _FIRST or not is_listed:
        text = f"{uri}: what was written is not what is {'listed' if found == _FIRST else 'read'}"
        return CheckResult("problem", text, "see what stands between, such as a cache")
    if is_replaced:
        text = f"{uri} lets a second creation of an object replace the first: it ignores If-None-Match"
        advice = "take a bucket without versioning or a newer server; runs at once could lose each other's work"
        return CheckResult("problem", text, advice)
    return CheckResult("OK", f"{uri} can be written, read and listed, and refuses to create what is there")


def _name_trial(store: Store) -> str:
    """Return a key that nobody has; in a folder of its own where a folder is no more than a part of names."""
    name = f"artbank-doctor-{uuid.uuid4().hex}"
    return f"{name}/trial" if "://" in store.uri else name


def _is_listed(store: Store, key: str) -> bool:
    folder, _, _ = key.rpartition("/")
    if folder:
        return [stored.key for stored in store.scan(folder)] == [key]
    store.list_folders()  # who may read a folder of this machine sees all of it
    return True


def _find_place(store: Store) -> Store:
    """Return a store in which a trial leaves nothing: of a local folder that is not there, where it would be made."""
    if "://" in store.uri:
        return store
    folder = Path(store.uri)
    return Store.open(str(next(place for place in (folder, *folder.parents) if place.exists())))


@contextmanager
def _step(what: str, uri: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        is_certain = not is_transient(error) or type(error).__name__ in _NOT_REACHED
        raise _Refused(_explain(error, what, uri), is_certain=is_certain) from error


def _explain(error: Exception, what: str, uri: str) -> CheckResult:
    """Say what an error means where something was tried on a store."""
    s3 = uri.startswith(("s3://", "s3a://"))
    if isinstance(error, ConfigError):
        return CheckResult("problem", str(error), "correct the URI")
    if isinstance(error, PermissionError):
        rights = {"list": "s3:ListBucket", "read": "s3:GetObject", "delete": "s3:DeleteObject"}
        advice = f"allow {rights.get(what, 's3:PutObject')} to AWS_ACCESS_KEY_ID" if s3 else "change its owner or mode"
        return CheckResult("problem", f"{uri}: may not {what}: {error}", advice)
    if isinstance(error, FileNotFoundError):
        return CheckResult("problem", f"{uri}: {error}", "create the bucket or folder, or correct the name")
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return CheckResult("problem", f"{uri}: {error}", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    advice = "see whether it is up, and AWS_ENDPOINT_URL" if is_transient(error) else "see what the message names"
    return CheckResult("problem", f"{uri}: cannot {what}: {type(error).__name__}: {error}", advice)


def _count(found: list[StoredObject]) -> str:
    if len(found) == _LOOKED_AT:
        return f"{_LOOKED_AT:,} objects or more"
    return f"{len(found):,} objects, {size_text(sum(stored.size for stored in found))}"
