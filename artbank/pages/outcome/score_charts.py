"""The charts of an output: the distribution of its scores, and the pictures per minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pyarrow as pa

from artbank.pages.charts import Chart, line_chart
from artbank.pages.histograms import histogram
from artbank.pages.outcome.grid import Grid

_PAUSE_US = 30 * 60 * 1_000_000  # a longer pause separates two work periods
_MAX_BINS = 48
_MIN_BIN_US = 1_000_000
_MIN_BINS = 3
_PICTURES_IN_A_BIN = 10  # on average: pictures finish in batches


class Bounded(Protocol):
    """A style with the floor and the ceiling of its scores."""

    @property
    def name(self) -> str: ...
    def lines(self, score: str) -> tuple[float | None, float | None]: ...


@dataclass(frozen=True)
class Times:
    """The times at which the pictures were drawn.

    Attributes:
        first: Value of the first picture; None without pictures.
        last: Value of the last picture.
        num_stretches: Work periods, separated by pauses of half an hour or more.
        a_minute: Pictures per minute in the last work period; None if it took no time.
    """

    first: datetime | None
    last: datetime | None
    num_stretches: int
    a_minute: float | None


def draw_scores(grid: Grid, styles: Sequence[Bounded], labels: Mapping[str, str]) -> list[Chart]:
    """Draw one chart per score that any picture has, with one row per style."""
    charts = []
    for measure in grid.measures:
        scores = grid.scores(measure)
        series = {name: scores[grid.columns == column] for column, name in enumerate(grid.styles)}
        if np.isfinite(scores).any():
            charts.append(histogram(series, title=labels[measure], unit=measure, marks=_mark_bounds(styles, measure)))
    return charts


def _mark_bounds(styles: Sequence[Bounded], measure: str) -> dict[str, dict[str, float | None]]:
    """Return the floor and the ceiling of a score by style."""
    lines_of_style = {style.name: style.lines(measure) for style in styles}
    return {name: {"floor": floor, "ceiling": ceiling} for name, (floor, ceiling) in lines_of_style.items()}


def measure_throughput(grid: Grid) -> Times:
    """Measure when the pictures were drawn, and the rate of the last work period."""
    times = _times(grid)
    if not len(times):
        return Times(None, None, 0, None)
    last = _last_stretch(times)
    minutes = (last[-1] - last[0]) / 60e6
    num_stretches = int((np.diff(times) > _PAUSE_US).sum()) + 1
    return Times(_moment(times[0]), _moment(times[-1]), num_stretches, (len(last) - 1) / minutes if minutes else None)


def draw_throughput(grid: Grid) -> Chart | None:
    """Draw the pictures per minute of the last work period; None if it is too short for a chart."""
    times = _times(grid)
    last = _last_stretch(times)
    span = int(last[-1] - last[0]) if len(last) else 0
    count = min(_MAX_BINS, span // _MIN_BIN_US, len(last) // _PICTURES_IN_A_BIN)
    if count < _MIN_BINS:
        return None
    counts, edges = np.histogram(last, count)
    places = ((edges[1:] + edges[:-1]) / 2).tolist()
    heights = (counts / (span / count / 60e6)).round(2).tolist()
    ticks = {place: _moment(place).strftime(_time_format(span)) for place in places}
    series = {"pictures a minute": (places, heights)}
    return line_chart(
        series, title="Pictures a minute", x_label="time, UTC", y_label="pictures a minute", ticks=ticks, is_filled=True
    )


def _times(grid: Grid) -> np.ndarray:
    """Return the sorted times of all pictures, in microseconds since 1970."""
    return np.sort(grid.rows["created_at"].cast(pa.int64()).to_numpy()[grid.is_done])


def _last_stretch(times: np.ndarray) -> np.ndarray:
    [pauses] = (np.diff(times) > _PAUSE_US).nonzero()
    return times[pauses[-1] + 1 :] if len(pauses) else times


def _moment(microseconds: float) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _time_format(span_us: int) -> str:
    """Return the format of times on an axis of this length."""
    if span_us < 3600e6:
        return "%H:%M:%S"
    if span_us < 86400e6:
        return "%H:%M"
    return "%d %b %H:%M"
