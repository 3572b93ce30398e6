"""Portraits, head and shoulders.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light, fields float32 [H, W]. Lengths
are in shorter sides of the canvas, with the origin in its middle (see `solids`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artbank.mini.drawing.scenery.backdrops import draw_garden, draw_room, draw_wall
from artbank.mini.drawing.scenery.lighting import Light
from artbank.mini.drawing.scenery.solids import Stage, bump, combed, ellipsoid, melt
from artbank.mini.drawing.scenery.textures import blur, color, fractal_noise, mix, smoothstep

SKINS = (color(0.92, 0.74, 0.64), color(0.86, 0.65, 0.52), color(0.78, 0.56, 0.42), color(0.64, 0.43, 0.31),
         color(0.47, 0.3, 0.22), color(0.36, 0.23, 0.18))  # fmt: skip
HAIRS = (color(0.12, 0.1, 0.09), color(0.28, 0.18, 0.12), color(0.48, 0.31, 0.18), color(0.78, 0.62, 0.38),
         color(0.6, 0.28, 0.14), color(0.7, 0.69, 0.67))  # fmt: skip
IRISES = (color(0.25, 0.15, 0.1), color(0.3, 0.42, 0.5), color(0.32, 0.36, 0.2))
CLOTHES = (color(0.2, 0.22, 0.28), color(0.6, 0.18, 0.16), color(0.84, 0.82, 0.78), color(0.24, 0.34, 0.26),
           color(0.3, 0.4, 0.58), color(0.5, 0.38, 0.26), color(0.12, 0.12, 0.13), color(0.78, 0.62, 0.28))  # fmt: skip


@dataclass(frozen=True)
class Head:
    """Where a head is and how it is turned.

    Attributes:
        x: Middle of the head.
        y: Middle of the head, between brow and nose.
        wide: Half its width.
        tall: Half its height.
        yaw: Turn to the right of the canvas, radians.
        age: 0 young to 1 old.
    """

    x: float
    y: float
    wide: float
    tall: float
    yaw: float
    age: float

    def at(self, across: float, down: float, out: float = 0.0) -> tuple[float, float]:
        """Return the place of a feature `across` -1..1 and `down` -1..1 on the face, `out` in front of it."""
        front = np.sqrt(max(1 - across**2 - 0.6 * down**2, 0.0)) * 0.9 + out
        return self.x + self.wide * (across * np.cos(self.yaw) + front * np.sin(self.yaw)), self.y + self.tall * down

    def axes(self, across: float, wide: float, tall: float) -> tuple[float, float]:
        """Return the half axes of a feature, foreshortened by the turn of the face there."""
        facing = np.cos(self.yaw + np.arcsin(np.clip(across, -1, 1)) * 0.7)
        return wide * self.wide * max(float(facing), 0.3), tall * self.tall


def draw_portrait(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw head and shoulders; skin, age, turn, face, hair, beard, hat, clothes and backdrop vary."""
    stage, scale = Stage(light, height, width), rng.uniform(0.85, 1.25)
    head = Head(rng.uniform(-0.06, 0.06), rng.uniform(-0.14, -0.04), 0.205 * scale * rng.uniform(0.92, 1.08),
                0.28 * scale * rng.uniform(0.94, 1.06), rng.uniform(-0.6, 0.6), rng.random())  # fmt: skip
    strands = _strands(stage, rng, head, float(rng.choice([0.1, 0.6, 2.5])))
    back = _draw_backdrop(light, rng, height, width)
    style = ("short hair", "long hair", "a beard", "a hat", "a headscarf")[rng.integers(5)]
    skin, hair = SKINS[rng.integers(len(SKINS))], HAIRS[-1 if head.age > 0.75 else rng.integers(len(HAIRS))]
    hair = hair * rng.uniform(0.8, 1.2)
    long = style == "long hair" or (style == "a hat" and rng.random() < 0.4)
    if long:
        _put_long_hair(stage, rng, head, strands, hair)
    _put_shoulders(stage, rng, head, skin, scale)
    _put_face(stage, rng, head, skin, hair)
    if style == "a beard":
        _put_beard(stage, rng, head, strands, hair)
    if style == "a headscarf":
        _put_scarf(stage, rng, head)
    else:
        _put_hair(stage, rng, head, strands, hair, long)
    if style == "a hat":
        _put_hat(stage, rng, head)
    return mix(back, stage.lit(softness=0.22, shadows=0.75), stage.cover), f"of a person with {style}"


