"""Marks and metadata of pictures, read back with Pillow and, where it is installed, exiftool."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from artbank.images import xmp_packets
from artbank.images.capture_dates import Moment
from artbank.images.codec import Picture, encode
from artbank.images.file_metadata import FileMetadata, is_marked, make_file_metadata, mark_only
from artbank.images.photo_metadata import read_photo_metadata
from artbank.parameters.stylize_recipe import Mark, Metadata
from tests.support.image_files import chunk, draw, heif, psd, save, with_chunks

MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
SUFFIXES = (".jpg", ".png", ".webp")
PICTURE = Picture(np.asarray(draw(width_px=64, height_px=48)))
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:RDF>
<rdf:Description rdf:about="" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"
  xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
  xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
  xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
  xmpRights:WebStatement="https://museum.example/rights" Iptc4xmpExt:DigitalSourceType="{source}" crs:Exposure2012="+1"
  plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED" exif:GPSLatitude="48,8.24N" photoshop:City="Wien"
  xmpMM:InstanceID="xmp.iid:1">
 <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Zoë 2024</rdf:li></rdf:Alt></dc:rights>
 <dc:creator><rdf:Seq><rdf:li>Zoë</rdf:li><rdf:li>葛飾</rdf:li></rdf:Seq></dc:creator>
 <dc:description><rdf:Alt><rdf:li xml:lang="x-default">A bridge</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def exif(**more: Any) -> bytes:
    """Return the Exif of a camera's photo, turned, with a thumbnail's worth of other tags."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0112], tags[0x0131] = "Maker", 6, "Software 1"
    tags[0x013B], tags[0x8298] = "Zo\u00eb; Max".encode(), "\u00a9 2024 Zo\u00eb".encode()
    taken = {0x9003: "2024:05:06 07:08:09", 0x9011: "+02:00", 0x9291: "12"}
    tags[0x8769] = {**taken, 0x829A: IFDRational(1, 125), 0x8827: 200, 0x927C: b"secret" * 9, 0xA002: 20}
    tags[0x8825] = {0: b"\2\3\0\0", 1: "N", 2: (48.0, 8.0, 14.5), 3: "E", 4: (11.0, 34.0, 31.0)}
    for tag, value in more.items():
        tags[int(tag[1:], 16)] = value
    return tags.tobytes()


def iptc(*datasets: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text for number, text in datasets)


def with_iptc(records: bytes) -> bytes:
    """Return a JPEG with IPTC records."""
    resource = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(records)) + records + b"\0" * (len(records) % 2)
    body = b"Photoshop 3.0\0" + resource
    jpeg = save(draw(), "JPEG")
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def make(data: bytes, *, mark: Mark = "iptc", metadata: Metadata = "copyright") -> FileMetadata:
    return make_file_metadata(read_photo_metadata(data, "photo"), mark=mark, metadata=metadata)


def write(metadata: FileMetadata, suffix: str = ".jpg") -> bytes:
    return encode(PICTURE, suffix, quality=90, metadata=metadata)


def xmp_of(data: bytes) -> dict[str, list[str]]:
    """Return the texts of a picture's properties, by their names without namespace."""
    packet = Image.open(io.BytesIO(data)).info.get("xmp", b"")
    properties = xmp_packets.read_packet(packet) if packet else {}
    return {name.partition("}")[2]: xmp_packets.texts_of(properties, name) for name in properties}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_mark_is_in_every_format_and_changes_no_pixel(suffix: str) -> None:
    marked, plain = write(mark_only(), suffix), write(FileMetadata(), suffix)
    assert xmp_of(marked) == {"DigitalSourceType": [MARK]}
    assert (is_marked(marked), is_marked(plain)) == (True, False)
    assert 400 < len(marked) - len(plain) < 600
    assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(data))) for data in (marked, plain)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_with_transparency_is_marked_too(suffix: str) -> None:
    clear = Picture(PICTURE.rgb, np.full(PICTURE.rgb.shape[:2], 100, np.uint8))
    assert is_marked(encode(clear, suffix, quality=90, metadata=mark_only()))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("metadata", ["keep", "copyright", "none"])
