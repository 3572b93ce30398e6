"""Wide landscapes: mountains and a desert.

Shape legend: as in `wilds`.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from artbank.mini.drawing.scenery.lighting import Light, draw_sky, fade, shade
from artbank.mini.drawing.scenery.seas import paint_rocks
from artbank.mini.drawing.scenery.textures import blur, color, fractal_noise, grid, mix, normalize, smoothstep
from artbank.mini.drawing.scenery.wilds import (
    SKY,
    View,
    choose,
    choose_color,
    contour,
    drape,
    march,
    paint_conifers,
    relief,
)

MAP = 320


def draw_mountains(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw a mountain range over its foothills; peaks, rock, snow line, viewpoint and foreground vary."""
    detail = choose(rng, "with snow on the peaks", "with a pine forest", "with a green valley", "with bare rock")
    view = View(
        float(rng.uniform(0.5, 0.72)), eye=float(rng.uniform(0.05, 0.1)), span=float(rng.uniform(1.1, 1.8)), near=0.05
    )
    image = draw_sky(light, rng, height, width, view.horizon)
    z, x = grid(MAP, MAP)
    peaks = fractal_noise(rng, MAP, MAP, cells=rng.uniform(2.5, 4.5), octaves=7, gain=0.47, ridged=True)
    mass = fractal_noise(rng, MAP, MAP, cells=2.5, octaves=2)
    rise = smoothstep(rng.uniform(0.1, 0.25), 0.85, z + 0.3 * (mass - 0.5))
    valley = 0.5 + 0.5 * smoothstep(0.0, 0.35, np.abs(x - rng.uniform(0.3, 0.7)))
    heights = (0.03 * mass + rise * valley * (0.12 + peaks * (0.45 + 0.5 * mass)) * rng.uniform(0.35, 0.6)).astype(
        np.float32
    )
    depth = march(heights, view, height, width)
    lit = normalize(relief(blur(heights, 0.8), light, 1.1, 0.05)) ** 1.3
    lit *= 0.35 + 0.65 * smoothstep(
        -0.06, 0.02, heights - np.roll(blur(heights, 4), int(np.copysign(14, light.side)), 1)
    )
    dimmed = replace(light, ambient=light.ambient * (1.0 if light.haze > 0.9 else 0.6))
    land = shade(_alps(rng, heights, detail), dimmed, lit * 1.7)
    ground = fade(drape(land, depth, view), light, np.clip(depth, 0, 1) ** 1.2 * 0.6)
    grain = fractal_noise(rng, height, width, cells=60, octaves=2, gain=0.8)
    image = mix(image, ground * (0.85 + 0.3 * grain)[..., None], (depth < SKY).astype(np.float32))
    _foothills(image, light, rng, detail)
    return image, detail


def _alps(rng: np.random.Generator, heights: np.ndarray, detail: str) -> np.ndarray:
    down, right = np.gradient(heights * MAP)
    steep = np.hypot(down, right)
    steep = steep / np.percentile(steep, 70) + 0.5 * (fractal_noise(rng, MAP, MAP, cells=20, octaves=4, gain=0.7) - 0.5)
    level = heights / np.percentile(heights, 99.5) + 0.15 * (fractal_noise(rng, MAP, MAP, cells=8, octaves=4) - 0.5)
    strata = (
        0.75
        + 0.25 * np.sin(level * rng.uniform(60, 120))
        + 0.3 * (fractal_noise(rng, MAP, MAP, cells=30, octaves=3) - 0.5)
    )
    warm = rng.uniform(-0.04, 0.08)
    rock = color(0.46 + warm, 0.43, 0.41 - warm) * strata[..., None]
    meadow = mix(color(0.2, 0.3, 0.12), color(0.42, 0.48, 0.2), fractal_noise(rng, MAP, MAP, cells=12, octaves=5))
    green = {"with a green valley": 0.5, "with a pine forest": 0.4, "with bare rock": 0.15}.get(detail, 0.3)
    land = mix(rock, meadow, smoothstep(green + 0.12, green - 0.08, level) * smoothstep(1.5, 0.9, steep))
    line = {"with snow on the peaks": rng.uniform(0.2, 0.42), "with bare rock": 2.0}.get(detail, rng.uniform(0.6, 0.9))
    snow = smoothstep(line, line + 0.1, level) * smoothstep(1.9, 1.0, steep)
    return mix(land, color(0.95, 0.96, 1.0), snow)


