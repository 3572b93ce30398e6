"""The CLIP model that scores pictures.

Shape legend: n pictures or texts, C dimensions of CLIP's space (128 for the embedded scorer, 768 for ViT-L/14);
pictures uint8 [H, W, 3] sRGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from more_itertools import chunked
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoTokenizer, CLIPModel

from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.image_networks import LOCAL, explained_damage
from artbank.diffusion.model_files import SCORER
from artbank.diffusion.model_source import parse_source
from artbank.diffusion.shared_base_model import load_base_model
from artbank.diffusion.tokenizer_checks import check_words
from artbank.diffusion.weights import MINI
from artbank.parameters.run_config import RunConfig
from artbank.runtime.load_once import LoadOnce
from artbank.scoring.networks import (
    BATCH_SIZE,
    load_network,
    locate,
    model_id,
    preprocessing_device,
    tf32_products,
    to_unit_rows,
)

_STABLE_DIFFUSION_CLIP = "openai/clip-vit-large-patch14"  # the text encoder of Stable Diffusion 1.x is of this CLIP


class Scorer:
    """A frozen CLIP that embeds pictures and texts as unit vectors, whose cosines are the scores.

    It runs in float32 on every device: half precision moves a cosine by about 0.001, as much as two runs differ by. On
    CUDA the matrix products of pictures are in TF32, which moves it by about 0.0001.

    Attributes:
        id: Name and version, e.g. `mini/clip@0a1b2c3d4e5f`; scores of two ids cannot be compared.
        device: Device of the network.
        width: C.
    """

    def __init__(self, folder: Path, name: str, device: torch.device):
        """Load a CLIP from a folder.

        Args:
            folder: The model.
            name: First part of its id.
            device: Device of the network.

        Raises:
            BaseModelError: A part is missing or damaged, or this is another kind of model.
        """
        self._clip, self._preprocessor = load_network(SCORER, folder, CLIPModel, device)
        with explained_damage(SCORER, folder):
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
            check_words(self._tokenizer)
        self.id = model_id(SCORER, name, folder)
        self.device = device
        self.width = self._clip.visual_projection.out_features

    @classmethod
    def load(cls, source: str, device: torch.device, *, is_offline: bool = False) -> Scorer:
        """Load a scorer.

        Args:
            source: `mini` for the embedded one, a local folder, a store URI, or a hub id `owner/name` or
                `owner/name@revision`.
            device: Device of the network.
            is_offline: Make no request to the hub.

        Raises:
            BaseModelError: There is no such model, a part is missing, or it is no CLIP.
            OSError: The store or the hub failed.
        """
        return cls(*locate(SCORER, source, is_offline=is_offline), device)

    def embed_images(self, images: Sequence[np.ndarray]) -> Tensor:
        """Return unit embeddings of pictures of any sizes, float32 [n, C] on CPU; none depends on the others."""
        return self.embed_tensors([torch.tensor(image).permute(2, 0, 1) for image in images])

    def embed_tensors(self, images: Sequence[Tensor]) -> Tensor:
        """Return unit embeddings of pictures uint8 [3, H, W] on any device, float32 [n, C] on CPU."""
        [embedded] = self.embed_groups([images])
        return embedded

    @torch.no_grad()
    def embed_groups(self, groups: Sequence[Sequence[Tensor]], at_once: int = BATCH_SIZE) -> list[Tensor]:
        """Return the unit embeddings of groups of pictures, each [n, C]; the host waits for the device once.

        Args:
            groups: Pictures as in `embed_tensors`. Those on the scorer's CUDA device are preprocessed there.
            at_once: Pictures of a group that go through the network together, at most.
        """
        embedded = [self._embed(batch) for group in groups for batch in chunked(group, at_once)]
        return list(to_unit_rows(embedded, self.width).split([len(group) for group in groups]))

    def _embed(self, images: Sequence[Tensor]) -> Tensor:
        """Queue pictures; returns their embeddings, [n, C] on the scorer's device."""
        device = preprocessing_device(self.device)
        pixels = self._preprocessor.preprocess([image.to(device) for image in images])
        with tf32_products(self.device):
            return self._clip.get_image_features(pixels.to(self.device)).pooler_output

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit embeddings of texts, float32 [n, C] on CPU; texts that are too long for the model are cut."""
        embedded = [torch.empty(0, self.width)]
        max_tokens = self._clip.config.text_config.max_position_embeddings
        for batch in chunked(texts, BATCH_SIZE):
            tokens = self._tokenizer(batch, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
            embedded.append(self._clip.get_text_features(**tokens.to(self.device)).pooler_output.cpu())
        return normalize(torch.cat(embedded), dim=1)


def load_scorer(config: RunConfig) -> Scorer:
    """Return the scorer of a run; the process loads it once.

    Raises:
        BaseModelError: There is no such model, or a part is missing.
        OSError: The store or the hub failed.
    """
    device = load_base_model(config).device
    base_folder = None
    if config.scorer == "auto":
        base_folder = fetch_base_model(config.base_model, config.revision, is_offline=config.offline)
    return _load_scorer(choose_scorer(config, base_folder), device, is_offline=config.offline)


def choose_scorer(config: RunConfig, base_folder: Path | None) -> str:
    """Return the source of a run's scorer; `auto` is the CLIP that belongs to the base model.

    Args:
        config: The run.
        base_folder: Folder of its base model; None if that is not on this machine.
    """
    if config.scorer != "auto":
        return config.scorer
    if parse_source(config.base_model).place == MINI:
        return MINI
    if base_folder and (base_folder / "clip").is_dir():
        return str(base_folder / "clip")
    return _STABLE_DIFFUSION_CLIP


_load_scorer = LoadOnce(Scorer.load)
