"""The pipeline of a shard: read -> decode -> draw -> score -> encode -> write.

The stages are generators, and they overlap: while the model draws one batch, the photos of the next are
read and decoded, and the pictures of the last are encoded and written. Two shards overlap too, see `shard_turns`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain

import torch

from artbank.archive.batch_drawing import BatchDrawer, cut_batches
from artbank.archive.drawn_pictures import DrawnBatch, ScoredPicture
from artbank.archive.photo_reader import DecodedPhoto, Known, PhotoRead, UnchangedPhoto
from artbank.archive.picture_rows import FinishedRow, RowWriter
from artbank.archive.run_resources import RunResources
from artbank.errors import ImageError, StopRequested
from artbank.images.codec_jobs import EncodedPicture
from artbank.records.photo_records import PhotoTask
from artbank.results import attempts, layout, ledger
from artbank.results.attempts import Attempt
from artbank.results.containers import PackedPicture, container_key, pack
from artbank.results.filenames import output_name
from artbank.runs.gather import format_error
from artbank.runtime import telemetry
from artbank.runtime.prefetch import GetResult, prefetch

logger = logging.getLogger(__name__)

_WRITES = 4  # batches that are encoded and written while the model draws the next one
_POISON = "{} attempts at this photo failed, two of them at this photo alone; {}"
_SEE_LOG = "look into the worker's log"


class ShardPipeline:
    """The work on one shard: `run` is the pipeline, each other method one stage of it."""

    def __init__(self, run: RunResources, shard_id: str, attempt: Attempt, should_stop: Callable[[], bool]):
        """Prepare the work on a shard; nothing is read yet.

        Args:
            run: The run's resources.
            shard_id: The shard.
            attempt: Knows the strikes against the photos.
            should_stop: Asked before every batch, and while photos are waited for.
        """
        self._run = run
        self._shard_id = shard_id
        self._attempt = attempt
        self._should_stop = should_stop
        self._rows = RowWriter(run, attempt)
        self._drawer = BatchDrawer(run.drawing)
        self._without_picture: list[FinishedRow] = []  # unchanged, rejected and failed photos, in order
        self._packed: list[PackedPicture] = []  # pictures for the containers
        self._last_batch: Sequence[DecodedPhoto] = ()

    def run(self, tasks: Sequence[PhotoTask], known: Known) -> Generator[list[FinishedRow], None, None]:
        """Stylize the photos of a shard; yield their rows as they are finished, one per photo and style.

        Rows of photos that get no new picture come last.

        Args:
            tasks: The photos.
            known: Older rows, kept if a photo's content is unchanged; see `Manifest.known_rows`.

        Raises:
            ResultsError: Another run has taken over a style, or the memory has room for no photo at all.
            OSError: The store failed.
            StopRequested: `should_stop` returned True.
        """
        reader, stop = self._run.reader, self._should_stop
        with (
            self._run.turns.open(stop) as turn,
            closing(reader.read(tasks, known, self._attempt, stop, turn.end_reading)) as photos,
        ):
            batches = cut_batches(self._decoded(photos), self._run.batch_size)
            first = next(batches, [])  # the shard before may still use the model
            turn.wait_for_model()
            drawn = self._draw(chain([first] if first else [], batches))
            scored = self._score(drawn, turn.end)
            encoded = self._encode(scored)
            yield from self._write(encoded)
        self._attempt.clear_current()
        self._write_containers()
        if self._without_picture:
            yield self._without_picture

    def blame(self, error: Exception) -> None:
        """Note the error that ends the attempt, which counts against the photos that were being drawn.

        If one photo was drawn alone, blank ones are drawn in place of the whole batch. Where they fail too, no photo is
        at fault, and no attempt so far counts against any. After an error of the device itself nothing can be drawn in
        this process, so that one always counts.
        """
        is_of_device = isinstance(error, torch.AcceleratorError)
        if self._attempt.is_on_suspect and not is_of_device and not self._can_draw_blanks():
            self._attempt.forgive()
        self._attempt.note_error(format_error(error))

    def _can_draw_blanks(self) -> bool:
        try:
            self._drawer.draw_blanks(self._last_batch)
        except Exception as error:
            logger.info("blank photos cannot be drawn either: %s", format_error(error))
            return False
        return True

    def _decoded(self, photos: Iterable[PhotoRead]) -> Iterator[DecodedPhoto]:
        """Yield the photos that can be stylized; set the rows of the others aside."""
        for photo in photos:
            if isinstance(photo, DecodedPhoto):
                yield photo
            elif isinstance(photo, UnchangedPhoto):
                self._without_picture += self._rows.unchanged(photo.rows)
            else:
                self._without_picture += self._rows.failed(photo.task, photo.task.styles, photo.digest, photo.error)

    def _draw(self, batches: Iterable[list[DecodedPhoto]]) -> Iterator[DrawnBatch]:
        """Draw batches of equal size and styles; poison photos are drawn alone or quarantined."""
        for batch in batches:
            self._quarantine(batch)
            for keys in self._attempt.groups([photo.photo.key for photo in batch]):
                if self._should_stop():
                    raise StopRequested
                yield self._draw_group(batch, keys)

    def _quarantine(self, batch: Sequence[DecodedPhoto]) -> None:
        """Fail the photos that too many attempts failed on."""
        for photo in batch:
            strikes = self._attempt.strikes(photo.photo.key)
            if strikes >= attempts.MAX_STRIKES:
                last = self._attempt.mark.error
                reason = _POISON.format(strikes, f"the last error was {last}" if last else _SEE_LOG)
                error = ImageError(reason, "crashed")
                self._without_picture += self._rows.failed(photo.task, photo.task.styles, photo.digest, error)

    def _draw_group(self, batch: Sequence[DecodedPhoto], keys: set[str]) -> DrawnBatch:
        """Draw some photos of a batch; set the rows of those that get no picture aside.

        Raises:
            ResultsError: Photos do not fit in memory, and neither does a blank one: see `BatchDrawer.check_memory`.
        """
        self._last_batch = batch
        drawn = self._drawer.draw(batch, keys)
        if any(error.failure == "out_of_memory" for error in drawn.failures.values()):
            self._drawer.check_memory(drawn.styles[0])
        for (key, style), error in drawn.failures.items():
            photo = drawn.photos[key]
            self._without_picture += self._rows.failed(photo.task, [style], photo.digest, error)
        return drawn

    def _score(self, batches: Iterable[DrawnBatch], on_end: Callable[[], None]) -> Iterator[list[ScoredPicture]]:
        """Score pictures, style by style, and draw those again that do not reach the recipe's goal; then call back."""
        for batch in batches:
            yield from self._drawer.score(batch)
        on_end()

    def _encode(
        self, scored: Iterable[list[ScoredPicture]]
    ) -> Iterator[tuple[list[ScoredPicture], list[GetResult[EncodedPicture]]]]:
        """Start to encode pictures in the codec pool; pass on what waits for them."""
        recipe = self._run.config.recipe
        for pictures in scored:
            jobs = [picture.make_encode_job(recipe, output_name(picture.key)) for picture in pictures]
            yield pictures, [self._run.codecs.encode(job) for job in jobs]

    def _write(
        self, encoded: Iterable[tuple[list[ScoredPicture], list[GetResult[EncodedPicture]]]]
    ) -> Iterator[list[FinishedRow]]:
        """Write pictures in threads, a few batches at a time; yield their rows in order."""
        with ThreadPoolExecutor(_WRITES) as writers:
            yield from prefetch(
                encoded,
                lambda batch: writers.submit(self._write_pictures, *batch).result,
                depth=_WRITES,
                queue="write",
            )

    def _write_pictures(
        self, scored: Sequence[ScoredPicture], results: Sequence[GetResult[EncodedPicture]]
    ) -> list[FinishedRow]:
        """Write pictures of one style, or keep them for their container; return their rows."""
        rows: list[FinishedRow] = []
        packed: list[PackedPicture] = []
        for drawn, get_result in zip(scored, results, strict=True):
            task = drawn.photo.task
            style = drawn.picture.style
            try:
                picture = get_result()
            except ImageError as error:
                rows += self._rows.failed(task, [style], drawn.photo.digest, error)
                continue
            name = output_name(drawn.photo.photo.key, is_ambiguous=bool(task.is_ambiguous))
            finished = self._rows.done(
                scored=drawn,
                file_name=self._file_key(style, name),
                picture=picture,
                size_px=drawn.size_px(self._run.config.recipe.size),
            )
            rows.append(finished)
            packed.append(PackedPicture.from_row(finished.row, name, picture.data))
        if self._run.config.format == "images":
            self._run.check_lease()
            files = {self._file_key(picture.facts["style"], picture.name): picture.data for picture in packed}
            with telemetry.time_stage("write"):
                self._run.stores.output.write_many(files)
        else:
            self._packed.extend(packed)
        return rows

    def _file_key(self, style: str, name: str) -> str:
        """Return the key of a picture, or of the container that holds it."""
        output_format = self._run.config.format
        if output_format == "images":
            return layout.picture_key(style, name)
        return container_key(style, self._shard_id, output_format)

    def _write_containers(self) -> None:
        """Write the containers, unless another worker has committed the shard: it may have vacuumed them since."""
        output = self._run.stores.output
        if not self._packed or ledger.is_committed(output, self._shard_id):
            return
        self._run.check_lease()
        for style in sorted({picture.facts["style"] for picture in self._packed}):
            name = self._file_key(style, "")
            output.write(name, pack(name, (picture for picture in self._packed if picture.facts["style"] == style)))
