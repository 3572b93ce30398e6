"""Models whose noise schedule ends in noise alone, and that predict velocity, draw from that end on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.images.similarity import ssim_luma
from artbank.mini.drawing.scenes import draw_scene
from artbank.parameters.stylize_recipe import Inversion, Solver
from artbank.recipes import StylizeRecipe
from artbank.stylization.further_drawings import list_stronger
from artbank.stylization.inversion import invert_ddim
from artbank.stylization.structure import match_statistics, pull_to_photo
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

VELOCITY = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
PHOTO = draw_scene(96_200_000, width_px=96, height_px=64).image


@pytest.fixture(scope="module")
def model(base: BaseModel) -> BaseModel:
    """The embedded model with such a schedule; what it predicts means nothing, but is finite."""
    model = replace(base, scheduler=DDIMScheduler.from_config(base.scheduler.config, clip_sample=False, **VELOCITY))
    assert float(model.scheduler.alphas_cumprod[-1]) == 0
    return model


@pytest.fixture(scope="module")
def novak(make_bank: Callable[..., Bank]) -> Style:
    return Style("novak", ((make_bank(), 1.0),))


def make_stylizer(model: BaseModel, style: Style, **settings: Any) -> Stylizer:
    facts = {"strength": 1.0, "steps": 5, "guidance": 3.0, "structure": 0.6, "resolution_px": 64, "colour": "free"}
    return Stylizer(model, [style], StylizeRecipe.model_validate({**facts, **settings}))


def draw(stylizer: Stylizer) -> np.ndarray:
    [drawn] = stylizer.stylize([stylizer.prepare("a", PHOTO)])
    assert drawn.error is None and drawn.rgb is not None
    return drawn.rgb


@pytest.mark.parametrize("inversion", get_args(Inversion))
@pytest.mark.parametrize("solver", get_args(Solver))
def test_every_solver_and_inversion_draws_at_full_strength(
    model: BaseModel, novak: Style, solver: Solver, inversion: Inversion
) -> None:
    stylizer = make_stylizer(model, novak, solver=solver, inversion=inversion)
    assert stylizer._latents._solver.timesteps[0] == 999
    assert np.ptp(draw(stylizer)) > 0


def test_structure_holds_a_picture_that_is_drawn_from_noise_alone(model: BaseModel, novak: Style) -> None:
    loose, held = (ssim_luma(draw(make_stylizer(model, novak, structure=k)), PHOTO) for k in (0.0, 0.9))
    assert held > loose + 0.2


def test_the_further_drawings_of_reach_style_give_pictures(model: BaseModel, novak: Style) -> None:
    first = make_stylizer(model, novak, strength=0.8, reach_style=0.9)
    stronger = list_stronger(first.recipe)
    assert [one.strength for one in stronger] == [1.0, 1.0] and stronger[0].structure > 0
    for recipe in (first.recipe, *stronger):
        draw(first.with_settings(structure=recipe.structure, strength=recipe.strength))


def test_a_pull_moves_the_implied_picture_where_the_latents_are_noise_alone(model: BaseModel) -> None:
    predicted, latents, clean = (torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    scheduler = DDIMScheduler.from_config(model.scheduler.config)
    scheduler.set_timesteps(1000)

    def implied(prediction: torch.Tensor) -> torch.Tensor:
        return scheduler.step(prediction, 999, latents).pred_original_sample  # pyright: ignore

    before = implied(predicted)
    after = implied(pull_to_photo(model, predicted, latents, clean, 999, 0.3))
    torch.testing.assert_close(after, before + 0.3 * (match_statistics(clean, before) - before))


def test_ddim_inversion_ends_in_the_noise_that_was_predicted(model: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(BaseModel, "predict", lambda self, latents, timestep, prompts: torch.zeros_like(latents))
    found = invert_ddim(model, clean, [999, 499], model.encode_prompts(["a painting"]))
    last, before = (model.scheduler.alphas_cumprod[t].item() for t in (0, 499))
    noise = math.sqrt(1 - before) * clean  # of a velocity of zero
    origin = (clean - math.sqrt(1 - last) * noise) / math.sqrt(last)
    halfway = math.sqrt(before) * origin + math.sqrt(1 - before) * noise
    torch.testing.assert_close(found, halfway)  # which are all noise where there is no picture
