"""Small image files made to take a lot of memory or time, and a measurement of what they take.

Run as a program, it decodes each in a process of its own and prints a line of JSON for it.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

from artbank.errors import ImageError
from artbank.images.codec import decode, read_camera
from tests.support.image_files import bmp, chunk, draw, gray_tiff, heif, mend_png, png, psd, raw, save, tga, tiff

LIMIT = 1_000_000
SIDE_PX = 990  # of a bomb whose size is within the limit


@cache
def zeros() -> bytes:
    """Return 200 MB of zeros, compressed."""
    return zlib.compress(bytes(200_000_000), 9)


def patch(data: bytes, mark: bytes, skip: int, layout: str, *values: int) -> bytes:
    """Replace numbers in a file, `skip` bytes after the start of a mark."""
    at, new = data.index(mark) + skip, struct.pack(layout, *values)
    return data[:at] + new + data[at + len(new) :]


def gif(width_px: int, height_px: int, frames: int = 1) -> bytes:
    """Return a GIF whose frames claim a size."""
    whole = save(Image.new("P", (16, 16), 1), "GIF")
    start = whole.index(b"\x2c")
    frame = patch(whole[start:-1], b"\x2c", 5, "<HH", width_px, height_px)
    return whole[:start] + (b"\x21\xf9\x04\0\1\0\0\0" + frame) * frames + b";"


def webp(side_px: int) -> bytes:
    """Return an animated WebP whose canvas claims a size."""
    side = struct.pack("<I", side_px - 1)[:3]
    frame = bytes(6) + struct.pack("<I", 15)[:3] * 2 + bytes([100, 0, 0, 0]) + save(draw("RGB", 16, 16), "WEBP")[12:]
    body = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + side * 2 + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    body += b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def jpeg(side_px: int, scans: int = 1) -> bytes:
    """Return a JPEG that claims a size, and repeats its last scan."""
    data = patch(
        save(draw("RGB"), "JPEG", progressive=scans > 1),
        b"\xff\xc2" if scans > 1 else b"\xff\xc0",
        5,
        ">HH",
        side_px,
        side_px,
    )
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def jpeg2000(side_px: int, tile_px: int, *, style: bytes = b"", decoy: bytes = b"", late: bool = False) -> bytes:
    """Return a JPEG 2000 that claims a size; `style` takes the place of its coding style, or is in a tile's header."""
    data = patch(save(draw("RGB"), "JPEG2000"), b"\xff\x51", 6, ">8I", side_px, side_px, 0, 0, tile_px, tile_px, 0, 0)
    data = patch(data, b"ihdr", 4, ">II", side_px, side_px)
    if style:
        segment = b"\xff\x52" + struct.pack(">H", len(style) + 2) + style
        at, start = data.index(b"\xff\x52"), data.index(b"\xff\x90")
        if late:
            data = data[: start + 6] + b"\0\0\0\0" + data[start + 10 : start + 12] + segment + data[start + 12 :]
        else:
            data = data[:at] + segment + data[at + 14 :]
    box = data.index(b"jp2c") - 4
    return data[:box] + decoy + b"\0\0\0\0" + data[box + 4 :]


def style(levels: int, precincts: bytes = b"", block: int = 4) -> bytes:
    """Return a coding style of JPEG 2000; the side of a code block is two to the power of `block` + 2."""
    return bytes([bool(precincts), 0, 0, 1, 0, levels, block, block, 0, 1]) + precincts


def exif_of(*entries: tuple[int, int, int, int]) -> bytes:
    """Return EXIF of tags (number, type, count, value)."""
    return b"Exif\0\0" + tiff(*entries)


def text(count: int, size: int) -> bytes:
    """Return a PNG with many texts that are short when compressed."""
    return png(16, 16, *(chunk(b"zTXt", b"a%d\0\0" % i + zlib.compress(bytes(size))) for i in range(count)))


def tiled(side_px: int, tile_px: int, compression: int) -> bytes:
    """Return a TIFF of one tile's data."""
    tiles = ((322, 4, 1, tile_px), (323, 4, 1, tile_px), (324, 4, 1, 8), (325, 4, 1, 1000))
    return gray_tiff(side_px, side_px, *tiles, compression=compression)


def float_tiff(side_px: int, *entries: tuple[int, int, int, int]) -> bytes:
    """Return a gray TIFF of floats of 64 bits with additional tags; Pillow does not read it."""
    usual = [
        (256, 4, 1, side_px),
        (257, 4, 1, side_px),
        (258, 3, 1, 64),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (339, 3, 1, 3),
    ]
    return tiff(*usual, (277, 3, 1, 1), *entries, data=bytes(65_536))


