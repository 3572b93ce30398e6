from __future__ import annotations

import re
import unicodedata
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from artbank.catalog.catalog import Catalog, make_bank_id
from artbank.errors import CatalogError
from artbank.records.bank_records import BankEvent, BankRecord
from artbank.runtime.collection_ids import collection_id
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes
from tests.support.rows import bank_record, register
from tests.support.table_bombs import bomb


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


@pytest.fixture
def catalog(store: Store) -> Catalog:
    return Catalog(store)


def register_several(catalog: Catalog, count: int, collection: str = "monet") -> list[BankRecord]:
    return [register(catalog, bank_record(f"{number:016x}", collection)) for number in range(1, count + 1)]


def statuses(catalog: Catalog) -> list[tuple[str, int, str]]:
    rows = catalog.table().select(["collection", "version", "status"]).to_pylist()
    return [(row["collection"], row["version"], row["status"]) for row in rows]


def test_a_bank_id_is_16_hex_digits_and_follows_from_each_of_its_facts() -> None:
    facts = {"fingerprint": "f", "recipe_digest": "r", "base_model_hash": "b"}
    ids = [
        make_bank_id(**facts),
        make_bank_id(**facts, attempt=1),
        *(make_bank_id(**{**facts, name: "x"}) for name in facts),
    ]
    assert len(set(ids)) == 5
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in ids)
    assert ids[0] == make_bank_id(**facts)


def test_registered_rows_come_back_as_they_were_with_versions_filled(store_uri: str) -> None:
    catalog = Catalog(Store.open(store_uri))
    given = bank_record("00000000000000aa", warnings=["few artworks"], clip_style=None, version=99, previous_version=98)
    first = register(catalog, given)
    second = register(catalog, bank_record("00000000000000bb"))
    other = register(catalog, bank_record("00000000000000aa", "hokusai"))
    assert first == replace(given, version=1, previous_version=None)
    assert (second.version, second.previous_version) == (2, 1)
    assert (other.version, other.previous_version) == (1, None)
    assert catalog.banks() == [other, first, second]
    assert catalog.banks("monet") == [first, second]
    assert catalog.banks("mon") == []


def test_the_same_bank_again_is_the_row_that_is_there(catalog: Catalog) -> None:
    first, second = register_several(catalog, 2)
    assert register(catalog, replace(first, seconds=99.0)) == first
    assert catalog.banks() == [first, second]


def test_a_registration_interrupted_between_claim_and_row_takes_up_its_version(catalog: Catalog, store: Store) -> None:
    first, second, third = register_several(catalog, 3)
    store.delete_many([f"catalog/banks/collection=monet/{second.bank_id}.parquet"])
    assert register(catalog, bank_record("00000000000000ff")).version == 4
    assert register(catalog, second) == second
    assert [bank.version for bank in catalog.banks()] == [1, 2, 3, 4]
    assert (first.version, third.previous_version) == (1, 2)


def test_the_highest_version_is_the_default_until_one_is_promoted(catalog: Catalog) -> None:
    assert catalog.default("monet") is None
    first, second, third = register_several(catalog, 3)
    assert catalog.default("monet") == catalog.find("monet") == third
    event = catalog.promote("monet@1")
    assert (event.collection, event.version, event.bank_id, event.action) == ("monet", 1, first.bank_id, "promote")
    assert catalog.find("monet") == first
    fourth = register(catalog, bank_record("00000000000000ff"))
    assert catalog.find("monet") == first
    catalog.promote("monet@2")
    assert catalog.find("monet") == second
    assert catalog.find("monet@4") == fourth
    assert [status for _, _, status in statuses(catalog)] == ["available", "default", "available", "available"]


def test_a_retired_version_is_found_by_its_number_only(catalog: Catalog) -> None:
    first, second = register_several(catalog, 2)
    catalog.retire("monet")
    assert catalog.find("monet") == first
    assert catalog.find("monet@2") == second
    catalog.retire("monet")
    assert catalog.default("monet") is None
    assert statuses(catalog) == [("monet", 1, "retired"), ("monet", 2, "retired")]
    with pytest.raises(CatalogError, match=r"every version of monet is retired; .*monet@1, monet@2"):
        catalog.find("monet")


