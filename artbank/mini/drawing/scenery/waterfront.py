"""Rippled water, hills behind it, and a bridge of stone over a river.

Shape legend: H, W canvas height and width in px; h, w the same of a texture or sprite; images float32 [H, W, 3] linear
light; a sprite is [h, w, 4], its alpha last. Places are (x, y) in 0..1 of width and height.
"""

from __future__ import annotations

import numpy as np

from artbank.mini.drawing.scenery.buildings import LAMPLIGHT, fill, glow, masonry, pick
from artbank.mini.drawing.scenery.lighting import Light, draw_sky, fade, shade, sun_place
from artbank.mini.drawing.scenery.textures import color, fractal_noise, grid, mix, reflect_in_water, smoothstep
from artbank.mini.drawing.scenery.trees import foliage, tree


def hill(image: np.ndarray, light: Light, rng: np.random.Generator, line: float, rise: float, distance: float) -> None:
    """Paint a wooded ridge above `line`."""
    height, width = image.shape[:2]
    y, _ = grid(height, width)
    crest = fractal_noise(rng, 8, width, cells=0.03, octaves=6, gain=0.55)[4]
    top = line - rise * (0.35 + 0.65 * crest)
    woods = fractal_noise(rng, height, width, cells=14, octaves=3, gain=0.7)
    slope = np.clip(0.45 + 6 * np.gradient(crest)[None, :] * -np.sign(light.side) + 0.6 * (woods - 0.5), 0, 1)
    albedo = mix(color(0.22, 0.32, 0.16), color(0.44, 0.42, 0.26), woods)
    slopes = fade(shade(albedo, light, slope.astype(np.float32)), light, distance)
    edge = smoothstep(-0.004, 0.004, y - top[None, :] - 0.012 * (woods - 0.5))
    image[:] = mix(image, slopes, edge * (y < line + 0.02))


def water(image: np.ndarray, light: Light, rng: np.random.Generator, line: float, roughness: float) -> np.ndarray:
    """Lay rippled water below `line`, with the mirror image of what is above it and the sun's glitter."""
    height, width = image.shape[:2]
    y, x = grid(height, width)
    mirrored = reflect_in_water(image, line, rng, roughness=roughness)
    depth = np.clip((y - line) / (1 - line), 0, 1)
    body = shade(pick(rng, (color(0.12, 0.3, 0.36), color(0.16, 0.32, 0.28), color(0.24, 0.3, 0.24))), light, 0.45)
    ripple = fractal_noise(rng, height, width, cells=9, octaves=4, gain=0.65, stretch=(5.0, 0.7))
    surface = mix(mirrored * 0.8, body, (0.25 + 0.35 * depth) * (0.5 + 0.8 * ripple))
    surface *= 1 + (ripple[..., None] - 0.5) * (0.15 + 0.5 * roughness)
    column = np.exp(-(((x - sun_place(light)) / (0.05 + 0.12 * depth)) ** 2))
    clear = (1 - light.clouds) * (light.haze < 0.9)
    sparkle = smoothstep(0.72, 0.95, ripple) * column * clear * 1.6 * (1.2 - light.elevation)
    surface = surface + sparkle[..., None] * light.sun
    surface *= 1 - 0.45 * np.exp(-((y - line) * 60))[..., None]
    return mix(image, surface, smoothstep(line - 0.001, line + 0.003, y))


