"""Flowers: bouquets in a vase, and blossoms in close view.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light, fields float32 [H, W]. Lengths
are in shorter sides of the canvas, with the origin in its middle (see `solids`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artbank.mini.drawing.scenery.backdrops import draw_garden, draw_room
from artbank.mini.drawing.scenery.lighting import Light
from artbank.mini.drawing.scenery.solids import Stage, revolve
from artbank.mini.drawing.scenery.textures import blur, color, ellipse, fractal_noise, mix, smoothstep

LEAVES = (color(0.2, 0.38, 0.16), color(0.32, 0.46, 0.2), color(0.25, 0.4, 0.3), color(0.42, 0.5, 0.22))
TONES = (color(0.86, 0.14, 0.2), color(0.95, 0.55, 0.66), color(0.97, 0.95, 0.88), color(0.96, 0.78, 0.2),
         color(0.93, 0.48, 0.16), color(0.56, 0.32, 0.7), color(0.36, 0.42, 0.82), color(0.78, 0.2, 0.5))  # fmt: skip
VASES = (color(0.8, 0.82, 0.84), color(0.24, 0.36, 0.56), color(0.62, 0.36, 0.24), color(0.3, 0.44, 0.38),
         color(0.15, 0.14, 0.16))  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """How one kind of blossom is built: rings of petals round a heart.

    Attributes:
        petals: Petals in a ring.
        rings: Number of rings.
        point: Power of a petal's outline; low is pointed and slender, high is broad and round.
        heart: Radius of the heart, as a share of the blossom's; 0 when the petals close over it.
        core: Colour of the heart.
        tones: Places in `TONES` its petals may have.
    """

    petals: int
    rings: int
    point: float
    heart: float
    core: np.ndarray
    tones: tuple[int, ...]


KINDS = {
    "roses": Kind(5, 7, 3.0, 0.0, color(0.4, 0.1, 0.1), (0, 1, 2, 3, 4, 7)),
    "daisies": Kind(17, 2, 2.2, 0.26, color(0.93, 0.7, 0.12), (2, 1, 5)),
    "poppies": Kind(4, 2, 4.0, 0.2, color(0.1, 0.09, 0.08), (0, 4, 1)),
    "sunflowers": Kind(19, 3, 1.4, 0.4, color(0.26, 0.15, 0.06), (3,)),
    "dahlias": Kind(13, 7, 1.8, 0.05, color(0.7, 0.5, 0.1), (0, 1, 5, 7, 4, 2)),
    "anemones": Kind(7, 2, 3.0, 0.2, color(0.09, 0.07, 0.14), (6, 5, 7, 2)),
}


def draw_flowers(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw a bouquet in a vase or blossoms in close view; kind, colours, number, size and background vary."""
    stage, name = Stage(light, height, width), list(KINDS)[rng.integers(len(KINDS))]
    if rng.random() < 0.55:
        return _draw_bouquet(stage, rng, name), f"with {name} in a vase"
    return _draw_close(stage, rng, name), f"with {name} in a garden"


def _draw_bouquet(stage: Stage, rng: np.random.Generator, name: str) -> np.ndarray:
    floor, scale, x = rng.uniform(0.74, 0.86), rng.uniform(0.85, 1.1), rng.uniform(-0.1, 0.1)
    back = draw_room(stage.light, rng, *stage.size, floor)
    tall, base = 0.4 * scale, stage.bottom * rng.uniform(0.78, 0.9)
    middle = base - tall - rng.uniform(0.1, 0.16) * scale
    reach = rng.uniform(0.26, 0.33) * scale
    for _ in range(22):
        angle, far = rng.uniform(-np.pi, np.pi), reach * rng.uniform(0.9, 1.3)
        place = (x + 0.62 * far * np.cos(angle), middle + 0.62 * far * np.sin(angle))
        put_leaf(stage, rng, place, rng.uniform(0.09, 0.16) * scale, float(np.degrees(angle)), rng.uniform(-0.2, -0.05))
    _put_vase(stage, rng, x, base, tall)
    radius = rng.uniform(0.075, 0.13) * scale
    _fill_dome(stage, rng, name, (x, middle), reach, radius)
    shadow = ellipse(*stage.size, (0.5 + (x - 0.16 * np.sign(stage.light.side)) / 2 / stage.right,
                                   0.5 + base / 2 / stage.bottom), (0.26 * scale, 0.05 * scale))  # fmt: skip
    back *= 1 - 0.6 * blur(shadow, 0.02 * stage.short)[..., None]
    return mix(back, stage.lit(), stage.cover)


