"""Findings about a collection before it is trained on."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from artbank.errors import CollectionError
from artbank.gallery.collections import Artwork, list_collections, read_artworks
from artbank.gallery.doctor import check_artworks, measure_margin
from artbank.gallery.findings import Finding
from artbank.store.objects import Store
from tests.support.patchworks import SIDE_PX, only, paint, save
from tests.support.paths import REAL_FILES as DATA


def exposed() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0110] = "Model 1"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    return exif


def artworks_of(pictures: list[np.ndarray]) -> list[Artwork]:
    return [Artwork(f"c/{number:02d}.png", picture) for number, picture in enumerate(pictures)]


def look(artworks: list[Artwork], smallest_px: int = SIDE_PX) -> dict[str, Finding]:
    return {finding.kind: finding for finding in check_artworks(artworks, smallest_px=smallest_px)}


def test_a_sound_collection_has_no_findings() -> None:
    assert look(artworks_of([paint(seed) for seed in range(12)])) == {}


def test_few_artworks_are_a_finding_and_fewer_than_three_an_error() -> None:
    assert set(look(artworks_of([paint(seed) for seed in range(3)]))) == {"few"}
    with pytest.raises(CollectionError, match="2 artworks can be read; training needs at least 3"):
        look(artworks_of([paint(seed) for seed in range(2)]))
    with pytest.raises(CollectionError, match="1 artwork can be read; training"):
        look(artworks_of([paint(0)]))


def test_artworks_smaller_than_a_crop_are_found() -> None:
    finding = look(artworks_of([*(paint(seed) for seed in range(10)), paint(10, 48)]))["small"]
    assert finding.keys == ("c/10.png",) and "64 px" in finding.message


def test_copies_are_found_also_when_saved_anew() -> None:
    pictures = [paint(seed) for seed in range(10)]
    assert look(artworks_of([*pictures, pictures[2]]))["duplicate"].keys == ("c/02.png", "c/10.png")
    file = io.BytesIO(save(pictures[4], "JPEG", quality=60))
    again = np.asarray(Image.open(file).resize((48, 48)))
    assert look(artworks_of([*pictures, again]))["near-duplicate"].keys == ("c/04.png", "c/10.png")


def test_pages_and_mounts_are_found_but_no_flat_sky() -> None:
    sky = paint(1).copy()
    sky[:48] = 230
    page = np.full((96, 96, 3), 250, np.uint8)
    page[10:-10, 10:-10] = paint(2, 76)
    found = look(artworks_of([*(paint(seed) for seed in range(3, 13)), sky, page]))
    assert found["margin"].keys == ("c/11.png",)
    assert measure_margin(page) == pytest.approx(1 - (76 / 96) ** 2, abs=0.03)


def test_one_that_is_unlike_the_rest_is_found() -> None:
    etching = np.repeat(paint(20).mean(2, keepdims=True).astype(np.uint8), 3, axis=2)
    found = look(artworks_of([*(paint(seed) for seed in range(12)), etching]))
    assert found["outlier"].keys == ("c/12.png",)


def test_artworks_of_one_tone_are_found_and_those_of_many_colours_not() -> None:
    sepia = [
        np.clip(paint(seed).mean(2, keepdims=True) * (1.0, 0.8, 0.55), 0, 255).astype(np.uint8) for seed in range(10)
    ]
    assert "--colour collection" in look(artworks_of(sepia))["one-tone"].message
    assert "one-tone" not in look(artworks_of([paint(seed) for seed in range(10)]))


def test_images_with_a_cameras_data_are_found_where_most_have_none(gallery: Store) -> None:
    gallery.write("monet/3.jpg", save(paint(3), "JPEG", exif=exposed()))
    artworks, _ = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert look(artworks)["photograph"].keys == ("monet/3.jpg",)


def test_photographed_artworks_are_no_finding() -> None:
    artworks = [Artwork(f"c/{seed}.jpg", paint(seed), camera="Model 1" if seed else None) for seed in range(4)]
    assert set(look(artworks)) == {"few"}


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no galleries in {DATA}")
@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("van_gogh", 21, {"small": 1}),
        ("hiroshige", 55, {}),
        ("potter", 27, {"small": 27, "margin": 27}),  # vignettes on the white page of a book
    ],
)
def test_findings_of_real_galleries_are_what_an_eye_sees(name: str, count: int, expected: dict[str, int]) -> None:
    gallery = Store.open(str(DATA / "galleries"))
    artworks, findings = read_artworks(gallery, list_collections(gallery, [name])[0], max_pixels=10**8)
    assert findings == [] and len(artworks) == count
    assert {kind: len(finding.keys) for kind, finding in look(artworks, smallest_px=512).items()} == expected
