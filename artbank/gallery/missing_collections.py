"""Errors about collections that a gallery should have: they tell what it has instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from artbank.errors import CollectionError
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.runtime.counts import number_text
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles


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
    what = f"no image in {join_names(folders)}" if folders else "no folder"
    found = f"{number_text(len(images), 'image')} and {what}" if images else what
    above = "name the folder above it, or " if images and not folders else ""
    return CollectionError(
        f"gallery {gallery.uri} holds no collection: expected one folder of images for each, found "
        f"{found}{name_unreadable(skipped)}; {above}put the artworks of each style into a folder named for it"
    )


def join_names(folders: Sequence[str]) -> str:
    """Return the names of folders in one line."""
    return ", ".join(folders) or "no folder"


def name_unreadable(skipped: SkippedFiles) -> str:
    """Return the folders and files that may not be listed, in brackets; nothing if there are none."""
    return f" ({', '.join(sorted(skipped.unreadable))} may not be read)" if skipped.unreadable else ""
