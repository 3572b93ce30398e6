"""Recipes with `reuse`: which steps are whole, and that pictures are those of the plain path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.controlnet import ControlNet
from artbank.images.framing import Photo
from artbank.mini.drawing.scenes import draw_scene
from artbank.parameters.recipe_costs import count_cached_evaluations, count_evaluations, estimate_cost, is_whole
from artbank.recipes import StylizeRecipe
from artbank.stylization.controls import Controls
from artbank.stylization.latents import LatentStylizer
from artbank.stylization.solvers import build_scheduler
from artbank.stylization.structure import pull_to_photo, pull_weights
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from tests.support.controlnets import load, save_control
from tests.support.model_fixtures import save_tiny
from tests.unit.diffusion.test_deep_features import given_to_last_block

STEPS: dict[str, Any] = {"steps": 6, "strength": 1.0, "guidance": 3.0, "inversion": "gaussian"}
IDS_BEFORE = {
    "balanced": "5ce1dba96f1dbe75",
    "exact": "cab364c468379cba",
    "paper": "4f3bbc566f3ca12f",
    "fast": "1819746ffc3d5a23",
}


def draw_latents(count: int, seed: int) -> Tensor:
    return torch.randn(count, 4, 16, 8, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_latents_are_those_of_the_library_whose_last_block_is_given_the_features_of_the_last_whole_step(
    base: BaseModel,
) -> None:
    recipe = StylizeRecipe(**STEPS, solver="ddim", structure=0.5, guidance_from=0.6, reuse=3)
    clean, noise = draw_latents(2, 1), draw_latents(2, 2)
    found = LatentStylizer(base, [Style("plain")], recipe).stylize(clean, noise, "plain", recipe.structure)
    prompts = {guided: base.encode_prompts([text]) for guided, text in ((False, recipe.prompt), (True, ""))}
    scheduler: Any = build_scheduler(base.scheduler, recipe)
    latents = base.scheduler.add_noise(clean, noise, scheduler.timesteps[:1])
    kept: dict[bool, dict[str, Tensor]] = {False: {}, True: {}}
    for timestep, is_whole_step, is_guided_step in zip(
        scheduler.timesteps,
        (True, False, False, True, True, False),  # 4: guidance begins
        (False, False, False, False, True, True),
        strict=True,
    ):
        predicted = []
        for is_negative in (False, True)[: 1 + is_guided_step]:
            prompt = prompts[is_negative].expand(2, -1, -1)
            with given_to_last_block(base.unet, kept[is_negative], replacing=not is_whole_step):
                predicted.append(base.unet(latents, timestep, prompt).sample)
        guided = predicted[0]
        if is_guided_step:
            guided = predicted[1] + recipe.guidance * (predicted[0] - predicted[1])
        guided = pull_to_photo(base, guided, latents, clean, int(timestep), pull_weights(clean, recipe.structure))
        latents = scheduler.step(guided, timestep, latents, return_dict=False)[0]
    assert torch.allclose(found, latents, atol=1e-3)
    whole = LatentStylizer(base, [Style("plain")], recipe.model_copy(update={"reuse": 1}))
    assert not torch.allclose(found, whole.stylize(clean, noise, "plain", recipe.structure), atol=1e-2)


def test_ids_of_recipes_without_reuse_are_those_of_before() -> None:
    for preset, digest in IDS_BEFORE.items():
        recipe: dict[str, Any] = {"preset": preset}
        if preset in ("balanced", "fast", "turbo"):
            recipe["structure"] = 0.6  # as these presets had it then
        assert StylizeRecipe(**recipe).digest() == StylizeRecipe(**recipe, reuse=1).digest() == digest
        if preset != "paper":
            assert StylizeRecipe(**recipe, reuse=2).digest() != digest


def test_preset_paper_reuses_nothing() -> None:
    with pytest.raises(ValueError, match=r"preset paper fixes reuse=1; leave out reuse, or take preset exact"):
        StylizeRecipe(preset="paper", reuse=2)


@pytest.mark.parametrize(
    ("settings", "whole"),
    [
        ({"reuse": 1}, [True] * 6),
        ({"reuse": 2}, [True, False, True, False, True, False]),
        ({"reuse": 16}, [True, False, False, False, False, False]),
        ({"reuse": 4, "guidance_to": 0.5}, [True, False, False, True, True, False]),
    ],
)
def test_every_nth_step_is_whole_and_those_where_guidance_changes(settings: dict[str, Any], whole: list[bool]) -> None:
    assert [is_whole(StylizeRecipe(**STEPS | settings), step) for step in range(6)] == whole


def test_the_cached_evaluations_foretold_are_those_that_leave_out_the_middle(base: BaseModel) -> None:
    recipe = StylizeRecipe(**STEPS | {"inversion": "stochastic"}, guidance_from=0.4, reuse=3)
    counts = {"middle": 0, "end": 0}

    def counting(name: str) -> Any:
        def count(*found: Any) -> None:
            counts[name] += len(found[2])

        return count

    parts: dict[str, Any] = {"middle": base.unet.mid_block.resnets[-1].conv1, "end": base.unet.conv_out}
    hooks = [part.register_forward_hook(counting(name)) for name, part in parts.items()]
    try:
        LatentStylizer(base, [Style("plain")], recipe).stylize(draw_latents(1, 1), draw_latents(1, 2), "plain")
    finally:
        for hook in hooks:
            hook.remove()
    whole, counted = counts.values()
    assert counted == count_evaluations(recipe)
    assert counted - whole == count_cached_evaluations(recipe) > 0
    assert whole < estimate_cost(recipe) < counted
    twice = recipe.model_copy(update={"candidates": 2})
    assert count_cached_evaluations(twice) == 2 * count_cached_evaluations(recipe)


def test_with_reuse_a_photo_gives_the_same_picture_whatever_is_in_its_batch(base: BaseModel) -> None:
    settings = {**STEPS, "reuse": 2, "resolution_px": 32, "colour": "free"}
    stylizer = Stylizer(base, [Style("plain")], StylizeRecipe(**settings))
    scenes = [draw_scene(90_000_000 + n, width_px=48, height_px=32).image for n in range(3)]
    photos = [stylizer.prepare(f"{n}", scene) for n, scene in enumerate(scenes)]
    together, alone = ([one.rgb for one in stylizer.stylize(photos, batch_size=batch_size)] for batch_size in (3, 1))
    for one, other in zip(together, alone, strict=True):
        assert one is not None and other is not None
        assert np.abs(one.astype(int) - other).max() <= 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return BaseModel.load(str(save_tiny(tmp_path_factory.mktemp("models") / "sd1")), device="cpu")


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory, model: BaseModel) -> Controls:
    folder = save_control(tmp_path_factory.mktemp("models") / "gray", model)
    return load(model, f"gray={folder}:1:0-0.84", num_steps=6)


def draw_controlled(model: BaseModel, controls: Controls) -> Tensor:
    scene = draw_scene(70_000_010, width_px=8 * model.latent_factor, height_px=64).image
    photo = Photo.prepare("a", scene, short_px=8 * model.latent_factor, multiple_px=model.size_multiple_px)
    recipe = StylizeRecipe(**STEPS, structure=0.0, reuse=3)
    shape = (1, 4, *(side // model.latent_factor for side in photo.padded.shape[:2]))
    clean, noise = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    images = controls.embed_photos([photo], torch.from_numpy(photo.padded).permute(2, 0, 1)[None])
    return LatentStylizer(model, [Style("plain")], recipe, controls).stylize(
        clean, noise, "plain", control_images=images
    )


def test_a_controlnet_runs_its_first_block_alone_with_deep_features_and_its_end_is_a_whole_step(
    model: BaseModel, controls: Controls, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []
    run = ControlNet.__call__

    def spying(self: ControlNet, *args: Any, **options: Any) -> tuple[Tensor, ...]:
        found = run(self, *args, **options)
        whole = run(self, *args, **options | {"is_outer": False})
        for own, expected in zip(found, whole, strict=not options["is_outer"]):
            assert torch.equal(own, expected)
        seen.append((options["is_outer"], len(found)))
        return found

    monkeypatch.setattr(ControlNet, "__call__", spying)
    wholes: list[bool] = []
    hook = model.unet.mid_block.resnets[0].conv1.register_forward_hook(lambda *_: wholes.append(True))
    try:
        draw_controlled(model, controls)
    finally:
        hook.remove()
    num_layers = len(model.unet.down_blocks[0].resnets)
    assert [is_outer for is_outer, _ in seen] == [False, True, True, False, True]
    assert {count for is_outer, count in seen if is_outer} == {1 + num_layers}
    assert len(wholes) == 3  # steps 0 and 3, and 5, in which the ControlNet acts no longer
