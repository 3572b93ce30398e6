"""Pictures in labelled rows on one sheet, and sheets as small JPEG files.

Apart from what is drawn on them, so that a program that lays out pictures does not load the networks.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Row = tuple[str, list[np.ndarray]]
"""A label, and pictures uint8 [H, W, 3] sRGB."""

_FONT_PX, _COLUMN_FONT_PX, _LABEL_PX, _GAP_PX = 12, 10, 92, 2


def draw_grid(rows: Sequence[Row], columns: Sequence[str], side_px: int, *, note: str = "") -> Image.Image:
    """Lay out pictures in rows, each with its label on the left.

    Args:
        rows: Label and pictures of each row; rows may differ in length.
        columns: Labels above the columns; may be empty.
        side_px: Side to which every picture is resized, px.
        note: A line at the foot.
    """
    pitch = side_px + _GAP_PX
    head = _FONT_PX + 6 if columns else 0
    foot = _FONT_PX + 6 if note else 0
    width = _LABEL_PX + pitch * max(len(pictures) for _, pictures in rows)
    sheet = Image.new("RGB", (width, head + pitch * len(rows) + foot), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_PX)
    small_font = ImageFont.load_default(_COLUMN_FONT_PX)
    for column, label in enumerate(columns):
        pen.text((_LABEL_PX + pitch * column, 2), label, "black", small_font)
    for number, (label, pictures) in enumerate(rows):
        top = head + pitch * number
        pen.multiline_text((2, top + side_px // 3), _wrap(label), "black", font)
        for column, picture in enumerate(pictures):
            small = Image.fromarray(picture).resize((side_px, side_px), Image.Resampling.LANCZOS)
            sheet.paste(small, (_LABEL_PX + pitch * column, top))
    pen.text((2, sheet.height - foot), note, "black", font)
    return sheet


def save_sheet(sheet: Image.Image, path: Path, limit_bytes: int) -> None:
    """Write a JPEG at the best quality, at most 88, that stays within `limit_bytes`; the lowest tried is 28."""
    for quality in range(88, 27, -4):
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= limit_bytes:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def _wrap(label: str) -> str:
    lines = [""]
    for word in label.split():
        if lines[-1] and len(lines[-1]) + len(word) > 12:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
