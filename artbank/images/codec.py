"""Decode image files to upright sRGB pictures, and encode pictures.

Shape legend: H, W height and width, px; pictures uint8 [H, W, 3], sRGB, 0..255; alpha uint8 [H, W], 255 is opaque.

Files are untrusted input: only formats that Pillow decodes in the process are opened (EPS would start Ghostscript),
sizes are checked before anything is decoded, and any exception of Pillow becomes an `ImageError`.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from artbank.errors import ImageError
from artbank.images.color_profiles import composite_on_white, split_alpha, to_8_bit, to_srgb
from artbank.images.decompression_bombs import check_cost
from artbank.images.draft_decoding import Box, request_draft
from artbank.recipes import Alpha

logger = logging.getLogger(__name__)

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "PSD", "TGA")
_MIN_SIDE_PX = 8
# EXIF tags
_ORIENTATION = 0x0112
_MAKE = 0x010F
_MODEL = 0x0110
_EXIF_IFD = 0x8769
_EXPOSURE_TIME = 0x829A

_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = [_TRANSPOSE_BY_ORIENTATION[orientation] for orientation in (5, 6, 7, 8)]

# Pillow warns about unusual metadata, which does not matter here. `catch_warnings` is not thread-safe, so permanently.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Picture:
    """One upright sRGB picture.

    Attributes:
        rgb: uint8 [H, W, 3].
        alpha: uint8 [H, W] if transparency was requested and the file has some, else None.
        whole_px: Width and height, px, of the picture in the file, if `decode` returned a smaller one; else None.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    whole_px: tuple[int, int] | None = None


ChooseSize = Callable[[int, int], tuple[int, int]]
"""Maps width and height of a picture, px, to the width and height it is resized to; the same in both orientations."""


def decode(data: bytes, *, max_pixels: int, alpha: Alpha = "white", choose_size: ChooseSize | None = None) -> Picture:
    """Decode the first frame of an image file: upright, in sRGB, 8 bit.

    Args:
        data: Content of the file.
        max_pixels: Larger images are rejected before they are decoded.
        alpha: `white` lays transparent images on white, `keep` returns their transparency.
        choose_size: Chooses the size of the returned picture, unless its transparency is kept. The picture is what
            `resize` makes of the whole one, or within 50 dB of that: much larger JPEGs are not decoded whole, see
            `draft_decoding`.

    Raises:
        ImageError: The image cannot be used; `failure` and `reason` say why.
    """
    _raise_pillow_limit(max_pixels)
    image = _open(data)
    try:
        _check_size(image, max_pixels)
        check_cost(image, data, max_pixels)
        whole_size = image.size
        target_size = choose_size(*whole_size) if choose_size else whole_size
        box = request_draft(image, len(data), target_size, _MIN_SIDE_PX)
        image.load()
        _check_size(image, max_pixels)  # a frame can be larger than the header of the file says
        if box is None:
            return _to_picture(image, alpha, choose_size)
        return _draft_to_picture(image, target_size, box, whole_size)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise almost any exception on damaged files
        raise _damage_error(error, image.format) from error


def encode(picture: Picture, suffix: str, *, quality: int) -> bytes:
    """Encode a picture in the format of a file suffix, without metadata; equal pictures give equal bytes.

    Args:
        picture: The picture; a JPEG shows its transparent parts on white.
        suffix: One of `suffixes.WRITTEN_SUFFIXES`, in any case.
        quality: 1..100, for JPEG and WebP.

    Raises:
        ImageError: The format cannot hold a picture of that size.
    """
    options: dict[str, Any] = {
        ".jpg": {"format": "JPEG", "quality": quality, "subsampling": 0, "optimize": True},
        ".png": {"format": "PNG"},
        ".webp": {"format": "WEBP", "quality": quality},
    }[suffix.lower().replace("jpeg", "jpg")]
    image = Image.fromarray(picture.rgb)
    if picture.alpha is not None:
        image = composite_on_white(image, picture.alpha) if options["format"] == "JPEG" else _with_alpha(picture)
    file = io.BytesIO()
    try:
        image.save(file, **options)
    except (OSError, ValueError) as error:
        height, width = picture.rgb.shape[:2]
        raise ImageError(
            f"a picture of {width} x {height} px cannot be written as {options['format']}", "too_large"
        ) from error
    return file.getvalue()


