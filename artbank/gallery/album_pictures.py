"""Make the small pictures and the notes of a bank's album."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from artbank.catalog.album import (
    COVER,
    LONGEST_TEXT,
    MOST_ARTWORKS,
    MOST_KEYS,
    MOST_NAMED,
    Note,
    ShownArtwork,
    Thumbnail,
)
from artbank.gallery.collections import Artwork, Collection
from artbank.gallery.findings import Finding
from artbank.images.codec import Picture, encode, resize
from artbank.images.file_metadata import PLAIN, mark_only
from artbank.runtime.hashing import short_hash

_ARTWORK_PX = 280  # long side
_COVER_PX = 160  # side of each half
_QUALITY = 80


class AlbumWriter:
    """Makes the small pictures of an album, and keeps them by the names of their files."""

    def __init__(self) -> None:
        """Start without a picture."""
        self.files: dict[str, bytes] = {}

    def add(self, name: str, rgb: np.ndarray, text: str, *, longest_px: int, is_drawn: bool = False) -> Thumbnail:
        """Shrink and encode a picture uint8 [H, W, 3].

        Args:
            name: Name of its file, without folder and suffix.
            rgb: The picture.
            text: A text about the picture.
            longest_px: The most that its long side may have.
            is_drawn: Whether a model drew it; its file is then marked so.
        """
        small = _shrink(rgb, longest_px)
        file = f"album/{name}.webp"
        metadata = mark_only() if is_drawn else PLAIN
        self.files[file] = encode(Picture(small), ".webp", quality=_QUALITY, metadata=metadata)
        return Thumbnail(file=file, text=text[:LONGEST_TEXT], width_px=small.shape[1], height_px=small.shape[0])

    def add_artworks(self, artworks: Sequence[Artwork], held_out: Iterable[str]) -> tuple[ShownArtwork, ...]:
        """Add up to `MOST_ARTWORKS` artworks of a collection, evenly spread.

        Args:
            artworks: The artworks that could be read.
            held_out: Keys of the artworks that the bank does not learn from.
        """
        held_out_keys = set(held_out)
        shown = []
        for number, artwork in enumerate(_spread(artworks, MOST_ARTWORKS)):
            added = self.add(f"artwork-{number:02d}", artwork.picture, artwork.key, longest_px=_ARTWORK_PX)
            is_held_out = artwork.key in held_out_keys
            shown.append(ShownArtwork(**added.model_dump(), caption=artwork.caption, is_held_out=is_held_out))
        return tuple(shown)

    def add_cover(self, artwork: np.ndarray, picture: np.ndarray) -> None:
        """Add the cover, which the index of the banks shows: an artwork beside a picture in its style, cut square."""
        halves = np.concatenate([_square(artwork), _square(picture)], axis=1)
        self.files[COVER] = encode(Picture(halves), ".webp", quality=_QUALITY, metadata=mark_only())


def describe_contents(collection: Collection) -> dict[str, str] | None:
    """Return `Album.contents` of a collection: a hash of each artwork by key, or None if it is too large."""
    if len(collection.artworks) > MOST_KEYS:
        return None
    return {stored.key: short_hash(f"{stored.size} {stored.etag}", 12) for stored in collection.artworks}


def _spread(artworks: Sequence[Artwork], most: int) -> list[Artwork]:
    if len(artworks) <= most:
        return list(artworks)
    return [artworks[i * len(artworks) // most] for i in range(most)]


def _shrink(rgb: np.ndarray, longest_px: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = min(longest_px / max(height, width), 1.0)
    return resize(rgb, max(round(width * scale), 1), max(round(height * scale), 1))


def _square(rgb: np.ndarray) -> np.ndarray:
    """Return the middle of a picture as one half of a cover."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    top = (height - side) // 2
    left = (width - side) // 2
    cut = rgb[top : top + side, left : left + side]
    return resize(np.ascontiguousarray(cut), _COVER_PX, _COVER_PX)


def to_note(finding: Finding) -> Note:
    """Return a finding of the collection doctor as a note of an album."""
    first_keys = tuple(key[:LONGEST_TEXT] for key in finding.keys[:MOST_NAMED])
    return Note(kind=finding.kind, message=finding.message, keys=first_keys, num_keys=len(finding.keys))
