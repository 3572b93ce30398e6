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
from artbank.scoring.spread import Ceiling, mix_ceilings
from artbank.scoring.texture import MAX_ARTWORKS, TextureReference, embed_textures
from artbank.store.tensor_files import parse_header, sort_metadata

if TYPE_CHECKING:  # the catalog reads references, and needs no CLIP for that
    from artbank.scoring.clip import Scorer
    from artbank.scoring.style_model import StyleModel

SCHEMA = "artbank.style-reference/1"
STYLE_TEXT = "a painting in the style of {}"

_MOST_PX = 16_384  # of the short side of a picture

# what a value of another kind than expected raises
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class CsdReference:
    """The style embeddings of a collection by the style model of `style_model`.

    Attributes:
        model: Id of the style model.
        mean: [C'], mean of the artworks' unit embeddings; shorter than 1.
        ceiling: The `csd_style` of artworks that are not in `mean`; None if there was only one artwork.
    """

    model: str
    mean: Tensor
    ceiling: Ceiling | None

    @classmethod
    def mix(cls, parts: Sequence[tuple[CsdReference | None, float]]) -> CsdReference | None:
        """Return the weighted mean of references; None if one is missing, or they are of different models."""
        known = [(reference, weight) for reference, weight in parts if reference is not None]
        if len(known) < len(parts) or len({reference.model for reference, _ in known}) > 1:
            return None
        mean = torch.stack([reference.mean * weight for reference, weight in known]).sum(0)
        return cls(known[0][0].model, mean, mix_ceilings([(reference.ceiling, weight) for reference, weight in known]))


@dataclass(frozen=True)
class StyleReference:
    """The embeddings and colours of a collection.

    Attributes:
        collection: Its id, or those of a mix with their weights.
        scorer: Id of the scorer that embedded it.
        mean: [C], mean of the artworks' unit embeddings; shorter than 1.
        text: [C], unit embedding of `STYLE_TEXT` with the collection's name.
        ceiling: The `clip_style` of artworks that are not in `mean`; None if there was only one artwork.
        palette: The artworks' colours, for the colour policy `collection`.
        csd: The artworks by a style model; None if the training had none.
        texture: Their textures; None in references of older versions.
    """

    collection: str
    scorer: str
    mean: Tensor
    text: Tensor
    ceiling: Ceiling | None
    palette: Palette
    csd: CsdReference | None = None
    texture: TextureReference | None = None

    @property
    def centroid(self) -> Tensor:
        """Direction of the collection in CLIP's space, a unit vector [C]."""
        return normalize(self.mean, dim=0)

    def csd_centroid(self, model: str) -> Tensor | None:
        """Direction of the collection in a style model's space, a unit vector; None if that has not measured it."""
        if self.csd is None or self.csd.model != model:
            return None
        return normalize(self.csd.mean, dim=0)

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
        text = torch.stack([reference.text * weight for reference, weight in parts]).sum(0)
        return cls(
            collection="+".join(f"{reference.collection}:{weight:g}" for reference, weight in parts),
            scorer=references[0].scorer,
            mean=torch.stack([reference.mean * weight for reference, weight in parts]).sum(0),
            text=normalize(text, dim=0),
            ceiling=mix_ceilings([(reference.ceiling, weight) for reference, weight in parts]),
            palette=Palette.mix([(reference.palette, weight) for reference, weight in parts]),
            csd=CsdReference.mix([(reference.csd, weight) for reference, weight in parts]),
            texture=TextureReference.mix([(reference.texture, weight) for reference, weight in parts]),
        )

    def to_bytes(self) -> bytes:
        """Return the reference as a safetensors file: the vectors as tensors, all else as JSON in its header."""
        facts = {"collection": self.collection, "scorer": self.scorer, **_ceiling_facts(self.ceiling)}
        palette = asdict(self.palette)
        vectors = {"mean": self.mean.contiguous(), "text": self.text.contiguous()}
        if self.csd is not None:  # else the bytes are those of versions that had none
            facts["csd"] = {"model": self.csd.model, **_ceiling_facts(self.csd.ceiling)}
            vectors["csd_mean"] = self.csd.mean.contiguous()
        if self.texture is not None:
            facts["texture"] = {"short_px": self.texture.short_px, **_ceiling_facts(self.texture.ceiling)}
            vectors["texture_mean"] = self.texture.mean.contiguous()
        metadata = {"schema": SCHEMA, "reference": json.dumps({**facts, "palette": palette})}
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
        _check_vectors(mean, text)
        ceiling = _parse_ceiling(facts)
        palette = _parse_palette(facts["palette"])
        tones = [value for tone in palette.tones for value in astuple(tone)]
        if not np.isfinite([*palette.mean, *palette.std, *tones, *palette.lightness]).all():
            raise ValueError("colours that are not finite")
        csd = _parse_csd(facts["csd"], vectors["csd_mean"]) if "csd" in facts else None
        texture = _parse_texture(facts["texture"], vectors["texture_mean"], mean) if "texture" in facts else None
        return cls(str(facts["collection"]), str(facts["scorer"]), mean, text, ceiling, palette, csd, texture)


