"""Thumbnails of photos and pictures; the pictures may lie in containers. A marked picture has a marked thumbnail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from more_itertools import sliced

from artbank.errors import ImageError
from artbank.images.codec import decode, encode
from artbank.images.file_metadata import PLAIN, is_marked, mark_only
from artbank.results.containers import is_container, read_pictures
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store

LONG_SIDE_PX = 512
_QUALITY = 82
_AT_ONCE = 8
_THREADS = 4
_MAX_CONTAINERS = 64  # a container is read as a whole, even for one picture

Read = Callable[[Sequence[Any]], Mapping[Any, bytes | Exception]]


def photo_name(row: Mapping[str, Any]) -> str:
    """Return the thumbnail's name for a row's photo; it changes when the photo is replaced."""
    return _name("photo", row["key"], row["created_at"])


def picture_name(row: Mapping[str, Any]) -> str:
    """Return the thumbnail's name for a row's picture; it changes when the picture is drawn again."""
    return _name("picture", row["key"], row["style"], row["created_at"])


def draw_photos(
    archive: Store, wanted: Mapping[str, str], there: Collection[str], max_pixels: int
) -> Iterator[tuple[str, bytes]]:
    """Yield the missing thumbnails of photos; unreadable photos are skipped.

    Args:
        archive: Holds the photos.
        wanted: Names of thumbnails, by the photos' keys.
        there: Names of existing thumbnails.
        max_pixels: Larger photos are skipped.
    """
    keys = [key for key, name in wanted.items() if name not in there]
    for key, data in _draw(keys, archive.read_many, max_pixels):
        yield wanted[key], data


def draw_pictures(
    output: Store, rows: Sequence[Mapping[str, Any]], there: Collection[str], max_pixels: int
) -> Iterator[tuple[str, bytes]]:
    """Yield the missing thumbnails of rows' pictures; unreadable pictures are skipped."""
    missing = {(row["key"], row["style"]): row for row in rows if picture_name(row) not in there}
    containers = list(dict.fromkeys(row["file_name"] for row in missing.values() if is_container(row["file_name"])))
    loose = [pair for pair, row in missing.items() if not is_container(row["file_name"])]
    for pair, data in _draw(loose, lambda pairs: read_pictures(output, [missing[pair] for pair in pairs]), max_pixels):
        yield picture_name(missing[pair]), data
    for container in containers[:_MAX_CONTAINERS]:
        held = [pair for pair, row in missing.items() if row["file_name"] == container]
        found = read_pictures(output, [missing[pair] for pair in held])
        for pair, data in _draw(held, lambda pairs, found=found: {p: found[p] for p in pairs}, max_pixels):
            yield picture_name(missing[pair]), data


def _draw(wanted: Sequence[Any], read: Read, max_pixels: int) -> Iterator[tuple[Any, bytes]]:
    with ThreadPoolExecutor(_THREADS) as pool:
        for batch in sliced(wanted, _AT_ONCE):
            found = read(batch)
            drawn = pool.map(lambda data: _shrink(data, max_pixels), found.values())
            yield from ((name, data) for name, data in zip(found, drawn, strict=True) if data is not None)


def _shrink(data: bytes | Exception, max_pixels: int) -> bytes | None:
    if isinstance(data, Exception):
        return None
    try:
        picture = decode(data, max_pixels=max_pixels, choose_size=_fit)
        metadata = mark_only() if is_marked(data) else PLAIN
        return encode(picture, ".jpg", quality=_QUALITY, metadata=metadata)
    except ImageError:
        return None


def _fit(width_px: int, height_px: int) -> tuple[int, int]:
    scale = min(LONG_SIDE_PX / max(width_px, height_px), 1.0)
    return max(round(width_px * scale), 1), max(round(height_px * scale), 1)


def _name(*facts: object) -> str:
    digest = short_hash("\n".join(map(str, (LONG_SIDE_PX, _QUALITY, *facts))), 24)
    return f"pictures/{digest}.jpg"
