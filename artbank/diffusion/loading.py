"""The parts of a Stable Diffusion out of a checked local folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from artbank.diffusion.weights import variant
from artbank.errors import BaseModelError


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the libraries from drawing progress bars of what takes a second, in logs too, while the block runs."""
    shown = [library for library in (diffusers_logging, transformers_logging) if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


@without_bars()
def load_parts(folder: Path, dtype: torch.dtype) -> tuple[Any, ...]:
    """Load UNet, VAE, text encoder, tokenizer and scheduler from a folder in diffusers' layout, on CPU.

    Raises:
        BaseModelError: Names what cannot be loaded, or what the weights lack.
    """
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    if chosen := variant(folder):
        options["variant"] = chosen
    try:
        unet, of_unet = _load(UNet2DConditionModel, folder / "unet", dtype=dtype, **options)
        vae, of_vae = _load(AutoencoderKL, folder / "vae", dtype=dtype, **options)
        text_encoder, of_text = _load(CLIPTextModel, folder / "text_encoder", dtype=dtype, **options)
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    except Exception as error:  # on damaged files these libraries raise whatever comes
        raise BaseModelError(f"base model folder {folder} cannot be loaded: {error}") from error
    missing = [
        f"{part} {name}"
        for part, info in (("unet", of_unet), ("vae", of_vae), ("text_encoder", of_text))
        for name in sorted(info["missing_keys"])
    ]  # which they would leave random, with no more than a warning
    if missing:
        raise BaseModelError(
            f"base model folder {folder} cannot be loaded: its weights lack {len(missing)} tensors, "
            f"such as {', '.join(missing[:3])}; fetch it again"
        )
    return unet, vae, text_encoder, tokenizer, scheduler


def load_shapes(folder: Path) -> tuple[Any, ...]:
    """Return the same parts without their weights, whose networks take no memory, on the meta device.

    Raises:
        BaseModelError: A part's settings cannot be read.
    """
    try:
        with torch.device("meta"):
            unet, vae = _shape(UNet2DConditionModel, folder / "unet"), _shape(AutoencoderKL, folder / "vae")
            text_encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    except Exception as error:  # on damaged files these libraries raise whatever comes
        raise BaseModelError(f"base model folder {folder} cannot be loaded: {error}") from error
    return unet, vae, text_encoder, tokenizer, scheduler


def _shape(kind: Any, folder: Path) -> Any:
    return kind.from_config(kind.load_config(folder))


def _load(kind: Any, folder: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a network and what its weights lacked; the libraries' hints know only the network."""
    return kind.from_pretrained(folder, **options)
