"""Places of banks: what is no store is told as what it is, before banks are read from it or written to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from artbank.catalog.catalog import Catalog
from artbank.catalog.store_places import check_apart_from_output, check_has_banks, check_may_hold_banks
from artbank.errors import ConfigError
from artbank.store.objects import Store
from tests.support.rows import bank_record, register

PAGES = {"site.json": b"{}", "index.html": b"page", "banks/monet/0/index.html": b"page"}


@pytest.mark.parametrize(
    "name", ["results.parquet", "results/part-m-00000.parquet", "manifests/m.parquet", "runs/m/config.json"]
)
def test_an_output_is_no_place_for_banks_however_far_its_run_came(store_uri: str, name: str) -> None:
    store = Store.open(store_uri)
    store.write(name, b"-")
    with pytest.raises(ConfigError, match="is an output of `artbank stylize`, .*; name another place for the store"):
        check_may_hold_banks(store)
    with pytest.raises(ConfigError, match="found no catalog there, but an output of `artbank stylize`; correct"):
        check_has_banks(store)
    register(Catalog(store), bank_record())  # as older versions let it come about
    check_may_hold_banks(store)
    check_has_banks(store)


def test_pages_are_told_from_a_store_that_lost_its_catalog(store_uri: str) -> None:
    store = Store.open(store_uri)
    check_may_hold_banks(store)
    store.write_many(PAGES)
    for check in (check_may_hold_banks, check_has_banks):
        with pytest.raises(ConfigError, match="found only pages of banks, as `artbank site --out` writes them; name"):
            check(store)
    store.write("banks/monet/0/1/bank.safetensors", b"weights")
    check_may_hold_banks(store)  # a training makes the catalog anew
    with pytest.raises(ConfigError, match="found banks and their pages, but no catalog; restore its folder"):
        check_has_banks(store)


def test_a_store_and_an_output_beside_each_other_are_apart(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    for output in ("output", "store/art", "store2"):
        check_apart_from_output(store, Store.open(str(tmp_path / output)))
    for output in ("store", ".", "store/banks", "store/checkpoints/art"):
        with pytest.raises(ConfigError, match="name (another|a) place"):
            check_apart_from_output(store, Store.open(str(tmp_path / output)))
