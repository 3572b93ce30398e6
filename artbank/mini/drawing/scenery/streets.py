"""A street between house fronts, in one-point perspective.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light. World places are metres:
X right, Y up, Z away from the viewer.
"""

from __future__ import annotations

import numpy as np

from artbank.mini.drawing.scenery.buildings import (
    PAINTS,
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
from artbank.mini.drawing.scenery.camera import Camera
from artbank.mini.drawing.scenery.lighting import Light, draw_sky, fade, shade
from artbank.mini.drawing.scenery.textures import color, fractal_noise, grid, mix, smoothstep
from artbank.mini.drawing.scenery.trees import tree


def draw_street(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw a street between facades; its width, bend of view, houses, shops, paving, trees and people vary."""
    camera = Camera(
        rng.uniform(0.32, 0.68), rng.uniform(0.46, 0.62), rng.uniform(1.7, 3.2), rng.uniform(0.75, 1.05), height, width
    )
    theme = ("with shop awnings", "with trees", "with street lamps", "with cobblestones", "with people")[
        rng.integers(5)
    ]
    left, right = -rng.uniform(2.8, 5.5), rng.uniform(2.8, 5.5)
    image = draw_sky(light, rng, height, width, camera.y)
    _street_end(image, light, rng, camera, (left, right))
    image = _pave(image, light, rng, camera, (left, right), cobbles=theme == "with cobblestones" or rng.random() < 0.3)
    for side in sorted((left, right), key=lambda _: rng.random()):
        _row_of_houses(image, light, rng, camera, side, awnings=theme == "with shop awnings")
    _furnish(image, light, rng, camera, (left, right), theme)
    return image, theme


def _street_end(
    image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, sides: tuple[float, float]
) -> None:
    if rng.random() < 0.5:
        top = rng.uniform(7, 13)
        texture = facade(light, rng, 90, 90, floors=3, bays=4, tint=pick(rng, WALLS), facing=0.35)
        corners = camera.see((-14, top, 46), (14, top, 46), (14, 0, 46), (-14, 0, 46))
        paste_quad(image, fade(texture, light, 0.6), corners)
        if rng.random() < 0.6:
            middle, rise = rng.uniform(*sides) * 0.6, top + rng.uniform(6, 14)
            tower = fade(facade(light, rng, 80, 30, floors=5, bays=1, tint=pick(rng, WALLS), facing=0.5), light, 0.65)
            paste_quad(
                image,
                tower,
                camera.see((middle - 2, rise, 47), (middle + 2, rise, 47), (middle + 2, 0, 47), (middle - 2, 0, 47)),
            )
            tip = camera.see((middle - 2.4, rise, 47), (middle, rise + 6, 47), (middle + 2.4, rise, 47))
            fill(image, tip, fade(shade(ROOFS["slate"], light, 0.4), light, 0.6))
        return
    for place in rng.uniform(-9, 9, 4):
        (spot,) = camera.see((place, 0, 44))
        tree(image, light, rng, (spot[0], spot[1]), rng.uniform(0.16, 0.28), 0.6)


def _pave(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    camera: Camera,
    sides: tuple[float, float],
    *,
    cobbles: bool,
) -> np.ndarray:
    across, away = camera.ground()
    left, right = sides
    walk = rng.uniform(0.9, 1.6)
    stain = fractal_noise(rng, camera.height, camera.width, cells=6, octaves=4, gain=0.75, stretch=(3, 1))
    detail = smoothstep(26, 9, away)
    slabs = 1 + (masonry(rng, away / 1.1, across / 0.8, 0.06) - 1) * detail * 0.6
    if cobbles:
        near = smoothstep(16, 5, away)
        size = rng.uniform(0.26, 0.42)
        road = (
            pick(rng, (color(0.5, 0.47, 0.43), color(0.55, 0.46, 0.38)))
            * (1 + (masonry(rng, away / (size * 1.5), across / size, 0.3) * 1.1 - 1) * (0.25 + 0.75 * near))[..., None]
        )
    else:
        road = pick(rng, (color(0.36, 0.36, 0.37), color(0.45, 0.43, 0.4))) * (0.8 + 0.4 * stain[..., None])
    pavement = color(0.62, 0.6, 0.56) * slabs[..., None]
    inner_left, inner_right = left + walk, right - walk
    on_walk = np.maximum(
        smoothstep(inner_left + 0.03, inner_left - 0.03, across),
        smoothstep(inner_right - 0.03, inner_right + 0.03, across),
    )
    albedo = mix(road, pavement, on_walk) * (0.7 + 0.5 * stain[..., None])
    kerb = np.minimum(np.abs(across - inner_left), np.abs(across - inner_right))
    albedo = albedo * (1 - 0.55 * smoothstep(0.16, 0.02, kerb))[..., None]
    contact = np.minimum(across - left, right - across)
    ground = shade(
        albedo * (0.55 + 0.45 * smoothstep(0, 0.9, contact))[..., None],
        light,
        _street_shadow(light, rng, camera, sides, across, away),
    )
    sheen = smoothstep(8, 45, away) * 0.35
    ground = fade(mix(ground, light.horizon, sheen * 0.6), light, np.clip(away / 70, 0, 1))
    y, _ = grid(camera.height, camera.width)
    return mix(image, ground, smoothstep(camera.y - 0.002, camera.y + 0.002, y))


def _street_shadow(
    light: Light,
    rng: np.random.Generator,
    camera: Camera,
    sides: tuple[float, float],
    across: np.ndarray,
    away: np.ndarray,
) -> np.ndarray:
    left, right = sides
    reach = (right - left) * np.clip(0.95 - 0.75 * light.elevation, 0.25, 0.75)
    steps = rng.uniform(-0.9, 0.9, 40)
    reach = reach + steps[np.clip(away / 4.5, 0, 39).astype(int)]
    from_wall = right - across if light.side > 0 else across - left
    return smoothstep(-0.25, 0.25, from_wall - reach) * 0.95 + 0.03


def _row_of_houses(
    image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, side: float, *, awnings: bool
) -> None:
    edges = [rng.uniform(1.2, 2.0)]
    while edges[-1] < 38:
        edges.append(edges[-1] + rng.uniform(3.2, 6.5) * (1 if edges[-1] < 20 else 1.6))
    facing = float(np.clip(0.12 + 0.8 * light.side * -np.sign(side), 0.04, 0.9))
    mood, spread = rng.integers(0, len(WALLS), 4), rng.uniform(0.04, 0.16)
    for near, far in reversed(list(zip(edges[:-1], edges[1:], strict=True))):
        floors = int(rng.integers(2, 5))
        top = floors * rng.uniform(2.7, 3.2) + 0.5
        tint = pick(rng, tuple(WALLS[i] for i in mood), spread)
        bays = max(round((far - near) / 1.9), 1)
        rows = int(np.clip(camera.zoom * min(image.shape[:2]) * top / near * 0.45, 45, 190))
        columns = int(np.clip(rows * (far - near) / top, 24, 150))
        shop = awnings or rng.random() < 0.45
        texture = facade(light, rng, rows, columns, floors=floors, bays=bays, tint=tint, facing=facing, shop=shop)
        texture = fade(texture if side < 0 else texture[:, ::-1], light, min((near + far) / 100, 0.8))
        ends = (near, far) if side < 0 else (far, near)
        _gable_end(image, light, rng, camera, (side, near, far, top), tint)
        paste_quad(image, np.ascontiguousarray(texture), camera.see(
            (side, top, ends[0]), (side, top, ends[1]), (side, 0, ends[1]), (side, 0, ends[0])))  # fmt: skip
        if shop and (awnings or rng.random() < 0.4):
            _awning(image, light, rng, camera, (side, near + 0.3, far - 0.3), facing)


def _gable_end(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    camera: Camera,
    house: tuple[float, float, float, float],
    tint: np.ndarray,
) -> None:
    side, near, far, top = house
    out, distance = np.sign(side), min(near / 50, 0.8)
    peak = top + rng.uniform(1.2, 3.0)
    edge = shade(tint * 0.75, light, 0.25)
    fill(
        image, camera.see((side, top, far), (side + out * 4, top, far), (side + out * 4, 0, far), (side, 0, far)), edge
    )
    tiles = roof(light, rng, 40, 60, pick(rng, tuple(ROOFS.values())), 0.15 + 0.55 * (out * light.side < 0))
    lip, eaves = side - out * 0.35, top - 0.1
    corners = camera.see(
        (side + out * 3, peak, near), (side + out * 3, peak, far), (lip, eaves, far), (lip, eaves, near)
    )
    paste_quad(image, fade(tiles, light, distance), corners)
    under = fade(shade(tint * 0.35, light, 0.0), light, distance)
    fill(
        image, camera.see((lip, eaves, near), (lip, eaves, far), (side, top - 0.1, far), (side, top - 0.1, near)), under
    )


def _awning(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    camera: Camera,
    shop: tuple[float, float, float],
    facing: float,
) -> None:
    side, near, far = shop
    out, drop = side - np.sign(side) * rng.uniform(0.9, 1.3), rng.uniform(2.0, 2.2)
    stripes = (np.arange(96) // 8 % 2 if rng.random() < 0.6 else np.zeros(96))[None, :, None]
    cloth = pick(rng, (color(0.75, 0.15, 0.12), color(0.12, 0.4, 0.25), color(0.85, 0.6, 0.15), color(0.15, 0.3, 0.6)))
    albedo = (cloth * (1 - stripes) + color(0.92, 0.9, 0.84) * stripes) * np.linspace(0.85, 1.1, 40)[:, None, None]
    texture = fade(shade(albedo.astype(np.float32), light, 0.25 + 0.75 * facing), light, min(near / 60, 0.7))
    wall_shadow = shade(color(0.2, 0.18, 0.17), light, 0.0) * 0.7
    fill(image, camera.see((side, drop, near), (side, drop, far), (side, 1.5, far), (side, 1.5, near)), wall_shadow)
    if light.is_night:
        glow(image, tuple(camera.see((side, 1.6, (near + far) / 2))[0]), 0.35 / near, 0.5)
    corners = camera.see((side, 2.95, near), (side, 2.95, far), (out, drop, far), (out, drop, near))
    paste_quad(image, texture, corners)
    paste_quad(
        image,
        texture[-12:] * 0.7,
        camera.see((out, drop, near), (out, drop, far), (out, drop - 0.22, far), (out, drop - 0.22, near)),
    )


def _furnish(
    image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, sides: tuple[float, float], theme: str
) -> None:
    left, right = sides
    stands: list[tuple[float, float, str]] = []
    crowd = 9 if theme == "with people" else int(rng.integers(0, 4))
    stands += [(rng.uniform(left + 0.6, right - 0.6), rng.uniform(5.5, 20), "figure") for _ in range(crowd)]
    if theme == "with trees":
        rows = [left + 1.1, right - 1.1] if rng.random() < 0.6 else [(left + 1.1, right - 1.1)[rng.integers(2)]]
        stands += [(row, away + rng.uniform(-1, 1), "tree") for row in rows for away in (6.5, 11, 17, 26)]
    if theme == "with street lamps" or light.is_night or rng.random() < 0.3:
        first, row = rng.uniform(4.2, 6.0), (left + 1.0, right - 1.0)[rng.integers(2)]
        stands += [(row, away, "lamp") for away in (first, first * 1.9, first * 3.2, first * 5)]
    for x, away, kind in sorted(stands, key=lambda stand: -stand[1]):
        if kind == "figure":
            _figure(image, light, rng, camera, (x, away))
        elif kind == "lamp":
            _street_lamp(image, light, camera, (x, away))
        else:
            (foot,), size = camera.see((x, 0, away)), camera.zoom * rng.uniform(5.5, 7.0) / away
            tree(image, light, rng, (foot[0], foot[1]), size, min(away / 60, 0.7))


def _upright(camera: Camera, x: float, away: float, outline: list[tuple[float, float]]) -> np.ndarray:
    return camera.see(*[(x + across, up, away) for across, up in outline])


def _figure(
    image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, place: tuple[float, float]
) -> None:
    x, away = place
    tall, wide, stride = rng.uniform(1.6, 1.85), rng.uniform(0.22, 0.3), rng.uniform(0.06, 0.2)
    coat = fade(
        shade(pick(rng, (*PAINTS, color(0.6, 0.2, 0.15), color(0.15, 0.15, 0.17))), light, 0.3), light, away / 70
    )
    legs = fade(shade(color(0.15, 0.15, 0.19), light, 0.2), light, away / 70)
    skin = fade(shade(color(0.7, 0.5, 0.4), light, 0.4), light, away / 70)
    lean = -np.sign(light.side) * (1.6 - light.elevation)
    ground = camera.see(
        (x - 0.2, 0.02, away),
        (x + 0.2, 0.02, away),
        (x + 0.2 + lean, 0.02, away + 0.5),
        (x - 0.1 + lean, 0.02, away + 0.5),
    )
    fill(image, ground, shade(color(0.3, 0.29, 0.28), light, 0.02))
    for foot in (-stride, stride):
        fill(
            image,
            _upright(camera, x, away, [(foot - 0.06, 0), (foot + 0.07, 0), (0.14, tall * 0.5), (-0.14, tall * 0.5)]),
            legs,
        )
    body = [
        (-wide, tall * 0.45),
        (wide, tall * 0.45),
        (wide * 0.9, tall * 0.82),
        (0.1, tall * 0.88),
        (-0.1, tall * 0.88),
        (-wide * 0.9, tall * 0.82),
    ]
    fill(image, _upright(camera, x, away, body), coat)
    bright = wide * (0.2 if light.side > 0 else -0.95)
    fill(
        image,
        _upright(
            camera,
            x,
            away,
            [
                (bright, tall * 0.46),
                (bright + wide * 0.75, tall * 0.46),
                (bright + wide * 0.65, tall * 0.83),
                (bright, tall * 0.83),
            ],
        ),
        coat * 1.45,
    )
    turn = np.linspace(0, 2 * np.pi, 9)
    fill(image, _upright(camera, x, away, [(0.11 * np.cos(a), tall * 0.94 + 0.13 * np.sin(a)) for a in turn]), skin)


def _street_lamp(image: np.ndarray, light: Light, camera: Camera, place: tuple[float, float]) -> None:
    x, away = place
    iron = fade(shade(color(0.16, 0.17, 0.18), light, 0.3), light, away / 70)
    fill(image, _upright(camera, x, away, [(-0.06, 0), (0.06, 0), (0.04, 3.6), (-0.04, 3.6)]), iron)
    fill(image, _upright(camera, x, away, [(-0.13, 0), (0.13, 0), (0.09, 0.7), (-0.09, 0.7)]), iron)
    glass = np.array([3.0, 2.0, 0.9], np.float32) if light.is_night else 0.6 * light.horizon + 0.1
    fill(image, _upright(camera, x, away, [(-0.12, 3.6), (0.12, 3.6), (0.24, 4.15), (-0.24, 4.15)]), glass)
    fill(image, _upright(camera, x, away, [(-0.3, 4.15), (0.3, 4.15), (0.0, 4.5)]), iron)
    if light.is_night:
        spot = camera.see((x, 3.9, away), (x, 0.0, away))
        glow(image, tuple(spot[0]), 0.9 / away, 1.0)
        glow(image, tuple(spot[1]), 1.6 / away, 0.25)
