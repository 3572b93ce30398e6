"""Names by content: a SHA-256, or its first digits."""

from __future__ import annotations

import hashlib


def full_hash(content: bytes | str) -> str:
    """Return the 64 hex digits of the SHA-256 of bytes, or of a text as UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def short_hash(content: bytes | str, digits: int = 16) -> str:
    """Return the first hex digits of `full_hash`."""
    return full_hash(content)[:digits]
