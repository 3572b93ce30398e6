"""Palettes: the colours of a collection, as `artbank.stylization.colours` gives them to pictures.

Images are uint8 [H, W, 3] sRGB; Lab is CIE L*a*b* (L 0..100).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Self

import cv2
import numpy as np

_MIN_STD = 1e-3
SHARES = np.array([0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0])  # of pixels, at which lightness is known
LEVELS = np.array([10.0, 30.0, 50.0, 70.0, 90.0])  # of L, at which a collection's chroma is known
NUM_TONES = len(LEVELS)
NUM_SHARES = len(SHARES)
PRIOR = 0.02  # share of all pixels that a level without pixels borrows from the whole collection
_STRIP_PIXELS = 2**15
_LEAST_TO_COUNT = 2**20  # pixels; fewer are sorted, which takes less time than going through all 16.8 million colours
_NUM_BINS = 16_001  # of lightness, with 0 and 100 in the middle of the first and the last
_BIN_WIDTH = 100 / (_NUM_BINS - 1)

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Tone:
    """The chroma of a collection at one lightness: mean of a and b, and their joint standard deviation."""

    a: float
    b: float
    spread: float


@dataclass(frozen=True)
class Palette:
    """The colours of a collection.

    Attributes:
        mean: Mean of L, a and b.
        std: Their standard deviations.
        tones: The chroma at L 10, 30, 50, 70 and 90; empty in banks of older versions.
        lightness: L below which 0, 2, 10, 30, 50, 70, 90, 98 and 100 % of the pixels lie; empty there, too.
    """

    mean: Three
    std: Three
    tones: tuple[Tone, ...] = ()
    lightness: tuple[float, ...] = ()

    @classmethod
    def measure(cls, images: list[np.ndarray]) -> Self:
        """Measure images, with equal weights; the standard deviation is that of all images together."""
        return cls.average([Colours.count(image) for image in images])

    @classmethod
    def average(cls, images: Sequence[Colours]) -> Self:
        """Return the palette of images whose pixels are counted; see `measure`."""
        mean = np.mean([colours.mean for colours in images], 0)
        variance = np.mean([colours.variance + (colours.mean - mean) ** 2 for colours in images], 0)
        sums = np.mean([colours.levels for colours in images], 0)
        lightness = np.mean([colours.lightness for colours in images], 0)
        of_all_levels = np.array([1.0, mean[1], mean[2], variance[1:].sum() + mean[1] ** 2 + mean[2] ** 2])
        return cls(
            _three(mean), _three(np.sqrt(variance)), _tones(sums + PRIOR * of_all_levels), tuple(map(float, lightness))
        )

    @classmethod
    def mix(cls, palettes: list[tuple[Self, float]]) -> Self:
        """Return the weighted mean of palettes; weights sum to 1."""
        mean = sum(np.array(palette.mean) * weight for palette, weight in palettes)
        std = sum(np.array(palette.std) * weight for palette, weight in palettes)
        tones = sum(np.array([astuple(tone) for tone in palette.known_tones]) * weight for palette, weight in palettes)
        lightness = sum(np.array(palette.known_lightness) * weight for palette, weight in palettes)
        return cls(
            _three(np.asarray(mean)),
            _three(np.asarray(std)),
            tuple(Tone(*map(float, row)) for row in np.asarray(tones)),
            tuple(map(float, np.asarray(lightness))),
        )

    @property
    def known_tones(self) -> tuple[Tone, ...]:
        """The tones; for a bank of an older version the same one at every lightness."""
        overall_tone = Tone(self.mean[1], self.mean[2], float(np.hypot(self.std[1], self.std[2])))
        return self.tones or (overall_tone,) * len(LEVELS)

    @property
    def known_lightness(self) -> tuple[float, ...]:
        """The lightness; for a bank of an older version that of a normal distribution."""
        normal = self.mean[0] + self.std[0] * np.array([-2.6, -2.05, -1.28, -0.52, 0.0, 0.52, 1.28, 2.05, 2.6])
        return self.lightness or tuple(map(float, np.clip(normal, 0, 100)))

    @property
    def unity(self) -> float:
        """The share of one tone in the collection's colours, 0..1: 0 for greys in all, near 1 for sepia or blue ink."""
        tones = np.array([astuple(tone) for tone in self.known_tones])
        return float(np.mean(_unity(np.hypot(tones[:, 0], tones[:, 1]), tones[:, 2])))


