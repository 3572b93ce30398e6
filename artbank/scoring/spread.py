"""Summary of one measure over many pictures: its distribution, and its gain between photos and artworks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
        gain: (mean - floor) / (ceiling - floor): 0 is as the photos, 1 is as the artworks.
    """

    n: int
    mean: float | None
    median: float | None
    p5: float | None
    p95: float | None
    floor: float | None
    ceiling: float | None
    gain: float | None


def summarize(values: Sequence[float | None] | np.ndarray, floor: float | None, ceiling: float | None) -> Spread:
    """Summarize one measure; values that are None or not finite are left out."""
    numbers = np.asarray(values, np.float64)  # None becomes NaN
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return Spread(0, None, None, None, None, floor, ceiling, None)
    mean = float(finite.mean())
    p5, median, p95 = np.percentile(finite, (5, 50, 95)).tolist()
    return Spread(len(finite), mean, median, p5, p95, floor, ceiling, measure_gain(mean, floor, ceiling))


def measure_gain(score: float, floor: float | None, ceiling: float | None) -> float | None:
    """Return the share of the way from floor to ceiling that a score has come; None if the ceiling is no higher."""
    if floor is None or ceiling is None or ceiling <= floor:
        return None
    return (score - floor) / (ceiling - floor)
