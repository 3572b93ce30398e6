"""Reuse of deep features against diffusers' own UNet, whose last block is given those of an earlier step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from artbank.diffusion.compilation import Compiled, Compiler
from artbank.diffusion.prompted_network import PromptCache
from artbank.diffusion.unet import DeepFeatures, Denoiser, _forward_keeping, _forward_outer, _shape_of_call
from tests.unit.diffusion.test_unet import SHAPES, build, draw

SDXL: dict[str, Any] = {
    **SHAPES["late cross-attention"],
    "transformer_layers_per_block": (1, 2, 3),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 24,
}
ALL_SHAPES = {**SHAPES, "sdxl": SDXL}


@pytest.fixture(params=ALL_SHAPES)
def unet(request: pytest.FixtureRequest) -> UNet2DConditionModel:
    return build(**ALL_SHAPES[request.param])


@contextmanager
def given_to_last_block(unet: Any, kept: dict[str, Tensor], *, replacing: bool) -> Iterator[None]:
    """Keep what the last block of a UNet takes, or replace it by what was kept."""

    def hook(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not replacing:
            kept["deep"] = named["hidden_states"]
            return args, named
        assert not torch.equal(kept["deep"], named["hidden_states"])
        return args, {**named, "hidden_states": kept["deep"]}

    handle = unet.up_blocks[-1].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def write_prompts(unet: Any, count: int) -> tuple[Tensor, Tensor]:
    """Return encoded prompts as we take them, with the pooled one in the last row for SDXL, and sizes."""
    pooled_rows = 1 if unet.config.addition_embed_type else 0
    return draw(count, 7 + pooled_rows, 24, seed=1), torch.tensor([[64, 32, 0, 0, 64, 32]])


def ask_library(unet: Any, latents: Tensor, timestep: int, prompt: Tensor, sizes: Tensor, **added: Any) -> Tensor:
    rows = prompt.expand(len(latents), -1, -1)
    if unet.config.addition_embed_type:
        pooled = {"text_embeds": rows[:, -1], "time_ids": sizes.expand(len(latents), -1)}
        return unet(latents, timestep, rows[:, :-1], added_cond_kwargs=pooled, **added).sample
    return unet(latents, timestep, rows, **added).sample


def ask_ours(
    denoiser: Denoiser, latents: Tensor, timestep: int, cache: PromptCache, sizes: Tensor, **options: Any
) -> Tensor:
    embedded = denoiser.embed_sizes(sizes) if cache.pooled is not None else None
    return denoiser(latents, timestep, cache, sizes=embedded, **options)


@torch.no_grad()
def test_a_step_that_keeps_its_features_predicts_to_the_bit_what_any_step_does(unet: UNet2DConditionModel) -> None:
    denoiser, latents, (prompts, sizes) = Denoiser(unet), draw(3, 4, 16, 8), write_prompts(unet, 2)
    deep, cache = DeepFeatures(), denoiser.cache_prompts(prompts)
    keeping = ask_ours(denoiser, latents, 300, cache, sizes, num_prompts=2, deep=deep)
    assert torch.equal(keeping, ask_ours(denoiser, latents, 300, cache, sizes, num_prompts=2))
    assert deep.planes is not None and len(deep.planes) == 6
    assert torch.allclose(keeping, ask_ours(denoiser, latents, 300, cache, sizes, num_prompts=2, deep=deep), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("controlled", [False, True])
def test_a_cached_step_predicts_what_the_library_does_with_the_deep_features_replaced(
    unet: UNet2DConditionModel, controlled: bool
) -> None:
    denoiser, latents, (prompts, sizes) = Denoiser(unet), draw(3, 4, 16, 8), write_prompts(unet, 2)
    later, deep, cache = draw(3, 4, 16, 8, seed=5), DeepFeatures(), denoiser.cache_prompts(prompts)
    then, now = (draw_residuals(unet, seed) if controlled else None for seed in (7, 8))
    ask_ours(denoiser, latents, 300, cache, sizes, num_prompts=2, deep=deep, residuals=then)
    outer = now and now[: 1 + len(unet.down_blocks[0].resnets)]  # pyright: ignore[reportArgumentType]
    found = ask_ours(denoiser, later, 280, cache, sizes, num_prompts=2, deep=deep, residuals=outer)
    expected = []
    for prompt in prompts.split(1):
        kept: dict[str, Tensor] = {}
        with given_to_last_block(unet, kept, replacing=False):
            ask_library(unet, latents, 300, prompt, sizes, **as_library_takes(then))
        with given_to_last_block(unet, kept, replacing=True):
            expected.append(ask_library(unet, later, 280, prompt, sizes, **as_library_takes(now)))
    assert torch.allclose(found, torch.cat(expected), atol=1e-5)
    whole = ask_ours(denoiser, later, 280, cache, sizes, num_prompts=2, residuals=now)
    assert not torch.allclose(found, whole, atol=1e-3)


def draw_residuals(unet: Any, seed: int) -> tuple[Tensor, ...]:
    """Return what a ControlNet might add, for 3 samples with any prompt."""
    found: list[tuple[int, ...]] = []
    outputs = [unet.conv_in]
    for block in unet.down_blocks:
        outputs += [*(getattr(block, "attentions", None) or block.resnets), *(block.downsamplers or ())]
    handles = [
        part.register_forward_hook(lambda _, __, out: found.append(first(out).shape))
        for part in [*outputs, unet.mid_block]
    ]
    ask_library(unet, draw(3, 4, 16, 8), 1, *write_prompts(unet, 1))
    for handle in handles:
        handle.remove()
    return tuple(draw(*shape, seed=seed + place) for place, shape in enumerate(found))


def first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def as_library_takes(residuals: tuple[Tensor, ...] | None) -> dict[str, Any]:
    if residuals is None:
        return {}
    return {"down_block_additional_residuals": residuals[:-1], "mid_block_additional_residual": residuals[-1]}


@torch.no_grad()
def test_a_cached_step_runs_the_first_and_the_last_block_alone(unet: UNet2DConditionModel) -> None:
    denoiser, latents, (prompts, sizes) = Denoiser(unet), draw(2, 4, 8, 8), write_prompts(unet, 1)
    deep, cache = DeepFeatures(), denoiser.cache_prompts(prompts)
    ask_ours(denoiser, latents, 300, cache, sizes, deep=deep)
    ran: set[str] = set()
    for name, module in unet.named_modules():
        if not name.endswith(("time_emb_proj", "nonlinearity")):  # a timestep is projected for all blocks at once
            module.register_forward_hook(lambda *_, name=name: ran.add(".".join(name.split(".")[:2])))
    ask_ours(denoiser, latents, 280, cache, sizes, deep=deep)
    assert {name for name in ran if "block" in name} == {"down_blocks.0", "up_blocks.2"}
    ask_ours(denoiser, latents, 280, cache, sizes)
    assert "mid_block" in {name.split(".")[0] for name in ran}


@torch.no_grad()
def test_a_sample_has_its_own_deep_features_in_any_batch(unet: UNet2DConditionModel) -> None:
    denoiser, steps, (prompts, sizes) = Denoiser(unet), draw(2, 3, 4, 16, 8), write_prompts(unet, 2)
    cache = denoiser.cache_prompts(prompts)

    def run(chosen: slice) -> Tensor:
        deep = DeepFeatures()
        ask_ours(denoiser, steps[0, chosen], 300, cache, sizes, num_prompts=2, deep=deep)
        return ask_ours(denoiser, steps[1, chosen], 280, cache, sizes, num_prompts=2, deep=deep)

    together, alone = run(slice(0, 3)), run(slice(1, 2))
    assert torch.allclose(together[1::3], alone, atol=1e-5)


@pytest.mark.faults
@pytest.mark.parametrize("shape", ["1.x", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_both_kinds_of_step_compile_as_one_graph(shape: str) -> None:
    plain, compiled = (Denoiser(build(**ALL_SHAPES[shape] | {"layers_per_block": 1})) for _ in range(2))
    keeping, outer = (
        Compiled(forward, _shape_of_call, Compiler("on"), mode=None, backend="aot_eager")
        for forward in (_forward_keeping, _forward_outer)
    )
    compiled._forward_keeping, compiled._forward_outer = keeping, outer
    results = []
    for denoiser in (plain, compiled):
        prompts, sizes = write_prompts(denoiser.unet, 2)
        deep, cache = DeepFeatures(), denoiser.cache_prompts(prompts)
        with torch.no_grad():
            results.append(
                [
                    ask_ours(denoiser, draw(2, 4, 8, 8, seed=step), 300, cache, sizes, num_prompts=2, deep=deep)
                    for step in range(3)
                ]
            )
    torch._dynamo.reset()
    for one in (keeping, outer):
        assert one.shapes and not one.has_failed
    for expected, found in zip(*results, strict=True):
        assert torch.allclose(expected, found, atol=1e-5)
