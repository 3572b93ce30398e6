"""Palettes: the colours of a collection, as `artbank.stylization.colours` gives them to pictures.

Images are uint8 [H, W, 3] sRGB; Lab is CIE L*a*b* (L 0..100).
"""

from __future__ import annotations

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
        labs = [_to_lab(image) for image in images]
        moments = [_moments(lab) for lab in labs]
        mean = np.mean([own_mean for own_mean, _ in moments], 0)
        variance = np.mean([own_variance + (own_mean - mean) ** 2 for own_mean, own_variance in moments], 0)
        sums = np.mean([_sum_by_level(lab) for lab in labs], 0)
        whole = np.array([1.0, mean[1], mean[2], variance[1:].sum() + mean[1] ** 2 + mean[2] ** 2])
        return cls(_three(mean), _three(np.sqrt(variance)), _tones(sums + PRIOR * whole), _quantiles(labs))

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
        whole = Tone(self.mean[1], self.mean[2], float(np.hypot(self.std[1], self.std[2])))
        return self.tones or (whole,) * len(LEVELS)

    @property
    def known_lightness(self) -> tuple[float, ...]:
        """The lightness; for a bank of an older version that of a normal distribution."""
        normal = self.mean[0] + self.std[0] * np.array([-2.6, -2.05, -1.28, -0.52, 0.0, 0.52, 1.28, 2.05, 2.6])
        return self.lightness or tuple(map(float, np.clip(normal, 0, 100)))

    @property
    def unity(self) -> float:
        """How far the collection's colours are one tone, 0..1: 0 for greys in all, near 1 for sepia or blue ink."""
        tones = np.array([astuple(tone) for tone in self.known_tones])
        return float(np.mean(_unity(np.hypot(tones[:, 0], tones[:, 1]), tones[:, 2])))


def _unity(chroma: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return how far colours with a mean chroma and a spread are one tone, 0..1."""
    return chroma**2 / np.maximum(chroma**2 + spread**2, _MIN_STD)


def _sum_by_level(lab: np.ndarray) -> np.ndarray:
    """Return for each level the shares of pixels, their a, b and squared chroma, [levels, 4]; all shares sum to 1."""
    flat = lab.reshape(-1, 3).astype(np.float64)
    distance = np.abs(np.clip(flat[:, :1], LEVELS[0], LEVELS[-1]) - LEVELS) / (LEVELS[1] - LEVELS[0])
    shares = np.clip(1 - distance, 0, None)  # [pixels, levels]
    facts = np.column_stack([np.ones(len(flat)), flat[:, 1], flat[:, 2], (flat[:, 1:] ** 2).sum(1)])
    return shares.T @ facts / len(flat)


def _quantiles(labs: list[np.ndarray]) -> tuple[float, ...]:
    """Return the lightness at each share of the pixels, averaged over images."""
    return tuple(map(float, np.mean([np.quantile(lab[..., 0], SHARES) for lab in labs], 0)))


def _tones(sums: np.ndarray) -> tuple[Tone, ...]:
    count, a, b, squares = sums.T
    mean_a, mean_b = a / count, b / count
    spread = np.sqrt(np.maximum(squares / count - mean_a**2 - mean_b**2, 0))
    return tuple(Tone(*map(float, row)) for row in np.column_stack([mean_a, mean_b, spread]))


def _to_lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _moments(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = lab.reshape(-1, 3).astype(np.float64)
    return flat.mean(0), flat.var(0)


def _three(values: np.ndarray) -> Three:
    return float(values[0]), float(values[1]), float(values[2])
