"""Which photos and pictures a page shows first: a bounded number, however large the output is.

Some photos spread over the archive, with all their pictures; and of each style and score the best, the middling and the
worst. What is chosen depends on names and scores alone and changes little when an archive grows, so that most of the
small pictures that the page before had are those of the next one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from artbank.pages.outcome.grid import Grid
from artbank.report.summaries import MEASURES

KINDS = ("best", "worst", "median")
"""Of lists, in the order in which they choose: no picture is in two lists of one score."""
MOST_IMAGES = 240
"""Photos and pictures of a sample together."""

_MOST_SPREAD, _SPREAD_IMAGES, _LISTED = 12, 80, 4
_HASHED_AT_ONCE = 65_536
_MOST_STYLES = 24  # in a photo's row; more are on the page of all photos


@dataclass
class Sample:
    """Photos and pictures by their numbers in a grid.

    Attributes:
        spread: Photos, in the order of their names.
        listed: Photos by number of the style, score and kind, the most fitting first.
        pictures: Pairs of photo and style: all pictures that the two show.
    """

    spread: list[int] = field(default_factory=list)
    listed: dict[tuple[int, str, str], list[int]] = field(default_factory=dict)
    pictures: set[tuple[int, int]] = field(default_factory=set)

    @property
    def photos(self) -> list[int]:
        """All photos, in the order of their names."""
        return sorted({*self.spread, *(photo for photo, _ in self.pictures)})

    def _cost(self, photo: int, column: int) -> int:
        known = {other for other, _ in self.pictures} | {*self.spread}
        return int((photo, column) not in self.pictures) + int(photo not in known)


def choose_sample(grid: Grid, most_images: int = MOST_IMAGES) -> Sample:
    """Choose what a page shows first."""
    sample = Sample(spread=_choose_spread(grid))
    for photo in sample.spread:
        done = [column for column, row in grid.cells(photo).items() if row["status"] == "done"]
        sample.pictures |= {(photo, column) for column in sorted(done)[:_MOST_STYLES]}
    left = most_images - len(sample.spread) - len(sample.pictures)
    for name, photo in _by_rank(_rank(grid)):
        cost = sample._cost(photo, name[0])
        if cost <= left:
            left -= cost
            sample.pictures.add((photo, name[0]))
            sample.listed.setdefault(name, []).append(photo)
    return sample


def _choose_spread(grid: Grid) -> list[int]:
    """Return photos with a picture that a hash of their names picks, spread evenly and the same in a larger archive."""
    count = max(1, min(_MOST_SPREAD, _SPREAD_IMAGES // (min(len(grid.styles), _MOST_STYLES) + 1)))
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
    """Return the photos that are the best, the middling and the worst of each style and score."""
    ranked: dict[tuple[int, str, str], list[int]] = {}
    for measure in MEASURES:
        scores = grid.scores(measure)
        for column in range(len(grid.styles)):
            [places] = ((grid.columns == column) & np.isfinite(scores)).nonzero()
            for kind, chosen in _divide(scores[places]).items():
                ranked[column, measure, kind] = grid.photos[places[chosen]].tolist()
    return ranked


def _divide(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Return where the few best, worst and middling scores are; of a few scores there is less of each kind."""
    if not len(scores):
        return {}
    count = min(_LISTED, max(1, len(scores) // len(KINDS)))
    is_left, chosen = np.ones(len(scores), bool), {}
    for kind, distances in zip(KINDS, (-scores, scores, np.abs(scores - np.median(scores))), strict=True):
        [left] = is_left.nonzero()
        if len(left):
            chosen[kind] = left[_least(distances[left], count)]
            is_left[chosen[kind]] = False
    return chosen


def _least(values: np.ndarray, count: int) -> np.ndarray:
    """Return where the `count` least values are, in their order; of equal ones the first."""
    count = min(count, len(values))
    limit = np.partition(values, count - 1)[count - 1]
    [places] = (values <= limit).nonzero()
    return places[np.argsort(values[places], kind="stable")[:count]]


def _by_rank(ranked: dict[tuple[int, str, str], list[int]]) -> Iterator[tuple[tuple[int, str, str], int]]:
    """Yield the first of every list, then the second of every list, and so on."""
    for rank in range(_LISTED):
        yield from ((name, photos[rank]) for name, photos in ranked.items() if rank < len(photos))
