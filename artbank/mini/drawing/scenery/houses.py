"""A house in its garden.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light. World places are metres:
X right, Y up, Z away from the viewer; a house has its own u along the front and v away from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
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
    sun_vector,
    wall,
    window,
)
from artbank.mini.drawing.scenery.camera import Camera
from artbank.mini.drawing.scenery.lighting import Light, draw_sky, fade, shade
from artbank.mini.drawing.scenery.textures import blur, color, fractal_noise, grid, mix, polygon, smoothstep
from artbank.mini.drawing.scenery.trees import foliage, tree


@dataclass(frozen=True)
class Plan:
    """A house on the ground, in metres; the eaves run along u.

    Attributes:
        x: X of its middle.
        z: Z of its middle.
        yaw: Turn about the vertical, radians.
        long: Half its length along the eaves.
        deep: Half its depth.
        eaves: Height of the walls.
        ridge: Height of the ridge.
    """

    x: float
    z: float
    yaw: float
    long: float
    deep: float
    eaves: float
    ridge: float

    @property
    def end(self) -> float:
        """Side of the gable that is seen, -1 or 1 along u."""
        return -float(np.sign(self.yaw))

    def place(self, *points: tuple[float, float, float]) -> list[tuple[float, float, float]]:
        """Turn (u, height, v) in the house into world points; v is -deep at the front."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return [(self.x + u * cos - v * sin, up, self.z + u * sin + v * cos) for u, up, v in points]

    def see(self, camera: Camera, *points: tuple[float, float, float]) -> np.ndarray:
        """Project (u, height, v) in the house to canvas places, [P, 2] in 0..1."""
        return camera.see(*self.place(*points))

    def facing(self, light: Light, u: float, up: float, v: float) -> float:
        """Return how much the face with the normal (u, up, v) is turned to the sun, 0..1."""
        normal = np.array(
            [u * np.cos(self.yaw) - v * np.sin(self.yaw), -up, -(u * np.sin(self.yaw) + v * np.cos(self.yaw))]
        )
        return float(np.clip(normal / np.linalg.norm(normal) @ sun_vector(light) * 1.25 + 0.1, 0.03, 1))


def draw_house(light: Light, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str]:
    """Draw one house seen from a corner; its turn, size, walls, roof, chimney, garden, path and trees vary."""
    camera = Camera(0.5, rng.uniform(0.6, 0.72), rng.uniform(1.6, 3.2), 1.05, height, width)
    roof_name = ("red", "slate", "brown")[rng.integers(3)]
    theme = (
        f"with a {'grey' if roof_name == 'slate' else roof_name} roof",
        "with a garden path",
        "with flowers",
        "beside a tree",
    )[rng.integers(4)]
    long, deep, eaves = rng.uniform(3.4, 5.2), rng.uniform(2.6, 3.6), rng.uniform(2.7, 5.2)
    turn = rng.uniform(0.3, 0.75)
    if rng.random() < 0.35:
        turn = rng.uniform(0.9, 1.2)
    yaw = turn * (1 if rng.random() < 0.5 else -1)
    plan = Plan(
        rng.uniform(-0.9, 0.9), rng.uniform(13.5, 18), yaw, long, deep, eaves, eaves + deep * rng.uniform(0.75, 1.35)
    )
    image = draw_sky(light, rng, height, width, camera.y)
    _backdrop(image, light, rng, camera)
    image = _garden(image, light, rng, camera, plan, path=theme == "with a garden path" or rng.random() < 0.4)
    _build(image, light, rng, camera, plan, ROOFS[roof_name])
    _plant(image, light, rng, camera, plan, theme)
    return image, theme


def _backdrop(image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera) -> None:
    tint = pick(rng, (color(0.26, 0.38, 0.18), color(0.36, 0.4, 0.2)))
    for place in rng.permutation(np.linspace(-0.05, 1.05, 9)):
        size = rng.uniform(0.07, 0.15)
        foliage(image, light, rng, (place, camera.y - size * 0.3), (size * 1.5, size), tint, leaves=70, distance=0.55)
    for _ in range(rng.integers(1, 4)):
        place, size = rng.choice([rng.uniform(-0.05, 0.3), rng.uniform(0.7, 1.05)]), rng.uniform(0.4, 0.75)
        tree(image, light, rng, (place, camera.y + 0.03), size, 0.3)
    image[:] = blur(image, min(image.shape[:2]) / 250)


