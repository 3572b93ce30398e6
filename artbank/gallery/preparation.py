"""Prepare the artworks of a collection side by side, in threads or in processes, which give the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from artbank.errors import ImageError
from artbank.images.artwork_pictures import PreparedArtwork, prepare_artwork
from artbank.images.pool import CodecPool
from artbank.runtime.prefetch import GetResult, prefetch

_NUM_THREADS = 4  # an artwork may need a few bytes for every one of `max_pixels` while it is prepared
_BYTES_FOR_PROCESSES = 64 * 2**20  # of files, some 15 artworks of 12 megapixels; fewer are done before processes start

Start = Callable[[str, bytes], GetResult[PreparedArtwork]]
ArtworkFile = tuple[str, bytes | ImageError]
"""Key and content of a file, or why it has none."""


def prepare_artworks(
    files: Iterable[ArtworkFile], *, num_bytes: int, max_pixels: int, crop_px: int | None, may_start_processes: bool
) -> Generator[tuple[str, PreparedArtwork | ImageError]]:
    """Yield artworks in the order of their files, by key; an error takes the place of one that cannot be used.

    Files are taken a few at a time.

    Args:
        files: The files.
        num_bytes: Bytes of all of them, which decide between threads and processes.
        max_pixels: Images with more pixels are not decoded.
        crop_px: See `prepare_artwork`.
        may_start_processes: Whether this process may start others; a file that crashes its decoder then costs one.
    """
    in_processes = may_start_processes and num_bytes >= _BYTES_FOR_PROCESSES
    if in_processes and not multiprocessing.current_process().daemon:
        workers = _open_processes(max_pixels, crop_px)
    else:
        workers = _open_threads(max_pixels, crop_px)
    with workers as (start, depth):
        yield from prefetch(files, lambda file: _start(start, *file), depth=depth)


@contextmanager
def _open_threads(max_pixels: int, crop_px: int | None) -> Iterator[tuple[Start, int]]:
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        yield lambda key, data: pool.submit(prepare_artwork, key, data, max_pixels, crop_px).result, _NUM_THREADS


@contextmanager
def _open_processes(max_pixels: int, crop_px: int | None) -> Iterator[tuple[Start, int]]:
    pool = CodecPool()
    try:
        yield lambda key, data: pool.prepare_artwork(key, data, max_pixels, crop_px), 2 * pool.num_processes
    finally:
        pool.close()


def _start(start: Start, key: str, data: bytes | ImageError) -> GetResult[tuple[str, PreparedArtwork | ImageError]]:
    """Start to prepare a file, if it has content."""
    get_artwork = None if isinstance(data, ImageError) else start(key, data)

    def get_result() -> tuple[str, PreparedArtwork | ImageError]:
        if get_artwork is None:
            assert isinstance(data, ImageError)
            return key, data
        try:
            return key, get_artwork()
        except ImageError as error:
            return key, error

    return get_result
