"""Alarms: too many pictures of a run failed, or the pictures of a style are less like it than its bank promised.

The gain of a picture is how far its `clip_style` lies on the way from the floor (untouched photos) to the ceiling
(held-out artworks), see `scoring.scores`. A bank's own gain was measured when it was trained, on a few drawn
photographs with the default recipe.

Small samples raise no alarm: neither runs with fewer than `least_photos` photos, nor a mean gain that is less than two
standard errors too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

from artbank.config import AlarmLimits

Kind = Literal["failed_share", "gain_drop"]

_MARGIN_IN_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Alarm:
    """A problem with a run's pictures that a person should look at.

    Attributes:
        kind: `failed_share` concerns the whole archive, `gain_drop` one style.
        style: The style; None if the alarm concerns all of them.
        num_photos: Size of the sample: photos of the run, or pictures of the style.
        measured: Share of pictures that failed, 0..1, or the mean gain.
        limit: Largest share, or smallest mean gain, without an alarm.
        expected: Gain of the style's own banks; None if the alarm is not about a gain.
        text: The alarm in one sentence.
    """

    kind: Kind
    style: str | None
    num_photos: int
    measured: float
    limit: float
    expected: float | None
    text: str


@dataclass(frozen=True)
class StyleGains:
    """Gains of the pictures that a run drew in one style.

    Attributes:
        style: The style.
        gains: One for each picture that has a score.
        expected: Gain of the style's own banks; None if it was not measured.
    """

    style: str
    gains: Sequence[float]
    expected: float | None


def find_alarms(
    limits: AlarmLimits, *, num_photos: int, num_pictures: int, num_failed: int, styles: Sequence[StyleGains]
) -> list[Alarm]:
    """Return the alarms of one run; none for a run of few photos.

    Args:
        limits: When to raise an alarm.
        num_photos: Photos that the run worked on.
        num_pictures: Pictures that it should have drawn.
        num_failed: Pictures that failed.
        styles: Gains of each style.
    """
    if num_photos < limits.least_photos:
        return []
    failed = _check_failed_share(limits.max_failed_share, num_photos, num_pictures, num_failed)
    gains = [_check_gain(limits, style) for style in styles if len(style.gains) >= limits.least_photos]
    return [alarm for alarm in (failed, *gains) if alarm is not None]


def mix_gains(parts: Sequence[tuple[float | None, float]]) -> float | None:
    """Return the weighted mean gain of a style's banks; None if the gain of one is unknown.

    Args:
        parts: Gain and weight of each bank; weights sum to 1.
    """
    weighted = [gain * weight for gain, weight in parts if gain is not None]
    return sum(weighted) if len(weighted) == len(parts) else None


def _check_failed_share(limit: float | None, num_photos: int, num_pictures: int, num_failed: int) -> Alarm | None:
    share = num_failed / num_pictures
    if limit is None or share <= limit:
        return None
    text = (
        f"{num_failed} of {num_pictures} pictures of this run failed ({share:.1%}), more than {limit:.1%}; "
        "the run's summary has the reasons"
    )
    return Alarm("failed_share", None, num_photos, share, limit, None, text)


def _check_gain(limits: AlarmLimits, style: StyleGains) -> Alarm | None:
    if limits.max_gain_drop is None or style.expected is None or style.expected <= 0:
        return None
    mean = fmean(style.gains)
    count = len(style.gains)
    standard_error = stdev(style.gains) / sqrt(count) if count > 1 else 0.0
    limit = style.expected * (1 - limits.max_gain_drop)
    if mean + _MARGIN_IN_STANDARD_ERRORS * standard_error >= limit:
        return None
    text = (
        f"{style.style}: the mean gain of {count} pictures of this run is {mean:.2f}, its bank had "
        f"{style.expected:.2f}; below {limit:.2f}, look at the pictures on the page of the output"
    )
    return Alarm("gain_drop", style.style, count, mean, limit, style.expected, text)
