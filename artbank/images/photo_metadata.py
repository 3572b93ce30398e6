"""Read the metadata of an image file: Exif, XMP, IPTC records, texts of PNG, and whether it has a C2PA manifest.

No picture is decoded. Files are untrusted input: metadata that cannot be read counts as absent, and is reported.

Source: C2PA specification, "Embedding manifests into various file formats", for the places of manifests; IIM 4.2 for
IPTC records; PNG specification, third edition, for chunks.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from xml.etree.ElementTree import Element

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from artbank.images.deep_files import DeepPsdFile
from artbank.images.opening import open_image
from artbank.images.raw_files import name_raw_format
from artbank.images.xmp_packets import DCTERMS, read_packet

T = TypeVar("T")

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_XMP, _TIFF_IPTC, _TIFF_C2PA = 700, 33723, 0xCD41
_PSD_IPTC, _PSD_EXIF, _PSD_XMP = 1028, 1058, 1060
_PNG_START = b"\x89PNG\r\n\x1a\n"
_C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_ENCODING = (1, 90)
_IPTC_MARKER, _IPTC_MAX_BYTES = 0x1C, 32_767
_PROVENANCE = f"{{{DCTERMS}}}provenance"  # the address of a C2PA manifest that lies elsewhere


@dataclass(frozen=True)
class PhotoMetadata:
    """The metadata of an image file.

    Attributes:
        exif: Its Exif.
        xmp: The properties of its XMP, by name; see `xmp_packets`.
        iptc: Its IPTC records (IIM): texts by number of record and dataset.
        texts: The texts of a PNG, by keyword in lower case.
        has_c2pa: Whether it has, or names, a C2PA manifest.
        unreadable: The kinds of metadata that it has and that cannot be read.
    """

    exif: Image.Exif = field(default_factory=Image.Exif)
    xmp: Mapping[str, Element] = field(default_factory=dict)
    iptc: Mapping[tuple[int, int], list[str]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    has_c2pa: bool = False
    unreadable: tuple[str, ...] = ()


def read_photo_metadata(data: bytes, file_name: str = "") -> PhotoMetadata:
    """Return the metadata of an image file; of a file that cannot be opened none.

    Args:
        data: Content of the file.
        file_name: Its name; it only helps to name the format of a camera raw file.
    """
    unreadable: list[str] = []

    def attempt(kind: str, read: Callable[[], T], default: T) -> T:
        try:
            return read()
        except Exception:  # Pillow's readers raise almost any exception on damaged metadata
            unreadable.append(kind)
            return default

    image = _open(data, file_name)
    resources = _photoshop_resources(image)
    exif = attempt("Exif", lambda: _read_exif(data, image, resources), Image.Exif())
    packet = attempt("XMP", lambda: _find_xmp(image, exif, resources), b"")
    xmp = attempt("XMP", lambda: read_packet(packet) if packet else {}, {})
    iptc = attempt("IPTC", lambda: _read_iptc(image, exif, resources), {})
    texts = _read_texts(image)
    has_c2pa = attempt("C2PA", lambda: _has_manifest(data, image, exif), False) or _PROVENANCE in xmp
    return PhotoMetadata(exif, xmp, iptc, texts, has_c2pa, tuple(unreadable))


def _open(data: bytes, file_name: str) -> Image.Image | None:
    """Open a file; None if it cannot be opened, or is a camera raw file, which takes a moment and tells no more."""
    try:
        if data.startswith(_PNG_START):
            return PngImageFile(io.BytesIO(_without_pixels(data)))
        return None if name_raw_format(data, file_name) else open_image(data, file_name)
    except Exception:  # the picture itself tells what is wrong
        return None


def _without_pixels(data: bytes) -> bytes:
    """Return a PNG with its pixels left out, so that Pillow finds the chunks behind them without decoding."""
    chunks = [data[at:end] for name, at, end in _png_chunks(data) if name not in (b"IDAT", b"fdAT", b"IEND")]
    return b"".join([_PNG_START, *chunks, b"\0\0\0\0IDAT\x35\xaf\x06\x1e", b"\0\0\0\0IEND\xaeB`\x82"])


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk."""
    at = len(_PNG_START)
    while at + 12 <= len(data):
        [size] = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], at, at + 12 + size
        at += 12 + size


