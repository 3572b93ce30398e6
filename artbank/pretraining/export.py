"""The finished parts of a pretraining as they ship: in diffusers' layout, in half precision, in files below 9 MB."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPModel, CLIPTokenizer

from artbank.pretraining.judge import Judge
from artbank.pretraining.networks import build_clip_processor, build_pipeline, load_text_encoder


def export_parts(work: Path, weights: Path) -> None:
    """Write the base model, with CLIP, judge and ControlNet beside it.

    Args:
        work: Work folder of a run whose stages are complete.
        weights: Folder that receives the parts.

    Raises:
        OSError: A part is missing, or cannot be written.
    """
    pipeline = build_pipeline(
        AutoencoderKL.from_pretrained(work / "vae"),
        load_text_encoder(work / "clip"),
        CLIPTokenizer.from_pretrained(work / "tokenizer"),
        UNet2DConditionModel.from_pretrained(work / "refine"),
    )
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(weights, max_shard_size="9MB")
    clip = CLIPModel.from_pretrained(work / "vision").half()
    clip.save_pretrained(weights / "clip", max_shard_size="9MB")
    build_clip_processor(pipeline.tokenizer).save_pretrained(weights / "clip")
    Judge.load(work / "judge").save(weights / "judge")
    shutil.copytree(work / "control", weights / "controlnet", dirs_exist_ok=True)
    forget_places(weights)


def forget_places(folder: Path) -> None:
    """Remove from the settings in a folder where their networks were loaded from, on the machine that trained them."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n")
