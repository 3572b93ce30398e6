"""Decode image files to upright sRGB pictures, and encode pictures.

Shape legend: H, W height and width, px; pictures uint8 [H, W, 3], sRGB, 0..255; alpha uint8 [H, W], 255 is opaque.

Files are untrusted input: only formats that are decoded in the process are opened (EPS would start Ghostscript), sizes
are checked before anything is decoded, and any exception of a decoder becomes an `ImageError`.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from artbank.errors import ImageError
from artbank.images.color_profiles import composite_on_white, split_alpha, to_srgb
from artbank.images.color_spaces import ColorSpace, read_color_space
from artbank.images.decompression_bombs import check_cost
from artbank.images.draft_decoding import Box, Draft, request_draft
from artbank.images.file_metadata import PLAIN, FileMetadata
from artbank.images.hdr_pictures import to_standard_range
from artbank.images.opening import explain_error, open_image
from artbank.images.pixel_depth import to_8_bit
from artbank.parameters.stylize_recipe import Alpha

logger = logging.getLogger(__name__)

_MIN_SIDE_PX = 8
_REDUCING_GAP = 3.0  # a full decode is averaged down to 3 times the wanted size first: 57 dB, in a third of the time
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
        note: A sentence about a conversion that the owner of the file should know, such as tone mapping; else empty.
        whole_luma: Luma of the picture in the file, uint8, if it was requested.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    whole_px: tuple[int, int] | None = None
    note: str = ""
    whole_luma: np.ndarray | None = None


ChooseSize = Callable[[int, int], tuple[int, int]]
"""Maps width and height of a picture, px, to the width and height it is resized to; the same in both orientations."""


def decode(
    data: bytes,
    *,
    max_pixels: int,
    alpha: Alpha = "white",
    choose_size: ChooseSize | None = None,
    exact: bool = False,
    file_name: str = "",
    with_luma: bool = False,
) -> Picture:
    """Decode the picture of an image file, the first one if it has several: upright, in sRGB, 8 bit.

    Args:
        data: Content of the file.
        max_pixels: Larger images are rejected before they are decoded.
        alpha: `white` lays transparent images on white, `keep` returns their transparency.
        choose_size: Chooses the size of the returned picture, unless its transparency is kept. The picture is what
            `resize` makes of the whole one, or within 50 dB of that: shortcuts are taken with much larger JPEGs, see
            `draft_decoding`.
        exact: The picture is what `resize` makes of the whole one, always.
        file_name: Name of the file; it only helps to name the format of a camera raw file.
        with_luma: Also return the luma of the whole picture, which needs a full decode.

    Raises:
        ImageError: The image cannot be used; `failure` and `reason` say why.
    """
    _raise_pillow_limit(max_pixels)
    image = open_image(data, file_name)
    try:
        _check_size(image, max_pixels)
        check_cost(image, data, max_pixels)
        whole_size = image.size
        target_size = choose_size(*whole_size) if choose_size else whole_size
        draft = None if with_luma or exact else request_draft(image, len(data), target_size, _MIN_SIDE_PX)
        image.load()
        _check_size(image, max_pixels)  # a frame can be larger than the header of the file says
        space = read_color_space(image, data)
        if space.transfer is not None:
            image, space = to_standard_range(image, space, data), ColorSpace(note=space.note)
        if draft is None:
            picture, whole = _to_picture(image, space, alpha, choose_size, _REDUCING_GAP if with_luma else None)
            return replace(picture, whole_luma=np.asarray(whole.convert("L"))) if with_luma else picture
        return _draft_to_picture(image, space, target_size, draft, whole_size)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise almost any exception on damaged files
        raise explain_error(error, image.format) from error


def encode(picture: Picture, suffix: str, *, quality: int, metadata: FileMetadata = PLAIN) -> bytes:
    """Encode a picture in the format of a file suffix; equal pictures and metadata give equal bytes.

    Args:
        picture: The picture; a JPEG shows its transparent parts on white.
        suffix: One of `suffixes.WRITTEN_SUFFIXES`, in any case.
        quality: 1..100, for JPEG and WebP.
        metadata: Exif and XMP of the file.

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
        image.save(file, **options, **_save_options(metadata, options["format"]))
    except (OSError, ValueError) as error:
        height, width = picture.rgb.shape[:2]
        raise ImageError(
            f"a picture of {width} x {height} px cannot be written as {options['format']}", "too_large"
        ) from error
    return file.getvalue()


def _save_options(metadata: FileMetadata, kind: str) -> dict[str, Any]:
    """Return the options with which Pillow writes metadata; it has none for the XMP of a PNG."""
    options: dict[str, Any] = {"exif": metadata.exif} if metadata.exif else {}
    if metadata.xmp and kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata.xmp.decode())
    elif metadata.xmp:
        options["xmp"] = metadata.xmp
    return options


def resize(rgb: np.ndarray, width_px: int, height_px: int, box: Box | None = None) -> np.ndarray:
    """Resize a picture uint8 [H, W, 3], or a box of it, with an antialiasing Lanczos filter."""
    if box is None and rgb.shape[:2] == (height_px, width_px):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((width_px, height_px), Image.Resampling.LANCZOS, box))


def read_camera(data: bytes) -> str | None:
    """Return maker and model of the camera that took a photo; None for scans, which have no exposure time."""
    try:
        exif = Image.Image.getexif(open_image(data))  # PngImageFile.getexif would decode the picture, of any size
        if _EXPOSURE_TIME not in exif.get_ifd(_EXIF_IFD):
            return None
        return " ".join(str(exif[tag]).strip(" \0") for tag in (_MAKE, _MODEL) if tag in exif) or "a camera"
    except Exception:  # EXIF that cannot be read says nothing about a camera
        return None


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


def _to_picture(
    image: Image.Image, space: ColorSpace, alpha: Alpha, choose_size: ChooseSize | None, gap: float | None
) -> tuple[Picture, Image.Image]:
    """Turn a decoded image upright and convert it; returns the picture, and the same at the size of the file."""
    colour, opacity = split_alpha(to_8_bit(_upright(image)))
    colour = to_srgb(colour, space)
    if opacity is not None and alpha == "keep":
        rgb = np.array(colour)
        rgb[opacity == 0] = 255  # invisible pixels may hold any colour
        return Picture(rgb, opacity, note=space.note), Image.fromarray(rgb)
    if opacity is not None:
        colour = composite_on_white(colour, opacity)
    if choose_size is None:
        return Picture(np.array(colour), note=space.note), colour
    resized = _resize(colour, choose_size(*colour.size), gap=gap)
    return Picture(np.array(resized), whole_px=colour.size, note=space.note), colour


def _draft_to_picture(
    image: Image.Image, space: ColorSpace, target: tuple[int, int], draft: Draft, whole: tuple[int, int]
) -> Picture:
    """Resize a JPEG decoded in draft mode, then turn it upright; `target`, `draft` and `whole` are before that turn."""
    averaged = image if draft.factor == 1 else image.reduce(draft.factor)
    colour = _resize(to_srgb(averaged, space), target, draft.box)
    transpose = _read_orientation(image)
    if transpose is None:
        return Picture(np.array(colour), whole_px=whole, note=space.note)
    width, height = whole
    whole_px = (height, width) if transpose in _SWAPS_SIDES else whole
    return Picture(np.array(colour.transpose(transpose)), whole_px=whole_px, note=space.note)


def _resize(image: Image.Image, size: tuple[int, int], box: Box | None = None, gap: float | None = None) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, box, gap)


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
