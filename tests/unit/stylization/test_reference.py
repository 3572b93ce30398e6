"""The mathematics against independent references: diffusers' pipeline, transformers' text encoder, a formula."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from torch import Tensor

from artbank.bank.attention import SpatialStatisticalAttention, build_attention
from artbank.bank.bank import Bank
from artbank.bank.bank_file import read_bank_file, to_textual_inversion
from artbank.bank.loss import diffusion_loss
from artbank.bank.trainable_bank import TrainableBank
from artbank.catalog.bank_export import default_token
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER
from artbank.mini import WEIGHTS
from artbank.mini.drawing.scenes import draw_scene
from artbank.parameters.recipe_costs import count_evaluations
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.stylization.inversion import invert_stochastically
from artbank.stylization.latents import LatentStylizer
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from tests.support.rows import bank_record
from tests.support.text_encoders import text_width, vocabulary_rms


def make_bank(base: BaseModel, num_tokens: int = 3, seed: int = 0) -> Bank:
    vectors = torch.randn(num_tokens, text_width(base), generator=torch.Generator().manual_seed(seed))
    recipe = BankRecipe(num_tokens=num_tokens)
    return Bank("0" * 16, "Novak", base.id, base.hash, "f", recipe, vectors * vocabulary_rms(base.prompt_encoder))


@pytest.mark.parametrize("solver", ["ddim", "dpm++2m"])
def test_without_a_bank_and_with_gaussian_noise_it_is_the_img2img_pipeline(base: BaseModel, solver: str) -> None:
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if solver == "dpm++2m":
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
            pipeline.scheduler.config, algorithm_type="dpmsolver++", solver_order=2
        )
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
    theirs = pipeline(
        prompt=["a harbour at dusk"] * 2,
        negative_prompt=["a photograph"] * 2,
        image=latents,
        strength=0.6,
        num_inference_steps=10,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(2),
        output_type="latent",
    ).images
    facts = {"strength": 0.6, "steps": 10, "guidance": 4.0, "solver": solver, "inversion": "gaussian"}
    recipe = StylizeRecipe(**facts, prompt="a harbour at dusk", negative_prompt="a photograph")
    ours = LatentStylizer(base, [Style("plain")], recipe).stylize(latents, noise, "plain")
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(ours, latents, atol=0.1)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_loss_and_gradient_are_those_of_plain_textual_inversion(base: BaseModel, prediction: str) -> None:
    scheduler = DDIMScheduler.from_config(base.scheduler.config, prediction_type=prediction)
    mine = BaseModel(base.id, base.hash, base.unet, base.vae, base.text_encoder, base.tokenizer, scheduler)
    vectors = make_bank(base).vectors
    generator = torch.Generator().manual_seed(3)
    latents, noise = (torch.randn(2, 4, 16, 16, generator=generator) for _ in range(2))
    timesteps = torch.tensor([300, 700])
    own = vectors.clone().requires_grad_()
    prompts = mine.encode_prompts([f"a house, in the style of {STYLE_PLACEHOLDER}", f"{STYLE_PLACEHOLDER}"], own)
    loss = diffusion_loss(mine, latents, noise, timesteps, prompts).mean()
    loss.backward()

    tokenizer, encoder = copy.deepcopy(base.tokenizer), copy.deepcopy(base.text_encoder)
    words = ["<s0>", "<s1>", "<s2>"]
    tokenizer.add_tokens(words)
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = encoder.get_input_embeddings().weight
    table.data[-3:] = vectors
    table.requires_grad_(True)
    said = " ".join(words)
    texts = [f"a house, in the style of {said}", said]
    ids = tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids
    alpha = scheduler.alphas_cumprod[timesteps][:, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = noise if prediction == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    predicted = base.unet(noisy, timesteps, encoder(ids).last_hidden_state).sample
    reference = torch.nn.functional.mse_loss(predicted, target)
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    assert own.grad is not None and table.grad is not None
    assert torch.allclose(own.grad, table.grad[-3:], rtol=1e-3, atol=1e-6)
    assert own.grad.abs().max() > 1e-4


def test_stochastic_inversion_fed_with_the_true_noise_is_q_sample(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, noise = (torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in (4, 5))
    monkeypatch.setattr(BaseModel, "predict", lambda self, latents, timestep, prompts: noise)
    prompts = base.encode_prompts(["a painting"])
    expected = base.noise_schedule.add_noise(clean, noise, 500)
    assert torch.equal(invert_stochastically(base, clean, noise, 500, prompts), expected)


def test_a_bank_with_closed_gates_encodes_as_plain_textual_inversion(base: BaseModel) -> None:
    shaped = TrainableBank.start(BankRecipe(attention="ssam", seed=7), base)
    plain = TrainableBank(BankRecipe(attention="none"), base.text_widths, shaped.units)
    plain.vectors.data.copy_(shaped.vectors)
    prompt = [f"a painting, in the style of {STYLE_PLACEHOLDER}"]
    assert torch.equal(base.encode_prompts(prompt, shaped()), base.encode_prompts(prompt, plain()))
    shaped.attention.spatial_gate.data.fill_(0.5)
    assert not torch.allclose(base.encode_prompts(prompt, shaped()), base.encode_prompts(prompt, plain()), atol=1e-3)


@pytest.mark.parametrize("kind", ["ssam", "self", "released"])
def test_every_weight_of_an_attention_gets_a_gradient(kind: str) -> None:
    torch.manual_seed(0)
    attention = build_attention(kind, 128)
    for name, parameter in attention.named_parameters():
        if name.endswith("gate"):
            parameter.data.fill_(0.5)
    attention(torch.randn(8, 128)).square().sum().backward()
    biases_of_keys = {"first.key.bias", "second.key.bias"}  # a constant added to every key changes no softmax
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None
        if name not in biases_of_keys:
            assert parameter.grad.abs().max() > 1e-7, name


def test_with_one_vector_the_released_attention_learns_no_query_and_no_key() -> None:
    torch.manual_seed(0)
    attention = build_attention("released", 128)
    attention(torch.randn(1, 128)).square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert (parameter.grad.abs().max() == 0) == ("query" in name or "key" in name), name


def test_the_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    module = SpatialStatisticalAttention(128).double()
    module.spatial_gate.data.fill_(0.3)
    module.statistical_gate.data.fill_(-0.7)
    vectors = torch.randn(5, 128, dtype=torch.float64)
    assert torch.allclose(module(vectors), _formula(module, vectors), atol=1e-10)


def _formula(module: SpatialStatisticalAttention, vectors: Tensor) -> Tensor:
    """Compute the module's output vector by vector and head by head."""
    count, width = vectors.shape
    head = width // module.heads
    x = torch.stack([(v - v.mean()) / (v.var(correction=0) + 1e-5).sqrt() for v in vectors])
    x = x * module.norm.weight + module.norm.bias
    query, key, value, other = (
        x @ layer.weight.T for layer in (module.query, module.key, module.spatial_value, module.statistical_value)
    )
    spread_of_columns = (x.var(0, correction=0) + 1e-5).sqrt()
    standard = (x - x.mean(0)) / spread_of_columns
    spatial, statistical = torch.zeros_like(x), torch.zeros_like(x)
    for i in range(count):
        for h in range(module.heads):
            part = slice(h * head, (h + 1) * head)
            scores = torch.stack([query[i, part] @ key[j, part] / head**0.5 for j in range(count)])
            weights = scores.exp() / scores.exp().sum()
            spatial[i, part] = sum(w * value[j, part] for j, w in enumerate(weights))
            mean = sum(w * other[j, part] for j, w in enumerate(weights))
            square = sum(w * other[j, part] ** 2 for j, w in enumerate(weights))
            deviation = ((square - mean**2).clamp(min=0) + 1e-5).sqrt()
            statistical[i, part] = deviation * standard[i, part] + mean
    return (
        vectors
        + module.spatial_gate * (spatial @ module.spatial_out.weight.T)
        + module.statistical_gate * (statistical @ module.statistical_out.weight.T)
    )


