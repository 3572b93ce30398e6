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
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.util import Finalize
from typing import Any, TypeVar

import cv2
import numpy as np
from pebble import CONSTS, ProcessExpired, ProcessPool

from artbank.control_specs import ControlKind
from artbank.errors import ConfigError, ImageError
from artbank.images.codec import Picture, decode, encode, resize
from artbank.images.control_images import draw_control_image
from artbank.images.file_metadata import PLAIN, FileMetadata, make_file_metadata
from artbank.images.framing import MAX_ASPECT, Frame, Photo
from artbank.images.photo_description import find_description
from artbank.images.photo_detail import enlarge, extract_detail
from artbank.images.photo_metadata import read_photo_metadata
from artbank.images.similarity import sanity_flags, ssim_luma
from artbank.recipes import Alpha, Mark, Metadata, OutputSize
from artbank.runtime.cores import count_codec_processes
from artbank.runtime.load_once import LoadOnce
from artbank.runtime.prefetch import GetResult
from artbank.runtime.processes import TERMINAL_SIGNALS, ChildRegister, shield_children_from_signals
from artbank.runtime.telemetry import Stage, record_stage

T = TypeVar("T")

CONSTS.term_timeout = 0.0  # kill workers at once: they ignore SIGTERM, and hold nothing
_ENCODE_SECONDS = 600.0  # far above the time for the largest picture; stops only what would never end


@dataclass(frozen=True)
class DecodeOptions:
    """How the photos of a run are decoded.

    Attributes:
        max_pixels: Larger photos are rejected before they are decoded.
        alpha: Whether transparency is kept or laid on white.
        size: Whether pictures are written at the original or the working size, which is the size of the kept alpha.
        short_px: Short side of the working image.
        multiple_px: The padded sides of the working image are multiples of this.
        seconds: Time limit for one photo.
        mark: The mark that its pictures get.
        metadata: What its pictures keep of its metadata.
        detail: Whether pictures get the photo's detail; it is decoded whole for that.
        description: Whether the photo's own description is read.
        max_aspect: Photos that are longer get a smaller short side, see `Frame.for_photo`.
        control_kinds: What ControlNets see of the photos is computed for these kinds.
    """

    max_pixels: int
    alpha: Alpha
    size: OutputSize
    short_px: int
    multiple_px: int
    seconds: float
    mark: Mark = "iptc"
    metadata: Metadata = "copyright"
    detail: bool = False
    description: bool = False
    max_aspect: float = MAX_ASPECT
    control_kinds: tuple[ControlKind, ...] = ()


@dataclass(frozen=True)
class PhotoWithAlpha:
    """A photo at its working size, and its alpha.

    Attributes:
        photo: The photo.
        alpha: uint8 at the size of the output; None if the photo is opaque.
        note: A sentence about its conversion, see `codec.Picture`; empty if there is nothing to say.
        metadata: The metadata of its pictures.
        detail: See `photo_detail.extract_detail`; None if it was not asked for.
        description: See `photo_description.find_description`; empty if it was not asked for.
    """

    photo: Photo
    alpha: np.ndarray | None
    note: str = ""
    metadata: FileMetadata = PLAIN
    detail: bytes | None = None
    description: str = ""


@dataclass(frozen=True)
class EncodeJob:
    """A picture to encode and to compare with its photo.

    Attributes:
        rgb: The picture, uint8 [h, w, 3].
        photo: The photo at its working size, uint8 [h, w, 3].
        alpha: uint8 [H, W], or None.
        size: Width W and height H of the file, px.
        suffix: Selects the format; see `codec.encode`.
        quality: 1..100.
        metadata: Exif and XMP of the file.
        detail: The photo's detail that the file gets, see `photo_detail`; None for none.
        detail_weight: Share of it, 0..1.
    """

    rgb: np.ndarray
    photo: np.ndarray
    alpha: np.ndarray | None
    size: tuple[int, int]
    suffix: str
    quality: int
    metadata: FileMetadata = PLAIN
    detail: bytes | None = None
    detail_weight: float = 0.0


@dataclass(frozen=True)
class EncodedPicture:
    """The file of a picture, and its scores from `similarity`."""

    data: bytes
    ssim: float
    flags: tuple[str, ...]


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
        self._num_processes = num_processes or count_codec_processes()
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
        return self._start(encode_picture, (job,), _ENCODE_SECONDS, "encode")

    def close(self) -> None:
        """Kill the worker processes, busy or not."""
        self._pool.stop()
        # `join` deletes the pool's semaphores before it kills the workers. A worker that is just starting would look
        # for them in vain and print a traceback.
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
        return ProcessPool(max_workers=self._num_processes, context=context, initializer=_prepare_worker)


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


def decode_photo(key: str, data: bytes, options: DecodeOptions) -> PhotoWithAlpha:
    """Decode a photo and bring it to its working size.

    Raises:
        ImageError: The photo cannot be used.
    """
    aspect = {"max_aspect": options.max_aspect}
    sizes: dict[str, Any] = {"short_px": options.short_px, "multiple_px": options.multiple_px, **aspect}
    picture = decode(
        data,
        max_pixels=options.max_pixels,
        alpha=options.alpha,
        choose_size=lambda width, height: Frame.for_photo(width, height, **sizes).size_px,
        file_name=key,
        with_luma=options.detail,
    )
    photo = Photo.prepare(key, picture.rgb, whole_px=picture.whole_px, **sizes)
    seen = {kind: draw_control_image(kind, photo.padded) for kind in options.control_kinds}
    photo = replace(photo, control_images=seen)
    alpha = picture.alpha
    if alpha is not None and options.size == "working":
        alpha = _resize_alpha(alpha, *photo.frame.size_px)
    found = read_photo_metadata(data, key)
    metadata = make_file_metadata(found, mark=options.mark, metadata=options.metadata)
    luma = picture.whole_luma
    detail = None if luma is None else extract_detail(luma, photo.working)
    description = find_description(found) if options.description else ""
    return PhotoWithAlpha(photo, alpha, picture.note, metadata, detail, description)


def encode_picture(job: EncodeJob) -> EncodedPicture:
    """Encode a picture at the size of its file, and score it at its own size.

    Raises:
        ImageError: The format cannot hold a picture of that size.
    """
    data = encode(finish_picture(job), job.suffix, quality=job.quality, metadata=job.metadata)
    return EncodedPicture(data, ssim_luma(job.rgb, job.photo), sanity_flags(job.rgb))


def finish_picture(job: EncodeJob) -> Picture:
    """Return a picture at the size of its file, uint8 [H, W, 3], with its alpha and the detail of its photo."""
    alpha = None if job.alpha is None else _resize_alpha(job.alpha, *job.size)
    return Picture(enlarge(job.rgb, job.photo, job.size, job.detail, job.detail_weight), alpha)


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


def _resize_alpha(alpha: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    return resize(np.repeat(alpha[..., None], 3, 2), width_px, height_px)[..., 0]
