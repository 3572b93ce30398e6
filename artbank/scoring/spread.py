"""Summary of one measure over many pictures: its distribution, and its gain between photos and artworks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_CLEARLY_APART = 0.01  # cosines between floor and ceiling below which a summary tells no gain
_ERRORS = 2.0  # standard errors of the ceiling that must lie between it and the floor


class Ceiling(NamedTuple):
    """The style score of held-out artworks.

    Attributes:
        mean: Their mean.
        error: Its standard error, since they are few; 0 if unknown, as in references of older versions.
    """

    mean: float
    error: float = 0.0


def mix_ceilings(parts: Sequence[tuple[Ceiling | None, float]]) -> Ceiling | None:
    """Return the weighted mean of ceilings; None if one is not known. The weights sum to 1."""
    known = [(ceiling, weight) for ceiling, weight in parts if ceiling is not None]
    if len(known) < len(parts):
        return None
    error = math.hypot(*(ceiling.error * weight for ceiling, weight in known))
    return Ceiling(sum(ceiling.mean * weight for ceiling, weight in known), error)


class ScoreBounds(NamedTuple):
    """The values that the mean `clip_style` or `csd_style` of a style's pictures is compared with.

    Attributes:
        floor: The mean of the untouched photos; None without photos.
        ceiling: That of held-out artworks, weighted over the style's banks; None if a bank has none.
    """

    floor: float | None = None
    ceiling: Ceiling | None = None

    @property
    def lines(self) -> tuple[float | None, float | None]:
        """Floor, and mean of the ceiling."""
        return self.floor, self.ceiling and self.ceiling.mean

    def gain(self, score: float) -> float | None:
        """Return (score - floor) / (ceiling - floor): 0 is as the photos, 1 is as the artworks.

        None unless the ceiling is above the floor by more than twice its standard error: else the scorer cannot tell
        the collection from photos, and the quotient means nothing.
        """
        if self.floor is None or self.ceiling is None:
            return None
        distance = self.ceiling.mean - self.floor
        return (score - self.floor) / distance if distance > _ERRORS * self.ceiling.error else None


NO_BOUNDS = ScoreBounds()


def measure_gains(scores: np.ndarray, floors: np.ndarray, ceiling: Ceiling | None) -> np.ndarray:
    """Return the gain of each score above a floor of its own, float64; NaN where `ScoreBounds.gain` has none.

    Args:
        scores: [n]; NaN for none.
        floors: [n]; NaN for none.
        ceiling: Ceilings of all of them.
    """
    if ceiling is None:
        return np.full(len(scores), np.nan)
    distances = ceiling.mean - floors
    distances = np.where(distances > _ERRORS * ceiling.error, distances, np.nan)
    return (scores - floors) / distances


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
        gain: See `ScoreBounds.gain`, of the mean; None too where floor and ceiling are less than 0.01 apart.
    """

    n: int
    mean: float | None
    median: float | None
    p5: float | None
    p95: float | None
    floor: float | None
    ceiling: float | None
    gain: float | None


def summarize(values: Sequence[float | None] | np.ndarray, bounds: ScoreBounds) -> Spread:
    """Summarize one measure; values that are None or not finite are left out."""
    numbers = np.asarray(values, np.float64)  # None becomes NaN
    finite = numbers[np.isfinite(numbers)]
    floor, ceiling = bounds.lines
    if not len(finite):
        return Spread(0, None, None, None, None, floor, ceiling, None)
    mean = float(finite.mean())
    p5, median, p95 = np.percentile(finite, (5, 50, 95)).tolist()
    is_apart = floor is not None and ceiling is not None and ceiling - floor >= _CLEARLY_APART
    return Spread(len(finite), mean, median, p5, p95, floor, ceiling, bounds.gain(mean) if is_apart else None)
