"""Markdown out of values that nobody has checked: file names, reasons, names of styles."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_LONGEST = 160  # characters; what is longer loses its middle
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~$^])")
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MISSING = "–"


def escape(value: object) -> str:
    """Return a value as one line of plain text that no Markdown reader takes for anything else.

    Line breaks become spaces; control, formatting and unpaired characters become `�`, so that a name cannot reverse
    or hide its neighbours.
    """
    return _SPECIAL.sub(r"\\\1", plain(value)).translate(_MARKUP)


def plain(value: object) -> str:
    """Return a value as one line of text that can be seen as a whole: not for Markdown or HTML as it is."""
    return shorten(visible(value))


def visible(value: object) -> str:
    """Return a value as one line of text of any length in which nothing is invisible; see `escape`."""
    line = " ".join(str(value).splitlines())
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in line)


def shorten(text: str, longest: int = _LONGEST) -> str:
    """Cut the middle out of a text of more than `longest` characters, at least 3."""
    if len(text) <= longest:
        return text
    head = (longest - 1) // 2
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def fence(code: str, language: str = "") -> str:
    """Return code as a block, behind a fence that the code does not hold itself."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{language}\n{code.strip()}\n{marks}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers_from: int = 1) -> str:
    """Return a table; columns from `numbers_from` on are set to the right. Cells are escaped, the head is not."""
    rules = ["---" if column < numbers_from else "---:" for column in range(len(head))]
    lines = [head, rules, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def score_text(value: float | None) -> str:
    """Return a score to three decimals."""
    return _MISSING if value is None else f"{value:.3f}"


def share_text(value: float | None) -> str:
    """Return a share, 1 for all, as a percentage."""
    return _MISSING if value is None else f"{100 * value:.0f} %"


def number_text(count: int, noun: str) -> str:
    """Return a number of things, such as `1 photo` and `2,000 photos`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def seconds_text(seconds: float | None) -> str:
    """Return a duration in the units that suit it."""
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
