"""Read and decode the photos of a shard ahead of the model, within bounds of number and bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from artbank.archive.photo_captions import PhotoCaption, choose_caption
from artbank.archive.shard_turns import SharedWindow
from artbank.errors import ImageError
from artbank.images.codec_jobs import DecodeOptions, PhotoWithAlpha
from artbank.images.file_metadata import PLAIN, FileMetadata
from artbank.images.framing import Photo
from artbank.images.pool import CodecPool
from artbank.records.photo_records import PhotoTask, Result
from artbank.results.attempts import Attempt
from artbank.runtime import telemetry
from artbank.runtime.hashing import full_hash
from artbank.runtime.prefetch import GetResult, prefetch
from artbank.runtime.processes import result_or_stop
from artbank.store.explanations import explain
from artbank.store.objects import Store
from artbank.store.transient_errors import WrongSizeError, concerns_one_object, is_transient

_READERS = 16
_ABANDON_SECONDS = 0.1
_BYTES_AHEAD = 256 * 2**20  # bytes of files that wait for a decoder; a larger file waits alone
_LAST_ATTEMPT = 4  # from this attempt at a shard on, a file that the store cannot deliver becomes a failed row
_REMOVED = ImageError("the file was there when the run began, and is not any more", "removed")

Known = Mapping[tuple[str, str], Result]


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo that can be stylized.

    Attributes:
        task: The styles in which it has no picture.
        digest: SHA-256 of its file, hex.
        photo: The photo at its working size.
        alpha: Its alpha channel, see `codec_jobs.PhotoWithAlpha`; None if it has none.
        note: A sentence about its conversion, see `codec.Picture`; empty if there is nothing to say.
        metadata: The metadata of its pictures.
        detail: See `codec_jobs.PhotoWithAlpha`.
        caption: See `photo_captions.PhotoCaption`; None without `photo_captions`, and where no caption was found.
    """

    task: PhotoTask
    digest: str
    photo: Photo
    alpha: np.ndarray | None = field(repr=False)
    note: str = ""
    metadata: FileMetadata = field(default=PLAIN, repr=False)
    detail: bytes | None = field(default=None, repr=False)
    caption: PhotoCaption | None = None

    @classmethod
    def of(cls, task: PhotoTask, digest: str, decoded: PhotoWithAlpha) -> DecodedPhoto:
        """Return the decoded photo of a task, with its caption."""
        caption = choose_caption(task.caption, decoded.description)
        photo = replace(decoded.photo, caption=caption.text) if caption else decoded.photo
        return cls(task, digest, photo, decoded.alpha, decoded.note, decoded.metadata, decoded.detail, caption)

    @property
    def notes(self) -> list[str]:
        """Sentences about its conversion, and about marks and metadata that its pictures do not have."""
        return [*([self.note] if self.note else []), *self.metadata.notes]


@dataclass(frozen=True)
class RejectedPhoto:
    """A photo that cannot be stylized, and why."""

    task: PhotoTask
    digest: str | None
    error: ImageError


@dataclass(frozen=True)
class UnchangedPhoto:
    """A photo whose content has not changed, with the older rows that still hold."""

    task: PhotoTask
    rows: list[Result]


PhotoRead = DecodedPhoto | RejectedPhoto | UnchangedPhoto


@dataclass(frozen=True)
class _File:
    task: PhotoTask
    data: bytes | Exception = field(repr=False)
    digest: str = ""


