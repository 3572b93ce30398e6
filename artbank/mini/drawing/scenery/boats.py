"""Boats afloat, each with its broken reflection.

Shape legend: H, W canvas height and width in px; h, w the same of a texture or sprite; images float32 [H, W, 3] linear
light; a sprite is [h, w, 4], its alpha last. Places are (x, y) in 0..1 of width and height.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from artbank.mini.drawing.scenery.buildings import LAMPLIGHT, PAINTS, glow, pick
from artbank.mini.drawing.scenery.lighting import Light, fade, shade
from artbank.mini.drawing.scenery.textures import color, displace, fractal_noise, mix

HULLS = (
    color(0.9, 0.89, 0.86), color(0.12, 0.22, 0.42), color(0.16, 0.36, 0.3), color(0.82, 0.62, 0.2),
    color(0.4, 0.26, 0.16), color(0.35, 0.58, 0.7),
)  # fmt: skip
RED = (color(0.75, 0.13, 0.1),)


def _paste_sprite(image: np.ndarray, sprite: np.ndarray, left: int, top: int) -> None:
    height, width = image.shape[:2]
    rows, columns = sprite.shape[:2]
    low_y, low_x, high_y, high_x = max(top, 0), max(left, 0), min(top + rows, height), min(left + columns, width)
    if low_y >= high_y or low_x >= high_x:
        return
    part = sprite[low_y - top : high_y - top, low_x - left : high_x - left]
    region = image[low_y:high_y, low_x:high_x]
    region[:] = mix(region, part[..., :3], part[..., 3])


def launch(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    kind: str,
    place: tuple[float, float],
    size: float,
    paints: tuple[np.ndarray, ...],
    distance: float,
) -> None:
    """Put a boat of `size` (of the shorter side) afloat at `place`, with its broken reflection below."""
    height, width = image.shape[:2]
    length = max(round(size * min(height, width)), 12)
    sprite = _boat(light, rng, kind, length, paints)
    sprite[..., :3] = fade(sprite[..., :3], light, distance)
    if rng.random() < 0.5:
        sprite = np.ascontiguousarray(sprite[:, ::-1])
    left, line = round(place[0] * width) - length // 2, round(place[1] * height)
    below = np.ascontiguousarray(sprite[::-1])
    rows, columns = below.shape[:2]
    wobble = fractal_noise(rng, rows, columns, cells=3 + 10 * size, octaves=3, stretch=(3.5, 0.6)) - 0.5
    fall = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    below = displace(below, wobble * length * 0.08 * fall, wobble * length * (0.03 + 0.12 * fall))
    below[..., 3] *= 0.75 * (1 - 0.65 * fall)
    below[..., :3] = below[..., :3] * 0.72
    _paste_sprite(image, below, left, line)
    _paste_sprite(image, sprite, left, line - rows)
    if light.is_night and kind != "rowing":
        spot = (place[0], place[1] - 0.3 * length / height)
        glow(image, spot, 0.09 * size, 1.1)
        glow(image, (spot[0], place[1] + 0.3 * length / height), 0.12 * size, 0.35)


def _boat(light: Light, rng: np.random.Generator, kind: str, length: int, paints: tuple[np.ndarray, ...]) -> np.ndarray:
    tall = {"sailing": 1.35, "yacht": 1.35, "fishing": 0.85, "rowing": 0.3}[kind]
    rows = round(tall * length)
    sprite = np.zeros((rows, length, 4), np.float32)
    facing = 0.55 - 0.15 * light.elevation + 0.25 * abs(light.side)
    paint, wood = pick(rng, paints, 0.05), color(0.45, 0.3, 0.18)
    sheer = 0.13 if kind != "fishing" else 0.18

    def put(points: list[tuple[float, float]], albedo: np.ndarray, lit: float) -> None:
        corners = np.array([(x * length, rows - up * length) for x, up in points])
        tint = np.append(shade(albedo, light, lit), 1).tolist()
        cv2.fillPoly(sprite, [np.round(corners * 16).astype(np.int32)], tint, cv2.LINE_8, shift=4)

    def rope(start: tuple[float, float], stop: tuple[float, float], albedo: np.ndarray, thick: float) -> None:
        ends = [(round(x * length), round(rows - up * length)) for x, up in (start, stop)]
        cv2.line(sprite, *ends, np.append(shade(albedo, light, 0.5), 1).tolist(), max(round(thick * length), 1))

    if kind in ("sailing", "yacht"):
        _rig(put, rope, rng, facing, raised=kind == "sailing")
    elif kind == "fishing":
        _wheelhouse(put, rope, light, rng, facing)
    else:
        put([(0.1, 0.14), (0.9, 0.16), (0.8, 0.08), (0.2, 0.08)], wood * 0.4, 0.1)
        put([(0.4, 0.15), (0.46, 0.15), (0.46, 0.1), (0.4, 0.1)], wood, 0.8)
    along = np.linspace(0, 1, 12)
    top = [(0.04 + 0.94 * t, sheer * (0.8 - 0.55 * t + 1.25 * t * t) * (0.8 if kind == "rowing" else 1)) for t in along]
    keel = [(0.86, 0.0), (0.1, 0.0)]
    put([*top, *keel], paint, facing)
    put([(0.07, 0.055), (0.5, 0.035), (0.91, 0.06), *keel], paint, facing * 0.45)
    put(
        [(0.085, 0.022), (0.87, 0.022), *keel],
        pick(rng, (color(0.45, 0.1, 0.08), color(0.08, 0.08, 0.1))),
        facing * 0.3,
    )
    rail = [(x, up - 0.022) for x, up in reversed(top)]
    put([*top, *rail], pick(rng, (color(0.92, 0.9, 0.85), wood, color(0.15, 0.15, 0.2))), facing + 0.25)
    grime = fractal_noise(rng, rows, length, cells=7, octaves=4, gain=0.7, stretch=(0.5, 1))
    sprite[..., :3] *= (0.72 + 0.5 * grime)[..., None]
    return sprite


def _rig(put: Callable, rope: Callable, rng: np.random.Generator, facing: float, *, raised: bool) -> None:
    mast, head = rng.uniform(0.5, 0.6), rng.uniform(1.15, 1.32)
    spar, line = color(0.75, 0.68, 0.55), color(0.45, 0.42, 0.4)
    if rng.random() < 0.8:
        put([(0.3, 0.1), (0.32, 0.2), (0.66, 0.2), (0.74, 0.1)], color(0.88, 0.86, 0.8), facing)
        put([(0.38, 0.13), (0.38, 0.175), (0.62, 0.175), (0.64, 0.13)], color(0.12, 0.13, 0.16), 0.3)
    if raised:
        cloth = pick(rng, (color(0.95, 0.93, 0.88), color(0.72, 0.3, 0.2), color(0.9, 0.82, 0.65)), 0.04)
        put([(mast - 0.012, 0.25), (mast - 0.012, head - 0.04), (mast - 0.2, 0.72), (0.07, 0.24)], cloth, facing + 0.2)
        put(
            [(mast - 0.012, 0.25), (mast - 0.012, head - 0.04), (mast - 0.1, 0.74), (mast - 0.17, 0.25)],
            cloth,
            facing * 0.75,
        )
        put([(mast + 0.02, head - 0.12), (mast + 0.05, 0.24), (0.94, 0.2)], cloth * 0.95, facing + 0.3)
        put([(mast + 0.02, head - 0.12), (mast + 0.05, 0.24), (0.7, 0.22)], cloth * 0.95, facing * 0.7)
    else:
        put([(0.1, 0.23), (0.12, 0.275), (mast, 0.3), (mast, 0.24)], pick(rng, (*HULLS[:2], *RED)), facing)
        rope((mast, head), (0.96, 0.18), line, 0.004)
    rope((mast, head), (0.06, 0.13), line, 0.004)
    rope((mast, 0.1), (mast, head), spar, 0.02)
    rope((mast, 0.235), (0.08, 0.225), spar, 0.016)
    rope((mast - 0.07, 0.8), (mast + 0.07, 0.8), spar, 0.008)


def _wheelhouse(put: Callable, rope: Callable, light: Light, rng: np.random.Generator, facing: float) -> None:
    left, tint = (
        rng.uniform(0.2, 0.45),
        pick(rng, (color(0.9, 0.88, 0.82), color(0.85, 0.7, 0.35), color(0.4, 0.55, 0.65))),
    )
    right, top = left + 0.26, rng.uniform(0.36, 0.44)
    put([(left, 0.1), (left + 0.01, top), (right, top), (right + 0.03, 0.1)], tint, facing)
    put([(left, 0.1), (left + 0.01, top), (left + 0.09, top), (left + 0.09, 0.1)], tint, facing * 0.5)
    glass = LAMPLIGHT * 6 if light.is_night else color(0.2, 0.24, 0.28)
    for pane in (left + 0.105, left + 0.185):
        put(
            [(pane, top - 0.13), (pane, top - 0.04), (pane + 0.055, top - 0.04), (pane + 0.058, top - 0.13)], glass, 0.6
        )
    put(
        [(left - 0.03, top), (left - 0.03, top + 0.03), (right + 0.03, top + 0.03), (right + 0.03, top)],
        pick(rng, PAINTS),
        facing,
    )
    spar = color(0.6, 0.5, 0.36)
    for mast, head in ((0.72, rng.uniform(0.6, 0.8)), (left + 0.05, rng.uniform(0.55, 0.7))):
        rope((mast, 0.12), (mast, head), spar, 0.022)
        rope((mast, head), (0.95, 0.24), color(0.3, 0.3, 0.3), 0.004)
        rope((mast, head), (0.07, 0.16), color(0.3, 0.3, 0.3), 0.004)
    rope((0.72, 0.25), (0.5, 0.62), spar, 0.014)
    for crate in rng.uniform(0.55, 0.85, 3):
        put([(crate, 0.1), (crate, 0.22), (crate + 0.08, 0.22), (crate + 0.08, 0.1)], pick(rng, (*HULLS, *RED)), facing)
