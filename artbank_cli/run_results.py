"""Print what a run of `artbank train` or `artbank stylize` did, or would do: for people, or as a line of JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict

from artbank.config import TrainConfig
from artbank.errors import ArtbankError
from artbank.runs.outcome import (
    FailedKind,
    Outcome,
    SkippedKind,
    StylizeForecast,
    TrainForecast,
    TrainSummary,
    is_too_small,
)
from artbank_cli.output import say, say_json

_MOST_FAILED = 3  # photos named in the line of a kind of failure
_MOST_STYLES = 3  # named in the command that comes next


def print_training(
    result: TrainSummary | TrainForecast, config: TrainConfig, wall_seconds: float, *, is_local: bool, as_json: bool
) -> None:
    """Print the banks that a training made, or that it would make; after a training also what to do next.

    Args:
        result: What the run made, or its forecast.
        config: The parameters of the run.
        wall_seconds: Seconds that the run took, loading included.
        is_local: Whether the run was asked to work in this process alone.
        as_json: Whether to print a line of JSON.
    """
    if isinstance(result, TrainForecast):
        _print_train_forecast(result, as_json=as_json)
        return
    places = _find_training_places(config)
    if as_json:
        facts = {"trained": result.trained, "current": list(result.current), "device_seconds": result.seconds}
        facts |= {"num_skipped": result.num_skipped, "skipped": [asdict(kind) for kind in result.skipped]}
        facts |= {"wall_seconds": wall_seconds, "places": places, "failed": dict(result.failed)}
        say_json({**facts, "display_names": dict(result.display_names)})
    else:
        _print_trained(result, wall_seconds)
        if styles := [*result.trained, *result.current]:
            _print_places(places)
            say(f"next: {_next_command(config, styles[:_MOST_STYLES], is_local)}")


def print_stylizing(result: Outcome | StylizeForecast, *, as_json: bool) -> None:
    """Print the state of an output after a run, or what a run would do."""
    if as_json:
        say_json(_without_text(result))
    elif isinstance(result, StylizeForecast):
        _print_stylize_forecast(result)
    else:
        _print_outcome(result)


def _print_train_forecast(forecast: TrainForecast, *, as_json: bool) -> None:
    from artbank.report.costs import TOO_FEW, training_text
    from artbank.runtime.counts import number_text

    if as_json:
        say_json(_without_text(forecast))
        return
    for name, num_artworks in forecast.collections:
        what = TOO_FEW if is_too_small(num_artworks) else "to train"
        say(f"{name}{_also(name, forecast.display_names)}: {number_text(num_artworks, 'artwork')}, {what}")
    _print_current(forecast)
    _print_skipped(forecast.skipped)
    if forecast.collections:
        say(training_text(forecast))


def _find_training_places(config: TrainConfig) -> dict[str, str]:
    """Return the address of the store's page, if there is one: a run goes on when its pages cannot be written."""
    from artbank.pages.publishing import INDEX
    from artbank.store.objects import Store

    with suppress(ArtbankError, OSError):  # the banks are registered, whatever the store answers now
        store = Store.open(config.store_uri)
        if store.exists(INDEX):
            return {"page": store.uri_of(INDEX)}
    return {}


def _next_command(config: TrainConfig, styles: Sequence[str], is_local: bool) -> str:
    """Return the command that draws with banks, for a shell; the reader puts places for PHOTOS and OUTPUT."""
    words = ["artbank", "stylize", "PHOTOS", "OUTPUT", "--store", config.store_uri]
    for style in styles:
        words += ["--style", style]
    if config.base_model != TrainConfig.model_fields["base_model"].default:
        words += ["--base-model", config.base_model]
    if config.revision is not None:
        words += ["--revision", config.revision]
    return shlex.join([*words, *(["--local"] if is_local else [])])


def _print_trained(summary: TrainSummary, wall_seconds: float) -> None:
    from artbank.runtime.durations import seconds_text

    for name, version in summary.trained.items():
        also = _also(name, summary.display_names)
        say(f"{name}@{version}{also} trained in {seconds_text(summary.seconds[name])} of device time")
    if summary.trained:
        say(f"{seconds_text(wall_seconds)} in all, with loading, samples and pages")
    _print_current(summary)
    _print_skipped(summary.skipped)


