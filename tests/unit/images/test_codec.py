from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from artbank.errors import ImageError
from artbank.images.codec import Picture, decode, encode, read_camera, resize
from artbank.images.suffixes import WRITTEN_SUFFIXES

LIMIT = 1_000_000
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest puts its filters over those of artbank
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}
"""What EXIF's eight orientations ask for, from its table of rows and columns."""


def draw(height: int = 24, width: int = 32) -> np.ndarray:
    """A picture whose corners differ: red grows to the right, green downwards."""
    rgb = np.full((height, width, 3), 40, np.uint8)
    rgb[..., 0] = np.linspace(0, 255, width)
    rgb[..., 1] = np.linspace(0, 255, height)[:, None]
    return rgb


def draw_palette() -> Image.Image:
    image = Image.new("P", (9, 8), 3)
    image.putpalette(bytes(range(12)))
    return image


def save(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "TGA", "PPM", "JPEG2000"])
def test_lossless_formats_come_back_as_they_were(kind: str) -> None:
    picture = decode(save(draw(), kind), max_pixels=LIMIT)
    assert np.array_equal(picture.rgb, draw()) and picture.alpha is None


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_come_back_nearly(kind: str) -> None:
    rgb = decode(save(draw(), kind, quality=95), max_pixels=LIMIT).rgb
    assert np.abs(rgb.astype(int) - draw()).mean() < 4


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_pictures_are_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    rgb = decode(save(draw(), kind, exif=exif, **options), max_pixels=LIMIT).rgb
    assert np.array_equal(rgb, TURNS[orientation](draw()))


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0rubbish", b"\0" * 20])
def test_broken_exif_costs_no_picture(exif: bytes) -> None:
    assert decode(save(draw(), "JPEG", exif=exif), max_pixels=LIMIT).rgb.shape == (24, 32, 3)


def test_pillows_warnings_of_odd_metadata_reach_nobody(tmp_path: Path) -> None:
    path = tmp_path / "odd.jpg"
    path.write_bytes(save(draw(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"))
    program = f"from artbank.images.codec import decode; decode(open({str(path)!r}, 'rb').read(), max_pixels=9999)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_transparency_is_laid_on_white() -> None:
    pixels = np.dstack([np.zeros((8, 9, 3), np.uint8), np.full((8, 9), 51, np.uint8)])
    pixels[0, 0, 3] = 0
    picture = decode(save(pixels), max_pixels=LIMIT)
    assert picture.rgb[0, 0].tolist() == [255] * 3 and picture.rgb[1, 1].tolist() == [204] * 3
    assert picture.alpha is None


def test_transparency_is_kept_where_asked_and_what_it_hid_stays_hidden() -> None:
    pixels = np.dstack([draw(), np.full((24, 32), 128, np.uint8)])
    pixels[0, :, 3] = 0
    picture = decode(save(pixels), max_pixels=LIMIT, alpha="keep")
    assert picture.alpha is not None and np.array_equal(picture.alpha, pixels[..., 3])
    assert np.array_equal(picture.rgb[1:], draw()[1:]) and (picture.rgb[0] == 255).all()


def test_an_opaque_alpha_channel_is_no_transparency() -> None:
    pixels = np.dstack([draw(), np.full((24, 32), 255, np.uint8)])
    assert decode(save(pixels), max_pixels=LIMIT, alpha="keep").alpha is None


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (draw_palette(), {"transparency": 3}),
        (draw_palette(), {"transparency": bytes([255, 255, 255, 0])}),
        (Image.new("L", (9, 8), 7), {"transparency": 7}),
        (Image.new("RGB", (9, 8), (7, 8, 9)), {"transparency": (7, 8, 9)}),
        (Image.new("LA", (9, 8), (0, 0)), {}),
        (Image.new("1", (9, 8), 0), {"transparency": 0}),
    ],
)
def test_every_kind_of_transparency_is_seen(image: Image.Image, options: dict[str, Any]) -> None:
    picture = decode(save(image, **options), max_pixels=LIMIT, alpha="keep")
    assert picture.alpha is not None and not picture.alpha.any()


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data, max_pixels=LIMIT).rgb == [255, 0, 0]).all()


@pytest.mark.parametrize("white", [255, 1023, 4095, 65535])
def test_deep_gray_is_scaled_to_its_own_white(white: int) -> None:
    levels = np.linspace(0, white, 64).astype(np.uint16).reshape(8, 8)
    gray = decode(save(levels, "TIFF"), max_pixels=LIMIT).rgb[..., 0]
    assert np.abs(gray.ravel() - np.linspace(0, 255, 64)).max() <= 1.5


def test_deep_gray_png_is_not_clipped() -> None:
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    gray = decode(save(levels), max_pixels=LIMIT).rgb[..., 0]
    assert np.abs(gray.ravel() - np.linspace(0, 255, 64)).max() <= 1


