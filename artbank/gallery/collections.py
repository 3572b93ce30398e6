"""List the collections of a gallery, and read their artworks and captions.

A gallery has one folder for each collection. The artworks are all images below it. An artwork's caption is in
`<name>.txt` beside it, or in a `metadata.csv`, `.jsonl` or `.parquet` of its folder with the columns `file_name` and
`caption` or `text`, as in Hugging Face's ImageFolder.
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
from artbank.skip_rules import SkipRules
from artbank.store.objects import Store, StoredObject
from artbank.store.parquet import read_columns
from artbank.store.skipped import MAY_BE_PHOTOS, SKIP_KINDS, SkippedFiles, SkippedKind
from artbank.store.transient_errors import advise, concerns_one_object

logger = logging.getLogger(__name__)

_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_LONGEST_CAPTION = 500  # characters; a prompt has 77 tokens
_READ_AT_ONCE = 32  # artworks whose files are in memory together
_BYTES_AT_ONCE = 256 * 2**20  # bytes of files in memory together; the last file may go beyond
_MOST_ROWS = 1_000_000  # of a table of captions
_DECODED_AT_ONCE = 4  # artworks; each may need a few bytes for every one of `max_pixels`
_SHORT_SIDE_PX = 2560  # short side for the largest crop that a recipe can ask for, at its largest zoom


@dataclass(frozen=True)
class Collection:
    """One collection as it was listed.

    Attributes:
        name: Name of its folder.
        gallery_uri: The gallery that its folder is in.
        artworks: Its images; keys are relative to the gallery.
        sidecars: Its files with captions; keys are relative to the gallery.
        fingerprint: SHA-256, hex, of the keys, sizes and etags of both. It changes with the content.
        skipped: Its files that are neither, or cannot be listed.
    """

    name: str
    gallery_uri: str
    artworks: tuple[StoredObject, ...] = field(repr=False)
    sidecars: tuple[StoredObject, ...] = field(repr=False)
    fingerprint: str
    skipped: tuple[SkippedKind, ...] = ()


@dataclass(frozen=True)
class Artwork:
    """One artwork: key, pixels uint8 [H, W, 3] sRGB, caption if any, and the camera that took it if known."""

    key: str
    picture: np.ndarray = field(repr=False)
    caption: str | None = None
    camera: str | None = None


@dataclass(frozen=True)
class Finding:
    """A fact about a collection that its owner should know: a kind, a sentence, and the keys of the files."""

    kind: str
    message: str
    keys: tuple[str, ...] = ()


def list_collections(
    gallery: Store, names: Sequence[str] = (), rules: Sequence[str] = (), skipped: SkippedFiles | None = None
) -> list[Collection]:
    """List the collections of a gallery, sorted by name; no file is read if the store has etags.

    Args:
        gallery: The gallery.
        names: Names of the collections to list; all when empty.
        rules: Rules of `skip`, see `skip_rules`.
        skipped: Collects the files that are neither artworks nor captions, or cannot be listed.

    Raises:
        CollectionError: There is no collection, or one that was asked for is missing or has no artwork.
        ConfigError: A rule is no glob.
        OSError: The store failed.
    """
    left_out = SkippedFiles() if skipped is None else skipped
    skip_rules = SkipRules(rules)
    folders = [name for name in gallery.list_folders(skipped=left_out) if not skip_rules.skip_folder(name)]
    if missing := sorted(set(names) - set(folders)):
        raise CollectionError(f"gallery {gallery.uri} has no {', '.join(missing)}; there is {_join_names(folders)}")
    wanted = [name for name in sorted(set(names or folders)) if _has_valid_name(name)]
    listed = [_list_collection(gallery, name, skip_rules, left_out) for name in wanted]
    collections = [collection for collection in listed if collection.artworks]
    empty = [collection.name for collection in listed if not collection.artworks]
    if names and empty:
        found = f"{', '.join(empty)}{_name_unreadable(left_out)}"
        raise CollectionError(f"gallery {gallery.uri} has no image in {found}; put its artworks there")
    if not collections:
        raise CollectionError(
            f"gallery {gallery.uri} holds no collection: expected one folder of images for each, found "
            f"{_join_names(folders)} without any{_name_unreadable(left_out)}; put the artworks of each style into a "
            "folder named for it"
        )
    if empty:
        found = f"{', '.join(empty)}{_name_unreadable(left_out)}"
        logger.warning("folders left out because they have no image: %s", found)
    return collections


def read_artworks(
    gallery: Store, collection: Collection, *, max_pixels: int, max_bytes: int = 10**9
) -> tuple[list[Artwork], list[Finding]]:
    """Read and decode the artworks of a collection; files that cannot be read become findings.

    Artworks with a short side above 2560 px are shrunk to it, so that a gallery of large scans fits in memory.

    Args:
        gallery: The gallery.
        collection: One of its collections.
        max_pixels: Images with more pixels are not decoded.
        max_bytes: Files with more bytes are not read.

    Raises:
        OSError: The store failed, for more than one file.
    """
    captions, findings = _read_captions(gallery, collection, max_bytes)
    findings += _find_skipped(collection)
    findings += [_too_large(stored, max_bytes) for stored in collection.artworks if stored.size > max_bytes]
    artworks = []
    for keys in _batch_keys(stored for stored in collection.artworks if stored.size <= max_bytes):
        data = gallery.read_many(keys)
        with ThreadPoolExecutor(_DECODED_AT_ONCE) as pool:
            decoded = pool.map(_decode, data, data.values(), repeat(max_pixels))
        for key, picture in zip(data, decoded, strict=True):
            if isinstance(picture, Finding):
                findings.append(picture)
            else:
                artworks.append(Artwork(key, picture, captions.get(key), read_camera(_content(data[key]))))
    return artworks, findings


def _find_skipped(collection: Collection) -> Iterator[Finding]:
    """Yield a finding for each kind of skipped file that may be artworks."""
    for kind in collection.skipped:
        if kind.kind in MAY_BE_PHOTOS:
            names = f"{', '.join(kind.names[:3])}{', ...' if kind.count > 3 else ''}"
            message = f"{kind.count} files are skipped ({kind.kind}): {names}. {SKIP_KINDS[kind.kind]}"
            yield Finding("skipped", message, kind.names)


def _batch_keys(artworks: Iterable[StoredObject]) -> Iterator[list[str]]:
    """Yield the keys of artworks that may be in memory together."""
    keys: list[str] = []
    size = 0
    for stored in artworks:
        keys.append(stored.key)
        size += stored.size
        if len(keys) == _READ_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield keys
            keys = []
            size = 0
    if keys:
        yield keys


def _too_large(stored: StoredObject, max_bytes: int) -> Finding:
    kind = "unreadable" if _is_artwork(stored.key) else "captions"
    found = f"its file has {stored.size / 1e6:,.0f} MB, more than the limit of {max_bytes / 1e6:,.0f} MB"
    message = f"{stored.key} is not read ({found}); it is left out: raise max_megabytes, replace or remove it"
    return Finding(kind, message, (stored.key,))


def _has_valid_name(name: str) -> bool:
    """Return whether a folder can be a collection, and warn if not."""
    if re.fullmatch(COLLECTION_NAME, name):
        return True
    logger.warning("folder %r is left out: a collection's name may have only letters, digits, '.', '_' and '-'", name)
    return False


def _join_names(folders: Sequence[str]) -> str:
    return ", ".join(folders) or "no folder"


def _name_unreadable(skipped: SkippedFiles) -> str:
    """Return the folders and files that may not be listed, in brackets; nothing if there are none."""
    return f" ({', '.join(sorted(skipped.unreadable))} may not be read)" if skipped.unreadable else ""


def _list_collection(gallery: Store, name: str, rules: SkipRules, skipped: SkippedFiles) -> Collection:
    inside = SkippedFiles()
    listed = gallery.list(name, hash_content=True, skipped=inside)
    in_folders = [stored for stored in listed if not rules.skip_folder(PurePosixPath(stored.key).parent.as_posix())]
    artworks = tuple(stored for stored in in_folders if _is_artwork(stored.key) and not rules.skip(stored.key))
    stems = {str(PurePosixPath(stored.key).with_suffix("")) for stored in artworks}
    sidecars = tuple(stored for stored in in_folders if _is_sidecar(PurePosixPath(stored.key), stems))
    for stored in {*listed}.difference(artworks, sidecars):
        inside.add("no_photo", stored.key)
    skipped.extend(inside)
    facts = sorted((stored.key, stored.size, stored.etag) for stored in (*artworks, *sidecars))
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return Collection(name, gallery.uri, artworks, sidecars, fingerprint, inside.kinds())


def _is_artwork(key: str) -> bool:
    return PurePosixPath(key).suffix.lower() in IMAGE_SUFFIXES


def _is_sidecar(path: PurePosixPath, stems: set[str]) -> bool:
    return path.name in _TABLES or (path.suffix == ".txt" and str(path.with_suffix("")) in stems)


def _decode(key: str, data: bytes | Exception, max_pixels: int) -> np.ndarray | Finding:
    try:
        picture = decode(_content(data), max_pixels=max_pixels, file_name=key)
        if picture.note:
            logger.warning("%s: %s", key, picture.note)
        return _shrink(picture.rgb)
    except ImageError as error:
        message = f"{key} cannot be read ({error.reason}); it is left out: replace or remove it"
        return Finding("unreadable", message, (key,))


def _shrink(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = _SHORT_SIDE_PX / min(height, width)
    return rgb if scale >= 1 else resize(rgb, round(width * scale), round(height * scale))


def _content(data: bytes | Exception) -> bytes:
    """Return the content of a file that was read, or raise the error of one that was not."""
    if isinstance(data, FileNotFoundError):
        raise ImageError("removed since the gallery was listed", "removed")
    if isinstance(data, Exception) and concerns_one_object(data):
        raise ImageError(f"the store does not deliver it: {data}; {advise(data)}", "store_error")
    if isinstance(data, Exception):
        raise data
    return data


def _read_captions(gallery: Store, collection: Collection, max_bytes: int) -> tuple[dict[str, str], list[Finding]]:
    """Return captions by artwork key, and findings; a text file beside an artwork takes precedence over a table."""
    data = gallery.read_many([stored.key for stored in collection.sidecars if stored.size <= max_bytes])
    known = {stored.key for stored in collection.artworks}
    captions: dict[str, str] = {}
    findings = [_too_large(stored, max_bytes) for stored in collection.sidecars if stored.size > max_bytes]
    for key in sorted(data, key=lambda key: key.endswith(".txt")):
        try:
            body = _content(data[key])
            found = _parse_text(key, body, known) if key.endswith(".txt") else _parse_table(key, body)
        except (ImageError, ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
            reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
            message = f"captions in {key} cannot be read ({reason}); expected UTF-8, columns file_name and caption"
            findings.append(Finding("captions", message, (key,)))
            continue
        captions |= {key: text for key, text in found.items() if key in known}
        if unknown_keys := tuple(sorted(found.keys() - known)):
            message = f"{key} has captions for {len(unknown_keys)} files that are not there, such as {unknown_keys[0]}"
            findings.append(Finding("captions", f"{message}: correct their names", unknown_keys))
    normalized = {key: " ".join(text.split())[:_LONGEST_CAPTION] for key, text in captions.items()}
    return {key: text for key, text in normalized.items() if text}, findings


def _parse_text(key: str, body: bytes, artworks: set[str]) -> dict[str, str]:
    stem = key.removesuffix(".txt")
    text = body.decode("utf-8-sig")
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
