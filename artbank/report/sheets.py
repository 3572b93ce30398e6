"""Sheets of pictures: paper, letters and arrows, and a JPEG of it all.

Pictures are uint8 [H, W, 3] sRGB of any size and shape; sizes are px.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from artbank.images.file_metadata import mark_only
from artbank.report.fonts import choose_font

Box = tuple[int, int]

PAPER, INK, GREY = "#faf9f6", "#26241f", "#8a867c"
_EDGE = "#d5d1c7"
_QUALITIES = (90, 84, 78, 70, 60)
_LEAST_PX = 64
"""Shorter side below which a sheet is not reduced further."""


@dataclass(frozen=True)
class Pen:
    """Draws on one sheet."""

    sheet: Image.Image

    def write(self, at: Box, text: str, size_px: int, colour: str = INK) -> None:
        """Write one line; `at` is the left end of its baseline."""
        font, written = choose_font(text, size_px)
        ImageDraw.Draw(self.sheet).text(at, written, colour, font, "ls")

    def paste(self, picture: np.ndarray, at: Box, size: Box) -> None:
        """Paste a picture resized to `size`, with a hairline so that a pale one ends somewhere."""
        image = Image.fromarray(picture)
        self.sheet.paste(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), at)
        ImageDraw.Draw(self.sheet).rectangle((*at, at[0] + size[0] - 1, at[1] + size[1] - 1), outline=_EDGE)

    def arrow(self, middle: Box) -> None:
        """Draw an arrow to the right, smoothly: at four times its size, then reduced."""
        large = Image.new("L", (96, 64))
        draw = ImageDraw.Draw(large)
        draw.line((4, 32, 88, 32), 255, 6)
        draw.line((66, 12, 90, 32, 66, 52), 255, 6, joint="curve")
        mask = large.resize((24, 16), Image.Resampling.LANCZOS)
        self.sheet.paste(GREY, (middle[0] - 12, middle[1] - 8), mask)


def fit(picture: np.ndarray, side: int) -> Box:
    """Return the width and height of a picture whose long side is `side`."""
    height, width_px = picture.shape[:2]
    scale = side / max(height, width_px)
    return max(round(width_px * scale), 1), max(round(height * scale), 1)


def encode_sheet(sheet: Image.Image, max_bytes: int) -> bytes:
    """Return a sheet as a JPEG of at most `max_bytes`: at the best quality that fits, else smaller.

    Letters keep their full colour. The file is marked as one with pictures that a model drew.

    Args:
        sheet: RGB.
        max_bytes: At least 10,000: a sheet of 64 px at the lowest quality fits.
    """
    data = b""
    while not data or len(data) > max_bytes:
        for quality in _QUALITIES:
            data = _encode(sheet, quality)
            if len(data) <= max_bytes:
                break
        if min(sheet.size) <= _LEAST_PX:
            break
        sheet = sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4), Image.Resampling.LANCZOS)
    return data


def _encode(sheet: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=quality, subsampling=0, xmp=mark_only().xmp)
    return buffer.getvalue()
