"""Photos out of files and pictures into files, with what is measured pixel by pixel, in processes of their own.

What crashes a decoder, or never ends in it, takes no more with it than that process, which is replaced; a large photo
is in the memory of one of them only, and comes back at its working size.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.util import Finalize
from typing import Any, TypeVar

import numpy as np
from pebble import ProcessExpired, ProcessPool

from artbank.errors import ConfigError, ImageError
from artbank.images.codec import Picture, decode, encode, resize
from artbank.images.framing import Frame, Photo
from artbank.images.similarity import sanity_flags, ssim_luma
from artbank.recipes import Alpha, OutputSize
from artbank.runtime.prefetch import GetResult
from artbank.runtime.telemetry import Stage, record_stage

Outcome = TypeVar("Outcome")

_MOST_PROCESSES = 8
_ENCODE_SECONDS = 600.0  # far above what the largest picture takes: only what would never end is cut off


@dataclass(frozen=True)
class DecodeOptions:
    """How the photos of a run are opened.

    Attributes:
        max_pixels: Larger ones are refused before they are decoded.
        alpha: What becomes of transparency.
        size: At which size the pictures will be written, and transparency is kept.
        short_px: Short side of the working size.
        multiple_px: What its padded sides are multiples of.
        seconds: Longest that decoding may take.
    """

    max_pixels: int
    alpha: Alpha
    size: OutputSize
    short_px: int
    multiple_px: int
    seconds: float


@dataclass(frozen=True)
class PhotoWithAlpha:
    """A photo at its working size, and its alpha uint8 at the size of the output, None where it is opaque."""

    photo: Photo
    alpha: np.ndarray | None


@dataclass(frozen=True)
class EncodeJob:
    """A picture to be encoded, and what it is compared with.

    Attributes:
        rgb: uint8 [h, w, 3].
        photo: Its photo at the working size, uint8 [h, w, 3].
        alpha: uint8 [H, W] or None.
        size: Width W and height H of the file, px.
        suffix: Chooses the format, see `images.encode`.
        quality: 1..100.
    """

    rgb: np.ndarray
    photo: np.ndarray
    alpha: np.ndarray | None
    size: tuple[int, int]
    suffix: str
    quality: int


@dataclass(frozen=True)
class EncodedPicture:
    """A picture's file, and its scores out of `structure`."""

    data: bytes
    ssim: float
    flags: tuple[str, ...]


class CodecPool:
    """A pool of processes that decode and encode; they are started with the first work, and end with this process."""

    def __init__(self, num_processes: int | None = None):
        """Prepare the pool.

        Args:
            num_processes: One for each core that this process may use, 8 at most, by default.

        Raises:
            ConfigError: This process may have no children of its own.
        """
        if multiprocessing.current_process().daemon:
            raise ConfigError(
                "expected a process that may start others, found a daemonic one; "
                "start Dask's workers with DASK_DISTRIBUTED__WORKER__DAEMON=False"
            )
        self._num_processes, self._lock = num_processes or count_cores(), threading.Lock()
        self._pool = self._make_pool()

    def decode(self, key: str, data: bytes, reading: DecodeOptions) -> GetResult[PhotoWithAlpha]:
        """Begin to decode a photo and to bring it to its working size.

        Returns:
            What waits for it; raises ImageError where the photo cannot be used.
        """
        return self._start(decode_photo, (key, data, reading), reading.seconds, "decode")

    def encode(self, making: EncodeJob) -> GetResult[EncodedPicture]:
        """Begin to encode a picture and to look at it.

        Returns:
            What waits for it; raises ImageError where the format cannot hold the picture.
        """
        return self._start(encode_picture, (making,), _ENCODE_SECONDS, "encode")

    def close(self) -> None:
        """End the processes, whatever they are at."""
        self._pool.stop()
        self._pool.join()

    def _start(
        self, work: Callable[..., Outcome], args: tuple[Any, ...], seconds: float, stage: Stage = "decode"
    ) -> GetResult[Outcome]:
        future = self._schedule(work, args, seconds)

        def wait() -> Outcome:
            try:
                return _tell(stage, *future.result())
            except (ProcessExpired, BrokenProcessPool, CancelledError):  # not certainly for what is in the file
                again = self._schedule(work, args, seconds)
            except TimeoutError as error:
                raise ImageError(
                    f"not done after {seconds:g} s; save it anew or get another copy", "timed_out"
                ) from error
            try:
                return _tell(stage, *again.result())
            except (ProcessExpired, BrokenProcessPool, TimeoutError) as error:
                raise ImageError(
                    "the process that opened the file crashed, twice; save it anew or get another copy", "crashed"
                ) from error

        return wait

    def _schedule(self, work: Callable[..., Outcome], args: tuple[Any, ...], seconds: float) -> Any:
        """Give work to the pool; to a new one where it is broken, as by a process that died with nothing to do."""
        with self._lock:
            try:
                return self._pool.schedule(_time, args=(work, *args), timeout=seconds)
            except RuntimeError:
                self._pool = self._make_pool()
                return self._pool.schedule(_time, args=(work, *args), timeout=seconds)

    def _make_pool(self) -> ProcessPool:
        # Not forked: this process has threads, and what they hold would stay held in the child.
        context: Any = multiprocessing.get_context("spawn")
        return ProcessPool(max_workers=self._num_processes, context=context)


