"""The stages that a shard's photos go through: opened, drawn, scored, encoded, written.

They overlap: while the model draws one batch, the photos of the next are read and decoded, and the pictures of the last
encoded and written.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from artbank.archive.photo_reader import DecodedPhoto, Known, PhotoRead, PhotoReader, UnchangedPhoto
from artbank.archive.plan import StylizePlan
from artbank.archive.styles import load_style
from artbank.config import StylizeConfig
from artbank.diffusion.base_model import load_base_model
from artbank.diffusion.tensors import upload
from artbank.errors import BaseModelError, ImageError, StopRequested
from artbank.images.framing import Photo
from artbank.images.pool import DecodeOptions, EncodedPicture, EncodeJob, open_codec_pool
from artbank.records import PhotoTask, Result
from artbank.results import attempts, layout, ledger
from artbank.results.attempts import Attempt
from artbank.results.containers import PackedPicture, container_key, pack
from artbank.results.filenames import output_name
from artbank.results.manifest import Manifest
from artbank.runtime import telemetry
from artbank.runtime.prefetch import GetResult, batch_by, prefetch
from artbank.scoring.clip import load_scorer
from artbank.scoring.scores import Cosines, Scores, measure_cosines
from artbank.store.objects import Store
from artbank.stylization.stylizer import Stylized, Stylizer

_BATCH, _BATCH_ON_CUDA = 8, 16  # two cores gain little beyond four; on CUDA it was never measured
_WRITES = 4  # batches that are encoded and written while the model draws the next
_CRASHED = (
    "a process ended {} times while this photo was worked on, twice while it was alone; look into the worker's log"
)


@dataclass(frozen=True)
class Drawn:
    """A picture and its photo, on the way to the output."""

    opened: DecodedPhoto
    one: Stylized
    cosines: Cosines
    seconds: float


class RunResources:
    """What a process needs for the shards of one run: model, styles, scorer and decoders, loaded once."""

    def __init__(self, config: StylizeConfig, plan: StylizePlan):
        """Load it all.

        Raises:
            BankError: A bank is missing, damaged, or was trained on another base model.
            BaseModelError: The base model is not there, or is another than the run was planned with.
            OSError: The store failed.
        """
        self.config, self.plan = config, plan
        self.output, store = Store.open(config.output_uri), Store.open(config.store_uri)
        self._manifest: Manifest | None = None
        self.choices = {choice.name: choice for choice in plan.styles}
        loaded = [load_style(store, choice) for choice in plan.styles]
        self.references = {style.name: reference for style, reference in loaded}
        base = load_base_model(config)
        if base.hash != plan.base_model_hash:
            raise BaseModelError(
                f"this run was planned with base model {config.base_model} of hash {plan.base_model_hash[:12]}, "
                f"here it is {base.hash[:12]}; give all machines the same files"
            )
        self.stylizer = Stylizer(base, [style for style, _ in loaded], config.recipe)
        self.scorer, self.codecs = load_scorer(config), open_codec_pool()
        self.batch_size = config.batch_size or (_BATCH_ON_CUDA if base.device.type == "cuda" else _BATCH)
        archive, count = Store.open(config.archive_uri), 2 * self.batch_size
        self.reader = PhotoReader(archive, self.codecs, self._reading(), max_bytes=config.max_bytes, count=count)

    def open_manifest(self, manifest_id: str) -> Manifest:
        """Return the manifest of a run; it is opened once for all of the run's shards."""
        if self._manifest is None or self._manifest.id != manifest_id:
            self._manifest = Manifest.open(self.output, manifest_id)
        return self._manifest

    def _reading(self) -> DecodeOptions:
        config, base = self.config, self.stylizer.base
        return DecodeOptions(
            max_pixels=config.max_pixels,
            alpha=config.recipe.alpha,
            size=config.recipe.size,
            short_px=self.stylizer.short_px,
            multiple_px=base.size_multiple_px,
            seconds=config.decode_seconds,
        )


