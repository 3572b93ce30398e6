"""A lake that mirrors its shore, and the distant hills that other landscapes share.

Shape legend: as in `wilds`.
"""

from __future__ import annotations

import numpy as np

from artbank.mini.drawing.scenery.lighting import Light, draw_sky, fade, shade
from artbank.mini.drawing.scenery.textures import (
    blur,
    color,
    fractal_noise,
    grid,
    mix,
    polygon,
    reflect_in_water,
    smoothstep,
)
from artbank.mini.drawing.scenery.wilds import (
    View,
    choose,
    contour,
    drape,
    paint_conifers,
    paint_grass,
    paint_tree,
    paint_wood,
    plane,
)

MAP = 288
LEAVES = (color(0.3, 0.44, 0.14), color(0.36, 0.46, 0.16), color(0.22, 0.38, 0.16), color(0.44, 0.5, 0.18))
AUTUMN = (color(0.78, 0.42, 0.1), color(0.82, 0.6, 0.15), color(0.66, 0.26, 0.1), color(0.7, 0.5, 0.2))


def paint_hills(
    image: np.ndarray, light: Light, rng: np.random.Generator, horizon: float, lift: float | None = None
) -> None:
    """Paint two or three ranges of distant hills in place, wooded or in fields, up to `lift` 0..1 above the horizon."""
    height, width = image.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    lift = float(rng.uniform(0.03, 0.2)) if lift is None else lift
    fields = fractal_noise(rng, height, width, cells=7, octaves=5, gain=0.65, stretch=(3, 1))
    for distance in (1.0, 0.75, 0.5)[int(rng.integers(0, 2)) :]:
        shape = contour(rng, width, rng.uniform(1.5, 4), 6, 0.42)
        line = height * (horizon + 0.01 - lift * (0.15 + shape) * (0.35 + 0.65 * distance))
        slope = np.gradient(blur(shape[None], 2)[0]) * width * light.side
        facing = np.clip(0.45 - 0.2 * slope[None] + 0.9 * (fields - 0.5), 0, 1)
        green = mix(np.broadcast_to(color(0.18, 0.28, 0.13), image.shape), color(0.5, 0.52, 0.26), fields)
        hill = fade(shade(green, light, facing), light, distance * 0.85)
        image[:] = mix(image, hill, smoothstep(-0.8, 0.8, rows - line[None]))


