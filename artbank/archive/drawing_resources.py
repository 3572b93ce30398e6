"""The models and styles with which photos are drawn and scored, whether of an archive or a few in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.compilation import Compiler
from artbank.images.codec_jobs import DecodeOptions
from artbank.parameters.run_config import RunConfig
from artbank.recipes import StylizeRecipe
from artbank.scoring.clip import Scorer, load_scorer
from artbank.scoring.optional_measures import OptionalMeasures
from artbank.scoring.structure_model import StructureModel
from artbank.scoring.style_model import load_style_model
from artbank.scoring.style_reference import StyleReference
from artbank.stylization.controls import NO_CONTROLS, Controls
from artbank.stylization.further_drawings import list_stronger
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

logger = logging.getLogger(__name__)

_BATCH = 8  # on two cores more than four gain little
BATCH_ON_CUDA = 16
"""Photos in a batch on CUDA; never measured. A batch that does not fit is halved."""


@dataclass(frozen=True)
class DrawingResources:
    """Stylizers, scorer and references of some styles and one recipe.

    Attributes:
        recipe: How pictures are drawn.
        drawings: The stylizers of all candidates, for the first drawing of a photo and for each further one that
            `reach_style` may take.
        references: The style reference of each style by name.
        scorer: Measured the references.
        measures: The optional models.
    """

    recipe: StylizeRecipe
    drawings: Sequence[Sequence[Stylizer]]
    references: Mapping[str, StyleReference]
    scorer: Scorer
    measures: OptionalMeasures

    @classmethod
    def load(
        cls,
        config: RunConfig,
        base: BaseModel,
        styles: Sequence[tuple[Style, StyleReference]],
        recipe: StylizeRecipe,
        structure_model: StructureModel | None = None,
        controls: Controls = NO_CONTROLS,
        *,
        with_texture: bool = False,
    ) -> DrawingResources:
        """Encode the prompts of some styles, and load the models that score pictures.

        Args:
            config: Names the models and the device.
            base: The base model of that config.
            styles: With the references of their collections.
            recipe: How to draw.
            structure_model: Scores `dino_structure`; None for none.
            controls: ControlNets for the base model.
            with_texture: Score `clip_texture`, too.

        Raises:
            BankError: A bank was trained on another base model.
            BaseModelError: A model that scores pictures is missing or damaged.
            ConfigError: The recipe needs a collection's colours, and a style has none.
            OSError: The store or the hub failed.
        """
        references = {style.name: reference for style, reference in styles}
        stylizer = Stylizer(base, [style for style, _ in styles], recipe, controls)
        base.warn_of_size(stylizer.short_px)
        if recipe.reach_style is not None:
            _warn_of_missing_ceilings(references)
        scorer = load_scorer(config)
        texture_scorer = scorer if with_texture else None
        measures = OptionalMeasures(structure_model, load_style_model(config), texture_scorer, references.values())
        for name, reference in references.items():
            measures.warn_of(name, reference)
        return cls(recipe, _prepare_drawings(stylizer, recipe), references, scorer, measures)

    @property
    def stylizer(self) -> Stylizer:
        """The stylizer of the recipe's own settings."""
        return self.drawings[0][0]

    @property
    def compiler(self) -> Compiler:
        """Decides what is compiled, by the pictures that are drawn and left."""
        return self.stylizer.base.compiler

    def choose_batch_size(self, wanted: int | None) -> int:
        """Return how many photos go through the model at once: as many as wanted, or what suits the device."""
        return wanted or (BATCH_ON_CUDA if self.stylizer.base.device.type == "cuda" else _BATCH)


def make_decode_options(config: RunConfig, recipe: StylizeRecipe, stylizer: Stylizer, seconds: float) -> DecodeOptions:
    """Return how photos are decoded for a recipe.

    Args:
        config: Has the limits of their size.
        recipe: How they are drawn.
        stylizer: Has the working size.
        seconds: Time limit for one photo, where another process decodes it.
    """
    return DecodeOptions(
        max_pixels=config.max_pixels,
        alpha=recipe.alpha,
        size=recipe.size,
        short_px=stylizer.short_px,
        multiple_px=stylizer.base.size_multiple_px,
        seconds=seconds,
        mark=recipe.mark,
        metadata=recipe.metadata,
        detail=recipe.adds_detail,
        description=recipe.photo_captions,
        max_aspect=stylizer.max_aspect,
        control_kinds=stylizer.controls.drawn_kinds,
    )


def _prepare_drawings(stylizer: Stylizer, recipe: StylizeRecipe) -> list[list[Stylizer]]:
    seeds = range(recipe.seed, recipe.seed + recipe.candidates)
    return [
        [stylizer.with_settings(seed=seed, structure=drawn.structure, strength=drawn.strength) for seed in seeds]
        for drawn in (recipe, *list_stronger(recipe))
    ]


def _warn_of_missing_ceilings(references: Mapping[str, StyleReference]) -> None:
    for name, reference in references.items():
        if reference.ceiling is None:
            logger.warning(
                "style %s: its style gain cannot be measured, because a collection of it has only one artwork; "
                "reach_style has no effect on its pictures",
                name,
            )