def test_the_same_photo_gives_the_same_bytes(suffix: str, metadata: Metadata) -> None:
    photo = save(draw(), "JPEG", exif=exif(), xmp=XMP.encode())
    assert write(make(photo, metadata=metadata), suffix) == write(make(photo, metadata=metadata), suffix)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exiftool_finds_mark_and_metadata_well_formed(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"picture{suffix}"
    file.write_bytes(write(make(save(draw(), "JPEG", exif=exif(), xmp=XMP.encode()), metadata="keep"), suffix))
    command = ["exiftool", "-json", "-G1", "-validate", "-warning", "-a", "-all", str(file)]
    [told] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert told["XMP-iptcExt:DigitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert told["IFD0:Copyright"] == "\u00a9 Zo\u00eb 2024"
    assert told["XMP-dc:Creator"] == ["Zo\u00eb", "\u845b\u98fe"]
    warnings = [text for name, text in told.items() if name.endswith("Warning")]
    assert all("Missing required" in text for text in warnings), warnings  # of a JPEG's Exif, such as its resolution


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_credits_of_exif_are_kept_and_the_place_only_on_request(kind: str) -> None:
    photo = save(draw(), kind, exif=exif(x013B="Zoe; Max", x8298="(c) Zoe"))  # Pillow writes some kinds as ASCII
    for metadata in ("copyright", "keep"):
        made = make(photo, metadata=metadata)
        picture = Image.open(io.BytesIO(write(made)))
        tags = picture.getexif()
        assert (tags[0x8298], tags[0x013B]) == ("(c) Zoe", "Zoe; Max")
        assert tags.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
        assert xmp_of(write(made))["DateCreated"] == ["2024-05-06T07:08:09.12+02:00"]
        assert xmp_of(write(made))["creator"] == ["Zoe", "Max"]
        is_whole = metadata == "keep"
        assert (bool(tags.get_ifd(0x8825)), 0x010F in tags, 0x829A in tags.get_ifd(0x8769)) == (is_whole,) * 3
        assert made.kept == ("copyright", "artist", "capture_date", *(("gps", "camera") if is_whole else ()))
        assert 0x0112 not in tags and 0x0131 not in tags, "the picture is upright, and of another program"
        assert 0x927C not in tags.get_ifd(0x8769) and b"secret" not in made.exif


def test_credits_in_utf_8_and_in_latin_1_are_read_alike() -> None:
    for encoding in ("utf-8", "latin-1"):
        photo = save(draw(), "JPEG", exif=exif(x8298="\u00a9 2024 Zo\u00eb".encode(encoding)))
        picture = write(make(photo))
        assert Image.open(io.BytesIO(picture)).getexif()[0x8298].encode("latin-1").decode() == "\u00a9 2024 Zo\u00eb"
        assert xmp_of(picture)["rights"] == ["\u00a9 2024 Zo\u00eb"]


def test_heic_photos_of_phones_keep_their_credits() -> None:
    assert make(heif(draw(), exif=exif())).kept == ("copyright", "artist", "capture_date")


def test_metadata_none_keeps_the_mark_alone_and_mark_none_nothing() -> None:
    photo = save(draw(), "JPEG", exif=exif())
    assert write(make(photo, metadata="none")) == write(mark_only())
    assert write(make(photo, mark="none", metadata="none")) == write(FileMetadata())
    assert "DigitalSourceType" not in xmp_of(write(make(photo, mark="none")))
    assert xmp_of(write(make(photo, mark="none")))["rights"] == ["\u00a9 2024 Zo\u00eb"]


def test_rights_in_xmp_are_kept_and_what_describes_the_file_is_not() -> None:
    photo = save(draw(), "JPEG", xmp=XMP.encode())
    found = xmp_of(write(make(photo)))
    assert found.keys() == {"DigitalSourceType", "rights", "creator", "WebStatement", "DataMining"}
    assert (found["rights"], found["creator"]) == (["\u00a9 Zo\u00eb 2024"], ["Zo\u00eb", "\u845b\u98fe"])
    whole = xmp_of(write(make(photo, metadata="keep")))
    assert whole.keys() == found.keys() | {"GPSLatitude", "City", "description"}
    assert make(photo, metadata="keep").kept == ("copyright", "artist", "rights", "gps", "description")


def test_credits_of_iptc_records_and_of_png_texts_are_kept() -> None:
    records = iptc((116, "\u00a9 A".encode()), (80, b"Ann"), (55, b"20240506"), (60, b"070809+0200"), (25, b"dog"))
    made = make(with_iptc(records))
    found = xmp_of(write(made))
    assert (found["rights"], found["creator"], found["DateCreated"]) == (
        ["\u00a9 A"],
        ["Ann"],
        ["2024-05-06T07:08:09+02:00"],
    )
    assert "subject" not in found
    assert xmp_of(write(make(with_iptc(records), metadata="keep")))["subject"] == ["dog"]
    texts = PngInfo()
    texts.add_text("Author", "Ann")
    texts.add_itxt("Copyright", "\u00a9 \u845b\u98fe")
    found = xmp_of(write(make(save(draw(), "PNG", pnginfo=texts))))
    assert (found["rights"], found["creator"]) == (["\u00a9 \u845b\u98fe"], ["Ann"])


def test_metadata_behind_the_pixels_of_a_png_is_found() -> None:
    plain = save(draw(), "PNG")
    late = plain[:-12] + chunk(b"eXIf", exif()[6:]) + plain[-12:]
    assert make(late).kept == ("copyright", "artist", "capture_date")


def test_resources_of_photoshop_documents_are_found() -> None:
    packet = XMP.encode()
    entry = b"8BIM" + struct.pack(">HHI", 1060, 0, len(packet)) + packet + b"\0" * (len(packet) % 2)
    for bits in (8, 16):
        assert "copyright" in make(psd(20, 12, resources=entry, bits=bits)).kept


@pytest.mark.parametrize("term", ["trainedAlgorithmicMedia", "digitalCapture"])
def test_a_source_type_of_the_photo_is_replaced_with_a_word(term: str) -> None:
    photo = save(draw(), "JPEG", xmp=XMP.replace("{source}", MARK.rpartition("/")[0] + "/" + term).encode())
    for metadata in ("keep", "copyright", "none"):
        made = make(photo, metadata=metadata)
        assert xmp_of(write(made))["DigitalSourceType"] == [MARK]
        assert made.photo_marks == (f"digital_source_type:{term}",)
        assert any(term in note and "replaced" in note for note in made.notes)
        left_out = make(photo, mark="none", metadata=metadata)
        assert "DigitalSourceType" not in xmp_of(write(left_out))
        assert any(term in note and "left out" in note for note in left_out.notes)


def test_a_photo_with_the_same_mark_needs_no_word() -> None:
    made = make(write(mark_only()))
    assert (made.photo_marks, made.notes) == (("digital_source_type:compositeWithTrainedAlgorithmicMedia",), ())


def with_c2pa(kind: str) -> bytes:
    """Return a file with the start of a C2PA manifest where the specification puts it."""
    box = struct.pack(">I4s", 60, b"jumb") + struct.pack(">I4s", 38, b"jumd") + b"c2pa\0\x11\0\x10c2pa\0" + bytes(31)
    data = heif(draw()) if kind == "HEIF" else save(draw(), kind)
    if kind == "JPEG":
        body = b"JP\0\1\0\0\0\1" + box
        return data[:2] + b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body + data[2:]
    if kind == "PNG":
        return with_chunks(data, chunk(b"caBX", box))
    if kind == "WEBP":
        more = b"C2PA" + struct.pack("<I", len(box)) + box
        return data[:4] + struct.pack("<I", len(data) - 8 + len(more)) + data[8:] + more
    if kind == "TIFF":
        tags = ImageFileDirectory_v2()
        tags[0xCD41] = box
        return save(draw(), "TIFF", tiffinfo=tags)
    return data + struct.pack(">I4s", 24 + len(box), b"uuid") + C2PA_UUID + box


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_c2pa_manifest_of_the_photo_is_told(kind: str) -> None:
    made = make(with_c2pa(kind))
    assert made.photo_marks == ("c2pa",)
    assert [note for note in made.notes if "C2PA" in note]
    assert make(heif(draw()) if kind == "HEIF" else save(draw(), kind)).photo_marks == ()


def test_iptc_records_and_chinas_label_are_told() -> None:
    photo = with_iptc(iptc((80, b"Ann")))
    assert (make(photo).photo_marks, len(make(photo).notes)) == (("iptc",), 1)
    label = XMP.replace("crs:Exposure2012", 'tc:AIGC="{}" xmlns:tc="http://www.tc260.org.cn/ns/AIGC/1.0/" crs:E')
    photo = save(draw(), "JPEG", xmp=label.replace("{source}", MARK).encode())
    assert "aigc" in make(photo).photo_marks and "AIGC" in xmp_of(write(make(photo)))
    assert any("AIGC" in note for note in make(photo, metadata="none").notes)


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta",
        b"\xff\xfe\xff\xff",
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>').encode("utf-16"),
        b"<x>" + b"<y>" * 200_000,
        b"<x>" + b" " * 2_000_000 + b"</x>",
    ],
)
def test_xmp_that_cannot_be_read_costs_no_picture_and_is_told(packet: bytes) -> None:
    photo = save(draw(), "WEBP", xmp=packet)
    made = make(photo)
    assert xmp_of(write(made)) == {"DigitalSourceType": [MARK]}
    assert made.notes == ("the photo's XMP metadata cannot be read, so it was left out",)


