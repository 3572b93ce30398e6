"""Convert opened images of high dynamic range to sRGB, with all bits that their files have.

Shape legend: H, W height and width, px. Values of 10 and 12 bits are scaled to 16.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import Image

from artbank.images.color_spaces import ColorSpace
from artbank.images.heif_files import open_container, read_header
from artbank.images.tone_mapping import tone_map


def to_standard_range(image: Image.Image, space: ColorSpace, data: bytes) -> Image.Image:
    """Return an image in sRGB, of 8 bits, with the alpha and the Exif of the one of high dynamic range.

    Args:
        image: The image, loaded; not yet turned upright.
        space: Its colour space.
        data: Content of its file.

    Raises:
        ValueError: The primaries span no colour space.
    """
    assert space.transfer is not None
    codes = _read_codes(image, data)
    if codes is None:
        codes = np.asarray(image.convert("RGB"))
    if space.is_narrow:
        codes = _widen(codes)
    mapped = Image.fromarray(tone_map(codes, space.transfer, space.primaries))
    if "A" in image.getbands():
        mapped.putalpha(image.getchannel("A"))
    if image.info.get("exif"):
        mapped.info["exif"] = image.info["exif"]
    return mapped


def _read_codes(image: Image.Image, data: bytes) -> np.ndarray | None:
    """Return the values uint16 [H, W, 3] of a file with more than 8 bits; None if it has no more, or needs none."""
    if image.format == "HEIF":
        codes = _read_heif(data)
    elif image.format == "PNG":
        codes = _read_with_opencv(data, 16)
    elif image.format == "AVIF":
        codes = _read_with_opencv(data, int(read_header(data)["bit_depth"]))
    else:
        return None
    return codes if codes is not None and codes.shape == (image.height, image.width, 3) else None


def _read_heif(data: bytes) -> np.ndarray | None:
    codes = np.asarray(open_container(data, is_deep=True))
    return codes[..., :3] if codes.dtype == np.uint16 and codes.ndim == 3 else None


def _read_with_opencv(data: bytes, bits: int) -> np.ndarray | None:
    bgr: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgr is None or bgr.dtype != np.uint16 or bgr.ndim != 3 or bgr.shape[2] < 3:
        return None
    codes = bgr[..., 2::-1]
    return codes if bits == 16 else (codes.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16)


def _widen(codes: np.ndarray) -> np.ndarray:
    """Return values in the full range of their type, of values in the range of video: 16 and 235 of 255."""
    top = np.iinfo(codes.dtype).max
    unit = (top + 1) / 256
    return np.clip((codes - 16 * unit) * (top / (219 * unit)), 0, top).astype(codes.dtype)
