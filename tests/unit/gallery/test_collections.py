from __future__ import annotations

import io
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from s3fs import S3FileSystem

from artbank.errors import CollectionError
from artbank.gallery import preparation
from artbank.gallery.collections import Artwork, Collection, list_collections, read_artworks
from artbank.gallery.doctor import check_artworks, measure_margin
from artbank.gallery.findings import Finding
from artbank.images.artwork_pictures import choose_factor
from artbank.images.palette import Colours
from artbank.runtime.collection_ids import collection_id
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles
from tests.support import rgw
from tests.support.image_files import heif, raw
from tests.support.paths import REAL_FILES as DATA
from tests.support.small_inputs import draw_photo
from tests.support.unprivileged import as_nobody

SIDE_PX = 64


def paint(seed: int, side_px: int = SIDE_PX) -> np.ndarray:
    """Patches of colour, in a composition and tints of their own, fully covering the picture."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(60, 200, (6, 6, 3), np.uint8))
    return np.asarray(patches.resize((side_px, side_px), Image.Resampling.BICUBIC))


def save(rgb: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind, **options)
    return file.getvalue()


def exposed() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0110] = "Model 1"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    return exif


def artworks_of(pictures: list[np.ndarray]) -> list[Artwork]:
    return [Artwork(f"c/{number:02d}.png", picture) for number, picture in enumerate(pictures)]


def look(artworks: list[Artwork], smallest_px: int = SIDE_PX) -> dict[str, Finding]:
    return {finding.kind: finding for finding in check_artworks(artworks, smallest_px=smallest_px)}


@pytest.fixture
def gallery(tmp_path: Path) -> Store:
    store = Store.open(str(tmp_path))
    store.write_many({f"monet/{number}.png": save(paint(number)) for number in range(3)})
    return store


def only(gallery: Store) -> Collection:
    [collection] = list_collections(gallery)
    return collection


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


def test_a_folder_without_images_cannot_be_asked_for(gallery: Store) -> None:
    gallery.write("notes/a.txt", b"-")
    with pytest.raises(CollectionError, match="has no image in notes"):
        list_collections(gallery, ["notes"])


@pytest.mark.parametrize("files", [{}, {"lilies.png": b"-"}, {"notes/a.txt": b"-"}])
def test_a_gallery_without_collections_says_how_it_should_look(tmp_path: Path, files: dict[str, bytes]) -> None:
    store = Store.open(str(tmp_path))
    store.write_many(files)
    with pytest.raises(CollectionError, match="holds no collection: expected one folder of images for each"):
        list_collections(store)


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


def test_pictures_are_kept_as_crops_need_them_and_colours_are_those_of_the_whole(gallery: Store) -> None:
    grain = np.random.default_rng(0).integers(0, 256, (2560, 2601, 3), np.uint8)
    gallery.write("monet/0.bmp", save(grain, "BMP"))
    artworks, _ = read_artworks(gallery, only(gallery), max_pixels=10**8, crop_px=128)
    [large] = [artwork for artwork in artworks if artwork.key == "monet/0.bmp"]
    assert large.picture.shape == (1280, 1301, 3) and large.whole_px == (2601, 2560)
    assert np.array_equal(large.colours.lightness, Colours.count(grain).lightness)
    assert [artwork.picture.shape for artwork in artworks if artwork.key != "monet/0.bmp"] == [(64, 64, 3)] * 3
    assert [choose_factor(2560, crop_px) for crop_px in (32, 512, 513, 2048)] == [2, 2, 1, 1]


def test_threads_and_processes_prepare_the_same_artworks(gallery: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.write_many({"monet/1b.png": b"rubbish", "monet/camera.jpg": save(paint(7), "JPEG", exif=exposed())})
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


def parquet(rows: list[dict[str, str]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


TABLES = {
    "metadata.csv": b"\xef\xbb\xbffile_name,caption,year\n0.png,lilies  at\tdusk,06\n1.png,,07\nlate/9.png,a bridge,\n",
    "metadata.jsonl": "\n".join(
        json.dumps({"file_name": name, "text": text})
        for name, text in (("0.png", "lilies at dusk"), ("late/9.png", "a bridge"))
    ).encode(),
    "metadata.parquet": parquet(
        [{"file_name": "0.png", "caption": "lilies at dusk"}, {"file_name": "late/9.png", "caption": "a bridge"}]
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_captions_come_from_tables(gallery: Store, name: str) -> None:
    gallery.write_many({f"monet/{name}": TABLES[name], "monet/late/9.png": save(paint(9))})
    artworks, findings = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert [artwork.caption for artwork in artworks] == ["lilies at dusk", None, None, "a bridge"]
    assert findings == []


def test_a_text_file_beside_an_artwork_wins_over_a_table(gallery: Store) -> None:
    gallery.write_many({"monet/metadata.csv": TABLES["metadata.csv"], "monet/0.txt": "\ufeffSeerosen, früh\n".encode()})
    artworks, _ = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert artworks[0].caption == "Seerosen, früh"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("metadata.csv", b"file,caption\n0.png,lilies\n"),
        ("metadata.csv", b"\xff\xfe\x00"),
        ("metadata.csv", b"file_name,caption\n0.png," + b"x" * 200_000),
        ("metadata.jsonl", b"{not json}\n"),
        ("metadata.jsonl", b"[1, 2]\n"),
        ("metadata.jsonl", b'{"file_name": 7, "caption": "lilies"}\n'),
        ("metadata.parquet", b"PAR1 rubbish"),
        ("0.txt", b"\xff\xfe\x00"),
    ],
)
def test_captions_that_cannot_be_read_are_a_finding(gallery: Store, name: str, body: bytes) -> None:
    gallery.write(f"monet/{name}", body)
    artworks, [finding] = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert len(artworks) == 3 and artworks[0].caption is None
    assert finding.kind == "captions" and finding.keys == (f"monet/{name}",)


def test_captions_of_files_that_are_not_there_are_a_finding(gallery: Store) -> None:
    gallery.write("monet/metadata.csv", b"file_name,caption\n0.png,lilies\nO1.png,a bridge\n")
    artworks, [finding] = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert artworks[0].caption == "lilies" and finding.keys == ("monet/O1.png",)


def test_a_sound_collection_has_no_findings() -> None:
    assert look(artworks_of([paint(seed) for seed in range(12)])) == {}


def test_few_artworks_are_a_finding_and_fewer_than_three_an_error() -> None:
    assert set(look(artworks_of([paint(seed) for seed in range(3)]))) == {"few"}
    with pytest.raises(CollectionError, match="2 artworks can be read; training needs at least 3"):
        look(artworks_of([paint(seed) for seed in range(2)]))


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
