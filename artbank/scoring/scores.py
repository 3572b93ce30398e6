"""Scores of stylized pictures: how near they are to their collection, and how much of the photo they keep.

Shape legend: n pictures, C dimensions of CLIP's space; pictures uint8 [H, W, 3] sRGB.

With unit embeddings phi of pictures and tau of texts, y the stylized picture, c its photo, a_j the artworks:

    clip_style      cos(phi(y), mean_j phi(a_j))                        does it look like the collection
    clip_text       cos(phi(y), tau("a painting in the style of ..."))  does it look like the collection's name
    clip_content    cos(phi(y), phi(c))                                 does it still show what the photo shows
    clip_direction  cos(phi(y) - phi(c), mean_j phi(a_j) - phi(c))      did it move towards the artworks
    ssim            structural similarity of the lumas                  does it keep the photo's structure

All are raw cosines, -1..1. CLIPScore (Hessel et al., EMNLP 2021) is such a cosine times 2.5, clipped at 0. It says no
more than the raw cosine; `spread` relates a cosine to its floor and its ceiling instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn.functional import normalize

from artbank.errors import ConfigError
from artbank.images.similarity import sanity_flags, ssim_luma
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import StyleReference

_MIN_MOVE = 1e-4  # a shorter step in CLIP's space is rounding and has no direction


@dataclass(frozen=True)
class Cosines:
    """The CLIP scores of one stylized picture, as the module defines them.

    `clip_style_floor` is the `clip_style` of the photo itself. `clip_direction` is None if picture and photo have the
    same embedding.
    """

    clip_style: float
    clip_style_floor: float
    clip_text: float
    clip_content: float
    clip_direction: float | None


def rate_candidate(cosines: Cosines) -> float:
    """Return the score by which the best of several pictures of a photo is kept: style and content count alike."""
    return (cosines.clip_style + cosines.clip_content) / 2


@dataclass(frozen=True)
class Scores(Cosines):
    """All scores of one stylized picture; `flags` names what looks wrong, see `images.similarity.sanity_flags`."""

    ssim: float
    flags: tuple[str, ...]


def score(
    scorer: Scorer, reference: StyleReference, photos: Sequence[np.ndarray], stylized: Sequence[np.ndarray]
) -> list[Scores]:
    """Score pictures of one style; no score depends on the other pictures of the call.

    Args:
        scorer: The one that measured the reference.
        reference: The style, or `StyleReference.mix` of several.
        photos: The photo of each stylized picture, of any size.
        stylized: Pictures of that style. With the photos here, too, the scores are the floor of a run.

    Raises:
        ConfigError: Another scorer measured the reference.
    """
    before = scorer.embed_images(photos)
    after = scorer.embed_images(stylized)
    cosines = measure_cosines(scorer, reference, before, after)
    scores = []
    for picture_cosines, picture, photo in zip(cosines, stylized, photos, strict=True):
        scores.append(Scores(**vars(picture_cosines), ssim=ssim_luma(picture, photo), flags=sanity_flags(picture)))
    return scores


def measure_cosines(scorer: Scorer, reference: StyleReference, before: Tensor, after: Tensor) -> list[Cosines]:
    """Return the CLIP scores of pictures, from embeddings; those of one picture are the same bits in any batch.

    Args:
        scorer: The one that made the embeddings.
        reference: The style.
        before: [n, C], unit embeddings of the photos.
        after: [n, C], unit embeddings of the pictures.

    Raises:
        ConfigError: Another scorer measured the reference.
    """
    if scorer.id != reference.scorer:
        raise ConfigError(
            f"style {reference.collection} was measured by scorer {reference.scorer}, this run uses {scorer.id}; "
            "pass that scorer, or evaluate the bank again"
        )
    moved = after - before
    wanted = reference.mean - before  # [n, C]
    directions = (normalize(moved, dim=1) * normalize(wanted, dim=1)).sum(1).tolist()
    has_moved = (moved.norm(dim=1) > _MIN_MOVE).tolist()
    columns = (
        (after * reference.centroid).sum(1).tolist(),  # row by row: a product with a matrix rounds by its height
        (before * reference.centroid).sum(1).tolist(),
        (after * reference.text).sum(1).tolist(),
        (after * before).sum(1).tolist(),
        [direction if far else None for direction, far in zip(directions, has_moved, strict=True)],
    )
    return [Cosines(*values) for values in zip(*columns, strict=True)]