def test_deep_gray_tiff_whose_white_is_zero_is_turned_round() -> None:
    data = bytearray(save(np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8), "TIFF"))
    tag = data.index(struct.pack("<HHIHH", 262, 3, 1, 1, 0))
    data[tag + 8] = 0
    gray = decode(bytes(data), max_pixels=LIMIT).rgb[..., 0]
    assert gray[0, 0] == 255 and gray[-1, -1] == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, (0, 255)),
        (0, 255, (0, 255)),
        (-5, 5, (0, 255)),
        (0, 1e6, (0, 255)),
        (0, np.inf, (0, 255)),
        (0.5, 0.5, (128, 128)),
    ],
)
def test_floats_are_scaled_to_what_white_seems_to_be(low: float, high: float, expected: tuple[int, int]) -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[:4], values[4:] = low, high
    gray = decode(save(values, "TIFF"), max_pixels=LIMIT).rgb[..., 0]
    assert (gray[0, 0], gray[-1, -1]) == expected


def test_floats_that_are_no_numbers_are_black() -> None:
    assert not decode(save(np.full((8, 8), np.nan, np.float32), "TIFF"), max_pixels=LIMIT).rgb.any()


def test_cmyk_is_converted_and_not_inverted() -> None:
    rgb = decode(save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95), max_pixels=LIMIT).rgb
    assert np.abs(rgb.astype(int) - [255, 0, 0]).max() < 8


def test_lab_is_converted() -> None:
    gray = Image.new("LAB", (16, 16), (136, 128, 128))  # L* 53.3: middle gray
    rgb = decode(save(gray, "TIFF"), max_pixels=LIMIT).rgb
    assert np.abs(rgb.astype(int) - 128).max() < 6


def test_an_embedded_profile_is_applied() -> None:
    linear = ImageCms.ImageCmsProfile(io.BytesIO(_gray_profile(gamma=1.0))).tobytes()
    data = save(Image.new("L", (16, 16), 55), icc_profile=linear)  # 0.216 of linear light is sRGB 128
    assert np.abs(decode(data, max_pixels=LIMIT).rgb.astype(int) - 128).max() <= 2


def _gray_profile(gamma: float) -> bytes:
    """The least gray ICC profile: a header, a white point and one curve that is a power."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0\0\0\0\x01\0" + b"\0" * 79
    tags, body, offset = [], b"", 128 + 4 + 3 * 12
    for name, content in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text)):
        tags.append(name + struct.pack(">II", offset + len(body), len(content)))
        body += content + b"\0" * (-len(content) % 4)
    rest = struct.pack(">I", 3) + b"".join(tags) + body
    header = struct.pack(">I4sI4s4s4s", 128 + len(rest), b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + rest


@pytest.mark.parametrize(
    "profile", [b"rubbish", b"\0" * 200, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_a_profile_that_cannot_be_used_is_passed_over(profile: bytes) -> None:
    assert np.array_equal(decode(save(draw(), icc_profile=profile), max_pixels=LIMIT).rgb, draw())


@pytest.mark.parametrize("suffix", [*WRITTEN_SUFFIXES, ".PNG", ".JPEG"])
def test_encoding_twice_gives_the_same_bytes_without_metadata(suffix: str) -> None:
    data = encode(Picture(draw()), suffix, quality=90)
    assert data == encode(Picture(draw()), suffix, quality=90)
    image = Image.open(io.BytesIO(data))
    assert not image.getexif() and not {"icc_profile", "comment", "xmp"} & set(image.info)
    assert np.abs(decode(data, max_pixels=LIMIT).rgb.astype(int) - draw()).mean() < 5


@pytest.mark.parametrize(("suffix", "kept"), [(".png", True), (".webp", True), (".jpg", False)])
def test_alpha_is_written_where_the_format_can_and_laid_on_white_elsewhere(suffix: str, kept: bool) -> None:
    picture = Picture(np.zeros((16, 16, 3), np.uint8), np.full((16, 16), 51, np.uint8))
    back = decode(encode(picture, suffix, quality=95), max_pixels=LIMIT, alpha="keep")
    assert (back.alpha is not None) == kept
    assert kept or np.abs(back.rgb.astype(int) - 204).max() <= 2


def test_a_picture_too_large_for_its_format_is_refused() -> None:
    with pytest.raises(ImageError, match="16400 x 8 px cannot be written as WEBP"):
        encode(Picture(np.zeros((8, 16_400, 3), np.uint8)), ".webp", quality=90)


def test_shrinking_averages() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, 16, 8)[:, 2:-2].astype(int) - 128).max() <= 3
    assert resize(stripes, 16, 8).shape == (8, 16, 3)


def test_a_camera_is_told_from_a_scanner_by_its_exposure() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 1"
    assert read_camera(save(draw(), "JPEG", exif=exif)) is None
    exif.get_ifd(0x8769)[0x829A] = 0.01
    assert read_camera(save(draw(), "JPEG", exif=exif)) == "Maker Model 1"
    assert read_camera(b"no picture") is None
