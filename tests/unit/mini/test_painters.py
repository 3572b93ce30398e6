"""Painters: fixed by their seed, at home on any image, and unlike each other in more than colour."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from artbank.mini.drawing.painters import HELD_OUT, PAINTERS, TRAINED, paint
from artbank.mini.drawing.scenes import draw_scene

PHOTO = draw_scene(21, "a harbour", light="at noon").image


def test_there_are_twelve_trained_and_four_held_out_painters() -> None:
    assert len(PAINTERS) >= 16
    assert len(TRAINED) >= 12
    assert len(HELD_OUT) >= 4
    assert set(TRAINED) | set(HELD_OUT) == set(PAINTERS)
    assert not set(TRAINED) & set(HELD_OUT)


@pytest.mark.parametrize("painter", PAINTERS)
def test_a_seed_gives_the_same_painting(painter: str) -> None:
    before = PHOTO.copy()
    painting = paint(PHOTO, painter, 3)
    assert painting.tobytes() == paint(PHOTO, painter, 3).tobytes()
    assert (before == PHOTO).all()
    assert np.abs(painting.astype(int) - PHOTO).mean() > 5


@pytest.mark.parametrize("painter", PAINTERS)
@pytest.mark.parametrize("shape", [(96, 160), (200, 150)])
def test_any_image_keeps_its_shape_and_type(painter: str, shape: tuple[int, int]) -> None:
    photo = draw_scene(4, "a bridge", height_px=shape[0], width_px=shape[1]).image
    painting = paint(photo, painter, 0)
    assert painting.shape == photo.shape
    assert painting.dtype == np.uint8


@pytest.mark.parametrize("painter", PAINTERS)
def test_pure_black_white_and_gray_can_be_painted(painter: str) -> None:
    for level in (0, 128, 255):
        assert paint(np.full((96, 96, 3), level, np.uint8), painter, 1).shape == (96, 96, 3)


@pytest.mark.parametrize("painter", PAINTERS)
def test_a_painting_keeps_the_coarse_luma_of_its_photo(painter: str) -> None:
    photos = [
        draw_scene(seed, subject).image for seed, subject in ((31, "a house"), (32, "the sea"), (33, "a portrait"))
    ]
    paintings = [paint(photo, painter, 2) for photo in photos]
    own = np.mean([_likeness(painting, photo) for painting, photo in zip(paintings, photos, strict=True)])
    others = np.mean([_likeness(paintings[i], photos[j]) for i in range(3) for j in range(3) if i != j])
    assert own > 0.4
    assert own > others + 0.2


def test_manners_are_told_apart_by_texture_alone() -> None:
    """Nearest centroid on features of gray, contrast-normalised pictures: no colour, no brightness."""
    known = _features(range(40, 48))
    unknown = _features(range(60, 66))
    spread = np.concatenate(list(known.values())).std(0) + 1e-6
    centroids = {name: features.mean(0) / spread for name, features in known.items()}
    hits = [
        min(centroids, key=lambda name: np.linalg.norm(centroids[name] - feature / spread)) == painter
        for painter, features in unknown.items()
        for feature in features
    ]
    assert np.mean(hits) > 0.6  # chance is 1 / 16


def test_an_unknown_painter_is_refused() -> None:
    with pytest.raises(KeyError):
        paint(PHOTO, "Nobody", 0)


def _luma(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _likeness(painting: np.ndarray, photo: np.ndarray) -> float:
    """Return the correlation of two lumas reduced 8x."""
    small = [cv2.resize(_luma(image), (16, 16), interpolation=cv2.INTER_AREA).ravel() for image in (painting, photo)]
    return float(np.corrcoef(*small)[0, 1])


def _features(seeds: range) -> dict[str, np.ndarray]:
    photos = [draw_scene(seed).image for seed in seeds]
    return {name: np.stack([_texture(paint(photo, name, 0)) for photo in photos]) for name in PAINTERS}


def _texture(image: np.ndarray) -> np.ndarray:
    """Describe the texture of a gray picture: log energies of ring and wedge sectors of its spectrum."""
    gray = _luma(image)
    gray = (gray - gray.mean()) / (gray.std() + 1e-3)
    power = np.abs(np.fft.fftshift(np.fft.fft2(gray * np.outer(np.hanning(128), np.hanning(128))))) ** 2
    y, x = np.mgrid[-64:64, -64:64]
    radius, angle = np.hypot(y, x), np.arctan2(y, x) % np.pi
    rings = np.digitize(radius, [4, 8, 12, 18, 26, 36, 48, 64])
    wedges = (angle / np.pi * 4).astype(int) % 4
    sectors = [power[(rings == ring) & (wedges == wedge)].mean() for ring in range(1, 8) for wedge in range(4)]
    skew = ((gray**3).mean(), (gray**4).mean() / 10)
    return np.array([*np.log(np.array(sectors) + 1e-3), *skew])
