"""Measure what happens to files and pixels at a working size of 512 px: CPU milliseconds, with the limit of each.

Every photo is enlarged to 6 to 24 megapixels with a Lanczos filter, gets a camera's noise (a standard deviation of 2 in
the middle tones, more in bright ones, correlated between neighbours as demosaicing leaves it), and is saved as JPEG of
quality 92 with chroma at half (4:2:0) and at full size (4:4:4). It is decoded as a codec process of a run does it: with
the shortcuts of `draft_decoding`, to its working size, with its metadata, but from memory instead of a store. The PSNR
is that to the picture that all pixels of the file give.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from artbank.images.artwork_pictures import prepare_artwork
from artbank.images.codec import decode
from artbank.images.codec_jobs import DecodeOptions, EncodeJob, decode_photo, encode_picture
from artbank.images.framing import Frame
from artbank.images.palette import Palette
from artbank.mini.drawing.scenes import draw_scene
from artbank.stylization.colours import match_palette
from artbank.stylization.structure import return_lightness

MEGAPIXELS = (6, 9, 12, 16, 24)
CHROMA = ("4:2:0", "4:4:4")
SHORT_PX, MULTIPLE_PX = 512, 64
DECODE, DECODE_DB, ENCODE, ARTWORK = "decode, ms", "decode, least dB", "encode, ms", "artwork, ms"
_ROUNDS = 5
_QUALITY = 92
_MAX_PIXELS = 10**9
_NUM_PHOTOS = 10  # of a folder: the largest
_SEED = 20_000_400
_DRAWN_PX = (1200, 900)
_ARTWORK_MP = 12
_PICTURE_PX = (767, 512)
_GRAIN_PX = 512  # of a tile of noise
_GRAIN, _GRAIN_BLUR_PX = 2.0, 0.6
_DARK, _MIDDLE = 16, 128  # levels; the noise grows with the root of the light


@dataclass(frozen=True)
class CodecRow:
    """A measured step.

    Attributes:
        name: What is done.
        count: Number of files.
        milliseconds: CPU milliseconds a file: of each the median over the rounds, of these the mean.
        most: The most of a file.
        least_db: Least PSNR of a file, dB; None where the step has none.
    """

    name: str
    count: int
    milliseconds: float
    most: float
    least_db: float | None = None


@dataclass(frozen=True)
class CodecFigures:
    """The measurements.


    Attributes:
        source: What the photos are.
        rows: The rows of the table.
        limited: The figures that have limits, by name; see `targets.CODECS`.
    """

    source: str
    rows: Sequence[CodecRow]
    limited: Mapping[str, float]

    def markdown(self) -> str:
        """Return the table with what it says."""
        lines = ["| step | files | CPU ms | most | least PSNR, dB |", "|---|---:|---:|---:|---:|"]
        for row in self.rows:
            least = "-" if row.least_db is None else f"{row.least_db:.1f}"
            lines.append(f"| {row.name} | {row.count} | {row.milliseconds:.3g} | {row.most:.3g} | {least} |")
        return "\n".join([self.source, "", *lines])


def measure_codecs(folder: Path | None) -> CodecFigures:
    """Measure every step, with one thread; photos and rounds are few, so that it takes a minute.

    Args:
        folder: Folder of photos, of which the largest are used; None draws scenes.
    """
    with _one_thread():
        photos = list(_open_photos(folder))
        decoded = [row for row in _measure_decoding(photos) if row.count]
        encoded, artwork = _measure_encoding(photos[0]), _measure_artwork(photos[0])
        rows = [*decoded, encoded, artwork, *_measure_colours(photos)]
    limited = {
        DECODE: sum(row.milliseconds * row.count for row in decoded) / sum(row.count for row in decoded),
        DECODE_DB: min(row.least_db or 0.0 for row in decoded),
        ENCODE: encoded.milliseconds,
        ARTWORK: artwork.milliseconds,
    }
    return CodecFigures(_describe_source(folder), rows, limited)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _describe_source(folder: Path | None) -> str:
    """Say what the photos are."""
    kind = f"The largest {_NUM_PHOTOS} photos of a folder" if folder else "Drawn scenes"
    return (
        f"{kind}, enlarged by a Lanczos filter to the sizes below, with a camera's noise, saved as JPEG of quality "
        f"{_QUALITY} with 4:2:0 or 4:4:4 chroma. CPU milliseconds on one thread, at a working size of {SHORT_PX} px: "
        "of each file the median over the rounds, of these the mean and the most. The PSNR is that to the picture that "
        "all pixels of the file give."
    )


def _open_photos(folder: Path | None) -> Iterator[Image.Image]:
    if folder is None:
        for number in range(len(MEGAPIXELS)):
            yield Image.fromarray(draw_scene(_SEED + number, width_px=_DRAWN_PX[0], height_px=_DRAWN_PX[1]).image)
        return
    opened = [Image.open(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    for image in sorted(opened, key=lambda image: -image.width * image.height)[:_NUM_PHOTOS]:
        yield image.convert("RGB")


def _measure_decoding(photos: Sequence[Image.Image]) -> Iterator[CodecRow]:
    """Yield a row for each size and chroma; a file is there only while it is measured."""
    for place, size in enumerate(MEGAPIXELS):
        files: dict[str, list[bytes]] = {chroma: [] for chroma in CHROMA}
        for photo in photos[place :: len(MEGAPIXELS)]:
            large = _take_photo(photo, size)
            for chroma, data in files.items():
                data.append(_save(large, subsampling=chroma))
        for chroma, data in files.items():
            spent = [_time_each(lambda one=one: _decode(one)) for one in data]
            decibels = [_compare(one) for one in data]
            name = f"decode a photo of {size:g} MP, {chroma}"
            yield CodecRow(name, len(data), fmean(spent or [0]), max(spent or [0]), min(decibels, default=None))


def _measure_encoding(photo: Image.Image) -> CodecRow:
    picture = np.asarray(photo.resize(_PICTURE_PX, Image.Resampling.LANCZOS))
    softer = cv2.GaussianBlur(picture, (0, 0), 1.0)
    job = EncodeJob(picture, softer, None, _PICTURE_PX, ".jpg", _QUALITY)
    spent = _time_each(lambda: encode_picture(job))
    width, height = _PICTURE_PX
    return CodecRow(f"encode and score a picture of {height} x {width} px", 1, spent, spent)


def _measure_artwork(photo: Image.Image) -> CodecRow:
    size = min(_ARTWORK_MP, max(MEGAPIXELS))
    data = _save(_take_photo(photo, size))
    spent = _time_each(lambda: prepare_artwork("a.jpg", data, _MAX_PIXELS, SHORT_PX))
    return CodecRow(f"prepare an artwork of {size:g} MP", 1, spent, spent)


def _measure_colours(photos: Sequence[Image.Image]) -> Iterator[CodecRow]:
    small = [np.array(photo.resize(_PICTURE_PX, Image.Resampling.LANCZOS)) for photo in (photos[0], photos[-1])]
    palette = Palette.measure(small[1:])
    photo, picture = (torch.from_numpy(one).permute(2, 0, 1).contiguous() for one in small)
    steps: dict[str, Callable[[], Any]] = {
        "give a picture the collection's colours": lambda: match_palette(picture, palette),
        "return the photo's lightness to a picture": lambda: return_lightness(picture, photo, 0.3, 0.55),
    }
    for name, step in steps.items():
        spent = _time_each(step)
        yield CodecRow(name, 1, spent, spent)


def _take_photo(photo: Image.Image, megapixels: float) -> Image.Image:
    """Enlarge a photo to a number of megapixels, and give it a camera's noise."""
    scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    width, height = round(photo.width * scale), round(photo.height * scale)
    pixels = np.asarray(photo.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    grain = np.random.default_rng(0).standard_normal((_GRAIN_PX, _GRAIN_PX, 3), np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), _GRAIN_BLUR_PX, borderType=cv2.BORDER_REFLECT)
    grain *= _GRAIN / grain.std()
    tiled = np.tile(grain, (-(-height // _GRAIN_PX), -(-width // _GRAIN_PX), 1))[:height, :width]
    pixels = pixels + tiled * np.sqrt(np.maximum(pixels, _DARK) / _MIDDLE)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _save(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, **options)
    return file.getvalue()


def _decode(data: bytes) -> np.ndarray:
    options = DecodeOptions(_MAX_PIXELS, "white", "working", SHORT_PX, MULTIPLE_PX, seconds=60)
    return decode_photo("a.jpg", data, options).photo.working


def _compare(data: bytes) -> float:
    """Return the PSNR of a decoded photo to what all its pixels give, dB; at most 99."""
    whole = decode(data, max_pixels=_MAX_PIXELS, choose_size=_choose_size, exact=True).rgb
    error = np.mean(np.square(_decode(data).astype(np.float64) - whole))
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def _choose_size(width: int, height: int) -> tuple[int, int]:
    return Frame.for_photo(width, height, short_px=SHORT_PX, multiple_px=MULTIPLE_PX).size_px


def _time_each(work: Callable[[], Any]) -> float:
    """Return the median CPU milliseconds of some calls, after one to warm up."""
    spent = []
    for _ in range(_ROUNDS + 1):
        start = time.process_time()
        work()
        spent.append(1000 * (time.process_time() - start))
    return median(spent[1:])
