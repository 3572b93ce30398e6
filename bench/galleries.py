"""Collections and photographs for measurements of quality: drawn painters, folders of real artworks, folders of photos.

Pictures are uint8 [H, W, 3] sRGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from artbank.gallery.collections import list_collections, read_artworks
from artbank.images.codec import decode, resize
from artbank.mini.drawing.painters import HELD_OUT, paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.store.objects import Store

_ARTWORK_SEED = 50_000_000
_MAX_PIXELS = 10**8
_SAME = 4  # of 255, mean difference up to which two photos look the same


def open_collections(galleries: Path | None, painters: Sequence[str] = HELD_OUT) -> dict[str, list[np.ndarray]]:
    """Return collections by name: painters that the embedded model never saw, and each folder of `galleries`."""
    collections = {painter: draw_artworks(painter) for painter in painters}
    if galleries is not None:
        store = Store.open(str(galleries))
        for collection in list_collections(store):
            artworks, _ = read_artworks(store, collection, max_pixels=_MAX_PIXELS)
            collections[collection.name] = [artwork.picture for artwork in artworks]
    return collections


def split(artworks: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the artworks to learn from, and every fifth one, which is held out."""
    return [one for number, one in enumerate(artworks) if number % 5], list(artworks[::5])


def draw_artworks(painter: str, count: int = 20) -> list[np.ndarray]:
    """Draw artworks by a painter of `artbank.mini`, 160 px."""
    seeds = range(_ARTWORK_SEED, _ARTWORK_SEED + count)
    return [paint(draw_scene(seed, width_px=160, height_px=160).image, painter, seed) for seed in seeds]


def read_photos(folder: Path, side_px: int) -> dict[str, np.ndarray]:
    """Return the middle square of every photo in a folder, at `side_px` px, by file name in order.

    If photos look the same, such as one in several orientations of Exif, only the first is returned.
    """
    photos: dict[str, np.ndarray] = {}
    for path in sorted(folder.iterdir()):
        rgb = decode(path.read_bytes(), max_pixels=_MAX_PIXELS, file_name=path.name).rgb
        photo = middle_square(rgb, side_px)
        if all(np.abs(photo.astype(int) - other).mean() > _SAME for other in photos.values()):
            photos[path.name] = photo
    return photos


def middle_square(picture: np.ndarray, side_px: int) -> np.ndarray:
    """Return the middle square of a picture, resized to a side of `side_px` px."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(picture[top : top + side, left : left + side], side_px, side_px)
