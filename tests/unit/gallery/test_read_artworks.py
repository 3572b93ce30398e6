"""The artworks of a collection as they are read: what cannot be read is a finding, and few are in memory together."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from s3fs import S3FileSystem

from artbank.errors import CollectionError
from artbank.gallery.collections import list_collections, read_artworks
from artbank.store.objects import Store
from tests.support import rgw
from tests.support.image_files import heif, raw
from tests.support.patchworks import SIDE_PX, only, paint, save
from tests.support.small_inputs import draw_photo


def test_an_artwork_in_cold_storage_is_a_finding(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str]
) -> None:
    uri = use_endpoint(moto_endpoint)
    gallery, fs = Store.open(uri), S3FileSystem(endpoint_url=moto_endpoint.url)
    gallery.write_many({f"monet/{number}.png": save(paint(number)) for number in range(3)})
    frozen = {"Bucket": uri.removeprefix("s3://"), "Key": "monet/3.png", "StorageClass": "GLACIER"}
    fs.call_s3("put_object", Body=save(paint(3)), **frozen)
    artworks, [finding] = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert len(artworks) == 3 and finding.keys == ("monet/3.png",)
    assert "the object is in cold storage; restore it first" in finding.message


def test_artworks_are_read_and_what_cannot_be_read_is_named(gallery: Store) -> None:
    gallery.write_many({"monet/bad.jpg": b"rubbish", "monet/empty.png": b""})
    artworks, findings = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert [artwork.key for artwork in artworks] == ["monet/0.png", "monet/1.png", "monet/2.png"]
    assert np.array_equal(artworks[1].picture, paint(1))
    assert [(finding.kind, finding.keys) for finding in findings] == [
        ("unreadable", ("monet/bad.jpg",)),
        ("unreadable", ("monet/empty.png",)),
    ]
    assert "monet/empty.png cannot be read (empty file)" in findings[1].message


def test_heic_and_raw_files_are_artworks_in_the_colours_that_their_owner_sees(tmp_path: Path) -> None:
    gallery = Store.open(str(tmp_path / "phone"))
    photo = Image.open(io.BytesIO(draw_photo(0)))
    gallery.write_many({"roll/a.HEIC": heif(photo, quality=95), "roll/b.nef": raw(96, 64), "roll/c.jxl": b"\xff\x0a"})
    [collection] = list_collections(gallery)
    artworks, findings = read_artworks(gallery, collection, max_pixels=10**6)
    assert [artwork.key for artwork in artworks] == ["roll/a.HEIC", "roll/b.nef"]
    assert np.abs(artworks[0].picture.astype(int) - np.asarray(photo)).mean() < 4 and artworks[1].picture.shape == (
        64,
        96,
        3,
    )
    assert ["JPEG XL files cannot be read" in finding.message for finding in findings] == [True]


def test_an_artwork_above_the_limit_is_a_finding(gallery: Store) -> None:
    gallery.write("monet/0.png", save(paint(0, 65)))
    artworks, [finding] = read_artworks(gallery, only(gallery), max_pixels=SIDE_PX**2)
    assert len(artworks) == 2 and "more than the limit" in finding.message


@pytest.mark.parametrize("name", ["huge.tif", "metadata.csv", "0.txt"])
def test_a_file_above_the_limit_is_a_finding_and_never_read(
    gallery: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    gallery.write(f"monet/{name}", bytes(2_000_000))
    collection, asked, read_many = only(gallery), [], Store.read_many

    def spy(store: Store, keys: list[str]) -> dict[str, bytes | Exception]:
        asked.extend(keys)
        return read_many(store, keys)

    monkeypatch.setattr(Store, "read_many", spy)
    artworks, [finding] = read_artworks(gallery, collection, max_pixels=10**6, max_bytes=1_000_000)
    assert len(artworks) == 3 and finding.keys == (f"monet/{name}",) and finding.keys[0] not in asked
    said = f"monet/{name} is not read (its file has 2 MB, more than the limit of 1 MB); it is left out: raise max_meg"
    assert finding.message.startswith(said)


def test_few_bytes_are_in_memory_together(gallery: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [stored.size for stored in only(gallery).artworks]
    monkeypatch.setattr("artbank.gallery.collections._BYTES_AT_ONCE", sizes[0] + 1)
    asked, read_many = [], Store.read_many
    monkeypatch.setattr(Store, "read_many", lambda store, keys: asked.append(len(keys)) or read_many(store, keys))
    artworks, _ = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert len(artworks) == 3 and asked == [2, 1]


def remove(gallery: Store, key: str) -> None:
    gallery.delete_many([key])


def cut(gallery: Store, key: str) -> None:
    gallery.write(key, gallery.read(key)[:-3])


@pytest.mark.parametrize("change", [remove, cut])
@pytest.mark.parametrize("key", ["monet/0.png", "monet/0.txt"])
def test_a_collection_that_is_not_as_it_was_listed_is_not_trained_on(
    gallery: Store, change: Callable[[Store, str], None], key: str
) -> None:
    gallery.write("monet/0.txt", b"a harbour")
    collection = only(gallery)
    whole = gallery.read(key)
    change(gallery, key)
    with pytest.raises(CollectionError, match=rf"{key} is not as it was listed .*; run it again"):
        read_artworks(gallery, collection, max_pixels=10**6)
    gallery.write(key, whole)
    assert len(read_artworks(gallery, collection, max_pixels=10**6)[0]) == len(collection.artworks)


def test_a_failing_store_is_an_error(gallery: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = only(gallery)
    monkeypatch.setattr(Store, "read_many", lambda _, keys: dict.fromkeys(keys, OSError("the line is dead")))
    with pytest.raises(OSError, match="the line is dead"):
        read_artworks(gallery, collection, max_pixels=10**6)


def test_large_scans_are_shrunk_so_that_a_gallery_fits_in_memory(gallery: Store) -> None:
    gallery.write("monet/0.png", save(np.zeros((2600, 5200, 3), np.uint8)))
    artworks, _ = read_artworks(gallery, only(gallery), max_pixels=10**8)
    assert artworks[0].picture.shape == (2560, 5120, 3)
