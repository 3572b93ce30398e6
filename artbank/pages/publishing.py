"""Pages into a store: data first, `index.html` last, what older versions have left afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from importlib.resources import files as package_files
from itertools import islice
from pathlib import PurePosixPath

from artbank.store.objects import Store

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
    page: Store, files: Iterable[tuple[str, bytes]], html: str | Callable[[], str], *, kept: Iterable[str] = ()
) -> None:
    """Write a page and its files, as far as they are not there.

    Args:
        page: The page's own folder: what the page has no more use for is deleted from it, last of all.
        files: By name below the folder, named by their content: one that is there is left as it is. Few of them are in
            memory at a time.
        html: The page, or what makes it when all files are written.
        kept: Names of other files there that this version of the page uses.
    """
    there = {stored.key for stored in page.scan()}
    used, left = {INDEX, *kept}, iter(files)
    while some := list(islice(left, _WRITTEN_AT_ONCE)):
        used |= {name for name, _ in some}
        page.write_many({name: data for name, data in some if name not in there})
    page.write(INDEX, (html if isinstance(html, str) else html()).encode())
    page.delete_many(sorted(there - used))
