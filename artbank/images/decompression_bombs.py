"""Reject decompression bombs: files that need far more time or memory than a picture of their size should.

Within any limit of pixels, a file of 300 bytes can claim gigabytes: with tiles larger than the image, with millions of
tiny blocks, or with a picture drawn thousands of times over. Pillow's libraries do not check for that.

Source: ISO/IEC 15444-1, annex A, for JPEG 2000; ITU-T T.81, annex B, for JPEG; ISO/IEC 23008-12 for HEIF.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from PIL import Image

from artbank.errors import ImageError

_MAX_SCANS = 100  # of a JPEG; 1 to 10 are usual, and each is a pass over all pixels
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF
_MAX_BLOCKS = 0.01  # per px; 0.0003 is usual, 0.008 occurs with small precincts; each takes a kilobyte or more
_MIN_TILE_PX = 1024  # mean area beyond the free tiles; 16,384 and more are usual, each tile takes 12 kB
_FREE_TILES = 64
_MAX_COMPONENTS = 4
_MAX_TILING = 4  # times the area of a HEIF image that its tiles may have, beyond some free ones
_FREE_TILING_PX = 2**22

_HEIF_EXTENT = re.compile(rb"ispe\0\0\0\0(.{8})", re.DOTALL)

_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_EOI, _SOS = 0xD9, 0xDA
_SIZ, _COD, _COC, _SOT, _SOD, _EOC = 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
# Low bytes of the other markers in headers
_OTHER_MARKERS = b"\x50\x55\x57\x58\x59\x5c\x5d\x5e\x5f\x60\x61\x63\x64\x74\x75\x77\x78"
_KNOWN = frozenset({_SIZ, _COD, _COC, _SOT, *(0xFF00 + low for low in _OTHER_MARKERS)})


def check_cost(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Check that decoding an opened image takes no more time and memory than its size suggests.

    Args:
        image: An opened image within the limit of pixels, not decoded yet.
        data: Content of its file.
        max_pixels: Largest allowed tile.

    Raises:
        ImageError: It would take more.
        ValueError, struct.error: The file is damaged.
    """
    if image.format in ("JPEG", "MPO"):
        _check_scans(data)
    elif image.format == "TIFF":
        _check_tile(image, max_pixels)
    elif image.format == "JPEG2000":
        _check_codestream(image, data)
    elif image.format == "HEIF":
        _check_heif(image, data, max_pixels)


def _check_scans(data: bytes) -> None:
    num_scans = position = 0
    while (marker := _JPEG_MARKER.search(data, position)) is not None and marker[0][1] != _EOI:
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        num_scans += marker[0][1] == _SOS
        if num_scans > _MAX_SCANS:
            raise _bomb_error("JPEG", f"draws its picture in more than {_MAX_SCANS} passes")


def _check_tile(image: Image.Image, max_pixels: int) -> None:
    tags = getattr(image, "tag_v2", {})
    sides = getattr(image, "tile_px", (tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)))
    width, length = map(int, sides)
    if width * length > max_pixels:
        raise _bomb_error("TIFF", f"has tiles of {width} x {length} px, more than the limit for whole images")


def _check_heif(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Check the images that a HEIF picture is cropped or put together from, and its alpha."""
    for extent in _HEIF_EXTENT.finditer(data):
        width, height = struct.unpack(">II", extent[1])
        if width * height > max_pixels:
            raise _bomb_error("HEIF", f"has a part of {width} x {height} px, more than the limit for whole images")
    tiling = image.info.get("tiling")
    if not tiling:
        return
    area = tiling["num_columns"] * tiling["num_rows"] * tiling["tile_width"] * tiling["tile_height"]
    if area > _FREE_TILING_PX + _MAX_TILING * image.width * image.height:
        raise _bomb_error("HEIF", "is cut into far more tiles than a picture needs")


def _check_codestream(image: Image.Image, data: bytes) -> None:
    """Check tiles and code blocks of a JPEG 2000, in the main header and those of its tile-parts."""
    for marker, body in _segments(data, _find_codestream(data)):
        if marker == _SIZ and _has_many_parts(body, image.width * image.height):
            raise _bomb_error("JPEG2000", "is cut into far more tiles or channels than a picture needs")
        style = _coding_style(marker, body)
        if style and _count_blocks(style) > _MAX_BLOCKS:
            raise _bomb_error("JPEG2000", "is cut into far more blocks than a picture needs")


def _coding_style(marker: int, body: bytes) -> bytes:
    """Return flags and parameters of a COD or COC segment; empty for other segments.

    COC is read as it is with up to 256 components, where the component's number takes one byte.
    """
    if marker == _COD:
        return body[0:1] + body[5:]
    return body[1:] if marker == _COC else b""


def _has_many_parts(size: bytes, pixels: int) -> bool:
    """Return whether a SIZ segment declares too many tiles or components."""
    width, height, _, _, tile_width, tile_height, left, top, components = struct.unpack_from(">8IH", size, 2)
    tiles = -(-(width - left) // tile_width) * -(-(height - top) // tile_height)
    return components > _MAX_COMPONENTS or tiles > _FREE_TILES + pixels // _MIN_TILE_PX


def _count_blocks(style: bytes) -> float:
    """Return the number of code blocks per pixel that a coding style gives.

    Each resolution has a quarter of the pixels of the next one. A block is no larger than its precinct; above the
    lowest resolution, the sides of a precinct are halved in its bands.
    """
    levels = style[1]
    block_width, block_height = style[2] + 2, style[3] + 2  # exponents of 2, as all sides below
    precincts = style[6 : 7 + levels] if style[0] & 1 else b"\xff" * (levels + 1)
    blocks = 0.0
    for resolution, size in enumerate(precincts):
        halving = 1 if resolution > 0 else 0
        width = min(block_width, (size & 15) - halving)
        height = min(block_height, (size >> 4) - halving)
        blocks += 4.0 ** (resolution - levels) / (1 << width + height)
    return blocks


def _find_codestream(data: bytes) -> int:
    """Return the position of the codestream: the start, or the content of the first box `jp2c`."""
    position = 0
    while not data.startswith(b"\xff\x4f\xff\x51", position):
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 16 if size == 1 else 8
        if size == 1:
            size = struct.unpack_from(">Q", data, position + 8)[0]
        position += header if kind == b"jp2c" else max(size, header)
    return position


def _segments(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each header segment of a codestream, including those of tile-parts.

    Raises:
        ValueError: An unknown marker. The decoder would search for the next one and might find other segments.
        struct.error: The codestream is truncated.
    """
    position = start + 2
    next_part = len(data)
    while position + 2 <= len(data):
        [marker] = struct.unpack_from(">H", data, position)
        if marker == _EOC:
            return
        if marker == _SOD and next_part > position:
            position = next_part
            continue
        if marker not in _KNOWN:  # also if a tile-part ends before its header does
            raise ValueError(f"marker {marker:x} in a header")
        [size] = struct.unpack_from(">H", data, position + 2)
        if marker == _SOT:
            [length] = struct.unpack_from(">I", data, position + 6)
            next_part = position + max(length, 12) if length else len(data)
        yield marker, data[position + 4 : position + 2 + size]
        position += 2 + max(size, 2)


def _bomb_error(kind: str, fault: str) -> ImageError:
    return ImageError(f"the {kind} file {fault}; save it again", "too_large")