def test_ddim_inversion_at_guidance_1_gives_the_photo_back(base: BaseModel) -> None:
    photo = draw_scene(70_000_001, "a lake", width_px=64, height_px=64).image
    errors = {}
    for inversion in ("ddim", "gaussian"):
        facts = {"strength": 0.5, "steps": 50, "guidance": 1.0, "solver": "ddim", "resolution_px": 64}
        stylizer = LatentStylizer(base, [Style("plain")], StylizeRecipe(inversion=inversion, **facts))
        clean = base.encode_images(torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        errors[inversion] = (stylizer.stylize(clean, noise, "plain") - clean).square().mean().item()
    assert errors["ddim"] < 0.02  # of latents with a variance of 1
    assert errors["ddim"] < errors["gaussian"] / 5


def test_the_papers_settings_take_71_evaluations_and_start_below_their_inversion(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    predict = BaseModel.predict

    def counting(self: BaseModel, latents: Tensor, timestep: int, *args: Any, **named: Any) -> Tensor:
        predicted = predict(self, latents, timestep, *args, **named)
        seen.append((timestep, len(predicted)))
        return predicted

    monkeypatch.setattr(BaseModel, "predict", counting)
    recipe = StylizeRecipe(preset="paper", resolution_px=32)
    style = Style("Novak", ((make_bank(base, 1), 1.0),))
    stylizer = Stylizer(base, [style], recipe)
    list(stylizer.stylize([stylizer.prepare("a", draw_scene(70_000_002, width_px=32, height_px=32).image)]))
    assert sum(size for _, size in seen) == 71 == count_evaluations(recipe)
    assert [timestep for timestep, _ in seen[:2]] == [700, 681]
    with pytest.raises(ValueError, match="steps"):
        StylizeRecipe(preset="paper", steps=20)


def test_an_exported_bank_means_the_same_to_diffusers(base: BaseModel, tmp_path: Path) -> None:
    bank = make_bank(base)
    path = tmp_path / "novak.safetensors"
    token = default_token(bank_record(display_name="Van <Gogh> 葛飾北斎"))
    assert token == "<van gogh 葛飾北斎>"
    path.write_bytes(to_textual_inversion(token, read_bank_file(bank.to_bytes()).tensors))
    pipeline = StableDiffusionPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    pipeline.load_textual_inversion(str(path))
    theirs, _ = pipeline.encode_prompt(f"a house, in the style of {token}", "cpu", 1, False)
    ours = base.encode_prompts([f"a house, in the style of {STYLE_PLACEHOLDER}"], bank.vectors)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, base.encode_prompts(["a house, in the style of"]), atol=1e-2)
