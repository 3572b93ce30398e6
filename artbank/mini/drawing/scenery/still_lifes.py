"""Still lifes: fruit, vessels and bread on a table.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light, fields float32 [H, W]. Lengths
are in shorter sides of the canvas, with the origin in its middle (see `solids`).
"""

from __future__ import annotations

import numpy as np

from artbank.mini.drawing.scenery.backdrops import WALLS
from artbank.mini.drawing.scenery.lighting import Light
from artbank.mini.drawing.scenery.solids import Revolved, Stage, bump, ellipsoid, revolve
from artbank.mini.drawing.scenery.textures import color, fractal_noise, mix, ramp, smoothstep

CLOTHS = (color(0.88, 0.86, 0.82), color(0.55, 0.16, 0.14), color(0.2, 0.3, 0.45), color(0.72, 0.6, 0.4),
          color(0.3, 0.36, 0.28), color(0.75, 0.7, 0.74))  # fmt: skip
GLAZES = (color(0.85, 0.83, 0.78), color(0.2, 0.34, 0.55), color(0.66, 0.34, 0.2), color(0.24, 0.42, 0.34),
          color(0.5, 0.28, 0.16), color(0.8, 0.65, 0.25), color(0.16, 0.15, 0.16))  # fmt: skip
GLASS = (color(0.1, 0.22, 0.12), color(0.22, 0.12, 0.06), color(0.1, 0.16, 0.26), color(0.3, 0.38, 0.36))
JUG = [(0, 0.26), (0.08, 0.3), (0.35, 0.42), (0.6, 0.36), (0.78, 0.2), (0.9, 0.19), (1, 0.25)]
VASE = [(0, 0.2), (0.15, 0.28), (0.55, 0.36), (0.8, 0.2), (1, 0.26)]
BOTTLE = [(0, 0.15), (0.03, 0.165), (0.5, 0.165), (0.62, 0.13), (0.72, 0.055), (0.94, 0.05), (0.95, 0.062), (1, 0.06)]
BOWL = [(0, 0.4), (0.1, 0.42), (0.2, 0.6), (0.6, 0.95), (1, 1.08)]
FRUITS = {
    "apples": (color(0.75, 0.12, 0.1), color(0.88, 0.62, 0.2)),
    "oranges": (color(0.95, 0.5, 0.08), color(0.98, 0.6, 0.15)),
    "lemons": (color(0.95, 0.8, 0.15), color(0.85, 0.8, 0.2)),
    "pears": (color(0.7, 0.68, 0.22), color(0.8, 0.45, 0.2)),
    "plums": (color(0.3, 0.1, 0.25), color(0.4, 0.25, 0.42)),
}


