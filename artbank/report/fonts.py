"""Text in pictures: fonts that have the letters, lines that fit."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont
_WIDER = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")  # where a system has them
_NO_LETTER = "\uffff"


@lru_cache(4096)
def choose_font(text: str, size_px: int) -> tuple[Font, str]:
    """Return a font and the text as that font can write it.

    Pillow's own font looks alike everywhere but has few letters: others come from a font of the system, or lose their
    accents, or become `?`.
    """
    text = "".join(c if c.isprintable() else "?" for c in text)
    shipped = _own(size_px)
    if _has(shipped, text):
        return shipped, text
    for name in _WIDER:
        font = _system(name, size_px)
        if font and _has(font, text):
            return font, text
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return shipped, "".join(c if _has(shipped, c) else "?" for c in plain)


def width(text: str, size_px: int) -> float:
    """Return the width of a text, px."""
    font, written = choose_font(text, size_px)
    return font.getlength(written)


def fit_end(text: str, size_px: int, widest_px: float) -> str:
    """Cut the end off a text that is too wide."""
    if width(text, size_px) <= widest_px:
        return text
    shorter = (f"{text[:kept].rstrip()}…" for kept in range(min(len(text) - 1, 300), 0, -1))
    return next((short for short in shorter if width(short, size_px) <= widest_px), "…")


@cache
def _own(size_px: int) -> Font:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, Font), "Pillow was built without FreeType"
    return font


@cache
def _system(name: str, size_px: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size_px)
    except OSError:
        return None


def _has(font: Font, text: str) -> bool:
    return all(_draws(font, c) for c in set(text))


@cache
def _draws(font: Font, letter: str) -> bool:
    drawn, lacking = (bytes(font.getmask(text)) for text in (letter, _NO_LETTER))  # pyright: ignore[reportArgumentType]
    return letter == " " or drawn != lacking
