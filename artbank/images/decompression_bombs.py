"""Image files that would take far more time or memory than a picture of their size does.

A file of 300 bytes can ask for gigabytes within any limit of pixels: by tiles larger than their image, by pieces so
small that there are millions, by a picture drawn thousands of times over. Pillow's libraries do what they are asked.

Source: ISO/IEC 15444-1, annex A, for JPEG 2000; ITU-T T.81, annex B, for JPEG.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from PIL import Image

from artbank.errors import ImageError

_MOST_SCANS = 100  # of a JPEG; 1 or about 10 are usual, and each takes a pass over all pixels
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF
_MOST_BLOCKS = 0.01  # for each px; 0.0003 is usual, 0.008 was seen with small precincts; each takes a kilobyte or more
_SMALLEST_TILE = 1024  # px on average, beyond the first few tiles; 16384 and more are usual, each takes 12 kB
_FEW_TILES = 64
_MOST_COMPONENTS = 4

_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_EOI, _SOS = 0xD9, 0xDA
_SIZ, _COD, _COC, _SOT, _SOD, _EOC = 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
_OTHERS = b"\x50\x55\x57\x58\x59\x5c\x5d\x5e\x5f\x60\x61\x63\x64\x74\x75\x77\x78"  # low bytes of all others in headers
_KNOWN = frozenset({_SIZ, _COD, _COC, _SOT, *(0xFF00 + low for low in _OTHERS)})


def check_cost(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Check that an opened image, whose size is within limits, takes no more than its size lets expect.

    Args:
        image: As opened, not yet decoded.
        data: Its file.
        max_pixels: No tile may be larger.

    Raises:
        ImageError: It does.
        ValueError, struct.error: The file is damaged.
    """
    if image.format in ("JPEG", "MPO"):
        _check_scans(data)
    elif image.format == "TIFF":
        _check_tile(image, max_pixels)
    elif image.format == "JPEG2000":
        _check_codestream(image, data)


def _check_scans(data: bytes) -> None:
    count = at = 0
    while (marker := _JPEG_MARKER.search(data, at)) is not None and marker[0][1] != _EOI:
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        count += marker[0][1] == _SOS
        if count > _MOST_SCANS:
            raise _bomb("JPEG", f"draws its picture in more than {_MOST_SCANS} passes")


def _check_tile(image: Image.Image, max_pixels: int) -> None:
    tags = getattr(image, "tag_v2", {})
    width, length = int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_LENGTH, 0))
    if width * length > max_pixels:
        raise _bomb("TIFF", f"has tiles of {width} x {length} px, more than the limit for whole images")


def _check_codestream(image: Image.Image, data: bytes) -> None:
    """Check tiles and code blocks of a JPEG 2000, in whichever header they are told."""
    for marker, body in _segments(data, _find_codestream(data)):
        if marker == _SIZ and _has_many_parts(body, image.width * image.height):
            raise _bomb("JPEG2000", "is cut into far more tiles or channels than a picture needs")
        style = body[0:1] + body[5:] if marker == _COD else body[1:] if marker == _COC else b""
        if style and _count_blocks(style) > _MOST_BLOCKS:
            raise _bomb("JPEG2000", "is cut into far more blocks than a picture needs")


def _has_many_parts(size: bytes, pixels: int) -> bool:
    """Say whether a SIZ segment announces too many tiles or components."""
    width, height, _, _, tile_width, tile_height, left, top, components = struct.unpack_from(">8IH", size, 2)
    tiles = -(-(width - left) // tile_width) * -(-(height - top) // tile_height)
    return components > _MOST_COMPONENTS or tiles > _FEW_TILES + pixels // _SMALLEST_TILE


def _count_blocks(style: bytes) -> float:
    """Return how many code blocks there are for each pixel by a coding style.

    Each resolution has a quarter of the pixels of the next one. A precinct bounds its blocks; above the lowest
    resolution, bands have half its sides.
    """
    levels, width, height = style[1], style[2] + 2, style[3] + 2  # the latter two as powers of two
    precincts = style[6 : 7 + levels] if style[0] & 1 else b"\xff" * (levels + 1)
    sides = [((size & 15) - (number > 0), (size >> 4) - (number > 0)) for number, size in enumerate(precincts)]
    areas = [1 << min(width, across) + min(height, down) for across, down in sides]
    return sum(4.0 ** (number - levels) / area for number, area in enumerate(areas))


def _find_codestream(data: bytes) -> int:
    """Return where the codestream begins: at the start, or in the first box `jp2c`."""
    at = 0
    while not data.startswith(b"\xff\x4f\xff\x51", at):
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 16 if size == 1 else 8
        if size == 1:
            size = struct.unpack_from(">Q", data, at + 8)[0]
        at += header if kind == b"jp2c" else max(size, header)
    return at


def _segments(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each header segment of a codestream, tile-parts included.

    What the decoder would have to search its way through is taken for damage: it might find other segments.
    """
    at, next_part = at + 2, len(data)
    while at + 2 <= len(data):
        [marker] = struct.unpack_from(">H", data, at)
        if marker == _EOC:
            return
        if marker == _SOD and next_part > at:
            at = next_part
            continue
        if marker not in _KNOWN:  # likewise a tile-part that ends before its header does
            raise ValueError(f"marker {marker:x} in a header")
        [size] = struct.unpack_from(">H", data, at + 2)
        if marker == _SOT:
            [length] = struct.unpack_from(">I", data, at + 6)
            next_part = at + max(length, 12) if length else len(data)
        yield marker, data[at + 4 : at + 2 + size]
        at += 2 + max(size, 2)


def _bomb(kind: str, fault: str) -> ImageError:
    return ImageError(f"the {kind} file {fault}; save it anew", "too_large")
