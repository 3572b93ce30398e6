"""The shipped weights: small, safe files in diffusers' layout that load offline with no code of ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image
from safetensors import safe_open
from transformers import CLIPModel, CLIPProcessor

from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.pretraining.judge import MANNERS, Judge

PROMPT = "a harbour at dusk, in the manner of Maurel"


@pytest.fixture(scope="module")
def pipeline(weights: Path) -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(weights, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_all_files_are_safetensors_json_or_text_and_small(weights: Path) -> None:
    files = [path for path in weights.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt"}
    assert sum(path.stat().st_size for path in files) <= 30_000_000
    assert max(path.stat().st_size for path in files) < 10_000_000


def test_the_tensors_are_half_precision_and_finite(weights: Path) -> None:
    for path in weights.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                tensor = file.get_tensor(name)
                assert not tensor.is_floating_point() or tensor.dtype == torch.float16, f"{path.name} {name}"
                assert torch.isfinite(tensor).all(), f"{path.name} {name}"


def test_the_configs_are_stable_diffusions(weights: Path, pipeline: StableDiffusionPipeline) -> None:
    schedule = json.loads((weights / "scheduler/scheduler_config.json").read_text())
    assert schedule["prediction_type"] == "epsilon"
    assert schedule["beta_schedule"] == "scaled_linear"
    assert (schedule["beta_start"], schedule["beta_end"]) == (0.00085, 0.012)
    assert schedule["num_train_timesteps"] == 1000
    assert pipeline.vae.config.latent_channels == 4
    assert pipeline.vae.config.scaling_factor == 0.18215
    assert pipeline.vae_scale_factor == 4
    assert pipeline.unet.config.sample_size * pipeline.vae_scale_factor == 128
    assert pipeline.safety_checker is None


@pytest.mark.parametrize(("width", "height"), [(96, 96), (128, 192), (256, 256)])
def test_pictures_come_in_any_size(pipeline: StableDiffusionPipeline, width: int, height: int) -> None:
    generator = torch.Generator().manual_seed(0)
    image = pipeline(PROMPT, width=width, height=height, num_inference_steps=2, generator=generator).images[0]
    assert image.size == (width, height)
    assert np.asarray(image).std() > 5


def test_img2img_loads_and_keeps_the_shape(weights: Path) -> None:
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(weights, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    photo = Image.fromarray(draw_scene(1, width_px=160, height_px=96).image)
    output = pipeline(
        PROMPT, image=photo, strength=0.5, num_inference_steps=4, generator=torch.Generator().manual_seed(0)
    )
    assert output.images[0].size == (160, 96)


def test_latents_have_unit_spread_after_scaling(pipeline: StableDiffusionPipeline) -> None:
    photos = np.stack([draw_scene(20_000_000 + i).image for i in range(15)])
    pixels = torch.from_numpy(photos).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels).latent_dist.mean * pipeline.vae.config.scaling_factor
    assert latents.mean().abs() < 0.3
    assert 0.7 < latents.std() < 1.4


def test_clip_scores_loads_with_its_processor(weights: Path, pipeline: StableDiffusionPipeline) -> None:
    clip = CLIPModel.from_pretrained(weights / "clip", dtype=torch.float32)
    processor = CLIPProcessor.from_pretrained(weights / "clip")
    images = [Image.fromarray(draw_scene(seed).image) for seed in (1, 2)]
    inputs = processor(text=["a harbour", "a street", "flowers"], images=images, return_tensors="pt", padding=True)
    with torch.no_grad():
        assert clip(**inputs).logits_per_image.shape == (2, 3)
    tower, encoder = clip.text_model.state_dict(), pipeline.text_encoder.state_dict()
    ours = {name.removeprefix("text_model."): tensor for name, tensor in encoder.items()}
    assert all(torch.equal(ours[name], tensor) for name, tensor in tower.items())


def test_the_judge_knows_all_subjects_and_trained_painters(weights: Path) -> None:
    judge = Judge.load(weights / "judge")
    assert judge.subjects == SUBJECTS
    assert judge.manners == MANNERS
