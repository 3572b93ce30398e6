"""Grafana's board shows every metric of artbank, and none that does not exist."""

from __future__ import annotations

import json
import re
from typing import Any

from artbank.runtime.telemetry import METERS
from tests.support.paths import ROOT

BOARD = json.loads((ROOT / "deployments/grafana/artbank.json").read_text())
EXPRESSIONS: list[str] = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
_SERIES = {"Counter": ("",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}


def series() -> dict[str, tuple[str, ...]]:
    """Return the labels of each series that a worker exposes, by its name."""
    names = {f"{meter.name}{suffix}": meter.labels for meter in METERS for suffix in _SERIES[meter.kind]}
    return {**names, "process_resident_memory_bytes": ("job",)}


def test_every_metric_of_the_board_exists_and_has_the_labels_that_are_asked_for() -> None:
    known = series()
    for expression in EXPRESSIONS:
        names = set(re.findall(r"\b(?:artbank|process)_\w+", expression))
        assert names and names <= known.keys(), expression
        labels = {label for name in names for label in known[name]} | {"le", "instance"}
        asked = {word for group in re.findall(r"by \(([^)]*)\)", expression) for word in re.split(r",\s*", group)}
        asked |= set(re.findall(r"[{,]\s*(\w+)=", expression))
        assert asked <= labels, expression


def test_the_board_shows_every_metric() -> None:
    shown = " ".join(EXPRESSIONS)
    assert [meter.name for meter in METERS if meter.name not in shown] == []


def test_a_legend_names_labels_that_its_series_has() -> None:
    targets: list[Any] = [target for panel in BOARD["panels"] for target in panel["targets"]]
    for target in targets:
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert label in target["expr"] or label == "instance", target


def test_panels_have_places_of_their_own_and_say_what_they_show() -> None:
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]}
    assert len(places) == len(BOARD["panels"]) and all(panel["description"] for panel in BOARD["panels"])
