"""ControlNets against diffusers' image-to-image pipelines."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    ControlNetModel,
    ControlNetUnionModel,
    DDIMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetUnionImg2ImgPipeline,
    UniPCMultistepScheduler,
)
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.tensors import upload
from artbank.images.control_images import draw_control_image
from artbank.images.framing import Photo
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import StylizeRecipe
from artbank.stylization.controls import Controls
from artbank.stylization.latents import LatentStylizer
from artbank.stylization.style import Style
from tests.support.controlnets import load, save_control

PROMPT = {"prompt": "a harbour at dusk", "negative_prompt": "a photograph"}
STEPS: dict[str, Any] = {"strength": 0.6, "steps": 10, "guidance": 4.0, "inversion": "gaussian"}


def photograph(base: BaseModel, count: int = 2) -> list[Photo]:
    size = {"short_px": 8 * base.latent_factor, "multiple_px": base.size_multiple_px}
    scenes = [draw_scene(70_000_010 + n, width_px=8 * base.latent_factor, height_px=64).image for n in range(count)]
    return [Photo.prepare(f"{n}", scene, **size) for n, scene in enumerate(scenes)]


def draw_ours(
    base: BaseModel, controls: Controls, photos: list[Photo], **settings: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the clean latents of photos, their noise, and what we draw from both."""
    originals = upload([photo.padded for photo in photos], base.device)
    shape = (len(photos), 4, *(side // base.latent_factor for side in originals.shape[2:]))
    clean = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    recipe = StylizeRecipe(**PROMPT | STEPS | settings)
    stylizer = LatentStylizer(base, [Style("plain")], recipe, controls)
    found = stylizer.stylize(clean, noise, "plain", control_images=controls.see(photos, originals))
    return clean, noise, found


def open_pipeline(base: BaseModel, networks: Any, solver: str) -> Any:
    kinds: dict[str, Any] = {"ddim": DDIMScheduler, "unipc": UniPCMultistepScheduler}
    parts = {
        "vae": base.vae,
        "unet": base.unet,
        "scheduler": kinds[solver].from_config(base.scheduler.config, clip_sample=False),
    }
    names = [name for part in base.family.text_encoders for name in (part.folder, part.tokenizer)]
    parts |= {name: copy.deepcopy(getattr(base, name)) for name in names}
    if base.family.name == "sd":
        none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline: Any = StableDiffusionControlNetImg2ImgPipeline(**parts, controlnet=networks, **none)
    elif isinstance(networks, ControlNetUnionModel):
        pipeline = StableDiffusionXLControlNetUnionImg2ImgPipeline(**parts, controlnet=networks)
    else:
        pipeline = StableDiffusionXLControlNetImg2ImgPipeline(**parts, controlnet=networks)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class _Given:
    """Gives noise in place of a generator's."""

    def __init__(self, noise: Tensor):
        self.noise = noise

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        return self.noise


def draw_theirs(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch, clean: Tensor, noise: Tensor, images: Any, **options: Any
) -> Tensor:
    monkeypatch.setattr(f"{type(pipeline).__module__}.randn_tensor", _Given(noise))
    prompts = {name: [text] * len(clean) for name, text in PROMPT.items()}
    return pipeline(
        **prompts,
        image=clean,
        control_image=images,
        strength=STEPS["strength"],
        num_inference_steps=STEPS["steps"],
        guidance_scale=STEPS["guidance"],
        output_type="latent",
        **options,
    ).images


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def any_base(request: pytest.FixtureRequest, tiny_sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    from tests.support.model_fixtures import save_tiny

    if request.param == "sdxl":
        return BaseModel.load(str(tiny_sdxl), device="cpu")
    folder = save_tiny(tmp_path_factory.mktemp("models") / request.param, second=request.param == "sd2")
    return BaseModel.load(str(folder), device="cpu")


@pytest.mark.parametrize("solver", ["ddim", "unipc"])
def test_it_is_the_controlnet_pipeline_of_each_family(
    any_base: BaseModel, solver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_control(tmp_path / "edges", any_base)
    controls = load(any_base, f"canny={folder}:0.7:0-0.5")
    photos = photograph(any_base)
    clean, noise, ours = draw_ours(any_base, controls, photos, solver=solver)
    edges = torch.stack([torch.from_numpy(draw_control_image("canny", photo.padded)) for photo in photos])
    images = (edges[:, None] / 255).expand(-1, 3, -1, -1)
    pipeline = open_pipeline(any_base, ControlNetModel.from_pretrained(folder), solver)
    interval = {"control_guidance_end": 0.5, "controlnet_conditioning_scale": 0.7}
    theirs = draw_theirs(pipeline, monkeypatch, clean, noise, images, **interval)
    assert torch.allclose(ours, theirs, atol=1e-4)
    plain = draw_ours(any_base, Controls(), photos, solver=solver)[2]
    assert (ours - plain).abs().max() > 0.05
