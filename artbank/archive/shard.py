"""One shard of a run, from its start mark to its part.

Pictures are written first and the part last, so a shard that was interrupted is simply done again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial

from artbank.archive.picture_rows import FinishedRow
from artbank.archive.plan import StylizePlan
from artbank.archive.run_resources import load_resources
from artbank.archive.shard_pipeline import ShardPipeline
from artbank.config import StylizeConfig
from artbank.errors import ArtbankError, StopRequested
from artbank.results import attempts, ledger
from artbank.results.manifest import Shard
from artbank.runs.outcome import Tally
from artbank.runtime import telemetry
from artbank.store.objects import Store
from artbank.store.transient_errors import is_of_store

logger = logging.getLogger(__name__)

ReportPictures = Callable[[int, int], None]
"""Called with the pictures of a shard that are done, and their total."""

_LOG_SECONDS = 10


def stylize_shard(
    config: StylizeConfig,
    plan: StylizePlan,
    shard: Shard,
    progress: ReportPictures = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    num_pictures: int | None = None,
) -> int:
    """Stylize, score and write the photos of one shard, then commit its part.

    Running it twice writes the same objects, so a retry needs no clean-up. A committed shard is skipped.
    A second thread may call it for the next shard, whose photos are then decoded while the model draws this one.

    Args:
        config: The run's configuration.
        plan: The run's plan.
        shard: The photos to stylize.
        progress: Called as pictures are written.
        should_stop: Asked before every batch.
        num_pictures: Pictures that this worker draws in the run, about, of this shard and others; None if unknown.

    Returns:
        Number of rows in the part; 0 if the shard was committed already.

    Raises:
        BankError: A bank is missing, damaged, or was trained on another base model.
        BaseModelError: The base model is missing, or differs from the one that the run was planned with.
        ResultsError: Another run has taken over a style of this run, or the memory has room for no photo at all.
        OSError: The store failed.
        StopRequested: `should_stop` returned True.
    """
    telemetry.start_exporter()
    if ledger.is_committed(Store.open(config.output_uri), shard.id):
        return 0  # without loading a model
    run = load_resources(config, plan)
    output = run.stores.output
    if num_pictures is not None:
        run.begin(num_pictures)
    manifest = run.open_manifest(shard.manifest_id)
    tasks = manifest.tasks(shard)
    run.check_lease()
    strikes = {task.key: task.strikes or 0 for task in tasks}
    attempt = attempts.start(output, shard.id, strikes, after=manifest.after)
    pipeline = ShardPipeline(run, shard.id, attempt, should_stop)
    total = sum(len(task.styles) for task in tasks)
    try:
        with closing(pipeline.run(tasks, manifest.known_rows(shard))) as batches:
            finished = [row for batch in _reported(batches, shard.id, total, progress) for row in batch]
        run.check_lease()
    except (ArtbankError, StopRequested) as error:
        logger.info("shard %s released for another worker: %s", shard.id, error)
        attempt.release()
        raise
    except Exception as error:
        _try_to_mark(attempt.release if is_of_store(error) else partial(pipeline.blame, error))
        raise
    rows = [row.row for row in finished]
    ledger.commit(output, shard.id, rows, sum((row.tally for row in finished), Tally()))
    attempts.delete_marks(output, [shard.id])
    if attempt.is_careful:  # an earlier worker may have been killed while it wrote
        output.delete_leftovers({row.file_name.rpartition("/")[0] for row in rows if row.file_name})
    return len(rows)


def _reported(
    batches: Iterable[list[FinishedRow]], shard_id: str, total: int, progress: ReportPictures
) -> Iterator[list[FinishedRow]]:
    """Pass on the rows; report the progress of each batch, and log it every few seconds."""
    done = 0
    last_log = time.monotonic()
    for batch in batches:
        done += len(batch)
        progress(done, total)
        if done == total or time.monotonic() - last_log > _LOG_SECONDS:
            logger.info("shard %s: %d of %d pictures", shard_id, done, total)
            last_log = time.monotonic()
        yield batch


def _try_to_mark(end: Callable[[], None]) -> None:
    try:
        end()
    except Exception as error:  # the store fails; the first error matters, not this one
        logger.debug("could not note the end of the attempt: %s", error)
