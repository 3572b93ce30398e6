"""Broad trees, poplars and bushes: crowns of lit leaf clumps on a trunk.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light, painted in place.
"""

from __future__ import annotations

import cv2
import numpy as np

from artbank.mini.drawing.scenery.buildings import fill, pick, sun_vector
from artbank.mini.drawing.scenery.lighting import Light, fade, shade
from artbank.mini.drawing.scenery.textures import color


def foliage(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    center: tuple[float, float],
    axes: tuple[float, float],
    tint: np.ndarray,
    *,
    leaves: int = 260,
    distance: float = 0.0,
) -> None:
    """Paint a crown or bush of clumps of leaves, lit on the sun's side; `axes` are in 0..1 of the shorter side."""
    height, width = image.shape[:2]
    short, sun = min(height, width), sun_vector(light)
    clumps = rng.normal(0, 1, (9, 3))
    clumps *= (rng.uniform(0.35, 0.75, 9) / np.linalg.norm(clumps, axis=1))[:, None]
    normals = rng.normal(0, 1, (leaves, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    places = clumps[rng.integers(9, size=leaves)] + normals * rng.uniform(0.2, 0.46, (leaves, 1))
    order = np.argsort(places[:, 2])
    places, normals = places[order], normals[order]
    facing = np.clip((0.55 * normals + 0.6 * places) @ sun + 0.12, 0, 1) * rng.uniform(0.7, 1.2, leaves)
    open_sky = np.clip(0.55 - 0.45 * places[:, 1] + 0.25 * places[:, 2], 0.2, 1.1)
    tones = tint * rng.uniform(0.75, 1.25, (leaves, 1))
    lit = tones * (light.ambient * open_sky[:, None] + 1.25 * light.sun * facing[:, None])
    lit = lit + (light.horizon - lit) * (1 - np.exp(-2.2 * light.haze * distance**1.3))
    at = np.asarray(center) * (width, height) + places[:, :2] * np.asarray(axes) * short
    radii = rng.uniform(0.07, 0.16, leaves) * min(axes) * short
    for (x, y), radius, tone in zip(np.round(at * 16).astype(int).tolist(), radii, lit.tolist(), strict=True):
        cv2.circle(image, (x, y), max(round(radius * 16), 10), tone, -1, cv2.LINE_8, shift=4)


def tree(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    foot: tuple[float, float],
    size: float,
    distance: float = 0.0,
) -> None:
    """Paint a broad tree or a poplar of `size` (of the shorter side) standing at `foot`."""
    height, width = image.shape[:2]
    short, slim = min(height, width), rng.uniform(0.5, 1.0)
    rise, wood = size * short / height, fade(shade(color(0.32, 0.25, 0.19), light, 0.35), light, distance)
    half = 0.035 * size * short / width
    fork = foot[0] + rng.normal(0, 0.03) * size
    fill(image, [(foot[0] - half, foot[1]), (foot[0] + half, foot[1]), (fork + half / 2, foot[1] - rise * 0.6),
                 (fork - half / 2, foot[1] - rise * 0.6)], wood)  # fmt: skip
    fill(image, [(foot[0] - half, foot[1]), (foot[0], foot[1]), (fork, foot[1] - rise * 0.6)], wood * 0.7)
    tint = pick(rng, (color(0.3, 0.42, 0.16), color(0.4, 0.46, 0.18), color(0.2, 0.34, 0.16), color(0.55, 0.42, 0.14)))
    axes = (0.36 * size * slim, 0.36 * size)
    foliage(
        image, light, rng, (fork, foot[1] - rise * 0.64), axes, tint, leaves=int(180 + 260 * size), distance=distance
    )
