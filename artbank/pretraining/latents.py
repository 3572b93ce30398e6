"""The corpus's pictures as the denoiser takes them: encoded once, whole, in every size that its views need.

Shape legend: n pictures, B batch, S side of a whole picture, px, H, W sides of a view, px; pictures uint8 [S, S, 3]
sRGB; latents [n, 4, S / 4, S / 4] in half precision, scaled to unit spread.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

logger = logging.getLogger(__name__)

_PER_FILE = 400  # pictures; 15 MB at 192 px
_PER_BATCH = 40


def encode_pictures(folder: Path, vae: AutoencoderKL, images: Sequence[np.ndarray], sides: Collection[int]) -> None:
    """Encode the pictures whose latents are missing in a folder; run it again to resume.

    Args:
        folder: Receives `192/0000000-0000400.npy` and so on, for each side the means of all latents.
        vae: Encodes; on its device, in its precision.
        images: All pictures, each uint8 [S, S, 3].
        sides: Sides S to which the pictures are resized, px.
    """
    for side in sides:
        (folder / str(side)).mkdir(parents=True, exist_ok=True)
        for start in range(0, len(images), _PER_FILE):
            path = _path(folder, side, start, len(images))
            if path.exists():
                continue
            numbers = range(start, min(start + _PER_FILE, len(images)))
            batches = [numbers[i : i + _PER_BATCH] for i in range(0, len(numbers), _PER_BATCH)]
            latents = np.concatenate([_encode(vae, [images[number] for number in batch], side) for batch in batches])
            partial = path.with_suffix(".tmp")
            with partial.open("wb") as file:
                np.save(file, latents)
            partial.replace(path)
        logger.info("encoded %d pictures at %d px", len(images), side)


@dataclass(frozen=True)
class Cuts:
    """Views of some pictures: which parts of them a step sees.

    Attributes:
        side: Side S to which the whole pictures are resized, px.
        size: Height H and width W of the views, px.
        picks: Numbers of the pictures, [B].
        tops: First row of latents of each view, [B].
        lefts: First column of latents of each view, [B].
        factor: Side of a latent position, px.
    """

    side: int
    size: tuple[int, int]
    picks: Tensor
    tops: Tensor
    lefts: Tensor
    factor: int

    def cut_pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Cut the same parts out of pictures uint8 [S', S', 3] that show what the picked ones show, [B, H, W, 3]."""
        height, width = self.size
        views = []
        for picture, top, left in zip(pictures, self.tops.tolist(), self.lefts.tolist(), strict=True):
            small = cv2.resize(picture, (self.side, self.side), interpolation=cv2.INTER_AREA)
            row, column = top * self.factor, left * self.factor
            views.append(small[row : row + height, column : column + width])
        return np.stack(views)


class Latents:
    """The latents of all pictures in some sizes, on one device.

    They are not mirrored: mirrored latents are not those of a mirrored picture.
    """

    def __init__(self, of_sides: Mapping[int, Tensor]):
        """Take the latents [n, 4, S / 4, S / 4] of each side S."""
        self._of_sides = dict(of_sides)

    @classmethod
    def load(cls, folder: Path, sides: Collection[int], num_pictures: int, device: torch.device) -> Latents:
        """Read what `encode_pictures` wrote.

        Raises:
            FileNotFoundError: Some latents are missing.
        """
        return cls({side: torch.from_numpy(_read(folder, side, num_pictures)).to(device) for side in sides})

    def draw_cuts(self, side: int, size: tuple[int, int], picks: Tensor, generator: torch.Generator) -> Cuts:
        """Draw the places of views of some pictures, see `Cuts`; the generator is on CPU."""
        cells = self._of_sides[side].shape[-1]
        factor = side // cells
        height, width = (length // factor for length in size)
        tops = torch.randint(cells - height + 1, (len(picks),), generator=generator)
        lefts = torch.randint(cells - width + 1, (len(picks),), generator=generator)
        return Cuts(side, size, picks, tops, lefts, factor)

    def crop(self, cuts: Cuts) -> Tensor:
        """Return the latents of views, [B, 4, H / 4, W / 4] float32."""
        latents = self._of_sides[cuts.side]
        height, width = (length // cuts.factor for length in cuts.size)
        rows = (cuts.tops[:, None] + torch.arange(height)).to(latents.device)
        columns = (cuts.lefts[:, None] + torch.arange(width)).to(latents.device)
        picks = cuts.picks.to(latents.device)
        return latents[picks[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float()


@torch.no_grad()
def _encode(vae: AutoencoderKL, images: Sequence[np.ndarray], side: int) -> np.ndarray:
    resized = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images]
    pixels = torch.from_numpy(np.stack(resized)).to(vae.device).permute(0, 3, 1, 2)
    placed = (pixels.float() / 127.5 - 1).to(vae.dtype).contiguous(memory_format=torch.channels_last)
    means = vae.encode(placed).latent_dist.mean.float() * vae.config.scaling_factor
    return means.half().cpu().contiguous().numpy()


def _read(folder: Path, side: int, num_pictures: int) -> np.ndarray:
    paths = [_path(folder, side, start, num_pictures) for start in range(0, num_pictures, _PER_FILE)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(f"no latents in {missing[0]}; encode the corpus first (stage `latents`)")
    return np.concatenate([np.load(path) for path in paths])


def _path(folder: Path, side: int, start: int, num_pictures: int) -> Path:
    return folder / str(side) / f"{start:07d}-{min(start + _PER_FILE, num_pictures):07d}.npy"
