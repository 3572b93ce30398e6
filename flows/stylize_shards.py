"""The flow that stylizes a range of the shards of one run, on another machine than the run itself."""

from __future__ import annotations

from typing import Annotated

from prefect import State, flow, runtime
from prefect.states import Cancelled
from pydantic import Field

from artbank.config import StylizeConfig
from artbank.errors import ResultsError
from artbank.runs.gather import format_failures
from artbank.runs.progress import RunProgress
from artbank_prefect.flows.stylize_archive import draw_shards
from artbank_prefect.tasks.progress import open_progress
from artbank_prefect.tasks.shard_ranges import is_abandoned
from artbank_prefect.tasks.stylize_archive import load_range

Number = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def _name_run() -> str:
    parameters = runtime.flow_run.parameters
    first = parameters["first"] + 1
    last = parameters["first"] + parameters["count"]
    return f"shards {first} to {last} of {parameters['config'].title}"


@flow(name="stylize-shards", flow_run_name=_name_run)
def stylize_shards(config: StylizeConfig, run_id: str, first: Number, count: Count) -> State[None] | None:
    """Stylize some shards of a run that `stylize-archive` planned. Shards that have a part are skipped.

    `stylize-archive` starts these flow runs if `config.runner` is deployment:stylize-shards/..., and waits for them.
    It runs failed shards again in its next round.

    Args:
        config: The configuration of the run. If its runner is a deployment, the shards run on this machine instead.
        run_id: Id of the run, which names its file in `manifests/`.
        first: Number of the first shard, from 0.
        count: Number of shards.

    Raises:
        ResultsError: Some shards failed; the message names them. Or the plan of the run is missing.
        ConfigError: The run has fewer shards, or was planned with another recipe.
    """
    if is_abandoned():
        return Cancelled(message="the stylize-archive run that started it has ended")
    plan, shards = load_range(config, run_id, first, count)
    local = config.model_copy(update={"runner": "auto"}) if config.deployment else config
    progress = RunProgress("picture")
    with open_progress(progress):  # without an artifact: that of stylize-archive counts all ranges
        progress.add_parts({shard.id: shard.num_photos * len(plan.styles) for shard in shards})
        # stylize-archive runs failed shards again, perhaps on other machines.
        failed = draw_shards(local, plan, shards, progress, max_rounds=1)
    if failed:
        raise ResultsError(f"{len(failed)} of {len(shards)} shards failed: {format_failures(failed)}")
    return None
