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


def rough_seconds_text(seconds: float) -> str:
    """Return a forecast duration with two significant digits, such as `2 h 10 min`: forecasts know no more."""
    if seconds < 60:
        return f"{seconds:.2g} s"
    if seconds < 600:
        rounded = round(seconds, -1)
    else:
        unit = 60 if seconds < 36_000 else 3600
        rounded = unit * float(f"{seconds / unit:.2g}")
    return seconds_text(rounded).removesuffix(" 0 s").removesuffix(" 0 min").removesuffix(" 0 h")
