"""Load the parts of a base model from a checked local folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from artbank.diffusion.family import Family, read_family
from artbank.diffusion.prompt_encoder import ClipText
from artbank.diffusion.tokenizer_checks import check_words
from artbank.diffusion.weights import find_variants
from artbank.errors import BaseModelError
from artbank.runtime.counts import number_are

KINDS: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
"""The classes of the networks by their folders."""


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
    """Load the parts of a folder in diffusers' layout on CPU, in the order of the fields of `BaseModel`.

    These are UNet, VAE, text encoder, tokenizer and scheduler; then the second text encoder and tokenizer of an SDXL.

    Raises:
        BaseModelError: A part cannot be loaded, or weights are missing in it; names them.
    """
    family = read_family(folder)
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    variants = find_variants(folder)
    networks: dict[str, Any] = {}
    missing = []
    try:
        for part in family.networks:
            own_dtype = _dtype_of(part, folder, family, dtype)
            networks[part], info = _load(KINDS[part], folder / part, variants, dtype=own_dtype, **options)
            missing += [f"{part} {name}" for name in sorted(info["missing_keys"])]
        parts = _arrange(folder, family, networks)
    except Exception as error:  # on damaged files these libraries raise exceptions of every kind
        raise _loading_error(folder, str(error)) from error
    if missing:  # the libraries would only warn, and leave these tensors random
        named = ", ".join(missing[:3])
        raise _loading_error(folder, f"{number_are(len(missing), 'tensor')} missing in its weights, such as {named}")
    return parts


def load_shapes(folder: Path) -> tuple[Any, ...]:
    """Build the same parts without weights: the networks lie on the meta device and take no memory.

    Raises:
        BaseModelError: The settings of a part cannot be read.
    """
    family = read_family(folder)
    try:
        with torch.device("meta"):
            networks = {part: build_empty(part, folder / part) for part in family.networks}
        return _arrange(folder, family, networks)
    except Exception as error:  # on damaged files these libraries raise exceptions of every kind
        raise _loading_error(folder, str(error)) from error


def _arrange(folder: Path, family: Family, networks: Mapping[str, Any]) -> tuple[Any, ...]:
    """Load what is no network, and return all parts in the order of the fields of `BaseModel`."""
    encoders: list[Any] = []
    for part in family.text_encoders:
        encoder = networks[part.folder]
        encoders += [encoder, _load_tokenizer(folder / part.tokenizer, encoder)]
    return networks["unet"], networks["vae"], *encoders[:2], _load_scheduler(folder), *encoders[2:]


def _dtype_of(part: str, folder: Path, family: Family, dtype: torch.dtype) -> torch.dtype:
    """Return the precision of a part: the VAE of an SDXL overflows in float16, unless its settings say otherwise."""
    if part != "vae" or dtype != torch.float16 or not family.takes_pooled_text:
        return dtype
    is_safe = AutoencoderKL.load_config(folder / part).get("force_upcast") is False
    return dtype if is_safe else torch.float32


def _load(kind: Any, folder: Path, variants: Mapping[str, str | None], **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a network, and the information about its loading; the libraries' type hints omit the second."""
    if variant := variants[folder.name]:
        options["variant"] = variant
    return kind.from_pretrained(folder, **options)


def build_empty(part: str, folder: Path) -> Any:
    """Build a network by the settings in a folder, with random weights on the default device."""
    kind = KINDS[part]
    if kind in (CLIPTextModel, CLIPTextModelWithProjection):
        return kind(CLIPTextConfig.from_pretrained(folder))
    return kind.from_config(kind.load_config(folder))


def _load_tokenizer(folder: Path, text_encoder: ClipText) -> CLIPTokenizer:
    """Load the tokenizer; one whose settings name no longest text, or a longer one, gets that of the text encoder."""
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    check_words(tokenizer)
    most = text_encoder.config.max_position_embeddings
    if tokenizer.model_max_length > most:  # the library puts 10^30 where there is none
        tokenizer.model_max_length = most
    return tokenizer


def _load_scheduler(folder: Path) -> Any:
    return DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)


def _loading_error(folder: Path, found: str) -> BaseModelError:
    return BaseModelError(f"base model folder {folder} cannot be loaded: {found}; fetch it again")
