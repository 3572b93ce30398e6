"""Limits of the photos that fit in memory together, found by the batches that did not.

The photos of a bucket have one padded size. A drawing that runs out of memory lowers the limit of its bucket, so that
the later batches of a run begin with what fits; training does so too, see `bank.call_size`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from artbank.images.framing import Photo


class BatchLimits:
    """The most photos of each bucket that go through the model at once."""

    def __init__(self) -> None:
        """Begin without limits."""
        self._most: dict[tuple[int, int], int] = {}

    def lower(self, batch: Sequence[Photo]) -> None:
        """Remember that a batch of two or more photos of one bucket did not fit: half of it may."""
        self._most[batch[0].bucket] = (len(batch) + 1) // 2

    def take(self, photos: Sequence[Photo]) -> Sequence[Photo]:
        """Return the first part of photos of one bucket, cut into as few parts of nearly equal size as may fit."""
        most = self._most.get(photos[0].bucket, len(photos))
        num_parts = math.ceil(len(photos) / most)
        return photos[: math.ceil(len(photos) / num_parts)]