def draw_still_life(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw a table with a cloth or bare boards, vessels, bread and fruit; their kinds, number and place vary."""
    stage = Stage(light, height, width)
    edge = rng.uniform(-0.08, 0.22)
    _draw_wall(stage, rng, edge)
    _draw_table(stage, rng, edge)
    scale, room = rng.uniform(0.85, 1.2), stage.bottom - edge
    middle, fruit = rng.uniform(-0.15, 0.15), list(FRUITS)[rng.integers(len(FRUITS))]
    kind = ("a jug", "a bottle", "a bowl", "bread", "grapes")[rng.integers(5)]
    turn = 1 if rng.random() < 0.5 else -1
    back = edge + room * rng.uniform(0.18, 0.3)
    if kind != "a bowl" or rng.random() < 0.5:
        (put_bottle if kind == "a bottle" else put_jug)(stage, rng, middle - 0.24 * turn * scale, back, 0.62 * scale)
    if rng.random() < 0.45:
        (put_bottle if rng.random() < 0.5 else put_jug)(stage, rng, middle + 0.27 * turn * scale, back, 0.45 * scale)
    front = edge + room * rng.uniform(0.4, 0.5)
    if kind == "a bowl":
        put_bowl(stage, rng, middle + 0.08 * turn, front, 0.27 * scale, fruit)
    elif kind == "bread":
        put_bread(stage, rng, middle + 0.13 * turn, front, 0.25 * scale)
    elif kind == "grapes":
        put_grapes(stage, rng, middle + 0.12 * turn, front, 0.2 * scale)
    for step in range(rng.integers(2, 6)):
        radius = 0.085 * scale * rng.uniform(0.85, 1.25)
        x = middle + rng.uniform(-0.42, 0.42) * stage.right * 2
        put_fruit(stage, rng, x, front + room * (0.1 + 0.07 * step), radius, fruit)
    return stage.lit(shadows=0.9), f"with {fruit} and {kind}"


def _draw_wall(stage: Stage, rng: np.random.Generator, edge: float) -> None:
    tone = WALLS[rng.integers(len(WALLS))] * rng.uniform(0.5, 1.1)
    plaster = fractal_noise(rng, *stage.size, cells=rng.uniform(2, 5), octaves=7, gain=0.65)
    toward = np.exp(-(((stage.x - 0.5 * np.sign(stage.light.side or 1)) / 0.7) ** 2))
    albedo = tone * ((0.4 + 0.75 * plaster) * (0.45 + 0.75 * toward))[..., None]
    relief = (plaster - 0.5) * 0.012
    if rng.random() < 0.35:
        drape = np.sin(stage.x * rng.uniform(14, 24) + 3 * fractal_noise(rng, *stage.size, cells=1.5, octaves=2))
        relief = relief + 0.02 * drape
    stage.put(np.ones(stage.size, np.float32), -0.22 + relief, albedo, 0.02)


def _draw_table(stage: Stage, rng: np.random.Generator, edge: float) -> None:
    y, x = stage.y - edge, stage.x
    top = stage.edge(y)
    if rng.random() < 0.4:
        grain = fractal_noise(rng, *stage.size, cells=6, octaves=6, gain=0.65, stretch=(5, 0.5))
        boards = np.abs((y / (1 + 1.2 * np.abs(y)) * rng.uniform(5, 9)) % 1 - 0.5)
        albedo = ramp(grain, color(0.2, 0.12, 0.07), color(0.5, 0.33, 0.2), color(0.66, 0.48, 0.3))
        stage.put(top, y * 0.9 - 0.006 * smoothstep(0.46, 0.5, boards) + 0.004 * grain, albedo, 0.22)
        return
    sway = fractal_noise(rng, *stage.size, cells=rng.uniform(1.2, 2.2), octaves=3, gain=0.5)
    folds = fractal_noise(rng, *stage.size, cells=1.8, octaves=3, gain=0.4, ridged=True)
    weave = fractal_noise(rng, *stage.size, cells=60, octaves=2)
    albedo = CLOTHS[rng.integers(len(CLOTHS))] * (0.8 + 0.3 * weave)[..., None]
    if rng.random() < 0.35:
        lines = np.maximum(np.sin((x / (0.7 + y) + 0.1 * sway) * 28), np.sin(np.log(0.5 + np.clip(y, 0, 2)) * 30))
        albedo = mix(albedo, CLOTHS[rng.integers(len(CLOTHS))], 0.8 * smoothstep(0.3, 0.5, lines))
    stage.put(top, y * 0.8 + rng.uniform(0.05, 0.1) * folds + 0.08 * sway, albedo, 0.03)


def _settle(stage: Stage, base: float) -> float:
    row = int(np.clip((base + stage.bottom) * stage.short, 0, stage.size[0] - 1))
    return float(np.median(stage.depth[row]))


def put_vessel(stage: Stage, body: Revolved, level: float, albedo: np.ndarray, gloss: float) -> None:
    """Put a solid of revolution on the stage; `level` is the depth of its axis."""
    stage.put(body.mask, level + body.depth, albedo, gloss)


def put_mouth(stage: Stage, x: float, y: float, radius: float, tilt: float, level: float, tone: np.ndarray) -> None:
    """Open the top of a vessel: a rim and the dark inside."""
    ring = np.hypot((stage.x - x) / radius, (stage.y - y) / (tilt * radius))
    stage.put(stage.edge((1.0 - ring) * radius), np.full(stage.size, level + radius * 0.5, np.float32), tone * 1.1, 0.5)
    inside = stage.edge((0.86 - ring) * radius)
    stage.put(inside, level + 0.5 * radius - 0.12 * smoothstep(0.9, 0.5, ring), tone * 0.35, 0.1)


def glaze(rng: np.random.Generator, body: Revolved) -> np.ndarray:
    """Colour a ceramic body: plain and speckled, banded, dipped in a second glaze, or painted."""
    first, second = (GLAZES[place] for place in rng.choice(len(GLAZES), 2, replace=False))
    mottle = fractal_noise(rng, *body.mask.shape, cells=8, octaves=5, gain=0.65)
    albedo = first * (0.7 + 0.5 * mottle)[..., None]
    style = rng.integers(4)
    if style == 1:
        albedo = mix(albedo, second, smoothstep(0.5, 0.8, np.sin(body.up * rng.uniform(14, 30))) * 0.9)
    elif style == 2:
        albedo = mix(albedo, second, smoothstep(0.0, 0.04, body.up - rng.uniform(0.35, 0.65) + 0.12 * (mottle - 0.5)))
    elif style == 3:
        painted = fractal_noise(rng, *body.mask.shape, cells=9, octaves=2, ridged=True)
        albedo = mix(albedo, second, smoothstep(0.62, 0.75, painted) * (np.abs(body.up - 0.42) < 0.22))
    return albedo


def put_jug(stage: Stage, rng: np.random.Generator, x: float, base: float, tall: float) -> None:
    """Put a jug or vase; profile, glaze and handle vary."""
    shape, stout = (JUG if rng.random() < 0.65 else VASE), rng.uniform(0.75, 1.1)
    profile = [(up, radius * tall * stout * rng.uniform(0.92, 1.08)) for up, radius in shape]
    level, tilt = _settle(stage, base), rng.uniform(0.2, 0.32)
    body = revolve(stage, profile, x, base, tall, tilt)
    albedo = glaze(rng, body)
    if shape is JUG:
        side, reach = (1 if rng.random() < 0.5 else -1), profile[2][1] * 0.62
        ring = np.hypot(
            (stage.x - x - side * profile[2][1] * 0.8) / reach, (stage.y - base + 0.63 * tall) / (0.24 * tall)
        )
        tube = 0.2 - np.abs(ring - 1)
        stage.put(
            stage.edge(tube * reach), level + reach * np.sqrt(np.clip(tube, 0, 1) * 0.2), albedo.mean((0, 1)), 0.5
        )
    put_vessel(stage, body, level, albedo, rng.uniform(0.25, 0.9))
    put_mouth(stage, x, base - tall, profile[-1][1], tilt, level, albedo.mean((0, 1)))


def put_bottle(stage: Stage, rng: np.random.Generator, x: float, base: float, tall: float) -> None:
    """Put a glass bottle: dark glass, a bright window reflected in it, sometimes a label."""
    tall *= rng.uniform(1.0, 1.25)
    profile = [(up, radius * tall) for up, radius in BOTTLE]
    level, body = _settle(stage, base), revolve(stage, profile, x, base, tall, 0.2)
    tone = GLASS[rng.integers(len(GLASS))]
    through = np.abs(body.across + 0.45 * np.sign(stage.light.side or 1))
    albedo = tone * (0.6 + 1.6 * smoothstep(0.5, 0.1, through) * smoothstep(0.9, 0.1, body.up))[..., None]
    if rng.random() < 0.5:
        paper = smoothstep(0.14, 0.15, body.up) * smoothstep(0.42, 0.41, body.up)
        albedo = mix(albedo, color(0.85, 0.8, 0.66), paper * 0.95)
    put_vessel(stage, body, level, albedo, 0.8)
    gleam = smoothstep(0.09, 0.03, np.abs(body.across - 0.55 * np.sign(stage.light.side or 1)))
    stage.tint(gleam * body.mask * smoothstep(0.03, 0.1, body.up), color(0.95, 0.95, 0.95) * 1.2)


def put_bowl(stage: Stage, rng: np.random.Generator, x: float, base: float, radius: float, fruit: str) -> None:
    """Put a bowl heaped with fruit."""
    tall, tilt, level = radius * rng.uniform(0.55, 0.85), rng.uniform(0.22, 0.34), _settle(stage, base)
    body = revolve(stage, [(up, part * radius) for up, part in BOWL], x, base, tall, tilt)
    albedo = glaze(rng, body)
    put_mouth(stage, x, base - tall, 1.08 * radius, tilt, level, albedo.mean((0, 1)))
    for row, count in enumerate((3, 4, 3)):
        for column in range(count):
            place = x + (column - (count - 1) / 2) * 0.48 * radius + rng.normal(0, 0.02)
            lift = (0.42, 0.28, 0.02)[row] * radius
            put_fruit(
                stage, rng, place, base - tall - lift + 0.3 * radius, 0.3 * radius, fruit, level + 0.2 * row * radius
            )
    front = body.mask * stage.edge(stage.y - (base - tall) - tilt * 1.08 * radius * np.sqrt(1 - body.across**2) + 0.004)
    stage.put(front, level + body.depth, albedo, 0.6)


def put_fruit(
    stage: Stage, rng: np.random.Generator, x: float, base: float, radius: float, fruit: str, level: float | None = None
) -> None:
    """Put one fruit standing or lying at `base`; its ripeness, streaks and turn vary."""
    skin, blush = FRUITS[fruit]
    level = _settle(stage, base) if level is None else level
    y, angle = base - 0.85 * radius, rng.uniform(-50, 50)
    stage = stage.window(x, y - 0.4 * radius, 1.8 * radius)
    wide = {"lemons": 1.25, "apples": 1.05}.get(fruit, 1.0)
    form = ellipsoid(stage, (x, y), (wide * radius, radius * 0.95), radius, angle)
    if fruit == "lemons":
        cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        tip = ellipsoid(
            stage,
            (x + 1.15 * radius * cosine, y + 1.15 * radius * sine),
            (0.3 * radius, 0.25 * radius),
            0.2 * radius,
            angle,
        )
        form = np.maximum(form, tip)
    elif fruit == "pears":
        lean = rng.uniform(-0.3, 0.3) * radius
        neck = ellipsoid(stage, (x + lean, y - 1.0 * radius), (0.5 * radius, 0.75 * radius), 0.55 * radius)
        near = np.clip(1 - np.abs(form - neck) / (0.6 * radius), 0, 1)
        form = np.maximum(form, neck) + near**2 * 0.15 * radius
    pits = fractal_noise(rng, *stage.size, cells=rng.uniform(1.5, 2.5), octaves=5, gain=0.7)
    red = smoothstep(0.3, 0.75, pits + 0.4 * (stage.x - x) / radius * rng.choice([-1, 1]))
    albedo = mix(skin, blush, red * rng.uniform(0.2, 1.0)) * (0.75 + 0.4 * pits)[..., None]
    top = y - (1.6 if fruit == "pears" else 0.72) * radius
    if fruit == "apples":
        form = form - 0.45 * radius * bump(stage, (x, y - 0.62 * radius), (0.28 * radius, 0.16 * radius))
    rough = 0.05 * radius * (pits - 0.5) if fruit in ("oranges", "lemons") else 0
    stage.put(stage.edge(form, 2.0), level + form + rough, albedo, 0.3 if fruit == "oranges" else 0.55)
    if fruit in ("apples", "pears"):
        stem = bump(stage, (x + 0.06 * radius, top), (0.06 * radius, 0.28 * radius), 12)
        stage.put(smoothstep(0.3, 0.6, stem), level + radius * (0.7 + 0.2 * stem), color(0.25, 0.16, 0.08), 0.0)


def put_bread(stage: Stage, rng: np.random.Generator, x: float, base: float, radius: float) -> None:
    """Put a floury loaf with slashes in its crust."""
    level, angle = _settle(stage, base), rng.uniform(-14, 14)
    form = ellipsoid(stage, (x, base - 0.4 * radius), (1.15 * radius, 0.55 * radius), 0.55 * radius, angle)
    crust = fractal_noise(rng, *stage.size, cells=9, octaves=6, gain=0.7)
    slashes = smoothstep(0.55, 0.9, np.sin((stage.x - x) / radius * 8 + (stage.y - base) / radius * 4))
    slashes *= smoothstep(0.2 * radius, 0.4 * radius, form)
    albedo = ramp(crust, color(0.42, 0.22, 0.08), color(0.72, 0.46, 0.2), color(0.88, 0.7, 0.45))
    albedo = mix(albedo, color(0.93, 0.84, 0.66), slashes * 0.8)
    stage.put(stage.edge(form, 2.0), level + form + 0.1 * radius * (crust - 0.5) - 0.1 * radius * slashes, albedo, 0.08)


def put_grapes(stage: Stage, rng: np.random.Generator, x: float, base: float, radius: float) -> None:
    """Put a bunch of grapes lying on the table, red or green."""
    tone = (color(0.3, 0.08, 0.2), color(0.62, 0.68, 0.25), color(0.15, 0.12, 0.28))[rng.integers(3)]
    level, grape = _settle(stage, base), radius * 0.23
    for step in range(26):
        along = step / 25
        wide = radius * (0.35 + 0.75 * np.sin(np.pi * (0.15 + 0.7 * along)))
        place = (x + rng.uniform(-1, 1) * wide, base - radius * (0.95 - 0.85 * along))
        part = stage.window(*place, 1.2 * grape)
        form = ellipsoid(part, place, (grape, grape * 1.05), grape)
        part.put(part.edge(form, 2.0), level + form + 0.4 * radius * along, tone * rng.uniform(0.7, 1.35), 0.7)
