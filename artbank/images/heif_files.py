"""Read HEIF files (HEIC) with libheif, through pillow-heif's plugin of Pillow.

libheif turns and crops pictures as their containers say, and pillow-heif then resets the orientation in their Exif.
"""

from __future__ import annotations

import io
from typing import Any

from artbank.errors import ImageError
from artbank.runtime.extras import is_installed

_OWN_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")

if is_installed("pillow_heif"):
    import pillow_heif

    # One thread, as the codec pool has a process per core; thumbnails and depth maps are never used.
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def is_heif(data: bytes) -> bool:
    """Return whether a file is HEIF; AVIF, of the same structure, is not."""
    if data[4:8] != b"ftyp":
        return False
    brands = _read_brands(data)
    return brands[0] in _OWN_BRANDS and not any(brand in _AVIF_BRANDS for brand in brands)


def read_header(data: bytes) -> dict[str, Any]:
    """Return what the container of an AVIF or HEIF file says of its picture; decodes nothing.

    Raises:
        ImageError: pillow-heif is not installed.
        ValueError, OSError, RuntimeError, SyntaxError, EOFError: The file cannot be read.
    """
    return dict(open_container(data).info)


def open_container(data: bytes, *, is_deep: bool = False) -> Any:
    """Open an AVIF or HEIF file; with `is_deep` its pixels keep their depth of more than 8 bits.

    Raises:
        ImageError: pillow-heif is not installed.
        ValueError, OSError, RuntimeError, SyntaxError, EOFError: The file cannot be read.
    """
    require_heif("HEIC or AVIF")
    import pillow_heif

    return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=not is_deep)


def require_heif(kind: str) -> None:
    """Check that HEIF files can be read.

    Raises:
        ImageError: pillow-heif is not installed; names the extra.
    """
    if not is_installed("pillow_heif"):
        text = f"it is a {kind} file; pip install 'artbank[heic]' to read it, or export it as JPEG or TIFF"
        raise ImageError(text, "unsupported")


def _read_brands(data: bytes) -> list[bytes]:
    """Return the brands of a file, its major brand first."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    return [data[8:12], *(data[at : at + 4] for at in range(16, size - 3, 4))]
