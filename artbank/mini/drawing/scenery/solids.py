"""Solids drawn as depth and albedo first and lit together after: still lifes, flowers, animals and heads.

Shape legend: H, W canvas height and width in px; a field or mask is float32 [H, W], an image float32 [H, W, 3] linear
light. Lengths, places and depths are in shorter sides of the canvas; the origin is the middle, y points down and depth
toward the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from artbank.mini.drawing.scenery.lighting import Light
from artbank.mini.drawing.scenery.textures import blur, color, mix, smoothstep

FAR = -0.6
LAMP = 0.75 * color(1.0, 0.78, 0.52)


class Stage:
    """A canvas of albedo, depth and gloss that parts are put on, back to front, before `lit` lights it."""

    def __init__(self, light: Light, height: int, width: int) -> None:
        self.light, self.short = light, min(height, width)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        self.x, self.y = (columns + 0.5 - width / 2) / self.short, (rows + 0.5 - height / 2) / self.short
        self.right, self.bottom = width / 2 / self.short, height / 2 / self.short
        self.albedo = np.zeros((height, width, 3), np.float32)
        self.depth = np.full((height, width), FAR, np.float32)
        self.gloss = np.zeros((height, width), np.float32)
        self.cover = np.zeros((height, width), np.float32)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.depth.shape

    def window(self, x: float, y: float, reach: float) -> Stage:
        """Return the part of the stage within `reach` of a place; what is put on it is put on the stage."""
        part = object.__new__(Stage)
        rows, columns = (
            slice(
                max(int((place - reach + half) * self.short), 0), max(int((place + reach + half) * self.short) + 2, 2)
            )
            for place, half in ((y, self.bottom), (x, self.right))
        )
        rows = slice(min(rows.start, self.size[0] - 2), rows.stop)
        columns = slice(min(columns.start, self.size[1] - 2), columns.stop)
        part.light, part.short, part.right, part.bottom = self.light, self.short, self.right, self.bottom
        for name in ("x", "y", "albedo", "depth", "gloss", "cover"):
            setattr(part, name, getattr(self, name)[rows, columns])
        return part

    def edge(self, field: np.ndarray, softness: float = 1.0) -> np.ndarray:
        """Return the anti-aliased mask of where a signed distance field is positive; `softness` in px."""
        return smoothstep(-softness / self.short, softness / self.short, field)

    def put(self, mask: np.ndarray, depth: np.ndarray, albedo: np.ndarray, gloss: float | np.ndarray = 0.05) -> None:
        """Cover what is under `mask`; `albedo` [H, W, 3] or [3]."""
        self.albedo[...] = mix(self.albedo, albedo, mask)
        self.gloss += (gloss - self.gloss) * mask
        np.copyto(self.depth, depth, where=mask > 0.5, casting="same_kind")
        np.maximum(self.cover, mask, out=self.cover)

    def tint(self, mask: np.ndarray, albedo: np.ndarray, gloss: float | None = None) -> None:
        """Colour what is under `mask` and leave its shape."""
        self.albedo[...] = mix(self.albedo, albedo, mask)
        if gloss is not None:
            self.gloss += (gloss - self.gloss) * mask

    def lit(self, *, softness: float = 0.12, shadows: float = 0.85) -> np.ndarray:
        """Light the stage: form, cast and contact shadows, highlights.

        Args:
            softness: How far light wraps round a form, 0..1.
            shadows: Strength of cast shadows, 0..1.
        """
        toward = key_direction(self.light)
        normal = _normals(self.depth, self.short)
        facing = np.clip((np.tensordot(normal, toward, 1) + softness) / (1 + softness), 0, 1)
        shadow = 1 - shadows * _cast(self.depth, toward, self.short)
        contact = _contact(self.depth, self.short)
        sun, ambient = key_colors(self.light)
        above = (0.75 - 0.3 * normal[..., 1]) * contact
        image = self.albedo * (
            ambient * above[..., None] + sun * (1.35 * facing * shadow * (0.4 + 0.6 * contact))[..., None]
        )
        half = toward + np.array([0, 0, 1], np.float32)
        glance = np.clip(np.tensordot(normal, half / np.linalg.norm(half), 1), 0, 1)
        shine = self.gloss * shadow * (0.9 * glance**60 + 0.18 * glance**12)
        rim = (1 - normal[..., 2]) ** 3 * self.gloss * 0.35 * contact
        return (image + shine[..., None] * sun + rim[..., None] * (ambient + 0.3 * self.light.horizon)).astype(
            np.float32
        )


def key_direction(light: Light) -> np.ndarray:
    """Return the unit vector toward the key light (x right, y down, z to the viewer), never straight from the front."""
    side = float(np.sign(light.side) or 1.0) * (0.45 + 0.55 * abs(light.side))
    vector = np.array([0.8 * side, -0.35 - 0.45 * light.elevation, 0.62], np.float32)
    return vector / np.linalg.norm(vector)


def key_colors(light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Return key and ambient colours near at hand; at night a lamp stands beside the moon."""
    return (light.sun + LAMP, light.ambient * 1.3) if light.is_night else (light.sun, light.ambient)


