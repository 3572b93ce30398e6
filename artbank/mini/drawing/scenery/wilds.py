"""Open country to draw landscapes with: terrain in perspective, foliage, conifers, trunks and grass.

Shape legend: H, W canvas height and width in px; M side of a world map, S slices of depth, N clumps, trees or blades,
P points; images float32 [H, W, 3] linear light, fields float32 [H, W], world maps float32 [M, M] of depth by breadth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artbank.mini.drawing.scenery.lighting import Light, fade, shade
from artbank.mini.drawing.scenery.textures import color, fractal_noise, grid, mix, smoothstep

SLICES = 260
SKY = 9.0


@dataclass(frozen=True)
class View:
    """A camera over the world, whose depth runs from 0 at the eye to 1.

    Attributes:
        horizon: Place of the horizon, 0..1 from the top.
        eye: Height of the eye in units of the world's depth.
        span: Breadth of the view at depth 1, in units of the world's breadth of 2.
        near: Nearest depth drawn.
    """

    horizon: float
    eye: float = 0.05
    span: float = 1.4
    near: float = 0.04


def choose(rng: np.random.Generator, *options: str) -> str:
    """Draw one of the phrases."""
    return options[rng.integers(len(options))]


def choose_color(rng: np.random.Generator, *options: tuple[float, float, float]) -> np.ndarray:
    """Draw one of the sRGB colours, a little varied, as linear light [3]."""
    return color(*options[rng.integers(len(options))]) * np.exp(rng.normal(0, 0.04, 3)).astype(np.float32)


def contour(rng: np.random.Generator, width: int, cells: float, octaves: int = 4, gain: float = 0.5) -> np.ndarray:
    """Draw a rough profile [W], 0..1, with about `cells` swings across the picture."""
    return fractal_noise(rng, 1, width, cells=cells / width, octaves=octaves, gain=gain)[0]


def march(heights: np.ndarray, view: View, height: int, width: int) -> np.ndarray:
    """Find how far each pixel's ray runs to the terrain: depth [H, W], near..1, or `SKY`."""
    depths = view.near * (1 / view.near) ** np.linspace(0, 1, SLICES, dtype=np.float32)
    rise = drape(heights, np.repeat(depths[:, None], width, 1), view)
    rows = view.horizon * height + (view.eye - rise) / depths[:, None] * height  # [S, W]
    top = np.minimum.accumulate(rows, axis=0)
    slots = np.clip(np.ceil(top), 0, height).astype(np.int64) * width + np.arange(width)
    counts = np.bincount(slots.ravel(), minlength=(height + 1) * width).reshape(height + 1, width)[1:]
    first = np.cumsum(counts[::-1], axis=0)[::-1]  # slices still below each pixel
    after = np.minimum(first, SLICES - 1)
    before = np.maximum(after - 1, 0)
    low, high = np.take_along_axis(top, before, 0), np.take_along_axis(top, after, 0)
    part = np.clip((low - np.arange(height)[:, None]) / np.maximum(low - high, 1e-3), 0, 1)
    depth = view.near * (1 / view.near) ** ((before + part) / (SLICES - 1))
    return np.where(first >= SLICES, SKY, depth).astype(np.float32)


def plane(view: View, height: int, width: int) -> np.ndarray:
    """Return the depth of level ground or water under each pixel [H, W]; 1 above the horizon."""
    y, _ = grid(height, width)
    return np.clip(view.eye / np.maximum(y - view.horizon, 1e-4), 0, 1).astype(np.float32)


def drape(field: np.ndarray, depth: np.ndarray, view: View, tiles: float = 1.0) -> np.ndarray:
    """Sample a world map where each pixel's ray ends; more `tiles` repeat it finer, mirrored at its edges."""
    size = field.shape[0]
    across = (np.arange(depth.shape[1], dtype=np.float32) + 0.5) / depth.shape[1] - 0.5
    u = (across * view.span * depth * 0.5 * tiles + 0.5) * (size - 1)
    v = np.minimum(depth, 1) * tiles * (size - 1)
    return cv2.remap(field, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)


def relief(heights: np.ndarray, light: Light, steepness: float = 1.0, toward: float = 0.3) -> np.ndarray:
    """Return how much each place of a terrain faces the sun, 0..1 [M, M]; `toward` is how far it stands behind us."""
    size = heights.shape[0]
    down, right = np.gradient(heights * size * steepness)
    side = np.copysign(max(abs(light.side), 0.55), light.side) * 0.9
    lift = 0.25 + 0.55 * light.elevation
    facing = -right * side * 0.5 + lift + down * toward
    return np.clip(facing / np.sqrt(1 + right**2 + down**2) / np.hypot(side, lift), 0, 1).astype(np.float32)


