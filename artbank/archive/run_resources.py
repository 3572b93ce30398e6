"""The resources of a run that a worker process loads once and keeps between shards."""

from __future__ import annotations

import logging

from artbank.archive.photo_reader import PhotoReader
from artbank.archive.plan import StylizePlan
from artbank.archive.stores import RunStores
from artbank.archive.style_leases import WriteGuard
from artbank.archive.styles import load_style
from artbank.config import StylizeConfig
from artbank.diffusion.base_model import load_base_model
from artbank.errors import BaseModelError
from artbank.images.pool import DecodeOptions, open_codec_pool
from artbank.results.manifest import Manifest
from artbank.runtime.load_once import LoadOnce
from artbank.scoring.clip import load_scorer
from artbank.scoring.optional_measures import OptionalMeasures
from artbank.scoring.structure_model import load_structure_model
from artbank.scoring.style_model import load_style_model
from artbank.stylization.further_drawings import list_stronger
from artbank.stylization.stylizer import Stylizer

logger = logging.getLogger(__name__)

_BATCH = 8  # on two cores more than four gain little
_BATCH_ON_CUDA = 16  # never measured


class RunResources:
    """Stores, model, styles, scorer and decoder pool of one run, loaded once per process.

    `drawings` has the stylizers of all candidates, for the first drawing of a photo and for each further one that
    `reach_style` may take.
    """

    def __init__(self, config: StylizeConfig, plan: StylizePlan):
        """Load everything.

        Raises:
            BankError: A bank is missing, damaged, or was trained on another base model.
            BaseModelError: The base model is missing, or differs from the one that the run was planned with.
            OSError: The store failed.
        """
        self.config = config
        self.plan = plan
        self.stores = RunStores.open(config)
        self.choices = {choice.name: choice for choice in plan.styles}
        loaded = [load_style(self.stores.banks, choice) for choice in plan.styles]
        self.references = {style.name: reference for style, reference in loaded}
        base = load_base_model(config)
        if base.hash != plan.base_model_hash:
            raise BaseModelError(
                f"expected the base model {config.base_model} of hash {plan.base_model_hash[:12]} that this run was "
                f"planned with, found {base.hash[:12]}; give all machines the same files"
            )
        self.stylizer = Stylizer(base, [style for style, _ in loaded], config.recipe)
        base.warn_of_size(self.stylizer.short_px)
        self.drawings = self._prepare_drawings()
        self.scorer = load_scorer(config)
        self.measures = OptionalMeasures(load_structure_model(config), load_style_model(config))
        for name, reference in self.references.items():
            self.measures.warn_of(name, reference)
        self.codecs = open_codec_pool()
        self.batch_size = config.batch_size or (_BATCH_ON_CUDA if base.device.type == "cuda" else _BATCH)
        self.reader = PhotoReader(
            self.stores.archive,
            self.codecs,
            self._decode_options(),
            max_bytes=config.max_bytes,
            count=2 * self.batch_size,
        )
        self._manifest: Manifest | None = None
        self._guard = WriteGuard(self.stores.output, plan.run_id, [style.name for style in plan.styles])

    def open_manifest(self, manifest_id: str) -> Manifest:
        """Return the manifest of the run, opened once for all of its shards."""
        if self._manifest is None or self._manifest.id != manifest_id:
            self._manifest = Manifest.open(self.stores.output, manifest_id)
        return self._manifest

    def check_lease(self) -> None:
        """Check before a write that the run still holds the leases of its styles, if it has any.

        Raises:
            ResultsError: Another run has taken over a style of this run.
            OSError: The store failed.
        """
        if self.plan.is_leased:
            self._guard.check()

    def _prepare_drawings(self) -> list[list[Stylizer]]:
        recipe = self.config.recipe
        seeds = range(recipe.seed, recipe.seed + recipe.candidates)
        if recipe.reach_style is not None:
            self._warn_of_missing_ceilings()
        return [
            [self.stylizer.with_settings(seed=seed, structure=one.structure, strength=one.strength) for seed in seeds]
            for one in (recipe, *list_stronger(recipe))
        ]

    def _warn_of_missing_ceilings(self) -> None:
        for name, reference in self.references.items():
            if reference.ceiling is None:
                logger.warning(
                    "style %s: its style gain cannot be measured, because a collection of it has only one artwork; "
                    "reach_style has no effect on its pictures",
                    name,
                )

    def _decode_options(self) -> DecodeOptions:
        return DecodeOptions(
            max_pixels=self.config.max_pixels,
            alpha=self.config.recipe.alpha,
            size=self.config.recipe.size,
            short_px=self.stylizer.short_px,
            multiple_px=self.stylizer.base.size_multiple_px,
            seconds=self.config.decode_seconds,
            mark=self.config.recipe.mark,
            metadata=self.config.recipe.metadata,
            detail=self.config.recipe.adds_detail,
            max_aspect=self.stylizer.max_aspect,
        )


@LoadOnce
def load_resources(config: StylizeConfig, plan: StylizePlan) -> RunResources:
    """Return the resources of a run, which all its shards in this process share."""
    return RunResources(config, plan)
