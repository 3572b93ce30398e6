"""The etags of listed objects: the store's own, or made of times or content where it has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from artbank.store.backends.backend import ContentHash, ListedObject


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


def list_unhashed(listed: Sequence[ListedObject], *, hash_content: bool) -> list[str]:
    """Return the keys whose content must be read to know the object's size, or to tell whether it changed."""
    return [
        item.key
        for item in listed
        if item.size is None or (item.etag is None and (hash_content or item.changed_ns is None))
    ]


def with_etags(
    listed: Sequence[ListedObject], hashes: Mapping[str, ContentHash | Exception], *, with_status_time: bool
) -> Iterator[StoredObject]:
    """Yield listed objects with an etag for each; leaves out those that were deleted before they were hashed."""
    for item in listed:
        content = hashes.get(item.key)
        if isinstance(content, FileNotFoundError):
            continue
        if isinstance(content, ContentHash):
            yield StoredObject(item.key, content.size, item.etag or content.sha256)
            continue
        etag = item.etag or _time_etag(item, with_status_time=with_status_time)
        # Once it can be read, the etag is another one, so that the change is noticed.
        yield StoredObject(item.key, item.size or 0, etag if content is None else f"unreadable {etag}")


def _time_etag(item: ListedObject, *, with_status_time: bool) -> str:
    status = f"-{item.status_ns}" if with_status_time and item.status_ns is not None else ""
    return f"{item.size}-{item.changed_ns}{status}"
