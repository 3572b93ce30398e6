"""Draw pictures with a new bank: its samples when it is finished, and its milestones during training.

They are made of photographs that are drawn by code, so that every bank is shown on the same ones on every machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.bank.lora_bank import AnyBank
from artbank.diffusion.base_model import BaseModel
from artbank.images.framing import Photo
from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.parameters.recipe_costs import estimate_cost
from artbank.recipes import StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.recoloured import score_recoloured
from artbank.scoring.scores import Scores, score
from artbank.scoring.spread import ScoreBounds, Spread, summarize
from artbank.scoring.style_reference import StyleReference
from artbank.stylization.controls import load_default_controls
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

MILESTONE_RECIPE = StylizeRecipe(preset="fast")
_NUM_MILESTONE_PHOTOS = 2
_SCENE_SEED = 40_000_000  # of the drawn photographs; in no training corpus and in no demo


@dataclass(frozen=True)
class SampleSet:
    """Samples of one bank: pictures, the photographs they were made of, and their scores.

    Attributes:
        photos: The photographs, uint8 [S, S, 3].
        subjects: What each photograph shows, in words.
        pictures: The pictures, uint8 [S, S, 3]; black where the model gave none.
        scores: The scores of each picture; None where the model gave none.
        recoloured: The `clip_style` of each photograph in the colours of the artworks, with nothing painted.
        seconds: Seconds for one picture, with a model that has drawn before.
        evaluations: UNet evaluations for one picture.
    """

    photos: list[np.ndarray]
    subjects: list[str]
    pictures: list[np.ndarray]
    scores: list[Scores | None]
    recoloured: list[float]
    seconds: float
    evaluations: int

    @property
    def num_failed(self) -> int:
        """Number of photographs of which the model gave no picture."""
        return sum(scores is None for scores in self.scores)

    @property
    def clip_style(self) -> float | None:
        """Mean `clip_style` of the pictures; None if there are none."""
        drawn = [scores.clip_style for scores in self.scores if scores]
        return fmean(drawn) if drawn else None

    @property
    def clip_style_recoloured(self) -> float | None:
        """Mean of `recoloured`, of those photographs that have a picture; None if none has."""
        of_drawn = [score for score, scores in zip(self.recoloured, self.scores, strict=True) if scores]
        return fmean(of_drawn) if of_drawn else None

    def spread(self, reference: StyleReference) -> Spread:
        """Summarize `clip_style` of the pictures, between that of their photographs and that of artworks."""
        drawn = [scores for scores in self.scores if scores]
        floor = fmean(scores.clip_style_floor for scores in drawn) if drawn else None
        return summarize([scores.clip_style for scores in drawn], ScoreBounds(floor, reference.ceiling))

    def gain_beyond_colours(self, reference: StyleReference) -> float | None:
        """Return the gain of `clip_style` above the photographs in the artworks' colours; see `ScoreBounds.gain`."""
        bounds = ScoreBounds(self.clip_style_recoloured, reference.ceiling)
        return None if self.clip_style is None else bounds.gain(self.clip_style)


class SampleDrawer:
    """Draws samples with one base model and scores them.

    The first picture of a model takes longer, above all on CUDA. So the drawer draws one picture for nothing before it
    measures the first time.
    """

    def __init__(self, base: BaseModel, scorer: Scorer):
        """Make a drawer for banks of `base` and for references that `scorer` measured."""
        self.base = base
        self.scorer = scorer
        self._is_warm = False

    def draw_samples(
        self, banks: Sequence[AnyBank], reference: StyleReference, count: int, recipe: StylizeRecipe | None = None
    ) -> list[SampleSet]:
        """Stylize drawn photographs with each of some banks of one collection.

        Args:
            banks: At least one.
            reference: The style reference of their collection.
            count: Number of photographs; a larger number only adds photographs.
            recipe: How to stylize; the default recipe when None. The ControlNets are those of a run that names none.
        """
        recipe = recipe or StylizeRecipe()
        photos, subjects = draw_photos(self.base.native_px, count)
        styles = [Style(str(number), ((bank, 1.0),), reference.palette) for number, bank in enumerate(banks)]
        stylizer = Stylizer(self.base, styles, recipe, load_default_controls(self.base, recipe))
        prepared = [stylizer.prepare(str(i), photo) for i, photo in enumerate(photos)]
        self._warm_up(stylizer, prepared[0])
        start = time.monotonic()
        drawn = {(picture.style, picture.key): picture.rgb for picture in stylizer.stylize(prepared)}
        seconds = (time.monotonic() - start) / len(drawn)
        tensors = [torch.from_numpy(photo).permute(2, 0, 1) for photo in photos]
        recoloured = score_recoloured(self.scorer, reference, tensors)
        sample_sets = []
        for style in styles:
            images = [drawn[style.name, str(i)] for i in range(len(photos))]
            pictures = [np.zeros_like(photo) if rgb is None else rgb for photo, rgb in zip(photos, images, strict=True)]
            scores = score(self.scorer, reference, photos, pictures)
            known = [
                None if rgb is None else picture_scores for rgb, picture_scores in zip(images, scores, strict=True)
            ]
            evaluations = round(estimate_cost(stylizer.recipe))
            sample_sets.append(SampleSet(photos, subjects, pictures, known, recoloured, seconds, evaluations))
        return sample_sets

    def draw_milestones(
        self, bank: AnyBank, reference: StyleReference, milestones: Mapping[int, Tensor]
    ) -> dict[int, SampleSet]:
        """Stylize a few drawn photographs with the vectors that a bank had at some steps, by a fast recipe.

        Args:
            bank: The finished bank, which is the milestone of its best step.
            reference: The style reference of its collection.
            milestones: Its vectors [N, D] by step; a bank of kind lora has none.

        Returns:
            Samples by step; empty if there are no milestones.
        """
        if not milestones or not isinstance(bank, Bank):
            return {}
        best_step = int(bank.metrics.get("best_step") or 0)
        vectors = dict(sorted({**milestones, best_step: bank.vectors}.items()))
        banks = [replace(bank, vectors=step_vectors) for step_vectors in vectors.values()]
        sample_sets = self.draw_samples(banks, reference, _NUM_MILESTONE_PHOTOS, MILESTONE_RECIPE)
        return dict(zip(vectors, sample_sets, strict=True))

    def _warm_up(self, stylizer: Stylizer, photo: Photo) -> None:
        if not self._is_warm:
            self._is_warm = True
            list(stylizer.stylize([photo]))


def draw_photos(side_px: int, count: int) -> tuple[list[np.ndarray], list[str]]:
    """Return the first `count` drawn photographs, uint8 [S, S, 3], and their subjects in words."""
    subjects = [SUBJECTS[i * 4 % len(SUBJECTS)] for i in range(count)]
    photos = [
        draw_scene(_SCENE_SEED + i, subject, width_px=side_px, height_px=side_px).image
        for i, subject in enumerate(subjects)
    ]
    return photos, subjects