def splat(image: np.ndarray, x: np.ndarray, y: np.ndarray, colors: np.ndarray, size: int = 2) -> None:
    """Set small squares of `size` px at points (x, y) px, each [P], to `colors` [P, 3]; later points cover earlier."""
    height, width = image.shape[:2]
    columns, rows = x.astype(np.int64), y.astype(np.int64)
    for step in range(size * size):
        right, down = columns + step % size, rows + step // size
        seen = (right >= 0) & (right < width) & (down >= 0) & (down < height)
        image[down[seen], right[seen]] = colors[seen]


def paint_foliage(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    clumps: np.ndarray,
    albedo: np.ndarray,
    *,
    leaf: int = 2,
    distance: float = 0.0,
    density: float = 1.6,
) -> None:
    """Paint rounded clumps of leaves, each lit as a ball, in place.

    Args:
        image: [H, W, 3] canvas.
        light: The scene's light.
        rng: Source of the leaves.
        clumps: [N, 3] of x, y and radius, px; later ones stand in front.
        albedo: [3] or [N, 3] colour of the leaves.
        leaf: Side of a leaf, px.
        distance: For `fade`, 0 near to 1 far.
        density: Leaves per leaf area.
    """
    counts = np.clip(density * 3 * (clumps[:, 2] / leaf) ** 2, 6, 900).astype(np.int64)
    which = np.repeat(np.arange(len(clumps)), counts)
    tint = np.exp(rng.normal(0, 0.14, (len(clumps), 3)) + rng.normal(0, 0.16, (len(clumps), 1))) * albedo
    front, angle = rng.uniform(0, 1, len(which)), rng.uniform(0, 2 * np.pi, len(which))
    out = np.sqrt(1 - front**2)
    right, down = out * np.cos(angle), out * np.sin(angle)
    reach = clumps[which, 2] * rng.uniform(0.6, 1.15, len(which))
    sun = np.array([0.9 * light.side, -(0.4 + 0.6 * light.elevation), 0.4])
    facing = np.clip((np.stack([right, down, front], -1) @ sun) / np.linalg.norm(sun), 0, 1) ** 1.2
    shades = light.ambient * (0.75 - 0.5 * down)[:, None] + light.sun * (1.2 * facing)[:, None]
    colors = tint[which] * shades * np.exp(rng.normal(0, 0.28, (len(which), 1)))
    colors = fade(colors[None].astype(np.float32), light, distance)[0]
    splat(image, clumps[which, 0] + right * reach, clumps[which, 1] + down * reach * 0.85, colors, leaf)


def paint_tree(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    foot: tuple[float, float],
    tall: float,
    albedo: np.ndarray,
    distance: float = 0.0,
) -> None:
    """Paint one broad-leaved tree that stands at `foot` (x, y) px and is `tall` px high, in place."""
    x, y = foot
    wood = fade(np.broadcast_to(light.ambient * 0.08 + light.sun * 0.03, (1, 1, 3)), light, distance)[0, 0].tolist()
    for lean in rng.normal(0, 0.2, 4):
        tip = (round(x + lean * tall), round(y - tall * 0.7))
        cv2.line(image, (round(x), round(y - tall * 0.25)), tip, wood, max(1, round(tall * 0.018)))
    cv2.line(image, (round(x), round(y)), (round(x), round(y - tall * 0.4)), wood, max(1, round(tall * 0.055)))
    number = int(rng.integers(26, 46))
    angle, reach = rng.uniform(0, 2 * np.pi, number), np.sqrt(rng.uniform(0, 1, number))
    place_x = x + np.cos(angle) * reach * tall * rng.uniform(0.26, 0.42)
    place_y = y - tall * 0.64 + np.sin(angle) * reach * tall * 0.3
    clumps = np.stack([place_x, place_y, tall * rng.uniform(0.06, 0.13, number)], -1)
    paint_foliage(image, light, rng, clumps[np.argsort(-reach)], albedo, distance=distance)


def paint_wood(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    line: np.ndarray,
    size: float,
    albedo: np.ndarray,
    distance: float = 0.0,
) -> None:
    """Paint a far edge of broad-leaved wood in place: crowns about `size` px high along `line` [W], px from the top."""
    number = int(len(line) / size * 10)
    x = rng.uniform(-size, len(line) + size, number)
    swell = 0.6 + 0.7 * contour(rng, len(line), len(line) / max(size * 2.5, 3), 3)
    column = np.clip(x, 0, len(line) - 1).astype(np.int64)
    up = 0.8 * rng.uniform(0, 1, number) ** 1.3
    clumps = np.stack([x, line[column] - up * size * swell[column], size * rng.uniform(0.18, 0.36, number)], -1)
    tints = albedo * np.exp(rng.normal(0, 0.15, (number, 3)))
    paint_foliage(image, light, rng, clumps[np.argsort(-up)], tints, distance=distance)


