"""From an archive to pictures and their rows: what is to do, and how one shard of it is done.

A shard's pictures are written first and its part last, so a shard that was cut off is simply done again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank import manifest, results
from artbank.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.errors import ImageError
from artbank.evaluation import StyleReference, score
from artbank.images import Picture, decode, encode, output_name, resize
from artbank.manifest import Shard
from artbank.models import hash_folder, resolve
from artbank.records import PhotoTask, Result
from artbank.storage import Store
from artbank.styles import StyleChoice, load_style, resolve_styles
from artbank.stylization import Photo, Stylized, Stylizer
from artbank.worker import load_base, load_scorer

logger = logging.getLogger(__name__)

_CHUNK = 2  # batches of photos that are in memory at once; as many again are being read ahead
_NOT_FINITE = "the model gave values that are not finite; try dtype=float32"


@dataclass(frozen=True)
class StylizePlan:
    """What a run of `stylize_archive` will do; small enough to be sent to every worker.

    Attributes:
        run_id: Names the run: its manifest, or the state of the results where nothing is to do.
        styles: Resolved.
        base_model_hash: Of the frozen model.
        shards: What is to do.
        num_photos: Photos in the archive.
        num_tasks: Photos that lack a style.
    """

    run_id: str
    styles: tuple[StyleChoice, ...]
    base_model_hash: str
    shards: tuple[Shard, ...]
    num_photos: int
    num_tasks: int


def plan_archive(config: StylizeConfig) -> tuple[StylizePlan, pa.Table]:
    """List the archive, subtract what the results already hold, and cut the rest into shards.

    Returns:
        The plan, and the archive's listing (key, size, etag).

    Raises:
        CatalogError: A style is not in the catalog.
        ConfigError: A style cannot be read or does not fit the base model.
        BaseModelError: The base model is not there.
        OSError: The store failed.
    """
    output = Store.open(config.output_uri)
    base_hash = hash_folder(resolve(config.base_model, config.revision))
    styles = resolve_styles(Catalog(Store.open(config.store_uri)), config.styles, config.recipe, base_hash)
    photos = manifest.list_archive(Store.open(config.archive_uri))
    recipes = {style.name: style.recipe_id for style in styles}
    done = results.current(results.ledger(output, manifest.DONE_COLUMNS))
    tasks = manifest.plan(photos, done, recipes, retry_failed=config.retry_failed)
    shards = manifest.write_manifest(output, tasks, config.shard_size, recipes)
    run_id = shards[0].id.rpartition("-")[0] if shards else ""
    logger.info("%d photos, %d to do in %d shards", len(photos), len(tasks), len(shards))
    return StylizePlan(run_id, styles, base_hash, tuple(shards), len(photos), len(tasks)), photos


def stylize_shard(config: StylizeConfig, plan: StylizePlan, shard: Shard) -> int:
    """Stylize, score and write the photos of one shard, then commit its part.

    Running it twice writes the same objects, so a retry needs no clean-up; a shard whose part is there is left alone.

    Returns:
        Number of rows in the part; 0 where it was there already.

    Raises:
        BankError: A bank is missing, damaged, or was trained on another base model.
        OSError: The store failed.
    """
    output = Store.open(config.output_uri)
    if results.is_committed(output, shard.id):
        return 0
    bench = _open_bench(config, plan)
    rows: list[Result] = []
    for tasks, data in _read_ahead(config, manifest.read_shard(output, shard)):
        rows += bench.work(tasks, data)
    results.commit(output, shard.id, rows)
    return len(rows)


class _Bench:
    """A worker set up for one run: styles encoded, their references loaded."""

    def __init__(self, config: StylizeConfig, plan: StylizePlan):
        store, self.config, self.plan = Store.open(config.store_uri), config, plan
        base, self.scorer = load_base(config), load_scorer(config)
        self.choices = {choice.name: choice for choice in plan.styles}
        loaded = {choice.name: load_style(store, choice) for choice in plan.styles}
        self.references: dict[str, StyleReference] = {name: reference for name, (_, reference) in loaded.items()}
        self.stylizers = {name: Stylizer(base, [style], config.recipe) for name, (style, _) in loaded.items()}
        self.output = Store.open(config.output_uri)

    def work(self, tasks: Sequence[PhotoTask], data: dict[str, bytes | Exception]) -> list[Result]:
        """Do a few photos whole; returns a row for each photo and style."""
        rows, photos, known = [], {}, []
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(lambda task: self._decode(data[task.key]), tasks)
        for task, found in zip(tasks, decoded, strict=True):
            digest = _sha256(data[task.key])
            if isinstance(found, str):
                rows += [self._row(task, style, digest, reason=found) for style in task.styles]
            elif digest is not None and digest == task.known_sha256:
                known.append(task)
            else:
                photos[task.key, tuple(task.styles)] = (task, found, digest)
        rows += self._carry_over(known)
        return rows + self._stylize(list(photos.values()))

    def _decode(self, data: bytes | Exception) -> Picture | str:
        """Return a photo, or the reason why there is none."""
        if isinstance(data, FileNotFoundError):
            return "the file was removed while the run was on"
        if isinstance(data, Exception):
            raise data
        try:
            return decode(data, max_pixels=self.config.max_pixels, alpha=self.config.recipe.alpha)
        except ImageError as error:
            return error.reason

    def _stylize(self, photos: list[tuple[PhotoTask, Picture, str | None]]) -> list[Result]:
        rows: list[Result] = []
        for name, stylizer in self.stylizers.items():
            wanted = {task.key: (task, picture, digest) for task, picture, digest in photos if name in task.styles}
            start = time.monotonic()
            made = list(
                stylizer.stylize(
                    [Photo(key, picture.rgb) for key, (_, picture, _) in wanted.items()],
                    batch_size=self.config.batch_size,
                )
            )
            seconds = (time.monotonic() - start) / max(len(made), 1)
            rows += self._write(name, wanted, made, seconds)
        return rows

    def _write(
        self,
        style: str,
        wanted: dict[str, tuple[PhotoTask, Picture, str | None]],
        made: Sequence[Stylized],
        seconds: float,
    ) -> list[Result]:
        """Score pictures, write them, and return their rows."""
        good = [one for one in made if one.rgb is not None]
        photos = [wanted[one.key][1].rgb for one in good]
        pictures = [one.rgb for one in good if one.rgb is not None]
        scores = score(self.scorer, self.references[style], photos, pictures) if good else []
        names = {one.key: results.picture_key(style, output_name(one.key)) for one in good}
        with ThreadPoolExecutor() as pool:
            bodies = pool.map(lambda one: self._encode(one, wanted[one.key][1]), good)
            self.output.write_many(dict(zip(names.values(), bodies, strict=True)))
        rows = []
        for one, rgb, marks in zip(good, pictures, scores, strict=True):
            task, _, digest = wanted[one.key]
            row = self._row(task, style, digest, seconds=seconds)
            rows.append(
                replace(
                    row,
                    file_name=names[one.key],
                    width_px=rgb.shape[1],
                    height_px=rgb.shape[0],
                    seed=one.seed,
                    scorer=self.scorer.id,
                    clip_style=marks.clip_style,
                    clip_style_floor=marks.clip_style_floor,
                    clip_text=marks.clip_text,
                    clip_content=marks.clip_content,
                    clip_direction=marks.clip_direction,
                    ssim=marks.ssim,
                    flags=list(marks.flags),
                )
            )
        lost = [one for one in made if one.rgb is None]
        return rows + [self._row(*_task_of(wanted[one.key], style), reason=_NOT_FINITE) for one in lost]

    def _encode(self, one: Stylized, photo: Picture) -> bytes:
        assert one.rgb is not None
        name = output_name(one.key)
        alpha = None if photo.alpha is None else _fit_alpha(photo.alpha, one.rgb)
        suffix = name[name.rindex(".") :].lower()
        return encode(Picture(one.rgb, alpha), suffix, quality=self.config.recipe.quality)

    def _carry_over(self, tasks: Sequence[PhotoTask]) -> list[Result]:
        """Return rows of photos whose content is that of an older row, only listed under another etag."""
        if not tasks:
            return []
        table = results.current(results.ledger(self.output))
        older = {(row.key, row.style): row for row in Result.from_table(table.filter(_keys_in(table, tasks)))}
        now = datetime.now(UTC)
        return [
            replace(older[task.key, style], etag=task.etag, size=task.size, created_at=now)
            for task in tasks
            for style in task.styles
        ]

    def _row(
        self, task: PhotoTask, style: str, digest: str | None, *, reason: str | None = None, seconds: float = 0.0
    ) -> Result:
        choice = self.choices[style]
        return Result(
            key=task.key,
            size=task.size,
            etag=task.etag,
            sha256=digest,
            style=style,
            recipe_id=choice.recipe_id,
            status="done" if reason is None else "failed",
            reason=reason,
            file_name=None,
            width_px=None,
            height_px=None,
            seed=None,
            clip_style=None,
            clip_style_floor=None,
            clip_text=None,
            clip_content=None,
            clip_direction=None,
            ssim=None,
            flags=[],
            scorer=None,
            bank_ids=choice.bank_ids,
            base_model=self.config.base_model,
            base_model_hash=self.plan.base_model_hash,
            recipe=self.config.recipe.model_dump_json(),
            seconds=seconds,
            created_at=datetime.now(UTC),
        )


_BENCHES: dict[tuple[str, ...], _Bench] = {}
_OPENING = threading.Lock()


def _open_bench(config: StylizeConfig, plan: StylizePlan) -> _Bench:
    """Return this process's bench for a run, made once; the bench of an earlier run is let go."""
    run = (config.model_dump_json(), *(style.recipe_id for style in plan.styles))
    with _OPENING:
        if run not in _BENCHES:
            _BENCHES.clear()
            _BENCHES[run] = _Bench(config, plan)
        return _BENCHES[run]


