"""Brush strokes: where they start, how they run over an image, how they lie on a canvas.

Points are complex numbers x + iy in px of the image. A flow is an orientation field in double-angle form, so that a
direction and its opposite are one value: phase = 2 * angle, magnitude = how sure the direction is, 0..1.

Shape legend: H, W image; N strokes; K points along one stroke; P colours of a palette.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Manner = Callable[[np.ndarray, np.random.Generator], np.ndarray]

REFERENCE_PX = 128
SUPERSAMPLE = 2
SUBPIXEL_BITS = 4
GRADIENT_FLOOR = 0.02  # gray levels per px (0..1) below which a direction is held to be noise
STROKE_END = 0.16  # difference of colour, 0..1, at which a stroke stops


def scale_of(image: np.ndarray) -> float:
    """Return px of this image per px of the 128 px reference."""
    return min(image.shape[:2]) / REFERENCE_PX


def blur(plane: np.ndarray, sigma_px: float) -> np.ndarray:
    """Blur with a Gaussian, mirrored at the border."""
    return cv2.GaussianBlur(plane, (0, 0), max(sigma_px, 0.1), borderType=cv2.BORDER_REFLECT)


def sample(plane: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Look up the nearest pixel under each point, clamped to the border."""
    x = np.clip(np.rint(points.real), 0, plane.shape[1] - 1).astype(np.intp)
    y = np.clip(np.rint(points.imag), 0, plane.shape[0] - 1).astype(np.intp)
    return plane[y, x]


def gray_of(image: np.ndarray) -> np.ndarray:
    """Return luma 0..1, [H, W]."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def smooth_noise(shape: tuple[int, ...], grain_px: float, rng: np.random.Generator) -> np.ndarray:
    """Draw noise of about zero mean and unit spread, whose blobs are `grain_px` wide, [H, W]."""
    height, width = shape[:2]
    cells = max(2, round(height / grain_px) + 1), max(2, round(width / grain_px) + 1)
    coarse = rng.standard_normal(cells, dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def scatter(shape: tuple[int, ...], spacing_px: float, rng: np.random.Generator) -> np.ndarray:
    """Draw one point per cell of a jittered grid, in random order, [N] complex."""
    rows, columns = (max(1, round(side / spacing_px)) for side in shape[:2])
    x = (np.arange(columns) + rng.random((rows, columns))) * (shape[1] / columns)
    y = (np.arange(rows)[:, None] + rng.random((rows, columns))) * (shape[0] / rows)
    return rng.permutation((x + 1j * y).ravel())


def lanes(
    shape: tuple[int, ...], angle: float, along_px: float, across_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Lay points on parallel lanes of direction `angle`, each lane shifted at random, in lane order, [N] complex."""
    reach = 0.5 * np.hypot(*shape[:2])
    across = np.arange(-reach, reach, across_px)
    along = np.arange(-reach - along_px, reach, along_px) + along_px * rng.random((len(across), 1))
    along = along + 0.12 * along_px * rng.standard_normal(along.shape)
    points = ((along + 1j * across[:, None]) * np.exp(1j * angle)).ravel() + complex(shape[1], shape[0]) / 2
    inside = (np.abs(points.real / shape[1] - 0.5) < 0.6) & (np.abs(points.imag / shape[0] - 0.5) < 0.6)
    return points[inside]


def edge_flow(gray: np.ndarray, sigma_px: float, scale: float = 1.0) -> np.ndarray:
    """Return the direction along the edges, pooled over `sigma_px`, [H, W] complex.

    Source: the structure tensor (Bigun and Granlund, 1987) in complex form: the pooled square of the gradient.
    """
    smooth = blur(gray, 0.8 * scale)
    gradient_x, gradient_y = (cv2.Sobel(smooth, cv2.CV_32F, *order, scale=scale / 8) for order in ((1, 0), (0, 1)))
    along_x = blur(gradient_y**2 - gradient_x**2, sigma_px)
    along_y = blur(-2 * gradient_x * gradient_y, sigma_px)
    flow = along_x + 1j * along_y
    return flow / (np.abs(flow) + GRADIENT_FLOOR**2)


def constant_flow(angle: float) -> complex:
    """Return the flow of one direction (radians, clockwise from the x axis)."""
    return complex(np.exp(2j * angle))


