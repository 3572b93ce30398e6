"""Green landscapes: a forest and a meadow.

Shape legend: as in `wilds`.
"""

from __future__ import annotations

import numpy as np

from artbank.mini.drawing.scenery.lakes import AUTUMN, LEAVES, paint_hills
from artbank.mini.drawing.scenery.lighting import Light, draw_sky, fade, shade
from artbank.mini.drawing.scenery.textures import blur, color, fractal_noise, grid, mix, ramp, smoothstep
from artbank.mini.drawing.scenery.wilds import (
    View,
    choose,
    contour,
    drape,
    paint_foliage,
    paint_grass,
    paint_tree,
    paint_trunk,
    paint_wood,
    plane,
    splat,
)

MAP = 288


def draw_forest(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw the inside of a wood; trees, season, spacing, undergrowth, path and viewpoint vary."""
    detail = choose(rng, "with a path", "with birch trunks", "with autumn leaves", "with ferns", "with tall pines")
    palette = AUTUMN if detail == "with autumn leaves" else LEAVES
    greens = np.stack(palette)[rng.integers(len(palette), size=400)]
    horizon = float(rng.uniform(0.45, 0.68))
    image = _wood_depths(light, rng, greens, height, width, horizon)
    floor, view = _forest_floor(light, rng, detail, height, width, horizon)
    y, _ = grid(height, width)
    image = mix(image, floor, smoothstep(horizon - 0.01, horizon + 0.02, y))
    bark = fractal_noise(rng, height, width, cells=26, octaves=4, gain=0.7, stretch=(0.18, 1.5), ridged=True)
    skin = color(*(np.array([0.4, 0.34, 0.28]) + rng.normal(0, 0.03, 3)))
    if detail == "with birch trunks":
        marks = fractal_noise(rng, height, width, cells=16, octaves=3, gain=0.7, stretch=(2.2, 0.7))
        bark, skin = 0.75 - 0.8 * smoothstep(0.68, 0.85, marks) + 0.15 * bark, color(0.86, 0.85, 0.8)
    elif detail == "with tall pines":
        skin = color(0.52, 0.36, 0.26)
    clear = rng.uniform(0.3, 0.7) if detail == "with a path" else None
    slender = 0.6 if detail in ("with birch trunks", "with tall pines") else 1.0
    for near in np.sort(rng.uniform(0, 1, int(rng.integers(11, 24))) ** 1.9):
        x = rng.uniform(-0.05, 1.05)
        if clear is not None and abs(x - clear) < 0.1 + 0.22 * near:
            x = x + np.copysign(0.25, x - clear)
        foot = (horizon + 0.02 + (1.05 - horizon) * near * 0.9) * height
        half = min(height, width) * (0.007 + 0.05 * near * rng.uniform(0.5, 1.2)) * slender
        if rng.uniform() < 0.45:
            _bush(image, light, rng, (x * width, foot), half, greens[:16], 0.75 * (1 - near) ** 2)
        paint_trunk(image, light, rng, bark, (x * width, foot, half), skin, 0.75 * (1 - near) ** 2)
    _undergrowth(image, light, rng, detail, horizon, palette)
    _canopy(image, light, rng, greens)
    return image, detail


def _wood_depths(
    light: Light, rng: np.random.Generator, greens: np.ndarray, height: int, width: int, horizon: float
) -> np.ndarray:
    y, _ = grid(height, width)
    glow = fractal_noise(rng, height, width, cells=3, octaves=5, gain=0.6)
    back = mix(light.horizon * 0.85, light.zenith * 0.8, np.clip(horizon - y, 0, 1))
    leafy = shade(greens[0] * (0.5 + 1.2 * glow)[..., None], light, 0.3 + 0.7 * glow)
    image = mix(fade(leafy, light, 0.45), back, smoothstep(0.45, 0.75, glow + 0.25 * y) * 0.9)
    for distance, size in ((0.7, 0.05), (0.45, 0.08)):
        number = int(rng.integers(50, 100))
        place = np.stack([rng.uniform(0, width, number), rng.uniform(-0.1, horizon + 0.05, number) * height], -1)
        radius = size * min(height, width) * rng.uniform(0.5, 1.4, (number, 1))
        paint_foliage(image, light, rng, np.hstack([place, radius]), greens[:number] * 1.1, leaf=4, distance=distance)
    return blur(image, 0.006 * min(height, width))


def _forest_floor(
    light: Light, rng: np.random.Generator, detail: str, height: int, width: int, horizon: float
) -> tuple[np.ndarray, View]:
    view = View(horizon - 0.03, eye=0.06, span=1.6)
    depth = plane(view, height, width)
    litter = drape(fractal_noise(rng, MAP, MAP, cells=40, octaves=4, gain=0.8), depth, view, 5)
    moss = drape(fractal_noise(rng, MAP, MAP, cells=8, octaves=4), depth, view, 2)
    dapple = smoothstep(0.48, 0.62, drape(fractal_noise(rng, MAP, MAP, cells=16, octaves=3), depth, view, 2.2))
    low, high = (color(0.5, 0.28, 0.12), color(0.9, 0.56, 0.2)) if detail == "with autumn leaves" else (
        color(0.38, 0.3, 0.2), color(0.5, 0.52, 0.24))  # fmt: skip
    albedo = mix(np.broadcast_to(low, (height, width, 3)), high, moss) * (0.35 + 1.1 * litter)[..., None]
    if detail == "with a path":
        y, x = grid(height, width)
        along = np.clip((y - view.horizon) / (1 - view.horizon), 0, 1)
        middle = 0.5 + rng.uniform(-0.2, 0.2) * along + rng.uniform(0.05, 0.18) * np.sin(along**0.6 * rng.uniform(4, 8))
        edge = np.abs(x - middle) - along * 0.28 - 0.01 + 0.06 * (litter - 0.5) * (0.3 + along)
        earth = color(0.76, 0.66, 0.52) * (0.6 + 0.5 * litter)[..., None]
        albedo = mix(albedo, earth, smoothstep(0.03, -0.02, edge))
    lit = shade(albedo, light, 0.12 + dapple * (0.9 + 0.5 * litter))
    return fade(lit, light, depth * 0.6), view


def _bush(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    foot: tuple[float, float],
    half: float,
    greens: np.ndarray,
    distance: float,
) -> None:
    number = len(greens)
    spread = np.stack([rng.normal(0, half * 4, number), -np.abs(rng.normal(0, half * 1.5, number))], -1) + foot
    clumps = np.hstack([spread, half * rng.uniform(0.5, 1.3, (number, 1))])
    paint_foliage(image, light, rng, clumps, greens, distance=distance)


def _undergrowth(
    image: np.ndarray, light: Light, rng: np.random.Generator, detail: str, horizon: float, palette: tuple
) -> None:
    height, width = image.shape[:2]
    number = 1500 if detail == "with ferns" else int(rng.integers(50, 350))
    near = rng.uniform(0, 1, number) ** 0.7
    tufts = fractal_noise(rng, 1, width, cells=6 / width, octaves=3)[0]
    column = rng.integers(0, width, number)
    keep = tufts[column] > (0.1 if detail == "with ferns" else 0.45)
    if detail == "with a path":
        keep &= np.abs(column / width - 0.5) > 0.15 + 0.25 * near
    roots = np.stack([column, (horizon + 0.05 + (1.12 - horizon) * near) * height], -1)[keep]
    length = (height * (0.02 + 0.13 * near) * rng.uniform(0.4, 1.1, number))[keep]
    albedo = np.stack(palette)[rng.integers(len(palette), size=len(roots))] * 1.2
    paint_grass(image, light, rng, roots, length, albedo, bend=0.9 if detail == "with ferns" else 0.5)


def _canopy(image: np.ndarray, light: Light, rng: np.random.Generator, greens: np.ndarray) -> None:
    height, width = image.shape[:2]
    number = int(rng.integers(30, 110))
    x = rng.uniform(0, 1, number)
    hang = contour(rng, width, 5)[np.minimum((x * width).astype(int), width - 1)] ** 1.5
    y = rng.uniform(-0.08, 0.02, number) + hang * rng.uniform(0, 0.3, number)
    clumps = np.stack([x * width, y * height, min(height, width) * rng.uniform(0.02, 0.055, number)], -1)
    paint_foliage(image, light, rng, clumps[np.argsort(y)], greens[:number], leaf=3, distance=0.05)


FLOWERS = {
    "with red poppies": (color(0.9, 0.12, 0.06), color(0.95, 0.25, 0.08)),
    "with yellow flowers": (color(0.98, 0.85, 0.1), color(0.95, 0.75, 0.05)),
    "with white daisies": (color(0.97, 0.97, 0.95), color(0.95, 0.93, 0.85)),
    "with purple flowers": (color(0.5, 0.3, 0.75), color(0.65, 0.4, 0.8)),
}


def draw_meadow(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw a grassy field under the sky; its flowers or lone tree, hills, hedges and viewpoint vary."""
    detail = choose(rng, *FLOWERS, "with a lone tree")
    horizon = float(rng.uniform(0.28, 0.58))
    image = draw_sky(light, rng, height, width, horizon)
    paint_hills(image, light, rng, horizon)
    edge = height * (horizon + 0.03 * (contour(rng, width, 2, 2) - 0.5))
    hue = color(0.42, 0.5, 0.2) * np.exp(rng.normal(0, 0.1, 3)) * (1.0, 1.0, 0.9)
    view = View(horizon - 0.02, eye=0.06, span=1.6)
    depth = plane(view, height, width)
    patches = drape(fractal_noise(rng, MAP, MAP, cells=9, octaves=5), depth, view, 1.5)
    turf = fractal_noise(rng, height, width, cells=40, octaves=3, gain=0.8, stretch=(1.0, 1.0))
    albedo = ramp(patches, hue * 0.65, hue, mix(hue, color(0.68, 0.62, 0.32), 0.6)) * (0.5 + 0.8 * turf)[..., None]
    ground = fade(shade(albedo, light, 0.35 + 0.6 * turf * patches), light, depth * 0.6)
    rows = np.arange(height, dtype=np.float32)[:, None]
    image = mix(image, ground, smoothstep(-1, 1, rows - edge[None]))
    if rng.uniform() < 0.7:
        paint_wood(image, light, rng, edge, height * rng.uniform(0.03, 0.11), LEAVES[rng.integers(4)] * 0.8, 0.4)
    if detail == "with a lone tree":
        foot = (rng.uniform(0.2, 0.8) * width, height * (horizon + rng.uniform(0.02, 0.1)))
        tall = min(height * rng.uniform(0.35, 0.6), foot[1] * 0.97)
        _tree_shadow(image, light, foot, tall)
        paint_tree(image, light, rng, foot, tall, (*LEAVES, *AUTUMN[:2])[rng.integers(6)], 0.1)
    _sward(image, light, rng, horizon, hue, patches, FLOWERS.get(detail))
    return image, detail


def _tree_shadow(image: np.ndarray, light: Light, foot: tuple[float, float], tall: float) -> None:
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    reach = ((x - foot[0] + light.side * tall * 0.4) / (tall * 0.5)) ** 2 + ((y - foot[1]) / (tall * 0.09)) ** 2
    image *= 1 - 0.5 * np.exp(-reach * 1.2)[..., None] * min(1.0, float(light.sun.mean() / light.ambient.mean()) / 1.5)


def _sward(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    horizon: float,
    hue: np.ndarray,
    patches: np.ndarray,
    petals: tuple[np.ndarray, ...] | None,
) -> None:
    height, width = image.shape[:2]
    tall = rng.uniform(0.05, 0.2)
    for number, low, high in ((3500, 0.05, 0.6), (900, 0.55, 1.3)):
        near = rng.uniform(low, high, number)
        roots = np.stack([rng.uniform(0, width, number), (horizon + (1 - horizon) * near) * height], -1)
        length = height * tall * near * rng.uniform(0.4, 1.2, number)
        tints = hue * np.exp(rng.normal(0, 0.25, (number, 1)) + rng.normal(0, 0.1, (number, 3)))
        paint_grass(image, light, rng, roots, length, tints, size=2)
        if petals is not None:
            _flowers(image, light, rng, horizon, near[: number // 2], patches, petals, tall)


def _flowers(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    horizon: float,
    near: np.ndarray,
    patches: np.ndarray,
    petals: tuple[np.ndarray, ...],
    tall: float,
) -> None:
    height, width = image.shape[:2]
    near = np.sort(near)
    x, y = rng.uniform(0, width, len(near)), (horizon + (1 - horizon) * near) * height
    grown = patches[np.clip(y, 0, height - 1).astype(int), x.astype(int)] > rng.uniform(0.25, 0.7)
    x, y, near = x[grown], y[grown] - height * tall * near[grown] * rng.uniform(0.5, 1.1, grown.sum()), near[grown]
    radius = min(height, width) * (0.003 + 0.019 * near**1.3) * rng.uniform(0.6, 1.2, len(near))
    clumps = np.stack([x, y, np.maximum(radius, 1.2)], -1)
    paint_foliage(image, light, rng, clumps, np.stack(petals)[rng.integers(len(petals), size=len(x))] * 0.95)
    big = radius > 3
    splat(
        image, x[big], y[big], np.broadcast_to(color(0.3, 0.22, 0.05) * (light.ambient + light.sun), (big.sum(), 3)), 2
    )
