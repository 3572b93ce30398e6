"""Small ControlNets and models of depth with random values, for the random models of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, ControlNetUnionModel
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

from artbank.diffusion.base_model import BaseModel
from artbank.parameters.control_specs import read_controls
from artbank.stylization.controls import Controls, load_controls

_SHARED = (
    *("in_channels", "down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups"),
    *("cross_attention_dim", "transformer_layers_per_block", "attention_head_dim", "use_linear_projection"),
    *("addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim"),
)


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
    settings: dict[str, Any] = {name: base.unet.config[name] for name in _SHARED}
    settings["conditioning_embedding_out_channels"] = (4, 8, 8, 8)[: base.latent_factor.bit_length()]
    kind: Any = ControlNetModel
    if union_types is not None:
        kind = ControlNetUnionModel
        width = base.unet.config["block_out_channels"][0]
        parts = {"num_trans_channel": width, "num_trans_head": 2, "num_trans_layer": 1, "num_proj_channel": width}
        settings |= {"num_control_type": union_types, **parts}
    torch.manual_seed(seed)
    network = kind(**settings | options)
    for name, parameter in network.named_parameters():  # also those that are zero before training
        amount = 0.5 if "controlnet_cond_embedding" in name else 0.1  # so that the images count
        parameter.data += amount * torch.randn_like(parameter)
    network.save_pretrained(folder)
    return folder


def save_depth_model(folder: Path, **options: Any) -> Path:
    """Save a Depth Anything of two layers, for patches of 7 px."""
    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=7,
        initializer_range=0.3,
        out_indices=[1, 2],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=7,
        reassemble_hidden_size=16,
        reassemble_factors=[2, 1],
        neck_hidden_sizes=[8, 16],
        fusion_hidden_size=8,
        head_hidden_size=8,
        **options,
    )
    network = DepthAnythingForDepthEstimation(config)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    network.save_pretrained(folder)
    sizes: dict[str, Any] = {"size": {"height": 28, "width": 28}, "keep_aspect_ratio": True, "ensure_multiple_of": 7}
    DPTImageProcessor.from_dict(sizes).save_pretrained(folder)
    return folder


def load(base: BaseModel, *texts: str, depth_model: Path | None = None, num_steps: int = 10) -> Controls:
    """Load ControlNets as a run does."""
    source = None if depth_model is None else str(depth_model)
    return load_controls(read_controls(texts, source, num_steps), source, base)
