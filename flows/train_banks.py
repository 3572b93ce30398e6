"""The flow that trains banks: one for each collection that needs one, several in the same batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, tags

from artbank.config import TrainConfig
from artbank.errors import ArtbankError, CollectionError, TrainBanksError
from artbank.runs.outcome import SkippedKind, TrainForecast
from flows.gather import Future, format_failures, gather
from tasks.artifacts import describe_training, show_banks, show_forecast
from tasks.assets import emit_banks
from tasks.progress import open_progress
from tasks.retries import format_error
from tasks.run_progress import RunProgress
from tasks.runners import Runner, open_runner
from tasks.tags import make_tags, tag_run
from tasks.train_banks import build_site, plan_training, train_collections, wait_and_train

if TYPE_CHECKING:
    from tasks.train_banks import TrainJob, TrainPlan

_MAX_NAMED = 3  # collections in the name of a group


@dataclass(frozen=True)
class TrainSummary:
    """The result of a run.

    Attributes:
        trained: Version of each newly trained bank, by id of the collection.
        current: Collections whose bank was up to date, or was trained by another run meanwhile.
        seconds: Device seconds of each newly trained bank, by collection: its share of the steps and validations.
        display_names: Names of all these collections by id.
        num_skipped: Files of the gallery that are neither artworks nor captions, or cannot be listed.
        skipped: The same files by kind.
    """

    trained: dict[str, int]
    current: tuple[str, ...]
    seconds: dict[str, float]
    display_names: Mapping[str, str] = field(default_factory=dict)
    num_skipped: int = 0
    skipped: tuple[SkippedKind, ...] = ()


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
    log = get_run_logger()
    plan = plan_training(config)
    refused = {name: CollectionError(text) for name, text in plan.refused.items()}
    if config.dry_run:
        show_forecast(plan.forecast)
        _raise_failures(refused, plan)
        return plan.forecast
    if not plan.jobs:
        log.info("nothing to train: %d collections are up to date", len(plan.current))
        _build_site(config)
        _raise_failures(refused, plan)
        return TrainSummary({}, plan.current, {}, plan.display_names, plan.forecast.num_skipped, plan.forecast.skipped)
    log.info("to train: %d; up to date: %d", len(plan.jobs), len(plan.current))
    log.info(describe_training(plan.forecast))
    tag_run(make_tags("collection", [job.collection.name for job in plan.jobs]))
    jobs = {job.collection.name: job for job in plan.jobs}
    trained, failed = _train(config, jobs)
    failed |= refused
    trained_elsewhere = [name for name in jobs if name not in trained and name not in failed]
    current = (*plan.current, *trained_elsewhere)
    reasons = {name: format_error(error) for name, error in failed.items()}
    show_banks(
        list(trained.values()),
        current,
        reasons,
        index_uri=_build_site(config),
        display_names=plan.display_names,
        num_skipped=plan.forecast.num_skipped,
    )
    emit_banks(config.gallery_uri, trained.values())
    _raise_failures(failed, plan)
    return TrainSummary(
        trained={name: bank.version for name, bank in trained.items()},
        current=current,
        seconds={name: bank.seconds for name, bank in trained.items()},
        display_names=plan.display_names,
        num_skipped=plan.forecast.num_skipped,
        skipped=plan.forecast.skipped,
    )


def _raise_failures(failed: Mapping[str, Exception], plan: TrainPlan) -> None:
    if failed:
        num_collections = len(plan.jobs) + len(plan.refused)
        raise TrainBanksError(f"{len(failed)} of {num_collections} collections failed: {format_failures(failed)}")


def cut_groups(names: Sequence[str], most: int, num_workers: int) -> dict[str, Sequence[str]]:
    """Cut collections into groups of nearly equal size; returns them by a name for people.

    Args:
        names: Names of the collections.
        most: Largest size of a group.
        num_workers: There are at least as many groups, if there are as many collections.
    """
    count = max(-(-len(names) // most), min(num_workers, len(names)))
    groups = [names[first:end] for first, end in pairwise(len(names) * i // count for i in range(count + 1))]
    return {_name(group): group for group in groups}


def _train(config: TrainConfig, jobs: Mapping[str, TrainJob]) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Train all collections; returns the rows and the errors by collection, in the order of the jobs.

    If a group fails as a whole, its collections are trained one by one, since one of them may be the cause. At the end
    the run waits for collections that other runs train; banks that those register are not returned.
    """
    progress = RunProgress("step", is_most=True)
    with open_progress(progress, "training-progress"), open_runner(config) as runner:
        groups = cut_groups(list(jobs), config.banks_at_once, runner.num_workers)
        progress.add_parts({name: config.recipe.max_steps * len(group) for name, group in groups.items()})
        training = _GroupTraining(config, jobs, runner, progress)
        suspects = training.train(groups)
        training.train({name: [name] for name in suspects})
        training.await_others()
    results = {name: training.results[name] for name in jobs if name in training.results}
    failed = {name: end for name, end in results.items() if isinstance(end, Exception)}
    trained = {name: end for name, end in results.items() if not isinstance(end, Exception)}
    return trained, failed


