"""Small LoRA files with random values for the random models of the tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

KOHYA = {"unet": "lora_unet", "text_encoder": "lora_te_text_model"}
KOHYA_SDXL = {
    "unet": "lora_unet",
    "text_encoder": "lora_te1_text_model",
    "text_encoder_2": "lora_te2",
}


def list_layers(unet: nn.Module, *text_encoders: nn.Module) -> dict[str, nn.Linear]:
    """Return some layers that a LoRA may change, by names such as `unet.mid_block...to_k`."""
    wanted = ("attn2.to_k", "attn1.to_out.0")
    found = {f"unet.{name}": module for name, module in unet.named_modules() if name.endswith(wanted)}
    for network, text_encoder in zip(("text_encoder", "text_encoder_2"), text_encoders, strict=False):
        text = text_encoder.named_modules()
        found |= {f"{network}.{name}": module for name, module in text if name.endswith(("_proj", "fc1"))}
    return {name: module for name, module in found.items() if isinstance(module, nn.Linear)}


def draw_factors(layers: dict[str, nn.Linear], rank: int = 2, seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """Draw (down [r, in], up [out, r]) of each layer."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.randn(rank, layer.in_features, generator=generator) * 0.3,
            torch.randn(layer.out_features, rank, generator=generator) * 0.3,
        )
        for name, layer in layers.items()
    }


def save_diffusers(
    path: Path, factors: dict[str, tuple[Tensor, Tensor]], metadata: dict[str, str] | None = None
) -> Path:
    """Save a LoRA as diffusers and PEFT name its tensors; alpha is the rank."""
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in factors.items():
        tensors |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    return path


def save_kohya(
    path: Path, factors: dict[str, tuple[Tensor, Tensor]], alpha: float, networks: Mapping[str, str] = KOHYA
) -> Path:
    """Save a LoRA as kohya's scripts name its tensors, with its alpha."""
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in factors.items():
        network, _, layer = name.partition(".")
        own = f"{networks[network]}_{layer.replace('.', '_')}"
        tensors |= {f"{own}.lora_down.weight": down, f"{own}.lora_up.weight": up, f"{own}.alpha": torch.tensor(alpha)}
    safetensors.torch.save_file(tensors, path)
    return path
