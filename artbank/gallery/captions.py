"""The captions of a collection: find the files that hold them, read these, and report what is not understood.

Later ones in this list take precedence:

    metadata.csv, .jsonl, .parquet    of the gallery, with file names such as `monet/lilies.jpg`
    metadata.csv, .jsonl, .parquet    of a folder of the collection, as in Hugging Face's ImageFolder
    lilies.json, lilies.jpg.json      beside an artwork: `caption` or `text` of an object, as `img2dataset` writes it
    lilies.caption, lilies.txt        beside an artwork, also with the whole name as in `lilies.jpg.txt`

Case does not matter in these suffixes. Names that differ only in their Unicode normal form are the same: macOS writes
the decomposed form in file names, other systems the composed one.
"""

from __future__ import annotations

import json
import logging
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from more_itertools import constrained_batches

from artbank.gallery import caption_files
from artbank.gallery.findings import Finding, list_keys
from artbank.gallery.listed_files import read_files
from artbank.runtime.hashing import short_hash
from artbank.store.explanations import explain
from artbank.store.objects import Store, StoredObject
from artbank.store.transient_errors import concerns_one_object

logger = logging.getLogger(__name__)

_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_BESIDE = (".json", ".caption", ".txt")  # in the order of their precedence
_LIKE_CAPTIONS = (*_BESIDE, ".csv", ".jsonl", ".parquet", ".tsv", ".captions")
_NO_CAPTIONS = ("readme", "license", "licence", "copying", "notice", "attribution", "credits")
_STATISTICS = "_stats.json"  # of a shard of img2dataset
_FILES_AT_ONCE = 1024
_BYTES_AT_ONCE = 128 * 2**20
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

    files: tuple[StoredObject, ...] = field(default=(), repr=False)
    unknown: tuple[str, ...] = field(default=(), repr=False)
    shared: Mapping[str, str] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()

    def facts(self) -> list[tuple[str, int, str]]:
        """Return what the collection's fingerprint has of them."""
        found = [(stored.key, stored.size, stored.etag) for stored in self.files]
        if self.shared:
            found.append(("", len(self.shared), short_hash(json.dumps(sorted(self.shared.items())))))
        return found


class SharedTables:
    """The tables of captions directly in a gallery, which is how datasets for ImageFolder have them."""

    def __init__(self, gallery: Store, max_bytes: int = caption_files.LARGEST_TABLE_BYTES):
        """Read them.

        Raises:
            CollectionError: A table is not as it was listed.
            OSError: The store failed.
        """
        listed = [stored for stored in gallery.list_files() if _is_table(stored.key)]
        reader = _CaptionReader(gallery, max_bytes)
        self._captions: dict[str, dict[str, str]] = defaultdict(dict)
        for key, caption in reader.read(sorted(listed, key=lambda stored: stored.key)).items():
            self._captions[key.partition("/")[0]][key] = caption
        self._findings = tuple(reader.findings)

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
    names = _names_of(stored.key for stored in artworks)
    tables: list[StoredObject] = []
    beside: list[StoredObject] = []
    unknown: list[str] = []
    for stored in listed:
        if _is_table(stored.key):
            tables.append(stored)
        elif _rank(stored.key) is not None and _stem(stored.key) in names:
            beside.append(stored)
        elif _is_like_captions(stored.key):
            unknown.append(stored.key)
    tables.sort(key=lambda stored: (stored.key.count("/"), stored.key))
    beside.sort(key=lambda stored: (_rank(stored.key), stored.key))
    return CaptionSources((*tables, *beside), tuple(sorted(unknown)))


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
    names = _names_of(stored.key for stored in artworks)
    reader = _CaptionReader(gallery, max_bytes)
    reader.findings += sources.findings
    captions = {**reader.keep_known("the gallery's tables", sources.shared, names)}
    captions |= reader.read(sources.files, names)
    if sources.unknown:
        reader.findings.append(_describe_unknown(sources.unknown))
    return {key: caption for key, caption in captions.items() if caption}, reader.findings


def normal(name: str) -> str:
    """Return a key or a name in the Unicode normal form in which they are compared."""
    return unicodedata.normalize("NFC", name)


