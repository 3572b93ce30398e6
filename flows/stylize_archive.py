"""The flow that stylizes an archive: every photo in every style, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger

from artbank.config import StylizeConfig
from artbank.runs.gather import IN_FLIGHT, Future
from artbank.runs.outcome import Outcome, RunCost, StylizeForecast
from artbank.runs.progress import RunProgress
from artbank.runs.rounds import MAX_ROUNDS, SHARDS_AT_ONCE, count_in_flight, run_shards
from artbank_prefect.tasks.alarms import raise_alarms
from artbank_prefect.tasks.artifacts import show_forecast, show_outcome
from artbank_prefect.tasks.assets import emit_archive
from artbank_prefect.tasks.display import may_fail
from artbank_prefect.tasks.progress import open_progress
from artbank_prefect.tasks.runners import Runner, for_workers, open_runner
from artbank_prefect.tasks.shard_ranges import open_deployment
from artbank_prefect.tasks.stylize_archive import (
    find_uncommitted,
    finish_archive,
    forecast_archive,
    make_poll,
    name_banks,
    open_style_leases,
    plan_archive,
    read_tallies,
    show_contact_sheet,
    stylize_shard,
    sum_cost,
)
from artbank_prefect.tasks.tags import make_tags, tag_run

if TYPE_CHECKING:
    from artbank_prefect.tasks.stylize_archive import Shard, StyleLeases, StylizePlan


@flow(name="stylize-archive", flow_run_name="{config.title}")
def stylize_archive(config: StylizeConfig) -> Outcome | StylizeForecast:
    """Stylize every photo under `config.archive_uri` that has no picture; run it again to resume.

    With `config.dry_run` it only forecasts the run.

    Raises:
        ResultsError: Some shards failed; the message names them. The others are committed.
        CatalogError: A style is not in the catalog.
        ConfigError: A style is malformed or was trained on another base model; nothing is in the archive or the store,
            they overlap what is written, or too many photos of the last run are missing.
        BaseModelError: The base model was not found.
    """
    if config.dry_run:
        forecast = forecast_archive(config)
        show_forecast(forecast)
        return forecast
    with open_style_leases(config) as leases:
        return _plan_and_stylize(config, leases)


def _plan_and_stylize(config: StylizeConfig, leases: StyleLeases) -> Outcome:
    """Plan the run, which waits for runs that write the same styles, and do it."""
    plan, shards, photos = plan_archive(config, leases)
    for line in plan.describe():
        get_run_logger().info(line)
    with may_fail("the tag of each style"):
        tag_run(make_tags("style", [style.name for style in plan.styles]))
    failed, cost = _stylize(config, plan, shards) if shards else ({}, None)
    outcome = finish_archive(config, plan, photos, cost)
    with may_fail("the report"):
        show_outcome(outcome, config.public_url)
    _show_contact_sheet(config, plan)
    raise_alarms(config, outcome)
    if shards:
        emit_archive(config.archive_uri, config.output_uri, name_banks(plan), outcome)
    plan.raise_failures(failed, outcome)
    return outcome


def _show_contact_sheet(config: StylizeConfig, plan: StylizePlan) -> None:
    """Show some pictures of the run in Prefect. A failure does not fail the run: the output has the sheet."""
    if plan.run_id and not show_contact_sheet(config, plan, return_state=True).is_completed():
        get_run_logger().warning("the contact sheet is not shown; the page of the output has the pictures")


def _stylize(config: StylizeConfig, plan: StylizePlan, shards: Sequence[Shard]) -> tuple[dict[str, Exception], RunCost]:
    """Run all shards and show the progress; returns the errors of failed shards by id, and the cost of the run."""
    progress = RunProgress("picture", plan.num_pictures)
    poll = make_poll(config, [shard.id for shard in shards]) if config.deployment else None
    with open_progress(progress, "stylizing-progress", poll):
        failed = draw_shards(config, plan, shards, progress)
    return failed, sum_cost(plan, progress)


def draw_shards(
    config: StylizeConfig,
    plan: StylizePlan,
    shards: Sequence[Shard],
    progress: RunProgress,
    *,
    max_rounds: int = MAX_ROUNDS,
) -> dict[str, Exception]:
    """Run all shards, and failed ones again in further rounds; returns the errors of those without a part, by id."""
    with _open_runner(config, plan, shards, progress) as runner:
        return run_shards(
            shards,
            runner.start,
            progress,
            find_uncommitted=partial(find_uncommitted, config),
            read_tallies=partial(read_tallies, config),
            range_size=runner.range_size,
            in_flight=runner.in_flight,
            max_rounds=max_rounds,
        )


@dataclass(frozen=True)
class _RangeRunner:
    """Starts ranges of shards.

    Attributes:
        start: Starts one range.
        range_size: Shards of a range, at most.
        in_flight: Ranges that are submitted and not done, at most.
    """

    start: Callable[[Sequence[Shard]], Future]
    range_size: int
    in_flight: int


@contextmanager
def _open_runner(
    config: StylizeConfig, plan: StylizePlan, shards: Sequence[Shard], progress: RunProgress
) -> Iterator[_RangeRunner]:
    """Open the runner of a run: its tasks do single shards, flow runs on a work pool do ranges of them."""
    if config.deployment is None:
        with open_runner(config, SHARDS_AT_ONCE) as submit:
            progress.num_workers = submit.num_workers
            yield _make_task_runner(config, plan, shards, submit)
    else:
        tags = make_tags("style", [style.name for style in plan.styles])
        with open_deployment(config.deployment, tags) as start_flow_run:
            yield _make_deployment_runner(config, plan, start_flow_run)


def _make_task_runner(
    config: StylizeConfig, plan: StylizePlan, shards: Sequence[Shard], submit: Runner
) -> _RangeRunner:
    worker_config = for_workers(config)
    num_pictures = len(plan.styles) * sum(shard.num_photos for shard in shards)
    pictures_of_worker = math.ceil(num_pictures / submit.num_workers)
    may_get_workers = "://" in config.runner
    in_flight = IN_FLIGHT if may_get_workers else count_in_flight(submit.num_workers)

    def start(shard_range: Sequence[Shard]) -> Future:
        [shard] = shard_range
        return submit(stylize_shard, config=worker_config, plan=plan, shard=shard, num_pictures=pictures_of_worker)

    return _RangeRunner(start, range_size=1, in_flight=in_flight)


def _make_deployment_runner(
    config: StylizeConfig, plan: StylizePlan, start_flow_run: Callable[[dict[str, Any]], Future]
) -> _RangeRunner:
    parameters = {"config": for_workers(config).model_dump(mode="json"), "run_id": plan.run_id}

    def start(shard_range: Sequence[Shard]) -> Future:
        first = shard_range[0].row_group
        last = shard_range[-1].row_group
        return start_flow_run({**parameters, "first": first, "count": last - first + 1})

    return _RangeRunner(start, range_size=config.shards_per_run, in_flight=IN_FLIGHT)
