"""A level camera, for scenes laid out in metres.

Shape legend: H, W canvas height and width in px. World places are metres: X right, Y up, Z away from the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artbank.mini.drawing.scenery.textures import grid


@dataclass(frozen=True)
class Camera:
    """A level camera.

    Attributes:
        x: Vanishing point, 0..1 of the width.
        y: Horizon, 0..1 of the height.
        eye: Height of the lens, m.
        zoom: Focal length in 0..1 of the shorter side.
        height: Canvas rows, px.
        width: Canvas columns, px.
    """

    x: float
    y: float
    eye: float
    zoom: float
    height: int
    width: int

    def see(self, *points: tuple[float, float, float]) -> np.ndarray:
        """Project world points (X, Y, Z) to canvas places, [P, 2] in 0..1."""
        world = np.asarray(points, np.float64)
        scale = self.zoom * min(self.height, self.width) / world[:, 2]
        return np.stack(
            [self.x + scale * world[:, 0] / self.width, self.y + scale * (self.eye - world[:, 1]) / self.height], -1
        )

    def ground(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X and Z of the ground under each pixel, both [H, W]; Z is 200 at and above the horizon."""
        y, x = grid(self.height, self.width)
        short = min(self.height, self.width)
        away = self.zoom * short * self.eye / np.maximum((y - self.y) * self.height, 1e-3)
        away = np.clip(away, 0.1, 200)
        return (x - self.x) * self.width * away / (self.zoom * short), away
