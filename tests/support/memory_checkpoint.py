"""A checkpoint in memory, and an exception that stands for a killed process."""

from __future__ import annotations


class Memory:
    """Keeps one checkpoint in memory and counts how often it was written."""

    def __init__(self, data: bytes | None = None) -> None:
        self.data, self.saved = data, 0

    def load(self) -> bytes | None:
        """Return the checkpoint that was saved last."""
        return self.data

    def save(self, data: bytes) -> None:
        """Replace the checkpoint."""
        self.data, self.saved = data, self.saved + 1


class Killed(BaseException):
    """Stands for the end of the process."""
