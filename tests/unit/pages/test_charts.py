"""Charts as inline SVG: their numbers, their colours, and names that nobody has checked."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from artbank.pages.charts import Chart, line_chart
from artbank.pages.histograms import choose_edges, histogram

HOSTILE = "</svg><script>alert(1)</script>$x^2$\u202e"


def spread(name: str = "monet") -> Chart:
    values = np.array([0.1, 0.5, 0.5, 0.9, np.nan])
    return histogram({name: values, "empty": values[:0]}, title="t", unit="u", marks={name: {"floor": 0.2}})


def lines(name: str = "all") -> Chart:
    return line_chart({name: ([0, 1, 2], [1.0, 4.0, 2.0])}, title="t", x_label="x", y_label="y", is_filled=True)


@pytest.mark.parametrize("make", [spread, lines])
def test_a_chart_has_neither_ids_nor_styles_and_is_the_same_each_time(make) -> None:
    root = ElementTree.fromstring(make().svg)
    attributes = {name for element in root.iter() for name in element.attrib}
    assert "viewBox" in attributes and not attributes & {"id", "style", "clip-path", "href"}
    assert make().svg == make().svg


@pytest.mark.parametrize("make", [spread, lines])
def test_colours_are_classes_of_the_page(make) -> None:
    svg = make().svg
    assert re.findall(r"#[0-9a-f]{6}", svg) == [] and "-accent" in svg


@pytest.mark.parametrize("make", [spread, lines])
def test_a_name_is_text_in_a_chart(make) -> None:
    chart = make(HOSTILE)
    assert "<script" not in chart.svg and "\u202e" not in chart.svg + chart.summary
    assert ElementTree.fromstring(chart.svg).tag == "svg"


def test_a_spread_tells_its_numbers_and_marks() -> None:
    chart = spread()
    assert chart.head == ("", "pictures", "mean", "5 %", "median", "95 %", "floor")
    assert chart.rows[0] == ("monet", "4", "0.500", "0.160", "0.500", "0.840", "0.200")
    assert chart.rows[1] == ("empty", "0", "–", "–", "–", "–", "–")
    assert "floor" in chart.svg and "stroke-cold" in chart.svg


def bars_of(values: np.ndarray) -> list[tuple[float, float, int, float]]:
    """Return the lower and upper limit, the count and the height of each bar."""
    root = ElementTree.fromstring(histogram({"monet": values}, title="t", unit="u").svg)
    found = [e.attrib for e in root.iter() if "bar" in e.get("class", "").split()]
    return [(float(e["data-low"]), float(e["data-high"]), int(e["data-count"]), float(e["height"])) for e in found]


def test_the_bars_of_a_spread_are_as_high_as_their_counts() -> None:
    tall, low = bars_of(np.repeat([0.1, 0.9], [10, 5]))
    assert (tall[2], low[2]) == (10, 5) and tall[3] == 2 * low[3]


@pytest.mark.parametrize("seed", range(20))
def test_the_limits_of_a_bar_select_the_values_that_it_counts(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    values = np.round(numbers.normal(0.5, 10.0 ** numbers.uniform(-4, 0), 200).clip(-1, 1), 4)
    bars = bars_of(values)
    assert [count for *_, count, _ in bars] == [
        int(((values >= low) & (values < high)).sum()) for low, high, *_ in bars
    ]
    assert sum(count for *_, count, _ in bars) == len(values) and len(choose_edges([values])) <= 42


def test_a_line_tells_its_numbers() -> None:
    assert lines().rows == (("0.000", "1.000"), ("1.000", "4.000"), ("2.000", "2.000"))
    ticked = line_chart({"all": ([0, 1], [1.0, 4.0])}, title="t", x_label="x", y_label="y", ticks={0: "noon", 1: "one"})
    assert ticked.rows == (("noon", "1.000"), ("one", "4.000")) and "noon" in ticked.svg


def test_nothing_at_all_makes_a_chart_too() -> None:
    for chart in (histogram({}, title="t", unit="u"), line_chart({"a": ([], [])}, title="t", x_label="", y_label="")):
        assert chart.svg.startswith("<svg")


@pytest.mark.parametrize(("values", "span"), [([0.95491], 0.1), ([0.5, 0.5, 0.5], 0.1), ([0.5, 0.5003], 0.001)])
def test_bars_of_nearly_equal_scores_are_narrow_on_an_axis_with_distinct_labels(
    values: list[float], span: float
) -> None:
    edges = choose_edges([np.array(values)])
    assert edges[-1] - edges[0] == pytest.approx(span)
    chart = histogram({"monet": np.array(values)}, title="t", unit="u")
    root = ElementTree.fromstring(chart.svg)
    assert all(float(bar.attrib["width"]) < 40 for bar in root.iter("rect"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("van_gogh_0.7+hiroshige_0.3", "van_go…ige_0.3"),
        ("歌川広重の東海道五十三次", "歌川広重…五十三次"),
        ("CLAUDE MONET, GIVERNY", "CLAUD…IVERNY"),
        ("hiroshige", "hiroshige"),
    ],
)
def test_the_name_of_a_row_is_shortened_to_the_space_beside_its_bars(name: str, shown: str) -> None:
    root = ElementTree.fromstring(histogram({name: np.array([0.1, 0.2])}, title="t", unit="u").svg)
    assert [text.text for text in root.iter("text") if text.attrib["text-anchor"] == "end"] == [shown]
