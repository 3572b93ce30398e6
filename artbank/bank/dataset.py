"""Crops of the artworks as cached latents, with a prompt for each: the dataset that a bank learns from.

Shape legend: A artworks, V crops (each also mirrored), C x h x w latents; pictures uint8 [H, W, 3].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER, without_placeholder
from artbank.diffusion.tensors import to_images, upload
from artbank.images.codec import resize
from artbank.recipes import BankRecipe

STYLE_ALONE = f"in the style of {STYLE_PLACEHOLDER}"
TEMPLATES = ("a painting", "a picture", "an artwork", "a scene", "a detail of a painting", "a drawing", "a print")
_ZOOM = 1.25  # the largest crop shows the whole short side, the smallest 1 / 1.25 of it


@dataclass(frozen=True)
class LatentDataset:
    """The crops of some artworks as the VAE encodes them: a normal distribution of latents for each crop.

    Attributes:
        mean: [V, C, h, w] means, scaled, float32 on CPU.
        std: [V, C, h, w] standard deviations, scaled, float32 on CPU.
        artwork: [V] the number of the artwork that each crop shows, 0..A-1.
        captions: One for each of the A artworks; None for an artwork without a caption.
        sizes: [V, 6] height and width of the artwork, top and left of the crop in it when scaled, height and width of
            the crop, px; SDXL takes them.
    """

    mean: Tensor
    std: Tensor
    artwork: Tensor
    captions: tuple[str | None, ...]
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.mean)

    def draw_latents(self, picks: Tensor, generator: torch.Generator) -> Tensor:
        """Draw latents [B, C, h, w] of the picked crops."""
        mean = self.mean[picks]
        return mean + self.std[picks] * torch.randn(mean.shape, generator=generator)

    def draw_prompt(self, crop: int, generator: torch.Generator, dropout: float) -> str:
        """Draw the prompt of a crop: `make_prompt` with a random template, or the style alone at the rate `dropout`."""
        if torch.rand((), generator=generator) < dropout:
            return STYLE_ALONE
        template = TEMPLATES[int(torch.randint(len(TEMPLATES), (), generator=generator))]
        return self.make_prompt(crop, template)

    def make_prompt(self, crop: int, template: str) -> str:
        """Return the caption of the crop's artwork, or the template if there is none, in the style."""
        return f"{self.captions[int(self.artwork[crop])] or template}, {STYLE_ALONE}"


def encode_dataset(
    base: BaseModel, pictures: Sequence[np.ndarray], captions: Sequence[str | None], recipe: BankRecipe
) -> LatentDataset:
    """Crop artworks, and encode each crop and its mirror image once.

    Crops keep the aspect ratio. The first crop of an artwork is centred and shows the whole short side; the others are
    drawn from `recipe.seed`.
    """
    side = recipe.resolution_px or base.native_px
    side = max(side // base.size_multiple_px, 1) * base.size_multiple_px
    means = []
    stds = []
    owners = []
    sizes = []
    for number, picture in enumerate(pictures):
        rng = np.random.default_rng([recipe.seed, number])
        crops = []
        for i in range(recipe.num_crops):
            crop, place = _crop(picture, side, rng if i else None)
            crops += [crop, crop[:, ::-1]]
            sizes += [(*picture.shape[:2], *place, side, side)] * 2  # SDXL learned mirrored images with these too
        mean, std = base.encode_images(to_images(upload(crops, base.device)))
        means.append(mean.cpu())
        stds.append(std.cpu())
        owners += [number] * len(crops)
    texts = tuple(None if caption is None else without_placeholder(caption) for caption in captions)
    return LatentDataset(torch.cat(means), torch.cat(stds), torch.tensor(owners), texts, torch.tensor(sizes))


def _crop(picture: np.ndarray, side: int, rng: np.random.Generator | None) -> tuple[np.ndarray, tuple[int, int]]:
    """Cut a square of `side` px out of a picture scaled to cover it, at the centre without an `rng`.

    Returns:
        The square, and its top and left in the scaled picture, px.
    """
    zoom = 1.0 if rng is None else rng.uniform(1.0, _ZOOM)
    height, width = picture.shape[:2]
    scale = zoom * side / min(height, width)
    scaled = resize(picture, max(round(width * scale), side), max(round(height * scale), side))
    spare = np.array(scaled.shape[:2]) - side
    top, left = spare // 2 if rng is None else rng.integers(0, spare + 1)
    return np.ascontiguousarray(scaled[top : top + side, left : left + side]), (int(top), int(left))