def decode_photo(key: str, data: bytes, reading: DecodeOptions) -> PhotoWithAlpha:
    """Decode a photo and bring it to its working size.

    Raises:
        ImageError: It cannot be used.
    """
    sizes = {"short_px": reading.short_px, "multiple_px": reading.multiple_px}
    picture = decode(
        data,
        max_pixels=reading.max_pixels,
        alpha=reading.alpha,
        choose_size=lambda width, height: Frame.for_photo(width, height, **sizes).size_px,
    )
    photo = Photo.prepare(key, picture.rgb, whole_px=picture.whole_px, **sizes)
    alpha = picture.alpha
    if alpha is not None and reading.size == "working":
        alpha = _resize_alpha(alpha, photo.frame.width_px, photo.frame.height_px)
    return PhotoWithAlpha(photo, alpha)


def encode_picture(making: EncodeJob) -> EncodedPicture:
    """Encode a picture at its file's size, and look at it at its own.

    Raises:
        ImageError: The format cannot hold a picture of that size.
    """
    rgb, alpha = making.rgb, making.alpha
    if alpha is not None:
        alpha = _resize_alpha(alpha, *making.size)
    data = encode(Picture(resize(rgb, *making.size), alpha), making.suffix, quality=making.quality)
    return EncodedPicture(data, ssim_luma(rgb, making.photo), sanity_flags(rgb))


def _time(work: Callable[..., Outcome], *args: Any) -> tuple[Outcome, float]:
    """Do some work; returns the seconds it took, too."""
    start = time.monotonic()
    return work(*args), time.monotonic() - start


def _tell(stage: Stage, outcome: Outcome, seconds: float) -> Outcome:
    record_stage(stage, seconds)
    return outcome


def count_cores() -> int:
    """Return the number of cores that this process has for itself: 1..8."""
    mine = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(mine) if mine.isdecimal() else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return min(max(cores or os.cpu_count() or 1, 1), _MOST_PROCESSES)


def _resize_alpha(alpha: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    return resize(np.repeat(alpha[..., None], 3, 2), width_px, height_px)[..., 0]


_LOADING = threading.Lock()


def open_codec_pool() -> CodecPool:
    """Return the processes that decode and encode for this one.

    Raises:
        ConfigError: This process may have no children of its own.
    """
    with _LOADING:
        return _open_codec_pool()


@lru_cache(maxsize=1)
def _open_codec_pool() -> CodecPool:
    codecs = CodecPool()
    # A process that multiprocessing started, as Dask's workers are, waits for its children before anything that is
    # registered with `atexit`, and so for ever.
    Finalize(None, codecs.close, exitpriority=0)
    return codecs
