"""Galleries into banks: one bank for each collection that needs one."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import flow, get_run_logger

from artbank.config import TrainConfig
from artbank.errors import TrainBanksError
from flows.outcomes import explain, gather, name_failures
from tasks.artifacts import show_banks
from tasks.galleries import plan_training, train_collection
from tasks.runners import open_runner


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

    Nothing changed: it ends in seconds and writes nothing. Run it again to resume what was cut off.

    Raises:
        TrainBanksError: Some collections failed; names them. The others are registered.
        CollectionError: The gallery holds no collection, or not one that was asked for.
        BaseModelError: The base model is not there.
    """
    plan = plan_training(config)
    get_run_logger().info("to train: %d; up to date: %d", len(plan.jobs), len(plan.current))
    if not plan.jobs:
        return TrainSummary({}, plan.current)
    with open_runner(config) as submit:
        jobs = {job.collection.name: job for job in plan.jobs}
        trained, failed = gather(jobs, lambda job: submit(train_collection, config=config, job=job))
    show_banks(list(trained.values()), plan.current, {name: explain(error) for name, error in failed.items()})
    if failed:
        raise TrainBanksError(f"{len(failed)} of {len(plan.jobs)} collections failed: {name_failures(failed)}")
    return TrainSummary({name: bank.version for name, bank in trained.items()}, plan.current)
