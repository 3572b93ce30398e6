"""Check that a store can be read and, where a run writes, written; nothing is left behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Literal

from artbank.catalog.store_places import check_apart_from_output
from artbank.doctor.checks import CheckResult, size_text
from artbank.errors import ConfigError
from artbank.parameters.skip_rules import SkipRules
from artbank.runtime.counts import number_are, number_text
from artbank.store import places
from artbank.store.explanations import explain
from artbank.store.objects import Store, StoredObject
from artbank.store.skipped import MAY_BE_PHOTOS, SKIP_KINDS, SkippedFiles
from artbank.store.transient_errors import concerns_one_object, is_transient

Action = Literal["open", "list", "read", "write", "delete"]

_INPUTS = ("gallery", "photos")
_OUTPUTS = ("store", "output")
_NUM_READ = 5  # objects that are tried
_LISTED = 1000  # objects: one page of a listing
_S3_RIGHTS = {"list": "s3:ListBucket", "read": "s3:GetObject", "write": "s3:PutObject", "delete": "s3:DeleteObject"}
_NEVER_SENT = ("EndpointConnectionError", "ConnectTimeoutError")  # of S3's client: it could not send the request
_FIRST = b"artbank doctor wrote this and deletes it at once\n"
_SECOND = b"another text\n"


class _ActionFailed(Exception):
    """An action on the store failed.

    Attributes:
        result: What to report.
        is_certain: The action had no effect; unknown if only its answer was lost.
    """

    def __init__(self, result: CheckResult, *, is_certain: bool):
        super().__init__(result.text)
        self.result = result
        self.is_certain = is_certain


def check_input(uri: str) -> Iterator[CheckResult]:
    """Check that a gallery or an archive can be listed and read; nothing is written."""
    skipped = SkippedFiles()
    try:
        with _action("open", uri):
            store = Store.open(uri)
        with _action("list", uri):
            objects, left_out = _list_some(store, skipped)
        if not objects:
            holds = f"holds nothing but files to skip, such as {left_out}" if left_out else "is empty"
            yield CheckResult("problem", f"{uri} {holds}", "check its name, and the endpoint")
            yield from _warn_of_skipped(uri, skipped)
            return
        with _action("read", uri):
            unread = _read_smallest(store, objects)
    except _ActionFailed as failed:
        yield failed.result
        return
    yield CheckResult("OK", f"{uri} can be listed and read: {_count(objects)}")
    for key, error in unread.items():
        yield CheckResult("warning", f"{uri}: {key} cannot be read: {explain(error)}", "runs go on without it")
    yield from _warn_of_skipped(uri, skipped)


def _list_some(store: Store, skipped: SkippedFiles) -> tuple[list[StoredObject], str]:
    """Return the first objects that may be photos, and the key of one before them that is none; empty without one."""
    rules = SkipRules()
    left_out = ""
    objects: list[StoredObject] = []
    for stored in store.scan(skipped=skipped):
        if rules.skip(stored.key):
            left_out = left_out or stored.key
            if rules.is_container(stored.key):
                skipped.add("container", stored.key)
        else:
            objects.append(stored)
        if len(objects) == _LISTED:
            break
    return objects, left_out


def check_apart(uris: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check that what is written lies outside of what is read, and the other way round, and output and store apart.

    Args:
        uris: The given places, by `gallery`, `photos`, `store` and `output`.
    """
    opened: dict[str, Store] = {}
    for name, uri in uris.items():
        with suppress(ConfigError):  # reported by the check of that place
            opened[name] = Store.open(uri)
    problems = [*_find_overlaps(opened)]
    yield from problems
    if not problems and len(opened) > 1:
        yield CheckResult("OK", "what is written lies outside of what is read")


def _find_overlaps(opened: Mapping[str, Store]) -> Iterator[CheckResult]:
    for source, target in [*product(_INPUTS, _OUTPUTS), _OUTPUTS]:
        if source in opened and target in opened:
            try:
                if source in _INPUTS:
                    places.check_apart({source: opened[source]}, {target: opened[target]})
                else:
                    check_apart_from_output(opened[source], opened[target])
            except ConfigError as error:
                yield CheckResult("problem", str(error))


def _warn_of_skipped(uri: str, skipped: SkippedFiles) -> Iterator[CheckResult]:
    for kind in skipped.kinds():
        if kind.kind in MAY_BE_PHOTOS:
            text = f"{uri}: {number_are(kind.count, 'file')} skipped ({kind.kind}), such as {kind.names[0]}"
            yield CheckResult("warning", text, SKIP_KINDS[kind.kind])


def _read_smallest(store: Store, objects: Sequence[StoredObject]) -> dict[str, Exception]:
    """Read the smallest objects until one can be read; returns those before it, with their errors.

    Raises:
        Exception: None can be read, or the whole store fails.
    """
    unread: dict[str, Exception] = {}
    for stored in sorted(objects, key=lambda stored: stored.size)[:_NUM_READ]:
        try:
            store.read(stored.key)
        except Exception as error:
            unread[stored.key] = error
            if not concerns_one_object(error):
                raise
        else:
            return unread
    raise next(iter(unread.values()))


