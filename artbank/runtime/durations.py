"""Durations as text."""

from __future__ import annotations

_MISSING = "–"


def seconds_text(seconds: float | None) -> str:
    """Return a duration in readable units."""
    if seconds is None:
        return _MISSING
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"
