"""Open JPEG 2000 files with the colour space that their container names, which Pillow does not read.

Source: ISO/IEC 15444-1, annex I.5.3.3, and ISO/IEC 15444-2, annex M.11.7.3, for the box `colr`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress

from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from artbank.errors import ImageError
from artbank.images.icc_profiles import Primaries, rgb_profile

_CONTAINER = b"\0\0\0\x0cjP  "
_ENUMERATED, _RESTRICTED_ICC, _ANY_ICC = 1, 2, 3
_ROMM_RGB = 21
_ROMM_PRIMARIES = Primaries((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))
_PROFILE_MARK_AT, _PROFILE_MARK = 36, b"acsp"
_COLOURS_AT = 16  # of a profile
_READABLE = (b"RGB ", b"GRAY")
_REFUSED = (b"CMYK", b"Lab ")  # Pillow would take them for RGB


def open_jpeg2000(data: bytes) -> Jpeg2KImageFile:
    """Open a JPEG 2000 file; its `info` has the profile of its colour space, unless that is sRGB.

    Raises:
        ImageError: Its colours are of a kind that cannot be read.
        struct.error, OSError, SyntaxError, ValueError: It is damaged.
    """
    image = Jpeg2KImageFile(io.BytesIO(data), "")
    profile = _find_profile(data) if data.startswith(_CONTAINER) else None
    colours = b"" if profile is None else profile[_COLOURS_AT : _COLOURS_AT + 4]
    if colours in _REFUSED:
        name = colours.decode("ascii").strip()
        raise ImageError(f"the JPEG 2000 file has {name} colours, which cannot be read; save it as TIFF", "unsupported")
    if colours in _READABLE:
        image.info["icc_profile"] = profile
    return image


def _find_profile(data: bytes) -> bytes | None:
    """Return the ICC profile of the first colour space that is understood; None if that is an enumerated one."""
    with suppress(struct.error, IndexError):  # a damaged box says nothing
        header = next((body for kind, body in _list_boxes(data) if kind == b"jp2h"), b"")
        for kind, body in _list_boxes(header):
            if kind != b"colr":
                continue
            method, profile = body[0], body[3:]
            if method == _ENUMERATED:
                [number] = struct.unpack_from(">I", profile)
                return rgb_profile(_ROMM_PRIMARIES, 1.8) if number == _ROMM_RGB else None
            is_profile = profile[_PROFILE_MARK_AT : _PROFILE_MARK_AT + 4] == _PROFILE_MARK
            if method in (_RESTRICTED_ICC, _ANY_ICC) and is_profile:
                return profile
    return None


def _list_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each box before the codestream."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            [size] = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if size == 0 else position + size
        if end < start or kind == b"jp2c":
            return
        yield kind, data[start:end]
        position = end
