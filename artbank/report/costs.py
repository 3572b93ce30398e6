"""Forecasts and costs of runs as text, in device seconds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from artbank.parameters.train_config import FEWEST_ARTWORKS, GOOD_ARTWORKS
from artbank.report.markdown import escape, share_text, table
from artbank.report.skipped import skipped_markdown
from artbank.runs.outcome import Pace, RunCost, StylizeForecast, TrainForecast
from artbank.runtime.counts import number_text
from artbank.runtime.durations import rough_seconds_text, seconds_text

TOO_FEW = f"too few to train on: at least {FEWEST_ARTWORKS} are needed, {GOOD_ARTWORKS} or more are better; add some"
"""Said of the artworks of a collection."""

_MAX_LISTED = 50  # collections in a forecast
_SECONDS_WITHOUT_HOURS = 360  # a tenth of an hour; hours of a shorter forecast would be a row of zeros


def forecast_markdown(forecast: StylizeForecast, *, title: str) -> str:
    """Return the forecast of a run over an archive as Markdown."""
    sections = [
        f"# {escape(title)}",
        f"**{number_text(forecast.num_pictures, 'picture')}** to draw, from {forecast.num_tasks:,} of "
        f"{number_text(forecast.num_photos, 'photo')}, in {number_text(forecast.num_shards, 'shard')}; "
        f"{evaluations_text(forecast)}. {number_text(forecast.num_skipped, 'file')} skipped.",
        f"{number_text(forecast.num_to_delete, 'picture')} of removed photos would be deleted."
        if forecast.num_to_delete
        else "",
        f"{replaced_text(forecast.num_replaced)}." if forecast.num_replaced else "",
        _picture_cost(forecast) if forecast.num_pictures else "",
        "## The first shards\n\n" + table(["photos", "from", "to"], forecast.first_shards, numbers_from=3)
        if forecast.first_shards
        else "",
        skipped_markdown([asdict(kind) for kind in forecast.skipped]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def evaluations_text(forecast: StylizeForecast) -> str:
    """Return the UNet evaluations of a forecast as text, such as `190 evaluations of the UNet`."""
    text = f"{number_text(forecast.num_evaluations, 'evaluation')} of the UNet{reuse_text(forecast)}"
    if not forecast.num_further_evaluations:
        return text
    return f"{text}, and up to {forecast.num_further_evaluations:,} more for pictures that are drawn again"


def reuse_text(forecast: StylizeForecast) -> str:
    """Return how many of the evaluations reuse features, such as `, of which 80 reuse features`; empty if none do."""
    cached = forecast.num_cached_evaluations
    return f", of which {cached:,} reuse features" if cached else ""


def training_markdown(forecast: TrainForecast, *, title: str) -> str:
    """Return the forecast of a training run as Markdown."""
    listed = forecast.collections[:_MAX_LISTED]
    named = [(forecast.display_names.get(name, name), num_artworks) for name, num_artworks in listed]
    more = len(forecast.collections) - len(listed)
    few = forecast.num_too_small
    sections = [
        f"# {escape(title)}",
        f"**{number_text(len(forecast.collections) - few, 'collection')}** to train, "
        f"{number_text(len(forecast.current), 'collection')} up to date.",
        f"The artworks of {number_text(few, 'other collection')} are {TOO_FEW}." if few else "",
        training_cost(forecast) if listed else "",
        table(["collection", "artworks"], named) if listed else "",
        f"And {number_text(more, 'other collection')}." if more else "",
        skipped_markdown([asdict(kind) for kind in forecast.skipped]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def cost_markdown(cost: RunCost) -> str:
    """Return the cost of a run as a section of its report."""
    tally = cost.tally
    pictures = cost.tally.done - cost.tally.kept
    rows = [
        ("pictures drawn", f"{pictures:,}"),
        ("failed", f"{tally.failed:,}"),
        ("kept, their photos being the same", f"{tally.kept:,}"),
        ("device seconds", seconds_text(tally.seconds)),
        ("device seconds a photo, in all its styles", seconds_text(cost.seconds_a_photo)),
        (
            "forecast of the device seconds",
            "–" if cost.forecast_seconds is None else rough_seconds_text(cost.forecast_seconds),
        ),
        ("wall seconds", seconds_text(cost.wall_seconds)),
        ("workers", "–" if cost.num_workers is None else cost.num_workers),
        ("utilisation", share_text(cost.utilisation)),
    ]
    return (
        "## What this run took\n\n"
        + table(["", "this run"], rows)
        + "\n\nDevice seconds are those in which a worker's model drew: not loading, reading, scoring or writing. "
        "Utilisation is their share of the wall seconds of all workers."
    )


def cost_facts(cost: RunCost) -> dict[str, Any]:
    """Return the cost of a run as JSON data."""
    return {
        "drawn": cost.tally.done - cost.tally.kept,
        "failed": cost.tally.failed,
        "kept": cost.tally.kept,
        "photos": cost.num_photos,
        "device_seconds": cost.tally.seconds,
        "device_seconds_per_photo": cost.seconds_a_photo,
        "forecast_device_seconds": cost.forecast_seconds,
        "wall_seconds": cost.wall_seconds,
        "workers": cost.num_workers,
        "utilisation": cost.utilisation,
    }


def device_text(seconds: float, device: str) -> str:
    """Return forecast device seconds as text, such as `6 s of CPU time` or `2 h 10 min (2.1 GPU hours)`."""
    name = {"cuda": "GPU", "mps": "GPU", "cpu": "CPU"}.get(device, "device")
    if seconds < _SECONDS_WITHOUT_HOURS:
        return f"{rough_seconds_text(seconds)} of {name} time"
    return f"{rough_seconds_text(seconds)} ({seconds / 3600:.2g} {name} hours)"


def pace_text(pace: Pace, of: str) -> str:
    """Return the pace and the basis of a forecast, such as `0.5 s a picture, by ...`."""
    return f"{rough_seconds_text(pace.seconds)} a {of}, by {pace.basis}"


def pictures_text(num_pictures: int, pace: Pace | None) -> str:
    """Return the forecast for a number of pictures in one line."""
    if pace is None:
        return f"{number_text(num_pictures, 'picture')}; no forecast yet, since none were drawn so far"
    total = device_text(pace.seconds * num_pictures, pace.device)
    return f"{number_text(num_pictures, 'picture')}, about {total} on one worker: {pace_text(pace, 'picture')}"


def replaced_text(num_replaced: int) -> str:
    """Return how many pictures of other settings the new pictures replace in one line."""
    pictures = number_text(num_replaced, "picture")
    return f"{pictures} of other settings, banks or base models will be replaced; to keep both, name another output"


def training_text(forecast: TrainForecast) -> str:
    """Return the forecast steps and time of a training run in one line."""
    return training_cost(forecast).replace("**", "")


def _picture_cost(forecast: StylizeForecast) -> str:
    if forecast.seconds is None or forecast.pace is None:
        return "How long it takes is not known yet: no picture is there to judge by. Do a few first, with `--limit`."
    total = device_text(forecast.seconds, forecast.pace.device)
    pace = pace_text(forecast.pace, "picture")
    return f"About **{total}** on one worker: {pace}. Loading the models, reading and scoring come on top."


def training_cost(forecast: TrainForecast) -> str:
    """Return the forecast steps and time of a training run as one line of Markdown."""
    fewest, likely, most = forecast.num_steps
    if not most:
        return "No steps: no collection has enough artworks to train on."
    steps = f"{number_text(most, 'step')}."
    if fewest < most:
        steps = f"{fewest:,} to {most:,} steps, {likely:,} most likely."
    if forecast.seconds is None or forecast.pace is None:
        return f"{steps} How long they take is not known yet: the catalog has no bank on this base model and device."
    low, middle, high = forecast.seconds
    span = f", {rough_seconds_text(low)} to {rough_seconds_text(high)}" if low < high else ""
    return (
        f"{steps} About **{device_text(middle, forecast.pace.device)}** on one worker{span}: "
        f"{pace_text(forecast.pace, 'step')}. Loading the models, reading the artworks and drawing samples come on top."
    )
