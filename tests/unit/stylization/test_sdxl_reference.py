"""SDXL against independent references: diffusers' pipelines, its UNet, transformers' text encoders."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
)
from torch import Tensor

from artbank.api.pipelines import add_style
from artbank.bank.bank import Bank
from artbank.bank.bank_file import read_bank_file, to_textual_inversion
from artbank.bank.loss import diffusion_loss
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER
from artbank.errors import BankError
from artbank.mini import WEIGHTS
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.stylization.latents import LatentStylizer
from artbank.stylization.style import Style
from tests.support.text_encoders import vocabulary_rms

VELOCITY = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


def make_bank(base: BaseModel, num_tokens: int = 3) -> Bank:
    generator = torch.Generator().manual_seed(0)
    parts = [
        vocabulary_rms(encoder) * torch.randn(num_tokens, encoder.width, generator=generator)
        for encoder in base.prompt_encoders
    ]
    recipe = BankRecipe(num_tokens=num_tokens)
    facts: dict[str, Any] = {"family": "sdxl", "encoders": base.text_widths}
    return Bank("0" * 16, "Novak", base.id, base.hash, "f", recipe, torch.cat(parts, dim=1), **facts)


def open_pipeline(base: BaseModel) -> Any:
    """Return diffusers' pipeline on copies of what a test may change."""
    names = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    encoders = {name: copy.deepcopy(getattr(base, name)) for name in names}
    pipeline = StableDiffusionXLImg2ImgPipeline(base.vae, **encoders, unet=base.unet, scheduler=base.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def with_schedule(base: BaseModel, **settings: Any) -> BaseModel:
    """Return the model with other settings of its schedule; without clipping, which is meant for pixels."""
    scheduler = DDIMScheduler.from_config(base.scheduler.config, clip_sample=False, **settings)
    return replace(base, scheduler=scheduler)


@pytest.mark.parametrize(
    ("solver", "negative", "schedule"),
    [("ddim", "a photograph", {}), ("dpm++2m", "", {}), ("ddim", "a photograph", VELOCITY)],
)
def test_without_a_bank_and_with_gaussian_noise_it_is_the_img2img_pipeline(
    sdxl: BaseModel, solver: str, negative: str, schedule: dict[str, Any]
) -> None:
    base = with_schedule(sdxl, **schedule)
    pipeline = open_pipeline(base)
    if solver == "dpm++2m":
        options = {"algorithm_type": "dpmsolver++", "solver_order": 2}
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(base.scheduler.config, **options)
    latents = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
    theirs = pipeline(
        prompt=["a harbour at dusk"] * 2,
        negative_prompt=[negative] * 2 if negative else None,
        image=latents,
        strength=0.6,
        num_inference_steps=10,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(2),
        output_type="latent",
    ).images
    facts = {"strength": 0.6, "steps": 10, "guidance": 4.0, "solver": solver, "inversion": "gaussian"}
    recipe = StylizeRecipe.model_validate({**facts, "structure": 0.0, "prompt": "a harbour at dusk"})
    recipe = recipe.model_copy(update={"negative_prompt": negative})
    ours = LatentStylizer(base, [Style("plain")], recipe).stylize(latents, noise, "plain")
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(ours, latents, atol=0.1)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_loss_and_gradient_are_those_of_plain_textual_inversion(sdxl: BaseModel, prediction: str) -> None:
    base = with_schedule(sdxl, prediction_type=prediction)
    bank = make_bank(base)
    generator = torch.Generator().manual_seed(3)
    latents, noise = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    timesteps = torch.tensor([300, 700])
    sizes = torch.tensor([[900, 700, 12, 0, 64, 64], [80, 1000, 0, 5, 64, 64]])
    own = bank.vectors.clone().requires_grad_()
    prompts = base.encode_prompts([f"a house, in the style of {STYLE_PLACEHOLDER}", f"{STYLE_PLACEHOLDER}"], own)
    loss = diffusion_loss(base, latents, noise, timesteps, prompts, sizes=sizes).mean()
    loss.backward()

    words = ["<s0>", "<s1>", "<s2>"]
    said = " ".join(words)
    texts = [f"a house, in the style of {said}", said]
    tables: list[Tensor] = []
    states: list[Tensor] = []
    pooled = torch.empty(0)
    for name, part in (("", bank.tensors["clip_l"]), ("_2", bank.tensors["clip_g"])):
        tokenizer, encoder = (copy.deepcopy(getattr(base, one + name)) for one in ("tokenizer", "text_encoder"))
        tokenizer.add_tokens(words)
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        table = encoder.get_input_embeddings().weight
        table.data[-3:] = part
        tables.append(table.requires_grad_(True))
        ids = tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids
        output = encoder(ids, output_hidden_states=True)
        states.append(output.hidden_states[-2])
        pooled = output[0]  # of the second encoder, as the pipeline takes it
    alpha = base.scheduler.alphas_cumprod[timesteps][:, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = noise if prediction == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    added = {"text_embeds": pooled, "time_ids": sizes}
    predicted = base.unet(noisy, timesteps, torch.cat(states, dim=-1), added_cond_kwargs=added).sample
    reference = torch.nn.functional.mse_loss(predicted, target)
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    grads = [table.grad[-3:] for table in tables if table.grad is not None]
    assert own.grad is not None
    assert torch.allclose(own.grad, torch.cat(grads, dim=1), rtol=1e-3, atol=1e-7)
    assert all(grad.abs().max() > 1e-5 for grad in grads)


def test_a_bank_is_a_token_of_a_pipeline_and_replaces_an_earlier_one(sdxl: BaseModel) -> None:
    bank = make_bank(sdxl)
    pipeline = open_pipeline(sdxl)
    for _ in range(2):
        assert add_style(pipeline, bank, "<novak>", "novak@1") == "<novak>"
    for suffix, vectors in zip(("", "_2"), bank.tensors.values(), strict=True):
        tokenizer, encoder = (getattr(pipeline, part + suffix) for part in ("tokenizer", "text_encoder"))
        number = tokenizer.convert_tokens_to_ids("<novak>")
        assert torch.equal(encoder.get_input_embeddings().weight[number], vectors[0])
        assert len(tokenizer.get_added_vocab().keys() & {"<novak>", "<novak>_1", "<novak>_2"}) == 3
    narrow = StableDiffusionPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    with pytest.raises(BankError, match="has vectors of width 24 and 40, expected 192 for this pipeline"):
        add_style(narrow, bank, "<novak>", "novak@1")


def test_an_exported_bank_means_the_same_to_diffusers(sdxl: BaseModel, tmp_path: Path) -> None:
    bank = make_bank(sdxl)
    path = tmp_path / "novak.safetensors"
    path.write_bytes(to_textual_inversion("<novak>", read_bank_file(bank.to_bytes()).tensors))
    exported = safetensors.torch.load_file(path)
    assert {name: list(tensor.shape) for name, tensor in exported.items()} == {"clip_l": [3, 24], "clip_g": [3, 40]}
    pipeline = open_pipeline(sdxl)
    for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
        parts = {one: getattr(pipeline, one + suffix) for one in ("text_encoder", "tokenizer")}
        pipeline.load_textual_inversion({name: exported[name]}, token="<novak>", **parts)
    states, _, pooled, _ = pipeline.encode_prompt("a house, in the style of <novak>", device="cpu")
    [ours] = sdxl.encode_prompts([f"a house, in the style of {STYLE_PLACEHOLDER}"], bank.vectors)
    assert torch.allclose(ours[:-1], states[0], atol=1e-5)
    assert torch.allclose(ours[-1, :40], pooled[0], atol=1e-5) and not ours[-1, 40:].any()
    [without] = sdxl.encode_prompts(["a house, in the style of"])
    assert not torch.allclose(ours[-1], without[-1], atol=1e-2)
