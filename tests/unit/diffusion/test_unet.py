from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.compilation import Compiled, Compiler
from artbank.diffusion.unet import Denoiser, _forward, _shape_of_call, find_unsupported

pytestmark = pytest.mark.usefixtures("compile_anew")

SHAPES: dict[str, dict[str, Any]] = {
    "1.x": {
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 4,
    },
    "2.x": {
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": (2, 4, 4),
        "use_linear_projection": True,
        "transformer_layers_per_block": 2,
        "upcast_attention": True,
    },
    "late cross-attention": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8,
    },
}


@pytest.fixture(params=SHAPES)
def unet(request: pytest.FixtureRequest) -> UNet2DConditionModel:
    return build(**SHAPES[request.param])


def build(**facts: Any) -> UNet2DConditionModel:
    torch.manual_seed(0)
    common = {"block_out_channels": (16, 32, 32), "cross_attention_dim": 24, "norm_num_groups": 8}
    return UNet2DConditionModel(**{**common, "layers_per_block": 2, **facts}).eval().requires_grad_(False)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_several_prompts_at_once_predict_what_the_library_does_for_each(unet: UNet2DConditionModel) -> None:
    denoiser, latents, prompts = Denoiser(unet), draw(3, 4, 16, 8), draw(2, 7, 24, seed=1)
    found = denoiser(latents, 300, denoiser.cache_prompts(prompts), num_prompts=2)
    expected = [unet(latents, 300, prompt.expand(3, -1, -1)).sample for prompt in prompts.split(1)]
    assert torch.allclose(found, torch.cat(expected), atol=1e-5)
    assert not torch.allclose(*found.chunk(2), atol=1e-3)


def test_samples_with_a_timestep_and_a_prompt_each_predict_what_the_library_does(unet: UNet2DConditionModel) -> None:
    denoiser, latents, prompts = Denoiser(unet), draw(3, 4, 8, 8), draw(3, 7, 24, seed=1).requires_grad_()
    timesteps, own = torch.tensor([0, 400, 999]), prompts.detach().clone().requires_grad_()
    found = denoiser(latents, timesteps, denoiser.cache_prompts(prompts))
    expected = unet(latents, timesteps, own).sample
    assert torch.allclose(found, expected, atol=1e-5)
    found.square().sum().backward()
    expected.square().sum().backward()
    assert prompts.grad is not None and own.grad is not None
    assert torch.allclose(prompts.grad, own.grad, rtol=1e-3, atol=1e-4 * own.grad.abs().max().item())


def test_the_start_of_the_network_runs_once_for_both_prompts() -> None:
    unet, rows = build(**SHAPES["late cross-attention"]), []
    first, second = unet.down_blocks[:2]
    for module in (unet.conv_in, *[resnet.conv1 for resnet in first.resnets], second.resnets[0].conv1, unet.conv_out):
        module.register_forward_hook(lambda *found: rows.append(len(found[2])))
    denoiser = Denoiser(unet)
    denoiser(draw(3, 4, 8, 8), 1, denoiser.cache_prompts(draw(2, 7, 24)), num_prompts=2)
    assert rows == [3, 3, 3, 3, 6]


def test_keys_and_values_of_prompts_are_computed_once_and_not_at_each_step(unet: UNet2DConditionModel) -> None:
    count = 0

    def counting(*_: Any) -> None:
        nonlocal count
        count += 1

    for name, module in unet.named_modules():
        if name.endswith(("attn2.to_k", "attn2.to_v")):
            module.register_forward_hook(counting)
    denoiser = Denoiser(unet)
    memory = denoiser.cache_prompts(draw(1, 7, 24))
    once = count
    for timestep in (900, 500):
        denoiser(draw(2, 4, 8, 8), timestep, memory)
    assert count == once == 2 * len(memory.pairs) > 0


@pytest.mark.faults
@pytest.mark.parametrize(("shape", "num_prompts"), [("2.x", 2), pytest.param("1.x", 1, marks=pytest.mark.slow)])
def test_the_network_compiles_as_one_graph_forward_and_backward(shape: str, num_prompts: int) -> None:
    plain, denoiser = (Denoiser(build(**SHAPES[shape] | {"layers_per_block": 1})) for _ in range(2))
    compiler = Compiler("on")
    denoiser._forward = compiled = Compiled(_forward, _shape_of_call, compiler, mode=None, backend="aot_eager")
    results = []
    for one in (plain, denoiser):
        prompts = draw(num_prompts, 7, 24).requires_grad_()
        found = one(draw(2, 4, 8, 8), 7, one.cache_prompts(prompts), num_prompts=num_prompts)
        found.square().sum().backward()
        results.append((found.detach(), prompts.grad))
    assert compiled.shapes and not compiled.has_failed
    for expected, found in zip(*results, strict=True):
        assert expected is not None and found is not None
        assert torch.allclose(expected, found, rtol=1e-3, atol=1e-5 * expected.abs().max().item())


def test_a_network_of_another_shape_of_call_is_named(base: BaseModel) -> None:
    assert find_unsupported(base.unet) is None
    assert find_unsupported(build(**SHAPES["1.x"], class_embed_type="timestep")) == "class_embed_type"
    scaled = build(**SHAPES["1.x"], resnet_time_scale_shift="scale_shift")
    assert find_unsupported(scaled) == "resnet_time_scale_shift scale_shift"
    assert find_unsupported(build(**SHAPES["1.x"] | {"mid_block_type": "UNetMidBlock2D"})) == "UNetMidBlock2D"


def test_an_sdxl_of_full_size_predicts_for_two_prompts_without_a_number_read_back() -> None:
    sdxl = {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        "norm_num_groups": 32,
    }
    with torch.device("meta"), torch.no_grad():  # where reading a number raises
        unet = build(**sdxl)
        assert sum(weight.numel() for weight in unet.parameters()) == 2_567_463_684  # of the published model
        denoiser = Denoiser(unet)
        cache = denoiser.cache_prompts(torch.empty(2, 78, 2048))
        sizes = denoiser.embed_size(896, 1280)
        found = denoiser(torch.empty(3, 4, 112, 160), 500, cache, num_prompts=2, sizes=sizes)
    assert len(cache.pairs) == 70 and found.shape == (6, 4, 112, 160)
