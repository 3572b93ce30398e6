"""The open sea: waves, surf and foam, and what stands in it.

Shape legend: as in `wilds`.
"""

from __future__ import annotations

import numpy as np

from artbank.mini.drawing.scenery.lighting import Light, draw_sky, fade, shade, sun_place
from artbank.mini.drawing.scenery.textures import blur, color, fractal_noise, grid, mix, polygon, smoothstep
from artbank.mini.drawing.scenery.wilds import View, choose, choose_color, contour, drape, plane

MAP = 320


def draw_sea(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw the open sea under the sky; its colour, chop, viewpoint and what stands in it vary."""
    detail = choose(rng, "with breaking waves", "with a sandy beach", "with rocks", "with a sailing boat")
    horizon = float(rng.uniform(0.22, 0.38) if detail == "with breaking waves" else rng.uniform(0.28, 0.55))
    image = draw_sky(light, rng, height, width, horizon)
    view = View(horizon, eye=float(rng.uniform(0.04, 0.09)), span=2.0)
    water, foam = _water(light, rng, view, height, width)
    y, _ = grid(height, width)
    image = mix(image, water, smoothstep(horizon - 0.002, horizon + 0.002, y))
    if detail == "with breaking waves":
        _breakers(image, light, rng, horizon, foam)
    elif detail == "with a sandy beach":
        _breakers(image, light, rng, horizon, foam, rows=(0.25, 0.45))
        _beach(image, light, rng, horizon, foam)
    elif detail == "with rocks":
        _sea_rocks(image, light, rng, horizon, foam)
    else:
        _sailing_boat(image, light, rng, horizon)
    return image, detail


def _water(
    light: Light, rng: np.random.Generator, view: View, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    depth = plane(view, height, width)
    swell = fractal_noise(rng, MAP, MAP, cells=22, octaves=3, stretch=(2.2, 0.8))
    chop = fractal_noise(rng, MAP, MAP, cells=50, octaves=3, gain=0.7, stretch=(1.6, 0.7))
    calm = float(rng.uniform(0.5, 1.3))
    rough = (
        drape(np.gradient(swell, axis=0), depth, view, 1.6) * 5 + drape(np.gradient(chop, axis=0), depth, view, 5) * 1.5
    )
    slope = rough * calm * smoothstep(1.2, 0.1, depth)
    deep = (
        color(rng.uniform(0.02, 0.2), rng.uniform(0.3, 0.5), rng.uniform(0.4, 0.58)) * (light.ambient + light.sun) * 0.8
    )
    mirror = np.clip(0.22 + 0.5 * depth**0.5 - slope, 0, 1)
    image = mix(np.broadcast_to(deep, (height, width, 3)), mix(light.horizon, light.zenith, 0.35), mirror)
    image *= (0.75 + 0.5 * drape(swell, depth, view, 1.6))[..., None]
    y, x = grid(height, width)
    strength = 0.15 if light.haze > 0.9 or light.clouds > 0.8 else 1.6 * (1.1 - light.elevation)
    road = np.exp(-(((x - sun_place(light)) / (0.05 + 0.25 * np.clip(y - view.horizon, 0, 1))) ** 2))
    image += (road * smoothstep(0.02, -0.25, slope) * strength)[..., None] * light.sun
    foam = drape(fractal_noise(rng, MAP, MAP, cells=30, octaves=5, gain=0.75, ridged=True), depth, view, 4)
    caps = (
        smoothstep(0.72, 0.95, drape(swell, depth, view, 1.6))
        * smoothstep(0.45, 0.8, foam)
        * smoothstep(0.9, 1.3, calm)
    )
    foam = foam + (0.5 - foam) * smoothstep(0.3, 0.7, depth)
    image = mix(image, _foam(light), caps)
    return fade(image, light, depth), foam


def _foam(light: Light) -> np.ndarray:
    return (light.ambient * 1.0 + light.sun * 0.75).astype(np.float32)


def _breakers(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    horizon: float,
    foam: np.ndarray,
    rows: tuple[float, ...] = (0.1, 0.24, 0.55),
) -> None:
    height, width = foam.shape
    y, x = grid(height, width)
    for row in rows:
        line = horizon + (1 - horizon) * row * rng.uniform(0.8, 1.2)
        tall = row * rng.uniform(0.22, 0.5) * (1 - horizon)
        swing = contour(rng, width, 3)
        peak = np.clip(1.4 * np.exp(-(((x[:1] - rng.uniform(0.1, 0.9)) / 0.45) ** 2)) * (0.7 + 0.6 * swing), 0.05, 1.2)
        crest = line + (swing * 0.25 - peak * 0.8) * tall
        face = (y - crest) / (tall * peak)  # 0 at the crest, 1 at the foot
        glass = color(0.15, 0.62, 0.6) * (light.ambient * 1.1 + light.sun * 0.9)
        dark = color(0.04, 0.28, 0.34) * (light.ambient + light.sun * 0.4)
        body = mix(np.broadcast_to(glass, image.shape), dark, smoothstep(0, 0.8, face)) * (0.65 + 0.7 * foam)[..., None]
        image[:] = mix(image, body, smoothstep(0, 0.08, face) * smoothstep(1.1, 0.7, face) * np.clip(peak * 2, 0, 1))
        rough = contour(rng, width, 4, 3)[None] + 0.9 * (foam - 0.5) - 0.25 * np.clip(1 - face, 0, 1)
        broken = smoothstep(0.25, 0.6, rough) * np.clip(peak * 1.5, 0, 1)
        spill = smoothstep(-0.12, 0.05, face) * smoothstep(1.5, 0.5, face) * broken
        lip = smoothstep(-0.1, 0.0, face) * smoothstep(0.25, 0.05, face) * peak
        trail = smoothstep(0.6, 1, face) * smoothstep(2.6, 1, face) * smoothstep(0.35, 0.75, foam) * 0.9
        white = np.clip(spill * (0.45 + foam) + lip * foam * 1.3 + trail, 0, 1)
        puffs = 0.6 + 0.55 * fractal_noise(rng, height, width, cells=14, octaves=4, gain=0.7)
        image[:] = mix(image, _foam(light) * puffs[..., None], white)


def _beach(image: np.ndarray, light: Light, rng: np.random.Generator, horizon: float, foam: np.ndarray) -> None:
    height, width = foam.shape
    y, x = grid(height, width)
    tilt = rng.choice((-1, 1)) * rng.uniform(0.15, 0.6)
    wave = contour(rng, width, 5) * 0.07
    shore = horizon + (1 - horizon) * (rng.uniform(0.42, 0.62) + tilt * (x[:1] - 0.5)) + wave
    past = (y - shore) / (1 - horizon)
    grain = fractal_noise(rng, height, width, cells=40, octaves=3, gain=0.9)
    dents = fractal_noise(rng, height, width, cells=9, octaves=4, stretch=(2.5, 1))
    sand = color(0.86, rng.uniform(0.68, 0.78), rng.uniform(0.48, 0.62)) * (0.6 + 0.25 * grain + 0.3 * dents)[..., None]
    facing = np.clip(0.55 + 9 * np.gradient(blur(dents, 1), axis=1) * -np.sign(light.side or 1), 0, 1)
    dry = shade(sand, light, facing)
    wet = mix(dry * 0.45, light.horizon, 0.25)
    beach = mix(wet, dry, smoothstep(0.06, 0.2, past + 0.08 * dents))
    image[:] = mix(image, beach, smoothstep(-0.005, 0.01, past))
    wash = (
        smoothstep(-0.16, 0, past)
        * smoothstep(0.05, 0.015, past)
        * smoothstep(0.25, 0.6, foam + smoothstep(-0.04, 0.02, past) * 0.5)
    )
    image[:] = mix(image, _foam(light), wash * 0.95)


def paint_rocks(
    image: np.ndarray, light: Light, rng: np.random.Generator, bumps: np.ndarray, albedo: np.ndarray
) -> np.ndarray:
    """Paint rocks in place, `bumps` [N, 4] of x, foot, half width and height in 0..1; returns their mask [H, W]."""
    height, width = image.shape[:2]
    y, x = grid(height, width)
    crags = fractal_noise(rng, height, width, cells=5, octaves=6, gain=0.62, ridged=True)
    field = np.full((height, width), -1, np.float32)
    for place, foot, half, tall in bumps:
        body = 1 - ((x - place) / half) ** 2 - np.clip((foot - y) / tall, 0, None) ** 2 + 0.9 * (crags - 0.55)
        field = np.maximum(field, np.minimum(body, (foot + 0.012 - y + 0.03 * (crags - 0.5)) * 12))
    swollen = blur(np.sqrt(np.clip(field, 0, 1)), 1.5) * 0.5 + 0.35 * crags
    down, right = np.gradient(swollen)
    facing = np.clip(0.3 + (down * 0.9 - right * 1.3 * np.copysign(1, light.side)) * height * 0.035, 0, 1)
    stone = albedo * (0.5 + 0.8 * fractal_noise(rng, height, width, cells=12, octaves=4, gain=0.7))[..., None]
    mask = smoothstep(0, 0.06, field)
    image[:] = mix(image, shade(stone, light, facing), mask)
    return mask


def _sea_rocks(image: np.ndarray, light: Light, rng: np.random.Generator, horizon: float, foam: np.ndarray) -> None:
    number, side = int(rng.integers(3, 7)), rng.choice((0.0, 1.0))
    foot = np.sort(horizon + (1 - horizon) * rng.uniform(0.15, 0.95, number))
    near = (foot - horizon) / (1 - horizon)
    place = np.abs(side - rng.beta(1.2, 2.2, number))
    bumps = np.stack(
        [
            place,
            foot,
            (0.06 + 0.22 * near) * rng.uniform(0.6, 1.3, number),
            (0.1 + 0.3 * near) * rng.uniform(0.5, 1.2, number),
        ],
        -1,
    )
    mask = paint_rocks(
        image, light, rng, bumps, color(*(rng.uniform(0.36, 0.5) + rng.normal(0, 0.03, 3) + [0.04, 0, -0.03]))
    )
    y, x = grid(*foam.shape)
    for place_x, base, half, _ in bumps:
        ring = ((x - place_x) / (half * 1.25)) ** 2 + ((y - base) / (half * 0.3)) ** 2
        white = smoothstep(1.3, 0.5, ring) * smoothstep(0.25, 0.65, foam) * smoothstep(base - 0.03, base, y)
        image[:] = mix(image, _foam(light), white * (1 - 0.5 * mask))


def _sailing_boat(image: np.ndarray, light: Light, rng: np.random.Generator, horizon: float) -> None:
    height, width = image.shape[:2]
    tall, x, foot = rng.uniform(0.28, 0.5), rng.uniform(0.28, 0.72), horizon + rng.uniform(0.05, 0.25) * (1 - horizon)
    tall = min(tall, foot * 0.93)
    wide, way = tall * 0.32 * height / width, rng.choice((-1, 1))
    cloth = choose_color(rng, (0.95, 0.94, 0.9), (0.9, 0.86, 0.74), (0.75, 0.25, 0.18))
    hull = choose_color(rng, (0.9, 0.9, 0.9), (0.12, 0.2, 0.4), (0.6, 0.12, 0.1), (0.35, 0.2, 0.1))
    folds = fractal_noise(rng, height, width, cells=5, octaves=3, stretch=(0.5, 2))
    shapes = (  # corners across and up from the foot of the mast, in half lengths and heights of the boat
        (((-1, 0.04), (-0.06, 0.08), (0, 1)), cloth, 0.75),
        (((0.9, 0.1), (0.06, 0.1), (0, 0.88)), cloth, 0.5),
        (((-1.05, 0.1), (1.25, 0.12), (0.85, 0), (-0.85, 0)), hull, 0.5),
        (((-0.03, 0), (0.03, 0), (0.015, 1.05), (-0.015, 1.05)), color(0.5, 0.4, 0.3), 0.4),
    )
    broken = 0.4 * smoothstep(0.25, 0.6, fractal_noise(rng, height, width, cells=20, octaves=2, stretch=(2, 0.5)))
    for turn, dim, cover in ((-0.55, 0.7, broken), (1.0, 1.0, 1.0)):
        for corners, albedo, facing in shapes:
            paint = shade(albedo, light, np.clip(facing + 0.7 * (folds - 0.5), 0, 1)) * dim
            outline = [(x + across * wide * way, foot - up * tall * turn) for across, up in corners]
            image[:] = mix(image, paint, polygon(height, width, outline) * cover)
