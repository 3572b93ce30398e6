"""Tests of artbank.stylization.colours and of the palettes that it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb

from artbank.images.palette import Palette
from artbank.mini.drawing.scenes import draw_scene
from artbank.stylization.colours import keep_colours, match_palette

LAB_STEP = 3.0  # what rounding to 8 bit and the edge of the gamut may move a mean by


def picture(seed: int) -> np.ndarray:
    return draw_scene(90_000_000 + seed, width_px=48, height_px=32).image


def keep(painted: np.ndarray, photo: np.ndarray, strength: float = 1.0) -> np.ndarray:
    return as_array(keep_colours(as_tensor(painted), as_tensor(photo), strength))


def match(painted: np.ndarray, palette: Palette, strength: float = 1.0) -> np.ndarray:
    return as_array(match_palette(as_tensor(painted), palette, strength))


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


def as_array(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def test_kept_colours_are_the_photos_and_the_lightness_the_pictures() -> None:
    photo, painted = picture(0), picture(1)
    kept, of_photo, of_painted = (Palette.measure([image]) for image in (keep(painted, photo), photo, painted))
    assert kept.mean[0] == pytest.approx(of_painted.mean[0], abs=LAB_STEP)
    assert kept.mean[1:] == pytest.approx(of_photo.mean[1:], abs=LAB_STEP)
    assert np.abs(keep(photo, photo).astype(int) - photo).max() <= 1


def test_a_matched_picture_has_the_collections_lightness_and_takes_its_tone() -> None:
    sepia = Palette.measure([keep(picture(seed), np.full_like(picture(seed), (112, 84, 60))) for seed in (3, 4)])
    found = Palette.measure([match(picture(2), sepia)])
    assert sepia.unity > 0.9
    assert found.lightness == pytest.approx(sepia.lightness, abs=LAB_STEP)
    assert found.mean == pytest.approx(sepia.mean, abs=LAB_STEP)
    assert found.unity > 0.9
    flat = match(np.full((8, 8, 3), 128, np.uint8), sepia)
    assert np.ptp(flat, axis=(0, 1)).max() == 0


def test_a_collection_of_many_colours_leaves_greys_grey_and_black_dark() -> None:
    lightness, angle = np.meshgrid(np.linspace(5, 95, 40), np.linspace(0, 2 * np.pi, 40))
    hues = lab2rgb(np.dstack([lightness, 20 * np.cos(angle), 20 * np.sin(angle)]))
    palette = Palette.measure([np.round(hues * 255).astype(np.uint8)])
    grey = np.tile(np.arange(0, 250, 2, dtype=np.uint8)[:, None, None], (1, 9, 3))
    matched = match(grey, palette)
    assert palette.unity < 0.2
    assert np.ptp(matched.astype(int), axis=-1).max() < 24
    assert matched[0].max() < 60 and matched[-1].min() > 200
    assert (np.diff(matched[:, 0].astype(int).sum(-1)) >= -3).all(), "what was lighter stays lighter"


def test_a_picture_in_its_own_colours_stays_as_it_is() -> None:
    own = picture(2)
    difference = np.abs(match(own, Palette.measure([own])).astype(int) - own)
    assert difference.mean() < 0.6 and np.quantile(difference, 0.99) <= 4


def test_half_of_the_strength_is_nearly_all_of_a_single_tone() -> None:
    sepia = Palette.measure([keep(picture(seed), np.full_like(picture(seed), (112, 84, 60))) for seed in (3, 4)])
    before, half, whole = (match(picture(2), sepia, strength).astype(int) for strength in (0.0, 0.5, 1.0))
    assert np.abs(half - whole).mean() < 0.15 * np.abs(before - whole).mean()


def test_colours_are_replaced_as_far_as_the_strength_says() -> None:
    photo, painted = picture(0), picture(1)
    palette = Palette.measure([picture(5)])
    for change in (lambda s: keep(painted, photo, s), lambda s: match(painted, palette, s)):
        moved = [np.abs(change(strength).astype(int) - painted).mean() for strength in (0.0, 0.5, 1.0)]
        assert moved[0] < 0.05 and 0.4 * moved[2] < moved[1] < 0.6 * moved[2], moved


def test_a_palette_of_an_older_version_still_serves() -> None:
    older = Palette((55.0, 12.0, -16.0), (12.0, 2.0, 3.0))
    found = Palette.measure([match(picture(2), older)])
    assert found.mean == pytest.approx(older.mean, abs=LAB_STEP)
    assert (
        Palette.mix([(older, 0.5), (found, 0.5)]).known_tones == Palette.mix([(found, 0.5), (older, 0.5)]).known_tones
    )


def test_a_palette_of_several_images_is_that_of_all_their_pixels() -> None:
    images = [picture(0), picture(1)]
    assert Palette.measure(images).std == pytest.approx(Palette.measure([np.concatenate(images)]).std, rel=1e-3)
    one, two = (Palette.measure([image]) for image in images)
    assert Palette.mix([(one, 1.0)]) == one
    assert Palette.measure(images).tones != one.tones
    assert Palette.mix([(one, 0.25), (two, 0.75)]).mean[0] == pytest.approx(0.25 * one.mean[0] + 0.75 * two.mean[0])
