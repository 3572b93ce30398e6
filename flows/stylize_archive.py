"""An archive into pictures: every photo in every style, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger

from artbank.config import StylizeConfig
from artbank.errors import ArtbankError, ResultsError
from artbank.runs.outcome import Outcome, RunCost, StylizeForecast, Tally
from flows.gather import Future, format_error, format_failures, gather
from tasks.alarms import raise_alarms
from tasks.artifacts import describe_pictures, show_forecast, show_outcome
from tasks.assets import emit_archive
from tasks.progress import open_progress
from tasks.run_progress import RunProgress
from tasks.runners import open_runner
from tasks.shard_ranges import cut_ranges, open_deployment
from tasks.stylize_archive import (
    find_uncommitted,
    finish_archive,
    forecast_archive,
    make_poll,
    name_banks,
    plan_archive,
    read_tallies,
    stylize_shard,
    sum_up,
)
from tasks.tags import make_tags, tag_run

if TYPE_CHECKING:
    from tasks.stylize_archive import Shard, StylizePlan

_ROUNDS = 6  # a photo that ends every process that works on it is found out in the fourth attempt, see `attempts`
_FEW = 16  # shards that are worth more than two rounds: where there are more, it is not the photos


@flow(name="stylize-archive", flow_run_name="{config.title}")
def stylize_archive(config: StylizeConfig) -> Outcome | StylizeForecast:
    """Stylize every photo under `config.archive_uri` that lacks a picture; run it again to resume.

    With `config.dry_run` it only tells what it would do.

    Raises:
        ResultsError: Some shards could not be finished; names them. The others are committed.
        CatalogError: A style is not in the catalog.
        ConfigError: A style cannot be read or does not fit the base model.
        BaseModelError: The base model is not there.
    """
    if config.dry_run:
        forecast = forecast_archive(config)
        show_forecast(forecast)
        return forecast
    plan, shards, photos = plan_archive(config)
    get_run_logger().info("photos: %d; to do: %d, in shards: %d", plan.num_photos, plan.num_tasks, plan.num_shards)
    tag_run(make_tags("style", [style.name for style in plan.styles]))
    failed, cost = _work(config, plan, shards) if shards else ({}, None)
    outcome = finish_archive(config, plan, photos, cost)
    show_outcome(outcome, config.public_url)
    raise_alarms(config, outcome)
    if shards:
        emit_archive(config.archive_uri, config.output_uri, name_banks(plan), outcome)
    if failed:
        raise ResultsError(f"{len(failed)} of {plan.num_shards} shards failed: {format_failures(failed)}; run it again")
    return outcome


def _work(config: StylizeConfig, plan: StylizePlan, shards: Sequence[Shard]) -> tuple[dict[str, Exception], RunCost]:
    """Work on all shards and show the run's progress; returns what failed, and what it all took."""
    get_run_logger().info(describe_pictures(plan.num_pictures, plan.pace))
    progress = RunProgress("picture", plan.num_pictures)
    poll = make_poll(config, [shard.id for shard in shards]) if config.deployment else None
    with open_progress(progress, "stylizing-progress", poll):
        failed = work_off(config, plan, shards, progress)
    return failed, sum_up(plan, progress)


def work_off(
    config: StylizeConfig,
    plan: StylizePlan,
    shards: Sequence[Shard],
    progress: RunProgress,
    *,
    rounds: int = _ROUNDS,
) -> dict[str, Exception]:
    """Work on all shards; returns what those that still have no part after the last round have raised, by id.

    The store says what is done: a worker may have died after it had written a shard's part.
    """
    log = get_run_logger()
    left = {shard.id: shard for shard in shards}
    failed: dict[str, Exception] = {}

    def settle(name: str, end: Any) -> None:
        if isinstance(end, Tally):
            progress.record_tallies({name: end})

    with _open_runner(config, plan, progress) as (size, start):
        for turn in range(rounds):
            ranges = cut_ranges(left.values(), size)
            _, broken = gather(ranges, start, on_result=settle)
            raised = {shard.id: error for name, error in broken.items() for shard in ranges[name]}
            still_open = find_uncommitted(config, list(raised)) if raised else set()
            tried = left
            failed = failed | raised
            failed = {name: error for name, error in failed.items() if name in still_open or name not in tried}
            left = {name: tried[name] for name in still_open if not isinstance(failed[name], ArtbankError)}
            if not left or (turn and len(left) > _FEW):
                break
            for name in left:
                log.warning("shard %s failed in round %d: %s", name, turn + 1, format_error(failed[name]))
        progress.record_tallies(read_tallies(config, {shard.id for shard in shards} - progress.tallies.keys()))
    return failed


@contextmanager
def _open_runner(
    config: StylizeConfig, plan: StylizePlan, progress: RunProgress
) -> Iterator[tuple[int, Callable[[Sequence[Shard]], Future]]]:
    """Open the runner of a run; gives how many shards it takes at a time, and what starts the work on them."""
    if config.deployment is None:
        with open_runner(config) as submit:
            progress.num_workers = submit.num_workers
            yield 1, lambda shards: submit(stylize_shard, config=config, plan=plan, shard=shards[0])
        return
    told = {"config": config.model_dump(mode="json"), "run_id": plan.run_id}
    with open_deployment(config.deployment, make_tags("style", [style.name for style in plan.styles])) as start:

        def start_range(shards: Sequence[Shard]) -> Future:
            first = shards[0].row_group
            last = shards[-1].row_group
            return start({**told, "first": first, "count": last - first + 1})

        yield config.shards_per_run, start_range
