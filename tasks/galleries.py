"""The tasks of `train_banks`.

The core is imported where a task runs: to deploy or to schedule a flow takes no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from artbank.config import TrainConfig
from artbank.records import BankRecord
from tasks.progress import show_progress
from tasks.retries import STORE_RETRIES

if TYPE_CHECKING:
    from artbank.galleries import TrainJob, TrainPlan


@task(**STORE_RETRIES, name="plan-training", cache_policy=NO_CACHE)
def plan_training(config: TrainConfig) -> TrainPlan:
    """Find the collections that need a bank; see `artbank.galleries.plan_training`."""
    from artbank import galleries

    return galleries.plan_training(config)


@task(**STORE_RETRIES, name="train-bank", task_run_name="train-{job.collection.name}", cache_policy=NO_CACHE)
def train_collection(config: TrainConfig, job: TrainJob) -> BankRecord:
    """Train one collection's bank and register it; a retry resumes from its checkpoint."""
    from artbank import galleries

    with show_progress(job.collection.name, "step") as show:
        return galleries.train_collection(config, job, show)
