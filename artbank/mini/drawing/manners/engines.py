"""How a sampled manner paints: colours, orientation field, strokes by its engine, outlines, ground and light.

Shape legend: H, W image; N strokes; P inks of a palette. Images are sRGB 0..1 float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from artbank.mini.drawing.manners import surfaces
from artbank.mini.drawing.manners.space import MannerSettings
from artbank.mini.drawing.manners.strokes import (
    Canvas,
    blur,
    constant_flow,
    discs,
    edge_flow,
    from_lab,
    gray_of,
    jitter,
    lanes,
    ribbons,
    sample,
    scale_of,
    scatter,
    slabs,
    smooth_noise,
    to_lab,
    toward_palette,
    trace,
)

_FINER = 0.62  # width of a layer's strokes to those of the layer below
_ERRORS = (0.0, 0.07, 0.10)  # difference to the image, 0..1, from which a finer layer paints over
_BRISTLES = 4


def paint_sampled(image: np.ndarray, manner: MannerSettings, rng: np.random.Generator) -> np.ndarray:
    """Paint an image in a sampled manner.

    Args:
        image: [H, W, 3] float32 sRGB 0..1, short side 64 px or more.
        manner: The manner.
        rng: Varies strokes; pictures by one manner share its settings.

    Returns:
        [H, W, 3] float32 sRGB 0..1.
    """
    colours = map_colours(blur(image, scale_of(image)), manner)
    ground = _ground(colours, manner, rng)
    painted = _ENGINES[manner.engine](image, colours, ground, manner, rng)
    if manner.outline >= 0.15:
        ink = from_lab(np.array([12, 10 * np.cos(manner.hue), 10 * np.sin(manner.hue)], np.float32))
        edges = surfaces.contour_ink(surfaces.to_luma(blur(image, scale_of(image))), 1.2 * scale_of(image))
        painted = surfaces.mix(painted, ink, manner.outline * edges)
    return surfaces.finish(painted)


def map_colours(image: np.ndarray, manner: MannerSettings) -> np.ndarray:
    """Give an image the tones and the palette of a manner."""
    lab = to_lab(image)
    lab[..., 0] = np.clip(50 + manner.contrast * (lab[..., 0] - 50) + manner.key, 2, 98)
    lab[..., 1:] *= manner.saturation
    light = (lab[..., 0] - 50) / 50  # -1..1: warm lights and cool shadows, or the reverse
    lab[..., 1] += 0.35 * manner.split * light
    lab[..., 2] += manner.split * light
    if manner.palette in ("ink", "sepia"):
        hue = 1.1 if manner.palette == "sepia" else manner.hue
        chroma = (22.0 if manner.palette == "sepia" else 42.0) * (1 - np.abs(light))
        lab[..., 1] = chroma * np.cos(hue)
        lab[..., 2] = chroma * np.sin(hue)
    elif manner.palette == "limited":
        lab = toward_palette(lab, _inks(manner), manner.pull, spread=8)
    return from_lab(lab)


def _inks(manner: MannerSettings) -> np.ndarray:
    """Return the inks of a limited palette, [P, 3]: spread over lightness, in hues around two poles."""
    number = np.arange(manner.num_inks)
    lightness = np.linspace(18, 93, manner.num_inks)
    hue = manner.hue + np.where(number % 2, 2.6, 0.0) + 0.5 * np.sin(3 * number + manner.hue)
    chroma = 16 + 30 * np.clip(manner.saturation / 1.5, 0.3, 1) * np.sin(np.pi * (number + 0.6) / manner.num_inks)
    return from_lab(np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1).astype(np.float32))


def _ground(colours: np.ndarray, manner: MannerSettings, rng: np.random.Generator) -> np.ndarray:
    """Return what lies under the strokes: an underpainting, canvas with its weave, or paper with its tooth."""
    scale = scale_of(colours)
    shape = colours.shape[:2]
    if manner.ground == "paint":
        return blur(colours, 6 * scale)
    tint = np.array([manner.ground_light, 5 * np.cos(manner.hue), 5 * np.sin(manner.hue)], np.float32)
    plain = np.broadcast_to(from_lab(tint), colours.shape)
    if manner.ground == "paper":
        texture = 0.03 * surfaces.paper_tooth(shape, rng, scale)
    else:
        rows, columns = np.indices(shape, np.float32)
        texture = 0.05 * np.sin(2.1 * rows / scale) * np.sin(2.1 * columns / scale)
    return np.clip(plain + manner.grain * texture[..., None], 0, 1).astype(np.float32)


def _flow(image: np.ndarray, manner: MannerSettings, rng: np.random.Generator) -> np.ndarray:
    """Return the direction of strokes in double-angle form, complex [H, W]."""
    scale = scale_of(image)
    height, width = image.shape[:2]
    rows, columns = np.indices((height, width), np.float32)
    edges = edge_flow(gray_of(image), 2.5 * scale, scale)
    if manner.field == "edges":
        return edges + 0.15 * constant_flow(manner.angle)
    if manner.field == "constant":
        own = np.full((height, width), constant_flow(manner.angle))
    elif manner.field == "radial":
        away = (columns - 0.5 * width) + 1j * (rows - 0.5 * height)
        own = (away / np.maximum(np.abs(away), 1)) ** 2 * constant_flow(manner.angle)
    elif manner.field == "vortex":
        own = edge_flow(smooth_noise(image.shape, 28 * scale, rng), 2 * scale, scale)
    else:
        own = constant_flow(manner.angle) * np.exp(0.9j * smooth_noise(image.shape, 30 * scale, rng))
    return own + manner.along_edges * edges


def _paint_strokes(
    image: np.ndarray, colours: np.ndarray, ground: np.ndarray, manner: MannerSettings, rng: np.random.Generator
) -> np.ndarray:
    """Lay strokes, coarse ones first, finer ones where the picture differs from the image."""
    scale = scale_of(image)
    flow = _flow(image, manner, rng)
    guide = blur(image, scale)
    canvas = Canvas(image.shape, ground)
    for layer in range(manner.layers):
        width = manner.size_px * scale * _FINER**layer
        starts = scatter(image.shape, max(_spacing(manner) * width, 1.2), rng)
        missing = np.abs(sample(canvas.picture(), starts) - sample(colours, starts)).max(axis=1)
        starts = starts[missing >= _ERRORS[layer]]
        inks = jitter(sample(colours, starts), rng, light=3 + 8 * manner.broken, hue=manner.broken)
        _lay(canvas, manner, trace(flow, starts, 5, manner.length * width / 5, guide), inks, width, flow, rng)
    return canvas.lit(manner.impasto, scale)


def _spacing(manner: MannerSettings) -> float:
    """Return the distance between strokes in widths, at which they cover about the manner's share of the ground."""
    if manner.engine == "dots":
        area = 0.8
    elif manner.engine == "slabs":
        area = 0.75 * (0.35 + 0.25 * manner.length)
    else:
        area = 0.6 * min(manner.length, 3 if manner.engine == "dabs" else 7)  # strokes stop at edges and overlap
    return (area / manner.coverage) ** 0.5