def trace(
    flow: np.ndarray, starts: np.ndarray, num_points: int, step_px: float, guide: np.ndarray | None = None
) -> np.ndarray:
    """Walk along the flow from each start, [N, K] complex.

    A stroke ends (its last points coincide) where `guide` has left the colour it had at the start.

    Source: Hertzmann (1998), "Painterly rendering with curved brush strokes of multiple sizes", section 2.2; ours
    walks the pooled edge direction instead of the normal of the raw gradient.
    """
    heading = np.exp(0.5j * np.angle(sample(flow, starts)))
    alive = np.ones(len(starts), dtype=bool)
    points = [starts]
    for _ in range(num_points - 1):
        turned = np.exp(0.5j * np.angle(sample(flow, points[-1])))
        turned = np.where((turned * heading.conj()).real < 0, -turned, turned)
        heading = 0.35 * heading + 0.65 * turned
        heading = heading / np.maximum(np.abs(heading), 1e-6)
        ahead = points[-1] + step_px * heading
        if guide is not None:
            alive &= np.abs(sample(guide, ahead) - sample(guide, starts)).max(axis=-1) < STROKE_END
        points.append(np.where(alive, ahead, points[-1]))
    return np.stack(points, axis=1)


def ribbons(paths: np.ndarray, width_px: float, taper: float = 0.0) -> np.ndarray:
    """Widen paths into polygons with flat ends, narrowed at both ends by `taper` 0..1, [N, 2K] complex."""
    tangent = np.gradient(paths, axis=1)
    tangent = tangent + 1e-3 * np.exp(0.5j)  # a path that ended where it began still gets a direction
    along = np.linspace(-1, 1, paths.shape[1])
    offset = 1j * tangent / np.abs(tangent) * (0.5 * width_px) * (1 - taper * along**4)
    return np.concatenate([paths + offset, (paths - offset)[:, ::-1]], axis=1)


def discs(centres: np.ndarray, radii_px: np.ndarray) -> np.ndarray:
    """Return slightly irregular dots as polygons, [N, 12] complex."""
    rim = np.exp(2j * np.pi * np.arange(12) / 12)
    return centres[:, None] + radii_px[:, None] * rim * (1 + 0.06 * np.cos(np.arange(12) * 2.0))


