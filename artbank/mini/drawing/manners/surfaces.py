"""Grounds, pigments and flattening that the painting manners share.

Shape legend: H, W image height and width in px; S seeds of a cell grid. Images are sRGB 0..1, sizes are in px of the
image at hand, and noise has mean 0 and standard deviation about 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from artbank.mini.drawing.manners.strokes import blur

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def to_luma(image: np.ndarray) -> np.ndarray:
    """Return the luma of an image, 0..1."""
    return image @ LUMA  # [H, W]


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Rise smoothly from 0 at `low` to 1 at `high`; `low` may be the larger."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Blend two colour fields; `share` [H, W] is that of the second."""
    return first + (second - first) * share[..., None]


def finish(image: np.ndarray) -> np.ndarray:
    """Clip to 0..1 float32, as every manner returns it."""
    return np.clip(image, 0, 1).astype(np.float32)


def stretch_tone(luma: np.ndarray, share: float = 0.7) -> np.ndarray:
    """Draw the luma toward its full range and a middle key by `share`, so that pale and dim photos fill the scale."""
    low, high = np.percentile(luma, (2, 98))
    full = np.clip((luma - low) / max(high - low, 0.15), 0, 1)
    full = full ** np.clip(np.log(0.45) / np.log(np.clip(np.median(full), 0.05, 0.95)), 0.6, 1.25)
    return (luma + (full - luma) * share).astype(np.float32)


