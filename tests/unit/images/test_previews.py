"""The picture of a file is read, not its preview; camera raw files are developed or named."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artbank.errors import ImageError
from artbank.images.codec import decode
from artbank.images.codec_jobs import DecodeOptions, decode_photo
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.images.tiff_pages import TiffPages
from tests.support.image_files import gray_tiff, previewed_tiff, raw, save, tiff_of

LIMIT = 10**6
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
PREVIEW = np.full((20, 30, 3), 90, np.uint8)
READING = DecodeOptions(LIMIT, "white", "working", 16, 8, 60)


@pytest.fixture
def no_rawpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extra `raw`."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "rawpy" else find(name, *rest))


def refusal_of(data: bytes, file_name: str = "") -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, max_pixels=LIMIT, file_name=file_name)
    return caught.value


def check(data: bytes) -> None:
    assert np.array_equal(decode(data, max_pixels=LIMIT).rgb, PICTURE)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_the_picture_in_a_sub_directory_is_read_and_not_the_preview_before_it(options: dict[str, Any]) -> None:
    check(previewed_tiff(PICTURE, PREVIEW, **options))


def _pages(*pages: tuple[np.ndarray, int], **options: Any) -> bytes:
    import io

    import tifffile

    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:
        for pixels, kind in pages:
            writer.write(pixels, photometric="rgb", subfiletype=kind, metadata=None)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_the_picture_on_a_later_page_is_read(options: dict[str, Any]) -> None:
    check(_pages((PREVIEW, 1), (PICTURE, 0), **options))
    check(_pages((PREVIEW, 1), (PREVIEW, 3), (PICTURE, 0), **options))


def test_the_first_page_stays_the_picture_if_it_is_whole() -> None:
    check(_pages((PICTURE, 0), (PREVIEW, 1)))
    check(_pages((PICTURE, 0), (np.zeros((80, 90, 3), np.uint8), 0)))
    check(_pages((PICTURE, 2), (PREVIEW, 2)))  # 2 is a page of a document


def test_the_older_tag_for_previews_is_known_too() -> None:
    preview = tiff_of(PREVIEW, extratags=[(255, "H", 1, 2, True)])
    assert "reduced-resolution preview" in refusal_of(preview).reason


def test_a_file_with_nothing_but_a_preview_is_refused() -> None:
    refusal = refusal_of(tiff_of(PREVIEW, subfiletype=1))
    assert refusal.failure == "unsupported" and "reduced-resolution preview" in refusal.reason


def test_a_picture_in_a_sub_directory_is_turned_as_the_first_page_says() -> None:
    data = previewed_tiff(PICTURE, PREVIEW)
    at = data.index(struct.pack("<HHI", 272, 2, 6))  # the camera's model makes room for an orientation
    turned = data[:at] + struct.pack("<HHIHH", 274, 3, 1, 6, 0) + data[at + 12 :]
    assert np.array_equal(decode(turned, max_pixels=LIMIT).rgb, np.rot90(PICTURE, -1))


def test_pages_that_refer_to_themselves_or_to_nothing_end_the_list() -> None:
    assert len(TiffPages(gray_tiff(16, 16, (330, 4, 1, 8))).pages) == 1
    assert TiffPages(b"II*\0\xff\xff\xff\xff").pages == []
    assert TiffPages(b"II*\0").pages == []


def test_a_camera_raw_file_is_developed_whole_and_its_preview_ignored() -> None:
    picture = decode(raw(), max_pixels=LIMIT).rgb
    assert picture.shape == (48, 64, 3)
    rows = picture[..., 1].mean(1)
    assert rows[-1] - rows[0] > 100  # the sensor saw a ramp; the preview is of one gray


@pytest.mark.usefixtures("no_rawpy")
@pytest.mark.parametrize(
    ("data", "file_name", "name"),
    [
        (raw(), "roll/DSC_0001.NEF", "NEF"),
        (raw(), "a.arw", "ARW"),
        (previewed_tiff(np.zeros((40, 60), np.uint16), PREVIEW, "cfa", make="SONY"), "", "ARW"),
        (previewed_tiff(np.zeros((40, 60), np.uint16), PREVIEW, "cfa", make="NIKON CORPORATION"), "a.tif", "NEF"),
        (raw(), "", "camera raw"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "", "CR2"),
        (b"\0\0\0\x18ftypcrx " + bytes(99), "a.cr3", "CR3"),
        (b"IIU\0\x08\0\0\0" + bytes(99), "", "RW2"),
        (b"IIRO\x08\0\0\0" + bytes(99), "", "ORF"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(99), "", "RAF"),
        (tiff_of(PREVIEW), "a.cr2", "CR2"),
    ],
)
def test_without_the_extra_a_camera_raw_file_is_named(data: bytes, file_name: str, name: str) -> None:
    refusal = refusal_of(data, file_name)
    assert refusal.failure == "unsupported"
    assert refusal.reason.startswith(f"{name} is a camera raw file; install the extra artbank[raw]")


def test_a_run_names_the_format_by_the_name_of_the_photo(no_rawpy: None) -> None:
    with pytest.raises(ImageError, match="NRW is a camera raw file"):
        decode_photo("roll/a.nrw", raw(), READING)


def test_a_camera_that_libraw_does_not_know_is_named_too() -> None:
    refusal = refusal_of(b"II*\0\x10\0\0\0CR\x02\0" + bytes(99))
    assert refusal.failure == "unsupported" and "CR2 is a camera raw file of a kind" in refusal.reason


def test_a_raw_suffix_alone_makes_no_raw_file(tmp_path: Path) -> None:
    image = save(decode_image(), "PNG")
    assert np.array_equal(decode(image, max_pixels=LIMIT, file_name="a.nef").rgb, PICTURE)
    whole = _pages((PREVIEW, 1), (PICTURE, 0))
    assert np.array_equal(decode(whole, max_pixels=LIMIT, file_name="a.dng").rgb, PICTURE)


def decode_image() -> Any:
    from PIL import Image

    return Image.fromarray(PICTURE)


def test_galleries_list_raw_and_heic_files_as_artworks() -> None:
    assert {".nef", ".dng", ".cr2", ".cr3", ".arw", ".heic", ".hif", ".jxl"} <= IMAGE_SUFFIXES