def _foothills(image: np.ndarray, light: Light, rng: np.random.Generator, detail: str) -> None:
    height, width = image.shape[:2]
    base = rng.uniform(0.78, 0.92) * height
    line = base - (contour(rng, width, 2.5) - 0.5) * rng.uniform(0.04, 0.14) * height
    y = np.arange(height, dtype=np.float32)[:, None]
    turf = fractal_noise(rng, height, width, cells=14, octaves=5, gain=0.9, stretch=(2.5, 1))
    hue = color(0.5, 0.46, 0.4) if detail == "with bare rock" else color(0.38, 0.46, 0.2)
    slope = shade(hue * (0.55 + 0.55 * turf)[..., None], light, np.clip(0.45 + 0.6 * (turf - 0.3), 0, 1))
    image[:] = mix(image, slope, smoothstep(-1, 1, y - line[None]))
    if detail == "with bare rock":
        bumps = np.stack(
            [
                rng.uniform(0, 1, 6),
                np.sort(rng.uniform(0.88, 1.05, 6)),
                rng.uniform(0.06, 0.25, 6),
                rng.uniform(0.05, 0.16, 6),
            ],
            -1,
        )
        paint_rocks(image, light, rng, bumps, color(0.5, 0.47, 0.43))
        return
    number = 60 if detail == "with a pine forest" else int(rng.integers(0, 14))
    column = rng.integers(0, width, number)
    foot = line[column] + np.sort(rng.uniform(0, 1, number)) * (height * 1.08 - line[column])
    tall = (0.09 + 0.32 * (foot / height - 0.7)).clip(0.05) * height * rng.uniform(0.6, 1.4, number)
    order = np.argsort(foot)
    paint_conifers(image, light, rng, np.stack([column, foot], -1)[order], tall[order], color(0.16, 0.28, 0.17), 0.1)