def _photoshop_resources(image: Image.Image | None) -> dict[int, bytes]:
    inner: Any = image.inner if isinstance(image, DeepPsdFile) else image
    return {number: data for number, _, data in getattr(inner, "resources", ())}


def _read_exif(data: bytes, image: Image.Image | None, resources: Mapping[int, bytes]) -> Image.Exif:
    exif = Image.Exif()
    if data.startswith(_TIFF_STARTS):
        exif.load(data)  # the tags of the first page, which is not always the one with the picture
    elif _PSD_EXIF in resources:
        exif.load(resources[_PSD_EXIF])
    elif image is not None:
        return Image.Image.getexif(image)  # PngImageFile.getexif would decode the picture, of any size
    return exif


def _read_texts(image: Image.Image | None) -> dict[str, str]:
    if image is None or image.format != "PNG":
        return {}
    return {str(key).lower(): str(text) for key, text in image.info.items() if isinstance(text, str)}


def _find_xmp(image: Image.Image | None, exif: Image.Exif, resources: Mapping[int, bytes]) -> bytes:
    packet = resources.get(_PSD_XMP) or exif.get(_TIFF_XMP)
    if not packet and image is not None:
        packet = image.info.get("xmp")
    if isinstance(packet, tuple):  # of a TIFF that calls its bytes numbers
        return bytes(packet)
    return packet.encode() if isinstance(packet, str) else packet or b""


def _read_iptc(
    image: Image.Image | None, exif: Image.Exif, resources: Mapping[int, bytes]
) -> dict[tuple[int, int], list[str]]:
    records = resources.get(_PSD_IPTC) or exif.get(_TIFF_IPTC)
    if records is None and image is not None:
        photoshop = image.info.get("photoshop")
        records = photoshop.get(_PSD_IPTC) if isinstance(photoshop, dict) else None
    raw_values: dict[tuple[int, int], list[bytes]] = {}
    for dataset, value in _iptc_datasets(_to_bytes(records or b"")):
        raw_values.setdefault(dataset, []).append(value)
    is_utf8 = b"\x1b%G" in raw_values.pop(_ENCODING, [])
    return {dataset: [_decode(value, is_utf8) for value in values] for dataset, values in raw_values.items()}


def _iptc_datasets(records: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield numbers and content of datasets, up to the first that is longer than 32 kB."""
    at = 0
    while at + 5 <= len(records) and records[at] == _IPTC_MARKER:
        size = int.from_bytes(records[at + 3 : at + 5], "big")
        if size > _IPTC_MAX_BYTES:
            raise ValueError(f"expected a dataset of at most {_IPTC_MAX_BYTES:,} bytes, found a longer one")
        yield (records[at + 1], records[at + 2]), records[at + 5 : at + 5 + size]
        at += 5 + size


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, tuple):  # of TIFFs that call the bytes of their records numbers of 32 bits
        return struct.pack(f"<{len(value)}I", *value)
    return value


def _decode(data: bytes, is_utf8: bool) -> str:
    try:
        return data.decode("utf-8").strip(" \0")
    except UnicodeDecodeError:
        return data.decode("utf-8" if is_utf8 else "latin-1", "replace").strip(" \0")


def _has_manifest(data: bytes, image: Image.Image | None, exif: Image.Exif) -> bool:
    """Return whether a file holds a C2PA manifest, without checking its signature."""
    kind = image.format if image is not None else None
    known: Any = image
    if kind in ("JPEG", "MPO"):
        return any(name == "APP11" and b"c2pa" in segment[:64] for name, segment in known.applist)
    if kind == "PNG":
        return any(name == b"caBX" for name, _, _ in _png_chunks(data))
    if kind == "WEBP":
        return any(name == b"C2PA" for name in _riff_chunks(data))
    if kind in ("HEIF", "AVIF", "JPEG2000") or data[4:8] == b"ftyp":
        return any(box == _C2PA_BOX for box in _uuid_boxes(data))
    return _TIFF_C2PA in exif or (kind == "GIF" and b"C2PA_GIF" in data)


def _riff_chunks(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        [size] = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4]
        at += 8 + size + size % 2


def _uuid_boxes(data: bytes) -> Iterator[bytes]:
    """Yield the types of the `uuid` boxes at the top of an ISO media file."""
    at = 0
    while at + 24 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1:
            [size] = struct.unpack_from(">Q", data, at + 8)
        if kind == b"uuid":
            yield data[at + 8 : at + 24]
        if size < 8:
            return
        at += size
