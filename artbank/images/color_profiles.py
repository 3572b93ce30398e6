"""Convert Pillow images of 8 bits and any mode to sRGB: palettes, CMYK, Lab, colour spaces, transparency."""

from __future__ import annotations

import io
import logging

import numpy as np
from PIL import Image, ImageCms

from artbank.images.color_spaces import ColorSpace

logger = logging.getLogger(__name__)

_MODES_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_MODES_FOR_PROFILES = ("L", "RGB", "CMYK", "LAB")  # a colour profile applies to these without conversion


def split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Return the colours as L, RGB, CMYK or LAB, and the alpha uint8 [H, W]; None if all pixels are opaque."""
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode not in _MODES_WITH_ALPHA and "transparency" not in image.info:
        return image if image.mode in _MODES_FOR_PROFILES else image.convert(mode), None
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = np.array(rgba.getchannel("A"))
    return rgba.convert(mode), None if alpha.min() == 255 else alpha


def to_srgb(image: Image.Image, space: ColorSpace) -> Image.Image:
    """Convert an L, RGB, CMYK or LAB image to sRGB from its colour space, or as Pillow does if that cannot be used.

    Uses the rendering intent of image editors: relative colorimetric with black point compensation.

    Args:
        image: The image.
        space: Its colour space, of standard dynamic range.
    """
    profile = space.profile
    if image.mode in ("L", "RGB") and space.is_narrow:
        image = image.point([round(min(max(code - 16, 0) * 255 / 219, 255)) for code in range(256)] * len(image.mode))
    if profile is None and image.mode != "LAB":
        return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it
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