def check_output(uri: str) -> Iterator[CheckResult]:
    """Check that a store or an output supports all that runs do: create, read, list, write and delete."""
    try:
        with _action("open", uri):
            store = _open_existing(Store.open(uri))
    except _ActionFailed as failed:
        yield failed.result
        return
    key = _name_trial(store)
    try:
        with _action("write", uri):
            store.create(key, _FIRST)
    except _ActionFailed as failed:
        yield failed.result
        if failed.is_certain:
            return
    else:
        yield _check_trial(store, uri, key)
    yield from _delete_trial(store, uri, key)


def _check_trial(store: Store, uri: str, key: str) -> CheckResult:
    """Read, list and create again the object that was just created."""
    try:
        with _action("read", uri):
            content = store.read(key)
        with _action("list", uri):
            is_listed = _is_listed(store, key)
        with _action("write", uri):
            was_replaced = store.create(key, _SECOND)
    except _ActionFailed as failed:
        return failed.result
    if content != _FIRST:
        text = f"{uri}: reading returns other bytes than were written"
        return CheckResult("problem", text, "check what is between here and the store, such as a cache")
    if not is_listed:
        text = f"{uri}: an object that was written is not in the listing"
        return CheckResult("problem", text, "check what is between here and the store, such as a cache")
    if was_replaced:
        return CheckResult(
            "problem",
            f"{uri} replaces an object that should only be created: it ignores If-None-Match",
            "use a bucket without versioning or a newer server; runs at the same time could lose each other's work",
        )
    return CheckResult("OK", f"{uri} can be written, read and listed, and supports conditional creation")


def _delete_trial(store: Store, uri: str, key: str) -> Iterator[CheckResult]:
    try:
        with _action("delete", uri):
            keeps_versions = store.delete_versions(key)
            is_left = store.exists(key)
    except _ActionFailed as failed:
        yield failed.result
        return
    if is_left:
        text = f"{uri}: an object that was deleted is still there"
        yield CheckResult("problem", text, "check the store's rules for deletion")
    if keeps_versions:
        yield CheckResult(
            "warning",
            f"{uri} keeps older versions of objects that are replaced or deleted",
            "give the bucket a lifecycle rule that deletes them, or use one without versioning",
        )


def _name_trial(store: Store) -> str:
    """Return a key that nobody uses; in a folder of its own on stores where a folder is only a part of names."""
    name = f"artbank-doctor-{uuid.uuid4().hex}"
    return f"{name}/trial" if "://" in store.uri else name


def _is_listed(store: Store, key: str) -> bool:
    folder, _, _ = key.rpartition("/")
    if folder:
        return [stored.key for stored in store.scan(folder)] == [key]
    store.list_folders()  # a local folder that can be read shows all its files
    return True


def _open_existing(store: Store) -> Store:
    """Return the store; for a local folder that does not exist, its nearest parent that does."""
    if "://" in store.uri:
        return store
    folder = Path(store.uri)
    return Store.open(str(next(place for place in (folder, *folder.parents) if place.exists())))


@contextmanager
def _action(action: Action, uri: str) -> Iterator[None]:
    """Turn any error of the block into `_ActionFailed`."""
    try:
        yield
    except Exception as error:
        is_certain = not is_transient(error) or type(error).__name__ in _NEVER_SENT
        raise _ActionFailed(_explain(error, action, uri), is_certain=is_certain) from error


def _explain(error: Exception, action: Action, uri: str) -> CheckResult:
    """Report an error of an action on a store, with what to do."""
    if isinstance(error, ConfigError):
        return CheckResult("problem", str(error), "correct the URI")
    if isinstance(error, PermissionError):
        advice = "change the folder's owner or mode"
        if uri.startswith(("s3://", "s3a://")):
            advice = f"allow {_S3_RIGHTS.get(action, 's3:PutObject')} to AWS_ACCESS_KEY_ID"
        return CheckResult("problem", f"{uri}: no permission to {action}: {error}", advice)
    if isinstance(error, NotADirectoryError):
        return CheckResult("problem", f"{uri} is a file, or lies below one", "name a folder")
    if isinstance(error, FileNotFoundError):
        return CheckResult("problem", f"{uri}: {error}", "create the bucket or folder, or correct the name")
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return CheckResult("problem", f"{uri}: {error}", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    advice = "act on the message"
    if is_transient(error):
        advice = "check that the store is running, and AWS_ENDPOINT_URL"
    return CheckResult("problem", f"{uri}: cannot {action}: {type(error).__name__}: {error}", advice)


def _count(objects: list[StoredObject]) -> str:
    if len(objects) == _LISTED:
        return f"{_LISTED:,} objects or more"
    return f"{number_text(len(objects), 'object')}, {size_text(sum(stored.size for stored in objects))}"
