"""Charts as inline SVG, with text as text, the page's own colours, and the numbers as a table.

Equal data give equal bytes. Charts have no ids and no inline styles, so a page can hold many of them under
a strict content security policy. Colours are classes such as `fill-accent`, defined in `style.css`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from artbank.report.markdown import plain, shorten

SHADES = ("accent", "second", "third", "fourth", "fifth", "sixth")
"""Colours of lines, in order; a seventh line starts over."""
WIDTH = 460.0
"""Width of every chart, in its own units: about pixels."""

_LINE_HEIGHT = 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 452.0, 18.0, 166.0  # the area of a line chart
_NUM_TICKS = 5
_LABEL_LETTERS = 17
_MISSING = "–"


@dataclass(frozen=True)
class Chart:
    """A chart, its summary and its numbers; `charts.html` renders it as a figure.

    Attributes:
        title: Heading.
        summary: One sentence for screen readers.
        svg: The drawing.
        head: Titles of the table's columns.
        rows: The table's cells; the first cell of a row names it.
        measure: The score that it shows; None if it shows something else.
    """

    title: str
    summary: str
    svg: Markup
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    measure: str | None = None


def line_chart(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    ticks: Mapping[float, str] | None = None,
    marks: Mapping[str, float] | None = None,
    is_filled: bool = False,
    is_from_zero: bool = True,
) -> Chart:
    """Draw lines over one axis.

    Args:
        series: x and y values by name.
        title: Heading.
        x_label: Label of the x axis.
        y_label: Label of the y axis.
        ticks: Labels of x values, used in the table too; by default the numbers.
        marks: x values to mark, by name.
        is_filled: Fill the area below the lines.
        is_from_zero: Start the y axis at 0, else a little below the lowest value.
    """
    places = sorted({place for line, _ in series.values() for place in line})
    heights = [height for _, line in series.values() for height in line]
    xs = Scale(*_ends(places), _LEFT, _RIGHT)
    low = 0.0 if is_from_zero else min(heights, default=0.0)
    ys = Scale(low, max([*heights, low + 1e-9]) + 0.05 * (max(heights, default=0.0) - low), _BOTTOM, _TOP)
    drawn = [_draw_grid(ys), *_draw_lines(series, xs, ys, is_filled=is_filled), *_draw_places(marks or {}, xs)]
    drawn += [draw_ticks(xs, _label_places(places, ticks, xs), _BOTTOM + 16), *_draw_titles(x_label, y_label)]
    known = [dict(zip(line_places, line_heights, strict=True)) for line_places, line_heights in series.values()]
    labels = ticks or {}
    rows = tuple(
        (labels.get(p, value_text(p)), *(value_text(heights.get(p)) for heights in known)) for p in thin(places, 60)
    )
    peaks = "; ".join(f"{plain(name)} up to {value_text(max(h, default=None))}" for name, (_, h) in series.items())
    return Chart(title, f"{title}: {peaks}.", svg(drawn, _LINE_HEIGHT, title), (x_label, *map(plain, series)), rows)


@dataclass(frozen=True)
class Scale:
    """A linear map of values to units of the drawing.

    Attributes:
        low: The value at `start`.
        high: The value at `end`; more than `low`.
        start: Where the axis begins, in units.
        end: Where it ends.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value is, in units."""
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        """About five round numbers between the ends."""
        step = round_step((self.high - self.low) / _NUM_TICKS)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 10) for number in range(first, last + 1)]


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, ... times a power of ten that is not less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(round(factor * power, 12) for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def svg(elements: Sequence[Markup], height: float, title: str) -> Markup:
    """Return a drawing of `WIDTH` units."""
    head = Markup('<svg viewBox="0 0 {} {}" class="chart" role="img" aria-label="{}">')
    return head.format(units(WIDTH), units(height), title) + Markup("").join(elements) + Markup("</svg>")


def element(name: str, text: str | Markup = "", /, **attributes: Any) -> Markup:
    """Return an element; `class_` is its class, and `_` in other names stands for `-`. Numbers are rounded to 0.1."""
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    written = Markup("").join(Markup(' {}="{}"').format(key, units(value)) for key, value in named.items())
    return Markup("<{}{}>{}</{}>").format(Markup(name), written, text, Markup(name))


def draw_ticks(scale: Scale, ticks: Mapping[float, str], y: float) -> Markup:
    """Return the labels of values below an axis; those at its ends stay within the drawing."""
    ends = {0: "middle", 1: "end", -1: "start"}
    labels = []
    for value, text in ticks.items():
        x = scale(value)
        side = 1 if x > WIDTH - 26 else -1 if x < 26 else 0
        labels.append(element("text", text, x=min(x, WIDTH - 1), y=y, text_anchor=ends[side], class_="fill-muted"))
    return Markup("").join(labels)


def label(name: str) -> str:
    """Return a name as the label of a line or a row."""
    return shorten(plain(name), _LABEL_LETTERS)


def units(value: Any) -> str:
    """Return a length of a drawing as text; other values as they are."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def value_text(value: float | None) -> str:
    """Return a value of a table as text."""
    return _MISSING if value is None else f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"


