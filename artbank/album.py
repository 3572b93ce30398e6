"""What is kept of a bank for its page: small pictures, and what the catalog does not tell.

banks/<collection>/<bank_id>/album.json          an `Album`
                             album/*.webp        its pictures
                             album/cover.webp    an artwork beside a picture in its style

It is data, so that a page can be written anew without the base model. Banks of older versions have none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artbank.collection import Artwork, Collection, Finding
from artbank.errors import BankError
from artbank.images import Picture, encode, resize

ALBUM = "album.json"
COVER = "album/cover.webp"
MOST_ARTWORKS = 24
"""Artworks that a page shows."""
MOST_KEYS = 5000
"""Artworks of a collection above which an album does not hold what each was."""

_MOST_NAMED = 100  # keys of one finding
_LONGEST = 500  # characters of a key or caption
_ARTWORK_PX, _COVER_PX, _QUALITY = 280, 160, 80

Score = Annotated[float, Field(allow_inf_nan=False)] | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Thumbnail(_Part):
    """A small picture: its file below the bank's folder, what it shows, and its size."""

    file: str = Field(pattern=r"^album/[a-z0-9-]+\.webp$")
    text: str
    width_px: int = Field(ge=1, le=4096)
    height_px: int = Field(ge=1, le=4096)


class ShownArtwork(Thumbnail):
    """An artwork of the collection; `caption` where it has one, `is_held_out` where the bank did not learn from it."""

    caption: str | None = None
    is_held_out: bool = False


class Sample(_Part):
    """A photograph, and what the finished bank made of it by the default recipe."""

    photo: Thumbnail
    picture: Thumbnail
    clip_style: Score = None
    clip_style_floor: Score = None


class Milestone(_Part):
    """What the bank made of the album's photographs after some steps; `clip_style` is the mean of these pictures."""

    step: int = Field(ge=0)
    pictures: tuple[Thumbnail, ...]
    clip_style: Score = None


class NearWord(_Part):
    """A word of the base model's vocabulary, and its cosine with a vector of the bank."""

    text: str
    cosine: float = Field(ge=-1, le=1)


class Note(_Part):
    """A finding of the collection's doctor: `num_keys` artworks, of which the first are named."""

    kind: str
    message: str
    keys: tuple[str, ...] = ()
    num_keys: int = Field(default=0, ge=0)

    @classmethod
    def of(cls, finding: Finding) -> Note:
        """Take over a finding."""
        named = tuple(key[:_LONGEST] for key in finding.keys[:_MOST_NAMED])
        return cls(kind=finding.kind, message=finding.message, keys=named, num_keys=len(finding.keys))


class Album(_Part):
    """All of it.

    Attributes:
        artworks: Up to `MOST_ARTWORKS`, evenly spread over the collection.
        num_held_out: Artworks of the collection that the bank did not learn from.
        contents: What each artwork was, as 12 hex digits, by key; None where there were more than `MOST_KEYS`.
        notes: Findings of the collection's doctor.
        words: The nearest words of each of the bank's vectors.
        photos: Drawn photographs that the milestones are shown on.
        milestones: By step; the one of the best step is the finished bank.
        milestone_preset: Preset of the recipe that the milestones were drawn by.
        samples: Pictures of the finished bank.
    """

    format: Literal["artbank.album/1"] = "artbank.album/1"
    artworks: tuple[ShownArtwork, ...] = ()
    num_held_out: int = 0
    contents: dict[str, str] | None = None
    notes: tuple[Note, ...] = ()
    words: tuple[tuple[NearWord, ...], ...] = ()
    photos: tuple[Thumbnail, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    milestone_preset: str = ""
    samples: tuple[Sample, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the album as JSON."""
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Album:
        """Read an album, trusting nothing in it.

        Raises:
            BankError: It is none, of another version, or damaged.
        """
        try:
            return cls.model_validate_json(data)
        except (ValidationError, RecursionError) as error:
            fault = (
                error.errors(include_url=False, include_input=False)[0] if isinstance(error, ValidationError) else ""
            )
            raise BankError(f"expected an album of format artbank.album/1, found {fault or error}") from error


class Mount:
    """Makes the small pictures of an album, and keeps their files."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.files: dict[str, bytes] = {}

    def add(self, name: str, rgb: np.ndarray, text: str, *, longest_px: int) -> Thumbnail:
        """Shrink and encode a picture uint8 [H, W, 3].

        Args:
            name: Of its file, without folder and suffix.
            rgb: The picture.
            text: What it shows.
            longest_px: Long side that it is shrunk to.
        """
        small = _shrink(rgb, longest_px)
        file = f"album/{name}.webp"
        self.files[file] = encode(Picture(small), ".webp", quality=_QUALITY)
        return Thumbnail(file=file, text=text[:_LONGEST], width_px=small.shape[1], height_px=small.shape[0])

    def add_artworks(self, artworks: Sequence[Artwork], held_out: Iterable[str]) -> tuple[ShownArtwork, ...]:
        """Take up to `MOST_ARTWORKS` of a collection, evenly spread.

        Args:
            artworks: All that could be read.
            held_out: Keys of those that the bank does not learn from.
        """
        kept, shown = set(held_out), []
        for number, artwork in enumerate(_spread(artworks, MOST_ARTWORKS)):
            own = self.add(f"artwork-{number:02d}", artwork.picture, artwork.key, longest_px=_ARTWORK_PX)
            shown.append(
                ShownArtwork(**own.model_dump(), caption=artwork.caption, is_held_out=artwork.key in kept),
            )
        return tuple(shown)

    def add_cover(self, artwork: np.ndarray, picture: np.ndarray) -> None:
        """Put an artwork and a picture in its style side by side, cut square: what stands for a bank in an index."""
        halves = np.concatenate([_square(artwork, _COVER_PX), _square(picture, _COVER_PX)], axis=1)
        self.files[COVER] = encode(Picture(halves), ".webp", quality=_QUALITY)


def describe_contents(collection: Collection) -> dict[str, str] | None:
    """Return what each artwork of a collection is, see `Album.contents`."""
    if len(collection.artworks) > MOST_KEYS:
        return None
    return {
        stored.key: hashlib.sha256(f"{stored.size} {stored.etag}".encode()).hexdigest()[:12]
        for stored in collection.artworks
    }


def count_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[int, int, int]:
    """Return how many artworks were added, removed and changed between two contents."""
    both = before.keys() & after.keys()
    return len(after) - len(both), len(before) - len(both), sum(before[key] != after[key] for key in both)


def _spread(artworks: Sequence[Artwork], most: int) -> list[Artwork]:
    if len(artworks) <= most:
        return list(artworks)
    return [artworks[i * len(artworks) // most] for i in range(most)]


def _shrink(rgb: np.ndarray, longest_px: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = min(longest_px / max(height, width), 1.0)
    return resize(rgb, max(round(width * scale), 1), max(round(height * scale), 1))


def _square(rgb: np.ndarray, side_px: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = rgb[top : top + side, left : left + side]
    return resize(np.ascontiguousarray(cut), side_px, side_px)
