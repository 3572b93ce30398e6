"""The space of manners: fixed by a seed, on any image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from artbank.mini.drawing.manners.engines import paint_sampled
from artbank.mini.drawing.manners.space import (
    ENGINES,
    HELD_OUT_SEEDS,
    KNOWN,
    MannerSettings,
    describe_manner,
    name_manner,
    sample_manner,
)
from artbank.mini.drawing.painters import PAINTERS
from artbank.mini.drawing.scenes import draw_scene

PHOTOS = [
    draw_scene(seed, subject).image.astype(np.float32) / 255 for seed, subject in ((31, "a house"), (32, "the sea"))
]
SEEDS = range(2 * len(ENGINES))  # two manners of each engine


def paint(photo: np.ndarray, manner: MannerSettings, seed: int = 0) -> np.ndarray:
    return paint_sampled(photo, manner, np.random.default_rng(seed))


def test_each_seed_has_a_name_of_its_own_that_no_painter_has() -> None:
    names = [name_manner(seed) for seed in (*range(KNOWN), *HELD_OUT_SEEDS)]
    assert len(set(names)) == KNOWN + len(HELD_OUT_SEEDS) >= 312
    assert not set(names) & set(PAINTERS)


def test_every_engine_has_its_share_and_the_held_out_manners_are_unlike_those_that_are_known() -> None:
    known = [sample_manner(seed) for seed in range(KNOWN)]
    counts = [sum(manner.engine == engine for manner in known) for engine in ENGINES]
    assert max(counts) - min(counts) <= 1
    assert len({sample_manner(seed).engine for seed in HELD_OUT_SEEDS}) == len(ENGINES)
    assert not set(known) & {sample_manner(seed) for seed in HELD_OUT_SEEDS}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_manner_paints_the_same_picture_from_the_same_seed(seed: int) -> None:
    manner = sample_manner(seed)
    before = PHOTOS[0].copy()
    painting = paint(PHOTOS[0], manner)
    assert painting.tobytes() == paint(PHOTOS[0], manner).tobytes()
    assert (before == PHOTOS[0]).all()
    assert painting.shape == before.shape and painting.dtype == np.float32
    assert painting.min() >= 0 and painting.max() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_any_shape_and_flat_images_can_be_painted(seed: int) -> None:
    manner = sample_manner(seed)
    for shape, level in (((96, 160), 0.0), ((160, 96), 0.5), ((64, 64), 1.0)):
        painting = paint(np.full((*shape, 3), level, np.float32), manner)
        assert painting.shape == (*shape, 3) and np.isfinite(painting).all()


def test_most_manners_keep_the_coarse_luma_of_their_photo() -> None:
    def coarse(picture: np.ndarray) -> np.ndarray:
        return cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (12, 12), interpolation=cv2.INTER_AREA).ravel()

    kept = [
        np.corrcoef(coarse(photo), coarse(paint(photo, sample_manner(seed))))[0, 1]
        for seed in range(45)
        for photo in PHOTOS
    ]
    assert np.quantile(kept, 0.1) > 0.5


def test_captions_describe_strokes_and_colours() -> None:
    captions = {describe_manner(sample_manner(seed)) for seed in range(KNOWN)}
    assert len(captions) > 120
    assert all(caption.startswith("in ") and "  " not in caption for caption in captions)
    text = " ".join(captions)
    for word in (
        "swirling",
        "facets",
        "cells",
        "dots",
        "wash",
        "pen lines",
        "sepia",
        "ink",
        "outlines",
        "warm",
        "cool",
    ):
        assert word in text
