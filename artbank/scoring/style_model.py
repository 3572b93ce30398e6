"""A CSD that embeds the style of pictures: the trunk of a CLIP ViT-L/14 with a projection trained for style.

Shape legend: n pictures uint8 [3, h, w] sRGB; C dimensions of its space (768 for the published one).

With unit embeddings psi of the style, y the picture and a_j the artworks:

    csd_style    cos(psi(y), mean_j psi(a_j))    -1..1

Source: Somepalli et al., Measuring Style Similarity in Diffusion Models, ECCV 2024 (Contrastive Style Descriptors).
There a picture is compared with single artworks; here with the mean of the collection, as `clip_style` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from more_itertools import chunked
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from artbank.diffusion.model_files import STYLE_MODEL
from artbank.diffusion.shared_base_model import load_base_model
from artbank.parameters.run_config import RunConfig
from artbank.runtime.load_once import LoadOnce
from artbank.scoring.networks import BATCH_SIZE, load_network, locate, model_id, preprocessing_device, to_unit_rows


class StyleModel:
    """A frozen CSD, in float32 on every device.

    Attributes:
        id: Name and version, e.g. `csd@0a1b2c3d4e5f`; scores of two ids cannot be compared.
        device: Device of the network.
    """

    def __init__(self, folder: Path, name: str, device: torch.device):
        """Load a CSD from a folder.

        Args:
            folder: The model, as `CLIPVisionModelWithProjection` of transformers.
            name: First part of its id.
            device: Device of the network.

        Raises:
            BaseModelError: A part is missing or damaged, or this is another kind of model.
        """
        self._network, self._preprocessor = load_network(STYLE_MODEL, folder, CLIPVisionModelWithProjection, device)
        self._width = self._network.visual_projection.out_features
        self.id = model_id(STYLE_MODEL, name, folder)
        self.device = device

    @classmethod
    def load(cls, source: str, device: torch.device, *, is_offline: bool = False) -> StyleModel:
        """Load a style model.

        Args:
            source: A local folder, a store URI, or a hub id `owner/name` or `owner/name@revision`.
            device: Device of the network.
            is_offline: Make no request to the hub.

        Raises:
            BaseModelError: There is no such model, a part is missing, or it has another form.
            OSError: The store or the hub failed.
        """
        return cls(*locate(STYLE_MODEL, source, is_offline=is_offline), device)

    def embed_images(self, images: Sequence[np.ndarray]) -> Tensor:
        """Return unit embeddings of pictures [h, w, 3] of any sizes, float32 [n, C] on CPU."""
        return self.embed_tensors([torch.tensor(image).permute(2, 0, 1) for image in images])

    @torch.no_grad()
    def embed_tensors(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return unit embeddings of pictures on any device, float32 [n, C] on CPU; none depends on the others."""
        embedded = []
        device = preprocessing_device(self.device)
        for batch in chunked(pictures, BATCH_SIZE):
            pixels = self._preprocessor.preprocess([picture.to(device) for picture in batch])
            embedded.append(self._network(pixels.to(self.device)).image_embeds)
        return to_unit_rows(embedded, self._width)


def load_style_model(config: RunConfig) -> StyleModel | None:
    """Return the style model of a run, None if it has none; the process loads it once.

    Raises:
        BaseModelError: There is no such model, or a part is missing.
        OSError: The store or the hub failed.
    """
    if config.style_model is None:
        return None
    return _load_style_model(config.style_model, load_base_model(config).device, is_offline=config.offline)


_load_style_model = LoadOnce(StyleModel.load)
