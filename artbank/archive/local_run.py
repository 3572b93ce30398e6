"""Stylize an archive in this process, without an orchestrator."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from artbank.archive.forecast import forecast_archive
from artbank.archive.plan import StylizePlan, plan_archive
from artbank.archive.run_cost import read_tallies, sum_cost
from artbank.archive.stores import RunStores
from artbank.archive.style_leases import open_style_leases
from artbank.archive.survey import survey_archive
from artbank.config import StylizeConfig
from artbank.errors import StopRequested
from artbank.results import ledger
from artbank.results.manifest import Shard
from artbank.runs.handover import hand_over
from artbank.runs.local_runner import LocalRunner, LocalWork
from artbank.runs.outcome import Outcome, RunCost, StylizeForecast, Tally
from artbank.runs.progress import RunProgress
from artbank.runs.progress_log import log_progress
from artbank.runs.rounds import SHARDS_AT_ONCE, count_in_flight, run_shards
from artbank.runtime.stages import show_stage
from artbank.store.objects import Store
from artbank.store.retries import retry_transient

logger = logging.getLogger(__name__)

_READING = "reading the photos and the catalog"


def forecast_stylizing(config: StylizeConfig) -> StylizeForecast:
    """Forecast what a run would draw, and how long that may take; writes nothing.

    Raises:
        Exception: As `forecast.forecast_archive` does.
    """
    show_stage(_READING)
    return retry_transient(lambda: forecast_archive(config))


def look_ahead(config: StylizeConfig) -> bool:
    """Return whether a run would find work, and hand the survey over to it; writes nothing.

    Raises:
        Exception: As `survey.survey_archive` does.
    """
    show_stage(_READING)
    survey = retry_transient(lambda: survey_archive(config, RunStores.open(config)))
    hand_over(config, survey)
    return len(survey.tasks) > 0


def stylize_archive(config: StylizeConfig) -> Outcome:
    """Stylize every photo without a picture, shard by shard; run it again to resume.

    Failed shards are done again in further rounds. An error of a store is retried.

    Raises:
        ResultsError: Some shards failed; the message names them. The others are committed.
        Exception: As `plan.plan_archive` does.
    """
    with open_style_leases(config) as leases:
        show_stage(_READING)
        plan, shards, photos = retry_transient(lambda: plan_archive(config, leases))
        for line in plan.describe():
            logger.info(line)
        failed, cost = _stylize(config, plan, shards) if shards else ({}, None)
        outcome = _finish(config, plan, photos, cost)
    for alarm in outcome.alarms:
        logger.warning("%s", alarm.text)
    plan.raise_failures(failed, outcome)
    return outcome


def _finish(config: StylizeConfig, plan: StylizePlan, photos: pa.Table, cost: RunCost | None) -> Outcome:
    from artbank.archive.finish import finish_archive  # which loads PyTorch

    show_stage("writing the tables and the page")
    return retry_transient(lambda: finish_archive(config, plan, photos, cost))


def _stylize(config: StylizeConfig, plan: StylizePlan, shards: Sequence[Shard]) -> tuple[dict[str, Exception], RunCost]:
    """Do all shards; returns the errors of failed shards by id, and the cost of the run."""
    progress = RunProgress("picture", plan.num_pictures)
    progress.num_workers = 1
    output = Store.open(config.output_uri)

    with log_progress(progress), LocalRunner(SHARDS_AT_ONCE) as runner:

        def start(shard_range: Sequence[Shard]) -> LocalWork:
            return runner.submit(partial(_stylize_shard, config, plan, runner, progress, shard_range[0]))

        def find_uncommitted(ids: list[str]) -> set[str]:
            return retry_transient(lambda: ledger.without_part(output, ids))

        failed = run_shards(
            shards,
            start,
            progress,
            find_uncommitted=find_uncommitted,
            read_tallies=partial(read_tallies, config),
            in_flight=count_in_flight(num_workers=1),
        )
    return failed, sum_cost(plan, progress)


def _stylize_shard(
    config: StylizeConfig, plan: StylizePlan, runner: LocalRunner, progress: RunProgress, shard: Shard
) -> Tally:
    """Stylize the photos of one shard in a thread of the runner, then commit its part."""
    from artbank.archive.shard import stylize_shard  # which loads PyTorch

    def show(done: int, total: int) -> None:
        if runner.is_stopping:
            raise StopRequested
        progress.update(shard.id, done, total)

    def stylize() -> Tally:
        if runner.is_stopping:  # PyTorch takes seconds to load
            raise StopRequested
        stylize_shard(config, plan, shard, show, lambda: runner.is_stopping, num_pictures=plan.num_pictures)
        return read_tallies(config, [shard.id])[shard.id]

    return retry_transient(stylize)