def draw_lake(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw still water that mirrors its far shore; hills, trees, season, ripples and the near shore vary."""
    detail = choose(rng, "with a jetty", "with reeds", "with autumn trees", "with pine trees", "with high hills")
    horizon = float(rng.uniform(0.38, 0.6))
    image = draw_sky(light, rng, height, width, horizon)
    paint_hills(image, light, rng, horizon, float(rng.uniform(0.25, 0.4)) if detail == "with high hills" else None)
    _far_shore(image, light, rng, horizon, detail)
    sheet = reflect_in_water(image, horizon, rng, roughness=float(rng.uniform(0.04, 0.3)))
    y, _ = grid(height, width)
    view = View(horizon, eye=0.06, span=2.0)
    depth = plane(view, height, width)
    ripple = drape(fractal_noise(rng, MAP, MAP, cells=30, octaves=4, gain=0.7, stretch=(2.5, 0.6)), depth, view, 3)
    breeze = smoothstep(
        0.55, 0.8, drape(fractal_noise(rng, MAP, MAP, cells=4, octaves=3, stretch=(2, 0.5)), depth, view)
    )
    deep = color(0.1, 0.22, 0.24) * (light.ambient + light.sun * 0.6)
    water = mix(sheet * 0.9, deep, 0.15 + 0.35 * smoothstep(horizon, 1.1, y)) * (0.8 + 0.4 * ripple)[..., None]
    water = mix(water, mix(light.horizon, light.zenith, 0.4) * (0.6 + 0.7 * ripple)[..., None], breeze * 0.55)
    image = mix(image, water, smoothstep(horizon - 0.001, horizon + 0.003, y))
    bank = smoothstep(0.006, 0.0, np.abs(y - horizon - 0.004))
    image = mix(image, shade(color(0.4, 0.34, 0.24), light, 0.3) * (0.5 + ripple)[..., None], bank * 0.7)
    if detail == "with a jetty":
        _jetty(image, light, rng, horizon)
    if detail == "with reeds" or rng.uniform() < 0.25:
        _reeds(image, light, rng)
    return image, detail


def _far_shore(image: np.ndarray, light: Light, rng: np.random.Generator, horizon: float, detail: str) -> None:
    height, width = image.shape[:2]
    line = np.full(width, horizon * height, np.float32)
    palette = AUTUMN if detail == "with autumn trees" else LEAVES
    if detail == "with pine trees":
        for distance, tall in ((0.4, 0.12), (0.12, rng.uniform(0.2, 0.34))):
            number = int(rng.integers(25, 60))
            stand = contour(rng, width, 4)
            x = rng.uniform(0, width, number)
            size = height * tall * (0.35 + stand[x.astype(int)]) * rng.uniform(0.6, 1.1, number)
            feet = np.stack([x, np.full(number, horizon * height)], -1)
            paint_conifers(image, light, rng, feet, size, color(0.2, 0.33, 0.19), distance)
        return
    for distance, size in ((0.5, rng.uniform(0.05, 0.1)), (0.2, rng.uniform(0.06, 0.16))):
        for tint in palette if detail == "with autumn trees" else palette[:2]:
            paint_wood(image, light, rng, line, size * height, tint, distance)
    for _ in range(int(rng.integers(0, 4))):
        foot = (rng.uniform(0, 1) * width, horizon * height)
        paint_tree(image, light, rng, foot, height * rng.uniform(0.16, 0.34), palette[rng.integers(4)], 0.1)


def _jetty(image: np.ndarray, light: Light, rng: np.random.Generator, horizon: float) -> None:
    height, width = image.shape[:2]
    near, far, end = rng.uniform(0.15, 0.85), rng.uniform(0.3, 0.7), horizon + (1 - horizon) * rng.uniform(0.12, 0.35)
    wide, thin = rng.uniform(0.12, 0.24), rng.uniform(0.025, 0.05)
    y, _ = grid(height, width)
    along = np.clip((y - end) / (1 - end), 1e-3, 1)
    boards = np.floor(rng.uniform(4, 6) / (along + 0.16) * 3.0)
    tone = np.sin(boards * 12.9898) * 0.5 + 0.5
    gap = smoothstep(0.0, 0.12, (rng.uniform(4, 6) / (along + 0.16) * 3.0) % 1)
    grain = fractal_noise(rng, height, width, cells=18, octaves=4, stretch=(2.5, 0.4), gain=0.7)
    wood = color(0.55, 0.47, 0.38) * (0.45 + 0.35 * tone + 0.5 * grain)[..., None] * (0.35 + 0.65 * gap)[..., None]
    deck = [(far - thin, end), (far + thin, end), (near + wide, 1.01), (near - wide, 1.01)]
    under = [(px, py + 0.03 + 0.03 * (py > 0.99)) for px, py in deck]
    image[:] = mix(image, image * 0.3, blur(polygon(height, width, under), 3) * 0.85)
    for step in (0.0, 0.25, 0.6):
        for side in (-1, 1):
            px = far + (near - far) * step + side * (thin + (wide - thin) * step)
            py, half, tall = end + (1 - end) * step, 0.007 + 0.014 * step, 0.05 + 0.09 * step
            post = polygon(
                height,
                width,
                [(px - half, py - tall), (px + half, py - tall), (px + half, py + tall), (px - half, py + tall)],
            )
            image[:] = mix(image, shade(color(0.36, 0.3, 0.24), light, 0.45) * (0.5 + grain)[..., None], post)
    image[:] = mix(image, shade(wood, light, 0.75), polygon(height, width, deck))


def _reeds(image: np.ndarray, light: Light, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    number, side = int(rng.integers(150, 420)), rng.choice((0.0, 1.0))
    x = np.abs(side - rng.beta(0.9, 2.2, number)) * width
    roots = np.stack([x, height * rng.uniform(0.95, 1.15, number)], -1)
    length = height * rng.uniform(0.15, 0.5) * rng.uniform(0.5, 1.2, number)
    hue = mix(color(0.42, 0.5, 0.2), color(0.72, 0.62, 0.34), rng.uniform(0, 1))
    tints = hue * np.exp(rng.normal(0, 0.25, (number, 1)))
    paint_grass(image, light, rng, roots, length, tints, bend=0.13, size=2)
