"""The preview of a bank: one JPEG of its artworks and of photos in its style.

Pictures are uint8 [H, W, 3] sRGB of any size and shape; sizes are px.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from artbank.report.fonts import fit_end
from artbank.report.sheets import GREY, PAPER, Box, Pen, encode_sheet, fit
from artbank.runtime.counts import number_text

Pair = tuple[np.ndarray, np.ndarray]
Strip = tuple[int, list[tuple[np.ndarray, int]]]

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
    heights = [max(fit(picture, _PAIR_PX)[1] for pair in row for picture in pair) for row in grid]
    below = 120 + sum(height + _GAP_PX for height, _ in strip)
    height = below + (52 if grid else 0) + sum(h + 20 for h in heights) + 20
    pen = Pen(Image.new("RGB", (_PREVIEW_PX, height), PAPER))
    pen.write((_MARGIN_PX, 60), fit_end(title, 28, _INNER_PX), 28)
    pen.write((_MARGIN_PX, 104), number_text(len(artworks), "artwork") + " of the collection", 15, GREY)
    _draw_strip(pen, strip, 120)
    if grid:
        pen.write((_MARGIN_PX, below + 36), "Photos, and what the bank makes of them", 15, GREY)
    _draw_pairs(pen, grid, heights, below + 52)
    return encode_sheet(pen.sheet, 2_000_000)


def _draw_strip(pen: Pen, strip: Sequence[Strip], top: int) -> None:
    for height, row in strip:
        left = _MARGIN_PX
        for picture, across in row:
            pen.paste(picture, (left, top), (across, height))
            left += across + _GAP_PX
        top += height + _GAP_PX


def _draw_pairs(pen: Pen, grid: Sequence[Sequence[Pair]], heights: Sequence[int], top: int) -> None:
    second = _INNER_PX - 2 * _PAIR_PX - _ARROW_PX
    for height, row in zip(heights, grid, strict=True):
        for column, pair in enumerate(row):
            _draw_pair(pen, pair, (_MARGIN_PX + column * second, top), height)
        top += height + 20


def _draw_pair(pen: Pen, pair: Pair, at: Box, height: int) -> None:
    """Draw a photo and its stylized picture, both as near the arrow between them as their shapes allow."""
    for number, picture in enumerate(pair):
        size = fit(picture, _PAIR_PX)
        left = at[0] + (_PAIR_PX - size[0] if number == 0 else _PAIR_PX + _ARROW_PX)
        pen.paste(picture, (left, at[1] + (height - size[1]) // 2), size)
    pen.arrow((at[0] + _PAIR_PX + _ARROW_PX // 2, at[1] + height // 2))


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
