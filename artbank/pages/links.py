"""Relative URLs from a page to other folders: they work on disks, in buckets and on web servers."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from artbank.store.objects import Store


def relative_url(page: Store, target: Store) -> str | None:
    """Return the relative URL of a folder, seen from a page's folder, without a trailing slash.

    Returns:
        None if there is no relative URL: different buckets, or only one of the two on a disk.
    """
    kinds = [store.uri.partition("://") for store in (page, target)]
    if any(kind == "s3" for kind, mark, _ in kinds if mark):
        return _within_bucket(page.uri, target.uri)
    if any(mark for _, mark, _ in kinds):
        return None
    try:
        return _quote(Path(os.path.relpath(target.uri, page.uri)).as_posix())
    except ValueError:  # another drive on Windows
        return None


def _within_bucket(page: str, target: str) -> str | None:
    bucket, other = (uri.removeprefix("s3://").partition("/")[0] for uri in (page, target))
    if bucket != other or not target.startswith("s3://") or not page.startswith("s3://"):
        return None
    page_parts, target_parts = (uri.removeprefix("s3://").split("/")[1:] for uri in (page, target))
    shared = next(
        (i for i, (a, b) in enumerate(zip(page_parts, target_parts, strict=False)) if a != b),
        min(len(page_parts), len(target_parts)),
    )
    return _quote("/".join([*[".."] * (len(page_parts) - shared), *target_parts[shared:]]) or ".")


def _quote(path: str) -> str:
    return quote(path, safe="/")
