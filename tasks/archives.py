"""The tasks of `stylize_archive`.

The core is imported where a task runs: to deploy or to schedule a flow takes no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from artbank.config import StylizeConfig
from artbank.records import Forecast, Outcome
from tasks.progress import show_progress
from tasks.retries import STORE_RETRIES
from tasks.stops import should_stop

if TYPE_CHECKING:
    import pyarrow as pa

    from artbank.archives import StylizePlan
    from artbank.manifest import Shard


@task(**STORE_RETRIES, name="plan-archive", cache_policy=NO_CACHE)
def plan_archive(config: StylizeConfig) -> tuple[StylizePlan, list[Shard], pa.Table]:
    """List the archive and cut what is to do into shards; see `artbank.archives.plan_archive`."""
    from artbank import archives

    return archives.plan_archive(config)


@task(**STORE_RETRIES, name="load-range", cache_policy=NO_CACHE)
def load_range(config: StylizeConfig, run_id: str, first: int, count: int) -> tuple[StylizePlan, list[Shard]]:
    """Read a run's plan and a range of its shards; see `artbank.archives.load_range`."""
    from artbank import archives

    return archives.load_range(config, run_id, first, count)


@task(**STORE_RETRIES, name="forecast-archive", cache_policy=NO_CACHE)
def forecast_archive(config: StylizeConfig) -> Forecast:
    """Tell what a run would do; see `artbank.archives.forecast_archive`."""
    from artbank import archives

    return archives.forecast_archive(config)


@task(**STORE_RETRIES, name="stylize-shard", task_run_name="stylize-{shard.id}", cache_policy=NO_CACHE)
def stylize_shard(config: StylizeConfig, plan: StylizePlan, shard: Shard) -> int:
    """Stylize the photos of one shard, then commit its part; running it twice writes the same objects."""
    from artbank import shards

    with show_progress(f"shard {shard.row_group + 1} of {plan.num_shards}", "picture") as show:
        return shards.stylize_shard(config, plan, shard, show, should_stop)


@task(**STORE_RETRIES, name="find-uncommitted", cache_policy=NO_CACHE)
def find_uncommitted(config: StylizeConfig, shard_ids: list[str]) -> set[str]:
    """Tell which of some shards have no part in the output."""
    from artbank import results
    from artbank.storage import Store

    return results.uncommitted(Store.open(config.output_uri), shard_ids)


@task(**STORE_RETRIES, name="finish-archive", cache_policy=NO_CACHE)
def finish_archive(config: StylizeConfig, plan: StylizePlan, photos: pa.Table) -> Outcome:
    """Write the output's tables, the run's summary and its contact sheet."""
    from artbank import outcomes

    return outcomes.finish_archive(config, plan, photos)
