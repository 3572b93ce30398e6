"""Painting manners of ink, charcoal, wash and block print.

Each turns any image, [H, W, 3] sRGB 0..1, into a picture of the same shape. Sizes are px at a short side of 128.
"""

from __future__ import annotations

import cv2
import numpy as np

from artbank.mini.drawing.manners import surfaces
from artbank.mini.drawing.manners.prints import paint_castellan, paint_ferrante, paint_marchetti, paint_petrov
from artbank.mini.drawing.manners.strokes import Manner, blur, scale_of
from artbank.mini.drawing.manners.surfaces import finish, mix, ramp, to_luma

WOODBLOCK = np.array(
    [
        (0.10, 0.15, 0.31),
        (0.22, 0.36, 0.56),
        (0.62, 0.74, 0.80),
        (0.96, 0.92, 0.82),
        (0.91, 0.80, 0.58),
        (0.75, 0.56, 0.33),
        (0.76, 0.33, 0.25),
        (0.34, 0.55, 0.48),
        (0.68, 0.78, 0.62),
        (0.19, 0.31, 0.29),
    ],
    np.float32,
)
"""Indigo dark to pale, paper, two ochres, soft red, sea green from mid to pale to deep."""


def paint_hayami(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Print flat woodblock colours under a dark key block, with bokashi shading above and faint wood grain.

    Source: the ukiyo-e landscape print; the fewest colours are chosen per image, each drawn toward the image's own.
    """
    scale, shape = scale_of(image), image.shape[:2]
    flat = surfaces.flatten(image, rng.uniform(2.5, 3.5) * scale)
    flat = surfaces.relight(flat, surfaces.model_tone(flat, scale, 0.25))
    labels, colours = _block_colours(flat, rng, scale)
    print_ = blur(colours[labels], 0.5 * scale)
    grain = surfaces.wood_grain(shape, rng, scale)
    print_ = print_ + 0.015 * grain[..., None]
    print_ = mix(print_, WOODBLOCK[1], _bokashi(print_, rng))
    return finish(mix(print_, WOODBLOCK[0] * 0.7, _key_block(flat, labels, scale)))


def _block_colours(flat: np.ndarray, rng: np.random.Generator, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which block prints each px, and the blocks' inks."""
    vivid = surfaces.saturate(flat, 1.35)
    inks = cv2.cvtColor(WOODBLOCK[None], cv2.COLOR_RGB2LAB)[0]
    lab = cv2.cvtColor(vivid.astype(np.float32), cv2.COLOR_RGB2LAB)
    gaps = np.stack([np.square(lab - ink) @ np.array([1.4, 1, 1], np.float32) for ink in inks])
    smooth = np.stack([blur(gap, scale) for gap in gaps])  # so that no speck is cut as a block
    labels = smooth.argmin(0)
    own = surfaces.label_means(vivid, labels, len(WOODBLOCK))
    return labels, WOODBLOCK + (own - WOODBLOCK) * rng.uniform(0.4, 0.55)


def _bokashi(print_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the share of indigo wiped over the light upper part, fading downward."""
    height = np.linspace(0, 1, print_.shape[0], dtype=np.float32)[:, None]
    return rng.uniform(0.6, 0.8) * ramp(height, rng.uniform(0.3, 0.42), 0) * ramp(to_luma(print_), 0.45, 0.75)


def _key_block(flat: np.ndarray, labels: np.ndarray, scale: float) -> np.ndarray:
    """Return the ink of outlines, 1.5-2 px wide: borders between blocks where the tone changes too, and edges."""
    near = surfaces.border_distance(labels)
    step = cv2.morphologyEx(to_luma(flat), cv2.MORPH_GRADIENT, np.ones((3, 3)), iterations=max(1, round(scale)))
    borders = ramp(near, 1.3 * scale, 0.3 * scale) * ramp(step, 0.06, 0.16)
    return np.maximum(borders, surfaces.contour_ink(to_luma(flat), 0.8 * scale, 0.012, 0.035)) * 0.92


def paint_lindqvist(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay transparent watercolour: flat wobbling washes, dark rims, granulation, bare paper at lights and border.

    Source: Bousseau et al., Interactive watercolor rendering (2006): pigment density changes C to C - (C - C^2)(d - 1).
    """
    scale, shape = scale_of(image), image.shape[:2]
    lit = surfaces.relight(image, surfaces.stretch_tone(to_luma(image), 0.6))
    wash = surfaces.flatten(blur(lit, 0.5 * scale), rng.uniform(3.5, 5) * scale)
    wash = surfaces.wobble(wash, rng, rng.uniform(6, 9) * scale, 1.1 * scale)
    wash = _thin(surfaces.saturate(wash, 1.8), rng.uniform(0.74, 0.84))
    wet = np.maximum(_bare_border(shape, rng, scale), ramp(to_luma(wash), 0.9, 0.97) * 0.9)
    density = 1 + 0.24 * surfaces.pigment_clouds(shape, rng, scale) + 0.10 * surfaces.paper_tooth(shape, rng, scale)
    density += 8 * _rims(wash, wet, scale)
    wash = wash - (wash - wash**2) * (density - 1)[..., None]
    paper = np.array([0.985, 0.975, 0.945]) + 0.008 * surfaces.paper_tooth(shape, rng, scale)[..., None]
    return finish(mix(wash, paper, wet))


def _thin(colour: np.ndarray, strength: float) -> np.ndarray:
    """Dilute paint toward white; the darks are a blue Payne's grey, never black."""
    cool = colour + 0.10 * (1 - to_luma(colour))[..., None] ** 2 * np.array([-0.4, 0.1, 1.0], np.float32)
    return 1 - (1 - cool) * strength


def _rims(wash: np.ndarray, bare: np.ndarray, scale: float) -> np.ndarray:
    """Return where pigment gathers: along edges of washes and where a wash ends on bare paper."""
    luma = to_luma(wash) + 0.25 * bare
    edges = np.hypot(cv2.Sobel(luma, -1, 1, 0), cv2.Sobel(luma, -1, 0, 1)) * scale / 8
    return np.minimum(blur(edges.astype(np.float32), 0.9 * scale), 0.25)


def _bare_border(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return 1 on the unpainted, ragged margin and 0 where there is paint."""
    rows, columns = np.indices(shape, np.float32)
    inset = np.minimum(np.minimum(rows, shape[0] - 1 - rows), np.minimum(columns, shape[1] - 1 - columns)) / scale
    ragged = inset + 3.2 * surfaces.noise(shape, rng, 14 * scale) + 1.2 * surfaces.noise(shape, rng, 4 * scale)
    margin = rng.uniform(3, 6)
    return ramp(ragged, margin + 1, margin - 1)


def paint_graves(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hatch in ink on cream paper: up to four crossed layers of lines by tone, and contours.

    Source: Winkenbach & Salesin, Computer-generated pen-and-ink illustration (1994): tone by layers of strokes.
    """
    scale, shape = scale_of(image), image.shape[:2]
    tone = surfaces.model_tone(surfaces.flatten(image, 2 * scale), scale)
    dark = blur(1 - tone, 0.8 * scale)
    base, period = rng.uniform(0.55, 0.95), rng.uniform(4.0, 4.8) * scale
    paint = surfaces.contour_ink(tone, 1.1 * scale, 0.012, 0.04)
    for turn, threshold in ((0, 0.2), (1.65, 0.5), (0.8, 0.72), (2.4, 0.86)):
        coverage = np.clip((dark - threshold) * 1.25, 0, 0.5)
        paint = np.maximum(paint, _hatch_layer(shape, rng, base + turn, period, coverage))
    cream = np.array([0.955, 0.925, 0.845]) + 0.012 * surfaces.noise(shape, rng, 20 * scale)[..., None]
    ink = np.array([0.13, 0.09, 0.07]) + rng.uniform(0, 0.07) * np.array([1, 0.6, 0.2])
    return finish(mix(cream, ink, paint * 0.95))


def _hatch_layer(
    shape: tuple[int, int], rng: np.random.Generator, angle: float, period_px: float, coverage: np.ndarray
) -> np.ndarray:
    """Return the ink of one layer of nearly straight pen lines, with the pressure of a hand."""
    rows, columns = np.indices(shape, np.float32)
    phase = (columns * np.sin(angle) - rows * np.cos(angle)) / period_px
    phase += 0.14 * surfaces.noise(shape, rng, 7 * period_px)
    pressure = 1 + 0.16 * surfaces.noise(shape, rng, 3 * period_px)
    return surfaces.ruled_lines(phase, coverage * pressure)


def paint_sorel(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw in charcoal on grey paper: smudged tones, grainy blacks along edges, chalk on the highest lights."""
    scale, shape = scale_of(image), image.shape[:2]
    tone = surfaces.model_tone(surfaces.flatten(image, 2.5 * scale), scale, 0.5)
    smudged = _smear(tone, rng.uniform(0.6, 1), rng.uniform(9, 13) * scale)
    tooth = surfaces.paper_tooth(shape, rng, scale)
    paper = rng.uniform(0.60, 0.66) + 0.018 * tooth
    rubbed = paper * (1 - 0.72 * ramp(smudged, 0.75, 0.0))
    black = surfaces.contour_ink(tone, 2.2 * scale, 0.0, 0.08) + 0.6 * ramp(tone, 0.35, 0.05)
    drawn = rubbed * (1 - 0.86 * ramp(black + 0.16 * tooth, 0.25, 0.8))
    dragged = _smear(tooth, 0.8, 6 * scale) * 1.8
    chalk = ramp(_smear(tone, 0.8, 5 * scale) + 0.08 * dragged, 0.8, 1.02) * 0.85
    grey = drawn + (0.97 - drawn) * chalk
    tint = np.array([1.0, 0.985, 0.955]) + rng.uniform(-0.012, 0.012) * np.array([1, 0, -1])
    return finish(grey[..., None] * tint)


def _smear(tone: np.ndarray, angle: float, length_px: float) -> np.ndarray:
    """Rub a tone along one direction."""
    side = 2 * max(1, round(length_px / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    reach = (side - 1) / 2 * np.array([np.cos(angle), -np.sin(angle)])
    start, end = (tuple(int(v) for v in np.round(side // 2 + sign * reach)) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    kernel = blur(kernel, side / 12)
    return cv2.filter2D(tone, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


GRAPHIC_PAINTERS: dict[str, Manner] = {
    "Hayami": paint_hayami,
    "Lindqvist": paint_lindqvist,
    "Graves": paint_graves,
    "Sorel": paint_sorel,
    "Castellan": paint_castellan,
    "Petrov": paint_petrov,
    "Ferrante": paint_ferrante,
    "Marchetti": paint_marchetti,
}
