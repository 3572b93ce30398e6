"""Warn where the folders of artworks look unlike those that a training expects: it learns one style from each folder.

A gallery in place of a collection would be learned as one style, and a collection in place of a gallery would lose the
artworks that lie in it directly.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.parameters.train_config import FEWEST_ARTWORKS
from artbank.runtime.counts import number_text
from artbank.runtime.readable_text import list_names
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)


def warn_of_galleries(name: str, folder: Store, keys: Iterable[str]) -> None:
    """Warn if a collection may be a gallery: its artworks lie in several folders alone, each enough for a style.

    Args:
        name: The name of its style.
        folder: The place that the keys are relative to.
        keys: The keys of its artworks.
    """
    parents = [PurePosixPath(key).parent.parts for key in keys]
    if not parents:
        return
    depth = _count_shared(parents)
    counts = Counter(parts[depth] for parts in parents if len(parts) > depth)
    if counts.total() < len(parents) or sum(count >= FEWEST_ARTWORKS for count in counts.values()) < 2:
        return
    above = folder.child(*parents[0][:depth]).uri
    logger.warning(
        "%s: its %s lie in %s (%s) and are learned as one style; if each folder is a style of its own, give the folder "
        "above them to `artbank train`, %s, or one of them to artbank.train",
        name,
        number_text(len(parents), "artwork"),
        number_text(len(counts), "folder"),
        list_names(sorted(counts)),
        above,
    )


def warn_of_loose_artworks(gallery: Store, listed: Iterable[StoredObject]) -> None:
    """Warn of images that lie in a gallery beside its folders, and belong to no collection.

    Args:
        gallery: The gallery, which has collections.
        listed: The files that lie in it directly.
    """
    loose = [stored.key for stored in listed if PurePosixPath(stored.key).suffix.lower() in IMAGE_SUFFIXES]
    if loose:
        logger.warning(
            "%s: left out %s beside the folders (%s), which are in no collection; put the artworks of each style into "
            "a folder, or give the folder above if all of them are one style",
            gallery.uri,
            number_text(len(loose), "image"),
            list_names(loose),
        )


def _count_shared(parents: list[tuple[str, ...]]) -> int:
    """Return the number of folders that all paths begin with."""
    first, last = min(parents), max(parents)
    shared = 0
    for first_part, last_part in zip(first, last, strict=False):
        if first_part != last_part:
            break
        shared += 1
    return shared
