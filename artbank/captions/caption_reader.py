"""Read files of captions, match them with the images that they describe, and report what is not understood.

Later ones in this list take precedence; case does not matter in these suffixes:

    metadata.csv, .jsonl, .parquet    of a folder, as in Hugging Face's ImageFolder
    lilies.xmp, lilies.cr2.xmp        beside a photo: its description; not read beside artworks
    lilies.json, lilies.jpg.json      beside an image: `caption` or `text` of an object, as `img2dataset` writes it
    lilies.caption, lilies.txt        beside an image, also with the whole name as in `lilies.jpg.txt`

Names that differ only in their Unicode normal form are the same: macOS writes the decomposed form in file names, other
systems the composed one.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from more_itertools import constrained_batches

from artbank.captions import caption_files
from artbank.captions.caption_files import BadRows
from artbank.runtime.counts import number_text
from artbank.runtime.readable_text import list_names
from artbank.store.etags import StoredObject
from artbank.store.explanations import explain

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Names of tables of captions, in lower case."""
BESIDE = (".json", ".caption", ".txt")
"""Suffixes of files with the caption of one image, in the order of their precedence."""

_LIKE_CAPTIONS = (*BESIDE, ".csv", ".jsonl", ".parquet", ".tsv", ".captions")
_NO_CAPTIONS = ("readme", "license", "licence", "copying", "notice", "attribution", "credits")
_STATISTICS = "_stats.json"  # of a shard of img2dataset
_NAMELESS = "(no file name)"  # stands for the name in a row without one
_FILES_AT_ONCE = 1024
_BYTES_AT_ONCE = 128 * 2**20
_PARSERS: dict[str, Callable[[bytes], str | None]] = {
    ".xmp": caption_files.parse_xmp,
    ".json": caption_files.parse_json,
    ".caption": caption_files.parse_text,
    ".txt": caption_files.parse_text,
}
_RANKS = {suffix: rank for rank, suffix in enumerate(_PARSERS)}

ReadFiles = Callable[[Sequence[StoredObject]], Mapping[str, bytes | Exception]]
"""Reads listed files; an error in place of the bytes concerns that file alone, others are raised."""


@dataclass(frozen=True)
class CaptionFault:
    """A fault in files of captions.

    Attributes:
        message: A sentence: what is wrong, and what to do.
        keys: Keys that it is about: of files, or of images that a table names and that are not there.
        is_unread: Whether `keys` are files that were not read.
    """

    message: str
    keys: tuple[str, ...]
    is_unread: bool = False


