"""Count what fits in the memory of a card: Stable Diffusion 1.5 and 2.1, training and stylizing.

    python bench/memory_by_card.py

prints two tables in Markdown, in about 30 s on a CPU. The bytes are counted on PyTorch's device `meta`, by the code
that chooses the sizes of calls in a training; nothing is measured on a card.

A GiB is 2^30 bytes, and a card of 8 GB is taken to have 8 GiB.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(Path(__file__).parents[1]))

from artbank.archive.drawing_resources import BATCH_ON_CUDA
from artbank.bank.call_bytes import count_call_bytes
from artbank.bank.call_size import MICRO_BATCH_SIZES, count_fitting
from artbank.diffusion.family import SD
from artbank.diffusion.memory_count import count_bytes
from artbank.diffusion.unet import Denoiser
from artbank.parameters.recipe_costs import count_steps, is_guided
from artbank.recipes import StylizeRecipe

GIB = 2**30
CARDS_GB = (8, 12, 16, 24, 40, 80)
ROWS = (("1.5", 512), ("1.5", 768), ("2.1", 768))  # model and short side, px
CONTEXT_BYTES = round(0.6 * GIB)  # assumed: what driver and CUDA context take of a card
TEXTS: dict[str, dict[str, int]] = {
    "1.5": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "2.1": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16},
}
_VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
UNETS: dict[str, dict[str, Any]] = {
    "1.5": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "2.1": {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True},
}
_VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
}


@cache
def build_unet(name: str) -> UNet2DConditionModel:
    """Build the UNet of a model in bfloat16, without its numbers."""
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**UNETS[name])
        return freeze(unet)


@cache
def build_vae() -> AutoencoderKL:
    """Build the VAE of both models in bfloat16, without its numbers."""
    with torch.device("meta"):
        return freeze(AutoencoderKL(**_VAE))


def freeze(network: Any) -> Any:
    """Bring a network into the state in which artbank loads it on CUDA."""
    return network.to(torch.bfloat16).requires_grad_(False).eval()


@cache
def count_weights(name: str) -> int:
    """Return the bytes of all weights: a model in bfloat16, and its scorer, CLIP ViT-L/14, in float32."""
    with torch.device("meta"):
        text_encoder = CLIPTextModel(CLIPTextConfig(**TEXTS[name]))
        vision = {**_VISION, "patch_size": 14}
        scorer = CLIPModel(CLIPConfig(text_config=TEXTS["1.5"], vision_config=vision, projection_dim=768))
    half = sum(_count_values(network) for network in (build_unet(name), build_vae(), text_encoder))
    return 2 * half + 4 * _count_values(scorer)


@cache
def count_training(name: str, side_px: int, is_checkpointing: bool = False) -> int:
    """Return the bytes of one example in a call of training."""
    unet = build_unet(name)
    switch = unet.enable_gradient_checkpointing if is_checkpointing else unet.disable_gradient_checkpointing
    switch()
    try:
        return count_call_bytes(unet, (4, side_px // 8, side_px // 8))
    finally:
        unet.disable_gradient_checkpointing()


@cache
def count_call(name: str, side_px: int, num_photos: int, num_prompts: int = 2) -> int:
    """Return the most bytes that a call of the UNet holds beside its weights, guided with two prompts."""
    denoiser = Denoiser(build_unet(name))
    with torch.device("meta"), torch.no_grad():
        width = denoiser.unet.config.cross_attention_dim
        prompts = denoiser.cache_prompts(torch.empty(num_prompts, 77, width))
        latents = torch.empty(num_photos, 4, side_px // 8, side_px // 8)
        with count_bytes() as counted:
            denoiser(latents, 500, prompts, num_prompts=num_prompts)
    return counted.peak


@cache
def count_decoding(side_px: int, num_photos: int = SD.vae_batch) -> int:
    """Return the most bytes that the VAE holds beside its weights to decode latents."""
    latents = torch.empty(num_photos, 4, side_px // 8, side_px // 8, dtype=torch.bfloat16, device="meta")
    return _count_vae(build_vae().decode, latents)


@cache
def count_encoding(side_px: int, num_photos: int = SD.vae_batch) -> int:
    """Return the most bytes that the VAE holds beside its weights to encode images."""
    images = torch.empty(num_photos, 3, side_px, side_px, dtype=torch.bfloat16, device="meta")
    return _count_vae(build_vae().encode, images)


def count_stylizing(name: str, side_px: int, num_photos: int, preset: str = "exact") -> int:
    """Return the most bytes that a batch holds beside the weights.

    The latents of all steps are kept in float32, and so are the photos, the decoded images and the pictures of them.
    """
    recipe = StylizeRecipe.model_validate({"preset": preset})
    num_prompts = 1 + any(is_guided(recipe, step) for step in range(count_steps(recipe)))
    kept_latents = (3 + count_steps(recipe)) * 4 * (side_px // 8) ** 2
    kept = 4 * num_photos * (kept_latents + 3 * 3 * side_px**2)
    vae_batch = min(num_photos, SD.vae_batch)
    of_networks = (
        count_call(name, side_px, num_photos, num_prompts),
        count_decoding(side_px, vae_batch),
        count_encoding(side_px, vae_batch),
    )
    return kept + max(of_networks)


def choose_examples(name: str, side_px: int, card_gb: int) -> tuple[int, bool]:
    """Return the examples in a call of training on a card, 0 or more, and whether it takes gradient checkpointing."""
    free = count_free(name, card_gb)
    for is_checkpointing in (False, True):
        examples = count_fitting(free, count_training(name, side_px, is_checkpointing))
        if examples:
            return min(examples, MICRO_BATCH_SIZES["cuda"]), is_checkpointing
    return 0, True


def choose_photos(name: str, side_px: int, card_gb: int) -> int:
    """Return the photos in a batch on a card: the default, or what is left of it when it is halved until it fits."""
    free = count_free(name, card_gb)
    sizes = _halve(BATCH_ON_CUDA)
    return next((size for size in sizes if count_fitting(free, count_stylizing(name, side_px, size))), 0)


def count_free(name: str, card_gb: int) -> int:
    """Return the bytes of a card beside the weights of a model and the scorer, if nothing else is on it."""
    return card_gb * GIB - CONTEXT_BYTES - count_weights(name)


def make_table() -> str:
    """Return the table of all cards."""
    lines = [
        "| card | model | short side, px | examples in a call of training | photos in a batch |",
        "|---:|---|---:|---:|---:|",
    ]
    for card_gb in CARDS_GB:
        for name, side_px in ROWS:
            examples, is_checkpointing = choose_examples(name, side_px, card_gb)
            note = " with gradient checkpointing" if is_checkpointing else ""
            photos = choose_photos(name, side_px, card_gb)
            lines.append(f"| {card_gb} GB | {name} | {side_px} | {examples}{note} | {photos} |")
    return "\n".join(lines)


def make_figures() -> str:
    """Return the counted bytes that the table follows from, GiB."""
    lines = [
        "| model, GiB | short side, px | weights | an example | with checkpointing "
        "| guided call, 16 photos | decoding 4 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, side_px in ROWS:
        parts = [count_weights(name), count_training(name, side_px), count_training(name, side_px, True)]
        parts += [count_call(name, side_px, 16), count_decoding(side_px)]
        lines.append(f"| {name} | {side_px} | " + " | ".join(f"{part / GIB:.2f}" for part in parts) + " |")
    return "\n".join(lines)


def _count_vae(run: Any, given: Tensor) -> int:
    with torch.no_grad(), count_bytes() as counted:
        run(given)
    return counted.peak


def _count_values(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def _halve(size: int) -> Iterator[int]:
    """Yield the sizes that a batch is tried with."""
    while size:
        yield size
        size //= 2


if __name__ == "__main__":
    print(make_figures(), make_table(), sep="\n\n")
