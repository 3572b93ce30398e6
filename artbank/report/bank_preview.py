"""The preview of a bank: one JPEG of its artworks and of photos in its style.

Pictures are uint8 [H, W, 3] sRGB of any size and shape; sizes are px.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from artbank.images.file_metadata import mark_only
from artbank.report.fonts import fit_end, letter

Box = tuple[int, int]
Pair = tuple[np.ndarray, np.ndarray]
Strip = tuple[int, list[tuple[np.ndarray, int]]]

_PAPER, _INK, _GREY, _EDGE = "#faf9f6", "#26241f", "#8a867c", "#d5d1c7"
_QUALITIES = (90, 84, 78, 70, 60)
_PREVIEW_PX = 1080  # width of a preview
_STRIP_PX = 168  # height of its artworks
_PAIR_PX = 212  # side of its pictures
_MARGIN_PX = 40
_GAP_PX = 8
_ARROW_PX = 44
_INNER_PX = _PREVIEW_PX - 2 * _MARGIN_PX


def preview_grid(
    artworks: Sequence[np.ndarray], photos: Sequence[np.ndarray], stylized: Sequence[np.ndarray], title: str
) -> bytes:
    """Draw a bank's artworks in a strip and photos beside what it makes of them, as a JPEG 1080 px wide.

    Args:
        artworks: A few of the collection; every one is shown.
        photos: One for each stylized picture.
        stylized: In the style of the bank.
        title: Headline, e.g. "monet, version 3".
    """
    strip = _justify(artworks, _INNER_PX)
    pairs = list(zip(photos, stylized, strict=True))
    grid = [pairs[start : start + 2] for start in range(0, len(pairs), 2)]
    heights = [max(_fit(picture, _PAIR_PX)[1] for pair in row for picture in pair) for row in grid]
    below = 120 + sum(height + _GAP_PX for height, _ in strip)
    height = below + (52 if grid else 0) + sum(h + 20 for h in heights) + 20
    pen = _Pen(Image.new("RGB", (_PREVIEW_PX, height), _PAPER))
    pen.write((_MARGIN_PX, 60), fit_end(title, 28, _INNER_PX), 28)
    pen.write((_MARGIN_PX, 104), _count(len(artworks), "artwork") + " of the collection", 15, _GREY)
    _draw_strip(pen, strip, 120)
    if grid:
        pen.write((_MARGIN_PX, below + 36), "Photos, and what the bank makes of them", 15, _GREY)
    _draw_pairs(pen, grid, heights, below + 52)
    return _jpeg(pen.sheet, 2_000_000)


@dataclass(frozen=True)
class _Pen:
    """Draws on one sheet."""

    sheet: Image.Image

    def write(self, at: Box, text: str, size_px: int, colour: str = _INK) -> None:
        """Write one line; `at` is the left end of its baseline."""
        font, written = letter(text, size_px)
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
        self.sheet.paste(_GREY, (middle[0] - 12, middle[1] - 8), mask)


def _draw_strip(pen: _Pen, strip: Sequence[Strip], top: int) -> None:
    for height, row in strip:
        left = _MARGIN_PX
        for picture, across in row:
            pen.paste(picture, (left, top), (across, height))
            left += across + _GAP_PX
        top += height + _GAP_PX


def _draw_pairs(pen: _Pen, grid: Sequence[Sequence[Pair]], heights: Sequence[int], top: int) -> None:
    second = _INNER_PX - 2 * _PAIR_PX - _ARROW_PX
    for height, row in zip(heights, grid, strict=True):
        for column, pair in enumerate(row):
            _draw_pair(pen, pair, (_MARGIN_PX + column * second, top), height)
        top += height + 20


def _draw_pair(pen: _Pen, pair: Pair, at: Box, height: int) -> None:
    """Draw a photo and its stylized picture, both as near the arrow between them as their shapes allow."""
    for number, picture in enumerate(pair):
        size = _fit(picture, _PAIR_PX)
        left = at[0] + (_PAIR_PX - size[0] if number == 0 else _PAIR_PX + _ARROW_PX)
        pen.paste(picture, (left, at[1] + (height - size[1]) // 2), size)
    pen.arrow((at[0] + _PAIR_PX + _ARROW_PX // 2, at[1] + height // 2))


def _fit(picture: np.ndarray, side: int) -> Box:
    """Return the width and height of a picture whose long side is `side`."""
    height, width_px = picture.shape[:2]
    scale = side / max(height, width_px)
    return max(round(width_px * scale), 1), max(round(height * scale), 1)


def _justify(pictures: Sequence[np.ndarray], widest: int) -> list[Strip]:
    """Break pictures into rows about as high as a strip, each as wide as the sheet where that is not too high.

    Returns:
        Height of each row, and its pictures with their widths; extreme shapes are brought to 1:4 or 4:1.
    """
    if not pictures:
        return []
    aspects = [min(max(picture.shape[1] / picture.shape[0], 0.25), 4.0) for picture in pictures]
    total = sum(aspects)
    num_rows = min(max(round(total * _STRIP_PX / widest), 1), len(pictures))
    middles = np.cumsum(aspects) - np.array(aspects) / 2  # of each picture, were they all in one row
    places = np.minimum((middles / total * num_rows).astype(int), num_rows - 1)
    return [
        _lay_row([(pictures[i], aspects[i]) for i, place in enumerate(places.tolist()) if place == row], widest)
        for row in sorted(set(places.tolist()))
    ]


def _lay_row(row: Sequence[tuple[np.ndarray, float]], widest: int) -> Strip:
    room = widest - _GAP_PX * (len(row) - 1)
    total = sum(aspect for _, aspect in row)
    if room / total > 1.5 * _STRIP_PX:
        room = round(total * _STRIP_PX)
    edges = np.round(np.cumsum([0.0, *(aspect / total * room for _, aspect in row)])).astype(int)
    return round(room / total), [(p, int(w)) for (p, _), w in zip(row, np.diff(edges), strict=True)]


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _jpeg(sheet: Image.Image, max_bytes: int) -> bytes:
    """Encode at the best quality that stays within `max_bytes`, or the lowest; letters keep their full colour.

    The file is marked as one with pictures that a model drew.
    """
    data = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, subsampling=0, xmp=mark_only().xmp)
        data = buffer.getvalue()
        if len(data) <= max_bytes:
            break
    return data
