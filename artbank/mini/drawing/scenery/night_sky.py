"""The night sky over a dark land: stars, the Milky Way, the moon.

Shape legend: as in `wilds`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from artbank.mini.drawing.scenery.lighting import Light, fade, shade
from artbank.mini.drawing.scenery.textures import blur, color, ellipse, fractal_noise, grid, mix, ramp, smoothstep
from artbank.mini.drawing.scenery.wilds import choose, contour, paint_conifers, paint_wood, splat


def draw_night_sky(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw the stars over a dark land; the Milky Way or moon, its hues, the hills and trees below vary."""
    detail = choose(rng, "with the Milky Way", "with a full moon", "with a crescent moon", "with a red horizon")
    y, x = grid(height, width)
    horizon = float(rng.uniform(0.68, 0.9))
    hue = light.zenith / light.zenith.max()
    top = mix(color(0.07, 0.11, 0.28), color(0.22, 0.22, 0.26) * hue, 0.35)
    low = mix(color(0.2, 0.3, 0.5), light.horizon * 0.25, 0.4)
    low = color(0.7, 0.33, 0.2) if detail == "with a red horizon" else low
    air = fractal_noise(rng, height, width, cells=2, octaves=4)
    image = mix(
        np.broadcast_to(low, (height, width, 3)),
        top,
        np.clip((horizon - y) / horizon * 1.3 + 0.12 * (air - 0.5), 0, 1) ** 0.42,
    )
    if detail == "with the Milky Way":
        _milky_way(image, rng)
    moon = "moon" in detail
    _stars(image, rng, rng.integers(120, 350) if moon else rng.integers(600, 1400))
    if moon:
        _moon(image, rng, detail)
    _night_land(
        image, replace(light, ambient=low * 0.35, sun=light.sun * 0.03 + 0.01, horizon=low, haze=0.3), rng, horizon
    )
    return image, detail


def _stars(image: np.ndarray, rng: np.random.Generator, number: int) -> None:
    height, width = image.shape[:2]
    layer = np.zeros_like(image)
    x, y = rng.uniform(0, width, number), rng.uniform(0, height, number)
    bright = np.clip(0.1 * rng.pareto(1.5, number) + 0.05, 0, 2.0)
    tints = np.exp(rng.normal(0, 0.15, (number, 1)) * [1, 0, -1]) * bright[:, None]
    splat(layer, x, y, tints.astype(np.float32), 2)
    large = bright > 1.1
    splat(layer, x[large], y[large], tints[large].astype(np.float32) * 1.2, 3)
    image += layer + 0.7 * blur(layer, 0.005 * min(height, width))


def _milky_way(image: np.ndarray, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    y, x = grid(height, width)
    angle, offset = rng.uniform(0.5, 2.6), rng.uniform(-0.15, 0.15)
    across = (x - 0.5) * np.sin(angle) - (y - 0.4) * np.cos(angle) - offset
    cloud = fractal_noise(rng, height, width, cells=4, octaves=6, gain=0.65)
    lanes = fractal_noise(rng, height, width, cells=3, octaves=6, gain=0.6, ridged=True)
    across = across + 0.12 * (cloud - 0.5)
    band = np.exp(-((across / 0.14) ** 2)) * (0.35 + 0.9 * cloud)
    dust = np.exp(-((across / 0.05) ** 2)) * smoothstep(0.4, 0.85, lanes)
    glow = ramp(np.clip(band, 0, 1), color(0, 0, 0), color(0.4, 0.38, 0.52), color(0.9, 0.8, 0.75))
    image += glow * (0.75 - 0.65 * dust)[..., None]
    number = 5000
    px, py = rng.integers(0, width, number), rng.integers(0, height, number)
    keep = rng.uniform(0, 1, number) < band[py, px] * (1 - 0.8 * dust[py, px])
    splat(image, px[keep], py[keep], np.repeat(rng.uniform(0.15, 0.7, (keep.sum(), 1)), 3, 1).astype(np.float32), 1)


def _moon(image: np.ndarray, rng: np.random.Generator, detail: str) -> None:
    height, width = image.shape[:2]
    y, x = grid(height, width)
    place, radius, short = (
        (rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.42)),
        rng.uniform(0.06, 0.13),
        min(height, width),
    )
    right, down = (x - place[0]) * width / short / radius, (y - place[1]) * height / short / radius
    reach = np.hypot(right, down)
    image += (0.45 * np.exp(-reach * 0.55) + 0.4 * np.exp(-reach * 1.6))[..., None] * color(0.7, 0.78, 1.0)
    seas = smoothstep(0.45, 0.7, fractal_noise(rng, height, width, cells=0.5 / radius, octaves=4))
    disc = (1.3 - 0.55 * seas) * np.sqrt(np.clip(1.15 - reach**2, 0.1, 1))
    mask = ellipse(height, width, place, (radius, radius))
    if detail == "with a crescent moon":
        side = rng.choice((-1, 1))
        mask = mask * smoothstep(1.0, 1.06, np.hypot(right - 0.5 * side, down + 0.2))
    image[:] = mix(image, color(1.0, 0.97, 0.88) * disc[..., None], mask)


def _night_land(image: np.ndarray, light: Light, rng: np.random.Generator, horizon: float) -> None:
    height, width = image.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    turf = fractal_noise(rng, height, width, cells=10, octaves=5, gain=0.7)
    lines = []
    for distance in (1.0, 0.4, 0.0):
        line = height * (horizon + 0.1 * (1 - distance) - 0.14 * (contour(rng, width, 3.5, 5) - 0.3))
        hill = fade(shade(color(0.3, 0.34, 0.3) * (0.3 + turf)[..., None], light, turf), light, distance)
        image[:] = mix(image, hill, smoothstep(-1, 1, rows - line[None]))
        lines.append(line)
    kind = choose(rng, "pines", "wood", "bare")
    if kind == "pines":
        number = int(rng.integers(5, 30))
        column = rng.integers(0, width, number)
        feet = np.stack([column, lines[2][column] + 0.02 * height], -1)
        paint_conifers(
            image,
            light,
            rng,
            feet,
            height * rng.uniform(0.1, 0.38) * rng.uniform(0.5, 1.2, number),
            color(0.2, 0.25, 0.2),
        )
    elif kind == "wood":
        paint_wood(image, light, rng, lines[1], 0.09 * height, color(0.2, 0.25, 0.18), 0.1)
