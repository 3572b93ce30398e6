"""Fur, coats and eyes of animals.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light, fields float32 [H, W]. Lengths
are in shorter sides of the canvas, with the origin in its middle (see `solids`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artbank.mini.drawing.scenery.solids import Stage, combed, ellipsoid
from artbank.mini.drawing.scenery.textures import color, fractal_noise, mix, smoothstep


@dataclass(frozen=True)
class Coat:
    """A coat: two colours, and how the second lies over the first (plain, stripes or patches)."""

    first: np.ndarray
    second: np.ndarray
    pattern: str


COATS = {
    "ginger cat": Coat(color(0.85, 0.52, 0.25), color(0.66, 0.33, 0.13), "stripes"),
    "tabby cat": Coat(color(0.6, 0.53, 0.44), color(0.2, 0.17, 0.14), "stripes"),
    "black cat": Coat(color(0.2, 0.19, 0.2), color(0.15, 0.14, 0.15), "plain"),
    "white cat": Coat(color(0.9, 0.88, 0.85), color(0.75, 0.7, 0.65), "plain"),
    "black dog": Coat(color(0.2, 0.18, 0.18), color(0.5, 0.32, 0.18), "plain"),
    "brown dog": Coat(color(0.52, 0.33, 0.2), color(0.85, 0.78, 0.68), "patches"),
    "golden dog": Coat(color(0.82, 0.64, 0.4), color(0.9, 0.78, 0.58), "plain"),
    "spotted dog": Coat(color(0.9, 0.88, 0.84), color(0.24, 0.19, 0.17), "patches"),
    "white bird": Coat(color(0.92, 0.91, 0.89), color(0.62, 0.62, 0.65), "plain"),
    "red bird": Coat(color(0.82, 0.2, 0.14), color(0.35, 0.14, 0.13), "plain"),
    "blue bird": Coat(color(0.24, 0.45, 0.78), color(0.85, 0.55, 0.35), "plain"),
    "yellow bird": Coat(color(0.93, 0.78, 0.2), color(0.26, 0.25, 0.2), "plain"),
}
EYES = (color(0.75, 0.7, 0.2), color(0.45, 0.65, 0.3), color(0.8, 0.5, 0.15), color(0.4, 0.65, 0.8))
DARK = color(0.1, 0.08, 0.08)


def comb_fur(stage: Stage, rng: np.random.Generator, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Comb a noise along a direction field into fur, 0..1."""
    grain = rng.standard_normal(stage.size).astype(np.float32) + 2 * (
        fractal_noise(rng, *stage.size, cells=16, octaves=2) - 0.5
    )
    return combed(grain, down, right, length=0.05 * stage.short, steps=3)


def put_furry(stage: Stage, form: np.ndarray, fur: np.ndarray, level: float, albedo: np.ndarray) -> None:
    """Put a furry form with a ragged outline."""
    ragged = form + 0.05 * (fur - 0.5)
    tone = albedo * (0.45 + 1.0 * fur)[..., None]
    stage.put(stage.edge(ragged, 3.0), level + form + 0.014 * (fur - 0.5), tone, 0.12)


def color_coat(
    stage: Stage, rng: np.random.Generator, coat: Coat, middle: tuple[float, float], scale: float
) -> np.ndarray:
    """Colour the whole stage as the coat of a body with its head at `middle`."""
    warp = fractal_noise(rng, *stage.size, cells=3, octaves=4)
    if coat.pattern == "stripes":
        x, y = (stage.x - middle[0]) / scale, (stage.y - middle[1]) / scale
        bands = np.where(y < 0.24, x * 36 * (1 + 0.3 * y), y * 44 + 5 * np.abs(x))
        return mix(coat.first, coat.second, 0.85 * smoothstep(-0.1, 0.6, np.sin(bands + 7 * warp)))
    edge = 0.56 if coat.pattern == "patches" else 0.85
    return mix(coat.first, coat.second, smoothstep(edge, edge + 0.04, warp))


def put_eye(stage: Stage, place: tuple[float, float], radius: float, iris: np.ndarray, pupil: float) -> None:
    """Put an eye with its dark rim, pupil (width 0..1 of the iris) and glint."""
    stage = stage.window(*place, 1.5 * radius)
    ball = ellipsoid(stage, place, (radius, 0.82 * radius), radius)
    stage.tint(stage.edge(ball + 0.3 * radius, 2.0), DARK * 0.6, 0.1)
    stage.tint(stage.edge(ball), iris * 1.1, 0.3)
    slit = ellipsoid(stage, place, (radius * pupil, 0.76 * radius), radius)
    stage.tint(stage.edge(slit), DARK * 0.15)
    spot = (place[0] + 0.3 * radius * np.sign(stage.light.side or 1), place[1] - 0.32 * radius)
    stage.tint(stage.edge(ellipsoid(stage, spot, (0.24 * radius, 0.2 * radius), radius)), color(1, 1, 1) * 1.6)