def draw_desert(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw sand dunes with lit and shadowed sides; sand, dunes, ripples, viewpoint and what stands there vary."""
    detail = choose(rng, "with cacti", "with rocks", "with high dunes", "with sand ripples", "with red buttes")
    high = {"with high dunes": 2.0, "with sand ripples": 1.2}.get(detail, 0.7)
    view = View(
        float(rng.uniform(0.3, 0.5)), eye=float(rng.uniform(0.07, 0.11)), span=float(rng.uniform(1.0, 1.6)), near=0.06
    )
    image = draw_sky(light, rng, height, width, view.horizon)
    z, x = grid(MAP, MAP)
    turn, number = rng.uniform(-0.9, 0.9), rng.uniform(3.5, 7)
    warp = fractal_noise(rng, MAP, MAP, cells=2.5, octaves=3, gain=0.35)
    phase = ((z * np.cos(turn) + x * np.sin(turn)) * number + 1.3 * warp) % 1
    ridge = np.where(phase < 0.75, smoothstep(0, 0.75, phase), (1 - phase) / 0.25)
    swell = 0.4 + 0.9 * fractal_noise(rng, MAP, MAP, cells=3, octaves=2)
    heights = blur((ridge * swell * smoothstep(0.0, 0.3, z) * 0.06 * high).astype(np.float32), 0.8)
    depth = march(heights, view, height, width)
    sand = choose_color(rng, (0.9, 0.72, 0.47), (0.88, 0.58, 0.34), (0.93, 0.83, 0.66), (0.82, 0.5, 0.33))
    if detail == "with red buttes":
        _buttes(image, light, rng, view.horizon)
    lit = smoothstep(0.3, 0.75, relief(heights, light, 2.2, 0.1))
    facing = drape(lit, depth, view) + _ripples(rng, depth, view, 0.32 if detail == "with sand ripples" else 0.1)
    grain = (
        0.8
        + 0.25 * fractal_noise(rng, height, width, cells=60, octaves=2, gain=0.9)
        + 0.25 * drape(warp, depth, view, 3)
    )
    ground = fade(
        shade(sand * grain[..., None] * 0.85, light, np.clip(facing, 0, 1)), light, np.clip(depth, 0, 1) * 0.8
    )
    image = mix(image, ground, (depth < SKY).astype(np.float32))
    if detail == "with rocks":
        foot = np.sort(rng.uniform(0.62, 0.98, 5))
        bumps = np.stack([rng.uniform(0, 1, 5), foot, rng.uniform(0.05, 0.22, 5), rng.uniform(0.06, 0.28, 5)], -1)
        paint_rocks(image, light, rng, bumps, color(0.55, 0.4, 0.3))
    elif detail == "with cacti":
        for foot in np.sort(rng.uniform(view.horizon + 0.1, 0.97, int(rng.integers(2, 6)))):
            _cactus(image, light, rng, rng.uniform(0.08, 0.92), foot, (foot - view.horizon) * rng.uniform(0.75, 1.1))
    return image, detail


def _ripples(rng: np.random.Generator, depth: np.ndarray, view: View, strength: float) -> np.ndarray:
    height, width = depth.shape
    across = (np.arange(width, dtype=np.float32) / width - 0.5) * view.span * depth
    warp = drape(fractal_noise(rng, MAP, MAP, cells=12, octaves=4), depth, view, 2.5)
    wave = np.sin(2 * np.pi * (depth * 150 + across * rng.uniform(-40, 40) + 3.5 * warp))
    return (wave * strength * smoothstep(0.45, 0.1, depth) * (0.5 + warp)).astype(np.float32)


def _buttes(image: np.ndarray, light: Light, rng: np.random.Generator, horizon: float) -> None:
    height, width = image.shape[:2]
    y, x = grid(height, width)
    cracks = fractal_noise(rng, height, width, cells=12, octaves=4, stretch=(0.25, 1.6), ridged=True)
    layers = fractal_noise(rng, height, width, cells=16, octaves=3, stretch=(2, 0.1))
    for distance in (0.6, 0.35, 0.2)[: int(rng.integers(2, 4))]:
        middle, half, top = (
            rng.uniform(0.1, 0.9),
            rng.uniform(0.07, 0.2),
            rng.uniform(0.5, 0.9) * horizon * (1.1 - distance),
        )
        rise = np.clip((horizon + 0.05 - y) / top, 0, 2)
        edge = half * np.where(rise < 0.45, 1.9 - 2.0 * rise, 1.0 - 0.15 * (rise - 0.45)) + 0.03 * (cracks - 0.5)
        mask = smoothstep(0.0, 0.008, edge - np.abs(x - middle)) * smoothstep(
            1.0, 0.97, rise + 0.12 * (layers[:1] - 0.5)
        )
        facing = np.clip(0.45 + (x - middle) / half * np.copysign(0.5, light.side) + 0.9 * (cracks - 0.6), 0, 1)
        stone = color(0.75, 0.4, 0.26) * (0.55 + 0.6 * layers)[..., None]
        image[:] = mix(image, fade(shade(stone, light, facing), light, distance), mask)


def _cactus(image: np.ndarray, light: Light, rng: np.random.Generator, x: float, foot: float, tall: float) -> None:
    height, width = image.shape[:2]
    bottom, top, half = foot * height, (foot - tall) * height, max(tall * height * 0.065, 2)
    limbs = [(np.array([[x * width, bottom], [x * width, top]]), half)]
    for side in (-1, 1)[: int(rng.integers(1, 3))]:
        out, join = side * half * rng.uniform(3, 4.5), bottom - (bottom - top) * rng.uniform(0.35, 0.6)
        tip = join - (bottom - top) * rng.uniform(0.2, 0.4)
        bend = [
            [x * width, join],
            [x * width + out * 0.7, join],
            [x * width + out, join - half],
            [x * width + out, tip],
        ]
        limbs.append((np.array(bend), half * 0.75))
    reach = np.array([[x * width, bottom], [x * width - light.side * tall * height * 0.8, bottom + half]])
    shadow = np.zeros((height, width), np.float32)
    cv2.line(shadow, *np.round(reach).astype(int).tolist(), 1.0, max(1, round(half)))
    image[:] *= 1 - 0.5 * blur(shadow, 2)[..., None]
    for path, thick in limbs[::-1]:
        for step in np.linspace(-1, 1, 9):
            lit = light.ambient * 0.9 + light.sun * np.clip(0.45 + step * light.side * 0.6, 0, 1)
            rib = color(0.35, 0.5, 0.28) * lit * (0.72 if round(step * 4) % 2 else 1.15)
            shifted = np.round(path + [step * thick, 0]).astype(np.int32)
            cv2.polylines(image, [shifted], False, rib.tolist(), max(1, round(thick * 0.4)))
