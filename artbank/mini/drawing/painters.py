"""Painters who turn any image into a painting: sixteen by hand, and hundreds of a sampled space of manners.

The painters' names are invented. Twelve of the sixteen are in the captions of the corpus that the shipped weights were
pretrained on. The other four, `SAMPLED` and `HELD_OUT_SAMPLED` are not: no trained network has seen them, so that
learning one of them from a handful of pictures is a fair test of a style bank.

Shape legend: H, W height and width, px; images uint8 or float32 [H, W, 3] sRGB.
"""

from __future__ import annotations

import zlib

import numpy as np

from artbank.mini.drawing.manners.brushes import BRUSH_PAINTERS
from artbank.mini.drawing.manners.engines import paint_sampled
from artbank.mini.drawing.manners.graphics import GRAPHIC_PAINTERS
from artbank.mini.drawing.manners.space import (
    HELD_OUT_SEEDS,
    KNOWN,
    MannerSettings,
    name_manner,
    sample_manner,
)
from artbank.mini.drawing.manners.strokes import Manner

PAINTERS: dict[str, Manner] = {**BRUSH_PAINTERS, **GRAPHIC_PAINTERS}
HELD_OUT: tuple[str, ...] = ("Novak", "Dunmore", "Ferrante", "Marchetti")
TRAINED: tuple[str, ...] = tuple(name for name in PAINTERS if name not in HELD_OUT)
SAMPLED: dict[str, MannerSettings] = {name_manner(seed): sample_manner(seed) for seed in range(KNOWN)}
HELD_OUT_SAMPLED: dict[str, MannerSettings] = {name_manner(seed): sample_manner(seed) for seed in HELD_OUT_SEEDS}


def paint(image: np.ndarray, painter: str, seed: int) -> np.ndarray:
    """Paint an image in a painter's manner.

    Args:
        image: [H, W, 3] uint8 sRGB, short side 64 to 1024 px; strokes scale with the short side.
        painter: One of `PAINTERS`, `SAMPLED` or `HELD_OUT_SAMPLED`.
        seed: Any integer >= 0; the same image, painter and seed give the same bytes.

    Returns:
        [H, W, 3] uint8 sRGB.

    Raises:
        KeyError: No such painter.
    """
    rng = np.random.default_rng([seed, zlib.crc32(painter.encode())])
    pixels = image.astype(np.float32) / 255
    if painter in PAINTERS:
        painted = PAINTERS[painter](pixels, rng)
    else:
        painted = paint_sampled(pixels, _find_sampled(painter), rng)
    return np.round(np.clip(painted, 0, 1) * 255).astype(np.uint8)


def _find_sampled(painter: str) -> MannerSettings:
    return SAMPLED[painter] if painter in SAMPLED else HELD_OUT_SAMPLED[painter]
