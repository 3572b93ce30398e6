"""Small ControlNets and models of depth with random values, for the random models of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, ControlNetUnionModel
from torch import nn

from artbank.control_specs import read_controls
from artbank.diffusion.base_model import BaseModel
from artbank.stylization.controls import Controls, load_controls


def save_control(
    folder: Path, base: BaseModel, *, union_types: int | None = None, seed: int = 0, **options: Any
) -> Path:
    """Save a random ControlNet for a base model.

    Args:
        folder: Where to.
        base: Has the shape.
        union_types: The types of a Union; None for a plain ControlNet.
        seed: Of its weights.
        options: Other settings of the network.
    """
    unet, torch_kind = base.unet.config, ControlNetModel if union_types is None else ControlNetUnionModel
    channels = (4, 8, 8, 8)[: base.latent_factor.bit_length()]
    names = (
        *("in_channels", "down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups"),
        *("cross_attention_dim", "transformer_layers_per_block", "attention_head_dim", "use_linear_projection"),
        *("addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim"),
    )
    settings: dict[str, Any] = {name: unet[name] for name in names}
    if union_types is not None:
        width = unet["block_out_channels"][0]
        parts = {"num_trans_channel": width, "num_trans_head": 2, "num_trans_layer": 1, "num_proj_channel": width}
        settings |= {"num_control_type": union_types, **parts}
    torch.manual_seed(seed)
    network = torch_kind(**settings | {"conditioning_embedding_out_channels": channels} | options)
    for parameter in network.parameters():  # those that training begins with at zero, too
        parameter.data += 0.1 * torch.randn_like(parameter)
    network.save_pretrained(folder)
    return folder


def load(base: BaseModel, *texts: str, depth_model: Path | None = None, num_steps: int = 10) -> Controls:
    """Load ControlNets as a run does."""
    source = None if depth_model is None else str(depth_model)
    return load_controls(read_controls(texts, source, num_steps), source, base)


def make_loud(network: nn.Module) -> None:
    """Make a network's answers larger."""
    for parameter in network.parameters():
        parameter.data *= 2
