"""Histograms as charts; each bar carries its limits, so that a page's script can filter by them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from artbank.pages.charts import (
    WIDTH,
    Chart,
    Scale,
    draw_ticks,
    element,
    label,
    round_step,
    svg,
    tick_text,
    value_text,
)
from artbank.report.markdown import plain, shorten

MARKS = {"floor": "cold", "ceiling": "warm"}
"""Colours of named marks; other marks are drawn in `ink`."""
DECIMALS = 4
"""Decimals of the values that are counted: those that the page's scripts know."""

_NUM_BINS = 40
_FEWEST_BINS = 10
_STEP_OF_ONE_VALUE = 0.01
_LETTER, _CAPITAL, _WIDE_LETTER = 6.4, 7.6, 11.0  # about the widths of letters of 11 units
_MOST_ROWS = 24
_LEFT, _RIGHT = 104.0, 446.0
_HEAD, _ROW, _BARS, _FOOT = 16.0, 54.0, 42.0, 34.0
_NOTHING: Mapping[str, float | None] = {}


def histogram(
    series: Mapping[str, np.ndarray],
    *,
    title: str,
    unit: str,
    marks: Mapping[str, Mapping[str, float | None]] | None = None,
) -> Chart:
    """Draw histograms over one shared axis, one row per series; bars have round limits.

    A bar counts values from its lower limit up to, but without, its upper one, both rounded to `DECIMALS`. It is a
    `rect` of class `bar` with `data-low`, `data-high` and `data-count`, in a `g` with the series' number as
    `data-series`.

    Args:
        series: Values by name. Values that are not finite are skipped; only the first 24 series are drawn.
        title: Heading.
        unit: Label of the axis.
        marks: Values to mark, by series and name, such as `{"monet": {"floor": 0.4}}`.
    """
    kept = {name: np.round(values[np.isfinite(values)].astype(np.float64), DECIMALS) for name, values in series.items()}
    own_marks = {name: _without_none((marks or {}).get(name, _NOTHING)) for name in kept}
    edges = choose_edges(
        [*kept.values(), *(np.array(list(marks_of_series.values())) for marks_of_series in own_marks.values())]
    )
    scale = Scale(edges[0], edges[-1], _LEFT, _RIGHT)
    drawn = list(kept)[:_MOST_ROWS]
    height = _HEAD + _ROW * max(len(drawn), 1) + _FOOT
    rows = []
    for number, name in enumerate(drawn):
        is_named = number == 0 or own_marks[name].keys() != own_marks[drawn[number - 1]].keys()
        top = _HEAD + _ROW * number
        rows.append(_draw_row(number, name, kept[name], edges, scale, top))
        rows.append(_draw_marks(own_marks[name], scale, top, is_named=is_named))
    rows.append(draw_ticks(scale, {value: tick_text(value) for value in scale.ticks}, height - _FOOT + 4))
    rows.append(element("text", unit, x=(_LEFT + _RIGHT) / 2, y=height - 8, text_anchor="middle", class_="fill-muted"))
    names = list(dict.fromkeys(mark for row in own_marks.values() for mark in row))
    cells = tuple(
        (plain(name), *_spread(values), *(value_text(own_marks[name].get(mark)) for mark in names))
        for name, values in kept.items()
    )
    middles = "; ".join(f"{plain(name)} {value_text(_quantile(kept[name], 0.5))}" for name in drawn)
    summary = f"{title}: spread from {tick_text(edges[0])} to {tick_text(edges[-1])}. Medians: {middles}."
    head = ("", "pictures", "mean", "5 %", "median", "95 %", *names)
    return Chart(title, summary, svg(rows, height, title), head, cells, measure=unit)


def choose_edges(all_values: Sequence[np.ndarray]) -> list[float]:
    """Return 11 to 42 limits of bars at multiples of a round step, which hold all values."""
    joined = np.concatenate([np.asarray(values, np.float64) for values in all_values]) if all_values else np.empty(0)
    joined = joined[np.isfinite(joined)]
    low, high = (float(joined.min()), float(joined.max())) if len(joined) else (0.0, 1.0)
    step = round_step(max((high - low) / (_NUM_BINS - 1), 10.0**-DECIMALS)) if high > low else _STEP_OF_ONE_VALUE
    first, last = math.floor(low / step + 1e-9), math.floor(high / step + 1e-9) + 1
    missing = max(_FEWEST_BINS - (last - first), 0)
    first, last = first - missing // 2, last + missing - missing // 2
    return [round(number * step, DECIMALS) for number in range(first, last + 1)]


def row_label(name: str) -> str:
    """Return the name of a series, shortened to what fits beside its row."""
    text = plain(name)
    for longest in range(len(text), 2, -1):
        shown = shorten(text, longest)
        if sum(map(_letter_width, shown)) <= _LEFT - 8:
            return shown
    return shorten(text, 3)


def _letter_width(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return _WIDE_LETTER
    return _CAPITAL if letter.isupper() else _LETTER


def _without_none(marks: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in marks.items() if value is not None}


def _draw_row(number: int, name: str, values: np.ndarray, edges: Sequence[float], scale: Scale, top: float) -> Markup:
    floor = top + _BARS
    counts = np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(edges) - 1)
    most = max(int(counts.max()), 1)
    bars = []
    for low, high, count in zip(edges, edges[1:], counts.tolist(), strict=False):
        if count:
            tall = max(_BARS * count / most, 1.0)
            place = {"x": scale(low), "y": floor - tall, "width": scale(high) - scale(low), "height": tall}
            limits = {"data_low": repr(low), "data_high": repr(high), "data_count": count}
            bars.append(element("rect", **place, class_="bar fill-accent", **limits))
    axis = element("line", x1=_LEFT, x2=_RIGHT, y1=floor, y2=floor, class_="stroke-rule")
    words = element("text", row_label(name), x=_LEFT - 8, y=floor - 2, text_anchor="end", class_="fill-ink")
    return element("g", axis + words + Markup("").join(bars), data_series=number)


def _draw_marks(marks: Mapping[str, float], scale: Scale, top: float, *, is_named: bool) -> Markup:
    drawn = []
    for name, value in marks.items():
        x = scale(value)
        colour = MARKS.get(name, "ink")
        drawn.append(element("line", x1=x, x2=x, y1=top, y2=top + _BARS, class_=f"stroke-{colour}", stroke_width="2"))
        if is_named:
            at = min(max(x, 20.0), WIDTH - 24)
            drawn.append(element("text", label(name), x=at, y=top - 3, text_anchor="middle", class_=f"fill-{colour}"))
    return Markup("").join(drawn)


def _spread(values: np.ndarray) -> tuple[str, ...]:
    mean = float(values.mean()) if len(values) else None
    return (
        f"{len(values):,}",
        value_text(mean),
        *(value_text(_quantile(values, share)) for share in (0.05, 0.5, 0.95)),
    )


def _quantile(values: np.ndarray, share: float) -> float | None:
    return float(np.quantile(values, share)) if len(values) else None