def _fill_dome(
    stage: Stage, rng: np.random.Generator, name: str, middle: tuple[float, float], reach: float, radius: float
) -> None:
    tones, places = rng.choice(KINDS[name].tones, 3), []
    for _ in range(160):
        far, angle = np.sqrt(rng.random()), rng.uniform(-np.pi, np.pi)
        spot = np.array([far * np.cos(angle) * reach, far * np.sin(angle) * reach * 0.92])
        if all(np.hypot(*(spot - other)) > 1.25 * radius for other in places):
            places.append(spot)
    for spot in sorted(places, key=lambda spot: -np.hypot(*spot)):
        far = float(np.hypot(*spot)) / reach
        place = (middle[0] + float(spot[0]), middle[1] + float(spot[1]))
        if rng.random() < 0.5:
            put_leaf(stage, rng, (place[0], place[1] + radius * 0.9), radius, rng.uniform(0, 360), 0.15 * (1 - far))
        lean = (0.55 * far, float(np.arctan2(spot[1], spot[0])))
        put_blossom(
            stage, rng, name, place, radius * rng.uniform(0.8, 1.2), 0.3 * (1 - far**2), lean, int(rng.choice(tones))
        )


def _put_vase(stage: Stage, rng: np.random.Generator, x: float, base: float, tall: float) -> None:
    waist, belly = rng.uniform(0.15, 0.3), rng.uniform(0.26, 0.42)
    profile = [(0, 0.2 * tall), (0.1, waist * tall), (0.45, belly * tall), (0.85, 0.2 * tall), (1, 0.28 * tall)]
    body = revolve(stage, profile, x, base, tall, 0.18)
    mottle = fractal_noise(rng, *stage.size, cells=7, octaves=5, gain=0.65)
    albedo = VASES[rng.integers(len(VASES))] * (0.7 + 0.5 * mottle)[..., None]
    if rng.random() < 0.4:
        bands = smoothstep(0.4, 0.7, np.sin(body.up * rng.uniform(9, 26)))
        albedo = mix(albedo, VASES[rng.integers(len(VASES))], bands)
    stage.put(body.mask, body.depth, albedo, rng.uniform(0.4, 0.9))


def _draw_close(stage: Stage, rng: np.random.Generator, name: str) -> np.ndarray:
    back = draw_garden(stage.light, rng, *stage.size, rng.uniform(0.3, 0.8))
    count, tones = int(rng.integers(1, 6)), rng.choice(KINDS[name].tones, 2)
    radius = 0.4 / np.sqrt(count) * rng.uniform(0.85, 1.15)
    places: list[np.ndarray] = []
    for _ in range(60):
        spot = rng.uniform(-1, 1, 2) * (stage.right * 0.8, stage.bottom * 0.62) - (0, 0.08)
        if len(places) < count and all(np.hypot(*(spot - other)) > 1.4 * radius for other in places):
            places.append(spot)
    for x, y in places:
        _put_stem(stage, rng, x, y, radius)
    for _ in range(14):
        spot = (rng.uniform(-1, 1) * stage.right, stage.bottom * rng.uniform(0.3, 1.05))
        put_leaf(stage, rng, spot, rng.uniform(0.12, 0.22), rng.uniform(-150, -30), rng.uniform(-0.3, -0.1))
    for order, (x, y) in enumerate(sorted(places, key=lambda spot: spot[1])):
        lean = (rng.uniform(0.05, 0.5), rng.uniform(-np.pi, np.pi))
        put_blossom(
            stage, rng, name, (x, y), radius * rng.uniform(0.85, 1.1), 0.1 * order, lean, int(rng.choice(tones))
        )
    return mix(back, stage.lit(), stage.cover)


