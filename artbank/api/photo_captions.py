"""The captions of photos in files beside them and in tables of their folders, read as those of an archive are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import pyarrow as pa

from artbank.api.photo_inputs import NamedPhoto
from artbank.archive.photo_captions import add_captions
from artbank.captions.caption_reader import is_table, rank_of
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles


def add_file_captions(photos: Sequence[NamedPhoto], max_bytes: int) -> list[NamedPhoto]:
    """Return photos with the captions of files; images and arrays have none.

    A file that cannot be read costs its captions alone, and is logged.

    Args:
        photos: The photos.
        max_bytes: Files with more bytes are not read.

    Raises:
        OSError: A store failed.
    """
    numbers_in: dict[str, list[int]] = defaultdict(list)
    for number, photo in enumerate(photos):
        if photo.folder:
            numbers_in[photo.folder].append(number)
    captioned = list(photos)
    for folder, numbers in numbers_in.items():
        captions = _read_captions(Store.open(folder), [photos[number].place for number in numbers], max_bytes)
        for number, caption in zip(numbers, captions, strict=True):
            captioned[number] = replace(photos[number], caption=caption)
    return captioned


def _read_captions(store: Store, places: Sequence[str], max_bytes: int) -> list[str | None]:
    """Return the caption of each photo of a store; None where no file has one."""
    listed = [stored for folder in _list_folders(places) for stored in store.list_files(folder)]
    files = [stored for stored in listed if is_table(stored.key) or rank_of(stored.key) is not None]
    others = {stored.key for stored in listed} - {stored.key for stored in files}
    wanted = pa.table({"key": pa.array(places, pa.string())})
    known = pa.table({"key": pa.array(sorted(others.union(places)), pa.string())})
    found = add_captions(store, wanted, known, files, max_bytes=max_bytes, skipped=SkippedFiles())
    return found["caption"].to_pylist()


def _list_folders(places: Iterable[str]) -> list[str]:
    """Return the folders of photos, and those above them, in which their captions may be."""
    parents = {str(folder) for place in places for folder in PurePosixPath(place).parents}
    return sorted("" if folder == "." else folder for folder in parents)