def test_retiring_the_promoted_version_falls_back_and_promoting_it_brings_it_back(catalog: Catalog) -> None:
    first, second, third = register_several(catalog, 3)
    catalog.promote("monet@2")
    catalog.promote("monet@1")
    catalog.retire("monet@1")
    assert catalog.find("monet") == second
    catalog.retire("monet@2")
    assert catalog.find("monet") == third
    catalog.promote("monet@1")
    assert catalog.find("monet") == first
    assert statuses(catalog) == [("monet", 1, "default"), ("monet", 2, "retired"), ("monet", 3, "available")]


def test_events_of_one_collection_leave_the_others_alone(catalog: Catalog) -> None:
    register_several(catalog, 2)
    register_several(catalog, 2, "hokusai")
    catalog.retire("monet@2")
    assert statuses(catalog) == [
        ("hokusai", 1, "available"),
        ("hokusai", 2, "default"),
        ("monet", 1, "default"),
        ("monet", 2, "retired"),
    ]


def test_an_event_that_follows_one_from_a_clock_ahead_still_counts_as_the_later(catalog: Catalog, store: Store) -> None:
    first, second = register_several(catalog, 2)
    ahead = catalog.promote("monet@1").at.replace(year=2200)
    event = BankEvent("monet", 1, first.bank_id, "promote", ahead)
    store.write(f"catalog/events/collection=monet/{2**62}-ahead.parquet", table_bytes(BankEvent.to_table([event])))
    catalog.promote("monet@2")
    assert catalog.find("monet") == second


def test_an_unknown_name_is_answered_with_what_there_is(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="no bank yet"):
        catalog.find("monet")
    register_several(catalog, 2)
    register_several(catalog, 1, "hokusai")
    with pytest.raises(CatalogError, match=r"found the mix monet:0\.7\+hokusai@1; name one of monet, hokusai@1$"):
        catalog.find("monet:0.7+hokusai@1")
    with pytest.raises(CatalogError, match=r"no bank manet in .*: there is hokusai, monet; "):
        catalog.find("manet")
    for name in ("monet@3", "monet@", "monet@x", "monet@01"):
        with pytest.raises(CatalogError, match=r"there is monet@1, monet@2; "):
            catalog.find(name)


def break_bytes(row: BankRecord) -> bytes:
    return b"PAR1 is not enough"


def break_columns(row: BankRecord) -> bytes:
    return table_bytes(pa.table({"a": [1]}))


def break_types(row: BankRecord) -> bytes:
    return table_bytes(pa.table({"bank_id": [row.bank_id], "version": ["first"]}))


def break_count(row: BankRecord) -> bytes:
    return table_bytes(BankRecord.to_table([row, row]))


def break_name(row: BankRecord) -> bytes:
    return table_bytes(BankRecord.to_table([replace(row, bank_id="00000000000000ff")]))


@pytest.mark.parametrize("damage", [break_bytes, break_columns, break_types, break_count, break_name])
def test_a_damaged_or_foreign_row_is_named(catalog: Catalog, store: Store, damage) -> None:
    first, _ = register_several(catalog, 2)
    key = f"catalog/banks/collection=monet/{first.bank_id}.parquet"
    store.write(key, damage(first))
    with pytest.raises(CatalogError, match=f"{first.bank_id}.parquet should hold one row .* restore the file"):
        catalog.banks()


def test_rows_of_later_and_earlier_versions_of_the_schema_are_read(catalog: Catalog, store: Store) -> None:
    (first,) = register_several(catalog, 1)
    later = BankRecord.to_table([first]).append_column("mood", pa.array(["calm"]))
    store.write(
        f"catalog/banks/collection=monet/{first.bank_id}.parquet",
        table_bytes(later.drop_columns(["scorer", "warnings"])),
    )
    assert catalog.banks() == [replace(first, scorer=None, warnings=None)]  # pyright: ignore[reportArgumentType]


def test_duckdb_and_pandas_read_the_folder_of_rows_as_it_is(catalog: Catalog, store: Store) -> None:
    register_several(catalog, 2)
    register_several(catalog, 1, "1889")  # must stay text
    expected = [("1889", 1), ("monet", 1), ("monet", 2)]
    query = f"select collection, version from read_parquet('{store.uri}/catalog/banks/*/*.parquet') order by all"
    assert duckdb.sql(query).fetchall() == expected
    frame = pd.read_parquet(f"{store.uri}/catalog/banks").sort_values(["collection", "version"])
    assert list(zip(frame["collection"], frame["version"], strict=True)) == expected


