"""Charts as inline SVG, with text as text, the page's own colours, and the numbers as a table.

Equal data give equal bytes. Charts have no ids and no inline styles, so a page can hold many of them under
a strict content security policy. Colours are classes such as `fill-accent`, defined in `style.css`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from artbank.report.markdown import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = ("accent", "second", "third", "fourth", "fifth", "sixth")
"""Colours of lines, in order; a seventh line starts over."""
MARKS = {"floor": "cold", "ceiling": "warm"}
"""Colours of named marks in a histogram; other marks are drawn in `ink`."""

_COLOURS = ("ink", "muted", "rule", "wash", "cold", "warm", *SHADES)
_NUMBERED = {name: f"#0101{number:02x}" for number, name in enumerate(_COLOURS)}  # placeholders in matplotlib
_NAMED = {number: name for name, number in _NUMBERED.items()}
_SVG = "{http://www.w3.org/2000/svg}"
_DROPPED = {f"{_SVG}{name}" for name in ("defs", "metadata", "use")}
_KEPT = (
    "fill",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-linecap",
    "fill-opacity",
    "opacity",
    "text-anchor",
)
_PT = 72
_TEXT_PT = 11.0
_WIDTH_PT = 460.0
_ROW_PT = 54.0
_LABEL_PT = 104.0
_HEAD_PT = 16.0
_FOOT_PT = 34.0
_MOST_ROWS = 24
_NUM_BINS = 40
_LABEL_LETTERS = 17
_DRAWING = Lock()  # matplotlib's settings are global


@dataclass(frozen=True)
class Chart:
    """A chart, its summary and its numbers; `charts.html` renders it as a figure.

    Attributes:
        title: Heading.
        summary: One sentence for screen readers.
        svg: The drawing.
        head: Titles of the table's columns.
        rows: The table's cells; the first cell of a row names it.
    """

    title: str
    summary: str
    svg: Markup
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def histogram(
    series: Mapping[str, np.ndarray],
    *,
    title: str,
    unit: str,
    limits: tuple[float, float] | None = None,
    marks: Mapping[str, Mapping[str, float | None]] | None = None,
) -> Chart:
    """Draw histograms over one shared axis, one row per series.

    Args:
        series: Values by name. Values that are not finite are skipped; only the first 24 series are drawn.
        title: Heading.
        unit: Label of the axis.
        limits: Ends of the axis; by default those of the values and marks.
        marks: Values to mark, by series and name, such as `{"monet": {"floor": 0.4}}`.
    """
    kept = {name: values[np.isfinite(values)] for name, values in series.items()}
    own_marks = {name: _without_none((marks or {}).get(name, {})) for name in kept}
    low, high = limits or _limits([*kept.values(), *(np.array(list(m.values())) for m in own_marks.values())])
    drawn = list(kept)[:_MOST_ROWS]
    figure = _figure(_HEAD_PT + _ROW_PT * max(len(drawn), 1) + _FOOT_PT)
    for place, name in enumerate(drawn):
        axes = _row(figure, place, len(drawn), is_last=place == len(drawn) - 1)
        axes.set_xlim(low, high)
        _draw_bars(axes, kept[name], (low, high))
        _draw_marks(
            axes, own_marks[name], is_named=own_marks[name].keys() != own_marks[drawn[place - 1]].keys() or place == 0
        )
        axes.text(
            -0.02, 0.08, _label(name), transform=axes.transAxes, ha="right", color=_NUMBERED["ink"], parse_math=False
        )
        if place == len(drawn) - 1:
            axes.set_xlabel(unit, color=_NUMBERED["muted"], parse_math=False)
    names = list(dict.fromkeys(mark for row in own_marks.values() for mark in row))
    rows = tuple(
        (plain(name), *_spread(values), *(_text(own_marks[name].get(m)) for m in names))
        for name, values in kept.items()
    )
    middles = "; ".join(
        f"{plain(name)} {_text(_quantile(values, 0.5))}" for name, values in list(kept.items())[:_MOST_ROWS]
    )
    head = ("", "pictures", "mean", "5 %", "median", "95 %", *names)
    return Chart(
        title, f"{title}: spread from {low:.2g} to {high:.2g}. Medians: {middles}.", _svg(figure, title), head, rows
    )


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
    figure = _figure(210.0)
    axes = figure.add_axes((0.09, 0.2, 0.89, 0.72))
    _bare(axes)
    axes.grid(axis="y", color=_NUMBERED["rule"], linewidth=0.8)
    for (name, (places, heights)), shade in zip(series.items(), SHADES * len(series), strict=False):
        colour = _NUMBERED[shade]
        axes.plot(places, heights, color=colour, linewidth=1.8, clip_on=False, solid_capstyle="round")
        if is_filled:
            axes.fill(
                [*places, *reversed(places)],
                [*heights, *[0] * len(places)],
                color=colour,
                alpha=0.16,
                linewidth=0,
                clip_on=False,
            )
        if len(series) > 1 and len(places):
            axes.annotate(
                _label(name), (places[-1], heights[-1]), ha="right", va="bottom", color=colour, parse_math=False
            )
    top = max((max(heights, default=0) for _, heights in series.values()), default=0)
    low = 0.0 if is_from_zero else _limits([np.asarray(heights) for _, heights in series.values()])[0]
    axes.set_ylim(low, low + 1.08 * (top - low) or 1)
    axes.margins(x=0)
    for name, place in (marks or {}).items():
        axes.axvline(place, color=_NUMBERED["ink"], linewidth=1.2, linestyle=(0, (3, 3)))
        is_right = place > 0.5 * sum(axes.get_xlim())
        at = {"ha": "right" if is_right else "left", "va": "bottom", "transform": axes.get_xaxis_transform()}
        axes.text(place, 1.01, _label(name), color=_NUMBERED["ink"], parse_math=False, **at)
    if ticks:
        shown = _thin(list(ticks), 5)
        axes.set_xticks(shown, [ticks[place] for place in shown])
    axes.set_xlabel(x_label, color=_NUMBERED["muted"], parse_math=False)
    axes.set_ylabel(y_label, color=_NUMBERED["muted"], parse_math=False)
    places = sorted({place for own, _ in series.values() for place in own})
    known = [dict(zip(own, heights, strict=True)) for own, heights in series.values()]
    label = ticks or {}
    rows = tuple((label.get(p, _text(p)), *(_text(one.get(p)) for one in known)) for p in _thin(places, 60))
    peaks = "; ".join(f"{plain(name)} up to {_text(max(h, default=None))}" for name, (_, h) in series.items())
    return Chart(title, f"{title}: {peaks}.", _svg(figure, title), (x_label, *map(plain, series)), rows)


def _without_none(marks: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in marks.items() if value is not None}


def _figure(height_pt: float) -> Figure:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_PT / _PT, height_pt / _PT), facecolor="none")
    FigureCanvasSVG(figure)
    return figure


def _row(figure: Figure, place: int, count: int, *, is_last: bool) -> Axes:
    height = _HEAD_PT + _ROW_PT * count + _FOOT_PT
    bottom = (_FOOT_PT + _ROW_PT * (count - 1 - place)) / height
    axes = figure.add_axes((_LABEL_PT / _WIDTH_PT, bottom, 1 - (_LABEL_PT + 14) / _WIDTH_PT, 0.8 * _ROW_PT / height))
    _bare(axes)
    axes.set_yticks([])
    if not is_last:
        axes.set_xticklabels([])
    return axes


def _bare(axes: Axes) -> None:
    axes.patch.set_visible(False)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=_NUMBERED["rule"], linewidth=1.0)
    axes.tick_params(length=0, labelcolor=_NUMBERED["muted"], labelsize=_TEXT_PT, pad=5)


def _draw_bars(axes: Axes, values: np.ndarray, limits: tuple[float, float]) -> None:
    counts, edges = np.histogram(np.clip(values, *limits), _NUM_BINS, limits)
    axes.stairs(counts, edges, fill=True, color=_NUMBERED["accent"], linewidth=0, clip_on=False)
    axes.set_ylim(0, max(int(counts.max()), 1))


def _draw_marks(axes: Axes, marks: Mapping[str, float], *, is_named: bool) -> None:
    for name, value in marks.items():
        colour = _NUMBERED[MARKS.get(name, "ink")]
        axes.axvline(value, color=colour, linewidth=2.0, clip_on=False)
        if is_named:
            top = axes.get_ylim()[1] * 1.05
            axes.text(value, top, _label(name), color=colour, ha="center", va="bottom", parse_math=False)


def _limits(all_values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return axis limits a little beyond the smallest and largest value."""
    joined = np.concatenate([np.asarray(values, np.float64) for values in all_values]) if all_values else np.empty(0)
    joined = joined[np.isfinite(joined)]
    if not len(joined):
        return 0.0, 1.0
    low = float(joined.min())
    high = float(joined.max())
    room = 0.03 * (high - low) or 0.05
    return low - room, high + room