@dataclass(frozen=True)
class _GroupTraining:
    """Trains groups of collections, one task each, and gathers the results by collection."""

    config: TrainConfig
    jobs: Mapping[str, TrainJob]
    runner: Runner
    progress: RunProgress
    results: dict[str, Any] = field(default_factory=dict)

    def train(self, groups: Mapping[str, Sequence[str]]) -> list[str]:
        """Train groups; returns the collections of groups that failed as a whole and may succeed one by one."""
        done, failed = gather(groups, self._start, on_result=lambda name, end: self._count(groups[name], end))
        for group_results in done.values():
            self.results.update(group_results)
        suspects: list[str] = []
        for name, error in failed.items():
            if _may_succeed_alone(groups[name], error):
                get_run_logger().warning("%s failed together and are trained one by one: %s", name, format_error(error))
                suspects += groups[name]
            else:
                self.results.update(dict.fromkeys(groups[name], error))
        return suspects

    def await_others(self) -> None:
        """Wait for the collections without a result, which other runs train, and train those that they give up."""
        names = [name for name in self.jobs if name not in self.results]
        if not names:
            return
        get_run_logger().info("another run is training %s: waiting for it", _name(names))
        done, failed = gather({_name(names): names}, self._start_waiting)
        for results in done.values():
            self.results.update(results)
        for error in failed.values():
            self.results.update(dict.fromkeys(names, error))

    def _start(self, group: Sequence[str]) -> Future:
        self.progress.add_parts({_name(group): self.config.recipe.max_steps * len(group)})
        with tags(*make_tags("collection", group)):
            return self.runner(train_collections, config=self.config, jobs=self._jobs_of(group), name=_name(group))

    def _start_waiting(self, group: Sequence[str]) -> Future:
        return self.runner(wait_and_train, config=self.config, jobs=self._jobs_of(group), name=_name(group))

    def _jobs_of(self, group: Sequence[str]) -> list[TrainJob]:
        return [self.jobs[name] for name in group]

    def _count(self, group: Sequence[str], end: Mapping[str, Any] | Exception) -> None:
        """Count a group as finished, unless its collections are trained one by one."""
        if not isinstance(end, Exception):
            num_failed = sum(isinstance(result, Exception) for result in end.values())
            self.progress.finish_part(_name(group), num_failed=num_failed)
        elif _may_succeed_alone(group, end):
            self.progress.remove_part(_name(group))
        else:
            self.progress.finish_part(_name(group), num_failed=len(group))


def _may_succeed_alone(group: Sequence[str], error: Exception) -> bool:
    """Return whether a group of several collections failed by an error that one of them may have caused."""
    return len(group) > 1 and not isinstance(error, ArtbankError)


def _build_site(config: TrainConfig) -> str | None:
    """Update the pages, and return the URI of their index.

    A failure does not fail the run: the banks are registered, and the next run writes the pages.
    """
    state = build_site(config, return_state=True)
    if state.is_completed():
        return state.result().index_uri
    get_run_logger().warning("the pages are not up to date; `artbank site %s` writes them", config.store_uri)
    return None


def _name(group: Sequence[str]) -> str:
    """Return the names of a group's collections, the first three of many."""
    named = ", ".join(group[:_MAX_NAMED])
    num_more = len(group) - _MAX_NAMED
    return f"{named} and {num_more} more" if num_more > 0 else named
