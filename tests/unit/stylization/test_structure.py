from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from skimage.color import rgb2lab

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.images.palette import Palette
from artbank.images.similarity import ssim_luma
from artbank.mini.drawing.scenes import draw_scene
from artbank.parameters.stylize_recipe import Solver
from artbank.recipes import StylizeRecipe
from artbank.stylization.lab import from_lab, to_lab
from artbank.stylization.ssim import measure_ssim
from artbank.stylization.structure import (
    lightness_weight,
    match_statistics,
    pull_to_photo,
    pull_weight,
    pull_weights,
    rank_contrast,
    reach_similarity,
    return_lightness,
    spread_weight,
)
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

SOLVERS: tuple[Solver, ...] = ("ddim", "dpm++2m", "unipc")
FIRM = 0.8  # the structure from which the largest fraction of the lightness, 0.6, is returned


def photo(seed: int, width_px: int = 96, height_px: int = 64) -> np.ndarray:
    return draw_scene(91_000_000 + seed, width_px=width_px, height_px=height_px).image


def as_tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)


@pytest.fixture(scope="module")
def novak(make_bank: Callable[..., Bank]) -> Style:
    return Style("novak", ((make_bank(), 1.0),), Palette.measure([photo(7)]))


def stylize(base: BaseModel, style: Style, rgb: np.ndarray, **values: Any) -> np.ndarray:
    stylizer = Stylizer(
        base, [style], StylizeRecipe(**{"steps": 6, "strength": 0.9, "guidance": 4.0, "resolution_px": 64, **values})
    )
    [drawn] = stylizer.stylize([stylizer.prepare("a", rgb)])
    assert drawn.rgb is not None
    return drawn.rgb


def test_lab_is_that_of_a_library_and_back_again() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    lab = to_lab(as_tensor(colours))
    assert np.abs(lab.permute(1, 2, 0).numpy() - rgb2lab(colours)).max() < 0.05
    assert torch.equal(from_lab(lab), as_tensor(colours))


def test_adain_takes_the_statistics_of_each_sample_and_channel() -> None:
    images, wanted = torch.randn(2, 4, 8, 8) * 3 + 1, torch.randn(2, 4, 8, 8) * 0.5 - 2
    matched = match_statistics(images, wanted)
    for own, goal in zip(torch.std_mean(matched, (2, 3)), torch.std_mean(wanted, (2, 3)), strict=True):
        torch.testing.assert_close(own, goal)
    assert match_statistics(torch.ones(1, 1, 4, 4), wanted[:1, :1, :4, :4]).isfinite().all()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("timestep", [20, 500, 980])
def test_a_pull_moves_the_implied_picture_and_not_its_noise_level(
    base: BaseModel, prediction_type: str, timestep: int
) -> None:
    scheduler = DDIMScheduler.from_config(base.scheduler.config, prediction_type=prediction_type)
    other = replace(base, scheduler=scheduler)
    generator = torch.Generator().manual_seed(timestep)
    predicted, latents, clean = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(3))
    scheduler.set_timesteps(1000)

    def implied(prediction: torch.Tensor) -> torch.Tensor:
        return scheduler.step(prediction, timestep, latents).pred_original_sample  # pyright: ignore

    before = implied(predicted)
    after = implied(pull_to_photo(other, predicted, latents, clean, timestep, 0.3))
    wanted = before + 0.3 * (match_statistics(clean, before) - before)
    torch.testing.assert_close(after, wanted, rtol=1e-3, atol=1e-3)