def draw_bridge(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw a bridge of one to four stone arches mirrored in a river; its rise, slant, banks and trees vary."""
    arches = int(rng.integers(1, 5))
    line = rng.uniform(0.56, 0.7)
    image = draw_sky(light, rng, height, width, line)
    hill(image, light, rng, line, rng.uniform(0.08, 0.3), 0.7)
    for side in (rng.uniform(-0.05, 0.25), rng.uniform(0.75, 1.05), rng.uniform(0.2, 0.8)):
        tree(image, light, rng, (side, line - 0.02), rng.uniform(0.25, 0.55), 0.35)
    for spot in np.linspace(-0.05, 1.05, 8):
        foliage(
            image,
            light,
            rng,
            (spot, line - 0.02),
            (0.12, rng.uniform(0.04, 0.07)),
            color(0.3, 0.38, 0.18),
            leaves=60,
            distance=0.4,
        )
    image = _span(image, light, rng, arches, line)
    _banks(image, light, rng, line)
    image = water(image, light, rng, line, rng.uniform(0.3, 0.8))
    _near_bank(image, light, rng)
    return image, f"with {('one arch', 'two arches', 'three arches', 'four arches')[arches - 1]}"


def _span(image: np.ndarray, light: Light, rng: np.random.Generator, arches: int, line: float) -> np.ndarray:
    height, width = image.shape[:2]
    y, x = grid(height, width)
    slant = rng.uniform(-0.35, 0.35)
    scale = 1 + slant * (x - 0.5)
    along = (x - 0.5) / scale + 0.5  # 0..1 along the bridge, drawn larger on its nearer end
    up = (line - y) / scale * height / min(height, width)
    first, last = rng.uniform(0.0, 0.1), rng.uniform(0.9, 1.0)
    pitch = (last - first) / arches
    rise = min(rng.uniform(0.36, 0.5) * pitch * width / min(height, width), 0.26)
    hump = rng.uniform(0.0, 0.12) if arches < 4 else rng.uniform(0, 0.05)
    deck = rise + rng.uniform(0.07, 0.11) + hump * (1 - (2 * along - 1) ** 2) - 0.4 * hump
    pier = rng.uniform(0.14, 0.24)
    across = ((along - first) / pitch) % 1 - 0.5
    inside = (along > first) & (along < last)
    grow = 1 + (0.5 * hump if arches > 1 else 0.0)
    local = rise * grow * (1 - 0.25 * hump * np.abs(2 * along - 1))

    def opening(shift: float, extra: float) -> np.ndarray:
        half = (1 - pier) / 2 + extra / (pitch * width / min(height, width))
        radius = np.hypot((across + shift) / half, np.maximum(up, 0) / (local + extra))
        soft = 1.2 / (half * pitch * width)
        return smoothstep(1 + soft, 1 - soft, radius) * inside

    stones = masonry(rng, up * rng.uniform(34, 48), along * rng.uniform(20, 30), 0.16)
    stain = fractal_noise(rng, height, width, cells=5, octaves=4, gain=0.75)
    facing = float(np.clip(0.5 + 0.3 * light.elevation - 0.25 * light.side * np.sign(slant), 0.25, 0.9))
    stone = pick(rng, (color(0.66, 0.6, 0.5), color(0.58, 0.54, 0.5), color(0.62, 0.5, 0.4), color(0.7, 0.64, 0.5)))
    albedo = mix(
        stone * stones[..., None],
        color(0.28, 0.32, 0.18),
        0.6 * smoothstep(0.62, 0.95, stain) + 0.5 * smoothstep(0.05, 0.0, up),
    )
    albedo = albedo * (0.6 + 0.7 * stain)[..., None]
    angle = np.arctan2(np.maximum(up, 0) / rise, across * 2 / (1 - pier))
    ring = opening(0, 0.028) - opening(0, 0)
    wedge = 0.75 + 0.5 * (np.sin(angle * rng.integers(26, 36)) > -0.75) * 0.8
    albedo = mix(albedo, stone * (wedge * (0.95 + 0.3 * stain))[..., None], np.clip(ring, 0, 1))
    body = smoothstep(-0.004, 0.004, deck - up) * (up > -0.01)
    parapet = deck - up
    ledge = smoothstep(0.05, 0.042, parapet) * smoothstep(0.034, 0.04, parapet)
    lit = facing * (0.8 + 0.4 * stain) * (1 - 0.75 * smoothstep(0.075, 0.052, parapet) * (parapet > 0.05))
    face = shade(albedo * (1 + 0.45 * ledge + 0.35 * smoothstep(0.014, 0.004, parapet))[..., None], light, lit)
    hole, far = opening(0, 0), opening(-(np.sign(slant) or 1.0) * rng.uniform(0.1, 0.2), -0.012)
    soffit = shade(albedo * 0.5, light, 0.05) * (0.5 + 0.6 * smoothstep(0.25, 0.0, up))[..., None]
    bridge = mix(face, soffit, hole)
    solid = body * (1 - hole * far)
    image = mix(image, fade(bridge, light, 0.12), solid)
    if light.is_night:
        _bridge_lamps(image, along, deck, line, scale)
    return image


def _bridge_lamps(image: np.ndarray, along: np.ndarray, deck: np.ndarray, line: float, scale: np.ndarray) -> None:
    height, width = image.shape[:2]
    iron = color(0.05, 0.05, 0.06)
    for place in (0.08, 0.36, 0.64, 0.92):
        column = int(np.argmin(np.abs(along[0] - place)))
        top = (
            line - float(np.broadcast_to(deck, along.shape)[0, column] * scale[0, column]) * min(height, width) / height
        )
        x = column / width
        fill(image, [(x - 0.004, top), (x + 0.004, top), (x + 0.004, top - 0.09), (x - 0.004, top - 0.09)], iron)
        fill(
            image,
            [(x - 0.012, top - 0.115), (x + 0.012, top - 0.115), (x + 0.008, top - 0.085), (x - 0.008, top - 0.085)],
            LAMPLIGHT * 2,
        )
        glow(image, (x, top - 0.1), 0.1, 0.9)


def _banks(image: np.ndarray, light: Light, rng: np.random.Generator, line: float) -> None:
    for side in (-1, 1):
        for _ in range(int(rng.integers(3, 6))):
            place = 0.5 + side * rng.uniform(0.42, 0.56)
            size = rng.uniform(0.04, 0.1)
            tint = pick(rng, (color(0.28, 0.4, 0.16), color(0.4, 0.42, 0.2)))
            foliage(image, light, rng, (place, line - size * 0.4), (size * 1.4, size), tint, leaves=90, distance=0.1)


def _near_bank(image: np.ndarray, light: Light, rng: np.random.Generator) -> None:
    side = rng.choice([-1, 1])
    if rng.random() < 0.4:
        return
    tint = pick(rng, (color(0.24, 0.36, 0.14), color(0.36, 0.4, 0.16)))
    for t in np.linspace(0, 1, 7):
        place = (0.5 + side * (0.52 - 0.5 * t), 0.86 + 0.2 * t)
        size = rng.uniform(0.06, 0.11)
        foliage(image, light, rng, place, (size * 1.6, size), tint, leaves=110)
