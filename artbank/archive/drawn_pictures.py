"""Pictures on their way through a shard: drawn, scored, and the one of several that is kept.

Pictures are uint8 [h, w, 3] sRGB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from artbank.archive.photo_reader import DecodedPhoto
from artbank.errors import ImageError
from artbank.images.codec_jobs import EncodeJob
from artbank.images.framing import Photo
from artbank.recipes import StylizeRecipe
from artbank.scoring.optional_measures import OptionalScores
from artbank.scoring.scores import Cosines, rate_candidate
from artbank.scoring.spread import Ceiling, ScoreBounds
from artbank.stylization.stylizer import Stylized

NO_CEILING = "its style gain cannot be measured: the collection has only one artwork"
NO_ROOM = "its style gain cannot be measured: the photo scores nearly as high as other works of the collection"


@dataclass(frozen=True)
class DrawnBatch:
    """The pictures of some photos of equal size, in all their styles.

    Attributes:
        photos: By key.
        composition: What was drawn, in order: these photos, and blank ones in place of the rest of the batch.
        styles: In the order of the request.
        pictures: The pictures that were drawn without an error, all candidates of a photo.
        failures: The reason for each photo and style without a picture.
        seconds: Device seconds for each photo and style.
    """

    photos: Mapping[str, DecodedPhoto]
    composition: Sequence[Photo]
    styles: Sequence[str]
    pictures: Sequence[Stylized]
    failures: Mapping[tuple[str, str], ImageError]
    seconds: float


@dataclass(frozen=True)
class StyleReach:
    """The settings of a picture, and whether they reach the recipe's `reach_style`.

    Attributes:
        structure: 0..1.
        strength: Above 0, up to 1.
        gain: Style gain of the picture; None if it cannot be measured.
        is_reached: Whether the gain is as high as it must be; True if it cannot be measured.
        note: The reason that it cannot be measured, as a sentence; empty if it can.
    """

    structure: float
    strength: float
    gain: float | None
    is_reached: bool
    note: str = ""


@dataclass(frozen=True)
class ScoredPicture:
    """A picture with its photo and its scores.

    `candidates` has the scores of all pictures that were drawn of the photo with the same settings; it is empty if that
    was only one. `reach` is None without `reach_style` in the recipe. `recoloured` is the `clip_style` of the photo in
    the collection's colours.
    """

    photo: DecodedPhoto
    picture: Stylized
    cosines: Cosines
    seconds: float
    reach: StyleReach | None
    candidates: tuple[float, ...] = ()
    more_scores: OptionalScores = OptionalScores()
    recoloured: float | None = None

    @property
    def key(self) -> str:
        """The photo's key."""
        return self.picture.key

    @property
    def is_faint(self) -> bool:
        """Whether it has less of the style than the recipe asks for."""
        return self.reach is not None and not self.reach.is_reached

    @property
    def rgb(self) -> np.ndarray:
        """Pixels uint8 [h, w, 3]."""
        assert self.picture.rgb is not None
        return self.picture.rgb

    def finish_scores(self, scores: OptionalScores, recoloured: float) -> ScoredPicture:
        """Return the picture with its last scores; its pixels leave the device."""
        return replace(self, picture=replace(self.picture, on_device=None), more_scores=scores, recoloured=recoloured)

    def size_px(self, output_size: str) -> tuple[int, int]:
        """Return width and height of the output: the photo's for `original`, else the working size."""
        photo = self.photo.photo
        if output_size == "original":
            return photo.width_px, photo.height_px
        return self.rgb.shape[1], self.rgb.shape[0]

    def make_encode_job(self, recipe: StylizeRecipe, file_name: str) -> EncodeJob:
        """Return how to encode the picture, in the format of a file's suffix, for a recipe."""
        photo = self.photo
        return EncodeJob(
            rgb=self.rgb,
            photo=photo.photo.working,
            alpha=photo.alpha,
            size=self.size_px(recipe.size),
            suffix=file_name[file_name.rindex(".") :],
            quality=recipe.quality,
            metadata=photo.metadata,
            detail=photo.detail,
            detail_weight=recipe.detail,
        )

    def list_flags(self, flags: Iterable[str]) -> list[str]:
        """Return the flags of its pixels, and those of the goals that it does not reach."""
        goals = {"loose": self.picture.is_loose, "faint": self.is_faint}
        return [*flags, *(flag for flag, is_missed in goals.items() if is_missed)]

    @property
    def notes(self) -> list[str]:
        """Sentences about its photo, and about a style gain that cannot be measured."""
        reason = "" if self.reach is None else self.reach.note
        return [*self.photo.notes, *([reason] if reason else [])]

    @property
    def found_settings(self) -> dict[str, float | None]:
        """The settings that were found for the photo, by column of its row; none where the recipe has no goal."""
        if self.picture.kept is not None:
            return {"structure": self.picture.kept.structure, "lightness": self.picture.kept.lightness}
        if self.reach is not None:
            return {"structure": self.reach.structure, "strength": self.reach.strength, "gain": self.reach.gain}
        return {}


def measure_reach(
    cosines: Cosines, ceiling: Ceiling | None, wanted: float, *, structure: float, strength: float
) -> StyleReach:
    """Compare the style gain of a picture with what its recipe asks for.

    Args:
        cosines: Its scores; its photo's own style score is the floor.
        ceiling: The style score of held-out artworks; None if there was only one artwork.
        wanted: `reach_style`.
        structure: Structure that it was drawn with.
        strength: Strength that it was drawn with.
    """
    gain = ScoreBounds(cosines.clip_style_floor, ceiling).gain(cosines.clip_style)
    if gain is None:
        return StyleReach(structure, strength, None, True, NO_CEILING if ceiling is None else NO_ROOM)
    return StyleReach(structure, strength, gain, gain >= wanted)


def keep_best(scored: Iterable[ScoredPicture]) -> list[ScoredPicture]:
    """Return the best candidate of each photo, in the order of the photos; of equals the first.

    With `reach_style` it is the best of those that reach it. If none does, it is the one with the highest gain.
    """
    candidates: dict[str, list[ScoredPicture]] = {}
    for picture in scored:
        candidates.setdefault(picture.key, []).append(picture)
    kept = []
    for drawn in candidates.values():
        scores = tuple(rate_candidate(candidate.cosines) for candidate in drawn)
        best = max(zip(drawn, scores, strict=True), key=lambda pair: _rank(*pair))[0]
        kept.append(replace(best, candidates=scores if len(scores) > 1 else ()))
    return kept


def keep_first_reached(before: ScoredPicture, after: ScoredPicture) -> ScoredPicture:
    """Return the one of two drawings of a photo that is kept: the first that reaches the gain, else the higher gain."""
    if not before.is_faint:
        return before
    return after if not after.is_faint or _gain(after) > _gain(before) else before


def _rank(scored: ScoredPicture, score: float) -> tuple[bool, float]:
    return not scored.is_faint, _gain(scored) if scored.is_faint else score


def _gain(scored: ScoredPicture) -> float:
    return scored.reach.gain if scored.reach is not None and scored.reach.gain is not None else 0.0
