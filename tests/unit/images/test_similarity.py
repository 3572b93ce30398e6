"""Similarity and flags are those of independent references, on pictures of any size."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from artbank.images import similarity
from artbank.mini.drawing.scenes import draw_scene

_REFERENCE: Any = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}


def draw(height: int, width: int, seed: int) -> np.ndarray:
    """Return smooth shapes with some grain, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(512, 767), (96, 64), (11, 40), (5, 7)])
@pytest.mark.parametrize("change", ["grain", "dark", "other"])
def test_ssim_is_that_of_scikit_image(size: tuple[int, int], change: str) -> None:
    photo = draw(*size, seed=0)
    picture = {"grain": draw(*size, seed=0) // 2 + photo // 2, "dark": photo // 8, "other": draw(*size, seed=1)}[change]
    lumas = [similarity._luma(image, (size[1], size[0])) for image in (picture, photo)]
    expected: Any = structural_similarity(*lumas, **_REFERENCE)
    assert similarity.ssim_luma(picture, photo) == pytest.approx(expected, abs=2e-6)
    assert similarity.ssim_luma(photo, photo) == 1.0


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=60), st.integers(1, 40))
def test_quantiles_are_those_of_numpy(values: list[int], repeats: int) -> None:
    samples = np.repeat(np.array(values, np.uint8), repeats)
    found = similarity._find_quantiles(samples, (0.001, 0.5, 0.999))
    assert found == pytest.approx(list(np.quantile(samples, (0.001, 0.5, 0.999))), abs=1e-9)


@pytest.mark.parametrize("side_px", [11, 64, 131])
def test_ssim_is_that_of_its_paper(side_px: int) -> None:
    photo = draw_scene(20_000_200, width_px=side_px, height_px=side_px + 5).image
    picture = cv2.GaussianBlur(photo, (0, 0), 1.2)
    x, y = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (picture, photo))
    assert similarity.ssim_luma(picture, photo) == pytest.approx(_ssim(x, y), abs=1e-4)


def _ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al., 2004, equation 13, window by window: 11 x 11 px, Gaussian of sigma 1.5."""
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    a, b = (np.lib.stride_tricks.sliding_window_view(luma, (11, 11)) for luma in (x, y))
    mean_a, mean_b = ((w * weights).sum((-2, -1)) for w in (a, b))
    da, db = a - mean_a[..., None, None], b - mean_b[..., None, None]
    var_a, var_b, both = ((p * weights).sum((-2, -1)) for p in (da * da, db * db, da * db))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((light * (2 * both + c2) / (var_a + var_b + c2)).mean())


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_ssim_takes_any_two_sizes(height: int, width: int, photo_height: int, photo_width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    photo = rng.integers(0, 256, (photo_height, photo_width, 3), dtype=np.uint8)
    assert -1 <= similarity.ssim_luma(picture, photo) <= 1 + 1e-4
    assert similarity.ssim_luma(picture, picture) == pytest.approx(1, abs=1e-4)


def test_pictures_that_are_one_colour_are_flagged() -> None:
    plain = {"black": 0, "white": 255, "flat": 120}
    for flag, value in plain.items():
        assert similarity.sanity_flags(np.full((40, 60, 3), value, np.uint8)) == (flag,)
    assert similarity.sanity_flags(np.broadcast_to(np.array([200, 30, 90], np.uint8), (9, 9, 3))) == ("flat",)


@pytest.mark.parametrize("light", ["at night", "at noon", "in fog"])
def test_a_real_photo_is_not_flagged(light: str) -> None:
    assert similarity.sanity_flags(draw_scene(20_000_300, light=light, width_px=320, height_px=200).image) == ()
