"""Make the small pictures of a bank's album."""

from __future__ import annotations

import hashlib
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
from artbank.gallery.collections import Artwork, Collection, Finding
from artbank.images.codec import Picture, encode, resize

_ARTWORK_PX, _COVER_PX, _QUALITY = 280, 160, 80


class AlbumWriter:
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
        return Thumbnail(file=file, text=text[:LONGEST_TEXT], width_px=small.shape[1], height_px=small.shape[0])

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


def to_note(finding: Finding) -> Note:
    """Return a finding of the collection's doctor as an album keeps it."""
    named = tuple(key[:LONGEST_TEXT] for key in finding.keys[:MOST_NAMED])
    return Note(kind=finding.kind, message=finding.message, keys=named, num_keys=len(finding.keys))
