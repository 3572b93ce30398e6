"""Cats, dogs and birds in close view.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light, fields float32 [H, W]. Lengths
are in shorter sides of the canvas, with the origin in its middle (see `solids`).
"""

from __future__ import annotations

import numpy as np

from artbank.mini.drawing.scenery.backdrops import draw_garden, draw_room
from artbank.mini.drawing.scenery.coats import COATS, DARK, EYES, Coat, color_coat, comb_fur, put_eye, put_furry
from artbank.mini.drawing.scenery.lighting import Light
from artbank.mini.drawing.scenery.solids import Stage, bump, ellipsoid, melt
from artbank.mini.drawing.scenery.textures import blur, color, ellipse, fractal_noise, mix, smoothstep, strokes


def draw_animal(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw a cat, dog or bird; its coat, pose, turn, size and the blurred room or garden behind it vary."""
    stage, name = Stage(light, height, width), list(COATS)[rng.integers(len(COATS))]
    floor = rng.uniform(0.5, 0.8)
    back = (draw_garden if rng.random() < 0.5 else draw_room)(light, rng, height, width, floor)
    if name.endswith("bird"):
        _put_bird(stage, rng, COATS[name])
    else:
        _put_beast(stage, rng, COATS[name], name.endswith("dog"))
        foot = 0.5 + 0.42 / 2 / stage.bottom
        shadow = ellipse(height, width, (0.5 - 0.1 * np.sign(light.side), foot), (0.42, 0.08))
        back *= 1 - 0.65 * blur(shadow, 0.03 * stage.short)[..., None]
    return mix(back, stage.lit(softness=0.25, shadows=0.7), stage.cover), f"with a {name}"


def _put_beast(stage: Stage, rng: np.random.Generator, coat: Coat, dog: bool) -> None:
    """Put a cat or dog: near with head and chest, sitting, or lying."""
    pose, turn = ("near", "sitting", "lying")[rng.integers(3)], float(rng.choice([-1, 1]))
    scale = {"near": 1.6, "sitting": 0.95, "lying": 0.95}[pose] * rng.uniform(0.9, 1.1)
    x, size = rng.uniform(-0.06, 0.06), 0.17 * scale
    head = {"near": (x, -0.06), "sitting": (x, -0.24), "lying": (x - 0.2 * turn, -0.02)}[pose]
    down, right = stage.y - head[1] + 0.1, 0.5 * (stage.x - head[0])
    fur = comb_fur(stage, rng, down, right)
    albedo = color_coat(stage, rng, coat, head, scale)
    if rng.random() < 0.4:
        bib = bump(stage, (head[0], head[1] + 1.5 * size), (0.8 * size, 1.1 * size))
        albedo = mix(albedo, color(0.88, 0.85, 0.8), smoothstep(0.3, 0.6, bib))
    if pose == "lying":
        _put_lying(stage, fur, albedo, x, head, turn, scale)
    else:
        _put_sitting(stage, fur, albedo, head, turn, scale)
    look = rng.uniform(-0.22, 0.22) + (0.08 * turn if pose == "lying" else 0)
    (_put_dog_head if dog else _put_cat_head)(stage, rng, fur, albedo, head, size, look)


def _put_sitting(
    stage: Stage, fur: np.ndarray, albedo: np.ndarray, head: tuple[float, float], turn: float, scale: float
) -> None:
    x, y = head[0], head[1]
    tail = ellipsoid(
        stage, (x + 0.28 * turn * scale, y + 0.56 * scale), (0.17 * scale, 0.04 * scale), 0.04 * scale, -14 * turn
    )
    put_furry(stage, tail, fur, -0.05, albedo)
    body = ellipsoid(stage, (x + 0.03 * turn, y + 0.4 * scale), (0.22 * scale, 0.28 * scale), 0.2 * scale)
    chest = ellipsoid(stage, (x, y + 0.28 * scale), (0.16 * scale, 0.22 * scale), 0.25 * scale)
    form = melt(body, chest, 0.08)
    for side in (-1, 1):
        haunch = ellipsoid(
            stage, (x + side * 0.2 * scale, y + 0.56 * scale), (0.12 * scale, 0.12 * scale), 0.18 * scale
        )
        form = melt(form, haunch, 0.05)
    put_furry(stage, form, fur, -0.1, albedo)
    for side in (-1, 1):
        leg = ellipsoid(stage, (x + side * 0.075 * scale, y + 0.48 * scale), (0.055 * scale, 0.2 * scale), 0.07 * scale)
        paw = ellipsoid(stage, (x + side * 0.085 * scale, y + 0.66 * scale), (0.07 * scale, 0.042 * scale), 0.1 * scale)
        put_furry(stage, melt(leg, paw, 0.04), fur, 0.12, albedo)


def _put_lying(
    stage: Stage, fur: np.ndarray, albedo: np.ndarray, x: float, head: tuple[float, float], turn: float, scale: float
) -> None:
    body = ellipsoid(stage, (x + 0.1 * turn, 0.2), (0.36 * scale, 0.2 * scale), 0.18 * scale)
    rump = ellipsoid(stage, (x + 0.28 * turn * scale, 0.24), (0.18 * scale, 0.18 * scale), 0.22 * scale)
    chest = ellipsoid(stage, (head[0] + 0.02 * turn, 0.2), (0.16 * scale, 0.2 * scale), 0.22 * scale)
    put_furry(stage, melt(melt(body, rump, 0.06), chest, 0.06), fur, -0.1, albedo)
    tail = ellipsoid(stage, (x + 0.2 * turn * scale, 0.4), (0.2 * scale, 0.035 * scale), 0.05 * scale, 6 * turn)
    put_furry(stage, tail, fur, 0.05, albedo)
    for side in (-1, 1):
        place = (head[0] + side * 0.09 * scale - 0.03 * turn, 0.38)
        put_furry(stage, ellipsoid(stage, place, (0.075 * scale, 0.055 * scale), 0.09 * scale), fur, 0.12, albedo)


def _put_cat_head(
    stage: Stage,
    rng: np.random.Generator,
    fur: np.ndarray,
    albedo: np.ndarray,
    head: tuple[float, float],
    size: float,
    look: float,
) -> None:
    x, y, shift = head[0], head[1], look * size
    for side in (-1, 1):
        spread, lift = stage.x - x - side * 0.62 * size - 0.3 * shift, y - 0.5 * size - stage.y
        wedge = 0.4 * size * (1 - lift / (0.85 * size)) - np.abs(spread - side * 0.22 * lift)
        ear = np.minimum(wedge, lift + 0.4 * size)
        put_furry(stage, ear, fur, 0.1, albedo)
        stage.tint(stage.edge(ear - 0.13 * size, 3.0) * 0.7, color(0.8, 0.5, 0.45))
    skull = ellipsoid(stage, head, (size, 0.86 * size), 0.8 * size)
    for side in (-1, 1):
        cheek = ellipsoid(
            stage, (x + side * 0.4 * size + shift, y + 0.32 * size), (0.6 * size, 0.45 * size), 0.7 * size
        )
        skull = melt(skull, cheek, 0.15 * size)
    form = skull
    for side in (-1, 1):
        form = form + 0.2 * size * bump(
            stage, (x + side * 0.16 * size + 1.6 * shift, y + 0.42 * size), (0.22 * size, 0.2 * size)
        )
        form = form - 0.1 * size * bump(
            stage, (x + side * 0.4 * size + shift, y - 0.02 * size), (0.2 * size, 0.2 * size)
        )
    form = form + 0.14 * size * bump(stage, (x + 1.4 * shift, y + 0.12 * size), (0.14 * size, 0.34 * size))
    pale = bump(stage, (x + 1.6 * shift, y + 0.48 * size), (0.42 * size, 0.28 * size))
    put_furry(stage, form, fur, 0.2, mix(albedo, albedo * 0.5 + 0.4 * color(0.9, 0.86, 0.8), 0.8 * pale))
    iris = EYES[rng.integers(len(EYES))]
    for side in (-1, 1):
        put_eye(
            stage,
            (x + side * 0.4 * size + shift, y - 0.02 * size),
            0.21 * size,
            iris,
            0.3 if rng.random() < 0.5 else 0.6,
        )
    nose = ellipsoid(stage, (x + 1.6 * shift, y + 0.26 * size), (0.11 * size, 0.075 * size), 0.05)
    stage.tint(stage.edge(nose), color(0.75, 0.42, 0.4) * rng.uniform(0.3, 1.0), 0.5)
    _line_mouth(stage, x + 1.6 * shift, y + 0.34 * size, size)
    _put_whiskers(stage, x + 1.6 * shift, y + 0.42 * size, size)


def _put_dog_head(
    stage: Stage,
    rng: np.random.Generator,
    fur: np.ndarray,
    albedo: np.ndarray,
    head: tuple[float, float],
    size: float,
    look: float,
) -> None:
    x, y, shift, hanging = head[0], head[1], look * size, rng.random() < 0.7
    if not hanging:
        for side in (-1, 1):
            lift = y - 0.5 * size - stage.y
            wedge = 0.34 * size * (1 - lift / (1.0 * size)) - np.abs(stage.x - x - side * (0.55 * size + 0.15 * lift))
            put_furry(stage, np.minimum(wedge, lift + 0.4 * size), fur, 0.1, albedo * 0.8)
    skull = ellipsoid(stage, (x, y - 0.1 * size), (0.86 * size, 0.84 * size), 0.7 * size)
    jaw = ellipsoid(stage, (x + 0.8 * shift, y + 0.42 * size), (0.56 * size, 0.56 * size), 0.7 * size)
    muzzle = ellipsoid(stage, (x + 1.9 * shift, y + 0.4 * size), (0.42 * size, 0.4 * size), 1.15 * size)
    form = melt(melt(skull, jaw, 0.2 * size), muzzle, 0.3 * size)
    for side in (-1, 1):
        form = form - 0.12 * size * bump(
            stage, (x + side * 0.36 * size + shift, y - 0.12 * size), (0.2 * size, 0.16 * size)
        )
        form = form + 0.1 * size * bump(
            stage, (x + side * 0.34 * size + shift, y - 0.36 * size), (0.2 * size, 0.1 * size)
        )
    put_furry(stage, form, fur, 0.2, albedo)
    if hanging:
        for side in (-1, 1):
            place = (x + side * 0.84 * size, y + 0.12 * size)
            ear = ellipsoid(stage, place, (0.28 * size, 0.72 * size), 0.3 * size, -14 * side)
            put_furry(stage, ear, fur, 0.28, albedo * 0.62)
    for side in (-1, 1):
        put_eye(stage, (x + side * 0.36 * size + shift, y - 0.12 * size), 0.13 * size, color(0.35, 0.2, 0.1), 0.75)
    if rng.random() < 0.45:
        tongue = ellipsoid(stage, (x + 1.9 * shift, y + 0.86 * size), (0.16 * size, 0.28 * size), 0.1 * size)
        stage.put(stage.edge(tongue), 0.2 + 0.5 * size + tongue, color(0.85, 0.42, 0.45), 0.4)
    _line_mouth(stage, x + 1.9 * shift, y + 0.4 * size, 1.4 * size)
    nose = ellipsoid(stage, (x + 2.0 * shift, y + 0.24 * size), (0.2 * size, 0.14 * size), 0.14 * size)
    stage.put(stage.edge(nose), 0.2 + 1.12 * size + nose, DARK * 0.8, 0.9)


def _canvas(stage: Stage, points: np.ndarray) -> np.ndarray:
    return np.asarray(points) / (2 * stage.right, 2 * stage.bottom) + 0.5


def _line_mouth(stage: Stage, x: float, y: float, size: float) -> None:
    side = np.linspace(0, 1, 8)
    drop = 0.14 * size + 0.1 * size * np.sin(np.pi * side * 0.9)
    paths = [_canvas(stage, np.stack([x + way * 0.26 * size * side, y + drop], -1)) for way in (-1, 1)]
    paths.append(_canvas(stage, np.array([(x, y), (x, y + 0.14 * size)])))
    stage.tint(blur(strokes(*stage.size, paths, 0.05 * size * stage.short), 0.8) * 0.8, DARK)


def _put_whiskers(stage: Stage, x: float, y: float, size: float) -> None:
    along = np.linspace(0.3, 1.35, 9)
    paths = []
    for side in (-1, 1):
        for fan in (-0.18, 0.0, 0.16):
            bent = y + size * (fan * along + 0.12 * (along - 0.3) ** 2)
            paths.append(_canvas(stage, np.stack([x + side * size * along, bent], -1)))
    whiskers = strokes(*stage.size, paths, 1.0) * 0.6
    stage.tint(whiskers, color(0.95, 0.95, 0.92))
    stage.cover = np.maximum(stage.cover, whiskers)


def _put_bird(stage: Stage, rng: np.random.Generator, coat: Coat) -> None:
    """Put a bird on a branch, seen from the side."""
    turn, scale, x, y = (
        float(rng.choice([-1, 1])),
        rng.uniform(0.85, 1.3),
        rng.uniform(-0.06, 0.06),
        rng.uniform(-0.04, 0.06),
    )
    lean = rng.uniform(28, 50)
    down, right = np.full(stage.size, np.sin(np.radians(lean))), np.full(stage.size, -turn * np.cos(np.radians(lean)))
    fur, spot = comb_fur(stage, rng, down, right), lambda a, b: (x + turn * a * scale, y + b * scale)
    tail = ellipsoid(stage, spot(-0.3, 0.2), (0.26 * scale, 0.05 * scale), 0.05 * scale, -turn * lean)
    stage.put(stage.edge(tail, 2.0), tail - 0.05, mix(coat.first, coat.second, 0.6) * (0.4 + 0.9 * fur)[..., None], 0.1)
    _put_branch(stage, rng, spot(0.0, 0.27)[1])
    for step in (0.0, 0.07):
        leg = 0.012 * scale - np.abs(stage.x - spot(step, 0)[0])
        shank = stage.edge(leg) * (np.abs(stage.y - spot(0, 0.23)[1]) < 0.06 * scale)
        stage.put(shank, leg + 0.03, color(0.5, 0.32, 0.22), 0.2)
    body = ellipsoid(stage, spot(0, 0.05), (0.25 * scale, 0.165 * scale), 0.16 * scale, -turn * lean)
    head = ellipsoid(stage, spot(0.17, -0.15), (0.115 * scale, 0.11 * scale), 0.12 * scale)
    form = melt(body, head, 0.09 * scale)
    belly = smoothstep(-0.02, 0.1, (stage.y - y) / scale + turn * (stage.x - x) / scale * 0.8 - 0.05)
    albedo = mix(coat.first, mix(coat.first, color(0.92, 0.86, 0.76), 0.65), belly)
    put_furry(stage, form, 0.25 + 0.5 * fur, 0.0, albedo)
    _put_wing(stage, coat, fur, spot(-0.06, 0.06), scale, turn, lean)
    ahead, level = turn * (stage.x - spot(0.26, 0)[0]) / scale, (stage.y - spot(0, -0.145)[1]) / scale
    beak = 0.045 * (1 - ahead / rng.uniform(0.1, 0.16)) - np.abs(level - 0.6 * ahead**2)
    mask = stage.edge(beak * scale) * (ahead > -0.02)
    tone = (color(0.9, 0.6, 0.15), color(0.2, 0.18, 0.17), color(0.7, 0.5, 0.35))[rng.integers(3)]
    stage.put(
        mask,
        0.05 * scale + beak * scale,
        tone * (1 - 0.5 * smoothstep(0.006, 0.0, np.abs(level - 0.01)))[..., None],
        0.5,
    )
    put_eye(stage, spot(0.205, -0.17), 0.026 * scale, color(0.16, 0.1, 0.08), 0.8)


def _put_wing(
    stage: Stage, coat: Coat, fur: np.ndarray, place: tuple[float, float], scale: float, turn: float, lean: float
) -> None:
    cosine, sine = np.cos(np.radians(lean)), np.sin(np.radians(lean))
    x, y = turn * (stage.x - place[0]) / scale, (stage.y - place[1]) / scale
    back, aside = -(x * cosine - y * sine), x * sine + y * cosine
    form = ellipsoid(stage, place, (0.24 * scale, 0.1 * scale), 0.1 * scale, -turn * lean)
    rows = (back * 9 + 6 * aside**2) % 1
    blades = (aside * 22 + 2 * back) % 1
    feathers = np.where(back > 0.02, blades, 0.6 * rows + 0.4 * np.abs(blades - 0.5))
    tone = mix(coat.first * 0.8, coat.second, smoothstep(-0.12, 0.16, back))
    albedo = tone * (0.5 + 0.6 * feathers + 0.3 * (fur - 0.5))[..., None]
    stage.put(stage.edge(form, 2.0), 0.09 * scale + form + 0.012 * feathers, albedo, 0.15)


def _put_branch(stage: Stage, rng: np.random.Generator, y: float) -> None:
    bark = fractal_noise(rng, *stage.size, cells=9, octaves=5, gain=0.7, stretch=(2.5, 0.6))
    middle = y + rng.uniform(-0.2, 0.2) * stage.x + 0.02 * np.sin(stage.x * 9) + 0.03
    aside, thick = stage.y - middle, rng.uniform(0.035, 0.07)
    form = np.sqrt(np.clip(thick**2 - aside**2, 0, None))
    albedo = color(0.4, 0.31, 0.24) * (0.4 + 1.1 * bark)[..., None]
    stage.put(stage.edge(thick - np.abs(aside) + 0.012 * (bark - 0.5)), form + 0.02 * bark - 0.04, albedo, 0.03)
