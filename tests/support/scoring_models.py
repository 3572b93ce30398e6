"""Small random models of the kinds that the optional scores need, as folders."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BitImageProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
)

PATCH_PX = 8
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def save_dinov2(folder: Path, seed: int = 0) -> Path:
    """Save a DINOv2 of two layers, for 4 x 4 patches of 8 px."""
    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=32,
        patch_size=PATCH_PX,
        initializer_range=0.3,
    )
    Dinov2Model(config).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
    colours = {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}
    BitImageProcessor(**sizes, **colours).save_pretrained(folder)
    return folder


def small_csd_config() -> CLIPVisionConfig:
    """Return the settings of a CSD of two layers, for pictures of 32 px."""
    return CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=PATCH_PX,
        projection_dim=16,
    )


def save_csd(folder: Path, seed: int = 0) -> Path:
    """Save a CSD of two layers, for pictures of 32 px."""
    torch.manual_seed(seed)
    model = CLIPVisionModelWithProjection(small_csd_config())
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    save_processor(folder, 32)
    return folder


def save_processor(folder: Path, side_px: int) -> None:
    """Save the image processing of a CLIP."""
    crop = {"height": side_px, "width": side_px}
    CLIPImageProcessor(size={"shortest_edge": side_px}, crop_size=crop).save_pretrained(folder)
