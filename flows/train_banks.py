"""Galleries into banks: one bank for each collection that needs one, several trained in the same batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger

from artbank.config import TrainConfig
from artbank.errors import ArtbankError, TrainBanksError
from flows.outcomes import Future, explain, gather, name_failures
from tasks.artifacts import show_banks, show_pages
from tasks.galleries import build_site, plan_training, train_collections
from tasks.runners import open_runner

if TYPE_CHECKING:
    from tasks.galleries import TrainJob

_NAMED = 3  # collections in the name of a group


@dataclass(frozen=True)
class TrainSummary:
    """What a run came to.

    Attributes:
        trained: Version that each newly trained collection got.
        current: Collections whose bank was up to date.
    """

    trained: dict[str, int]
    current: tuple[str, ...]


@flow(name="train-banks", flow_run_name="train-banks {config.gallery_uri}")
def train_banks(config: TrainConfig) -> TrainSummary:
    """Train a bank for every collection whose artworks, recipe or base model have none yet.

    Nothing changed: it ends in seconds and writes nothing. Run it again to resume what was cut off. The pages of the
    banks are brought up to date at the end.

    Raises:
        TrainBanksError: Some collections failed; names them. The others are registered.
        CollectionError: The gallery holds no collection, or not one that was asked for.
        BaseModelError: The base model is not there.
    """
    plan = plan_training(config)
    get_run_logger().info("to train: %d; up to date: %d", len(plan.jobs), len(plan.current))
    if not plan.jobs:
        _build_site(config, [])
        return TrainSummary({}, plan.current)
    ends = _train(config, {job.collection.name: job for job in plan.jobs})
    failed = {name: end for name, end in ends.items() if isinstance(end, Exception)}
    trained = {name: end for name, end in ends.items() if name not in failed}
    show_banks(list(trained.values()), plan.current, {name: explain(error) for name, error in failed.items()})
    _build_site(config, list(trained.values()))
    if failed:
        raise TrainBanksError(f"{len(failed)} of {len(plan.jobs)} collections failed: {name_failures(failed)}")
    return TrainSummary({name: bank.version for name, bank in trained.items()}, plan.current)


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

    Where a group failed as a whole, its collections are tried by themselves: one may be the cause.
    """
    with open_runner(config) as runner:

        def start(group: Sequence[str]) -> Future:
            return runner(train_collections, config=config, jobs=[jobs[name] for name in group], name=_name(group))

        groups = cut_groups(list(jobs), config.banks_at_once, runner.num_workers)
        told, broken = gather(groups, start)
        suspects = [key for key in broken if len(groups[key]) > 1 and not isinstance(broken[key], ArtbankError)]
        for key in suspects:
            get_run_logger().warning("%s failed together and are trained one by one: %s", key, explain(broken[key]))
        told_alone, broken_alone = gather({name: [name] for key in suspects for name in groups[key]}, start)
    ends = {name: error for key, error in broken.items() for name in groups[key]} | broken_alone
    for group in (*told.values(), *told_alone.values()):
        ends |= group
    return {name: ends[name] for name in jobs}


def _build_site(config: TrainConfig, trained: Sequence[Any]) -> None:
    """Bring the pages up to date, which fails no run: the banks are registered, and the next run writes the pages."""
    state = build_site(config, return_state=True)
    if not state.is_completed():
        get_run_logger().warning("the pages are not up to date; `artbank site %s` writes them", config.store_uri)
    elif trained:
        built = state.result()
        show_pages(trained, built.index_uri, built.pages)


def _name(group: Sequence[str]) -> str:
    more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
    return ", ".join(group[:_NAMED]) + more
