"""Eight painters who work with strokes; each function is one manner, told apart by stroke, palette and edge.

Every painter takes an image and a generator and returns a painting of the same shape, sRGB 0..1 float32. Sizes are
written for an image whose short side is 128 px and scale with it.

Shape legend: H, W image; N strokes; K points along one stroke; P colours of a palette.
"""

from __future__ import annotations

import cv2
import numpy as np

from artbank.mini.drawing.manners.strokes import (
    Canvas,
    Manner,
    blur,
    constant_flow,
    discs,
    edge_flow,
    fans,
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


def _inks(*codes: str) -> np.ndarray:
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes], dtype=np.float32)


SWIRL_INKS = _inks("0b1640", "14348c", "1f62c8", "4fa6d8", "3d8f78", "c98f1c", "f2c230", "fbe98c")
EARTH_INKS = _inks("1c1814", "4a2c1a", "8c4a22", "b98436", "6b6a3c", "5a6672", "d9b98a", "f3e8d0")
RAIN_INKS = _inks("33231a", "6e4426", "a8692a", "d19a3c", "ecd096", "1d5a5e", "4f938e", "a9c4b0")
GOUACHE_INKS = _inks("4a4f5e", "7d8796", "a8b0b8", "7f8f78", "b4c0a0", "c58f8a", "dfb9ae", "efe4cc", "8a6a66")
WARM_RAMP = _inks("3a1466", "a01450", "e8302c", "ff7a1e", "ff9ab8", "ffe6b0")
COOL_RAMP = _inks("14186e", "1c3fc4", "00897a", "3cc48c", "f0a4d0", "fff0c0")
CHALK_PAPERS = _inks("16243c", "2e1c2c", "142c2c")


def _high_key(image: np.ndarray, warmth: float) -> np.ndarray:
    lab = to_lab(image)
    shade = 1 - lab[..., 0] / 100
    lab[..., 0] = 22 + 0.79 * lab[..., 0]
    lab[..., 1] = 1.5 * lab[..., 1] + 9 * shade
    lab[..., 2] = 1.5 * lab[..., 2] - 22 * shade + 9 * warmth
    return from_lab(lab)


