"""What is kept of a bank for its page: small pictures, and what the catalog does not tell.

banks/<collection>/<bank_id>/album.json          an `Album`
                             album/*.webp        its pictures
                             album/cover.webp    an artwork beside a picture in its style

It is data, so that a page can be written anew without the base model. Banks of older versions have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artbank.errors import BankError

ALBUM = "album.json"
COVER = "album/cover.webp"
MOST_ARTWORKS = 24
"""Artworks that a page shows."""
MOST_KEYS = 5000
"""Artworks of a collection above which an album does not hold what each was."""

MOST_NAMED = 100
"""Keys of one finding."""
LONGEST_TEXT = 500
"""Characters of a key or caption."""

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


def count_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[int, int, int]:
    """Return how many artworks were added, removed and changed between two contents."""
    both = before.keys() & after.keys()
    return len(after) - len(both), len(before) - len(both), sum(before[key] != after[key] for key in both)
