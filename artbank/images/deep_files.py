"""Read files of depths that Pillow does not read: Photoshop documents of 16 and 32 bits, TIFFs of floats and others.

Both are images of Pillow, which read their header when they are opened and become 8-bit images when they are loaded.

Source: Adobe Photoshop File Formats Specification, "File header section" and "Image data section".
"""

from __future__ import annotations

import io
import logging
import struct
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageFile

from artbank.errors import ImageError
from artbank.images import psd_channels
from artbank.images.icc_profiles import is_linear, with_srgb_curve
from artbank.images.pixel_depth import scale_floats, scale_integers
from artbank.images.tone_mapping import encode_srgb

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_WHITE_IS_ZERO, _SEPARATED = 0, 5
_OTHER_CHANNEL, _ASSOCIATED_ALPHA = 0, 1  # of the tag ExtraSamples; 0 is no alpha, such as a saved selection
_PHOTOMETRIC = (_WHITE_IS_ZERO, 1, 2, _SEPARATED)  # with gray whose black is zero, and RGB
_MAX_CHANNELS = 4
# Tags of TIFF, and values of two of them
_BITS, _COMPRESSION, _ORIENTATION, _NUM_CHANNELS, _PLANAR_CONFIGURATION = 258, 259, 274, 277, 284
_SAMPLE_FORMAT, _ICC_PROFILE = 339, 34675
_NOT_COMPRESSED, _IN_PLANES = 1, 2

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # damaged files become rows, and it warns of each tag


def open_psd(data: bytes) -> Image.Image:
    """Open a Photoshop document of any depth.

    Raises:
        ImageError: It is of a kind that cannot be read.
        struct.error, OSError, SyntaxError, KeyError: It is damaged.
    """
    _, version, _, _, _, bits, _ = psd_channels.HEADER.unpack_from(data)
    if version == 2:
        raise ImageError("large Photoshop files (PSB) cannot be read; save it as PSD or TIFF", "unsupported")
    image = DeepPsdFile(io.BytesIO(data), "") if bits in (16, 32) else psd_channels.open_channels(data)
    if not (image.inner if isinstance(image, DeepPsdFile) else image).tile:
        raise ImageError(
            "the PSD file is compressed in a way that cannot be read; save it again as TIFF", "unsupported"
        )
    return image


def is_misread(image: Image.Image) -> bool:
    """Return whether Pillow opened a TIFF whose pixels it would read wrongly.

    It takes unsigned integers of 32 bits for signed ones. In files with one plane for each channel it reads 16 bits as
    8 unless they are compressed, and gray with alpha not at all.
    """
    tags: Any = getattr(image, "tag_v2", {})
    bits = max(tags.get(_BITS, (0,)))
    if image.mode == "I":
        return bits == 32 and 2 not in tags.get(_SAMPLE_FORMAT, (1,))
    if tags.get(_PLANAR_CONFIGURATION) != _IN_PLANES or tags.get(_NUM_CHANNELS, 1) == 1:
        return False
    return image.mode in ("LA", "La") or (bits > 8 and tags.get(_COMPRESSION, _NOT_COMPRESSED) == _NOT_COMPRESSED)


class _DeepFile(ImageFile.ImageFile):
    """An image that another reader than Pillow decodes."""

    def load(self) -> Any:
        """Decode the image, to 8 bits."""
        if self._im is None:
            image = self._decode()
            self._im, self._mode = image.im, image.mode
            self.tile = []
        return Image.Image.load(self)

    def _decode(self) -> Image.Image:
        raise NotImplementedError


class DeepPsdFile(_DeepFile):
    """A Photoshop document of 16 or 32 bits a channel.

    Pillow reads the bytes of its samples as if each were a pixel of 8 bits. 32 bits are floats of linear light.
    """

    format = "PSD"
    format_description = "Photoshop, 16 or 32 bits"

    def _open(self) -> None:
        assert self.fp is not None
        data = self.fp.read()
        *_, height, width, bits, _ = psd_channels.HEADER.unpack_from(data)
        self._size = (width, height)
        self._sample_bytes = bits // 8
        wide = data[:18] + struct.pack(">IH", width * self._sample_bytes, 8) + data[24:]
        self.inner = psd_channels.open_channels(wide)
        self.info = dict(self.inner.info)
        if self._sample_bytes == 4 and self.info.get("icc_profile"):
            self.info["icc_profile"] = with_srgb_curve(self.info["icc_profile"])
        self._mode = self.inner.mode
        self.tile = []

    def _decode(self) -> Image.Image:
        self.inner.load()
        samples = np.asarray(self.inner)
        samples = samples[..., None] if samples.ndim == 2 else samples  # [H, W * bytes, C]
        if self._sample_bytes == 2:
            pixels = samples[:, ::2]  # the high bytes
        else:
            pixels = _from_linear(samples, has_alpha=self.mode in ("RGBA", "LA"))
        return Image.frombytes(self.mode, self.size, np.ascontiguousarray(pixels).tobytes())


