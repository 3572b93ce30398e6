"""Forecasts as text for people."""

from __future__ import annotations

from artbank.report.costs import forecast_markdown
from artbank.runs.outcome import StylizeForecast


def test_a_forecast_says_how_many_pictures_of_how_many_photos_are_to_draw() -> None:
    forecast = StylizeForecast(
        num_photos=100,
        num_tasks=20,
        num_pictures=40,
        num_shards=1,
        seconds_a_picture=None,
        seconds=None,
        first_shards=[],
        text="",
        num_evaluations=760,
        pace=None,
        num_skipped=2,
        skipped=(),
        num_further_evaluations=0,
        num_cached_evaluations=0,
    )
    assert (
        "**40 pictures** to draw, from 20 of 100 photos, in 1 shard; 760 evaluations of the UNet. 2 files skipped."
    ) in forecast_markdown(forecast, title="To stylize photos")
