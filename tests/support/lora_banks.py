"""Banks of kind lora with random factors, and UNets into which diffusers and PEFT have put them."""

from __future__ import annotations

import copy
from typing import Any

import torch

from artbank.bank.lora_bank import LoraBank
from artbank.bank.lora_tensors import to_tensors
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.lora_layers import list_attention_layers
from artbank.recipes import BankRecipe

RECIPE = BankRecipe(
    kind="lora", rank=4, max_steps=4, batch_size=2, num_crops=1, validate_every=2, resolution_px=128, min_snr_gamma=None
)
"""At 64 px the middle of a UNet is one position, whose self-attention has queries and keys without a gradient."""


def draw_bank(base: BaseModel, seed: int = 0, rank: int = 4, size: float = 0.5) -> LoraBank:
    """Return a bank with random factors, none of which is zero."""
    generator = torch.Generator().manual_seed(seed)
    layers = {
        name: (
            torch.randn(rank, layer.in_features, generator=generator) * size,
            torch.randn(layer.out_features, rank, generator=generator) * size,
        )
        for name, layer in list_attention_layers(base.unet).items()
    }
    recipe = RECIPE.model_copy(update={"rank": rank})
    family = base.family.name
    facts = ("0" * 16, "monet", base.id, base.hash, "f" * 64, recipe)
    return LoraBank(*facts, "monet", layers, metrics={"steps": 3}, family=family)


def add_peft(base: BaseModel, bank: LoraBank) -> Any:
    """Return a copy of a UNet into which diffusers and PEFT have put the bank's factors."""
    from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin

    unet = copy.deepcopy(base.unet)
    tensors = {name: tensor.clone() for name, tensor in to_tensors(bank.layers).items()}
    loader: Any = StableDiffusionLoraLoaderMixin
    loader.load_lora_into_unet(tensors, network_alphas=None, unet=unet, adapter_name="peft")
    return unet
