"""The tasks of `train_banks`.

The tasks import the core when they run, so that deploying or scheduling a flow loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE

from artbank.config import TrainConfig
from artbank.records.bank_records import BankRecord
from artbank_prefect.tasks import artifacts
from artbank_prefect.tasks.cancellation import should_stop
from artbank_prefect.tasks.progress import report_progress
from artbank_prefect.tasks.retries import STORE_RETRIES

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
        config: The run's configuration.
        jobs: The jobs of the group.
        name: Name of the group, for people.

    Returns:
        The row or the error of each collection by name, without those that other runs train or have trained.
    """
    from artbank.gallery import train

    with report_progress(name) as on_step:
        return train.train_collections(config, jobs, on_step, is_retry=(runtime.task_run.run_count or 1) > 1)


@task(**STORE_RETRIES, name="wait-and-train", task_run_name="await-{name}", cache_policy=NO_CACHE)
def wait_and_train(config: TrainConfig, jobs: Sequence[TrainJob], name: str) -> Mapping[str, BankRecord | Exception]:
    """Wait for collections that other runs train, and train those that they give up; see `train_collections`."""
    from artbank.gallery import train

    with report_progress(name) as on_step:
        return train.wait_and_train(config, jobs, on_step, should_stop)


@task(**STORE_RETRIES, name="build-site", cache_policy=NO_CACHE)
def build_site(config: TrainConfig) -> Built:
    """Write the pages of a store's banks that are not up to date, and their index; see `pages.banks.build`."""
    from artbank.pages.banks.build import build
    from artbank.store.objects import Store

    return build(Store.open(config.store_uri))


@task(**STORE_RETRIES, name="show-contact-sheet", cache_policy=NO_CACHE)
def show_contact_sheet(config: TrainConfig, banks: Sequence[BankRecord]) -> None:
    """Create an artifact with the previews of new banks; see `gallery.contact_sheet`."""
    from artbank.gallery.contact_sheet import draw_previews
    from artbank.store.objects import Store

    if sheet := draw_previews(Store.open(config.store_uri), banks):
        artifacts.show_contact_sheet(sheet, "Artworks, and photos in the style of the new banks")
