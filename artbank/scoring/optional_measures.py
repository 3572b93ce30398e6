"""The scores of the optional models of a run: structure by a DINOv2, style by a CSD.

Shape legend: pictures uint8 [3, h, w] sRGB; C dimensions of the style model's space.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from artbank.scoring.structure_model import SelfSimilarity, StructureModel
from artbank.scoring.style_model import StyleModel
from artbank.scoring.style_reference import StyleReference

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OptionalScores:
    """Scores of one picture by optional models, named as the columns of `Result`; None where there is no model.

    `csd_style_floor` is the `csd_style` of the photo itself. Both are None if the style's bank was not measured by the
    run's style model.
    """

    dino_structure: float | None = None
    structure_model: str | None = None
    csd_style: float | None = None
    csd_style_floor: float | None = None
    style_model: str | None = None


@dataclass(frozen=True)
class PhotoView:
    """A photo as the optional models see it, once for all its styles.

    Attributes:
        structure: By the structure model; None without one.
        style: Unit embedding [C] by the style model; None without one.
    """

    structure: SelfSimilarity | None
    style: Tensor | None


class OptionalMeasures:
    """The optional models of a run, each of which may be None."""

    def __init__(self, structure_model: StructureModel | None, style_model: StyleModel | None):
        """Score with some models."""
        self._structure_model = structure_model
        self._style_model = style_model

    def view(self, photos: Sequence[Tensor]) -> list[PhotoView]:
        """Look at photos uint8 [3, h, w] on any device; no view depends on the other photos."""
        structures = self._structure_model.describe(photos) if self._structure_model else [None] * len(photos)
        styles = self._style_model.embed_tensors(photos) if self._style_model else [None] * len(photos)
        return [PhotoView(*both) for both in zip(structures, styles, strict=True)]

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
        return [
            OptionalScores(
                dino_structure=structure,
                structure_model=self._structure_model and self._structure_model.id,
                csd_style=style,
                csd_style_floor=floor,
                style_model=self._style_model and self._style_model.id,
            )
            for structure, (style, floor) in zip(structures, styles, strict=True)
        ]

    def warn_of(self, style: str, reference: StyleReference) -> None:
        """Log that a style gets no `csd_style`, if its banks were not measured by the run's style model."""
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
