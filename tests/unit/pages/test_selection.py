"""Selection of the pictures that a page shows first."""

from __future__ import annotations

import pytest

from artbank.pages.outcome.grid import GRID_COLUMNS, Grid
from artbank.pages.outcome.selection import KINDS, select
from artbank.records.photo_records import Result
from tests.support.output_pages import STYLES
from tests.support.rows import result


def grid_of(num_photos: int) -> Grid:
    """Return photos in one style whose likeness to it grows with their number."""
    rows = [result(f"{i:03d}.jpg", STYLES[0], clip_style=i / num_photos) for i in range(num_photos)]
    return Grid(Result.to_table(rows).select(GRID_COLUMNS), STYLES[:1])


@pytest.mark.parametrize(
    ("num_photos", "best", "worst", "median"),
    [
        (1, [0], [], []),
        (2, [1], [0], []),
        (3, [2], [0], [1]),
        (7, [6, 5], [0, 1], [3, 2]),
        (11, [10, 9, 8], [0, 1, 2], [5, 4, 6]),
        (101, [100, 99, 98, 97], [0, 1, 2, 3], [50, 49, 51, 48]),
    ],
)
def test_no_picture_is_among_the_best_and_the_worst_at_once(
    num_photos: int, best: list[int], worst: list[int], median: list[int]
) -> None:
    listed = select(grid_of(num_photos)).listed
    found = [listed.get((0, "clip_style", kind), []) for kind in KINDS]
    assert found == [best, worst, median]


def test_an_output_without_pictures_has_no_lists() -> None:
    failed = result("torn.jpg", STYLES[0], status="failed", failure="unreadable", file_name=None, clip_style=None)
    grid = Grid(Result.to_table([failed]).select(GRID_COLUMNS), STYLES[:1])
    sample = select(grid)
    assert (sample.spread, sample.listed) == ([], {})
