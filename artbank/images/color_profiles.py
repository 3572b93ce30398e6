"""Convert Pillow images of any mode to 8-bit sRGB: deep gray, palettes, CMYK, Lab, colour profiles, transparency."""

from __future__ import annotations

import io
import logging

import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF tag PhotometricInterpretation, and its value WhiteIsZero
_WHITES = (1, 255, 1023, 4095, 65535)  # of floats, and of 8, 10, 12 and 16 bit
_MAX_VALUE = 1e30  # larger and infinite floats are clipped, because their differences would overflow
_MODES_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_MODES_FOR_PROFILES = ("L", "RGB", "CMYK", "LAB")  # a colour profile applies to these without conversion


def to_8_bit(image: Image.Image) -> Image.Image:
    """Scale gray images of more than 8 bits to 8; return others unchanged.

    Files rarely say which value is white. It is the smallest of 1 (floats only), 255, 1023, 4095 and 65535 that no
    pixel exceeds. Images with negative or larger values are stretched from their darkest to their lightest pixel.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return image
    values = np.clip(np.nan_to_num(np.asarray(image).astype(np.float32)), -_MAX_VALUE, _MAX_VALUE)
    low = float(values.min())
    high = float(values.max())
    whites = [white for white in _WHITES if high <= white and (white > 1 or image.mode == "F")]
    black, white = (0.0, whites[0]) if low >= 0 and whites else (low, high)
    scale = 255 / ((white - black) or 1)
    gray = np.round((values - black) * scale).astype(np.uint8)
    return Image.fromarray(255 - gray if _is_inverted(image) else gray)


def _is_inverted(image: Image.Image) -> bool:
    """Tell whether black is the highest value; Pillow handles that for up to 8 bits only."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC, 1) == _WHITE_IS_ZERO


def split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Return the colours as L, RGB, CMYK or LAB, and the alpha uint8 [H, W]; None if all pixels are opaque."""
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode not in _MODES_WITH_ALPHA and "transparency" not in image.info:
        return image if image.mode in _MODES_FOR_PROFILES else image.convert(mode), None
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = np.array(rgba.getchannel("A"))
    return rgba.convert(mode), None if alpha.min() == 255 else alpha


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an L, RGB, CMYK or LAB image to sRGB with its ICC profile, or as Pillow does if it has no valid one.

    Uses the rendering intent of image editors: relative colorimetric with black point compensation.
    """
    if profile is None and image.mode != "LAB":
        return image.convert("RGB")
    try:
        if image.mode == "LAB":
            source = ImageCms.createProfile("LAB")
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        logger.debug("treated as sRGB because its colour profile cannot be used: %s", error)
        return image.convert("RGB")
    assert converted is not None  # None is only for conversions in place
    return converted


def composite_on_white(image: Image.Image, alpha: np.ndarray) -> Image.Image:
    """Composite an RGB image on white by its alpha uint8 [H, W]."""
    return Image.composite(image, Image.new("RGB", image.size, "white"), Image.fromarray(alpha))
