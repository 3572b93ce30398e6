"""Pictures of coloured patches, and the one collection of a gallery of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from artbank.gallery.collections import Collection, list_collections
from artbank.store.objects import Store

SIDE_PX = 64


def paint(seed: int, side_px: int = SIDE_PX) -> np.ndarray:
    """Patches of colour, in a composition and tints of their own, fully covering the picture."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(60, 200, (6, 6, 3), np.uint8))
    return np.asarray(patches.resize((side_px, side_px), Image.Resampling.BICUBIC))


def save(rgb: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """Return a picture as a file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind, **options)
    return file.getvalue()


def only(gallery: Store) -> Collection:
    """Return the one collection of a gallery."""
    [collection] = list_collections(gallery)
    return collection
