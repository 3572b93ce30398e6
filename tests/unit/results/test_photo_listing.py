"""The listing of an archive: which of its files are photos of a run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from artbank.results import archive_listing
from artbank.store import objects
from artbank.store.objects import Store
from tests.support.manifests import plan


def seen(archive: Store) -> list[objects.StoredObject]:
    return sorted(archive.scan(with_status_time=True), key=lambda stored: stored.key)


def test_an_archive_is_listed_without_what_is_hidden(store_uri: str) -> None:
    archive = Store.open(store_uri)
    archive.write_many({"b.jpg": b"22", "a/b.jpg": b"1", ".trash/c.jpg": b"1", "a/.hidden": b"1"})
    photos = archive_listing.list_archive(archive)
    assert photos["key"].to_pylist() == ["a/b.jpg", "b.jpg"]
    assert photos["size"].to_pylist() == [1, 2]
    assert photos["etag"].to_pylist() == [stored.etag for stored in seen(archive)]


def test_an_archive_that_is_not_there_is_empty(tmp_path: Path) -> None:
    photos = archive_listing.list_archive(Store.open(str(tmp_path / "nowhere")))
    assert len(photos) == 0
    assert plan(photos, [], {"monet": "r1"}) == []


@pytest.mark.parametrize(
    ("include", "exclude", "kept"),
    [
        ((), (), ["a.jpg", "b.png", "x/a.jpg", "x/y/a.jpg"]),
        (("*.jpg",), (), ["a.jpg"]),
        (("**/*.jpg",), (), ["a.jpg", "x/a.jpg", "x/y/a.jpg"]),
        (("x/**",), (), ["x/a.jpg", "x/y/a.jpg"]),
        (("x/*", "?.png"), (), ["b.png", "x/a.jpg"]),
        ((), ("x/**",), ["a.jpg", "b.png"]),
        (("**/a.jpg",), ("x/y/*",), ["a.jpg", "x/a.jpg"]),
        (("a.jp",), (), []),
    ],
)
def test_globs_choose_photos(include: tuple[str, ...], exclude: tuple[str, ...], kept: list[str]) -> None:
    keys = ["a.jpg", "b.png", "x/a.jpg", "x/y/a.jpg"]
    photos = pa.table({"key": keys, "size": [1] * 4, "etag": ["e"] * 4})
    assert archive_listing.filter_by_globs(photos, include=include, exclude=exclude)["key"].to_pylist() == kept


def test_a_listing_of_more_than_one_batch_is_whole_and_sorted(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_listing, "_LISTED_AT_ONCE", 3)
    monkeypatch.setattr(objects, "_SCAN_CHUNK", 2)
    archive = Store.open(store_uri)
    archive.write_many({f"{n % 3}/{n}.jpg": b"x" * n for n in range(10)})
    photos = archive_listing.list_archive(archive)
    assert photos["key"].to_pylist() == sorted(f"{n % 3}/{n}.jpg" for n in range(10))
    assert photos.to_pylist() == [vars(stored) for stored in seen(archive)]