def _garden(
    image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, plan: Plan, *, path: bool
) -> np.ndarray:
    height, width = camera.height, camera.width
    across, away = camera.ground()
    y, _ = grid(height, width)
    patches = fractal_noise(rng, height, width, cells=4, octaves=3, stretch=(3, 1))
    blades = fractal_noise(rng, height, width, cells=36, octaves=2, gain=0.8, stretch=(0.8, 1.3))
    near = smoothstep(camera.y, 1.0, y)
    grass = mix(pick(rng, (color(0.3, 0.42, 0.16), color(0.42, 0.46, 0.2))), color(0.52, 0.5, 0.26), patches * 0.6)
    albedo = grass * (0.65 + 0.7 * (blades * (0.35 + 0.65 * near) + 0.5 * (1 - near) * patches))[..., None]
    if path:
        (door,) = plan.place((0.0, 0.0, -plan.deep))
        bend = (
            (across - door[0]) - rng.uniform(-0.5, 0.5) * np.maximum(door[2] - away, 0) * 0.5 - 0.5 * np.sin(away * 0.5)
        )
        on = smoothstep(0.95, 0.75, np.abs(bend) + 0.3 * (patches - 0.5)) * (away < door[2] + 1)
        stones = (
            pick(rng, (color(0.66, 0.6, 0.5), color(0.56, 0.5, 0.46)))
            * masonry(rng, away / 0.5, across / 0.6, 0.2)[..., None]
        )
        albedo = mix(albedo, stones * (0.75 + 0.4 * blades[..., None]), on)
    lit = 1 - 0.93 * _house_shadow(light, camera, plan)
    ground = fade(shade(albedo, light, lit * (0.6 + 0.4 * patches)), light, np.clip(away / 90, 0, 1))
    return mix(image, ground, smoothstep(camera.y - 0.003, camera.y + 0.003, y))


def _house_shadow(light: Light, camera: Camera, plan: Plan) -> np.ndarray:
    right, down, toward = sun_vector(light)
    corners = [
        (u * plan.long, up, v)
        for u in (-1, 1)
        for up, v in ((0.0, -plan.deep), (0.0, plan.deep), (plan.ridge, 0.0), (plan.eaves, -plan.deep))
    ]
    ground = []
    for x, up, z in plan.place(*corners):
        ground.append((x + right / down * up, 0.0, max(z - toward / down * up, 2.0)))
    hull = cv2.convexHull(camera.see(*ground).astype(np.float32))[:, 0]
    return blur(polygon(camera.height, camera.width, hull), min(camera.height, camera.width) / 110)


def _build(
    image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, plan: Plan, tiles: np.ndarray
) -> None:
    long, deep, eaves, ridge, end = plan.long, plan.deep, plan.eaves, plan.ridge, plan.end
    tint, scale = pick(rng, WALLS), camera.zoom * min(image.shape[:2]) / (plan.z - deep)
    floors = 2 if eaves > 4.2 else 1
    see = partial(plan.see, camera)
    front = facade(light, rng, round(eaves * scale * 1.2), round(2 * long * scale), floors=floors,
                   bays=int(rng.choice([3, 3, 5])) if long > 4 else 3,
                   tint=tint, facing=plan.facing(light, 0, 0, -1))  # fmt: skip
    paste_quad(image, front, see((-long, eaves, -deep), (long, eaves, -deep), (long, 0, -deep), (-long, 0, -deep)))
    gable = _gable(light, rng, plan, tint, scale, floors)
    near, far = (-deep, deep) if end > 0 else (deep, -deep)
    x = end * long
    paste_quad(image, gable, see((x, ridge, near), (x, ridge, far), (x, 0, far), (x, 0, near)),
               see((x, 0, -deep), (x, eaves, -deep), (x, ridge, 0), (x, eaves, deep), (x, 0, deep)))  # fmt: skip
    _cover(image, light, rng, camera, plan, tiles)
    _chimney(image, light, rng, camera, plan)


def _gable(
    light: Light, rng: np.random.Generator, plan: Plan, tint: np.ndarray, scale: float, floors: int
) -> np.ndarray:
    facing = plan.facing(light, plan.end, 0, 0)
    image = wall(light, rng, round(plan.ridge * scale * 1.2), round(2 * plan.deep * scale), tint, facing)
    paints = pick(rng, PAINTS[3:]), pick(rng, PAINTS) if rng.random() < 0.4 else None
    half, tall = 0.45 / plan.deep / 2, 1.25 / plan.ridge
    storey = plan.eaves / floors
    for floor in range(floors + 1):
        middle = 1 - (floor * storey + (1.55 if floor < floors else 1.0)) / plan.ridge
        columns = (0.5,) if floor == floors else (0.27, 0.73)
        for column in columns:
            size = 0.7 if floor == floors else 1.0
            box = (column - half * size, column + half * size, middle - tall / 2 * size, middle + tall / 2 * size)
            window(image, light, rng, box, paints, facing)
    return image


