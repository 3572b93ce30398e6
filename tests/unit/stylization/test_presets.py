"""The presets against the plain path: diffusers' own network and scheduler, one call for each prompt and step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER
from artbank.diffusion.tensors import to_8_bit, to_images, upload
from artbank.images.palette import Palette
from artbank.mini.drawing.scenes import draw_scene
from artbank.parameters.presets import PRESETS
from artbank.parameters.recipe_costs import is_guided
from artbank.recipes import StylizeRecipe
from artbank.stylization.colours import match_palette
from artbank.stylization.inversion import draw_noise, photo_seed
from artbank.stylization.solvers import build_scheduler, start_at_strength
from artbank.stylization.structure import lightness_weight, pull_to_photo, pull_weights, return_lightness
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

SIDE_PX = 64
PALETTE = Palette.measure([draw_scene(96_000_009, width_px=SIDE_PX, height_px=SIDE_PX).image])


@pytest.mark.faults
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_gives_the_pictures_of_the_plain_path(base: BaseModel, make_bank: Any, preset: Any) -> None:
    if preset == "turbo":  # matching colours makes 3 of the 1 that both round differently in one value
        compare(base, make_bank(), StylizeRecipe(preset=preset, resolution_px=SIDE_PX, colour="free"), most=1)
    settings = {"structure": 0.6} if preset == "turbo" else {}  # a structure whose pictures have no such value
    compare(base, make_bank(), StylizeRecipe(preset=preset, resolution_px=SIDE_PX, **settings))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_of_few_steps_gives_the_pictures_of_the_plain_path(
    base: BaseModel, make_bank: Any, preset: Any
) -> None:
    recipe = StylizeRecipe(preset=preset, resolution_px=SIDE_PX).model_copy(update={"steps": 6})
    # in one value of turbo's pictures, matching colours makes 3 of the 1 that both round differently
    compare(base, make_bank(), recipe, most=4 if preset == "turbo" else 2)


def compare(base: BaseModel, bank: Bank, recipe: StylizeRecipe, *, most: int = 2) -> None:
    photos = {f"{i}": draw_scene(96_000_000 + i, width_px=SIDE_PX, height_px=SIDE_PX).image for i in range(2)}
    stylizer = Stylizer(base, [Style("novak", ((bank, 1.0),), PALETTE)], recipe)
    found = list(stylizer.stylize([stylizer.prepare(*photo) for photo in photos.items()]))
    plain = stylize_plainly(base, recipe, bank.vectors, photos)
    for one, expected in zip(found, plain, strict=True):
        assert one.rgb is not None
        difference = np.abs(one.rgb.astype(int) - expected)
        assert difference.max() <= most
        assert (difference > 1).mean() < 1e-3


@torch.no_grad()
def stylize_plainly(base: BaseModel, recipe: StylizeRecipe, bank: Tensor, photos: dict[str, np.ndarray]) -> np.ndarray:
    said = f"{recipe.prompt}, in the style of {STYLE_PLACEHOLDER}"
    styled, negative = base.encode_prompts([said], bank), base.encode_prompts([recipe.negative_prompt])

    def predict(latents: Tensor, timestep: int, prompt: Tensor) -> Tensor:
        return base.unet(latents, timestep, prompt.expand(len(latents), -1, -1)).sample

    images = to_images(upload(list(photos.values()), base.device))
    clean = base.vae.encode(images).latent_dist.mean * base.vae.config.scaling_factor
    noise = draw_noise([photo_seed(recipe.seed, key) for key in photos], tuple(clean.shape[1:]))
    scheduler = build_scheduler(base.scheduler, recipe)
    timesteps = scheduler.timesteps[-len(start_at_strength(scheduler, recipe)) :]
    first = timesteps[:1] if recipe.aligned else torch.tensor([700])
    noise = predict(base.scheduler.add_noise(clean, noise, first.long()), int(first), styled)
    latents = base.scheduler.add_noise(clean, noise, first.long())
    latents = latents / scheduler.scale_model_input(torch.ones(1), timesteps[0])
    for step, timestep in enumerate(timesteps):
        seen = scheduler.scale_model_input(latents, timestep)
        predicted = predict(seen, int(timestep), styled)
        if is_guided(recipe, step):
            without = predict(seen, int(timestep), negative)
            predicted = without + recipe.guidance * (predicted - without)
        if recipe.structure:
            weights = pull_weights(clean, recipe.structure)
            predicted = pull_to_photo(base, predicted, seen, clean, int(timestep), weights)
        latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
    pictures = to_8_bit(base.vae.decode(latents / base.vae.config.scaling_factor).sample)
    if recipe.colour == "collection":
        pictures = torch.stack([match_palette(picture, PALETTE, recipe.colour_strength) for picture in pictures])
    if recipe.structure:
        weight = lightness_weight(recipe.structure)
        originals = upload(list(photos.values()), base.device)
        pairs = zip(pictures, originals, strict=True)
        pictures = torch.stack([return_lightness(picture, photo, weight, recipe.structure) for picture, photo in pairs])
    return pictures.permute(0, 2, 3, 1).numpy()