def tick_text(value: float) -> str:
    """Return a value at an axis as text, with as many digits as it has."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}"


def thin(values: Sequence[Any], most: int) -> list[Any]:
    """Return at most `most` evenly spread values, including the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[place] for place in np.linspace(0, len(values) - 1, most).round().astype(int).tolist()]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = (values[0], values[-1]) if values else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _draw_grid(ys: Scale) -> Markup:
    lines = []
    for value in ys.ticks:
        y = ys(value)
        lines.append(element("line", x1=_LEFT, x2=_RIGHT, y1=y, y2=y, class_="stroke-rule"))
        lines.append(element("text", tick_text(value), x=_LEFT - 6, y=y + 4, text_anchor="end", class_="fill-muted"))
    return Markup("").join(lines)


def _draw_lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], xs: Scale, ys: Scale, *, is_filled: bool
) -> list[Markup]:
    drawn = []
    for (name, (places, heights)), shade in zip(series.items(), SHADES * len(series), strict=False):
        points = [(xs(place), ys(height)) for place, height in zip(places, heights, strict=True)]
        if not points:
            continue
        path = "M" + " L".join(f"{units(x)} {units(y)}" for x, y in points)
        if is_filled:
            area = f"{path} L{units(points[-1][0])} {units(_BOTTOM)} L{units(points[0][0])} {units(_BOTTOM)} Z"
            drawn.append(element("path", d=area, class_=f"fill-{shade}", fill_opacity="0.16"))
        drawn.append(element("path", d=path, class_=f"stroke-{shade}", fill="none", stroke_width="1.8"))
        if len(series) > 1:
            x, y = points[-1]
            drawn.append(element("text", label(name), x=x, y=y - 4, text_anchor="end", class_=f"fill-{shade}"))
    return drawn


def _draw_places(marks: Mapping[str, float], xs: Scale) -> list[Markup]:
    drawn = []
    for name, place in marks.items():
        x = xs(place)
        anchor = "end" if x > (_LEFT + _RIGHT) / 2 else "start"
        drawn.append(element("line", x1=x, x2=x, y1=_TOP, y2=_BOTTOM, class_="stroke-ink", stroke_dasharray="3 3"))
        drawn.append(element("text", label(name), x=x, y=_TOP - 4, text_anchor=anchor, class_="fill-ink"))
    return drawn


def _label_places(places: Sequence[float], ticks: Mapping[float, str] | None, xs: Scale) -> dict[float, str]:
    if ticks:
        return {place: ticks[place] for place in thin(list(ticks), _NUM_TICKS)}
    return {value: tick_text(value) for value in xs.ticks} if places else {}


def _draw_titles(x_label: str, y_label: str) -> list[Markup]:
    middle = (_LEFT + _RIGHT) / 2
    below = element("text", x_label, x=middle, y=_LINE_HEIGHT - 6, text_anchor="middle", class_="fill-muted")
    above = element("text", y_label, x=2.0, y=_TOP - 6, class_="fill-muted")
    return [below, above]
