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
