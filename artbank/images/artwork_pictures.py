"""Prepare the artworks of a collection: decode and shrink each, and measure its colours.

Shape legend: H x W the artwork, at most 2560 px on the short side; H/f x W/f its picture, reduced by a whole number f.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from artbank.images.codec import decode, read_camera
from artbank.images.palette import Colours

_SHORT_SIDE_PX = 2560  # for the largest crop that a recipe can ask for, at its largest zoom
_LEAST_PX = 1024  # short side of a reduced picture: previews, scorers and the collection doctor look at it, too
_LEAST_RATIO = 2.0  # of a reduced picture to what a crop needs: crops stay within 49 dB on a painting full of strokes
LARGEST_ZOOM = 1.25
"""The largest crop shows the whole short side of an artwork, the smallest 1 / 1.25 of it."""


@dataclass(frozen=True)
class PreparedArtwork:
    """One artwork as the training keeps it.

    Attributes:
        picture: uint8 [H/f, W/f, 3], sRGB; the last row and column may show less than f px of the artwork.
        whole_px: Its width W and height H, px, where its colours are measured.
        colours: Its colours.
        camera: See `codec.read_camera`.
        note: See `codec.Picture`.
    """

    picture: np.ndarray = field(repr=False)
    whole_px: tuple[int, int]
    colours: Colours = field(repr=False)
    camera: str | None
    note: str


def prepare_artwork(key: str, data: bytes, max_pixels: int, crop_px: int | None) -> PreparedArtwork:
    """Prepare an artwork.

    Args:
        key: Its key, which helps to name the format of its file.
        data: Content of its file.
        max_pixels: Larger images are rejected before they are decoded.
        crop_px: Side of the crops that are cut out of it; its picture has what they need. None: it is not reduced.

    Raises:
        ImageError: The image cannot be used.
    """
    decoded = decode(data, max_pixels=max_pixels, choose_size=_limit_size, exact=True, file_name=key)
    rgb = decoded.rgb
    height, width = rgb.shape[:2]
    factor = 1 if crop_px is None else choose_factor(min(width, height), crop_px)
    picture = rgb if factor == 1 else np.array(Image.fromarray(rgb).reduce(factor))
    return PreparedArtwork(picture, (width, height), Colours.count(rgb), read_camera(data), decoded.note)


def choose_factor(short_px: int, crop_px: int) -> int:
    """Return by how much an artwork may be reduced, 1 or more, so that crops of a side hardly change.

    Args:
        short_px: Short side of the artwork.
        crop_px: Side of the crops.
    """
    needed = max(_LEAST_RATIO * LARGEST_ZOOM * crop_px, _LEAST_PX)
    return max(int(short_px / needed), 1)


def _limit_size(width_px: int, height_px: int) -> tuple[int, int]:
    """Return the size at which the colours of an artwork are measured."""
    scale = min(_SHORT_SIDE_PX / min(height_px, width_px), 1.0)
    return round(width_px * scale), round(height_px * scale)
