"""List the collections of a gallery, and read their artworks and captions.

A gallery has one folder for each collection. The artworks are all images below it. For their captions see `captions`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import PurePosixPath

import numpy as np

from artbank.errors import CollectionError, ImageError
from artbank.gallery.captions import CaptionSources, SharedTables, find_sources, read_captions
from artbank.gallery.findings import Finding
from artbank.images.codec import decode, read_camera, resize
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.runtime.collection_ids import collection_id, normalize_name
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)

_READ_AT_ONCE = 32  # artworks whose files are in memory together
_BYTES_AT_ONCE = 256 * 2**20  # bytes of files in memory together; the last file may go beyond
_DECODED_AT_ONCE = 4  # artworks; each may need a few bytes for every one of `max_pixels`
_SHORT_SIDE_PX = 2560  # short side for the largest crop that a recipe can ask for, at its largest zoom


@dataclass(frozen=True)
class Collection:
    """One collection as it was listed.

    Attributes:
        name: Its id, which is the name of its folder if that is safe; see `collection_ids`.
        gallery_uri: The gallery that its folder is in.
        artworks: Its images; keys are relative to the gallery.
        captions: The files with its captions, and the captions in tables of the gallery.
        fingerprint: SHA-256, hex, of the keys, sizes and etags of both. It changes with the content.
        display_name: Name of its folder.
    """

    name: str
    gallery_uri: str
    artworks: tuple[StoredObject, ...] = field(repr=False)
    captions: CaptionSources = field(repr=False)
    fingerprint: str
    display_name: str


@dataclass(frozen=True)
class Artwork:
    """One artwork: key, pixels uint8 [H, W, 3] sRGB, caption if any, and the camera that took it if known."""

    key: str
    picture: np.ndarray = field(repr=False)
    caption: str | None = None
    camera: str | None = None


def list_collections(gallery: Store, names: Sequence[str] = ()) -> list[Collection]:
    """List the collections of a gallery, sorted by id; no artwork is read if the store has etags.

    Args:
        gallery: The gallery.
        names: Names or ids of the collections to list; all when empty.

    Raises:
        CollectionError: There is no collection, or one that was asked for is missing or has no artwork.
        OSError: The store failed.
    """
    all_folders = gallery.list_folders()
    folders = _group_folders(all_folders)
    wanted = {collection_id(name): name for name in names}
    if missing := sorted(wanted[name] for name in wanted.keys() - folders.keys()):
        raise CollectionError(f"gallery {gallery.uri} has no {', '.join(missing)}; there is {_join_names(all_folders)}")
    shared = SharedTables(gallery)
    shared.warn_of_others(all_folders)
    listed = [_list_collection(gallery, name, folders[name], shared) for name in sorted(wanted or folders)]
    collections = [collection for collection in listed if collection.artworks]
    empty = [collection.display_name for collection in listed if not collection.artworks]
    if names and empty:
        raise CollectionError(f"gallery {gallery.uri} has no image in {', '.join(empty)}; put its artworks there")
    if not collections:
        raise CollectionError(
            f"gallery {gallery.uri} holds no collection: expected one folder of images for each, found "
            f"{_join_names(all_folders)} without any; put the artworks of each style into a folder named for it"
        )
    if empty:
        logger.warning("folders left out because they have no image: %s", ", ".join(empty))
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
        OSError: The store failed.
    """
    captions, findings = read_captions(gallery, collection.captions, collection.artworks, max_bytes)
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
    found = f"its file has {stored.size / 1e6:,.0f} MB, more than the limit of {max_bytes / 1e6:,.0f} MB"
    message = f"{stored.key} is not read ({found}); it is left out: raise max_megabytes, replace or remove it"
    return Finding("unreadable", message, (stored.key,))


def _group_folders(folders: Iterable[str]) -> dict[str, list[str]]:
    """Return the folders of each collection by its id: one, or several whose names differ in their normal form only.

    Of other folders with one id, the one whose name is the id is kept, else the first, whatever order they come in.
    """
    groups: dict[str, list[str]] = {}
    for folder in sorted(folders, key=lambda name: (normalize_name(name) != collection_id(name), name)):
        group = groups.setdefault(collection_id(folder), [])
        if not group or normalize_name(group[0]) == normalize_name(folder):
            group.append(folder)
        else:
            logger.warning("folder %r is left out: it has the id of %r; rename one of them", folder, group[0])
    for group in groups.values():
        if len(group) > 1:
            logger.warning("folders %s have the same name and are one collection", ", ".join(map(ascii, group)))
    return groups


def _join_names(folders: Sequence[str]) -> str:
    return ", ".join(folders) or "no folder"


def _list_collection(gallery: Store, name: str, folders: Sequence[str], shared: SharedTables) -> Collection:
    listed = [stored for folder in folders for stored in gallery.list(folder, hash_content=True)]
    artworks = tuple(stored for stored in listed if PurePosixPath(stored.key).suffix.lower() in IMAGE_SUFFIXES)
    captions, findings = shared.of_folders(folders)
    sources = replace(find_sources(listed, artworks), shared=captions, findings=findings)
    facts = sorted([*((stored.key, stored.size, stored.etag) for stored in artworks), *sources.facts()])
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return Collection(name, gallery.uri, artworks, sources, fingerprint, normalize_name(folders[0]))


def _decode(key: str, data: bytes | Exception, max_pixels: int) -> np.ndarray | Finding:
    try:
        return _shrink(decode(_content(data), max_pixels=max_pixels).rgb)
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
    if isinstance(data, Exception):
        raise data
    return data