class ShardPipeline:
    """The work on one shard."""

    def __init__(self, run: RunResources, shard_id: str, attempt: Attempt, should_stop: Callable[[], bool]):
        """Take what is needed.

        Args:
            run: Of the run.
            shard_id: The shard.
            attempt: Knows what is against the photos.
            should_stop: Asked before every batch.
        """
        self._run, self._shard_id, self._attempt, self._should_stop = run, shard_id, attempt, should_stop
        self._held: list[PackedPicture] = []  # pictures that go into containers
        self._apart: list[Result] = []  # rows of photos that get no picture
        self.kept: list[Result] = []  # those of them that are older rows, which hold

    def run(self, tasks: Sequence[PhotoTask], known: Known) -> Iterator[list[Result]]:
        """Do the photos of a shard; yields their rows as they are finished, one for each style that a task asks for.

        Args:
            tasks: The photos.
            known: Rows that are kept where a photo's content is still theirs; see `Manifest.known_rows`.

        Raises:
            OSError: The store failed.
            StopRequested: `should_stop` said so.
        """
        size = self._run.batch_size
        opened = self._sort_out(self._run.reader.read(tasks, known, self._attempt))
        drawn = (some for batch in batch_by(opened, _kind, size, max_waiting=4 * size) for some in self._draw(batch))
        with ThreadPoolExecutor(_WRITES) as writers:
            yield from prefetch(drawn, lambda some: self._start_writing(writers, some), depth=_WRITES, queue="write")
        self._attempt.clear_current()
        self._write_containers()
        if self._apart:
            yield self._apart

    def _sort_out(self, found: Iterable[PhotoRead]) -> Iterator[DecodedPhoto]:
        """Yield the photos that can be stylized."""
        for one in found:
            if isinstance(one, DecodedPhoto):
                yield one
            elif isinstance(one, UnchangedPhoto):
                self._apart += one.rows
                self.kept += one.rows
            else:
                self._lose(one.task, one.task.styles, one.digest, one.error)

    def _draw(self, batch: list[DecodedPhoto]) -> Iterator[list[Drawn]]:
        """Yield the pictures of a batch, style by style; strikes against a photo decide how it is tried."""
        styles = batch[0].task.styles
        for one in batch:
            if (strikes := self._attempt.strikes(one.photo.key)) >= attempts.MAX_STRIKES:
                self._lose(one.task, styles, one.digest, ImageError(_CRASHED.format(strikes), "crashed"))
        for turn in self._attempt.groups([one.photo.key for one in batch]):
            if self._should_stop():
                raise StopRequested("the process was asked to end; run again to go on")
            yield from self._draw_some(batch, styles, turn)

    def _draw_some(self, batch: list[DecodedPhoto], styles: Sequence[str], turn: set[str]) -> Iterator[list[Drawn]]:
        """Draw the photos of a batch whose turn it is; the others are blank meanwhile."""
        start, own = time.monotonic(), {one.photo.key: one for one in batch if one.photo.key in turn}
        photos = [one.photo if one.photo.key in turn else _blank(one.photo) for one in batch]
        with telemetry.time_stage("draw"):
            made = [one for one in self._run.stylizer.stylize_batch(photos, styles) if one.key in turn]
        seconds = (time.monotonic() - start) / max(len(made), 1)
        for one in made:
            if one.error is not None:
                self._lose(own[one.key].task, [one.style], own[one.key].digest, one.error)
        with telemetry.time_stage("score"):
            seen = self._see(list(own.values()))
        for style in styles:
            of_style = [(own[one.key], one) for one in made if one.style == style and not one.error]
            yield self._score(style, of_style, seen, seconds)

    def _see(self, photos: Sequence[DecodedPhoto]) -> dict[str, Tensor]:
        """Return what the scorer sees in photos of one bucket, by their keys: once for all styles."""
        if not photos:
            return {}
        scorer, own = self._run.scorer, [one.photo for one in photos]
        images = upload([photo.padded for photo in own], scorer.device)
        cut = [image[:, : one.frame.height_px, : one.frame.width_px] for image, one in zip(images, own, strict=True)]
        return dict(zip((photo.key for photo in own), scorer.embed_tensors(cut), strict=True))

    def _score(
        self, style: str, made: Sequence[tuple[DecodedPhoto, Stylized]], seen: dict[str, Tensor], seconds: float
    ) -> list[Drawn]:
        if not made:
            return []
        run, before = self._run, torch.stack([seen[one.key] for _, one in made])
        with telemetry.time_stage("score"):
            after = run.scorer.embed_tensors([_picture(one) for _, one in made])
            cosines = measure_cosines(run.scorer, run.references[style], before, after)
        pairs = zip(made, cosines, strict=True)
        return [Drawn(photo, replace(one, on_device=None), marks, seconds) for (photo, one), marks in pairs]

    def _start_writing(self, writers: ThreadPoolExecutor, drawn: Sequence[Drawn]) -> GetResult[list[Result]]:
        waits = [self._encode(one) for one in drawn]
        return writers.submit(self._write, drawn, waits).result

    def _encode(self, drawn: Drawn) -> GetResult[EncodedPicture]:
        recipe, photo, rgb = self._run.config.recipe, drawn.opened.photo, _pixels(drawn.one)
        size = (photo.width_px, photo.height_px) if recipe.size == "original" else (rgb.shape[1], rgb.shape[0])
        name = output_name(photo.key)
        suffix = name[name.rindex(".") :]
        return self._run.codecs.encode(EncodeJob(rgb, photo.working, drawn.opened.alpha, size, suffix, recipe.quality))

    def _write(self, drawn: Sequence[Drawn], waits: Sequence[GetResult[EncodedPicture]]) -> list[Result]:
        """Write pictures of one style, or hold them for their container; returns their rows."""
        rows, made = [], []
        for one, wait in zip(drawn, waits, strict=True):
            photo, style = one.opened, one.one.style
            try:
                file = wait()
            except ImageError as error:
                rows.append(self._row(photo.task, style, photo.digest, error=error))
                continue
            name = output_name(photo.photo.key, is_ambiguous=bool(photo.task.is_ambiguous))
            rows.append(self._done_row(one, self._place(style, name), file))
            made.append(PackedPicture.from_row(rows[-1], name, file.data))
        if self._run.config.format == "images":
            with telemetry.time_stage("write"):
                self._run.output.write_many({self._place(one.facts["style"], one.name): one.data for one in made})
        else:
            self._held.extend(made)
        return rows

    def _place(self, style: str, name: str) -> str:
        output_format = self._run.config.format
        if output_format == "images":
            return layout.picture_key(style, name)
        return container_key(style, self._shard_id, output_format)

    def _write_containers(self) -> None:
        """Write what is held, unless another worker was first: pictures may have been taken out of its containers."""
        if not self._held or ledger.is_committed(self._run.output, self._shard_id):
            return
        for style in sorted({sample.facts["style"] for sample in self._held}):
            name = self._place(style, "")
            self._run.output.write(name, pack(name, (s for s in self._held if s.facts["style"] == style)))

    def _done_row(self, drawn: Drawn, name: str, made: EncodedPicture) -> Result:
        photo, rgb = drawn.opened.photo, _pixels(drawn.one)
        is_original = self._run.config.recipe.size == "original"
        width, height = (photo.width_px, photo.height_px) if is_original else (rgb.shape[1], rgb.shape[0])
        row = self._row(drawn.opened.task, drawn.one.style, drawn.opened.digest, seconds=drawn.seconds)
        digest = hashlib.sha256(made.data).hexdigest()
        file = {"file_name": name, "file_size": len(made.data), "file_sha256": digest}
        scores = Scores(**vars(drawn.cosines), ssim=made.ssim, flags=made.flags)
        facts = {**vars(scores), "flags": list(scores.flags), "scorer": self._run.scorer.id}
        return replace(row, **file, width_px=width, height_px=height, seed=drawn.one.seed, **facts)

    def _row(
        self, task: PhotoTask, style: str, digest: str | None, *, error: ImageError | None = None, seconds: float = 0.0
    ) -> Result:
        """Return a row that has what is known of every photo; scores and places are filled where there are any."""
        choice = self._run.choices[style]
        failure = None if error is None else error.failure
        telemetry.count_picture(style, "failed" if error else "done", failure, None if error else seconds)
        return Result(
            key=task.key,
            size=task.size,
            etag=task.etag,
            sha256=digest,
            style=style,
            recipe_id=choice.recipe_id,
            status="done" if error is None else "failed",
            failure=failure,
            reason=None if error is None else error.reason,
            bank_ids=choice.bank_ids,
            base_model=self._run.config.base_model,
            base_model_hash=self._run.plan.base_model_hash,
            recipe=self._run.config.recipe.model_dump_json(),
            seconds=seconds,
            created_at=self._attempt.now(),
        )

    def _lose(self, task: PhotoTask, styles: Iterable[str], digest: str | None, error: ImageError) -> None:
        self._apart += [self._row(task, style, digest, error=error) for style in styles]


def _kind(opened: DecodedPhoto) -> tuple[tuple[str, ...], tuple[int, int]]:
    return tuple(opened.task.styles), opened.photo.bucket


def _blank(photo: Photo) -> Photo:
    return replace(photo, padded=np.zeros_like(photo.padded))


def _pixels(one: Stylized) -> np.ndarray:
    assert one.rgb is not None
    return one.rgb


def _picture(one: Stylized) -> Tensor:
    """Return a picture uint8 [3, h, w], from the model's device where it is there."""
    return torch.from_numpy(_pixels(one)).permute(2, 0, 1) if one.on_device is None else one.on_device
