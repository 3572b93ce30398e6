"""Write pages to a store: data first, then `index.html`, then stale files are deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.resources import files as package_files
from pathlib import PurePosixPath

from more_itertools import chunked

from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store

INDEX = "index.html"
_WRITTEN_AT_ONCE = 32


def content_name(folder: str, name: str, data: bytes) -> str:
    """Return `folder/name` with 16 hex digits of the content's SHA-256 before its suffix."""
    path = PurePosixPath(folder, name)
    return str(path.with_name(f"{path.stem}-{short_hash(data)}{path.suffix}"))


def assets(*names: str) -> dict[str, bytes]:
    """Return files of `artbank/pages/static` under their published, content-based names."""
    folder = package_files("artbank.pages") / "static"
    bodies = {name: (folder / name).read_bytes() for name in names}
    return {content_name("assets", name, data): data for name, data in bodies.items()}


def stamp(facts: object) -> str:
    """Return a hash of everything that a page is made from: an equal stamp means an up-to-date page."""
    return short_hash(json.dumps(facts, default=str, sort_keys=True), 32)


def publish(
    page: Store, files: Iterable[tuple[str, bytes]], html: str | Callable[[], str], *, kept: Iterable[str] = ()
) -> None:
    """Write a page and the files that are missing; then delete files that it no longer uses.

    Args:
        page: The page's own folder.
        files: Pairs of name and bytes. Names follow from content, so existing files are not
            rewritten. Only a few files are in memory at a time.
        html: The page, or a function that renders it after all files are written.
        kept: Names of existing files that this version of the page uses too.
    """
    there = {stored.key for stored in page.scan()}
    used = {INDEX, *kept}
    for batch in chunked(files, _WRITTEN_AT_ONCE):
        used |= {name for name, _ in batch}
        page.write_many({name: data for name, data in batch if name not in there})
    page.write(INDEX, (html if isinstance(html, str) else html()).encode())
    page.delete_many(sorted(there - used))
