"""Photos in the colours of a collection, with nothing painted: a style that is more than its colours surpasses them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from artbank.images.palette import Palette
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import StyleReference
from artbank.stylization.colours import match_palette

_SIDE_PX = 256  # shorter side of a photo whose colours are changed for a score; CLIP sees 224 or less


def recolour(photo: Tensor, palette: Palette) -> Tensor:
    """Return a photo uint8 [3, h, w] in the colours of a collection, made smaller, since only CLIP sees it."""
    factor = _SIDE_PX / min(photo.shape[1:])
    if factor < 1:
        smaller = interpolate(photo[None].float(), scale_factor=factor, mode="area")[0]
        photo = smaller.round().to(torch.uint8)
    return match_palette(photo, palette)


def score_recoloured(scorer: Scorer, reference: StyleReference, photos: Sequence[Tensor]) -> list[float]:
    """Return the `clip_style` of photos uint8 [3, h, w] in the colours of a style's artworks, -1..1."""
    embedded = scorer.embed_tensors([recolour(photo, reference.palette) for photo in photos])  # [n, C]
    return (embedded * reference.centroid).sum(1).tolist()
