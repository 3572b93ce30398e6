"""The captions of a collection: find the files that hold them, read these, and report what is not understood.

`captions.caption_reader` has the files and their precedence. The tables of the gallery itself, with file names such as
`monet/lilies.jpg`, come before all others.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from artbank.captions import caption_files
from artbank.captions.caption_reader import (
    BESIDE,
    CaptionFault,
    CaptionReader,
    describe_unmatched,
    is_like_captions,
    is_table,
    names_of,
    normal,
    order_files,
    stem_of,
)
from artbank.gallery.findings import Finding
from artbank.gallery.listed_files import read_files
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store, StoredObject
from artbank.store.transient_errors import concerns_one_object

logger = logging.getLogger(__name__)

_KIND = "captions"


@dataclass(frozen=True)
class CaptionSources:
    """The files of a collection that hold captions, or look like it.

    Attributes:
        files: Those that are read, by precedence; keys are relative to the gallery.
        unknown: Keys of those that are not.
        shared: Captions from the tables of the gallery, by key; also of files that are not there.
        findings: About the tables of the gallery.
    """

    files: tuple[StoredObject, ...] = field(repr=False)
    unknown: tuple[str, ...] = field(repr=False)
    shared: Mapping[str, str] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()

    def facts(self) -> list[tuple[str, int, str]]:
        """Return what the collection's fingerprint has of them."""
        facts = [(stored.key, stored.size, stored.etag) for stored in self.files]
        if self.shared:
            facts.append(("", len(self.shared), short_hash(json.dumps(sorted(self.shared.items())))))
        return facts


class SharedTables:
    """The tables of captions directly in a gallery, which is how datasets for ImageFolder have them."""

    def __init__(self, gallery: Store, files: Iterable[StoredObject]):
        """Read them.

        Args:
            gallery: The gallery.
            files: The files that lie in it directly.

        Raises:
            CollectionError: A table is not as it was listed.
            OSError: The store failed.
        """
        listed = [stored for stored in files if is_table(stored.key)]
        reader = _open_reader(gallery, caption_files.LARGEST_TABLE_BYTES)
        self._captions: dict[str, dict[str, str]] = defaultdict(dict)
        for key, caption in reader.read(sorted(listed, key=lambda stored: stored.key)).items():
            self._captions[key.partition("/")[0]][key] = caption
        self._findings = tuple(map(_to_finding, reader.faults))

    def warn_of_others(self, folders: Iterable[str]) -> None:
        """Warn if the tables have captions for files that are in none of the folders of the gallery."""
        known = {normal(folder) for folder in folders}
        if others := sorted(next(iter(captions)) for name, captions in self._captions.items() if name not in known):
            logger.warning("the gallery's tables have captions for files in no folder of it, such as %s", others[0])

    def of_folders(self, folders: Iterable[str]) -> tuple[Mapping[str, str], tuple[Finding, ...]]:
        """Return the captions of artworks in some folders, by normal key, and the findings about all tables."""
        captions: dict[str, str] = {}
        for folder in folders:
            captions |= self._captions.get(normal(folder), {})
        return captions, self._findings


def find_sources(listed: Sequence[StoredObject], artworks: Iterable[StoredObject]) -> CaptionSources:
    """Find the files with captions among the files of a collection.

    Args:
        listed: Its files.
        artworks: Those that are artworks.
    """
    names = names_of(stored.key for stored in artworks)
    tables: list[StoredObject] = []
    beside: list[StoredObject] = []
    unknown: list[str] = []
    for stored in listed:
        if is_table(stored.key):
            tables.append(stored)
        elif PurePosixPath(stored.key).suffix.lower() in BESIDE and stem_of(stored.key) in names:
            beside.append(stored)
        elif is_like_captions(stored.key):
            unknown.append(stored.key)
    return CaptionSources(order_files(tables, beside), tuple(sorted(unknown)))


def read_captions(
    gallery: Store, sources: CaptionSources, artworks: Iterable[StoredObject], max_bytes: int
) -> tuple[dict[str, str], list[Finding]]:
    """Read the captions of a collection.

    Args:
        gallery: The gallery.
        sources: From `find_sources`.
        artworks: The artworks of the collection.
        max_bytes: Files with more bytes are not read.

    Returns:
        Captions by key of the artwork, and what was not understood.

    Raises:
        CollectionError: A file is not as it was listed.
        OSError: The store failed.
    """
    names = names_of(stored.key for stored in artworks)
    reader = _open_reader(gallery, max_bytes)
    captions = {**reader.keep_known("the gallery's tables", sources.shared, names)}
    captions |= reader.read(sources.files, names)
    findings = [*sources.findings, *map(_to_finding, reader.faults)]
    if sources.unknown:
        findings.append(Finding(_KIND, describe_unmatched(sources.unknown, "artwork"), sources.unknown))
    return {key: caption for key, caption in captions.items() if caption}, findings


def _open_reader(gallery: Store, max_bytes: int) -> CaptionReader:
    def read(files: Sequence[StoredObject]) -> dict[str, bytes | Exception]:
        contents = read_files(gallery, files)
        for body in contents.values():
            if isinstance(body, Exception) and not concerns_one_object(body):
                raise body
        return contents

    return CaptionReader(read, max_bytes)


def _to_finding(fault: CaptionFault) -> Finding:
    return Finding(_KIND, fault.message, fault.keys)
