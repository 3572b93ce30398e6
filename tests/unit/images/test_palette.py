"""A palette is that of a formula in double precision over all pixels at once."""

from __future__ import annotations

from dataclasses import astuple

import cv2
import numpy as np
import pytest

from artbank.images import palette
from artbank.images.palette import LEVELS, PRIOR, SHARES, Palette


def draw(kind: str) -> np.ndarray:
    """Return an image of several strips, or of special colours."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (4, 6, 3)).astype(np.uint8), (401, 303), interpolation=cv2.INTER_CUBIC)
    return {
        "grain": np.clip(coarse + rng.normal(0, 9, coarse.shape), 0, 255).astype(np.uint8),
        "black and white": rng.integers(0, 2, (300, 200, 1), np.uint8).repeat(3, 2) * np.uint8(255),
        "white": np.full((30, 50, 3), 255, np.uint8),
        "a pixel": np.array([[[200, 30, 90]]], np.uint8),
        "strided": coarse[::3, ::2],
    }[kind]


def measure(image: np.ndarray) -> list[float]:
    """Measure an image by the definition: mean, deviation, tones, lightness."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    mean, variance = lab.mean(0), lab.var(0)
    found = [*mean, *np.sqrt(variance)]
    lightness = np.clip(lab[:, 0], LEVELS[0], LEVELS[-1])
    for level in LEVELS:
        share = np.maximum(1 - np.abs(lightness - level) / 20, 0)
        total = share.mean() + PRIOR
        tone = [((share * values).mean() + PRIOR * values.mean()) / total for values in lab.T[1:]]
        square = ((share * (lab[:, 1:] ** 2).sum(1)).mean() + PRIOR * (lab[:, 1:] ** 2).sum(1).mean()) / total
        found += [*tone, np.sqrt(max(square - tone[0] ** 2 - tone[1] ** 2, 0))]
    return [*found, *np.quantile(lab[:, 0], SHARES)]


@pytest.mark.parametrize("kind", ["grain", "black and white", "white", "a pixel", "strided"])
def test_a_palette_counts_every_pixel(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(palette, "_STRIP_PIXELS", 5000)
    found = Palette.measure([draw(kind)])
    tones = [value for tone in found.tones for value in astuple(tone)]
    assert [*found.mean, *found.std, *tones, *found.lightness] == pytest.approx(measure(draw(kind)), abs=0.01)


@pytest.mark.parametrize("kind", ["grain", "black and white", "white", "a pixel", "strided"])
def test_colours_of_a_large_image_are_counted_to_the_bit_as_those_of_a_small_one(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = draw(kind)
    sorted_colours, sorted_counts = palette._count_equal(image)
    monkeypatch.setattr(palette, "_LEAST_TO_COUNT", 0)
    colours, counts = palette._count_equal(image)
    assert np.array_equal(colours, sorted_colours) and np.array_equal(counts, sorted_counts)
    assert counts.sum() == image.shape[0] * image.shape[1] and len(np.unique(colours, axis=0)) == len(colours)
