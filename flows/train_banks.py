"""Galleries into banks: one bank for each collection that needs one, several trained in the same batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, tags

from artbank.config import TrainConfig
from artbank.errors import ArtbankError, TrainBanksError
from artbank.runs.outcome import TrainForecast
from flows.gather import Future, format_error, format_failures, gather
from tasks.artifacts import describe_training, show_banks, show_forecast
from tasks.assets import emit_banks
from tasks.progress import open_progress
from tasks.run_progress import RunProgress
from tasks.runners import Runner, open_runner
from tasks.tags import make_tags, tag_run
from tasks.train_banks import build_site, plan_training, train_collections, wait_and_train

if TYPE_CHECKING:
    from tasks.train_banks import TrainJob

_NAMED = 3  # collections in the name of a group


@dataclass(frozen=True)
class TrainSummary:
    """What a run came to.

    Attributes:
        trained: Version that each newly trained collection got.
        current: Collections whose bank was up to date, or was brought up to date by another run meanwhile.
        seconds: Of a device, that each newly trained bank took: its share of the steps and validations.
    """

    trained: dict[str, int]
    current: tuple[str, ...]
    seconds: dict[str, float]


@flow(name="train-banks", flow_run_name="{config.title}")
def train_banks(config: TrainConfig) -> TrainSummary | TrainForecast:
    """Train a bank for every collection whose artworks, recipe or base model have none yet.

    Nothing changed: it ends in seconds and writes nothing. Run it again to resume what was cut off. The pages of the
    banks are brought up to date at the end. With `config.dry_run` it only tells what it would do.

    Raises:
        TrainBanksError: Some collections failed; names them. The others are registered.
        CollectionError: The gallery holds no collection, or not one that was asked for.
        BaseModelError: The base model is not there.
    """
    plan, log = plan_training(config), get_run_logger()
    if config.dry_run:
        show_forecast(plan.forecast)
        return plan.forecast
    if not plan.jobs:
        log.info("nothing to train: %d collections are up to date", len(plan.current))
        _build_site(config)
        return TrainSummary({}, plan.current, {})
    log.info("to train: %d; up to date: %d", len(plan.jobs), len(plan.current))
    log.info(describe_training(plan.forecast))
    tag_run(make_tags("collection", [job.collection.name for job in plan.jobs]))
    ends = _train(config, {job.collection.name: job for job in plan.jobs})
    current = (*plan.current, *(job.collection.name for job in plan.jobs if job.collection.name not in ends))
    failed = {name: end for name, end in ends.items() if isinstance(end, Exception)}
    trained = {name: end for name, end in ends.items() if name not in failed}
    reasons = {name: format_error(error) for name, error in failed.items()}
    show_banks(list(trained.values()), current, reasons, index_uri=_build_site(config))
    emit_banks(config.gallery_uri, trained.values())
    if failed:
        raise TrainBanksError(f"{len(failed)} of {len(plan.jobs)} collections failed: {format_failures(failed)}")
    versions, seconds = ({name: getattr(b, what) for name, b in trained.items()} for what in ("version", "seconds"))
    return TrainSummary(versions, current, seconds)


def cut_groups(names: Sequence[str], most: int, num_workers: int) -> dict[str, Sequence[str]]:
    """Cut collections into groups of nearly equal size, each under a name of its own.

    Args:
        names: Of the collections.
        most: Largest size of a group.
        num_workers: There are at least as many groups, where there are as many collections.
    """
    count = max(-(-len(names) // most), min(num_workers, len(names)))
    groups = [names[first:end] for first, end in pairwise(len(names) * i // count for i in range(count + 1))]
    return {_name(group): group for group in groups}


def _train(config: TrainConfig, jobs: Mapping[str, TrainJob]) -> dict[str, Any]:
    """Train all collections; returns each one's record, or what went wrong with it.

    Where a group failed as a whole, its collections are tried by themselves: one may be the cause. Those that another
    run is at are waited for when all others are done; what that one has trained is not returned.
    """
    progress = RunProgress("step", is_most=True)
    with open_progress(progress, "training-progress"), open_runner(config) as runner:

        def start(group: Sequence[str]) -> Future:
            progress.add_parts({_name(group): config.recipe.max_steps * len(group)})
            with tags(*make_tags("collection", group)):
                return runner(train_collections, config=config, jobs=[jobs[name] for name in group], name=_name(group))

        def settle(name: str, end: Any) -> None:
            if isinstance(end, Exception) and is_suspect(name, end):
                progress.remove_part(name)
            else:
                progress.finish_part(name, num_failed=count_failed(end, len(groups.get(name, [name]))))

        def is_suspect(name: str, error: Exception) -> bool:
            return len(groups.get(name, [name])) > 1 and not isinstance(error, ArtbankError)

        groups = cut_groups(list(jobs), config.banks_at_once, runner.num_workers)
        progress.add_parts({name: config.recipe.max_steps * len(group) for name, group in groups.items()})
        told, broken = gather(groups, start, on_result=settle)
        suspects = [key for key in broken if is_suspect(key, broken[key])]
        for key in suspects:
            get_run_logger().warning(
                "%s failed together and are trained one by one: %s", key, format_error(broken[key])
            )
        alone = {name: [name] for key in suspects for name in groups[key]}
        told_alone, broken_alone = gather(alone, start, on_result=settle)
        ends = {name: error for key, error in broken.items() for name in groups[key]} | broken_alone
        for group in (*told.values(), *told_alone.values()):
            ends |= group
        if busy := [name for name in jobs if name not in ends]:
            ends |= _await(config, [jobs[name] for name in busy], _name(busy), runner)
    return {name: ends[name] for name in jobs if name in ends}


def _await(config: TrainConfig, jobs: Sequence[TrainJob], name: str, runner: Runner) -> dict[str, Any]:
    get_run_logger().info("another run is at %s: waiting for it", name)
    told, broken = gather({name: jobs}, lambda jobs: runner(wait_and_train, config=config, jobs=jobs, name=name))
    failed = {job.collection.name: error for error in broken.values() for job in jobs}
    return failed | dict(told.get(name, {}))


def count_failed(end: Mapping[str, Any] | Exception, size: int) -> int:
    """Return how many collections of a group failed, which came to results by name or to an error as a whole."""
    return size if isinstance(end, Exception) else sum(isinstance(one, Exception) for one in end.values())


def _build_site(config: TrainConfig) -> str | None:
    """Bring the pages up to date, and return the URI of their index.

    That they cannot be written fails no run: the banks are registered, and the next run writes the pages.
    """
    state = build_site(config, return_state=True)
    if state.is_completed():
        return state.result().index_uri
    get_run_logger().warning("the pages are not up to date; `artbank site %s` writes them", config.store_uri)
    return None


def _name(group: Sequence[str]) -> str:
    more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
    return ", ".join(group[:_NAMED]) + more
