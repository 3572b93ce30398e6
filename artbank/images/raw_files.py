"""Camera raw files: told by their content, named, and developed by LibRaw if the extra `raw` is installed."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import PurePosixPath
from typing import Any, NoReturn

from PIL import Image, ImageFile

from artbank.errors import ImageError
from artbank.images.suffixes import RAW_SUFFIXES
from artbank.images.tiff_pages import TiffPages

_STARTS = (
    ("CR2", 8, b"CR\x02\0"),
    ("CR3", 4, b"ftypcrx "),
    ("CRW", 6, b"HEAPCCDR"),
    ("ORF", 0, b"IIRO"),
    ("ORF", 0, b"IIRS"),
    ("ORF", 0, b"MMOR"),
    ("RW2", 0, b"IIU\0"),
    ("RAF", 0, b"FUJIFILMCCD-RAW"),
    ("X3F", 0, b"FOVb"),
    ("MRW", 0, b"\0MRM"),
    ("IIQ", 8, b"IIII"),
)
"""Name of a format, and the position and bytes that tell it."""

_FORMAT_OF_MAKE = {
    "NIKON": "NEF",
    "SONY": "ARW",
    "CANON": "CR2",
    "PENTAX": "PEF",
    "RICOH": "PEF",
    "SAMSUNG": "SRW",
    "HASSELBLAD": "3FR",
    "EPSON": "ERF",
    "MAMIYA": "MEF",
    "KODAK": "DCR",
    "LEAF": "MOS",
}


def name_raw_format(data: bytes, file_name: str) -> str | None:
    """Return the name of a camera raw file's format, such as NEF; None if the file is none.

    Args:
        data: Content of the file.
        file_name: Its name, whose suffix is the best name of a raw format that is a TIFF.
    """
    suffix = PurePosixPath(file_name).suffix.lower()
    for name, at, start in _STARTS:
        if data.startswith(start, at):
            return name
    if not data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return None
    pages = TiffPages(data)
    is_named_raw = suffix in RAW_SUFFIXES and not any(page.says_that_it_is_whole for page in pages.pages)
    if not pages.has_sensor_data and not is_named_raw:
        return None
    if suffix in RAW_SUFFIXES:
        return suffix[1:].upper()
    if pages.is_dng:
        return "DNG"
    return next((name for make, name in _FORMAT_OF_MAKE.items() if pages.make.upper().startswith(make)), "camera raw")


def open_raw(file: Any, name: str) -> Image.Image:
    """Open a camera raw file; reads its header only.

    Args:
        file: The file, open in binary mode.
        name: The name of its format.

    Raises:
        ImageError: LibRaw is not installed, or does not know the camera.
    """
    if importlib.util.find_spec("rawpy") is None:
        text = (
            f"{name} is a camera raw file; install the extra artbank[raw] to develop it, or export it as JPEG or TIFF"
        )
        raise ImageError(text, "unsupported")
    raw: type[_RawFile] = type("RawFile", (_RawFile,), {"format": name})
    return raw(file, "")


class _RawFile(ImageFile.ImageFile):
    """A camera raw file as an image of Pillow; LibRaw turns it upright."""

    format = "raw"
    format_description = "camera raw"

    def _open(self) -> None:
        rawpy: Any = importlib.import_module("rawpy")
        self._raw = rawpy.RawPy()
        try:
            self._raw.open_buffer(self.fp)
        except rawpy.LibRawError as error:
            _raise_unsupported(str(self.format), error)
        sizes = self._raw.sizes
        self._size = (max(sizes.width, sizes.raw_width), max(sizes.height, sizes.raw_height))  # what is held in memory
        self._mode = "RGB"
        self.tile = []

    def load(self) -> Any:
        """Develop the picture with the white balance of the camera, in sRGB."""
        if self._im is None:
            rawpy: Any = importlib.import_module("rawpy")
            try:
                developed = self._raw.postprocess(use_camera_wb=True, gamma=(2.4, 12.92))
            except (rawpy.LibRawFileUnsupportedError, rawpy.NotSupportedError) as error:
                _raise_unsupported(str(self.format), error)
            self._raw.close()
            image = Image.fromarray(developed)
            self._im, self._mode, self._size = image.im, image.mode, image.size
        return Image.Image.load(self)


def _raise_unsupported(name: str, error: Exception) -> NoReturn:
    text = f"{name} is a camera raw file of a kind that LibRaw does not read; export it as JPEG or TIFF"
    raise ImageError(text, "unsupported") from error
