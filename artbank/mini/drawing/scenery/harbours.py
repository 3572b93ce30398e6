"""A harbour: boats before a row of quayside houses.

Shape legend: H, W canvas height and width in px; h, w the same of a texture or sprite; images float32 [H, W, 3] linear
light; a sprite is [h, w, 4], its alpha last. Places are (x, y) in 0..1 of width and height.
"""

from __future__ import annotations

import numpy as np

from artbank.mini.drawing.scenery.boats import HULLS, RED, launch
from artbank.mini.drawing.scenery.buildings import (
    LAMPLIGHT,
    ROOFS,
    WALLS,
    facade,
    fill,
    glow,
    masonry,
    paste_quad,
    pick,
    roof,
)
from artbank.mini.drawing.scenery.lighting import Light, draw_sky, fade, shade
from artbank.mini.drawing.scenery.textures import color, fractal_noise, grid, mix, smoothstep
from artbank.mini.drawing.scenery.trees import tree
from artbank.mini.drawing.scenery.waterfront import hill, water


def draw_harbour(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw boats before a row of quayside houses; the shore, the kinds and number of boats and the quay vary."""
    line = rng.uniform(0.42, 0.6)
    theme = ("with a sailing boat", "with fishing boats", "with many masts", "with a red boat", "with rowing boats")[
        rng.integers(5)
    ]
    image = draw_sky(light, rng, height, width, line)
    hill(image, light, rng, line, rng.uniform(0.04, 0.22), 0.8)
    _shore(image, light, rng, line)
    if theme == "with many masts":
        for x in rng.uniform(0.02, 0.98, 13):
            launch(
                image, light, rng, "yacht", (x, line + rng.uniform(0.0, 0.012)), rng.uniform(0.16, 0.26), HULLS[:2], 0.2
            )
    image = water(image, light, rng, line, rng.uniform(0.15, 0.7))
    for kind, place, size, paints in _fleet(rng, theme, line):
        launch(image, light, rng, kind, place, size, paints, 0.12 * (1 - place[1]))
    if rng.random() < 0.35:
        _near_quay(image, light, rng)
    return image, theme


def _fleet(
    rng: np.random.Generator, theme: str, line: float
) -> list[tuple[str, tuple[float, float], float, tuple[np.ndarray, ...]]]:
    kinds = {
        "with a sailing boat": ["rowing"],
        "with fishing boats": ["fishing"],
        "with many masts": ["yacht"],
        "with rowing boats": ["rowing"],
    }
    boats = []
    for _ in range(rng.integers(3, 6)):
        depth = rng.uniform(0.06, 0.8)
        kind = str(rng.choice(kinds.get(theme, ["fishing", "yacht", "rowing"])))
        size = (0.2 + 0.5 * depth) * rng.uniform(0.8, 1.15) * (0.75 if kind == "rowing" else 1.0)
        boats.append((kind, (rng.uniform(0.08, 0.92), line + depth * (0.97 - line)), size, HULLS))
    if theme in ("with a sailing boat", "with a red boat"):
        depth = rng.uniform(0.3, 0.6)
        kind = "sailing" if theme == "with a sailing boat" else str(rng.choice(["fishing", "yacht"]))
        place = (rng.uniform(0.3, 0.7), line + depth * (0.97 - line))
        boats = [boat for boat in boats if boat[1][1] < place[1]] + [
            (kind, place, rng.uniform(0.5, 0.68), HULLS if kind == "sailing" else RED)
        ]
    return sorted(boats, key=lambda boat: boat[1][1])


def _shore(image: np.ndarray, light: Light, rng: np.random.Generator, line: float) -> None:
    height, width = image.shape[:2]
    quay, x = rng.uniform(0.02, 0.05), rng.uniform(-0.1, 0.0)
    base, scale = line - quay, rng.uniform(0.75, 1.3)
    gap = rng.uniform(0.0, 0.3)
    facing = 0.65 - 0.25 * light.elevation
    while x < 1:
        wide, floors = rng.uniform(0.09, 0.2) * scale, int(rng.integers(2, 5))
        tall = floors * rng.uniform(0.05, 0.065) * scale
        if rng.random() < gap:
            tree(image, light, rng, (x + wide / 2, base), rng.uniform(0.15, 0.28) * scale, 0.3)
        else:
            _quay_house(image, light, rng, (x, base, wide, tall, floors), facing * rng.uniform(0.75, 1.1))
        x += wide
    down, along = np.mgrid[0:24, 0:width].astype(np.float32)
    stones = masonry(rng, down / 8, along / 14, 0.2) * np.linspace(1.1, 0.45, 24, dtype=np.float32)[:, None]
    wall = fade(shade(color(0.52, 0.48, 0.42) * stones[..., None], light, facing), light, 0.15)
    paste_quad(image, wall, np.array([[0, base], [1, base], [1, line + 0.005], [0, line + 0.005]]))
    if light.is_night:
        for lamp in rng.uniform(0.03, 0.97, 5):
            fill(
                image,
                [
                    (lamp - 0.005, base - 0.055),
                    (lamp + 0.005, base - 0.055),
                    (lamp + 0.005, base - 0.04),
                    (lamp - 0.005, base - 0.04),
                ],
                LAMPLIGHT * 2,
            )
            glow(image, (lamp, base - 0.045), 0.06, 0.9)


def _quay_house(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    house: tuple[float, float, float, float, int],
    facing: float,
) -> None:
    x, base, wide, tall, floors = house
    height, width = image.shape[:2]
    tint, top = pick(rng, WALLS), base - tall
    texture = facade(light, rng, max(round(tall * height * 1.3), 30), max(round(wide * width * 1.3), 20), floors=floors,
                     bays=int(rng.integers(2, 5)), tint=tint, facing=facing, shop=rng.random() < 0.25)  # fmt: skip
    tiles = roof(light, rng, 30, 50, pick(rng, tuple(ROOFS.values())), facing * 0.9 + 0.1)
    pitch = wide * rng.uniform(0.25, 0.6) * width / height
    right = x + wide
    if rng.random() < 0.45:
        gable = shade(tint * 0.92, light, facing)
        fill(
            image,
            [(x, top), (x + wide / 2, top - pitch), (right, top), (right, base), (x, base)],
            fade(gable, light, 0.2),
        )
        edge = fade(tiles, light, 0.2)
        out = 0.008
        paste_quad(
            image,
            edge,
            np.array(
                [
                    [x + wide / 2, top - pitch - 0.02],
                    [right + out, top - 0.005],
                    [right + out, top + 0.015],
                    [x + wide / 2, top - pitch],
                ]
            ),
        )
        paste_quad(
            image,
            edge * 0.8,
            np.array(
                [
                    [x - out, top - 0.005],
                    [x + wide / 2, top - pitch - 0.02],
                    [x + wide / 2, top - pitch],
                    [x - out, top + 0.015],
                ]
            ),
        )
    else:
        inset = rng.uniform(0.0, 0.2) * wide
        paste_quad(
            image,
            fade(tiles, light, 0.2),
            np.array(
                [
                    [x + inset, top - pitch * 0.6],
                    [right - inset, top - pitch * 0.6],
                    [right + 0.005, top + 0.004],
                    [x - 0.005, top + 0.004],
                ]
            ),
        )
    paste_quad(image, fade(texture, light, 0.2), np.array([[x, top], [right, top], [right, base], [x, base]]))
    stack = x + wide * rng.uniform(0.15, 0.85)
    brick = fade(shade(color(0.5, 0.3, 0.24), light, facing), light, 0.2)
    fill(
        image,
        [
            (stack, top - pitch * 0.85),
            (stack + 0.018, top - pitch * 0.85),
            (stack + 0.018, top - pitch * 0.3),
            (stack, top - pitch * 0.3),
        ],
        brick,
    )


def _near_quay(image: np.ndarray, light: Light, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    y, x = grid(height, width)
    left, right = rng.uniform(0.8, 0.96, 2)
    edge = left + (right - left) * x
    stones = masonry(rng, (y - edge) * 16 / (0.3 + y), x * 9, 0.1) * (
        0.75 + 0.5 * fractal_noise(rng, height, width, cells=12, octaves=4)
    )
    albedo = color(0.55, 0.5, 0.44) * (stones * (1 - 0.5 * smoothstep(0.02, 0.0, y - edge)))[..., None]
    image[:] = mix(image, shade(albedo, light, 0.6), smoothstep(0.0, 0.004, y - edge))
    for spot in rng.uniform(0.08, 0.92, 2):
        foot = left + (right - left) * spot + 0.045
        iron = shade(color(0.2, 0.2, 0.22), light, 0.4)
        fill(
            image,
            [(spot - 0.02, foot), (spot + 0.02, foot), (spot + 0.018, foot - 0.07), (spot - 0.018, foot - 0.07)],
            iron,
        )
        fill(
            image,
            [
                (spot - 0.03, foot - 0.065),
                (spot + 0.03, foot - 0.065),
                (spot + 0.026, foot - 0.09),
                (spot - 0.026, foot - 0.09),
            ],
            iron * 1.5,
        )
