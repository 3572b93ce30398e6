"""Files that are refused: too large, too small, truncated, damaged, of other kinds; each refusal says which."""

from __future__ import annotations

import resource
import time
import zlib
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from artbank.errors import Failure, ImageError
from artbank.images.codec import decode
from tests.support.image_files import draw, png, save
from tests.support.paths import REAL_FILES

NASTY = REAL_FILES / "nasty"
LIMIT = 1_000_000
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest puts its filters over those of artbank


def refusal_of(data: bytes, max_pixels: int = LIMIT) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, max_pixels=max_pixels)
    assert caught.value.failure in get_args(Failure)
    return caught.value


def reason_of(data: bytes, max_pixels: int = LIMIT) -> str:
    return refusal_of(data, max_pixels).reason


def test_what_is_too_large_is_refused_before_it_is_decoded() -> None:
    data = png(65536, 65536, body=zlib.compress(bytes(99)))
    assert reason_of(data, 100_000_000) == (
        "image has 4 295 MP (65536 x 65536), more than the limit of 100 MP; raise max_megapixels to take it"
    )


def test_the_limit_may_be_raised_above_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)  # it warns above that, and refuses twice as much
    data = save(Image.new("1", (200, 100)), "TIFF", compression="group4")
    assert refusal_of(data, 19_999).failure == "too_large"
    assert decode(data, max_pixels=20_000).rgb.shape == (100, 200, 3)


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (65_536, 1)])
def test_what_is_too_small_is_refused(size: tuple[int, int]) -> None:
    refusal = refusal_of(save(Image.new("L", size), "PNG"))
    assert refusal.reason.startswith(f"too small: {size[0]} x {size[1]} px") and refusal.failure == "too_small"


@pytest.mark.parametrize(
    ("data", "words", "failure"),
    [
        (b"", "empty file", "unreadable"),
        (b"no picture at all", "not an image", "unsupported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS files cannot be read", "unsupported"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF file is", "unreadable"),
        (b"\xff\x0a" + b"\0" * 40, "JPEG XL files cannot be read", "unsupported"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 40, "JPEG XL files cannot be read", "unsupported"),
        (b"v/1\x01" + b"\0" * 40, "OpenEXR files cannot be read", "unsupported"),
        (b"8BPS\0\2" + b"\0" * 40, "large Photoshop files (PSB) cannot be read", "unsupported"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG files cannot be read", "unsupported"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "PNG file is", "unreadable"),
    ],
)
def test_a_refusal_says_what_the_file_is(data: bytes, words: str, failure: str) -> None:
    refusal = refusal_of(data)
    assert words in refusal.reason and refusal.failure == failure


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "TGA", "PPM"])
def test_half_a_file_is_refused_and_called_truncated(kind: str) -> None:
    data = save(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), kind)
    assert "truncated" in reason_of(data[: len(data) // 2])


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"GIF89a", b"BM"])
)
def test_rubbish_is_decoded_or_refused(body: bytes, start: bytes) -> None:
    try:
        assert decode(start + body, max_pixels=LIMIT).rgb.ndim == 3
    except ImageError as error:
        assert error.reason


SAMPLES = {
    kind: save(draw(), kind) for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "BMP", "JPEG2000", "TGA")
}


@given(
    st.sampled_from(sorted(SAMPLES)), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=9)
)
def test_damaged_files_are_decoded_or_refused(kind: str, damages: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLES[kind])
    for place, value in damages:
        data[place % len(data)] = value
    try:
        assert decode(bytes(data), max_pixels=LIMIT).rgb.dtype == np.uint8
    except ImageError as error:
        assert error.reason


@pytest.mark.skipif(not NASTY.is_dir(), reason=f"no sample files in {NASTY}")
def test_files_of_real_archives_are_decoded_or_refused_soon_and_in_little_memory() -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, slowest_seconds = [], 0.0
    paths = sorted(path for path in NASTY.rglob("*") if path.is_file())
    for path in paths:
        start = time.process_time()
        try:
            assert decode(path.read_bytes(), max_pixels=100_000_000).rgb.ndim == 3
        except ImageError as error:
            refused.append(path.name)
            assert error.reason
        slowest_seconds = max(slowest_seconds, time.process_time() - start)
    assert slowest_seconds < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 500_000
    assert len(paths) >= 100 and 30 <= len(refused) <= 45
