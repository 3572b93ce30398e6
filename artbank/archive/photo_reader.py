"""The photos of a shard out of the archive: read and decoded ahead of who takes them, within bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from artbank.errors import ImageError
from artbank.images.framing import Photo
from artbank.images.pool import CodecPool, DecodeOptions
from artbank.records import PhotoTask, Result
from artbank.results.attempts import Attempt
from artbank.runtime import telemetry
from artbank.runtime.prefetch import GetResult, prefetch
from artbank.store.objects import Store
from artbank.store.transient_errors import is_transient

_READERS = 16
_BYTES_AHEAD = 256 * 2**20  # files that are read and not decoded yet; one larger than that is alone
_PATIENCE = 4  # attempts at a shard before a file that the store does not give is one failed row
_REMOVED = ImageError("the file was removed while the run was on", "removed")

Known = Mapping[tuple[str, str], Result]


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo that can be stylized.

    Attributes:
        task: What is to do with it.
        digest: SHA-256 of its file, hex.
        photo: At its working size.
        alpha: See `pool.PhotoWithAlpha`.
    """

    task: PhotoTask
    digest: str
    photo: Photo
    alpha: np.ndarray | None = field(repr=False)


@dataclass(frozen=True)
class RejectedPhoto:
    """A photo that cannot be stylized, and why."""

    task: PhotoTask
    digest: str | None
    error: ImageError


@dataclass(frozen=True)
class UnchangedPhoto:
    """A photo whose content is that of older rows, which hold."""

    task: PhotoTask
    rows: list[Result]


PhotoRead = DecodedPhoto | RejectedPhoto | UnchangedPhoto


@dataclass(frozen=True)
class _File:
    task: PhotoTask
    data: bytes | Exception = field(repr=False)
    digest: str = ""


class PhotoReader:
    """Opens the photos of a run."""

    def __init__(self, archive: Store, codecs: CodecPool, reading: DecodeOptions, *, max_bytes: int, count: int):
        """Take where photos come from and how they are opened.

        Args:
            archive: The photos.
            codecs: Decodes them.
            reading: How.
            max_bytes: Larger files are refused before they are read.
            count: Photos that are read, and as many that are decoded, before they are asked for.
        """
        self._archive, self._codecs, self._reading = archive, codecs, reading
        self._max_bytes, self._count = max_bytes, count

    def read(self, tasks: Sequence[PhotoTask], known: Known, attempt: Attempt) -> Iterator[PhotoRead]:
        """Yield what comes of each photo, in order; at last those that the store does not give.

        Args:
            tasks: The photos.
            known: Rows that are kept where a photo's content is still theirs; see `Manifest.known_rows`.
            attempt: The shard's; in its fourth, photos that the store still does not give are refused.

        Raises:
            OSError: The store failed.
        """
        limits: dict[str, Any] = {"depth": self._count, "max_weight": _BYTES_AHEAD}
        aside: list[_File] = []
        with ThreadPoolExecutor(_READERS) as readers:
            read = partial(readers.submit, self._read)
            files = prefetch(tasks, lambda task: read(task).result, weigh=_weigh_task, queue="read", **limits)
            given = _set_aside(files, aside, is_patient=attempt.mark.number < _PATIENCE)
            decode = partial(self._decode, known, attempt)
            yield from prefetch(given, decode, weigh=_weigh_file, queue="decode", **limits)
        for file in aside:
            yield RejectedPhoto(file.task, None, _explain(file.data))

    def _read(self, task: PhotoTask) -> _File:
        if task.size > self._max_bytes:
            return _File(task, _too_large(task.size, self._max_bytes))
        with telemetry.time_stage("read"):
            data = self._archive.read_many([task.key])[task.key]
        return _File(task, data, hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else "")

    def _decode(self, known: Known, attempt: Attempt, file: _File) -> GetResult[PhotoRead]:
        if not isinstance(file.data, bytes):
            refused = RejectedPhoto(file.task, None, _explain(file.data))
            return lambda: refused
        if (rows := _find_older(file, known, attempt)) is not None:
            kept = UnchangedPhoto(file.task, rows)
            return lambda: kept
        wait = self._codecs.decode(file.task.key, file.data, self._reading)
        return partial(_settle, file.task, file.digest, wait)


def _settle(task: PhotoTask, digest: str, wait: GetResult) -> DecodedPhoto | RejectedPhoto:
    try:
        found = wait()
    except ImageError as error:
        return RejectedPhoto(task, digest, error)
    return DecodedPhoto(task, digest, found.photo, found.alpha)


def _set_aside(files: Iterable[_File], aside: list[_File], *, is_patient: bool) -> Iterator[_File]:
    """Yield the files but those that the store may give another time: these raise if `is_patient`, else go to `aside`.

    A store that gives nothing at all is down; then its error is raised.
    """
    num_given = 0
    for file in files:
        if not (isinstance(file.data, Exception) and is_transient(file.data)):
            num_given += 1
            yield file
        elif is_patient:
            raise file.data
        else:
            aside.append(file)
    if aside and not num_given:
        assert isinstance(aside[0].data, Exception)
        raise aside[0].data


def _explain(error: bytes | Exception) -> ImageError:
    """Return why a file could not be had; raises what is about more than the file."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, FileNotFoundError):
        return _REMOVED
    assert isinstance(error, Exception)
    if not isinstance(error, OSError) and not is_transient(error):
        raise error
    return ImageError(f"the store does not give the file ({error}); see whether it can be read there", "store_error")


def _too_large(size: int, limit: int) -> ImageError:
    text = f"the file has {size / 1e6:,.4g} MB, more than the limit of {limit / 1e6:,.4g} MB"
    return ImageError(f"{text}; raise max_megabytes to take it", "too_large")


def _find_older(file: _File, known: Known, attempt: Attempt) -> list[Result] | None:
    """Return the older rows of a photo, renewed, where its content is still that which they were made from."""
    task = file.task
    older = [known.get((task.key, style)) for style in task.styles]
    if file.digest != task.known_sha256 or None in older:
        return None
    renewed = {"etag": task.etag, "size": task.size, "created_at": attempt.now()}
    return [replace(row, **renewed) for row in older if row is not None]


def _weigh_task(task: PhotoTask) -> int:
    return task.size


def _weigh_file(file: _File) -> int:
    return len(file.data) if isinstance(file.data, bytes) else 0