def _cover(
    image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, plan: Plan, tiles: np.ndarray
) -> None:
    see = partial(plan.see, camera)
    slope = (plan.ridge - plan.eaves) / plan.deep
    out, over = plan.deep + 0.45, plan.long + 0.4
    low = plan.ridge - slope * out
    texture = roof(light, rng, 110, 170, tiles, plan.facing(light, 0, 1, -slope))
    under = shade(color(0.35, 0.32, 0.28), light, 0.0)
    fill(
        image,
        see(
            (-plan.long, low, -plan.deep),
            (plan.long, low, -plan.deep),
            (plan.long, low - 0.35, -plan.deep),
            (-plan.long, low - 0.35, -plan.deep),
        ),
        under * 0.6,
    )
    board = shade(
        pick(rng, (color(0.85, 0.83, 0.78), color(0.3, 0.22, 0.16))), light, plan.facing(light, plan.end, 0, 0)
    )
    x = plan.end * over
    for v in (out, -out):
        fill(
            image,
            see((x, plan.ridge - 0.05, 0), (x, low - 0.05, v), (x, low - 0.3, v), (x, plan.ridge - 0.35, 0)),
            board,
        )
    paste_quad(
        image, texture, see((-over, plan.ridge, 0), (over, plan.ridge, 0), (over, low, -out), (-over, low, -out))
    )
    cap = shade(tiles * 1.25, light, 0.9 * plan.facing(light, 0, 1, 0))
    fill(
        image,
        see(
            (-over, plan.ridge + 0.12, 0),
            (over, plan.ridge + 0.12, 0),
            (over, plan.ridge - 0.1, -0.1),
            (-over, plan.ridge - 0.1, -0.1),
        ),
        cap,
    )
    gutter = shade(color(0.4, 0.4, 0.4), light, 0.5)
    fill(image, see((-over, low, -out), (over, low, -out), (over, low - 0.12, -out), (-over, low - 0.12, -out)), gutter)


def _chimney(image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, plan: Plan) -> None:
    see = partial(plan.see, camera)
    tint, half = pick(rng, (color(0.6, 0.3, 0.22), color(0.6, 0.55, 0.5))), rng.uniform(0.35, 0.5)
    rise = plan.ridge + rng.uniform(0.8, 1.7)
    for u in (
        {rng.choice([-0.6, 0.6]), rng.choice([-0.6, 0.6, 0.0])}
        if rng.random() < 0.4
        else {rng.choice([-0.65, 0.2, 0.65])}
    ):
        middle, side = u * plan.long, u * plan.long + plan.end * half
        for top, foot, grow, dim in ((rise, plan.ridge - 0.7, 0.0, 1.0), (rise + 0.08, rise - 0.22, 0.08, 0.85)):
            wide, edge = half + grow, side + plan.end * grow
            bricks = wall(light, rng, 40, 24, tint * dim, plan.facing(light, 0, 0, -1))
            paste_quad(
                image,
                bricks,
                see(
                    (middle - wide, top, -wide),
                    (middle + wide, top, -wide),
                    (middle + wide, foot, -wide),
                    (middle - wide, foot, -wide),
                ),
            )
            bricks = wall(light, rng, 40, 24, tint * dim, plan.facing(light, plan.end, 0, 0))
            paste_quad(
                image, bricks, see((edge, top, -wide), (edge, top, wide), (edge, foot, wide), (edge, foot, -wide))
            )


def _plant(image: np.ndarray, light: Light, rng: np.random.Generator, camera: Camera, plan: Plan, theme: str) -> None:
    leaf = pick(rng, (color(0.26, 0.4, 0.16), color(0.36, 0.42, 0.18)))
    bloom = pick(rng, (color(0.85, 0.3, 0.45), color(0.9, 0.75, 0.2), color(0.8, 0.2, 0.15), color(0.75, 0.65, 0.9)))
    for u in np.arange(-1.05, 1.06, 0.3):
        if abs(u) < 0.25 or (rng.random() < 0.4 and theme != "with flowers"):
            continue
        (spot,) = plan.see(camera, (u * plan.long, 0.3, -plan.deep - 0.5))
        size = rng.uniform(0.03, 0.06)
        foliage(image, light, rng, (spot[0], spot[1]), (size * 1.5, size), leaf, leaves=60)
        if theme == "with flowers":
            foliage(image, light, rng, (spot[0], spot[1]), (size * 1.5, size * 0.9), bloom, leaves=26)
    if light.is_night:
        (door,) = plan.see(camera, (0, 2.0, -plan.deep - 0.3))
        glow(image, (door[0], door[1]), 0.12, 0.6)
    if theme == "with flowers":
        for _ in range(8):
            place, size = (rng.uniform(0, 1), rng.uniform(0.88, 1.02)), rng.uniform(0.05, 0.09)
            foliage(image, light, rng, place, (size * 1.4, size), leaf, leaves=60)
            foliage(image, light, rng, (place[0], place[1] - size * 0.3), (size * 1.3, size * 0.7), bloom, leaves=40)
    if theme == "beside a tree":
        tree(
            image,
            light,
            rng,
            (rng.choice([0.1, 0.9]) + rng.normal(0, 0.03), rng.uniform(0.82, 0.92)),
            rng.uniform(0.7, 0.95),
        )
