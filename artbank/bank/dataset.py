"""What a training looks at: crops of the artworks as cached VAE posteriors, and what is said of each.

Shape legend: A artworks, V views (crops, as they are and mirrored), C x h x w latents; pictures uint8 [H, W, 3].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER
from artbank.diffusion.tensors import to_images, upload
from artbank.images.codec import resize
from artbank.recipes import BankRecipe

STYLE_ALONE = f"in the style of {STYLE_PLACEHOLDER}"
TEMPLATES = ("a painting", "a picture", "an artwork", "a scene", "a detail of a painting", "a drawing", "a print")
_ZOOM = 1.25  # the largest crop shows the whole short side, the smallest 1 / 1.25 of it
_ENCODE_BATCH = 4


@dataclass(frozen=True)
class LatentDataset:
    """The cached views of some artworks.

    Attributes:
        mean: [V, C, h, w] posterior means, scaled, float32 on CPU.
        std: Likewise, their standard deviations.
        artwork: [V] which artwork each shows.
        captions: One per artwork; None where it brought none.
    """

    mean: Tensor
    std: Tensor
    artwork: Tensor
    captions: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.mean)

    def sample(self, picks: Tensor, generator: torch.Generator) -> Tensor:
        """Draw latents [B, C, h, w] of the picked views from their posteriors."""
        mean = self.mean[picks]
        return mean + self.std[picks] * torch.randn(mean.shape, generator=generator)

    def prompt(self, view: int, generator: torch.Generator, dropout: float) -> str:
        """Say what a view shows, in the style: the artwork's caption, else a template; at times the style alone."""
        if torch.rand((), generator=generator) < dropout:
            return STYLE_ALONE
        template = TEMPLATES[int(torch.randint(len(TEMPLATES), (), generator=generator))]
        return self.describe(view, template)

    def describe(self, view: int, template: str) -> str:
        """Say what a view shows, in the style: the artwork's caption, else the template."""
        return f"{self.captions[int(self.artwork[view])] or template}, {STYLE_ALONE}"


def encode_dataset(
    base: BaseModel, pictures: Sequence[np.ndarray], captions: Sequence[str | None], recipe: BankRecipe
) -> LatentDataset:
    """Crop artworks and encode every crop and its mirror image, once.

    Crops keep the aspect ratio; the first is centred and shows the whole short side, the others are drawn from
    `recipe.seed`.
    """
    side = recipe.resolution_px or base.native_px
    side = max(side // base.size_multiple_px, 1) * base.size_multiple_px
    means, stds, owners = [], [], []
    for number, picture in enumerate(pictures):
        rng = np.random.default_rng([recipe.seed, number])
        crops = [_crop(picture, side, rng if i else None) for i in range(recipe.num_crops)]
        views = upload([turned for crop in crops for turned in (crop, crop[:, ::-1])], base.device)
        for part in views.split(_ENCODE_BATCH):
            mean, std = base.encode_images(to_images(part))
            means.append(mean.cpu())
            stds.append(std.cpu())
        owners += [number] * len(views)
    said = tuple(None if caption is None else caption.replace(STYLE_PLACEHOLDER, "") for caption in captions)
    return LatentDataset(torch.cat(means), torch.cat(stds), torch.tensor(owners), said)


def _crop(picture: np.ndarray, side: int, rng: np.random.Generator | None) -> np.ndarray:
    """Cut a square of `side` px out of a picture scaled to cover it; at the centre without an `rng`."""
    zoom = 1.0 if rng is None else rng.uniform(1.0, _ZOOM)
    height, width = picture.shape[:2]
    scale = zoom * side / min(height, width)
    scaled = resize(picture, max(round(width * scale), side), max(round(height * scale), side))
    spare = np.array(scaled.shape[:2]) - side
    top, left = spare // 2 if rng is None else rng.integers(0, spare + 1)
    return np.ascontiguousarray(scaled[top : top + side, left : left + side])
