"""The album of a bank: small pictures and facts for the bank's page that are not in the catalog.

banks/<collection>/<bank_id>/album.json          an `Album`
                             album/*.webp        its pictures
                             album/cover.webp    an artwork beside a picture in its style

With an album, a page can be written again without the base model. Banks of older versions have no album.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artbank.errors import BankError

ALBUM = "album.json"
COVER = "album/cover.webp"
MOST_ARTWORKS = 24
"""The most artworks that a page shows."""
MOST_KEYS = 5000
"""Albums of larger collections do not hold the contents of each artwork."""

MOST_NAMED = 100
"""The most keys in one note."""
LONGEST_TEXT = 500
"""The most characters of a key or caption."""

_EXPECTED = "expected an album of format artbank.album/1"
_WHAT_TO_DO = "restore the file, or delete it to have a page without pictures"

Score = Annotated[float, Field(allow_inf_nan=False)] | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Thumbnail(_Part):
    """A small picture: its file below the bank's folder, a text about it, and its size."""

    file: str = Field(pattern=r"^album/[a-z0-9-]+\.webp$")
    text: str
    width_px: int = Field(ge=1, le=4096)
    height_px: int = Field(ge=1, le=4096)


class ShownArtwork(Thumbnail):
    """An artwork of the collection, with its caption if it has one; the bank did not learn from held-out artworks."""

    caption: str | None = None
    is_held_out: bool = False


class Sample(_Part):
    """A drawn photograph, and the picture that the finished bank made of it with the default recipe."""

    photo: Thumbnail
    picture: Thumbnail
    clip_style: Score = None
    clip_style_floor: Score = None


class Milestone(_Part):
    """Pictures that the bank made of the album's photographs after `step` steps, with their mean `clip_style`."""

    step: int = Field(ge=0)
    pictures: tuple[Thumbnail, ...]
    clip_style: Score = None


class NearWord(_Part):
    """A word of the base model's vocabulary, and its cosine with a vector of the bank."""

    text: str
    cosine: float = Field(ge=-1, le=1)


class Note(_Part):
    """A finding of the collection doctor about `num_keys` artworks; `keys` names the first of them."""

    kind: str
    message: str
    keys: tuple[str, ...] = ()
    num_keys: int = Field(default=0, ge=0)


class Album(_Part):
    """The album of one bank.

    Attributes:
        artworks: Up to `MOST_ARTWORKS`, evenly spread over the collection.
        num_held_out: Number of artworks that the bank did not learn from.
        contents: Hash of each artwork, 12 hex digits, by key; None if there were more than `MOST_KEYS`.
        notes: Findings of the collection doctor.
        words: The nearest words to each of the bank's vectors.
        photos: The drawn photographs of the milestones.
        milestones: Pictures of the bank during training; the milestone at the best step shows the finished bank.
        milestone_preset: Preset of the recipe for the milestones.
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
            BankError: The data is no album, has another format, or is damaged.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]
            raise BankError(f"{_EXPECTED}, found {reason}; {_WHAT_TO_DO}") from error
        except RecursionError as error:
            raise BankError(f"{_EXPECTED}, found JSON that is nested too deeply; {_WHAT_TO_DO}") from error


def count_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[int, int, int]:
    """Return the numbers of artworks that were added, removed and changed between two `Album.contents`."""
    both = before.keys() & after.keys()
    num_added = len(after) - len(both)
    num_removed = len(before) - len(both)
    num_changed = sum(before[key] != after[key] for key in both)
    return num_added, num_removed, num_changed
