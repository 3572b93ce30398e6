"""The optional scores of a run: structure by a DINOv2, style by a CSD, texture by the scorer.

Shape legend: pictures uint8 [3, h, w] sRGB; C dimensions of the style model's space, or of the scorer's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from artbank.scoring.clip import Scorer
from artbank.scoring.structure_model import SelfSimilarity, StructureModel
from artbank.scoring.style_model import StyleModel
from artbank.scoring.style_reference import StyleReference
from artbank.scoring.texture import embed_textures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OptionalScores:
    """Optional scores of one picture, named as the columns of `Result`; None where they were not asked for.

    `csd_style_floor` is the `csd_style` of the photo itself. Both are None if the style's bank was not measured by the
    run's style model. The same holds for `clip_texture` and banks without textures.
    """

    dino_structure: float | None = None
    structure_model: str | None = None
    csd_style: float | None = None
    csd_style_floor: float | None = None
    style_model: str | None = None
    clip_texture: float | None = None
    clip_texture_floor: float | None = None


@dataclass(frozen=True)
class PhotoView:
    """A photo as the optional scores see it, once for all its styles.

    Attributes:
        structure: By the structure model; None without one.
        style: Unit embedding [C] by the style model; None without one.
        textures: Unit embeddings [C] of its texture, by the short side at which it was seen, px.
    """

    structure: SelfSimilarity | None
    style: Tensor | None
    textures: Mapping[int, Tensor]


class OptionalMeasures:
    """The optional scores of a run."""

    def __init__(
        self,
        structure_model: StructureModel | None,
        style_model: StyleModel | None,
        texture_scorer: Scorer | None = None,
        references: Iterable[StyleReference] = (),
    ):
        """Score with some models.

        Args:
            structure_model: Scores `dino_structure`; None for none.
            style_model: Scores `csd_style`; None for none.
            texture_scorer: Scores `clip_texture`; None for none.
            references: The styles of the run.
        """
        self._structure_model = structure_model
        self._style_model = style_model
        self._texture_scorer = texture_scorer
        self._texture_sizes = sorted({reference.texture.short_px for reference in references if reference.texture})

    def view(self, photos: Sequence[Tensor]) -> list[PhotoView]:
        """Look at photos uint8 [3, h, w] on any device; no view depends on the other photos."""
        structures = self._structure_model.describe(photos) if self._structure_model else [None] * len(photos)
        styles = self._style_model.embed_tensors(photos) if self._style_model else [None] * len(photos)
        textures = [{} for _ in photos]
        if self._texture_scorer is not None:
            for short_px in self._texture_sizes:
                embedded = embed_textures(self._texture_scorer, photos, short_px)
                for by_size, texture in zip(textures, embedded, strict=True):
                    by_size[short_px] = texture
        return [PhotoView(*view) for view in zip(structures, styles, textures, strict=True)]

    def score(
        self, reference: StyleReference, views: Sequence[PhotoView], pictures: Sequence[Tensor]
    ) -> list[OptionalScores]:
        """Score pictures of one style; no score depends on the other pictures.

        Args:
            reference: The style.
            views: The photo of each picture.
            pictures: uint8 [3, h, w] on any device.
        """
        structures = self._score_structure(views, pictures)
        styles = self._score_style(reference, views, pictures)
        textures = self._score_texture(reference, views, pictures)
        return [
            OptionalScores(
                dino_structure=structure,
                structure_model=self._structure_model and self._structure_model.id,
                csd_style=style,
                csd_style_floor=floor,
                style_model=self._style_model and self._style_model.id,
                clip_texture=texture,
                clip_texture_floor=texture_floor,
            )
            for structure, (style, floor), (texture, texture_floor) in zip(structures, styles, textures, strict=True)
        ]

    def warn_of(self, style: str, reference: StyleReference) -> None:
        """Log which scores that were asked for a style does not get, since its banks have no measure of them."""
        if self._texture_scorer is not None and reference.texture is None:
            logger.warning(
                "style %s gets no clip_texture: its banks are of a version of artbank that measured no textures, or of "
                "different sizes; train them again with --force and one --resolution-px",
                style,
            )
        if self._style_model is None or reference.csd_centroid(self._style_model.id) is not None:
            return
        found = f"style model {reference.csd.model}" if reference.csd else "no style model"
        logger.warning(
            "style %s gets no csd_style: expected banks measured by style model %s, found %s; "
            "train them with --style-model and --force",
            style,
            self._style_model.id,
            found,
        )

    def _score_structure(self, views: Sequence[PhotoView], pictures: Sequence[Tensor]) -> Sequence[float | None]:
        if self._structure_model is None:
            return [None] * len(pictures)
        photos = [view.structure for view in views if view.structure is not None]
        return self._structure_model.compare(photos, pictures)

    def _score_style(
        self, reference: StyleReference, views: Sequence[PhotoView], pictures: Sequence[Tensor]
    ) -> Sequence[tuple[float | None, float | None]]:
        """Return `csd_style` and its floor for each picture."""
        centroid = self._style_model and reference.csd_centroid(self._style_model.id)
        if self._style_model is None or centroid is None:
            return [(None, None)] * len(pictures)
        scores = (self._style_model.embed_tensors(pictures) @ centroid).tolist()
        floors = [float(view.style @ centroid) for view in views if view.style is not None]
        return list(zip(scores, floors, strict=True))

    def _score_texture(
        self, reference: StyleReference, views: Sequence[PhotoView], pictures: Sequence[Tensor]
    ) -> Sequence[tuple[float | None, float | None]]:
        """Return `clip_texture` and its floor for each picture."""
        texture = reference.texture
        if self._texture_scorer is None or texture is None:
            return [(None, None)] * len(pictures)
        embedded = embed_textures(self._texture_scorer, pictures, texture.short_px)
        scores = (embedded * texture.centroid).sum(1).tolist()
        floors = [float((view.textures[texture.short_px] * texture.centroid).sum()) for view in views]
        return list(zip(scores, floors, strict=True))