def register_from(uri: str, worker: int, count: int) -> list[tuple[str, int]]:
    """Register `count` banks: the even ones this worker's own, the odd ones every worker's."""
    catalog = Catalog(Store.open(uri))
    ids = [f"{worker if number % 2 == 0 else 99:08x}{number:08x}" for number in range(count)]
    return [(row.bank_id, row.version) for row in (register(catalog, bank_record(name)) for name in ids)]


def check_registrations(uri: str, claimed: list[tuple[str, int]], num_banks: int) -> None:
    kept = {bank.bank_id: bank.version for bank in Catalog(Store.open(uri)).banks()}
    assert len(kept) == num_banks
    assert sorted(kept.values()) == list(range(1, num_banks + 1))
    assert all(kept[name] == version for name, version in claimed)


def test_eight_processes_registering_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(register_from, str(tmp_path), worker, 20) for worker in range(8)]
        claimed = [row for future in futures for row in future.result()]
    check_registrations(str(tmp_path), claimed, 8 * 10 + 10)


@pytest.mark.parametrize("server", ["s3_endpoint", "moto_endpoint"])
def test_threads_registering_on_s3_at_once_lose_and_double_nothing(request, server: str, use_endpoint) -> None:
    uri = f"{use_endpoint(request.getfixturevalue(server))}/store"
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(register_from, uri, worker, 4) for worker in range(4)]
        claimed = [row for future in futures for row in future.result()]
    check_registrations(uri, claimed, 4 * 2 + 2)


@pytest.mark.parametrize("column", ["bank_id", "warnings", "collection"])
def test_a_row_that_stands_for_gigabytes_is_named_and_not_read(catalog: Catalog, store: Store, column: str) -> None:
    register(catalog, bank_record())
    store.write("catalog/banks/collection=klee/00000000000000ee.parquet", bomb(column))
    store.write("catalog/events/collection=klee/1-00000000.parquet", bomb("action"))
    with pytest.raises(
        CatalogError, match=r"00000000000000ee.parquet should hold one row .*expected at most [\d,]+ .*not read"
    ):
        catalog.banks()
    with pytest.raises(CatalogError, match=r"should hold one row .*expected at most [\d,]+ .*not read"):
        catalog.default("klee")
    assert catalog.find("monet").version == 1


def test_a_row_of_many_megabytes_is_named_and_not_read(catalog: Catalog, store: Store) -> None:
    store.write("catalog/banks/collection=klee/00000000000000ee.parquet", bytes(2**24 + 1))
    with pytest.raises(CatalogError, match="00000000000000ee.parquet should hold one row .* it has 16,777,217 bytes"):
        catalog.banks()


@pytest.mark.parametrize("name", ["Van Gogh", "Albrecht_Dürer", "葛飾北斎", "Gilbert + George", "me@home", "monet"])
def test_a_bank_is_found_by_the_name_and_by_the_id_of_its_collection(catalog: Catalog, name: str) -> None:
    collection = collection_id(name)
    first, second = (
        register(catalog, bank_record(f"{number:016x}", collection, display_name=name)) for number in (1, 2)
    )
    for known_as in (name, collection, unicodedata.normalize("NFD", name)):
        assert catalog.find(known_as) == second
        assert catalog.find(f"{known_as}@1") == first
        assert catalog.promote(f"{known_as}@1").collection == collection
        catalog.promote(f"{known_as}@2")
    with pytest.raises(CatalogError, match=f"no bank {re.escape(name)}@7 .* there is {collection}@1, {collection}@2"):
        catalog.find(f"{name}@7")


def test_an_unknown_bank_is_told_names_and_ids(catalog: Catalog) -> None:
    register(catalog, bank_record("00000000000000aa", collection_id("Van Gogh"), display_name="Van Gogh"))
    register(catalog, bank_record("00000000000000bb"))
    with pytest.raises(CatalogError, match=r"there is Van Gogh \(Van-Gogh-10152184\), monet; train it"):
        catalog.find("manet")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"x" * 10**7], ids=["no text", "empty", "large"])
def test_a_version_file_without_a_bank_id_only_keeps_its_number(catalog: Catalog, store: Store, content: bytes) -> None:
    folder = f"catalog/versions/collection={collection_id('monet')}"
    store.write(f"{folder}/000001", content)
    for stray in ("²", "notes.txt", "1" * 40):
        store.write(f"{folder}/{stray}", b"0" * 16)
    assert catalog.reserve_version("monet", "0" * 16).number == 2
    assert catalog.reserve_version("monet", "0" * 16).number == 2
