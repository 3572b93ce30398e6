"""Open an image file with the reader of its format, and explain why one cannot be opened.

A reader reads the header when it opens a file, and decodes the picture when that is loaded. All are images of Pillow.
"""

from __future__ import annotations

import io
import re
import struct
from contextlib import suppress

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from artbank.errors import ImageError
from artbank.images.deep_files import DeepTiffFile, is_misread, open_psd
from artbank.images.heif_files import is_heif, require_heif
from artbank.images.jpeg2000_files import open_jpeg2000
from artbank.images.raw_files import name_raw_format, open_raw
from artbank.images.tiff_pages import TiffPages

FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "TIFF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "PSD", "TGA")
"""The formats that are read, as Pillow names them."""

_ORIENTATION, _INTEROP_IFD = 274, 0xA005
_TRUNCATED = re.compile(r"truncated|failed to read \d+ bytes|end of file", re.I)
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|cannot handle|unknown pixel mode|unrecognized data|no codec|unimplemented", re.I
)
_DEPTH = re.compile(r"(\d+)[- ]bit|depth:? ?\(?(\d+)", re.I)


def open_image(data: bytes, file_name: str = "") -> Image.Image:
    """Open an image; reads its header only.

    Args:
        data: Content of the file.
        file_name: Its name; it only helps to name the format of a camera raw file.

    Raises:
        ImageError: The file is no image, damaged, or of a kind that cannot be read.
    """
    if not data:
        raise ImageError("empty file")
    if (raw := name_raw_format(data, file_name)) is not None:
        return _open_as(raw, data)
    Image.init()  # Image.open would reject an image above Pillow's own limit without reporting its size
    if is_heif(data):
        require_heif("HEIC")
    for name in FORMATS:
        if name not in Image.OPEN:  # HEIF without its extra
            continue
        accept = Image.OPEN[name][1]
        if accept is None:
            return _open_unmarked(name, data)
        if is_heif(data) if name == "HEIF" else accept(data[:16].ljust(16, b"\0")) is True:
            return _open_as(name, data)
    raise _unknown_error(data)


def explain_error(error: Exception, kind: str | None) -> ImageError:
    """Translate an error of a decoder for the owner of the file.

    Args:
        error: What the decoder raised.
        kind: The format.
    """
    text = str(error)
    if isinstance(error, MemoryError):
        return ImageError(f"not enough memory to decode the {kind} file", "out_of_memory")
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"the {kind} file claims far more pixels than an image has; save it again or get another copy", "too_large"
        )
    if _TRUNCATED.search(text) or isinstance(error, EOFError | struct.error):
        return ImageError(f"the {kind} file is truncated: it ends before its picture does; get a whole copy")
    if _UNSUPPORTED.search(text):
        depth = _DEPTH.search(text)
        fault = f"has a depth of {depth[1] or depth[2]} bits, which" if depth else "is of a kind that"
        return ImageError(
            f"the {kind} file {fault} cannot be read; save it as JPEG, PNG or TIFF of 8 or 16 bits a channel",
            "unsupported",
        )
    return ImageError(
        f"the {kind} file is damaged, or of a kind that cannot be read; save it again or get another copy"
    )


def _open_as(name: str, data: bytes) -> Image.Image:
    """Open a file whose start tells its format."""
    try:
        if name == "TIFF":
            return _open_tiff(data)
        if name == "PSD":
            return open_psd(data)
        if name == "JPEG2000":
            return open_jpeg2000(data)
        if name in FORMATS:
            return Image.OPEN[name][0](io.BytesIO(data), "")
        return open_raw(io.BytesIO(data), name)
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise almost any exception on damaged files
        raise explain_error(error, name) from error


def _open_unmarked(name: str, data: bytes) -> Image.Image:
    """Open a file of the format that nothing at its start tells."""
    try:
        return Image.OPEN[name][0](io.BytesIO(data), "")
    except Exception as error:
        raise _unknown_error(data) from error


def _open_tiff(data: bytes) -> Image.Image:
    """Open the page of a TIFF that holds its picture."""
    pages = TiffPages(data)
    page = pages.find_picture()
    if page is not None:
        data = pages.put_first(page)
    try:
        image = TiffImageFile(io.BytesIO(data), "")
    except Exception:  # Pillow raises almost any exception where it knows no mode for a depth
        return DeepTiffFile(io.BytesIO(data), "")
    if is_misread(image):
        return DeepTiffFile(io.BytesIO(data), "")
    if page is not None and _ORIENTATION not in page.values:
        image.getexif()[_ORIENTATION] = pages.pages[0].orientation
    with suppress(Exception):  # broken Exif must not cost the picture
        image.getexif().get_ifd(_INTEROP_IFD)  # Pillow could not read it once the picture is loaded
    return image


def _unknown_error(data: bytes) -> ImageError:
    start = data[:1024]
    kinds = {
        "EPS": start.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")),
        "PDF": start.startswith(b"%PDF"),
        "SVG": b"<svg" in start,
        "JPEG XL": start.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")),
        "OpenEXR": start.startswith(b"v/1\x01"),
        "Radiance HDR": start.startswith((b"#?RADIANCE", b"#?RGBE")),
        "JPEG XR": start.startswith(b"II\xbc\x01"),
        "icon": start.startswith(b"\0\0\1\0"),
    }
    for kind, matches in kinds.items():
        if matches:
            return ImageError(f"{kind} files cannot be read; save it as JPEG, PNG or TIFF", "unsupported")
    return ImageError("not an image, or of a format that cannot be read", "unsupported")
