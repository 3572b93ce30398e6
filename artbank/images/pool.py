"""A pool of processes that decode photos and encode pictures, and measure pictures pixel by pixel.

A file that crashes or hangs the decoder costs one worker process, which is restarted. A large photo is in the memory of
one worker only and is returned at its working size.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.util import Finalize
from typing import Any, TypeVar

import cv2
from pebble import CONSTS, ProcessExpired, ProcessPool

from artbank.errors import ConfigError, ImageError
from artbank.images.artwork_pictures import PreparedArtwork, prepare_artwork
from artbank.images.codec_jobs import (
    DecodeOptions,
    EncodedPicture,
    EncodeJob,
    PhotoWithAlpha,
    decode_photo,
    encode_picture,
)
from artbank.runtime.cores import count_codec_processes
from artbank.runtime.load_once import LoadOnce
from artbank.runtime.prefetch import GetResult
from artbank.runtime.processes import TERMINAL_SIGNALS, ChildRegister, shield_children_from_signals
from artbank.runtime.telemetry import Stage, record_stage

T = TypeVar("T")

CONSTS.term_timeout = 0.0  # kill workers at once: they ignore SIGTERM, and hold nothing
_MOST_SECONDS = 600.0  # far above the time for the largest picture or artwork; stops only what would never end


class CodecPool:
    """Worker processes that decode and encode; they start with the first work and end with this process."""

    def __init__(self, num_processes: int | None = None):
        """Create the pool; starts no process yet.

        Args:
            num_processes: Number of workers; see `count_codec_processes` for the default.

        Raises:
            ConfigError: This process is a daemon, which cannot have child processes; or the number in the environment
                is none.
        """
        if multiprocessing.current_process().daemon:
            raise ConfigError(
                "expected a process that can start others, found a daemonic one; "
                "start Dask's workers with DASK_DISTRIBUTED__WORKER__DAEMON=False"
            )
        self.num_processes = num_processes or count_codec_processes()
        self._lock = threading.Lock()
        self._pool = self._make_pool()

    def decode(self, key: str, data: bytes, options: DecodeOptions) -> GetResult[PhotoWithAlpha]:
        """Start to decode a photo and to bring it to its working size.

        Returns:
            Waits for the photo; raises ImageError if the photo cannot be used.
        """
        return self._start(decode_photo, (key, data, options), options.seconds, "decode")

    def encode(self, job: EncodeJob) -> GetResult[EncodedPicture]:
        """Start to encode and to score a picture.

        Returns:
            Waits for the picture; raises ImageError if the format cannot hold it.
        """
        return self._start(encode_picture, (job,), _MOST_SECONDS, "encode")

    def prepare_artwork(
        self, key: str, data: bytes, max_pixels: int, crop_px: int | None
    ) -> GetResult[PreparedArtwork]:
        """Start to prepare an artwork for the training; see `artwork_pictures.prepare_artwork`.

        Returns:
            Waits for the artwork; raises ImageError if it cannot be used.
        """
        return self._start(prepare_artwork, (key, data, max_pixels, crop_px), _MOST_SECONDS)

    def close(self) -> None:
        """Kill the worker processes, busy or not."""
        self._pool.stop()
        # `join` deletes the pool's semaphores before it kills the workers. A worker that is just starting would look
        # for them without success and print a traceback.
        self._workers.kill_all()
        self._pool.join()

    def _start(
        self, work: Callable[..., T], args: tuple[Any, ...], seconds: float, stage: Stage = "decode"
    ) -> GetResult[T]:
        """Start work in the pool; it is retried once if its worker dies, as the file need not be the cause."""
        schedule = partial(self._schedule, work, args, seconds)
        future = schedule()

        def get_result() -> T:
            try:
                return _record(stage, *future.result())
            except TimeoutError as error:
                raise ImageError(
                    f"not done after {seconds:g} s; save it again or get another copy", "timed_out"
                ) from error
            except (ProcessExpired, BrokenProcessPool, CancelledError):
                retry = schedule()
            try:
                return _record(stage, *retry.result())
            except (ProcessExpired, BrokenProcessPool, TimeoutError) as error:
                raise ImageError(
                    "the process that opened the file crashed, twice; save it again or get another copy", "crashed"
                ) from error

        return get_result

    def _schedule(self, work: Callable[..., T], args: tuple[Any, ...], seconds: float) -> Any:
        """Give work to the pool, and first replace a broken pool: an idle worker that dies breaks it.

        The first work starts the pool's threads, which start the processes.
        """
        with self._lock, shield_children_from_signals(TERMINAL_SIGNALS):
            try:
                return self._pool.schedule(_time, args=(work, *args), timeout=seconds)
            except RuntimeError:
                self._pool = self._make_pool()
                return self._pool.schedule(_time, args=(work, *args), timeout=seconds)

    def _make_pool(self) -> ProcessPool:
        self._workers = ChildRegister()
        context: Any = self._workers  # the type hint asks for the module
        return ProcessPool(max_workers=self.num_processes, context=context, initializer=_prepare_worker)


@LoadOnce
def open_codec_pool() -> CodecPool:
    """Return the codec pool of this process.

    Raises:
        ConfigError: This process is a daemon, which cannot have child processes.
    """
    pool = CodecPool()
    # Not atexit: a process that multiprocessing started, such as a Dask worker, first waits for its children, and runs
    # the functions of atexit after that. The children of an open pool never end.
    # multiprocessing calls finalizers of a higher priority first. It deletes semaphores at priority 0, and the pool
    # must be closed before that.
    Finalize(None, pool.close, exitpriority=1)
    return pool


def _prepare_worker() -> None:
    """Set up a worker process: it uses one core, and ignores a SIGTERM to all processes at once.

    A decoder that such a signal ends looks as if its photo had crashed it.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _time(work: Callable[..., T], *args: Any) -> tuple[T, float]:
    """Return the result of some work, and the seconds that it took."""
    start = time.monotonic()
    return work(*args), time.monotonic() - start


def _record(stage: Stage, result: T, seconds: float) -> T:
    record_stage(stage, seconds)
    return result