class CaptionReader:
    """Reads files of captions; collects `faults`, and raises no error for what a file contains."""

    def __init__(self, read_files: ReadFiles, max_bytes: int):
        """Take the function that reads files, and the limit for their size in bytes."""
        self.faults: list[CaptionFault] = []
        self._read_files = read_files
        self._max_bytes = max_bytes

    def read(self, files: Sequence[StoredObject], names: Mapping[str, Sequence[str]] | None = None) -> dict[str, str]:
        """Return the captions in some files by key; later files take precedence.

        Args:
            files: The files.
            names: From `names_of`; None to return normal keys of all files that tables name, whether they are there or
                not.
        """
        captions: dict[str, str] = {}
        faults: dict[str, list[str]] = defaultdict(list)
        for key, body in self._read_bodies(files):
            bad_rows = BadRows()
            try:
                if isinstance(body, Exception):
                    raise ValueError(f"the store does not deliver it: {explain(body)}")
                parsed = _parse(key, body, bad_rows)
            except caption_files.PARSE_ERRORS as error:
                faults[" ".join(str(error).split())].append(key)
                continue
            if bad_rows.count:
                self.faults.append(_describe_bad_rows(key, bad_rows))
            captions |= parsed if names is None else self.keep_known(key, parsed, names)
        for fault, keys in faults.items():
            message = f"captions in {list_names(keys)} cannot be read ({fault}): correct or remove them"
            self.faults.append(CaptionFault(message, tuple(keys), is_unread=True))
        return captions

    def keep_known(self, source: str, by_name: Mapping[str, str], names: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Return the captions of images that are there by their keys; the others become a fault."""
        known: dict[str, str] = {}
        unknown: list[str] = []
        for name, caption in by_name.items():
            keys = names.get(name)
            if keys is None:
                unknown.append(name)
            else:
                known |= dict.fromkeys(keys, caption)
        if unknown:
            unknown.sort()
            files = number_text(len(unknown), "file")
            message = f"{source} has captions for images that are not there ({files}, such as {unknown[0]})"
            self.faults.append(CaptionFault(f"{message}: correct their names", tuple(unknown)))
        return known

    def _read_bodies(self, files: Sequence[StoredObject]) -> Iterator[tuple[str, bytes | Exception]]:
        """Yield the content of files in their order, a batch of them in memory at a time."""
        wanted = [stored for stored in files if self._check_size(stored)]
        batches = constrained_batches(
            wanted, _BYTES_AT_ONCE, _FILES_AT_ONCE, get_len=lambda stored: stored.size, strict=False
        )
        for batch in batches:
            yield from self._read_files(batch).items()

    def _check_size(self, stored: StoredObject) -> bool:
        most_of_kind = caption_files.LARGEST_TABLE_BYTES if is_table(stored.key) else caption_files.LARGEST_TEXT_BYTES
        most = min(self._max_bytes, most_of_kind)
        if stored.size > most:
            found = f"its file has {stored.size / 1e6:,.0f} MB, more than the limit of {most / 1e6:,.0f} MB"
            to_do = "shorten or remove it" if most == most_of_kind else "raise max_megabytes, replace or remove it"
            message = f"{stored.key} is not read ({found}); it is left out: {to_do}"
            self.faults.append(CaptionFault(message, (stored.key,), is_unread=True))
        return stored.size <= most


def normal(name: str) -> str:
    """Return a key or a name in the Unicode normal form in which they are compared."""
    return unicodedata.normalize("NFC", name)


def names_of(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return images by each name that a file of captions may have for them: their key, and that without suffix."""
    names: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        names[normal(key)].append(key)
        names[stem_of(key)].append(key)
    return dict(names)


def stem_of(key: str) -> str:
    """Return a key without its suffix, in the normal form."""
    return normal(str(PurePosixPath(key).with_suffix("")))


def rank_of(key: str) -> int | None:
    """Return the precedence of a file that may hold the caption of one image; None for any other file."""
    return _RANKS.get(PurePosixPath(key).suffix.lower())


def is_table(key: str) -> bool:
    """Return whether a file has the name of a table of captions."""
    return PurePosixPath(key).name.lower() in TABLES


def is_like_captions(key: str) -> bool:
    """Return whether a file looks as if it held captions, by its name."""
    name = PurePosixPath(key).name.lower()
    return name.endswith(_LIKE_CAPTIONS) and not name.startswith(_NO_CAPTIONS) and not name.endswith(_STATISTICS)


def describe_unmatched(keys: Sequence[str], noun: str) -> str:
    """Return what is wrong with files that look as if they held captions, and fit no image.

    Args:
        keys: The files.
        noun: What the images are called, such as `photo`.
    """
    expected = f"expected the name of {'an' if noun[0] in 'aeiou' else 'a'} {noun} with {', '.join(BESIDE)}"
    to_do = "rename or remove it" if len(keys) == 1 else "rename or remove them"
    fault = f"{list_names(keys)} may hold captions but cannot be matched with {noun}s"
    return f"{fault}: {expected}, or {', '.join(TABLES)}; {to_do}"


def order_files(tables: Iterable[StoredObject], beside: Iterable[StoredObject]) -> tuple[StoredObject, ...]:
    """Return tables, and files beside images, in the order of their precedence: inner tables and plain texts last."""
    inner_last = sorted(tables, key=lambda stored: (stored.key.count("/"), stored.key))
    return (*inner_last, *sorted(beside, key=lambda stored: (rank_of(stored.key), stored.key)))


def _describe_bad_rows(key: str, bad_rows: BadRows) -> CaptionFault:
    shown = ". ".join(bad_rows.first)
    more = f", and {bad_rows.count - len(bad_rows.first):,} more" if bad_rows.count > len(bad_rows.first) else ""
    message = f"{key} is read without {number_text(bad_rows.count, 'row')} ({shown}{more}): correct or remove them"
    return CaptionFault(message, (key,))


def _parse(key: str, body: bytes, bad_rows: BadRows) -> dict[str, str]:
    """Return the captions in a file, by the normal name of each image."""
    if not is_table(key):
        caption = _PARSERS[PurePosixPath(key).suffix.lower()](body)
        return {} if caption is None else {stem_of(key): caption}
    folder = PurePosixPath(key).parent
    rows = caption_files.parse_table(key, body, bad_rows)
    return {normal(str(folder / (name.replace("\\", "/") or _NAMELESS))): caption for name, caption in rows}
