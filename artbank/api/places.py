"""Places as people name them in Python: a path or a URI, and nothing else."""

from __future__ import annotations

import os

from artbank.errors import ConfigError


def place_text(place: object, expected: str) -> str:
    """Return a path or a URI as text.

    Args:
        place: What was given.
        expected: What it should be the place of, for people.

    Raises:
        ConfigError: It is neither text nor a path.
    """
    text = os.fspath(place) if isinstance(place, str | os.PathLike) else None
    if not isinstance(text, str):
        found = type(place).__name__
        raise ConfigError(f"expected {expected}, found {found}; pass a path or a URI, as text or as a pathlib.Path")
    return text
