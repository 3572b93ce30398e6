"""Errors and warnings about collections that are missing from a gallery; they say what it has instead."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from artbank.catalog.catalog import Catalog
from artbank.errors import CollectionError
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.records.bank_records import BankRecord
from artbank.runtime.collection_ids import collection_id
from artbank.runtime.counts import number_text
from artbank.runtime.readable_text import list_names
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles, find_packed

logger = logging.getLogger(__name__)


def no_collection(gallery: Store, folders: Sequence[str], skipped: SkippedFiles) -> CollectionError:
    """Return the error for a gallery in which no folder has an image.

    Args:
        gallery: The gallery. If images lie in it, it may be a collection itself.
        folders: Its folders.
        skipped: What may not be read.

    Raises:
        OSError: The store failed.
    """
    images = [stored for stored in gallery.list_files() if PurePosixPath(stored.key).suffix.lower() in IMAGE_SUFFIXES]
    content = f"no image in {join_names(folders)}" if folders else "no folder"
    if images:
        content = f"{number_text(len(images), 'image')} and {content}"
    first_advice = "name the folder above it, or " if images and not folders else ""
    if packed := find_packed(skipped.kinds()):
        first_advice = f"unpack {packed}: artworks inside of a file are not read; "
    return CollectionError(
        f"gallery {gallery.uri} holds no collection: expected one folder of images for each, found "
        f"{content}{name_unreadable(skipped)}; {first_advice}put the artworks of each style into a folder named for it"
    )


def warn_of_missing(gallery: Store, catalog: Catalog, banks: Iterable[BankRecord]) -> None:
    """Warn of collections whose newest bank was trained in a gallery that has no such folder now.

    Nothing happens to the banks. There is no warning of a collection whose banks are all retired.

    Args:
        gallery: The gallery.
        catalog: The catalog.
        banks: All banks of the catalog.

    Raises:
        CatalogError: A row of the catalog cannot be read.
        OSError: A store failed.
    """
    newest = {bank.collection: bank for bank in sorted(banks, key=lambda bank: bank.version)}
    of_gallery = {name: bank for name, bank in newest.items() if bank.gallery_uri == gallery.uri}
    folder_ids = {collection_id(name) for name in gallery.list_folders(skipped=SkippedFiles())}
    missing = {name: bank for name, bank in of_gallery.items() if name not in folder_ids}
    if not missing:
        return
    rows = catalog.table().select(["collection", "version", "status"]).to_pylist()
    kept = [row for row in rows if row["collection"] in missing and row["status"] != "retired"]
    names = sorted({missing[row["collection"]].title for row in kept})
    if names:
        logger.warning(
            "gallery %s has no folder %s any more; its banks (%s) stay in the store: put the folder back, or retire "
            "them if it was removed on purpose (`artbank banks retire`)",
            gallery.uri,
            list_names(names),
            list_names([f"{row['collection']}@{row['version']}" for row in kept]),
        )


def join_names(folders: Sequence[str]) -> str:
    """Return the names of folders in one line."""
    return ", ".join(folders) or "no folder"


def name_unreadable(skipped: SkippedFiles) -> str:
    """Return the folders and files that may not be listed, in brackets; nothing if there are none."""
    return f" ({', '.join(sorted(skipped.unreadable))} may not be read)" if skipped.unreadable else ""