def _draw_backdrop(light: Light, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    place = rng.random()
    if place < 0.5:
        return blur(draw_wall(light, rng, height, width), 0.004 * min(height, width))
    return (draw_room if place < 0.75 else draw_garden)(light, rng, height, width, rng.uniform(0.75, 1.1))


def _put_shoulders(stage: Stage, rng: np.random.Generator, head: Head, skin: np.ndarray, scale: float) -> None:
    chin = head.y + 0.95 * head.tall
    girth = 0.54 * head.wide + 0.9 * np.clip(stage.y - chin, 0, 0.2) ** 1.5
    column = np.sqrt(np.clip(girth**2 - (stage.x - head.x) ** 2, 0, None))
    mottle = fractal_noise(rng, *stage.size, cells=8, octaves=4)
    tone = skin * (0.75 + 0.25 * mottle)[..., None]
    stage.put(stage.edge(girth - np.abs(stage.x - head.x)) * (stage.y > head.y), column * 0.8 - 0.14, tone, 0.12)
    wide = 0.43 * scale * rng.uniform(0.9, 1.1)
    trunk = ellipsoid(stage, (head.x - 0.05 * head.yaw, chin + 0.47 * scale), (wide, 0.42 * scale), 0.26 * scale)
    slope = ellipsoid(stage, (head.x, chin + 0.34 * scale), (0.62 * wide, 0.34 * scale), 0.26 * scale)
    form = melt(trunk, slope, 0.1)
    folds = fractal_noise(rng, *stage.size, cells=3, octaves=4, gain=0.45, stretch=(0.7, 1.3), ridged=True)
    weave = fractal_noise(rng, *stage.size, cells=60, octaves=2)
    first, second = (CLOTHES[place] for place in rng.choice(len(CLOTHES), 2, replace=False))
    albedo = first * (0.65 + 0.35 * folds + 0.25 * weave)[..., None]
    aside, below = np.abs(stage.x - head.x), stage.y - chin
    opening = (
        rng.uniform(0.35, 0.75) * head.wide + 0.02 - aside - rng.uniform(0.2, 0.8) * np.clip(below - 0.06, -0.1, 1)
    )
    style = rng.integers(4)
    if style == 1:
        albedo = mix(albedo, second, smoothstep(0.2, 0.5, np.sin(stage.y * 70 + 4 * folds)))
    elif style == 2:
        shirt = stage.edge(opening + 0.09, 2.0)
        albedo = mix(albedo, CLOTHES[2] * (0.7 + 0.3 * folds)[..., None], shirt)
        form = form + 0.025 * smoothstep(0.02, -0.03, opening + 0.06) * smoothstep(0.3, 0.1, below)
    stage.put(stage.edge(form) * (1 - stage.edge(opening)), form - 0.12 + 0.045 * folds, albedo, 0.05)


def _put_face(stage: Stage, rng: np.random.Generator, head: Head, skin: np.ndarray, hair: np.ndarray) -> None:
    wide, tall = head.wide, head.tall
    for side in (-1, 1):
        place = (head.x + side * 0.98 * wide - 0.3 * wide * np.sin(head.yaw), head.y + 0.08 * tall)
        ear = ellipsoid(stage, place, (0.17 * wide, 0.22 * tall), 0.04, 8 * side)
        stage.put(stage.edge(ear), ear - 0.02 - 0.03 * bump(stage, place, (0.1 * wide, 0.13 * tall)), skin * 0.9, 0.15)
    skull = ellipsoid(
        stage, (head.x - 0.1 * wide * np.sin(head.yaw), head.y - 0.16 * tall), (wide, 0.84 * tall), 0.95 * wide
    )
    jaw = ellipsoid(stage, head.at(0, 0.36, -0.5), (rng.uniform(0.62, 0.8) * wide, 0.64 * tall), 0.95 * wide)
    form = melt(skull, jaw, 0.35 * wide) + _features(stage, rng, head)
    pores = fractal_noise(rng, *stage.size, cells=24, octaves=3, gain=0.8)
    blotch = fractal_noise(rng, *stage.size, cells=6, octaves=3)
    albedo = skin * (0.8 + 0.22 * blotch + 0.12 * pores)[..., None]
    flush = sum(bump(stage, head.at(side * 0.48, 0.28), head.axes(side * 0.48, 0.3, 0.17)) for side in (-1, 1))
    flush = flush + bump(stage, head.at(0, 0.24, 0.3), (0.2 * wide, 0.12 * tall))
    albedo = mix(albedo, albedo * np.array([1.0, 0.72, 0.68], np.float32), 0.7 * np.clip(flush, 0, 1))
    stage.put(stage.edge(form, 1.5), form + 0.002 * pores, albedo, 0.16)
    _put_mouth(stage, rng, head, skin)
    for side in (-1, 1):
        _put_eye(stage, rng, head, side, skin, hair)


def _features(stage: Stage, rng: np.random.Generator, head: Head) -> np.ndarray:
    """Return the relief of nose, brows, sockets, cheeks, lips, chin and wrinkles."""
    wide, tall, relief = head.wide, head.tall, np.zeros(stage.size, np.float32)
    nose, flare = rng.uniform(0.8, 1.25), rng.uniform(0.8, 1.35)
    for down, out, broad in ((-0.06, 0.1, 0.09), (0.06, 0.15, 0.1), (0.17, 0.22, 0.12), (0.27, 0.3, 0.16)):
        relief += out * nose * wide * 0.62 * bump(stage, head.at(0, down, out * nose), (broad * wide, 0.1 * tall))
    for side in (-1, 1):
        relief += 0.1 * wide * bump(stage, head.at(side * 0.17, 0.3, 0.1), (0.1 * flare * wide, 0.055 * tall))
        relief -= 0.07 * wide * bump(stage, head.at(side * 0.1, 0.355, 0.22), (0.07 * wide, 0.03 * tall))
        relief -= 0.19 * wide * bump(stage, head.at(side * 0.38, -0.03), head.axes(side * 0.38, 0.24, 0.11))
        relief += 0.09 * wide * bump(stage, head.at(side * 0.4, -0.2), head.axes(side * 0.4, 0.3, 0.07))
        relief += 0.1 * wide * bump(stage, head.at(side * 0.5, 0.2), head.axes(side * 0.5, 0.26, 0.14))
        crease = bump(stage, head.at(side * 0.32, 0.43), (0.05 * wide, 0.16 * tall), -18 * side)
        relief -= (0.02 + 0.06 * head.age) * wide * crease
    relief += 0.09 * wide * bump(stage, head.at(0, 0.6), (0.3 * wide, 0.05 * tall))
    relief -= 0.08 * wide * bump(stage, head.at(0, 0.7), (0.28 * wide, 0.045 * tall))
    relief += 0.12 * wide * bump(stage, head.at(0, 0.84), (0.24 * wide, 0.1 * tall))
    lines = fractal_noise(rng, *stage.size, cells=7, octaves=3, stretch=(3, 0.5), ridged=True)
    return relief - 0.02 * head.age * wide * lines


def _put_mouth(stage: Stage, rng: np.random.Generator, head: Head, skin: np.ndarray) -> None:
    place, half = head.at(0, 0.57, 0.06), rng.uniform(0.28, 0.36) * head.wide * np.cos(head.yaw)
    stage = stage.window(*place, 0.45 * head.wide)
    full, smile = rng.uniform(0.7, 1.2), rng.uniform(-0.02, 0.12)
    x, y = (stage.x - place[0]) / half, (stage.y - place[1]) / head.tall + smile * ((stage.x - place[0]) / half) ** 2
    arch = np.clip(1 - x * x, 0, 1)
    upper = 0.055 * full * arch * (1 - 0.3 * np.exp(-(x**2) * 30)) + np.minimum(y, 0)
    lower = 0.075 * full * arch - np.maximum(y, 0)
    lip = stage.edge(np.minimum(upper, lower) * head.tall, 2.0) * smoothstep(0.0, 0.1, arch)
    tone = skin * np.array([0.85, 0.5, 0.48], np.float32)
    stage.tint(lip * 0.8, tone, 0.3)
    stage.tint(smoothstep(0.016, 0.004, np.abs(y)) * smoothstep(1.1, 0.9, np.abs(x)), tone * 0.22)


def _put_eye(stage: Stage, rng: np.random.Generator, head: Head, side: int, skin: np.ndarray, hair: np.ndarray) -> None:
    place = head.at(side * 0.38, -0.03)
    half, _ = head.axes(side * 0.38, 0.215, 0.1)
    stage = stage.window(place[0], place[1] - 0.05 * head.tall, 0.34 * head.wide)
    x, y = (stage.x - place[0]) / half, (stage.y - place[1]) / head.tall
    arch = np.clip(1 - x * x, 0, 1)
    opening = np.minimum(0.062 * arch + np.minimum(y, 0), 0.045 * arch - np.maximum(y, 0)) * head.tall
    inside = stage.edge(opening - 0.02 * head.tall * (arch == 0))
    stage.tint(inside, color(0.85, 0.83, 0.8) * 0.8, 0.5)
    radius = 0.056 * head.tall
    away = np.hypot(stage.x - place[0] - 0.12 * half * np.sin(head.yaw), stage.y - place[1] + 0.006 * head.tall)
    stage.tint(inside * stage.edge(radius - away), IRISES[int(head.age * 997) % len(IRISES)] * 0.8)
    stage.tint(inside * stage.edge(0.5 * radius - away), color(0.05, 0.04, 0.04))
    glint = np.hypot(
        stage.x - place[0] - 0.3 * radius * np.sign(stage.light.side or 1), stage.y - place[1] + 0.4 * radius
    )
    stage.tint(inside * stage.edge(0.3 * radius - glint), color(1, 1, 1) * 1.5)
    lash = smoothstep(0.022, 0.006, np.abs(y + 0.064 * arch)) * smoothstep(1.15, 0.95, np.abs(x))
    stage.tint(lash * 0.85, skin * 0.12)
    fold = smoothstep(0.02, 0.0, np.abs(y + 0.03 + 0.062 * arch)) * smoothstep(1.1, 0.7, np.abs(x))
    stage.tint(fold * 0.35, skin * 0.35)
    brow = smoothstep(0.034, 0.012, np.abs(y + 0.15 + 0.05 * arch - 0.02 * side * x)) * smoothstep(1.5, 1.0, np.abs(x))
    stage.tint(brow * 0.8, mix(hair, skin * 0.2, 0.4))


def _strands(stage: Stage, rng: np.random.Generator, head: Head, curl: float) -> np.ndarray:
    wave = fractal_noise(rng, *stage.size, cells=5, octaves=3) - 0.5
    down = np.abs(stage.y - head.y + 1.1 * head.tall) + 0.12
    right = (stage.x - head.x) * 2.2 + curl * wave
    grain = rng.standard_normal(stage.size).astype(np.float32)
    grain += 2.4 * (fractal_noise(rng, *stage.size, cells=16, octaves=2) - 0.5)
    return combed(grain, down, right, length=0.16 * stage.short)


def _put_locks(stage: Stage, mask: np.ndarray, depth: np.ndarray, strands: np.ndarray, tone: np.ndarray) -> None:
    albedo = tone * (0.3 + 1.3 * strands)[..., None]
    stage.put(mask, depth + 0.016 * (strands - 0.5), albedo, 0.22)


def _put_long_hair(stage: Stage, rng: np.random.Generator, head: Head, strands: np.ndarray, hair: np.ndarray) -> None:
    length = rng.uniform(0.5, 1.2)
    mass = ellipsoid(
        stage, (head.x, head.y + (length - 0.35) * head.tall), (1.32 * head.wide, (length + 0.85) * head.tall), 0.1
    )
    _put_locks(stage, stage.edge(mass + 0.06 * (strands - 0.5), 2.0), mass - 0.2, strands, hair)


def _put_hair(
    stage: Stage, rng: np.random.Generator, head: Head, strands: np.ndarray, hair: np.ndarray, long: bool
) -> None:
    volume = rng.uniform(1.06, 1.3)
    back = head.x - 0.16 * head.wide * np.sin(head.yaw)
    cap = ellipsoid(
        stage, (back, head.y - 0.2 * head.tall), (volume * head.wide, volume * 0.86 * head.tall), 1.05 * head.wide
    )
    line = rng.uniform(0.5, 0.72)
    face = ellipsoid(
        stage, (head.at(0, 0.2, -0.2)[0], head.y + 0.3 * head.tall), (0.88 * head.wide, (line + 0.3) * head.tall), 1
    )
    parting = rng.uniform(-0.6, 0.6) * head.wide
    bare = stage.edge(
        0.2 * head.wide * (face + 0.25 * (strands - 0.5) + 0.25 * np.abs(stage.x - head.x - parting)), 3.0
    )
    ends = head.y + head.tall * (0.9 if long else rng.uniform(0.0, 0.3))
    mask = stage.edge(cap + 0.06 * (strands - 0.5), 2.0) * (1 - bare)
    mask *= smoothstep(ends, ends - 0.05, stage.y + 0.06 * (strands - 0.5))
    _put_locks(stage, mask, cap + 0.03, strands, hair)


def _put_beard(stage: Stage, rng: np.random.Generator, head: Head, strands: np.ndarray, hair: np.ndarray) -> None:
    length = rng.uniform(0.1, 0.5)
    x = head.at(0, 0.6, -0.35)[0]
    mass = ellipsoid(
        stage,
        (x, head.y + (0.55 + length / 2) * head.tall),
        (0.88 * head.wide, (0.58 + length / 2) * head.tall),
        0.9 * head.wide,
    )
    lips = ellipsoid(stage, head.at(0, 0.57, 0.06), (0.3 * head.wide, 0.075 * head.tall), 0.1)
    aside = np.abs(stage.x - x) / head.wide
    cheek = smoothstep(-0.06, 0.06, (stage.y - head.y) / head.tall - 0.42 + 1.1 * np.clip(aside - 0.4, 0, 1) ** 1.3)
    mask = stage.edge(mass + 0.06 * (strands - 0.5), 2.0) * cheek * (1 - stage.edge(lips, 3.0))
    _put_locks(stage, mask, np.maximum(stage.depth, mass) + 0.01, strands, hair)


def _put_scarf(stage: Stage, rng: np.random.Generator, head: Head) -> None:
    folds = fractal_noise(rng, *stage.size, cells=3, octaves=4, gain=0.5, stretch=(1.4, 0.8), ridged=True)
    cap = ellipsoid(stage, (head.x, head.y - 0.08 * head.tall), (1.2 * head.wide, 1.02 * head.tall), 1.05 * head.wide)
    drop = ellipsoid(stage, (head.x, head.y + 0.95 * head.tall), (1.05 * head.wide, 0.5 * head.tall), 0.9 * head.wide)
    form = melt(cap, drop, 0.3 * head.wide)
    face = ellipsoid(
        stage, (head.at(0, 0.2, -0.15)[0], head.y + 0.2 * head.tall), (0.82 * head.wide, 0.8 * head.tall), 0.2
    )
    first, second = (CLOTHES[place] for place in rng.choice(len(CLOTHES), 2, replace=False))
    dots = smoothstep(0.55, 0.75, np.sin(stage.x * 60 + 3 * folds) * np.sin(stage.y * 60 + 2 * folds))
    albedo = mix(first, second, dots * (rng.random() < 0.5)) * (0.65 + 0.5 * folds)[..., None]
    stage.put(stage.edge(form) * (1 - stage.edge(face)), form + 0.05 + 0.04 * folds, albedo, 0.06)


def _put_hat(stage: Stage, rng: np.random.Generator, head: Head) -> None:
    felt = fractal_noise(rng, *stage.size, cells=14, octaves=4, gain=0.7)
    tone, band = (CLOTHES[place] for place in rng.choice(len(CLOTHES), 2, replace=False))
    albedo = tone * (0.6 + 0.6 * felt)[..., None]
    level, reach = head.y - 0.52 * head.tall, rng.uniform(1.4, 1.95)
    crown = ellipsoid(
        stage, (head.x, level - 0.16 * head.tall), (1.2 * head.wide, rng.uniform(0.55, 0.78) * head.tall), head.wide
    )
    above = smoothstep(
        level + 0.01,
        level - 0.01,
        stage.y - 0.12 * head.tall * np.clip(1 - ((stage.x - head.x) / head.wide) ** 2, 0, 1),
    )
    ribbon = smoothstep(level - 0.16 * head.tall, level - 0.14 * head.tall, stage.y)
    stage.put(stage.edge(crown) * above, crown + 0.03, mix(albedo, band * (0.7 + 0.4 * felt)[..., None], ribbon), 0.06)
    brim = ellipsoid(stage, (head.x, level), (reach * head.wide, 0.14 * head.tall), 0.5 * head.wide, rng.uniform(-5, 5))
    front = stage.edge(brim) * (1 - stage.edge(crown) * above)
    stage.put(front, 0.6 * head.wide + brim + (stage.y - level) * 0.8, albedo, 0.06)
