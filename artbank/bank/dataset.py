"""Crops of the artworks as cached latents, with a prompt for each: the dataset that a bank learns from.

Shape legend: A artworks, V crops (each also mirrored), C x h x w latents; pictures uint8 [H, W, 3].
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER, without_placeholder
from artbank.diffusion.tensors import to_images, upload
from artbank.images.artwork_pictures import LARGEST_ZOOM
from artbank.images.codec import resize
from artbank.recipes import BankRecipe
from artbank.runtime.prefetch import prefetch

STYLE_ALONE = f"in the style of {STYLE_PLACEHOLDER}"
TEMPLATES = ("a painting", "a picture", "an artwork", "a scene", "a detail of a painting", "a drawing", "a print")


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
    base: BaseModel,
    pictures: Sequence[np.ndarray],
    captions: Sequence[str | None],
    recipe: BankRecipe,
    *,
    whole_px: Sequence[tuple[int, int] | None] | None = None,
) -> LatentDataset:
    """Crop artworks, and encode each crop and its mirror image once.

    Crops keep the aspect ratio. The first crop of an artwork is centred and shows the whole short side; the others are
    drawn from `recipe.seed`. The next artwork is cropped in a thread while one is encoded.

    Args:
        base: The base model.
        pictures: The artworks.
        captions: Their captions; None for an artwork without one.
        recipe: Size and number of the crops, and their seed.
        whole_px: Width and height of artworks whose pictures are reduced by a whole number; None for the others.
    """
    side = choose_crop_px(base, recipe)
    plans = [
        _plan_crops(size or (picture.shape[1], picture.shape[0]), side, recipe.num_crops, [recipe.seed, number])
        for number, (picture, size) in enumerate(zip(pictures, whole_px or [None] * len(pictures), strict=True))
    ]
    means = []
    stds = []
    with ThreadPoolExecutor(1) as pool:
        work = zip(pictures, plans, strict=True)
        for crops in prefetch(work, lambda pair: pool.submit(_cut_all, *pair, side).result, depth=1):
            mean, std = base.encode_images(to_images(upload(crops, base.device)))
            means.append(mean.cpu())
            stds.append(std.cpu())
    owners = [number for number, plan in enumerate(plans) for _ in plan for _ in range(2)]
    sizes = [crop.facts(side) for plan in plans for crop in plan for _ in range(2)]
    texts = tuple(None if caption is None else without_placeholder(caption) for caption in captions)
    return LatentDataset(torch.cat(means), torch.cat(stds), torch.tensor(owners), texts, torch.tensor(sizes))


def choose_crop_px(base: BaseModel, recipe: BankRecipe) -> int:
    """Return the side of the crops, px."""
    side = recipe.resolution_px or base.native_px
    return max(side // base.size_multiple_px, 1) * base.size_multiple_px


@dataclass(frozen=True)
class _Crop:
    """The place of a crop in an artwork that is scaled to cover it, px."""

    whole_px: tuple[int, int]
    scaled_px: tuple[int, int]
    left: int
    top: int

    def facts(self, side: int) -> tuple[int, ...]:
        """Return a row of `LatentDataset.sizes`; SDXL learned mirrored images with the same."""
        width, height = self.whole_px
        return height, width, self.top, self.left, side, side

    def cut(self, picture: np.ndarray, side: int) -> np.ndarray:
        """Cut the crop out of the artwork's picture; returns uint8 [side, side, 3]."""
        factor = round(self.whole_px[0] / picture.shape[1])
        x, y = (whole / factor / scaled for whole, scaled in zip(self.whole_px, self.scaled_px, strict=True))
        box = (self.left * x, self.top * y, (self.left + side) * x, (self.top + side) * y)
        return resize(picture, side, side, box)


def _plan_crops(whole_px: tuple[int, int], side: int, count: int, seed: Sequence[int]) -> list[_Crop]:
    """Choose the crops of an artwork: the first at the centre, the others by the seed."""
    rng = np.random.default_rng(seed)
    crops = []
    for number in range(count):
        scale = (rng.uniform(1.0, LARGEST_ZOOM) if number else 1.0) * side / min(whole_px)
        width, height = (max(round(length * scale), side) for length in whole_px)
        spare = np.array([height, width]) - side
        top, left = rng.integers(0, spare + 1) if number else spare // 2
        crops.append(_Crop(whole_px, (width, height), int(left), int(top)))
    return crops


def _cut_all(picture: np.ndarray, plan: Sequence[_Crop], side: int) -> list[np.ndarray]:
    """Return each crop and its mirror image."""
    crops = [crop.cut(picture, side) for crop in plan]
    return [view for crop in crops for view in (crop, crop[:, ::-1])]
