"""Lay out pictures with a caption below each, for the documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Captioned = tuple[str, np.ndarray]
"""A caption and a picture, uint8 [H, W, 3] sRGB."""

_GAP_PX = 12
_LINE_PX = 30
_FONT_PX = 21


def lay_out(rows: Sequence[Sequence[Captioned | None]], width_px: int, height_px: int) -> Image.Image:
    """Lay out rows of pictures, each cut to one shape, with its caption below it.

    Args:
        rows: The pictures; None leaves a place empty, and rows may differ in length.
        width_px: Width of each picture, px.
        height_px: Height of each picture, px.
    """
    across, down = width_px + _GAP_PX, height_px + _LINE_PX + _GAP_PX
    num_columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (across * num_columns - _GAP_PX, down * len(rows) - _GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    for number, row in enumerate(rows):
        for column, place in enumerate(row):
            if place is not None:
                caption, picture = place
                left, top = across * column, down * number
                sheet.paste(fit(picture, width_px, height_px), (left, top))
                pen.text((left + width_px // 2, top + height_px + 3), caption, "black", font, anchor="ma")
    return sheet


def fit(picture: np.ndarray, width_px: int, height_px: int) -> Image.Image:
    """Cut the middle of a picture to a shape and resize it."""
    height, width = picture.shape[:2]
    scale = min(width / width_px, height / height_px)
    wide, high = width_px * scale, height_px * scale
    box = ((width - wide) / 2, (height - high) / 2, (width + wide) / 2, (height + high) / 2)
    return Image.fromarray(picture).resize((width_px, height_px), Image.Resampling.LANCZOS, box)
