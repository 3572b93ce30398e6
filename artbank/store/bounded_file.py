"""A file in memory with a limit, for objects that others may have written and that should be small."""

from __future__ import annotations

import io
from typing import Any

MOST_BYTES = 64 * 2**20
"""The most bytes of a small object. The largest of ours have about 100 bytes for each bank, part or artwork."""


class OversizeError(ValueError):
    """An object has more bytes than its kind may have."""


class BoundedFile(io.BytesIO):
    """A file in memory that refuses more bytes than a limit."""

    def __init__(self, uri: str, most_bytes: int):
        """Take the URI of the object, for the error, and the limit."""
        super().__init__()
        self._uri = uri
        self._most_bytes = most_bytes

    def write(self, data: Any) -> int:
        """Add bytes.

        Raises:
            OversizeError: The file would have more bytes than the limit.
        """
        if self.tell() + len(data) > self._most_bytes:
            raise OversizeError(f"{self._uri}: expected at most {self._most_bytes:,} bytes, found more")
        return super().write(data)
