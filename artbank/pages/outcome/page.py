"""The page of an output: pictures, scores and failures of all runs so far.

<output>/report/index.html                      facts, charts and some photos; works without JavaScript
<output>/report/assets/                         its stylesheets and its scripts
<output>/report/rows/overview-<hash>.js         the photos shown first, and an index of the chunks
<output>/report/rows/names-*.js, facts-*.js     all rows, see `grid`
<output>/report/pictures/<hash>.jpg             thumbnails of the photos shown first
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artbank import __version__
from artbank.pages.links import relative_url
from artbank.pages.outcome.grid import (
    BEYOND_COLOURS,
    GRID_COLUMNS,
    RECOLOURED,
    STATES,
    Chunk,
    Grid,
    caption_of,
    describe,
    script,
)
from artbank.pages.outcome.score_charts import draw_scores, draw_throughput, measure_throughput
from artbank.pages.outcome.selection import Selection, select
from artbank.pages.outcome.thumbnails import draw_photos, draw_pictures, photo_name, picture_name
from artbank.pages.publishing import INDEX, assets, content_name, publish, stamp
from artbank.pages.rendering import render
from artbank.report.summaries import FLOORS, Bounds
from artbank.results.tables import source_hash
from artbank.scoring.spread import NO_BOUNDS, Ceiling, ScoreBounds
from artbank.store.objects import Store

REPORT = "report"
COLUMNS = (*GRID_COLUMNS, *FLOORS.values())
"""Columns of the results that the page reads."""
LABELS = {
    "clip_style": "Likeness to the style",
    "clip_text": "Likeness to the style’s name",
    "clip_content": "Content kept of the photo",
    "clip_direction": "Step towards the artworks",
    "ssim": "Structure kept of the photo",
    "dino_structure": "Structure kept, by a DINOv2",
    "csd_style": "Likeness to the style, by a CSD",
    "clip_texture": "Likeness to the style’s texture, colours apart",
    RECOLOURED: "Likeness of the photo in the style’s colours",
    BEYOND_COLOURS: "Style beyond colours",
}
"""Titles of the scores."""
_SCRIPTS = (
    "outcome-data.js",
    "outcome-elements.js",
    "outcome-marks.js",
    "outcome-query.js",
    "outcome-view.js",
    "outcome-pictures.js",
    "outcome-zoom.js",
    "outcome-stage.js",
    "outcome-viewer.js",
    "outcome-tiles.js",
    "outcome-best.js",
    "outcome-grid.js",
    "outcome-bars.js",
    "outcome.js",
)  # in load order: each script uses what earlier ones define
_MARK = '<meta name="artbank-content" content="{}">'


@dataclass(frozen=True)
class StyleFacts:
    """Facts about a style on the page.

    Attributes:
        name: Name of its folder and in its rows.
        banks: Its banks and their versions, as text.
        bounds: Floor and ceiling by score: the means of untouched photos and of held-out artworks.
    """

    name: str
    banks: str
    bounds: Bounds = field(default_factory=dict)

    def lines(self, score: str) -> tuple[float | None, float | None]:
        """Return the floor and the mean of the ceiling of a score; None for what is not known."""
        return self.bounds.get(score, NO_BOUNDS).lines


@dataclass(frozen=True)
class RunFacts:
    """Facts about the run that writes the page.

    Attributes:
        heading: The page's heading.
        run_id: Name of the run's folder; empty if the run had nothing to do.
        facts: Parameters of the run, as pairs of term and text.
        styles: The run's styles, then those of earlier runs whose banks are still known.
        max_pixels: Larger photos and pictures get no thumbnail.
        retry_command: The command that tries failed photos again; empty if the run had nothing to do.
    """

    heading: str
    run_id: str
    facts: Sequence[tuple[str, str]]
    styles: Sequence[StyleFacts]
    max_pixels: int
    retry_command: str


def write_outcome(output: Store, archive: Store, rows: pa.Table, summary: Mapping[str, Any], run: RunFacts) -> str:
    """Write the page of an output, unless the existing page is up to date.

    Args:
        output: Holds the pictures and the page.
        archive: Holds the photos.
        rows: From `tables.update_tables_and_vacuum`, with at least `COLUMNS`.
        summary: From `summaries.results_summary`, of the same rows.
        run: The run that writes the page.

    Returns:
        The key of the page.

    Raises:
        OSError: The store failed.
    """
    page = output.child(REPORT)
    styles = _all_styles(rows, run.styles)
    made_from = [
        __version__,
        sorted(_assets()),
        source_hash(rows),
        [asdict(style) for style in styles],
        summary["skipped"],
    ]
    mark = _MARK.format(stamp(made_from))
    if not _is_written(page, mark):
        grid = Grid(rows, tuple(style.name for style in styles), _ceilings(styles))
        draft = _Draft(output, archive, grid, run, page)
        publish(page, draft.write_files(), lambda: draft.write_html(styles, summary, mark), kept=draft.known)
    return f"{REPORT}/{INDEX}"


class _Draft:
    """A page that is being written: its files one by one, then the HTML."""

    def __init__(self, output: Store, archive: Store, grid: Grid, run: RunFacts, page: Store):
        self.output = output
        self.archive = archive
        self.grid = grid
        self.run = run
        self.archive_url = relative_url(page, archive)
        self.selection = select(grid)
        self.shown = {photo: grid.cells(photo) for photo in self.selection.photos}
        self.photos = {row["key"]: photo_name(row) for row in map(_first, self.shown.values())}
        self.pictures = [self.shown[photo][column] for photo, column in sorted(self.selection.pictures)]
        there = {stored.key for stored in page.scan("pictures")}
        self.known = there & {*self.photos.values(), *map(picture_name, self.pictures)}
        self.linked = _assets()
        self.overview: dict[str, Any] = {}

    def write_files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the missing files; the overview comes after the files that it names."""
        there = set(self.known)
        most = self.run.max_pixels
        for name, data in chain(
            draw_photos(self.archive, self.photos, there, most), draw_pictures(self.output, self.pictures, there, most)
        ):
            self.known.add(name)
            yield name, data
        chunks = []
        for chunk in self.grid.chunks():
            entry, scripts = _chunk_files(chunk)
            chunks.append(entry)
            yield from scripts.items()
        self.overview = _overview(
            self.grid, self.selection, self.shown, self.known, chunks, self.archive_url, self.run.heading
        )
        overview = script("overview", self.overview)
        self.linked[content_name("rows", "overview.js", overview)] = overview
        yield from self.linked.items()

    def write_html(self, styles: Sequence[StyleFacts], summary: Mapping[str, Any], mark: str) -> str:
        """Return the page's HTML; call it after all files are written."""
        return render(
            "outcome.html",
            assets=list(self.linked),
            heading=self.run.heading,
            mark=mark,
            run=self.run,
            styles=styles,
            summary=summary,
            times=measure_throughput(self.grid),
            throughput=draw_throughput(self.grid),
            scores=draw_scores(self.grid, styles, LABELS),
            has_recoloured=BEYOND_COLOURS in self.grid.measures,
            photo_url=self.archive_url,
            spread=[self.overview["photos"][place] for place in self.overview["spread"]],
        )


