"""Texture apart from colour: what a CLIP makes of grey patches of pictures.

Shape legend: n pictures, C dimensions of CLIP's space; pictures uint8 [3, H, W] sRGB.

A picture is made grey, its lumas are given one mean and one spread, and CLIP sees patches of it, each a quarter of the
short side. Colours, tones and the subject as a whole hardly count then; strokes, lines and grain do. `clip_texture` is
the cosine between the mean embedding of a picture's patches and that of the artworks' patches. Photos that are only
recoloured gain nothing by it, while they gain most of what pictures gain by `clip_style`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from more_itertools import chunked
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from artbank.diffusion.tensors import copy_to_device
from artbank.scoring.spread import Ceiling, mix_ceilings

if TYPE_CHECKING:  # the catalog reads references, and needs no CLIP for that
    from artbank.scoring.clip import Scorer

MAX_ARTWORKS = 32
"""Artworks of a collection that are measured, evenly chosen; their patches are many."""

_SPLITS = 4  # patches along the short side
_MEAN, _SPREAD = 128.0, 50.0  # of the lumas, 0..255
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_PICTURES_AT_ONCE = 8  # whose patches are in memory together


@dataclass(frozen=True)
class TextureReference:
    """The textures of a collection.

    Attributes:
        short_px: Short side at which the artworks were seen, px; larger pictures are made smaller to it.
        mean: [C], mean of the artworks' unit embeddings; shorter than 1.
        ceiling: The `clip_texture` of artworks that are not in `mean`; None if there was only one artwork.
    """

    short_px: int
    mean: Tensor
    ceiling: Ceiling | None

    @property
    def centroid(self) -> Tensor:
        """Direction of the collection's textures in CLIP's space, a unit vector [C]."""
        return normalize(self.mean, dim=0)

    @classmethod
    def mix(cls, parts: Sequence[tuple[TextureReference | None, float]]) -> TextureReference | None:
        """Return the weighted mean of references; None if one is missing, or they were seen at different sizes."""
        known = [(reference, weight) for reference, weight in parts if reference is not None]
        if len(known) < len(parts) or len({reference.short_px for reference, _ in known}) > 1:
            return None
        mean = torch.stack([reference.mean * weight for reference, weight in known]).sum(0)
        ceiling = mix_ceilings([(reference.ceiling, weight) for reference, weight in known])
        return cls(known[0][0].short_px, mean, ceiling)


def embed_textures(scorer: Scorer, pictures: Sequence[Tensor], short_px: int) -> Tensor:
    """Return the unit embeddings of the pictures' textures, float32 [n, C] on CPU.

    Args:
        scorer: Embeds the patches.
        pictures: Pictures of any sizes, on any device.
        short_px: Short side at which they are seen; smaller pictures stay as they are.
    """
    embedded = [torch.empty(0, scorer.width)]
    for batch in chunked(pictures, _PICTURES_AT_ONCE):
        patches = [cut_patches(picture, short_px) for picture in batch]
        embeddings = scorer.embed_tensors([patch for cut in patches for patch in cut])
        embedded += [of_picture.mean(0, keepdim=True) for of_picture in embeddings.split([len(cut) for cut in patches])]
    return normalize(torch.cat(embedded), dim=1)


def cut_patches(picture: Tensor, short_px: int) -> list[Tensor]:
    """Return grey patches uint8 [3, s, s] of a picture: every second square of a grid, as on a chessboard.

    Args:
        picture: uint8 [3, H, W].
        short_px: Short side at which it is seen; a smaller picture stays as it is.
    """
    weights = copy_to_device(torch.tensor(_LUMA), picture.device)
    luma = (picture.float() * weights[:, None, None]).sum(0)  # [H, W], 0..255
    short = min(luma.shape)
    if short > short_px:
        size = [max(round(side * short_px / short), 1) for side in luma.shape]
        luma = interpolate(luma[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    luma = (luma - luma.mean()) / luma.std(correction=0).clamp(min=1) * _SPREAD + _MEAN
    grey = luma.round().clamp(0, 255).to(torch.uint8)
    side = max(min(grey.shape) // _SPLITS, 1)
    tops, lefts = (_spread_out(length, side) for length in grey.shape)
    return [
        grey[top : top + side, left : left + side].expand(3, -1, -1)
        for row, top in enumerate(tops)
        for column, left in enumerate(lefts)
        if (row + column) % 2 == 0
    ]


def _spread_out(length: int, side: int) -> list[int]:
    """Return where patches of `side` px begin along a side of `length` px, from one end to the other."""
    count = max(round(length / side), 1)
    return [round(number * (length - side) / max(count - 1, 1)) for number in range(count)]
