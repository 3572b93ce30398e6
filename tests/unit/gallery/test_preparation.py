"""Artworks as they are kept for a training: as large as its crops need them, prepared in threads or processes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from artbank.gallery import preparation
from artbank.gallery.collections import read_artworks
from artbank.images import artwork_pictures
from artbank.images.artwork_pictures import choose_factor, prepare_artwork
from artbank.images.palette import Colours
from artbank.store.objects import Store
from tests.support.patchworks import only, paint, save


def test_pictures_are_kept_as_crops_need_them_and_colours_are_those_of_the_whole(gallery: Store) -> None:
    grain = np.random.default_rng(0).integers(0, 256, (2560, 2601, 3), np.uint8)
    gallery.write("monet/0.bmp", save(grain, "BMP"))
    artworks, _ = read_artworks(gallery, only(gallery), max_pixels=10**8, crop_px=128)
    [large] = [artwork for artwork in artworks if artwork.key == "monet/0.bmp"]
    assert large.picture.shape == (1280, 1301, 3) and large.whole_px == (2601, 2560)
    assert np.array_equal(large.colours.lightness, Colours.count(grain).lightness)
    assert [artwork.picture.shape for artwork in artworks if artwork.key != "monet/0.bmp"] == [(64, 64, 3)] * 3
    assert [choose_factor(2560, crop_px) for crop_px in (32, 512, 513, 2048)] == [2, 2, 1, 1]


def test_an_artwork_is_shrunk_from_all_of_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    painting = Image.fromarray(paint(0)).resize((1000, 750))
    monkeypatch.setattr(artwork_pictures, "_SHORT_SIDE_PX", 100)
    found = prepare_artwork("a.jpg", save(np.asarray(painting), "JPEG", exif=exif), 10**6, None)
    whole = Image.open(io.BytesIO(save(np.asarray(painting), "JPEG"))).transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(found.picture, whole.resize((100, 133), Image.Resampling.LANCZOS))
    assert found.whole_px == (100, 133)


def test_threads_and_processes_prepare_the_same_artworks(gallery: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0110] = "Model 1"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    gallery.write_many({"monet/1b.png": b"rubbish", "monet/camera.jpg": save(paint(7), "JPEG", exif=exif)})
    monkeypatch.setenv("ARTBANK_CODEC_PROCESSES", "1")
    in_threads, findings = read_artworks(gallery, only(gallery), max_pixels=10**6, crop_px=32)
    monkeypatch.setattr(preparation, "_BYTES_FOR_PROCESSES", 0)
    monkeypatch.setattr(preparation, "_open_threads", None)
    limits = {"max_pixels": 10**6, "crop_px": 32, "may_start_processes": True}
    in_processes, same_findings = read_artworks(gallery, only(gallery), **limits)
    assert findings == same_findings and [finding.keys for finding in findings] == [("monet/1b.png",)]
    assert [one.camera for one in in_processes] == [None, None, None, "Model 1"]
    for one, other in zip(in_threads, in_processes, strict=True):
        assert (one.key, one.camera, one.whole_px) == (other.key, other.camera, other.whole_px)
        assert np.array_equal(one.picture, other.picture) and np.array_equal(one.colours.mean, other.colours.mean)
