"""A contact sheet: rows of pictures on one JPEG, small enough to be part of a page or a message as a data URL.

Pictures are uint8 [H, W, 3] sRGB of any size and shape; sizes are px.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from artbank.report.fonts import fit_end
from artbank.report.sheets import GREY, PAPER, Pen, encode_sheet, fit

MOST_SHEET_BYTES = 96_000
"""Largest contact sheet; as a data URL it has 128,023 letters."""

_WIDTH_PX = 960
_MARGIN_PX = 24
_GAP_PX = 12
_TITLE_PX, _HEAD_PX = 22, 15  # sizes of letters
_TITLE_LINE_PX, _HEAD_LINE_PX = 56, 24

Row = Sequence[np.ndarray | None]
"""Pictures of one row; None leaves a cell empty."""


def draw_contact_sheet(rows: Sequence[Row], title: str, heads: Sequence[str] = (), *, most_cell_px: int = 400) -> bytes:
    """Draw rows of pictures under a title, as a JPEG of at most `MOST_SHEET_BYTES`.

    Args:
        rows: At least one, each of the same number of cells, at least one.
        title: Headline.
        heads: A word above each column; none for no such line.
        most_cell_px: Longest side of a picture.
    """
    num_columns = len(rows[0])
    inner_px = _WIDTH_PX - 2 * _MARGIN_PX
    cell_px = min((inner_px - (num_columns - 1) * _GAP_PX) // num_columns, most_cell_px)
    heights = [max((fit(picture, cell_px)[1] for picture in row if picture is not None), default=1) for row in rows]
    top = _TITLE_LINE_PX + (_HEAD_LINE_PX if heads else 0)
    height = top + sum(row_px + _GAP_PX for row_px in heights) + _MARGIN_PX
    pen = Pen(Image.new("RGB", (_WIDTH_PX, height), PAPER))
    pen.write((_MARGIN_PX, 38), fit_end(title, _TITLE_PX, inner_px), _TITLE_PX)
    lefts = [_MARGIN_PX + place * (cell_px + _GAP_PX) for place in range(num_columns)]
    for left, head in zip(lefts, heads, strict=False):
        pen.write((left, top - 8), fit_end(head, _HEAD_PX, cell_px), _HEAD_PX, GREY)
    for row, row_px in zip(rows, heights, strict=True):
        for left, picture in zip(lefts, row, strict=True):
            if picture is not None:
                pen.paste(picture, (left, top), fit(picture, cell_px))
        top += row_px + _GAP_PX
    return encode_sheet(pen.sheet, MOST_SHEET_BYTES)
