"""The captions of photos: of files beside them and of tables, which a plan reads, and of the photos' own metadata.

Captions are untrusted texts; `caption_files.clean` makes one line of each. `caption_reader` has the files and their
precedence. All of them take precedence over the photo's own metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pyarrow as pa

from artbank.captions.caption_files import clean
from artbank.captions.caption_reader import (
    CaptionReader,
    describe_unmatched,
    is_like_captions,
    is_table,
    names_of,
    order_files,
    rank_of,
    stem_of,
)
from artbank.store.etags import StoredObject
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles
from artbank.store.transient_errors import concerns_one_object

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhotoCaption:
    """The caption of a photo: one line, or empty if a file says that there is none; and where it was found."""

    text: str
    source: Literal["file", "photo"]


def choose_caption(given: str | None, description: str = "") -> PhotoCaption | None:
    """Return the caption of a photo; None if it has none.

    Args:
        given: That of files, from the photo's task; None without such a file.
        description: The photo's own description, as its metadata has it.
    """
    if given is not None:
        return PhotoCaption(given, "file")
    text = clean(description)
    return PhotoCaption(text, "photo") if text else None


def add_captions(
    archive: Store,
    selected: pa.Table,
    photos: pa.Table,
    files: Iterable[StoredObject],
    *,
    max_bytes: int,
    skipped: SkippedFiles,
) -> pa.Table:
    """Return a listing with a column `caption`: that of files; null for photos without one.

    A file that cannot be read costs its captions alone: it is logged, and counted in `skipped`. Where no photo has a
    caption, files that look as if they held some are logged too.

    Args:
        archive: The archive.
        selected: The listing of the photos to draw, from `archive_listing`.
        photos: The listing of the whole archive.
        files: The files that may hold captions, or look like it, from `list_archive`.
        max_bytes: Files with more bytes are not read.
        skipped: Collects the files that cannot be read, and those that belong to no photo.

    Raises:
        OSError: The store failed.
    """
    names = names_of(photos["key"].to_pylist())
    keys: list[str] = selected["key"].to_pylist()
    tables, beside, unmatched = _split_files(files, names, set(keys))
    for key in unmatched:
        skipped.add("no_photo", key)
    reader = CaptionReader(partial(_read_files, archive), max_bytes)
    captions = reader.read(order_files(tables, beside), names)
    for fault in reader.faults:
        logger.warning("%s: %s", archive.uri, fault.message)
        for key in fault.keys if fault.is_unread else ():
            skipped.add("caption", key)
    column = pa.array([captions.get(key) for key in keys], pa.string())
    logger.info("files have captions for %d of %d photos", len(column) - column.null_count, len(column))
    if not captions and (unknown := sorted(filter(is_like_captions, unmatched))):
        logger.warning("%s: no file has the caption of a photo; %s", archive.uri, describe_unmatched(unknown, "photo"))
    return selected.append_column("caption", column)


def _split_files(
    files: Iterable[StoredObject], names: Mapping[str, Sequence[str]], wanted: set[str]
) -> tuple[list[StoredObject], list[StoredObject], list[str]]:
    """Return the tables, the files beside photos that are wanted, and the keys of those that belong to no photo."""
    tables: list[StoredObject] = []
    beside: list[StoredObject] = []
    unmatched: list[str] = []
    for stored in files:
        owners = names.get(stem_of(stored.key))
        if is_table(stored.key):
            tables.append(stored)
        elif owners is None or rank_of(stored.key) is None:
            unmatched.append(stored.key)
        elif not wanted.isdisjoint(owners):
            beside.append(stored)
    return tables, beside, unmatched


def _read_files(archive: Store, files: Sequence[StoredObject]) -> dict[str, bytes | Exception]:
    found = archive.read_listed({stored.key: stored.size for stored in files})
    for body in found.values():
        if isinstance(body, Exception) and not concerns_one_object(body):
            raise body
    return found
