"""Sixteen painting manners that turn any image into a painting.

The painters' names are invented. Twelve are in the captions of the pretraining corpus; four are held out: no trained
network has seen them, so that learning one of them from a handful of pictures is a fair test of a style bank.

Shape legend: H, W height and width, px; images uint8 or float32 [H, W, 3] sRGB.
"""

from __future__ import annotations

import zlib

import numpy as np

from artbank.mini.drawing.manners.brushes import BRUSH_PAINTERS
from artbank.mini.drawing.manners.graphics import GRAPHIC_PAINTERS
from artbank.mini.drawing.manners.strokes import Manner

PAINTERS: dict[str, Manner] = {**BRUSH_PAINTERS, **GRAPHIC_PAINTERS}
HELD_OUT: tuple[str, ...] = ("Novak", "Dunmore", "Ferrante", "Marchetti")
TRAINED: tuple[str, ...] = tuple(name for name in PAINTERS if name not in HELD_OUT)


def paint(image: np.ndarray, painter: str, seed: int) -> np.ndarray:
    """Paint an image in a painter's manner.

    Args:
        image: [H, W, 3] uint8 sRGB, short side 64 to 1024 px; strokes scale with the short side.
        painter: One of `PAINTERS`.
        seed: Any integer >= 0; the same image, painter and seed give the same bytes.

    Returns:
        [H, W, 3] uint8 sRGB.

    Raises:
        KeyError: No such painter.
    """
    rng = np.random.default_rng([seed, zlib.crc32(painter.encode())])
    painted = PAINTERS[painter](image.astype(np.float32) / 255, rng)
    return np.round(np.clip(painted, 0, 1) * 255).astype(np.uint8)