def _put_stem(stage: Stage, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    bend = x + rng.uniform(-0.25, 0.25) * (stage.y - y) ** 2
    form = 0.02 + 0.03 * radius - np.abs(stage.x - bend)
    mask = stage.edge(form) * (stage.y > y)
    stage.put(mask, -0.15 + form, LEAVES[rng.integers(len(LEAVES))] * 1.1, 0.15)


def put_leaf(
    stage: Stage, rng: np.random.Generator, place: tuple[float, float], length: float, angle: float, level: float
) -> None:
    """Put a leaf pointing along `angle` (degrees clockwise from the right), folded along its midrib."""
    stage = stage.window(*place, 1.1 * length)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x, y = stage.x - place[0], stage.y - place[1]
    along, aside = (x * cosine + y * sine) / length, (y * cosine - x * sine) / length
    aside = aside + rng.uniform(-0.2, 0.2) * along**2
    form = 0.34 * np.clip(1 - along**2, 0, 1) * (1 - 0.3 * along) - np.abs(aside)
    veins = 0.5 + 0.5 * np.sin((along - 1.2 * np.abs(aside)) * 34)
    tone = LEAVES[rng.integers(len(LEAVES))] * rng.uniform(0.7, 1.3)
    albedo = tone * (0.75 + 0.25 * veins + 0.5 * smoothstep(0.03, 0.0, np.abs(aside)))[..., None]
    fold = rng.uniform(0.3, 0.7) * np.abs(aside) - 0.25 * along**2 * rng.uniform(0, 1) + 0.012 * veins
    stage.put(stage.edge(form * length), level + fold * length, albedo, 0.25)


def put_blossom(
    stage: Stage,
    rng: np.random.Generator,
    name: str,
    place: tuple[float, float],
    radius: float,
    level: float,
    lean: tuple[float, float],
    tone: int,
) -> None:
    """Put a blossom ring by ring; `lean` is how far it turns away (0..1) and whereto (radians)."""
    kind, part = KINDS[name], stage.window(*place, 1.25 * radius)
    away, toward = lean
    x, y = part.x - place[0], part.y - place[1]
    along = (x * np.cos(toward) + y * np.sin(toward)) / (1 - 0.55 * away)
    aside = y * np.cos(toward) - x * np.sin(toward)
    crumple = fractal_noise(rng, *part.size, cells=4, octaves=4, gain=0.6)
    far = np.hypot(along, aside) / radius * (1 + 0.16 * (crumple - 0.5))
    turn = np.arctan2(aside, along)
    slope = level - 0.45 * away * (x * np.cos(toward) + y * np.sin(toward))
    skin = TONES[tone] * rng.uniform(0.75, 1.1)
    for ring in range(kind.rings):
        _put_ring(part, rng, kind, ring, skin, far, turn, crumple, slope, radius)
    if kind.heart:
        seeds = fractal_noise(rng, *part.size, cells=14, octaves=2)
        dome = 0.16 * radius * np.sqrt(np.clip(1 - (far / kind.heart) ** 2, 0, 1)) + 0.05 * radius * seeds
        albedo = kind.core * (0.5 + seeds + 0.6 * smoothstep(0.5, 1.0, far / kind.heart))[..., None]
        part.put(part.edge((kind.heart - far) * radius), slope + 0.1 * radius + dome, albedo, 0.1)


def _put_ring(
    part: Stage,
    rng: np.random.Generator,
    kind: Kind,
    ring: int,
    skin: np.ndarray,
    far: np.ndarray,
    turn: np.ndarray,
    crumple: np.ndarray,
    slope: np.ndarray,
    radius: float,
) -> None:
    share = ring / kind.rings
    outer = 1.0 - (0.92 if kind.heart < 0.1 else 0.3) * share
    petals = max(kind.petals - (ring // 2 if kind.rings > 3 else 0), 3)
    spin = (turn / (2 * np.pi) + rng.random()) * petals
    across = 2 * np.abs(spin % 1 - 0.5)
    each = rng.uniform(0.86, 1.06, petals).astype(np.float32)[np.floor(spin).astype(int) % petals]
    outline = outer * each * np.clip(1 - (across * 0.97) ** kind.point, 0, 1) ** 0.5
    inside = np.clip(far / np.maximum(outer * each, 1e-3), 0, 1.2)
    veins = 0.5 + 0.5 * np.cos(across * 22 + 3 * crumple)
    tone = skin * (0.5 + 0.45 * inside + 0.1 * veins * inside + 0.25 * crumple)[..., None] * rng.uniform(0.88, 1.1)
    tone = mix(tone, tone * np.array([1.0, 0.75, 0.7], np.float32), 0.8 * share)
    cup = 0.2 * share + (0.26 if kind.heart < 0.1 else 0.1) * inside**2 * (0.4 + share) - 0.1 * across**2 * inside
    depth = slope + radius * (cup + 0.1 * share * kind.rings / 2 + 0.1 * (crumple - 0.5))
    part.put(part.edge((outline - far) * radius), depth, tone, 0.08)
