"""One shard of a run: its photos read, stylized, scored and written, then its part.

Pictures are written first and the part last, so a shard that was cut off is simply done again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from artbank import manifest, results
from artbank.archives import StylizePlan
from artbank.config import StylizeConfig
from artbank.errors import ImageError
from artbank.evaluation import Scores, score
from artbank.images import Picture, decode, encode, resize
from artbank.manifest import Shard
from artbank.names import output_name
from artbank.records import PhotoTask, Result
from artbank.storage import Store
from artbank.styles import load_style
from artbank.stylization import Photo, Stylized, Stylizer
from artbank.worker import load_base, load_scorer

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told of every picture of a shard: how many are done, and how many there are."""

_CHUNK = 2  # batches of photos that are worked on together; as many again are being read ahead
_REMOVED = ImageError("the file was removed while the run was on", "removed")

Chunk = tuple[Sequence[PhotoTask], dict[str, bytes | Exception]]


@dataclass(frozen=True)
class OpenPhoto:
    """A photo of the shard that can be stylized: its task, its pixels, and the SHA-256 of its file."""

    task: PhotoTask
    picture: Picture
    digest: str


def stylize_shard(
    config: StylizeConfig, plan: StylizePlan, shard: Shard, progress: Progress = lambda done, total: None
) -> int:
    """Stylize, score and write the photos of one shard, then commit its part.

    Running it twice writes the same objects, so a retry needs no clean-up; a shard whose part is there is left alone.

    Args:
        config: The run's.
        plan: Likewise.
        shard: What is to do.
        progress: Called after every picture.

    Returns:
        Number of rows in the part; 0 where it was there already.

    Raises:
        BankError: A bank is missing, damaged, or was trained on another base model.
        OSError: The store failed.
    """
    output = Store.open(config.output_uri)
    if results.is_committed(output, shard.id):
        return 0
    worker = _open_worker(config, plan)
    results.begin(output, shard.id)
    known = manifest.read_known(output, shard)
    asked = manifest.read_shard(output, shard)
    total = sum(len(task.styles) for task in asked)
    rows: list[Result] = []
    for tasks, data in _read_ahead(config, asked):
        rows.extend(worker.work(tasks, data, known, lambda done: progress(len(rows) + done, total)))
        progress(len(rows), total)
        logger.info("shard %s: %d of %d pictures", shard.id, len(rows), total)
    results.commit(output, shard.id, rows)
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
        self.scorer = load_scorer(config)

    def work(
        self,
        tasks: Sequence[PhotoTask],
        data: dict[str, bytes | Exception],
        known: dict[tuple[str, str], Result],
        tell: Callable[[int], None],
    ) -> list[Result]:
        """Do a few photos whole; returns a row for each photo and style that a task asks for.

        Args:
            tasks: The photos.
            data: Their files by key, or why they could not be read.
            known: Rows that are kept where a photo's content is still theirs; see `manifest.read_known`.
            tell: Called after every picture with how many of these are done.
        """
        with ThreadPoolExecutor() as pool:
            opened = list(pool.map(lambda task: self._open(task, data[task.key], known), tasks))
        rows = [row for found in opened if isinstance(found, list) for row in found]
        groups: dict[tuple[str, ...], list[OpenPhoto]] = defaultdict(list)
        for photo in opened:
            if isinstance(photo, OpenPhoto):
                groups[tuple(photo.task.styles)].append(photo)
        for styles, group in groups.items():
            rows.extend(self._stylize(group, styles, lambda done: tell(len(rows) + done)))
        return rows

    def _open(
        self, task: PhotoTask, data: bytes | Exception, known: dict[tuple[str, str], Result]
    ) -> OpenPhoto | list[Result]:
        """Decode a photo; its rows at once where it cannot be, or where older ones hold."""
        if isinstance(data, FileNotFoundError):
            return [self._row(task, style, None, error=_REMOVED) for style in task.styles]
        if isinstance(data, Exception):
            raise data
        digest = hashlib.sha256(data).hexdigest()
        older = [known.get((task.key, style)) for style in task.styles]
        if digest == task.known_sha256 and None not in older:
            renewed = {"etag": task.etag, "size": task.size, "created_at": datetime.now(UTC)}
            return [replace(row, **renewed) for row in older if row is not None]
        try:
            picture = decode(data, max_pixels=self.config.max_pixels, alpha=self.config.recipe.alpha)
        except ImageError as error:
            return [self._row(task, style, digest, error=error) for style in task.styles]
        return OpenPhoto(task, picture, digest)

    def _stylize(
        self, photos: Sequence[OpenPhoto], styles: tuple[str, ...], tell: Callable[[int], None]
    ) -> list[Result]:
        by_key, start = {photo.task.key: photo for photo in photos}, time.monotonic()
        asked = [Photo(photo.task.key, photo.picture.rgb) for photo in photos]
        made: list[Stylized] = []
        for one in self.stylizer.stylize(asked, styles=styles, batch_size=self.config.batch_size):
            made.append(one)
            tell(len(made))
        seconds = (time.monotonic() - start) / max(len(made), 1)
        rows = []
        for style in styles:
            own = [(one, by_key[one.key]) for one in made if one.style == style]
            rows += self._finish(style, [(one, photo) for one, photo in own if one.rgb is not None], seconds)
            rows += [self._row(photo.task, style, photo.digest, error=one.error) for one, photo in own if one.error]
        return rows

    def _finish(self, style: str, made: Sequence[tuple[Stylized, OpenPhoto]], seconds: float) -> list[Result]:
        """Score the pictures of one style and write them; returns their rows."""
        if not made:
            return []
        photos, pictures = [photo.picture.rgb for _, photo in made], [_pixels(one) for one, _ in made]
        scores = score(self.scorer, self.references[style], photos, pictures)
        own = [output_name(one.key, is_ambiguous=bool(photo.task.is_ambiguous)) for one, photo in made]
        names = [results.picture_key(style, name) for name in own]
        with ThreadPoolExecutor() as pool:
            bodies = list(pool.map(self._encode, names, pictures, [photo.picture.alpha for _, photo in made]))
            self.output.write_many(dict(zip(names, bodies, strict=True)))
        rows = [self._row(photo.task, style, photo.digest, seconds=seconds) for _, photo in made]
        written = zip(rows, made, names, bodies, scores, strict=True)
        return [self._score_row(row, one, name, body, marks) for row, (one, _), name, body, marks in written]

    def _encode(self, name: str, rgb: np.ndarray, alpha: np.ndarray | None) -> bytes:
        if alpha is not None:
            alpha = resize(np.repeat(alpha[..., None], 3, 2), rgb.shape[1], rgb.shape[0])[..., 0]
        suffix = name[name.rindex(".") :].lower()
        return encode(Picture(rgb, alpha), suffix, quality=self.config.recipe.quality)

    def _score_row(self, row: Result, one: Stylized, name: str, body: bytes, scores: Scores) -> Result:
        height, width = _pixels(one).shape[:2]
        file = {"file_name": name, "file_size": len(body), "file_sha256": hashlib.sha256(body).hexdigest()}
        facts = {**vars(scores), "flags": list(scores.flags), "scorer": self.scorer.id}
        return replace(row, **file, width_px=width, height_px=height, seed=one.seed, **facts)

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


def _read_ahead(config: StylizeConfig, tasks: Sequence[PhotoTask]) -> Iterator[Chunk]:
    """Yield the tasks of a shard a few at a time with their photos' bytes, reading the next ones meanwhile."""
    archive, size = Store.open(config.archive_uri), _CHUNK * config.batch_size
    chunks = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    keys = [[task.key for task in chunk] for chunk in chunks]
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(archive.read_many, keys[0]) if keys else None
        for number, chunk in enumerate(chunks):
            assert ahead is not None
            data = ahead.result()
            ahead = reader.submit(archive.read_many, keys[number + 1]) if number + 1 < len(keys) else None
            yield chunk, data


def _pixels(one: Stylized) -> np.ndarray:
    assert one.rgb is not None
    return one.rgb