def ring_of_previews(count: int) -> bytes:
    """Return a TIFF of many pages that are all reduced; the last one is followed by the first."""
    entries = ((254, 4, 1, 1), (256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (262, 3, 1, 1))
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    size = len(table) + 4
    pages = [table + struct.pack("<I", 8 + size * ((number + 1) % count)) for number in range(count)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


_LOOP = [(tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005)]
_MANY = [(tag, 2, 600_000, 8) for tag in range(40_000, 65_000)]
_DECOY = struct.pack(">I", 8 + 16) + b"free" + b"\xff\x4f\xff\x51\xff\xd9".ljust(16, b"\0")

BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a PNG that claims 100 000 px a side": (lambda: png(100_000, 100_000, body=zeros()), "more than the limit"),
    "a PNG with far more pixels than it claims": (lambda: png(16, 16, body=zeros()), "picture"),
    "a PNG with a text of 200 MB": (lambda: png(16, 16, chunk(b"zTXt", b"a\0\0" + zeros())), "damaged"),
    "a PNG with an international one": (lambda: png(16, 16, chunk(b"iTXt", b"a\0\1\0\0\0" + zeros())), "damaged"),
    "a PNG with a hundred texts of 1 MB": (lambda: text(100, 1_000_000), "damaged"),
    "a PNG with a profile of 200 MB": (lambda: png(16, 16, chunk(b"iCCP", b"a\0\0" + zeros())), "damaged"),
    "a PNG with 100 000 chunks": (lambda: png(16, 16, *[chunk(b"tEXt", b"a\0b")] * 100_000), "picture"),
    "an animated PNG that claims 2 billion frames": (
        lambda: mend_png(patch(save(draw(), "PNG", save_all=True, append_images=[draw("L")]), b"acTL", 4, ">I", 2**31)),
        "",
    ),
    "a TIFF with a tile larger than any image": (lambda: tiled(64, 40_000, 5), "tiles of 40000 x 40000 px"),
    "a TIFF with a raw one": (lambda: tiled(64, 2**31, 1), "tiles of"),
    "a TIFF with tiles of one pixel": (lambda: tiled(SIDE_PX, 1, 1), "picture"),
    "a TIFF with 4 billion strips": (lambda: gray_tiff(64, 64, (273, 4, 2**32 - 1, 8)), "damaged"),
    "a TIFF with a strip of 2 billion rows": (
        lambda: gray_tiff(64, 64, (278, 4, 1, 2**31 - 1), (273, 4, 1, 8), (279, 4, 1, 1000), compression=5),
        "damaged",
    ),
    "a TIFF whose directories refer to themselves": (
        lambda: gray_tiff(32, 32, (273, 4, 1, 150), (279, 4, 1, 1024), (330, 4, 1, 8), *_LOOP)[:-4] + b"\x08\0\0\0",
        "picture",
    ),
    "a TIFF with 25 000 tags over the same bytes": (lambda: gray_tiff(32, 32, *_MANY) + bytes(600_000), ""),
    "a GIF that claims 65 535 px a side": (lambda: patch(gif(16, 16), b"GIF", 6, "<HH", 65_535, 65_535), "limit"),
    "a GIF with a frame larger than it says": (lambda: gif(65_535, 65_535), "far more pixels"),
    "a GIF with 20 000 frames": (lambda: gif(16, 16, 20_000), "picture"),
    "an animated WebP that claims 16 383 px a side": (lambda: webp(16_383), "far more pixels"),
    "an animated WebP above the limit": (lambda: webp(9_999), "more than the limit"),
    "a WebP with a still of 16 383 px": (
        lambda: patch(save(draw(), "WEBP"), b"\x9d\x01\x2a", 3, "<HH", 16_383, 16_383),
        "far more pixels",
    ),
    "an AVIF that claims 16 384 px a side": (
        lambda: patch(save(draw(), "AVIF"), b"ispe", 8, ">II", 16_384, 16_384),
        "more than the limit",
    ),
    "a BMP of negative height": (lambda: bmp(64, -64), "truncated"),
    "a BMP of the lowest height": (lambda: bmp(64, -(2**31)), "more than the limit"),
    "a BMP of 2 billion px a side": (lambda: bmp(2**31 - 1, 2**31 - 1), "more than the limit"),
    "a BMP that skips ahead a million times": (
        lambda: bmp(SIDE_PX, SIDE_PX, bits=8, compression=1, data=b"\0\2\xff\0" * 1_000_000),
        "picture",
    ),
    "a JPEG that claims 65 500 px a side": (lambda: jpeg(65_500), "more than the limit"),
    "a JPEG that draws its picture 100 000 times": (lambda: jpeg(SIDE_PX, 100_000), "more than 100 passes"),
    "a JPEG with a profile of 10 MB": (lambda: save(draw(), "JPEG", icc_profile=bytes(10_000_000)), "picture"),
    "a JPEG with a profile of 4 billion tags": (
        lambda: save(
            draw(),
            "JPEG",
            icc_profile=struct.pack(">I", 10_000)
            + b"lcms\2\x10\0\0mntrRGB XYZ ".ljust(32, b"\0")
            + b"acsp"
            + bytes(88)
            + b"\xff" * 9_868,
        ),
        "picture",
    ),
    "a JPEG whose EXIF refers to itself": (lambda: save(draw(), "JPEG", exif=exif_of(*_LOOP)), "picture"),
    "a PNG with 25 000 EXIF tags over the same bytes": (
        lambda: save(draw(), "PNG", exif=exif_of(*_MANY) + bytes(600_000)),
        "picture",
    ),
    "a JPEG 2000 that claims 100 000 px a side": (lambda: jpeg2000(100_000, 100_000), "more than the limit"),
    "a JPEG 2000 of 65 025 tiles": (lambda: jpeg2000(255, 1), "far more tiles"),
    "a JPEG 2000 of precincts of one pixel": (
        lambda: jpeg2000(SIDE_PX, SIDE_PX, style=style(0, b"\0")),
        "far more blocks",
    ),
    "a JPEG 2000 that says so in a tile": (
        lambda: jpeg2000(SIDE_PX, SIDE_PX, style=style(0, b"\0"), late=True),
        "far more blocks",
    ),
    "a JPEG 2000 that says so behind another that does not": (
        lambda: jpeg2000(SIDE_PX, SIDE_PX, style=style(0, b"\0"), decoy=_DECOY),
        "far more blocks",
    ),
    "a JPEG 2000 of code blocks of 16 px": (
        lambda: jpeg2000(SIDE_PX, SIDE_PX, style=style(0, block=0)),
        "far more blocks",
    ),
    "a PPM that claims 100 000 px a side": (lambda: b"P6 100000 100000 255\n", "more than the limit"),
    "a PPM with a comment of 5 MB": (lambda: b"P3 64 64 255\n#" + b"#" * 5_000_000, "damaged"),
    "a PPM with a number of 5 MB": (lambda: b"P3 64 64 255\n" + b"1" * 5_000_000, "damaged"),
    "a PSD that claims 300 000 px a side": (lambda: psd(300_000, 300_000), "more than the limit"),
    "a PSD of 65 535 channels": (lambda: psd(64, 64, channels=65_535, compression=1), ""),
    "a PSD with 300 000 resources": (
        lambda: psd(64, 64, resources=(b"8BIM\0\1" + bytes(6)) * 300_000)[:-10_000] + bytes(12_288),
        "picture",
    ),
    "a PSD of 32 bits that claims 300 000 px a side": (lambda: psd(300_000, 300_000, bits=32), "more than the limit"),
    "a HEIC that claims 100 000 px a side": (
        lambda: patch(heif(draw("RGB", 64, 64)), b"ispe", 8, ">II", 100_000, 100_000),
        "more than the limit",
    ),
    "a HEIC with a picture of 65 000 px behind a crop": (
        lambda: patch(heif(draw()), b"ispe", 8, ">II", 65_000, 65_000),
        "has a part of 65000 x 65000 px",
    ),
    "a TIFF of floats that claims 100 000 px a side": (lambda: float_tiff(100_000), "more than the limit"),
    "a TIFF of floats with a tile larger than any image": (
        lambda: float_tiff(64, (322, 4, 1, 40_000), (323, 4, 1, 40_000), (324, 4, 1, 8), (325, 4, 1, 1000)),
        "tiles of 40000 x 40000 px",
    ),
    "a TIFF of floats with 4 billion strips": (lambda: float_tiff(64, (273, 4, 2**32 - 1, 8)), "damaged"),
    "a TIFF of floats with 25 000 tags over the same bytes": (
        lambda: float_tiff(32, (273, 4, 1, 8), (279, 4, 1, 8192), *_MANY) + bytes(600_000),
        "",
    ),
    "a TIFF with a ring of previews": (lambda: ring_of_previews(10_000), "only a reduced-resolution preview"),
    "a camera raw file that claims 60 000 px a side": (
        lambda: raw().replace(struct.pack("<HHII", 256, 4, 1, 64), struct.pack("<HHII", 256, 4, 1, 60_000)),
        "more than the limit",
    ),
    "a TGA that claims 65 535 px a side": (lambda: tga(65_535, 65_535), "more than the limit"),
}
"""How each file is made, and a part of the expected message; `picture` if it decodes, "" if either is fine."""


def measure(data: bytes) -> dict[str, object]:
    """Decode a file and read its camera; returns the message, the seconds and the memory."""
    before, start = _peak_mb(), time.process_time()
    try:
        said = "picture" if decode(data, max_pixels=LIMIT).rgb.size else ""
    except ImageError as error:
        said = error.reason
    read_camera(data)
    return {"said": said, "seconds": time.process_time() - start, "mb": _peak_mb() - before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure each bomb in a fork, so that peaks of memory do not hide each other."""
    decode(save(draw(), "PNG"), max_pixels=LIMIT)
    for name, (make, _) in BOMBS.items():
        data = make()
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            try:
                print(json.dumps({"name": name, "size": len(data), **measure(data)}), flush=True)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