def paint_maurel(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint as an impressionist: three layers of short curved strokes, light broken colour, violet shadows.

    Source: Hertzmann (1998), "Painterly rendering with curved brush strokes of multiple sizes".
    """
    scale = scale_of(image)
    size = scale * rng.uniform(0.9, 1.15)
    drift = constant_flow(rng.uniform(-0.5, 0.5))
    flow = edge_flow(gray_of(image), 2.5 * scale, scale) + 0.25 * drift
    guide = blur(image, 1.0 * scale)
    colours = _high_key(guide, rng.uniform(0.6, 1.4))
    canvas = Canvas(image.shape, blur(colours, 8 * scale))
    for width, gap, error in ((6.5, 5.5, 0.0), (4.2, 3.6, 0.06), (3.0, 2.6, 0.10)):
        starts = scatter(image.shape, gap * size, rng)
        missing = np.abs(sample(canvas.picture(), starts) - sample(colours, starts)).max(axis=1)
        starts = starts[missing >= error]
        paths = trace(flow, starts, 5, 0.6 * width * size, guide)
        inks = jitter(sample(colours, starts), rng, light=4, hue=0.3)
        canvas.lines(paths, inks, width * size, rng.random(len(starts)))
    return canvas.lit(0.06, scale)


def paint_tovar(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint in swirls: long loaded strokes along vortices, thick paint, saturated blues and yellows."""
    scale = scale_of(image)
    size = scale * rng.uniform(0.9, 1.1)
    vortex = edge_flow(smooth_noise(image.shape, 26 * scale, rng), 1.0 * scale, scale)
    flow = 0.55 * vortex + edge_flow(gray_of(image), 2.5 * scale, scale)
    guide = blur(image, 1.2 * scale)
    lab = to_lab(guide)
    lab[..., 0] = 50 + 1.15 * (lab[..., 0] - 50)
    lab[..., 2] = 1.4 * lab[..., 2] + 0.9 * (lab[..., 0] - 52) * rng.uniform(0.8, 1.1)
    colours = from_lab(toward_palette(lab, SWIRL_INKS, 0.75))
    canvas = Canvas(image.shape, 0.5 * blur(colours, 4 * scale))
    for width, gap, points in ((5.5, 5.0, 9), (3.6, 3.4, 7)):
        starts = scatter(image.shape, gap * size, rng)
        paths = trace(flow, starts, points, 3.2 * size, guide)
        inks = jitter(sample(colours, starts), rng, light=7, hue=0.12)
        body = rng.uniform(0.2, 0.6, len(starts))
        for share, rise, dim in ((1.0, 0.0, 0.82), (0.6, 0.4, 1.08)):
            canvas.polygons(ribbons(paths, share * width * size, taper=0.7), dim * inks, body + rise)
    return canvas.lit(0.22, scale)


def paint_ilves(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint in points: separate round dots on a warm ground, each colour split into purer neighbours and complements.

    Source: Chevreul's law of simultaneous contrast, as Seurat used it.
    """
    scale = scale_of(image)
    size = scale * rng.uniform(0.95, 1.12)
    guide = blur(image, 1.0 * scale)
    slant = rng.uniform(0, np.pi)
    canvas = Canvas(image.shape, np.array([0.97, 0.93, 0.82 + 0.05 * rng.random()]))
    for gap, radius, cover in ((4.1, 1.85, 0.0), (4.3, 1.7, 0.5)):
        starts = lanes(image.shape, slant, gap * size, 0.9 * gap * size, rng)
        colour = sample(guide, starts)
        kept = rng.random(len(starts)) > cover + 0.5 * (colour.mean(axis=1) > 0.85)
        starts, colour = starts[kept], colour[kept]
        radii = radius * size * rng.uniform(0.85, 1.1, len(starts))
        canvas.polygons(discs(starts, radii), _split_colours(colour, rng))
    return canvas.picture()


def _split_colours(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    lab = to_lab(colours)
    hue = np.angle(lab[:, 1] + 1j * (lab[:, 2] + 4)) + rng.choice(
        [-0.6, 0.0, 0.6, np.pi], len(lab), p=[0.32, 0.28, 0.32, 0.08]
    )
    chroma = 26 + 1.1 * np.hypot(lab[:, 1], lab[:, 2])
    lightness = 0.95 * lab[:, 0] - 3 + 5 * rng.standard_normal(len(lab))
    return from_lab(np.stack([np.clip(lightness, 12, 95), chroma * np.cos(hue), chroma * np.sin(hue)], axis=1))


def paint_brandt(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint with a palette knife: large flat angular slabs with hard edges, earth colours of strong contrast."""
    scale = scale_of(image)
    size = scale * rng.uniform(0.9, 1.15)
    flow = edge_flow(gray_of(image), 3.5 * scale, scale) + 0.2 * constant_flow(rng.uniform(0, np.pi))
    guide = blur(image, 1.3 * scale)
    lab = to_lab(guide)
    lab[..., 0] = 50 + 1.25 * (lab[..., 0] - 50)
    lab[..., 2] += rng.uniform(4, 10)
    colours = from_lab(toward_palette(lab, EARTH_INKS, 0.7))
    canvas = Canvas(image.shape, blur(colours, 5 * scale))
    for length, gap, error in ((18.0, 8.0, 0.0), (12.0, 5.0, 0.12), (8.0, 3.6, 0.17)):
        starts = scatter(image.shape, gap * size, rng)
        missing = np.abs(sample(canvas.picture(), starts) - sample(colours, starts)).max(axis=1)
        starts = starts[missing >= error]
        angles = 0.5 * np.angle(sample(flow, starts)) + rng.normal(0, 0.2, len(starts))
        sizes = length * size * rng.uniform(0.75, 1.1, (len(starts), 2)) * [1.0, 0.55]
        inks = jitter(sample(colours, starts), rng, light=5, hue=0.1)
        canvas.polygons(slabs(starts, angles, sizes, rng), inks, rng.random(len(starts)))
    return canvas.lit(0.2, scale)


def paint_ashby(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw in pastel chalk: soft broken diagonal strokes on dark paper, whose tooth shows through."""
    scale = scale_of(image)
    size = scale * rng.uniform(0.9, 1.15)
    guide = blur(image, 1.2 * scale)
    lab = to_lab(guide)
    lab *= np.array([0.64, 1.5, 1.5], dtype=np.float32)
    lab[..., 0] += 36
    colours = from_lab(lab)
    light = gray_of(guide)
    canvas = Canvas(image.shape, blur(colours, 3 * scale))
    slant = rng.uniform(-0.95, -0.65)
    for width, gap, length in ((4.2, 4.0, 15), (2.8, 3.2, 9)):
        starts = scatter(image.shape, gap * size, rng)
        pressure = 0.05 + 0.9 * sample(light, starts) + rng.normal(0, 0.1, len(starts))
        inks = jitter(sample(colours, starts), rng, light=4, hue=0.15)
        paths = trace(np.full(image.shape[:2], constant_flow(slant)), starts, 4, length / 3 * size, guide)
        canvas.lines(paths, inks, width * size, pressure)
    tooth = 0.40 + 0.12 * smooth_noise(image.shape, 1.6 * scale, rng)
    cover = np.clip(0.5 + 1.6 * (blur(canvas.body(), 0.5 * scale) - tooth), 0.05, 0.95)[..., None]
    paper = CHALK_PAPERS[rng.integers(len(CHALK_PAPERS))]
    return (paper + cover * (blur(canvas.picture(), 0.5 * scale) - paper)).astype(np.float32)


def paint_fontaine(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint as a fauve: hue follows luma, not nature; broad flat strokes; dark-blue contours on strong edges."""
    scale = scale_of(image)
    size = scale * rng.uniform(0.9, 1.1)
    gray = gray_of(image)
    flow = edge_flow(gray, 3 * scale, scale) + 0.2 * constant_flow(rng.uniform(0, np.pi))
    guide = blur(image, 1.5 * scale)
    colours = _wild_colours(guide, rng.uniform(-4, 4))
    canvas = Canvas(image.shape, _inks("f6ead2")[0])
    for width, gap in ((9.0, 5.5), (5.0, 4.2)):
        starts = scatter(image.shape, gap * size, rng)
        paths = trace(flow, starts, 4, 0.55 * width * size, guide)
        canvas.polygons(
            ribbons(paths, width * size, taper=0.25), jitter(sample(colours, starts), rng, light=3, hue=0.1)
        )
    starts = _contour_starts(blur(gray, 1.5 * scale), 3.0 * size, rng)
    contours = trace(edge_flow(gray, 1.5 * scale, scale), starts, 6, 1.9 * size)
    canvas.polygons(ribbons(contours, 2.1 * size, taper=0.8), np.tile(_inks("101a5c"), (len(starts), 1)))
    return canvas.picture()


def _wild_colours(image: np.ndarray, warmth: float) -> np.ndarray:
    lab = to_lab(image)
    place = np.clip(lab[..., 0] / 100, 0, 1) * (len(WARM_RAMP) - 1)
    low = np.minimum(place.astype(np.intp), len(WARM_RAMP) - 2)
    part = np.clip(1.8 * (place - low) - 0.4, 0, 1)[..., None]  # plateaus: flat areas of one pigment, short passages
    warm, cool = (ramp[low] + part * (ramp[low + 1] - ramp[low]) for ramp in (WARM_RAMP, COOL_RAMP))
    choice = 1 / (1 + np.exp(-(lab[..., 1] + 0.7 * lab[..., 2] - 6 + warmth) / 3))[..., None]
    return (cool + choice * (warm - cool)).astype(np.float32)


def _contour_starts(gray: np.ndarray, spacing_px: float, rng: np.random.Generator) -> np.ndarray:
    slope = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    window = np.ones((2 * round(spacing_px) + 1,) * 2, dtype=np.uint8)
    crest = (slope > 0.93 * cv2.dilate(slope, window)) & (slope > max(np.quantile(slope, 0.89), 1e-3))
    rows, columns = np.nonzero(crest)
    picked = rng.random(len(rows)) < 6.5 / spacing_px**2  # crests are wider on larger images
    return columns[picked] + 1j * rows[picked]


def paint_novak(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint in rain: long parallel dashes of one slant, ochre, umber and teal, the ground open between them."""
    scale = scale_of(image)
    size = scale * rng.uniform(0.92, 1.12)
    guide = blur(image, 1.2 * scale)
    lab = to_lab(guide)
    lab[..., 2] += rng.uniform(4, 9)
    colours = from_lab(toward_palette(lab, RAIN_INKS, 0.85, spread=8))
    ground = 0.55 * _inks("e9c98e")[0] + 0.45 * blur(colours, 5 * scale)
    canvas = Canvas(image.shape, ground)
    slant = rng.uniform(1.0, 1.3)
    flow = np.full(image.shape[:2], constant_flow(slant)) * np.exp(0.12j * smooth_noise(image.shape, 40 * scale, rng))
    for width, across, length in ((3.2, 4.2, 16), (2.6, 4.8, 11)):
        starts = lanes(image.shape, slant, 1.08 * length * size, across * size, rng)
        paths = trace(flow, starts, 5, length / 5 * size, blur(guide, 2.5 * scale))
        canvas.lines(paths, jitter(sample(colours, starts), rng, light=5, hue=0.08), width * size)
    return canvas.picture()


def paint_dunmore(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint in gouache: opaque flat scallops laid like scales, in a few chalky tones drawn from the image."""
    scale = scale_of(image)
    size = scale * rng.uniform(0.9, 1.12)
    guide = blur(image, 1.2 * scale)
    flat = _chalky(guide, int(rng.integers(7, 11)), rng)
    lean = rng.uniform(1.2, 1.9)
    canvas = Canvas(image.shape, flat)
    for radius, error in ((8.5, 0.0), (5.0, 0.1)):
        starts = lanes(image.shape, lean - np.pi / 2, 1.25 * radius * size, 0.6 * radius * size, rng)[::-1]
        missing = np.abs(sample(canvas.picture(), starts) - sample(flat, starts)).max(axis=1)
        starts = starts[missing >= error]
        angles = lean + rng.normal(0, 0.12, len(starts))
        radii = radius * size * rng.uniform(0.9, 1.1, len(starts))
        inks = sample(flat, starts)
        apexes = starts - 0.45 * radii * np.exp(1j * angles)
        canvas.polygons(fans(apexes, angles, radii), 0.76 * inks)
        canvas.polygons(fans(apexes - 1.5 * size * np.exp(1j * angles), angles, radii), inks)
    return blur(canvas.picture(), 0.3 * scale)


def _chalky(image: np.ndarray, num_tones: int, rng: np.random.Generator) -> np.ndarray:
    """Reduce an image to the means of its own colours (k-means in Lab), pulled toward chalky pigments."""
    lab = to_lab(rng.choice(image.reshape(-1, 3), 1200))
    centres = lab[np.argsort(lab[:, 0])][np.linspace(0, len(lab) - 1, num_tones + 2).astype(int)[1:-1]]
    for _ in range(6):
        nearest = ((lab[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)
        for index in np.unique(nearest):
            centres[index] = lab[nearest == index].mean(axis=0)
    muted = centres * np.array([1.0, 1.15, 1.15], dtype=np.float32) + np.array([5, 2, 2], dtype=np.float32)
    tones = from_lab(toward_palette(muted, GOUACHE_INKS, 0.6, spread=10))
    nearest = ((to_lab(image)[..., None, :] - centres) ** 2).sum(axis=-1).argmin(axis=-1)
    return tones[nearest]


BRUSH_PAINTERS: dict[str, Manner] = {
    "Maurel": paint_maurel,
    "Tovar": paint_tovar,
    "Ilves": paint_ilves,
    "Brandt": paint_brandt,
    "Ashby": paint_ashby,
    "Fontaine": paint_fontaine,
    "Novak": paint_novak,
    "Dunmore": paint_dunmore,
}
