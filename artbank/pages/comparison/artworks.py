"""Artworks of a style's collections, to show beside the pairs of that style."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import PurePosixPath

import numpy as np
from more_itertools import interleave_longest

from artbank.errors import ImageError
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.pages.comparison.pictures import shrink
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

NUM_ARTWORKS = 4
_LONG_SIDE_PX = 512


def draw_artworks(gallery: Store, style: str, seed: int, max_pixels: int) -> list[bytes]:
    """Return up to `NUM_ARTWORKS` artworks of a style as JPEGs, from each of its collections in turn.

    Args:
        gallery: Holds a folder for each collection.
        style: The folder name of a style, such as `monet@2` or `monet_0.7+hokusai_0.3`.
        seed: Determines which artworks are taken.
        max_pixels: Larger artworks are skipped, as are those that cannot be read.

    Raises:
        OSError: The store failed.
    """
    collections = find_collections(style, gallery.list_folders())
    if not collections:
        logger.warning("%s has no folder for style %s; its pairs have no artworks beside them", gallery.uri, style)
    drawn: list[bytes] = []
    for key in interleave_longest(*(_draw_keys(gallery, name, seed) for name in collections)):
        if len(drawn) == NUM_ARTWORKS:
            break
        try:
            drawn.append(shrink(gallery.read(key), _LONG_SIDE_PX, max_pixels))
        except (ImageError, FileNotFoundError) as error:
            logger.warning("artwork %s is not shown: %s", gallery.uri_of(key), error)
    return drawn


def find_collections(style: str, folders: Collection[str]) -> list[str]:
    """Return the folders of a gallery that a style is made of; its name may have versions, and weights in mixes."""
    folders_of_style = []
    for part in re.split(r"\+| / ", style):
        name = part.partition("@")[0]
        for known in (name, re.sub(r"_[\d.e-]+$", "", name)):
            if known in folders:
                folders_of_style.append(known)
                break
    return list(dict.fromkeys(folders_of_style))


def _draw_keys(gallery: Store, collection: str, seed: int) -> list[str]:
    listed = [stored.key for stored in gallery.list(collection)]
    images = [key for key in listed if PurePosixPath(key).suffix.lower() in IMAGE_SUFFIXES]
    return [images[place] for place in np.random.default_rng(seed).permutation(len(images))]
