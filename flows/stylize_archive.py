"""An archive into pictures: every photo in every style, once."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from artbank.config import StylizeConfig
from artbank.errors import ResultsError
from flows.outcomes import gather, name_failures
from tasks.archives import Outcome, finish_archive, plan_archive, stylize_shard
from tasks.artifacts import show_outcome

_RUNNER: Any = ThreadPoolTaskRunner(max_workers=1)  # one shard fills a device


@flow(
    name="stylize-archive",
    flow_run_name="stylize-archive {config.archive_uri}",
    task_runner=_RUNNER,
)
def stylize_archive(config: StylizeConfig) -> Outcome:
    """Stylize every photo under `config.archive_uri` that lacks a picture; run it again to resume.

    Raises:
        ResultsError: Some shards could not be finished; names them. The others are committed.
        CatalogError: A style is not in the catalog.
        ConfigError: A style cannot be read or does not fit the base model.
        BaseModelError: The base model is not there.
    """
    plan, photos = plan_archive(config)
    get_run_logger().info("%d photos, %d to do in %d shards", plan.num_photos, plan.num_tasks, len(plan.shards))
    _, failed = gather({shard.id: stylize_shard.submit(config, plan, shard) for shard in plan.shards})
    outcome = finish_archive(config, plan, photos)
    show_outcome(outcome)
    if failed:
        raise ResultsError(f"{len(failed)} of {len(plan.shards)} shards failed: {name_failures(failed)}; run it again")
    return outcome