def _spread(values: np.ndarray) -> tuple[str, ...]:
    mean = float(values.mean()) if len(values) else None
    return (f"{len(values):,}", _text(mean), *(_text(_quantile(values, share)) for share in (0.05, 0.5, 0.95)))


def _quantile(values: np.ndarray, share: float) -> float | None:
    return float(np.quantile(values, share)) if len(values) else None


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"


def _label(name: str) -> str:
    return shorten(plain(name), _LABEL_LETTERS)


def _thin(values: Sequence[Any], most: int) -> list[Any]:
    """Return at most `most` evenly spread values, including the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[place] for place in np.linspace(0, len(values) - 1, most).round().astype(int).tolist()]


def _svg(figure: Figure, title: str) -> Markup:
    from matplotlib import rc_context

    sink = io.StringIO()
    with _DRAWING, rc_context({"svg.fonttype": "none", "svg.hashsalt": "artbank"}):
        figure.savefig(sink, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(sink.getvalue())
    root.attrib = {"viewBox": root.attrib["viewBox"], "class": "chart", "role": "img", "aria-label": title}
    _clean(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return Markup(re.sub(r"(</?)ns\d+:|\sxmlns:ns\d+=\"[^\"]*\"", r"\1", text))  # inline SVG needs no namespaces


def _clean(parent: ElementTree.Element) -> None:
    """Remove elements that a page does not need, and turn colours into classes."""
    for child in list(parent):
        if child.tag in _DROPPED:
            parent.remove(child)
            continue
        child.attrib.pop("id", None)
        child.attrib.pop("clip-path", None)
        _restyle(child)
        _clean(child)
        if child.tag == f"{_SVG}g" and not len(child) and not (child.text or "").strip():
            parent.remove(child)


def _restyle(element: ElementTree.Element) -> None:
    declared = dict(re.findall(r"([a-z-]+):\s*([^;]+)", element.attrib.pop("style", "")))
    classes = []
    for name in _KEPT:
        value = declared.get(name)
        if value in _NAMED and name in ("fill", "stroke"):
            classes.append(f"{name}-{_NAMED[value]}")
        elif value is not None:
            element.set(name, value)
    if classes:
        element.set("class", " ".join(classes))
    if "d" in element.attrib:
        element.set("d", " ".join(element.attrib["d"].split()))
