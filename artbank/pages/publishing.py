"""Pages into a store: data first, `index.html` last, what older versions have left afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files as package_files
from itertools import islice
from pathlib import PurePosixPath

from artbank.storage import Store

INDEX = "index.html"
_WRITTEN_AT_ONCE = 32


def content_name(folder: str, name: str, data: bytes) -> str:
    """Return `folder/name` with 16 hex digits of the content's SHA-256 before its suffix."""
    path = PurePosixPath(folder, name)
    return str(path.with_name(f"{path.stem}-{hashlib.sha256(data).hexdigest()[:16]}{path.suffix}"))


def assets(*names: str) -> dict[str, bytes]:
    """Return files of `artbank/pages/static` under the names they have beside a page."""
    folder = package_files("artbank.pages") / "static"
    bodies = {name: (folder / name).read_bytes() for name in names}
    return {content_name("assets", name, data): data for name, data in bodies.items()}


def publish(
    store: Store, folder: str, page: str, files: Iterable[tuple[str, bytes]], *, kept: Iterable[str] = ()
) -> None:
    """Write a page and its files, as far as they are not there.

    Args:
        store: Where the page's folder is.
        folder: All that is in it belongs to the page: what the page has no more use for is deleted, last of all.
        page: HTML.
        files: By name below the folder, named by their content: one that is there is left as it is. Few of them are in
            memory at a time.
        kept: Names of other files there that this version of the page uses.
    """
    there = {stored.key.removeprefix(f"{folder}/") for stored in store.scan(folder)}
    used = {INDEX, *kept}
    left = iter(files)
    while some := list(islice(left, _WRITTEN_AT_ONCE)):
        used |= {name for name, _ in some}
        store.write_many({f"{folder}/{name}": data for name, data in some if name not in there})
    store.write(f"{folder}/{INDEX}", page.encode())
    store.delete_many(f"{folder}/{name}" for name in sorted(there - used))
