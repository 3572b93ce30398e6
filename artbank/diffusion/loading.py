"""Load the parts of a Stable Diffusion from a checked local folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from artbank.diffusion.weights import find_variants
from artbank.errors import BaseModelError


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Hide the libraries' progress bars while the block runs; loading takes a second, and bars spoil logs."""
    libraries = (diffusers_logging, transformers_logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


@no_progress_bars()
def load_parts(folder: Path, dtype: torch.dtype) -> tuple[Any, ...]:
    """Load UNet, VAE, text encoder, tokenizer and scheduler from a folder in diffusers' layout, on CPU.

    Raises:
        BaseModelError: A part cannot be loaded, or weights are missing in it; names them.
    """
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    variants = find_variants(folder)
    try:
        unet, unet_info = _load(UNet2DConditionModel, folder / "unet", variants, dtype=dtype, **options)
        vae, vae_info = _load(AutoencoderKL, folder / "vae", variants, dtype=dtype, **options)
        text_encoder, text_info = _load(CLIPTextModel, folder / "text_encoder", variants, dtype=dtype, **options)
        tokenizer = _load_tokenizer(folder, text_encoder)
        scheduler = _load_scheduler(folder)
    except Exception as error:  # on damaged files these libraries raise exceptions of every kind
        raise _loading_error(folder, str(error)) from error
    missing = []
    for part, info in (("unet", unet_info), ("vae", vae_info), ("text_encoder", text_info)):
        missing += [f"{part} {name}" for name in sorted(info["missing_keys"])]
    if missing:  # the libraries would only warn, and leave these tensors random
        named = ", ".join(missing[:3])
        raise _loading_error(folder, f"{len(missing)} tensors are missing in its weights, such as {named}")
    return unet, vae, text_encoder, tokenizer, scheduler


def load_shapes(folder: Path) -> tuple[Any, ...]:
    """Build the same parts without weights: the networks lie on the meta device and take no memory.

    Raises:
        BaseModelError: The settings of a part cannot be read.
    """
    try:
        with torch.device("meta"):
            unet = _build_empty(UNet2DConditionModel, folder / "unet")
            vae = _build_empty(AutoencoderKL, folder / "vae")
            text_encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
        tokenizer = _load_tokenizer(folder, text_encoder)
        scheduler = _load_scheduler(folder)
    except Exception as error:  # on damaged files these libraries raise exceptions of every kind
        raise _loading_error(folder, str(error)) from error
    return unet, vae, text_encoder, tokenizer, scheduler


def _load(kind: Any, folder: Path, variants: Mapping[str, str | None], **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a network, and the information about its loading; the libraries' type hints omit the second."""
    if variant := variants[folder.name]:
        options["variant"] = variant
    return kind.from_pretrained(folder, **options)


def _build_empty(kind: Any, folder: Path) -> Any:
    return kind.from_config(kind.load_config(folder))


def _load_tokenizer(folder: Path, text_encoder: CLIPTextModel) -> CLIPTokenizer:
    """Load the tokenizer; one whose settings name no longest text, or a longer one, gets that of the text encoder."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    most = text_encoder.config.max_position_embeddings
    if tokenizer.model_max_length > most:  # the library puts 10^30 where there is none
        tokenizer.model_max_length = most
    return tokenizer


def _load_scheduler(folder: Path) -> Any:
    return DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)


def _loading_error(folder: Path, found: str) -> BaseModelError:
    return BaseModelError(f"base model folder {folder} cannot be loaded: {found}; fetch it again")
