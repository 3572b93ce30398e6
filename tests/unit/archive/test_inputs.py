"""The inputs of a run over an archive: refused before anything is written, the same with `dry_run`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from artbank.archive.forecast import forecast_archive
from artbank.archive.plan import _absolute, plan_archive
from artbank.archive.stores import RunStores
from artbank.catalog.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.weights import hash_base_model
from artbank.errors import ConfigError
from artbank.results import archive_listing, ledger, tables
from artbank.results.layout import KNOWN_PARTS, RESULTS
from artbank.results.missing_photos import check_photos
from artbank.runtime.hashing import full_hash
from artbank.store.objects import Store
from tests.support import rgw
from tests.support.flaky import run_flaky
from tests.support.rows import bank_record, register, result
from tests.support.small_inputs import listing, stylizing

KEYS = tuple(f"{folder}/{number}.jpg" for folder in ("a", "b", "c", "d") for number in range(6))


def add_banks(store: Store, **facts: Any) -> None:
    base = hash_base_model(fetch_base_model("mini", None))
    register(Catalog(store), bank_record(base_model_hash=base, **facts))


def add_run(output: Store, archive: Store) -> None:
    """Write the rows and tables of a run over an archive."""
    photos = archive_listing.list_archive(archive)
    rows = [result(row["key"], size=row["size"], etag=row["etag"]) for row in photos.to_pylist()]
    for number, start in enumerate(range(0, len(rows), 8)):
        ledger.commit(output, f"m-{number:05d}", rows[start : start + 8])
    tables.update_tables_and_vacuum(output, photos)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """24 photos, whose content is never read, the output of a run over them, and a bank."""
    archive = Store.open(str(tmp_path / "photos"))
    archive.write_many(dict.fromkeys(KEYS, b"1"))
    add_banks(Store.open(str(tmp_path / "store")))
    add_run(Store.open(str(tmp_path / "output")), archive)
    return tmp_path


def asked(root: Path | str, **values: Any) -> StylizeConfig:
    uris = [values.pop(name, f"{root}/{name}") for name in ("photos", "output", "store")]
    return stylizing(*map(str, uris), "monet", **values)


def refuse(config: StylizeConfig, root: Path, message: str) -> None:
    """Check that a run and its forecast are refused and write nothing."""
    before = listing(root)
    for plan in (plan_archive, forecast_archive):
        with pytest.raises(ConfigError, match=message):
            plan(config)
    assert listing(root) == before


def test_an_archive_that_is_not_there_is_refused(place: Path) -> None:
    (place / "empty/folder").mkdir(parents=True)
    (place / "texts").mkdir()
    (place / "texts/readme.txt").write_text("no photo")
    for name in ("fotos", "empty"):
        refuse(asked(place, photos=place / name), place, f"expected photos in .*{name}, found nothing there")
    below = place / "photos/a/0.jpg/folder"
    refuse(asked(place, photos=below), place, "is a file or lies below one, expected a folder; name a folder")
    refuse(asked(place, photos=place / "texts"), place, r"found nothing but 1 file to skip: no_photo \(readme.txt\)")
    refuse(
        asked(place, include=("2024/**",)), place, r"--include 2024/\*\*: none of the 24 photos .* correct the globs"
    )


@pytest.mark.parametrize("name", ["0.jpg", "[a] 1.jpg"])
def test_one_photo_in_place_of_a_folder_is_told_with_what_to_write(place: Path, name: str) -> None:
    photo = place / "photos/a" / name
    photo.write_bytes(b"1")
    refuse(asked(place, photos=photo), place, "is a file, expected a folder of photos; .* name its folder .*a and")
    with pytest.raises(ConfigError) as refused:
        plan_archive(asked(place, photos=photo))
    option, include = shlex.split(str(refused.value).rpartition(" and add ")[2])
    assert option == "--include"
    plan, _, _ = plan_archive(asked(place, photos=photo.parent, output=place / "new", include=(include,)))
    assert plan.num_tasks == 1


def test_an_output_with_the_name_of_a_picture_is_refused_unless_it_is_there(place: Path) -> None:
    refuse(asked(place, output=place / "art.PNG"), place, "art.PNG is the name of a picture, expected a folder for all")
    Store.open(str(place / "art.PNG")).write("monet/0.jpg", b"1")
    assert plan_archive(asked(place, output=place / "art.PNG"))[0].num_tasks == 24


@pytest.mark.parametrize("name", ["photos.zip", "shard-000.TAR", "train.parquet"])
def test_photos_inside_of_a_file_are_told_to_be_unpacked(place: Path, name: str) -> None:
    (place / "packed").mkdir()
    (place / "packed" / name).write_bytes(b"-")
    refuse(
        asked(place, photos=place / "packed"),
        place,
        rf"\({name}\); unpack {name}: photos inside of a file are not read",
    )
    refuse(
        asked(place, photos=place / "packed" / name),
        place,
        f"{name} is a file, expected a folder; unpack it, and name the folder",
    )


def test_a_store_that_is_not_there_is_refused_and_not_created(place: Path) -> None:
    refuse(asked(place, store=place / "stroe"), place, "expected the store of a training in .*stroe, found nothing")
    refuse(asked(place, store=place / "output"), place, "found no catalog there")


def test_a_first_run_writes_to_a_new_output(place: Path) -> None:
    plan, shards, _ = plan_archive(asked(place, output=place / "new/output"))
    assert (plan.num_tasks, len(shards)) == (24, 1)


def test_an_output_that_is_the_store_or_lies_in_its_folders_or_around_it_is_refused(place: Path) -> None:
    add_banks(Store.open(str(place / "around/store")))
    for output, store, message in (
        ("store", "store", "store is also the store of the banks"),
        (
            "around",
            "around/store",
            "around holds the store of the banks, .*around/store: .*; name another place for the",
        ),
        ("store/banks/art", "store", "lies in the folder banks of the store .*; name a place outside"),
        ("store/catalog", "store", "lies in the folder catalog of the store"),
    ):
        refuse(asked(place, output=place / output, store=place / store), place, message)
    assert plan_archive(asked(place, output=place / "store/art"))[0].num_tasks == 24


def test_another_archive_with_photos_of_the_same_names_is_a_question(place: Path) -> None:
    first, moved, other = (Store.open(str(place / name)) for name in ("photos", "moved", "other"))
    output, digest = Store.open(str(place / "drawn")), full_hash(b"1")
    config = asked(place, output=output.uri)
    output.write("runs/m/config.json", _absolute(config, RunStores.open(config)).model_dump_json().encode())
    rows = [result(key, size=1, etag="e", sha256=digest) for key in KEYS]
    ledger.commit(output, "m-00000", rows)
    tables.update_tables_and_vacuum(output, archive_listing.list_archive(first))
    for store, body in ((moved, b"1"), (other, b"2")):
        store.write_many(dict.fromkeys((*KEYS, "e/1.jpg"), body))
    message = (
        r"has pictures of other photos with the names of those in archive .*other, such as a/0\.jpg: .* read .*photo"
    )
    refuse(asked(place, output=output.uri, photos=other.uri), place, message)
    for options in ({"allow_missing": True}, {"include": ("e/*",)}):
        assert plan_archive(asked(place, output=output.uri, photos=other.uri, **options))[0].num_tasks
    assert plan_archive(asked(place, output=output.uri, photos=moved.uri))[0].num_tasks == 25
    first.write_many(dict.fromkeys(KEYS, b"3"))  # edited, in the archive of the runs
    assert plan_archive(asked(place, output=output.uri))[0].num_tasks == 24


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("output", "photos/art"),
        ("output", "photos"),
        ("output", "link/art"),
        ("output", ""),
        ("store", "photos/store"),
        ("store", "link/store"),
    ],
)
def test_output_and_store_inside_the_archive_and_around_it_are_refused(place: Path, name: str, where: str) -> None:
    (place / "link").symlink_to("photos")
    if name == "store":
        add_banks(Store.open(str(place / "photos/store")))
    refuse(asked(place, **{name: place / where}), place, "lies in the")


def test_an_output_inside_the_gallery_of_a_bank_is_refused(place: Path) -> None:
    add_banks(Store.open(str(place / "store")), bank_id="0000000000000002", gallery_uri=str(place / "gallery"))
    refuse(asked(place, output=place / "gallery/art"), place, r"lies in the gallery .*; name a place outside")


def test_an_archive_that_lost_more_than_a_share_of_its_photos_is_a_question(place: Path) -> None:
    archive = Store.open(str(place / "photos"))
    archive.delete_many(KEYS[:6])
    plan, *_ = plan_archive(asked(place))
    assert plan.num_photos == 18  # a quarter is missing, which is no more than the share
    archive.write_many({"e/1.jpg": b"1", KEYS[0]: b"1"})
    archive.delete_many(KEYS[6:12])
    message = r"11 of the 24 photos of the last run are missing .*lists 14 now: a/1\.jpg.*at most 25%.*--allow-missing"
    refuse(asked(place), place, message)
    assert plan_archive(asked(place, max_missing_share=0.5))[0].num_photos == 14
    assert plan_archive(asked(place, allow_missing=True))[0].num_photos == 14


def test_photos_that_were_missing_in_the_last_run_already_are_no_question(place: Path) -> None:
    archive, output = (Store.open(str(place / name)) for name in ("photos", "output"))
    archive.delete_many(KEYS[:18])
    tables.update_tables_and_vacuum(output, archive_listing.list_archive(archive))
    assert plan_archive(asked(place))[0].num_photos == 6
    archive.delete_many(KEYS[18:22])
    refuse(asked(place), place, "4 of the 6 photos of the last run are missing")


def test_before_the_first_run_has_ended_all_known_photos_count(place: Path) -> None:
    (place / "output" / RESULTS).unlink()
    Store.open(str(place / "photos")).delete_many(KEYS[:18])
    refuse(asked(place), place, "18 of the 24 photos")


def test_photos_that_a_new_rule_skips_or_that_may_not_be_seen_are_not_missing(place: Path) -> None:
    assert plan_archive(asked(place, skip=("a/", "b/")))[0].num_photos == 12
    photos = archive_listing.list_archive(Store.open(str(place / "photos")), ["a/", "b/"])
    unseen = photos.replace_schema_metadata({b"artbank.unseen": b'["a", "b"]'})
    stores = [Store.open(str(place / name)) for name in ("photos", "output")]
    known = ledger.read_ledger(stores[1], ["key"])["key"].combine_chunks()
    check_photos(*stores, unseen, known, rules=(), max_share=0)


def test_parts_that_were_deleted_are_a_question(place: Path) -> None:
    parts = sorted((place / "output/results").glob("part-*"))
    assert len(parts) == 3
    for part in parts:
        part.unlink()
    refuse(asked(place), place, r"3 of 3 parts are missing from .*such as part-m-00000.parquet: the tables would lose")
    plan, *_ = plan_archive(asked(place, allow_missing=True))
    assert plan.num_tasks == 24


@pytest.fixture
def bucket(moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str]) -> Store:
    store = Store.open(use_endpoint(moto_endpoint))
    store.write_many({f"photos/{key}": b"1" for key in KEYS})
    add_banks(store.child("store"))
    add_run(store.child("output"), store.child("photos"))
    return store


def test_one_photo_of_a_bucket_is_told_too_and_a_bucket_that_is_not_there_as_such(bucket: Store) -> None:
    folder = f"{bucket.uri}/photos/a"
    with pytest.raises(ConfigError, match=f"is a file, .*; .* name its folder {folder} and add --include 0.jpg$"):
        plan_archive(asked(bucket.uri, photos=f"{folder}/0.jpg"))
    with pytest.raises(ConfigError, match="expected photos in s3://no-such-bucket, found nothing there"):
        plan_archive(asked(bucket.uri, photos="s3://no-such-bucket"))


@pytest.mark.parametrize("what", ["photos/d/", "results/part-m-00001"])
def test_a_listing_that_leaves_out_what_is_there_is_an_error_of_the_store(
    bucket: Store, moto_endpoint: rgw.Endpoint, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    config = asked(bucket.uri, max_missing_share=1.0)
    before = bucket.list()
    with run_flaky(moto_endpoint) as flaky:
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint.url)
        flaky.unlisted_key = what
        for plan in (plan_archive, forecast_archive):
            with pytest.raises(OSError, match="the store's listing leaves it out, although it is there"):
                plan(config)
        output, photos = (Store.open(bucket.uri_of(name)) for name in ("output", "photos"))
        if "part" in what:
            with pytest.raises(OSError, match="leaves it out"):  # also where it goes wrong at the end of a run
                tables.update_tables_and_vacuum(output, archive_listing.list_archive(photos))
        assert bucket.list() == before
        flaky.unlisted_key = ""
        assert plan_archive(config)[0].num_photos == 24


def test_tables_name_the_parts_that_they_were_made_from(place: Path) -> None:
    output = Store.open(str(place / "output"))
    assert output.read(KNOWN_PARTS).count(b"part-m-") == 3
    before = listing(place / "output")
    tables.update_tables_and_vacuum(output, archive_listing.list_archive(Store.open(str(place / "photos"))))
    assert listing(place / "output") == before
    assert len(pq.read_table(place / "output" / RESULTS)) == 24