def _read_ahead(
    config: StylizeConfig, tasks: Sequence[PhotoTask]
) -> Iterator[tuple[Sequence[PhotoTask], dict[str, bytes | Exception]]]:
    """Yield the tasks of a shard a few at a time with their photos' bytes, reading the next ones meanwhile."""
    archive, size = Store.open(config.archive_uri), _CHUNK * config.batch_size
    chunks = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    with ThreadPoolExecutor(1) as reader:
        pending = [reader.submit(archive.read_many, [task.key for task in chunk]) for chunk in chunks[:1]]
        for number, chunk in enumerate(chunks):
            data = pending.pop().result()
            pending = [
                reader.submit(archive.read_many, [task.key for task in following])
                for following in chunks[number + 1 : number + 2]
            ]
            yield chunk, data


def _task_of(entry: tuple[PhotoTask, Picture, str | None], style: str) -> tuple[PhotoTask, str, str | None]:
    return entry[0], style, entry[2]


def _sha256(data: bytes | Exception) -> str | None:
    return hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else None


def _keys_in(table: pa.Table, tasks: Sequence[PhotoTask]) -> pa.Array:
    return pc.is_in(table["key"], value_set=pa.array([task.key for task in tasks], pa.string()))


def _fit_alpha(alpha: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    return resize(np.repeat(alpha[..., None], 3, 2), rgb.shape[1], rgb.shape[0])[..., 0]
