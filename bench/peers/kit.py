"""The weights and inputs that all contenders share, and the interface of a contender.

Shape legend: B batch, L tokens of a prompt (77), D text width, K vectors of a bank, S side of a working image, px.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from artbank.bank.bank import Bank
from artbank.scoring.style_reference import StyleReference
from bench.peers.counting import Expected

STRENGTH = 0.7
QUALITY = 92
STYLED = "a painting, in the style of"


@dataclass
class Contender:
    """Something to be measured.

    Attributes:
        name: Its name in the tables.
        work: Does a unit of work; returns one entry per image or sample.
        watched: Modules that are counted, by role; see `counting`.
        expected: The counts that it must have.
        batch: Images or samples per call, as its user would count them.
        optimizer: The optimiser of a training; None without one.
        smaller: Builds the same with half the batch, for a GPU that is too small.
        compiles: The first unit compiles something, so only the second one has the true cost.
        close: Releases threads and files.
        album: Pictures by the names of their photos, if they are kept for scoring.
    """

    name: str
    work: Callable[[], Sequence[Any]]
    watched: Mapping[str, nn.Module]
    expected: Expected
    batch: int
    optimizer: torch.optim.Optimizer | None = None
    smaller: Callable[[], Contender] | None = None
    compiles: bool = False
    close: Callable[[], None] = field(default=lambda: None)
    album: dict[str, Image.Image] = field(default_factory=dict)


@dataclass
class Parts:
    """The networks of the base model as a peer loads them: frozen, in one precision, in diffusers' own layout."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return self.unet.device

    @property
    def watched(self) -> dict[str, nn.Module]:
        """The modules to count."""
        vae = {"vae_encode": self.vae.encoder, "vae_decode": self.vae.decoder}
        return {"unet": self.unet, **vae, "text": self.text_encoder}

    def own_text_encoder(self) -> Parts:
        """Return the same parts with a text encoder and a tokenizer that may be changed."""
        return Parts(
            self.unet, self.vae, copy.deepcopy(self.text_encoder), copy.deepcopy(self.tokenizer), self.scheduler
        )

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token ids [B, L]."""
        options: dict[str, Any] = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        longest = self.text_encoder.config.max_position_embeddings
        return self.tokenizer(list(texts), max_length=longest, **options).input_ids.to(self.device)

    def encode(self, images: Tensor) -> Tensor:
        """Return scaled latents of images [B, 3, S, S], -1..1: the means of their posteriors."""
        return self.vae.encode(images).latent_dist.mean * self.vae.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Return images [B, 3, S, S] of scaled latents."""
        return self.vae.decode(latents / self.vae.config.scaling_factor).sample


@dataclass(eq=False)
class Kit:
    """Inputs of all contenders: one folder of weights, one bank, the same photos and artworks.

    Attributes:
        source: artbank's name of the base model: `mini` or the folder.
        folder: The weights.
        device: Device of all contenders.
        scratch: Folder for outputs.
        side_px: S.
        photos: Files of the photos, square ones.
        artworks: Files of the artworks.
        store_uri: Store of the bank.
        bank: The bank.
        reference: The reference of its collection.
    """

    source: str
    folder: Path
    device: torch.device
    scratch: Path
    side_px: int
    photos: list[Path]
    artworks: list[Path]
    store_uri: str
    bank: Bank
    reference: StyleReference
    _loaded: dict[torch.dtype, Parts] = field(default_factory=dict)

    def parts(self, dtype: torch.dtype) -> Parts:
        """Return the peers' networks in a precision, loaded once; copy them before you change them."""
        if dtype not in self._loaded:
            self._loaded[dtype] = load_parts(self.folder, self.device, dtype)
        return self._loaded[dtype]

    @property
    def fp16(self) -> torch.dtype:
        """float16 on CUDA; float32 on CPU, where half precision saves nothing."""
        return torch.float16 if self.device.type == "cuda" else torch.float32

    @property
    def bf16(self) -> torch.dtype:
        """bfloat16 on CUDA; float32 on CPU."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    @cached_property
    def compiled(self) -> Any:
        """The UNet, compiled as the documentation recommends: half precision, channels last, one graph."""
        own = copy.deepcopy(self.parts(self.fp16).unet).to(memory_format=torch.channels_last)
        return torch.compile(own, fullgraph=True)

    @cached_property
    def vision(self) -> nn.Module:
        """CLIP's vision tower in float32, which the released training also runs."""
        clip = CLIPModel.from_pretrained(self.folder / "clip", dtype=torch.float32, local_files_only=True)
        return nn.Module.to(clip.vision_model.requires_grad_(False).eval(), self.device)

    @cached_property
    def pictures(self) -> list[Image.Image]:
        """The photos, decoded and at their working size."""
        return [read_square(path, self.side_px) for path in self.photos]


def load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> Parts:
    """Load and freeze the networks as diffusers does, without artbank's memory layout."""
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    parts = Parts(
        UNet2DConditionModel.from_pretrained(folder / "unet", dtype=dtype, **options),
        AutoencoderKL.from_pretrained(folder / "vae", dtype=dtype, **options),
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=dtype, **options),
        CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
        DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True),
    )
    for module in (parts.unet, parts.vae, parts.text_encoder):
        nn.Module.to(module.requires_grad_(False).eval(), device)
    return parts


def read_square(path: Path, side_px: int) -> Image.Image:
    """Decode a whole file with Pillow and stretch it to a square, as the peers do."""
    with Image.open(path) as image:
        return image.convert("RGB").resize((side_px, side_px), Image.Resampling.LANCZOS)


def to_batch(pictures: Sequence[Image.Image], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return pictures as [B, 3, S, S], -1..1."""
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return pixels.permute(0, 3, 1, 2).to(device, dtype) / 127.5 - 1


def to_picture(image: Tensor) -> Image.Image:
    """Return an image [3, S, S], -1..1, as a picture."""
    pixels = ((image.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def train_only(parameters: Sequence[nn.Parameter], rate: float) -> torch.optim.AdamW:
    """Return an AdamW over parameters, with torch's defaults."""
    return torch.optim.AdamW(parameters, lr=rate)


def denoising_loss(parts: Parts, latents: Tensor, prompts: Tensor) -> Tensor:
    """Return the base model's loss of noised latents under encoded prompts, at uniform timesteps."""
    noise = torch.randn_like(latents)
    timesteps = torch.randint(parts.scheduler.config.num_train_timesteps, (len(latents),), device=latents.device)
    noisy = parts.scheduler.add_noise(latents, noise, timesteps)
    predicted = parts.unet(noisy, timesteps, prompts).sample
    return nn.functional.mse_loss(predicted.float(), noise.float())
