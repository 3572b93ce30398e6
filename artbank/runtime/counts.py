"""Counts as words for people: `1 file is`, `2,000 files are`."""

from __future__ import annotations


def number_text(count: int, noun: str) -> str:
    """Return a count with its noun, such as `1 photo` or `2,000 photos`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number_are(count: int, noun: str) -> str:
    """Return a count with its noun and verb, such as `1 photo is` or `2,000 photos are`."""
    return f"{number_text(count, noun)} {'is' if count == 1 else 'are'}"
