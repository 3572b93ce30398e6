"""The frozen base model: the networks of a Stable Diffusion, and the numbers that depend on which one it is.

Shape legend: B samples, P prompts of each sample, L rows of an encoded prompt (77, or 78 with a pooled vector), D text
width, V words of the vocabulary; C latent channels (4), h x w latent size: the image's size divided by `latent_factor`.
Images are -1..1. Latents are scaled by the VAE's factor.

`text_encoders` encodes prompts and `unet` runs the UNet; `family` tells what differs between Stable Diffusion and SDXL.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from artbank.diffusion.compilation import Compiler
from artbank.diffusion.devices import pick_device, pick_dtype
from artbank.diffusion.family import Family, find_family
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.latent_codec import LatentCodec
from artbank.diffusion.licences import name_licence
from artbank.diffusion.loading import load_parts
from artbank.diffusion.lora import merge_loras
from artbank.diffusion.lora_files import LoraFile
from artbank.diffusion.model_checks import check_parts
from artbank.diffusion.network_copies import in_float32
from artbank.diffusion.noise_schedule import NoiseSchedule
from artbank.diffusion.prompt_encoder import PromptEncoder
from artbank.diffusion.prompted_network import PromptCache
from artbank.diffusion.text_encoders import TextEncoders
from artbank.diffusion.unet import DeepFeatures, Denoiser, Residuals
from artbank.diffusion.weights import hash_base_model
from artbank.parameters.lora_specs import MergedLora
from artbank.parameters.run_config import Offload

logger = logging.getLogger(__name__)

_MOST_SCALE = 2  # of an image to the native size, up or down, without a warning


@dataclass(frozen=True)
class BaseModel:
    """A frozen Stable Diffusion of 1.x or 2.x shape, or an SDXL.

    Attributes:
        id: The name it was asked for by.
        hash: SHA-256, hex, of the files it was loaded from.
        text_encoder_2: The second text encoder of an SDXL, and below it its tokenizer.
        compiler: Decides for which shapes UNet and VAE are compiled.
        loras: The LoRAs that are merged into it; they do not change its hash, so that its banks go on fitting.
        licence: Its licence by the files beside its weights; empty if they name none.
        offload: Whether its other networks leave the device while the VAE works; see `RunConfig.offload`.
    """

    id: str
    hash: str
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler
    text_encoder_2: CLIPTextModelWithProjection | None = None
    tokenizer_2: CLIPTokenizer | None = None
    compiler: Compiler = field(default_factory=Compiler)
    loras: tuple[MergedLora, ...] = ()
    licence: str = ""
    offload: Offload = "auto"

    @classmethod
    def load(
        cls,
        source: str = "mini",
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        compiling: str = "auto",
        offload: Offload = "auto",
        loras: Sequence[LoraFile] = (),
        is_offline: bool = False,
    ) -> BaseModel:
        """Load a base model and freeze it.

        Args:
            source: `mini`, a local folder, a store URI or a hub id.
            revision: Commit, tag or branch of a hub id.
            device: See `pick_device`.
            dtype: See `pick_dtype`.
            compiling: See `RunConfig.compiling`.
            offload: See `RunConfig.offload`.
            loras: LoRA files to merge into it, from `lora_files.fetch_loras`.
            is_offline: Make no request to the hub.

        Raises:
            BaseModelError: There is no such model, a part is missing, or parts and LoRAs do not fit together.
            ConfigError: There is no such device.
            OSError: The store or the hub failed.
        """
        folder = fetch_base_model(source, revision, is_offline=is_offline)
        target = pick_device(device)
        precision = pick_dtype(dtype, target)
        # The compiled code keeps the addresses of the weights, which change when they leave the device and return.
        compiler = Compiler("off" if offload == "on" else compiling, target)
        parts = load_parts(folder, precision)
        model = cls(
            source,
            hash_base_model(folder),
            *parts,
            compiler=compiler,
            offload=offload,
            loras=tuple(lora.merged for lora in loras),
            licence=name_licence(source, folder),
        )
        model.check_supported(folder)
        encoders = {part.folder: model.networks[part.folder] for part in model.family.text_encoders}
        merge_loras(model.unet, encoders, loras)
        for network in model.networks.values():
            nn.Module.to(network.requires_grad_(False).eval(), target)
        for network in (model.unet, model.vae):
            nn.Module.to(network, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        logger.info("loaded base model %s on %s in %s", source, target, precision)
        return model

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by the names of their folders."""
        return {name: getattr(self, name) for name in self.family.networks}

    def check_supported(self, folder: Path) -> None:
        """Check that the parts, from a folder, fit together and are of a supported kind; see `check_parts`."""
        encoders: list[Any] = [getattr(self, part.folder) for part in self.family.text_encoders]
        check_parts(folder, self.unet, self.vae, self.scheduler, encoders)

    @cached_property
    def family(self) -> Family:
        """The family of the model."""
        return find_family(self.unet.config)

    @cached_property
    def device(self) -> torch.device:
        """Device of the networks; cached, because asking the UNet takes a millisecond."""
        return self.unet.device

    @cached_property
    def dtype(self) -> torch.dtype:
        """Precision of the networks; cached, as `device` is."""
        return self.unet.dtype

    def copy_in_float32(self) -> BaseModel:
        """Return a copy in float32, which shares the networks that are in float32 already."""
        copies: dict[str, Any] = {name: in_float32(network) for name, network in self.networks.items()}
        return replace(self, **copies, compiler=Compiler())

    @property
    def is_compiled(self) -> bool:
        """Whether the UNet is compiled for every shape."""
        return self.compiler.is_at_once and not self.compiler.is_off

    @cached_property
    def denoiser(self) -> Denoiser:
        """The forward pass of the UNet."""
        return Denoiser(self.unet, self.compiler)

    @cached_property
    def prompt_encoders(self) -> tuple[PromptEncoder, ...]:
        """The text encoders with their tokenizers."""
        parts = self.family.text_encoders
        return tuple(PromptEncoder(getattr(self, part.folder), getattr(self, part.tokenizer)) for part in parts)

    @property
    def prompt_encoder(self) -> PromptEncoder:
        """The first text encoder."""
        return self.prompt_encoders[0]

    @cached_property
    def text_encoders(self) -> TextEncoders:
        """All text encoders, for prompts as the UNet takes them."""
        return TextEncoders(self.prompt_encoders, self.family)

    @property
    def latent_factor(self) -> int:
        """Image px per latent position: 8 for Stable Diffusion, 4 for the miniature."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def size_multiple_px(self) -> int:
        """The sides of an image must be multiples of this, px, so that every level of the UNet halves evenly."""
        return max(self.latent_factor * 2 ** (len(self.unet.config.block_out_channels) - 1), self.family.bucket_px)

    @property
    def native_px(self) -> int:
        """Side of the square images that the UNet was trained on, px."""
        return self.unet.config.sample_size * self.latent_factor

    def warn_of_size(self, side_px: int) -> None:
        """Log a warning if images with a short side of `side_px` are far smaller or larger than the native size."""
        if not self.native_px / _MOST_SCALE <= side_px <= self.native_px * _MOST_SCALE:
            logger.warning(
                "a short side of %d px is %.2g times the native %d px of the base model %s, which draws poorly at that "
                "size; choose resolution_px between %d and %d",
                side_px,
                side_px / self.native_px,
                self.native_px,
                self.id,
                self.native_px // _MOST_SCALE,
                self.native_px * _MOST_SCALE,
            )

    @property
    def text_widths(self) -> dict[str, int]:
        """The width of a word's embedding for each text encoder, by the name that a bank gives to its vectors."""
        parts = self.family.text_encoders
        return {part.name: getattr(self, part.folder).config.hidden_size for part in parts}

    @property
    def prediction_type(self) -> str:
        """The kind of the UNet's prediction: `epsilon` or `v_prediction`."""
        return self.scheduler.config.prediction_type

    @cached_property
    def noise_schedule(self) -> NoiseSchedule:
        """The shares of picture and noise at each timestep."""
        return NoiseSchedule(self.scheduler)

    @property
    def num_train_timesteps(self) -> int:
        """Number of timesteps of the noise schedule, 1000."""
        return self.scheduler.config.num_train_timesteps

    def encode_prompts(
        self, prompts: Sequence[str], vectors: Tensor | None = None, style_numbers: Sequence[int] | None = None
    ) -> Tensor:
        """Encode prompts, [B, L, D]; see `TextEncoders.encode`."""
        return self.text_encoders.encode(prompts, vectors, style_numbers)

    @cached_property
    def latent_codec(self) -> LatentCodec:
        """The VAE; the text encoders, which are smaller, leave the device before the UNet does."""
        others = [*(getattr(self, part.folder) for part in self.family.text_encoders), self.unet]
        most = self.family.vae_batch
        return LatentCodec(self.vae, others, most=most, offload=self.offload, compiler=self.compiler)

    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images as latents; returns their means and standard deviations, each [B, C, h, w] float32, scaled."""
        return self.latent_codec.encode(images)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Decode scaled latents to images [B, 3, H, W] float32, about -1..1."""
        return self.latent_codec.decode(latents)

    def predict(
        self,
        latents: Tensor,
        timesteps: Tensor | int,
        prompts: Tensor | PromptCache,
        *,
        num_prompts: int = 1,
        sizes: Tensor | None = None,
        residuals: Residuals | None = None,
        deep: DeepFeatures | None = None,
    ) -> Tensor:
        """Run the UNet on samples; returns its predictions, float32 [P * B, C, h, w], prompt by prompt.

        Args:
            latents: [B, C, h, w].
            timesteps: [B], or one for all samples, 0..999.
            prompts: Encoded prompts: [B, L, D], or [P, L, D] that all samples share; or their `PromptCache`.
            num_prompts: P, the prompts that every sample is denoised with; 1 if each sample has its own.
            sizes: For SDXL, the sizes [B, 6] of each image, see `unet`; by default those of a whole image of this size.
            residuals: What ControlNets add to the planes of the UNet, see `controlnet`; None without any.
            deep: Features of an earlier step that are used again, or empty; see `unet.Denoiser`.
        """
        cache = prompts if isinstance(prompts, PromptCache) else self.denoiser.cache_prompts(prompts)
        embedded = self._embed_sizes(latents, sizes) if self.family.takes_pooled_text else None
        return self.denoiser(
            latents, timesteps, cache, num_prompts=num_prompts, sizes=embedded, residuals=residuals, deep=deep
        )

    def _embed_sizes(self, latents: Tensor, sizes: Tensor | None) -> Tensor:
        if sizes is not None:
            return self.denoiser.embed_sizes(sizes)
        height, width = latents.shape[2:]
        return self.denoiser.embed_size(height * self.latent_factor, width * self.latent_factor)