class PhotoReader:
    """Reads and decodes the photos of a run."""

    def __init__(self, archive: Store, codecs: CodecPool, options: DecodeOptions, *, max_bytes: int, count: int):
        """Set up the reader; reads nothing yet.

        Args:
            archive: The photos.
            codecs: The decoder processes.
            options: How to decode.
            max_bytes: Larger files are rejected without reading them.
            count: Photos that are read ahead, and as many that are decoded ahead, by all calls of `read` together.
        """
        self._archive = archive
        self._codecs = codecs
        self._options = options
        self._max_bytes = max_bytes
        self._count = count
        self._decoded = SharedWindow(count + 1, _BYTES_AHEAD)

    def read(
        self,
        tasks: Sequence[PhotoTask],
        known: Known,
        attempt: Attempt,
        should_stop: Callable[[], bool] = lambda: False,
        on_all_started: Callable[[], None] = lambda: None,
    ) -> Generator[PhotoRead, None, None]:
        """Yield each photo, decoded, rejected or unchanged, in order. Files that the store cannot deliver come last.

        Args:
            tasks: The photos.
            known: Rows of photos whose content may be unchanged, from `Manifest.known_rows`.
            attempt: The attempt at this shard. From the fourth on, files that the store cannot deliver are rejected.
            should_stop: Asked again and again while a file is waited for.
            on_all_started: Called when the last photo is being decoded.

        Raises:
            OSError: The store failed, or no longer holds any photo.
            StopRequested: `should_stop` returned True.
        """
        limits: dict[str, Any] = {"depth": self._count, "max_weight": _BYTES_AHEAD}
        undelivered: list[_File] = []
        with self._open_readers(should_stop) as read, self._decoded.open(should_stop) as start_decoding:

            def start(task: PhotoTask) -> GetResult[_File]:
                return partial(result_or_stop, read(task), should_stop)

            files = prefetch(tasks, start, weigh=_weigh_task, queue="read", **limits)
            files = _check_archive(files, self._archive)
            delivered = _drop_undelivered(files, undelivered, may_retry=attempt.mark.number < _LAST_ATTEMPT)

            def decode(file: _File) -> GetResult[PhotoRead]:
                return start_decoding(_weigh_file(file), partial(self._decode, known, attempt, file))

            files = _then(delivered, on_all_started)
            yield from prefetch(files, decode, weigh=_weigh_file, queue="decode", **limits)
        for file in undelivered:
            yield RejectedPhoto(file.task, None, _explain(file.data))

    @contextmanager
    def _open_readers(self, should_stop: Callable[[], bool]) -> Iterator[Callable[[PhotoTask], Future[_File]]]:
        """Yield a function that starts to read a file; reads do not delay the end of a process that should stop."""
        pending: set[Future[_File]] = set()  # without the finished ones, since each holds its file
        with ThreadPoolExecutor(_READERS) as readers:

            def start(task: PhotoTask) -> Future[_File]:
                read = readers.submit(self._read, task)
                pending.add(read)
                read.add_done_callback(pending.discard)
                return read

            try:
                yield start
            except BaseException:
                readers.shutdown(wait=False, cancel_futures=True)
                while should_stop() and pending:
                    self._archive.abandon_reads()
                    time.sleep(_ABANDON_SECONDS)  # a read may have been between two requests
                raise

    def _read(self, task: PhotoTask) -> _File:
        if task.size > self._max_bytes:
            return _File(task, too_large_error(task.size, self._max_bytes))
        with telemetry.time_stage("read"):
            data = self._archive.read_listed({task.key: task.size})[task.key]
        if isinstance(data, WrongSizeError):  # no reason to do the whole shard again: the photo may have been replaced
            data = _explain(data)
        if isinstance(data, ImageError):
            return _File(task, data)
        return _File(task, data, full_hash(data) if isinstance(data, bytes) else "")

    def _decode(self, known: Known, attempt: Attempt, file: _File) -> GetResult[PhotoRead]:
        if not isinstance(file.data, bytes):
            rejected = RejectedPhoto(file.task, None, _explain(file.data))
            return lambda: rejected
        if (rows := _find_older(file, known, attempt)) is not None:
            unchanged = UnchangedPhoto(file.task, rows)
            return lambda: unchanged
        options = replace(self._options, **file.task.exact_settings)
        wait = self._codecs.decode(file.task.key, file.data, options)
        return partial(_wait_for_photo, file.task, file.digest, wait)


def _wait_for_photo(task: PhotoTask, digest: str, wait: GetResult) -> DecodedPhoto | RejectedPhoto:
    try:
        decoded = wait()
    except ImageError as error:
        return RejectedPhoto(task, digest, error)
    return DecodedPhoto.of(task, digest, decoded)


def _check_archive(files: Iterable[_File], archive: Store) -> Iterator[_File]:
    """Yield the files; raise an OSError after the last if some were not there and the whole archive is gone.

    Their photos were not removed then: a mount is missing, or the place was renamed.
    """
    is_missing = False
    for file in files:
        is_missing |= isinstance(file.data, FileNotFoundError)
        yield file
    if is_missing and not archive.has_objects():
        raise OSError(f"expected the photos of this run in {archive.uri}, found nothing there any more; mount it")


def _drop_undelivered(files: Iterable[_File], undelivered: list[_File], *, may_retry: bool) -> Iterator[_File]:
    """Yield the files without those that the store could not deliver because of a transient error.

    Such an error is raised if the shard `may_retry`; else the file goes to `undelivered`. If the store delivered
    no file at all, it is down, and its first error is raised.
    """
    num_delivered = 0
    for file in files:
        if not (isinstance(file.data, Exception) and is_transient(file.data)):
            num_delivered += 1
            yield file
        elif may_retry:
            raise file.data
        else:
            undelivered.append(file)
    if undelivered and not num_delivered:
        assert isinstance(undelivered[0].data, Exception)
        raise undelivered[0].data


def _then(files: Iterable[_File], call: Callable[[], None]) -> Iterator[_File]:
    """Yield the files, then make a call."""
    yield from files
    call()


def _explain(error: bytes | Exception) -> ImageError:
    """Return why a file could not be read; raises an error that concerns more than this file."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, FileNotFoundError):
        return _REMOVED
    assert isinstance(error, Exception)
    if not is_transient(error) and not concerns_one_object(error):
        raise error
    return ImageError(f"the store cannot deliver the file: {explain(error)}", "store_error")


def too_large_error(size: int, limit: int) -> ImageError:
    """Return the error for a file of more bytes than the limit."""
    text = f"the file has {size / 1e6:,.4g} MB, more than the limit of {limit / 1e6:,.4g} MB"
    return ImageError(f"{text}; raise max_megabytes to take it", "too_large")


def _find_older(file: _File, known: Known, attempt: Attempt) -> list[Result] | None:
    """Return the older rows of a photo with its new etag and size; None if its content changed or a row is missing."""
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
