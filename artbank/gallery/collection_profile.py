"""The facts of a collection that its registration needs after the training; no artwork at its full size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from artbank.catalog.album import ShownArtwork
from artbank.gallery.album_pictures import AlbumWriter, describe_contents
from artbank.gallery.collections import Artwork, Collection
from artbank.gallery.findings import Finding
from artbank.images.codec import resize
from artbank.images.palette import Palette
from artbank.scoring.clip import Scorer
from artbank.scoring.style_model import StyleModel
from artbank.scoring.style_reference import StyleReference, measure_reference

_NUM_PREVIEWED = 6  # artworks in the preview of a bank
_PREVIEW_PX = 512  # their short side


@dataclass(frozen=True)
class CollectionProfile:
    """A collection as its bank's files and pages show it.

    Attributes:
        num_artworks: Number of artworks that could be read.
        reference: The artworks as the scorer sees them.
        previewed: A few of the artworks, uint8 [H, W, 3], for the preview.
        findings: Findings of the collection doctor, and files that could not be read.
        album_writer: Holds the pictures of the bank's album.
        shown_artworks: The artworks in the album.
        num_held_out: Number of artworks that the bank does not learn from.
        contents: See `Album.contents`.
    """

    num_artworks: int
    reference: StyleReference
    previewed: Sequence[np.ndarray]
    findings: Sequence[Finding]
    album_writer: AlbumWriter
    shown_artworks: tuple[ShownArtwork, ...]
    num_held_out: int
    contents: dict[str, str] | None

    @property
    def warnings(self) -> list[str]:
        """The findings as sentences."""
        return [finding.message for finding in self.findings]


def make_profile(
    scorer: Scorer,
    collection: Collection,
    artworks: Sequence[Artwork],
    learned: Sequence[Artwork],
    held_out: Sequence[Artwork],
    findings: Sequence[Finding],
    style_model: StyleModel | None,
    texture_px: int | None,
) -> CollectionProfile:
    """Measure a collection, and shrink the pictures that are shown of it.

    Args:
        scorer: Measures the style reference.
        collection: The collection.
        artworks: The artworks that could be read.
        learned: The artworks that the bank learns from.
        held_out: The other artworks.
        findings: Findings of the collection doctor, and files that could not be read.
        style_model: Measures the reference of `csd_style`; None for none.
        texture_px: Short side at which the artworks' textures are seen, px; None for no textures.
    """
    album_writer = AlbumWriter()
    shown_artworks = album_writer.add_artworks(artworks, [artwork.key for artwork in held_out])
    return CollectionProfile(
        num_artworks=len(artworks),
        reference=measure_reference(
            scorer,
            collection.name,
            [artwork.picture for artwork in learned],
            [artwork.picture for artwork in held_out],
            display_name=collection.display_name,
            style_model=style_model,
            texture_px=texture_px,
            palette=Palette.average([artwork.colours for artwork in learned]),
        ),
        previewed=[_shrink(artwork.picture) for artwork in learned[:_NUM_PREVIEWED]],
        findings=findings,
        album_writer=album_writer,
        shown_artworks=shown_artworks,
        num_held_out=len(held_out),
        contents=describe_contents(collection),
    )


def _shrink(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(_PREVIEW_PX / min(height, width), 1.0)
    return resize(picture, max(round(width * scale), 1), max(round(height * scale), 1))
