"""When a photo was taken, as Exif, XMP and IPTC records write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_PATTERN = re.compile(
    r"(?P<year>\d{4})[:-]?(?P<month>\d\d)[:-]?(?P<day>\d\d)"
    r"(?:[ T]?(?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<offset>Z|[+-]\d\d:?\d\d)?)?"
)


@dataclass(frozen=True)
class Moment:
    """A date, and mostly a time; both as the clock of the camera showed them.

    Attributes:
        date: As 2024-12-31.
        time: As 23:59:59; empty if unknown.
        fraction: Digits behind the second; empty if unknown.
        offset: As +02:00; empty if unknown.
    """

    date: str
    time: str = ""
    fraction: str = ""
    offset: str = ""

    @classmethod
    def parse(cls, text: str, *, fraction: str = "", offset: str = "") -> Self | None:
        """Read a date in one of the three notations; None if it is none, such as zeros or blanks.

        Args:
            text: The date.
            fraction: Digits behind the second, where another field has them.
            offset: Offset from UTC, where another field has it.
        """
        match = _PATTERN.fullmatch(text.strip(" \0"))
        if match is None or "00" in (match["month"], match["day"]) or match["year"] == "0000":
            return None
        date = f"{match['year']}-{match['month']}-{match['day']}"
        if match["hour"] is None:
            return cls(date)
        time = f"{match['hour']}:{match['minute']}:{match['second'] or '00'}"
        digits = match["fraction"] or (fraction.strip() if fraction.strip().isdecimal() else "")
        zone = (match["offset"] or offset.strip()).replace("Z", "+00:00")
        if re.fullmatch(r"[+-]\d{4}", zone):
            zone = f"{zone[:3]}:{zone[3:]}"
        return cls(date, time, digits, zone if re.fullmatch(r"[+-]\d\d:\d\d", zone) else "")

    @property
    def iso(self) -> str:
        """As XMP writes it."""
        if not self.time:
            return self.date
        return f"{self.date}T{self.time}{'.' if self.fraction else ''}{self.fraction}{self.offset}"

    @property
    def exif(self) -> str:
        """As Exif writes it; an unknown time is blank there."""
        return f"{self.date.replace('-', ':')} {self.time or '  :  :  '}"
