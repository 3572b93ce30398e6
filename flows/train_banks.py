"""The flow that trains banks: one for each collection that needs one, several in the same batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger

from artbank.config import TrainConfig
from artbank.runs.gather import Future, format_error
from artbank.runs.group_training import GroupTraining, name_group
from artbank.runs.outcome import TrainForecast, TrainSummary, outdated_pages_text
from artbank.runs.progress import RunProgress
from artbank_prefect.tasks.artifacts import show_banks, show_forecast
from artbank_prefect.tasks.assets import emit_banks
from artbank_prefect.tasks.display import may_fail
from artbank_prefect.tasks.progress import open_progress
from artbank_prefect.tasks.runners import for_workers, open_runner
from artbank_prefect.tasks.tags import make_tags, tag_run
from artbank_prefect.tasks.train_banks import (
    build_site,
    plan_training,
    show_contact_sheet,
    train_collections,
    wait_and_train,
)

if TYPE_CHECKING:
    from artbank_prefect.tasks.train_banks import BankRecord, TrainJob


@flow(name="train-banks", flow_run_name="{config.title}")
def train_banks(config: TrainConfig) -> TrainSummary | TrainForecast:
    """Train a bank for every collection whose artworks, recipe or base model have none yet.

    If nothing changed, it ends in seconds and writes nothing. Run it again to resume a run that was cut off. At the end
    it updates the pages of the banks. With `config.dry_run` it only forecasts the run.

    Raises:
        TrainBanksError: Some collections failed, or lost too many artworks; the message names them. The others are
            registered.
        ConfigError: Nothing is in the gallery, or gallery and store overlap.
        CollectionError: The gallery has no collection, or not one that was asked for.
        BaseModelError: There is no such base model.
    """
    plan = plan_training(config)
    if config.dry_run:
        show_forecast(plan.forecast)
        plan.raise_failures(plan.refused, plan.forecast)
        return plan.forecast
    for line in plan.describe():
        get_run_logger().info(line)
    if not plan.jobs:
        _build_site(config)
        summary = plan.summarize({}, plan.refused)
        plan.raise_failures(plan.refused, summary)
        return summary
    with may_fail("the tag of each collection"):
        tag_run(make_tags("collection", [job.collection.name for job in plan.jobs]))
    jobs = {job.collection.name: job for job in plan.jobs}
    trained, failed = _train(config, jobs)
    failed |= plan.refused
    summary = plan.summarize(trained, failed)
    index_uri = _build_site(config)
    with may_fail("the report"):
        show_banks(
            list(trained.values()),
            summary.current,
            summary.failed,
            index_uri=index_uri,
            display_names=summary.display_names,
            num_skipped=summary.num_skipped,
        )
    _show_contact_sheet(config, list(trained.values()))
    emit_banks(config.gallery_uri, trained.values())
    plan.raise_failures(failed, summary)
    return summary


def _train(config: TrainConfig, jobs: Mapping[str, TrainJob]) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Train all collections; returns the rows and the errors by collection, in the order of the jobs."""
    progress = RunProgress("step", is_most=True)
    worker_config = for_workers(config)
    with open_progress(progress, "training-progress"), open_runner(config) as runner:

        def start(group: Sequence[str]) -> Future:
            return runner(train_collections, config=worker_config, jobs=list_jobs(group), name=name_group(group))

        def start_waiting(group: Sequence[str]) -> Future:
            return runner(wait_and_train, config=worker_config, jobs=list_jobs(group), name=name_group(group))

        def list_jobs(group: Sequence[str]) -> list[TrainJob]:
            return [jobs[name] for name in group]

        training = GroupTraining(list(jobs), start, start_waiting, progress, config.recipe.max_steps)
        return training.run(config.banks_at_once, runner.num_workers)


def _show_contact_sheet(config: TrainConfig, banks: Sequence[BankRecord]) -> None:
    """Show the previews of the new banks in Prefect. A failure does not fail the run: the banks are registered."""
    if banks and not show_contact_sheet(config, banks, return_state=True).is_completed():
        get_run_logger().warning("the contact sheet is not shown; the pages of the banks have their pictures")


def _build_site(config: TrainConfig) -> str | None:
    """Update the pages, and return the URI of their index.

    A failure does not fail the run: the banks are registered, and the next run writes the pages.
    """
    try:
        return build_site(config).index_uri
    except Exception as error:
        get_run_logger().warning(outdated_pages_text(config.store_uri, format_error(error)))
        return None
