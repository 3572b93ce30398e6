"""A gallery's collections: what is in each, and its artworks as pictures.

A gallery has one folder for each collection. Its artworks are the images anywhere below it; an artwork's caption is in
`<name>.txt` beside it, or in a `metadata.csv`, `.jsonl` or `.parquet` of its folder with the columns `file_name` and
`caption` or `text`, as Hugging Face's ImageFolder has it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from artbank.config import COLLECTION_NAME
from artbank.errors import CollectionError, ImageError
from artbank.images.codec import decode, read_camera, resize
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.store.objects import Store, StoredObject
from artbank.store.parquet import read_columns

logger = logging.getLogger(__name__)

_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_LONGEST_CAPTION = 500  # characters; a prompt has 77 tokens
_READ_AT_ONCE = 32  # artworks whose bytes are in memory together
_BYTES_AT_ONCE = 256 * 2**20  # likewise; the last of them may go beyond
_MOST_ROWS = 1_000_000  # of a table of captions
_DECODED_AT_ONCE = 4  # each may need a few bytes for every one of `max_pixels`
_SHORT_SIDE_PX = 2560  # the largest crop that a recipe can ask for, at its largest zoom


@dataclass(frozen=True)
class Collection:
    """One collection as it was listed.

    Attributes:
        name: Of its folder.
        gallery_uri: Where the folder is.
        artworks: Its images, keys relative to the gallery.
        sidecars: Files that hold captions, likewise.
        fingerprint: SHA-256, hex, over keys, sizes and etags of both: another one means other content.
    """

    name: str
    gallery_uri: str
    artworks: tuple[StoredObject, ...] = field(repr=False)
    sidecars: tuple[StoredObject, ...] = field(repr=False)
    fingerprint: str


@dataclass(frozen=True)
class Artwork:
    """One artwork: its key, pixels uint8 [H, W, 3] sRGB, caption if any, and the camera that took it if one did."""

    key: str
    picture: np.ndarray = field(repr=False)
    caption: str | None = None
    camera: str | None = None


@dataclass(frozen=True)
class Finding:
    """Something about a collection that its owner should know: what kind, a sentence, and the keys it is about."""

    kind: str
    message: str
    keys: tuple[str, ...] = ()


def list_collections(gallery: Store, names: Sequence[str] = ()) -> list[Collection]:
    """List the collections of a gallery, by name; nothing is downloaded where the store has etags.

    Args:
        gallery: The root.
        names: Collections to look at; all when empty.

    Raises:
        CollectionError: There is no collection, or one that was asked for is absent or empty.
        OSError: The store failed.
    """
    there = gallery.list_folders()
    if missing := sorted(set(names) - set(there)):
        raise CollectionError(f"gallery {gallery.uri} has no {', '.join(missing)}; there is {_say(there)}")
    listed = [_list_collection(gallery, name) for name in sorted(set(names or there)) if _is_fit(name)]
    collections = [collection for collection in listed if collection.artworks]
    empty = [collection.name for collection in listed if not collection.artworks]
    if names and empty:
        raise CollectionError(f"gallery {gallery.uri} has no image in {', '.join(empty)}; put its artworks there")
    if not collections:
        raise CollectionError(
            f"gallery {gallery.uri} holds no collection: expected one folder of images for each, found {_say(there)} "
            "without any; put the artworks of each style into a folder named for it"
        )
    if empty:
        logger.warning("left out, without an image in them: %s", ", ".join(empty))
    return collections


def read_artworks(
    gallery: Store, collection: Collection, *, max_pixels: int, max_bytes: int = 10**9
) -> tuple[list[Artwork], list[Finding]]:
    """Read and decode the artworks of a collection; files that cannot be read become findings.

    Artworks with a short side above 2560 px are shrunk to it, so that a gallery of large scans fits in memory.

    Args:
        gallery: The root.
        collection: From `list_collections`.
        max_pixels: Larger images are refused.
        max_bytes: Larger files are not read.

    Raises:
        OSError: The store failed.
    """
    captions, findings = _read_captions(gallery, collection, max_bytes)
    findings += [_refuse(stored, max_bytes) for stored in collection.artworks if stored.size > max_bytes]
    artworks = []
    for keys in _batches(stored for stored in collection.artworks if stored.size <= max_bytes):
        data = gallery.read_many(keys)
        with ThreadPoolExecutor(_DECODED_AT_ONCE) as pool:
            outcomes = pool.map(_open, data, data.values(), repeat(max_pixels))
        for key, outcome in zip(data, outcomes, strict=True):
            if isinstance(outcome, Finding):
                findings.append(outcome)
            else:
                artworks.append(Artwork(key, outcome, captions.get(key), read_camera(_bytes(data[key]))))
    return artworks, findings


def _batches(artworks: Iterable[StoredObject]) -> Iterator[list[str]]:
    """Yield the keys of artworks that may be in memory together."""
    keys, size = [], 0
    for stored in artworks:
        keys.append(stored.key)
        size += stored.size
        if len(keys) == _READ_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield keys
            keys, size = [], 0
    if keys:
        yield keys


def _refuse(stored: StoredObject, max_bytes: int) -> Finding:
    kind = "unreadable" if PurePosixPath(stored.key).suffix.lower() in IMAGE_SUFFIXES else "captions"
    found = f"its file has {stored.size / 1e6:,.0f} MB, more than the limit of {max_bytes / 1e6:,.0f} MB"
    message = f"{stored.key} is not read ({found}); it is left out: raise max_megabytes, replace or remove it"
    return Finding(kind, message, (stored.key,))


def _is_fit(name: str) -> bool:
    if re.fullmatch(COLLECTION_NAME, name):
        return True
    logger.warning("folder %r is left out: a collection's name has letters, digits, '.', '_' and '-' only", name)
    return False


def _say(folders: Sequence[str]) -> str:
    return ", ".join(folders) or "no folder"


def _list_collection(gallery: Store, name: str) -> Collection:
    listed = gallery.list(name, hash_content=True)
    artworks = tuple(stored for stored in listed if PurePosixPath(stored.key).suffix.lower() in IMAGE_SUFFIXES)
    stems = {str(PurePosixPath(stored.key).with_suffix("")) for stored in artworks}
    sidecars = tuple(stored for stored in listed if _is_sidecar(PurePosixPath(stored.key), stems))
    facts = sorted((stored.key, stored.size, stored.etag) for stored in (*artworks, *sidecars))
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return Collection(name, gallery.uri, artworks, sidecars, fingerprint)


def _is_sidecar(path: PurePosixPath, stems: set[str]) -> bool:
    return path.name in _TABLES or (path.suffix == ".txt" and str(path.with_suffix("")) in stems)


def _open(key: str, data: bytes | Exception, max_pixels: int) -> np.ndarray | Finding:
    try:
        return _shrink(decode(_bytes(data), max_pixels=max_pixels).rgb)
    except ImageError as error:
        message = f"{key} cannot be read ({error.reason}); it is left out: replace or remove it"
        return Finding("unreadable", message, (key,))


def _shrink(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = _SHORT_SIDE_PX / min(height, width)
    return rgb if scale >= 1 else resize(rgb, round(width * scale), round(height * scale))


def _bytes(data: bytes | Exception) -> bytes:
    if isinstance(data, FileNotFoundError):
        raise ImageError("removed since the gallery was listed", "removed")
    if isinstance(data, Exception):
        raise data
    return data


def _read_captions(gallery: Store, collection: Collection, max_bytes: int) -> tuple[dict[str, str], list[Finding]]:
    """Return captions by artwork key, a text file beside an artwork before a table; and what cannot be read."""
    data = gallery.read_many([stored.key for stored in collection.sidecars if stored.size <= max_bytes])
    known = {stored.key for stored in collection.artworks}
    captions: dict[str, str] = {}
    findings = [_refuse(stored, max_bytes) for stored in collection.sidecars if stored.size > max_bytes]
    for key in sorted(data, key=lambda key: key.endswith(".txt")):
        try:
            body = _bytes(data[key])
            found = _parse_text(key, body, known) if key.endswith(".txt") else _parse_table(key, body)
        except (ImageError, ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
            reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
            message = f"captions in {key} cannot be read ({reason}); expected UTF-8, columns file_name and caption"
            findings.append(Finding("captions", message, (key,)))
            continue
        captions |= {key: text for key, text in found.items() if key in known}
        if strangers := tuple(sorted(found.keys() - known)):
            message = f"{key} has captions for {len(strangers)} files that are not there, such as {strangers[0]}"
            findings.append(Finding("captions", f"{message}: correct their names", strangers))
    tidy = {key: " ".join(text.split())[:_LONGEST_CAPTION] for key, text in captions.items()}
    return {key: text for key, text in tidy.items() if text}, findings


def _parse_text(key: str, body: bytes, artworks: set[str]) -> dict[str, str]:
    stem, text = key.removesuffix(".txt"), body.decode("utf-8-sig")
    return {artwork: text for artwork in artworks if str(PurePosixPath(artwork).with_suffix("")) == stem}


def _parse_table(key: str, body: bytes) -> dict[str, str]:
    rows: Iterable[dict[str, Any]]
    if key.endswith(".csv"):
        rows = csv.DictReader(io.StringIO(body.decode("utf-8-sig")))
    elif key.endswith(".jsonl"):
        rows = [json.loads(line) for line in body.decode("utf-8-sig").splitlines() if line.strip()]
    else:
        rows = read_columns(body, ("file_name", "caption", "text"), max_rows=_MOST_ROWS).to_pylist()
    folder = PurePosixPath(key).parent
    return {str(folder / row["file_name"]): str(row.get("caption") or row.get("text") or "") for row in rows}