def measure_reference(
    scorer: Scorer,
    collection: str,
    artworks: Sequence[np.ndarray],
    held_out: Sequence[np.ndarray],
    *,
    display_name: str | None = None,
    style_model: StyleModel | None = None,
    texture_px: int | None = None,
    palette: Palette | None = None,
) -> StyleReference:
    """Measure the reference of a collection.

    Args:
        scorer: Embeds the artworks.
        collection: Its id.
        artworks: The training artworks, at least one.
        held_out: Those that are not trained on, for the ceiling. If empty, each artwork is compared with all others.
        display_name: The name that `STYLE_TEXT` gets; the id when None.
        style_model: Embeds the artworks for `csd_style`; None for none.
        texture_px: Short side at which their textures are seen for `clip_texture`, px; None for no textures.
        palette: The artworks' colours if they are known; else they are measured.
    """
    embedded = scorer.embed_images(artworks)  # [n, C]
    return StyleReference(
        collection=collection,
        scorer=scorer.id,
        mean=embedded.mean(0),
        text=scorer.embed_texts([STYLE_TEXT.format(display_name or collection)])[0],
        ceiling=_measure_ceiling(embedded, scorer.embed_images(held_out)),
        palette=palette or Palette.measure(list(artworks)),
        csd=None if style_model is None else _measure_csd(style_model, artworks, held_out),
        texture=None if texture_px is None else _measure_texture(scorer, artworks, held_out, texture_px),
    )


def _measure_texture(
    scorer: Scorer, artworks: Sequence[np.ndarray], held_out: Sequence[np.ndarray], short_px: int
) -> TextureReference:
    def embed(pictures: Sequence[np.ndarray]) -> Tensor:
        planes = [torch.tensor(picture).permute(2, 0, 1) for picture in _choose_evenly(pictures)]
        return embed_textures(scorer, planes, short_px)

    learned = embed(artworks)
    others = embed(held_out)
    return TextureReference(short_px, learned.mean(0), _measure_ceiling(learned, others))


def _choose_evenly(artworks: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Return at most `MAX_ARTWORKS` of them."""
    return artworks[:: -(-len(artworks) // MAX_ARTWORKS) or 1]


def _measure_csd(
    style_model: StyleModel, artworks: Sequence[np.ndarray], held_out: Sequence[np.ndarray]
) -> CsdReference:
    embedded = style_model.embed_images(artworks)
    ceiling = _measure_ceiling(embedded, style_model.embed_images(held_out))
    return CsdReference(style_model.id, embedded.mean(0), ceiling)


def _measure_ceiling(artworks: Tensor, held_out: Tensor) -> Ceiling | None:
    """Return the mean cosine of held-out embeddings [m, C] with the centroid of the artworks' [n, C].

    The standard error comes from the spread of the artworks' cosines, each with the centroid of all others, since the
    held-out ones are often too few to have one.
    """
    if len(artworks) < 2:
        return Ceiling(float((held_out @ artworks[0]).mean())) if len(held_out) else None
    centroids = normalize(artworks.sum(0) - artworks, dim=1)  # [n, C], each of all other artworks
    left_out = (artworks * centroids).sum(1)  # [n]
    agreement = held_out @ normalize(artworks.mean(0), dim=0) if len(held_out) else left_out
    return Ceiling(float(agreement.mean()), float(left_out.std() / len(agreement) ** 0.5))


def _check_vectors(*vectors: Tensor) -> None:
    """Check that vectors are finite float32 of one length; raises a ValueError."""
    if any(vector.ndim != 1 or vector.shape != vectors[0].shape or vector.dtype != torch.float32 for vector in vectors):
        found = " and ".join(f"{tuple(vector.shape)} {vector.dtype}" for vector in vectors)
        raise ValueError(f"vectors {found}")
    if not torch.stack(vectors).isfinite().all():
        raise ValueError("vectors that are not finite")


def _parse_csd(facts: dict[str, Any], mean: Tensor) -> CsdReference:
    _check_vectors(mean)
    return CsdReference(str(facts["model"]), mean, _parse_ceiling(facts))


def _parse_texture(facts: dict[str, Any], mean: Tensor, clip_mean: Tensor) -> TextureReference:
    _check_vectors(clip_mean, mean)
    short_px = int(facts["short_px"])
    if not 1 <= short_px <= _MOST_PX:
        raise ValueError(f"textures seen at {short_px} px")
    return TextureReference(short_px, mean, _parse_ceiling(facts))


def _ceiling_facts(ceiling: Ceiling | None) -> dict[str, Any]:
    return {"ceiling": None} if ceiling is None else {"ceiling": ceiling.mean, "ceiling_error": ceiling.error}


def _parse_ceiling(facts: dict[str, Any]) -> Ceiling | None:
    if facts["ceiling"] is None:
        return None
    ceiling = Ceiling(float(facts["ceiling"]), float(facts.get("ceiling_error", 0.0)))
    if not np.isfinite(ceiling).all() or ceiling.error < 0:
        raise ValueError(f"a ceiling of {ceiling.mean} with an error of {ceiling.error}")
    return ceiling


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
