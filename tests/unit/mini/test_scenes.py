"""Scenes: fixed by their seed, covering every subject and light, and far from flat-coloured shapes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from artbank.mini.drawing.scenes import LIGHTS, SUBJECTS, draw_scene

CASES = [(seed, subject, light) for seed, (subject, light) in enumerate(product(SUBJECTS, LIGHTS))]


def test_there_are_at_least_twelve_subjects() -> None:
    assert len(set(SUBJECTS)) >= 12


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(subject: str) -> None:
    first = draw_scene(7, subject, width_px=96, height_px=96)
    again = draw_scene(7, subject, width_px=96, height_px=96)
    other = draw_scene(8, subject, light=first.light or None, width_px=96, height_px=96)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.caption == again.caption
    assert np.abs(first.image.astype(int) - other.image).mean() > 4


def test_drawing_does_not_touch_the_global_random_state() -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    draw_scene(1, width_px=64, height_px=64)
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.parametrize(("seed", "subject", "light"), CASES)
def test_every_subject_draws_in_every_light_at_any_shape(seed: int, subject: str, light: str) -> None:
    width, height = ((160, 96), (96, 144))[seed % 2]
    scene = draw_scene(seed, subject, light=light, width_px=width, height_px=height)
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert scene.image.std() > 5
    assert scene.subject == subject
    assert scene.caption.startswith(subject)
    assert scene.light in (light, "")  # the night sky is seen in one light only
    assert scene.light in scene.caption


def test_a_forest_may_have_bare_ground() -> None:
    assert draw_scene(8215, width_px=144, height_px=144).subject == "a forest"  # no tuft of grass grows in this one


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_scene_is_textured_and_shaded_like_a_photograph(subject: str) -> None:
    for seed in (11, 12):
        image = draw_scene(seed, subject, light="at noon").image
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 2500  # flat shapes have tens
        assert _share_of_flat_pixels(image) < 0.6


def test_a_picture_of_flat_shapes_would_fail_the_texture_test() -> None:
    flat = np.full((128, 128, 3), 90, np.uint8)
    flat[40:80, 30:90] = (200, 30, 30)
    assert len(np.unique(flat.reshape(-1, 3), axis=0)) < 2500
    assert _share_of_flat_pixels(flat) > 0.6


def test_both_the_subject_and_the_light_come_from_the_seed() -> None:
    scenes = [draw_scene(seed, width_px=32, height_px=32) for seed in range(200)]
    assert {scene.subject for scene in scenes} == set(SUBJECTS)
    assert {scene.light for scene in scenes if scene.light} == set(LIGHTS)
    assert len({scene.caption for scene in scenes}) > 100


def test_night_is_darker_than_noon() -> None:
    day, night = (
        np.mean([draw_scene(seed, "a street", light=light).image.mean() for seed in range(6)])
        for light in ("at noon", "at night")
    )
    assert night < 0.75 * day


def test_an_unknown_subject_or_light_is_refused() -> None:
    with pytest.raises(KeyError):
        draw_scene(0, "a spaceship")
    with pytest.raises(KeyError):
        draw_scene(0, "a harbour", light="at teatime")


def _share_of_flat_pixels(image: np.ndarray) -> float:
    """Return the share of pixels that equal their right and lower neighbours."""
    right = (image[:-1, :-1] == image[:-1, 1:]).all(-1)
    down = (image[:-1, :-1] == image[1:, :-1]).all(-1)
    return float((right & down).mean())
