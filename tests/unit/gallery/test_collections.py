from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from artbank.errors import CollectionError
from artbank.gallery.collections import list_collections, read_artworks
from artbank.gallery.doctor import check_artworks
from artbank.runtime.collection_ids import collection_id
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles
from tests.support.patchworks import SIDE_PX, only, paint, save
from tests.support.unprivileged import as_nobody


def test_a_collection_is_a_folder_and_all_images_below_it(gallery: Store) -> None:
    gallery.write_many({"monet/late/Lilies.JPG": save(paint(9), "JPEG"), "monet/notes.md": b"-", "klee/a.tif": b"-"})
    klee, monet = list_collections(gallery)
    assert (klee.name, monet.name) == ("klee", "monet")
    assert [stored.key for stored in monet.artworks] == [
        "monet/0.png",
        "monet/1.png",
        "monet/2.png",
        "monet/late/Lilies.JPG",
    ]


CHANGES: dict[str, Callable[[Store], None]] = {
    "an artwork more": lambda store: store.write("monet/3.png", save(paint(3))),
    "other bytes of the same size": lambda store: store.write("monet/0.png", store.read("monet/0.png")[:-1] + b"\0"),
    "an artwork less": lambda store: store.delete_many(["monet/0.png"]),
    "a caption": lambda store: store.write("monet/0.txt", b"lilies"),
    "a table of captions": lambda store: store.write("monet/metadata.csv", b"file_name,caption\n"),
    "another name": lambda store: (
        store.write("monet/4.png", store.read("monet/0.png")),
        store.delete_many(["monet/0.png"]),
    )[1],
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with_the_content(gallery: Store, change: str) -> None:
    before = only(gallery).fingerprint
    CHANGES[change](gallery)
    assert only(gallery).fingerprint != before


def test_the_fingerprint_stays_whatever_else_changes(gallery: Store, tmp_path: Path) -> None:
    before = only(gallery)
    gallery.write_many({"monet/readme.txt": b"-", "monet/.thumbs/0.png": b"-", "other/none.txt": b"-"})
    gallery.write("monet/0.png", gallery.read("monet/0.png"))
    assert only(gallery).fingerprint == before.fingerprint


def test_collections_may_be_named(gallery: Store) -> None:
    gallery.write("klee/a.png", save(paint(5)))
    assert [collection.name for collection in list_collections(gallery, ["monet"])] == ["monet"]
    with pytest.raises(CollectionError, match="has no manet; there is klee, monet"):
        list_collections(gallery, ["manet"])


def test_folders_without_images_are_left_out_with_a_warning(gallery: Store, caplog: pytest.LogCaptureFixture) -> None:
    gallery.write_many({"notes/a.txt": b"-"})
    skipped = SkippedFiles()
    assert [collection.name for collection in list_collections(gallery, skipped=skipped)] == ["monet"]
    assert "folders left out because they have no image: notes" in caplog.text
    assert ("empty", 1, ("notes",)) in [(kind.kind, kind.count, kind.names) for kind in skipped.kinds()]


@pytest.mark.parametrize("name", ["Van Gogh", "Albrecht_Dürer", "葛飾北斎", "O'Keeffe", "_x", "Gilbert + G.", "a@b:c"])
def test_a_folder_of_any_name_is_a_collection(gallery: Store, name: str) -> None:
    gallery.write(f"{name}/0.png", save(paint(5)))
    [found] = list_collections(gallery, [name])
    assert (found.name, found.display_name) == (collection_id(name), name)
    assert list_collections(gallery, [found.name]) == [found]
    assert [stored.key for stored in found.artworks] == [f"{name}/0.png"]
    assert [collection.display_name for collection in list_collections(gallery)].count(name) == 1


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_collection_is_found_by_its_name_in_either_normal_form(gallery: Store, form: str) -> None:
    gallery.write(f"{unicodedata.normalize('NFD', 'Dürer')}/0.png", save(paint(5)))
    [found] = list_collections(gallery, [unicodedata.normalize(form, "Dürer")])
    assert found.display_name == unicodedata.normalize("NFC", "Dürer")


def test_folders_whose_names_differ_in_their_normal_form_are_one_collection(
    gallery: Store, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [unicodedata.normalize(form, "Dürer") for form in ("NFC", "NFD")]
    gallery.write_many({f"{folder}/{len(folder)}.png": save(paint(len(folder))) for folder in folders})
    gallery.write("metadata.csv", f"file_name,caption\n{folders[0]}/6.png,a hare\n".encode())
    [found] = list_collections(gallery, ["Dürer"])
    assert {stored.key for stored in found.artworks} == {f"{folders[0]}/5.png", f"{folders[1]}/6.png"}
    assert "have the same name and are one collection" in caplog.text


def test_of_two_folders_with_one_id_the_one_that_is_named_by_it_stays(
    gallery: Store, caplog: pytest.LogCaptureFixture
) -> None:
    name = collection_id("Van Gogh")
    gallery.write_many({f"{folder}/0.png": save(paint(1)) for folder in ("Van Gogh", name)})
    assert [collection.display_name for collection in list_collections(gallery)] == [name, "monet"]
    assert "folder 'Van Gogh' is left out: it has the id of" in caplog.text


def test_what_is_no_artwork_is_counted_and_a_thumbnail_is_none(gallery: Store) -> None:
    before = only(gallery).fingerprint
    thumbnail = "monet/@eaDir/0.png/SYNOPHOTO_THUMB_M.png"
    gallery.write_many(
        {thumbnail: save(paint(1)), "monet/0.xmp": b"-", "monet/0.txt": b"lilies", "#recycle/0.png": b"-"}
    )
    gallery.write("monet/@eaDir/0.txt", b"-")
    skipped = SkippedFiles()
    [monet] = list_collections(gallery, skipped=skipped)
    assert len(monet.artworks) == 3 and [stored.key for stored in monet.captions.files] == ["monet/0.txt"]
    [kind] = skipped.kinds()
    assert (kind.kind, set(kind.names)) == ("no_photo", {thumbnail, "monet/0.xmp", "monet/@eaDir/0.txt"})
    gallery.delete_many(["monet/0.txt"])
    assert only(gallery).fingerprint == before
    [more] = list_collections(gallery, rules=["!@eaDir/"])
    assert len(more.artworks) == 4


def test_files_that_may_hold_artworks_inside_are_warned_of(gallery: Store, caplog: pytest.LogCaptureFixture) -> None:
    gallery.write_many(dict.fromkeys(("monet/more.zip", "renoir.tar"), b"-"))
    skipped = SkippedFiles()
    [monet] = list_collections(gallery, skipped=skipped)
    assert [(kind.kind, kind.names) for kind in skipped.kinds()] == [("container", ("monet/more.zip", "renoir.tar"))]
    _, [finding] = read_artworks(gallery, monet, max_pixels=10**6)
    assert finding.message.startswith("1 file is skipped (container): monet/more.zip.")
    skipped = SkippedFiles()
    list_collections(gallery, rules=["*.zip", "*.tar"], skipped=skipped)
    assert [kind.kind for kind in skipped.kinds()] == ["no_photo"]


def test_an_artwork_that_may_not_be_read_is_a_finding_and_the_others_are_read(shared_path: Path) -> None:
    gallery = Store.open(str(shared_path))
    pictures = {f"{name}/{number}.png": save(paint(number)) for name in ("klee", "monet") for number in range(4)}
    gallery.write_many({**pictures, "monet/0.txt": b"lilies", "monet/more/9.png": save(paint(9))})
    closed = 0o600 if os.geteuid() == 0 else 0
    for name in ("monet/3.png", "monet/0.txt", "monet/more"):
        (shared_path / name).chmod(closed)
    with as_nobody():
        klee, monet = list_collections(gallery)
        assert [finding.kind for finding in read_artworks(gallery, klee, max_pixels=10**6)[1]] == []
        artworks, findings = read_artworks(gallery, monet, max_pixels=10**6)
        assert [artwork.key for artwork in artworks] == ["monet/0.png", "monet/1.png", "monet/2.png"]
        found = {finding.kind: (finding.keys, finding.message) for finding in findings}
        assert found["unreadable"][0] == ("monet/3.png",) and "run as a user who has it" in found["unreadable"][1]
        assert found["captions"][0] == ("monet/0.txt",)
        assert found["skipped"][0] == ("monet/more",)
        unread = [finding for finding in findings if finding.kind == "unreadable"]
        with pytest.raises(CollectionError, match="2 artworks can be read; .*: add some; monet/3.png cannot be read"):
            check_artworks(artworks[:2], smallest_px=SIDE_PX, unread=unread)
        with pytest.raises(CollectionError, match=r"no image in shut \(shut may not be read\)"):
            add_shut(shared_path)
            list_collections(gallery, ["shut"])
    (shared_path / "monet/3.png").chmod(0o644)
    after = list_collections(gallery)
    assert {one.name for one in after if one.fingerprint not in (klee.fingerprint, monet.fingerprint)} == {"monet"}


def add_shut(root: Path) -> None:
    """Add a collection whose folder may not be read."""
    (root / "shut").mkdir()
    (root / "shut").chmod(0)


def test_a_folder_without_images_cannot_be_asked_for(gallery: Store) -> None:
    gallery.write("notes/a.txt", b"-")
    with pytest.raises(CollectionError, match="has no image in notes"):
        list_collections(gallery, ["notes"])


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "found no folder; put the"),
        ({"lilies.png": b"-", "1.jpg": b"-"}, "found 2 images and no folder; name the folder above it, or put the"),
        ({"notes/a.txt": b"-"}, "found no image in notes; put the"),
        ({"monet.zip": b"-"}, "found no folder; unpack monet.zip: artworks inside of a file are not read"),
        ({"a/monet.TAR": b"-", "b.txt": b"-"}, "found no image in a; unpack a/monet.TAR: artworks inside of a file"),
        ({"a/train.parquet": b"-"}, "found no image in a; unpack a/train.parquet: artworks inside of a file"),
    ],
)
def test_a_gallery_without_collections_says_how_it_should_look(
    tmp_path: Path, files: dict[str, bytes], found: str
) -> None:
    store = Store.open(str(tmp_path))
    store.write_many(files)
    with pytest.raises(CollectionError, match="holds no collection: expected one folder of images for each") as raised:
        list_collections(store)
    assert found in str(raised.value)
