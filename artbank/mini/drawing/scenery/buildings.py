"""Facades, roofs, trees and lamps: what towns are put together from.

Shape legend: H, W canvas height and width in px; h, w the same of a texture; images float32 [H, W, 3] linear light.
A painter named after a thing paints it into `image` in place; places are (x, y) in 0..1 of width and height.
"""

from __future__ import annotations

import cv2
import numpy as np

from artbank.mini.drawing.scenery.lighting import Light, shade
from artbank.mini.drawing.scenery.textures import color, fractal_noise, grid, mix, polygon, smoothstep

WALLS = (
    color(0.86, 0.78, 0.62), color(0.88, 0.62, 0.42), color(0.72, 0.34, 0.26), color(0.9, 0.88, 0.84),
    color(0.62, 0.7, 0.76), color(0.84, 0.7, 0.68), color(0.66, 0.58, 0.48), color(0.7, 0.74, 0.58),
    color(0.9, 0.76, 0.42), color(0.52, 0.32, 0.26),
)  # fmt: skip
ROOFS = {"red": color(0.66, 0.27, 0.18), "slate": color(0.32, 0.35, 0.41), "brown": color(0.46, 0.32, 0.24)}
PAINTS = (
    color(0.12, 0.3, 0.22), color(0.16, 0.26, 0.44), color(0.5, 0.12, 0.1), color(0.85, 0.84, 0.8),
    color(0.3, 0.2, 0.13), color(0.35, 0.5, 0.55),
)  # fmt: skip
LAMPLIGHT = np.array([1.5, 0.8, 0.28], np.float32)


def pick(rng: np.random.Generator, colors: tuple[np.ndarray, ...], spread: float = 0.1) -> np.ndarray:
    """Draw one of the colours, varied a little in hue and value."""
    tint = colors[rng.integers(len(colors))] * np.exp(rng.normal(0, spread, 3) * 0.6 + rng.normal(0, spread))
    return np.clip(tint, 0.01, 0.9).astype(np.float32)


def masonry(rng: np.random.Generator, down: np.ndarray, along: np.ndarray, joint: float = 0.12) -> np.ndarray:
    """Lay running courses of stones; `down` and `along` count courses and stones, each [H, W].

    Returns:
        [H, W] factor on an albedo, about 0.5 in the joints to 1.3 on a bright stone.
    """
    row = np.floor(down)
    shifted = along + 0.5 * (row % 2)
    column = np.floor(shifted)
    tones = rng.uniform(0.72, 1.18, (61, 67)).astype(np.float32)
    tone = tones[row.astype(np.int32) % 61, column.astype(np.int32) % 67]
    edge_down, edge_along = down - row, shifted - column
    edge = np.minimum(np.minimum(edge_down, 1 - edge_down), np.minimum(edge_along, 1 - edge_along) * 1.5)
    body = smoothstep(0.0, joint, edge)
    return (tone * (0.55 + 0.45 * body) * (1.1 - 0.2 * edge_down)).astype(np.float32)


def sun_vector(light: Light) -> np.ndarray:
    """Return the unit vector (right, down, toward the viewer) to the sun."""
    vector = np.array([1.1 * light.side, -(0.25 + light.elevation), 0.55], np.float32)
    return vector / np.linalg.norm(vector)


def paste_quad(image: np.ndarray, texture: np.ndarray, corners: np.ndarray, mask: np.ndarray | None = None) -> None:
    """Paste a texture [h, w, 3] onto a quadrilateral seen in perspective.

    Args:
        image: Canvas, painted in place.
        texture: What is pasted, already lit.
        corners: [4, 2] (x, y) of its top left, top right, bottom right and bottom left corner.
        mask: [P, 2] outline that cuts the quadrilateral; the quadrilateral itself when None.
    """
    height, width = image.shape[:2]
    target = np.asarray(corners, np.float32) * (width, height)
    low = np.clip(np.floor(target.min(0)), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(target.max(0)) + 1, 0, (width, height)).astype(int)
    size = high - low
    if size.min() < 1:
        return
    rows, columns = texture.shape[:2]
    source = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, (target - low).astype(np.float32))
    warped = cv2.warpPerspective(texture, matrix, tuple(map(int, size)), borderMode=cv2.BORDER_REPLICATE)
    outline = (np.asarray(corners if mask is None else mask, np.float32) * (width, height) - low) / size
    region = image[low[1] : high[1], low[0] : high[0]]
    region[:] = mix(region, warped, polygon(int(size[1]), int(size[0]), outline))