class _CaptionReader:
    """Reads files of captions, and collects findings."""

    def __init__(self, gallery: Store, max_bytes: int):
        self.findings: list[Finding] = []
        self._gallery = gallery
        self._max_bytes = max_bytes

    def read(self, files: Sequence[StoredObject], names: Mapping[str, Sequence[str]] | None = None) -> dict[str, str]:
        """Return the captions in some files by key; later files take precedence.

        Args:
            files: The files.
            names: Keys of the artworks by each name that stands for them; None to return normal keys of all files that
                tables name, whether they are there or not.
        """
        captions: dict[str, str] = {}
        faults: dict[str, list[str]] = defaultdict(list)
        for key, body in self._read_bodies(files):
            try:
                if isinstance(body, Exception):
                    raise body
                found = _parse(key, body)
            except caption_files.PARSE_ERRORS as error:
                faults[" ".join(str(error).split())].append(key)
                continue
            captions |= found if names is None else self.keep_known(key, found, names)
        for fault, keys in faults.items():
            message = f"captions in {list_keys(keys)} cannot be read ({fault}): correct or remove them"
            self.findings.append(Finding(_KIND, message, tuple(keys)))
        return captions

    def keep_known(self, source: str, found: Mapping[str, str], names: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Return the captions of artworks that are there by their keys; the others become a finding."""
        known: dict[str, str] = {}
        unknown: list[str] = []
        for name, caption in found.items():
            keys = names.get(name)
            if keys is None:
                unknown.append(name)
            else:
                known |= dict.fromkeys(keys, caption)
        if unknown:
            unknown.sort()
            message = f"{source} has captions for {len(unknown):,} files that are not there, such as {unknown[0]}"
            self.findings.append(Finding(_KIND, f"{message}: correct their names", tuple(unknown)))
        return known

    def _read_bodies(self, files: Sequence[StoredObject]) -> Iterator[tuple[str, bytes | Exception]]:
        """Yield the content of files in their order, a batch of them in memory at a time."""
        wanted = [stored for stored in files if self._check_size(stored)]
        batches = constrained_batches(
            wanted, _BYTES_AT_ONCE, _FILES_AT_ONCE, get_len=lambda stored: stored.size, strict=False
        )
        for batch in batches:
            for key, body in read_files(self._gallery, batch).items():
                if isinstance(body, Exception) and concerns_one_object(body):
                    yield key, ValueError(f"the store does not deliver it: {explain(body)}")
                elif isinstance(body, Exception):
                    raise body
                else:
                    yield key, body

    def _check_size(self, stored: StoredObject) -> bool:
        own = caption_files.LARGEST_TABLE_BYTES if _is_table(stored.key) else caption_files.LARGEST_TEXT_BYTES
        most = min(self._max_bytes, own)
        if stored.size > most:
            found = f"its file has {stored.size / 1e6:,.0f} MB, more than the limit of {most / 1e6:,.0f} MB"
            to_do = "shorten or remove it" if most == own else "raise max_megabytes, replace or remove it"
            message = f"{stored.key} is not read ({found}); it is left out: {to_do}"
            self.findings.append(Finding(_KIND, message, (stored.key,)))
        return stored.size <= most


def _parse(key: str, body: bytes) -> dict[str, str]:
    """Return the captions in a file, by the normal name of each artwork."""
    if not _is_table(key):
        parse = caption_files.parse_json if key.lower().endswith(".json") else caption_files.parse_text
        return {_stem(key): parse(body)}
    folder = PurePosixPath(key).parent
    rows = caption_files.parse_table(key, body)
    return {normal(str(folder / name.replace("\\", "/"))): caption for name, caption in rows}


def _names_of(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return artworks by each name that a file of captions may have for them: their key, and that without suffix."""
    names: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        names[normal(key)].append(key)
        names[_stem(key)].append(key)
    return dict(names)


def _stem(key: str) -> str:
    return normal(str(PurePosixPath(key).with_suffix("")))


def _rank(key: str) -> int | None:
    """Return the precedence of a file beside an artwork; None for any other file."""
    suffix = PurePosixPath(key).suffix.lower()
    return _BESIDE.index(suffix) if suffix in _BESIDE else None


def _is_table(key: str) -> bool:
    return PurePosixPath(key).name.lower() in _TABLES


def _is_like_captions(key: str) -> bool:
    name = PurePosixPath(key).name.lower()
    return name.endswith(_LIKE_CAPTIONS) and not name.startswith(_NO_CAPTIONS) and not name.endswith(_STATISTICS)


def _describe_unknown(keys: tuple[str, ...]) -> Finding:
    expected = f"expected the name of an artwork with {', '.join(_BESIDE)}, or {', '.join(_TABLES)}"
    to_do = "rename or remove it" if len(keys) == 1 else "rename or remove them"
    message = f"{list_keys(keys)} may hold captions but cannot be matched with artworks: {expected}; {to_do}"
    return Finding(_KIND, message, keys)
