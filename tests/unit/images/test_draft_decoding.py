"""A JPEG decoded at a fraction of its size gives the working picture that all its pixels give, to 50 dB."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile
from skimage.metrics import peak_signal_noise_ratio

from artbank.errors import ImageError
from artbank.images import draft_decoding
from artbank.images.codec import decode
from artbank.images.codec_jobs import DecodeOptions, decode_photo
from artbank.images.framing import Photo
from artbank.mini.drawing.scenes import draw_scene
from tests.support.paths import REAL_FILES

PHOTOS = REAL_FILES / "photos"
LIMIT, MULTIPLE_PX, LEAST_DB = 20_000_000, 64, 50.0


@cache
def draw(width: int = 4000, height: int = 3000, grain: float = 3.0) -> Image.Image:
    """A scene enlarged, with a grain of its own in each pixel, as a sensor has."""
    noise = np.random.default_rng(0).standard_normal((height, width, 3), np.float32)
    noise *= grain
    noise += np.asarray(draw_small().resize((width, height)))
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


@cache
def draw_small() -> Image.Image:
    return Image.fromarray(draw_scene(20_000_400, width_px=800, height_px=600).image)


def draw_waves(width: int, height: int) -> Image.Image:
    """Waves of 64 px, which a shift by a tenth of a working pixel moves far from what they were."""
    across, down = (np.sin(np.arange(side) * (2 * np.pi / 64)) for side in (width, height))
    waves = 128 + 60 * across[None, :, None] + 60 * down[:, None, None] + np.zeros(3)
    return Image.fromarray(waves.astype(np.uint8))


def save(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **{"quality": 88, **options})
    return file.getvalue()


def open_both(data: bytes, short_px: int) -> tuple[Photo, Photo]:
    """Return a photo as it is opened, and as all of its file's pixels give it."""
    sizes = {"short_px": short_px, "multiple_px": MULTIPLE_PX}
    whole = Photo.prepare("a", decode(data, max_pixels=LIMIT).rgb, **sizes)
    return decode_photo("a", data, DecodeOptions(LIMIT, "white", "working", seconds=60, **sizes)).photo, whole


def check(data: bytes, short_px: int) -> float:
    """Check a photo; returns the PSNR, infinite where nothing differs."""
    found, whole = open_both(data, short_px)
    assert (found.frame, found.width_px, found.height_px) == (whole.frame, whole.width_px, whole.height_px)
    if np.array_equal(found.working, whole.working):
        return float("inf")
    return float(peak_signal_noise_ratio(whole.working, found.working))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes of all that Pillow decodes."""
    load, sizes = ImageFile.ImageFile.load, []

    def watch(self: ImageFile.ImageFile) -> Any:
        if self.tile:
            sizes.append(self.size)
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", watch)
    return sizes


def open_alone(data: bytes, short_px: int) -> Photo:
    return decode_photo("a", data, DecodeOptions(LIMIT, "white", "working", short_px, MULTIPLE_PX, 60)).photo


@pytest.mark.faults
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no real photos here")
@pytest.mark.parametrize("short_px", [128, 512])
def test_every_real_photo_keeps_50_db(short_px: int) -> None:
    found = {path.name: check(path.read_bytes(), short_px) for path in sorted(PHOTOS.iterdir())}
    assert len(found) > 50 and min(found.values()) >= LEAST_DB, found
    assert short_px > 128 or sum(value < float("inf") for value in found.values()) > 20


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_drawn_photo_of_3_megapixels_keeps_50_db(subsampling: str) -> None:
    assert check(save(draw(2000, 1500), subsampling=subsampling), 128) >= LEAST_DB


@pytest.mark.faults
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("short_px", [128, 512])
def test_every_drawn_photo_of_12_megapixels_keeps_50_db(short_px: int, subsampling: str) -> None:
    for grain in (0.0, 3.0, 12.0):
        assert check(save(draw(grain=grain), subsampling=subsampling), short_px) >= LEAST_DB


@pytest.mark.parametrize(("short_px", "size"), [(128, (1000, 750)), (512, (2000, 1500)), (1500, (4000, 3000))])
@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_no_more_is_decoded_than_shows(
    decoded: list[tuple[int, int]], kind: str, short_px: int, size: tuple[int, int]
) -> None:
    more = {"save_all": True, "append_images": [draw(400, 300)]} if kind == "MPO" else {}
    photo = open_alone(save(draw(), kind, **more), short_px)
    assert decoded == [size]
    assert (photo.width_px, photo.height_px) == (4000, 3000)


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
def test_a_photo_of_little_detail_4_times_as_large_is_decoded_at_half_its_size(
    decoded: list[tuple[int, int]], subsampling: str
) -> None:
    data = save(draw(2000, 1500, grain=0.0), quality=60, subsampling=subsampling)
    assert check(data, 375) >= LEAST_DB
    assert (1000, 750) in decoded


@pytest.fixture
def only_averaging(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every JPEG that is large enough is averaged; the widths of the blocks."""
    reduce, factors = Image.Image.reduce, []

    def watch(self: Image.Image, factor: int) -> Image.Image:
        factors.append(factor)
        return reduce(self, factor)

    rule = draft_decoding._Rule(scale=1, factor=2, min_ratio=2.0, max_detail=100.0, chroma="any")
    monkeypatch.setattr(draft_decoding, "_RULES", (rule,))
    monkeypatch.setattr(Image.Image, "reduce", watch)
    return factors


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
def test_a_photo_of_more_detail_is_averaged_instead_of_resized_in_one_step(
    decoded: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, subsampling: str
) -> None:
    data = save(draw(2000, 1500, grain=4.5), quality=92, subsampling=subsampling)
    assert LEAST_DB <= check(data, 310) < float("inf")
    assert decoded == [(2000, 1500)] * 2  # once by `check` itself
    rules = tuple(rule for rule in draft_decoding._RULES if rule.factor == 1)
    monkeypatch.setattr(draft_decoding, "_RULES", rules)
    assert check(data, 310) == float("inf")


