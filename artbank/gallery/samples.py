"""What a new bank makes of a few drawn photographs, when it is finished and while it was trained.

The photographs are drawn by code, so that every bank is shown on the same ones wherever it is trained.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.images.framing import Photo
from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.recipes import StylizeRecipe, count_evaluations
from artbank.scoring.clip import Scorer
from artbank.scoring.scores import Scores, score
from artbank.scoring.spread import Spread, summarize
from artbank.scoring.style_reference import StyleReference
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

MILESTONE_RECIPE = StylizeRecipe(preset="fast")
_NUM_MILESTONE_PHOTOS = 2
_SCENE_SEED = 40_000_000  # of the drawn photographs that samples are made of: in no corpus and in no demo


@dataclass(frozen=True)
class SampleSet:
    """Pictures made with a bank, the photographs they were made of, what these show, their scores, and what one took.

    `seconds` are those of one picture, after the model had drawn another; `evaluations` those of the UNet for it.
    """

    photos: list[np.ndarray]
    subjects: list[str]
    pictures: list[np.ndarray]
    scores: list[Scores]
    seconds: float
    evaluations: int

    @property
    def clip_style(self) -> float:
        """Mean `clip_style` of the pictures."""
        return fmean(one.clip_style for one in self.scores)

    def spread(self, reference: StyleReference) -> Spread:
        """Return their `clip_style` as a whole, beside what the photographs have and what artworks have."""
        floor = fmean(one.clip_style_floor for one in self.scores)
        return summarize([one.clip_style for one in self.scores], floor, reference.ceiling)


def draw_samples(
    base: BaseModel,
    scorer: Scorer,
    banks: Sequence[Bank],
    reference: StyleReference,
    count: int,
    recipe: StylizeRecipe | None = None,
) -> list[SampleSet]:
    """Stylize `count` drawn photographs with each of some banks of one collection, and score them.

    Args:
        base: What the banks were trained on.
        scorer: Measured the reference.
        banks: At least one.
        reference: Of their collection.
        count: Photographs; the same for every count, as far as they go.
        recipe: How; the default recipe when None.
    """
    photos, subjects = draw_photos(base.native_px, count)
    styles = [Style(str(number), ((bank, 1.0),), reference.palette) for number, bank in enumerate(banks)]
    stylizer = Stylizer(base, styles, recipe or StylizeRecipe())
    fitted = [stylizer.prepare(str(i), photo) for i, photo in enumerate(photos)]
    _warm_up(stylizer, fitted[0])
    start = time.monotonic()
    drawn = {(one.style, one.key): one.rgb for one in stylizer.stylize(fitted)}
    seconds, evaluations = (time.monotonic() - start) / len(drawn), count_evaluations(stylizer.recipe)
    samples = []
    for style in styles:
        found = [drawn[style.name, str(i)] for i in range(count)]
        pictures = [np.zeros_like(p) if rgb is None else rgb for rgb, p in zip(found, photos, strict=True)]
        scores = score(scorer, reference, photos, pictures)
        samples.append(SampleSet(photos, subjects, pictures, scores, seconds, evaluations))
    return samples


def draw_milestones(
    base: BaseModel, scorer: Scorer, bank: Bank, reference: StyleReference, milestones: Mapping[int, Tensor]
) -> dict[int, SampleSet]:
    """Stylize a few drawn photographs with what a bank was at some steps, by few evaluations of the network.

    Args:
        base: What the bank was trained on.
        scorer: Measured the reference.
        bank: The finished bank, which is the entry of its best step.
        reference: Of its collection.
        milestones: Its vectors [N, D] by step.

    Returns:
        By step; empty where there are no milestones.
    """
    if not milestones:
        return {}
    best = int(bank.metrics.get("best_step") or 0)
    vectors = dict(sorted({**milestones, best: bank.vectors}.items()))
    banks = [replace(bank, vectors=own) for own in vectors.values()]
    found = draw_samples(base, scorer, banks, reference, _NUM_MILESTONE_PHOTOS, MILESTONE_RECIPE)
    return dict(zip(vectors, found, strict=True))


def draw_photos(side_px: int, count: int) -> tuple[list[np.ndarray], list[str]]:
    """Return the first of the drawn photographs, uint8 [S, S, 3], and what they show."""
    subjects = [SUBJECTS[i * 4 % len(SUBJECTS)] for i in range(count)]
    scenes = [draw_scene(_SCENE_SEED + i, own, width_px=side_px, height_px=side_px) for i, own in enumerate(subjects)]
    return [scene.image for scene in scenes], subjects


_WARM: set[str] = set()  # hashes of the base models that have drawn in this process


def _warm_up(stylizer: Stylizer, photo: Photo) -> None:
    """Draw a picture for nothing, once in a process: the first one takes what others do not, above all on CUDA."""
    if stylizer.base.hash not in _WARM:
        _WARM.add(stylizer.base.hash)
        list(stylizer.stylize([photo]))
