"""Galleries into banks: one bank for each collection that needs one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect import flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from artbank.config import TrainConfig
from artbank.errors import TrainBanksError
from flows.outcomes import gather, name_failures
from tasks.artifacts import show_banks
from tasks.galleries import plan_training, train_collection


@dataclass(frozen=True)
class TrainSummary:
    """What a run came to.

    Attributes:
        trained: Version that each newly trained collection got.
        current: Collections whose bank was up to date.
    """

    trained: dict[str, int]
    current: tuple[str, ...]


_RUNNER: Any = ThreadPoolTaskRunner(max_workers=1)  # one training fills a device


@flow(
    name="train-banks",
    flow_run_name="train-banks {config.gallery_uri}",
    task_runner=_RUNNER,
)
def train_banks(config: TrainConfig) -> TrainSummary:
    """Train a bank for every collection whose artworks, recipe or base model have none yet.

    Nothing changed: it ends in seconds and writes nothing. Run it again to resume what was cut off.

    Raises:
        TrainBanksError: Some collections failed; names them. The others are registered.
        CollectionError: The gallery holds no collection, or not one that was asked for.
        BaseModelError: The base model is not there.
    """
    plan = plan_training(config)
    get_run_logger().info("to train: %d; up to date: %d", len(plan.jobs), len(plan.current))
    futures = {job.collection.name: train_collection.submit(config, job) for job in plan.jobs}
    trained, failed = gather(futures)
    if trained or failed:
        show_banks(list(trained.values()), plan.current, failed)
    if failed:
        raise TrainBanksError(f"{len(failed)} of {len(plan.jobs)} collections failed: {name_failures(failed)}")
    return TrainSummary({name: bank.version for name, bank in trained.items()}, plan.current)