def fill(image: np.ndarray, points: np.ndarray | list[tuple[float, float]], tint: np.ndarray) -> None:
    """Fill a polygon with one lit colour; for things of a few px only."""
    corners = np.round(np.asarray(points, np.float64) * (image.shape[1], image.shape[0]) * 16).astype(np.int32)
    cv2.fillPoly(image, [corners], tint.tolist(), cv2.LINE_8, shift=4)


def wall(light: Light, rng: np.random.Generator, h: int, w: int, tint: np.ndarray, facing: float) -> np.ndarray:
    """Paint a lit wall [h, w, 3] of brick or of stained plaster, darker at its foot and below the eaves."""
    y, _ = grid(h, w)
    stains = fractal_noise(rng, h, w, cells=3, octaves=4, gain=0.7, stretch=(0.6, 1.2))
    factor = 0.72 + 0.5 * stains
    if rng.random() < 0.35:
        rows = rng.uniform(16, 26)
        down, along = np.mgrid[0:h, 0:w].astype(np.float32) * (rows / h)
        factor = factor * masonry(rng, down, along * 0.45, 0.16)
    factor = factor * (0.75 + 0.25 * smoothstep(1.0, 0.8, y)) * (0.6 + 0.4 * smoothstep(0.0, 0.07, y))
    return shade(tint * factor[..., None], light, facing * (0.85 + 0.3 * stains))


