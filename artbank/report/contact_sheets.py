"""Pictures of pictures: the contact sheet of a run and the preview of a bank.

Pictures are uint8 [H, W, 3] sRGB of any size and shape; sizes are px.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from artbank.report.fonts import fit_end, fit_middle, fit_start, letter, width, wrap

Cell = tuple[str, np.ndarray | None]
Box = tuple[int, int]
Pair = tuple[np.ndarray, np.ndarray]
Strip = tuple[int, list[tuple[np.ndarray, int]]]

_PAPER, _INK, _GREY, _TILE, _EDGE = "#faf9f6", "#26241f", "#8a867c", "#e9e6df", "#d5d1c7"
_QUALITIES = (90, 84, 78, 70, 60)
_SMALLEST_CELL_PX = 48
_PREVIEW_PX, _STRIP_PX, _PAIR_PX = 1080, 168, 212  # width of a preview, height of its artworks, side of its pictures
_MARGIN_PX, _GAP_PX, _ARROW_PX = 40, 8, 44
_INNER_PX = _PREVIEW_PX - 2 * _MARGIN_PX


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[Cell]]], *, cell_px: int = 192, max_bytes: int = 4_000_000
) -> bytes:
    """Draw photos beside what became of them, as a JPEG.

    Args:
        rows: Key of each photo with its titled pictures, the photo first; the titles head the columns. A picture that
            is None, or that a row lacks, is drawn as failed.
        cell_px: Side of the square that each picture is fitted into; 1 to 12 columns and up to 40 rows are legible.
        max_bytes: Quality, then size are lowered until the sheet is no larger, or the smallest of all.
    """
    while True:
        data = _jpeg(_draw_sheet(rows, cell_px), max_bytes)
        if len(data) <= max_bytes or cell_px <= _SMALLEST_CELL_PX:
            return data
        cell_px = max(cell_px * 3 // 4, _SMALLEST_CELL_PX)


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

    def write(self, at: Box, text: str, size_px: int, colour: str = _INK, anchor: str = "ls") -> None:
        """Write one line; `at` is on its baseline."""
        font, written = letter(text, size_px)
        ImageDraw.Draw(self.sheet).text(at, written, colour, font, anchor)

    def paste(self, picture: np.ndarray, at: Box, size: Box) -> None:
        """Paste a picture resized to `size`, with a hairline so that a pale one ends somewhere."""
        image = Image.fromarray(picture)
        self.sheet.paste(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), at)
        ImageDraw.Draw(self.sheet).rectangle((*at, at[0] + size[0] - 1, at[1] + size[1] - 1), outline=_EDGE)

    def tile(self, at: Box, size: Box, text: str, size_px: int) -> None:
        """Draw a quiet tile with a word in its middle."""
        corner = (at[0] + size[0] - 1, at[1] + size[1] - 1)
        ImageDraw.Draw(self.sheet).rectangle((*at, *corner), fill=_TILE, outline=_EDGE)
        self.write((at[0] + size[0] // 2, at[1] + size[1] // 2), text, size_px, _GREY, "mm")

    def arrow(self, middle: Box) -> None:
        """Draw an arrow to the right, smoothly: at four times its size, then reduced."""
        large = Image.new("L", (96, 64))
        draw = ImageDraw.Draw(large)
        draw.line((4, 32, 88, 32), 255, 6)
        draw.line((66, 12, 90, 32, 66, 52), 255, 6, joint="curve")
        mask = large.resize((24, 16), Image.Resampling.LANCZOS)
        self.sheet.paste(_GREY, (middle[0] - 12, middle[1] - 8), mask)


def _draw_sheet(rows: Sequence[tuple[str, Sequence[Cell]]], cell: int) -> Image.Image:
    columns = list(dict.fromkeys(title for _, cells in rows for title, _ in cells))
    size_px, margin, gap = max(cell // 14, 9), max(cell // 8, 12), max(cell // 16, 6)
    heads = [wrap(title, size_px, cell, most_lines=3) for title in columns]
    label_px = _label_width([key for key, _ in rows], size_px, cell)
    line_px = round(size_px * 1.35)
    head_px = line_px * max((len(head) for head in heads), default=0) + gap
    lefts = [margin + label_px + gap + (cell + gap) * i + (gap if i else 0) for i in range(len(columns))]
    heights = [_row_height(cells, cell, 2 * line_px + 4) for _, cells in rows]
    across = (lefts[-1] + cell if lefts else margin + label_px) + margin
    sheet = Image.new("RGB", (across, 2 * margin + head_px + sum(heights) + gap * max(len(rows) - 1, 0)), _PAPER)
    pen = _Pen(sheet)
    for left, head in zip(lefts, heads, strict=True):
        for number, line in enumerate(reversed(head)):
            baseline = margin + head_px - gap - round(0.3 * size_px) - number * line_px
            pen.write((left + cell // 2, baseline), line, size_px, anchor="ms")
    top = margin + head_px
    for (key, cells), height in zip(rows, heights, strict=True):
        _draw_label(pen, key, (margin, top + height // 2), label_px, size_px)
        pictures = dict(cells)
        for left, title in zip(lefts, columns, strict=True):
            _draw_cell(pen, pictures.get(title), cells, (left, top), (cell, height), size_px)
        top += height + gap
    return sheet


def _draw_label(pen: _Pen, key: str, at: Box, widest: int, size_px: int) -> None:
    folder, _, name = key.rpartition("/")
    line = round(size_px * 1.35)
    baseline = at[1] + round(0.36 * size_px) - (line // 2 if folder else 0)
    pen.write((at[0], baseline), fit_middle(name, size_px, widest), size_px)
    if folder:
        small = max(size_px - 2, 8)
        pen.write((at[0], baseline + line), fit_start(folder, small, widest), small, _GREY)


def _draw_cell(pen: _Pen, picture: np.ndarray | None, cells: Sequence[Cell], at: Box, cell: Box, size_px: int) -> None:
    shown = picture if picture is not None else next((p for _, p in cells if p is not None), None)
    size = (cell[0], cell[1]) if shown is None else _fit(shown, cell[0])
    corner = (at[0] + (cell[0] - size[0]) // 2, at[1] + (cell[1] - size[1]) // 2)
    if picture is None:
        pen.tile(corner, size, "failed", size_px)
    else:
        pen.paste(picture, corner, size)


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


def _row_height(cells: Sequence[Cell], cell: int, least: int) -> int:
    heights = [_fit(picture, cell)[1] for _, picture in cells if picture is not None]
    return max([*heights, least]) if heights else cell * 2 // 3


def _label_width(keys: Sequence[str], size_px: int, cell: int) -> int:
    parts = [(key.rpartition("/")[2], key.rpartition("/")[0]) for key in keys]
    widest = max((max(width(name, size_px), width(folder, size_px - 2)) for name, folder in parts), default=0)
    return min(round(widest) + 2, max(cell, 110))


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
    room, total = widest - _GAP_PX * (len(row) - 1), sum(aspect for _, aspect in row)
    if room / total > 1.5 * _STRIP_PX:
        room = round(total * _STRIP_PX)
    edges = np.round(np.cumsum([0.0, *(aspect / total * room for _, aspect in row)])).astype(int)
    return round(room / total), [(p, int(w)) for (p, _), w in zip(row, np.diff(edges), strict=True)]


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _jpeg(sheet: Image.Image, max_bytes: int) -> bytes:
    """Encode at the best quality that stays within `max_bytes`, or the lowest; letters keep their full colour."""
    data = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, subsampling=0)
        data = buffer.getvalue()
        if len(data) <= max_bytes:
            break
    return data
