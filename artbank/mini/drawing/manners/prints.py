"""Painting manners that cut the picture into pieces or lines: mosaic, glass, cubist facets, engraving.

Each turns any image, [H, W, 3] sRGB 0..1, into a picture of the same shape. Sizes are px at a short side of 128.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from artbank.mini.drawing.manners import surfaces
from artbank.mini.drawing.manners.strokes import blur, scale_of
from artbank.mini.drawing.manners.surfaces import CellGrid, finish, mix, ramp, to_luma

GOLD = np.array([0.88, 0.68, 0.22], np.float32)
GROUT = np.array([0.17, 0.13, 0.11], np.float32)
CUBIST_WARM = np.array([(0.13, 0.10, 0.07), (0.45, 0.29, 0.11), (0.79, 0.55, 0.22), (0.97, 0.86, 0.60)], np.float32)
CUBIST_COOL = np.array([(0.12, 0.13, 0.11), (0.31, 0.34, 0.25), (0.55, 0.57, 0.52), (0.88, 0.88, 0.82)], np.float32)
INK = np.array([0.09, 0.13, 0.42], np.float32)
PEACH = np.array([0.985, 0.86, 0.78], np.float32)


def paint_castellan(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Set a mosaic of square tesserae that follow the forms, in rich colours and gold, on dark grout.

    Source: Hausner, Simulating decorative mosaics (2001): Voronoi cells of a metric turned with the image's edges.
    """
    scale = scale_of(image)
    step = rng.uniform(5.2, 6.2) * scale
    labels, gap, count = _tesserae(image, rng, step)
    vivid = surfaces.relight(image, surfaces.stretch_tone(to_luma(image)))
    colours = 1.12 * _enamel(surfaces.label_means(vivid, labels, count)[None], rng)[0]
    colours = colours * rng.normal(1, 0.07, (count, 1)) + rng.normal(0, 0.025, (count, 3))
    return finish(mix(np.clip(colours, 0, 1)[labels], GROUT, ramp(gap, 1.9 * scale, 0.5 * scale) * 0.8))


