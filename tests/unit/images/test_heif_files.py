"""HEIC files, as telephones write them: colour, alpha, turn, tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from artbank.errors import ImageError
from artbank.images.codec import decode, read_camera
from artbank.images.decompression_bombs import check_cost
from artbank.images.heif_files import is_heif
from artbank.images.icc_profiles import rgb_profile
from artbank.images.opening import open_image
from tests.support.image_files import draw, exif, heif, save
from tests.unit.images.test_codec import TURNS
from tests.unit.images.test_color_spaces import P3, check, in_space, truth

LIMIT = 10**6


@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_are_turned_once(orientation: int) -> None:
    named = Image.Exif()
    named[0x0112] = orientation
    found = decode(heif(Image.fromarray(truth()), quality=95, exif=named.tobytes()), max_pixels=LIMIT).rgb
    turn: Callable[[np.ndarray], np.ndarray] = TURNS[orientation]
    assert np.abs(found.astype(int) - turn(truth())).mean() < 3


def test_colours_follow_the_profile() -> None:
    check(heif(Image.fromarray(in_space(P3, None)), quality=95, chroma=444, icc_profile=rgb_profile(P3, None)))
    check(heif(Image.fromarray(truth()), quality=95, chroma=444))


def test_transparency_is_kept_and_laid_on_white() -> None:
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:, :32] = 0
    data = heif(Image.fromarray(np.dstack([truth(), alpha])), quality=95)
    kept = decode(data, max_pixels=LIMIT, alpha="keep")
    assert kept.alpha is not None and np.abs(kept.alpha.astype(int) - alpha).mean() < 2
    assert (decode(data, max_pixels=LIMIT).rgb[:, :24] >= 250).all()


def test_the_main_picture_is_read_and_not_the_first() -> None:
    import io

    import pillow_heif

    file = pillow_heif.from_pillow(Image.new("RGB", (32, 32), "red"))
    file.add_from_pillow(Image.fromarray(truth()))
    buffer = io.BytesIO()
    file.save(buffer, quality=95, chroma=444, primary_index=1)
    check(buffer.getvalue())


def test_a_picture_in_tiles_is_read() -> None:
    tiled = heif(Image.fromarray(np.tile(truth(), (4, 4, 1))), quality=95, chroma=444, tile_size=64)
    assert open_image(tiled).info["tiling"]["num_columns"] > 1
    assert np.abs(decode(tiled, max_pixels=LIMIT).rgb.astype(int) - np.tile(truth(), (4, 4, 1))).mean() < 2


def test_a_picture_of_far_more_tiles_than_it_needs_is_refused() -> None:
    image = open_image(heif(draw("RGB", 64, 64)))
    image.info["tiling"] = {"num_columns": 30, "num_rows": 30, "tile_width": 1000, "tile_height": 1000}
    with pytest.raises(ImageError, match="far more tiles"):
        check_cost(image, b"", LIMIT)


def test_the_camera_is_known() -> None:
    assert read_camera(heif(draw(), exif=exif().tobytes())) == "Maker Model 1"


def test_avif_of_the_same_structure_is_no_heif() -> None:
    avif = save(draw(), "AVIF")
    assert not is_heif(avif) and is_heif(heif(draw()))
    assert not is_heif(avif.replace(b"ftypavif", b"ftypmif1"))


def test_half_a_file_is_refused() -> None:
    data = heif(Image.fromarray(truth()), quality=95)
    with pytest.raises(ImageError) as caught:
        decode(data[: len(data) // 2], max_pixels=LIMIT)
    assert caught.value.failure == "unreadable"