def _unity(chroma: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return how far colours with a mean chroma and a spread are one tone, 0..1."""
    return chroma**2 / np.maximum(chroma**2 + spread**2, _MIN_STD)


@dataclass(frozen=True)
class Colours:
    """The colours of one image, as means over its pixels.

    Attributes:
        mean: [3] of L, a and b.
        variance: [3] of L, a and b.
        levels: [levels, 4] for each level the shares of pixels, their a, b and squared chroma; all shares sum to 1.
        lightness: [shares] of L, to half of `_BIN_WIDTH`; see `Palette.lightness`.
    """

    mean: np.ndarray
    variance: np.ndarray
    levels: np.ndarray
    lightness: np.ndarray

    @classmethod
    def count(cls, image: np.ndarray) -> Self:
        """Count the pixels of an image, equal ones at once, in strips that stay in the processor's cache."""
        pivot = _to_lab(image[:1]).mean((0, 1))[:, None]  # [3, 1]; near the mean, so that little cancels
        sums, squares, levels = np.zeros(3), np.zeros(3), np.zeros((NUM_TONES, 4))
        histogram = np.zeros(_NUM_BINS)
        for pixels, counts in _cut_strips(image):
            lightness, a, b = planes = np.ascontiguousarray(_to_lab(pixels[None])[0].T)
            levels += _sum_by_level(lightness, a, b, counts)
            bins = np.clip(np.rint(lightness / _BIN_WIDTH), 0, _NUM_BINS - 1).astype(np.int32)
            histogram += np.bincount(bins, counts, _NUM_BINS)
            planes -= pivot
            sums += planes @ counts
            squares += np.square(planes, out=planes) @ counts
        num_pixels = image.shape[0] * image.shape[1]
        mean = sums / num_pixels
        variance = np.maximum(squares / num_pixels - mean**2, 0)
        return cls(mean + pivot[:, 0], variance, levels / num_pixels, _find_quantiles(histogram, SHARES))


def _cut_strips(image: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pixels of an image in strips: uint8 [n, 3], and float32 [n] how often each occurs.

    Each colour of a large image is yielded once, in an order that depends on nothing else: a painting of 9 megapixels
    has one million.
    """
    num_pixels = image.shape[0] * image.shape[1]
    if num_pixels > _STRIP_PIXELS:
        pixels, counts = _count_equal(image)
    else:
        pixels, counts = image.reshape(-1, 3), np.ones(num_pixels, np.float32)
    for start in range(0, len(pixels), _STRIP_PIXELS):
        strip = slice(start, start + _STRIP_PIXELS)
        yield pixels[strip], counts[strip]


def _count_equal(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different pixels of an image, uint8 [n, 3], and their numbers, float32 [n]; by B, then G, then R."""
    if image.shape[0] * image.shape[1] < _LEAST_TO_COUNT:
        packed, counts = _count_by_sorting(image)
    else:
        packed, counts = _count_by_histogram(image)
    return packed.view(np.uint8).reshape(-1, 4)[:, :3], counts


def _count_by_sorting(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different pixels, each of 4 bytes as uint32 [n], and their numbers."""
    packed = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA).view(np.uint32).ravel()
    packed.sort()
    lasts = np.append(np.flatnonzero(packed[1:] != packed[:-1]), len(packed) - 1)
    counts = np.diff(lasts, prepend=-1).astype(np.float32)
    return packed[lasts], counts


def _count_by_histogram(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same as `_count_by_sorting` but for the fourth byte, in a third of the time and with 84 MB more."""
    counts = cv2.calcHist([image], [2, 1, 0], None, [256] * 3, [0, 256] * 3).ravel()
    packed = np.flatnonzero(counts > 0)
    return packed.astype(np.uint32), counts[packed]


def _find_quantiles(histogram: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the lightness at each share of the pixels."""
    last_ranks = np.cumsum(histogram)
    positions = shares * (last_ranks[-1] - 1)
    below, above = (np.searchsorted(last_ranks, edge(positions), side="right") for edge in (np.floor, np.ceil))
    return _BIN_WIDTH * (below + (above - below) * (positions - np.floor(positions)))


def _sum_by_level(lightness: np.ndarray, a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return for each level the pixels, their a, b and squared chroma, [levels, 4]; a pixel counts for its nearest two.

    All arguments are float32 [pixels].
    """
    facts = np.stack([counts, a * counts, b * counts, (a * a + b * b) * counts])
    place = (np.clip(lightness, LEVELS[0], LEVELS[-1]) - LEVELS[0]) / (LEVELS[1] - LEVELS[0])  # 0..levels - 1
    sums = []
    for number in range(NUM_TONES):
        share = np.abs(place - number)
        np.subtract(1, share, out=share)
        np.maximum(share, 0, out=share)
        sums.append(facts @ share)
    return np.array(sums, np.float64)


def _tones(sums: np.ndarray) -> tuple[Tone, ...]:
    count, a, b, squares = sums.T
    mean_a, mean_b = a / count, b / count
    spread = np.sqrt(np.maximum(squares / count - mean_a**2 - mean_b**2, 0))
    return tuple(Tone(*map(float, row)) for row in np.column_stack([mean_a, mean_b, spread]))


def _to_lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _three(values: np.ndarray) -> Three:
    return float(values[0]), float(values[1]), float(values[2])
