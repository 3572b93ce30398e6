"""Tiny models in the shape of the large ones, to measure everything but the model.

A Stable Diffusion of one level with 8 channels, and a CLIP of one layer, both with random weights: a picture of 32 px
takes about a millisecond.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig

from artbank.mini import WEIGHTS

SIDE_PX = 32
_WIDTH = 16


def save_trivial(folder: Path) -> Path:
    """Save the models as the folder of a base model; the scorer `auto` finds its CLIP."""
    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=SIDE_PX // 8,
        block_out_channels=(8,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        norm_num_groups=4,
        layers_per_block=1,
        cross_attention_dim=_WIDTH,
        attention_head_dim=2,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        sample_size=SIDE_PX,
    ).save_pretrained(folder / "vae")
    DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False).save_pretrained(
        folder / "scheduler"
    )
    shutil.copytree(WEIGHTS / "tokenizer", folder / "tokenizer")
    vocabulary = json.loads((WEIGHTS / "text_encoder" / "config.json").read_text())
    ids = {name: vocabulary[name] for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    layer = {"hidden_size": _WIDTH, "intermediate_size": _WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPTextModel(CLIPTextConfig(**layer, **ids)).save_pretrained(folder / "text_encoder")
    _save_clip(folder / "clip", layer, ids)
    return folder


def _save_clip(folder: Path, layer: dict[str, int], ids: dict[str, int]) -> None:
    text = CLIPTextConfig(**layer, **ids)
    vision = CLIPVisionConfig(**layer, image_size=SIDE_PX, patch_size=16)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=_WIDTH)
    shutil.copytree(WEIGHTS / "clip", folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    CLIPModel(config).save_pretrained(folder)
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["image_processor"] |= {
        "size": {"shortest_edge": SIDE_PX},
        "crop_size": {"height": SIDE_PX, "width": SIDE_PX},
    }
    path.write_text(json.dumps(settings))