def _tesserae(image: np.ndarray, rng: np.random.Generator, step_px: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Return tile numbers [H, W], twice the distance from a tile's border [H, W], and how many tiles there are."""
    grid = CellGrid.over(image.shape[:2], step_px)
    turns = surfaces.orientation(blur(to_luma(image), step_px / 4), step_px)
    place = np.stack(np.indices(grid.shape, np.float32), -1)
    seeds = grid.seeds(rng, 0.25)
    for _ in range(3):
        at = np.clip(seeds.astype(int), 0, np.array(grid.shape) - 1)
        labels, gap = grid.assign(_turned_square(place, seeds, turns[at[:, 0], at[:, 1]]))
        seeds = surfaces.label_means(place, labels, len(seeds))
    return labels, gap, len(seeds)


def _turned_square(place: np.ndarray, seeds: np.ndarray, turns: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the distance to a seed whose equal lines are squares turned by that seed's angle."""
    sine, cosine = np.sin(turns), np.cos(turns)

    def distance(seed: np.ndarray) -> np.ndarray:
        rows, columns = place[..., 0] - seeds[seed, 0], place[..., 1] - seeds[seed, 1]
        along = np.abs(columns * cosine[seed] + rows * sine[seed])
        return np.maximum(along, np.abs(rows * cosine[seed] - columns * sine[seed]))

    return distance


def _enamel(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deepen colours to enamel, and gild the light and the dull ones."""
    luma = to_luma(colours)
    chroma = np.ptp(colours, -1)
    rich = surfaces.saturate(colours, 2.1)
    gold = GOLD * (0.45 + 0.75 * luma[..., None])
    leaf = rng.uniform(0.15, 0.3, luma.shape) + 0.4 * (rng.random(luma.shape) < rng.uniform(0.25, 0.4))
    gilding = ramp(luma, 0.2, 0.7) * ramp(chroma, 0.6, 0.15) * leaf
    return mix(rich, gold, gilding)


def paint_petrov(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fit stained glass: panes of glowing jewel colours in black lead.

    Source: panes are SLIC superpixels (Achanta et al., 2012); the glow falls off from a pane's middle.
    """
    scale, shape = scale_of(image), image.shape[:2]
    soft = surfaces.flatten(blur(image, 0.7 * scale), 3 * scale)
    soft = surfaces.relight(soft, surfaces.stretch_tone(to_luma(soft)))
    labels = surfaces.superpixels(soft, rng, rng.uniform(12, 15) * scale, rng.uniform(0.22, 0.28))
    count = int(labels.max()) + 1
    panes = _jewels(surfaces.label_means(soft, labels, count)[None], rng)[0]
    inset = surfaces.border_distance(labels)
    glow = ramp(inset, 0, 6 * scale)
    streaks = 0.05 * surfaces.noise(shape, rng, 3 * scale, stretch=5)
    glass = panes[labels] * (0.88 + 0.24 * glow + streaks)[..., None] + 0.10 * (glow**2)[..., None]
    lead_px = (0.75 + 1.25 * ramp(_step_between(to_luma(panes)[labels], scale), 0.05, 0.3)) * scale
    return finish(mix(glass, np.array([0.03, 0.03, 0.04]), ramp(inset / lead_px, 1, 0.5)))


def _step_between(luma: np.ndarray, scale: float) -> np.ndarray:
    """Return how much the tone changes near each px, so that lead is heaviest where forms meet."""
    reach = 2 * round(1.5 * scale) + 1
    return blur(cv2.morphologyEx(luma, cv2.MORPH_GRADIENT, np.ones((reach, reach))), scale)


def _jewels(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn colours to ruby, amber, emerald, sapphire and amethyst of the same lightness."""
    hsv = cv2.cvtColor(np.clip(colours, 0, 1), cv2.COLOR_RGB2HSV)
    jewels = np.array([2, 36, 140, 212, 285], np.float32) + rng.uniform(-6, 6)
    turn = (jewels - hsv[..., :1] + 180) % 360 - 180  # [1, S, 5]
    nearest = np.take_along_axis(turn, np.abs(turn).argmin(-1, keepdims=True), -1)
    hue = hsv[..., 0] + 0.6 * nearest[..., 0]
    dull = hsv[..., 1] < 0.1
    hue[dull] = np.where(hsv[..., 2] < rng.uniform(0.45, 0.6), 218, 44)[dull]  # grey glass: sapphire below, amber above
    hue = (hue + rng.normal(0, 8, hue.shape)) % 360
    saturation = np.clip(0.55 + 1.0 * hsv[..., 1], 0, 0.97) * (1 - 0.28 * to_luma(colours))
    value = 0.14 + 0.86 * hsv[..., 2]
    return cv2.cvtColor(np.stack([hue, saturation, value], -1).astype(np.float32), cv2.COLOR_HSV2RGB)


def paint_ferrante(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Break the picture into cubist facets: shifted straight-edged planes, shaded from one edge, ochre and grey."""
    scale, shape = scale_of(image), image.shape[:2]
    tone = surfaces.model_tone(surfaces.flatten(image, 3.5 * scale), scale)
    broad = _facets(shape, rng, int(rng.integers(8, 11)))
    over = _facets(shape, rng, int(rng.integers(4, 6)))
    tone = _broken_tone(tone, broad, rng, scale) + _plane_shade(over, rng, 0.12)
    warmth = 0.7 * rng.random(int(broad.max()) + 1)[broad] + 0.3 * rng.random(int(over.max()) + 1)[over]
    colour = mix(surfaces.tone_palette(tone, CUBIST_COOL), surfaces.tone_palette(tone, CUBIST_WARM), warmth)
    colour = mix(colour, surfaces.saturate(image, 1.2), np.full(shape, 0.12, np.float32))
    edges = blur(ramp(surfaces.border_distance(broad), 1.5 * scale, 0.4 * scale), 0.5 * scale)
    return finish(mix(colour, CUBIST_COOL[0], 0.8 * edges))


def _facets(shape: tuple[int, int], rng: np.random.Generator, num_lines: int) -> np.ndarray:
    """Cut the sheet by random lines and number the pieces, [H, W]."""
    rows, columns = np.indices(shape, np.float32)
    code = np.zeros(shape, np.int64)
    angles = rng.uniform(0, np.pi) + np.arange(num_lines) * 2.4 + rng.normal(0, 0.15, num_lines)
    for angle, row, column in zip(angles, *rng.uniform(0.1, 0.9, (2, num_lines)), strict=True):
        side = (columns - column * shape[1]) * np.sin(angle) > (rows - row * shape[0]) * np.cos(angle)
        code = code * 2 + side
    return np.unique(code, return_inverse=True)[1].reshape(shape)


def _broken_tone(tone: np.ndarray, labels: np.ndarray, rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return the tone seen through facets, each moved and turned a little and shaded from one edge."""
    count = int(labels.max()) + 1
    place = np.stack(np.indices(labels.shape, np.float32), -1)
    centred = place - surfaces.label_means(place, labels, count)[labels]
    turn = rng.normal(0, 0.12, count)[labels]
    shift = rng.normal(0, 2 * scale, (count, 2))[labels]
    rows = place[..., 0] + shift[..., 0] + centred[..., 1] * turn
    columns = place[..., 1] + shift[..., 1] - centred[..., 0] * turn
    at = columns.astype(np.float32), rows.astype(np.float32)
    moved = cv2.remap(tone, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return moved + _plane_shade(labels, rng, 0.2)


def _plane_shade(labels: np.ndarray, rng: np.random.Generator, depth: float) -> np.ndarray:
    """Return shading that rises over each facet from -depth to depth, in a direction of the facet's own."""
    count = int(labels.max()) + 1
    place = np.stack(np.indices(labels.shape, np.float32), -1)
    centred = place - surfaces.label_means(place, labels, count)[labels]
    heading = rng.uniform(0, 2 * np.pi, count)[labels]
    slope = centred[..., 0] * np.sin(heading) + centred[..., 1] * np.cos(heading)
    reach = np.ones(count)
    np.maximum.at(reach, labels.ravel(), np.abs(slope).ravel())
    return depth * slope / reach[labels]


def paint_marchetti(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Engrave in blue ink on peach paper: wavy lines that bend over the forms and swell with darkness.

    Source: the swelling line of copper engraving, as in Ostromoukhov, Digital facial engraving (1999).
    """
    scale, shape = scale_of(image), image.shape[:2]
    tone = surfaces.model_tone(image, scale, 0.5)
    rows, columns = np.indices(shape, np.float32)
    lean = rng.uniform(-0.25, 0.25)
    wave = rng.uniform(0.5, 0.8) * np.sin(2 * np.pi * (columns / scale / rng.uniform(45, 65) + rng.random()))
    phase = (rows + lean * columns) / (rng.uniform(4.4, 5.2) * scale) + wave
    phase += rng.uniform(2.2, 3) * blur(tone, 6 * scale)
    coverage = np.clip(1 - blur(tone, 0.7 * scale) ** 0.8, 0.13, 0.9)
    paper = PEACH + 0.012 * surfaces.noise(shape, rng, 16 * scale)[..., None]
    ink = surfaces.ruled_lines(phase, coverage)
    return finish(mix(paper, INK, ink * 0.96))
