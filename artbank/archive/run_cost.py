"""The cost of a run over an archive, from the tallies of its shards."""

from __future__ import annotations

from collections.abc import Collection

from artbank.archive.plan import StylizePlan
from artbank.config import StylizeConfig
from artbank.results import ledger
from artbank.runs.outcome import RunCost, Tally
from artbank.runs.progress import RunProgress
from artbank.store.objects import Store


def read_tallies(config: StylizeConfig, shard_ids: Collection[str]) -> dict[str, Tally]:
    """Return the tallies of those shards that have a part; see `results.ledger.read_tallies`."""
    output = Store.open(config.output_uri)
    if len(shard_ids) > 1:  # one listing costs less than a request for each missing part
        shard_ids = set(shard_ids) - ledger.without_part(output, shard_ids)
    return ledger.read_tallies(output, shard_ids)


def sum_cost(plan: StylizePlan, progress: RunProgress) -> RunCost:
    """Return the cost of a run."""
    tally = sum(progress.tallies.values(), Tally())
    forecast = plan.pace and plan.pace.seconds * (tally.done - tally.kept)
    photos = round(plan.num_tasks * (tally.done + tally.failed) / max(plan.num_pictures, 1))
    return RunCost(tally, photos, progress.wall_seconds, progress.num_workers, forecast)
