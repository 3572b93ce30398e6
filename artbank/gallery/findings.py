"""Findings: facts about a collection that its owner should know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A fact about a collection that its owner should know: a kind, a sentence, and the keys of the files."""

    kind: str
    message: str
    keys: tuple[str, ...] = ()


def list_keys(keys: Sequence[str], most: int = 3) -> str:
    """Return the first keys as text, and how many more there are."""
    shown = ", ".join(keys[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most:,} more"
