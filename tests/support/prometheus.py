"""Reads the metrics of a process as Prometheus does: over HTTP, by Prometheus's own parser."""

from __future__ import annotations

from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from artbank.runtime.telemetry import METERS

_ORDER = [*dict.fromkeys(label for meter in METERS for label in meter.labels), "le"]


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Return the samples of a process by name and label values, in the label order of `METERS`."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, *(s.labels[name] for name in _ORDER if name in s.labels)): s.value for s in samples}
