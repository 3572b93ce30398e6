"""The metadata of a picture's file: the mark that a model drew it, and what is kept of its photo's metadata.

The same photo and settings give the same bytes: nothing here depends on the time or on artbank's version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from artbank.images import xmp_packets
from artbank.images.capture_dates import Moment
from artbank.images.credits import Credits
from artbank.images.exif_tags import build_exif
from artbank.images.kept_properties import choose_properties, find_credits
from artbank.images.photo_metadata import PhotoMetadata, read_photo_metadata
from artbank.images.xmp_packets import COMPOSITE, SOURCE_TYPE
from artbank.parameters.stylize_recipe import Mark, Metadata

_MAX_BYTES = 60_000  # a JPEG has room for 65,000 bytes of each kind
_IPTC_NOTES: dict[Metadata, str] = {
    "keep": "the photo's IPTC record was rewritten as XMP",
    "copyright": "the photo's IPTC record was left out, but for copyright, artist and capture date",
    "none": "the photo's IPTC record was left out",
}
_AIGC = "AIGC"  # the label of GB 45438, a property of XMP


@dataclass(frozen=True)
class FileMetadata:
    """The metadata in a picture's file.

    Attributes:
        exif: As in a JPEG; empty for none.
        xmp: A packet; empty for none.
        kept: What of the photo's metadata it holds: `copyright`, `artist`, `capture_date`, `rights`, `gps`, `camera`,
            `description`.
        photo_marks: Marks of provenance in the photo itself: `c2pa`, `digital_source_type:TERM`, `iptc`, `aigc`.
        notes: Sentences about marks and metadata of the photo that were left out or replaced.
    """

    exif: bytes = b""
    xmp: bytes = b""
    kept: tuple[str, ...] = ()
    photo_marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


PLAIN = FileMetadata()
"""No metadata at all."""


def mark_only() -> FileMetadata:
    """Return the metadata of a picture without a photo: the mark."""
    return FileMetadata(xmp=xmp_packets.write_packet([xmp_packets.mark()]))


def is_marked(data: bytes) -> bool:
    """Return whether the file of a picture carries the mark."""
    return _source_type(read_photo_metadata(data)) == COMPOSITE


def make_file_metadata(photo: PhotoMetadata, *, mark: Mark, metadata: Metadata) -> FileMetadata:
    """Return the metadata of a picture that is drawn from a photo; never raises for what a photo contains.

    Args:
        photo: The photo's metadata, from `read_photo_metadata`.
        mark: The mark to write.
        metadata: What to keep of the photo's metadata.
    """
    notes = _describe_marks(photo, mark, metadata)
    mark_elements = [xmp_packets.mark()] if mark == "iptc" else []
    if metadata == "none":
        return FileMetadata(b"", _pack(mark_elements), (), tuple(_name_marks(photo)), tuple(notes))
    notes += [f"the photo's {kind} metadata cannot be read, so it was left out" for kind in photo.unreadable]
    credit = find_credits(photo)
    kept = _fit(photo, credit, mark_elements, metadata)
    if kept is None:
        notes.append("some of the photo's metadata was left out: it is more than a picture's file has room for")
        kept = _fit(PhotoMetadata(), _shorten(credit), mark_elements, "copyright") or _Kept(
            b"", _pack(mark_elements), ()
        )
    return FileMetadata(kept.exif, kept.xmp, kept.names, tuple(_name_marks(photo)), tuple(notes))


@dataclass(frozen=True)
class _Kept:
    exif: bytes
    xmp: bytes
    names: tuple[str, ...]


def _fit(photo: PhotoMetadata, credit: Credits, mark_elements: Sequence[Element], metadata: Metadata) -> _Kept | None:
    """Return Exif and XMP with what is kept; None if they do not fit."""
    exif, exif_names = build_exif(photo.exif, credit, with_all=metadata == "keep")
    properties, names = choose_properties(photo, credit, with_all=metadata == "keep")
    packet = _pack([*properties, *mark_elements])
    if max(len(exif), len(packet)) > _MAX_BYTES:
        return None
    return _Kept(exif, packet, tuple(dict.fromkeys((*credit.names, *names, *exif_names))))


def _shorten(credit: Credits) -> Credits:
    """Return credits of a length that fits anywhere."""
    moment: Moment | None = credit.captured
    return Credits(credit.copyright[:2000], tuple(name[:200] for name in credit.artists[:20]), moment)


def _pack(properties: Sequence[Element]) -> bytes:
    return xmp_packets.write_packet(properties) if properties else b""


def _name_marks(photo: PhotoMetadata) -> list[str]:
    names = ["c2pa"] if photo.has_c2pa else []
    if (term := _source_type(photo)) is not None:
        names.append(f"digital_source_type:{term}")
    if photo.iptc:
        names.append("iptc")
    if _has_aigc(photo):
        names.append("aigc")
    return names


def _describe_marks(photo: PhotoMetadata, mark: Mark, metadata: Metadata) -> list[str]:
    """Return a sentence for each mark of the photo that its picture does not have."""
    notes = []
    if photo.has_c2pa:
        notes.append("the photo's C2PA manifest was left out: it vouches for the photo's own bytes")
    term = _source_type(photo)
    if term is not None and mark == "none":
        notes.append(f"the photo's digital source type, {term}, was left out")
    elif term not in (None, COMPOSITE):
        notes.append(f"the photo's digital source type, {term}, was replaced by {COMPOSITE}")
    if photo.iptc:
        notes.append(_IPTC_NOTES[metadata])
    if _has_aigc(photo) and metadata == "none":
        notes.append("the photo's AIGC label was left out")
    return notes


def _source_type(photo: PhotoMetadata) -> str | None:
    """Return the term of the photo's digital source type; None without one."""
    texts = xmp_packets.texts_of(photo.xmp, SOURCE_TYPE)
    if not texts:
        return None
    term = texts[0].rstrip("/").rpartition("/")[2]
    return term if term.isascii() and term.isalnum() and len(term) <= 64 else "of an unknown term"


def _has_aigc(photo: PhotoMetadata) -> bool:
    return any(name.endswith(f"}}{_AIGC}") for name in photo.xmp)
