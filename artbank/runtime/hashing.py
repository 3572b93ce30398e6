"""Names by content: the first digits of a SHA-256."""

from __future__ import annotations

import hashlib


def short_hash(content: bytes | str, digits: int = 16) -> str:
    """Return the first hex digits of the SHA-256 of bytes, or of a text as UTF-8.

    Args:
        content: The content to name.
        digits: 1 to 64; 64 is the whole digest.
    """
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:digits]
