"""The reference of a collection: what a scorer makes of its artworks, kept beside its bank.

Shape legend: n artworks, m held-out ones, C dimensions of CLIP's space; pictures uint8 [H, W, 3] sRGB.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import normalize

from artbank.errors import BankError, ConfigError
from artbank.images.palette import NUM_SHARES, NUM_TONES, Palette, Tone
from artbank.store.tensor_files import parse_header, sort_metadata

if TYPE_CHECKING:  # the catalog reads references, and needs no CLIP for that
    from artbank.scoring.clip import Scorer

SCHEMA = "artbank.style-reference/1"
STYLE_TEXT = "a painting in the style of {}"

# what a value of another kind than expected raises
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class StyleReference:
    """The embeddings and colours of a collection.

    Attributes:
        collection: Its id, or those of a mix with their weights.
        scorer: Id of the scorer that embedded it.
        mean: [C], mean of the artworks' unit embeddings; shorter than 1.
        text: [C], unit embedding of `STYLE_TEXT` with the collection's name.
        ceiling: Mean `clip_style` of artworks that are not in `mean`; None if there was only one artwork.
        palette: The artworks' colours, for the colour policy `collection`.
        ceiling_error: Standard error of the ceiling; 0 if unknown, as in references of older versions.
    """

    collection: str
    scorer: str
    mean: Tensor
    text: Tensor
    ceiling: float | None
    palette: Palette
    ceiling_error: float = 0.0

    @property
    def centroid(self) -> Tensor:
        """Direction of the collection in CLIP's space, a unit vector [C]."""
        return normalize(self.mean, dim=0)

    @classmethod
    def mix(cls, parts: Sequence[tuple[StyleReference, float]]) -> StyleReference:
        """Return the weighted mean of references; the weights sum to 1.

        Raises:
            ConfigError: They were measured by different scorers.
        """
        references = [reference for reference, _ in parts]
        if len(references) == 1:
            return references[0]
        scorers = {reference.scorer for reference in references}
        if len(scorers) > 1:
            raise ConfigError(
                f"expected the banks of a mix to have one scorer, found {', '.join(sorted(scorers))}; "
                "measure its banks again"
            )
        ceiling, ceiling_error = mix_ceilings(parts)
        text = torch.stack([reference.text * weight for reference, weight in parts]).sum(0)
        return cls(
            collection="+".join(f"{reference.collection}:{weight:g}" for reference, weight in parts),
            scorer=references[0].scorer,
            mean=torch.stack([reference.mean * weight for reference, weight in parts]).sum(0),
            text=normalize(text, dim=0),
            ceiling=ceiling,
            palette=Palette.mix([(reference.palette, weight) for reference, weight in parts]),
            ceiling_error=ceiling_error,
        )

    def to_bytes(self) -> bytes:
        """Return the reference as a safetensors file: the vectors as tensors, all else as JSON in its header."""
        facts: dict[str, Any] = {"collection": self.collection, "scorer": self.scorer, "ceiling": self.ceiling}
        if self.ceiling_error:
            facts["ceiling_error"] = self.ceiling_error
        palette = asdict(self.palette)
        metadata = {"schema": SCHEMA, "reference": json.dumps({**facts, "palette": palette})}
        vectors = {"mean": self.mean.contiguous(), "text": self.text.contiguous()}
        return sort_metadata(safetensors.torch.save(vectors, metadata=metadata))

    @classmethod
    def from_bytes(cls, data: bytes) -> StyleReference:
        """Read a reference, trusting nothing in it.

        Raises:
            BankError: It is no style reference, of another schema, or damaged.
        """
        try:
            return cls._parse(data)
        except (SafetensorError, *_NONSENSE) as error:
            raise BankError(
                f"expected a style reference of schema {SCHEMA}, found {error}; evaluate the bank again"
            ) from error

    @classmethod
    def _parse(cls, data: bytes) -> StyleReference:
        metadata = parse_header(data).metadata  # first, since it has limits that the library has not
        vectors = safetensors.torch.load(data)
        if metadata["schema"] != SCHEMA:
            raise ValueError(f"schema {metadata['schema']}")
        facts = json.loads(metadata["reference"])
        mean = vectors["mean"]
        text = vectors["text"]
        if mean.ndim != 1 or mean.shape != text.shape or {mean.dtype, text.dtype} != {torch.float32}:
            raise ValueError(f"vectors {tuple(mean.shape)} {mean.dtype} and {tuple(text.shape)} {text.dtype}")
        if not torch.stack([mean, text]).isfinite().all():
            raise ValueError("vectors that are not finite")
        ceiling = None if facts["ceiling"] is None else float(facts["ceiling"])
        error = float(facts.get("ceiling_error", 0.0))
        if error < 0:
            raise ValueError(f"a ceiling with an error of {error}")
        palette = _parse_palette(facts["palette"])
        tones = [value for tone in palette.tones for value in astuple(tone)]
        if not np.isfinite([*palette.mean, *palette.std, *tones, *palette.lightness, ceiling or 0.0, error]).all():
            raise ValueError("colours or a ceiling that are not finite")
        return cls(str(facts["collection"]), str(facts["scorer"]), mean, text, ceiling, palette, error)


