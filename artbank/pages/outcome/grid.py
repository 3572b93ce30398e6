"""The rows of an output as a grid of photos and styles, split into chunks that the page loads on demand.

A page opened from a disk must not fetch other files, but it may load scripts. So a chunk is a script that
passes one object to `artbank.receive`. Each chunk of some thousand photos has two scripts: names and captions, for
the search, and the facts, one column per style and score. The overview counts the photos of each state in
a chunk, so that filters can skip whole chunks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.report.markdown import shorten
from artbank.report.summaries import MEASURES, OPTIONAL_MEASURES
from artbank.results.containers import is_container
from artbank.scoring.spread import Ceiling, measure_gains

RECOLOURED = "clip_style_recoloured"
BEYOND_COLOURS = "gain_beyond_colours"
"""The gain of `clip_style` above that of the recoloured photo; the grid computes it."""
GRID_COLUMNS = (
    *("key", "style", "status", "failure", "reason", "flags", "file_name", "width_px", "height_px", "created_at"),
    "caption",
    *MEASURES,
    *OPTIONAL_MEASURES,
    RECOLOURED,
)
"""Columns of the results that the grid reads."""
_SOMETIMES = (*OPTIONAL_MEASURES, RECOLOURED, BEYOND_COLOURS)
"""Scores that not every output has."""
STATES = ("done", "failed", "flagged", "absent")
"""States of a photo in a style; a flagged photo is also done."""

_MAX_PHOTOS = 4096
_MAX_CELLS = 32_768
_MIN_PHOTOS = 256
_SCALE = 10_000  # scores are stored as 16-bit integers: cosines with four decimals
_NO_SCORE = -32_768
_CAPTION_LETTERS = 600  # of a caption that is shown and searched


@dataclass(frozen=True)
class Chunk:
    """Consecutive photos.

    Attributes:
        number: Counted from 0.
        names: The script with their names and captions.
        facts: The script with their states and scores.
        first: Key of the first photo.
        counts: Number of photos in each of `STATES`: first for any style, then per style.
    """

    number: int
    names: bytes
    facts: bytes
    first: str
    counts: list[list[int]]


class Grid:
    """The current rows of an output, by photo and style.

    Attributes:
        rows: With at least `GRID_COLUMNS` and `gain_beyond_colours`, sorted by key and style.
        styles: Style names in the order of the page's columns.
    """

    def __init__(self, rows: pa.Table, styles: tuple[str, ...], ceilings: Mapping[str, Ceiling] | None = None):
        """Wrap rows.

        Args:
            rows: With at least `GRID_COLUMNS`, sorted by key and style.
            styles: Contains every style of them.
            ceilings: The `clip_style` of held-out artworks by style, as far as it is known.
        """
        self.styles = styles
        self.rows = rows
        self.rows = rows.append_column(BEYOND_COLOURS, pa.array(self._measure_gains(ceilings or {})))

    @cached_property
    def photos(self) -> np.ndarray:
        """The photo number of each row, counted from 0 in the order of the keys."""
        keys = self.rows["key"]
        begins = np.ones(len(keys), bool)
        if len(keys) > 1:
            begins[1:] = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)).to_numpy()
        return np.cumsum(begins) - 1

    @property
    def num_photos(self) -> int:
        """Number of photos."""
        return int(self.photos[-1]) + 1 if len(self.photos) else 0

    @cached_property
    def columns(self) -> np.ndarray:
        """The style number of each row."""
        return pc.index_in(self.rows["style"], value_set=pa.array(self.styles, pa.string())).to_numpy()

    @cached_property
    def is_done(self) -> np.ndarray:
        """Whether each row has a picture."""
        return pc.equal(self.rows["status"], "done").to_numpy()

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """The scores that the page shows: `MEASURES`, and those others that any picture has."""
        found = (measure for measure in _SOMETIMES if np.isfinite(self.scores(measure)).any())
        return (*MEASURES, *found)

    def scores(self, measure: str) -> np.ndarray:
        """Return one score of each row; NaN where there is no picture."""
        return np.where(self.is_done, self.rows[measure].to_numpy().astype(np.float64), np.nan)

    def _measure_gains(self, ceilings: Mapping[str, Ceiling]) -> np.ndarray:
        """Return the gain of each row above its photo in the collection's colours; NaN where there is none."""
        scores, floors = self.scores("clip_style"), self.scores(RECOLOURED)
        gains = np.full(len(scores), np.nan)
        for column, style in enumerate(self.styles):
            [places] = (self.columns == column).nonzero()
            gains[places] = measure_gains(scores[places], floors[places], ceilings.get(style))
        return gains

    def rows_of(self, first: int, end: int) -> slice:
        """Return the slice of rows of photos `first` to `end` - 1."""
        low, high = np.searchsorted(self.photos, (first, end))
        return slice(int(low), int(high))

    @property
    def photos_in_a_chunk(self) -> int:
        """Photos per chunk; the last chunk may have fewer."""
        return max(_MIN_PHOTOS, min(_MAX_PHOTOS, _MAX_CELLS // max(len(self.styles), 1)))

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows chunk by chunk."""
        size = self.photos_in_a_chunk
        for number, first in enumerate(range(0, self.num_photos, size)):
            yield self._chunk(number, first, min(first + size, self.num_photos))

    def cells(self, photo: int) -> dict[int, dict[str, Any]]:
        """Return the rows of one photo, by style number."""
        where = self.rows_of(photo, photo + 1)
        rows = self.rows.slice(where.start, where.stop - where.start).to_pylist()
        return dict(zip(self.columns[where].tolist(), rows, strict=True))

    def _chunk(self, number: int, first: int, end: int) -> Chunk:
        where = self.rows_of(first, end)
        rows = self.rows.slice(where.start, where.stop - where.start)
        count = end - first
        photos = self.photos[where] - first
        columns = self.columns[where]
        starts = np.searchsorted(photos, np.arange(count))
        keys = rows["key"].take(pa.array(starts)).to_pylist()
        facts = {"shape": _shapes(rows, photos, count), "styles": []}
        states = np.zeros((len(self.styles), 4, count), bool)
        for column in range(len(self.styles)):
            [places] = (columns == column).nonzero()
            style_rows = rows.take(pa.array(places))
            column_facts, states[column] = _column(style_rows, photos[places], count, self.measures)
            facts["styles"].append(column_facts)
        counts = [states.any(axis=0).sum(axis=1).tolist(), *states.sum(axis=2).tolist()]
        names = {"folders": _folders(keys), "names": [key.rpartition("/")[2] for key in keys]}
        if captions := _captions(rows, photos):
            names["captions"] = captions
        return Chunk(number, script(f"names-{number}", names), script(f"facts-{number}", facts), keys[0], counts)


def script(name: str, facts: Any) -> bytes:
    """Return a script that passes facts to the page, in ASCII."""
    return f"artbank.receive({json.dumps(name)}, {json.dumps(facts, separators=(',', ':'))});\n".encode("ascii")


def describe(row: dict[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    """Return a row as the page's scripts read it, with some scores and without empty values."""
    state, name = _state(row)
    facts = {
        "state": state,
        "name": name,
        "scores": [None if (v := row[m]) is None or not np.isfinite(v) else round(v, 4) for m in measures],
        "failure": row["failure"],
        "reason": row["reason"] and shorten(row["reason"]),
        "flags": row["flags"],
        "size": [row["width_px"], row["height_px"]] if row["width_px"] and row["height_px"] else None,
    }
    return {key: value for key, value in facts.items() if value}


def caption_of(rows: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the caption of a photo as its rows have it; None without one."""
    return next((shorten(row["caption"], _CAPTION_LETTERS) for row in rows if row["caption"]), None)


def _state(row: dict[str, Any]) -> tuple[str, str | None]:
    """Return a letter for the place of a row's picture, and the file name where the letter does not imply it.

    `d` the photo's own name, `p` that name with `.png`, `n` another name, `c` in a container, `f` failed.
    """
    name = row["file_name"]
    plain_name = f"{row['style']}/{row['key']}"
    if row["status"] != "done" or name is None:
        return "f", None
    if name == plain_name:
        return "d", None
    if name == f"{plain_name}.png":
        return "p", None
    return ("c" if is_container(name) else "n"), name


def _column(
    rows: pa.Table, photos: np.ndarray, count: int, measures: Sequence[str]
) -> tuple[dict[str, Any], np.ndarray]:
    """Return one style's facts in a chunk, and a mask of photos for each of `STATES`."""
    letters = np.full(count, " ")
    by_photo: dict[str, dict[int, Any]] = {"names": {}, "failed": {}, "flags": {}}
    letters[photos] = "d"
    status = rows["status"]
    names = rows["file_name"]
    flags = rows["flags"]
    plain_names = pc.binary_join_element_wise(rows["style"], rows["key"], "/")
    is_plain = pc.and_(pc.equal(status, "done"), pc.equal(names, plain_names)).fill_null(False).to_numpy()
    is_flagged = pc.greater(pc.list_value_length(flags), 0).fill_null(False).to_numpy()
    for place in (~is_plain).nonzero()[0].tolist():
        row = {name: rows[name][place].as_py() for name in ("key", "style", "status", "failure", "reason", "file_name")}
        photo = int(photos[place])
        letters[photo], name = _state(row)
        if name is not None:
            by_photo["names"][photo] = name
        if letters[photo] == "f":
            by_photo["failed"][photo] = [row["failure"] or "unreadable", shorten(row["reason"] or "no reason was kept")]
    is_there = letters != " "
    is_done = is_there & (letters != "f")
    shown = np.zeros(count, bool)
    shown[photos[is_flagged]] = True
    by_photo["flags"] = {
        int(photos[p]): flags[p].as_py() for p in is_flagged.nonzero()[0].tolist() if is_done[photos[p]]
    }
    facts = {"states": "".join(letters.tolist()), **{name: value for name, value in by_photo.items() if value}}
    facts["scores"] = [_packed(_spread_out(rows[measure].to_numpy(), photos, count)) for measure in measures]
    return facts, np.stack([is_done, is_there & ~is_done, shown & is_done, ~is_there])


def _captions(rows: pa.Table, photos: np.ndarray) -> dict[int, str]:
    """Return the captions of the photos of a chunk that have one."""
    lengths = pc.utf8_length(rows["caption"]).fill_null(0).to_numpy()
    [places] = (lengths > 0).nonzero()
    texts = rows["caption"].take(pa.array(places)).to_pylist()
    captions: dict[int, str] = {}
    for photo, text in zip(photos[places].tolist(), texts, strict=True):
        captions.setdefault(photo, shorten(text, _CAPTION_LETTERS))
    return captions


def _spread_out(scores: np.ndarray, photos: np.ndarray, count: int) -> np.ndarray:
    """Return one 16-bit score for each photo of a chunk."""
    kept = np.full(count, _NO_SCORE, np.int64)
    known = np.isfinite(scores.astype(np.float64))
    kept[photos[known]] = np.round(np.clip(scores[known].astype(np.float64), -3, 3) * _SCALE)
    return kept


def _shapes(rows: pa.Table, photos: np.ndarray, count: int) -> str:
    """Return the aspect ratio (width / height) of the photos' pictures, in thousandths."""
    wide, high = (rows[name].cast(pa.float64()).to_numpy() for name in ("width_px", "height_px"))
    shapes = np.zeros(count, np.int64)
    known = np.isfinite(wide) & np.isfinite(high) & (high > 0)
    shapes[photos[known]] = np.clip(np.round(1000 * wide[known] / high[known]), 1, 32_000)
    return _packed(shapes)


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<i2").tobytes()).decode()


def _folders(keys: list[str]) -> list[list[Any]]:
    """Return the folders of sorted keys, each with its number of consecutive keys."""
    return [[folder, len(list(same))] for folder, same in groupby(key.rpartition("/")[0] for key in keys)]
