"""Few-step solvers against diffusers' own image-to-image pipeline, on small random models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
)
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.family import SDXL
from artbank.images.similarity import ssim_luma
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import StylizeRecipe
from artbank.stylization.inversion import draw_noise, draw_step_noise
from artbank.stylization.latents import LatentStylizer
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

TRAILING = {"timestep_spacing": "trailing"}
SEEDS = (11, 12)
SHAPE = (4, 8, 8)
FAMILIES: dict[str, tuple[dict[str, Any], type, dict[str, Any], dict[str, Any]]] = {
    "SD-Turbo": ({}, EulerDiscreteScheduler, TRAILING, {}),
    "SDXL-Turbo": ({"solver": "euler_a"}, EulerAncestralDiscreteScheduler, TRAILING, {}),
    "LCM": ({"solver": "lcm"}, LCMScheduler, {}, {}),
    "DMD2": ({"solver": "lcm", "spacing": "trailing"}, LCMScheduler, {}, {"timesteps": [999, 749, 499, 249]}),
    "Hyper": ({"solver": "ddim", "spacing": "trailing"}, DDIMScheduler, TRAILING, {}),
}


def run_pipeline(model: BaseModel, scheduler: Any, clean: Tensor, recipe: StylizeRecipe, **options: Any) -> Tensor:
    """Return the latents that diffusers draws from clean ones, each with a generator of its own."""
    parts = {name: getattr(model, name) for name in model.family.parts if name != "scheduler"}
    if model.family is SDXL:
        pipeline = StableDiffusionXLImg2ImgPipeline(**parts, scheduler=scheduler)
    else:
        pipeline = StableDiffusionImg2ImgPipeline(
            **parts, scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        [recipe.prompt] * len(SEEDS),
        image=clean,
        strength=recipe.strength,
        num_inference_steps=recipe.steps,
        guidance_scale=recipe.guidance,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="latent",
        return_dict=False,
        **options,
    )[0]


def draw(model: BaseModel, recipe: StylizeRecipe, clean: Tensor) -> Tensor:
    stylizer = LatentStylizer(model, [Style("plain")], recipe)
    noise, count = draw_noise(SEEDS, SHAPE), stylizer.num_step_noises
    step_noise = draw_step_noise(SEEDS, SHAPE, count) if count else None
    return stylizer.stylize(clean, noise, "plain", step_noise=step_noise)


def clean_latents() -> Tensor:
    return torch.randn(len(SEEDS), *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("strength", [0.75, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_drawn_as_diffusers_draws_it(large_shape: Path, family: str, strength: float) -> None:
    settings, kind, own, options = FAMILIES[family]
    model = BaseModel.load(str(large_shape), device="cpu", dtype="float32")
    recipe = StylizeRecipe(preset="turbo", inversion="gaussian", strength=strength, **settings)
    clean = clean_latents()
    wanted = run_pipeline(model, kind.from_config(model.scheduler.config, **own), clean, recipe, **options)
    torch.testing.assert_close(draw(model, recipe, clean), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_sdxl_of_a_family_is_drawn_as_diffusers_draws_it(sdxl: BaseModel, family: str) -> None:
    settings, kind, own, options = FAMILIES[family]
    model = replace(sdxl, scheduler=DDIMScheduler.from_config(sdxl.scheduler.config, clip_sample=False))
    recipe = StylizeRecipe(preset="turbo", inversion="gaussian", **settings)
    clean = clean_latents()
    wanted = run_pipeline(model, kind.from_config(model.scheduler.config, **own), clean, recipe, **options)
    torch.testing.assert_close(draw(model, recipe, clean), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_turbo_draws_hyper_models_as_their_own_solver_does(tiny: Path) -> None:
    model = BaseModel.load(str(tiny), device="cpu", dtype="float32")
    clean = clean_latents()
    euler, ddim = (
        draw(model, StylizeRecipe(preset="turbo", **own), clean)
        for own in ({}, {"solver": "ddim", "spacing": "trailing"})
    )
    assert float((euler - ddim).abs().max()) < 0.05 * float(ddim.std()), "they differ in the last noise level alone"


@pytest.fixture(scope="module")
def novak(make_bank: Callable[..., Bank]) -> Style:
    return Style("novak", ((make_bank(), 1.0),))


@pytest.mark.parametrize("solver", ["euler", "euler_a", "lcm"])
def test_structure_holds_pictures_of_few_steps_and_no_batch_changes_them(
    base: BaseModel, novak: Style, solver: Any
) -> None:
    photos = [draw_scene(97_000_000 + i, width_px=64, height_px=64).image for i in range(3)]
    kept = []
    for structure in (0.0, 0.5, 1.0):
        recipe = StylizeRecipe(preset="turbo", solver=solver, structure=structure, colour="free", resolution_px=64)
        stylizer = Stylizer(base, [novak], recipe)
        prepared = [stylizer.prepare(str(i), rgb) for i, rgb in enumerate(photos)]
        together = [one.rgb for one in stylizer.stylize_batch(prepared)]
        [alone] = stylizer.stylize_batch(prepared[1:2])
        assert np.abs(alone.rgb.astype(int) - together[1]).max() <= 2
        kept.append(np.mean([ssim_luma(rgb, photo) for rgb, photo in zip(together, photos, strict=True)]))
    assert kept[0] + 0.05 < kept[1] < kept[2] - 0.02, kept


@pytest.mark.parametrize("solver", ["euler_a", "lcm"])
def test_steps_that_add_noise_depend_on_the_photos_key_and_the_runs_seed_alone(
    base: BaseModel, novak: Style, solver: Any
) -> None:
    photo = draw_scene(97_000_009, width_px=32, height_px=32).image
    found = {}
    for key, seed in (("a", 0), ("b", 0), ("a", 1)):
        recipe = StylizeRecipe(
            preset="turbo", solver=solver, seed=seed, colour="free", resolution_px=32, keep_structure=0.99
        )
        stylizer = Stylizer(base, [novak], recipe)
        [one] = stylizer.stylize_batch([stylizer.prepare(key, photo)])
        assert one.rgb is not None
        assert one.kept is not None and one.kept.structure == 1, "it was drawn again with more structure"
        found[key, seed] = one.rgb.astype(int)
    first = found["a", 0]
    assert all(np.abs(first - other).max() > 2 for other in (found["b", 0], found["a", 1]))


def test_noise_of_the_steps_goes_on_where_the_photos_noise_ended() -> None:
    generator = torch.Generator().manual_seed(SEEDS[1])
    wanted = [torch.randn(SHAPE, generator=generator) for _ in range(4)]
    assert torch.equal(draw_noise(SEEDS, SHAPE)[1], wanted[0])
    assert torch.equal(draw_step_noise(SEEDS, SHAPE, 3)[:, 1], torch.stack(wanted[1:]))
    assert torch.equal(draw_step_noise(SEEDS[1:], SHAPE, 3), draw_step_noise(SEEDS, SHAPE, 3)[:, 1:])
