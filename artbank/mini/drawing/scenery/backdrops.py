"""Backgrounds out of focus behind close subjects.

Shape legend: H, W canvas height and width in px; images are float32 [H, W, 3] linear light.
"""

from __future__ import annotations

import cv2
import numpy as np

from artbank.mini.drawing.scenery.lighting import Light
from artbank.mini.drawing.scenery.solids import key_colors
from artbank.mini.drawing.scenery.textures import blur, color, ellipse, fractal_noise, grid, mix, polygon, smoothstep

WALLS = (
    color(0.72, 0.66, 0.56), color(0.42, 0.36, 0.3), color(0.3, 0.36, 0.42), color(0.5, 0.56, 0.5),
    color(0.55, 0.3, 0.24), color(0.82, 0.8, 0.76), color(0.2, 0.17, 0.15), color(0.62, 0.55, 0.36),
)  # fmt: skip


def draw_wall(light: Light, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw a mottled wall that brightens toward the light; colour and stains vary."""
    y, x = grid(height, width)
    albedo = WALLS[rng.integers(len(WALLS))] * rng.uniform(0.6, 1.2)
    stains = fractal_noise(rng, height, width, cells=rng.uniform(2, 5), octaves=6, gain=0.65)
    fine = fractal_noise(rng, height, width, cells=40, octaves=3, gain=0.8)
    sun, ambient = key_colors(light)
    across = (x - 0.5) * np.sign(light.side or 1.0)
    pool = np.exp(-(((across - rng.uniform(-0.3, 0.3)) / 0.45) ** 2) - ((y - rng.uniform(0.1, 0.5)) / 0.55) ** 2)
    glow = ambient * 0.9 + sun * (0.1 + 0.75 * pool)[..., None]
    return (albedo * (0.55 + 0.6 * stains + 0.2 * fine)[..., None] * glow).astype(np.float32)


def draw_garden(light: Light, rng: np.random.Generator, height: int, width: int, horizon: float) -> np.ndarray:
    """Draw foliage out of focus over a lawn: blurred clumps, gaps of sky, discs of light."""
    rows, columns = max(height // 3, 8), max(width // 3, 8)
    y, x = grid(rows, columns)
    clumps = fractal_noise(rng, rows, columns, cells=rng.uniform(2, 4), octaves=4, gain=0.6)
    leaf = color(rng.uniform(0.2, 0.45), rng.uniform(0.4, 0.55), rng.uniform(0.12, 0.28))
    sun, ambient = key_colors(light)
    daylight = ambient * 1.2 if light.is_night else ambient + sun * 0.8
    image = leaf * (0.15 + 1.1 * clumps)[..., None] * daylight
    gaps = smoothstep(0.68, 0.82, fractal_noise(rng, rows, columns, cells=3, octaves=3)) * smoothstep(0.7, 0.2, y)
    image = mix(image, light.horizon * 0.9, gaps * rng.uniform(0.3, 1.0))
    grass = fractal_noise(rng, rows, columns, cells=6, octaves=4, stretch=(3, 0.7))
    lawn = leaf * np.array([1.3, 1.35, 0.9], np.float32) * (0.45 + 0.7 * grass)[..., None] * daylight
    image = blur(mix(image, lawn, smoothstep(horizon - 0.02, horizon + 0.05, y)), 0.012 * min(rows, columns))
    for _ in range(rng.integers(4, 16)):
        place, radius = (rng.uniform(0, 1), rng.uniform(0, horizon)), rng.uniform(0.015, 0.05)
        disc = blur(ellipse(rows, columns, place, (radius, radius)), 0.6)
        image += disc[..., None] * rng.uniform(0.05, 0.35) * (sun if light.is_night else light.horizon)
    image = mix(image, light.horizon, light.haze**2 * 0.55 * smoothstep(1.0, 0.3, y))
    return blur(cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), 2)


def draw_room(light: Light, rng: np.random.Generator, height: int, width: int, floor: float) -> np.ndarray:
    """Draw a room out of focus: wall, a window or lamp on the light's side, furniture, a floor or table."""
    image = draw_wall(light, rng, height, width)
    sun, ambient = key_colors(light)
    for _ in range(rng.integers(2, 6)):
        left, top, wide = rng.uniform(-0.2, 1), rng.uniform(-0.2, 0.5), rng.uniform(0.08, 0.4)
        box = polygon(height, width, [(left, top), (left + wide, top), (left + wide, floor), (left, floor)])
        tone = WALLS[rng.integers(len(WALLS))] * (ambient + sun * rng.uniform(0.05, 0.6))
        image = mix(image, tone, box * 0.85)
    left = 0.5 + 0.33 * np.sign(light.side or 1.0) + rng.uniform(-0.12, 0.12)
    pane = polygon(height, width, [(left - 0.13, -0.1), (left + 0.13, -0.1), (left + 0.13, 0.42), (left - 0.13, 0.42)])
    image = mix(image, 0.5 * sun + 0.8 * light.horizon, pane * rng.uniform(0.3, 0.95))
    y, _ = grid(height, width)
    boards = fractal_noise(rng, height, width, cells=5, octaves=4, stretch=(6, 0.6))
    wood = WALLS[rng.integers(len(WALLS))] * (0.5 + 0.6 * boards)[..., None] * (ambient + sun * 0.6)
    image = mix(image, wood, smoothstep(floor - 0.005, floor + 0.005, y))
    near = smoothstep(floor + 0.02, 1.0, y)
    return mix(blur(image, 0.03 * min(height, width)), blur(image, 2.0), near)