def relight(image: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Give an image the luma `tone` without changing its hues; gains are held within 0.4..2.2."""
    gain = np.clip((tone + 0.02) / (to_luma(image) + 0.02), 0.4, 2.2)
    return np.clip(image * gain[..., None], 0, 1).astype(np.float32)


def model_tone(image: np.ndarray, scale: float, relief: float = 0.6) -> np.ndarray:
    """Return the stretched luma with forms set off from their surroundings, as one draws them in one ink."""
    tone = stretch_tone(to_luma(image), 0.85)
    return np.clip(tone + relief * (tone - blur(tone, 14 * scale)), 0, 1)


def noise(shape: tuple[int, int], rng: np.random.Generator, size_px: float, stretch: float = 1) -> np.ndarray:
    """Draw smooth noise with blobs of `size_px`, `stretch` times as wide as high."""
    height, width = shape
    coarse = (int(height / max(size_px, 1)) + 3, int(width / max(size_px * stretch, 1)) + 3)
    grid = rng.standard_normal(coarse, np.float32)
    field = cv2.resize(grid, (max(width, 2), max(height, 2)), interpolation=cv2.INTER_CUBIC)
    return field / max(float(field.std()), 1e-3)


def paper_tooth(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> np.ndarray:
    """Draw the fine relief of rough paper, which catches dry pigment and pools wet one."""
    return 0.75 * noise(shape, rng, 1.9 * scale) + 0.65 * noise(shape, rng, 4 * scale)


def pigment_clouds(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> np.ndarray:
    """Draw the uneven density of a wash: turbulent flow of three sizes.

    Source: Bousseau et al., Interactive watercolor rendering (2006), section 3.2.
    """
    return sum(weight * noise(shape, rng, size * scale) for weight, size in ((0.3, 3), (0.5, 9), (0.6, 28)))


def wood_grain(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> np.ndarray:
    """Draw the grain of a plank: long lines of uneven darkness, bent a little."""
    rows, columns = np.indices(shape, np.float32)
    lines = noise(shape, rng, 2.2 * scale, stretch=40)
    bend = 3 * scale * noise(shape, rng, 45 * scale)
    return cv2.remap(lines, columns, rows + bend, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def wobble(image: np.ndarray, rng: np.random.Generator, size_px: float, reach_px: float) -> np.ndarray:
    """Shift each px by smooth noise, so that straight edges waver as drawn by hand."""
    shape = image.shape[:2]
    rows, columns = np.indices(shape, np.float32)
    rows += reach_px * noise(shape, rng, size_px)
    columns += reach_px * noise(shape, rng, size_px)
    return cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def flatten(image: np.ndarray, radius_px: float, sharpness: float = 4) -> np.ndarray:
    """Smooth areas and keep edges: each px takes after the calmest of the four squares it is a corner of.

    Source: Kuwahara et al. (1976), with the soft choice of Papari et al. (2007).
    """
    side = max(2, round(radius_px)) + 1
    luma = to_luma(image)
    total, weights = np.zeros_like(image), np.zeros_like(luma)
    for anchor in ((0, 0), (side - 1, 0), (0, side - 1), (side - 1, side - 1)):
        box = {"ddepth": -1, "ksize": (side, side), "anchor": anchor, "borderType": cv2.BORDER_REFLECT}
        variance = cv2.boxFilter(luma * luma, **box) - cv2.boxFilter(luma, **box) ** 2
        weight = (np.maximum(variance, 0) + 1e-4) ** -sharpness * 1e-12
        total += cv2.boxFilter(image, **box) * weight[..., None]
        weights += weight
    return total / weights[..., None]


def contour_ink(luma: np.ndarray, sigma_px: float, faint: float = 0.01, full: float = 0.035) -> np.ndarray:
    """Return 0..1 ink on the dark side of edges, about twice `sigma_px` wide.

    Source: the difference of Gaussians of Winnemoeller et al., XDoG (2012).
    """
    return ramp(blur(luma, 1.6 * sigma_px) - blur(luma, sigma_px), faint, full)


def orientation(luma: np.ndarray, sigma_px: float) -> np.ndarray:
    """Return the angle along which the image changes least, radians, from its smoothed structure tensor."""
    dx, dy = (cv2.Sobel(luma, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    xx, xy, yy = (blur(product, sigma_px) for product in (dx * dx, dx * dy, dy * dy))
    return 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2


def ruled_lines(phase: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Return 0..1 ink of lines, one per unit of `phase`, that fill the share `coverage` of the ground.

    The edges are smoothed over one px wherever the phase runs faster or slower.
    """
    off_centre = np.abs(2 * (phase - np.floor(phase)) - 1)  # 0 on a line, 1 between two
    gradient = np.hypot(*np.gradient(phase))
    return np.clip((coverage - off_centre) / np.maximum(2 * gradient, 1e-3) + 0.5, 0, 1) * ramp(coverage, 0, 0.12)


def tone_palette(luma: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Map luma 0..1 to a colour ramp [N, 3] that runs from dark to light."""
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(luma, stops, channel) for channel in colours.T], -1).astype(np.float32)


def saturate(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale the distance of each colour from its own grey."""
    grey = to_luma(image)[..., None]
    return np.clip(grey + (image - grey) * factor, 0, 1)


@dataclass(frozen=True)
class CellGrid:
    """Seeds on a jittered grid, each of which may own px of its own and the eight adjoining grid squares."""

    shape: tuple[int, int]
    step_px: float
    rows: int
    columns: int

    @classmethod
    def over(cls, shape: tuple[int, int], step_px: float) -> CellGrid:
        """Lay a grid of about `step_px` over an image of `shape`."""
        return cls(shape, step_px, max(2, round(shape[0] / step_px)), max(2, round(shape[1] / step_px)))

    def seeds(self, rng: np.random.Generator, jitter: float) -> np.ndarray:
        """Return jittered centres, row and column in px; `jitter` is a share of the step."""
        centres = np.indices((self.rows, self.columns)).reshape(2, -1).T + 0.5  # [S, 2]
        centres += rng.uniform(-jitter, jitter, centres.shape)
        return (centres * (np.array(self.shape) / (self.rows, self.columns))).astype(np.float32)

    def assign(self, distance: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Give each px to its nearest seed.

        Args:
            distance: Takes one seed number per px, [H, W], and returns that seed's distance from each px.

        Returns:
            Seed numbers [H, W], and how much further the second nearest seed is [H, W].
        """
        row = (np.arange(self.shape[0]) * self.rows // self.shape[0])[:, None]
        column = (np.arange(self.shape[1]) * self.columns // self.shape[1])[None, :]
        labels = np.zeros(self.shape, np.int64)
        best, second = (np.full(self.shape, 1e9, np.float32) for _ in range(2))
        for step_row, step_column in np.ndindex(3, 3):
            inside = (row + step_row - 1 >= 0) & (row + step_row - 1 < self.rows)
            inside = inside & (column + step_column - 1 >= 0) & (column + step_column - 1 < self.columns)
            seed = np.clip(row + step_row - 1, 0, self.rows - 1) * self.columns
            seed = seed + np.clip(column + step_column - 1, 0, self.columns - 1)
            away = np.where(inside, distance(seed), 1e9)
            second = np.minimum(second, np.maximum(best, away))
            labels = np.where(away < best, seed, labels)
            best = np.minimum(best, away)
        return labels, second - best


def label_means(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return the mean of `values` [H, W, C] over each label, [count, C]; 0 where a label has no px."""
    flat, sizes = labels.ravel(), np.bincount(labels.ravel(), minlength=count)
    sums = [np.bincount(flat, channel.ravel(), count) for channel in np.moveaxis(values, -1, 0)]
    return (np.stack(sums, -1) / np.maximum(sizes, 1)[:, None]).astype(np.float32)


def superpixels(image: np.ndarray, rng: np.random.Generator, step_px: float, evenness: float) -> np.ndarray:
    """Cut an image into patches of about `step_px` that follow its edges.

    Source: Achanta et al., SLIC superpixels (2012), four rounds; `evenness` weighs place against sRGB colour.
    """
    grid = CellGrid.over(image.shape[:2], step_px)
    place = np.stack(np.indices(grid.shape, np.float32), -1) * (evenness / step_px)
    features = np.concatenate([place, image], -1)  # [H, W, 5]
    seeds = grid.seeds(rng, 0.3)
    at = np.clip(seeds.astype(int), 0, np.array(grid.shape) - 1)
    centres = features[at[:, 0], at[:, 1]]
    for _ in range(4):
        labels, _ = grid.assign(lambda seed, centres=centres: np.square(features - centres[seed]).sum(-1))
        centres = label_means(features, labels, len(centres))
    return cv2.medianBlur(cv2.medianBlur(labels.astype(np.uint16), 5), 5).astype(np.int64)


def border_distance(labels: np.ndarray) -> np.ndarray:
    """Return each px's distance from the nearest border between labels, px; 1e4 if there is no border."""
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    return np.minimum(cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, 5), 1e4)
