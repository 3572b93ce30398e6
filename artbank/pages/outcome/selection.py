"""Selects the photos and pictures that a page shows first: a bounded number, however large the output.

Some photos spread over the archive, with all their pictures; and for each style and score the best, the
median and the worst. The selection depends only on names and scores and changes little when an archive
grows, so the next page reuses most thumbnails.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from artbank.pages.outcome.grid import Grid

KINDS = ("best", "worst", "median")
"""Kinds of lists, in the order in which they choose: no picture is in two lists of one score."""
MAX_IMAGES = 240
"""Photos and pictures of a selection, together."""

_MAX_SPREAD = 12
_SPREAD_IMAGES = 80
_LISTED = 4
_HASHED_AT_ONCE = 65_536
_MAX_STYLES = 24  # in a photo's row; the list of all photos shows the others


@dataclass
class Selection:
    """Selected photos and pictures, by their numbers in the grid.

    Attributes:
        spread: Photos, in the order of their names.
        listed: Photos by style number, score and kind, the most extreme first.
        pictures: Pairs of photo and style: all pictures of `spread` and `listed`.
    """

    spread: list[int]
    listed: dict[tuple[int, str, str], list[int]] = field(default_factory=dict)
    pictures: set[tuple[int, int]] = field(default_factory=set)

    @property
    def photos(self) -> list[int]:
        """All photos, in the order of their names."""
        return sorted({*self.spread, *(photo for photo, _ in self.pictures)})

    def _cost(self, photo: int, column: int) -> int:
        known = {other for other, _ in self.pictures} | {*self.spread}
        return int((photo, column) not in self.pictures) + int(photo not in known)


def select(grid: Grid, max_images: int = MAX_IMAGES) -> Selection:
    """Select the photos and pictures that a page shows first."""
    selection = Selection(spread=_choose_spread(grid))
    for photo in selection.spread:
        done = [column for column, row in grid.cells(photo).items() if row["status"] == "done"]
        selection.pictures |= {(photo, column) for column in sorted(done)[:_MAX_STYLES]}
    left = max_images - len(selection.spread) - len(selection.pictures)
    for name, photo in _by_rank(_rank(grid)):
        cost = selection._cost(photo, name[0])
        if cost <= left:
            left -= cost
            selection.pictures.add((photo, name[0]))
            selection.listed.setdefault(name, []).append(photo)
    return selection


def _choose_spread(grid: Grid) -> list[int]:
    """Return some photos that have a picture, evenly spread.

    A hash of their names picks them, so the choice changes little as an archive grows.
    """
    count = max(1, min(_MAX_SPREAD, _SPREAD_IMAGES // (min(len(grid.styles), _MAX_STYLES) + 1)))
    [places] = grid.is_done.nonzero()
    photos, first = np.unique(grid.photos[places], return_index=True)
    is_first = np.zeros(len(grid.rows), bool)
    is_first[places[first]] = True
    keys = grid.rows["key"].filter(pa.array(is_first))
    hashes = np.fromiter(_hash(keys), np.uint32, len(keys))
    return sorted(photos[np.argsort(hashes, kind="stable")[:count]].tolist())


def _hash(keys: pa.ChunkedArray) -> Iterator[int]:
    for start in range(0, len(keys), _HASHED_AT_ONCE):
        yield from (zlib.crc32(key.encode()) for key in keys.slice(start, _HASHED_AT_ONCE).to_pylist())


def _rank(grid: Grid) -> dict[tuple[int, str, str], list[int]]:
    """Return the best, median and worst photos of each style and score."""
    ranked: dict[tuple[int, str, str], list[int]] = {}
    for measure in grid.measures:
        scores = grid.scores(measure)
        for column in range(len(grid.styles)):
            [places] = ((grid.columns == column) & np.isfinite(scores)).nonzero()
            for kind, chosen in _divide(scores[places]).items():
                ranked[column, measure, kind] = grid.photos[places[chosen]].tolist()
    return ranked


def _divide(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Return the indices of the best, worst and median scores; with few scores there are fewer of each."""
    if not len(scores):
        return {}
    count = min(_LISTED, max(1, len(scores) // len(KINDS)))
    is_left = np.ones(len(scores), bool)
    chosen = {}
    for kind, distances in zip(KINDS, (-scores, scores, np.abs(scores - np.median(scores))), strict=True):
        [left] = is_left.nonzero()
        if len(left):
            chosen[kind] = left[_least(distances[left], count)]
            is_left[chosen[kind]] = False
    return chosen


def _least(values: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` smallest values, in order; ties keep their order."""
    count = min(count, len(values))
    limit = np.partition(values, count - 1)[count - 1]
    [places] = (values <= limit).nonzero()
    return places[np.argsort(values[places], kind="stable")[:count]]


def _by_rank(ranked: dict[tuple[int, str, str], list[int]]) -> Iterator[tuple[tuple[int, str, str], int]]:
    """Yield the first entry of every list, then the second of every list, and so on."""
    for rank in range(_LISTED):
        yield from ((name, photos[rank]) for name, photos in ranked.items() if rank < len(photos))
