"""List the collections of a gallery, and read their artworks and captions.

A gallery has one folder for each collection. The artworks are all images below it. For their captions see `captions`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np

from artbank.catalog.store_places import check_may_hold_banks
from artbank.errors import CollectionError, ImageError
from artbank.gallery.artwork_folders import warn_of_loose_artworks
from artbank.gallery.captions import CaptionSources, SharedTables, find_sources, read_captions
from artbank.gallery.findings import Finding
from artbank.gallery.listed_files import read_files
from artbank.gallery.missing_collections import join_names, name_unreadable, no_collection
from artbank.gallery.preparation import ArtworkFile, prepare_artworks
from artbank.images.palette import Colours
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.parameters.skip_rules import SkipRules
from artbank.runtime.collection_ids import collection_id, normalize_name
from artbank.runtime.counts import number_are
from artbank.runtime.hashing import full_hash
from artbank.runtime.name_advice import advise_name
from artbank.store.explanations import explain
from artbank.store.objects import Store, StoredObject
from artbank.store.places import check_apart, check_there
from artbank.store.skipped import MAY_BE_PHOTOS, SKIP_KINDS, SkippedFiles, SkippedKind
from artbank.store.transient_errors import concerns_one_object

logger = logging.getLogger(__name__)

_READ_AT_ONCE = 32  # artworks whose files are in memory together
_BYTES_AT_ONCE = 256 * 2**20  # bytes of files in memory together; the last file may go beyond


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
        skipped: Its files that are neither, or cannot be listed.
    """

    name: str
    gallery_uri: str
    artworks: tuple[StoredObject, ...] = field(repr=False)
    captions: CaptionSources = field(repr=False)
    fingerprint: str
    display_name: str
    skipped: tuple[SkippedKind, ...]


@dataclass(frozen=True)
class Artwork:
    """One artwork.

    Attributes:
        key: Its key in the gallery.
        picture: uint8 [H, W, 3], sRGB.
        caption: Its caption, if any.
        camera: The camera that took it, if known.
        whole_px: Its width and height, px, where `picture` is reduced; else None. See `PreparedArtwork`.
        known_colours: Its colours, if they are measured.
    """

    key: str
    picture: np.ndarray = field(repr=False)
    caption: str | None = None
    camera: str | None = None
    whole_px: tuple[int, int] | None = None
    known_colours: Colours | None = field(default=None, repr=False)

    @property
    def colours(self) -> Colours:
        """Its colours, of the pixels before its picture was reduced if they are known."""
        return self.known_colours or Colours.count(self.picture)


def check_places(gallery: Store, store: Store) -> None:
    """Check that a gallery is not empty, that gallery and store do not overlap, and that the store may hold banks.

    Raises:
        ConfigError: One of these is not so.
        OSError: The gallery's store failed.
    """
    check_apart({"gallery": gallery}, {"store": store})
    check_there(gallery, "a folder of artworks for each collection")
    check_may_hold_banks(store)


def list_collections(
    gallery: Store, names: Sequence[str] = (), rules: Sequence[str] = (), skipped: SkippedFiles | None = None
) -> list[Collection]:
    """List the collections of a gallery, sorted by id; no artwork is read if the store has etags.

    Args:
        gallery: The gallery.
        names: Names or ids of the collections to list; all when empty.
        rules: Rules of `skip`, see `skip_rules`.
        skipped: Collects the files that are neither artworks nor captions, or cannot be listed.

    Raises:
        CollectionError: There is no collection, or one that was asked for is missing or has no artwork.
        ConfigError: A rule is no glob.
        OSError: The store failed.
    """
    left_out = SkippedFiles() if skipped is None else skipped
    skip_rules = SkipRules(rules)
    all_folders = [name for name in gallery.list_folders(skipped=left_out) if not skip_rules.skip_folder(name)]
    folders = _group_folders(all_folders)
    wanted = {collection_id(name): name for name in names}
    if missing := sorted(wanted[name] for name in wanted.keys() - folders.keys()):
        raise CollectionError(
            f"gallery {gallery.uri} has no {', '.join(missing)}; there is {join_names(all_folders)}"
            f"{advise_name(missing[0], all_folders)}"
        )
    files = gallery.list_files()
    for stored in () if names else files:
        if skip_rules.is_container(stored.key):
            left_out.add("container", stored.key)
    shared = SharedTables(gallery, files)
    shared.warn_of_others(all_folders)
    listed = [
        _list_collection(gallery, name, folders[name], shared, skip_rules, left_out)
        for name in sorted(wanted or folders)
    ]
    collections = [collection for collection in listed if collection.artworks]
    empty = [collection.display_name for collection in listed if not collection.artworks]
    empty_text = f"{', '.join(empty)}{name_unreadable(left_out)}"
    if names and empty:
        raise CollectionError(f"gallery {gallery.uri} has no image in {empty_text}; put its artworks there")
    if not collections:
        raise no_collection(gallery, all_folders, left_out)
    warn_of_loose_artworks(gallery, () if names else files)
    if empty:
        logger.warning("folders left out because they have no image: %s", empty_text)
    for name in empty:
        left_out.add("empty", name)
    return collections


