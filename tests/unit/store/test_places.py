"""Places of a run: whether anything is there, and whether one lies in another, however they are spelled."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from artbank.errors import ConfigError
from artbank.store.objects import Store
from artbank.store.places import check_apart, check_there
from tests.support import rgw


def test_an_empty_place_is_refused_until_something_is_there(store_uri: str) -> None:
    store = Store.open(store_uri)
    with pytest.raises(ConfigError, match="expected photos in .*, found nothing there; correct"):
        check_there(store, "photos")
    store.write(".hidden", b"1")
    with pytest.raises(ConfigError, match="found nothing there"):
        check_there(store, "photos")
    store.write("a/b.jpg", b"1")
    check_there(store, "photos")
    check_there(store.child("a"), "photos")
    with pytest.raises(ConfigError, match="found nothing there"):
        check_there(store.child("b"), "photos")


def test_a_bucket_that_does_not_exist_and_a_file_are_refused(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str], tmp_path: Path
) -> None:
    use_endpoint(moto_endpoint)
    with pytest.raises(ConfigError, match="s3://no-such-bucket/x, found nothing there; correct the bucket"):
        check_there(Store.open("s3://no-such-bucket/x"), "photos")
    (tmp_path / "a.jpg").write_bytes(b"1")
    with pytest.raises(ConfigError, match=r"a\.jpg is a file or lies below one, expected a folder; name a folder"):
        check_there(Store.open(str(tmp_path / "a.jpg")), "photos")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `photos`, `photos/art`, a link to each, and `photographs`."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/art", "photographs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("photos")
    (tmp_path / "art link").symlink_to(tmp_path / "photos/art")
    return tmp_path


@pytest.mark.parametrize(
    "inner",
    [
        "photos",
        "photos/",
        "photos/art",
        "photos/new/art",
        "link/art",
        "link/new",
        "art link",
        "art link/new",
        "photographs/../photos/art",
        "file://{root}/photos/art",
        "./photos",
    ],
)
@pytest.mark.parametrize("outer", ["photos", "link", "{root}/photos/"])
def test_a_local_folder_in_another_is_found_however_it_is_spelled(folders: Path, outer: str, inner: str) -> None:
    source, target = (Store.open(uri.format(root=folders)) for uri in (outer, inner))
    with pytest.raises(ConfigError, match=r"^output .* lies in the archive .*; name a place outside$"):
        check_apart({"archive": source}, {"output": target})
    with pytest.raises(ConfigError, match="lies in the"):
        check_apart({"archive": target}, {"output": source})


@pytest.mark.parametrize("inner", ["photographs", "photos art", "art", "s3://photos/art", "memory://photos"])
def test_local_folders_beside_each_other_are_apart(folders: Path, inner: str) -> None:
    check_apart({"archive": Store.open("photos")}, {"output": Store.open(inner)})


def test_a_folder_is_known_by_what_the_file_system_says_it_is(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = os.path.samefile

    def ignore_case(path: Path, other: Path) -> bool:  # as the file systems of macOS and Windows do
        if not path.is_relative_to(folders):
            return False
        return same(*(folders / one.relative_to(folders).as_posix().lower() for one in (path, other)))

    monkeypatch.setattr(Path, "samefile", ignore_case)
    assert Store.open("photos").contains(Store.open("PHOTOS/art"))
    assert not Store.open("photos").contains(Store.open("PHOTOGRAPHS"))


@pytest.mark.parametrize("scheme", ["s3://", "memory://"])
def test_places_in_a_store_are_compared_by_prefix(scheme: str) -> None:
    photos = Store.open(f"{scheme}museum/photos")
    for inner in ("museum/photos", "museum/photos/", "museum/photos/art"):
        assert photos.contains(Store.open(f"{scheme}{inner}"))
        assert Store.open(f"{scheme}museum").contains(Store.open(f"{scheme}{inner}"))
    for other in ("museum/photos2", "museum/phot", "museum", "archive/photos"):
        assert not photos.contains(Store.open(f"{scheme}{other}"))


def test_two_spellings_of_a_protocol_are_one_place() -> None:
    assert Store.open("s3://museum/photos").contains(Store.open("s3a://museum/photos/art"))


@pytest.mark.skipif(os.name != "posix", reason="such paths are right on Windows")
@pytest.mark.parametrize(
    ("path", "mounted"),
    [
        (r"C:\photos\2024", "/mnt/c/photos/2024"),
        ("d:/art", "/mnt/d/art"),
        ("C:\\", "/mnt/c/"),
        (r"\\nas\photos\2024", "/mnt/photos/2024"),
    ],
)
def test_a_path_of_windows_is_refused_where_it_is_none(path: str, mounted: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Store.open(path)
    assert str(refused.value) == (
        f"expected a path of this system, found {path}; write it as it is mounted here, such as {mounted} in WSL"
    )


def test_a_folder_whose_name_begins_as_a_drive_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "C:" / "photos").mkdir(parents=True)
    Store.open("C:/photos").write("a.txt", b"")
    assert (tmp_path / "C:" / "photos" / "a.txt").exists()