def _overview(
    grid: Grid,
    selection: Selection,
    shown: Mapping[int, Mapping[int, Mapping[str, Any]]],
    known: set[str],
    chunks: Sequence[Any],
    archive_url: str | None,
    heading: str,
) -> dict[str, Any]:
    places = {photo: place for place, photo in enumerate(shown)}
    lists = [
        [column, measure, kind, [places[photo] for photo in photos]]
        for (column, measure, kind), photos in selection.listed.items()
    ]
    failed = grid.rows.filter(pa.array(~grid.is_done))["failure"].fill_null("unreadable")
    failures = sorted(pc.unique(failed).to_pylist())
    return {
        "styles": grid.styles,
        "measures": [[measure, LABELS[measure]] for measure in grid.measures],
        "states": STATES,
        "heading": heading,
        "numPhotos": grid.num_photos,
        "failures": failures,
        "photosInAChunk": grid.photos_in_a_chunk,
        "archive": archive_url,
        "chunks": chunks,
        "photos": [_photo(cells, grid, known) for cells in shown.values()],
        "spread": [places[photo] for photo in selection.spread],
        "lists": lists,
    }


def _photo(cells: Mapping[int, Mapping[str, Any]], grid: Grid, known: set[str]) -> dict[str, Any]:
    first = _first(cells)
    small = photo_name(_first(cells))
    sized = next((row for row in cells.values() if row["width_px"] and row["height_px"]), None)
    described = []
    for column in range(len(grid.styles)):
        row = cells.get(column)
        entry = describe(dict(row), grid.measures) if row else None
        if row and entry and picture_name(row) in known:
            entry["small"] = picture_name(row)
        described.append(entry)
    return {
        "key": first["key"],
        "small": small if small in known else None,
        "shape": round(sized["width_px"] / sized["height_px"], 3) if sized else None,
        "caption": caption_of(cells.values()),
        "cells": described,
    }


def _chunk_files(chunk: Chunk) -> tuple[list[Any], dict[str, bytes]]:
    """Return a chunk's entry in the overview, and its scripts."""
    scripts = {"names": chunk.names, "facts": chunk.facts}
    named = {kind: content_name("rows", f"{kind}-{chunk.number:05d}.js", data) for kind, data in scripts.items()}
    return [named["names"], named["facts"], chunk.counts], {named[kind]: data for kind, data in scripts.items()}


def _first(cells: Mapping[int, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the oldest row of a photo."""
    return min(cells.values(), key=lambda row: row["created_at"])


def _all_styles(rows: pa.Table, known: Sequence[StyleFacts]) -> list[StyleFacts]:
    """Return the styles that are known, in their order, then those of earlier runs that no bank is known of."""
    there = set(pc.unique(rows["style"]).to_pylist())
    others = sorted(there - {style.name for style in known})
    earlier = []
    for name in others:
        style_rows = rows.filter(pc.equal(rows["style"], name))
        bounds = {score: ScoreBounds(pc.mean(style_rows[column]).as_py()) for score, column in FLOORS.items()}
        earlier.append(StyleFacts(name, "of an earlier run", bounds))
    return [*(style for style in known if style.name in there), *earlier]


def _ceilings(styles: Sequence[StyleFacts]) -> dict[str, Ceiling]:
    found = {style.name: style.bounds.get("clip_style", NO_BOUNDS).ceiling for style in styles}
    return {name: ceiling for name, ceiling in found.items() if ceiling is not None}


def _assets() -> dict[str, bytes]:
    return assets("style.css", "outcome.css", "outcome-viewer.css", *_SCRIPTS)


def _is_written(page: Store, mark: str) -> bool:
    found = page.read_many([INDEX])[INDEX]
    return isinstance(found, bytes) and mark.encode() in found
