"""Crops are those of an artwork that is scaled as a whole and then cut."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from artbank.bank.dataset import _cut_all, _plan_crops

WHOLE_PX = (1301, 1024)


@pytest.fixture(scope="module")
def artwork() -> np.ndarray:
    """Strokes of 32 px, and grain as of a canvas."""
    rng = np.random.default_rng(0)
    strokes = Image.fromarray(rng.integers(20, 235, (32, 41, 3), np.uint8)).resize(WHOLE_PX, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(strokes) + rng.normal(0, 3, (1024, 1301, 3)), 0, 255).astype(np.uint8)


def cut_the_slow_way(artwork: np.ndarray, side: int, count: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    height, width = artwork.shape[:2]
    crops = []
    for number in range(count):
        scale = (rng.uniform(1, 1.25) if number else 1) * side / min(height, width)
        size = max(round(width * scale), side), max(round(height * scale), side)
        scaled = np.asarray(Image.fromarray(artwork).resize(size, Image.Resampling.LANCZOS))
        spare = np.array(scaled.shape[:2]) - side
        top, left = rng.integers(0, spare + 1) if number else spare // 2
        crops.append(scaled[top : top + side, left : left + side])
    return crops


@pytest.mark.parametrize(("factor", "least_db"), [(1, 65.0), (3, 49.0)])
def test_crops_are_those_of_the_whole_artwork(artwork: np.ndarray, factor: int, least_db: float) -> None:
    picture = np.array(Image.fromarray(artwork).reduce(factor))
    plan = _plan_crops(WHOLE_PX, 128, 5, [7])
    crops = _cut_all(picture, plan, 128)
    for crop, expected in zip(crops[::2], cut_the_slow_way(artwork, 128, 5, 7), strict=True):
        assert cv2.PSNR(crop, np.ascontiguousarray(expected)) > least_db
    assert np.array_equal(crops[3], crops[2][:, ::-1])
    assert (plan[0].left, plan[0].top) == (17, 0) and plan[1] != plan[2]
    assert plan[0].facts(128) == (1024, 1301, 0, 17, 128, 128)


def test_a_crop_of_its_own_size_is_not_resampled() -> None:
    small = np.random.default_rng(0).integers(0, 256, (64, 90, 3), np.uint8)
    [crop, _] = _cut_all(small, _plan_crops((90, 64), 64, 1, [0]), 64)
    assert np.array_equal(crop, small[:, 13:77])
