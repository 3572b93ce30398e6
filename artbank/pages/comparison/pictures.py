"""The photos and pictures of pairs, read from outputs and archives and made alike.

Every image is decoded and encoded again: the same format, the same quality, no metadata but the mark of pictures. The
two pictures of a pair have the same long side, that of the larger one up to `LONG_SIDE_PX`, and the same size if their
shapes are the same up to rounding. So nothing but what a picture shows tells whose it is.

A photo or picture is taken only if it has the SHA-256 that its row names. So the photo is the one that was drawn, the
picture the one that the row is about, and rows that others wrote cannot fetch other files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from artbank.comparison.contestants import Contestant
from artbank.comparison.pairing import Pair, Picture
from artbank.errors import ArtbankError, ImageError
from artbank.images import codec
from artbank.images.codec import decode, encode, resize
from artbank.images.file_metadata import PLAIN, FileMetadata, mark_only
from artbank.results.containers import read_pictures
from artbank.runtime.hashing import full_hash
from artbank.store.delivered import require
from artbank.store.objects import Store

LONG_SIDE_PX = 1024
_QUALITY = 92
_SAME_SHAPE = 0.03  # framing rounds the sides to multiples of 8 px
_THREADS = 4

Read = bytes | Exception
ReadPictures = dict[Picture, Read]


@dataclass(frozen=True)
class DrawnPair:
    """The encoded images of a pair."""

    pair: Pair
    photo: bytes
    left: bytes
    right: bytes


@dataclass(frozen=True)
class Unusable:
    """A pair that cannot be shown, and a sentence why."""

    pair: Pair
    reason: str


def draw_batch(
    pairs: Sequence[Pair], contestants: Sequence[Contestant], archives: Sequence[Store], max_pixels: int
) -> list[DrawnPair | Unusable]:
    """Read and encode the images of a few pairs, in their order.

    Args:
        pairs: All of their images are in memory at once.
        contestants: Whose pictures they are.
        archives: Searched for each photo in this order.
        max_pixels: Larger photos and pictures are unusable.

    Raises:
        OSError: A store failed.
    """
    photos = _read_photos(pairs, archives)
    pictures = _read_pictures(pairs, contestants)

    def draw(pair: Pair) -> DrawnPair | Unusable:
        return _draw(pair, photos[pair.key, pair.sha256], pictures, contestants, max_pixels)

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(draw, pairs))


def shrink(data: bytes, long_side_px: int, max_pixels: int) -> bytes:
    """Return an image as a JPEG without metadata, its long side at most `long_side_px`.

    Raises:
        ImageError: It cannot be read.
    """
    return _encode(_decode(data, long_side_px, max_pixels))


def _draw(
    pair: Pair, photo: Read, pictures: ReadPictures, contestants: Sequence[Contestant], max_pixels: int
) -> DrawnPair | Unusable:
    subject = "its photo"
    try:
        small_photo = shrink(require(photo), LONG_SIDE_PX, max_pixels)
        decoded = []
        for picture in (pair.left, pair.right):
            subject = f"the picture of {contestants[picture.contestant].name}"
            decoded.append(_decode(require(pictures[picture]), LONG_SIDE_PX, max_pixels))
    except (ArtbankError, FileNotFoundError) as error:
        return Unusable(pair, f"{subject} {'is missing' if isinstance(error, FileNotFoundError) else f'({error})'}")
    left, right = _same_size(*decoded)
    return DrawnPair(pair, small_photo, *(_encode(picture, mark_only()) for picture in (left, right)))


def _read_photos(pairs: Sequence[Pair], archives: Sequence[Store]) -> dict[tuple[str, str | None], Read]:
    """Read the photos of pairs, by key and SHA-256."""
    missing = dict.fromkeys((pair.key, pair.sha256) for pair in pairs)
    photos: dict[tuple[str, str | None], Read] = dict.fromkeys(missing, FileNotFoundError())
    for archive in archives:
        read = archive.read_many([key for key, _ in missing])
        for key, sha256 in missing:
            data = _check(read[key], sha256, "is another one in the archive than was drawn")
            if not isinstance(data, FileNotFoundError):
                photos[key, sha256] = data
        missing = dict.fromkeys(place for place in missing if isinstance(photos[place], Exception))
    return photos


def _check(data: Read, sha256: str | None, fault: str) -> Read:
    if isinstance(data, bytes) and sha256 is not None and full_hash(data) != sha256:
        return ImageError(fault, "damaged")
    return data


def _read_pictures(pairs: Sequence[Pair], contestants: Sequence[Contestant]) -> ReadPictures:
    pictures: ReadPictures = {}
    for number, contestant in enumerate(contestants):
        of_contestant = [
            picture for pair in pairs for picture in (pair.left, pair.right) if picture.contestant == number
        ]
        read = read_pictures(contestant.output, [vars(picture) for picture in of_contestant])
        fault = "is not as it was written; check the output with `artbank verify`"
        pictures |= {
            picture: _check(read[picture.key, picture.style], picture.sha256, fault) for picture in of_contestant
        }
    return pictures


def _decode(data: bytes, long_side_px: int, max_pixels: int) -> codec.Picture:
    return decode(data, max_pixels=max_pixels, choose_size=_fit(long_side_px))


def _encode(picture: codec.Picture, metadata: FileMetadata = PLAIN) -> bytes:
    return encode(picture, ".jpg", quality=_QUALITY, metadata=metadata)


def _fit(long_side_px: int) -> Callable[[int, int], tuple[int, int]]:
    def fit(width_px: int, height_px: int) -> tuple[int, int]:
        return _scaled(width_px, height_px, min(long_side_px, max(width_px, height_px)))

    return fit


def _scaled(width_px: int, height_px: int, long_side_px: int) -> tuple[int, int]:
    scale = long_side_px / max(width_px, height_px)
    return max(round(width_px * scale), 1), max(round(height_px * scale), 1)


def _same_size(first: codec.Picture, second: codec.Picture) -> Iterator[codec.Picture]:
    """Yield both pictures with the long side of the larger one, and of the same size if they have the same shape."""
    sizes = [(picture.rgb.shape[1], picture.rgb.shape[0]) for picture in (first, second)]
    largest = max(sizes, key=max)
    for picture, (width, height) in zip((first, second), sizes, strict=True):
        is_alike = abs(width * largest[1] / (height * largest[0]) - 1) <= _SAME_SHAPE
        size = largest if is_alike else _scaled(width, height, max(largest))
        yield replace(picture, rgb=resize(picture.rgb, *size))