def _from_linear(samples: np.ndarray, *, has_alpha: bool) -> np.ndarray:
    """Return pixels uint8 [H, W, C], in the curve of sRGB, of the bytes of floats of linear light [H, 4 * W, C]."""
    height, width, channels = samples.shape
    quads = samples.reshape(height, width // 4, 4, channels).swapaxes(2, 3)
    floats = np.ascontiguousarray(quads).view(">f4")[..., 0]
    return scale_floats(_encode_linear(floats, has_alpha=has_alpha), has_alpha=has_alpha)


def _encode_linear(floats: np.ndarray, *, has_alpha: bool) -> np.ndarray:
    """Return floats of linear light [H, W, C] in the curve of sRGB; an alpha, the last channel, stays."""
    floats = np.nan_to_num(floats.astype(np.float32))
    colours = encode_srgb(np.clip(floats[..., :-1] if has_alpha else floats, 0, 1))
    return np.concatenate([colours, floats[..., -1:]], -1) if has_alpha else colours


class DeepTiffFile(_DeepFile):
    """A TIFF of floats, of gray with alpha or of integers of 32 bits."""

    format = "TIFF"
    format_description = "TIFF, deep"

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        with tifffile.TiffFile(io.BytesIO(self._data)) as file:
            page: Any = file.pages[0]
            self._channels: int = page.samplesperpixel
            self._dtype, self._photometric = page.dtype, int(page.photometric)
            self._bits: int = page.bitspersample
            self._is_premultiplied = _ASSOCIATED_ALPHA in page.extrasamples
            self._has_other = page.extrasamples[:1] == (_OTHER_CHANNEL,) and self._photometric != _SEPARATED
            self._size = (page.imagewidth, page.imagelength)
            self._read_info(page)
            self.tile_px: tuple[int, int] = (page.tilewidth, page.tilelength)
        is_number = self._dtype is not None and np.dtype(self._dtype).kind in "fiu"
        if not is_number or self._channels > _MAX_CHANNELS or self._photometric not in _PHOTOMETRIC:
            raise ImageError(_describe(self), "unsupported")
        self._mode = "CMYK" if self._photometric == _SEPARATED else _MODES[self._channels - self._has_other]
        self.tile = []

    def _read_info(self, page: Any) -> None:
        if page.tags.get(_ICC_PROFILE) is not None:
            self.info["icc_profile"] = bytes(page.tags[_ICC_PROFILE].value)
        if page.tags.get(_ORIENTATION) is not None:
            self.getexif()[_ORIENTATION] = int(page.tags[_ORIENTATION].value)

    @property
    def _is_linear(self) -> bool:
        """Whether it has floats that a profile calls proportional to light, which 8 bits could not hold."""
        profile = self.info.get("icc_profile")
        return profile is not None and np.dtype(self._dtype).kind == "f" and is_linear(profile)

    def _decode(self) -> Image.Image:
        values = _read_values(self._data, self.size, self._channels, np.dtype(self._dtype))
        if values is None or (values.dtype.kind == "i" and values.min() < 0):  # nothing says which negative is black
            raise ImageError(_describe(self), "unsupported")
        values = values[..., : self._channels - self._has_other]
        has_alpha = self._mode in ("LA", "RGBA")
        if self._is_linear:
            self.info["icc_profile"] = with_srgb_curve(self.info["icc_profile"])
            values = _encode_linear(values, has_alpha=has_alpha)
        if values.dtype.kind == "f":
            pixels = scale_floats(values, has_alpha=has_alpha)
        else:
            pixels = scale_integers(values, self._bits)
        if self._photometric == _WHITE_IS_ZERO:
            pixels[..., 0] = 255 - pixels[..., 0]
        mode = {"RGBA": "RGBa", "LA": "La"}.get(self._mode, self._mode) if self._is_premultiplied else self._mode
        return Image.frombytes(mode, self.size, pixels.tobytes())


def _read_values(data: bytes, size: tuple[int, int], channels: int, dtype: np.dtype) -> np.ndarray | None:
    """Return the values [H, W, C] of a TIFF's first page; None if no library can decode them.

    tifffile has no codec for LZW and some others; OpenCV has, but reads fewer types.
    """
    shape = (size[1], size[0], channels)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            values = np.asarray(page.asarray(maxworkers=1))
        values = np.moveaxis(values, 0, -1) if str(page.axes).startswith("S") else values
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        bgr: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if bgr is None:
            return None
        order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(bgr.shape[-1] if bgr.ndim == 3 else 1)
        values = bgr if order is None else bgr[..., order]
    values = values.reshape(shape) if values.size == np.prod(shape) else None
    return values if values is not None and values.dtype.newbyteorder("=") == dtype.newbyteorder("=") else None


def _describe(image: DeepTiffFile) -> str:
    kinds = {"f": "floats", "c": "complex numbers", "i": "signed integers"}
    kind = "integers" if image._dtype is None else kinds.get(np.dtype(image._dtype).kind, "integers")
    return (
        f"the TIFF file has channels of {image._bits}-bit {kind}, {image._channels} in all, which cannot be read; "
        "save it with 8 or 16 bits a channel"
    )
