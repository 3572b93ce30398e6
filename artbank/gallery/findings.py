"""Findings: facts about a collection that its owner should know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A fact about a collection that its owner should know: a kind, a sentence, and the keys of the files."""

    kind: str
    message: str
    keys: tuple[str, ...] = ()
