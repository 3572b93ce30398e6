"""The space of painting manners: each point is a manner, drawn from a seed.

A manner has a stroke engine, an orientation field and continuous settings of strokes, colours, outlines, ground and
light. Manners that are close in their settings look alike; see `engines` for how a manner paints.

Sizes are px at a short side of 128 px, angles are radians, colours are CIE Lab (L 0..100).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

ENGINES = ("ribbons", "dabs", "dots", "hatching", "slabs", "facets", "cells", "wash", "dry brush")
FIELDS = ("edges", "constant", "vortex", "radial", "noise")
PALETTES = ("full", "limited", "sepia", "ink")
GROUNDS = ("paint", "canvas", "paper")

KNOWN = 320
"""Manners for the corpus: those of the seeds 0 to `KNOWN` - 1. The shipped weights know none of them."""
HELD_OUT_SEEDS = tuple(range(1_000_000, 1_000_012))
"""Manners that no network is trained on."""

_SIZES_PX = {
    "ribbons": (2.0, 6.5),
    "dabs": (2.2, 6.0),
    "dots": (2.2, 4.5),
    "hatching": (1.0, 2.2),
    "slabs": (4.0, 10.0),
    "facets": (10.0, 28.0),
    "cells": (4.5, 11.0),
    "wash": (2.2, 6.0),
    "dry brush": (4.0, 9.0),
}
"""Smallest and largest stroke, dot, cell or facet of an engine."""

_FIRST = ("Al", "Bar", "Cor", "Del", "Es", "Fal", "Gor", "Hel", "Is", "Jor", "Kas", "Lor", "Mar", "Nor", "Os", "Pel")
_MIDDLE = ("an", "be", "di", "en", "ga", "il", "ko", "la", "mi", "no", "or", "ra", "se", "ti", "ul", "va")
_LAST = (
    "berg",
    "cour",
    "din",
    "eau",
    "fel",
    "gren",
    "holm",
    "ini",
    "kov",
    "lund",
    "mont",
    "nik",
    "oz",
    "ro",
    "sen",
    "to",
)


@dataclass(frozen=True)
class MannerSettings:
    """One point of the space.

    Attributes:
        engine: One of `ENGINES`.
        field: One of `FIELDS`: the direction of the strokes.
        angle: Direction of a constant field, or the slant of rows, 0..pi.
        along_edges: Share of the image's own edges in the direction of the strokes, 0..1.
        size_px: Width of a stroke, or the size of a dot, cell or facet.
        length: Length of a stroke in widths, 1.5..7.
        layers: Layers of paint, each finer than the one below, 1..3.
        coverage: Share of the ground that each layer covers, 0.7..1.1: above 1 the strokes overlap.
        palette: One of `PALETTES`.
        hue: Hue of the palette's first ink, of a single ink, or of the tint, 0..2 pi.
        num_inks: Inks of a limited palette, 3..8.
        pull: How far colours are drawn toward the inks, 0..1.
        saturation: Factor of chroma, 0.3..2.
        contrast: Factor of lightness around 50, 0.7..1.5.
        key: Added to the lightness, -14..14.
        split: Warm lights and cool shadows if positive, the reverse if negative, in units of Lab, -18..18.
        broken: Variation of hue from stroke to stroke, radians, 0..0.5.
        outline: Strength of outlines, 0..1; below 0.15 there are none.
        ground: One of `GROUNDS`: what lies under the strokes.
        ground_light: Lightness of canvas or paper, 12..96.
        grain: Strength of the ground's texture, 0..1.
        impasto: How strongly thick paint catches the light, 0..0.24; 0 in two of five manners.
        blooms: Unevenness of thin paint, 0..1.
    """

    engine: str
    field: str
    angle: float
    along_edges: float
    size_px: float
    length: float
    layers: int
    coverage: float
    palette: str
    hue: float
    num_inks: int
    pull: float
    saturation: float
    contrast: float
    key: float
    split: float
    broken: float
    outline: float
    ground: str
    ground_light: float
    grain: float
    impasto: float
    blooms: float


def sample_manner(seed: int) -> MannerSettings:
    """Draw a manner; consecutive seeds go through the engines in turn, so that each has its share."""
    rng = np.random.default_rng([seed, 71])
    engine = ENGINES[seed % len(ENGINES)]
    low_px, high_px = _SIZES_PX[engine]
    palette = str(rng.choice(PALETTES, p=(0.35, 0.40, 0.10, 0.15)))
    is_dark = rng.random() < 0.2
    ground = str(rng.choice(GROUNDS, p=(0.4, 0.3, 0.3)))
    has_outline = rng.random() < 0.35
    return MannerSettings(
        engine=engine,
        field=str(rng.choice(FIELDS, p=(0.35, 0.25, 0.15, 0.1, 0.15))),
        angle=float(rng.uniform(0, pi)),
        along_edges=float(rng.uniform(0, 0.8)),
        size_px=float(low_px * (high_px / low_px) ** rng.random()),
        length=float(rng.uniform(1.5, 7)),
        layers=int(rng.integers(1, 4)),
        coverage=float(rng.uniform(0.7, 1.1)),
        palette=palette,
        hue=float(rng.uniform(0, 2 * pi)),
        num_inks=int(rng.integers(3, 9)),
        pull=float(rng.uniform(0.55, 0.95)),
        saturation=float(rng.uniform(0.35, 2.0)),
        contrast=float(rng.uniform(0.75, 1.45)),
        key=float(rng.uniform(-12, 12)),
        split=float(np.clip(rng.normal(0, 8), -18, 18)),
        broken=float(rng.uniform(0, 0.45)),
        outline=float(rng.uniform(0.5, 1)) if has_outline else 0.0,
        ground=ground,
        ground_light=float(rng.uniform(12, 30) if is_dark else rng.uniform(74, 96)),
        grain=float(rng.uniform(0, 1)),
        impasto=float(np.clip(rng.uniform(-0.16, 0.24), 0, None)),
        blooms=float(rng.uniform(0, 1)),
    )


def name_manner(seed: int) -> str:
    """Return the invented name of a sampled manner, such as `Corenholm`; no two of the first 4096 are equal."""
    index = seed % 4096 if seed < HELD_OUT_SEEDS[0] else 4095 - (seed - HELD_OUT_SEEDS[0])
    shuffled = index * 1117 % 4096  # neighbours get unlike names
    first, rest = divmod(shuffled, 256)
    middle, last = divmod(rest, 16)
    return _FIRST[first] + _MIDDLE[middle] + _LAST[last]


def describe_manner(manner: MannerSettings) -> str:
    """Return a manner in words for a caption, such as `in short curved dabs and few warm inks, with dark outlines`."""
    text = f"in {_stroke_words(manner)} and {_colour_words(manner)}"
    extras = []
    if manner.outline:
        extras.append("dark outlines")
    if manner.ground != "paint" and manner.coverage < 0.8:
        extras.append(f"{'dark' if manner.ground_light < 50 else 'light'} {manner.ground} between")
    if manner.impasto > 0.18 and manner.engine in ("ribbons", "dabs", "slabs", "dry brush"):
        extras.append("thick paint")
    return f"{text}, with {' and '.join(extras)}" if extras else text


def _stroke_words(manner: MannerSettings) -> str:
    low_px, high_px = _SIZES_PX[manner.engine]
    is_large = manner.size_px > (low_px * high_px) ** 0.5
    size = "large" if is_large else "small"
    if manner.engine in ("facets", "cells", "dots", "slabs"):
        return f"{size} {manner.engine}"
    if manner.engine == "wash":
        return f"a {'broad' if is_large else 'fine'} wash"
    length = "long" if manner.length > 4 else "short"
    course = {"edges": "curved", "constant": "parallel", "vortex": "swirling", "radial": "radiating", "noise": "wavy"}
    strokes = {"ribbons": "strokes", "dabs": "dabs", "hatching": "pen lines", "dry brush": "dry strokes"}
    return f"{length} {course[manner.field]} {strokes[manner.engine]}"


def _colour_words(manner: MannerSettings) -> str:
    if manner.palette == "sepia":
        return "brown sepia"
    if manner.palette == "ink":
        return f"one {_hue_word(manner.hue)} ink"
    if manner.palette == "limited":
        count = "few" if manner.num_inks < 5 else "many"
        return f"{count} {'warm' if np.cos(manner.hue - 1) > 0 else 'cool'} inks"
    if manner.saturation > 1.25:
        return "vivid colours"
    return "muted colours" if manner.saturation < 0.75 else "colours"


def _hue_word(hue: float) -> str:
    words = ("red", "orange", "yellow", "green", "teal", "blue", "violet", "pink")
    return words[int(hue / (2 * pi) * len(words)) % len(words)]
