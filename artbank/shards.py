"""One shard of a run: its photos read, stylized, scored and written, then its part.

The stages overlap: while the model draws one batch, the photos of the next are read and decoded, and the pictures of
the last encoded and written. Pictures are written first and the part last, so a shard that was cut off is done again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from artbank import attempts, manifest, results
from artbank.archives import StylizePlan
from artbank.attempts import Attempt
from artbank.codecs import Reading
from artbank.config import StylizeConfig
from artbank.errors import ArtbankError, ImageError, StopRequested
from artbank.evaluation import Scores, score
from artbank.framing import Photo
from artbank.images import output_name
from artbank.manifest import Shard
from artbank.opening import Kept, Known, Opened, PhotoOpener, Refused
from artbank.pipeline import Waits, ahead, batches
from artbank.records import PhotoTask, Result
from artbank.storage import Store, is_transient
from artbank.styles import load_style
from artbank.stylization import Stylized, Stylizer
from artbank.worker import load_base, load_codecs, load_scorer

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told of the pictures of a shard: how many are done, and how many there are."""

_TOLD_SECONDS = 10
_WRITES = 4  # batches that are encoded and written while the model draws the next
_PATIENCE = 4  # attempts at a shard before a single file that the store does not give is a failed row
_CRASHED = (
    "a process ended {} times while this photo was worked on, twice while it was alone; look into the worker's log"
)


