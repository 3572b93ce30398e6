"""The tasks of `train_banks`.

The core is imported where a task runs: to deploy or to schedule a flow takes no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE

from artbank.config import TrainConfig
from artbank.records import BankRecord
from tasks.cancellation import should_stop
from tasks.progress import report_progress
from tasks.retries import STORE_RETRIES

if TYPE_CHECKING:
    from artbank.gallery.plan import TrainJob, TrainPlan
    from artbank.pages.banks.build import Built


@task(**STORE_RETRIES, name="plan-training", cache_policy=NO_CACHE)
def plan_training(config: TrainConfig) -> TrainPlan:
    """Find the collections that need a bank; see `artbank.gallery.plan.plan_training`."""
    from artbank.gallery import plan

    return plan.plan_training(config)


@task(**STORE_RETRIES, name="train-collections", task_run_name="train-{name}", cache_policy=NO_CACHE)
def train_collections(config: TrainConfig, jobs: Sequence[TrainJob], name: str) -> Mapping[str, BankRecord | Exception]:
    """Train and register the banks of a group of collections; a retry resumes from their checkpoints.

    Args:
        config: Of the run.
        jobs: The group.
        name: Of the group, for people.

    Returns:
        What became of each collection, by name, without those that other runs have trained or are at.
    """
    from artbank.gallery import train

    with report_progress(name) as show:
        return train.train_collections(config, jobs, show, is_retry=(runtime.task_run.run_count or 1) > 1)


@task(**STORE_RETRIES, name="train-awaited", task_run_name="await-{name}", cache_policy=NO_CACHE)
def wait_and_train(config: TrainConfig, jobs: Sequence[TrainJob], name: str) -> Mapping[str, BankRecord | Exception]:
    """Wait for collections that other runs are at, and train those that these leave; see `train_collections`."""
    from artbank.gallery import train

    with report_progress(name) as show:
        return train.wait_and_train(config, jobs, show, should_stop)


@task(**STORE_RETRIES, name="build-site", cache_policy=NO_CACHE)
def build_site(config: TrainConfig) -> Built:
    """Write the pages of a store's banks that are not up to date, and their index; see `artbank.pages.banks.build`."""
    from artbank.pages.banks.build import build
    from artbank.store.objects import Store

    return build(Store.open(config.store_uri))