def test_damaged_exif_costs_no_picture() -> None:
    whole = exif()
    for cut in range(6, len(whole), 7):
        write(make(save(draw(), "JPEG", exif=whole[:cut]), metadata="keep"))
        torn = bytearray(whole)
        torn[cut] ^= 0xFF
        write(make(save(draw(), "JPEG", exif=bytes(torn)), metadata="keep"))


def test_metadata_without_room_in_a_picture_is_shortened_and_told() -> None:
    long = XMP.replace("A bridge", "A bridge. " * 9000)
    made = make(save(draw(), "WEBP", xmp=long.encode()), metadata="keep")
    assert xmp_of(write(made))["rights"] == ["\u00a9 Zo\u00eb 2024"]
    assert any("room" in note for note in made.notes)
    made = make(save(draw(), "WEBP", xmp=XMP.replace("\u00a9 Zo\u00eb 2024", "x" * 70_000).encode()))
    assert xmp_of(write(made))["DigitalSourceType"] == [MARK]


def test_texts_that_xml_cannot_hold_are_cleaned() -> None:
    made = make(save(draw(), "JPEG", exif=exif(x8298=b"a\x01b\x1bc")))
    assert xmp_of(write(made))["rights"] == ["abc"]


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024:05:06 07:08:09", "2024-05-06T07:08:09"),
        ("2024-05-06T07:08:09.5+02:00", "2024-05-06T07:08:09.5+02:00"),
        ("2024-05-06T07:08Z", "2024-05-06T07:08:00+00:00"),
        ("20240506", "2024-05-06"),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("yesterday", None),
    ],
)
def test_dates_are_read_in_all_notations(text: str, iso: str | None) -> None:
    found = Moment.parse(text)
    assert (found and found.iso) == iso


def test_files_that_are_no_images_have_no_metadata() -> None:
    for data in (b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, b"II*\0" + b"\xff" * 40):
        found = read_photo_metadata(data)
        assert (dict(found.xmp), found.iptc, found.has_c2pa) == ({}, {}, False)
