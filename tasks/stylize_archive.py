"""The tasks of `stylize_archive`.

The tasks import the core when they run, so that deploying or scheduling a flow loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from artbank.config import StylizeConfig
from artbank.runs.outcome import Outcome, RunCost, StylizeForecast, Tally
from artbank.runs.progress import RunProgress
from artbank_prefect.tasks import artifacts
from artbank_prefect.tasks.cancellation import should_stop
from artbank_prefect.tasks.progress import report_progress
from artbank_prefect.tasks.retries import STORE_RETRIES

if TYPE_CHECKING:
    import pyarrow as pa

    from artbank.archive.plan import StylizePlan
    from artbank.archive.style_leases import StyleLeases
    from artbank.results.manifest import Shard


@task(**STORE_RETRIES, name="plan-archive", cache_policy=NO_CACHE)
def plan_archive(config: StylizeConfig, leases: StyleLeases) -> tuple[StylizePlan, list[Shard], pa.Table]:
    """List the archive and cut the work that is left into shards; see `artbank.archive.plan.plan_archive`."""
    from artbank.archive import plan as planning

    return planning.plan_archive(config, leases)


@contextmanager
def open_style_leases(config: StylizeConfig) -> Iterator[StyleLeases]:
    """Hold the leases that planning acquires until the block ends; see `artbank.archive.style_leases`."""
    from artbank.archive import style_leases

    with style_leases.open_style_leases(config) as leases:
        yield leases


@task(**STORE_RETRIES, name="load-range", cache_policy=NO_CACHE)
def load_range(config: StylizeConfig, run_id: str, first: int, count: int) -> tuple[StylizePlan, list[Shard]]:
    """Read a run's plan and a range of its shards; see `artbank.archive.plan.load_range`."""
    from artbank.archive import plan as planning

    return planning.load_range(config, run_id, first, count)


@task(**STORE_RETRIES, name="forecast-archive", cache_policy=NO_CACHE)
def forecast_archive(config: StylizeConfig) -> StylizeForecast:
    """Forecast what a run would do; see `artbank.archive.forecast.forecast_archive`."""
    from artbank.archive import forecast as forecasting

    return forecasting.forecast_archive(config)


@task(**STORE_RETRIES, name="stylize-shard", task_run_name="stylize-{shard.id}", cache_policy=NO_CACHE)
def stylize_shard(config: StylizeConfig, plan: StylizePlan, shard: Shard, num_pictures: int | None = None) -> Tally:
    """Stylize the photos of one shard, then commit its part; running it twice writes the same objects.

    Args:
        config: The run's configuration.
        plan: The run's plan.
        shard: The shard.
        num_pictures: Pictures that its worker draws in the run, about; None if unknown.
    """
    from artbank.archive.shard import stylize_shard as stylize

    with report_progress(shard.id) as show:
        stylize(config, plan, shard, show, should_stop, num_pictures=num_pictures)
    return read_tallies(config, [shard.id])[shard.id]


def read_tallies(config: StylizeConfig, shard_ids: Collection[str]) -> dict[str, Tally]:
    """Return the tallies of those shards that have a part; see `artbank.archive.run_cost`."""
    from artbank.archive import run_cost

    return run_cost.read_tallies(config, shard_ids)


def make_poll(config: StylizeConfig, shard_ids: Collection[str]) -> Callable[[RunProgress], None]:
    """Return a function that reads the parts of shards finished elsewhere; it reads each part once."""

    def poll(progress: RunProgress) -> None:
        progress.record_tallies(read_tallies(config, set(shard_ids) - progress.tallies.keys()))

    return poll


def sum_cost(plan: StylizePlan, progress: RunProgress) -> RunCost:
    """Return the cost of a run, from the tallies of its shards; see `artbank.archive.run_cost`."""
    from artbank.archive import run_cost

    return run_cost.sum_cost(plan, progress)


def name_banks(plan: StylizePlan) -> set[str]:
    """Return the URIs of the banks of a run."""
    return {bank.weights_uri for style in plan.styles for bank, _ in style.banks}


@task(**STORE_RETRIES, name="find-uncommitted", cache_policy=NO_CACHE)
def find_uncommitted(config: StylizeConfig, shard_ids: list[str]) -> set[str]:
    """Return those shards that have no part in the output."""
    from artbank.results import ledger
    from artbank.store.objects import Store

    return ledger.without_part(Store.open(config.output_uri), shard_ids)


@task(**STORE_RETRIES, name="finish-archive", cache_policy=NO_CACHE)
def finish_archive(config: StylizeConfig, plan: StylizePlan, photos: pa.Table, cost: RunCost | None = None) -> Outcome:
    """Write the output's tables, the page and the run's summary."""
    from artbank.archive import finish

    return finish.finish_archive(config, plan, photos, cost)


@task(**STORE_RETRIES, name="show-contact-sheet", cache_policy=NO_CACHE)
def show_contact_sheet(config: StylizeConfig, plan: StylizePlan) -> None:
    """Create an artifact with some of the run's photos and pictures, if it drew any; see `archive.contact_sheet`."""
    from artbank.archive.contact_sheet import read_contact_sheet
    from artbank.store.objects import Store

    if sheet := read_contact_sheet(Store.open(config.output_uri), plan.run_id):
        artifacts.show_contact_sheet(sheet, "Some photos of this run, each beside its pictures")
