"""How near stylized pictures come to a collection, and how much of the photo they keep.

Shape legend: n pictures, C dimensions of CLIP's space; pictures uint8 [H, W, 3] sRGB.

With unit embeddings phi of pictures and tau of texts, y stylized, c its photo, a_j the artworks:

    clip_style      cos(phi(y), mean_j phi(a_j))                        does it look like the collection
    clip_text       cos(phi(y), tau("a painting in the style of ..."))  does it look like the collection's name
    clip_content    cos(phi(y), phi(c))                                 is the photo's content still there
    clip_direction  cos(phi(y) - phi(c), mean_j phi(a_j) - mean_k phi(c_k))  did it move towards the artworks
    ssim            structural similarity of the lumas                  is the photo's structure still there

All are raw cosines, -1..1. CLIPScore (Hessel et al., EMNLP 2021) is such a cosine times 2.5, clipped at 0: no more is
known from it, and floor, ceiling and gain say what a raw cosine is worth.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import normalize

from artbank.errors import BankError, ConfigError
from artbank.images.color_transfer import Palette
from artbank.images.similarity import sanity_flags, ssim_luma
from artbank.scoring.clip import Scorer
from artbank.store.tensor_files import parse_header

SCHEMA = "artbank.style-reference/1"
TEXT = "a painting in the style of {}"
_STILL = 1e-4  # a shorter step in CLIP's space is rounding, and has no direction


@dataclass(frozen=True)
class StyleReference:
    """What a collection looks like to a scorer; kept beside its bank.

    Attributes:
        collection: Its name, or the name of a mix.
        scorer: Id of the scorer that saw it.
        mean: [C], mean of the artworks' unit embeddings; shorter than 1.
        text: [C], unit embedding of `TEXT` with the collection's name.
        ceiling: Mean `clip_style` of artworks that are not in `mean`; None where there was a single one.
        palette: The artworks' colours, for the colour policy `collection`.
    """

    collection: str
    scorer: str
    mean: Tensor
    text: Tensor
    ceiling: float | None
    palette: Palette

    @property
    def centroid(self) -> Tensor:
        """Direction of the collection, a unit vector [C]."""
        return normalize(self.mean, dim=0)

    @classmethod
    def mix(cls, parts: Sequence[tuple[StyleReference, float]]) -> StyleReference:
        """Return the weighted mean of references; weights sum to 1.

        Raises:
            ConfigError: They were measured by different scorers.
        """
        references, weights = zip(*parts, strict=True)
        if len(references) == 1:
            return references[0]
        if len(scorers := {reference.scorer for reference in references}) > 1:
            raise ConfigError(f"a mix needs one scorer, found {', '.join(sorted(scorers))}; measure its banks again")
        ceilings = [reference.ceiling for reference in references]
        return cls(
            "+".join(f"{reference.collection}:{weight:g}" for reference, weight in parts),
            references[0].scorer,
            torch.stack([reference.mean * weight for reference, weight in parts]).sum(0),
            normalize(torch.stack([reference.text * weight for reference, weight in parts]).sum(0), dim=0),
            None if None in ceilings else float(np.dot(ceilings, weights)),
            Palette.mix([(reference.palette, weight) for reference, weight in parts]),
        )

    def to_bytes(self) -> bytes:
        """Return the reference as a safetensors file, everything but the vectors as JSON in its header."""
        facts = {"collection": self.collection, "scorer": self.scorer, "ceiling": self.ceiling}
        palette = {"mean": self.palette.mean, "std": self.palette.std}
        header = {"schema": SCHEMA, "reference": json.dumps({**facts, "palette": palette})}
        vectors = {"mean": self.mean, "text": self.text}
        return safetensors.torch.save({name: v.contiguous() for name, v in vectors.items()}, metadata=header)

    @classmethod
    def from_bytes(cls, data: bytes) -> StyleReference:
        """Read a reference.

        Raises:
            BankError: It is no style reference, of another schema, or damaged.
        """
        try:
            vectors = safetensors.torch.load(data)
            header = parse_header(data).metadata
            if header["schema"] != SCHEMA:
                raise ValueError(f"schema {header['schema']}")
            facts = json.loads(header["reference"])
            palette = Palette(_three(facts["palette"]["mean"]), _three(facts["palette"]["std"]))
            mean, text = vectors["mean"], vectors["text"]
            if mean.ndim != 1 or mean.shape != text.shape or {mean.dtype, text.dtype} != {torch.float32}:
                raise ValueError(f"vectors {tuple(mean.shape)} {mean.dtype} and {tuple(text.shape)} {text.dtype}")
            if not torch.stack([mean, text]).isfinite().all():
                raise ValueError("vectors that are not finite")
            ceiling = None if facts["ceiling"] is None else float(facts["ceiling"])
            if not np.isfinite([*palette.mean, *palette.std, ceiling or 0.0]).all():
                raise ValueError("colours or a ceiling that are not finite")
            return cls(str(facts["collection"]), str(facts["scorer"]), mean, text, ceiling, palette)
        except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise BankError(f"expected a style reference of schema {SCHEMA}, found {error}; evaluate again") from error


@dataclass(frozen=True)
class Cosines:
    """What CLIP sees in one stylized picture; see the module.

    `clip_style_floor` is what the photo itself has as `clip_style`. `clip_direction` is None where the picture is, to
    the scorer, the photo itself.
    """

    clip_style: float
    clip_style_floor: float
    clip_text: float
    clip_content: float
    clip_direction: float | None


@dataclass(frozen=True)
class Scores(Cosines):
    """What one stylized picture scores: its cosines, and what `structure` finds."""

    ssim: float
    flags: tuple[str, ...]


def measure_reference(
    scorer: Scorer, collection: str, artworks: Sequence[np.ndarray], held_out: Sequence[np.ndarray]
) -> StyleReference:
    """Measure what a collection looks like.

    Args:
        scorer: Sees the artworks.
        collection: Its name.
        artworks: Those that the bank learned from; at least one.
        held_out: Those kept from it, for the ceiling; without any, each artwork is held against all others.
    """
    embedded = scorer.embed_images(artworks)  # [n, C]
    return StyleReference(
        collection,
        scorer.id,
        embedded.mean(0),
        scorer.embed_texts([TEXT.format(collection)])[0],
        _ceiling(embedded, scorer.embed_images(held_out)),
        Palette.measure(list(artworks)),
    )


def score(
    scorer: Scorer,
    reference: StyleReference,
    photos: Sequence[np.ndarray],
    stylized: Sequence[np.ndarray],
    photo_mean: Tensor | None = None,
) -> list[Scores]:
    """Score pictures against their photos and one style; no score depends on what else is in the call.

    The floor of a run is this with the photos in both places.

    Args:
        scorer: The one that measured the reference.
        reference: The style, or `StyleReference.mix` of several.
        photos: One for each stylized picture, of any size.
        stylized: Pictures of that style.
        photo_mean: [C], mean embedding of photos, the same for a whole run, which `clip_direction` starts from. Without
            it each photo stands for itself: the direction from the photo to the artworks.

    Raises:
        ConfigError: The reference was measured by another scorer.
    """
    before, after = scorer.embed_images(photos), scorer.embed_images(stylized)
    cosines = compare(scorer, reference, before, after, photo_mean)
    pairs = zip(cosines, stylized, photos, strict=True)
    return [Scores(**vars(one), ssim=ssim_luma(y, c), flags=sanity_flags(y)) for one, y, c in pairs]


def compare(
    scorer: Scorer, reference: StyleReference, before: Tensor, after: Tensor, photo_mean: Tensor | None = None
) -> list[Cosines]:
    """Compare pictures with their photos and one style, as `score` does, by their unit embeddings.

    Args:
        scorer: That embedded them.
        reference: The style.
        before: [n, C], of the photos.
        after: [n, C], of the pictures.
        photo_mean: See `score`.

    Raises:
        ConfigError: The reference was measured by another scorer.
    """
    if scorer.id != reference.scorer:
        raise ConfigError(
            f"style {reference.collection} was measured by scorer {reference.scorer}, this run uses {scorer.id}; "
            "pass that scorer, or evaluate the bank again"
        )
    moved = after - before
    wanted = reference.mean - (before if photo_mean is None else photo_mean)  # [n, C] or [C]
    directions = (normalize(moved, dim=1) * normalize(wanted, dim=-1)).sum(1)
    columns = (
        (after @ reference.centroid).tolist(),
        (before @ reference.centroid).tolist(),
        (after @ reference.text).tolist(),
        (after * before).sum(1).tolist(),
        [d if far else None for d, far in zip(directions.tolist(), moved.norm(dim=1) > _STILL, strict=True)],
    )
    return [Cosines(*values) for values in zip(*columns, strict=True)]


def _ceiling(artworks: Tensor, held_out: Tensor) -> float | None:
    """Return the mean cosine of held-out embeddings with the others' centroid; [n, C] and [m, C]."""
    if len(held_out):
        return float((held_out @ normalize(artworks.mean(0), dim=0)).mean())
    if len(artworks) < 2:
        return None
    others = normalize(artworks.sum(0) - artworks, dim=1)  # [n, C], each without its own artwork
    return float((artworks * others).sum(1).mean())


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
