"""Whether the pictures of a run are worth a person's look: too many failed, or they are less like their style.

A gain is the share of the way from what untouched photos score to what held-out artworks score, see `evaluation`. A
bank's own one is that of a few drawn photographs under the default recipe, taken when it was trained.

Small samples raise nothing: below `least_photos` a run is not judged, and a mean gain is too low only where it is by
more than twice its standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

from artbank.config import AlarmLimits

Kind = Literal["failed_share", "gain_drop"]

_ERRORS = 2.0  # standard errors


@dataclass(frozen=True)
class Alarm:
    """Something about a run's pictures that a person should look at.

    Attributes:
        kind: `failed_share` is about the archive, `gain_drop` about a style.
        style: The style; None where it is about all of them.
        num_photos: Photos that it was judged by.
        measured: The share that failed, 0..1, or the mean gain.
        limit: What it should not have passed.
        expected: The gain of the style's own banks; None where it is not about a gain.
        text: A sentence.
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
    """What a run's pictures in one style have gained, and what their banks did."""

    style: str
    gains: Sequence[float]
    expected: float | None


def find_alarms(
    limits: AlarmLimits, *, num_photos: int, num_pictures: int, num_failed: int, styles: Sequence[StyleGains]
) -> list[Alarm]:
    """Return what is to be looked at of one run's pictures; none of a run of few photos.

    Args:
        limits: When it is.
        num_photos: Photos that the run worked on.
        num_pictures: Pictures that were asked of it.
        num_failed: Those that failed.
        styles: Gains by style.
    """
    if num_photos < limits.least_photos:
        return []
    failed = _check_failed_share(limits.max_failed_share, num_photos, num_pictures, num_failed)
    gains = [_check_gain(limits, style) for style in styles if len(style.gains) >= limits.least_photos]
    return [alarm for alarm in (failed, *gains) if alarm is not None]


def mix_gains(parts: Sequence[tuple[float | None, float]]) -> float | None:
    """Return the weighted mean of the gains of a style's banks; None where one is not known.

    Args:
        parts: Gain and weight of each; weights sum to 1.
    """
    known = [gain * weight for gain, weight in parts if gain is not None]
    return sum(known) if len(known) == len(parts) else None


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
    mean, count = fmean(style.gains), len(style.gains)
    error = stdev(style.gains) / sqrt(count) if count > 1 else 0.0
    limit = style.expected * (1 - limits.max_gain_drop)
    if mean + _ERRORS * error >= limit:
        return None
    text = (
        f"{style.style}: the mean gain of {count} pictures of this run is {mean:.2f}, its bank had "
        f"{style.expected:.2f}; below {limit:.2f} it is worth a look at the contact sheet"
    )
    return Alarm("gain_drop", style.style, count, mean, limit, style.expected, text)
