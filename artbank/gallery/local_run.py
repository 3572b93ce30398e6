"""Train the banks of a gallery in this process, without an orchestrator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from artbank.config import TrainConfig
from artbank.errors import StopRequested
from artbank.gallery.plan import TrainJob, TrainPlan, plan_training
from artbank.pages.banks.build import build
from artbank.runs.gather import format_error
from artbank.runs.group_training import GroupTraining, name_group
from artbank.runs.handover import hand_over
from artbank.runs.local_runner import LocalRunner
from artbank.runs.outcome import TrainForecast, TrainSummary, outdated_pages_text
from artbank.runs.progress import RunProgress
from artbank.runs.progress_log import log_progress
from artbank.runtime.stages import show_stage
from artbank.store.objects import Store
from artbank.store.retries import retry_transient

logger = logging.getLogger(__name__)


def forecast_training(config: TrainConfig) -> TrainForecast:
    """Forecast what a run would train, and how long that may take; writes nothing.

    Raises:
        TrainBanksError: Some collections lost too many artworks; the message names them.
        Exception: As `plan_training` does.
    """
    plan = _plan(config.model_copy(update={"dry_run": True}))
    plan.raise_failures(plan.refused, plan.forecast)
    return plan.forecast


def look_ahead(config: TrainConfig) -> bool:
    """Return whether a run would find a collection to train, and hand the plan over to it; writes nothing.

    Raises:
        Exception: As `plan_training` does.
    """
    plan = _plan(config.model_copy(update={"dry_run": True}))
    hand_over(config, plan)
    return bool(plan.jobs)


def train_banks(config: TrainConfig) -> TrainSummary:
    """Train a bank for every collection that needs one, one group after the other, and update the pages.

    Killed or interrupted and run again, it goes on where it was. An error of a store is retried.

    Raises:
        TrainBanksError: Some collections failed, or lost too many artworks; the message names them. The others are
            registered.
        Exception: As `plan_training` does.
    """
    plan = _plan(config)
    for line in plan.describe():
        logger.info(line)
    jobs = {job.collection.name: job for job in plan.jobs}
    trained, failed = _train(config, jobs) if jobs else ({}, {})
    failed |= plan.refused
    _build_pages(config)
    summary = plan.summarize(trained, failed)
    plan.raise_failures(failed, summary)
    return summary


def _plan(config: TrainConfig) -> TrainPlan:
    show_stage("reading the gallery and the catalog")
    return retry_transient(lambda: plan_training(config))


def _train(config: TrainConfig, jobs: dict[str, TrainJob]) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Train all collections; returns the rows and the errors by collection."""
    progress = RunProgress("step", is_most=True)
    with log_progress(progress), LocalRunner() as runner:
        work = _Work(config, jobs, runner, progress)
        training = GroupTraining(
            list(jobs),
            lambda group: runner.submit(partial(work.train, group)),
            lambda group: runner.submit(partial(work.wait, group)),
            progress,
            config.recipe.max_steps,
        )
        return training.run(config.banks_at_once, 1)


class _Work:
    """The work of the runner's thread."""

    def __init__(self, config: TrainConfig, jobs: dict[str, TrainJob], runner: LocalRunner, progress: RunProgress):
        self._config = config
        self._jobs = jobs
        self._runner = runner
        self._progress = progress

    def train(self, group: Sequence[str]) -> Any:
        """Train a group; only a retry returns banks that an earlier try registered."""
        from artbank.gallery import train  # which loads PyTorch

        tries = iter([False])

        def train_group() -> Any:
            is_retry = next(tries, True)
            return train.train_collections(self._config, self._list(group), self._show(group), is_retry=is_retry)

        return retry_transient(train_group)

    def wait(self, group: Sequence[str]) -> Any:
        """Wait for a group that other runs train."""
        from artbank.gallery import train

        jobs = self._list(group)
        return retry_transient(
            lambda: train.wait_and_train(self._config, jobs, self._show(group), lambda: self._runner.is_stopping)
        )

    def _list(self, group: Sequence[str]) -> list[TrainJob]:
        return [self._jobs[name] for name in group]

    def _show(self, group: Sequence[str]) -> Callable[[int, int, float], None]:
        def show(done: int, total: int, loss: float) -> None:
            if self._runner.is_stopping:
                raise StopRequested
            self._progress.update(name_group(group), done, total, loss)

        return show


def _build_pages(config: TrainConfig) -> None:
    """Update the pages; a failure does not fail the run: the banks are registered, and the next run writes the pages.

    An error of a store is retried.
    """
    try:
        retry_transient(lambda: build(Store.open(config.store_uri)))
    except Exception as error:
        logger.warning(outdated_pages_text(config.store_uri, format_error(error)))