def slabs(centres: np.ndarray, angles: np.ndarray, sizes_px: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return uneven quadrilaterals of length and width `sizes_px` [N, 2], turned by `angles`, [N, 4] complex."""
    corners = np.array([-1 - 1j, 1 - 1j, 1 + 1j, -1 + 1j])
    uneven = (
        corners * rng.uniform(0.8, 1.15, (len(centres), 4)) * np.exp(1j * rng.uniform(-0.12, 0.12, (len(centres), 4)))
    )
    stretched = 0.5 * (sizes_px[:, :1] * uneven.real + 1j * sizes_px[:, 1:] * uneven.imag)
    return centres[:, None] + stretched * np.exp(1j * angles)[:, None]


def fans(apexes: np.ndarray, angles: np.ndarray, radii_px: np.ndarray) -> np.ndarray:
    """Return scallops: a round front of `radii_px` in the direction `angles`, narrow at the apex, [N, 13] complex."""
    front = np.exp(1j * np.linspace(-1.25, 1.25, 11))
    shape = np.concatenate([[-0.45 + 0.2j, -0.45 - 0.2j], front])
    return apexes[:, None] + radii_px[:, None] * shape * np.exp(1j * angles)[:, None]


def to_lab(colours: np.ndarray) -> np.ndarray:
    """Turn sRGB 0..1 [..., 3] into CIE Lab (L 0..100)."""
    flat = np.ascontiguousarray(colours, dtype=np.float32).reshape(-1, 1, 3)
    return cv2.cvtColor(flat, cv2.COLOR_RGB2Lab).reshape(colours.shape) if len(flat) else colours


def from_lab(lab: np.ndarray) -> np.ndarray:
    """Turn CIE Lab [..., 3] into sRGB, clipped to 0..1."""
    flat = np.ascontiguousarray(lab, dtype=np.float32).reshape(-1, 1, 3)
    return np.clip(cv2.cvtColor(flat, cv2.COLOR_Lab2RGB), 0, 1).reshape(lab.shape) if len(flat) else lab


def jitter(colours: np.ndarray, rng: np.random.Generator, light: float, hue: float) -> np.ndarray:
    """Vary sRGB colours [N, 3] one by one: `light` in units of L, `hue` in radians."""
    lab = to_lab(colours)
    turn = np.exp(1j * hue * rng.standard_normal(len(lab)))
    chroma = (lab[:, 1] + 1j * lab[:, 2]) * turn
    lightness = lab[:, 0] + light * rng.standard_normal(len(lab))
    return from_lab(np.stack([np.clip(lightness, 0, 100), chroma.real, chroma.imag], axis=1))


def toward_palette(lab: np.ndarray, palette: np.ndarray, pull: float, spread: float = 12.0) -> np.ndarray:
    """Move Lab colours [..., 3] by `pull` 0..1 toward the nearest colours of an sRGB palette [P, 3], keeping half of L.

    `spread` is the Lab distance over which palette colours mix.
    """
    inks = to_lab(palette.astype(np.float32))
    flat = lab.reshape(-1, 3)
    distance = ((flat[:, None] - inks) ** 2).sum(axis=-1)  # [N, P]
    weight = np.exp((distance.min(axis=1, keepdims=True) - distance) / (2 * spread**2))
    target = (weight / weight.sum(axis=1, keepdims=True)) @ inks
    pulls = np.array([0.5 * pull, pull, pull], dtype=np.float32)
    return (flat + pulls * (target - flat)).reshape(lab.shape)


class Canvas:
    """Opaque paint and its thickness, drawn at twice the size of the image."""

    def __init__(self, shape: tuple[int, ...], ground: np.ndarray) -> None:
        """Prime a canvas for an image of `shape` with one sRGB colour 0..1, or with an underpainting [H, W, 3]."""
        self.size = shape[1], shape[0]
        size = shape[1] * SUPERSAMPLE, shape[0] * SUPERSAMPLE
        primed = np.broadcast_to(np.asarray(ground, dtype=np.float32), (*shape[:2], 3))
        self.paint = cv2.resize(np.rint(primed * 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
        self.thickness = np.zeros((size[1], size[0]), dtype=np.uint8)

    def lines(self, paths: np.ndarray, colours: np.ndarray, width_px: float, body: np.ndarray | None = None) -> None:
        """Draw round-ended strokes [N, K] in their colours [N, 3]; `body` [N] 0..1 is how thick the paint lies."""
        width = max(1, round(width_px * SUPERSAMPLE))
        for points, colour, level in self._prepared(paths, colours, body):
            cv2.polylines(self.paint, [points], False, colour, width, cv2.LINE_8, SUBPIXEL_BITS)
            if body is not None:
                cv2.polylines(self.thickness, [points], False, level, width, cv2.LINE_8, SUBPIXEL_BITS)

    def polygons(self, corners: np.ndarray, colours: np.ndarray, body: np.ndarray | None = None) -> None:
        """Fill shapes [N, K] with their colours [N, 3]; `body` [N] 0..1 is how thick the paint lies."""
        for points, colour, level in self._prepared(corners, colours, body):
            cv2.fillPoly(self.paint, [points], colour, cv2.LINE_8, SUBPIXEL_BITS)
            if body is not None:
                cv2.fillPoly(self.thickness, [points], level, cv2.LINE_8, SUBPIXEL_BITS)

    def picture(self) -> np.ndarray:
        """Return the paint at the size of the image, sRGB 0..1 float32."""
        return self._reduced(self.paint)

    def body(self) -> np.ndarray:
        """Return the thickness at the size of the image, 0..1 float32 [H, W]."""
        return self._reduced(self.thickness)

    def lit(self, relief: float, scale: float) -> np.ndarray:
        """Return the picture lit from the upper left, so that thick strokes get a bright and a dark rim."""
        height = blur(self.thickness.astype(np.float32) / 255, 0.45 * SUPERSAMPLE * scale)
        slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) + cv2.Sobel(height, cv2.CV_32F, 0, 1)
        light = cv2.resize(slope, self.size, interpolation=cv2.INTER_AREA) * (relief * scale)
        return np.clip(self.picture() + np.clip(light, -0.3, 0.3)[..., None], 0, 1)

    def _reduced(self, plane: np.ndarray) -> np.ndarray:
        return cv2.resize(plane, self.size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255

    def _prepared(self, shapes: np.ndarray, colours: np.ndarray, body: np.ndarray | None) -> zip:
        unit = SUPERSAMPLE << SUBPIXEL_BITS
        points = np.rint(np.stack([shapes.real, shapes.imag], axis=-1) * unit).astype(np.int32)
        inks = np.rint(np.clip(colours, 0, 1) * 255).astype(int).tolist()
        levels = [0.0] * len(inks) if body is None else (np.clip(body, 0, 1) * 255).tolist()
        return zip(points, inks, levels, strict=True)
