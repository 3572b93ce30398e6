"""Colour transfer: give a stylized picture the colours of its photo or of a collection.

Images are uint8 [H, W, 3] sRGB; Lab is CIE L*a*b* (L 0..100).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Self

import cv2
import numpy as np

_MIN_STD = 1e-3
_SHARES = np.array([0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0])  # of pixels, at which lightness is known
_LEVELS = np.array([10.0, 30.0, 50.0, 70.0, 90.0])  # of L, at which a collection's chroma is known
NUM_TONES = len(_LEVELS)
NUM_SHARES = len(_SHARES)
_MOST_GAIN = 1.6  # of chroma: more makes plain areas blotchy
_PRIOR = 0.02  # share of all pixels that a level without pixels borrows from the whole collection

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
        return cls(_three(mean), _three(np.sqrt(variance)), _tones(sums + _PRIOR * whole), _quantiles(labs))

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
        return self.tones or (whole,) * len(_LEVELS)

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


def keep_colours(stylized: np.ndarray, photo: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Return the lightness of a stylized picture with the chroma of its photo, which has the same size.

    With a strength of less than 1 the rest of the chroma is the picture's own.
    """
    lab = _to_lab(stylized)
    lab[..., 1:] = (1 - strength) * lab[..., 1:] + strength * _to_lab(photo)[..., 1:]
    return _to_rgb(lab)


def match_palette(picture: np.ndarray, palette: Palette, strength: float = 1.0) -> np.ndarray:
    """Give a picture the lightness and the chroma of a collection, as far as that leaves its colours plausible.

    L takes the palette's distribution, in nine steps. The chroma of each lightness takes the spread that the palette
    has there. It moves toward the palette's mean chroma only as far as the palette's colours agree: a sepia collection
    makes all grey areas brown, one of many colours leaves them grey.

    Source: Reinhard et al., "Color transfer between images", 2001, of which this is a version by lightness.

    Args:
        picture: uint8 [H, W, 3] sRGB.
        palette: The collection's colours.
        strength: 0 leaves the picture as it is, 1 is as above.
    """
    lab = _to_lab(picture)
    own = Palette.measure([picture])
    rising = np.array(own.lightness) + _MIN_STD * np.arange(len(_SHARES))  # also where the picture is flat
    lightness = np.interp(lab[..., 0], rising, palette.known_lightness)
    matched = np.dstack([lightness, _match_chroma(lab, own.tones, lightness, palette.known_tones)])
    return _to_rgb(lab + strength * (matched - lab))


def _match_chroma(
    lab: np.ndarray, own: tuple[Tone, ...], lightness: np.ndarray, wanted: tuple[Tone, ...]
) -> np.ndarray:
    """Return a and b, [H, W, 2], for a picture with its own tones that gets a new lightness [H, W]."""
    own_a, own_b, own_spread = _at_lightness(own, lab[..., 0])
    a, b, spread = _at_lightness(wanted, lightness)
    share = _unity(np.hypot(a, b), spread)
    gain = np.minimum(spread / np.maximum(own_spread, _MIN_STD), _MOST_GAIN)
    own_mean = np.dstack([own_a, own_b])
    mean = own_mean + share[..., None] * (np.dstack([a, b]) - own_mean)
    return mean + gain[..., None] * (lab[..., 1:] - own_mean)


def _at_lightness(tones: tuple[Tone, ...], lightness: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a, b and spread at each lightness, between the levels linearly."""
    columns = np.array([astuple(tone) for tone in tones]).T  # [3, levels]
    a, b, spread = (np.interp(lightness, _LEVELS, column) for column in columns)
    return a, b, spread


def _unity(chroma: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return how far colours with a mean chroma and a spread are one tone, 0..1."""
    return chroma**2 / np.maximum(chroma**2 + spread**2, _MIN_STD)


def _sum_by_level(lab: np.ndarray) -> np.ndarray:
    """Return for each level the shares of pixels, their a, b and squared chroma, [levels, 4]; all shares sum to 1."""
    flat = lab.reshape(-1, 3).astype(np.float64)
    distance = np.abs(np.clip(flat[:, :1], _LEVELS[0], _LEVELS[-1]) - _LEVELS) / (_LEVELS[1] - _LEVELS[0])
    shares = np.clip(1 - distance, 0, None)  # [pixels, levels]
    facts = np.column_stack([np.ones(len(flat)), flat[:, 1], flat[:, 2], (flat[:, 1:] ** 2).sum(1)])
    return shares.T @ facts / len(flat)


def _quantiles(labs: list[np.ndarray]) -> tuple[float, ...]:
    """Return the lightness at each share of the pixels, averaged over images."""
    return tuple(map(float, np.mean([np.quantile(lab[..., 0], _SHARES) for lab in labs], 0)))


def _tones(sums: np.ndarray) -> tuple[Tone, ...]:
    count, a, b, squares = sums.T
    mean_a, mean_b = a / count, b / count
    spread = np.sqrt(np.maximum(squares / count - mean_a**2 - mean_b**2, 0))
    return tuple(Tone(*map(float, row)) for row in np.column_stack([mean_a, mean_b, spread]))


def _to_lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def _moments(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = lab.reshape(-1, 3).astype(np.float64)
    return flat.mean(0), flat.var(0)


def _three(values: np.ndarray) -> Three:
    return float(values[0]), float(values[1]), float(values[2])