def read_artworks(
    gallery: Store,
    collection: Collection,
    *,
    max_pixels: int,
    max_bytes: int = 10**9,
    crop_px: int | None = None,
    may_start_processes: bool = False,
) -> tuple[list[Artwork], list[Finding]]:
    """Read and prepare the artworks of a collection; files that cannot be read become findings.

    Artworks with a short side above 2560 px are shrunk to it, and their pictures reduced further as far as the crops of
    the training allow, so that a gallery of large scans fits in memory.

    Args:
        gallery: The gallery.
        collection: One of its collections.
        max_pixels: Images with more pixels are not decoded.
        max_bytes: Files with more bytes are not read.
        crop_px: Side of the crops that are cut out of them. None: pictures are not reduced.
        may_start_processes: Whether large collections are prepared in processes of their own, else in threads.

    Raises:
        CollectionError: A file is not as it was listed.
        OSError: The store failed, for more than one file.
    """
    captions, findings = read_captions(gallery, collection.captions, collection.artworks, max_bytes)
    findings += _find_skipped(collection)
    findings += [_too_large(stored, max_bytes) for stored in collection.artworks if stored.size > max_bytes]
    wanted = [stored for stored in collection.artworks if stored.size <= max_bytes]
    prepared = prepare_artworks(
        _read_contents(gallery, wanted),
        num_bytes=sum(stored.size for stored in wanted),
        max_pixels=max_pixels,
        crop_px=crop_px,
        may_start_processes=may_start_processes,
    )
    artworks = []
    with closing(prepared):
        for key, artwork in prepared:
            if isinstance(artwork, ImageError):
                findings.append(_unreadable(key, artwork))
                continue
            if artwork.note:
                logger.warning("%s: %s", key, artwork.note)
            caption = captions.get(key)
            artworks.append(Artwork(key, artwork.picture, caption, artwork.camera, artwork.whole_px, artwork.colours))
    return artworks, findings


def _read_contents(gallery: Store, artworks: Iterable[StoredObject]) -> Iterator[ArtworkFile]:
    """Yield the files of artworks, read a batch at a time.

    Raises:
        CollectionError, OSError: See `read_artworks`.
    """
    for batch in _batch(artworks):
        for key, data in read_files(gallery, batch).items():
            yield key, _content(data)


def _find_skipped(collection: Collection) -> Iterator[Finding]:
    """Yield a finding for each kind of skipped file that may be artworks."""
    for kind in collection.skipped:
        if kind.kind in MAY_BE_PHOTOS:
            names = f"{', '.join(kind.names[:3])}{', ...' if kind.count > 3 else ''}"
            message = f"{number_are(kind.count, 'file')} skipped ({kind.kind}): {names}. {SKIP_KINDS[kind.kind]}"
            yield Finding("skipped", message, kind.names)


def _batch(artworks: Iterable[StoredObject]) -> Iterator[list[StoredObject]]:
    """Yield artworks whose files may be in memory together."""
    batch: list[StoredObject] = []
    size = 0
    for stored in artworks:
        batch.append(stored)
        size += stored.size
        if len(batch) == _READ_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield batch
            batch = []
            size = 0
    if batch:
        yield batch


def _too_large(stored: StoredObject, max_bytes: int) -> Finding:
    reason = f"its file has {stored.size / 1e6:,.0f} MB, more than the limit of {max_bytes / 1e6:,.0f} MB"
    message = f"{stored.key} is not read ({reason}); it is left out: raise max_megabytes, replace or remove it"
    return Finding("unreadable", message, (stored.key,))


def _group_folders(folders: Iterable[str]) -> dict[str, list[str]]:
    """Return the folders of each collection by its id: one, or several whose names differ in their normal form only.

    If other folders have the same id, the one whose name is the id is kept, else the first by name.
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


def _list_collection(
    gallery: Store, name: str, folders: Sequence[str], shared: SharedTables, rules: SkipRules, skipped: SkippedFiles
) -> Collection:
    inside = SkippedFiles()
    listed = [stored for folder in folders for stored in gallery.list(folder, hash_content=True, skipped=inside)]
    in_folders = [stored for stored in listed if not rules.skip_folder(PurePosixPath(stored.key).parent.as_posix())]
    artworks = tuple(stored for stored in in_folders if _is_artwork(stored.key) and not rules.skip(stored.key))
    captions, findings = shared.of_folders(folders)
    sources = replace(find_sources(in_folders, artworks), shared=captions, findings=findings)
    for stored in {*listed}.difference(artworks, sources.files):
        inside.add("container" if rules.is_container(stored.key) else "no_photo", stored.key)
    skipped.extend(inside)
    facts = sorted([*((stored.key, stored.size, stored.etag) for stored in artworks), *sources.facts()])
    fingerprint = full_hash(json.dumps(facts))
    display_name = normalize_name(folders[0])
    return Collection(name, gallery.uri, artworks, sources, fingerprint, display_name, inside.kinds())


def _is_artwork(key: str) -> bool:
    return PurePosixPath(key).suffix.lower() in IMAGE_SUFFIXES


def _unreadable(key: str, error: ImageError) -> Finding:
    message = f"{key} cannot be read ({error.reason}); it is left out: replace or remove it"
    return Finding("unreadable", message, (key,))


def _content(data: bytes | Exception) -> bytes | ImageError:
    """Return the content of a file, or the error of one that cannot be read; raises errors that concern other files."""
    if isinstance(data, Exception) and concerns_one_object(data):
        return ImageError(f"the store does not deliver it: {explain(data)}", "store_error")
    if isinstance(data, Exception):
        raise data
    return data
