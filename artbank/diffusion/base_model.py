"""The frozen base model: Stable Diffusion's parts, with the numbers that depend on which one it is.

Shape legend: B batch, L tokens of a prompt (77), D text width, V words of the vocabulary, K vectors a style brings in;
C latent channels (4), h x w latent size: image size divided by `latent_factor`. Images are -1..1, latents scaled.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.func import functional_call
from transformers import CLIPTextModel, CLIPTokenizer

from artbank.config import RunConfig
from artbank.diffusion.devices import pick_device, pick_dtype
from artbank.diffusion.loading import load_parts
from artbank.diffusion.unet import Denoiser, PromptCache, find_unsupported
from artbank.diffusion.weights import fetch_base_model, hash_base_model
from artbank.errors import BaseModelError, ConfigError
from artbank.runtime.load_once import LoadOnce

logger = logging.getLogger(__name__)

STYLE_PLACEHOLDER = "{style}"
"""Stands in a prompt for the vectors of a bank."""

_OFTEN = 1000  # calls of one shape, after which the minutes that compiling takes are won back in a large archive


@dataclass(frozen=True)
class BaseModel:
    """A frozen Stable Diffusion of 1.x or 2.x shape.

    Attributes:
        id: What it was asked for by.
        hash: SHA-256, hex, of the files it was loaded from.
        compile_after: When the UNet is compiled; see `denoiser.Denoiser`.
    """

    id: str
    hash: str
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler
    compile_after: int | None = None

    @classmethod
    def load(
        cls,
        source: str = "mini",
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        compiling: str = "auto",
    ) -> BaseModel:
        """Load a base model and freeze it.

        Args:
            source: `mini`, a local folder, a store URI or a hub id.
            revision: Commit, tag or branch of a hub id.
            device: See `pick_device`.
            dtype: See `pick_dtype`.
            compiling: `on`: every size of images at once; `off`; `auto`: on CUDA those that come often.

        Raises:
            BaseModelError: It is not there, lacks a part, or its parts do not fit each other.
            ConfigError: The device is not there.
            OSError: The store or the hub failed.
        """
        folder = fetch_base_model(source, revision)
        place, precision = pick_device(device), pick_dtype(dtype, pick_device(device))
        after = {"on": 0, "off": None, "auto": _OFTEN if place.type == "cuda" else None}[compiling]
        model = cls(source, hash_base_model(folder), *load_parts(folder, precision), compile_after=after)
        model.check_supported(folder)
        parts: tuple[nn.Module, ...] = (model.unet, model.vae, model.text_encoder)
        for module in parts:
            nn.Module.to(module.requires_grad_(False).eval(), place)
        for module in parts[:2]:
            nn.Module.to(module, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        logger.info("base model %s on %s in %s", source, place, precision)
        return model

    @cached_property
    def device(self) -> torch.device:
        """Where the networks are; the UNet takes a millisecond to tell."""
        return self.unet.device

    @cached_property
    def dtype(self) -> torch.dtype:
        """Precision of the networks; likewise."""
        return self.unet.dtype

    @cached_property
    def float32_copy(self) -> BaseModel:
        """The same model in float32, made when it is first asked for."""
        parts = {name: copy.deepcopy(getattr(self, name)).float() for name in ("unet", "vae", "text_encoder")}
        return replace(self, **parts, compile_after=None)

    @property
    def is_compiled(self) -> bool:
        """Whether the UNet is compiled for whatever shape comes."""
        return self.compile_after == 0

    @cached_property
    def denoiser(self) -> Denoiser:
        """The UNet as it is run."""
        return Denoiser(self.unet, compile_after=self.compile_after)

    @property
    def latent_factor(self) -> int:
        """Image px per latent position: 8 for Stable Diffusion, 4 for the miniature."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def size_multiple_px(self) -> int:
        """Both sides of an image must be a multiple of this, so that every level of the UNet halves evenly."""
        return self.latent_factor * 2 ** (len(self.unet.config.block_out_channels) - 1)

    @property
    def native_px(self) -> int:
        """Side of the square images the UNet was trained on, px."""
        return self.unet.config.sample_size * self.latent_factor

    @property
    def text_width(self) -> int:
        """D, the width of a word's embedding."""
        return self.text_encoder.config.hidden_size

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts: `epsilon` or `v_prediction`."""
        return self.scheduler.config.prediction_type

    @property
    def num_train_timesteps(self) -> int:
        """Timesteps of the noise schedule, 1000."""
        return self.scheduler.config.num_train_timesteps

    @cached_property
    def vocabulary(self) -> Tensor:
        """The embeddings of the words, [V, D]."""
        return cast(nn.Embedding, self.text_encoder.get_input_embeddings()).weight

    @cached_property
    def vocabulary_rms(self) -> float:
        """Root mean square of the vocabulary's entries: the unit in which banks are trained."""
        return self.vocabulary.float().square().mean().sqrt().item()

    def embed_words(self, words: str) -> Tensor:
        """Return the embeddings [k, D] of the tokens of some words, before the text encoder.

        Raises:
            ConfigError: There is no token in them.
        """
        ids = self.tokenizer(words, add_special_tokens=False).input_ids
        if not ids:
            raise ConfigError(f"{words!r} holds no word; give at least one")
        return self.vocabulary[torch.tensor(ids, device=self.device)].float()

    def encode_prompts(
        self, prompts: Sequence[str], vectors: Tensor | None = None, places: Sequence[int] | None = None
    ) -> Tensor:
        """Encode prompts, in which `{style}` stands for the rows of `vectors`.

        The vectors are words beyond the vocabulary, as in textual inversion (Gal et al., ICLR 2023), and gradients flow
        to them.

        Args:
            prompts: B texts; those that are too long lose words, never the style.
            vectors: [K, D] in the vocabulary's own scale, [S, K, D] of S styles; None where no prompt holds `{style}`.
            places: Which of the S styles each prompt is in, the first by default.

        Returns:
            [B, L, D] in the model's precision.
        """
        count = 0 if vectors is None else vectors.shape[-2]
        owned = zip(prompts, places or [0] * len(prompts), strict=True)
        ids = self.to_device(torch.tensor([self._tokenize(prompt, count, place) for prompt, place in owned]))  # [B, L]
        if vectors is None:
            return self.text_encoder(ids).last_hidden_state
        own = vectors.flatten(0, -2).to(self.device, self.vocabulary.dtype)  # [S * K, D]
        table = {self._embedding_name: torch.cat([self.vocabulary, own])}  # [V + S * K, D]
        return functional_call(self.text_encoder, table, (ids,)).last_hidden_state

    def to_device(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the model's device; CUDA copies it when its turn comes, and nobody waits for it."""
        return (tensor.pin_memory() if self.device.type == "cuda" else tensor).to(self.device, non_blocking=True)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation, each [B, C, h, w] float32 and scaled, of images' latents."""
        pixels = images.to(self.device, self.vae.dtype).contiguous(memory_format=torch.channels_last)
        posterior = self.vae.encode(pixels).latent_dist
        scale = self.vae.config.scaling_factor
        return posterior.mean.float() * scale, posterior.std.float() * scale

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return images [B, 3, H, W] float32, about -1..1, of scaled latents."""
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
        return self.vae.decode(scaled.contiguous(memory_format=torch.channels_last)).sample.float()

    def predict(
        self, latents: Tensor, timesteps: Tensor | int, prompts: Tensor | PromptCache, *, num_prompts: int = 1
    ) -> Tensor:
        """Return what the UNet predicts for samples, float32 [P * B, C, h, w], prompt by prompt.

        Args:
            latents: [B, C, h, w].
            timesteps: [B], or one for all, 0..999.
            prompts: Encoded, [B, L, D], or [P, L, D] for all samples; or what the UNet remembers of them.
            num_prompts: P, under each of which every sample is looked at; 1 where each has its own.
        """
        memory = prompts if isinstance(prompts, PromptCache) else self.denoiser.cache_prompts(prompts)
        embed = self.denoiser.embed_time if isinstance(timesteps, int) else self.denoiser.embed_times
        return self.denoiser(latents, embed(cast(Any, timesteps)), memory, num_prompts=num_prompts)

    def implied_noise(self, predicted: Tensor, latents: Tensor, timestep: int) -> Tensor:
        """Return the noise in `latents` at a timestep that a prediction implies, whatever the prediction type."""
        if self.prediction_type == "epsilon":
            return predicted
        signal, noise = self.noise_scales(timestep)
        return signal * predicted + noise * latents

    def noise_scales(self, timestep: int) -> tuple[float, float]:
        """Return how much of image and of noise there is at a timestep: sqrt(abar_t) and sqrt(1 - abar_t)."""
        alpha = self.scheduler.alphas_cumprod[timestep].item()
        return alpha**0.5, (1 - alpha) ** 0.5

    @cached_property
    def _embedding_name(self) -> str:
        table = self.text_encoder.get_input_embeddings()
        return next(f"{name}.weight" for name, module in self.text_encoder.named_modules() if module is table)

    def _tokenize(self, prompt: str, count: int, place: int = 0) -> list[int]:
        """Return the L token ids of a prompt; `{style}` becomes `count` ids from V + `place` * `count` on."""
        tokenizer, length = self.tokenizer, self.tokenizer.model_max_length
        texts = prompt.split(STYLE_PLACEHOLDER)
        if len(texts) > 1 and not count:
            raise ConfigError(f"prompt {prompt!r} asks for a style, but none was given")
        if len(texts) > 2:
            raise ConfigError(f"prompt {prompt!r} holds {STYLE_PLACEHOLDER} {len(texts) - 1} times; once is the most")
        parts = [tokenizer(text, add_special_tokens=False).input_ids if text.strip() else [] for text in texts]
        style = [len(self.vocabulary) + place * count + i for i in range(count)] if len(texts) > 1 else []
        room = length - 2 - len(style)
        after = parts[1][:room] if len(parts) > 1 else []
        before = parts[0][: room - len(after)]
        ids = [tokenizer.bos_token_id, *before, *style, *after, tokenizer.eos_token_id]
        return ids + [tokenizer.pad_token_id] * (length - len(ids))

    def check_supported(self, folder: Path) -> None:
        """Check that the parts, loaded or not, fit each other and what is done with them.

        Raises:
            BaseModelError: They do not; says why.
        """
        unet, width = self.unet.config, self.text_width
        if unet.cross_attention_dim != width:
            raise BaseModelError(
                f"{folder}: the UNet attends to text of width {unet.cross_attention_dim}, the encoder gives {width}"
            )
        if obstacle := find_unsupported(self.unet):
            raise BaseModelError(f"{folder}: the UNet has {obstacle}; only Stable Diffusion 1.x and 2.x are taken")
        if unet.in_channels != self.vae.config.latent_channels:
            channels = self.vae.config.latent_channels
            raise BaseModelError(
                f"{folder}: the UNet takes {unet.in_channels} channels, the VAE gives {channels}; "
                "inpainting and depth models are not taken"
            )
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise BaseModelError(
                f"{folder}: prediction type {self.prediction_type} is neither epsilon nor v_prediction"
            )


def load_base_model(choice: RunConfig) -> BaseModel:
    """Return the base model of a run, loaded once in a process.

    Raises:
        BaseModelError: It is not there, or lacks a part.
        ConfigError: The device is not there.
        OSError: The store or the hub failed.
    """
    return _load_base_model(choice.base_model, choice.revision, choice.device, choice.dtype, choice.compiling)


@LoadOnce
def _load_base_model(source: str, revision: str | None, device: str, dtype: str, compiling: str) -> BaseModel:
    return BaseModel.load(source, revision=revision, device=device, dtype=dtype, compiling=compiling)
