"""Pinned hashes at the end of the names of models and LoRAs: `SOURCE@sha256:HEX`."""

from __future__ import annotations

import re

PIN = "@sha256:"
"""Stands between the name and the 64 hex digits of its SHA-256."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def split_pin(text: str) -> tuple[str, str | None]:
    """Return a name without its pinned hash, and that hash, hex; None if none is pinned.

    Raises:
        ValueError: The hash is no SHA-256.
    """
    place, mark, digest = text.rpartition(PIN)
    if not mark:
        return text, None
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"expected 64 hex digits after {PIN}, found {digest!r}")
    return place, digest
