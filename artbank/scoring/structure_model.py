"""A DINOv2 that measures how much of a photo's structure a picture keeps.

Shape legend: n pictures uint8 [3, h, w] sRGB; P patches of a picture, in a grid of rows and columns; D width of the
network (384 for DINOv2-S).

The structure of a picture is the matrix S [P, P] of the cosines between the keys of its patches in the network's last
layer: which parts resemble each other, whatever their colours and textures are. With y the picture and c its photo:

    dino_structure    1 - mean_ij (S_ij(y) - S_ij(c))^2

It is 1 for the photo itself, and at least -3. One minus it is the structure distance of the literature, there mostly
with a DINO of the first version.

Source: Tumanyan et al., Splicing ViT Features for Semantic Appearance Transfer, CVPR 2022, section 3.2: the loss of
structure, which there is a norm instead of a mean, includes the key of the class token, and is taken from a DINO ViT.
Here the whole picture is seen in its own shape, in about as many patches as the network's settings have for a square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import torch
from more_itertools import chunked
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoModel

from artbank.diffusion.image_networks import explained_damage
from artbank.diffusion.model_files import STRUCTURE_MODEL
from artbank.diffusion.shared_base_model import load_base_model
from artbank.parameters.draw_config import DrawConfig
from artbank.runtime.load_once import LoadOnce
from artbank.scoring.networks import BATCH_SIZE, load_network, locate, model_id, preprocessing_device

Grid = tuple[int, int]
"""Rows and columns of patches."""


@dataclass(frozen=True)
class SelfSimilarity:
    """The structure of a picture.

    Attributes:
        cosines: [P, P] float32, on the model's device.
        grid: Rows and columns, whose product is P.
    """

    cosines: Tensor
    grid: Grid


class StructureModel:
    """A frozen DINOv2, in float32 on every device.

    Attributes:
        id: Name and version, e.g. `facebook/dinov2-small@0a1b2c3d4e5f`; scores of two ids cannot be compared.
        device: Device of the network.
    """

    def __init__(self, folder: Path, name: str, device: torch.device):
        """Load a DINOv2 from a folder.

        Args:
            folder: The model.
            name: First part of its id.
            device: Device of the network.

        Raises:
            BaseModelError: A part is missing or damaged, or this is another kind of model.
        """
        self._network, self._preprocessor = load_network(STRUCTURE_MODEL, folder, AutoModel, device)
        self.id = model_id(STRUCTURE_MODEL, name, folder)
        self.device = device
        with explained_damage(STRUCTURE_MODEL, folder):
            self._patch_px = int(self._network.config.patch_size)
            self._side = max(self._preprocessor.height_px // self._patch_px, 1)
            self._norm, self._keys = _find_key_projection(self._network)

    @classmethod
    def load(cls, source: str, device: torch.device, *, is_offline: bool = False) -> StructureModel:
        """Load a structure model.

        Args:
            source: A local folder, a store URI, or a hub id `owner/name` or `owner/name@revision`.
            device: Device of the network.
            is_offline: Make no request to the hub.

        Raises:
            BaseModelError: There is no such model, a part is missing, or it is no DINOv2.
            OSError: The store or the hub failed.
        """
        return cls(*locate(STRUCTURE_MODEL, source, is_offline=is_offline), device)

    def describe(self, pictures: Sequence[Tensor]) -> list[SelfSimilarity]:
        """Return the structure of pictures uint8 [3, h, w] on any device; none depends on the others."""
        return self._describe(pictures, [self._choose_grid(*picture.shape[1:]) for picture in pictures])

    def compare(self, photos: Sequence[SelfSimilarity], pictures: Sequence[Tensor]) -> list[float]:
        """Return `dino_structure` of pictures, -3..1.

        Args:
            photos: The structure of the photo of each picture.
            pictures: uint8 [3, h, w] on any device, of any size: each is seen in the grid of its photo.
        """
        structures = self._describe(pictures, [photo.grid for photo in photos])
        distances = [
            (picture.cosines - photo.cosines).square().mean() for picture, photo in zip(structures, photos, strict=True)
        ]
        return [1 - distance for distance in torch.stack(distances).tolist()] if distances else []

    def _describe(self, pictures: Sequence[Tensor], grids: Sequence[Grid]) -> list[SelfSimilarity]:
        """Return the structure of each picture in its grid; pictures of one grid go through the network together."""
        by_place: dict[int, SelfSimilarity] = {}
        for grid in dict.fromkeys(grids):
            places = [place for place, picture_grid in enumerate(grids) if picture_grid == grid]
            for batch in chunked(places, BATCH_SIZE):
                cosines = self._measure([pictures[place] for place in batch], grid)
                by_place |= {
                    place: SelfSimilarity(picture_cosines, grid)
                    for place, picture_cosines in zip(batch, cosines, strict=True)
                }
        return [by_place[place] for place in range(len(pictures))]

    @torch.no_grad()
    def _measure(self, pictures: Sequence[Tensor], grid: Grid) -> Tensor:
        """Return the cosines between the keys of the patches of pictures, [n, P, P]."""
        height_px, width_px = (count * self._patch_px for count in grid)
        device = preprocessing_device(self.device)
        pixels = self._preprocessor.preprocess_whole([picture.to(device) for picture in pictures], height_px, width_px)
        states = self._network(pixels.to(self.device), output_hidden_states=True).hidden_states
        keys = self._keys(self._norm(states[-2]))  # [n, 1 + registers + P, D]
        keys = normalize(keys[:, -grid[0] * grid[1] :], dim=2)  # [n, P, D]
        return keys @ keys.mT

    def _choose_grid(self, height: int, width: int) -> Grid:
        """Return the grid of a picture of a size, px: in its shape, with about `side` x `side` patches."""
        stretch = sqrt(height / width)
        most = self._side**2
        rows, columns = round(self._side * stretch), round(self._side / stretch)
        return min(max(rows, 1), most), min(max(columns, 1), most)


def load_structure_model(config: DrawConfig) -> StructureModel | None:
    """Return the structure model of a run, None if it has none; the process loads it once.

    Raises:
        BaseModelError: There is no such model, or a part is missing.
        OSError: The store or the hub failed.
    """
    if config.structure_model is None:
        return None
    return _load_structure_model(config.structure_model, load_base_model(config).device, is_offline=config.offline)


_load_structure_model = LoadOnce(StructureModel.load)


def _find_key_projection(network: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return the norm of the last layer's input and its projection to keys, whose name versions of transformers change.

    Raises:
        ValueError: There is none.
    """
    names = [name for name, _ in network.named_modules() if name.endswith((".k_proj", ".key"))]
    if not names:
        raise ValueError("expected a network with keys, found none")
    layer = names[-1].partition(".attention")[0]
    return network.get_submodule(f"{layer}.norm1"), network.get_submodule(names[-1])
