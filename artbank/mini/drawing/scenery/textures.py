"""Procedural textures that the scenes are drawn with.

Shape legend: H, W height and width of the drawing canvas in px; an image is float32 [H, W, 3] linear light 0..1 (sky
and lamps may exceed 1 before exposure), a field or mask is float32 [H, W], 0..1 unless stated.
"""

from __future__ import annotations

import cv2
import numpy as np


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    cells: float = 4.0,
    octaves: int = 5,
    gain: float = 0.5,
    stretch: tuple[float, float] = (1.0, 1.0),
    ridged: bool = False,
) -> np.ndarray:
    """Sum octaves of smooth value noise, scaled to 0..1.

    Args:
        rng: Source of the lattice values.
        height: Rows of the field, px.
        width: Columns of the field, px.
        cells: Lattice cells along the shorter side in the first octave.
        octaves: Number of octaves, each of twice the frequency.
        gain: Amplitude of an octave relative to the one before, 0..1; higher is rougher.
        stretch: Factors on the frequency along y and x; (4, 1) gives horizontal streaks.
        ridged: Fold each octave about its middle, which leaves sharp crests (mountains, veins, caustics).

    Returns:
        [H, W] float32, 0..1.

    Source: fractional Brownian motion and ridged multifractals, Musgrave, in Texturing and Modeling, 1994.
    """
    field = np.zeros((height, width), np.float32)
    amplitude, short = 1.0, min(height, width)
    for octave in range(octaves):
        frequency = cells * 2**octave / short
        rows = int(np.clip(np.ceil(height * frequency * stretch[0]), 1, height)) + 3
        columns = int(np.clip(np.ceil(width * frequency * stretch[1]), 1, width)) + 3
        lattice = rng.standard_normal((rows, columns)).astype(np.float32)
        layer = cv2.resize(lattice, (width, height), interpolation=cv2.INTER_CUBIC)
        field += amplitude * (1.0 - 2.0 * np.abs(layer) if ridged else layer)
        amplitude *= gain
    return normalize(field)


def normalize(field: np.ndarray) -> np.ndarray:
    """Stretch a field to 0..1 between its 1st and 99th percentile; a flat field becomes 0."""
    low, high = np.percentile(field, (1, 99))
    return np.clip((field - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def smoothstep(low: float, high: float, field: np.ndarray) -> np.ndarray:
    """Ramp smoothly from 0 at `low` to 1 at `high` (`low` may exceed `high` for a falling ramp)."""
    ramp = np.clip((field - low) / (high - low), 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def mix(first: np.ndarray, second: np.ndarray, mask: np.ndarray | float) -> np.ndarray:
    """Blend two images or colours; `mask` [H, W] or a number, 0 keeps `first` and 1 gives `second`."""
    weight = np.asarray(mask, np.float32)
    weight = weight[..., None] if weight.ndim == 2 else weight
    return (first + (second - first) * weight).astype(np.float32)


def color(red: float, green: float, blue: float) -> np.ndarray:
    """Return a colour of sRGB components 0..1 as a linear-light [3] float32."""
    return (np.array([red, green, blue], np.float32) ** 2.2).astype(np.float32)


def ramp(field: np.ndarray, *stops: np.ndarray) -> np.ndarray:
    """Colour a field 0..1 by evenly spaced colour stops, each [3]; returns [H, W, 3]."""
    places = np.linspace(0, 1, len(stops))
    table = np.stack(stops)
    return np.stack([np.interp(field, places, table[:, c]) for c in range(3)], -1).astype(np.float32)


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x of each pixel centre, both [H, W], 0..1 down and right."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (y + 0.5) / height, (x + 0.5) / width


def polygon(height: int, width: int, points: np.ndarray | list[tuple[float, float]]) -> np.ndarray:
    """Rasterise a polygon as an anti-aliased mask.

    Args:
        height: Rows, px.
        width: Columns, px.
        points: [P, 2] corners as (x, y) in 0..1 of width and height; may lie outside.

    Returns:
        [H, W] float32, 0..1.
    """
    mask = np.zeros((height, width), np.uint8)
    corners = np.asarray(points, np.float64) * (width, height) * 16
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def ellipse(
    height: int, width: int, center: tuple[float, float], axes: tuple[float, float], angle: float = 0.0
) -> np.ndarray:
    """Rasterise an ellipse as an anti-aliased mask [H, W], 0..1.

    `center` is (x, y) in 0..1 of width and height, `axes` the half axes in 0..1 of the shorter side, `angle` degrees.
    """
    mask, short = np.zeros((height, width), np.uint8), min(height, width)
    middle = (round(center[0] * width * 16), round(center[1] * height * 16))
    half = (max(round(axes[0] * short * 16), 1), max(round(axes[1] * short * 16), 1))
    cv2.ellipse(mask, middle, half, angle, 0, 360, 255, -1, cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def strokes(height: int, width: int, paths: list[np.ndarray], thickness: float | list[float] = 1.0) -> np.ndarray:
    """Draw open paths, each [P, 2] of (x, y) in 0..1, as an anti-aliased mask [H, W]; `thickness` in canvas px."""
    mask = np.zeros((height, width), np.uint8)
    widths = thickness if isinstance(thickness, list) else [thickness] * len(paths)
    for path, line in zip(paths, widths, strict=True):
        corners = np.round(np.asarray(path, np.float64) * (width, height) * 16).astype(np.int32)
        cv2.polylines(mask, [corners], False, 255, max(1, round(line)), cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an image or field by a Gaussian of `sigma` canvas px; reflects at the border."""
    return image if sigma <= 0.05 else cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def displace(image: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sample an image or field at positions moved by `down` and `right`, each [H, W] in px."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    moved_x, moved_y = (x + right).astype(np.float32), (y + down).astype(np.float32)
    return cv2.remap(image, moved_x, moved_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def reflect_in_water(
    image: np.ndarray, horizon: float, rng: np.random.Generator, *, roughness: float = 0.5
) -> np.ndarray:
    """Mirror what stands above the horizon into rippled water below it.

    Args:
        image: [H, W, 3] with everything above the horizon drawn.
        horizon: Height of the waterline, 0..1 from the top.
        rng: Source of the ripples.
        roughness: 0 is a mirror, 1 is choppy.

    Returns:
        [H, W, 3]: the image above the horizon, its broken mirror image below (not yet tinted).
    """
    height, width = image.shape[:2]
    line = int(np.clip(round(horizon * height), 1, height - 2))
    y, _ = np.mgrid[0:height, 0:width].astype(np.float32)
    depth = np.clip((y - line) / max(height - line, 1), 0, 1)
    ripple = fractal_noise(rng, height, width, cells=5, octaves=4, gain=0.6, stretch=(5.0, 0.8)) - 0.5
    down = 2 * (line - y) + ripple * (0.03 + 0.3 * depth) * roughness * height
    mirrored = displace(image, np.where(y > line, np.minimum(down, line - y - 1), 0), ripple * depth * 6 * roughness)
    return np.where((y > line)[..., None], mirrored, image).astype(np.float32)
