"""Bytes of any image file to upright sRGB pictures and back.

Shape legend: H, W height and width, px; pictures uint8 [H, W, 3], sRGB, 0..255; alpha uint8 [H, W], 255 is opaque.

Files are not trusted: only formats that Pillow reads within the process are opened (EPS would start Ghostscript), sizes
are checked before anything is decoded, and whatever Pillow raises becomes an `ImageError`.
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
from artbank.images.color_profiles import lay_on_white, split_alpha, to_8_bit, to_srgb
from artbank.images.decompression_bombs import check_cost
from artbank.images.draft_decoding import Box, reduce_decoding
from artbank.recipes import Alpha

logger = logging.getLogger(__name__)

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "PSD", "TGA")
_SMALLEST_PX = 8
_ORIENTATION, _MAKE, _MODEL, _EXIF_IFD, _EXPOSURE_TIME = 0x0112, 0x010F, 0x0110, 0x8769, 0x829A
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = [_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)]

# Pillow warns of odd metadata, which is of no matter here; `catch_warnings` is not safe in threads, so for good.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Picture:
    """One upright sRGB picture.

    Attributes:
        rgb: uint8 [H, W, 3].
        alpha: uint8 [H, W] where transparency was asked for and there is some, else None.
        whole_px: Width and height, px, of the file's own picture, where this one was shrunk by `decode`.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    whole_px: tuple[int, int] | None = None


ChooseSize = Callable[[int, int], tuple[int, int]]
"""Tells to which width and height, px, a picture of some width and height will be shrunk, whichever way it lies."""


def decode(data: bytes, *, max_pixels: int, alpha: Alpha = "white", choose_size: ChooseSize | None = None) -> Picture:
    """Decode the first frame of an image file: upright, in sRGB, 8 bit.

    Args:
        data: The file.
        max_pixels: Larger images are refused before they are decoded.
        alpha: `white` lays transparent images on white, `keep` returns their transparency.
        choose_size: Chooses the size of the returned picture, unless its transparency is kept. The picture is what
            `resize` makes of the whole one, or within 50 dB of that: much larger JPEGs are not decoded whole, see
            `draft_decoding`.

    Raises:
        ImageError: The image cannot be used; `reason` says why.
    """
    _allow(max_pixels)
    image = _open(data)
    try:
        _check_size(image, max_pixels)
        check_cost(image, data, max_pixels)
        whole, wanted = image.size, choose_size(*image.size) if choose_size else image.size
        box = reduce_decoding(image, len(data), wanted, _SMALLEST_PX)
        image.load()
        _check_size(image, max_pixels)  # a frame may be larger than the header of its file said
        return _to_picture(image, alpha, choose_size) if box is None else _to_reduced(image, wanted, box, whole)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise _damage(error, image.format) from error


def encode(picture: Picture, suffix: str, *, quality: int) -> bytes:
    """Encode a picture by the suffix of its file, without metadata; the same picture gives the same bytes.

    Args:
        picture: The picture; its alpha is laid on white in a JPEG.
        suffix: One of `suffixes.WRITTEN_SUFFIXES`, in any case.
        quality: 1..100, of JPEG and WebP.

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
        image = lay_on_white(image, picture.alpha) if options["format"] == "JPEG" else _with_alpha(picture)
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
    """Resize a picture uint8 [H, W, 3] with Lanczos' filter, which averages where it shrinks."""
    if rgb.shape[:2] == (height_px, width_px):
        return rgb
    return np.asarray(_shrink(Image.fromarray(rgb), (width_px, height_px)))


def read_camera(data: bytes) -> str | None:
    """Return maker and model where a file says that a camera exposed it; scanners leave no exposure time."""
    try:
        exif = Image.Image.getexif(_open(data))  # a PNG's own would decode it, of whatever size it is
        if _EXPOSURE_TIME not in exif.get_ifd(_EXIF_IFD):
            return None
        return " ".join(str(exif[tag]).strip(" \0") for tag in (_MAKE, _MODEL) if tag in exif) or "a camera"
    except Exception:  # nothing is known of an image whose EXIF cannot be read
        return None


def _open(data: bytes) -> Image.Image:
    """Read the header only.

    `Image.open` would refuse what is above Pillow's own limit without telling its size, so its loop over the formats is
    here.
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
                raise _damage(error, name) from error
    raise _refusal(data)


def _refusal(data: bytes) -> ImageError:
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


def _allow(max_pixels: int) -> None:
    """Raise Pillow's own limit, which some decoders mind, to a run's; it is the whole process's, so never lower it."""
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
    if min(width, height) < _SMALLEST_PX:
        raise ImageError(f"too small: {width} x {height} px; at least {_SMALLEST_PX} px a side are needed", "too_small")


def _megapixels(pixels: int) -> str:
    text = f"{pixels / 1e6:,.0f}" if pixels >= 1e9 else f"{pixels / 1e6:.4g}"
    return text.replace(",", " ")


def _damage(error: Exception, kind: str | None) -> ImageError:
    """Return what a decoder's error means to whoever owns the file."""
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return ImageError(f"not enough memory to decode the {kind} file", "out_of_memory")
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"the {kind} file claims far more pixels than an image has; save it anew or get another copy", "too_large"
        )
    if "truncated" in text or isinstance(error, EOFError | struct.error):
        return ImageError(f"the {kind} file is truncated: it ends before its picture does; get a whole copy")
    return ImageError(f"the {kind} file is damaged, or of a kind that cannot be read; save it anew or get another copy")


def _to_picture(image: Image.Image, alpha: Alpha, choose_size: ChooseSize | None) -> Picture:
    profile = image.info.get("icc_profile")
    colour, opacity = split_alpha(to_8_bit(_upright(image)))
    colour = to_srgb(colour, profile)
    if opacity is not None and alpha == "keep":
        rgb = np.array(colour)
        rgb[opacity == 0] = 255  # what nobody was meant to see
        return Picture(rgb, opacity)
    if opacity is not None:
        colour = lay_on_white(colour, opacity)
    if choose_size is None:
        return Picture(np.array(colour))
    return Picture(np.array(_shrink(colour, choose_size(*colour.size))), whole_px=colour.size)


def _to_reduced(image: Image.Image, wanted: tuple[int, int], box: Box, whole: tuple[int, int]) -> Picture:
    """Shrink what is left of a JPEG before it is turned: `wanted`, `box` and `whole` are as the file lies."""
    colour = _shrink(to_srgb(image, image.info.get("icc_profile")), wanted, box)
    turn, (width, height) = _read_turn(image), whole
    if turn is None:
        return Picture(np.array(colour), whole_px=whole)
    return Picture(np.array(colour.transpose(turn)), whole_px=(height, width) if turn in _ON_ITS_SIDE else whole)


def _shrink(image: Image.Image, size: tuple[int, int], box: Box | None = None) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, box)


def _upright(image: Image.Image) -> Image.Image:
    turn = _read_turn(image)
    return image if turn is None else image.transpose(turn)


def _read_turn(image: Image.Image) -> Image.Transpose | None:
    """Return what makes an image upright, by its EXIF."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # broken EXIF is no reason to lose a picture
        logger.debug("taken as upright, its EXIF cannot be read: %s", error)
        return None


def _with_alpha(picture: Picture) -> Image.Image:
    return Image.fromarray(np.dstack([picture.rgb, picture.alpha]))  # pyright: ignore[reportArgumentType, reportCallIssue]