def measure_reference(
    scorer: Scorer,
    collection: str,
    artworks: Sequence[np.ndarray],
    held_out: Sequence[np.ndarray],
    *,
    display_name: str | None = None,
) -> StyleReference:
    """Measure the reference of a collection.

    Args:
        scorer: Embeds the artworks.
        collection: Its id.
        artworks: The training artworks, at least one.
        held_out: Those that are not trained on, for the ceiling. If empty, each artwork is compared with all others.
        display_name: The name that `STYLE_TEXT` gets; the id when None.
    """
    embedded = scorer.embed_images(artworks)  # [n, C]
    ceiling, ceiling_error = _measure_ceiling(embedded, scorer.embed_images(held_out))
    return StyleReference(
        collection=collection,
        scorer=scorer.id,
        mean=embedded.mean(0),
        text=scorer.embed_texts([STYLE_TEXT.format(display_name or collection)])[0],
        ceiling=ceiling,
        palette=Palette.measure(list(artworks)),
        ceiling_error=ceiling_error,
    )


def mix_ceilings(parts: Sequence[tuple[StyleReference, float]]) -> tuple[float | None, float]:
    """Return the ceiling of a mix, None if a part has none, and its standard error; the weights sum to 1."""
    ceilings = [(reference.ceiling, weight) for reference, weight in parts if reference.ceiling is not None]
    if len(ceilings) < len(parts):
        return None, 0.0
    error = float(np.hypot.reduce([reference.ceiling_error * weight for reference, weight in parts]))
    return sum(ceiling * weight for ceiling, weight in ceilings), error


def _measure_ceiling(artworks: Tensor, held_out: Tensor) -> tuple[float | None, float]:
    """Return the mean cosine of held-out embeddings [m, C] with the centroid of the artworks' [n, C], and its error.

    The standard error comes from the spread of the artworks' cosines, each with the centroid of all others, since the
    held-out ones are often too few to have one.
    """
    if len(artworks) < 2:
        return (float((held_out @ artworks[0]).mean()), 0.0) if len(held_out) else (None, 0.0)
    centroids = normalize(artworks.sum(0) - artworks, dim=1)  # [n, C], each of all other artworks
    left_out = (artworks * centroids).sum(1)  # [n]
    own = held_out @ normalize(artworks.mean(0), dim=0) if len(held_out) else left_out
    return float(own.mean()), float(left_out.std() / len(own) ** 0.5)


def _parse_palette(facts: dict[str, Any]) -> Palette:
    tones = [_parse_three([tone["a"], tone["b"], tone["spread"]]) for tone in facts.get("tones", ())]
    lightness = tuple(float(value) for value in facts.get("lightness", ()))
    if (len(tones), len(lightness)) not in ((0, 0), (NUM_TONES, NUM_SHARES)):
        raise ValueError(
            f"expected {NUM_TONES} tones and {NUM_SHARES} lightnesses, found {len(tones)}, {len(lightness)}"
        )
    mean, std = _parse_three(facts["mean"]), _parse_three(facts["std"])
    return Palette(mean, std, tuple(Tone(*tone) for tone in tones), lightness)


def _parse_three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
