"""Pictures on their way through a shard: drawn, scored, and the best of several candidates.

Pictures are uint8 [h, w, 3] sRGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from artbank.archive.photo_reader import DecodedPhoto
from artbank.scoring.optional_measures import OptionalScores
from artbank.scoring.scores import Cosines, rate_candidate
from artbank.stylization.stylizer import Stylized


@dataclass(frozen=True)
class DrawnBatch:
    """The pictures of some photos of equal size, in all their styles.

    Attributes:
        photos: By key.
        styles: In the order of the request.
        pictures: The pictures that were drawn without an error, all candidates of a photo.
        seconds: Device seconds for each photo and style.
    """

    photos: Mapping[str, DecodedPhoto]
    styles: Sequence[str]
    pictures: Sequence[Stylized]
    seconds: float


@dataclass(frozen=True)
class ScoredPicture:
    """A picture with its photo and its scores.

    `candidates` has the scores of all pictures that were drawn of the photo; it is empty if that was only one.
    """

    photo: DecodedPhoto
    picture: Stylized
    cosines: Cosines
    seconds: float
    candidates: tuple[float, ...] = ()
    more_scores: OptionalScores = OptionalScores()

    @property
    def rgb(self) -> np.ndarray:
        """Pixels uint8 [h, w, 3]."""
        assert self.picture.rgb is not None
        return self.picture.rgb

    def finish_scores(self, scores: OptionalScores) -> ScoredPicture:
        """Return the picture with its last scores; its pixels leave the device."""
        return replace(self, picture=replace(self.picture, on_device=None), more_scores=scores)

    def size_px(self, output_size: str) -> tuple[int, int]:
        """Return width and height of the output: the photo's for `original`, else the working size."""
        photo = self.photo.photo
        if output_size == "original":
            return photo.width_px, photo.height_px
        return self.rgb.shape[1], self.rgb.shape[0]


def keep_best(batch: DrawnBatch, pictures: Sequence[Stylized], cosines: Sequence[Cosines]) -> list[ScoredPicture]:
    """Return the best candidate of each photo, in the order of the photos; of equals the first."""
    candidates: dict[str, list[ScoredPicture]] = {}
    for one, own in zip(pictures, cosines, strict=True):
        scored = ScoredPicture(batch.photos[one.key], one, own, batch.seconds)
        candidates.setdefault(one.key, []).append(scored)
    kept = []
    for drawn in candidates.values():
        scores = tuple(rate_candidate(one.cosines) for one in drawn)
        best = drawn[scores.index(max(scores))]
        kept.append(replace(best, candidates=scores if len(scores) > 1 else ()))
    return kept