def resize(rgb: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Resize a picture uint8 [H, W, 3] with an antialiasing Lanczos filter."""
    if rgb.shape[:2] == (height_px, width_px):
        return rgb
    return np.asarray(_resize(Image.fromarray(rgb), (width_px, height_px)))


def read_camera(data: bytes) -> str | None:
    """Return maker and model of the camera that took a photo; None for scans, which have no exposure time."""
    try:
        exif = Image.Image.getexif(_open(data))  # PngImageFile.getexif would decode the picture, of any size
        if _EXPOSURE_TIME not in exif.get_ifd(_EXIF_IFD):
            return None
        return " ".join(str(exif[tag]).strip(" \0") for tag in (_MAKE, _MODEL) if tag in exif) or "a camera"
    except Exception:  # EXIF that cannot be read says nothing about a camera
        return None


def _open(data: bytes) -> Image.Image:
    """Open an image; reads the header only.

    `Image.open` would reject an image above Pillow's own limit without reporting its size, so this repeats its loop
    over the formats.
    """
    if not data:
        raise ImageError("empty file")
    Image.init()
    for name in _FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(data[:16].ljust(16, b"\0")) is not True:
            continue
        try:
            return factory(io.BytesIO(data), "")
        except Exception as error:
            if accept is not None:
                raise _damage_error(error, name) from error
    raise _unsupported_error(data)


def _unsupported_error(data: bytes) -> ImageError:
    start = data[:1024]
    kinds = {
        "HEIC": start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"),
        "EPS": start.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")),
        "PDF": start.startswith(b"%PDF"),
        "SVG": b"<svg" in start,
        "JPEG XL": start.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")),
        "icon": start.startswith(b"\0\0\1\0"),
    }
    for kind, matches in kinds.items():
        if matches:
            return ImageError(f"{kind} files cannot be read; save it as JPEG, PNG or TIFF", "unsupported")
    return ImageError("not an image, or of a format that cannot be read", "unsupported")


def _raise_pillow_limit(max_pixels: int) -> None:
    """Raise Pillow's own limit, which some decoders check, to that of a run; never lowers it, as it is process-wide."""
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"image has {_megapixels(width * height)} MP ({width} x {height}), more than the limit of "
            f"{_megapixels(max_pixels)} MP; raise max_megapixels to take it",
            "too_large",
        )
    if min(width, height) < _MIN_SIDE_PX:
        raise ImageError(f"too small: {width} x {height} px; at least {_MIN_SIDE_PX} px a side are needed", "too_small")


def _megapixels(pixels: int) -> str:
    text = f"{pixels / 1e6:,.0f}" if pixels >= 1e9 else f"{pixels / 1e6:.4g}"
    return text.replace(",", " ")


def _damage_error(error: Exception, kind: str | None) -> ImageError:
    """Translate an error of a decoder for the owner of the file."""
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return ImageError(f"not enough memory to decode the {kind} file", "out_of_memory")
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"the {kind} file claims far more pixels than an image has; save it again or get another copy", "too_large"
        )
    if "truncated" in text or isinstance(error, EOFError | struct.error):
        return ImageError(f"the {kind} file is truncated: it ends before its picture does; get a whole copy")
    return ImageError(
        f"the {kind} file is damaged, or of a kind that cannot be read; save it again or get another copy"
    )


def _to_picture(image: Image.Image, alpha: Alpha, choose_size: ChooseSize | None) -> Picture:
    profile = image.info.get("icc_profile")
    colour, opacity = split_alpha(to_8_bit(_upright(image)))
    colour = to_srgb(colour, profile)
    if opacity is not None and alpha == "keep":
        rgb = np.array(colour)
        rgb[opacity == 0] = 255  # invisible pixels may hold any colour
        return Picture(rgb, opacity)
    if opacity is not None:
        colour = composite_on_white(colour, opacity)
    if choose_size is None:
        return Picture(np.array(colour))
    return Picture(np.array(_resize(colour, choose_size(*colour.size))), whole_px=colour.size)


def _draft_to_picture(image: Image.Image, target: tuple[int, int], box: Box, whole: tuple[int, int]) -> Picture:
    """Resize a JPEG decoded in draft mode, then turn it upright; `target`, `box` and `whole` are before that turn."""
    colour = _resize(to_srgb(image, image.info.get("icc_profile")), target, box)
    transpose = _read_orientation(image)
    if transpose is None:
        return Picture(np.array(colour), whole_px=whole)
    width, height = whole
    whole_px = (height, width) if transpose in _SWAPS_SIDES else whole
    return Picture(np.array(colour.transpose(transpose)), whole_px=whole_px)


def _resize(image: Image.Image, size: tuple[int, int], box: Box | None = None) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, box)


def _upright(image: Image.Image) -> Image.Image:
    transpose = _read_orientation(image)
    return image if transpose is None else image.transpose(transpose)


def _read_orientation(image: Image.Image) -> Image.Transpose | None:
    """Return the transposition that makes an image upright, from its EXIF; None if it needs none."""
    try:
        return _TRANSPOSE_BY_ORIENTATION.get(image.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # broken EXIF must not cost the picture
        logger.debug("treated as upright because its EXIF cannot be read: %s", error)
        return None


def _with_alpha(picture: Picture) -> Image.Image:
    return Image.fromarray(np.dstack([picture.rgb, picture.alpha]))  # pyright: ignore[reportArgumentType, reportCallIssue]
