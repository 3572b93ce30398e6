"""A row of a bank names a gallery, a file, models and a scorer; whoever wrote it, nothing is opened by these names."""

from __future__ import annotations

import hashlib
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artbank.catalog.bank_files import BANK, CARD, REFERENCE, file_key, find_damage, load_bank, load_card
from artbank.catalog.catalog import Catalog
from artbank.catalog.store_check import check_store
from artbank.errors import BankError
from artbank.pages.banks.build import build
from artbank.store.objects import Store
from tests.support.bank_stores import add_bank

if TYPE_CHECKING:
    from tests.support.model_fixtures import MakeBank


def test_nothing_is_opened_by_the_names_in_a_banks_row(make_bank: MakeBank, tmp_path: Path) -> None:
    bank = make_bank().to_bytes()
    store = Store.open(str(tmp_path / "store"))
    with closing(socket.create_server(("127.0.0.1", 0))) as theirs:
        theirs.setblocking(False)
        place = f"http://127.0.0.1:{theirs.getsockname()[1]}"
        names = {"gallery_uri": f"{place}/gallery", "base_model": f"{place}/model", "scorer": f"{place}/clip"}
        weights = {"weights_uri": f"{place}/banks/bank.safetensors", "weights_sha256": hashlib.sha256(bank).hexdigest()}
        record = add_bank(store, "monet", **names, **weights)
        store.write_many({file_key(record, name): bank for name in (BANK, REFERENCE, CARD)})
        [found] = Catalog(store).banks()
        assert found.base_model == f"{place}/model" and len(load_bank(store, found).vectors) == 3
        assert find_damage(store, found) is None and check_store(store).num_banks == 1
        build(store)
        store.write(file_key(record, CARD), b"a card")
        assert load_card(store, found) == "a card"
        store.write(file_key(record, CARD), b"\xff\xfe")
        with pytest.raises(BankError, match=r"bank monet@1: .*card.md is damaged: .*; restore it"):
            load_card(store, found)
        with pytest.raises(BlockingIOError):
            theirs.accept()
