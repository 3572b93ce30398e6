"""One shard of a run, from its mark to its part.

Pictures are written first and the part last, so a shard that was cut off is simply done again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from artbank.archive.plan import StylizePlan
from artbank.archive.shard_pipeline import RunResources, ShardPipeline
from artbank.config import StylizeConfig
from artbank.errors import ArtbankError, StopRequested
from artbank.records import Result
from artbank.results import attempts, ledger
from artbank.results.attempts import Attempt
from artbank.results.manifest import Shard
from artbank.runs.outcome import Tally
from artbank.runtime import telemetry
from artbank.runtime.load_once import LoadOnce
from artbank.store.objects import Store
from artbank.store.transient_errors import is_transient

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told of the pictures of a shard: how many are done, and how many there are."""

_TOLD_SECONDS = 10


def stylize_shard(
    config: StylizeConfig,
    plan: StylizePlan,
    shard: Shard,
    progress: Progress = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Stylize, score and write the photos of one shard, then commit its part.

    Running it twice writes the same objects, so a retry needs no clean-up; a shard whose part is there is left alone.

    Args:
        config: The run's.
        plan: Likewise.
        shard: What is to do.
        progress: Called as pictures are written.
        should_stop: Asked before every batch.

    Returns:
        Number of rows in the part; 0 where it was there already.

    Raises:
        BankError: A bank is missing, damaged, or was trained on another base model.
        BaseModelError: The base model is not there, or is another than the run was planned with.
        OSError: The store failed.
        StopRequested: `should_stop` said so.
    """
    telemetry.start_exporter()
    output = Store.open(config.output_uri)
    if ledger.is_committed(output, shard.id):
        return 0
    run = _load_resources(config, plan)
    manifest = run.open_manifest(shard.manifest_id)
    asked = manifest.tasks(shard)
    strikes = {task.key: task.strikes or 0 for task in asked}
    attempt = attempts.start(output, shard.id, strikes, after=manifest.after)
    work = ShardPipeline(run, shard.id, attempt, should_stop)
    total, rows, told = sum(len(task.styles) for task in asked), [], time.monotonic()
    try:
        for some in work.run(asked, manifest.known_rows(shard)):
            rows += some
            progress(len(rows), total)
            if len(rows) == total or time.monotonic() - told > _TOLD_SECONDS:
                logger.info("shard %s: %d of %d pictures", shard.id, len(rows), total)
                told = time.monotonic()
    except (ArtbankError, StopRequested) as error:
        logger.info("shard %s is given back: %s", shard.id, error)
        attempt.release()
        raise
    except Exception as error:
        if is_transient(error):
            _try_give_back(attempt)
        raise
    ledger.commit(output, shard.id, rows, _count(rows, work.kept))
    attempts.delete_marks(output, [shard.id])
    if attempt.is_careful:  # somebody may have been killed while writing
        output.delete_leftovers({row.file_name.rpartition("/")[0] for row in rows if row.file_name})
    return len(rows)


def _count(rows: Sequence[Result], kept: Sequence[Result]) -> Tally:
    """Count the rows of a shard, some of which are older ones that were kept, and tell the metrics of these."""
    for row in kept:
        telemetry.count_picture(row.style, "kept")
    done = sum(row.status == "done" for row in rows)
    seconds = sum(row.seconds for row in rows) - sum(row.seconds for row in kept)
    return Tally(done, len(rows) - done, sum(row.status == "done" for row in kept), seconds)


@LoadOnce
def _load_resources(config: StylizeConfig, plan: StylizePlan) -> RunResources:
    """Return the resources of a run, which all its shards in this process share."""
    return RunResources(config, plan)


def _try_give_back(attempt: Attempt) -> None:
    try:
        attempt.release()
    except Exception as error:  # the store fails, and what matters is why it first did
        logger.debug("the mark stays as it is: %s", error)