def facade(
    light: Light,
    rng: np.random.Generator,
    h: int,
    w: int,
    *,
    floors: int,
    bays: int,
    tint: np.ndarray,
    facing: float,
    shop: bool = False,
    door: bool = True,
) -> np.ndarray:
    """Paint a lit house front with windows, and a shop front or a door on the ground floor.

    Args:
        light: The scene's light; windows are lit at night.
        rng: Source of all that varies.
        h: Rows, px.
        w: Columns, px.
        floors: Rows of windows, the ground floor included.
        bays: Windows in a row.
        tint: Albedo of the wall.
        facing: 0 in shadow to 1 toward the sun.
        shop: Give the ground floor one wide window.
        door: Give the ground floor a door.

    Returns:
        [h, w, 3] linear light.
    """
    image = wall(light, rng, h, w, tint, facing)
    frame, shutters = pick(rng, PAINTS[3:]), pick(rng, PAINTS) if rng.random() < 0.45 else None
    tall, wide, arrival = rng.uniform(0.5, 0.66), rng.uniform(0.36, 0.5), int(rng.integers(bays))
    for floor in range(floors):
        top, bottom = (floor + 0.5 - tall / 2) / floors, (floor + 0.5 + tall / 2) / floors
        ground = floor == floors - 1
        if ground and shop:
            _shop_front(image, light, rng, floors, facing)
            continue
        for bay in range(bays):
            middle, half = (bay + 0.5) / bays, wide / bays / 2
            if ground and door and bay == arrival:
                _door(image, light, rng, (middle - half, middle + half, 1 - 0.82 / floors), facing)
                continue
            window(image, light, rng, (middle - half, middle + half, top, bottom), (frame, shutters), facing)
        if floors > 1 and not ground:
            line = round((floor + 1) / floors * h)
            image[max(line - max(h // 90, 1), 0) : line] *= 1.2
            image[line : line + max(h // 90, 1)] *= 0.7
    return image


def _pane(light: Light, rng: np.random.Generator, facing: float) -> np.ndarray:
    if light.is_night and rng.random() < 0.5:
        return LAMPLIGHT * rng.uniform(0.35, 0.9)
    mirror = rng.uniform(0.06, 0.35) + 0.2 * facing * (rng.random() < 0.3)
    return (color(0.12, 0.13, 0.15) * light.ambient + mirror * 0.8 * light.horizon).astype(np.float32)


def _box(image: np.ndarray, left: float, right: float, top: float, bottom: float, tint: np.ndarray) -> None:
    h, w = image.shape[:2]
    corners = (round(left * w), round(top * h)), (round(right * w), round(bottom * h))
    cv2.rectangle(image, *corners, np.asarray(tint, np.float32).tolist(), -1)


def window(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    box: tuple[float, float, float, float],
    paints: tuple[np.ndarray, np.ndarray | None],
    facing: float,
) -> None:
    """Paint a window with frame, sill and perhaps shutters; `box` is left, right, top, bottom, 0..1."""
    left, right, top, bottom = box
    frame, shutters = paints
    wide, tall, pane = right - left, bottom - top, _pane(light, rng, facing)
    if shutters is not None:
        for outer, inner in ((left - wide * 0.42, left), (right, right + wide * 0.42)):
            _box(image, outer, inner, top, bottom, shade(shutters, light, facing * 0.8))
            _box(image, outer, inner, bottom - tall * 0.06, bottom, shade(shutters, light, 0.0) * 0.7)
    _box(
        image,
        left - wide * 0.1,
        right + wide * 0.1,
        top - tall * 0.06,
        bottom + tall * 0.04,
        shade(frame, light, facing),
    )
    _box(image, left, right, top, bottom, pane * 0.55)
    _box(image, left, right, top + tall * 0.12, bottom, pane)
    _box(image, left, right, top + tall * 0.6, bottom, pane * 0.72)
    bar = 0.055 * wide
    _box(image, (left + right) / 2 - bar, (left + right) / 2 + bar, top, bottom, shade(frame, light, facing * 0.8))
    _box(image, left, right, top + tall * 0.36, top + tall * 0.41, shade(frame, light, facing * 0.8))
    sill = bottom + tall * 0.04
    _box(image, left - wide * 0.16, right + wide * 0.16, sill, sill + tall * 0.05, shade(frame, light, facing) * 1.1)
    _box(
        image,
        left - wide * 0.1,
        right + wide * 0.16,
        sill + tall * 0.07,
        sill + tall * 0.14,
        shade(frame, light, 0) * 0.4,
    )


def _door(
    image: np.ndarray, light: Light, rng: np.random.Generator, box: tuple[float, float, float], facing: float
) -> None:
    left, right, top = box
    paint, wide, tall = pick(rng, PAINTS), right - left, 1 - top
    _box(
        image,
        left - wide * 0.16,
        right + wide * 0.16,
        top - tall * 0.07,
        1,
        shade(color(0.8, 0.77, 0.7), light, facing),
    )
    _box(image, left, right, top, 1, shade(paint, light, facing * 0.3))
    _box(image, left + wide * 0.08, right, top + tall * 0.06, 1, shade(paint, light, facing * 0.9))
    for low, high in ((0.12, 0.42), (0.52, 0.9)):
        panel = shade(paint, light, facing) * 0.6 if low > 0.5 else _pane(light, rng, facing)
        _box(image, left + wide * 0.25, right - wide * 0.2, top + tall * low, top + tall * high, panel)


def _shop_front(image: np.ndarray, light: Light, rng: np.random.Generator, floors: int, facing: float) -> None:
    paint, top, tall = pick(rng, PAINTS), 1 - 0.95 / floors, 0.95 / floors
    _box(image, 0.03, 0.97, top, 1, shade(paint, light, facing * 0.9))
    _box(image, 0.03, 0.97, top + tall * 0.2, top + tall * 0.25, shade(paint, light, 0.0) * 0.4)
    for left, right, foot in ((0.08, 0.36, 0.8), (0.41, 0.59, 0.98), (0.64, 0.92, 0.8)):
        glass = LAMPLIGHT * rng.uniform(0.5, 1.1) if light.is_night else _pane(light, rng, facing)
        _box(image, left, right, top + tall * 0.27, top + tall * foot, glass * 0.7)
        _box(image, left, right, top + tall * 0.45, top + tall * foot, glass)
        for _ in range(4):
            goods = rng.uniform(left, right - 0.05)
            size = rng.uniform(0.08, 0.25) * tall
            tint = shade(pick(rng, WALLS), light, 0.1) * 0.6
            _box(image, goods, goods + 0.05, top + tall * foot - size, top + tall * foot, tint)


def roof(light: Light, rng: np.random.Generator, h: int, w: int, tint: np.ndarray, facing: float) -> np.ndarray:
    """Paint a lit tiled roof [h, w, 3] with moss and rows that catch the light."""
    rows = rng.uniform(9, 15)
    y, x = grid(h, w)
    tiles = masonry(rng, y * rows, x * rows * 1.6 * w / h, 0.22)
    moss = fractal_noise(rng, h, w, cells=3, octaves=3)
    albedo = mix(tint * (0.75 + 0.5 * moss[..., None]), color(0.3, 0.34, 0.18), 0.5 * smoothstep(0.7, 1.0, moss))
    return shade(albedo * tiles[..., None], light, facing)


def glow(image: np.ndarray, place: tuple[float, float], radius: float, strength: float = 1.0) -> None:
    """Add lamplight around a place; `radius` in 0..1 of the shorter side."""
    height, width = image.shape[:2]
    reach = radius * min(height, width)
    x, y = place[0] * width, place[1] * height
    top, bottom = int(max(y - 3 * reach, 0)), int(min(y + 3 * reach + 1, height))
    left, right = int(max(x - 3 * reach, 0)), int(min(x + 3 * reach + 1, width))
    if top >= bottom or left >= right:
        return
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    fall = np.exp(-np.hypot(columns - x, rows - y) / reach * 1.6) - np.exp(-4.8)
    image[top:bottom, left:right] += np.clip(fall, 0, 1)[..., None] * LAMPLIGHT * strength
