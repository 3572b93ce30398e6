"""A range of the shards of one run, on the machine that this flow run was given."""

from __future__ import annotations

from typing import Annotated

from prefect import State, flow, runtime
from prefect.states import Cancelled
from pydantic import Field

from artbank.config import StylizeConfig
from artbank.errors import ResultsError
from flows.gather import format_failures
from flows.stylize_archive import work_off
from tasks.progress import open_progress
from tasks.run_progress import RunProgress
from tasks.shard_ranges import is_abandoned
from tasks.stylize_archive import load_range

Number = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def _name_run() -> str:
    given = runtime.flow_run.parameters
    first = given["first"] + 1
    title = given["config"].title
    return f"shards {first} to {first + given['count'] - 1} of {title}"


@flow(name="stylize-shards", flow_run_name=_name_run)
def stylize_shards(config: StylizeConfig, run_id: str, first: Number, count: Count) -> State[None] | None:
    """Stylize some shards of a run that `stylize-archive` has planned; those that have a part are left alone.

    It starts these flow runs by itself, with `config.runner` deployment:stylize-shards/..., and waits for them. What
    ends after `stylize-archive` did, or fails here, is for its next run.

    Args:
        config: That of the run; where its runner is a deployment, this machine's own takes its place.
        run_id: Names the run: a file of `manifests/`.
        first: Number of the first shard, from 0.
        count: Number of shards.

    Raises:
        ResultsError: Some shards could not be finished; names them. Or the run's plan is not there.
        ConfigError: The run has fewer shards, or was planned with another recipe.
    """
    if is_abandoned():
        return Cancelled(message="the stylize-archive run that asked for it has ended")
    plan, shards = load_range(config, run_id, first, count)
    local = config.model_copy(update={"runner": "auto"}) if config.deployment else config
    progress = RunProgress("picture")
    with open_progress(progress):  # without an artifact: that of stylize-archive counts all ranges
        progress.add_parts({shard.id: shard.num_photos * len(plan.styles) for shard in shards})
        # A second round is stylize-archive's, on other machines perhaps.
        failed = work_off(local, plan, shards, progress, rounds=1)
    if failed:
        raise ResultsError(f"{len(failed)} of {len(shards)} shards failed: {format_failures(failed)}")
    return None
