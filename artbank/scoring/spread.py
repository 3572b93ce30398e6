"""Summary of one measure over many pictures: its distribution, and its gain between photos and artworks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_ERRORS = 2.0  # standard errors of the ceiling that must lie between it and the floor


class ScoreBounds(NamedTuple):
    """What the mean `clip_style` of a style's pictures is compared with.

    Attributes:
        floor: The mean of the untouched photos; None without photos.
        ceiling: The mean of held-out artworks; None if not measured.
        ceiling_error: Standard error of the ceiling, which rests on few artworks; 0 if unknown.
    """

    floor: float | None = None
    ceiling: float | None = None
    ceiling_error: float = 0.0

    def gain(self, score: float) -> float | None:
        """Return (score - floor) / (ceiling - floor): 0 is as the photos, 1 is as the artworks.

        None unless the ceiling is above the floor by more than twice its standard error: else the scorer cannot tell
        the collection from photos, and the quotient means nothing.
        """
        if self.floor is None or self.ceiling is None:
            return None
        distance = self.ceiling - self.floor
        return (score - self.floor) / distance if distance > _ERRORS * self.ceiling_error else None


NO_BOUNDS = ScoreBounds()


@dataclass(frozen=True)
class Spread:
    """One measure over many pictures.

    Attributes:
        n: Number of pictures that have the measure; if it is 0, all figures but floor and ceiling are None.
        mean: Arithmetic mean.
        median: 50th percentile.
        p5: 5th percentile.
        p95: 95th percentile.
        floor: Score of untouched photos; None if not measured.
        ceiling: Score of held-out artworks; None if not measured.
        gain: See `ScoreBounds.gain`, of the mean.
    """

    n: int
    mean: float | None
    median: float | None
    p5: float | None
    p95: float | None
    floor: float | None
    ceiling: float | None
    gain: float | None


def summarize(values: Sequence[float | None] | np.ndarray, bounds: ScoreBounds = NO_BOUNDS) -> Spread:
    """Summarize one measure; values that are None or not finite are left out."""
    numbers = np.asarray(values, np.float64)  # None becomes NaN
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return Spread(0, None, None, None, None, bounds.floor, bounds.ceiling, None)
    mean = float(finite.mean())
    p5, median, p95 = np.percentile(finite, (5, 50, 95)).tolist()
    return Spread(len(finite), mean, median, p5, p95, bounds.floor, bounds.ceiling, bounds.gain(mean))
