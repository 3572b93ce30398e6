"""Open Photoshop documents by Pillow with the channels that they have: colours, transparency, and others beside them.

A document may hold saved selections and spot colours after its colours. Pillow takes the fourth channel of an RGB
document for its transparency, whatever it is, and loses its place in packed pixels where there are more channels than
it reads.

Source: Adobe Photoshop File Formats Specification, "Layer and mask information section", "Additional layer
information" and "Image data section".
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL.PsdImagePlugin import PsdImageFile

HEADER = struct.Struct(">4sH6xHIIHH")
"""The header of a document: signature, version, number of channels, height and width in px, bits, colour mode."""

_CHANNELS_AT = 12
_RGB = 3
_SAYS_TRANSPARENT = (b"Mtrn", b"Mt16", b"Mt32")
_DEEP_LAYERS = (b"Lr16", b"Lr32")
_BLOCK_MARKS = (b"8BIM", b"8B64")
_MAX_BLOCKS = 1000


def open_channels(data: bytes) -> PsdImageFile:
    """Open a document whose samples have up to 8 bits: its colours, and its transparency if it is RGB.

    Raises:
        struct.error, OSError, SyntaxError, KeyError: It is damaged, or of a kind that cannot be read.
    """
    _, _, num_channels, height, _, _, mode = HEADER.unpack_from(data)
    if mode == _RGB and num_channels > _RGB:
        wanted = _RGB + is_transparent(data)
        data = data[:_CHANNELS_AT] + struct.pack(">H", wanted) + data[_CHANNELS_AT + 2 :]
    image = PsdImageFile(io.BytesIO(data), "")
    num_others = num_channels - len(image.tile)
    # Before packed pixels there is the length of each line of each channel, two bytes; raw ones have no such table.
    skipped = 2 * height * num_others
    image.tile = [
        tile._replace(offset=tile.offset + skipped) if tile.codec_name == "packbits" else tile for tile in image.tile
    ]
    return image


def is_transparent(data: bytes) -> bool:
    """Return whether the first channel after the colours of a document is the transparency of its picture.

    Raises:
        struct.error: It is damaged.
    """
    position = HEADER.size
    for _ in range(2):  # colour mode data and image resources
        position += 4 + _read(">I", data, position)
    end = position + 4 + _read(">I", data, position)
    position += 4
    if end < position + 4:
        return False
    layers_size = _read(">I", data, position)
    if layers_size and _read(">h", data, position + 4) < 0:  # minus the number of layers
        return True
    return any(
        name in _SAYS_TRANSPARENT or (name in _DEEP_LAYERS and size > 1 and _read(">h", data, place) < 0)
        for name, place, size in _list_blocks(data, position + 4 + layers_size, end)
    )


def _list_blocks(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place and size in bytes of each block after the layers and the mask of all layers."""
    if position + 4 > end:
        return
    position += 4 + _read(">I", data, position)
    for _ in range(_MAX_BLOCKS):
        if position + 12 > end or data[position : position + 4] not in _BLOCK_MARKS:
            return
        size = _read(">I", data, position + 8)
        yield data[position + 4 : position + 8], position + 12, size
        position += 12 + -(-size // 4) * 4


def _read(layout: str, data: bytes, position: int) -> int:
    return struct.unpack_from(layout, data, position)[0]