def _print_current(result: TrainSummary | TrainForecast) -> None:
    for name in result.current:
        say(f"{name}{_also(name, result.display_names)} is up to date")


def _print_stylize_forecast(forecast: StylizeForecast) -> None:
    from artbank.report.costs import device_text, pace_text, replaced_text, reuse_text
    from artbank.runtime.counts import number_text

    say(f"photos: {forecast.num_photos:,}, to stylize: {forecast.num_tasks:,}, skipped: {forecast.num_skipped:,}")
    _print_skipped(forecast.skipped)
    say(f"pictures to draw: {forecast.num_pictures:,}, in {number_text(forecast.num_shards, 'shard')}")
    say(f"UNet evaluations: {forecast.num_evaluations:,}{reuse_text(forecast)}")
    if forecast.num_further_evaluations:
        say(f"UNet evaluations for pictures that are drawn again: up to {forecast.num_further_evaluations:,}")
    if forecast.seconds is not None and forecast.pace is not None:
        total = device_text(forecast.seconds, forecast.pace.device)
        say(f"about {total} on one worker, at {pace_text(forecast.pace, 'picture')}")
    elif forecast.num_pictures:
        say("time not known yet: stylize a few photos first, with --limit")
    if forecast.num_replaced:
        say(replaced_text(forecast.num_replaced))
    if forecast.num_to_delete:
        say(f"pictures of removed photos to delete: {forecast.num_to_delete:,}")
    for number, (num_photos, first, last) in enumerate(forecast.first_shards, start=1):
        say(f"shard {number}: {number_text(num_photos, 'photo')}, {first} to {last}")


def _print_outcome(outcome: Outcome) -> None:
    from artbank.runtime.counts import number_text
    from artbank.runtime.durations import seconds_text

    skipped = number_text(outcome.num_skipped, "file")
    say(f"{number_text(outcome.num_done, 'picture')} done, {outcome.num_failed:,} failed, {skipped} skipped")
    say(f"this run worked on {number_text(outcome.num_new, 'photo')}")
    if outcome.num_deleted:
        say(f"{number_text(outcome.num_deleted, 'picture')} of removed photos deleted")
    _print_failed(outcome.failures)
    _print_skipped(outcome.skipped)
    for alarm in outcome.alarms:
        say(f"alarm: {alarm.text}")
    if outcome.cost is not None and outcome.cost.seconds_a_photo is not None:
        each = seconds_text(outcome.cost.seconds_a_photo)
        total = seconds_text(outcome.cost.tally.seconds)
        say(f"{total} of device time, {each} per photo; {seconds_text(outcome.cost.wall_seconds)} in all")
    _print_places(outcome.places)


def _print_places(places: Mapping[str, str]) -> None:
    for what, where in places.items():
        say(f"{what}: {where}")


def _print_skipped(kinds: Sequence[SkippedKind]) -> None:
    from artbank.report.skipped import skipped_lines

    for line in skipped_lines(kinds):
        say(line)


def _print_failed(kinds: Sequence[FailedKind]) -> None:
    """Print one line for each kind of failure, with the first photos; the page and the summary have the reasons."""
    from artbank.errors import FAILURES
    from artbank.report.markdown import visible
    from artbank.runtime.counts import number_text

    for kind in kinds:
        names = ", ".join(map(visible, kind.names[:_MOST_FAILED]))
        more = ", ..." if len(kind.names) > _MOST_FAILED else ""
        say(f"failed, {kind.kind}: {number_text(kind.count, 'picture')}, {names}{more} ({FAILURES[kind.kind]})")


def _also(name: str, display_names: Mapping[str, str]) -> str:
    """Return the name of a collection in brackets, or nothing if its id is the same."""
    from artbank.report.markdown import visible

    display_name = display_names.get(name, name)
    return "" if display_name == name else f" ({visible(display_name)})"


def _without_text(result: Outcome | StylizeForecast | TrainForecast) -> dict[str, object]:
    return {name: value for name, value in asdict(result).items() if name != "text"}