def test_with_whole_chroma_more_detail_may_be_decoded_at_half_its_size(decoded: list[tuple[int, int]]) -> None:
    for subsampling, size in (("4:4:4", (1000, 750)), ("4:2:0", (2000, 1500))):
        data = save(draw(2000, 1500, grain=4.5), quality=92, subsampling=subsampling)
        assert LEAST_DB <= check(data, 310) < float("inf")
        assert decoded[-1] == size


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_averaged_photos_of_odd_sides_do_not_shift(only_averaging: list[int], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(draw_waves(1411, 1081), exif=exif)
    assert LEAST_DB <= check(data, 128) < float("inf")
    assert open_alone(data, 128).width_px == (1411 if orientation < 5 else 1081)
    assert only_averaging == [2, 2]


def test_averaged_photos_keep_their_colour_space(only_averaging: list[int]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data in (save(draw(2000, 1500).convert("L")), save(draw(2000, 1500), icc_profile=profile)):
        assert LEAST_DB <= check(data, 256) < float("inf")
    assert only_averaging == [2, 2]


def test_fine_detail_close_to_the_working_size_is_decoded_whole(decoded: list[tuple[int, int]]) -> None:
    open_alone(save(draw(grain=40.0), quality=95), 512)
    assert decoded == [(4000, 3000)]


def test_a_training_gets_every_pixel(decoded: list[tuple[int, int]]) -> None:
    assert decode(save(draw()), max_pixels=LIMIT).rgb.shape == (3000, 4000, 3) and decoded == [(4000, 3000)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_odd_sides_and_turned_photos_do_not_shift(decoded: list[tuple[int, int]], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(draw_waves(1411, 1081), exif=exif)
    assert LEAST_DB <= check(data, 128) < float("inf")
    assert open_alone(data, 128).width_px == (1411 if orientation < 5 else 1081)


def test_gray_and_profiled_photos_keep_50_db_and_cmyk_is_decoded_whole(decoded: list[tuple[int, int]]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data in (save(draw().convert("L")), save(draw(), icc_profile=profile)):
        assert LEAST_DB <= check(data, 128) < float("inf")
    decoded.clear()
    open_alone(save(draw(1600, 1200).convert("CMYK")), 128)
    assert decoded == [(1600, 1200)]


def test_a_broken_file_is_told_as_ever() -> None:
    data = save(draw())
    with pytest.raises(ImageError, match="truncated"):
        open_alone(data[: len(data) // 2], 128)
    with pytest.raises(ImageError, match="more than the limit"):
        decode_photo("a", data, DecodeOptions(LIMIT // 2, "white", "working", 128, MULTIPLE_PX, 60))


def test_a_strip_is_not_reduced_to_nothing() -> None:
    photo = open_alone(save(draw(6000, 24)), 8)
    assert (photo.width_px, photo.height_px) == (6000, 24)