def _normals(depth: np.ndarray, short: int) -> np.ndarray:
    down = cv2.Sobel(depth, cv2.CV_32F, 0, 1, scale=short / 8)
    right = cv2.Sobel(depth, cv2.CV_32F, 1, 0, scale=short / 8)
    normal = np.stack([-np.clip(right, -6, 6), -np.clip(down, -6, 6), np.ones_like(depth)], -1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _cast(depth: np.ndarray, toward: np.ndarray, short: int) -> np.ndarray:
    plane = float(np.hypot(toward[0], toward[1]))
    shadow = np.zeros_like(depth)
    for far in (0.012, 0.03, 0.06, 0.1, 0.15, 0.21):
        step = far * short / plane * toward[:2]
        shift = np.array([[1, 0, -step[0]], [0, 1, -step[1]]], np.float32)
        above = cv2.warpAffine(depth, shift, depth.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        hit = smoothstep(0.0, 0.012 + 0.25 * far, above - depth - far * float(toward[2]) / plane)
        shadow = np.maximum(shadow, blur(hit, 0.13 * far * short))
    return shadow


def _contact(depth: np.ndarray, short: int) -> np.ndarray:
    buried = np.clip(blur(depth, 0.012 * short) - depth, 0, 0.06) * 9
    buried += np.clip(blur(depth, 0.05 * short) - depth, 0, 0.16) * 3.2
    return np.exp(-buried)


def ellipsoid(
    stage: Stage, center: tuple[float, float], axes: tuple[float, float], thick: float, angle: float = 0.0
) -> np.ndarray:
    """Return the depth of an ellipsoid over its mid-plane, negative outside its outline; `angle` degrees clockwise."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x, y = stage.x - center[0], stage.y - center[1]
    inside = 1 - ((x * cosine + y * sine) / axes[0]) ** 2 - ((y * cosine - x * sine) / axes[1]) ** 2
    return (thick * np.sign(inside) * np.sqrt(np.abs(inside))).astype(np.float32)


def melt(first: np.ndarray, second: np.ndarray, reach: float) -> np.ndarray:
    """Unite two depths with a smooth crease of width `reach`."""
    near = np.clip(1 - np.abs(first - second) / reach, 0, 1)
    return np.maximum(first, second) + near * near * reach * 0.25


def bump(stage: Stage, center: tuple[float, float], axes: tuple[float, float], angle: float = 0.0) -> np.ndarray:
    """Return a Gaussian bump of height 1 with half widths `axes`; `angle` degrees clockwise."""
    cosine, sine, reach = np.cos(np.radians(angle)), np.sin(np.radians(angle)), 2.6 * max(axes)
    rows = slice(*np.searchsorted(stage.y[:, 0], (center[1] - reach, center[1] + reach)))
    columns = slice(*np.searchsorted(stage.x[0], (center[0] - reach, center[0] + reach)))
    x, y = stage.x[rows, columns] - center[0], stage.y[rows, columns] - center[1]
    field = np.zeros(stage.size, np.float32)
    along, aside = (x * cosine + y * sine) / axes[0], (y * cosine - x * sine) / axes[1]
    field[rows, columns] = np.exp(-(along**2) - aside**2)
    return field


@dataclass(frozen=True)
class Revolved:
    """A solid of revolution on the canvas: its mask, depth over the axis, place across -1..1 and up 0..1."""

    mask: np.ndarray
    depth: np.ndarray
    across: np.ndarray
    up: np.ndarray


def revolve(
    stage: Stage, profile: list[tuple[float, float]], x: float, base: float, tall: float, tilt: float
) -> Revolved:
    """Turn a profile about an upright axis.

    Args:
        stage: The canvas.
        profile: Points (up 0..1, radius) from the foot to the rim.
        x: Place of the axis.
        base: y of the middle of the foot.
        tall: Height.
        tilt: Height over width of the horizontal circles, 0 seen from the side.
    """
    ups, radii = zip(*profile, strict=True)
    places = np.linspace(0, 1, 256)
    table = PchipInterpolator(ups, radii)(places)
    offset = stage.x - x
    up = (base - stage.y) / tall
    for _ in range(2):
        radius = np.interp(np.clip(up, 0, 1), places, table).astype(np.float32)
        curve = np.sqrt(np.clip(1 - (offset / radius) ** 2, 0, 1))
        up = (base - stage.y + tilt * radius * curve) / tall
    mask = stage.edge(radius - np.abs(offset)) * stage.edge(up * tall) * stage.edge((1 - up) * tall)
    return Revolved(mask, radius * curve, np.clip(offset / radius, -1, 1), np.clip(up, 0, 1))


def combed(field: np.ndarray, down: np.ndarray, right: np.ndarray, *, length: float, steps: int = 5) -> np.ndarray:
    """Smear a noise along a direction field: fur and hair.

    Args:
        field: [H, W] noise.
        down: Direction along y of each px.
        right: Direction along x of each px.
        length: Length of a hair, px.
        steps: Samples along it in each of two passes, long then short.
    """
    norm = np.hypot(down, right) + 1e-6
    rows, columns = np.mgrid[0 : field.shape[0], 0 : field.shape[1]].astype(np.float32)
    right, down, total = right / norm, down / norm, field
    for reach in (length / 2, length / 2 / steps):
        passed, total = total, np.zeros_like(field)
        for place in np.linspace(-reach, reach, steps):
            x, y = (columns + place * right).astype(np.float32), (rows + place * down).astype(np.float32)
            total += cv2.remap(passed, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    total -= total.mean()
    return (0.5 + 0.22 * total / max(float(total.std()), 1e-6)).clip(0, 1).astype(np.float32)