@dataclass(frozen=True)
class Drawn:
    """A picture and its photo, on the way to the output."""

    opened: Opened
    one: Stylized
    scores: Scores
    seconds: float


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
        OSError: The store failed.
        StopRequested: `should_stop` said so.
    """
    output = Store.open(config.output_uri)
    if results.is_committed(output, shard.id):
        return 0
    worker, asked = _open_worker(config, plan), manifest.read_shard(output, shard)
    attempt = attempts.begin(output, shard.id, {task.key: task.strikes or 0 for task in asked})
    total, rows, told = sum(len(task.styles) for task in asked), [], time.monotonic()
    try:
        for some in worker.work(asked, manifest.read_known(output, shard), attempt, should_stop):
            rows += some
            progress(len(rows), total)
            if len(rows) == total or time.monotonic() - told > _TOLD_SECONDS:
                logger.info("shard %s: %d of %d pictures", shard.id, len(rows), total)
                told = time.monotonic()
    except (ArtbankError, StopRequested) as error:
        logger.info("shard %s is given back: %s", shard.id, error)
        attempt.give_back()
        raise
    except Exception as error:
        if is_transient(error):
            _try_give_back(attempt)
        raise
    results.commit(output, shard.id, rows)
    attempts.forget(output, [shard.id])
    return len(rows)


class ShardWorker:
    """A process set up for one run: model, styles and scorer, loaded once."""

    def __init__(self, config: StylizeConfig, plan: StylizePlan):
        """Load what every shard of a run needs."""
        self.config, self.plan = config, plan
        self.output, store = Store.open(config.output_uri), Store.open(config.store_uri)
        self.choices = {choice.name: choice for choice in plan.styles}
        loaded = [load_style(store, choice) for choice in plan.styles]
        self.references = {style.name: reference for style, reference in loaded}
        self.stylizer = Stylizer(load_base(config), [style for style, _ in loaded], config.recipe)
        self.scorer, self.codecs = load_scorer(config), load_codecs()
        archive, count = Store.open(config.archive_uri), 2 * config.batch_size
        self.opener = PhotoOpener(archive, self.codecs, self._reading(), max_bytes=config.max_bytes, count=count)

    def work(
        self, tasks: Sequence[PhotoTask], known: Known, attempt: Attempt, should_stop: Callable[[], bool]
    ) -> Iterator[list[Result]]:
        """Do the photos of a shard; yields their rows as they are finished, one for each style that a task asks for.

        Args:
            tasks: The photos.
            known: Rows that are kept where a photo's content is still theirs; see `manifest.read_known`.
            attempt: Knows what is against the photos.
            should_stop: Asked before every batch.
        """
        apart: list[Result] = []
        opened = self._sort_out(self.opener.open(tasks, known, is_patient=attempt.mark.number < _PATIENCE), apart)
        full = batches(opened, _kind, self.config.batch_size, most=4 * self.config.batch_size)
        drawn = (one for batch in full for one in self._draw(batch, attempt, apart, should_stop))
        with ThreadPoolExecutor(_WRITES) as writers:
            yield from ahead(drawn, lambda some: self._start_writing(writers, some), count=_WRITES)
        if apart:
            yield apart

    def _reading(self) -> Reading:
        config, base = self.config, self.stylizer.base
        return Reading(
            max_pixels=config.max_pixels,
            alpha=config.recipe.alpha,
            size=config.recipe.size,
            short_px=self.stylizer.short_px,
            multiple_px=base.size_multiple_px,
            seconds=config.decode_seconds,
        )

    def _sort_out(self, found: Iterable[Opened | Refused | Kept], apart: list[Result]) -> Iterator[Opened]:
        """Yield the photos that can be stylized; the rows of the others go to `apart`."""
        for one in found:
            if isinstance(one, Opened):
                yield one
            elif isinstance(one, Kept):
                apart += one.rows
            else:
                apart += [self._row(one.task, style, one.digest, error=one.error) for style in one.task.styles]

    def _draw(
        self, batch: list[Opened], attempt: Attempt, apart: list[Result], should_stop: Callable[[], bool]
    ) -> Iterator[list[Drawn]]:
        """Yield the pictures of a batch, style by style; rows of photos without a picture go to `apart`."""
        styles = batch[0].task.styles
        for one in batch:
            if (strikes := attempt.strikes(one.photo.key)) >= attempts.LOST:
                error = ImageError(_CRASHED.format(strikes), "crashed")
                apart += [self._row(one.task, style, one.digest, error=error) for style in styles]
        for turn in attempt.turns([one.photo.key for one in batch]):
            if should_stop():
                raise StopRequested("the process was asked to end; run again to go on")
            start, own = time.monotonic(), {one.photo.key: one for one in batch if one.photo.key in turn}
            photos = [one.photo if one.photo.key in turn else _blank(one.photo) for one in batch]
            made = [one for one in self.stylizer.stylize_batch(photos, styles) if one.key in turn]
            seconds = (time.monotonic() - start) / max(len(made), 1)
            for style in styles:
                mine = [(own[one.key], one) for one in made if one.style == style]
                apart += [self._row(p.task, style, p.digest, error=one.error) for p, one in mine if one.error]
                yield self._score(style, [(p, one) for p, one in mine if one.rgb is not None], seconds)

    def _score(self, style: str, made: Sequence[tuple[Opened, Stylized]], seconds: float) -> list[Drawn]:
        photos, pictures = [photo.photo.working for photo, _ in made], [_pixels(one) for _, one in made]
        scores = score(self.scorer, self.references[style], photos, pictures) if made else []
        return [Drawn(photo, one, marks, seconds) for (photo, one), marks in zip(made, scores, strict=True)]

    def _start_writing(self, writers: ThreadPoolExecutor, drawn: Sequence[Drawn]) -> Waits[list[Result]]:
        bodies = [self._encode(one) for one in drawn]
        return writers.submit(self._write, drawn, bodies).result

    def _encode(self, drawn: Drawn) -> Waits[bytes]:
        recipe, photo, rgb = self.config.recipe, drawn.opened.photo, _pixels(drawn.one)
        size = (photo.width_px, photo.height_px) if recipe.size == "original" else (rgb.shape[1], rgb.shape[0])
        name = output_name(photo.key)
        suffix = name[name.rindex(".") :]
        return self.codecs.make(rgb, drawn.opened.alpha, size, suffix, recipe.quality)

    def _write(self, drawn: Sequence[Drawn], bodies: Sequence[Waits[bytes]]) -> list[Result]:
        """Write pictures of one style; returns their rows."""
        rows, files = [], {}
        for one, wait in zip(drawn, bodies, strict=True):
            photo, style = one.opened, one.one.style
            try:
                body = wait()
            except ImageError as error:
                rows.append(self._row(photo.task, style, photo.digest, error=error))
                continue
            name = results.picture_key(style, output_name(photo.photo.key))
            files[name] = body
            rows.append(self._done_row(one, name, body))
        self.output.write_many(files)
        return rows

    def _done_row(self, drawn: Drawn, name: str, body: bytes) -> Result:
        photo, rgb = drawn.opened.photo, _pixels(drawn.one)
        is_original = self.config.recipe.size == "original"
        width, height = (photo.width_px, photo.height_px) if is_original else (rgb.shape[1], rgb.shape[0])
        row = self._row(drawn.opened.task, drawn.one.style, drawn.opened.digest, seconds=drawn.seconds)
        file = {"file_name": name, "file_size": len(body), "file_sha256": hashlib.sha256(body).hexdigest()}
        facts = {**vars(drawn.scores), "flags": list(drawn.scores.flags), "scorer": self.scorer.id}
        return replace(row, **file, width_px=width, height_px=height, seed=drawn.one.seed, **facts)

    def _row(
        self, task: PhotoTask, style: str, digest: str | None, *, error: ImageError | None = None, seconds: float = 0.0
    ) -> Result:
        """Return a row that has what is known of every photo; scores and places are filled where there are any."""
        choice = self.choices[style]
        return Result(
            key=task.key,
            size=task.size,
            etag=task.etag,
            sha256=digest,
            style=style,
            recipe_id=choice.recipe_id,
            status="done" if error is None else "failed",
            failure=None if error is None else error.failure,
            reason=None if error is None else error.reason,
            bank_ids=choice.bank_ids,
            base_model=self.config.base_model,
            base_model_hash=self.plan.base_model_hash,
            recipe=self.config.recipe.model_dump_json(),
            seconds=seconds,
            created_at=datetime.now(UTC),
        )


_WORKERS: dict[tuple[str, ...], ShardWorker] = {}
_OPENING = threading.Lock()


def _open_worker(config: StylizeConfig, plan: StylizePlan) -> ShardWorker:
    """Return this process's worker for a run, made once; that of an earlier run is let go."""
    run = (config.model_dump_json(), *(style.recipe_id for style in plan.styles))
    with _OPENING:
        if run not in _WORKERS:
            _WORKERS.clear()
            _WORKERS[run] = ShardWorker(config, plan)
        return _WORKERS[run]


def _try_give_back(attempt: Attempt) -> None:
    try:
        attempt.give_back()
    except Exception as error:  # the store fails, and what matters is why it first did
        logger.debug("the mark stays as it is: %s", error)


def _kind(opened: Opened) -> tuple[tuple[str, ...], tuple[int, int]]:
    return tuple(opened.task.styles), opened.photo.bucket


def _blank(photo: Photo) -> Photo:
    return replace(photo, padded=np.zeros_like(photo.padded))


def _pixels(one: Stylized) -> np.ndarray:
    assert one.rgb is not None
    return one.rgb
