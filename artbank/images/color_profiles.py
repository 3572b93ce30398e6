"""Pillow images of any mode to 8 bit sRGB: deep gray, palettes, CMYK, Lab, embedded colour profiles, transparency."""

from __future__ import annotations

import io
import logging

import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF and one of its values
_WHITES = (1, 255, 1023, 4095, 65535)
_FARTHEST = 1e30  # infinite and absurd floats, whose differences would overflow
_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_MANAGED = ("L", "RGB", "CMYK", "LAB")  # modes whose colour profile can be applied as they are


def to_8_bit(image: Image.Image) -> Image.Image:
    """Scale deep gray images to 8 bit; others are left.

    What is white is seldom said: it is the least of 1 (floats only) and the whole 8, 10, 12 or 16 bit that no value is
    above. Images with negative or larger values are stretched from their darkest to their lightest.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return image
    values = np.clip(np.nan_to_num(np.asarray(image).astype(np.float32)), -_FARTHEST, _FARTHEST)
    low, high = float(values.min()), float(values.max())
    whites = [white for white in _WHITES if high <= white and (white > 1 or image.mode == "F")]
    black, white = (0.0, whites[0]) if low >= 0 and whites else (low, high)
    gray = np.round((values - black) * (255 / ((white - black) or 1))).astype(np.uint8)
    return Image.fromarray(255 - gray if _is_inverted(image) else gray)


def _is_inverted(image: Image.Image) -> bool:
    """Say whether black is the highest value, which Pillow minds up to 8 bit only."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC, 1) == _WHITE_IS_ZERO


def split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Return the colours as L, RGB, CMYK or LAB, and the alpha uint8 [H, W] where something is not opaque."""
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return image if image.mode in _MANAGED else image.convert(mode), None
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = np.array(rgba.getchannel("A"))
    return rgba.convert(mode), None if alpha.min() == 255 else alpha


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an L, RGB, CMYK or LAB image by its ICC profile; without one, or with a broken one, take the usual.

    Intent as in image editors: relative colorimetric with black point compensation.
    """
    if profile is None and image.mode != "LAB":
        return image.convert("RGB")
    try:
        lab = image.mode == "LAB"
        source = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        logger.debug("taken as sRGB, its colour profile cannot be used: %s", error)
        return image.convert("RGB")
    assert converted is not None  # it is None only where an image is converted in place
    return converted


def lay_on_white(image: Image.Image, alpha: np.ndarray) -> Image.Image:
    """Lay an RGB image on white by its alpha uint8 [H, W]."""
    return Image.composite(image, Image.new("RGB", image.size, "white"), Image.fromarray(alpha))
