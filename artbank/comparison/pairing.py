"""Pairs of pictures of one photo by two contestants, drawn in an order that a seed determines.

The order goes round the groups, a group being two contestants and a style: a voter who stops early has voted about
equally often in each. Each contestant is as often on the left side as on the right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.comparison.contestants import Contestant
from artbank.errors import ComparisonError
from artbank.runtime.hashing import short_hash

_SIDES_AT_ONCE = 16  # half of them swapped: sides are balanced, and no voter can predict them


@dataclass(frozen=True)
class Picture:
    """A contestant's picture.

    Attributes:
        contestant: The number of the contestant, from 0.
        key: The photo's key.
        style: The folder name of its style.
        file_name: As in its row.
        sha256: SHA-256 of the picture; None in rows of older versions.
    """

    contestant: int
    key: str
    style: str
    file_name: str
    sha256: str | None


@dataclass(frozen=True)
class Pair:
    """Two pictures of one photo.

    Attributes:
        key: The photo's key.
        sha256: SHA-256 of the photo; None if the rows do not have it.
        style: What the page and the count call the style.
        left: The picture on the left side, A.
        right: The picture on the right side, B.
    """

    key: str
    sha256: str | None
    style: str
    left: Picture
    right: Picture


@dataclass(frozen=True)
class Group:
    """All photos that two contestants have drawn in a style.

    Attributes:
        style: What the page and the count call the style.
        contestants: The numbers of the two.
        rows: `key`, and `style`, `file_name`, `file_sha256` and `sha256` of the first; those of the second have names
            with `other_`, without `other_style` where both are of one style.
    """

    style: str
    contestants: tuple[int, int]
    rows: pa.Table


@dataclass(frozen=True)
class Matched:
    """The groups of a comparison, and the number of pairs whose contestants drew different photos of one name."""

    groups: list[Group]
    num_changed: int


def match_pictures(contestants: Sequence[Contestant], tables: Sequence[pa.Table]) -> Matched:
    """Match the pictures of each two contestants, by photo and style, or by photo if the contestants name styles.

    Args:
        contestants: From `parse_contestants`.
        tables: Their rows, from `read_pictures`.

    Raises:
        ComparisonError: No two contestants have drawn the same photo.
    """
    has_styles = contestants[0].style is not None
    label = _shared_name([contestant.style or "" for contestant in contestants])
    groups: list[Group] = []
    num_changed = 0
    for first, second in combinations(range(len(contestants)), 2):
        rows = _join(tables[first], tables[second], ["key"] if has_styles else ["key", "style"])
        same = rows.filter(pc.equal(rows["sha256"], rows["other_sha256"]).fill_null(True))
        num_changed += len(rows) - len(same)
        for style in sorted(pc.unique(same["style"]).to_pylist()):
            of_style = same.filter(pc.field("style") == style)
            groups.append(Group(label if has_styles else style, (first, second), of_style))
    if not groups:
        raise ComparisonError(_no_pairs(contestants, num_changed, has_styles))
    return Matched(groups, num_changed)


def draw_pairs(groups: Sequence[Group], tables: Sequence[pa.Table], seed: int) -> Iterator[Pair]:
    """Yield all pairs of all groups, each once, in the order that the seed and the contestants' rows determine.

    Args:
        groups: From `match_pictures`.
        tables: The rows that the groups were matched from: other rows give another order.
        seed: 0 or more.
    """
    rng = np.random.default_rng(int(short_hash(json.dumps([seed, [_summary(table) for table in tables]])), 16))
    sides = {group.contestants: _draw_sides(rng) for group in groups}
    queues = [(group, iter(rng.permutation(len(group.rows)).tolist())) for group in groups]
    while queues:
        left: list[int] = []
        for place in rng.permutation(len(queues)).tolist():
            group, queue = queues[place]
            if (row := next(queue, None)) is not None:
                left.append(place)
                yield _make_pair(group, row, swapped=next(sides[group.contestants]))
        queues = [queues[place] for place in sorted(left)]


def _join(first: pa.Table, second: pa.Table, on: list[str]) -> pa.Table:
    """Return the photos of both, sorted, with the second's columns under names that begin with `other_`."""
    columns = ["key", "style", "file_name", "file_sha256", "sha256"]
    renamed = [name if name in on else f"other_{name}" for name in columns]
    joined = first.select(columns).join(second.select(columns).rename_columns(renamed), on, join_type="inner")
    return joined.sort_by([("key", "ascending"), ("style", "ascending")])


def _make_pair(group: Group, place: int, *, swapped: bool) -> Pair:
    [row] = group.rows.slice(place, 1).to_pylist()
    first, second = group.contestants
    key, other_style = row["key"], row.get("other_style", row["style"])
    left = Picture(first, key, row["style"], row["file_name"], row["file_sha256"])
    right = Picture(second, key, other_style, row["other_file_name"], row["other_file_sha256"])
    if swapped:
        left, right = right, left
    return Pair(row["key"], row["sha256"] or row["other_sha256"], group.style, left, right)


def _draw_sides(rng: np.random.Generator) -> Iterator[bool]:
    block = np.arange(_SIDES_AT_ONCE) % 2 == 0
    return chain.from_iterable(iter(lambda: rng.permutation(block).tolist(), None))


def _summary(rows: pa.Table) -> list[object]:
    newest = pc.max(rows["created_at"].cast(pa.int64())).as_py()
    return [len(rows), newest, sorted(pc.unique(rows["recipe_id"]).to_pylist())]


def _shared_name(styles: Sequence[str]) -> str:
    """Return the style or else the collection that all have in common, or else all styles."""
    if len(set(styles)) == 1:
        return styles[0]
    collections = {style.partition("@")[0] for style in styles}
    return collections.pop() if len(collections) == 1 else " / ".join(dict.fromkeys(styles))


def _no_pairs(contestants: Sequence[Contestant], num_changed: int, has_styles: bool) -> str:
    names = " and ".join(contestant.name for contestant in contestants)
    if num_changed:
        return f"{names} were drawn from photos of the same names but other contents; stylize one archive for all"
    hint = "" if has_styles else "; to compare different styles, write OUTPUT#STYLE for each"
    return f"no two of {names} have drawn the same photo in the same style{hint}"
