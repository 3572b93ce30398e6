"""Listings of what others wrote: one thing that cannot be listed is counted and named, and the rest goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

from artbank.store.backends.fsspec import FsspecBackend
from artbank.store.objects import Store
from artbank.store.skipped import NUM_NAMED, SkippedFiles
from tests.support import rgw
from tests.support.flaky import run_flaky
from tests.support.unprivileged import as_nobody


def listed(store: Store, **options: bool) -> tuple[dict[str, tuple[int, str]], dict[str, tuple[int, tuple[str, ...]]]]:
    """Return size and etag of the listed objects, and count and names of the skipped ones by kind."""
    skipped = SkippedFiles()
    found = {stored.key: (stored.size, stored.etag) for stored in store.scan(skipped=skipped, **options)}
    return found, {kind.kind: (kind.count, kind.names) for kind in skipped.kinds()}


def fill(root: Path) -> Store:
    store = Store.open(str(root))
    store.write_many({"open/a.jpg": b"1", "shut/b.jpg": b"2", "listed/c.jpg": b"3", "d.jpg": b"4"})
    return store


def test_a_folder_that_may_not_be_read_is_skipped_and_the_rest_is_listed(shared_path: Path) -> None:
    store = fill(shared_path)
    (shared_path / "shut").chmod(0o700 if os.geteuid() == 0 else 0)
    (shared_path / "listed").chmod(0o744 if os.geteuid() == 0 else 0o444)  # names without what is behind them
    with as_nobody():
        found, skipped = listed(store)
        assert set(found) == {"open/a.jpg", "d.jpg"}
        assert skipped == {"unreadable": (2, ("listed/c.jpg", "shut"))}
        with pytest.raises(PermissionError):  # a store of our own must be whole
            store.list()
        with pytest.raises(PermissionError):  # nothing at all can be read
            listed(store.child("shut"))


def test_other_file_systems_skip_a_folder_too_instead_of_losing_it(shared_path: Path) -> None:
    fill(shared_path)
    (shared_path / "shut").chmod(0o700 if os.geteuid() == 0 else 0)

    class Inherited(LocalFileSystem):
        protocol = "inherited"
        find = fsspec.AbstractFileSystem.find

    store = Store("inherited://", FsspecBackend(Inherited(), str(shared_path)))
    with as_nobody():
        found, skipped = listed(store)
        assert set(found) == {"open/a.jpg", "listed/c.jpg", "d.jpg"} and skipped == {"unreadable": (1, ("shut",))}
        with pytest.raises(PermissionError):
            store.list()


def test_a_file_that_may_not_be_read_is_listed_and_its_etag_changes_once_it_may(shared_path: Path) -> None:
    store = fill(shared_path)
    (shared_path / "d.jpg").chmod(0o600 if os.geteuid() == 0 else 0)
    with as_nobody():
        before, skipped = listed(store, hash_content=True)
    (shared_path / "d.jpg").chmod(0o644)
    after, _ = listed(store, hash_content=True)
    assert set(before) == set(after) and not skipped
    assert {key for key in after if before[key] != after[key]} == {"d.jpg"}


def test_links_hidden_and_special_files_are_counted(tmp_path: Path) -> None:
    store = fill(tmp_path)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "d.jpg")
    (tmp_path / "open/.DS_Store").write_bytes(b"1")
    (tmp_path / ".Trash-1000").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "tab\t.jpg").write_bytes(b"1")
    found, skipped = listed(store)
    assert len(found) == 4
    assert skipped == {
        "name": (1, ("tab\\t.jpg",)),
        "link": (1, ("link.jpg",)),
        "hidden": (2, (".Trash-1000", "open/.DS_Store")),
        "special": (1, ("pipe",)),
    }


@pytest.mark.parametrize("server", ["s3_endpoint", "moto_endpoint"])
def test_keys_that_are_none_here_are_counted_and_named(
    request: pytest.FixtureRequest, use_endpoint: Callable[[rgw.Endpoint], str], server: str
) -> None:
    endpoint = request.getfixturevalue(server)
    uri = use_endpoint(endpoint)
    fs, bucket = S3FileSystem(endpoint_url=endpoint.url), uri.removeprefix("s3://")
    odd = ("photos//lead.jpg", "photos/sub//twice.jpg", "photos/tab\t.jpg", "photos/full/", "photos/")
    for key in ("photos/a.jpg", *odd, "photos/.hidden/b.jpg"):
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"1")
    fs.call_s3("put_object", Bucket=bucket, Key="photos/empty/", Body=b"")  # how consoles make a folder
    found, skipped = listed(Store.open(f"{uri}/photos"))
    assert set(found) == {"a.jpg"}
    assert skipped == {
        "name": (5, ("/", "/lead.jpg", "full/", "sub//twice.jpg", "tab\\t.jpg")),
        "hidden": (1, (".hidden/b.jpg",)),
    }


@pytest.mark.parametrize("unlisted", [("ETag",), ("Size",), ("ETag", "Size")])
def test_a_store_that_lists_no_etag_or_no_size_works(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str], unlisted: tuple[str, ...]
) -> None:
    with run_flaky(moto_endpoint) as flaky:
        flaky.unlisted = unlisted
        store = Store.open(use_endpoint(flaky.endpoint))
        store.write_many({"a": b"one", "b": b"three"})
        first = {stored.key: (stored.size, stored.etag) for stored in store.list()}
        store.write("a", b"two")
        second = {stored.key: (stored.size, stored.etag) for stored in store.list()}
    assert {key: size for key, (size, _) in second.items()} == {"a": 3, "b": 5}
    assert all(etag for _, etag in second.values())
    assert first["a"] != second["a"] and first["b"] == second["b"]


def test_a_file_system_that_lists_neither_size_nor_time_works() -> None:
    class Bare(type(fsspec.filesystem("memory"))):
        protocol = "bare"
        cachable = False

        def ls(self, path: str, detail: bool = True, **options: object) -> list[dict[str, object]]:
            return [{"name": entry["name"], "type": entry["type"]} for entry in super().ls(path, detail=True)]

    store = Store("bare://", FsspecBackend(Bare(), "/bare"))
    store.write_many({"a": b"one", "f/b": b"three"})
    assert {stored.key: stored.size for stored in store.list()} == {"a": 3, "f/b": 5}


def test_names_are_bounded_and_the_first_are_kept() -> None:
    skipped = SkippedFiles()
    for number in range(1000, 0, -1):
        skipped.add("no_photo", f"{number:04}.xmp")
    [kind] = skipped.kinds()
    assert (kind.count, len(kind.names), kind.names[0], kind.names[-1]) == (1000, NUM_NAMED, "0001.xmp", "0100.xmp")
