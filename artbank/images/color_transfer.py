"""Colour transfer: give a stylized picture the colours of its photo or of a collection.

Images are uint8 [H, W, 3] sRGB; Lab is CIE L*a*b* (L 0..100).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

_MIN_STD = 1e-3


@dataclass(frozen=True)
class Palette:
    """Mean and standard deviation of the L, a and b values of images."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def measure(cls, images: list[np.ndarray]) -> Self:
        """Measure images, with equal weights; the standard deviation is that of all images together."""
        moments = [_moments(_to_lab(image)) for image in images]
        mean = np.mean([own_mean for own_mean, _ in moments], 0)
        variance = np.mean([own_variance + (own_mean - mean) ** 2 for own_mean, own_variance in moments], 0)
        return cls(_three(mean), _three(np.sqrt(variance)))

    @classmethod
    def mix(cls, palettes: list[tuple[Self, float]]) -> Self:
        """Return the weighted mean of palettes; weights sum to 1."""
        mean = sum(np.array(palette.mean) * weight for palette, weight in palettes)
        std = sum(np.array(palette.std) * weight for palette, weight in palettes)
        return cls(_three(np.asarray(mean)), _three(np.asarray(std)))


def keep_colours(stylized: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Return the lightness of a stylized picture with the chroma of its photo, which has the same size."""
    lab = _to_lab(stylized)
    lab[..., 1:] = _to_lab(photo)[..., 1:]
    return _to_rgb(lab)


def match_palette(stylized: np.ndarray, palette: Palette) -> np.ndarray:
    """Shift and scale the Lab values of a picture to the mean and standard deviation of a palette.

    Source: Reinhard et al., "Color transfer between images", 2001; gains are clipped to 0.25..4 here.
    """
    lab = _to_lab(stylized)
    mean, variance = _moments(lab)
    gain = np.array(palette.std) / np.maximum(np.sqrt(variance), _MIN_STD)
    return _to_rgb((lab - mean) * np.clip(gain, 0.25, 4.0) + palette.mean)


def _to_lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def _moments(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = lab.reshape(-1, 3).astype(np.float64)
    return flat.mean(0), flat.var(0)


def _three(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
