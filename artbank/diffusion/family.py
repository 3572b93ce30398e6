"""Families of base models: the parts that each has, and what differs between them.

`find_family` is the one place that decides which family a base model is of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from artbank.diffusion.model_limits import read_text
from artbank.errors import BaseModelError

FamilyName = Literal["sd", "sdxl"]


@dataclass(frozen=True)
class TextEncoderPart:
    """A text encoder of a family.

    Attributes:
        name: Name of its vectors in the file of a bank; for SDXL the names that A1111 and ComfyUI use.
        folder: Folder of its weights in diffusers' layout.
        tokenizer: Folder of its tokenizer.
    """

    name: str
    folder: str
    tokenizer: str


@dataclass(frozen=True)
class Family:
    """A family of base models.

    Attributes:
        name: Its name in files and tables.
        title: Its name for people.
        text_encoders: In the order in which their outputs are joined.
        takes_pooled_text: Whether the UNet takes a pooled vector of the prompt and the sizes of the image.
        keeps_area: Whether the native size is an area: a photo of any aspect gets as many px as a native square.
        bucket_px: The sides of images are multiples of this, px, or of what the UNet needs, if that is more.
        vae_batch: Images that go through the VAE at once.
        micro_batch: Most examples that go through the UNet at once in training.
    """

    name: FamilyName
    title: str
    text_encoders: tuple[TextEncoderPart, ...]
    takes_pooled_text: bool = False
    keeps_area: bool = False
    bucket_px: int = 1
    vae_batch: int = 4
    micro_batch: int = 32

    @property
    def networks(self) -> tuple[str, ...]:
        """The folders with weights."""
        return ("unet", "vae", *(encoder.folder for encoder in self.text_encoders))

    @property
    def parts(self) -> tuple[str, ...]:
        """All folders of a model."""
        return (*self.networks, *(encoder.tokenizer for encoder in self.text_encoders), "scheduler")


_FIRST = ("text_encoder", "tokenizer")
_SECOND = ("text_encoder_2", "tokenizer_2")

SD = Family("sd", "Stable Diffusion 1.x or 2.x", (TextEncoderPart("vectors", *_FIRST),))
SDXL = Family(
    "sdxl",
    "SDXL",
    (TextEncoderPart("clip_l", *_FIRST), TextEncoderPart("clip_g", *_SECOND)),
    takes_pooled_text=True,
    keeps_area=True,
    bucket_px=64,
    vae_batch=1,
    micro_batch=2,
)


def find_family(unet_settings: Mapping[str, Any]) -> Family:
    """Return the family of a base model by the settings of its UNet."""
    return SDXL if unet_settings.get("addition_embed_type") == "text_time" else SD


def read_family(folder: Path) -> Family:
    """Return the family of a model's folder; Stable Diffusion where the settings of the UNet cannot be read."""
    try:
        settings = json.loads(read_text(folder / "unet" / "config.json"))
    except (BaseModelError, OSError, ValueError, RecursionError):
        return SD
    return find_family(settings) if isinstance(settings, dict) else SD