def _lay(
    canvas: Canvas,
    manner: MannerSettings,
    paths: np.ndarray,
    inks: np.ndarray,
    width_px: float,
    flow: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Lay one layer of strokes on a canvas, by the manner's engine."""
    body = rng.uniform(0.2, 1, len(paths))
    starts = paths[:, 0]
    if manner.engine == "dabs":
        canvas.lines(paths[:, :3], inks, width_px, body)
    elif manner.engine == "dots":
        canvas.polygons(discs(starts, 0.5 * width_px * rng.uniform(0.85, 1.15, len(starts))), inks, body)
    elif manner.engine == "slabs":
        angles = 0.5 * np.angle(sample(flow, starts)) + rng.normal(0, 0.15, len(starts))
        sizes = width_px * rng.uniform(0.8, 1.2, (len(starts), 2)) * [0.35 + 0.25 * manner.length, 0.75]
        canvas.polygons(slabs(starts, angles, sizes, rng), inks, body)
    elif manner.engine == "dry brush":
        side = np.gradient(paths, axis=1) + 1e-3
        side = 1j * side / np.abs(side) * width_px / _BRISTLES
        for bristle in np.arange(_BRISTLES) - (_BRISTLES - 1) / 2:
            is_wet = rng.random(len(paths)) < 0.75
            shifted = paths[is_wet] + bristle * side[is_wet]
            canvas.lines(shifted, inks[is_wet] * rng.uniform(0.9, 1.1), 0.7 * width_px / _BRISTLES, body[is_wet])
    else:
        canvas.polygons(ribbons(paths, width_px, taper=0.6), inks, body)


def _paint_hatching(
    image: np.ndarray, colours: np.ndarray, ground: np.ndarray, manner: MannerSettings, rng: np.random.Generator
) -> np.ndarray:
    """Draw lines that are denser where the image is dark, or light on a dark ground; each layer crosses the last."""
    scale = scale_of(image)
    light = gray_of(blur(image, scale))
    is_dark_ground = manner.ground != "paint" and manner.ground_light < 50
    need = light if is_dark_ground else 1 - light
    sheet = ground if manner.ground != "paint" else np.full_like(colours, 0.96)
    canvas = Canvas(image.shape, sheet)
    spacing = 2.3 * manner.size_px * scale
    step = manner.length * manner.size_px * scale
    flow = _flow(image, manner, rng)
    for layer, threshold in enumerate((0.12, 0.38, 0.62)[: manner.layers]):
        turn = 0.9 * layer
        starts = lanes(image.shape, manner.angle + turn, 1.1 * step, spacing, rng)
        wanted = sample(need, starts) + rng.normal(0, 0.06, len(starts)) > threshold
        starts = starts[wanted]
        paths = trace(flow * constant_flow(turn), starts, 4, step / 3)
        inks = sample(colours, starts) * (1.0 if is_dark_ground else 0.6)
        canvas.lines(paths, jitter(inks, rng, light=3, hue=manner.broken), manner.size_px * scale)
    return canvas.picture()


def _paint_cells(
    image: np.ndarray, colours: np.ndarray, ground: np.ndarray, manner: MannerSettings, rng: np.random.Generator
) -> np.ndarray:
    """Cut the picture into cells of one colour each, with the ground in the joints."""
    scale = scale_of(image)
    evenness = 0.12 + 0.25 * (1 - manner.along_edges)
    labels = surfaces.superpixels(colours, rng, manner.size_px * scale, evenness)
    count = int(labels.max()) + 1
    inks = jitter(surfaces.label_means(colours, labels, count), rng, light=2 + 8 * manner.broken, hue=manner.broken)
    joint_px = (0.3 + 1.2 * max(1 - manner.coverage, 0)) * scale
    inset = surfaces.border_distance(labels)
    joints = surfaces.ramp(inset, joint_px + 0.8 * scale, joint_px)
    filled = (
        inks[labels]
        + 0.5 * manner.impasto * (surfaces.ramp(surfaces.border_distance(labels), 0, 4 * scale) - 0.5)[..., None]
    )
    seam = 0.35 * ground if manner.ground == "paint" else ground
    return surfaces.mix(filled, seam, joints)


def _paint_facets(
    image: np.ndarray, colours: np.ndarray, ground: np.ndarray, manner: MannerSettings, rng: np.random.Generator
) -> np.ndarray:
    """Break the picture into straight-edged planes, each shaded from one side."""
    scale = scale_of(image)
    height, width = image.shape[:2]
    num_lines = int(np.clip(1.1 * min(height, width) / (manner.size_px * scale), 4, 12))
    rows, columns = np.indices((height, width), np.float32)
    angles = manner.angle + np.arange(num_lines) * (2.4 if manner.field != "constant" else 0.9)
    shade = np.zeros((height, width), np.float32)
    edge = np.full((height, width), 1e4, np.float32)
    spot = np.zeros((height, width), np.int64)
    for angle, row, column in zip(angles, *rng.uniform(0.05, 0.95, (2, num_lines)), strict=True):
        away = (columns - column * width) * np.sin(angle) - (rows - row * height) * np.cos(angle)
        spot = 2 * spot + (away > 0)
        edge = np.minimum(edge, np.abs(away))
        shade += np.where(away > 0, 1, -1) * np.exp(-np.abs(away) / (manner.size_px * scale))
    labels = np.unique(spot, return_inverse=True)[1].reshape(height, width)
    count = int(labels.max()) + 1
    tint = jitter(np.full((count, 3), 0.5, np.float32), rng, light=13, hue=0) - 0.5
    soft = surfaces.flatten(colours, 3 * scale)
    broken = soft + tint[labels] + 0.3 * shade[..., None] / num_lines**0.5
    lines = surfaces.ramp(edge, 1.3 * scale, 0.3 * scale) * max(1 - manner.coverage, 0) * 1.8
    return surfaces.mix(broken, ground, np.clip(lines, 0, 0.9))


def _paint_wash(
    image: np.ndarray, colours: np.ndarray, ground: np.ndarray, manner: MannerSettings, rng: np.random.Generator
) -> np.ndarray:
    """Wash thin colour over paper: flat areas, uneven pigment, and rims where it dries."""
    scale = scale_of(image)
    shape = image.shape[:2]
    wash = surfaces.flatten(surfaces.wobble(colours, rng, 8 * scale, 0.8 * scale), manner.size_px * scale)
    luma = surfaces.to_luma(wash)
    rims = np.clip(luma - blur(luma, 1.4 * scale), -0.1, 0.1)
    density = manner.blooms * 0.32 * surfaces.pigment_clouds(shape, rng, scale) - 2.2 * manner.layers * rims / 2
    wash = wash - (wash - wash**2) * np.clip(density, -0.5, 0.9)[..., None]
    sheet = np.full_like(wash, 0.97) if manner.ground == "paint" else ground
    bare = surfaces.ramp(luma + 0.06 * surfaces.noise(shape, rng, 5 * scale), 0.72 + 0.3 * manner.coverage, 1.05)
    if manner.ground_light < 50 and manner.ground != "paint":
        bare = 0.25 * bare
    return surfaces.mix(wash, sheet, bare)


_Engine = Callable[[np.ndarray, np.ndarray, np.ndarray, MannerSettings, np.random.Generator], np.ndarray]
_ENGINES: dict[str, _Engine] = {
    "ribbons": _paint_strokes,
    "dabs": _paint_strokes,
    "dots": _paint_strokes,
    "slabs": _paint_strokes,
    "dry brush": _paint_strokes,
    "hatching": _paint_hatching,
    "cells": _paint_cells,
    "facets": _paint_facets,
    "wash": _paint_wash,
}
