"""Markdown from untrusted values: file names, failure reasons, style names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_MAX_LENGTH = 160  # characters; longer texts lose their middle
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~$^])")
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MISSING = "–"
_JOINERS = "\u200c\u200d"


def escape(value: object, longest: int = _MAX_LENGTH) -> str:
    """Return a value as one line of text with all Markdown and HTML escaped.

    Line breaks become spaces; control, format and surrogate characters become `�`, so a name cannot
    hide or reverse the text around it. A text longer than `longest` characters (3 or more) loses its middle.
    """
    return _SPECIAL.sub(r"\\\1", shorten(visible(value), longest)).translate(_MARKUP)


def plain(value: object) -> str:
    """Return a value as one line of visible, shortened text; not escaped for Markdown or HTML."""
    return shorten(visible(value))


def visible(value: object) -> str:
    """Return a value as one line of text of any length with invisible characters replaced; see `escape`."""
    line = " ".join(str(value).splitlines())
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in line)


def caption_text(value: str) -> str:
    """Return a caption as one visible line; joiners stay, with which Arabic, Hindi and others are written."""
    return "".join(c if c in _JOINERS else visible(c) for c in " ".join(value.split()))


def shorten(text: str, longest: int = _MAX_LENGTH) -> str:
    """Remove the middle of a text longer than `longest` characters (3 or more)."""
    if len(text) <= longest:
        return text
    head = (longest - 1) // 2
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def fence(code: str, language: str = "") -> str:
    """Return code as a fenced block; the fence is longer than any run of backticks in the code."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{language}\n{code.strip()}\n{marks}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers_from: int = 1) -> str:
    """Return a table; columns from `numbers_from` on are right-aligned. Cells are escaped, the head is not."""
    rules = ["---" if column < numbers_from else "---:" for column in range(len(head))]
    lines = [head, rules, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def score_text(value: float | None) -> str:
    """Return a score with three decimals."""
    return _MISSING if value is None else f"{value:.3f}"


def share_text(value: float | None) -> str:
    """Return a fraction (0..1) as a percentage."""
    return _MISSING if value is None else f"{100 * value:z.0f} %"  # z: no minus before 0