def paint_conifers(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    feet: np.ndarray,
    tall: np.ndarray,
    albedo: np.ndarray,
    distance: float = 0.0,
) -> None:
    """Paint conifers in place: `feet` [N, 2] of x and y px, `tall` [N] px; needles hang in tiers, lit on one side."""
    counts = np.clip(tall**2 * 0.32, 12, 2500).astype(np.int64)
    which = np.repeat(np.arange(len(feet)), counts)
    high = 1 - np.sqrt(rng.uniform(0, 1, len(which)))  # 0 at the foot, 1 at the tip
    tiers = rng.uniform(6, 10, len(feet))[which]
    across = rng.uniform(-1, 1, len(which)) * rng.uniform(0.7, 1.1, len(which))
    tier = (high * tiers + 0.35 * np.sin(across * 7 + which)) % 1
    half = rng.uniform(0.16, 0.24, len(feet))[which] * tall[which] * (1.04 - high) * (1.25 - 0.8 * tier)
    facing = np.clip(0.35 + across * light.side * 0.8 + 0.4 * (tier - 0.5), 0, 1) * rng.uniform(0.3, 1, len(which))
    shades = light.ambient * (0.3 + 0.8 * tier)[:, None] + light.sun * facing[:, None]
    tints = (albedo * np.exp(rng.normal(0, 0.2, (len(feet), 1))))[which]
    colors = fade((tints * shades)[None].astype(np.float32), light, distance)[0]
    x = feet[which, 0] + across * half
    y = feet[which, 1] - high * tall[which] * 0.97 + np.abs(across) * half * 0.45
    splat(image, x, y, colors, 2)


def paint_trunk(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    bark: np.ndarray,
    place: tuple[float, float, float],
    albedo: np.ndarray,
    distance: float,
) -> None:
    """Paint a round trunk in place from the top edge down; `place` is x, foot and half width in px, `bark` [H, W]."""
    height, width = image.shape[:2]
    x, foot, half = place
    y = np.arange(min(height, round(foot)), dtype=np.float32)[:, None]
    bend = half * (0.5 * np.sin(y / height * rng.uniform(2, 5) + rng.uniform(0, 6)) + rng.normal(0, 1.2) * y / height)
    flare = half * (0.7 + 0.3 * y / foot + 0.7 * np.exp(-(foot - y) / (half * 1.2)))
    start, stop = (int(np.clip(x + side * half * 7, 0, width)) for side in (-1, 1))
    if stop <= start or not len(y):
        return
    across = (np.arange(start, stop, dtype=np.float32)[None] - x - bend) / flare
    facing = np.clip(0.5 + across * light.side * 1.1, 0, 1.2) * np.sqrt(np.clip(1 - across**2, 0.05, 1))
    grain = np.roll(bark, int(rng.integers(width)), 1)[: len(y), start:stop]
    skin = shade(albedo * (0.5 + grain)[..., None], light, facing * (0.5 + 0.5 * grain))
    mask = smoothstep(1.0, 0.9, np.abs(across))
    patch = image[: len(y), start:stop]
    image[: len(y), start:stop] = mix(patch, fade(skin, light, distance), mask)


def paint_grass(
    image: np.ndarray,
    light: Light,
    rng: np.random.Generator,
    roots: np.ndarray,
    length: np.ndarray,
    albedo: np.ndarray,
    *,
    bend: float = 0.4,
    size: int = 2,
) -> None:
    """Paint bent blades in place, lighter to their tips: `roots` [N, 2] px, `length` [N] px, `albedo` [3] or [N, 3]."""
    if not len(roots):  # a forest may have bare ground
        return
    order = np.argsort(roots[:, 1])
    roots, length = roots[order], length[order]
    albedo = np.broadcast_to(albedo, (len(roots), 3))[order]
    steps = int(np.clip(np.percentile(length, 90) / size * 0.9, 3, 60))
    along = np.linspace(0, 1, steps)[None]
    sway = (rng.normal(0, bend, len(roots)) + 0.15)[:, None]
    x = roots[:, :1] + sway * along**2 * length[:, None]
    y = roots[:, 1:] - along * (1 - 0.3 * np.abs(sway) * along) * length[:, None]
    tone = np.exp(rng.normal(0, 0.3, (len(roots), 1)))
    lit = light.ambient * (0.35 + 0.65 * along)[..., None] + light.sun * (0.9 * along**1.5 * tone)[..., None]
    colors = (albedo * tone)[:, None] * lit
    splat(image, x.ravel(), y.ravel(), colors.reshape(-1, 3).astype(np.float32), size)