def test_lightness_comes_back_with_the_pictures_own_mean_and_spread_and_chroma() -> None:
    rng = np.random.default_rng(1)
    picture = as_tensor(rng.integers(90, 170, (64, 64, 3), dtype=np.uint8))  # all within the gamut
    original = as_tensor(photo(1, 64, 64))
    returned = return_lightness(picture, original, 0.5, FIRM)
    before, after, wanted = (to_lab(one) for one in (picture, returned, original))
    assert abs(float(after[0].mean() - before[0].mean())) < 0.3
    assert abs(float(after[0].std() - before[0].std())) < 0.3
    assert float((after[1:] - before[1:]).abs().mean()) < 0.6, "8 bits"
    likeness = [
        float(torch.corrcoef(torch.stack([one[0].ravel(), wanted[0].ravel()]))[0, 1]) for one in (before, after)
    ]
    assert likeness[1] > likeness[0] + 0.4
    assert torch.equal(return_lightness(picture, original, 0.0, FIRM), picture)


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (40, 9), (1, 1)])
def test_ranks_of_contrast_depend_on_its_order_alone(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(2, 4, *size, generator=generator) * torch.linspace(0.01, 1, size[1])  # plain to the left
    ranks = rank_contrast(images)
    assert ranks.shape == (2, 1, *size)
    assert float(ranks.min()) >= 0 and float(ranks.max()) <= 1
    assert float(ranks.mean()) == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(rank_contrast(images[1:]), ranks[1:])  # not on the batch
    torch.testing.assert_close(rank_contrast(8 * images + 3), ranks, atol=0.01, rtol=0)
    if min(size) > 1:
        assert float(ranks[..., : size[1] // 3].mean()) < 0.3 < 0.7 < float(ranks[..., -(size[1] // 3) :].mean())


@pytest.mark.parametrize("blank", [torch.zeros(1, 3, 64, 96), torch.full((1, 4, 20, 20), 0.3)])
def test_an_image_of_one_colour_has_no_place_before_another(blank: torch.Tensor) -> None:
    assert torch.equal(rank_contrast(blank), torch.full_like(blank[:, :1], 0.5))


def test_weights_are_spread_by_contrast_and_even_at_the_largest_structure() -> None:
    ranks = torch.linspace(0, 1, 11)
    torch.testing.assert_close(spread_weight(0.2, ranks, 0.0), 0.4 * ranks)
    torch.testing.assert_close(spread_weight(0.2, ranks, 1.0), torch.full_like(ranks, 0.2))
    assert float(spread_weight(0.7, ranks, 0.5).max()) == 1
    clean = torch.randn(1, 4, 32, 32) * torch.linspace(0.01, 1, 32)
    for structure in (0.3, 0.6, 0.8):
        weights = pull_weights(clean, structure)
        assert float(weights.mean()) == pytest.approx(pull_weight(structure), rel=0.05)
        assert 0 <= float(weights.min()) < 0.7 * float(weights.max()) < 0.7 * 0.91
    torch.testing.assert_close(pull_weights(clean, 1.0), torch.full((1, 1, 32, 32), 0.9))


def test_places_with_detail_keep_more_of_the_photo_and_plain_ones_less(
    base: BaseModel, novak: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    rgb = np.concatenate(
        [
            cv2.resize(rng.integers(lowest, 256 - lowest, (16, 12, 3), dtype=np.uint8), (48, 64))
            for lowest in (100, 0)  # faint to the left, strong to the right
        ],
        axis=1,
    )

    def likeness(half: slice) -> float:
        picture = stylize(base, novak, rgb, structure=0.6)
        return float(np.corrcoef(*(one[:, half].mean(2).ravel() for one in (picture, rgb)))[0, 1])

    plain, strong = (likeness(half) for half in (slice(48), slice(48, 96)))
    monkeypatch.setattr(
        "artbank.stylization.structure.rank_contrast", lambda images: torch.full_like(images[:, :1], 0.5)
    )
    assert likeness(slice(48, 96)) < strong - 0.02
    assert likeness(slice(48)) > plain + 0.02


@pytest.mark.parametrize("solver", SOLVERS)
def test_more_structure_keeps_more_of_the_photo(base: BaseModel, novak: Style, solver: Solver) -> None:
    rgb = photo(2)
    kept = [ssim_luma(stylize(base, novak, rgb, solver=solver, structure=k), rgb) for k in (0.0, 0.5, 1.0)]
    assert kept[0] + 0.05 < kept[1] < kept[2] - 0.02, kept


@pytest.mark.parametrize("colour", ["free", "keep"])
def test_a_held_picture_does_not_depend_on_its_batch(base: BaseModel, novak: Style, colour: str) -> None:
    recipe = StylizeRecipe(steps=4, strength=0.9, structure=0.5, resolution_px=64, colour=colour)  # pyright: ignore
    stylizer = Stylizer(base, [novak], recipe)
    photos = [stylizer.prepare(str(seed), photo(seed, *size)) for seed, size in enumerate([(96, 64)] * 2 + [(90, 60)])]
    together = {one.key: one for one in stylizer.stylize_batch(photos[:2])}
    for one in photos:
        [alone] = stylizer.stylize_batch([one])
        assert alone.rgb is not None and alone.rgb.shape == one.working.shape
        assert alone.on_device is not None
        assert np.array_equal(alone.on_device.permute(1, 2, 0).numpy(), alone.rgb), "the scores are of these pixels"
        if one.key in together:
            assert np.abs(alone.rgb.astype(int) - together[one.key].rgb).max() <= 2


def test_without_structure_the_recipe_has_its_old_name_and_the_pull_never_runs(
    base: BaseModel, novak: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert StylizeRecipe(preset="exact").digest() == "cab364c468379cba", "as before there was a structure"
    assert StylizeRecipe(preset="exact", structure=0.1).digest() != StylizeRecipe(preset="exact").digest()
    assert pull_weight(0) == lightness_weight(0) == 0
    monkeypatch.delattr("artbank.stylization.latents.pull_to_photo")
    monkeypatch.delattr("artbank.stylization.finishing.return_lightness")
    stylize(base, novak, photo(3), structure=0.0)
    with pytest.raises(NameError, match="pull_to_photo"):
        stylize(base, novak, photo(3), structure=0.1)


def test_the_papers_preset_has_no_structure() -> None:
    assert StylizeRecipe(preset="paper").structure == 0
    with pytest.raises(ValueError, match="fixes structure=0"):
        StylizeRecipe(preset="paper", structure=0.5)


@pytest.mark.parametrize("wanted", [0.5, 0.6, 0.7])
def test_lightness_is_returned_until_the_similarity_is_reached_and_no_further(wanted: float) -> None:
    original, picture = as_tensor(photo(6)), as_tensor(cv2.blur(photo(6), (9, 9)))
    held, weight, is_reached = reach_similarity(picture, original, wanted, FIRM)
    found = float(measure_ssim(held, original))
    assert is_reached and wanted <= found < wanted + 0.02 and 0 < weight < 0.6
    assert torch.equal(held, return_lightness(picture, original, float(weight), FIRM))


def test_a_picture_that_is_similar_enough_stays_as_it_is_and_one_that_cannot_be_is_told() -> None:
    original, other = as_tensor(photo(6)), torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    same, weight, is_reached = reach_similarity(original, original, 0.9, FIRM)
    assert torch.equal(same, original) and weight == 0 and is_reached
    firmest, weight, is_reached = reach_similarity(other, original, 0.9, FIRM)
    assert torch.equal(firmest, return_lightness(other, original, 0.6, FIRM))
    assert float(weight) == pytest.approx(0.6) and not is_reached


def test_each_photo_is_drawn_with_the_structure_that_it_needs(base: BaseModel, novak: Style) -> None:
    recipe = StylizeRecipe(steps=4, strength=0.9, guidance=4.0, structure=0.2, keep_structure=0.7, resolution_px=64)
    stylizer = Stylizer(base, [novak], recipe)
    photos = [stylizer.prepare(str(seed), photo(seed)) for seed in range(3)]
    blank = replace(photos[0], key="blank", padded=np.zeros_like(photos[0].padded))
    *held, empty = stylizer.stylize_batch([*photos, blank])
    assert empty.kept is None, "a blank photo is not drawn again"
    for one, original in zip(held, photos, strict=True):
        assert one.kept is not None and one.rgb is not None
        if one.kept.is_reached:
            assert ssim_luma(one.rgb, original.working) > 0.7 - 1e-3
        else:
            assert one.kept.structure == 1
    assert max(one.kept.structure for one in held if one.kept) > 0.2, "some photo needs more than the recipe gives"
    [alone] = stylizer.stylize_batch(photos[:1])
    assert alone.rgb is not None and held[0].rgb is not None
    assert np.abs(alone.rgb.astype(int) - held[0].rgb).max() <= 2
