"""Enlarged pictures get the detail of their photos, where they show the same shapes."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import Image

from artbank.images.codec import Picture, decode, encode, resize
from artbank.images.codec_jobs import DecodeOptions, EncodeJob, decode_photo, encode_picture
from artbank.images.photo_detail import enlarge, extract_detail
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import StylizeRecipe

LIMIT = 10**7
READING = DecodeOptions(LIMIT, "white", "original", short_px=48, multiple_px=8, seconds=60, detail=True)
SIZE = WIDTH, HEIGHT = 480, 320


@cache
def draw_photo() -> np.ndarray:
    return draw_scene(20_000_400, width_px=WIDTH, height_px=HEIGHT).image


def save(rgb: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind)
    return file.getvalue()


def paint(working: np.ndarray) -> np.ndarray:
    """Return a soft picture of a working image in other colours, as a model draws it."""
    return cv2.GaussianBlur(cv2.applyColorMap(working[..., 1], cv2.COLORMAP_OCEAN), (0, 0), 1.0)


def draw_job(weight: float = 1.0, kind: str = "PNG", reading: DecodeOptions = READING) -> EncodeJob:
    read = decode_photo("a.png", save(draw_photo(), kind), reading)
    working = read.photo.working
    return EncodeJob(paint(working), working, None, SIZE, ".png", 92, detail=read.detail, detail_weight=weight)


def finish(job: EncodeJob) -> np.ndarray:
    return decode(encode_picture(job).data, max_pixels=LIMIT).rgb


def correlate_edges(picture: np.ndarray, photo: np.ndarray) -> float:
    edges = []
    for rgb in (picture, photo):
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        edges.append(np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)).ravel())
    return float(np.corrcoef(*edges)[0, 1])


def test_a_picture_at_the_photos_size_has_the_photos_edges_and_the_paintings_colours() -> None:
    job = draw_job()
    old, new = finish(replace(job, detail_weight=0.0)), finish(job)
    assert np.array_equal(finish(draw_job()), new), "equal work gives equal pictures"
    assert correlate_edges(new, draw_photo()) > 1.5 * correlate_edges(old, draw_photo())
    small = resize(new, *job.rgb.shape[1::-1])
    assert np.abs(small.astype(int) - job.rgb).mean() < 4, "seen from afar it is the picture that was drawn"


def test_without_detail_a_picture_is_enlarged_only() -> None:
    job = draw_job(0.0)
    assert np.array_equal(finish(job), resize(job.rgb, *SIZE))
    assert np.array_equal(finish(replace(job, detail=None, detail_weight=1.0)), resize(job.rgb, *SIZE))


def test_half_of_the_detail_changes_half_as_much() -> None:
    job = draw_job()
    old, half, full = (finish(replace(job, detail_weight=weight)).astype(int) for weight in (0.0, 0.5, 1.0))
    assert np.abs(half - (old + full) / 2).mean() < 1


def test_areas_that_the_style_painted_flat_stay_flat() -> None:
    job = draw_job()
    flat = finish(replace(job, rgb=np.full_like(job.rgb, 150)))
    assert np.abs(flat.astype(int) - 150).max() <= 1


def test_shapes_that_the_photo_does_not_have_get_less_than_half_of_its_texture() -> None:
    luma = np.random.default_rng(0).integers(100, 156, (HEIGHT, WIDTH), np.uint8)
    working = resize(luma[..., None].repeat(3, 2), 72, 48)
    stripes = np.full_like(working, 60)
    stripes.reshape(16, 3, 72, 3)[::2] = 160
    added = enlarge(stripes, working, SIZE, extract_detail(luma, working), 1.0).astype(float) - resize(stripes, *SIZE)
    fine = luma - resize(working, *SIZE)[..., 0].astype(float)
    share = np.polyfit(fine.ravel(), added[..., 0].ravel(), 1)[0]
    assert 0 < share < 0.5


def test_detail_of_a_photo_is_the_same_from_every_kind_of_file() -> None:
    for kind in ("PNG", "BMP", "TIFF"):
        assert draw_job(kind=kind).detail == draw_job().detail
    assert draw_job(reading=replace(READING, detail=False)).detail is None


def test_transparency_and_detail_go_together() -> None:
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[: HEIGHT // 2] = 0
    data = encode(Picture(draw_photo(), alpha), ".png", quality=92)
    read = decode_photo("a.png", data, replace(READING, alpha="keep"))
    working = read.photo.working
    job = EncodeJob(paint(working), working, read.alpha, SIZE, ".png", 92, detail=read.detail, detail_weight=1.0)
    picture = decode(encode_picture(job).data, max_pixels=LIMIT, alpha="keep")
    assert picture.alpha is not None and np.array_equal(picture.alpha, alpha)
    shown = slice(HEIGHT // 2 + 10, HEIGHT)
    old = decode(encode_picture(replace(job, detail_weight=0.0)).data, max_pixels=LIMIT, alpha="keep").rgb
    photo = draw_photo()
    assert correlate_edges(picture.rgb[shown], photo[shown]) > 1.3 * correlate_edges(old[shown], photo[shown])


@pytest.mark.parametrize(("width", "height"), [(30, 20), (48, 48), (49, 1500), (1500, 49), (8, 2000), (2000, 9)])
def test_photos_of_every_shape_get_pictures_of_their_size(width: int, height: int) -> None:
    rgb = resize(draw_photo(), width, height)
    read = decode_photo("a.png", save(rgb), READING)
    working = read.photo.working
    made = enlarge(paint(working), working, (width, height), read.detail, 1.0)
    assert made.shape == rgb.shape
    assert (read.detail is None) == (width <= working.shape[1] or height <= working.shape[0])


def test_a_side_of_one_pixel_and_one_too_long_for_the_format_have_no_detail_or_little() -> None:
    line = np.arange(3000, dtype=np.uint8)[:, None]
    assert extract_detail(line, np.zeros((10, 1, 3), np.uint8)) is None
    assert extract_detail(np.zeros((2, 70_000), np.uint8), np.zeros((1, 700, 3), np.uint8)) is None
    detail = extract_detail(line.repeat(2, 1), np.zeros((10, 1, 3), np.uint8))
    assert enlarge(np.zeros((10, 1, 3), np.uint8), np.zeros((10, 1, 3), np.uint8), (2, 3000), detail, 1.0).any() == 0


def test_detail_counts_only_for_pictures_that_are_enlarged() -> None:
    assert StylizeRecipe(detail=0.3).digest() == StylizeRecipe().digest() == StylizeRecipe(detail=0).digest()
    assert StylizeRecipe(preset="exact", size="original", detail=0).digest() == "2ea4a9ef0ba4f860", "as before"
    enlarged = {weight: StylizeRecipe(size="original", detail=weight) for weight in (0.0, 0.5, 1.0)}
    assert len({recipe.digest() for recipe in enlarged.values()}) == 3
    assert [recipe.adds_detail for recipe in enlarged.values()] == [False, True, True]
    assert not StylizeRecipe().adds_detail
